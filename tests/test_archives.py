"""Malicious archives: pinstall checks or skips them in bounded time and memory, and writes no file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import tracemalloc
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinstall.inspection import archives, integrity, pip_checks, sdist_scan, shared_libraries
from pinstall.inspection.integrity import ArchiveCheck
from tests.packages import write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_INFO = "demo-1.0.dist-info"
_METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
_MEGABYTE = 1 << 20
_UNJUDGED = ArchiveCheck(None, judged=False)


@contextmanager
def _within(megabytes: int) -> Iterator[None]:
    """Assert that the body of the ``with`` statement allocates less than *megabytes* at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * _MEGABYTE
    finally:
        tracemalloc.stop()


class _Counting(io.BytesIO):
    """A file that counts the bytes that were read from it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def _wheel(
    members: dict[str, bytes], kind: int = zipfile.ZIP_STORED, metadata: bytes = _METADATA, record: str | None = None
) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{_INFO}/METADATA", metadata)
        rows = "".join(f"{name},,\n" for name in [*members, f"{_INFO}/METADATA", f"{_INFO}/RECORD"])
        archive.writestr(f"{_INFO}/RECORD", rows if record is None else record)
    return packed.getvalue()


def _read_all(data: bytes, ending: str = ".whl") -> ArchiveCheck:
    """Read an archive with every function that reads archives, and return the result of the integrity check."""
    name = f"demo-1.0{ending}"
    if ending == ".whl":
        integrity.metadata(io.BytesIO(data))
        integrity.top_level(io.BytesIO(data))
        shared_libraries.libraries(io.BytesIO(data), "/nowhere", [], {})
    else:
        sdist_scan.read(io.BytesIO(data), name, ["demo"])
        sdist_scan.metadata(io.BytesIO(data), name)
    return integrity.archive(io.BytesIO(data), name)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_highly_compressed_member_is_read_in_bounded_memory(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "LARGEST_METADATA", _MEGABYTE)
    data = _wheel({"demo.bin": bytes(30 * _MEGABYTE)}, kind, metadata=bytes(_MEGABYTE + 1))
    with _within(5 if kind == zipfile.ZIP_DEFLATED else 70):  # the others unpack what they read at once
        found = _read_all(data)
    assert (found.fault, found.judged) == (None, False), "pip installs it"
    with pytest.raises(archives.UnprovenError):
        pip_checks.fault(io.BytesIO(data), "demo-1.0-py3-none-any.whl", "demo", None)


def test_metadata_that_is_not_utf_8_is_named() -> None:
    fault = "it is not a readable wheel: demo-1.0.dist-info/METADATA is not UTF-8"
    assert _read_all(_wheel({}, metadata=_METADATA + b"Author: \xff\n")) == ArchiveCheck(fault, stops_pip=True)


def test_a_decompression_bomb_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_LEAST_BOUND", _MEGABYTE)
    monkeypatch.setattr(sdist_scan, "_MOST_UNPACKED", _MEGABYTE)
    tar = _tar_header("demo-1.0/x", size=1 << 40) + bytes(20 * _MEGABYTE)
    for ending, data in {
        ".whl": _wheel({"demo.bin": bytes(20 * _MEGABYTE)}, zipfile.ZIP_DEFLATED),
        ".zip": _wheel({"demo.bin": bytes(20 * _MEGABYTE)}, zipfile.ZIP_BZIP2),
        ".tar.gz": gzip.compress(tar),
        ".tar.bz2": bz2.compress(tar),
        ".tar.xz": lzma.compress(tar),
    }.items():
        with _within(10):
            assert _read_all(data, ending) == _UNJUDGED


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_a_large_archive_is_not_taken_for_a_bomb(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_LEAST_BOUND", 1_000)
    content = random.Random(1).randbytes(_MEGABYTE) * 2  # noqa: S311
    tar = _tar_header("demo-1.0/x", size=len(content)) + content + bytes(1024)
    data = bytearray(_wheel({"x": content}) if ending == ".zip" else gzip.compress(tar))
    assert _read_all(bytes(data), ending) == ArchiveCheck(None)
    data[_MEGABYTE] ^= 1
    assert _read_all(bytes(data), ending).fault


def _tar_header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_huge_tar_header_is_not_read_to_its_end(kind: bytes) -> None:
    packed = gzip.compress(_tar_header("x", kind, 40 * _MEGABYTE) + bytes(40 * _MEGABYTE))
    with _within(10):
        assert _read_all(packed, ".tar.gz") == _UNJUDGED


def test_deeply_nested_tar_headers_are_reported_as_damage() -> None:
    packed = (_tar_header("x", tarfile.GNUTYPE_LONGNAME, 1) + b"x" + bytes(511)) * 5_000
    assert _read_all(packed, ".tar").fault == "it cannot be read to its end: it has impossible sizes or names"


def test_holes_of_sparse_members_are_not_read() -> None:
    """One block of the tar stands for a terabyte of zeros."""
    header = bytearray(_tar_header("demo-1.0/setup.py", tarfile.GNUTYPE_SPARSE))
    header[386:410] = b"%011o\0%011o\0" % (0, 0)
    header[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    with _within(50):
        assert _read_all(bytes(header) + bytes(1024), ".tar").fault is None


def test_the_number_of_members_kept_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_MOST_MEMBERS", 50)
    packed = _tar_header("demo-1.0/x") * 20_000
    with _within(4):
        assert integrity.archive(io.BytesIO(packed), "demo-1.0.tar") == ArchiveCheck(None)
        assert integrity.archive(io.BytesIO(gzip.compress(packed)[:-9]), "demo-1.0.tar.gz").fault


def test_a_central_directory_of_a_million_members_is_not_read() -> None:
    row = b"PK\x01\x02" + bytes(24) + struct.pack("<HHH", 1, 0, 0) + bytes(12) + b"x"
    directory = row * 1_000_000
    data = directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    counting = _Counting(data)
    with _within(40):
        assert integrity.archive(counting, "demo-1.0-py3-none-any.whl") == _UNJUDGED
    assert counting.taken < 20 * _MEGABYTE


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../../../../etc/passwd",
        "C:\\x",
        "demo/../../x",
        "a" * 60_000,
        "\udcff".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_member_names_do_not_lead_to_other_files(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_wheel(tmp_path / "demo.whl", {name: b"x", f"{_INFO}/METADATA": _METADATA}, _INFO)
    data = (tmp_path / "demo.whl").read_bytes()
    assert _read_all(data) == ArchiveCheck(None, "demo", "1.0")
    assert [path.name for path in tmp_path.rglob("*")] == ["demo.whl"]


def test_overlapping_members_count_each_time_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the 2,000 rows of the central directory names the same kilobyte, which unpacks to a megabyte."""
    monkeypatch.setattr(archives, "_LEAST_BOUND", _MEGABYTE)
    data = bytearray(_wheel({"x": bytes(_MEGABYTE)}, zipfile.ZIP_DEFLATED))
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    row = bytes(data[start : data.index(b"PK\x01\x02", start + 1)])
    packed = bytes(data[:start]) + row * 2_000
    packed += b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 2_000, 2_000, 2_000 * len(row), start, 0)
    assert end > start
    assert _read_all(packed) == _UNJUDGED


