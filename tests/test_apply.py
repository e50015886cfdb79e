"""Tests of `actions`, which moves and deletes cache entries: the files on disk after each action, also after errors."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from packaging.specifiers import SpecifierSet

from pinstall.checks.candidates import Candidate
from pinstall.checks.checker import Finding
from pinstall.checks.execute import apply_verdicts
from pinstall.inspection.build_record import BuildRecord
from pinstall.inspection.sdist_scan import SourceScan
from pinstall.model.pins import Pin
from pinstall.model.verdict import Delete, Unreadable
from pinstall.pip_cache import keys
from pinstall.pip_cache.entries import BuiltWheel, Entry, HttpEntry, stamp
from pinstall.pip_cache.http_entries import is_there
from pinstall.storage import actions, cleanup, lock, store
from pinstall.storage.cleanup import Removed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KEY = "ab" * 28
_RECORD = BuildRecord("f" * 64, {}, SourceScan(frozenset(), (), (), compiles=False, whole=True))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run each test in a folder that looks like a cache but is not one; no action may change it."""
    here = tmp_path_factory.mktemp("elsewhere")
    for folder in (here, here / keys.wheel_path(_KEY), here / "pinstall" / "unfinished"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("origin.json", "record.json", _KEY, "demo-1.0-py3-none-any.whl"):
            (folder / name).write_text("somebody's")
    before = _tree(here)
    monkeypatch.chdir(here)
    yield
    assert _tree(here) == before


def _http(cache: Path, layout: keys.Layout = keys.TWO_FILES) -> HttpEntry:
    paths = tuple(str(cache / path) for path in keys.http_paths(_KEY, layout))
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"cc=4,\x81\xa8response\x83\xa4body\xc4\x01x\xa6status\xcc\xc8\xa7headers\x80")
    return HttpEntry("download", _KEY, paths, "demo-1.0.tar.gz", layout=layout)


def _built(cache: Path, name: str = "demo-1.0-py3-none-any.whl") -> BuiltWheel:
    folder = cache / keys.wheel_path(_KEY)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"wheel")
    (folder / "origin.json").write_text("{}")
    return BuiltWheel(_KEY, str(path))


_MAKERS: list[Callable[[Path], Entry]] = [_http, lambda cache: _http(cache, keys.ONE_FILE), _built]
_IDS = ["two-files", "one-file", "built"]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _tree(folder: Path) -> dict[str, bytes | str | None]:
    """Return all paths: of a file its bytes, of a link its target, of a folder None."""
    return {
        str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else None if p.is_dir() else p.read_bytes()
        for p in folder.rglob("*")
    }


