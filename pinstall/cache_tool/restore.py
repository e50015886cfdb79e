"""Put the entries that pinstall has set aside back into pip's cache, for example before pinstall is uninstalled."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pinstall.cache_tool import inventory
from pinstall.pip_cache import keys
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.pip_cache.http_entries import is_spent
from pinstall.storage import actions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from pinstall.cache_tool.inventory import Item


class Restored(NamedTuple):
    """The number and the ``size`` in bytes of the restored ``entries``.

    ``stayed`` are the paths, in the store, of those that could not be restored although their place in pip's cache is free.
    """

    entries: int
    size: int
    stayed: tuple[str, ...]


def lacking(root: str, items: Iterable[Item]) -> list[Item]:
    """Return those of *items* that are stored, and whose place in pip's cache at *root* is free, or has a spent entry."""
    return [item for item in items if item.stored and not _is_back(root, item)]


def latest(root: str, items: Iterable[Item]) -> list[Item]:
    """Return *items*, which must be stored ones; of several for one place in pip's cache at *root* only the last used one."""
    places: dict[tuple[str, ...], Item] = {}
    for item in items:
        place = _paths(root, item)
        places[place] = max(item, places.get(place, item), key=lambda one: one.used)
    return list(places.values())


def restore(root: str, items: Iterable[Item], sound: Collection[Item], held: AbstractContextManager[None]) -> Restored:
    """Restore the *sound* items of the store, and cancel the scheduled deletion of the wheels of *items* in pip's folders.

    Overwrites nothing in pip's cache but spent entries. *held* takes the lock. Raises `OSError` and `LockTimeoutError`.
    """
    with held:
        for item in items:
            if isinstance(item.entry, BuiltWheel) and not item.stored:
                actions.cancel_retirement(root, item.entry)
        done = [item for item in sound if actions.bring_back(root, item.entry, item.stamp)]
    stayed = tuple(item.entry.content_path for item in sound if item not in done and not _is_back(root, item))
    return Restored(len(done), sum(item.size for item in done), stayed)


def staying(items: Sequence[Item], treated: Collection[Item]) -> Iterator[tuple[str, str]]:
    """Yield (file name, reason) for each stored one of *items* that is neither *treated* nor also in pip's cache (`merged`).

    The reason is that another file has its place in pip's cache. So *treated* must have all the others: the items that are bad,
    and those that `restore` was given.
    """
    for item in inventory.merged(items):
        if item.stored and item not in treated:
            is_built = isinstance(item.entry, BuiltWheel)
            kind = "another build of this wheel" if is_built else "another file from the same URL"
            yield item.entry.filename, f"pip's cache has {kind}, and can hold only one"


def _is_back(root: str, item: Item) -> bool:
    """Return whether the place of a stored item in pip's cache is taken, by the item itself or by another file.

    An incomplete or a spent HTTP entry does not take it.
    """
    own, entry = _paths(root, item), item.entry
    there = all(map(os.path.lexists, own))
    return there and (isinstance(entry, BuiltWheel) or not is_spent(entry._replace(paths=own)))


def _paths(root: str, item: Item) -> tuple[str, ...]:
    """Return the paths that a stored entry has in pip's own folders."""
    entry = item.entry
    if isinstance(entry, BuiltWheel):
        return (os.path.join(root, keys.wheel_path(entry.wheel_key), entry.filename),)
    return tuple(os.path.join(root, path) for path in keys.http_paths(entry.key, entry.layout))
