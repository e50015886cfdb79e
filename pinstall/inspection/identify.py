"""Identify a cached response by its content, for downloads whose index page is not in the cache."""

from __future__ import annotations

import os
import re
from email.parser import HeaderParser
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pinstall.inspection import integrity, sdist_scan
from pinstall.model.names import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator

# A wheel's own METADATA in the central directory at the end of the zip: a header of 46 bytes, then the path.
_IN_DIRECTORY = re.compile(rb"PK\x01\x02.{42}([A-Za-z0-9._]{1,200})-([A-Za-z0-9._+!]{1,100})\.dist-info/METADATA", re.DOTALL)
_DIRECTORY = 1 << 14
_HEAD = 1 << 12
_ARCHIVES = {b"PK\x03\x04": ".zip", b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ\x00": ".tar.xz"}


class IdentifiedContent(NamedTuple):
    """An identified body: ``kind`` is the kind of its entry; ``filename`` is composed of name and version, as far as known."""

    kind: str
    filename: str = ""
    project: str = ""
    version: str = ""


def identify(body: BinaryIO) -> IdentifiedContent:
    """Identify *body* by its first bytes, and by the name and version in its metadata.

    The kind is ``download``, ``metadata`` or ``other``. Raises `OSError` if *body* cannot be read.
    """
    head = body.read(_HEAD)
    if head.startswith(b"Metadata-Version:"):
        return _named("metadata", head.decode(errors="replace"), ".metadata")
    ending = next((ending for magic, ending in _ARCHIVES.items() if head.startswith(magic)), None)
    if ending is None:
        return IdentifiedContent("other")
    if ending == ".zip" and (found := _wheel(body)):
        name, version = found
        return IdentifiedContent("download", f"{name}-{version}.whl", normalized(name), version.replace("_", "-"))
    body.seek(0)
    return _named("download", sdist_scan.metadata(body, ending), ending)


def _wheel(body: BinaryIO) -> tuple[str, str] | None:
    """Return name and version of a wheel from its ``.dist-info`` folder; None if *body* is not a wheel."""
    size = body.seek(0, os.SEEK_END)
    body.seek(max(0, size - _DIRECTORY))
    if found := _IN_DIRECTORY.search(body.read(_DIRECTORY)):
        return found[1].decode(), found[2].decode()
    body.seek(0)
    fields = list(_fields(integrity.metadata(body))) if size > _DIRECTORY else []
    return (fields[0], fields[1]) if len(fields) == 2 else None


def _fields(metadata: str) -> Iterator[str]:
    message = HeaderParser().parsestr(metadata)
    for field in ("Name", "Version"):
        if text := str(message[field] or "").strip():
            yield text


def _named(kind: str, metadata: str, ending: str) -> IdentifiedContent:
    fields = list(_fields(metadata))
    if len(fields) != 2:
        return IdentifiedContent(kind, f"unknown{ending}")
    name, version = fields
    return IdentifiedContent(kind, f"{name}-{version}{ending}", normalized(name), version)
