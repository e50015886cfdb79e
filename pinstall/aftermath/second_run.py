"""Decide whether a pip that failed runs once more, and tell the user about the decision and the result.

`rescue` limits the view of the second run and takes over the entries that it received.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pinstall import messages
from pinstall.aftermath.install_report import Report
from pinstall.aftermath.locked import under_lock
from pinstall.aftermath.outcome import SecondRun
from pinstall.aftermath.rescue import Rescue
from pinstall.aftermath.survey import used
from pinstall.exit_status import FAILED, REFUSED_OR_CRASHED
from pinstall.messages import NOTE, WARNING
from pinstall.storage import actions, view

if TYPE_CHECKING:
    from pinstall.aftermath.outcome import Outcome
    from pinstall.checks.prepare import PreparedCache
    from pinstall.journal import Journal
    from pinstall.pip_process import Observation


def move_received(prepared: PreparedCache) -> None:
    """Move the entries that the first run received in place of hidden ones to the cache, as pip would have put them there.

    Does nothing without a view, or if it hides no HTTP entry.
    """
    if prepared.view is not None and prepared.plan.view.absent:
        actions.take_over_received(prepared.cache.root, prepared.view.folder, prepared.cache.http.layout)


def inspect_failure(prepared: PreparedCache, status: int, first: Observation | None) -> Rescue | None:
    """Inspect the cache entries that a pip used before it ended with *status*.

    *first* is what that pip did. Returns None if it neither failed nor crashed, if it was not watched (*first* is None then),
    if it ran without its cache, or if pinstall must not change that. Comes after `move_received`.
    """
    if not prepared.is_at_work or first is None or status not in (FAILED, REFUSED_OR_CRASHED):
        return None
    prepared.cache.forget_pages()
    layout = prepared.cache.http.layout
    left = view.received(prepared.view.folder, layout) if prepared.view else ()  # could not be moved to the cache
    received = used(first, layout).new.difference(left)
    hidden = {entry.key for entry in prepared.plan.view.absent} - received
    return Rescue(prepared.checker, prepared.pins, first, hidden)


def prepare(prepared: PreparedCache, rescue: Rescue, journal: Journal) -> SecondRun | None:
    """Prepare the second run if the cache may be to blame and nothing forbids it; else return None.

    Makes or limits its view, removes the distributions that the first run left half-installed, and tells the user that pip runs
    again. If something forbids it, or no view can be made, tells the user why. If long builds forbid it, alone or with other
    reasons, spends the doubtful pages and redirects, so that the next call fetches them.
    """
    if not rescue.is_called_for:
        return None
    if why := rescue.forbidden():
        journal.say(WARNING, messages.not_again(why, rescue.doubtful, silent=bool(rescue.silent_hosts)))
        if rescue.is_too_long and (gone := under_lock(prepared, rescue.spend_doubtful_pages, journal)):
            journal.say(NOTE, messages.invalidated(gone))
        return None
    try:
        seen = prepared.view or prepared.make_view()
        rescue.seal(seen.folder)
    except OSError as error:
        journal.say(WARNING, messages.not_again(messages.no_view(error), rescue.doubtful))
        return None
    # A first run that has installed nothing may have left the report of an earlier call.
    report = Report(prepared.cache.call.values.get("json_report_file") if rescue.first.created_dist_infos else None)
    half = actions.remove_half_installed(rescue.first.created_dist_infos, prepared.dist_infos)
    journal.repairs = {"removed": [], "mended": half, "sound": len(rescue.survey.vouched)}
    journal.runs += 1
    journal.say(WARNING, messages.again(rescue.doubtful))
    return SecondRun(prepared.pip_command.with_cache(seen.folder), seen, rescue.known_failures, report)


def take_received(prepared: PreparedCache, outcome: Outcome, journal: Journal) -> None:
    """Move the entries that the second run received to the cache.

    After a success, that is all of them; also tells the user which old entries were wrong, and completes pip's installation
    report. After a failure, moves only those that are worth it (`Rescue.take_received`), and tells that the second run made no
    difference. If the lock is not free, moves none. Does nothing without a second run, and if that was interrupted.
    """
    status, rescue, second = outcome.status, outcome.rescue, outcome.second
    if rescue is None or second is None or status not in (0, FAILED, REFUSED_OR_CRASHED):
        return
    wrong = under_lock(
        prepared, partial(rescue.take_received, second.view.folder, succeeded=status == 0), journal, warns=status == 0
    )
    if journal.repairs is not None:
        journal.repairs["removed"] = [one.name for one in wrong or ()]
    if status:
        journal.say(NOTE, messages.FAILED_AGAIN)
        return
    prepared.cache.environment.forget()
    second.report.complete(prepared.cache.environment)
    if wrong is not None:
        journal.say(WARNING, messages.blamed(wrong))
