"""Space: whether a disk is full."""

from __future__ import annotations

import os
from contextlib import suppress

# With less, in bytes, hardly a package can be unpacked.
_LITTLE = 1 << 20


def is_full(folder: str) -> bool:
    """Say whether the disk of *folder* has no room for a package, or for one more file."""
    if not hasattr(os, "statvfs"):  # pragma: no cover (Windows)
        import shutil

        with suppress(OSError):
            return shutil.disk_usage(folder).free < _LITTLE
        return False
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    # What cannot be written to is not full, and some file systems count neither blocks nor files.
    if found.f_flag & os.ST_RDONLY:
        return False
    # Some blocks are root's alone.
    blocks = found.f_bavail if os.geteuid() else found.f_bfree
    return (found.f_blocks > 0 and blocks * found.f_frsize < _LITTLE) or (found.f_files > 0 and found.f_ffree == 0)
