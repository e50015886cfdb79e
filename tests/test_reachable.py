"""Of the projects that only constraints pin, pinstall checks those that pip can need, and all if it cannot tell these."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.lab import flip
from tests.packages import project, sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Environment, Lab

_ALL = {"app", "lib", "more", "other", "built", "many", "strict", "damaged"}


def _fill(lab: Lab, index: Index) -> None:
    """Cache a file of each project, and pages about which pip asks the index each time."""
    index.page_age = 0
    wheel(index.root, "app", "1.0", requires=["lib", "more; extra == 'x'", "never; python_version < '3'"])
    wheel(index.root, "lib", "1.0", padding=20_000)
    wheel(index.root, "strict", "1.0", requires=["lib>1"])
    wheel(index.root, "loose", "1.0")
    wheel(index.root, "bare", "1.0", requires=["absent"])
    for name in ("more", "many", "other", "damaged"):
        wheel(index.root, name, "1.0")
    sdist(index.root, "built", "1.0")
    lab.pip(lab.environment(), "--no-deps", "-i", index.url, *_ALL, "loose", "bare")


def _cached(lab: Lab, name: str) -> Path:
    (found,) = (body for body in lab.bodies() if f"{name}.py".encode() in body.read_bytes())
    return found


def _checked(lab: Lab, environment: Environment, *words: str | Path) -> set[str]:
    """Return the projects whose entries are checked in a dry run under constraints on all projects."""
    (lab.root / "c.txt").write_text("".join(f"{name}==1.0\n" for name in sorted(_ALL)))
    report = lab.root / "report.json"
    lab.pinstall(environment, "--dry-run", "-c", "c.txt", *words, PINSTALL_REPORT=str(report))
    return {entry["project"] for entry in json.loads(report.read_text())["entries"]}


@pytest.mark.parametrize("has_metadata", [False, True])
def test_a_constraint_is_checked_if_the_call_can_need_its_project(lab: Lab, *, has_metadata: bool) -> None:
    index = lab.seeded(_fill)
    index.metadata = has_metadata
    environment = lab.environment()
    if has_metadata:
        lab.pip(environment, "--dry-run", "--no-deps", "-i", index.url, *_ALL)
    flip(_cached(lab, "damaged"))
    calls: dict[str, set[str]] = {
        "app": {"app", "lib"},
        "app[x]": {"app", "lib", "more"},
        "other": {"other"},
        "built": {"built"},
        "app==1": {"app", "lib"},
        "pip": set(),
    }
    for requirement, needed in calls.items():
        assert _checked(lab, environment, "-i", index.url, requirement) == needed, requirement
    explained = lab.pinstall(environment, "--explain", "-i", index.url, "-c", "c.txt", "app").out
    why = "nothing that the call requests needs it: pip opens no cached file for it"
    assert f"other==1.0 (c.txt, line 7); not installed\n    {why}\n" in explained
    lab.pip(environment, "-i", index.url, "--no-deps", "app==1.0")
    assert _checked(lab, environment, "-i", index.url, "app") == {"lib"}, "a dependency of what is installed"


def test_all_constraints_are_checked_if_it_cannot_be_told_which_the_call_needs(lab: Lab) -> None:
    index = lab.seeded(_fill)
    environment = lab.environment()
    project(lab.root / "local", "local")
    calls: dict[str, list[str | Path]] = {
        "no version": ["loose"],
        "a dependency without a pin": ["bare==1.0"],
        "a dependency with another version": ["strict"],
        "a local project": ["./local"],
        "an editable one": ["-e", "./local"],
        "a URL": [f"loose @ {index.base}/files/loose-1.0-py3-none-any.whl"],
        "a page that is not cached": ["app", "-f", f"{index.base}/nowhere"],
    }
    for reason, words in calls.items():
        assert _checked(lab, environment, "-i", index.url, *words) >= _ALL, reason


def test_all_constraints_are_checked_if_a_needed_file_is_not_cached_or_is_bad(lab: Lab) -> None:
    index = lab.seeded(_fill)
    environment = lab.environment()
    for tag, needed in (("py30-none-any", {"many"}), (f"py3{sys.version_info.minor}-none-any", _ALL)):
        wheel(index.root, "many", "1.0", tag=tag)
        lab.run([environment.pip, "index", "versions", "many", "-i", index.url])
        assert _checked(lab, environment, "-i", index.url, "many") == needed, "pip prefers a file that is not cached"
    flip(_cached(lab, "lib"))
    assert _checked(lab, environment, "-i", index.url, "app") == _ALL, "another file may have other dependencies"
    for folder in (lab.cache / "wheels", lab.cache / "pinstall" / "store" / "builds"):
        shutil.rmtree(folder)
    assert _checked(lab, environment, "-i", index.url, "built") == _ALL, "pip builds it, and may need other projects"
    (lab.cache / "http-v2").rename(lab.cache / "gone")
    assert _checked(lab, environment, "-i", index.url, "app") == set(), "nothing is cached"


def test_a_damaged_dependency_that_only_a_constraint_pins_is_replaced(lab: Lab) -> None:
    index = lab.seeded(_fill)
    index.hashes = ()
    flip(_cached(lab, "lib"))
    (lab.root / "c.txt").write_text("app==1.0\nlib==1.0\nother==1.0\n")
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "-c", "c.txt", "app")
    assert environment.installed("lib") == "1.0 1.0", done
    assert [line.partition(":")[0] for line in done.said] == ["removed lib-1.0-py3-none-any.whl from pip's cache"]
