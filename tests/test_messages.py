"""docs/messages.md says what pinstall can say, and nothing else (`tests.messages` holds the lines of all other tests to it)."""

from __future__ import annotations

import ast
import importlib
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pinstall
from tests.messages import OURS, REASONS, TOOLS, first_cells, hold
from tests.packages import wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab import Lab

_ROOT = Path(pinstall.__file__).parent
_SOURCES = {path: ast.parse(path.read_text()) for path in sorted(_ROOT.rglob("*.py"))}
_STRINGS = [node.value for tree in _SOURCES.values() for node in ast.walk(tree) if isinstance(node, ast.Constant)]
# They are no verdicts with a reason: nothing is proven of what a pin does not name, nor of what cannot be read.
_OTHERS = {"other-version", "unreadable"}


def _reasons() -> Iterator[str]:
    """Yield the first argument of each ``Delete(...)``, ``Hide(...)`` and ``SetAside(...)``."""
    for path, tree in _SOURCES.items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("Delete", "Hide", "SetAside")
            ):
                reason = node.args[0]
                if isinstance(reason, ast.Name):
                    module = ".".join(["pinstall", *path.relative_to(_ROOT).with_suffix("").parts])
                    yield getattr(importlib.import_module(module), reason.id)
                else:
                    assert isinstance(reason, ast.Constant), ast.unparse(node)
                    yield str(reason.value)


def test_each_reason_of_a_verdict_is_in_the_table() -> None:
    found = set(_reasons())
    assert "wrong-hash" in found
    assert sorted(first_cells(REASONS)) == sorted(found | _OTHERS)


@pytest.mark.parametrize("template", [*first_cells(OURS), *first_cells(TOOLS)])
def test_what_stands_in_the_table_is_said_by_the_code(template: str) -> None:
    """Its fixed words, as they stand together."""
    phrases = [phrase.strip() for part in template.split("...") for phrase in re.split(r", but |[:;,(){}]", part)]
    strings = [string for string in _STRINGS if isinstance(string, str)]
    said = [phrase for phrase in phrases if phrase]
    assert said
    assert [phrase for phrase in said if not any(phrase in string for string in strings)] == []


@pytest.mark.parametrize("heading", [OURS, TOOLS])
def test_what_is_not_in_the_table_is_seen(heading: str) -> None:
    hold(first_cells(heading)[0], heading)
    with pytest.raises(AssertionError, match="has nothing like it: nobody says so"):
        hold("nobody says so", heading)


def test_what_somebody_else_wrote_is_nothing_that_a_terminal_obeys(lab: Lab) -> None:
    """A wheel in the cache has a file whose name would clear the screen."""
    index = lab.index()
    index.hashes = ()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    with zipfile.ZipFile(lab.bodies()[0], "a") as archive:
        archive.writestr("\x1b[2J.py", "")
    (said,) = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0").said
    assert ": its RECORD does not list \\x1b[2J.py (damaged); " in said
