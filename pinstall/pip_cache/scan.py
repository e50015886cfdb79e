"""Find everything in pip's cache by walking it. Only commands for the whole cache do so, never a call of pip."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.model import links
from pinstall.pip_cache import built_wheels, entries, http_entries, keys
from pinstall.pip_cache.entries import BuiltWheel, FileStamp, HttpEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pinstall.pip_cache.http_entries import Head

_KEY = re.compile("[0-9a-f]{56}")
_BODY = ".body"
SPENT = "removed by pinstall, but left for a while for a pip that was running"


class ScannedEntry(NamedTuple):
    """An HTTP entry that the walk found: its head (None: pip ignores the entry) and the total size of its files in bytes.

    ``modified`` is the time when pip stored it, ``used`` the time when it was last read (both in seconds since the epoch).
    """

    entry: HttpEntry
    head: Head | None
    stamp: FileStamp | None
    size: int
    modified: float
    used: float


class Stray(NamedTuple):
    """One or two files, or a folder, that no pip will ever use; ``modified`` is the time of its latest modification."""

    paths: tuple[str, ...]
    size: int
    modified: float
    reason: str


def http(root: str) -> Iterator[ScannedEntry | Stray]:
    """Yield the HTTP entries and strays in the cache folder *root*, in both layouts."""
    for layout in (keys.TWO_FILES, keys.ONE_FILE):
        top = os.path.join(root, layout.folder)
        for folder, names in _folders(top):
            prefix = folder[len(top) :].replace(os.sep, "")
            for name in sorted({name.removesuffix(_BODY) for name in names} if layout is keys.TWO_FILES else names):
                paths = tuple(os.path.join(folder, name + ending) for ending in layout.endings)
                if not _KEY.fullmatch(name) or name[:5] != prefix:
                    yield stray(
                        [os.path.join(folder, n) for n in (name, name + _BODY) if n in names], "not a file name that pip uses"
                    )
                elif any(os.path.basename(path) not in names for path in paths):
                    missing = "its body is missing" if name in names else "its headers are missing"
                    yield stray([path for path in paths if os.path.basename(path) in names], missing)
                else:
                    entry = found(HttpEntry("other", name, paths, layout=layout))
                    is_spent = entry.head is not None and entry.head.response.spent
                    yield stray([*paths], SPENT) if is_spent else entry


def found(entry: HttpEntry) -> ScannedEntry:
    """Read the head and the file states of an HTTP entry. Nothing is read if a file is missing or not a regular file."""
    seen = _seen(entry.paths)
    regular = len(seen) == len(entry.paths) and all(stat.S_ISREG(one.st_mode) for one in seen)
    head = http_entries.read_head(entry.paths[0]) if regular else None
    if head is not None:
        span = head.span if entry.layout is keys.ONE_FILE else None
        entry = entry._replace(fault=head.fault, unreadable=head.unreadable, span=span)
    return ScannedEntry(entry, head, entries.stamp_from(seen[-1]) if regular else None, *_measured(seen))


def built(root: str) -> Iterator[BuiltWheel | Stray]:
    """Yield the built wheels in the cache folder *root*, and the strays in their folders."""
    for folder, key in built_wheels.walk_built(root):
        there = entries.names(folder)
        for name in there:
            path = os.path.join(folder, name)
            if name.startswith("tmp") and os.path.isdir(path) and not entries.is_link(path):
                yield stray([path], "an unfinished build")
            elif name.endswith(".whl"):
                yield wheel(key, path) or stray([path], "not a file name of a wheel")
        if there == [entries.ORIGIN]:
            yield stray([os.path.join(folder, entries.ORIGIN)], "its wheel is missing")


def wheel(key: str, path: str, place: str = "") -> BuiltWheel | None:
    """Return the built wheel at *path*, in the folder *place* of the store ("" for pip's own).

    Returns None if it does not have the name of a wheel, or is not a regular file.
    """
    name = os.path.basename(path)
    label = links.parse_filename(name, links.project_of(name))
    if label is None or entries.stamp(path) is None:
        return None
    return BuiltWheel(key, path, label, place)


def stray(paths: list[str], reason: str) -> Stray:
    """Return a stray of *paths*, with their total size and latest modification."""
    inside = [os.path.join(folder, name) for path in paths for folder, _, names in entries.walk(path) for name in names]
    size, modified, _ = measured((*paths, *inside))
    return Stray(tuple(paths), size, modified, reason)


def measured(paths: Iterable[str]) -> tuple[int, float, float]:
    """Return the total size of *paths* in bytes, and the times when they were last modified and last read.

    Missing files are skipped.
    """
    return _measured(_seen(paths))


def _seen(paths: Iterable[str]) -> list[os.stat_result]:
    found = []
    for path in paths:
        with suppress(OSError):
            found.append(os.lstat(path))
    return found


def _measured(seen: Sequence[os.stat_result]) -> tuple[int, float, float]:
    """Return the total size of the regular files in *seen*, and the latest times of modification and of access."""
    size = sum(one.st_size for one in seen if stat.S_ISREG(one.st_mode))
    modified = max((one.st_mtime for one in seen), default=0.0)
    return size, modified, max((one.st_atime for one in seen), default=modified)


def _folders(top: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each folder below *top* that contains files, and their names. Symbolic links are not followed."""
    waiting = [] if entries.is_link(top) else [top]
    while waiting:
        folder, names = waiting.pop(), set()
        try:
            with os.scandir(folder) as here:
                for entry in here:
                    if entry.is_dir(follow_symlinks=False) and not entries.is_link(entry.path):
                        waiting.append(entry.path)
                    else:
                        names.add(entry.name)
        except OSError:
            continue
        if names:
            yield folder, names


_PARTS = (keys.TWO_FILES.folder, keys.ONE_FILE.folder, keys.WHEELS, "pinstall")
_VIEWS = os.path.join("pinstall", "views")  # these consist of links


def symbolic_links(root: str) -> list[str]:
    """Return the paths of all symbolic links in the cache folder *root*, except those in views."""
    found = []
    for part in _PARTS:
        top = os.path.join(root, part)
        if entries.is_link(top):
            found.append(top)
            continue
        for folder, _, names in entries.walk(top):
            if not os.path.join(folder, "").startswith(os.path.join(root, _VIEWS, "")):
                found += [path for name in names if entries.is_link(path := os.path.join(folder, name))]
    return sorted(found)


def parts(root: str) -> list[str]:
    """Return the parts of pip's cache that are in the folder *root*."""
    return [part for part in _PARTS if os.path.lexists(os.path.join(root, part))]


def sizes(root: str) -> dict[str, int]:
    """Return the size in bytes of each part of the cache folder *root* that is there."""
    found = {}
    for part in _PARTS:
        top = os.path.join(root, part)
        if os.path.isdir(top) and not entries.is_link(top):
            paths = (os.path.join(folder, name) for folder, _, names in entries.walk(top) for name in names)
            found[part] = measured(paths)[0]
    return found
