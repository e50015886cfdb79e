"""One call: put the cache right for its pip, and in order after it."""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pinstall import apply, forward, heal, keep, lock, messages, pins, store, tidy, view
from pinstall.call import command
from pinstall.call.options import UnreadableCallError
from pinstall.check import Checker
from pinstall.confirm import confirm
from pinstall.environment import Environment, SilentPythonError
from pinstall.ledger import write_all
from pinstall.messages import ERROR, NOTE, WARNING
from pinstall.pipcache import keys
from pinstall.pipcache.locate import Cache
from pinstall.settle import CacheUnusableError, is_act, settle
from pinstall.verdict import Delete

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pinstall.call.command import Call
    from pinstall.check import Finding
    from pinstall.confirm import Doubt
    from pinstall.environment import Target
    from pinstall.pins import Pin
    from pinstall.tidy import Untidy

# Before 23.0 pip's cache is another one: such a pip is left alone.
_OLDEST_PIP = (23,)
_FAILED, _USAGE_ERROR = 1, 2
_SIGNALS = 128
_CONTRADICTED = 90
# With these pip does not look at what the environment has, or may prefer what the index has.
_ANEW = ("force_reinstall", "ignore_installed", "target_dir", "prefix_path", "root_path", "upgrade")
_ELSEWHERE = ("target_dir", "prefix_path", "root_path")


