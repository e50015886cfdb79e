"""Nearly all docstrings name a noun instead of "what", and a condition instead of "is none"."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.consoles import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = ROOT / "pinstall"
_SHARE = 0.02  # for the docstrings that need such a word
_WHAT = re.compile(r"\bwhat(ever)?\b", re.IGNORECASE)
_NONE = re.compile(r"\b(is|are) (none|no)\b", re.IGNORECASE)


def _docstrings() -> Iterator[tuple[str, str]]:
    """Yield each docstring of the package after its file, line and name."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)} {getattr(node, 'name', '')}"
                if text := ast.get_docstring(node):
                    yield place.rstrip(), text


def _is_vague(docstring: str) -> bool:
    return bool(_WHAT.search(docstring.splitlines()[0]) or _NONE.search(" ".join(docstring.split())))


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Return what the page says.", True),
        ("Keep the entry, whatever its age.", True),
        ("Parse a version; None if it is none.", True),
        ("Parse a size.\n\nReturns None if there is\nno number.", True),
        ("Return the digest; None if the page states none.\n\npip 26.3 decides what counts.", False),
        ('Return the fault; "" if it is not known.', False),
    ],
)
def test_which_docstrings_are_vague(docstring: str, expected: bool) -> None:
    assert _is_vague(docstring) is expected


def test_few_docstrings_are_vague() -> None:
    docstrings = list(_docstrings())
    vague = [f"{place}: {text.splitlines()[0]}" for place, text in docstrings if _is_vague(text)]
    allowed = int(len(docstrings) * _SHARE)
    assert len(vague) <= allowed, "\n".join([f"{len(vague)} of {len(docstrings)}, at most {allowed}:", *vague])
