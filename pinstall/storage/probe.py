"""Try, for `pinstall-cache doctor`, whether locks, links and renames work on the cache's disk, and whether the lock is free."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pinstall.storage import lock
from pinstall.storage.folder import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def folder(cache: str) -> Iterator[str]:
    """Make and yield a new folder in the folder *cache*; afterwards remove it with all that is in it. Raises `OSError`."""
    path = os.path.join(cache, f"pinstall-doctor-{os.urandom(8).hex()}")
    os.mkdir(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def hold_lock(cache: str) -> None:
    """Take the lock of *cache* for a moment, if its file exists. Raises as `lock.held` without a wait."""
    if os.path.exists(os.path.join(cache, FOLDER, "lock")):
        with lock.held(cache, 0, lambda _: None):
            pass


def excludes(folder: str) -> bool:
    """Return whether a lock in the new *folder*, once taken, keeps a second one out; on some network file systems it does not.

    Raises `OSError` if the folder cannot be written or its file system refuses locks; `LockTimeoutError` if the first lock
    cannot be taken for another reason.
    """
    with lock.held(folder, 0, lambda _: None):
        try:
            with lock.held(folder, 0, lambda _: None):
                return False
        except (lock.LockTimeoutError, RuntimeError):  # the latter if filelock itself notices the second lock
            return True


def failing(folder: str) -> list[str]:
    """Return which of symbolic links, hard links and renames fail in *folder*, such as "hard links (Operation not permitted)".

    Leaves files there. Raises `OSError` if no file can be written there.
    """
    path = os.path.join(folder, "file")
    with open(path, "wb"):
        pass
    acts: dict[str, Callable[[str, str], object]] = {
        "symbolic links": os.symlink,
        "hard links": os.link,
        "renames": os.replace,  # last, as it moves the file
    }
    found = []
    for name, act in acts.items():
        try:
            act(path, f"{path}.{name[0]}")
        except OSError as error:
            found.append(f"{name} ({error.strerror})")
    return found
