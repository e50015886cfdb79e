"""The ledger: what has been proven already, a small file a project. Only a memory: without it everything is proven again."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall.pip_cache.http_entries import FileStamp, stamp
from pinstall.storage.lock import FOLDER, made_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FORMAT = 1
# All that is not whole yet lies in one folder, where it is found if its writer is killed (`apply.sweep`).
UNFINISHED = "unfinished"
_LARGEST = 16 << 20  # characters: some fifty thousand proofs
# A file may change again within one tick of its file system's clock; the coarsest (FAT) ticks every 2 s.
_TICK = 2_000_000_000


class Proof(NamedTuple):
    """What was read of a file while it had this stamp: digests by algorithm, and `integrity.Content` if it was *checked*."""

    stamp: FileStamp
    at: int
    digests: dict[str, str]
    checked: bool = False
    fault: str | None = None
    name: str = ""
    version: str = ""

    def holds(self, stamp: FileStamp) -> bool:
        """Say whether the file with this *stamp* is the one that was read, and old enough to tell."""
        return stamp == self.stamp and max(stamp.modified, stamp.changed) + _TICK < self.at


class Ledger:
    """The ledger of one project in one cache."""

    def __init__(self, cache: str, project: str) -> None:
        self.path = os.path.join(cache, FOLDER, "ledger", f"{project}.json")
        self.cache = cache
        self._proofs, self._given = _load(self.path)
        self._new: dict[str, Proof] = {}
        self._new_given: dict[str, dict[str, str]] = {}

    def proof(self, key: str, stamp: FileStamp) -> Proof | None:
        """Return what is remembered of the entry *key* if it is still the file with this *stamp*."""
        for known in (self._new.get(key), self._proofs.get(key)):
            if known is not None and known.holds(stamp):
                return known
        return None

    def remember(self, key: str, proof: Proof) -> None:
        """Note a proof; it is written by `write`."""
        self._new[key] = proof

    def given(self, key: str, identity: str) -> frozenset[str]:
        """Return the reasons for which the entry *key* went before and came back with this *identity*."""
        given = {**self._given.get(key, {}), **self._new_given.get(key, {})}
        return frozenset(reason for reason, known in given.items() if known == identity)

    def came_back(self, key: str, reason: str, identity: str | None) -> None:
        """Note that *key*, which went for *reason*, is back as *identity* and no better; None: it is not back, or mended."""
        self._new_given.setdefault(key, {})[reason] = identity or ""

    @property
    def changed(self) -> bool:
        """Whether there is something to write."""
        return bool(self._new or self._new_given)

    def write(self) -> None:
        """Join what is new with what is on disk now; under the lock. Raises `OSError`."""
        proofs, given = _load(self.path)
        proofs |= self._new
        for key, reasons in self._new_given.items():
            given[key] = {r: i for r, i in {**given.get(key, {}), **reasons}.items() if i}
        text = json.dumps({"format": _FORMAT, "proofs": proofs, "given": {k: v for k, v in given.items() if v}})
        made_folder(self.cache, "ledger")
        write_file(self.cache, self.path, text)
        self._new, self._new_given = {}, {}


def write_file(cache: str, path: str, text: str) -> None:
    """Write a small file below *cache*, whole or not at all. Raises `OSError`."""
    with placed(cache, path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def placed(cache: str, place: str) -> Iterator[str]:
    """Yield the path of a file to be written, which then takes its *place*; nothing is left of it if that fails."""
    temporary = os.path.join(made_folder(cache, UNFINISHED), os.urandom(8).hex())
    try:
        yield temporary
        share(temporary)
        os.replace(temporary, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def share(path: str) -> None:
    """Give a file (no link) the mode of its folder, but for execution, whatever the umask is: it may be a group's."""
    if stamp(path) is not None:
        with suppress(OSError):
            os.chmod(path, os.stat(os.path.dirname(path)).st_mode & 0o666)


def write_all(ledgers: Iterable[Ledger]) -> None:
    """Write those that changed; under the lock."""
    for ledger in ledgers:
        if ledger.changed:
            ledger.write()


def _load(path: str) -> tuple[dict[str, Proof], dict[str, dict[str, str]]]:
    """Read a ledger; one that is damaged, or of another format, counts as empty."""
    if stamp(path) is None:
        return {}, {}
    try:
        with open(path, encoding="utf-8") as file:
            document = json.loads(file.read(_LARGEST))
        if document["format"] != _FORMAT:
            return {}, {}
        proofs = {key: _proof(value) for key, value in document["proofs"].items()}
        given = {key: {r: i for r, i in reasons.items() if isinstance(i, str)} for key, reasons in document["given"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, {}
    return proofs, given


def _proof(value: Any) -> Proof:
    stamp, at, digests, checked, fault, name, version = value
    if not all(isinstance(number, int) for number in (*stamp, at)) or not isinstance(name, str) or not isinstance(version, str):
        raise ValueError("no proof")
    if not all(isinstance(text, str) for pair in digests.items() for text in pair) or not isinstance(fault, str | None):
        raise ValueError("no proof")
    return Proof(FileStamp(*stamp), at, digests, bool(checked), fault, name, version)
