"""Make the fixtures; and see to it that no test touches the real home or the real cache."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from filelock import FileLock

from tests.lab import VERSIONS, Lab, Seeds, install_pips

if TYPE_CHECKING:
    from collections.abc import Iterator

# A shell's background jobs ("scripts/test &", nohup) ignore these, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("SIGQUIT", "SIGHUP"):
    if hasattr(signal, _name):  # not on Windows
        signal.signal(getattr(signal, _name), signal.SIG_DFL)

# The settings by which pip reaches the registry here, for the few tests that install from it; a fixture removes them.
_REGISTRY = {
    name: value
    for name, value in os.environ.items()
    if name.startswith(("PIP_", "SSL_", "XDG_CONFIG")) or name == "HOME" or name.lower().endswith("_proxy")
}
_SETTINGS = ("PIP_", "PINSTALL_", "XDG_", "VIRTUAL_ENV", "CONDA_", "PYTHON")


# The modules that `scripts/test --quick` leaves out: they take most of the time, or need the registry.
_SLOW = {
    *("test_bad_input", "test_builds", "test_built_wheels", "test_cache", "test_cache_tool", "test_ci_recipes"),
    *("test_confirm", "test_diagnosis", "test_downloads", "test_faults", "test_formats", "test_forward"),
    *("test_indexes", "test_packaging", "test_pinstall_pip", "test_policy", "test_pythons", "test_races"),
    *("test_completion", "test_real_environment", "test_recipes", "test_report", "test_rescue", "test_shared_store"),
    *("test_sudden_death", "test_tidy"),
    *("test_tool_recipes", "test_walks", "test_watched_builds"),
}
# The modules about the process: pinstall starts there as users start it, elsewhere as `tests/warm.py` says.
_COLD = {
    *("test_calls", "test_completion", "test_environment", "test_faults", "test_forward", "test_packaging", "test_pythons"),
    *("test_real_environment", "test_satisfied", "test_sudden_death", "test_systems", "test_terminal"),
}


def pytest_report_header() -> list[str]:
    """Return lines that name the Python, pips, libraries and system of the run; scripts/matrix writes them down."""
    names = [text.partition(">")[0] for text in metadata.requires("pip-pinstall") or () if ";" not in text]
    return [
        f"with Python: {platform.python_version()}",
        f"with pip: {', '.join(VERSIONS)}",
        f"with libraries: {', '.join(f'{name} {metadata.version(name)}' for name in names)}",
        f"with system: {platform.system()} {platform.release().partition('-')[0]}, {_file_system(tempfile.gettempdir())}",
    ]


def _file_system(folder: str) -> str:
    findmnt = shutil.which("findmnt")
    if findmnt is None:
        return "unknown file system"
    done = subprocess.run([findmnt, "-no", "FSTYPE", "-T", folder], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the modules in `_SLOW` as slow."""
    for item in items:
        if item.path.stem in _SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def pips() -> Path:
    """Return the folder that holds every version of pip that the tests use, in one folder each; install what is missing."""
    folder = Path(__file__).parent.parent / ".venv-test" / "pips"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        install_pips(folder)
    return folder


@pytest.fixture(scope="session")
def registry() -> dict[str, str]:
    """Return the variables by which pip reaches the registry; a test that uses them must set a cache folder of its own."""
    return _REGISTRY


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def _nobodys_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, pips: Path) -> None:
    """Remove the developer's settings from the environment variables of every test, and set a home that does not exist."""
    for name in list(os.environ):
        if name.startswith(_SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "no-home"))


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory, pips: Path, authority: trustme.CA) -> Iterator[Seeds]:
    made = Seeds(tmp_path_factory.mktemp("seeds").resolve(), pips, authority)
    yield made
    made.close()


@pytest.fixture
def lab(tmp_path: Path, pips: Path, authority: trustme.CA, seeds: Seeds, request: pytest.FixtureRequest) -> Iterator[Lab]:
    # The path as the kernel knows it: pip resolves links in its cache folder.
    made = Lab(tmp_path.resolve(), pips, authority, seeds, cold=request.path.stem in _COLD)
    yield made
    made.close()
