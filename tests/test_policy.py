"""``PINSTALL_POLICY=report`` says what would be done, and writes nothing below the cache: what is written there is pip's."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.lab import NEWEST, VERSIONS, flip
from tests.packages import extension, sdist, wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Lab


def _seen(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return all that is below *folder*, and itself: its inode, when it was written, and when it or its modes were changed."""
    paths = [folder, *folder.rglob("*")] if folder.exists() else []
    stats = {str(path.relative_to(folder)): path.lstat() for path in paths}
    return {name: (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats.items()}


def _fill(lab: Lab, index: Index, pip: str) -> None:
    for version in ("1.0", "2.0"):
        wheel(index.root, "demo", version, padding=50_000)
        sdist(index.root, "built", version)
    for version in ("1.0", "2.0"):
        lab.pip(lab.environment(pip), "-i", index.url, f"demo=={version}", f"built=={version}")


def _damaged_build(lab: Lab, _index: Index) -> None:
    flip(lab.wheels()[0])


def _without_hashes(lab: Lab, index: Index) -> None:
    """Nothing tells pip that its download is damaged."""
    index.hashes = ()
    shutil.rmtree(lab.cache)
    _fill(lab, index, NEWEST)
    for body in lab.bodies():
        flip(body)


def _nothing(_lab: Lab, _index: Index) -> None:
    pass


@pytest.mark.parametrize("words", [["demo==1.0", "built==1.0"], ["demo==3.0"], ["demo==1.0", "absent==1.0"]], ids=" ".join)
@pytest.mark.parametrize("damage", [_nothing, _damaged_build, _without_hashes])
def test_nothing_changes(lab: Lab, words: list[str], damage: Callable[[Lab, Index], None]) -> None:
    index = lab.index()
    _fill(lab, index, NEWEST)
    damage(lab, index)
    # What pip has to write it writes now.
    bare = lab.bare(lab.environment(), "install", "-i", index.url, *words)
    before = _seen(lab.cache)
    done = lab.pinstall(lab.environment(), "-i", index.url, *words, PINSTALL_POLICY="report", CFLAGS="-O1")
    assert done.status == bare.status
    assert _seen(lab.cache) == before
    assert not any(line.startswith(("removed", "moved", "restored")) for line in done.said)


@pytest.mark.parametrize("pip", VERSIONS)
def test_pip_alone_writes(lab: Lab, pip: str) -> None:
    """Builds and downloads are pip's, and lie where it would have put them."""
    index = lab.index()
    _fill(lab, index, pip)
    extension(index.root, "compiled", "1.0")
    words = ("-i", index.url, "demo==1.0", "compiled==1.0")
    done = lab.pinstall(lab.environment(pip), *words, PINSTALL_POLICY="report", CFLAGS="-O1")
    assert done.status == 0, done
    assert "compiled" in " ".join(wheel.name for wheel in lab.wheels())
    assert not (lab.cache / "pinstall").exists()


def test_what_is_pinstalls_there_is_left_as_it_is(lab: Lab) -> None:
    index = lab.index()
    _fill(lab, index, NEWEST)
    environment = lab.environment()
    lab.pinstall(environment, "-i", index.url, "demo==1.0", "built==1.0")
    stray = lab.cache / "pinstall" / "unfinished" / "half"  # of a call that was killed
    stray.parent.mkdir(exist_ok=True)
    stray.touch()
    lab.pip(lab.environment(), "-i", index.url, "demo==2.0", "built==2.0")
    before = _seen(lab.cache)
    for pins in (["demo==1.0", "built==1.0"], ["demo==2.0", "built==2.0"]):
        done = lab.pinstall(lab.environment(), "-i", index.url, *pins, PINSTALL_POLICY="report", CFLAGS="-O1")
        assert done.status == 0, done
    assert _seen(lab.cache) == before


def test_an_entry_that_cannot_be_checked_is_named(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    (body,) = (body for body in lab.bodies() if body.read_bytes()[:2] == b"PK")
    body.rename(lab.root / "elsewhere")
    body.symlink_to(lab.root / "elsewhere")
    lines = [
        lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0", PINSTALL_POLICY=policy).said
        for policy in ("report", "evict")
    ]
    rest = f"demo-1.0-py3-none-any.whl from pip for this run: its file {body} could not be checked (it is not a regular file)"
    assert lines == [
        [f"with PINSTALL_POLICY=evict, pinstall would hide {rest}; for demo==1.0 (argument)"],
        [f"hiding {rest}; for demo==1.0 (argument)"],
    ]


def test_a_cache_that_is_not_there(lab: Lab) -> None:
    index = lab.index()
    made = wheel(index.root, "demo", "1.0")
    done = lab.pinstall(lab.environment(), "--no-index", "-f", made.parent, "demo==1.0", PINSTALL_POLICY="report")
    assert done.status == 0, done
    assert not lab.cache.exists()
