"""HTTP entries: stored responses, with a head (the status and the headers of the response) and a body."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import urljoin

from pinstall.model import foreign_data
from pinstall.pip_cache import entries, keys
from pinstall.pip_cache.entries import HttpEntry, Span, exists, open_unread, stamp

if TYPE_CHECKING:
    from pinstall.model.digest import Digest
    from pinstall.model.links import Link, ParsedFilename
    from pinstall.pip_cache.entries import Entry

# The fields of a response that cachecontrol writes; pip fails on any other field.
_FIELDS = {"status", "headers", "version", "reason", "strict", "decode_content"}
_PURE = "MSGPACK_PUREPYTHON"
_PREFIX = b"cc=4,"
# The most bytes of a head: it consists of headers.
_LARGEST_HEAD = 1 << 20
_USUAL_HEAD_SIZE = 1 << 14  # most heads are smaller, and are read in one go
REDIRECTS = 10
_LONGEST_NUMBER = 20
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
PERMANENT = (301, 308)
# No server uses this ETag, so that a pip that sends it receives the whole response.
_SPENT = '"pinstall-spent"'
# Headers that let pip use a response without asking the server, or ask whether it is still valid.
_RENEWING = {"age", "cache-control", "date", "etag", "expires", "last-modified"}
_ASKS_BY = "If-None-Match"


class Response(NamedTuple):
    """The stored status and headers of a response; header names are in lower case. The status is 0 if they were not read."""

    status: int
    headers: dict[str, str]

    def age(self, now: float) -> float:
        """Return the seconds from the response's ``Date`` until *now* (seconds since the epoch).

        Returns 0 for a date in the future, and infinity without a valid date.
        """
        date = _time(self.headers.get("date", ""))
        return max(0.0, now - date) if date is not None else float("inf")

    @property
    def spent(self) -> bool:
        """Whether `write_spent` wrote this head and no "not modified" has renewed it: pip then requests the whole response."""
        return self.headers.get("etag") == _SPENT and "date" not in self.headers

    def fresh(self, now: float) -> bool:
        """Return whether the headers let pip use the response at the time *now* without asking the server (``cached_request``).

        Looks at no status: pip uses a permanent redirect in any case.
        """
        return self._lifetime() > self.age(now)

    def _lifetime(self) -> float:
        for directive in self.headers.get("cache-control", "").split(","):
            name, _, value = directive.strip().partition("=")
            if name == "max-age" and value.strip().isdecimal() and len(value) < _LONGEST_NUMBER:
                return int(value)
        expires, date = _time(self.headers.get("expires", "")), _time(self.headers.get("date", ""))
        return expires - date if expires is not None and date is not None else 0


def _time(text: str) -> float | None:
    """Return the time in an HTTP header, in seconds since the epoch; None if *text* is not a date."""
    from email.utils import mktime_tz, parsedate_tz  # 10 ms

    try:
        found = parsedate_tz(text)
        return mktime_tz(found) if found else None
    except Exception:  # noqa: BLE001 (invalid dates, such as the year 99999, raise various errors)
        return None


def _is_usual(date: str) -> bool:
    """Return whether a date has the form that servers use (RFC 9110, IMF-fixdate), without importing a parser."""
    return len(date) == 29 and date.endswith(" GMT") and date[8:11] in _MONTHS and (date[5:7] + date[12:16]).isdecimal()


def is_there(entry: Entry) -> bool:
    """Return whether *entry*'s content exists, as a file of any kind, and its head is not spent. The head may be missing."""
    return exists(entry.content_path) and not is_spent(entry)


def is_spent(entry: Entry) -> bool:
    """Return whether *entry* is an HTTP entry that pinstall has marked as outdated: new pips fetch it anew (`write_spent`).

    True also if a "not modified" has renewed it since for the pip that asked, and no other. False for a built wheel, for an
    entry without a head, and if it was renewed for all pips.
    """
    if not isinstance(entry, HttpEntry) or stamp(entry.paths[0]) is None:
        return False
    head = _any_head(entry.paths[0])
    return head is not None and (head.ignored or head.response.spent)


