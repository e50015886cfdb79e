"""The verdicts on cache entries. `model.decision` reaches them.

``reason`` is a code that docs/messages.md explains, ``detail`` the reason in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Keep(NamedTuple):
    """The entry matches the pin, or nothing that counts proves otherwise: it stays, and a stored one may be restored."""


class Hide(NamedTuple):
    """The built wheel does not fit this call, or its contents cannot be judged; or the page may be outdated.

    The view keeps a page from this call's pip, and a wheel if that pip may build it. The entry stays where it is. Only
    `checks.consultation` sets such a wheel aside: if the call has no view, or if its version is not pinned.
    """

    reason: str
    detail: str = ""


class SetAside(NamedTuple):
    """The entry is sound but does not fit: pinstall moves it out of pip's cache into the store. A stored one stays there."""

    reason: str
    detail: str = ""


class Delete(NamedTuple):
    """The entry is proven to be bad: pinstall deletes it, or spends it if it is an HTTP entry in pip's cache."""

    reason: str
    detail: str = ""


class Unreadable(NamedTuple):
    """An error kept the entry from being read or checked: it stays, and the view hides it from this call's pip.

    Without a view, pip may use such a built wheel, and a line says so.
    """

    detail: str


Verdict = Keep | Hide | SetAside | Delete | Unreadable


def not_found(libraries: Iterable[str]) -> str:
    """Return the clause that the dynamic loader does not find shared *libraries* that a wheel needs."""
    return f"it needs {', '.join(libraries)}, which is not found on this system"
