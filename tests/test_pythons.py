"""Environments of other Pythons, served by --python or by a pinstall that is installed apart, are checked as our own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinstall.environment import Environment
from tests.lab import NEWEST, flip
from tests.packages import extension, sdist, wheel

if TYPE_CHECKING:
    from tests.index import Index
    from tests.lab import Environment as Made
    from tests.lab import Lab, Result

_NAMES = ("3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "pypy")
# Of those that our own packaging does not know, one for each test; an implementation of another name, and the newest.
_SOME, _OLD = ("3.7", "3.9", "3.13", "pypy"), ("3.8",)
_PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
# The oldest pip, or the oldest that runs there.
_PIPS = {"3.7": "23.0.1", "3.12": "24.3.1", "3.13": "24.3.1"}
_JUDGE = """
import json, sys
from pip._internal.utils.compatibility_tags import get_supported
from pip._vendor.packaging.markers import default_environment
from pip._vendor.packaging.tags import interpreter_name, interpreter_version
print(json.dumps([interpreter_name(), interpreter_version(), list(map(str, get_supported())), dict(default_environment())]))
"""


@cache
def _found(name: str) -> str | None:
    """Return the interpreter of this version; None if this machine has none."""
    places = [*_PYENV.glob(f"versions/{name}.*/bin/python"), shutil.which("pypy3" if name == "pypy" else f"python{name}") or ""]
    version = "import sys; print('pypy' if sys.implementation.name == 'pypy' else '%d.%d' % sys.version_info[:2])"
    for python in filter(None, map(str, places)):
        done = subprocess.run([python, "-c", version], capture_output=True, text=True, check=False)
        if done.stdout.strip() == name:
            return python
    return None


def _environment(lab: Lab, name: str, pip: str = "") -> str:
    """Make an environment of this Python, with this *pip* or with none; return its interpreter."""
    python = _found(name)
    if python is None:
        pytest.skip(f"there is no Python {name} here")
    folder = lab.root / f"python-{name}"
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    # A folder that is left empty some pips remove with what they uninstall.
    (_site(folder) / "lab.pth").write_text(f"{lab.pips / pip}\n" if pip else "")
    return str(folder / "bin" / "python")


def _site(folder: Path) -> Path:
    (site,) = {path.resolve() for path in folder.glob("lib*/**/site-packages")}
    return site


def _server(lab: Lab, name: str) -> Made:
    """Make an environment of ours whose pip can serve this Python."""
    return lab.environment("23.3.2" if name == "3.7" else "24.3.1")


def _content(lab: Lab, python: str) -> str:
    return lab.run([python, "-c", "import demo; print(demo.CONTENT)"]).out.strip()


def _serve(lab: Lab, ours: Made, python: str, *words: str | Path) -> Result:
    return lab.pinstall(ours, "--python", python, *words)


def _fill(lab: Lab, ours: Made, python: str, *words: str | Path) -> None:
    done = lab.run([ours.pip, "--python", python, "install", *words])
    assert done.status == 0, done
    assert lab.run([ours.pip, "--python", python, "uninstall", "-y", "-q", "demo"]).status == 0


@pytest.fixture
def index(lab: Lab) -> Index:
    made = lab.index()
    lab.environ["PIP_INDEX_URL"] = made.url
    return made


@pytest.mark.parametrize("name", _OLD)
def test_a_damaged_download_under_a_hash(lab: Lab, index: Index, name: str) -> None:
    python, ours = _environment(lab, name), _server(lab, name)
    file = wheel(index.root, "demo", "1.0", padding=20_000)
    requirements = lab.root / "requirements.txt"
    requirements.write_text(f"demo==1.0 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n")
    _fill(lab, ours, python, "-r", requirements)
    flip(lab.bodies()[0])
    done = _serve(lab, ours, python, "-r", requirements)
    assert (done.status, len(done.said)) == (0, 1), done
    assert done.said[0].startswith("removed demo-1.0-py3-none-any.whl from pip's cache: its hash is ")
    assert _content(lab, python) == "1.0"


@pytest.mark.parametrize("name", _SOME)
def test_a_damaged_wheel_for_this_python_alone(lab: Lab, index: Index, name: str) -> None:
    """No index states its hash: pip would install it."""
    python, ours = _environment(lab, name), _server(lab, name)
    best = Environment(python, Environment(ours.python)).tags[0]
    wheel(index.root, "demo", "1.0", tag=best, padding=20_000)
    index.hashes = ()
    _fill(lab, ours, python, "demo==1.0")
    flip(lab.bodies()[0])
    done = _serve(lab, ours, python, "demo==1.0")
    assert (done.status, len(done.said)) == (0, 1), done
    assert done.said[0].startswith(
        f"removed demo-1.0-{best}.whl from pip's cache: it is not a readable wheel: it is cut off or damaged (damaged)"
    )
    assert _content(lab, python) == "1.0"


@pytest.mark.parametrize(("name", "compiled"), [*((name, False) for name in _SOME), *((name, True) for name in _OLD)])
def test_a_damaged_built_wheel(lab: Lab, index: Index, name: str, compiled: bool) -> None:
    """pip ends with status 2 on it, each time."""
    python, ours = _environment(lab, name), _server(lab, name)
    (extension if compiled else sdist)(index.root, "demo", "1.0")
    _fill(lab, ours, python, "demo==1.0")
    (built,) = lab.wheels()
    built.write_bytes(built.read_bytes()[:200])
    done = _serve(lab, ours, python, "demo==1.0")
    assert (done.status, len(done.said)) == (0, 1), done
    assert done.said[0].startswith(f"removed {built.name} (built wheel) from pip's cache: ")
    assert _content(lab, python) == ("plain" if compiled else "1.0")


@pytest.mark.parametrize("name", _OLD)
def test_builds_for_two_sets_of_flags(lab: Lab, index: Index, name: str) -> None:
    """The key of a built wheel is the one that pip makes: it is found again, and used where it fits alone."""
    python, ours = _environment(lab, name), _server(lab, name)
    extension(index.root, "demo", "1.0")
    log = lab.root / "log"
    lab.environ["build_log"] = str(log)
    for content in ("one", "two", "one", "two"):
        done = lab.pinstall(ours, "--python", python, "--force-reinstall", "demo==1.0", DEMO_CONTENT=content)
        assert (done.status, _content(lab, python)) == (0, content), done
    assert log.read_text().split() == ["demo", "demo"]


@pytest.mark.parametrize("name", [*_OLD, "pypy"])
@pytest.mark.parametrize("with_pip", [True, False], ids=["own-pip", "no-pip"])
def test_an_active_environment_beside_a_pinstall_of_its_own(lab: Lab, index: Index, name: str, with_pip: bool) -> None:
    python, ours = _environment(lab, name, _PIPS.get(name, "23.0.1") if with_pip else ""), _server(lab, name)
    (ours.folder / "pipx_metadata.json").write_text("{}")
    sdist(index.root, "demo", "1.0")
    active = str(Path(python).parent.parent)
    assert lab.pinstall(ours, "demo==1.0", VIRTUAL_ENV=active).status == 0
    (built,) = lab.wheels()
    built.write_bytes(built.read_bytes()[:200])
    done = lab.pinstall(ours, "--force-reinstall", "demo==1.0", VIRTUAL_ENV=active)
    assert (done.status, _content(lab, python)) == (0, "1.0"), done
    assert done.said[0].startswith(f"removed {built.name} (built wheel) from pip's cache: ")


@pytest.mark.parametrize("name", _OLD)
def test_the_pip_that_an_old_python_brings_itself(lab: Lab, index: Index, name: str) -> None:
    python, ours = _environment(lab, name), lab.environment()
    assert lab.run([python, "-m", "ensurepip"]).status == 0
    (ours.folder / "uv-receipt.toml").touch()
    wheel(index.root, "demo", "1.0", padding=20_000)
    assert lab.run([python, "-m", "pip", "install", "-q", "demo==1.0"]).status == 0
    flip(next(path for path in lab.cache.glob("http*/**/*") if path.is_file() and path.stat().st_size > 20_000))
    done = lab.pinstall(ours, "--force-reinstall", "demo==1.0", VIRTUAL_ENV=str(Path(python).parent.parent))
    assert (done.status, len(done.said), _content(lab, python)) == (0, 1, "1.0"), done


@pytest.mark.parametrize("name", _NAMES)
def test_an_interpreter_says_what_its_own_pip_says(lab: Lab, name: str) -> None:
    pip = _PIPS.get(name, "23.0.1")
    python = _environment(lab, name, pip)
    asked = Environment(python)
    interpreter, version, tags, markers = json.loads(lab.run([python, "-c", _JUDGE]).out)
    assert asked.interpreter == (interpreter, version)
    assert asked.tags == tuple(tags)
    assert asked.markers == markers
    assert ".".join(map(str, asked.pip_version or ())) == pip


@pytest.mark.parametrize("name", _NAMES)
def test_an_interpreter_says_what_the_pip_that_serves_it_says(lab: Lab, name: str) -> None:
    python, ours = _environment(lab, name), _server(lab, name)
    asked = Environment(python, Environment(ours.python))
    says = lab.run([python, "-c", _JUDGE], PYTHONPATH=str(lab.pips / ("23.3.2" if name == "3.7" else "24.3.1")))
    interpreter, version, tags, markers = json.loads(says.out)
    assert asked.interpreter == (interpreter, version)
    assert asked.tags == tuple(tags)
    assert asked.markers == markers


def test_a_python_that_prints_what_nobody_asked_for(lab: Lab) -> None:
    made = lab.environment()
    (site,) = made.folder.glob("lib/python*/site-packages")
    (site / "sitecustomize.py").write_text("print('hello')")
    assert Environment(made.python).pip_version


def _untold(lab: Lab, code: str) -> tuple[Made, str]:
    """Make an environment in which *code* runs before pinstall's questions, and one of ours that is to serve it."""
    python, ours = _environment(lab, "3.8"), _server(lab, "3.8")
    (_site(Path(python).parent.parent) / "sitecustomize.py").write_text(code)
    return ours, python


