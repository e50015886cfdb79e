"""pinstall reads a call as pip does: arguments, variables and configuration files, and the indexes that pip would search."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinstall.invocation.options import COMMANDS
from pinstall.pip_process import PipCommand
from tests.beliefs.calls import SETTINGS, Sandbox, compare

if TYPE_CHECKING:
    from pathlib import Path

    from tests.beliefs.conftest import Judge

_SPELLINGS: list[list[str]] = [
    ["a"],
    ["-qrREQS", "a"],
    ["-rREQS", "-vvq"],
    ["-qqcREQS", "a"],
    ["a", "--index-url=https://x/simple", "b"],
    ["a", "--index-url", "https://x/simple/?a=b#c"],
    ["a", "--pypi-url", "https://x"],
    ["a", "--index=https://x/simple"],
    ["a", "--extra", "https://y"],
    ["a", "--extra-index-url", "https://y", "--extra-index-url=https://z"],
    ["--requ", "REQS"],
    ["--req", "REQS"],
    ["--r", "REQS"],
    ["a", "--no-ind"],
    ["a", "--no"],
    ["a", "--"],
    ["--", "-r", "REQS"],
    ["a", "--", "--", "-b"],
    ["-", "a"],
    ["a", ""],
    ["a", "  "],
    ["a", "--user", "--no-user"],
    ["a", "--no-user", "--user"],
    ["a", "--no-compile", "--compile"],
    ["-r"],
    ["a", "--dry-run=1"],
    ["a", "--nosuch"],
    ["a", "-Z"],
    ["a", "-qZ"],
    ["a", "-i", "-U"],
    ["a", "-fone", "-f", "two", "-f=three", "--find-links=~", "-f", "~/no/such"],
    ["a", "--no-index", "-i", "https://x"],
    ["a", "--cache-dir", "/x", "--no-cache-dir"],
    ["a", "--no-cache-dir", "--cache-dir", "/x"],
    ["a", "--cache-dir="],
    ["a", "--cache-dir", "relative/../cache"],
    ["a", "--cache-dir", "~/cache"],
    ["a", "--no-binary", ":all:", "--only-binary=x,y", "--no-binary=y"],
    ["a", "--config-settings", "k=v", "--config-settings=k=w"],
    ["a", "-C", "k=v"],
    ["a", "--config-setting", "k"],
    ["-t", "there", "--prefix=p", "--root", "r", "-U", "-I", "a"],
    ["-e", ".", "-e", "git+https://h/r@x#egg=y", "a"],
    ["-c", "REQS", "-r", "REQS", "-e", "x", "a"],
    ["a", "--isolated", "--is"],
    ["a", "--python-version", "3.7"],
    ["a", "--refresh-package", "b"],
    ["a", "--only-deps"],
    ["a", "--no-require-hashes"],
    ["a", "--require-hashes"],
    ["a", "--group", "dev"],
    ["a", "--build-constraint", "REQS"],
    ["a", "--no-use-pep517"],
    ["a", "--use-pep517"],
    ["a", "--global-option=x"],
    ["a", "--install-option=x"],
    ["a", "-V"],
    ["a", "--retries", "3", "--timeout", "5.5"],
    ["a", "--exists-action", "w"],
    ["-r", "no-such-file"],
]


@pytest.mark.parametrize("argv", _SPELLINGS, ids=" ".join)
def test_spellings_of_arguments(judges: list[Judge], sandbox: Sandbox, argv: list[str]) -> None:
    requirements = sandbox.write("reqs.txt", "b==1.0\n")
    compare(judges, sandbox, [argument.replace("REQS", requirements) for argument in argv])


_VARIABLES: list[dict[str, str]] = [
    {"PIP_NO_CACHE_DIR": "false"},
    {"PIP_NO_CACHE_DIR": "1"},
    {"PIP_NO_CACHE_DIR": ""},
    {"PIP_NO_CACHE_DIR": "maybe"},
    {"PIP_NO_CACHE_DIR": "1", "PIP_CACHE_DIR": "/x"},
    {"PIP_CACHE_DIR": "/x", "PIP_NO_CACHE_DIR": "off"},
    {"PIP_CACHE_DIR": "/x"},
    {"PIP_CACHE_DIR": ""},
    {"PIP_CACHE_DIR": "~/x"},
    {"XDG_CACHE_HOME": "/x"},
    {"PIP_EXTRA_INDEX_URL": "https://a https://b\thttps://c\nhttps://d"},
    {"PIP_FIND_LINKS": "three four"},
    {"PIP_FIND_LINKS": " "},
    {"PIP_INDEX_URL": "https://x"},
    {"PIP_INDEX_URL": " https://x "},
    {"PIP_INDEX_URL": ""},
    {"PIP_PYPI_URL": "https://x"},
    {"PIP_PYPI_URL": "https://y", "PIP_INDEX_URL": "https://x"},
    {"PIP_INDEX_URL": "https://x", "PIP_PYPI_URL": "https://y"},
    {"pip_index_url": "https://x"},
    {"PIP_index_URL": "https://x"},
    {"PIP_INDEX-URL": "https://x"},
    {"PIP___INDEX_URL": "https://x"},
    {"PIP_I": "https://x"},
    {"PIP_INDEX": "https://x"},
    {"PIP_QUIET": "2", "PIP_VERBOSE": "yes"},
    {"PIP_QUIET": "-1"},
    {"PIP_QUIET": "no"},
    {"PIP_QUIET": " 3 "},
    {"PIP_VERBOSE": "1_0"},
    {"PIP_VERBOSE": "maybe"},
    {"PIP_VERBOSE": "\u0663"},
    {"PIP_NO_INDEX": "on"},
    {"PIP_NO_INDEX": "perhaps"},
    {"PIP_NO_INDEX": "0"},
    {"PIP_NO_INDEX": ""},
    {"PIP_NO_INDEX": "TRUE"},
    {"PIP_NO_INDEX": " on"},
    {"PIP_NO_SUCH": "1", "PIP_VERSION": "7", "PIP_HELP": "1"},
    {"PIP_DRY_RUN": "1", "PIP_FORCE_REINSTALL": "true", "PIP_UPGRADE": "n"},
    {"PIP_NO_DEPS": "1", "PIP_NO_DEPENDENCIES": "0"},
    {"PIP_NO_COMPILE": "1"},
    {"PIP_NO_USER": "1"},
    {"PIP_USER": "1", "PIP_NO_USER": "0"},
    {"PIP_NO_BUILD_ISOLATION": "0"},
    {"PIP_NO_BUILD_ISOLATION": "1"},
    {"PIP_NO_BINARY": ":all:"},
    {"PIP_ONLY_BINARY": "x y"},
    {"PIP_CONFIG_SETTINGS": "a=b c=d"},
    {"PIP_CONFIG_SETTINGS": "ab"},
    {"PIP_REQUIRE_HASHES": "1"},
    {"PIP_ISOLATED": "1", "PIP_INDEX_URL": "https://x"},
    {"PIP_TARGET": "x"},
    {"PIP_DEFAULT_TIMEOUT": "3"},
    {"PIP_TIMEOUT": "soon"},
    {"PIP_LOG": "x"},
    {"PIP_EXISTS_ACTION": "w i"},
    {"PIP_CONFIG_FILE": "/no/such"},
    {"PIP_REFRESH_PACKAGE": "a,b"},
]


@pytest.mark.parametrize("arguments", [[], ["--isolated"]], ids=" ".join)
@pytest.mark.parametrize("environ", _VARIABLES, ids=str)
def test_environment_variables(judges: list[Judge], sandbox: Sandbox, environ: dict[str, str], arguments: list[str]) -> None:
    compare(judges, sandbox, ["a", *arguments], environ)


@pytest.mark.parametrize(
    "option", ["--cache-dir=/y", "--no-cache-dir", "-ihttps://y", "--extra-index-url=https://y", "-fy", "-v", "-qq"]
)
@pytest.mark.parametrize("environ", [v for v in _VARIABLES if not {"PIP_CONFIG_FILE"} & set(v)][:34], ids=str)
def test_options_override_or_extend_variables(
    judges: list[Judge], sandbox: Sandbox, environ: dict[str, str], option: str
) -> None:
    compare(judges, sandbox, ["a", option], environ)


@pytest.mark.parametrize(
    "environ", [{"PIP_REQUIREMENT": "REQS"}, {"PIP_CONSTRAINT": "REQS REQS"}, {"PIP_EDITABLE": "x y"}], ids=str
)
@pytest.mark.parametrize("arguments", [["a"], ["-r", "REQS"], ["-c", "REQS"]], ids=" ".join)
def test_requirements_in_environment_variables(
    judges: list[Judge], sandbox: Sandbox, environ: dict[str, str], arguments: list[str]
) -> None:
    requirements = sandbox.write("reqs.txt", "b==1.0\n")
    filled = {name: value.replace("REQS", requirements) for name, value in environ.items()}
    compare(judges, sandbox, [argument.replace("REQS", requirements) for argument in arguments], filled)


_FILES: list[str] = [
    "[global]\nindex-url = https://g\n[install]\nindex-url = https://i\n",
    "[install]\nindex_url = https://i\n[global]\nINDEX-URL: https://g\n",
    "[global]\n--index-url = https://g\n",
    "[global]\nextra-index-url =\n  https://a\n  https://b\n",
    "[install]\nno-index = 1\n",
    "[global]\nno-cache-dir = false\n",
    "[global]\nno-cache-dir = true\n[install]\ncache-dir = /x\n",
    "[global]\nno-cache-dir = \n",
    "[list]\nindex-url = https://l\n",
    "[DEFAULT]\nindex-url = https://d\n[global]\ntimeout = 3\n",
    "[Global]\nindex-url = https://g\n",
    "[global]\nindex-url = %(x)s%%\n",
    "[global]\nfind-links = a ; b\n# c\n; d\n",
    "[global]\nverbose = 2\nquiet = yes\n",
    "[:env:]\nindex-url = https://e\n",
    "[global]\nconfig-settings = a=b\n",
    "[global]\nno-binary = :all:\nonly-binary = x\n",
    "[global]\nindex-url\n",
    "[global]\nindex-url = https://a\nindex-url = https://b\n",
    "[global]\nindex-url = https://a\n[global]\nindex-url = https://b\n",
    "index-url = https://a\n",
    "[global\nx",
    "\xff",
    "",
    "[global]\nno-such = 1\nno-index = \n",
]


@pytest.mark.parametrize("place", ["site", "user", "legacy", "global", "own"])
@pytest.mark.parametrize("content", _FILES)
def test_configuration_files(judges: list[Judge], sandbox: Sandbox, content: str, place: str) -> None:
    environ = sandbox.configure(place, content)
    for arguments in ([], ["--isolated"]):
        compare(judges, sandbox, ["a", *arguments], environ)


def test_one_setting_in_two_spellings(judges: list[Judge], sandbox: Sandbox) -> None:
    """Today's pip refuses this. Older pips take the last one; pinstall forwards such a call unchanged."""
    sandbox.configure("site", "[global]\nindex-url = https://a\nindex_url = https://b\n")
    compare(judges[-1:], sandbox, ["a"])