def _made(cache: Path, *places: str) -> None:
    """Make a folder at each path that ends in a slash, and a file of ten bytes at each other path."""
    for place in places:
        path = cache / place
        (path if place.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not place.endswith("/"):
            path.write_bytes(b"0123456789")


def _in_store(cache: Path, entry: Entry) -> Entry:
    if isinstance(entry, BuiltWheel):
        (kept,) = store.builds(str(cache), _KEY, "demo")
        return kept
    found = store.http_entry(str(cache), entry)
    assert found is not None
    return found


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_delete_removes_all_files_of_an_entry_and_returns_false_the_second_time(
    tmp_path: Path, make: Callable[[Path], Entry]
) -> None:
    entry = make(tmp_path)
    assert actions.delete(str(tmp_path), entry, stamp(entry.content_path))
    assert not any(os.path.exists(path) for path in entry.paths)
    assert not actions.delete(str(tmp_path), entry, stamp(entry.content_path))


@pytest.mark.parametrize("recorded", [True, False])
def test_deleting_a_stored_build_deletes_its_origin_and_record(tmp_path: Path, *, recorded: bool) -> None:
    entry = _built(tmp_path)
    if recorded:
        actions.adopt(str(tmp_path), entry, _RECORD)
    actions.set_aside(str(tmp_path), entry, stamp(entry.content_path), "f" * 64)
    kept = _in_store(tmp_path, entry)
    assert actions.delete(str(tmp_path), kept, stamp(kept.content_path))
    assert _files(tmp_path) == {}


@pytest.mark.parametrize("words", [(actions.delete,), (actions.set_aside, "f" * 64)], ids=["delete", "set-aside"])
def test_origin_json_stays_while_the_folder_has_another_wheel(
    tmp_path: Path, words: tuple[Callable[..., bool], *tuple[str, ...]]
) -> None:
    entry, other = _built(tmp_path), _built(tmp_path, "demo-1.0-cp311-cp311-any.whl")
    act, *identity = words
    assert act(str(tmp_path), entry, stamp(entry.content_path), *identity)
    assert sorted(os.listdir(os.path.dirname(entry.content_path))) == [other.filename, "origin.json"]


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_set_aside_and_bring_back_restore_the_original_files(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    entry = make(tmp_path)
    before = _files(tmp_path)
    assert actions.set_aside(str(tmp_path), entry, stamp(entry.content_path), "f" * 64)
    assert not is_there(entry)
    assert not actions.set_aside(str(tmp_path), entry, stamp(entry.content_path), "f" * 64)
    kept = _in_store(tmp_path, entry)
    assert actions.bring_back(str(tmp_path), kept, stamp(kept.content_path))
    after = {path: data for path, data in _files(tmp_path).items() if "/builds/" not in str(path)}  # builds stay in the store
    assert after == before


@pytest.mark.parametrize("make", _MAKERS[:2], ids=_IDS[:2])
def test_the_store_records_the_file_name_of_a_download(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    """The download can be restored even if the file with the name is lost."""
    entry = make(tmp_path)
    before = _files(tmp_path)
    actions.set_aside(str(tmp_path), entry, stamp(entry.content_path), "f" * 64)
    kept = _in_store(tmp_path, entry)
    assert [(found.paths, name) for found, name in store.downloads(str(tmp_path))] == [(kept.paths, "demo-1.0.tar.gz")]
    os.unlink(kept.paths[0] + ".demo.json")
    assert actions.bring_back(str(tmp_path), kept, stamp(kept.content_path))
    assert _files(tmp_path) == before


def test_setting_aside_a_build_that_the_store_has_only_removes_it_from_the_cache(tmp_path: Path) -> None:
    entry = _built(tmp_path)
    actions.adopt(str(tmp_path), entry, _RECORD)
    before = _files(tmp_path / "pinstall")
    assert actions.set_aside(str(tmp_path), entry, stamp(entry.content_path), _RECORD.wheel)
    assert _files(tmp_path / "pinstall") == before
    assert _files(tmp_path / "wheels") == {}


@pytest.mark.parametrize(
    ("origin", "kept"),
    [(b"{}", True), (b" " * (1 << 20) + b"{}", False), (b"\xff", False), (b"[]", False)],
    ids=["usual", "too-large", "no-text", "no-object"],
)
def test_an_origin_json_that_is_too_large_or_not_an_object_is_not_copied(tmp_path: Path, origin: bytes, *, kept: bool) -> None:
    entry = _built(tmp_path)
    Path(entry.content_path).with_name("origin.json").write_bytes(origin)
    assert actions.set_aside(str(tmp_path), entry, stamp(entry.content_path), "f" * 64)
    found = {os.path.basename(path): data for path, data in _files(tmp_path).items()}
    assert found == {entry.filename: b"wheel"} | ({"origin.json": origin} if kept else {})


@pytest.mark.parametrize("call", ["replace", "makedirs"])
@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_an_entry_that_cannot_be_restored_stays_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Entry], call: str
) -> None:
    entry = make(tmp_path)
    actions.set_aside(str(tmp_path), entry, stamp(entry.content_path), "f" * 64)
    kept = _in_store(tmp_path, entry)
    before = _files(tmp_path)
    _failing(call, 28, monkeypatch)
    assert not actions.bring_back(str(tmp_path), kept, stamp(kept.content_path))
    assert _files(tmp_path) == before


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_bring_back_does_not_write_through_a_symbolic_link(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    entry = make(tmp_path / "cache")
    actions.set_aside(str(tmp_path / "cache"), entry, stamp(entry.content_path), "f" * 64)
    kept = _in_store(tmp_path / "cache", entry)
    top = tmp_path / "cache" / os.path.relpath(entry.content_path, tmp_path / "cache").partition("/")[0]
    top.rename(tmp_path / "elsewhere")
    top.symlink_to(tmp_path / "elsewhere")
    before = _tree(tmp_path)
    assert not actions.bring_back(str(tmp_path / "cache"), kept, stamp(kept.content_path))
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_bring_back_overwrites_nothing(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    entry = make(tmp_path)
    actions.set_aside(str(tmp_path), entry, stamp(entry.content_path), "f" * 64)
    kept = _in_store(tmp_path, entry)
    os.makedirs(os.path.dirname(entry.paths[0]), exist_ok=True)
    with open(entry.paths[0], "wb") as file:
        file.write(b"pip was faster")
    assert not actions.bring_back(str(tmp_path), kept, stamp(kept.content_path))
    with open(entry.paths[0], "rb") as file:
        assert file.read() == b"pip was faster"


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_a_file_that_changed_after_the_check_is_neither_deleted_nor_moved(
    tmp_path: Path, make: Callable[[Path], Entry]
) -> None:
    entry = make(tmp_path)
    seen = stamp(entry.content_path)
    with open(entry.content_path, "ab") as file:
        file.write(b"more")
    before = _files(tmp_path)
    with pytest.raises(actions.ChangedError, match=entry.filename):
        actions.delete(str(tmp_path), entry, seen)
    with pytest.raises(actions.ChangedError, match=entry.filename):
        actions.set_aside(str(tmp_path), entry, seen, "f" * 64)
    assert _files(tmp_path) == before


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_an_entry_behind_a_symbolic_link_is_not_deleted(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").symlink_to("elsewhere")
    entry = make(tmp_path / "cache")
    before = _files(tmp_path / "elsewhere")
    for cache in (tmp_path / "cache", tmp_path / "another"):
        with pytest.raises(actions.NotDoneError, match=" is reached through a symbolic link"):
            actions.delete(str(cache), entry, stamp(entry.content_path))
    assert _files(tmp_path / "elsewhere") == before


def _failing(name: str, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("error", [1, 5, 13, 28, 30])
@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_a_failing_deletion_raises_an_error_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Entry], error: int
) -> None:
    entry = make(tmp_path)
    before = _files(tmp_path)
    _failing("unlink", error, monkeypatch)
    with pytest.raises(actions.NotDoneError, match=f"could not be removed .*{os.strerror(error)}"):
        actions.delete(str(tmp_path), entry, stamp(entry.content_path))
    assert _files(tmp_path) == before


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_a_file_that_exists_after_its_deletion_raises_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Entry]
) -> None:
    entry = make(tmp_path)
    monkeypatch.setattr(os, "unlink", lambda _: None)
    with pytest.raises(actions.NotDoneError, match=f"{re.escape(entry.content_path)} was removed, and another"):
        actions.delete(str(tmp_path), entry, stamp(entry.content_path))


@pytest.mark.parametrize("call", ["replace", "makedirs"])
@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_a_failing_move_leaves_the_entry_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Entry], call: str
) -> None:
    entry = make(tmp_path)
    before = _files(tmp_path)
    _failing(call, 28, monkeypatch)
    with pytest.raises(actions.NotDoneError, match=f"{re.escape(entry.content_path)} could not be moved .*{os.strerror(28)}"):
        actions.set_aside(str(tmp_path), entry, stamp(entry.content_path), "f" * 64)
    assert _files(tmp_path) == before


