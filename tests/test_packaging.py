"""What is published: an sdist made of the checkout, a wheel made of that, and the commands that come with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

import pinstall
from tests.lab import NEWEST, flip
from tests.packages import wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.lab import Lab

_ROOT = Path(__file__).parent.parent
_SDIST = "import sys; from flit_core.buildapi import build_sdist; build_sdist(sys.argv[1])"


def _must(command: Sequence[str | Path], environ: dict[str, str], folder: Path) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done


@pytest.fixture(scope="module")
def tools(registry: dict[str, str]) -> Path:
    """The folder of an environment with what builds and installs packages, made once: flit-core, uv and pipx."""
    # Its wheels are for the Python that runs the tests.
    folder = _ROOT / ".venv-test" / f"tools-{sys.version_info.major}.{sys.version_info.minor}"
    needed = (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ready = folder / "ready"
    with FileLock(_ROOT / ".venv-test" / "tools.lock"):
        if not ready.exists() or ready.read_text(encoding="utf-8") != needed:
            environ = {"PATH": os.environ["PATH"], **registry, "PIP_NO_CACHE_DIR": "1"}
            _must([sys.executable, "-m", "venv", folder], environ, _ROOT)
            pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip"]
            _must([*pip, "install", "-q", "flit-core<5"], environ, _ROOT)
            # There is no uv for some systems.
            subprocess.run([*map(str, pip), "install", "-q", "uv", "pipx"], env=environ, capture_output=True, check=False)
            # What the tools are to install with ours, for they have settings of their own for where the registry is.
            _must([*pip, "wheel", "-q", "-w", folder / "wheels", "flit-core<5", f"pip=={NEWEST}", _ROOT], environ, _ROOT)
            for own in (folder / "wheels").glob("pip_pinstall-*"):
                own.unlink()
            ready.write_text(needed, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def published(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An sdist of the checkout, and a wheel of the sdist."""
    folder = tmp_path_factory.mktemp("published")
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PIP_NO_CACHE_DIR": "1", "PIP_CONFIG_FILE": os.devnull}
    python = tools / "bin" / "python"
    _must([python, "-c", _SDIST, folder], environ, _ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    _must([python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", sdist], environ, folder)
    (made,) = folder.glob("*.whl")
    return sdist, made


def _tracked(*folders: str) -> set[str]:
    """Return the files of the checkout in *folders*, without what tests and tools leave there."""
    found = (path for folder in folders for path in (_ROOT / folder).rglob("*") if path.is_file())
    return {path.relative_to(_ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_sdist_has_what_is_needed_to_build_to_read_and_to_test(published: tuple[Path, Path]) -> None:
    with tarfile.open(published[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    texts = {path.name for path in _ROOT.glob("*.md")} | {"LICENSE", "pyproject.toml"}
    assert names - {"PKG-INFO"} == texts | _tracked("pinstall", "docs", "tests", "scripts")


def test_the_wheel_has_the_package_whole_and_nothing_else(published: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(published[1]) as archive:
        names = set(archive.namelist())
    assert {name for name in names if ".dist-info/" not in name} == _tracked("pinstall")
    assert "pinstall/py.typed" in names


def test_what_was_installed_from_the_wheel(lab: Lab, published: tuple[Path, Path], pips: Path) -> None:
    folder = lab.root / "apart"
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    # What it needs, without the checkout: a .pth file of another site-packages is not read.
    (site / "needed.pth").write_text(f"{pips / NEWEST}\n{sysconfig.get_path('purelib')}\n")
    python, ours = folder / "bin" / "python", folder / "bin" / "pinstall"
    assert lab.run([python, "-m", "pip", "install", "--no-deps", "--no-index", published[1]]).status == 0
    done = lab.run([ours, "--version"])
    assert done.out.startswith(f"pinstall {pinstall.__version__} from {site / 'pinstall'}\npip {NEWEST} from ")
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    flip(lab.bodies()[0])
    done = lab.run([ours, "-i", index.url, "demo==1.0"])
    assert (done.status, [line.partition(" sha256:")[0] for line in done.said]) == (
        0,
        ["removed demo-1.0-py3-none-any.whl from pip's cache: its hash is"],
    )
    assert (site / "demo.py").exists()
    tool = folder / "bin" / "pinstall-cache"
    assert lab.run([tool, "dir"]).out == f"{lab.cache}\n"
    assert "pinstall" in lab.run([tool, "completion", "bash"]).out


def test_a_foreign_pinstall_in_the_same_environment(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    environment = lab.environment()
    (site,) = environment.folder.glob("lib/python*/site-packages")
    (site / "pinstall-0.9.dist-info").mkdir()
    (site / "pinstall-0.9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pinstall\nVersion: 0.9\n")
    (said,) = lab.pinstall(environment, "-i", index.url, "demo==1.0").said
    assert said.startswith("another distribution, named pinstall, is installed in the same environment")
    assert "'pip uninstall pinstall pip-pinstall'" in said
    # It stands in nobody's way in an environment that is not ours.
    other = lab.environment()
    assert lab.pinstall(other, "--python", environment.python, "-i", index.url, "demo==1.0").said == []


def _uv(tools: Path, lab: Lab) -> Path:
    places = {"UV_TOOL_DIR": "uv", "UV_TOOL_BIN_DIR": "bin", "UV_CACHE_DIR": "uv-cache"}
    environ = {**lab.environ, **{name: str(lab.root / place) for name, place in places.items()}}
    words: list[str | Path] = [
        "tool",
        "install",
        "--no-index",
        "--find-links",
        tools / "wheels",
        "--python",
        sys.executable,
        _ROOT,
    ]
    _must([tools / "bin" / "uv", *words], environ, lab.root)
    return lab.root / "bin" / "pinstall"


def _pipx(tools: Path, lab: Lab) -> Path:
    environ = {**lab.environ, "PIPX_HOME": str(lab.root / "pipx"), "PIPX_BIN_DIR": str(lab.root / "bin")}
    environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tools / "wheels"), "PIP_NO_CACHE_DIR": "1"}
    words: list[str | Path] = ["install", "--backend", "pip", "--python", sys.executable, _ROOT]
    _must([tools / "bin" / "pipx", *words], environ, lab.root)
    return lab.root / "bin" / "pinstall"


@pytest.mark.parametrize("install", [_uv, _pipx], ids=lambda install: install.__name__[1:])
def test_installed_apart_from_the_checkout_it_serves_another_environment(
    lab: Lab, tools: Path, install: Callable[[Path, Lab], Path]
) -> None:
    if not (tools / "bin" / install.__name__[1:]).exists():
        pytest.skip("the registry does not give it")
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    flip(lab.bodies()[0])
    ours = install(tools, lab)
    assert lab.run([ours, "demo==1.0"]).status == 91
    served = lab.environment()
    done = lab.run([ours, "-i", index.url, "demo==1.0"], VIRTUAL_ENV=str(served.folder))
    assert (done.status, len(done.said)) == (0, 1), done
    assert served.installed("demo") == "1.0 1.0"
    assert not [*(lab.root / "uv").rglob("demo.py"), *(lab.root / "pipx").rglob("demo.py")]
    assert re.match(r"pinstall [\d.]+ from ", lab.run([ours, "--version"], VIRTUAL_ENV=str(served.folder)).out)
