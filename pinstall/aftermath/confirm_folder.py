"""Check, after ``pip download`` or ``pip wheel`` has succeeded, that the files in its folder are those that were pinned."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinstall.aftermath.confirm import Discrepancy
from pinstall.inspection import integrity
from pinstall.messages import pinned
from pinstall.model import digest, links
from pinstall.pip_cache import entries
from pinstall.pip_cache.entries import LocalFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.invocation.invocation import Invocation
    from pinstall.model.pins import Pin

_FOLDERS = {"download": "download_dir", "wheel": "wheel_dir"}


def confirm(pins: Iterable[Pin], call: Invocation) -> list[Discrepancy]:
    """Compare the files in the folder of a *call* that succeeded with the *pins* of versions that it requests.

    A pin is contradicted if the folder has no file of its version (for ``pip wheel``, no wheel), or none with a pinned hash.
    Hashes count only for ``pip download``: a wheel that is built from a pinned file has another. A damaged file is told without
    a contradiction, because it may have been there before, or its index or backend may make it so; a file with a pinned hash
    counts as undamaged. Returns nothing for other commands. A file that cannot be read counts as right.
    """
    if call.command not in _FOLDERS or call.has("only_dependencies"):
        return []
    folder = os.path.realpath(os.path.expanduser(call.values.get(_FOLDERS[call.command]) or os.curdir))
    requested = [pin for pin in pins if pin.requested and not pin.derived and pin.has_version]
    return [found for pin in requested for found in _compared(pin, folder, exact=call.command == "download")]


def _compared(pin: Pin, folder: str, *, exact: bool) -> Iterator[Discrepancy]:
    files = [file for file in _files(pin, folder) if (_is_pinned(pin, file) if exact else file.filename.endswith(".whl"))]
    if not files:
        lacks = "has no file with a pinned hash" if exact and pin.hashes else "has no file of the pinned version"
        line = f"pip succeeded, but the folder {folder} {lacks}: repeat the command; for {pinned(pin)}"
        yield Discrepancy(pin, line, contradicts=True)
    if exact and digest.known(pin.hashes):
        return  # they are the pinned ones
    for file in files:
        try:
            with entries.open_content(file) as content:
                found = integrity.archive(content, file.filename)
        except OSError:  # somebody's file with the name of the pinned one
            continue
        if found.fault:
            advice = "delete it and repeat the command; if the new file is damaged, too, report it to its project"
            line = f"pip succeeded, but {file.content_path} is damaged ({found.fault}): {advice}; for {pinned(pin)}"
            yield Discrepancy(pin, line, contradicts=False)


def _files(pin: Pin, folder: str) -> Iterator[LocalFile]:
    for name in entries.names(folder):
        label = links.parse_filename(name, pin.project)
        path = os.path.join(folder, name)
        if label and pin.admits(label.version) and entries.stamp(path) is not None:
            yield LocalFile("", path, name)


def _is_pinned(pin: Pin, file: LocalFile) -> bool:
    """Return whether a file has one of the pinned hashes; True if there are none, or if the file cannot be read."""
    known = digest.known(pin.hashes)
    if not known:
        return True
    try:
        with entries.open_content(file) as content:
            found = integrity.digests(content, {d.algorithm for d in known})
    except OSError:
        return True
    return any(found[d.algorithm] == d.hex.lower() for d in known)
