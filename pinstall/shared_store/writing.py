"""Put the builds of a call into the shared store, if they may leave this machine."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pinstall.inspection import sdist_scan
from pinstall.messages import DETAIL, NOTE, WARNING
from pinstall.pip_cache import built_wheels, entries
from pinstall.pip_cache.locator import is_http, is_vcs
from pinstall.shared_store import documents, layout
from pinstall.shared_store.documents import SharedRecord
from pinstall.shared_store.reading import LARGEST_WHEEL
from pinstall.shared_store.remote import ObjectError
from pinstall.shared_store.session import about_one_build
from pinstall.storage import store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pinstall.aftermath.record_builds import Built
    from pinstall.checks.prepare import PreparedCache
    from pinstall.inspection.build_questions import Question
    from pinstall.inspection.build_record import BuildRecord
    from pinstall.journal import Journal
    from pinstall.shared_store.remote import Remote
    from pinstall.shared_store.session import SharedStore

# Folders of users and for temporary files: their paths mean something else on another machine, and may tell a user's name.
_LOCAL = ("/home/", "/Users/", "/root/", "/tmp/", "/var/tmp/", "/run/user/")  # noqa: S108 (nothing is written there)


class _Upload(NamedTuple):
    """A build that may be shared: its ``record``, its ``folder`` in pinstall's store, and the bytes of its wheel (``size``)."""

    built: Built
    record: BuildRecord
    folder: str
    size: int

    @property
    def path(self) -> str:
        """The path of its wheel."""
        return os.path.join(self.folder, self.built.filename)


def send(prepared: PreparedCache, builds: Iterable[Built], journal: Journal) -> None:
    """Upload the *builds* that may be shared, the smallest first: a large one may take all the time that there is.

    If a build cannot be uploaded, or may not be shared, a line tells why. If the store fails, one line tells so, and nothing
    more is uploaded; nothing at all if it has failed before. Does nothing without a store, or if the settings allow no writing.
    Raises as `SharedStore.use`.
    """
    shared = prepared.shared
    if shared is None or not shared.settings.writes:
        return
    location = shared.settings.location
    for upload in sorted(_shareable(prepared.cache.root, builds, location, journal), key=lambda upload: upload.size):
        if shared.is_off:
            return
        shared.use(journal.say, f"{upload.built.filename} stays on this machine", partial(_put, shared, upload, journal))


def _put(shared: SharedStore, upload: _Upload, journal: Journal, remote: Remote) -> None:
    """Upload one build, and say so, or why it could not be uploaded. Raises as `about_one_build` if the store fails."""
    name, location = upload.built.filename, shared.settings.location
    with shared.waiting(), about_one_build(partial(_say_failed, journal, location, name)):
        _send(remote, upload, shared.key)
        journal.say(NOTE, f"put {name} into the shared store {location}")


def _shareable(root: str, builds: Iterable[Built], location: str, journal: Journal) -> Iterator[_Upload]:
    """Yield those of *builds* that may leave this machine, and say why others may not or cannot.

    Skips silently those that were not stored.
    """
    for built in builds:
        if built.record is None:
            continue
        folder = os.path.join(store.builds_folder(root, built.key), store.build_parts(built.key, built.record.wheel)[-1])
        found = None
        with about_one_build(partial(_say_failed, journal, location, built.filename)):
            if why := objection(built, built.record, folder, os.environ):
                journal.say(DETAIL, f"{built.filename} is not put into the shared store {location}: {why}")
            else:
                found = _Upload(built, built.record, folder, os.path.getsize(os.path.join(folder, built.filename)))
        if found:
            yield found


def _say_failed(journal: Journal, location: str, filename: str, why: str) -> None:
    journal.say(WARNING, f"{filename} could not be put into the shared store {location}: {why}")


def objection(built: Built, record: BuildRecord, folder: str, environ: Mapping[str, str]) -> str:
    """Return why a build must stay on this machine; "" if it may leave it.

    *folder* is its folder in pinstall's store, and *environ* are the variables of this call.
    """
    origin = built_wheels.read_origin(folder)
    if origin is None or not (is_http(origin.url) or is_vcs(origin.url)) or "file:" in origin.url:
        return "its source is local"
    if record.watched is None or record.fetched or not record.observed:
        return "pinstall did not watch its build"
    if not (record.watched.questions or record.watched.whole):
        return "its build asked for too many files, programs or variables to record"
    asked = [question for question in record.watched.questions if question.kind == "variable"]
    if any(sdist_scan.is_secret(question.subject) for question in asked):
        return "its build asked for a variable that is named like a secret"
    local = Local(environ)
    names = {*record.conditions.variables, *(question.subject for question in asked if question.answer)}
    values = [environ.get(name, "") for name in sorted(names)]
    paths = [*record.conditions.tools.values(), *record.libraries.values(), *_paths(record.watched.questions)]
    if any(local.is_in(text) for text in (*values, *built.settings)) or any(local.is_path(path) for path in paths):
        return "it depends on local paths"
    return ""


def _paths(questions: Iterable[Question]) -> Iterator[str]:
    """Yield the paths in questions, except those below ``~/`` at which the build found nothing: they name no user."""
    for question in questions:
        if question.subject.startswith("~/") and not question.answer:
            continue
        if "/" in question.subject:
            yield question.subject
        yield question.path


class Local:
    """The folders whose paths mean something else on another machine: of users, for temporary files, and the current one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        here = [environ.get("HOME", ""), os.path.expanduser("~"), tempfile.gettempdir(), environ.get("TMPDIR", "")]
        with suppress(OSError):
            here.append(os.getcwd())
        found = {os.path.join(folder, "") for folder in here if folder.count("/") > 0} | set(_LOCAL)
        self._folders = tuple(sorted(found - {"/"}))

    def is_path(self, path: str) -> bool:
        """Return whether *path* is such a folder, lies in one, or begins with ``~``. Compares the text."""
        return path.startswith(("~", *self._folders)) or os.path.join(path, "") in self._folders

    def is_in(self, text: str) -> bool:
        """Return whether a value, such as that of ``CFLAGS``, has the path of such a folder, or ``~/``, in it."""
        return any(folder in os.path.join(text, "") for folder in self._folders) or "~/" in text


def _send(remote: Remote, upload: _Upload, key: bytes) -> None:
    """Write the wheel, then its record, so that no reader meets half of a build.

    Raises `ObjectError` if wheel or record is too large, `RemoteError` and `OSError`.
    """
    built, record = upload.built, documents.portable(upload.record)
    origin = built_wheels.origin_text(os.path.join(upload.folder, entries.ORIGIN), "")
    document = documents.sealed(SharedRecord(built.key, built.filename, origin or "{}", record), key)
    if upload.size > LARGEST_WHEEL or len(document) > documents.LARGEST:
        raise ObjectError("the wheel or its record is too large")
    name = layout.name(built.key, record, documents.signer(key))
    with open(upload.path, "rb") as file:
        remote.create(name + layout.WHEEL, file.read())
    remote.create(name + layout.RECORD, document)