@pytest.mark.parametrize(("kind", "megabytes"), [(zipfile.ZIP_STORED, 4), (zipfile.ZIP_DEFLATED, 4), (zipfile.ZIP_LZMA, 12)])
def test_a_member_is_read_in_pieces(kind: int, megabytes: int) -> None:
    """The pieces are smaller if zipfile unpacks each piece at once: here, to 25 times its size."""
    chosen = random.Random(1)  # noqa: S311
    data = _wheel({"x": b"".join(bytes(10_000) + chosen.randbytes(400) for _ in range(500))}, kind)
    with _within(megabytes):
        assert integrity.archive(io.BytesIO(data), "demo-1.0.zip") == ArchiveCheck(None)


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("most", [0, 1, archives.CHUNK, archives.CHUNK + 1, _MEGABYTE, 2 * _MEGABYTE])
def test_a_member_is_read_up_to_the_requested_size(kind: int, most: int) -> None:
    content = random.Random(1).randbytes(_MEGABYTE)  # noqa: S311
    with archives.zipped(io.BytesIO(_wheel({"x": content}, kind))) as archive:
        assert archives.read(archive, archive.getinfo("x"), most) == content[:most]


def test_an_encrypted_wheel_is_not_proven_damaged() -> None:
    data = bytearray(_wheel({"x": b"x"}))
    for magic, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = -1
        while (at := data.find(magic, at + 1)) >= 0:
            data[at + flags] |= 1
    assert _read_all(bytes(data)) == _UNJUDGED


