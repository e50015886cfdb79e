"""Move, restore and delete cache entries. Only this module and `cleanup` do so with pip's own files.

The functions change files within pip's cache folder and the call's view only, and never through a symbolic link in them;
`remove_half_installed` removes folders of the environment. Callers hold the lock, except for `remove_half_installed` and for
those functions that store what a call has built or received, or note its use: `store_build`, `store_fetched`, `adopt`, `touch`,
`cancel_retirement`, `move_to_cache`, `take_over_received`, and so `take_over`.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from pinstall.pip_cache import keys
from pinstall.pip_cache.built_wheels import origin_text
from pinstall.pip_cache.entries import (
    ORIGIN,
    BuiltWheel,
    Entry,
    FileStamp,
    HttpEntry,
    is_direct,
    is_link,
    names,
    open_content,
    stamp,
    stamp_of,
)
from pinstall.pip_cache.http_entries import entry_of, is_spent, write_spent
from pinstall.storage import store
from pinstall.storage.files import UNFINISHED, placed, replace, share, write_file
from pinstall.storage.folder import FOLDER, ensure_folder
from pinstall.storage.view import received

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pinstall.inspection.build_record import BuildRecord

# A folder of notes: each says when pinstall spent an entry, or left a built wheel in pip's folder.
SPENT = "spent"
RETIRED = ".left"
_BEHIND_LINK = "is reached through a symbolic link, which pinstall does not follow; replace that link with a folder"


class NotDoneError(Exception):
    """An entry could not be deleted or moved, or another program has created it again: it is in pip's cache or the store.

    The text begins with ``path``, that of a file of the entry; ``why`` is the cause without it, for a line that names the path.
    """

    def __init__(self, path: str, state: str, error: OSError | None = None) -> None:
        """Describe the *state* of the file *path* (the end of a sentence), after an *error* of the system if there was one."""
        super().__init__(f"{path} {state} ({error.strerror})" if error else f"{path} {state}")
        self.path, self.why = path, str(error.strerror) if error else f"it {state}"


class ChangedError(Exception):
    """The content is not the file that pinstall checked: it has changed since, or a file of the entry was not regular then."""


def delete(cache: str, entry: Entry, verified_stamp: FileStamp | None) -> bool:
    """Delete *entry* if its content still has the *verified_stamp*; of a stored entry also the files that `store.beside` lists.

    Returns True if the entry was deleted, False if its content was gone already. Raises `NotDoneError` if a file of the entry
    cannot be deleted, lies behind a symbolic link, or was created again meanwhile. Raises `ChangedError` for another stamp, or
    without a *verified_stamp*.
    """
    if not _is_unchanged(cache, entry, verified_stamp):
        return False
    for path in entry.paths:
        _unlink(path)
    _check_gone(entry)
    if entry.content_path.startswith(os.path.join(cache, FOLDER, "")):
        for path in store.beside(entry):
            try_unlink(path)
    return True


def spend(cache: str, entry: HttpEntry, verified_stamp: FileStamp | None) -> bool:
    """Invalidate an HTTP *entry*, but keep it usable for a plain pip that is asking the server whether the entry is current.

    Replaces the entry's head (its stored response headers) by a stale one with an unknown ETag: a pip that starts later
    fetches the whole response. `cleanup.sweep` deletes the files later. If no such head can be written, deletes the entry.
    Returns True if either was done, False if the content was gone, or the entry spent, already. Raises as `delete` does.
    """
    if not _is_unchanged(cache, entry, verified_stamp) or is_spent(entry):
        return False
    try:
        _spend(cache, entry, lasting=False)
    except (OSError, ValueError):  # the disk is full, pip cannot read the head, or it is a redirect, which pip follows unasked
        return delete(cache, entry, verified_stamp)
    return True


def set_aside(cache: str, entry: Entry, verified_stamp: FileStamp | None, sha256: str) -> bool:
    """Move *entry* from pip's cache to the store if its content still has the *verified_stamp*.

    *sha256* is that of a built wheel; for an HTTP entry it does not count. An HTTP entry is spent in pip's cache; it is removed
    only if that is impossible. Unlike after `spend`, the server's answer "not modified" renews it for all pips. Returns True if
    the entry was moved, False if it was gone or spent already. Raises as `delete` does, and `NotDoneError` also if the store
    cannot be written.
    """
    if not _is_unchanged(cache, entry, verified_stamp) or is_spent(entry):
        return False
    try:
        if isinstance(entry, BuiltWheel):
            _set_aside_build(cache, entry, sha256)
        else:
            _set_aside_http(cache, entry)
    except OSError as error:
        raise NotDoneError(entry.content_path, "could not be moved to pinstall's store", error) from error
    if not is_spent(entry):
        _check_gone(entry)
    return True


def retire(cache: str, entry: BuiltWheel, verified_stamp: FileStamp | None, sha256: str) -> bool:
    """Copy a built wheel to the store, and leave the original to a plain pip that may be about to install it.

    Marks the original: `cleanup.sweep` deletes it when the mark has expired, unless somebody has read the wheel since. *sha256*
    is the wheel's. Returns True if it was marked, False if it is gone or marked already. Raises as `set_aside` does.
    """
    if not _is_unchanged(cache, entry, verified_stamp) or is_retired(cache, entry):
        return False
    try:
        there = _make_build_folder(cache, entry.wheel_key, sha256, os.path.join(os.path.dirname(entry.content_path), ORIGIN))
        if not os.path.lexists(os.path.join(there, entry.filename)):  # pinstall stored it when it was built
            _copy_wheel(cache, entry, os.path.join(there, entry.filename))
        reset_access_time(entry.content_path)
        ensure_folder(cache, SPENT)
        write_file(cache, _retired_note(cache, entry), fingerprint(entry.content_path))
    except OSError as error:
        raise NotDoneError(entry.content_path, "could not be moved to pinstall's store", error) from error
    return True


def cancel_retirement(cache: str, entry: BuiltWheel) -> None:
    """Cancel the deletion, if `retire` has scheduled one, of the wheel in pip's folder that has the key and name of *entry*.

    Ignores an `OSError`.
    """
    try_unlink(_retired_note(cache, entry))


def is_retired(cache: str, entry: Entry) -> bool:
    """Return whether `retire` has marked *entry*, a built wheel in pip's folder, and the file is the same still."""
    try:
        with open(_retired_note(cache, entry), encoding="ascii") as file:
            return file.read(100) == fingerprint(entry.content_path)
    except (OSError, ValueError):
        return False


