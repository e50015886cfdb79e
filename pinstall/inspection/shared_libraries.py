"""Check whether the dynamic loader would find the libraries that a wheel's extension modules need.

Only ELF files are supported, not those of macOS and Windows. The search follows ld.so(8). The loader itself is not run, because
it would also run the library's code.
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
# glibc's names for newer x86 processors (sysdeps/x86/cpu-features.c); which one it takes depends on the processor.
_PLATFORMS = ("haswell", "xeon_phi")
_LIB = ("lib", "lib64", f"lib/{_TRIPLET}")
_LARGEST = 512 << 20  # bytes of all libraries of a wheel together, which are read into memory
_MOST_ENTRIES = 1000  # linkers write about ten segments and thirty dynamic entries
_MOST_FOLDERS = 10_000  # searching them takes half a second
_DEEPEST = 3  # levels, as in site-packages/nvidia/cublas/lib
_NOT_BELOW = ("__pycache__", ".dist-info", ".egg-info")
_ELF = b"\x7fELF"
_SCRIPT = re.compile(r"^[^/]+\.data/scripts/")
_DATA = re.compile(r"^[^/]+\.data/data/")
_IN_SITE_PACKAGES = re.compile(r"^[^/]+\.data/(plat|pure)lib/")


class Libraries(NamedTuple):
    """The sonames of the shared libraries that a wheel's extension modules and programs need, sorted: found, and missing.

    A library that another distribution provides is found only if that distribution is installed. ``paths`` are the paths of
    system libraries: those that the loader finds outside the wheel and outside all installed distributions. ``renamed`` are the
    missing ones of which the system has another version, such as libffi.so.8 for libffi.so.7: no distribution will bring them.
    """

    found: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    paths: Mapping[str, str] = MappingProxyType({})
    renamed: tuple[str, ...] = ()


class _Needs(NamedTuple):
    """The libraries that one ELF file needs (DT_NEEDED), and the folders that it names itself (DT_RUNPATH or DT_RPATH)."""

    names: frozenset[str]
    folders: Sequence[str]


def libraries(wheel: BinaryIO, site_packages: str, path: Sequence[str], environ: Mapping[str, str]) -> Libraries | None:
    """Look for the libraries that *wheel* would need if it were installed in *site_packages*.

    *path* is the ``sys.path`` of the environment, *environ* are the variables with which its Python would be started. Only the
    direct needs of the wheel's own files are checked. A library that one file finds counts as found for all, because the loader
    loads it once. One that the wheel contains counts as found, too.

    Return None if the answer is unknown: one of the wheel's libraries or programs is broken, not an ELF file, or for another
    machine than this interpreter's, these files are too large, or the wheel cannot be unpacked. Raises `OSError` if the wheel
    cannot be read.
    """
    try:
        with archives.zipped(wheel) as archive:
            members = {info.filename: info for info in archive.infolist() if _is_library(info.filename)}
            members |= {info.filename: info for info in archive.infolist() if _is_program(archive, info)}
            needs = _all_needs(archive, members, os.path.realpath(site_packages))
    except (archives.BrokenError, archives.UnprovenError):
        return None
    if needs is None:
        return None
    needed = {name for need in needs for name in need.names}
    found = needed & {os.path.basename(member) for member in members}
    # The interpreter finds libpython, and in conda all libraries, in the folder that contains the standard library's folder.
    given = [
        *_split(environ.get("LD_LIBRARY_PATH", ""), "[:;]"),
        *(os.path.dirname(folder) for folder in path if os.path.isabs(folder)),
    ]
    wanted = [(name, [*need.folders, *given]) for need in needs for name in sorted(need.names - found)]
    places = {name: place for name, folders in wanted if (place := _found(name, folders))}
    found |= places.keys()
    if found != needed:
        found |= _provided(needed - found, [site_packages, *path])
    packages = tuple(os.path.join(os.path.realpath(folder), "") for folder in (site_packages, *path))
    systems = {name: place for name, place in places.items() if not os.path.realpath(place).startswith(packages)}
    renamed = {name for name, folders in wanted if name not in found and _has_namesake(name, folders)}
    return Libraries(tuple(sorted(found)), tuple(sorted(needed - found)), systems, tuple(sorted(renamed)))


def _has_namesake(name: str, folders: Iterable[str]) -> bool:
    """Return whether *folders*, the loader's cache or its default folders have another version of the library *name*."""
    stem, ending, _ = name.partition(".so")
    return bool(ending) and stem.startswith("lib") and any(other != name for other in named(stem[3:], folders))


def has_library(wheel: BinaryIO) -> bool:
    """Return whether a *wheel* has an extension module, another library or a compiled program; True if it cannot be unpacked.

    Raises `OSError` if the wheel cannot be read.
    """
    try:
        with archives.zipped(wheel) as archive:
            return any(_is_library(info.filename) or _is_program(archive, info) for info in archive.infolist())
    except (archives.BrokenError, archives.UnprovenError):
        return True


def _is_library(member: str) -> bool:
    name = os.path.basename(member)
    return name.endswith((".so", ".pyd", ".dylib")) or ".so." in name