@pytest.mark.parametrize("half", [0, 1], ids=["head", "body"])
@pytest.mark.parametrize("back", [False, True], ids=["out", "in"])
def test_a_move_that_was_killed_halfway_leaves_no_half_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, back: bool, half: int
) -> None:
    """If pinstall is killed between the two files, pip finds no half entry; the next call completes or undoes the move."""
    cache, entry = str(tmp_path), _http(tmp_path)
    before = {os.path.basename(path): data for path, data in _files(tmp_path).items()}
    if back:
        actions.set_aside(cache, entry, stamp(entry.content_path), "f" * 64)
    found = _in_store(tmp_path, entry) if back else entry
    real, last = os.replace, (entry.paths if back else store.http_paths(cache, entry))[half]

    def killed(source: str, target: str) -> None:
        if target == last:
            raise OSError(5, "killed")
        real(source, target)

    with monkeypatch.context() as patched, suppress(actions.NotDoneError):
        patched.setattr(os, "replace", killed)
        if back:
            assert not actions.bring_back(cache, found, stamp(found.content_path))
        else:
            actions.set_aside(cache, found, stamp(found.content_path), "f" * 64)
    assert is_there(entry) is not back
    cleanup.sweep(cache)
    assert not cleanup.has_litter(cache)
    whole = tmp_path / "pinstall" / "store" / "http" if back else Path(entry.paths[0]).parent
    assert {name: data for name, data in _files(whole).items() if not name.endswith(".json")} == before


