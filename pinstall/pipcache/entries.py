"""Entries: what stands in pip's cache for a key, found by a `stat` and read without following links."""

from __future__ import annotations

import os
import stat
import time
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin

from pinstall.pipcache import keys, links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinstall.digest import Digest
    from pinstall.pipcache.links import Label, Link

ORIGIN = "origin.json"
_PREFIX = b"cc=4,"
# Metadata of a response is headers: a file larger than this is none.
_LARGEST_METADATA = 1 << 20
REDIRECTS = 10


class Stamp(NamedTuple):
    """What `stat` says of a file: it changes with the file (size in bytes, times in nanoseconds)."""

    size: int
    modified: int
    changed: int
    inode: int


class Entry(NamedTuple):
    """One thing in pip's cache, or set aside in the store.

    ``kind`` is ``download``, ``metadata``, ``page`` or ``built``. ``key`` names it within pip's cache, also while it is in the
    store. ``paths`` are its files in the order in which they are to go (of two, metadata and body); the last one is the
    content. ``stated`` are the digests it is to be held to, and ``label`` what its file name says.
    """

    kind: str
    key: str
    paths: tuple[str, ...]
    filename: str
    stated: tuple[Digest, ...] = ()
    label: Label | None = None

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
        date = parsedate_tz(self.headers.get("date", ""))
        return max(0.0, now - mktime_tz(date)) if date else float("inf")

    def fresh(self, now: float) -> bool:
        """Say whether pip would use it without asking (cachecontrol's ``cached_request``)."""
        return self._lifetime() > self.age(now)

    def _lifetime(self) -> float:
        for directive in self.headers.get("cache-control", "").split(","):
            name, _, value = directive.strip().partition("=")
            if name == "max-age" and value.strip().isdecimal():
                return int(value)
        expires, date = parsedate_tz(self.headers.get("expires", "")), parsedate_tz(self.headers.get("date", ""))
        return mktime_tz(expires) - mktime_tz(date) if expires and date else 0


def stamp(path: str) -> Stamp | None:
    """Return the stamp of the regular file *path*; None for anything else, links among them."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
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


class HttpCache:
    """The HTTP part of the cache at *root* as the pip of version *pip* uses it (23.3 and later: two files for each entry)."""

    def __init__(self, root: str, pip: tuple[int, ...]) -> None:
        self.root, self._has_two_files = root, pip >= (23, 3)

    def entry(self, kind: str, link: Link, stated: tuple[Digest, ...], label: Label | None) -> Entry | None:
        """Return the entry that answers a request for *link*, behind cached permanent redirects; None if there is none."""
        found = self.find(link.url)
        return found[0]._replace(kind=kind, filename=link.filename, stated=stated, label=label) if found else None

    def find(self, url: str) -> tuple[Entry, Response, str] | None:
        """Return the entry for *url*, its response and its own URL; None if pip would ask the server.

        The response has status 0 if its file is no regular one (to open a FIFO would be to wait for ever, as pip would).
        """
        for _ in range(REDIRECTS if self._has_two_files else 0):
            url = keys.request_url(url)
            key = keys.http_key(url)
            metadata = os.path.join(self.root, keys.http_path(key))
            body = metadata + ".body"
            if not (os.path.exists(metadata) and os.path.exists(body)):
                return None  # a miss for pip too
            response = read_response(metadata) if stamp(metadata) else Response(0, {})
            if response is None:
                return None  # pip says "deserialization failed" and asks the server
            if response.status not in (301, 308):
                return Entry("", key, (metadata, body), ""), response, url
            url = urljoin(url, response.headers.get("location", ""))
        return None

    def paths(self, url: str) -> tuple[str, tuple[str, str]]:
        """Return the key and the two paths of *url*, whether there is an entry or not."""
        key = keys.http_key(keys.request_url(url))
        metadata = os.path.join(self.root, keys.http_path(key))
        return key, (metadata, metadata + ".body")


def read_response(path: str) -> Response | None:
    """Read the metadata file of an HTTP entry; None for one that pip ignores too."""
    import msgpack

    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_METADATA)
        if not data.startswith(_PREFIX):
            return None
        return _response(msgpack.unpackb(data[len(_PREFIX) :], raw=False, strict_map_key=False))
    except (OSError, ValueError, msgpack.UnpackException):
        return None


def _response(document: Any) -> Response | None:
    found = document.get("response") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not isinstance(status := found.get("status"), int):
        return None
    headers = found.get("headers")
    if not isinstance(headers, dict):
        return None
    return Response(status, {str(name).lower(): str(value) for name, value in headers.items()})


def built(root: str, link: Link, project: str, interpreter: tuple[str, str]) -> Iterator[Entry]:
    """Yield the built wheels of *project* that pip would find for *link*."""
    key = keys.wheel_key(link.url, link.digests[0] if link.digests else None, link.subdirectory, interpreter)
    yield from built_under(os.path.join(root, keys.wheel_path(key)), key, project)


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
