"""The documents lead where they say."""

from __future__ import annotations

import os
import re

import pytest

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
