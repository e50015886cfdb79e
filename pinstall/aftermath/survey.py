"""Decide, after pip has failed, which HTTP entries in its cache are vouched for, that is, known to be right.

An entry is vouched for if its bytes have the digest that a pin, a lock file or an index page states, and no source that this
call knows states another digest. If no source states a digest, an archive is vouched for if it passes all checks of pip.
Pages, redirects, and ``.metadata`` files without a stated digest are never vouched for. The survey reads the bytes and does not
use the ledger, because a disk that corrupts a file does not change its times.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from pinstall import terminal
from pinstall.checks import dependencies
from pinstall.inspection import archives, integrity, pip_checks
from pinstall.inspection.identify import identify
from pinstall.invocation import toml_sources
from pinstall.model import digest, foreign_data, links
from pinstall.model.names import project_named
from pinstall.pip_cache import entries, http_entries, index_pages, keys, locator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.model.digest import Digest
    from pinstall.model.links import Link, ParsedFilename
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.entries import HttpEntry
    from pinstall.pip_cache.http_entries import Head
    from pinstall.pip_cache.index_pages import IndexFile
    from pinstall.pip_cache.keys import Layout
    from pinstall.pip_cache.locator import Cache
    from pinstall.pip_process import Observation

# pip installs these for a source that states no build requirements.
_BUILD_TOOLS = ("setuptools", "wheel")


class Claim(NamedTuple):
    """The statements of one page, pin or lock file about the file behind a URL.

    ``recent`` is True if the page was received in this call, or if the call itself or a path of files.pythonhosted.org states
    the claim. ``digests`` may be empty. ``is_metadata`` is True if the file is the ``.metadata`` file of an artifact.
    """

    filename: str
    parsed_filename: ParsedFilename | None
    project: str
    digests: tuple[Digest, ...]
    recent: bool
    is_metadata: bool = False


class Used(NamedTuple):
    """The keys of the HTTP entries that a pip used: ``old`` ones from before the call, and ``new`` ones that it received."""

    old: frozenset[str]
    new: frozenset[str]


def used(observation: Observation, layout: Layout) -> Used:
    """Return the keys of the HTTP entries that pip used, divided into old and received ones.

    If a server confirms an entry ("not modified"), pip rewrites only its head. Such an entry counts as old, and so does, before
    pip 23.3, each that pip has opened before it wrote it: head and body are one file.
    """
    opened = _keys(observation.opened_files, layout)
    bodies = _keys((path for path in observation.written_files if path.endswith(".body")), layout)
    new = bodies | (_keys(observation.written_files, layout) - opened)
    return Used(frozenset(opened - new), frozenset(new))


def _keys(paths: Iterable[str], layout: Layout) -> set[str]:
    """Return the keys of the HTTP entries among *paths*, leaving out pip's ``selfcheck`` files, whose names look like keys."""
    named = ((path, os.path.basename(path).removesuffix(".body")) for path in paths)
    return {key for path, key in named if keys.is_http_key(key) and path.endswith(keys.http_paths(key, layout))}


