"""Would it be built the same way now? What shapes a build, as it was when a wheel was built and as it is in this call."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall.inspection.sdist_scan import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FORMAT = 1
COMPILERS = ("CC", "CXX")
# Its first word is its own name: gcc, c++, x86_64-linux-gnu-gcc-12.
_GCC = re.compile(r"(?:(\w+)-[\w-]+-)?(?:gcc|g\+\+|cc|c\+\+)(?:-[\d.]+)? ")
_CPU = "/proc/cpuinfo"
_CPU_FLAGS = re.compile(r"^(?:flags|Features)\s*:\s*(.*)$", re.MULTILINE)


class Conditions(NamedTuple):
    """What shapes a build, but for its source; values of variables and settings as digests.

    ``abi`` is the interpreter's (implementation, version, flags, platform); ``libc`` its kind and version, ``compilers`` their
    names and arguments, ``cpu`` a digest of its features if any flag asks for those of this machine, ``tools`` where
    ``PATH`` finds what the build scripts name, ``peers`` the installed versions of what a build without isolation uses.
    """

    abi: str = ""
    libc: tuple[str, str] = ("", "")
    compilers: Mapping[str, str] = {}
    cpu: str = ""
    settings: str = ""
    variables: Mapping[str, str] = {}
    tools: Mapping[str, str] = {}
    peers: Mapping[str, str] = {}


class BuildRecord(NamedTuple):
    """What is known of a wheel: its sha256, digests of its source, and how it was built.

    ``libraries`` are the system's that it needs and where they were, right after its build. ``seen`` is False for a wheel that
    pip had built before and that was adopted as it was.
    """

    wheel: str
    source: Mapping[str, str]
    says: Source
    conditions: Conditions = Conditions()
    libraries: Mapping[str, str] = {}
    seen: bool = True


def difference(then: Conditions, now: Conditions) -> str:
    """Say in what the conditions of a build differ, without any value; "" if they do not.

    A newer libc, compiler or patch release of Python is no difference.
    """
    if then.abi != now.abi:
        return "for another Python interpreter"
    if then.libc[0] != now.libc[0]:
        return f"for another C library, {then.libc[0] or 'unknown'}"
    if _numbers(now.libc[1]) < _numbers(then.libc[1]):
        return f"for {' '.join(then.libc)}, and this system has {now.libc[1]}"
    if then.settings != now.settings:
        return "with different config settings or build options"
    for what, before, after in (
        ("different ", then.compilers, now.compilers),
        ("different ", then.variables, now.variables),
        ("another ", then.tools, now.tools),
        ("another version of ", then.peers, now.peers),
    ):
        names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        if names:
            return f"with {what}{', '.join(names)}"
    return "for another processor" if then.cpu != now.cpu else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version))


def hashed(value: str) -> str:
    """Return what stands for a value in a record."""
    return hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest()[:32]


def settings(given: Iterable[str]) -> str:
    """Return what stands for config settings and build options (``key=value``), "" for none; values of one key are ordered."""
    found = sorted(given, key=lambda setting: setting.partition("=")[0])
    return hashed("\0".join(found)) if found else ""


def compilers(environ: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the compilers by variable, the interpreter's own where none is set: the name that each reports, its arguments."""
    return {name: _compiler(environ.get(name) or defaults.get(name) or "", environ.get("PATH", "")) for name in COMPILERS}


def _compiler(command: str, path: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        return hashed(command)
    if not words:
        return ""
    found = shutil.which(words[0], path=path)
    name = _reported(os.path.realpath(found)) if found else ""
    return f"{name} with {hashed(' '.join(words[1:]))}" if words[1:] else name


@cache
def _reported(path: str) -> str:
    """Ask a compiler for its name: links named ``cc`` and ``c++`` lead to many."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return os.path.basename(path)
    return compiler_name(done.stdout.decode(errors="replace")) or os.path.basename(path)


def compiler_name(says: str) -> str:
    """Return the name in what a compiler says of its version, without that version; "" if it is not one that is known."""
    first = says.partition("\n")[0]
    gcc = _GCC.match(first)
    if gcc and "Free Software Foundation" in says:  # as false and true of GNU are
        return "gcc" if gcc[1] in (None, platform.machine()) else f"gcc for {gcc[1]}"
    return "clang" if "clang version" in first else ""


def tools(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return where ``PATH`` finds the tools that the build scripts name."""
    path = environ.get("PATH", "")
    return {name: found for name in names if (found := shutil.which(name, path=path))}


def cpu(variables: Mapping[str, str]) -> str:
    """Return a digest of the processor's features if a flag among the values asks for those of this machine."""
    if not any("native" in value for value in variables.values()):
        return ""
    try:
        with open(_CPU, encoding="ascii", errors="replace") as file:
            found = _CPU_FLAGS.search(file.read())
    except OSError:
        found = None
    return hashed(found[1] if found else f"that of {platform.node()}")  # two that are not known are not the same


def to_json(record: BuildRecord) -> dict[str, Any]:
    """Return a record as it is written."""
    says = {**record.says._asdict(), "words": sorted(record.says.words)}
    plain = {"says": says, "conditions": record.conditions._asdict(), "libraries": dict(record.libraries)}
    return {"format": _FORMAT, **record._asdict(), **plain}


def from_json(document: Any) -> BuildRecord | None:
    """Read a record; None for one that is damaged or of another format."""
    try:
        if document["format"] != _FORMAT:
            return None
        said, conditions = dict(document["says"]), dict(document["conditions"])
        lists = {"words": frozenset(said["words"]), "tools": tuple(said["tools"]), "requires": tuple(said["requires"])}
        says = Source(**{**said, **lists})
        made = Conditions(**{**conditions, "libc": tuple(conditions["libc"])})
        record = BuildRecord(document["wheel"], document["source"], says, made, document["libraries"], document["seen"] is True)
        mappings = (record.source, record.libraries, made.compilers, made.variables, made.tools, made.peers)
        texts = [record.wheel, made.abi, *made.libc, made.cpu, made.settings, *says.words, *says.tools, *says.requires]
        texts += [text for mapping in mappings for pair in mapping.items() for text in pair]
        return record if len(made.libc) == 2 and all(isinstance(text, str) for text in texts) else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
