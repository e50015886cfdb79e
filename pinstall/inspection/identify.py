"""Identify a cached response by its content, for downloads whose index page is not in the cache."""

from __future__ import annotations

import os
import re
from email.parser import HeaderParser
from typing import BinaryIO, NamedTuple

from pinstall.inspection import integrity, sdist_scan
from pinstall.model.names import normalized

# A wheel's own METADATA in the central directory at the end of the zip: a header of 46 bytes, then the path.
_IN_DIRECTORY = re.compile(rb"PK\x01\x02.{42}([A-Za-z0-9._]{1,200})-([A-Za-z0-9._+!]{1,100})\.dist-info/METADATA", re.DOTALL)
# The beginning of metadata as build backends write it, which needs no parser of e-mail (50 µs a file).
_USUAL = re.compile(r"Metadata-Version: [0-9.]+\r?\nName: ([A-Za-z0-9._-]+)\r?\nVersion: ([A-Za-z0-9._+!-]+)\r?\n(?![ \t])")
_DIRECTORY = 1 << 14
_HEAD = 1 << 12
_ARCHIVES = {b"PK\x03\x04": ".zip", b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ\x00": ".tar.xz"}


class IdentifiedContent(NamedTuple):
    """An identified body: ``kind`` is the kind of its entry; `identify` composes ``filename`` of name and version.

    A wheel's file name therefore lacks the tags. ``project`` (normalized) and ``version`` are "" if unknown; then the file name
    begins with ``unknown``.
    """

    kind: str
    filename: str = ""
    project: str = ""
    version: str = ""


def identify(body: BinaryIO) -> IdentifiedContent:
    """Identify *body*, which is at its start, by its first bytes, and by the name and version in its metadata.

    The kind is ``download`` for a zip, and for a tar that is compressed by gzip, bzip2 or xz, even for a damaged one. Other
    kinds are ``metadata``, and ``other``, which has no file name. Raises `OSError` if *body* cannot be read.
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
    """Return name and version of a wheel, from its folder's name or its METADATA; None if *body* is another or broken zip."""
    size = body.seek(0, os.SEEK_END)
    body.seek(max(0, size - _DIRECTORY))
    if found := _IN_DIRECTORY.search(body.read(_DIRECTORY)):
        return found[1].decode(), found[2].decode()
    body.seek(0)
    return _fields(integrity.metadata(body)) if size > _DIRECTORY else None


def _fields(metadata: str) -> tuple[str, str] | None:
    """Return name and version from the text of *metadata*; None if it lacks one of them."""
    if usual := _USUAL.match(metadata):
        return usual[1], usual[2]
    message = HeaderParser().parsestr(metadata)
    name, version = (str(message[field] or "").strip() for field in ("Name", "Version"))
    return (name, version) if name and version else None


def _named(kind: str, metadata: str, ending: str) -> IdentifiedContent:
    fields = _fields(metadata)
    if fields is None:
        return IdentifiedContent(kind, f"unknown{ending}")
    name, version = fields
    return IdentifiedContent(kind, f"{name}-{version}{ending}", normalized(name), version)
