"""Project names, and requirements of a name and a version. Parsed without packaging, whose imports take 30 ms."""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[-_.]+")
# name[extras]==version, with the version in its normalized form.
_EXACT = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*"
    r"(?:\[\s*[A-Za-z0-9][A-Za-z0-9._-]*(?:\s*,\s*[A-Za-z0-9][A-Za-z0-9._-]*)*\s*\])?\s*"
    r"==\s*([0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?(?:\.post[0-9]+)?(?:\.dev[0-9]+)?(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?)"
)


def normalized(name: str) -> str:
    """Normalize *name*, so that all its spellings are equal (name normalization specification, PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def exact(text: str) -> tuple[str, str] | None:
    """Parse a requirement of the form ``name[extras]==version``; return the normalized name, and the version as written.

    None for any other form of the dependency specifiers specification, which packaging has to parse.
    """
    found = _EXACT.fullmatch(text)
    return (normalized(found[1]), found[2]) if found else None
