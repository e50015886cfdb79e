"""The keys and paths of the two parts of pip's cache (pip 23.0 to 26.3).

pip names an HTTP entry after the requested URL (``network/cache.py``: sha224, five levels of folders). It names the folder of
built wheels after the link of their source and the interpreter (``cache.py``: sha224 of a JSON object, four levels).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from pinstall.model.links import is_plain

if TYPE_CHECKING:
    from pinstall.model.digest import Digest

# The first that uses these keys and paths.
OLDEST_PIP = (23, 0)
# The last version in tests/pips.txt: a newer pip may use other keys and paths.
NEWEST_PIP = (26, 3)

_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_CHARACTERS = "%/:@!$&'()*+,;="


def request_url(url: str) -> str:
    """Return *url* as requests sends it and pip's cache hashes it: without credentials and fragment, and quoted.

    Follows requests' ``PreparedRequest.prepare_url`` and urllib3's ``parse_url``, as vendored by pip. Raises `ValueError` if
    urllib cannot split *url*; other text that is not a URL passes.
    """
    if is_plain(url):
        return url
    parts = urlsplit(url.lstrip())
    host = parts.netloc.rpartition("@")[2].lower()
    path = _quoted(_without_dots(parts.path), _PATH_CHARACTERS) or "/"
    return urlunsplit((parts.scheme.lower(), host, path, _quoted(parts.query, _PATH_CHARACTERS + "?"), ""))


def _quoted(text: str, safe: str) -> str:
    text, escapes = _ESCAPE.subn(lambda m: m[0].upper(), text)
    if escapes != text.count("%"):  # urllib3 then takes the text for unquoted
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
    """Return the key of the HTTP entry of *url*, which must come from `request_url`."""
    return hashlib.sha224(url.encode()).hexdigest()


def is_http_key(text: str) -> bool:
    """Return whether *text* has the form of an `http_key`, which is also that of a `wheel_key`."""
    return re.fullmatch("[0-9a-f]{56}", text) is not None


class Layout(NamedTuple):
    """A layout of HTTP entries: their folder below the cache folder, and the endings of an entry's files.

    The endings are in the order in which the files have to be deleted; the last file has the body.
    """

    folder: str
    endings: tuple[str, ...]


TWO_FILES = Layout("http-v2", ("", ".body"))  # pip 23.3 and later: head and body in two files
ONE_FILE = Layout("http", ("",))  # pip before 23.3: head and body in one file
WHEELS = "wheels"  # the folder of built wheels
WHEEL_DEPTH = 4  # the levels from there to the folders with wheels
SELFCHECK = ("selfcheck", "selfcheck.json")  # pip writes there when it looks for a newer pip


def http_paths(key: str, layout: Layout) -> tuple[str, ...]:
    """Return the paths of an HTTP entry's files, relative to the cache folder, in the order of the layout's endings."""
    path = os.path.join(layout.folder, *key[:5], key)
    return tuple(path + ending for ending in layout.endings)


def wheel_key(url: str, digest: Digest | None, subdirectory: str, interpreter: tuple[str, str]) -> str:
    """Return the key of the wheels that pip builds from a link.

    *url* is that of the link, without fragment. *digest* is the first that the link states, of any algorithm; None without one.
    *subdirectory* is "" without one. *interpreter* is the pair of short name and version without dots (``("cp", "311")``).
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
    """Return the path of the folder of built wheels for *key*, relative to the cache folder."""
    return os.path.join(WHEELS, key[:2], key[2:4], key[4:6], key[6:])