class HttpCache:
    """The HTTP entries of the cache folder *root*, in the layout that the pip of version *pip* uses."""

    def __init__(self, root: str, pip: tuple[int, ...]) -> None:
        self.root, self.layout = root, keys.TWO_FILES if pip >= (23, 3) else keys.ONE_FILE

    def entry(self, kind: str, link: Link, stated: tuple[Digest, ...], label: ParsedFilename | None) -> HttpEntry | None:
        """Return the entry that `find` finds for *link*, also behind redirects; None if it finds none.

        *kind*, *stated* (as ``expected``), *label* (as ``parsed_filename``) and *link*'s file name become those of the entry.
        """
        found = self.find(link.url)
        return found[0]._replace(kind=kind, filename=link.filename, expected=stated, parsed_filename=label) if found else None

    def find(self, url: str) -> tuple[HttpEntry, Response, str] | None:
        """Return the entry that pip finds for *url*, its response, and the entry's URL behind cached permanent redirects.

        None if pip requests the whole response: a file of the entry is missing, pip ignores the head or it is spent, *url* is
        invalid, or ten redirects lead to no entry. pip may still ask the server about one that it finds: see `Response.fresh`.

        If pip would fail on the head, the entry has a ``fault``; if pinstall cannot read it, the entry is ``unreadable``. A
        head that is not a regular file is not opened, because a FIFO blocks; the entry then has neither. In these three cases
        the response has status 0.
        """
        url = _target(url, "")
        for _ in range(REDIRECTS):
            entry = self.entry_at(url)
            whole = all(os.path.exists(path) for path in entry.paths)
            if whole and stamp(entry.paths[0]) is None:
                return entry, Response(0, {}), url
            head = read_head(entry.paths[0])
            if head is None or head.response.spent:
                return None  # pip asks the server; for a file that is not a head it also logs "deserialization failed"
            if head.response.status in PERMANENT and not head.fault:
                # pip may have stored only the head of a redirect. It then asks again, is redirected to the same URL, and uses
                # its entry for that URL.
                url = _target(url, head.response.headers.get("location", ""))
            elif not whole:
                return None  # a miss for pip too
            elif head.fault or head.unreadable:
                return entry._replace(fault=head.fault, unreadable=head.unreadable), head.response, url
            else:
                return entry._replace(span=head.span if self.layout is keys.ONE_FILE else None), head.response, url
        return None

    def entry_at(self, url: str) -> HttpEntry:
        """Return the entry in which pip would store the response to *url*, whether it exists or not; its ``kind`` is "".

        Raises `ValueError` for an invalid *url*.
        """
        return entry_of(self.root, keys.http_key(keys.request_url(url)), self.layout)


def entry_of(root: str, key: str, layout: keys.Layout) -> HttpEntry:
    """Return the entry with this *key* in the cache *root*, whether it exists or not; its ``kind`` is ""."""
    return HttpEntry("", key, tuple(os.path.join(root, path) for path in keys.http_paths(key, layout)), layout=layout)


def _target(url: str, location: str) -> str:
    """Return the URL to which *location* leads from *url*, as `keys.request_url` writes it; "" (no entry) if it is invalid."""
    try:
        return keys.request_url(urljoin(url, location))
    except ValueError:
        return ""


class Head(NamedTuple):
    """The head of an HTTP entry: the response, and the ``span`` of the body in the head's file.

    ``span`` is empty if the body has a file of its own. ``fault`` says why pip would fail on the head. ``unreadable`` says why
    pinstall cannot read it; then it is unknown how pip treats it. With either, the response has status 0 and ``span`` is None.
    ``ignored`` says that pip takes the head for the answer to another request, as after a "not modified" that renewed a spent
    entry; `read_head` returns no such head.
    """

    response: Response
    span: Span | None = None
    fault: str = ""
    unreadable: str = ""
    ignored: bool = False


class _Document(NamedTuple):
    """The map in an entry's first file: the ``response`` without its body, all other keys (``others``), and the body's span."""

    response: dict[Any, Any]
    others: dict[Any, Any]
    span: Span


def _library() -> Any:
    """Return msgpack; on Windows without its extension module, which pip could not replace while this process uses it."""
    if os.name != "nt" or "msgpack" in sys.modules:
        import msgpack

        return msgpack
    given = os.environ.get(_PURE)
    os.environ[_PURE] = "1"
    try:
        import msgpack
    finally:  # builds heed the variable, too
        del os.environ[_PURE]
        if given is not None:
            os.environ[_PURE] = given
    return msgpack


