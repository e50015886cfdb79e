"""Advice on repairing pinstall's own packages if they are broken or too old. Imports the standard library only."""

from __future__ import annotations

import re
import shlex
import sys
from importlib import metadata

_DISTRIBUTION = "pip-pinstall"
_BOUNDED = re.compile(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9.]+)\s*$")


def command(error: Exception) -> str:
    """Return a command that repairs the packages that caused *error*; empty if pinstall's packages look sound."""
    try:
        needed = [text for text in metadata.requires(_DISTRIBUTION) or () if ";" not in text]
    except metadata.PackageNotFoundError:
        return ""
    wrong = [text for text in needed if not _is_installed(text)]
    if not wrong and isinstance(error, ImportError):
        wrong = needed  # all versions are right, but a file of some package is missing
    words = [sys.executable, "-m", "pip", "install", "--force-reinstall", "--no-cache-dir", *wrong]
    return shlex.join(words) if wrong else ""


def _is_installed(requirement: str) -> bool:
    """Return whether ``name>=version`` is installed. Does not use packaging, which may be the broken package."""
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
