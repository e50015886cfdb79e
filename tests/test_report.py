"""The report tells the whole story, as docs/report.md describes it, and no secret."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import HERE, flip
from tests.packages import extension, sdist, wheel

if TYPE_CHECKING:
    from tests.lab import Lab, Result

_FIELDS = re.findall(r"^\| `(\w+)` \|", (HERE.parent / "docs" / "report.md").read_text(), re.MULTILINE)


def _report(lab: Lab, *words: str, **variables: str) -> tuple[dict[str, Any], Result]:
    path = lab.root / "report.json"
    path.unlink(missing_ok=True)
    done = lab.pinstall(lab.environment(), *words, PINSTALL_REPORT=str(path), **variables)
    report: dict[str, Any] = json.loads(path.read_text())
    assert list(report) == _FIELDS
    assert report["status"] == done.status
    return report, done


def test_what_was_looked_at_and_done(lab: Lab) -> None:
    index = lab.index()
    for version in ("1.0", "2.0"):
        wheel(index.root, "demo", version, padding=20_000)
    sdist(index.root, "built", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==2.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0", "built")
    for body in sorted(lab.bodies(), key=lambda body: body.stat().st_size)[-2:]:
        flip(body)
    report, _ = _report(lab, "-i", index.url, "demo==1.0", "built==1.0")
    assert report["tries"] == 1
    assert {
        entry["filename"]: (entry["verdict"], entry["done"]) for entry in reversed(report["entries"]) if entry["kind"] != "page"
    } == {
        "demo-1.0-py3-none-any.whl": ("delete", True),
        "built-1.0.tar.gz": ("keep", False),
        "built-1.0-py3-none-any.whl": ("keep", False),
    }
    assert report["pins"][0] == {
        "project": "demo",
        "specifier": "==1.0",
        "url": None,
        "hashes": [],
        "places": ["argument"],
        "requested": True,
        "satisfied": False,
    }
    assert report["set_aside"] == ["demo-2.0-py3-none-any.whl"]
    assert set(report["seconds"]) == {"check", "pip", "heal", "finish"}
    assert report["environment"]["pip"] == "26.3"


def test_what_was_built(lab: Lab) -> None:
    index = lab.index()
    extension(index.root, "demo", "1.0")
    report, _ = _report(lab, "-i", index.url, "demo==1.0")
    assert [name.startswith("demo-1.0-cp3") for name in report["built"]] == [True]


def test_a_pip_that_fails(lab: Lab) -> None:
    report, done = _report(lab, "--no-index", "demo==1.0", "-r", "https://localhost:1/r.txt")
    assert done.status != 0
    assert report["not_checked"] == [{"source": "https://localhost:1/r.txt", "reason": "a URL is pip's to fetch"}]
    assert report["messages"] == done.said


def test_a_second_try(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "part", "1.0", padding=20_000)
    wheel(index.root, "demo", "1.0", requires=["part"])
    lab.pip(lab.environment(), "-i", index.url, "demo")
    flip(max(lab.bodies(), key=lambda body: body.stat().st_size))
    report, _ = _report(lab, "-i", index.url, "demo==1.0")
    assert (report["tries"], report["status"]) == (2, 0)
    assert [entry["filename"] for entry in report["entries"] if entry["done"]] == ["part-1.0-py3-none-any.whl"]


@pytest.mark.parametrize("words", [["demo==1.0"], ["demo @ {files}demo-1.0-py3-none-any.whl?token=hush2"]])
def test_no_secret(lab: Lab, words: list[str]) -> None:
    index = lab.index()
    index.user = "me:hush1"
    wheel(index.root, "demo", "1.0")
    url = index.url.replace("https://", "https://me:hush1@")
    words = [word.format(files=url.replace("/simple/", "/files/")) for word in words]
    _report(lab, "-i", url, *words, CFLAGS="hush3", DEMO_TOKEN="hush4")
    written = [path for path in (lab.root / "report.json", *(lab.cache / "pinstall").rglob("*")) if path.is_file()]
    assert [path for path in written if b"hush" in path.read_bytes()] == []


def test_a_report_that_cannot_be_written(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", PINSTALL_REPORT=str(lab.root / "no" / "such" / "folder"))
    assert (done.status, environment.installed("demo")) == (0, "1.0 1.0")
    assert done.said == ["the report cannot be written (No such file or directory)"]
