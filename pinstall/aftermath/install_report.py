"""Complete the report of ``pip install --report FILE`` (pip's installation report, version 1) after pip has run twice."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pinstall.model.names import normalized

if TYPE_CHECKING:
    from pinstall.environment import Environment


class Report:
    """The report that the first run of pip wrote at *path*; empty without a *path* or a readable report.

    pip writes it when it has resolved, so a run that has begun to install has written it.
    """

    def __init__(self, path: str | None) -> None:
        """Read the report before the second run overwrites it."""
        self._path = path or ""
        self._first = _installs(_read(self._path))

    def complete(self, environment: Environment) -> None:
        """Add to the report of the second run those distributions of the first report that the first run has installed.

        The second run does not report them, because it finds them there. They are those that the *environment* has in the
        version of the first report. Does nothing if the second report is missing or unreadable, and ignores an `OSError`.
        """
        document = _read(self._path)
        second = {_name(item) for item in _installs(document)}
        missing = [
            item
            for item in self._first
            if _name(item) not in second and environment.installed_version(_name(item)) == item["metadata"]["version"]
        ]
        if document and missing:
            document["install"] = [*missing, *_installs(document)]
            with suppress(OSError), open(self._path, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2, ensure_ascii=False)


def _name(item: dict[str, Any]) -> str:
    return normalized(item["metadata"]["name"])


def _installs(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in document.get("install", ()) if {"name", "version"} <= item.get("metadata", {}).keys()]


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
