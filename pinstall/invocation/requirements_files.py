"""Requirements and constraints files, read as pip reads them (pip 26.3, ``req/req_file.py``)."""

from __future__ import annotations

import codecs
import locale
import os
import re
import shlex
import stat
import sys
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from pinstall.invocation import options
from pinstall.invocation.options import UnreadableCallError
from pinstall.model import links

if TYPE_CHECKING:
    from collections.abc import Iterator

_URL = re.compile(r"(http|https|file):", re.IGNORECASE)
_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_PEP_263 = re.compile(rb"coding[:=]\s*([-\w.]+)")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF16, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
)


class RequirementLine(NamedTuple):
    """A requirement as written, with its marker, its ``--hash`` values (``algorithm:hex``) and its ``place``.

    ``place`` is ``argument`` for one on the command line, else such as ``r.txt, line 1``. ``settings`` are the config settings
    that apply to it (``key=value``). ``locked`` is the URL of the one file that a lock file allows, else "". ``derived`` is
    True if the ``pyproject.toml`` of a local project states it as a dependency: what the project really needs, its build
    decides.
    """

    text: str
    place: str
    constraint: bool = False
    editable: bool = False
    hashes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    locked: str = ""
    derived: bool = False


class OptionLine(NamedTuple):
    """A line with options only, but not ``-r``, ``-c``, ``-e``: its ``values`` by ``dest``, and the ``folder`` of the file."""

    values: dict[str, Any]
    folder: str


class FormatOptions(NamedTuple):
    """The ``--no-binary`` and ``--only-binary`` of a line, as (option, value). pip also applies those beside a requirement."""

    pairs: list[tuple[str, str]]


class UnreadSource(NamedTuple):
    """A source of requirements that pinstall cannot check, and the reason; both are texts for the user.

    For `install`, the source may be a whole call. ``once`` is True if it can be read only once.
    """

    source: str
    reason: str
    once: bool = False


def read(
    path: str, *, constraint: bool, pip: options.Version
) -> Iterator[RequirementLine | OptionLine | FormatOptions | UnreadSource]:
    """Yield the lines of the file *path*. Where an option names a nested file, yield the lines of that file instead.

    *constraint* tells whether the file's own lines are constraints. Those of a nested file are if ``-c`` names it, and are not
    if ``-r`` does.

    Reads regular files only: a pipe or device would be empty when pip reads it, and only pip fetches a URL (other than
    ``file:``). These are yielded as `UnreadSource`. Raises `UnreadableCallError`, while lines are taken, if a file cannot be
    read or pip would refuse it.
    """
    yield from _File(options.make_parser(options.file_table(pip))).read(path, constraint, (os.path.abspath(path),))


class _File:
    """Reads one file and the files that it names. pip refuses a file that names itself, directly or indirectly."""

    def __init__(self, parser: Any) -> None:
        self.parser = parser

    def read(
        self, path: str, constraint: bool, open_files: tuple[str, ...]
    ) -> Iterator[RequirementLine | OptionLine | FormatOptions | UnreadSource]:
        data = regular(path)
        if isinstance(data, UnreadSource):
            yield data
            return
        for number, text in _logical_lines(_decode(data)):
            requirement, arguments = _split(text)
            values, _ = options.parse(self.parser, arguments, {})
            if values["format_control"]:
                yield FormatOptions(values["format_control"])
            editable = bool(values["editables"])
            if requirement or editable:
                place = f"{shown(path)}, line {number}"
                hashes = () if editable else tuple(values["hashes"] or ())  # pip ignores the hashes of an editable
                settings = tuple(values.get("config_settings") or ())
                yield RequirementLine(requirement or values["editables"][0], place, constraint, editable, hashes, settings)
            elif values["requirements"] or values["constraints"]:
                nested = (values["requirements"] or values["constraints"])[0]
                if is_url(path):
                    nested = urljoin(path, nested)
                elif not is_url(nested):
                    nested = os.path.abspath(os.path.join(os.path.dirname(path), nested))
                if nested in open_files:
                    raise UnreadableCallError(f"{nested} refers to itself")
                yield from self.read(nested, not values["requirements"], (*open_files, nested))
            else:
                yield OptionLine(values, os.path.dirname(os.path.abspath(path)))


def shown(path: str) -> str:
    """Return *path* as shown to the user: an absolute one inside of the current folder is made relative, others stay."""
    try:
        relative = os.path.relpath(path) if os.path.isabs(path) else path
    except ValueError:  # on another drive
        return path
    return path if relative.startswith("..") else relative


def is_url(path: str) -> bool:
    """Return whether pip treats the name of a file as a URL: it begins with ``http:``, ``https:`` or ``file:``."""
    return _URL.match(path) is not None


def regular(path: str) -> bytes | UnreadSource:
    """Return the content of a regular file at *path*, which may be a ``file:`` URL; `UnreadSource` for any other source.

    Follows symbolic links. Raises `UnreadableCallError` if the file is missing or cannot be read.
    """
    try:
        if is_url(path):
            if urlsplit(path).scheme.lower() != "file":
                return UnreadSource(
                    links.without_secrets(path),
                    "pinstall does not read files from URLs; to have it checked, download it and use the copy",
                )
            path = links.to_path(path)
        if not stat.S_ISREG(os.stat(path).st_mode):
            return UnreadSource(
                path, "it is a pipe or device, which can be read only once; to have it checked, save it to a file", once=True
            )
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: an invalid URL or file name
        raise UnreadableCallError(f"{path} cannot be read") from error


def _decode(data: bytes) -> str:
    """Decode *data* by its byte order mark, else by its PEP 263 comment, else as UTF-8, and if that fails by the locale.

    Raises `UnreadableCallError` if it cannot be decoded so.
    """
    try:
        for bom, encoding in _BOMS:
            if data.startswith(bom):
                return data[len(bom) :].decode(encoding)
        for line in data.split(b"\n")[:2]:
            if line[:1] == b"#" and (named := _PEP_263.search(line)):
                return data.decode(named[1].decode("ascii"))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode(locale.getpreferredencoding(do_setlocale=False) or sys.getdefaultencoding())
    except (UnicodeDecodeError, LookupError) as error:
        raise UnreadableCallError("a requirements file cannot be decoded") from error


def _logical_lines(content: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, text): with continued lines joined, comments removed and ``${VARIABLES}`` expanded.

    Variables of this process that are unset or empty stay as they are; empty lines are left out.
    """
    for number, joined in _joined(content):
        text = _COMMENT.sub("", joined).strip()
        if text:
            yield number, _VARIABLE.sub(lambda m: os.environ.get(m[1]) or m[0], text)


def _joined(content: str) -> Iterator[tuple[int, str]]:
    parts: list[str] = []
    first = 0
    for number, line in enumerate(content.splitlines(), start=1):
        comment = _COMMENT.match(line)
        if line.endswith("\\") and not comment:
            first = first if parts else number
            parts.append(line.strip("\\"))
            continue
        # A comment ends continued lines. Without the space, it would not be recognised as a comment after joining.
        yield first if parts else number, "".join([*parts, f" {line}" if comment else line])
        parts = []
    if parts:
        yield first, "".join(parts)


def _split(text: str) -> tuple[str, list[str]]:
    """Split a line into the requirement and the options, which begin with the first word that begins with a dash.

    Raises `UnreadableCallError` for an unclosed quote.
    """
    words = text.split(" ")
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    try:
        return " ".join(words[:first]), shlex.split(" ".join(words[first:]))
    except ValueError as error:
        raise UnreadableCallError(f"cannot be split into options: {text}") from error
