"""Heal: after a failure, prove what the cache has of every project that the requirements reach, whatever was proven before."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall import dependencies, links
from pinstall.call import projects
from pinstall.dependencies import Want
from pinstall.pipcache import entries, locate
from pinstall.pipcache.locate import File
from pinstall.unlisted import Unlisted
from pinstall.verdict import Delete, Hide

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.call.requirements import Line
    from pinstall.check import Checker, Finding
    from pinstall.pins import Pin
    from pinstall.pipcache.entries import Entry

# More than any install that was seen needs; what lies beyond is not looked at.
_MOST_PROJECTS = 3_000


class Examined(NamedTuple):
    """What was found ``bad``, and of how many entries it was ``proven`` that nothing is."""

    bad: list[Finding]
    proven: int


def examine(checker: Checker, lines: Iterable[Line], pins: Iterable[Pin], since: float) -> Examined:
    """Prove, with a fresh *checker*, the entries of what *lines* and *pins* ask for, and of all that it depends on.

    A page from before *since* (seconds since the epoch), which pip used unasked and which offers nothing that is wanted, is
    stale: it may be what pip failed for.

    Dependencies are known as far as the cache has what states them: ``Requires-Dist`` of wheels, sdists and ``.metadata``
    files, and what sdists need to be built.
    """
    markers = checker.cache.environment.markers
    waiting = [Want(pin) for pin in pins]
    wanted = [line for line in lines if not line.constraint]
    wanted += [needed for line in wanted for needed in projects.build_requires(line)]
    waiting += [want for line in wanted if (want := dependencies.want(line.text, line.place, markers))]
    unlisted = Unlisted(checker.cache)
    seen: set[tuple[str, str, frozenset[str]]] = set()
    looked: dict[str, Finding] = {}
    while waiting and len(seen) < _MOST_PROJECTS:
        want = waiting.pop(0)
        identity = (want.pin.project, f"{want.pin.specifier}{want.pin.url}", want.extras)
        if identity in seen:
            continue
        seen.add(identity)
        found = dict(_entries(checker, want.pin, since))
        known = {entry.content for entry in found}
        found |= {e: checker.look(want.pin, e) for e in unlisted.downloads(want.pin) if e.content not in known}
        for entry, finding in found.items():
            looked.setdefault(entry.content, finding)
        local = (locate.local_file(file.link) for file in checker.cache.locate(want.pin).files)
        for entry in (*found, *filter(None, local)):
            waiting += dependencies.of(entry, want, markers)
    findings = looked.values()
    return Examined(list(filter(_is_bad, findings)), sum(map(checker.is_sound, findings)))


def _is_bad(finding: Finding) -> bool:
    """Say whether pip would fail on it, or with it: a download that is not what is pinned fails, too."""
    return isinstance(finding.verdict, Delete) or (finding.entry.kind == "download" and isinstance(finding.verdict, Hide))


def _entries(checker: Checker, pin: Pin, since: float) -> Iterator[tuple[Entry, Finding]]:
    """Yield what the cache has for *pin*, which may leave more than one answer, and what is to be thought of it."""
    located = checker.cache.locate(pin)
    others = (File(offer.link(), links.label(offer.filename, pin.project)) for offer in located.others)
    files = [*located.files, *(file for file in others if file.label and pin.admits(file.label.version))]
    refuses = checker.cache.call.formats.refuses
    listed = any(not refuses(pin.project, is_wheel=bool(file.label and file.label.tags)) for file in files)
    for page in located.pages:
        if page.fault or (not listed and entries.written(page.entry) < since):
            yield page.entry, checker.page(pin, page, located._replace(listed=listed))
    for file in files:
        built = checker.cache.built(pin, file.link) if file.label is None or not file.label.tags else ()
        for entry in (*checker.cache.downloads(file), *built):
            yield entry, checker.look(pin, entry)
