"""Colours of messages: on a terminal with colours, warnings are yellow and errors red, as pip's are.

All other control characters in a message are escaped. Imports the standard library only.
"""

from __future__ import annotations

import os
import sys

# By the levels of `messages`, whose import needs third-party packages.
_STYLES = {-1: "\033[33m", -2: "\033[31m"}
_END = "\033[0m"
# Variables that Windows terminals with support for these sequences set: Windows Terminal, and ANSICON.
_ON_WINDOWS = ("WT_SESSION", "ANSICON")


def plain(text: str) -> str:
    """Escape control characters in *text*: a terminal obeys them, and the names in a cache were chosen by others."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def painted(level: int, line: str) -> str:
    """Return *line* as written to standard error: escaped by `plain`, and in the colour of its *level*, if it has one."""
    line = plain(line)
    style = _STYLES.get(level)
    return f"{style}{line}{_END}" if style and _are_wanted() else line


def _are_wanted() -> bool:
    if any(os.environ.get(name) for name in ("NO_COLOR", "PIP_NO_COLOR")) or "--no-color" in sys.argv:
        return False
    if sys.platform == "win32" and not any(name in os.environ for name in _ON_WINDOWS):  # pragma: no cover
        return False
    return os.environ.get("TERM", "").lower() not in ("dumb", "unknown") and os.isatty(2)
