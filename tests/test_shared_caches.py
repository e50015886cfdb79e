"""A cache that was moved, copied, or restored with other dates and owners, or that a group or sudo shares."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from tests.lab import flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Environment, Lab, Result

_NOBODY = 65534


def _fill(lab: Lab, index: Index) -> None:
    """Fill pip's cache and the store: one version is set aside, one built wheel is stored."""
    for version in ("1.0", "2.0"):
        wheel(index.root, "demo", version, padding=20_000)
    for version in ("1.0", "2.0"):
        lab.pip(lab.environment(), "-i", index.url, f"demo=={version}")
    sdist(index.root, "built", "1.0")
    _install(lab, index)


def _install(lab: Lab, index: Index, version: str = "1.0", **variables: str) -> Result:
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, f"demo=={version}", "built==1.0", **variables)
    assert done.status == 0, done
    assert environment.installed("demo") == f"{version} {version}"
    assert environment.installed("built") == "1.0 1.0"
    assert "Traceback" not in done.err
    return done


def _moved(cache: Path, place: Path) -> None:
    cache.rename(place)


def _copied_without_metadata(cache: Path, place: Path) -> None:
    shutil.copytree(cache, place, copy_function=shutil.copyfile)


def _unpacked_without_dates(cache: Path, place: Path) -> None:
    """As from a tar archive without modification times, by another user."""
    shutil.copytree(cache, place)
    for path in (place, *place.rglob("*")):
        os.utime(path, (0, 0))


def _dated_tomorrow(cache: Path, place: Path) -> None:
    shutil.copytree(cache, place)
    for path in place.rglob("*"):
        os.utime(path, (1 << 32, 1 << 32))


@pytest.mark.parametrize(
    "how", [_moved, _copied_without_metadata, _unpacked_without_dates, _dated_tomorrow], ids=lambda f: f.__name__[1:]
)
def test_a_moved_or_copied_cache_stays_usable(lab: Lab, how: Callable[[Path, Path], None]) -> None:
    """Cached and stored files are used there, and damaged ones are found."""
    index = lab.seeded(_fill)
    place = lab.root / "elsewhere" / "cache"
    place.parent.mkdir()
    how(lab.cache, place)
    done = _install(lab, index, PIP_CACHE_DIR=str(place))
    assert (done.said, index.fetched, "Building wheel" in done.out) == ([], [], False)
    done = _install(lab, index, "2.0", PIP_CACHE_DIR=str(place))
    assert index.fetched == []
    assert [line.split()[0] for line in done.said] == ["restored"]
    for body in (place / "http-v2").rglob("*.body"):
        if body.read_bytes()[:2] == b"PK":
            flip(body)
    done = _install(lab, index, "2.0", PIP_CACHE_DIR=str(place))
    assert [line.split()[0] for line in done.said] == ["removed"]


def test_file_names_whose_case_has_changed(lab: Lab) -> None:
    """A file system that ignores case may return a name in another spelling."""
    index = lab.seeded(_fill)
    for path in sorted(lab.cache.rglob("*built-1.0*.whl")):
        path.rename(path.with_name(path.name.replace("built", "Built")))
    _install(lab, index)


@pytest.mark.parametrize("mode", [0o2770, 0o775, 0o700])
def test_the_files_of_pinstall_have_the_modes_and_the_group_of_the_cache(lab: Lab, mode: int) -> None:
    """A group's cache works for the group, regardless of the first user's umask; a private one stays private."""
    lab.cache.mkdir()
    if os.geteuid() == 0:
        os.chown(lab.cache, -1, _NOBODY)
    lab.cache.chmod(mode)
    umask = os.umask(0o077)
    try:
        _fill(lab, lab.index())
    finally:
        os.umask(umask)
    ours = [path for path in (lab.cache / "pinstall").rglob("*") if "http" not in path.parent.name]
    assert len(ours) > 10
    for path in ours:
        found = path.lstat()
        wanted = mode if stat.S_ISDIR(found.st_mode) else mode & 0o666
        assert stat.S_IMODE(found.st_mode) == wanted, path
        if mode & stat.S_ISGID:
            assert found.st_gid == lab.cache.stat().st_gid, path


