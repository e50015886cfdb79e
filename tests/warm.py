"""Start the scripts of environments fast: each runs in a copy of a process that has loaded pip and pinstall.

Loading takes two thirds of the time of a pip that installs a small wheel. Each copy starts as Python starts in the environment
(`site`), loads anew the modules that keep something of the environment, and runs the environment's script. It loads pip and
pinstall anew if the environment runs code at its start, which may change them, or has another package in place of one that
is loaded; and it starts the script as a program if the environment has another pip. `tests/test_warm.py` compares the copies
with processes that start as users start them.
"""

from __future__ import annotations

import atexit
import glob
import importlib
import json
import os
import select
import subprocess
import sys
import sysconfig
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Python reads these while it starts, so each set of their values has a server of its own.
_STARTING = ("PYTHON", "LANG", "LC_")
_TIMEOUT = 120
# What an install imports at its start, and when it needs it.
OF_PIP = (
    *("pip._internal.cli.main", "pip._internal.cli.main_parser", "pip._internal.commands.install"),
    *("pip._internal.commands.download", "pip._internal.commands.wheel", "pip._internal.resolution.resolvelib.resolver"),
    *("pip._internal.metadata.importlib", "pip._internal.operations.install.wheel", "pip._internal.cli.autocompletion"),
    *("pip._vendor.distro", "pip._vendor.truststore", "pip._vendor.rich._emoji_codes", "pip._vendor.pygments.lexers.python"),
    *("ctypes", "difflib", "encodings.ascii", "encodings.cp437", "netrc", "runpy"),
)
# pinstall, and the libraries that it imports.
_OURS = ("pinstall", "packaging", "filelock", "msgpack", "tqdm", "elftools")
# If set, no test uses this module: to see whether a failure comes from here.
COLD = "PINSTALL_TEST_COLD" in os.environ or sys.platform != "linux"


