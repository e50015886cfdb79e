"""The store: pinstall's own place for healthy things that do not fit now, keyed by pip's own keys.

store/http/<key>, <key>.body, <key>.json      a download: the response, its body, and what it is
store/builds/<key>/<id>/                      a built wheel with its origin.json; the id is the wheel's digest
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinstall.lock import FOLDER
from pinstall.pipcache.entries import Entry, built_under, names, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator


def http_paths(cache: str, key: str) -> tuple[str, str]:
    """Return where a download with this *key* is kept: metadata and body."""
    metadata = os.path.join(cache, FOLDER, "store", "http", key)
    return metadata, metadata + ".body"


def http_entry(cache: str, entry: Entry) -> Entry | None:
    """Return *entry*, which the cache does not have, as the store has it; None if it does not either."""
    paths = http_paths(cache, entry.key)
    return entry._replace(paths=paths) if all(stamp(path) is not None for path in paths) else None


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
