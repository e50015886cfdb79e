"""A catalogue that gives cached downloads their URLs and file names back.

pip names a cached download after the hash of its URL. The cached index pages still have the URLs.
"""

from __future__ import annotations

import posixpath
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urljoin

from pinstall.model import links
from pinstall.pip_cache import entries, http_entries, index_pages, keys
from pinstall.pip_cache.locator import pypi_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pinstall.model.digest import Digest
    from pinstall.pip_cache.entries import HttpEntry
    from pinstall.pip_cache.http_entries import Response
    from pinstall.pip_cache.index_pages import IndexFile

# Pages list thousands of URLs. Neither pip nor requests changes one of this form, so that it need not be normalized.
_PLAIN = re.compile(r"https?://[a-z0-9.:-]+(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)+")


class IdentifiedUrl(NamedTuple):
    """An identified HTTP entry: its kind, URL (behind redirects), file name and project, and the digests stated for it.

    The file name of a ``metadata`` entry ends in ``.metadata``.
    """

    kind: str
    url: str
    filename: str
    project: str
    stated: tuple[Digest, ...] = ()


class CataloguedPage(NamedTuple):
    """A cached index page: its project and URL ("" if unknown), and its fault ("" if it has none, or cannot be judged).

    ``url`` is the one behind redirects, to which relative links refer. ``unreadable`` is the text of an error that
    `Catalogue.read` raised; only its caller sets that.
    """

    project: str = ""
    url: str = ""
    fault: str = ""
    unreadable: str = ""


class Catalogue:
    """Identify the HTTP entries whose keys are *wanted* by reading cached index pages.

    *redirects* maps the keys of cached permanent redirects to their locations. *indexes* are the URLs of the configured
    indexes: a page does not contain its own URL, which its relative links need. ``named`` has the identified entries by key.
    """

    def __init__(self, wanted: Iterable[str], redirects: Mapping[str, str], indexes: Sequence[str]) -> None:
        self.named: dict[str, IdentifiedUrl] = {}
        self._wanted, self._redirects, self._indexes = frozenset(wanted), redirects, indexes

    def read(self, entry: HttpEntry, response: Response) -> CataloguedPage:
        """Read a cached page, add the wanted entries of the files that it lists to ``named``, and return the page.

        Its project is the first that a file name tells. Invalid lines are skipped. Of a page that is damaged, nothing but the
        ``fault`` is known; of one that cannot be judged, or that is an archive with the content type of a page, nothing.
        Raises `OSError` if the page cannot be read, else as `page_url`.
        """
        with entries.open_content(entry) as file:
            body = file.read(index_pages.LARGEST + 1)
        try:
            offers = index_pages.parse(body, response.headers, "")
        except index_pages.DamagedPageError as error:
            return CataloguedPage(fault=str(error))
        except index_pages.UnknownPageError:
            return CataloguedPage()
        project = next((name for offer in offers if (name := links.project_of(offer.filename))), "")
        url = self.page_url(entry.key, [project])[1]
        for offer in offers:
            with suppress(Exception):  # one invalid line, such as a malformed URL, must not cost the other lines
                self._add(offer if offer.base else offer._replace(base=url), project)
        return CataloguedPage(project, url)

    def page_url(self, key: str, projects: Iterable[str]) -> tuple[str, str]:
        """Return the project of the page with this *key*, and the page's URL, behind the redirects that pip follows to it.

        Both are "" if the key belongs to no page of one of *projects* on a configured index, and to none to which cached
        redirects lead from there. Raises `ValueError` if the URL of an index is invalid.
        """
        for project in projects:
            for index in self._indexes:
                url = keys.request_url(f"{posixpath.join(index, quote(project))}/")
                for found in self._behind(url):
                    if keys.http_key(found) == key:
                        return project, found
        return "", ""

    def add(self, url: str, kind: str, filename: str, project: str, stated: tuple[Digest, ...] = ()) -> None:
        """Add kind, file name, project and *stated* digests of the entry for *url* to ``named``, if its key is wanted.

        Follows cached redirects to the entry; those are not added themselves. If ``named`` has the entry already, only the
        digests are added to it. Raises `ValueError` for an invalid *url*.
        """
        for found in self._behind(keys.request_url(url)):
            key = keys.http_key(found)
            if key in self._wanted and key not in self._redirects:
                before = self.named.get(key, IdentifiedUrl(kind, found, filename, project))
                self.named[key] = before._replace(stated=tuple(dict.fromkeys(before.stated + stated)))

    def _add(self, offer: IndexFile, project: str) -> None:
        raw = str(offer.file.get("url") or offer.file.get("href")).partition("#")[0]
        plain = bool(_PLAIN.fullmatch(raw))
        if plain and not any(keys.http_key(raw + ending) in self._wanted for ending in ("", ".metadata")):
            return
        if not plain and not offer.base and not raw.startswith(("https://", "http://")):
            return
        link = offer.link()
        self.add(link.url, "download", offer.filename, project, link.digests + pypi_digest(link.url))
        if link.metadata is not None:
            self.add(f"{link.url}.metadata", "metadata", f"{offer.filename}.metadata", project, link.metadata)

    def _behind(self, url: str) -> Iterator[str]:
        """Yield *url* and the URLs to which cached permanent redirects lead from it, up to ten in all."""
        for _ in range(http_entries.REDIRECTS):
            yield url
            location = self._redirects.get(keys.http_key(url)) if self._redirects else None
            if location is None:
                return
            try:
                url = keys.request_url(urljoin(url, location))
            except ValueError:  # the location is not a valid URL
                return
