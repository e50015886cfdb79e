"""Make machines for the tests of the shared store, and servers that keep objects, or fail on purpose."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import http.server
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager, suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple

from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp

from tests.lab import NEWEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from urllib.parse import SplitResult

    from tests.lab import Environment, Lab

EXTRA = ("obstore", "typing_extensions")


class Installed(NamedTuple):
    """The result of a call: the CONTENT of demo, its ``way`` ("built", "fetched", or "" for neither), and pinstall's lines."""

    content: str
    way: str
    said: list[str]


class Machine:
    """A home and a cache below the root of *lab*: another machine, as far as pinstall can tell, that may write to the store."""

    def __init__(self, lab: Lab, name: str, **variables: str) -> None:
        self.lab, self.cache = lab, lab.root / name / "cache"
        (lab.root / name / "home").mkdir(parents=True)
        home = {"HOME": str(lab.root / name / "home"), "PIP_CACHE_DIR": str(self.cache)}
        self.variables = {**home, "PINSTALL_SHARED_STORE_MODE": "readwrite", **variables}

    def install(self, *words: str, environment: Environment | None = None, **variables: str) -> Installed:
        """Install demo 1.0, or with the arguments *words*, into a fresh environment or the given one; it must succeed."""
        environment = environment or environment_with_extra(self.lab)
        done = self.lab.pinstall(environment, *(words or ("demo==1.0",)), **{**self.variables, **variables})
        assert done.status == 0, done
        assert "internal error" not in done.err
        way = "built" if "Building wheel" in done.out else "fetched" if "pinstall: fetched" in done.err else ""
        return Installed(environment.installed("demo").partition(" ")[2], way, done.said)


def environment_with_extra(lab: Lab, pip: str = NEWEST) -> Environment:
    """Make an environment in which pinstall has the extra "shared"."""
    made = lab.environment(pip)
    for module in EXTRA:
        found = __import__(module).__file__
        assert found
        place = found.removesuffix("/__init__.py")
        (made.site / place.rpartition("/")[2]).symlink_to(place)
    return made


class Answer(NamedTuple):
    """An answer of a `Proxy`. ``cut`` is the number of bytes that it announces besides the body, and never sends."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = 0


class Proxy:
    """A server in front of the object store *behind*, which a test makes fail.

    ``hook`` is called with method and path of each request, and returns the answer, or None to pass the request on. ``asked``
    are all requests (method, path).
    """

    def __init__(self, behind: SplitResult) -> None:
        self.hook: Callable[[str, str], Answer | None] = lambda *_: None
        self.asked: list[tuple[str, str]] = []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                proxy.asked.append((self.command, self.path))
                answer = proxy.hook(self.command, self.path) or self.forwarded(body)
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body) + answer.cut))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)
                self.close_connection = bool(answer.cut)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 (the names are those of http.server)

            def forwarded(self, body: bytes) -> Answer:
                connection = http.client.HTTPConnection(behind.netloc, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                dropped = ("content-length", "transfer-encoding", "connection", "date", "server")
                headers = tuple((name, value) for name, value in response.getheaders() if name.lower() not in dropped)
                return Answer(response.status, response.read(), headers)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def webdav(folder: Path) -> Iterator[str]:
    """Run WsgiDAV over a *folder*, for the user "me" with the password "secret"; yield its URL."""
    users = {"*": {"me": {"password": "secret"}}}
    quiet = {"verbose": 0, "logging": {"enable": False}}
    application = WsgiDAVApp({"provider_mapping": {"/": str(folder)}, "simple_dc": {"user_mapping": users}, **quiet})
    server = Server(("127.0.0.1", 0), application)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield f"http://me:secret@127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join(30)


# The account that Azurite documents; its key is no secret.
_ACCOUNT = "devstoreaccount1"
_ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def azurite(program: str, folder: Path) -> Iterator[dict[str, str]]:
    """Run Microsoft's Azurite, whose *program* is ``azurite-blob``, with a container; yield the variables to use it."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    options = ["--blobHost", "127.0.0.1", "--blobPort", port, "--location", str(folder), "--silent", "--skipApiVersionCheck"]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/{_ACCOUNT}"
    try:
        for _ in range(300):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", int(port)), 1).close()
                break
            time.sleep(0.1)
        _make_container(url, "wheels")
        yield {
            "PINSTALL_SHARED_STORE": "az://wheels/builds",
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _ACCOUNT_KEY,
            "AZURE_STORAGE_ENDPOINT": url,
            "AZURE_ALLOW_HTTP": "true",
        }
    finally:
        process.terminate()
        process.wait(30)


def _make_container(url: str, name: str) -> None:
    """Make a container, by a request that is signed as Azure's Shared Key demands."""
    date, version = formatdate(usegmt=True), "2021-08-06"
    headers = f"x-ms-date:{date}\nx-ms-version:{version}\n"
    text = "PUT" + "\n" * 12 + f"{headers}/{_ACCOUNT}/{_ACCOUNT}/{name}\nrestype:container"
    signature = base64.b64encode(hmac.new(base64.b64decode(_ACCOUNT_KEY), text.encode(), hashlib.sha256).digest()).decode()
    sent = {"x-ms-date": date, "x-ms-version": version, "Authorization": f"SharedKey {_ACCOUNT}:{signature}"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/{name}?restype=container", method="PUT", headers=sent)).close()
