"""Remove entries from the cache and the store, under the lock.

While another pinstall is running, built wheels and the store stay, because it may be using them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.pip_cache import entries, keys, scan
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import actions, cleanup, lock, store
from pinstall.storage.folder import FOLDER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from pinstall.cache_tool.inventory import Item
    from pinstall.pip_cache.scan import Stray

_HTTP = tuple(layout.folder for layout in (keys.ONE_FILE, keys.TWO_FILES))
# Seconds. A younger file may belong to a running pip; no build takes longer.
_YOUNG = 86_400
_IN_USE = "a running pinstall may need it"


class RemovalTotals(NamedTuple):
    """The numbers of removed ``files`` and ``folders``, and the files' ``size`` in bytes.

    ``stayed`` has a line, "path: reason", for each entry or part of the cache that could not be removed now.
    """

    files: int
    size: int
    folders: int
    stayed: tuple[str, ...] = ()


class _Removal:
    """A removal of files from the cache at *root*, which counts them. The caller holds the lock.

    It begins with the removal of the markers of killed calls. ``busy`` tells whether a call of pinstall was running then.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.busy = bool(lock.live_calls(root, clears=True))
        self._files = self._size = self._folders = 0
        self.stayed: list[str] = []

    def clear(self, path: str) -> None:
        removed = cleanup.delete_tree(self.root, path)
        self._files, self._size = self._files + removed.files, self._size + removed.size
        self._folders += removed.folders

    def item(self, item: Item) -> None:
        """Delete one item, with the files that describe only it, and count it; if it stays, add a line to ``stayed``.

        Does neither if it is gone already.
        """
        entry = item.entry
        if self.busy and _may_be_in_use(item):
            self.stayed.append(f"{entry.content_path}: {_IN_USE}")
            return
        try:
            if actions.delete(self.root, entry, item.stamp):
                self._files, self._size = self._files + len(entry.paths), self._size + item.size
        except actions.ChangedError:
            self.stayed.append(f"{entry.content_path}: another process is changing it, or it is not a regular file")
        except actions.NotDoneError as error:
            self.stayed.append(f"{error.path}: {error.why}")
        folder = os.path.dirname(entry.content_path)
        if isinstance(entry, BuiltWheel) and entries.names(folder) == [entries.ORIGIN]:
            self.clear(os.path.join(folder, entries.ORIGIN))

    def outcome(self) -> RemovalTotals:
        """Delete the empty folders, and return the outcome of the removal."""
        self._folders += sum(cleanup.clear_empty(self.root, folder) for folder in _tops(self.root))
        return RemovalTotals(self._files, self._size, self._folders, tuple(self.stayed))


def _tops(root: str) -> list[str]:
    """Return the folders below which empty folders are deleted."""
    return [*(os.path.join(root, name) for name in (*_HTTP, keys.WHEELS)), os.path.join(root, FOLDER, "store")]


def remove(root: str, items: Iterable[Item], held: AbstractContextManager[None]) -> RemovalTotals:
    """Remove *items* and empty folders in the context *held*, which takes the lock.

    The totals have a line for each item that stays. They do not count the files beside a stored item, such as its build
    record, which go with it. Raises `OSError` and `LockTimeoutError`.
    """
    with held:
        removal = _Removal(root)
        for item in items:
            removal.item(item)
        return removal.outcome()


def purge(root: str, held: AbstractContextManager[None]) -> RemovalTotals:
    """Remove pip's folders of HTTP entries and built wheels, ``selfcheck.json``, and pinstall's folder but for `lock.FILES`.

    Built wheels and pinstall's folder stay if another pinstall is running. Other files in *root* stay, and so does each of
    these folders that is a symbolic link; links inside them are removed, not followed. *held* and errors are as for `remove`.
    """
    with held:
        removal = _Removal(root)
        names = [name for name in entries.names(os.path.join(root, FOLDER)) if name not in lock.FILES]
        if removal.busy:
            removal.stayed.append("built wheels and pinstall's store: a running pinstall may need them")
        own = [] if removal.busy else [keys.WHEELS, *(os.path.join(FOLDER, name) for name in names)]
        for name in (*_HTTP, "selfcheck.json", *own):
            if entries.is_link(os.path.join(root, name)):
                removal.stayed.append(f"{os.path.join(root, name)}: it is a symbolic link")
            else:
                removal.clear(os.path.join(root, name))
        return removal.outcome()


