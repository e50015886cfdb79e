"""The query of a signed URL is a secret: pinstall keeps it nowhere, and pip writes it where it would without pinstall."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.lab import NEWEST, OLDEST, VERSIONS
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab import Environment, Lab

_SECRET = "s3cr3t"


def _leaks(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and _SECRET.encode() in path.read_bytes()]


def _origin(environment: Environment) -> object:
    (path,) = environment.folder.glob("lib/*/site-packages/demo-1.0.dist-info/direct_url.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("version", VERSIONS)
def test_the_query_of_a_signed_url_is_not_stored(lab: Lab, version: str) -> None:
    index = lab.index()
    requirement = f"demo @ {index.base}/files/{sdist(index.root, 'demo', '1.0').name}?X-Amz-Signature={_SECRET}"
    bare, first, second = (lab.environment(version) for _ in range(3))
    lab.pip(bare, "--no-cache-dir", requirement)
    done = lab.pinstall(first, requirement, CFLAGS="-O1", PINSTALL_REPORT=str(lab.root / "report.json"))
    assert (done.status, _origin(first)) == (0, _origin(bare))
    assert _leaks(lab.cache / "pinstall") == []
    assert _leaks(lab.root / "report.json") == []
    shutil.rmtree(lab.cache / "wheels")  # pip cache purge
    fetched = len(index.fetched)
    done = lab.pinstall(second, "-v", requirement, CFLAGS="-O1")
    assert (done.status, _origin(second)) == (0, _origin(bare))
    assert "Building wheel" not in done.out, "the store's build serves"
    assert len(index.fetched) == fetched
    assert _leaks(lab.cache / "pinstall") == []


def test_verify_removes_the_queries_that_an_older_version_stored(lab: Lab) -> None:
    index = lab.index()
    environment = lab.environment()
    requirement = f"demo @ {index.base}/files/{sdist(index.root, 'demo', '1.0').name}?X-Amz-Signature={_SECRET}"
    lab.pinstall(environment, requirement, CFLAGS="-O1")
    (kept,) = (lab.cache / "pinstall" / "store").rglob("origin.json")
    (own,) = (lab.cache / "wheels").rglob("origin.json")
    shutil.copyfile(own, kept)
    assert _leaks(lab.cache / "pinstall") == [kept]
    assert "the query of the URL" not in lab.cache_tool(environment, "verify").out
    done = lab.cache_tool(environment, "verify", "--fix")
    assert (done.status, _leaks(lab.cache / "pinstall")) == (0, [])
    assert "the query of the URL, which may be a secret, was removed from 1" in done.out
    assert _SECRET in own.read_text(), "pip's own files stay as they are"
    kept.write_text("[")
    assert "the query of the URL" not in lab.cache_tool(environment, "verify", "--fix").out


def test_a_build_from_a_signed_url_serves_for_other_signatures_if_its_hash_is_pinned(lab: Lab) -> None:
    index = lab.index()
    made = sdist(index.root, "demo", "1.0", "good")
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    for day, built in ((1, True), (2, False), (2, False), (3, False)):
        environment = lab.environment()
        requirement = f"demo @ {index.base}/files/{made.name}?X-Amz-Signature={_SECRET}{day}#sha256={digest}"
        done = lab.pinstall(environment, "-v", requirement)
        assert (done.status, environment.installed("demo")) == (0, "1.0 good")
        assert ("Building wheel" in done.out) == built, (day, done)
        assert f"{_SECRET}{day}" in str(_origin(environment))


def test_prune_removes_older_copies_of_a_file_from_signed_urls(lab: Lab) -> None:
    """The download is behind a redirect whose target has another query each time; the sdist is built once for each query."""
    index, environment = lab.index(), lab.environment()
    made, built = wheel(index.root, "ready", "1.0"), sdist(index.root, "demo", "1.0")
    for day in "123":
        index.redirects[f"/files/{made.name}"] = (302, f"/files/signed/{made.name}?X-Amz-Signature={day}")
        lab.pip(
            lab.environment(), "-i", index.url, "ready==1.0", f"demo @ {index.base}/files/{built.name}?X-Amz-Signature={day}"
        )
    other = wheel(index.root, "other", "1.0")
    for mirror in ("", "mirror/"):
        lab.pip(lab.environment(), f"other @ {index.base}/files/{mirror}{other.name}")

    def copies() -> dict[str, int]:
        bodies = Counter(body.read_bytes() for body in lab.bodies())
        return {path.name: bodies[path.read_bytes()] for path in (made, built, other)} | {"builds": len(lab.wheels())}

    before = {made.name: 3, built.name: 3, other.name: 2, "builds": 3}
    assert copies() == before
    assert (lab.cache_tool(environment, "prune").status, copies()) == (0, before), "somebody may be using them"
    for number, path in enumerate(path for path in lab.cache.rglob("*") if path.is_file()):
        os.utime(path, (path.stat().st_mtime - 200_000 - number,) * 2)
    (used,) = (path for path in lab.wheels() if path == max(lab.wheels(), key=lambda wheel: wheel.stat().st_mtime))
    done = lab.cache_tool(environment, "prune", "--dry-run")
    assert "older copies of a file that came from several URLs: 7 (" in done.out
    assert (lab.cache_tool(environment, "prune").status, copies()) == (0, dict.fromkeys(before, 1))
    assert lab.wheels() == [used]
    done = lab.pinstall(lab.environment(), "-i", index.url, "ready==1.0")
    assert (done.status, done.said) == (0, [])


def test_copies_for_older_pips_may_have_heads_of_different_length(lab: Lab) -> None:
    """Before pip 23.3, a file of the cache has both head and body. Other pips do not use it: theirs is no copy of it."""
    index = lab.index()
    made = wheel(index.root, "demo", "1.0")
    for version in (OLDEST, NEWEST):
        for age in (1_000, 20_000):
            index.file_age = age
            lab.pip(lab.environment(version), f"demo @ {index.base}/files/{made.name}?X-Amz-Signature={age}")
    for number, path in enumerate(path for path in lab.cache.rglob("*") if path.is_file()):
        os.utime(path, (path.stat().st_mtime - 200_000 - number,) * 2)
    done = lab.cache_tool(lab.environment(), "prune", "--dry-run")
    assert "older copies of a file that came from several URLs: 2 (" in done.out
    lab.cache_tool(lab.environment(), "prune")
    old = [path for path in (lab.cache / "http").rglob("*") if path.is_file() and made.read_bytes() in path.read_bytes()]
    assert [len(old), len(lab.bodies())] == [1, 1]
