"""Decide on a cache entry: the verdict is a pure function of pin, entry and evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall.model import digest
from pinstall.model.links import link, parse_filename, parse_version
from pinstall.model.verdict import Delete, Hide, Keep, SetAside, Unreadable, not_found
from pinstall.pip_cache.entries import HttpEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.version import Version

    from pinstall.inspection.build_record import BuildRecord
    from pinstall.model.pins import Pin
    from pinstall.model.verdict import Verdict
    from pinstall.pip_cache.entries import BuiltWheel, Entry


class Evidence(NamedTuple):
    """The observations of one cache entry.

    - ``digests``: those of its bytes that the verdict needs, by algorithm, in lower case.
    - ``fault``: the defect of its structure; None if it is sound, or if the structure was not checked. That of an HTTP entry's
      head is `HttpEntry.fault`.
    - ``name`` (normalized), ``version``: as stated inside a wheel; "" for other files, and if that was not read.
    - ``unreadable``: why the entry could not be read or judged.
    - ``tolerated``: the reasons (codes) for which it must not be deleted: it came back unchanged after such a deletion, so it
      is the file that the index serves; or its backend makes each wheel so.

    For an index page:

    - ``listed``: whether this page, another one of this call, or a folder lists a pinned file. With pinned hashes, a file
      counts if it has one, or if no hash of their algorithms is stated for it. Also True if another page is not in the cache:
      that one may list it.
    - ``other_hashes``: whether the pinned version is listed, but only with hashes that are not pinned.
    - ``fresh``: whether pip would use the page without asking the server.
    - ``age``: the page's age in seconds; infinity if its head states no date.

    For a built wheel; `pinstall-cache verify` leaves these out:

    - ``record``: its build record; of several, one that fits this call, if any does. For a wheel that plain pip built, and
      that no record describes: the one with which pinstall would adopt it. None if ``unproven`` or ``stale_source`` is set, or
      if the wheel or its record is damaged.
    - ``unproven``: True if the pin has hashes, and pinstall did not observe that the wheel was built from a file with one of
      them.
    - ``stale_source``: why it may have been built from another file than its source is now. "" if not, and always "" if the
      pin has hashes: then ``unproven`` says it.
    - ``build_difference``: the build condition that was different when it was built, as words that follow "it was built".
    - ``missing_libraries``: the shared libraries that it needs and does not find. With a stored build record, only those that
      were found when the record was made.
    """

    digests: Mapping[str, str] = {}
    fault: str | None = None
    name: str = ""
    version: str = ""
    unreadable: str = ""
    tolerated: frozenset[str] = frozenset()
    listed: bool = True
    other_hashes: bool = False
    fresh: bool = False
    age: float = 0
    record: BuildRecord | None = None
    unproven: bool = False
    stale_source: str = ""
    build_difference: str = ""
    missing_libraries: tuple[str, ...] = ()

    def identity(self, entry: Entry) -> str:
        """Return a key that recognises *entry* if it returns unchanged: a digest of its bytes, or "" if none was computed.

        The algorithm is one that the pages or the pin state, else SHA-256. So the same bytes may have another key in another
        call: then the entry counts as changed. For a built wheel, the key is its defect, or its name and version: two builds of
        one source may differ in their bytes.
        """
        if entry.kind == "built":
            return self.fault or f"{self.name} {self.version}"
        return next((f"{name}:{value}" for name, value in sorted(self.digests.items())), "")


def decide(pin: Pin, entry: Entry, evidence: Evidence) -> Verdict:
    """Return the verdict on *entry* for *pin*: `Unreadable` if its *evidence* is ``unreadable``, and else that of its kind.

    `Delete` needs proof. If its reason is among the tolerated ones, the verdict is `Keep` instead.
    """
    if evidence.unreadable:
        return Unreadable(evidence.unreadable)
    verdict = _http(pin, entry, evidence) if isinstance(entry, HttpEntry) else _built(pin, entry, evidence)
    if isinstance(verdict, Delete) and verdict.reason in evidence.tolerated:
        return Keep()
    return verdict


def _http(pin: Pin, entry: HttpEntry, evidence: Evidence) -> Verdict:
    return Delete("damaged", entry.fault) if entry.fault else _DECIDE[entry.kind](pin, entry, evidence)


def _download(pin: Pin, entry: HttpEntry, evidence: Evidence) -> Verdict:
    stated = digest.agree(entry.expected, evidence.digests)
    if stated is False:
        return Delete("wrong-hash", digest.mismatch_clause(entry.expected, evidence.digests))
    if stated is None and pin.hashes and pinned(pin, evidence):
        return Keep()
    if stated is None and pin.hashes and not evidence.fault:
        return SetAside("other-file", "its hash is not one of the pinned hashes")
    if stated is None and evidence.fault:
        return Delete("damaged", evidence.fault)
    if stated is None and evidence.name and not _is_labelled(pin, entry, evidence):
        return Delete("mislabelled", f"it contains {evidence.name} {evidence.version}")
    return Keep()


def _is_labelled(pin: Pin, entry: Entry, evidence: Evidence) -> bool:
    """Return whether the name inside the archive is the pin's project, and the version that of the file name."""
    return entry.parsed_filename is not None and (evidence.name, parse_version(evidence.version)) == (
        pin.project,
        entry.parsed_filename.version,
    )


