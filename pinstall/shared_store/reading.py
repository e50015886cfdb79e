"""Take a build from the shared store when pip looks for one that this machine does not have."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet

from pinstall.checks.candidates import Candidate
from pinstall.inspection import integrity
from pinstall.messages import NOTE
from pinstall.model import foreign_data, links
from pinstall.model.pins import Pin, settings_by_project
from pinstall.model.verdict import Delete, Hide, Keep
from pinstall.pip_cache import built_wheels, entries
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.shared_store import documents, layout
from pinstall.shared_store.documents import RefusedError
from pinstall.shared_store.remote import ObjectError
from pinstall.shared_store.session import about_one_build
from pinstall.storage import actions, lock, store, view
from pinstall.storage.files import UNFINISHED
from pinstall.storage.folder import ensure_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from pinstall.checks.prepare import PreparedCache
    from pinstall.journal import Journal
    from pinstall.shared_store.documents import SharedRecord
    from pinstall.shared_store.layout import SharedBuild
    from pinstall.shared_store.remote import Remote, RemoteObject
    from pinstall.shared_store.session import SharedStore

LARGEST_WHEEL = 1 << 30
_MOST_RECORDS = 32  # of one source, for one platform
# The room that must be free on the disk, in sizes of the wheel: for it, and for what pip unpacks.
_ROOM = 4


class _Offer(NamedTuple):
    """A build that fits this call: its objects, its record, and the pin that it is for (see `_pin`)."""

    build: SharedBuild
    shared: SharedRecord
    pin: Pin


def supply(prepared: PreparedCache, folder: str, journal: Journal) -> None:
    """Fetch a build that fits the call into pinstall's store, and show it in *folder*, in which pip is about to look for one.

    *folder* is a path below ``wheels/`` in the view. Does nothing if it has a wheel, if the call has no view in the cache, or
    if the shared store is not set or has failed. A failure of it costs one line, and pip builds. Raises as
    `SharedStore.use`.
    """
    shared, seen = prepared.shared, prepared.view
    if shared is None or shared.is_off or seen is None or not seen.name or actions.has_wheel(folder):
        return

    def fetch(remote: Remote) -> bool:
        with shared.waiting():
            for offer in _offers(prepared, remote, built_wheels.key_of(folder), journal):
                wheel = None
                with about_one_build(partial(_say_ignored, shared, offer.shared.filename, journal)):
                    wheel = _taken(prepared, remote, offer, journal)
                if wheel is not None:
                    view.show(seen.folder, wheel)
                    journal.fetched.append(wheel.filename)
                    location = shared.settings.location
                    journal.say(NOTE, f"fetched {wheel.filename} from the shared store {location}, so pip need not build it")
                    return True
        return False

    begun = shared.waited_in_vain
    if shared.use(journal.say, "pip builds the wheels itself", fetch):
        shared.waited_in_vain = begun


def _offers(prepared: PreparedCache, remote: Remote, key: str, journal: Journal) -> Iterator[_Offer]:
    """Yield the builds under *key* that fit the call, in the order of `_readable`, so that all machines take the same one.

    After the last one, warns of the builds that were refused or could not be read. Raises as `about_one_build`.
    """
    shared = prepared.shared
    assert shared is not None  # noqa: S101 (for mypy)
    refused: dict[str, None] = {}
    signer = documents.signer(shared.key) if shared.key else ""
    builds: Iterable[SharedBuild] = ()
    with about_one_build(lambda why: refused.update({why: None})):
        builds = layout.paired(remote.objects(layout.folder(key))).values()
    for build in _readable(prepared, builds, signer):
        offer = None
        with about_one_build(lambda why: refused.update({why: None})):
            offer = _offer(prepared, remote, build, shared)
        if offer:
            yield offer
    for why in refused:
        advice = "to find it, run 'pinstall-cache shared verify'"
        shared.warn(journal.say, f"ignoring a build of the shared store {shared.settings.location}: {why}; {advice}")


def _offer(prepared: PreparedCache, remote: Remote, build: SharedBuild, shared: SharedStore) -> _Offer | None:
    """Read the record of a *build*; return None if the build does not fit the call, is mislabelled, or is on this machine.

    Raises `RefusedError` if the record is not to be used or is that of another build, `RemoteError` and `OSError`.
    """
    assert build.record is not None  # noqa: S101 (for mypy)
    found = documents.read_record(remote.read(build.record.path, documents.LARGEST), shared.key)
    if found.key != build.key or layout.name(build.key, found.record, build.signer) != build.name:
        raise RefusedError("its record belongs to another build")
    found = found._replace(record=found.record._replace(fetched=shared.settings.location))
    pin = None if _is_known(prepared.cache.root, build, found) else _pin(prepared, found)
    if pin is None:
        return None
    # A question such as a pattern of paths may take long to answer, and somebody else has asked it.
    objection = partial(prepared.checker.builds.objection, pin, build.key, found.origin, found.record)
    return None if remote.bounded(objection) else _Offer(build, found, pin)


def _readable(prepared: PreparedCache, builds: Iterable[SharedBuild], signer: str) -> list[SharedBuild]:
    """Return at most 32 builds for this platform that have both objects, neither of them too large.

    Those by *signer* come first, unless that is "". Then older ones come before newer ones.
    """
    here = prepared.cache.environment.build
    platforms = {layout.ANY, layout.platform_of(here["abi"], here["libc"][0])}
    found = [
        build
        for build in builds
        if build.record
        and build.wheel
        and build.platform in platforms
        and build.record.size <= documents.LARGEST
        and build.wheel.size <= LARGEST_WHEEL
    ]
    return sorted(found, key=lambda build: (build.signer != signer, build.record.modified if build.record else 0, build.name))[
        :_MOST_RECORDS
    ]


def _is_known(root: str, build: SharedBuild, found: SharedRecord) -> bool:
    """Return whether this machine has the build: then it does not fit, or pip would have found it."""
    folder = os.path.join(store.builds_folder(root, build.key), build.wheel_id)
    records = (store.load_record(folder, name) for name in entries.names(folder) if store.is_record_name(name))
    place = found.record.fetched
    known = (documents.portable(record)._replace(fetched=place) for record in records if record)
    return actions.has_wheel(folder) and found.record in known


def _pin(prepared: PreparedCache, found: SharedRecord) -> Pin | None:
    """Return the unsatisfied pin to a build's project, perhaps to another version; without one, a pin to the build's version.

    None if it is mislabelled: its file name tells no version, or another one than that of its source.
    """
    label = links.parse_filename(found.filename, found.project)
    if label is None:
        return None
    source = links.parse_filename(links.Link(found.origin.url).filename, found.project)
    if source is not None and source.version.public != label.version.public:
        return None
    pinned = next((pin for pin in prepared.pins if pin.project == found.project), None)
    cache = prepared.cache
    settings = settings_by_project(cache.call.lines, cache.environment.markers).get(found.project, ())
    exact = SpecifierSet(f"=={label.version}")
    return pinned or Pin(found.project, exact, "", (), ("not pinned",), requested=False, settings=settings)


def _taken(prepared: PreparedCache, remote: Remote, offer: _Offer, journal: Journal) -> BuiltWheel | None:
    """Fetch a wheel and check its content, then put it into pinstall's store, and check it there like any other.

    Returns None, with a warning, if the disk lacks the room. Raises `RefusedError` if the wheel is not to be used,
    `RemoteError` if the store fails, and `OSError`.
    """
    root, shared, build, found = prepared.cache.root, prepared.shared, offer.build, offer.shared
    assert shared is not None  # noqa: S101 (for mypy)
    assert build.wheel is not None  # noqa: S101 (as above)
    if shutil.disk_usage(root).free < _ROOM * build.wheel.size:
        shared.warn(
            journal.say,
            f"{found.filename} is not fetched from the shared store: the disk of pip's cache is too full; pip builds it",
        )
        return None
    temporary = os.path.join(ensure_folder(root, UNFINISHED), os.urandom(8).hex())
    try:
        with open(temporary, "w+b") as file:
            fault = fetched_fault(remote, build.wheel, file, found)
        if fault:
            raise RefusedError(fault)
        fetched = BuiltWheel(build.key, temporary)
        record = prepared.checker.builds.stamped(found.record)
        path = actions.store_fetched(root, fetched, found.filename, record, found.origin_text)
    finally:
        actions.try_unlink(temporary)
    label = links.parse_filename(found.filename, found.project)
    return _accepted(prepared, offer, BuiltWheel(build.key, path, label, build.wheel_id), journal)


def fetched_fault(remote: Remote, wheel: RemoteObject, file: BinaryIO, found: SharedRecord) -> str:
    """Write a wheel to *file*; return why it is not to be used, "" if its digest, name, version and RECORD are right.

    *found* is its record. An `ObjectError`, such as for a wheel that is missing, is returned as its text. Raises `RemoteError`
    if the store as a whole fails, and `OSError` if *file* cannot be written.
    """
    try:
        remote.fetch(wheel.path, file, wheel.size)
    except ObjectError as error:
        return str(error)
    try:
        return _content_fault(file, found)
    except Exception as error:  # noqa: BLE001 (a wheel may hold anything)
        return foreign_data.reason(error)


def _content_fault(file: BinaryIO, found: SharedRecord) -> str:
    file.seek(0)
    if integrity.sha256(file) != found.record.wheel:
        return "its hash is not the one that its record states"
    file.seek(0)
    content, label = integrity.wheel(file), links.parse_filename(found.filename, found.project)
    if content.fault or not content.name:
        return content.fault or "its contents cannot be checked within bounds"
    is_labelled = label is not None and (content.name, links.parse_version(content.version)) == (found.project, label.version)
    return "" if is_labelled else f"it contains {content.name} {content.version}"


def _say_ignored(shared: SharedStore, filename: str, journal: Journal, why: str) -> None:
    shared.warn(journal.say, f"ignoring {filename} of the shared store {shared.settings.location}: {why}")


def _accepted(prepared: PreparedCache, offer: _Offer, wheel: BuiltWheel, journal: Journal) -> BuiltWheel:
    """Return *wheel*, which is in pinstall's store now, and note its finding. Raises `RefusedError` if pip must not use it.

    The checks are those before pip. A wheel that they call bad is deleted, if the lock is free; another one stays in the store.
    """
    checker = prepared.checker
    source = prepared.cache.source_of(wheel.wheel_key, offer.shared.origin)
    finding = checker.examine(Candidate(offer.pin, wheel, source, stored=True))
    if isinstance(finding.verdict, Keep) and prepared.cache.is_ours(wheel):
        journal.findings.append(finding)
        return wheel
    if isinstance(finding.verdict, Delete):
        with suppress(lock.LockTimeoutError), lock.held(prepared.cache.root, prepared.settings.lock_timeout, lambda _: None):
            actions.delete(prepared.cache.root, wheel, entries.stamp_of(wheel))
    if isinstance(finding.verdict, Keep):
        raise RefusedError("it is for another Python or platform")
    raise RefusedError(finding.verdict.detail if isinstance(finding.verdict, Delete | Hide) else "it cannot be checked")