def _read_only(lab: Lab, environment: Environment, index: Index, *pins: str) -> Result:
    """Let pinstall install *pins* where the cache is mounted read-only."""
    (lab.root / "tmp").mkdir()
    call = f"{environment.pinstall} -i {index.url} {' '.join(pins)}"
    done = lab.on_read_only_cache(call, TMPDIR=str(lab.root / "tmp"))
    assert done.status == 0, done
    assert list((lab.root / "tmp").iterdir()) == []
    return done


@pytest.mark.parametrize("damaged", [False, True])
def test_a_cache_that_is_mounted_read_only(lab: Lab, *, damaged: bool) -> None:
    """pip uses the sound entries in it, and does not see the damaged one."""
    index = lab.seeded(_fill)
    if damaged:
        flip(max(lab.bodies(), key=lambda body: body.stat().st_size))
    environment = lab.environment()
    done = _read_only(lab, environment, index, "demo==1.0", "built==1.0")
    assert environment.installed("demo") == "1.0 1.0"
    assert [line.partition(":")[0] for line in done.said] == [
        "hiding demo-1.0-py3-none-any.whl from pip for this run"
    ] * damaged
    assert all(
        line.endswith(f", but pip's cache {lab.cache} cannot be changed (Read-only file system); for demo==1.0 (argument)")
        for line in done.said
    )
    assert index.fetched == ["demo-1.0-py3-none-any.whl"] * damaged


def test_pip_fetches_only_the_files_that_a_read_only_cache_lacks(lab: Lab) -> None:
    """pip builds a new project, and fetches a version that was set aside, because it cannot be restored."""
    index = lab.seeded(_fill)
    new = sdist(index.root, "new", "1.0")
    environment = lab.environment()
    done = _read_only(lab, environment, index, "demo==2.0", "built==1.0", "new==1.0")
    assert [environment.installed(name) for name in ("demo", "built", "new")] == ["2.0 2.0", "1.0 1.0", "1.0 1.0"]
    assert (done.said, sorted(index.fetched)) == ([], ["demo-2.0-py3-none-any.whl", new.name])


_NO_LOCKS = (
    "import errno, fcntl, os\ndef flock(*_):\n    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))\nfcntl.flock = flock\n"
)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_file_system_that_refuses_locks(lab: Lab, *, damaged: bool) -> None:
    """As NFS without its lock daemon: pinstall changes nothing there, and hides the damaged entry from pip."""
    index = lab.seeded(_fill)
    if damaged:
        flip(max(lab.bodies(), key=lambda body: body.stat().st_size))
    environment = lab.environment()
    (site,) = environment.folder.glob("lib/python*/site-packages")
    (site / "no_locks.py").write_text(_NO_LOCKS)
    (site / "zz.pth").write_text("import no_locks\n")
    before = sorted(path for path in lab.cache.rglob("*") if path.is_file())
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", "built==1.0")
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 1.0"
    assert [line.partition(":")[0] for line in done.said] == [
        "hiding demo-1.0-py3-none-any.whl from pip for this run"
    ] * damaged
    assert all(f"pip's cache {lab.cache} cannot be changed (No locks available)" in line for line in done.said)
    assert sorted(path for path in lab.cache.rglob("*") if path.is_file()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write there")
def test_root_uses_a_cache_that_nobody_may_write_to(lab: Lab) -> None:
    index = lab.index()
    _fill(lab, index)
    lab.cache.chmod(0o555)
    (lab.cache / "pinstall" / "lock").unlink()
    flip(max(lab.bodies(), key=lambda body: body.stat().st_size))
    (line,) = _install(lab, index).said
    assert line.startswith("removed demo-1.0-py3-none-any.whl from pip's cache: ")
