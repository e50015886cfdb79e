"""Prove the bytes of cache entries: from the ledger if the file has not changed since it was read, otherwise by reading it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pinstall import terminal
from pinstall.inspection import integrity
from pinstall.pip_cache import entries
from pinstall.storage.folder import clock
from pinstall.storage.ledger import Ledger, Proof

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from pinstall.pip_cache.entries import Entry, FileStamp, LocalFile

# Reading a smaller file (in bytes) is not worth a thread.
_LARGE = 8 << 20


class RequiredProof(NamedTuple):
    """The required proof of a file: digests of these algorithms and, if ``checked``, whether its structure is sound."""

    algorithms: frozenset[str] = frozenset({"sha256"})
    checked: bool = False

    def answered_by(self, proof: Proof) -> bool:
        """Return whether *proof* contains everything that is required."""
        return self.algorithms <= proof.digests.keys() and (proof.checked or not self.checked)


class Reading(NamedTuple):
    """A request to read an entry of a project: the current stamp of its file, and the required proof."""

    project: str
    entry: Entry | LocalFile
    stamp: FileStamp
    required: RequiredProof


class Inspector:
    """Inspect entries in the cache folder *root*, and remember the proofs in the ``ledgers`` of their projects.

    It does not save the ledgers: `ledger.write_all` does.
    """

    def __init__(self, root: str, *, trust_ledger: bool, quiet: bool) -> None:
        """Without *trust_ledger*, read every file again; show no progress if *quiet*."""
        self._root, self._trusts, self._quiet = root, trust_ledger, quiet
        self.ledgers: dict[str, Ledger] = {}
        self._begun: dict[Reading, Future[Proof]] = {}

    def ledger(self, project: str) -> Ledger:
        """Return the ledger of *project*, and read it when that is asked for the first time."""
        if project not in self.ledgers:
            self.ledgers[project] = Ledger(self._root, project)
        return self.ledgers[project]

    def begin(self, readings: Iterable[Reading]) -> None:
        """Start reading the large files (from 8 MiB) among *readings* on all cores, and return at once.

        Does nothing if there is only one large file. Files whose required proof the ledger has are not read. A later call of
        `proof` with one of *readings* waits for its result.
        """
        large = [reading for reading in readings if reading.stamp.size >= _LARGE]
        if len(large) < 2:
            return
        from concurrent.futures import ThreadPoolExecutor

        # Its threads need not end before pinstall does: that leaves by os._exit.
        pool = ThreadPoolExecutor(os.cpu_count())
        self._begun = {reading: pool.submit(self._read, reading) for reading in large if not self._remembered(reading)}

    def proof(self, reading: Reading) -> Proof:
        """Return the required proof of a file, from the ledger or by reading the file, and remember it in the ledger.

        If the file has to be read, raises `OSError` if that fails, or if the file then has another stamp than that of
        *reading*.
        """
        known = self._remembered(reading)
        if known is None:
            known = self._begun.pop(reading).result() if reading in self._begun else self._read(reading)
            self.ledger(reading.project).remember(reading.entry.key, known)
        return known

    def _remembered(self, reading: Reading) -> Proof | None:
        """Return the required proof if the ledger has it and is trusted, else None."""
        known = self.ledger(reading.project).proof(reading.entry.key, reading.stamp) if self._trusts else None
        return known if known is not None and reading.required.answered_by(known) else None

    def _read(self, reading: Reading) -> Proof:
        """Prove a file by reading it, and show the progress unless quiet. Raises as `proof`."""
        _, entry, stamp, required = reading
        size = 0 if self._quiet else stamp.size * (2 if required.checked else 1)
        with entries.open_content(entry) as whole, terminal.shown(whole, size, entry.filename) as file:
            proof = Proof(stamp, clock(), integrity.digests(file, required.algorithms))
            if required.checked:
                file.seek(0)
                content = integrity.archive(file, entry.filename)
                proof = proof._replace(checked=True, fault=content.fault, name=content.name, version=content.version)
        if entries.stamp(entry.content_path) != stamp:
            raise OSError(0, "it changed while pinstall read it")
        return proof
