"""Tests that kill pinstall, or fail with a system error, at every system call that changes the cache.

Every file that is left must be whole, and the next call must remove the leftovers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from pinstall.inspection import build_record
from pinstall.inspection.build_record import BuildRecord
from pinstall.inspection.sdist_scan import SourceScan
from pinstall.pip_cache import keys
from pinstall.pip_cache.entries import BuiltWheel, Entry, HttpEntry, stamp
from pinstall.pip_cache.http_entries import is_spent
from pinstall.storage import actions, cleanup, ledger, lock, store, view
from pinstall.storage.view import ViewPlan
from tests.faults import ERRORS, KILL, Fault, injected
from tests.packages import wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROUNDS = int(os.environ.get("PINSTALL_TEST_ROUNDS", "2"))
_HERE = Path(__file__).parent.parent
_HEAD = b"cc=4,\x81\xa8response\x83\xa4body\xc4\x00\xa6status\xcc\xc8\xa7headers\x80"
_KEYS = {name: f"{number:02x}" * 28 for number, name in enumerate(("cached", "stored", "built", "kept", "new", "other"), 1)}
_RECORD = BuildRecord("f" * 64, {}, SourceScan(frozenset(), (), (), compiles=False, whole=True))
_DEAD = "1-00000000"
_BODY = b"body" * 3000
_PROOF = ledger.Proof(stamp(__file__), 0, {"sha256": "a" * 64})  # type: ignore[arg-type]


def _download(cache: Path, name: str) -> HttpEntry:
    own = HttpEntry(
        "download", _KEYS[name], tuple(str(cache / path) for path in keys.http_paths(_KEYS[name], keys.TWO_FILES)), name
    )
    return own._replace(paths=store.http_paths(str(cache), own)) if name == "stored" else own


def _built(cache: Path, name: str) -> BuiltWheel:
    own = cache / keys.wheel_path(_KEYS[name])
    folder = Path(store.builds_folder(str(cache), _KEYS[name]), "f" * 16) if name == "kept" else own
    return BuiltWheel(_KEYS[name], str(folder / "demo-1.0-py3-none-any.whl"))


def _make_cache(cache: Path) -> None:
    """Make a cache with one entry of each kind, and entries of another project."""
    for name in ("cached", "stored", "other"):
        head, body = _download(cache, name).paths
        os.makedirs(os.path.dirname(head), exist_ok=True)
        Path(head).write_bytes(_HEAD)
        Path(body).write_bytes(_BODY)
    Path(_download(cache, "stored").paths[0] + ".json").write_text("{}")
    for name in ("built", "kept", "other"):
        made = wheel(Path(_built(cache, name).content_path).parent, "demo", "1.0", padding=5000)
        made.with_name("origin.json").write_text("{}")
    Path(_built(cache, "kept").content_path).with_name("record.json").write_text(json.dumps(build_record.to_json(_RECORD)))
    fresh = wheel(cache / "pinstall" / "views" / _DEAD / keys.wheel_path(_KEYS["new"]), "demo", "1.0", "new")
    fresh.with_name("origin.json").write_text("{}")
    for name in ("demo", "other"):
        _written(cache, name, "before")
    (cache / "pinstall" / "lock").touch()
    (cache / "pinstall" / "calls").mkdir()


def _written(cache: Path, project: str, key: str) -> None:
    one = ledger.Ledger(str(cache), project)
    one.remember(key, _PROOF)
    one.write()


def _acted(act: Callable[..., object], entry: Callable[[Path, str], Entry], name: str, *more: str) -> Callable[[Path], None]:
    """Return a function that applies *act* to an entry under the lock, as a call does."""

    def do(cache: Path) -> None:
        found = entry(cache, name)
        with lock.held(str(cache), 5, print):
            act(str(cache), found, stamp(found.content_path), *more)

    return do


def _keep(cache: Path) -> None:
    with lock.call_marker(str(cache)):
        for key, path in list(view.built(str(cache / "pinstall" / "views" / _DEAD))):
            actions.store_build(str(cache), key, path, _RECORD._replace(wheel="e" * 64))
        view.remove(str(cache), _DEAD)


def _adopt(cache: Path) -> None:
    with lock.call_marker(str(cache)):
        actions.adopt(str(cache), _built(cache, "built"), _RECORD)


def _view(cache: Path) -> None:
    with lock.call_marker(str(cache)) as name:
        if name is not None:
            plan = ViewPlan({_KEYS["built"]: [_built(cache, "kept")], _KEYS["new"]: []}, any_key=True)
            view.make(str(cache), name, plan, ["http-v2"])
            view.remove(str(cache), name)


def _remember(cache: Path) -> None:
    with lock.held(str(cache), 5, print):
        _written(cache, "demo", "after")


def _prune(cache: Path) -> None:
    with lock.held(str(cache), 5, print):
        cleanup.shrink_store(str(cache), 0)


def _sweep(cache: Path) -> None:
    """Split a download between cache and store, as a killed call may, and sweep."""
    with suppress(OSError):
        head, _ = _download(cache, "cached").paths
        place, _ = store.http_paths(str(cache), _download(cache, "cached"))
        (cache / "pinstall" / "unfinished" / _KEYS["cached"]).touch()
        os.rename(head, place)
    with lock.held(str(cache), 5, print):
        cleanup.sweep(str(cache))


_ACTS: dict[str, Callable[[Path], None]] = {
    "delete a download": _acted(actions.delete, _download, "cached"),
    "spend a download": _acted(actions.spend, _download, "cached"),
    "leave a built wheel": _acted(actions.retire, _built, "built", "a" * 64),
    "delete from the store": _acted(actions.delete, _download, "stored"),
    "delete a built wheel": _acted(actions.delete, _built, "built"),
    "delete a kept build": _acted(actions.delete, _built, "kept"),
    "set aside a download": _acted(actions.set_aside, _download, "cached", "a" * 64),
    "set aside a built wheel": _acted(actions.set_aside, _built, "built", "a" * 64),
    "bring back a download": _acted(actions.bring_back, _download, "stored"),
    "bring back a kept build": _acted(actions.bring_back, _built, "kept"),
    "keep": _keep,
    "adopt": _adopt,
    "view": _view,
    "remember": _remember,
    "prune": _prune,
    "sweep": _sweep,
}
# filelock 3.10 leaves the lock file open if it cannot be unlocked, so the lock lasts until the process ends.
_KEEPS_LOCKS = Version(metadata.version("filelock")) < Version("4")
_REFUSALS = (OSError, actions.NotDoneError, actions.ChangedError, lock.LockTimeoutError)


def serve() -> None:
    """Fork a child for each line "act cache fault" of standard input; print the child's wait status."""
    for line in sys.stdin:
        name, cache, function, nth, what = json.loads(line)
        child = os.fork()
        if not child:
            with injected(cache, Fault(function, nth, what)):
                _ACTS[name](Path(cache))
            os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)


