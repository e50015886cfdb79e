"""What pinstall says: what was done, why, and where the pin stands, in a line each. Never a URL: it may hold a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinstall.verdict import Delete, Hide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pinstall.check import Finding
    from pinstall.pins import Pin

    Say = Callable[[int, str], None]

# The verbosity (``-v`` less ``-q``) from which a line is said, as for pip's own.
NOTE, WARNING, ERROR = 0, -1, -2

_KINDS = {"download": "download", "metadata": "metadata file", "built": "built wheel", "page": "page"}
_SHOWN = 4


def changed(finding: Finding, *, would: bool = False) -> str:
    """Say what was done (or *would* have been) about one entry."""
    entry, verdict = finding.entry, finding.verdict
    what = entry.filename if entry.kind == "page" else f"{entry.filename} ({_KINDS[entry.kind]})"
    where = "the store" if finding.stored else "the cache"
    match verdict:
        case Delete(reason, detail):
            act = f"delete{'' if would else 'd'} {what} from {where}: {reason}, {detail}"
        case Hide(reason, detail):
            act = f"set aside {what}: {reason}, {detail}"
        case _:
            act = f"{'bring' if would else 'brought'} back {what} from the store"
    return f"{'would ' if would else ''}{act}; {pinned(finding.pin)}"


def set_aside_versions(pin: Pin, filenames: Iterable[str]) -> str:
    """Say which entries of other versions were tidied away."""
    return f"set aside {_list(filenames)}: other-version; {pinned(pin)}"


def without_cache(reason: str) -> str:
    """Say that the cache could not be put right."""
    return f"pip runs without the cache: {reason}"


def not_checked(source: str, reason: str) -> str:
    """Say what was not read."""
    return f"not checked: {source} ({reason})"


def pinned(pin: Pin) -> str:
    """Name a pin and where it stands."""
    return f"{pin} ({_list(pin.places)})"


def _list(things: Iterable[str]) -> str:
    all_things = list(dict.fromkeys(things))
    more = len(all_things) - _SHOWN
    return ", ".join(all_things[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
