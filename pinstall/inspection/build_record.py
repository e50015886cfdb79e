"""Build records: determine the conditions of a build, compare them with those of an earlier one, and read and write JSON."""

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

from pinstall.inspection import build_questions
from pinstall.inspection.sdist_scan import SourceScan
from pinstall.model.digest import hashed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pinstall.inspection.build_questions import Watched

_FORMAT = 2
_READABLE = (1, _FORMAT)  # 1: pinstall 0.1.0, which did not watch builds
_UNKNOWN_CPU = "?"
COMPILERS = ("CC", "CXX")
# They run the compiler that follows, and add no flags.
_LAUNCHERS = ("ccache", "sccache", "distcc", "icecc")
_LONGEST_SCRIPT = 1 << 20  # bytes
# The first word of "gcc --version" is the compiler's own name: gcc, c++, x86_64-linux-gnu-gcc-12.
_GCC = re.compile(r"(?:(\w+)-[\w-]+-)?(?:gcc|g\+\+|cc|c\+\+)(?:-[\d.]+)? ")
_CPU = "/proc/cpuinfo"
_CPU_FLAGS = re.compile(r"^(?:flags|Features)\s*:\s*(.*)$", re.MULTILINE)


class Conditions(NamedTuple):
    """The conditions that shape a build, except for its source. Values of variables and settings are stored as digests.

    ``abi`` is the interpreter's ABI (implementation, version, flags, platform). ``libc`` is the kind and version of the C
    library. ``compilers`` are the compilers' names and digests of their arguments, by variable. These three are empty if the
    build compiles nothing. ``cpu`` lists the processor's features if the build asks for those of this machine (in records of
    0.1.0: their digest). ``tools`` are the paths of the tools that the build files name. ``build_dependencies`` are the
    installed versions of the projects that a build without isolation uses.
    """

    abi: str = ""
    libc: tuple[str, str] = ("", "")
    compilers: Mapping[str, str] = {}
    cpu: str = ""
    settings: str = ""
    variables: Mapping[str, str] = {}
    tools: Mapping[str, str] = {}
    build_dependencies: Mapping[str, str] = {}


class BuildRecord(NamedTuple):
    """The build record of a wheel: its sha256, the digests of its source by algorithm, and how it was built.

    ``source_scan`` is the scan of its sdist. ``libraries`` are the system libraries that it needed right after its build, or
    when it was adopted, and their paths. ``observed`` is False for a wheel that pip had built without pinstall, and that
    pinstall adopted. ``watched`` are the questions that the build asked, None if pinstall did not watch it. ``pins`` are the
    versions that its call pinned of projects in the build environment. ``fetched`` is the location of the shared store that the
    build came from, "" if this machine built it.
    """

    wheel: str
    source: Mapping[str, str]
    source_scan: SourceScan
    conditions: Conditions = Conditions()
    libraries: Mapping[str, str] = {}
    observed: bool = True
    watched: Watched | None = None
    pins: Mapping[str, str] = {}
    fetched: str = ""


def difference(then: Conditions, now: Conditions) -> str:
    """Return how a build under *then* differs from one under *now*, as the end of "it was built ..."; "" if it serves as well.

    Tells only the first kind of difference, and no value of a variable. A newer libc, compiler or patch release of Python, and
    a processor with more features, do not count as a difference.
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
        ("another version of ", then.build_dependencies, now.build_dependencies),
    ):
        names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        if names:
            return f"with {what}{', '.join(names)}"
    return "" if _serves(then.cpu, now.cpu) else "for another processor"


def _serves(then: str, now: str) -> bool:
    """Return whether a processor with the features *now* has all those of *then* (in a record of 0.1.0: their digest)."""
    if then == hashed(now):  # a record of 0.1.0
        return True
    return set(then.split()) <= set(now.split())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version))


def settings(texts: Iterable[str]) -> str:
    """Return one digest of all config settings and build options (``key=value``); "" without any.

    The order of the keys does not matter; the order of the values of one key does.
    """
    found = sorted(texts, key=lambda setting: setting.partition("=")[0])
    return hashed("\0".join(found)) if found else ""


def compilers(environ: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return a text about each compiler, by variable (`COMPILERS`), such as "gcc", or "gcc with DIGEST" if it has arguments.

    *defaults* are the interpreter's own compilers, used for variables that are not set in *environ*, or empty. Runs each
    compiler with ``--version`` to learn its name; the text does not contain the version. Instead of the name, it has "" if no
    compiler is set or found.
    """
    return {name: _compiler(environ.get(name) or defaults.get(name) or "", environ.get("PATH", "")) for name in COMPILERS}


def _compiler(command: str, path: str) -> str:
    """Return the name of the compiler that *command* runs, found by *path* (``PATH``), with a digest of its arguments if any.

    Leaves out launchers. The name is "" if the program is not found. For a command with an open quotation, returns only a
    digest of it.
    """
    try:
        argv = _words(command)
    except ValueError:
        return hashed(command)
    while argv[1:] and os.path.basename(argv[0]) in _LAUNCHERS and not argv[1].startswith("-"):
        argv = argv[1:]
    if not argv:
        return ""
    found = _which(argv[0], path)
    name = _reported(found) if found else ""
    return f"{name} with {hashed(' '.join(argv[1:]))}" if argv[1:] else name


def _words(command: str) -> list[str]:
    """Split a command as the system's build tools do. Raises `ValueError` for an open quotation."""
    if os.name != "nt":
        return shlex.split(command)
    return [word.strip('"') for word in shlex.split(command, posix=False)]  # a backslash separates folders there


