"""The view: the cache as this call's pip may see it. Links to all that is there, but for the built wheels of the pins.

In the places of those are real folders: what is proven is linked there, and what pip puts there is what this call built.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.pip_cache import http_entries, keys
from pinstall.storage import lock
from pinstall.storage.disk_space import is_full

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from pinstall.pip_cache.http_entries import Entry

_VIEWS = "views"
_WHEELS = "wheels"
# wheels/12/34/56/789...: where keys are not known yet, so many levels are real. Two keys agree on three once in 16 million.
_REAL_LEVELS = 2


class Plan(NamedTuple):
    """What a view is to be: under the keys *private* are those built wheels alone; ``unknown``: pip may build under any key.

    ``absent`` are HTTP entries that are not to be seen.
    """

    private: Mapping[str, Sequence[Entry]] = {}
    unknown: bool = False
    absent: Sequence[Entry] = ()

    @property
    def needed(self) -> bool:
        """Whether pip may not simply have the cache itself."""
        return self.unknown or bool(self.private or self.absent)


def real_root(folder: str) -> str:
    """Return the cache behind *folder* if that is a view (a build may start another pinstall), else *folder*."""
    views = os.path.dirname(folder)
    ours = os.path.dirname(views)
    is_view = (os.path.basename(views), os.path.basename(ours)) == (_VIEWS, lock.FOLDER)
    return os.path.dirname(ours) if is_view else folder


def make(cache: str, name: str, plan: Plan, folders: Iterable[str]) -> str:
    """Make the view *name* of *cache* and return its folder; *folders* are those that pip will write to. Raises `OSError`."""
    for pips in folders:  # made here first: what pip writes there lands in the cache
        os.makedirs(os.path.join(cache, pips), mode=os.stat(cache).st_mode & 0o777, exist_ok=True)
    if is_full(cache):  # pip's build would fail, which without a cache it does not
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    folder = os.path.join(lock.made_folder(cache, _VIEWS), name)
    os.mkdir(folder)
    try:
        return fill(cache, folder, plan)
    except BaseException:
        remove(cache, name)
        raise


def fill(cache: str, folder: str, plan: Plan) -> str:
    """Make a view of *cache*, which itself need not be written, in the empty *folder*, and return that. Raises `OSError`."""
    trees = {_WHEELS: _Tree()}
    for key, shown in plan.private.items():
        trees[_WHEELS].at(keys.wheel_path(key).split("/")[1:]).shown = shown
    for entry in plan.absent:
        for path in keys.http_paths(entry.key, entry.layout):
            top, *parts, name = path.split("/")
            trees.setdefault(top, _Tree()).at(parts).absent.add(name)
    for found in {*http_entries.names(cache), *trees} - {lock.FOLDER}:
        source, target = os.path.join(cache, found), os.path.join(folder, found)
        if found in trees:
            _mirror(source, target, trees[found], _REAL_LEVELS if plan.unknown and found == _WHEELS else 0)
        else:
            _link(source, target)
    return folder


def seal(cache: str, folder: str, layout: keys.Layout, shown: Mapping[str, bytes | None]) -> None:
    """Make the HTTP part of the view in *folder* anew: of all that *cache* has, it shows the keys *shown* and nothing else.

    Where there is a head (bytes) for a key, it takes the place of the entry's own. Raises `OSError`.
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
    """Remove a part of a view; what its links lead to stays."""
    import shutil

    if os.path.islink(path) or not os.path.isdir(path):
        with suppress(FileNotFoundError):
            os.unlink(path)
    else:
        shutil.rmtree(path)


def hide(folder: str, wheel: Entry) -> None:
    """Take a built wheel out of the view in *folder*; raises `OSError`."""
    path = folder
    for part in keys.wheel_path(wheel.key.partition("/")[0]).split("/"):
        path = os.path.join(path, part)
        if os.path.islink(path):
            _unfold(path)
    link = os.path.join(path, wheel.filename)
    if os.path.realpath(path) == path and os.path.islink(link) and os.path.realpath(link) == wheel.content:
        os.unlink(link)


def _unfold(path: str) -> None:
    """Make a real folder of a link to one, with links to what is in that."""
    import shutil

    source = os.path.realpath(path)
    os.unlink(path)
    os.mkdir(path)
    for name in http_entries.names(source):
        if name == http_entries.ORIGIN:
            shutil.copyfile(os.path.join(source, name), os.path.join(path, name))  # pip writes over it where it lies
        else:
            _link(os.path.join(source, name), os.path.join(path, name))


