"""Satisfied: what most calls ask for is there already, and can be told to be without proof, lock or packaging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinstall.invocation.invocation import PYPI
from pinstall.model.names import exact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pinstall.environment import Environment
    from pinstall.invocation.invocation import Invocation
    from pinstall.invocation.requirements_files import RequirementLine
    from pinstall.model.pins import Pin

# With these pip does not look at what the environment has, or may prefer what the index has.
_ANEW = ("force_reinstall", "ignore_installed", "target_dir", "prefix_path", "root_path", "upgrade")


def is_satisfied(call: Invocation, environment: Environment) -> bool:
    """Say whether all that *call* asks for is pinned by version, and installed so: pip opens no cache.

    False if more would have to be looked at to tell.
    """
    if call.has(*_ANEW) or call.unread or call.locks:
        return False
    # An index that is named on the command line may offer another local version, which is worth a notice.
    is_plain = not call.find_links and set(call.index_urls) <= {PYPI}
    for line in call.lines:
        pinned = _exact(line) if is_plain or line.place != "argument" else None
        if pinned is None or environment.installed(pinned[0]) != pinned[1]:
            return False
    return bool(call.lines)


def _exact(line: RequirementLine) -> tuple[str, str] | None:
    """Read a line that is a name and a version; with or without a marker, since what is installed satisfies it anyway."""
    return None if line.editable or line.hashes or line.locked else exact(line.text.partition(";")[0].strip())


def unsatisfied(call: Invocation, pins: Iterable[Pin], environment: Environment) -> list[Pin]:
    """Return those of *pins* for which pip may look further than into the *environment*."""
    return [pin for pin in pins if call.has(*_ANEW) or not is_installed(pin, environment)]


def is_installed(pin: Pin, environment: Environment) -> bool:
    """Say whether the *environment* has the version that *pin* names."""
    version = environment.installed(pin.project) if pin.has_version else None
    return version is not None and pin.specifier.contains(version, prereleases=True)
