"""The program of pip's process: run pip as the script ``pip`` does, and tell pinstall afterwards what pip used.

It runs in a copy of pinstall's process, or as text behind ``-c`` in another interpreter. So it imports the standard library
only, and has no syntax that is newer than Python 3.7.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR
# A folder of open descriptors, or one of them: what is read from a pipe is gone afterwards.
_STREAMS = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
_LOGIN_NEEDED = (401, 407)
_STOPPED = (
    "pinstall ended this second run before anything was installed: an index did not answer, and without its pages pip could "
    "take another project of the same name from another index"
)


class Witness:
    """Watches, by an audit hook, what pip does: the hook adds no frame to any traceback, and sees every way to open a file.

    ``opened`` are the cache files that pip read before it wrote them, ``written`` those that it wrote. ``silent`` are the hosts
    (host:port) that were asked and have not answered, ``lost`` the URLs that were not answered, or with an error. ``infos`` are
    the ``.dist-info`` folders that pip made.
    """

    def __init__(self, cache: str, excused: list[str] | None) -> None:
        """Watch the cache folder *cache* (resolved); with *excused* (a list, or None) end a run that lost any other URL."""
        self.below = os.path.join(cache, "")
        self.excused = excused
        # Asked for before the hook is there: the first answer takes a lock, and opens files.
        self.temporary = _temporary() if excused is not None else ()
        self.opened: set[str] = set()
        self.written: set[str] = set()
        self.silent: set[str] = set()
        self.lost: set[str] = set()
        self.infos: set[str] = set()
        self.moved: set[str] = set()
        self.asked = self.login = self.streams = self.nested = self.stopped = False
        self.built = 0.0
        self.since: float | None = None
        self.pid = os.getpid()

    def start(self) -> None:
        """Begin to watch; there is no way to end it."""
        import http.client

        answered = http.client.HTTPConnection.getresponse

        def getresponse(connection: Any, *args: Any, **kwargs: Any) -> Any:
            response = answered(connection, *args, **kwargs)
            self.hear(connection, response.status)
            return response

        http.client.HTTPConnection.getresponse = getresponse  # type: ignore[assignment,method-assign]
        sys.addaudithook(self.see)

    def see(self, event: str, args: Any) -> None:
        """Note one audit event; an exception here would be pip's, so that none is raised but to end the run."""
        if event == "open":
            self.see_open(args[0], args[2])
        elif event == "os.rename":
            self.see_rename(args[0], args[1])
        elif event == "subprocess.Popen":
            self.see_process(args[1])
        elif event == "socket.getaddrinfo":
            self.silent.add(_host(args[0], args[1]))
        elif event == "http.client.send":
            self.see_request(args[0], args[1])
        elif event == "builtins.input":
            self.asked = True

    def see_open(self, path: Any, flags: Any) -> None:
        """Note that a file is opened."""
        if type(path) is not str:
            return
        writes = type(flags) is int and flags & _WRITES
        if path.startswith(self.below):
            # The event comes before the file is opened: it may not be there.
            if not writes and path not in self.written and os.path.lexists(path):
                self.opened.add(path)
        elif path.startswith(("/dev/", "/proc/")):
            self.asked = self.asked or path == "/dev/tty"
            self.streams = self.streams or (path.startswith(_STREAMS) and not os.path.isfile(path))
        elif writes and "__pycache__" not in path:
            self.guard(path)
            folder = os.path.dirname(path)
            if folder.endswith(".dist-info") and folder not in self.moved:
                self.infos.add(folder)
        self.end_step()

    def see_rename(self, source: Any, target: Any) -> None:
        """Note a move: pip writes cache entries so, fills a ``--target``, and moves away what it replaces."""
        if type(source) is str and source.endswith(".dist-info"):
            self.moved.add(source)
        if type(target) is str:
            if target.startswith(self.below):
                self.written.add(target)
            elif "__pycache__" not in target:
                self.guard(target)

    def see_process(self, words: Any) -> None:
        """Note that a process is started: a build step, or another pip, which cannot be watched."""
        self.end_step()
        text = " ".join(map(str, words)) if isinstance(words, (list, tuple)) else str(words)
        if "__pip-runner__" in text:
            self.nested = True
        if "_in_process.py" in text or "setup.py" in text:
            self.guard("")
            self.since = time.monotonic()

    def end_step(self) -> None:
        """Count the time of a build step that is over: while one runs, pip only reads its output."""
        if self.since is not None:
            self.built += time.monotonic() - self.since
            self.since = None

    def see_request(self, connection: Any, data: Any) -> None:
        """Note that a URL is asked for."""
        if isinstance(data, bytes) and data[:4] == b"GET ":
            url = _host(connection.host, connection.port) + data[4:].split(b" ", 1)[0].decode("ascii", "replace")
            connection.pinstall_url = url
            self.lost.add(url)

    def hear(self, connection: Any, status: int) -> None:
        """Note an answer. 404 is one: an index says so that it does not have a project."""
        self.silent.discard(_host(connection.host, connection.port))
        self.login = self.login or status in _LOGIN_NEEDED
        if status < 400 or status == 404:
            self.lost.discard(getattr(connection, "pinstall_url", ""))

    def guard(self, path: str) -> None:
        """End a run that is to be guarded, before it installs or builds anything, if a page is missing; raises `OSError`."""
        if self.excused is None or path.startswith(self.temporary):
            return  # pip's own temporary folders
        if self.lost.difference(self.excused) or self.silent.difference(self.excused):
            self.stopped = True
            raise OSError(_STOPPED)

    def tell(self, descriptor: int) -> None:
        """Write what was seen to *descriptor*, as JSON."""
        import json

        if os.getpid() != self.pid:
            return
        self.end_step()
        found: dict[str, Any] = {name: sorted(getattr(self, name)) for name in ("opened", "written", "silent", "lost", "infos")}
        found.update((name, getattr(self, name)) for name in ("asked", "login", "streams", "nested", "stopped", "built"))
        data = json.dumps(found).encode()
        while data:
            data = data[os.write(descriptor, data) :]


