"""Requirements, parsed as pip parses them (pip 26.3, ``req/constructors.py``)."""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet

from pinstall.model.links import SDIST_ENDINGS, from_path, parse_filename, to_path
from pinstall.model.names import URL, exact, normalized, split_marker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ARCHIVES = (".whl", *SDIST_ENDINGS)
_EGG = re.compile(r"[#&]egg=(?:([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[([\w.,-]*)\])?(?=&|$))?", re.ASCII)
_PATH_EXTRAS = re.compile(r"(.+)\[([^]]+)\]", re.DOTALL)


class Requirement(NamedTuple):
    """A requirement: ``project`` and ``extras`` are normalized. ``url`` is "" unless it is a direct reference.

    ``marker`` is as written; "" without one.
    """

    project: str
    extras: frozenset[str]
    specifier: SpecifierSet
    url: str
    marker: str = ""

    def applies(self, markers: Mapping[str, str], extras: Iterable[str] = ()) -> bool:
        """Return whether the marker is true for an environment: without an extra, or with one of *extras*.

        *markers* are the environment's values; they override those of the running Python. An invalid marker counts as false:
        pip reports it.
        """
        if not self.marker:
            return True
        from packaging.markers import Marker

        try:
            marker = Marker(self.marker)
            return any(marker.evaluate({**markers, "extra": extra}) for extra in ("", *extras))
        except Exception:  # noqa: BLE001 (which one depends on the version of packaging; pip reports it)
            return False


def parse(text: str) -> Requirement | None:
    """Parse a requirement; None if it is invalid (pip reports that), or a URL or path that does not tell its project.

    A path must lead to an archive (from the current folder, if it is relative). The marker is not checked.
    """
    requirement, marker = split_marker(text)
    try:
        found = _bare_reference(requirement) if _is_bare_reference(requirement) else _named(requirement)
    except Exception:  # noqa: BLE001 (versions of packaging differ in what they raise: KeyError, InvalidVersion, RecursionError ...)
        return None
    return found and found._replace(marker=marker)


def is_refused(text: str) -> bool:
    """Return whether pip refuses the text of a requirement that is not editable.

    It does if the marker is invalid, or if the rest is neither valid, nor a URL, nor a path that exists (from the current
    folder, if it is relative).
    """
    requirement, marker = split_marker(text)
    if marker and not _is_marker(marker):
        return True
    return parse(text) is None and not URL.match(requirement) and not os.path.exists(requirement.partition("[")[0])


def _is_marker(text: str) -> bool:
    from packaging.markers import InvalidMarker, Marker

    try:
        Marker(text)
    except InvalidMarker:
        return False
    return True


@cache
def _named(text: str) -> Requirement:
    if "[" not in text and (pinned := exact(text)):
        return Requirement(pinned[0], frozenset(), SpecifierSet(f"=={pinned[1]}"), "")
    from packaging import requirements

    try:
        found = requirements.Requirement(text)
        url = found.url or ""
    except requirements.InvalidRequirement:  # packaging before 23.2 requires a host in git+file:///path
        found = requirements.Requirement(text.replace("+file:///", "+file://localhost/", 1))
        url = (found.url or "").replace("+file://localhost/", "+file:///", 1)
    urlsplit(url)  # raises if no part of a program could use the URL
    return Requirement(normalized(found.name), frozenset(map(normalized, found.extras)), found.specifier, url)


def _is_bare_reference(text: str) -> bool:
    path = _path_and_extras(text)[0]
    return URL.match(text) is not None or (path.lower().endswith(_ARCHIVES) and os.path.isfile(path))


def _path_and_extras(text: str) -> tuple[str, str]:
    """Split a path from the extras in brackets behind it, "" without any (``_strip_extras``)."""
    found = _PATH_EXTRAS.fullmatch(text)
    return (found[1], found[2]) if found else (text, "")


def _bare_reference(text: str) -> Requirement | None:
    """Parse a URL or path, whose ``#egg=`` or file name gives the project; None if that is no project's name.

    Raises packaging's `InvalidSdistFilename` for a file name that is neither a wheel's nor an sdist's.
    """
    extras = ""
    if not URL.match(text):
        path, extras = _path_and_extras(text)
        url = from_path(path).url
    else:  # pip resolves a file URL with "..", and so loses its fragment
        url = from_path(to_path(text)).url if text[:5].lower() == "file:" and "../" in text else text
    egg = _EGG.search(url)
    project = normalized(egg[1] or "") if egg else _project(urlsplit(url).path.rpartition("/")[2])
    named = (extra.strip() for extra in (extras or (egg and egg[2]) or "").split(","))
    return Requirement(project, frozenset(map(normalized, filter(None, named))), SpecifierSet(), url) if project else None


def _project(filename: str) -> str:
    if filename.endswith(".whl"):
        project = normalized(filename.partition("-")[0])
        return project if parse_filename(filename, project) else ""
    from packaging.utils import parse_sdist_filename

    return parse_sdist_filename(filename)[0]
