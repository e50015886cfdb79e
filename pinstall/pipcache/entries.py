"""Entries: what stands in pip's cache for a key, found by a `stat` and read without following links."""

from __future__ import annotations

import io
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast
from urllib.parse import urljoin

from pinstall import foreign, links
from pinstall.pipcache import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinstall.digest import Digest
    from pinstall.links import Label, Link
    from pinstall.pipcache.keys import Layout

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


class Stamp(NamedTuple):
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
    label: Label | None = None
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


def stamp(path: str) -> Stamp | None:
    """Return the stamp of the regular file *path*; None for anything else, links among them."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return stamp_from(found) if stat.S_ISREG(found.st_mode) else None


def stamp_from(found: os.stat_result) -> Stamp:
    """Return the stamp that *found* makes."""
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def exists(path: str) -> bool:
    """Say whether anything stands at *path*, a dangling link too."""
    return os.path.lexists(path)


def stamp_of(entry: Entry) -> Stamp | None:
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

    def entry(self, kind: str, link: Link, stated: tuple[Digest, ...], label: Label | None) -> Entry | None:
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
            if head is None:
                return None  # pip says "deserialization failed" and asks the server
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

    ``fault``: pip would fail on it; ``unreadable``: we do, and what pip would do is not known.
    """

    response: Response
    span: Span | None = None
    fault: str = ""
    unreadable: str = ""


def read_head(path: str) -> Head | None:
    """Read the file of an HTTP entry that has its metadata; None for one that pip ignores too.

    The file is a MessagePack map (``cachecontrol/serialize.py``); the body is passed over, not read: it may have gigabytes.
    What is MessagePack, but not such a map, is no miss for pip: it fails.
    """
    import msgpack

    def unpacker() -> Any:
        return msgpack.Unpacker(file, raw=False, strict_map_key=False, max_buffer_size=_LARGEST_METADATA, read_size=1 << 12)

    errors = (OSError, ValueError, TypeError, RecursionError, msgpack.UnpackException)
    try:
        with open(path, "rb", opener=_open) as file:
            if file.read(len(_PREFIX)) != _PREFIX:
                return None
            with suppress(*errors):
                if head := _bodiless(msgpack.unpackb(file.read(_MOST_HEADS), raw=False, strict_map_key=False)):
                    return head
            file.seek(len(_PREFIX))
            with suppress(*errors):
                if head := _head(file, unpacker):
                    return head
            file.seek(len(_PREFIX))
            msgpack.unpackb(file.read(_LARGEST_METADATA), raw=False, strict_map_key=False)
    except errors:
        return None
    except Exception as error:  # noqa: BLE001 (one head must not cost the call)
        return Head(Response(0, {}), unreadable=foreign.reason(error))
    return Head(Response(0, {}), fault="its head is not one that pip wrote")


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
    found = document.get("response") if isinstance(document, dict) else None
    others = [value for name, value in document.items() if name != "response"] if found else []
    if not isinstance(found, dict) or found.pop("body", None) != b"" or not all(isinstance(value, dict) for value in others):
        return None
    response = _response(found)
    return Head(response, Span(0, 0)) if response else None


def _head(file: BinaryIO, unpacker_here: Callable[[], Any]) -> Head | None:
    response = span = None
    base, unpacker = file.tell(), unpacker_here()
    for _ in range(unpacker.read_map_header()):
        if unpacker.unpack() != "response":
            if not isinstance(unpacker.unpack(), dict):
                return None
            continue
        found: dict[Any, Any] = {}
        for _ in range(unpacker.read_map_header()):
            name = unpacker.unpack()
            if name != "body":
                found[name] = unpacker.unpack()
                continue
            span = _binary(file, base + unpacker.tell())
            base, unpacker = file.seek(span.offset + span.length), unpacker_here()
        response = _response(found)
    is_whole = base + unpacker.tell() == os.fstat(file.fileno()).st_size
    return Head(response, span) if is_whole and response and span else None


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