def _host(host: Any, port: Any) -> str:
    return "{}:{}".format(str(host).strip("[].").lower(), port)


def _temporary() -> tuple[str, ...]:
    import tempfile

    try:
        folder = tempfile.gettempdir()
    except OSError:  # there is none, as pip will say
        return ()
    return os.path.join(folder, "pip-"), os.path.join(os.path.realpath(folder), "pip-")


def _descriptor(text: str, flags: int) -> int:
    """Return the descriptor that was inherited under the number *text*: on Windows, that of its handle."""
    number = int(text)
    if sys.platform == "win32":
        import msvcrt

        number = msvcrt.open_osfhandle(number, flags)
    os.set_inheritable(number, False)
    return number


def main(reading: str, telling: str, *, early: bool) -> None:
    """Be pip as *reading* says, a descriptor on which one line of JSON comes; tell on *telling* if pip fails.

    If *early*, import pip before that line comes: most of the time that pip takes, and spent on another core.
    """
    # As the script "pip" does: the folder of scripts is the first place to import from, not the current one.
    sys.path[:] = [os.path.dirname(sys.executable)] + [path for path in sys.path if path]
    import _thread
    import json

    try:
        if early:
            with suppress(Exception):  # pip will say so itself
                import pip._internal.commands.install  # noqa: F401 (what it brings)
        go, tell = _descriptor(reading, os.O_RDONLY), _descriptor(telling, os.O_WRONLY)
        with open(go, "rb", closefd=False) as file:
            told = file.readline()
        if not told.endswith(b"\n"):
            os._exit(130)
        orders = json.loads(told.decode())
    except KeyboardInterrupt:
        os._exit(130)

    def follow() -> None:
        # The descriptor is open as long as pinstall lives. If pinstall is killed, pip goes too, as if it had been the one:
        # else it would go on behind the back of the next call, in a view that is no longer its own.
        os.read(go, 1)
        os._exit(137)

    _thread.start_new_thread(follow, ())
    os.environ.update(orders["variables"])
    sys.argv[:] = ["pip"] + orders["arguments"]
    witness = None
    if orders["cache"] and hasattr(sys, "addaudithook"):
        witness = Witness(orders["cache"], orders["excused"])
        witness.start()
    try:
        _run()
    except BaseException as end:
        if witness and not (isinstance(end, SystemExit) and not end.code):
            witness.tell(tell)
        raise


def _run() -> None:
    try:
        os.getcwd()
    except OSError:  # pip/__main__.py asks for the current folder, the script does not: there may be none
        from pip._internal.cli.main import main as pip_main

        sys.exit(pip_main())
    import runpy

    runpy.run_module("pip", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], early=sys.argv[3:] == ["early"])