_OWN, _KEPT = keys.http_paths(_KEY, keys.TWO_FILES)[0], f"pinstall/store/http/{_KEY}"


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ([_KEPT], []),
        ([f"{_KEPT}.body"], []),
        ([_KEPT, f"{_OWN}.body"], [_KEPT, f"{_KEPT}.body"]),
        ([_KEPT, _OWN, f"{_OWN}.body"], [_OWN, f"{_OWN}.body"]),
        ([_OWN, f"{_OWN}.body"], [_OWN, f"{_OWN}.body"]),
        ([f"{_OWN}.body"], [f"{_OWN}.body"]),
        ([_KEPT, f"{_KEPT}.body"], [_KEPT, f"{_KEPT}.body"]),
        ([_KEPT, f"{_KEPT}.body", f"{_OWN}.body"], [_KEPT, f"{_KEPT}.body", f"{_OWN}.body"]),
    ],
)
def test_sweep_joins_the_halves_of_a_download_or_deletes_them(tmp_path: Path, found: list[str], left: list[str]) -> None:
    note = f"pinstall/unfinished/{_KEY}"
    _made(tmp_path, *found, note)
    foreseen = {os.path.relpath(path, tmp_path) for paths, _ in cleanup.leftovers(str(tmp_path), []) for path in paths}
    assert foreseen == {note, *(path for path in found if path not in left and path.startswith(_KEPT))}
    cleanup.sweep(str(tmp_path))
    assert _files(tmp_path).keys() == set(left)


def test_what_sweep_deletes_of_a_half_moved_download_if_its_other_half_goes(tmp_path: Path) -> None:
    """`prune` removes the other half first if pip can use it no more, and `sweep` itself an expired spent entry."""
    note, spent = f"pinstall/unfinished/{_KEY}", f"pinstall/spent/http-v2.{_KEY}"
    _made(tmp_path, _KEPT, f"{_OWN}.body", note)
    both = [([str(tmp_path / path)], "left by a killed pinstall") for path in (note, _KEPT)]
    assert [*cleanup.leftovers(str(tmp_path), [str(tmp_path / f"{_OWN}.body")])] == both
    entry = _http(tmp_path)
    actions.spend(str(tmp_path), entry, stamp(entry.content_path))
    (tmp_path / "pinstall" / "calls").mkdir()
    assert [*cleanup.leftovers(str(tmp_path), [])] == both[:1]
    os.utime(tmp_path / spent, (0, 0))
    foreseen = [*cleanup.leftovers(str(tmp_path), [])]
    assert both[1] in foreseen
    files = _files(tmp_path).keys()
    cleanup.sweep(str(tmp_path))
    assert {os.path.relpath(path, tmp_path) for paths, _ in foreseen for path in paths} == files - _files(tmp_path).keys()


