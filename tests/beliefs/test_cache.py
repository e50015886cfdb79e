"""Entries that a real pip writes to its cache: where they are, and which of them it reuses."""

from __future__ import annotations

import hashlib
import io
from email.utils import parsedate_tz
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import interpreter_name, interpreter_version

from pinstall.model.digest import Digest
from pinstall.pip_cache import built_wheels, entries, http_entries, index_pages, keys
from tests.beliefs.calls import SETTINGS
from tests.lab import NEWEST, VERSIONS, Lab, flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pinstall.model.links import Link
    from pinstall.pip_cache.entries import Entry
    from pinstall.pip_cache.http_entries import Response
    from tests.beliefs.conftest import Judge
    from tests.index import Index

_WITH_TWO_FILES = VERSIONS[1:]


def _version(pip: str) -> tuple[int, ...]:
    return tuple(int(part) for part in pip.split("."))


def _find(lab: Lab, pip: str, url: str) -> tuple[Entry, Response, str] | None:
    return http_entries.HttpCache(str(lab.cache), _version(pip)).find(url)


def _content(entry: Entry) -> bytes:
    with entries.open_content(entry) as file:
        return file.read()


def _wheel_url(index: Index, project: str = "demo") -> str:
    return f"{index.base}/files/{project.replace('-', '_')}-1.0-py3-none-any.whl"


def _offer(index: Index, project: str, name: str) -> Link:
    """Return the link to a file of *index*, read from the page that the index would send."""
    _, body, headers = index.respond(f"/simple/{project}/", index_pages.JSON)
    found = index_pages.parse(body, {name.lower(): value for name, value in headers.items()}, f"{index.url}{project}/")
    return next(offer.link() for offer in found if offer.filename == name)


@pytest.mark.parametrize(("pip", "user"), [*((pip, "") for pip in _WITH_TWO_FILES), (NEWEST, "me:se%40cret")])
def test_a_download_is_two_files_under_the_key_of_its_url(lab: Lab, pip: str, user: str) -> None:
    """The credentials with which it was fetched are not part of the key."""
    index = lab.index()
    index.user = user.replace("%40", "@")
    made = wheel(index.root, "demo", "1.0")
    url = index.url.replace("://", f"://{user}@") if user else index.url
    lab.pip(lab.environment(pip), "-i", url, "demo")
    found = _find(lab, pip, _wheel_url(index))
    assert found is not None
    entry, response, _ = found
    assert [str(path) for path in lab.bodies()] == [entry.content_path]
    assert _content(entry) == made.read_bytes()
    assert (response.status, response.headers["cache-control"]) == (200, "max-age=31536000, public")


@pytest.mark.parametrize("pip", VERSIONS)
def test_pip_reuses_a_download_even_if_it_is_corrupt(lab: Lab, pip: str) -> None:
    """pip fails on a corrupt download in its cache instead of fetching it again. This is why pinstall exists."""
    index = lab.index()
    made = wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(pip), "-i", index.url, "demo")
    found = _find(lab, pip, _wheel_url(index))
    assert found is not None
    assert _content(found[0]) == made.read_bytes()
    flip(Path(found[0].content_path))
    index.forget()
    done = lab.bare(lab.environment(pip), "install", "-i", index.url, "demo")
    assert done.status != 0
    assert index.fetched == []


@pytest.mark.parametrize("pip", _WITH_TWO_FILES)
def test_pip_since_26_2_uses_a_cached_page_without_asking(lab: Lab, pip: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(pip), "-i", index.url, "demo")
    wheel(index.root, "demo", "2.0")
    environment = lab.environment(pip)
    lab.pip(environment, "-i", index.url, "demo")
    believes = _version(pip) >= (26, 2)
    assert index.pages("demo") == (1 if believes else 2)
    assert environment.installed("demo") == ("1.0 1.0" if believes else "2.0 2.0")
    found = _find(lab, pip, f"{index.url}demo/")
    assert found is not None or not believes
    if found is not None:
        offers = index_pages.parse(_content(found[0]), found[1].headers, found[2])
        assert offers[0].filename == "demo-1.0-py3-none-any.whl"
        assert found[1].fresh(http_entries.now())