@pytest.mark.parametrize("empty", [False, True])
def test_precedence_of_configuration_files(judges: list[Judge], sandbox: Sandbox, *, empty: bool) -> None:
    """The strongest file with a value wins; with *empty*, the value in the strongest file is the empty string."""
    environ: dict[str, str] = {}
    for place in ("global", "legacy", "user", "site", "own"):
        environ.update(sandbox.configure(place, f"[global]\nindex-url = {'' if empty and environ else 'https://' + place}\n"))
        compare(judges, sandbox, ["a"], environ)
        compare(judges, sandbox, ["a"], {**environ, "PIP_INDEX_URL": ""})


_URLS = st.sampled_from(["https://h/simple", "https://u:p@h/simple/", "relative", "", " ", "-x", "--no-index", "--", "a b"])
_VALUES = st.one_of(_URLS, st.sampled_from(["1", "0", "true", "no", "maybe", "2", "-1", "~", "k=v", ":all:", "x,y"]))
_SWITCHES = """
    -q -v -qv -U -I -qqU --user --no-user --dry-run --no-index --no-deps --pre --upgrade --no-cache-dir --force-rein --no-input
    --no-verify
    --isolated --no-color --require-hashes --quiet --verb --no-build-isolation --compile --no-comp --ignore-inst --prefer
"""
_WITH_VALUE = """
    -d -w -o --dest --wheel-dir --output --build-option
    -e -i -f -t -qf -vf --index-url --extra-index-url --find-links --cache-dir --target --root --prefix --trusted-host --log
    --proxy --cert --find --extra-i --cache --platform --abi --pyp --no-binary --only-binary --config-settings
"""
_FLAGS, _TAKING = st.sampled_from(_SWITCHES.split()), st.sampled_from(_WITH_VALUE.split())
_ARGUMENTS = st.one_of(
    st.sampled_from(["a", "demo==1.0", "--", "-", "x/y.whl", "", "-r", "-c", "\u00e9"]).map(lambda argument: [argument]),
    _FLAGS.map(lambda argument: [argument]),
    st.tuples(_TAKING, _VALUES).map(list),
    st.tuples(_TAKING, _VALUES).map(lambda pair: [f"{pair[0]}={pair[1]}" if pair[0].startswith("--") else "".join(pair)]),
)
_CONFIGURED = """
    index-url extra-index-url find-links no-index cache-dir no-cache-dir verbose quiet dry-run user no-user target no-binary
    only-binary config-settings pypi-url upgrade force-reinstall editable no-deps require-hashes pre compile no-compile
"""
_NAMES = _CONFIGURED.split()
_ENVIRON = st.dictionaries(st.sampled_from([f"PIP_{name.replace('-', '_').upper()}" for name in _NAMES]), _VALUES, max_size=3)
_SECTIONS = st.sampled_from(["global", "install", "wheel", "list"])
_ITEMS = st.lists(st.tuples(_SECTIONS, st.sampled_from(_NAMES), _VALUES), max_size=3)


