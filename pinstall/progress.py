"""Progress: a bar on the terminal for what takes longer than a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

# Less than that is read within a second from any disk that one installs from.
_LARGE = 64 << 20
_PATIENCE = 1.0


def shown(file: BinaryIO, size: int, what: str) -> AbstractContextManager[BinaryIO]:
    """Return *file*, of *size* bytes, as one that shows how far it was read: after a second, and on a terminal alone."""
    if size < _LARGE:
        return file
    from tqdm import tqdm

    # disable=None: off where standard error is no terminal.
    wrapped = tqdm.wrapattr(
        file,
        "read",
        total=size,
        desc=f"pinstall: proving {what}",
        delay=_PATIENCE,
        disable=None,
        leave=False,
        unit_divisor=1024,
    )
    return cast("AbstractContextManager[BinaryIO]", wrapped)
