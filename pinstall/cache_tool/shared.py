"""List, verify and prune a shared store: ``pinstall-cache shared``."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

from pinstall.cache_tool import display
from pinstall.model.links import without_secrets
from pinstall.shared_store import documents, layout
from pinstall.shared_store.documents import KeyUnusableError, RefusedError
from pinstall.shared_store.reading import LARGEST_WHEEL, fetched_fault
from pinstall.shared_store.remote import ObjectError, Remote, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinstall.settings import SharedStoreSettings
    from pinstall.shared_store.layout import SharedBuild

# A machine that is uploading writes the wheel first.
_UPLOAD = 86_400
_TIMEOUT = 60.0
_AT_ONCE = 500
FAILURES = (RemoteError, KeyUnusableError)


class SharedItem(NamedTuple):
    """A build in a shared store: the bytes of its objects, its age in seconds, its source without secrets, and its fault.

    ``filename`` and ``source`` are "" if its record is missing or cannot be read, ``fault`` if it is sound.
    """

    build: SharedBuild
    filename: str
    size: int
    age: float
    source: str
    fault: str = ""


class Upkeep:
    """The work on the shared store of these *settings*. Each method raises `FAILURES` if the store cannot be used."""

    def __init__(self, settings: SharedStoreSettings | None) -> None:
        """Open the store. Raises `RemoteError` also without *settings*: no shared store is set."""
        if settings is None:
            raise RemoteError("PINSTALL_SHARED_STORE is not set")
        self._key = documents.signing_key(settings)
        self.place, self.is_bad = settings.place, False
        self._remote = Remote(settings.url, max(_TIMEOUT, settings.timeout))

    def listed(self) -> Iterator[str]:
        """Yield a line about each build, and the totals; fetches the records, not the wheels."""
        number = total = 0
        for row in self._rows(proves=False):
            number, total = number + 1, total + row.size
            what = f"{row.filename}  {row.source}" if row.filename else row.fault
            yield f"{display.size(row.size):>9}  {display.age(row.age):>6}  {what}"
        yield f"Builds in {self.place}: {number} ({display.size(total)})"

    def verified(self) -> Iterator[str]:
        """Fetch and check all builds; yield a line about each bad one, and the totals. ``is_bad`` tells if there was one."""
        number = bad = 0
        for row in self._rows(proves=True):
            number, bad = number + 1, bad + bool(row.fault)
            if row.fault:
                yield f"bad: {row.build.name} {row.filename}: {row.fault}"
        self.is_bad = bool(bad)
        yield f"Builds checked: {number}, {bad} bad"

    def pruned(self, seconds: float, *, dry_run: bool) -> Iterator[str]:
        """Delete the builds that are older than *seconds*, and day-old wheels without a record; yield a line with their number.

        With *dry_run*, deletes nothing.
        """
        number, total = self._prune(seconds, dry_run=dry_run)
        yield f"Builds {'that would be removed' if dry_run else 'removed'}: {number} ({display.size(total)})"

    def _rows(self, *, proves: bool) -> Iterator[SharedItem]:
        """Yield all builds, after a check of their records; if *proves*, fetch and check each wheel, too.

        Leaves out a wheel without a record that is younger than a day: it may be being uploaded.
        """
        for build in self._builds():
            if build.record is not None:
                yield self._row(build, proves=proves)
            elif build.wheel is not None and self._age(build) > _UPLOAD:
                yield SharedItem(
                    build, "", build.wheel.size, self._age(build), "", "it has no record: its upload was interrupted"
                )

    def _prune(self, seconds: float, *, dry_run: bool) -> tuple[int, int]:
        """Delete as `pruned` does; return the number of builds and of their bytes.

        Records go first, so that no reader meets a record without its wheel.
        """
        old = [build for build in self._builds() if self._age(build) > (seconds if build.record else _UPLOAD)]
        records = [build.record.path for build in old if build.record]
        wheels = [build.wheel.path for build in old if build.wheel]
        for paths in () if dry_run else (records, wheels):
            for start in range(0, len(paths), _AT_ONCE):
                self._remote.delete(paths[start : start + _AT_ONCE])
        return len(old), sum(_size(build) for build in old)

    def _builds(self) -> Iterator[SharedBuild]:
        """Yield all builds, also those that lack the record or the wheel.

        The objects of one have the same name, so that they follow each other in a listing of a bucket.
        """
        waiting: dict[str, SharedBuild] = {}
        for one in self._remote.everything(layout.TOP):
            for name, build in layout.paired([one]).items():
                known = waiting.pop(name, build)
                both = known._replace(record=known.record or build.record, wheel=known.wheel or build.wheel)
                if both.record and both.wheel:
                    yield both
                else:
                    waiting[name] = both
        yield from waiting.values()

    def _row(self, build: SharedBuild, *, proves: bool) -> SharedItem:
        """Fetch and check the record of a build, and return the item; if *proves*, fetch and check its wheel, too.

        A fault of the build is in the item; one of the store is raised (`FAILURES`).
        """
        assert build.record is not None  # noqa: S101 (for mypy)
        self._remote.allow(_TIMEOUT)
        row = SharedItem(build, "", _size(build), self._age(build), "")
        try:
            found = documents.opened(self._remote.read(build.record.path, documents.LARGEST), self._key)
        except (RefusedError, ObjectError) as error:
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

    @staticmethod
    def _age(build: SharedBuild) -> float:
        return time.time() - max(one.modified for one in (build.record, build.wheel) if one)


def _size(build: SharedBuild) -> int:
    return sum(one.size for one in (build.record, build.wheel) if one)
