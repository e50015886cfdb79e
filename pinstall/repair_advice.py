"""What to do where pinstall's own packages are not those that it needs. Imports the standard library only."""

from __future__ import annotations

import re
import shlex
import sys
from importlib import metadata

_DISTRIBUTION = "pip-pinstall"
_BOUNDED = re.compile(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9.]+)\s*$")


def command(error: Exception) -> str:
    """Return the command that mends what *error* came from; "" if our packages are not to blame, as far as can be told."""
    try:
        needed = [text for text in metadata.requires(_DISTRIBUTION) or () if ";" not in text]
    except metadata.PackageNotFoundError:
        return ""
    wrong = [text for text in needed if not _is_there(text)]
    if not wrong and isinstance(error, ImportError):
        wrong = needed  # the versions are right, and something is missing all the same
    words = [sys.executable, "-m", "pip", "install", "--force-reinstall", "--no-cache-dir", *wrong]
    return shlex.join(words) if wrong else ""


def _is_there(requirement: str) -> bool:
    """Say whether ``name>=version`` is installed, without the library that knows better: it may be the one that is broken."""
    bounded = _BOUNDED.match(requirement)
    if bounded is None:
        return True
    try:
        version = metadata.version(bounded[1])
    except metadata.PackageNotFoundError:
        return False
    return _numbers(version) >= _numbers(bounded[2])


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d{1,9}", version)]
