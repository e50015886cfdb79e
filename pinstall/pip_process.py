"""Run pip as a child process that inherits everything from pinstall except `SECRETS`, and return its exit status.

Imports only the standard library and the exit statuses at first.
"""

from __future__ import annotations

import errno
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

from pinstall import exit_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

_LARGEST_STATUS = 0x7FFFFFFF


# Modules that both pip and pinstall import for an install: `_Fork` loads them once for both.
SHARED = (
    *("base64", "csv", "dataclasses", "decimal", "email.parser", "email.utils", "fnmatch", "hashlib", "hmac", "logging"),
    *("optparse", "pathlib", "platform", "random", "shlex", "shutil", "sysconfig", "urllib.parse", "zipfile"),
)
# Variables of pinstall that no build may see: the key that signs builds.
SECRETS = ("PINSTALL_SHARED_STORE_KEY",)
# Run pip as its script does. "-m pip" would import a pip from the current folder.
AS_SCRIPT = (
    "import os, sys; sys.path[:] = [os.path.dirname(sys.executable)] + [path for path in sys.path if path]; "
    "sys.argv[0] = 'pip'; import runpy; runpy.run_module('pip', run_name='__main__')"
)
# The one-letter options of Python itself, for getopt (Python's getopt.c). -m ends them.
_INTERPRETER_OPTIONS = "bBdEhiIm:OPqRsStuvVW:xX:"


class Observation(NamedTuple):
    """The actions of a pip that failed, and of the pips that it started, as `pip_child.Witness` recorded them.

    - ``opened_files``: the paths of the cache files that pip opened for reading, unless it had written them before.
    - ``written_files``: the paths of the cache files that pip moved to their places.
    - ``silent_hosts``: the hosts (host:port) that did not answer.
    - ``login_hosts``: the hosts (host:port) that required a login.
    - ``lost_urls``: the URLs (host:port/path) for which pip got no answer, or an error other than 404.
    - ``created_dist_infos``: the ``.dist-info`` folders that pip created.
    - ``asked_user``: pip asked the user a question.
    - ``read_a_pipe``: pip read a pipe or standard input by name.
    - ``started_pip``: pip started another pip, whose actions are unknown (on Windows, and where it was killed).
    - ``build_seconds``: the seconds that build steps took.
    """

    opened_files: frozenset[str] = frozenset()
    written_files: frozenset[str] = frozenset()
    silent_hosts: frozenset[str] = frozenset()
    login_hosts: frozenset[str] = frozenset()
    lost_urls: frozenset[str] = frozenset()
    created_dist_infos: frozenset[str] = frozenset()
    asked_user: bool = False
    read_a_pipe: bool = False
    started_pip: bool = False
    build_seconds: float = 0.0


def _answer_nothing(_folder: str) -> None:
    pass


class PipWatch(NamedTuple):
    """How pip's process is watched.

    ``cache_folder`` is the resolved path of the folder whose use is recorded; if it is "", pip is neither recorded nor guarded,
    and asks nothing. If ``known_failures`` is a list, pip is guarded: it ends before it installs or builds anything if a URL or
    host that is not in the list failed (as ``lost_urls`` and ``silent_hosts`` of `Observation`). ``answer_question`` is called
    with each folder of built wheels that pip, or one that it starts, is about to search in the cache, and with a shared
    store, each folder without a wheel in which pip looks for a build. pip waits until it returns, at most a minute longer than
    ``shared_store_timeout``, and asks no more after it has waited in vain. Errors of ``answer_question`` are ignored, and it is
    not called on Windows. ``notes_folder`` is for the notes on the builds (`pinstall.build_watch`); "" if they are not watched.
    ``shared_store_timeout`` is that of the shared store in seconds; 0 without one.
    """

    cache_folder: str = ""
    known_failures: Sequence[str] | None = None
    answer_question: Callable[[str], None] = _answer_nothing
    notes_folder: str = ""
    shared_store_timeout: float = 0

    def orders(self) -> dict[str, Any]:
        """Return pip's orders except the command: those for the watch, and `SECRETS`, the variables to drop."""
        asks = self.answer_question is not _answer_nothing and sys.platform != "win32"  # there, the report is read at the end
        runner, program = (os.path.join(os.path.dirname(__file__), name) for name in ("build_watch.py", "pip_child.py"))
        notes = [self.notes_folder, runner] if self.notes_folder else []
        watched = {"cache": self.cache_folder, "known_failures": self.known_failures, "program": program}
        return {**watched, "asks": asks, "notes": notes, "shared_store_timeout": self.shared_store_timeout, "secrets": SECRETS}


