"""Check whether a built wheel matches its present source and this call's build conditions, and make build records."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from pinstall.inspection import build_questions, build_record, integrity, sdist_scan
from pinstall.inspection.build_record import BuildRecord, Conditions
from pinstall.inspection.inspector import Reading, RequiredProof
from pinstall.inspection.sdist_scan import SourceScan
from pinstall.inspection.shared_libraries import Libraries, has_library, libraries
from pinstall.invocation import requirements_files
from pinstall.invocation.options import UnreadableCallError
from pinstall.invocation.requirements_files import RequirementLine
from pinstall.model import digest, links
from pinstall.model.names import project_named
from pinstall.model.pins import collect
from pinstall.pip_cache import built_wheels, entries, http_entries, locator
from pinstall.storage import store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pinstall.inspection.build_questions import Watched
    from pinstall.inspection.inspector import Inspector
    from pinstall.model.decision import Evidence
    from pinstall.model.digest import Digest
    from pinstall.model.links import Link
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.built_wheels import Origin
    from pinstall.pip_cache.entries import BuiltWheel, HttpEntry, LocalFile
    from pinstall.pip_cache.http_entries import Response
    from pinstall.pip_cache.locator import Cache
    from pinstall.storage.build_notes import Note

# The source is not available, so its build may compile code.
_NOT_AT_HAND = SourceScan(frozenset(), (), (), compiles=True, whole=False)
# Projects that extensions are built against, if a source that nobody can read is built without isolation.
_KNOWN_PEERS = {"numpy", "torch", "mpi4py", "cython", "cffi", "pybind11", "nanobind", "tensorflow", "jax", "jaxlib", "cupy"}
_UNCOMPILED = "without an extension module, although its source has code to compile (perhaps there was no compiler)"
_UNKNOWN_WAY = "with unknown settings, because its build record is damaged"
_UNSTATED = "no hash of its source is stated, so the source may have changed; 'name @ URL#sha256=...' states one"


class Builds:
    """The checks of built wheels for one call, whose pip has the variables *environ*.

    *build_variables* are names or globs of further variables that shape builds. The questions of a record are the variables,
    files, programs and libraries that its build was seen to ask for (`inspection.build_questions`).
    """

    def __init__(self, cache: Cache, environ: Mapping[str, str], build_variables: Sequence[str], inspector: Inspector) -> None:
        self._cache, self._environ, self._inspector = cache, environ, inspector
        self._build_variables = build_variables
        values = cache.call.values
        self._options = [
            f"{dest} {value}" for dest in ("global_options", "install_options") for value in values.get(dest) or ()
        ]
        self._options += [f"constraint {_content(path)}" for path in values.get("build_constraints") or ()]
        self._constraints = _constraints(environ, cache.pip)
        # The versions before pip changes them.
        self._build_dependencies = cache.environment.versions() if values.get("build_isolation") is False else {}
        self._sources: dict[str, SourceScan] = {}

    def with_build_facts(self, pin: Pin, entry: BuiltWheel, link: Link | None, evidence: Evidence) -> Evidence:
        """Return *evidence*, which has the SHA-256 of a built wheel, with the facts about its source, build and libraries.

        *link* leads to its source; with None, the ``origin.json`` beside the wheel does. If neither does, and the pin has no
        hashes, the source counts as unchanged. If the source is unproven or stale, nothing else is added, not even the record;
        if a recorded build differs, its libraries are not looked for. Of several records, one that fits is enough. A wheel
        without a record counts as plain pip's (`_unrecorded`); a damaged record is a build difference. Raises `OSError`.
        """
        sha256 = evidence.digests["sha256"]
        origin = built_wheels.read_origin(os.path.dirname(entry.content_path))
        link = link or (self._cache.source_of(entry.wheel_key, origin) if origin else None)
        # Builds of other sources, and under other conditions, may have given the same bytes: one that fits is enough.
        found: Evidence | None = None
        for record in reversed(store.all_records(self._cache.root, entry, sha256)):
            judged = self._of_source(pin, link, evidence, record.source, record)
            if not (judged.unproven or judged.stale_source):
                judged = judged._replace(record=record, build_difference=self._difference(pin, record))
                if not judged.build_difference:
                    return judged._replace(missing_libraries=self.missing_libraries(entry, record))
            found = judged if found is None or found.record is None else found
        if found is not None:
            return found
        then = origin.by_algorithm if origin else {}
        evidence = self._of_source(pin, link, evidence, then, None)
        if evidence.unproven or evidence.stale_source:
            return evidence
        if store.has_record(self._cache.root, entry, sha256):
            return evidence._replace(
                build_difference=_UNKNOWN_WAY
            )  # built with unknown flags: not to be adopted as plain pip's
        return self._unrecorded(pin, entry, evidence, BuildRecord(sha256, then, self._scan_of(link, entry)))

    def _of_source(
        self, pin: Pin, link: Link | None, evidence: Evidence, source: Mapping[str, str], record: BuildRecord | None
    ) -> Evidence:
        """Return *evidence* with ``stale_source``, by the present source at *link*; without a *link*, no source is stale.

        If the pin has hashes, adds ``unproven`` instead. *source* has the digests that the source had when the wheel was built;
        *record* is the build record, if there is one. Raises `OSError`.
        """
        if pin.hashes:
            return evidence._replace(unproven=not _is_proven(pin, source, record))
        return evidence._replace(stale_source=self._stale(pin.project, link, source) if link else "")

    def objection(self, pin: Pin, key: str, origin: Origin, record: BuildRecord) -> str:
        """Return why a build of another machine is not what this call would build under the wheel *key*; "" if it is.

        The rules are those of `with_build_facts`, but its libraries are not looked for: the wheel is not here yet. In addition,
        *key* must follow from *origin*, and *record* must have the digest that the key or PyPI's URL contains, if one does:
        nobody here has seen the source. Raises `OSError`.
        """
        link = self._cache.source_of(key, origin)
        if link is None:
            return "from another source"
        stated = () if locator.is_vcs(link.url) else link.digests + locator.pypi_digest(link.url)
        if stated and not digest.agree(stated, record.source):
            return "from another source file"
        if pin.hashes and not _is_proven(pin, record.source, record):
            return "from another file than the pinned one"
        if not pin.hashes and (stale := self._stale(pin.project, link, record.source)):
            return stale
        return self._difference(pin, record)

    def _difference(self, pin: Pin, known: BuildRecord) -> str:
        """Return how the build of *known* differs from one of this call, as the end of "it was built ..."; "" if they agree."""
        watched = known.watched
        now = self._conditions(pin.project, pin.settings, known.source_scan, watched)
        if difference := build_record.difference(known.conditions, now):
            return difference
        if watched is None:
            return ""
        moved = build_questions.moved_on(watched, known.pins, self._versions)
        machine = self._passive_machine if known.fetched else self._machine
        return f"with another version of {moved}" if moved else build_questions.first_change(watched, machine)

    def stamped(self, record: BuildRecord) -> BuildRecord:
        """Return the *record* of a fetched build with the stamps of those files here that answer its questions in the same way.

        Later calls then need not read these files (see `Machine.stamped`). Returns the record of an unwatched build unchanged.
        """
        if record.watched is None:
            return record
        questions = tuple(map(self._passive_machine.stamped, record.watched.questions))
        return record._replace(watched=record.watched._replace(questions=questions))

    def has_changed(self, record: BuildRecord) -> bool:
        """Return whether a question that the build of *record* asked has another answer now; False without questions.

        To find out, may start a program that has changed. For a fetched build it starts none: a program that has changed counts
        as another answer.
        """
        machine = self._passive_machine if record.fetched else self._machine
        return record.watched is not None and bool(build_questions.first_change(record.watched, machine))

    @cached_property
    def _machine(self) -> build_questions.Machine:
        return build_questions.Machine(self._environ, self._own_folders)

    @cached_property
    def _passive_machine(self) -> build_questions.Machine:
        """The answers to the questions of builds from a shared store, whose records must start no program."""
        return build_questions.Machine(self._environ, self._own_folders, starts_programs=False)

    @property
    def _own_folders(self) -> list[str]:
        prefix = self._cache.environment.prefix
        # Only those of a virtual environment: the prefix of another Python (/usr, conda) also has what builds are made with.
        return [prefix] if os.path.isfile(os.path.join(prefix, "pyvenv.cfg")) else []

    @cached_property
    def _versions(self) -> dict[str, str]:
        """The versions that the call pins, by project; constraints count as well."""
        pins = collect(self._cache.call.lines, self._cache.environment.markers).pins
        return {pin.project: str(pin.version) for pin in pins if pin.has_version}

    def missing_libraries(self, entry: BuiltWheel, record: BuildRecord | None) -> tuple[str, ...]:
        """Return the names of the shared libraries that the wheel needs and does not find.

        With a *record*, only those to which it gives a path at which nothing is now. Empty also if the wheel's libraries cannot
        be determined. Raises `OSError`.
        """
        if record is None:
            return self._libraries(entry).missing
        gone = {name for name, place in record.libraries.items() if not os.path.exists(place)}
        return tuple(name for name in self._libraries(entry).missing if name in gone) if gone else ()

    def libraries_of_another_version(self, entry: BuiltWheel) -> tuple[str, ...]:
        """Return the shared libraries that the wheel does not find, and of which this system has another version.

        Raises `OSError`.
        """
        return self._libraries(entry).renamed

    def _unrecorded(self, pin: Pin, entry: BuiltWheel, evidence: Evidence, record: BuildRecord) -> Evidence:
        """Return *evidence* with the completed *record* with which pinstall would adopt a wheel that plain pip built.

        *record* has the wheel's digest and its source. Also adds the missing libraries and a build difference; each forbids the
        adoption. The build differs if this call sets something that would shape it, or builds it with installed projects; if
        the source asks for this processor's features; or if it has code to compile, and the wheel has no extension module.
        Raises `OSError`.
        """
        now = self._conditions(pin.project, pin.settings, record.source_scan)
        plain = now._replace(settings="", variables={}, cpu="")
        if record.source_scan.compiles:
            defaults = self._cache.environment.build["compilers"]
            plain = plain._replace(compilers=build_record.compilers({"PATH": self._environ.get("PATH", "")}, defaults))
        needs = self._libraries(entry)
        if record.source_scan.native:
            plain = build_record.unknown_cpu(plain)
        unknown = build_record.difference(plain, now)
        other = f"by plain pip, perhaps {unknown}" if unknown else ""
        if not other and now.build_dependencies:
            other = f"with unknown versions of {', '.join(sorted(now.build_dependencies))}"
        if not other and record.source_scan.compiles and record.source_scan.whole and not self._is_compiled(entry):
            other = _UNCOMPILED
        adopted = record._replace(conditions=now, libraries=needs.paths, observed=False)
        return evidence._replace(record=adopted, build_difference=other, missing_libraries=needs.missing)

    def _is_compiled(self, entry: BuiltWheel) -> bool:
        with entries.open_content(entry) as file:
            return has_library(file)

    def record(
        self, project: str, settings: tuple[str, ...], hashes: tuple[Digest, ...], entry: BuiltWheel, notes: Sequence[Note] = ()
    ) -> BuildRecord | None:
        """Return the build record of a wheel of *project* that pip has just built with the config *settings* of its line.

        *hashes* are those of the project's pin: pip has verified the source against them. *notes* are those on the build if it
        was watched; the programs in them may be started, to ask them for facts. Returns None for a wheel that pip cannot
        install, as after a build was killed. Another fault is tolerated from now on, by the ledger: the backend makes it so.
        Raises `OSError`.
        """
        with entries.open_content(entry) as file:
            sha256 = integrity.sha256(file)
            file.seek(0)
            content = integrity.archive(file, entry.filename)
        if content.stops_pip:
            return None
        if content.fault:
            self._tolerate(project, entry, sha256, content.fault)
        origin = built_wheels.read_origin(os.path.dirname(entry.content_path))
        link = links.Link(origin.url) if origin else None
        scan = self._scan_of(link, entry)
        source = self._source_digests(origin, link, hashes)
        watched = build_questions.learn(notes, self._machine) if notes else None
        conditions = self._conditions(project, settings, scan, watched)
        pins = {name: version for name, version in self._versions.items() if watched and name in watched.requires}
        return BuildRecord(sha256, source, scan, conditions, self._libraries(entry).paths, watched=watched, pins=pins)

    def _tolerate(self, project: str, entry: BuiltWheel, sha256: str, fault: str) -> None:
        """Note in the ledger that a wheel came from its backend with a *fault*: it, and its copy in the store, are kept."""
        stored = entry._replace(store_id=store.build_parts(entry.wheel_key, sha256)[-1])
        for key in (entry.key, stored.key):
            self._inspector.ledger(project).tolerate(key, "damaged", fault)

    def _source_digests(self, origin: Origin | None, link: Link | None, hashes: tuple[Digest, ...]) -> dict[str, str]:
        """Return the digests of the source of a new wheel, by algorithm: those that its ``origin.json`` states, and others.

        The others have the algorithms of *hashes*. They are computed from the file at *link*, if that is a local file, or if
        pip's cache or the store has a download of it; else they are left out. Raises `OSError`.
        """
        stated = origin.by_algorithm if origin else {}
        source = self._source(link) if link and {d.algorithm for d in hashes} - stated.keys() else None
        if source is None:
            return stated
        with entries.open_content(source) as file:  # origin.json has only the index's digest, not the pin's
            return stated | integrity.digests(file, {d.algorithm for d in digest.known(hashes)})

    def are_shaped(self, projects: Iterable[str], settings: Iterable[tuple[str, ...]]) -> bool:
        """Return whether the call sets anything that shapes builds: options, config *settings*, variables, or no isolation.

        *projects* are those whose own variables count, too. Variables that only a source names are not known yet.
        """
        variables = sdist_scan.shaping(None, "", self._environ, self._build_variables)
        own = any(sdist_scan.shaping(None, project, self._environ, self._build_variables) != variables for project in projects)
        return bool(variables) or own or any(settings) or bool(self._options) or bool(self._build_dependencies)

    def _conditions(
        self, project: str, settings: tuple[str, ...], scan: SourceScan, watched: Watched | None = None
    ) -> Conditions:
        """Return the conditions under which this call would build *project*.

        *settings* are its config settings, and *scan* is the scan of its source. If a build was *watched* as a whole, its
        questions count, and the variables, tools and code in *scan* do not. Runs the compilers with ``--version`` if the build
        compiles code.
        """
        requires = (*scan.requires, *(watched.requires if watched else ()))
        if watched and watched.whole:
            scan = SourceScan(frozenset(), (), requires, compiles=watched.compiles, whole=True)
            variables = sdist_scan.read_by_programs(self._environ, self._build_variables, compiles=scan.compiles)
        elif scan == _NOT_AT_HAND:
            scan = scan._replace(requires=requires or tuple(sorted(self._build_dependencies.keys() & _KNOWN_PEERS)))
            variables = sdist_scan.shaping_unknown(self._environ, self._build_variables)
        else:
            scan = scan._replace(requires=requires)
            variables = sdist_scan.shaping(scan, project, self._environ, self._build_variables)
        native = scan.native or (watched is not None and watched.native)
        made = Conditions(
            settings=build_record.settings([*settings, *self._options, *self._constrained(scan)]),
            variables={name: digest.hashed(value) for name, value in variables.items() if name not in build_record.COMPILERS},
            tools=build_record.tools(scan.tools, self._environ),
            build_dependencies={
                name: self._build_dependencies[name] for name in scan.requires if name in self._build_dependencies
            },
        )
        if not scan.compiles:
            return made._replace(cpu=build_record.cpu({}, native=native))
        here = self._cache.environment.build
        kind, version = here["libc"]
        compilers = build_record.compilers(self._environ, here["compilers"])
        return made._replace(
            abi=here["abi"], libc=(kind, version), compilers=compilers, cpu=build_record.cpu(variables, native=native)
        )

    def _constrained(self, scan: SourceScan) -> Iterator[str]:
        for name in scan.requires:
            if name in self._constraints:
                yield f"constraint {self._constraints[name]}"

    def _stale(self, project: str, link: Link, then: Mapping[str, str]) -> str:
        """Return why the file at *link* may differ from the source of a wheel, which had the digests *then*; "" if not.

        "" also for a commit, and if the link states digests of which none can be compared with *then*. If it states none, the
        SHA-256 of the file counts, as far as `_source_now` knows it; an unknown one is a reason. Raises `OSError`.
        """
        if locator.is_vcs(link.url):
            return ""  # the key of the wheel contains the commit
        stated = link.digests + locator.pypi_digest(link.url)
        if stated:
            return "it was built from another source file" if digest.agree(stated, then) is False else ""
        now = self._source_now(project, link)
        if now is None:
            return _UNSTATED
        return "" if then.get("sha256") == now else "its source has changed since"

    def _source_now(self, project: str, link: Link) -> str | None:
        """Return the SHA-256 of the file at *link*; None if it is unknown.

        A file on a server counts only if pip's cache or the store has a download of it that pip would use without asking the
        server. Raises `OSError`.
        """
        if not locator.is_http(link.url):
            source = self._source(link)
            return self._sha256(project, source) if source else None
        entry, response = self._download(link)
        return self._sha256(project, entry) if entry and response and response.fresh(http_entries.now()) else None

    def _download(self, link: Link) -> tuple[HttpEntry, Response] | tuple[None, None]:
        """Return the download of *link* in pip's cache, fresh or not, and its response; (None, None) without a readable one.

        The one in the store counts only if pip's cache has none, or a spent one.
        """
        found = self._cache.http.find(link.url)
        if found is None:
            kept = store.http_entry(self._cache.root, self._cache.http.entry_at(link.url))
            head = http_entries.read_head(kept.paths[0]) if kept else None
            return (kept, head.response) if kept and head and not head.unreadable else (None, None)
        return (None, None) if found[0].fault or found[0].unreadable else found[:2]

    def _sha256(self, project: str, entry: HttpEntry | LocalFile) -> str | None:
        stamp = entries.stamp(entry.content_path)
        with _of_its_source():
            return self._inspector.proof(Reading(project, entry, stamp, RequiredProof())).digests["sha256"] if stamp else None

    def _scan_of(self, link: Link | None, wheel: BuiltWheel) -> SourceScan:
        """Return the scan of the source of *wheel* at *link*; `_NOT_AT_HAND` without a *link*, or if that file is not here.

        So also if the file is not an sdist that pinstall can scan. Raises `OSError`.
        """
        if link is None:
            return _NOT_AT_HAND
        if link.url not in self._sources:
            self._sources[link.url] = self._read(link, wheel) or _NOT_AT_HAND
        return self._sources[link.url]

    def _source(self, link: Link) -> HttpEntry | LocalFile | None:
        """Return the file to which *link* leads now: a local file, or a download in pip's cache or the store; else None."""
        if not locator.is_http(link.url):
            return locator.local_file(link)
        entry = self._download(link)[0]
        return entry if entry and entries.stamp(entry.content_path) is not None else None

    def _read(self, link: Link, wheel: BuiltWheel) -> SourceScan | None:
        entry = self._source(link)
        if entry is None:
            return None
        with entries.open_content(wheel) as built:
            packages = integrity.top_level(built)
        with _of_its_source(), entries.open_content(entry) as file:
            return sdist_scan.read(file, link.filename, packages)

    def _libraries(self, wheel: BuiltWheel) -> Libraries:
        environment = self._cache.environment
        with entries.open_content(wheel) as file:
            found = libraries(file, environment.build["site_packages"], environment.path, self._environ)
        return found or Libraries()


