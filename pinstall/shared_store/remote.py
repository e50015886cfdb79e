"""Access to the bucket or folder of a shared store: the only module that knows ``obstore``.

Each question runs in a thread of its own, because no library bounds all its waiting (names, credentials, proxies, slow bodies).
"""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pinstall.model import links

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

_Result = TypeVar("_Result")
_CHUNK = 1 << 20
_RETRIES = 2
# An S3 listing has at most so many names in one answer.
_PAGE = 1000
# With these, the tools of the object stores allow a server without TLS.
_PLAIN = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP")
_MISSING = ("NotFoundError", "FileNotFoundError")
# One object may have permissions of its own, or lie in an archive from which it must be restored first.
_DENIED = ("PermissionDeniedError", "PermissionError")
_ODD_NAME = ("InvalidPathError",)
# What servers answer to a PUT that is larger than they take: by HTTP, and by the protocol of S3.
_TOO_LARGE = re.compile("status code: 413|<Code>EntityTooLarge")
_TOO_LARGE_WORDS = "it is larger than the server accepts"
_ODD_ADDRESS = "the address in PINSTALL_SHARED_STORE is not understood"
_WORDS = {
    "NotFoundError": "there is no such bucket or object",
    "FileNotFoundError": "there is no such bucket or object",
    "PermissionDeniedError": "access was denied",
    "PermissionError": "access was denied",
    "UnauthenticatedError": "access was denied: the credentials are missing or wrong",
    "GenericError": "no connection, or an answer that is not understood",
    "ModuleNotFoundError": "its library is missing; to install it: pip install 'pip-pinstall[shared]'",
    "ValueError": _ODD_ADDRESS,
    "InvalidPathError": "an object there has an invalid name",
    "UnknownConfigurationKeyError": _ODD_ADDRESS,
}


class RemoteError(Exception):
    """A question that the store refuses or leaves unanswered. The message has no credentials."""


class ObjectError(RemoteError):
    """One object is missing, too large or refused; the store may be used for others."""


class UnansweredError(RemoteError):
    """The deadline is over."""


class RemoteObject(NamedTuple):
    """An object in the store: its path, its size in bytes, and the time of its last change in seconds since the epoch."""

    path: str
    size: int
    modified: float


