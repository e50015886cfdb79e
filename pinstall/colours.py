"""Colours: at a terminal that wants them warnings are yellow and errors red, as pip's are. The standard library only."""

from __future__ import annotations

import os
import sys

# By the levels of `messages`, which takes packages to import.
_STYLES = {-1: "\033[33m", -2: "\033[31m"}
_END = "\033[0m"
# What the terminals of Windows that understand these set: Windows Terminal, and ANSICON.
_ON_WINDOWS = ("WT_SESSION", "ANSICON")


def painted(level: int, line: str) -> str:
    """Return *line* as it is to be written to standard error: in the colour of its *level*, if it has one and may have it."""
    style = _STYLES.get(level)
    return f"{style}{line}{_END}" if style and _are_wanted() else line


def _are_wanted() -> bool:
    if any(os.environ.get(name) for name in ("NO_COLOR", "PIP_NO_COLOR")) or "--no-color" in sys.argv:
        return False
    if sys.platform == "win32" and not any(name in os.environ for name in _ON_WINDOWS):  # pragma: no cover
        return False
    return os.environ.get("TERM", "").lower() not in ("dumb", "unknown") and os.isatty(2)
