"""The settings of the shared store (``PINSTALL_SHARED_STORE`` and its companions)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

URL, MODE, KEY, KEY_FILE, TIMEOUT = (f"PINSTALL_SHARED_STORE{end}" for end in ("", "_MODE", "_KEY", "_KEY_FILE", "_TIMEOUT"))
MODES = ("read", "readwrite")
DEFAULT_TIMEOUT = 10.0
# Shorter keys can be guessed from one signed record.
_SHORTEST_KEY = 16
_LONGEST_KEY = 4096


class KeyUnusableError(Exception):
    """The signing key cannot be used; pinstall then uses no shared store, instead of one without signatures."""


class SharedSettings(NamedTuple):
    """The settings of a shared store. ``timeout`` is in seconds."""

    url: str
    writes: bool = False
    timeout: float = DEFAULT_TIMEOUT

    @property
    def place(self) -> str:
        """The store's address as messages show it: without credentials, path and query, which may be secrets."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host or parts.path}"


def read(environ: Mapping[str, str]) -> SharedSettings | None:
    """Read the settings, with defaults for invalid ones; None if no shared store is set."""
    url = environ.get(URL, "").strip()
    if not url:
        return None
    timeout = seconds(environ.get(TIMEOUT, ""))
    return SharedSettings(url, environ.get(MODE) == "readwrite", DEFAULT_TIMEOUT if timeout is None else timeout)


def seconds(text: str) -> float | None:
    """Parse a time-out; None if *text* is not a positive number."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if found > 0 and math.isfinite(found) else None


def signing_key(environ: Mapping[str, str]) -> bytes:
    """Return the key that signs records; empty if none is set. Raises `KeyUnusableError`."""
    path, text = environ.get(KEY_FILE, ""), environ.get(KEY, "").encode(errors="surrogateescape")
    if path:
        try:
            with open(path, "rb") as file:
                text = file.read(_LONGEST_KEY)
        except OSError as error:
            raise KeyUnusableError(f"{KEY_FILE} cannot be read ({error.strerror})") from error
    elif not text:
        return b""
    if len(text.strip()) < _SHORTEST_KEY:
        raise KeyUnusableError(f"the signing key has fewer than {_SHORTEST_KEY} characters")
    return text.strip()
