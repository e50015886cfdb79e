"""pip's configuration: ``PIP_*`` variables and ``pip.conf`` files, in pip's order (pip 26.3, ``configuration.py``)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from pinstall.invocation.options import UnreadableCallError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pinstall.invocation.options import Row

_TRUE = ("y", "yes", "t", "true", "on", "1")
_FALSE = ("n", "no", "f", "false", "off", "0")
_NOT_CONFIGURATION = ("version", "help")


def defaults(rows: Iterable[Row], environ: Mapping[str, str], prefix: str, *, isolated: bool) -> dict[str, Any]:
    """Return the values, by ``dest``, that the configuration gives to the options *rows*.

    *prefix* is that of the environment (its ``pip.conf`` is the "site" file). With *isolated*, variables and the user's
    files do not count. Raises `UnreadableCallError` for what pip would refuse.
    """
    by_name = {name[2:]: row for row in rows for name in row.names.split() if name.startswith("--")}
    found: dict[str, Any] = {}
    off = False
    for name, text in _settings(environ, prefix, isolated=isolated):
        row = by_name.get(name)
        if row is not None and text:
            found[row.dest] = _value(row, text, found.get(row.dest))
            off = off or row.action == "off"
    return {**found, "cache_dir": False} if off else found  # whatever else is configured: pip reads callbacks last


def _value(row: Row, text: str, before: Any) -> Any:
    match row.action:
        case "flag" | "unflag":
            return _boolean(text)
        case "count":
            return _count(text)
        case "list":
            return text.split()
        case "raw" | "pair":
            return [*(before or ()), text if row.action == "raw" else (row.names, text)]
        case "off":  # any boolean turns the cache off, "false" too (pip: kept for compatibility)
            _boolean(text)
            return False
        case _:
            return text


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if is_false(text):
        return False
    raise UnreadableCallError(f"{text!r} is not a boolean value")


def is_false(text: str) -> bool:
    """Say whether the value of a variable turns off what it names (``_internal/utils/misc.strtobool``)."""
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


def _settings(environ: Mapping[str, str], prefix: str, *, isolated: bool) -> Iterator[tuple[str, str]]:
    """Yield (option name, text), the stronger ones later: [global], then [install], then variables (to pip, a section too)."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for path in files(environ, prefix, isolated=isolated):
        if os.path.exists(path):
            for section, items in _read(path).items():
                sections.setdefault(section, {}).update(items)
    if not isolated:
        for variable, text in environ.items():
            name = variable[4:].lower()
            if variable.startswith("PIP_") and name not in _NOT_CONFIGURATION:
                sections[":env:"][_normalize(name)] = text
    for section in ("global", "install", ":env:"):
        yield from sections[section].items()


def _normalize(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _read(path: str) -> dict[str, dict[str, str]]:
    import configparser  # 10 ms, and most people have no such file
    import locale

    reader = configparser.RawConfigParser()
    reader.optionxform = _normalize  # type: ignore[assignment,method-assign]
    try:
        reader.read(path, encoding="utf-8" if sys.flags.utf8_mode else locale.getpreferredencoding(do_setlocale=False))
        return {section: dict(reader.items(section)) for section in reader.sections()}
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UnreadableCallError(f"{path} cannot be read as a configuration file") from error


def files(environ: Mapping[str, str], prefix: str, *, isolated: bool) -> list[str]:
    """Return pip's configuration files, weakest first, whether they exist or not."""
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    user = [] if isolated or (own and os.path.exists(own)) else _user_folders(environ)
    folders = [*_global_folders(environ), *user, prefix]
    return [os.path.join(folder, name) for folder in folders] + ([own] if own is not None else [])


# pip's own folders come from platformdirs. On Linux its answer is two variables; elsewhere it is asked.
if sys.platform in ("win32", "darwin"):  # pragma: no cover

    def _global_folders(_environ: Mapping[str, str]) -> list[str]:
        import platformdirs

        if sys.platform == "darwin":
            return platformdirs.site_data_dir("pip", appauthor=False, multipath=True).split(os.pathsep)
        return [platformdirs.site_config_dir("pip", appauthor=False)]

    def _user_folders(_environ: Mapping[str, str]) -> list[str]:
        import platformdirs

        home = os.path.expanduser("~")
        if sys.platform == "darwin":
            data = platformdirs.user_data_dir("pip", appauthor=False, roaming=True)
            return [os.path.join(home, ".pip"), data if os.path.isdir(data) else os.path.join(home, ".config", "pip")]
        return [os.path.join(home, "pip"), platformdirs.user_config_dir("pip", appauthor=False, roaming=True)]

    def cache_folder(_environ: Mapping[str, str]) -> str:
        """Return pip's default cache folder."""
        import platformdirs

        return platformdirs.user_cache_dir("pip", appauthor=False)

else:

    def _xdg(environ: Mapping[str, str], variable: str, default: str) -> str:
        """Return an XDG base directory; relative ones do not count (XDG Base Directory Specification 0.8)."""
        folder = environ.get(variable, "").strip()
        return folder if os.path.isabs(folder) else os.path.join(os.path.expanduser("~"), default)

    def _global_folders(environ: Mapping[str, str]) -> list[str]:
        bases = [base.strip() for base in environ.get("XDG_CONFIG_DIRS", "").split(os.pathsep)]
        bases = [base for base in bases if os.path.isabs(base)] or ["/etc/xdg"]
        return [os.path.join(base, "pip") for base in bases] + ["/etc"]

    def _user_folders(environ: Mapping[str, str]) -> list[str]:
        legacy = os.path.join(os.path.expanduser("~"), ".pip")
        return [legacy, os.path.join(_xdg(environ, "XDG_CONFIG_HOME", ".config"), "pip")]

    def cache_folder(environ: Mapping[str, str]) -> str:
        """Return pip's default cache folder."""
        return os.path.join(_xdg(environ, "XDG_CACHE_HOME", ".cache"), "pip")
