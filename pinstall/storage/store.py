"""The store: cache entries that were set aside, and the builds of calls, for later calls, under pip's own cache keys.

store/http/<key>, <key>.body                  a download or .metadata file: its head (response headers) and its body
store/http/<key>.<project>.json               a note of its file name
store/http/<key>.one, <key>.one.<project>.json  the same for pip before 23.3, which keeps head and body in one file
store/builds/<key>/<id>/                      a built wheel with its origin.json, record.json and record-*.json; <id> is the
                                              beginning of its SHA-256
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from pinstall.model import links
from pinstall.model.digest import hashed
from pinstall.pip_cache.built_wheels import built_under
from pinstall.pip_cache.entries import ORIGIN, BuiltWheel, HttpEntry, names, stamp
from pinstall.pip_cache.http_entries import read_head
from pinstall.pip_cache.keys import ONE_FILE, TWO_FILES
from pinstall.storage.folder import FOLDER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pinstall.inspection.build_record import BuildRecord
    from pinstall.pip_cache.entries import Entry

RECORD = "record.json"
_MORE = "record-"
_NOTE = ".json"
_PROJECT = re.compile(r"[a-z0-9-]{1,100}")
_LARGEST_RECORD = 8 << 20
_ID = 16  # hexadecimal digits of the wheel's SHA-256


def http_paths(cache: str, entry: HttpEntry) -> tuple[str, ...]:
    """Return the paths that the files of the HTTP *entry* have in the store, or would have."""
    base = os.path.join(cache, FOLDER, "store", "http", entry.key)
    return tuple(base + ending for ending in (entry.layout.endings if entry.layout == TWO_FILES else (".one",)))


def http_entry(cache: str, entry: HttpEntry) -> HttpEntry | None:
    """Return *entry* with its paths in the store, and ``span``, ``fault`` and ``unreadable`` by the head there.

    None if the store lacks one of its files, or if pip would ignore the head.
    """
    paths = http_paths(cache, entry)
    if any(stamp(path) is None for path in paths):
        return None
    head = read_head(paths[0])
    span = None if entry.layout == TWO_FILES or head is None else head.span
    return entry._replace(paths=paths, span=span, fault=head.fault, unreadable=head.unreadable) if head else None


def note(entry: HttpEntry) -> str:
    """Return the path of the note (see above) of an HTTP *entry* whose paths are those in the store.

    The note's name contains the project, so that a listing of the folder tells it. So *entry* must have the ``filename`` with
    which it was set aside.
    """
    project = links.project_of(entry.filename.removesuffix(".metadata"))
    return f"{entry.paths[0]}.{project if _PROJECT.fullmatch(project) else ''}{_NOTE}"


def beside(entry: Entry) -> list[str]:
    """Return the paths of the files that describe only the stored *entry*: its note, or its origin and records.

    The note or origin may be missing.
    """
    if not isinstance(entry, BuiltWheel):
        return [note(entry)]
    folder = os.path.dirname(entry.content_path)
    return [os.path.join(folder, name) for name in (ORIGIN, *filter(is_record_name, names(folder)))]


def projects(cache: str) -> set[str]:
    """Return the projects of the downloads and ``.metadata`` files in the store, as the names of their notes tell them."""
    return {project for project, _ in _notes(names(os.path.join(cache, FOLDER, "store", "http"))).values()} - {""}


def _notes(found: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the project and the name of each note among the names *found*, by the name of the head that it belongs to."""
    parts = ((name, name.removesuffix(_NOTE).rpartition(".")) for name in found if name.endswith(_NOTE))
    return {head: (project, name) for name, (head, _, project) in parts}


def downloads(cache: str, project: str | None = None) -> Iterator[tuple[HttpEntry, str]]:
    """Yield each whole HTTP entry in the store with its file name, "" if it is not recorded.

    With a *project* (normalized), only those whose notes name it. Their kind is ``other``.
    """
    folder = os.path.join(cache, FOLDER, "store", "http")
    there = names(folder)
    notes = _notes(there)
    for name in there:
        key, _, ending = name.partition(".")
        of, its_note = notes.get(name, ("", ""))
        if ending not in ("", "one") or project not in (None, of):
            continue
        entry = http_entry(cache, HttpEntry("other", key, (), layout=ONE_FILE if ending else TWO_FILES))
        if entry is not None:
            yield entry, _recorded_filename(os.path.join(folder, its_note)) if its_note else ""


