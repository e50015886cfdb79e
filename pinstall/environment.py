"""The environment that a call installs into: its interpreter, pip, markers, tags and installed distributions.

Imports only the standard library at first: even if pinstall's own packages are broken, pip must run in the right environment.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall import interpreter
from pinstall.interpreter import SilentPythonError
from pinstall.model.names import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PURE = re.compile(r"(\w+\.)?py3(\.\w+)?-none-any")
_USUAL = ".venv"  # uv, poetry, PDM and editors put a project's environment there
_HEADERS = 1 << 16  # at most so many characters of a METADATA file are read: its headers come first


class NoEnvironmentError(Exception):
    """pinstall found no environment to install into, or none whose Python runs; the message states the cause and the cure."""


class Target(NamedTuple):
    """The environment of a call: ``python`` is its interpreter, ``runner`` the interpreter whose pip installs into it.

    If the call names a path without an interpreter, ``python`` is that path. ``options`` are the arguments that pip needs
    before its ``command``, ``arguments`` the remaining ones, which follow it. ``note`` is a line for the user about the choice
    of the environment, or "". ``known`` is the `Environment` of ``python``, which is also ``runner`` then, if the choice has
    looked for its pip and found one; else None. That may have started the interpreter, and a new `Environment` would start it
    again.
    """

    python: str
    runner: str
    options: tuple[str, ...]
    arguments: tuple[str, ...]
    command: str = "install"
    note: str = ""
    known: Environment | None = None


def target(argv: Sequence[str], environ: Mapping[str, str], *, as_module: bool) -> Target:
    """Find the environment that ``pip``, typed in place of ``pinstall``, would install into.

    It is the first of these:

    - the one that ``--python``, else ``PIP_PYTHON``, names, even if it does not exist, which pip reports; pip accepts
      ``--python`` only before ``install``;
    - if pinstall runs *as_module*, the one of the running interpreter;
    - if pinstall is installed as a standalone tool (pipx, uv tool), the active one, else ``.venv`` in the current folder;
    - the one that pinstall is installed in, even if another one is active.

    Raises `NoEnvironmentError` if a standalone pinstall finds no such environment, no Python in the active one, or a Python
    that does not run. It starts that Python only if the files of the environment do not tell that it has a pip.
    """
    own = sys.executable
    named, rest = _without_python_option(argv)
    if named or environ.get("PIP_PYTHON"):
        wanted = named or environ["PIP_PYTHON"]
        python = _interpreter(wanted)
        return Target(python or wanted, own, ("--python", named) if named else (), tuple(rest))
    if as_module or not _is_standalone():
        return Target(own, own, (), tuple(argv))
    return _active(own, argv, environ)


def named_as_active(environ: Mapping[str, str]) -> str:
    """Return the folder of the environment that ``VIRTUAL_ENV``, else ``CONDA_PREFIX``, names as active; "" without both."""
    return environ.get("VIRTUAL_ENV") or environ.get("CONDA_PREFIX") or ""


def _active(own: str, argv: Sequence[str], environ: Mapping[str, str]) -> Target:
    """Return the target in the active environment, or in ``.venv``, for the standalone pinstall in the interpreter *own*.

    Starts the Python there to ask for its pip if `_has_pip` finds none. If it has no pip, that of *own* installs into it, by
    ``--python``. Raises `NoEnvironmentError` as `target`.
    """
    active, note = named_as_active(environ), ""
    if not active:
        active = os.path.join(os.curdir, _USUAL)
        note = f"no environment is active: using {active}"
        if _interpreter(active) is None:
            raise NoEnvironmentError(
                "there is no environment to install into: pinstall runs as a standalone tool (pipx, uv tool), neither "
                f"VIRTUAL_ENV nor CONDA_PREFIX is set, and there is no Python in {active}; activate an environment, or name "
                "one with --python"
            )
        active = os.path.abspath(active)
    python = _interpreter(active)
    if python is None:
        raise NoEnvironmentError(
            f"the active environment, {active}, contains no Python; activate another, or name one with --python"
        )
    found = Environment(python)
    try:
        has_pip = _has_pip(active) or bool(found.pip_version)
    except SilentPythonError as error:
        raise NoEnvironmentError(
            f"the Python of the environment {active} does not run; recreate it, or name another with --python"
        ) from error
    if has_pip:
        return Target(python, python, (), tuple(argv), note=note, known=found)
    return Target(python, own, ("--python", python), tuple(argv), note=note)


def _has_pip(folder: str) -> bool:
    """Return whether the virtual environment in *folder* has pip in its own ``site-packages``.

    False does not mean that it has no pip: a conda environment has no ``pyvenv.cfg``, and a pip may be elsewhere on the path.
    """
    try:
        with open(os.path.join(folder, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            version = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", file.read(_HEADERS), re.MULTILINE)
    except OSError:
        return False
    library = "Lib" if os.name == "nt" else os.path.join("lib", f"python{version[1]}" if version else "")
    return os.path.isfile(os.path.join(folder, library, "site-packages", "pip", "__init__.py"))


def _without_python_option(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the value of the first ``--python`` ("" if not given), and the arguments without it.

    pip refuses it after ``install``. It does not count, and stays, behind a ``--``, as the value of another option, or at the
    end without a value.
    """
    rest = list(argv)
    for i, argument in enumerate(argv):
        if not (argument in ("--", "--python") or argument.startswith("--python=")) or is_value(argv, i):
            continue
        if argument == "--":
            break
        if argument != "--python":
            return argument.partition("=")[2], rest[:i] + rest[i + 1 :]
        if i + 1 < len(argv):
            return argv[i + 1], rest[:i] + rest[i + 2 :]
    return "", rest


