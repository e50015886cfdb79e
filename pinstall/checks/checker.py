"""Turn candidates into findings: verify the cache entries in one batch, and decide on each. Changes nothing."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pinstall.checks.candidates import page_candidate
from pinstall.inspection.inspector import Inspector, Reading, RequiredProof
from pinstall.model import digest, foreign_data
from pinstall.model.decision import Evidence, decide
from pinstall.pip_cache import entries, http_entries
from pinstall.pip_cache.entries import BuiltWheel, HttpEntry
from pinstall.storage import store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pinstall.checks.builds import Builds
    from pinstall.checks.candidates import Candidate
    from pinstall.inspection.build_record import BuildRecord
    from pinstall.model.pins import Pin
    from pinstall.model.verdict import Verdict
    from pinstall.pip_cache.entries import Entry, FileStamp
    from pinstall.pip_cache.locator import Cache
    from pinstall.settings import Settings


class Finding(NamedTuple):
    """The verdict on one candidate, and the ``stamp`` of its verified file (None: it is gone, or a file is not a regular one).

    ``identity`` recognises the entry if it returns unchanged (`Evidence.identity`). ``sha256`` is that of a built wheel; of
    another entry only if it was needed, else "". ``record`` is the record of a built wheel; None if its build was not compared
    with this call. For a wheel that plain pip built, it is the one that the wheel gets if pinstall adopts it.
    """

    candidate: Candidate
    stamp: FileStamp | None
    verdict: Verdict
    identity: str = ""
    sha256: str = ""
    record: BuildRecord | None = None

    @property
    def pin(self) -> Pin:
        """The pin against which the entry was checked."""
        return self.candidate.pin

    @property
    def entry(self) -> Entry:
        """The cache entry."""
        return self.candidate.entry

    @property
    def stored(self) -> bool:
        """Whether the entry is in pinstall's store."""
        return self.candidate.stored


