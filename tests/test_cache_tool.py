"""Tests of ``pinstall-cache`` on caches filled by real pips; its output is compared with that of ``pip cache``."""

from __future__ import annotations

import html
import json
import os
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pinstall.cache_tool import inventory, map_page, tables
from pinstall.pip_cache import scan
from pinstall.storage import lock, statistics
from tests.lab import NEWEST, OLDEST, Lab, flip
from tests.packages import sdist, wheel, write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import trustme

    from tests.index import Index
    from tests.lab import Environment, Result

_OLD = OLDEST
_DAY = 86_400
_FOLLOWS_NONE = "which pinstall-cache does not follow; replace it with a file or folder"


class SharedLab(NamedTuple):
    """A lab, an index, and the environment whose pip filled the cache from it."""

    lab: Lab
    packages: Index
    environment: Environment


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, pips: Path, authority: trustme.CA) -> Iterator[SharedLab]:
    """Fill a cache once for all tests of this file: that takes seconds, copying it does not."""
    made = Lab(tmp_path_factory.mktemp("shared").resolve(), pips, authority)
    filled = SharedLab(made, _index(made), made.environment())
    _fill(made, filled.environment)
    yield filled
    made.close()


@pytest.fixture
def lab(shared: SharedLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Return the shared lab with a copy of its cache."""
    copy = tmp_path.resolve() / "cache"
    shutil.copytree(shared.lab.cache, copy)
    monkeypatch.setattr(shared.lab, "cache", copy)
    monkeypatch.setattr(shared.lab, "environ", {**shared.lab.environ, "PIP_CACHE_DIR": str(copy)})
    return shared.lab


@pytest.fixture
def index(shared: SharedLab, lab: Lab) -> Index:
    return shared.packages


@pytest.fixture
def environment(shared: SharedLab, lab: Lab) -> Environment:
    return shared.environment


@pytest.fixture
def fresh(tmp_path: Path, pips: Path, authority: trustme.CA) -> Iterator[Lab]:
    """Return a lab of the test's own with an empty cache."""
    made = Lab(tmp_path.resolve(), pips, authority)
    yield made
    made.close()


def _index(lab: Lab) -> Index:
    made = lab.index()
    wheel(made.root, "demo", "1.0", padding=20_000)
    wheel(made.root, "demo", "2.0", padding=20_000)
    wheel(made.root, "zope-part", "3.0", padding=20_000)
    sdist(made.root, "built", "1.0")
    lab.environ["PIP_INDEX_URL"] = made.url
    return made


def _fill(lab: Lab, environment: Environment) -> None:
    lab.pip(environment, "demo==1.0", "zope-part", "built")
    lab.pip(environment, "demo==2.0")


def _entries(lab: Lab, environment: Environment, *words: str) -> list[dict[str, Any]]:
    done = lab.cache_tool(environment, "list", *words, "--format=json")
    assert (done.status, done.err.partition(" for pattern")[0]) in ((0, ""), (0, "WARNING: No matching packages")), done
    found: list[dict[str, Any]] = json.loads(done.out)["entries"]
    for entry in found:
        del entry["used"]  # the tests themselves read files
    return found


def _named(found: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return sorted((entry["kind"], entry["filename"], entry["version"] or "") for entry in found)


_ALL = [
    ("built", "built-1.0-py3-none-any.whl", "1.0"),
    ("download", "built-1.0.tar.gz", "1.0"),
    ("download", "demo-1.0-py3-none-any.whl", "1.0"),
    ("download", "demo-2.0-py3-none-any.whl", "2.0"),
    ("download", "zope_part-3.0-py3-none-any.whl", "3.0"),
    ("page", "index page of built", ""),
    ("page", "index page of demo", ""),
    ("page", "index page of zope-part", ""),
]


def test_list_names_every_entry_with_size_project_and_host(lab: Lab, index: Index, environment: Environment) -> None:
    found = _entries(lab, environment)
    assert _named(found) == _ALL
    host = index.base.removeprefix("https://")
    assert {entry["origin"] for entry in found} == {host}
    assert {entry["project"] for entry in found} == {"built", "demo", "zope-part"}
    for entry in found:
        assert entry["size"] == sum(os.stat(path).st_size for path in entry["paths"])
        assert entry["place"] == "cache"


@pytest.mark.parametrize("served", ["html", "gzip", "relative", "metadata"])
def test_list_is_the_same_for_every_form_of_index(fresh: Lab, served: str) -> None:
    lab, index = fresh, _index(fresh)
    index.json, index.encoding, index.relative = served != "html", "gzip" * (served == "gzip"), served == "relative"
    index.metadata = served == "metadata"
    environment = lab.environment()
    _fill(lab, environment)
    found = _entries(lab, environment)
    assert _named([entry for entry in found if entry["kind"] != "metadata"]) == _ALL
    metadata = {entry["filename"] for entry in found if entry["kind"] == "metadata"}
    wheels = [name for kind, name, _ in _ALL if kind == "download" and name.endswith(".whl")]
    assert metadata == ({f"{name}.metadata" for name in wheels} if index.metadata else set())
    assert {entry["origin"] for entry in found} == {index.base.removeprefix("https://")}


@pytest.mark.parametrize("without", ["pages", "configuration"])
def test_downloads_without_a_page_are_listed(lab: Lab, index: Index, environment: Environment, without: str) -> None:
    """Downloads are identified by their content; without the configured index, pages are identified by their links."""
    if without == "pages":
        for page in lab.pages():
            page.unlink()
            page.with_suffix("").unlink()
    found = _entries(lab, environment) if without == "pages" else _entries_elsewhere(lab, environment)
    downloads = sorted((entry["project"], entry["version"]) for entry in found if entry["kind"] == "download")
    assert downloads == [("built", "1.0"), ("demo", "1.0"), ("demo", "2.0"), ("zope-part", "3.0")]
    if without == "configuration":
        assert [name for kind, name, _ in _named(found) if kind == "page"] == [name for kind, name, _ in _ALL if kind == "page"]


def _entries_elsewhere(lab: Lab, environment: Environment) -> list[dict[str, Any]]:
    lab.environ["PIP_INDEX_URL"] = "https://elsewhere.example/simple"
    return _entries(lab, environment)


def test_a_download_behind_a_permanent_redirect_is_listed_and_verified(fresh: Lab) -> None:
    lab, index = fresh, _index(fresh)
    index.redirects["/files/demo-1.0-py3-none-any.whl"] = (301, "/files/other/demo-1.0-py3-none-any.whl")
    environment = lab.environment()
    lab.pip(environment, "demo==1.0")
    flip(lab.bodies()[0])
    found = _entries(lab, environment)
    assert ("download", "demo-1.0-py3-none-any.whl", "1.0") in _named(found)
    done = lab.cache_tool(environment, "verify")
    assert "wrong-hash: 1" in done.out, done


def test_the_relative_links_of_a_page_behind_a_permanent_redirect_are_verified(fresh: Lab) -> None:
    lab, index = fresh, _index(fresh)
    index.relative, index.metadata = True, True
    index.redirects["/simple/demo/"] = (301, "/mirror/simple/demo/")
    environment = lab.environment()
    lab.pip(environment, "demo==1.0")
    assert "/mirror/files/demo-1.0-py3-none-any.whl" in index.requests
    flip(lab.bodies()[0])
    found = {name for _, name, _ in _named(_entries(lab, environment))}
    assert {"index page of demo", "demo-1.0-py3-none-any.whl.metadata"} <= found
    done = lab.cache_tool(environment, "verify")
    assert "wrong-hash: 1" in done.out, done


def test_a_file_that_comes_with_another_hash_each_time_is_bad(fresh: Lab) -> None:
    """pip accepts it, because one of two hashes is right: a call removes it once, and then lets it be."""
    lab, index = fresh, _index(fresh)
    index.hashes, index.lies = ("md5", "sha256"), {f"{_DEMO} sha256": "0" * 64}
    environment, other = lab.environment(), lab.environment()
    lab.pip(lab.environment(), "demo==1.0")
    assert "wrong-hash" in lab.pinstall(environment, "demo==1.0").err
    assert lab.pinstall(other, "demo==1.0").said == []
    assert "wrong-hash: 1" in lab.cache_tool(environment, "verify").out


def test_a_file_with_the_content_type_of_a_page_is_listed_as_a_download(
    lab: Lab, index: Index, environment: Environment
) -> None:
    for name in ("demo-1.0-py3-none-any.whl", "built-1.0.tar.gz"):
        head = _body(lab, index, name).with_suffix("")
        data = head.read_bytes().replace(b"\xb8application/octet-stream", b"\xb8text/html; charset=utf-8")
        head.write_bytes(data)
    assert _named(_entries(lab, environment)) == _ALL
    assert lab.cache_tool(environment, "verify").status == 0
    _drop_pages(lab)
    assert lab.cache_tool(environment, "verify").status == 0


def test_file_times_out_of_range_cause_no_error(lab: Lab, environment: Environment) -> None:
    for path in lab.cache.rglob("*.body"):
        os.utime(path, (1e13, 1e13))
    for words in (["list"], ["list", "--format=json"], ["prune", "--older-than=1d"]):
        assert lab.cache_tool(environment, *words).status == 0


def test_list_prints_a_table_with_headings(lab: Lab, index: Index, environment: Environment) -> None:
    done = lab.cache_tool(environment, "list", "demo==1.0")
    title, empty, headings, row = done.out.splitlines()
    assert (title, empty) == ("Cache contents:", "")
    assert headings.split() == ["kind", "size", "age", "origin", "file"]
    kind, *_, origin, file = row.split()
    assert (file, kind, origin) == ("demo-1.0-py3-none-any.whl", "download", index.base.removeprefix("https://"))
    chosen = lab.cache_tool(environment, "list", "demo==1.0", "--columns", "version, project,where").out
    assert chosen == "Cache contents:\n\nversion  project\n1.0      demo\n"
    assert lab.cache_tool(environment, "list", "--columns", "colour").status == 2


@pytest.mark.parametrize("command", ["list", "show", "remove", "verify", "verify --fix", "restore"])
def test_a_pattern_without_a_match_is_told_as_pip_does(lab: Lab, environment: Environment, command: str) -> None:
    words = [*command.split(), "absent"]
    bare = lab.bare(environment, "cache", "remove", "absent")
    done = lab.cache_tool(environment, *words)
    assert (done.status, done.err) == (bare.status, bare.err)
    assert "No matching packages" in done.err


@pytest.mark.parametrize("pip", [_OLD, NEWEST])
def test_dir_info_list_remove_and_purge_agree_with_pip(fresh: Lab, pip: str) -> None:
    lab = fresh
    _index(lab)
    environment = lab.environment(pip)
    _fill(lab, environment)

    def says(*words: str) -> str:
        return lab.bare(environment, "cache", *words).out

    assert lab.cache_tool(environment, "dir").out == says("dir")
    if pip == NEWEST:
        assert lab.cache_tool(environment, "info").out.startswith(says("info"))
    found = [entry for entry in _entries(lab, environment) if entry["kind"] == "built"]
    assert "".join(f"{path}\n" for entry in found for path in entry["paths"]) == says("list", "--format=abspath")
    paths = lab.cache_tool(environment, "list", "--format=abspath").out.splitlines()
    assert says("list", "--format=abspath").splitlines()[0] in paths
    assert lab.cache_tool(environment, "remove", "built==1.0").status == 0
    assert "built" not in says("list", "--format=abspath")
    assert lab.cache_tool(environment, "purge").status == 0
    assert not [path for path in lab.cache.rglob("*") if path.is_file() and "pinstall" not in path.parts]


@pytest.mark.parametrize("words", [("purge",), ("remove", "*")], ids=" ".join)
def test_the_numbers_of_removed_files_and_folders_agree_with_pips(
    lab: Lab, environment: Environment, words: tuple[str, ...]
) -> None:
    """pip counts no ``origin.json``, which goes with its wheel, and knows nothing of pinstall's folder."""
    (lab.cache / "http" / "a" / "b").mkdir(parents=True)
    copy = lab.cache.parent / "copy"
    shutil.copytree(lab.cache, copy)
    done = lab.cache_tool(environment, *words)
    bare = lab.bare(environment, "cache", *words, PIP_CACHE_DIR=str(copy))
    (ours, folders), (pips, expected) = (re.findall(r" removed: (\d+)", text) for text in (done.out, bare.out))
    assert (int(ours), folders) == (int(pips) + 1, expected)


def test_the_layout_of_pip_before_23_3_is_listed_and_verified(fresh: Lab) -> None:
    lab = fresh
    _index(lab)
    environment = lab.environment(_OLD)
    _fill(lab, environment)
    found = _entries(lab, environment)
    assert _named(found) == _ALL
    assert {len(entry["paths"]) for entry in found} == {1}
    (path,) = next(entry for entry in found if entry["filename"].startswith("demo-1.0"))["paths"]
    flip(Path(path))
    done = lab.cache_tool(environment, "verify", "--fix")
    assert done.status == 0, done
    assert "bad: demo-1.0-py3-none-any.whl (download): its hash is sha256:" in done.out
    assert [entry for entry in found if entry["paths"][-1] != path] == _entries(lab, environment)
    newer = lab.environment()
    lab.pip(newer, "demo==2.0")
    twins = [line for line in lab.cache_tool(newer, "list", "demo==2.0").out.splitlines() if "demo-2.0" in line]
    assert sorted(line.count("for pip < 23.3") for line in twins) == [0, 1]


_USAGE = [
    ("remove",),
    ("remove", "a", "b"),
    ("list", "a", "b"),
    ("dir", "x"),
    ("info", "x"),
    ("purge", "x"),
    ("remove", "absent"),
]


@pytest.mark.parametrize("words", _USAGE, ids=" ".join)
def test_errors_are_the_same_as_pips(lab: Lab, environment: Environment, words: tuple[str, ...]) -> None:
    ours, pips = lab.cache_tool(environment, *words), lab.bare(environment, "cache", *words)
    assert ours == pips


@pytest.mark.parametrize("word", ["dir", "info", "list", "purge"])
def test_a_disabled_cache_is_the_same_error_as_pips_with_the_reason(lab: Lab, environment: Environment, word: str) -> None:
    ours = lab.cache_tool(environment, word, PIP_NO_CACHE_DIR="1")
    pips = lab.bare(environment, "cache", word, PIP_NO_CACHE_DIR="1")
    reason = "PIP_NO_CACHE_DIR or another setting of pip turns it off; name a folder with --cache-dir"
    assert ours == replace(pips, err=pips.err.replace(".\n", f": {reason}\n"))
    assert ours.status == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives a folder to another user")
def test_another_users_cache_is_disabled_and_the_user_is_named(lab: Lab, environment: Environment) -> None:
    os.chown(lab.cache, 65_534, -1)
    done = lab.cache_tool(environment, "dir")
    assert done.status == 1
    assert f"since cache is disabled: {lab.cache} belongs to nobody, and root does not use it; " in done.err


def test_invalid_arguments_end_with_the_status_that_the_help_states(lab: Lab, environment: Environment) -> None:
    invalid = (["list", "--format=xml"], ["prune", "--older-than", "soon"], ["verify", "--absent"], ["absent"], ["map"])
    for words in (*invalid, ["completion"]):
        done = lab.cache_tool(environment, *words)
        assert (done.status, done.out, done.err.partition(" ")[0]) == (2, "", "usage:"), done
    for words in ([], ["dir", "extra"], ["list", "a", "b"], ["remove"], ["verify", "a", "b"], ["shared"], ["shared", "absent"]):
        done = lab.cache_tool(environment, *words)
        assert (done.status, done.out, done.err.partition(" ")[0]) == (1, "", "ERROR:"), done
    assert lab.cache_tool(environment).err.startswith("ERROR: Need an action (")
    for words in (["--help"], ["dir", "--help"], ["completion", "--help"]):
        text = " ".join(lab.cache_tool(environment, *words).out.split())
        assert "1: failure (also if arguments are missing or too many), or something bad was found" in text
        assert "2: invalid arguments, after a usage line" in text


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("demo", {"demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl", "index page of demo"}),
        ("Demo==1.0.0", {"demo-1.0-py3-none-any.whl"}),
        ("demo==*", {"demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"}),
        ("demo-2*", {"demo-2.0-py3-none-any.whl"}),
        ("d?mo-1.0", {"demo-1.0-py3-none-any.whl"}),
        ("built", {"built-1.0-py3-none-any.whl", "built-1.0.tar.gz", "index page of built"}),
        ("built-1.0-py3", {"built-1.0-py3-none-any.whl"}),
        ("zope.part", {"zope_part-3.0-py3-none-any.whl", "index page of zope-part"}),
        ("Zope-Part", {"zope_part-3.0-py3-none-any.whl", "index page of zope-part"}),
        ("zope", set()),
        ("part*", set()),
    ],
)
def test_remove_deletes_exactly_the_entries_that_the_pattern_matches(
    lab: Lab, environment: Environment, pattern: str, gone: set[str]
) -> None:
    before = _entries(lab, environment)
    assert {entry["filename"] for entry in _entries(lab, environment, pattern)} == gone
    done = lab.cache_tool(environment, "remove", pattern)
    files = sum(len(entry["paths"]) for entry in before if entry["filename"] in gone) + ("built-1.0-py3-none-any.whl" in gone)
    assert done.status == 0, done
    assert done.out.startswith(f"Files removed: {files} (")
    assert {entry["filename"] for entry in before} - {entry["filename"] for entry in _entries(lab, environment)} == gone


