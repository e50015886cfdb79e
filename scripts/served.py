"""Start an index on 127.0.0.1 that another program serves, for scripts that need the pages and files of a real registry."""

# scripts/ holds programs and is no package.
# ruff: noqa: INP001

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pathlib import Path


class Index:
    """The index that *command* starts: ``environ`` are the variables that tell pip of it, ``requests`` count its log's lines.

    To make one waits until the command has printed these variables, and ends the program if the command ends before.
    """

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        told, self._log = cast("IO[str]", self._process.stdout), cast("IO[str]", self._process.stderr)
        self.environ: dict[str, str] = {}
        self.requests = 0
        while not {"PIP_INDEX_URL", "PIP_CERT"} <= self.environ.keys():
            line = told.readline()
            if not line:
                sys.exit(self._log.read() or "the index has ended")
            name, _, value = line.removeprefix("export ").strip().partition("=")
            self.environ[name] = value
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        for _ in self._log:
            self.requests += 1

    def settings(self, cache: Path) -> dict[str, str]:
        """Return the variables for a pip that knows this index and this *cache*, and nothing of the user's."""
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("PIP_", "PINSTALL_")) and not n.endswith("_CA_BUNDLE")}
        settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CACHE_DIR": str(cache)}
        return {**kept, **settings, **self.environ}

    def asked(self) -> int:
        """Return how many requests it had since the last call of this; waits a second for its log."""
        time.sleep(1)  # its log comes in pieces
        found, self.requests = self.requests, 0
        return found

    def page_url(self, project: str) -> str:
        """Return the URL of the page of *project*, as pip asks for it."""
        return f"{self.environ['PIP_INDEX_URL'].rstrip('/')}/{project}/"

    def page(self, project: str, kind: str) -> tuple[bytes, dict[str, str], str] | None:
        """Return body, headers (their names in lower case) and URL of a page; None if the index answers with an error.

        *kind* is the content type that is asked for.
        """
        url = self.page_url(project)
        context = ssl.create_default_context(cafile=self.environ["PIP_CERT"])
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": kind}), context=context) as answer:
                return answer.read(), {name.lower(): value for name, value in answer.headers.items()}, url
        except urllib.error.HTTPError:
            return None

    def stop(self) -> None:
        """End the command."""
        self._process.terminate()
        self._process.wait(10)
