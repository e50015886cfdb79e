"""pinstall's own folder in pip's cache folder."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress

from pinstall.pip_cache.entries import is_direct

FOLDER = "pinstall"


def ensure_folder(cache: str, *parts: str) -> str:
    """Make pinstall's folder in *cache*, or the folder *parts* below it, with the cache folder's mode; return its path.

    Makes *cache* as well if it is missing. A folder that exists keeps its mode. Raises `OSError`, also if a symbolic link below
    *cache* is in the way: pinstall does not write to the folder behind it.
    """
    folder, root = os.path.join(cache, FOLDER, *parts), os.path.realpath(cache)
    if not is_direct(root, os.path.join(root, FOLDER, *parts)):
        raise OSError(errno.ELOOP, "a symbolic link is in the way", folder)
    if not os.path.isdir(folder):
        os.makedirs(cache, exist_ok=True)
        mode = os.stat(cache).st_mode & 0o2777  # with setgid: new files belong to the cache's group
        for depth in range(len(parts) + 1):
            made = os.path.join(cache, FOLDER, *parts[:depth])
            with suppress(FileExistsError):  # leave the mode of a folder that another user has made
                os.mkdir(made, mode)
                os.chmod(made, mode)  # mkdir applies the umask
    return folder


def file_mode(cache: str) -> int:
    """Return the mode for new files: the mode of the folder *cache* without execution; 0o644 if that is not a folder.

    The owner may write in any case: root can use a folder that nobody may write to.
    """
    return os.stat(cache).st_mode & 0o666 | 0o600 if os.path.isdir(cache) else 0o644


def clock() -> int:
    """Return this machine's time in nanoseconds since the epoch, as the times of files are; a server's clock may differ."""
    return time.time_ns()