class Survey:
    """The HTTP entries that pip ``used`` before it failed and others that a second run could use, with all claims on them.

    Those that its view did not show are ``hidden`` (keys); no pip of this call may use them.

    ``claims`` are by key. The pages are read when the survey is made, the other files when `vouched` is first asked for. If pip
    started another pip that was not watched, and may have used any page of a build requirement, those pages join ``used``; to
    find them, cached artifacts are read at once.
    """

    def __init__(self, cache: Cache, pins: Iterable[Pin], observation: Observation, hidden: Iterable[str] = ()) -> None:
        """Survey the entries of *cache* that the pip of *observation* used; its view did not show the *hidden* ones (keys)."""
        self._cache, self._pins, self.hidden = cache, tuple(pins), frozenset(hidden)
        old, new = used(observation, cache.http.layout)
        self.used = Used(old - self.hidden, new - self.hidden)
        self.claims: dict[str, list[Claim]] = {}
        self._linked: set[str] = set()  # the hosts to which old pages link
        self._projects: dict[str, str] = {}  # the project of each index page that pip used, by key
        for pin in self._pins:
            self._add_pin(pin)
        for place in filter(locator.is_http, cache.call.find_links):
            if project := links.project_of(links.Link(place).filename):  # others are pages, or nothing that pip uses
                self._add(index_pages.remote(place).link(), project, recent=True)
        for key in (*self.used.old, *self.used.new):
            self._read_page(key)
        if observation.started_pip:
            self._read_build_requirements()

    def entry(self, key: str) -> HttpEntry:
        """Return the entry with this *key* in pip's cache, where it may be missing."""
        return http_entries.entry_of(self._cache.root, key, self._cache.http.layout)

    @property
    def known(self) -> frozenset[str]:
        """The keys of all entries that pip used or that a claim is about."""
        return self.used.old | self.used.new | self.claims.keys()

    @property
    def pages(self) -> frozenset[str]:
        """The keys of the index pages among the entries that pip ``used``."""
        return frozenset(self._projects)

    @property
    def doubtful(self) -> frozenset[str]:
        """The keys of the old entries that pip used and that are not vouched for.

        The index page of pip itself counts only if a line of the call names pip: pip reads that page at its end, to see whether
        it is outdated, and that does not fail a call.
        """
        own = {key for key, project in self._projects.items() if project == "pip"}
        is_asked_for = any(project_named(line.text) == "pip" for line in self._cache.call.lines)
        return self.used.old - self.vouched - (set() if is_asked_for else own)

    def is_redirect(self, key: str) -> bool:
        """Return whether the entry *key* is a permanent redirect, which pip follows without asking the server again."""
        head = self._head(key)
        return head is not None and head.response.status in http_entries.PERMANENT

    def redirect(self, key: str) -> str:
        """Return the location to which the entry *key* redirects; "" if it is not a permanent redirect."""
        head = self._head(key)
        return head.response.headers.get("location", "") if head is not None and self.is_redirect(key) else ""

    @property
    def old_hosts(self) -> set[str]:
        """The hosts (host:port) to which old pages link, except those that the call itself names."""
        call = self._cache.call
        own = (*call.index_urls, *call.find_links, *(pin.url or pin.locked for pin in self._pins))
        return self._linked - {_host(url) for url in own if locator.is_http(url)}

    def name(self, key: str) -> str:
        """Return a name of the entry *key* that the user understands."""
        if claim := next(iter(self.claims.get(key, ())), None):
            return claim.filename
        if key in self._projects:
            return f"index page of {self._projects[key]}" if self._projects[key] else "an index page"
        return "a redirect" if self.is_redirect(key) else "a download"

    # Claims

    def _add_pin(self, pin: Pin) -> None:
        url = pin.url or pin.locked
        if locator.is_http(url):
            link = links.link(url)
            self._add(link, pin.project, recent=True)

    def _add(self, link: Link, project: str, *, recent: bool) -> None:
        """Add the claims of *link* on the cached file and on its ``.metadata`` file, if they are in the cache."""
        label = links.parse_filename(link.filename, project)
        stated = link.digests + locator.pypi_digest(link.url)
        self._add_claim(link.url, Claim(link.filename, label, project, stated, recent or bool(locator.pypi_digest(link.url))))
        if link.metadata is not None:
            name = f"{link.filename}.metadata"
            self._add_claim(f"{link.url}.metadata", Claim(name, label, project, link.metadata, recent, is_metadata=True))

    def _add_claim(self, url: str, claim: Claim) -> None:
        with suppress(ValueError):
            found = self._cache.http.find(url)
            if found is not None:
                self.claims.setdefault(found[0].key, []).append(claim)

    def _read_page(self, key: str) -> bool:
        """Note the index page *key*, and add its claims on files; return True.

        Returns False, and does nothing, if the entry is not an index page.
        """
        head = self._head(key)
        if head is None or not locator.is_page(head.response):
            return False
        offers = self._offers(key, head)
        listed = (links.project_of(offer.filename) for offer in offers)
        project = next(filter(None, listed), "") or self._requested(key)
        self._projects[key] = project
        base = self._own_url(key, project) if project else ""
        for offer in offers:
            self._add_offer(offer if offer.base else offer._replace(base=base), project, recent=key in self.used.new)
        return True

    def _requested(self, key: str) -> str:
        """Return the project, of those that the call names, whose index page is the entry *key*; "" if none fits.

        It serves for a page that lists no file, and so does not tell its project.
        """
        named = [*(pin.project for pin in self._pins), *(project_named(line.text) for line in self._cache.call.lines)]
        return next((project for project in named if project and self._own_url(key, project)), "")

    def _head(self, key: str) -> Head | None:
        return http_entries.read_head(self.entry(key).paths[0])

    def offers(self, key: str) -> list[IndexFile]:
        """Return the files that the cached page *key* lists; an empty list if it cannot be read."""
        head = self._head(key)
        return self._offers(key, head) if head else []

    def _offers(self, key: str, head: Head) -> list[IndexFile]:
        entry = self._content(key, head)
        if entry is None:
            return []
        try:
            with entries.open_content(entry) as file:
                return index_pages.parse(file.read(index_pages.LARGEST + 1), head.response.headers, "")
        except Exception as error:  # noqa: BLE001 (a library's error for one page must not end the call)
            foreign_data.raise_if_ours(error)
            return []

    def _own_url(self, key: str, project: str) -> str:
        """Return the URL, after redirects, of the page of *project* with this *key*.

        "" if no index of the call leads from that project to the page, as after a temporary redirect.
        """
        for index in filter(locator.is_http, self._cache.call.index_urls):
            found = self._cache.http.find(locator.page_url(index, project))
            if found is not None and found[0].key == key:
                return found[2]
        return ""

    def _add_offer(self, offer: IndexFile, project: str, *, recent: bool) -> None:
        label = links.parse_filename(offer.filename, project)
        if label is not None and self._cache.usable(label):
            link = offer.link()
            if locator.is_http(link.url):
                self._add(link, project, recent=recent)
                if not recent:
                    self._linked.add(_host(link.url))

    def _read_build_requirements(self) -> None:
        """Read the index pages of build requirements, because pip installs these with another pip, which is not watched.

        The build requirements' own dependencies count, too, so run-time dependencies of all known artifacts are read as well.
        These pages join the entries that pip used (``used.old``), because the other pip may have used them.
        """
        markers = self._cache.environment.markers
        lines = [needed for line in self._cache.call.lines for needed in toml_sources.build_requires(line)]
        waiting = [*_BUILD_TOOLS, *(project_named(line.text) for line in lines)]
        local = [(pin, entry) for pin in self._pins if pin.url and (entry := locator.local_file(links.link(pin.url)))]
        waiting += [need.project for pin, entry in local for need in dependencies.of(entry, pin, markers)]
        waiting += [need.project for key in [*self.claims] for need in self._needs(key, markers)]
        seen = set(self._projects.values())
        while waiting and len(seen) < dependencies.MOST_NEEDS:
            project = waiting.pop()
            if not project or project in seen:
                continue
            seen.add(project)
            before = set(self.claims)
            for index in filter(locator.is_http, self._cache.call.index_urls):
                found = self._cache.http.find(locator.page_url(index, project))
                if found is not None and found[0].key not in self.pages | self.hidden and self._read_page(found[0].key):
                    self.used = self.used._replace(old=self.used.old | {found[0].key})
            waiting += [need.project for key in set(self.claims) - before for need in self._needs(key, markers)]

    def _needs(self, key: str, markers: dict[str, str]) -> list[Pin]:
        claim, entry = self.claims[key][0], self._content(key)
        if claim.is_metadata or claim.parsed_filename is None or entry is None:
            return []
        parent = dependencies.need(claim.project, "", markers)
        return dependencies.of(entry._replace(kind="download", filename=claim.filename), parent, markers) if parent else []

    # Verdicts

    @cached_property
    def vouched(self) -> frozenset[str]:
        """The keys of the known entries that are vouched for; an unreadable entry is not.

        The first use reads all known entries but pages, on all cores. An entry that the view of pip hid is never among them.
        """
        judged = sorted(self.known - self.pages - self.hidden)
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            verdicts = dict(zip(judged, pool.map(self._is_vouched, judged), strict=True))
        finally:  # a user who interrupts pinstall need not wait for the files that are being read
            pool.shutdown(wait=False, cancel_futures=True)
        return frozenset(key for key, good in verdicts.items() if good)

    @cached_property
    def to_be_confirmed(self) -> frozenset[str]:
        """The keys of the vouched entries that pip did not receive, and of which no recent `Claim` states a digest.

        A second run asks the server about them.
        """
        return frozenset(
            key
            for key in self.vouched - self.used.new
            if not any(claim.recent and claim.digests for claim in self.claims.get(key, ()))
        )

    def _is_vouched(self, key: str) -> bool:
        try:
            return not self.reason_not_vouched(key)
        except Exception as error:  # noqa: BLE001 (if a library fails on an entry, the entry is not vouched for)
            foreign_data.raise_if_ours(error)
            return False

    def _content(self, key: str, head: Head | None = None) -> HttpEntry | None:
        """Return the entry *key* with the span of its body; None if it is missing or unreadable, or its status is not 200."""
        entry, head = self.entry(key), head or self._head(key)
        if head is None or head.fault or head.unreadable or head.response.status != 200 or entries.stamp_of(entry) is None:
            return None
        return entry._replace(span=head.span if entry.layout is keys.ONE_FILE else None)

    def reason_not_vouched(self, key: str) -> str:
        """Return why the artifact or metadata file of *key* is not vouched for; "" if it is.

        Not for pages. Reads the file, and shows the progress unless the call is quiet. A missing entry, or one without a
        readable head, is not vouched for. Raises `OSError`.
        """
        try:
            return self._proven_fault(key)
        except archives.UnprovenError:
            return "pinstall cannot read it to its end"

    def _proven_fault(self, key: str) -> str:
        """Return and raise as `reason_not_vouched`; raises `archives.UnprovenError` for an archive that cannot be judged."""
        entry = self._content(key)
        if entry is None:
            return "it is not a file"
        claims = self.claims.get(key) or list(_content_claims(entry))
        stated = [known for claim in claims if (known := digest.known(claim.digests))]
        stated += [known for pin in self._pins if claims and (known := self._pinned(pin, claims[0]))]
        stamp = entries.stamp(entry.content_path)
        size = stamp.size if stamp and not self._cache.call.is_quiet else 0
        with entries.open_content(entry) as whole, terminal.shown(whole, size, self.name(key)) as file:
            if stated:
                wrong, found = _contradicted(file, stated)
                return digest.mismatch_clause(wrong[0], found, "a pin, index or URL") if wrong else ""
            if any(claim.is_metadata for claim in claims):
                return "no page states its hash"
            return _archive_fault(file, claims[0]) if claims else "it is not an archive"

    def _pinned(self, pin: Pin, claim: Claim) -> list[Digest]:
        """Return the pin's hashes if the pin admits the artifact that *claim* is about, else an empty list."""
        applies = pin.project == claim.project and not claim.is_metadata
        if not applies or (claim.parsed_filename is not None and not pin.url and not pin.admits(claim.parsed_filename.version)):
            return []
        return digest.known(pin.hashes)

    def sha256(self, key: str) -> str:
        """Return the SHA-256 of an entry's content; "" if it cannot be read."""
        entry = self._content(key)
        if entry is None:
            return ""
        with suppress(OSError), entries.open_content(entry) as file:
            return integrity.sha256(file)
        return ""

    def reason_refused(self, key: str) -> str:
        """Return why pip refuses the artifact or metadata file of *key*, by recent claims; "" if it may accept the file.

        Unlike for `reason_not_vouched`, all recent claims that state digests must contradict it, and the hashes of pins do not
        count: the file may be the index's, and another one may be pinned. If no claim, recent or old, states a digest, an
        artifact must be damaged. "" also if only old claims state one, if no claim is about the entry, and if it cannot be
        read.
        """
        claims = self.claims.get(key, [])
        stated = [known for claim in claims if claim.recent and (known := digest.known(claim.digests))]
        entry = self._content(key)
        if entry is None or not claims:
            return ""
        if not stated and any(claim.digests or claim.is_metadata for claim in claims):
            return ""
        try:
            with entries.open_content(entry) as file:
                if not stated:
                    return _archive_fault(file, claims[0])
                wrong, found = _contradicted(file, stated)
        except (OSError, archives.UnprovenError):
            return ""
        return digest.mismatch_clause(wrong[0], found) if len(wrong) == len(stated) else ""


