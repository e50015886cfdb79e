"""The one hand that moves and deletes: within pip's cache folder, under the lock, and never through a symbolic link."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.pip_cache import keys
from pinstall.pip_cache.http_entries import (
    ORIGIN,
    Entry,
    FileStamp,
    is_spent,
    names,
    open_content,
    stamp,
    stamp_of,
    write_spent,
)
from pinstall.storage import store, view
from pinstall.storage.ledger import UNFINISHED, placed, share, write_file
from pinstall.storage.lock import CALLS, FOLDER, live_calls, made_folder, markers

if TYPE_CHECKING:
    from pinstall.inspection.build_record import BuildRecord

_LARGEST_ORIGIN = 1 << 20  # bytes; a larger one counts for nothing
# Below our folder: when what was spent, or left in its place.
SPENT = "spent"
_LEFT = ".left"
# pip waits 15 s for each answer, and asks six times; with the timeouts that people set it is some minutes (nanoseconds).
_SAFE = 900_000_000_000


class NotDoneError(Exception):
    """An entry that should go is still there: the call must not use this cache."""


class ChangedError(Exception):
    """The entry is another file than the one that was proven: it is to be proven again."""


def delete(cache: str, entry: Entry, seen: FileStamp | None) -> bool:
    """Delete *entry* if its content is still the file that was *seen*; say whether it was.

    Raises `NotDoneError` if it cannot be removed, `ChangedError` if it is another file by now.
    """
    if not _is_seen(cache, entry, seen):
        return False
    for path in entry.paths:
        _unlink(path)
    _gone(entry)
    if entry.kind == "built" and entry.content.startswith(os.path.join(cache, FOLDER, "")):
        for name in (store.RECORD, ORIGIN):
            _try_unlink(os.path.join(os.path.dirname(entry.content), name))
    return True


def spend(cache: str, entry: Entry, seen: FileStamp | None) -> bool:
    """Delete an HTTP *entry* as `delete` does, but leave it to a plain pip that is asking whether it is still good.

    That pip goes on as it would without us; the others ask for the whole response. `sweep` deletes what is left.
    """
    if not _is_seen(cache, entry, seen) or is_spent(entry):
        return False
    try:
        _spend(cache, entry, lasting=False)
    except (OSError, ValueError):  # the disk is full, or no pip can read its head
        return delete(cache, entry, seen)
    return True


def set_aside(cache: str, entry: Entry, seen: FileStamp | None, identity: str) -> bool:
    """Move *entry* out of pip's sight into the store if it is still the file that was *seen*; say whether it was.

    *identity* is the content's digest. Raises as `delete` does.
    """
    if not _is_seen(cache, entry, seen) or is_spent(entry):
        return False
    try:
        if entry.kind == "built":
            _aside_build(cache, entry, identity)
        else:
            _aside_http(cache, entry)
    except OSError as error:
        raise NotDoneError(f"{entry.content} could not be moved ({error.strerror})") from error
    if not is_spent(entry):
        _gone(entry)
    return True


def leave(cache: str, entry: Entry, seen: FileStamp | None, identity: str) -> bool:
    """Keep a built wheel in the store, and in its place until no plain pip can be about to install it; then `sweep` deletes it.

    Returns False if it is gone, or left so already. Raises as `delete` does.
    """
    if not _is_seen(cache, entry, seen) or is_left(cache, entry):
        return False
    try:
        there = _kept_folder(cache, entry.key.partition("/")[0], identity, os.path.join(os.path.dirname(entry.content), ORIGIN))
        if not os.path.lexists(os.path.join(there, entry.filename)):  # else it is there since it was built
            _copy(cache, entry, os.path.join(there, entry.filename))
        _watch(entry.content)
        made_folder(cache, SPENT)
        write_file(cache, _left_note(cache, entry), _file(entry.content))
    except OSError as error:
        raise NotDoneError(f"{entry.content} could not be moved ({error.strerror})") from error
    return True


def is_left(cache: str, entry: Entry) -> bool:
    """Say whether a built wheel is only left in its place for a while."""
    try:
        with open(_left_note(cache, entry), encoding="ascii") as file:
            return file.read(100) == _file(entry.content)
    except (OSError, ValueError):
        return False


def _left_note(cache: str, entry: Entry) -> str:
    return os.path.join(cache, FOLDER, SPENT, f"wheels.{entry.key.partition('/')[0]}.{entry.filename}{_LEFT}")


def bring_back(cache: str, entry: Entry, seen: FileStamp | None) -> bool:
    """Move *entry* from the store to its place in pip's cache, over nothing; say whether it was done."""
    try:
        return _is_seen(cache, entry, seen) and (_back_build if entry.kind == "built" else _back_http)(cache, entry)
    except (OSError, NotDoneError, ChangedError):
        return False  # pip will fetch or build it


