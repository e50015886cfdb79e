"""Tests of the explanation after a real pip has failed, and of the failures that must not be explained."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pinstall.aftermath import causes
from pinstall.environment import Environment
from pinstall.invocation import invocation
from pinstall.model import pins
from pinstall.pip_cache.locator import Cache
from tests.lab import NEWEST, VERSIONS
from tests.packages import extension, sdist, wheel
from tests.test_forward import stand_in

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Lab

_PIPS = [VERSIONS[0], NEWEST]
_FOREIGN = "cp39-cp39-win_amd64"
_FOREIGN_WHEEL = f"demo-1.0-{_FOREIGN}.whl"
_UNCOMPILABLE = "#error no\n"
_WHEEL, _SDIST = "demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"


def _causes(lab: Lab, *words: str, pip: str = NEWEST, status: int = 1) -> list[str]:
    """Run pip in a new environment; return the explanation that pinstall would print."""
    since = time.time()
    environment = lab.environment(pip)
    done = lab.bare(environment, "install", *words)
    assert done.status == status, done
    return _explained(lab, environment.python, words, since, pip)


def _explained(lab: Lab, python: str, words: tuple[str, ...], since: float, pip: str = NEWEST) -> list[str]:
    version = tuple(int(part) for part in pip.split("."))
    environment = Environment(python)
    call = invocation.read(words, lab.environ, environment.prefix, version)
    found = pins.collect(call.lines, environment.markers)
    sent = {path.name for path in lab.cache.rglob("*") if path.stat().st_mtime >= since}
    return causes.causes(Cache(str(lab.cache), call, environment, version), found.pins, sent)


def _hash(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _locked(lab: Lab, *hashes: str) -> str:
    """Write a requirements file with a hashed pin; return its name."""
    path = lab.root / "r.txt"
    path.write_text("demo==1.0 " + " ".join(f"--hash={text}" for text in hashes))
    return str(path)


def _python(lab: Lab) -> str:
    return Environment(lab.environment().python).markers["python_full_version"]


# Failures without an explanation.


def test_nothing_is_said_if_pip_succeeds(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    assert _causes(lab, "-i", index.url, "demo==1.0", status=0) == []


@pytest.mark.parametrize("pip", _PIPS)
def test_a_failing_build_is_not_explained(lab: Lab, pip: str) -> None:
    index = lab.index()
    extension(index.root, "demo", "1.0", source=_UNCOMPILABLE)
    assert _causes(lab, "-i", index.url, "demo==1.0", pip=pip) == []


def test_a_project_that_the_index_does_not_have_is_not_explained(lab: Lab) -> None:
    """Its page is a 404 response, which pip does not cache."""
    assert _causes(lab, "-i", lab.index().url, "nosuchproject==1") == []


def test_an_unreachable_index_is_not_explained(lab: Lab) -> None:
    words = ("--retries", "0", "-i", "https://localhost:1/simple/", "demo==1.0")
    assert _causes(lab, *words) == []


@pytest.mark.parametrize("pip", _PIPS)
def test_an_index_that_has_become_unreachable_is_not_explained(lab: Lab, pip: str) -> None:
    """The cached page may be outdated."""
    index = lab.index()
    index.page_age = 0
    wheel(index.root, "demo", "2.0", tag=_FOREIGN)
    assert _causes(lab, "-i", index.url, "demo==2.0", pip=pip) != []
    index.user = "now:it wants one"
    assert _causes(lab, "-i", index.url, "demo==2.0", pip=pip) == []


def test_nothing_is_said_if_one_of_two_indexes_forbids_caching(lab: Lab) -> None:
    first, second = lab.index("first"), lab.index("second")
    second.page_age = None
    wheel(first.root, "demo", "2.0", tag=_FOREIGN)
    wheel(second.root, "demo", "2.0", tag=_FOREIGN)
    assert _causes(lab, "-i", first.url, "--extra-index-url", second.url, "demo==2.0") == []


def test_nothing_is_said_if_the_cached_page_is_damaged(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "2.0", tag=_FOREIGN)
    words, since = ("-i", index.url, "demo==2.0"), time.time()
    assert _causes(lab, *words) != []
    (page,) = lab.pages()
    page.write_bytes(page.read_bytes()[:20])
    assert _explained(lab, lab.environment().python, words, since) == []


def test_a_page_that_was_received_and_not_kept_explains_nothing(lab: Lab) -> None:
    """The second run gets a page without files, so pip's cache keeps the old one, which no server has sent in this call."""
    index = lab.index()
    wheel(index.root, "demo", "1.0", tag=_FOREIGN)
    lab.bare(lab.environment(), "install", "-i", index.url, "demo==1.0")
    headers = {"Content-Type": "application/vnd.pypi.simple.v1+json", "Cache-Control": "max-age=600"}
    respond, empty = index.respond, b'{"meta": {"api-version": "1.1"}, "name": "demo", "files": []}'
    index.respond = lambda path, accept: (  # type: ignore[method-assign]
        (200, empty, headers) if path == "/simple/demo/" else respond(path, accept)
    )
    index.forget()
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    assert (index.pages("demo"), "pip runs once more" in done.err) == (1, True), done
    assert [line for line in done.said if "cannot be installed" in line] == []


