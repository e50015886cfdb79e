"""The steps of a call, in the order in which `cli` takes them; it runs pip between them."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from pinstall import environment, exit_status, messages
from pinstall.checks.satisfied import is_satisfied, unsatisfied
from pinstall.interpreter import SilentPythonError
from pinstall.invocation import invocation
from pinstall.invocation.options import UnreadableCallError
from pinstall.invocation.requirements_files import UnreadSource
from pinstall.messages import ERROR, NOTE, WARNING
from pinstall.pip_process import PipCommand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinstall.aftermath.other_versions import OtherVersion
    from pinstall.aftermath.outcome import Outcome, SecondRun
    from pinstall.aftermath.rescue import Rescue
    from pinstall.checks.prepare import PreparedCache
    from pinstall.environment import Environment, Target
    from pinstall.invocation.invocation import Invocation
    from pinstall.journal import Journal
    from pinstall.model.pins import Pin, Pins
    from pinstall.pip_cache.locator import Cache
    from pinstall.pip_process import Observation
    from pinstall.settings import Settings

# Another program's distribution, which has the same import package and command names as pinstall.
FOREIGN = "pinstall"
NOT_UNDERSTOOD = UnreadSource("this call", "pip accepts an option or setting that pinstall does not know; upgrade pinstall")


_CONFIGURED_PYTHON = UnreadSource(
    "this call",
    "the option python in pip's configuration (see 'pip config list') names another Python; set --python or PIP_PYTHON instead",
)


class Context(NamedTuple):
    """The inputs of a call: its variables, settings and environment, and the version of the pip that installs into it.

    ``target`` has the arguments of the call, and tells how to start that pip. ``pip_version`` is ``()`` if it is unknown.
    """

    target: Target
    environ: Mapping[str, str]
    settings: Settings
    environment: Environment
    pip_version: tuple[int, ...]

    @property
    def versionless(self) -> UnreadSource:
        """The warning for a call whose ``pip_version`` is unknown: then the format of its cache is unknown, too."""
        return UnreadSource(
            "this call",
            f"the version of the pip of {self.target.runner} is unknown, because it has no metadata; reinstall that pip",
        )


class PreparedCall(NamedTuple):
    """A call that is ready for pip.

    ``pip_command`` starts pip. ``call`` is missing (None) if pinstall cannot read it, or does not know pip's version or the
    Python to install into. ``unchecked`` states why no pin was checked; None if the pins were checked or need not be, or if the
    Python to install into does not exist, which pip reports. ``installed_before`` are the versions that were installed before
    pip ran, by project; empty without ``call``, or if pip uses no cache. ``satisfied`` is True if nothing was checked because
    they satisfy the call (`is_satisfied`). ``cache`` is missing if pip will not open it, or pinstall does not check it.
    ``refusal`` is the error for which pinstall could not read the arguments, variables or files, which as a rule pip refuses,
    too; it may contain secrets; "" without such an error.
    """

    context: Context
    pip_command: PipCommand
    call: Invocation | None = None
    unchecked: UnreadSource | None = None
    installed_before: Mapping[str, str] = {}
    satisfied: bool = False
    cache: PreparedCache | None = None
    refusal: str = ""

    @property
    def watched_folder(self) -> str:
        """The resolved path of the cache folder whose use by this call's pip is recorded; "" if it is not recorded."""
        if self.cache is not None:
            return self.cache.watched_folder
        folder = self.call.cache_dir if self.call and self.context.settings.writes else None
        return os.path.realpath(folder) if folder else ""

    @property
    def notes_folder(self) -> str:
        """The folder for the notes on this call's builds; "" if they are not watched."""
        return self.cache.notes_folder if self.cache else ""

    @property
    def shared_store_timeout(self) -> float:
        """The time-out in seconds of the shared store that this call may ask; 0 if it has no shared store."""
        shared = self.cache.shared if self.cache else None
        return shared.settings.timeout if shared else 0


def collect_context(target: Target, environ: Mapping[str, str], settings: Settings) -> Context:
    """Collect the inputs of a call that installs into *target*.

    Starts the Python whose pip runs, to ask for its path, unless it is the running one or the choice of *target* has started
    it. Raises `SilentPythonError` if it does not answer.
    """
    served, runner = environment.of(target)
    return Context(target, environ, settings, served, runner.pip_version or ())


