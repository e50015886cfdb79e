"""Take an inventory of pip's cache and pinstall's store: the entries that pip finds, and the files that no pip can use."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from pinstall.inspection import integrity
from pinstall.inspection.identify import IdentifiedContent, identify
from pinstall.model import foreign_data, links
from pinstall.pip_cache import built_wheels, entries, http_entries, scan
from pinstall.pip_cache.catalogue import Catalogue, CataloguedPage
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.pip_cache.locator import is_page
from pinstall.pip_cache.scan import ScannedEntry, Stray
from pinstall.storage import store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pinstall.pip_cache.entries import Entry, FileStamp, HttpEntry

PYPI = "https://pypi.org/simple"
_ZEROS = 4096  # bytes; a file that begins with so many zeros is not read to its end


class Item(NamedTuple):
    """One entry of the cache or, if ``stored``, of pinstall's store.

    ``project`` (normalized), ``version`` and ``origin`` (`host` of its URL) are "" if unknown. ``size`` is that of head and
    body, or of a built wheel alone, in bytes. ``modified`` and ``used`` are as for `scan.ScannedEntry`. ``stamp`` is that of
    the file with the content; None if a file of the entry is missing or not regular.
    """

    entry: Entry
    project: str
    version: str
    origin: str
    size: int
    modified: float
    used: float
    stamp: FileStamp | None
    stored: bool = False

    @property
    def age(self) -> float:
        """Seconds since ``modified``; 0 if that is in the future."""
        return max(0.0, http_entries.now() - self.modified)

    @property
    def length(self) -> int | None:
        """The number of bytes of the content, without the head; None without ``stamp``."""
        return entries.length(self.entry, self.stamp) if self.stamp else None


class Inventory(NamedTuple):
    """The entries, damaged ones included, sorted by project, version and file name, and the files that no pip can use."""

    items: tuple[Item, ...]
    strays: tuple[Stray, ...]


def take(root: str, tree: scan.Tree, indexes: Sequence[str]) -> Inventory:
    """Return the inventory of the cache at *root*, of which a walk has made *tree*, and of the store as it is now.

    *indexes* are the URLs of the configured indexes, which resolve relative links on cached pages. Reads all pages. Also reads
    each file that no page lists, to learn its name: the end of a wheel, or an sdist up to its PKG-INFO.
    """
    cached = [*scan.http(tree)]
    from_store = [(scan.read_entry(entry), filename) for entry, filename in store.downloads(root)]
    built = [*scan.built(tree)]
    strays = [stray for stray in (*cached, *built) if isinstance(stray, Stray)]
    found = [entry for entry in cached if isinstance(entry, ScannedEntry)]
    strays += [Stray(f.entry.paths, f.size, f.modified, "pip ignores its headers") for f in found if f.head is None]
    items = [_built(entry) for entry in built if isinstance(entry, BuiltWheel)]
    items += [_built(entry, stored=True) for entry in _stored_builds(root)]
    items += _Http([f for f in found if f.head is not None], from_store, [*indexes, PYPI]).items(
        {item.project for item in items}
    )
    return Inventory(tuple(sorted(items, key=_order)), tuple(strays))


def merged(items: Sequence[Item]) -> list[Item]:
    """Return *items* without each stored one that is also in pip's own folders (`_is_copy`)."""
    own = {_place(item): item for item in items if not item.stored}
    return [item for item in items if not (item.stored and _is_copy(item, own.get(_place(item))))]


def _place(item: Item) -> tuple[str, ...]:
    """Return a key that is the same for an entry in the store and for one in its place in pip's own folders."""
    entry = item.entry
    return (entry.wheel_key, entry.filename) if isinstance(entry, BuiltWheel) else (entry.layout.folder, entry.key)


