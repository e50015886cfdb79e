"""Clean the cache and pinstall's folder: leftovers of killed calls, spent entries, a full store, and files on request.

It works in pip's cache folder only, and never follows a symbolic link. The callers of functions that delete hold the lock.
Spent entries and retired wheels are those that `actions.spend` and `actions.retire` have marked for deletion.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.pip_cache import keys
from pinstall.pip_cache.entries import ORIGIN, is_direct, is_link, names, stamp, stamp_of, walk
from pinstall.pip_cache.http_entries import entry_of, is_spent
from pinstall.storage import build_notes, store, view
from pinstall.storage.actions import RETIRED, SPENT, fingerprint, has_wheel, link_or_copy, reset_access_time, try_unlink
from pinstall.storage.files import UNFINISHED, replace
from pinstall.storage.folder import FOLDER, ensure_folder
from pinstall.storage.lock import CALLS, live_calls, markers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# Nanoseconds. pip waits 15 s for each answer and asks six times; with longer timeouts that users set, it may take minutes.
_GRACE_PERIOD = 900_000_000_000


def shrink_store(cache: str, bound: int) -> None:
    """Delete the least recently used entries of the store until it has at most *bound* bytes; build records do not count.

    Passes over entries that cannot be deleted. Does nothing while any call is marked as running, this one included: its pip may
    be about to install one of them. Raises `OSError` if the markers cannot be read.
    """
    stored = sorted((kept for kept in store.everything(cache) if kept.paths), key=lambda kept: kept.used)
    excess = sum(kept.size for kept in stored) - bound
    if excess <= 0 or live_calls(cache):
        return
    for kept in stored:
        if excess <= 0:
            break
        folder = os.path.dirname(kept.paths[0])
        if not is_direct(cache, folder):
            continue
        for path in kept.paths:
            try_unlink(path)
        if not any(map(os.path.lexists, kept.paths)):
            excess -= kept.size
        _remove_empty(folder)


def _remove_empty(folder: str) -> None:
    for empty in (folder, os.path.dirname(folder)):
        with suppress(OSError):
            os.rmdir(empty)


def has_litter(cache: str) -> bool:
    """Return whether `sweep` may have work to do: files of a call, killed or running, or notes in `SPENT` that have expired.

    Does not look for records without a wheel. True also if the markers cannot be read: `sweep` raises the error.
    """
    try:
        return bool(
            markers(cache)
            or view.names(cache)
            or build_notes.names(cache)
            or names(os.path.join(cache, FOLDER, UNFINISHED))
            or _expired_notes(cache)
        )
    except OSError:
        return True  # sweep will report the error


def sweep(cache: str, *, at_once: bool = False) -> None:
    """Remove the files that killed calls have left, expired spent entries and retired wheels, and records without a wheel.

    A record stays if its wheel is in the store, or if pip's folder for the key has any wheel. Completes or undoes a move to or
    from the store that a killed call has begun. With *at_once*, spent entries and retired wheels need not have expired: the
    caller knows that no other pip is using them. Even then, wheels stay that somebody has read meanwhile.

    While a call is marked as running, this one included, removes only the markers, views and build notes of killed ones. Raises
    `OSError`.
    """
    alive = live_calls(cache, clears=True)
    view.sweep(cache, alive)
    build_notes.sweep(cache, alive)
    if alive:
        return  # running calls may be writing these files
    _clear_spent(cache, at_once=at_once)
    unfinished = ensure_folder(cache, UNFINISHED)
    for name in names(unfinished):
        if keys.is_http_key(name):
            _complete_move(cache, name)
        try_unlink(os.path.join(unfinished, name))
    for key, folder in store.build_folders(cache):
        if is_direct(cache, folder) and not (has_wheel(folder) or has_wheel(os.path.join(cache, keys.wheel_path(key)))):
            for name in names(folder):
                try_unlink(os.path.join(folder, name))
            _remove_empty(folder)


def leftovers(cache: str, doomed: Collection[str]) -> Iterator[tuple[list[str], str]]:
    """Yield (paths, reason) for the files and folders that `sweep` would remove if the files *doomed* were gone.

    Spent entries and retired wheels that have not expired are left out. So are the *doomed* files of stored builds; other paths
    are yielded even if they are *doomed*. Raises `OSError`.
    """
    alive = live_calls(cache)
    own = os.path.join(cache, FOLDER)
    killed = [os.path.join(own, CALLS, name) for name in markers(cache)]
    killed += [os.path.join(own, view.VIEWS, name) for name in view.names(cache)]
    killed += [build_notes.folder(cache, name) for name in build_notes.names(cache)]
    if not alive:
        killed += [os.path.join(own, UNFINISHED, name) for name in names(os.path.join(own, UNFINISHED))]
    yield from (([path], "left by a killed pinstall") for path in killed if os.path.basename(path) not in alive)
    if alive:
        return
    gone = {*doomed}
    for note in _expired_notes(cache):
        paths = _noted(cache, note)
        if paths is not None:
            gone |= {*paths}
            yield [*paths, note], "left for pips that were running"
    halves = (_needless_half(cache, name, gone) for name in names(os.path.join(own, UNFINISHED)) if keys.is_http_key(name))
    yield from (([half], "left by a killed pinstall") for half in halves if half)
    for key, folder in store.build_folders(cache):
        places = (folder, os.path.join(cache, keys.wheel_path(key)))
        wheels = {os.path.join(place, name) for place in places for name in names(place) if name.endswith(".whl")}
        rest = [path for name in names(folder) if (path := os.path.join(folder, name)) not in gone]
        if rest and is_direct(cache, folder) and wheels.issubset(gone):
            yield rest, "a build record without a wheel"


def emptied(cache: str, folder: str, doomed: Collection[str]) -> list[str]:
    """Return the folders, inner ones first, that `clear_empty` would delete for *folder* if the files *doomed* were gone."""
    found: dict[str, None] = {}
    if folder == cache or not is_direct(cache, folder) or not os.path.isdir(folder):
        return []
    for here, folders, others in walk(folder):
        is_kept = any(os.path.join(here, name) not in doomed for name in others)
        if not is_kept and all(os.path.join(here, name) in found for name in folders):
            found[here] = None
    return list(found)


def _complete_move(cache: str, key: str) -> None:
    """Complete an HTTP entry of which the store has only the head, with the body in pip's folder: a killed call was moving it.

    Deletes the half in the store if it is needless (`_needless_half`). Does nothing if the store has both, or neither. Raises
    `OSError`.
    """
    own = entry_of(cache, key, keys.TWO_FILES)
    head, body = store.http_paths(cache, own)
    if half := _needless_half(cache, key):
        os.unlink(half)
    elif os.path.lexists(head) and not os.path.lexists(body):
        if os.path.lexists(own.paths[0]):
            link_or_copy(cache, own.content_path, body)
        else:
            replace(own.content_path, body)


def _needless_half(cache: str, key: str, gone: Collection[str] = ()) -> str:
    """Return the path of the only file that the store has of an HTTP entry, if it is not to be completed; else "".

    That is a body, and a head if pip's folder has no body that belongs to it. The files *gone* count as missing there.
    """
    own = entry_of(cache, key, keys.TWO_FILES)
    head, body = store.http_paths(cache, own)
    if os.path.lexists(body) == os.path.lexists(head):
        return ""
    if os.path.lexists(body):
        return body
    there = [path for path in own.paths if os.path.lexists(path) and path not in gone]
    is_belonging = there == [own.content_path] or (there == [*own.paths] and stamp_of(own) is not None and is_spent(own))
    return "" if is_belonging else head


def _expired_notes(cache: str) -> list[str]:
    """Return the paths of the notes in `SPENT` that are older than fifteen minutes: no pip should still need their files.

    Both times come from the file system's clock: the folder of markers changes whenever a call starts or ends. Without
    that folder, no note is returned.
    """
    folder = os.path.join(cache, FOLDER, SPENT)
    found = [(path, note.modified) for name in names(folder) if (note := stamp(path := os.path.join(folder, name)))]
    if not found:
        return []
    try:
        now = os.stat(os.path.join(cache, FOLDER, CALLS)).st_mtime_ns
    except OSError:
        return []
    return [path for path, modified in found if now - modified > _GRACE_PERIOD]


def _clear_spent(cache: str, *, at_once: bool) -> None:
    """Delete the spent entries and retired wheels whose notes have expired, with these notes; if *at_once*, those of all notes.

    Renews the notes of wheels that were read meanwhile (`_clear_noted`). Raises `OSError`.
    """
    folder = ensure_folder(cache, SPENT)  # raises if a symbolic link is in the way
    for note in [os.path.join(folder, name) for name in names(folder)] if at_once else _expired_notes(cache):
        if _clear_noted(cache, note):
            os.unlink(note)


def _clear_noted(cache: str, note: str) -> bool:
    """Delete the files that the *note* at this path names, and return True: the note can be deleted, too.

    If somebody has read the retired wheel that it names since the note was made or renewed, renews the note for another period
    and returns False. Ignores files that cannot be deleted.
    """
    paths = _noted(cache, note)
    if paths is None:
        reset_access_time(_left_wheel(cache, note))
        os.utime(note)
        return False
    for path in paths:
        try_unlink(path)
    return True


def _noted(cache: str, note: str) -> list[str] | None:
    """Return the files that the *note* at this path names and that can be deleted.

    Empty if they are gone, were replaced, or are behind a link, or if the note has another name than ours. None if the note
    names a wheel that was read since the note was made or renewed.
    """
    folder, _, rest = os.path.basename(note).partition(".")
    key, _, wheel = rest.removesuffix(RETIRED).partition(".")
    if not keys.is_http_key(key):
        return []
    if wheel.endswith(".whl"):
        return _noted_wheel(cache, _left_wheel(cache, note), note)
    layout = next((layout for layout in (keys.TWO_FILES, keys.ONE_FILE) if layout.folder == folder), None)
    return _noted_http(cache, key, layout) if layout else []


def _noted_http(cache: str, key: str, layout: keys.Layout) -> list[str]:
    entry = entry_of(cache, key, layout)
    is_clear = is_direct(cache, os.path.dirname(entry.content_path)) and is_spent(entry)
    return list(filter(os.path.lexists, entry.paths)) if is_clear else []


def _left_wheel(cache: str, note: str) -> str:
    """Return the path of the wheel that the *note* of `retire` names."""
    key, _, wheel = os.path.basename(note).partition(".")[2].removesuffix(RETIRED).partition(".")
    return os.path.join(cache, keys.wheel_path(key), wheel)


def _noted_wheel(cache: str, path: str, note: str) -> list[str] | None:
    """Return *path*, that of a wheel that `retire` has left, and of its ``origin.json`` if no other wheel is beside it.

    Empty if the wheel is gone, was replaced, or is behind a link. None if somebody has read it since the *note* was made or
    renewed.
    """
    folder = os.path.dirname(path)
    try:
        with open(note, encoding="ascii") as file:
            same = file.read(100) == fingerprint(path)
        found = os.lstat(path)
    except (OSError, ValueError):
        return []
    if not same or not is_direct(cache, folder):
        return []  # the file was replaced
    if found.st_atime_ns != found.st_mtime_ns:
        return None
    origin = os.path.join(folder, ORIGIN)
    others = [name for name in names(folder) if name.endswith(".whl") and name != os.path.basename(path)]
    return [path] if others or not os.path.lexists(origin) else [path, origin]


class Removed(NamedTuple):
    """The numbers of deleted files and folders, and the files' size in bytes."""

    files: int = 0
    size: int = 0
    folders: int = 0


