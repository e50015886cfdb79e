"""Links to artifacts, as pip makes them of an anchor, a JSON file or a path, and what their file names say.

Follows pip 26.3, ``models/link.py`` and ``index/package_finder.py``.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from pinstall.model.digest import Digest
from pinstall.model.names import normalized

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.version import Version

SDIST_ENDINGS = (".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".zip", ".tar.xz", ".txz", ".tlz", ".tar.lz", ".tar.lzma")

# The first of these in a fragment wins, wherever it stands in the list (LinkHash).
_HASH = re.compile(r"[#&](sha512|sha384|sha256|sha224|sha1|md5)=([^&]*)")
_SUBDIRECTORY = re.compile(r"[#&]subdirectory=([^&]*)")
_RESERVED = re.compile("(@|%2F)", re.IGNORECASE)
_PYTHON_SUFFIX = re.compile(r"-py([123]\.?[0-9]?)$")


class Link(NamedTuple):
    """A link to an artifact: its URL without fragment, and what was stated with it.

    ``digests`` are in the order of pip's key; ``metadata`` is None if the index serves no ``.metadata`` file for it, else
    the digests stated of that file.
    """

    url: str
    digests: tuple[Digest, ...] = ()
    metadata: tuple[Digest, ...] | None = None
    subdirectory: str = ""

    @property
    def filename(self) -> str:
        """The last part of the URL's path."""
        return unquote(urlsplit(self.url).path).rstrip("/").rpartition("/")[2]


def link(url: str, stated: Iterable[Digest] = (), metadata: tuple[Digest, ...] | None = None) -> Link:
    """Make a link of *url* as it stands (quoted), with its fragment, and of the digests *stated* beside it."""
    digests = {d.algorithm: d for d in stated}
    if found := _HASH.search(url):
        digests[found[1]] = Digest(found[1], found[2])
    subdirectory = _SUBDIRECTORY.search(url)
    parts = urlsplit(url)
    return Link(urlunsplit((*parts[:4], "")), tuple(digests.values()), metadata, subdirectory[1] if subdirectory else "")


def absolute(base: str, href: str) -> str:
    """Return *href* of a page at *base* as an absolute, fully quoted URL (``_absolute_link_url``, ``_ensure_quoted_url``)."""
    url = href if href.startswith(("https://", "http://")) else urljoin(base, href)
    parts = urlsplit(url)
    clean = _clean_url_part if parts.netloc else _clean_file_part
    pieces = _RESERVED.split(parts.path)
    path = "".join(piece.upper() if i % 2 else clean(piece) for i, piece in enumerate(pieces))
    quoted = urlunsplit(("file", parts.netloc, path, parts.query, parts.fragment))
    return parts.scheme + quoted[4:]


def _clean_url_part(part: str) -> str:
    return quote(unquote(part))


def _clean_file_part(part: str) -> str:
    from urllib.request import pathname2url, url2pathname  # 17 ms: it brings http.client

    cleaned = pathname2url(url2pathname(part))
    return cleaned.removeprefix("//") if cleaned.startswith("///") else cleaned


def from_path(path: str) -> Link:
    """Make a link of a file on disk (``utils/urls.path_to_url``)."""
    from urllib.request import pathname2url

    return Link(urljoin("file://", pathname2url(os.path.normpath(os.path.abspath(path)))))


def to_path(url: str) -> str:
    """Return the local path of a ``file:`` URL (``utils/urls.url_to_path``)."""
    from urllib.request import url2pathname

    return url2pathname(urlsplit(url).path)


class ParsedFilename(NamedTuple):
    """What a file name says: the version (as written there, and parsed) and a wheel's tags (``cp311-cp311-linux_x86_64``).

    ``until`` is the first pip that ignores a file of this name, which older ones take for a wheel; empty if all pips take it.
    """

    text: str
    version: Version
    tags: str = ""
    until: tuple[int, ...] = ()

    def ignored_by(self, pip: tuple[int, ...]) -> bool:
        """Say whether the pip of this version ignores a file of this name, wherever it finds it."""
        return bool(self.until) and pip >= self.until


def label(filename: str, project: str) -> ParsedFilename | None:
    """Read the name of a wheel or sdist of *project* (normalized); None if it is not one, or of another project."""
    if filename.endswith(".whl"):
        parts = filename[:-4].split("-")
        if len(parts) not in (5, 6) or normalized(parts[0]) != project:
            return None
        if not all(part.strip(".") for part in parts[-3:]) or (len(parts) == 6 and not parts[2][:1].isdecimal()):
            return None  # no tags, or no build tag
        text, tags = parts[1].replace("_", "-"), "-".join(parts[-3:])
        # pip 25.3 and later take neither two underscores in a project nor one for the dash of a version.
        until = (25, 3) if "__" in parts[0] or parsed(parts[1]) is None else _tags_until(tags)
    else:
        ending = next((e for e in SDIST_ENDINGS if filename.endswith(e)), None)
        if ending is None:
            return None
        text, tags, until = _version_text(filename[: -len(ending)], project), "", ()
    version = parsed(text)
    return ParsedFilename(text, version, tags, until) if version is not None else None


@cache
def _tags_until(tags: str) -> tuple[int, ...]:
    """Return the first pip that ignores a wheel because of its *tags*: one is empty, or an interpreter is no identifier."""
    interpreters, *others = (part.split(".") for part in tags.split("-"))
    return () if all(map(str.isidentifier, interpreters)) and all(map(all, others)) else (26, 3)


def _version_text(stem: str, project: str) -> str:
    """Return what follows the project's name: names may contain dashes (``_extract_version_from_fragment``)."""
    for i, character in enumerate(stem):
        if character == "-" and normalized(stem[:i]) == project:
            return _PYTHON_SUFFIX.sub("", stem[i + 1 :])
    return ""


@cache
def parsed(text: str) -> Version | None:
    """Parse a version; None if it is none."""
    from packaging.version import Version

    try:
        return Version(text)
    except ValueError:  # InvalidVersion, or a number of more digits than Python converts
        return None
