"""pinstall's table of options has exactly the options of pip, for every version of pip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pinstall.cli import PIP_COMMANDS
from pinstall.invocation import options

if TYPE_CHECKING:
    from pinstall.invocation.options import Option
    from tests.beliefs.conftest import Judge

# pip's callbacks parse their values; for pinstall these are "raw" texts or a switch. Two of its rows have one dest in pip.
_MERGED = {"release_control": {"all_releases", "only_final"}}


def _dest(row: Option, theirs: str) -> str:
    return theirs if row.dest in _MERGED.get(theirs, ()) else row.dest


def _actions(row: Option) -> list[tuple[str, int]]:
    """Return the pairs (action, number of values) that optparse may have for a row."""
    return {
        "flag": [("store_true", 0)],
        "unflag": [("store_false", 0), ("callback", 0)],  # the callback of --no-use-pep517 looks for setuptools
        "count": [("count", 0)],
        "value": [("store", 1)],
        "int": [("store", 1)],
        "float": [("store", 1)],
        "list": [("append", 1)],
        "raw": [("callback", 1)],
        "pair": [("callback", 1)],
        "off": [("callback", 0)],
        "help": [("help", 0)],
    }[row.action]


@pytest.mark.parametrize("command", options.COMMANDS)
def test_the_table_has_the_options_of_each_command(judge: Judge, command: str) -> None:
    asked = judge.ask("options", command=command)
    assert (asked is None) == (command == "lock" and judge.version < (25, 1))
    theirs = {" ".join(row["names"]): row for row in asked or ()}
    ours = {row.names: row for row in options.table(judge.version, command) if theirs}
    assert sorted(ours) == sorted(theirs)
    for names, row in ours.items():
        assert (theirs[names]["action"], theirs[names]["takes"]) in _actions(row), names
        assert (row.action in ("int", "float")) == (theirs[names]["type"] in ("int", "float")), names
        assert theirs[names]["dest"] in (_dest(row, theirs[names]["dest"]), None), names


def test_the_table_has_the_options_of_requirements_files(judge: Judge) -> None:
    theirs = {" ".join(row["names"]) for row in judge.ask("file_options")}
    assert {row.names for row in options.file_table(judge.version)} == theirs


def test_options_with_one_dest_have_one_action(judge: Judge) -> None:
    """Options with one dest are switches of one value, because the configuration treats them as one."""
    by_dest: dict[str, set[str]] = {}
    for row in options.table(judge.version):
        by_dest.setdefault(row.dest, set()).add(row.action)
    assert {dest for dest, actions in by_dest.items() if len(actions) > 1} <= {
        "compile",
        "use_user_site",
        "use_pep517",
        "cache_dir",
    }


def test_no_pip_has_the_option_of_pinstall(judge: Judge) -> None:
    """Nor would a pip take ``--explain`` for an option of its own, as it takes abbreviations."""
    commands = [command for command in options.COMMANDS if command != "lock" or judge.version >= (25, 1)]
    names = [name for command in commands for row in judge.ask("options", command=command) for name in row["names"]]
    assert "--dry-run" in names
    assert [name for name in names if name.startswith("--explain")] == []


def test_pinstall_knows_the_commands_that_it_refuses(judge: Judge) -> None:
    theirs = {*judge.ask("commands")} - {"wheel"}
    assert theirs <= {*PIP_COMMANDS}
    assert {*PIP_COMMANDS} - theirs <= ({"lock"} if judge.version < (25, 1) else set())