def _notes_through(cache: Path, link: Callable[[str], None]) -> None:
    entry = _http(cache)
    link(f"pinstall/unfinished/{_KEY}")
    assert actions.set_aside(str(cache), entry, stamp(entry.content_path), "f" * 64)


def _adopts(cache: Path, link: Callable[[str], None]) -> None:
    entry = _built(cache)
    link(os.path.relpath(entry.content_path, cache))
    actions.adopt(str(cache), entry, _RECORD)


def _keeps(cache: Path, link: Callable[[str], None]) -> None:
    link("pinstall/views/1-00000000/demo-1.0-py3-none-any.whl")
    actions.store_build(str(cache), _KEY, str(cache / "pinstall/views/1-00000000/demo-1.0-py3-none-any.whl"), _RECORD)


def _touches(cache: Path, link: Callable[[str], None]) -> None:
    link(f"pinstall/store/builds/{_KEY}/{'f' * 16}/record.json")
    actions.touch(str(cache), _built(cache), _RECORD)


def _touches_behind(cache: Path, link: Callable[[str], None]) -> None:
    link(f"pinstall/store/builds/{_KEY}/{'f' * 16}")
    actions.touch(str(cache), _built(cache), _RECORD)


@pytest.mark.parametrize("act", [_notes_through, _adopts, _keeps, _touches, _touches_behind], ids=lambda act: act.__name__[1:])
def test_the_target_of_a_symbolic_link_is_never_changed(
    tmp_path: Path, act: Callable[[Path, Callable[[str], None]], None]
) -> None:
    """Another user of a shared cache may put a link where pinstall will write a file."""
    precious = tmp_path / "home" / "record.json"
    precious.parent.mkdir()
    precious.write_text("precious")
    precious.chmod(0o600)
    os.utime(precious, (0, 0))

    def link(place: str) -> None:
        at = tmp_path / "cache" / place
        at.parent.mkdir(parents=True, exist_ok=True)
        at.unlink(missing_ok=True)
        at.symlink_to(precious if at.suffix or "unfinished" in place else precious.parent)

    before = precious.stat()
    with suppress(OSError):
        act(tmp_path / "cache", link)
    after = precious.stat()
    assert (precious.read_text(), after.st_mode, after.st_mtime) == ("precious", before.st_mode, before.st_mtime)
    assert os.listdir(precious.parent) == ["record.json"]


# Sweep, prune and clear

_STORED = f"pinstall/store/builds/{_KEY}"
_ID = "a" * 16
_HALF_MADE = ["pinstall/unfinished/0123", *(f"{_STORED}/{_ID}/{name}" for name in ("record.json", "origin.json", "other"))]


def test_sweep_removes_unfinished_files_and_builds_without_a_wheel(tmp_path: Path) -> None:
    other = "cd" * 28
    whole = [
        f"{_STORED}/{'b' * 16}/demo-1.0-py3-none-any.whl",
        f"{_STORED}/{'b' * 16}/record.json",
        f"{keys.wheel_path(other)}/demo-1.0-py3-none-any.whl",
        f"pinstall/store/builds/{other}/{_ID}/record.json",  # its wheel was pruned, and pip's own folder has it
    ]
    _made(tmp_path, *_HALF_MADE, *whole, f"pinstall/store/builds/{'ef' * 28}/{_ID}/")
    cleanup.sweep(str(tmp_path))
    assert _files(tmp_path).keys() == set(whole)
    assert sorted(os.listdir(tmp_path / "pinstall" / "store" / "builds")) == [_KEY, other]
    assert os.listdir(tmp_path / _STORED) == ["b" * 16]


