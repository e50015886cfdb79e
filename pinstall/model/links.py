"""Links to artifacts, as pip makes them from an anchor, a JSON page or a path, and the data in their file names.

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

# pip (LinkHash) takes the first of these in a fragment, not the strongest.
_HASH = re.compile(r"[#&](sha512|sha384|sha256|sha224|sha1|md5)=([^&]*)")
_SUBDIRECTORY = re.compile(r"[#&]subdirectory=([^&]*)")
_RESERVED = re.compile("(@|%2F)", re.IGNORECASE)
_PYTHON_SUFFIX = re.compile(r"-py([123]\.?[0-9]?)$")
# A URL in which nothing is quoted, in capitals before its path, or relative: nearly every one on a page.
_PLAIN = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?")
# The parts of a URL that may contain a password: before its host, and after its path.
_SECRETS = re.compile(r"(?<=//)[^/?#]*@|[?#].*")


class Link(NamedTuple):
    """A link to an artifact: its URL without fragment, and the data that was stated with it.

    The first of ``digests`` is the one in pip's key of wheels that it builds from the link. ``metadata`` are the digests stated
    of the artifact's ``.metadata`` file, perhaps empty; None if the index does not serve such a file. ``subdirectory`` is the
    value of that name in the fragment.
    """

    url: str
    digests: tuple[Digest, ...] = ()
    metadata: tuple[Digest, ...] | None = None
    subdirectory: str = ""

    @property
    def filename(self) -> str:
        """The last component of the URL's path, unquoted; a slash at the end does not count."""
        return unquote(urlsplit(self.url).path).rstrip("/").rpartition("/")[2]


def link(url: str, stated: Iterable[Digest] = (), metadata: tuple[Digest, ...] | None = None) -> Link:
    """Make a link from *url*, which may have a fragment and is not quoted anew, with the *stated* digests and *metadata*.

    The first digest in the fragment replaces the *stated* one with its algorithm; if there is none, it comes last. Raises
    `ValueError` if urllib cannot split *url*.
    """
    digests = {d.algorithm: d for d in stated}
    if is_plain(url):
        return Link(url, tuple(digests.values()), metadata)
    if found := _HASH.search(url):
        digests[found[1]] = Digest(found[1], found[2])
    subdirectory = _SUBDIRECTORY.search(url)
    parts = urlsplit(url)
    return Link(urlunsplit((*parts[:4], "")), tuple(digests.values()), metadata, subdirectory[1] if subdirectory else "")


def is_plain(url: str) -> bool:
    """Return whether *url* is surely absolute, without query and fragment, and its own quoted form.

    Saves time: pages list thousands, and to quote one takes 10 us. Some such URLs are not recognised.
    """
    return _PLAIN.fullmatch(url) is not None


def absolute(base: str, href: str) -> str:
    """Resolve *href* of the page at *base* to an absolute, quoted URL (``_absolute_link_url``, ``_ensure_quoted_url``).

    Raises `ValueError` if urllib cannot split the URL.
    """
    if is_plain(href):
        return href
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
    from urllib.request import pathname2url, url2pathname  # takes 17 ms, as it imports http.client

    cleaned = pathname2url(url2pathname(part))
    return cleaned.removeprefix("//") if cleaned.startswith("///") else cleaned


def from_path(path: str) -> Link:
    """Make a link to the file at *path* (``utils/urls.path_to_url``)."""
    from urllib.request import pathname2url

    return Link(urljoin("file://", pathname2url(os.path.normpath(os.path.abspath(path)))))


def to_path(url: str) -> str:
    """Return the local path of a ``file:`` URL (``utils/urls.url_to_path``). Its host counts on Windows only.

    Raises `ValueError`, or `OSError` with newer Pythons, for an invalid URL.
    """
    from urllib.request import url2pathname

    parts = urlsplit(url)
    server = parts.netloc if os.name == "nt" and parts.netloc != "localhost" else ""  # \\\\server\\share
    return url2pathname(f"//{server}{parts.path}" if server else parts.path)


