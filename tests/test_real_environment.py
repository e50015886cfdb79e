"""pinstall installed as users install it, in an environment whose own packages its calls replace. Needs the registry."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab import NEWEST, Result, flip
from tests.packages import wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.lab import Lab

_ROOT = Path(__file__).parent.parent


class Real:
    """An environment with pinstall and all that it needs, installed from wheels."""

    def __init__(self, folder: Path, registry: dict[str, str]) -> None:
        self.folder = folder
        # One cache for what the registry gives, that of the test environment: it is no user's.
        cache = {"PIP_CACHE_DIR": str(_ROOT / ".venv-test" / "registry-cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        self._environ = {"PATH": os.environ["PATH"], **registry, **cache}
        self.python = str(folder / "venv" / "bin" / "python")
        self.pinstall = str(folder / "venv" / "bin" / "pinstall")
        self.must([sys.executable, "-m", "venv", str(folder / "venv")])
        self.must([self.python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(_ROOT)])
        (self.wheel,) = map(str, folder.glob("*.whl"))
        self.must([self.python, "-m", "pip", "install", "-q", f"pip=={NEWEST}", self.wheel])

    def must(self, command: Sequence[str]) -> Result:
        """Run a command with the registry at hand; nothing may go wrong, and pinstall has nothing to say."""
        done = subprocess.run(command, cwd=self.folder, env=self._environ, capture_output=True, text=True, check=False)
        result = Result(done.returncode, done.stdout, done.stderr)
        assert (result.status, result.said) == (0, []), result
        assert "Traceback" not in result.err
        return result

    def version(self, project: str) -> str:
        code = f"from importlib.metadata import version; print(version({project!r}))"
        return self.must([self.python, "-c", code]).out.strip()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, registry: dict[str, str]) -> Real:
    return Real(tmp_path_factory.mktemp("real"), registry)


def _evict(lab: Lab, real: Real) -> Result:
    """Let pinstall do what needs all of its packages: evict a damaged download."""
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    for body in lab.bodies():
        flip(body)
    done = lab.run([real.pinstall, "-i", index.url, "--force-reinstall", "demo==1.0"])
    assert done.status == 0, done
    assert "Traceback" not in done.err
    return done


@pytest.mark.parametrize("pin", ["packaging==22.0", "pip==24.0"])
def test_what_is_pinned_replaces_ours_and_does_no_harm(lab: Lab, real: Real, pin: str) -> None:
    before = real.version(pin.partition("==")[0])
    real.must([real.pinstall, "--no-deps", pin])
    assert real.version(pin.partition("==")[0]) == pin.partition("==")[2]
    assert _evict(lab, real).said[0].startswith("removed demo-1.0-py3-none-any.whl from pip's cache: ")
    real.must([real.pinstall, "--no-deps", f"{pin.partition('==')[0]}=={before}"])


def test_what_is_pinned_breaks_ours_and_the_next_call_says_what_mends_it(lab: Lab, real: Real) -> None:
    real.must([real.pinstall, "--no-deps", "filelock==3.0.12"])
    assert real.version("filelock") == "3.0.12"
    (line,) = _evict(lab, real).said
    told, _, command = line.partition(
        "; pinstall's own dependencies are missing or have a wrong version; to repair them, run: "
    )
    assert told == "internal error (TypeError): running pip with --no-cache-dir"
    real.must(shlex.split(command))
    assert _evict(lab, real).said[0].startswith("removed demo-1.0-py3-none-any.whl from pip's cache: ")


def test_a_package_of_ours_that_is_not_there(lab: Lab, real: Real) -> None:
    real.must([real.python, "-m", "pip", "uninstall", "-q", "-y", "msgpack"])
    (line,) = _evict(lab, real).said
    told, _, command = line.partition(
        "; pinstall's own dependencies are missing or have a wrong version; to repair them, run: "
    )
    assert told == "internal error (ModuleNotFoundError): running pip with --no-cache-dir"
    tool = lab.run([real.pinstall + "-cache", "verify"])
    assert (tool.status, tool.err.strip().endswith(command)) == (1, True), tool
    real.must(shlex.split(command))
    assert _evict(lab, real).said[0].startswith("removed demo-1.0-py3-none-any.whl from pip's cache: ")


def test_pinstall_replaces_itself(lab: Lab, real: Real) -> None:
    real.must([real.pinstall, "--no-deps", "--force-reinstall", real.wheel])
    assert _evict(lab, real).said[0].startswith("removed demo-1.0-py3-none-any.whl from pip's cache: ")