def test_sweep_keeps_unfinished_files_while_another_call_is_running(tmp_path: Path) -> None:
    dead = "pinstall/views/1-00000000/"
    _made(tmp_path, *_HALF_MADE, dead)
    with lock.call_marker(str(tmp_path)):
        cleanup.sweep(str(tmp_path))
        assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} >= set(_HALF_MADE)
        assert not (tmp_path / dead).exists()


def test_sweep_does_not_follow_a_link_in_the_store(tmp_path: Path) -> None:
    _made(tmp_path, "elsewhere/record.json", f"cache/{_STORED}/")
    (tmp_path / "cache" / _STORED / _ID).symlink_to(tmp_path / "elsewhere")
    before = _tree(tmp_path / "cache" / _STORED), _tree(tmp_path / "elsewhere")
    cleanup.sweep(str(tmp_path / "cache"))
    assert (_tree(tmp_path / "cache" / _STORED), _tree(tmp_path / "elsewhere")) == before


@pytest.mark.parametrize("litter", ["calls/1-00000000", "views/1-00000000", "unfinished/0123"])
def test_has_litter_finds_each_kind_of_leftover(tmp_path: Path, litter: str) -> None:
    _made(tmp_path, "pinstall/calls/", "pinstall/views/", "pinstall/unfinished/")
    assert not cleanup.has_litter(str(tmp_path))
    _made(tmp_path, f"pinstall/{litter}")
    assert cleanup.has_litter(str(tmp_path))


_USED = [f"pinstall/store/http/{_KEY}", f"{_STORED}/{_ID}/demo-1.0-py3-none-any.whl", f"pinstall/store/http/{'cd' * 28}"]


def _store_of_thirty_bytes(cache: Path) -> None:
    """Make three entries of ten bytes, the last of them used last, and a record without a wheel, which is not counted."""
    record = f"pinstall/store/builds/{'ef' * 28}/{_ID}/record.json"
    _made(cache, record, *_USED)
    for time, place in enumerate((record, *_USED)):
        os.utime(cache / place, (time, time))


@pytest.mark.parametrize(("bound", "left"), [(31, 3), (30, 3), (29, 2), (20, 2), (19, 1), (10, 1), (9, 0), (0, 0)])
def test_prune_deletes_the_least_recently_used_entries_and_no_more_than_needed(tmp_path: Path, bound: int, left: int) -> None:
    _store_of_thirty_bytes(tmp_path)
    cleanup.shrink_store(str(tmp_path), bound)
    assert [place for place in _USED if (tmp_path / place).exists()] == _USED[3 - left :]
    assert len(_files(tmp_path)) == left + 1
    assert (tmp_path / "pinstall" / "store" / "http").exists() == (left > 0), "no empty folders"
    assert (tmp_path / _STORED).exists() == (left > 1)


@pytest.mark.parametrize("kept", [0, 1])
def test_prune_deletes_others_for_what_cannot_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """In a shared cache, the oldest files may belong to another user."""
    _store_of_thirty_bytes(tmp_path)
    real = os.unlink

    def refuse(path: str) -> None:
        if path == str(tmp_path / _USED[kept]):
            raise PermissionError(1, "not permitted")
        real(path)

    monkeypatch.setattr(os, "unlink", refuse)
    cleanup.shrink_store(str(tmp_path), 10)
    assert [place for place in _USED if (tmp_path / place).exists()] == [_USED[kept]]


def test_prune_does_nothing_while_another_call_is_running(tmp_path: Path) -> None:
    _store_of_thirty_bytes(tmp_path)
    with lock.call_marker(str(tmp_path)):
        cleanup.shrink_store(str(tmp_path), 0)
        assert all((tmp_path / place).exists() for place in _USED)


