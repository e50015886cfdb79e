"""Start devpi-server and pypiserver on 127.0.0.1, from an environment of their own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent
_WANTED = (_HERE / "indexes.txt").read_text().split()
PASSWORD = "s3cret-Passw0rd"
_USER = "somebody"


def installed(registry: Mapping[str, str]) -> Path:
    """Return the ``bin`` folder of the environment of the indexes, made once. Raises `subprocess.CalledProcessError`."""
    folder = _HERE.parent / ".venv-test" / "indexes"
    ready = folder / "ready"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not ready.exists() or ready.read_text().split() != _WANTED:
            environ = {"PATH": os.environ["PATH"], **registry}
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, env=environ)
            command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-cache-dir", *_WANTED]
            subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
            ready.write_text("\n".join(_WANTED))
    return folder / "bin"


@dataclass
class RealIndex:
    """A server of an index, to which files can be published. A file replaces one of the same name."""

    process: subprocess.Popen[bytes]
    port: int
    path: str

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments by which pip uses this index alone, and trusts its host, so that it caches what comes by HTTP."""
        return ("-i", f"http://{_USER}:{PASSWORD}@{self.host}{self.path}", "--trusted-host", self.host)

    def publish(self, file: Path, name: str) -> None:
        """Publish a *file* of *name* 1.0."""
        raise NotImplementedError

    def request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Any:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            text = response.read()
        assert response.status < 300, (response.status, text)
        return text

    def wait(self) -> None:
        """Wait until it takes connections; fail if it has ended, or after a minute."""
        for _ in range(600):
            assert self.process.poll() is None, "the index died"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the index does not answer")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class Pypiserver(RealIndex):
    """A pypiserver over the folder ``root``. It asks for the password for its pages, its files and uploads."""

    root: Path

    def publish(self, file: Path, name: str) -> None:  # noqa: ARG002 (devpi wants to know)
        (self.root / file.name).write_bytes(file.read_bytes())


class Devpi(RealIndex):
    """A devpi-server with one index, in which files can be replaced. The URL of a file contains its hash."""

    headers: dict[str, str]

    def prepare(self) -> None:
        """Log in, keep the login in ``headers``, and make the index."""
        kind = {"Content-Type": "application/json", "Accept": "application/json"}
        login = json.dumps({"user": "root", "password": PASSWORD}).encode()
        token = json.loads(self.request("POST", "/+login", login, kind))["result"]["password"]
        self.headers = {"X-Devpi-Auth": base64.b64encode(f"root:{token}".encode()).decode()}
        wanted = json.dumps({"type": "stage", "volatile": True, "bases": []}).encode()
        self.request("PUT", "/root/dev", wanted, {**kind, **self.headers})

    def publish(self, file: Path, name: str) -> None:
        kind = "bdist_wheel" if file.suffix == ".whl" else "sdist"
        fields = {":action": "file_upload", "name": name, "version": "1.0", "filetype": kind, "metadata_version": "2.1"}
        parts = [f'--edge\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
        head = f'--edge\r\nContent-Disposition: form-data; name="content"; filename="{file.name}"\r\n\r\n'
        body = "".join(parts).encode() + head.encode() + file.read_bytes() + b"\r\n--edge--\r\n"
        self.request("POST", "/root/dev/", body, {"Content-Type": "multipart/form-data; boundary=edge", **self.headers})


def pypiserver(scripts: Path, folder: Path) -> Pypiserver:
    """Start the pypiserver of the folder *scripts*, over a new folder in *folder*; wait until it answers."""
    root = folder / "packages"
    root.mkdir(parents=True)
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    (folder / "htpasswd").write_text(f"{_USER}:{{SHA}}{digest}\n")
    port = _free_port()
    options = ["-i", "127.0.0.1", "-p", str(port), "-a", "update,download,list", "-P", str(folder / "htpasswd")]
    command = [str(scripts / "pypi-server"), "run", *options, "--disable-fallback", str(root)]
    made = Pypiserver(_started(command, folder), port, "/simple/")
    made.root = root
    made.wait()
    return made


def devpi(scripts: Path, folder: Path) -> Devpi:
    """Start the devpi-server of the folder *scripts*, with its data in *folder*, which is made; wait until it answers."""
    folder.mkdir(parents=True)
    data = ["--serverdir", str(folder / "data")]
    command = [str(scripts / "devpi-init"), *data, "--no-root-pypi", "--root-passwd", PASSWORD]
    subprocess.run(command, check=True, capture_output=True, env=_environ(folder))
    port = _free_port()
    command = [str(scripts / "devpi-server"), *data, "--host", "127.0.0.1", "--port", str(port), "--offline-mode"]
    made = Devpi(_started(command, folder), port, "/root/dev/+simple/")
    made.wait()
    made.prepare()
    return made


def _started(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    silent = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=folder, env=_environ(folder), stdin=silent, stdout=silent, stderr=silent)


def _environ(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
