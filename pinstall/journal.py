"""The journal of a call: its events, in their order.

It is the one object that collects the events of a call. The JSON report (``PINSTALL_REPORT``, docs/report.md) is made from it,
without secrets. Other mutable objects keep results of reading (`Environment`, `Cache`, `Inspector` with its `Ledger` objects),
run the child process (`Pip`), or speak to the shared store (`SharedStore`).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from pinstall import __version__
from pinstall.messages import ERROR, NOTE
from pinstall.model.verdict import Delete, Hide, Keep, SetAside, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pinstall.aftermath.confirm import Discrepancy
    from pinstall.checks.checker import Finding
    from pinstall.invocation.requirements_files import UnreadSource
    from pinstall.model.pins import Pin

_FORMAT = 1
_VERDICTS = {Keep: "keep", Hide: "hide", SetAside: "hide", Delete: "delete", Unreadable: "unknown"}


class Journal:
    """The events of a call, and pinstall's lines, whether they were printed or not.

    ``findings`` are all findings, ``applied`` those whose verdicts have changed the cache, before pip ran or when it asked.
    ``unsatisfied`` are those of ``pins`` that the environment did not satisfy before pip ran. ``runs`` counts the runs of pip;
    ``repairs`` has the results of the second one. ``causes`` are the proven causes of a failure. ``set_aside``, ``built`` and
    ``fetched`` are file names: of other versions that were moved to the store, of wheels that pip built, and of builds from the
    shared store. The other attributes are further facts for the report, and the call's output options.
    """

    def __init__(self, report: str, show: Callable[[int, str], None]) -> None:
        """Begin an empty journal for the JSON report at the path *report* ("" for none); *show* prints a line of a level."""
        self._report_path, self._show = report, show
        self.verbosity, self.is_plain = 0, False
        self.environment: dict[str, str | None] = {"python": None, "pip": None}
        self.cache: str | None = None
        self.pins: Sequence[Pin] = ()
        self.unsatisfied: Sequence[Pin] = ()
        self.unread: Sequence[UnreadSource] = ()
        self.findings: list[Finding] = []
        self.applied: list[Finding] = []
        self.set_aside: list[str] = []
        self.built: list[str] = []
        self.fetched: list[str] = []
        self.runs = 1
        self.repairs: dict[str, Any] | None = None
        self.causes: list[str] = []
        self.discrepancies: list[Discrepancy] = []
        self._said: list[str] = []
        self._clock, self._seconds = time.monotonic(), dict[str, float]()

    @property
    def wants_report(self) -> bool:
        """Whether ``PINSTALL_REPORT`` asks for a report."""
        return bool(self._report_path)

    def say(self, level: int, line: str) -> None:
        """Add *line* to the report, and print it if the call's ``-q`` and ``-v`` admit its *level*.

        Without colours under ``--no-color``.
        """
        self.note(line)
        if self.verbosity >= level:
            self._show(NOTE if self.is_plain else level, line)

    def note(self, line: str) -> None:
        """Add *line* to the report without printing it."""
        self._said.append(line)

    def end_step(self, step: str) -> None:
        """Add the time since the previous `end_step`, or since the journal began, to the seconds of *step* in the report."""
        now = time.monotonic()
        self._seconds[step] = self._seconds.get(step, 0) + now - self._clock
        self._clock = now

    def write(self, status: int, pip_status: int) -> None:
        """Write the report, with pinstall's exit *status* and *pip_status*; print an error if the file cannot be written.

        Call it only if the report ``wants_report``.
        """
        try:
            with open(self._report_path, "w", encoding="utf-8") as file:
                json.dump(self._document(status, pip_status), file, indent=2)
                file.write("\n")
        except OSError as error:
            self.say(ERROR, f"the report {self._report_path} (PINSTALL_REPORT) could not be written ({error.strerror})")

    def _document(self, status: int, pip_status: int) -> dict[str, Any]:
        done = {id(finding) for finding in self.applied}
        return {
            "format": _FORMAT,
            "pinstall": __version__,
            "status": status,
            "pip_status": pip_status,
            "tries": self.runs,
            "environment": self.environment,
            "cache": self.cache,
            "pins": [{**_pin(pin), "satisfied": pin not in self.unsatisfied} for pin in self.pins],
            "not_checked": [{"source": unread.source, "reason": unread.reason} for unread in self.unread],
            "entries": [{**_entry(finding), "done": id(finding) in done} for finding in self.findings],
            "set_aside": self.set_aside,
            "built": self.built,
            "fetched": self.fetched,
            "healed": self.repairs,
            "causes": self.causes,
            "doubts": [
                {"project": found.pin.project, "line": found.line, "contradicts": found.contradicts}
                for found in self.discrepancies
            ],
            "messages": self._said,
            "seconds": {step: round(seconds, 4) for step, seconds in self._seconds.items()},
        }


def _pin(pin: Pin) -> dict[str, Any]:
    from pinstall.model.links import without_secrets

    return {
        "project": pin.project,
        "specifier": str(pin.specifier),
        "url": without_secrets(pin.url or pin.locked) or None,
        "hashes": [f"{digest.algorithm}:{digest.hex}" for digest in pin.hashes],
        "places": list(pin.places),
        "requested": pin.requested,
    }


def _entry(finding: Finding) -> dict[str, Any]:
    verdict = finding.verdict
    return {
        "project": finding.pin.project,
        "kind": finding.entry.kind,
        "filename": finding.entry.filename,
        "key": finding.entry.key,
        "stored": finding.stored,
        "verdict": _VERDICTS[type(verdict)],
        "reason": getattr(verdict, "reason", None),
        "detail": verdict.detail if isinstance(verdict, Hide | SetAside | Delete) else None,
    }