def _archive_fault(file: BinaryIO, claim: Claim) -> str:
    """Return why pip cannot install the archive that *claim* is about; "" if it can. Raises as `pip_checks.fault`."""
    return pip_checks.fault(file, claim.filename, claim.project, claim.parsed_filename)


def _contradicted(file: BinaryIO, stated: Iterable[list[Digest]]) -> tuple[list[list[Digest]], dict[str, str]]:
    """Return those lists of *stated* digests that the bytes of *file* contradict, and the digests of the bytes by algorithm."""
    found = integrity.digests(file, {d.algorithm for known in stated for d in known})
    return [known for known in stated if digest.agree(known, found) is False], found


def _host(url: str) -> str:
    """Return host:port of an http or https *url*, as `Observation.silent_hosts` has it; "" for an invalid URL."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port or {'http': 80, 'https': 443}[parts.scheme.lower()]}"
    return ""


def _content_claims(entry: HttpEntry) -> Iterator[Claim]:
    """Yield a claim, without digests, made from the content of an archive that no page lists.

    Yields nothing if the content does not tell a project. Raises `OSError`.
    """
    with entries.open_content(entry) as file:
        what = identify(file)
    if what.kind == "download" and what.project:
        version = links.parse_version(what.version)
        label = links.ParsedFilename(what.version, version) if version is not None else None
        yield Claim(what.filename, label, what.project, (), recent=False)


def listed(offers: Iterable[IndexFile], cache: Cache) -> set[tuple[str, str]]:
    """Return (file name, statements of the page) of each of *offers* that this call could use.

    It serves to compare two versions of a page.
    """
    found = set()
    for offer in offers:
        label = links.parse_filename(offer.filename, links.project_of(offer.filename))
        if label is not None and cache.usable(label):
            found.add((offer.filename, repr(offer.file)))
    return found
