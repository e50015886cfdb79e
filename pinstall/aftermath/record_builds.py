"""Put the wheels that pip has built into the store, with build records, and copies into pip's folder if that has none."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.inspection import integrity
from pinstall.model import links
from pinstall.model.pins import settings_by_project
from pinstall.pip_cache import built_wheels, entries, keys
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import actions, build_notes, store, view

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pinstall.checks.prepare import PreparedCache
    from pinstall.inspection.build_record import BuildRecord
    from pinstall.storage.build_notes import WatchedBuild
    from pinstall.storage.view import View


class Built(NamedTuple):
    """A wheel that pip has built in this call, under a wheel ``key``; without a ``record`` if pinstall has not stored it.

    ``settings`` are the config settings (``key=value``) of its build.
    """

    key: str
    filename: str
    record: BuildRecord | None
    settings: tuple[str, ...]


def store_builds(prepared: PreparedCache, shown: View | None) -> list[Built]:
    """Store the wheels that pip has built: those in the view *shown* and, if the first run had no view, those in its cache.

    *shown* is the view of the last run; None without one. Also adopts the wheels of plain pip that fit the call, notes that all
    that fit are used, moves other files that pip made at the top of the view to the cache, and removes a view in the cache.
    Returns the wheels built in this call, also those that it could not store, and that vanish with the view. Raises no error
    for a single wheel.
    """
    found: list[Built] = []
    checker, root = prepared.checker, prepared.cache.root
    by_project = {pin.project: pin for pin in prepared.pins}
    settings = settings_by_project(prepared.cache.call.lines, prepared.cache.environment.markers)
    for finding in (finding for plan in prepared.plans for finding in plan.used):
        record = finding.record
        entry = finding.entry
        if record is None or not isinstance(entry, BuiltWheel):
            continue
        actions.touch(root, entry, record)
        if not record.observed and store.first_record(root, entry, record.wheel) is None:
            with suppress(Exception):  # a library's error for one wheel must not affect the others
                actions.adopt(root, entry, record)
    notes = _by_wheel(prepared.notes_folder)
    in_view = set(view.built(shown.folder)) if shown else set()
    # A first run without a view has built in place; so does the second one in folders of its view that are links.
    built = in_view.union(_built_in_place(prepared, notes) if prepared.view is None else ())
    for key, path in sorted(built):
        filename = os.path.basename(path)
        project = links.project_of(filename)
        entry = BuiltWheel(key, path, links.parse_filename(filename, project))
        own, kept = settings.get(project, ()), None
        with suppress(Exception):  # as above
            hashes = by_project[project].hashes if project in by_project else ()
            build = notes.get(filename)
            record = checker.builds.record(project, own, hashes, entry, build.notes if build else ())
            if record and (key, path) in in_view:
                actions.store_build(root, key, path, record)
            elif record:
                actions.adopt(root, entry, record)
            kept = record
        found.append(Built(key, filename, kept, own))
    for path, place in view.unclaimed(root, shown.folder) if shown else ():
        actions.move_to_cache(path, place)
    if shown and shown.name:
        view.remove(root, shown.name)
    return found


def _by_wheel(folder: str) -> dict[str, WatchedBuild]:
    """Return the watched builds by the file names of the wheels that they made. *folder* has their notes; "" without any.

    Of several builds of one file name, the last one counts, with the notes of all.
    """
    found: dict[str, WatchedBuild] = {}
    for build in build_notes.read(folder) if folder else ():
        for wheel in build.wheels:
            before = found.get(wheel, build)
            found[wheel] = build if before is build else build._replace(notes=before.notes + build.notes)
    return found


def _built_in_place(prepared: PreparedCache, notes: Mapping[str, WatchedBuild]) -> Iterator[tuple[str, str]]:
    """Yield (key, path) of each wheel that pip has built into its own cache, because the call has no view.

    If builds are watched, these are the wheels with a name and digest in *notes*. Else they are those that are new since the
    call began, in folders about which pip has asked and that had no wheel that fits.
    """
    if not prepared.notes_folder:
        yield from _new_in_place(prepared)
    for folder, key in built_wheels.walk_built(prepared.cache.root) if notes else ():
        for name in notes.keys() & set(entries.names(folder)):
            path = os.path.join(folder, name)
            with suppress(OSError), open(path, "rb") as file:
                if integrity.sha256(file) == notes[name].wheels[name]:
                    yield key, path


def _new_in_place(prepared: PreparedCache) -> Iterator[tuple[str, str]]:
    for key in (key for planned in prepared.answers if not planned.used for key in planned.view.private):
        folder = os.path.join(prepared.cache.root, keys.wheel_path(key))
        for name in entries.names(folder):
            stamp = entries.stamp(os.path.join(folder, name)) if name.endswith(".whl") else None
            if stamp is not None and prepared.is_new(stamp):
                yield key, os.path.join(folder, name)
