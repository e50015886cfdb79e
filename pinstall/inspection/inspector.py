"""Prove: what an entry's bytes are, from the ledger if its file is the one that was read before, else by reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall import progress
from pinstall.inspection import integrity
from pinstall.pip_cache import http_entries
from pinstall.storage.ledger import Ledger, Proof
from pinstall.storage.lock import clock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from pinstall.pip_cache.http_entries import Entry, FileStamp

# What takes less than a file of so many bytes is not worth a thread.
_LARGE = 8 << 20


class Wanted(NamedTuple):
    """What has to be known of a file: its digests, and whether its structure is sound."""

    algorithms: frozenset[str] = frozenset({"sha256"})
    checked: bool = False

    def answered_by(self, proof: Proof) -> bool:
        """Say whether *proof* tells all of it."""
        return self.algorithms <= proof.digests.keys() and (proof.checked or not self.checked)


class Reading(NamedTuple):
    """An entry of a project, whose file has this stamp now, and what has to be known of it."""

    project: str
    entry: Entry
    stamp: FileStamp
    wanted: Wanted


class Prover:
    """Proves entries in the cache folder *root*, and remembers the proofs in the ``ledgers`` of their projects."""

    def __init__(self, root: str, *, anew: bool, quiet: bool) -> None:
        """Ask no ledger what it remembers if *anew*; show no progress if *quiet*."""
        self._root, self._anew, self._quiet = root, anew, quiet
        self.ledgers: dict[str, Ledger] = {}
        self._begun: dict[Reading, Future[Proof]] = {}

    def ledger(self, project: str) -> Ledger:
        """Return the ledger of *project*."""
        if project not in self.ledgers:
            self.ledgers[project] = Ledger(self._root, project)
        return self.ledgers[project]

    def begin(self, readings: Iterable[Reading]) -> None:
        """Begin with the large files among those that `proof` will be asked for, if there are several, on all cores."""
        large = [reading for reading in readings if reading.stamp.size >= _LARGE]
        if len(large) < 2:
            return
        from pinstall.ahead import begun

        self._begun = begun(self._read, [reading for reading in large if not self._remembered(reading)])

    def proof(self, reading: Reading) -> Proof:
        """Return what is known of a file's bytes, all that is wanted. Raises `OSError`."""
        known = self._remembered(reading)
        if known is None:
            known = self._begun.pop(reading).result() if reading in self._begun else self._read(reading)
            self.ledger(reading.project).remember(reading.entry.key, known)
        return known

    def _remembered(self, reading: Reading) -> Proof | None:
        known = None if self._anew else self.ledger(reading.project).proof(reading.entry.key, reading.stamp)
        return known if known is not None and reading.wanted.answered_by(known) else None

    def _read(self, reading: Reading) -> Proof:
        _, entry, stamp, wanted = reading
        size = 0 if self._quiet else stamp.size * (2 if wanted.checked else 1)
        with http_entries.open_content(entry) as whole, progress.shown(whole, size, entry.filename) as file:
            proof = Proof(stamp, clock(), integrity.digests(file, wanted.algorithms))
            if wanted.checked:
                file.seek(0)
                content = integrity.archive(file, entry.filename)
                proof = proof._replace(checked=True, fault=content.fault, name=content.name, version=content.version)
        if http_entries.stamp(entry.content) != stamp:
            raise OSError(0, "it changed while pinstall read it")
        return proof