def prepare(context: Context, journal: Journal) -> PreparedCall:
    """Read the call, check the cache entries for its pins, and remove, set aside or hide from pip those that do not match.

    Also checks what pip may need without a pin, restores entries from the store, makes pip a view of its cache if it needs one,
    and prints each change. Under ``PINSTALL_POLICY=report``, checks the same, prints what it would change, and changes nothing.
    Does not look at the cache if pip will not open it, because the environment satisfies the call or pip uses no cache, or if
    pinstall cannot read the call or check its pins (``unchecked``).
    """
    journal.environment = {"python": context.environment.python, "pip": ".".join(map(str, context.pip_version)) or None}
    prepared = _read(context)
    call = prepared.call
    _introduce(prepared, journal)
    if context.target.note:
        journal.say(NOTE, context.target.note)
    for setting in context.settings.invalid:
        journal.say(WARNING, messages.ignored_setting(setting))
    if call is None:
        return prepared
    if call.cache_dir is None or (os.path.lexists(call.cache_dir) and not os.path.isdir(call.cache_dir)):
        return _without_look(prepared, call.cache_dir or "", journal)
    prepared = prepared._replace(installed_before=context.environment.versions())
    if context.environment.is_own and FOREIGN in prepared.installed_before:
        journal.say(WARNING, messages.FOREIGN)
    if is_satisfied(call, context.environment):
        return prepared._replace(satisfied=True)
    return _checked(prepared, call, call.cache_dir, journal)


def _without_look(prepared: PreparedCall, file: str, journal: Journal) -> PreparedCall:
    """Return the call for a pip without a cache: the call has none (*file* is ""), or *file* is at the path of its folder.

    In the latter case, prints that, and tells pip to use no cache. Notes the unsatisfied pins if a report is wanted.
    """
    if journal.wants_report:
        note_unsatisfied(prepared, journal)
    if not file:
        return prepared
    journal.say(ERROR, messages.not_a_folder(file))  # pip would fail at its first build
    return prepared._replace(pip_command=prepared.pip_command.without_cache())


def note_unsatisfied(prepared: PreparedCall, journal: Journal) -> None:
    """Note in the *journal* the pins that the environment does not satisfy: for a call whose cache is not looked at.

    Notes nothing if the environment's Python does not answer.
    """
    with suppress(SilentPythonError):
        found = pins(prepared).pins
        journal.unsatisfied = unsatisfied(prepared.call, found, prepared.context.environment) if prepared.call else ()


def without_cache(prepared: PreparedCall) -> PreparedCall:
    """Return *prepared* with a pip that uses no cache if the call has a view; else return it unchanged.

    For a process that becomes pip: nobody could store what it builds in the view.
    """
    if prepared.cache is None or prepared.cache.view is None:
        return prepared
    return prepared._replace(pip_command=_typed_command(prepared.context).without_cache())


def _typed_command(context: Context) -> PipCommand:
    target = context.target
    return PipCommand(list(target.arguments), context.pip_version, command=target.command, options=target.options)


def _introduce(prepared: PreparedCall, journal: Journal) -> None:
    """Tell the journal the output options, the cache folder and the unread sources of the call."""
    call = prepared.call
    if call is not None:
        journal.verbosity, journal.is_plain, journal.cache = call.verbosity, call.has("no_color"), call.cache_dir
        journal.unread = call.unread
    if prepared.unchecked:
        journal.unread = (prepared.unchecked, *journal.unread)


def _read(context: Context) -> PreparedCall:
    """Read the arguments, variables and files of the call; pip gets the arguments as they are.

    The result has no ``call`` if that fails, if pip's version is unknown, or if pip's configuration names another Python. Then
    ``unchecked`` states the reason, unless the Python to install into does not exist.
    """
    prepared = PreparedCall(context, _typed_command(context))
    if not context.pip_version:
        return prepared._replace(unchecked=context.versionless)
    served = context.environment
    try:
        arguments, command = prepared.pip_command.arguments, context.target.command
        call = invocation.read(arguments, context.environ, served.prefix, context.pip_version, command)
        if call.has("python") and not (context.environ.get("PIP_PYTHON") or "--python" in context.target.options):
            return prepared._replace(unchecked=_CONFIGURED_PYTHON)
        tags = None if served.is_own or not call.locks else served.tags
        return prepared._replace(call=invocation.unlocked(call, served.markers if call.locks else {}, tags))
    except (UnreadableCallError, FileNotFoundError) as error:  # the latter if the current folder is gone
        return prepared._replace(unchecked=NOT_UNDERSTOOD, refusal=str(error))  # as a rule pip reports the error
    except SilentPythonError as error:
        is_there = os.path.exists(served.python)  # else pip reports that it is missing
        return prepared._replace(unchecked=UnreadSource("this call", str(error)) if is_there else None)