def _configuration(items: list[tuple[str, str, str]]) -> str:
    sections: dict[str, dict[str, str]] = {}
    for section, name, value in items:
        sections.setdefault(section, {})[name] = value
    return "".join(f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in values.items()) for name, values in sections.items())


@given(
    command=st.sampled_from(["install", *COMMANDS]),
    argv=st.lists(_ARGUMENTS, max_size=5).map(lambda groups: [argument for group in groups for argument in group]),
    environ=_ENVIRON,
    site=_ITEMS,
    user=_ITEMS,
)
@example(command="install", argv=[], environ={"PIP_CACHE_DIR": "/x"}, site=[("global", "no-cache-dir", "1")], user=[])
@SETTINGS
def test_arbitrary_calls(
    judges: list[Judge],
    scratch: Path,
    *,
    command: str,
    argv: list[str],
    environ: dict[str, str],
    site: list[Any],
    user: list[Any],
) -> None:
    sandbox = Sandbox(scratch)
    sandbox.configure("site", _configuration(site))
    sandbox.configure("user", "")
    compare(judges, sandbox, argv, environ, command)
    sandbox.configure("user", _configuration(user))
    # Some pips of 2025 also read values that a stronger file overrides: they may refuse such a value, and an empty value of
    # the stronger file does not hide it.
    compare((judge for judge in judges if judge.version[0] != 25), sandbox, argv, environ, command)