def test_the_environment_and_its_cache_are_those_that_pip_would_use(lab: Lab, index: Index, environment: Environment) -> None:
    other = lab.environment()
    (other.folder / "pip.conf").write_text(f"[global]\ncache-dir = {lab.root / 'own'}\n")
    del lab.environ["PIP_CACHE_DIR"]
    del lab.environ["PIP_CONFIG_FILE"]
    assert lab.cache_tool(environment, "--python", other.python, "dir").out == f"{lab.root / 'own'}\n"
    assert lab.cache_tool(environment, "dir", "--python", other.folder).out == f"{lab.root / 'own'}\n"
    assert lab.cache_tool(environment, "dir", "--cache-dir", lab.root / "named").out == f"{lab.root / 'named'}\n"
    assert lab.cache_tool(other, "dir").out == lab.bare(other, "cache", "dir").out == f"{lab.root / 'own'}\n"
    done = lab.cache_tool(environment, "dir", "--python", lab.root / "absent")
    assert done.status == 1, done


# Verify


def _body(lab: Lab, index: Index, name: str) -> Path:
    (found,) = [body for body in lab.bodies() if body.read_bytes() == (index.root / name).read_bytes()]
    return found


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def _tamper(path: Path) -> None:
    """Replace a module in a wheel without changing its RECORD."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, b"CONTENT = 'evil'\n" if name == "built.py" else data)


def _mislabel(path: Path) -> None:
    name, info = "built", "built-6.6.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 6.6\n".encode()
    files = {f"{name}.py": b"", f"{info}/METADATA": metadata, f"{info}/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n"}
    write_wheel(path, files, info)


def _behead(body: Path) -> None:
    import msgpack

    body.with_suffix("").write_bytes(b"cc=4," + msgpack.packb({"response": {"body": b""}}))


def _page_of(lab: Lab, project: str) -> Path:
    (found,) = [page for page in lab.pages() if f'"name": "{project}"'.encode() in page.read_bytes()]
    return found


def _drop_pages(lab: Lab) -> None:
    for page in lab.pages():
        page.unlink()
        page.with_suffix("").unlink()


def _file(lab: Lab, index: Index, name: str) -> Path:
    """Return the cached file of the entry with this name."""
    if name.startswith("index page of "):
        return _page_of(lab, name.removeprefix("index page of "))
    return lab.wheels()[0] if name == _BUILT else _body(lab, index, name)


_BUILT, _DEMO = "built-1.0-py3-none-any.whl", "demo-1.0-py3-none-any.whl"
_DAMAGES: list[tuple[Callable[[Path], None], str, str]] = [
    (flip, _DEMO, "wrong-hash"),
    (flip, "built-1.0.tar.gz", "wrong-hash"),
    (_truncate, _DEMO, "wrong-hash"),
    (_behead, _DEMO, "damaged"),
    (_tamper, _BUILT, "damaged"),
    (_truncate, _BUILT, "damaged"),
    (_mislabel, _BUILT, "mislabelled"),
    (_truncate, "index page of zope-part", "damaged"),
]


@pytest.mark.parametrize("damage", _DAMAGES, ids=lambda damage: f"{damage[0].__name__}-{damage[1]}")
def test_verify_reports_a_bad_entry_and_fix_removes_only_that(
    lab: Lab, index: Index, environment: Environment, damage: tuple[Callable[[Path], None], str, str]
) -> None:
    spoil, filename, reason = damage
    before = _entries(lab, environment)
    spoil(_file(lab, index, filename))
    done = lab.cache_tool(environment, "verify")
    _is_bad(done, filename, reason, len(before))
    assert len(_entries(lab, environment)) == len(before), "verify alone removes nothing"
    fixed = lab.cache_tool(environment, "verify", "--fix")
    assert (fixed.status, fixed.err) == (0, "")
    *said, advice = done.out.splitlines()
    assert advice == "To remove the bad ones and nothing else, run: pinstall-cache verify --fix"
    assert fixed.out.splitlines()[:-1] == said
    assert fixed.out.splitlines()[-1].startswith("Entries removed: 1 (")
    # Paths, not names: without its page, a download is named after its content.
    left = sorted(entry["paths"] for entry in before if entry["filename"] != filename)
    assert sorted(entry["paths"] for entry in _entries(lab, environment)) == left


def test_entries_that_fix_removed_are_fetched_and_built_again(lab: Lab, index: Index, environment: Environment) -> None:
    before = _entries(lab, environment)
    assert lab.cache_tool(environment, "verify").status == 0
    for spoil, name in ((_truncate, _BUILT), (_truncate, "index page of zope-part"), (flip, _DEMO)):
        spoil(_file(lab, index, name))
    assert "Entries removed: 3 (" in lab.cache_tool(environment, "verify", "--fix").out
    assert lab.cache_tool(environment, "verify").status == 0
    _fill(lab, lab.environment())
    assert _named(_entries(lab, environment)) == _named(before)


def _is_bad(done: Result, filename: str, reason: str, count: int) -> None:
    lines = done.out.splitlines()
    assert done.status == 1, done
    assert lines[0].startswith(f"bad: {filename}")
    assert lines[0].endswith(f" ({reason})")
    assert lines[1].startswith(f"Entries checked: {count} (")
    assert lines[1].endswith(", 1 bad")
    assert lines[2:] == [f"  {reason}: 1", "To remove the bad ones and nothing else, run: pinstall-cache verify --fix"]


def _blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(("spoil", "reason"), [(flip, "damaged"), (_truncate, "damaged"), (_blank, "damaged")])
@pytest.mark.parametrize("unstated", ["page", "hash"])
def test_verify_finds_damage_without_a_known_hash(
    fresh: Lab, spoil: Callable[[Path], None], reason: str, unstated: str
) -> None:
    lab, index = fresh, _index(fresh)
    index.hashes = ("sha256",) if unstated == "page" else ()
    environment = lab.environment()
    _fill(lab, environment)
    if unstated == "page":
        _drop_pages(lab)
    spoil(_body(lab, index, "demo-1.0-py3-none-any.whl"))
    done = lab.cache_tool(environment, "verify", "--fix")
    assert done.status == 0, done
    assert f"  {reason}: 1" in done.out
    lab.pip(lab.environment(), "demo==2.0", "built", "zope-part")
    found = [entry for entry in _entries(lab, environment) if entry["kind"] == "download"]
    assert sorted(entry["version"] for entry in found) == ["1.0", "2.0", "3.0"], "built, demo 2.0 and zope-part stay"


def test_the_store_is_listed_and_verified(fresh: Lab) -> None:
    lab = fresh
    _index(lab)
    environment = lab.environment()
    lab.pinstall(environment, "built==1.0")
    lab.pip(environment, "demo==2.0")
    lab.pinstall(environment, "demo==1.0")
    kept = [entry for entry in _entries(lab, environment) if entry["place"] == "store"]
    assert _named(kept) == [("built", "built-1.0-py3-none-any.whl", "1.0"), ("download", "demo-2.0-py3-none-any.whl", "2.0")]
    assert lab.cache_tool(environment, "verify").status == 0
    (build,) = [entry for entry in kept if entry["kind"] == "built"]
    wheel(lab.root / "other", "built", "1.0", "evil")
    shutil.copyfile(lab.root / "other" / "built-1.0-py3-none-any.whl", build["paths"][0])
    done = lab.cache_tool(environment, "verify", "--fix")
    assert (
        "bad: built-1.0-py3-none-any.whl (built wheel) in pinstall's store: it is not the file that pinstall stored (damaged)"
        in done.out
    )
    assert len(_entries(lab, environment)) == 6
    assert lab.cache_tool(environment, "remove", "demo==2.0").status == 0
    assert [entry for entry in _entries(lab, environment) if entry["place"] == "store"] == []
    assert list((lab.cache / "pinstall" / "store").rglob("*demo*")) == []


def test_a_build_is_listed_once_and_marked_if_only_the_store_has_it(fresh: Lab) -> None:
    lab, environment = fresh, fresh.environment()
    _index(lab)
    lab.pip(lab.environment(), "demo==1.0")
    lab.pinstall(environment, "built==1.0", "demo==2.0")  # nobody has pinned demo 1.0
    builds = [entry["place"] for entry in _entries(lab, environment, "built") if entry["kind"] == "built"]
    assert sorted(builds) == ["cache", "store"], "the documented format lists each file"
    assert lab.cache_tool(environment, "list", "built-*").out.count("built-1.0-py3-none-any.whl") == 1
    (mark,) = [line for line in lab.cache_tool(environment, "list", "demo==1.0").out.splitlines() if "demo-1.0" in line]
    assert mark.endswith("  only in store  demo-1.0-py3-none-any.whl")


def test_restore_says_what_stays_and_list_what_is_in_both(fresh: Lab) -> None:
    """pip's cache has a place for one build of a wheel, and for one file of a URL."""
    lab, environment = fresh, fresh.environment()
    index = _index(lab)
    shape = "import os, pathlib; pathlib.Path('content.txt').write_text(os.environ.get('SHAPE', 'plain'))"
    sdist(index.root, "built", "1.0", script=shape)
    lab.pinstall(environment, "built==1.0")
    lab.pinstall(lab.environment(), "built==1.0", SHAPE="other")
    lab.pip(lab.environment(), "demo==1.0")
    lab.pinstall(environment, "demo==2.0")
    stored = lab.cache_tool(environment, "list", "demo==1.0").out
    lab.time_passes()
    index.file_age = 5  # the file is the same, but its head has another length
    lab.pip(lab.environment(), "--force-reinstall", "demo==1.0")
    assert [text.count("only in store") for text in (stored, lab.cache_tool(environment, "list", "demo==1.0").out)] == [1, 0]
    done = lab.cache_tool(environment, "restore")
    assert done.status == 0
    why = "pip's cache has another build of this wheel, and can hold only one"
    assert done.out.splitlines() == [
        f"stays in pinstall's store: built-1.0-py3-none-any.whl: {why}",
        "Entries restored: 0 (0 bytes)",
    ]


