"""Settle: apply the verdicts under the lock, and look again at whatever another process changed meanwhile."""

from __future__ import annotations

import os
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
    """What should go could not be made to go; ``left`` is what pip must not see, ``acted`` what was done all the same."""

    def __init__(self, reason: str, left: list[Finding], acted: list[Finding]) -> None:
        super().__init__(reason)
        self.left, self.acted = left, acted


def settle(checker: Checker, findings: Iterable[Finding], seconds: float, say: Say) -> list[Finding]:
    """Apply the verdicts of *findings*, waiting for the lock for at most *seconds*; return those that were done.

    Raises `CacheUnusableError` if pip could still meet something that is wrong. What cannot be brought back is no loss.
    """
    todo = list(findings)
    acted: list[Finding] = []
    unknown, reason = [], ""
    for finding in todo:
        if isinstance(finding.verdict, Unknown) and not finding.stored:
            unknown.append(finding)
            reason = f"it cannot be proven ({finding.verdict.reason})"
    try:
        for _ in range(_ATTEMPTS):
            todo = [finding for finding in todo if is_act(finding)]
            if not todo:
                break
            done, changed = _under_lock(checker.cache.root, todo, seconds, say)
            acted += done
            todo = [again for finding in changed if (again := checker.again(finding)) is not None]
        else:
            reason = f"{todo[0].entry.filename} keeps changing" if todo else reason
    except (apply.NotDoneError, lock.LockTimeoutError, OSError) as error:
        reason = f"it cannot be changed ({error.strerror})" if isinstance(error, OSError) else str(error)
    wrong = (finding for finding in todo if is_act(finding) and not finding.stored)
    left = [*unknown, *(finding for finding in wrong if os.path.lexists(finding.entry.content))]
    if left:
        raise CacheUnusableError(reason, left, acted)
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
