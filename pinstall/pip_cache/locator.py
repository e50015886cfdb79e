"""Find everything in pip's cache that the pip of this call could use for a pin, by computing keys.

Only `Cache.walked` and `Cache.idle_keys` walk through ``wheels/``. They serve calls whose pip may use keys that do not follow
from the cached pages.
"""

from __future__ import annotations

import itertools
import os
import posixpath
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from pinstall.model import foreign_data, links
from pinstall.model.digest import Digest
from pinstall.pip_cache import built_wheels, entries, http_entries, index_pages, keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.environment import Environment
    from pinstall.invocation.invocation import Invocation
    from pinstall.model.links import Link, ParsedFilename
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.built_wheels import Origin
    from pinstall.pip_cache.entries import BuiltWheel, HttpEntry, LocalFile
    from pinstall.pip_cache.http_entries import Response
    from pinstall.pip_cache.index_pages import IndexFile

_VCS = ("git+", "hg+", "svn+", "bzr+")


class Page(NamedTuple):
    """A cached index page: its entry, its response, and the files that it offers, of any version and for any environment.

    ``fault`` says how the page or its head is damaged (None: not known to be); ``unreadable`` says why it could not be judged.
    """

    entry: HttpEntry
    response: Response
    offers: tuple[IndexFile, ...]
    fault: str | None = None
    unreadable: str = ""


class Artifact(NamedTuple):
    """An artifact that a page, a folder or a URL offers, and its parsed file name.

    ``parsed_filename`` is None if the name is not that of a wheel or sdist of the project. Only the URL of a pin may have such
    a name.
    """

    link: Link
    parsed_filename: ParsedFilename | None


class ProjectFiles(NamedTuple):
    """The pages and files of a pin's project.

    ``files`` are the pinned artifacts that this environment can install: those of the pinned version, with any hash; for a pin
    to hashes alone, those with such a hash. ``others`` are the offers that are not pinned, mostly unfiltered: some may be for
    other environments, or of other projects (see `Cache.others`). ``complete`` is False if a page on which pip searches for the
    project is not in the cache, or counts as missing (`index_pages.UnknownPageError`); an HTTP URL of ``--find-links`` counts
    as such a page, even if it leads to a file of the project. A damaged or unreadable page is in ``pages``, and counts as
    present. ``listed`` says whether a page, a folder or ``--find-links`` offers a pinned file, for any environment, that
    `hashes_allow`.

    For a pin to a URL, or from a lock file, ``files`` has that file if it is installable. It counts as listed; there are no
    pages and no others, and ``complete`` is True.
    """

    pages: tuple[Page, ...]
    files: tuple[Artifact, ...]
    others: tuple[IndexFile, ...]
    complete: bool
    listed: bool


