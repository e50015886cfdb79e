"""Colours: at a terminal that wants them warnings are yellow and errors red, as pip's are. Nothing else there is obeyed.

Imports the standard library only.
"""

from __future__ import annotations

import os
import sys

# By the levels of `messages`, which takes packages to import.
_STYLES = {-1: "\033[33m", -2: "\033[31m"}
_END = "\033[0m"
# What the terminals of Windows that understand these set: Windows Terminal, and ANSICON.
_ON_WINDOWS = ("WT_SESSION", "ANSICON")


def plain(text: str) -> str:
    """Return *text* without what a terminal would obey: names in a cache are what somebody else wrote."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def painted(level: int, line: str) -> str:
    """Return a *line* as it is to be written to standard error: `plain`, and in the colour of its *level* if that has one."""
    line = plain(line)
    style = _STYLES.get(level)
    return f"{style}{line}{_END}" if style and _are_wanted() else line


def _are_wanted() -> bool:
    if any(os.environ.get(name) for name in ("NO_COLOR", "PIP_NO_COLOR")) or "--no-color" in sys.argv:
        return False
    if sys.platform == "win32" and not any(name in os.environ for name in _ON_WINDOWS):  # pragma: no cover
        return False
    return os.environ.get("TERM", "").lower() not in ("dumb", "unknown") and os.isatty(2)