@pytest.mark.parametrize("pip", _WITH_TWO_FILES)
def test_the_key_of_built_wheels_has_the_first_hash_that_the_page_states(lab: Lab, pip: str) -> None:
    """pip reuses them without checking the file that they were built from."""
    indexes: list[Index] = []
    for number, hashes in enumerate([("sha256",), ("md5", "sha256"), ("blake2b", "sha256"), (), ("sha256",)]):
        indexes.append(lab.index(f"index{number}"))
        indexes[-1].hashes = hashes
        sdist(indexes[-1].root, f"demo{number}", "1.0")
    indexes[-1].page_age = indexes[-1].file_age = None
    arguments = [argument for index in indexes for argument in ("--extra-index-url", index.url)]
    projects = [f"demo{number}" for number in range(len(indexes))]
    lab.pip(lab.environment(pip), "-i", indexes[0].url, *arguments, *projects)

    for index, project in zip(indexes, projects, strict=True):
        link = _offer(index, project, f"{project}-1.0.tar.gz")
        assert [digest.algorithm for digest in link.digests] == list(index.hashes)
        assert _built(lab, link, project) == [f"{project}-1.0-py3-none-any.whl"]
        for other in {(), link.digests[1:], link.digests[::-1]} - {link.digests}:
            assert other[:1] == link.digests[:1] or _built(lab, link._replace(digests=other), project) == []
    assert len(lab.wheels()) == len(projects)
    assert _find(lab, pip, _offer(indexes[0], "demo0", "demo0-1.0.tar.gz").url) is not None
    assert _find(lab, pip, _offer(indexes[-1], projects[-1], f"{projects[-1]}-1.0.tar.gz").url) is None

    for body in lab.bodies():
        body.unlink()
    for index in indexes:
        index.forget()
    lab.pip(lab.environment(pip), "-i", indexes[0].url, *arguments, *projects)
    assert [index.fetched for index in indexes] == [[]] * len(indexes)


def _built(lab: Lab, link: Link, project: str) -> list[str]:
    interpreter = (interpreter_name(), interpreter_version())
    key = keys.wheel_key(link.url, link.digests[0] if link.digests else None, link.subdirectory, interpreter)
    folder = lab.cache / keys.wheel_path(key)
    return [entry.filename for entry in built_wheels.built_under(str(folder), key, project)]


@pytest.mark.parametrize("pip", _WITH_TWO_FILES)
def test_pip_caches_permanent_redirects_but_no_others(lab: Lab, pip: str) -> None:
    """In both cases the key of the download comes from the last URL."""
    index = lab.index()
    urls = {}
    for status in (301, 302, 307, 308):
        made = wheel(index.root, f"demo{status}", "1.0")
        index.redirects[f"/moved/{made.name}"] = (status, f"/files/{made.name}")
        urls[status] = f"{index.base}/moved/{made.name}"
    lab.pip(lab.environment(pip), *urls.values())
    for status, url in urls.items():
        last = _wheel_url(index, f"demo{status}")
        assert _find(lab, pip, last) is not None
        assert (_find(lab, pip, url) == _find(lab, pip, last)) == (status in (301, 308))
    index.forget()
    lab.pip(lab.environment(pip), *urls.values())
    assert sorted(index.requests) == [f"/moved/demo{status}-1.0-py3-none-any.whl" for status in (302, 307)]


@pytest.mark.parametrize("pip", _WITH_TWO_FILES)
def test_pip_revalidates_a_permanent_redirect_with_an_etag_and_reuses_its_target(lab: Lab, pip: str) -> None:
    """pip stores only the head of such a redirect."""
    index = lab.index()
    index.tagged = True
    made = wheel(index.root, "demo", "1.0")
    index.redirects[f"/moved/{made.name}"] = (301, f"/files/{made.name}")
    url, last = f"{index.base}/moved/{made.name}", _wheel_url(index, "demo")
    lab.pip(lab.environment(pip), url)
    found = _find(lab, pip, url)
    assert found is not None
    assert found == _find(lab, pip, last)
    index.forget()
    lab.pip(lab.environment(pip), url)
    assert index.requests == [f"/moved/{made.name}"]


# Contents of a head file that pip ignores. On well-formed MessagePack that is not a response, pip ends with a KeyError.
_NO_METADATA = [b"", b"garbage", b"cc=4", b"cc=4,", b"cc=4,\xc1", b"cc=3,\x80", b"cc=4,\x81", b"{}"]


@pytest.mark.parametrize("pip", _WITH_TWO_FILES)
def test_pip_ignores_an_entry_with_a_missing_file_or_an_invalid_head(lab: Lab, pip: str) -> None:
    index = lab.index()
    projects = [f"demo{number}" for number in range(2 + len(_NO_METADATA))]
    for project in projects:
        wheel(index.root, project, "1.0")
    urls = [_wheel_url(index, project) for project in projects]
    lab.pip(lab.environment(pip), *urls)
    found = [_find(lab, pip, url) for url in urls]
    for number, entry in enumerate(entry for entry, _, _ in filter(None, found)):
        metadata, body = map(Path, entry.paths)
        if number >= 2:
            metadata.write_bytes(_NO_METADATA[number - 2])
        else:
            (metadata, body)[number].unlink()
    assert [_find(lab, pip, url) for url in urls] == [None] * len(urls)
    index.forget()
    lab.pip(lab.environment(pip), *urls)
    assert sorted(index.fetched) == sorted(url.rpartition("/")[2] for url in urls)


@pytest.mark.parametrize("pip", _WITH_TWO_FILES)
def test_metadata_files_have_their_own_entries(lab: Lab, pip: str) -> None:
    index = lab.index()
    index.metadata = True
    made = wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(pip), "-i", index.url, "demo")
    link = _offer(index, "demo", made.name)
    found = _find(lab, pip, f"{link.url}.metadata")
    assert found is not None
    assert link.metadata == (Digest("sha256", hashlib.sha256(_content(found[0])).hexdigest()),)