class Cache:
    """The cache folder *root* as the pip of version *pip* uses it for *call* in *environment*. Changes nothing.

    Each page is read once, until `forget_pages`, and ``wheels/`` is walked through at most once.
    """

    def __init__(self, root: str, call: Invocation, environment: Environment, pip: tuple[int, ...]) -> None:
        self.root, self.call, self.environment, self.pip = root, call, environment, pip
        self.http = http_entries.HttpCache(root, pip)
        self._keeps_pages = pip >= (26, 2)
        # With these options pip installs for another platform or Python: it may choose files with any tags.
        self._for_another = call.has("platforms", "abis", "implementation", "python_version")
        self._pages: dict[str, Page | None] = {}
        self._located: dict[Pin, ProjectFiles] = {}

    def at(self, root: str) -> Cache:
        """Return a `Cache` for the same call at another *root*, such as a view, which has read nothing yet."""
        return Cache(root, self.call, self.environment, self.pip)

    def locate(self, pin: Pin) -> ProjectFiles:
        """Return the pages and files of *pin*'s project. The result is kept until `forget_pages`."""
        if pin not in self._located:
            self._located[pin] = self._locate(pin)
        return self._located[pin]

    def _locate(self, pin: Pin) -> ProjectFiles:
        if pin.url or pin.locked:
            link = index_pages.remote(pin.url or pin.locked).link()
            file = Artifact(link, links.parse_filename(link.filename, pin.project))
            return ProjectFiles((), (file,) if self.usable(file.parsed_filename) else (), (), complete=True, listed=True)
        pages = [self._page(url, pin.project) for url in self._page_urls(pin.project)]
        found = tuple(page for page in pages if page is not None)
        pinned: dict[Artifact, None] = {}
        others: list[IndexFile] = []
        may_be_pinned = pin.has_version or pin.hashes
        admitted: dict[str, bool] = {}  # pages list each version many times
        for offer in itertools.chain(*(page.offers for page in found), self._local(pin.project)):
            if not may_be_pinned or not admitted.get(links.wheel_version(offer.filename), True):
                others.append(offer)
                continue
            label = links.parse_filename(offer.filename, pin.project)
            if label is None or label.ignored_by(self.pip):
                continue
            if label.text not in admitted:
                admitted[label.text] = pin.admits(label.version)
            if admitted[label.text] and (pin.has_version or _has_hash(pin, offer.link().digests)):
                pinned[Artifact(offer.link(), label)] = None
            else:
                others.append(offer)
        listed = any(hashes_allow(pin, file.link.digests) for file in pinned)
        files = tuple(file for file in pinned if self.usable(file.parsed_filename))
        return ProjectFiles(found, files, tuple(others), None not in pages, listed)

    def others(self, pin: Pin) -> Iterator[Artifact]:
        """Yield the artifacts of *pin*'s project that are not pinned and that this environment can install.

        Leaves out those with a dash in the version: ``demo-2-1.tar.gz`` may be of another project. Yields nothing for a pin to
        a URL or from a lock file.
        """
        for offer in self.locate(pin).others:
            if not (self._for_another or self.environment.supports(links.wheel_tags(offer.filename))):
                continue  # most files are for other platforms, and this is known sooner than the rest
            label = links.parse_filename(offer.filename, pin.project)
            # demo-2-1.tar.gz may be demo 2.post1 or demo-2 1
            if label is not None and self.usable(label) and "-" not in label.text:
                yield Artifact(offer.link(), label)

    def forget_pages(self) -> None:
        """Forget all pages and all results of `locate`, because pip may have fetched newer pages.

        The walk through ``wheels/`` is not forgotten.
        """
        self._pages.clear()
        self._located.clear()

    def uses_unasked(self, page: Page, project: str) -> bool:
        """Return whether pip would use a cached *page* of *project* without asking the server.

        Only pip 26.2 and later do, with a page that is fresh, unless ``--refresh-package`` names it or all projects.
        """
        if not self._keeps_pages or self.call.refreshed & {":all:", project}:
            return False
        return page.response.fresh(http_entries.now())

    def _page_urls(self, project: str) -> list[str]:
        """Return the HTTP URLs that pip searches for *project*, also those of ``--find-links`` (``models/search_scope.py``)."""
        urls = [page_url(url, project) for url in self.call.index_urls]
        return [url for url in [*urls, *self.call.find_links] if is_http(url)]

    def _page(self, url: str, project: str) -> Page | None:
        if url not in self._pages:
            self._pages[url] = self._read_page(url, project)
        return self._pages[url]

    def _read_page(self, url: str, project: str) -> Page | None:
        found = None if links.project_of(links.Link(url).filename) else self.http.find(url)
        if found is None or (found[1].status and not is_page(found[1])):
            return None  # pip asks the server, or the URL is that of a file in --find-links, whose name may not tell that
        entry, response, own_url = found
        page = Page(entry._replace(kind="page", filename=f"index page of {project}"), response, ())
        if entry.fault or entry.unreadable or entries.stamp_of(page.entry) is None:
            unreadable = "" if entry.fault else entry.unreadable or "it is not a regular file"
            return page._replace(fault=entry.fault or None, unreadable=unreadable)
        try:
            with entries.open_content(page.entry) as file:
                body = file.read(index_pages.LARGEST + 1)
            return page._replace(offers=tuple(index_pages.parse(body, response.headers, own_url)))
        except index_pages.DamagedPageError as error:
            return page._replace(fault=str(error))
        except index_pages.UnknownPageError:
            return None  # treated like a missing page, because its files are unknown
        except Exception as error:  # noqa: BLE001 (one unreadable page must not end the call)
            return page._replace(unreadable=foreign_data.reason(error))

    def _local(self, project: str) -> Iterator[IndexFile]:
        """Yield the files that are offered without a page in the cache.

        They are those of ``--find-links``, of any project, and those of *project* in indexes that are folders. Each URL of
        ``--find-links`` counts as a file, even if it is that of a page.
        """
        for location in self.call.find_links:
            path = _path(location)
            if path is None:
                yield index_pages.remote(location)
            elif os.path.isdir(path):
                yield from itertools.chain(*(self._offers(os.path.join(path, name)) for name in entries.names(path)))
            else:
                yield from self._offers(path)
        for index in self.call.index_urls:
            path = _path(index)
            if path is not None:
                yield from self._html(os.path.join(path, project, "index.html"))

    def _offers(self, path: str) -> Iterable[IndexFile]:
        """Return the files that the page at *path* offers, or *path* itself if it is not named ``.html`` or ``.htm``."""
        return self._html(path) if path.endswith((".html", ".htm")) else [index_pages.local(path)]

    def _html(self, path: str) -> Iterator[IndexFile]:
        try:
            with open(path, "rb") as file:
                body = file.read(index_pages.LARGEST)
            offers = index_pages.parse(body, {"content-type": "text/html"}, links.from_path(path).url)
        except Exception:  # noqa: BLE001 (a file that is not a page lists nothing)
            return
        yield from offers

    def downloads(self, file: Artifact) -> Iterator[HttpEntry]:
        """Yield those HTTP entries of one artifact that pip finds: its download and its ``.metadata`` file."""
        for kind, link, stated in _requests(file):
            entry = self.http.entry(kind, link, stated, file.parsed_filename)
            if entry is not None:
                yield entry

    def built_for(self, pin: Pin, source: Link) -> Iterator[BuiltWheel]:
        """Yield the wheels of *pin*'s project under the key for *source*, of any version, that pip could install."""
        key = self.wheel_key(source)
        found = built_wheels.built_under(os.path.join(self.root, keys.wheel_path(key)), key, pin.project)
        yield from (entry for entry in found if self.usable(entry.parsed_filename))

    def may_be_built(self, pin: Pin, located: ProjectFiles) -> bool:
        """Return whether pip may build *pin* from source; *located* is that of `locate`.

        It does not if the call forbids sdists of the project, and the pin is not to a URL. Nor does it if ``files`` has a wheel
        that `hashes_allow`, and the call neither forbids wheels nor installs for another platform; nor if ``complete`` and
        ``listed`` are True, and ``files`` has only such wheels, or is empty.
        """
        refuses = self.call.formats.refuses
        if not pin.url and refuses(pin.project, is_wheel=False):  # pip builds an sdist from a URL in spite of --only-binary
            return False
        wheels = [
            file
            for file in located.files
            if file.parsed_filename and file.parsed_filename.tags and hashes_allow(pin, file.link.digests)
        ]
        if wheels and not refuses(pin.project, is_wheel=True) and not self._for_another:
            return False
        return not (located.complete and located.listed) or len(located.files) > len(wheels)

    def possible_entries(self, file: Artifact) -> Iterator[HttpEntry]:
        """Yield the HTTP entries that pip would create for one artifact, whether they exist or not. Follows no redirects.

        Yields nothing for a file that is not downloaded, such as one in a folder.
        """
        for kind, link, stated in _requests(file):
            entry = self.http.entry_at(link.url)
            yield entry._replace(kind=kind, filename=link.filename, expected=stated, parsed_filename=file.parsed_filename)

    def wheel_key(self, link: Link) -> str:
        """Return the key under which pip stores wheels that it builds from *link* for the environment's interpreter."""
        first = link.digests[0] if link.digests else None
        return keys.wheel_key(link.url, first, link.subdirectory, self.environment.interpreter)

    def usable(self, label: ParsedFilename | None) -> bool:
        """Return whether the environment's pip could install a file with this parsed name (*label*); True for None.

        With ``--platform`` and the like, any tags count as installable.
        """
        return label is None or (self._for_another and not label.ignored_by(self.pip)) or self._fits(label)

    def _fits(self, label: ParsedFilename) -> bool:
        return not label.ignored_by(self.pip) and self.environment.supports(label.tags)

    def walked(self, pin: Pin) -> Iterator[BuiltWheel]:
        """Yield all built wheels of *pin*'s project, of any version, that this interpreter's pip would find (`is_ours`).

        They are found by walking through ``wheels/`` in pip's cache: the links from which they were built are unknown.
        """
        for folder, key in self._folders.get(pin.project, ()):
            yield from filter(self.is_ours, built_wheels.built_under(folder, key, pin.project))

    @cached_property
    def _folders(self) -> dict[str, list[tuple[str, str]]]:
        """The folders of built wheels and their keys, by project."""
        found: dict[str, dict[tuple[str, str], None]] = {}
        for folder, key, names in self._leaves:
            for name in names:
                found.setdefault(links.project_of(name), {})[folder, key] = None
        return {project: list(folders) for project, folders in found.items()}

    @cached_property
    def _leaves(self) -> list[tuple[str, str, list[str]]]:
        """Each folder of built wheels, its key, and the file names of its wheels."""
        walked = built_wheels.walk_built(self.root)
        return [(folder, key, [n for n in entries.names(folder) if n.endswith(".whl")]) for folder, key in walked]

    def idle_keys(self) -> Iterator[str]:
        """Yield the keys of the folders in pip's cache that exist without a wheel for this environment: pip may build there."""
        for _, key, names in self._leaves:
            labels = (links.parse_filename(name, links.project_of(name)) for name in names)
            if not any(label and self._fits(label) for label in labels):
                yield key

    def is_ours(self, entry: BuiltWheel) -> bool:
        """Return whether this interpreter's pip would find a built wheel.

        It does if the wheel's tags fit, and a key that follows from the ``origin.json`` beside it is its ``wheel_key``. Without
        a valid ``origin.json`` the Python tag must name the interpreter (``cp311``), so that ``py3`` does not do.
        """
        if entry.parsed_filename is None or not self._fits(entry.parsed_filename):
            return False
        origin = built_wheels.read_origin(os.path.dirname(entry.content_path))
        if origin is None:
            return "".join(self.environment.interpreter) in entry.parsed_filename.tags.split("-")[0].split(".")
        return self.source_of(entry.wheel_key, origin) is not None

    def source_of(self, wheel_key: str, origin: Origin) -> Link | None:
        """Return the link under whose *wheel_key* pip finds a built wheel; None if no link that fits *origin* has this key.

        A page that states a hash leads to another key than a page that states none, so that one origin fits several links.
        """
        bare = links.Link(origin.url, (), None, origin.subdirectory)
        candidates = [bare, *(bare._replace(digests=(stated,)) for stated in origin.digests)]
        return next((link for link in candidates if self.wheel_key(link) == wheel_key), None)


