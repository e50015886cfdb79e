"""What is read without packaging is read as packaging reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from pinstall.model.names import exact, normalized

_VERSIONS = st.from_regex(
    r"[0-9]{1,2}(\.[0-9]){0,3}((a|b|rc)[0-9])?(\.post[0-9])?(\.dev[0-9])?(\+[a-z0-9](\.[a-z0-9])?)?", fullmatch=True
)
_NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,6}", fullmatch=True)
_EXTRAS = st.sampled_from(["", "[a]", "[a,B-c]", "[ a , b ]", "[]", "[a,,b]", "[-a]"])
_OPERATORS = st.sampled_from(["==", " == ", "===", ">=", "=", "==!"])
_TAILS = st.sampled_from(["", ".*", "; python_version > '3'", ",<9", " @ https://h/x"])


@given(st.text(st.sampled_from("aB1-_."), max_size=8))
def test_names_are_normalized_as_packaging_does(name: str) -> None:
    assert normalized(name) == canonicalize_name(name)


@given(st.tuples(_NAMES, _EXTRAS, _OPERATORS, _VERSIONS, _TAILS).map("".join))
def test_an_exact_requirement_is_what_packaging_reads(text: str) -> None:
    found = exact(text)
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        assert found is None
        return
    is_exact = not requirement.marker and not requirement.url and [s.operator for s in requirement.specifier] == ["=="]
    if found is None:
        return
    assert is_exact
    assert found == (canonicalize_name(requirement.name), next(iter(requirement.specifier)).version)
    assert requirement.specifier.contains(Version(found[1]), prereleases=True)
    assert requirement.specifier == SpecifierSet(f"=={found[1]}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("demo==1.0", ("demo", "1.0")),
        ("Demo_A [x, y] == 2.0.post1", ("demo-a", "2.0.post1")),
        ("demo==1.0+cu113", ("demo", "1.0+cu113")),
        ("demo==1.0.*", None),
        ("demo==1.0,<2", None),
        ("demo==v1.0", None),
        ("demo==1.0; os_name == 'x'", None),
        ("demo", None),
    ],
)
def test_which_requirements_are_exact(text: str, found: tuple[str, str] | None) -> None:
    assert exact(text) == found
