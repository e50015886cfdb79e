"""Examine an installation and a cache: ``pinstall-cache doctor``. Each finding is ok, or has advice."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

from pinstall import __version__, messages, repair_advice, settings
from pinstall.cache_tool.display import size
from pinstall.install import FOREIGN
from pinstall.model import requirement
from pinstall.pip_cache import keys, scan
from pinstall.storage import lock, probe, store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pinstall.environment import Environment, NoEnvironmentError

_DISTRIBUTION = "pip-pinstall"
_LITTLE_SPACE = 500_000_000
# Their locks and links depend on the server and the mount options.
_ON_NETWORKS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "lustre", "ceph")


class Check(NamedTuple):
    """The result of one check: its ``subject``, the ``state`` of that, and ``advice``, "" if there is nothing to do."""

    subject: str
    state: str
    advice: str = ""


def installation(environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield the checks of pinstall itself, its packages, the command on the PATH, and the settings in *environ*."""
    yield Check("pinstall", f"{__version__} in {os.path.dirname(os.path.dirname(__file__))}")
    yield from _packages()
    yield _command(environ)
    yield from _settings(environ)


def _packages() -> Iterator[Check]:
    try:
        needed = [found for text in metadata.requires(_DISTRIBUTION) or () if (found := requirement.parse(text))]
    except metadata.PackageNotFoundError:
        yield Check("packages", "pinstall is not installed as a distribution", "install pip-pinstall with pip, pipx or uv")
        return
    for need in needed:
        if need.project == "pip" or not need.applies({}):
            continue
        try:
            version = metadata.version(need.project)
        except metadata.PackageNotFoundError:
            yield Check(need.project, "not installed", f"run: {repair_advice.command(ImportError())}")
            continue
        is_right = need.specifier.contains(version, prereleases=True)
        advice = (
            "" if is_right else f"pinstall needs {need.project}{need.specifier}; run: {repair_advice.command(ImportError())}"
        )
        yield Check(need.project, version, advice)
    if any(True for _ in metadata.distributions(name=FOREIGN)):
        yield Check(FOREIGN, "another distribution of this name is installed", messages.FOREIGN)


def _command(environ: Mapping[str, str]) -> Check:
    """Check which ``pinstall`` the shell would run. Has advice only if it is another than this one, not if it finds none."""
    own = shutil.which("pinstall", path=os.path.dirname(sys.executable))
    found = shutil.which("pinstall", path=environ.get("PATH"))
    if found is None:
        return Check("command", "pinstall is not on the PATH" + (f"; it is {own}" if own else ""))
    if own is None or os.path.realpath(own) == os.path.realpath(found):  # pipx and uv make links
        return Check("command", found)
    return Check("command", f"the shell runs another pinstall, {found}", f"to run this one, type {own}, or correct the PATH")


def no_environment(error: NoEnvironmentError) -> Check:
    """Return the check that pinstall finds no environment to install into; the last clause of the text of *error* is advice."""
    state, _, advice = str(error).rpartition("; ")
    return Check("environment", state, advice)


def pip(environment: Environment | None, runner: Environment) -> Check:
    """Check the pip of *runner*, which installs into *environment* (None: pinstall finds no environment to install into)."""
    found = runner.pip_version
    state = ".".join(map(str, found)) if found else "of unknown version"
    if environment is None:
        state += f", run by {runner.python}; its cache is examined"
    else:
        state += f", installs into {environment.python}" + ("" if environment is runner else f", run by {runner.python}")
    if not found:
        return Check("pip", state, "reinstall pip: its metadata is missing, so the format of its cache is unknown")
    if found < keys.OLDEST_PIP:
        return Check("pip", state, "upgrade pip: pinstall does not know the cache of a pip before 23.0")
    if found > keys.NEWEST_PIP and found[:2] != keys.NEWEST_PIP[:2]:
        return Check("pip", f"{state}; newer than the newest that pinstall was tested with, and checked as that one")
    return Check("pip", state)


def _settings(environ: Mapping[str, str]) -> Iterator[Check]:
    invalid = settings.read(environ).invalid
    for setting in invalid:
        yield Check("settings", messages.ignored_setting(setting), "correct the variable")
    names = settings.are_set(environ)
    if settings.is_off(environ):
        yield Check("settings", "PINSTALL_POLICY=off: nothing is checked", "unset it to have the cache checked")
    elif not invalid:
        yield Check("settings", f"set: {', '.join(names)}" if names else "none is set")


