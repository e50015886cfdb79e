"""Entries: what stands in pip's cache for a key, found by a `stat` and read without following links."""

from __future__ import annotations

import io
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast
from urllib.parse import urljoin

from pinstall.model import foreign_data, links
from pinstall.pip_cache import keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinstall.model.digest import Digest
    from pinstall.model.links import Link, ParsedFilename
    from pinstall.pip_cache.keys import Layout

ORIGIN = "origin.json"
# What cachecontrol writes of a response; pip fails on any other field.
_FIELDS = {"status", "headers", "version", "reason", "strict", "decode_content"}
_PREFIX = b"cc=4,"
# Metadata of a response is headers: a file larger than this is none.
_LARGEST_METADATA = 1 << 20
_MOST_HEADS = 1 << 14  # most are smaller, and can be read in one go
REDIRECTS = 10
_LONGEST_NUMBER = 20
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PERMANENT = (301, 308)
# No server gives this tag to anything, so that a pip that sends it is answered in full.
_SPENT = '"pinstall-spent"'
# Headers by which pip uses a response unasked, or asks whether it is still good.
_RENEWING = {"age", "cache-control", "date", "etag", "expires", "last-modified"}
_ASKS_BY = "If-None-Match"


class FileStamp(NamedTuple):
    """What `stat` says of a file: it changes with the file (size in bytes, times in nanoseconds)."""

    size: int
    modified: int
    changed: int
    inode: int


class Span(NamedTuple):
    """A part of a file, in bytes."""

    offset: int
    length: int


class Entry(NamedTuple):
    """One thing in pip's cache, or set aside in the store.

    ``kind`` is ``download``, ``metadata``, ``page`` or ``built``. ``key`` names it within pip's cache, also while it is in the
    store. ``paths`` are its files in the order in which they are to go (of two, metadata and body); the last one is the
    content. ``stated`` are the digests it is to be held to, and ``label`` what its file name says. ``layout`` is that of an
    HTTP entry, and ``span`` where in the file its body is, if not all of it (offset and length in bytes). ``fault`` says what
    is wrong with its head, on which pip would fail; ``unreadable`` says why nothing can be said of it.
    """

    kind: str
    key: str
    paths: tuple[str, ...]
    filename: str
    stated: tuple[Digest, ...] = ()
    label: ParsedFilename | None = None
    layout: Layout = keys.TWO_FILES
    span: Span | None = None
    fault: str = ""
    unreadable: str = ""

    @property
    def content(self) -> str:
        """The path of the file with the content: a body, or a wheel."""
        return self.paths[-1]


class Response(NamedTuple):
    """The stored head of a response; names of headers are in lower case."""

    status: int
    headers: dict[str, str]

    def age(self, now: float) -> float:
        """Return the seconds since the server sent it; infinite if it does not say."""
        date = _time(self.headers.get("date", ""))
        return max(0.0, now - date) if date is not None else float("inf")

    @property
    def spent(self) -> bool:
        """Whether `write_spent` made it, and no "not modified" has renewed it since: pip asks for the whole response."""
        return self.headers.get("etag") == _SPENT and "date" not in self.headers

    def fresh(self, now: float) -> bool:
        """Say whether pip would use it without asking (cachecontrol's ``cached_request``)."""
        return self._lifetime() > self.age(now)

    def _lifetime(self) -> float:
        for directive in self.headers.get("cache-control", "").split(","):
            name, _, value = directive.strip().partition("=")
            if name == "max-age" and value.strip().isdecimal() and len(value) < _LONGEST_NUMBER:
                return int(value)
        expires, date = _time(self.headers.get("expires", "")), _time(self.headers.get("date", ""))
        return expires - date if expires is not None and date is not None else 0


def _time(text: str) -> float | None:
    """Return the time that an HTTP header states, in seconds since the epoch; None if it states none."""
    from email.utils import mktime_tz, parsedate_tz  # 10 ms

    try:
        found = parsedate_tz(text)
        return mktime_tz(found) if found else None
    except Exception:  # noqa: BLE001 (the year 99999, and whatever else no date is)
        return None


