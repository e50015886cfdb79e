"""Unlisted: downloads that no cached page leads to, found by what is inside them.

An index may forbid to keep its pages (devpi), or redirect its links. Then a download has a name that nothing leads to. The
whole cache is walked for it, once, which takes a second for ten thousand entries: only after pip has failed, and only where
something may lie there.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from pinstall import links
from pinstall.lock import FOLDER
from pinstall.pins import project_named
from pinstall.pipcache import entries, walk
from pinstall.pipcache.locate import is_http, page_url
from pinstall.proof.content import identify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinstall.pins import Pin
    from pinstall.pipcache.entries import Entry
    from pinstall.pipcache.locate import Cache

_MOST_ENTRIES = 10_000
# Pages that most caches have: what sdists are built with.
_COMMON = ("pip", "setuptools", "wheel")


class Unlisted:
    """The downloads in *cache* that no page leads to."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        ledgers = entries.names(os.path.join(cache.root, FOLDER, "ledger"))
        self._others = [*_COMMON, *(name.removesuffix(".json") for name in ledgers)]

    def downloads(self, pin: Pin) -> Iterator[Entry]:
        """Yield those of what *pin* asks for, where a page that leads to them may be missing, or leads elsewhere."""
        if pin.url or pin.locked or not (self._any_may_forbid or self._leads_elsewhere(pin)):
            return
        for entry in self._by_project.get(pin.project, ()):
            if entry.label and pin.admits(entry.label.version):
                yield entry

    def _leads_elsewhere(self, pin: Pin) -> bool:
        """Say whether nothing lies where the page's links lead: they may be redirected, which pip follows and does not keep."""
        files = self._cache.locate(pin).files
        return bool(files) and not any(entry for file in files for entry in self._cache.downloads(file))

    @cached_property
    def _any_may_forbid(self) -> bool:
        return any(map(self._may_forbid, filter(is_http, self._cache.call.index_urls)))

    def _may_forbid(self, index: str) -> bool:
        """Say whether no page of *index* is in the cache, as far as can be guessed by projects that may have one."""
        projects = [*self._others, *self._asked]
        return all(self._cache.http.find(page_url(index, project)) is None for project in projects)

    @cached_property
    def _asked(self) -> set[str]:
        return {project for line in self._cache.call.lines if (project := project_named(line.text))}

    @cached_property
    def _by_project(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for _, lying in zip(range(_MOST_ENTRIES), walk.http(self._cache.root), strict=False):
            if isinstance(lying, walk.Found) and lying.entry.layout == self._cache.http.layout:
                entry = _identified(lying)
                if entry:
                    found.setdefault(entry[0], []).append(entry[1])
        return found


def _identified(lying: walk.Found) -> tuple[str, Entry] | None:
    """Return the project of a download, and its entry; None if it is none."""
    if lying.head is None or lying.stamp is None or lying.head.response.status != 200:
        return None
    with suppress(Exception), entries.open_content(lying.entry) as file:  # what cannot be read is not it
        what = identify(file)
        version = links.parsed(what.version) if what.kind == "download" else None
        if version is not None:
            label = links.Label(what.version, version)
            return what.project, lying.entry._replace(kind="download", filename=what.filename, label=label)
    return None
