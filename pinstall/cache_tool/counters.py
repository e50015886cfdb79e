"""Word the counters of a cache: ``pinstall-cache stats``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pinstall.cache_tool.display import size
from pinstall.cache_tool.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pinstall.storage.statistics import Totals

_REASONS = {"removed": "Removed", "set aside": "Set aside", "rebuilt": "Builds not used"}  # their titles


def since(totals: Totals) -> str:
    """Return the line that states since when the counters count, in UTC, or if ``totals.since`` is 0, that they are empty."""
    if not totals.since:
        return "Nothing has been counted yet."
    return f"Counted since {datetime.fromtimestamp(totals.since, UTC):%Y-%m-%d %H:%M} UTC"


def table(counts: Mapping[str, int]) -> Table:
    """Return the table of the counters (`statistics.totals`), with bars for all rows but those of calls and of bytes."""
    rows = list(_rows(counts))
    lengths = [0.0 if name in ("Calls", "  that failed", "Bytes spared") else float(number) for name, number in rows]
    shown = [(name, size(number) if name == "Bytes spared" else str(number)) for name, number in rows]
    return Table(("", ""), shown, (1,), lengths)


def _rows(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    def number(name: str) -> int:
        return counts.get(name, 0)

    yield "Calls", number("calls")
    yield "  that failed", number("failed")
    yield "Hits", number("download hits") + number("built hits")
    yield "  downloads", number("download hits")
    yield "  built wheels (builds spared)", number("built hits")
    yield "Misses", number("missed")
    yield "Bytes spared", number("bytes")
    yield "Built by pip", number("built")
    yield "Restored from the store", number("restored")
    yield "Healed by a second run", number("healed")
    for act, title in _REASONS.items():
        reasons = {name.removeprefix(f"{act} "): count for name, count in sorted(counts.items()) if name.startswith(f"{act} ")}
        yield title, sum(reasons.values())
        yield from ((f"  {reason}", count) for reason, count in reasons.items())
