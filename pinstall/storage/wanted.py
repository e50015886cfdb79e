"""Remember in one file which versions calls have pinned or installed lately: they stay when another call tidies pip's cache.

Without the file, pinstall sets the versions aside, and restores them when they are needed.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from pinstall.model import links
from pinstall.pip_cache.entries import stamp
from pinstall.storage.files import write_file
from pinstall.storage.folder import FOLDER, ensure_folder

if TYPE_CHECKING:
    from packaging.version import Version

_FORMAT = 1
_NAME = "wanted.json"
_LARGEST = 16 << 20  # characters
_DAY = 86_400
_LASTS = 30 * _DAY


class Wanted:
    """The wanted versions in one *cache* folder: those that calls have noted by `add` in the last 30 days."""

    def __init__(self, cache: str) -> None:
        self._cache, self._path = cache, os.path.join(cache, FOLDER, _NAME)
        self._known: dict[str, dict[str, int]] | None = None
        self._new: dict[str, dict[str, int]] = {}

    def has(self, project: str, version: Version) -> bool:
        """Return whether *version* of *project* (normalized) is wanted; a wanted ``1.0`` includes its local versions.

        The versions that `add` has noted count only once `write` has saved them.
        """
        limit = time.time() - _LASTS
        bare = links.parse_version(version.public)
        wanted = (links.parse_version(text) for text, at in self._load().get(project, {}).items() if at > limit)
        return any(found in (version, bare) for found in wanted if found is not None)

    def add(self, project: str, version: Version) -> None:
        """Note that this call wants *version* of *project* (normalized); `write` saves it.

        Does nothing if the file has a note of it that is at most a day old.
        """
        now, text = int(time.time()), str(version)
        if abs(now - self._load().get(project, {}).get(text, 0)) > _DAY:
            self._new.setdefault(project, {})[text] = now

    @property
    def has_changes(self) -> bool:
        """Whether there are unsaved changes."""
        return bool(self._new)

    def write(self) -> None:
        """Read the file again, so that `has` knows the notes of other calls, and save the changes in it, if there are any.

        Drops versions that no call has wanted for 30 days. The caller holds the lock. Raises `OSError`.
        """
        self._known = None
        known, limit = self._load(), time.time() - _LASTS
        if not self._new:
            return
        for project, versions in self._new.items():
            known[project] = {**known.get(project, {}), **versions}
        kept = {name: {text: at for text, at in found.items() if at > limit} for name, found in known.items()}
        ensure_folder(self._cache)
        document = {"format": _FORMAT, "wanted": {name: found for name, found in kept.items() if found}}
        write_file(self._cache, self._path, json.dumps(document))
        self._new = {}

    def _load(self) -> dict[str, dict[str, int]]:
        if self._known is None:
            self._known = _read(self._path)
        return self._known


def _read(path: str) -> dict[str, dict[str, int]]:
    """Return the time (seconds since the epoch) of each version by project.

    Nothing if the file is missing, cannot be read, has another format, or anything in it is damaged.
    """
    if stamp(path) is None:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            document = json.loads(file.read(_LARGEST))
        found = document["wanted"] if document["format"] == _FORMAT else {}
        return {name: {text: int(at) for text, at in versions.items()} for name, versions in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return {}
