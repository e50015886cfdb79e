"""Check the integrity of a file: its digests, the end of an archive, the RECORD of a wheel.

After a failure of pip, `pip_checks` adds to these checks those that pip makes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import re
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pinstall.inspection import archives
from pinstall.model import digest
from pinstall.model.links import SDIST_ENDINGS
from pinstall.model.names import normalized

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Callable, Iterable

_CHUNK = 1 << 18
LARGEST_METADATA = 16 << 20
_MOST_MEMBERS = 20_000  # of a tar: tarfile keeps all of them in memory
_DATA = re.compile(r"^[^/]+\.data/(plat|pure)lib/")


class ArchiveCheck(NamedTuple):
    """The result of reading an archive: its ``fault`` (None: sound, or not judged); of a wheel, its name and version.

    ``name`` is normalized; both are "" if unknown. ``stops_pip`` is True for a wheel that pip cannot install: the archive is
    broken, or has no readable METADATA or RECORD. Such a wheel is not kept even if a build has just made it. A wheel that only
    differs from its RECORD does not stop pip. ``judged`` is False for an archive that pinstall cannot read, although pip may.
    """

    fault: str | None
    name: str = ""
    version: str = ""
    stops_pip: bool = False
    judged: bool = True


_UNJUDGED = ArchiveCheck(None, judged=False)


def digests(file: BinaryIO, algorithms: Iterable[str]) -> dict[str, str]:
    """Return the hexadecimal digests of the rest of *file* by algorithm, reading it once. Raises `OSError`."""
    hashes = {name: digest.new(name) for name in algorithms}
    while chunk := file.read(_CHUNK):
        for made in hashes.values():
            made.update(chunk)
    return {name: made.hexdigest() for name, made in hashes.items()}


def sha256(file: BinaryIO) -> str:
    """Return the hexadecimal SHA-256 of the rest of *file*. Raises `OSError`."""
    return digests(file, ["sha256"])["sha256"]


def archive(file: BinaryIO, filename: str) -> ArchiveCheck:
    """Read an artifact, which is at its start, to its end, and tell its fault; of a wheel also name and version.

    The ending of *filename* tells its kind. With another ending it is judged only if it begins as a compressed tar does. Raises
    `OSError` if the file itself cannot be read.
    """
    if filename.endswith(".whl"):
        return wheel(file)
    if filename.endswith(".zip"):
        return _walked(_walk_zip, file)
    if filename.endswith(SDIST_ENDINGS) or _is_packed(file):
        return _walked(_walk_tar, file)
    return _UNJUDGED


def _is_packed(file: BinaryIO) -> bool:
    """Return whether a file begins as compressed tars do: the name in a URL such as ``/tarball/v1`` tells no kind. Rewinds."""
    magic = file.read(3)
    file.seek(0)
    return magic.startswith((b"\x1f\x8b", b"BZh", b"\xfd7z"))


def _walked(walk: Callable[[BinaryIO], None], file: BinaryIO) -> ArchiveCheck:
    """Return the result for an archive that *walk* reads to its end.

    *walk* raises as `archives.judged` does: for `UnprovenError` the result is not ``judged``.
    """
    try:
        walk(file)
    except archives.BrokenError as error:
        return ArchiveCheck(f"it cannot be read to its end: {error}")
    except archives.UnprovenError:
        return _UNJUDGED
    return ArchiveCheck(None)


def _walk_tar(file: BinaryIO) -> None:
    """Read a tar to its end, forward only, and raise as `archives.judged` does.

    The holes of sparse members, which may be of any size, are not read.
    """
    import tarfile

    with archives.judged():
        stream = archives.Stream(archives.unpacked(file), archives.bound(file))
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for _ in itertools.islice(tar, _MOST_MEMBERS):
                pass
        # The checksum of the compressed stream comes after the end of the tar.
        while stream.read(_CHUNK):
            pass


def _walk_zip(file: BinaryIO) -> None:
    with archives.zipped(file) as archive_:
        for member in archive_.infolist():
            for _ in archives.pieces(archive_, member):
                pass


def wheel(file: BinaryIO) -> ArchiveCheck:
    """Compare a wheel with its RECORD, and read its name and version (Binary distribution format specification).

    The result is not ``judged`` if the wheel is too large, for example, or encrypted. Raises `OSError` if the file itself
    cannot be read.
    """
    try:
        with archives.zipped(file) as archive_:
            return _wheel(archive_)
    except archives.BrokenError as error:
        return ArchiveCheck(f"it is not a readable wheel: {error}", stops_pip=True)
    except archives.UnprovenError:
        return _UNJUDGED


def _wheel(archive_: zipfile.ZipFile) -> ArchiveCheck:
    members = {info.filename: info for info in archive_.infolist() if info.filename and not info.is_dir()}
    info = _info(members)
    from email.parser import HeaderParser

    if f"{info}/RECORD" not in members:
        return ArchiveCheck("it has no RECORD file", stops_pip=True)
    metadata = HeaderParser().parsestr(_small(archive_, members[f"{info}/METADATA"]))
    name, version = normalized(metadata["Name"] or ""), (metadata["Version"] or "").strip()
    try:
        rows = list(csv.reader(io.StringIO(_small(archive_, members[f"{info}/RECORD"]))))
    except csv.Error:
        return ArchiveCheck("its RECORD file cannot be parsed", stops_pip=True)
    recorded = {row[0]: row[1] for row in rows if len(row) == 3}
    return ArchiveCheck(_record_fault(archive_, members, recorded, info), name, version)


def metadata(file: BinaryIO) -> str:
    """Return the METADATA of a wheel; "" if it is missing or cannot be read. Raises `OSError` as `wheel` does."""
    try:
        with archives.zipped(file) as archive_:
            members = {info.filename: info for info in archive_.infolist()}
            return _small(archive_, members[f"{_info(members)}/METADATA"])
    except (archives.BrokenError, archives.UnprovenError):
        return ""


def _info(members: Iterable[str]) -> str:
    """Return the name of a wheel's own ``.dist-info`` folder, "" if it has none.

    It is at the top level. Packages may contain the ``.dist-info`` folders of vendored projects at lower levels.
    """
    folders = (member.partition("/")[0] for member in members)
    return next((folder for folder in folders if folder.endswith(".dist-info")), "")


def top_level(file: BinaryIO) -> frozenset[str]:
    """Return the top-level names in a wheel up to the first dot: of its modules, its packages, and its other folders.

    Files below ``purelib`` and ``platlib`` of its ``.data`` folder count as in site-packages. Empty if the archive cannot be
    read. Raises `OSError` as `wheel` does.
    """
    try:
        with archives.zipped(file) as archive_:
            names = archive_.namelist()
    except (archives.BrokenError, archives.UnprovenError):
        return frozenset()
    tops = {_DATA.sub("", name).partition("/")[0].partition(".")[0] for name in names}
    return frozenset(top for top in tops if top)


def _small(archive_: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    if member.file_size > LARGEST_METADATA:
        raise archives.TooLargeError
    try:
        return archives.read(archive_, member, LARGEST_METADATA).decode("utf-8")
    except UnicodeDecodeError as error:
        raise archives.BrokenError(f"{member.filename} is not UTF-8") from error


def _record_fault(
    archive_: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], recorded: dict[str, str], info: str
) -> str | None:
    """Describe the first difference between *members* and RECORD; return None if they agree. Raises as `archives.zipped`.

    *recorded* has the hashes of RECORD (``algorithm=value`` or "") by path; *info* is the ``.dist-info`` folder, whose RECORD
    and signatures need not be listed. Members without a hash, or with one of an unknown algorithm, are only read, for their
    CRC.
    """
    unrecorded = {f"{info}/{name}" for name in ("RECORD", "RECORD.jws", "RECORD.p7s")}
    for name, member in members.items():
        if name not in recorded and name not in unrecorded:
            return f"its RECORD does not list {name}"
        algorithm, _, value = recorded.get(name, "").partition("=")
        if not value or not _is_known(algorithm):
            for _ in archives.pieces(archive_, member):  # without a hash only the CRC can be checked, on which pip fails, too
                pass
        elif name not in unrecorded and _member_hash(archive_, member, algorithm) != value.rstrip("="):
            return f"its file {name} does not match its RECORD"
    missing = next((name for name in recorded if name not in members and name not in unrecorded), None)
    return f"its RECORD lists {missing}, which is missing" if missing else None


def _is_known(algorithm: str) -> bool:
    """Return whether this Python can compute a hash *algorithm* of a fixed length, even md5, which no RECORD should use."""
    try:
        return hashlib.new(algorithm).digest_size > 0
    except (ValueError, TypeError):  # TypeError: a name with a NUL
        return False


def _member_hash(archive_: zipfile.ZipFile, member: zipfile.ZipInfo, algorithm: str) -> str:
    made = hashlib.new(algorithm)
    for piece in archives.pieces(archive_, member):
        made.update(piece)
    return base64.urlsafe_b64encode(made.digest()).rstrip(b"=").decode()
