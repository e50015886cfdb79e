"""Forward: pip as a child process that inherits everything, whose exit status is ours. The standard library only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

COULD_NOT_START = 92


def pip(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run pip by *command* and wait for it.

    Returns its exit status; 128+n if signal n ended it, 92 if it could not be started.
    """
    try:
        # Descriptors that were given to us (``-r /dev/fd/63``) are pip's too; ours are not inheritable.
        child = subprocess.Popen(command, env=dict(environ), close_fds=False)
    except OSError as error:
        print(f"pinstall: pip could not be started by {command[0]}: {error.strerror}", file=sys.stderr)
        return COULD_NOT_START
    with _passing_signals_to(child):
        status = child.wait()
    return 128 - status if status < 0 else status


@contextmanager
def _passing_signals_to(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass on what is sent to us alone; what the terminal sends has reached the child already."""

    def pass_on(number: int, _frame: Any) -> None:
        if number != signal.SIGINT or not _in_foreground():
            child.send_signal(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # A signal that we were told to ignore (nohup) is ignored by the child as well.
    before = {number: signal.signal(number, pass_on) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Say whether the terminal's Ctrl-C reaches us and the child alike."""
    if sys.platform == "win32":  # pragma: no cover
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def without_cache(arguments: Sequence[str]) -> list[str]:
    """Return pip's *arguments* with ``--no-cache-dir`` where it has the last word: behind all options."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    return [*arguments[:end], "--no-cache-dir", *arguments[end:]]
