"""pip's configuration: ``PIP_*`` variables and ``pip.conf`` files, in pip's order (pip 26.3, ``configuration.py``)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from pinstall.invocation.options import UnreadableCallError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pinstall.invocation.options import Option

_TRUE = ("y", "yes", "t", "true", "on", "1")
_FALSE = ("n", "no", "f", "false", "off", "0")
_NOT_CONFIGURATION = ("version", "help")


def defaults(
    rows: Iterable[Option], environ: Mapping[str, str], prefix: str, command: str, *, isolated: bool
) -> dict[str, Any]:
    """Return the configured values of the options *rows* of a pip *command*, by ``dest``.

    Options that are not set, or are set to an empty text, are left out. *prefix* is the environment's; its ``pip.conf`` is
    pip's "site" file. With *isolated*, pip ignores the user's files, and all variables but ``PIP_CONFIG_FILE``. Numbers, except
    counts, stay text. Raises `UnreadableCallError` for a file, boolean or count that pip would refuse.
    """
    by_name = {name[2:]: row for row in rows for name in row.names.split() if name.startswith("--")}
    found: dict[str, Any] = {}
    off = False
    for name, text in _settings(environ, prefix, command, isolated=isolated):
        row = by_name.get(name)
        if row is not None and text:
            try:
                found[row.dest] = _value(row, text, found.get(row.dest))
            except UnreadableCallError as error:
                variable = f"PIP_{name.upper().replace('-', '_')}"
                raise UnreadableCallError(f"{error}, as {name} in pip.conf or {variable} must be") from error
            off = off or row.action == "off"
    return {**found, "cache_dir": False} if off else found  # overrides a configured cache-dir: pip runs callbacks last


def _value(row: Option, text: str, before: Any) -> Any:
    match row.action:
        case "flag" | "unflag":
            return _boolean(text)
        case "count":
            return _count(text)
        case "list":
            return text.split()
        case "raw" | "pair":
            return [*(before or ()), text if row.action == "raw" else (row.names, text)]
        case "off":  # for compatibility, pip turns the cache off for any boolean, also for "false"
            _boolean(text)
            return False
        case _:
            return text


def _boolean(text: str) -> bool:
    if is_true(text):
        return True
    if is_false(text):
        return False
    raise UnreadableCallError(f"{text!r} is not a boolean value")


def is_true(text: str) -> bool:
    """Return whether the text of a setting means true (``_internal/utils/misc.strtobool``)."""
    return text.lower() in _TRUE


def is_false(text: str) -> bool:
    """Return whether the text of a setting means false (``_internal/utils/misc.strtobool``)."""
    return text.lower() in _FALSE


def _count(text: str) -> int:
    if text.lower() in _TRUE + _FALSE:
        return int(_boolean(text))
    try:
        if (count := int(text)) >= 0:
            return count
    except ValueError:
        pass
    raise UnreadableCallError(f"{text!r} is not a count")


def _settings(environ: Mapping[str, str], prefix: str, command: str, *, isolated: bool) -> Iterator[tuple[str, str]]:
    """Yield (option name without leading dashes, text) from [global], then [COMMAND], then the variables.

    Later ones override earlier ones. Raises `UnreadableCallError` if a configuration file cannot be parsed.
    """
    sections: dict[str, dict[str, str]] = {"global": {}, command: {}, ":env:": {}}
    for path in files(environ, prefix, isolated=isolated):
        if os.path.exists(path):
            for section, items in _read(path).items():
                sections.setdefault(section, {}).update(items)
    if not isolated:
        for variable, text in environ.items():
            name = variable[4:].lower()
            if variable.startswith("PIP_") and name not in _NOT_CONFIGURATION:
                sections[":env:"][_normalize(name)] = text
    for section in ("global", command, ":env:"):
        yield from sections[section].items()


def _normalize(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _read(path: str) -> dict[str, dict[str, str]]:
    import configparser  # takes 10 ms, and most users have no such file
    import locale

    reader = configparser.RawConfigParser()
    reader.optionxform = _normalize  # type: ignore[assignment,method-assign]
    try:
        reader.read(path, encoding="utf-8" if sys.flags.utf8_mode else locale.getpreferredencoding(do_setlocale=False))
        return {section: dict(reader.items(section)) for section in reader.sections()}
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UnreadableCallError(f"{path} is not a configuration file") from error


def files(environ: Mapping[str, str], prefix: str, *, isolated: bool) -> list[str]:
    """Return the paths of pip's configuration files, existing or not. Later ones override earlier ones.

    The file that ``PIP_CONFIG_FILE`` names comes last. If it exists, or with *isolated*, the user's files are left out. If it
    is the null device, the list is empty.
    """
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    system = _SYSTEMS.get(sys.platform, _Linux)
    user = [] if isolated or (own and os.path.exists(own)) else system.users(environ)
    folders = [*system.everybodys(environ), *user, prefix]
    return [os.path.join(folder, name) for folder in folders] + ([own] if own is not None else [])


def heeded(environ: Mapping[str, str], pip: tuple[int, ...]) -> Mapping[str, str]:
    """Return *environ* as version *pip* of pip heeds it: on macOS, without ``XDG_*`` variables for pip before 26.2."""
    if sys.platform == "darwin" and pip < (26, 2):
        return {name: value for name, value in environ.items() if not name.startswith("XDG_")}
    return environ


# pip takes its folders from platformdirs. Except on Windows they follow from XDG variables, the home and, on macOS, Homebrew.


def _xdg(environ: Mapping[str, str], variable: str, default: str) -> str:
    """Return the XDG base directory that *variable* names, if it is absolute, else *default* below the home (XDG 0.8)."""
    folder = environ.get(variable, "").strip()
    return folder if os.path.isabs(folder) else os.path.join(os.path.expanduser("~"), default)


def _xdg_list(environ: Mapping[str, str], variable: str) -> list[str]:
    bases = [base.strip() for base in environ.get(variable, "").split(os.pathsep)]
    return [os.path.join(base, "pip") for base in bases if os.path.isabs(base)]


class _Linux:
    """Pip's folders on Linux and other systems like it."""

    @staticmethod
    def everybodys(environ: Mapping[str, str]) -> list[str]:
        return [*(_xdg_list(environ, "XDG_CONFIG_DIRS") or ["/etc/xdg/pip"]), "/etc"]

    @staticmethod
    def users(environ: Mapping[str, str]) -> list[str]:
        legacy = os.path.join(os.path.expanduser("~"), ".pip")
        return [legacy, os.path.join(_xdg(environ, "XDG_CONFIG_HOME", ".config"), "pip")]

    @staticmethod
    def cache(environ: Mapping[str, str]) -> str:
        return os.path.join(_xdg(environ, "XDG_CACHE_HOME", ".cache"), "pip")


