"""Check the built wheels of a folder that pip is about to search, as far as nobody could know before that it would.

pip's process asks (`pip_child.Witness`), because only pip knows its dependencies, and what its index says now. Before pip ran,
the keys of pinned projects were known from cached pages, and hidden was only what pip seemed to need: a newer page leads to
other keys, and pip passes over a wheel that is yanked or too new, and builds. So all wheels of a pinned version are held to the
pin now. Of what nobody pinned, a compiled wheel that lacks a library would be installed with status 0, and could not be
imported.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from pinstall import messages
from pinstall.checks import plan
from pinstall.checks.candidates import Candidate
from pinstall.checks.checker import Finding
from pinstall.checks.execute import Applied, Failure, apply_verdicts, changed_again, why_not
from pinstall.inspection import integrity
from pinstall.messages import WARNING
from pinstall.model import links
from pinstall.model.pins import Pin
from pinstall.model.verdict import Delete, Hide, Keep, Unreadable, not_found
from pinstall.pip_cache import built_wheels, entries, keys
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import actions, lock, store, view

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pinstall.checks.prepare import PreparedCache
    from pinstall.journal import Journal

_PURE = "-none-any.whl"
# Seconds to wait for the lock: pip is waiting, too.
_PATIENCE = 2.0
_NOT_DONE = (OSError, lock.LockTimeoutError, actions.NotDoneError, actions.ChangedError)


def consult(prepared: PreparedCache, folder: str, journal: Journal) -> None:
    """Keep built wheels from pip that it must not use: those that do not fit a pin, and compiled ones that lack a library.

    *folder* is the full path of the folder below ``wheels/`` that pip is about to search, in its cache or in the view. Wheels
    are held to pins only if no plan covers the folder. Adds the new plans to ``prepared.answers``, and the new findings to the
    *journal*. A wheel that lacks a library is set aside, also with a view. Prints each change of the cache, each wheel that is
    kept from pip without a stored one in its place, and each that cannot be kept from it. Waits for the lock for two seconds at
    a time; a lock that stays held is not raised. Raises `OSError` if a wheel cannot be read, or the view cannot be changed.
    """
    key = built_wheels.key_of(folder)
    if not any(planned.covers(key) for planned in prepared.plans):
        for pin in _pins(prepared, key):
            _hold_to(prepared, pin, key, journal)
    seen = {finding.entry.content_path for finding in journal.findings}
    for wheel in _wheels(prepared, key):
        if wheel.content_path in seen or wheel.filename.endswith(_PURE):
            continue
        if (finding := _lacking(prepared, wheel)) is None:
            continue
        if prepared.view:
            view.hide(prepared.view.folder, wheel)
        why = _set_aside(prepared, finding)
        journal.findings.append(finding)
        if why and not prepared.view:
            journal.say(WARNING, messages.used(finding, why))
            continue
        for level, line in messages.hidden([finding]):
            journal.say(level, line)


def _names(prepared: PreparedCache, key: str) -> set[str]:
    """Return the projects of the files under *key* in pip's own folder and in the store."""
    root = prepared.cache.root
    kept = store.builds_folder(root, key)
    folders = [_own(prepared, key), *(os.path.join(kept, name) for name in entries.names(kept))]
    return {links.project_of(name) for folder in folders for name in entries.names(folder)}


def _own(prepared: PreparedCache, key: str) -> str:
    return os.path.join(prepared.cache.root, keys.wheel_path(key))


def _wheels(prepared: PreparedCache, key: str) -> Iterator[BuiltWheel]:
    own = _own(prepared, key)
    for project in {links.project_of(name) for name in entries.names(own)}:
        yield from built_wheels.built_under(own, key, project)


def _pins(prepared: PreparedCache, key: str) -> list[Pin]:
    """Return the pins of versions whose projects have a wheel under *key*: as a rule one, because a key is that of a link.

    A pin to a URL or to hashes alone does not say what else pip may build of its project, as for a build environment.
    """
    projects = _names(prepared, key)
    return [pin for pin in prepared.pins if pin.project in projects and pin.has_version]


def _hold_to(prepared: PreparedCache, pin: Pin, key: str, journal: Journal) -> None:
    """Check the wheels of *pin* under *key* as before pip ran, now that pip may build there, and carry out the plan.

    Does nothing if such a wheel in pip's own folder is as new as this call: pip has just built it, and may be about to install
    it. Prints, notes and raises as `consult`.
    """
    candidates = list(_candidates(prepared, pin, key))
    stamps = [entries.stamp_of(candidate.entry) for candidate in candidates if not candidate.stored]
    if any(stamp and prepared.is_new(stamp) for stamp in stamps):
        return
    known = {finding.entry.content_path: finding for finding in journal.findings}
    findings = [_examined(prepared, candidate, known) for candidate in candidates]
    planned = plan.make(findings, {key: True}, (), any_key=False)
    journal.findings += [finding for finding in findings if known.get(finding.entry.content_path) is not finding]
    bad = [finding for finding in planned.acts if isinstance(finding.verdict, Delete | Unreadable)]
    applied = apply_verdicts(prepared.checker, bad, _PATIENCE, journal.say) if bad else Applied([], [])
    journal.applied += applied.done
    prepared.deleted.extend(finding for finding in applied.done if not finding.stored)
    chosen = {finding.entry.content_path for finding in planned.used}
    away = [finding for finding in findings if not finding.stored and finding.entry.content_path not in chosen]
    failed = [failure for failure in applied.failed if not failure.finding.stored]
    failed += _exchange(prepared, away, [finding for finding in planned.used if finding.stored], journal)
    prepared.answers.append(planned)
    for failure in failed:
        journal.say(WARNING, (messages.unseen if prepared.view else messages.used)(*failure))
    stay = {failure.finding.entry.content_path for failure in failed}
    for level, line in messages.hidden(finding for finding in planned.hidden if finding.entry.content_path not in stay):
        journal.say(level, line)