def test_prune_does_not_follow_links(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    _store_of_thirty_bytes(cache)
    _made(tmp_path, "elsewhere/demo-1.0-py3-none-any.whl")
    os.utime(tmp_path / "elsewhere/demo-1.0-py3-none-any.whl", (0, 0))
    (cache / _STORED / ("b" * 16)).symlink_to(tmp_path / "elsewhere")
    cleanup.shrink_store(str(cache), 10)
    assert [place for place in _USED if (cache / place).exists()] == []
    assert len(_files(tmp_path / "elsewhere")) == 1


def _with_links(cache: Path) -> None:
    """Make folders and files in the cache, and links to a file and a folder outside of it."""
    _made(cache, "../precious/file", "x/a/file", "x/a/b/file", "x/a/b/empty/", "y")
    (cache / "x/a/to-file").symlink_to("../../../precious/file")
    (cache / "x/a/to-folder").symlink_to("../../../precious")
    (cache / "to-folder").symlink_to("../precious")


@pytest.mark.parametrize(
    ("place", "removed"),
    [
        ("y", Removed(1, 10)),
        ("x/a/b/empty", Removed(folders=1)),
        ("x/a/b", Removed(1, 10, 2)),
        ("x", Removed(4, 20 + len("../../../precious/file") + len("../../../precious"), 4)),
        ("to-folder", Removed(1, len("../precious"))),
        ("x/a/to-file", Removed(1, len("../../../precious/file"))),
        ("absent", Removed()),
    ],
)
def test_clear_deletes_and_counts_files_and_folders(tmp_path: Path, place: str, removed: Removed) -> None:
    cache = tmp_path / "cache"
    _with_links(cache)
    before = _tree(tmp_path)
    assert cleanup.delete_tree(str(cache), str(cache / place)) == removed
    gone = f"cache/{place}"
    assert _tree(tmp_path) == {path: what for path, what in before.items() if path != gone and not path.startswith(f"{gone}/")}


@pytest.mark.parametrize(
    "place",
    ["cache", ".", "precious", "precious/file", "cache/to-folder/file", "cache/x/a/to-folder/empty", "cache2", "cache2/file"],
)
@pytest.mark.parametrize("clear", [cleanup.delete_tree, cleanup.clear_empty])
def test_clear_deletes_nothing_outside_the_cache(tmp_path: Path, clear: Callable[[str, str], object], place: str) -> None:
    cache = tmp_path / "cache"
    _with_links(cache)
    _made(tmp_path, "cache2/file", "precious/empty/")
    before = _tree(tmp_path)
    assert clear(str(cache), str(tmp_path / place)) in (Removed(), 0)
    assert _tree(tmp_path) == before


def test_clear_skips_files_that_cannot_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _made(tmp_path, "x/a/file", "x/a/other", "x/b/file")
    real = os.unlink

    def refuse(path: str) -> None:
        if path.endswith("other"):
            raise OSError(1, "not permitted")
        real(path)

    monkeypatch.setattr(os, "unlink", refuse)
    assert cleanup.delete_tree(str(tmp_path), str(tmp_path / "x")) == Removed(2, 20, 1)
    assert _tree(tmp_path).keys() == {"x", "x/a", "x/a/other"}


def test_clear_empty_deletes_only_empty_folders(tmp_path: Path) -> None:
    _made(tmp_path, "cache/x/a/b/", "cache/x/c/file", "cache/x/c/d/e/", "cache/y/a/", "precious/empty/")
    (tmp_path / "cache" / "x" / "c" / "link").symlink_to(tmp_path / "precious")
    cache = str(tmp_path / "cache")
    assert [cleanup.clear_empty(cache, os.path.join(cache, folder)) for folder in ("x", "y", "absent")] == [4, 2, 0]
    assert _tree(tmp_path).keys() == {
        *("cache", "cache/x", "cache/x/c", "cache/x/c/file", "cache/x/c/link", "precious", "precious/empty")
    }


# Builds


def test_an_adopted_wheel_is_copied_to_the_store_and_stays_in_pips_folder(tmp_path: Path) -> None:
    entry = _built(tmp_path)
    actions.adopt(str(tmp_path), entry, _RECORD)
    (kept,) = store.builds(str(tmp_path), _KEY, "demo")
    assert not os.path.samefile(kept.content_path, entry.content_path), "pips before 25.3 may write into what they replace"
    there, here = (_files(Path(os.path.dirname(found.content_path))) for found in (kept, entry))
    assert store.first_record(str(tmp_path), BuiltWheel(_KEY, ""), _RECORD.wheel) == _RECORD
    del there["record.json"]
    assert there == here == {"demo-1.0-py3-none-any.whl": b"wheel", "origin.json": b"{}"}
    before = stamp(kept.content_path)
    actions.adopt(str(tmp_path), entry, _RECORD)
    assert stamp(kept.content_path) == before, "the wheel is not copied again"


@pytest.mark.parametrize("others", [[], ["demo-1.0-cp311-cp311-any.whl"]])
def test_a_new_build_is_stored_and_copied_to_pips_folder_if_that_has_no_wheel(tmp_path: Path, others: list[str]) -> None:
    for other in others:
        _built(tmp_path, other)
    _made(tmp_path, "pinstall/views/1-00000000/demo-1.0-py3-none-any.whl")
    (tmp_path / "pinstall/views/1-00000000/origin.json").write_text('{"url": "https://a/b?c"}')
    actions.store_build(str(tmp_path), _KEY, str(tmp_path / "pinstall/views/1-00000000/demo-1.0-py3-none-any.whl"), _RECORD)
    assert store.first_record(str(tmp_path), BuiltWheel(_KEY, ""), _RECORD.wheel) == _RECORD
    folder = tmp_path / _STORED / ("f" * 16)
    assert _files(folder).keys() == {"demo-1.0-py3-none-any.whl", "origin.json", "record.json"}
    assert (folder / "origin.json").read_text() == '{"url": "https://a/b"}', "a query may be a secret"
    assert _files(tmp_path / keys.wheel_path(_KEY)).keys() == {*(others or ["demo-1.0-py3-none-any.whl"]), "origin.json"}


def test_touch_updates_only_the_time_of_the_build_record(tmp_path: Path) -> None:
    entry = _built(tmp_path)
    actions.touch(str(tmp_path), entry, _RECORD)  # a wheel of plain pip has no record to touch
    actions.adopt(str(tmp_path), entry, _RECORD)
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0))
    actions.touch(str(tmp_path), entry, _RECORD)
    assert [path.name for path in tmp_path.rglob("*") if path.stat().st_mtime] == ["record.json"]