def _is_seen(cache: str, entry: Entry, seen: FileStamp | None) -> bool:
    """Look again, under the lock: is it still that file, and really inside the cache? False if it is gone by now."""
    folder = os.path.dirname(entry.content)
    if not os.path.lexists(entry.content):
        return False
    if os.path.realpath(folder) != folder or not folder.startswith(cache + os.sep):
        raise NotDoneError(f"{entry.content} is behind a symbolic link, which pinstall does not follow")
    if seen is None or stamp(entry.content) != seen:
        raise ChangedError(entry.filename)
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise NotDoneError(f"{path} could not be removed ({error.strerror})") from error


def _gone(entry: Entry) -> None:
    if any(os.path.lexists(path) for path in entry.paths):
        raise NotDoneError(f"{entry.content} is still there after its removal")


def _aside_http(cache: str, entry: Entry) -> None:
    """Give the store the files of a download, and spend what pip has of it."""
    places = store.http_paths(cache, entry)
    made_folder(cache, "store", "http")
    note = _note(cache, entry.key)
    write_file(cache, note, json.dumps({"filename": entry.filename}))
    for path, place in reversed(list(zip(entry.paths, places, strict=True))):  # in: the head makes it whole
        _give(cache, path, place)
    try:
        _spend(cache, entry, lasting=True)
    except ValueError:  # no pip can read its head, so none is asking
        for path in entry.paths:
            _unlink(path)
    os.replace(note, places[0] + ".json")


def _give(cache: str, path: str, place: str) -> None:
    """Give a file a second name, *place*, or a copy where that cannot be; nothing writes into what pip's cache has."""
    import shutil

    temporary = os.path.join(made_folder(cache, UNFINISHED), os.urandom(8).hex())
    try:
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary, follow_symlinks=False)
        os.replace(temporary, place)
    finally:
        _try_unlink(temporary)  # it is still there if *place* was the same file


def _spend(cache: str, entry: Entry, *, lasting: bool) -> None:
    """Put a spent head in the place of *entry*'s, and note when. Raises `OSError`, and `ValueError` if that is no head."""
    if stamp_of(entry) is None:
        raise ValueError("no regular file")
    made_folder(cache, SPENT)
    write_file(cache, _spent_note(cache, entry), "")
    with placed(cache, entry.paths[0]) as temporary, open(temporary, "wb") as file:
        write_spent(entry, file, lasting=lasting)


def _spent_note(cache: str, entry: Entry) -> str:
    return os.path.join(cache, FOLDER, SPENT, f"{entry.layout.folder}.{entry.key}")


def _back_http(cache: str, entry: Entry) -> bool:
    places = [os.path.join(cache, path) for path in keys.http_paths(entry.key, entry.layout)]
    if os.path.lexists(places[0]) and not is_spent(entry._replace(paths=tuple(places))):
        return False
    _pip_folder(os.path.dirname(places[0]))
    note = _note(cache, entry.key)
    with suppress(FileNotFoundError):
        os.replace(entry.paths[0] + ".json", note)
    for path, place in reversed(list(zip(entry.paths, places, strict=True))):  # in: body first, and pip never sees half of it
        os.replace(path, place)
        _try_unlink(path)  # the system does nothing where both are names of one file
    _try_unlink(note)
    _try_unlink(_spent_note(cache, entry))
    return True


def _note(cache: str, key: str) -> str:
    """Return where it is noted that the files of a download are being moved: if we are killed, `sweep` brings them together."""
    return os.path.join(made_folder(cache, UNFINISHED), key)


