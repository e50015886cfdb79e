"""Read the requirements of a call, and the dependencies that artifacts declare in the cache, the store and local folders."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from pinstall.inspection import integrity
from pinstall.model import requirement
from pinstall.model.pins import Pin
from pinstall.pip_cache import entries
from pinstall.pip_cache.entries import HttpEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pinstall.pip_cache.entries import Entry, LocalFile
    from pinstall.pip_cache.locator import Cache

# Where a search through dependencies ends: more than the largest known installs need.
MOST_NEEDS = 1_000


def walk(needs: Iterable[Pin], following: Callable[[Pin], Iterable[Pin]]) -> Iterator[Pin]:
    """Yield *needs* and their direct and indirect dependencies, the nearest first.

    *following* returns the direct dependencies of a need that was yielded; it is called when the caller asks for the next one.
    Each combination of project, specifier and extras comes once. Ends after `MOST_NEEDS` of them.
    """
    waiting, seen = deque(needs), set[tuple[str, str, frozenset[str]]]()
    while waiting and len(seen) < MOST_NEEDS:
        need = waiting.popleft()
        identity = (need.project, str(need.specifier), need.extras)
        if identity not in seen:
            seen.add(identity)
            yield need
            waiting += following(need)


def need(text: str, place: str, markers: dict[str, str], extras: Iterable[str] = ()) -> Pin | None:
    """Parse a requirement to a `Pin`, which may admit several versions; *place* says where it was found, for messages.

    Returns None if *text* is invalid, or if its marker is false for the environment's *markers*, without an extra and with each
    of *extras*. Those are the extras of the project that states the requirement, as far as they were asked for.
    """
    found = requirement.parse(text)
    if found is None or not found.applies(markers, extras):
        return None
    return Pin(found.project, found.specifier, found.url, (), (place,), requested=True, extras=found.extras)


def named(cache: Cache, pinned: Iterable[str]) -> Iterator[Pin]:
    """Yield the call's requirements of projects that are not *pinned* (normalized); without constraints, editables and URLs.

    Leaves out those that cannot be parsed, or whose marker is false for the environment. Each has the config settings of its
    line; a project that several lines name comes several times.
    """
    projects = set(pinned)
    for line in cache.call.lines:
        if line.constraint or line.editable:
            continue
        found = need(line.text, line.place, cache.environment.markers)
        if found and not found.url and found.project not in projects:
            yield found._replace(settings=line.settings)


def of(entry: Entry | LocalFile, parent: Pin, markers: dict[str, str]) -> list[Pin]:
    """Return the requirements that a wheel, sdist or ``.metadata`` file declares for an environment with these *markers*.

    *parent* is the requirement that the artifact satisfies: its extras apply. For an sdist, includes the build requirements.
    Returns an empty list if the file cannot be read.
    """
    try:
        texts = declared(entry)
    except Exception:  # noqa: BLE001 (libraries may raise anything for a damaged file)
        return []
    return needs(texts, parent, markers)


def needs(texts: Iterable[str], parent: Pin, markers: dict[str, str]) -> list[Pin]:
    """Return the requirements among *texts*, declared by an artifact of *parent*, that apply (see `of`)."""
    found = (need(text, f"needed by {parent.project}", markers, parent.extras) for text in texts)
    return [needed for needed in found if needed]


def of_installed(folder: str) -> list[str]:
    """Return the texts of the requirements of the distribution with the ``.dist-info`` *folder*; empty if it cannot be read."""
    try:
        with open(os.path.join(folder, "METADATA"), encoding="utf-8", errors="replace") as file:
            return _requires_dist(file.read(integrity.LARGEST_METADATA))
    except OSError:
        return []


def declared(entry: Entry | LocalFile) -> list[str]:
    """Return the texts of the requirements that an artifact or its metadata file declares, with any markers.

    For an sdist, includes the build requirements. May raise anything if the file is damaged, because libraries do; `ValueError`
    for a wheel whose METADATA cannot be read.
    """
    with entries.open_content(entry) as file:
        if isinstance(entry, HttpEntry) and entry.kind == "metadata":
            return _requires_dist(file.read(integrity.LARGEST_METADATA).decode(errors="replace"))
        if entry.filename.endswith(".whl"):
            if not (text := integrity.metadata(file)):
                raise ValueError("no METADATA")
            return _requires_dist(text)
        from pinstall.inspection import sdist_scan

        source = sdist_scan.read(file, entry.filename, ())
        file.seek(0)
        return [*(source.requires if source else ()), *_requires_dist(sdist_scan.metadata(file, entry.filename))]


def _requires_dist(metadata: str) -> list[str]:
    from email.parser import HeaderParser

    return [str(text) for text in HeaderParser().parsestr(metadata).get_all("Requires-Dist") or ()]
