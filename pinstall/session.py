"""One call: what it asks, what its pip is given, and what the environment holds afterwards. The cache is `care`'s."""

from __future__ import annotations

import os
import time
from functools import cached_property
from typing import TYPE_CHECKING

from pinstall import environment, messages
from pinstall.checks.satisfied import is_satisfied, unsatisfied
from pinstall.interpreter import SilentPythonError
from pinstall.invocation import invocation
from pinstall.invocation.options import UnreadableCallError
from pinstall.invocation.requirements_files import Unread
from pinstall.messages import ERROR, NOTE, WARNING
from pinstall.pip_process import Given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinstall.aftermath.confirm import Discrepancy
    from pinstall.care import Again, Care
    from pinstall.environment import Target
    from pinstall.invocation.invocation import Invocation
    from pinstall.messages import Say
    from pinstall.model.pins import Pin, Pins
    from pinstall.pip_cache.locator import Cache
    from pinstall.pip_process import Observation

# Before 23.0 pip's cache is another one: such a pip is left alone, which is said.
_OLDEST_PIP = (23,)
_USAGE_ERROR = 2
# Another program's distribution, whose import package and command have the names of ours.
_FOREIGN = "pinstall"
_CONTRADICTED = 90
_NOT_UNDERSTOOD = Unread("this call", "pip accepts an option or setting that pinstall does not know; upgrade pinstall")


