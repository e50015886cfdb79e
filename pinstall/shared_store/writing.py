"""Put the builds of a call into the shared store, if they may leave this machine."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from pinstall.inspection import sdist_scan
from pinstall.messages import DETAIL, NOTE
from pinstall.pip_cache import built_wheels, entries
from pinstall.pip_cache.locator import is_http, is_vcs
from pinstall.shared_store import documents, layout
from pinstall.shared_store.documents import SharedRecord
from pinstall.shared_store.reading import LARGEST_WHEEL
from pinstall.shared_store.remote import RemoteError
from pinstall.storage import store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pinstall.aftermath.record_builds import Built
    from pinstall.checks.prepare import PreparedCache
    from pinstall.inspection.build_questions import Question
    from pinstall.inspection.build_record import BuildRecord
    from pinstall.journal import Journal
    from pinstall.shared_store.remote import Remote

# Folders of users and for temporary files: their paths mean something else on another machine, and may tell a user's name.
_LOCAL = ("/home/", "/Users/", "/root/", "/tmp/", "/var/tmp/", "/run/user/")  # noqa: S108 (nothing is written there)


def send(prepared: PreparedCache, builds: Iterable[Built], journal: Journal) -> None:
    """Upload the *builds* that may be shared. A failure costs one line."""
    shared = prepared.shared
    if shared is None or not shared.settings.writes:
        return
    place = shared.settings.place
    for built in builds:
        if shared.is_off or built.record is None:
            continue
        folder = os.path.join(store.builds_folder(prepared.cache.root, built.key), built.record.wheel[:16])
        if why := objection(built, built.record, folder, os.environ):
            journal.say(DETAIL, f"{built.filename} is not put into the shared store {place}: {why}")
            continue
        with shared.asked(journal.say, f"{built.filename} stays on this machine") as remote, shared.waiting():
            _send(remote, built, built.record, folder, shared.key)
            journal.say(NOTE, f"put {built.filename} into the shared store {place}")


def objection(built: Built, record: BuildRecord, folder: str, environ: Mapping[str, str]) -> str:
    """Return why a build must stay on this machine; "" if it may leave it."""
    origin = built_wheels.read_origin(folder)
    if origin is None or not (is_http(origin.url) or is_vcs(origin.url)) or "file:" in origin.url:
        return "its source is local"
    if record.watched is None or record.fetched or not record.observed:
        return "its build was not watched"
    if not (record.watched.questions or record.watched.whole):
        return "its build asked too much"
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
    """Yield the paths in questions, except those of the home at which nothing was: they have no name of a user."""
    for question in questions:
        if question.subject.startswith("~/") and not question.answer:
            continue
        if "/" in question.subject:
            yield question.subject
        yield question.place


class Local:
    """The folders of this machine that no other machine has."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        here = [environ.get("HOME", ""), os.path.expanduser("~"), tempfile.gettempdir(), environ.get("TMPDIR", "")]
        with suppress(OSError):
            here.append(os.getcwd())
        found = {os.path.join(folder, "") for folder in here if folder.count("/") > 0} | set(_LOCAL)
        self._folders = tuple(sorted(found - {"/"}))

    def is_path(self, path: str) -> bool:
        """Return whether *path* is in such a folder."""
        return path.startswith(("~", *self._folders)) or os.path.join(path, "") in self._folders

    def is_in(self, text: str) -> bool:
        """Return whether a value, such as that of ``CFLAGS``, has the path of such a folder in it."""
        return any(folder in os.path.join(text, "") for folder in self._folders) or "~/" in text


def _send(remote: Remote, built: Built, record: BuildRecord, folder: str, key: bytes) -> None:
    """Write the wheel, then its record, so that no reader meets half of a build. Raises `RemoteError` and `OSError`."""
    path = os.path.join(folder, built.filename)
    origin = built_wheels.origin_text(os.path.join(folder, entries.ORIGIN), "")
    record = documents.portable(record)
    document = documents.sealed(SharedRecord(built.key, built.filename, origin or "{}", record), key)
    if os.path.getsize(path) > LARGEST_WHEEL or len(document) > documents.LARGEST:
        raise RemoteError("the wheel or its record is too large")
    name = layout.name(built.key, record, documents.signer(key))
    with open(path, "rb") as file:
        remote.create(name + layout.WHEEL, file.read())
    remote.create(name + layout.RECORD, document)
