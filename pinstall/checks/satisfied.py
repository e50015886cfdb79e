"""Recognise satisfied calls, the most frequent ones, without reading the cache, taking the lock or importing packaging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinstall.invocation.invocation import PYPI
from pinstall.model.names import exact, split_marker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pinstall.environment import Environment
    from pinstall.invocation.invocation import Invocation
    from pinstall.invocation.requirements_files import RequirementLine
    from pinstall.model.pins import Pin

# With these options, and for other commands than install, pip ignores the installed distributions, or may prefer newer ones.
_ANEW = ("force_reinstall", "ignore_installed", "target_dir", "prefix_path", "root_path", "upgrade")


def is_satisfied(call: Invocation, environment: Environment) -> bool:
    """Return whether each requirement and constraint of *call* pins the installed version: then pip rarely opens its cache.

    (It does if a dependency is missing.) False also if pip ignores the installed distributions or may upgrade them, if these
    lines and the installed versions alone do not tell, and if there are no lines.
    """
    if _is_anew(call) or call.unread or call.locks:
        return False
    # Another index than PyPI may offer another local version, which produces a notice if the pin is an argument.
    is_plain = not call.find_links and set(call.index_urls) <= {PYPI}
    for line in call.lines:
        pinned = _exact(line) if is_plain or line.place != "argument" else None
        if pinned is None or environment.installed_version(pinned[0]) != pinned[1]:
            return False
    return bool(call.lines)


def _is_anew(call: Invocation) -> bool:
    """Return whether pip ignores the installed distributions, or may upgrade them."""
    return not call.installs or call.has(*_ANEW)


def _exact(line: RequirementLine) -> tuple[str, str] | None:
    """Return name and version of an exact pin, with any marker; None for another line, and for one with hashes.

    An installed version satisfies the line also if its marker is false.
    """
    return None if line.editable or line.hashes or line.locked else exact(split_marker(line.text)[0])


def unsatisfied(call: Invocation, pins: Iterable[Pin], environment: Environment) -> list[Pin]:
    """Return the *pins* whose version the *environment* does not have; all of them if pip ignores it or may upgrade.

    A pin to a URL, or to hashes alone, counts as not satisfied.
    """
    return [pin for pin in pins if _is_anew(call) or not is_installed(pin, environment)]


def is_met(call: Invocation, pin: Pin, environment: Environment) -> bool:
    """Return whether the *environment* has a version that *pin* admits, so that pip leaves it; *pin* may admit several.

    False for a URL, and if pip ignores the environment or may upgrade.
    """
    version = None if _is_anew(call) or pin.url else environment.installed_version(pin.project)
    return version is not None and pin.specifier.contains(version, prereleases=True)


def is_installed(pin: Pin, environment: Environment) -> bool:
    """Return whether the *environment* has the version that *pin* names; False if it names a URL or only hashes."""
    version = environment.installed_version(pin.project) if pin.has_version else None
    return version is not None and pin.specifier.contains(version, prereleases=True)
