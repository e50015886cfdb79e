"""Make tables: by rich on a terminal, if it is installed (``pip-pinstall[rich]``), and as plain text elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from pinstall.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_BAR = 24  # characters


class Table(NamedTuple):
    """The ``headings`` and ``rows`` of a table, all of one length, and the indices of the columns aligned to the ``right``.

    Headings that are all "" are not shown. ``lengths`` has a number, 0 or more, for each row: rich shows it as a bar in a
    further column, the largest one full; plain text leaves it out. Empty for a table without bars.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[int] = ()
    lengths: Sequence[float] = ()


def is_rich() -> bool:
    """Return whether standard output is a terminal on which rich can draw, and rich is installed."""
    if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("TERM", "").lower() in ("dumb", "unknown", ""):
        return False
    from importlib.util import find_spec

    return find_spec("rich") is not None


def text(table: Table) -> str:
    """Return a table as text that ends with a line break, drawn by rich if `is_rich`. Control characters are escaped."""
    return drawn(table, None) if is_rich() else "".join(f"{line}\n" for line in lines(table))


def lines(table: Table) -> Iterator[str]:
    """Yield the lines of a table as plain text, headings first, if there are any."""
    rows = [[plain(cell) for cell in row] for row in ([table.headings] if any(table.headings) else [])]
    rows += [[plain(cell) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [c.rjust(w) if i in table.right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()


def drawn(table: Table, width: int | None) -> str:
    """Return a table as rich draws it, *width* characters wide (None: as wide as the terminal)."""
    from io import StringIO

    from rich import box
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    made = Drawn(box=box.SIMPLE_HEAD, show_header=any(table.headings), pad_edge=False)
    for index, heading in enumerate(table.headings):
        made.add_column(Text(plain(heading)), justify="right" if index in table.right else "left", overflow="fold")
    if table.lengths:
        made.add_column("", width=_BAR)
    largest = max(table.lengths, default=0) or 1
    for index, row in enumerate(table.rows):
        cells: list[Text | Bar] = [Text(plain(cell)) for cell in row]  # a Text, because names may look like rich's markup
        if table.lengths:
            cells.append(Bar(largest, 0, table.lengths[index], width=_BAR, color="cyan"))
        made.add_row(*cells)
    console = Console(file=StringIO(), force_terminal=True, width=width or Console().width, legacy_windows=False)
    console.print(made)
    found: str = console.file.getvalue()  # type: ignore[attr-defined]
    return found
