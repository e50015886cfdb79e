"""The record objects of a shared store: a build record, the source and the wheel's name, and a signature over all of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pinstall.inspection import build_record
from pinstall.model import links
from pinstall.pip_cache import built_wheels

if TYPE_CHECKING:
    from pinstall.inspection.build_record import BuildRecord
    from pinstall.pip_cache.built_wheels import Origin
    from pinstall.settings import SharedStoreSettings

LARGEST = 32 << 10
_FORMAT = 1
# Shorter keys can be guessed from one signed record.
_SHORTEST_KEY = 16
_LONGEST_KEY = 4096
# Part of what is signed: a key that is used for something else, too, signs nothing that counts here.
_PURPOSE = b"pinstall shared store 1\n"
_FILENAME = re.compile(r"[A-Za-z0-9_.+!-]{1,200}\.whl")
_DIGEST = re.compile("[0-9a-f]{64}")
_ORIGIN_KEYS = ("url", "subdirectory", "archive_info", "vcs_info")


class KeyUnusableError(Exception):
    """The signing key cannot be used; pinstall then uses no shared store, instead of one without signatures."""


class RefusedError(Exception):
    """A build that this machine does not take, because of its record or its wheel; the message tells why."""


class SharedRecord(NamedTuple):
    """A record object: the build record of a wheel, its file name, its source, and pip's ``key`` of wheels for that source.

    ``origin_text`` is the text of its ``origin.json``.
    """

    key: str
    filename: str
    origin_text: str
    record: BuildRecord

    @property
    def project(self) -> str:
        """The normalized name of the project."""
        return links.project_of(self.filename)

    @property
    def origin(self) -> Origin:
        """The source."""
        found = built_wheels.origin_from(json.loads(self.origin_text))
        assert found is not None  # noqa: S101 (`read_record` has looked)
        return found


def signing_key(settings: SharedStoreSettings) -> bytes:
    """Return the key that signs records, without white space around it; b"" if neither ``key`` nor ``key_file`` is set.

    If both are set, ``key_file`` counts. Raises `KeyUnusableError` if that cannot be read, or if the key is shorter than 16
    bytes.
    """
    text, name = settings.key.encode(errors="surrogateescape"), "PINSTALL_SHARED_STORE_KEY"
    if settings.key_file:
        name = "PINSTALL_SHARED_STORE_KEY_FILE"
        try:
            with open(settings.key_file, "rb") as file:
                text = file.read(_LONGEST_KEY)
        except OSError as error:
            raise KeyUnusableError(f"the signing key in {name} cannot be read ({error.strerror})") from error
    elif not text:
        return b""
    if len(text.strip()) < _SHORTEST_KEY:
        raise KeyUnusableError(f"the signing key in {name} has fewer than {_SHORTEST_KEY} characters")
    return text.strip()


def sealed(shared: SharedRecord, key: bytes) -> bytes:
    """Return the bytes of a record object, signed with *key* unless that is empty."""
    document = {
        "format": _FORMAT,
        "key": shared.key,
        "filename": shared.filename,
        "origin": json.loads(shared.origin_text),
        "record": build_record.to_json(shared.record),
    }
    text = json.dumps(document)
    return json.dumps({"record": text, "hmac": _signature(text, key) if key else ""}).encode()


def read_record(data: bytes, key: bytes) -> SharedRecord:
    """Read a record object, and make its record `portable`.

    Raises `RefusedError` if it is damaged, of another format, or not signed with *key*; if *key* is empty, no signature counts.
    """
    try:
        envelope = json.loads(data)
        text, signature = envelope["record"], envelope["hmac"]
        if not isinstance(text, str) or not isinstance(signature, str):
            raise TypeError
        if key and not hmac.compare_digest(_signature(text, key).encode(), signature.encode(errors="replace")):
            raise RefusedError("its record is not signed with the key of this machine")
        return _read(json.loads(text))
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        raise RefusedError("its record is damaged, or of another format") from None


def _read(document: Any) -> SharedRecord:
    """Read a record. Raises `KeyError`, `ValueError` and the like if the document is damaged or of another format."""
    record = build_record.from_json(document["record"])
    origin = {name: document["origin"][name] for name in _ORIGIN_KEYS if name in document["origin"]}
    filename, key = document["filename"], document["key"]
    if document["format"] != _FORMAT or record is None or built_wheels.origin_from(origin) is None:
        raise ValueError
    if not (_FILENAME.fullmatch(filename) and _DIGEST.fullmatch(record.wheel) and isinstance(key, str)):
        raise ValueError
    return SharedRecord(key, filename, json.dumps(origin), portable(record))


def portable(record: BuildRecord) -> BuildRecord:
    """Return a record without the stamps of files: those of another machine would pass for proof that a file is unchanged."""
    if record.watched is None:
        return record
    questions = tuple(question._replace(stamp="") for question in record.watched.questions)
    return record._replace(watched=record.watched._replace(questions=questions))


def signer(key: bytes) -> str:
    """Return eight hexadecimal digits that identify a signing key in names; eight zeros if *key* is empty."""
    return _signature("signer", key)[:8] if key else "0" * 8


def _signature(text: str, key: bytes) -> str:
    return hmac.new(key, _PURPOSE + text.encode(), hashlib.sha256).hexdigest()
