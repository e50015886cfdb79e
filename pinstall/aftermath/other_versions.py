"""Move other versions of pinned projects from pip's cache to the store; pinstall restores them when a call may need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall.checks import candidates
from pinstall.inspection import integrity
from pinstall.pip_cache import entries
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import actions, lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.model.pins import Pin
    from pinstall.pip_cache.entries import Entry, FileStamp
    from pinstall.pip_cache.locator import Cache
    from pinstall.storage.wanted import Wanted


class OtherVersion(NamedTuple):
    """A cache entry of another version than that of ``pin``, and the stamp of its content.

    ``sha256`` is that of a built wheel, else "".
    """

    pin: Pin
    entry: Entry
    stamp: FileStamp
    sha256: str


def find(cache: Cache, pin: Pin, wanted: Wanted) -> list[OtherVersion]:
    """Return the entries of pip's cache that this environment's pip could use for other versions of *pin*'s project.

    Leaves out versions that are *wanted*, entries whose content is not a regular file, and built wheels that cannot be read or
    are marked for deletion already (see `actions.retire`). Takes no lock, because it hashes built wheels.
    """
    return list(_find(cache, pin, wanted))


def _find(cache: Cache, pin: Pin, wanted: Wanted) -> Iterator[OtherVersion]:
    for entry in candidates.other_versions(cache, pin):
        stamp = entries.stamp(entry.content_path)
        is_retired = isinstance(entry, BuiltWheel) and actions.is_retired(cache.root, entry)
        if stamp is None or is_retired or is_wanted(pin, entry, wanted):
            continue
        try:
            sha256 = _digest(entry) if isinstance(entry, BuiltWheel) else ""
        except OSError:
            continue
        yield OtherVersion(pin, entry, stamp, sha256)


def is_wanted(pin: Pin, entry: Entry, wanted: Wanted) -> bool:
    """Return whether the version of *entry*, which is of *pin*'s project, is wanted; False if its name tells no version."""
    return entry.parsed_filename is not None and wanted.has(pin.project, entry.parsed_filename.version)


def _digest(entry: Entry) -> str:
    with entries.open_content(entry) as file:
        return integrity.sha256(file)


def put_away(root: str, found: Iterable[OtherVersion], wanted: Wanted) -> dict[Pin, list[str]]:
    """Set aside the entries in *found*; return the file names of those that were moved, by pin. The caller holds the lock.

    A built wheel is copied, and the original deleted later (see `actions.retire`). Moves nothing while any call is marked as
    running: its pip may be about to install a built wheel. Leaves the versions that are *wanted* by now, and the entries that
    have changed or cannot be moved. Raises `OSError` if the markers cannot be read.
    """
    if lock.live_calls(root):
        return {}
    moved: dict[Pin, list[str]] = {}
    for other in found:
        if is_wanted(other.pin, other.entry, wanted):
            continue
        try:
            if _put_away(root, other):
                moved.setdefault(other.pin, []).append(other.entry.filename)
        except (actions.NotDoneError, actions.ChangedError):
            continue  # the entry does no harm in pip's cache
    return moved


def _put_away(root: str, other: OtherVersion) -> bool:
    if isinstance(other.entry, BuiltWheel):
        return actions.retire(root, other.entry, other.stamp, other.sha256)
    return actions.set_aside(root, other.entry, other.stamp, other.sha256)