def _is_program(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Return whether a member is a compiled program: an ELF file among the scripts, as uwsgi is, or in ``bin``, as in cmake."""
    is_script = bool(_SCRIPT.match(info.filename)) or "bin" in info.filename.split("/")[:-1]
    return is_script and archives.read(archive, info, len(_ELF)) == _ELF


def _all_needs(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], site_packages: str) -> list[_Needs] | None:
    """Return the needs of each of *members*; None if those of one are unknown, or if all together are too large."""
    if sum(info.file_size for info in members.values()) > _LARGEST:
        return None
    found = []
    for name, info in members.items():
        data = archives.read(archive, info, info.file_size)
        if not _kind(data) or _kind(data) != _kind_of(sys.executable):
            return None
        need = _needs(data, os.path.dirname(_installed(name, site_packages)))
        if need is None:
            return None
        found.append(need)
    return found


def _installed(member: str, site_packages: str) -> str:
    """Return the path to which pip installs a *member* of a wheel; *site_packages* is PREFIX/lib/pythonX.Y/site-packages."""
    place = _DATA.sub("../../../", _SCRIPT.sub("../../../bin/", _IN_SITE_PACKAGES.sub("", member)))
    return os.path.normpath(os.path.join(site_packages, place))


def _needs(data: bytes, origin: str) -> _Needs | None:
    """Read the dynamic section in the *data* of an ELF file (ELF gABI, chapter 5); return None if it is broken.

    *origin* is the folder that the file will be in.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(data))
        if elf.header["e_phnum"] > _MOST_ENTRIES:
            return None
        elf.header["e_shoff"] = 0  # the loader ignores sections, and a broken header can claim billions of them
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
    """Split a list of folders by the pattern *separators*. An empty item is the current folder; an empty list has no items."""
    return re.split(separators, listed) if listed else []


def _expand(folder: str, origin: str) -> Iterator[str]:
    """Yield *folder* with the tokens of ld.so(8) replaced: once for each value that $LIB and $PLATFORM have in some loader."""
    libs = _LIB if "LIB" in folder else _LIB[:1]
    platforms = (os.uname().machine, *_PLATFORMS) if "PLATFORM" in folder else ("",)
    for lib, platform in itertools.product(libs, platforms):
        place = Template(folder).safe_substitute(ORIGIN=origin, LIB=lib, PLATFORM=platform)
        # The wheel is not installed: $ORIGIN need not exist yet, and $ORIGIN/.. has to be resolved in the text.
        yield os.path.normpath(place)


def _found(name: str, folders: Iterable[str]) -> str | None:
    """Return the path of the library *name*, searching as the loader does: *folders*, its cache, its default folders.

    A name with a slash is a path, which must be absolute. Return None if no library for this machine is found.
    """
    if "/" in name:
        return name if os.path.isabs(name) and _fits(name) else None
    known, own = _loader()
    named = (os.path.join(folder, name) for folder in folders)
    last = (os.path.join(folder, name) for folder in own)
    return next(filter(_fits, itertools.chain(named, known.get(name, ()), last)), None)


def first_path(name: str, folders: Iterable[str]) -> str:
    """Return the path of the library *name* that the loader would find if it searched *folders* first; "" if none is found."""
    return _found(name, folders) or ""


def named(stem: str, folders: Iterable[str]) -> list[str]:
    """Return the names of the files ``libSTEM.so*`` in *folders*, the loader's cache and its default folders, sorted.

    They may be for other machines.
    """
    known, own = _loader()
    found = {name for name in known if name.startswith(f"lib{stem}.so")}
    for folder in (*folders, *own):
        found.update(os.path.basename(path) for path in glob.glob(f"{glob.escape(folder)}/lib{glob.escape(stem)}.so*"))
    return sorted(found)


@functools.cache
def _loader() -> tuple[Mapping[str, Sequence[str]], Sequence[str]]:
    """Return the paths in the loader's cache by soname, and the loader's default folders; both are read only once."""
    try:
        is_glibc = bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, OSError, ValueError):
        is_glibc = False
    if is_glibc:
        return _cached(_CACHE), [f"{root}/{lib}" for root in ("", "/usr") for lib in _LIB]
    return {}, _musl_folders(_MUSL_PATHS)


def _cached(path: str) -> Mapping[str, Sequence[str]]:
    """Read ``ld.so.cache``: glibc's ``struct cache_file_new``, which may follow one of the older format.

    A cache that cannot be read counts as empty, as it does for the loader. (Only ldconfig reads ``ld.so.conf``.)
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
    """Return the folders of musl's loader: those in its path file, or else the built-in ones (musl's manual)."""
    for path in glob.glob(pattern):
        try:
            with open(path, "rb") as file:
                return [folder for folder in re.split("[:\n]", os.fsdecode(file.read())) if folder]
        except OSError:
            continue
    return ["/lib", "/usr/local/lib", "/usr/lib"]


def _provided(names: set[str], roots: Iterable[str]) -> set[str]:
    """Return those of *names* that are found in *roots* or at most three levels below, in 10 000 folders at most.

    Other distributions provide libraries there, such as those in ``torch/lib``, and load them first.
    """
    found: set[str] = set()
    folders = dict.fromkeys(roots, 0)  # with their depths
    waiting = list(folders)
    # The loop appends to the list, so that shallow folders come first.
    for folder in itertools.islice(waiting, _MOST_FOLDERS):
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
    """Return whether the loader would use this file: it skips files for other machines than that of our interpreter."""
    return bool(kind := _kind_of(path)) and kind == _kind_of(sys.executable)


def _kind_of(path: str) -> bytes:
    """Return the `_kind` of a file; empty bytes if it is not a regular file, or cannot be read."""
    try:
        if not os.path.isfile(path):  # opening a FIFO blocks
            return b""
        with open(path, "rb", buffering=0) as file:
            return _kind(file.read(20))
    except OSError:
        return b""


def _kind(head: bytes) -> bytes:
    """Return class, byte order and machine of an ELF file (gABI: e_ident, e_machine); empty bytes if it is not an ELF file."""
    return head[4:6] + head[18:20] if head[:4] == b"\x7fELF" and len(head) >= 20 else b""
