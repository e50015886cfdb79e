"""What is to become of an entry: decided from a pin, the entry and what was observed of it, and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall.model import digest
from pinstall.model.links import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pinstall.inspection.build_record import BuildRecord
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.http_entries import Entry


class Keep(NamedTuple):
    """It is what the pin names, or nothing says otherwise."""


class Hide(NamedTuple):
    """It is sound, and not for this call: out of pip's sight, into the store."""

    reason: str
    detail: str = ""


class Delete(NamedTuple):
    """It is proven to be bad."""

    reason: str
    detail: str = ""


class Unreadable(NamedTuple):
    """It could not be looked at."""

    reason: str


Verdict = Keep | Hide | Delete | Unreadable


class Evidence(NamedTuple):
    """What was observed of an entry.

    ``digests`` are those of its bytes, by algorithm. ``fault`` says what is wrong with its structure (None: nothing, or not
    asked); ``name`` (normalized) and ``version`` are those inside. ``unreadable`` says why it could not be read. ``given`` are
    the reasons for which it went before and came back unchanged: it is what the world gives. For pages, ``listed`` says whether
    any place of the pin's offers what is pinned, ``fresh`` whether pip would use the page without asking, and ``age`` how old
    it is in seconds. Of built wheels, ``record`` tells how it was built (of one that plain pip built: how it would be now),
    ``unproven`` that nobody saw it come from what the pin's hashes name, ``stale`` why it may not be from what its source is
    now, ``other`` what was otherwise when it was built, ``missing`` which libraries it does not find.
    """

    digests: Mapping[str, str] = {}
    fault: str | None = None
    name: str = ""
    version: str = ""
    unreadable: str = ""
    given: frozenset[str] = frozenset()
    listed: bool = True
    fresh: bool = False
    age: float = 0
    record: BuildRecord | None = None
    unproven: bool = False
    stale: str = ""
    other: str = ""
    missing: tuple[str, ...] = ()

    def identity(self, entry: Entry) -> str:
        """Return by what *entry* would be known again if it came back unchanged: its bytes; of a build, what is wrong with it.

        (No two builds of one source need have the same bytes.)
        """
        if entry.kind == "built":
            return self.fault or f"{self.name} {self.version}"
        return next((f"{name}:{value}" for name, value in sorted(self.digests.items())), "")


def decide(pin: Pin, entry: Entry, evidence: Evidence) -> Verdict:
    """Return the verdict of *pin* on *entry*: only proof evicts, and nothing twice for the same reason."""
    if evidence.unreadable:
        return Unreadable(evidence.unreadable)
    verdict = Delete("damaged", entry.fault) if entry.fault else _DECIDE[entry.kind](pin, entry, evidence)
    if isinstance(verdict, Delete) and verdict.reason in evidence.given:
        return Keep()
    return verdict


def _download(pin: Pin, entry: Entry, evidence: Evidence) -> Verdict:
    stated = digest.agree(entry.stated, evidence.digests)
    if stated is False:
        return Delete("wrong-hash", digest.mismatch(entry.stated, evidence.digests))
    if stated is None and pin.hashes:
        return Keep() if pinned(pin, evidence) else Hide("other-file", "its hash is not one of the pinned hashes")
    if stated is None and evidence.fault:
        return Delete("damaged", evidence.fault)
    if stated is None and evidence.name and not _is_labelled(pin, entry, evidence):
        return Delete("mislabelled", f"it contains {evidence.name} {evidence.version}")
    return Keep()


def _is_labelled(pin: Pin, entry: Entry, evidence: Evidence) -> bool:
    """Say whether name and version inside are those of the file name, and the project is the pin's."""
    return entry.label is not None and (evidence.name, parsed(evidence.version)) == (pin.project, entry.label.version)


def pinned(pin: Pin, evidence: Evidence) -> bool:
    """Say whether an observed digest is one of the pin's."""
    return any(evidence.digests.get(d.algorithm) == d.hex.lower() for d in pin.hashes)


def _metadata(_pin: Pin, entry: Entry, evidence: Evidence) -> Verdict:
    if digest.agree(entry.stated, evidence.digests) is False:
        return Delete("wrong-hash", digest.mismatch(entry.stated, evidence.digests))
    return Keep()


def _built(pin: Pin, entry: Entry, evidence: Evidence) -> Verdict:
    if evidence.fault:
        return Delete("damaged", evidence.fault)
    if not evidence.name:
        return Hide("unproven-build", "its contents cannot be read")
    if entry.label is None or not _is_labelled(pin, entry, evidence):
        return Delete("mislabelled", f"it contains {evidence.name} {evidence.version}")
    if pin.has_version and not pin.admits(entry.label.version):
        return Delete("mislabelled", "it is another version in the folder of the pinned one")
    return _fitting(evidence)


def _fitting(evidence: Evidence) -> Verdict:
    """Decide whether a sound built wheel is what this call would build now."""
    if evidence.unproven:
        return Hide("unproven-build", "no record shows that the cached wheel was built from the pinned file")
    if evidence.stale:
        return Hide("stale-source", evidence.stale)
    if evidence.other:
        return Hide("other-build", f"it was built {evidence.other}")
    if evidence.missing:
        return Hide("missing-library", not_found(evidence.missing))
    return Keep()


def not_found(libraries: Iterable[str]) -> str:
    """Return the sentence that the dynamic loader does not find shared *libraries* that a wheel needs."""
    return f"it needs {', '.join(libraries)}, which is not found on this system"


def _page(_pin: Pin, _entry: Entry, evidence: Evidence) -> Verdict:
    if evidence.fault:
        return Delete("damaged", evidence.fault)
    if evidence.fresh and not evidence.listed:
        return Delete("stale-page", f"it is {evidence.age:.0f} s old and does not list the pinned version")
    return Keep()


_DECIDE = {"download": _download, "metadata": _metadata, "built": _built, "page": _page}