_HEADERS = st.dictionaries(
    st.sampled_from(["Date", "content-type", "X-\u00e9", "Transfer-Encoding"]), st.sampled_from(["x", "", "chunked"])
)
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(-5, 600), st.text("a\u00e9", max_size=2), st.binary(max_size=3))
_RESPONSES = st.fixed_dictionaries(
    {"status": st.sampled_from([200, 301, 404]), "headers": _HEADERS, "body": st.binary(max_size=9)},
    optional={"version": st.just(11), "reason": st.just("OK"), "decode_content": st.booleans(), "strict": st.just(0)},
)
_DOCUMENTS: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries({"response": _RESPONSES}, optional={"vary": st.just({})}),
    st.dictionaries(st.sampled_from(["response", "vary", "x"]), st.one_of(_VALUES, _RESPONSES)),
    _VALUES,
)


@given(document=_DOCUMENTS, prefix=st.sampled_from([b"cc=4,"] * 5 + [b"cc=3,", b""]), cut=st.integers(-3, 0))
@SETTINGS
def test_pinstall_reads_every_head_that_pip_reads(
    judges: list[Judge], scratch: Path, document: Any, prefix: bytes, cut: int
) -> None:
    """pinstall reads every head that pip reads. (It may also read one that pip ignores, or on which pip raises a KeyError.)"""
    data = prefix + msgpack.packb(document)
    data = data[:cut] if cut else data
    path = scratch / "head"
    path.write_bytes(data)
    ours = http_entries.read_head(str(path))
    for judge in judges:
        theirs = judge.ask("head", data=data.decode("latin-1"))
        if theirs is not None:
            assert ours is not None, judge.name
            if ours.fault:  # pip reads the head, and then asserts that its date is valid (``cached_request``)
                assert parsedate_tz(theirs["headers"]["date"]) is None, judge.name
                continue
            headers = {
                name: value
                for name, value in ours.response.headers.items()
                if (name, value) != ("transfer-encoding", "chunked")
            }
            assert (ours.response.status, headers) == (theirs["status"], theirs["headers"])


_TIMES = ["Mon, 02 Jan 2006 15:04:05 GMT", "Fri, 01 Jan 2999 00:00:00 GMT"]
_TAG = '"what pip has"'


def _in_any_case(name: str, *values: str) -> st.SearchStrategy[tuple[str, str]]:
    return st.tuples(st.sampled_from([name, name.lower(), name.upper()]), st.sampled_from(values))


_SENT = st.lists(
    st.one_of(
        _in_any_case("Date", *_TIMES),
        _in_any_case("Expires", *_TIMES, "0"),
        _in_any_case("Cache-Control", "max-age=99999999999", "no-cache", "max-age=600, public", ""),
        _in_any_case("ETag", _TAG),
        _in_any_case("Last-Modified", *_TIMES),
        _in_any_case("Vary", "Accept", "Accept-Encoding, Accept"),
    ),
    unique_by=lambda header: header[0].lower(),
)


@given(sent=_SENT, answer=_SENT, body=st.binary(max_size=300), lasting=st.booleans())
@SETTINGS
def test_a_spent_head_serves_only_a_pip_that_is_already_asking(  # noqa: PLR0917
    judges: list[Judge],
    scratch: Path,
    sent: list[tuple[str, str]],
    answer: list[tuple[str, str]],
    body: bytes,
    lasting: bool,
) -> None:
    """A new pip requests the whole response and deletes nothing; a pip that receives "not modified" still has the old body."""
    fields = {"body": body, "headers": dict(sent), "status": 200, "version": 11, "reason": "OK", "decode_content": False}
    path = scratch / "entry"
    path.write_bytes(b"cc=4," + msgpack.packb({"response": fields, "vary": {}}))
    out = io.BytesIO()
    entry = entries.HttpEntry("download", "", (str(path),), "", layout=keys.ONE_FILE)
    http_entries.write_spent(entry, out, lasting=lasting)
    path.write_bytes(out.getvalue())
    assert http_entries.is_spent(entry)
    for judge in judges:
        told = {"Date": _TIMES[0], "ETag": _TAG, **dict(answer)}
        found = judge.ask("spent", data=out.getvalue().decode("latin-1"), tag=_TAG, answer=told)
        assert found is not None, judge.reason
        later = found.pop("later")
        assert found == {
            "used": False,
            "asks": {"If-None-Match": '"pinstall-spent"'},
            "stays": True,
            "content": body.decode("latin-1"),
        }, judge.name
        assert lasting or not later or any(name.lower() == "vary" for name, _ in answer), judge.name


@pytest.mark.parametrize("status", [301, 308])
def test_a_permanent_redirect_cannot_be_spent(tmp_path: Path, status: int) -> None:
    path = tmp_path / "entry"
    path.write_bytes(b"cc=4," + msgpack.packb({"response": {"body": b"", "headers": {}, "status": status}}))
    with pytest.raises(ValueError, match="follows it"):
        http_entries.write_spent(entries.HttpEntry("download", "", (str(path),), ""), io.BytesIO(), lasting=True)