class Checker:
    """Verifies candidates in *cache* and decides on them; its ``inspector`` remembers the proofs in the ledgers."""

    def __init__(self, cache: Cache, environ: Mapping[str, str], settings: Settings, *, is_call: bool = True) -> None:
        """Judge for the call of *cache*, whose variables are *environ*; without *is_call*, for `pinstall-cache verify`.

        For the latter, every file is read again, built wheels need only be intact, and a file whose hash is not the stated one
        is bad even if the index sends it each time.
        """
        self.cache, self._is_call = cache, is_call
        self.inspector = Inspector(cache.root, trust_ledger=is_call, quiet=cache.call.is_quiet)
        self._environ, self._settings = environ, settings

    @cached_property
    def builds(self) -> Builds:
        """The checks of built wheels, created on first use."""
        from pinstall.checks import builds

        return builds.Builds(self.cache, self._environ, self._settings.build_variables, self.inspector)

    def check(self, candidates: Sequence[Candidate]) -> list[Finding]:
        """Return the findings on *candidates*, in their order. Large downloads in pip's cache are read in parallel.

        An entry that cannot be read gets the verdict `Unreadable`: no error for one entry is raised but an `ImportError`.
        """
        large = [(c, stamp) for c in candidates if _is_download(c) and (stamp := entries.stamp_of(c.entry))]
        self.inspector.begin(Reading(c.pin.project, c.entry, stamp, _required_proof(c)) for c, stamp in large)
        return [self.examine(candidate) for candidate in candidates]

    def examine(self, candidate: Candidate) -> Finding:
        """Return the finding on one candidate. Raises as `check` does."""
        pin, entry = candidate.pin, candidate.entry
        stamp = entries.stamp_of(entry)
        evidence = self._page(candidate, stamp) if candidate.page else self._artifact(candidate, stamp)
        identity = evidence.identity(entry)
        tolerated = self.inspector.ledger(pin.project).tolerated(entry.key, identity)
        evidence = evidence._replace(tolerated=tolerated if self._is_call else tolerated - {"wrong-hash"})
        if isinstance(entry, BuiltWheel) and self._is_call:
            evidence = self._with_build(candidate, entry, evidence)
        sha256 = evidence.digests.get("sha256", "")
        return Finding(candidate, stamp, decide(pin, entry, evidence), identity, sha256, evidence.record)

    def again(self, finding: Finding) -> Finding | None:
        """Examine the entry of *finding* as it is now, and return the new finding; None if the entry is gone or spent.

        Of a built wheel, the ``origin.json`` that is beside it now tells the source, not the candidate. For a page, all pages
        are read again.
        """
        candidate = finding.candidate
        if not (entries.exists(finding.entry.content_path) if finding.stored else http_entries.is_there(finding.entry)):
            return None
        if candidate.page:
            page = page_candidate(self.cache, finding.pin, finding.entry.key)
            return self.examine(page) if page else None
        entry = candidate.entry
        if isinstance(entry, HttpEntry) and not candidate.stored:
            entry = http_entries.renewed(entry)
        return self.examine(candidate._replace(entry=entry, source=None))  # its own origin.json names the source

    def _artifact(self, candidate: Candidate, stamp: FileStamp | None) -> Evidence:
        entry = candidate.entry
        evidence = self._with_bytes(candidate, stamp, Evidence(), _required_proof(candidate))
        if not isinstance(entry, BuiltWheel):
            return evidence
        if candidate.stored and evidence.digests and not store.is_unchanged(entry, evidence.digests["sha256"]):
            evidence = evidence._replace(fault=evidence.fault or "it is not the file that pinstall stored")
        return evidence

    def _with_build(self, candidate: Candidate, wheel: BuiltWheel, evidence: Evidence) -> Evidence:
        """Return *evidence* with `Builds.with_build_facts`, if the wheel is readable and intact.

        A tolerated fault is removed first, and then the wheel counts as intact. Adds ``unreadable`` if an error occurs.
        """
        if evidence.fault and "damaged" in evidence.tolerated:
            evidence = evidence._replace(fault=None)  # its backend makes every wheel with this fault, and pip accepts it
        if evidence.unreadable or evidence.fault:
            return evidence
        try:
            return self.builds.with_build_facts(candidate.pin, wheel, candidate.source, evidence)
        except Exception as error:  # noqa: BLE001 (an error for one entry must not end the call)
            return evidence._replace(unreadable=foreign_data.reason(error))

    def _page(self, candidate: Candidate, stamp: FileStamp | None) -> Evidence:
        page = candidate.page
        assert page is not None  # noqa: S101 (for mypy)
        evidence = Evidence(
            fault=page.fault,
            unreadable=page.unreadable,
            listed=candidate.listed,
            other_hashes=not candidate.listed and self._is_listed_otherwise(candidate.pin),
            fresh=self.cache.uses_unasked(page, candidate.pin.project),
            age=page.response.age(http_entries.now()),
        )
        is_suspect = not page.unreadable and (page.fault or not candidate.listed)
        return self._with_bytes(candidate, stamp, evidence, RequiredProof()) if is_suspect else evidence

    def _is_listed_otherwise(self, pin: Pin) -> bool:
        return bool(pin.hashes) and self.cache.locate(pin._replace(hashes=())).listed

    def _with_bytes(
        self, candidate: Candidate, stamp: FileStamp | None, evidence: Evidence, required: RequiredProof
    ) -> Evidence:
        """Return *evidence* with the *required* digests of the entry, and the fault, name and version that its bytes show.

        A fault in *evidence* stays. If the head or the bytes cannot be read, adds ``unreadable`` instead.
        """
        entry = candidate.entry
        if isinstance(entry, HttpEntry) and entry.unreadable:
            return evidence._replace(unreadable=entry.unreadable)
        if stamp is None:
            return evidence._replace(unreadable="it is not a regular file")
        try:
            known = self.inspector.proof(Reading(candidate.pin.project, entry, stamp, required))
        except Exception as error:  # noqa: BLE001 (an error for one entry must not end the call)
            return evidence._replace(unreadable=foreign_data.reason(error))
        return evidence._replace(
            digests={name: known.digests[name] for name in required.algorithms},
            fault=evidence.fault or known.fault,
            name=known.name,
            version=known.version,
        )


def _is_download(candidate: Candidate) -> bool:
    return candidate.entry.kind in ("download", "metadata") and not candidate.stored


def _required_proof(candidate: Candidate) -> RequiredProof:
    """Return the facts about its bytes that the verdict on an entry needs; of a page in a call, `_page` decides that."""
    pin, entry = candidate.pin, candidate.entry
    if isinstance(entry, BuiltWheel):  # its build record is found by its SHA-256; the pin's hashes are those of the source
        return RequiredProof(checked=True)
    stated = digest.known(entry.expected)
    algorithms = {stated[0].algorithm} if stated else {d.algorithm for d in digest.known(pin.hashes)}
    return RequiredProof(frozenset(algorithms or {"sha256"}), checked=entry.kind == "download" and not stated)