def _recorded_filename(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return str(json.load(file)["filename"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


class StoredEntry(NamedTuple):
    """One entry in the store: the paths of its files, their size in bytes, and the time of its last use.

    ``used`` is in nanoseconds since the epoch: the latest modification of one of its files or build records. A build record
    does not count as one of the files, so that it is never pruned: pip's own folder may have a copy of the wheel, and without
    its record the wheel would pass for one that plain pip has built.
    """

    paths: tuple[str, ...]
    size: int
    used: int


def everything(cache: str) -> Iterator[StoredEntry]:
    """Yield all entries in the store, without symbolic links among their files.

    A build of which only records are left has no paths.
    """
    http = os.path.join(cache, FOLDER, "store", "http")
    downloads: dict[str, list[str]] = {}
    for name in names(http):
        downloads.setdefault(name.partition(".")[0], []).append(os.path.join(http, name))
    for paths in downloads.values():
        yield _stored(paths)
    for _, folder in build_folders(cache):
        yield _stored([os.path.join(folder, name) for name in names(folder)])


def build_folders(cache: str) -> Iterator[tuple[str, str]]:
    """Yield the wheel key and the path of each folder of a build in the store, also of one whose wheel is gone."""
    parent = os.path.dirname(builds_folder(cache, "any"))
    for key in names(parent):
        for name in names(os.path.join(parent, key)):
            yield key, os.path.join(parent, key, name)


def _stored(paths: list[str]) -> StoredEntry:
    stamps = {path: found for path in paths if (found := stamp(path)) is not None}
    used = max((found.modified for found in stamps.values()), default=0)
    stamps = {path: found for path, found in stamps.items() if not is_record_name(os.path.basename(path))}
    return StoredEntry(tuple(stamps), sum(found.size for found in stamps.values()), used)


def builds_folder(cache: str, key: str) -> str:
    """Return the path of the store's folder for builds under this wheel *key*."""
    return os.path.join(cache, FOLDER, "store", "builds", key)


def builds(cache: str, key: str, project: str) -> Iterator[BuiltWheel]:
    """Yield the built wheels of *project* (normalized) that the store has under this wheel *key*."""
    folder = builds_folder(cache, key)
    for name in names(folder):
        yield from built_under(os.path.join(folder, name), key, project, store_id=name)


def build_parts(key: str, sha256: str) -> tuple[str, ...]:
    """Return the path of a stored build's folder, as parts below pinstall's folder; *sha256* is the wheel's digest."""
    return ("store", "builds", key, sha256[:_ID])


def is_unchanged(entry: BuiltWheel, sha256: str) -> bool:
    """Return whether a built wheel in the store, whose digest now is *sha256*, is unchanged since pinstall stored it."""
    return os.path.basename(os.path.dirname(entry.content_path)) == sha256[:_ID]


def record_folder(cache: str, wheel: BuiltWheel, sha256: str) -> str:
    """Return the store's folder for the build records of *wheel*, in the store or pip's cache, whose digest is *sha256*."""
    return (
        os.path.dirname(wheel.content_path)
        if wheel.store_id
        else os.path.join(cache, FOLDER, *build_parts(wheel.wheel_key, sha256))
    )


def first_record(cache: str, wheel: BuiltWheel, sha256: str) -> BuildRecord | None:
    """Return the build record in ``record.json`` of *wheel*, whose digest is *sha256*.

    None if it is missing, unreadable, or for other bytes.
    """
    found = load_record(record_folder(cache, wheel, sha256))
    return found if found is not None and found.wheel == sha256 else None


def has_record(cache: str, wheel: BuiltWheel, sha256: str) -> bool:
    """Return whether *wheel*, whose digest is *sha256*, has a ``record.json``, readable or not."""
    return os.path.lexists(os.path.join(record_folder(cache, wheel, sha256), RECORD))


def all_records(cache: str, wheel: BuiltWheel, sha256: str) -> list[BuildRecord]:
    """Return the readable build records of *wheel*, whose digest is *sha256*, that of ``record.json`` first.

    There may be several, because builds under different conditions may give the same bytes.
    """
    folder = record_folder(cache, wheel, sha256)
    found = [
        load_record(folder, name) for name in sorted(filter(is_record_name, names(folder)), key=lambda name: name != RECORD)
    ]
    return [record for record in found if record is not None and record.wheel == sha256]


def is_record_name(name: str) -> bool:
    """Return whether a file of this *name* in the folder of a stored build is a build record."""
    return name == RECORD or (name.startswith(_MORE) and name.endswith(".json"))


def new_record_name(folder: str, record: BuildRecord) -> str:
    """Return the file name for a *record* in the *folder* of its build.

    That is ``record.json``, unless that file has a record of the same wheel from a build under other conditions or with other
    questions; then the name follows from those of *record*.
    """
    before = load_record(folder)
    shape = (record.conditions, record.watched)
    if before is None or before.wheel != record.wheel or (before.conditions, before.watched) == shape:
        return RECORD

    return f"{_MORE}{hashed(repr(shape))[:_ID]}.json"


def load_record(folder: str, name: str = RECORD) -> BuildRecord | None:
    """Return the build record of this *name* in the *folder* of a stored build; None if it has no readable one."""
    path = os.path.join(folder, name)
    if stamp(path) is None:
        return None
    from pinstall.inspection import build_record

    try:
        with open(path, encoding="utf-8") as file:
            return build_record.from_json(json.loads(file.read(_LARGEST_RECORD)))
    except (OSError, ValueError, RecursionError):
        return None


def has_builds_folder(cache: str) -> bool:
    """Return whether the store has a folder of builds, which may be empty again."""
    return os.path.isdir(os.path.dirname(builds_folder(cache, "any")))


def other_records(cache: str, projects: Collection[str]) -> Iterator[BuildRecord]:
    """Yield the readable records of the built wheels in the store, except for those of *projects* (normalized)."""
    for _, folder in build_folders(cache):
        found = names(folder)
        wheels = [name for name in found if name.endswith(".whl")]
        if any(links.project_of(name) not in projects for name in wheels):
            yield from filter(None, (load_record(folder, name) for name in found if is_record_name(name)))


def all_builds(cache: str, project: str) -> Iterator[BuiltWheel]:
    """Yield the built wheels of *project* (normalized) that the store has under any key."""
    for key in names(os.path.dirname(builds_folder(cache, "any"))):
        yield from builds(cache, key, project)