def test_stats_count_what_happened(fresh: Lab) -> None:
    lab, _ = fresh, _index(fresh)
    environment = lab.environment()
    assert "Nothing has been counted yet." in lab.cache_tool(environment, "stats").out
    lab.pip(lab.environment(), "demo==1.0", "built==1.0")
    size = os.stat(next(body for body in lab.bodies() if b"demo-1.0.dist-info" in body.read_bytes())).st_size
    lab.pinstall(environment, "demo==1.0", "built==1.0")
    counted = lab.cache / "pinstall" / "statistics"
    before = counted.read_bytes()
    lab.pinstall(environment, "demo==1.0", "built==1.0")  # installed already: it writes nothing
    assert counted.read_bytes() == before
    flip(next(body for body in lab.bodies() if b"demo-1.0.dist-info" in body.read_bytes()))
    lab.pinstall(lab.environment(), "demo==1.0", "built==1.0", "-C", "shape=other")
    lab.pinstall(lab.environment(), "demo==3.0")
    shown = lab.cache_tool(environment, "stats", "--zero").out
    found = dict(re.findall(r"^ *(\S.*?)  +(\S.*)$", shown, re.MULTILINE))
    assert {name: found[name] for name in ("Calls", "that failed", "downloads", "Misses", "wrong-hash", "other-build")} == {
        "Calls": "3",
        "that failed": "1",
        "downloads": "2",
        "Misses": "1",
        "wrong-hash": "1",
        "other-build": "1",
    }
    assert json.loads(before.splitlines()[0])["bytes"] == size
    assert "Nothing has been counted yet." in lab.cache_tool(environment, "stats").out
    flip(next(body for body in lab.bodies() if b"demo-1.0.dist-info" in body.read_bytes()))
    lab.cache_tool(environment, "verify", "--fix")
    assert re.search("^  wrong-hash +1$", lab.cache_tool(environment, "stats").out, re.MULTILINE)


