"""The names of the objects in a shared store.

builds-1/<k1>/<k2>/<key>/<platform>-<wheel>-<shape>-<signer>.json      the record object (see `documents`)
builds-1/<k1>/<k2>/<key>/<platform>-<wheel>-<shape>-<signer>.whl       the wheel

The key is that of pip's built wheels, a hash, so that the names spread evenly over a bucket's partitions; k1 and k2 are its
first bytes. The platform tells other platforms that they need not read the record. Wheel and shape begin the digests of the
wheel and of the conditions and questions of its build: machines that build at once write other objects, unless all that is
equal. The signer identifies the key that has signed the record, so that no unsigned record takes the name of a signed one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from pinstall.inspection import build_record
from pinstall.model.digest import hashed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pinstall.inspection.build_record import BuildRecord, Conditions
    from pinstall.shared_store.remote import RemoteObject

# The number is that of the format: another one has other names, so that older pinstalls do not see it.
TOP = "builds-1/"
RECORD, WHEEL = ".json", ".whl"
ANY = "any00000"
_NAME = re.compile(
    r"builds-1/[0-9a-f]{2}/[0-9a-f]{2}/([0-9a-f]{56})/((?:[0-9a-f]{8}|any00000)-([0-9a-f]{16})-[0-9a-f]{16}-[0-9a-f]{8})"
)
# In a folder, the library writes an object under another name first.
_UNFINISHED = re.compile(rf"{_NAME.pattern}(?:\{RECORD}|\{WHEEL})#[0-9]+")


class SharedBuild(NamedTuple):
    """The objects of one build: its record and its wheel, of which one may be missing. ``name`` is their path without ending.

    ``key`` is the wheel key.
    """

    name: str
    key: str
    record: RemoteObject | None = None
    wheel: RemoteObject | None = None

    @property
    def platform(self) -> str:
        """The platform for which it was built, as `platform_of` names it; `ANY` if it has no compiled code."""
        return self.name.rpartition("/")[2].partition("-")[0]

    @property
    def wheel_id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 that the wheel is to have."""
        return self.name.split("-")[-3]

    @property
    def signer(self) -> str:
        """The key that has signed the record, as `documents.signer` names it."""
        return self.name.split("-")[-1]


def folder(key: str) -> str:
    """Return the path of the folder of the builds under a wheel *key*; it ends in a slash, as do all paths of folders here."""
    return f"{TOP}{key[:2]}/{key[2:4]}/{key}/"


def may_have_folders(path: str) -> bool:
    """Return whether the folder *path* may have folders of ours in it: False for that of a key, the innermost.

    Counts the parts of the path, and compares no names.
    """
    return path.count("/") < folder("").count("/")


def folders_in(path: str) -> list[str]:
    """Return the paths of the 256 folders that the folder *path* may have, of k1 in the top and of k2 in those.

    Returns an empty list for a folder of k2, since keys are too many, and for one of a key.
    """
    return [f"{path}{number:02x}/" for number in range(256)] if path.count("/") < folder("").count("/") - 1 else []


def name(key: str, record: BuildRecord, signer: str) -> str:
    """Return the path of the objects of a build, without their endings. *record* is a `documents.portable` one.

    *signer* is the key that signs it, as `documents.signer` names it.
    """
    document = build_record.to_json(record)
    shape = hashed(json.dumps([document["conditions"], document["watched"]], sort_keys=True))[:16]
    return f"{folder(key)}{platform(record.conditions)}-{record.wheel[:16]}-{shape}-{signer}"


def platform(conditions: Conditions) -> str:
    """Return the part of the name that tells for which interpreters and C libraries a build is; `ANY` if for all."""
    return platform_of(conditions.abi, conditions.libc[0]) if conditions.abi else ANY


def platform_of(abi: str, libc: str) -> str:
    """Return the part of the name for an interpreter's ABI and a kind of C library."""
    return hashed(f"{abi} {libc}")[:8]


def is_unfinished(path: str) -> bool:
    """Return whether *path* is that of an object of ours that is still being written, or whose writer was killed."""
    return bool(_UNFINISHED.fullmatch(path))


def paired(objects: Iterable[RemoteObject]) -> dict[str, SharedBuild]:
    """Return the builds to which *objects* belong, by name; a build has only the record or the wheel if the other is missing.

    Leaves out objects with other names: they are not pinstall's, or unfinished.
    """
    found: dict[str, SharedBuild] = {}
    for one in objects:
        stem, dot, ending = one.path.rpartition(".")
        ending = dot + ending
        if ending not in (RECORD, WHEEL):
            continue
        if parsed := _NAME.fullmatch(stem):
            build = found.get(stem) or SharedBuild(stem, parsed[1])
            found[stem] = build._replace(record=one) if ending == RECORD else build._replace(wheel=one)
    return found
