"""A package index on 127.0.0.1 over TLS, whose pages, hashes and caching headers a test chooses."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import ssl
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import trustme

JSON = "application/vnd.pypi.simple.v1+json"
# The ways in which a page may be compressed; the first word of each is its Content-Encoding.
_ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "gzip in two members": lambda body: gzip.compress(body[:20], mtime=0) + gzip.compress(body[20:], mtime=0),
    "deflate": zlib.compress,
    "deflate without a header": lambda body: zlib.compress(body)[2:-4],
}


@dataclass
class Index:
    """The files in *root*, served as a simple index, and below ``/mirror`` again; fields may be changed while it runs.

    ``hashes`` are the algorithms whose digests pages state, in this order; HTML pages state only the first. ``page_age`` and
    ``file_age`` are max-age in seconds; None: no caching headers at all. ``json`` allows JSON pages. ``encoding`` is "" or one
    of `_ENCODINGS`. With ``metadata``, there are ``.metadata`` files, of which only JSON pages tell: their digests, or without
    ``metadata_hash`` only that they exist. ``relative`` makes the URLs on pages relative. ``user`` is the "name:password" that
    the index asks for. With ``ranges``, parts of files may be asked for. ``page_status`` is that of pages, ``file_type`` the
    content type of files.

    ``redirects`` map a path to (status, path), and have an ETag if ``tagged``. ``tags`` map a path to the ETag of its answers,
    which else depends on their content. ``requires_python`` and ``yanked`` map a file's name to what pages state of it: a
    specifier, a reason. ``lies`` map a file's name, or "name algorithm", to the wrong digest that JSON pages state.
    ``meanwhile`` maps a path to a function that is called once, between a request for the path and the answer.

    ``requests`` are the paths of all requests, ``unchanged`` those that were answered by "not modified".
    """

    root: Path
    server: http.server.ThreadingHTTPServer
    base: str
    hashes: tuple[str, ...] = ("sha256",)
    json: bool = True
    encoding: str = ""
    metadata: bool = False
    metadata_hash: bool = True
    page_age: int | None = 600
    file_age: int | None = 31_536_000
    relative: bool = False
    user: str = ""
    redirects: dict[str, tuple[int, str]] = field(default_factory=dict)
    tagged: bool = False
    ranges: bool = False
    page_status: int = 200
    file_type: str = "application/octet-stream"
    requires_python: dict[str, str] = field(default_factory=dict)
    yanked: dict[str, str] = field(default_factory=dict)
    lies: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The URL for ``--index-url``."""
        return f"{self.base}/simple/"

    @property
    def fetched(self) -> list[str]:
        """The names of the files, also ``.metadata`` files, that were asked for since `forget`, in order."""
        return [path.rpartition("/")[2] for path in self.requests if path.startswith("/files/")]

    def pages(self, project: str) -> int:
        """Return how often the page of *project*, named as in its URL, was asked for since `forget`."""
        return self.requests.count(f"/simple/{project}/")

    def forget(self) -> None:
        """Forget all requests, so that `fetched` and `pages` count anew."""
        self.requests.clear()

    def respond(self, path: str, accept: str) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers for a GET of *path* with this Accept header, before ``user`` and ETags count."""
        if path in self.redirects:
            status, target = self.redirects[path]
            tag = {"ETag": '"moved"'} if self.tagged else {}
            return status, b"", {"Location": self.base + target, **tag, **self._caching(self.file_age)}
        path = path.removeprefix("/mirror")
        if path.startswith("/simple/"):
            return self._page(path.removeprefix("/simple/").rstrip("/"), accept)
        if path.startswith("/files/"):
            return self._file(unquote(path).rpartition("/")[2])
        return 404, b"", {}

    def _file(self, name: str) -> tuple[int, bytes, dict[str, str]]:
        body = self._metadata(name.removesuffix(".metadata")) if name.endswith(".metadata") else None
        if body is None:
            if not (self.root / name).is_file():
                return 404, b"", {}
            body = (self.root / name).read_bytes()
        return 200, body, {"Content-Type": self.file_type, **self._caching(self.file_age)}

    def _metadata(self, name: str) -> bytes | None:
        import zipfile

        if not self.metadata or not name.endswith(".whl"):
            return None
        with zipfile.ZipFile(self.root / name) as wheel:
            return wheel.read(next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")))

    def _page(self, project: str, accept: str) -> tuple[int, bytes, dict[str, str]]:
        files = list(self._files(project))
        if not files:
            return 404, b"", {}
        body, content_type = self._json(project, files) if self.json and JSON in accept else self._html(files)
        headers = {"Content-Type": content_type, **self._caching(self.page_age)}
        if self.encoding:
            body, headers["Content-Encoding"] = _ENCODINGS[self.encoding](body), self.encoding.partition(" ")[0]
        return self.page_status, body, headers

    def _files(self, project: str) -> Iterator[Path]:
        for path in sorted(self.root.iterdir()):
            if _project(path.name) == canonicalize_name(project):
                yield path

    def _url(self, path: Path) -> str:
        return f"../../files/{path.name}" if self.relative else f"{self.base}/files/{path.name}"

    def _json(self, project: str, files: list[Path]) -> tuple[bytes, str]:
        entries: list[dict[str, Any]] = [
            {
                "filename": f.name,
                "url": self._url(f),
                "hashes": {
                    name: self.lies.get(f.name) or self.lies.get(f"{f.name} {name}") or _digest(f, name) for name in self.hashes
                },
            }
            for f in files
        ]
        for entry, path in zip(entries, files, strict=True):
            metadata = self._metadata(path.name)
            if metadata is not None:
                entry["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()} if self.metadata_hash else True
            entry.update(self._stated(path))
        document = {"meta": {"api-version": "1.1"}, "name": canonicalize_name(project), "versions": [], "files": entries}
        return json.dumps(document).encode(), JSON

    def _html(self, files: list[Path]) -> tuple[bytes, str]:
        fragments = {f: f"#{self.hashes[0]}={_digest(f, self.hashes[0])}" if self.hashes else "" for f in files}
        attributes = {f: "".join(f' data-{name}="{escape(value)}"' for name, value in self._stated(f).items()) for f in files}
        rows = "".join(f'<a href="{escape(self._url(f) + fragments[f])}"{attributes[f]}>{f.name}</a><br>\n' for f in files)
        return f"<!DOCTYPE html><html><body>\n{rows}</body></html>".encode(), "text/html; charset=utf-8"

    def _stated(self, path: Path) -> dict[str, str]:
        stated = {"requires-python": self.requires_python.get(path.name), "yanked": self.yanked.get(path.name)}
        return {name: value for name, value in stated.items() if value is not None}

    @staticmethod
    def _caching(age: int | None) -> dict[str, str]:
        return {} if age is None else {"Cache-Control": f"max-age={age}, public"}


def _project(filename: str) -> str:
    """Return the project whose page lists a file, even if its name is not that of a wheel or sdist."""
    for parse in (parse_wheel_filename, parse_sdist_filename):
        with suppress(ValueError):
            return parse(filename)[0]
    return canonicalize_name(filename.removesuffix(".whl").partition("-")[0])


def _digest(path: Path, algorithm: str) -> str:
    return hashlib.new(algorithm, path.read_bytes()).hexdigest()


def start(root: Path, authority: trustme.CA) -> Index:
    """Serve the folder *root*, which is made if it is missing, until `stop`."""
    root.mkdir(parents=True, exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up in the middle; that is theirs to do
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    # By name: the urllib3 in pip before 26 does not do TLS with an address.
    index = Index(root, server, f"https://localhost:{server.server_port}")
    server.RequestHandlerClass = _handler(index)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return index


def stop(index: Index) -> None:
    """Stop serving."""
    index.server.shutdown()
    index.server.server_close()


def _handler(index: Index) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            index.requests.append(path)
            index.meanwhile.pop(path, lambda: None)()
            if index.user and self.headers.get("Authorization") != _basic(index.user):
                status, body, headers = 401, b"", {"WWW-Authenticate": "Basic"}
            else:
                status, body, headers = index.respond(path, self.headers.get("Accept", ""))
            if "Cache-Control" in headers and status == 200:
                headers["ETag"] = index.tags.get(path) or f'"{hashlib.md5(body).hexdigest()}"'
                if self.headers.get("If-None-Match") == headers["ETag"]:
                    status, body = 304, b""
                    index.unchanged.append(path)
            if index.ranges and status == 200 and path.startswith("/files/"):
                headers["Accept-Ranges"] = "bytes"
                first, dash, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
                if dash:
                    status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{len(body)}"
                    body = body[int(first) : int(last) + 1]
            self.send_response_only(status)
            for name, value in {"Date": formatdate(usegmt=True), "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 (the name is that of http.server)

    return Handler


def _basic(user: str) -> str:
    import base64

    return "Basic " + base64.b64encode(user.encode()).decode()
