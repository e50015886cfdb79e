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
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

COULD_NOT_START = 92


# What the script "pip" does, for any interpreter: the folder of scripts is the first place to import from, not the current one
# (os is imported already), and pip calls itself pip.
# The first argument is a descriptor: what it is told there, it does. If it starts "early" it imports pip until then: most of
# what pip takes, and done on another core; what pip does then is the same.
# The descriptor is open as long as we live: if we are killed, pip goes too, as if it had been the one. Else it would go on
# behind the back of whoever calls it next, in a view that is no longer its own.
# pip/__main__.py asks for the current folder, the script does not: there may be none.
_PROGRAM = """
import sys
import os
sys.path[:] = [os.path.dirname(sys.executable)] + [p for p in sys.path if p]
import json, runpy, _thread
def watch():
    os.read(go.fileno(), 1)
    os._exit(137)
try:
    if sys.argv[2:] == ["early"]:
        try:
            import pip._internal.commands.install
        except Exception:  # pip will say so itself
            pass
    go = int(sys.argv[1])
    if sys.platform == "win32":
        import msvcrt
        go = msvcrt.open_osfhandle(go, os.O_RDONLY)
    go = open(go, "rb")
    told = go.readline()
    if not told.endswith(b"\\n"):
        os._exit(130)
    words, variables = json.loads(told.decode())
except KeyboardInterrupt:
    os._exit(130)
_thread.start_new_thread(watch, ())
os.environ.update(variables)
sys.argv[:] = ["pip"] + words
try:
    os.getcwd()
except OSError:
    from pip._internal.cli.main import main
    sys.exit(main())
runpy.run_module("pip", run_name="__main__")
"""
# What pip imports for an install as well as we do for ours.
SHARED = (
    *("base64", "csv", "dataclasses", "decimal", "email.parser", "email.utils", "fnmatch", "hashlib", "hmac", "logging"),
    *("optparse", "pathlib", "platform", "random", "shlex", "shutil", "sysconfig", "urllib.parse", "zipfile"),
)
# Python's own (getopt.c), of one letter; -m is the last.
_INTERPRETER_OPTIONS = "bBdEhiIm:OPqRsStuvVW:xX:"


class Pip:
    """A pip that is to serve one call: started at once, told later what to do."""

    def __init__(self, runner: str, say: Callable[[str], None], *, early: bool = False) -> None:
        """Have the interpreter *runner* start (*say* is told if it cannot); if *early*, it imports pip while we do our work."""
        self._runner, self._say = runner, say
        self.was_told_to_end = False  # by a signal, whatever pip made of that
        if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the kernel keeps pip's status to itself
        reading, self._go = map(_above_the_streams, os.pipe())
        self._child: _Child | None
        try:
            self._child = _Fork() if early and _can_fork(runner) else _spawned(runner, reading, early=early)
        except OSError as error:
            self._child, self._error = None, error
        if isinstance(self._child, _Fork) and self._child.is_pip:  # here, where nobody catches what pip raises
            os.close(self._go)
            _be_pip(reading)
        os.close(reading)

    def run(self, words: Sequence[str], variables: Mapping[str, str], meanwhile: Callable[[], None]) -> int:
        """Let pip do what its arguments *words* say, with these *variables* set, and wait for it; *meanwhile* is called once.

        Returns its exit status; 128+n if signal n ended it, 92 if it could not be started.
        """
        if self._child is None:
            os.close(self._go)
            self._say(f"pip could not be started by {self._runner} ({self._error.strerror})")
            return COULD_NOT_START
        with self._passing_signals_to(self._child), _bell(self._child) as rung:
            go = open(self._go, "wb")  # noqa: SIM115 (until pip has ended)
            with suppress(BrokenPipeError):
                go.write(json.dumps([list(words), dict(variables)]).encode() + b"\n")
                go.flush()
            meanwhile()
            while (status := self._child.poll()) is None:
                rung()
            with suppress(BrokenPipeError):
                go.close()
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


@contextmanager
def _bell(child: _Child) -> Iterator[Callable[[], object]]:
    """Yield what waits until *child* may have ended, or a signal came.

    To block in ``waitpid`` would be to sleep over a signal that arrives just before: it would reach pip when pip has ended.
    """
    if not hasattr(signal, "SIGCHLD"):  # pragma: no cover (Windows)
        yield cast("subprocess.Popen[bytes]", child).wait
        return
    reading, writing = map(_above_the_streams, os.pipe())
    for descriptor in (reading, writing):
        os.set_blocking(descriptor, False)
    bell = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGCHLD, lambda *_: None)  # only what has a handler rings

    def rung() -> None:
        select.select([reading], [], [])
        os.read(reading, 512)

    try:
        yield rung
    finally:
        signal.signal(signal.SIGCHLD, handler)
        signal.set_wakeup_fd(bell)
        os.close(reading)
        os.close(writing)


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


def _be_pip(reading: int) -> NoReturn:
    """Go on as pip, in a copy of our process, which is told what to do by the descriptor *reading*."""
    sys.argv[:] = ["-c", str(reading), "early"]
    # What pip has to say is not ours to hide.
    sys.excepthook, sys.unraisablehook = _show_without_us, sys.__unraisablehook__
    exec(_PROGRAM, {"__name__": "__main__"})  # noqa: S102 (the same words for a copy of us and for other interpreters)
    sys.exit()


def _show_without_us(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show what ends pip as where pip is all that runs."""
    while trace is not None and trace.tb_frame.f_code.co_filename != "<string>":
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def _can_fork(runner: str) -> bool:
    """Say whether a copy of this process may go on as pip: not under threads, and not on macOS, whose frameworks forbid it."""
    return sys.platform == "linux" and runner == sys.executable and threading.active_count() == 1


def _spawned(runner: str, reading: int, *, early: bool) -> subprocess.Popen[bytes]:
    os.set_inheritable(reading, True)
    options = _interpreter_options() if runner == sys.executable else []
    command = [runner, *options, "-c", _PROGRAM, str(_as_inherited(reading)), *(["early"] if early else [])]
    # Descriptors that were given to us (``-r /dev/fd/63``) are pip's too; ours are not inheritable.
    return subprocess.Popen(command, close_fds=False)


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
            from pinstall.call import options

            end = options.end(words, self.pip)
        return Given(words if end is None else [*words[:end], *option, *words[end:]], self.pip, variables)