def test_the_counters_are_added_up_when_they_are_many(tmp_path: Path) -> None:
    """Broken lines do not count, and a link is not followed."""
    cache, path = str(tmp_path), Path(statistics.path(str(tmp_path)))
    statistics.count(cache, {"calls": 1, "removed wrong-hash": 2})
    with path.open("a") as file:
        file.write('{"calls": 1, "bad": "x"}\n{"calls": \n[1]\n')
    counted, lines = 1, 0
    while lines != 1:
        statistics.count(cache, {"calls": 1, "removed wrong-hash": 2})
        counted, lines = counted + 1, len(path.read_text().splitlines())
    found = statistics.totals(cache).counts
    assert (found["calls"], found["removed wrong-hash"]) == (counted + 1, 2 * counted)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    statistics.count(cache, {"calls": 1})
    assert not (tmp_path / "elsewhere").exists()


def test_the_doctor(lab: Lab, environment: Environment) -> None:
    before = sorted(lab.cache.rglob("*"))
    done = lab.cache_tool(environment, "doctor", PATH=f"{environment.folder}/bin:/usr/bin:/bin")
    assert (done.status, done.err) == (0, ""), done
    assert sorted(lab.cache.rglob("*")) == before
    assert f"ok  command: {environment.pinstall}\n" in done.out
    assert [line for line in done.out.splitlines()[:-2] if not line.startswith("ok  ")] == []
    assert done.out.endswith("\nAll is well. 'pinstall-cache verify' reads the cached files themselves.\n")
    for subject in (
        "pinstall",
        "filelock",
        "pip",
        "cache",
        "file system",
        "writing",
        "lock",
        "links",
        "other pinstalls",
        "store",
    ):
        assert f"ok  {subject}: " in done.out
    (lab.cache / "http-v2" / "linked").symlink_to(lab.root)
    other = lab.cache.parent / "pinstall"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    with lock.call_marker(str(lab.cache)), lock.held(str(lab.cache), 5, print):
        variables = {"PINSTALL_POLICY": "off", "PINSTALL_STORE_SIZE": "lots", "PATH": f"{other.parent}:/usr/bin:/bin"}
        ill = lab.cache_tool(environment, "doctor", **variables)
    assert ill.status == 1
    for line in (
        "no  settings: ignoring invalid PINSTALL_STORE_SIZE='lots'",
        "no  settings: PINSTALL_POLICY=off: nothing is checked",
        f"no  links: the cache contains symbolic links: {lab.cache}/http-v2/linked",
        f"no  command: the shell runs another pinstall, {other}",
        f"no  lock: pinstall (process {os.getpid()}) holds it",
    ):
        assert line in ill.out, ill.out
    assert ill.out.count("what to do: ") == 5
    assert ill.out.endswith("\n5 of them need attention.\n")
    with lock.call_marker(str(lab.cache)):
        assert f"ok  other pinstalls: running: process {os.getpid()}" in lab.cache_tool(environment, "doctor").out
    assert "no  cache: cannot be examined" in lab.cache_tool(environment, "doctor", PIP_NO_CACHE_DIR="1").out


