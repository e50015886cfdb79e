"""Tests with file-system errors, full disks and concurrent calls: every install succeeds and is correct."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.faults import Fault
from tests.lab import HERE, flip
from tests.packages import project, sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Environment, Lab, Result


def _fill(lab: Lab, index: Index) -> None:
    sdist(index.root, "demo", "1.0")
    wheel(index.root, "bad", "1.0", padding=50_000)
    for version in ("1.0", "2.0"):
        wheel(index.root, "ready", version)
        lab.pinstall(lab.environment(), "-i", index.url, "bad==1.0", f"ready=={version}")
    flip(max(lab.bodies(), key=lambda path: path.stat().st_size))


@pytest.fixture
def index(lab: Lab) -> Index:
    """Return an index. The cache has a damaged download of bad 1.0 and ready 2.0; the store has ready 1.0."""
    made = lab.seeded(_fill)
    lab.environ["PIP_INDEX_URL"] = made.url
    return made


_WORDS = ("bad==1.0", "demo==1.0", "ready==1.0")


def _is_right(environment: Environment, done: Result) -> None:
    assert done.status == 0, done
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    assert [environment.installed(word.partition("==")[0]) for word in _WORDS] == ["1.0 1.0"] * 3


def _left(cache: Path) -> list[Path]:
    return [path for part in ("calls", "views", "unfinished") for path in (cache / "pinstall" / part).glob("*")]


def _armed(lab: Lab, fault: Fault) -> tuple[Environment, dict[str, str]]:
    environment = lab.environment()
    with next(environment.folder.glob("lib/python*/site-packages/lab.pth")).open("a") as file:
        file.write("import tests.faults; tests.faults.arm()\n")
    return environment, {"FAULT_FOLDER": str(lab.cache), "FAULT": str(fault), "FAULT_LOG": str(lab.root / "log")}


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("lock", "ENOSYS"),
        ("lock", "ENOLCK"),
        ("lock", "EOPNOTSUPP"),
        ("symlink", "EPERM"),
        ("mkdir", "EMLINK"),
        ("open", "EROFS"),
        ("write", "ENOSPC"),
        ("rename", "EXDEV"),
        ("unlink", "EACCES"),
        ("chmod", "EPERM"),
    ],
)
def test_a_system_call_that_always_fails_does_not_break_the_install(lab: Lab, index: Index, function: str, error: str) -> None:
    environment, asked = _armed(lab, Fault(function, 0, error))
    done = lab.pinstall(environment, *_WORDS, **asked)
    _is_right(environment, done)
    assert "Warning" not in done.err, "a library's words, at each call"
    assert f"{function} " in (lab.root / "log").read_text(), "the fault has occurred"
    after = lab.environment()
    _is_right(after, lab.pinstall(after, *_WORDS))
    assert _left(lab.cache) == []


@pytest.mark.parametrize("room", [0, 40, 1200])
def test_a_full_disk_does_not_break_the_install(lab: Lab, index: Index, room: int) -> None:
    """*room* is the free space in KiB, which is none or is soon used up."""
    environment = lab.environment()
    done = lab.on_full_disk(f"{environment.pinstall} {' '.join(_WORDS)}", room)
    _is_right(environment, done)
    if room < 1000:
        assert done.said[-1].endswith(": running pip with --no-cache-dir")


def test_other_calls_do_not_wait_for_a_long_build(lab: Lab, index: Index) -> None:
    """During one call's build, other calls delete, restore, set aside and build in the same cache."""
    slow = lab.root / "slow"
    project(slow, "slow")
    for name in ("begun", "go"):
        os.mkfifo(lab.root / name)
    wait = f"open({str(lab.root / 'begun')!r}, 'w').close(); open({str(lab.root / 'go')!r}).read()"
    with (slow / "backend.py").open("a") as file:
        file.write(f"real = build_wheel\ndef build_wheel(*words):\n    {wait}\n    return real(*words)\n")
    lab.run(["tar", "czf", index.root / "slow-1.0.tar.gz", "-C", lab.root, "slow"])
    environment = lab.environment()
    command = [environment.pinstall, "slow==1.0"]
    building = subprocess.Popen(command, cwd=lab.root, env=lab.environ, stdout=subprocess.DEVNULL)
    (lab.root / "begun").read_text()
    for _ in range(2):
        other = lab.environment()
        done = lab.pinstall(other, *_WORDS)
        _is_right(other, done)
        assert not [line for line in done.said if "waiting" in line or "held" in line]
    assert building.poll() is None
    (lab.root / "go").write_text("")
    assert building.wait() == 0
    assert _left(lab.cache) == []


def test_a_short_stress_test_finds_no_fault() -> None:
    """The complete stress test, ``scripts/stress``, takes minutes."""
    words = ["--seed", "tests", "--workers", "2", "--rounds", "1", "--kills", "1", "--points", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.stress", *words], cwd=HERE.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong results: 0\nlost bystanders: 0\nleaked files: 0\n" in done.stdout