def renewed(entry: HttpEntry) -> HttpEntry:
    """Return *entry* with the ``fault``, ``unreadable`` and ``span`` of its head as it is now: pip may have replaced it.

    Returns it unchanged if its head is missing or not a regular file, or if pip ignores it.
    """
    head = read_head(entry.paths[0])
    if head is None:
        return entry
    span = head.span if entry.layout is keys.ONE_FILE else None
    return entry._replace(fault=head.fault, unreadable=head.unreadable, span=span)


def read_head(path: str) -> Head | None:
    """Read the head of an HTTP entry from *path*; None if that is not a regular file, or if pip would ignore it.

    The file is a MessagePack map (``cachecontrol/serialize.py``). A body in it is skipped, because it may have gigabytes. pip
    ignores a file that it cannot open or unpack. On MessagePack of another form it fails: the head then has a ``fault``.
    """
    return None if stamp(path) is None else read_regular(path)  # opening a FIFO would block


def read_regular(path: str) -> Head | None:
    """Read the head as `read_head` does, from a *path* of which the caller knows that it is a regular file."""
    head = _any_head(path)
    return None if head is None or head.ignored else head


def _any_head(path: str) -> Head | None:
    """Read the head as `read_regular` does, also one that is ``ignored``."""
    msgpack = _library()
    errors = (OSError, ValueError, TypeError, RecursionError, msgpack.UnpackException)
    try:
        with open(path, "rb", opener=open_unread) as file:
            if file.read(len(_PREFIX)) != _PREFIX:
                return None
            head = None
            with suppress(*errors):
                head = _bodiless(msgpack.unpackb(file.read(_USUAL_HEAD_SIZE), raw=False, strict_map_key=False))
            if head is None:
                file.seek(len(_PREFIX))
                with suppress(*errors):
                    head = _head(file)
            if head is None:
                file.seek(len(_PREFIX))
                msgpack.unpackb(file.read(_LARGEST_HEAD), raw=False, strict_map_key=False)
                head = Head(Response(0, {}), fault="its stored HTTP headers are invalid")
    except errors:
        return None
    except Exception as error:  # noqa: BLE001 (one unreadable head must not end the call)
        return Head(Response(0, {}), unreadable=foreign_data.reason(error))
    return head


def asking_head(path: str) -> bytes | None:
    """Return the bytes of the head at *path*, changed so that pip asks the server whether the entry is still valid.

    This costs one request without a download if the server sent an ETag and the file has not changed. The body must be in a
    file of its own (pip 23.3 and later). None if *path* cannot be read or is not a head.
    """
    msgpack = _library()
    try:
        with open(path, "rb", opener=open_unread) as file:
            data = file.read(_LARGEST_HEAD)
        document = msgpack.unpackb(data.removeprefix(_PREFIX), raw=False, strict_map_key=False)
        headers = document["response"]["headers"]
        kept = {name: value for name, value in headers.items() if name.lower() not in ("cache-control", "expires")}
        document["response"]["headers"] = {**kept, "cache-control": "max-age=0"}
        return _PREFIX + bytes(msgpack.packb(document, use_bin_type=True))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, msgpack.UnpackException):
        return None


def _bodiless(document: Any) -> Head | None:
    """Return the head if it is in a file of its own, as pip 23.3 and later write it.

    None if the body is in the same file, if *document* is not a head, or if pip would fail on it. Changes *document*.
    """
    found = document.pop("response", None) if isinstance(document, dict) else None
    if not isinstance(found, dict) or found.pop("body", None) != b"":
        return None
    return _made_head(_Document(found, document, Span(0, 0)))


def _head(file: BinaryIO) -> Head | None:
    document = _document(file)
    return _made_head(document) if document else None


def _made_head(document: _Document) -> Head | None:
    """Return the head that *document* describes; None if pip would fail on it."""
    response, others = _response(document.response), document.others
    vary = others.get("vary", {})
    if response is None or not isinstance(vary, dict):
        return None
    ignored = vary.get(_ASKS_BY) is not None
    return Head(response, document.span, ignored=ignored)


def _document(file: BinaryIO) -> _Document | None:
    """Read the map that begins at the position of *file*, behind the prefix; None if it has no body, or is not the rest of it.

    Raises `ValueError`, `TypeError`, `RecursionError` or an error of msgpack if no such map is there.
    """
    response: dict[Any, Any] = {}
    others: dict[Any, Any] = {}
    span = None
    base, unpacker = file.tell(), _unpacker(file)
    for _ in range(unpacker.read_map_header()):
        key = unpacker.unpack()
        if key != "response":
            others[key] = unpacker.unpack()
            continue
        for _ in range(unpacker.read_map_header()):
            name = unpacker.unpack()
            if name != "body":
                response[name] = unpacker.unpack()
                continue
            span = _binary(file, base + unpacker.tell())
            base, unpacker = file.seek(span.offset + span.length), _unpacker(file)
    is_whole = base + unpacker.tell() == os.fstat(file.fileno()).st_size
    return _Document(response, others, span) if is_whole and span else None