class ParsedFilename(NamedTuple):
    """The data in a file name: the version and a wheel's tags.

    ``text`` is the version as written, but with dashes for a wheel's underscores, and ``version`` is that text parsed. ``tags``
    have the form ``cp311-cp311-linux_x86_64``; "" for an sdist. ``ignored_since`` is the first pip version that ignores a file
    of this name, which older versions accept as a wheel; empty if all versions accept it.
    """

    text: str
    version: Version
    tags: str = ""
    ignored_since: tuple[int, ...] = ()

    def ignored_by(self, pip: tuple[int, ...]) -> bool:
        """Return whether version *pip* of pip ignores files of this name, on index pages and in folders alike."""
        return bool(self.ignored_since) and pip >= self.ignored_since


def parse_filename(filename: str, project: str) -> ParsedFilename | None:
    """Parse the file name of a wheel or sdist of *project* (normalized).

    None for another kind of file, another project, or an invalid version. ``demo-2-1.tar.gz`` is parsed both for demo (as
    version 2.post1) and for demo-2 (as version 1).
    """
    if filename.endswith(".whl"):
        parts = filename[:-4].split("-")
        if len(parts) not in (5, 6) or normalized(parts[0]) != project:
            return None
        if not all(part.strip(".") for part in parts[-3:]) or (len(parts) == 6 and not parts[2][:1].isdecimal()):
            return None  # an empty tag, or a build tag that does not begin with a digit
        text, tags = parts[1].replace("_", "-"), "-".join(parts[-3:])
        # pip 25.3 and later ignore names with two underscores in the project, or an underscore for a dash in the version.
        until = (25, 3) if "__" in parts[0] or parse_version(parts[1]) is None else _tags_ignored_since(tags)
    else:
        ending = next((e for e in SDIST_ENDINGS if filename.endswith(e)), None)
        if ending is None:
            return None
        text, tags, until = _version_text(filename[: -len(ending)], project), "", ()
    version = parse_version(text)
    return ParsedFilename(text, version, tags, until) if version is not None else None


def wheel_version(filename: str) -> str:
    """Return the ``text`` of `ParsedFilename` for a file name that ends like a wheel's; "" for others. Checks nothing else."""
    return filename.split("-", 2)[1].replace("_", "-") if filename.endswith(".whl") and "-" in filename else ""


def wheel_tags(filename: str) -> str:
    """Return the ``tags`` of `ParsedFilename` for a file name that ends like a wheel's; "" for others. Checks nothing else."""
    return "-".join(filename[:-4].rsplit("-", 3)[1:]) if filename.endswith(".whl") else ""


def project_of(filename: str) -> str:
    """Return the normalized project in the file name of a wheel or sdist; "" for other endings. Checks no more.

    The project is the text before the first dash of a wheel's name, and before the last dash of an sdist's.
    """
    stem = next((filename[: -len(ending)] for ending in SDIST_ENDINGS if filename.endswith(ending)), "")
    name = filename.partition("-")[0] if filename.endswith(".whl") else stem.rpartition("-")[0]
    return normalized(name)


@cache
def _tags_ignored_since(tags: str) -> tuple[int, ...]:
    """Return the first pip version that ignores *tags*, if one is empty or an interpreter is not an identifier, else ()."""
    interpreters, *others = (part.split(".") for part in tags.split("-"))
    return () if all(map(str.isidentifier, interpreters)) and all(map(all, others)) else (26, 3)


def _version_text(stem: str, project: str) -> str:
    """Return the version in *stem*, the name of an sdist without its ending (``_extract_version_from_fragment``).

    It is the text after *project* (normalized, may contain dashes) and a dash, without a suffix such as ``-py3``. "" if *stem*
    does not begin with them.
    """
    for i, character in enumerate(stem):
        if character == "-" and normalized(stem[:i]) == project:
            return _PYTHON_SUFFIX.sub("", stem[i + 1 :])
    return ""


@cache
def parse_version(text: str) -> Version | None:
    """Parse a version; None if it is invalid."""
    from packaging.version import Version

    try:
        return Version(text)
    except ValueError:  # InvalidVersion, or a number with more digits than Python converts
        return None


def without_secrets(url: str) -> str:
    """Return *url* without its user and password, its query and its fragment: they may be secrets."""
    return _SECRETS.sub("", url)
