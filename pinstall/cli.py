"""The story of a call, and the only place that prints. Imports the standard library only until it must do more."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from pinstall import __version__, environment, pip_process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinstall.environment import Target
    from pinstall.pip_process import Pip
    from pinstall.session import Session

# The level of `messages` for what is said where nothing but the standard library may be there.
_ERROR = -2
_NO_ENVIRONMENT = 91
_INTERRUPTED = 130

_HELP = """pinstall: 'pip install' that checks pip's cache before pip uses it.

Usage: pinstall [arguments of pip install]

For each pinned requirement, pinstall checks the files that pip would take from its cache, removes the bad ones, and
then runs 'pip install' with the same arguments.

Environment variables:
  PINSTALL_POLICY           evict (default): remove bad files; report: only print what would be done; off: run plain pip
  PINSTALL_KEEP_VERSIONS    if set, other versions of a pinned project stay in pip's cache
  PINSTALL_BUILD_VARIABLES  further variables that influence builds (names or globs, separated by spaces)
  PINSTALL_STORE_SIZE       how much pinstall may store: 500M, 2G ... (default 5G); 0 stores nothing
  PINSTALL_REPORT           write a JSON report of this run to this file
  PINSTALL_LOCK_TIMEOUT     seconds to wait while another pinstall changes the cache (default 30)

pip's own help follows.
"""


def script(*, as_module: bool = False) -> NoReturn:
    """Be the command: `main`, without the end that Python makes of it, which takes 2 % of a call and has nothing left to do."""
    os._exit(main(as_module=as_module))


def main(*, as_module: bool = False) -> int:
    """Serve the call that the process was started with, and return its exit status: pip's whenever pip ran."""
    # What the finalizer of a half-made object could not do is nothing to tell a user of pip.
    sys.unraisablehook = lambda _: None
    try:
        target = environment.target(sys.argv[1:], os.environ, as_module=as_module)
    except environment.NoEnvironmentError as error:
        if own := _own_words(sys.argv[1:]):  # the first that is typed after "pipx install"
            _write(1, own)
            return 0
        _complain(str(error))
        return _NO_ENVIRONMENT
    _write(1, _own_words(target.words))
    # A copy of us that is pip is not to come to what follows, whatever ends it.
    pip = pip_process.Pip(target.runner, _complain, early=True)
    try:
        return _serve(target, pip)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _own_words(words: Sequence[str]) -> str:
    """Return what we say before pip does where we are asked for our version or for help."""
    if list(words) == ["--version"]:
        return f"pinstall {__version__} from {os.path.dirname(__file__)}\n"
    return f"{_HELP}\n" if words[:1] and words[0] in ("-h", "--help") else ""


def _serve(target: Target, pip: Pip) -> int:
    """Check, forward, heal, confirm; whatever goes wrong with us, pip runs."""
    if target.words == ("--version",):
        return pip.run([*target.options, "--version"], {}, lambda: None)
    if os.environ.get("PINSTALL_POLICY") == "off":
        return pip.run([*target.options, "install", *target.words], {}, lambda: None)
    session = None
    try:
        from pinstall.session import Session

        session = Session(target, os.environ, _say)
        session.prepare()
        session.passed("check")
    except Exception as error:  # noqa: BLE001 (a bug of ours must not stand between a user and an install)
        asked = session.given if session else pip_process.Given(list(target.words))
        given = asked.without_cache()
        is_sure = given.arguments != asked.arguments
        _say_broken(
            error,
            "running pip with --no-cache-dir" if is_sure else "running pip without its cache, unless the command names one",
            session,
        )
        status = pip.run([*target.options, "install", *given.arguments], given.variables, lambda: None)
        _report(session, status)
        return status

    def meanwhile() -> None:
        with suppress(Exception):  # what is not done now is done afterwards, or by the next call
            session.meanwhile()

    given = session.given
    words = [*target.options, "install", *given.arguments]
    status = pip.run(words, given.variables, meanwhile, session.pips_cache)
    try:
        session.passed("pip")
        if again := session.rescue(_outcome(pip, status), pip.observation):
            pip = pip_process.Pip(target.runner, _complain)
            words = [*target.options, "install", *again.given.arguments]
            status = pip.run(words, again.given.variables, lambda: None, again.cache, again.excused)
            session.rescued(_outcome(pip, status))
        session.passed("heal")
        session.finish(_outcome(pip, status))
        status = session.confirm(status)
        session.passed("finish")
    except KeyboardInterrupt:
        pass  # pip has done its work, and its status stands
    except Exception as error:  # noqa: BLE001 (as above)
        _say_broken(error, "what pinstall learned from this run is lost", session)
    _report(session, status)
    return status


def _outcome(pip: Pip, status: int) -> int:
    """Tell a pip that was interrupted, whose *status* is 1, from one that failed."""
    return _INTERRUPTED if status and pip.was_told_to_end else status


def _report(session: Session | None, status: int) -> None:
    if session is not None:
        try:
            session.report(status)
        except Exception as error:  # noqa: BLE001 (as above)
            _say_broken(error, "no report was written", session)


def _say(level: int, line: str) -> None:
    shown = f"pinstall: {line}"
    with suppress(Exception):
        from pinstall.colours import painted

        shown = painted(level, shown)
    _write(2, f"{shown}\n")


def _write(descriptor: int, text: str) -> None:
    """Write straight to the descriptor: what Python cannot flush would cost pip's exit status. Nobody may be listening."""
    with suppress(OSError):
        os.write(descriptor, text.encode(errors="backslashreplace"))


def _complain(line: str) -> None:
    _say(_ERROR, line)


def _say_broken(error: Exception, outcome: str, session: Session | None) -> None:
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
    _complain(line)
    if session is not None:
        session.note(line)