def _is_proven(pin: Pin, then: Mapping[str, str], record: BuildRecord | None) -> bool:
    """Return whether pinstall saw a wheel being built (*record*), and one of the digests *then* of its source is pinned."""
    return record is not None and record.observed and any(then.get(d.algorithm) == d.hex for d in pin.hashes)


@contextmanager
def _of_its_source() -> Iterator[None]:
    """Add to the message of an `OSError` that the source could not be read, rather than the wheel."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"its source cannot be read: {error.strerror}") from error


def _constraints(environ: Mapping[str, str], pip: tuple[int, ...]) -> dict[str, str]:
    """Return the constraint that the files of ``PIP_CONSTRAINT`` state for each project, as written; the last one counts.

    Skips files that cannot be read. Empty for *pip* 26.2 and later: only older ones apply these files to build requirements.
    """
    found: dict[str, str] = {}
    if pip >= (26, 2):
        return found
    for path in environ.get("PIP_CONSTRAINT", "").split():
        try:
            lines = [
                line for line in requirements_files.read(path, constraint=True, pip=pip) if isinstance(line, RequirementLine)
            ]
        except UnreadableCallError:
            continue  # pip reports it
        found |= {name: line.text for line in lines if (name := project_named(line.text))}
    return found


def _content(path: str) -> str:
    """Return the content of a constraints file; the *path* if that is not a regular file: a pipe can be read only once.

    Raises `OSError`.
    """
    if entries.stamp(os.path.realpath(path)) is None:
        return path
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
