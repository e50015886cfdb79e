"""Read the tables of docs/messages.md, to which `tests.lab` holds each line that a test sees."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_DOCUMENT = Path(__file__).parent.parent / "docs" / "messages.md"
_ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
_RAISED = re.compile(r"could not be checked \((?!OnPurpose\))\w+\)")
OURS, TOOLS, REASONS = "Messages", "pinstall-cache", "Reasons"


@cache
def first_cells(heading: str) -> tuple[str, ...]:
    """Return the first cell of each row of the tables under a *heading*, if it is in backquotes, without them."""
    _, _, rest = _DOCUMENT.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    return tuple(_ROW.findall(rest.partition("\n## ")[0]))


@cache
def _pattern(heading: str) -> re.Pattern[str]:
    templates = (".*".join(map(re.escape, template.split("..."))) for template in first_cells(heading))
    return re.compile("|".join(templates))


def hold(line: str, heading: str) -> None:
    """Fail if *line* fits no template under a *heading* of the document.

    Fail also if *line* says that a file could not be checked because of an exception, which may be a bug of ours. A test in
    which a library raises on purpose raises `OnPurpose`, which passes.
    """
    assert not _RAISED.search(line), f"one entry is spared the call, but why: {line}"
    assert _pattern(heading).fullmatch(line), f"docs/messages.md, {heading}, has nothing like it: {line}"
