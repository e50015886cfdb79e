"""pinstall makes links, and reads file names, as pip does."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinstall.model import links
from tests.beliefs.calls import SETTINGS

if TYPE_CHECKING:
    from tests.beliefs.conftest import Judge

_BASES = [
    "https://host/simple/demo/",
    "https://host/simple/demo",
    "https://u:p@host/a?b=c",
    "file:///a%20b/index.html",
    "https://host",
]
_HREFS = [
    "x-1.zip",
    "../../files/x-1.zip#sha256=aa",
    "/files/x 1.zip",
    "//other/x.zip",
    "https://other/x y%20z%2fé.zip?q=a b#sha256=aa",
    "HTTPS://other/a@b%40c",
    "http://other/%7Ea~b",
    "https://other//a//b/../c",
    "https:x.zip",
    "ftp://h/x",
    "file:///a b/c%20d",
    "file://h/a b",
    "?q",
    "#f",
    "",
    "a;b=c",
    "a:b",
    "x.zip?",
    "x.zip#",
    "%2F%2f@",
    "git+ssh://git@h/r@v#egg=x",
    "mailto:x",
    "https://",
    "https:///x",
    "x%zz%",
    "a+b(c)[d]",
    "a\\b",
    " x ",
    "\u4e2d",
    "https://files.example:8443/packages/ab/cd/0123/de_mo-1.0.post1-cp311-cp311-linux_x86_64.whl",
    "http://other/~user/a.b_c-d/",
    "https://other/a/.b/c-1.zip",
]


def _same_anchor(judges: list[Judge], base: str, href: str) -> None:
    for judge in judges:
        theirs = judge.ask("absolute", base=base, href=href)
        if theirs is not None:
            assert links.absolute(base, href) == theirs, judge.name


@pytest.mark.parametrize("base", _BASES)
@pytest.mark.parametrize("href", _HREFS)
def test_urls_of_anchors(judges: list[Judge], base: str, href: str) -> None:
    _same_anchor(_steady(judges, base, href), base, href)


def _steady(judges: list[Judge], base: str, href: str) -> list[Judge]:
    """Return the judges to compare with: for local and malformed URLs, which older pips write otherwise, only the newest."""
    web = base.startswith("https://") and not any(part in href for part in ("file:", ":x", ":b", "///", ";", "https://\0"))
    return judges if web and href != "https://" else judges[-1:]


_PIECES = st.sampled_from(
    [*"ab./:@%?# ~+()[]&=\\", "../", "%20", "%2f", "%2F", "%40", "%C3%A9", "\u00e9", "//", "-1.zip", "#sha256=", "%zz"]
)


@given(
    base=st.sampled_from(_BASES),
    start=st.sampled_from(["", "https://other/", "../", "//o/", "/"]),
    href=st.lists(_PIECES, max_size=8),
)
@SETTINGS
def test_urls_of_arbitrary_anchors(judges: list[Judge], base: str, start: str, href: list[str]) -> None:
    _same_anchor(judges[-1:], base, start + "".join(href))


@pytest.mark.parametrize(
    "path", ["/a/b.zip", "x.zip", "./x y.zip", "../a/../b.zip", "/a%20b", "/a#b?c;d", "/\u00e9:@+~", "/a//b/", "//a", ".", ""]
)
def test_urls_of_paths(judges: list[Judge], path: str) -> None:
    with contextlib.chdir("/usr"):
        ours = links.from_path(path).url
    for judge in judges:
        assert ours == judge.ask("path_to_url", path=path, folder="/usr"), judge.name


@given(
    path=st.lists(st.sampled_from([*"ab /.%#?;:@+~\u00e9&=", "../", "%20"]), max_size=8).map(
        lambda parts: "/x" + "".join(parts)
    )
)
@SETTINGS
def test_urls_of_arbitrary_paths(judges: list[Judge], path: str) -> None:
    for judge in judges:
        assert links.from_path(path).url == judge.ask("path_to_url", path=path, folder="/"), judge.name
        assert links.to_path(links.from_path(path).url) == judge.ask("url_to_path", url=links.from_path(path).url)


_FRAGMENTS = [
    "",
    "#",
    "#sha256=aa",
    "#sha256=",
    "#sha256=aa&md5=bb",
    "#md5=bb&sha512=cc&egg=x",
    "#egg=x&sha1=dd",
    "#sha256=aa#md5=bb",
    "#SHA256=aa",
    "#xsha256=aa",
    "#blake2b=aa",
    "#subdirectory=a/b",
    "#subdirectory=a&subdirectory=b",
    "#egg=x&subdirectory=a%20b&sha384=ee",
    "?sha256=aa",
    "?x&sha256=aa",
    "#subdirectory=",
]


@pytest.mark.parametrize("fragment", _FRAGMENTS)
@pytest.mark.parametrize(
    "url", ["https://h/a/x-1.zip", "https://u:p@h/a%20b/", "file:///a/x.whl", "https://h", "git+file:///a@b"]
)
def test_fragments_of_links(judges: list[Judge], url: str, fragment: str) -> None:
    ours = links.link(url + fragment)
    for judge in judges[1:]:  # pip 23.0 takes the text after a hash for a part of the hash
        theirs = judge.ask("link", url=url + fragment)
        assert (ours.url, ours.subdirectory) == (theirs["url"], theirs["subdirectory"] or "")
        assert [list(digest) for digest in ours.digests] == theirs["hashes"]
        if ours.filename:
            assert ours.filename == theirs["filename"]


_NAMES: list[tuple[str, str]] = [
    ("demo-1.0.tar.gz", "demo"),
    ("demo-1.0.zip", "demo"),
    ("demo-1.0.ZIP", "demo"),
    ("demo-1.0.tar.bz2", "demo"),
    ("demo-1.0.tgz", "demo"),
    ("demo-1.0.tar", "demo"),
    ("demo-1.0.tar.xz", "demo"),
    ("demo-1.0.TAR.gz", "demo"),
    ("demo-1.0.tar.Z", "demo"),
    ("demo-1.0.egg", "demo"),
    ("demo-1.0", "demo"),
    ("demo.zip", "demo"),
    ("demo-.zip", "demo"),
    ("demo-x.zip", "demo"),
    ("demo-1.0-py3.7.zip", "demo"),
    ("demo-1.0.post1+local.1.tar.gz", "demo"),
    ("demo-1.0%2Blocal.tar.gz", "demo"),
    ("Demo_Two-1.0.tar.gz", "demo-two"),
    ("demo.two-1.0.tar.gz", "demo-two"),
    ("demo-two-1.0.tar.gz", "demo-two"),
    ("demo-two-1.0.tar.gz", "demo"),
    ("demo-2-1.0.tar.gz", "demo"),
    ("demo-2-1.0.tar.gz", "demo-2"),
    ("demo--1.0.tar.gz", "demo"),
    ("demo-v1.0.tar.gz", "demo"),
    ("demo-1.0-1.tar.gz", "demo"),
    ("demo-1.0.dev0.zip", "demo"),
    ("demo-2020-01-01.zip", "demo"),
    ("demo-1.0-macosx10.zip", "demo"),
    ("demo-1.0-py3-none-any.whl", "demo"),
    ("Demo-1.0-py3-none-any.whl", "demo"),
    ("demo_two-1.0-py3-none-any.whl", "demo-two"),
    ("demo.two-1.0-py3-none-any.whl", "demo-two"),
    ("demo-two-1.0-py3-none-any.whl", "demo-two"),
    ("demo-1.0-1-py3-none-any.whl", "demo"),
    ("demo-1.0-1x-py3-none-any.whl", "demo"),
    ("demo-1.0-x1-py3-none-any.whl", "demo"),
    ("demo-1.0-py2.py3-none-any.whl", "demo"),
    ("demo-1.0+l.1-py3-none-any.whl", "demo"),
    ("demo-x-py3-none-any.whl", "demo"),
    ("demo-1.0-py3-none.whl", "demo"),
    ("demo-1.0-py3-none-any.WHL", "demo"),
    ("demo-1.0-py3-none-any.whl.metadata", "demo"),
    ("demo-1.0-py3-none-any.whl", "omed"),
    ("d\u00e9mo-1.0-py3-none-any.whl", "d\u00e9mo"),
    ("demo-0.18-py36+-none-any.whl", "demo"),
    ("demo-0.18-py3.py36+-none-any.whl", "demo"),
    ("demo-0.18-py3..py2-none-any.whl", "demo"),
    ("demo-0.18--none-any.whl", "demo"),
    ("demo-0.18-py3--any.whl", "demo"),
    ("demo-0.18-py3-none-.whl", "demo"),
    ("demo-0.18-3-none-any.whl", "demo"),
    ("demo-0.18-\u00b2-py3-none-any.whl", "demo"),
    ("demo-0.18-1-py36+-none-any.whl", "demo"),
    ("demo-0_18-py3-none-any.whl", "demo"),
    ("demo-0.18_post1-py3-none-any.whl", "demo"),
    ("demo-0.18_1-py3-none-any.whl", "demo"),
    ("demo__two-0.18-py3-none-any.whl", "demo-two"),
    ("demo_-0.18-py3-none-any.whl", "demo-"),
    ("demo-0.18-py3-none-any-x-y.whl", "demo"),
    ("demo-0.18-PY3-NONE-ANY.whl", "demo"),
    ("demo.whl", "demo"),
    (".whl", ""),
]


def _same_label(judges: list[Judge], filename: str, project: str) -> None:
    label = links.parse_filename(filename, project)
    if label and label.tags:  # files that are not wanted are recognized by a part of their names
        assert (links.wheel_version(filename), links.wheel_tags(filename)) == (label.text, label.tags)
    for judge in judges if filename.endswith(".whl") else judges[-1:]:
        ours = label if label and not label.ignored_by(judge.version) else None
        theirs = judge.ask("label", filename=filename, project=project)
        assert (ours.version if ours else None) == (links.parse_version(theirs) if theirs else None), judge.name


@pytest.mark.parametrize(("filename", "project"), _NAMES, ids=str)
def test_file_names(judges: list[Judge], filename: str, project: str) -> None:
    _same_label(judges, filename, project)


_STEMS = st.lists(
    st.sampled_from(["demo", "two", "-", "-", "_", ".", "1", "0", "+l", "rc1", "py3", "none", "any", "v", "x"]), max_size=9
)


_TAGS = st.lists(st.sampled_from(["py3", "PY3", ".", "-", "none", "any", "py36+", "+", "3", "_", "\u00b2"]), max_size=7)


@given(
    tags=_TAGS.map("".join),
    start=st.sampled_from(["demo-1.0-", "demo-1.0-1-", "demo-1_0-", "demo-1.0_1-", "demo__two-1.0-", "demo-1.0-py3-none-"]),
    project=st.sampled_from(["demo", "demo-two"]),
)
@SETTINGS
def test_arbitrary_tags_of_wheels(judges: list[Judge], tags: str, start: str, project: str) -> None:
    _same_label(judges, f"{start}{tags}.whl", project)


@given(
    stem=_STEMS.map("".join),
    ending=st.sampled_from([".zip", ".tar.gz", ".whl", "-py3-none-any.whl", ".egg", ".tgz"]),
    project=st.sampled_from(["demo", "demo-two", "demo-1"]),
)
@SETTINGS
def test_arbitrary_file_names(judges: list[Judge], stem: str, ending: str, project: str) -> None:
    _same_label(judges, f"demo{stem}{ending}", project)


def plain(link: links.Link) -> dict[str, Any]:
    """Return the parts of a link in the form that the judge uses."""
    return {
        "url": link.url,
        "hashes": [list(digest) for digest in link.digests],
        "subdirectory": link.subdirectory or None,
        "metadata": None if link.metadata is None else [list(digest) for digest in link.metadata],
    }