def test_nothing_is_said_if_a_requirements_file_could_not_be_read(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "2.0", tag=_FOREIGN)
    words, since = ("-i", index.url, "demo==2.0"), time.time()
    assert _causes(lab, *words) != []
    more = ("-r", f"{index.base}/files/r.txt")
    assert _explained(lab, lab.environment().python, (*words, *more), since) == []


def test_nothing_is_said_of_a_constraint_on_a_project_that_pip_does_not_need(lab: Lab) -> None:
    """The constraint cannot be satisfied, but pip does not need the project; its page is from an earlier call."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    wheel(index.root, "demo", "2.0", tag=_FOREIGN)
    extension(index.root, "broken", "1.0", source=_UNCOMPILABLE)
    lab.pip(lab.environment(), "-i", index.url, "demo")
    (lab.root / "c.txt").write_text("demo==2.0\n")
    assert _causes(lab, "-i", index.url, "-c", str(lab.root / "c.txt"), "broken==1.0") == []


def test_nothing_is_said_if_the_pinned_version_is_installed(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    wheel(index.root, "demo", "2.0", tag=_FOREIGN)
    local = wheel(lab.root / "elsewhere", "demo", "2.0")
    environment, since = lab.environment(), time.time()
    lab.pip(environment, "-i", index.url, "demo")
    lab.pip(environment, str(local))
    assert _explained(lab, environment.python, ("-i", index.url, "demo==2.0"), since) == []


@pytest.mark.parametrize("requirement", ["demo", "demo>=3", "demo==3.*", "demo==1.0,==2.0"])
def test_a_requirement_that_is_not_a_pin_is_not_explained(lab: Lab, requirement: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0", tag=_FOREIGN)
    assert _causes(lab, "-i", index.url, requirement) == []


def test_a_url_is_not_explained(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    assert _causes(lab, "-i", index.url, f"{index.base}/files/demo-2.0-py3-none-any.whl") == []


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize("pip", _PIPS)
def test_a_yanked_pin_is_installed(lab: Lab, pip: str, json: bool) -> None:
    """PEP 592: pip installs a yanked file if it is pinned."""
    index = lab.index()
    index.json = json
    index.yanked[wheel(index.root, "demo", "1.0").name] = "broken"
    assert _causes(lab, "-i", index.url, "demo==1.0", pip=pip, status=0) == []


@pytest.mark.parametrize("pip", _PIPS)
def test_a_yanked_version_pinned_by_a_constraint_is_installed(lab: Lab, pip: str) -> None:
    index = lab.index()
    index.yanked[wheel(index.root, "demo", "1.0").name] = "broken"
    wheel(index.root, "demo", "2.0")
    wheel(index.root, "app", "1.0", requires=["demo>=0.5"])
    (lab.root / "c.txt").write_text("demo==1.0\n")
    words = ("-i", index.url, "-c", str(lab.root / "c.txt"))
    assert _causes(lab, *words, "app==1.0", "demo", pip=pip, status=0) == []


# A version that is not listed.


def test_a_version_that_no_page_lists_is_left_to_pip(lab: Lab) -> None:
    """pip lists the versions that there are."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    assert _causes(lab, "-i", index.url, "demo==9.0") == []
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==9.0")  # with a cached page, which may be out of date
    assert "(from versions: 1.0)" in done.err
    assert [line.partition(":")[0] for line in done.said] == ["pip asks the server again for the index page of demo"]


