"""The command line of ``pinstall-cache``: the only module of the tool that prints.

For commands that ``pip cache`` has too, it prints the same texts as pip.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from pinstall import __version__, environment, messages, terminal
from pinstall.cache_tool import display, inventory, removal, restore, verify
from pinstall.cache_tool.patterns import matches
from pinstall.environment import NoEnvironmentError
from pinstall.interpreter import SilentPythonError
from pinstall.invocation import invocation
from pinstall.invocation.options import UnreadableCallError
from pinstall.pip_cache import entries, http_entries
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
_EPILOG = """exit status: 0: success (verify: every entry is sound); 1: failure, or bad entries were found (with --fix: remain);
2: invalid arguments. See docs/cache.md for details."""


class _RefusedError(Exception):
    """The command cannot be carried out; the message is pip's if ``pip cache`` has the same error."""


class _Target(NamedTuple):
    """The cache that the pip of an environment uses, and the URLs of its configured indexes."""

    cache: Cache
    indexes: tuple[str, ...]

    @property
    def root(self) -> str:
        return self.cache.root

    def take_inventory(self) -> Inventory:
        """Warn about folders that are links, and return the inventory of the cache."""
        for name in self.links:
            _warn(f"skipped {os.path.join(self.root, name)}: it is a symbolic link")
        return inventory.take(self.root, self.indexes)

    @property
    def links(self) -> list[str]:
        """The names of the cache's folders that are symbolic links, which the tool does not follow."""
        return [name for name in _PARTS if os.path.islink(os.path.join(self.root, name))]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of the cache; on a full disk, continue without it. Raises `LockTimeoutError` and `OSError`."""
        for line in messages.misread_timeout(os.environ):
            _warn(line)
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.held(self.root, lock.timeout(os.environ), _warn))
            except OSError as error:
                # On a full disk the lock file cannot be created, so nobody holds the lock, and the command may free space.
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
            yield


def main() -> int:
    """Run the command that `sys.argv` names; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # print names that the terminal's encoding lacks with escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = _parser().parse_args()
        if arguments.command is None:
            raise _RefusedError(f"Need an action ({', '.join(sorted(_COMMANDS))}) to perform.")
        status = _COMMANDS[arguments.command](arguments)
        print(end="", flush=True)  # sys.stdout may be None, so no sys.stdout.flush()
    except (_RefusedError, SilentPythonError, lock.LockTimeoutError, actions.NotDoneError) as error:
        return _fail(str(error))
    except BrokenPipeError:  # the reader has closed the pipe
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
    print(terminal.painted(level, line), file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--cache-dir", metavar="DIR", help="pip's cache folder (default: that of the environment's pip)")
    common.add_argument("--python", metavar="PYTHON", help="the environment whose cache to use: its folder or its interpreter")
    parser = argparse.ArgumentParser("pinstall-cache", parents=[common], epilog=_EPILOG)
    parser.description = "List, verify and clean pip's cache, including the entries that pinstall keeps in its store."
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, parents=[common], epilog=_EPILOG)

    pattern = "a project, name==version, or a glob for file names (default: all entries)"
    add("dir", "show the cache folder").add_argument("surplus", nargs="*", help=argparse.SUPPRESS)
    add("info", "show the location and size of each part of the cache").add_argument(
        "surplus", nargs="*", help=argparse.SUPPRESS
    )
    listing = add("list", "list the built wheels, downloads and other entries in the cache and in pinstall's store")
    listing.add_argument("patterns", nargs="*", metavar="PATTERN", help=pattern)
    listing.add_argument(
        "--format", choices=("human", "abspath", "json"), default="human", help="the output format (default: human)"
    )
    remove = add("remove", "remove the matching entries, of every kind")
    remove.add_argument("patterns", nargs="*", metavar="PATTERN", help=pattern.partition(" (")[0])
    add("purge", "remove all entries of the cache and of pinstall's store").add_argument(
        "surplus", nargs="*", help=argparse.SUPPRESS
    )
    proof = add("verify", "check every entry; exit status 1 if bad entries were found (with --fix: remain)")
    proof.add_argument("patterns", nargs="*", metavar="PATTERN", help=pattern)
    proof.add_argument("--fix", action="store_true", help="remove the entries that are proven to be bad, and nothing else")
    back = add("restore", "move what pinstall has set aside back to pip's cache, for example before you uninstall pinstall")
    back.add_argument("patterns", nargs="*", metavar="PATTERN", help=pattern)
    prune = add("prune", "remove unusable files: incomplete entries, interrupted builds, leftovers of killed pinstalls")
    prune.add_argument("surplus", nargs="*", help=argparse.SUPPRESS)
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