# To pip the packaging that it brings has another name.
_WITHOUT_PACKAGING = "import sys; sys.modules['packaging'] = None"


def test_an_interpreter_whose_tags_cannot_be_told_is_not_checked_and_said_to_be(lab: Lab, index: Index) -> None:
    ours, python = _untold(lab, _WITHOUT_PACKAGING)
    sdist(index.root, "demo", "1.0")
    why = f"the pip for {python} is broken (its packaging library fails with ModuleNotFoundError); reinstall that pip"
    says = f"this install was not checked: {why}"
    done = _serve(lab, ours, python, "demo==1.0")
    assert (done.status, done.said, _content(lab, python)) == (0, [says], "1.0")
    assert _serve(lab, ours, python, "demo==1.0").said == []  # it is installed: there is nothing to check
    assert _serve(lab, ours, python, "--force-reinstall", "--no-cache-dir", "demo==1.0").said == []
    assert _serve(lab, ours, python, "--force-reinstall", "-qq", "demo==1.0").said == []
    assert _serve(lab, ours, python, "--help").said == []
    (built,) = lab.wheels()
    built.write_bytes(built.read_bytes()[:200])
    done = _serve(lab, ours, python, "--force-reinstall", "demo==1.0")
    assert (done.status in (1, 2), done.said) == (True, [says])
    assert built.exists()


