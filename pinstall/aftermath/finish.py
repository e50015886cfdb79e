"""The steps after pip: keep the wheels that it built, explain a failure, move other versions aside, and write the ledgers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinstall import messages
from pinstall.aftermath import other_versions, record_builds
from pinstall.aftermath.outcome import CRASHED, FAILED, under_lock
from pinstall.checks.satisfied import is_installed
from pinstall.messages import NOTE, WARNING
from pinstall.model.verdict import Delete
from pinstall.pip_cache import keys
from pinstall.storage import build_notes, cleanup, lock
from pinstall.storage.ledger import write_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pinstall.aftermath.other_versions import OtherVersion
    from pinstall.aftermath.outcome import Outcome
    from pinstall.aftermath.rescue import Rescue
    from pinstall.checks.prepare import Prepared
    from pinstall.journal import Journal
    from pinstall.model.pins import Pin

_ELSEWHERE = ("target_dir", "prefix_path", "root_path")


def other_versions_now(prepared: Prepared) -> dict[Pin, list[OtherVersion]]:
    """Find, while pip runs, the other versions of the pins whose index pages are all cached."""
    if not prepared.is_at_work or prepared.settings.keeps_versions:
        return {}
    pins = [pin for pin in prepared.pins if pin.has_version and prepared.cache.locate(pin).complete]
    return {pin: other_versions.find(prepared.cache, pin) for pin in pins}


def finish(prepared: Prepared, outcome: Outcome, journal: Journal) -> None:
    """Tidy the cache after pip. It never waits for the lock: a later call does the steps that are skipped now."""
    status, rescue = outcome.status, outcome.rescue
    view = outcome.second.view if outcome.second else prepared.view
    name = view.name if view else ""
    if prepared.is_at_work:
        if prepared.cache.pip > keys.NEWEST_PIP:
            _look_for_unknown_layout(prepared, name, journal)
        journal.built = record_builds.builds(prepared, name)
    build_notes.remove(prepared.notes)
    prepared.marker.close()
    if not prepared.changes:
        _tell_of_other_versions(prepared, status, journal)
        return
    if status == 0:
        _note_unchanged(prepared)
    elif rescue is not None:
        for wrong in under_lock(prepared, rescue.clean, journal, waits=False):
            journal.say(NOTE, messages.refused(wrong.name, wrong.reason))
    if status in (FAILED, CRASHED):
        _explain(prepared, rescue, status, journal)
    unwanted = _unwanted(prepared, outcome.others) if status == 0 and prepared.uses_cache else []
    _write(prepared, name, unwanted, journal)


def _look_for_unknown_layout(prepared: Prepared, name: str, journal: Journal) -> None:
    from pinstall.aftermath import unknown_layout

    cache = prepared.cache
    version = ".".join(map(str, cache.pip))
    found = messages.listed(unknown_layout.signs(cache, name, prepared.began))
    if found and unknown_layout.is_first(cache.root, version):
        journal.say(WARNING, messages.unknown_parts(found, version))


def _explain(prepared: Prepared, rescue: Rescue | None, status: int, journal: Journal) -> None:
    from pinstall.aftermath.explain import causes

    prepared.cache.forget_pages()
    # Status 2 is a crash, as on a full disk, or a usage error, after which pip has requested nothing: no pin is the cause.
    pins = prepared.pins if status == FAILED else ()
    journal.causes = causes(prepared.cache, pins, rescue.told if rescue else ())
    for line in journal.causes:
        journal.say(WARNING, line)


def _write(prepared: Prepared, name: str, unwanted: Sequence[OtherVersion], journal: Journal) -> None:
    """Move *unwanted* versions to the store, write the ledgers, shrink the store and remove leftovers, if the lock is free."""
    root, ledgers = prepared.cache.root, prepared.checker.prover.ledgers.values()
    if not (unwanted or name or any(ledger.changed for ledger in ledgers) or cleanup.has_litter(root)):
        return
    try:
        with lock.held(root, 0, lambda line: journal.say(WARNING, line)):
            moved = other_versions.put_away(root, unwanted) if unwanted else {}
            write_all(ledgers)
            if moved or name:
                cleanup.prune(root, prepared.settings.store_size)
            cleanup.sweep(root)
    except (OSError, lock.LockTimeoutError):
        return
    for pin, names in moved.items():
        journal.set_aside += names
        journal.say(NOTE, messages.set_aside_versions(pin, names))


def _note_unchanged(prepared: Prepared) -> None:
    """Remember deleted entries that pip received or built again unchanged and accepted: pinstall does not delete them again."""
    for finding in prepared.deleted:
        again = prepared.checker.again(finding)
        if again is None or not isinstance(finding.verdict, Delete):
            continue
        same = again.identity == finding.identity and isinstance(again.verdict, Delete)
        ledger = prepared.checker.prover.ledger(finding.pin.project)
        ledger.came_back(finding.entry.key, finding.verdict.reason, again.identity if same else None)


def _tell_of_other_versions(prepared: Prepared, status: int, journal: Journal) -> None:
    """Print the other versions that pinstall would set aside, if pip succeeded."""
    would: dict[Pin, list[str]] = {}
    for other in _unwanted(prepared, {}) if status == 0 and prepared.uses_cache else ():
        would.setdefault(other.pin, []).append(other.entry.filename)
    for pin, names in would.items():
        journal.say(NOTE, messages.set_aside_versions(pin, names, would=True))


def _unwanted(prepared: Prepared, found: Mapping[Pin, list[OtherVersion]]) -> list[OtherVersion]:
    """Return the cached other versions of the pins that this call installed."""
    if prepared.settings.keeps_versions:
        return []
    cache, environment = prepared.cache, prepared.cache.environment
    environment.forget()
    cache.forget_pages()
    elsewhere = cache.call.has(*_ELSEWHERE, "dry_run")
    pinned = [pin for pin in prepared.pins if pin.has_version]
    settled = [pin for pin in pinned if (pin.requested if elsewhere else is_installed(pin, environment))]
    return [other for pin in settled for other in (found[pin] if pin in found else other_versions.find(cache, pin))]
