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
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pinstall.pip_cache.entries import Contents
    from pinstall.pip_cache.http_entries import Head
    from pinstall.pip_cache.keys import Layout

_KEY = re.compile("[0-9a-f]{56}")
_BODY = ".body"
SPENT_REASON = "removed by pinstall, but left for a while for a pip that was running"


class ScannedEntry(NamedTuple):
    """An HTTP entry that the walk found, or one of the store: its head, and the total size of its files in bytes.

    ``head`` is None if pip ignores the entry, or if a file of it is missing or not regular. ``modified`` is the time when pip
    stored it or a server last confirmed it ("not modified"), ``used`` that when it was last read (both in seconds since the
    epoch). ``stamp`` is that of its content; None if a file of it is missing or not regular.
    """

    entry: HttpEntry
    head: Head | None
    stamp: FileStamp | None
    size: int
    modified: float
    used: float


class Stray(NamedTuple):
    """Files, or a folder, that no pip will use once the pips that run now have ended.

    ``size`` is in bytes, ``modified`` the latest modification in seconds since the epoch. A pip may still be writing or reading
    them: do not remove what was modified within a day while other pips may run.
    """

    paths: tuple[str, ...]
    size: int
    modified: float
    reason: str


class Folder(NamedTuple):
    """A folder that the walk found: its path, its depth below the top of its part, and its contents."""

    path: str
    depth: int
    contents: Contents


class Tree(NamedTuple):
    """A cache folder as one walk found it: the folders of each part, by its name, and the paths of all links in the parts.

    A part that is missing, or a link, has no folders. ``links`` has symbolic links and junctions, but not those in views.
    """

    parts: Mapping[str, Sequence[Folder]]
    links: Sequence[str]


_PARTS = (keys.TWO_FILES.folder, keys.ONE_FILE.folder, keys.WHEELS, "pinstall")
_VIEWS = os.path.join("pinstall", "views")  # these consist of links


def walk(root: str) -> Tree:
    """Walk through the parts of the cache folder *root*, following no link below it."""
    parts, links = {}, []
    for part in _PARTS:
        top = os.path.join(root, part)
        is_link = entries.is_link(top)
        links += [top] if is_link else []
        parts[part] = [] if is_link or not os.path.isdir(top) else [*_folders(top)]
    views = os.path.join(root, _VIEWS, "")
    for folder in (folder for folders in parts.values() for folder in folders if folder.contents.links):
        if not os.path.join(folder.path, "").startswith(views):
            links += [os.path.join(folder.path, name) for name in folder.contents.links]
    return Tree(parts, sorted(links))


def _folders(top: str) -> Iterator[Folder]:
    """Yield *top* and the folders below it, sorted, each before those below it."""
    waiting = [(top, 0)]
    while waiting:
        path, depth = waiting.pop()
        here = entries.contents(path)
        waiting += [(f"{path}{os.sep}{name}", depth + 1) for name in reversed(here.folders)]
        yield Folder(path, depth, here)


def http(tree: Tree) -> Iterator[ScannedEntry | Stray]:
    """Yield the HTTP entries of a cache and the strays beside them, in both layouts, with the heads as they are now.

    Incomplete and spent entries are strays.
    """
    for layout in (keys.TWO_FILES, keys.ONE_FILE):
        folders = tree.parts[layout.folder]
        for folder in folders:
            if folder.contents.files:
                prefix = folder.path[len(folders[0].path) :].replace(os.sep, "")
                yield from _entries(folder, layout, prefix)


def _entries(folder: Folder, layout: Layout, prefix: str) -> Iterator[ScannedEntry | Stray]:
    """Yield the HTTP entries and strays in a *folder*. *prefix* is its path below the part, without separators.

    The first five characters of a key are *prefix*; a file with another name is a stray.
    """
    there = frozenset(folder.contents.files)
    for name in sorted({name.removesuffix(_BODY) for name in there} if layout is keys.TWO_FILES else there):
        own = [name + ending for ending in layout.endings if name + ending in there]
        paths = tuple([f"{folder.path}{os.sep}{one}" for one in own])
        if not _KEY.fullmatch(name) or name[:5] != prefix:
            yield stray([*paths], "not a file name that pip uses")
        elif len(own) < len(layout.endings):
            yield stray([*paths], "its body is missing" if name in there else "its headers are missing")
        else:
            entry = read_entry(HttpEntry("other", name, paths, layout=layout))
            is_spent = entry.head.response.spent if entry.head else http_entries.is_spent(entry.entry)
            yield stray([*paths], SPENT_REASON) if is_spent else entry


