"""Find the pins that pip can need: a constraints file may pin hundreds of projects of which a call needs a few.

To read all of their index pages may take longer than pip's whole run. pip's choice can be told in advance if each project that
the call needs has one version: that of its pin, or the installed one.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from pinstall.checks import candidates, dependencies
from pinstall.checks.satisfied import is_met
from pinstall.model import requirement
from pinstall.pip_cache.locator import hashes_allow, local_file
from pinstall.storage import store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pinstall.model.pins import Pin
    from pinstall.pip_cache.entries import Entry, LocalFile
    from pinstall.pip_cache.locator import Artifact, Cache


class _UnknownError(Exception):
    """pip's choice for the call, or the dependencies of what it chooses, cannot be told."""


def needed(cache: Cache, pins: Sequence[Pin]) -> list[Pin]:
    """Return those of *pins* that pip can need, in their order; all of them if that cannot be told.

    *pins* are those that the environment does not satisfy. The result has all that are requested, and constraints on direct and
    indirect dependencies. It is right as far as the entries of these pins are sound and the cached pages list the files that
    the indexes list now.
    """
    try:
        reached = _reached(cache, {pin.project: pin for pin in pins})
    except _UnknownError:
        return list(pins)
    return [pin for pin in pins if pin.requested or pin.project in reached]


def _reached(cache: Cache, pins: Mapping[str, Pin]) -> set[str]:
    """Return the projects that the call needs; *pins* has the pin of each pinned project.

    Once the result has all projects of *pins* that only constraints name, others may be missing from it. Raises
    `_UnknownError` if the projects cannot be told.
    """
    needs, limits = _stated(cache)
    constrained = {project for project, pin in pins.items() if not pin.requested}
    reached = set[str]()

    def following(need: Pin) -> list[Pin]:
        if need.url:
            raise _UnknownError
        pin = pins.get(need.project)
        return _of_pinned(cache, need, pin) if pin else _of_installed(cache, need, limits.get(need.project, ""))

    for number, need in enumerate(dependencies.walk(needs, following), 1):
        reached.add(need.project)
        if constrained <= reached:
            break
        if number == dependencies.MOST_NEEDS:
            raise _UnknownError
    return reached


def _stated(cache: Cache) -> tuple[list[Pin], dict[str, str]]:
    """Return the call's requirements, and by project the joined specifiers of its constraints.

    Leaves out lines whose marker is false. Raises `_UnknownError` if a line tells no project, or names a URL, a local project
    or a file of a lock file, and if a source of requirements was not read.
    """
    markers = cache.environment.markers
    needs: list[Pin] = []
    limits: dict[str, str] = {}
    for line in cache.call.lines:
        found = None if line.editable or line.locked else requirement.parse(line.text)
        if found is None or found.url:
            raise _UnknownError
        if line.constraint and found.applies(markers):
            limits[found.project] = ",".join(filter(None, (limits.get(found.project, ""), str(found.specifier))))
        elif need := dependencies.need(line.text, line.place, markers):
            needs.append(need)
    if cache.call.unread:
        raise _UnknownError
    return needs, limits


def _of_installed(cache: Cache, need: Pin, limit: str) -> list[Pin]:
    """Return the dependencies of the installed distribution with which pip satisfies *need*.

    Raises `_UnknownError` if none is installed, if *need* or *limit* (the specifiers of constraints) does not admit its
    version, or if pip may choose another one.
    """
    environment = cache.environment
    folder = environment.dist_info(need.project)
    if folder is None or not is_met(cache.call, need._replace(specifier=need.specifier & SpecifierSet(limit)), environment):
        raise _UnknownError
    return dependencies.needs(dependencies.of_installed(folder), need, environment.markers)


def _of_pinned(cache: Cache, need: Pin, pin: Pin) -> list[Pin]:
    """Return the dependencies that the files of *pin* declare from which pip chooses for *need*, by its cache and the store.

    Raises `_UnknownError` if a file is in neither, cannot be read, or has to be built; if a page is missing, or the files have
    several versions; and if *need* does not admit the version of *pin*, or *pin* has none.
    """
    version, located = pin.version, cache.locate(pin)
    files = [file for file in located.files if file.parsed_filename and hashes_allow(pin, file.link.digests)]
    if version is None or not need.admits(version) or not (located.complete and located.listed):
        raise _UnknownError
    if len({file.parsed_filename.version for file in files if file.parsed_filename}) != 1:
        raise _UnknownError
    entries = _built(cache, pin, files) if cache.may_be_built(pin, located) else _downloaded(cache, pin, files)
    try:
        texts = [text for entry in entries for text in dependencies.declared(entry)]
    except Exception as error:  # libraries may raise anything for a damaged file
        raise _UnknownError from error
    return dependencies.needs(texts, need, cache.environment.markers)


def _built(cache: Cache, pin: Pin, files: list[Artifact]) -> list[Entry]:
    """Return the wheels in pip's cache and the store that were built from the one sdist in *files*.

    Raises `_UnknownError` without such a wheel, because pip builds one then, and if *files* has more files or no sdist.
    """
    source = files[0].link
    stored = (wheel for wheel in store.builds(cache.root, cache.wheel_key(source), pin.project))
    found: list[Entry] = [*cache.built_for(pin, source), *(wheel for wheel in stored if cache.usable(wheel.parsed_filename))]
    if not found or len(files) > 1 or not candidates.is_source(files[0]):
        raise _UnknownError
    return found


def _downloaded(cache: Cache, pin: Pin, files: list[Artifact]) -> list[Entry | LocalFile]:
    """Return an entry that tells the dependencies for each wheel among *files* that pip may prefer.

    Raises `_UnknownError` without a wheel, or without an entry for one of them.
    """
    wheels = [file for file in files if not candidates.is_source(file)]
    if not wheels:
        raise _UnknownError
    return [_entry(cache, pin, wheel) for wheel in _preferred(cache, pin, wheels)]


def _entry(cache: Cache, pin: Pin, wheel: Artifact) -> Entry | LocalFile:
    """Return the ``.metadata`` file of *wheel*, else the wheel itself. Raises `_UnknownError` if neither is at hand."""
    found = {candidate.entry.kind: candidate.entry for candidate in candidates.downloads(cache, pin, wheel)}
    entry = found.get("metadata") or found.get("download") or local_file(wheel.link)
    if entry is None:
        raise _UnknownError
    return entry


def _preferred(cache: Cache, pin: Pin, wheels: list[Artifact]) -> list[Artifact]:
    """Return those of the *wheels* of one version whose tags pip prefers; all if something else than the tags decides."""
    if len(wheels) == 1 or pin.hashes or cache.call.has("platforms", "abis", "implementation", "python_version"):
        return wheels
    order = {tag: rank for rank, tag in enumerate(cache.environment.tags)}
    ranks = [_rank(wheel, order) for wheel in wheels]
    return [wheel for wheel, rank in zip(wheels, ranks, strict=True) if rank == min(ranks)]


def _rank(wheel: Artifact, order: Mapping[str, int]) -> int:
    tags = wheel.parsed_filename.tags.lower() if wheel.parsed_filename else ""
    parts = (part.split(".") for part in tags.split("-"))
    return min((order.get("-".join(tag), len(order)) for tag in itertools.product(*parts)), default=len(order))
