"""Identification of a cached body by its content alone."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from typing import TYPE_CHECKING

import pytest

from pinstall.inspection.identify import IdentifiedContent, identify
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path


def _identified(data: bytes) -> IdentifiedContent:
    return identify(io.BytesIO(data))


def _zip(*names: str, text: str = "Name: Demo.Name\nVersion: 1.0\n") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, text)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Name: Demo.Name\nVersion: 1.0\n", IdentifiedContent("metadata", "Demo.Name-1.0.metadata", "demo-name", "1.0")),
        (
            "Version:  1.0 \nName: d\nRequires-Dist: \xe9\n\nName: e\n",
            IdentifiedContent("metadata", "d-1.0.metadata", "d", "1.0"),
        ),
        ("Name: demo\n", IdentifiedContent("metadata", "unknown.metadata")),
        ("Name: \nVersion: 1.0\n", IdentifiedContent("metadata", "unknown.metadata")),
    ],
)
def test_metadata_files_are_identified(text: str, found: IdentifiedContent) -> None:
    assert _identified(f"Metadata-Version: 2.1\n{text}".encode("latin-1")) == found
    assert _identified(f"\nMetadata-Version: 2.1\n{text}".encode("latin-1")) == IdentifiedContent("other")


@pytest.mark.parametrize(
    ("ending", "packed"),
    [(".tar.gz", gzip.compress), (".tar.bz2", bz2.compress), (".tar.xz", lzma.compress)],
)
def test_compressed_sdists_are_identified(tmp_path: Path, ending: str, packed: object) -> None:
    assert callable(packed)
    tar = gzip.decompress(sdist(tmp_path, "Demo-Name", "1.0").read_bytes())
    assert _identified(packed(tar)) == IdentifiedContent("download", f"Demo-Name-1.0{ending}", "demo-name", "1.0")
    assert _identified(packed(tar[:100])) == IdentifiedContent("download", f"unknown{ending}")
    assert _identified(tar) == IdentifiedContent("other")


def test_a_zip_without_a_dist_info_folder_is_an_sdist() -> None:
    assert _identified(_zip("demo-1.0/PKG-INFO")) == IdentifiedContent("download", "Demo.Name-1.0.zip", "demo-name", "1.0")
    assert _identified(_zip("demo-1.0/src/PKG-INFO")) == IdentifiedContent("download", "unknown.zip")
    assert _identified(_zip("setup.py")) == IdentifiedContent("download", "unknown.zip")


@pytest.mark.parametrize("after", [0, 300], ids=["small", "large"])
def test_a_wheel_is_named_after_its_own_dist_info_folder(tmp_path: Path, after: int) -> None:
    """The number of its files, vendored ``.dist-info`` folders and the position of its own folder do not matter."""
    others = ["demo/_vendor/other-2.0.dist-info/METADATA", *(f"demo/{number:050}.py" for number in range(after))]
    names = ["demo/x.py", "demo_name-1.0_1.dist-info/METADATA", *others]
    text = "Name: demo_name\nVersion: 1.0-1\n"
    for data in (_zip(*names, text=text), _zip(*reversed(names), text=text)):
        found = _identified(data)
        assert (found.kind, found.project, found.version) == ("download", "demo-name", "1.0-1")
        assert found.filename.startswith("demo_name-1.0")
        assert found.filename.endswith(".whl")
    assert _identified(wheel(tmp_path, "demo", "1!2.0+a.b").read_bytes()).version == "1!2.0+a.b"


@pytest.mark.parametrize("text", ["", "Name: demo\n", "Version: 1.0\n"])
def test_a_large_wheel_without_name_or_version_is_unknown(text: str) -> None:
    names = ["demo-1.0.dist-info/METADATA", *(f"demo/{number:050}.py" for number in range(300))]
    assert _identified(_zip(*names, text=text)) == IdentifiedContent("download", "unknown.zip")


@pytest.mark.parametrize("data", [b"", b"<html>", b"{}", b"MZ" + bytes(100)])
def test_other_content_is_not_identified(data: bytes) -> None:
    assert _identified(data) == IdentifiedContent("other")