def read_entry(entry: HttpEntry) -> ScannedEntry:
    """Read the head and the file states of an HTTP entry; the returned entry has the ``fault``, ``unreadable`` and ``span``.

    No head is read if a file is missing or not a regular file.
    """
    seen = _seen(entry.paths)
    regular = len(seen) == len(entry.paths) and all(stat.S_ISREG(one.st_mode) for one in seen)
    head = http_entries.read_regular(entry.paths[0]) if regular else None
    span = head.span if head and entry.layout is keys.ONE_FILE else None
    if head and (span or head.fault or head.unreadable):
        entry = entry._replace(fault=head.fault, unreadable=head.unreadable, span=span)
    return ScannedEntry(entry, head, entries.stamp_from(seen[-1]) if regular else None, *_measured(seen))


def built(tree: Tree) -> Iterator[BuiltWheel | Stray]:
    """Yield the built wheels of a cache, and the strays in their folders.

    Strays are unfinished builds, other files that end in ``.whl``, and an ``origin.json`` that is alone.
    """
    for folder in tree.parts[keys.WHEELS]:
        if folder.depth != keys.WHEEL_DEPTH:
            continue
        key, (folders, files, _) = built_wheels.key_of(folder.path), folder.contents
        for name in sorted(folders + files):
            path = os.path.join(folder.path, name)
            if name.startswith("tmp") and name in folders:
                yield stray([path], "an unfinished build")
            elif name.endswith(".whl"):
                yield wheel(key, path) or stray([path], "not a file name of a wheel")
        if folders + files == [entries.ORIGIN]:
            yield stray([os.path.join(folder.path, entries.ORIGIN)], "its wheel is missing")


def wheel(key: str, path: str, store_id: str = "") -> BuiltWheel | None:
    """Return the built wheel at *path* under the wheel *key*, in the folder *store_id* of the store ("" for pip's own).

    Returns None if it does not have the name of a wheel, is missing, or is not a regular file.
    """
    name = os.path.basename(path)
    label = links.parse_filename(name, links.project_of(name))
    if label is None or entries.stamp(path) is None:
        return None
    return BuiltWheel(key, path, label, store_id)


def stray(paths: list[str], reason: str) -> Stray:
    """Return a stray of *paths*, with the total size and the latest modification of these and all files in them.

    Nothing behind a link counts.
    """
    folders = [path for path in paths if not entries.is_link(path)]
    inside = [os.path.join(folder, name) for path in folders for folder, _, names in entries.walk(path) for name in names]
    size, modified, _ = measured((*paths, *inside))
    return Stray(tuple(paths), size, modified, reason)


def measured(paths: Iterable[str]) -> tuple[int, float, float]:
    """Return the total size in bytes of the regular files *paths*, and when any of *paths* was last modified and last read.

    The times are in seconds since the epoch. Missing files are skipped; without any, all are 0.
    """
    return _measured(_seen(paths))


def _seen(paths: Iterable[str]) -> list[os.stat_result]:
    found = []
    for path in paths:
        with suppress(OSError):
            found.append(os.lstat(path))
    return found


def _measured(seen: Sequence[os.stat_result]) -> tuple[int, float, float]:
    """Return the total size of the regular files in *seen*, and the latest times of modification and of access of all."""
    size = sum(one.st_size for one in seen if stat.S_ISREG(one.st_mode))
    modified = max((one.st_mtime for one in seen), default=0.0)
    return size, modified, max((one.st_atime for one in seen), default=modified)


def parts(root: str) -> list[str]:
    """Return the names of the parts of pip's cache, and of pinstall's folder, that exist in the folder *root*."""
    return [part for part in _PARTS if os.path.lexists(os.path.join(root, part))]


def sizes(tree: Tree) -> dict[str, int]:
    """Return the size in bytes that the files of each part of *tree* have now, by the part's name, without missing parts."""
    return {
        part: measured(os.path.join(folder.path, name) for folder in folders for name in folder.contents.files)[0]
        for part, folders in tree.parts.items()
        if folders
    }
