"""A pip newer than those that pinstall was held to: if it keeps its cache in another way, what is there was not checked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinstall.pip_cache import http_entries, keys, locator
from pinstall.pip_cache.http_entries import Entry
from pinstall.storage import lock, view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinstall.pip_cache.locator import Cache

_FOLDERS = frozenset({keys.TWO_FILES.folder, keys.ONE_FILE.folder, "wheels", "selfcheck", lock.FOLDER})


def signs(cache: Cache, name: str | None, began: float) -> Iterator[str]:
    """Yield what pip has put where pinstall would not look for it: in *cache*, or in this call's view *name* of it.

    Of built wheels, those count that came since the call *began* (seconds since the epoch): older ones may be another Python's.
    """
    views = [os.path.join(cache.root, *view.parts(name))] if name else []
    for folder in (cache.root, *views):
        for found in http_entries.names(folder):
            if found not in _FOLDERS and not found.startswith(".") and os.path.isdir(os.path.join(folder, found)):
                yield found
    for folder, key in http_entries.walk_built(views[0] if views else cache.root):
        origin = locator.read_origin(folder) if _changed(folder) >= began else None
        if origin and cache.source_of(Entry("built", key, (), ""), origin) is None:
            yield "built wheels in unknown folders"


def _changed(folder: str) -> float:
    try:
        return os.stat(folder).st_mtime
    except OSError:
        return 0


def is_first(root: str, version: str) -> bool:
    """Say whether this is told for the first time of this *version* of pip in the cache *root*, and remember it."""
    try:
        path = os.path.join(lock.made_folder(root, "told"), f"pip-{version}")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    except OSError:
        return True
    return True
