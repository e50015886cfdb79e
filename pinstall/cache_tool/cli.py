"""The command line of ``pinstall-cache``: the only module of the tool that prints, apart from an error in `__main__`.

Where ``pip cache`` prints the same facts, the texts are pip's.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from pinstall import environment, exit_status, messages, settings, terminal
from pinstall.cache_tool import arguments as command_line
from pinstall.cache_tool import copies, display, inventory, removal, restore, show, tables, verify
from pinstall.cache_tool.patterns import matches
from pinstall.environment import NoEnvironmentError
from pinstall.interpreter import SilentPythonError
from pinstall.invocation import invocation
from pinstall.invocation.options import UnreadableCallError
from pinstall.model.verdict import Delete
from pinstall.pip_cache import entries, http_entries, scan
from pinstall.pip_cache.locator import Cache
from pinstall.storage import actions, lock, statistics, view

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pinstall.cache_tool.doctor import Check
    from pinstall.cache_tool.inventory import Inventory, Item
    from pinstall.cache_tool.removal import RemovalTotals
    from pinstall.environment import Environment

_KINDS = {
    "built": "Built wheels",
    "download": "Downloads",
    "metadata": "Metadata files",
    "page": "Index pages",
    "other": "Other responses",
}
# So many new objects lie between two collections of garbage: an inventory consists of objects that stay.
_OBJECTS = 50_000


class _RefusedError(Exception):
    """The command cannot be carried out; the message is pip's if ``pip cache`` has the same error."""


