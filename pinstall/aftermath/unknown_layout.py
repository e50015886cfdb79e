"""Detect an unknown layout of the cache, which a pip newer than the tested ones may use.

pinstall cannot check the files in such a layout.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinstall.pip_cache import built_wheels, entries, keys
from pinstall.storage import view
from pinstall.storage.folder import FOLDER, ensure_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinstall.pip_cache.locator import Cache

_FOLDERS = frozenset({keys.TWO_FILES.folder, keys.ONE_FILE.folder, keys.WHEELS, *keys.SELFCHECK, FOLDER})


def signs(cache: Cache, name: str, began: float) -> Iterator[str]:
    """Yield a text, sometimes twice, for each sign of another layout in *cache*, and in the view *name* of this call.

    It is the name of an unknown folder at the top, or says that built wheels are in unknown folders. *name* is "" if the call
    has no view in the cache. Built wheels count only in folders that have changed since the start of the call, *began* (seconds
    since the epoch): older ones may belong to another Python.
    """
    views = [os.path.join(cache.root, *view.parts(name))] if name else []
    for folder in (cache.root, *views):
        for found in entries.names(folder):
            if found not in _FOLDERS and not found.startswith(".") and os.path.isdir(os.path.join(folder, found)):
                yield found
    for folder, key in built_wheels.walk_built(views[0] if views else cache.root):
        origin = built_wheels.read_origin(folder) if _changed(folder) >= began else None
        if origin and cache.source_of(key, origin) is None:
            yield "built wheels in unknown folders"


def _changed(folder: str) -> float:
    try:
        return os.stat(folder).st_mtime
    except OSError:
        return 0


def is_first_warning(root: str, version: str) -> bool:
    """Note that a warning about this *version* of pip is given for the cache *root*; return whether it is to be given.

    False if it was noted before; True also if it cannot be noted.
    """
    try:
        path = os.path.join(ensure_folder(root, "told"), f"pip-{version}")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    except OSError:
        return True
    return True
