"""The wheels that pip has built, and the ``origin.json`` beside them, in which pip keeps their source (PEP 610)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from pinstall.model import digest, links
from pinstall.model.digest import Digest
from pinstall.pip_cache import keys
from pinstall.pip_cache.entries import ORIGIN, BuiltWheel, is_link, names, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_ORIGIN = 1 << 20  # bytes


def built_under(folder: str, key: str, project: str, store_id: str = "") -> Iterator[BuiltWheel]:
    """Yield a wheel for each file in *folder* that is named like a wheel of *project*, sorted; none if it cannot be read.

    *folder* has the built wheels for *key*. *store_id* is its name in the store, "" for pip's own. Looks at no file: a wheel
    may be a link.
    """
    for name in names(folder):
        found = links.parse_filename(name, project) if name.endswith(".whl") else None
        path = os.path.join(folder, name)
        if found is not None:
            yield BuiltWheel(key, path, found, store_id)


def walk_built(root: str) -> Iterator[tuple[str, str]]:
    """Yield the path and key of every folder for built wheels, even an empty one, in the cache or view *root*.

    Follows no links below ``wheels/``, and skips what cannot be read.
    """

    def below(folder: str, depth: int) -> Iterator[str]:
        if depth == 0:
            yield folder
            return
        try:
            with os.scandir(folder) as found:
                folders = sorted(e.name for e in found if e.is_dir(follow_symlinks=False) and not is_link(e.path))
        except OSError:
            return
        for name in folders:
            yield from below(os.path.join(folder, name), depth - 1)

    for folder in below(os.path.join(root, keys.WHEELS), keys.WHEEL_DEPTH):
        yield folder, key_of(folder)


def key_of(folder: str) -> str:
    """Return the key of the built wheels in a *folder* of pip's cache or of a view.

    It consists of the last four parts of the path, without separators.
    """
    return "".join(folder.split(os.path.sep)[-4:])


class Origin(NamedTuple):
    """The source of a distribution as pip recorded it (PEP 610).

    ``plain_url`` is the recorded URL. ``url`` is the one that a requirement would have: the same, but for version control with
    the system's name before it and the commit behind it (``git+URL@COMMIT``). ``digests`` and ``commit`` are in lower case;
    ``commit`` is "" for other sources.
    """

    url: str
    digests: tuple[Digest, ...] = ()
    subdirectory: str = ""
    plain_url: str = ""
    commit: str = ""

    @property
    def by_algorithm(self) -> dict[str, str]:
        """The hexadecimal digests by algorithm."""
        return {stated.algorithm: stated.hex for stated in self.digests}


def origin_text(path: str, query: str | None) -> str | None:
    """Return the text of the ``origin.json`` at *path*: as it is if *query* is None, else with this query in its URL.

    *query* has no question mark; "" removes the query. With a *query*, the URL also loses its fragment. The query of a signed
    URL is a secret: the store keeps none. Returns None if the file is missing, a symbolic link, unreadable or above 1 MiB; with
    a *query*, also if it contains something else than a JSON object, or an invalid URL.
    """
    found = stamp(path)
    if found is None or found.size > _LARGEST_ORIGIN:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        return text if query is None else _with_query(text, query)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None


def _with_query(text: str, query: str) -> str:
    document = json.loads(text)
    url = urlsplit(document.get("url", ""))
    if (url.query, url.fragment) == (query, ""):
        return text
    return json.dumps({**document, "url": urlunsplit((*url[:3], query, ""))})


def read_origin(folder: str) -> Origin | None:
    """Read the ``origin.json`` (PEP 610) in a *folder* of built wheels.

    Returns None if it cannot be read, is invalid or above 1 MiB, or is not a regular file, such as a symbolic link.
    """
    path = os.path.join(folder, ORIGIN)
    return read_direct_url(path) if stamp(path) is not None else None


def read_direct_url(path: str) -> Origin | None:
    """Read a file with a direct URL (PEP 610), such as ``direct_url.json`` of an installed distribution.

    Returns None if it cannot be read, is invalid or above 1 MiB. Follows a symbolic link, unlike `read_origin`.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return origin_from(json.loads(file.read(_LARGEST_ORIGIN)))
    except (OSError, ValueError, RecursionError):
        return None


def origin_from(document: Any) -> Origin | None:
    """Return the source that *document*, the decoded JSON of an ``origin.json``, names.

    Returns None if it has another form, or no valid URL.
    """
    try:
        url, subdirectory = document["url"], document.get("subdirectory") or ""
        archive = document.get("archive_info", {})
        single = digest.parse(archive.get("hash") or "", "=")  # pip 23.0 writes only this older form
        hashes = archive.get("hashes") or ({single.algorithm: single.hex} if single else {})
        digests = tuple(Digest(name, value.lower()) for name, value in hashes.items())
        vcs = document.get("vcs_info", {})
        full = f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url
        if not isinstance(url, str) or not isinstance(subdirectory, str):
            return None
        keys.request_url(full)  # raises ValueError if it is not a URL
        return Origin(full, digests, subdirectory, url, vcs["commit_id"].lower() if vcs else "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
