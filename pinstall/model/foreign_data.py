"""Foreign data: whatever a library raises for one file, page, name or record costs that one alone, and never the call."""

from __future__ import annotations


def reason(error: Exception) -> str:
    """Return the reason for which an entry counts as unreadable: what the system says, else the kind of the *error*.

    An `ImportError` is raised again: our own packages are broken, and no entry is to blame.
    """
    if isinstance(error, ImportError):
        raise error
    # The words of an exception may hold a URL with credentials.
    return getattr(error, "strerror", None) or type(error).__name__