def delete_tree(cache: str, path: str) -> Removed:
    """Delete the file or folder *path* in *cache*, with its contents, and return what was deleted.

    Links are deleted, never followed. Deletes nothing if *path* lies outside of the cache or behind a link. Skips files that
    cannot be deleted.
    """
    folder = os.path.dirname(path)
    if not is_direct(cache, folder):
        return Removed()
    if not os.path.isdir(path) or is_link(path):
        return _clear_file(path)
    files = size = folders = 0
    for here, _, names_ in walk(path):
        for name in names_:
            removed = _clear_file(os.path.join(here, name))
            files, size = files + removed.files, size + removed.size
        with suppress(OSError):
            os.rmdir(here)
            folders += 1
    return Removed(files, size, folders)


def _clear_file(path: str) -> Removed:
    try:
        size = os.lstat(path).st_size
        os.unlink(path)
    except OSError:
        return Removed()
    return Removed(1, size)


def clear_empty(cache: str, folder: str) -> int:
    """Delete *folder* in *cache* and the folders below it, as far as they are empty or get empty; return their number.

    Deletes nothing if *folder* is the cache itself, lies outside of it, or is behind a link.
    """
    count = 0
    if folder == cache or not is_direct(cache, folder):
        return count
    for here, _, _ in walk(folder):
        with suppress(OSError):
            os.rmdir(here)
            count += 1
    return count
