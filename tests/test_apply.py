"""The one hand that moves and deletes: what it leaves on disk whatever the system says."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pinstall import apply, store
from pinstall.pipcache import keys
from pinstall.pipcache.entries import Entry, stamp
from pinstall.proof.build import Record
from pinstall.proof.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_KEY = "ab" * 28
_RECORD = Record("f" * 64, {}, Source(frozenset(), (), (), compiles=False, whole=True))


def _http(cache: Path, layout: keys.Layout = keys.TWO_FILES) -> Entry:
    paths = tuple(str(cache / path) for path in keys.http_paths(_KEY, layout))
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"cc=4,\x81\xa8response\x83\xa4body\xc4\x01x\xa6status\xcc\xc8\xa7headers\x80")
    return Entry("download", _KEY, paths, "demo-1.0.tar.gz", layout=layout)


def _built(cache: Path) -> Entry:
    folder = cache / keys.wheel_path(_KEY)
    folder.mkdir(parents=True)
    path = folder / "demo-1.0-py3-none-any.whl"
    path.write_bytes(b"wheel")
    (folder / "origin.json").write_text("{}")
    return Entry("built", f"{_KEY}/{path.name}", (str(path),), path.name)


_MAKERS: list[Callable[[Path], Entry]] = [_http, lambda cache: _http(cache, keys.ONE_FILE), _built]
_IDS = ["two-files", "one-file", "built"]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _in_store(cache: Path, entry: Entry) -> Entry:
    if entry.kind == "built":
        (kept,) = store.builds(str(cache), _KEY, "demo")
        return kept
    found = store.http_entry(str(cache), entry)
    assert found is not None
    return found


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_deleted_is_gone(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    entry = make(tmp_path)
    assert apply.delete(str(tmp_path), entry, stamp(entry.content))
    assert not any(os.path.exists(path) for path in entry.paths)
    assert not apply.delete(str(tmp_path), entry, stamp(entry.content))


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_set_aside_and_back_is_as_before(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    entry = make(tmp_path)
    before = _files(tmp_path)
    assert apply.set_aside(str(tmp_path), entry, stamp(entry.content), "f" * 64)
    assert not any(os.path.exists(path) for path in entry.paths)
    kept = _in_store(tmp_path, entry)
    assert apply.bring_back(str(tmp_path), kept, stamp(kept.content))
    after = {path: data for path, data in _files(tmp_path).items() if "/builds/" not in str(path)}  # builds stay in the store
    assert after == before


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_nothing_is_brought_back_over_something(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    entry = make(tmp_path)
    apply.set_aside(str(tmp_path), entry, stamp(entry.content), "f" * 64)
    kept = _in_store(tmp_path, entry)
    os.makedirs(os.path.dirname(entry.paths[0]), exist_ok=True)
    with open(entry.paths[0], "wb") as file:
        file.write(b"pip was faster")
    assert not apply.bring_back(str(tmp_path), kept, stamp(kept.content))
    with open(entry.paths[0], "rb") as file:
        assert file.read() == b"pip was faster"


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_what_changed_since_is_not_touched(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    entry = make(tmp_path)
    seen = stamp(entry.content)
    with open(entry.content, "ab") as file:
        file.write(b"more")
    before = _files(tmp_path)
    with pytest.raises(apply.ChangedError):
        apply.delete(str(tmp_path), entry, seen)
    with pytest.raises(apply.ChangedError):
        apply.set_aside(str(tmp_path), entry, seen, "f" * 64)
    assert _files(tmp_path) == before


@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_what_lies_behind_a_link_is_not_touched(tmp_path: Path, make: Callable[[Path], Entry]) -> None:
    entry = make(tmp_path / "elsewhere")
    (tmp_path / "cache").symlink_to("elsewhere")
    paths = tuple(path.replace("/elsewhere/", "/cache/") for path in entry.paths)
    before = _files(tmp_path / "elsewhere")
    for cache in (tmp_path / "cache", tmp_path / "another"):
        with pytest.raises(apply.NotDoneError):
            apply.delete(str(cache), entry._replace(paths=paths), stamp(entry.content))
    assert _files(tmp_path / "elsewhere") == before


def _failing(name: str, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("error", [1, 5, 13, 28, 30])
@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_a_deletion_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Entry], error: int
) -> None:
    entry = make(tmp_path)
    before = _files(tmp_path)
    _failing("unlink", error, monkeypatch)
    with pytest.raises(apply.NotDoneError):
        apply.delete(str(tmp_path), entry, stamp(entry.content))
    assert _files(tmp_path) == before


@pytest.mark.parametrize("call", ["replace", "makedirs"])
@pytest.mark.parametrize("make", _MAKERS, ids=_IDS)
def test_a_move_that_fails_leaves_the_entry_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Entry], call: str
) -> None:
    entry = make(tmp_path)
    before = _files(tmp_path)
    _failing(call, 28, monkeypatch)
    with pytest.raises(apply.NotDoneError):
        apply.set_aside(str(tmp_path), entry, stamp(entry.content), "f" * 64)
    assert _files(tmp_path) == before


def test_half_a_move_is_a_miss_for_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two files of an entry: the metadata went first, so pip asks the server."""
    entry = _http(tmp_path)
    real = os.replace

    def killed(source: str, target: str) -> None:
        if source == entry.content:
            raise OSError(5, "killed")
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(apply.NotDoneError):
        apply.set_aside(str(tmp_path), entry, stamp(entry.content), "f" * 64)
    assert [os.path.exists(path) for path in entry.paths] == [False, True]


def _notes_through(cache: Path, link: Callable[[str], None]) -> None:
    entry = _http(cache)
    link(f"pinstall/unfinished/{_KEY}")
    assert apply.set_aside(str(cache), entry, stamp(entry.content), "f" * 64)


def _adopts(cache: Path, link: Callable[[str], None]) -> None:
    entry = _built(cache)
    link(os.path.relpath(entry.content, cache))
    apply.adopt(str(cache), entry, _RECORD)


def _keeps(cache: Path, link: Callable[[str], None]) -> None:
    link("pinstall/views/1-00000000/demo-1.0-py3-none-any.whl")
    apply.keep_build(str(cache), _KEY, str(cache / "pinstall/views/1-00000000/demo-1.0-py3-none-any.whl"), _RECORD)


def _touches(cache: Path, link: Callable[[str], None]) -> None:
    link(f"pinstall/store/builds/{_KEY}/{'f' * 16}/record.json")
    apply.touch(str(cache), _built(cache), _RECORD)


def _touches_behind(cache: Path, link: Callable[[str], None]) -> None:
    link(f"pinstall/store/builds/{_KEY}/{'f' * 16}")
    apply.touch(str(cache), _built(cache), _RECORD)


@pytest.mark.parametrize("act", [_notes_through, _adopts, _keeps, _touches, _touches_behind], ids=lambda act: act.__name__[1:])
def test_nothing_is_done_to_what_a_link_leads_to(tmp_path: Path, act: Callable[[Path, Callable[[str], None]], None]) -> None:
    """Whoever else writes to the cache may put a link where a file of ours is to be."""
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
