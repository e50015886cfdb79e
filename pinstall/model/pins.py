"""Pins: requirements and constraints that identify exactly one version or file, collected per project from a call."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet

from pinstall.model import digest
from pinstall.model.links import SDIST_ENDINGS, from_path, parse_filename, parsed, to_path
from pinstall.model.names import exact, normalized

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from packaging.version import Version

    from pinstall.invocation.requirements_files import RequirementLine
    from pinstall.model.digest import Digest

_ARCHIVES = (".whl", *SDIST_ENDINGS)
_VCS = ("git", "hg", "svn", "bzr")
_URL = re.compile(r"(https?|file|ftp|(git|hg|svn|bzr)(\+\w+)?):", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EGG = re.compile(r"[#&]egg=(?:([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]&]*\])?(?=&|$))?")
_COMMIT = re.compile(r"@[0-9a-fA-F]{40}$")


class Pin(NamedTuple):
    """The one version, URL or set of files to which a call pins a project.

    ``project`` is normalized. ``url`` is set for direct references. Otherwise ``specifier`` admits one version, or ``hashes``
    identify the acceptable files. ``places`` name the sources that state the pin, such as ``r.txt, line 1``. ``requested`` is
    False if only constraints name the project. ``settings`` are the config settings of its build (``key=value``). ``locked``
    is the URL of the one file that a lock file allows.
    """

    project: str
    specifier: SpecifierSet
    url: str
    hashes: tuple[Digest, ...]
    places: tuple[str, ...]
    requested: bool
    settings: tuple[str, ...] = ()
    locked: str = ""

    def admits(self, version: Version) -> bool:
        """Return whether the pin's specifier contains *version*, in any spelling."""
        return self.specifier.contains(version, prereleases=True)

    @property
    def has_version(self) -> bool:
        """Whether the pin names a version, rather than a URL or only hashes."""
        return not self.url and bool(_exact(self.specifier))

    @property
    def version(self) -> Version | None:
        """The version that the pin names; None for a pin to a URL or only hashes."""
        return _exact(self.specifier)[0] if self.has_version else None

    def __str__(self) -> str:
        return f"{self.project} @ URL" if self.url else f"{self.project}{self.specifier}"


class _Part(NamedTuple):
    """The requirement that one line states for a project."""

    project: str
    specifier: SpecifierSet
    url: str
    hashes: tuple[Digest, ...]
    line: RequirementLine


class Pins(NamedTuple):
    """The pins of a call; ``loose`` is True if the call also requests something that is not pinned."""

    pins: tuple[Pin, ...]
    loose: bool


def collect(lines: Iterable[RequirementLine], markers: Mapping[str, str]) -> Pins:
    """Return the pins of a call, in the order in which the projects first appear.

    *markers* are the environment's marker values; they override those of the running Python. A project whose lines contradict
    each other has no pin: pip reports the conflict.
    """
    by_project: dict[str, list[_Part]] = {}
    loose = False
    for line in lines:
        part = None if line.editable else _read(line, markers)
        if part is not None:
            by_project.setdefault(part.project, []).append(part)
        loose = loose or (part is None and not line.constraint)
    joined = {project: _join(parts) for project, parts in by_project.items()}
    loose = loose or any(
        pin is None and any(not p.line.constraint for p in by_project[project]) for project, pin in joined.items()
    )
    return Pins(tuple(pin for pin in joined.values() if pin is not None), loose)


def settings_by_project(lines: Iterable[RequirementLine]) -> dict[str, tuple[str, ...]]:
    """Return the config settings of each project that *lines* request, pinned or not. Of several lines, pip uses the first."""
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name = project_named(line.text)
        if name and not line.constraint and not line.editable:
            found.setdefault(name, line.settings)
    return found


def project_named(text: str) -> str:
    """Return the normalized project name at the start of a requirement; empty if the text does not start with a name."""
    found = _NAME.match(text)
    return normalized(found[0]) if found else ""


