"""Format the inventory as a table, as paths, or as JSON (docs/cache.md has the schema).

The output contains no URLs, which may have passwords, and no control characters.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pinstall.cache_tool.tables import Table
from pinstall.pip_cache import http_entries, keys
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pinstall.cache_tool.inventory import Item
    from pinstall.pip_cache.scan import Stray

_FORMAT = 1
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_RIGHT = ("size", "age", "used")
DEFAULT_COLUMNS = ("kind", "size", "age", "origin", "where", "file")


def _kind(item: Item) -> str:
    return {"built": "built wheel"}.get(item.entry.kind, item.entry.kind)


def _where(item: Item) -> str:
    """Return the cell that tells where an item of `inventory.merged` is; "" if it is where pip 23.3 and later look."""
    if item.stored:
        return "only in store"
    is_old = not isinstance(item.entry, BuiltWheel) and item.entry.layout is keys.ONE_FILE
    return "for pip < 23.3" if is_old else ""


def size(count: float) -> str:
    """Format a number of bytes as pip does (``utils/misc.format_size``), and large ones in GB."""
    if count > 1_000_000_000:
        return f"{count / 1_000_000_000:.1f} GB"
    if count > 1_000_000:
        return f"{count / 1_000_000:.1f} MB"
    if count > 10_000:
        return f"{int(count / 1000)} kB"
    return f"{count / 1000:.1f} kB" if count > 1000 else f"{int(count)} bytes"


def age(seconds: float) -> str:
    """Format a number of *seconds*, rounded down, in the largest fitting unit: days, hours, minutes or seconds."""
    return next((f"{int(seconds / unit)} {name}" for unit, name in _UNITS if seconds >= unit), f"{int(seconds)} s")


def table(items: Sequence[Item], columns: Sequence[str] = DEFAULT_COLUMNS) -> Table:
    """Return the table of *items* with these *columns*, which are keys of `COLUMNS`.

    The default ones have "where" only if an item is in the store, or if the items have HTTP entries in both layouts.
    """
    layouts = {item.entry.layout for item in items if not isinstance(item.entry, BuiltWheel)}
    if columns == DEFAULT_COLUMNS and len(layouts) < 2 and not any(item.stored for item in items):
        columns = [column for column in columns if column != "where"]
    headings = ["" if column == "where" else column for column in columns]
    rows = [[COLUMNS[column](item) for column in columns] for item in items]
    return Table(headings, rows, [index for index, column in enumerate(columns) if column in _RIGHT])


def name(item: Item) -> str:
    """Return the file name of an item, or a text such as "index page of demo", with control characters escaped."""
    return plain(item.entry.filename)


def doomed(strays: Iterable[Stray], items: Iterable[Item]) -> Iterator[str]:
    """Yield a line for each stray (all its paths) and each item (the path of its content), with the reason to remove it."""
    for stray in strays:
        yield plain(f"{', '.join(stray.paths)} ({stray.reason})")
    for item in items:
        unused = age(max(0.0, http_entries.now() - item.used))
        yield f"{name(item)} (last used {unused} ago): {plain(item.entry.content_path)}"


COLUMNS: dict[str, Callable[[Item], str]] = {
    "project": lambda item: item.project or "?",
    "version": lambda item: item.version,
    "file": name,
    "kind": _kind,
    "size": lambda item: size(item.size),
    "age": lambda item: age(item.age),
    "used": lambda item: age(max(0.0, http_entries.now() - item.used)),
    "origin": lambda item: item.origin or "?",
    "where": _where,
}


def paths(items: Iterable[Item]) -> list[str]:
    """Return the paths of the items' content files (bodies and wheels), with control characters escaped."""
    return [plain(item.entry.content_path) for item in items]


def document(root: str, items: Iterable[Item]) -> str:
    """Return *items* of the cache at *root* and of the store in it as JSON, by the schema in docs/cache.md."""
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
