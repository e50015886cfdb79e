"""Read a call of pip from its arguments, variables, configuration and requirements files. Nothing here changes the call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall.invocation import options, pip_config, requirements_files, toml_sources
from pinstall.invocation.format_control import FormatControl, named
from pinstall.invocation.options import UnreadableCallError
from pinstall.invocation.requirements_files import FormatOptions, OptionLine, RequirementLine, UnreadSource
from pinstall.invocation.toml_sources import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PYPI = "https://pypi.org/simple"


class Invocation(NamedTuple):
    """A call of pip, as far as pinstall needs it.

    ``command`` is ``install``, ``download``, ``wheel`` or ``lock``. ``lines`` are its requirements and constraints, with the
    dependencies of projects in local folders unless ``--no-deps`` is set. ``locks`` are its lock files, which `unlocked`
    resolves for an environment. ``index_urls`` has every index of the call: PyPI as well, unless the call replaces it. It is
    empty under ``--no-index``. ``cache_dir`` is the resolved path of pip's cache folder; None if pip uses no cache (see
    `why_no_cache`). ``verbosity`` is the number of ``-v`` minus that of ``-q``.

    ``values`` are those of all options by pip's names (``dest``), from arguments, variables and configuration; None if not set.
    Of the options in requirements files only indexes, ``--find-links``, formats, ``--require-hashes`` and
    ``--no-require-hashes`` count, and ``values`` has only the formats (``format_control``) and the last two. ``formats`` are
    the formats after all these options. ``unread`` are the sources of requirements that only pip can read.
    """

    command: str
    lines: tuple[RequirementLine, ...]
    locks: tuple[Lock, ...]
    index_urls: tuple[str, ...]
    find_links: tuple[str, ...]
    cache_dir: str | None
    verbosity: int
    values: dict[str, Any]
    formats: FormatControl
    unread: tuple[UnreadSource, ...]

    @property
    def is_quiet(self) -> bool:
        """Whether the user wants no progress bars."""
        return self.verbosity < 0 or self.values.get("progress_bar") == "off"

    @property
    def installs(self) -> bool:
        """Whether the command is ``install``, for which installed distributions count; also for ``--target``, ``--dry-run``."""
        return self.command == "install"

    @property
    def refreshed(self) -> frozenset[str]:
        """The projects whose pages pip never uses without asking the server (``--refresh-package``); ``:all:`` for all."""
        found: set[str] = set()
        for value in self.values.get("refresh_package") or ():
            found = named(found, value)
        return frozenset(found)

    def has(self, *dests: str) -> bool:
        """Return whether any of these ``values`` is true.

        *dests* are pip's names. An option such as ``--no-build-isolation`` sets its value to False: that is not found.
        """
        return any(self.values.get(dest) for dest in dests)


def read(
    argv: Sequence[str], environ: Mapping[str, str], prefix: str, pip: options.Version, command: str = "install"
) -> Invocation:
    """Read a call with the arguments *argv* after a *command* of version *pip* of pip, for the environment at *prefix*.

    An unknown version *pip*, ``()``, has the options of the newest. Raises `UnreadableCallError` if pip would refuse the call,
    or if pinstall does not know one of its options; `FileNotFoundError` if the current folder is needed and is gone.
    """
    environ = pip_config.heeded(environ, pip)
    rows = tuple(options.table(pip, command))
    parser = options.make_parser(iter(rows))
    isolated = "--isolated" in argv  # pip looks for it in this way, before it parses the arguments
    defaults = pip_config.defaults(rows, environ, prefix, command, isolated=isolated)
    values, positional = options.parse(parser, argv, defaults)
    return _Collector(values, pip).call(command, positional, environ)


def unlocked(call: Invocation, markers: Mapping[str, str], tags: Sequence[str] | None) -> Invocation:
    """Return *call* with the requirements that its lock files select for an environment added to its ``lines``.

    A lock file that only pip can read is added to ``unread``. The ``locks`` of the result are empty. See `toml_sources.locked`
    for *markers*, *tags* and errors.
    """
    found = [line for lock in call.locks for line in toml_sources.locked(lock, markers, tags)]
    lines = tuple(line for line in found if isinstance(line, RequirementLine))
    return call._replace(
        lines=call.lines + lines, unread=(*call.unread, *(u for u in found if isinstance(u, UnreadSource))), locks=()
    )


class _Collector:
    """Collects requirements, indexes, folders and formats. Options within files change the last three for the whole call."""

    def __init__(self, values: dict[str, Any], pip: options.Version) -> None:
        self.values, self.pip = values, pip
        self.lines: list[RequirementLine] = []
        self.unread: list[UnreadSource] = []
        self.locks: dict[str, Lock] = {}
        self.groups: list[tuple[str, str]] = []
        self.files: list[str] = []  # requirements files and `locks`, in pip's order
        self.formats = FormatControl().after(values.get("format_control") or ())
        self._sort()
        self.no_index = bool(values.get("no_index"))
        index_url = values.get("index_url")
        first = PYPI if index_url is None else index_url
        self.index_urls = [] if self.no_index else [first, *(values.get("extra_index_urls") or ())]
        self.find_links = [_home(link) for link in values.get("find_links") or ()]

    def call(self, command: str, positional: list[str], environ: Mapping[str, str]) -> Invocation:
        # pip reads constraints first, so their options come first, too.
        for path in self.values.get("constraints") or ():
            self._file(path, constraint=True)
        settings = tuple(self.values.get("config_settings") or ())
        self.lines += [RequirementLine(text, "argument", settings=settings) for text in positional if text.strip()]
        for path, name in self.groups:
            self._take(toml_sources.group(path, name))
        self.lines += [RequirementLine(text, "argument", editable=True) for text in self.values.get("editables") or ()]
        for path in self.files:
            if path in self.locks:
                # pip reads it now: the format options of later files do not apply. Before 26.3 no format options do.
                if self.pip >= (26, 3):
                    self.locks[path] = self.locks[path]._replace(formats=self.formats)
            else:
                self._file(path, constraint=False)
        for path in self.values.get("requirements_from_scripts") or ():
            self._take(toml_sources.script(path))
        if not self.values.get("ignore_dependencies"):
            self.lines += [found for line in self.lines if not line.constraint for found in toml_sources.dependencies(line)]
        return Invocation(
            command,
            tuple(self.lines),
            tuple(self.locks.values()),
            tuple(self.index_urls),
            tuple(self.find_links),
            _cache_dir(self.values.get("cache_dir"), environ),
            (self.values.get("verbose") or 0) - (self.values.get("quiet") or 0),
            self.values,
            self.formats,
            tuple(self.unread),
        )

    def _sort(self) -> None:
        """Separate lock files from requirements files, and their groups from those of projects (``cli/req_command.py``)."""
        reads_locks, reads_parts_of_locks = self.pip >= (26, 1), self.pip >= (26, 3)
        for path in self.values.get("requirements") or ():
            bare, extras = toml_sources.without_extras(path) if reads_parts_of_locks else (path, ())
            if reads_locks and toml_sources.is_lock(bare):
                self._lock(bare, extras, (), default=True)
            else:
                self.files.append(path)
        for value in self.values.get("dependency_groups") or ():
            path, colon, name = value.rpartition(":")
            bare, extras = toml_sources.without_extras(path)
            if not colon or os.path.basename(path) == "pyproject.toml":
                self.groups.append((path or "pyproject.toml", name))
            elif reads_parts_of_locks and toml_sources.is_lock(bare) and not requirements_files.is_url(bare):
                self._lock(bare, extras, (name,), default=False)
            else:
                raise UnreadableCallError(f"{path} holds no groups")

    def _lock(self, path: str, extras: tuple[str, ...], groups: tuple[str, ...], *, default: bool) -> None:
        if path not in self.locks:
            self.files.append(path)
        before = self.locks.get(path, Lock(path))
        self.locks[path] = Lock(path, before.extras + extras, before.groups + groups, before.default or default)

    def _file(self, path: str, *, constraint: bool) -> None:
        self._take(requirements_files.read(path, constraint=constraint, pip=self.pip))

    def _take(self, found: Iterator[RequirementLine | OptionLine | FormatOptions | UnreadSource]) -> None:
        for item in found:
            match item:
                case RequirementLine():
                    self.lines.append(item)
                case UnreadSource():
                    self.unread.append(item)
                case OptionLine():
                    self._option_line(item)
                case FormatOptions():
                    self.formats = self.formats.after(item.pairs)
                    self.values["format_control"] = [*(self.values.get("format_control") or ()), *item.pairs]

    def _option_line(self, line: OptionLine) -> None:
        values = line.values
        if values["no_index"]:
            self.no_index, self.index_urls = True, []
        if values["index_url"] and not self.no_index:
            self.index_urls = [values["index_url"]]
        if values["extra_index_urls"] and not self.no_index:
            self.index_urls += values["extra_index_urls"]
        if values["find_links"]:
            relative = os.path.join(line.folder, values["find_links"][0])
            self.find_links.append(relative if os.path.exists(relative) else values["find_links"][0])
        for dest in ("require_hashes", "no_require_hashes"):
            if values.get(dest):  # pip before 26.2 has no --no-require-hashes
                self.values[dest] = True


def _home(link: str) -> str:
    expanded = os.path.expanduser(link) if link.startswith("~") else link
    return expanded if os.path.exists(expanded) else link


def _cache_dir(value: str | bool | None, environ: Mapping[str, str]) -> str | None:
    if value is False or value == "":
        return None
    folder = _folder(value, environ)
    return folder if _pip_uses(_existing(folder)) else None


def _folder(value: str | bool | None, environ: Mapping[str, str]) -> str:
    return os.path.realpath(os.path.expanduser(value) if isinstance(value, str) else pip_config.cache_folder(environ))


def why_no_cache(call: Invocation, environ: Mapping[str, str], pip: options.Version) -> str:
    """Return why a *call* whose ``cache_dir`` is None has no cache (a setting, or the folder's owner), and the remedy.

    *environ* are the variables with which the call was read, for this version of *pip*.
    """
    value = call.values.get("cache_dir")
    if value is False or value == "":
        return "PIP_NO_CACHE_DIR or another setting of pip turns it off; name a folder with --cache-dir"
    folder = _existing(_folder(value, pip_config.heeded(environ, pip)))
    advice = "name another folder with --cache-dir"
    if not hasattr(os, "geteuid"):
        return f"you have no permission to write to {folder}; {advice}"
    if os.geteuid() != 0:
        return f"you have no permission to write to {folder}, which belongs to {_owner(folder)}; {advice}"
    return f"{folder} belongs to {_owner(folder)}, and root does not use it; run the command as that user, or with sudo -H"


def _owner(path: str) -> str:
    import pwd

    number = os.stat(path).st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _existing(folder: str) -> str:
    """Return the path *folder* if it exists, else the nearest one above it that does."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return folder


def _pip_uses(folder: str) -> bool:
    """Return whether pip uses this cache folder (``utils/filesystem.check_path_owner``).

    For root, the folder must be root's; for others, it must be writable. On Windows, pip uses any folder.
    """
    if not hasattr(os, "geteuid"):  # pragma: no cover (Windows)
        return True
    if os.geteuid() != 0:
        return os.access(folder, os.W_OK)
    try:
        return os.stat(folder).st_uid == 0
    except OSError:
        return False
