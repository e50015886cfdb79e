"""Where pip puts what: its keys and paths, for the two parts of its cache (pip 23.0 to 26.3).

HTTP entries are named after the URL that was requested (``network/cache.py``: sha224, five levels), built wheels after the
link they were built from and the interpreter (``cache_tool.py``: sha224 of a JSON object, four levels).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from pinstall.model.digest import Digest

# The last of tests/pips.txt: a newer pip may do otherwise.
NEWEST_PIP = (26, 3)

_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_CHARACTERS = "%/:@!$&'()*+,;="


def request_url(url: str) -> str:
    """Return *url* as requests sends it and pip's cache knows it: without credentials and fragment, quoted its way.

    Follows requests' ``PreparedRequest.prepare_url`` with urllib3's ``parse_url``, as vendored by pip. Raises `ValueError` for
    what is no URL.
    """
    parts = urlsplit(url.lstrip())
    host = parts.netloc.rpartition("@")[2].lower()
    path = _quoted(_without_dots(parts.path), _PATH_CHARACTERS) or "/"
    return urlunsplit((parts.scheme.lower(), host, path, _quoted(parts.query, _PATH_CHARACTERS + "?"), ""))


def _quoted(text: str, safe: str) -> str:
    text, escapes = _ESCAPE.subn(lambda m: m[0].upper(), text)
    if escapes != text.count("%"):  # not quoted yet, says urllib3
        text = text.replace("%", "%25")
    unquoted = _ESCAPE.sub(lambda m: c if (c := chr(int(m[1], 16))) in _UNRESERVED else m[0], text)
    return quote(unquoted, safe=safe)


def _without_dots(path: str) -> str:
    """Remove ``.`` and ``..`` segments (RFC 3986, 5.2.4), as urllib3 does."""
    if "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if path.startswith("/") and (not kept or kept[0]):
        kept.insert(0, "")
    if path.endswith(("/.", "/..")):
        kept.append("")
    return "/".join(kept)


def http_key(url: str) -> str:
    """Return the key of the HTTP entry of *url*, which must be a `request_url`."""
    return hashlib.sha224(url.encode()).hexdigest()


def is_http_key(text: str) -> bool:
    """Say whether *text* has the form of an `http_key`."""
    return re.fullmatch("[0-9a-f]{56}", text) is not None


class Layout(NamedTuple):
    """How pip keeps HTTP entries: the folder below the cache folder, and the endings of an entry's files.

    They are in the order in which the files are to go; the last one has the body.
    """

    folder: str
    endings: tuple[str, ...]


TWO_FILES = Layout("http-v2", ("", ".body"))  # pip 23.3 and later: metadata and body
ONE_FILE = Layout("http", ("",))  # before: the body within the metadata


def http_paths(key: str, layout: Layout) -> tuple[str, ...]:
    """Return the paths of an HTTP entry's files below the cache folder."""
    return tuple("/".join((layout.folder, *key[:5], key)) + ending for ending in layout.endings)


def wheel_key(url: str, digest: Digest | None, subdirectory: str, interpreter: tuple[str, str]) -> str:
    """Return the key of the built wheels of a link.

    *url* has no fragment; *digest* is the first that the link states, whatever its algorithm; *interpreter* is the pair of
    short name and version without dots (``("cp", "311")``).
    """
    parts = {"url": url}
    if digest is not None:
        parts[digest.algorithm] = digest.hex
    if subdirectory:
        parts["subdirectory"] = subdirectory
    parts["interpreter_name"], parts["interpreter_version"] = interpreter
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha224(text.encode("ascii")).hexdigest()


def wheel_path(key: str) -> str:
    """Return the path of the folder of built wheels of *key* below the cache folder."""
    return "/".join(("wheels", key[:2], key[2:4], key[4:6], key[6:]))
