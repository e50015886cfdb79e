"""Change the cache under the lock, in the steps after pip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinstall import messages
from pinstall.messages import WARNING
from pinstall.storage import lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinstall.aftermath.rescue import Wrong
    from pinstall.checks.prepare import PreparedCache
    from pinstall.journal import Journal


def under_lock(
    prepared: PreparedCache, act: Callable[[], list[Wrong]], journal: Journal, *, waits: bool = True, warns: bool = True
) -> list[Wrong] | None:
    """Take the lock and return the result of *act*; None if the lock is not free, or on an `OSError`, also of *act*.

    With *waits*, waits for the lock as long as the settings allow; with *warns* as well, prints why None is returned. Without
    *waits*, prints nothing: a later call does the same work.
    """
    try:
        seconds = prepared.settings.lock_timeout if waits else 0
        with lock.held(prepared.cache.root, seconds, lambda line: journal.say(WARNING, line)):
            return act()
    except (OSError, lock.LockTimeoutError) as error:
        if waits and warns:
            journal.say(WARNING, messages.not_repaired(prepared.cache.root, getattr(error, "strerror", "") or str(error)))
        return None
