"""The report: the whole story of a call as JSON, for ``PINSTALL_REPORT``. docs/report.md describes it; it holds no secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall import __version__
from pinstall.invocation.requirements_files import without_secrets
from pinstall.model.verdict import Delete, Hide

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pinstall.aftermath.confirm import Discrepancy
    from pinstall.checks.checker import Finding
    from pinstall.invocation.requirements_files import Unread
    from pinstall.model.pins import Pin

_FORMAT = 1


class Story(NamedTuple):
    """What a call did. Lists are in the order of the events.

    ``status`` is pinstall's, ``pip_status`` pip's own, after ``tries`` calls of it; ``healed`` says what was done for another
    try (None: pip did not fail), ``causes`` what can be told of why it failed. ``open`` are those of ``pins`` that the
    environment did not satisfy before; ``acted`` are the ``looked`` ones of which something was done; ``seconds`` are by step.
    """

    status: int
    pip_status: int
    tries: int
    environment: Mapping[str, str | None]
    cache: str | None
    pins: Sequence[Pin]
    open: Collection[Pin]
    unread: Sequence[Unread]
    looked: Sequence[Finding]
    acted: Sequence[Finding]
    set_aside: Sequence[str]
    built: Sequence[str]
    healed: Mapping[str, Any] | None
    causes: Sequence[str]
    doubts: Sequence[Discrepancy]
    messages: Sequence[str]
    seconds: Mapping[str, float]


def write(path: str, story: Story) -> None:
    """Write *story* to the file *path*; raises `OSError`."""
    acted = {id(finding) for finding in story.acted}
    document = {
        "format": _FORMAT,
        "pinstall": __version__,
        "status": story.status,
        "pip_status": story.pip_status,
        "tries": story.tries,
        "environment": story.environment,
        "cache": story.cache,
        "pins": [{**_pin(pin), "satisfied": pin not in story.open} for pin in story.pins],
        "not_checked": [{"source": unread.source, "reason": unread.reason} for unread in story.unread],
        "entries": [{**_entry(finding), "done": id(finding) in acted} for finding in story.looked],
        "set_aside": list(story.set_aside),
        "built": list(story.built),
        "healed": story.healed,
        "causes": list(story.causes),
        "doubts": [
            {"project": doubt.pin.project, "line": doubt.line, "contradicts": doubt.contradicts} for doubt in story.doubts
        ],
        "messages": list(story.messages),
        "seconds": {step: round(seconds, 4) for step, seconds in story.seconds.items()},
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


def _pin(pin: Pin) -> dict[str, Any]:
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
        "verdict": type(verdict).__name__.lower(),
        "reason": getattr(verdict, "reason", None),
        "detail": verdict.detail if isinstance(verdict, Hide | Delete) else None,
    }