def cache(root: str, environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield the checks of the cache folder *root* (resolved); only one if it is missing, a file, or no cache of pip.

    Walks through the cache. Makes a folder with a few small files there, and removes it; takes the lock for a moment. Raises
    `OSError`.
    """
    if not os.path.isdir(root):
        is_file = os.path.lexists(root)
        yield Check(
            "cache", f"{root} {'is not a directory' if is_file else 'is not there yet'}", "move it away" if is_file else ""
        )
        return
    if not scan.parts(root) and not set(keys.SELFCHECK).issuperset(os.listdir(root)):
        yield Check(
            "cache",
            f"{root} does not look like pip's cache: it has neither http-v2, http nor wheels",
            "name pip's cache folder by --cache-dir or PIP_CACHE_DIR",
        )
        return
    tree = scan.walk(root)
    yield Check("cache", f"{root}, {_owner(root)}, {_measure(tree)}")
    yield _file_system(root)
    yield _space(root)
    if tree.links:
        yield Check(
            "links",
            f"the cache contains symbolic links: {messages.listed(tree.links)}",
            "replace each by a folder or file: pinstall follows no symbolic link there",
        )
    yield from _writing(root)
    yield _store(root, environ)


def _owner(path: str) -> str:
    try:
        import pwd
    except ImportError:  # pragma: no cover (Windows)
        return "owner unknown"
    number = os.stat(path).st_uid
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"user {number}"
    return f"owned by {name}" + ("" if number == os.geteuid() else ", not by you")


def _measure(tree: scan.Tree) -> str:
    sizes = scan.sizes(tree)
    return f"{size(sum(sizes.values()))} ({', '.join(f'{name}: {size(count)}' for name, count in sizes.items())})"


def _file_system(root: str) -> Check:
    kind = _mounted(root)
    if kind.startswith(_ON_NETWORKS):
        return Check("file system", f"{kind}, on a network: whether machines share locks depends on the server and its mount")
    return Check("file system", kind or "unknown")


def _mounted(path: str) -> str:
    """Return the type of the file system that the resolved *path* is on; "" where `/proc` does not tell."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.partition(" - ") for line in file]
    except OSError:
        return ""
    mounts = [(before.split()[4], after.split()[0]) for before, _, after in lines if after]
    fits = [(len(place), kind) for place, kind in mounts if f"{path}/".startswith(f"{place.rstrip('/')}/")]
    return max(fits, key=lambda fit: fit[0])[1] if fits else ""  # of several at one place, the first


def _space(root: str) -> Check:
    free = shutil.disk_usage(root).free
    advice = "free some space, for example with 'pinstall-cache prune --older-than 30d'" if free < _LITTLE_SPACE else ""
    return Check("free space", size(free), advice)


def _writing(root: str) -> Iterator[Check]:
    """Yield the checks whether the cache can be written, whether locks and links work, and which other pinstalls are running.

    Only one check if the lock is held, or if the cache cannot be written.
    """
    try:
        with probe.folder(root) as folder:
            failing, excludes = probe.failing(folder), probe.excludes(folder)
        probe.hold_lock(root)
    except lock.LockTimeoutError as error:
        yield Check("lock", f"{error.holder} holds it", "wait for that process, or end it")
        return
    except OSError as error:
        yield Check(
            "writing", f"not possible ({error.strerror})", "correct the owner or the permissions of the cache, or free space"
        )
        return
    yield Check("writing", "works")
    yield Check(
        "lock", "works" if excludes else "does not keep out a second process", "" if excludes else "run one pinstall at a time"
    )
    hard = "; wheels are copied" if any(text.startswith("hard") for text in failing) else ""
    serious = [text for text in failing if not text.startswith("hard")]
    yield Check(
        "links",
        f"not possible: {', '.join(failing)}{hard}" if failing else "symbolic and hard links work",
        "move the cache to another file system (PIP_CACHE_DIR): without links, pip sometimes runs without its cache"
        if serious
        else "",
    )
    running = sorted(name.partition("-")[0] for name in lock.live_calls(root))
    yield Check(
        "other pinstalls",
        f"running: process {', '.join(running)}; until they end, other versions stay in pip's cache" if running else "none",
    )


def _store(root: str, environ: Mapping[str, str]) -> Check:
    used = sum(kept.size for kept in store.everything(root))
    return Check("store", f"{size(used)} of at most {settings.store_size_text(environ)} (PINSTALL_STORE_SIZE)")
