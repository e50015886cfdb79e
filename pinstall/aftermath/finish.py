"""The steps after pip: store its builds, name the causes of a failure, set other versions aside, and write the ledgers."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from pinstall import messages
from pinstall.aftermath import other_versions, record_builds
from pinstall.aftermath.locked import under_lock
from pinstall.aftermath.record_builds import Built
from pinstall.checks.satisfied import is_installed
from pinstall.exit_status import FAILED, INTERRUPTED, REFUSED_OR_CRASHED
from pinstall.messages import NOTE, WARNING
from pinstall.model import links
from pinstall.model.names import normalized, project_named
from pinstall.model.verdict import Delete, Hide, Keep, SetAside
from pinstall.pip_cache import keys
from pinstall.storage import build_notes, cleanup, lock, other_pips, statistics
from pinstall.storage.ledger import write_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pinstall.aftermath.other_versions import OtherVersion
    from pinstall.aftermath.outcome import Outcome
    from pinstall.aftermath.rescue import Rescue
    from pinstall.checks.prepare import PreparedCache
    from pinstall.journal import Journal
    from pinstall.model.pins import Pin

_ELSEWHERE = ("target_dir", "prefix_path", "root_path")


def other_versions_now(prepared: PreparedCache) -> dict[Pin, list[OtherVersion]]:
    """Find, while pip runs, the entries that `other_versions.find` returns for the pins of versions; return them by pin.

    Leaves out pins that pip does not need, and those of whose pages one is hidden, or not cached: pip may be fetching it.
    Returns nothing if this call sets no versions aside, or if pip does not use the cache.
    """
    if not prepared.is_at_work or _keeps_others(prepared):
        return {}
    asked = {finding.pin.project for finding in prepared.plan.hidden if finding.entry.kind == "page"}
    known = [pin for pin in prepared.needed if pin.has_version and pin.project not in asked]
    pins = [pin for pin in known if prepared.cache.locate(pin).complete]
    return {pin: other_versions.find(prepared.cache, pin, prepared.wanted) for pin in pins}


def finish(prepared: PreparedCache, outcome: Outcome, journal: Journal) -> None:
    """Complete a call after pip's last run: store builds, remove the view, tell the causes of a failure, and tidy the cache.

    It never waits for the lock: a later call does the steps that are skipped now. Also uploads the builds to the shared store,
    which may take until its time-out. If pinstall must not change the cache, only tells which versions it would set aside.
    """
    status, rescue, built = outcome.status, outcome.rescue, list[Built]()
    view = outcome.second.view if outcome.second else prepared.view
    name = view.name if view else ""
    if prepared.is_at_work:
        if prepared.cache.pip > keys.NEWEST_PIP:
            _look_for_unknown_layout(prepared, name, journal)
        built = record_builds.store_builds(prepared, view)
        journal.built = [wheel.filename for wheel in built]
    build_notes.remove(prepared.notes_folder)
    prepared.resources.close()
    if not prepared.settings.writes:
        _tell_of_other_versions(prepared, status, journal)
        return
    if status == 0:
        _tolerate_unchanged(prepared)
    elif rescue is not None:
        for wrong in under_lock(prepared, rescue.remove_refused, journal, waits=False) or ():
            journal.say(NOTE, messages.refused(wrong.name, wrong.reason))
    if status in (FAILED, REFUSED_OR_CRASHED):
        _say_causes(prepared, rescue, status, journal)
    if prepared.shared is not None and built and status != INTERRUPTED:
        from pinstall.shared_store import writing

        with suppress(KeyboardInterrupt):  # it ends the upload; what follows takes no time
            writing.send(prepared, built, journal)
    unwanted = _unwanted(prepared, outcome.others) if status == 0 and prepared.uses_cache else []
    _note_wanted(prepared, status)
    _write(prepared, name, unwanted, journal)
    if prepared.is_at_work:
        statistics.count(prepared.cache.root, _counts(prepared, status, journal))


def _counts(prepared: PreparedCache, status: int, journal: Journal) -> dict[str, int]:
    """Return the counters of this call for `pinstall-cache stats` that are not 0; hits only if pip succeeded (*status* 0)."""
    counts = Counter({"calls": 1, "failed": int(status != 0), "built": len(journal.built)})
    for done in journal.applied:
        match done.verdict:
            case Delete(reason):
                counts[f"removed {reason}"] += 1
            case SetAside(reason):
                counts[f"set aside {reason}"] += 1
            case _:
                counts["restored"] += 1
    for finding in (finding for plan in prepared.plans for finding in plan.hidden):
        if isinstance(finding.verdict, Hide) and finding.entry.kind == "built":
            counts[f"rebuilt {finding.verdict.reason}"] += 1
    counts["set aside other-version"] += len(journal.set_aside)
    counts["healed"] += len(journal.repairs["removed"]) if journal.repairs else 0
    if status == 0:
        counts.update(_hits(prepared, journal))
    return {name: number for name, number in counts.items() if number}


def _hits(prepared: PreparedCache, journal: Journal) -> Counter[str]:
    """Count the projects for which pip had a checked built wheel ("built hits"), or else a checked download ("download hits").

    "missed" are the other pinned projects that pip needs, and "bytes" is the size of one download for each download hit: of a
    wheel if there is one.
    """
    builds = {finding.pin.project for plan in prepared.plans for finding in plan.used}
    sizes: dict[str, tuple[bool, int]] = {}
    for finding in journal.findings:
        is_hit = finding.entry.kind == "download" and isinstance(finding.verdict, Keep) and finding.stamp is not None
        if is_hit and finding.stamp is not None:
            found = (finding.entry.filename.endswith(".whl"), finding.stamp.size)
            sizes[finding.pin.project] = max(found, sizes.get(finding.pin.project, (False, 0)))
    downloads = [size for project, (_, size) in sizes.items() if project not in builds]
    missed = len({pin.project for pin in prepared.needed} - builds - sizes.keys())
    return Counter({"built hits": len(builds), "download hits": len(downloads), "bytes": sum(downloads), "missed": missed})


def _look_for_unknown_layout(prepared: PreparedCache, name: str, journal: Journal) -> None:
    """Warn if the cache, or the view *name* in it, has a layout that pinstall does not know; once for each version of pip."""
    from pinstall.aftermath import unknown_layout

    cache = prepared.cache
    version = ".".join(map(str, cache.pip))
    found = messages.listed(unknown_layout.signs(cache, name, prepared.began))
    if found and unknown_layout.is_first_warning(cache.root, version):
        journal.say(WARNING, messages.unknown_parts(found, version))


def _say_causes(prepared: PreparedCache, rescue: Rescue | None, status: int, journal: Journal) -> None:
    """Warn of the proven causes of a failure with this *status*, and note them in the *journal*.

    After a crash or a usage error (status 2), looks for full disks only.
    """
    from pinstall.aftermath.causes import causes

    prepared.cache.forget_pages()
    # Status 2 is a crash, as on a full disk, or a usage error, after which pip has requested nothing: no pin is the cause.
    pins = prepared.pins if status == FAILED else ()
    journal.causes = causes(prepared.cache, pins, rescue.sent_by_servers if rescue else ())
    for line in journal.causes:
        journal.say(WARNING, line)


def _write(prepared: PreparedCache, name: str, unwanted: Sequence[OtherVersion], journal: Journal) -> None:
    """Move *unwanted* versions to the store and tell the user, write the ledgers, shrink the store and remove leftovers.

    Also saves the versions that are wanted. Does nothing if the lock is not free, or if there is nothing to write or remove.
    *name* is that of the call's view in the cache, whose builds may have made the store grow; "" without one. An `OSError` ends
    these steps, and is not raised.
    """
    root, ledgers = prepared.cache.root, prepared.checker.inspector.ledgers.values()
    wanted = prepared.wanted
    if not (
        unwanted or name or wanted.has_changes or any(ledger.has_changes for ledger in ledgers) or cleanup.has_litter(root)
    ):
        return
    try:
        with lock.held(root, 0, lambda line: journal.say(WARNING, line)):
            if unwanted or wanted.has_changes:
                wanted.write()
            moved = other_versions.put_away(root, unwanted, wanted) if unwanted else {}
            write_all(ledgers)
            if moved or name or prepared.answers:
                cleanup.shrink_store(root, prepared.settings.store_size)
            cleanup.sweep(root, at_once=bool(moved) and not other_pips.may_run(root))
    except (OSError, lock.LockTimeoutError):
        return
    for names in moved.values():
        journal.set_aside += names
    for level, line in messages.set_aside_versions(moved):
        journal.say(level, line)


def _note_wanted(prepared: PreparedCache, status: int) -> None:
    """Note as wanted the versions that this call requests by pins and, if pip succeeded, those that it has installed.

    If pip succeeded, a constraint counts, too, if its version is installed. An unpinned requirement that pip has installed
    counts only if pinstall had to restore it: then two projects need two versions of it. In a call without pins, the same
    holds for every distribution. The notes are in memory until `_write`.
    """
    environment, call = prepared.cache.environment, prepared.cache.call
    environment.forget()
    for pin in prepared.pins:
        if (version := pin.version) and (pin.requested or (status == 0 and is_installed(pin, environment))):
            prepared.wanted.add(pin.project, version)
    if status:
        return
    pinned = {pin.project for pin in prepared.pins}
    loose = {project_named(line.text) for line in call.lines if not line.constraint} - pinned
    restored = {finding.pin.project for finding in prepared.plan.acts if finding.stored and isinstance(finding.verdict, Keep)}
    for folder in set(environment.all_dist_infos()) - set(prepared.dist_infos):
        name, _, text = os.path.basename(folder).removesuffix(".dist-info").rpartition("-")
        project, version = normalized(name), links.parse_version(text)
        if version and (project in restored or (pinned and project not in loose)):
            prepared.wanted.add(project, version)


def _tolerate_unchanged(prepared: PreparedCache) -> None:
    """Remember deleted entries that pip received or built again unchanged and accepted: pinstall does not delete them again.

    The ledger forgets an entry that has other content now, or is not bad any more. For one that is gone, it stays as it is.
    """
    for finding in prepared.deleted:
        again = prepared.checker.again(finding)
        if again is None or not isinstance(finding.verdict, Delete):
            continue
        ledger = prepared.checker.inspector.ledger(finding.pin.project)
        if again.identity == finding.identity and isinstance(again.verdict, Delete):
            ledger.tolerate(finding.entry.key, finding.verdict.reason, again.identity)
        else:
            ledger.stop_tolerating(finding.entry.key, finding.verdict.reason)


def _tell_of_other_versions(prepared: PreparedCache, status: int, journal: Journal) -> None:
    """Print, if pip succeeded, which other versions pinstall would set aside if it were allowed to."""
    would: dict[Pin, list[str]] = {}
    for other in _unwanted(prepared, {}) if status == 0 and prepared.uses_cache else ():
        would.setdefault(other.pin, []).append(other.entry.filename)
    for level, line in messages.set_aside_versions(would, would=True):
        journal.say(level, line)


def _unwanted(prepared: PreparedCache, found: Mapping[Pin, list[OtherVersion]]) -> list[OtherVersion]:
    """Return the other versions in the cache, without wanted ones, of the projects whose pinned version is installed now.

    For a call that installs nothing, or elsewhere, those of all projects that it requests by a pinned version. *found* has the
    result for some pins already. Returns nothing if this call sets no versions aside.
    """
    if _keeps_others(prepared):
        return []
    cache, environment = prepared.cache, prepared.cache.environment
    environment.forget()
    cache.forget_pages()
    elsewhere = not cache.call.installs or cache.call.has(*_ELSEWHERE)
    pinned = [pin for pin in prepared.pins if pin.has_version]
    settled = [pin for pin in pinned if (pin.requested if elsewhere else is_installed(pin, environment))]
    wanted = prepared.wanted
    return [other for pin in settled for other in (found[pin] if pin in found else other_versions.find(cache, pin, wanted))]


def _keeps_others(prepared: PreparedCache) -> bool:
    """Return whether this call sets no other versions aside: the user wants that, or a dry run installs none."""
    return prepared.settings.keeps_versions or prepared.cache.call.has("dry_run")