class Session:
    """What a call asks, what its pip is to be given (``arguments``, ``variables``), and what remains to be done after it."""

    def __init__(self, target: Target, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.arguments = list(target.words)
        self.variables: dict[str, str] = {}
        self._environ, self._print = environ, say
        self._began = time.time()
        self._environment = Environment(target.python)
        # The pip that serves another environment by --python is ours.
        self._pip_version = Environment(target.runner).pip_version
        self._call: Call | None = None
        self._is_understood = True
        self._mark = ExitStack()
        self._may_use: str | None = None
        self._without = False
        self._view: str | None = None
        self._checker: Checker | None = None
        self._pins: tuple[Pin, ...] = ()
        self._before: dict[str, str] = {}
        self._open: list[Pin] = []
        self._looked: list[Finding] = []
        self._acted: list[Finding] = []
        self._set_aside: list[str] = []
        self._built: list[str] = []
        self._said: list[str] = []
        self._doubts: list[Doubt] = []
        self._tries = 1
        self._clock, self._seconds = time.monotonic(), dict[str, float]()
        self._deleted: list[Finding] = []
        self._untidy: dict[Pin, list[Untidy]] = {}

    def prepare(self) -> None:
        """Read the call, prove what its pins name in the cache, and evict what does not match."""
        self._call = self._read()
        if self._call is None or self._call.cache_dir is None:
            return
        if os.path.lexists(self._call.cache_dir) and not os.path.isdir(self._call.cache_dir):
            self._do_without("it is no folder")  # pip would fail to build
            return
        found = pins.collect(self._call.lines, self._environment.markers)
        self._pins, self._before = found.pins, self._environment.versions()
        self._open = [pin for pin in found.pins if not self._is_satisfied(self._call, pin)]
        if not self._open and not found.loose:
            return  # pip will not open its cache
        self._may_use = view.real_root(self._call.cache_dir)
        checker = Checker(Cache(self._may_use, self._call, self._environment, self._pip_version or ()), self._environ)
        findings = [finding for pin in self._open for finding in checker.check(pin)]
        checker.expect_builds(pins.settings_by_project(self._call.lines))
        self._looked = checker.looked
        changes_nothing = self._changes_nothing(self._call)
        lines = messages.hidden(checker.hidden, would=changes_nothing)
        if changes_nothing:
            for level, line in [*messages.changes(filter(is_act, findings), would=True), *lines]:
                self._say(level, line)
            return
        self._checker = checker
        try:
            self._settle(checker, findings)
        except CacheUnusableError as error:
            self._do_without(str(error))
            return
        for level, line in lines:
            self._say(level, line)

    def _settle(self, checker: Checker, findings: list[Finding]) -> list[Finding]:
        done = settle(checker, findings, lock.timeout(self._environ), self._say)
        self._acted += done
        self._deleted += [finding for finding in done if isinstance(finding.verdict, Delete) and not finding.stored]
        return done

    def begin(self) -> None:
        """Mark the call as under way, until `finish`, if its pip may use the cache; give pip a view of it if it needs one."""
        if self._may_use is None or self._without:
            return
        name = self._mark.enter_context(lock.under_way(self._may_use))
        if self._checker is None or not self._checker.plan.needed:
            return
        try:
            if name is None:
                raise OSError(errno.EROFS, "it cannot be written")
            folder = view.make(self._may_use, name, self._checker.plan, [self._checker.cache.http.layout.folder])
        except OSError as error:
            self._do_without(f"no view of it can be made ({error.strerror})")
            return
        self._view = name
        self.arguments = forward.with_option(self.arguments, "--cache-dir", folder)
        self.variables = {"PIP_CACHE_DIR": folder}  # for the pips that this one starts

    def meanwhile(self) -> None:
        """While pip runs: find the other versions of what is pinned, as far as their pages are known already."""
        if self._checker is not None and not self._without and not self._keeps_versions:
            for pin in self._open:
                if pin.has_version and self._checker.cache.locate(pin).complete:
                    self._untidy[pin] = tidy.find(self._checker, pin)

    def heal(self, status: int) -> list[list[str]]:
        """After a pip that failed: put right what it could have met in the cache; return the calls that pip is to make now.

        The last is the user's own, once more; before it those that mend what pip left half-installed. None if the cache is
        not to blame.
        """
        checker, call = self._checker, self._call
        if checker is None or call is None or self._without or status == 0 or status >= _SIGNALS:
            return []
        went = self._deleted
        self._note_what_came_back(checker, status)
        checker.cache.forget_pages()
        fresh = Checker(checker.cache, self._environ, anew=True)
        fresh.ledgers = checker.ledgers
        found = heal.examine(fresh, call.lines, self._open)
        self._looked += fresh.looked
        try:
            done = self._settle(fresh, [*found.bad, *fresh.contradicted(went)])
        except CacheUnusableError as error:
            self._say(ERROR, f"the cache cannot be put right: {error}")
            return []
        if not done:
            if found.proven:
                self._say(NOTE, messages.healthy(found.proven))
            return []
        self._tries += 1
        self._say(WARNING, messages.again())
        if self._view:
            view.forget_gone(checker.cache.root, self._view)
        half = [f"{name}=={version}" for name, version in self._environment.half_installed(self._began)]
        cache_dir = self.variables.get("PIP_CACHE_DIR", checker.cache.root)
        return [*(command.narrowed(call, requirement, cache_dir) for requirement in half), self.arguments]

    def finish(self, status: int) -> None:
        """After pip, whatever its *status*: keep what it built, tidy, and remember what was learnt. Never waits."""
        if self._checker is not None and not self._without:
            if (self._pip_version or ()) > keys.NEWEST_PIP:
                self._look_for_what_is_new(self._checker)
            self._built = keep.builds(self._checker, self._view, self._open, self._call.lines if self._call else ())
        self._mark.close()
        if not self._is_understood and status == 0:
            self._say(
                WARNING, messages.not_checked("this call", "pip understands an option or setting of it that pinstall does not")
            )
        if self._call is None or self._call.cache_dir is None:
            return
        if status != _USAGE_ERROR:
            for unread in self._call.unread:
                self._say(WARNING, messages.not_checked(unread.source, unread.reason))
        if self._checker is not None:
            self._note_what_came_back(self._checker, status)
            if status == _FAILED and not self._without:
                self._diagnose(self._checker)
            untidy = [] if status or self._without else self._find_untidy(self._call, self._checker)
            self._put_in_order(self._checker, untidy)

    def _look_for_what_is_new(self, checker: Checker) -> None:
        from pinstall import newer

        version = ".".join(map(str, self._pip_version or ()))
        found = messages.listed(newer.signs(checker.cache, self._view, self._began))
        if found and newer.is_first(checker.cache.root, version):
            self._say(
                WARNING, messages.not_checked(found, f"pip {version} is newer than pinstall, and keeps its cache otherwise")
            )

    def _diagnose(self, checker: Checker) -> None:
        from pinstall.diagnosis import causes

        checker.cache.forget_pages()
        for line in causes(checker.cache, self._open, self._began):
            self._say(WARNING, line)

    def _put_in_order(self, checker: Checker, untidy: list[Untidy]) -> None:
        """Put away what is untidy, write the ledgers and bound the store; what cannot be done now another call will find."""
        ledgers = checker.ledgers.values()
        if not untidy and not self._view and not any(ledger.changed for ledger in ledgers):
            return
        root = checker.cache.root
        try:
            with lock.held(root, 0, lambda line: self._say(WARNING, line)):
                moved = tidy.put_away(root, untidy) if untidy else {}
                write_all(ledgers)
                if moved or self._view:
                    apply.prune(root, store.bound(self._environ))
        except (OSError, lock.LockTimeoutError):
            return
        for pin, names in moved.items():
            self._set_aside += names
            self._say(NOTE, messages.set_aside_versions(pin, names))

    def confirm(self, status: int) -> int:
        """After a pip that succeeded: does the environment hold what is pinned? Returns the status, 90 if it does not."""
        if status or self._call is None or not self._pins:
            return status
        self._environment.forget()
        root = self._may_use or self._call.cache_dir or os.devnull
        cache = Cache(root, self._call, self._environment, self._pip_version or ())
        self._doubts = confirm(self._pins, self._before, self._environment, cache, self._call)
        for doubt in self._doubts:
            self._say(ERROR if doubt.contradicts else WARNING, doubt.line)
        return _CONTRADICTED if any(doubt.contradicts for doubt in self._doubts) else status

    def passed(self, step: str) -> None:
        """Note the time since the last step as that of *step*, for the report."""
        now = time.monotonic()
        self._seconds[step] = self._seconds.get(step, 0) + now - self._clock
        self._clock = now

    def report(self, status: int) -> None:
        """Write the report if the call wants one."""
        path = self._environ.get("PINSTALL_REPORT")
        if not path:
            return
        from pinstall import report

        version = ".".join(map(str, self._pip_version or ())) or None
        story = report.Story(
            status=status,
            tries=self._tries,
            environment={"python": self._environment.python, "pip": version},
            cache=self._call.cache_dir if self._call else None,
            pins=self._pins,
            open=self._open,
            unread=self._call.unread if self._call else (),
            looked=self._looked,
            acted=self._acted,
            set_aside=self._set_aside,
            built=self._built,
            doubts=self._doubts,
            messages=self._said,
            seconds=self._seconds,
        )
        try:
            report.write(path, story)
        except OSError as error:
            self._say(ERROR, f"the report cannot be written ({error.strerror})")

    def _read(self) -> Call | None:
        version = self._pip_version
        if version is None or version < _OLDEST_PIP:
            return None
        try:
            call = command.read(self.arguments, self._environ, self._environment.prefix, version)
            tags = None if self._environment.is_own or not call.locks else self._environment.tags
            return command.unlocked(call, self._environment.markers if call.locks else {}, tags)
        except (UnreadableCallError, SilentPythonError, FileNotFoundError):  # the last: there is no current folder
            self._is_understood = False  # as a rule pip will say what is wrong
            return None

    def _do_without(self, reason: str) -> None:
        """Let pip run without the cache, and say why."""
        self._without = True
        self.arguments = forward.without_cache(self.arguments)
        self.variables = {"PIP_NO_CACHE_DIR": "1"}
        self._say(ERROR, messages.without_cache(reason))

    def _changes_nothing(self, call: Call) -> bool:
        return self._environ.get("PINSTALL_POLICY") == "report" or call.has("dry_run")

    def _is_satisfied(self, call: Call, pin: Pin) -> bool:
        return not call.has(*_ANEW) and self._is_installed(pin)

    def _is_installed(self, pin: Pin) -> bool:
        version = self._environment.installed(pin.project) if pin.has_version else None
        return version is not None and pin.specifier.contains(version, prereleases=True)

    def _note_what_came_back(self, checker: Checker, status: int) -> None:
        """Remember what went and is back unchanged: it is what the world gives, and will not go again for the same reason."""
        for finding in self._deleted:
            again = checker.again(finding)
            if again is None or not isinstance(finding.verdict, Delete):
                continue
            if status and finding.verdict.reason == "stale-page":
                continue  # it did not help this call and may help the next: a release may be under way
            same = again.identity == finding.identity and isinstance(again.verdict, Delete)
            ledger = checker.ledger(finding.pin.project)
            ledger.came_back(finding.entry.key, finding.verdict.reason, again.identity if same else None)
        self._deleted = []

    @property
    def _keeps_versions(self) -> bool:
        # A store that may keep nothing is no place for what is healthy.
        return bool(self._environ.get("PINSTALL_KEEP_VERSIONS")) or not store.bound(self._environ)

    def _find_untidy(self, call: Call, checker: Checker) -> list[Untidy]:
        """Return the entries of other versions of the pins that this call installed: they have no place now."""
        if self._keeps_versions:
            return []
        self._environment.forget()
        checker.cache.forget_pages()
        elsewhere = call.has(*_ELSEWHERE)
        pinned = [pin for pin in self._open if pin.has_version]
        settled = [pin for pin in pinned if (pin.requested if elsewhere else self._is_installed(pin))]
        return [found for pin in settled for found in self._found(checker, pin)]

    def _found(self, checker: Checker, pin: Pin) -> list[Untidy]:
        return self._untidy[pin] if pin in self._untidy else tidy.find(checker, pin)

    def _say(self, level: int, line: str) -> None:
        """Say a line if the call's ``-q`` and ``-v`` leave room for its *level*."""
        self._said.append(line)
        if (self._call.verbosity if self._call else 0) >= level:
            self._print(line)
