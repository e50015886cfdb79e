"""Find candidates: the entries in pip's cache and in the store, not yet verified, that pip could use for the pins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from pinstall.pip_cache import built_wheels, entries, http_entries
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pinstall.model.links import Link
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.entries import Entry
    from pinstall.pip_cache.locator import Artifact, Cache, Page, ProjectFiles


class Candidate(NamedTuple):
    """One entry, and the pin for which pip could use it: for an unpinned project, a `Pin` that may admit several versions.

    ``source`` is the link to the source of a built wheel, if a page or the pin states it. ``stored`` is True for an entry in
    pinstall's store. In a call, an index page has its content as ``page``, and ``listed`` says whether any page or folder
    lists a pinned file; True if a page is missing, which may list it.
    """

    pin: Pin
    entry: Entry
    source: Link | None = None
    stored: bool = False
    page: Page | None = None
    listed: bool = True

    @property
    def wheel_key(self) -> str:
        """The key under which pip looks for a built wheel; "" for an HTTP entry."""
        return self.entry.wheel_key if isinstance(self.entry, BuiltWheel) else ""


class Gathered(NamedTuple):
    """The candidates of a call, or some of them.

    ``wheel_keys`` maps each known key of built wheels, also one without a wheel, to whether pip may build under it. ``any_key``
    is True if pip may look for, or build, wheels under keys that cannot be derived from the cached pages.
    """

    candidates: tuple[Candidate, ...]
    wheel_keys: Mapping[str, bool]
    any_key: bool

    def joined(self, others: Gathered) -> Gathered:
        """Return both: these candidates, then those of *others*. Built wheels of *others* count only under keys unknown here.

        Of a key that both know, this one says whether pip may build under it.
        """
        more = tuple(found for found in others.candidates if found.wheel_key not in self.wheel_keys)
        keys = {**others.wheel_keys, **self.wheel_keys}
        return Gathered((*self.candidates, *more), keys, self.any_key or others.any_key)


def gather(cache: Cache, pins: Iterable[Pin]) -> Gathered:
    """Return the candidates for *pins* in *cache* and in the store, in the order of the pins.

    If pip may build a pinned version, and a page of its project is missing or none lists that version, its built wheels under
    any key are candidates, too.
    """
    found: list[Candidate] = []
    keys: dict[str, bool] = {}
    any_key = False
    for pin in pins:
        located = cache.locate(pin)
        found += _pages(pin, located)
        files = _files(located)
        found += [candidate for file in files for candidate in downloads(cache, pin, file)]
        may_build = cache.may_be_built(pin, located)
        own_keys: set[str] = set()
        for file in filter(is_source, files):
            key = cache.wheel_key(file.link)
            own_keys.add(key)
            keys[key] = may_build
            found += [Candidate(pin, entry, file.link) for entry in cache.built_for(pin, file.link)]
            found += [Candidate(pin, build, file.link, stored=True) for build in _stored_builds(cache, pin, file.link, key)]
        # A newer page may tell pip of a version that no cached page lists.
        if pin.has_version and not (located.complete and located.listed) and may_build:
            any_key = True
            beyond = [candidate for candidate in _under_any_key(cache, pin) if candidate.wheel_key not in own_keys]
            keys |= {candidate.wheel_key: True for candidate in beyond}
            found += beyond
    return Gathered(tuple(found), keys, any_key)


def _stored_builds(cache: Cache, pin: Pin, link: Link, key: str) -> Iterator[BuiltWheel]:
    """Yield the builds that the store has for *link*, whose wheel *key* this is.

    A signed URL has another query, and so another key, each day. So if the store has none under *key*, and *pin* names a URL
    with a query and states a digest, other builds serve as well: those that pinstall saw made from a file with that digest, at
    the same URL but for the query. Each is yielded as if it were under *key*.
    """
    query = urlsplit(link.url).query
    same = [build._replace(query=query) for build in store.builds(cache.root, key, pin.project)]
    yield from same
    pinned = {(stated.algorithm, stated.hex.lower()) for stated in (*pin.hashes, *link.digests)}
    if same or not (pin.url and query and pinned):
        return
    plain = link._replace(url=urlunsplit((*urlsplit(link.url)[:3], "", "")))
    for build in store.all_builds(cache.root, pin.project):
        folder = os.path.dirname(build.content_path)
        record, origin = store.load_record(folder), built_wheels.read_origin(folder)
        is_same = origin is not None and (origin.url, origin.subdirectory) == (plain.url, plain.subdirectory)
        if is_same and record is not None and record.observed and pinned & record.source.items():
            yield build._replace(wheel_key=key, query=query)


def _pages(pin: Pin, located: ProjectFiles) -> Iterator[Candidate]:
    for page in located.pages:
        yield Candidate(pin, page.entry, page=page, listed=located.listed or not located.complete)


def page_candidate(cache: Cache, pin: Pin, key: str) -> Candidate | None:
    """Forget all pages, read those of *pin* again, and return the candidate of the one with this *key*; None if it is gone."""
    cache.forget_pages()
    return next((found for found in _pages(pin, cache.locate(pin)) if found.entry.key == key), None)


def downloads(cache: Cache, pin: Pin, file: Artifact) -> Iterator[Candidate]:
    """Yield the candidates of *file*: its download and its ``.metadata`` file.

    Each is from the store if pip's cache lacks it or has it spent; those of pip's cache come first.
    """
    cached = list(cache.downloads(file))
    yield from (Candidate(pin, entry) for entry in cached)
    present = {entry.key for entry in cached}
    for entry in cache.possible_entries(file):
        is_missing = entry.key not in present and (not entries.exists(entry.paths[0]) or http_entries.is_spent(entry))
        kept = store.http_entry(cache.root, entry) if is_missing else None
        if kept is not None:
            yield Candidate(pin, kept, stored=True)


def _under_any_key(cache: Cache, pin: Pin) -> Iterator[Candidate]:
    """Yield the built wheels of the pinned version that this environment's pip could use, under any key.

    Those in pip's cache come first, then those in the store. Those to which pages lead are among them.
    """
    for entry in cache.walked(pin):
        if _is_pinned(pin, entry):
            yield Candidate(pin, entry)
    for entry in store.all_builds(cache.root, pin.project):
        if _is_pinned(pin, entry) and cache.is_ours(entry):
            yield Candidate(pin, entry, stored=True)


def other_versions(cache: Cache, pin: Pin) -> Iterator[Entry]:
    """Yield the entries of pip's cache of other versions of *pin*'s project that this environment's pip could use.

    *pin* has a version. The entries are downloads, ``.metadata`` files and built wheels of the files that cached pages and
    folders list. If a page is missing, and no page or folder lists a pinned file that this environment can install, built
    wheels under all other keys are among them, too, and entries may come twice.
    """
    located = cache.locate(pin)
    for file in cache.others(pin):
        yield from cache.downloads(file)
        if is_source(file):
            yield from cache.built_for(pin, file.link)
    if not located.complete and not located.files:
        yield from (entry for entry in cache.walked(pin) if not _is_pinned(pin, entry))


def is_source(file: Artifact) -> bool:
    """Return whether pip has to build a file: its name is not that of a wheel, or cannot be parsed."""
    return file.parsed_filename is None or not file.parsed_filename.tags


def _is_pinned(pin: Pin, entry: Entry) -> bool:
    return entry.parsed_filename is not None and pin.admits(entry.parsed_filename.version)


def _files(located: ProjectFiles) -> tuple[Artifact, ...]:
    """Return the pinned files of *located*, without their stated digests if none of the files has a pinned hash.

    The pages may be older than the pin then, and state outdated digests.
    """
    if located.listed:
        return located.files
    return tuple(file._replace(link=file.link._replace(digests=())) for file in located.files)