def _target(arguments: argparse.Namespace) -> _Target:
    """Find the environment, its pip, and the cache that this pip is configured to use.

    Raises `_RefusedError` if pip's configuration cannot be read, or disables the cache.
    """
    selected = _environment(vars(arguments).get("python"))
    found, runner = environment.of(selected)
    pip = runner.pip_version or ()
    options = ["--progress-bar", "off"]  # pinstall-cache has a bar of its own
    options += ["--cache-dir", arguments.cache_dir] if "cache_dir" in arguments else []
    try:
        call = invocation.read(options, os.environ, found.prefix, pip)
    except (UnreadableCallError, FileNotFoundError) as error:
        raise _RefusedError(f"pip's configuration cannot be read: {error}") from error
    except SilentPythonError as error:
        raise _RefusedError(str(error)) from error
    if call.cache_dir is None:
        why = invocation.why_no_cache(call, os.environ)
        raise _RefusedError(f"pip cache commands can not function since cache is disabled: {why}")
    return _Target(Cache(view.real_root(call.cache_dir), call, found, pip), call.index_urls)


def _environment(named: str | None) -> environment.Target:
    """Return the environment whose pip has the cache: the *named* or the active one, else pinstall's own."""
    try:
        return environment.target(["--python", named] if named else [], os.environ, as_module=False)
    except NoEnvironmentError:  # the cache of the user is the same for all environments, as a rule
        return environment.target([], {}, as_module=True)


def _pattern(patterns: Sequence[str]) -> str:
    if len(patterns) > 1:
        raise _RefusedError("Too many arguments")
    return patterns[0] if patterns else "*"


def _dir(arguments: argparse.Namespace) -> int:
    _refuse_surplus(arguments.surplus)
    print(_target(arguments).root)
    return 0


def _refuse_surplus(surplus: Sequence[str]) -> None:
    if surplus:
        raise _RefusedError("Too many arguments")


def _info(arguments: argparse.Namespace) -> int:
    _refuse_surplus(arguments.surplus)
    target = _target(arguments)
    parts = {name: os.path.join(target.root, name) for name in _PARTS}
    files = {name: [*_files(path)] for name, path in parts.items()}
    http = [*files["http-v2"], *files["http"]]
    print(f"Package index page cache location (pip v23.3+): {parts['http-v2']}")
    print(f"Package index page cache location (older pips): {parts['http']}")
    print(f"Package index page cache size: {display.size(sum(map(_size, http)))}")
    print(f"Number of HTTP files: {len(http)}")
    print(f"Locally built wheels location: {parts['wheels']}")
    print(f"Locally built wheels size: {display.size(sum(map(_size, files['wheels'])))}")
    print(f"Number of locally built wheels: {sum(path.endswith('.whl') for path in files['wheels'])}")
    found = target.take_inventory()
    print()
    for kind, heading in _KINDS.items():
        print(f"{heading}: {_count_and_size(item for item in found.items if item.entry.kind == kind and not item.stored)}")
    print(f"Stored by pinstall: {_count_and_size(item for item in found.items if item.stored)}")
    print(f"Not usable by pip: {len(found.strays)} ({display.size(sum(stray.size for stray in found.strays))})")
    return 0


def _count_and_size(items: Iterable[Item]) -> str:
    sizes = [item.size for item in items]
    return f"{len(sizes)} ({display.size(sum(sizes))})"


def _files(folder: str) -> Iterable[str]:
    return (os.path.join(here, name) for here, _, names in os.walk(folder) for name in names)


def _size(path: str) -> int:
    stamp = entries.stamp(path)
    return stamp.size if stamp else 0


def _list(arguments: argparse.Namespace) -> int:
    pattern = _pattern(arguments.patterns)
    target = _target(arguments)
    items = [item for item in target.take_inventory().items if matches(pattern, item)]
    if arguments.format == "json":
        print(display.document(target.root, items))
    elif arguments.format == "abspath":
        print("".join(f"{path}\n" for path in display.paths(items)), end="")
    elif not items:
        print("Nothing cached." if pattern == "*" else "Nothing in the cache matches.")
    else:
        print("Cache contents:\n")
        print("\n".join(display.table(items)))
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    if not arguments.patterns:
        raise _RefusedError("Please provide a pattern")
    pattern = _pattern(arguments.patterns)
    if pattern == "*":
        return _purge(arguments)
    target = _target(arguments)
    items = [item for item in target.take_inventory().items if matches(pattern, item)]
    if not items:
        _warn(f'No matching packages for pattern "{pattern}"')
        return _removed(removal.Outcome(0, 0, 0))
    return _removed(removal.remove(target.root, items, target.held()))


