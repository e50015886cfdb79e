"""The store: pinstall's own place for healthy things that do not fit now, keyed by pip's own keys.

store/http/<key>, <key>.body, <key>.json      a download: the response, its body, and what it is
store/http/<key>.one, <key>.one.json          the same of a pip before 23.3, which keeps both in one file
store/builds/<key>/<id>/                      a built wheel with its origin.json; the id is the wheel's digest
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinstall.lock import FOLDER
from pinstall.pipcache.entries import Entry, built_under, names, read_head, stamp
from pinstall.pipcache.keys import TWO_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator


def http_paths(cache: str, entry: Entry) -> tuple[str, ...]:
    """Return where the files of the HTTP *entry* are kept."""
    base = os.path.join(cache, FOLDER, "store", "http", entry.key)
    return tuple(base + ending for ending in (entry.layout.endings if entry.layout == TWO_FILES else (".one",)))


def http_entry(cache: str, entry: Entry) -> Entry | None:
    """Return *entry*, which the cache does not have, as the store has it; None if it does not either."""
    paths = http_paths(cache, entry)
    if any(stamp(path) is None for path in paths):
        return None
    head = read_head(paths[0])
    span = None if entry.layout == TWO_FILES or head is None else head.span
    return entry._replace(paths=paths, span=span, fault=head.fault) if head else None


def builds_folder(cache: str, key: str) -> str:
    """Return the folder of the builds with this wheel *key*."""
    return os.path.join(cache, FOLDER, "store", "builds", key)


def builds(cache: str, key: str, project: str) -> Iterator[Entry]:
    """Yield the built wheels of *project* that are kept for this wheel *key*."""
    folder = builds_folder(cache, key)
    for name in names(folder):
        yield from built_under(os.path.join(folder, name), key, project)


def all_builds(cache: str, project: str) -> Iterator[Entry]:
    """Yield all the built wheels of *project* that are kept, whatever their key."""
    for key in names(os.path.dirname(builds_folder(cache, "any"))):
        yield from builds(cache, key, project)
