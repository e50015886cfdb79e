"""The call: what the user asked of pip, in arguments, variables, configuration and requirements files. Read, not rewritten."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall.call import config, options, requirements
from pinstall.call.requirements import Line, OptionLine, Unread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PYPI = "https://pypi.org/simple"


class Call(NamedTuple):
    """What pip was asked, as far as pinstall needs it.

    ``values`` are those of all options by pip's own names; ``index_urls`` is empty under ``--no-index``; ``cache_dir`` is
    pip's cache folder or None if this call has none; ``verbosity`` counts ``-v`` less ``-q``.
    """

    lines: tuple[Line, ...]
    index_urls: tuple[str, ...]
    find_links: tuple[str, ...]
    cache_dir: str | None
    verbosity: int
    values: dict[str, Any]
    unread: tuple[Unread, ...]

    def has(self, *dests: str) -> bool:
        """Say whether any of these options (by ``dest``) was given."""
        return any(self.values.get(dest) for dest in dests)


def read(argv: Sequence[str], environ: Mapping[str, str], prefix: str, pip: options.Version) -> Call:
    """Read a call of the pip of version *pip* that serves the environment at *prefix*.

    Raises `UnreadableCallError` where pip would refuse the call or pinstall does not know an option of it: the call is
    then forwarded as it is.
    """
    rows = tuple(options.table(pip))
    parser = options.parser(iter(rows))
    isolated = "--isolated" in argv  # as pip looks for it: before it parses anything
    defaults = config.defaults(rows, environ, prefix, isolated=isolated)
    values, positional = options.parse(parser, argv, defaults)
    return _Reading(values, pip).call(positional, environ)


class _Reading:
    """Gathers lines and places to search; options within files change those for the whole call, as in pip."""

    def __init__(self, values: dict[str, Any], pip: options.Version) -> None:
        self.values, self.pip = values, pip
        self.lines: list[Line] = []
        self.unread: list[Unread] = []
        self.no_index = bool(values.get("no_index"))
        index_url = values.get("index_url")
        first = PYPI if index_url is None else index_url
        self.index_urls = [] if self.no_index else [first, *(values.get("extra_index_urls") or ())]
        self.find_links = [_home(link) for link in values.get("find_links") or ()]

    def call(self, positional: list[str], environ: Mapping[str, str]) -> Call:
        # pip's order: constraints first, so that their options come first.
        for path in self.values.get("constraints") or ():
            self._file(path, constraint=True)
        self.lines += [Line(text, "argument") for text in positional if text.strip()]
        self.lines += [Line(text, "argument", editable=True) for text in self.values.get("editables") or ()]
        for path in self.values.get("requirements") or ():
            self._file(path, constraint=False)
        return Call(
            tuple(self.lines),
            tuple(self.index_urls),
            tuple(self.find_links),
            _cache_dir(self.values.get("cache_dir"), environ),
            (self.values.get("verbose") or 0) - (self.values.get("quiet") or 0),
            self.values,
            tuple(self.unread),
        )

    def _file(self, path: str, *, constraint: bool) -> None:
        if not constraint and os.path.basename(path).startswith("pylock.") and path.endswith(".toml"):
            self.unread.append(Unread(path, "pinstall does not read lock files yet"))
            return
        for found in requirements.read(path, constraint=constraint, pip=self.pip):
            match found:
                case Line():
                    self.lines.append(found)
                case Unread():
                    self.unread.append(found)
                case OptionLine():
                    self._option_line(found)

    def _option_line(self, line: OptionLine) -> None:
        values = line.values
        if values["no_index"]:
            self.no_index, self.index_urls = True, []
        if values["index_url"] and not self.no_index:
            self.index_urls = [values["index_url"]]
        if values["extra_index_urls"] and not self.no_index:
            self.index_urls += values["extra_index_urls"]
        if values["find_links"]:
            beside = os.path.join(line.folder, values["find_links"][0])
            self.find_links.append(beside if os.path.exists(beside) else values["find_links"][0])


def _home(link: str) -> str:
    expanded = os.path.expanduser(link) if link.startswith("~") else link
    return expanded if os.path.exists(expanded) else link


def _cache_dir(value: str | bool | None, environ: Mapping[str, str]) -> str | None:
    if value is False or value == "":
        return None
    folder = os.path.realpath(os.path.expanduser(value) if isinstance(value, str) else config.cache_folder(environ))
    return folder if _is_ours(folder) else None


def _is_ours(folder: str) -> bool:
    """Say whether pip uses this cache folder: not if it belongs to somebody else (``utils/filesystem.check_path_owner``)."""
    if not hasattr(os, "geteuid"):  # pragma: no cover (Windows)
        return True
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if os.geteuid() != 0:
        return os.access(folder, os.W_OK)
    try:
        return os.stat(folder).st_uid == 0
    except OSError:
        return False
