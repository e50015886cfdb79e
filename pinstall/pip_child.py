"""The program of pip's process: run pip as the script ``pip`` does, and report pip's actions to pinstall if pip fails.

It runs in a fork of pinstall's process, or as text after ``-c`` in another interpreter. Where pip starts another pip (for
``--python``, and to install build requirements), it runs that one's script. So it imports the standard library only, and uses
no syntax that is newer than Python 3.7.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR
# Names of open descriptors: data that is read from a pipe cannot be read again.
_STREAMS = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
_LOGIN_NEEDED = (401, 407)
_RUNNER = "__pip-runner__.py"
_NESTED = "nested"
_PATIENCE = 60.0  # seconds that pip waits for an answer of pinstall
_STOPPED = (
    "pinstall ended this second run before anything was installed: an index did not answer, and without its pages pip could "
    "take another project of the same name from another index"
)


class Witness:
    """Records pip's actions by an audit hook, which adds no frame to tracebacks and notices every way to open a file.

    `tell` reports the attributes of `pip_process.Observation`, of this pip alone; in place of ``started_pip``, it reports
    ``started_pips``, the number of pips that this one has started.
    """

    def __init__(self, cache: str, known_failures: list[str] | None, ask: Any) -> None:
        """Prepare to watch the folder *cache* (resolved); see `start`. With *known_failures*, even if empty, `guard` the run.

        *ask* is called once with each folder that pinstall is to look at before pip does (`see_search`, `see_lack`). It returns
        False if no answer came in time; after that, or without *ask*, nothing is asked.
        """
        cache = os.path.normcase(cache)  # as pip does: on Windows, in small letters
        self.below = os.path.join(cache, "")
        self.wheels, self.ask = os.path.join(cache, "wheels", ""), ask
        self.searched: set[str] = set()
        self.known_failures = known_failures
        # Determined before the hook is active: the first call takes a lock, and opens files.
        self.temporary = _temporary() if known_failures is not None else ()
        self.opened_files: set[str] = set()
        self.written_files: set[str] = set()
        self.silent_hosts: set[str] = set()
        self.login_hosts: set[str] = set()
        self.lost_urls: set[str] = set()
        self.created_dist_infos: set[str] = set()
        self.moved: set[str] = set()
        self.asked_user = self.read_a_pipe = False
        self.started_pips = 0
        self.build_seconds = 0.0
        self.since: float | None = None
        self.pid = os.getpid()

    def start(self) -> None:
        """Start watching, by an audit hook, which cannot be removed, and by a wrapper of http.client's ``getresponse``."""
        import http.client

        answered = http.client.HTTPConnection.getresponse

        def getresponse(connection: Any, *args: Any, **kwargs: Any) -> Any:
            response = answered(connection, *args, **kwargs)
            self.hear(connection, response.status)
            return response

        http.client.HTTPConnection.getresponse = getresponse  # type: ignore[assignment,method-assign]
        sys.addaudithook(self.see)

    def see(self, event: str, args: Any) -> None:
        """Record one audit event. An exception would propagate into pip, so none is raised, except to end the run."""
        if event == "open":
            self.see_open(args[0], args[2])
        elif event == "os.rename":
            self.see_rename(args[0], args[1])
        elif event == "subprocess.Popen":
            self.see_process(args[1])
        elif event == "socket.getaddrinfo":
            self.silent_hosts.add(_host(args[0], args[1]))
        elif event == "http.client.send":
            self.see_request(args[0], args[1])
        elif event == "builtins.input":
            self.asked_user = True
        elif event == "os.listdir":
            self.see_search(args[0])

    def see_search(self, folder: Any) -> None:
        """Ask pinstall about a *folder* of built wheels before pip lists it, and wait for the answer.

        pinstall may hide or exchange wheels there (`pinstall.checks.consultation`). Asks about each folder once; does nothing
        for other folders, and once an answer did not come in time.
        """
        if self.ask is None or type(folder) is not str or not folder.startswith(self.wheels) or folder in self.searched:
            return
        self.searched.add(folder)
        with suppress(OSError):
            if not self.ask(folder):
                self.ask = None  # a late answer would be taken for that to the next question

    def watch_for_builds(self) -> None:
        """From now on, ask pinstall when pip looks for a built wheel of a source and finds none: the shared store may have it.

        No audit event tells of it, but pip looks for the folder first, before it fetches the source. So this replaces
        `os.path.isdir` by a wrapper that calls `see_lack`.
        """
        is_folder = os.path.isdir

        def isdir(path: Any) -> bool:
            with suppress(Exception):
                self.see_lack(path, sys._getframe(1))  # noqa: SLF001
            return is_folder(path)

        os.path.isdir = isdir  # type: ignore[assignment]

    def see_lack(self, path: Any, frame: Any) -> None:
        """Ask once about the folder *path* if pip looks there for a build of a remote source, and there is not any wheel.

        *frame* is the caller's, of pip, in which a variable named ``link`` tells the source. Waits as `see_search` does.
        """
        if self.ask is None or type(path) is not str or not path.startswith(self.wheels) or path in self.searched:
            return
        link = frame.f_locals.get("link")  # pip looks for downloaded wheels there, too
        if link is None or link.is_wheel or link.is_file:
            return
        self.searched.add(path)
        with suppress(OSError):
            if any(name.endswith(".whl") for name in os.listdir(path)):
                self.searched.discard(path)
                return
        if not self.ask(path):
            self.ask = None

    def see_open(self, path: Any, flags: Any) -> None:
        """Record that pip reads a cache file, opens a terminal or pipe, or writes a file elsewhere. Raises as `guard`."""
        if type(path) is not str:
            return
        writes = type(flags) is int and flags & _WRITES
        if path.startswith(self.below):
            # The event precedes the opening: the file may not exist.
            if not writes and path not in self.written_files and os.path.lexists(path):
                self.opened_files.add(path)
        elif path.startswith(("/dev/", "/proc/")):
            self.asked_user = self.asked_user or path == "/dev/tty"
            self.read_a_pipe = self.read_a_pipe or (path.startswith(_STREAMS) and not os.path.isfile(path))
        elif writes and "__pycache__" not in path:
            self.guard(path)
            folder = os.path.dirname(path)
            if folder.endswith(".dist-info") and folder not in self.moved:
                self.created_dist_infos.add(folder)
        self.end_step()

    def see_rename(self, source: Any, target: Any) -> None:
        """Record a move, by which pip writes cache entries, fills a ``--target``, and puts replaced files aside.

        Raises as `guard`.
        """
        if type(source) is str and source.endswith(".dist-info"):
            self.moved.add(source)
        if type(target) is str:
            if target.startswith(self.below):
                self.written_files.add(target)
            elif "__pycache__" not in target:
                self.guard(target)

    def see_process(self, arguments: Any) -> None:
        """Record that pip starts a build step, which is timed, or another pip, which reports for itself. Raises as `guard`."""
        self.end_step()
        text = " ".join(map(str, arguments)) if isinstance(arguments, (list, tuple)) else str(arguments)
        if _RUNNER in text:
            self.started_pips += 1
        if "_in_process.py" in text or "setup.py" in text:
            self.guard("")
            self.since = time.monotonic()

    def end_step(self) -> None:
        """Add the time since a build step began, if one runs, to ``build_seconds``.

        The step has ended at the next event: while it runs, pip only reads its output.
        """
        if self.since is not None:
            self.build_seconds += time.monotonic() - self.since
            self.since = None

    def see_request(self, connection: Any, data: Any) -> None:
        """Record that pip requests a URL (GET only), as one without an answer until `hear` gets it."""
        if isinstance(data, bytes) and data[:4] == b"GET ":
            url = _host(connection.host, connection.port) + data[4:].split(b" ", 1)[0].decode("ascii", "replace")
            connection.pinstall_url = url
            self.lost_urls.add(url)

    def hear(self, connection: Any, status: int) -> None:
        """Record an answer with *status*: the host has answered; the URL, too, unless *status* is an error other than 404.

        By a 404, an index says that it does not have the project. A 401 or 407 also counts as a required login.
        """
        self.silent_hosts.discard(_host(connection.host, connection.port))
        if status in _LOGIN_NEEDED:
            self.login_hosts.add(_host(connection.host, connection.port))
        if status < 400 or status == 404:
            self.lost_urls.discard(getattr(connection, "pinstall_url", ""))

    def guard(self, path: str) -> None:
        """Raise `OSError`, which ends pip, if the run is guarded and a URL or host that is not in ``known_failures`` failed.

        Called before pip writes to *path* outside of the cache, or builds (""). Does nothing for pip's temporary files.
        """
        if self.known_failures is None or path.startswith(self.temporary):
            return  # pip's own temporary folders
        if self.lost_urls.difference(self.known_failures) or self.silent_hosts.difference(self.known_failures):
            raise OSError(_STOPPED)

    def tell(self, descriptor: int, end: bytes = b"") -> None:
        """Write the record to *descriptor*, as JSON, followed by *end*; nothing in a fork of pip."""
        import json

        if os.getpid() != self.pid:
            return  # a fork of pip
        self.end_step()
        found: dict[str, Any] = {
            name: sorted(getattr(self, name))
            for name in ("opened_files", "written_files", "silent_hosts", "login_hosts", "lost_urls", "created_dist_infos")
        }
        found.update((name, getattr(self, name)) for name in ("asked_user", "read_a_pipe", "started_pips", "build_seconds"))
        data = json.dumps(found).encode() + end
        while data:
            data = data[os.write(descriptor, data) :]


