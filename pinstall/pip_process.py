"""Forward: pip as a child process that inherits everything, whose exit status is ours. The standard library only."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

COULD_NOT_START = 92


# What pip imports for an install as well as we do for ours.
SHARED = (
    *("base64", "csv", "dataclasses", "decimal", "email.parser", "email.utils", "fnmatch", "hashlib", "hmac", "logging"),
    *("optparse", "pathlib", "platform", "random", "shlex", "shutil", "sysconfig", "urllib.parse", "zipfile"),
)
# Python's own (getopt.c), of one letter; -m is the last.
_INTERPRETER_OPTIONS = "bBdEhiIm:OPqRsStuvVW:xX:"


class Observation(NamedTuple):
    """What a pip that failed did, as `pip_child.Witness` saw it.

    ``opened`` are the paths of the cache files that it read before it wrote them, ``written`` those that it wrote. ``silent``
    are the hosts (host:port) that did not answer, ``lost`` the URLs that were not answered, or with an error; ``infos`` are the
    ``.dist-info`` folders that it made. ``asked``: it asked the user something; ``login``: a server wanted a login;
    ``streams``: it read a pipe or standard input by name; ``nested``: it started another pip, of which nothing is known;
    ``stopped``: it was ended before it installed anything. ``built`` are the seconds that its build steps took.
    """

    opened: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    infos: frozenset[str] = frozenset()
    asked: bool = False
    login: bool = False
    streams: bool = False
    nested: bool = False
    stopped: bool = False
    built: float = 0.0


class Pip:
    """A pip that is to serve one call: started at once, told later what to do."""

    def __init__(self, runner: str, say: Callable[[str], None], *, early: bool = False) -> None:
        """Have the interpreter *runner* start (*say* is told if it cannot); if *early*, it imports pip while we do our work."""
        self._runner, self._say = runner, say
        self.was_told_to_end = False  # by a signal, whatever pip made of that
        self.observation: Observation | None = None
        if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the kernel keeps pip's status to itself
        reading, self._go = map(_above_the_streams, os.pipe())
        self._told, telling = map(_above_the_streams, os.pipe())
        self._child: _Child | None
        try:
            self._child = _Fork() if early and _can_fork(runner) else _spawned(runner, reading, telling, early=early)
        except OSError as error:
            self._child, self._error = None, error
        if isinstance(self._child, _Fork) and self._child.is_pip:  # here, where nobody catches what pip raises
            os.close(self._go)
            os.close(self._told)
            _be_pip(reading, telling)
        os.close(reading)
        os.close(telling)

    def run(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        meanwhile: Callable[[], None],
        cache: str = "",
        excused: Sequence[str] | None = None,
    ) -> int:
        """Let pip do what its arguments *words* say, with these *variables* set, and wait for it; *meanwhile* is called once.

        If pip fails, ``observation`` is what it did in its folder *cache*, unless that is "". A pip that is to be guarded ends
        before it installs anything if it had no answer from any URL or host but those *excused*.

        Returns its exit status; 128+n if signal n ended it, 92 if it could not be started.
        """
        if self._child is None:
            os.close(self._go)
            os.close(self._told)
            self._say(
                f"pip could not be started: {self._runner} cannot be run ({self._error.strerror}); recreate the environment"
            )
            return COULD_NOT_START
        orders = {"arguments": list(words), "variables": dict(variables), "cache": cache, "excused": excused}
        with self._passing_signals_to(self._child), _until_silent(self._told) as heard:
            go = open(self._go, "wb")  # noqa: SIM115 (until pip has ended)
            with suppress(BrokenPipeError):
                go.write(json.dumps(orders).encode() + b"\n")
                go.flush()
            meanwhile()
            while (status := self._child.poll()) is None:
                heard.wait()
            heard.wait(0)
            with suppress(BrokenPipeError):
                go.close()
        self.observation = _observation(heard.data)
        return 128 - status if status < 0 else status

    @contextmanager
    def _passing_signals_to(self, child: _Child) -> Iterator[None]:
        """Pass on what is sent to us alone; what the terminal sends has reached the child already."""

        def pass_on(number: int, _frame: Any) -> None:
            name = signal.Signals(number).name
            self.was_told_to_end = self.was_told_to_end or name not in ("SIGUSR1", "SIGUSR2")
            if name not in ("SIGINT", "SIGQUIT") or not _in_foreground():
                child.send_signal(number)

        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGBREAK", "SIGQUIT")
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        # A signal that we were told to ignore (nohup) is ignored by the child as well.
        before = {number: signal.signal(number, pass_on) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Listener:
    """Hears what the child tells, and so notices its end: the last descriptor of the pipe is closed then.

    A parent of ours may have blocked SIGCHLD, and that is inherited. To block in ``waitpid`` would be to sleep over a signal
    that arrives just before: it would reach pip when pip has ended.
    """

    def __init__(self, told: int, alarm: int) -> None:
        self.data = b""
        self._told, self._alarm, self._pause = told, alarm, 1.0

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the child tells something or may have ended, or a signal comes; at most *seconds*, or a second."""
        if sys.platform == "win32":  # pragma: no cover (its pipes cannot be waited for, and signals end the reading)
            self._read_to_the_end()
            return
        sources = [self._alarm, *([self._told] if self._told >= 0 else [])]
        ready, _, _ = select.select(sources, [], [], self._pause if seconds is None else seconds)
        if self._alarm in ready:
            os.read(self._alarm, 512)
        while self._told in ready and select.select([self._told], [], [], 0)[0]:
            if chunk := os.read(self._told, 1 << 16):
                self.data += chunk
            else:
                self._told, self._pause = -1, 0.001  # it ends in a moment
                break

    def _read_to_the_end(self) -> None:  # pragma: no cover (Windows)
        while self._told >= 0 and (chunk := os.read(self._told, 1 << 16)):
            self.data += chunk
        self._told = -1
        time.sleep(0.001)


