"""What takes long is seen on a terminal, and nowhere else."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pinstall import terminal

if TYPE_CHECKING:
    import pytest

# Reads a file of so many bytes, slowly, with a bar.
_READ = """
import io, sys, time
from pinstall import terminal
class Slow(io.BytesIO):
    def read(self, size=-1):
        time.sleep(0.3)
        return super().read(size)
with terminal.shown(Slow(bytes(6000)), int(sys.argv[1]), "demo-1.0.whl") as file:
    while file.read(1000):
        pass
"""


# Proves so many bytes, slowly.
_PROVE = """
import sys, time
from pinstall import terminal
with terminal.bar(int(sys.argv[1])) as bar:
    for _ in range(6):
        time.sleep(0.3)
        bar.update(1000)
"""


def _on_a_terminal(size: int, script: str = _READ) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    environ = {**os.environ, "PYTHONPATH": str(Path(terminal.__file__).parent.parent), "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", script, str(size)], stderr=theirs, env=environ) as child:
        os.close(theirs)
        seen = b""
        while True:
            try:
                data = os.read(ours, 1024)
            except OSError:  # the end, on Linux
                data = b""
            if not data:
                break
            seen += data
    os.close(ours)
    assert child.returncode == 0
    return seen.decode()


def test_a_bar_for_a_whole_cache() -> None:
    seen = _on_a_terminal(6000, _PROVE)
    assert "pinstall-cache: checking" in seen
    assert seen.rstrip(" \r") != seen, "nothing is left of it"


def test_a_bar_on_a_terminal() -> None:
    seen = _on_a_terminal(100 << 20)
    assert "pinstall: checking demo-1.0.whl" in seen
    assert seen.rstrip(" \r") != seen, "nothing is left of it"


def test_none_for_what_is_small() -> None:
    assert _on_a_terminal(6000) == ""


def test_none_in_a_pipe() -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(terminal.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", _READ, str(100 << 20)], capture_output=True, env=environ, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_none_for_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its size."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    begun = time.monotonic()
    with terminal.shown(io.BytesIO(bytes(1000)), 100 << 20, "demo") as file:
        assert file.read() == bytes(1000)
    assert screen.getvalue().strip() == "" or time.monotonic() - begun > 1
