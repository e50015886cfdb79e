"""A reader of index pages: PEP 691 JSON and PEP 503 HTML, as pip reads them (pip 26.3, ``index/collector.py``)."""

from __future__ import annotations

import codecs
import json
import os
import re
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from pinstall.model.digest import Digest
from pinstall.model.links import Link, absolute, from_path, link

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JSON = "application/vnd.pypi.simple.v1+json"
CONTENT_TYPES = (JSON, "application/vnd.pypi.simple.v1+html", "text/html")  # pip skips responses with others
# The largest page on PyPI has a few megabytes. pinstall does not judge a page above this size.
LARGEST = 32 << 20
_MOST_MEMBERS = 100  # of a page that is packed with gzip
_LONGEST_NUMBER = 20
_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b")  # how zip and gzip files begin
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\"';\s]+)")
_METADATA_HASHES = ("sha512", "sha384", "sha256", "sha224", "sha1", "md5")


class DamagedPageError(Exception):
    """The body of a cached page is cut off or cannot be parsed; the message says how."""


class UnknownPageError(Exception):
    """The page cannot be judged: it is too large when unpacked, has an unsupported encoding, or is another file."""


class IndexFile(NamedTuple):
    """A file that a page offers. Its link is made on request, because pages list thousands of files.

    ``make`` makes it from ``file`` (the anchor, JSON object, path or URL) and ``base``, the URL to which a relative one refers:
    "" if the page's URL is not known, or without a page. ``filename`` is the last part of the link, unquoted.
    """

    filename: str
    file: Any
    base: str
    make: Callable[[Any, str], Link]

    def link(self) -> Link:
        """Return the link that pip makes for this file; a link with an empty URL if the file's URL is invalid."""
        try:
            made = self.make(self.file, self.base)
            made.url.encode()
        except Exception:  # noqa: BLE001 (an invalid host or a lone surrogate: pip, too, fails if it needs this URL)
            return _NOWHERE
        return made


_NOWHERE = Link("")


def local(path: str) -> IndexFile:
    """Return the offer of the file at *path*, which is not looked at."""
    return IndexFile(os.path.basename(path), path, "", lambda path, _: from_path(path))


def remote(url: str) -> IndexFile:
    """Return the offer of an absolute URL that is not on a page, such as that of a pin or a value of ``--find-links``."""
    return IndexFile(_filename(url), url, "", lambda url, _: link(url))


def parse(body: bytes, headers: Mapping[str, str], url: str) -> list[IndexFile]:
    """Return the files that a page offers, in its order: one for each link, also if its name is not that of an archive.

    *body* is the page as it came over the wire. *headers* are those of the response, names in lower case; any content type but
    that of JSON counts as HTML. *url* is the page's own, behind redirects; with "", relative links resolve only if the page
    states a base, or the caller sets `IndexFile.base`. Raises `DamagedPageError` if the body is shorter or longer than its
    Content-Length, or cannot be parsed, and `UnknownPageError` if it cannot be judged, or is an archive sent as a page.
    """
    if len(body) > LARGEST:
        raise UnknownPageError("too large")
    if body.startswith(_ARCHIVES) and "content-encoding" not in headers:
        raise UnknownPageError("an archive")
    length = headers.get("content-length", "")
    if length.isdecimal() and len(length) < _LONGEST_NUMBER and int(length) != len(body):
        raise DamagedPageError(f"it has {len(body)} of {length} bytes")
    content = _decoded(body, headers.get("content-encoding", ""))
    content_type = headers.get("content-type", "").lower()
    try:
        if content_type.startswith(JSON):
            return _from_json(json.loads(content), url)
        return _from_html(content.decode(_charset(content_type)), url)
    except LookupError as error:
        raise UnknownPageError("unknown character set") from error
    except (ValueError, RecursionError, AssertionError) as error:  # html.parser raises AssertionError, which ends pip too
        raise DamagedPageError("it cannot be parsed") from error