class Session:
    """What a call asks, what its pip is ``given``, and what remains to be done after it."""

    def __init__(self, target: Target, environ: Mapping[str, str], say: Say) -> None:
        self._environ, self._print = environ, say
        self._environment, runner = environment.of(target)
        self._pip_version = runner.pip_version or ()
        self.given = Given(list(target.words), self._pip_version)
        self._versionless = Unread(
            "this call", f"the version of the pip of {target.runner} is unknown, because it has no metadata; reinstall that pip"
        )
        self._call: Invocation | None = None
        self._unchecked: Unread | None = None
        self._satisfied = False
        self._before: Mapping[str, str] = {}
        self._open: list[Pin] = []
        self._care: Care | None = None
        self._said: list[str] = []
        self._doubts: list[Discrepancy] = []
        self._clock, self._seconds = time.monotonic(), dict[str, float]()

    def prepare(self) -> None:
        """Read the call, prove what its pins name in the cache, and evict what does not match."""
        call = self._call = self._read()
        if call is None or call.cache_dir is None:
            return
        if os.path.lexists(call.cache_dir) and not os.path.isdir(call.cache_dir):  # pip would fail to build
            self.given = self.given.without_cache()
            self._say(ERROR, messages.without_cache(f"{call.cache_dir} is not a directory"))
            return
        self._before = self._environment.versions()
        if self._environment.is_own and _FOREIGN in self._before:
            self._say(WARNING, messages.FOREIGN)
        if self.given.arguments[:1] == ["install"]:
            self._say(WARNING, messages.INSTALL)
        self._satisfied = is_satisfied(call, self._environment)
        if self._satisfied:
            return
        self._open = unsatisfied(call, self._pins.pins, self._environment)
        is_idle = not self._open and not self._pins.loose and not call.unread  # pip will not open its cache
        if why := self._obstacle():
            self._unchecked = None if is_idle else Unread("this call", why)
            self._call = call._replace(cache_dir=None)
            return
        if is_idle:
            return
        from pinstall.care import Care

        self._care = Care(self._cache(call, call.cache_dir), self._open, self._environ, self._say)
        self._care.prepare()
        self.given = self._care.begin(self.given)

    @cached_property
    def _pins(self) -> Pins:
        from pinstall.model import pins

        return pins.collect(self._call.lines if self._call else (), self._environment.markers)

    def _cache(self, call: Invocation, folder: str) -> Cache:
        from pinstall.pip_cache.locator import Cache
        from pinstall.storage.view import real_root

        return Cache(real_root(folder), call, self._environment, self._pip_version)

    def meanwhile(self) -> None:
        """Do what can be done while pip runs."""
        if self._care:
            self._care.meanwhile()

    @property
    def pips_cache(self) -> str:
        """The cache folder in which this call's pip is to be watched; "" if it is not."""
        return self._care.pips_cache if self._care else ""

    def rescue(self, status: int, first: Observation | None) -> Again | None:
        """After a pip that failed: return what a second run is given, as `Care.rescue` does."""
        return self._care.rescue(status, first, self.given) if self._care else None

    def rescued(self, status: int) -> None:
        """After the second run, which ended with *status*."""
        if self._care:
            self._care.rescued(status)

    def finish(self, status: int) -> None:
        """After pip, whatever its *status*: put the cache in order, and say what was not checked. Never waits."""
        if self._unchecked and (status == 0 or self._unchecked not in (_NOT_UNDERSTOOD, self._versionless)):
            self._say(WARNING, messages.install_not_checked(self._unchecked.reason))
        if self._call is not None and self._call.cache_dir is not None and status != _USAGE_ERROR:
            for unread in self._call.unread:
                self._say(WARNING, messages.pins_not_checked(unread.source, unread.reason))
        if self._care:
            self._care.finish(status)

    def confirm(self, status: int) -> int:
        """After a pip that succeeded: does the environment hold what is pinned? Returns the status, 90 if it does not."""
        call = self._call
        if status or call is None or call.cache_dir is None:
            return status
        self._environment.forget()
        if self._satisfied and self._environment.versions() == self._before:
            return status  # as it was
        from pinstall.aftermath.confirm import confirm

        cache = self._cache(call, call.cache_dir)
        self._doubts = confirm(self._pins.pins, self._before, self._environment, cache, call)
        for doubt in self._doubts:
            self._say(ERROR if doubt.contradicts else WARNING, doubt.line)
        return _CONTRADICTED if any(doubt.contradicts for doubt in self._doubts) else status

    def passed(self, step: str) -> None:
        """Note the time since the last step as that of *step*, for the report."""
        now = time.monotonic()
        self._seconds[step] = self._seconds.get(step, 0) + now - self._clock
        self._clock = now

    def note(self, line: str) -> None:
        """Have the report tell a *line* that was said already."""
        self._said.append(line)

    def report(self, status: int) -> None:
        """Write the report if the call wants one."""
        path = self._environ.get("PINSTALL_REPORT")
        if not path:
            return
        from pinstall import report

        care = self._care
        unread = self._call.unread if self._call else ()
        story = report.Story(
            status=status,
            pip_status=0 if status == _CONTRADICTED else status,
            tries=care.tries if care else 1,
            environment={"python": self._environment.python, "pip": ".".join(map(str, self._pip_version)) or None},
            cache=self._call.cache_dir if self._call else None,
            pins=self._pins.pins,
            open=self._open,
            unread=(self._unchecked, *unread) if self._unchecked else unread,
            looked=care.looked if care else (),
            acted=care.acted if care else (),
            set_aside=care.set_aside if care else (),
            built=care.built if care else (),
            healed=care.healed if care else None,
            causes=care.causes if care else (),
            doubts=self._doubts,
            messages=self._said,
            seconds=self._seconds,
        )
        try:
            report.write(path, story)
        except OSError as error:
            self._say(ERROR, f"the report {path} could not be written ({error.strerror})")

    def _read(self) -> Invocation | None:
        """Read the call; None where pinstall cannot, or where there is no pip to read it."""
        if not self._pip_version:
            self._unchecked = self._versionless
            return None
        try:
            call = invocation.read(self.given.arguments, self._environ, self._environment.prefix, self._pip_version)
            tags = None if self._environment.is_own or not call.locks else self._environment.tags
            return invocation.unlocked(call, self._environment.markers if call.locks else {}, tags)
        except (UnreadableCallError, FileNotFoundError):  # the latter: there is no current folder
            self._unchecked = _NOT_UNDERSTOOD  # as a rule pip will say what is wrong
        except SilentPythonError as error:
            if os.path.exists(self._environment.python):  # else pip says so
                self._unchecked = Unread("this call", str(error))
        return None

    def _obstacle(self) -> str:
        """Say why nothing of the call can be checked; "" if it can."""
        if self._pip_version < _OLDEST_PIP:
            version = ".".join(map(str, self._pip_version))
            return f"pip {version} is older than 23.0, and pinstall does not know its cache format; upgrade pip"
        try:
            self._environment.hold()
        except SilentPythonError as error:
            return str(error)
        return ""

    def _say(self, level: int, line: str) -> None:
        """Say a line if the call's ``-q`` and ``-v`` leave room for its *level*; with ``--no-color`` as plainly as a note."""
        self._said.append(line)
        call = self._call
        if (call.verbosity if call else 0) >= level:
            self._print(NOTE if call and call.has("no_color") else level, line)
