"""Limit the view of a second run of pip to the entries that are vouched for, and take over the entries that it received.

The second run sees only those HTTP entries that are vouched for (see `survey`) or that the first run received. It is an
experiment: if it succeeds, comparing the entries that it received with the old ones shows which of them were wrong.
`second_run` decides whether it takes place. docs/how.md has the rules as tables.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pinstall.aftermath.survey import Survey, listed
from pinstall.inspection import integrity
from pinstall.model import links
from pinstall.model.verdict import not_found
from pinstall.pip_cache import built_wheels, entries, http_entries, keys
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import actions, store, view

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.checks.checker import Checker
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.entries import Entry, FileStamp
    from pinstall.pip_process import Observation

# Seconds. If builds took longer, pip does not run again.
_LONG_BUILDS = 10.0
_STDOUT = ("-", "/dev/stdout")
# Bytes of built wheels to check if a nested pip, which is not watched, may have used them.
_MOST_WHEELS = 1 << 29


class Wrong(NamedTuple):
    """An entry that was wrong: its name for the user, and the reason."""

    name: str
    reason: str


class _BadWheel(NamedTuple):
    """A built wheel that the second run must not use, because of its ``damage``, or because a library is ``missing``.

    Both are texts for the user, of which one is "".
    """

    entry: BuiltWheel
    stamp: FileStamp | None
    damage: str
    missing: str


class Rescue:
    """The entries that pip used before it failed, and the conditions of a second run."""

    def __init__(self, checker: Checker, pins: Iterable[Pin], first: Observation, hidden: Iterable[str] = ()) -> None:
        """Inspect the entries that the *first* run of pip used, for the *pins* of the call and with the cache of *checker*.

        *hidden* are the keys of the HTTP entries in the cache that the view of that run did not show.
        """
        self._checker, self._cache, self._pins, self.first = checker, checker.cache, tuple(pins), first
        self.survey = Survey(self._cache, self._pins, first, hidden)
        self._seen = {key: self._stamps(key) for key in self.survey.known}
        self._wheels = list(self._bad_wheels())
        self._taken: set[str] = set()

    @property
    def is_called_for(self) -> bool:
        """Whether pip used an old entry that nothing vouches for, or may have used a bad built wheel."""
        return bool(self.survey.doubtful or self._wheels)

    @property
    def doubtful(self) -> list[str]:
        """The names of the entries that call for a second run, for the user."""
        return [*sorted(map(self.survey.name, self.survey.doubtful)), *(wheel.entry.filename for wheel in self._wheels)]

    @property
    def sent_by_servers(self) -> frozenset[str]:
        """The keys of the entries in pip's cache that servers sent in this call.

        Those of the second run are among them after `take_received`, if it moved them there.
        """
        return self.survey.used.new | self._taken

    def forbidden(self) -> str:
        """Return the first reason why pip must not run again, as a text for the user; "" if it may."""
        first, call = self.first, self._cache.call
        silent = self.silent_hosts
        reasons = (
            (first.asked_user, "it asked a question, and would ask it again"),
            (not all(map(self._may_be_outdated, first.login_hosts)), "a server asks for a login"),
            (
                first.read_a_pipe or any(unread.once for unread in call.unread),
                "it read a pipe, which can be read only once",
            ),
            (call.values.get("json_report_file") in _STDOUT, "standard output would contain two reports"),
            (call.values.get("output_file") in _STDOUT, "standard output would contain two lock files"),
            (first.build_seconds > _LONG_BUILDS, f"its builds took {first.build_seconds:.0f} s, and would start over"),
            (silent, f"{', '.join(silent)} did not answer"),
        )
        return next((why for applies, why in reasons if applies), "")

    @property
    def silent_hosts(self) -> list[str]:
        """The hosts that did not answer the first run, except those to which an old entry may have led it."""
        return [host for host in sorted(self.first.silent_hosts) if not self._may_be_outdated(host)]

    def _may_be_outdated(self, host: str) -> bool:
        """Return whether an old entry may have led pip to a *host*: any old redirect, or an old page that links to it.

        Such a page does not count if the call itself names the host.
        """
        return any(map(self.survey.is_redirect, self.survey.used.old)) or host in self.survey.old_hosts

    @property
    def is_too_long(self) -> bool:
        """Whether the first run built for so long that this alone forbids a second one (see `spend_doubtful_pages`)."""
        return self.first.build_seconds > _LONG_BUILDS

    def spend_doubtful_pages(self) -> list[Wrong]:
        """Spend the doubtful pages and redirects, so that the next call fetches them; return those for which that worked.

        The caller holds the lock.
        """
        return self._spend_pages(self.survey.doubtful)

    @property
    def known_failures(self) -> list[str] | None:
        """The URLs and hosts that gave the first run no answer or an error; None if the call has at most one index or location.

        With several, pip continues without an index that does not answer, and may take another project of the same name
        from the next one. So the second run must not lose an answer that the first one had.
        """
        call = self._cache.call
        several = len(call.index_urls) + len(call.find_links) > 1
        return sorted(self.first.lost_urls | self.first.silent_hosts) if several else None

    def seal(self, folder: str) -> None:
        """Limit the view in *folder* to the HTTP entries that are vouched for or that the first run received.

        What was hidden stays hidden. Has pip ask the server about those in `Survey.to_be_confirmed`; before pip 23.3, leaves
        these out, so that pip fetches them. Also hides the built wheels that the first run used, or may
        have used, and that are damaged or lack a library. Raises `OSError`.
        """
        survey, layout = self.survey, self._cache.http.layout
        shown: dict[str, bytes | None] = dict.fromkeys(survey.used.new)
        for key in survey.vouched - survey.used.new:
            if key not in survey.to_be_confirmed:
                shown[key] = None
            elif layout is keys.TWO_FILES and (head := http_entries.asking_head(survey.entry(key).paths[0])):
                shown[key] = head
        view.seal(self._cache.root, folder, layout, shown)
        view.forget_gone(folder)
        for wheel in self._wheels:
            view.hide(folder, wheel.entry)

    def take_received(self, folder: str, *, succeeded: bool) -> list[Wrong]:
        """Move the entries that the second run received from the view in *folder* to the cache; return the wrong old ones.

        After a success, every received entry replaces the old one; an old one that differs is wrong. The doubtful pages and
        redirects that were not received are spent, damaged built wheels are deleted, and both count as wrong, too. After a
        failure, a page replaces the old one only if it is whole and lists files, and another entry only if it is vouched for;
        then no entry counts as wrong. An old entry that another process has changed meanwhile stays; after a success it counts
        as wrong if it was doubtful. The caller holds the lock.
        """
        received = frozenset(view.received(folder, self._cache.http.layout))
        new = self._received_survey(folder, received)
        worth = (
            received if succeeded else {key for key in received if key in new.vouched or (key in new.pages and new.offers(key))}
        )
        wrong = []
        for key in sorted(worth):
            if key in self._seen and self._stamps(key) != self._seen[key]:
                if succeeded and key in self.survey.doubtful:
                    wrong.append(Wrong(self.survey.name(key), "another process has replaced it meanwhile"))
                continue
            reason = self._difference(key, new) if succeeded else ""
            if reason:
                known = self.survey if key in self.survey.claims or key in self.survey.pages else new
                wrong.append(Wrong(known.name(key), reason))
            actions.take_over(self._cache.root, folder, self.survey.entry(key))
            self._taken.add(key)
        if succeeded:
            wrong += self._spend_pages(self.survey.doubtful - received) + self._delete_damaged_wheels()
        return wrong

    def remove_refused(self) -> list[Wrong]:
        """Spend the doubtful and received entries of the first run that pip refuses, and delete damaged built wheels.

        `Survey.reason_refused` tells the former: by the next call, the server may send the right file again. Returns the
        entries for which that worked. The caller holds the lock.
        """
        wrong = []
        for key in sorted(self.survey.used.new | self.survey.doubtful):
            if reason := self.survey.reason_refused(key):
                wrong += self._delete(self.survey.entry(key), self._stamps(key)[-1], self.survey.name(key), reason)
        return wrong + self._delete_damaged_wheels()

    def _spend_pages(self, doubted: Iterable[str]) -> list[Wrong]:
        """Spend the index pages and redirects among the entries with the keys *doubted*; return those for which that worked."""
        wrong = []
        for key in sorted(doubted):
            if key in self.survey.pages or self.survey.is_redirect(key):
                name = self.survey.name(key)
                wrong += self._delete(self.survey.entry(key), self._seen[key][-1], name, "the servers did not send it again")
        return wrong

    def _delete_damaged_wheels(self) -> list[Wrong]:
        """Delete the damaged built wheels; return those for which that worked."""
        damaged = (wheel for wheel in self._wheels if wheel.damage)
        return [
            wrong for wheel in damaged for wrong in self._delete(wheel.entry, wheel.stamp, wheel.entry.filename, wheel.damage)
        ]

    def _delete(self, entry: Entry, stamp: FileStamp | None, name: str, reason: str) -> list[Wrong]:
        """Delete a built wheel, or spend an HTTP entry; return it with *name* and *reason*, as a list of one.

        The list is empty if the entry is gone, has another *stamp* now, or cannot be removed.
        """
        root = self._cache.root
        with suppress(actions.NotDoneError, actions.ChangedError):
            if actions.delete(root, entry, stamp) if isinstance(entry, BuiltWheel) else actions.spend(root, entry, stamp):
                return [Wrong(name, reason)]
        return []

    def _stamps(self, key: str) -> tuple[FileStamp | None, ...]:
        return tuple(map(entries.stamp, self.survey.entry(key).paths))

    def _received_survey(self, folder: str, received: Iterable[str]) -> Survey:
        """Survey the view in *folder*, as after a run that used no old entries and *received* those with these keys."""
        layout = self._cache.http.layout
        paths = (os.path.join(folder, path) for key in received for path in keys.http_paths(key, layout))
        return Survey(
            self._cache.at(folder), self._pins, self.first._replace(opened_files=frozenset(), written_files=frozenset(paths))
        )

    def _difference(self, key: str, new: Survey) -> str:
        """Return how the received entry *key*, surveyed by *new*, differs from the old one.

        "" if it does not, and if no old one is left, the view of the first run hid it, or the first run received it anew. Two
        redirects differ if they lead to different URLs; a redirect and another entry always do. Two pages differ if they list
        other files that this call could use.
        """
        old = self.survey
        if key in old.used.new | old.hidden or not os.path.lexists(old.entry(key).content_path):
            return ""
        if old.is_redirect(key) or new.is_redirect(key):
            return "" if old.redirect(key) == new.redirect(key) else "its redirect was outdated"
        if key in old.pages and key not in old.claims:  # a server may have sent a page in place of a file
            same = listed(old.offers(key), self._cache) == listed(new.offers(key), self._cache)
            return "" if same else "it was outdated"
        return "" if old.sha256(key) == new.sha256(key) else "it differs from the file on the server"

    # Built wheels

    def _bad_wheels(self) -> Iterator[_BadWheel]:
        """Yield the built wheels that pip has used, or may have used, and that are damaged or lack a library."""
        for entry in self._used_wheels():
            damage = missing = ""
            with suppress(OSError):
                damage, missing = self._faults(entry)
            if damage or missing:
                yield _BadWheel(entry, entries.stamp_of(entry), damage, missing)

    def _used_wheels(self) -> Iterator[BuiltWheel]:
        """Yield the built wheels, of pip's cache and the store, that pip has opened.

        If it started an unwatched pip, also yields others, up to `_MOST_WHEELS` bytes: that pip may have used them.
        """
        opened = {os.path.realpath(path) for path in self.first.opened_files if path.endswith(".whl")}
        room = _MOST_WHEELS if self.first.started_pip else 0
        own = ((folder, key, "") for folder, key in built_wheels.walk_built(self._cache.root))
        stored = ((folder, key, os.path.basename(folder)) for key, folder in store.build_folders(self._cache.root))
        for folder, key, place in (*own, *stored):
            for name in entries.names(folder):
                path = os.path.join(folder, name)
                found = entries.stamp(path) if name.endswith(".whl") else None
                if found is not None and (path in opened or found.size <= room):
                    room -= 0 if path in opened else found.size
                    label = links.parse_filename(name, links.project_of(name))
                    yield BuiltWheel(key, path, label, place)

    def _faults(self, entry: BuiltWheel) -> tuple[str, str]:
        """Return the damage of a built wheel, and the text on its missing libraries; "" for each that it has not.

        A fault that its backend gives every wheel does not count: pip accepts it. Libraries are looked for only if the wheel is
        not damaged and has a build record. Raises `OSError`.
        """
        ledger = self._checker.inspector.ledger(links.project_of(entry.filename))
        with entries.open_content(entry) as file:
            sha256 = integrity.sha256(file)
            file.seek(0)
            fault = integrity.archive(file, entry.filename).fault
        if fault and "damaged" not in ledger.tolerated(entry.key, fault):
            return fault, ""
        record = store.first_record(self._cache.root, entry, sha256)
        missing = self._checker.builds.missing_libraries(entry, record) if record else ()
        return "", not_found(missing) if missing else ""
