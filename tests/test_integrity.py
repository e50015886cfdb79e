"""Digests, and archives that read to their end."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinstall.pipcache.entries import Entry, Span, open_content
from pinstall.proof import integrity
from tests.lab import flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path


def _entry(path: Path, span: Span | None = None) -> Entry:
    return Entry("download", "key", (str(path),), path.name, span=span)


def _digests(path: Path, algorithms: list[str]) -> dict[str, str]:
    with open_content(_entry(path)) as file:
        return integrity.digests(file, algorithms)


def _archive(path: Path) -> integrity.Content:
    with open_content(_entry(path)) as file:
        return integrity.archive(file, path.name)


@given(data=st.binary(max_size=600_000))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_digests_are_hashlibs(tmp_path: Path, data: bytes) -> None:
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
    """The same files in every form that pip knows."""
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
def test_a_whole_archive_has_no_fault(tmp_path: Path, ending: str) -> None:
    path = _archives(tmp_path)[ending]
    assert _archive(path).fault is None


@pytest.mark.parametrize("ending", _ENDINGS)
def test_a_cut_archive_has(tmp_path: Path, ending: str) -> None:
    path = _archives(tmp_path)[ending]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    assert _archive(path).fault


@pytest.mark.parametrize("ending", [e for e in _ENDINGS if e != ".tar"])
def test_so_has_one_with_a_flipped_bit(tmp_path: Path, ending: str) -> None:
    path = _archives(tmp_path)[ending]
    flip(path)
    assert _archive(path).fault


@pytest.mark.parametrize("ending", _ENDINGS)
@given(data=st.binary(max_size=2_000), at=st.integers(0, 5_000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_judged_and_none_break_us(tmp_path: Path, ending: str, data: bytes, at: int) -> None:
    path = tmp_path / f"demo-1.0{ending}"
    whole = _archives(tmp_path / "whole")[ending].read_bytes()
    path.write_bytes(whole[:at] + data + whole[at + len(data) :])
    _archive(path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match="symbolic"):
        _digests(tmp_path / "link", ["sha256"])


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert _digests(tmp_path / "fifo", ["md5"]) == {"md5": hashlib.md5(b"").hexdigest()}


def test_a_wheel_says_what_it_is(tmp_path: Path) -> None:
    path = wheel(tmp_path, "Demo-Name", "1.0", inside="2.0")
    assert _archive(path) == integrity.Content(None, "demo-name", "2.0")


@pytest.mark.parametrize("ending", _ENDINGS)
def test_an_archive_within_a_file_is_judged_as_if_it_were_alone(tmp_path: Path, ending: str) -> None:
    path = _archives(tmp_path)[ending]
    data = path.read_bytes()
    for content, whole in ((data, True), (data[: len(data) // 3], False)):
        path.write_bytes(b"before" + content + data)
        with open_content(_entry(path, Span(6, len(content)))) as file:
            assert (integrity.archive(file, path.name).fault is None) == whole
            file.seek(0)
            assert integrity.digests(file, ["md5"]) == {"md5": hashlib.md5(content).hexdigest()}