def _is_copy(stored: Item, own: Item | None) -> bool:
    """Return whether an *own* item, of pip's folders, is the file that pinstall has stored as *stored*.

    False without an *own* item, or if a file cannot be read. Else their content decides, and not their heads, which may differ.
    Of a stored built wheel only the digest counts under which it was stored: the file itself is not read.
    """
    if own is None or stored.length != own.length:
        return False
    if stored.stamp and own.stamp and stored.stamp.inode == own.stamp.inode:
        return True
    try:
        with entries.open_content(own.entry) as file:
            digest = integrity.sha256(file)
        if isinstance(stored.entry, BuiltWheel):
            return store.is_unchanged(stored.entry, digest)
        with entries.open_content(stored.entry) as file:
            return integrity.sha256(file) == digest
    except OSError:
        return False


def _order(item: Item) -> tuple[object, ...]:
    version = links.parse_version(item.version)
    number = (version is not None, str(version) if version is None else version)
    return (item.project == "", item.project, number, item.entry.filename, item.entry.kind, item.stored, item.entry.key)


def host(url: str) -> str:
    """Return the host of *url* with its port and without credentials; "local" for a file, "" for an invalid URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return "local" if parts.scheme.endswith("file") else parts.netloc.rpartition("@")[2]


class _Http:
    """The HTTP entries of the cache and of the store, identified by the index pages among them."""

    def __init__(
        self, cached: Sequence[ScannedEntry], from_store: Sequence[tuple[ScannedEntry, str]], indexes: Sequence[str]
    ) -> None:
        self._cached, self._from_store = cached, from_store
        responses = {f.entry.key: f.head.response for f in cached if f.head}
        redirects = {
            k: r.headers["location"] for k, r in responses.items() if r.status in (301, 308) and "location" in r.headers
        }
        wanted = {*responses, *(found.entry.key for found, _ in from_store)}
        self._catalogue = Catalogue(wanted, redirects, indexes)

    def items(self, projects: set[str]) -> list[Item]:
        """Return an item for each entry; *projects* are further names of projects, to recognise index pages by."""
        found: list[Item] = []
        pages = [f for f in self._cached if f.head and is_page(f.head.response)]
        read = [(page, self._read(page)) for page in pages]
        others = [f for f in self._cached if not (f.head and is_page(f.head.response))]
        found += [self._item(f) for f in others]
        found += [self._item(f, filename, stored=True) for f, filename in self._from_store]
        known = {*projects, *(item.project for item in found)} - {""}
        found += [self._page(page, listing, known) for page, listing in read]
        return found

    def _read(self, page: ScannedEntry) -> CataloguedPage | None:
        if page.head is None or page.stamp is None or page.entry.fault:
            return None
        try:
            return self._catalogue.read(page.entry, page.head.response)
        except Exception as error:  # noqa: BLE001 (a library's error for one page must not end the list)
            return CataloguedPage(unreadable=foreign_data.reason(error))

    def _page(self, page: ScannedEntry, listing: CataloguedPage | None, known: set[str]) -> Item:
        if page.entry.key in self._catalogue.named:  # a server may send a file with the content type of a page
            return self._item(page)
        project, url = (listing.project, listing.url) if listing else ("", "")
        if not project:
            project, url = self._catalogue.page_url(page.entry.key, sorted(known))
        fault = page.entry.fault or (listing.fault if listing else "")
        unreadable = page.entry.unreadable or (listing.unreadable if listing else "")
        name = f"index page of {project}" if project else "an index page"
        entry = page.entry._replace(fault=fault, unreadable=unreadable)
        return _make_item(page, entry, IdentifiedContent("page", name, project), host(url))

    def _item(self, found: ScannedEntry, filename: str = "", *, stored: bool = False) -> Item:
        named = self._catalogue.named.get(found.entry.key)
        if named is None:
            what = _identified(found, filename)
            entry = found.entry._replace(parsed_filename=links.parse_filename(what.filename, what.project) or _label(what))
            if what.kind == "other" or not what.project:
                entry = entry._replace(fault=entry.fault or _length_fault(found) or _emptiness(found))
            return _make_item(found, entry, what, "", stored=stored)
        label = links.parse_filename(named.filename.removesuffix(".metadata"), named.project)
        what = IdentifiedContent(named.kind, named.filename, named.project, label.text if label else "")
        entry = found.entry._replace(expected=named.stated, parsed_filename=label)
        return _make_item(found, entry, what, host(named.url), stored=stored)


def _identified(found: ScannedEntry, filename: str) -> IdentifiedContent:
    """Identify an entry that no page lists, by its *filename* if the store has recorded one, else by its content.

    If neither is known, its kind is "other", and its file name "a redirect" or "a response".
    """
    if filename:
        project = links.project_of(filename)
        label = links.parse_filename(filename, project)
        return IdentifiedContent("download", filename, project, label.text if label else "")
    redirect = found.head is not None and found.head.response.status not in (0, 200)
    with suppress(Exception):  # a body on which a library fails is listed as "a response"
        if not redirect and found.stamp is not None and not found.entry.fault:
            with entries.open_content(found.entry) as file:
                what = identify(file)
            return what._replace(filename=what.filename or "a response")
    return IdentifiedContent("other", "a redirect" if redirect else "a response")


def _label(what: IdentifiedContent) -> links.ParsedFilename | None:
    version = links.parse_version(what.version)
    return links.ParsedFilename(what.version, version) if version is not None else None


def _length_fault(found: ScannedEntry) -> str:
    """Return the fault of a body whose length is not the Content-Length in its head; "" if it is right or unknown."""
    stated = found.head.response.headers.get("content-length", "") if found.head else ""
    if found.stamp is None or found.head is None or found.head.response.status != 200 or not stated.isdecimal():
        return ""
    length = entries.length(found.entry, found.stamp)
    return f"it has {length} of {stated[:20]} bytes" if str(length) != stated.lstrip("0").zfill(1) else ""


def _emptiness(found: ScannedEntry) -> str:
    """Return the fault of a body whose first `_ZEROS` bytes, or all if they are fewer, are zeros; "" for other bodies.

    A crash leaves such a file. No artifact and no page begins so.
    """
    if found.stamp is None or found.head is None or found.head.response.status != 200:
        return ""
    with suppress(OSError), entries.open_content(found.entry) as file:
        start = file.read(_ZEROS)
        return "it begins with zeros" if start and not start.strip(b"\0") else ""
    return ""


def _make_item(found: ScannedEntry, entry: HttpEntry, what: IdentifiedContent, origin: str, *, stored: bool = False) -> Item:
    entry = entry._replace(kind=what.kind, filename=what.filename)
    times = (found.modified, found.used)
    return Item(entry, what.project, what.version, origin, found.size, *times, found.stamp, stored)


def _built(entry: BuiltWheel, *, stored: bool = False) -> Item:
    folder = os.path.dirname(entry.content_path)
    origin = built_wheels.read_origin(folder)
    size, modified, used = scan.measured([entry.content_path])
    if stored:  # pinstall touches the build record when it uses a stored build
        used = max(used, scan.measured([os.path.join(folder, store.RECORD)])[1])
    project = links.project_of(entry.filename)
    version = entry.parsed_filename.text if entry.parsed_filename else ""
    where = host(origin.url) if origin else ""
    return Item(entry, project, version, where, size, modified, used, entries.stamp(entry.content_path), stored)


def _stored_builds(root: str) -> Iterator[BuiltWheel]:
    """Yield the built wheels in the store, except those whose name is not that of a wheel, or that are not regular files."""
    for key, folder in store.build_folders(root):
        for wheel in (name for name in entries.names(folder) if name.endswith(".whl")):
            entry = scan.wheel(key, os.path.join(folder, wheel), store_id=os.path.basename(folder))
            if entry is not None:
                yield entry
