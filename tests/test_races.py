"""A plain pip that is told "not modified" finds its cache entry, even if pinstall has removed the entry meanwhile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinstall.model import links
from pinstall.pip_cache import entries, http_entries
from pinstall.storage import actions, cleanup, lock, other_pips, store
from tests.lab import NEWEST, VERSIONS, flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.index import Index
    from tests.lab import Environment, Lab, Result

    Act = Callable[[Lab, entries.HttpEntry], None]

_FILE = "/files/demo-1.0-py3-none-any.whl"
_PATHS = {"page": "/simple/demo/", "metadata": f"{_FILE}.metadata", "download": _FILE}
# pip 23.0 requests no metadata files here.
_ASKED = [(version, path) for version in VERSIONS for path in _PATHS if path != "metadata" or version >= "23.3"]
_each_question = pytest.mark.parametrize(("version", "path"), [(version, _PATHS[path]) for version, path in _ASKED], ids=str)
# With one pip for each layout of the cache.
_one_file_or_two = pytest.mark.parametrize("version", sorted({VERSIONS[0], VERSIONS[-1]}))


@cache
def _filled(version: str) -> Callable[[Lab, Index], None]:
    """Return a function that has pip *version* cache demo 1.0 and 2.0, and app, which needs demo 1.0, all of them stale."""

    def fill(lab: Lab, index: Index) -> None:
        index.page_age, index.file_age, index.metadata = 0, 0, True
        for number in ("1.0", "2.0"):
            wheel(index.root, "demo", number, padding=20_000)
        wheel(index.root, "app", "1.0", requires=["demo==1.0"])
        for words in (["app"], ["demo==2.0"]):
            lab.pip(lab.environment(version), "-i", index.url, *words)

    return fill


def _entry(lab: Lab, index: Index, version: str, path: str) -> entries.HttpEntry:
    found = _http(lab, version).entry("download", links.Link(index.base + path), (), None)
    assert found is not None
    return found


def _http(lab: Lab, version: str) -> http_entries.HttpCache:
    return http_entries.HttpCache(str(lab.cache), tuple(map(int, version.split("."))))


def _spent(lab: Lab, entry: entries.HttpEntry) -> None:
    with lock.held(str(lab.cache), 5, print):
        assert actions.spend(str(lab.cache), entry, entries.stamp(entry.content_path))


def _set_aside(lab: Lab, entry: entries.HttpEntry) -> None:
    with lock.held(str(lab.cache), 5, print):
        assert actions.set_aside(str(lab.cache), entry, entries.stamp(entry.content_path), "")


def _and_back(lab: Lab, entry: entries.HttpEntry) -> None:
    _set_aside(lab, entry)
    kept = store.http_entry(str(lab.cache), entry)
    assert kept is not None
    with lock.held(str(lab.cache), 5, print):
        assert actions.bring_back(str(lab.cache), kept, entries.stamp(kept.content_path))


@pytest.mark.parametrize("act", [_spent, _set_aside])
@_each_question
def test_a_pip_that_is_told_not_modified_succeeds(lab: Lab, version: str, path: str, act: Act) -> None:
    index = lab.seeded(_filled(version))
    index.meanwhile[path] = lambda: act(lab, _entry(lab, index, version, path))
    environment = lab.environment(version)
    lab.pip(environment, "-i", index.url, "demo==1.0")
    assert path in index.unchanged
    assert environment.installed("demo") == "1.0 1.0"


@_one_file_or_two
def test_an_entry_that_was_set_aside_and_restored_meanwhile_is_found(lab: Lab, version: str) -> None:
    index = lab.seeded(_filled(version))
    index.meanwhile[_FILE] = lambda: _and_back(lab, _entry(lab, index, version, _FILE))
    environment = lab.environment(version)
    lab.pip(environment, "-i", index.url, "demo==1.0")
    assert _FILE in index.unchanged
    assert environment.installed("demo") == "1.0 1.0"


@pytest.mark.parametrize("act", [_spent, _set_aside])
@_each_question
def test_a_pip_that_starts_meanwhile_receives_the_whole_response(lab: Lab, version: str, path: str, act: Act) -> None:
    """It prints no warning, and the pip that is waiting still finds the entry."""
    index = lab.seeded(_filled(version))
    others: list[tuple[Environment, Result, bool]] = []

    def meanwhile() -> None:
        act(lab, _entry(lab, index, version, path))
        index.unchanged.clear()
        other = lab.environment(version)
        done = lab.pip(other, "-i", index.url, "demo==1.0")
        others.append((other, done, path in index.unchanged))

    index.meanwhile[path] = meanwhile
    environment = lab.environment(version)
    lab.pip(environment, "-i", index.url, "demo==1.0")
    assert path in index.unchanged, "the one that was waiting"
    assert environment.installed("demo") == "1.0 1.0"
    ((other, done, unchanged),) = others
    assert not unchanged
    assert other.installed("demo") == "1.0 1.0"
    assert "WARNING" not in done.err
    index.forget()
    lab.pip(lab.environment(version), "-i", index.url, "demo==1.0")
    assert index.unchanged.count(path) == 2, "it is in the cache, as it always was"


@_one_file_or_two
@pytest.mark.parametrize("path", [_PATHS["page"], _FILE])
def test_a_spent_entry_is_absent_before_and_after_its_deletion(lab: Lab, version: str, path: str) -> None:
    index = lab.seeded(_filled(version))
    entry = _entry(lab, index, version, path)
    _spent(lab, entry)
    assert _http(lab, version).find(index.base + path) is None
    assert not cleanup.has_litter(str(lab.cache)), "not for some minutes"
    lab.time_passes()
    assert not any(map(os.path.exists, entry.paths))
    environment = lab.environment(version)
    lab.pip(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 1.0"


@_one_file_or_two
@pytest.mark.parametrize("path", [_PATHS["page"], _FILE])
def test_a_spent_entry_that_pip_fetched_again_is_not_deleted(lab: Lab, version: str, path: str) -> None:
    index = lab.seeded(_filled(version))
    entry = _entry(lab, index, version, path)
    _spent(lab, entry)
    lab.pip(lab.environment(version), "-i", index.url, "demo==1.0")
    lab.time_passes()
    assert http_entries.is_there(_entry(lab, index, version, path))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wanted", ["demo==1.0", "app"])
def test_another_version_is_set_aside_while_a_pip_asks(lab: Lab, version: str, wanted: str) -> None:
    index = lab.seeded(_filled(version))
    said: list[str] = []

    def meanwhile() -> None:
        done = lab.pinstall(lab.environment(version), "-i", index.url, "demo==2.0")
        assert done.status == 0, done
        said.extend(done.said)

    index.meanwhile[_FILE] = meanwhile
    environment = lab.environment(version)
    _real_pip(lab, environment, "-i", index.url, wanted)
    assert _FILE in index.unchanged
    assert [line.startswith("set aside demo-1.0-py3-none-any.whl") for line in said] == [True]
    assert environment.installed("demo") == "1.0 1.0"
    again = lab.environment(version)
    lab.pinstall(again, "-i", index.url, wanted)
    assert again.installed("demo") == "1.0 1.0"


def test_a_stale_page_is_hidden_from_another_call_while_a_pip_asks(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    index.meanwhile["/simple/demo/"] = lambda: lab.pinstall(lab.environment(), "-i", index.url, "demo==3.0")
    environment = lab.environment()
    lab.pip(environment, "-i", index.url, "--refresh-package", "demo", "demo==1.0")
    assert environment.installed("demo") == "1.0 1.0"
    wheel(index.root, "demo", "3.0")
    index.forget()
    lab.pip(environment, "-i", index.url, "--refresh-package", "demo", "demo==3.0")
    assert environment.installed("demo") == "3.0 3.0"


@pytest.mark.parametrize("version", VERSIONS)
def test_not_modified_renews_a_damaged_download_only_for_the_pip_that_asked(lab: Lab, version: str) -> None:
    """The pip that asked fails, as it would without pinstall. The next one, even a plain pip, receives the index's file."""
    index = lab.seeded(_filled(version))
    entry = _entry(lab, index, version, _FILE)
    flip(Path(entry.content_path))
    index.meanwhile[_FILE] = lambda: _spent(lab, entry)
    done = lab.bare(lab.environment(version), "install", "-i", index.url, "demo==1.0")
    assert (done.status, _FILE in index.unchanged) == (1, True), "as without pinstall"
    for program in (lab.pip, lab.pinstall):
        environment = lab.environment(version)
        done = program(environment, "-i", index.url, "demo==1.0")
        assert environment.installed("demo") == "1.0 1.0", (program, done)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bad_entry_that_not_modified_renewed_stays_spent_and_is_deleted(lab: Lab, version: str) -> None:
    index = lab.seeded(_filled(version))
    entry = _entry(lab, index, version, _FILE)
    index.meanwhile[_FILE] = lambda: _spent(lab, entry)
    lab.pip(lab.environment(version), "-i", index.url, "demo==1.0")
    assert _FILE in index.unchanged
    assert b"pinstall-spent" not in Path(entry.paths[0]).read_bytes(), "pip has written the head anew"
    assert _http(lab, version).find(index.base + _FILE) is None
    assert (http_entries.is_spent(entry), http_entries.is_there(entry)) == (True, False)
    lab.time_passes()
    assert not any(map(os.path.exists, entry.paths))