def _checked(prepared: PreparedCall, call: Invocation, folder: str, journal: Journal) -> PreparedCall:
    """Check and change the cache in *folder* for the pins that the environment does not satisfy, if pip will open the cache.

    See `checks.prepare.prepare` for the changes. If pinstall cannot check a pin of this pip or Python (`_obstacle`), the
    ``call`` of the result has no cache folder, so that no later step touches the cache. Notes the unsatisfied pins in the
    *journal*.
    """
    context = prepared.context
    found = pins(prepared)
    unmet = unsatisfied(call, found.pins, context.environment)
    journal.unsatisfied = unmet
    is_idle = not unmet and not found.loose and not call.unread  # pip will not open its cache
    if why := _obstacle(context):
        unchecked = None if is_idle else UnreadSource("this call", why)
        prepared = prepared._replace(unchecked=unchecked, call=call._replace(cache_dir=None))
        _introduce(prepared, journal)
        return prepared
    if is_idle:
        return prepared
    from pinstall.checks.checker import Checker
    from pinstall.checks.prepare import prepare as prepare_cache

    checker = Checker(_cache(context, call, folder), context.environ, context.settings)
    cache = prepare_cache(checker, unmet, prepared.pip_command, context.settings, journal)
    return prepared._replace(cache=cache, pip_command=cache.pip_command)


def _obstacle(context: Context) -> str:
    """Return why pinstall can check no pin of the call: its pip is too old, or its Python tells no tags; "" if it can.

    Starts that Python, unless it is the running one or has been asked for its tags before.
    """
    from pinstall.pip_cache.keys import OLDEST_PIP

    if context.pip_version < OLDEST_PIP:
        version = ".".join(map(str, context.pip_version))
        cure = f"upgrade it with '{context.target.runner} -m pip install --upgrade pip'"
        return f"pip {version} is older than 23.0, and pinstall does not know its cache format; {cure}"
    try:
        context.environment.require_tags()
    except SilentPythonError as error:
        return str(error)
    return ""


def pins(prepared: PreparedCall) -> Pins:
    """Collect the pins of a call, anew each time; no pins if pinstall could not read it. Raises `SilentPythonError`."""
    from pinstall.model import pins as model

    return model.collect(prepared.call.lines if prepared.call else (), prepared.context.environment.markers)


def _cache(context: Context, call: Invocation, folder: str) -> Cache:
    from pinstall.pip_cache.locator import Cache
    from pinstall.storage.view import real_root

    return Cache(real_root(folder), call, context.environment, context.pip_version)


# What a call may need after pip. Its imports must not come from what pip has just installed into our own environment.
_NEEDED_LATER = (
    *("filelock", "msgpack", "packaging.markers", "packaging.requirements", "packaging.specifiers", "packaging.tags"),
    *("pinstall.aftermath.confirm", "pinstall.aftermath.causes", "pinstall.aftermath.finish", "pinstall.aftermath.second_run"),
    "pinstall.aftermath.unknown_layout",
)
_NEEDED_BY_BUILDS = ("elftools.elf.elffile", "pinstall.inspection.shared_libraries")


def load_the_rest(prepared: PreparedCall) -> None:
    """Import the modules that are needed after pip, while pip resolves, if it installs into pinstall's own environment.

    There, pip may replace them. Imports nothing if the cache was not checked.
    """
    if prepared.cache is not None and prepared.context.environment.is_own:
        for module in (*_NEEDED_LATER, *(_NEEDED_BY_BUILDS if prepared.cache.view else ())):
            import_module(module)


