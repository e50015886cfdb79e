"""Scripts of environments that start at once: each runs in a copy of a process that has loaded the libraries that pip imports.

Loading takes two thirds of the time of a pip that installs a small wheel. Only modules of the standard library and those that
pip vendors are shared: each copy starts as Python starts in the environment (`site`), imports pip itself or pinstall and all
that it needs anew, and runs the environment's script.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Python reads these while it starts: those who have others use another server.
_STARTING = ("PYTHON", "LANG", "LC_")
_TIMEOUT = 120
# Set: no test uses this module. It tells whether a failure comes from here.
COLD = "PINSTALL_TEST_COLD" in os.environ or sys.platform != "linux"


class _Server:
    """The process that has loaded the pip in a folder, and copies itself on demand."""

    def __init__(self, pip: Path, starting: Mapping[str, str]) -> None:
        self._lock, self._files = threading.Lock(), tempfile.TemporaryDirectory(prefix="warm-pip-")
        command = [sys.executable, "-S", __file__, str(pip)]
        self._process = subprocess.Popen(command, env=starting, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        atexit.register(self.close)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._files.cleanup()

    def run(self, order: dict[str, Any]) -> subprocess.CompletedProcess[bytes] | None:
        """Return the result of an order; None if another one is under way, which may be waiting for this one."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._answer(order)
        finally:
            self._lock.release()

    def _answer(self, order: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
        assert self._process.stdin
        assert self._process.stdout
        out, err = (Path(self._files.name, name) for name in ("out", "err"))
        self._process.stdin.write(json.dumps({**order, "out": str(out), "err": str(err)}).encode() + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], _TIMEOUT)[0]:
            self._process.kill()
            raise subprocess.TimeoutExpired(order["script"], _TIMEOUT)
        status = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(order["script"], status, out.read_bytes(), err.read_bytes())


@cache
def _server(pip: Path, starting: frozenset[tuple[str, str]]) -> _Server:
    return _Server(pip, dict(starting))


def run(
    pip: Path, script: str, words: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes] | None:
    """Run the *script* of an environment, which uses *pip* (the folder of a version), in *folder*.

    Returns None if it is to be started as users do.
    """
    if COLD:
        return None
    order = {"script": script, "words": list(words), "folder": str(folder), "environ": dict(environ)}
    return _server(pip, _starting(environ)).run(order)


def _starting(environ: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in environ.items() if name.startswith(_STARTING))


def _serve(pip: str) -> None:
    """Load what the *pip* in a folder imports; then be a script of an environment for each line of standard input."""
    import gc

    standard = sys.path[1:]
    sys.path[:] = [pip, *standard]
    _load()
    gc.collect()
    gc.freeze()  # else the collector would visit, and so copy, every page
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(json.loads(line), standard)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _load() -> None:
    """Import pip, and forget all that may depend on an environment."""
    import pip._internal.cli.main
    import pip._internal.commands.install  # noqa: F401

    for name in list(sys.modules):
        if name.startswith("pip._internal"):
            del sys.modules[name]


def _become(order: dict[str, Any], standard: Sequence[str]) -> NoReturn:
    """Run a script as the process that it would be; one of another Python or pip is started."""
    for target, name, flags in ((0, os.devnull, os.O_RDONLY), (1, order["out"], os.O_WRONLY), (2, order["err"], os.O_WRONLY)):
        os.dup2(os.open(name, flags | os.O_CREAT | os.O_TRUNC), target)
    os.chdir(order["folder"])
    script, environ = order["script"], order["environ"]
    python = os.path.join(os.path.dirname(script), "python")
    with open(script, encoding="utf-8") as file:
        is_ours = file.readline() == f"#!{python}\n"
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[:] = [script, *order["words"]]
    sys.orig_argv[:] = [python, *sys.argv]
    if not is_ours or not _enter(python, standard):
        os.execve(script, sys.argv, environ)
    _end(_run(script))


def _enter(python: str, standard: Sequence[str]) -> bool:
    """Start as the *python* of a virtual environment does; return whether it would import the pip that is loaded."""
    import importlib
    import importlib.machinery
    import site
    import sysconfig

    sys.executable = python
    sys.prefix = sys.exec_prefix = os.path.dirname(os.path.dirname(python))
    sys.path[:] = [os.path.dirname(python), *standard]
    site.main()
    importlib.reload(sysconfig)  # it has the prefix
    found = importlib.machinery.PathFinder.find_spec("pip", sys.path)
    return found is not None and found.origin == sys.modules["pip"].__file__


def _run(script: str) -> int:
    """Run a script, and return its status as Python would."""
    import runpy
    import traceback

    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 (as Python does)
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> NoReturn:
    """End without the interpreter's clean-up, which takes a fifth of the time of a pip."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1])
