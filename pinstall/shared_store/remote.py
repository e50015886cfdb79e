"""Access to the bucket or folder of a shared store: the only module that knows ``obstore``.

Each question runs in a thread of its own, because no library bounds all its waiting (names, credentials, proxies, slow bodies).
"""

from __future__ import annotations

import base64
import os
import re
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from pinstall.model import links

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

_Result = TypeVar("_Result")
_CHUNK = 1 << 20
# Seconds after which a wait looks for signals: one that comes just before the wait begins does not end it.
_GLANCE = 0.25
_RETRIES = 2
# An S3 listing has at most so many names in one answer.
_PAGE = 1000
# With these, the tools of the object stores allow a server without TLS.
_PLAIN = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP")
_MISSING = ("NotFoundError", "FileNotFoundError")
# One object may have permissions of its own, or lie in an archive from which it must be restored first.
_DENIED = ("PermissionDeniedError", "PermissionError")
_ODD_NAME = "InvalidPathError"
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
    "ModuleNotFoundError": "its library is missing; install 'pip-pinstall[shared]' into {prefix}",
    "ValueError": _ODD_ADDRESS,
    "InvalidPathError": "an object there has an invalid name",
    "UnknownConfigurationKeyError": _ODD_ADDRESS,
}


class RemoteError(Exception):
    """A question that the store refuses or leaves unanswered, or a store that is not set up. The message has no credentials."""


class ObjectError(RemoteError):
    """One object, or one folder of them, is missing, too large or refused; the store may be used for others."""


class MissingError(ObjectError):
    """The object or the bucket does not exist."""


class OddNameError(ObjectError):
    """A listing has a name that the library does not understand, such as one with an empty part; it has lost the rest, too."""


class UnansweredError(RemoteError):
    """The deadline is over."""


class RemoteObject(NamedTuple):
    """An object: its path below the store's URL, its size in bytes, and when it last changed, in seconds since the epoch."""

    path: str
    size: int
    modified: float


