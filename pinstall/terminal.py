"""Output to a terminal: the colours of messages, and bars for work that takes longer than a second.

Warnings are yellow and errors red, as pip's are; control characters in the text of a message are escaped. Imports the standard
library only, until there is a bar.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tqdm import tqdm

# By the levels of `messages`, which calls that need nothing of pinstall do not import.
_STYLES = {-1: "\033[33m", -2: "\033[31m"}
_END = "\033[0m"
# Variables that Windows terminals with support for these sequences set: Windows Terminal, and ANSICON.
_ON_WINDOWS = ("WT_SESSION", "ANSICON")

# Any disk that people install from reads a smaller file within a second.
_LARGE_FILE = 64 << 20
_PATIENCE = 1.0


def plain(text: str) -> str:
    """Return *text* with escapes in place of all characters that cannot be printed, also of line breaks.

    A terminal obeys control characters, and the names in a cache were chosen by others.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def painted(level: int, line: str) -> str:
    """Return *line* escaped by `plain`; in the colour of its *level* if that has one and standard error shows colours."""
    line = plain(line)
    style = _STYLES.get(level)
    return f"{style}{line}{_END}" if style and _are_wanted() else line


def _are_wanted() -> bool:
    if any(os.environ.get(name) for name in ("NO_COLOR", "PIP_NO_COLOR")) or "--no-color" in sys.argv:
        return False
    if sys.platform == "win32" and not any(name in os.environ for name in _ON_WINDOWS):  # pragma: no cover
        return False
    return os.environ.get("TERM", "").lower() not in ("dumb", "unknown") and os.isatty(2)


def shown(file: BinaryIO, size: int, name: str) -> AbstractContextManager[BinaryIO]:
    """Wrap *file*, of *size* bytes, so that reading it shows a bar with its *name*: after a second, and only on a terminal.

    Returns *file* itself if *size* is less than 64 MiB: 0 prevents the bar.
    """
    if size < _LARGE_FILE:
        return file
    from tqdm import tqdm

    # disable=None: no bar if standard error is not a terminal.
    wrapped = tqdm.wrapattr(
        file,
        "read",
        total=size,
        desc=f"pinstall: checking {name}",
        delay=_PATIENCE,
        disable=None,
        leave=False,
        unit_divisor=1024,
    )
    return cast("AbstractContextManager[BinaryIO]", wrapped)


def bar(size: int) -> AbstractContextManager[tqdm[NoReturn]]:
    """Return the progress bar of ``pinstall-cache`` for *size* bytes to verify, visible after a second on a terminal.

    Its `update` advances it by a number of bytes.
    """
    from tqdm import tqdm

    desc = "pinstall-cache: checking"
    return tqdm(total=size, desc=desc, unit="B", unit_scale=True, unit_divisor=1024, delay=_PATIENCE, disable=None, leave=False)
