"""Digests of files, and the integrity of archives."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import lzma
import os
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinstall.inspection import integrity
from pinstall.model import digest
from pinstall.pip_cache.entries import HttpEntry, Span, open_content
from tests.lab import flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path


def _entry(path: Path, span: Span | None = None) -> HttpEntry:
    return HttpEntry("download", "key", (str(path),), path.name, span=span)


def _digests(path: Path, algorithms: list[str]) -> dict[str, str]:
    with open_content(_entry(path)) as file:
        return integrity.digests(file, algorithms)


def _archive(path: Path) -> integrity.ArchiveCheck:
    with open_content(_entry(path)) as file:
        return integrity.archive(file, path.name)


@given(data=st.binary(max_size=600_000))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_digests_equal_those_of_hashlib(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    found = _digests(path, ["sha256", "md5", "blake2b", "blake2b_256"])
    assert found == {
        "sha256": hashlib.sha256(data).hexdigest(),
        "md5": hashlib.md5(data).hexdigest(),
        "blake2b": hashlib.blake2b(data).hexdigest(),
        "blake2b_256": hashlib.blake2b(data, digest_size=32).hexdigest(),
    }


def _archives(folder: Path) -> dict[str, Path]:
    """Pack the same files in every archive format that pip supports."""
    made = sdist(folder, "demo", "1.0")
    plain = gzip.decompress(made.read_bytes())
    packed = {".tar": plain, ".tar.bz2": bz2.compress(plain), ".tar.xz": lzma.compress(plain), ".tgz": made.read_bytes()}
    found = {".tar.gz": made, ".whl": wheel(folder, "demo", "1.0", padding=3_000)}
    for ending, data in packed.items():
        found[ending] = folder / f"demo-1.0{ending}"
        found[ending].write_bytes(data)
    found[".zip"] = folder / "demo-1.0.zip"
    with zipfile.ZipFile(found[".zip"], "w", zipfile.ZIP_DEFLATED) as archive, tarfile.open(made) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            archive.writestr(member.name, content.read() * 9)
    return found


_ENDINGS = [".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz", ".zip", ".whl"]


@pytest.mark.parametrize("ending", _ENDINGS)
def test_a_complete_archive_has_no_fault(tmp_path: Path, ending: str) -> None:
    path = _archives(tmp_path)[ending]
    assert _archive(path).fault is None


@pytest.mark.parametrize("ending", _ENDINGS)
def test_a_truncated_archive_has_a_fault(tmp_path: Path, ending: str) -> None:
    path = _archives(tmp_path)[ending]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    assert _archive(path).fault


@pytest.mark.parametrize("ending", [e for e in _ENDINGS if e != ".tar"])
def test_an_archive_with_a_flipped_bit_has_a_fault(tmp_path: Path, ending: str) -> None:
    path = _archives(tmp_path)[ending]
    flip(path)
    assert _archive(path).fault


@pytest.mark.parametrize("ending", _ENDINGS)
@given(data=st.binary(max_size=2_000), at=st.integers(0, 5_000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_arbitrary_damage_raises_no_error(tmp_path: Path, ending: str, data: bytes, at: int) -> None:
    path = tmp_path / f"demo-1.0{ending}"
    whole = _archives(tmp_path / "whole")[ending].read_bytes()
    path.write_bytes(whole[:at] + data + whole[at + len(data) :])
    _archive(path)


def test_an_unknown_kind_of_file_has_no_fault() -> None:
    assert integrity.archive(io.BytesIO(b"MZ"), "demo-1.0.exe") == integrity.ArchiveCheck(None, judged=False)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match="symbolic"):
        _digests(tmp_path / "link", ["sha256"])


def test_opening_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert _digests(tmp_path / "fifo", ["md5"]) == {"md5": hashlib.md5(b"").hexdigest()}


def test_name_and_version_come_from_the_metadata_of_a_wheel(tmp_path: Path) -> None:
    path = wheel(tmp_path, "Demo-Name", "1.0", inside="2.0")
    assert _archive(path) == integrity.ArchiveCheck(None, "demo-name", "2.0")


@pytest.mark.parametrize("ending", _ENDINGS)
def test_an_archive_that_is_a_part_of_a_file_is_checked_like_a_file(tmp_path: Path, ending: str) -> None:
    path = _archives(tmp_path)[ending]
    data = path.read_bytes()
    for content, whole in ((data, True), (data[: len(data) // 3], False)):
        path.write_bytes(b"before" + content + data)
        with open_content(_entry(path, Span(6, len(content)))) as file:
            assert (integrity.archive(file, path.name).fault is None) == whole
            file.seek(0)
            assert integrity.digests(file, ["md5"]) == {"md5": hashlib.md5(content).hexdigest()}


_INFO = "demo-1.0.dist-info"
_METADATA = f"{_INFO}/METADATA"
_MODULE = b"x = 1\n"
_FILES = {
    "demo/": b"",
    "demo/_vendor/other-2.0.dist-info/METADATA": b"Name: other\nVersion: 2.0\n",
    f"{_INFO}/RECORD.jws": b"signed",
    f"{_INFO}/RECORD.p7s": b"signed",
    _METADATA: b"Name: Demo\nVersion: 1.0\n",
    "demo/__init__.py": _MODULE,
}
_OTHERS = ["demo/_vendor/other-2.0.dist-info/METADATA,,", f"{_METADATA},,"]


def _hashed(algorithm: str, end: str = "") -> str:
    made = digest.new(algorithm)
    made.update(_MODULE)
    return f"demo/__init__.py,{algorithm}={base64.urlsafe_b64encode(made.digest()).rstrip(b'=').decode()}{end},6"


def _recorded(rows: list[str], files: dict[str, bytes] = _FILES) -> integrity.ArchiveCheck:
    """Check a wheel whose RECORD, the last of its files, has *rows* and those of the other files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{_INFO}/RECORD", "".join(f"{row}\n" for row in [*rows, *_OTHERS]))
    return integrity.archive(packed, "demo-1.0-py3-none-any.whl")