def other_versions(prepared: PreparedCall) -> dict[Pin, list[OtherVersion]]:
    """Find the cached files of other versions of the pins, while pip runs; see `aftermath.finish.other_versions_now`.

    Returns nothing if the cache was not checked.
    """
    if prepared.cache is None:
        return {}
    from pinstall.aftermath import finish

    return finish.other_versions_now(prepared.cache)


def answer_question(prepared: PreparedCall, folder: str, journal: Journal) -> None:
    """Prepare a *folder* below ``wheels/``, which pip is about to search for a built wheel; pip waits for the return.

    Keeps from pip the wheels that do not fit a pin, and compiled ones that lack a library, and prints that. If the call has a
    shared store and no wheel is there, adds a build from that store that fits. Does nothing if the cache was not checked.
    Raises `OSError` as `checks.consultation.consult`.
    """
    if prepared.cache is not None:
        from pinstall.checks import consultation

        consultation.consult(prepared.cache, folder, journal)
        if prepared.cache.shared is not None:
            from pinstall.shared_store import reading

            reading.supply(prepared.cache, folder, journal)


def prepare_late(prepared: PreparedCall, status: int, first: Observation | None, journal: Journal) -> PreparedCall:
    """Check the cache after all if the *first* run of pip failed and used it, although the environment satisfied the pins.

    A dependency may be missing, or have a version that a constraint excludes. Returns the call with its cache, prepared for no
    pin. Returns it unchanged under other conditions, and also if pinstall can check no pin (`_obstacle`), or if pip has begun
    to install (a ``.dist-info`` folder) and that code could be imported: by pinstall itself, or by a start of the environment's
    Python. *status* is that of `cli._status`; *first* is what pip did, None if it was not watched or did not tell.
    """
    call, environment = prepared.call, prepared.context.environment
    if prepared.cache or call is None or call.cache_dir is None or status == 0 or first is None or not first.opened_files:
        return prepared
    # Our modules must not come from what pip has just installed (see `load_the_rest`), and the Python there must not import it.
    if first.created_dist_infos and (environment.is_own or not environment.needs_no_start):
        return prepared
    if _obstacle(prepared.context):
        return prepared
    from pinstall.checks.checker import Checker
    from pinstall.checks.prepare import prepare as prepare_cache

    context = prepared.context
    checker = Checker(_cache(context, call, call.cache_dir), context.environ, context.settings)
    cache = prepare_cache(checker, (), prepared.pip_command, context.settings, journal)
    cache = cache._replace(dist_infos=environment.dist_infos())
    return prepared._replace(cache=cache, satisfied=False)


def move_received(prepared: PreparedCall) -> None:
    """Move the entries that pip received in place of hidden ones to the cache; see `aftermath.second_run.move_received`."""
    if prepared.cache is not None:
        from pinstall.aftermath import second_run

        second_run.move_received(prepared.cache)


def inspect_failure(prepared: PreparedCall, status: int, first: Observation | None) -> Rescue | None:
    """Inspect the cache entries that the *first* run of pip used before it ended with *status*.

    None if pip succeeded or the cache was not checked, or under the conditions of `aftermath.second_run.inspect_failure`.
    """
    if prepared.cache is None or status == 0:
        return None
    from pinstall.aftermath import second_run

    return second_run.inspect_failure(prepared.cache, status, first)


def prepare_second_run(prepared: PreparedCall, rescue: Rescue | None, journal: Journal) -> SecondRun | None:
    """Prepare the second run of pip; return None if pip must not, or need not, run again.

    Makes its view, and removes half-installed folders. Tells the user that pip runs again, or why it must not. See
    `aftermath.second_run.prepare`.
    """
    if prepared.cache is None or rescue is None:
        return None
    from pinstall.aftermath import second_run

    return second_run.prepare(prepared.cache, rescue, journal)


def within(prepared: PreparedCall, second: SecondRun) -> PreparedCall:
    """Return the call with the view of the *second* run in place of its own, to answer the questions of that run's pip."""
    return prepared._replace(cache=prepared.cache._replace(view=second.view) if prepared.cache else None)


