"""The settings of pinstall: every ``PINSTALL_*`` variable, its default, and the faults of its value.

No other module reads one of them. Imports only the standard library at first, because `cli` needs the policy in any case.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEFAULTS = {
    "PINSTALL_POLICY": "evict",
    "PINSTALL_KEEP_VERSIONS": "",
    "PINSTALL_BUILD_VARIABLES": "",
    "PINSTALL_WATCH_BUILDS": "1",
    "PINSTALL_STORE_SIZE": "5G",
    "PINSTALL_REPORT": "",
    "PINSTALL_LOCK_TIMEOUT": "30",
    "PINSTALL_SHARED_STORE": "",
    "PINSTALL_SHARED_STORE_MODE": "read",
    "PINSTALL_SHARED_STORE_KEY": "",
    "PINSTALL_SHARED_STORE_KEY_FILE": "",
    "PINSTALL_SHARED_STORE_TIMEOUT": "10",
}
# Their values are secrets, or may have one.
_SECRET = ("PINSTALL_SHARED_STORE", "PINSTALL_SHARED_STORE_KEY")
_POLICIES = ("evict", "report", "off")
_SIZE = r"([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGT])(?:i?B)?|B)?"
_DEFAULT_SIZE, _DEFAULT_SECONDS = 5 << 30, 30.0
_DEFAULT_SHARED_SECONDS = 10.0
_LARGEST_SIZE = (1 << 63) - 1  # no file system is larger
_LONGEST_TIMEOUT = 1e9  # 31 years


def listed(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the value ("" if it is not set; "set" for a secret) and the default of each setting."""
    for name, default in _DEFAULTS.items():
        value = environ.get(name, "")
        yield name, "set" if value and name in _SECRET else value, default


class InvalidSetting(NamedTuple):
    """A setting whose ``value`` is ignored, with texts for the ``expected`` values and for the one that is ``used`` instead."""

    name: str
    value: str
    expected: str
    used: str


class SharedStoreSettings(NamedTuple):
    """The settings of the shared store: its ``url``, and the ``key`` that signs records, or the ``key_file`` with it.

    ``writes`` is True if builds of this machine go there. ``timeout`` is the number of seconds that a call may wait for the
    store in vain, and that one fetch, or all uploads, may take.
    """

    url: str
    writes: bool = False
    key: str = ""
    key_file: str = ""
    timeout: float = _DEFAULT_SHARED_SECONDS

    @property
    def location(self) -> str:
        """The store's address as messages show it: scheme and host, or scheme and path without a host, as of a ``file:`` URL.

        Credentials, the path on a host, and the query may be secrets. "of PINSTALL_SHARED_STORE" if the URL cannot be parsed.
        """
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(self.url)
        except ValueError:
            return "of PINSTALL_SHARED_STORE"
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host or parts.path}"


class Settings(NamedTuple):
    """The settings of a call, with the values that are used in place of ``invalid`` ones.

    ``policy`` is ``evict``, ``report`` or ``off``. ``keeps_versions`` is True if other versions of a pinned project stay in
    pip's cache, also because the store has no room (``store_size`` 0). ``build_variables`` are names or globs.
    ``watches_builds`` is False if builds run without the runner, as on Windows. ``store_size`` is in bytes, ``lock_timeout`` in
    seconds. ``report`` is the path of the JSON report; "" if none is asked for. ``shared_store`` is set even if ``policy``
    forbids its use (see ``shares``).
    """

    policy: str
    keeps_versions: bool
    build_variables: tuple[str, ...]
    watches_builds: bool
    store_size: int
    report: str
    lock_timeout: float
    shared_store: SharedStoreSettings | None
    invalid: tuple[InvalidSetting, ...]

    @property
    def writes(self) -> bool:
        """Whether pinstall may write to pip's cache: not under ``report`` and ``off``."""
        return self.policy == "evict"

    @property
    def shares(self) -> bool:
        """Whether pinstall may use a shared store: one is set, and its builds may be written to pip's cache."""
        return self.writes and self.shared_store is not None


def is_off(environ: Mapping[str, str]) -> bool:
    """Return whether the call is to run plain pip (``PINSTALL_POLICY=off``)."""
    return environ.get("PINSTALL_POLICY") == "off"


