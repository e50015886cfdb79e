"""Check: hold what the cache has for each pin to what the pin names, before any lock is taken. Nothing is changed here."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pinstall.inspection.inspector import Prover, Reading, Wanted
from pinstall.model import digest, foreign_data, links
from pinstall.model.verdict import Delete, Evidence, Hide, Keep, Unreadable, Verdict, decide
from pinstall.pip_cache import http_entries
from pinstall.pip_cache.locator import Artifact
from pinstall.storage import store
from pinstall.storage.view import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pinstall.checks.builds import Builds
    from pinstall.inspection.build_record import BuildRecord
    from pinstall.model.links import Link
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.http_entries import Entry, FileStamp
    from pinstall.pip_cache.locator import Cache, Page, ProjectFiles


class Finding(NamedTuple):
    """An entry that was looked at: what it is, for which pin, what was seen, and what is to become of it.

    ``identity`` is by what it would be known again if it came back; ``stored`` says that it lies in the store. ``record`` is
    that of a built wheel, also if it is only about to be made: of one that plain pip built, and that is adopted.
    """

    pin: Pin
    entry: Entry
    stamp: FileStamp | None
    verdict: Verdict
    identity: str
    stored: bool = False
    record: BuildRecord | None = None


class Checker:
    """Has entries proven for the pins of one call, by its ``prover``, and decides on them.

    ``looked`` is all that was looked at. ``used`` are the built wheels that fit this call, ``hidden`` those that do not where
    no other does. `plan` says how pip is to be kept from the latter.
    """

    def __init__(self, cache: Cache, environ: Mapping[str, str], *, anew: bool = False) -> None:
        """Trust no ledger, and look at nothing but whether built wheels are sound, if *anew*."""
        self.cache, self._anew = cache, anew
        is_quiet = cache.call.verbosity < 0 or cache.call.values.get("progress_bar") == "off"
        self.prover = Prover(cache.root, anew=anew, quiet=is_quiet)
        self._environ = environ
        self.looked: list[Finding] = []
        self.used: list[Finding] = []
        self.hidden: list[Finding] = []
        self._private: dict[str, list[Entry]] = {}
        self._absent: list[Entry] = []
        self._unknown = False

    @cached_property
    def builds(self) -> Builds:
        """What is known of built wheels; most calls meet none."""
        from pinstall.checks import builds

        return builds.Builds(self.cache, self._environ, self.prover)

    @property
    def plan(self) -> Plan:
        """The view that this call's pip needs, as far as pins have been checked."""
        idle: dict[str, list[Entry]] = {key: [] for key in self.cache.idle_keys()} if self._unknown else {}
        return Plan({**idle, **self._private}, self._unknown, self._absent)

    def hide(self, entry: Entry) -> None:
        """Have the view keep pip from *entry*, which could not be made to go."""
        if entry.kind == "built":
            key = entry.key.partition("/")[0]
            fit = [finding.entry for finding in self.used if finding.entry.key.partition("/")[0] == key]
            self._private.setdefault(key, fit)
        else:
            self._absent.append(entry)

    def begin(self, pins: Iterable[Pin]) -> None:
        """Begin with what takes long of that for which `check` will ask."""
        found = ((pin, e) for pin in pins for file in _files(self.cache.locate(pin)) for e in self.cache.downloads(file))
        stamped = ((pin, entry, http_entries.stamp_of(entry)) for pin, entry in found)
        self.prover.begin(Reading(pin.project, e, stamp, _wanted(pin, e)) for pin, e, stamp in stamped if stamp)

    def check(self, pin: Pin) -> list[Finding]:
        """Return what is to be done for *pin*: in the cache, and with what the store has and the cache lacks."""
        located = self.cache.locate(pin)
        found = [self.page(pin, page, located) for page in located.pages]
        files = _files(located)
        for file in files:
            found += [self.look(pin, entry) for entry in self.cache.downloads(file)]
            found += [self.look(pin, entry, stored=True) for entry in self._stored(file)]
        is_built = self.cache.may_be_built(pin, located)
        for file in filter(_is_source, files):
            key = self.cache.wheel_key(file.link)
            own = [self.look(pin, entry, link=file.link) for entry in self.cache.built(pin, file.link)]
            kept = [self.look(pin, e, link=file.link, stored=True) for e in store.builds(self.cache.root, key, pin.project)]
            found += self._choose(key, own, kept, is_built=is_built)
        # What no page lists yet, pip may learn of from a new one.
        if pin.has_version and not (located.complete and located.listed) and is_built:
            found += self._beyond_pages(pin, {self.cache.wheel_key(file.link) for file in filter(_is_source, files)})
        return [finding for finding in found if finding.stored or not isinstance(finding.verdict, Keep)]

    def expect_builds(self, settings: Mapping[str, tuple[str, ...]]) -> None:
        """Have the view keep whatever pip may build, by project and *settings*, if the call shapes builds.

        What is not pinned, or gets another key when pip asks for its page, is recorded too: it is not what plain pip builds.
        Under ``--only-binary :all:`` pip still builds what a URL, of a dependency too, leads to.
        """
        if self.builds.are_shaped(settings, settings.values()):
            self._unknown = True

    def _beyond_pages(self, pin: Pin, seen: set[str]) -> list[Finding]:
        """Look at built wheels whose keys no page tells; pip may learn of others."""
        self._unknown = True
        own: dict[str, list[Finding]] = {}
        kept: dict[str, list[Finding]] = {}
        for entry in self.cache.walked(pin):
            if _is_pinned(pin, entry):
                own.setdefault(entry.key.partition("/")[0], []).append(self.look(pin, entry))
        for entry in store.all_builds(self.cache.root, pin.project):
            if _is_pinned(pin, entry) and self.cache.is_ours(entry):
                kept.setdefault(entry.key.partition("/")[0], []).append(self.look(pin, entry, stored=True))
        new = (own.keys() | kept.keys()) - seen
        return [f for key in sorted(new) for f in self._choose(key, own.get(key, []), kept.get(key, []), is_built=True)]

    def _choose(self, key: str, own: list[Finding], kept: list[Finding], *, is_built: bool) -> list[Finding]:
        """Choose, of the built wheels in pip's *own* folder and those *kept* in the store, what pip is to see under *key*.

        Returns what is to be done in the cache. What is known to have been built as it would be now goes before what plain
        pip built.
        """
        acts = [finding for finding in (*own, *kept) if isinstance(finding.verdict, Delete | Unreadable)]
        if not is_built:
            return acts
        sound = [finding for finding in own if isinstance(finding.verdict, Keep | Hide)]
        fits = [finding for finding in (*sound, *kept) if isinstance(finding.verdict, Keep)]
        fits = [f for f in fits if f.record and f.record.seen] or fits
        chosen = list({finding.entry.filename: finding for finding in reversed(fits)}.values())
        self.used += chosen
        if not chosen:
            self.hidden += sound
            self._private[key] = []
        elif not sound:
            acts += chosen  # pip's own folder is empty: they are brought back, and are right even if a plain pip is faster
            self._private[key] = [finding.entry for finding in chosen]
        elif {f.entry.content for f in chosen} != {f.entry.content for f in sound}:
            self._private[key] = [finding.entry for finding in chosen]
        return acts

    def look(self, pin: Pin, entry: Entry, *, link: Link | None = None, stored: bool = False) -> Finding:
        """Prove one artifact and decide on it; *link* is that of a built wheel's source, if it is known."""
        stamp = http_entries.stamp_of(entry)
        evidence = self._with_proof(pin, entry, stamp, Evidence(), _wanted(pin, entry))
        if stored and entry.kind == "built" and evidence.digests and not store.is_kept(entry, evidence.digests["sha256"]):
            evidence = evidence._replace(fault=evidence.fault or "it is not the file that pinstall stored")
        if entry.kind == "built" and not self._anew and not evidence.unreadable and not evidence.fault:
            try:
                evidence = self.builds.evidence(pin, entry, link, evidence)
            except Exception as error:  # noqa: BLE001 (one entry must not cost the call)
                evidence = evidence._replace(unreadable=foreign_data.reason(error))
        return self._decide(pin, entry, stamp, evidence, stored=stored)

    def others(self, pin: Pin) -> Iterator[Entry]:
        """Yield the downloads and built wheels of other versions of *pin*'s project that this environment's pip could use."""
        located = self.cache.locate(pin)
        for offer in located.others:
            file = Artifact(offer.link(), links.label(offer.filename, pin.project))
            yield from self.cache.downloads(file)
            if _is_source(file):
                yield from self.cache.built(pin, file.link)
        if not located.complete and not located.files:
            yield from (entry for entry in self.cache.walked(pin) if not _is_pinned(pin, entry))

    def again(self, finding: Finding) -> Finding | None:
        """Look again at what was found, whatever went before; None if it is no longer there."""
        pin, entry = finding.pin, finding.entry
        if not (http_entries.exists(entry.content) if finding.stored else http_entries.is_there(entry)):
            return None
        if entry.kind == "page":
            self.cache.forget_pages()
            located = self.cache.locate(pin)
            page = next((page for page in located.pages if page.entry.key == entry.key), None)
            return self.page(pin, page, located) if page else None
        return self.look(pin, entry, stored=finding.stored)

    def is_sound(self, finding: Finding) -> bool:
        """Say whether nothing is wrong with what was looked at; what is wrong and came back as it was is kept all the same."""
        given = self.prover.ledger(finding.pin.project).given(finding.entry.key, finding.identity)
        return isinstance(finding.verdict, Keep) and not given

    def _decide(self, pin: Pin, entry: Entry, stamp: FileStamp | None, evidence: Evidence, *, stored: bool = False) -> Finding:
        identity = evidence.identity(entry)
        given = self.prover.ledger(pin.project).given(entry.key, identity)
        verdict = decide(pin, entry, evidence._replace(given=given))
        self.looked.append(Finding(pin, entry, stamp, verdict, identity, stored, evidence.record))
        return self.looked[-1]

    def page(self, pin: Pin, page: Page, located: ProjectFiles) -> Finding:
        """Decide on a page."""
        stamp = http_entries.stamp_of(page.entry)
        evidence = Evidence(
            fault=page.fault,
            unreadable=page.unreadable,
            listed=located.listed,
            fresh=self.cache.uses_unasked(page, pin.project),
            age=page.response.age(http_entries.now()),
        )
        if not page.unreadable and (page.fault or not located.listed):
            evidence = self._with_proof(pin, page.entry, stamp, evidence, Wanted())
        return self._decide(pin, page.entry, stamp, evidence)

    def _with_proof(self, pin: Pin, entry: Entry, stamp: FileStamp | None, evidence: Evidence, wanted: Wanted) -> Evidence:
        """Add what is known of the bytes."""
        if entry.unreadable:
            return evidence._replace(unreadable=entry.unreadable)
        if stamp is None:
            return evidence._replace(unreadable="it is not a regular file")
        try:
            known = self.prover.proof(Reading(pin.project, entry, stamp, wanted))
        except Exception as error:  # noqa: BLE001 (one entry must not cost the call)
            return evidence._replace(unreadable=foreign_data.reason(error))
        return evidence._replace(
            digests={name: known.digests[name] for name in wanted.algorithms},
            fault=evidence.fault or known.fault,
            name=known.name,
            version=known.version,
        )

    def _stored(self, file: Artifact) -> Iterator[Entry]:
        """Yield what the store has for a file where the cache has nothing, or what is spent."""
        for entry in self.cache.requests(file):
            is_missing = not http_entries.exists(entry.paths[0]) or http_entries.is_spent(entry)
            kept = store.http_entry(self.cache.root, entry) if is_missing else None
            if kept is not None:
                yield kept


def _wanted(pin: Pin, entry: Entry) -> Wanted:
    """Say what has to be known of an artifact or metadata file."""
    stated = digest.known(entry.stated)
    is_built = entry.kind == "built"  # known by sha256, whatever its pin is held to
    algorithms = {stated[0].algorithm} if stated else {d.algorithm for d in digest.known(pin.hashes) if not is_built}
    checked = is_built or (entry.kind == "download" and not stated and not pin.hashes)
    return Wanted(frozenset(algorithms or {"sha256"}), checked)


def _is_pinned(pin: Pin, entry: Entry) -> bool:
    return entry.label is not None and pin.admits(entry.label.version)


def _is_source(file: Artifact) -> bool:
    return file.label is None or not file.label.tags


def _files(located: ProjectFiles) -> tuple[Artifact, ...]:
    """Return the files of what is pinned. Pages that know none of the pinned hashes are older than the pin: no measure."""
    if located.listed:
        return located.files
    return tuple(file._replace(link=file.link._replace(digests=())) for file in located.files)