class Pruning(NamedTuple):
    """The ``strays`` and ``items`` that `prune` removes, all ``files`` with their sizes, and the ``folders`` that get empty.

    ``stayed`` has a line for each item that cannot be removed now.
    """

    strays: tuple[Stray, ...]
    items: tuple[Item, ...]
    files: Mapping[str, int]
    folders: tuple[str, ...]
    stayed: tuple[str, ...]


def pruning(root: str, strays: Iterable[Stray], items: Iterable[Item]) -> Pruning:
    """List the files and folders that `prune` would remove: *strays*, *items*, and all that `cleanup.sweep` removes after them.

    Changes nothing. Raises `OSError`.
    """
    busy = bool(lock.live_calls(root))
    kept = [item for item in items if busy and _may_be_in_use(item)]
    gone = [item for item in items if item not in kept]
    found = [*strays]
    known = {path for stray in found for path in stray.paths}
    doomed = {path for stray in found for path in _inside(stray.paths)}
    doomed |= {path for item in gone for path in (*item.entry.paths, *(store.beside(item.entry) if item.stored else ()))}
    doomed |= {path for item in gone for path in _orphans(item, doomed)}
    for paths, reason in cleanup.leftovers(root, doomed):
        left = [path for path in paths if path not in known]
        found += [scan.stray(left, reason)] if left else []
        doomed |= {*_inside(left)}
    sizes = {path: os.lstat(path).st_size for path in sorted(doomed) if os.path.lexists(path)}
    folders = [folder for top in _tops(root) for folder in cleanup.emptied(root, top, doomed)]
    folders += [here for s in found for path in s.paths if path not in folders for here in cleanup.emptied(root, path, doomed)]
    stayed = tuple(f"{item.entry.content_path}: {_IN_USE}" for item in kept)
    return Pruning(tuple(found), tuple(gone), sizes, tuple(dict.fromkeys(folders)), stayed)


def _inside(paths: Iterable[str]) -> Iterator[str]:
    """Yield the files among *paths*, and those in the folders among them."""
    for path in paths:
        if os.path.isdir(path) and not entries.is_link(path):
            yield from (os.path.join(here, name) for here, _, names in entries.walk(path) for name in names)
        else:
            yield path


def _orphans(item: Item, doomed: Collection[str]) -> list[str]:
    """Return the path of the ``origin.json`` beside a wheel in pip's own folder if all other files there are *doomed*.

    Returns an empty list in all other cases.
    """
    folder = os.path.dirname(item.entry.content_path)
    if item.stored or not isinstance(item.entry, BuiltWheel):
        return []
    left = [name for name in entries.names(folder) if os.path.join(folder, name) not in doomed]
    return [os.path.join(folder, entries.ORIGIN)] if left == [entries.ORIGIN] else []


def _may_be_in_use(item: Item) -> bool:
    return isinstance(item.entry, BuiltWheel) or item.stored


def prune(root: str, strays: Sequence[Stray], items: Sequence[Item], held: AbstractContextManager[None]) -> RemovalTotals:
    """Remove *items*, the *strays* that have not changed since they were found, and all that `cleanup.sweep` removes.

    The totals count each file and folder of `pruning` that is gone at the end. ``stayed``, *held* and the errors are as for
    `remove`, but a stray that stays has no line.
    """
    with held:
        planned = pruning(root, strays, items)
        removal = _Removal(root)
        for stray in strays:
            if scan.stray(list(stray.paths), stray.reason) == stray:
                for path in stray.paths:
                    removal.clear(path)
        for item in items:
            removal.item(item)
        with suppress(OSError):  # `sweep` makes folders, which fails if the disk is still full
            cleanup.sweep(root)
        removal.outcome()
        gone = [size for path, size in planned.files.items() if not os.path.lexists(path)]
        folders = [path for path in planned.folders if not os.path.lexists(path)]
        return RemovalTotals(len(gone), sum(gone), len(folders), tuple(removal.stayed))


def unused(strays: Iterable[Stray], now: float) -> list[Stray]:
    """Return the *strays* not modified in the day before *now* (seconds since the epoch): no running pip uses them."""
    return [stray for stray in strays if now - stray.modified > _YOUNG]