class _Server:
    """The process that has loaded the pip in a folder, and copies itself on demand."""

    def __init__(self, pip: Path, starting: Mapping[str, str]) -> None:
        self._lock, self._files = threading.Lock(), tempfile.TemporaryDirectory(prefix="warm-pip-")
        folders = [str(pip), str(Path(__file__).parent.parent), sysconfig.get_path("purelib")]
        command = [sys.executable, "-S", __file__, *folders, os.path.join(self._files.name, "bundle.pem")]
        self._process = subprocess.Popen(command, env=starting, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        atexit.register(self.close)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._files.cleanup()

    def run(self, order: dict[str, Any]) -> subprocess.CompletedProcess[bytes] | None:
        """Run the script of an order and return its result; None if another one is running, which may wait for this one."""
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

    Returns None, and runs nothing, if the script must be started as users start it: with `COLD`, or while another one runs.
    """
    if COLD:
        return None
    order = {"script": script, "words": list(words), "folder": str(folder), "environ": dict(environ)}
    return _server(pip, _starting(environ)).run(order)


def _starting(environ: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in environ.items() if name.startswith(_STARTING))


def _serve(pip: str, checkout: str, site: str, bundle: str) -> None:
    """Load the *pip* in a folder, and pinstall; then run the script that each line of standard input orders.

    Each runs in a copy of this process, which prints the script's status.
    """
    import gc

    standard = sys.path[1:]
    sys.path[:] = [pip, *standard, checkout, site]
    _load(bundle)
    sys.path[:] = [pip, *standard]
    gc.collect()
    gc.freeze()  # else the collector would visit, and so copy, every page
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(json.loads(line), standard)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _load(bundle: str) -> None:
    """Import the modules that an install and the commands of pinstall import; *bundle* is as for `_spare`."""
    from importlib import import_module

    for name in OF_PIP:
        with suppress(ImportError):  # another version of pip
            import_module(name)
    _spare(bundle)
    for name in of_pinstall():
        import_module(name)


def of_pinstall() -> list[str]:
    """Return the names of pinstall's modules, without each ``__main__``."""
    import pkgutil

    import pinstall

    found = [module.name for module in pkgutil.walk_packages(pinstall.__path__, "pinstall.")]
    return [name for name in found if not name.endswith(".__main__")]


def _spare(bundle: str) -> None:
    """Replace two functions that take a third of a pip's time: for its user agent, and for the authorities that it trusts.

    No test looks at the user agent. Of pip's authorities only the first is written to *bundle*; that of the index is a setting.
    """
    from pip._internal.network import session
    from pip._vendor import certifi

    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    Path(bundle).write_text(first + end)
    vars(certifi)["where"] = lambda: bundle
    vars(session)["user_agent"] = lambda: "pip"  # it asks lsb_release, uname and rustc


def _become(order: dict[str, Any], standard: Sequence[str]) -> NoReturn:
    """Run the script of *order* in this process, and end it; start the script if its environment has another Python or pip."""
    for target, name, flags in ((0, os.devnull, os.O_RDONLY), (1, order["out"], os.O_WRONLY), (2, order["err"], os.O_WRONLY)):
        os.dup2(os.open(name, flags | os.O_CREAT | os.O_TRUNC), target)
    os.chdir(order["folder"])
    script, environ = order["script"], order["environ"]
    python = os.path.join(os.path.dirname(script), "python")
    with open(script, encoding="utf-8") as file:
        is_ours = file.readline() == f"#!{python}\n"
    os.environ.clear()
    os.environ.update(environ)
    if _is_changed(os.path.dirname(os.path.dirname(script)), environ):
        _forget()
    sys.argv[:] = [script, *order["words"]]
    sys.orig_argv[:] = [python, *sys.argv]
    if not is_ours or not _enter(python, standard):
        os.execve(script, sys.argv, environ)
    _end(_run(script))


def _enter(python: str, standard: Sequence[str]) -> bool:
    """Start as the *python* of a virtual environment does; return whether it would import the pip that is loaded."""
    import site

    sys.executable = python
    sys.prefix = sys.exec_prefix = os.path.dirname(os.path.dirname(python))
    sys.path[:] = [os.path.dirname(python), *standard]
    importlib.reload(site)  # it has the home, and the prefix
    site.main()
    importlib.reload(sysconfig)  # it has the prefix
    if not all(_is_loaded(name) for name in _OURS):
        _forget()
    if not _is_loaded("pip"):
        return False
    if "pip._internal.locations.base" in sys.modules:
        _renew()
    return True


def _renew() -> None:
    """Change what modules of pip keep of the environment in which they were imported."""
    from pip._internal import exceptions
    from pip._internal.cli import cmdoptions
    from pip._internal.locations import base

    importlib.reload(base)
    kept = {name: getattr(base, name) for name in ("USER_CACHE_DIR", "site_packages", "user_site")}
    for name, module in sys.modules.items():
        if name.startswith("pip._internal"):
            vars(module).update({name: value for name, value in kept.items() if name in vars(module)})
    options: dict[str, Any] = vars(cmdoptions)
    options["cache_dir"].keywords["default"] = base.USER_CACHE_DIR
    options["src"].keywords["default"] = base.get_src_prefix()
    text = exceptions._DEFAULT_EXTERNALLY_MANAGED_ERROR
    exceptions._DEFAULT_EXTERNALLY_MANAGED_ERROR = text.replace(sys.base_prefix, sys.prefix)


def _is_loaded(package: str) -> bool:
    """Return whether an import would find the *package* that is loaded; True if it is not loaded."""
    from importlib.machinery import PathFinder

    if package not in sys.modules:
        return True
    found, file = PathFinder.find_spec(package, sys.path), sys.modules[package].__file__
    return os.path.realpath((found and found.origin) or os.devnull) == os.path.realpath(file or "")


def _is_changed(folder: str, environ: Mapping[str, str]) -> bool:
    """Return whether the loaded modules may not hold for the environment in *folder*.

    That is so if it runs code at its start, or if *environ* has ``PYTHONPATH``.
    """
    for found in glob.glob(os.path.join(folder, "lib", "python*", "site-packages", "*")):
        name = os.path.basename(found)
        if name.startswith(("sitecustomize", "usercustomize")) or (name.endswith(".pth") and name != "lab.pth"):
            return True
        if name == "lab.pth":
            with open(found, encoding="utf-8") as file:
                if "import" in file.read():
                    return True
    return "PYTHONPATH" in environ


def _forget() -> None:
    """Have the script import pip, pinstall and pinstall's libraries anew, but not the libraries in pip."""
    for name in list(sys.modules):
        if name.startswith("pip._internal") or name.partition(".")[0] in _OURS:
            del sys.modules[name]


def _run(script: str) -> int:
    """Run a script; return the status that Python would end with, and print an exception as Python does."""
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
    _serve(*sys.argv[1:])