def watch_builds(folder: str, runner: str) -> None:
    """Have each build step run under the runner, which writes its notes to *folder*.

    *runner* is the path of `pinstall.build_watch`. It is read now, because pip may replace it, and compiled before pip starts
    its first process. Replaces the constructor of `subprocess.Popen`. Raises `OSError` if the runner cannot be read.
    """
    import subprocess

    with open(runner, encoding="utf-8") as file:
        program = file.read()
    begin: Any = subprocess.Popen.__init__

    def __init__(process: Any, *args: Any, **named: Any) -> None:  # noqa: N807 (it replaces that of Popen)
        subprocess.Popen.__init__ = begin  # type: ignore[method-assign]
        with suppress(Exception):  # the builds of this call run unwatched
            space: dict[str, Any] = {"__name__": "build_watch", "__file__": runner}
            exec(compile(program, runner, "exec"), space)  # noqa: S102
            space["watch_steps"](folder, program)
        subprocess.Popen.__init__(process, *args, **named)

    subprocess.Popen.__init__ = __init__  # type: ignore[assignment,method-assign]


def watch_pips(parent: _Parent, program: str, orders: dict[str, Any]) -> None:
    """Have each pip that this one starts run under a witness, too: *program* is the path of this file.

    When it ends, it reports a line to pinstall, by the descriptor of *parent*. This pip waits for it, so that the lines do not
    mix. *orders* are those of this pip. Replaces the constructor of `subprocess.Popen`. If that fails, the pip runs unwatched.
    """
    import json
    import subprocess

    begin: Any = subprocess.Popen.__init__
    kept = {name: orders[name] for name in ("cache", "known_failures", "asks", "program", "shared_store_timeout")}

    def __init__(process: Any, args: Any, *more: Any, **named: Any) -> None:  # noqa: N807 (it replaces that of Popen)
        with suppress(Exception):  # that pip runs unwatched
            at = next(at for at, word in enumerate(args) if os.path.basename(word) == _RUNNER)
            at -= 2 if args[at - 1] == "pip" else 0  # the runner that watches builds, and its mode
            ends = {"tell": parent.tell, "answers": parent.relay()}
            args = [*args[:at], program, _NESTED, json.dumps({**kept, **ends}), *args[at:]]
            named["pass_fds"] = (*named.get("pass_fds", ()), *ends.values())
        begin(process, args, *more, **named)

    subprocess.Popen.__init__ = __init__  # type: ignore[assignment,method-assign]


