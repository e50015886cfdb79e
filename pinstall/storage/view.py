"""The view: a folder that pip is given instead of its cache, with symbolic links to all in the cache that pip may use.

The folders of the pins' built wheels are real: they hold links to the checked wheels, and pip puts new builds there.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.pip_cache import built_wheels, entries, keys
from pinstall.storage.disk_space import is_full
from pinstall.storage.folder import FOLDER, ensure_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from pinstall.pip_cache.entries import BuiltWheel, HttpEntry

VIEWS = "views"
# In wheels/12/34/56/789..., so many levels are real folders if keys are unknown: pip then writes into the view, unless two
# keys share three levels (once in 16 million).
_REAL_LEVELS = 2


class View(NamedTuple):
    """A view that was made: its ``folder``, and its ``name`` in the cache ("" if it is a temporary folder)."""

    folder: str
    name: str


class ViewPlan(NamedTuple):
    """The contents of a view.

    ``private`` maps the wheel keys whose folders are real to the built wheels that they show. ``any_key`` says that pip may
    build under any key. ``absent`` are the HTTP entries to hide.
    """

    private: Mapping[str, Sequence[BuiltWheel]] = {}
    any_key: bool = False
    absent: Sequence[HttpEntry] = ()

    @property
    def needed(self) -> bool:
        """Whether pip needs a view; else it can use the cache itself."""
        return self.any_key or bool(self.private or self.absent)


def real_root(folder: str) -> str:
    """Return the cache of the view *folder*, which a build may pass to another pinstall; *folder* itself if it is not a view.

    Only its path counts, so that a view in a temporary folder is not recognised.
    """
    views = os.path.dirname(folder)
    ours = os.path.dirname(views)
    is_view = (os.path.basename(views), os.path.basename(ours)) == (VIEWS, FOLDER)
    return os.path.dirname(ours) if is_view else folder


def make(cache: str, name: str, plan: ViewPlan, folders: Iterable[str]) -> str:
    """Make the view *name* of *cache* and return its path.

    *folders* are the names of the folders in the cache that pip will write to; missing ones are made there, so that the view
    links to them. Raises `OSError`, also if the disk is full, and then leaves no view.
    """
    for pips in folders:  # if they exist, the view links to them, and pip writes into the cache
        os.makedirs(os.path.join(cache, pips), mode=os.stat(cache).st_mode & 0o777, exist_ok=True)
    if is_full(cache):  # a build of pip would fail in the view, but not without a cache
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    folder = os.path.join(ensure_folder(cache, VIEWS), name)
    os.mkdir(folder)
    try:
        return fill(cache, folder, plan)
    except BaseException:
        remove(cache, name)
        raise


def fill(cache: str, folder: str, plan: ViewPlan) -> str:
    """Fill the empty *folder* with the view *plan* of *cache*, which may be read-only; return *folder*. Raises `OSError`."""
    trees = {keys.WHEELS: _Tree()}
    for key, shown in plan.private.items():
        trees[keys.WHEELS].at(keys.wheel_path(key).split(os.path.sep)[1:]).shown = shown
    for entry in plan.absent:
        for path in keys.http_paths(entry.key, entry.layout):
            top, *parts, name = path.split(os.path.sep)
            trees.setdefault(top, _Tree()).at(parts).absent.add(name)
    for found in {*entries.names(cache), *trees} - {FOLDER}:
        source, target = os.path.join(cache, found), os.path.join(folder, found)
        if found in trees:
            _mirror(source, target, trees[found], _REAL_LEVELS if plan.any_key and found == keys.WHEELS else 0)
        else:
            _link(source, target)
    return folder


def seal(cache: str, folder: str, layout: keys.Layout, shown: Mapping[str, bytes | None]) -> None:
    """Rebuild the HTTP part of the view in *folder* so that it has only the entries of *cache* whose keys are in *shown*.

    A value in *shown* is the head (the stored response headers) to use in place of the entry's own; None: its own. Where head
    and body are in one file (*layout*), only None is possible. Raises `OSError`.
    """
    top = os.path.join(folder, layout.folder)
    _clear(top)
    os.makedirs(top)
    for key, head in shown.items():
        for path in keys.http_paths(key, layout):
            place = os.path.join(folder, path)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if head is None or not path.endswith(key):
                _link(os.path.join(cache, path), place)
            else:
                with open(place, "wb") as file:
                    file.write(head)


def _clear(path: str) -> None:
    """Remove a part of a view, if it exists, without following links. Raises `OSError`."""
    import shutil

    if entries.is_link(path) or not os.path.isdir(path):
        with suppress(FileNotFoundError):
            os.unlink(path)
    else:
        shutil.rmtree(path)


def hide(folder: str, wheel: BuiltWheel) -> None:
    """Remove the link to a built wheel from the view in *folder*, but no other file of its name.

    In any case makes the folder of the link real (`_unfolded`). Raises `OSError`.
    """
    path = _unfolded(folder, wheel.wheel_key)
    link = os.path.join(path, wheel.filename)
    if entries.is_direct(folder, path) and os.path.lexists(link) and _shows(link, wheel.content_path):
        os.unlink(link)


def show(folder: str, wheel: BuiltWheel) -> None:
    """Add a built wheel of the store to the view in *folder*, while its pip runs.

    Makes the wheel's folder there if it is missing, and real if it is a link (`_unfolded`). Raises `OSError`, also if the view
    has a file of this name.
    """
    path = _unfolded(folder, wheel.wheel_key)
    if not entries.is_direct(folder, path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    os.makedirs(path, exist_ok=True)
    _show(wheel, path)


def _unfolded(folder: str, key: str) -> str:
    """Make the folder for a wheel *key* in the view in *folder*, and those above it, real if they are links; return its path.

    Makes none that does not exist. Raises `OSError`.
    """
    path = folder
    for part in keys.wheel_path(key).split(os.path.sep):
        path = os.path.join(path, part)
        if entries.is_link(path):
            _unfold(path)
    return path


def _unfold(path: str) -> None:
    """Replace a link to a folder by a real folder with links to all in it, and a copy of its origin.json. Raises `OSError`."""
    import shutil

    source = os.path.realpath(path)
    os.unlink(path)
    os.mkdir(path)
    for name in entries.names(source):
        if name == entries.ORIGIN:
            shutil.copyfile(os.path.join(source, name), os.path.join(path, name))  # pip overwrites it in place
        else:
            _link(os.path.join(source, name), os.path.join(path, name))


def received(folder: str, layout: keys.Layout) -> Iterator[str]:
    """Yield the keys of the HTTP entries that pip has received in the view in *folder*.

    Their body is new; or the head is new, and there is no body. An entry whose head pip has rewritten, while its body is still
    a link, is not among them. Yields nothing if that part of the view is a link.
    """
    top = os.path.join(folder, layout.folder)
    for here, _, found in () if entries.is_link(top) else entries.walk(top):
        for name in found:
            if keys.is_http_key(name):
                body = os.path.join(here, name + layout.endings[-1])
                if _is_new(body if os.path.lexists(body) else os.path.join(here, name)):
                    yield name


class _Tree:
    """A folder of the view that is real, not a link, with the real folders ``below`` it, by name.

    If it is a private folder of built wheels (see `ViewPlan`), ``shown`` are the wheels in it, else None. ``absent`` are the
    names of hidden files.
    """

    def __init__(self) -> None:
        self.below: dict[str, _Tree] = {}
        self.shown: Sequence[BuiltWheel] | None = None
        self.absent: set[str] = set()

    def at(self, parts: Sequence[str]) -> _Tree:
        """Return the tree of the folder *parts* below this one; make those that are missing."""
        tree = self
        for part in parts:
            tree = tree.below.setdefault(part, _Tree())
        return tree


def _mirror(original: str, mirror: str, tree: _Tree, real_levels: int) -> None:
    """Make the folder *mirror*, a view of *original*. Folders below are real in *tree* and on the first *real_levels* levels.

    Those in *tree* are made even if *original* lacks them. All else is a link, except for the names that *tree* hides: the
    ``absent`` ones, and in a private folder all but its ``shown`` wheels. Raises `OSError`.
    """
    os.mkdir(mirror)
    if tree.shown is not None:
        for wheel in tree.shown:
            _show(wheel, mirror)
        return
    for name in {*entries.names(original), *tree.below} - tree.absent:
        source, target = os.path.join(original, name), os.path.join(mirror, name)
        if name in tree.below or (real_levels and os.path.isdir(source)):
            _mirror(source, target, tree.below.get(name, _Tree()), max(0, real_levels - 1))
        else:
            _link(source, target)


def _show(wheel: BuiltWheel, folder: str) -> None:
    """Link a built wheel into a real *folder* of a view, with a copy of the origin.json beside it. Raises `OSError`."""
    _link(wheel.content_path, os.path.join(folder, wheel.filename))
    origin = os.path.join(os.path.dirname(wheel.content_path), entries.ORIGIN)
    text = built_wheels.origin_text(origin, wheel.query or None)
    if text is not None:
        with open(os.path.join(folder, entries.ORIGIN), "w", encoding="utf-8") as file:
            file.write(text)  # no link: pip overwrites it in place


# On Windows symbolic links need a privilege: there, a view consists of junctions and of hard links. Elsewhere a hard link would
# change the time of the last status change, by which the ledger recognises a file. Wheels are copied, because pip writes into
# the file that it replaces there. Beside each is a hard link to the original: so `_is_new` and `_is_gone` can tell.
_HAS_HARD_LINKS = os.name == "nt"
_TWIN = ".shown"


def _link(source: str, target: str) -> None:
    """Make *target* a link to the file or folder *source* of the cache; on Windows, copy a wheel. Raises `OSError`."""
    if not _HAS_HARD_LINKS:
        os.symlink(source, target)
    elif os.path.isdir(source):
        _join(source, target)
    elif source.endswith(".whl"):
        import shutil

        shutil.copy2(source, target)
        os.link(source, target + _TWIN)
    else:
        os.link(source, target)


def _join(source: str, target: str) -> None:
    import _winapi

    _winapi.CreateJunction(source, target)  # type: ignore[attr-defined,unused-ignore]


def _is_new(path: str) -> bool:
    """Return whether pip has written the file *path* of a view: it is not a link of ours."""
    found, twin = entries.stamp(path), entries.stamp(path + _TWIN) if _HAS_HARD_LINKS else None
    if found is None or not _HAS_HARD_LINKS:
        return found is not None
    if path.endswith(".whl"):
        return twin is None or (twin.size, twin.modified) != (found.size, found.modified)
    return os.lstat(path).st_nlink == 1


def _is_gone(path: str) -> bool:
    """Return whether the file that a link of ours shows at *path* is gone from the cache."""
    if _HAS_HARD_LINKS:
        return os.path.exists(path + _TWIN) and os.lstat(path + _TWIN).st_nlink == 1 and not _is_new(path)
    return os.path.islink(path) and not os.path.exists(path)


def _shows(path: str, content: str) -> bool:
    """Return whether *path* in a view is a link of ours to the file *content*, whose path is a resolved one."""
    if _HAS_HARD_LINKS:
        return not _is_new(path) and os.path.exists(content) and os.path.samefile(path + _TWIN, content)
    return os.path.islink(path) and os.path.realpath(path) == content


def parts(name: str) -> tuple[str, ...]:
    """Return the path of the view *name*, as parts below the cache folder."""
    return FOLDER, VIEWS, name


def built(folder: str) -> Iterator[tuple[str, str]]:
    """Yield (key, path) of each wheel that pip has built into the view in *folder*."""
    for place, key in built_wheels.walk_built(folder):
        for found in entries.names(place) if entries.is_direct(folder, place) else ():
            path = os.path.join(place, found)
            if found.endswith(".whl") and _is_new(path):
                yield key, path


def unclaimed(cache: str, folder: str) -> Iterator[tuple[str, str]]:
    """Yield (path, path in the cache) of each file or folder, except for ``wheels``, that pip has made at the top of a view.

    The view is in *folder*. Skips those whose path in the cache exists.
    """
    for found in entries.names(folder):
        path, place = os.path.join(folder, found), os.path.join(cache, found)
        if found != keys.WHEELS and not os.path.lexists(place) and not entries.is_link(path):
            yield path, place


def forget_gone(folder: str) -> None:
    """Remove the dangling links to built wheels from the view in *folder*. Raises `OSError`."""
    for wheels, _ in built_wheels.walk_built(folder):
        for found in entries.names(wheels):
            path = os.path.join(wheels, found)
            if _is_gone(path):
                os.unlink(path)


def remove(cache: str, name: str) -> None:
    """Remove the view *name*, without following links in it; ignore errors."""
    import shutil

    shutil.rmtree(os.path.join(cache, FOLDER, VIEWS, name), ignore_errors=True)


def sweep(cache: str, live_calls: Collection[str]) -> None:
    """Remove the views of all calls but *live_calls*, which are names; the caller holds the lock. Raises `OSError`."""
    ensure_folder(cache, VIEWS)  # raises if a symbolic link is in the way
    for name in names(cache):
        if name not in live_calls:
            remove(cache, name)


def names(cache: str) -> list[str]:
    """Return the names of all views in the cache, also those of killed calls."""
    return entries.names(os.path.join(cache, FOLDER, VIEWS))