@contextmanager
def _until_silent(told: int) -> Iterator[_Listener]:
    """Yield what listens to the pipe *told*, and wakes for signals; close the pipe afterwards."""
    if sys.platform == "win32":  # pragma: no cover
        yield _Listener(told, -1)
        os.close(told)
        return
    alarm, ringing = map(_above_the_streams, os.pipe())
    for descriptor in (alarm, ringing):
        os.set_blocking(descriptor, False)
    before = signal.set_wakeup_fd(ringing, warn_on_full_buffer=False)
    try:
        yield _Listener(told, alarm)
    finally:
        signal.set_wakeup_fd(before)
        for descriptor in (alarm, ringing, told):
            os.close(descriptor)


def _observation(data: bytes) -> Observation | None:
    """Read what the child told; None if it told nothing."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    fields: dict[str, Any] = {name: frozenset(value) if isinstance(value, list) else value for name, value in found.items()}
    return Observation(**fields)


class _Child(Protocol):
    def poll(self) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...


class _Fork:
    """A child that goes on as pip in a copy of this process: what both need is loaded once.

    That saves the start of an interpreter and 0.16 of 2.0 billion instructions; on one core it halves what pinstall costs.
    """

    def __init__(self) -> None:
        for module in SHARED:
            import_module(module)
        self._status: int | None = None
        gc.freeze()  # what is there already is not looked at again by pip's collector, which would copy every page of it
        self._pid = os.fork()
        self.is_pip = self._pid == 0

    def poll(self) -> int | None:
        if self._status is None and (found := os.waitpid(self._pid, os.WNOHANG))[0]:
            self._status = os.waitstatus_to_exitcode(found[1])
        return self._status

    def send_signal(self, number: int, /) -> None:
        if self._status is None:
            os.kill(self._pid, number)


def _be_pip(reading: int, telling: int) -> NoReturn:
    """Go on as pip, in a copy of our process, which is told what to do by the descriptor *reading*."""
    from pinstall import pip_child

    sys.argv[:] = ["-c"]
    # What pip has to say is not ours to hide.
    sys.excepthook, sys.unraisablehook = partial(_show_from, pip_child.__file__), sys.__unraisablehook__
    pip_child.main(str(reading), str(telling), early=True)
    sys.exit()


def _show_from(path: str, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show what ends pip as where pip is all that runs: from the frame of the program at *path* on."""
    while trace is not None and trace.tb_frame.f_code.co_filename != path:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def _can_fork(runner: str) -> bool:
    """Say whether a copy of this process may go on as pip: not under threads, and not on macOS, whose frameworks forbid it."""
    return sys.platform == "linux" and runner == sys.executable and threading.active_count() == 1