def _retired_note(cache: str, entry: Entry) -> str:
    return os.path.join(cache, FOLDER, SPENT, f"wheels.{entry.key.partition('/')[0]}.{entry.filename}{RETIRED}")


def bring_back(cache: str, entry: Entry, verified_stamp: FileStamp | None) -> bool:
    """Restore *entry* from the store to pip's cache: move an HTTP entry, copy a built wheel. Return whether it was restored.

    Overwrites no wheel, and no HTTP entry with a head unless it is spent. If the stored file does not have the
    *verified_stamp*, or an error occurs, returns False.
    """
    try:
        if not _is_unchanged(cache, entry, verified_stamp):
            return False
        return _restore_build(cache, entry) if isinstance(entry, BuiltWheel) else _restore_http(cache, entry)
    except (OSError, NotDoneError, ChangedError):
        return False  # pip will fetch or build it


def _is_unchanged(cache: str, entry: Entry, verified_stamp: FileStamp | None) -> bool:
    """Return True if the content of *entry* still has the *verified_stamp*, False if it is gone.

    Raises `ChangedError` for another stamp, or without a *verified_stamp*, and `NotDoneError` if the content is not in a folder
    below *cache*, or behind a link.
    """
    folder = os.path.dirname(entry.content_path)
    if not os.path.lexists(entry.content_path):
        return False
    if folder == cache or not is_direct(cache, folder):
        raise NotDoneError(entry.content_path, _BEHIND_LINK)
    if verified_stamp is None or stamp(entry.content_path) != verified_stamp:
        raise ChangedError(entry.filename)
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise NotDoneError(path, "could not be removed", error) from error


def _check_gone(entry: Entry) -> None:
    if any(os.path.lexists(path) for path in entry.paths):
        raise NotDoneError(entry.content_path, "was removed, and another program has created it again")