def test_a_stored_file_is_restored_in_place_of_a_renewed_bad_one(lab: Lab) -> None:
    index = lab.seeded(_filled(NEWEST))
    entry = _entry(lab, index, NEWEST, _FILE)
    kept = [Path(path).read_bytes() for path in entry.paths]
    _set_aside(lab, entry)
    for path, content in zip(entry.paths, kept, strict=True):
        Path(path).unlink()  # the store has a link to it
        Path(path).write_bytes(content)  # as a plain pip may have received it since
    flip(Path(entry.content_path))
    index.meanwhile[_FILE] = lambda: _spent(lab, entry)
    assert lab.bare(lab.environment(), "install", "-i", index.url, "demo==1.0").status == 1
    assert _FILE in index.unchanged
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert (environment.installed("demo"), index.unchanged.count(_FILE)) == ("1.0 1.0", 2), done


@pytest.mark.parametrize("version", VERSIONS)
def test_a_built_wheel_stays_while_a_pip_is_about_to_install_it(lab: Lab, version: str) -> None:
    index = lab.index()
    for number in ("1.0", "2.0"):
        sdist(index.root, "demo", number)
    for number in ("1.0", "2.0"):
        lab.pip(lab.environment(version), "-i", index.url, f"demo=={number}")
    last = wheel(index.root, "last", "1.0")
    said: list[str] = []
    index.meanwhile[f"/files/{last.name}"] = lambda: said.extend(
        lab.pinstall(lab.environment(version), "-i", index.url, "demo==1.0").said
    )
    environment = lab.environment(version)
    _real_pip(lab, environment, "-i", index.url, "demo==2.0", "last")
    (line,) = said
    assert line.startswith(
        "set aside demo-2.0.tar.gz, demo-2.0-py3-none-any.whl from pip's cache in pinstall's store until needed: "
    )
    assert environment.installed("demo") == "2.0 2.0"