def _exchange(prepared: PreparedCache, away: list[Finding], instead: list[Finding], journal: Journal) -> list[Failure]:
    """Keep wheels of pip's own folder (*away*) from this pip, and let it find stored ones *instead*.

    Changes the view if there is one. Without one, sets the sound ones of *away* aside, because the next build takes their
    place; if all could be, restores those of *instead*, as far as possible, and says so. Returns those that could not be set
    aside. Raises `OSError` if the view cannot be changed.
    """
    if prepared.view:
        for finding in away:
            view.hide(prepared.view.folder, _wheel(finding))
        for finding in instead:
            view.show(prepared.view.folder, _wheel(finding))
        return []
    sound = [finding for finding in away if isinstance(finding.verdict, Keep | Hide)]
    failed = [Failure(finding, why) for finding in sound if (why := _set_aside(prepared, finding))]
    if instead and not failed:
        with suppress(*_NOT_DONE), lock.held(prepared.cache.root, _PATIENCE, lambda _: None):
            restored = [f for f in instead if actions.bring_back(prepared.cache.root, f.entry, f.stamp)]
            journal.applied += restored
            for level, line in messages.changes(restored):
                journal.say(level, line)
    return failed


def _set_aside(prepared: PreparedCache, finding: Finding) -> str:
    """Move a wheel of pip's own folder to the store; return why that failed, "" if it did not, or if the wheel is gone."""
    root = prepared.cache.root
    try:
        with lock.held(root, _PATIENCE, lambda _: None):
            actions.set_aside(root, finding.entry, finding.stamp, finding.sha256)
    except actions.ChangedError:
        return changed_again(finding)
    except (lock.LockTimeoutError, actions.NotDoneError, OSError) as error:
        return why_not(error, root)
    return ""


def _wheel(finding: Finding) -> BuiltWheel:
    assert isinstance(finding.entry, BuiltWheel)  # noqa: S101 (for mypy)
    return finding.entry


def _examined(prepared: PreparedCache, candidate: Candidate, known: Mapping[str, Finding]) -> Finding:
    """Return the finding on *candidate*: the one in *known* (by path) if its file has not changed since, else a new one."""
    before = known.get(candidate.entry.content_path)
    is_same = before is not None and before.stamp is not None and before.stamp == entries.stamp_of(candidate.entry)
    return before if before is not None and is_same else prepared.checker.examine(candidate)


def _candidates(prepared: PreparedCache, pin: Pin, key: str) -> Iterator[Candidate]:
    """Yield the wheels of the pinned version under *key* that pip could install: those of its own folder, then stored ones."""
    cache = prepared.cache
    for stored, found in (
        (False, built_wheels.built_under(_own(prepared, key), key, pin.project)),
        (True, store.builds(cache.root, key, pin.project)),
    ):
        for wheel in found:
            label = wheel.parsed_filename
            if label is not None and pin.admits(label.version) and cache.usable(label):
                yield Candidate(pin, wheel, stored=stored)


def _lacking(prepared: PreparedCache, wheel: BuiltWheel) -> Finding | None:
    """Return the finding that *wheel* lacks a library; None if it does not, is not a regular file, or has an invalid name.

    A library counts if the build record has its path, and nothing is there now; for a wheel without a build record, if the
    system has another version of it. Raises `OSError`.
    """
    stamp = entries.stamp_of(wheel)
    if stamp is None or wheel.parsed_filename is None:
        return None
    with entries.open_content(wheel) as file:
        sha256 = integrity.sha256(file)
    builds, record = prepared.checker.builds, store.first_record(prepared.cache.root, wheel, sha256)
    # Of a plain pip's wheel nobody knows which libraries are the system's: a package that comes later may bring others.
    missing = builds.missing_libraries(wheel, record) if record else builds.libraries_of_another_version(wheel)
    if not missing:
        return None
    project = links.project_of(wheel.filename)
    pin = Pin(project, SpecifierSet(f"=={wheel.parsed_filename.version}"), "", (), ("chosen by pip",), requested=False)
    return Finding(Candidate(pin, wheel), stamp, Hide("missing-library", not_found(missing)), sha256=sha256)
