"""Tests of the lock: who may hold it, what a waiting call prints, and what happens after the timeout."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from pinstall import settings
from pinstall.storage import cleanup, lock
from pinstall.storage.folder import ensure_folder
from tests.lab import flip
from tests.packages import wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab import Lab


def _damaged(lab: Lab) -> list[str]:
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    flip(lab.bodies()[0])
    (lab.cache / "pinstall").mkdir()
    return ["-i", index.url, "demo==1.0"]


@pytest.mark.parametrize("seconds", ["0", "0.2", "1.5"])
def test_after_the_timeout_the_damaged_entry_is_hidden_and_pip_runs(lab: Lab, seconds: str) -> None:
    words = _damaged(lab)
    environment = lab.environment()
    with FileLock(lab.cache / "pinstall" / "lock"):
        done = lab.pinstall(environment, *words, PINSTALL_LOCK_TIMEOUT=seconds)
    assert environment.installed("demo") == "1.0 1.0", done
    assert done.said[-1].startswith("hiding demo-1.0-py3-none-any.whl from pip for this run: its hash is ")
    why = f"another pinstall held the lock of pip's cache for more than {seconds} s"
    assert done.said[-1].endswith(f" (wrong-hash), but {why}; for demo==1.0 (argument)")
    assert len(done.said) == (2 if seconds == "1.5" else 1)
    lab.pip(lab.environment(), *words)  # pip has received a sound one, which it writes without a lock


def test_a_sound_cache_needs_no_lock(lab: Lab) -> None:
    words = _damaged(lab)
    flip(lab.bodies()[0])
    with FileLock(lab.cache / "pinstall" / "lock"):
        done = lab.pinstall(lab.environment(), *words)
    assert (done.status, done.said) == (0, [])


def test_the_waiting_call_names_the_holder_of_the_lock(tmp_path: Path) -> None:
    """The holder is another process, which releases the lock after the waiting one has printed its line."""
    holder = (
        "import sys\nfrom pinstall.storage import lock\n"
        "with lock.held(sys.argv[1], 5, print):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "held\n"
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        assert process.stdin is not None
        process.stdin.close()

    with lock.held(str(tmp_path), 30, say):
        assert said == [
            f"waiting for pinstall (process {process.pid}), which is changing pip's cache (at most 30 s, PINSTALL_LOCK_TIMEOUT)"
        ]
    process.wait()
    process.stdout.close()


def test_only_one_call_holds_the_lock(tmp_path: Path) -> None:
    inside = threading.Event()
    leave = threading.Event()

    def hold() -> None:
        with lock.held(str(tmp_path), 5, print):
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(30)
    with pytest.raises(lock.LockTimeoutError), lock.held(str(tmp_path), 0, print):
        pass  # pragma: no cover
    leave.set()
    thread.join()
    with lock.held(str(tmp_path), 0, print):
        pass


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("0.5", 0.5), ("-1", 30), ("", 30), ("soon", 30), ("nan", 30), ("inf", 30), ("1e9", 1e9)]
)
def test_an_invalid_timeout_means_the_default(text: str, seconds: float) -> None:
    assert settings.read({"PINSTALL_LOCK_TIMEOUT": text}).lock_timeout == seconds


def test_the_default_timeout_is_30_seconds() -> None:
    assert settings.read({}).lock_timeout == 30


def test_a_call_is_marked_as_running_until_it_ends(tmp_path: Path) -> None:
    assert not lock.live_calls(str(tmp_path), clears=True)
    with lock.call_marker(str(tmp_path)):
        assert lock.live_calls(str(tmp_path), clears=True)
    assert not lock.live_calls(str(tmp_path), clears=True)


def test_files_and_folders_get_the_mode_of_the_cache(tmp_path: Path) -> None:
    cache = tmp_path / "shared"
    cache.mkdir()
    cache.chmod(0o770)
    before = os.umask(0o077)
    try:
        with lock.held(str(cache), 1, print):
            pass
    finally:
        os.umask(before)
    assert (cache / "pinstall").stat().st_mode & 0o777 == 0o770
    assert (cache / "pinstall" / "lock").stat().st_mode & 0o777 == 0o660


def test_folders_that_exist_keep_their_modes(tmp_path: Path) -> None:
    """Another user's folder cannot be changed, and need not be."""
    cache = tmp_path / "shared"
    cache.mkdir()
    cache.chmod(0o770)
    (cache / "pinstall").mkdir()
    (cache / "pinstall").chmod(0o775)
    ensure_folder(str(cache), "store", "http")
    modes = [(cache / path).stat().st_mode & 0o777 for path in ("pinstall", "pinstall/store", "pinstall/store/http")]
    assert modes == [0o775, 0o770, 0o770]


def test_an_unreadable_folder_of_markers_raises_an_error(tmp_path: Path) -> None:
    """Otherwise pinstall would move a built wheel that another call's pip is about to install."""
    assert lock.live_calls(str(tmp_path), clears=True) == set()
    (tmp_path / "pinstall").mkdir()
    (tmp_path / "pinstall" / "calls").write_text("")
    with pytest.raises(OSError, match="directory"):
        lock.live_calls(str(tmp_path), clears=True)
    assert cleanup.has_litter(str(tmp_path))