def _real_pip(lab: Lab, environment: Environment, *words: str) -> None:
    """Run a pip that others see as one."""
    done = lab.run([environment.pip, "install", *words])
    assert done.status == 0, done


@contextmanager
def _another_pip(lab: Lab, *words: str, **variables: str) -> Iterator[int]:
    """Have a process run that looks like a pip with these arguments; yield its number."""
    command, environ = ["pip", "-c", "import time; print(flush=True); time.sleep(60)", *words], {**lab.environ, **variables}
    with subprocess.Popen(command, executable=sys.executable, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()  # before it runs, the system shows no arguments
        yield process.pid
        process.kill()


def _left(lab: Lab) -> tuple[Index, Path]:
    """Have pinstall set demo 2.0 aside, and leave its built wheel in pip's folder for a while; return the wheel's path."""
    index = lab.index()
    for number in ("1.0", "2.0"):
        sdist(index.root, "demo", number)
    for number in ("1.0", "2.0"):
        lab.pip(lab.environment(), "-i", index.url, f"demo=={number}")
    with _another_pip(lab):
        lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    (left,) = (lab.cache / "wheels").rglob("demo-2.0*.whl")
    return index, left


def test_what_is_set_aside_leaves_at_once_if_no_other_pip_uses_the_cache(lab: Lab) -> None:
    index = lab.index()
    for number in ("1.0", "2.0"):
        sdist(index.root, "demo", number)
    lab.pip(lab.environment(), "-i", index.url, "demo")
    is_disturbed = other_pips.may_run(str(lab.cache))
    elsewhere, without = {"PIP_CACHE_DIR": str(lab.root / "other")}, {"PIP_NO_CACHE_DIR": "0"}
    named = _another_pip(lab, "--cache-dir", str(lab.root / "other"))
    with _another_pip(lab, **elsewhere), _another_pip(lab, "--no-cache-dir"), _another_pip(lab, **without), named:
        lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    if is_disturbed or other_pips.may_run(str(lab.cache)):
        pytest.skip("somebody else's pip runs on this machine, and may use any cache")
    assert [path.name for path in lab.wheels()] == ["demo-1.0-py3-none-any.whl"]
    bodies = [path.read_bytes() for path in (lab.cache / "http-v2").rglob("*.body")]
    assert (index.root / "demo-2.0.tar.gz").read_bytes() not in bodies


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="the system does not tell which processes run")
@pytest.mark.parametrize(
    ("words", "variables", "uses"),
    [
        (["--no-cache-dir", "--cache-dir", "CACHE"], {}, True),
        (["--ca", "CACHE"], {"PIP_CACHE_DIR": "OTHER"}, True),
        (["--cache=CACHE"], {"PIP_NO_CACHE_DIR": "1"}, True),
        ([], {"PIP_CACHE_DIR": "OTHER"}, False),
        (["--ca=OTHER"], {"PIP_CACHE_DIR": "CACHE"}, False),
    ],
)
def test_another_pip_uses_the_cache_that_it_names(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, words: list[str], variables: dict[str, str], *, uses: bool
) -> None:
    paths = {"CACHE": lab.cache, "OTHER": lab.root / "other"}

    def meant(text: str) -> str:
        return re.sub("CACHE$|OTHER$", lambda found: str(paths[found[0]]), text)

    words, variables = [*map(meant, words)], {name: meant(value) for name, value in variables.items()}
    named = lab.run([lab.environment().pip, *words, "cache", "dir"], **variables).out.strip()
    with _another_pip(lab, *words, **variables) as process:
        (lab.root / "proc").mkdir()
        (lab.root / "proc" / str(process)).symlink_to(f"/proc/{process}")
        monkeypatch.setattr(other_pips, "_PROC", str(lab.root / "proc"))
        assert (named == str(lab.cache), other_pips.may_run(str(lab.cache))) == (uses, uses), named