def local_file(link: Link) -> LocalFile | None:
    """Return an entry for the local file of *link*; None if the link is remote, or does not lead to a regular file.

    Symbolic links are followed: Nix, Bazel and git-annex make folders of them, and they are the user's, not the cache's.
    """
    if is_http(link.url) or is_vcs(link.url):
        return None
    path = _path(link.url)
    entry = entries.LocalFile(link.url, os.path.realpath(path) if path else "", link.filename)
    return entry if entries.stamp(entry.content_path) is not None else None


def is_page(response: Response) -> bool:
    """Return whether pip would search a response for links: it has the content type of HTML or of a JSON index page.

    False for a permanent redirect, and if the status and the headers were not read. Servers send archives with such a content
    type, too.
    """
    content_type = response.headers.get("content-type", "").lower()
    return response.status not in http_entries.PERMANENT and content_type.startswith(index_pages.CONTENT_TYPES)


def page_url(index: str, project: str) -> str:
    """Return the URL of the page of *project* on the *index* with this URL."""
    return f"{posixpath.join(index, quote(project))}/"


def _requests(file: Artifact) -> Iterator[tuple[str, Link, tuple[Digest, ...]]]:
    link = file.link
    if not is_http(link.url):
        return
    yield "download", link, link.digests + pypi_digest(link.url)
    if link.metadata is not None:
        yield "metadata", links.Link(link.url + ".metadata"), link.metadata


