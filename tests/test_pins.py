"""Requirements are recognised as pins, with their project, version or URL, and the place where they were written."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from pinstall.invocation.requirements_files import RequirementLine
from pinstall.model.digest import Digest
from pinstall.model.pins import Pin, Pins, collect
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

_COMMIT = "0123456789abcdef" * 2 + "01234567"
_HASH = "sha256:" + "a" * 64


def _pins(*texts: str, constraints: tuple[str, ...] = ()) -> list[Pin]:
    lines = [
        RequirementLine(text, f"c.txt, line {number}", constraint=True) for number, text in enumerate(constraints, start=1)
    ]
    return list(collect([*lines, *(RequirementLine(text, "argument") for text in texts)], {}).pins)


@pytest.mark.parametrize(
    "text",
    [
        "demo",
        "demo>=1",
        "demo>=1,<=1",
        "demo~=1.0",
        "demo!=1.0",
        "demo==1.*",
        "demo[x]==1.0.*",
        "demo===odd",
        "demo==1.0; python_version < '3'",
        "demo==1.0 ; extra == 'x'",
        "demo==1.0,==2.0",
        "demo==1.0,!=1.0",
        "demo==1.0,>1.0",
        "demo=1.0",
        "demo==",
        "==1.0",
        "",
        "demo @ git+https://h/r",
        "demo @ git+https://h/r@main",
        "demo @ git+https://h/r@0123456",
        "git+https://h/r@main#egg=demo",
        "git+ssh://git@h/r#egg=demo",
        "https://h/no-archive",
        "./no/such/demo-1.0.zip",
        "demo==1.0; no_such_marker == 'x'",
    ],
)
def test_a_requirement_without_one_exact_version_or_source_is_not_a_pin(text: str) -> None:
    assert _pins(text) == []


@pytest.mark.parametrize(
    ("text", "project", "admitted", "others"),
    [
        ("demo==1.0", "demo", ["1.0", "1", "1.0.0", "1.0+local"], ["1.0.1", "1.0.post1", "1.0rc1"]),
        ("demo == 1.0", "demo", ["1.0"], ["2"]),
        ("demo==1.0+local", "demo", ["1.0+local", "1.0.0+LOCAL"], ["1.0", "1.0+other"]),
        ("demo===1.0", "demo", ["1.0"], ["1.0.0"]),
        ("demo==1.0rc1", "demo", ["1.0rc1", "1.0.rc1"], ["1.0"]),
        ("demo==v1.0", "demo", ["1.0"], ["2"]),
        ("demo==1!1.0", "demo", ["1!1.0"], ["1.0"]),
        ("demo==1.0,>=0.5", "demo", ["1.0"], ["0.7"]),
        ("demo==1.0,==1.0.0", "demo", ["1.0"], ["2"]),
        ("demo==1.0,==1.*", "demo", ["1.0"], ["1.1"]),
        ("demo (==1.0)", "demo", ["1.0"], ["2"]),
        ("Demo_Two.Three==1.0", "demo-two-three", ["1.0"], ["2"]),
        ("demo[x,y]==1.0", "demo", ["1.0"], ["2"]),
        ("demo==1.0; python_version > '3'", "demo", ["1.0"], ["2"]),
        ("demo==1.0;python_version>'3'", "demo", ["1.0"], ["2"]),
        ("demo==1.0 ;", "demo", ["1.0"], ["2"]),
        ("demo==1.0; extra != 'x'", "demo", ["1.0"], ["2"]),
    ],
)
def test_an_exact_version_is_a_pin(text: str, project: str, admitted: list[str], others: list[str]) -> None:
    (pin,) = _pins(text)
    assert (pin.project, pin.url, pin.has_version, pin.requested) == (project, "", True, True)
    assert [version for version in admitted + others if pin.admits(Version(version))] == admitted


@pytest.mark.parametrize(
    ("text", "project", "url"),
    [
        ("https://h/demo-1.0.zip", "demo", "https://h/demo-1.0.zip"),
        ("https://h/demo_two-1.0.tar.gz#sha256=aa", "demo-two", "https://h/demo_two-1.0.tar.gz#sha256=aa"),
        ("https://h/demo-1.0-py3-none-any.whl; python_version > '3'", "demo", "https://h/demo-1.0-py3-none-any.whl"),
        ("https://h/x.zip#egg=Demo", "demo", "https://h/x.zip#egg=Demo"),
        ("https://h/demo-1.0.zip?a;b", "demo", "https://h/demo-1.0.zip?a;b"),
        ("demo @ https://h/x", "demo", "https://h/x"),
        ("demo[x] @ https://h/x ; python_version > '3'", "demo", "https://h/x"),
        (f"demo @ git+https://h/r@{_COMMIT}", "demo", f"git+https://h/r@{_COMMIT}"),
        (f"git+https://h/r@{_COMMIT}#egg=demo", "demo", f"git+https://h/r@{_COMMIT}#egg=demo"),
        (
            f"git+ssh://git@h/r.git@{_COMMIT}#egg=demo&subdirectory=x",
            "demo",
            f"git+ssh://git@h/r.git@{_COMMIT}#egg=demo&subdirectory=x",
        ),
    ],
)
def test_the_url_of_one_source_is_a_pin(text: str, project: str, url: str) -> None:
    (pin,) = _pins(text)
    assert (pin.project, pin.url, pin.has_version) == (project, url, False)


def test_the_path_of_an_archive_is_a_pin(tmp_path: Path) -> None:
    made, built = sdist(tmp_path, "demo", "1.0"), wheel(tmp_path, "other", "2.0")
    (tmp_path / "folder.zip").mkdir()
    with contextlib.chdir(tmp_path):
        pins = _pins(str(made), f"./{built.name}[x]", built.name + " ; python_version < '3'", "folder.zip", "none.whl")
    found = [(pin.project, pin.url, sorted(pin.extras)) for pin in pins]
    assert found == [("demo", f"file://{made}", []), ("other", f"file://{built}", ["x"])]


def test_a_pin_has_the_extras_of_all_its_lines() -> None:
    (pin,) = _pins("demo[Some_thing]==1.0", "demo[other]", constraints=("demo<2",))
    assert pin.extras == {"some-thing", "other"}
    (pin,) = _pins("https://h/x.zip#egg=demo[X_y,z]&sha256=aa")  # which pip 26.3 refuses
    assert pin.extras == {"x-y", "z"}


@pytest.mark.parametrize("lines", [("demo==1.0", "demo==1.0+label"), ("demo==1.0+label", "demo==1.0")])
def test_the_version_with_a_label_is_the_one_that_two_lines_name(lines: tuple[str, str]) -> None:
    (pin,) = _pins(*lines)
    assert str(pin.version) == "1.0+label"


def test_a_requirement_and_its_constraints_form_one_pin() -> None:
    (pin,) = _pins("Demo>=0.5", constraints=("demo==1.0", "other==2.0", "demo<3"))[:1]
    assert (str(pin.specifier), pin.requested, pin.places) == (str(SpecifierSet("==1.0,>=0.5,<3")), True, ("c.txt, line 1",))


def test_a_constraint_alone_is_a_pin_that_is_not_requested() -> None:
    assert [(pin.project, pin.requested) for pin in _pins(constraints=("demo==1.0",))] == [("demo", False)]


@pytest.mark.parametrize("constraint", ["demo==2.0", "demo<1", "demo!=1.0", "demo==1.0.1"])
def test_contradictory_lines_are_not_a_pin(constraint: str) -> None:
    assert _pins("demo==1.0", constraints=(constraint,)) == []


def test_two_different_urls_are_not_a_pin() -> None:
    assert _pins("demo @ https://a/x", constraints=("demo @ https://b/x",)) == []
    assert len(_pins("demo @ https://a/x", constraints=("demo @ https://a/x",))) == 1


def test_hashes_alone_are_a_pin() -> None:
    (pin,) = collect([RequirementLine("demo>=1", "r.txt, line 1", hashes=(_HASH, "nonsense", _HASH))], {}).pins
    assert (pin.hashes, pin.has_version, pin.places) == ((Digest("sha256", "a" * 64),), False, ("r.txt, line 1",))


def test_an_editable_is_not_a_pin() -> None:
    assert collect([RequirementLine("demo==1.0", "argument", editable=True)], {}) == Pins((), loose=True)


def test_markers_are_evaluated_for_the_environment() -> None:
    line = RequirementLine("demo==1.0; sys_platform == 'beos'", "argument")
    assert collect([line], {"sys_platform": "beos"}).pins
    assert not collect([line], {}).pins


@pytest.mark.parametrize(
    ("texts", "loose"),
    [
        (["a==1", "b==2"], False),
        (["a==1", "b"], True),
        (["a==1", "a"], False),
        (["a==1", "."], True),
        (["a==1", "git+https://h/r#egg=b"], True),
        (["a==1", "b; sys_platform == 'beos'"], False),
        (["a==1", "b==2; sys_platform == 'beos'"], False),
        ([], False),
    ],
)
def test_a_call_is_loose_if_it_requests_anything_that_is_not_pinned(texts: list[str], *, loose: bool) -> None:
    assert collect([RequirementLine(text, "argument") for text in texts], {}).loose is loose


def test_an_unpinned_constraint_does_not_make_a_call_loose() -> None:
    assert (
        collect([RequirementLine("a==1", "argument"), RequirementLine("b>1", "c.txt, line 1", constraint=True)], {}).loose
        is False
    )
