"""The JSON report has the fields that docs/report.md describes, and no secret."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import HERE, flip
from tests.packages import extension, sdist, wheel

if TYPE_CHECKING:
    from tests.lab import Lab, Result

_ROWS = re.findall(r"^\| `(\w+)` \| (.*) \|$", (HERE.parent / "docs" / "report.md").read_text(), re.MULTILINE)
_FIELDS = {field: set(re.findall(r"`(\w+)`", meaning)) for field, meaning in _ROWS}


def _report(lab: Lab, *words: str, **variables: str) -> tuple[dict[str, Any], Result]:
    path = lab.root / "report.json"
    path.unlink(missing_ok=True)
    done = lab.pinstall(lab.environment(), *words, PINSTALL_REPORT=str(path), **variables)
    report: dict[str, Any] = json.loads(path.read_text())
    assert list(report) == list(_FIELDS)
    for field, value in report.items():
        for item in value if isinstance(value, list) else [value]:
            assert not isinstance(item, dict) or item.keys() <= _FIELDS[field], field
    assert report["status"] == done.status
    return report, done


def test_a_report_without_a_cache_or_a_python(lab: Lab) -> None:
    wheel(lab.root, "demo", "1.0")
    report, _ = _report(lab, "--no-index", "-f", ".", "--no-cache-dir", "demo==1.0")
    assert [pin["satisfied"] for pin in report["pins"]] == [False]
    report, done = _report(lab, "--python", str(lab.root / "nowhere"), "demo==1.0")
    assert (done.status, report["pins"]) == (1, []), done


def test_the_examined_entries_and_the_changes(lab: Lab) -> None:
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


def test_the_built_wheels(lab: Lab) -> None:
    index = lab.index()
    extension(index.root, "demo", "1.0")
    report, _ = _report(lab, "-i", index.url, "demo==1.0")
    assert [name.startswith("demo-1.0-cp3") for name in report["built"]] == [True]


def test_a_pip_that_fails(lab: Lab) -> None:
    report, done = _report(lab, "--no-index", "demo==1.0", "-r", "https://localhost:1/r.txt")
    assert report["status"] == report["pip_status"] == done.status != 0
    assert report["not_checked"] == [
        {
            "source": "https://localhost:1/r.txt",
            "reason": "pinstall does not read files from URLs; to have it checked, download it and use the copy",
        }
    ]
    assert report["messages"] == done.said


def test_a_second_run(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "part", "1.0", padding=20_000)
    wheel(index.root, "demo", "1.0", requires=["part"])
    lab.pip(lab.environment(), "-i", index.url, "demo")
    flip(max(lab.bodies(), key=lambda body: body.stat().st_size))
    report, _ = _report(lab, "-i", index.url, "demo==1.0")
    assert (report["tries"], report["status"]) == (2, 0)
    assert report["healed"] == {"sound": 1, "removed": ["part-1.0-py3-none-any.whl"], "mended": []}


def test_a_half_installed_distribution(lab: Lab) -> None:
    index = lab.index()
    index.hashes = ()
    wheel(index.root, "part", "1.0", padding=20_000)
    wheel(index.root, "demo", "1.0", requires=["part"])
    lab.pip(lab.environment(), "-i", index.url, "demo")
    body = max(lab.bodies(), key=lambda body: body.stat().st_size)
    data = bytearray(body.read_bytes())
    data[data.index(b"part_padding.bin") + 1000] ^= 1
    body.write_bytes(data)
    report, _ = _report(lab, "-i", index.url, "demo==1.0")
    assert (report["tries"], report["status"], report["healed"]["mended"]) == (2, 0, ["part==1.0"])


def test_the_cause_of_a_failure(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0", tag="cp39-cp39-win_amd64")
    report, done = _report(lab, "-i", index.url, "demo==1.0")
    assert done.status == 1
    assert (report["healed"], report["tries"]) == (None, 1), "the page is new"
    (cause,) = report["causes"]
    assert cause in report["messages"]
    assert " cannot be installed: " in cause


def test_a_contradiction(lab: Lab) -> None:
    """Another program changes the environment while pip runs: here, the build of a package."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    put = "import pathlib, sysconfig as s; site = pathlib.Path(s.get_path('purelib')).parent / 'site-packages'"
    forge = f"{put}; [p.write_text(p.read_text().replace('1.0', '3.0', 9)) for p in site.glob('demo-1.0.dist-info/METADATA')]"
    sdist(index.root, "built", "1.0", script=forge)
    environment = lab.environment()
    lab.pip(environment, "-i", index.url, "demo==1.0")
    path = lab.root / "report.json"
    done = lab.pinstall(
        environment, "-i", index.url, "demo==1.0", "built==1.0", "--no-build-isolation", PINSTALL_REPORT=str(path)
    )
    report = json.loads(path.read_text())
    assert (done.status, report["status"], report["pip_status"]) == (90, 90, 0)
    assert [(doubt["project"], doubt["contradicts"]) for doubt in report["doubts"]] == [("demo", True)]
    assert [pin["satisfied"] for pin in report["pins"]] == [True, False]