def test_a_wheel_that_stays_for_a_while_is_set_aside_once(lab: Lab) -> None:
    index, left = _left(lab)
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0").said == []
    lab.time_passes()
    assert [path.name for path in lab.wheels()] == ["demo-1.0-py3-none-any.whl"]
    assert not left.with_name("origin.json").exists()
    index.forget()
    environment = lab.environment()
    lab.pinstall(environment, "-i", index.url, "demo==2.0")
    assert (environment.installed("demo"), index.fetched) == ("2.0 2.0", [])


def test_a_wheel_that_a_plain_pip_has_read_meanwhile_stays_longer(lab: Lab) -> None:
    index, left = _left(lab)
    lab.pip(lab.environment(), "-i", index.url, "demo==2.0")
    if left.stat().st_atime_ns == left.stat().st_mtime_ns:
        pytest.skip("this file system does not say when a file was read")
    lab.time_passes()
    assert left.exists()
    lab.time_passes()
    assert not left.exists()


def test_a_wheel_that_is_pinned_again_stays(lab: Lab) -> None:
    index, left = _left(lab)
    lab.pinstall(lab.environment(), "-i", index.url, "demo==2.0")
    lab.time_passes()
    assert left.exists()


def test_a_wheel_that_was_replaced_meanwhile_stays(lab: Lab) -> None:
    _, left = _left(lab)
    wheel(left.parent, "demo", "2.0", "another")
    lab.time_passes()
    assert left.exists()


def test_pinstall_cache_ignores_spent_entries(lab: Lab) -> None:
    index = lab.seeded(_filled(VERSIONS[-1]))
    entry = _entry(lab, index, VERSIONS[-1], _FILE)
    _spent(lab, entry)
    environment = lab.environment()
    listed = lab.cache_tool(environment, "list", "--format", "abspath", "demo==1.0").out
    assert entry.content_path not in listed.splitlines()
    assert lab.cache_tool(environment, "verify").status == 0
    assert lab.cache_tool(environment, "prune").out.startswith("Files removed: 0"), "a pip may be asking"
    for path in entry.paths:
        os.utime(path, (0, 0))
    assert "Files removed: 2" in lab.cache_tool(environment, "prune").out
