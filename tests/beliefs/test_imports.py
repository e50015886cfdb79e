"""pinstall imports modules before it forks pip off. pip imports all of them anyway, so that none is imported in vain."""

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
def test_pip_imports_all_shared_modules(pips: Path, pip: str) -> None:
    code = "import sys, pip._internal.commands.install; print(*sys.modules)"
    environ = {"PYTHONPATH": str(pips / pip)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert set(SHARED) <= set(done.stdout.split())