def _is_usual(date: str) -> bool:
    """Say whether a date is written as servers do (RFC 9110, IMF-fixdate), without a parser's import."""
    return len(date) == 29 and date.endswith(" GMT") and date[8:11] in _MONTHS and (date[5:7] + date[12:16]).isdecimal()


def stamp(path: str) -> FileStamp | None:
    """Return the stamp of the regular file *path*; None for anything else, links among them."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return stamp_from(found) if stat.S_ISREG(found.st_mode) else None


def stamp_from(found: os.stat_result) -> FileStamp:
    """Return the stamp that *found* makes."""
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def exists(path: str) -> bool:
    """Say whether anything stands at *path*, a dangling link too."""
    return os.path.lexists(path)


def is_there(entry: Entry) -> bool:
    """Say whether pip would find *entry*: its content exists, and its head is not spent."""
    return exists(entry.content) and not is_spent(entry)


def is_spent(entry: Entry) -> bool:
    """Say whether the head of an HTTP entry in pip's cache is spent."""
    head = read_head(entry.paths[0]) if entry.kind != "built" and stamp(entry.paths[0]) is not None else None
    return head is not None and head.response.spent


def stamp_of(entry: Entry) -> FileStamp | None:
    """Return the stamp of *entry*'s content; None if it, or what pip reads beside it, is something else than a regular file."""
    beside = [os.path.join(os.path.dirname(entry.content), ORIGIN)] if entry.kind == "built" else list(entry.paths[:-1])
    if any(exists(path) and stamp(path) is None for path in beside):
        return None
    return stamp(entry.content)


