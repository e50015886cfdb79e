"""The command ``pinstall``. Of the modules that it imports, only `terminal` also prints: progress bars.

It imports only the standard library at first: even if pinstall's other packages are broken, pip must run.
"""

from __future__ import annotations

import os
import sys

try:
    from contextlib import suppress
    from functools import partial
    from typing import TYPE_CHECKING, NoReturn

    from pinstall import __version__, environment, exit_status, pip_process, settings
    from pinstall.environment import Target
    from pinstall.interpreter import SilentPythonError
    from pinstall.pip_process import PipCommand
except KeyboardInterrupt:  # nothing has begun that a traceback could explain
    os._exit(130)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinstall.aftermath.other_versions import OtherVersion
    from pinstall.install import PreparedCall
    from pinstall.journal import Journal
    from pinstall.model.pins import Pin
    from pinstall.pip_process import Pip

# Levels of `messages`, which calls that need nothing of pinstall do not import.
_NOTE, _ERROR = 0, -2

# The commands of all pips. Not "wheel": that project is installed as often as the command is meant.
PIP_COMMANDS = (
    *("cache", "check", "completion", "config", "debug", "download", "freeze", "hash", "help", "index", "inspect", "install"),
    *("list", "lock", "search", "show", "uninstall"),
)
_REDIRECTED = ("download", "lock")

# Our only option; no pip has it.
EXPLAIN = "--explain"

_HELP = """pinstall: 'pip install' that checks pip's cache before pip uses it.

Usage: pinstall [arguments of pip install]
       pinstall --explain [arguments of pip install]

For each pinned requirement, pinstall checks the files that pip would take from its cache, removes the bad ones, and
then runs 'pip install' with the same arguments. With --explain, it installs and changes nothing: it prints the
environment, pip, cache and settings of the call, its pins, and what would be done with the cached files for them.

Environment variables:
  PINSTALL_POLICY           evict (default): remove bad files; report (and any invalid value): only print what would be done;
                            off: run plain pip
  PINSTALL_KEEP_VERSIONS    1: other versions of a pinned project stay in pip's cache (default 0)
  PINSTALL_BUILD_VARIABLES  further variables that influence builds (names or globs, separated by spaces)
  PINSTALL_WATCH_BUILDS     0: do not note which variables, files and programs builds use (default 1)
  PINSTALL_STORE_SIZE       how much pinstall may store: 500M, 2G ... (default 5G); 0: only build records
  PINSTALL_REPORT           write a JSON report of this run to this file
  PINSTALL_SHARED_STORE     a bucket or folder with wheels that other machines built: s3://, gs://, az://, https:// or file:///
  PINSTALL_LOCK_TIMEOUT     seconds to wait while another pinstall changes the cache (default 30)

pip's own help follows.
"""


def script(*, as_module: bool = False) -> NoReturn:
    """Run `main`, and end the process with its status; *as_module*: for ``python -m pinstall``.

    Skips the interpreter's shutdown, which takes 2 % of a call and has nothing left to do. Ctrl-C before pip's process is
    started ends this one silently with 130.
    """
    pip_process.end_if_interrupted()
    pip_process.leave(main(as_module=as_module))