def _set_aside_http(cache: str, entry: HttpEntry) -> None:
    """Link or copy the files of an HTTP entry into the store, with a note, and spend the entry in pip's cache.

    Deletes it there if its head cannot be spent (`ValueError` of `_spend`). Raises `OSError` and `NotDoneError`.
    """
    places = store.http_paths(cache, entry)
    ensure_folder(cache, "store", "http")
    note = _move_note(cache, entry.key)
    write_file(cache, note, json.dumps({"filename": entry.filename}))
    # The body first: the store has the entry once its head is there.
    for path, place in reversed(list(zip(entry.paths, places, strict=True))):
        link_or_copy(cache, path, place)
    try:
        _spend(cache, entry, lasting=True)
    except ValueError:  # pip cannot read the head, so no pip is asking about it
        for path in entry.paths:
            _unlink(path)
    replace(note, store.note(entry._replace(paths=places)))


def link_or_copy(cache: str, path: str, place: str) -> None:
    """Hard-link the file *path* to *place*, or copy it if links are impossible; *place* is replaced. Raises `OSError`.

    A link does for HTTP entries only: pip never writes into an existing file of one.
    """
    import shutil

    temporary = os.path.join(ensure_folder(cache, UNFINISHED), os.urandom(8).hex())
    try:
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary, follow_symlinks=False)
        replace(temporary, place)
    finally:
        try_unlink(temporary)  # os.replace does nothing if both names are links to one file


def _spend(cache: str, entry: HttpEntry, *, lasting: bool) -> None:
    """Replace the head of *entry* by a spent one, and make the note by which `cleanup.sweep` deletes it later.

    *lasting* is that of `http_entries.write_spent`. Raises `OSError`, and `ValueError` if no spent head can be made.
    """
    if stamp_of(entry) is None:
        raise ValueError("not a regular file")
    ensure_folder(cache, SPENT)
    write_file(cache, _spent_note(cache, entry), "")
    with placed(cache, entry.paths[0]) as temporary, open(temporary, "wb") as file:
        write_spent(entry, file, lasting=lasting)


def _spent_note(cache: str, entry: HttpEntry) -> str:
    return os.path.join(cache, FOLDER, SPENT, f"{entry.layout.folder}.{entry.key}")


def _restore_http(cache: str, entry: HttpEntry) -> bool:
    places = [os.path.join(cache, path) for path in keys.http_paths(entry.key, entry.layout)]
    if os.path.lexists(places[0]) and not is_spent(entry._replace(paths=tuple(places))):
        return False
    _make_pip_folder(cache, os.path.dirname(places[0]))
    note = _move_note(cache, entry.key)
    try:
        replace(store.note(entry), note)
    except FileNotFoundError:  # an earlier pinstall gave the note another name: `sweep` must know of the move all the same
        with open(note, "wb"):
            pass
    # The body first, so that pip never finds a head alone.
    for path, place in reversed(list(zip(entry.paths, places, strict=True))):
        replace(path, place)
        try_unlink(path)  # os.replace does nothing if both names are links to one file
    try_unlink(note)
    try_unlink(_spent_note(cache, entry))
    return True


def _move_note(cache: str, key: str) -> str:
    """Return the path for the note that an HTTP entry is being moved: after a kill, `sweep` completes or undoes the move.

    Makes the folder. Raises `OSError`.
    """
    return os.path.join(ensure_folder(cache, UNFINISHED), key)


def _set_aside_build(cache: str, entry: BuiltWheel, sha256: str) -> None:
    here = os.path.dirname(entry.content_path)
    there = _make_build_folder(cache, entry.wheel_key, sha256, os.path.join(here, ORIGIN))
    place = os.path.join(there, entry.filename)
    if os.path.lexists(place):  # pinstall stored it when it was built
        os.unlink(entry.content_path)
    else:
        replace(entry.content_path, place)
    if not has_wheel(here):
        try_unlink(os.path.join(here, ORIGIN))  # it describes wheels that are gone


def _make_build_folder(cache: str, key: str, sha256: str, origin: str) -> str:
    """Make and return the store's folder for a built wheel (see `store.build_parts`).

    Copies its origin.json, whose path is *origin*, into the folder, without the query of the URL; not if it cannot be read.
    Raises `OSError`.
    """
    there = ensure_folder(cache, *store.build_parts(key, sha256))
    _copy_origin(cache, origin, os.path.join(there, ORIGIN), query="")
    return there


def _restore_build(cache: str, entry: BuiltWheel) -> bool:
    """Copy a built wheel from the store to pip's folder, unless that has a wheel of this name; return whether it was copied.

    Also copies its origin.json if pip's folder has none. Raises `OSError`.
    """
    here = os.path.join(cache, keys.wheel_path(entry.wheel_key))
    place = os.path.join(here, entry.filename)
    if os.path.lexists(place):
        return False
    _make_pip_folder(cache, here)
    if not os.path.lexists(os.path.join(here, ORIGIN)):
        _copy_origin(cache, os.path.join(os.path.dirname(entry.content_path), ORIGIN), os.path.join(here, ORIGIN), entry.query)
    _copy_wheel(cache, entry, place)
    return True


