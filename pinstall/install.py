"""The story of a call: prepare, run pip, rescue, finish, confirm. `cli` runs pip between the steps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pinstall import environment, messages
from pinstall.checks.satisfied import is_satisfied, unsatisfied
from pinstall.interpreter import SilentPythonError
from pinstall.invocation import invocation
from pinstall.invocation.options import UnreadableCallError
from pinstall.invocation.requirements_files import Unread
from pinstall.messages import ERROR, WARNING
from pinstall.pip_process import Given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinstall.aftermath.other_versions import OtherVersion
    from pinstall.aftermath.outcome import Outcome, SecondRun
    from pinstall.aftermath.rescue import Rescue
    from pinstall.checks.prepare import Prepared
    from pinstall.environment import Environment, Target
    from pinstall.invocation.invocation import Invocation
    from pinstall.journal import Journal
    from pinstall.model.pins import Pin, Pins
    from pinstall.pip_cache.locator import Cache
    from pinstall.pip_process import Observation

# pips before 23.0 keep their cache in another way: pinstall leaves such a pip alone, and says so.
_OLDEST_PIP = (23,)
_USAGE_ERROR = 2
# Another program's distribution, whose import package and command have the names of ours.
_FOREIGN = "pinstall"
_CONTRADICTED = 90
_NOT_UNDERSTOOD = Unread("this call", "pip understands an option or setting of it that pinstall does not")


class Context(NamedTuple):
    """What a call works with: the variables, the environment that it serves, and the version of the pip that serves it.

    ``target`` tells how pip is to be started; ``versionless`` is said if that pip's version cannot be told.
    """

    target: Target
    environ: Mapping[str, str]
    environment: Environment
    pip_version: tuple[int, ...]

    @property
    def versionless(self) -> Unread:
        """Tell that pip has no metadata: its version, by which its cache is read, stands nowhere."""
        return Unread("this call", f"the pip that {self.target.runner} runs has no metadata")


class Install(NamedTuple):
    """A call that is ready for pip.

    ``given`` is what pip is given. ``call`` is None if pinstall does not understand the arguments; ``unchecked`` then says why
    nothing was checked. ``before`` are the installed versions, ``satisfied`` says that they are all that the call asks for.
    ``prepared`` is the cache; None if pip will not open it.
    """

    context: Context
    given: Given
    call: Invocation | None = None
    unchecked: Unread | None = None
    before: Mapping[str, str] = {}
    satisfied: bool = False
    prepared: Prepared | None = None

    @property
    def watched(self) -> str:
        """The cache folder in which this call's pip is to be watched; "" if it is not."""
        return self.prepared.watched if self.prepared else ""


def context(target: Target, environ: Mapping[str, str]) -> Context:
    """Return what the call of *target* works with. Raises `SilentPythonError`."""
    served, runner = environment.of(target)
    return Context(target, environ, served, runner.pip_version or ())


def prepare(made: Context, journal: Journal) -> Install:
    """Read the call, check what the cache has for its pins, and remove what does not match."""
    journal.environment = {"python": made.environment.python, "pip": ".".join(map(str, made.pip_version)) or None}
    install = _read(made)
    call = install.call
    _introduce(install, journal)
    if call is None or call.cache_dir is None:
        return install
    if os.path.lexists(call.cache_dir) and not os.path.isdir(call.cache_dir):  # pip would fail to build
        journal.say(ERROR, messages.without_cache("it is no folder"))
        return install._replace(given=install.given.without_cache())
    install = install._replace(before=made.environment.versions())
    if made.environment.is_own and _FOREIGN in install.before:
        journal.say(WARNING, messages.FOREIGN)
    if install.given.arguments[:1] == ["install"]:
        journal.say(WARNING, messages.INSTALL)
    if is_satisfied(call, made.environment):
        return install._replace(satisfied=True)
    return _checked(install, call, call.cache_dir, journal)


def _introduce(install: Install, journal: Journal) -> None:
    """Tell the journal what is known of the call."""
    call = install.call
    if call is not None:
        journal.verbosity, journal.is_plain, journal.cache = call.verbosity, call.has("no_color"), call.cache_dir
        journal.unread = call.unread
    if install.unchecked:
        journal.unread = (install.unchecked, *journal.unread)


def _read(made: Context) -> Install:
    """Read the call, as far as pinstall can."""
    install = Install(made, Given(list(made.target.words), made.pip_version))
    if not made.pip_version:
        return install._replace(unchecked=made.versionless)
    served = made.environment
    try:
        call = invocation.read(install.given.arguments, made.environ, served.prefix, made.pip_version)
        tags = None if served.is_own or not call.locks else served.tags
        return install._replace(call=invocation.unlocked(call, served.markers if call.locks else {}, tags))
    except (UnreadableCallError, FileNotFoundError):  # the latter: there is no current folder
        return install._replace(unchecked=_NOT_UNDERSTOOD)  # as a rule pip will say what is wrong
    except SilentPythonError as error:
        is_there = os.path.exists(served.python)  # else pip says so
        return install._replace(unchecked=Unread("this call", str(error)) if is_there else None)


