"""Dependencies: what the artifacts in the cache say that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement

from pinstall.inspection import integrity
from pinstall.model.names import normalized
from pinstall.model.pins import Pin
from pinstall.pip_cache import http_entries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pinstall.pip_cache.http_entries import Entry


class Want(NamedTuple):
    """A requirement of a call, or of what the cache has for one; ``pin`` stands for it, and may leave more than one answer."""

    pin: Pin
    extras: frozenset[str] = frozenset()


def want(text: str, place: str, markers: dict[str, str], extras: Iterable[str] = ()) -> Want | None:
    """Read a requirement of a name that stands in *place*; None if it is none, or does not apply with these *extras*."""
    try:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker and not any(marker.evaluate({**markers, "extra": extra}) for extra in ("", *extras)):
            return None
    except Exception:  # noqa: BLE001 (each version of packaging has others: KeyError, InvalidVersion, RecursionError ...)
        return None
    pin = Pin(normalized(requirement.name), requirement.specifier, requirement.url or "", (), (place,), requested=True)
    return Want(pin, frozenset(normalized(extra) for extra in requirement.extras))


def of(entry: Entry, wanted: Want, markers: dict[str, str]) -> list[Want]:
    """Return what an artifact in the cache (or its ``.metadata``), there for *wanted*, needs: an sdist, to be built as well."""
    wants = (want(text, f"needed by {wanted.pin.project}", markers, wanted.extras) for text in _stated(entry))
    return [found for found in wants if found]


def _stated(entry: Entry) -> list[str]:
    """Return the requirements that an artifact or its metadata file states; none if it cannot be read."""
    try:
        with http_entries.open_content(entry) as file:
            if entry.kind == "metadata":
                return _required(file.read(integrity.LARGEST_METADATA).decode(errors="replace"))
            if entry.filename.endswith(".whl"):
                return _required(integrity.metadata(file))
            from pinstall.inspection import sdist_scan

            says = sdist_scan.read(file, entry.filename, ())
            file.seek(0)
            return [*(says.requires if says else ()), *_required(sdist_scan.metadata(file, entry.filename))]
    except Exception:  # noqa: BLE001 (what cannot be read states nothing)
        return []


def _required(metadata: str) -> list[str]:
    from email.parser import HeaderParser

    return [str(text) for text in HeaderParser().parsestr(metadata).get_all("Requires-Dist") or ()]