def _copy_wheel(cache: str, entry: BuiltWheel, target: str) -> None:
    """Copy a wheel. A hard link would not do: pip before 25.3 may write into the file that it replaces."""
    import shutil

    with placed(cache, target) as temporary, open_content(entry) as source, open(temporary, "wb") as file:
        shutil.copyfileobj(source, file)


def store_build(cache: str, key: str, path: str, record: BuildRecord) -> None:
    """Move the wheel at *path*, which pip has just built for *key* in a view, to the store, with its build *record*.

    Copies it instead if the file has another hard link or is on another disk. Then copies it to pip's own folder if that has no
    wheel of any name. Raises `OSError`.
    """
    origin = os.path.join(os.path.dirname(path), ORIGIN)
    there = _make_build_folder(cache, key, record.wheel, origin)
    write_file(cache, os.path.join(there, store.new_record_name(there, record)), _record_text(record))
    place = os.path.join(there, os.path.basename(path))
    found = os.lstat(path)
    if found.st_nlink == 1 and found.st_dev == os.lstat(there).st_dev:
        replace(path, place)
        share(place)
    else:  # the backend has kept a hard link, through which it may write; or the view is in a temporary folder
        _copy_wheel(cache, BuiltWheel(key, path), place)
    here = os.path.join(cache, keys.wheel_path(key))
    if not has_wheel(here):
        _make_pip_folder(cache, here)
        _copy_origin(cache, origin, os.path.join(here, ORIGIN), query=None)  # as pip itself would have written it
        _restore_build(cache, BuiltWheel(key, place))


def take_over(cache: str, folder: str, entry: HttpEntry) -> None:
    """Move the files of an HTTP *entry* that pip has just written from the view in *folder* to *cache*.

    *entry* has the paths in *cache*, where they replace the old files; files that the view only links to stay. Ignores an
    `OSError`.
    """
    with suppress(OSError):
        _make_pip_folder(cache, os.path.dirname(entry.content_path))
        for path in reversed(entry.paths):  # body first, so that pip never finds a head alone
            source = os.path.join(folder, os.path.relpath(path, cache))
            if stamp(source) is not None:
                _move(cache, source, path)


def take_over_received(cache: str, folder: str, layout: keys.Layout) -> None:
    """Move the HTTP entries that pip has received, with head and body, from the view in *folder* to *cache* (`take_over`)."""
    for key in list(received(folder, layout)):
        paths = keys.http_paths(key, layout)
        if all(stamp(os.path.join(folder, path)) is not None for path in paths):
            take_over(cache, folder, entry_of(cache, key, layout))


def _move(cache: str, source: str, path: str) -> None:
    """Move a file of the view to its place in the *cache*, where a pip may read the old file meanwhile. Raises `OSError`."""
    import shutil

    try:
        replace(source, path)
    except OSError as error:
        if error.errno != errno.EXDEV:  # where the disk has no links, the view is in a temporary folder
            raise
        with placed(cache, path) as temporary:
            shutil.copyfile(source, temporary)
        os.unlink(source)


def adopt(cache: str, entry: BuiltWheel, record: BuildRecord) -> None:
    """Copy a built wheel to the store, with a *record*; the original stays in pip's folder. Raises `OSError`.

    If *entry* is itself the one in the store, or the store has a copy of it, only adds the record.
    """
    key = entry.wheel_key
    there = _make_build_folder(cache, key, record.wheel, os.path.join(os.path.dirname(entry.content_path), ORIGIN))
    if not os.path.lexists(os.path.join(there, entry.filename)):
        _copy_wheel(cache, entry, os.path.join(there, entry.filename))
    write_file(cache, os.path.join(there, store.new_record_name(there, record)), _record_text(record))


