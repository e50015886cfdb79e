"""The program of pip's process: run pip as the script ``pip`` does, and report pip's actions to pinstall if pip fails.

It runs in a fork of pinstall's process, or as text after ``-c`` in another interpreter. So it imports the standard library
only, and uses no syntax that is newer than Python 3.7.
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
_PATIENCE = 60.0  # seconds that pip waits for an answer of pinstall
_STOPPED = (
    "pinstall ended this second run before anything was installed: an index did not answer, and without its pages pip could "
    "take another project of the same name from another index"
)


class Witness:
    """Records pip's actions by an audit hook, which adds no frame to tracebacks and notices every way to open a file.

    The attributes are those of `pip_process.Observation`: files of the cache, hosts (host:port) and URLs without an answer,
    ``.dist-info`` folders.
    """

    def __init__(self, cache: str, known_failures: list[str] | None, ask: Any) -> None:
        """Watch the folder *cache* (resolved). With *known_failures*, end a run once another URL or host does not answer.

        *ask* is called with each folder of compiled wheels that pip is about to search, before it does; None: nothing is.
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
        self.lost_urls: set[str] = set()
        self.created_dist_infos: set[str] = set()
        self.moved: set[str] = set()
        self.asked_user = self.login_needed = self.read_a_pipe = self.started_pip = self.stopped = False
        self.build_seconds = 0.0
        self.since: float | None = None
        self.pid = os.getpid()

    def start(self) -> None:
        """Start watching. An audit hook cannot be removed."""
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
        """Ask pinstall about the compiled wheels in a folder, which it then may hide (`pinstall.checks.consultation`)."""
        if self.ask is None or type(folder) is not str or not folder.startswith(self.wheels) or folder in self.searched:
            return
        self.searched.add(folder)
        with suppress(OSError):
            with os.scandir(folder) as found:
                names = [entry.name for entry in found]
            is_compiled = any(name.endswith(".whl") and not name.endswith("-none-any.whl") for name in names)
            if is_compiled and not self.ask(folder):
                self.ask = None  # a late answer would be taken for that to the next question

    def watch_for_builds(self) -> None:
        """Ask pinstall when pip looks for a built wheel of a source and finds none: the shared store may have it.

        No audit event tells of it, but pip looks for the folder first (`os.path.isdir`), before it fetches the source.
        """
        is_folder = os.path.isdir

        def isdir(path: Any) -> bool:
            with suppress(Exception):
                self.see_lack(path, sys._getframe(1))  # noqa: SLF001
            return is_folder(path)

        os.path.isdir = isdir  # type: ignore[assignment]

    def see_lack(self, path: Any, frame: Any) -> None:
        """Ask about a folder of built wheels without a wheel, if pip looks there for the build of a remote source."""
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
        """Record that pip opens a file."""
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
        """Record a move, by which pip writes cache entries, fills a ``--target``, and puts replaced files aside."""
        if type(source) is str and source.endswith(".dist-info"):
            self.moved.add(source)
        if type(target) is str:
            if target.startswith(self.below):
                self.written_files.add(target)
            elif "__pycache__" not in target:
                self.guard(target)

    def see_process(self, arguments: Any) -> None:
        """Record that pip starts a process: a build step, or another pip, which cannot be watched."""
        self.end_step()
        text = " ".join(map(str, arguments)) if isinstance(arguments, (list, tuple)) else str(arguments)
        if "__pip-runner__" in text:
            self.started_pip = True
        if "_in_process.py" in text or "setup.py" in text:
            self.guard("")
            self.since = time.monotonic()

    def end_step(self) -> None:
        """Add the time of a build step. It has ended at the next event: while it runs, pip only reads its output."""
        if self.since is not None:
            self.build_seconds += time.monotonic() - self.since
            self.since = None

    def see_request(self, connection: Any, data: Any) -> None:
        """Record that pip requests a URL."""
        if isinstance(data, bytes) and data[:4] == b"GET ":
            url = _host(connection.host, connection.port) + data[4:].split(b" ", 1)[0].decode("ascii", "replace")
            connection.pinstall_url = url
            self.lost_urls.add(url)

    def hear(self, connection: Any, status: int) -> None:
        """Record an answer. A 404 counts as one: by it, an index says that it does not have the project."""
        self.silent_hosts.discard(_host(connection.host, connection.port))
        self.login_needed = self.login_needed or status in _LOGIN_NEEDED
        if status < 400 or status == 404:
            self.lost_urls.discard(getattr(connection, "pinstall_url", ""))

    def guard(self, path: str) -> None:
        """Raise `OSError` if the run is guarded and a page is missing: called before pip installs or builds anything."""
        if self.known_failures is None or path.startswith(self.temporary):
            return  # pip's own temporary folders
        if self.lost_urls.difference(self.known_failures) or self.silent_hosts.difference(self.known_failures):
            self.stopped = True
            raise OSError(_STOPPED)

    def tell(self, descriptor: int) -> None:
        """Write the record to *descriptor*, as JSON."""
        import json

        if os.getpid() != self.pid:
            return  # a fork of pip
        self.end_step()
        found: dict[str, Any] = {
            name: sorted(getattr(self, name))
            for name in ("opened_files", "written_files", "silent_hosts", "lost_urls", "created_dist_infos")
        }
        found.update(
            (name, getattr(self, name))
            for name in ("asked_user", "login_needed", "read_a_pipe", "started_pip", "stopped", "build_seconds")
        )
        data = json.dumps(found).encode()
        while data:
            data = data[os.write(descriptor, data) :]


