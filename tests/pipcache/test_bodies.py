"""Bodies of index pages as they come over the wire: complete, truncated, compressed, or in an unsupported encoding."""

from __future__ import annotations

import gzip
import json

import pytest

from pinstall.pip_cache import index_pages

_BODY = json.dumps({"files": [{"url": "demo-1.0.zip", "hashes": {}}]}).encode()
_PACKED = gzip.compress(_BODY, mtime=0)


def _names(body: bytes, **headers: str) -> list[str]:
    stated = {"content-type": index_pages.JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return [offer.filename for offer in index_pages.parse(body, stated, "https://host/simple/demo/")]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (_BODY, {}),
        (_BODY, {"content_length": str(len(_BODY))}),
        (_BODY, {"content_length": "many"}),
        (_BODY, {"content_encoding": "identity"}),
        (_PACKED, {"content_encoding": "gzip"}),
        (_PACKED, {"content_encoding": "x-gzip", "content_length": str(len(_PACKED))}),
    ],
)
def test_complete_bodies_are_parsed(body: bytes, headers: dict[str, str]) -> None:
    assert _names(body, **headers) == ["demo-1.0.zip"]


@pytest.mark.parametrize(
    ("body", "headers", "fault"),
    [
        (_BODY[:-1], {}, "it cannot be parsed"),
        (_BODY[:-1], {"content_length": str(len(_BODY))}, f"it has {len(_BODY) - 1} of {len(_BODY)} bytes"),
        (_BODY + b"\n", {"content_length": str(len(_BODY))}, f"it has {len(_BODY) + 1} of {len(_BODY)} bytes"),
        (_PACKED[:-9], {"content_encoding": "gzip"}, "it is cut off"),
        (_PACKED[:20] + b"\0\0\0" + _PACKED[23:], {"content_encoding": "gzip"}, "it cannot be parsed"),
        (_BODY, {"content_encoding": "gzip"}, "it cannot be parsed"),
        (b"", {"content_encoding": "gzip"}, "it is cut off"),
        (b'{"files": 1}', {}, "it has no list of files"),
        (b"[" * 100_000, {}, "it cannot be parsed"),
        (b"<a href='\xff'>", {"content_type": "text/html"}, "it cannot be parsed"),
    ],
)
def test_damaged_bodies_are_reported_with_their_fault(body: bytes, headers: dict[str, str], fault: str) -> None:
    with pytest.raises(index_pages.DamagedPageError) as raised:
        _names(body, **headers)
    assert str(raised.value) == fault


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (_BODY, {"content_encoding": "br"}, "encoded as br"),
        (b"<a href=x>", {"content_type": "text/html; charset=martian"}, "unknown character set"),
        (gzip.compress(bytes(index_pages.LARGEST + 1), 1), {"content_encoding": "gzip"}, "too large"),
        (b" " * (index_pages.LARGEST + 1), {"content_length": str(index_pages.LARGEST + 2)}, "too large"),
        (_PACKED * 101, {"content_encoding": "gzip"}, "too many members"),
    ],
    ids=["encoding", "character set", "bomb", "large", "members"],
)
def test_bodies_that_cannot_be_judged_are_reported_with_the_reason(body: bytes, headers: dict[str, str], reason: str) -> None:
    with pytest.raises(index_pages.UnknownPageError) as raised:
        _names(body, **headers)
    assert str(raised.value) == reason