@pytest.fixture(scope="module")
def die() -> Iterator[Callable[[str, Path, Fault], int]]:
    """Run an act with a fault in another process; return the process's wait status."""
    code = "from tests.test_sudden_death import serve; serve()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=_HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def send(name: str, cache: Path, fault: Fault) -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([name, str(cache), *fault]) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield send
    process.stdin.close()
    process.wait()
    process.stdout.close()


def _points(name: str, tmp_path: Path) -> list[tuple[str, int]]:
    """Return (function, n) for each system call of the act, in order; it is the n-th call of this function."""
    cache = tmp_path / "counted"
    _make_cache(cache)
    with injected(cache) as calls:
        _ACTS[name](cache)
    counts: Counter[str] = Counter()
    found = []
    for call in calls:
        function = call.partition(" ")[0]
        counts[function] += 1
        found.append((function, counts[function]))
    return found


def _others(cache: Path) -> dict[str, bytes]:
    """Return the files of the other project, which no act may change."""
    wheels = (cache / keys.wheel_path(_KEYS["other"])).glob("*")
    paths = [*map(Path, _download(cache, "other").paths), *wheels, cache / "pinstall" / "ledger" / "other.json"]
    return {str(path.relative_to(cache)): path.read_bytes() for path in paths}


def _is_whole(cache: Path) -> None:
    """Check that every file that pip or pinstall would use is whole."""
    for name in ("cached", "stored", "other"):
        for place in (keys.http_paths(_KEYS[name], keys.TWO_FILES), (f"pinstall/store/http/{_KEYS[name]}",) * 2):
            head, body = cache / place[0], cache / f"{place[0]}.body"
            if head.exists() and body.exists():
                is_head = head.read_bytes() == _HEAD or is_spent(_download(cache, name)._replace(paths=(str(head), str(body))))
                assert (is_head, body.read_bytes()) == (True, _BODY)
    for path in cache.rglob("*.whl"):
        assert path.read_bytes()[-22:-18] == b"PK\x05\x06", path
    for path in (*cache.rglob("record.json"), *(cache / "pinstall" / "ledger").iterdir()):
        json.loads(path.read_text())
    for project in ("demo", "other"):
        assert ledger.Ledger(str(cache), project)._proofs["before"] == _PROOF


