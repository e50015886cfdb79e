"""Verify: every entry of the cache is held to what is known of it, by the proofs and verdicts of a call, without its pins."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet

from pinstall.checks.checker import Checker, Finding
from pinstall.checks.execute import settle
from pinstall.inspection import integrity
from pinstall.model import foreign_data
from pinstall.model.pins import Pin
from pinstall.model.verdict import Delete, Hide, Keep, Unreadable, not_found
from pinstall.pip_cache import http_entries
from pinstall.storage import actions, lock, store
from pinstall.storage.ledger import write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from pinstall.cache_tool.inventory import Item
    from pinstall.pip_cache.locator import Cache

# No project has this name: its ledger is that of what nobody knows the project of.
_NOBODY = "_unknown"


class Proven(NamedTuple):
    """An item that was proven, or could not be."""

    item: Item
    finding: Finding

    @property
    def reason(self) -> str:
        """Why it is bad, or cannot be proven; "" if it is sound."""
        verdict = self.finding.verdict
        return "" if isinstance(verdict, Keep) else "unreadable" if isinstance(verdict, Unreadable) else verdict.reason

    @property
    def detail(self) -> str:
        """What is wrong with it, in words."""
        verdict = self.finding.verdict
        return "" if isinstance(verdict, Keep) else verdict.reason if isinstance(verdict, Unreadable) else verdict.detail


class Verifier:
    """Proves what lies in *cache*; nothing that was proven before is believed, for a bad disk changes no dates."""

    def __init__(self, cache: Cache, environ: Mapping[str, str]) -> None:
        self._cache, self._environ = cache, environ
        self._checker = Checker(cache, environ, anew=True)

    def prove(self, items: Sequence[Item], done: Callable[[int], object]) -> list[Proven]:
        """Prove *items*, several at a time; *done* is told the size of each. What there is no measure for is left out."""
        # A ledger is one project's: each project is one thread's.
        projects = [list(group) for _, group in groupby(sorted(items, key=_project), _project)]

        def prove(project: list[Item]) -> list[Proven]:
            found = []
            for item in project:
                found += [Proven(item, self._look(item))] if _has_measure(item) else []
                done(item.size)
            return found

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            proven = [one for found in pool.map(prove, projects) for one in found]
        return [self._with_libraries(one) if _is_own_build(one) else one for one in proven]

    def _look(self, item: Item) -> Finding:
        pin = Pin(_project(item), SpecifierSet(), "", (), ("pinstall-cache",), requested=False)
        try:
            return self._checker.look(pin, item.entry, stored=item.stored)
        except Exception as error:  # noqa: BLE001 (one odd file must not hide what is wrong with the others)
            return Finding(pin, item.entry, item.stamp, Unreadable(foreign_data.reason(error)), "", item.stored)

    def _with_libraries(self, proven: Proven) -> Proven:
        """Look for the libraries that a wheel with a record of its build had."""
        entry = proven.item.entry
        key = entry.key.partition("/")[0]
        if not http_entries.names(store.builds_folder(self._cache.root, key)):
            return proven
        try:
            with http_entries.open_content(entry) as file:
                sha256 = integrity.digests(file, ["sha256"])["sha256"]
            record = store.record(self._cache.root, key, sha256)
            missing = self._checker.builds.missing(entry, record) if record else ()
        except Exception as error:  # noqa: BLE001 (as above)
            return proven._replace(finding=proven.finding._replace(verdict=Unreadable(foreign_data.reason(error))))
        if not missing:
            return proven
        verdict = Hide("missing-library", not_found(missing))
        return proven._replace(finding=proven.finding._replace(verdict=verdict, identity=sha256))

    def fix(self, proven: Iterable[Proven], held: AbstractContextManager[None]) -> list[Proven]:
        """Delete what is bad, and set aside what misses a library; return what went.

        Raises `actions.NotDoneError`, `lock.LockTimeoutError` and `OSError` if that cannot be done.
        """
        bad = [one for one in proven if isinstance(one.finding.verdict, Delete)]
        done, stuck = settle(self._checker, [one.finding for one in bad], lock.timeout(self._environ), lambda *_: None)
        if stuck:
            raise actions.NotDoneError(stuck[0].why)
        went = {finding.entry.content for finding in done}
        lame = [one for one in proven if isinstance(one.finding.verdict, Hide)]
        if lame:
            with held:
                went |= {one.item.entry.content for one in lame if self._aside(one.finding)}
        return [one for one in (*bad, *lame) if one.item.entry.content in went]

    def _aside(self, finding: Finding) -> bool:
        try:
            return actions.set_aside(self._cache.root, finding.entry, finding.stamp, finding.identity)
        except actions.ChangedError:
            return False

    def remember(self) -> None:
        """Write the ledgers; where that cannot be done, everything is proven anew."""
        try:
            with lock.held(self._cache.root, 0, lambda _: None):
                write_all(self._checker.prover.ledgers.values())
        except (OSError, lock.LockTimeoutError):
            return


def by_reason(proven: Iterable[Proven]) -> Iterator[tuple[str, int]]:
    """Yield the reasons for which something is bad, and for how many it is."""
    reasons = sorted(one.reason for one in proven)
    yield from ((reason, len(list(group))) for reason, group in groupby(reasons))


def _project(item: Item) -> str:
    return item.project or _NOBODY


def _has_measure(item: Item) -> bool:
    """Say whether there is something to hold an item to: a response that is no file and no page has but its head."""
    entry = item.entry
    if entry.kind == "other":
        return bool(entry.fault or entry.unreadable)
    return entry.kind != "download" or bool(entry.stated or entry.label or not item.project or entry.fault)


def _is_own_build(proven: Proven) -> bool:
    return proven.item.entry.kind == "built" and not proven.item.stored and isinstance(proven.finding.verdict, Keep)