class Remote:
    """The store at *url*. A question, as is its opening, raises `RemoteError` if it fails or is unanswered at the deadline.

    The deadline is that of `allow`, at first *seconds* from now. A missing folder is made only with *writes*: it may be a mount
    that is not there yet. ``root`` is the path of a store that is a folder, else "". ``is_dav`` tells whether it is on a WebDAV
    server.
    """

    def __init__(self, url: str, seconds: float, *, writes: bool = False) -> None:
        self._seconds = seconds
        self.allow(seconds)
        self.is_dav = url.startswith(("http:", "https:"))
        # The library names what a WebDAV server lists by its path on the server, and makes no folder above the URL.
        url, self._prefix = _split(url) if self.is_dav else (url, "")
        self._store = self.within_timeout(lambda: _opened(url, seconds, writes=writes))
        self.root = links.to_path(url) if url.startswith("file:") else ""

    def allow(self, seconds: float | None = None) -> None:
        """Set the deadline to *seconds* from now; by default, to as many as before."""
        self._seconds = self._seconds if seconds is None else seconds
        self._deadline = time.monotonic() + self._seconds

    def objects(self, folder: str, most: int = _PAGE) -> list[RemoteObject]:
        """Return at most *most* of the objects below *folder*: on a server the first by name, in a local folder any.

        On a WebDAV server, only those directly in *folder*.
        """
        import obstore

        if self.is_dav:  # many servers refuse to list what is below a folder
            return self.level(folder)[0][:most]

        def listed() -> list[RemoteObject]:
            chunks = obstore.list(self._store, folder, chunk_size=min(most, _PAGE))
            found = (one for chunk in chunks for one in chunk)
            return [self._object(one) for one in islice(found, most)]

        return self._about_one_object(listed)

    def everything(self, folder: str) -> Iterator[RemoteObject]:
        """Yield all objects below *folder* of a bucket, by name. Each page of the listing gets a deadline of its own.

        Raises as `within_timeout`, also after some objects.
        """
        import obstore

        chunks = iter(obstore.list(self._store, folder, chunk_size=_PAGE))
        while True:
            self.allow()
            chunk = self.within_timeout(lambda: next(chunks, None))
            if chunk is None:
                return
            yield from map(self._object, chunk)

    def level(self, folder: str) -> tuple[list[RemoteObject], list[str]]:
        """Return the objects that are directly in *folder*, by name, and the paths of the folders in it, with a slash."""
        import obstore

        found = self._about_one_object(lambda: obstore.list_with_delimiter(self._store, self._prefix + folder))
        folders = [path.removeprefix(self._prefix) + "/" for path in found["common_prefixes"]]
        objects = [self._object(one) for one in found["objects"]]
        # A WebDAV server counts a folder among those in it.
        return sorted(one for one in objects if one.path.startswith(folder)), sorted({*folders} - {folder})

    def _object(self, found: Any) -> RemoteObject:
        return RemoteObject(found["path"].removeprefix(self._prefix), found["size"], found["last_modified"].timestamp())

    def read(self, path: str, largest: int) -> bytes:
        """Return the content of a small object.

        Raises `ObjectError` if it has more than *largest* bytes, is missing, or may not be read.
        """
        found = bytearray()
        for chunk in self._pieces(path, largest):
            found += chunk
        return bytes(found)

    def fetch(self, path: str, file: BinaryIO, largest: int) -> None:
        """Write the content of an object to *file*, perhaps a part of it if an error occurs.

        Raises `ObjectError` as `read`, and `OSError` if *file* cannot be written.
        """
        file.writelines(self._pieces(path, largest))

    def _pieces(self, path: str, largest: int) -> Iterator[bytes]:
        import obstore

        stream = self._about_one_object(
            lambda: iter(obstore.get(self._store, self._prefix + path).stream(min_chunk_size=_CHUNK)), _DENIED
        )
        size = 0
        while (chunk := self._about_one_object(lambda: next(stream, None))) is not None:
            size += len(chunk)
            if size > largest:
                raise ObjectError("an object is larger than it may be")
            yield bytes(chunk)

    def create(self, path: str, content: bytes) -> bool:
        """Write an object unless it exists; return whether it was written.

        On a WebDAV server, replaces one of another size: a killed machine may have sent half of it.
        """
        import obstore

        path = self._prefix + path

        def put() -> bool:
            self._refuse_link(path)
            if not self.is_dav:
                try:
                    obstore.put(self._store, path, content, mode="create", use_multipart=False)
                except obstore.exceptions.AlreadyExistsError:
                    return False
                return True
            # The library has no conditional writes there; and the server may have kept half of what a killed machine sent.
            with suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
                if obstore.head(self._store, path)["size"] == len(content):
                    return False
            obstore.put(self._store, path, content, use_multipart=False)
            return True

        return self._about_one_object(put)

    def delete(self, paths: Sequence[str]) -> dict[str, str]:
        """Delete objects, unless they are gone already; return the paths of those that stay, each with the reason.

        Sets the deadline anew for each question (`allow`). Raises `RemoteError` if the store as a whole fails.
        """
        import obstore

        with suppress(RemoteError):  # some may be there still
            if not self.root:
                self.allow()
                self.within_timeout(lambda: obstore.delete(self._store, [self._prefix + path for path in paths]))
                return {}
        return {path: why for path in paths if (why := self._stays(path))}

    def _stays(self, path: str) -> str:
        """Delete an object; return why it stays, "" if it is gone. Raises `RemoteError` if the store as a whole fails."""
        import obstore

        def removed() -> None:
            self._refuse_link(path)
            if self.root:  # the library does not know the names of unfinished objects
                os.unlink(os.path.join(self.root, path))
            else:
                obstore.delete(self._store, self._prefix + path)

        self.allow()
        try:
            self._about_one_object(removed, _DENIED)
        except MissingError:
            return ""
        except ObjectError as error:
            return str(error)
        return ""

    def _refuse_link(self, path: str) -> None:
        """Raise `ObjectError` if a folder in *path*, other than the first, is a symbolic link: it may lead out of the store.

        Does nothing for a store on a server.
        """
        places = path.split("/")[:-1]
        if self.root and any(os.path.islink(os.path.join(self.root, *places[:end])) for end in range(2, len(places) + 1)):
            raise ObjectError("a folder there is a symbolic link")

    def _about_one_object(self, question: Callable[[], _Result], spoiled: Sequence[str] = ()) -> _Result:
        """Return the answer to a *question* about one object, or one folder of them.

        Raises as `within_timeout`; but if the store is a folder, `ObjectError` for each error but a missed deadline: a file may
        have a fault of its own, such as a mode or a name. Other errors of a server concern all objects.
        """
        try:
            return self.within_timeout(question, spoiled)
        except (ObjectError, UnansweredError):
            raise
        except RemoteError:
            if not self.root:
                raise
        raise ObjectError("a file or folder there cannot be read or written")

    def within_timeout(self, question: Callable[[], _Result], spoiled: Sequence[str] = ()) -> _Result:
        """Return the answer of the store to a *question*. Raises `UnansweredError` at the deadline.

        Raises `ObjectError` if an object is missing, too large or has a name that the library does not understand, and for the
        errors of the library whose types are named in *spoiled*; `RemoteError` for others.
        """
        answers, errors = self._waited_for(question)
        if errors:
            raise _explained(errors[0], spoiled) from None
        return answers[0]

    def bounded(self, question: Callable[[], _Result]) -> _Result:
        """Return the answer of this machine to a *question* that may take long.

        Raises the errors of the question, and `UnansweredError` at the deadline.
        """
        answers, errors = self._waited_for(question)
        if errors:
            raise errors[0]
        return answers[0]

    def _waited_for(self, question: Callable[[], _Result]) -> tuple[list[_Result], list[BaseException]]:
        """Return lists of the answer to a *question*, and of its error: one of them is empty. The question runs in a thread.

        Raises `UnansweredError` at the deadline; the thread may go on.
        """
        answers: list[_Result] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(question())
            except BaseException as error:  # noqa: BLE001 (a panic of the library's Rust is no Exception)
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive() and (left := self._deadline - time.monotonic()) > 0:
            thread.join(min(left, _GLANCE))
        if not (answers or errors):
            raise UnansweredError(f"no answer within {self._seconds:g} s (PINSTALL_SHARED_STORE_TIMEOUT)")
        return answers, errors