class _Mac:
    """Pip's folders on macOS."""

    @staticmethod
    def everybodys(environ: Mapping[str, str]) -> list[str]:
        homebrew = ["/opt/homebrew/share/pip"] if sys.base_prefix.startswith("/opt/homebrew") else []
        return _xdg_list(environ, "XDG_DATA_DIRS") or [*homebrew, "/Library/Application Support/pip"]

    @staticmethod
    def users(environ: Mapping[str, str]) -> list[str]:
        data = os.path.join(_xdg(environ, "XDG_DATA_HOME", "Library/Application Support"), "pip")
        home = os.path.expanduser("~")
        return [os.path.join(home, ".pip"), data if os.path.isdir(data) else os.path.join(home, ".config", "pip")]

    @staticmethod
    def cache(environ: Mapping[str, str]) -> str:
        return os.path.join(_xdg(environ, "XDG_CACHE_HOME", "Library/Caches"), "pip")


class _Windows:
    """Pip's folders on Windows, which the system names."""

    @staticmethod
    def everybodys(_environ: Mapping[str, str]) -> list[str]:
        import platformdirs

        return [platformdirs.site_config_dir("pip", appauthor=False)]

    @staticmethod
    def users(_environ: Mapping[str, str]) -> list[str]:
        import platformdirs

        own = platformdirs.user_config_dir("pip", appauthor=False, roaming=True)
        return [os.path.join(os.path.expanduser("~"), "pip"), own]

    @staticmethod
    def cache(_environ: Mapping[str, str]) -> str:
        import platformdirs

        return platformdirs.user_cache_dir("pip", appauthor=False)


_SYSTEMS: dict[str, type[_Linux | _Mac | _Windows]] = {"darwin": _Mac, "win32": _Windows}


def cache_folder(environ: Mapping[str, str]) -> str:
    """Return pip's default cache folder; *environ* has been filtered by `heeded`."""
    return _SYSTEMS.get(sys.platform, _Linux).cache(environ)
