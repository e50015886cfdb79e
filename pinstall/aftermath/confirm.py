"""Check, after pip has succeeded, that the environment has the pinned distributions.

A pin is contradicted only if the environment's interpreter, started now, would find no version that the pin admits. Versions
are compared by PyPA's version specifiers specification. If pip has left a distribution as it was, another origin (PEP 610) or
local version than the pinned one produces a notice.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from pinstall.environment import named_as_active
from pinstall.invocation.invocation import PYPI
from pinstall.messages import pinned
from pinstall.model import digest, links, requirement
from pinstall.model.digest import Digest
from pinstall.model.links import without_secrets
from pinstall.model.names import project_named
from pinstall.pip_cache import built_wheels
from pinstall.pip_cache.locator import is_vcs
from pinstall.repair_advice import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from packaging.version import Version

    from pinstall.environment import Environment, Installed
    from pinstall.invocation.invocation import Invocation
    from pinstall.model.pins import Pin
    from pinstall.pip_cache.built_wheels import Origin
    from pinstall.pip_cache.locator import Cache

# With these options pip installs nothing, or into a folder where the version is ambiguous: --target --upgrade leaves the old
# .dist-info there.
_NOT_HERE = ("dry_run", "target_dir", "prefix_path", "root_path")
_ANEW = ("force_reinstall", "ignore_installed")


class Discrepancy(NamedTuple):
    """A ``pin`` that the environment, or the folder of downloads, may not satisfy, with the ``line`` to tell the user.

    ``contradicts`` is True if that is proven; the exit status is then 90.
    """

    pin: Pin
    line: str
    contradicts: bool


def confirm(
    pins: Iterable[Pin], before: Mapping[str, str], environment: Environment, cache: Cache | None, call: Invocation
) -> list[Discrepancy]:
    """Compare an *environment* with the *pins* of a *call* that succeeded; return the discrepancies, contradictions first.

    *before* are the versions by project before pip ran (`Environment.versions`). A pin that the call does not request itself,
    such as a constraint, counts only if pip has installed or changed its project. Another origin or local version is told only
    of a requested distribution that pip has left as it was; it is not a contradiction. Returns nothing for a dry run or another
    target folder. Without a *cache*, does not look for other local versions on its pages.
    """
    if call.has(*_NOT_HERE):
        return []
    now = environment.versions()
    suspects, notices = [], []
    for pin in pins:
        project = pin.project
        is_asked = pin.requested and not call.has("only_dependencies")
        is_changed = before.get(project) != now.get(project)
        if not is_asked and not (is_changed and project in now):
            continue
        version = environment.installed_version(project)
        if not _satisfies(pin, version):
            suspects.append(pin)
        elif is_asked and version and not is_changed and not call.has(*_ANEW):
            line = _other_origin(pin, version, environment)
            if cache is not None:
                line = line or _other_local(pin, version, cache, call)
            notices += [Discrepancy(pin, line, contradicts=False)] if line else []
    return [*_contradictions(suspects, environment), *notices]


def _satisfies(pin: Pin, version: str | None) -> bool:
    """Return whether an installed *version* (None: not installed) may satisfy *pin*.

    True also if *pin* has a URL, even if nothing is installed, and for a version that is not valid.
    """
    if pin.url:
        return True  # pip checks the name if the requirement states one; the file may be named otherwise
    if version is None:
        return False
    parsed = links.parse_version(version)
    return parsed is None or pin.admits(parsed)


def _contradictions(suspects: list[Pin], environment: Environment) -> list[Discrepancy]:
    """Return a discrepancy for each of the *suspects* for which the environment's interpreter would find no right version.

    A derived pin counts only if an installed distribution requires it (`_is_required`).
    """
    if not suspects:
        return []
    installed = environment.everything_installed()
    found = [(pin, installed.get(pin.project)) for pin in suspects]
    return [
        Discrepancy(pin, _contradiction(pin, other, environment), contradicts=True)
        for pin, other in found
        if not any(_satisfies(pin, version) for version in (other.versions if other else ()))
        and (not pin.derived or _is_required(pin, other.versions if other else (), environment))
    ]


def _is_required(pin: Pin, versions: Iterable[str], environment: Environment) -> bool:
    """Return whether a requirement of an installed distribution admits the version of *pin* and none of *versions*.

    Markers do not count.

    A backend that ignores ``[project]`` writes other requirements than the ``pyproject.toml`` from which a derived pin comes.
    """
    from pinstall.checks import dependencies

    stated = (text for folder in environment.all_dist_infos() for text in dependencies.of_installed(folder))
    needs = (requirement.parse(text) for text in stated if project_named(text) == pin.project)
    excluding = (need for need in needs if need and not any(need.specifier.contains(v, prereleases=True) for v in versions))
    return any(pin.version and need.specifier.contains(pin.version, prereleases=True) for need in excluding)


def _contradiction(pin: Pin, found: Installed | None, environment: Environment) -> str:
    if found is None:
        return f"pip succeeded, but {pin.project} is not installed: repeat the command to install it; for {pinned(pin)}"
    what = f"{pin.project} {' and '.join(dict.fromkeys(found.versions))} in {found.folder}"
    return f"pip succeeded, but Python finds {what}: {_remedy(pin, found, environment)}; for {pinned(pin)}"


def _remedy(pin: Pin, found: Installed, environment: Environment) -> str:
    """Return the advice that leads to the pinned version, by the folder in which Python has *found* another one.

    It is to uninstall that one only if it is in the *environment*: pip uninstalls nothing outside.
    """
    folder = os.path.realpath(found.folder)
    if folder in {os.path.realpath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}:
        return "remove that folder from PYTHONPATH: Python searches it before the environment"
    if folder.startswith(os.path.join(os.path.realpath(environment.prefix), "")):
        return _advice(pin, environment)
    if found.is_users:
        return "Python searches that folder before the environment; set PYTHONNOUSERSITE=1, or delete the other version there"
    return "Python searches that folder before the environment; remove it from Python's path, or delete the other version there"


def _other_origin(pin: Pin, version: str, environment: Environment) -> str:
    """Return a line if the recorded origin of the installed distribution differs from the one that *pin* states, else "".

    "" also without a recorded origin (``direct_url.json``), and for a *pin* with neither URL nor hashes.
    """
    folder = environment.dist_info(pin.project) if pin.url or pin.hashes else None
    origin = built_wheels.read_direct_url(os.path.join(folder, "direct_url.json")) if folder else None
    difference = _difference(pin, origin) if origin else ""
    return (
        f"pip kept the installed {pin.project} {version}, {difference}: {_advice(pin, environment)}; for {pinned(pin)}"
        if difference
        else ""
    )


def _difference(pin: Pin, origin: Origin) -> str:
    """Return a clause that tells which other file, commit or URL *origin* states than *pin*; "" if it states no other one."""
    then = origin.by_algorithm
    stated = [d for d in digest.known((*pin.hashes, *links.link(pin.url).digests)) if d.algorithm in then]
    same = digest.agree(stated, then)
    if same is not None:
        algorithm = stated[0].algorithm
        return "" if same else f"which came from another file ({Digest(algorithm, then[algorithm])})"
    commit = urlsplit(pin.url).path.rpartition("@")[2].lower() if is_vcs(pin.url) else ""
    if commit and origin.commit:
        return "" if commit == origin.commit else f"which came from commit {origin.commit[:12]}"
    return "which came from another URL" if pin.url and _comparable(pin.url) != _comparable(origin.plain_url) else ""


def _comparable(url: str) -> str:
    # pip records no passwords, and the signature in a query may differ each time.
    return unquote(without_secrets(url))


def _other_local(pin: Pin, version: str, cache: Cache, call: Invocation) -> str:
    """Return a line if pip would choose another local version of *pin* than the installed *version*, else "".

    Looks at cached pages and local folders only, and only where other local versions are likely: if the installed version has a
    label; or if arguments alone state *pin*, in a call that names ``--find-links`` or another index than PyPI. To read the page
    of every pin of a long requirements file would take longer than pip takes. A *pin* with hashes does not count.
    """
    installed = links.parse_version(version)
    is_typed = pin.places == ("argument",) and bool(call.find_links or set(call.index_urls) - {PYPI})
    if installed is None or not pin.has_version or pin.hashes or not (installed.local or is_typed):
        return ""
    offered: list[Version] = [file.parsed_filename.version for file in cache.locate(pin).files if file.parsed_filename]
    best = max(offered, default=installed)
    if best == installed or not best.local:
        return ""
    cure = f"to get that, pin '{pin.project}=={best}'"
    return f"pip kept the installed {pin.project} {version}, although {best} is available: {cure}; for {pinned(pin)}"


def _advice(pin: Pin, environment: Environment) -> str:
    # The advice does not repeat the requirement: on a command line it has no hashes, and its URL may contain a password.
    uninstall = quoted([*_pip_of(environment), "uninstall", pin.project])
    return f"to install the pinned one, run '{uninstall}', then repeat the command"


def _pip_of(environment: Environment) -> list[str]:
    """Return the command, as a list, that runs pip for *environment*.

    It is ``pip`` if that is pinstall's own environment or the active one, ``PYTHON -m pip`` if another one has a pip, else
    ``pip --python PYTHON`` of pinstall's own.
    """
    active = named_as_active(os.environ)
    if environment.is_own or (active and os.path.realpath(active) == os.path.realpath(environment.prefix)):
        return ["pip"]
    if environment.pip_version:
        return [environment.python, "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", environment.python]
