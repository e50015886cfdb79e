"""Tests of the view: which files it shows, and where files that pip writes to it end up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinstall.inspection.build_record import BuildRecord
from pinstall.inspection.sdist_scan import SourceScan
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.pip_cache.keys import wheel_path
from pinstall.storage import actions, lock, view
from pinstall.storage.view import ViewPlan
from tests.packages import extension, wheel

if TYPE_CHECKING:
    from tests.lab import Lab

# Two keys share only the first level of their paths; the third shares none.
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


def _entry(cache: Path, key: str) -> BuiltWheel:
    (path,) = (cache / wheel_path(key)).glob("*.whl")
    return BuiltWheel(key, str(path))


def _seen(folder: str) -> set[str]:
    """Return the files that pip finds, following links."""
    found = set()
    for here, _, names in os.walk(folder, followlinks=True):
        found |= {os.path.relpath(os.path.join(here, name), folder) for name in names}
    return found


_ALL = {"http-v2/a/page", "note.txt"} | {
    f"{wheel_path(key)}/{name}" for key in _KEYS for name in ("demo-1.0-py3-none-any.whl", "origin.json")
}


@pytest.mark.parametrize("any_key", [True, False])
@pytest.mark.parametrize("hidden", [[], _KEYS[:1], _KEYS[1:], _KEYS, ["eeee" + "3" * 52]])
def test_a_view_shows_everything_but_the_private_keys(cache: Path, hidden: list[str], any_key: bool) -> None:
    folder = view.make(str(cache), _NAME, ViewPlan({key: [] for key in hidden}, any_key), ["http-v2"])
    paths = [wheel_path(key) for key in hidden]
    assert _seen(folder) == {path for path in _ALL if os.path.dirname(path) not in paths}
    view.remove(str(cache), _NAME)
    assert not os.path.lexists(folder)
    assert {path for path in _seen(str(cache)) if not path.startswith("pinstall")} == _ALL


def test_a_shown_wheel_is_a_link_and_does_not_count_as_built(cache: Path) -> None:
    entry = _entry(cache, _KEYS[1])
    folder = view.make(str(cache), _NAME, ViewPlan({_KEYS[0]: [entry]}), ["http-v2"])
    shown = os.path.join(folder, wheel_path(_KEYS[0]), entry.filename)
    assert os.path.samefile(shown, entry.content_path)
    assert list(view.built(str(folder))) == []


@pytest.mark.parametrize("has_origin", [True, False])
def test_origin_json_in_a_view_is_a_private_copy(cache: Path, *, has_origin: bool) -> None:
    entry = _entry(cache, _KEYS[1])
    source = cache / wheel_path(_KEYS[1]) / "origin.json"
    if not has_origin:
        source.unlink()
    folder = Path(view.make(str(cache), _NAME, ViewPlan({_KEYS[0]: [entry]}), ["http-v2"]), wheel_path(_KEYS[0]))
    assert sorted(os.listdir(folder)) == [entry.filename, *(["origin.json"] if has_origin else [])]
    if has_origin:
        shown = folder / "origin.json"
        assert shown.read_text() == _KEYS[1]
        shown.write_text("pip's")
        assert source.read_text() == _KEYS[1]


@pytest.mark.parametrize(("any_key", "linked"), [(True, "wheels/aa/bb/00"), (False, "wheels/aa")])
def test_with_unknown_keys_every_new_build_stays_in_the_view(cache: Path, any_key: bool, linked: str) -> None:
    """Even for a key that shares two levels with an existing one; more real levels would need a folder per built wheel."""
    near = _KEYS[0][:4] + "9" * 52
    folder = Path(view.make(str(cache), _NAME, ViewPlan({_KEYS[2]: []}, any_key), ["http-v2"]))
    made = wheel(folder / wheel_path(near), "other", "1.0")
    assert list(view.built(str(folder))) == ([(near, str(made))] if any_key else [])
    assert (cache / wheel_path(near)).exists() != any_key
    assert (folder / linked).is_symlink()


@pytest.mark.parametrize("any_key", [True, False])
def test_new_builds_and_other_new_files_are_found_and_downloads_go_to_the_cache(cache: Path, any_key: bool) -> None:
    new = "eeee" + "3" * 52
    plan = ViewPlan({_KEYS[0]: [_entry(cache, _KEYS[0])], new: []}, any_key)
    folder = view.make(str(cache), _NAME, plan, ["http-v2"])
    made = wheel(cache / "pinstall" / "views" / _NAME / wheel_path(new), "other", "1.0")
    (cache / "pinstall" / "views" / _NAME / "selfcheck").mkdir()
    (cache / "pinstall" / "views" / _NAME / "http-v2" / "b").write_text("a download")
    assert list(view.built(str(folder))) == [(new, str(made))]
    assert list(view.unclaimed(str(cache), folder)) == [(os.path.join(folder, "selfcheck"), str(cache / "selfcheck"))]
    assert (cache / "http-v2" / "b").read_text() == "a download"


def test_downloads_through_a_view_reach_an_empty_cache(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "cache"
    root.mkdir()
    folder = view.make(str(root), _NAME, ViewPlan({}, any_key=True), ["http-v2"])
    with open(os.path.join(folder, "http-v2", "b"), "w") as file:
        file.write("a download")
    view.remove(str(root), _NAME)
    assert (root / "http-v2" / "b").read_text() == "a download"


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o777])
def test_a_folder_made_for_pip_has_the_mode_of_the_cache(cache: Path, mode: int) -> None:
    """Since pip 25.0, files in the cache get the mode of their folder."""
    cache.chmod(mode)
    umask = os.umask(0)
    try:
        view.make(str(cache), _NAME, ViewPlan({}, any_key=True), ["http"])
    finally:
        os.umask(umask)
    assert (cache / "http").stat().st_mode & 0o777 == mode


def test_no_view_is_made_on_a_full_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "is_full", lambda folder: folder == str(cache))
    with pytest.raises(OSError, match="No space left on device") as raised:
        view.make(str(cache), _NAME, ViewPlan({}, any_key=True), ["http-v2"])
    assert (raised.value.errno, raised.value.strerror) == (28, "No space left on device")
    assert view.names(str(cache)) == []


def test_dangling_links_to_wheels_are_removed(cache: Path) -> None:
    """Otherwise the second run of pip would fail on a dangling link."""
    plan = ViewPlan({_KEYS[0]: [_entry(cache, _KEYS[0])], _KEYS[1]: [_entry(cache, _KEYS[1])]})
    folder = view.make(str(cache), _NAME, plan, ["http-v2"])
    made = wheel(Path(folder, wheel_path(_KEYS[0])), "other", "1.0")
    os.unlink(_entry(cache, _KEYS[0]).content_path)
    view.forget_gone(folder)
    left = [sorted(os.listdir(os.path.join(folder, wheel_path(key)))) for key in _KEYS[:2]]
    assert left == [["origin.json", made.name], ["demo-1.0-py3-none-any.whl", "origin.json"]]


def test_sweep_does_not_remove_views_behind_a_link(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / _NAME).mkdir(parents=True)
    (cache / "pinstall").mkdir()
    (cache / "pinstall" / "views").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        view.sweep(str(cache), ())
    assert os.listdir(tmp_path / "elsewhere") == [_NAME]


def test_real_root_returns_the_cache_of_a_view(cache: Path) -> None:
    folder = view.make(str(cache), _NAME, ViewPlan({}, any_key=True), ["http-v2"])
    assert view.real_root(folder) == str(cache)
    assert view.real_root(str(cache)) == str(cache)
    assert view.real_root(str(cache / "views" / "x")) == str(cache / "views" / "x")


def test_sweep_keeps_the_views_of_running_calls(cache: Path) -> None:
    with lock.call_marker(str(cache)) as name:
        assert name is not None
        folder = view.make(str(cache), name, ViewPlan({}, any_key=True), ["http-v2"])
        dead = view.make(str(cache), _NAME, ViewPlan({}, any_key=True), ["http-v2"])
        view.sweep(str(cache), lock.live_calls(str(cache), clears=True))
        assert (os.path.isdir(folder), os.path.isdir(dead)) == (True, False)
    view.sweep(str(cache), lock.live_calls(str(cache), clears=True))
    assert not os.path.isdir(folder)
    view.remove(str(cache), name)  # removing a view twice is no error


def test_a_view_that_cannot_be_completed_is_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        if target.endswith("note.txt"):
            raise OSError(1, "not permitted")
        os.symlink(source, target)

    monkeypatch.setattr(view, "_link", refuse)
    with pytest.raises(OSError, match="not permitted"):
        view.make(str(cache), _NAME, ViewPlan({}, any_key=True), ["http-v2"])
    assert os.listdir(cache / "pinstall" / "views") == []


_RECORD = BuildRecord("f" * 64, {}, SourceScan(frozenset(), (), (), compiles=False, whole=True))


def test_a_build_is_stored_on_a_file_system_without_hard_links(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "link", refuse)
    new = "eeee" + "3" * 52
    made = wheel(cache / "pinstall" / "views" / _NAME / wheel_path(new), "demo", "1.0")
    data = made.read_bytes()
    actions.store_build(str(cache), new, str(made), _RECORD)
    assert (cache / wheel_path(new) / made.name).read_bytes() == data
    assert (cache / "pinstall" / "store" / "builds" / new / ("f" * 16) / made.name).read_bytes() == data


def test_storing_a_build_does_not_overwrite_pips_wheel(cache: Path) -> None:
    made = wheel(cache / "pinstall" / "views" / _NAME / wheel_path(_KEYS[0]), "demo", "1.0", "another")
    before = (cache / wheel_path(_KEYS[0]) / made.name).read_bytes()
    actions.store_build(str(cache), _KEYS[0], str(made), _RECORD)
    assert (cache / wheel_path(_KEYS[0]) / made.name).read_bytes() == before
    assert not made.exists()


def test_a_read_only_cache_still_gets_a_correct_build(lab: Lab) -> None:
    """pinstall builds the wheel with the flags of the call, but cannot store it."""
    index = lab.index()
    lab.environ["PIP_INDEX_URL"] = index.url
    extension(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "demo==1.0")
    environment = lab.environment()
    done = lab.on_read_only_cache(f"{environment.pinstall} demo==1.0", CFLAGS="""-UCONTENT -DCONTENT='"flags"'""")
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 flags"
    assert ["other-build" in line for line in done.said] == [True]