def _checked(install: Install, call: Invocation, folder: str, journal: Journal) -> Install:
    """Check the cache in *folder* for the pins that the environment does not satisfy, if pip will open it."""
    made = install.context
    found = pins(install)
    unmet = unsatisfied(call, found.pins, made.environment)
    journal.open = unmet
    is_idle = not unmet and not found.loose and not call.unread  # pip will not open its cache
    if why := _obstacle(made):
        unchecked = None if is_idle else Unread("this call", why)
        install = install._replace(unchecked=unchecked, call=call._replace(cache_dir=None))
        _introduce(install, journal)
        return install
    if is_idle:
        return install
    from pinstall.checks.prepare import prepare as prepare_cache

    prepared = prepare_cache(_cache(made, call, folder), unmet, install.given, made.environ, journal)
    return install._replace(prepared=prepared, given=prepared.given)


def _obstacle(made: Context) -> str:
    """Say why nothing of the call can be checked; "" if it can."""
    if made.pip_version < _OLDEST_PIP:
        version = ".".join(map(str, made.pip_version))
        return f"pip {version} keeps its cache in a way that pinstall does not know; upgrade pip"
    try:
        made.environment.hold()
    except SilentPythonError as error:
        return str(error)
    return ""


def pins(install: Install) -> Pins:
    """Return the pins of a call. Most calls are satisfied and never need them."""
    from pinstall.model import pins as model

    return model.collect(install.call.lines if install.call else (), install.context.environment.markers)


def _cache(made: Context, call: Invocation, folder: str) -> Cache:
    from pinstall.pip_cache.locator import Cache
    from pinstall.storage.view import real_root

    return Cache(real_root(folder), call, made.environment, made.pip_version)


def other_versions(install: Install) -> dict[Pin, list[OtherVersion]]:
    """Find other versions of the pins while pip runs."""
    if install.prepared is None:
        return {}
    from pinstall.aftermath import finish

    return finish.other_versions_now(install.prepared)


def survey(install: Install, status: int, first: Observation | None) -> Rescue | None:
    """Look at what the *first* run of pip used, if it ended with the *status* of a failure."""
    if install.prepared is None or status == 0:
        return None
    from pinstall.aftermath import second_run

    return second_run.survey(install.prepared, status, first)


def second_run(install: Install, rescue: Rescue | None, journal: Journal) -> SecondRun | None:
    """Return what a second run of pip is given; None if there is none."""
    if install.prepared is None or rescue is None:
        return None
    from pinstall.aftermath import second_run

    return second_run.decide(install.prepared, rescue, journal)


def settle(install: Install, outcome: Outcome, journal: Journal) -> None:
    """After the second run: take over what it received."""
    if install.prepared is not None:
        from pinstall.aftermath import second_run

        second_run.settle(install.prepared, outcome, journal)


def finish(install: Install, outcome: Outcome, journal: Journal) -> None:
    """After pip, whatever its status: say what was not checked, and put the cache in order. Never waits."""
    unchecked, call, status = install.unchecked, install.call, outcome.status
    if unchecked and (status == 0 or unchecked not in (_NOT_UNDERSTOOD, install.context.versionless)):
        journal.say(WARNING, messages.not_checked(unchecked.source, unchecked.reason))
    if call is not None and call.cache_dir is not None and status != _USAGE_ERROR:
        for unread in call.unread:
            journal.say(WARNING, messages.not_checked(unread.source, unread.reason))
    if install.prepared is not None:
        from pinstall.aftermath.finish import finish

        finish(install.prepared, outcome, journal)


def confirm(install: Install, status: int, journal: Journal) -> int:
    """After a pip that succeeded: does the environment hold the pins? Return the *status*, or 90 if it does not."""
    call, made = install.call, install.context
    if status or call is None or call.cache_dir is None:
        return status
    made.environment.forget()
    if install.satisfied and made.environment.versions() == install.before:
        return status  # nothing has changed
    from pinstall.aftermath.confirm import confirm

    cache = _cache(made, call, call.cache_dir)
    journal.discrepancies = confirm(pins(install).pins, install.before, made.environment, cache, call)
    for found in journal.discrepancies:
        journal.say(ERROR if found.contradicts else WARNING, found.line)
    return _CONTRADICTED if any(found.contradicts for found in journal.discrepancies) else status


def report(install: Install | None, status: int, journal: Journal) -> None:
    """Write the report, if the call wants one."""
    if journal.is_wanted:
        journal.pins = pins(install).pins if install else ()
        journal.write(status, 0 if status == _CONTRADICTED else status)