@given(argv=st.lists(_ARGUMENTS, max_size=5).map(lambda groups: [argument for group in groups for argument in group]))
@example(argv=["a", "--report", "--"])
@example(argv=["a", "--report", "--", "--", "--"])
@example(argv=["a", "--"])
@SETTINGS
def test_setting_the_cache_folder_changes_nothing_else(judges: list[Judge], scratch: Path, *, argv: list[str]) -> None:
    """The option that pinstall adds overrides all others, and pip takes it neither for a value nor for a requirement."""
    sandbox = Sandbox(scratch)
    places = {"environ": sandbox.environ, "prefix": sandbox.prefix, "folder": sandbox.folder}
    for judge in judges:
        before = judge.ask("call", argv=argv, **places)
        if before is None:
            continue
        command = PipCommand(argv, judge.version).with_cache("/view")
        after = judge.ask("call", argv=command.arguments, **places)
        assert after["values"].pop("cache_dir") == "/view"
        before["values"].pop("cache_dir")
        assert (after["values"], after["lines"]) == (before["values"], before["lines"])


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("own", [None, os.devnull, "", "/no/such", "EXISTS"])
@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"XDG_CACHE_HOME": "/c", "XDG_CONFIG_HOME": "/k", "XDG_CONFIG_DIRS": "/d:/e"},
        {"XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "XDG_CONFIG_DIRS": ""},
        {"XDG_CACHE_HOME": " ", "XDG_CONFIG_HOME": " ", "XDG_CONFIG_DIRS": " "},
        {"XDG_CACHE_HOME": "/c/../d", "XDG_CONFIG_DIRS": "/e:/f:/e"},
        {"HOME": "/other/"},
    ],
    ids=str,
)
def test_locations_of_configuration_and_cache(
    judges: list[Judge], sandbox: Sandbox, environ: dict[str, str], own: str | None, *, isolated: bool
) -> None:
    variables = {"HOME": sandbox.home, **environ}
    if own is not None:
        variables["PIP_CONFIG_FILE"] = sandbox.write("own.conf", "") if own == "EXISTS" else own
    for judge in judges:
        theirs = judge.ask("configuration", environ=variables, prefix=sandbox.prefix, folder=sandbox.folder, isolated=isolated)
        assert sandbox.places(variables, isolated=isolated) == (theirs["files"], theirs["cache"]), judge.name


@pytest.mark.parametrize(
    "environ",
    [
        {"XDG_CACHE_HOME": " /c ", "XDG_CONFIG_HOME": " /k ", "XDG_CONFIG_DIRS": " /d : /e "},
        {"XDG_CACHE_HOME": "c", "XDG_CONFIG_HOME": "k/", "XDG_CONFIG_DIRS": "d:/e"},
        {"XDG_CACHE_HOME": "~/c", "XDG_CONFIG_HOME": "~/k", "XDG_CONFIG_DIRS": "~/d:/e:"},
        {"XDG_CONFIG_DIRS": ":/e::/f:/e"},
    ],
    ids=str,
)
def test_xdg_folders_that_the_specification_does_not_allow(
    judges: list[Judge], sandbox: Sandbox, environ: dict[str, str]
) -> None:
    """pip 26.3 and later ignore them; older pips use them unchanged."""
    variables = {"HOME": sandbox.home, **environ}
    theirs = judges[-1].ask("configuration", environ=variables, prefix=sandbox.prefix, folder=sandbox.folder, isolated=False)
    assert sandbox.places(variables, isolated=False) == (theirs["files"], theirs["cache"])