def open_content(entry: Entry) -> BinaryIO:
    """Open the content of *entry*; raises `OSError`, also if it is a symbolic link."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(_open(entry.content, flags), "rb")
    return file if entry.span is None else cast("BinaryIO", io.BufferedReader(_Part(file, entry.span)))


def _open(path: str, flags: int) -> int:
    """Open a file without a trace where the system lets us: the time of access tells when pip used it last."""
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:  # it belongs to somebody else
        return os.open(path, flags)


class _Part(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, file: BinaryIO, span: Span) -> None:
        self._file, self._span, self._at = file, span, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._span.length}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        self._file.seek(self._span.offset + self._at)
        wanted = max(0, min(len(buffer), self._span.length - self._at))
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class HttpCache:
    """The HTTP part of the cache at *root* as the pip of version *pip* uses it."""

    def __init__(self, root: str, pip: tuple[int, ...]) -> None:
        self.root, self.layout = root, keys.TWO_FILES if pip >= (23, 3) else keys.ONE_FILE

    def entry(self, kind: str, link: Link, stated: tuple[Digest, ...], label: ParsedFilename | None) -> Entry | None:
        """Return the entry that answers a request for *link*, behind cached permanent redirects; None if there is none."""
        found = self.find(link.url)
        return found[0]._replace(kind=kind, filename=link.filename, stated=stated, label=label) if found else None

    def find(self, url: str) -> tuple[Entry, Response, str] | None:
        """Return the entry for *url*, its response and its own URL; None if pip would ask the server.

        The response has status 0 if its file is no regular one (to open a FIFO would be to wait for ever, as pip would).
        """
        url = _target(url, "")
        for _ in range(REDIRECTS):
            entry = self.place(url)
            whole = all(os.path.exists(path) for path in entry.paths)
            if whole and stamp(entry.paths[0]) is None:
                return entry, Response(0, {}), url
            head = read_head(entry.paths[0]) if stamp(entry.paths[0]) is not None else None
            if head is None or head.response.spent:
                return None  # pip asks the server, and says "deserialization failed" if there is something else than a head
            if head.response.status in _PERMANENT and not head.fault:
                # Of one without content pip keeps but the head: it asks, is led there again, and uses what it has of that.
                url = _target(url, head.response.headers.get("location", ""))
            elif not whole:
                return None  # a miss for pip too
            elif head.fault or head.unreadable:
                return entry._replace(fault=head.fault, unreadable=head.unreadable), head.response, url
            else:
                return entry._replace(span=head.span if self.layout is keys.ONE_FILE else None), head.response, url
        return None

    def place(self, url: str) -> Entry:
        """Return the entry that pip would make of the response to *url*, whether there is one or not."""
        key = keys.http_key(keys.request_url(url))
        paths = tuple(os.path.join(self.root, path) for path in keys.http_paths(key, self.layout))
        return Entry("", key, paths, "", layout=self.layout)


def _target(url: str, location: str) -> str:
    """Return where a redirect leads; to nothing that is in the cache if that is no URL."""
    try:
        return keys.request_url(urljoin(url, location))
    except ValueError:
        return ""


class Head(NamedTuple):
    """The head of an HTTP entry: the response, and where in the file the body is.

    ``fault``: pip would fail on it; ``unreadable``: we do, and what pip would do is not known; ``ignored``: pip takes it for
    the answer to another request.
    """

    response: Response
    span: Span | None = None
    fault: str = ""
    unreadable: str = ""
    ignored: bool = False


class _Document(NamedTuple):
    """What is in the file of an HTTP entry: the fields of its response without the body, ``others``, and where the body is."""

    response: dict[Any, Any]
    others: dict[Any, Any]
    span: Span


def read_head(path: str) -> Head | None:
    """Read the file of an HTTP entry that has its metadata; None for one that pip ignores too.

    The file is a MessagePack map (``cachecontrol/serialize.py``); the body is passed over, not read: it may have gigabytes.
    What is MessagePack, but not such a map, is no miss for pip: it fails.
    """
    import msgpack

    errors = (OSError, ValueError, TypeError, RecursionError, msgpack.UnpackException)
    try:
        with open(path, "rb", opener=_open) as file:
            if file.read(len(_PREFIX)) != _PREFIX:
                return None
            head = None
            with suppress(*errors):
                head = _bodiless(msgpack.unpackb(file.read(_MOST_HEADS), raw=False, strict_map_key=False))
            if head is None:
                file.seek(len(_PREFIX))
                with suppress(*errors):
                    head = _head(file)
            if head is None:
                file.seek(len(_PREFIX))
                msgpack.unpackb(file.read(_LARGEST_METADATA), raw=False, strict_map_key=False)
                head = Head(Response(0, {}), fault="its stored HTTP headers are invalid")
    except errors:
        return None
    except Exception as error:  # noqa: BLE001 (one head must not cost the call)
        return Head(Response(0, {}), unreadable=foreign_data.reason(error))
    return None if head.ignored else head


def asking_head(path: str) -> bytes | None:
    """Return the head of an HTTP entry, changed so that pip asks the server whether it still holds (``cached_request``).

    If the server sent an ETag and the file has not changed, that costs a request. None if it is no head of a pip from 23.3 on.
    """
    import msgpack

    try:
        with open(path, "rb", opener=_open) as file:
            data = file.read(_LARGEST_METADATA)
        document = msgpack.unpackb(data.removeprefix(_PREFIX), raw=False, strict_map_key=False)
        headers = document["response"]["headers"]
        kept = {name: value for name, value in headers.items() if name.lower() not in ("cache-control", "expires")}
        document["response"]["headers"] = {**kept, "cache-control": "max-age=0"}
        return _PREFIX + bytes(msgpack.packb(document, use_bin_type=True))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, msgpack.UnpackException):
        return None


def _bodiless(document: Any) -> Head | None:
    """Return the head that pip writes beside a body; None if the body is in it, or it is none."""
    found = document.pop("response", None) if isinstance(document, dict) else None
    if not isinstance(found, dict) or found.pop("body", None) != b"":
        return None
    return _made_head(_Document(found, document, Span(0, 0)))


def _head(file: BinaryIO) -> Head | None:
    document = _document(file)
    return _made_head(document) if document else None


def _made_head(document: _Document) -> Head | None:
    """Return the head that a document makes; None if pip would fail on it."""
    response, others = _response(document.response), document.others
    if response is None or not all(isinstance(value, dict) for value in others.values()):
        return None
    ignored = others.get("vary", {}).get(_ASKS_BY) is not None
    return Head(response, document.span, ignored=ignored)


def _document(file: BinaryIO) -> _Document | None:
    """Read what follows the prefix of a *file*; None if the file has more, or no body."""
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
    import msgpack

    return msgpack.Unpacker(file, raw=False, strict_map_key=False, max_buffer_size=_LARGEST_METADATA, read_size=1 << 12)


def write_spent(entry: Entry, out: BinaryIO, *, lasting: bool) -> None:
    """Write to *out* the file with the head of *entry* as only a pip can use it that has asked whether the entry is still good.

    Told "not modified", that pip reads head and body again; one that starts now must not use them. It finds no date that
    makes the response fresh, and a tag that no server knows, so that it is sent the whole response. (A stale entry without
    a tag it would delete, under the other pip.) The answer "not modified" renews the entry: for others too only if *lasting*,
    else as the answer to just that question, which later pips ignore.

    Raises `OSError`, and `ValueError` if it is no head that pip wrote.
    """
    import shutil

    import msgpack

    pack = msgpack.Packer().pack
    with open(entry.paths[0], "rb", opener=_open) as file:
        response, others, span = _read_document(file)
        if response["status"] in _PERMANENT:
            raise ValueError("pip follows it whatever its head says, and never asks")
        response["headers"] = _spent_headers(response["headers"], lasting=lasting)
        out.write(_PREFIX + _map(1 + len(others)) + pack("response") + _map(1 + len(response)) + pack("body"))
        out.write(b"\xc6" + span.length.to_bytes(4, "big"))
        shutil.copyfileobj(_Part(file, span), out)
        out.writelines(pack(name) + pack(value) for name, value in response.items())
        out.writelines(pack(name) + pack(value) for name, value in others.items())


def _read_document(file: BinaryIO) -> _Document:
    """Read the *file* of an HTTP entry; raises `ValueError` if it is none that pip wrote."""
    import msgpack

    try:
        document = _document(file) if file.read(len(_PREFIX)) == _PREFIX else None
        if document and _made_head(document):
            return document
    except (TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ValueError(str(error)) from error
    raise ValueError("no head that pip wrote")


def _map(length: int) -> bytes:
    """Return the header of a MessagePack map of so many pairs."""
    return b"\xde" + length.to_bytes(2, "big")


def _spent_headers(headers: dict[str, str], *, lasting: bool) -> dict[str, str]:
    kept = {name: value for name, value in headers.items() if str(name).lower() not in _RENEWING}
    if not lasting:
        varies = [kept.pop(name) for name in [*kept] if str(name).lower() == "vary"]
        kept["Vary"] = ", ".join([*varies, _ASKS_BY])
    return {**kept, "Cache-Control": "max-age=0", "ETag": _SPENT}


def _binary(file: BinaryIO, offset: int) -> Span:
    """Return where the bytes of the MessagePack "bin" value at *offset* are; raises `ValueError` if there is none."""
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
    if date is not None and status not in _PERMANENT and not _is_usual(date) and _time(date) is None:
        return None  # pip asserts that it is a date
    return response


def built_under(folder: str, key: str, project: str) -> Iterator[Entry]:
    """Yield the wheels of *project* in one *folder* of built wheels."""
    for name in names(folder):
        found = links.label(name, project) if name.endswith(".whl") else None
        path = os.path.join(folder, name)
        if found is not None:
            yield Entry("built", f"{key}/{name}", (path,), name, (), found)


def names(folder: str) -> list[str]:
    """Return the names in *folder*, sorted; none if it is no folder."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def walk_built(root: str) -> Iterator[tuple[str, str]]:
    """Yield (folder, key) of every folder of built wheels: for pins whose key cannot be known."""

    def below(folder: str, depth: int) -> Iterator[str]:
        if depth == 0:
            yield folder
            return
        try:
            with os.scandir(folder) as found:
                folders = sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
        except OSError:
            return
        for name in folders:
            yield from below(f"{folder}/{name}", depth - 1)

    for folder in below(os.path.join(root, "wheels"), 4):
        yield folder, "".join(folder.split("/")[-4:])


def now() -> float:
    """Return the time of day in seconds since the epoch, as pip's cache compares it."""
    return time.time()
