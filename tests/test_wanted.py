"""Several projects with different pins on one cache: what each needs stays there, or is restored, and nobody is annoyed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from pinstall.storage.wanted import Wanted
from tests.lab import flip
from tests.packages import sdist, wheel
from tests.test_tidy import WHY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Lab

_ONE = ("app==1.0", "demo==1.0", "six==1.0")  # "needed 1.0" is a dependency of app 1.0
_TWO = ("app==2.0", "demo==2.0", "six==2.0")


def _fill(lab: Lab, index: Index) -> None:
    """Fill the cache by plain pip, as it is before anybody uses pinstall; nobody pins six 3.0."""
    for version in ("1.0", "2.0"):
        wheel(index.root, "app", version, requires=[f"needed=={version[0]}.*"])
        wheel(index.root, "needed", version)
        sdist(index.root, "demo", version)
        wheel(index.root, "six", version)
    wheel(index.root, "six", "3.0")
    for requirements in (_ONE, _TWO, ("six",)):
        lab.pip(lab.environment(), "-i", index.url, *requirements)


def test_two_projects_with_different_pins_settle_after_the_first_time(lab: Lab) -> None:
    index = lab.seeded(_fill)
    first = lab.pinstall(lab.environment(), "-i", index.url, *_ONE)
    assert [line.partition(" from pip")[0] for line in first.said] == [
        "set aside app-2.0-py3-none-any.whl, demo-2.0.tar.gz, demo-2.0-py3-none-any.whl, six-2.0-py3-none-any.whl and 1 more"
    ]
    lab.time_passes()
    first = lab.pinstall(lab.environment(), "-i", index.url, *_TWO)
    assert [line.partition(" from pinstall")[0] for line in first.said] == [
        "restored app-2.0-py3-none-any.whl, demo-2.0.tar.gz, six-2.0-py3-none-any.whl, demo-2.0-py3-none-any.whl"
    ]
    for requirements in (_ONE, _TWO):
        lab.time_passes()
        environment = lab.environment()
        done = lab.pinstall(environment, "-i", index.url, *requirements)
        assert (done.status, done.said) == (0, [])
        version = requirements[0][-3:]
        found = [environment.installed(project) for project in ("app", "demo", "six", "needed")]
        assert found == [f"{version} {version}"] * 4
    lab.time_passes()
    for requirements in (_ONE, _TWO):
        done = lab.pip(lab.environment(), "-i", index.url, *requirements)
        assert "Building wheel" not in done.out
    assert index.fetched == [], "plain pip finds everything"


def test_an_unpinned_call_finds_what_was_set_aside_and_what_it_needed_stays(lab: Lab) -> None:
    index = lab.seeded(_fill)
    lab.pinstall(lab.environment(), "-i", index.url, "six==2.0")
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "six")
    assert environment.installed("six") == "3.0 3.0"
    assert done.said == [
        "restored six-3.0-py3-none-any.whl from pinstall's store to pip's cache: this install may need it; for six (argument)"
    ]
    assert lab.pinstall(environment, "-i", index.url, "six").said == [], "it is installed"
    assert lab.pinstall(lab.environment(), "-i", index.url, "six==2.0").said == [], "both were needed"
    assert index.fetched == []


@pytest.mark.parametrize("pages", [True, False], ids=["pages", "no pages"])
def test_dependencies_are_restored_with_what_they_need(lab: Lab, *, pages: bool) -> None:
    index = lab.index()
    for version in ("1.0", "2.0"):
        wheel(index.root, "base", version)
        sdist(index.root, "built", version)
    wheel(index.root, "middle", "1.0", requires=["base", "built"])
    wheel(index.root, "app", "1.0", requires=["middle"])
    lab.pip(lab.environment(), "-i", index.url, "app")
    lab.pinstall(lab.environment(), "-i", index.url, "base==1.0", "built==1.0")
    lab.time_passes()
    assert [path.name for path in lab.wheels()] == ["built-1.0-py3-none-any.whl"]
    for page in lab.pages() if not pages else []:
        page.unlink()
        page.with_suffix("").unlink()
    index.forget()
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "app==1.0")
    assert [environment.installed(project) for project in ("app", "base", "built")] == ["1.0 1.0", "2.0 2.0", "2.0 2.0"]
    if pages:
        assert index.fetched == []
        assert "Building wheel" not in done.out
        assert lab.pinstall(lab.environment(), "-i", index.url, "base==1.0", "built==1.0").said == []


def test_a_damaged_file_in_the_store_is_not_restored_for_an_unpinned_requirement(lab: Lab) -> None:
    index = lab.seeded(_fill)
    lab.pinstall(lab.environment(), "-i", index.url, "six==1.0")
    for body in (lab.cache / "pinstall" / "store" / "http").glob("*.body"):
        flip(body)
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "six")
    assert environment.installed("six") == "3.0 3.0"
    assert [line.partition(": ")[0] for line in done.said] == ["removed six-3.0-py3-none-any.whl from pinstall's store"]
    left = {path.name for path in (lab.cache / "pinstall" / "store" / "http").iterdir() if ".six." in path.name}
    assert len(left) == 1, "the note of the removed file went with it"


def test_each_file_is_listed_with_v_and_what_nobody_wants_any_more_is_set_aside(lab: Lab) -> None:
    index = lab.seeded(_fill)
    for version in ("2.0", "1.0"):
        lab.pinstall(lab.environment(), "-i", index.url, f"six=={version}")
    path = lab.cache / "pinstall" / "wanted.json"
    document = json.loads(path.read_text())
    assert sorted(document["wanted"]["six"]) == ["1.0", "2.0"]
    document["wanted"]["six"]["2.0"] = time.time() - 31 * 86_400
    path.write_text(json.dumps(document))
    done = lab.pinstall(lab.environment(), "-i", index.url, "six==1.0", "-v")
    name = "six-2.0-py3-none-any.whl"
    assert done.said == [
        f"set aside {name} from pip's cache: another version is pinned (other-version); for six==1.0 (argument)",
        f"set aside {name} from pip's cache in pinstall's store until needed: {WHY}",
    ]


# The file


def test_wanted_versions_are_remembered_for_thirty_days(tmp_path: Path) -> None:
    wanted = Wanted(str(tmp_path))
    for text in ("1.0", "2.0+cpu"):
        wanted.add("demo", Version(text))
    assert wanted.has_changes
    wanted.write()
    again = Wanted(str(tmp_path))
    again.add("demo", Version("1.0"))
    assert not again.has_changes, "once a day is enough"
    found = [text for text in ("1", "1.0.0", "1.0+cpu", "2.0", "2.0+cpu", "3.0") if again.has("demo", Version(text))]
    assert found == ["1", "1.0.0", "1.0+cpu", "2.0+cpu"]
    assert not again.has("other", Version("1.0"))
    path = tmp_path / "pinstall" / "wanted.json"
    path.write_text(path.read_text().replace('"2.0+cpu": ', '"2.0+cpu": -'))
    again = Wanted(str(tmp_path))
    again.add("other", Version("1.0"))
    again.write()
    assert json.loads(path.read_text())["wanted"].keys() == {"demo", "other"}
    assert [text for text in ("1.0", "2.0+cpu") if again.has("demo", Version(text))] == ["1.0"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 2, "wanted": {"demo": {"1.0": 9e9}}}',
        '{"format": 1, "wanted": []}',
        "[" * 9_999,
    ]
    + [
        f'{{"format": 1, "wanted": {{"demo": {value}}}}}'
        for value in ("1", "[]", '{"1.0": "x"}', '{"1.0": null}', '{"1.0": 1e999}', '{"x": 9e9}')
    ],
    ids=lambda text: text[:50],
)
def test_a_damaged_file_wants_nothing_and_is_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pinstall" / "wanted.json"
    path.parent.mkdir()
    path.write_text(text)
    wanted = Wanted(str(tmp_path))
    assert not wanted.has("demo", Version("1.0"))
    wanted.add("demo", Version("2.0"))
    wanted.write()
    assert Wanted(str(tmp_path)).has("demo", Version("2.0"))