def test_a_record_that_is_no_table_is_damage() -> None:
    assert _read_all(_wheel({}, record="x" * 200_000)).fault == "its RECORD file cannot be parsed"


@pytest.mark.parametrize("size", [1, 2, -1, archives.LARGEST_READ])
def test_a_stream_does_not_read_beyond_its_bound(size: int) -> None:
    stream = archives.Stream(io.BytesIO(b"abcdefgh"), 4)
    assert (stream.read(0), stream.seek(3), stream.tell()) == (b"", 3, 3)
    assert (stream.read(1), stream.seek(4), stream.tell()) == (b"d", 4, 4)
    with pytest.raises(archives.TooLargeError):
        stream.read(size)


def test_a_stream_may_end_before_its_bound() -> None:
    stream = archives.Stream(io.BytesIO(b"abc"), 2 * archives.LARGEST_READ)
    assert (stream.read(archives.LARGEST_READ), stream.read(1), stream.seek(9)) == (b"abc", b"", 3)
    with pytest.raises(archives.TooLargeError):
        stream.read(archives.LARGEST_READ + 1)


_HARM = (b"\xff" * 8, b"\x00" * 8, b"\xff" * 4, b"\xff\xff", struct.pack("<q", -5), struct.pack("<Q", (1 << 63) - 1))
_WHOLE = {
    ".whl": [_wheel({"demo.py": b"x" * 300}, kind) for kind in (0, 8, 12, 14)],
    ".zip": [_wheel({"demo-1.0/setup.py": b"X" * 300}, kind) for kind in (0, 8, 12, 14)],
}


def _zip64() -> bytes:
    """Return a zip whose sizes are in its zip64 records, which can state the most harmful values."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("METADATA", "RECORD"):
            with archive.open(f"{_INFO}/{name}", "w", force_zip64=True) as file:
                file.write(_METADATA)
    data = packed.getvalue()
    size, offset = struct.unpack("<LL", data[-10:-2])
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    return data[:-22] + record + locator + data[-22:-14] + b"\xff" * 12 + b"\0\0"


@pytest.mark.parametrize("ending", [".whl", ".zip"])
@given(seed=st.integers(0, 1 << 32), tail=st.booleans(), number=st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_wrong_sizes_and_offsets_raise_no_error(ending: str, seed: int, tail: bool, number: int) -> None:
    """Numbers are overwritten in the central directory and after it, including those of zip64."""
    chosen = random.Random(seed)  # noqa: S311
    data = bytearray([*_WHOLE[ending], _zip64()][number])
    for _ in range(chosen.choice((1, 1, 2, 4))):
        at = chosen.randrange(max(0, len(data) - 400) if tail else 0, len(data))
        harm = chosen.choice((*_HARM, bytes([chosen.randrange(256)])))
        data[at : at + len(harm)] = harm
    _read_all(bytes(data), ending)
