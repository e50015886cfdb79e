"""The view: links to all that is there, but for what is private."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinstall.inspection.build_record import BuildRecord
from pinstall.inspection.sdist_scan import Source
from pinstall.pip_cache.http_entries import Entry
from pinstall.pip_cache.keys import wheel_path
from pinstall.storage import actions, lock, view
from pinstall.storage.view import Plan
from tests.packages import extension, wheel

if TYPE_CHECKING:
    from tests.lab import Lab

# Two that part at the second level, and one by itself.
_KEYS = ["aabb" + "0" * 52, "aacc" + "1" * 52, "dddd" + "2" * 52]
_NAME = "1-00000000"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "cache"
    for key in _KEYS:
        folder = root / wheel_path(key)
        wheel(folder, "demo", "1.0", key[:4])
        (folder / "origin.json").write_text(key)
    (root / "http-v2" / "a").mkdir(parents=True)
    (root / "http-v2" / "a" / "page").write_text("page")
    (root / "note.txt").write_text("somebody's")
    return root


def _entry(cache: Path, key: str) -> Entry:
    (path,) = (cache / wheel_path(key)).glob("*.whl")
    return Entry("built", f"{key}/{path.name}", (str(path),), path.name)


def _seen(folder: str) -> set[str]:
    """What pip sees: it follows links."""
    found = set()
    for here, _, names in os.walk(folder, followlinks=True):
        found |= {os.path.relpath(os.path.join(here, name), folder) for name in names}
    return found


_ALL = {"http-v2/a/page", "note.txt"} | {
    f"{wheel_path(key)}/{name}" for key in _KEYS for name in ("demo-1.0-py3-none-any.whl", "origin.json")
}


@pytest.mark.parametrize("unknown", [True, False])
@pytest.mark.parametrize("hidden", [[], _KEYS[:1], _KEYS[1:], _KEYS, ["eeee" + "3" * 52]])
def test_everything_but_what_is_private(cache: Path, hidden: list[str], unknown: bool) -> None:
    folder = view.make(str(cache), _NAME, Plan({key: [] for key in hidden}, unknown), ["http-v2"])
    paths = [wheel_path(key) for key in hidden]
    assert _seen(folder) == {path for path in _ALL if os.path.dirname(path) not in paths}
    view.remove(str(cache), _NAME)
    assert not os.path.lexists(folder)
    assert {path for path in _seen(str(cache)) if not path.startswith("pinstall")} == _ALL


def test_what_is_shown_is_the_file_itself(cache: Path) -> None:
    entry = _entry(cache, _KEYS[1])
    folder = view.make(str(cache), _NAME, Plan({_KEYS[0]: [entry]}), ["http-v2"])
    shown = os.path.join(folder, wheel_path(_KEYS[0]), entry.filename)
    assert os.path.samefile(shown, entry.content)
    assert list(view.built(str(cache), _NAME)) == []


@pytest.mark.parametrize("told", [True, False])
def test_what_is_told_of_what_is_shown_is_pips_to_write_over(cache: Path, *, told: bool) -> None:
    entry = _entry(cache, _KEYS[1])
    source = cache / wheel_path(_KEYS[1]) / "origin.json"
    if not told:
        source.unlink()
    folder = Path(view.make(str(cache), _NAME, Plan({_KEYS[0]: [entry]}), ["http-v2"]), wheel_path(_KEYS[0]))
    assert sorted(os.listdir(folder)) == [entry.filename, *(["origin.json"] if told else [])]
    if told:
        shown = folder / "origin.json"
        assert shown.read_text() == _KEYS[1]
        shown.write_text("pip's")
        assert source.read_text() == _KEYS[1]


@pytest.mark.parametrize(("unknown", "linked"), [(True, "wheels/aa/bb/00"), (False, "wheels/aa")])
def test_what_is_built_where_keys_are_not_known_is_private_too(cache: Path, unknown: bool, linked: str) -> None:
    """Though the key shares two levels with one that there is; more of them would take a folder for each built wheel."""
    near = _KEYS[0][:4] + "9" * 52
    folder = Path(view.make(str(cache), _NAME, Plan({_KEYS[2]: []}, unknown), ["http-v2"]))
    made = wheel(folder / wheel_path(near), "other", "1.0")
    assert list(view.built(str(cache), _NAME)) == ([(near, str(made))] if unknown else [])
    assert (cache / wheel_path(near)).exists() != unknown
    assert (folder / linked).is_symlink()


@pytest.mark.parametrize("unknown", [True, False])
def test_what_pip_puts_there_is_told_from_what_was_there(cache: Path, unknown: bool) -> None:
    new = "eeee" + "3" * 52
    plan = Plan({_KEYS[0]: [_entry(cache, _KEYS[0])], new: []}, unknown)
    folder = view.make(str(cache), _NAME, plan, ["http-v2"])
    made = wheel(cache / "pinstall" / "views" / _NAME / wheel_path(new), "other", "1.0")
    (cache / "pinstall" / "views" / _NAME / "selfcheck").mkdir()
    (cache / "pinstall" / "views" / _NAME / "http-v2" / "b").write_text("a download")
    assert list(view.built(str(cache), _NAME)) == [(new, str(made))]
    assert list(view.left(str(cache), _NAME)) == [(os.path.join(folder, "selfcheck"), str(cache / "selfcheck"))]
    assert (cache / "http-v2" / "b").read_text() == "a download"


def test_downloads_land_in_a_cache_that_is_empty(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "cache"
    root.mkdir()
    folder = view.make(str(root), _NAME, Plan({}, unknown=True), ["http-v2"])
    with open(os.path.join(folder, "http-v2", "b"), "w") as file:
        file.write("a download")
    view.remove(str(root), _NAME)
    assert (root / "http-v2" / "b").read_text() == "a download"


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o777])
def test_pips_own_folder_is_no_more_open_than_the_cache(cache: Path, mode: int) -> None:
    """From pip 25.0 on, what is in it takes its mode."""
    cache.chmod(mode)
    umask = os.umask(0)
    try:
        view.make(str(cache), _NAME, Plan({}, unknown=True), ["http"])
    finally:
        os.umask(umask)
    assert (cache / "http").stat().st_mode & 0o777 == mode


def test_on_a_full_disk_there_is_no_view(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "is_full", lambda folder: folder == str(cache))
    with pytest.raises(OSError, match="No space left on device") as told:
        view.make(str(cache), _NAME, Plan({}, unknown=True), ["http-v2"])
    assert (told.value.errno, told.value.strerror) == (28, "No space left on device")
    assert view.names(str(cache)) == []


def test_links_to_wheels_that_are_gone_go(cache: Path) -> None:
    """So that pip, which is to try again, does not fail on them."""
    plan = Plan({_KEYS[0]: [_entry(cache, _KEYS[0])], _KEYS[1]: [_entry(cache, _KEYS[1])]})
    folder = view.make(str(cache), _NAME, plan, ["http-v2"])
    made = wheel(Path(folder, wheel_path(_KEYS[0])), "other", "1.0")
    os.unlink(_entry(cache, _KEYS[0]).content)
    view.forget_gone(str(cache), _NAME)
    left = [sorted(os.listdir(os.path.join(folder, wheel_path(key)))) for key in _KEYS[:2]]
    assert left == [["origin.json", made.name], ["demo-1.0-py3-none-any.whl", "origin.json"]]


def test_no_view_is_removed_behind_a_link(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / _NAME).mkdir(parents=True)
    (cache / "pinstall").mkdir()
    (cache / "pinstall" / "views").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        view.sweep(str(cache), ())
    assert os.listdir(tmp_path / "elsewhere") == [_NAME]


def test_the_cache_behind_a_view(cache: Path) -> None:
    folder = view.make(str(cache), _NAME, Plan({}, unknown=True), ["http-v2"])
    assert view.real_root(folder) == str(cache)
    assert view.real_root(str(cache)) == str(cache)
    assert view.real_root(str(cache / "views" / "x")) == str(cache / "views" / "x")


def test_views_of_the_living_stay(cache: Path) -> None:
    with lock.call_marker(str(cache)) as name:
        assert name is not None
        folder = view.make(str(cache), name, Plan({}, unknown=True), ["http-v2"])
        dead = view.make(str(cache), _NAME, Plan({}, unknown=True), ["http-v2"])
        view.sweep(str(cache), lock.live_calls(str(cache)))
        assert (os.path.isdir(folder), os.path.isdir(dead)) == (True, False)
    view.sweep(str(cache), lock.live_calls(str(cache)))
    assert not os.path.isdir(folder)
    view.remove(str(cache), name)  # somebody else was faster


def test_a_view_that_cannot_be_made_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        if target.endswith("note.txt"):
            raise OSError(1, "not permitted")
        os.symlink(source, target)

    monkeypatch.setattr(view, "_link", refuse)
    with pytest.raises(OSError, match="not permitted"):
        view.make(str(cache), _NAME, Plan({}, unknown=True), ["http-v2"])
    assert os.listdir(cache / "pinstall" / "views") == []


_RECORD = BuildRecord("f" * 64, {}, Source(frozenset(), (), (), compiles=False, whole=True))


def test_a_build_is_kept_where_there_are_no_hard_links(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "link", refuse)
    new = "eeee" + "3" * 52
    made = wheel(cache / "pinstall" / "views" / _NAME / wheel_path(new), "demo", "1.0")
    data = made.read_bytes()
    actions.keep_build(str(cache), new, str(made), _RECORD)
    assert (cache / wheel_path(new) / made.name).read_bytes() == data
    assert (cache / "pinstall" / "store" / "builds" / new / ("f" * 16) / made.name).read_bytes() == data


def test_a_build_does_not_go_over_what_pip_has(cache: Path) -> None:
    made = wheel(cache / "pinstall" / "views" / _NAME / wheel_path(_KEYS[0]), "demo", "1.0", "another")
    before = (cache / wheel_path(_KEYS[0]) / made.name).read_bytes()
    actions.keep_build(str(cache), _KEYS[0], str(made), _RECORD)
    assert (cache / wheel_path(_KEYS[0]) / made.name).read_bytes() == before
    assert not made.exists()


def test_a_cache_that_cannot_be_written(lab: Lab) -> None:
    """The promise holds, at the price of a build, which does not stay."""
    index = lab.index()
    lab.environ["PIP_INDEX_URL"] = index.url
    extension(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "demo==1.0")
    environment = lab.environment()
    done = lab.on_read_only_cache(f"{environment.pinstall} demo==1.0", CFLAGS="""-UCONTENT -DCONTENT='"flags"'""")
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 flags"
    assert ["other-build" in line for line in done.said] == [True]
