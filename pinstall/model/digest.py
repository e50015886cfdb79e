"""Digests of files: an algorithm of hashlib and a hexadecimal value."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Strongest first; of algorithms that are equally strong, the more common one. pip compares these (``utils/hashes.py``,
# ``models/link.py``); JSON pages may state more. "blake2b_256" is PyPI's name for the digest in files.pythonhosted.org's paths.
STRENGTH = ("sha512", "sha384", "blake2b", "sha256", "blake2b_256", "sha224", "sha1", "md5")


class Digest(NamedTuple):
    """One digest as stated. The value keeps its case, because pip's cache keys contain it unchanged."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex[:12]}..."


def parse(text: str, separator: str = ":") -> Digest | None:
    """Split ``algorithm:hex`` (or with another *separator*); None if separator or value is missing. Checks neither part."""
    algorithm, found, value = text.partition(separator)
    return Digest(algorithm, value) if found and value else None


def known(stated: Iterable[Digest]) -> list[Digest]:
    """Return the *stated* digests that pinstall can compute and that have the right length, strongest first."""
    usable = [d for d in stated if d.algorithm in STRENGTH and len(d.hex) == _length(d.algorithm)]
    return sorted(usable, key=lambda d: STRENGTH.index(d.algorithm))


def new(algorithm: str) -> hashlib._Hash | hashlib.blake2b:
    """Return a new hash object for an *algorithm* of `STRENGTH`."""
    return hashlib.blake2b(digest_size=32) if algorithm == "blake2b_256" else hashlib.new(algorithm)


def mismatch_clause(stated: Iterable[Digest], observed: Mapping[str, str], source: str = "the index or URL") -> str:
    """Return the clause that *source* has *stated* another digest than the *observed* one (algorithm to hex); compare nothing.

    It shows the digests of the strongest algorithm that is observed and that `known` accepts: there must be one.
    """
    expected = next(d for d in known(stated) if d.algorithm in observed)
    found = Digest(expected.algorithm, observed[expected.algorithm])
    return f"its hash is {found}, but {source} states {expected}"


def _length(algorithm: str) -> int:
    return new(algorithm).digest_size * 2


def agree(stated: Iterable[Digest], observed: Mapping[str, str]) -> bool | None:
    """Compare *observed* digests (algorithm to hex in lower case) with the *stated* ones, by the strongest algorithm in both.

    Returns whether a stated digest equals the observed one. One match is enough, because two pages may state different files
    under one URL. None if no algorithm has both an observed digest and a stated one that `known` accepts.
    """
    usable = [d for d in known(stated) if d.algorithm in observed]
    strongest = [d for d in usable if d.algorithm == usable[0].algorithm]
    return any(observed[d.algorithm] == d.hex.lower() for d in strongest) if usable else None


def hashed(text: str) -> str:
    """Return the digest that stands for a *text* in a build record: the first 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
