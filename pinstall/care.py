"""Care: the cache put right for one call's pip, and in order after it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall import messages
from pinstall.aftermath import install_report, other_versions, record_builds
from pinstall.checks.checker import Checker
from pinstall.checks.execute import is_act, settle
from pinstall.checks.satisfied import is_installed
from pinstall.invocation.pip_config import is_false
from pinstall.messages import ERROR, NOTE, WARNING
from pinstall.model.pins import settings_by_project
from pinstall.model.verdict import Delete
from pinstall.pip_cache import keys
from pinstall.storage import actions, lock, store, view
from pinstall.storage.ledger import write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pinstall.aftermath.other_versions import OtherVersion
    from pinstall.aftermath.rescue import Rescue, Wrong
    from pinstall.checks.checker import Finding
    from pinstall.checks.execute import Applied
    from pinstall.messages import Say
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.locator import Cache
    from pinstall.pip_process import Given, Observation

_FAILED = 1
_CRASHED = 2  # or a usage error: pip does not tell these apart
_ELSEWHERE = ("target_dir", "prefix_path", "root_path")


class Again(NamedTuple):
    """A second run of pip: what it is ``given``, its ``cache`` folder, and what it may go on without (see `Rescue.excused`)."""

    given: Given
    cache: str
    excused: list[str] | None


class Care:
    """The care of a *cache* for its call: *pins* are those that the environment does not satisfy.

    For the report: what was ``looked`` at, ``acted`` upon, ``set_aside``, ``built`` and ``healed``, how many ``tries`` pip had,
    and the ``causes`` of its failure.
    """

    def __init__(self, cache: Cache, pins: list[Pin], environ: Mapping[str, str], say: Say) -> None:
        self._root, self._call, self._environment = cache.root, cache.call, cache.environment
        self._pins, self._environ, self._say = pins, environ, say
        self._began = time.time()
        self._checker = Checker(cache, environ)
        # Somebody who wrote "reprot" wanted no changes.
        self._may_write = environ.get("PINSTALL_POLICY", "") in ("", "evict")
        self._changes = self._may_write and not self._call.has("dry_run")
        self._may_use = True  # may pip use the cache?
        self._mark = ExitStack()
        self._name: str | None = None  # of this call
        self._view: str | None = None  # its name, where it lies in the cache
        self._folder: str | None = None
        self._deleted: list[Finding] = []
        self._untidy: dict[Pin, list[OtherVersion]] = {}
        self.looked: list[Finding] = self._checker.looked
        self.acted: list[Finding] = []
        self.set_aside: list[str] = []
        self.built: list[str] = []
        self.tries = 1
        self.healed: dict[str, Any] | None = None
        self._rescue: Rescue | None = None
        self._report = install_report.Report(None)
        self._before = cache.environment.folders()
        self.causes: list[str] = []

    def prepare(self) -> None:
        """Prove what the pins name in the cache, and evict what does not match."""
        for line in messages.misread(self._environ):
            self._say(WARNING, line)
        checker = self._checker
        checker.begin(self._pins)
        findings = [finding for pin in self._pins for finding in checker.check(pin)]
        checker.expect_builds(settings_by_project(self._call.lines))
        lines = list(messages.hidden(checker.hidden, would=not self._changes))
        if self._changes:
            for finding, why in self._settle(checker, findings).stuck:
                checker.hide(finding.entry)
                self._say(WARNING, messages.unseen(finding, why))
        else:
            lines = [*messages.changes(filter(is_act, findings), would=True), *lines]
        for level, line in lines:
            self._say(level, line)

    def _settle(self, checker: Checker, findings: list[Finding]) -> Applied:
        settled = settle(checker, findings, lock.timeout(self._environ), self._say)
        self.acted += settled.acted
        self._deleted += [done for done in settled.acted if isinstance(done.verdict, Delete) and not done.stored]
        return settled

    def _do_without(self, reason: str) -> None:
        self._may_use = False
        self._say(ERROR, messages.without_cache(reason))

    @property
    def _is_at_work(self) -> bool:
        return self._changes and self._may_use

    def begin(self, given: Given) -> Given:
        """Mark the call as under way, until `finish`; return what pip is *given*, with a view of the cache if it needs one.

        Under PINSTALL_POLICY=report not even the mark is written: as with bare pip, other calls do not wait for this one.
        """
        self._name = self._mark.enter_context(lock.call_marker(self._root)) if self._may_use and self._may_write else None
        if self._is_at_work and self._checker.plan.needed:
            try:
                self._folder = self._made_view(self._name)
                return given.with_cache(self._folder)
            except OSError as error:
                self._do_without(f"no filtered view of pip's cache could be made ({error.strerror})")
        return given if self._may_use else given.without_cache()

    def _made_view(self, name: str | None) -> str:
        """Make a view in the cache, or among the system's temporary files if it cannot be written: no build is kept then."""
        plan = self._checker.plan
        if name is None:
            from tempfile import TemporaryDirectory

            place = self._mark.enter_context(TemporaryDirectory(prefix="pinstall-", ignore_cleanup_errors=True))
            return view.fill(self._root, place, plan)
        folder = view.make(self._root, name, plan, [self._checker.cache.http.layout.folder])
        self._view = name
        return folder

    @property
    def pips_cache(self) -> str:
        """The cache folder as this call's pip knows it, resolved; "" if what pip does there is of no interest."""
        return os.path.realpath(self._folder or self._root) if self._is_at_work else ""

    def meanwhile(self) -> None:
        """While pip runs: find the other versions of what is pinned, as far as their pages are known already."""
        if self._is_at_work and not self._keeps_versions:
            for pin in self._pins:
                if pin.has_version and self._checker.cache.locate(pin).complete:
                    self._untidy[pin] = other_versions.find(self._checker, pin)

    def rescue(self, status: int, first: Observation | None, given: Given) -> Again | None:
        """After a pip that failed: return what a second run is given, if the cache may be to blame and nothing forbids one."""
        if not self._is_at_work or first is None or status not in (_FAILED, _CRASHED):
            return None
        from pinstall.aftermath.rescue import Rescue, remove_half_installed

        self._checker.cache.forget_pages()
        rescue = self._rescue = Rescue(self._checker, self._pins, first)
        if not rescue.is_called_for:
            return None
        if why := rescue.forbidden():
            self._say(WARNING, messages.not_again(why, rescue.doubtful))
            if rescue.is_too_long and self._under_lock(rescue.leave_out):
                self._say(NOTE, messages.LEFT_OUT)
            return None
        try:
            folder = self._sealed_view(rescue)
        except OSError as error:
            self._say(
                WARNING,
                messages.not_again(f"no filtered view of pip's cache could be made ({error.strerror})", rescue.doubtful),
            )
            return None
        self._report = install_report.Report(self._call.values.get("json_report_file"))
        half = remove_half_installed(first.infos, self._before)
        self.healed = {"removed": [], "mended": half, "sound": len(rescue.survey.vouched)}
        self.tries += 1
        self._say(WARNING, messages.again(rescue.doubtful))
        return Again(given.with_cache(folder), os.path.realpath(folder), rescue.excused)

    def _sealed_view(self, rescue: Rescue) -> str:
        if self._folder is None:
            self._folder = self._made_view(self._name)
        rescue.seal(self._folder)
        return self._folder

    def rescued(self, status: int) -> None:
        """After the second run, which ended with *status*: take over what it received, and say what was wrong."""
        if self._rescue is None or self._folder is None or status not in (0, _FAILED, _CRASHED):
            return
        wrong = self._under_lock(partial(self._rescue.settle, self._folder, succeeded=status == 0))
        if self.healed is not None:
            self.healed["removed"] = [one.name for one in wrong]
        if status == 0:
            self._environment.forget()
            self._report.complete(self._environment)
            self._say(WARNING, messages.blamed(wrong))
        else:
            self._say(NOTE, messages.NO_DIFFERENCE)

    def _under_lock(self, act: Callable[[], list[Wrong]]) -> list[Wrong]:
        """Do what can be done under the lock without a wait: else the next call will do it."""
        try:
            with lock.held(self._root, lock.timeout(self._environ), lambda line: self._say(WARNING, line)):
                return act()
        except (OSError, lock.LockTimeoutError) as error:
            reason = getattr(error, "strerror", "") or str(error)
            self._say(WARNING, messages.not_repaired(reason))
            return []

    def finish(self, status: int) -> None:
        """After pip, whatever its *status*: keep what it built, tidy, and remember what was learnt. Never waits."""
        if self._is_at_work:
            if self._checker.cache.pip > keys.NEWEST_PIP:
                self._look_for_what_is_new()
            self.built = record_builds.builds(self._checker, self._view, self._pins, self._call.lines)
        self._mark.close()
        if not self._changes:
            self._tell_of_untidy(status)
            return
        if status == 0:
            self._note_what_came_back()
        elif self._rescue is not None:
            for wrong in self._under_lock(self._rescue.clean):
                self._say(NOTE, messages.refused(wrong.name, wrong.reason))
        if status in (_FAILED, _CRASHED):
            self._diagnose(status)
        self._put_in_order(self._find_untidy() if status == 0 and self._may_use else [])

    def _look_for_what_is_new(self) -> None:
        from pinstall.aftermath import unknown_layout

        cache = self._checker.cache
        version = ".".join(map(str, cache.pip))
        found = messages.listed(unknown_layout.signs(cache, self._view, self._began))
        if found and unknown_layout.is_first(cache.root, version):
            self._say(WARNING, messages.unknown_parts(found, version))

    def _diagnose(self, status: int) -> None:
        from pinstall.aftermath.explain import causes

        self._checker.cache.forget_pages()
        # A full disk makes pip crash while it downloads; after a usage error it has asked for nothing.
        self.causes = causes(
            self._checker.cache, self._pins if status == _FAILED else (), self._rescue.told if self._rescue else ()
        )
        for line in self.causes:
            self._say(WARNING, line)

    def _put_in_order(self, untidy: list[OtherVersion]) -> None:
        """Put away what is untidy, write the ledgers and bound the store; what cannot be done now another call will find."""
        ledgers = self._checker.prover.ledgers.values()
        if not (untidy or self._view or any(ledger.changed for ledger in ledgers) or actions.has_litter(self._root)):
            return
        try:
            with lock.held(self._root, 0, lambda line: self._say(WARNING, line)):
                moved = other_versions.put_away(self._root, untidy) if untidy else {}
                write_all(ledgers)
                if moved or self._view:
                    actions.prune(self._root, store.bound(self._environ))
                actions.sweep(self._root)
        except (OSError, lock.LockTimeoutError):
            return
        for pin, names in moved.items():
            self.set_aside += names
            self._say(NOTE, messages.set_aside_versions(pin, names))

    def _note_what_came_back(self) -> None:
        """Remember what was deleted, fetched or built again unchanged, and accepted by pip: it is not deleted again."""
        for finding in self._deleted:
            again = self._checker.again(finding)
            if again is None or not isinstance(finding.verdict, Delete):
                continue
            same = again.identity == finding.identity and isinstance(again.verdict, Delete)
            ledger = self._checker.prover.ledger(finding.pin.project)
            ledger.came_back(finding.entry.key, finding.verdict.reason, again.identity if same else None)
        self._deleted = []

    @property
    def _keeps_versions(self) -> bool:
        # A store that may keep nothing is no place for what is healthy.
        wanted = self._environ.get("PINSTALL_KEEP_VERSIONS", "")
        return bool(wanted and not is_false(wanted)) or store.bound(self._environ) == 0

    def _tell_of_untidy(self, status: int) -> None:
        """Say what would be set aside after a pip that succeeded."""
        would: dict[Pin, list[str]] = {}
        for untidy in self._find_untidy() if status == 0 and self._may_use else ():
            would.setdefault(untidy.pin, []).append(untidy.entry.filename)
        for pin, names in would.items():
            self._say(NOTE, messages.set_aside_versions(pin, names, would=True))

    def _find_untidy(self) -> list[OtherVersion]:
        """Return the entries of other versions of the pins that this call installed: they have no place now."""
        if self._keeps_versions:
            return []
        self._environment.forget()
        self._checker.cache.forget_pages()
        elsewhere = self._call.has(*_ELSEWHERE, "dry_run")
        pinned = [pin for pin in self._pins if pin.has_version]
        settled = [pin for pin in pinned if (pin.requested if elsewhere else is_installed(pin, self._environment))]
        return [found for pin in settled for found in self._found(pin)]

    def _found(self, pin: Pin) -> list[OtherVersion]:
        return self._untidy[pin] if pin in self._untidy else other_versions.find(self._checker, pin)
