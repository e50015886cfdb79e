"""Explain a call (``pinstall --explain``): its inputs, its pins, the cache entries for them, and their fate.

The page comes from the steps of a call under ``PINSTALL_POLICY=report``, which change nothing. Fit for a bug report, it
contains no secrets: URLs are without credentials and queries; of the options, only those in `_SHOWN` have their values, and of
the variables, only pinstall's own, except its secret ones.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, NamedTuple

from pinstall import __version__, exit_status, install, messages, settings
from pinstall.invocation import options
from pinstall.journal import Journal
from pinstall.model.links import link, without_secrets
from pinstall.model.verdict import Delete, Hide, Keep, SetAside, Unreadable
from pinstall.pip_cache.entries import BuiltWheel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pinstall.checks.checker import Finding
    from pinstall.checks.prepare import PreparedCache
    from pinstall.install import Context, PreparedCall
    from pinstall.invocation.invocation import Invocation
    from pinstall.model.pins import Pin, Pins
    from pinstall.pip_cache.entries import HttpEntry
    from pinstall.settings import Settings

# The options that decide which files pip uses, or how it builds them; of these, the values are shown: paths, names and numbers.
_SHOWN = {
    *("requirements", "constraints", "build_constraints", "requirements_from_scripts", "dependency_groups", "editables"),
    *("target_dir", "prefix_path", "root_path", "platforms", "python_version", "implementation", "abis", "upgrade_strategy"),
    *("format_control", "all_releases", "only_final", "refresh_package", "uploaded_prior_to", "features_enabled"),
    "deprecated_features_enabled",
}
_NAMED = {
    *("ignore_dependencies", "only_dependencies", "use_user_site", "upgrade", "force_reinstall", "ignore_installed", "pre"),
    *("ignore_requires_python", "use_pep517", "config_settings", "require_hashes", "no_require_hashes", "prefer_binary"),
    *("no_index", "isolated_mode", "dry_run", "cache_dir", "python", "global_options", "build_options"),
}
# Options that are off unless a call sets them to False.
_SWITCHED_OFF = ("build_isolation", "use_pep517")
_SOURCES = ("requirements", "editables", "dependency_groups", "requirements_from_scripts")
_COLUMN = 13
_INDENT = "    "


class Explanation(NamedTuple):
    """The ``lines`` of the page, and the exit ``status``.

    It is 0; 1 if pinstall would remove, move or hide a cached file before pip runs, could not check something, or ignores an
    invalid setting; 2 if pip would refuse the call, or pinstall cannot read it or knows no version of its pip. Files that would
    be restored, and other versions that would be set aside after pip, leave it at 0.
    """

    lines: tuple[str, ...]
    status: int


def explain(context: Context) -> Explanation:
    """Return the explanation of the call of *context*. Prints and changes nothing, writes no report, and starts no pip.

    Like a call, may start the environment's Python, compilers, and programs that a build record names. It states what the call
    would do under ``evict``, also if another policy is set.
    """
    journal = Journal("", lambda *_: None)
    quiet = context.settings._replace(policy="report", report="")
    prepared = install.prepare(context._replace(settings=quiet), journal)
    if prepared.cache is None and not prepared.satisfied:
        install.note_unsatisfied(prepared, journal)
    page = _Page(prepared, journal, context.settings)
    lines = (*page.inputs(), "", *page.body())
    return Explanation(lines, page.status)


class _Page:
    """The page of a call that is *prepared* for pip, with the findings of the *journal* and the *settings* of the user.

    The iterators of `inputs` and `body` set the exit ``status``, which is right once both have been read to their ends.
    """

    def __init__(self, prepared: PreparedCall, journal: Journal, settings: Settings) -> None:
        self._prepared, self._journal, self._settings = prepared, journal, settings
        self.status = 0

    def inputs(self) -> Iterator[str]:
        """Yield the lines about the environment, pip, cache, settings, indexes, options and build variables of the call.

        Leaves out the last three if pinstall could not read the call.
        """
        context, call = self._prepared.context, self._prepared.call
        yield f"pinstall {__version__} explains a call. It has installed and changed nothing."
        yield ""
        yield _row("environment", f"{context.environment.python} ({self._python()})")
        if context.target.note:
            yield _row("", context.target.note)
        pip = ".".join(map(str, context.pip_version)) or "of unknown version"
        yield _row("pip", f"{pip}, run by {context.target.runner}")
        yield _row("cache", self._cache(call))
        yield _row("policy", self._policy())
        yield from _rows("settings", _settings(context.environ))
        for setting in self._settings.invalid:
            self.status = max(self.status, exit_status.WOULD_CHANGE)
            yield _row("", messages.ignored_setting(setting))
        if call is not None:
            indexes = [*map(without_secrets, call.index_urls), *(f"find-links {without_secrets(x)}" for x in call.find_links)]
            yield from _rows("indexes", indexes or ["none"])
            yield from _rows("options", _options(call) or ["none"])
            yield _row("builds", _builds(self._prepared))

    def body(self) -> Iterator[str]:
        """Yield the lines about pins and requirements with their entries, unread sources, the view, and other versions.

        If pinstall could not read the call, yields only one line with the reason.
        """
        call = self._prepared.call
        if call is None:
            self.status = exit_status.REFUSED_OR_CRASHED
            yield f"not checked: {self._unreadable()}"
            return
        yield from self._refused(call)
        found = install.pins(self._prepared)
        for pin in found.pins:
            yield from self._pin(pin)
        if names := _unpinned(call, found):
            yield f"not pinned, or not for this environment: {messages.listed(names)}"
            yield f"{_INDENT}as a rule, their cached files are checked only after pip has failed"
        for unread in self._journal.unread:
            self.status = max(self.status, exit_status.WOULD_CHANGE)
            yield f"not checked: {unread.source}: {unread.reason}"
        if self._prepared.cache:
            yield from self._others({pin.project for pin in found.pins}, self._prepared.cache)
            yield from self._after(self._prepared.cache)

    def _unreadable(self) -> str:
        unchecked = self._prepared.unchecked
        if unchecked is None or unchecked is install.NOT_UNDERSTOOD:
            return f"{without_secrets(self._prepared.refusal)}; pip refuses that, or it is newer than this pinstall"
        return unchecked.reason

    def _refused(self, call: Invocation) -> Iterator[str]:
        """Yield the lines about requirements that pip refuses (invalid, without a hash, in conflict), or that the call lacks.

        Also yields one if options contradict each other. Sets ``status`` to 2 if it yields any.
        """
        from pinstall.model.requirement import is_refused

        bad = [line for line in call.lines if not line.editable and is_refused(line.text)]
        for line in bad:
            shown = without_secrets(line.text)
            yield f"pip refuses {shown!a} ({line.place}): it is neither a valid requirement nor a path that exists"
        is_contradictory = call.has("require_hashes") and call.has("no_require_hashes")
        if is_contradictory:
            yield "pip refuses --require-hashes and --no-require-hashes in one call"
        unhashed = [pin for pin in self._journal.unsatisfied if _lacks_hash(call, pin)]
        for pin in unhashed:
            yield f"pip refuses {messages.pinned(pin)}: it has no hash, and the call requires hashes"
        conflicts = install.pins(self._prepared).conflicts
        for conflict in conflicts:
            stated = (f"{text} ({place})" for text, place in zip(conflict.requirements, conflict.places, strict=True))
            yield f"pip refuses {' and '.join(stated)}: they contradict each other"
        is_empty = call.unread == () and not call.has(*_SOURCES) and all(line.constraint for line in call.lines)
        if is_empty:
            yield "pip refuses the call: it names no requirement"
        if bad or is_contradictory or unhashed or conflicts or is_empty:
            self.status = exit_status.REFUSED_OR_CRASHED

    def _python(self) -> str:
        version, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
        if not self._prepared.context.environment.is_own and self._prepared.call is not None:
            theirs = self._prepared.context.environment.markers.get("python_full_version", "unknown")
            return f"Python {theirs}; pinstall runs on Python {version}; {system}"
        return f"Python {version}; {system}"

    def _cache(self, call: Invocation | None) -> str:
        if call is None:
            return "unknown"
        folder = self._journal.cache
        if folder is None:
            return "none: pip's cache is disabled, belongs to another user, or cannot be written"
        if os.path.isdir(folder):
            return folder
        return f"{folder} ({'not a directory: pip runs without a cache' if os.path.lexists(folder) else 'not there yet'})"

    def _policy(self) -> str:
        meanings = {
            "evict": "evict: bad files are removed",
            "report": "report: pinstall says what it would do, and changes nothing",
            "off": "off: pinstall runs plain pip and checks nothing; below is what it would do otherwise",
        }
        return meanings[self._settings.policy]

    def _pin(self, pin: Pin) -> Iterator[str]:
        version = self._prepared.installed_before.get(pin.project) or self._prepared.context.environment.installed_version(
            pin.project
        )
        stands = f"installed: {version}" if version else "not installed"
        hashes = f", {len(pin.hashes)} {'hash' if len(pin.hashes) == 1 else 'hashes'}" if pin.hashes else ""
        yield f"{messages.pinned(pin)}{hashes}; {stands}"
        prepared = self._prepared.cache
        if self._prepared.satisfied or pin not in self._journal.unsatisfied:
            yield f"{_INDENT}pip leaves it as it is, and opens no cached file for it"
        elif prepared is None:
            yield f"{_INDENT}not checked: pip uses no cache"
        elif pin not in prepared.needed:
            yield f"{_INDENT}nothing that the call requests needs it: pip opens no cached file for it"
        else:
            found = [finding for finding in self._journal.findings if finding.pin.project == pin.project]
            for finding in found:
                yield f"{_INDENT}{self._entry(finding, prepared)}"
            if not any(isinstance(f.entry, BuiltWheel) or f.entry.kind == "download" for f in found):
                where = "at its URL" if pin.url else "in the indexes and folders of the call"
                yield f"{_INDENT}no file of it is in the cache: pip looks for it {where}"

    def _others(self, pinned: Collection[str], prepared: PreparedCache) -> Iterator[str]:
        """Yield the lines about entries that were checked, of projects other than the *pinned* ones."""
        for finding in self._journal.findings:
            if finding.pin.project not in pinned:
                yield finding.pin.project
                yield f"{_INDENT}{self._entry(finding, prepared)}"

    def _entry(self, finding: Finding, prepared: PreparedCache) -> str:
        is_change, fate = _fate(finding, prepared)
        if is_change:
            self.status = max(self.status, exit_status.WOULD_CHANGE)
        kind = messages.KINDS[finding.entry.kind]
        where = " in pinstall's store" if finding.stored else ""
        name = finding.entry.filename if kind in finding.entry.filename else f"{kind} {finding.entry.filename}"
        return f"{name}{where}: {fate}"

    def _after(self, prepared: PreparedCache) -> Iterator[str]:
        """Yield the lines about the view, and about the files of other versions."""
        yield ""
        view = prepared.plan.view
        if view.needed:
            yield "pip would get a folder of links to its cache (a view), without the files that it must not use"
        else:
            yield "pip would use its cache directly"
        if prepared.settings.keeps_versions:
            return
        from pinstall.aftermath import other_versions

        for pin in (pin for pin in prepared.needed if pin.has_version):
            names = messages.listed(other.entry.filename for other in other_versions.find(prepared.cache, pin, prepared.wanted))
            if names:
                yield f"other versions of {pin.project}, which would move to pinstall's store after pip: {names}"


def _row(name: str, text: str) -> str:
    return f"{name:{_COLUMN}}{text}"


def _rows(name: str, texts: Sequence[str]) -> Iterator[str]:
    for index, text in enumerate(texts):
        yield _row("" if index else name, text)


def _lacks_hash(call: Invocation, pin: Pin) -> bool:
    """Return whether pip refuses *pin* for lack of a hash: with ``--require-hashes``, or beside a requirement that has one.

    Without ``--require-hashes``, ``--no-require-hashes`` prevents that. False for a pin that only constraints state.
    """
    is_implied = not call.has("no_require_hashes") and any(line.hashes for line in call.lines)
    is_required = is_implied or call.has("require_hashes")
    return is_required and pin.requested and not (pin.hashes or pin.locked or link(pin.url).digests)


def _settings(environ: Mapping[str, str]) -> list[str]:
    found = []
    for name, value, usual in settings.listed(environ):
        text = f"{messages.shortened(value)!a}" if value else f"not set (default {usual})" if usual else "not set"
        found.append(f"{name} {text}")
    return found


def _options(call: Invocation) -> list[str]:
    """Return the options that decide about files and builds and are set, with the values that hold no secret."""
    found = []
    for dest, value in sorted(call.values.items()):
        values = value if isinstance(value, list) else [value]
        if dest == "format_control" and value:
            found += [f"{name} {without_secrets(what)}" for name, what in values]
        elif dest in _SHOWN and value:
            found += [f"{_long(dest)} {without_secrets(str(one))}" for one in values]
        elif (dest in _NAMED and value) or (value is False and dest in _SWITCHED_OFF):
            found.append(_long(dest, is_off=value is False))
    return found


def _long(dest: str, *, is_off: bool = False) -> str:
    """Return the long name of the option that sets *dest*, or if *is_off*, of the one that turns it off."""
    rows = (row for row in options.TABLE if row.dest == dest and (row.action in ("unflag", "off")) == is_off)
    names = next(rows).names.split()
    return next((name for name in names if name.startswith("--")), names[0])


def _builds(prepared: PreparedCall) -> str:
    """Return a text with the names of the set variables that shape builds, as far as they are known without a source."""
    from pinstall.inspection import sdist_scan

    environ, more = prepared.context.environ, prepared.context.settings.build_variables
    projects = ["", *(pin.project for pin in install.pins(prepared).pins)]
    names = sorted({name for project in projects for name in sdist_scan.shaping(None, project, environ, more)})
    return f"shaped by {', '.join(names)} (values not shown)" if names else "no variable that shapes builds is set"


def _unpinned(call: Invocation, known: Pins) -> list[str]:
    """Return the name ("a URL or path" for these) and place of each requirement of *call* that has no pin for this environment.

    Leaves out constraints, requirements in conflict with others, and those that pip refuses.
    """
    from pinstall.model.names import project_named
    from pinstall.model.requirement import is_refused

    pinned = {pin.project for pin in known.pins} | {conflict.project for conflict in known.conflicts}
    places = {place for pin in known.pins for place in pin.places}
    found = []
    for line in call.lines:
        name = project_named(line.text)
        is_path = not name or ":" in line.text or os.sep in line.text
        is_known = name in pinned or (is_path and line.place in places and not line.editable)
        if line.constraint or is_known or (is_refused(line.text) and not line.editable):
            continue
        found.append(f"{'a URL or path' if is_path else name} ({line.place})")
    return found


def _fate(finding: Finding, prepared: PreparedCache) -> tuple[bool, str]:
    """Return whether pinstall would keep the entry from pip (remove, move or hide it), and the fate of it with its reason.

    False also for a built wheel with the verdict *hide* that is in the store, or beside which another build fits the call.
    """
    match finding.verdict:
        case Delete() as verdict:
            act = "pip asks the index for it again" if finding.entry.kind == "page" else "pinstall removes it"
            return True, f"{act}: {verdict.detail} ({verdict.reason})"
        case Hide(reason="stale-page") as verdict:
            return True, f"pip asks the index for it again: {verdict.detail} ({verdict.reason})"
        case SetAside() as verdict:
            return True, f"pinstall moves it to its store: {verdict.detail} ({verdict.reason})"
        case Hide() as verdict:
            why = f"{verdict.detail} ({verdict.reason})"
            return any(hidden is finding for hidden in prepared.plan.hidden), f"pip does not use it: {why}"
        case Unreadable() as verdict:
            return True, f"pinstall hides it from pip: it could not be checked ({verdict.detail})"
        case Keep():
            return False, _kept(finding, prepared)


def _kept(finding: Finding, prepared: PreparedCache) -> str:
    if (page := finding.candidate.page) is not None:
        is_used = prepared.cache.uses_unasked(page, finding.pin.project)
        return "pip uses it without asking the index" if is_used else "pip asks the index whether it has changed"
    if isinstance(finding.entry, BuiltWheel):
        if not any(used is finding for used in prepared.plan.used):
            return "it is intact, but pip does not need it, or uses another build"
        why = "it is intact, and this call would build it in the same way"
    else:
        why = _trust(finding, finding.entry, prepared)
    return f"{'pinstall restores it' if finding.stored else 'pip uses it'}: {why}"


def _trust(finding: Finding, entry: HttpEntry, prepared: PreparedCache) -> str:
    """Return the reason why the download or metadata file *entry* is trusted."""
    ledger = prepared.checker.inspector.ledger(finding.pin.project)
    if tolerated := ledger.tolerated(entry.key, finding.identity):
        return f"it was removed before ({', '.join(sorted(tolerated))}), and the index served it again unchanged"
    if entry.expected:
        return f"its {entry.expected[0].algorithm} is what the index or URL states"
    return "its hash is pinned" if finding.pin.hashes else "no hash is known; the archive is intact"
