"""Vouching: after pip has failed, which of the HTTP entries in its cache can be relied on.

An entry is vouched for if its bytes have the digest that a pin, a lock file or an index page states, and nothing that this call
knows states another; or if nothing states a digest, and the archive passes all that pip checks. Pages, redirects and
``.metadata`` files without a stated digest are never vouched for. Nothing is taken from the ledger: a disk that loses bits
changes no dates.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.aftermath import dependencies
from pinstall.aftermath.dependencies import Want
from pinstall.inspection import acceptance, integrity
from pinstall.inspection.identify import identify
from pinstall.invocation import toml_sources
from pinstall.model import digest, foreign_data, links
from pinstall.model.pins import project_named
from pinstall.pip_cache import http_entries, index_pages, keys, locator
from pinstall.pip_cache.catalogue import is_page, project_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.model.digest import Digest
    from pinstall.model.links import Link, ParsedFilename
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.http_entries import Entry, Response
    from pinstall.pip_cache.index_pages import IndexFile
    from pinstall.pip_cache.locator import Cache
    from pinstall.pip_process import Observation

# More than any install that was seen needs.
_MOST_PROJECTS = 1_000
_BUILD_TOOLS = ("setuptools", "wheel")
_PERMANENT = (301, 308)


class Claim(NamedTuple):
    """What is stated of the file behind a URL: one claim for each page, pin or lock file that names it.

    ``recent``: it was received in this call, or is a pin's own. ``digests`` may be empty.
    """

    filename: str
    label: ParsedFilename | None
    project: str
    digests: tuple[Digest, ...]
    recent: bool
    is_metadata: bool = False


class Used(NamedTuple):
    """The keys of HTTP entries that a pip used: ``old`` ones, that were there before, and ``new`` ones, that it received."""

    old: frozenset[str]
    new: frozenset[str]


def used(observation: Observation) -> Used:
    """Tell the entries that were there before a call from those that it received.

    Of an entry that is confirmed ("not modified"), pip writes the head alone: it stays an old one.
    """
    opened = _keys(observation.opened)
    bodies = _keys(path for path in observation.written if path.endswith(".body"))
    new = bodies | (_keys(observation.written) - opened)
    return Used(frozenset(opened - new), frozenset(new))


def _keys(paths: Iterable[str]) -> set[str]:
    names = (os.path.basename(path).removesuffix(".body") for path in paths)
    return {name for name in names if keys.is_http_key(name)}


class Survey:
    """What is known after a failure of the HTTP entries that pip ``used``, and of others that a second run could use.

    ``claims`` are by key, ``vouched`` the keys of what is vouched for; those of ``dated`` only by pages from before the call.
    """

    def __init__(self, cache: Cache, pins: Iterable[Pin], observation: Observation) -> None:
        self._cache, self._pins = cache, tuple(pins)
        self.used = used(observation)
        self.claims: dict[str, list[Claim]] = {}
        self._projects: dict[str, str] = {}  # of pages, by key
        for pin in self._pins:
            self._add_pin(pin)
        for place in filter(locator.is_http, cache.call.find_links):
            self._add(index_pages.remote(place).link(), project_of(links.Link(place).filename), recent=True)
        for key in (*self.used.old, *self.used.new):
            self._read_page(key)
        if observation.nested:
            self._read_build_requirements()
        self._judge()

    def entry(self, key: str) -> Entry:
        """Return the entry with this *key*, as pip has it or would have it."""
        paths = tuple(os.path.join(self._cache.root, path) for path in keys.http_paths(key, self._cache.http.layout))
        return http_entries.Entry("", key, paths, "", layout=self._cache.http.layout)

    @property
    def known(self) -> frozenset[str]:
        """The keys of all that was looked at."""
        return self.used.old | self.used.new | self.claims.keys()

    @property
    def pages(self) -> frozenset[str]:
        """The keys of the index pages that pip used."""
        return frozenset(self._projects)

    @property
    def doubtful(self) -> frozenset[str]:
        """The keys of what pip used, was there before, and is not vouched for."""
        return self.used.old - self.vouched

    def is_redirect(self, key: str) -> bool:
        """Say whether an entry is a permanent redirect, which pip follows for ever."""
        response = self._response(key)
        return response is not None and response.status in _PERMANENT

    def name(self, key: str) -> str:
        """Return by what name the user knows an entry."""
        if claim := next(iter(self.claims.get(key, ())), None):
            return claim.filename
        if key in self._projects:
            return f"index page of {self._projects[key]}" if self._projects[key] else "an index page"
        return "a redirect" if self.is_redirect(key) else "a download"

    # What is stated

    def _add_pin(self, pin: Pin) -> None:
        url = pin.url or pin.locked
        if locator.is_http(url):
            link = links.link(url)
            self._add(link, pin.project, recent=True)

    def _add(self, link: Link, project: str, *, recent: bool) -> None:
        """Note what *link* states of the entry that answers it, if there is one."""
        label = links.label(link.filename, project)
        stated = link.digests + locator.pypi_digest(link.url)
        self._note(link.url, Claim(link.filename, label, project, stated, recent or bool(locator.pypi_digest(link.url))))
        if link.metadata is not None:
            name = f"{link.filename}.metadata"
            self._note(f"{link.url}.metadata", Claim(name, label, project, link.metadata, recent, is_metadata=True))

    def _note(self, url: str, claim: Claim) -> None:
        with suppress(ValueError):
            found = self._cache.http.find(url)
            if found is not None:
                self.claims.setdefault(found[0].key, []).append(claim)

    def _read_page(self, key: str) -> bool:
        """Note what a page states; say whether the entry is one."""
        response = self._response(key)
        if response is None or not is_page(response):
            return False
        offers = self.offers(key)
        project = next((name for offer in offers if (name := project_of(offer.filename))), "")
        self._projects[key] = project
        base = self._own_url(key, project) if project else ""
        for offer in offers:
            self._add_offer(offer if offer.base else offer._replace(base=base), project, recent=key in self.used.new)
        return True

    def _response(self, key: str) -> Response | None:
        head = http_entries.read_head(self.entry(key).paths[0])
        return head.response if head else None

    def offers(self, key: str) -> list[IndexFile]:
        """Return the files that a cached page lists; none if it cannot be read."""
        entry, response = self._content(key), self._response(key)
        if entry is None or response is None:
            return []
        try:
            with http_entries.open_content(entry) as file:
                return index_pages.parse(file.read(index_pages.LARGEST + 1), response.headers, "")
        except Exception as error:  # noqa: BLE001 (one page must not cost the call)
            foreign_data.reason(error)
            return []

    def _own_url(self, key: str, project: str) -> str:
        """Return the URL of the page with this *key*; "" if it is none of a configured index (it was redirected)."""
        for index in filter(locator.is_http, self._cache.call.index_urls):
            found = self._cache.http.find(locator.page_url(index, project))
            if found is not None and found[0].key == key:
                return found[2]
        return ""

    def _add_offer(self, offer: IndexFile, project: str, *, recent: bool) -> None:
        label = links.label(offer.filename, project)
        if label is not None and self._cache.usable(label):
            link = offer.link()
            if locator.is_http(link.url):
                self._add(link, project, recent=recent)

    def _read_build_requirements(self) -> None:
        """Read the pages of what builds require: another pip has installed that, which could not be watched."""
        markers = self._cache.environment.markers
        lines = [needed for line in self._cache.call.lines for needed in toml_sources.build_requires(line)]
        waiting = [*_BUILD_TOOLS, *(project_named(line.text) for line in lines)]
        local = [(pin, entry) for pin in self._pins if pin.url and (entry := locator.local_file(links.link(pin.url)))]
        waiting += [want.pin.project for pin, entry in local for want in dependencies.of(entry, Want(pin), markers)]
        waiting += [want.pin.project for key in [*self.claims] for want in self._needs(key, markers)]
        seen = set(self._projects.values())
        while waiting and len(seen) < _MOST_PROJECTS:
            project = waiting.pop()
            if not project or project in seen:
                continue
            seen.add(project)
            before = set(self.claims)
            for index in filter(locator.is_http, self._cache.call.index_urls):
                found = self._cache.http.find(locator.page_url(index, project))
                if found is not None and found[0].key not in self.pages and self._read_page(found[0].key):
                    self.used = self.used._replace(old=self.used.old | {found[0].key})
            waiting += [want.pin.project for key in set(self.claims) - before for want in self._needs(key, markers)]

    def _needs(self, key: str, markers: dict[str, str]) -> list[Want]:
        claim, entry = self.claims[key][0], self._content(key)
        if claim.is_metadata or claim.label is None or entry is None:
            return []
        wanted = dependencies.want(claim.project, "", markers)
        return dependencies.of(entry._replace(kind="download", filename=claim.filename), wanted, markers) if wanted else []

    # What is true

    def _judge(self) -> None:
        wanted = sorted({*self.claims, *self.used.old, *self.used.new} - self.pages)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            verdicts = dict(zip(wanted, pool.map(self._is_vouched, wanted), strict=True))
        self.vouched = frozenset(key for key, good in verdicts.items() if good)
        self.dated = frozenset(
            key
            for key in self.vouched - self.used.new
            if not any(claim.recent and claim.digests for claim in self.claims.get(key, ()))
        )

    def _is_vouched(self, key: str) -> bool:
        try:
            return not self.fault(key)
        except Exception:  # noqa: BLE001 (whatever one entry makes a library raise, nothing vouches for that entry)
            return False

    def _content(self, key: str) -> Entry | None:
        """Return an entry whose content can be read, with its span; None for redirects, and what pip would fail on."""
        entry = self.entry(key)
        head = http_entries.read_head(entry.paths[0]) if http_entries.stamp(entry.paths[0]) is not None else None
        if head is None or head.fault or head.unreadable or head.response.status != 200 or http_entries.stamp_of(entry) is None:
            return None
        return entry._replace(span=head.span if entry.layout is keys.ONE_FILE else None)

    def fault(self, key: str) -> str:
        """Say why nothing vouches for an artifact or metadata file; "" if it is vouched for. Raises `OSError`."""
        entry = self._content(key)
        if entry is None:
            return "it is not a file"
        claims = self.claims.get(key) or list(_told_by_content(entry))
        stated = [known for claim in claims if (known := digest.known(claim.digests))]
        stated += [known for pin in self._pins if claims and (known := self._pinned(pin, claims[0]))]
        with http_entries.open_content(entry) as file:
            found = integrity.digests(file, {d.algorithm for known in stated for d in known})
            if stated:
                wrong = next((known for known in stated if digest.agree(known, found) is False), None)
                return digest.mismatch(wrong, found, "a pin, index or URL") if wrong else ""
            if any(claim.is_metadata for claim in claims):
                return "no page states its hash"
            file.seek(0)
            return (
                acceptance.fault(file, claims[0].filename, claims[0].project, claims[0].label)
                if claims
                else "it is not an archive"
            )

    def _pinned(self, pin: Pin, claim: Claim) -> list[Digest]:
        """Return the digests that a pin's hashes want of a file, if it is one that the pin admits."""
        applies = pin.project == claim.project and not claim.is_metadata
        if not applies or (claim.label is not None and not pin.url and not pin.admits(claim.label.version)):
            return []
        return digest.known(pin.hashes)

    def sha256(self, key: str) -> str:
        """Return the digest of an entry's content; "" if it has none that can be read."""
        entry = self._content(key)
        if entry is None:
            return ""
        with suppress(OSError), http_entries.open_content(entry) as file:
            return integrity.digests(file, ["sha256"])["sha256"]
        return ""

    def refused(self, key: str) -> str:
        """Say why pip refuses an artifact or metadata file, by what its index states now or by its content; "" if it does not.

        A pin's own hashes do not count: the file may be what the index has, and another one may be pinned.
        """
        claims = self.claims.get(key, [])
        stated = [known for claim in claims if claim.recent and (known := digest.known(claim.digests))]
        entry = self._content(key)
        if entry is None or not claims or (stated and not digest.known(d for known in stated for d in known)):
            return ""
        try:
            if not stated:
                return "" if any(claim.digests or claim.is_metadata for claim in claims) else self.fault(key)
            with http_entries.open_content(entry) as file:
                found = integrity.digests(file, {d.algorithm for known in stated for d in known})
        except OSError:
            return ""
        wrong = [known for known in stated if digest.agree(known, found) is False]
        return digest.mismatch(wrong[0], found) if len(wrong) == len(stated) else ""


def _told_by_content(entry: Entry) -> Iterator[Claim]:
    """Yield what an archive that no page names says of itself."""
    with http_entries.open_content(entry) as file:
        what = identify(file)
    if what.kind == "download" and what.project:
        version = links.parsed(what.version)
        label = links.ParsedFilename(what.version, version) if version is not None else None
        yield Claim(what.filename, label, what.project, (), recent=False)


def listed(offers: Iterable[IndexFile], cache: Cache) -> set[tuple[str, str]]:
    """Return what a page says of each file that this call could use, to compare two readings of it."""
    found = set()
    for offer in offers:
        label = links.label(offer.filename, project_of(offer.filename))
        if label is not None and cache.usable(label):
            found.add((offer.filename, repr(offer.file)))
    return found
