"""The documents lead where they say."""

from __future__ import annotations

import html
import os
import re

import pytest

from scripts import matrix
from tests.consoles import ROOT

_LINK = re.compile(r"\]\((?!https?:)([^)]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))


@pytest.mark.parametrize("document", _DOCUMENTS)
def test_links(document: str) -> None:
    for link in _LINK.findall((ROOT / document).read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = ROOT / os.path.normpath(os.path.join(os.path.dirname(document), path) if path else document)
        assert target.exists(), link
        headings = _HEADING.findall(target.read_text(encoding="utf-8")) if anchor else []
        # As GitHub makes them.
        anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, link


def test_each_document_is_named_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [document for document in _DOCUMENTS if f"({document})" not in text and document != "README.md"] == []


def test_the_readme_is_short_and_its_recording_shows_its_demo() -> None:
    """scripts/record-demo makes the recording."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Links\n")[0]
    assert len(text.split()) <= 900
    svg = html.unescape(re.sub("<[^>]*>", "", (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8"))).replace("\xa0", " ")
    commands = re.findall(r"^\$ .*$", text.partition("## Try it")[2].partition("\n## ")[0], re.MULTILINE)
    assert commands
    assert [command for command in commands if command not in svg] == []
    assert "url(" not in svg, "a picture fetches nothing"


def test_the_tables_of_platforms_are_those_of_the_results() -> None:
    """scripts/matrix makes them; `scripts/matrix --tables` makes them anew without running anything."""
    text, results = matrix.DOCUMENT.read_text(encoding="utf-8"), matrix.load()
    assert matrix.document(text, results) == text
    assert set(results) <= set(matrix.commands([])), "no row of a table has this result"
