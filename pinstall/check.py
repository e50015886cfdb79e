"""Check: hold what the cache has for each pin to what the pin names, before any lock is taken. Nothing is changed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall import digest, links, store
from pinstall.ledger import Ledger, Proof, proved
from pinstall.pipcache import entries
from pinstall.pipcache.locate import File
from pinstall.proof import integrity
from pinstall.verdict import Evidence, Keep, Verdict, decide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinstall.pins import Pin
    from pinstall.pipcache.entries import Entry, Stamp
    from pinstall.pipcache.locate import Cache, Located, Page


class Finding(NamedTuple):
    """An entry that was looked at: what it is, for which pin, what was seen, and what is to become of it.

    ``identity`` is by what it would be known again if it came back; ``stored`` says that it lies in the store.
    """

    pin: Pin
    entry: Entry
    stamp: Stamp | None
    verdict: Verdict
    identity: str
    stored: bool = False


class _Wanted(NamedTuple):
    """What has to be known of a file: its digests, and whether its structure is sound."""

    algorithms: frozenset[str]
    checked: bool = False

    def answered_by(self, proof: Proof) -> bool:
        return self.algorithms <= proof.digests.keys() and (proof.checked or not self.checked)


class Checker:
    """Proves entries for the pins of one call, and remembers the proofs in the ledgers of their projects."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.ledgers: dict[str, Ledger] = {}

    def ledger(self, project: str) -> Ledger:
        """Return the ledger of *project*."""
        if project not in self.ledgers:
            self.ledgers[project] = Ledger(self.cache.root, project)
        return self.ledgers[project]

    def check(self, pin: Pin) -> list[Finding]:
        """Return what is to be done for *pin*: in the cache, and with what the store has and the cache lacks."""
        located = self.cache.locate(pin)
        found = [self._page(pin, page, located) for page in located.pages]
        # Pages that know none of the pinned hashes are older than the pin: what they state is no measure.
        files = located.files if located.listed else tuple(map(_unstated, located.files))
        for file in files:
            found += [self.look(pin, entry) for entry in self.cache.artifacts(pin, file)]
            found += [self.look(pin, entry, stored=True) for entry in self._stored(pin, file)]
        if pin.has_version and not located.complete and not located.files:
            found += [self.look(pin, e) for e in self.cache.walked(pin) if _is_pinned(pin, e)]
            kept = store.all_builds(self.cache.root, pin.project)
            found += [self.look(pin, e, stored=True) for e in kept if _is_pinned(pin, e) and self.cache.is_ours(e)]
        return [finding for finding in found if finding.stored or not isinstance(finding.verdict, Keep)]

    def look(self, pin: Pin, entry: Entry, *, stored: bool = False) -> Finding:
        """Prove one artifact and decide on it."""
        stamp = entries.stamp_of(entry)
        return self._decide(pin, entry, stamp, self._observe(pin, entry, stamp), stored=stored)

    def others(self, pin: Pin) -> Iterator[Entry]:
        """Yield the downloads and built wheels of other versions of *pin*'s project that this environment's pip could use."""
        located = self.cache.locate(pin)
        for offer in located.others:
            file = File(offer.link(), links.label(offer.filename, pin.project))
            yield from self.cache.artifacts(pin, file)
        if not located.complete and not located.files:
            yield from (entry for entry in self.cache.walked(pin) if not _is_pinned(pin, entry))

    def again(self, finding: Finding) -> Finding | None:
        """Look again at what was found, whatever went before; None if it is no longer there."""
        pin, entry = finding.pin, finding.entry
        if not entries.exists(entry.content):
            return None
        if entry.kind == "page":
            self.cache.forget_pages()
            located = self.cache.locate(pin)
            page = next((page for page in located.pages if page.entry.key == entry.key), None)
            return self._page(pin, page, located) if page else None
        return self.look(pin, entry, stored=finding.stored)

    def _decide(self, pin: Pin, entry: Entry, stamp: Stamp | None, evidence: Evidence, *, stored: bool = False) -> Finding:
        identity = evidence.identity(entry)
        given = self.ledger(pin.project).given(entry.key, identity)
        return Finding(pin, entry, stamp, decide(pin, entry, evidence._replace(given=given)), identity, stored)

    def _page(self, pin: Pin, page: Page, located: Located) -> Finding:
        stamp = entries.stamp_of(page.entry)
        evidence = Evidence(
            fault=page.fault,
            unreadable=page.unreadable,
            listed=located.listed,
            fresh=self.cache.uses_unasked(page, pin.project),
            age=page.response.age(entries.now()),
        )
        if not page.unreadable and (page.fault or not located.listed):
            evidence = self._with_proof(pin, page.entry, stamp, evidence, _Wanted(frozenset({"sha256"})))
        return self._decide(pin, page.entry, stamp, evidence)

    def _observe(self, pin: Pin, entry: Entry, stamp: Stamp | None) -> Evidence:
        stated = digest.known(entry.stated)
        algorithms = {stated[0].algorithm} if stated else {d.algorithm for d in digest.known(pin.hashes)} or {"sha256"}
        checked = entry.kind == "built" or (entry.kind == "download" and not stated and not pin.hashes)
        return self._with_proof(pin, entry, stamp, Evidence(), _Wanted(frozenset(algorithms), checked))

    def _with_proof(self, pin: Pin, entry: Entry, stamp: Stamp | None, evidence: Evidence, wanted: _Wanted) -> Evidence:
        """Add what is known of the bytes: from the ledger if the file is the one that was read, else by reading it."""
        if stamp is None:
            return evidence._replace(unreadable="it is no regular file")
        known = self.ledger(pin.project).proof(entry.key, stamp)
        if known is None or not wanted.answered_by(known):
            try:
                known = _read(entry, stamp, wanted)
            except OSError as error:
                return evidence._replace(unreadable=error.strerror or type(error).__name__)
            self.ledger(pin.project).remember(entry.key, known)
        return evidence._replace(
            digests={name: known.digests[name] for name in wanted.algorithms},
            fault=evidence.fault or known.fault,
            name=known.name,
            version=known.version,
        )

    def _stored(self, pin: Pin, file: File) -> Iterator[Entry]:
        """Yield what the store has for a file where the cache has nothing."""
        for entry in self.cache.requests(file):
            kept = store.http_entry(self.cache.root, entry) if not entries.exists(entry.paths[0]) else None
            if kept is not None:
                yield kept
        if file.label is None or not file.label.tags:
            yield from store.builds(self.cache.root, self.cache.wheel_key(file.link), pin.project)


def _read(entry: Entry, stamp: Stamp, wanted: _Wanted) -> Proof:
    with entries.open_content(entry) as file:
        proof = proved(stamp, integrity.digests(file, wanted.algorithms))
        if wanted.checked:
            file.seek(0)
            content = integrity.archive(file, entry.filename)
            proof = proof._replace(checked=True, fault=content.fault, name=content.name, version=content.version)
    if entries.stamp(entry.content) != stamp:
        raise OSError(0, "it changed while it was read")
    return proof


def _is_pinned(pin: Pin, entry: Entry) -> bool:
    return entry.label is not None and pin.admits(entry.label.version)


def _unstated(file: File) -> File:
    return file._replace(link=file.link._replace(digests=()))
