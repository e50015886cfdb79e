"""The lock, held for milliseconds by whoever changes the cache, and the marks of calls that are under way.

Both are files of filelock's ``FileLock``: the kernel frees them when their holder dies. pip knows nothing of them; they order
pinstall against pinstall.
"""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FOLDER = "pinstall"
CALLS = "calls"
DEFAULT_TIMEOUT = 30.0
_LONGEST = 1e9  # 31 years
_PATIENCE = 1.0
_MARK = re.compile(r"\d+-[0-9a-f]{8}")


class LockTimeoutError(Exception):
    """Another pinstall held the lock for too long."""


def timeout(environ: Mapping[str, str]) -> float:
    """Return the seconds of ``PINSTALL_LOCK_TIMEOUT``; 30 if that is not set, or invalid."""
    found = seconds(environ.get("PINSTALL_LOCK_TIMEOUT", ""))
    return DEFAULT_TIMEOUT if found is None else found


def seconds(text: str) -> float | None:
    """Read a number of seconds from 0 to a billion; None if the text is not one."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found <= _LONGEST else None  # nan neither


@contextmanager
def held(cache: str, seconds: float, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the cache folder *cache*.

    Waits at most *seconds*; *say* is told who is waited for after the first. Raises `LockTimeoutError`, and `OSError` if the
    cache cannot be written.
    """
    from filelock import FileLock, Timeout

    path = os.path.join(made_folder(cache), "lock")
    lock = FileLock(path, mode=_mode(cache), on_acquired=_sign)
    try:
        _acquire(lock.acquire, path, seconds, say)
    except Timeout as error:
        raise LockTimeoutError(f"{_holder(path)} held the lock of pip's cache for more than {seconds:g} s") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(acquire: Callable[..., object], path: str, seconds: float, say: Callable[[str], None]) -> None:
    from filelock import Timeout

    try:
        acquire(timeout=min(seconds, _PATIENCE), poll_interval=0.01)
    except Timeout:
        if seconds <= _PATIENCE:
            raise
        say(f"waiting for {_holder(path)}, which is changing pip's cache (at most {seconds:g} s, PINSTALL_LOCK_TIMEOUT)")
        acquire(timeout=seconds - _PATIENCE)


def _sign(descriptor: int) -> None:
    """Leave our name in the lock file for those who wait (not on Windows, where a locked file cannot be read)."""
    if hasattr(os, "pwrite"):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _holder(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(20).strip()
    except OSError:
        text = ""
    return f"pinstall (process {text})" if text.isdecimal() else "another pinstall"


@contextmanager
def call_marker(cache: str) -> Iterator[str | None]:
    """Mark this call as under way in *cache* while its pip runs: it may have read where built wheels lie.

    Yields the name of the call; None if it cannot be marked. Where the cache cannot be written nothing is moved either.
    """
    from filelock import FileLock

    name = f"{os.getpid()}-{os.urandom(4).hex()}"
    path = ""
    try:
        path = os.path.join(made_folder(cache, CALLS), name)
        mark = FileLock(path, mode=_mode(cache))
        mark.acquire(timeout=1)  # somebody may be looking whether it is alive
    except OSError:
        _remove(path)  # a file that cannot be locked would pass for a call that never ends
        yield None
        return
    try:
        yield name
    finally:
        mark.release()
        _remove(path)


def markers(cache: str) -> list[str]:
    """Return the names of the marks that there are, also those of the dead. Raises `OSError` if that cannot be told."""
    try:
        return [name for name in os.listdir(os.path.join(cache, FOLDER, CALLS)) if _MARK.fullmatch(name)]
    except FileNotFoundError:
        return []


def live_calls(cache: str) -> set[str]:
    """Return the names of the calls that are under way; marks of the dead are removed. Raises `OSError`."""
    from filelock import FileLock, Timeout

    found: set[str] = set()
    there = markers(cache)
    folder = made_folder(cache, CALLS) if there else ""
    for name in there:
        path = os.path.join(folder, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        try:
            with FileLock(path, timeout=0):
                _remove(path)
        except (Timeout, OSError):
            found.add(name)
    return found


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def made_folder(cache: str, *parts: str) -> str:
    """Make pinstall's folder in *cache*, or one below it, with the modes of the cache folder; return it.

    Raises `OSError`, also if a link is in the way: what lies behind it is not ours.
    """
    folder = os.path.join(cache, FOLDER, *parts)
    if os.path.realpath(folder) != os.path.join(os.path.realpath(cache), FOLDER, *parts):
        raise OSError(errno.ELOOP, "a symbolic link is in the way", folder)
    if not os.path.isdir(folder):
        os.makedirs(cache, exist_ok=True)
        mode = os.stat(cache).st_mode & 0o2777  # with setgid: what is made in it belongs to the group
        for depth in range(len(parts) + 1):
            made = os.path.join(cache, FOLDER, *parts[:depth])
            with suppress(FileExistsError):  # it may be another user's, whose modes are not ours to change
                os.mkdir(made, mode)
                os.chmod(made, mode)  # whatever the umask
    return folder


def _mode(cache: str) -> int:
    """Return the mode for files: that of the cache folder, without execution."""
    return os.stat(cache).st_mode & 0o666 if os.path.isdir(cache) else 0o644


def clock() -> int:
    """Return the time of day in nanoseconds, as file systems stamp files with it."""
    return time.time_ns()
