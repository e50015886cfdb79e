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

    - ``*`` matches everything, and alone matches an item of unknown project.
    - ``name==version``: the version may be a glob; 1.0 also matches 1.0.0. An index page has no version, and does not match.
    - Without a dash, a pattern is a glob for the project's name; so it always is for an index page.
    - With a dash, it is a project's name, or a glob for the beginning of the file name or, as for ``pip cache``, of
      ``name-version``. Case counts in such a glob.
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
    parsed = links.parse_version(wanted)
    return parsed == links.parse_version(version) if parsed else bool(version) and fnmatchcase(version, wanted)
