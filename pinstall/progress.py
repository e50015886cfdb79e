"""Progress: a bar on the terminal for what takes longer than a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tqdm import tqdm

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
        desc=f"pinstall: checking {what}",
        delay=_PATIENCE,
        disable=None,
        leave=False,
        unit_divisor=1024,
    )
    return cast("AbstractContextManager[BinaryIO]", wrapped)


def bar(size: int) -> AbstractContextManager[tqdm[NoReturn]]:
    """Return a bar for *size* bytes that are to be proven, on a terminal alone; `update` it."""
    from tqdm import tqdm

    desc = "pinstall-cache: checking"
    return tqdm(total=size, desc=desc, unit="B", unit_scale=True, unit_divisor=1024, delay=_PATIENCE, disable=None, leave=False)
