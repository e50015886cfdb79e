"""Prepare pip's cache for a call: gather candidates, verify them, decide, plan, apply the plan, and make pip's view."""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from pinstall import messages
from pinstall.checks import candidates, plan, unpinned_builds
from pinstall.checks.execute import apply_verdicts, unchecked
from pinstall.messages import ERROR, WARNING
from pinstall.model.pins import settings_by_project
from pinstall.model.verdict import Delete, Keep
from pinstall.storage import build_notes, lock, store, view
from pinstall.storage.view import View
from pinstall.storage.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinstall.checks.candidates import Gathered
    from pinstall.checks.checker import Checker, Finding
    from pinstall.checks.plan import Plan
    from pinstall.journal import Journal
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.entries import FileStamp
    from pinstall.pip_cache.locator import Cache
    from pinstall.pip_process import PipCommand
    from pinstall.settings import Settings
    from pinstall.shared_store.session import SharedStore


# With these, file systems and Windows refuse links.
_NO_LINKS = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class PreparedCache(NamedTuple):
    """A cache that is prepared for the pip of a call.

    ``pins`` are those that the environment does not satisfy; empty if the cache is prepared only after a failure. ``needed``
    are those of them that were checked, because pip may need them (`reachable.needed`). ``deleted`` are the findings whose
    entries were deleted from pip's cache. ``pip_command`` starts pip. ``resources`` hold the call's marker file, and a view in
    a temporary folder, until pip's builds are stored; ``name`` is the name of the call, "" if it has no marker. ``view`` is
    None if pip uses its cache directly, or runs without it (``uses_cache`` is False). ``dist_infos`` are the ``.dist-info``
    folders before pip ran. ``began`` is the start of the call in seconds since the epoch, by the clock of the cache's file
    system if there is a marker. ``wanted`` are the versions that stay in the cache. ``answers`` are the plans for keys of built
    wheels about which pip has asked (`checks.consultation`). ``shared`` is the shared store, if there is one.
    """

    checker: Checker
    pins: Sequence[Pin]
    needed: Sequence[Pin]
    settings: Settings
    plan: Plan
    deleted: list[Finding]
    pip_command: PipCommand
    resources: ExitStack
    name: str
    view: View | None
    uses_cache: bool
    dist_infos: Sequence[str]
    began: float
    wanted: Wanted
    answers: list[Plan]
    shared: SharedStore | None = None

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plan of the call, and the ``answers``."""
        return self.plan, *self.answers

    def is_new(self, stamp: FileStamp) -> bool:
        """Return whether a file with this *stamp* has changed since the call began."""
        return stamp.changed >= self.began * 1e9

    @property
    def cache(self) -> Cache:
        """Pip's cache."""
        return self.checker.cache

    @property
    def is_at_work(self) -> bool:
        """Whether pip uses the cache, and pinstall may change it."""
        return self.settings.writes and self.uses_cache

    @property
    def watched_folder(self) -> str:
        """The resolved path of the cache folder that this call's pip uses; "" without `is_at_work`: nobody watches pip."""
        return os.path.realpath(self.view.folder if self.view else self.cache.root) if self.is_at_work else ""

    @property
    def notes_folder(self) -> str:
        """The folder for the notes on this call's builds; "" if they are not watched."""
        is_watched = self.is_at_work and self.name and self.settings.watches_builds
        return build_notes.folder(self.cache.root, self.name) if is_watched else ""

    def make_view(self) -> View:
        """Make the view of the plan, as a rule in the cache.

        It is a temporary folder if the call has no marker, because the cache is read-only, or if the cache's disk has no links.
        Raises `OSError`.
        """
        root, plan = self.cache.root, self.plan.view
        if self.name:  # a call without a marker cannot write to the cache
            try:
                return View(view.make(root, self.name, plan, [self.cache.http.layout.folder]), self.name)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
        from tempfile import TemporaryDirectory

        place = self.resources.enter_context(TemporaryDirectory(prefix="pinstall-", ignore_cleanup_errors=True))
        return View(view.fill(root, place, plan), "")


def prepare(
    checker: Checker, pins: Sequence[Pin], pip_command: PipCommand, settings: Settings, journal: Journal
) -> PreparedCache:
    """Check the entries that pip may use: remove or set aside those that do not match, restore stored ones that it may need.

    *pins* are those that the environment does not satisfy. For projects without a pin, only built wheels and stored files are
    checked. Then marks this call as running, makes a view if pip needs one, and returns the prepared cache. Says each change.
    Under ``PINSTALL_POLICY=report``, only says what it would do. If no view can be made, pip runs without its cache.
    """
    cache = checker.cache
    needed, planned, deleted = _checked(checker, pins, settings, journal)
    prepared = PreparedCache(
        checker,
        pins,
        needed,
        settings,
        planned,
        deleted,
        pip_command,
        ExitStack(),
        name="",
        view=None,
        uses_cache=True,
        dist_infos=cache.environment.all_dist_infos(),
        began=time.time(),
        wanted=Wanted(cache.root),
        answers=[],
        shared=_shared_store(settings),
    )
    return _begun(prepared, journal)