class Pip:
    """A process for one run of pip: it starts at once, and gets its arguments later."""

    def __init__(self, runner: str, say: Callable[[str], None], *, early: bool = False) -> None:
        """Start the interpreter *runner*; if *early*, it imports pip meanwhile. If it cannot start, `run` tells it by *say*.

        If *early*, and where a fork of this process can become pip (`_can_fork`), such a fork serves instead: in the fork, this
        constructor does not return.
        """
        self._runner, self._say = runner, say
        self.was_told_to_end = False  # by a signal, even if pip ignored it
        self._is_answering = False
        self.observation: Observation | None = None
        if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # under SIG_IGN, the kernel discards pip's exit status
        orders_reader, self._orders_writer = map(_above_the_streams, os.pipe())
        self._report_reader, report_writer = map(_above_the_streams, os.pipe())
        self._child: _Child | None
        try:
            self._child = (
                _Fork() if early and _can_fork(runner) else _spawned(runner, orders_reader, report_writer, early=early)
            )
        except OSError as error:
            self._child, self._error = None, error
        if isinstance(self._child, _Fork) and self._child.is_pip:  # outside of any try: nothing must catch pip's exceptions
            os.close(self._orders_writer)
            os.close(self._report_reader)
            _be_pip(orders_reader, report_writer)
        os.close(orders_reader)
        os.close(report_writer)

    def run(self, command: PipCommand, while_pip_runs: Callable[[], None], watch: PipWatch | None = None) -> int:
        """Let pip run *command*, and wait for it; an instance serves for one run.

        Gives pip its orders, calls *while_pip_runs*, which must not raise, and only then answers pip's questions as *watch*
        says. Without *watch*, pip is not watched. Passes on signals. Afterwards ``observation`` is what a pip that failed did;
        None if it succeeded, was not watched, or could not tell.

        Returns pip's exit status; 128+n if signal n ended it. If pip could not be started, calls nothing, says so, and returns
        92; does not return if this process `must_become_pip`.
        """
        if self._child is None:
            os.close(self._orders_writer)
            os.close(self._report_reader)
            if self.must_become_pip:
                self._become(command)
            self._say(
                f"pip could not be started: {self._runner} cannot be run ({self._error.strerror}); recreate the environment"
            )
            return exit_status.COULD_NOT_START
        watch = watch or PipWatch()
        orders = {"arguments": command.argv, "variables": dict(command.variables), "preface": command.preface}
        orders |= watch.orders()
        with self._passing_signals_to(self._child), _listening_to(self._report_reader) as listener:
            orders_pipe = open(self._orders_writer, "wb")  # noqa: SIM115 (open until pip has ended)
            with suppress(BrokenPipeError):
                orders_pipe.write(json.dumps(orders).encode() + b"\n")
                orders_pipe.flush()
            while_pip_runs()
            while (status := self._child.poll()) is None:
                listener.wait()
                for folder in listener.take_questions():
                    self._answer(folder, watch)
                    with suppress(BrokenPipeError):
                        orders_pipe.write(b"\n")
                        orders_pipe.flush()
            listener.wait(0)
            list(listener.take_questions())  # pip has ended before it could read an answer
            with suppress(BrokenPipeError):
                orders_pipe.close()
        self.observation = _observation(listener.data, listener.nested)
        return 128 - status if status < 0 else status

    def _answer(self, folder: str, watch: PipWatch) -> None:
        """Call the *watch* to answer pip's question about a *folder*. A signal that tells pip to end also ends the answer.

        Errors are ignored: pip then uses the wheels there unchecked.
        """
        with suppress(KeyboardInterrupt):
            self._is_answering = True
            try:
                with suppress(Exception):  # the wheels there are used unchecked
                    watch.answer_question(folder)
            finally:
                self._is_answering = False

    @property
    def has_started(self) -> bool:
        """Whether there is a process that becomes pip."""
        return self._child is not None

    @property
    def must_become_pip(self) -> bool:
        """Whether the system allows no child process: then `run` does not return, because this process becomes pip."""
        return self._child is None and self._error.errno in (errno.EAGAIN, errno.ENOMEM)

    def _become(self, command: PipCommand) -> NoReturn:
        outcome = (
            "pip replaces pinstall in this process, so nothing is checked after pip; raise the limit of processes or memory"
        )
        self._say(f"no further process can be started ({self._error.strerror}): {outcome}")
        options = _interpreter_options() if self._runner == sys.executable else []
        argv = [self._runner, *options, "-c", AS_SCRIPT, *command.argv]
        environ = {name: value for name, value in os.environ.items() if name not in SECRETS}
        os.execve(self._runner, argv, {**environ, **command.variables})  # noqa: S606

    @contextmanager
    def _passing_signals_to(self, child: _Child) -> Iterator[None]:
        """Within the context, pass signals on to *child*, and note whether any of them tells pip to end.

        In the foreground of a terminal, the signals of its keys (SIGINT, SIGQUIT) are noted, but not passed on, whoever sent
        them: those of the terminal have reached the child already.
        """

        def pass_on(number: int, _frame: Any) -> None:
            name = signal.Signals(number).name
            self.was_told_to_end = self.was_told_to_end or name not in ("SIGUSR1", "SIGUSR2")
            if name not in ("SIGINT", "SIGBREAK", "SIGQUIT") or not _in_foreground():
                child.send_signal(number)
            if self._is_answering and self.was_told_to_end:
                self._is_answering = False
                raise KeyboardInterrupt  # caught in `_answer`: a shared store may not answer for long

        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGBREAK", "SIGQUIT")
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        # A signal that is ignored since the start of pinstall (nohup) is ignored by the child as well.
        before = {number: signal.signal(number, pass_on) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Listener:
    """Reads the child's questions and report, and so notices its end: then the last writing descriptor of the pipe is closed.

    SIGCHLD would not do: pinstall may inherit a signal mask that blocks it. Blocking in ``waitpid`` would miss a signal that
    arrives just before: pinstall would pass it on only after pip has ended.
    """

    def __init__(self, report_reader: int, alarm: int) -> None:
        self.data = b""
        self.nested: list[dict[str, Any]] = []
        self._report_reader, self._alarm, self._pause = report_reader, alarm, 1.0

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the child writes or may have ended, or a signal arrives; add to ``data`` all that the child has written.

        Waits at most *seconds*: by default one, or a millisecond once the pipe is closed. On Windows, waits until it is closed.
        """
        if sys.platform == "win32":  # pragma: no cover (select does not take pipes there, and signals interrupt reading)
            self._read_to_the_end()
            return
        sources = [self._alarm, *([self._report_reader] if self._report_reader >= 0 else [])]
        ready, _, _ = select.select(sources, [], [], self._pause if seconds is None else seconds)
        if self._alarm in ready:
            os.read(self._alarm, 512)
        while self._report_reader in ready and select.select([self._report_reader], [], [], 0)[0]:
            if chunk := os.read(self._report_reader, 1 << 16):
                self.data += chunk
            else:
                self._report_reader, self._pause = -1, 0.001  # the child ends in a moment
                break

    def take_questions(self) -> Iterator[str]:
        """Take the lines out of ``data``; yield the folder of each question of the child, or of a pip that it started.

        Lines that are reports, of pips that it started, go to ``nested``. The child's own report, which does not end with a
        line break, stays in ``data``.
        """
        while b"\n" in self.data:
            line, _, self.data = self.data.partition(b"\n")
            told = json.loads(line)
            if isinstance(told, dict):
                self.nested.append(told)
            else:
                yield told

    def _read_to_the_end(self) -> None:  # pragma: no cover (Windows)
        while self._report_reader >= 0 and (chunk := os.read(self._report_reader, 1 << 16)):
            self.data += chunk
        self._report_reader = -1
        time.sleep(0.001)


@contextmanager
def _listening_to(report_reader: int) -> Iterator[_Listener]:
    """Yield a listener to the pipe *report_reader*, which also wakes for signals; close the pipe afterwards."""
    if sys.platform == "win32":  # pragma: no cover
        yield _Listener(report_reader, -1)
        os.close(report_reader)
        return
    alarm, ringing = map(_above_the_streams, os.pipe())
    for descriptor in (alarm, ringing):
        os.set_blocking(descriptor, False)
    before = signal.set_wakeup_fd(ringing, warn_on_full_buffer=False)
    try:
        yield _Listener(report_reader, alarm)
    finally:
        signal.set_wakeup_fd(before)
        for descriptor in (alarm, ringing, report_reader):
            os.close(descriptor)


def _observation(data: bytes, nested: Sequence[Mapping[str, Any]]) -> Observation | None:
    """Parse the child's report, and add the *nested* ones, of pips that it started; None if it sent none, or not all of it."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    fields: dict[str, Any] = {}
    for name, value in found.items():
        values = [value, *(report[name] for report in nested)]
        if isinstance(value, list):
            fields[name] = frozenset().union(*values)
        else:
            fields[name] = any(values) if isinstance(value, bool) else sum(values)
    return Observation(started_pip=fields.pop("started_pips", 0) > len(nested), **fields)


class _Child(Protocol):
    def poll(self) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...


class _Fork:
    """A child that continues as pip in a copy of this process, so that modules that both need are loaded once.

    This saves the start of an interpreter and 0.16 of 2.0 billion instructions; on one core it halves the cost of pinstall.
    ``is_pip`` is True in the child.
    """

    def __init__(self) -> None:
        for module in SHARED:
            import_module(module)
        self._status: int | None = None
        gc.freeze()  # else the garbage collector of pip's process would visit, and so copy, every page of memory
        self._pid = os.fork()
        self.is_pip = self._pid == 0

    def poll(self) -> int | None:
        if self._status is None and (found := os.waitpid(self._pid, os.WNOHANG))[0]:
            self._status = os.waitstatus_to_exitcode(found[1])
        return self._status

    def send_signal(self, number: int, /) -> None:
        if self._status is None:
            os.kill(self._pid, number)


def leave(status: int) -> NoReturn:
    """End this process with *status*, without the interpreter's shutdown: the caller has flushed its output."""
    # Windows states the kind of a crash as 3221225786: `os._exit` takes the same 32 bits as a signed number only.
    os._exit(status if status <= _LARGEST_STATUS else status - (1 << 32))


def _be_pip(orders_reader: int, report_writer: int) -> NoReturn:
    """Continue as pip in a copy of this process: take orders from one descriptor, and write the report to the other."""
    from pinstall import pip_child

    sys.argv[:] = ["-c"]
    # pinstall silences unraisable errors (see `cli.main`); those of pip must be shown.
    sys.excepthook, sys.unraisablehook = partial(_show_from, pip_child.__file__), sys.__unraisablehook__
    raise_if_interrupted()
    pip_child.main(str(orders_reader), str(report_writer), early=True)
    sys.exit()


def _show_from(path: str, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show the traceback of pip without the frames of pinstall and of the program at *path*, which runs pip."""
    while trace is not None and trace.tb_frame.f_code.co_filename != path:
        trace = trace.tb_next
    while trace is not None and trace.tb_frame.f_code.co_filename == path:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def _can_fork(runner: str) -> bool:
    """Return whether a fork may continue as pip: on Linux, with one thread, if *runner* is this interpreter.

    On macOS, a fork that goes on without ``exec`` is not safe.
    """
    return sys.platform == "linux" and runner == sys.executable and threading.active_count() == 1


def end_if_interrupted() -> None:
    """Have Ctrl-C end this process quietly, with status 130, until `raise_if_interrupted`, unless another handler is set."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_if_interrupted() -> None:
    """Have Ctrl-C raise `KeyboardInterrupt` again, if `end_if_interrupted` has changed that."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: Any) -> NoReturn:
    os._exit(exit_status.INTERRUPTED)


def _spawned(runner: str, orders_reader: int, report_writer: int, *, early: bool) -> subprocess.Popen[bytes]:
    """Start `pip_child` in the interpreter *runner*; if *early*, it imports pip before its orders come. Raises `OSError`."""
    for descriptor in (orders_reader, report_writer):
        os.set_inheritable(descriptor, True)
    options = _interpreter_options() if runner == sys.executable else []
    ends = [str(_as_inherited(descriptor)) for descriptor in (orders_reader, report_writer)]
    command = [runner, *options, "-c", _program(), *ends, "early" if early else "late"]
    # pip needs the descriptors that pinstall inherited (``-r /dev/fd/63``). Those that pinstall opened are not inheritable.
    if not hasattr(signal, "pthread_sigmask"):  # pragma: no cover (Windows)
        return subprocess.Popen(command, close_fds=False)
    # An interrupt waits until the child can end quietly: Python's start would end with a traceback.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        return subprocess.Popen([*command, *(["unblock"] if signal.SIGINT not in before else [])], close_fds=False)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _program() -> str:
    """Return the source code of `pip_child`, because the interpreter that runs it may have no pinstall to import."""
    from pkgutil import get_data

    return (get_data("pinstall", "pip_child.py") or b"").decode()


def _above_the_streams(descriptor: int) -> int:
    """Return *descriptor* if it is above 2; else close it, and return a copy above 2.

    It then has the number of a closed standard stream, which must stay closed for pip.
    """
    if descriptor > 2:
        return descriptor
    higher = _above_the_streams(os.dup(descriptor))
    os.close(descriptor)
    return higher


def _as_inherited(descriptor: int) -> int:
    """Return the number by which a child finds an inherited descriptor; on Windows, its handle."""
    if sys.platform == "win32":  # pragma: no cover
        import msvcrt

        return msvcrt.get_osfhandle(descriptor)
    return descriptor


def _interpreter_options() -> list[str]:
    """Return the OPTIONS of ``python OPTIONS -m pinstall``, which pip's interpreter needs, too; empty if run otherwise."""
    arguments = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    if arguments == ["-m", "pinstall"] or not "".join(arguments).startswith("-"):
        return []
    from getopt import GetoptError, getopt

    try:
        options, rest = getopt(arguments, _INTERPRETER_OPTIONS, ["check-hash-based-pycs="])
    except GetoptError:
        return []
    if rest or not options or options[-1][0] != "-m":  # another program runs pinstall: "python -m coverage run -m pinstall"
        return []
    return [text for name, value in options[:-1] for text in ([name, value] if value or name in ("-W", "-X") else [name])]


def _in_foreground() -> bool:
    """Return whether signals from the terminal's keys reach both pinstall and the child; False without a terminal."""
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


class PipCommand(NamedTuple):
    """A command line of pip: the ``options`` before its ``command``, the ``command``, and the ``arguments`` of that.

    ``variables`` are set for pip, and reach the pips that it starts, too. ``pip_version`` is empty if it is unknown.
    pip's process prints the ``preface`` before pip's own output.
    """

    arguments: list[str]
    pip_version: tuple[int, ...] = ()
    variables: Mapping[str, str] = {}
    command: str = "install"
    options: tuple[str, ...] = ()
    preface: str = ""

    @property
    def argv(self) -> list[str]:
        """All arguments of pip."""
        return [*self.options, self.command, *self.arguments]

    def with_cache(self, folder: str) -> PipCommand:
        """Return a copy that makes pip use the cache in *folder*.

        If only the variable can be set (see `_with`), a ``--cache-dir`` or ``--no-cache-dir`` of the call overrides it.
        """
        return self._with(["--cache-dir", folder], {"PIP_CACHE_DIR": folder})

    def without_cache(self) -> PipCommand:
        """Return a copy that makes pip use no cache.

        If only the variable can be set (see `_with`), a ``--cache-dir`` of the call overrides it.
        """
        return self._with(["--no-cache-dir"], {"PIP_NO_CACHE_DIR": "1"})

    def _with(self, option: list[str], variables: Mapping[str, str]) -> PipCommand:
        """Return a copy with *option* after all options of the arguments, which it overrides; *variables* replace its own.

        If the end of the options is unknown, the arguments stay as they are: *option* could become the value of another option,
        or a requirement. Then only the *variables* apply, which options of the call override.
        """
        end, arguments = None, self.arguments
        with suppress(Exception):  # pip may refuse the arguments, or pinstall's own modules may be broken
            from pinstall.invocation import options

            end = options.end(arguments, self.pip_version, self.command)
        extended = arguments if end is None else [*arguments[:end], *option, *arguments[end:]]
        return self._replace(arguments=extended, variables=variables)
