"""The command ``pinstall-cache``, and the only place that prints for it: pip's own words where pip has the same command."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from pinstall import __version__, colours, environment, messages, progress
from pinstall.cache_tool import display, inventory, removal, verify
from pinstall.cache_tool.patterns import matches
from pinstall.environment import NoEnvironmentError
from pinstall.interpreter import SilentPythonError
from pinstall.invocation import invocation
from pinstall.invocation.options import UnreadableCallError
from pinstall.pip_cache import http_entries
from pinstall.pip_cache.locator import Cache
from pinstall.storage import actions, lock, view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pinstall.cache_tool.inventory import Inventory, Item
    from pinstall.cache_tool.removal import Outcome

_BAD = 1
_PARTS = ("http-v2", "http", "wheels")
_INTERRUPTED = 130
_SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800}
_SHELLS = ("bash", "fish", "zsh")
_KINDS = {
    "built": "Built wheels",
    "download": "Downloads",
    "metadata": "Metadata files",
    "page": "Index pages",
    "other": "Other responses",
}
_EPILOG = """exit status: 0: success (verify: every entry is good); 1: the command failed, or a bad entry is (still) in the
cache; 2: invalid arguments. For details see docs/cache.md."""


class _RefusedError(Exception):
    """It cannot be done; the message is pip's where pip would say so too."""


class _World(NamedTuple):
    """Where to look: the cache as the pip of an environment uses it."""

    cache: Cache
    indexes: tuple[str, ...]

    @property
    def root(self) -> str:
        return self.cache.root

    def taken(self) -> Inventory:
        for name in self.links:
            _warn(f"skipped {os.path.join(self.root, name)}: it is a symbolic link")
        return inventory.take(self.root, self.indexes)

    @property
    def links(self) -> list[str]:
        """Parts of the cache that are symbolic links, which are not followed."""
        return [name for name in _PARTS if os.path.islink(os.path.join(self.root, name))]

    @contextmanager
    def held(self) -> Iterator[None]:
        for line in messages.misread_timeout(os.environ):
            _warn(line)
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.held(self.root, lock.timeout(os.environ), _warn))
            except OSError as error:
                # Where there is no room for its file nobody else has the lock, and room is what is to be made.
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
            yield