def test_the_doctor_of_a_cache_that_is_missing_or_cannot_be_written(lab: Lab, environment: Environment) -> None:
    absent = lab.cache.parent / "absent"
    assert "is not there yet" in lab.cache_tool(environment, "doctor", f"--cache-dir={absent}").out
    assert not absent.exists()
    done = lab.on_read_only_cache(f"{environment.folder}/bin/pinstall-cache doctor")
    assert done.status == 1
    assert "no  writing: not possible (Read-only file system)" in done.out


@pytest.mark.parametrize("words", ["doctor", "prune", "purge", "verify --fix", "restore"])
def test_nothing_is_left_in_a_folder_that_is_no_cache(lab: Lab, environment: Environment, words: str) -> None:
    folder = lab.cache.parent / "documents"
    folder.mkdir(exist_ok=True)
    (folder / "letter.txt").touch()
    done = lab.cache_tool(environment, *words.split(), f"--cache-dir={folder}")
    assert ("does not look like pip's cache" in done.out) == (words == "doctor") == (done.status == 1)
    assert [*folder.iterdir()] == [folder / "letter.txt"]


_DUMP = """
const names = (by) => {
  document.querySelector(`input[value=${by}]`).click();
  return [...document.querySelectorAll("#map .group")].map((group) => group.dataset.name).sort().join();
};
document.title = JSON.stringify({
  project: names("project"), kind: names("kind"), age: names("age"), health: names("health"),
  entries: document.querySelectorAll("#map .entry").length, bad: document.querySelectorAll("#map .bad").length,
  inside: [...document.querySelectorAll("#map .group")].every((group) => {
    const outer = document.getElementById("map").getBoundingClientRect(), box = group.getBoundingClientRect();
    return box.left >= outer.left - 1 && box.right <= outer.right + 1 && box.bottom <= outer.bottom + 1;
  }),
  page: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color,
  fetched: performance.getEntriesByType("resource").length,
});
"""


def test_a_page_that_cannot_be_written_is_named(lab: Lab, environment: Environment) -> None:
    done = lab.cache_tool(environment, "map", "nothing", "--html", "no/such/page")
    assert (done.status, done.err) == (1, "ERROR: the page no/such/page could not be written (No such file or directory)\n")


def test_the_map_in_a_browser(lab: Lab, environment: Environment, index: Index) -> None:
    """It needs no network, groups by what is chosen, marks what is bad, and is light and dark."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no Chromium here (Debian: apt-get install chromium)")
    flip(_body(lab, index, "demo-1.0-py3-none-any.whl"))
    page = lab.cache.parent / "map.html"
    done = lab.cache_tool(environment, "map", "--html", str(page))
    assert (done.status, done.out, done.err) == (0, f"Wrote {page}\n", "")
    text = page.read_text()
    assert "://" not in text.replace("default-src", "")
    policy = "script-src 'unsafe-inline'"
    assert policy in text
    page.write_text(text.replace("</body>", f"<script>{_DUMP}</script></body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={lab.cache.parent / 'chromium'}", "--dump-dom"]
    shown = {}
    for scheme, more in {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"]}.items():
        dom = lab.run([browser, *options, *more, page.as_uri()])
        shown[scheme] = json.loads(html.unescape(dom.out.partition("<title>")[2].partition("</title>")[0]))
    light = shown["light"]
    assert light["project"] == "built,demo,zope-part"
    assert light["kind"] == "built wheel,download,page"
    assert light["health"] == "sound,wrong-hash"
    assert (light["entries"], light["bad"], light["inside"], light["fetched"]) == (8, 1, True, 0)
    assert (light["page"], light["ink"]) == ("rgb(255, 255, 255)", "rgb(27, 31, 36)")
    assert (shown["dark"]["page"], shown["dark"]["ink"]) == ("rgb(13, 17, 23)", "rgb(230, 237, 243)")


def test_names_in_a_map_cannot_end_its_script() -> None:
    stray = scan.Stray(("/cache/</script><b>",), 1, 0.0, "<!--")
    page = map_page.page("/cache", (), (), (stray,))
    assert page.count("</script>") == 2
    assert "<b>" not in page


def test_tables_on_a_terminal_are_drawn_by_rich() -> None:
    """Names that look like rich's markup, or control a terminal, are shown as they are."""
    table = tables.Table(("file", "size"), [("[red]a[/red]", "1 kB"), ("b\x1b[2J", "20 kB")], (1,), (1.0, 20.0))
    drawn = tables.drawn(table, 60)
    assert "[red]a[/red]" in drawn
    assert "b\\x1b[2J" in drawn
    assert "\u2588" in drawn
    assert list(tables.lines(table)) == ["file           size", "[red]a[/red]   1 kB", "b\\x1b[2J      20 kB"]