def read(environ: Mapping[str, str]) -> Settings:
    """Read the settings from *environ*. An empty variable counts as unset; an invalid value is replaced (``invalid``)."""
    found = {name: environ.get(name) or default for name, default in _DEFAULTS.items()}
    policy, size, seconds = (
        found["PINSTALL_POLICY"],
        _size(found["PINSTALL_STORE_SIZE"]),
        _seconds(found["PINSTALL_LOCK_TIMEOUT"]),
    )
    size = _DEFAULT_SIZE if size is None else size
    return Settings(
        policy=policy if policy in _POLICIES else "report",
        # A store of size 0 would delete the sound files that are moved there.
        keeps_versions=_is_true(found["PINSTALL_KEEP_VERSIONS"]) or size == 0,
        build_variables=tuple(found["PINSTALL_BUILD_VARIABLES"].split()),
        # The runner knows the paths of POSIX alone: on Windows it would take pip's temporary folders for parts of the system.
        watches_builds=os.name != "nt" and _is_true(found["PINSTALL_WATCH_BUILDS"]),
        store_size=size,
        report=found["PINSTALL_REPORT"],
        lock_timeout=_DEFAULT_SECONDS if seconds is None else seconds,
        shared_store=_shared_store(found),
        invalid=tuple(_invalid(found)),
    )


def _shared_store(found: Mapping[str, str]) -> SharedStoreSettings | None:
    url = found["PINSTALL_SHARED_STORE"].strip()
    if not url:
        return None
    seconds = _seconds(found["PINSTALL_SHARED_STORE_TIMEOUT"])
    return SharedStoreSettings(
        url,
        writes=found["PINSTALL_SHARED_STORE_MODE"] == "readwrite",
        key=found["PINSTALL_SHARED_STORE_KEY"],
        key_file=found["PINSTALL_SHARED_STORE_KEY_FILE"],
        timeout=_DEFAULT_SHARED_SECONDS if seconds is None else seconds,
    )


def store_size_text(environ: Mapping[str, str]) -> str:
    """Return the limit of the store as the user has written it; the default if it is not set or invalid."""
    text = environ.get("PINSTALL_STORE_SIZE", "")
    return _DEFAULTS["PINSTALL_STORE_SIZE"] if _size(text) is None else text


def are_set(environ: Mapping[str, str]) -> list[str]:
    """Return the names of all variables that begin with ``PINSTALL_``, known or not, sorted."""
    return sorted(name for name in environ if name.startswith("PINSTALL_"))


def _invalid(found: Mapping[str, str]) -> Iterator[InvalidSetting]:
    if (policy := found["PINSTALL_POLICY"]) not in _POLICIES:
        yield InvalidSetting("PINSTALL_POLICY", policy, "evict, report or off", "report, which changes nothing")
    if (mode := found["PINSTALL_SHARED_STORE_MODE"]) not in ("read", "readwrite"):
        yield InvalidSetting("PINSTALL_SHARED_STORE_MODE", mode, "read or readwrite", "read")
    for name in ("PINSTALL_KEEP_VERSIONS", "PINSTALL_WATCH_BUILDS"):
        if not _is_switch(found[name]):
            yield InvalidSetting(name, found[name], "1 or 0", "1")
    for name, expected, parse in (
        ("PINSTALL_STORE_SIZE", "e.g. 500M", _size),
        ("PINSTALL_LOCK_TIMEOUT", "seconds, e.g. 60", _seconds),
        ("PINSTALL_SHARED_STORE_TIMEOUT", "seconds, e.g. 60", _seconds),
    ):
        if parse(found[name]) is None:
            yield InvalidSetting(name, found[name], expected, _DEFAULTS[name])


def _is_switch(text: str) -> bool:
    if text in ("", "0", "1"):
        return True
    from pinstall.invocation.pip_config import is_false, is_true

    return is_true(text) or is_false(text)


def _is_true(text: str) -> bool:
    """Return whether a switch is on: it is not empty, and pip would not take it for false; an invalid value is on, too."""
    if text in ("", "1"):
        return bool(text)
    from pinstall.invocation.pip_config import is_false

    return not is_false(text)


def _seconds(text: str) -> float | None:
    """Parse a number of seconds from 0 to a billion; None if *text* is anything else."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found <= _LONGEST_TIMEOUT else None  # false for NaN too


def _size(text: str) -> int | None:
    """Parse a number of bytes, with K, M, G or T for powers of 1024; None if *text* is invalid or the number too large."""
    if text == _DEFAULTS["PINSTALL_STORE_SIZE"]:  # in most calls, and compiling the pattern takes longer than all else here
        return _DEFAULT_SIZE
    found = re.fullmatch(_SIZE, text.strip(), re.IGNORECASE)
    bytes_ = float(found[1]) * 1024 ** " KMGT".index((found[2] or " ").upper()) if found else -1.0
    return int(bytes_) if 0 <= bytes_ <= _LARGEST_SIZE else None
