"""The lock, which a pinstall holds while it changes the cache, mostly for milliseconds, and the markers of running calls.

Both are locked with filelock's ``FileLock``: the kernel releases them when their holder dies. pip does not know them; they
only keep pinstalls from disturbing each other.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pinstall.storage.folder import FOLDER, ensure_folder, file_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import BaseFileLock

CALLS = "calls"
_LOCK, _HOLDER = "lock", "holder"
FILES = (_LOCK, _HOLDER)  # in pinstall's folder, while the lock is held
_SETTING = "PINSTALL_LOCK_TIMEOUT"
_PATIENCE = 1.0  # seconds to wait before telling the user
_MARKER = re.compile(r"\d+-[0-9a-f]{8}")


class LockTimeoutError(Exception):
    """The lock was still held after the time to wait; ``holder`` names the process that has it."""

    def __init__(self, holder: str, seconds: float) -> None:
        super().__init__(f"{holder} held the lock of pip's cache for more than {seconds:g} s")
        self.holder = holder


@contextmanager
def held(cache: str, seconds: float, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the cache folder *cache* within a ``with`` statement; write our process number beside it.

    Waits at most *seconds* (0: not at all); if that is more than one, calls *say* after one second with a line that names the
    holder. Raises `LockTimeoutError` if the lock is still held then, and `OSError` if the cache cannot be written or its file
    system refuses locks.
    """
    from filelock import Timeout

    path = os.path.join(ensure_folder(cache), _LOCK)
    holder = os.path.join(ensure_folder(cache), _HOLDER)
    lock = _file_lock(path, mode=file_mode(cache))
    try:
        _acquire(lock, holder, seconds, say)
    except Timeout as error:
        raise LockTimeoutError(_name(holder), seconds) from error
    except NotImplementedError as error:  # filelock before 4.0, on a file system without locks
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), path) from error
    try:
        _sign(holder, file_mode(cache))
        yield
    finally:
        lock.release()


def _file_lock(path: str, **options: Any) -> BaseFileLock:
    """Return filelock's lock on the file *path*, not yet taken. Raises `OSError` if that is a symbolic link."""
    import warnings

    from filelock import FileLock

    if os.path.islink(path):  # filelock before 3.20.1 follows it, and empties the file
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    # Where a file system has no locks, filelock says so, and falls back to files. `pinstall-cache doctor` tells it, too.
    warnings.filterwarnings("ignore", "flock not supported")
    return FileLock(path, **options)


def _acquire(lock: BaseFileLock, holder: str, seconds: float, say: Callable[[str], None]) -> None:
    from filelock import Timeout

    try:
        lock.acquire(timeout=min(seconds, _PATIENCE), poll_interval=0.01)
    except Timeout:
        _probe(lock.lock_file)
        if seconds <= _PATIENCE:
            raise
        say(f"waiting for {_name(holder)}, which is changing pip's cache (at most {seconds:g} s, {_SETTING})")
        lock.acquire(timeout=seconds - _PATIENCE)


def _probe(path: str) -> None:
    """Raise the `OSError` with which the file system of *path* refuses locks, if it does.

    filelock before 4.0 takes that for a lock that somebody holds, and waits in vain.
    """
    with suppress(ImportError, BlockingIOError):
        import fcntl

        with open(path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sign(holder: str, mode: int) -> None:
    """Write our process number to the file *holder*, for the messages of those that wait. Ignores an `OSError`.

    The lock file cannot have it, because filelock before 4.0 empties that file.
    """
    _remove(holder)
    with suppress(OSError):
        descriptor = os.open(holder, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
        os.chmod(holder, mode)  # whatever the umask is


def _name(holder: str) -> str:
    try:
        with open(holder, encoding="ascii", errors="replace") as file:
            text = file.read(20).strip()
    except OSError:
        text = ""
    return f"pinstall (process {text})" if text.isdecimal() else "another pinstall"


@contextmanager
def call_marker(cache: str) -> Iterator[str | None]:
    """Mark this call as running in *cache* until the block ends: its pip may be about to install a built wheel.

    Meanwhile no pinstall sets other versions aside, shrinks the store, or removes builds on request. The marker is a locked
    file in `CALLS`, which is removed at the end. Yields its name, which is the call's too (``<pid>-<random>``); None if it
    cannot be made, as in a read-only cache.
    """
    name = f"{os.getpid()}-{os.urandom(4).hex()}"
    path = ""
    try:
        path = os.path.join(ensure_folder(cache, CALLS), name)
        mark = _file_lock(path, mode=file_mode(cache))
        mark.acquire(timeout=1)  # another pinstall may be testing the marker (`live_calls`)
    except (OSError, NotImplementedError):
        _remove(path)  # an unlockable marker would look like a call that never ends
        yield None
        return
    try:
        yield name
    finally:
        mark.release()
        _remove(path)


def began(cache: str, name: str | None) -> float | None:
    """Return when the call *name* was marked, in seconds since the epoch by the file system's clock; None without a marker."""
    try:
        return os.stat(os.path.join(cache, FOLDER, CALLS, name)).st_mtime if name else None
    except OSError:
        return None


def markers(cache: str) -> list[str]:
    """Return the names of all markers, also those of killed calls. Raises `OSError`, but not if their folder is missing."""
    try:
        return [name for name in os.listdir(os.path.join(cache, FOLDER, CALLS)) if _MARKER.fullmatch(name)]
    except FileNotFoundError:
        return []


def live_calls(cache: str, *, clears: bool = False) -> set[str]:
    """Return the names of the running calls, among them this one while it is marked (`call_marker`).

    A marker that cannot be tested counts as that of a running call. With *clears*, removes those of killed calls; for that
    the caller holds the lock. Raises `OSError`.
    """
    from filelock import Timeout

    found: set[str] = set()
    there = markers(cache)
    folder = ensure_folder(cache, CALLS) if there else ""
    for name in there:
        path = os.path.join(folder, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        try:
            with _file_lock(path, timeout=0):
                if clears:
                    _remove(path)
        except (Timeout, OSError, NotImplementedError):
            found.add(name)
    return found


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