def is_value(argv: Sequence[str], index: int) -> bool:
    """Return whether the argument at *index* is the value of the option before it, as in ``--report --``.

    False if the newest pip would refuse the arguments before *index* with any value, or if pinstall's own modules are broken.
    """
    with suppress(Exception):  # pinstall's own modules may be broken
        from pinstall.invocation import options

        return options.lacks_value(argv[:index])
    return False


def _interpreter(path: str) -> str | None:
    """Return the interpreter in the folder *path*, or *path* itself if it is a file; None if it does not exist.

    Follows pip's ``identify_python_interpreter``.
    """
    if os.path.isdir(path):
        found = (os.path.join(path, name) for name in ("bin/python", "Scripts/python.exe", "python.exe"))
        return next((python for python in found if os.path.exists(python)), None)
    return path if os.path.exists(path) else None


def _is_standalone() -> bool:
    """Return whether pinstall is installed as a standalone tool, in an environment that pipx or uv made for it."""
    return any(os.path.exists(os.path.join(sys.prefix, name)) for name in ("pipx_metadata.json", "uv-receipt.toml"))


def of(target: Target) -> tuple[Environment, Environment]:
    """Return the environment that a call installs into, and the one whose pip runs: one object if they have one interpreter."""
    runner = target.known or Environment(target.runner)
    return (runner if target.runner == target.python else Environment(target.python, runner)), runner


class Installed(NamedTuple):
    """The ``versions`` of a project in the first ``folder`` of a Python's path that has any.

    ``versions`` is empty if no metadata states one. ``is_users`` is True if that is the user's site folder.
    """

    versions: list[str]
    folder: str
    is_users: bool


