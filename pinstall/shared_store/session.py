"""The shared store of one call: opened when something would be built or uploaded.

Once the store as a whole has failed, the call leaves it alone; a fault of one build costs that build only (`about_one_build`).
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pinstall.messages import WARNING
from pinstall.model import foreign_data
from pinstall.shared_store import documents
from pinstall.shared_store.documents import KeyUnusableError, RefusedError
from pinstall.shared_store.remote import ObjectError, Remote, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinstall.messages import Say
    from pinstall.settings import SharedStoreSettings

_Result = TypeVar("_Result")


@contextmanager
def about_one_build(tell: Callable[[str], None]) -> Iterator[None]:
    """Call *tell* with the reason if the block fails because of the one build that it works on, and go on after the block.

    Every error counts as such, unless it concerns the store as a whole: raises `RemoteError` (but no `ObjectError`),
    `KeyUnusableError` and `ImportError`.
    """
    try:
        yield
    except (ObjectError, RefusedError) as error:
        tell(str(error))
    except (RemoteError, KeyUnusableError):
        raise
    except Exception as error:  # noqa: BLE001 (a build may hold anything)
        tell(foreign_data.reason(error))


class SharedStore:
    """The shared store of a call, with its *settings*.

    ``is_off`` is True once it has failed: then nobody waits for it again. ``waited_in_vain`` are the seconds of all questions
    that gave no build, and of uploads; the time-out bounds their sum. The time of a question that gave a build does not count.
    """

    def __init__(self, settings: SharedStoreSettings) -> None:
        self.settings = settings
        self.is_off = False
        self.waited_in_vain = 0.0
        self.told: set[str] = set()
        self._remote: Remote | None = None
        self._key: bytes | None = None

    @property
    def key(self) -> bytes:
        """The key that signs records; empty if none is set. Raises `KeyUnusableError`."""
        if self._key is None:
            self._key = documents.signing_key(self.settings)
        return self._key

    def use(self, say: Say, instead: str, work: Callable[[Remote], _Result]) -> _Result | None:
        """Return the result of *work* with the opened store, which has the rest of the time-out; None after an error.

        An error, of the opening or of *work*, sets ``is_off`` and costs one line, which ends with *instead*: what happens now.
        Raises no error but an `ImportError`.
        """
        try:
            return work(self._opened())
        except (RemoteError, KeyUnusableError) as error:
            why = str(error)
        except OSError as error:
            why = error.strerror or type(error).__name__
        except Exception as error:  # noqa: BLE001 (a bucket may hold anything, and pip is waiting)
            why = foreign_data.reason(error)
        self.is_off = True
        say(WARNING, f"the shared store {self.settings.location} is not used: {why}; {instead}")
        return None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Add the time of the block to ``waited_in_vain``."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.waited_in_vain += time.monotonic() - begun

    def warn(self, say: Say, line: str) -> None:
        """Say a *line* as a warning, unless the call has said the same one."""
        if line not in self.told:
            self.told.add(line)
            say(WARNING, line)

    def _opened(self) -> Remote:
        seconds = self.settings.timeout - self.waited_in_vain
        if seconds <= 0:
            raise RemoteError(f"its answers took more than {self.settings.timeout:g} s in all (PINSTALL_SHARED_STORE_TIMEOUT)")
        _ = self.key  # before anything is asked
        if self._remote is None:
            self._remote = Remote(self.settings.url, seconds, writes=self.settings.writes)
        self._remote.allow(seconds)
        return self._remote