def _checked(
    checker: Checker, pins: Sequence[Pin], settings: Settings, journal: Journal
) -> tuple[Sequence[Pin], Plan, list[Finding]]:
    """Check the candidates for *pins* and apply the plan, or say what it would do under ``PINSTALL_POLICY=report``.

    Returns the pins that were checked, the plan, whose view also hides the entries that could not be removed, moved or read,
    and the findings whose entries were deleted from pip's cache. The checked pins are those that pip may need; all of *pins* if
    an entry does not match. Adds all findings, and those that were applied, to the *journal*.
    """
    cache = checker.cache
    by_project = settings_by_project(cache.call.lines, cache.environment.markers)
    # A call that shapes builds builds other wheels than plain pip does, so its pip builds into a view.
    is_shaped = checker.builds.are_shaped(by_project, by_project.values())
    needed = _needed(cache, pins)
    gathered = _gathered(checker, pins, needed, is_shaped=is_shaped)
    findings = checker.check(gathered.candidates)
    if len(needed) < len(pins) and not all(isinstance(finding.verdict, Keep) for finding in findings):
        # What replaces an entry that does not match may have other dependencies.
        needed, gathered = pins, _gathered(checker, pins, pins, is_shaped=is_shaped)
        findings = checker.check(gathered.candidates)
    journal.findings += findings
    # A build that is fetched while pip runs is for this call's pip alone, so it needs a view.
    any_key = gathered.any_key or is_shaped or settings.shares
    planned = plan.make(findings, gathered.wheel_keys, cache.idle_keys() if any_key else (), any_key=any_key)
    lines = list(messages.hidden(planned.hidden, would=not settings.writes))
    deleted: list[Finding] = []
    if settings.writes:
        applied = apply_verdicts(checker, planned.acts, settings.lock_timeout, journal.say)
        journal.applied += applied.done
        deleted = [done for done in applied.done if isinstance(done.verdict, Delete) and not done.stored]
        for finding, why in applied.failed:
            if finding.stored:  # pip does not see it
                continue
            planned = planned.without(finding)
            journal.say(WARNING, messages.unseen(finding, why))
    else:
        lines = [*messages.changes(filter(plan.is_act, planned.acts), would=True), *lines]
        lines += [(WARNING, messages.unseen(finding, why, would=True)) for finding, why in unchecked(planned.acts)]
    for level, line in lines:
        journal.say(level, line)
    return needed, planned, deleted


def _needed(cache: Cache, pins: Sequence[Pin]) -> Sequence[Pin]:
    """Return those of *pins* that pip can need; all of them if that cannot be told (`reachable.needed`)."""
    if all(pin.requested for pin in pins):
        return pins
    from pinstall.checks import reachable

    return reachable.needed(cache, pins)


def _gathered(checker: Checker, pins: Sequence[Pin], needed: Sequence[Pin], *, is_shaped: bool) -> Gathered:
    """Return the candidates for the *needed* ones of *pins*, and for unpinned projects that the call or a dependency needs.

    For the latter, only built wheels and stored files. *is_shaped* says whether the call sets something that shapes builds.
    """
    cache = checker.cache
    gathered = candidates.gather(cache, needed)
    if is_shaped or store.has_builds_folder(cache.root):
        gathered = gathered.joined(unpinned_builds.gather(cache, needed, checker.builds.has_changed, is_shaped=is_shaped))
    if kept := store.projects(cache.root) - {pin.project for pin in pins}:
        from pinstall.checks import restorable

        gathered = gathered.joined(restorable.gather(cache, needed, kept))
    return gathered


def _shared_store(settings: Settings) -> SharedStore | None:
    if settings.shared_store is None or not settings.shares:
        return None
    from pinstall.shared_store.session import SharedStore

    return SharedStore(settings.shared_store)


def _begun(prepared: PreparedCache, journal: Journal) -> PreparedCache:
    """Write the marker of the call, and make a view if pip needs one. Without a view that it needs, pip runs without its cache.

    Under PINSTALL_POLICY=report pinstall does not even write the marker, so other calls do not wait for this one.
    """
    if prepared.settings.writes:
        name = prepared.resources.enter_context(lock.call_marker(prepared.cache.root))
        prepared = prepared._replace(name=name or "", began=lock.began(prepared.cache.root, name) or prepared.began)
    if not (prepared.is_at_work and prepared.plan.view.needed):
        return prepared
    try:
        new_view = prepared.make_view()
    except OSError as error:
        journal.say(ERROR, messages.without_cache(messages.no_view(error)))
        return prepared._replace(uses_cache=False, pip_command=prepared.pip_command.without_cache())
    return prepared._replace(view=new_view, pip_command=prepared.pip_command.with_cache(new_view.folder))