def _which(command: str, path: str) -> str:
    """Return the path of the program behind *command* and its links; "" if it is not found.

    Searches *path* (as in ``PATH``), or only the folder that *command* names. Skips a launcher, such as ccache, that is linked
    under the name of a compiler.
    """
    for folder in filter(None, [os.path.dirname(command)] if os.path.dirname(command) else path.split(os.pathsep)):
        found = shutil.which(os.path.basename(command), path=folder)
        place = os.path.realpath(found) if found else ""
        if place and (os.path.basename(place) not in _LAUNCHERS or os.path.basename(command) in _LAUNCHERS):
            return place
    return ""


@cache
def _reported(path: str) -> str:
    """Run a compiler and return the name that it reports: links named ``cc`` and ``c++`` lead to various compilers.

    A script may add flags to those of the compiler that it runs: it has a digest of its content beside the name.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_LONGEST_SCRIPT) if file.read(2) == b"#!" else b""
    except OSError:
        content = b""
    name = _name_of(path)
    return f"{name} by {hashlib.sha256(content).hexdigest()}" if content else name


def _is_placeholder(path: str) -> bool:
    """Return whether *path*, if it were run, would open a dialog of macOS, because the developer tools are not installed."""
    if platform.system() != "Darwin" or not path.startswith("/usr/bin/"):
        return False
    try:
        return subprocess.run(["/usr/bin/xcode-select", "-p"], capture_output=True, timeout=10, check=False).returncode != 0
    except (OSError, subprocess.SubprocessError):
        return False


def _name_of(path: str) -> str:
    """Run a compiler and return the name that it reports.

    Returns the name of its file if it is neither gcc nor clang, fails to start, or needs more than 10 s.
    """
    if _is_placeholder(path):
        return os.path.basename(path)
    try:
        done = subprocess.run([path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return os.path.basename(path)
    return compiler_name(done.stdout.decode(errors="replace")) or os.path.basename(path)


def compiler_name(version_output: str) -> str:
    """Return a compiler's name from its ``--version`` output: "gcc", "clang", or such as "gcc for aarch64" on another machine.

    Returns "" for other compilers.
    """
    first = version_output.partition("\n")[0]
    gcc = _GCC.match(first)
    if gcc and "Free Software Foundation" in version_output:  # other GNU programs, such as false, name the foundation, too
        return "gcc" if gcc[1] in (None, platform.machine()) else f"gcc for {gcc[1]}"
    return "clang" if "clang version" in first else ""


def tools(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the paths of those tools in *names* that ``PATH`` (in *environ*) finds, by name."""
    path = environ.get("PATH", "")
    return {name: found for name in names if (found := shutil.which(name, path=path))}


def unknown_cpu(now: Conditions) -> Conditions:
    """Return the conditions *now* with an unknown processor: a build under them serves on no known one (see `difference`)."""
    return now._replace(cpu=_UNKNOWN_CPU)


def cpu(variables: Mapping[str, str], *, native: bool = False) -> str:
    """Return the processor's features if a flag such as ``-march=native`` asks for them, or if *native*; otherwise "".

    *variables* have the flags. If the system does not tell the features, a digest of the host's name stands for them.
    """
    if not native and not any("native" in value for value in variables.values()):
        return ""
    try:
        with open(_CPU, encoding="ascii", errors="replace") as file:
            found = _CPU_FLAGS.search(file.read())
    except OSError:
        found = None
    return found[1] if found else hashed(f"that of {platform.node()}")  # unknown processors of two hosts must differ


def to_json(record: BuildRecord) -> dict[str, Any]:
    """Return the JSON document of a record. Keys that pinstall 0.1.0 had keep their names, so that its records stay valid."""
    conditions = record.conditions._asdict()
    conditions["peers"] = conditions.pop("build_dependencies")
    return {
        "format": _FORMAT,
        "wheel": record.wheel,
        "source": record.source,
        "says": {**record.source_scan._asdict(), "words": sorted(record.source_scan.words)},
        "conditions": conditions,
        "libraries": dict(record.libraries),
        "seen": record.observed,
        "watched": build_questions.to_json(record.watched) if record.watched else {},
        "pins": record.pins,
        "fetched": record.fetched,
    }


def _mappings(conditions: Conditions) -> tuple[Mapping[str, str], ...]:
    return conditions.compilers, conditions.variables, conditions.tools, conditions.build_dependencies


def from_json(document: Any) -> BuildRecord | None:
    """Read a record from its JSON document, also one of pinstall 0.1.0; None if that is damaged or of an unknown format."""
    try:
        if document["format"] not in _READABLE:
            return None
        said, stated = dict(document["says"]), dict(document["conditions"])
        lists = {"words": frozenset(said["words"]), "tools": tuple(said["tools"]), "requires": tuple(said["requires"])}
        scan = SourceScan(**{**said, **lists})
        conditions = Conditions(build_dependencies=stated.pop("peers"), **{**stated, "libc": tuple(stated["libc"])})
        watched = build_questions.from_json(document["watched"]) if document.get("watched") else None
        observed, pins, fetched = document["seen"] is True, document.get("pins", {}), document.get("fetched", "")
        record = BuildRecord(
            document["wheel"], document["source"], scan, conditions, document["libraries"], observed, watched, pins, fetched
        )
        mappings = (pins, record.source, record.libraries, *_mappings(conditions))
        texts = [record.wheel, fetched, *conditions.libc, *scan.words, *scan.tools, *scan.requires]
        texts += [conditions.abi, conditions.cpu, conditions.settings]
        texts += [text for mapping in mappings for pair in mapping.items() for text in pair]
        return record if len(conditions.libc) == 2 and all(isinstance(text, str) for text in texts) else None
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
