"""The ledger: one JSON file per project that remembers earlier checks of cache entries, and deletions that are in vain.

Without it, pinstall checks every entry again, and deletes once more those that always come back with the same fault.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall.pip_cache.entries import FileStamp, stamp
from pinstall.storage.files import write_file
from pinstall.storage.folder import FOLDER, ensure_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORMAT = 1
_LARGEST = 16 << 20  # characters: about fifty thousand proofs
# A file may change again within one tick of its file system's clock; the coarsest (FAT) ticks every 2 s.
_TICK = 2_000_000_000


class Proof(NamedTuple):
    """The result of a check of a file that had this ``stamp``; it began at the time ``at`` (nanoseconds since the epoch).

    ``digests`` are by algorithm. The other fields are those of `integrity.ArchiveCheck`; they count only if ``checked``.
    """

    stamp: FileStamp
    at: int
    digests: dict[str, str]
    checked: bool = False
    fault: str | None = None
    name: str = ""
    version: str = ""

    def holds(self, stamp: FileStamp) -> bool:
        """Return whether the proof is of a file with this *stamp*, and began more than two seconds after its last change."""
        return stamp == self.stamp and max(stamp.modified, stamp.changed) + _TICK < self.at


# On Windows these are devices in each folder, with any ending.
_DEVICES = frozenset(("con", "prn", "aux", "nul", *(f"{kind}{number}" for kind in ("com", "lpt") for number in range(10))))


def _safe(project: str) -> str:
    """Return the name of a ledger's file without its ending: *project*, with an underscore if Windows has such a device."""
    return f"{project}_" if project in _DEVICES else project


class Ledger:
    """The ledger of one *project* in one *cache* folder: the file as it was when this object was made, and unsaved changes.

    It no longer answers from changes that `write` has saved: only a new object does.
    """

    def __init__(self, cache: str, project: str) -> None:
        self.path = os.path.join(cache, FOLDER, "ledger", f"{_safe(project)}.json")
        self.cache = cache
        self._proofs, self._tolerated = _load(self.path)
        self._new: dict[str, Proof] = {}
        self._new_tolerated: dict[str, dict[str, str]] = {}

    def proof(self, key: str, stamp: FileStamp) -> Proof | None:
        """Return the proof of the entry *key* if it is valid for a file with this *stamp*, else None."""
        for known in (self._new.get(key), self._proofs.get(key)):
            if known is not None and known.holds(stamp):
                return known
        return None

    def remember(self, key: str, proof: Proof) -> None:
        """Remember a *proof* of the entry *key*; `write` saves it."""
        self._new[key] = proof

    def tolerated(self, key: str, identity: str) -> frozenset[str]:
        """Return the reasons (codes of `Delete`) for which the entry *key* must not be deleted (see `tolerate`).

        *identity* is that of its present content, by `Evidence.identity`: for a built wheel with a fault, the fault. A reason
        that was noted with another identity is left out.
        """
        tolerated = {**self._tolerated.get(key, {}), **self._new_tolerated.get(key, {})}
        return frozenset(reason for reason, known in tolerated.items() if known == identity)

    def tolerate(self, key: str, reason: str, identity: str) -> None:
        """Note that the entry *key* must not be deleted for *reason* while its content has this *identity*; `write` saves it.

        The index serves it so, or its backend makes it so. Replaces an earlier identity for this reason.
        """
        self._new_tolerated.setdefault(key, {})[reason] = identity

    def stop_tolerating(self, key: str, reason: str) -> None:
        """Forget what `tolerate` noted of the entry *key* and *reason*; `write` saves that.

        The entry has other content now, or has ceased to be bad.
        """
        self._new_tolerated.setdefault(key, {})[reason] = ""

    @property
    def has_changes(self) -> bool:
        """Whether the ledger has unsaved changes."""
        return bool(self._new or self._new_tolerated)

    def write(self) -> None:
        """Merge the changes into the file on disk, which counts as empty if it cannot be read; the caller holds the lock.

        Raises `OSError` if it cannot be written.
        """
        proofs, tolerated = _load(self.path)
        proofs |= self._new
        for key, reasons in self._new_tolerated.items():
            tolerated[key] = {r: i for r, i in {**tolerated.get(key, {}), **reasons}.items() if i}
        text = json.dumps({"format": _FORMAT, "proofs": proofs, "given": {k: v for k, v in tolerated.items() if v}})
        ensure_folder(self.cache, "ledger")
        write_file(self.cache, self.path, text)
        self._new, self._new_tolerated = {}, {}


def write_all(ledgers: Iterable[Ledger]) -> None:
    """Write the *ledgers* that have changes; the caller holds the lock. Raises `OSError`."""
    for ledger in ledgers:
        if ledger.has_changes:
            ledger.write()


def _load(path: str) -> tuple[dict[str, Proof], dict[str, dict[str, str]]]:
    """Return the contents of a ledger file: the proof of each entry, and the identity for each tolerated reason of each entry.

    Both are empty if the file is missing, damaged or of another format.
    """
    if stamp(path) is None:
        return {}, {}
    try:
        with open(path, encoding="utf-8") as file:
            document = json.loads(file.read(_LARGEST))
        if document["format"] != _FORMAT:
            return {}, {}
        proofs = {key: _proof(value) for key, value in document["proofs"].items()}
        tolerated = {
            key: {r: i for r, i in reasons.items() if isinstance(i, str)} for key, reasons in document["given"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, {}
    return proofs, tolerated


def _proof(value: Any) -> Proof:
    stamp, at, digests, checked, fault, name, version = value
    if not all(isinstance(number, int) for number in (*stamp, at)) or not isinstance(name, str) or not isinstance(version, str):
        raise ValueError("not a proof")
    if not all(isinstance(text, str) for pair in digests.items() for text in pair) or not isinstance(fault, str | None):
        raise ValueError("not a proof")
    return Proof(FileStamp(*stamp), at, digests, bool(checked), fault, name, version)
