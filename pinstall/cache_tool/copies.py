"""Find copies of one file: a signed URL has another query, and thus another key in pip's cache, each time.

Only copies that nobody can ask for as a rule count: downloads whose URL is on no cached page and behind no cached redirect, and
wheels that pip built from the same bytes of URLs with a query, if these differ at most in that and in credentials. The copy
that was used last is not among the results.
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from pinstall.inspection import integrity
from pinstall.model.links import without_secrets
from pinstall.pip_cache import built_wheels, entries
from pinstall.pip_cache.entries import BuiltWheel

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from pinstall.cache_tool.inventory import Item

# Seconds. Somebody may use two URLs of one file in turn.
_RECENT = 86_400


def older(items: Iterable[Item], now: float) -> list[Item]:
    """Return those of *items* of which another copy was used later, if nobody has used them in the day before *now*.

    *now* is in seconds since the epoch. Leaves out items of the store, downloads to which a cached page or redirect leads, and
    wheels built from a URL without a query. Reads the downloads of a project that have the same length.
    A download for pip before 23.3 is no copy of one for later pips.
    """
    downloads: defaultdict[Hashable, list[Item]] = defaultdict(list)
    same: defaultdict[Hashable, list[Item]] = defaultdict(list)
    for item in items:
        if item.stored or item.stamp is None:
            continue
        if isinstance(item.entry, BuiltWheel):
            if (source := _source(item.entry)) is not None:
                same[source].append(item)
        elif item.entry.kind == "download" and item.project and not item.origin:
            downloads[item.project, item.entry.layout, item.length].append(item)
    for alike, found in downloads.items():
        for item in found if len(found) > 1 else ():
            with suppress(OSError), entries.open_content(item.entry) as file:
                same[alike, integrity.sha256(file)].append(item)
    copies = (item for found in same.values() for item in sorted(found, key=lambda item: item.used)[:-1])
    return [item for item in copies if now - item.used > _RECENT]


def _source(wheel: BuiltWheel) -> Hashable | None:
    """Return a key that copies of a built wheel have in common: the source without the query of its URL, and the file name.

    Returns None if no URL with a query is noted beside the wheel, or no digest of the source.
    """
    origin = built_wheels.read_origin(os.path.dirname(wheel.content_path))
    if origin is None or "?" not in origin.url or not origin.digests:
        return None
    return without_secrets(origin.url), origin.digests, origin.subdirectory, wheel.filename
