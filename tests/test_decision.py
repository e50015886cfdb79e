"""Verdicts are decided from values alone, and only proof evicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from pinstall.model.decision import Evidence, decide
from pinstall.model.digest import Digest
from pinstall.model.links import ParsedFilename, parse_version
from pinstall.model.pins import Pin
from pinstall.model.verdict import Delete, Hide, Keep, SetAside, Unreadable
from pinstall.pip_cache import locator
from pinstall.pip_cache.entries import BuiltWheel, Entry, HttpEntry

_A, _B, _C = "a" * 64, "b" * 64, "c" * 64
_MD5 = "d" * 32


def _pin(*hashes: Digest, spec: str = "==1.0", url: str = "") -> Pin:
    return Pin("demo", SpecifierSet(spec), url, hashes, ("argument",), requested=True)


def _entry(kind: str = "download", *stated: Digest, version: str = "1.0") -> Entry:
    found = parse_version(version)
    assert found is not None
    if kind == "built":
        return BuiltWheel("key", "/cache/demo-1.0.tar.gz", ParsedFilename(version, found))
    return HttpEntry(kind, "key", ("/cache/x",), "demo-1.0.tar.gz", stated, ParsedFilename(version, found))


def _sha(value: str) -> Digest:
    return Digest("sha256", value)


_CASES: list[tuple[str, Pin, Entry, Evidence, Any]] = [
    ("stated and right", _pin(), _entry("download", _sha(_A)), Evidence({"sha256": _A}), Keep),
    ("stated and wrong", _pin(), _entry("download", _sha(_A)), Evidence({"sha256": _B}), "wrong-hash"),
    ("upper case", _pin(), _entry("download", _sha(_A.upper())), Evidence({"sha256": _A}), Keep),
    (
        "of two, the stronger counts",
        _pin(),
        _entry("download", Digest("md5", _MD5), _sha(_A)),
        Evidence({"sha256": _A, "md5": _MD5[::-1]}),
        Keep,
    ),
    ("two pages state two files", _pin(), _entry("download", _sha(_A), _sha(_B)), Evidence({"sha256": _B}), Keep),
    ("nonsense is no statement", _pin(), _entry("download", _sha("xyz")), Evidence({"sha256": _B}), Keep),
    ("stated, but not the pin's: another file", _pin(_sha(_C)), _entry("download", _sha(_A)), Evidence({"sha256": _A}), Keep),
    ("unstated and the pin's", _pin(_sha(_A)), _entry(), Evidence({"sha256": _A}), Keep),
    ("unstated and not the pin's", _pin(_sha(_A)), _entry(), Evidence({"sha256": _B}), "other-file"),
    ("unstated and sound", _pin(), _entry(), Evidence({"sha256": _B}), Keep),
    ("unstated and broken", _pin(), _entry(), Evidence({"sha256": _B}, fault="cut off"), "damaged"),
    ("metadata right", _pin(), _entry("metadata", _sha(_A)), Evidence({"sha256": _A}), Keep),
    ("metadata wrong", _pin(), _entry("metadata", _sha(_A)), Evidence({"sha256": _B}), "wrong-hash"),
    ("metadata unstated", _pin(_sha(_A)), _entry("metadata"), Evidence({"sha256": _B}), Keep),
    ("built as it says", _pin(), _entry("built"), Evidence(name="demo", version="1.0"), Keep),
    ("built, version spelled otherwise", _pin(), _entry("built"), Evidence(name="demo", version="1.0.0"), Keep),
    ("built and broken", _pin(), _entry("built"), Evidence(fault="cut off"), "damaged"),
    ("built, another version inside", _pin(), _entry("built"), Evidence(name="demo", version="2.0"), "mislabelled"),
    ("built, another name inside", _pin(), _entry("built"), Evidence(name="omed", version="1.0"), "mislabelled"),
    ("built, no version inside", _pin(), _entry("built"), Evidence(name="demo"), "mislabelled"),
    ("built, and not readable for us", _pin(), _entry("built"), Evidence(), "unproven-build"),
    (
        "built, another version in this place",
        _pin(),
        _entry("built", version="2.0"),
        Evidence(name="demo", version="2.0"),
        "mislabelled",
    ),
    (
        "built from a URL that names the version",
        _pin(spec="", url="https://h/demo-1.0.tar.gz?x#sha256=aa"),
        _entry("built", version="1.0+cpu"),
        Evidence(name="demo", version="1.0+cpu"),
        Keep,
    ),
    (
        "built from a URL that names another version",
        _pin(spec="", url="https://h/demo-1.0.tar.gz?x#sha256=aa"),
        _entry("built", version="2.0"),
        Evidence(name="demo", version="2.0"),
        "mislabelled",
    ),
    (
        "built from a URL, any version",
        _pin(spec="", url="u"),
        _entry("built", version="2.0"),
        Evidence(name="demo", version="2.0"),
        Keep,
    ),
    ("page broken", _pin(), _entry("page"), Evidence(fault="cut off"), "damaged"),
    ("page lists it", _pin(), _entry("page"), Evidence(fresh=True), Keep),
    ("page does not, and pip would believe it", _pin(), _entry("page"), Evidence(fresh=True, listed=False), "stale-page"),
    ("page does not, and pip will ask", _pin(), _entry("page"), Evidence(fresh=False, listed=False), Keep),
    ("not readable", _pin(), _entry("download", _sha(_A)), Evidence(unreadable="EIO"), Unreadable),
    (
        "is what the world gives",
        _pin(),
        _entry("download", _sha(_A)),
        Evidence({"sha256": _B}, tolerated=frozenset({"wrong-hash"})),
        Keep,
    ),
    (
        "came back for another reason",
        _pin(),
        _entry("download", _sha(_A)),
        Evidence({"sha256": _B}, tolerated=frozenset({"damaged"})),
        "wrong-hash",
    ),
]


@pytest.mark.parametrize(
    ("pin", "entry", "evidence", "expected"), [case[1:] for case in _CASES], ids=[case[0] for case in _CASES]
)
def test_decide(pin: Pin, entry: Entry, evidence: Evidence, expected: Any) -> None:
    verdict = decide(pin, entry, evidence)
    if isinstance(expected, str):
        assert isinstance(verdict, Delete | Hide | SetAside)
        assert verdict.reason == expected
    else:
        assert isinstance(verdict, expected)


_BUILT = Evidence(name="demo", version="1.0")
_WRONG = f"its hash is sha256:{_B[:12]}..., but the index or URL states sha256:{_A[:12]}..."
# What is said of each: the whole of it, because users act on it.
_SAID: list[tuple[str, Pin, Entry, Evidence, Delete | Hide | SetAside]] = [
    ("a head", _pin(), HttpEntry("page", "key", ("/cache/x",), fault="no head"), Evidence(), Delete("damaged", "no head")),
    ("wrong", _pin(), _entry("download", _sha(_A)), Evidence({"sha256": _B}), Delete("wrong-hash", _WRONG)),
    (
        "not the pin's",
        _pin(_sha(_A)),
        _entry(),
        Evidence({"sha256": _B}),
        SetAside("other-file", "its hash is not one of the pinned hashes"),
    ),
    ("broken", _pin(), _entry(), Evidence({"sha256": _B}, fault="cut off"), Delete("damaged", "cut off")),
    (
        "another inside",
        _pin(),
        _entry(),
        Evidence({"sha256": _B}, name="demo", version="2.0"),
        Delete("mislabelled", "it contains demo 2.0"),
    ),
    (
        "metadata",
        _pin(),
        _entry("metadata", _sha(_A)),
        Evidence({"sha256": _B}),
        Delete("wrong-hash", _WRONG),
    ),
    ("built, broken", _pin(), _entry("built"), Evidence(fault="cut off"), Delete("damaged", "cut off")),
    (
        "built, not readable",
        _pin(),
        _entry("built"),
        Evidence(),
        Hide("unproven-build", "its contents cannot be checked, for example because it is too large or encrypted"),
    ),
    (
        "built, another inside",
        _pin(),
        _entry("built"),
        Evidence(name="demo", version="2.0"),
        Delete("mislabelled", "it contains demo 2.0"),
    ),
    (
        "built, in another place",
        _pin(),
        _entry("built", version="2.0"),
        Evidence(name="demo", version="2.0"),
        Delete("mislabelled", "it is another version, but in the cache folder of the pinned one"),
    ),
    (
        "unproven",
        _pin(),
        _entry("built"),
        _BUILT._replace(unproven=True, stale_source="x"),
        Hide("unproven-build", "no record shows that the cached wheel was built from the pinned file"),
    ),
    (
        "stale",
        _pin(),
        _entry("built"),
        _BUILT._replace(stale_source="it changed", build_difference="x"),
        Hide("stale-source", "it changed"),
    ),
    (
        "other",
        _pin(),
        _entry("built"),
        _BUILT._replace(build_difference="with CC=x", missing_libraries=("y",)),
        Hide("other-build", "it was built with CC=x"),
    ),
    (
        "missing",
        _pin(),
        _entry("built"),
        _BUILT._replace(missing_libraries=("a", "b")),
        Hide("missing-library", "it needs a, b, which is not found on this system"),
    ),
    ("page, broken", _pin(), _entry("page"), Evidence(fault="cut off"), Delete("damaged", "cut off")),
    (
        "page, stale",
        _pin(),
        _entry("page"),
        Evidence(fresh=True, listed=False, age=59.7),
        Hide("stale-page", "the cached one is 60 seconds old and does not list the pinned version"),
    ),
    (
        "page, stale at once",
        _pin(),
        _entry("page"),
        Evidence(fresh=True, listed=False, age=1.2),
        Hide("stale-page", "the cached one is 1 second old and does not list the pinned version"),
    ),
]


@pytest.mark.parametrize(("pin", "entry", "evidence", "said"), [case[1:] for case in _SAID], ids=[case[0] for case in _SAID])
def test_what_is_said_of_it(pin: Pin, entry: Entry, evidence: Evidence, said: Delete | Hide | SetAside) -> None:
    assert decide(pin, entry, evidence) == said


def test_by_what_it_is_known_when_it_comes_back() -> None:
    digests = {"sha256": _A, "md5": _MD5}
    assert Evidence(digests).identity(_entry()) == f"md5:{_MD5}"
    assert Evidence().identity(_entry()) == ""
    assert Evidence(digests, fault="cut off").identity(_entry("built")) == "cut off"
    assert Evidence(digests, name="demo", version="1.0").identity(_entry("built")) == "demo 1.0"


def test_what_cannot_be_read_is_said_as_it_is() -> None:
    assert decide(_pin(), _entry(), Evidence(unreadable="EIO")) == Unreadable("EIO")


_HEX = st.sampled_from([_A, _B, _C])
_STATED = st.lists(st.builds(_sha, _HEX), max_size=2)
_EVIDENCE = st.builds(
    Evidence,
    digests=st.fixed_dictionaries({"sha256": _HEX}),
    fault=st.sampled_from([None, "cut off"]),
    name=st.sampled_from(["demo", "omed"]),
    version=st.sampled_from(["1.0", "2.0", ""]),
    tolerated=st.frozensets(st.sampled_from(["wrong-hash", "damaged", "mislabelled"])),
    listed=st.booleans(),
    fresh=st.booleans(),
)
_KINDS = st.sampled_from(["download", "metadata", "built", "page"])


@given(_KINDS, _STATED, _STATED, _EVIDENCE)
def test_nothing_goes_that_is_stated_and_whole(
    kind: str, stated: list[Digest], hashes: list[Digest], evidence: Evidence
) -> None:
    whole = evidence._replace(fault=None, name="demo", version="1.0", listed=True)
    agreed = [_sha(evidence.digests["sha256"]), *stated]
    assert isinstance(decide(_pin(*hashes), _entry(kind, *agreed), whole), Keep)


@given(_KINDS, _STATED, _STATED, _EVIDENCE)
def test_no_reason_is_given_twice(kind: str, stated: list[Digest], hashes: list[Digest], evidence: Evidence) -> None:
    verdict = decide(_pin(*hashes), _entry(kind, *stated), evidence)
    if isinstance(verdict, Delete):
        again = decide(_pin(*hashes), _entry(kind, *stated), evidence._replace(tolerated=frozenset({verdict.reason})))
        assert isinstance(again, Keep)


@given(_KINDS, _STATED, _STATED, _EVIDENCE)
def test_what_could_not_be_read_is_never_evicted(
    kind: str, stated: list[Digest], hashes: list[Digest], evidence: Evidence
) -> None:
    assert isinstance(decide(_pin(*hashes), _entry(kind, *stated), evidence._replace(unreadable="why")), Unreadable)


def test_only_pypis_own_paths_state_a_digest() -> None:
    """A host of 58 letters is none: its address would have a digest's length."""
    of_pypi = f"https://files.pythonhosted.org/packages/aa/bb/{'c' * 60}/demo-1.0.tar.gz"
    assert locator.pypi_digest(of_pypi) == (Digest("blake2b_256", "aabb" + "c" * 60),)
    assert locator.pypi_digest(f"https://{'h' * 58}/demo-1.0.tar.gz") == ()