def _unpacker(file: BinaryIO) -> Any:
    msgpack = _library()
    return msgpack.Unpacker(file, raw=False, strict_map_key=False, max_buffer_size=_LARGEST_HEAD, read_size=1 << 12)


def write_spent(entry: HttpEntry, out: BinaryIO, *, lasting: bool) -> None:
    """Write a spent copy of the first file of *entry* to *out*: usable only by a pip that is already revalidating the entry.

    A pip that has asked the server whether the entry is still valid reads head and body again when the answer is "not
    modified". A pip that starts later must not use them. It finds no date that makes the response fresh, and an ETag that no
    server knows, so that the server sends the whole response. (A stale entry without an ETag it would delete, while the first
    pip still needs it.)

    The answer "not modified" renews the entry. With *lasting* it does so for all pips; otherwise the renewed entry varies by
    ``If-None-Match``, and later pips ignore it.

    Raises `OSError`, and `ValueError` if pip did not write the head or if the entry is a permanent redirect.
    """
    import shutil

    msgpack = _library()
    pack = msgpack.Packer().pack
    with open(entry.paths[0], "rb", opener=open_unread) as file:
        response, others, span = _read_document(file)
        if response["status"] in PERMANENT:
            raise ValueError("pip follows it whatever its head says, and never asks")
        response["headers"] = _spent_headers(response["headers"], lasting=lasting)
        out.write(_PREFIX + _map(1 + len(others)) + pack("response") + _map(1 + len(response)) + pack("body"))
        out.write(b"\xc6" + span.length.to_bytes(4, "big"))
        with entries.open_content(entry._replace(paths=entry.paths[:1], span=span)) as body:
            shutil.copyfileobj(body, out)
        out.writelines(pack(name) + pack(value) for name, value in response.items())
        out.writelines(pack(name) + pack(value) for name, value in others.items())


def _read_document(file: BinaryIO) -> _Document:
    """Read the first *file* of an HTTP entry; raises `ValueError` if pip did not write it."""
    msgpack = _library()
    try:
        document = _document(file) if file.read(len(_PREFIX)) == _PREFIX else None
        if document and _made_head(document):
            return document
    except (TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ValueError(str(error)) from error
    raise ValueError("no head that pip wrote")


def _map(length: int) -> bytes:
    """Return the header of a MessagePack map with *length* pairs."""
    return b"\xde" + length.to_bytes(2, "big")


def _spent_headers(headers: dict[str, str], *, lasting: bool) -> dict[str, str]:
    kept = {name: value for name, value in headers.items() if str(name).lower() not in _RENEWING}
    if not lasting:
        varies = [kept.pop(name) for name in [*kept] if str(name).lower() == "vary"]
        kept["Vary"] = ", ".join([*varies, _ASKS_BY])
    return {**kept, "Cache-Control": "max-age=0", "ETag": _SPENT}


def _binary(file: BinaryIO, offset: int) -> Span:
    """Return the span of the data of the MessagePack "bin" value at *offset*; raises `ValueError` if none begins there."""
    file.seek(offset)
    head = file.read(5)
    size = {0xC4: 1, 0xC5: 2, 0xC6: 4}.get(head[0] if head else 0)
    if size is None or len(head) < 1 + size:
        raise ValueError("no binary value")
    return Span(offset + 1 + size, int.from_bytes(head[1 : 1 + size], "big"))


def _response(found: dict[Any, Any]) -> Response | None:
    status, headers = found.get("status"), found.get("headers")
    if not isinstance(status, int) or not isinstance(headers, dict) or not found.keys() <= _FIELDS:
        return None
    response = Response(status, {str(name).lower(): str(value) for name, value in headers.items()})
    date = response.headers.get("date")
    if date is not None and status not in PERMANENT and not _is_usual(date) and _time(date) is None:
        return None  # pip asserts that the date is valid
    return response


def now() -> float:
    """Return the current time in seconds since the epoch, with which pip's cache compares dates."""
    return time.time()
