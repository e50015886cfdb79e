"""Format the inventory as a table, as paths, or as JSON (docs/cache.md has the schema).

The output contains no URLs, which may have passwords, and no control characters.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pinstall.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pinstall.cache_tool.inventory import Item

_FORMAT = 1
_HEADINGS = ("project", "version", "kind", "size", "age", "origin", "")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_RIGHT = (3, 4)


def size(count: float) -> str:
    """Format a number of bytes as pip does (``utils/misc.format_size``)."""
    if count > 1_000_000:
        return f"{count / 1_000_000:.1f} MB"
    if count > 10_000:
        return f"{int(count / 1000)} kB"
    return f"{count / 1000:.1f} kB" if count > 1000 else f"{int(count)} bytes"


def age(seconds: float) -> str:
    """Format an age in its largest fitting unit: days, hours, minutes or seconds."""
    return next((f"{int(seconds / unit)} {name}" for unit, name in _UNITS if seconds >= unit), f"{int(seconds)} s")


def table(items: Sequence[Item]) -> Iterator[str]:
    """Yield the lines of a table of *items*, headings first."""
    rows = [_HEADINGS, *map(_row, items)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(w) if i in _RIGHT else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()


def name(item: Item) -> str:
    """Return the file name of an item, or a description such as "index page of demo"."""
    return plain(item.entry.filename)


def _row(item: Item) -> tuple[str, ...]:
    where = "in pinstall's store" if item.stored else ""
    kind = {"built": "built wheel"}.get(item.entry.kind, item.entry.kind)
    columns = (item.project or "?", item.version, kind, size(item.size), age(item.age), item.origin or "?", where)
    return tuple(map(plain, columns))


def paths(items: Iterable[Item]) -> list[str]:
    """Return the sorted paths of the items' content files (bodies and wheels)."""
    return sorted(plain(item.entry.content) for item in items)


def document(root: str, items: Iterable[Item]) -> str:
    """Return the items of the cache at *root* as JSON."""
    return json.dumps({"format": _FORMAT, "cache": root, "entries": [_json(item) for item in items]}, indent=2)


def _json(item: Item) -> dict[str, Any]:
    return {
        "kind": item.entry.kind,
        "project": item.project or None,
        "version": item.version or None,
        "filename": item.entry.filename,
        "origin": item.origin or None,
        "size": item.size,
        "stored": _time(item.modified),
        "used": _time(item.used),
        "place": "store" if item.stored else "cache",
        "paths": list(item.entry.paths),
    }


def _time(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a file's time may be out of range
        return None
