"""Heal: after a failure, prove what the cache has of every project that the requirements reach, whatever was proven before."""

from __future__ import annotations

from email.parser import HeaderParser
from typing import TYPE_CHECKING, NamedTuple

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from pinstall import links
from pinstall.names import normalized
from pinstall.pins import Pin
from pinstall.pipcache import entries
from pinstall.pipcache.locate import File
from pinstall.proof import integrity, source
from pinstall.verdict import Delete

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.call.requirements import Line
    from pinstall.check import Checker, Finding
    from pinstall.pipcache.entries import Entry

# More than any install that was seen needs; what lies beyond is not looked at.
_MOST_PROJECTS = 3_000


class _Want(NamedTuple):
    """A requirement of the call, or of what the cache has for one; ``pin`` stands for it."""

    pin: Pin
    extras: frozenset[str]


class Examined(NamedTuple):
    """What was found ``bad``, and of how many entries it was ``proven`` that nothing is."""

    bad: list[Finding]
    proven: int


def examine(checker: Checker, lines: Iterable[Line], pins: Iterable[Pin]) -> Examined:
    """Prove, with a fresh *checker*, the entries of what *lines* and *pins* ask for, and of all that it depends on.

    Dependencies are known as far as the cache has what states them: ``Requires-Dist`` of wheels, sdists and ``.metadata``
    files, and what sdists need to be built.
    """
    markers = checker.cache.environment.markers
    waiting = [_Want(pin, frozenset()) for pin in pins]
    waiting += [want for line in lines if not line.constraint and (want := _want(line.text, line.place, markers, frozenset()))]
    seen: set[tuple[str, str, frozenset[str]]] = set()
    looked: dict[str, Finding] = {}
    while waiting and len(seen) < _MOST_PROJECTS:
        want = waiting.pop(0)
        identity = (want.pin.project, f"{want.pin.specifier}{want.pin.url}", want.extras)
        if identity in seen:
            continue
        seen.add(identity)
        for entry, finding in _entries(checker, want.pin):
            if entry.content not in looked:
                looked[entry.content] = finding
            waiting += _dependencies(entry, want, markers)
    found = looked.values()
    return Examined([finding for finding in found if isinstance(finding.verdict, Delete)], sum(map(checker.is_sound, found)))


def _want(text: str, place: str, markers: dict[str, str], extras: frozenset[str]) -> _Want | None:
    """Read a requirement of a name; None if it is none, or does not apply."""
    try:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker and not any(marker.evaluate({**markers, "extra": extra}) for extra in ("", *extras)):
            return None
    except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName):
        return None
    pin = Pin(normalized(requirement.name), requirement.specifier, requirement.url or "", (), (place,), requested=True)
    return _Want(pin, frozenset(normalized(extra) for extra in requirement.extras))


def _entries(checker: Checker, pin: Pin) -> Iterator[tuple[Entry, Finding]]:
    """Yield what the cache has for *pin*, which may leave more than one answer, and what is to be thought of it."""
    located = checker.cache.locate(pin)
    for page in located.pages:
        if page.fault:
            yield page.entry, checker.page(pin, page, located)
    others = (File(offer.link(), links.label(offer.filename, pin.project)) for offer in located.others)
    for file in (*located.files, *(file for file in others if file.label and pin.admits(file.label.version))):
        built = checker.cache.built(pin, file.link) if file.label is None or not file.label.tags else ()
        for entry in (*checker.cache.downloads(file), *built):
            yield entry, checker.look(pin, entry)


def _dependencies(entry: Entry, want: _Want, markers: dict[str, str]) -> Iterator[_Want]:
    place = f"needed by {want.pin.project}"
    for text in _stated(entry):
        if found := _want(text, place, markers, want.extras):
            yield found


def _stated(entry: Entry) -> list[str]:
    """Return the requirements that an artifact or its metadata file states; none if it cannot be read."""
    try:
        with entries.open_content(entry) as file:
            if entry.kind == "metadata":
                return _required(file.read(integrity.LARGEST_METADATA).decode(errors="replace"))
            if entry.filename.endswith(".whl"):
                return _required(integrity.metadata(file))
            says = source.read(file, entry.filename, ())
            file.seek(0)
            return [*(says.requires if says else ()), *_required(source.metadata(file, entry.filename))]
    except OSError:
        return []


def _required(metadata: str) -> list[str]:
    return [str(text) for text in HeaderParser().parsestr(metadata).get_all("Requires-Dist") or ()]