@pytest.mark.parametrize(
    "rows",
    [
        [_hashed("sha256"), f"{_INFO}/RECORD,,"],
        [_hashed("sha256")],
        [_hashed("sha256"), f"{_INFO}/RECORD.jws,,", f"{_INFO}/RECORD,sha256=AAAA,7"],
        [_hashed("sha384")],
        [_hashed("sha512")],
        [_hashed("md5")],
        [_hashed("blake2b_256")],
        [_hashed("sha256", "=")],
        ["demo/__init__.py,,"],
        ["demo/__init__.py,sha256=,6"],
        ["demo/__init__.py,blake3=AAAA,6"],
        ["demo/__init__.py,sha\x00256=AAAA,6"],
        ["# no row", _hashed("sha256")],
    ],
)
def test_a_wheel_that_matches_its_record_has_no_fault(rows: list[str]) -> None:
    """RECORD may list itself and its signatures, but need not; a hash of an unknown algorithm proves nothing."""
    assert _recorded(rows) == integrity.ArchiveCheck(None, "demo", "1.0")


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([_hashed("sha256").replace("=", "=A")], "its file demo/__init__.py does not match its RECORD"),
        ([_hashed("sha256", "=").replace("=", "=A", 1)], "its file demo/__init__.py does not match its RECORD"),
        ([], "its RECORD does not list demo/__init__.py"),
        (["demo/__init__.py"], "its RECORD does not list demo/__init__.py"),
        ([_hashed("sha256"), "demo/gone.py,,"], "its RECORD lists demo/gone.py, which is missing"),
    ],
)
def test_a_wheel_that_differs_from_its_record_has_a_fault(rows: list[str], fault: str) -> None:
    assert _recorded(rows) == integrity.ArchiveCheck(fault, "demo", "1.0")


def test_a_wheel_without_a_record_has_a_fault() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(_METADATA, _FILES[_METADATA])
    assert integrity.wheel(packed) == integrity.ArchiveCheck("it has no RECORD file", stops_pip=True)


def test_a_wheel_without_name_and_version_has_no_fault() -> None:
    assert _recorded([_hashed("sha256")], {**_FILES, _METADATA: b"Summary: nothing\n"}) == integrity.ArchiveCheck(None, "", "")


def test_top_level_names_of_a_wheel() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in (
            "module.py",
            "native.cpython-311-x86_64-linux-gnu.so",
            "package/inner/__init__.py",
            "demo-1.0.data/purelib/pure.py",
            "demo-1.0.data/platlib/plat/core.so",
        ):
            archive.writestr(name, "")
    assert integrity.top_level(packed) == {"module", "native", "package", "pure", "plat"}
    assert integrity.top_level(io.BytesIO(b"PK")) == frozenset()