class _Target:
    """The *cache* that a command is about, and the URLs of the *indexes* that the environment's pip is configured to use."""

    def __init__(self, cache: Cache, indexes: tuple[str, ...]) -> None:
        self.cache, self.indexes = cache, indexes

    @property
    def root(self) -> str:
        return self.cache.root

    def take_inventory(self) -> Inventory:
        """Warn about each symbolic link in `tree`; return the inventory of pip's cache and pinstall's store."""
        for path in self.tree.links:
            _warn(
                f"skipped {path}: it is a symbolic link, which pinstall-cache does not follow; replace it with a file or folder"
            )
        return inventory.take(self.root, self.tree, self.indexes)

    @cached_property
    def tree(self) -> scan.Tree:
        """The folders of the cache and the names in them, as they were when this was first asked for.

        The files are read later (`scan.http`). Symbolic links in the cache are listed, and not followed.
        """
        return scan.walk(self.root)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of the cache within a ``with`` statement.

        Goes on without the lock if the disk is full or a quota is used up. Prints a warning if ``PINSTALL_LOCK_TIMEOUT`` is
        invalid, and one if it waits for longer than a second. Raises `LockTimeoutError` if another process still holds the lock
        after the time-out, and `OSError` if the lock cannot be taken for another reason.
        """
        chosen = settings.read(os.environ)
        for setting in chosen.invalid:
            if setting.name == "PINSTALL_LOCK_TIMEOUT":
                _warn(messages.ignored_setting(setting))
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.held(self.root, chosen.lock_timeout, _warn))
            except OSError as error:
                # On a full disk the lock file cannot be created, so nobody holds the lock, and the command may free space.
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
            yield


def main() -> int:
    """Run the command that `sys.argv` names; return its status, which is 0 or 1 (`exit_status.BAD`), or 130 after Ctrl-C.

    Prints errors of the cache, the lock, pip's configuration and the output, and returns 1 for them; so for a missing command,
    and for arguments that the command refuses. Returns 0 if the reader of the output has closed the pipe. Raises `SystemExit`
    after ``--help`` and ``--version``, and for arguments that the parser refuses (2).
    """
    gc.set_threshold(_OBJECTS)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # print names that the terminal's encoding lacks with escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = command_line.parser().parse_args()
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
        if not error.filename and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EBADF, errno.EIO):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python would try again at its end
            return _fail(f"the output could not be written ({error.strerror})")
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"pip's cache cannot be read or changed ({where}{error.strerror or type(error).__name__})")
    except KeyboardInterrupt:
        return exit_status.INTERRUPTED
    return status


def _fail(line: str) -> int:
    """Print *line* as an error, and return the exit status of a command that failed."""
    _say(messages.ERROR, f"ERROR: {line}")
    return exit_status.BAD


def _warn(line: str) -> None:
    _say(messages.WARNING, f"WARNING: {line}")


def _say(level: int, line: str) -> None:
    print(terminal.painted(level, line), file=sys.stderr, flush=True)


def _target(arguments: argparse.Namespace) -> _Target:
    """Return the cache that the environment's pip would use, with ``--cache-dir`` if that is given; it need not exist.

    Raises `_RefusedError` if pip's configuration cannot be read, or if this pip would use no cache there, for example because
    it belongs to another user. Raises that or `SilentPythonError` if the environment's Python does not answer.
    """
    selected = _environment(arguments)
    found, runner = environment.of(selected)
    pip = runner.pip_version or ()
    options = ["--progress-bar", "off"]  # pinstall-cache has a bar of its own
    options += ["--cache-dir", arguments.cache_dir] if "cache_dir" in arguments else []
    try:
        call = invocation.read(options, os.environ, found.prefix, pip)
    except (UnreadableCallError, FileNotFoundError) as error:
        raise _RefusedError(f"pip refuses its configuration: {error}") from error
    except SilentPythonError as error:
        raise _RefusedError(str(error)) from error
    if call.cache_dir is None:
        why = invocation.why_no_cache(call, os.environ, pip)
        raise _RefusedError(f"pip cache commands can not function since cache is disabled: {why}")
    return _Target(Cache(view.real_root(call.cache_dir), call, found, pip), call.index_urls)


def _environment(arguments: argparse.Namespace) -> environment.Target:
    """Return the target that an install would have, with ``--python`` if that is given (`environment.target`).

    If that finds no environment, returns the one that pinstall runs in.
    """
    try:
        return environment.target(_selection(arguments), os.environ, as_module=False)
    except NoEnvironmentError:  # the cache of the user is the same for all environments, as a rule
        return environment.target([], {}, as_module=True)


def _selection(arguments: argparse.Namespace) -> list[str]:
    named = vars(arguments).get("python")
    return ["--python", named] if named else []


def _pattern(patterns: Sequence[str]) -> str:
    if len(patterns) > 1:
        raise _RefusedError("Too many arguments")
    return patterns[0] if patterns else "*"


def _dir(arguments: argparse.Namespace) -> int:
    _refuse_surplus(arguments.patterns)
    print(_target(arguments).root)
    return 0


def _refuse_surplus(surplus: Sequence[str]) -> None:
    if surplus:
        raise _RefusedError("Too many arguments")


def _info(arguments: argparse.Namespace) -> int:
    from pinstall.pip_cache import keys

    _refuse_surplus(arguments.patterns)
    target = _target(arguments)
    names = (keys.TWO_FILES.folder, keys.ONE_FILE.folder, keys.WHEELS)
    newer, older, built = (os.path.join(target.root, name) for name in names)
    http, wheels = [*_files(newer), *_files(older)], [*_files(built)]
    print(f"Package index page cache location (pip v23.3+): {newer}")
    print(f"Package index page cache location (older pips): {older}")
    print(f"Package index page cache size: {display.size(sum(map(_size, http)))}")
    print(f"Number of HTTP files: {len(http)}")
    print(f"Locally built wheels location: {built}")
    print(f"Locally built wheels size: {display.size(sum(map(_size, wheels)))}")
    print(f"Number of locally built wheels: {sum(path.endswith('.whl') for path in wheels)}")
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
    return (os.path.join(here, name) for here, _, names in entries.walk(folder) for name in names)


def _size(path: str) -> int:
    stamp = entries.stamp(path)
    return stamp.size if stamp else 0


def _matching(arguments: argparse.Namespace) -> tuple[_Target, list[Item]]:
    """Return the cache, and the items of its inventory that match the pattern of the command; by default, all.

    Warns as pip does if none matches a pattern other than ``*``. Raises `_RefusedError` for several patterns, and as `_target`.
    """
    pattern, target = _pattern(arguments.patterns), _target(arguments)
    items = [item for item in target.take_inventory().items if matches(pattern, item)]
    if not items and pattern != "*":
        _warn(f'No matching packages for pattern "{pattern}"')
    return target, items


def _verified(target: _Target, items: Sequence[Item]) -> tuple[verify.Verifier, list[verify.VerifiedItem]]:
    """Verify *items*, while a terminal shows a bar; return the verifier, and the verdicts as `Verifier.verify` does.

    The verifier has the proofs, and can remove bad items.
    """
    verifier = verify.Verifier(target.cache, os.environ, settings.read(os.environ))
    with terminal.bar(sum(item.size for item in items)) as bar:
        return verifier, verifier.verify(items, bar.update)


def _list(arguments: argparse.Namespace) -> int:
    target, items = _matching(arguments)
    if arguments.format == "json":
        print(display.document(target.root, items))
    elif arguments.format == "abspath":
        print("".join(f"{path}\n" for path in display.paths(items)), end="")
    elif items:
        print("Cache contents:\n")
        print(tables.text(display.table(inventory.merged(items), arguments.columns)), end="")
    elif not arguments.patterns:
        print("Nothing cached.")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    target, items = _matching(arguments)
    wheels = [(item.entry.wheel_key, item.entry.filename) for item in items if isinstance(item.entry, entries.BuiltWheel)]
    lines = list(show.records(target.root, wheels))
    if items:
        print("\n".join(lines) if lines else "There is no build record.")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    if not arguments.patterns:
        raise _RefusedError("Please provide a pattern")
    pattern = _pattern(arguments.patterns)
    if pattern == "*":
        return _purge(arguments)
    target, items = _matching(arguments)
    return _removed(removal.remove(target.root, items, target.held()) if items else removal.RemovalTotals(0, 0, 0))


def _purge(arguments: argparse.Namespace) -> int:
    if arguments.command == "purge":
        _refuse_surplus(arguments.patterns)
    target = _target(arguments)
    if not scan.parts(target.root):
        _warn("No matching packages")
        return _removed(removal.RemovalTotals(0, 0, 0))
    return _removed(removal.purge(target.root, target.held()))


def _removed(outcome: RemovalTotals) -> int:
    """Print the outcome of a removal, with a warning for each entry that stayed; return 1 if one did, else 0."""
    for line in outcome.stayed:
        _warn(f"not removed: {line}")
    print(f"Files removed: {outcome.files} ({display.size(outcome.size)})")
    print(f"Directories removed: {outcome.folders}")
    return exit_status.BAD if outcome.stayed else 0


def _verify(arguments: argparse.Namespace) -> int:
    target, items = _matching(arguments)
    verifier, verified = _verified(target, items)
    bad = [one for one in verified if one.reason]
    for one in bad:
        _tell(one, "bad")
    print(f"Entries checked: {len(verified)} ({display.size(sum(one.item.size for one in verified))}), {len(bad)} bad")
    for reason, count in verify.by_reason(bad):
        print(f"  {reason}: {count}")
    if len(items) > len(verified):
        print(f"Entries not checked, because there is nothing to check them against: {len(items) - len(verified)}")
    if os.path.isdir(target.root) and verified:
        verifier.remember()
    gone, failed = verifier.fix(bad) if arguments.fix else ([], [])
    for failure in failed:
        _warn(f"not removed: {failure.finding.entry.filename}: {failure.why}")
    if gone:
        statistics.count_removed(target.root, [(isinstance(one.finding.verdict, Delete), one.reason) for one in gone])
        _print_fixed("removed", (one.item for one in gone if isinstance(one.finding.verdict, Delete)))
        _print_fixed("set aside", (one.item for one in gone if not isinstance(one.finding.verdict, Delete)))
    elif bad and not arguments.fix:
        print("To remove the bad ones and nothing else, run: pinstall-cache verify --fix")
    if arguments.fix:
        _strip_queries(target)
    return exit_status.BAD if len(gone) < len(bad) or target.tree.links else 0


def _print_fixed(act: str, found: Iterable[Item]) -> None:
    if items := list(found):
        print(f"Entries {act}: {len(items)} ({display.size(sum(item.size for item in items))})")


def _strip_queries(target: _Target) -> None:
    """Remove the queries of URLs that pinstall 0.1.0 has kept in the store's ``origin.json`` files.

    Prints the number of these files; without any, neither prints nor takes the lock. Raises as `_Target.held`.
    """
    found = actions.origins_with_queries(target.root)
    if found:
        with target.held():
            actions.strip_queries(target.root, found)
        print(f"Files in pinstall's store: the query of the URL, which may be a secret, was removed from {len(found)}")


def _tell(one: verify.VerifiedItem, label: str) -> None:
    """Print the line "LABEL: ITEM: DETAIL (REASON)" about an item that is bad or could not be checked."""
    item = one.item
    kind = "" if item.entry.kind in ("page", "other") else f" ({messages.KINDS[item.entry.kind]})"
    where = " in pinstall's store" if item.stored else ""
    print(f"{label}: {display.name(item)}{kind}{where}: {terminal.plain(one.detail)} ({one.reason})")


def _restore(arguments: argparse.Namespace) -> int:
    target, items = _matching(arguments)
    lacking = restore.lacking(target.root, items)
    bad = [one for one in _verified(target, lacking)[1] if one.reason]
    for one in bad:
        _tell(one, "bad, not restored")
    wrong = {one.item for one in bad}
    sound = restore.latest(target.root, (item for item in lacking if item not in wrong))
    done = restore.restore(target.root, items, sound, target.held()) if items else restore.Restored(0, 0, ())
    for path in done.stayed:
        _warn(f"not restored: {path}: it could not be moved to pip's cache, or another process has changed it")
    for filename, why in restore.staying(items, {*sound, *wrong}):
        print(terminal.plain(f"stays in pinstall's store: {filename}: {why}"))
    print(f"Entries restored: {done.entries} ({display.size(done.size)})")
    return exit_status.BAD if bad or done.stayed else 0


def _prune(arguments: argparse.Namespace) -> int:
    _refuse_surplus(arguments.patterns)
    target = _target(arguments)
    if not scan.parts(target.root):
        return _removed(removal.RemovalTotals(0, 0, 0))
    found = target.take_inventory()
    now = http_entries.now()
    limit = arguments.older_than
    items = [item for item in found.items if limit is not None and now - item.used > limit]
    copied = [item for item in copies.older(found.items, now) if item not in items]
    strays = removal.unused(found.strays, now)
    items += copied
    planned = removal.pruning(target.root, strays, items)
    if arguments.dry_run:
        print("".join(f"would remove: {line}\n" for line in display.doomed(planned.strays, planned.items)), end="")
    for reason in sorted({stray.reason for stray in planned.strays}):
        alike = [stray for stray in planned.strays if stray.reason == reason]
        print(f"not usable by pip: {reason}: {len(alike)} ({display.size(sum(stray.size for stray in alike))})")
    if copied:
        print(f"older copies of a file that came from several URLs: {_count_and_size(copied)}")
    if unused := [item for item in planned.items if item not in copied]:
        print(f"not used for that long: {_count_and_size(unused)}")
    if arguments.dry_run:
        for line in planned.stayed:
            _warn(f"not removed: {line}")
        print(f"Files that would be removed: {len(planned.files)} ({display.size(sum(planned.files.values()))})")
        print(f"Directories that would be removed: {len(planned.folders)}")
        return exit_status.BAD if planned.stayed else 0
    if not (planned.files or planned.folders or items):
        return _removed(removal.RemovalTotals(0, 0, 0))
    return _removed(removal.prune(target.root, strays, items, target.held()))


def _stats(arguments: argparse.Namespace) -> int:
    _refuse_surplus(arguments.patterns)
    from pinstall.cache_tool import counters

    target = _target(arguments)
    found = statistics.totals(target.root)
    print(f"Cache: {target.root}\n{counters.since(found)}\n")
    print(tables.text(counters.table(found.counts)), end="")
    if arguments.zero:
        if os.path.isdir(target.root):
            statistics.reset(target.root)
        print("\nThe counters are zero now.")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    _refuse_surplus(arguments.patterns)
    from pinstall.cache_tool import doctor

    checks = list(doctor.installation(os.environ))
    try:
        checks += _served(arguments)
        checks += doctor.cache(_target(arguments).root, os.environ)
    except (_RefusedError, SilentPythonError) as error:
        checks.append(doctor.Check("cache", f"cannot be examined: {error}", "correct that, then run this again"))
    for check in checks:
        print(terminal.plain(f"{'no' if check.advice else 'ok'}  {check.subject}: {check.state}"))
        if check.advice:
            print(terminal.plain(f"      what to do: {check.advice}"))
    bad = sum(bool(check.advice) for check in checks)
    needs = "1 of them needs" if bad == 1 else f"{bad} of them need"
    print(f"\n{needs} attention." if bad else "\nAll is well. 'pinstall-cache verify' reads the cached files themselves.")
    return exit_status.BAD if bad else 0


def _served(arguments: argparse.Namespace) -> Iterator[Check]:
    """Yield a check of the pip that would run in a call with this ``--python``.

    Before it, yields a check of the environment if pinstall chooses ``.venv`` by itself, or finds no environment. Raises
    `SilentPythonError` if the Python of that pip does not answer.
    """
    from pinstall.cache_tool import doctor

    served: Environment | None
    served, runner = environment.of(_environment(arguments))
    try:
        note = environment.target(_selection(arguments), os.environ, as_module=False).note
        if note:
            yield doctor.Check("environment", note)
    except NoEnvironmentError as error:
        yield doctor.no_environment(error)
        served = None
    yield doctor.pip(served, runner)


def _map(arguments: argparse.Namespace) -> int:
    from pinstall.cache_tool import map_page

    pattern = _pattern(arguments.patterns)
    target = _target(arguments)
    found = target.take_inventory()
    items = [item for item in found.items if matches(pattern, item)]
    verified = _verified(target, items)[1]
    page = map_page.page(target.root, inventory.merged(items), verified, found.strays if pattern == "*" else ())
    try:
        with open(arguments.html, "w", encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        raise _RefusedError(f"the page {arguments.html} could not be written ({error.strerror})") from error
    print(f"Wrote {arguments.html}")
    return 0


def _shared(arguments: argparse.Namespace) -> int:
    action = _pattern(arguments.patterns)
    if action not in ("list", "verify", "prune") or (action == "prune") != (arguments.older_than is not None):
        raise _RefusedError(
            "'pinstall-cache shared' takes one of: list, verify, prune --older-than AGE (the age only with prune)"
        )
    from pinstall.cache_tool import shared

    try:
        work = shared.Upkeep(settings.read(os.environ).shared_store, _warn)
        ways = {"list": work.listed, "verify": work.verified}
        found = ways[action]() if action in ways else work.pruned(arguments.older_than, dry_run=arguments.dry_run)
        for line in found:
            print(terminal.plain(line))
    except shared.FAILURES as error:
        raise _RefusedError(f"the shared store cannot be used: {error}") from None
    return exit_status.BAD if work.is_bad else 0


def _completion(arguments: argparse.Namespace) -> int:
    path = os.path.join(os.path.dirname(__file__), "completions", f"pinstall.{arguments.shell}")
    with open(path, encoding="utf-8") as file:
        print(file.read(), end="")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "dir": _dir,
    "info": _info,
    "list": _list,
    "show": _show,
    "remove": _remove,
    "purge": _purge,
    "verify": _verify,
    "restore": _restore,
    "prune": _prune,
    "stats": _stats,
    "shared": _shared,
    "doctor": _doctor,
    "map": _map,
    "completion": _completion,
}
