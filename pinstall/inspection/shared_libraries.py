"""Would the dynamic loader find what a wheel's extension modules need? ELF alone: macOS and Windows have other ways.

Whatever the loader knows besides the file is asked as ld.so(8) describes it, without running it: it would run the library too.
"""

from __future__ import annotations

import functools
import glob
import io
import itertools
import os
import re
import struct
import sys
from string import Template
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pinstall.inspection import archives

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_CACHE = "/etc/ld.so.cache"
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_MUSL_PATHS = "/etc/ld-musl-*.path"
_TRIPLET = getattr(sys.implementation, "_multiarch", "")
_LIB = ("lib", "lib64", f"lib/{_TRIPLET}")
_LARGEST = 512 << 20  # of all libraries of a wheel together; they are read in memory
_MOST_ENTRIES = 1000  # a linker writes some ten segments and some thirty dynamic entries
_MOST_FOLDERS = 10_000  # half a second
_DEEPEST = 3  # site-packages/nvidia/cublas/lib
_NOT_BELOW = ("__pycache__", ".dist-info", ".egg-info")
_IN_SITE_PACKAGES = re.compile(r"^[^/]+\.data/(plat|pure)lib/")


class Libraries(NamedTuple):
    """The shared libraries that a wheel's extension modules need, by soname, sorted: those that are found and those missing.

    What another package brings is found if it is installed: in an environment that is still empty, it is missing. ``places``
    are those of the system's: found by the loader's own ways, outside the wheel and all packages.
    """

    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    places: Mapping[str, str] = MappingProxyType({})


class _Needs(NamedTuple):
    """What one ELF file needs (DT_NEEDED), and the folders that it names itself."""

    names: frozenset[str]
    folders: Sequence[str]


def libraries(wheel: BinaryIO, site_packages: str, path: Sequence[str], environ: Mapping[str, str]) -> Libraries | None:
    """Look for the libraries that a *wheel* would need, were it installed in *site_packages*.

    *path* is the ``sys.path`` of the environment, *environ* what its Python would be started with. Only what the wheel itself
    needs is looked for, not what those libraries need in turn. A library that one member finds, all find: it is loaded once.
    Returns None where it cannot be told: no ELF, an ELF of another machine than this interpreter's, a broken wheel or ELF.
    Raises `OSError` if the wheel cannot be read.
    """
    try:
        with archives.zipped(wheel) as archive:
            members = {info.filename: info for info in archive.infolist() if _is_library(info.filename)}
            needs = _all_needs(archive, members, os.path.realpath(site_packages))
    except (archives.BrokenError, archives.UnprovenError):
        return None
    if needs is None:
        return None
    needed = {name for need in needs for name in need.names}
    found = needed & {os.path.basename(member) for member in members}
    # Where the interpreter finds its own: libpython and, in conda, all libraries stand beside the standard library's folder.
    given = [
        *_split(environ.get("LD_LIBRARY_PATH", ""), "[:;]"),
        *(os.path.dirname(folder) for folder in path if os.path.isabs(folder)),
    ]
    wanted = [(name, [*need.folders, *given]) for need in needs for name in sorted(need.names - found)]
    places = {name: place for name, folders in wanted if (place := _found(name, folders))}
    found |= places.keys()
    if found != needed:
        found |= _brought(needed - found, [site_packages, *path])
    packages = tuple(os.path.join(os.path.realpath(folder), "") for folder in (site_packages, *path))
    systems = {name: place for name, place in places.items() if not os.path.realpath(place).startswith(packages)}
    return Libraries(tuple(sorted(found)), tuple(sorted(needed - found)), systems)


def _is_library(member: str) -> bool:
    name = os.path.basename(member)
    return name.endswith((".so", ".pyd", ".dylib")) or ".so." in name


def _all_needs(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], site_packages: str) -> list[_Needs] | None:
    """Return what each of *members* needs; None if that cannot be told of one of them."""
    if sum(info.file_size for info in members.values()) > _LARGEST:
        return None
    found = []
    for name, info in members.items():
        data = archives.read(archive, info, info.file_size)
        if not _kind(data) or _kind(data) != _kind_of(sys.executable):
            return None
        place = os.path.join(site_packages, _IN_SITE_PACKAGES.sub("", name))
        need = _needs(data, os.path.dirname(place))
        if need is None:
            return None
        found.append(need)
    return found


