"""Advice on repairing pinstall's own packages if they are broken or too old. Imports the standard library only."""

from __future__ import annotations

import os
import re
import shlex
import sys
from importlib import metadata

_DISTRIBUTION = "pip-pinstall"
_BOUNDED = re.compile(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9.]+)\s*$")


def command(error: Exception) -> str:
    """Return a command that installs again those packages that pinstall needs and that are missing or too old.

    Without any, all are installed again if *error* is an `ImportError`, else the result is "". It is also "" if pinstall's own
    metadata is missing.
    """
    try:
        needed = [found for text in metadata.requires(_DISTRIBUTION) or () if (found := _needed(text))]
    except metadata.PackageNotFoundError:
        return ""
    wrong = [text for text in needed if not _is_installed(text)]
    if not wrong and isinstance(error, ImportError):
        wrong = needed  # all versions are right, but a file of some package is missing
    argv = [sys.executable, "-m", "pip", "install", "--force-reinstall", "--no-cache-dir", *wrong]
    return quoted(argv) if wrong else ""


def _needed(requirement: str) -> str:
    """Return a requirement without its marker; "" if the marker is any other than ``sys_platform ==`` this system.

    packaging may be the broken package.
    """
    text, _, marker = requirement.partition(";")
    return text.strip() if not marker or f"sys_platform == {sys.platform!r}" in marker.replace('"', "'") else ""


def quoted(argv: list[str]) -> str:
    """Return *argv* as one types it into the shell of this system."""
    if os.name == "nt":
        from subprocess import list2cmdline

        return list2cmdline(argv)
    return shlex.join(argv)


def _is_installed(requirement: str) -> bool:
    """Return whether ``name>=version`` is installed; True for another form. packaging may be the broken package."""
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