def _be_nested(told: str, words: list[str]) -> None:
    """Run the script of another pip as if Python had been started with it; report that pip's actions at its end.

    *words* are the path of the script and its arguments, *told* the orders of `watch_pips`, as JSON. Unlike `main`, reports
    after a success, too. A Python without audit hooks (3.7) reports nothing.
    """
    import json
    import types

    orders, script = json.loads(told), words[0]
    parent = _Parent(_descriptor(orders["answers"], os.O_RDONLY), _descriptor(orders["tell"], os.O_WRONLY))
    sys.argv[:] = words
    if hasattr(sys, "orig_argv"):
        del sys.orig_argv[-len(words) - 3 : -len(words)]
    if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    main_module = types.ModuleType("__main__")
    main_module.__dict__.update(__file__=script, __cached__=None, __builtins__=sys.modules["builtins"])
    sys.modules["__main__"] = main_module
    with open(script, "rb") as file:
        code = compile(file.read(), script, "exec", dont_inherit=True)
    witness = None
    if hasattr(sys, "addaudithook"):
        watch_pips(parent, orders["program"], orders)
        witness = _witness(orders, parent)
    try:
        exec(code, main_module.__dict__)  # noqa: S102 (that is its purpose)
    finally:
        if witness:
            witness.tell(parent.tell, b"\n")


