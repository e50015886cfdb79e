"""List, verify and prune a shared store: ``pinstall-cache shared``."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

from pinstall.cache_tool import display
from pinstall.model.links import without_secrets
from pinstall.shared_store import documents, layout
from pinstall.shared_store.documents import KeyUnusableError, RefusedError
from pinstall.shared_store.listing import Listing, Patience
from pinstall.shared_store.reading import LARGEST_WHEEL, fetched_fault
from pinstall.shared_store.remote import MissingError, Remote, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinstall.settings import SharedStoreSettings
    from pinstall.shared_store.layout import SharedBuild

# Seconds. A machine that is uploading writes the wheel first; later, it has been killed.
_UPLOAD = 86_400
_TIMEOUT = 60.0
_AT_ONCE = 500
FAILURES = (RemoteError, KeyUnusableError)


class SharedItem(NamedTuple):
    """A build in a shared store: the ``size`` of its objects in bytes, and its ``age`` in seconds, that of the newer object.

    ``source`` is a URL without secrets. ``filename`` and ``source`` are "" if the record is missing or cannot be read,
    ``fault`` if no fault was found.
    """

    build: SharedBuild
    filename: str
    size: int
    age: float
    source: str
    fault: str = ""


class Upkeep:
    """The work on the shared store of these *settings*. The methods work while their lines are taken.

    *warn* is called with a line about each object that cannot be listed or removed; the work goes on with the others.
    ``is_bad`` tells whether there was one, or whether `verified` has come to its end and found a bad build.
    """

    def __init__(self, settings: SharedStoreSettings | None, warn: Callable[[str], None]) -> None:
        """Open the store. Raises one of `FAILURES`, as the other methods do: `RemoteError` if *settings* are None."""
        if settings is None:
            raise RemoteError("PINSTALL_SHARED_STORE is not set")
        self._key = documents.signing_key(settings)
        self.location, self.is_bad = settings.location, False
        self._remote = Remote(settings.url, max(_TIMEOUT, settings.timeout))
        self._warn, self._patience = warn, Patience()
        self._unfinished: list[str] = []

    def listed(self) -> Iterator[str]:
        """Yield a line about each build, and the totals; fetch the records, not the wheels."""
        number = total = 0
        for row in self._rows(proves=False):
            number, total = number + 1, total + row.size
            what = f"{row.filename}  {row.source}" if row.filename else row.fault
            yield f"{display.size(row.size):>9}  {display.age(row.age):>6}  {what}"
        yield f"Builds in {self.location}: {number} ({display.size(total)})"

    def verified(self) -> Iterator[str]:
        """Fetch and check all builds; yield a line about each bad one, and the totals."""
        number = bad = 0
        for row in self._rows(proves=True):
            number, bad = number + 1, bad + bool(row.fault)
            if row.fault:
                yield f"bad: {row.build.name} {row.filename}: {row.fault}"
        self.is_bad |= bool(bad)
        yield f"Builds checked: {number}, {bad} bad"

    def pruned(self, seconds: float, *, dry_run: bool) -> Iterator[str]:
        """Delete the builds that are older than *seconds*; yield a line with the number of these builds.

        A wheel without a record goes when it is older than a day, however large *seconds* are. *dry_run* deletes nothing.
        """
        number, total = self._prune(seconds, dry_run=dry_run)
        yield f"Builds {'that would be removed' if dry_run else 'removed'}: {number} ({display.size(total)})"

    def _rows(self, *, proves: bool) -> Iterator[SharedItem]:
        """Yield all builds, after a check of their records; if *proves*, fetch and check each wheel, too.

        Leaves out a wheel without a record that is younger than a day: its upload may not have ended. Leaves out builds that
        somebody removes meanwhile.
        """
        for build in self._builds():
            if build.record is not None:
                if row := self._row(build, proves=proves):
                    yield row
            elif build.wheel is not None and self._age(build) > _UPLOAD:
                yield SharedItem(
                    build, "", build.wheel.size, self._age(build), "", "it has no record: its upload was interrupted"
                )

    def _prune(self, seconds: float, *, dry_run: bool) -> tuple[int, int]:
        """Delete as `pruned` does; return the number of builds that are gone, or would be, and of their bytes.

        Objects that killed machines left unfinished go as well. Records go first, so that no reader meets a record without its
        wheel.
        """
        old = {build.name: build for build in self._builds() if self._age(build) > (seconds if build.record else _UPLOAD)}
        if not dry_run:
            kept = self._deleted([build.record.path for build in old.values() if build.record])
            old = {name: build for name, build in old.items() if name + layout.RECORD not in kept}
            kept = self._deleted([build.wheel.path for build in old.values() if build.wheel])
            old = {name: build for name, build in old.items() if name + layout.WHEEL not in kept}
            self._deleted(self._unfinished)
        return len(old), sum(map(_size, old.values()))

    def _deleted(self, paths: list[str]) -> set[str]:
        """Delete the objects at *paths*; warn about those that stay, and return their paths.

        Raises `RemoteError` if all of a whole batch (`_AT_ONCE`) stay: then the store refuses to delete anything.
        """
        kept: set[str] = set()
        for start in range(0, len(paths), _AT_ONCE):
            stay = self._remote.delete(paths[start : start + _AT_ONCE])
            if len(stay) == _AT_ONCE:
                raise RemoteError(next(iter(stay.values())))
            for path, why in stay.items():
                self._refuse(f"not removed: {path} of the shared store: {why}")
            kept |= {*stay}
        return kept

    def _refuse(self, line: str) -> None:
        """Warn, and set ``is_bad``."""
        self.is_bad = True
        self._warn(line)

    def _builds(self) -> Iterator[SharedBuild]:
        """Yield all builds, also those that lack the record or the wheel; warn about objects that cannot be listed.

        Adds to ``_unfinished`` the paths of unfinished objects that are older than a day.
        """
        waiting: dict[str, SharedBuild] = {}
        listing = Listing(self._remote, lambda path, why: self._refuse(f"skipped {path} of the shared store: {why}"))
        for one in listing.everything():
            if layout.is_unfinished(one.path) and time.time() - one.modified > _UPLOAD:
                self._unfinished.append(one.path)
            for name, build in layout.paired([one]).items():
                known = waiting.pop(name, build)
                both = known._replace(record=known.record or build.record, wheel=known.wheel or build.wheel)
                if both.record and both.wheel:
                    yield both
                else:
                    waiting[name] = both
        yield from waiting.values()

    def _row(self, build: SharedBuild, *, proves: bool) -> SharedItem | None:
        """Describe a build, and fetch its wheel if *proves*; None if somebody has removed the build meanwhile.

        A build that cannot be read has that as its fault. Raises `RemoteError` if several cannot, one after the other.
        """
        row = SharedItem(build, "", _size(build), self._age(build), "")
        try:
            row = self._described(row, proves=proves)
            if row.fault and self._is_gone(build):
                return None
        except MissingError:
            return None
        except RemoteError as error:
            self._patience.try_again(error)
            return row._replace(fault=str(error))
        self._patience.reward()
        return row

    def _described(self, row: SharedItem, *, proves: bool) -> SharedItem:
        """Return a row with what the record of its build states, and with its fault; check the wheel only if *proves*.

        Raises `RemoteError` if an object cannot be read, `MissingError` if it is gone.
        """
        build = row.build
        assert build.record is not None  # noqa: S101 (for mypy)
        self._remote.allow()
        try:
            found = documents.read_record(self._remote.read(build.record.path, documents.LARGEST), self._key)
        except RefusedError as error:
            return row._replace(fault=str(error))
        row = row._replace(filename=found.filename, source=without_secrets(found.origin.url))
        if layout.name(found.key, found.record, build.signer) != build.name:
            return row._replace(fault="its record belongs to another build")
        if build.wheel is None or build.wheel.size > LARGEST_WHEEL:
            return row._replace(fault="its wheel is missing or too large")
        if not proves:
            return row
        with tempfile.TemporaryFile() as file:
            return row._replace(fault=fetched_fault(self._remote, build.wheel, file, found))

    def _is_gone(self, build: SharedBuild) -> bool:
        """Return whether somebody has removed the record, so that its wheel may be gone; False if that is unknown."""
        assert build.record is not None  # noqa: S101 (for mypy)
        self._remote.allow()
        try:
            self._remote.read(build.record.path, documents.LARGEST)
        except MissingError:
            return True
        except RemoteError:
            return False
        return False

    @staticmethod
    def _age(build: SharedBuild) -> float:
        return time.time() - max(one.modified for one in (build.record, build.wheel) if one)


def _size(build: SharedBuild) -> int:
    return sum(one.size for one in (build.record, build.wheel) if one)