def _purge(arguments: argparse.Namespace) -> int:
    if arguments.command == "purge":
        _refuse_surplus(arguments.surplus)
    target = _target(arguments)
    if not os.path.isdir(target.root):
        _warn("No matching packages")
        return _removed(removal.Outcome(0, 0, 0))
    return _removed(removal.purge(target.root, target.held()))


def _removed(outcome: Outcome) -> int:
    for line in outcome.stayed:
        _warn(f"not removed: {line}")
    print(f"Files removed: {outcome.files} ({display.size(outcome.size)})")
    print(f"Directories removed: {outcome.folders}")
    return _BAD if outcome.stayed else 0


def _verify(arguments: argparse.Namespace) -> int:
    pattern = _pattern(arguments.patterns)
    target = _target(arguments)
    items = [item for item in target.take_inventory().items if matches(pattern, item)]
    verifier = verify.Verifier(target.cache, os.environ)
    with terminal.bar(sum(item.size for item in items)) as bar:
        proven = verifier.prove(items, bar.update)
    bad = [one for one in proven if one.reason]
    for one in bad:
        _tell(one, "bad")
    print(f"Entries checked: {len(proven)} ({display.size(sum(one.item.size for one in proven))}), {len(bad)} bad")
    for reason, count in verify.by_reason(bad):
        print(f"  {reason}: {count}")
    if len(items) > len(proven):
        print(f"Entries not checked, because there is nothing to check them against: {len(items) - len(proven)}")
    if os.path.isdir(target.root) and proven:
        verifier.remember()
    gone = verifier.fix(bad, target.held()) if bad and arguments.fix else []
    if gone:
        print(f"Entries removed: {len(gone)} ({display.size(sum(one.item.size for one in gone))})")
    if arguments.fix:
        _strip_queries(target)
    return _BAD if len(gone) < len(bad) or target.links else 0


def _strip_queries(target: _Target) -> None:
    found = actions.origins_with_queries(target.root)
    if found:
        with target.held():
            actions.strip_queries(target.root, found)
        print(f"Files in pinstall's store: the query of the URL, which may be a secret, was removed from {len(found)}")


def _tell(one: verify.Proven, label: str) -> None:
    item = one.item
    kind = "" if item.entry.kind in ("page", "other") else f" ({messages.KINDS[item.entry.kind]})"
    where = " in pinstall's store" if item.stored else ""
    print(f"{label}: {display.name(item)}{kind}{where}: {terminal.plain(one.detail)} ({one.reason})")


def _restore(arguments: argparse.Namespace) -> int:
    pattern = _pattern(arguments.patterns)
    target = _target(arguments)
    items = [item for item in target.take_inventory().items if matches(pattern, item)]
    lacking = restore.lacking(target.root, items)
    verifier = verify.Verifier(target.cache, os.environ)
    with terminal.bar(sum(item.size for item in lacking)) as bar:
        bad = [one for one in verifier.prove(lacking, bar.update) if one.reason]
    for one in bad:
        _tell(one, "bad, not restored")
    wrong = {one.item for one in bad}
    sound = [item for item in lacking if item not in wrong]
    done = restore.restore(target.root, items, sound, target.held()) if items else restore.Restored(0, 0, ())
    for path in done.stayed:
        _warn(f"not restored: {path}")
    print(f"Files restored: {done.files} ({display.size(done.size)})")
    return _BAD if bad or done.stayed else 0


def _prune(arguments: argparse.Namespace) -> int:
    _refuse_surplus(arguments.surplus)
    target = _target(arguments)
    if not os.path.isdir(target.root):
        return _removed(removal.Outcome(0, 0, 0))
    found = target.take_inventory()
    now = http_entries.now()
    limit = arguments.older_than
    items = [item for item in found.items if limit is not None and now - item.used > limit]
    strays = removal.unused(found.strays, now)
    for reason in sorted({stray.reason for stray in strays}):
        alike = [stray for stray in strays if stray.reason == reason]
        print(f"not usable by pip: {reason}: {len(alike)} ({display.size(sum(stray.size for stray in alike))})")
    if items:
        print(f"not used for that long: {_count_and_size(items)}")
    return _removed(removal.prune(target.root, strays, items, target.held()))


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
    "restore": _restore,
    "prune": _prune,
    "completion": _completion,
}