# A version for other Pythons or platforms.


@pytest.mark.parametrize("pip", _PIPS)
def test_a_version_for_other_platforms_is_explained(lab: Lab, pip: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0", tag=_FOREIGN)
    wheel(index.root, "demo", "2.0")
    assert _causes(lab, "-i", index.url, "demo==1.0", pip=pip) == [
        f"demo cannot be installed: {_FOREIGN_WHEEL} (for other Python versions or platforms); for demo==1.0 (argument)"
    ]


def test_a_folder_of_wheels_for_other_platforms_is_explained(lab: Lab) -> None:
    wheel(lab.root / "folder", "demo", "1.0", tag=_FOREIGN)
    reason = "all wheels of this version are for other Python versions or platforms"
    assert _causes(lab, "--no-index", "-f", str(lab.root / "folder"), "demo==1.0") == [
        f"demo cannot be installed: {reason}; for demo==1.0 (argument)"
    ]


def test_nothing_is_said_if_a_folder_has_a_usable_file(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0", tag=_FOREIGN)
    extension(lab.root / "folder", "demo", "1.0", source=_UNCOMPILABLE)
    assert _causes(lab, "-i", index.url, "-f", str(lab.root / "folder"), "demo==1.0") == []


def test_a_long_list_of_files_is_shortened(lab: Lab) -> None:
    index = lab.index()
    for number in range(6):
        wheel(index.root, "demo", "1.0", tag=f"cp3{number}-cp3{number}-win32")
    (line,) = _causes(lab, "-i", index.url, "demo==1.0")
    assert "demo-1.0-cp33-cp33-win32.whl and 2 more (for other" in line


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize("pip", _PIPS)
def test_a_version_for_other_pythons_is_explained(lab: Lab, pip: str, json: bool) -> None:
    index = lab.index()
    index.json = json
    index.requires_python[wheel(index.root, "demo", "1.0").name] = "<3.9,>=2.7"
    wheel(index.root, "demo", "1.0", tag=_FOREIGN)
    (line,) = _causes(lab, "-i", index.url, "demo==1.0", pip=pip)
    old = f"{_WHEEL} (it requires Python <3.9,>=2.7, and this is {_python(lab)})"
    reason = f"{old}, {_FOREIGN_WHEEL} (for other Python versions or platforms)"
    assert line == f"demo cannot be installed: {reason}; for demo==1.0 (argument)"


@pytest.mark.parametrize(("stated", "words"), [(">=3", ()), ("who knows", ()), (">=9", ("--ignore-requires-python",))])
def test_a_suitable_or_invalid_or_ignored_requires_python_is_no_cause(lab: Lab, stated: str, words: tuple[str, ...]) -> None:
    index = lab.index()
    index.requires_python[sdist(index.root, "demo", "1.0").name] = stated
    assert _causes(lab, "-i", index.url, "demo==1.0", *words, status=0) == []


@pytest.mark.parametrize(("full", "number"), [("3.15.0rc1", "3.15.0"), ("3.13.0+", "3.13.0"), ("3.11.2", "3.11.2")])
def test_requires_python_is_compared_with_three_numbers(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, full: str, number: str
) -> None:
    """pip compares three numbers: for it, 3.15.0rc1 is not before 3.15."""
    index = lab.index()
    index.requires_python[wheel(index.root, "demo", "1.0").name] = f"!={number}"
    words, since = ("-i", index.url, "demo==1.0"), time.time()
    environment = lab.environment()
    lab.bare(environment, "install", "--ignore-requires-python", "--dry-run", *words)
    markers = Environment(environment.python).markers
    monkeypatch.setattr(Environment, "markers", {**markers, "python_full_version": full})
    (line,) = _explained(lab, environment.python, words, since)
    assert line.endswith(f"(it requires Python !={number}, and this is {number}); for demo==1.0 (argument)")


def test_the_environment_of_pinstall_itself_is_explained(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the Python that runs pinstall, tags and markers are found without a subprocess."""
    index = lab.index()
    index.requires_python[wheel(index.root, "demo", "1.0").name] = ">=9"
    words = ("-i", index.url, "demo==1.0")
    since = time.time()
    lab.bare(lab.environment(), "install", *words)
    monkeypatch.setattr("sys.executable", "the tests' own")
    (line,) = _explained(lab, "the tests' own", words, since)
    assert line.startswith(f"demo cannot be installed: {_WHEEL} (it requires Python >=9, and this is 3.")


def test_a_call_for_another_python_version_uses_its_tags(lab: Lab) -> None:
    index = lab.index()
    index.requires_python[wheel(index.root, "demo", "1.0", tag="cp39-cp39-linux_x86_64").name] = "==3.9.*"
    sdist(index.root, "broken", "1.0")
    words = ("-i", index.url, "--target", str(lab.root / "target"), "--only-binary", ":all:", "demo==1.0", "broken==1.0")
    (line,) = _causes(lab, *words, "--python-version", "3.9")
    assert line == "broken cannot be installed: broken-1.0.tar.gz (excluded by --only-binary); for broken==1.0 (argument)"


@pytest.mark.parametrize("pip", _PIPS)
def test_files_refused_by_no_binary_or_only_binary_are_explained(lab: Lab, pip: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    sdist(index.root, "other", "1.0")
    assert _causes(lab, "-i", index.url, "demo==1.0", "--no-binary", ":all:", pip=pip) == [
        f"demo cannot be installed: {_WHEEL} (excluded by --no-binary); for demo==1.0 (argument)"
    ]
    assert _causes(lab, "-i", index.url, "other==1.0", "--only-binary", "other", pip=pip) == [
        "other cannot be installed: other-1.0.tar.gz (excluded by --only-binary); for other==1.0 (argument)"
    ]


def test_the_last_of_only_binary_and_no_binary_decides(lab: Lab) -> None:
    index = lab.index()
    extension(index.root, "demo", "1.0", source=_UNCOMPILABLE)
    words = ("-i", index.url, "demo==1.0", "--only-binary", ":all:", "--no-binary", "demo")
    assert _causes(lab, *words) == []  # pip has tried to build it


# Dependencies of pins.


def _numba(lab: Lab, requires: str = "numba==0.55.1") -> Index:
    """Serve app, which needs low, which *requires* numba, whose only file is for older Pythons."""
    index = lab.index()
    wheel(index.root, "app", "1.0", requires=["low==1.0"])
    wheel(index.root, "low", "1.0", requires=[requires])
    index.requires_python[sdist(index.root, "numba", "0.55.1").name] = ">=3.7,<3.11"
    return index


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("pip", _PIPS)
def test_a_dependency_for_other_pythons_is_explained(lab: Lab, pip: str, metadata: bool) -> None:
    index = _numba(lab)
    index.metadata = metadata
    (line,) = _causes(lab, "-i", index.url, "app==1.0", pip=pip)
    assert line == (
        f"numba cannot be installed: numba-0.55.1.tar.gz (it requires Python >=3.7,<3.11, and this is {_python(lab)}); "
        "for numba==0.55.1 (needed by low)"
    )


@pytest.mark.parametrize(
    ("requires", "words"),
    [
        ("numba", ["app"]),
        ("numba>=0.55", ["app>=1"]),
        ("numba>=0.55", ["app==1.0", "broken==1.0"]),
        ("numba==0.55.1; python_version < '3'", ["app"]),
        ("numba==0.55.1; extra == 'x'", ["app==1.0", "broken==1.0"]),
    ],
)
def test_a_dependency_with_a_choice_or_a_false_marker_is_not_explained(lab: Lab, requires: str, words: list[str]) -> None:
    index = _numba(lab, requires)
    extension(index.root, "broken", "1.0", source=_UNCOMPILABLE)
    needed = "python" not in requires and "extra" not in requires
    status = int(needed or "broken==1.0" in words)
    assert _causes(lab, "-i", index.url, *words, status=status) == []


def test_nothing_is_said_of_a_dependency_that_is_excluded_or_installed(lab: Lab) -> None:
    """pip fails because of another requirement."""
    index = _numba(lab)
    extension(index.root, "broken", "1.0", source=_UNCOMPILABLE)
    words = ("-i", index.url, "low==1.0", "broken==1.0")
    environment, since = lab.environment(), time.time()
    lab.bare(environment, "install", "-i", index.url, "low==1.0")  # its page is in the cache
    assert _causes(lab, *words, "--no-deps") == []
    assert len(_explained(lab, environment.python, words, since)) == 1
    lab.pip(environment, str(wheel(lab.root / "elsewhere", "numba", "0.55.1")))
    assert _explained(lab, environment.python, words, since) == []


def test_nothing_is_said_of_a_dependency_that_the_call_names_by_url(lab: Lab) -> None:
    """pip takes the file that the call names."""
    index = _numba(lab)
    own = wheel(lab.root / "elsewhere", "numba", "0.55.1")
    extension(index.root, "broken", "1.0", source=_UNCOMPILABLE)
    assert _causes(lab, "-i", index.url, "app==1.0", f"numba @ {own.as_uri()}", "broken==1.0") == []


# Hashes.


@pytest.mark.parametrize("json", [True, False])
@pytest.mark.parametrize("pip", _PIPS)
def test_pinned_hashes_of_no_listed_file_are_explained(lab: Lab, pip: str, json: bool) -> None:
    index = lab.index()
    index.json = json
    wheel(index.root, "demo", "1.0")
    sdist(index.root, "demo", "1.0")
    path = _locked(lab, "sha256:" + "0" * 64, "sha512:" + "1" * 128)
    (line,) = _causes(lab, "-i", index.url, "-r", path, pip=pip)
    assert line.startswith(
        f"demo cannot be installed: {_WHEEL}, {_SDIST} (its hash on the index is not one of the pinned hashes); for demo==1.0 ("
    )


def test_hashes_of_different_algorithms_are_not_compared(lab: Lab) -> None:
    index = lab.index()
    index.hashes = ("md5",)
    wheel(index.root, "demo", "1.0")
    path = _locked(lab, "sha256:" + "0" * 64)
    assert _causes(lab, "-i", index.url, "-r", path) == []


def test_hashes_in_capitals_are_compared_correctly(lab: Lab) -> None:
    index = lab.index()
    made = wheel(index.root, "demo", "1.0")
    path = _locked(lab, _hash(made).upper().replace("SHA256", "sha256"))
    made.write_bytes(made.read_bytes() + b" ")
    index.lies[made.name] = hashlib.sha256(made.read_bytes()[:-1]).hexdigest().upper()
    assert _causes(lab, "-i", index.url, "-r", path) == []


def test_a_pinned_hash_of_a_wheel_for_another_platform_is_explained(lab: Lab) -> None:
    """Only the sdist is usable. A wheel for another platform whose hash is not pinned is not mentioned."""
    index = lab.index()
    pinned = wheel(index.root, "demo", "1.0", tag=_FOREIGN)
    wheel(index.root, "demo", "1.0", tag="cp38-cp38-win32")
    sdist(index.root, "demo", "1.0")
    (line,) = _causes(lab, "-i", index.url, "-r", _locked(lab, _hash(pinned)))
    other = f"{_SDIST} (its hash on the index is not one of the pinned hashes)"
    reason = f"{_FOREIGN_WHEEL} (for other Python versions or platforms), {other}"
    assert line.startswith(f"demo cannot be installed: {reason}; for demo==1.0 (")


@pytest.mark.parametrize("refused", ["--no-binary", "--only-binary"])
def test_a_pinned_hash_of_a_file_in_a_refused_format_is_explained(lab: Lab, refused: str) -> None:
    index = lab.index()
    made = {"--no-binary": wheel(index.root, "demo", "1.0"), "--only-binary": sdist(index.root, "demo", "1.0")}
    pinned = made.pop(refused)
    (other,) = made.values()
    (line,) = _causes(lab, "-i", index.url, "-r", _locked(lab, _hash(pinned)), refused, "demo")
    assert f"{pinned.name} (excluded by {refused})" in line
    assert f"{other.name} (its hash on the index is not one of the pinned hashes)" in line


# A full disk.


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, int]]:
    """Return a dictionary of changes to the results of `os.statvfs`, by folder."""
    changes: dict[str, dict[str, int]] = {}
    real = os.statvfs

    def statvfs(folder: str) -> SimpleNamespace:
        found = real(folder)
        values = {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}
        return SimpleNamespace(**values | changes.get(folder, {}))

    monkeypatch.setattr(os, "statvfs", statvfs)
    return changes


_FULL = {"f_blocks": 1000, "f_bfree": 0, "f_bavail": 0, "f_flag": 0}


@pytest.mark.parametrize(
    "full",
    [_FULL, {**_FULL, "f_bfree": 200, "f_bavail": 200, "f_frsize": 4096}, {"f_files": 10, "f_ffree": 0, "f_flag": 0}],
)
def test_a_full_disk_is_named(lab: Lab, disk: dict[str, dict[str, int]], full: dict[str, int]) -> None:
    lab.cache.mkdir()
    environment = lab.environment()
    site = Environment(environment.python).build["site_packages"]
    target = str(lab.root)
    for folder, words, named in (
        (str(lab.cache), (), str(lab.cache)),
        (tempfile.gettempdir(), (), tempfile.gettempdir()),
        (site, (), site),
        (target, ("--target", target), target),
        (site, ("--target", target), ""),
    ):
        disk[folder] = full
        expected = [f"the disk is full: less than 1 MB can be written to {named}"] if named else []
        assert _explained(lab, environment.python, (*words, "demo"), 0) == expected
        disk.clear()


@pytest.mark.parametrize(
    "other",
    [{**_FULL, "f_flag": os.ST_RDONLY}, {**_FULL, "f_blocks": 0}, {"f_files": 0, "f_ffree": 0}, {**_FULL, "f_bfree": 1 << 20}],
)
def test_a_disk_that_only_looks_full_is_not_named(
    lab: Lab, disk: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch, other: dict[str, int]
) -> None:
    """The disk is read-only, or does not count blocks or inodes, or has blocks reserved for root, who runs pinstall."""
    lab.cache.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    disk[str(lab.cache)] = other
    assert _explained(lab, lab.environment().python, ("demo",), 0) == []


def test_blocks_reserved_for_root_do_not_count_for_others(
    lab: Lab, disk: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.cache.mkdir()
    python = lab.environment().python
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    disk[str(lab.cache)] = {**_FULL, "f_bfree": 1 << 20}
    assert len(_explained(lab, python, ("demo",), 0)) == 1


def test_a_missing_temporary_folder_causes_no_error(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert _explained(lab, lab.environment().python, ("demo",), 0) == []


@pytest.mark.parametrize("status", [1, 2, 3])
def test_a_full_disk_is_named_for_statuses_1_and_2(lab: Lab, status: int) -> None:
    """pip ends with status 1 if an error occurs while it installs, with 2 if it occurs while it downloads."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    environment = lab.environment()
    stand_in(environment, f"sys.exit({status})")
    (site,) = environment.folder.glob("lib/python*/site-packages")
    full = {**_FULL, "f_frsize": 1}
    (site / "z.pth").write_text(f"import os, types; os.statvfs = lambda _, made=types.SimpleNamespace(**{full}): made\n")
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    said = [line for line in done.said if line.startswith("the disk is full: less than 1 MB can be written to ")]
    assert (done.status, len(said)) == (status, int(status < 3)), done
