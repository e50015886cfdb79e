"""Explain a failure of pip: name the pins that pip provably cannot install, by cached pages and files, and the full disks.

If pip may have failed on a pin for another reason, pinstall does not name the pin.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.specifiers import SpecifierSet

from pinstall.checks import dependencies
from pinstall.checks.satisfied import is_installed
from pinstall.messages import listed, pinned
from pinstall.model import links
from pinstall.model.names import project_named
from pinstall.pip_cache.locator import hashes_allow
from pinstall.storage.disk_space import is_full

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pinstall.environment import Environment
    from pinstall.model.digest import Digest
    from pinstall.model.links import ParsedFilename
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.locator import Cache, ProjectFiles

_OTHER_TAGS = "for other Python versions or platforms"
_OTHER_HASH = "its hash on the index is not one of the pinned hashes"


class _Listed(NamedTuple):
    """A wheel or sdist of a pinned version: its file name, the parts of that, and the statements of its page, if any."""

    filename: str
    parsed_filename: ParsedFilename
    digests: tuple[Digest, ...]
    requires_python: str = ""


def causes(cache: Cache, pins: Iterable[Pin], received: Collection[str]) -> list[str]:
    """Return a line for each pin, or dependency of one, that provably cannot be installed, and one line for all full disks.

    *received* are the keys of the HTTP entries that servers sent in this call: other pages prove nothing. *cache* must not
    remember pages that were read before pip ran.
    """
    lines = []
    for pin in _with_dependencies(cache, pins):
        reason = _reason(cache, pin, received)
        if reason and not is_installed(pin, cache.environment):
            lines.append(f"{pin.project} cannot be installed: {reason}; for {pinned(pin)}")
    full = [folder for folder in _folders(cache) if is_full(folder)]
    return [*lines, f"the disk is full: less than 1 MB can be written to {listed(full)}"] if full else lines


def _with_dependencies(cache: Cache, pins: Iterable[Pin]) -> Iterator[Pin]:
    """Yield *pins*, and the dependencies of each, direct or not, that admit exactly one version; each dependency once.

    Skips a dependency that admits several versions: pip may have chosen any of them, with other dependencies. Also skips one
    that the call itself names. Follows no dependencies of a constraint, of a pin without a version, and of a project of which
    pip takes no wheel; none at all if the call ignores them.
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
    """Return the requirements with one version that every cached wheel and ``.metadata`` file of *pin* states.

    Reads no sdist: a build may decide on the dependencies. Empty if none of these files is cached.
    """
    stated: list[list[Pin]] = []
    for file in cache.locate(pin).files:
        built = cache.built_for(pin, file.link) if file.parsed_filename is None or not file.parsed_filename.tags else ()
        for entry in (*cache.downloads(file), *built):
            if entry.kind == "metadata" or entry.filename.endswith(".whl"):
                needs = dependencies.of(entry, pin, cache.environment.markers)
                stated.append([need for need in needs if need.has_version])
    return [needed for needed in stated[0] if all(needed in others for others in stated)] if stated else []


def _reason(cache: Cache, pin: Pin, received: Collection[str]) -> str:
    """Return why pip can install none of the files that are listed for *pin*; "" if pip can, or if that is not proven.

    "" also if no file of the pinned version is listed: then pip itself says so.
    """
    # A file of the call that pinstall could not read (`call.unread`) may name more indexes.
    call = cache.call
    if (
        not (pin.has_version and (call.index_urls or call.find_links))
        or pin.locked
        or call.unread
        or not _are_pages_current(cache, pin, received)
    ):
        return ""
    located = cache.locate(pin)
    if not cache.locate(pin._replace(hashes=())).listed:
        return ""  # pip itself lists the versions that there are
    files = sorted(_files(pin, located), key=lambda file: _rank(cache, pin, file))
    if not files:  # for folders, only installable files are known
        return f"all wheels of this version are {_OTHER_TAGS}"
    return _refused(cache, pin, files)


