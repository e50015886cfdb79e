"""Project names, and the parts of a requirement's text that need no packaging, whose imports take 30 ms.

`model.requirement` parses the whole text.
"""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[-_.]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
URL = re.compile(r"(https?|file|ftp|(git|hg|svn|bzr)(\+\w+)?):", re.IGNORECASE)
# name[extras] @ URL, or as pip takes it, a path.
_REFERENCE = re.compile(r"\s*[A-Za-z0-9][\w.-]*\s*(?:\[([^\]]*)\])?\s*@\s*(.*)")
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

    None for any other form, such as one with a marker or the version ``1.0-beta``: packaging has to parse that.
    """
    found = _EXACT.fullmatch(text)
    return (normalized(found[1]), found[2]) if found else None


def split_marker(text: str) -> tuple[str, str]:
    """Split a requirement from its marker as pip does (``req/constructors.py``); the marker is "" without one."""
    requirement, _, marker = text.partition("; " if URL.match(text) else ";")
    return requirement.strip(), marker.strip()


def project_named(text: str) -> str:
    """Return the normalized name with which *text* begins; "" without one. That of ``https://...`` is ``https``: no project."""
    found = _NAME.match(text)
    return normalized(found[0]) if found else ""


def reference(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the URL or path of a requirement ``name[extras] @ URL``, and its extras as written; None for another form.

    *text* has no marker: `split_marker` removes it.
    """
    found = _REFERENCE.fullmatch(text)
    return (found[2].strip(), tuple(filter(None, (found[1] or "").split(",")))) if found else None