def _join(parts: list[_Part]) -> Pin | None:
    specifier = SpecifierSet()
    for part in parts:
        specifier &= part.specifier
    urls = {part.url for part in parts if part.url}
    hashes = tuple(dict.fromkeys(h for part in parts for h in part.hashes))
    exact = _exact(specifier)
    if len(urls) > 1 or not (urls or exact or hashes):
        return None
    if exact and not any(specifier.contains(version, prereleases=True) for version in exact):
        return None  # the lines contradict each other
    deciding = [p for p in parts if p.url or p.hashes or _exact(p.specifier)]
    places = tuple(dict.fromkeys(part.line.place for part in deciding))
    requested = any(not part.line.constraint for part in parts)
    # pip takes the config settings from the first requirement line that names the project.
    settings = next((part.line.settings for part in parts if not part.line.constraint), ())
    locked = next((part.line.locked for part in parts if part.line.locked), "")
    return Pin(parts[0].project, specifier, urls.pop() if urls else "", hashes, places, requested, settings, locked)


def _exact(specifier: SpecifierSet) -> list[Version]:
    texts = [s.version for s in specifier if s.operator in ("==", "===") and not s.version.endswith(".*")]
    return [version for text in texts if (version := parsed(text)) is not None]


def _read(line: RequirementLine, markers: Mapping[str, str]) -> _Part | None:
    """Parse one line as pip does (``req/constructors.py``); None if its marker does not apply, or if it cannot be a pin."""
    text, marker = _without_marker(line.text)
    if marker and not _applies(marker, markers):
        return None
    try:
        found = _direct_reference(text) or _requirement(text)
    except (ValueError, RecursionError):  # an invalid requirement, version, file name or URL: pip reports it
        return None
    if found is None:
        return None
    project, specifier, url = found
    hashes = tuple(d for text in line.hashes if (d := digest.parse(text.lower())) is not None)
    return _Part(project, specifier, url, hashes, line)


def _without_marker(text: str) -> tuple[str, str]:
    requirement, _, marker = text.partition("; " if _URL.match(text) else ";")
    return requirement.strip(), marker.strip()


def _applies(marker: str, markers: Mapping[str, str]) -> bool:
    from packaging.markers import Marker

    try:
        return Marker(marker).evaluate({**markers, "extra": ""})
    except Exception:  # noqa: BLE001 (which one depends on the version of packaging; pip reports it)
        return False


def _requirement(text: str) -> tuple[str, SpecifierSet, str] | None:
    if found := exact(text):
        return found[0], SpecifierSet(f"=={found[1]}"), ""
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    if requirement.url and not _fixed(requirement.url):
        return None
    return normalized(requirement.name), requirement.specifier, requirement.url or ""


def _direct_reference(text: str) -> tuple[str, SpecifierSet, str] | None:
    """Parse a bare URL or path, whose ``#egg=`` or file name gives the project; None for any other text."""
    if _URL.match(text):
        # pip resolves such a URL, and loses its fragment.
        url = from_path(to_path(text)).url if text[:5].lower() == "file:" and "../" in text else text
    elif text.lower().endswith(_ARCHIVES) and os.path.isfile(text):
        url = from_path(text).url
    else:
        return None
    egg = _EGG.search(url)
    project = normalized(egg[1] or "") if egg else _project(urlsplit(url).path.rpartition("/")[2])
    return (project, SpecifierSet(), url) if project and _fixed(url) else None


def _project(filename: str) -> str:
    if filename.endswith(".whl"):
        project = normalized(filename.partition("-")[0])
        return project if parse_filename(filename, project) else ""
    from packaging.utils import parse_sdist_filename

    return parse_sdist_filename(filename)[0]


def _fixed(url: str) -> bool:
    """Return whether a URL identifies one source: all do, except version control URLs without a full commit hash."""
    scheme, path = urlsplit(url).scheme.partition("+")[0], urlsplit(url).path
    return scheme not in _VCS or bool(_COMMIT.search(path))