def main(argv: Sequence[str] | None = None, command: str = "install", *, as_module: bool = False) -> int:
    """Serve a call of a pip *command* with the arguments *argv*, which do not contain the command; return its exit status.

    Without *argv*, as for the command ``pinstall``, takes the arguments of the process, and refuses them with status 2 under
    the condition of `_refusal`. Returns 91 without an environment to install into, unless the call asks for the version or help
    (`_own_text`). Otherwise returns the status of `_explain` for ``--explain``, and pip's status for other calls: but 90 if pip
    succeeded and its result contradicts a pin, 92 if pip could not be started, and 130 if the call was interrupted before pip
    ran. *as_module* is as for `environment.target`. Does not return in a process that becomes pip (`Pip`). Replaces
    `sys.unraisablehook` by one that prints nothing.
    """
    # A finalizer that fails on a half-initialised object does not concern the user.
    sys.unraisablehook = lambda _: None
    is_short = argv is None  # "pinstall ARGUMENTS", not "pinstall-pip COMMAND ARGUMENTS"
    argv = sys.argv[1:] if argv is None else argv
    arguments, explains = _without_explain(argv)
    try:
        target = environment.target(arguments, os.environ, as_module=as_module)._replace(command=command)
    except environment.NoEnvironmentError as error:
        own = _own_text(arguments, command)  # often the first command after "pipx install"
        if arguments == ["--version"] and own:
            _write(1, own)
            return 0
        if not own:
            return without_environment(error)
        target = Target(sys.executable, sys.executable, (), tuple(arguments))
    if is_short and (refusal := _refusal(target)):
        _complain(refusal)
        return exit_status.REFUSED_OR_CRASHED
    own = _own_text(target.arguments, command)
    if explains and not own:
        return _explain(target)
    # Outside of the try: in a fork that continues as pip, nothing may catch pip's exceptions.
    pip = pip_process.Pip(target.runner, _complain, early=True)
    pip_process.raise_if_interrupted()
    try:
        return _show(own, target, pip) if own else _serve(target, pip)
    except KeyboardInterrupt:
        return exit_status.INTERRUPTED


def without_environment(error: environment.NoEnvironmentError) -> int:
    """Print the *error* to standard error; return the exit status 91."""
    _complain(str(error))
    return exit_status.NO_ENVIRONMENT


def _refusal(target: Target) -> str:
    """Return a message with the command to type if the first argument without a leading ``-`` is in `PIP_COMMANDS`; else "".

    Returns "" also if that argument is the value of an option: for ``-r install six``, and for ``-r six.txt install``.
    """
    arguments = target.arguments
    index = next((i for i, argument in enumerate(arguments) if not argument.startswith("-")), len(arguments))
    command = arguments[index] if index < len(arguments) else ""
    if command not in PIP_COMMANDS or environment.is_value(arguments, index):
        return ""
    rest = [*arguments[:index], *arguments[index + 1 :]]
    if command in ("install", "cache"):
        typed = ["pinstall" if command == "install" else "pinstall-cache", *target.options, *rest]
    else:
        typed = ["pinstall-pip" if command in _REDIRECTED else "pip", *target.options, command, *rest]
    meant = "'pinstall' already means 'pip install'" if command == "install" else "pinstall only installs"
    project = f"'{command}==VERSION' or './{command}' installs a project of that name"
    return f"nothing was done: {meant} ({project}); type: {_quoted(typed)}"


def _quoted(arguments: Sequence[str]) -> str:
    """Return *arguments* as one types them, URLs without secrets; only the first, and dots, if pinstall's packages are broken.

    *arguments* has at least one element.
    """
    with suppress(Exception):  # pinstall's own packages may be broken
        from pinstall.model.links import without_secrets
        from pinstall.repair_advice import quoted

        return quoted([without_secrets(text) if "://" in text else text for text in arguments])
    return f"{arguments[0]} ..."


def _without_explain(argv: Sequence[str]) -> tuple[list[str], bool]:
    """Return the arguments without the first ``--explain``, pinstall's own option, and whether it was given.

    It does not count behind a ``--``, or as the value of another option.
    """
    for index, argument in enumerate(argv):
        if argument == "--":
            break
        if argument == EXPLAIN and not environment.is_value(argv, index):
            return [*argv[:index], *argv[index + 1 :]], True
    return list(argv), False


def _explain(target: Target) -> int:
    """Print the explanation of a call to standard output; return the exit status.

    It is that of `Explanation`; 1 also if pinstall fails, which a line on standard error says; 130 if the call was interrupted.
    """
    try:
        from pinstall import explanation, install
        from pinstall.terminal import plain

        found = explanation.explain(install.collect_context(target, os.environ, settings.read(os.environ)))
    except KeyboardInterrupt:
        return exit_status.INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the kind is all that a message may show)
        _say_broken(error, "nothing was explained", None)
        return exit_status.WOULD_CHANGE
    _write(1, "".join(f"{plain(line)}\n" for line in found.lines))
    return found.status


