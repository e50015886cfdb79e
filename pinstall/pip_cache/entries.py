"""The entries of pip's cache: their types, and their files, which are never read through symbolic links."""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from pinstall.pip_cache import keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinstall.model.digest import Digest
    from pinstall.model.links import ParsedFilename
    from pinstall.pip_cache.keys import Layout

ORIGIN = "origin.json"
# In the tag of a Windows reparse point: the file stands for another one. Symbolic links and junctions have it, files that a
# cloud provider fetches on demand do not.
_NAME_SURROGATE = 0x20000000


class FileStamp(NamedTuple):
    """The state of a file as `stat` reports it: size in bytes, times in nanoseconds since the epoch.

    It changes when the file changes. ``changed`` is the time of the last status change, on Windows that of the creation.
    """

    size: int
    modified: int
    changed: int
    inode: int


class Span(NamedTuple):
    """A part of a file: offset and length in bytes."""

    offset: int
    length: int


class HttpEntry(NamedTuple):
    """A response that pip has stored, in its cache or set aside in the store.

    ``kind`` is ``download``, ``metadata``, ``page`` or, of an unknown URL, ``other``; "" until somebody knows it. ``key`` names
    the entry within pip's cache, also while it is in the store. ``paths`` are its files in the order in which they have to be
    deleted: the head before the body. ``expected`` are the digests that are stated for the body (see `digest.agree`).

    ``layout`` is that of its files, and ``span`` the part of the last file that is the body (None: the whole file). ``fault``
    says why the entry is bad apart from its digests, for example because pip would fail on the head; ``unreadable`` says why it
    cannot be judged.
    """

    kind: str
    key: str
    paths: tuple[str, ...]
    filename: str = ""
    expected: tuple[Digest, ...] = ()
    parsed_filename: ParsedFilename | None = None
    layout: Layout = keys.TWO_FILES
    span: Span | None = None
    fault: str = ""
    unreadable: str = ""

    @property
    def content_path(self) -> str:
        """The path of the file with the body."""
        return self.paths[-1]


class BuiltWheel(NamedTuple):
    """A wheel that pip has built, in a folder of pip's cache, of a view or of the store.

    ``wheel_key`` is the key under which pip looks for it, ``content_path`` its path. ``store_id`` is the name of its folder in
    the store, below the key; "" elsewhere. ``query``, only of a stored wheel, is that of the URL of its source: the store does
    not keep it, because it may be a secret; "" without one, or if this call does not know it.
    """

    wheel_key: str
    content_path: str
    parsed_filename: ParsedFilename | None = None
    store_id: str = ""
    query: str = ""

    @property
    def kind(self) -> str:
        """The kind of the entry in reports and lists."""
        return "built"

    @property
    def filename(self) -> str:
        """The name of the wheel."""
        return os.path.basename(self.content_path)

    @property
    def key(self) -> str:
        """The name of the entry in the ledger: it contains ``wheel_key``, ``store_id`` and the file name."""
        return "/".join(filter(None, (self.wheel_key, self.store_id, self.filename)))

    @property
    def paths(self) -> tuple[str, ...]:
        """The file that has to be deleted."""
        return (self.content_path,)


class LocalFile(NamedTuple):
    """An archive in a folder of the user.

    ``content_path`` is its path; `locator.local_file` has resolved the user's symbolic links in it. ``key`` is the URL that
    leads to it, by which the ledger knows it; "" if the ledger is not asked.
    """

    key: str
    content_path: str
    filename: str


Entry = HttpEntry | BuiltWheel


