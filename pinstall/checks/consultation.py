"""Check compiled wheels that pip is about to use for requirements that nobody pinned, as dependencies are.

pip's process asks before it searches a folder of built wheels (`pip_child.Witness`), because only pip knows its dependencies.
A wheel that lacks a library would be installed with status 0, and could not be imported.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from pinstall import messages
from pinstall.checks.candidates import Candidate
from pinstall.checks.checker import Finding
from pinstall.inspection import integrity
from pinstall.model import links
from pinstall.model.pins import Pin
from pinstall.model.verdict import Hide, not_found
from pinstall.pip_cache import built_wheels, entries, keys
from pinstall.storage import actions, lock, store, view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinstall.checks.prepare import PreparedCache
    from pinstall.journal import Journal
    from pinstall.pip_cache.entries import BuiltWheel

_PURE = "-none-any.whl"
# Seconds to wait for the lock: pip is waiting, too.
_PATIENCE = 2.0


def consult(prepared: PreparedCache, folder: str, journal: Journal) -> None:
    """Keep compiled wheels that lack a library from pip: hide them in the view, and set them aside. Print a warning for each.

    *folder* is the full path of the folder below ``wheels/`` that pip is about to search, in its cache or in the view. The
    wheels are those of the same folder in pip's cache, except for those that the call has checked. The new findings go to the
    *journal*. Waits at most two seconds for the lock, for each wheel. Raises `OSError`; without a view also
    `lock.LockTimeoutError` and the errors of `actions.set_aside`.
    """
    seen = {finding.entry.content_path for finding in journal.findings}
    for wheel in _wheels(prepared, folder):
        if wheel.content_path in seen or wheel.filename.endswith(_PURE):
            continue
        finding = _examined(prepared, wheel)
        if finding and _keep_away(prepared, finding, wheel):
            journal.findings.append(finding)
            for level, line in messages.hidden([finding]):
                journal.say(level, line)


def _wheels(prepared: PreparedCache, folder: str) -> Iterator[BuiltWheel]:
    key = built_wheels.key_of(folder)
    own = os.path.join(prepared.cache.root, keys.wheel_path(key))
    for project in {links.project_of(name) for name in entries.names(own)}:
        yield from built_wheels.built_under(own, key, project)


def _examined(prepared: PreparedCache, wheel: BuiltWheel) -> Finding | None:
    """Return the finding that *wheel* lacks a library; None if it does not, or is not a regular file. Raises `OSError`.

    A library counts if the build record has its path, and nothing is there now; for a wheel without a build record, if the
    system has another version of it.
    """
    stamp = entries.stamp_of(wheel)
    if stamp is None or wheel.parsed_filename is None:
        return None
    with entries.open_content(wheel) as file:
        sha256 = integrity.sha256(file)
    builds, record = prepared.checker.builds, store.first_record(prepared.cache.root, wheel, sha256)
    # Of a plain pip's wheel nobody knows which libraries are the system's: a package that comes later may bring others.
    missing = builds.missing(wheel, record) if record else builds.renamed(wheel)
    if not missing:
        return None
    project = links.project_of(wheel.filename)
    pin = Pin(project, SpecifierSet(f"=={wheel.parsed_filename.version}"), "", (), ("chosen by pip",), requested=False)
    return Finding(Candidate(pin, wheel), stamp, Hide("missing-library", not_found(missing)), sha256=sha256)


def _keep_away(prepared: PreparedCache, finding: Finding, wheel: BuiltWheel) -> bool:
    """Keep *wheel* from this pip, so that the next build takes its place; return whether that was done.

    A view hides it from this pip; it also goes to the store, which may fail. Without a view, it must go to the store, and the
    result is False if it is gone already. Raises `OSError`; without a view also `lock.LockTimeoutError` and as
    `actions.set_aside`.
    """
    if not prepared.view:
        return _set_aside(prepared, finding, wheel)
    view.hide(prepared.view.folder, wheel)
    with suppress(OSError, lock.LockTimeoutError, actions.NotDoneError, actions.ChangedError):
        _set_aside(prepared, finding, wheel)
    return True


def _set_aside(prepared: PreparedCache, finding: Finding, wheel: BuiltWheel) -> bool:
    with lock.held(prepared.cache.root, _PATIENCE, lambda _: None):
        return actions.set_aside(prepared.cache.root, wheel, finding.stamp, finding.sha256)
