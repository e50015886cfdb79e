"""Diagnosis: after a pip that failed, the causes that what is at hand proves. Where it may be anything, nothing is said."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.specifiers import SpecifierSet

from pinstall.aftermath import dependencies
from pinstall.aftermath.dependencies import Want
from pinstall.messages import listed, pinned
from pinstall.model import links
from pinstall.model.pins import project_named
from pinstall.pip_cache.locator import will_do
from pinstall.storage.disk_space import is_full

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pinstall.environment import Environment
    from pinstall.model.digest import Digest
    from pinstall.model.links import ParsedFilename
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.locator import Cache, ProjectFiles

_VERSIONS_SHOWN = 3
_OTHER_TAGS = "for other Python versions or platforms"
_OTHER_HASH = "its hash on the index is not one of the pinned hashes"


class _Listed(NamedTuple):
    """A wheel or sdist of what is pinned: its name and what that says, and what is stated of it."""

    filename: str
    label: ParsedFilename
    digests: tuple[Digest, ...]
    requires_python: str = ""


def causes(cache: Cache, pins: Iterable[Pin], told: Collection[str]) -> list[str]:
    """Return a line for each cause that can be told: of *pins*, and what they need, that cannot be installed; of full disks.

    *told* are the keys of the pages that servers sent in this call. Pages of *cache* that were read before pip ran
    must be forgotten.
    """
    lines = []
    for pin in _needed(cache, pins):
        reason = _reason(cache, pin, told)
        if reason and not _is_installed(cache.environment, pin):
            lines.append(f"{pin.project} cannot be installed: {reason}; {pinned(pin)}")
    full = [folder for folder in _folders(cache) if is_full(folder)]
    return [*lines, f"the disk is full: less than 1 MB can be written to {listed(full)}"] if full else lines


def _needed(cache: Cache, pins: Iterable[Pin]) -> Iterator[Pin]:
    """Yield *pins*, and what these need in one version and nothing else: the dependencies of dependencies among it.

    Where a requirement leaves a choice, pip may have taken something else, which needs other things.
    """
    call = cache.call
    named = {project_named(line.text) for line in call.lines}
    waiting = list(pins)
    while waiting:
        pin = waiting.pop(0)
        yield pin
        refused = call.formats.refuses(pin.project, is_wheel=True)
        if pin.requested and pin.has_version and not call.has("ignore_dependencies") and not refused:
            needed = [needed for needed in _dependencies(cache, pin) if needed.project not in named]
            named.update(needed.project for needed in needed)
            waiting += needed


def _dependencies(cache: Cache, pin: Pin) -> list[Pin]:
    """Return the pins that each wheel states which the cache has for *pin*: an sdist may know of its dependencies too late."""
    stated: list[list[Pin]] = []
    for file in cache.locate(pin).files:
        built = cache.built(pin, file.link) if file.label is None or not file.label.tags else ()
        for entry in (*cache.downloads(file), *built):
            if entry.kind == "metadata" or entry.filename.endswith(".whl"):
                wants = dependencies.of(entry, Want(pin), cache.environment.markers)
                stated.append([want.pin for want in wants if want.pin.has_version])
    return [needed for needed in stated[0] if all(needed in others for others in stated)] if stated else []


def _is_installed(environment: Environment, pin: Pin) -> bool:
    version = environment.installed(pin.project)
    return version is not None and pin.specifier.contains(version, prereleases=True)


def _reason(cache: Cache, pin: Pin, told: Collection[str]) -> str:
    """Say why pip can install nothing that is listed for *pin*; "" if it could, or that cannot be told."""
    # What could not be read of the call may name more indexes.
    call = cache.call
    if (
        not (pin.has_version and (call.index_urls or call.find_links))
        or pin.locked
        or call.unread
        or not _is_told(cache, pin, told)
    ):
        return ""
    located = cache.locate(pin)
    if not cache.locate(pin._replace(hashes=())).listed:
        return _unlisted(pin, located)
    files = list(_files(pin, located))
    if not files:  # those of folders are known only if they can be installed
        return f"all wheels of this version are {_OTHER_TAGS}"
    return _refused(cache, pin, files)


def _is_told(cache: Cache, pin: Pin, told: Collection[str]) -> bool:
    """Say whether all is at hand that the servers say of *pin* now: what pip used unasked may be out of date.

    pip may have had no use for a project that is only constrained.
    """
    located = cache.locate(pin)
    sent = [page for page in located.pages if page.entry.key in told]
    return (
        located.complete
        and (pin.requested or bool(sent))
        and not any(page.fault or page.unreadable for page in located.pages)
        and len(sent) == len(located.pages)
    )


def _unlisted(pin: Pin, located: ProjectFiles) -> str:
    offers = (*(offer for page in located.pages for offer in page.offers), *located.others)
    labels = (links.label(offer.filename, pin.project) for offer in offers)
    versions = sorted({label.version for label in labels if label}, reverse=True)
    if not versions:
        return "no index or --find-links folder lists any wheel or sdist of this project"
    older = f" and {more} older" if (more := len(versions) - _VERSIONS_SHOWN) > 0 else ""
    newest = ", ".join(map(str, versions[:_VERSIONS_SHOWN]))
    return f"no index or --find-links folder lists a wheel or sdist of this version, only of {newest}{older}"


def _files(pin: Pin, located: ProjectFiles) -> Iterator[_Listed]:
    """Yield what is listed of the pinned version: by pages for any environment, by folders for this one."""
    seen = set()
    for offer in (offer for page in located.pages for offer in page.offers):
        label = links.label(offer.filename, pin.project)
        if label and pin.admits(label.version):
            link = offer.link()
            seen.add(link)
            yield _Listed(offer.filename, label, link.digests, _requires_python(offer.file))
    for file in located.files:
        if file.label and file.link not in seen:
            yield _Listed(file.link.filename, file.label, file.link.digests)


def _requires_python(stated: dict[str, Any]) -> str:
    """Return the Requires-Python that a page states of a file (PEP 691; PEP 503 as an attribute); "" if it does not."""
    value = stated.get("requires-python") or stated.get("data-requires-python")
    return value if isinstance(value, str) else ""


def _refused(cache: Cache, pin: Pin, files: list[_Listed]) -> str:
    """Say why each of *files* is refused; "" if one is not.

    Where some of them have a pinned hash, others matter only if they could be installed but for theirs.
    """
    matching = [file for file in files if will_do(pin, file.digests)]
    refusals = {file: _refusal(cache, pin, file) for file in files}
    if any(not refusals[file] for file in matching):
        return ""
    by_reason: dict[str, list[str]] = {}
    for file in files:
        if file in matching:
            by_reason.setdefault(refusals[file], []).append(file.filename)
        elif not matching or not refusals[file]:
            by_reason.setdefault(_OTHER_HASH, []).append(file.filename)
    return ", ".join(f"{listed(names)} ({reason})" for reason, names in by_reason.items())


def _refusal(cache: Cache, pin: Pin, file: _Listed) -> str:
    """Say why pip would refuse a file whatever its hash (``LinkEvaluator.evaluate_link``); "" if it would not.

    A yanked file is none: pip takes it for a pin if nothing else of that version will do (PEP 592).
    """
    call, environment = cache.call, cache.environment
    if option := call.formats.refuses(pin.project, is_wheel=bool(file.label.tags)):
        return f"excluded by {option}"
    if not cache.usable(file.label):
        return _OTHER_TAGS
    python = _python(environment)
    if call.has("ignore_requires_python", "python_version") or _fits(file.requires_python, python):
        return ""
    return f"it requires Python {file.requires_python}, and this is {python}"


def _fits(requires_python: str, python: str) -> bool:
    """Say whether a Requires-Python (core metadata specification) admits *python*; what makes no sense pip ignores."""
    try:
        return python in SpecifierSet(requires_python)
    except Exception:  # noqa: BLE001 (InvalidSpecifier, and what each version of packaging has besides)
        return True


def _python(environment: Environment) -> str:
    """Return the version of the environment's Python as pip compares it: three numbers, for a pre-release too."""
    full = environment.markers.get("python_full_version") or "{}.{}.{}".format(*sys.version_info)
    return re.sub(r"[^\d.].*", "", full)


def _folders(cache: Cache) -> Iterator[str]:
    """Yield the folders that pip writes to."""
    from tempfile import gettempdir  # 3 ms

    yield cache.root
    with suppress(FileNotFoundError):  # there is none, as pip has said
        yield gettempdir()
    yield cache.call.values.get("target_dir") or cache.environment.build["site_packages"]
