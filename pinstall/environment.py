"""The environment that the install is for: its interpreter, pip, markers, tags and what is installed in it.

Imports the standard library only: whatever is wrong with our own packages, pip must run in the right environment.
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
_HEAD = 1 << 16


class NoEnvironmentError(Exception):
    """There is no environment to install into; the message says what to do."""


class Target(NamedTuple):
    """Where a call goes: *python* is the interpreter of the environment, *runner* the one whose pip serves it.

    ``options`` are what pip wants in front of its command, and ``words`` what remains to come behind ``install``.
    """

    python: str
    runner: str
    options: tuple[str, ...]
    words: tuple[str, ...]


def target(words: Sequence[str], environ: Mapping[str, str], *, as_module: bool) -> Target:
    """Find the environment that the ``pip`` typed in pinstall's place would serve.

    That is the one of ``--python`` (or ``PIP_PYTHON``), which pip wants in front of ``install``; else that of the interpreter
    if pinstall runs *as_module*; else, for a pinstall installed apart (pipx, uv tool), the active one; else the one that
    pinstall stands in, whatever is active. Raises `NoEnvironmentError`.
    """
    own = sys.executable
    named, rest = _named(words)
    if named or environ.get("PIP_PYTHON"):
        wanted = named or environ["PIP_PYTHON"]
        python = _interpreter(wanted)
        return Target(python or wanted, own, ("--python", named) if named else (), tuple(rest))
    if as_module or not _is_apart():
        return Target(own, own, (), tuple(words))
    active = environ.get("VIRTUAL_ENV") or environ.get("CONDA_PREFIX")
    if not active:
        raise NoEnvironmentError(
            "there is no environment to install into: pinstall runs as a standalone tool (pipx, uv tool), and neither "
            "VIRTUAL_ENV nor CONDA_PREFIX is set; activate an environment, or name one with --python"
        )
    python = _interpreter(active)
    if python is None:
        raise NoEnvironmentError(
            f"the active environment, {active}, contains no Python; activate another, or name one with --python"
        )
    try:
        has_pip = bool(Environment(python).pip_version)
    except SilentPythonError as error:
        raise NoEnvironmentError(
            f"the Python of the active environment, {active}, does not run; recreate it, or name another with --python"
        ) from error
    return Target(python, python, (), tuple(words)) if has_pip else Target(python, own, ("--python", python), tuple(words))


def _named(words: Sequence[str]) -> tuple[str, list[str]]:
    """Take ``--python X`` out of *words*; pip refuses it behind ``install``."""
    rest = list(words)
    for i, word in enumerate(words):
        if not (word in ("--", "--python") or word.startswith("--python=")) or _is_value(words, i):
            continue
        if word == "--":
            break
        if word != "--python":
            return word.partition("=")[2], rest[:i] + rest[i + 1 :]
        if i + 1 < len(words):
            return words[i + 1], rest[:i] + rest[i + 2 :]
    return "", rest


def _is_value(words: Sequence[str], place: int) -> bool:
    """Say whether the word at *place* is the value of the option before it, as in ``--report --``."""
    with suppress(Exception):  # whatever is wrong with our own modules
        from pinstall.invocation import options

        return options.lacks_value(words[:place])
    return False


def _interpreter(place: str) -> str | None:
    """Return the interpreter of an environment's folder, or *place* if it is a file (pip's ``identify_python_interpreter``)."""
    if os.path.isdir(place):
        found = (os.path.join(place, name) for name in ("bin/python", "Scripts/python.exe", "python.exe"))
        return next((python for python in found if os.path.exists(python)), None)
    return place if os.path.exists(place) else None


def _is_apart() -> bool:
    """Say whether pinstall has an environment of its own, made by pipx or by uv."""
    return any(os.path.exists(os.path.join(sys.prefix, name)) for name in ("pipx_metadata.json", "uv-receipt.toml"))


def of(target: Target) -> tuple[Environment, Environment]:
    """Return the environment that a call goes to, and the one whose pip serves it."""
    runner = Environment(target.runner)
    return (runner if target.runner == target.python else Environment(target.python, runner)), runner


class Environment:
    """A Python environment, by its interpreter *python*; what is known of it is found out when it is first needed.

    Its pip is its own, or that of the *server* (``pip --python``).
    """

    def __init__(self, python: str, server: Environment | None = None) -> None:
        self.python = python
        self.is_own = python == sys.executable
        self._server = server
        self._known: dict[str, bool] = {}  # by tags, which pages repeat with each version

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What the interpreter itself says; asked of a child process if it is not ours."""
        server = self._server.folder("pip") if self._server else None
        return interpreter.facts(self.python, os.path.join(os.path.dirname(server), "pip") if server else "")

    def hold(self) -> None:
        """Raise `SilentPythonError` if the interpreter does not tell which wheels it takes."""
        if not self.is_own and "tags" not in self._facts:
            kind = self._facts["untagged"]
            raise SilentPythonError(
                f"the pip for {self.python} is broken (its packaging library fails with {kind}); reinstall that pip"
            )

    @property
    def prefix(self) -> str:
        """Its ``sys.prefix``: where its own ``pip.conf`` is."""
        return sys.prefix if self.is_own else str(self._facts["prefix"])

    @property
    def path(self) -> Sequence[str]:
        """The folders in which its pip looks for distributions."""
        return sys.path if self.is_own else [str(folder) for folder in self._facts["path"]]

    @property
    def markers(self) -> dict[str, str]:
        """The values of its environment markers; empty for our own environment, which packaging knows itself."""
        return {} if self.is_own else dict(self._facts["markers"])

    @cached_property
    def build(self) -> dict[str, Any]:
        """What shapes its builds: ``abi``, ``libc`` (kind, version), ``compilers`` by variable; and its ``site_packages``."""
        return interpreter.own_build() if self.is_own else dict(self._facts["build"])

    @property
    def interpreter(self) -> tuple[str, str]:
        """Short name and version as pip's wheel cache uses them: ``("cp", "311")``. Raises `SilentPythonError`."""
        if not self.is_own:
            self.hold()
            name, version = self._facts["interpreter"]
            return name, version
        from packaging.tags import interpreter_name, interpreter_version

        return interpreter_name(), interpreter_version()

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The compatibility tags of wheels that can be installed into it, the best first. Raises `SilentPythonError`."""
        if self.is_own:
            return tuple(interpreter.own_tags())
        self.hold()
        return tuple(self._facts["tags"])

    @cached_property
    def _supported(self) -> frozenset[tuple[str, ...]]:
        return frozenset(tuple(tag.split("-", 2)) for tag in self.tags)

    @cached_property
    def _parts(self) -> list[frozenset[str]]:
        """The interpreters, ABIs and platforms of its tags."""
        return [frozenset(parts) for parts in zip(*self._supported, strict=False)]

    def supports(self, tags: str) -> bool:
        """Say whether a wheel with these *tags* (``cp311-cp311-linux_x86_64``; may be compressed) can be installed."""
        # Most wheels are py3-none-any; to list an interpreter's tags takes milliseconds.
        if not tags or _PURE.fullmatch(tags):
            return True
        if tags not in self._known:
            self._known[tags] = self._supports(tags.lower().split("-"))
        return self._known[tags]

    def _supports(self, parts: Sequence[str]) -> bool:
        # Not by packaging, which raises for some names that pages list. Of what may be thousands, few are combined.
        known = [here.intersection(part.split(".")) for here, part in zip(self._parts, parts, strict=False)]
        return not self._supported.isdisjoint(itertools.product(*known))

    @cached_property
    def pip_version(self) -> tuple[int, ...] | None:
        """The version of its pip; None if it has none."""
        found = self.installed("pip")
        return tuple(int(part) for part in re.findall(r"\d+", found)[:3]) if found else None

    def installed(self, project: str) -> str | None:
        """Return the installed version of *project* (normalized), as its metadata says; None if there is none."""
        folder = self._distributions.get(project)
        if folder is None:
            return None
        try:
            with open(os.path.join(folder, "METADATA"), encoding="utf-8", errors="replace") as file:
                head = file.read(_HEAD)
        except OSError:
            return None
        found = re.search(r"^Version:\s*(\S+)", head.partition("\n\n")[0], re.MULTILINE | re.IGNORECASE)
        return found[1] if found else None

    @cached_property
    def _distributions(self) -> dict[str, str]:
        """``.dist-info`` folders by normalized project name; the first on the path counts, as for pip."""
        found: dict[str, str] = {}
        for name, folder in self._dist_infos():
            found.setdefault(normalized(name), folder)
        return found

    def _dist_infos(self) -> Iterator[tuple[str, str]]:
        for folder in self.path:
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            for name in names:
                if name.endswith(".dist-info"):
                    yield name.rpartition("-")[0].partition("-")[0], os.path.join(folder, name)

    def folder(self, project: str) -> str | None:
        """Return the ``.dist-info`` folder of *project* (normalized); None if it has none."""
        return self._distributions.get(project)

    def versions(self) -> dict[str, str]:
        """Return the versions of all that is installed now, by normalized project name, as the folders' names say."""
        return {name: os.path.basename(folder)[:-10].rpartition("-")[2] for name, folder in self._distributions.items()}

    def folders(self) -> list[str]:
        """Return the ``.dist-info`` folders that there are."""
        return [folder for _, folder in self._dist_infos()]

    def forget(self) -> None:
        """Look again at what is installed, after pip ran."""
        self.__dict__.pop("_distributions", None)