def test_restore_takes_an_older_build_if_the_newest_is_damaged(fresh: Lab) -> None:
    lab, environment = fresh, fresh.environment()
    index = _index(lab)
    shape = "import os, pathlib; pathlib.Path('content.txt').write_text(os.environ.get('SHAPE', 'plain'))"
    sdist(index.root, "built", "1.0", script=shape)
    for value in ("older", "newest"):
        lab.pinstall(environment, "--force-reinstall", "built==1.0", SHAPE=value)
    shutil.rmtree(lab.cache / "wheels")
    kept = sorted((lab.cache / "pinstall" / "store").rglob("built-1.0*.whl"), key=lambda path: b"newest" in path.read_bytes())
    kept[-1].write_bytes(b"")
    done = lab.cache_tool(environment, "restore")
    assert (done.status, done.out.splitlines()[-1].startswith("Entries restored: 1 (")) == (1, True), done
    lab.bare(environment, "install", "--force-reinstall", "built==1.0")
    assert environment.installed("built") == "1.0 older"


def test_restore_puts_back_what_was_set_aside_but_nothing_that_is_damaged(fresh: Lab) -> None:
    """Afterwards plain pip misses nothing: neither a wheel that pinstall has just left nor one that is in the store alone."""
    lab, index = fresh, _index(fresh)
    index.hashes = ()
    sdist(index.root, "built", "2.0")
    for version in ("1.0", "2.0"):
        lab.pip(lab.environment(), f"demo=={version}", f"built=={version}")
    environment = lab.environment()
    lab.pinstall(environment, "demo==1.0", "built==1.0")
    lab.time_passes()
    assert lab.cache_tool(environment, "restore", "zope-part").out == "Entries restored: 0 (0 bytes)\n"
    (damaged,) = (p for p in (lab.cache / "pinstall" / "store").rglob("*.body") if p.read_bytes()[:2] == b"PK")
    flip(damaged)
    done = lab.cache_tool(environment, "restore")
    assert (done.status, len(done.out.splitlines())) == (1, 2)
    assert done.out.startswith("bad, not restored: demo-2.0-py3-none-any.whl (download) in pinstall's store: ")
    index.forget()
    lab.pinstall(lab.environment(), "built==1.0")
    assert lab.cache_tool(environment, "restore").status == 1, "the other wheel of built is left for a while, and now stays"
    lab.time_passes()
    done = lab.pip(lab.environment(), "demo", "built")
    assert "Building wheel" not in done.out
    assert index.fetched == ["demo-2.0-py3-none-any.whl"]


def test_verify_writes_its_proofs_to_the_ledger(lab: Lab, index: Index, environment: Environment) -> None:
    for path in lab.cache.rglob("*"):
        os.utime(path, (0, 0), follow_symlinks=False)
    lab.cache_tool(environment, "verify")
    ledger = json.loads((lab.cache / "pinstall" / "ledger" / "demo.json").read_text())
    assert len(ledger["proofs"]) == 3


@pytest.mark.parametrize("tool", ["pip", "pinstall"])
def test_a_built_wheel_with_a_missing_library_is_set_aside(fresh: Lab, tool: str) -> None:
    lab, index = fresh, _index(fresh)
    from tests.packages import extension
    from tests.test_builds import _GCC, _library, _wrapper

    extension(index.root, "lame", "1.0", "extern int answer(void); int ask(void) { return answer(); }")
    folder = _library(lab, "libanswer.so.1")
    variables = {"CC": _wrapper(lab, "cc", _GCC, f"-L{folder} -lanswer -Wl,-rpath,{folder}")}
    environment = lab.environment()
    getattr(lab, tool)(environment, "lame==1.0", **variables)
    assert lab.cache_tool(environment, "verify").status == 0
    _library(lab, "libanswer.so.2")
    done = lab.cache_tool(environment, "verify")
    assert done.status == 1, done
    assert "(built wheel): it needs libanswer.so.1, which is not found on this system (missing-library)" in done.out
    fixed = lab.cache_tool(environment, "verify", "--fix")
    assert (fixed.status, "Entries set aside: 1 (" in fixed.out, "Entries removed" in fixed.out) == (0, True, False)
    assert lab.wheels() == []
    assert [e["place"] for e in _entries(lab, environment) if e["kind"] == "built"] == ["store"], "it can be restored later"


# Prune, purge, and files that must not be touched


def _age(path: Path, days: int) -> None:
    for found in (path, *path.rglob("*")):
        then = os.lstat(found).st_mtime - days * _DAY
        os.utime(found, (then, then), follow_symlinks=False)


def test_prune_removes_unusable_files_that_are_older_than_a_day(lab: Lab, index: Index, environment: Environment) -> None:
    before = _entries(lab, environment)
    body = lab.cache / "http-v2" / "a" / "b" / "c" / "d" / "e" / f"abcde{'0' * 51}.body"
    body.parent.mkdir(parents=True, exist_ok=True)
    body.write_bytes(b"half")
    ignored = _body(lab, index, "zope_part-3.0-py3-none-any.whl").with_suffix("")
    ignored.write_bytes(b"cc=1,old")
    unfinished = lab.wheels()[0].parent / "tmp1234" / "deep"
    unfinished.mkdir(parents=True)
    (unfinished / "built-1.0-py3-none-any.whl").write_bytes(b"half")
    written = lab.cache / "pinstall" / "unfinished" / "0123"
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text("half")
    (lab.cache / "pinstall" / "views" / "1-01234567").mkdir(parents=True)
    strays = [body, ignored, ignored.with_suffix(".body"), unfinished]
    done = lab.cache_tool(environment, "prune")
    assert done.status == 0
    assert all(path.exists() for path in strays), "these files are new: a running pip may be writing them"
    assert not (lab.cache / "pinstall" / "views" / "1-01234567").exists()
    assert not written.exists()
    for path in (body, ignored, ignored.with_suffix(".body"), unfinished.parent):
        _age(path, 2)
    done = lab.cache_tool(environment, "prune")
    assert done.out.splitlines()[:-2] == [
        "not usable by pip: an unfinished build: 1 (4 bytes)",
        "not usable by pip: its headers are missing: 1 (4 bytes)",
        f"not usable by pip: pip ignores its headers: 1 ({ignored.name and '21 kB'})",
    ]
    assert done.out.splitlines()[-2].startswith("Files removed: 4 (")
    assert [path for path in strays if path.exists()] == []
    assert _entries(lab, environment) == [entry for entry in before if not entry["filename"].startswith("zope_part")]


