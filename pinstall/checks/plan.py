"""Plan a call: the entries to delete, set aside and restore, and the built wheels that its pip may see. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinstall.model.verdict import Delete, Hide, Keep, SetAside, Unreadable
from pinstall.pip_cache.entries import BuiltWheel, HttpEntry
from pinstall.storage.view import ViewPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pinstall.checks.checker import Finding


class Plan(NamedTuple):
    """The consequences of the findings of a call.

    ``acts`` are the findings that change the cache (`is_act`), those on entries that could not be read, and those on stored
    downloads that stay stored. ``used`` are the findings on built wheels that fit this call, one for each file name, under keys
    where pip may build; ``hidden`` are those on the wheels in pip's own folder under such a key if none fits, and one on each
    page that pip must ask for again. ``view`` shows only the used wheels under these keys, and hides these pages; other HTTP
    entries are hidden only after `without`.
    """

    acts: tuple[Finding, ...] = ()
    used: tuple[Finding, ...] = ()
    hidden: tuple[Finding, ...] = ()
    view: ViewPlan = ViewPlan()

    def without(self, finding: Finding) -> Plan:
        """Return the plan with a view that also hides the entry of *finding*, which stays in the cache, bad or unreadable."""
        entry, view = finding.entry, self.view
        if not isinstance(entry, BuiltWheel):
            return self._replace(view=view._replace(absent=(*view.absent, entry)))
        fit = [wheel for wheel in _wheels(self.used) if wheel.wheel_key == entry.wheel_key]
        return self._replace(view=view._replace(private={entry.wheel_key: fit, **view.private}))

    def covers(self, key: str) -> bool:
        """Return whether the plan says which built wheels under *key* pip may see, because it may build there."""
        return key in self.view.private or any(finding.candidate.wheel_key == key for finding in self.used)


class _Choice(NamedTuple):
    """The choice among the built wheels of one key: the parts of its `Plan`, and the wheels that pip sees (``shown``).

    ``shown`` may be None: then pip sees all that are in its own folder.
    """

    acts: list[Finding]
    used: list[Finding]
    hidden: list[Finding]
    shown: list[BuiltWheel] | None


def make(findings: Iterable[Finding], may_build: Mapping[str, bool], idle_keys: Iterable[str], *, any_key: bool) -> Plan:
    """Make the plan of a call.

    *may_build* maps the key of each built wheel in *findings*, and further ones, to whether pip may build under it. With
    *any_key*, pip may also build under others. *idle_keys* are those whose folders have no wheel that it could use: the view
    shows them empty, so that pip's builds stay in the view.
    """
    builds: dict[str, list[Finding]] = {}
    acts: list[Finding] = []
    pages: dict[str, Finding] = {}
    for finding in findings:
        if isinstance(finding.entry, BuiltWheel):
            builds.setdefault(finding.entry.wheel_key, []).append(finding)
        elif isinstance(finding.verdict, Hide):
            pages.setdefault(finding.entry.key, finding)
        elif finding.stored or not isinstance(finding.verdict, Keep):
            acts.append(finding)
    choices = {key: _choose(builds.get(key, ()), may_build=allowed) for key, allowed in may_build.items()}
    private: dict[str, Sequence[BuiltWheel]] = {key: [] for key in idle_keys}
    private |= {key: choice.shown for key, choice in choices.items() if choice.shown is not None}
    return Plan(
        (*acts, *(finding for choice in choices.values() for finding in choice.acts)),
        tuple(finding for choice in choices.values() for finding in choice.used),
        (*pages.values(), *(finding for choice in choices.values() for finding in choice.hidden)),
        ViewPlan(private, any_key=any_key, absent=[page.entry for page in pages.values() if isinstance(page.entry, HttpEntry)]),
    )


def _choose(findings: Sequence[Finding], *, may_build: bool) -> _Choice:
    """Choose among the built wheels of one key, in pip's own folder and in the store.

    Bad wheels are acts in any case. If pip may not build, nothing is hidden or restored. Else a wheel that pinstall saw being
    built takes precedence over an adopted one, whose flags nobody recorded; of several with one name, the first in *findings*
    counts. Stored ones are restored only if pip's own folder has no sound wheel; if it has one, the view alone shows them.
    """
    acts = [finding for finding in findings if isinstance(finding.verdict, Delete | Unreadable)]
    if not may_build:
        return _Choice(acts, [], [], None)
    own = [finding for finding in findings if not finding.stored and isinstance(finding.verdict, Keep | Hide)]
    fits = [finding for finding in findings if isinstance(finding.verdict, Keep)]
    fits = [finding for finding in fits if finding.record and finding.record.observed] or fits
    chosen = list({finding.entry.filename: finding for finding in reversed(fits)}.values())
    entries = _wheels(chosen)
    if not chosen:
        return _Choice(acts, [], own, [])
    if not own:
        # pip's own folder is empty, so these are restored there. The view shows them even if a plain pip fills it first.
        return _Choice([*acts, *chosen], chosen, [], entries)
    is_same = {finding.entry.content_path for finding in chosen} == {finding.entry.content_path for finding in own}
    return _Choice(acts, chosen, [], None if is_same else entries)


def _wheels(findings: Iterable[Finding]) -> list[BuiltWheel]:
    return [finding.entry for finding in findings if isinstance(finding.entry, BuiltWheel)]


def is_act(finding: Finding) -> bool:
    """Return whether applying a finding changes the cache: deletes or sets aside an entry, restores or deletes a stored one.

    Built wheels that do not fit stay where they are: the view hides them.
    """
    return isinstance(finding.verdict, (Keep | Delete) if finding.stored else (Delete | SetAside))