def store_fetched(cache: str, entry: BuiltWheel, filename: str, record: BuildRecord, origin: str) -> str:
    """Move *entry*, a wheel that was fetched into `UNFINISHED`, to pinstall's store as *filename*; return its new path.

    *record* is its build record, and *origin* the text of its origin.json. The wheel comes last, so that no other call finds it
    without its record. Raises `OSError`.
    """
    there = ensure_folder(cache, *store.build_parts(entry.wheel_key, record.wheel))
    write_file(cache, os.path.join(there, ORIGIN), origin)
    write_file(cache, os.path.join(there, store.new_record_name(there, record)), _record_text(record))
    path = os.path.join(there, filename)
    replace(entry.content_path, path)
    share(path)
    return path


def reset_access_time(path: str) -> None:
    """Set a file's access time to its modification time, so that even Linux's ``relatime`` records the next read.

    Ignores an `OSError`.
    """
    with suppress(OSError):
        found = os.stat(path)
        os.utime(path, ns=(found.st_mtime_ns, found.st_mtime_ns))


def fingerprint(path: str) -> str:
    """Return size, modification time and inode of *path*, as a text that reading and linking leave unchanged.

    "" if it is missing, or not a regular file.
    """
    found = stamp(path)
    return f"{found.size} {found.modified} {found.inode}" if found else ""


def has_wheel(folder: str) -> bool:
    """Return whether a folder contains a file that is named as a wheel; False if the folder cannot be read."""
    return any(name.endswith(".whl") for name in names(folder))


def touch(cache: str, entry: BuiltWheel, record: BuildRecord) -> None:
    """Note that a built wheel, in pip's folder or the store, is used now: give the store's ``record.json`` of it this time.

    *record*, any of its records, tells its digest. Also cancels a deletion in pip's folder that `retire` has scheduled. Ignores
    an `OSError`.
    """
    cancel_retirement(cache, entry)
    path = os.path.join(store.record_folder(cache, entry, record.wheel), store.RECORD)
    if is_direct(cache, path):
        with suppress(OSError):
            os.utime(path)


def _record_text(record: BuildRecord) -> str:
    from pinstall.inspection import build_record

    return json.dumps(build_record.to_json(record))


def move_to_cache(path: str, place: str) -> None:
    """Move a file or folder that pip has created in a view to *place*, a free path in the cache; do nothing if that fails."""
    with suppress(OSError):
        os.rename(path, place)


def _copy_origin(cache: str, source: str, target: str, query: str | None) -> None:
    text = origin_text(source, query)
    if text is not None:
        write_file(cache, target, text)


def origins_with_queries(cache: str) -> list[str]:
    """Return the paths of the store's ``origin.json`` files whose URL has a query, as pinstall 0.1.0 stored them.

    A URL with a fragment counts, too. Damaged files are left out.
    """
    found = [os.path.join(folder, ORIGIN) for _, folder in store.build_folders(cache)]
    return [path for path in found if origin_text(path, "") not in (None, origin_text(path, None))]


def strip_queries(cache: str, paths: Iterable[str]) -> None:
    """Remove the query, which may be a secret, from the URL in each ``origin.json`` at *paths* in the store.

    Removes a fragment, too. Skips damaged and missing files. Raises `OSError`.
    """
    for path in paths:
        text = origin_text(path, "")
        if text is not None:
            write_file(cache, path, text)


def try_unlink(path: str) -> None:
    """Delete a file; ignore an `OSError`."""
    with suppress(OSError):
        os.unlink(path)


def _make_pip_folder(cache: str, folder: str) -> None:
    """Make a folder in pip's part of the cache, as pip does; raises `OSError` if a symbolic link is in the way."""
    if not is_direct(cache, folder):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), folder)
    os.makedirs(folder, exist_ok=True)


def remove_half_installed(infos: Iterable[str], before: Iterable[str]) -> list[str]:
    """Remove the ``.dist-info`` folders of half-installed distributions, and nothing else of these.

    *infos* are the ``.dist-info`` folders that pip has created. *before* are those that existed when the call began: they stay.
    A folder without INSTALLER is half-installed: pip writes that file after a wheel's other files. pip would take such a
    distribution for installed and leave it broken. Returns the half-installed ones as ``name==version``, also those that could
    not be removed.
    """
    kept, removed = {os.path.realpath(folder) for folder in before}, []
    for folder in sorted(infos):
        is_half = not os.path.lexists(os.path.join(folder, "INSTALLER")) and not is_link(folder)
        if is_half and os.path.isdir(folder) and os.path.realpath(folder) not in kept:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)
            name, _, version = os.path.basename(folder).removesuffix(".dist-info").rpartition("-")
            removed.append(f"{name}=={version}")
    return removed