def test_move_over_overwrites_nothing(tmp_path: Path) -> None:
    _made(tmp_path, "view/selfcheck/file", "view/other/file", "cache/other/somebody's")
    for name in ("selfcheck", "other", "absent"):
        actions.move_to_cache(str(tmp_path / "view" / name), str(tmp_path / "cache" / name))
    assert _files(tmp_path).keys() == {"cache/selfcheck/file", "view/other/file", "cache/other/somebody's"}


class _Unreadable:
    """A checker for which an entry that has changed cannot be read any more."""

    def __init__(self, cache: Path) -> None:
        self.cache = SimpleNamespace(root=str(cache))

    def again(self, finding: Finding) -> Finding:
        return finding._replace(verdict=Unreadable("permission denied"))


def test_an_entry_that_changes_and_cannot_be_read_again_is_kept_from_pip(tmp_path: Path) -> None:
    entry = _http(tmp_path)
    pin = Pin("demo", SpecifierSet("==1.0"), "", (), ("argument",), requested=True)
    found = Finding(Candidate(pin, entry), stamp(entry.content_path), Delete("damaged", "it is cut off"))
    Path(entry.content_path).write_bytes(b"changed")
    checker: Any = _Unreadable(tmp_path)
    applied = apply_verdicts(checker, [found], 1, lambda _level, line: pytest.fail(line))
    assert (applied.done, [failure.why for failure in applied.failed]) == (
        [],
        [f"its file {entry.content_path} could not be checked (permission denied)"],
    )