def received(folder: str, layout: keys.Layout) -> Iterator[str]:
    """Yield the keys of the HTTP entries that pip has written into the view in *folder*: those whose body is no link."""
    for here, _, found in os.walk(os.path.join(folder, layout.folder)):
        for name in found:
            if keys.is_http_key(name):
                body = os.path.join(here, name + layout.endings[-1])
                if http_entries.stamp(body) is not None or not os.path.lexists(body):
                    yield name


class _Tree:
    """The private folders, by the parts of their paths; those at the end show wheels, or all but what is ``absent``."""

    def __init__(self) -> None:
        self.below: dict[str, _Tree] = {}
        self.shown: Sequence[Entry] | None = None
        self.absent: set[str] = set()

    def at(self, parts: Sequence[str]) -> _Tree:
        tree = self
        for part in parts:
            tree = tree.below.setdefault(part, _Tree())
        return tree


def _mirror(here: str, there: str, tree: _Tree, real_levels: int) -> None:
    """Make the folder *there* for what is *here*: what *tree* names is real, so are *real_levels* below; the rest is linked."""
    os.mkdir(there)
    if tree.shown is not None:
        for entry in tree.shown:
            _link(entry.content, os.path.join(there, entry.filename))
            origin = os.path.join(os.path.dirname(entry.content), http_entries.ORIGIN)
            if http_entries.stamp(origin) is not None:
                import shutil

                shutil.copyfile(origin, os.path.join(there, http_entries.ORIGIN))  # pip writes over it where it lies
        return
    for name in {*http_entries.names(here), *tree.below} - tree.absent:
        source, target = os.path.join(here, name), os.path.join(there, name)
        if name in tree.below or (real_levels and os.path.isdir(source)):
            _mirror(source, target, tree.below.get(name, _Tree()), max(0, real_levels - 1))
        else:
            _link(source, target)


if sys.platform == "win32":  # pragma: no cover

    def _link(source: str, target: str) -> None:
        """Link without the right to make symbolic links: junctions and hard links."""
        import _winapi

        if os.path.isdir(source):
            _winapi.CreateJunction(source, target)
        else:
            os.link(source, target)

else:
    # Not hard links: they would change the time that proofs are remembered by.
    _link = os.symlink


def parts(name: str) -> tuple[str, ...]:
    """Return the parts of the path, below the cache, of the view *name*."""
    return lock.FOLDER, _VIEWS, name


def built(cache: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield (key, path) of the wheels that pip has put into the view *name*."""
    root = os.path.join(cache, lock.FOLDER, _VIEWS, name)
    for folder, key in http_entries.walk_built(root):
        if os.path.realpath(folder) == folder:  # a junction is no link to Python
            for found in http_entries.names(folder):
                path = os.path.join(folder, found)
                if found.endswith(".whl") and http_entries.stamp(path) is not None and os.lstat(path).st_nlink == 1:
                    yield key, path


def left(cache: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield (path, place in the cache) of what else pip has left at the top of the view *name*, where the cache has nothing."""
    root = os.path.join(cache, lock.FOLDER, _VIEWS, name)
    for found in http_entries.names(root):
        path, place = os.path.join(root, found), os.path.join(cache, found)
        if found != _WHEELS and not os.path.lexists(place) and os.path.realpath(path) == path:
            yield path, place


def forget_gone(cache: str, name: str) -> None:
    """Remove the links of the view *name* to built wheels that are no longer there."""
    for folder, _ in http_entries.walk_built(os.path.join(cache, lock.FOLDER, _VIEWS, name)):
        for found in http_entries.names(folder):
            path = os.path.join(folder, found)
            if os.path.islink(path) and not os.path.exists(path):
                os.unlink(path)


def remove(cache: str, name: str) -> None:
    """Remove the view *name*; links in it are not followed."""
    import shutil

    shutil.rmtree(os.path.join(cache, lock.FOLDER, _VIEWS, name), ignore_errors=True)


def sweep(cache: str, live_calls: Collection[str]) -> None:
    """Remove the views of all but the *living*. Raises `OSError`."""
    lock.made_folder(cache, _VIEWS)  # not behind a link
    for name in names(cache):
        if name not in live_calls:
            remove(cache, name)


def names(cache: str) -> list[str]:
    """Return the names of the views that there are, also those of the dead."""
    return http_entries.names(os.path.join(cache, lock.FOLDER, _VIEWS))
