"""Make pip's own checks after it has failed, and tell whether pip would accept an archive for which no digest is stated.

The checks are those that pip makes before and while it installs or builds a file. A wheel's RECORD is checked, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pinstall.inspection import archives, integrity, sdist_scan
from pinstall.model.links import parse_version
from pinstall.model.names import normalized

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pinstall.model.links import ParsedFilename

_MAGIC = {
    (".tar.gz", ".tgz"): b"\x1f\x8b",
    (".tar.bz2", ".tbz"): b"BZh",
    (".tar.xz", ".txz"): b"\xfd7z",
}


def fault(file: BinaryIO, filename: str, project: str, label: ParsedFilename | None) -> str:
    """Return the reason why pip would reject the wheel or sdist *file*, or why a wheel differs from its RECORD; else "".

    *file* is at its start. *filename* determines how pip unpacks it (``utils/unpacking.unpack_file``). *project* (normalized)
    and *label* state the name and version that it has to contain; an sdist may leave them out. If *label* is None, the version
    is not compared. Raises `OSError` if the file itself cannot be read, and `archives.UnprovenError` if pinstall cannot read
    the archive, although pip may.
    """
    content = integrity.archive(file, filename)
    if content.fault:
        return content.fault
    if not content.judged:
        raise archives.UnprovenError
    file.seek(0)
    return (
        _wheel_fault(file, content, project, label)
        if filename.endswith(".whl")
        else _sdist_fault(file, filename, project, label)
    )


def _wheel_fault(file: BinaryIO, content: integrity.ArchiveCheck, project: str, label: ParsedFilename | None) -> str:
    """Return the reason why pip would reject a wheel (``utils/wheel.parse_wheel``), "" if it would not."""
    with archives.zipped(file) as archive:
        names = archive.namelist()
    infos = _infos(names)
    if len(infos) != 1:
        return f"it has {len(infos)} .dist-info folders"
    if not normalized(infos[0]).startswith(project) or f"{infos[0]}/WHEEL" not in names:
        return "it has no WHEEL file for this project"
    if content.name != project or (label is not None and parse_version(content.version) != label.version):
        return f"it contains {content.name} {content.version}"
    return ""


def _infos(names: Iterable[str]) -> list[str]:
    return sorted({top for name in names if (top := name.partition("/")[0]).endswith(".dist-info")})


def _sdist_fault(file: BinaryIO, filename: str, project: str, label: ParsedFilename | None) -> str:
    """Return the reason why pip would reject an sdist, "" if it would not.

    A name or version that the sdist does not state is not compared.
    """
    magic = next((value for endings, value in _MAGIC.items() if filename.lower().endswith(endings)), b"")
    if not file.read(len(magic)).startswith(magic):
        return "it is not compressed as its file name says"
    file.seek(0)
    from email.parser import HeaderParser

    stated = HeaderParser().parsestr(sdist_scan.metadata(file, filename))
    name, version = normalized(str(stated["Name"] or "")), str(stated["Version"] or "").strip()
    if (name and name != project) or (version and label is not None and parse_version(version) != label.version):
        return f"it contains {name} {version}"
    return ""
