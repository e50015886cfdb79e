"""The outcome of the one or two runs of pip."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinstall.aftermath.install_report import Report
    from pinstall.aftermath.other_versions import OtherVersion
    from pinstall.aftermath.rescue import Rescue
    from pinstall.model.pins import Pin
    from pinstall.pip_process import PipCommand
    from pinstall.storage.view import View


class SecondRun(NamedTuple):
    """The second run of pip, prepared.

    ``view`` is the cache that it gets. ``known_failures`` are the failures that it may repeat (`Rescue.known_failures`).
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
    """The outcome of pip: the exit ``status`` of its last run (130 if a signal told it to end, and it failed).

    ``rescue`` is the inspection of the first run's failure, and ``second`` the second run; None if there was none. ``others``
    are the other versions of the pins that were found while pip ran.
    """

    status: int
    rescue: Rescue | None = None
    second: SecondRun | None = None
    others: Mapping[Pin, list[OtherVersion]] = {}