def _explained(error: BaseException, spoiled: Sequence[str]) -> RemoteError:
    """Return the error to raise for one of the library, whose text is not shown, as it may have a signed URL.

    Returns *error* itself if it is a `RemoteError`. *spoiled* is as in `Remote.within_timeout`.
    """
    if isinstance(error, RemoteError):
        return error
    if _TOO_LARGE.search(str(error)):
        return ObjectError(_TOO_LARGE_WORDS)
    name = type(error).__name__
    words = _WORDS.get(name, f"error of its library: {name}").format(prefix=sys.prefix)
    kinds = {**dict.fromkeys(spoiled, ObjectError), **dict.fromkeys(_MISSING, MissingError), _ODD_NAME: OddNameError}
    return kinds.get(name, RemoteError)(words)


def _authorized(url: str) -> tuple[str, dict[str, str]]:
    """Return *url* without user and password, which the library drops, and a dict with the header that has them, or {}."""
    parts = urlsplit(url)
    user, _, server = parts.netloc.rpartition("@")
    if not user:
        return url, {}
    encoded = base64.b64encode(unquote(user).encode()).decode()
    return parts._replace(netloc=server).geturl(), {"Authorization": f"Basic {encoded}"}


def _split(url: str) -> tuple[str, str]:
    """Split *url* into the URL of the root of its WebDAV server, and the path of the folder below that, unquoted.

    The path is "" for the root, else it ends in a slash.
    """
    parts = urlsplit(url)
    folder = unquote(parts.path).strip("/")
    return parts._replace(path="/").geturl(), folder and f"{folder}/"


def _opened(url: str, seconds: float, *, writes: bool) -> Any:
    """Open the store at *url*; the credentials are those that the environment has for it. Raises the errors of the library.

    A store that is a missing folder is made with *writes*; without, raises `FileNotFoundError`.
    """
    from obstore.store import from_url

    open_: Any = from_url  # its overloads distinguish what only the URL tells
    if urlsplit(url).scheme == "file":
        if not writes and not os.path.isdir(links.to_path(url)):
            raise FileNotFoundError
        return open_(url, mkdir=writes)
    limit = f"{max(1, round(seconds))}s"
    options: dict[str, Any] = {"timeout": limit, "connect_timeout": limit}
    if url.startswith(("http:", "https:")):
        url, options["default_headers"] = _authorized(url)
    if url.startswith("http://") or any(os.environ.get(name, "").lower() in ("1", "true") for name in _PLAIN):
        options["allow_http"] = True
    retries: Any = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=seconds)}
    return open_(url, client_options=options, retry_config=retries)
