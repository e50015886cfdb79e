"""The steps of a call: prepare, survey, second_run, take_received, finish, confirm, report. `cli` runs pip between them."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

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

# pip before 23.0 has another cache format: pinstall does not check it, and warns.
_OLDEST_PIP = (23,)
_USAGE_ERROR = 2
# Another program's distribution, which has the same import package and command names as pinstall.
_FOREIGN = "pinstall"
_CONTRADICTED = 90
NOT_UNDERSTOOD = Unread("this call", "pip accepts an option or setting that pinstall does not know; upgrade pinstall")


_CONFIGURED_PYTHON = Unread(
    "this call",
    "a configuration file of pip names another Python; name it with --python or PIP_PYTHON to have it checked",
)


class Context(NamedTuple):
    """The inputs of a call: its variables, its environment, and the version of the pip that installs into it.

    ``target`` tells how to start that pip. ``versionless`` is the warning for a pip of unknown version.
    """

    target: Target
    environ: Mapping[str, str]
    environment: Environment
    pip_version: tuple[int, ...]

    @property
    def versionless(self) -> Unread:
        """The warning that pip has no metadata: without its version, the format of its cache is unknown."""
        return Unread(
            "this call",
            f"the version of the pip of {self.target.runner} is unknown, because it has no metadata; reinstall that pip",
        )


class Install(NamedTuple):
    """A call that is ready for pip.

    ``given`` is the input of pip. ``call`` is None if pinstall does not understand the arguments; ``unchecked`` then states
    why nothing was checked. ``before`` are the installed versions, by project; ``satisfied`` is True if they satisfy the call.
    ``prepared`` is the cache; None if pip will not open it, or pinstall does not check it.
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
        """The cache folder in which pinstall watches this call's pip; "" if it does not watch it."""
        return self.prepared.watched if self.prepared else ""

    @property
    def notes(self) -> str:
        """The folder for the notes on this call's builds; "" if they are not watched."""
        return self.prepared.notes if self.prepared else ""

    @property
    def sharing(self) -> float:
        """The time-out in seconds of the shared store that this call asks; 0 if it asks none."""
        shared = self.prepared.shared if self.prepared else None
        return shared.settings.timeout if shared else 0


def context(target: Target, environ: Mapping[str, str]) -> Context:
    """Collect the inputs of a call that installs into *target*. Raises `SilentPythonError`."""
    served, runner = environment.of(target)
    return Context(target, environ, served, runner.pip_version or ())


def prepare(made: Context, journal: Journal) -> Install:
    """Read the call, check the cache entries for its pins, and remove those that do not match."""
    journal.environment = {"python": made.environment.python, "pip": ".".join(map(str, made.pip_version)) or None}
    install = _read(made)
    call = install.call
    _introduce(install, journal)
    if made.target.note:
        journal.say(NOTE, made.target.note)
    for line in messages.misread(made.environ):
        journal.say(WARNING, line)
    if call is None or call.cache_dir is None:
        return install
    if os.path.lexists(call.cache_dir) and not os.path.isdir(call.cache_dir):  # pip would fail at its first build
        journal.say(ERROR, messages.without_cache(f"{call.cache_dir} is not a directory"))
        return install._replace(given=install.given.without_cache())
    install = install._replace(before=made.environment.versions())
    if made.environment.is_own and _FOREIGN in install.before:
        journal.say(WARNING, messages.FOREIGN)
    if is_satisfied(call, made.environment):
        return install._replace(satisfied=True)
    return _checked(install, call, call.cache_dir, journal)


def unwatched(made: Install) -> Install:
    """Return the call with an input of pip that needs no view, because nobody stores what a pip without pinstall builds."""
    if made.prepared is None or made.prepared.view is None:
        return made
    return made._replace(given=_asked(made.context).without_cache())


def _asked(made: Context) -> Given:
    return Given(list(made.target.words), made.pip_version, command=made.target.command)


def _introduce(install: Install, journal: Journal) -> None:
    """Tell the journal the verbosity, the cache folder and the unread sources of the call."""
    call = install.call
    if call is not None:
        journal.verbosity, journal.is_plain, journal.cache = call.verbosity, call.has("no_color"), call.cache_dir
        journal.unread = call.unread
    if install.unchecked:
        journal.unread = (install.unchecked, *journal.unread)


def _read(made: Context) -> Install:
    """Read the arguments, variables and files of the call, as far as pinstall understands them."""
    install = Install(made, _asked(made))
    if not made.pip_version:
        return install._replace(unchecked=made.versionless)
    served = made.environment
    try:
        call = invocation.read(install.given.arguments, made.environ, served.prefix, made.pip_version, made.target.command)
        if call.has("python") and not made.environ.get("PIP_PYTHON"):
            return install._replace(unchecked=_CONFIGURED_PYTHON)
        tags = None if served.is_own or not call.locks else served.tags
        return install._replace(call=invocation.unlocked(call, served.markers if call.locks else {}, tags))
    except (UnreadableCallError, FileNotFoundError):  # the latter if the current folder is gone
        return install._replace(unchecked=NOT_UNDERSTOOD)  # as a rule pip reports the error
    except SilentPythonError as error:
        is_there = os.path.exists(served.python)  # else pip reports that it is missing
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
    """Return why pinstall cannot check any pin of the call; "" if it can."""
    if made.pip_version < _OLDEST_PIP:
        version = ".".join(map(str, made.pip_version))
        cure = f"upgrade it with '{made.target.runner} -m pip install --upgrade pip'"
        return f"pip {version} is older than 23.0, and pinstall does not know its cache format; {cure}"
    try:
        made.environment.hold()
    except SilentPythonError as error:
        return str(error)
    return ""


