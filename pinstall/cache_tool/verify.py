"""Verify every entry of the cache, with those checks of a pinstall call that need neither pins nor the conditions of a build.

Candidates become findings and are applied as for a call. Only the plan is left out: it chooses among builds for one pip.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet

from pinstall.checks.candidates import Candidate
from pinstall.checks.checker import Checker, Finding
from pinstall.checks.execute import apply_verdicts
from pinstall.model import foreign_data
from pinstall.model.pins import Pin
from pinstall.model.verdict import Delete, Keep, SetAside, Unreadable, not_found
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import lock, store
from pinstall.storage.ledger import write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pinstall.cache_tool.inventory import Item
    from pinstall.checks.execute import Failure
    from pinstall.pip_cache.locator import Cache
    from pinstall.settings import Settings

# No project has this name: its ledger is for entries whose project is unknown.
_UNKNOWN_PROJECT = "_unknown"


class VerifiedItem(NamedTuple):
    """An item and the finding on it, whose verdict is `Unreadable` if the item could not be checked."""

    item: Item
    finding: Finding

    @property
    def reason(self) -> str:
        """The code of the reason why it is bad, "unreadable" if it could not be checked, "" if it is sound."""
        verdict = self.finding.verdict
        return "" if isinstance(verdict, Keep) else "unreadable" if isinstance(verdict, Unreadable) else verdict.reason

    @property
    def detail(self) -> str:
        """The defect, or why the item could not be checked, as a text for the user; "" if it is sound."""
        verdict = self.finding.verdict
        return "" if isinstance(verdict, Keep) else verdict.detail


class Verifier:
    """Checks the entries of *cache*.

    It ignores earlier proofs in the ledger, because a disk that corrupts a file does not change its times.
    """

    def __init__(self, cache: Cache, environ: Mapping[str, str], settings: Settings) -> None:
        self._cache, self._lock_timeout = cache, settings.lock_timeout
        self._checker = Checker(cache, environ, settings, is_call=False)

    def verify(self, items: Sequence[Item], done: Callable[[int], object]) -> list[VerifiedItem]:
        """Check *items*, several projects at once, and return them with their verdicts. Changes no file.

        Leaves out the items that there is nothing to check against (`_is_checkable`). *done* is called, from several threads,
        with the size in bytes of each item, also of those.
        """
        # A ledger belongs to one project and must be used by one thread.
        projects = [list(group) for _, group in groupby(sorted(items, key=_project), _project)]

        def verify_project(project: list[Item]) -> list[VerifiedItem]:
            found = []
            for item in project:
                found += [VerifiedItem(item, self._finding(item))] if _is_checkable(item) else []
                done(item.size)
            return found

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            verified = [one for found in pool.map(verify_project, projects) for one in found]
        return [self._with_libraries(one) if _is_own_build(one) else one for one in verified]

    def _finding(self, item: Item) -> Finding:
        pin = Pin(_project(item), SpecifierSet(), "", (), ("pinstall-cache",), requested=False)
        candidate = Candidate(pin, item.entry, stored=item.stored)
        try:
            return self._checker.examine(candidate)
        except Exception as error:  # noqa: BLE001 (a library's error for one file must not end the check of the others)
            return Finding(candidate, item.stamp, Unreadable(foreign_data.reason(error)))

    def _with_libraries(self, verified: VerifiedItem) -> VerifiedItem:
        """Return *verified* with the verdict `SetAside` if it is a built wheel that lacks a library, else unchanged.

        The verdict is `Unreadable` if it cannot be told whether the wheel lacks one.
        """
        entry = verified.item.entry
        if not isinstance(entry, BuiltWheel):
            return verified
        try:
            record = store.first_record(self._cache.root, entry, verified.finding.sha256)
            missing = self._checker.builds.missing_libraries(entry, record)
        except Exception as error:  # noqa: BLE001 (as above)
            return verified._replace(finding=verified.finding._replace(verdict=Unreadable(foreign_data.reason(error))))
        if not missing:
            return verified
        verdict = SetAside("missing-library", not_found(missing))
        return verified._replace(finding=verified.finding._replace(verdict=verdict))

    def fix(self, verified: Iterable[VerifiedItem]) -> tuple[list[VerifiedItem], list[Failure]]:
        """Delete the bad items, and set aside the wheels that lack a library; return all these items, and the failures.

        An HTTP entry in pip's folders is spent (see `actions.spend`). Waits for the lock as long as the settings allow; if it
        stays held, or the cache cannot be written, all are failures. Items of *verified* that are unreadable stay. These, and
        items that are gone or sound by now, are in neither list.
        """
        bad = [one for one in verified if isinstance(one.finding.verdict, Delete | SetAside)]
        applied = apply_verdicts(self._checker, [one.finding for one in bad], self._lock_timeout, lambda *_: None)
        removed = {finding.entry.content_path for finding in applied.done}
        return [one for one in bad if one.item.entry.content_path in removed], applied.failed

    def remember(self) -> None:
        """Write the proofs to the ledgers, if the lock is free and the cache is writable; else the next call checks again."""
        try:
            with lock.held(self._cache.root, 0, lambda _: None):
                write_all(self._checker.inspector.ledgers.values())
        except (OSError, lock.LockTimeoutError):
            return


def by_reason(verified: Iterable[VerifiedItem]) -> Iterator[tuple[str, int]]:
    """Yield (reason, number of items), sorted by reason."""
    reasons = sorted(one.reason for one in verified)
    yield from ((reason, len(list(group))) for reason, group in groupby(reasons))


def _project(item: Item) -> str:
    return item.project or _UNKNOWN_PROJECT


def _is_checkable(item: Item) -> bool:
    """Return whether there is something to check an item against.

    That is so for built wheels, pages, ``.metadata`` files and downloads of an unknown project. A download of a known project
    needs a stated digest, or a file name with a version, or a fault that the inventory has found. A response that is neither a
    file nor a page needs such a fault, or must be unreadable.
    """
    entry = item.entry
    if isinstance(entry, BuiltWheel):
        return True
    if entry.kind == "other":
        return bool(entry.fault or entry.unreadable)
    return entry.kind != "download" or bool(entry.expected or entry.parsed_filename or not item.project or entry.fault)


def _is_own_build(verified: VerifiedItem) -> bool:
    """Return whether an item is a built wheel in pip's own folder that was found sound."""
    return (
        isinstance(verified.item.entry, BuiltWheel) and not verified.item.stored and isinstance(verified.finding.verdict, Keep)
    )
