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

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from pinstall.cache_tool.inventory import Item
    from pinstall.pip_cache.scan import Stray

_HTTP = tuple(layout.folder for layout in (keys.ONE_FILE, keys.TWO_FILES))
_WHEELS = "wheels"
# Seconds. A younger file may belong to a running pip; no build takes longer.
_YOUNG = 86_400


class Outcome(NamedTuple):
    """The numbers of removed files and folders, the files' ``size`` in bytes, and a line for each entry that ``stayed``."""

    files: int
    size: int
    folders: int
    stayed: tuple[str, ...] = ()


class _Removal:
    """A removal of files from the cache at *root*, which counts them. The caller holds the lock."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.busy = bool(lock.live_calls(root))
        self._files = self._size = 0
        self.stayed: list[str] = []

    def clear(self, path: str) -> None:
        removed = cleanup.clear(self.root, path)
        self._files, self._size = self._files + removed.files, self._size + removed.size

    def item(self, item: Item) -> None:
        """Delete one item, with the files that describe only it."""
        entry = item.entry
        if self.busy and (isinstance(entry, BuiltWheel) or item.stored):
            self.stayed.append(f"{entry.content_path}: a running pinstall may need it")
            return
        try:
            if actions.delete(self.root, entry, item.stamp):
                self._files, self._size = self._files + len(entry.paths), self._size + item.size
        except actions.ChangedError:
            self.stayed.append(f"{entry.content_path}: it is being changed, or is not a regular file")
        except actions.NotDoneError as error:
            self.stayed.append(str(error))
        folder = os.path.dirname(entry.content_path)
        if isinstance(entry, BuiltWheel) and entries.names(folder) == [entries.ORIGIN]:
            self.clear(os.path.join(folder, entries.ORIGIN))
        if not isinstance(entry, BuiltWheel) and item.stored:
            self.clear(store.note(entry))

    def outcome(self) -> Outcome:
        """Delete the empty folders, and return the outcome of the removal."""
        folders = [os.path.join(self.root, name) for name in (*_HTTP, _WHEELS)]
        folders.append(os.path.join(self.root, lock.FOLDER, "store"))
        emptied = sum(cleanup.clear_empty(self.root, folder) for folder in folders)
        return Outcome(self._files, self._size, emptied, tuple(self.stayed))


def remove(root: str, items: Iterable[Item], held: AbstractContextManager[None]) -> Outcome:
    """Remove *items* in the context *held*, which takes the lock. Raises `OSError` and `LockTimeoutError`."""
    with held:
        removal = _Removal(root)
        for item in items:
            removal.item(item)
        return removal.outcome()


def purge(root: str, held: AbstractContextManager[None]) -> Outcome:
    """Remove everything; if another pinstall is running, only the HTTP entries. Parameters and errors as for `remove`."""
    with held:
        removal = _Removal(root)
        own = [os.path.join(lock.FOLDER, name) for name in entries.names(os.path.join(root, lock.FOLDER)) if name != "lock"]
        if removal.busy:
            removal.stayed.append("built wheels and pinstall's store: a running pinstall may need them")
        for name in (*_HTTP, "selfcheck.json", *([] if removal.busy else [_WHEELS, *own])):
            if entries.is_link(os.path.join(root, name)):
                removal.stayed.append(f"{os.path.join(root, name)}: it is a symbolic link")
            else:
                removal.clear(os.path.join(root, name))
        return removal.outcome()


def prune(root: str, strays: Sequence[Stray], items: Iterable[Item], held: AbstractContextManager[None]) -> Outcome:
    """Remove *items*, the *strays* that have not changed, and leftovers of killed calls. See `remove`."""
    with held:
        removal = _Removal(root)
        for stray in strays:
            if scan.stray(list(stray.paths), stray.reason) == stray:
                for path in stray.paths:
                    removal.clear(path)
        for item in items:
            removal.item(item)
        with suppress(OSError):  # `sweep` makes folders, which fails if the disk is still full
            cleanup.sweep(root)
        return removal.outcome()


def unused(strays: Iterable[Stray], now: float) -> list[Stray]:
    """Return the *strays* that are too old, at the time *now* (seconds since the epoch), to belong to a running pip."""
    return [stray for stray in strays if now - stray.modified > _YOUNG]
