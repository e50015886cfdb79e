"""Foreign data: an error that a library raises for one file, page, name or record affects that item only, not the call."""

from __future__ import annotations


def raise_if_ours(error: Exception) -> None:
    """Raise *error* again if it is an `ImportError`: then pinstall's own packages are broken, and no entry is to blame."""
    if isinstance(error, ImportError):
        raise error


def reason(error: Exception) -> str:
    """Return *error* in words, as the reason why an entry is unreadable: the operating system's text, else the type's name.

    Raises *error* itself if it is our own (`raise_if_ours`).
    """
    raise_if_ours(error)
    # Not str(error): it may contain a URL with credentials.
    return getattr(error, "strerror", None) or type(error).__name__