def pypi_digest(url: str) -> tuple[Digest, ...]:
    """Return the blake2b-256 digest in the path of a files.pythonhosted.org URL; an empty tuple for other URLs."""
    prefix, found, path = url.partition("https://files.pythonhosted.org/packages/")
    parts = path.split("/") if found and not prefix else []
    value = "".join(parts[:3])
    return (Digest("blake2b_256", value),) if len(parts) == 4 and len(value) == 64 else ()


def hashes_allow(pin: Pin, stated: Iterable[Digest]) -> bool:
    """Return whether pip would accept a file with the *stated* digests for *pin*.

    It would if one of them is pinned, or if none has an algorithm of the pin's hashes: so always without pinned hashes.
    """
    algorithms = {d.algorithm for d in pin.hashes}
    comparable = [d for d in stated if d.algorithm in algorithms]
    return not comparable or _has_hash(pin, comparable)


def _has_hash(pin: Pin, stated: Iterable[Digest]) -> bool:
    return any(d._replace(hex=d.hex.lower()) in pin.hashes for d in stated)


def is_http(url: str) -> bool:
    """Return whether *url* is one that pip fetches over HTTP or HTTPS."""
    return url.lower().startswith(("http://", "https://"))


def is_vcs(url: str) -> bool:
    """Return whether *url* is a version control URL, such as ``git+https://...``."""
    return url.lower().startswith(_VCS)


def _path(location: str) -> str | None:
    """Return the local path of an index or ``--find-links`` value.

    None if the value is neither a path that exists nor a valid ``file:`` URL, whose path may not exist.
    """
    if location.lower().startswith("file:"):
        try:
            return links.to_path(location)
        except (OSError, ValueError):  # urllib's URLError is an OSError
            return None
    return location if os.path.exists(location) else None