class Remote:
    """The store at *url*. A question raises `RemoteError` if it fails, or if it is unanswered at the deadline.

    The deadline is that of `allow`, at first *seconds* from now. A missing folder is made only with *writes*: it may be a mount
    that is not there yet.
    """

    def __init__(self, url: str, seconds: float, *, writes: bool = False) -> None:
        self._seconds = seconds
        self.allow(seconds)
        self._store = self.asked(lambda: _opened(url, seconds, writes=writes))
        self._creates = not url.startswith(("http:", "https:"))  # object_store has no conditional writes for WebDAV
        self._is_folder = url.startswith("file:")

    def allow(self, seconds: float) -> None:
        """Set the deadline to *seconds* from now."""
        self._seconds, self._deadline = seconds, time.monotonic() + seconds

    def objects(self, folder: str, most: int = _PAGE) -> list[RemoteObject]:
        """Return the objects below *folder*, the first *most* by name."""
        import obstore

        def listed() -> list[RemoteObject]:
            chunks = obstore.list(self._store, folder, chunk_size=min(most, _PAGE))
            found = (one for chunk in chunks for one in chunk)
            return [RemoteObject(one["path"], one["size"], one["last_modified"].timestamp()) for one in islice(found, most)]

        return self._asked_of_one(listed, _ODD_NAME)

    def everything(self, folder: str) -> Iterator[RemoteObject]:
        """Yield all objects below *folder*, for `pinstall-cache shared`; each page of the listing has a deadline of its own."""
        import obstore

        chunks = iter(obstore.list(self._store, folder, chunk_size=_PAGE))
        while True:
            self.allow(self._seconds)
            chunk = self.asked(lambda: next(chunks, None))
            if chunk is None:
                return
            yield from (RemoteObject(one["path"], one["size"], one["last_modified"].timestamp()) for one in chunk)

    def read(self, path: str, largest: int) -> bytes:
        """Return the content of a small object. Raises `RemoteError` if it has more than *largest* bytes."""
        found = bytearray()
        for chunk in self._pieces(path, largest):
            found += chunk
        return bytes(found)

    def fetch(self, path: str, file: BinaryIO, largest: int) -> None:
        """Write the content of an object to *file*. Raises `RemoteError` as `read`, and `OSError` if the disk is full."""
        file.writelines(self._pieces(path, largest))

    def _pieces(self, path: str, largest: int) -> Iterator[bytes]:
        import obstore

        stream = self._asked_of_one(lambda: iter(obstore.get(self._store, path).stream(min_chunk_size=_CHUNK)), _DENIED)
        size = 0
        while (chunk := self._asked_of_one(lambda: next(stream, None))) is not None:
            size += len(chunk)
            if size > largest:
                raise ObjectError("an object is larger than it may be")
            yield bytes(chunk)

    def create(self, path: str, content: bytes) -> bool:
        """Write an object unless it exists; return whether it was written."""
        import obstore

        def put() -> bool:
            if self._creates:
                try:
                    obstore.put(self._store, path, content, mode="create", use_multipart=False)
                except obstore.exceptions.AlreadyExistsError:
                    return False
                return True
            with suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
                obstore.head(self._store, path)
                return False
            obstore.put(self._store, path, content, use_multipart=False)
            return True

        return self._asked_of_one(put)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects, except those that are gone already."""
        import obstore

        def removed() -> None:
            with suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
                obstore.delete(self._store, list(paths))

        self.allow(self._seconds)
        self.asked(removed)

    def _asked_of_one(self, question: Callable[[], _Result], spoiled: Sequence[str] = ()) -> _Result:
        """Return the answer to a *question* about one object, or one folder of them.

        Raises `ObjectError` for the errors that are named in *spoiled*. In a folder, each file may have a fault of its own: a
        mode, a name or a place that nobody else can use. An error of a server concerns all objects.
        """
        try:
            return self.asked(question, spoiled)
        except (ObjectError, UnansweredError):
            raise
        except RemoteError:
            if not self._is_folder:
                raise
        raise ObjectError("a file or folder there cannot be read or written")

    def asked(self, question: Callable[[], _Result], spoiled: Sequence[str] = ()) -> _Result:
        """Return the answer of the store to a *question*.

        Raises `ObjectError` for the errors that are named in *spoiled*, and `RemoteError` for others.
        """
        answers, errors = self._waited_for(question)
        if errors:
            raise _explained(errors[0], (*_MISSING, *spoiled)) from None
        return answers[0]

    def bounded(self, question: Callable[[], _Result]) -> _Result:
        """Return the answer of this machine to a *question* that may take long. Raises the errors of the question."""
        answers, errors = self._waited_for(question)
        if errors:
            raise errors[0]
        return answers[0]

    def _waited_for(self, question: Callable[[], _Result]) -> tuple[list[_Result], list[BaseException]]:
        """Return the answer to a *question* or its error. It runs in a thread until it ends or the deadline is over."""
        answers: list[_Result] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(question())
            except BaseException as error:  # noqa: BLE001 (a panic of the library's Rust is no Exception)
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(max(0.0, self._deadline - time.monotonic()))
        if not (answers or errors):
            raise UnansweredError(f"no answer within {self._seconds:g} s (PINSTALL_SHARED_STORE_TIMEOUT)")
        return answers, errors


def _explained(error: BaseException, spoiled: Sequence[str]) -> RemoteError:
    """Return the error to raise for one of the library; its text, which may have a signed URL, is not shown."""
    if _TOO_LARGE.search(str(error)):
        return ObjectError(_TOO_LARGE_WORDS)
    name = type(error).__name__
    words = _WORDS.get(name, f"error of its library: {name}")
    return (ObjectError if name in spoiled else RemoteError)(words)


def _opened(url: str, seconds: float, *, writes: bool) -> Any:
    """Open the store at *url*; the credentials are those that the environment has for it."""
    from obstore.store import from_url

    open_: Any = from_url  # its overloads distinguish what only the URL tells
    if urlsplit(url).scheme == "file":
        if not writes and not os.path.isdir(links.to_path(url)):
            raise FileNotFoundError
        return open_(url, mkdir=writes)
    limit = f"{max(1, round(seconds))}s"
    options: dict[str, Any] = {"timeout": limit, "connect_timeout": limit}
    if url.startswith("http://") or any(os.environ.get(name, "").lower() in ("1", "true") for name in _PLAIN):
        options["allow_http"] = True
    retries: Any = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=seconds)}
    return open_(url, client_options=options, retry_config=retries)