def pinned(pin: Pin, evidence: Evidence) -> bool:
    """Return whether an observed digest is one of the pin's hashes."""
    return any(evidence.digests.get(d.algorithm) == d.hex.lower() for d in pin.hashes)


def _metadata(_pin: Pin, entry: HttpEntry, evidence: Evidence) -> Verdict:
    if digest.agree(entry.expected, evidence.digests) is False:
        return Delete("wrong-hash", digest.mismatch_clause(entry.expected, evidence.digests))
    return Keep()


def _built(pin: Pin, entry: BuiltWheel, evidence: Evidence) -> Verdict:
    if evidence.fault:
        return Delete("damaged", evidence.fault)
    if not evidence.name:
        return Hide("unproven-build", "its contents cannot be checked, for example because it is too large or encrypted")
    if entry.parsed_filename is None or not _is_labelled(pin, entry, evidence):
        return Delete("mislabelled", f"it contains {evidence.name} {evidence.version}")
    if pin.has_version and not pin.admits(entry.parsed_filename.version):
        return Delete("mislabelled", "it is another version, but in the cache folder of the pinned one")
    source = _version_of_source(pin)
    if source is not None and source.public != entry.parsed_filename.version.public:
        return Delete("mislabelled", f"it is version {entry.parsed_filename.version}, but its source is version {source}")
    return _fitting(evidence)


def _version_of_source(pin: Pin) -> Version | None:
    """Return the version in the file name at the pin's URL.

    None if the pin has no URL, or if the name is not that of a wheel or sdist of its project.
    """
    found = parse_filename(link(pin.url).filename, pin.project) if pin.url else None
    return found.version if found else None


def _fitting(evidence: Evidence) -> Verdict:
    """Return `Keep` for a sound built wheel if it is the one that this call would build now, else `Hide` with the reason."""
    if evidence.unproven:
        return Hide("unproven-build", "no record shows that the cached wheel was built from the pinned file")
    if evidence.stale_source:
        return Hide("stale-source", evidence.stale_source)
    if evidence.build_difference:
        return Hide("other-build", f"it was built {evidence.build_difference}")
    if evidence.missing_libraries:
        return Hide("missing-library", not_found(evidence.missing_libraries))
    return Keep()


def _page(_pin: Pin, _entry: HttpEntry, evidence: Evidence) -> Verdict:
    if evidence.fault:
        return Delete("damaged", evidence.fault)
    if evidence.fresh and not evidence.listed:
        lists = (
            "lists the pinned version with other hashes only" if evidence.other_hashes else "does not list the pinned version"
        )
        return Hide("stale-page", f"the cached one is {_duration(evidence.age)} old and {lists}")
    return Keep()


def _duration(seconds: float) -> str:
    """Return a number of seconds in words that nobody takes for the status of a response, such as "404 s old"."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"


_DECIDE = {"download": _download, "metadata": _metadata, "page": _page}