def _aside_build(cache: str, entry: Entry, identity: str) -> None:
    here = os.path.dirname(entry.content)
    there = _kept_folder(cache, entry.key.partition("/")[0], identity, os.path.join(here, ORIGIN))
    place = os.path.join(there, entry.filename)
    if os.path.lexists(place):  # it is there since it was built
        os.unlink(entry.content)
    else:
        os.replace(entry.content, place)
    if not _has_wheel(here):
        _try_unlink(os.path.join(here, ORIGIN))  # it tells of wheels that are no longer here


def _kept_folder(cache: str, key: str, sha256: str, origin: str) -> str:
    """Make the folder of a built wheel in the store, with its origin; see `store.build_parts`."""
    there = made_folder(cache, *store.build_parts(key, sha256))
    _copy_origin(cache, origin, os.path.join(there, ORIGIN))
    return there


def _back_build(cache: str, entry: Entry) -> bool:
    """Give pip's own folder a built wheel that the store keeps."""
    here = os.path.join(cache, keys.wheel_path(entry.key.partition("/")[0]))
    place = os.path.join(here, entry.filename)
    if os.path.lexists(place):
        return False
    _pip_folder(here)
    if not os.path.lexists(os.path.join(here, ORIGIN)):
        _copy_origin(cache, os.path.join(os.path.dirname(entry.content), ORIGIN), os.path.join(here, ORIGIN))
    _copy(cache, entry, place)
    return True


def _copy(cache: str, entry: Entry, target: str) -> None:
    """Copy a wheel, not as a hard link: pips before 25.3 may write into what they replace."""
    import shutil

    with placed(cache, target) as temporary, open_content(entry) as source, open(temporary, "wb") as file:
        shutil.copyfileobj(source, file)


def keep_build(cache: str, key: str, path: str, record: BuildRecord) -> None:
    """Move the wheel at *path*, just built for *key*, into the store; pip's own folder gets it too if it has none.

    Raises `OSError`.
    """
    there = _kept_folder(cache, key, record.wheel, os.path.join(os.path.dirname(path), ORIGIN))
    write_file(cache, os.path.join(there, store.RECORD), _text(record))
    place = os.path.join(there, os.path.basename(path))
    os.replace(path, place)
    share(place)
    here = os.path.join(cache, keys.wheel_path(key))
    if not _has_wheel(here):
        _back_build(cache, Entry("built", f"{key}/{record.wheel}", (place,), os.path.basename(path)))


def take_over(cache: str, folder: str, entry: Entry) -> None:
    """Move the HTTP *entry* of *cache* from the view in *folder*, where pip has just received it, to its own place.

    What cannot be moved is fetched again by the next call.
    """
    with suppress(OSError):
        _pip_folder(os.path.dirname(entry.content))
        for path in reversed(entry.paths):  # in: body first, and pip never sees half of it
            source = os.path.join(folder, os.path.relpath(path, cache))
            if stamp(source) is not None:
                _place(source, path)


def _place(source: str, path: str) -> None:
    import shutil

    try:
        os.replace(source, path)
    except OSError as error:
        if error.errno != errno.EXDEV:  # the view of a cache that cannot be written lies elsewhere
            raise
        shutil.move(source, path)


def adopt(cache: str, entry: Entry, record: BuildRecord) -> None:
    """Keep a wheel that plain pip built, where it is and in the store, with what is known of it. Raises `OSError`."""
    key = entry.key.partition("/")[0]
    there = _kept_folder(cache, key, record.wheel, os.path.join(os.path.dirname(entry.content), ORIGIN))
    if not os.path.lexists(os.path.join(there, entry.filename)):
        _copy(cache, entry, os.path.join(there, entry.filename))
    write_file(cache, os.path.join(there, store.RECORD), _text(record))


