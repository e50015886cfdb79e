"""Find built wheels of unpinned projects: those that the call names and, if builds would now differ, all dependencies.

People type ``CMAKE_ARGS=... pip install llama-cpp-python``: pip must not reuse a wheel with other flags, pinned or not.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from pinstall.checks import dependencies
from pinstall.checks.candidates import Candidate, Gathered
from pinstall.pip_cache import built_wheels, keys
from pinstall.pip_cache.locator import local_file
from pinstall.storage import store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pinstall.inspection.build_record import BuildRecord
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.entries import BuiltWheel, HttpEntry, LocalFile
    from pinstall.pip_cache.locator import Cache


def gather(cache: Cache, pins: Iterable[Pin], has_changed: Callable[[BuildRecord], bool], *, is_shaped: bool) -> Gathered:
    """Return the built wheels, in pip's cache and the store, that pip may use for projects that none of *pins* names.

    Those are the projects that the call requests. Their dependencies and those of *pins* count, too, if the call sets something
    that shapes builds (*is_shaped*), or if *has_changed* (`Builds.has_changed`) is true of the record of a stored build of any
    project that is neither pinned nor requested. Without *is_shaped*, only keys under which the store has a build count: other
    wheels are plain pip's, and no record shows that they were built with flags. Leaves out projects of which the call forbids
    sdists.
    """
    pinned = {pin.project: pin for pin in pins}
    named = list(dependencies.named(cache, pinned))
    # The answer to a question that only a build asks may have changed for a dependency, too.
    is_wide = is_shaped or any(map(has_changed, store.other_records(cache.root, {*pinned, *(w.project for w in named)})))
    needs = [*_reached(cache, [*pinned.values(), *named])] if is_wide else named
    found: dict[str, Candidate] = {}
    for need in needs:
        if need.project not in pinned and not cache.call.formats.refuses(need.project, is_wheel=False):
            for candidate in _builds(cache, need, in_cache=is_shaped):
                found.setdefault(candidate.entry.content_path, candidate)
    return Gathered(tuple(found.values()), {c.wheel_key: True for c in found.values()}, any_key=False)


def _reached(cache: Cache, needs: list[Pin]) -> Iterator[Pin]:
    """Return *needs* and their dependencies, direct or not, as far as cached artifacts declare them.

    If the call ignores dependencies, returns *needs* alone.
    """
    if cache.call.has("ignore_dependencies"):
        return iter(needs)
    return dependencies.walk(needs, lambda need: _dependencies(cache, need))


def _dependencies(cache: Cache, need: Pin) -> Iterator[Pin]:
    """Yield the dependencies of *need* that its cached artifacts declare."""
    for entry in (*_artifacts(cache, need), *(c.entry for c in _builds(cache, need, in_cache=True))):
        yield from dependencies.of(entry, need, cache.environment.markers)


def _artifacts(cache: Cache, pin: Pin) -> Iterator[HttpEntry | LocalFile]:
    """Yield the cached downloads, ``.metadata`` files and local archives of the versions that *pin* admits."""
    for file in itertools.chain(cache.locate(pin).files, cache.others(pin)):
        if file.parsed_filename is None or pin.admits(file.parsed_filename.version):
            yield from cache.downloads(file)
            if (local := local_file(file.link)) is not None:
                yield local


def _builds(cache: Cache, pin: Pin, *, in_cache: bool) -> Iterator[Candidate]:
    """Yield the built wheels of versions that *pin* admits, pip's own before the store's.

    Without *in_cache*, pip's own are only those under the keys of stored ones.
    """
    kept = [entry for entry in store.all_builds(cache.root, pin.project) if _fits(cache, pin, entry)]
    own = [entry for entry in cache.walked(pin) if _fits(cache, pin, entry)] if in_cache else []
    for key in {entry.wheel_key for entry in kept} - {entry.wheel_key for entry in own}:
        folder = os.path.join(cache.root, keys.wheel_path(key))
        own += [entry for entry in built_wheels.built_under(folder, key, pin.project) if _fits(cache, pin, entry)]
    yield from (Candidate(pin, entry) for entry in own)
    yield from (Candidate(pin, entry, stored=True) for entry in kept)


def _fits(cache: Cache, pin: Pin, entry: BuiltWheel) -> bool:
    return entry.parsed_filename is not None and pin.admits(entry.parsed_filename.version) and cache.is_ours(entry)
