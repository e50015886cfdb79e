"""The later one of ``--no-binary`` and ``--only-binary`` wins, wherever it comes from, as in pip's format control."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinstall.invocation import invocation
from pinstall.invocation.format_control import FormatControl
from pinstall.invocation.options import UnreadableCallError
from tests.beliefs.calls import SETTINGS, Sandbox, compare
from tests.lab import needs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.beliefs.conftest import Judge

_OPTIONS = st.sampled_from(["--no-binary", "--only-binary"])
_NAMES = st.sampled_from([":all:", ":none:", "a", "A", "b.c", "b_-C", "", " a", "a b", ":ALL:", ":all: ", "İ"])
_VALUES = st.one_of(
    st.lists(_NAMES, min_size=1, max_size=5).map(",".join),
    st.sampled_from(["-a", "-", "a,-b"]),
    st.text(":,allnoe-", max_size=9),
)
_GIVEN = st.lists(st.tuples(_OPTIONS, _VALUES), max_size=5)


@given(options=_GIVEN, project=st.sampled_from(["a", "b-c", "d", ":all:", ":none:", ""]))
@example(options=[("--only-binary", "a"), ("--no-binary", ":all:")], project="a")
@example(options=[("--no-binary", ":all:"), ("--only-binary", "a")], project="a")
@example(options=[("--no-binary", "a,:all:,b"), ("--no-binary", ":none:")], project="b-c")
@example(options=[("--only-binary", ":all:,:none:,a,:all:,b,:none:,d")], project="d")
@SETTINGS
def test_arbitrary_options_in_any_order(judges: list[Judge], *, options: list[tuple[str, str]], project: str) -> None:
    for judge in judges:
        theirs = judge.ask("formats", given=options, project=project)
        try:
            ours = FormatControl().after(options)
        except UnreadableCallError:
            assert theirs is None, judge.name
            continue
        assert theirs is not None, f"pip {judge.name}: {judge.reason}"
        assert {name: sorted(names) for name, names in ours._asdict().items()} == {
            name: theirs[name] for name in ("no_binary", "only_binary")
        }
        allowed = [name for name in ("binary", "source") if not ours.refuses(project, is_wheel=name == "binary")]
        assert allowed == theirs["allowed"]


@given(arguments=st.lists(_VALUES, max_size=3), variable=st.none() | _VALUES)
@example(arguments=["B_.C", ":none:,a", "b"], variable=":all:")
@example(arguments=[":all:,:none:,a,:all:,b"], variable=None)
@SETTINGS
def test_refreshed_projects_are_named_as_formats_are(
    judges: list[Judge], scratch: Path, *, arguments: list[str], variable: str | None
) -> None:
    """Names are normalized, and later values add to earlier ones (`Invocation.refreshed`)."""
    environ = {} if variable is None else {"PIP_REFRESH_PACKAGE": variable}
    argv = ["a", *(f"--refresh-package={value}" for value in arguments)]
    compare((judge for judge in judges if judge.version >= (26, 2)), Sandbox(scratch / "formats"), argv, environ)


_VALUE = st.sampled_from([":all:", ":none:", "a", "b", "a,b", "b,:all:", ":all:,:none:,a"])
_SOME = st.lists(st.tuples(_OPTIONS, _VALUE), max_size=3)


def _lines(groups: list[tuple[str, list[tuple[str, str]]]]) -> str:
    return "".join(f"{' '.join([start, *(f'{option}={value}' for option, value in given)])}\n" for start, given in groups)


@given(
    arguments=_SOME,
    variables=st.lists(st.tuples(_OPTIONS, _VALUE), max_size=2, unique_by=lambda pair: pair[0]),
    site=_SOME,
    constraints=st.lists(st.tuples(st.sampled_from(["", "c==1"]), _SOME), max_size=2),
    requirements=st.lists(st.tuples(st.sampled_from(["", "r", "-e .", "-r nested.txt"]), _SOME), max_size=3),
    nested=_SOME,
)
@SETTINGS
def test_arbitrary_options_from_all_sources(
    judges: list[Judge],
    scratch: Path,
    *,
    arguments: list[tuple[str, str]],
    variables: list[tuple[str, str]],
    site: list[tuple[str, str]],
    constraints: list[tuple[str, list[tuple[str, str]]]],
    requirements: list[tuple[str, list[tuple[str, str]]]],
    nested: list[tuple[str, str]],
) -> None:
    sandbox = Sandbox(scratch / "formats")
    configured = {option.removeprefix("--"): value for option, value in site}
    sandbox.configure("site", "[install]\n" + "".join(f"{name} = {value}\n" for name, value in configured.items()))
    sandbox.write("constraints.txt", _lines(constraints))
    sandbox.write("requirements.txt", _lines(requirements))
    sandbox.write("nested.txt", _lines([("n", nested)]))
    argv = ["a", "-r", "requirements.txt", *(f"{option}={value}" for option, value in arguments), "-c", "constraints.txt"]
    environ = {f"PIP_{option[2:].replace('-', '_').upper()}": value for option, value in variables}
    compare(judges, sandbox, argv, environ)


@pytest.mark.parametrize(
    "order", [["-r", "formats.txt", "-r", "pylock.toml"], ["-r", "pylock.toml", "-r", "formats.txt"]], ids=str
)
@pytest.mark.parametrize("arguments", [[], ["-c", "formats.txt"], ["--no-binary", "a"]], ids=str)
@needs("packaging", "26.3")
def test_a_lock_file_is_read_with_the_format_options_before_it(
    judges: list[Judge], sandbox: Sandbox, order: list[str], arguments: list[str]
) -> None:
    sandbox.write("formats.txt", "--no-binary :all:\n")
    sandbox.write(
        "pylock.toml",
        'lock-version = "1.0"\ncreated-by = "tests"\n[[packages]]\nname = "a"\nversion = "1"\n'
        'sdist = {url = "https://host/a-1.tar.gz", hashes = {sha256 = "aa"}}\n'
        'wheels = [{url = "https://host/a-1-py3-none-any.whl", hashes = {sha256 = "bb"}}]\n',
    )
    compare([judge for judge in judges if judge.version >= (26, 1)], sandbox, [*order, *arguments])


@pytest.mark.parametrize(("pip", "refuses"), [((26, 1), False), ((26, 2, 1), False), ((26, 3), True)])
def test_pip_before_26_3_reads_lock_files_without_format_options(pip: tuple[int, ...], refuses: bool) -> None:
    """`PINSTALL_TEST_PIPS=all` has such a pip, in the test above."""
    (lock,) = invocation.read(["-r", "pylock.toml", "--no-binary", ":all:"], {}, "/nowhere", pip).locks
    assert bool(lock.formats.refuses("a", is_wheel=True)) is refuses