def test_prune_dry_run_lists_what_prune_removes(lab: Lab, index: Index, environment: Environment) -> None:
    lab.pinstall(environment, "built==1.0", "demo==1.0")  # keeps a build in the store
    body = _body(lab, index, "demo-1.0-py3-none-any.whl")
    body.with_suffix("").unlink()
    os.utime(body, (0, 0))
    own = lab.cache / "pinstall"
    for path in (own / "calls" / f"{2**22}-01234567", own / "unfinished" / "0123", own / "views" / "1-01234567" / "http"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    half = own / "store" / "http" / f"{'01' * 28}.body"  # its call was killed while it set a download aside
    for path in (half, own / "unfinished" / half.stem):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    (lab.cache / "http-v2" / "0" / "0").mkdir(parents=True, exist_ok=True)
    before = sorted(lab.cache.rglob("*"))
    files = [path for path in before if path.is_file()]
    words = ("prune", "--older-than=0h")
    foreseen = lab.cache_tool(environment, *words, "--dry-run")
    assert (foreseen.status, foreseen.err) == (0, "")
    assert sorted(lab.cache.rglob("*")) == before
    listed = [line for line in foreseen.out.splitlines() if line.startswith("would remove: ")]
    assert len({*listed}) == len(listed)
    assert f"would remove: {body} (its headers are missing)" in listed
    assert f"would remove: {own / 'unfinished' / '0123'} (left by a killed pinstall)" in listed
    assert f"would remove: {half} (left by a killed pinstall)" in listed
    assert any(re.match("would remove: demo-2.0-py3-none-any.whl .last used .* ago.: /", line) for line in listed)
    done = lab.cache_tool(environment, *words)
    assert done.out.splitlines() == [
        line.replace("that would be removed", "removed") for line in foreseen.out.splitlines() if line not in listed
    ]
    assert f"Files removed: {len([path for path in files if not path.exists()])} (" in done.out
    assert lab.bodies() == []
    again = [lab.cache_tool(environment, *words, *more).out for more in (["--dry-run"], [])]
    assert again == [
        "Files that would be removed: 0 (0 bytes)\nDirectories that would be removed: 0\n",
        "Files removed: 0 (0 bytes)\nDirectories removed: 0\n",
    ]


def test_prune_removes_entries_that_were_not_used_for_the_given_time(lab: Lab, index: Index, environment: Environment) -> None:
    _age(lab.cache, 40)
    lab.cache_tool(environment, "verify")  # verify does not count as use
    lab.pip(lab.environment(), "--no-deps", "demo==1.0")
    assert lab.cache_tool(environment, "prune", "--older-than", "60d").out.startswith("Files removed: 0")
    done = lab.cache_tool(environment, "prune", "--older-than", "30d")
    assert done.status == 0, done
    left = {entry["filename"] for entry in _entries(lab, environment)}
    assert left == {"demo-1.0-py3-none-any.whl", "index page of demo"}
    assert list((lab.cache / "wheels").rglob("*")) == []


@pytest.mark.parametrize("words", [("remove", "built"), ("purge",), ("prune", "--older-than", "0d")], ids=" ".join)
def test_builds_stay_while_another_pinstall_is_running(lab: Lab, environment: Environment, words: tuple[str, ...]) -> None:
    with lock.call_marker(str(lab.cache)):
        done = lab.cache_tool(environment, *words)
        assert done.status == 1, done
        assert "a running pinstall may need " in done.err
        assert len(lab.wheels()) == 1
        assert "built-1.0.tar.gz" not in {entry["filename"] for entry in _entries(lab, environment)}
    assert lab.cache_tool(environment, *words).status == 0
    assert lab.wheels() == []


@pytest.mark.parametrize(
    "words", [("purge",), ("remove", "demo"), ("verify", "--fix"), ("prune", "--older-than", "0d")], ids=" ".join
)
def test_symbolic_links_are_not_followed(lab: Lab, index: Index, environment: Environment, words: tuple[str, ...]) -> None:
    """This holds for links to files and to folders, at the top and below."""
    precious = lab.cache.parent / "precious"
    precious.mkdir()
    file = precious / "file"
    file.write_bytes(b"precious")
    body = _body(lab, index, "demo-1.0-py3-none-any.whl")
    body.unlink()
    body.symlink_to(file)
    (lab.cache / "wheels" / "aa").symlink_to(precious)
    (lab.cache / "http-v2" / "linked").symlink_to(precious)
    (lab.cache / "http").symlink_to(precious)
    done = lab.cache_tool(environment, *words)
    if words[0] != "purge":
        links = ("http", "http-v2/linked", "wheels/aa", str(body.relative_to(lab.cache)))
        assert sorted(done.err.splitlines()) >= sorted(
            f"WARNING: skipped {lab.cache}/{link}: it is a symbolic link, {_FOLLOWS_NONE}" for link in links
        )
    assert file.read_bytes() == b"precious"
    assert os.readlink(lab.cache / "http") == str(precious)


@pytest.mark.parametrize("place", ["wheels", "http-v2"])
def test_a_link_to_a_folder_in_place_of_a_file_has_no_size_and_no_age_of_that_folder(
    lab: Lab, index: Index, environment: Environment, place: str
) -> None:
    elsewhere = lab.cache.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_bytes(bytes(3_000_000))  # of today
    file = lab.wheels()[0] if place == "wheels" else _body(lab, index, _DEMO)
    link = file.with_name("another-1.0-py3-none-any.whl" if place == "wheels" else "0" * 56)
    link.symlink_to(elsewhere)
    os.utime(link, (0, 0), follow_symlinks=False)
    info = lab.cache_tool(environment, "info").out
    assert "Not usable by pip: 1 (0 bytes)" in info, info
    lab.cache_tool(environment, "prune")
    assert (link.is_symlink(), (elsewhere / "file").stat().st_size) == (False, 3_000_000)


@pytest.mark.parametrize("words", [("purge",), ("remove", "demo"), ("verify", "--fix")], ids=" ".join)
def test_nothing_is_removed_while_another_pinstall_holds_the_lock(
    lab: Lab, index: Index, environment: Environment, words: tuple[str, ...]
) -> None:
    flip(_body(lab, index, _DEMO))
    files = [path for path in lab.cache.rglob("*") if path.is_file()]
    with lock.held(str(lab.cache), 0, print):
        done = lab.cache_tool(environment, *words, PINSTALL_LOCK_TIMEOUT="0")
    assert done.status == 1
    assert "held the lock of pip's cache for more than 0 s" in done.err
    assert all(path.exists() for path in files)


@pytest.mark.parametrize("value", ["9" * 400, "inf", "nan", "\udcff"], ids=ascii)
def test_an_invalid_lock_timeout_produces_a_warning(lab: Lab, index: Index, environment: Environment, value: str) -> None:
    assert index.url
    done = lab.cache_tool(environment, "remove", "demo", PINSTALL_LOCK_TIMEOUT=value)
    assert (done.status, len(done.err.splitlines())) == (0, 1)
    assert done.err.startswith("WARNING: ignoring invalid PINSTALL_LOCK_TIMEOUT=")


@pytest.mark.parametrize(
    "age", ["9" * 400 + "w", "9" * 5_000 + "h", "1e999d", "nan", "", "\udcffd", "-1d", "\u0661d", " 1d"], ids=ascii
)
def test_an_invalid_age_is_a_usage_error(lab: Lab, index: Index, environment: Environment, age: str) -> None:
    assert index.url
    done = lab.cache_tool(environment, "prune", f"--older-than={age}")
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[-1].endswith("(expected e.g. 12h, 30d, 8w)")
    assert max(map(len, done.err.splitlines())) < 200


def test_fifos_in_the_cache_are_not_opened(lab: Lab, index: Index, environment: Environment) -> None:
    """Opening a FIFO would block forever."""
    body, other = (_body(lab, index, name) for name in ("demo-1.0-py3-none-any.whl", "zope_part-3.0-py3-none-any.whl"))
    for path in (body, other.with_suffix(""), *lab.wheels()):
        path.unlink()
        os.mkfifo(path)
    for words in (("list",), ("info",), ("verify", "--fix"), ("prune", "--older-than", "0d"), ("remove", "demo")):
        done = lab.cache_tool(environment, *words)
        assert "Traceback" not in done.err, done


@pytest.mark.parametrize("seed", range(3))
def test_a_cache_with_random_damage_causes_no_traceback(lab: Lab, environment: Environment, seed: int) -> None:
    """Random bytes and odd names anywhere in the cache cause no traceback."""
    dice = random.Random(seed)  # noqa: S311 (not for secrets)
    lab.cache_tool(environment, "verify")
    files = [path for path in lab.cache.rglob("*") if path.is_file()]
    for path in dice.sample(files, len(files) // 2):
        data = bytearray(path.read_bytes())
        at = dice.randrange(len(data) + 1)
        data[at : at + dice.randrange(50)] = dice.randbytes(dice.randrange(50))
        path.write_bytes(data)
    folders = [path for path in lab.cache.rglob("*") if path.is_dir()]
    for folder in dice.sample(folders, 30):
        name = dice.choice(["a\x1b[2J.whl", "x.body", "\udcff", "tmp", "demo-1.0-py3-none-any.whl", "f" * 56, "origin.json"])
        if not os.path.exists(os.path.join(folder, name)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(dice.choice([b"cc=4,", b"PK\x03\x04", b"\x1f\x8b", b""]) + dice.randbytes(200))
    for words in (["list"], ["list", "--format=json"], ["info"], ["verify"], ["verify", "--fix"], ["prune"], ["purge"]):
        done = lab.cache_tool(environment, *words)
        assert "Traceback" not in done.err, done
        assert "\x1b" not in done.out
        assert done.status in (0, 1)
    assert [path for path in (lab.cache / "http-v2").rglob("*") if path.is_file()] == []


def test_heads_with_nonsense_values_cause_no_traceback(lab: Lab, index: Index, environment: Environment) -> None:
    import msgpack

    _drop_pages(lab)
    said = ({"location": "https://[", "content-length": "9" * 5000}, {"content-length": "0021"}, {"date": "x"})
    bodies = lab.bodies()
    for body, headers, status in zip(bodies, said, (301, 200, 200), strict=False):
        response = {"body": b"", "headers": headers, "status": status, "version": 11, "reason": "", "decode_content": False}
        body.with_suffix("").write_bytes(b"cc=4," + msgpack.packb({"response": response, "vary": {}}))
        body.write_bytes(b"no archive at all, 21")
    for words in (["list"], ["info"], ["verify"]):
        done = lab.cache_tool(environment, *words)
        assert "Traceback" not in done.err, done


def test_a_missing_cache_is_no_error_and_is_not_created(fresh: Lab) -> None:
    environment = fresh.environment()
    for words in (["list"], ["info"], ["verify", "--fix"], ["prune"], ["purge"], ["remove", "demo"]):
        assert fresh.cache_tool(environment, *words).status == 0
    assert not fresh.cache.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_can_be_listed(lab: Lab, environment: Environment) -> None:  # pragma: no cover
    lab.cache.chmod(0o500)
    assert lab.cache_tool(environment, "list").status == 0
    lab.cache.chmod(0o700)


@pytest.mark.parametrize("words", ["purge", "remove demo==1.0", "prune --older-than 0h"])
def test_entries_are_removed_on_a_full_disk(lab: Lab, environment: Environment, words: str) -> None:
    """pinstall's folder is missing, and not even the lock file can be created."""
    shutil.rmtree(lab.cache / "pinstall", ignore_errors=True)
    done = lab.on_full_disk(f"{environment.folder}/bin/pinstall-cache {words}")
    assert (done.status, done.err) == (0, "")
    assert "Files removed: 0 " not in done.out


@pytest.mark.parametrize("folder", ["http-v2", "wheels"])
def test_a_folder_that_is_a_link_is_skipped_with_a_warning(lab: Lab, environment: Environment, folder: str) -> None:
    """pip uses the files behind the link, but the tool has not checked them."""
    (lab.cache / folder).rename(lab.cache.parent / "elsewhere")
    (lab.cache / folder).symlink_to(lab.cache.parent / "elsewhere")
    done = lab.cache_tool(environment, "verify")
    assert (done.status, done.err) == (1, f"WARNING: skipped {lab.cache}/{folder}: it is a symbolic link, {_FOLLOWS_NONE}\n")
    assert f"{lab.cache}/{folder}" not in lab.cache_tool(environment, "list", "--format", "abspath").out


def test_a_closed_standard_output_is_no_error(lab: Lab, environment: Environment) -> None:
    done = lab.run(["sh", "-c", f"{environment.folder}/bin/pinstall-cache info >&-"])
    assert (done.status, done.err) == (0, "")


def test_a_closed_pipe_is_no_error(lab: Lab, environment: Environment) -> None:
    done = lab.run(["sh", "-c", f"{environment.folder}/bin/pinstall-cache list --format=json | head -c 1"])
    assert (done.out, done.err) == ("{", "")


def test_the_documentation_lists_all_json_fields_and_kinds(lab: Lab, environment: Environment) -> None:
    text = (Path(__file__).parent.parent / "docs" / "cache.md").read_text()
    table = text.partition("## JSON")[2]
    told = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    document = json.loads(lab.cache_tool(environment, "list", "--format=json").out)
    assert told == {*document, *document["entries"][0]}
    for entry in document["entries"]:
        assert f"`{entry['kind']}`" in table


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:secret@example.org:8080/a/demo.whl", "example.org:8080"),
        ("git+ssh://git@example.org/demo@abc", "example.org"),
        ("file:///home/me/demo.tar.gz", "local"),
        ("https://[broken", ""),
        ("", ""),
    ],
)
def test_host_removes_credentials(url: str, host: str) -> None:
    assert inventory.host(url) == host


def test_a_configuration_that_pip_refuses_is_named(lab: Lab, environment: Environment) -> None:
    done = lab.cache_tool(environment, "list", PIP_NO_INPUT="maybe")
    why = "'maybe' is not a boolean value, as no-input in pip.conf or PIP_NO_INPUT must be"
    assert (done.status, done.err) == (1, f"ERROR: pip refuses its configuration: {why}\n")
    own = lab.root / "pip.conf"
    own.write_text("no-input = true\n")
    done = lab.cache_tool(environment, "list", PIP_CONFIG_FILE=str(own))
    assert (done.status, done.err) == (1, f"ERROR: pip refuses its configuration: {own} is not a configuration file\n")


def test_an_output_that_cannot_be_written_is_told(lab: Lab, environment: Environment) -> None:
    done = lab.run(["sh", "-c", f"exec {environment.folder}/bin/pinstall-cache list > /dev/full"])
    assert (done.status, done.err) == (1, "ERROR: the output could not be written (No space left on device)\n")