def _needs(data: bytes, origin: str) -> _Needs | None:
    """Read the dynamic section of an ELF file that will lie in *origin* (ELF gABI, chapter 5); None if it is broken."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(data))
        if elf.header["e_phnum"] > _MOST_ENTRIES:
            return None
        elf.header["e_shoff"] = 0  # the loader does without sections, and broken ones can be billions
        segment = next((segment for segment in elf.iter_segments() if isinstance(segment, DynamicSegment)), None)
        tags = list(itertools.islice(segment.iter_tags(), _MOST_ENTRIES)) if segment else []
    except (ELFError, AssertionError, LookupError, ValueError, OverflowError, MemoryError):
        return None
    if tags and tags[-1].entry.d_tag != "DT_NULL":
        return None
    named = {kind: [getattr(tag, kind) for tag in tags if hasattr(tag, kind)] for kind in ("needed", "runpath", "rpath")}
    folders = [folder for listed in named["runpath"] or named["rpath"] for folder in _split(listed, ":")]
    return _Needs(frozenset(named["needed"]), [place for folder in folders for place in _expand(folder, origin)])


def _split(listed: str, separators: str) -> list[str]:
    """Split a list of folders; an empty one is the current folder, but an empty list is none."""
    return re.split(separators, listed) if listed else []


def _expand(folder: str, origin: str) -> Iterator[str]:
    """Replace the tokens that ld.so(8) knows; where $LIB depends on how the loader was built, by all that it may be."""
    for lib in _LIB if "LIB" in folder else _LIB[:1]:
        place = Template(folder).safe_substitute(ORIGIN=origin, LIB=lib, PLATFORM=os.uname().machine)
        # $ORIGIN/.. is a place although $ORIGIN is none yet: the wheel is not installed.
        yield os.path.normpath(place)


def _found(name: str, folders: Iterable[str]) -> str | None:
    """Look where the loader looks: in *folders*, in its cache, in its own folders. A name with a slash is a path."""
    if "/" in name:
        return name if os.path.isabs(name) and _fits(name) else None
    known, own = _loader()
    named = (os.path.join(folder, name) for folder in folders)
    last = (os.path.join(folder, name) for folder in own)
    return next(filter(_fits, itertools.chain(named, known.get(name, ()), last)), None)


@functools.cache
def _loader() -> tuple[Mapping[str, Sequence[str]], Sequence[str]]:
    """Return what the loader's cache knows, and the folders in which it looks besides."""
    try:
        is_glibc = bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, OSError, ValueError):
        is_glibc = False
    if is_glibc:
        return _cached(_CACHE), [f"{root}/{lib}" for root in ("", "/usr") for lib in _LIB]
    return {}, _musl_folders(_MUSL_PATHS)


def _cached(path: str) -> Mapping[str, Sequence[str]]:
    """Read ``ld.so.cache``: glibc's ``struct cache_file_new``, which may stand behind one of the older kind.

    One that cannot be read is empty, as it is for the loader; ``ld.so.conf`` is read by ldconfig alone.
    """
    found: dict[str, list[str]] = {}
    try:
        with open(path, "rb") as file:
            data = file.read()
        data = data[data.index(_CACHE_MAGIC) :]
        (count,) = struct.unpack_from("=I", data, 20)
        for name, value in struct.iter_unpack("=4xII12x", data[48 : 48 + count * 24]):
            found.setdefault(_string(data, name), []).append(_string(data, value))
    except (OSError, ValueError, struct.error):
        return {}
    return found


def _string(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : data.index(b"\0", at)])


def _musl_folders(pattern: str) -> list[str]:
    """Return the folders of musl's loader: those of its file, else the built-in ones (musl's manual)."""
    for path in glob.glob(pattern):
        try:
            with open(path, "rb") as file:
                return [folder for folder in re.split("[:\n]", os.fsdecode(file.read())) if folder]
        except OSError:
            continue
    return ["/lib", "/usr/local/lib", "/usr/lib"]


def _brought(names: set[str], roots: Iterable[str]) -> set[str]:
    """Return those of *names* that lie below *roots*, as other packages bring them (``torch/lib``) and load them first."""
    found: set[str] = set()
    folders = dict.fromkeys(roots, 0)  # and how deep
    waiting = list(folders)
    for folder in itertools.islice(waiting, _MOST_FOLDERS):  # grows as it is read: shallow ones first
        for entry in _entries(folder):
            if entry.name in names and _fits(entry.path):
                found.add(entry.name)
            elif folders[folder] < _DEEPEST and entry.path not in folders and _may_hold(entry):
                folders[entry.path] = folders[folder] + 1
                waiting.append(entry.path)
        if found == names:
            break
    return found


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _may_hold(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.endswith(_NOT_BELOW)


def _fits(path: str) -> bool:
    """Say whether the loader takes this file; it passes over those of other machines."""
    return bool(kind := _kind_of(path)) and kind == _kind_of(sys.executable)


def _kind_of(path: str) -> bytes:
    """Return the `_kind` of a file, nothing if it cannot be read."""
    try:
        if not os.path.isfile(path):  # a FIFO would be waited for
            return b""
        with open(path, "rb", buffering=0) as file:
            return _kind(file.read(20))
    except OSError:
        return b""


def _kind(head: bytes) -> bytes:
    """Return class, byte order and machine of an ELF file (gABI: e_ident, e_machine), nothing if it is none."""
    return head[4:6] + head[18:20] if head[:4] == b"\x7fELF" and len(head) >= 20 else b""
