"""Try in pinstall's own folder whether locks, links and renames work on the file system of the cache."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from pinstall.storage import lock
from pinstall.storage.files import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Callable


def excludes(cache: str) -> bool:
    """Return whether the lock of *cache*, once taken, keeps a second holder out; on some network file systems it does not.

    Raises `LockTimeoutError` if another pinstall holds the lock, and `OSError` if the cache cannot be written.
    """
    with lock.held(cache, 0, lambda _: None):
        try:
            with lock.held(cache, 0, lambda _: None):
                return False
        except (lock.LockTimeoutError, RuntimeError):  # the latter if filelock itself notices the second lock
            return True


def failing(cache: str) -> list[str]:
    """Return the operations that fail in *cache*, with the error of each. Raises `OSError` if no file can be written there."""
    folder = lock.ensure_folder(cache, UNFINISHED)
    path = os.path.join(folder, os.urandom(8).hex())
    with open(path, "wb"):
        pass
    acts: dict[str, Callable[[str, str], object]] = {
        "symbolic links": os.symlink,
        "hard links": os.link,
        "renames": os.replace,  # last, as it moves the file
    }
    found = []
    try:
        for name, act in acts.items():
            try:
                act(path, f"{path}.{name[0]}")
            except OSError as error:
                found.append(f"{name} ({error.strerror})")
    finally:
        for made in (path, *(f"{path}.{name[0]}" for name in acts)):
            with suppress(OSError):
                os.unlink(made)
    return found
