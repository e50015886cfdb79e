"""The environment that the install is for: its interpreter, pip, markers, tags and what is installed in it."""

from __future__ import annotations

import os
import re
import sys
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.tags import Tag

_SEPARATORS = re.compile(r"[-_.]+")
_PURE = re.compile(r"(\w+\.)?py3(\.\w+)?-none-any")
_HEAD = 1 << 16


class Environment:
    """A Python environment with pip in it.

    *python* is its interpreter, *prefix* its ``sys.prefix`` and *path* the folders in which its pip looks for distributions.
    """

    def __init__(self, python: str, prefix: str, path: tuple[str, ...]) -> None:
        self.python, self.prefix, self.path = python, prefix, path

    @property
    def interpreter(self) -> tuple[str, str]:
        """Short name and version as pip's wheel cache uses them: ``("cp", "311")``."""
        from packaging.tags import interpreter_name, interpreter_version

        return interpreter_name(), interpreter_version()

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """The compatibility tags of wheels that can be installed into it."""
        from packaging.tags import sys_tags

        return frozenset(sys_tags())

    def supports(self, tags: str) -> bool:
        """Say whether a wheel with these *tags* (``cp311-cp311-linux_x86_64``; may be compressed) can be installed."""
        from packaging.tags import parse_tag

        # Most wheels are py3-none-any; to list an interpreter's tags takes milliseconds.
        return not tags or _PURE.fullmatch(tags) is not None or not self.tags.isdisjoint(parse_tag(tags))

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
            found.setdefault(_SEPARATORS.sub("-", name).lower(), folder)
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

    def forget(self) -> None:
        """Look again at what is installed, after pip ran."""
        self.__dict__.pop("_distributions", None)


def current() -> Environment:
    """Return the environment that pinstall itself runs in."""
    return Environment(sys.executable, sys.prefix, tuple(sys.path))
