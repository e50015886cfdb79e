"""Progress bars on the terminal for work that takes longer than a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tqdm import tqdm

# Any disk that people install from reads a smaller file within a second.
_LARGE = 64 << 20
_PATIENCE = 1.0


def shown(file: BinaryIO, size: int, name: str) -> AbstractContextManager[BinaryIO]:
    """Wrap *file*, of *size* bytes, so that reading it shows a bar with its *name*: after a second, and only on a terminal."""
    if size < _LARGE:
        return file
    from tqdm import tqdm

    # disable=None: no bar if standard error is not a terminal.
    wrapped = tqdm.wrapattr(
        file,
        "read",
        total=size,
        desc=f"pinstall: proving {name}",
        delay=_PATIENCE,
        disable=None,
        leave=False,
        unit_divisor=1024,
    )
    return cast("AbstractContextManager[BinaryIO]", wrapped)


def bar(size: int) -> AbstractContextManager[tqdm[NoReturn]]:
    """Return a progress bar for *size* bytes to verify, visible only on a terminal. Its method `update` advances it."""
    from tqdm import tqdm

    desc = "pinstall-cache: proving"
    return tqdm(total=size, desc=desc, unit="B", unit_scale=True, unit_divisor=1024, delay=_PATIENCE, disable=None, leave=False)
