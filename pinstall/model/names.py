"""Names of projects, and requirements that are a name and a version, read without packaging, whose imports cost 30 ms."""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[-_.]+")
# name[extras]==version, of a version in its normal form.
_EXACT = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*"
    r"(?:\[\s*[A-Za-z0-9][A-Za-z0-9._-]*(?:\s*,\s*[A-Za-z0-9][A-Za-z0-9._-]*)*\s*\])?\s*"
    r"==\s*([0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?(?:\.post[0-9]+)?(?:\.dev[0-9]+)?(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?)"
)


def normalized(name: str) -> str:
    """Return *name* as all its spellings are compared (name normalization specification, PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def exact(text: str) -> tuple[str, str] | None:
    """Read a requirement of the form ``name[extras]==version``: the normalized name, and the version as it is written.

    None for anything else (dependency specifiers specification): the parser of packaging is to read it.
    """
    found = _EXACT.fullmatch(text)
    return (normalized(found[1]), found[2]) if found else None
