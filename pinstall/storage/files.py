"""Files below pinstall's own folder, written whole or not at all."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pinstall.pip_cache.entries import stamp
from pinstall.storage.folder import ensure_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every file is written in this folder and then renamed: `cleanup.sweep` finds the unfinished files of killed calls here.
UNFINISHED = "unfinished"
# Seconds to wait for a process that has just opened a file: a virus scanner, or a pip that reads a head.
_PAUSES = (0.01, 0.05, 0.2, 0.5)


def write_file(cache: str, path: str, text: str) -> None:
    """Write *text* to the file *path* below *cache*, whole or not at all. Raises `OSError`."""
    with placed(cache, path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def replace(source: str, target: str) -> None:
    """Move a file to *target*, which it replaces. Raises `OSError`."""
    for pause in _PAUSES if os.name == "nt" else ():  # there, nobody can replace a file that another process has open
        with suppress(PermissionError):
            os.replace(source, target)
            return
        time.sleep(pause)
    os.replace(source, target)


@contextmanager
def placed(cache: str, place: str) -> Iterator[str]:
    """Yield the path of a temporary file, then rename the file to *place*; if anything fails, delete it and raise."""
    temporary = os.path.join(ensure_folder(cache, UNFINISHED), os.urandom(8).hex())
    try:
        yield temporary
        share(temporary)
        replace(temporary, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def share(path: str) -> None:
    """Give a regular file the mode of its folder without execution, regardless of the umask: a group may share the cache."""
    if stamp(path) is not None:
        with suppress(OSError):
            os.chmod(path, os.stat(os.path.dirname(path)).st_mode & 0o666)