def take_received(prepared: PreparedCall, outcome: Outcome, journal: Journal) -> None:
    """Move the entries that a second run received, if there was one, to the cache.

    If that run succeeded, prints which old entries were wrong; see `aftermath.second_run.take_received`.
    """
    if prepared.cache is not None:
        from pinstall.aftermath import second_run

        second_run.take_received(prepared.cache, outcome, journal)


def finish(prepared: PreparedCall, outcome: Outcome, journal: Journal) -> None:
    """After pip, with any status: warn of the parts of the call that were not checked, store pip's builds, and tidy the cache.

    If pip failed, does not warn that pinstall does not understand the call, or knows no version of its pip; if pip refused the
    call (status 2), does not name the sources that pinstall could not read. Also prints the known causes of a failure, and
    uploads builds to a shared store; see `aftermath.finish.finish`.
    """
    unchecked, call, status = prepared.unchecked, prepared.call, outcome.status
    if unchecked and (status == 0 or unchecked not in (NOT_UNDERSTOOD, prepared.context.versionless)):
        journal.say(WARNING, messages.install_not_checked(_reason(unchecked, prepared.refusal)))
    if call is not None and call.cache_dir is not None and status != exit_status.REFUSED_OR_CRASHED:
        for unread in call.unread:
            journal.say(WARNING, messages.pins_not_checked(unread.source, unread.reason))
    if prepared.cache is not None:
        from pinstall.aftermath.finish import finish

        finish(prepared.cache, outcome, journal)


def _reason(unchecked: UnreadSource, refusal: str) -> str:
    """Return why a call was not checked; if the *refusal* is an option that pinstall does not know, with its name.

    Other refusals may contain values of the call, and so secrets: they are not shown.
    """
    option = refusal.removeprefix("no such option: ")
    if unchecked is not NOT_UNDERSTOOD or option == refusal:
        return unchecked.reason
    return f"pip accepts the option {option}, which pinstall does not know; upgrade pinstall"


def confirm(prepared: PreparedCall, status: int, journal: Journal) -> int:
    """Compare the environment with the pins if pip succeeded, and print each difference.

    Returns 90 if the environment contradicts a pin, else *status*, which is pip's. For ``pip download`` and ``pip wheel``,
    compares the files in their folder. Compares nothing if pinstall could not read the call or check its pins, if the call has
    no cache folder, if the environment satisfied the call before and has not changed, or for ``--dry-run``, ``--target``,
    ``--prefix`` and ``--root``.
    """
    call, environment = prepared.call, prepared.context.environment
    if status or call is None or call.cache_dir is None:
        return status
    if not call.installs:
        return _confirm_folder(prepared, call, status, journal)
    environment.forget()
    if prepared.satisfied and environment.versions() == prepared.installed_before:
        return status  # nothing has changed
    from pinstall.aftermath.confirm import confirm

    # To judge the files of a page, the Python may be asked for its tags; after pip it must not be started.
    cache = _cache(prepared.context, call, call.cache_dir) if environment.needs_no_start else None
    journal.discrepancies = confirm(pins(prepared).pins, prepared.installed_before, environment, cache, call)
    return _say_discrepancies(journal, status)


def _confirm_folder(prepared: PreparedCall, call: Invocation, status: int, journal: Journal) -> int:
    """Compare the files in the folder of ``pip download`` or ``pip wheel`` with the pins; print and return as `confirm`."""
    from pinstall.aftermath import confirm_folder

    journal.discrepancies = confirm_folder.confirm(pins(prepared).pins, call)
    return _say_discrepancies(journal, status)


def _say_discrepancies(journal: Journal, status: int) -> int:
    for found in journal.discrepancies:
        journal.say(ERROR if found.contradicts else WARNING, found.line)
    return exit_status.CONTRADICTED if any(found.contradicts for found in journal.discrepancies) else status


def report(prepared: PreparedCall | None, status: int, journal: Journal) -> None:
    """Write the JSON report if ``PINSTALL_REPORT`` asks for one; print an error if the file cannot be written.

    *status* is the exit status of pinstall. The report has no pins without *prepared* (pinstall failed before pip ran), or if
    the environment's Python does not tell its markers.
    """
    if journal.wants_report:
        with suppress(SilentPythonError):
            journal.pins = pins(prepared).pins if prepared else ()
        journal.write(status, 0 if status == exit_status.CONTRADICTED else status)
