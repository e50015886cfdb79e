"""List all objects of a shared store, for ``pinstall-cache shared``: if something cannot be listed, the rest is.

A bucket is listed page by page. The library loses a whole page for one name that it does not understand; then the folders are
listed one by one. A WebDAV server often refuses to list more than one folder at once. A store that is a folder is walked here,
because the library loses files beside one that it cannot read, and follows symbolic links, which are not followed here below
the top folder.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from pinstall.shared_store import layout
from pinstall.shared_store.remote import ObjectError, OddNameError, RemoteError, RemoteObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinstall.shared_store.remote import Remote

# If so many questions fail one after the other, the server is gone, and not only what they were about.
_PATIENCE = 3
_LINK = "it is a symbolic link"


class _Found(NamedTuple):
    """The objects directly in a folder, and the ``skipped`` paths, each with the reason.

    These are paths in the folder, and folders before it in the walk that could not be listed.
    """

    objects: list[RemoteObject]
    skipped: dict[str, str]


class Patience:
    """A count of failures that follow each other."""

    def __init__(self) -> None:
        self._failures = 0

    def try_again(self, error: RemoteError) -> None:
        """Count the failure *error*, and raise it if it is the third in a row. Ignore an `ObjectError`."""
        if isinstance(error, ObjectError):
            return
        self._failures += 1
        if self._failures >= _PATIENCE:
            raise error

    def reward(self) -> None:
        """Begin to count from zero: a question was answered."""
        self._failures = 0


class Listing:
    """The listing of a store; *skip* is called with each path that cannot be listed, and why."""

    def __init__(self, remote: Remote, skip: Callable[[str, str], None]) -> None:
        self._remote, self._skip, self._patience = remote, skip, Patience()

    def everything(self) -> Iterator[RemoteObject]:
        """Yield all objects, those of a bucket by name, also those that are not pinstall's.

        Raises `RemoteError` if the store fails, or the top folder of one on a server; a local one is skipped. Where folders are
        listed one by one, a folder that fails is skipped, until three in a row fail for a reason that is not their own
        (`Patience.try_again`).
        """
        if self._remote.root:
            yield from self._walked()
        elif self._remote.is_dav:
            yield from self._of_each_folder(layout.TOP, "", self._of_folder)
        else:
            yield from self._of_pages(layout.TOP, "")

    def _of_pages(self, folder: str, after: str) -> Iterator[RemoteObject]:
        """Yield the objects below a *folder* of a bucket, by name, from the first behind the path *after*.

        Goes on folder by folder if a page of the listing has a name that the library does not understand.
        """
        last = after
        try:
            for one in self._remote.everything(folder):
                if one.path > after:
                    last = one.path
                    yield one
        except OddNameError:
            yield from self._of_each_folder(folder, last, self._of_pages)

    def _of_folder(self, folder: str, after: str) -> Iterator[RemoteObject]:
        return self._of_each_folder(folder, after, self._of_folder)

    def _of_each_folder(
        self, folder: str, after: str, below: Callable[[str, str], Iterator[RemoteObject]]
    ) -> Iterator[RemoteObject]:
        """Yield the objects in a *folder* that sort behind the path *after*, and those that *below* yields of its folders.

        Skips a folder that cannot be listed, but raises `RemoteError` if it is the top, or as `Patience.try_again`. If the
        library does not understand a name in it, its objects are skipped, and the folders that it may have are tried.
        """
        self._remote.allow()
        try:
            objects, folders = self._remote.level(folder)
        except OddNameError as error:
            self._skip(folder, str(error))
            objects, folders = [], layout.folders_in(folder)
        except RemoteError as error:
            if folder == layout.TOP:
                raise
            self._patience.try_again(error)
            self._skip(folder, str(error))
            return
        self._patience.reward()
        yield from (one for one in objects if one.path > after)
        for inner in folders if layout.may_have_folders(folder) else ():
            yield from below(inner, after)

    def _walked(self) -> Iterator[RemoteObject]:
        """Yield the objects below `layout.TOP` of a store that is a folder, in no order; none if that is missing.

        Reports symbolic links below it, which are not followed, and all else that cannot be listed, to *skip* of the listing.
        Raises `RemoteError`, as at the deadline, which is set anew for each folder.
        """
        errors: list[OSError] = []
        walk = os.walk(os.path.join(self._remote.root, layout.TOP.rstrip("/")), onerror=errors.append)
        while True:
            self._remote.allow()
            found = self._remote.within_timeout(lambda: self._next(walk, errors))
            if found is None:
                return
            for path, why in found.skipped.items():
                self._skip(path, why)
            yield from found.objects

    def _next(self, walk: Iterator[tuple[str, list[str], list[str]]], errors: list[OSError]) -> _Found | None:
        """Return the objects in the next folder of a *walk*, and the paths skipped there or on the way to it.

        None at the end of the walk, if nothing was skipped.

        Moves the *errors* that the walk has met to ``skipped``, and drops those about files that have vanished.
        """
        step = next(walk, None)
        skipped = {self._path(str(error.filename)): error.strerror or "" for error in errors if not _is_missing(error)}
        errors.clear()
        if step is None:
            return _Found([], skipped) if skipped else None
        place, folders, files = step
        for name in folders:
            path = os.path.join(place, name)
            if os.path.islink(path):
                skipped[self._path(path)] = _LINK
            elif name.endswith((layout.RECORD, layout.WHEEL)):
                skipped[self._path(path)] = "it is a folder"
        if not layout.may_have_folders(self._path(place) + "/"):
            folders.clear()
        objects = []
        for name in files:
            try:
                objects.append(self._file(os.path.join(place, name)))
            except ObjectError as error:
                skipped[self._path(os.path.join(place, name))] = str(error)
            except OSError as error:
                if not _is_missing(error):
                    skipped[self._path(os.path.join(place, name))] = error.strerror or ""
        return _Found(objects, skipped)

    def _file(self, path: str) -> RemoteObject:
        """Return the object at *path*, that of a file. Raises `ObjectError` if that is not a regular file, and `OSError`."""
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            raise ObjectError(_LINK)
        if not stat.S_ISREG(found.st_mode):
            raise ObjectError("it is not a regular file")
        return RemoteObject(self._path(path), found.st_size, found.st_mtime)

    def _path(self, path: str) -> str:
        """Return the path within the store of the file or folder *path* of a store that is a folder."""
        return os.path.relpath(path, self._remote.root).replace(os.sep, "/")


def _is_missing(error: OSError) -> bool:
    """Return whether *error* says that a file or folder has vanished meanwhile."""
    return isinstance(error, FileNotFoundError)