def _spawned(runner: str, reading: int, telling: int, *, early: bool) -> subprocess.Popen[bytes]:
    for descriptor in (reading, telling):
        os.set_inheritable(descriptor, True)
    options = _interpreter_options() if runner == sys.executable else []
    ends = [str(_as_inherited(descriptor)) for descriptor in (reading, telling)]
    command = [runner, *options, "-c", _program(), *ends, *(["early"] if early else [])]
    # Descriptors that were given to us (``-r /dev/fd/63``) are pip's too; ours are not inheritable.
    return subprocess.Popen(command, close_fds=False)


def _program() -> str:
    """Return the text of `pip_child`, which may run in an interpreter that has no pinstall."""
    from pkgutil import get_data

    return (get_data("pinstall", "pip_child.py") or b"").decode()


def _above_the_streams(descriptor: int) -> int:
    """Move a descriptor that has taken the place of a closed standard stream: to pip that stream is closed, and no pipe."""
    if descriptor > 2:
        return descriptor
    higher = _above_the_streams(os.dup(descriptor))
    os.close(descriptor)
    return higher


def _as_inherited(descriptor: int) -> int:
    """Return the number under which a child finds an inherited descriptor: on Windows, that of its handle."""
    if sys.platform == "win32":  # pragma: no cover
        import msvcrt

        return msvcrt.get_osfhandle(descriptor)
    return descriptor


def _interpreter_options() -> list[str]:
    """Return the options of ``python OPTIONS -m pinstall``: "python OPTIONS -m pip" has them too. None if we are a script."""
    words = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    if words == ["-m", "pinstall"] or not "".join(words).startswith("-"):
        return []
    from getopt import GetoptError, getopt

    try:
        options, rest = getopt(words, _INTERPRETER_OPTIONS, ["check-hash-based-pycs="])
    except GetoptError:
        return []
    if rest or not options or options[-1][0] != "-m":  # somebody's program that runs ours: "python -m coverage run -m pinstall"
        return []
    return [word for name, value in options[:-1] for word in ([name, value] if value or name in ("-W", "-X") else [name])]


def _in_foreground() -> bool:
    """Say whether the terminal's keys reach us and the child alike."""
    if sys.platform == "win32":  # pragma: no cover
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


class Given(NamedTuple):
    """What pip is given: its ``arguments``, behind ``install``, and ``variables``, which reach the pips that it starts too.

    ``pip`` is its version, as far as it is known.
    """

    arguments: list[str]
    pip: tuple[int, ...] = ()
    variables: Mapping[str, str] = {}

    def with_cache(self, folder: str) -> Given:
        """Return the same with another cache *folder*."""
        return self._with(["--cache-dir", folder], {"PIP_CACHE_DIR": folder})

    def without_cache(self) -> Given:
        """Return the same without the cache."""
        return self._with(["--no-cache-dir"], {"PIP_NO_CACHE_DIR": "1"})

    def _with(self, option: list[str], variables: Mapping[str, str]) -> Given:
        """Put *option* where it has the last word: behind all options.

        Where that cannot be known nothing is put among the arguments: it could become the value of an option, or a
        requirement. The *variables* have to do then, which any such option of the call overrules.
        """
        end, words = None, self.arguments
        with suppress(Exception):  # pip may refuse these words, and our own modules may be broken
            from pinstall.invocation import options

            end = options.end(words, self.pip)
        return Given(words if end is None else [*words[:end], *option, *words[end:]], self.pip, variables)
