"""The command ``pinstall-pip``: pip itself, but ``install``, ``download``, ``wheel`` and ``lock`` run as `cli` runs an install.

Like `cli`, it imports only the standard library at first. Every other command costs no more than finding the environment's pip.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from pinstall import cli, environment, pip_process
from pinstall.environment import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

# pip's completion scripts ask it for words in this way.
_COMPLETION = "PIP_AUTO_COMPLETE"


def script() -> NoReturn:
    """Run pip, with pinstall's checks for the commands that pinstall serves, and end the process with the status.

    For other commands, the process becomes the pip of the environment; without one, the ``pip`` on PATH, else that of the
    interpreter in which pinstall is installed. The commands that pinstall serves end with 91 then (`cli.main`). Before an
    ``uninstall`` in a ``.venv`` that is not active, prints that it was chosen.
    """
    pip_process.end_if_interrupted()
    argv = sys.argv[1:]
    command, rest = _split(argv) if _COMPLETION not in os.environ else ("", [])
    if command:
        pip_process.leave(cli.main(rest, command))
    try:
        target = environment.target(argv, os.environ, as_module=False)
    except environment.NoEnvironmentError:
        target = Target(sys.executable, sys.executable, (), tuple(argv))
        found = _pip_elsewhere()
        if found:
            _become([found, *argv])
    if target.note and argv[_command_at(argv) :][:1] == ["uninstall"]:  # it changes an environment that nobody has named
        cli.note(target.note)
    _be_pip(target)


def _pip_elsewhere() -> str:
    """Return the path of the ``pip`` on PATH, which serves commands that need no environment, such as ``pip help``.

    Returns "" without one, or if it is this command, or a link to it.
    """
    from shutil import which

    found = which("pip") or ""
    return "" if os.path.realpath(found) == os.path.realpath(sys.argv[0]) else found


def _become(command: list[str]) -> NoReturn:
    if sys.platform == "win32":  # pragma: no cover (there, the shell would not wait)
        import subprocess

        pip_process.leave(subprocess.call(command))
    os.execv(command[0], command)  # noqa: S606


def _split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command of a call if pinstall serves it, and the other arguments; ("", []) if it does not.

    The arguments before the command stay before those after it: pip gives them all to the command's own parser
    (``cli/main_parser.py``). Returns ("", []) also if pinstall's own modules are broken.
    """
    if argv[:1] == [cli.EXPLAIN]:  # before the command
        command, rest = _split(argv[1:])
        return command, [cli.EXPLAIN, *rest] if command else []
    index = _command_at(argv)
    with suppress(Exception):  # pinstall's own modules may be broken
        from pinstall.invocation import options

        if index < len(argv) and argv[index] in options.COMMANDS:
            return argv[index], [*argv[:index], *argv[index + 1 :]]
    return "", []


def _command_at(argv: Sequence[str]) -> int:
    """Return the index of the first argument that is neither a general option of pip nor the value of one.

    Returns ``len(argv)`` without such an argument. Also returns it if pip would refuse the options, if they ask for help or the
    version, or if pinstall's own modules are broken.
    """
    if not argv or not argv[0].startswith("-"):
        return 0
    with suppress(Exception):  # pip refuses the options
        from pinstall.invocation import options

        parser = options.make_parser(options.general())
        parser.disable_interspersed_args()
        values, rest = options.parse(parser, argv, {})
        if not (values.get("help") or values.get("version")):
            return len(argv) - len(rest)
    return len(argv)


def _be_pip(target: Target) -> NoReturn:
    """Continue as the pip of *target*: in this process if that is our own interpreter's, which saves a start."""
    arguments = [*target.options, *target.arguments]
    if target.runner != sys.executable:
        _become([target.runner, "-c", pip_process.AS_SCRIPT, *arguments])
    import runpy

    pip_process.raise_if_interrupted()
    sys.argv[:] = ["pip", *arguments]
    runpy.run_module("pip", run_name="__main__")
    sys.exit()
