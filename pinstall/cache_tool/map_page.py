"""Make a page with the entries of the cache as a treemap: one HTML file that needs no network.

The page has the data of `pinstall-cache list` and of `verify`: no URLs, which may contain passwords.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from pinstall import __version__
from pinstall.cache_tool import display
from pinstall.pip_cache import http_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pinstall.cache_tool.inventory import Item
    from pinstall.cache_tool.verify import VerifiedItem
    from pinstall.pip_cache.scan import Stray

_TEMPLATE = os.path.join(os.path.dirname(__file__), "map.html")
_DATA = "{{data}}"
_DAY = 86_400
_AGES = ((1, "today"), (7, "this week"), (30, "this month"), (180, "this half-year"))
_OLDER = "older"


def page(root: str, items: Sequence[Item], verified: Iterable[VerifiedItem], strays: Iterable[Stray]) -> str:
    """Return the page, as HTML, of the cache at *root*: its *items*, and its *strays*.

    It says "not checked" of the items that are not in *verified*.
    """
    health = {one.item.entry.content_path: one.reason or "sound" for one in verified}
    entries = [_entry(item, health.get(item.entry.content_path, "not checked")) for item in items]
    entries += [_stray(stray) for stray in strays]
    data = {"cache": root, "pinstall": __version__, "entries": entries, "ages": [*(name for _, name in _AGES), _OLDER]}
    with open(_TEMPLATE, encoding="utf-8") as file:
        template = file.read()
    # A "</script>" in a name would end the element.
    return template.replace(_DATA, json.dumps(data).replace("<", "\\u003c"))


def _entry(item: Item, health: str) -> dict[str, Any]:
    return {
        "project": item.project or "?",
        "name": display.name(item),
        "kind": {"built": "built wheel"}.get(item.entry.kind, item.entry.kind),
        "size": item.size,
        "shown": display.size(item.size),
        "age": _age(item.age),
        "health": health,
        "where": "only in pinstall's store" if item.stored else "pip's cache",
    }


def _stray(stray: Stray) -> dict[str, Any]:
    return {
        "project": "?",
        "name": os.path.basename(stray.paths[0]) if stray.paths else "?",
        "kind": "not usable by pip",
        "size": stray.size,
        "shown": display.size(stray.size),
        "age": _age(max(0.0, http_entries.now() - stray.modified)),
        "health": stray.reason,
        "where": "pip's cache",
    }


def _age(seconds: float) -> str:
    return next((name for days, name in _AGES if seconds < days * _DAY), _OLDER)
