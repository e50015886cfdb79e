"""Find out whether a disk is full."""

from __future__ import annotations

import os
from contextlib import suppress

# Bytes. With less, pip can hardly unpack a package.
_LITTLE = 1 << 20


def is_full(folder: str) -> bool:
    """Return whether the disk of *folder* has less than 1 MiB free, or no free inode.

    False for a read-only disk, and if that cannot be found out.
    """
    if not hasattr(os, "statvfs"):  # pragma: no cover (Windows)
        import shutil

        with suppress(OSError):
            return shutil.disk_usage(folder).free < _LITTLE
        return False
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    # A read-only disk does not count as full, and some file systems count neither blocks nor inodes.
    if found.f_flag & os.ST_RDONLY:
        return False
    # File systems reserve some blocks for root.
    blocks = found.f_bavail if os.geteuid() else found.f_bfree
    return (found.f_blocks > 0 and blocks * found.f_frsize < _LITTLE) or (found.f_files > 0 and found.f_ffree == 0)
