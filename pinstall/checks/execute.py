"""Apply the verdicts under the lock, and check again each entry that another process has changed meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall import messages
from pinstall.checks.plan import is_act
from pinstall.messages import WARNING
from pinstall.model.verdict import Delete, SetAside, Unreadable
from pinstall.pip_cache.entries import HttpEntry
from pinstall.storage import actions, lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.checks.checker import Checker, Finding
    from pinstall.messages import Say

_ATTEMPTS = 3


class Failure(NamedTuple):
    """A finding whose entry pip must not use, and ``why`` it stays (a text): it could not be removed, moved or checked."""

    finding: Finding
    why: str


class Applied(NamedTuple):
    """The findings that were applied (``done``), and the ``failed`` ones: their entries, unless stored, must be hidden."""

    done: list[Finding]
    failed: list[Failure]


def apply_verdicts(checker: Checker, findings: Iterable[Finding], seconds: float, say: Say) -> Applied:
    """Apply those of *findings* that change the cache (`is_act`), and *say* each change.

    Makes up to three attempts, and in each waits for the lock for at most *seconds*: an entry that another process changes
    meanwhile is examined and decided anew. A lock that stays held, and a cache that cannot be written, end the attempts and are
    not raised. Failed are the findings whose entries could not be removed or moved, and those in pip's cache with the verdict
    `Unreadable`. In neither list are an entry that cannot be restored from the store, because pip fetches or builds it again,
    and one for which nothing is to be done any more, because it is gone or fits now.
    """
    todo = list(findings)
    applied = Applied([], [])
    applied.failed.extend(unchecked(todo))
    why = ""
    for _ in range(_ATTEMPTS):
        todo = [finding for finding in todo if is_act(finding)]
        if not todo:
            break
        try:
            changed = _apply_once(checker.cache.root, todo, applied, seconds, say)
        except (lock.LockTimeoutError, OSError) as error:
            why = why_not(error, checker.cache.root)
            break
        todo = [again for finding in changed if (again := checker.again(finding)) is not None]
        applied.failed.extend(unchecked(todo))
    for finding in todo:
        if isinstance(finding.verdict, Delete | SetAside):
            applied.failed.append(Failure(finding, why or changed_again(finding)))
    return applied


def why_not(error: lock.LockTimeoutError | actions.NotDoneError | OSError, root: str) -> str:
    """Return why an entry of the cache *root* could not be removed or moved, as a clause for the user."""
    if isinstance(error, OSError):
        return f"pip's cache {root} cannot be changed ({error.strerror})"
    return f"its file {error}" if isinstance(error, actions.NotDoneError) else str(error)


def changed_again(finding: Finding) -> str:
    """Return why the entry of *finding* could not be removed or moved, as a clause for the user: it changed each time."""
    return f"another process is changing its file {finding.entry.content_path}"


def unchecked(findings: Iterable[Finding]) -> Iterator[Failure]:
    """Yield a failure for each of *findings* with the verdict `Unreadable`, except for entries of the store."""
    for finding in findings:
        if isinstance(finding.verdict, Unreadable) and not finding.stored:
            yield Failure(finding, f"its file {finding.entry.content_path} could not be checked ({finding.verdict.detail})")


def _apply_once(root: str, findings: list[Finding], applied: Applied, seconds: float, say: Say) -> list[Finding]:
    """Apply the verdicts under the lock, and add the results to *applied*; return the findings whose entries have changed.

    An entry that is gone, or cannot be restored, is not among the results. Says each change that was made, even if it raises.
    Raises as `lock.held`.
    """
    done, changed = [], []
    try:
        with lock.held(root, seconds, lambda line: say(WARNING, line)):
            for finding in findings:
                try:
                    if _act(root, finding):
                        done.append(finding)
                except actions.ChangedError:
                    changed.append(finding)
                except actions.NotDoneError as error:
                    applied.failed.append(Failure(finding, why_not(error, root)))
    finally:
        applied.done.extend(done)
        for level, line in messages.changes(done):
            say(level, line)
    return changed


def _act(root: str, finding: Finding) -> bool:
    match finding.verdict:
        case Delete() if isinstance(finding.entry, HttpEntry) and not finding.stored:
            return actions.spend(root, finding.entry, finding.stamp)
        case Delete():
            return actions.delete(root, finding.entry, finding.stamp)
        case SetAside():
            return actions.set_aside(root, finding.entry, finding.stamp, finding.sha256)
        case _:
            return actions.bring_back(root, finding.entry, finding.stamp)
