"""Archives that may be anything: read so that none costs more time or memory than a bound, whatever it says of itself."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator

# Of 10 MB at most a gigabyte is unpacked. Sdists pack to a fifth, what is generated to a fiftieth.
_MOST_TIMES = 100
_LEAST_BOUND = 256 << 20
LARGEST_READ = 16 << 20  # a tar's header says how long it is, and a zip's directory is read at once
CHUNK = 1 << 18
_SMALL_CHUNK = 1 << 12


class BrokenError(Exception):
    """The archive is none that anybody packed; the message is what Python makes of it."""


class UnprovenError(Exception):
    """Nothing is proven: it is encrypted, or packed in a way that this Python lacks."""


class TooLargeError(UnprovenError):
    """There is more than we are willing to walk past."""


class Readable(Protocol):
    """What gives bytes, forward."""

    def read(self, size: int, /) -> bytes:
        """Return at most *size* bytes."""
        ...


@contextmanager
def judged() -> Iterator[None]:
    """Turn what the reading of an archive raises into `BrokenError` or `UnprovenError`; an `OSError` is the disk's."""
    import lzma
    import struct
    import tarfile
    import zipfile
    import zlib

    try:
        yield
    except OSError as error:
        if error.errno is not None:  # gzip's and bz2's own complaints have no number
            raise
        raise BrokenError(str(error)) from error
    except NotImplementedError as error:
        raise UnprovenError from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError) as error:
        if isinstance(error.__context__, OSError) and error.__context__.errno is not None:  # zipfile takes it for a fault
            raise error.__context__ from None
        raise BrokenError(type(error).__name__) from error
    except (ArithmeticError, LookupError, RecursionError, ValueError) as error:  # sizes and names that make no sense
        raise BrokenError(type(error).__name__) from error
    except (AttributeError, MemoryError, RuntimeError, TypeError) as error:  # RuntimeError: an encrypted member
        raise UnprovenError from error


class Stream(io.RawIOBase):
    """What a tar is read from: forward only, *most* bytes and no further."""

    def __init__(self, content: Readable, most: int) -> None:
        self._content, self._most, self._at = content, most, 0

    def tell(self) -> int:
        """Return how far it was read."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return the next *size* bytes; raises `TooLargeError`."""
        if not 0 <= size <= LARGEST_READ or self._at + size > self._most:
            raise TooLargeError
        data = self._content.read(size)
        self._at += len(data)
        return data

    def seek(self, at: int, whence: int = 0) -> int:
        """Read on to *at*; raises `ValueError` if that lies behind."""
        if whence or at < self._at:
            raise ValueError("backwards")
        while self._at < at and self.read(min(at - self._at, CHUNK)):
            pass
        return self._at


def bound(file: BinaryIO) -> int:
    """Return the bytes that an archive may unpack to: beyond, it is a bomb."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return max(_LEAST_BOUND, _MOST_TIMES * size)


def unpacked(file: BinaryIO) -> Readable:
    """Return what unpacks a packed tar, whatever its name is; a tar that is not packed as it is."""
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
    """A file for `zipfile`, which would read a directory of any size at once."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.seekable, self._read = file.seek, file.tell, file.seekable, file.read

    def read(self, size: int = -1) -> bytes:
        data = self._read(min(size, LARGEST_READ + 1) if size >= 0 else LARGEST_READ + 1)
        if len(data) > LARGEST_READ:
            raise TooLargeError
        return data


@contextmanager
def zipped(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """Open a zip. Raises `BrokenError`, `UnprovenError` and `OSError`, as does what is then done with it."""
    import zipfile

    with judged():
        most = bound(file)
        with zipfile.ZipFile(cast("BinaryIO", _InPieces(file))) as archive:
            # No member gives more than it states here.
            if sum(member.file_size for member in archive.infolist()) > most:
                raise TooLargeError
            yield archive


def pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a member."""
    # zipfile unpacks at once what it reads at once, unless it is deflated: of 4 kB, bzip2 makes up to 80 MB.
    size = CHUNK if member.compress_type in (0, 8) else _SMALL_CHUNK
    with archive.open(member) as content:
        while piece := content.read(size):
            yield piece


def read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """Return the content of a member, or the first *most* bytes of it."""
    found: list[bytes] = []
    for piece in pieces(archive, member):
        found.append(piece[:most])
        most -= len(found[-1])
        if most <= 0:
            break
    return b"".join(found)
