"""Pins: requirements and constraints that identify exactly one version or file, collected per project from a call."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet

from pinstall.model import digest, requirement
from pinstall.model.links import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from packaging.version import Version

    from pinstall.invocation.requirements_files import RequirementLine
    from pinstall.model.digest import Digest
    from pinstall.model.requirement import Requirement

_VCS = ("git", "hg", "svn", "bzr")
_COMMIT = re.compile(r"@[0-9a-fA-F]{40}$")


class Pin(NamedTuple):
    """The one version, URL or set of files to which a call pins a project.

    ``project`` is normalized. ``url`` is that of a direct reference, else "". Without one, ``specifier`` names one version, or
    ``hashes`` (in lower case) identify the acceptable files, or both; a pin to a URL may have them, too. ``places`` name the
    lines that pin it (see `RequirementLine`). ``requested`` is False if only constraints name the project. ``settings`` are the
    config settings of its build (``key=value``). ``locked`` is the URL of the one file that a lock file allows, else "".
    ``extras`` (normalized) are those that the call asks for. It is ``derived`` if only local projects pin it (see
    `RequirementLine`).

    Checks of projects that no call pins make such values, too: then ``specifier`` may admit any versions.
    """

    project: str
    specifier: SpecifierSet
    url: str
    hashes: tuple[Digest, ...]
    places: tuple[str, ...]
    requested: bool
    settings: tuple[str, ...] = ()
    locked: str = ""
    extras: frozenset[str] = frozenset()
    derived: bool = False

    def admits(self, version: Version) -> bool:
        """Return whether the pin's specifier contains *version*, pre-releases included. An empty specifier contains all."""
        return self.specifier.contains(version, prereleases=True)

    @property
    def has_version(self) -> bool:
        """Whether the pin names one version (``==``, ``===``), and no URL."""
        return not self.url and bool(_exact(self.specifier))

    @property
    def version(self) -> Version | None:
        """The version that the pin names; 1.0+label if lines name that and 1.0. None without `has_version`."""
        exact = _exact(self.specifier) if self.has_version else []
        return next(filter(self.admits, exact), exact[0] if exact else None)

    def __str__(self) -> str:
        return f"{self.project} @ URL" if self.url else f"{self.project}{self.specifier}"


class _Stated(NamedTuple):
    """The requirement that one line states for a project."""

    requirement: Requirement
    hashes: tuple[Digest, ...]
    line: RequirementLine


class Conflict(NamedTuple):
    """Lines about one ``project`` that contradict each other: their ``requirements``, with "URL" for a URL, and ``places``."""

    project: str
    requirements: tuple[str, ...]
    places: tuple[str, ...]


class Pins(NamedTuple):
    """The pins of a call, and the ``conflicts`` between its lines.

    ``loose`` is True if the call also requests something that is not pinned: a range, a branch, an editable project, a project
    whose lines conflict.
    """

    pins: tuple[Pin, ...]
    loose: bool
    conflicts: tuple[Conflict, ...] = ()


def collect(lines: Iterable[RequirementLine], markers: Mapping[str, str]) -> Pins:
    """Return the pins of the *lines* of a call, in the order of the first line that counts for each project, and the conflicts.

    *markers* are the environment's marker values; they override those of the running Python. A project has a conflict instead
    of a pin, which pip reports, if its lines name several URLs, or exact versions of which none meets all its specifiers. Lines
    whose marker is false, editable ones, branches, and lines that cannot be parsed do not count.
    """
    by_project: dict[str, list[_Stated]] = {}
    loose = False
    for line in lines:
        found = None if line.editable else requirement.parse(line.text)
        if found is not None and not found.applies(markers):
            continue
        if found is not None and _is_fixed(found.url):
            by_project.setdefault(found.project, []).append(_Stated(found, _hashes(line), line))
        elif not line.constraint:
            loose = True
    joined = {project: _join(parts) for project, parts in by_project.items()}
    loose = loose or any(
        pin is None and any(not p.line.constraint for p in by_project[project]) for project, pin in joined.items()
    )
    unjoined = [by_project[project] for project, pin in joined.items() if pin is None]
    conflicts = tuple(_conflict(parts) for parts in unjoined if _contradicts(parts, _specifier(parts)))
    return Pins(tuple(pin for pin in joined.values() if pin is not None), loose, conflicts)


def settings_by_project(lines: Iterable[RequirementLine], markers: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the config settings of each project that *lines* request, by normalized name: () for one without settings.

    Constraints and editable lines do not count. Of several lines whose marker is true, pip uses the first. *markers* are as for
    `collect`. Leaves out invalid lines and those that do not tell their project, such as the path of a folder; to tell it,
    looks for archives on disk (`requirement.parse`).
    """
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        stated = None if line.constraint or line.editable else requirement.parse(line.text)
        if stated is not None and stated.project not in found and stated.applies(markers):
            found[stated.project] = line.settings
    return found


def _specifier(parts: list[_Stated]) -> SpecifierSet:
    specifier = SpecifierSet()
    for part in parts:
        specifier &= part.requirement.specifier
    return specifier


def _contradicts(parts: list[_Stated], specifier: SpecifierSet) -> bool:
    """Return whether lines name several URLs, or exact versions of which none meets their common *specifier*."""
    if len({part.requirement.url for part in parts if part.requirement.url}) > 1:
        return True
    exact = _exact(specifier)
    return bool(exact) and not any(specifier.contains(version, prereleases=True) for version in exact)


def _conflict(parts: list[_Stated]) -> Conflict:
    texts = (part.requirement for part in parts)
    requirements = tuple(f"{text.project} @ URL" if text.url else f"{text.project}{text.specifier}" for text in texts)
    return Conflict(parts[0].requirement.project, requirements, tuple(part.line.place for part in parts))


def _join(parts: list[_Stated]) -> Pin | None:
    specifier = _specifier(parts)
    urls = {part.requirement.url for part in parts if part.requirement.url}
    hashes = tuple(dict.fromkeys(h for part in parts for h in part.hashes))
    if not (urls or hashes or _exact(specifier)) or _contradicts(parts, specifier):
        return None
    deciding = [p for p in parts if p.requirement.url or p.hashes or _exact(p.requirement.specifier)]
    places = tuple(dict.fromkeys(part.line.place for part in deciding))
    requested = any(not part.line.constraint for part in parts)
    # pip takes the config settings from the first requirement line that names the project.
    settings = next((part.line.settings for part in parts if not part.line.constraint), ())
    locked = next((part.line.locked for part in parts if part.line.locked), "")
    extras = frozenset[str]().union(*(part.requirement.extras for part in parts))
    url = urls.pop() if urls else ""
    derived = all(part.line.derived for part in deciding)
    return Pin(parts[0].requirement.project, specifier, url, hashes, places, requested, settings, locked, extras, derived)


def _exact(specifier: SpecifierSet) -> list[Version]:
    texts = [s.version for s in specifier if s.operator in ("==", "===") and not s.version.endswith(".*")]
    return [version for text in texts if (version := parse_version(text)) is not None]


def _hashes(line: RequirementLine) -> tuple[Digest, ...]:
    return tuple(found for text in line.hashes if (found := digest.parse(text.lower())) is not None)


def _is_fixed(url: str) -> bool:
    """Return whether a URL identifies one source: all but version control URLs without a full commit hash; True for "", too."""
    scheme, path = urlsplit(url).scheme.partition("+")[0], urlsplit(url).path
    return scheme not in _VCS or bool(_COMMIT.search(path))
