"""Match entries with patterns, which extend those of ``pip cache``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pinstall.model import links
from pinstall.model.names import normalized

if TYPE_CHECKING:
    from pinstall.cache_tool.inventory import Item


def matches(pattern: str, item: Item) -> bool:
    """Return whether *pattern* matches *item*.

    A pattern is ``*``, a project's name, ``name==version``, or a glob for file names. As for ``pip cache``, a glob with a dash
    is compared with the beginning of name and version. An index page has no version and matches by its project's name only.
    An item of unknown project matches ``*`` only.
    """
    if pattern == "*":
        return True
    name, equals, version = pattern.partition("==")
    if equals:
        return normalized(name.strip()) == item.project and _is_version(version.strip(), item.version)
    if not item.project:
        return False
    wanted = normalized(pattern)
    if item.entry.kind == "page" or "-" not in pattern:
        return fnmatchcase(item.project, wanted)
    glob = f"{pattern}*"
    stem = f"{item.project.replace('-', '_')}-{item.version}"
    return wanted == item.project or fnmatchcase(item.entry.filename, glob) or fnmatchcase(stem, glob)


def _is_version(wanted: str, version: str) -> bool:
    parsed = links.parsed(wanted)
    return parsed == links.parsed(version) if parsed else bool(version) and fnmatchcase(version, wanted)
