"""Find stored files that pip may need for requirements that no pin names: those of the call, and dependencies.

Only the newest version counts of which pip's cache or the store has a file, because pip prefers new versions. If pip chooses
another one, it downloads that once.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pinstall.checks import candidates, dependencies
from pinstall.checks.candidates import Candidate, Gathered
from pinstall.checks.satisfied import is_met
from pinstall.model import links
from pinstall.pip_cache import http_entries
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import actions, store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from packaging.version import Version

    from pinstall.model.links import ParsedFilename
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.locator import Artifact, Cache

# Pages list thousands of versions, and looking for the files of one takes some 0.1 ms.
_MOST_VERSIONS = 20


def gather(cache: Cache, pins: Iterable[Pin], kept: Collection[str]) -> Gathered:
    """Return the candidates for unpinned projects that the call or a dependency needs, and of which the store has a file.

    Of each, one version counts: the newest, of the newest 20 that are listed, that the need admits and of which pip's cache or
    the store has a file; and only if the store has one. The candidates are its stored files, and its built wheels in pip's
    cache. *kept* are those of `store.projects`, without the pinned ones: other projects have no candidates. *pins* themselves
    have none either; only their dependencies do. Leaves out what the environment satisfies.
    """
    found: dict[str, Candidate] = {}
    newest: list[Candidate] = []
    pinned = {pin.project for pin in pins}

    def following(need: Pin) -> Iterator[Pin]:
        return (needed for needed in _needed(cache, need, newest) if needed.project not in pinned)

    for need in dependencies.walk([*pins, *_lacking(cache, dependencies.named(cache, pinned))], following):
        newest = _newest(cache, need, is_stored=need.project in kept)
        if any(candidate.stored for candidate in newest) and need.project in kept:
            found |= {c.entry.content_path: c for c in newest if c.stored or isinstance(c.entry, BuiltWheel)}
    wheel_keys = {c.entry.wheel_key: True for c in found.values() if isinstance(c.entry, BuiltWheel)}
    return Gathered(tuple(found.values()), wheel_keys, any_key=False)


def _needed(cache: Cache, need: Pin, newest: Iterable[Candidate]) -> list[Pin]:
    """Return the dependencies that the *newest* version for *need* declares and the environment lacks.

    *newest* are the candidates of that version. The first wheel or ``.metadata`` file among them tells the dependencies. Empty
    if there is only an sdist, because reading that takes long, and if the call ignores dependencies.
    """
    if cache.call.has("ignore_dependencies"):
        return []
    readable = [c.entry for c in newest if c.entry.kind == "metadata" or c.entry.filename.endswith(".whl")]
    return _lacking(cache, dependencies.of(readable[0], need, cache.environment.markers)) if readable else []


def _lacking(cache: Cache, needs: Iterable[Pin]) -> list[Pin]:
    return [need for need in needs if not is_met(cache.call, need, cache.environment)]


def _newest(cache: Cache, pin: Pin, *, is_stored: bool) -> list[Candidate]:
    """Return the candidates of the newest version that *pin* admits and of which pip's cache or the store has a file.

    Looks at the newest 20 listed versions only. Leaves out stored files that pip's cache has, and stored builds of an sdist of
    which pip's cache has a build that is to stay. If no version is listed that pip may choose, and the project *is_stored*,
    the notes of stored downloads tell the versions. Empty if there are no candidates.
    """
    by_version: dict[Version | None, list[Artifact]] = {}
    for file in _listed(cache, pin):
        by_version.setdefault(file.parsed_filename.version if file.parsed_filename else None, []).append(file)
    for version in sorted(by_version, key=lambda v: (v is not None, v), reverse=True)[:_MOST_VERSIONS]:
        if found := [candidate for file in by_version[version] for candidate in _files(cache, pin, file)]:
            return found
    return [] if by_version or not is_stored else _unlisted(cache, pin)


def _listed(cache: Cache, pin: Pin) -> Iterator[Artifact]:
    """Yield the files of pages and folders, and of the URL of *pin*, that pip may choose by their names and formats.

    Pinned hashes, Requires-Python and yanks do not count.
    """
    for file in itertools.chain(cache.locate(pin).files, cache.others(pin)):
        if _may_choose(cache, pin, file.parsed_filename):
            yield file


def _may_choose(cache: Cache, pin: Pin, label: ParsedFilename | None) -> bool:
    is_wheel = bool(label and label.tags)
    if cache.call.formats.refuses(pin.project, is_wheel=is_wheel) and not pin.url:
        return False
    if label is None or pin.has_version:
        return label is None or pin.admits(label.version)
    return pin.specifier.contains(label.version, prereleases=True if cache.call.has("pre") else None)


def _files(cache: Cache, pin: Pin, file: Artifact) -> Iterator[Candidate]:
    """Yield the candidates of one artifact, built wheels first: pip prefers them to their sdist.

    A stored download counts if pip's cache lacks it or has it spent. Stored builds count if pip's cache has no build of the
    sdist, or only ones that are marked for deletion (`actions.retire`).
    """
    if candidates.is_source(file):
        own = list(cache.built_for(pin, file.link))
        yield from (Candidate(pin, entry, file.link) for entry in own)
        if not any(not actions.is_retired(cache.root, entry) for entry in own):
            kept = store.builds(cache.root, cache.wheel_key(file.link), pin.project)
            yield from (Candidate(pin, e, file.link, stored=True) for e in kept if cache.usable(e.parsed_filename))
    yield from candidates.downloads(cache, pin, file)


def _unlisted(cache: Cache, pin: Pin) -> list[Candidate]:
    """Return the stored downloads and ``.metadata`` files of the newest version that *pin* admits, by the names in their notes.

    Files that pip would not choose do not count. Leaves out those that pip's cache has, too; empty if none remains.
    """
    found: dict[Version, list[Candidate]] = {}
    for entry, filename in store.downloads(cache.root, pin.project):
        kind, ending = ("metadata", ".metadata") if filename.endswith(".metadata") else ("download", "")
        label = links.parse_filename(filename.removesuffix(ending), pin.project)
        if label is None or not (cache.usable(label) and _may_choose(cache, pin, label)):
            continue
        of_version = found.setdefault(label.version, [])
        if not http_entries.is_there(http_entries.entry_of(cache.root, entry.key, entry.layout)):
            kept = entry._replace(kind=kind, filename=filename, parsed_filename=label)
            of_version.append(Candidate(pin, kept, stored=True))
    return found[max(found)] if found else []
