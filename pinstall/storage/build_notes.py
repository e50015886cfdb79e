"""Read and remove the notes on builds that the runner of build steps, `pinstall.build_watch`, takes while pip runs.

watch/<call>/run.py                     a copy of the runner
watch/<call>/<process>-<random>.notes   the notes on one build step, a line each
"""

from __future__ import annotations

import ast
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.pip_cache import entries
from pinstall.storage.folder import FOLDER, ensure_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_FOLDER = "watch"
_ENDING = ".notes"
_LARGEST = 4 << 20

Note = tuple[object, ...]


class WatchedBuild(NamedTuple):
    """The notes on all steps of one build, in no particular order, and the SHA-256 of each wheel that it made, by file name."""

    wheels: Mapping[str, str]
    notes: tuple[Note, ...]


def folder(cache: str, name: str) -> str:
    """Return the folder for the notes on the builds of the call *name*; pip's process makes it when the first build begins."""
    return os.path.join(cache, FOLDER, _FOLDER, name)


def read(path: str) -> list[WatchedBuild]:
    """Return the builds on which there are notes in the `folder` at *path*; an empty list without any. Skips unreadable notes.

    Steps that ran in the same folder, that of the source, belong to one build.
    """
    steps: dict[object, list[Note]] = {}
    for name in sorted(entries.names(path)):
        if name.endswith(_ENDING):
            notes = _notes(os.path.join(path, name))
            if notes and len(notes[0]) == 4 and notes[0][:2] == ("step", 1):
                steps.setdefault(notes[0][2], []).extend(notes)
    return [WatchedBuild({str(name): str(sha256) for name, sha256 in _wheels(notes)}, tuple(notes)) for notes in steps.values()]


def _wheels(notes: Iterable[Note]) -> Iterator[tuple[object, object]]:
    yield from (note[1:] for note in notes if note[0] == "wheel" and len(note) == 3)


def _notes(path: str) -> list[Note]:
    found: list[Note] = []
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            lines = file.read(_LARGEST).splitlines()
    except OSError:
        return []
    for line in lines:
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):  # cut when the disk was full
            note = ast.literal_eval(line)
            if isinstance(note, tuple) and note:
                found.append(note)
    return found


def remove(path: str) -> None:
    """Remove the `folder` of notes at *path*; do nothing if *path* is "". Ignores an `OSError`."""
    import shutil

    if path:
        shutil.rmtree(path, ignore_errors=True)


def names(cache: str) -> list[str]:
    """Return the names of the calls that have notes, also those of killed ones."""
    return entries.names(os.path.join(cache, FOLDER, _FOLDER))


def sweep(cache: str, live_calls: Collection[str]) -> None:
    """Remove the notes of all calls but *live_calls*, which are names; the caller holds the lock. Raises `OSError`."""
    found = names(cache)
    if found:
        ensure_folder(cache, _FOLDER)  # raises if a symbolic link is in the way
    for name in found:
        if name not in live_calls:
            remove(folder(cache, name))