def _host(host: Any, port: Any) -> str:
    return "{}:{}".format(str(host).strip("[].").lower(), port)


def _temporary() -> tuple[str, ...]:
    import tempfile

    try:
        folder = tempfile.gettempdir()
    except OSError:  # there is no such folder, which pip reports
        return ()
    return os.path.join(folder, "pip-"), os.path.join(os.path.realpath(folder), "pip-")


def _descriptor(text: str | int, flags: int) -> int:
    """Return the inherited descriptor with the number *text*, on Windows one for the handle *text*; no child inherits it."""
    number = int(text)
    if sys.platform == "win32":
        import msvcrt

        number = msvcrt.open_osfhandle(number, flags)
    os.set_inheritable(number, False)
    return number


class _Parent:
    """The connection to pinstall's process, which pip may ask. A thread ends pip when pinstall is killed (`follow`).

    *go* is the descriptor from which answers are read, *tell* that to which questions and reports are written. A pip that
    another one has started writes to pinstall directly, and reads answers that the other one passes on (`relay`).
    """

    def __init__(self, go: int, tell: int) -> None:
        import _thread

        self.go, self.tell = go, tell
        self.answered = _thread.allocate_lock()
        self.answered.acquire()
        self.patience = _PATIENCE
        self.relayed: tuple[int, ...] = ()  # a pipe to a pip that this one has started, which asks in its place
        _thread.start_new_thread(self.follow, ())

    def relay(self) -> int:
        """Pass answers on to another pip, until this one asks again; return the descriptor from which the other reads them."""
        self.end_relay()
        self.relayed = os.pipe()
        return self.relayed[0]

    def end_relay(self) -> None:
        """Keep answers from now on, and close the pipe to the other pip, if any: it has ended."""
        pipe, self.relayed = self.relayed, ()
        for descriptor in pipe:
            os.close(descriptor)

    def follow(self) -> None:
        """Hand out pinstall's answers, and end pip as if it had been killed (status 137) when pinstall is killed.

        Then nobody has the descriptor open any more. Otherwise pip would continue unnoticed, in a view that the next call may
        remove as a leftover.
        """
        while os.read(self.go, 1):
            with suppress(RuntimeError, OSError):  # pip has stopped waiting
                if self.relayed:
                    os.write(self.relayed[1], b"\n")
                else:
                    self.answered.release()
        os._exit(137)

    def ask(self, folder: str) -> bool:
        """Ask about *folder*, and wait for the answer, at most ``patience`` seconds; return whether it came.

        After False, do not ask again: a late answer would count for the next question. Ends a `relay`. Raises `OSError` if
        pinstall has ended.
        """
        import json

        self.end_relay()
        os.write(self.tell, json.dumps(folder).encode() + b"\n")
        return self.answered.acquire(True, self.patience)


