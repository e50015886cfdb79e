"""Digests of files: an algorithm of hashlib and the hexadecimal value."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Strongest first; of equals, the one that people meet. pip compares these (``utils/hashes.py``, ``models/link.py``); JSON pages
# may state more. "blake2b_256" is PyPI's name for what the paths of files.pythonhosted.org are made of.
STRENGTH = ("sha512", "sha384", "blake2b", "sha256", "blake2b_256", "sha224", "sha1", "md5")


class Digest(NamedTuple):
    """One digest as it was stated; pip's keys keep the case of the stated value."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex[:12]}..."


def parse(text: str, separator: str = ":") -> Digest | None:
    """Read ``algorithm:hex`` (or with another *separator*); None if it is not of that form."""
    algorithm, found, value = text.partition(separator)
    return Digest(algorithm, value) if found and value else None


def known(stated: Iterable[Digest]) -> list[Digest]:
    """Return those of *stated* that can be computed and are of the right length, strongest first."""
    usable = [d for d in stated if d.algorithm in STRENGTH and len(d.hex) == _length(d.algorithm)]
    return sorted(usable, key=lambda d: STRENGTH.index(d.algorithm))


def new(algorithm: str) -> hashlib._Hash | hashlib.blake2b:
    """Return a hash object for one of `STRENGTH`."""
    return hashlib.blake2b(digest_size=32) if algorithm == "blake2b_256" else hashlib.new(algorithm)


def mismatch(stated: Iterable[Digest], observed: Mapping[str, str], source: str = "the index or URL") -> str:
    """Return the sentence that *observed* digests (algorithm to hex) contradict those that a *source* has *stated*."""
    expected = next(d for d in known(stated) if d.algorithm in observed)
    found = Digest(expected.algorithm, observed[expected.algorithm])
    return f"its hash is {found}, but {source} states {expected}"


def _length(algorithm: str) -> int:
    return new(algorithm).digest_size * 2


def agree(stated: Iterable[Digest], observed: Mapping[str, str]) -> bool | None:
    """Hold *observed* digests (algorithm to hex) to the *stated* ones, by the strongest algorithm that both have.

    Returns whether one of the stated ones is the observed one (two pages may state different files under one URL), or None
    if there is nothing to compare.
    """
    usable = [d for d in known(stated) if d.algorithm in observed]
    strongest = [d for d in usable if d.algorithm == usable[0].algorithm]
    return any(observed[d.algorithm] == d.hex.lower() for d in strongest) if usable else None
