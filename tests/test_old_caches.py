"""The cache of pip before 23.3 (one file an entry), and one that an old and a new pip share."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from pinstall.pip_cache import entries, http_entries, keys
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab import Lab

_OLD = "23.0.1"


def _damage(path: Path) -> None:
    """Flip a bit in the padding of `packages.wheel`, which is most of it: the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _downloads(lab: Lab) -> list[Path]:
    return [p for p in (lab.cache / "http").rglob("*") if p.is_file() and p.stat().st_size > 15_000]


@pytest.mark.parametrize("hashes", [("sha256",), ()])
def test_a_damaged_download(lab: Lab, hashes: tuple[str, ...]) -> None:
    index = lab.index()
    index.hashes = hashes
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(_OLD), "-i", index.url, "demo==1.0")
    (path,) = _downloads(lab)
    _damage(path)
    environment = lab.environment(_OLD)
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 1.0", done
    assert done.said[0].startswith("removed demo-1.0-py3-none-any.whl from pip's cache: ")
    index.forget()
    done = lab.pinstall(lab.environment(_OLD), "-i", index.url, "demo==1.0")
    assert (done.said, index.fetched) == ([], [])


def test_switching_versions(lab: Lab) -> None:
    index = lab.index()
    for version in ("1.0", "2.0"):
        sdist(index.root, "demo", version)
    for version in ("1.0", "2.0"):
        lab.pip(lab.environment(_OLD), "-i", index.url, f"demo=={version}")
    index.forget()
    for version, there in (("1.0", {"1.0"}), ("2.0", {"1.0", "2.0"}), ("1.0", {"1.0", "2.0"})):
        environment = lab.environment(_OLD)
        done = lab.pinstall(environment, "-i", index.url, f"demo=={version}")
        assert environment.installed("demo") == f"{version} {version}", done
        lab.time_passes()
        assert {w.name.split("-")[1] for w in lab.wheels()} == there
    assert index.fetched == []


def test_old_and_new_share_a_cache(lab: Lab) -> None:
    """Each pip reads its own part; each call is about the part of its pip."""
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    for pip in (_OLD, "26.3"):
        lab.pip(lab.environment(pip), "-i", index.url, "demo==1.0")
    (old,) = _downloads(lab)
    (new,) = lab.bodies()
    _damage(old)
    _damage(new)
    damaged = new.read_bytes()
    for pip in (_OLD, "26.3"):
        environment = lab.environment(pip)
        done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
        assert environment.installed("demo") == "1.0 1.0", done
        assert len(done.said) == 1
        assert (new.read_bytes() == damaged) == (pip == _OLD)


def test_a_body_of_any_size_is_passed_over(lab: Lab, tmp_path: Path) -> None:
    index = lab.index()
    path = wheel(index.root, "demo", "1.0", padding=60_000_000)
    lab.pip(lab.environment(_OLD), "-i", index.url, "demo==1.0")
    cache = http_entries.HttpCache(str(lab.cache), (23, 0))
    tracemalloc.start()
    found = cache.find(f"{index.base}/files/{path.name}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is not None
    entry, response, _ = found
    assert (entry.layout, response.status) == (keys.ONE_FILE, 200)
    with entries.open_content(entry) as file:
        assert file.read() == path.read_bytes()
    assert peak < 5_000_000


def test_a_build_knows_its_source(lab: Lab) -> None:
    """pip 23.0 notes its hash in an older form."""
    sdist(lab.root / "files", "demo", "1.0")
    words = ("--no-index", "-f", str(lab.root / "files"), "demo==1.0")
    for _ in range(2):
        done = lab.pinstall(lab.environment(_OLD), *words)
        assert (done.status, done.said) == (0, []), done
    assert "Building wheel" not in done.out