def main(reading: str, telling: str, *, early: bool, unblocks: bool = False) -> None:
    """Run pip as ordered by one line of JSON from the descriptor *reading*; if a watched pip fails, report to *telling*.

    *reading* and *telling* are numbers as for `_descriptor`. While a watched pip runs, its questions and the reports of pips
    that it starts go to *telling*, and answers come by *reading*. If the other end of *reading* is closed, the process ends:
    with 130 before the orders, with 137 afterwards. If *early*, import pip before the orders arrive: the imports take most of
    pip's time, and so run on another core. Until pip runs, an interrupt ends the process quietly with 130; if *unblocks*,
    interrupts have been blocked so far. Ends the process, or raises the exception with which pip ends.
    """
    try:
        if unblocks:
            _unblock_interrupts()
        tell, witness = _prepare(reading, telling, early=early)
    except KeyboardInterrupt:
        os._exit(130)
    try:
        _run()
    except BaseException as end:
        if witness and not (isinstance(end, SystemExit) and not end.code):
            witness.tell(tell)
        _leave(end)
        raise


def _unblock_interrupts() -> None:
    import signal

    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _prepare(reading: str, telling: str, *, early: bool) -> tuple[int, Witness | None]:
    """Take the orders and do all that comes before pip runs; return the descriptor of the report, and the witness.

    The witness is watching already; it is None if pip is not watched. The parameters are those of `main`. Sets arguments,
    variables and `sys.path` as pip needs them, and replaces `Popen` if the pips or builds that pip starts are watched. Ends the
    process as `main` does if *reading* is closed.
    """
    # Like the script "pip", import from the folder of scripts first, and not from the current folder.
    sys.path[:] = [os.path.dirname(sys.executable)] + [path for path in sys.path if path]
    import json

    go, tell = _descriptor(reading, os.O_RDONLY), _descriptor(telling, os.O_WRONLY)
    _collect_rarely()
    if early:
        _import_until(go)
    with open(go, "rb", closefd=False) as file:
        told = file.readline()
    if not told.endswith(b"\n"):
        os._exit(130)
    orders = json.loads(told.decode())
    parent = _Parent(go, tell)
    os.environ.update(orders["variables"])
    for name in orders["secrets"]:
        os.environ.pop(name, None)
    sys.argv[:] = ["pip"] + orders["arguments"]
    if orders["preface"] and sys.stdout is not None:
        _print_before(orders["preface"])
    is_watched = orders["cache"] and hasattr(sys, "addaudithook")
    if is_watched and sys.platform != "win32":  # there, no descriptor is passed on by its number
        watch_pips(parent, orders["program"], orders)
    if orders["notes"]:
        with suppress(Exception):  # builds run unwatched
            watch_builds(*orders["notes"])
    return tell, _witness(orders, parent) if is_watched else None


def _print_before(text: str) -> None:
    """Have *text* printed with the first output of pip, in one piece: ``head`` closes a pipe after the first one."""
    stream: Any = sys.stdout
    write = stream.write

    def write_both(data: str) -> int:
        del stream.write
        return int(write(text + data))

    stream.write = write_both


def _witness(orders: dict[str, Any], parent: _Parent) -> Witness:
    witness = Witness(orders["cache"], orders["known_failures"], parent.ask if orders["asks"] else None)
    witness.start()
    if orders["shared_store_timeout"]:
        parent.patience += orders["shared_store_timeout"]
        witness.watch_for_builds()
    return witness