def _next_call(name: str, cache: Path) -> None:
    if name not in ("keep", "view"):  # no call takes builds from the view of a killed one
        with suppress(actions.NotDoneError, actions.ChangedError):
            _ACTS[name](cache)
    with lock.held(str(cache), 5, print):
        if cleanup.has_litter(str(cache)):
            cleanup.sweep(str(cache))


def _nothing_leaks(cache: Path) -> None:
    for part in ("calls", "views", "unfinished"):
        folder = cache / "pinstall" / part
        assert not folder.exists() or list(folder.iterdir()) == [], part
    assert not [path for path in cache.rglob("*") if path.is_symlink()]
    for folder in (cache / "http-v2", cache / "pinstall" / "store" / "http"):
        names = {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"}
        heads = {name for name in names if not name.endswith(".body")}
        assert {f"{name}.body" for name in heads} == names - heads
    for key, kept in store.build_folders(str(cache)):
        assert [*Path(kept).glob("*.whl"), *(cache / keys.wheel_path(key)).glob("*.whl")], f"{kept} is half-made"


@pytest.mark.parametrize("name", _ACTS)
def test_after_being_killed_at_any_system_call_the_cache_is_whole(
    tmp_path: Path, name: str, die: Callable[[str, Path, Fault], int]
) -> None:
    points = _points(name, tmp_path)
    for function, nth in points:
        fault = Fault(function, nth, KILL)
        cache = tmp_path / str(fault)
        _make_cache(cache)
        others = _others(cache)
        assert die(name, cache, fault) == signal.SIGKILL, fault
        assert _others(cache) == others, fault
        _is_whole(cache)
        _next_call(name, cache)
        _is_whole(cache)
        assert _others(cache) == others, fault
        _nothing_leaks(cache)


@pytest.mark.parametrize("name", _ACTS)
def test_after_any_failing_system_call_the_cache_is_whole(tmp_path: Path, name: str) -> None:
    """Each system call gets one of the errors in turn, or each error if PINSTALL_TEST_ROUNDS is above 2."""
    for number, (function, nth) in enumerate(_points(name, tmp_path)):
        if function == "lock" and nth > 1 and _KEEPS_LOCKS:
            continue
        for error in ERRORS if _ROUNDS > 2 else (ERRORS[number % len(ERRORS)],):
            fault = Fault(function, nth, error)
            cache = tmp_path / str(fault)
            _make_cache(cache)
            others = _others(cache)
            with injected(cache, fault), suppress(*_REFUSALS):
                _ACTS[name](cache)
            assert _others(cache) == others, fault
            _is_whole(cache)
            _next_call(name, cache)
            _is_whole(cache)
            _nothing_leaks(cache)


@pytest.mark.parametrize("part", ["calls", "views", "unfinished", "store/builds/ab/cd"])
def test_sweep_deletes_nothing_behind_a_link(tmp_path: Path, part: str) -> None:
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    precious = elsewhere / "1-00000000"
    precious.mkdir(parents=True)
    (precious / "file").touch()
    (elsewhere / "2-00000000").touch()
    place = cache / "pinstall" / part
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    with suppress(OSError):
        cleanup.sweep(str(cache))
    assert sorted(path.name for path in elsewhere.rglob("*")) == ["1-00000000", "2-00000000", "file"]
