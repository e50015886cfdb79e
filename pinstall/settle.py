"""Settle: apply the verdicts under the lock, and look again at whatever another process changed meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinstall import apply, lock, messages
from pinstall.messages import WARNING
from pinstall.verdict import Delete, Hide, Keep, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pinstall.check import Checker, Finding
    from pinstall.messages import Say

_ATTEMPTS = 3


class CacheUnusableError(Exception):
    """What should go could not be made to go: pip must do without this cache."""


def settle(checker: Checker, findings: Iterable[Finding], seconds: float, say: Say) -> list[Finding]:
    """Apply the verdicts of *findings*, waiting for the lock for at most *seconds*; return those that were done.

    Raises `CacheUnusableError` if pip could still meet something that is wrong. What cannot be brought back is no loss.
    """
    todo = list(findings)
    acted: list[Finding] = []
    for finding in todo:
        if isinstance(finding.verdict, Unknown) and not finding.stored:
            raise CacheUnusableError(f"{finding.entry.filename} cannot be proven ({finding.verdict.reason})")
    try:
        for _ in range(_ATTEMPTS):
            todo = [finding for finding in todo if is_act(finding)]
            if not todo:
                return acted
            done, changed = _under_lock(checker.cache.root, todo, seconds, say)
            acted += done
            todo = [again for finding in changed if (again := checker.again(finding)) is not None]
    except (apply.NotDoneError, lock.LockTimeoutError, OSError) as error:
        if all(finding.stored for finding in todo):
            return acted
        reason = f"it cannot be changed ({error.strerror})" if isinstance(error, OSError) else str(error)
        raise CacheUnusableError(reason) from error
    if any(is_act(finding) for finding in todo):
        raise CacheUnusableError(f"{todo[0].entry.filename} keeps changing")
    return acted


def is_act(finding: Finding) -> bool:
    """Say whether there is something to be done in the cache: built wheels are hidden by the view."""
    if finding.entry.kind == "built" and isinstance(finding.verdict, Hide):
        return False
    return isinstance(finding.verdict, (Keep | Delete) if finding.stored else (Delete | Hide))


def _under_lock(root: str, findings: list[Finding], seconds: float, say: Say) -> tuple[list[Finding], list[Finding]]:
    """Return what was done, and whose entries are no longer what was proven."""
    done, changed = [], []
    try:
        with lock.held(root, seconds, lambda line: say(WARNING, line)):
            for finding in findings:
                try:
                    if _act(root, finding):
                        done.append(finding)
                except apply.ChangedError:
                    changed.append(finding)
    finally:
        for level, line in messages.changes(done):
            say(level, line)
    return done, changed


def _act(root: str, finding: Finding) -> bool:
    match finding.verdict:
        case Delete():
            return apply.delete(root, finding.entry, finding.stamp)
        case Hide():
            return apply.set_aside(root, finding.entry, finding.stamp, finding.identity)
        case _:
            return apply.bring_back(root, finding.entry, finding.stamp)
