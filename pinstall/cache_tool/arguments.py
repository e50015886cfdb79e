"""The command line of ``pinstall-cache``: its commands, their options and their help."""

from __future__ import annotations

import argparse
import re

from pinstall import __version__, messages
from pinstall.cache_tool.display import COLUMNS, DEFAULT_COLUMNS

_SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800}
_SHELLS = ("bash", "fish", "zsh")
_EPILOG = """exit status: 0: success (verify: every entry is sound; doctor: all is well); 1: failure (also if arguments
are missing or too many), or something bad was found (with --fix: remains); 2: invalid arguments, after a usage line."""
_PATTERN = "a project, name==version, or a glob for file names"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Its result has ``cache_dir`` and ``python`` only if they are given, and a ``command`` of None if no command is. All commands
    but ``completion`` take any number of arguments here: the function of each command in `cli` must refuse those that it does
    not take (`_refuse_surplus`, `_pattern`).
    """
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--cache-dir", metavar="DIR", help="pip's cache folder (default: that of the environment's pip)")
    common.add_argument("--python", metavar="PYTHON", help="the environment whose cache to use: its folder or its interpreter")
    made = argparse.ArgumentParser("pinstall-cache", parents=[common], epilog=_EPILOG)
    made.description = "List, verify and clean pip's cache and pinstall's store, which has set-aside files and built wheels."
    made.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, text: str, *, pattern: str = "") -> argparse.ArgumentParser:
        # argparse would write "[PATTERN ...]", but one is all that a command takes.
        usage = f"pinstall-cache {name} [options] {pattern}".rstrip()
        one = commands.add_parser(name, help=text, description=text, parents=[common], epilog=_EPILOG, usage=usage)
        named = f"{_PATTERN}{' (default: all entries)' if pattern.startswith('[') else ''}"
        one.add_argument("patterns", nargs="*", metavar="PATTERN", help=named if pattern else argparse.SUPPRESS)
        return one

    add("dir", "show the cache folder")
    add("info", "show the location and size of each part of the cache")
    _add_list(add("list", "list the entries in the cache and in pinstall's store", pattern="[PATTERN]"))
    add(
        "show", "show how the built wheels were built: with which variables, files, programs and compilers", pattern="[PATTERN]"
    )
    add("remove", "remove the matching entries, of every kind", pattern="PATTERN")
    add("purge", "remove all entries of the cache and of pinstall's store")
    proof = add("verify", "check every entry; exit status 1 if bad entries were found", pattern="[PATTERN]")
    proof.add_argument("--fix", action="store_true", help="remove the entries that are proven to be bad, and nothing else")
    add(
        "restore",
        "move the files that pinstall has set aside back to pip's cache, for example before you uninstall pinstall",
        pattern="[PATTERN]",
    )
    _add_prune(add("prune", "remove unusable files: incomplete entries, interrupted builds, leftovers of killed pinstalls"))
    counters = add("stats", "show how often pip used cached files, and how many pinstall removed, hid and restored")
    counters.add_argument("--zero", action="store_true", help="set all counters to zero")
    _add_shared(add("shared", "list, verify or prune the wheels in the shared store (PINSTALL_SHARED_STORE)"))
    add("doctor", "check the installation and the cache, and say what to do")
    page = add(
        "map",
        "write an HTML page that shows which files fill the cache; this reads every entry, as verify does",
        pattern="[PATTERN]",
    )
    page.add_argument("--html", metavar="FILE", required=True, help="the HTML file to write")
    _shells(commands.add_parser("completion", help="print the completion script for a shell", parents=[common], epilog=_EPILOG))
    return made


def _add_list(listing: argparse.ArgumentParser) -> None:
    listing.add_argument(
        "--format", choices=("human", "abspath", "json"), default="human", help="the output format (default: human)"
    )
    listing.add_argument(
        "--columns",
        metavar="NAMES",
        type=_columns,
        default=DEFAULT_COLUMNS,
        help=f"the columns, separated by commas: {', '.join(COLUMNS)} (default: {','.join(DEFAULT_COLUMNS)})",
    )


def _add_prune(prune: argparse.ArgumentParser) -> None:
    prune.add_argument(
        "--older-than", metavar="AGE", type=_age, help="also remove entries that were not used for this long: 12h, 30d, 8w"
    )
    prune.add_argument("--dry-run", action="store_true", help="list what would be removed, and remove nothing")


def _add_shared(shared: argparse.ArgumentParser) -> None:
    shared.usage = "pinstall-cache shared [options] list|verify|prune"
    shared.add_argument(
        "--older-than", metavar="AGE", type=_age, help="prune: remove wheels that are older than this: 12h, 30d, 8w"
    )
    shared.add_argument("--dry-run", action="store_true", help="prune: tell how many would be removed, and remove nothing")


def _shells(completion: argparse.ArgumentParser) -> None:
    completion.add_argument("shell", choices=_SHELLS)


def _age(text: str) -> float:
    """Return the seconds of an age in whole hours, days or weeks: ``12h``, ``30d``, ``8w``.

    Raises `ArgumentTypeError` for any other text.
    """
    found = re.fullmatch(r"([0-9]{1,9})([hdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"invalid age {messages.shortened(text)!a} (expected e.g. 12h, 30d, 8w)")
    return int(found[1]) * _SECONDS[found[2]]


def _columns(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if wrong := [name for name in names if name not in COLUMNS]:
        raise argparse.ArgumentTypeError(
            f"invalid column {messages.shortened(wrong[0])!a} (expected some of: {', '.join(COLUMNS)})"
        )
    return names
