"""The counters of a cache: one file in pinstall's folder, to which each call appends a line (`ledger.count`).

A line is a JSON object of counters. Lines are added up when somebody asks, and when the file has grown too long.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from pinstall.pip_cache.entries import stamp
from pinstall.storage import lock
from pinstall.storage.files import write_file
from pinstall.storage.ledger import SINCE, count, statistics_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LARGEST = 16 << 20


class Totals(NamedTuple):
    """The sums of all counters, by name, and the time of the first line in seconds since the epoch (0 without any)."""

    counts: Mapping[str, int]
    since: float


def totals(cache: str) -> Totals:
    """Add up the lines of *cache*. Lines that a killed call left incomplete do not count."""
    path = statistics_path(cache)
    counts: dict[str, int] = {}
    since = 0.0
    if stamp(path) is None:
        return Totals(counts, since)
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read(_LARGEST).splitlines()
    for line in lines:
        found = _parsed(line)
        began = found.pop(SINCE, 0)
        since = min(since, began) if since and began else since or began
        for name, number in found.items():
            counts[name] = counts.get(name, 0) + number
    return Totals(counts, since)


def _parsed(line: str) -> dict[str, int]:
    try:
        found = json.loads(line)
        return {str(name): number for name, number in found.items() if isinstance(number, int) and number > 0}
    except (ValueError, AttributeError, RecursionError):
        return {}


def compact(cache: str) -> None:
    """Replace all lines by one with their sums, if the lock is free. A line that is added meanwhile is lost."""
    try:
        with lock.held(cache, 0, lambda _: None):
            found = totals(cache)
            text = json.dumps({SINCE: int(found.since), **found.counts})
            write_file(cache, statistics_path(cache), f"{text}\n")
    except (OSError, lock.LockTimeoutError):
        return  # a later call does it


def count_removed(cache: str, removed: Iterable[tuple[bool, str]]) -> None:
    """Count entries that a check outside of a call has found bad: whether each was deleted, else set aside, and the reason."""
    counts: dict[str, int] = {}
    for is_deleted, reason in removed:
        name = f"{'removed' if is_deleted else 'set aside'} {reason}"
        counts[name] = counts.get(name, 0) + 1
    if count(cache, counts):
        compact(cache)


def reset(cache: str) -> None:
    """Set all counters to zero. Raises `OSError`, also if a symbolic link is in the way."""
    lock.ensure_folder(cache)
    if os.path.lexists(statistics_path(cache)):
        write_file(cache, statistics_path(cache), "")