def test_an_entry_that_was_restored_from_the_store(lab: Lab) -> None:
    index = lab.index()
    for version in ("1.0", "2.0"):
        wheel(index.root, "demo", version)
    lab.pip(lab.environment(), "-i", index.url, "demo==2.0")
    lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    report, _ = _report(lab, "-i", index.url, "demo==2.0")
    assert [(entry["filename"], entry["verdict"]) for entry in report["entries"] if entry["stored"] and entry["done"]] == [
        ("demo-2.0-py3-none-any.whl", "keep")
    ]


@pytest.mark.parametrize("words", [["--no-such-option"], ["-r", "no-such-file"]], ids=str)
def test_a_call_that_cannot_be_read(lab: Lab, words: list[str]) -> None:
    report, done = _report(lab, "demo==1.0", *words)
    assert report["status"] == done.status != 0
    assert [unread["source"] for unread in report["not_checked"]] == ["this call"]


def test_a_cache_that_is_not_a_folder(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.cache.write_text("")
    report, done = _report(lab, "-i", index.url, "demo==1.0")
    assert (report["status"], report["messages"]) == (0, done.said)


@pytest.mark.parametrize("step", ["prepare", "finish"])
def test_an_internal_error_of_pinstall(lab: Lab, step: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    environment, path = lab.environment(), lab.root / "report.json"
    (site,) = environment.folder.glob("lib/python*/site-packages")
    broken = f"import pinstall.install as i; i.{step} = lambda *_: 1 / 0"
    (site / "broken.py").write_text(f"import sys; sys.argv[0].endswith('pinstall') and exec({broken!r})")
    (site / "zz.pth").write_text("import broken\n")
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", PINSTALL_REPORT=str(path))
    report = json.loads(path.read_text())
    assert done.said == report["messages"]
    assert done.said[0].startswith("internal error (ZeroDivisionError)")
    assert (report["status"], environment.installed("demo")) == (0, "1.0 1.0")


def test_policy_off_writes_no_report(lab: Lab) -> None:
    path = lab.root / "report.json"
    lab.pinstall(lab.environment(), "--no-index", "demo==1.0", PINSTALL_REPORT=str(path), PINSTALL_POLICY="off")
    assert not path.exists()


@pytest.mark.parametrize("words", [["demo==1.0"], ["demo @ {files}demo-1.0-py3-none-any.whl?token=hush2"]])
def test_reports_and_stored_files_contain_no_secret(lab: Lab, words: list[str]) -> None:
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
    path = lab.root / "no" / "such" / "folder"
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", PINSTALL_REPORT=str(path))
    assert (done.status, environment.installed("demo")) == (0, "1.0 1.0")
    assert done.said == [f"the report {path} (PINSTALL_REPORT) could not be written (No such file or directory)"]


def test_an_internal_error_while_the_report_is_written(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    environment, path = lab.environment(), lab.root / "report.json"
    (site,) = environment.folder.glob("lib/python*/site-packages")
    broken = "import pinstall.journal as j; j.Journal.write = lambda *_: 1 / 0"
    (site / "broken.py").write_text(f"import sys; sys.argv[0].endswith('pinstall') and exec({broken!r})")
    (site / "zz.pth").write_text("import broken\n")
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", PINSTALL_REPORT=str(path))
    (said,) = done.said
    assert said.startswith("internal error (ZeroDivisionError): the report of PINSTALL_REPORT was not written; ")
    assert (done.status, environment.installed("demo"), path.exists()) == (0, "1.0 1.0", False)


@pytest.mark.parametrize("fails", [False, True])
def test_an_interrupt_while_the_report_is_written(lab: Lab, *, fails: bool) -> None:
    """pip has ended, and its status counts, also if pinstall had failed before pip ran (*fails*)."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    environment, path = lab.environment(), lab.root / "report.json"
    (site,) = environment.folder.glob("lib/python*/site-packages")
    broken = "import os, pinstall.journal as j; j.Journal.write = lambda *_: os.kill(os.getpid(), 2)"
    broken += "; import pinstall.install as i; i.prepare = lambda *_: 1 / 0" if fails else ""
    (site / "broken.py").write_text(f"import sys; sys.argv[0].endswith('pinstall') and exec({broken!r})")
    (site / "zz.pth").write_text("import broken\n")
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", PINSTALL_REPORT=str(path))
    assert (done.status, len(done.said), environment.installed("demo")) == (0, int(fails), "1.0 1.0")