def main() -> int:
    """Do what the arguments ask, and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = _parser().parse_args()
        if arguments.command is None:
            raise _RefusedError(f"Need an action ({', '.join(sorted(_COMMANDS))}) to perform.")
        status = _COMMANDS[arguments.command](arguments)
        print(end="", flush=True)  # there may be no stream
    except (_RefusedError, NoEnvironmentError, SilentPythonError, lock.LockTimeoutError, actions.NotDoneError) as error:
        return _fail(str(error))
    except BrokenPipeError:  # who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        return _fail(f"pip's cache cannot be changed ({error.strerror or type(error).__name__})")
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _fail(line: str) -> int:
    _say(messages.ERROR, f"ERROR: {line}")
    return _BAD


def _warn(line: str) -> None:
    _say(messages.WARNING, f"WARNING: {line}")


def _say(level: int, line: str) -> None:
    print(colours.painted(level, line), file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--cache-dir", metavar="DIR", help="pip's cache directory (default: that of the environment's pip)")
    common.add_argument("--python", metavar="PYTHON", help="the environment (or its interpreter) whose pip cache to use")
    parser = argparse.ArgumentParser("pinstall-cache", parents=[common], epilog=_EPILOG)
    parser.description = "List, verify and clean up pip's cache, including pinstall's store in it."
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, parents=[common], epilog=_EPILOG)

    pattern = "a project, name==version, or a glob of file names; default: everything"
    add("dir", "show the cache directory").add_argument("words", nargs="*", help=argparse.SUPPRESS)
    add("info", "show the parts of the cache and their sizes").add_argument("words", nargs="*", help=argparse.SUPPRESS)
    listing = add("list", "list the contents of the cache: built wheels, downloads, and pinstall's store")
    listing.add_argument("words", nargs="*", metavar="PATTERN", help=pattern)
    listing.add_argument(
        "--format", choices=("human", "abspath", "json"), default="human", help="output format (default: human)"
    )
    remove = add("remove", "remove all entries that match a pattern")
    remove.add_argument("words", nargs="*", metavar="PATTERN", help=pattern.partition(";")[0])
    add("purge", "remove everything").add_argument("words", nargs="*", help=argparse.SUPPRESS)
    proof = add("verify", "check every entry; exit status 1 if one is bad (with --fix: if one could not be removed)")
    proof.add_argument("words", nargs="*", metavar="PATTERN", help=pattern)
    proof.add_argument("--fix", action="store_true", help="remove the bad entries, and nothing else")
    prune = add("prune", "remove files that pip cannot use: incomplete entries, unfinished builds, leftovers of killed runs")
    prune.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    prune.add_argument(
        "--older-than", metavar="AGE", type=_age, help="also remove entries that were not used for this long: 12h, 30d, 8w"
    )
    add("completion", "print the completion script for a shell").add_argument("shell", choices=_SHELLS)
    return parser


def _age(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([hdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"invalid age {messages.shortened(text)!a} (expected e.g. 12h, 30d, 8w)")
    return int(found[1]) * _SECONDS[found[2]]


def _world(arguments: argparse.Namespace) -> _World:
    """Find the cache: that of the pip that serves the environment, as its configuration says."""
    named = vars(arguments).get("python")
    target = environment.target(["--python", named] if named else [], os.environ, as_module=False)
    there, runner = environment.of(target)
    pip = runner.pip_version or ()
    words = ["--progress-bar", "off"]  # there is one for all
    words += ["--cache-dir", arguments.cache_dir] if "cache_dir" in arguments else []
    try:
        call = invocation.read(words, os.environ, there.prefix, pip)
    except (UnreadableCallError, FileNotFoundError) as error:
        raise _RefusedError(f"pip's configuration cannot be read: {error}") from error
    except SilentPythonError as error:
        raise _RefusedError(str(error)) from error
    if call.cache_dir is None:
        raise _RefusedError("pip cache commands can not function since cache is disabled.")
    return _World(Cache(view.real_root(call.cache_dir), call, there, pip), call.index_urls)


def _pattern(words: Sequence[str]) -> str:
    if len(words) > 1:
        raise _RefusedError("Too many arguments")
    return words[0] if words else "*"


def _dir(arguments: argparse.Namespace) -> int:
    _none(arguments.words)
    print(_world(arguments).root)
    return 0


def _none(words: Sequence[str]) -> None:
    if words:
        raise _RefusedError("Too many arguments")


def _info(arguments: argparse.Namespace) -> int:
    _none(arguments.words)
    world = _world(arguments)
    parts = {name: os.path.join(world.root, name) for name in _PARTS}
    files = {name: [*_files(path)] for name, path in parts.items()}
    http = [*files["http-v2"], *files["http"]]
    print(f"Package index page cache location (pip v23.3+): {parts['http-v2']}")
    print(f"Package index page cache location (older pips): {parts['http']}")
    print(f"Package index page cache size: {display.size(sum(map(_size, http)))}")
    print(f"Number of HTTP files: {len(http)}")
    print(f"Locally built wheels location: {parts['wheels']}")
    print(f"Locally built wheels size: {display.size(sum(map(_size, files['wheels'])))}")
    print(f"Number of locally built wheels: {sum(path.endswith('.whl') for path in files['wheels'])}")
    taken = world.taken()
    print()
    for kind, what in _KINDS.items():
        print(f"{what}: {_summed(item for item in taken.items if item.entry.kind == kind and not item.stored)}")
    print(f"Stored by pinstall: {_summed(item for item in taken.items if item.stored)}")
    print(f"Not usable by pip: {len(taken.strays)} ({display.size(sum(stray.size for stray in taken.strays))})")
    return 0


def _summed(items: Iterable[Item]) -> str:
    sizes = [item.size for item in items]
    return f"{len(sizes)} ({display.size(sum(sizes))})"


def _files(folder: str) -> Iterable[str]:
    return (os.path.join(here, name) for here, _, names in os.walk(folder) for name in names)


def _size(path: str) -> int:
    stamp = http_entries.stamp(path)
    return stamp.size if stamp else 0


def _list(arguments: argparse.Namespace) -> int:
    pattern = _pattern(arguments.words)
    world = _world(arguments)
    items = [item for item in world.taken().items if matches(pattern, item)]
    if arguments.format == "json":
        print(display.document(world.root, items))
    elif arguments.format == "abspath":
        print("".join(f"{path}\n" for path in display.paths(items)), end="")
    elif not items:
        print("Nothing cached." if pattern == "*" else "Nothing in the cache matches.")
    else:
        print("Cache contents:\n")
        print("\n".join(display.table(items)))
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    if not arguments.words:
        raise _RefusedError("Please provide a pattern")
    pattern = _pattern(arguments.words)
    if pattern == "*":
        return _purge(arguments)
    world = _world(arguments)
    items = [item for item in world.taken().items if matches(pattern, item)]
    if not items:
        _warn(f'No matching packages for pattern "{pattern}"')
        return _removed(removal.Outcome(0, 0, 0))
    return _removed(removal.remove(world.root, items, world.held()))


def _purge(arguments: argparse.Namespace) -> int:
    if arguments.command == "purge":
        _none(arguments.words)
    world = _world(arguments)
    if not os.path.isdir(world.root):
        _warn("No matching packages")
        return _removed(removal.Outcome(0, 0, 0))
    return _removed(removal.purge(world.root, world.held()))


def _removed(outcome: Outcome) -> int:
    for line in outcome.stayed:
        _warn(f"not removed: {line}")
    print(f"Files removed: {outcome.files} ({display.size(outcome.size)})")
    print(f"Directories removed: {outcome.folders}")
    return _BAD if outcome.stayed else 0


def _verify(arguments: argparse.Namespace) -> int:
    pattern = _pattern(arguments.words)
    world = _world(arguments)
    items = [item for item in world.taken().items if matches(pattern, item)]
    verifier = verify.Verifier(world.cache, os.environ)
    with progress.bar(sum(item.size for item in items)) as bar:
        proven = verifier.prove(items, bar.update)
    bad = [one for one in proven if one.reason]
    for one in bad:
        _tell(one, "bad")
    print(f"Entries checked: {len(proven)} ({display.size(sum(one.item.size for one in proven))}), {len(bad)} bad")
    for reason, count in verify.by_reason(bad):
        print(f"  {reason}: {count}")
    if len(items) > len(proven):
        print(f"Entries not checked, because there is nothing to check them against: {len(items) - len(proven)}")
    if os.path.isdir(world.root) and proven:
        verifier.remember()
    gone = verifier.fix(bad, world.held()) if bad and arguments.fix else []
    if gone:
        print(f"Entries removed: {len(gone)} ({display.size(sum(one.item.size for one in gone))})")
    return _BAD if len(gone) < len(bad) or world.links else 0


def _tell(one: verify.Proven, what: str) -> None:
    item = one.item
    kind = "" if item.entry.kind in ("page", "other") else f" ({messages.KINDS[item.entry.kind]})"
    where = " in pinstall's store" if item.stored else ""
    print(f"{what}: {display.name(item)}{kind}{where}: {colours.plain(one.detail)} ({one.reason})")


def _prune(arguments: argparse.Namespace) -> int:
    _none(arguments.words)
    world = _world(arguments)
    if not os.path.isdir(world.root):
        return _removed(removal.Outcome(0, 0, 0))
    taken = world.taken()
    now = http_entries.now()
    limit = arguments.older_than
    items = [item for item in taken.items if limit is not None and now - item.used > limit]
    strays = removal.unused(taken.strays, now)
    for reason in sorted({stray.reason for stray in strays}):
        alike = [stray for stray in strays if stray.reason == reason]
        print(f"not usable by pip: {reason}: {len(alike)} ({display.size(sum(stray.size for stray in alike))})")
    if items:
        print(f"not used for that long: {_summed(items)}")
    return _removed(removal.prune(world.root, strays, items, world.held()))


def _completion(arguments: argparse.Namespace) -> int:
    path = os.path.join(os.path.dirname(__file__), "completions", f"pinstall.{arguments.shell}")
    with open(path, encoding="utf-8") as file:
        print(file.read(), end="")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "dir": _dir,
    "info": _info,
    "list": _list,
    "remove": _remove,
    "purge": _purge,
    "verify": _verify,
    "prune": _prune,
    "completion": _completion,
}