def _are_pages_current(cache: Cache, pin: Pin, received: Collection[str]) -> bool:
    """Return whether servers have sent all pages of *pin* in this call: a page that pip used from its cache may be outdated.

    False if a page is missing, damaged or unreadable. False also for a project that is only constrained if pip has fetched no
    page of it: pip may not have needed it.
    """
    located = cache.locate(pin)
    sent = [page for page in located.pages if page.entry.key in received]
    return (
        located.complete
        and (pin.requested or bool(sent))
        and not any(page.fault or page.unreadable for page in located.pages)
        and len(sent) == len(located.pages)
    )


def _rank(cache: Cache, pin: Pin, file: _Listed) -> tuple[bool, bool, bool]:
    """Return a key that sorts the likeliest file first: with a pinned hash, then for this environment, then wheels."""
    return not hashes_allow(pin, file.digests), not cache.usable(file.parsed_filename), not file.parsed_filename.tags


def _files(pin: Pin, located: ProjectFiles) -> Iterator[_Listed]:
    """Yield the listed files of the pinned version: those of pages for any environment, those of folders for this one."""
    seen = set()
    for offer in (offer for page in located.pages for offer in page.offers):
        label = links.parse_filename(offer.filename, pin.project)
        if label and pin.admits(label.version):
            link = offer.link()
            seen.add(link)
            yield _Listed(offer.filename, label, link.digests, _requires_python(offer.file))
    for file in located.files:
        if file.parsed_filename and file.link not in seen:
            yield _Listed(file.link.filename, file.parsed_filename, file.link.digests)


def _requires_python(stated: dict[str, Any]) -> str:
    """Return the Requires-Python that a page states for a file (PEP 691, or an HTML attribute by PEP 503); "" if none."""
    value = stated.get("requires-python") or stated.get("data-requires-python")
    return value if isinstance(value, str) else ""


def _refused(cache: Cache, pin: Pin, files: list[_Listed]) -> str:
    """Return why pip refuses each of *files*, as one text; "" if it accepts one.

    If some files have a pinned hash, or none to compare, the text mentions a file with another hash only if its hash is the
    only reason against it. If all have another hash, that is the reason for each file.
    """
    matching = [file for file in files if hashes_allow(pin, file.digests)]
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
    """Return why pip would refuse a file regardless of its hash (``LinkEvaluator.evaluate_link``); "" if it would not.

    Being yanked does not count: for a pin, pip takes a yanked file if the version has no other suitable file (PEP 592).
    """
    call, environment = cache.call, cache.environment
    if option := call.formats.refuses(pin.project, is_wheel=bool(file.parsed_filename.tags)):
        return f"excluded by {option}"
    if not cache.usable(file.parsed_filename):
        return _OTHER_TAGS
    python = _python(environment)
    if call.has("ignore_requires_python", "python_version") or _fits(file.requires_python, python):
        return ""
    return f"it requires Python {file.requires_python}, and this is {python}"


def _fits(requires_python: str, python: str) -> bool:
    """Return whether a Requires-Python (core metadata specification) admits *python*; True if it is invalid, as for pip."""
    try:
        return python in SpecifierSet(requires_python)
    except Exception:  # noqa: BLE001 (InvalidSpecifier, and others that depend on the version of packaging)
        return True


def _python(environment: Environment) -> str:
    """Return the environment's Python version as pip compares it: three numbers, without a pre-release suffix."""
    full = environment.markers.get("python_full_version") or "{}.{}.{}".format(*sys.version_info)
    return re.sub(r"[^\d.].*", "", full)


def _folders(cache: Cache) -> Iterator[str]:
    """Yield folders that pip writes to: its cache, the folder for temporary files, if there is one, and where it installs.

    The last is that of ``--target``, else the environment's site-packages, even if ``--prefix`` and the like name another one.
    """
    from tempfile import gettempdir  # 3 ms

    yield cache.root
    with suppress(FileNotFoundError):  # there is no usable temporary folder, and pip has reported that
        yield gettempdir()
    yield cache.call.values.get("target_dir") or cache.environment.build["site_packages"]
