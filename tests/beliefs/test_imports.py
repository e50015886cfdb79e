"""What is loaded before pip is forked off is loaded by pip anyway: nothing is added to it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pinstall.pip_process import SHARED
from tests.lab import VERSIONS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("pip", VERSIONS)
def test_pip_imports_what_is_shared(pips: Path, pip: str) -> None:
    code = "import sys, pip._internal.commands.install; print(*sys.modules)"
    environ = {"PYTHONPATH": str(pips / pip)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert set(SHARED) <= set(done.stdout.split())
