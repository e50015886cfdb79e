"""pinstall computes the keys and paths of pip's cache as pip does."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import interpreter_name, interpreter_version

from pinstall.model import links
from pinstall.model.digest import Digest
from pinstall.pip_cache import http_entries, keys
from tests.beliefs.calls import SETTINGS

if TYPE_CHECKING:
    from tests.beliefs.conftest import Judge

_URLS = [
    "https://host/simple/demo/",
    "https://HOST.example:8443/Simple/Demo",
    "https://host:443/x",
    "http://host:80/x",
    "https://user:pass@host/x",
    "https://user@host/x",
    "https://user%40x:p%2Fw@HOST:1/x",
    "https://:pass@host/x",
    "https://@host/x",
    "https://host",
    "https://host?query",
    "https://host?",
    "https://host/?",
    "https://host#x",
    "https://host/a b/c",
    "https://host/a%20b/%7euser/%2f%41%5F",
    "https://host/a%2fb%zz",
    "https://host/100%",
    "https://host/100%25",
    "https://host/a/../b/./c/..",
    "https://host/..",
    "https://host/a/.",
    "https://host/.hidden/..x/x.",
    "https://host/x?y=a b&z=%7E&u=\u00e9",
    "https://host/x?y=../a/./b?c",
    'https://host/[x]/{y}|z^`"<>\\',
    "https://host/\u00e9/\u4e2d%e9",
    "https://host/x#sha256=abc",
    "https://host/x?a#sha256=abc",
    "  https://host/x",
    "https://host/x  ",
    "https://host//double//slash//",
    "https://host/x;y=1,2+3=4'(5)*!$&@:~",
    "HTTPS://HOST/x",
    "https://127.0.0.1:8/x",
    "https://[::1]:8/x",
    "https://host./x",
    "https://files.example:8443/packages/ab/cd/0123/de_mo-1.0.post1-cp311-cp311-linux_x86_64.whl",
    "http://host/~user/a.b_c-d/",
    "https://host/a/.b/c",
]


def _same_key(judges: list[Judge], url: str) -> None:
    for judge in judges:
        theirs = judge.ask("request_key", url=url)
        if theirs is None:  # not a URL for pip
            continue
        assert keys.request_url(url) == theirs["name"], judge.name
        place = http_entries.HttpCache("", judge.version).entry_at(url)
        assert place.paths[0].partition("/")[2] == theirs["path"].lstrip("/"), judge.name
        assert hashlib.sha224(theirs["name"].encode()).hexdigest() == place.key


@pytest.mark.parametrize("url", _URLS)
def test_keys_of_http_entries(judges: list[Judge], url: str) -> None:
    _same_key(judges, url)


_CHARACTERS = st.one_of(
    st.sampled_from("ab.~-_ %/:@!$&'()*+,;=[]{}|^`\"<>\\?#\u00e9\u4e2d"),
    st.sampled_from(["%2f", "%2F", "%41", "%7e", "%20", "%", "../", "/./", "/..", "//", "%e9", "%25"]),
)
_PATHS = st.lists(_CHARACTERS, max_size=8).map("".join)


@given(
    scheme=st.sampled_from(["https://", "http://", "HTTPS://"]),
    user=st.sampled_from(["", "u@", "u:p@", "u%40:p%2f@"]),
    host=st.sampled_from(["host", "HOST.example", "host:8443", "127.0.0.1", "[::1]:8"]),
    path=_PATHS,
)
@SETTINGS
def test_keys_of_http_entries_for_arbitrary_urls(judges: list[Judge], scheme: str, user: str, host: str, path: str) -> None:
    _same_key(judges, f"{scheme}{user}{host}/{path}")


_DIGESTS: list[dict[str, str]] = [
    {},
    {"sha256": "aa"},
    {"md5": "bb", "sha256": "aa"},
    {"blake2b_256": "cc", "sha256": "aa"},
    {"sha256": ""},
    {"sha256": "\u00e9"},
    {"SHA256": "AA"},
    {"url": "x"},
]
_FRAGMENTS = [
    "",
    "#sha256=dd",
    "#sha512=ee&sha256=dd",
    "#sha256=dd&subdirectory=a/b",
    "#subdirectory=a%20b&egg=x",
    "#subdirectory=",
]


def _same_wheels(judge: Judge, url: str, digests: dict[str, str]) -> None:
    theirs = judge.ask("wheel_path", url=url, hashes=digests)
    assert theirs is not None, judge.reason
    made = links.link(url, [Digest(name, value) for name, value in digests.items()])
    ours = (interpreter_name(), interpreter_version())
    key = keys.wheel_key(made.url, made.digests[0] if made.digests else None, made.subdirectory, ours)
    assert "/" + keys.wheel_path(key) == theirs


@pytest.mark.parametrize("digests", _DIGESTS, ids=str)
@pytest.mark.parametrize("fragment", _FRAGMENTS)
@pytest.mark.parametrize(
    "url", ["https://h/d-1.zip", "https://u:p@H/d-1.zip?x=\u00e9", "file:///a%20b/d-1.zip", "git+https://h/r@v"]
)
def test_keys_of_built_wheels(judges: list[Judge], url: str, fragment: str, digests: dict[str, str]) -> None:
    for judge in judges[1:] if "&" in fragment else judges:  # pip 23.0 takes the rest of the fragment for a part of the hash
        _same_wheels(judge, url + fragment, digests)


@given(
    url=_PATHS.map(lambda path: "https://host/" + path.replace("#", "")),
    fragment=st.sampled_from(_FRAGMENTS),
    digests=st.dictionaries(st.sampled_from(["sha256", "md5", "blake2b_256"]), st.text("0aF", max_size=3)),
)
@SETTINGS
def test_keys_of_built_wheels_for_arbitrary_links(
    judges: list[Judge], url: str, fragment: str, digests: dict[str, str]
) -> None:
    for judge in judges[1:]:
        _same_wheels(judge, url + fragment, digests)


def test_name_and_version_of_the_interpreter(judges: list[Judge]) -> None:
    for judge in judges:
        assert judge.ask("interpreter") == [interpreter_name(), interpreter_version()]