def prune(cache: str, bound: int) -> None:
    """Delete from the store, under the lock, what was used least recently, until it has at most *bound* bytes.

    Nothing goes while another pinstall is under way: its pip may be about to install it.
    """
    kept = sorted((thing for thing in store.everything(cache) if thing.paths), key=lambda thing: thing.used)
    excess = sum(thing.size for thing in kept) - bound
    if excess <= 0 or live_calls(cache):
        return
    for thing in kept:
        if excess <= 0:
            break
        folder = os.path.dirname(thing.paths[0])
        if os.path.realpath(folder) != folder:
            continue
        for path in thing.paths:
            _try_unlink(path)
        excess -= thing.size
        _remove_empty(folder)


def _remove_empty(folder: str) -> None:
    for empty in (folder, os.path.dirname(folder)):
        with suppress(OSError):
            os.rmdir(empty)


def has_litter(cache: str) -> bool:
    """Say whether there is anything that a killed call may have left; it may as well be of one that is under way."""
    try:
        return bool(markers(cache) or view.names(cache) or names(os.path.join(cache, FOLDER, UNFINISHED)) or _long_spent(cache))
    except OSError:
        return True  # who sweeps will meet it


def sweep(cache: str) -> None:
    """Put away, under the lock, what killed calls have left: marks, views, whatever they did not finish. Raises `OSError`."""
    alive = live_calls(cache)
    view.sweep(cache, alive)
    if alive:
        return  # they may be writing
    _clear_spent(cache)
    unfinished = made_folder(cache, UNFINISHED)
    for name in names(unfinished):
        if keys.is_http_key(name):
            _bring_together(cache, name)
        _try_unlink(os.path.join(unfinished, name))
    for key, folder in store.build_folders(cache):
        if os.path.realpath(folder) == folder and not (
            _has_wheel(folder) or _has_wheel(os.path.join(cache, keys.wheel_path(key)))
        ):
            for name in names(folder):
                _try_unlink(os.path.join(folder, name))
            _remove_empty(folder)


def _bring_together(cache: str, key: str) -> None:
    """Complete in the store the download whose head is there, with the body that pip's folder has; else what is there goes."""
    own = Entry("download", key, tuple(os.path.join(cache, path) for path in keys.http_paths(key, keys.TWO_FILES)), "")
    head, body = store.http_paths(cache, own)
    if os.path.lexists(body) == os.path.lexists(head):
        return
    if os.path.lexists(body):
        os.unlink(body)
    elif os.path.lexists(own.content) and not os.path.lexists(own.paths[0]):
        os.replace(own.content, body)
    elif stamp_of(own) is not None and is_spent(own):
        _give(cache, own.content, body)
    else:
        os.unlink(head)


def _long_spent(cache: str) -> list[str]:
    """Return the notes of what was spent, or left in its place, so long ago that no pip can still be about to read it.

    Both times are the file system's: calls make and remove their marks in the folder of marks.
    """
    folder = os.path.join(cache, FOLDER, SPENT)
    found = [(path, note.modified) for name in names(folder) if (note := stamp(path := os.path.join(folder, name)))]
    if not found:
        return []
    try:
        now = os.stat(os.path.join(cache, FOLDER, CALLS)).st_mtime_ns
    except OSError:
        return []
    return [path for path, modified in found if now - modified > _SAFE]


def _clear_spent(cache: str) -> None:
    """Delete what was spent long ago, and is so still. Raises `OSError`."""
    made_folder(cache, SPENT)  # not behind a link
    for note in _long_spent(cache):
        if _is_done_with(cache, note):
            os.unlink(note)


def _is_done_with(cache: str, note: str) -> bool:
    """Delete what a *note* is of, if that may be; say whether the note has no use any more."""
    folder, _, rest = os.path.basename(note).partition(".")
    key, _, wheel = rest.removesuffix(_LEFT).partition(".")
    if not keys.is_http_key(key):
        return True
    if wheel.endswith(".whl"):
        return _clear_wheel(os.path.join(cache, keys.wheel_path(key), wheel), note)
    for layout in (keys.TWO_FILES, keys.ONE_FILE):
        if layout.folder == folder:
            _clear_http(cache, key, layout)
    return True


def _clear_http(cache: str, key: str, layout: keys.Layout) -> None:
    entry = Entry("other", key, tuple(os.path.join(cache, path) for path in keys.http_paths(key, layout)), "", layout=layout)
    folder = os.path.dirname(entry.content)
    if os.path.realpath(folder) == folder and is_spent(entry):
        for path in entry.paths:
            _try_unlink(path)


