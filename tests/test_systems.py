"""Windows and macOS, simulated on Linux: their paths, links, consoles, and the functions that they lack."""

from __future__ import annotations

import ntpath
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pinstall.pip_cache import built_wheels, entries, keys, scan
from pinstall.storage import cleanup

if TYPE_CHECKING:
    from pathlib import Path

_KEY = "aabb" + "0" * 52


def _make_junction(monkeypatch: pytest.MonkeyPatch, target: Path, place: Path) -> None:
    """Make what Python takes for a folder at *place*, with the content of *target*: `lstat` alone knows better."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    real, tag = os.lstat, 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT

    def lstat(path: Any, **more: Any) -> Any:
        found = real(path, **more)
        if os.fspath(path) != str(place):
            return found
        folder = os.stat(target)
        fields = {name: getattr(folder, name) for name in dir(folder) if name.startswith("st_")}
        return SimpleNamespace(**fields, st_reparse_tag=tag)

    monkeypatch.setattr(os, "lstat", lstat)
    monkeypatch.setattr(os.path, "islink", lambda path: os.fspath(path) != str(place) and entries.is_link(path))


def test_nothing_behind_a_junction_is_deleted_or_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, elsewhere = tmp_path.resolve() / "cache", tmp_path.resolve() / "elsewhere"
    (elsewhere / "bb" / "00").mkdir(parents=True)
    (elsewhere / "bb" / "mine.txt").write_text("mine")
    _make_junction(monkeypatch, elsewhere, root / "wheels" / "aa")
    inside = str(root / "wheels" / "aa" / "bb")
    assert not entries.is_direct(str(root), inside)
    assert cleanup.clear(str(root), os.path.join(inside, "mine.txt")) == cleanup.Removed()
    assert list(built_wheels.walk_built(str(root))) == []
    assert scan.symbolic_links(str(root)) == [str(root / "wheels" / "aa")]
    cleanup.clear_empty(str(root), str(root / "wheels"))
    cleanup.clear(str(root), str(root / "wheels"))
    assert (elsewhere / "bb" / "00").is_dir()
    assert (elsewhere / "bb" / "mine.txt").read_text() == "mine"
    assert not os.path.lexists(root / "wheels" / "aa"), "the junction itself was in the cache"


@pytest.mark.parametrize(
    ("path", "is_inside"),
    [
        ("C:\\Users\\Me\\pip\\cache\\http-v2\\a", True),
        ("C:\\Users\\Me\\pip\\cache/http-v2/a", True),
        ("C:\\Users\\Me\\pip\\cache", True),
        ("C:\\Users\\Me\\pip\\cache2\\a", False),
        ("C:\\Users\\Me\\pip\\cache\\..\\a", False),
        ("D:\\Users\\Me\\pip\\cache\\a", False),
    ],
)
def test_windows_paths_are_compared_part_by_part(monkeypatch: pytest.MonkeyPatch, path: str, *, is_inside: bool) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "path", ntpath)
        found = entries.is_direct("C:\\Users\\Me\\pip\\cache", path)
        places = [keys.wheel_path(_KEY), *keys.http_paths(_KEY, keys.TWO_FILES)]
    assert found == is_inside
    assert [place for place in places if "/" in place] == [], "they are compared with what the system tells"
