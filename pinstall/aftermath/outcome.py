"""The outcome of the one or two runs of pip."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pinstall import messages
from pinstall.messages import WARNING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pinstall.aftermath.install_report import Report
    from pinstall.aftermath.other_versions import OtherVersion
    from pinstall.aftermath.rescue import Rescue, Wrong
    from pinstall.checks.prepare import PreparedCache, View
    from pinstall.journal import Journal
    from pinstall.model.pins import Pin
    from pinstall.pip_process import PipCommand


class SecondRun(NamedTuple):
    """The second run of pip.

    ``view`` is what it sees of the cache. ``known_failures`` are the failures that it may repeat (`Rescue.known_failures`).
    ``report`` is the installation report of the first run.
    """

    pip_command: PipCommand
    view: View
    known_failures: list[str] | None
    report: Report

    @property
    def watched_folder(self) -> str:
        """The resolved path of the cache folder that pip uses."""
        return os.path.realpath(self.view.folder)


class Outcome(NamedTuple):
    """The outcome of pip: the exit ``status`` of its last run, the inspection of a failure, and the ``second`` run.

    ``rescue`` and ``second`` are None if they did not take place. ``others`` are the other versions of the pins that were found
    while pip ran.
    """

    status: int
    rescue: Rescue | None = None
    second: SecondRun | None = None
    others: Mapping[Pin, list[OtherVersion]] = {}


def under_lock(prepared: PreparedCache, act: Callable[[], list[Wrong]], journal: Journal, *, waits: bool = True) -> list[Wrong]:
    """Return the result of *act* under the lock; an empty list if the cache cannot be changed.

    If *waits*, wait for the lock as long as the settings allow, and warn if that was not enough. Otherwise a later call does
    the same work.
    """
    from pinstall.storage import lock  # every call imports this module, and most take no lock

    try:
        seconds = prepared.settings.lock_timeout if waits else 0
        with lock.held(prepared.cache.root, seconds, lambda line: journal.say(WARNING, line)):
            return act()
    except (OSError, lock.LockTimeoutError) as error:
        reason = getattr(error, "strerror", "") or str(error)
        if not waits:
            return []
        journal.say(WARNING, messages.not_repaired(reason))
        return []