def _run() -> None:
    try:
        os.getcwd()
    except OSError:  # unlike the script, pip/__main__.py fails without a current folder
        from pip._internal.cli.main import main as pip_main

        sys.exit(pip_main())
    import runpy

    runpy.run_module("pip", run_name="__main__")


# Ways to be faster than a bare pip. None of them shows in its output, status or files.

# Each install imports these, most of them only when it runs.
_NEEDED = (
    "pip._internal.commands.install",
    "pip._internal.cli.main_parser",
    "pip._internal.resolution.resolvelib.resolver",
    "pip._internal.metadata.importlib",
    "pip._internal.operations.install.wheel",
)
# The interpreter's own is 700 (from Python 3.13: 2000), so over a hundred collections in a small install, which find little.
_OBJECTS = 50_000
# With these, the interpreter reports or asks something at its very end.
_SPEAKING = ("PYTHONINSPECT", "PYTHONMALLOCSTATS", "PYTHONDUMPREFS")


def _collect_rarely() -> None:
    import gc

    if not hasattr(gc, "get_threshold"):  # PyPy
        return
    first, *others = gc.get_threshold()
    if 0 < first < _OBJECTS:  # 0: somebody has turned it off
        gc.set_threshold(_OBJECTS, *others)


def _import_until(go: int) -> None:
    """Import the modules that pip needs, one by one, until its orders have arrived at *go*; the first in any case.

    Ignores errors.
    """
    from importlib import import_module

    for module in _NEEDED:
        with suppress(Exception):  # pip reports it when it runs
            import_module(module)
        if _has_arrived(go):
            break


def _has_arrived(go: int) -> bool:
    import select

    try:
        return bool(select.select([go], [], [], 0)[0])
    except (OSError, ValueError):  # Windows does not tell of pipes, and nobody of descriptors above 1023
        return True


def _leave(end: BaseException) -> None:
    """End the process as the interpreter would after the exception *end* of pip, but without the clean-up of its memory.

    Returns if *end* is not a `SystemExit` with a number or None, if the last output or a thread fails, or if somebody could
    notice the difference (`_is_special`).
    """
    code = 0 if isinstance(end, SystemExit) and end.code is None else getattr(end, "code", "")
    if not isinstance(end, SystemExit) or not isinstance(code, int) or _is_special():
        return
    with suppress(BaseException):  # it will be raised again, and shown
        import atexit
        import threading

        shown = sys.unraisablehook
        sys.unraisablehook = lambda failed: shown(_without_our_frame(failed))
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 (waits for threads that are no daemons)
        atexit._run_exitfuncs()  # noqa: SLF001
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None and not stream.closed:
                stream.flush()
        os._exit(code & 0xFF)


def _without_our_frame(failed: Any) -> Any:
    """Return *failed*, the failure of a function of atexit, without the frame of `_leave` at the top of its traceback."""
    trace = failed.exc_traceback
    if trace is None or trace.tb_frame.f_code is not _leave.__code__:
        return failed
    return type(failed)((failed.exc_type, failed.exc_value, trace.tb_next, failed.err_msg, failed.object))


def _is_special() -> bool:
    """Return whether the interpreter must end by itself: somebody watches its end, or something is cleaned up only then."""
    flags, file = sys.flags, getattr(sys.modules.get("pip"), "__file__", None)
    return bool(
        sys.version_info < (3, 10)  # functions of atexit that fail end the others
        or flags.verbose
        or flags.inspect
        or sys.warnoptions
        or sys._xoptions  # noqa: SLF001
        or sys.gettrace()
        or sys.getprofile()
        or any(name in os.environ for name in _SPEAKING)
        or not os.path.isfile(file or "")  # in an archive: what was unpacked is removed in the end
    )


if __name__ == "__main__" and sys.argv[1] == _NESTED:
    _be_nested(sys.argv[2], sys.argv[3:])
elif __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], early=sys.argv[3] == "early", unblocks=sys.argv[4:] == ["unblock"])
