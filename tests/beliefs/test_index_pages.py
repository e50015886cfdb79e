"""pinstall reads index pages as pip does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinstall.pip_cache import index_pages
from tests.beliefs.calls import SETTINGS
from tests.beliefs.test_links import plain

if TYPE_CHECKING:
    from tests.beliefs.conftest import Judge

_URL = "https://host/simple/demo/"


def _same_page(judge: Judge, body: bytes, content_type: str) -> None:
    """Assert that pinstall and pip read the same links, and that a page that pinstall calls damaged makes pip fail."""
    charset = judge.ask("charset", content_type=content_type)
    theirs = judge.ask("page", content=body.decode("latin-1"), content_type=content_type, encoding=charset, url=_URL)
    try:
        offers = index_pages.parse(body, {"content-type": content_type}, _URL)
    except (index_pages.DamagedPageError, index_pages.UnknownPageError):
        assert theirs is None
        return
    if theirs is None:
        return  # pip fails on an invalid file even if it does not need that file; pinstall only if it does
    for link in theirs:
        link["metadata"] = None if link["metadata"] is None else link["metadata"]["hashes"]
    filenames = [link.pop("filename") for link in theirs]
    assert [plain(offer.link()) for offer in offers] == theirs, judge.name
    named = [(offer.filename, name) for offer, name in zip(offers, filenames, strict=True) if offer.filename]
    assert [ours for ours, _ in named] == [name for _, name in named]


def _files(**fields: Any) -> dict[str, Any]:
    return {"files": [{"filename": "d-1.zip", "url": "../d-1.zip", "hashes": {}, **fields}]}


_METADATA: list[Any] = [
    None,
    True,
    False,
    {},
    {"sha256": "aa"},
    {"md5": "a", "sha512": "b", "blake2b": "c"},
    {"blake2b": "c"},
    "true",
    1,
]
_DOCUMENTS: list[Any] = [
    {},
    {"files": []},
    _files(),
    _files(hashes={"md5": "a", "sha256": "b"}),
    _files(hashes={"sha256": "b", "md5": "a"}),
    _files(hashes={"blake2b_256": "c", "sha256": "b"}),
    _files(url="d-1.zip#sha256=cc", hashes={"md5": "a", "sha256": "b"}),
    _files(url="d-1.zip#md5=cc", hashes={"sha256": "b"}),
    _files(url="https://u:p@h/a b/d-1.zip?x=y#egg=d"),
    _files(url=""),
    {"files": [{}, {"url": None}, {"url": "x"}]},
    {
        "files": [
            {"url": "a.zip", "hashes": {}, "yanked": True},
            {"url": "b.whl", "hashes": {"sha1": "x"}, "requires-python": ">9"},
        ]
    },
    *({"files": [{"url": "d.whl", "hashes": {}, "core-metadata": value}]} for value in _METADATA),
    *({"files": [{"url": "d.whl", "hashes": {}, "dist-info-metadata": value}]} for value in _METADATA),
    *({"files": [{"url": "d.whl", "hashes": {}, "core-metadata": value, "dist-info-metadata": True}]} for value in _METADATA),
    [],
    "x",
    {"files": "x"},
    {"files": {"a": 1}},
    {"files": [1]},
]


@pytest.mark.parametrize("document", _DOCUMENTS, ids=json.dumps)
def test_json_pages(judges: list[Judge], document: Any) -> None:
    for judge in judges[1:]:
        _same_page(judge, json.dumps(document).encode(), index_pages.JSON)


@pytest.mark.parametrize(
    "content_type",
    [
        index_pages.JSON,
        index_pages.JSON + "; charset=utf-8",
        index_pages.JSON.upper(),
        index_pages.JSON + "x",
        "application/json",
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xef\xbb\xbf{}", b'{"files": [{"url": "\xff"}]}', b"null", '{"files": []}'.encode("utf-16")]
)
def test_json_with_other_content_types_and_encodings(judges: list[Judge], content_type: str, body: bytes) -> None:
    for judge in judges[1:]:
        _same_page(judge, body, content_type)


_ANCHORS = [
    "<a href='x-1.zip'>x</a>",
    '<A HREF="x-1.zip#sha256=aa&amp;egg=x" data-core-metadata="sha256=bb">x',
    "<a>x</a><a href>y</a><a href=''>z</a>",
    '<a href=x.whl data-core-metadata=true data-dist-info-metadata="sha256=cc">',
    '<a href=x.whl data-core-metadata="">',
    "<a href=x.whl data-core-metadata>",
    "<a href=x.whl data-dist-info-metadata=true>",
    '<a href=x.whl data-core-metadata="odd">',
    '<a href=x.whl data-core-metadata="md5=">',
    '<a href=x.whl data-core-metadata="blake2b=aa">',
    '<a href=x.whl data-core-metadata="sha256=a=b">',
    '<a href=x.whl data-core-metadata="" data-dist-info-metadata="true">',
    '<a href=x href=y data-yanked="no">',
    "<!-- <a href=x> --><a href=y>",
    "<script><a href=x></script><a href=y>",
    '<a href="a&#32;b&lt;c&nosuch d">',
    "<a href='x-1.zip'",
    "<a href=x\n\tname=y/>",
    "<br/><a/href=x>",
    "<a href='\u00e9.zip'>",
    "<base href='https://other/a/'><a href=b>",
    "<base><base target=x><base href=''><base href='https://c/'><base href='/d/'><a href=b>",
    "<a href=b><base href='https://h/sub/'><a href=/c>",
    "<base href><a href=b>",
    "<![CDATA[<a href=x>]]><a href=y>",
    '<a href="x',
]


@pytest.mark.parametrize("anchors", _ANCHORS)
def test_html_pages(judges: list[Judge], anchors: str) -> None:
    for judge in judges[1:]:
        _same_page(judge, f"<!DOCTYPE html><html>{anchors}</html>".encode(), "text/html")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "text/html; charset=utf-8",
        "text/html;charset=latin-1",
        'text/html; charset="latin-1"; x=y',
        "TEXT/HTML; CHARSET=LATIN-1",
        "text/html; x=y; charset='utf-8'",
        "text/html; charset = latin-1",
        "text/html; charset=no-such",
        "text/html; charset=",
        "text/html; xcharset=latin-1",
        "",
    ],
)
@pytest.mark.parametrize("body", [b"<a href='\xc3\xa9.zip'>", b"<a href='\xe9.zip'>"])
def test_character_sets(judges: list[Judge], content_type: str, body: bytes) -> None:
    for judge in judges[1:]:
        _same_page(judge, body, content_type)


_ATTRIBUTES = st.sampled_from(
    [
        "href=x-1.zip",
        "href='a b'",
        "href",
        "data-core-metadata=true",
        "data-core-metadata='sha256=a'",
        "data-dist-info-metadata=true",
        "class=x",
    ]
)
_TAGS = st.one_of(
    st.lists(_ATTRIBUTES, max_size=3).map(lambda found: f"<a {' '.join(found)}>"),
    st.sampled_from(
        [
            "<base href='https://b/c'>",
            "<base>",
            "</a>",
            "text",
            "<!--",
            "-->",
            "<",
            ">",
            "&amp;",
            "'",
            "<br>",
            "<script>",
            "</script>",
        ]
    ),
)


@given(tags=st.lists(_TAGS, max_size=6))
@SETTINGS
def test_arbitrary_html(judges: list[Judge], tags: list[str]) -> None:
    for judge in judges[1:]:
        _same_page(judge, "".join(tags).encode(), "text/html")


_HASHES = st.dictionaries(
    st.sampled_from(["sha256", "md5", "blake2b_256", "sha512"]), st.sampled_from(["aa", "BB", ""]), max_size=3
)
_FILES = st.fixed_dictionaries(
    {"url": st.sampled_from(["x-1.zip", "../a b.whl#sha256=cc", "https://h/y%2f.zip#md5=dd&egg=z", ""]), "hashes": _HASHES},
    optional={
        "core-metadata": st.one_of(st.booleans(), st.none(), _HASHES),
        "dist-info-metadata": st.one_of(st.booleans(), _HASHES),
    },
)


@given(files=st.lists(_FILES, max_size=4))
@SETTINGS
def test_arbitrary_json(judges: list[Judge], files: list[dict[str, Any]]) -> None:
    for judge in judges[1:]:
        _same_page(judge, json.dumps({"files": files}).encode(), index_pages.JSON)
