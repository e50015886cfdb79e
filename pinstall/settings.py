"""The settings of pinstall: every ``PINSTALL_*`` variable that shapes a call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pinstall.invocation.pip_config import is_false
from pinstall.storage import lock, store

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(NamedTuple):
    """The permissions and limits of a call.

    ``writes`` is False if pinstall must not write to pip's cache, as under PINSTALL_POLICY=report. ``keeps_versions`` is True
    if other versions of a pinned project stay in pip's cache. ``watches_builds`` is False if builds run
    without the runner. ``shares`` is True if the call uses a shared store. ``lock_timeout`` is in seconds, ``store_size`` in
    bytes.
    """

    writes: bool
    keeps_versions: bool
    watches_builds: bool
    shares: bool
    lock_timeout: float
    store_size: int


def read(environ: Mapping[str, str]) -> Settings:
    """Read the settings, with defaults for invalid ones, of which `messages.misread` warns."""
    wanted = environ.get("PINSTALL_KEEP_VERSIONS", "")
    size = store.bound(environ)
    return Settings(
        # An unknown policy is treated as "report".
        writes=environ.get("PINSTALL_POLICY", "") in ("", "evict"),
        # A store of size 0 would delete the sound files that are moved there.
        keeps_versions=bool(wanted and not is_false(wanted)) or size == 0,
        # The runner knows the paths of POSIX alone: on Windows it would take pip's temporary folders for parts of the system.
        watches_builds=os.name != "nt" and not is_false(environ.get("PINSTALL_WATCH_BUILDS") or "1"),
        shares=bool(environ.get("PINSTALL_SHARED_STORE", "").strip()),
        lock_timeout=lock.timeout(environ),
        store_size=size,
    )
