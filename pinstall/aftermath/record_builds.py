"""Move the wheels that pip has built to the store, with build records, and copy them to pip's folder if that has none."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from pinstall.model import links
from pinstall.model.names import normalized
from pinstall.model.pins import settings_by_project
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import actions, store, view

if TYPE_CHECKING:
    from pinstall.checks.prepare import Prepared


def builds(prepared: Prepared, name: str) -> list[str]:
    """Store the wheels that pip has built in the view *name*, adopt those that plain pip had built, and remove the view.

    *name* is "" if the call has no view in the cache. Returns the file names of the wheels built in this call. If a wheel
    cannot be stored, the next call builds it again.
    """
    found: list[str] = []
    checker, root = prepared.checker, prepared.cache.root
    by_project = {pin.project: pin for pin in prepared.pins}
    settings = settings_by_project(prepared.cache.call.lines)
    for finding in prepared.plan.used:
        record = finding.record
        entry = finding.entry
        if record is None or not isinstance(entry, BuiltWheel):
            continue
        actions.touch(root, entry, record)
        if not record.seen and store.record(root, entry.wheel_key, record.wheel) is None:
            with suppress(Exception):  # a library's error for one wheel must not affect the others
                actions.adopt(root, entry, record)
    if not name:
        return found
    for key, path in view.built(root, name):
        filename = os.path.basename(path)
        project = normalized(filename.partition("-")[0])
        entry = BuiltWheel(key, path, links.label(filename, project))
        found.append(filename)
        with suppress(Exception):  # as above
            hashes = by_project[project].hashes if project in by_project else ()
            if record := checker.builds.record(project, settings.get(project, ()), hashes, entry):
                actions.keep_build(root, key, path, record)
    for path, place in view.left(root, name):
        actions.move_over(path, place)
    view.remove(root, name)
    return found