def _decoded(body: bytes, encoding: str) -> bytes:
    """Undo the Content-Encoding: pip stores the body as it came over the wire. Follows urllib3, which pip has.

    Raises as `parse`.
    """
    match encoding.lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _unpacked(body, zlib.MAX_WBITS | 16)
        case "deflate":  # servers disagree on whether that has a header
            try:
                return _unpacked(body, zlib.MAX_WBITS)
            except DamagedPageError:
                return _unpacked(body, -zlib.MAX_WBITS)
    raise UnknownPageError(f"encoded as {encoding}")


def _unpacked(body: bytes, form: int) -> bytes:
    """Decompress *body*, which may have several members; *form* is zlib's ``wbits``. Bytes after the last one are ignored.

    Raises as `parse`.
    """
    content, members = b"", 0
    while body:
        unpacker = zlib.decompressobj(form)
        try:
            content += unpacker.decompress(body, LARGEST + 1 - len(content))
        except zlib.error as error:
            if not members:
                raise DamagedPageError("it cannot be parsed") from error
            break
        if unpacker.unconsumed_tail or len(content) > LARGEST:
            raise UnknownPageError("too large")
        if not unpacker.eof:
            raise DamagedPageError("it is cut off")
        body, members = unpacker.unused_data, members + 1
        if members == _MOST_MEMBERS:  # each costs a copy of the rest
            raise UnknownPageError("too many members")
    if not members:
        raise DamagedPageError("it is cut off")
    return content


def _charset(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    if found and codecs.lookup(found[1]).name == "punycode":
        raise LookupError  # decoding it takes quadratic time
    return found[1] if found else "utf-8"


def _filename(url: str) -> str:
    name = url.rpartition("/")[2]
    if name and not ("#" in url or "?" in url or "%" in url):
        return name
    path = url.partition("#")[0].partition("?")[0]
    return (unquote(path) if "%" in path else path).rstrip("/").rpartition("/")[2]


def _from_json(document: Any, url: str) -> list[IndexFile]:
    if not isinstance(document, dict) or not isinstance(files := document.get("files", []), list):
        raise DamagedPageError("it has no list of files")
    found = (file for file in files if isinstance(file, dict) and isinstance(file.get("url"), str))
    return [IndexFile(_filename(file["url"]), file, url, _json_link) for file in found]


def _json_link(file: dict[str, Any], url: str) -> Link:
    metadata = file.get("core-metadata")
    if metadata is None:
        metadata = file.get("dist-info-metadata")
    stated = _digests(metadata)
    return link(
        absolute(url, file["url"]),
        _digests(file.get("hashes")),
        tuple(d for d in stated if d.algorithm in _METADATA_HASHES) if metadata or isinstance(metadata, dict) else None,
    )


def _digests(hashes: Any) -> tuple[Digest, ...]:
    if not isinstance(hashes, dict):
        return ()
    return tuple(Digest(name, value) for name, value in hashes.items() if isinstance(value, str))


def _from_html(text: str, url: str) -> list[IndexFile]:
    from pinstall.pip_cache.anchors import Anchors  # importing html.parser takes milliseconds; most indexes send JSON

    reader = Anchors()
    reader.feed(text)
    base = reader.base or url
    return [
        IndexFile(_filename(anchor["href"] or ""), anchor, base, _html_link) for anchor in reader.anchors if anchor.get("href")
    ]


def _html_link(anchor: dict[str, str | None], base: str) -> Link:
    stated = anchor.get("data-core-metadata")
    if stated is None:
        stated = anchor.get("data-dist-info-metadata")
    metadata: tuple[Digest, ...] | None = None
    if stated is not None:  # a .metadata file exists; "true" or an invalid value states no hash of it
        name, found, value = stated.partition("=")
        metadata = (Digest(name, value),) if found and name in _METADATA_HASHES else ()
    return link(absolute(base, anchor["href"] or ""), (), metadata)
