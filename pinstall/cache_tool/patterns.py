"""Patterns: which things of the cache are meant, in pip's own way, and a little beyond."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pinstall.model import links
from pinstall.model.names import normalized

if TYPE_CHECKING:
    from pinstall.cache_tool.inventory import Item


def matches(pattern: str, item: Item) -> bool:
    """Say whether *pattern* means *item*.

    It is ``*``, a project's name, ``name==version``, or a glob over file names as ``pip cache`` reads it: with a dash it
    begins with the version too. A page has no version: it goes with its project alone.
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