def stamp(path: str) -> FileStamp | None:
    """Return the stamp of the regular file *path*; None if it is missing or another kind of file, such as a symbolic link."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return stamp_from(found) if stat.S_ISREG(found.st_mode) else None


def stamp_from(found: os.stat_result) -> FileStamp:
    """Return the stamp of a file from the result of `stat`."""
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def is_link(path: str) -> bool:
    """Return whether *path* is a symbolic link, or a junction of Windows, which Python takes for a folder.

    Returns False if it is missing.
    """
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE)


def is_direct(root: str, path: str) -> bool:
    """Return whether *path* is *root* or lies below it, and no link is among *root*, *path* and the folders between them.

    Both may be missing. Compares their texts, and resolves neither: resolved paths differ on Windows by separators, short names
    and letter case. False if ``..`` is in the part below *root*.
    """
    sep = os.path.sep
    top, whole = (text.replace("/", sep).rstrip(sep) for text in (root, path))
    parts = whole[len(top) + 1 :].split(sep)
    if not (whole == top or whole.startswith(top + sep)) or os.pardir in parts:
        return False
    for part in ("", *parts):
        top = os.path.join(top, part) if part else top
        if is_link(top):
            return False
    return True


class Contents(NamedTuple):
    """The sorted names of the ``folders`` in a folder, and of all else (``files``).

    The ``links`` (symbolic links and junctions), not sorted, are among the files.
    """

    folders: list[str]
    files: list[str]
    links: list[str]


def contents(folder: str) -> Contents:
    """Return the contents of *folder* without a look at the files themselves; empty lists if it is missing or unreadable."""
    folders: list[str] = []
    files: list[str] = []
    links: list[str] = []
    try:
        with os.scandir(folder) as here:
            for entry in here:
                is_folder = entry.is_dir(follow_symlinks=False)
                # To `os.scandir`, as to `os.walk`, a junction is a folder.
                is_linked = entry.is_symlink() if not is_folder else os.name == "nt" and is_link(entry.path)
                (folders if is_folder and not is_linked else files).append(entry.name)
                if is_linked:
                    links.append(entry.name)
    except OSError:
        return Contents([], [], [])
    return Contents(sorted(folders), sorted(files), links)


def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield (folder, names of folders, other names) for all folders below *top*, then for *top*; links are among the others.

    The names are empty lists for a folder that cannot be read, also for a missing *top*. *top* itself may be a link. (`os.walk`
    enters junctions before Python 3.12.)
    """
    here = contents(top)
    for name in here.folders:
        yield from walk(os.path.join(top, name))
    yield top, here.folders, here.files


def exists(path: str) -> bool:
    """Return whether *path* exists; True also for a dangling symbolic link."""
    return os.path.lexists(path)


def stamp_of(entry: Entry) -> FileStamp | None:
    """Return the stamp of *entry*'s content.

    None if the content is missing or not a regular file, or if a file that pip reads with it (the head, ``origin.json``) exists
    and is not regular.
    """
    is_built = isinstance(entry, BuiltWheel)
    beside = [os.path.join(os.path.dirname(entry.content_path), ORIGIN)] if is_built else list(entry.paths[:-1])
    if any(exists(path) and stamp(path) is None for path in beside):
        return None
    return stamp(entry.content_path)


def length(entry: Entry, stamp: FileStamp) -> int:
    """Return the number of bytes of the content of *entry*, the body alone. *stamp* is that of the file with the content."""
    span = entry.span if isinstance(entry, HttpEntry) else None
    return span.length if span else stamp.size


def open_content(entry: Entry | LocalFile) -> BinaryIO:
    """Open the content of *entry* to read bytes: the body alone, also if the head is in the same file.

    Raises `OSError` if it cannot be opened, or (not on Windows) is a symbolic link.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(open_unread(entry.content_path, flags), "rb")
    span = entry.span if isinstance(entry, HttpEntry) else None
    return file if span is None else cast("BinaryIO", io.BufferedReader(_FilePart(file, span)))


def open_unread(path: str, flags: int) -> int:
    """Open a file without changing its time of access, where the system allows that: it tells when pip last used the file.

    Takes the *flags* of `os.open`, and returns the descriptor, so that it can be the opener of `open`. Raises `OSError`.
    """
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:  # O_NOATIME is for the owner of a file
        return os.open(path, flags)


class _FilePart(io.RawIOBase):
    """A read-only file object for a part of another file."""

    def __init__(self, file: BinaryIO, span: Span) -> None:
        self._file, self._span, self._at = file, span, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._span.length}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        self._file.seek(self._span.offset + self._at)
        wanted = max(0, min(len(buffer), self._span.length - self._at))
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def names(folder: str) -> list[str]:
    """Return all names in *folder*, sorted; an empty list if it is missing or cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
