"""The questions that a watched build has asked, and their answers then and now.

A build fits if each question has the same answer now. An answer is a digest, or a word that tells no content: "" for what is
not set or not there. `learn` asks for the first time, right after the build. Asking again is cheap: the stamp of a file, then
its digest; only a program that has changed is started. Programs get the few arguments that make them print what they know.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import stat
import subprocess
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall.build_watch import PACKAGE, PKG_CONFIG, READ_ONLY
from pinstall.inspection import sdist_scan, shared_libraries
from pinstall.model.digest import hashed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_LARGEST_RECORD = 32 << 10
_LARGEST_FILE = 16 << 20
_SECONDS = 2.0
_LARGEST_OUTPUT = 1 << 20
_DIGITS = 32
_SECRET = "secret"  # noqa: S105 (the answer that stands for one)
# Where pkg-config looks, as the distributions and Homebrew build it.
_PKG_CONFIG = tuple(
    f"{prefix}/{folder}/pkgconfig"
    for prefix in ("/usr/local", "/usr", "/opt/homebrew")
    for folder in ("lib/*", "lib", "lib64", "share")
)
# Patterns are compiled at their first use: most calls ask no question again.
_COMPILERS = (
    r"(?:[\w.]+-)*(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|gfortran|f77|f95|icc|icx|icpx|ifx|nvcc|hipcc|cl|ld|lld|ar|as|ranlib)"
    r"(?:-[\d.]+)?(?:\.exe)?"
)
# Programs whose answers no build depends on, or that other questions cover.
_NEUTRAL = frozenset(
    """
    git hg svn sh bash dash uname ldconfig ar ranlib strip ld as nm objdump readelf file patchelf tar gzip cp mv rm mkdir rmdir
    chmod ln cat echo printf true false test [ ldd getconf lsb_release xcrun xcode-select sysctl which env nproc hostname date
    install_name_tool otool codesign lipo id whoami ccache sccache distcc grep sed awk sort head tail tr cut wc ls find xargs
    cd set export command type touch pwd dirname basename sleep patch diff install expr dpkg-architecture arch sw_vers tee
    pip pip3 uv
    """.split()  # noqa: SIM905 (a list would take a page)
)
# They belong to the C library, whose kind and version count.
_LIBC = r"(?:lib(?:c|m|dl|pthread|rt|util|gcc_s|stdc\+\+)|ld-linux[\w-]*|libc\.musl[\w-]*)(?:\.so.*)?"
_SECRET_FILES = r"(?:^|/)\.?(?:netrc|pypirc|git-credentials|pip\.conf|gitconfig)$|/\.(?:ssh|gnupg|aws|docker)/"  # noqa: S105 (no secret is in it)
# Tools of which the newest version always serves: another version is no reason to build again.
_TOOLS = frozenset(
    """
    setuptools wheel pip flit-core hatchling hatch-vcs poetry-core pdm-backend pbr setuptools-scm vcs-versioning packaging
    meson-python scikit-build scikit-build-core cmake ninja meson maturin setuptools-rust pyproject-metadata pathspec
    """.split()  # noqa: SIM905 (as above)
)


class Question(NamedTuple):
    """One question of a build, and its answer.

    ``kind`` is that of the question: ``variable``, ``program``, ``file`` (its content), ``place`` (its existence), ``listing``,
    ``glob``, ``link``, ``library`` (loaded), ``linked`` (looked for by ``find_library``), or ``package`` (of pkg-config).
    ``subject`` is its name or path (``~/`` for the home), ``by`` the asking file (``@`` and the package if it is not of the
    source). ``path`` and ``stamp`` are those of the file that gave the answer, "" without one. For a program that ran, ``said``
    has the digests of its outputs by its arguments; for one that was only looked for, ``answer`` is "there" or "".
    """

    kind: str
    subject: str
    by: str
    answer: str
    path: str = ""
    stamp: str = ""
    said: Mapping[str, str] = MappingProxyType({})


class Watched(NamedTuple):
    """The questions of a watched build.

    ``decides`` are the programs, such as make, that are not watched and whose own files decide on the build. ``whole`` is True
    if there was no such program, no file of the source took all variables at once, and all notes and questions were kept: then
    the text of the source does not count.

    ``compiles`` says whether a compiler ran, or a program in ``decides``, which may have run one. ``native`` says whether the
    build asked for the features of this machine's processor. ``isolated`` says whether it had a build environment, and
    ``requires`` has the versions there by project. Without a build environment, these are the modules and distributions that
    the source asked for, with the version "".
    """

    questions: tuple[Question, ...] = ()
    whole: bool = False
    compiles: bool = True
    native: bool = False
    isolated: bool = True
    decides: tuple[str, ...] = ()
    requires: Mapping[str, str] = MappingProxyType({})


class Machine:
    """The answers of this machine: its variables, programs, files and libraries."""

    def __init__(self, environ: Mapping[str, str], own: Iterable[str] = (), *, starts_programs: bool = True) -> None:
        """Answer with the variables *environ*; *own* are folders of the environment, whose programs do not count.

        Without *starts_programs*, `differs` starts none, because records from elsewhere must not do that: a program whose file
        differs counts as changed.
        """
        self.environ, self._starts_programs = environ, starts_programs
        self.home = (environ.get("HOME") or os.path.expanduser("~")).rstrip("/")
        self._own = tuple(os.path.join(folder, "") for folder in own if folder)

    def answered(self, kind: str, subject: str, by: str, forms: Sequence[tuple[str, ...]] = ()) -> Question | None:
        """Return a question with its present answer; None for programs of the environment, and if the C library was loaded.

        *forms* are the arguments of each run of a program, empty if it was only looked for. Starts the program with each of
        them, if all are read-only (`READ_ONLY`) and they are at most ten.
        """
        if kind == "program":
            return self._program(subject, by, forms)
        if kind in ("file", "place", "listing", "glob", "link"):
            subject = self._homely(subject)
        elif kind == "library" and re.fullmatch(_LIBC, subject):
            return None
        question = Question(kind, subject, by, "")
        answer, place, stamp = self._answer(question)
        return question._replace(answer=answer, path=place, stamp=stamp)

    def differs(self, question: Question) -> bool:
        """Return whether a question has another answer now.

        A program that was run differs if its file has changed, unless it still prints the same. To find that out, starts it if
        that is allowed and the build ran it with read-only arguments.
        """
        if question.kind == "program":
            return self._program_differs(question)
        answer, place, stamp = self._answer(question)
        return answer != question.answer and not (question.stamp and (place, stamp) == (question.path, question.stamp))

    def stamped(self, question: Question) -> Question:
        """Return a question with the path and stamp of the file that gives the same answer here; unchanged without one.

        Only files, libraries, and programs that ran get them. Starts no program.
        """
        if question.kind in ("file", "library"):
            answer, place, stamp = self._answer(question)
        elif question.kind == "program" and len(question.answer) == _DIGITS:
            found = self._found(question.subject)
            answer, place, stamp = (_file_digest(found), self._homely(found), _stamp(found)) if found else ("", "", "")
        else:
            return question
        return question._replace(path=place, stamp=stamp) if stamp and answer == question.answer else question

    def _answer(self, question: Question) -> tuple[str, str, str]:  # noqa: PLR0911 (one for each kind)
        """Return the answer, and the path and stamp of the file that gives it, "" without one; not for programs.

        If that file still has the path and stamp of *question*, it is not read, and the answer is that of *question*.
        """
        kind, subject = question.kind, question.subject
        if kind == "variable":
            return self._variable(subject), "", ""
        if kind in ("library", "linked"):
            return self._library(question)
        path = self._path(subject)
        if kind == "glob":
            return hashed("\0".join(sorted(glob.glob(path)))), "", ""
        if kind == "listing":
            try:
                return hashed("\0".join(sorted(os.listdir(path)))), "", ""
            except OSError:
                return "", "", ""
        if kind == "place":
            return _kind(path), "", ""
        if kind == "link":
            return hashed(os.readlink(path)) if os.path.islink(path) else "", "", ""
        if kind == "package":
            return self._package(question)
        return self._content(path, question)

    def _variable(self, name: str) -> str:
        value = self.environ.get(name)
        if value is None or (not value and sdist_scan.is_of_tools(name)):
            return ""
        return _SECRET if sdist_scan.is_secret(name) else hashed(value)

    def _content(self, path: str, known: Question) -> tuple[str, str, str]:
        stamp = _stamp(path)
        if stamp and (path, stamp) == (self._path(known.path), known.stamp):
            return known.answer, known.path, stamp
        if not stamp or re.search(_SECRET_FILES, path) or sdist_scan.is_secret(os.path.basename(path)):
            return _kind(path), "", ""
        return _file_digest(path), self._homely(path), stamp

    def _library(self, question: Question) -> tuple[str, str, str]:
        folders = [folder for folder in re.split("[:;]", self.environ.get("LD_LIBRARY_PATH", "")) if folder]
        if question.kind == "linked":
            return hashed("\0".join(shared_libraries.named(question.subject, folders))), "", ""
        place = shared_libraries.first_path(question.subject, folders)
        return self._content(os.path.realpath(place), question) if place else ("", "", "")

    def _package(self, question: Question) -> tuple[str, str, str]:
        """Answer with the ``.pc`` file that pkg-config would take, by the order of its folders (pkg-config(1))."""
        given = self.environ.get("PKG_CONFIG_PATH", "").split(os.pathsep)
        usual = self.environ.get("PKG_CONFIG_LIBDIR", "").split(os.pathsep)
        folders = [*given, *(usual if any(usual) else _pkg_config_folders())]
        places = (os.path.join(folder, f"{question.subject}.pc") for folder in folders if folder)
        place = next(filter(os.path.isfile, places), "")
        return self._content(place, question) if place else ("", "", "")

    def _program(self, name: str, by: str, forms: Sequence[tuple[str, ...]]) -> Question | None:
        """Return the question about a program, which was run with each of *forms*, or only looked for if that is empty.

        None for a program of the environment.
        """
        place = self._found(name)
        runs = [form for form in forms if form]
        if place and (os.path.realpath(place).startswith(self._own) or place.startswith(self._own)):
            return None  # of the environment
        if not forms:
            return Question("program", name, by, "there" if place else "", self._homely(place))
        if not place:
            return Question("program", name, by, "")
        readable = runs and len(runs) == len(forms) and all(re.fullmatch(READ_ONLY, word) for form in runs for word in form)
        said = {" ".join(form): _said(place, form, self.environ) for form in runs[:10]} if readable and len(runs) <= 10 else {}
        return Question("program", name, by, _file_digest(place), self._homely(place), _stamp(place), said)

    def _program_differs(self, question: Question) -> bool:
        place = self._found(question.subject)
        if not place or not question.answer:
            return bool(place) != bool(question.answer)
        is_same_place = place == self._path(question.path)
        if question.answer == "there":
            return not is_same_place
        if is_same_place and (_stamp(place) == question.stamp or _file_digest(place) == question.answer):
            return False
        return not (question.said and self._starts_programs) or any(
            _said(place, tuple(form.split(" ")), self.environ) != said for form, said in question.said.items()
        )

    def _found(self, name: str) -> str:
        if "/" in name:
            path = self._path(name)
            return path if os.path.isfile(path) else ""
        return shutil.which(name, path=self.environ.get("PATH", os.defpath)) or ""

    def _homely(self, path: str) -> str:
        return "~" + path[len(self.home) :] if len(self.home) > 1 and path.startswith(os.path.join(self.home, "")) else path

    def _path(self, subject: str) -> str:
        return self.home + subject[1:] if subject.startswith("~/") else subject


@cache
def _pkg_config_folders() -> list[str]:
    """Return the existing folders in which pkg-config looks if no variable names others."""
    return sorted(path for form in _PKG_CONFIG for path in glob.glob(form))


def _stamp(path: str) -> str:
    """Return size, modification time and inode of a regular file; "" for anything else."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}" if stat.S_ISREG(found.st_mode) else ""


def _kind(path: str) -> str:
    """Return "folder", or "file" (of a library with the name of the file to which its links lead); "" if nothing is there."""
    if os.path.isdir(path):
        return "folder"
    if not os.path.exists(path):
        return ""
    return f"file {os.path.basename(os.path.realpath(path))}" if ".so" in os.path.basename(path) else "file"


def _file_digest(path: str) -> str:
    """Return the digest of a regular file, of a large one that of its `_stamp`; for another path its `_kind`.

    Returns "unreadable" if the file cannot be read.
    """
    stamp = _stamp(path)
    try:
        if not stamp or int(stamp.split(" ", maxsplit=1)[0]) > _LARGEST_FILE:
            return hashed(stamp) if stamp else _kind(path)
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()[:32]
    except OSError:
        return "unreadable"


def _said(program: str, form: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """Start *program* with the arguments *form*, and return the digest of its output, or a word if it gives none in time.

    Does not start it if *form* is not read-only: a record may have come from elsewhere.
    """
    if not all(re.fullmatch(READ_ONLY, word) for word in form):
        return "?"
    try:
        done = subprocess.run(
            [program, *form],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            env=dict(environ),
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return "no answer"
    return hashlib.sha256(done.stdout[:_LARGEST_OUTPUT]).hexdigest()[:32]


def learn(notes: Iterable[tuple[Any, ...]], machine: Machine) -> Watched:
    """Return the questions in the *notes* on a build's steps, with their answers in *machine* (see `Machine.answered`).

    May start programs. If the questions are too large for a record, the result has none of them, and is not ``whole``.
    """
    found = _without_loops([tuple(map(str, note[:3])) + note[3:4] for note in notes if note])
    kinds = {note[0] for note in found}
    programs, asked = _programs(found), list(_asked(found))
    ran = [name for name, (_, forms) in programs.items() if forms and re.fullmatch(_COMPILERS, os.path.basename(name))]
    decides = tuple(sorted({note[1] for note in found if note[0] == "decides" and len(note) > 1}))
    of_source = any(note[0] == "all" and not note[1].startswith("@") for note in found if len(note) > 1)
    compiles = bool(ran or decides)
    # The names that the compilers report count instead (`Conditions.compilers`).
    covered = {("variable", name) for name in ("CC", "CXX") if compiles}
    asked += _packages(programs)
    questions = [machine.answered(kind, subject, by) for kind, subject, by in asked if (kind, subject) not in covered]
    questions += [
        machine.answered("program", name, by, forms)
        for name, (by, forms) in programs.items()
        if not re.fullmatch(_COMPILERS, os.path.basename(name)) and os.path.basename(name) not in _NEUTRAL
    ]
    requires = dict(_version(note[1]) for note in found if note[0] == "requirement" and len(note) > 1)
    isolated = "isolated" in kinds
    if not isolated:
        names = {_version(note[1])[0] for note in found if note[0] in _PEERS and len(note) > 1}
        requires = dict.fromkeys(sorted(names), "")
    made = Watched(
        tuple(question for question in questions if question),
        whole=not decides and not of_source and "cut" not in kinds,
        compiles=compiles,
        native="native" in kinds,
        isolated=isolated,
        decides=decides,
        requires=requires,
    )
    is_small = sum(len(str(question)) for question in made.questions) <= _LARGEST_RECORD
    return made if is_small else made._replace(questions=(), whole=False)


def _without_loops(notes: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return *notes* without the questions of lines that asked for most variables, as a log of the environment does."""
    loops = {("variable", note[1]) for note in notes if note[0] == "loop" and len(note) > 1}
    return [note for note in notes if (note[0], note[-1]) not in loops]


_PEERS = ("module", "distribution")
_KINDS = ("variable", "file", "place", "listing", "glob", "link", "library", "linked")


def _version(info: str) -> tuple[str, str]:
    from pinstall.model.names import normalized

    name, _, version = info.removesuffix(".dist-info").partition("-")
    return normalized(name), version


def _asked(notes: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, subject and asker of each question but those about programs and packages, once.

    Leaves out variables that never count, and the listing of a folder in which a pattern was expanded.
    """
    seen: set[tuple[str, str]] = set()
    patterns = {os.path.dirname(note[1]) for note in notes if note[0] == "glob" and len(note) > 1}
    for note in notes:
        if note[0] not in _KINDS or len(note) < 3:
            continue
        kind, subject, by = note[:3]
        if (kind, subject) in seen or (kind == "listing" and subject in patterns):
            continue
        if kind != "variable" or not sdist_scan.never_counts(subject, of_source=not by.startswith("@")):
            seen.add((kind, subject))
            yield kind, subject, by


def _packages(programs: Mapping[str, tuple[str, list[tuple[str, ...]]]]) -> Iterator[tuple[str, str, str]]:
    """Yield the question about each package of which a build has asked pkg-config, which reads a file for it."""
    for name, (by, forms) in programs.items():
        if os.path.basename(name).endswith(PKG_CONFIG):
            names = {word for form in forms for word in form if re.match(PACKAGE, word)}
            yield from (("package", package, by) for package in sorted(names))


def _programs(notes: Sequence[tuple[Any, ...]]) -> dict[str, tuple[str, list[tuple[str, ...]]]]:
    """Return the asker of each program, by its name, and the arguments of each run; no runs if it was only looked for."""
    found: dict[str, tuple[str, list[tuple[str, ...]]]] = {}
    looks = {(note[1], note[2]) for note in notes if note[0] == "looks" and len(note) > 2}
    for name, by in sorted(looks):
        found.setdefault(name, (by, []))
    for note in notes:
        if note[0] == "program" and len(note) > 3 and isinstance(note[3], tuple):
            forms = found.setdefault(note[1], (note[2], []))[1]
            form = tuple(map(str, note[3]))
            if form not in forms:
                forms.append(form)
    return found


def first_change(then: Watched, machine: Machine) -> str:
    """Describe the first question of a build that has another answer now, as the end of "it was built ..."; "" if none has."""
    return next((described_change(question) for question in then.questions if machine.differs(question)), "")


def described_change(question: Question) -> str:
    """Describe a *question* that has another answer now, as the end of "it was built ...", without any value."""
    kind, subject, answer = question.kind, question.subject, question.answer
    known = {
        "variable": f"with different {subject}",
        "listing": f"when other files were in {subject}",
        "glob": f"when other files matched {subject}",
        "link": f"when the link {subject} was different",
        "package": f"with another {subject}.pc of pkg-config, or without one",
    }
    if kind in known:
        return known[kind]
    if not answer:
        return f"when {subject} was not there"
    return f"with {subject}, which has changed{', has moved' if kind == 'program' else ''} or is gone"


def described(question: Question) -> str:
    """Return one line about a question and its answer, without any value."""
    who = question.by.removeprefix("@")
    who = "the build" if who in ("", ".") else who
    verb = {
        "variable": "asked for",
        "program": "ran" if question.answer and question.answer != "there" else "looked for",
        "file": "read",
        "listing": "listed",
        "link": "followed the link",
        "linked": "looked for the library",
        "package": "asked pkg-config for",
        "library": "loaded",
    }.get(question.kind, "looked for")
    return f"{who} {verb} {question.subject}: {_answered(question)}"


def _answered(question: Question) -> str:
    if question.kind == "variable":
        return {"": "not set", _SECRET: "set, and named like a secret"}.get(question.answer, "set")
    if question.kind in ("glob", "link", "listing", "linked"):
        return "known by a digest"
    if not question.answer:
        return "not there"
    asked = f", asked {', '.join(sorted(question.said))}" if question.said else ""
    return f"there{asked}"


def to_json(watched: Watched) -> dict[str, Any]:
    """Return the JSON document of the questions of a build."""
    questions = [[*question[:-1], dict(question.said)] for question in watched.questions]
    return {**watched._asdict(), "questions": questions, "requires": dict(watched.requires)}


def from_json(document: Any) -> Watched:
    """Read the questions of a build. A damaged document raises `TypeError`, `LookupError`, `ValueError` or `AttributeError`."""
    questions = tuple(Question(*row)._replace(said=dict(row[-1])) for row in document["questions"])
    flags = {name: document[name] is True for name in ("whole", "compiles", "native", "isolated")}
    made = Watched(questions, decides=tuple(document["decides"]), requires=dict(document["requires"]), **flags)
    texts = [text for question in questions for text in (*question[:-1], *question.said, *question.said.values())]
    texts += [*made.decides, *made.requires, *made.requires.values()]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    return made


def moved_on(then: Watched, pins_then: Mapping[str, str], pins_now: Mapping[str, str]) -> str:
    """Return the first build requirement of which *pins_now* has another version than the isolated build *then* got; else "".

    The pins are versions by project. A version that the call of the build had pinned as well (*pins_then*) does not count: it
    has not shaped the build, which pip isolates. Tools such as setuptools do not count, either. Return "" if the build was not
    isolated.
    """
    for name, version in pins_now.items():
        built_with = then.requires.get(name)
        if built_with and then.isolated and name not in _TOOLS and version not in (built_with, pins_then.get(name)):
            return name
    return ""