def _clear_wheel(path: str, note: str) -> bool:
    """Delete the wheel that the store has too, if nobody has read it since the *note* was made; say whether it is done with."""
    folder = os.path.dirname(path)
    try:
        with open(note, encoding="ascii") as file:
            same = file.read(100) == _file(path)
        found = os.lstat(path)
    except (OSError, ValueError):
        return True
    if not same or os.path.realpath(folder) != folder:
        return True  # it is another file by now
    if found.st_atime_ns != found.st_mtime_ns:
        _watch(path)
        os.utime(note)
        return False
    _try_unlink(path)
    if not _has_wheel(folder):
        _try_unlink(os.path.join(folder, ORIGIN))
    return True


def _watch(path: str) -> None:
    """Have the system note the next reading of a file, which it does if the last one is not after the last writing."""
    with suppress(OSError):
        found = os.stat(path)
        os.utime(path, ns=(found.st_mtime_ns, found.st_mtime_ns))


def _file(path: str) -> str:
    """Return what stands for the file at *path*, whoever reads it or gives it other names; "" for none."""
    found = stamp(path)
    return f"{found.size} {found.modified} {found.inode}" if found else ""


def _has_wheel(folder: str) -> bool:
    return any(name.endswith(".whl") for name in names(folder))


class Removed(NamedTuple):
    """How many files went, of how many bytes."""

    files: int = 0
    size: int = 0


def clear(cache: str, path: str) -> Removed:
    """Delete the file or the folder at *path* in *cache*, and what is in it; links are deleted, never followed.

    Deletes nothing if the path leads out of the cache, or through a link. What cannot be deleted stays.
    """
    folder = os.path.dirname(path)
    if os.path.realpath(folder) != folder or not f"{folder}{os.sep}".startswith(cache + os.sep):
        return Removed()
    if not os.path.isdir(path) or os.path.islink(path):
        return _cleared(path)
    files = size = 0
    for here, folders, names_ in os.walk(path, topdown=False):
        for name in (*names_, *(name for name in folders if os.path.islink(os.path.join(here, name)))):
            removed = _cleared(os.path.join(here, name))
            files, size = files + removed.files, size + removed.size
        with suppress(OSError):
            os.rmdir(here)
    return Removed(files, size)


def _cleared(path: str) -> Removed:
    try:
        size = os.lstat(path).st_size
        os.unlink(path)
    except OSError:
        return Removed()
    return Removed(1, size)


def clear_empty(cache: str, folder: str) -> int:
    """Delete the empty folders in the *folder* of *cache*, it too if nothing is left in it; return how many went."""
    count = 0
    if os.path.realpath(folder) != folder or not folder.startswith(cache + os.sep):
        return count
    for here, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(here)
            count += 1
    return count


def touch(cache: str, entry: Entry, record: BuildRecord) -> None:
    """Note that a build of the store was used now, and that it has its place in pip's folder."""
    _try_unlink(_left_note(cache, entry))
    path = os.path.join(cache, FOLDER, *store.build_parts(entry.key.partition("/")[0], record.wheel), store.RECORD)
    if os.path.realpath(path) == path:
        with suppress(OSError):
            os.utime(path)


def _text(record: BuildRecord) -> str:
    from pinstall.inspection import build_record

    return json.dumps(build_record.to_json(record))


def move_over(path: str, place: str) -> None:
    """Move what pip has left in a view to its *place* in the cache, over nothing."""
    with suppress(OSError):
        os.rename(path, place)


def _copy_origin(cache: str, source: str, target: str) -> None:
    found = stamp(source)
    if found is not None and found.size <= _LARGEST_ORIGIN:
        with suppress(UnicodeDecodeError), open(source, encoding="utf-8") as file:
            write_file(cache, target, file.read())


def _try_unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _pip_folder(folder: str) -> None:
    """Make a folder of pip's, as pip does; raises `OSError` if a link is in the way."""
    if os.path.realpath(folder) != folder:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), folder)
    os.makedirs(folder, exist_ok=True)
