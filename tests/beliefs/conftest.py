"""Fixtures that ask pip's own code how pip reads its input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.beliefs.calls import Sandbox
from tests.lab import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCRIPT = Path(__file__).parent / "judge.py"


class Judge:
    """One version of pip, running in its own process."""

    def __init__(self, version: str, folder: Path, home: Path) -> None:
        self.name = version
        self.reason = ""
        self.version = tuple(int(part) for part in version.split("."))
        environ = {"HOME": str(home), "PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_SCRIPT), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            text=True,
        )

    def ask(self, question: str, **arguments: Any) -> Any:
        """Return pip's answer; None if pip refused, whose error is then in ``reason``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"ask": question, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the judge of pip {self.name} died of {question} {arguments}"
        reply = json.loads(line)
        self.reason = reply.get("refused", "")
        return reply.get("answer")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture(scope="session")
def judges(pips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Judge]]:
    """Every version of pip, oldest first."""
    home = tmp_path_factory.mktemp("judges")
    made = [Judge(version, pips / version, home) for version in VERSIONS]
    yield made
    for judge in made:
        judge.close()


@pytest.fixture(scope="session", params=range(len(VERSIONS)), ids=VERSIONS)
def judge(judges: list[Judge], request: pytest.FixtureRequest) -> Judge:
    """Each version of pip in turn."""
    number: int = request.param
    return judges[number]


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which generated examples write their files, shared by all of them."""
    return tmp_path_factory.mktemp("scratch").resolve()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A sandbox of files for one call."""
    return Sandbox(tmp_path.resolve())
