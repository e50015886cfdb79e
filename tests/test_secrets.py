"""The query of a signed URL is a secret: pinstall keeps it nowhere, and pip writes it where it would without pinstall."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.lab import VERSIONS
from tests.packages import sdist

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
