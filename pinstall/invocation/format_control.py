"""The formats (wheels, sdists) in which pip may take a project from indexes and folders, according to its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall.invocation.options import UnreadableCallError
from pinstall.model.names import normalized

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_BINARY, _ONLY_BINARY = "--no-binary", "--only-binary"
_ALL, _NONE = ":all:", ":none:"


def named(before: Iterable[str], value: str) -> set[str]:
    """Return the projects that an option names after *value*, a list with commas; *before* are those before it.

    ``:none:`` removes all before it. ``:all:`` stands for all projects, those after it included. The names are normalized.
    """
    found, names = {*before}, value.split(",")
    while _ALL in names:
        found = {_ALL}
        del names[: names.index(_ALL) + 1]
        if _NONE not in names:
            names.clear()
    for name in names:
        if name == _NONE:
            found.clear()
        else:
            found.add(normalized(name))
    return found


class FormatControl(NamedTuple):
    """The projects whose wheels pip refuses (``no_binary``), and those whose sdists it refuses (``only_binary``).

    Either may contain ``:all:``. They do not apply to a URL or path that a requirement names: pip takes that file, and builds
    it if it is not a wheel. Follows pip's ``models/format_control.py``.
    """

    no_binary: frozenset[str] = frozenset()
    only_binary: frozenset[str] = frozenset()

    def after(self, later: Iterable[tuple[str, str]]) -> FormatControl:
        """Return these formats after the *later* options, pairs of option and value, have been applied in their order.

        Raises `UnreadableCallError` for a value that pip refuses.
        """
        formats = self
        for option, value in later:
            formats = formats._after_one(option, value)
        return formats

    def _after_one(self, option: str, value: str) -> FormatControl:
        if value.startswith("-"):
            raise UnreadableCallError(f"{option} has no value")
        target, other = set(self.no_binary), set(self.only_binary)
        if option == _ONLY_BINARY:
            target, other = other, target
        names = value.split(",")
        other = set() if _ALL in names else other - {normalized(name) for name in names if name != _NONE}
        target = named(target, value)
        no_binary, only_binary = (other, target) if option == _ONLY_BINARY else (target, other)
        return FormatControl(frozenset(no_binary), frozenset(only_binary))

    def refuses(self, project: str, *, is_wheel: bool) -> str:
        """Return the option by which pip refuses *project* (normalized) as a wheel (*is_wheel*) or as an sdist; else "".

        An option that names the project overrides one for ``:all:``.
        """
        for name in (project, _ALL):
            if name in self.only_binary:
                return "" if is_wheel else _ONLY_BINARY
            if name in self.no_binary:
                return _NO_BINARY if is_wheel else ""
        return ""
