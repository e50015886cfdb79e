"""The settings of pinstall: every ``PINSTALL_*`` variable that shapes a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall.invocation.pip_config import is_false
from pinstall.storage import lock, store

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(NamedTuple):
    """What a call may do.

    ``writes``: pinstall may write below pip's cache; not under PINSTALL_POLICY=report. ``keeps_versions``: other versions of a
    pinned project stay where they are. ``lock_timeout`` is in seconds, ``store_size`` in bytes.
    """

    writes: bool
    keeps_versions: bool
    lock_timeout: float
    store_size: int


def read(environ: Mapping[str, str]) -> Settings:
    """Read the settings; `messages.misread` tells which of them are invalid."""
    wanted = environ.get("PINSTALL_KEEP_VERSIONS", "")
    size = store.bound(environ)
    return Settings(
        # An unknown policy is treated as "report".
        writes=environ.get("PINSTALL_POLICY", "") in ("", "evict"),
        # A store that may keep nothing is no place for sound files.
        keeps_versions=bool(wanted and not is_false(wanted)) or size == 0,
        lock_timeout=lock.timeout(environ),
        store_size=size,
    )
