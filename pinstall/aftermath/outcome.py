"""How pip ran, once or twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinstall.aftermath.install_report import Report
    from pinstall.aftermath.other_versions import OtherVersion
    from pinstall.aftermath.rescue import Rescue
    from pinstall.checks.prepare import View
    from pinstall.model.pins import Pin
    from pinstall.pip_process import Given

FAILED = 1
CRASHED = 2  # or a usage error: pip does not tell these apart


class SecondRun(NamedTuple):
    """What the second run of pip is ``given``, in which ``view``, and what it may do without (`Rescue.excused`)."""

    given: Given
    view: View
    excused: list[str] | None
    report: Report

    @property
    def watched(self) -> str:
        """The cache folder as pip knows it, resolved."""
        return os.path.realpath(self.view.folder)


class Outcome(NamedTuple):
    """How pip ran: its exit ``status`` in the end, what was learnt if it failed, and the ``second`` run if there was one.

    ``others`` are the other versions of pins that were found while pip ran.
    """

    status: int
    rescue: Rescue | None = None
    second: SecondRun | None = None
    others: Mapping[Pin, list[OtherVersion]] = {}
