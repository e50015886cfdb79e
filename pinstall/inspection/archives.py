"""Read untrusted archives in bounded time and memory, without trust in the sizes that they claim."""

from __future__ import annotations

import errno
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator

# An archive of 10 MB may unpack to a gigabyte. Compression shrinks sdists to a fifth, and generated files to a fiftieth.
_MOST_TIMES = 100
_LEAST_BOUND = 256 << 20
LARGEST_READ = 16 << 20  # tarfile reads a header of any stated size at once, zipfile the central directory
CHUNK = 1 << 18
_SMALL_CHUNK = 1 << 12


class BrokenError(Exception):
    """The archive is corrupt; the message says how, and can follow a colon."""


class UnprovenError(Exception):
    """The archive cannot be judged: for example, it is encrypted, or uses a compression method that this Python lacks."""


class TooLargeError(UnprovenError):
    """The archive unpacks to more bytes, or has more members, than pinstall is willing to read."""


class Readable(Protocol):
    """A stream of bytes that can be read forward."""

    def read(self, size: int, /) -> bytes:
        """Return at most *size* bytes; none only at the end."""
        ...


@contextmanager
def judged() -> Iterator[None]:
    """Turn the errors of archive libraries into `BrokenError` or `UnprovenError`; an `OSError` of the disk passes through.

    All errors that are usual for damaged data, such as `KeyError`, `ValueError` or `TypeError`, are turned, also those of the
    caller's code in the ``with`` statement.
    """
    import lzma
    import struct
    import tarfile
    import zipfile
    import zlib

    try:
        yield
    except OSError as error:
        # gzip and bz2 report corrupt data as an OSError without a number, and a nonsensical offset is an invalid argument.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise BrokenError(str(error)) from error
    except NotImplementedError as error:
        raise UnprovenError from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError) as error:
        if isinstance(error.__context__, OSError) and error.__context__.errno is not None:  # zipfile hides disk errors
            raise error.__context__ from None
        raise BrokenError("it is cut off or damaged") from error
    except (ArithmeticError, LookupError, RecursionError, ValueError) as error:
        raise BrokenError("it has impossible sizes or names") from error
    except (AttributeError, MemoryError, RuntimeError, TypeError) as error:  # RuntimeError: an encrypted member
        raise UnprovenError from error


class Stream(io.RawIOBase):
    """A file object for `tarfile` that reads *content* forward only, and at most *most* bytes of it."""

    def __init__(self, content: Readable, most: int) -> None:
        self._content, self._most, self._at = content, most, 0

    def tell(self) -> int:
        """Return the number of bytes that were read."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return at most *size* bytes.

        Raises `TooLargeError` if *size* is negative, above `LARGEST_READ`, or more than is left of *most*, even if *content*
        ends before that.
        """
        if not 0 <= size <= LARGEST_READ or self._at + size > self._most:
            raise TooLargeError
        data = self._content.read(size)
        self._at += len(data)
        return data

    def seek(self, at: int, whence: int = 0) -> int:
        """Read and discard bytes up to the offset *at*, or to the end; return the offset reached.

        Raises `ValueError` if *at* was already passed or is not an offset from the start (*whence*), and `TooLargeError` as
        `read` does.
        """
        if whence or at < self._at:
            raise ValueError("backwards")
        while self._at < at and self.read(min(at - self._at, CHUNK)):
            pass
        return self._at


def bound(file: BinaryIO) -> int:
    """Return the number of bytes to which an archive may unpack; more is taken for a decompression bomb. Rewinds *file*."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return max(_LEAST_BOUND, _MOST_TIMES * size)


def unpacked(file: BinaryIO) -> Readable:
    """Return a reader of the tar in *file*, which is at its start.

    The reader decompresses it if its first bytes are those of gzip, bzip2, xz or lzma; otherwise it is *file* itself, rewound.
    """
    import bz2
    import gzip
    import lzma

    magic = file.read(3)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file, mode="rb")
    if magic == b"BZh":
        return bz2.BZ2File(file)
    return lzma.LZMAFile(file) if magic in (b"\xfd7z", b"]\0\0") else file


class _InPieces:
    """A file object for `zipfile` with bounded reads, because `zipfile` reads a central directory of any size at once.

    `read` raises `TooLargeError` instead of returning more than `LARGEST_READ` bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.seekable, self._read = file.seek, file.tell, file.seekable, file.read

    def read(self, size: int = -1) -> bytes:
        data = self._read(min(size, LARGEST_READ + 1) if size >= 0 else LARGEST_READ + 1)
        if len(data) > LARGEST_READ:
            raise TooLargeError
        return data


@contextmanager
def zipped(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive within a ``with`` statement. Refuses one that would unpack to more than its `bound` (`TooLargeError`).

    Turns errors as `judged` does, also those within the statement: a `KeyError` for a missing member becomes a `BrokenError`.
    """
    import zipfile

    with judged():
        most = bound(file)
        with zipfile.ZipFile(cast("BinaryIO", _InPieces(file))) as archive:
            # zipfile never unpacks more of a member than the size that the central directory states.
            if sum(member.file_size for member in archive.infolist()) > most:
                raise TooLargeError
            yield archive


def pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of *member* in pieces, for use within `zipped`, which turns the errors of the archive."""
    # Except for deflate, zipfile unpacks everything that it reads at once: bzip2 turns 4 kB into up to 80 MB.
    size = CHUNK if member.compress_type in (0, 8) else _SMALL_CHUNK
    with archive.open(member) as content:
        while piece := content.read(size):
            yield piece


def read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """Return the first *most* bytes of *member*, or all of it if it is shorter; for use within `zipped`."""
    found: list[bytes] = []
    for piece in pieces(archive, member):
        found.append(piece[:most])
        most -= len(found[-1])
        if most <= 0:
            break
    return b"".join(found)
