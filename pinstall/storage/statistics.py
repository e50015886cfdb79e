"""The counters of a cache: one file in pinstall's folder, to which each call and each ``verify --fix`` appends a line.

A line is a JSON object of counters. Lines are added up when somebody asks, and when the file has grown too long.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.pip_cache.entries import stamp
from pinstall.storage import lock
from pinstall.storage.files import share, write_file
from pinstall.storage.folder import FOLDER, ensure_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LARGEST = 16 << 20
_LONGEST = 64 << 10  # bytes: some hundred calls
_SINCE = "since"


def path(cache: str) -> str:
    """Return the path of the file with the counters of *cache*."""
    return os.path.join(cache, FOLDER, "statistics")


def count(cache: str, counts: Mapping[str, int]) -> None:
    """Append one line with *counts*, without the lock: a short line is appended as a whole.

    Replaces all lines by their sums once they have more than 64 KiB, if the lock is free. A cache that cannot be written, or a
    symbolic link in the way, keeps no counters.
    """
    with suppress(OSError):
        ensure_folder(cache)
        with open(path(cache), "a", encoding="utf-8", opener=_no_link) as file:
            is_new = not file.tell()
            first = {_SINCE: int(time.time())} if is_new else {}
            file.write(f"{json.dumps({**first, **counts})}\n")
            size = file.tell()
        if is_new:
            share(path(cache))
        if size > _LONGEST:
            _compact(cache)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


class Totals(NamedTuple):
    """The sums of all counters, by name, and the earliest time that a line states for their beginning.

    ``since`` is in seconds since the epoch; 0 if no line states it, although there may be counts.
    """

    counts: Mapping[str, int]
    since: float


def totals(cache: str) -> Totals:
    """Add up the lines of *cache*, except for incomplete or damaged ones; no counts without the file. Raises `OSError`."""
    counts: dict[str, int] = {}
    since = 0.0
    if stamp(path(cache)) is None:
        return Totals(counts, since)
    with open(path(cache), encoding="utf-8", errors="replace") as file:
        lines = file.read(_LARGEST).splitlines()
    for line in lines:
        found = _parsed(line)
        began = found.pop(_SINCE, 0)
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


def _compact(cache: str) -> None:
    """Replace all lines by one with their sums, if the lock is free. A line that is added meanwhile is lost."""
    try:
        with lock.held(cache, 0, lambda _: None):
            found = totals(cache)
            text = json.dumps({_SINCE: int(found.since), **found.counts})
            write_file(cache, path(cache), f"{text}\n")
    except (OSError, lock.LockTimeoutError):
        return  # a later call does it


def count_removed(cache: str, removed: Iterable[tuple[bool, str]]) -> None:
    """Count entries that a check outside of a call has removed.

    *removed* has a pair for each: True if it was deleted, False if it was set aside, and the reason.
    """
    counts: dict[str, int] = {}
    for is_deleted, reason in removed:
        name = f"{'removed' if is_deleted else 'set aside'} {reason}"
        counts[name] = counts.get(name, 0) + 1
    count(cache, counts)


def reset(cache: str) -> None:
    """Empty the file of counters, without the lock. Raises `OSError`, also if pinstall's folder is a symbolic link."""
    ensure_folder(cache)
    if os.path.lexists(path(cache)):
        write_file(cache, path(cache), "")