def watch_builds(folder: str, runner: str) -> None:
    """Have each build step run under the *runner* (`pinstall.build_watch`), which writes its notes to *folder*.

    The runner is loaded now, because pip may replace it, and compiled before pip starts its first process.
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


def _host(host: Any, port: Any) -> str:
    return "{}:{}".format(str(host).strip("[].").lower(), port)


def _temporary() -> tuple[str, ...]:
    import tempfile

    try:
        folder = tempfile.gettempdir()
    except OSError:  # there is no such folder, which pip reports
        return ()
    return os.path.join(folder, "pip-"), os.path.join(os.path.realpath(folder), "pip-")


def _descriptor(text: str, flags: int) -> int:
    """Return the descriptor that was inherited by the number *text*; on Windows, this is the number of its handle."""
    number = int(text)
    if sys.platform == "win32":
        import msvcrt

        number = msvcrt.open_osfhandle(number, flags)
    os.set_inheritable(number, False)
    return number


class _Parent:
    """pinstall's process, which pip follows into death, and which it may ask."""

    def __init__(self, go: int, tell: int) -> None:
        import _thread

        self.go, self.tell = go, tell
        self.answered = _thread.allocate_lock()
        self.answered.acquire()
        self.patience = _PATIENCE

    def follow(self) -> None:
        """End pip as if it had been killed when pinstall is killed: then nobody has the descriptor open any more.

        Otherwise pip would continue unnoticed, in a view that the next call may remove as a leftover.
        """
        while os.read(self.go, 1):
            with suppress(RuntimeError):  # pip has stopped waiting
                self.answered.release()
        os._exit(137)

    def ask(self, folder: str) -> bool:
        """Ask about *folder*, and wait for the answer; return whether it came."""
        import json

        os.write(self.tell, json.dumps(folder).encode() + b"\n")
        return self.answered.acquire(True, self.patience)


def main(reading: str, telling: str, *, early: bool) -> None:
    """Run pip as ordered by one line of JSON from the descriptor *reading*; if pip fails, report to the descriptor *telling*.

    If *early*, import pip before that line arrives. The imports take most of pip's time, and so run on another core.
    """
    # Like the script "pip", import from the folder of scripts first, and not from the current folder.
    sys.path[:] = [os.path.dirname(sys.executable)] + [path for path in sys.path if path]
    import _thread
    import json

    try:
        go, tell = _descriptor(reading, os.O_RDONLY), _descriptor(telling, os.O_WRONLY)
        _collect_rarely()
        if early:
            _import_until(go)
        with open(go, "rb", closefd=False) as file:
            told = file.readline()
        if not told.endswith(b"\n"):
            os._exit(130)
        orders = json.loads(told.decode())
    except KeyboardInterrupt:
        os._exit(130)

    parent = _Parent(go, tell)
    _thread.start_new_thread(parent.follow, ())
    os.environ.update(orders["variables"])
    for name in orders["secrets"]:
        os.environ.pop(name, None)
    sys.argv[:] = ["pip"] + orders["arguments"]
    if orders["notes"]:
        with suppress(Exception):  # builds run unwatched
            watch_builds(*orders["notes"])
    witness = None
    if orders["cache"] and hasattr(sys, "addaudithook"):
        witness = Witness(orders["cache"], orders["known_failures"], parent.ask if orders["asks"] else None)
        witness.start()
        if orders["sharing"]:
            parent.patience += orders["sharing"]
            witness.watch_for_builds()
    try:
        _run()
    except BaseException as end:
        if witness and not (isinstance(end, SystemExit) and not end.code):
            witness.tell(tell)
        _leave(end)
        raise


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
    """Import what pip will need, until its orders have arrived; the first module in any case."""
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
    """End the process as the interpreter would, but without the clean-up of its memory; return where that could be noticed."""
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
    """Return what is to be shown of a function of atexit that failed."""
    trace = failed.exc_traceback
    if trace is None or trace.tb_frame.f_code is not _leave.__code__:
        return failed
    return type(failed)((failed.exc_type, failed.exc_value, trace.tb_next, failed.err_msg, failed.object))


def _is_special() -> bool:
    """Return whether somebody watches the interpreter's end, or something in it is left to it."""
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


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], early=sys.argv[3:] == ["early"])
