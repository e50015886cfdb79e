"""Write files of the cache whole or not at all: in pinstall's own folder first, then renamed to their place."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pinstall.pip_cache.entries import stamp
from pinstall.storage.folder import ensure_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

# Files are written in this folder and then renamed: `cleanup.sweep` finds the unfinished ones of killed calls here.
UNFINISHED = "unfinished"
# Seconds to wait for a process that has just opened a file: a virus scanner, or a pip that reads a head.
_PAUSES = (0.01, 0.05, 0.2, 0.5)


def write_file(cache: str, path: str, text: str) -> None:
    """Write *text* to the file *path*, in an existing folder of *cache*, whole or not at all; replace it. Raises `OSError`."""
    with placed(cache, path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def replace(source: str, target: str) -> None:
    """Move a file to *target*, which it replaces, on the same file system. Raises `OSError`.

    If both names are hard links to one file, *source* stays. On Windows, tries five times within a second if another process
    has one of the files open.
    """
    for pause in _PAUSES if os.name == "nt" else ():  # there, nobody can replace a file that another process has open
        with suppress(PermissionError):
            os.replace(source, target)
            return
        time.sleep(pause)
    os.replace(source, target)


@contextmanager
def placed(cache: str, place: str) -> Iterator[str]:
    """Yield a path in `UNFINISHED` at which the caller writes a file, then rename that file to *place*, which it replaces.

    The file gets the mode of `UNFINISHED`, without execution (`share`). If anything fails, deletes it and raises.
    """
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
    """Give a regular file the mode of its folder without execution, regardless of the umask: a group may share the cache.

    Ignores an `OSError`, and does nothing for another kind of file.
    """
    if stamp(path) is not None:
        with suppress(OSError):
            os.chmod(path, os.stat(os.path.dirname(path)).st_mode & 0o666)
