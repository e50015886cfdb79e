"""The recipes of docs/shells.md for tox, nox and pre-commit, run by these over a cache with a flipped bit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab import flip
from tests.packages import wheel

if TYPE_CHECKING:
    from tests.index import Index
    from tests.lab import Environment, Lab

_DOCUMENT = (Path(__file__).parent.parent / "docs" / "shells.md").read_text(encoding="utf-8")


def _recipe(heading: str) -> str:
    section = _DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(block)


def _fill(lab: Lab, index: Index) -> None:
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")


@pytest.fixture
def environment(lab: Lab) -> Environment:
    """The environment of the standalone pinstall, in a world whose cached demo 1.0 is damaged."""
    lab.environ["PIP_INDEX_URL"] = lab.seeded(_fill).url
    flip(lab.bodies()[0])
    (lab.root / "requirements.txt").write_text("demo==1.0\n")
    return lab.environment()


def _run(lab: Lab, environment: Environment, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    if find_spec(module) is None:
        pytest.skip(f"there is no {module} here")
    if module == "tox" and find_spec("packaging.pylock") is None:
        pytest.skip("tox takes a newer packaging")
    path = os.pathsep.join([str(environment.folder / "bin"), os.path.dirname(sys.executable), "/usr/bin", "/bin"])
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=lab.root,
        env={**lab.environ, "PATH": path, "PYTHONNOUSERSITE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("module", "file", "words"), [("tox", "tox.ini", ["-v"]), ("nox", "noxfile.py", [])])
def test_sessions(lab: Lab, environment: Environment, module: str, file: str, words: list[str]) -> None:
    (lab.root / file).write_text(_recipe(module))
    done = _run(lab, environment, module, *words)
    assert done.returncode == 0, done.stdout
    site = f".{module}/*/lib/python*/site-packages/demo-1.0.dist-info"
    assert len(list(lab.root.glob(site))) == 1, done.stdout
    assert lab.cache_tool(environment, "verify").status == 0, "it was healed"


def test_pre_commit(lab: Lab, environment: Environment) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("there is no git here")
    (lab.root / ".pre-commit-config.yaml").write_text(_recipe("pre-commit"))
    for words in (["init", "-q"], ["add", "requirements.txt", ".pre-commit-config.yaml"]):
        subprocess.run([git, *words], cwd=lab.root, env=lab.environ, check=True)
    bad = _run(lab, environment, "pre_commit", "run")
    assert bad.returncode == 1
    assert "pinstall removes it: its hash is" in bad.stdout
    lab.pinstall(environment, "demo==1.0")
    good = _run(lab, environment, "pre_commit", "run")
    assert good.returncode == 0, good.stdout
