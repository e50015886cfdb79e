"""Put the entries that pinstall has set aside back into pip's cache, for example before pinstall is uninstalled."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pinstall.pip_cache import keys
from pinstall.storage import actions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from contextlib import AbstractContextManager

    from pinstall.cache_tool.inventory import Item


class Restored(NamedTuple):
    """The number and the ``size`` in bytes of the restored files; ``stayed`` are the paths of those that are still missing."""

    files: int
    size: int
    stayed: tuple[str, ...]


def lacking(root: str, items: Iterable[Item]) -> list[Item]:
    """Return those of *items* that are in the store and not in pip's cache at *root*; of several builds, the last one used."""
    builds: dict[str, Item] = {}
    downloads = []
    for item in items:
        entry = item.entry
        if not item.stored:
            continue
        if entry.kind != "built":
            downloads.append(item)
            continue
        place = _place(root, item)
        if not os.path.lexists(place) and (place not in builds or builds[place].used < item.used):
            builds[place] = item
    return [*downloads, *builds.values()]


def _place(root: str, item: Item) -> str:
    """Return the path that a built wheel has in pip's cache."""
    return os.path.join(root, keys.wheel_path(item.entry.key.partition("/")[0]), item.entry.filename)


def restore(root: str, items: Iterable[Item], sound: Collection[Item], held: AbstractContextManager[None]) -> Restored:
    """Restore the *sound* items, and keep those wheels among *items* whose deletion is scheduled; *held* takes the lock.

    Raises `OSError` and `LockTimeoutError`.
    """
    with held:
        for item in items:
            if item.entry.kind == "built" and not item.stored:
                actions.stay(root, item.entry)
        done = [item for item in sound if actions.bring_back(root, item.entry, item.stamp)]
    stayed = tuple(item.entry.content for item in sound if item not in done and not _is_back(root, item))
    return Restored(sum(len(item.entry.paths) for item in done), sum(item.size for item in done), stayed)


def _is_back(root: str, item: Item) -> bool:
    """Return whether pip's cache has the entry by now, because pip has fetched it again."""
    if item.entry.kind == "built":
        return os.path.lexists(_place(root, item))
    return all(os.path.lexists(os.path.join(root, path)) for path in keys.http_paths(item.entry.key, item.entry.layout))
