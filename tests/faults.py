"""Make faults on order: the n-th call below one folder of a function that changes files fails, or kills the process.

A process is asked by the variables ``FAULT_FOLDER``, ``FAULT`` ("rename:3:ENOSPC", "mkdir:1:KILL"; "": none, count only) and
``FAULT_LOG`` (a file for the names of the calls that were made), through a line in a ``.pth`` file: see `arm`.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KILL = "KILL"
# The errors with which the system refuses a call: a full disk, no permission, a read-only disk, a bad one, another one, too
# many links, a file that somebody else has removed.
ERRORS = ("ENOSPC", "EACCES", "EROFS", "EIO", "EXDEV", "EMLINK", "ENOENT")
_NAMES = {
    "rename": ("rename", "replace"),
    "link": ("link",),
    "symlink": ("symlink",),
    "unlink": ("unlink", "remove"),
    "mkdir": ("mkdir",),
    "rmdir": ("rmdir",),
    "chmod": ("chmod", "fchmod"),
    "utime": ("utime",),
    "fsync": ("fsync",),
    "write": ("write", "pwrite", "ftruncate", "sendfile"),
    "lock": ("flock",),
}
FUNCTIONS = (*_NAMES, "open")
_armed: list[_Watch] = []  # a line of a .pth file may be run twice
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Fault(NamedTuple):
    """The *nth* call (from 1; 0: each) of *function* raises the error named *what*, such as "EIO", or kills with `KILL`."""

    function: str
    nth: int
    what: str

    def __str__(self) -> str:
        return ":".join(map(str, self))


class _Watch:
    """Counts the calls below a folder, and lets one of them fail."""

    def __init__(self, folder: str, fault: Fault | None, note: Callable[[str], object]) -> None:
        self._inside, self._fault, self._note = os.path.join(folder, ""), fault, note
        self._counts: dict[str, int] = {}
        self._process = os.getpid()  # pip may go on in a copy of it

    def watches(self, *places: Any) -> bool:
        """Return whether one of the *places* (paths or descriptors) is below the folder, and if this process is watched."""
        return os.getpid() == self._process and any(self._path(place).startswith(self._inside) for place in places)

    def meet(self, function: str, *places: Any) -> None:
        """Note a call of *function* on *places*, if `watches` is true of them; raise or kill if it is the faulty one."""
        if not self.watches(*places):
            return
        paths = [self._path(place) for place in places]
        count = self._counts[function] = self._counts.get(function, 0) + 1
        self._note(f"{function} {paths[-1]}")
        if self._fault and self._fault.function == function and self._fault.nth in (0, count):
            if self._fault.what == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            number = getattr(errno, self._fault.what)
            raise OSError(number, os.strerror(number), paths[-1])

    @staticmethod
    def _path(place: Any) -> str:
        if isinstance(place, int):
            return os.readlink(f"/proc/self/fd/{place}")
        return os.path.abspath(os.fsdecode(place))


@contextmanager
def injected(folder: Path | str, fault: Fault | None = None) -> Iterator[list[str]]:
    """Let the *fault* happen below *folder* in this process within a ``with`` statement.

    Yields a list that grows by "function path" with each call, also without a *fault*.
    """
    import fcntl

    calls: list[str] = []
    watch = _Watch(str(folder), fault, calls.append)
    saved: list[tuple[Any, str, Any]] = [(builtins, "open", builtins.open), (io, "open", io.open), (os, "open", os.open)]
    saved += [(fcntl, "flock", fcntl.flock)]
    saved += [(os, name, getattr(os, name)) for names in _NAMES.values() for name in names if hasattr(os, name)]
    try:
        _patch(watch)
        yield calls
    finally:
        for module, name, real in saved:
            setattr(module, name, real)


def _patch(watch: _Watch) -> None:
    import fcntl

    for function, names in _NAMES.items():
        for name in names:
            module = fcntl if function == "lock" else os
            if hasattr(module, name):
                setattr(module, name, _wrapped(watch, function, getattr(module, name)))
    os.open = _opening(watch, os.open)
    builtins.open = io.open = _file_opening(watch)


def _wrapped(watch: _Watch, function: str, real: Callable[..., Any]) -> Callable[..., Any]:
    both = function in ("rename", "link", "symlink")

    def call(*words: Any, dir_fd: int | None = None, **options: Any) -> Any:
        place = words[0] if dir_fd is None else os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), words[0])
        if function == "symlink":  # what it says need not be
            watch.meet(function, words[1])
        else:
            try:
                watch.meet(function, place, *(words[1:2] if both else ()))
            except FileNotFoundError:
                if function == "unlink":  # somebody else was faster
                    real(*words, **options, **({} if dir_fd is None else {"dir_fd": dir_fd}))
                raise
        return real(*words, **options, **({} if dir_fd is None else {"dir_fd": dir_fd}))

    for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):  # shutil asks
        if real in known:
            known.add(call)
    return call


def _opening(watch: _Watch, real: Callable[..., int]) -> Callable[..., int]:
    def call(path: Any, flags: int, *words: Any, dir_fd: int | None = None, **options: Any) -> int:
        if flags & _WRITING and dir_fd is None:
            watch.meet("open", path)
        return real(path, flags, *words, dir_fd=dir_fd, **options)

    os.supports_dir_fd.add(call)
    return call


def _file_opening(watch: _Watch) -> Callable[..., Any]:
    real = io.open

    class Raw(io.FileIO):
        def write(self, data: Any, /) -> int:
            watch.meet("write", self.fileno())
            return super().write(data)

    def call(file: Any, mode: str = "r", buffering: int = -1, *words: Any, **options: Any) -> Any:
        if isinstance(file, int) or not set(mode) & set("wxa+") or words or "opener" in options or not watch.watches(file):
            return real(file, mode, buffering, *words, **options)
        watch.meet("open", file)
        raw = io.BufferedWriter(Raw(file, mode.replace("b", "").replace("t", "")))
        return raw if "b" in mode else io.TextIOWrapper(raw, **options)

    return call


def arm() -> None:
    """Begin to watch this process if it runs the script ``pinstall`` and ``FAULT_FOLDER`` is set; else do nothing.

    A ``.pth`` file calls this while Python starts, so also in pip's processes.
    """
    words = sys.orig_argv
    if _armed or "FAULT_FOLDER" not in os.environ or len(words) < 2 or os.path.basename(words[1]) != "pinstall":
        return
    function, nth, what = os.environ.get("FAULT", "").split(":") if os.environ.get("FAULT") else ("", "0", "")
    log = os.open(os.environ["FAULT_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    write = os.write
    fault = Fault(function, int(nth), what) if function else None
    _armed.append(_Watch(os.environ["FAULT_FOLDER"], fault, lambda call: write(log, f"{call}\n".encode())))
    _patch(_armed[0])
