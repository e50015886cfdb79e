"""The pin that pinstall reads from a line equals the requirement that pip makes of the line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pinstall.invocation.requirements_files import RequirementLine
from pinstall.model.pins import collect
from tests.beliefs.calls import SETTINGS

if TYPE_CHECKING:
    from tests.beliefs.conftest import Judge

_COMMIT = "0123456789abcdef" * 2 + "01234567"
_NAMES = st.sampled_from(["demo", "Demo", "demo_two", "demo.two", "d--2"])
_SPECIFIERS = st.lists(
    st.tuples(
        st.sampled_from(["==", "==", "===", ">=", "<", "!=", "~="]),
        st.sampled_from(["1.0", "1.*", "2", "1.0+x", "1rc1", "1!1"]),
    ),
    max_size=2,
).map(lambda found: ",".join(f"{operator}{version}" for operator, version in found))
_TAILS = st.sampled_from(
    ["", " ", "; python_version>'3'", " ; python_version < '3'", ";", "; extra == 'x'", "; os_name", " # x"]
)
_URLS = st.sampled_from(
    [
        "https://h/demo-1.0.zip",
        "https://h/demo-1.0-py3-none-any.whl#sha256=aa",
        "https://h/x?y#egg=demo",
        f"git+https://h/r@{_COMMIT}#egg=demo",
        "file:../demo-1.0-py3-none-any.whl",
        "file:./x/../demo-1.0.zip#md5=0123",
        "file:demo-1.0.zip#md5=0123",
    ]
)
_TEXTS = st.one_of(
    st.tuples(_NAMES, st.sampled_from(["", "[x]", " ", "[x, y]"]), _SPECIFIERS, _TAILS).map("".join),
    st.tuples(
        _NAMES,
        st.sampled_from([" @ ", "@"]),
        _URLS,
        st.sampled_from(["", " ; python_version > '3'", " ; python_version < '3'"]),
    ).map("".join),
    st.tuples(_URLS, _TAILS).map("".join),
    st.text("demo=1.<>!~@[];, '", max_size=12),
)


@given(text=_TEXTS)
@SETTINGS
def test_a_pin_equals_the_requirement_that_pip_reads(judges: list[Judge], text: str) -> None:
    """Name, extras, versions and URL of a pin are those of the requirement that every pip makes of the line."""
    with contextlib.chdir("/"):
        found = collect([RequirementLine(text, "argument")], {}).pins
    for judge in judges[3:]:  # the packaging in older pips parses versions in another way
        theirs = judge.ask("requirement", text=text, folder="/")
        if theirs is None or not theirs["applies"]:
            assert found == (), judge.reason
        elif found:
            (pin,) = found
            assert theirs["name"] is None or canonicalize_name(theirs["name"]) == pin.project
            assert theirs["url"] == pin.url
            assert {canonicalize_name(extra) for extra in theirs["extras"]} == pin.extras
            assert pin.url or SpecifierSet(theirs["specifier"]) == pin.specifier
        else:
            assert not theirs["pinned"] or _contradictory(theirs["specifier"])


def _contradictory(specifier: str) -> bool:
    wanted = SpecifierSet(specifier)
    return not any(wanted.contains(s.version, prereleases=True) for s in wanted if not s.version.endswith("*"))