def _own_text(arguments: Sequence[str], command: str) -> str:
    """Return the text to print before pip's: for ``--version`` alone, and for ``-h`` or ``--help`` as the first argument.

    "" for all other arguments, and for other commands than ``install``.
    """
    if command != "install":
        return ""
    if list(arguments) == ["--version"]:
        return f"pinstall {__version__} from {os.path.dirname(__file__)}\n"
    return f"{_HELP}\n" if arguments[:1] and arguments[0] in ("-h", "--help") else ""


def _show(text: str, target: Target, pip: Pip) -> int:
    """Print *text*, and have pip print its version or help after it; return the exit status of `Pip.run`.

    pip's process prints *text* itself, with its own output; if it could not be started, this process prints *text*.
    """
    if not pip.has_started:
        _write(1, text)
    command, arguments = ("--version", []) if target.arguments == ("--version",) else (target.command, list(target.arguments))
    return pip.run(PipCommand(arguments, command=command, options=target.options, preface=text), lambda: None)


def _serve(target: Target, pip: Pip) -> int:
    """Check the cache, run pip, and confirm the result; return the exit status: 90 (see `main`), else that of `Pip.run`.

    If pip fails and the cache may be to blame, pip runs once more, and that run's status counts. Then writes the JSON report if
    one is asked for. If pinstall fails before pip runs, see `_without_us`; if it fails afterwards, it prints that, and pip's
    status counts. Under ``PINSTALL_POLICY=off``, only prints the note of *target* and runs pip. Raises `KeyboardInterrupt` if
    the call is interrupted before pip runs; an interrupt after pip ends the remaining steps, except for the report, or
    ends the report if that is being written.
    """
    typed_command = PipCommand(list(target.arguments), command=target.command, options=target.options)
    if settings.is_off(os.environ):
        if target.note:
            note(target.note)
        return pip.run(typed_command, lambda: None)
    journal = prepared = None
    try:
        from pinstall import install
        from pinstall.aftermath.outcome import Outcome
        from pinstall.journal import Journal

        chosen = settings.read(os.environ)
        journal = Journal(chosen.report, _say)
        prepared = install.prepare(install.collect_context(target, os.environ, chosen), journal)
        journal.end_step("check")
        if pip.must_become_pip:
            prepared = install.without_cache(prepared)
    except Exception as error:  # noqa: BLE001 (a bug of pinstall must not prevent an install)
        return _without_us(error, typed_command, target, pip, journal)
    others: dict[Pin, list[OtherVersion]] = {}
    first = prepared

    def while_pip_runs() -> None:
        with suppress(Exception):  # a later step or the next call repeats it
            install.load_the_rest(first)
            others.update(install.other_versions(first))

    watch = pip_process.PipWatch(
        prepared.watched_folder,
        answer_question=partial(install.answer_question, prepared, journal=journal),
        notes_folder=prepared.notes_folder,
        shared_store_timeout=prepared.shared_store_timeout,
    )
    status = pip.run(prepared.pip_command, while_pip_runs, watch)
    try:
        journal.end_step("pip")
        install.move_received(prepared)
        prepared = install.prepare_late(prepared, _status(pip, status), pip.observation, journal)
        rescue = install.inspect_failure(prepared, _status(pip, status), pip.observation)
        second = install.prepare_second_run(prepared, rescue, journal)
        if second is not None:
            pip = pip_process.Pip(target.runner, _complain)
            watch = pip_process.PipWatch(
                second.watched_folder,
                second.known_failures,
                answer_question=partial(install.answer_question, install.within(prepared, second), journal=journal),
                notes_folder=prepared.notes_folder,
                shared_store_timeout=prepared.shared_store_timeout,
            )
            status = pip.run(second.pip_command, lambda: None, watch)
        outcome = Outcome(_status(pip, status), rescue, second, others)
        install.take_received(prepared, outcome, journal)
        journal.end_step("heal")
        install.finish(prepared, outcome, journal)
        status = install.confirm(prepared, status, journal)
        journal.end_step("finish")
    except KeyboardInterrupt:
        pass  # pip has ended, and its status counts
    except Exception as error:  # noqa: BLE001 (as above)
        _say_broken(error, "pip has run, but its result was not checked", journal)
    _report(prepared, status, journal)
    return status