def pins(install: Install) -> Pins:
    """Collect the pins of a call. Most calls are satisfied and never need them."""
    from pinstall.model import pins as model

    return model.collect(install.call.lines if install.call else (), install.context.environment.markers)


def _cache(made: Context, call: Invocation, folder: str) -> Cache:
    from pinstall.pip_cache.locator import Cache
    from pinstall.storage.view import real_root

    return Cache(real_root(folder), call, made.environment, made.pip_version)


# What a call may need after pip. Its imports must not come from what pip has just installed into our own environment.
_NEEDED_LATER = (
    *("filelock", "msgpack", "packaging.markers", "packaging.requirements", "packaging.specifiers", "packaging.tags"),
    *("pinstall.aftermath.confirm", "pinstall.aftermath.explain", "pinstall.aftermath.finish", "pinstall.aftermath.second_run"),
    "pinstall.aftermath.unknown_layout",
)
_NEEDED_BY_BUILDS = ("elftools.elf.elffile", "pinstall.inspection.shared_libraries")


def load_the_rest(install: Install) -> None:
    """Import, while pip resolves, the modules that are needed after pip, if pip may replace them."""
    if install.prepared is not None and install.context.environment.is_own:
        for module in (*_NEEDED_LATER, *(_NEEDED_BY_BUILDS if install.prepared.view else ())):
            import_module(module)


def other_versions(install: Install) -> dict[Pin, list[OtherVersion]]:
    """Find other versions of the pins while pip runs."""
    if install.prepared is None:
        return {}
    from pinstall.aftermath import finish

    return finish.other_versions_now(install.prepared)


def answer(install: Install, folder: str, journal: Journal) -> None:
    """Check the compiled wheels in a *folder* that pip is about to search, as `checks.consultation` does."""
    if install.prepared is not None:
        from pinstall.checks import consultation

        consultation.consult(install.prepared, folder, journal)
        if install.prepared.shared is not None:
            from pinstall.shared_store import reading

            reading.supply(install.prepared, folder, journal)


def survey(install: Install, status: int, first: Observation | None) -> Rescue | None:
    """Inspect the cache entries that the *first* run of pip used before it ended with *status*.

    None if pip succeeded or did not open its cache, or under the conditions of `aftermath.second_run.survey`.
    """
    if install.prepared is None or status == 0:
        return None
    from pinstall.aftermath import second_run

    return second_run.survey(install.prepared, status, first)


def second_run(install: Install, rescue: Rescue | None, journal: Journal) -> SecondRun | None:
    """Prepare the second run of pip; return None if pip must not, or need not, run again."""
    if install.prepared is None or rescue is None:
        return None
    from pinstall.aftermath import second_run

    return second_run.decide(install.prepared, rescue, journal)


def take_received(install: Install, outcome: Outcome, journal: Journal) -> None:
    """Move the entries that the second run received to the cache."""
    if install.prepared is not None:
        from pinstall.aftermath import second_run

        second_run.take_received(install.prepared, outcome, journal)


def finish(install: Install, outcome: Outcome, journal: Journal) -> None:
    """After pip, with any status: warn of the parts of the call that were not checked, and tidy the cache."""
    unchecked, call, status = install.unchecked, install.call, outcome.status
    if unchecked and (status == 0 or unchecked not in (NOT_UNDERSTOOD, install.context.versionless)):
        journal.say(WARNING, messages.install_not_checked(unchecked.reason))
    if call is not None and call.cache_dir is not None and status != _USAGE_ERROR:
        for unread in call.unread:
            journal.say(WARNING, messages.pins_not_checked(unread.source, unread.reason))
    if install.prepared is not None:
        from pinstall.aftermath.finish import finish

        finish(install.prepared, outcome, journal)


def confirm(install: Install, status: int, journal: Journal) -> int:
    """Compare the environment with the pins if pip succeeded. Return 90 if it contradicts one, else *status*."""
    call, made = install.call, install.context
    if status or call is None or call.cache_dir is None:
        return status
    if not call.installs:
        return _confirm_folder(install, call, status, journal)
    made.environment.forget()
    if install.satisfied and made.environment.versions() == install.before:
        return status  # nothing has changed
    from pinstall.aftermath.confirm import confirm

    cache = _cache(made, call, call.cache_dir)
    journal.discrepancies = confirm(pins(install).pins, install.before, made.environment, cache, call)
    return _told(journal, status)


def _confirm_folder(install: Install, call: Invocation, status: int, journal: Journal) -> int:
    """Compare the files that ``pip download`` or ``pip wheel`` has left in its folder with the pins."""
    from pinstall.aftermath import wheelhouse

    journal.discrepancies = wheelhouse.confirm(pins(install).pins, call)
    return _told(journal, status)


def _told(journal: Journal, status: int) -> int:
    for found in journal.discrepancies:
        journal.say(ERROR if found.contradicts else WARNING, found.line)
    return _CONTRADICTED if any(found.contradicts for found in journal.discrepancies) else status


def report(install: Install | None, status: int, journal: Journal) -> None:
    """Write the JSON report if ``PINSTALL_REPORT`` asks for one."""
    if journal.is_wanted:
        journal.pins = pins(install).pins if install else ()
        journal.write(status, 0 if status == _CONTRADICTED else status)