def test_an_interpreter_whose_tags_cannot_be_told_is_given_no_cause_of_a_failure(lab: Lab, index: Index) -> None:
    """pip refuses the wheel, but pinstall cannot know why."""
    ours, python = _untold(lab, _WITHOUT_PACKAGING)
    wheel(index.root, "demo", "1.0", tag="cp39-cp39-win_amd64")
    done = _serve(lab, ours, python, "demo==1.0")
    (said,) = done.said
    assert (done.status, said.startswith("this install was not checked: ")) == (1, True)


def test_an_interpreter_that_does_not_answer_is_said(lab: Lab, index: Index) -> None:
    ours, python = _untold(lab, "import atexit; atexit.register(print, 'bye')")
    wheel(index.root, "demo", "1.0")
    done = _serve(lab, ours, python, "demo==1.0")
    assert (done.status, done.said) == (
        0,
        [f"this install was not checked: {python} does not answer; check that this Python runs"],
    )


def test_a_pip_that_is_too_old_is_said(lab: Lab, index: Index) -> None:
    """Python 3.7 brings pip 22.0.4."""
    python, ours = _environment(lab, "3.7"), lab.environment()
    assert lab.run([python, "-m", "ensurepip"]).status == 0
    (ours.folder / "uv-receipt.toml").touch()
    wheel(index.root, "demo", "1.0")
    active = str(Path(python).parent.parent)
    done = lab.pinstall(ours, "demo==1.0", VIRTUAL_ENV=active)
    (said,) = done.said
    assert (done.status, _content(lab, python)) == (0, "1.0")
    assert said.startswith("this install was not checked: pip 22.")
    assert "pinstall does not know its cache format; upgrade it with '" in said
    assert lab.pinstall(ours, "demo==1.0", VIRTUAL_ENV=active).said == []


def test_a_pip_without_metadata_is_said(lab: Lab, index: Index) -> None:
    made = lab.environment()
    (lab.root / "bare").mkdir()
    (lab.root / "bare" / "pip").symlink_to(lab.pips / NEWEST / "pip")
    pth = _site(made.folder) / "lab.pth"
    pth.write_text(pth.read_text().replace(str(lab.pips / NEWEST), str(lab.root / "bare")))
    wheel(index.root, "demo", "1.0")
    done = lab.pinstall(made, "demo==1.0")
    assert (done.status, made.installed("demo")) == (0, "1.0 1.0")
    why = f"the version of the pip of {made.python} is unknown, because it has no metadata; reinstall that pip"
    assert done.said == [f"this install was not checked: {why}"]
    listed = lab.cache_tool(made, "dir")
    assert (listed.status, listed.out) == (0, f"{lab.cache}\n"), listed
