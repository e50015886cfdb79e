"""Tidy: beside a pin only what is pinned has a place; other versions go to the store, and come back when they are pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall.checks import candidates
from pinstall.inspection import integrity
from pinstall.pip_cache import http_entries
from pinstall.storage import actions, lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.model.pins import Pin
    from pinstall.pip_cache.http_entries import Entry, FileStamp
    from pinstall.pip_cache.locator import Cache


class OtherVersion(NamedTuple):
    """An entry of another version; ``identity`` is a built wheel's digest, by which the store keeps it."""

    pin: Pin
    entry: Entry
    stamp: FileStamp
    identity: str


def find(cache: Cache, pin: Pin) -> list[OtherVersion]:
    """Find the entries of other versions of what *pin* pins; before the lock, because builds are hashed."""
    return list(_find(cache, pin))


def _find(cache: Cache, pin: Pin) -> Iterator[OtherVersion]:
    for entry in candidates.other_versions(cache, pin):
        stamp = http_entries.stamp(entry.content)
        if stamp is None or (entry.kind == "built" and actions.is_left(cache.root, entry)):
            continue
        try:
            identity = _digest(entry) if entry.kind == "built" else ""
        except OSError:
            continue
        yield OtherVersion(pin, entry, stamp, identity)


def _digest(entry: Entry) -> str:
    with http_entries.open_content(entry) as file:
        return integrity.digests(file, ["sha256"])["sha256"]


def put_away(root: str, found: Iterable[OtherVersion]) -> dict[Pin, list[str]]:
    """Set aside what was found, under the lock; return the names of what went, by its pin.

    Nothing is moved while another pinstall is under way: its pip may have read where a built wheel lies.
    """
    if lock.live_calls(root):
        return {}
    moved: dict[Pin, list[str]] = {}
    for untidy in found:
        try:
            act = actions.leave if untidy.entry.kind == "built" else actions.set_aside
            if act(root, untidy.entry, untidy.stamp, untidy.identity):
                moved.setdefault(untidy.pin, []).append(untidy.entry.filename)
        except (actions.NotDoneError, actions.ChangedError):
            continue  # it does no harm where it is
    return moved