def _without_us(error: Exception, typed_command: PipCommand, target: Target, pip: Pip, journal: Journal | None) -> int:
    """Print that pinstall failed with *error*, run pip without its cache, and return the exit status of `Pip.run`.

    If pinstall cannot tell where pip's options end, pip uses the folder of a ``--cache-dir`` in the call. Then writes the
    report of the *journal*, without pins, if one is asked for. None for *journal* means that pinstall failed before it had one.
    """
    version: tuple[int, ...] = ()
    with suppress(Exception):
        version = environment.of(target)[1].pip_version or ()
    command = typed_command._replace(pip_version=version).without_cache()
    is_sure = command.arguments != typed_command.arguments
    _say_broken(
        error,
        "running pip with --no-cache-dir" if is_sure else "running pip without its cache, unless the command itself sets one",
        journal,
    )
    status = pip.run(command, lambda: None)
    if journal is not None:
        _report(None, status, journal)
    return status


def _status(pip: Pip, status: int) -> int:
    """Return the status for the steps after pip: 130 if a signal told *pip* to end and *status* is not 0; else *status*."""
    return exit_status.INTERRUPTED if status and pip.was_told_to_end else status


def _report(prepared: PreparedCall | None, status: int, journal: Journal) -> None:
    try:
        from pinstall import install

        install.report(prepared, status, journal)
    except KeyboardInterrupt:
        pass  # pip has ended, and its status counts
    except Exception as error:  # noqa: BLE001 (as above)
        _say_broken(error, "the report of PINSTALL_REPORT was not written", journal)


def _say(level: int, line: str) -> None:
    shown = f"pinstall: {line}"
    with suppress(Exception):
        from pinstall.terminal import painted

        shown = painted(level, shown)
    _write(2, f"{shown}\n")


def _write(descriptor: int, text: str) -> None:
    """Write *text* to standard output (*descriptor* 1) or standard error (2); ignore errors, as of a closed stream.

    Leaves nothing to flush: a flush that fails at exit would replace pip's exit status.
    """
    stream = sys.stdout if descriptor == 1 else sys.stderr
    data = text.encode(getattr(stream, "encoding", None) or "utf-8", errors="backslashreplace")
    with suppress(OSError, ValueError):
        if os.name == "nt" and hasattr(stream, "buffer"):  # a console takes UTF-8 through Python's own stream only
            stream.buffer.write(data)
            stream.buffer.flush()
        else:
            os.write(descriptor, data)


def note(line: str) -> None:
    """Print *line* to standard error after "pinstall: ", even under ``-q``, and without adding it to a journal."""
    _say(_NOTE, line)


def _complain(line: str) -> None:
    _say(_ERROR, line)


def _say_broken(error: Exception, outcome: str, journal: Journal | None) -> None:
    cure = ""
    with suppress(Exception):
        from pinstall import repair_advice

        cure = repair_advice.command(error)
    advice = (
        f"pinstall's own dependencies are missing or have a wrong version; to repair them, run: {cure}"
        if cure
        else "to bypass pinstall, set PINSTALL_POLICY=off"
    )
    # The words of an exception may hold a URL with credentials: its kind must do.
    line = f"internal error ({type(error).__name__}): {outcome}; {advice}"
    if isinstance(error, SilentPythonError):
        problem, _, advice = str(error).rpartition("; ")
        line = f"{problem}: {outcome}; {advice}"
    _complain(line)
    if journal is not None:
        journal.note(line)