class Environment:
    """A Python environment, given by its interpreter *python*. Each fact about it is determined when it is first needed.

    Another Python than the running one is started for its facts, at most twice: the second time for those about wheels. If it
    does not answer, each member that needs a fact (lists of distributions need the path) raises `SilentPythonError`, and starts
    it again the next time. The installed distributions are listed once, until `forget`; ``pip_version`` and all other facts
    stay.

    *server* is the environment whose pip installs into it (``pip --python``); None if its own pip does.
    """

    def __init__(self, python: str, server: Environment | None = None) -> None:
        self.python = python
        self.is_own = python == sys.executable
        self._server = server
        self._known: dict[str, bool] = {}  # by tags, which index pages repeat for each version

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """The facts that the interpreter reports of itself in a child process (`interpreter.facts`)."""
        return interpreter.facts(self.python)

    @cached_property
    def _facts_of_wheels(self) -> dict[str, Any]:
        """The facts about wheels that it reports in another child process (`interpreter.facts_of_wheels`)."""
        server = self._server.dist_info("pip") if self._server else None
        return interpreter.facts_of_wheels(self.python, os.path.join(os.path.dirname(server), "pip") if server else "")

    @property
    def needs_no_start(self) -> bool:
        """Whether the interpreter need not be started any more: it is the running one, or has told the facts about wheels.

        After pip it must not be started: that would run code that pip has just installed.
        """
        return self.is_own or "_facts_of_wheels" in self.__dict__

    def require_tags(self) -> None:
        """Raise `SilentPythonError` unless the interpreter can report the tags of the wheels that it accepts.

        Starts it, if the facts about wheels are not known yet.
        """
        if not self.is_own and "tags" not in self._facts_of_wheels:
            kind = self._facts_of_wheels["untagged"]
            raise SilentPythonError(
                f"the pip for {self.python} is broken (its packaging library fails with {kind}); reinstall that pip"
            )

    @property
    def prefix(self) -> str:
        """The environment's ``sys.prefix``, the folder of its own ``pip.conf``. Raises `SilentPythonError`."""
        return sys.prefix if self.is_own else str(self._facts["prefix"])

    @property
    def path(self) -> Sequence[str]:
        """The folders in which the environment's pip looks for distributions. Raises `SilentPythonError`."""
        return sys.path if self.is_own else [str(folder) for folder in self._facts["path"]]

    @property
    def markers(self) -> dict[str, str]:
        """The environment's marker values; empty for the running Python, whose values packaging determines.

        Raises `SilentPythonError`.
        """
        return {} if self.is_own else dict(self._facts["markers"])

    @cached_property
    def build(self) -> dict[str, Any]:
        """The build conditions ``abi``, ``libc`` (kind, version), ``compilers`` (``CC``, ``CXX``); and ``site_packages``."""
        return interpreter.own_build() if self.is_own else dict(self._facts_of_wheels["build"])

    @cached_property
    def _sites(self) -> dict[str, Any]:
        return interpreter.own_sites() if self.is_own else dict(self._facts["sites"])

    @property
    def interpreter(self) -> tuple[str, str]:
        """The interpreter's short name and version as in pip's wheel cache: ``("cp", "311")``. Raises `SilentPythonError`."""
        if not self.is_own:
            self.require_tags()
            name, version = self._facts_of_wheels["interpreter"]
            return name, version
        from packaging.tags import interpreter_name, interpreter_version

        return interpreter_name(), interpreter_version()

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The compatibility tags of wheels that can be installed into it, best first. Raises `SilentPythonError`."""
        if self.is_own:
            return tuple(interpreter.own_tags())
        self.require_tags()
        return tuple(self._facts_of_wheels["tags"])

    @cached_property
    def _supported(self) -> frozenset[tuple[str, ...]]:
        return frozenset(tuple(tag.split("-", 2)) for tag in self.tags)

    @cached_property
    def _parts(self) -> list[frozenset[str]]:
        """Three sets: the interpreters, the ABIs and the platforms of the environment's tags."""
        return [frozenset(parts) for parts in zip(*self._supported, strict=False)]

    def supports(self, tags: str) -> bool:
        """Return whether a wheel with these *tags* (``cp311-cp311-linux_x86_64``; may be compressed) can be installed.

        True for "", the tags of an sdist, and for a wheel for every Python 3. The interpreter is asked only about others, and
        `SilentPythonError` is raised if it does not answer.
        """
        # Most wheels are py3-none-any, and listing an interpreter's tags takes milliseconds.
        if not tags or _PURE.fullmatch(tags):
            return True
        if tags not in self._known:
            self._known[tags] = self._supports(tags.lower().split("-"))
        return self._known[tags]

    def _supports(self, parts: Sequence[str]) -> bool:
        # packaging would raise for some file names that pages list. A compressed set may have thousands of tags: those
        # that this environment does not have are dropped before the rest is combined.
        known = [here.intersection(part.split(".")) for here, part in zip(self._parts, parts, strict=False)]
        return not self._supported.isdisjoint(itertools.product(*known))

    @cached_property
    def pip_version(self) -> tuple[int, ...] | None:
        """The first three numbers in the version of this environment's pip; None without a pip, or if its METADATA states none.

        Raises `SilentPythonError`.
        """
        found = self.installed_version("pip")
        return tuple(int(part) for part in re.findall(r"\d+", found)[:3]) if found else None

    def installed_version(self, project: str) -> str | None:
        """Return the version in the METADATA of *project* (normalized); None without a ``.dist-info`` that states one."""
        folder = self._distributions.get(project)
        if folder is None:
            return None
        try:
            with open(os.path.join(folder, "METADATA"), encoding="utf-8", errors="replace") as file:
                text = file.read(_HEADERS)
        except OSError:
            return None
        found = re.search(r"^Version:\s*(\S+)", text.partition("\n\n")[0], re.MULTILINE | re.IGNORECASE)
        return found[1] if found else None

    @cached_property
    def _distributions(self) -> dict[str, str]:
        """``.dist-info`` folders by normalized project name. Of several, the first on the path counts, as for pip."""
        found: dict[str, str] = {}
        for name, folder in self._dist_infos():
            found.setdefault(normalized(name), folder)
        return found

    def _dist_infos(self) -> Iterator[tuple[str, str]]:
        for folder in self.path:
            for name in _names(folder):
                if name.endswith(".dist-info"):
                    yield name.rpartition("-")[0].partition("-")[0], os.path.join(folder, name)

    def dist_info(self, project: str) -> str | None:
        """Return the first ``.dist-info`` folder of *project* (normalized) on the path; None without one."""
        return self._distributions.get(project)

    def versions(self) -> dict[str, str]:
        """Return the versions by normalized project name, as the names of the ``.dist-info`` folders state them."""
        return {name: os.path.basename(folder)[:-10].rpartition("-")[2] for name, folder in self._distributions.items()}

    def all_dist_infos(self) -> list[str]:
        """Return all ``.dist-info`` folders on the path, listed anew, with those that earlier ones hide from pip."""
        return [folder for _, folder in self._dist_infos()]

    def dist_infos(self) -> list[str]:
        """Return the ``.dist-info`` folder of each installed distribution, of several the first on the path.

        They are not listed again until `forget`.
        """
        return list(self._distributions.values())

    def everything_installed(self) -> dict[str, Installed]:
        """Return the distributions that the interpreter would find if it started now, by normalized project name.

        These are more than `versions` has: eggs, zip files, and folders that are new on its path. pinstall does not start the
        interpreter, because that would run code that pip has just installed (``.pth`` files, ``sitecustomize``). One folder may
        have several versions (``--ignore-installed`` leaves the old ``.dist-info``), and nothing tells which of them Python
        imports. Of each project, only the first folder that has it counts. Distributions without a readable name are left out.
        """
        from importlib.metadata import distributions

        found: dict[str, Installed] = {}
        for folder in dict.fromkeys(self._path_now()):
            here: dict[str, list[str]] = {}
            for distribution in distributions(path=[folder]):
                with suppress(Exception):  # metadata may hold anything
                    here.setdefault(normalized(distribution.metadata["Name"]), []).append(distribution.metadata["Version"])
            for name, versions in here.items():
                found.setdefault(name, Installed([v for v in versions if v], folder, folder == self._sites["user"]))
        return found

    def _path_now(self) -> Iterator[str]:
        """Yield the folders of the path, those that Python would add by now, and those that .pth files name (``site.py``)."""
        yield from self.path
        for site in self._sites["folders"]:
            yield site
            for name in sorted(_names(site)):
                if name.endswith(".pth") and not name.startswith("."):
                    yield from (os.path.normpath(os.path.join(site, line)) for line in _path_lines(os.path.join(site, name)))

    def forget(self) -> None:
        """Discard the list of installed distributions, so that the next access reads it again: pip may have changed it."""
        self.__dict__.pop("_distributions", None)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _path_lines(path: str) -> list[str]:
    """Return the lines of a .pth file that are paths; the others are code or comments. Empty if the file cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(_HEADERS).splitlines()
    except OSError:
        return []
    return [line.rstrip() for line in lines if line.strip() and not line.startswith(("#", "import ", "import\t"))]
