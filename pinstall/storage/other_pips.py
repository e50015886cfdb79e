"""Tell whether another pip may be using the cache: it may be about to read what is set aside."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROC = "/proc"
_VARIABLE = "PIP_CACHE_DIR"
# "pip", "pip3.11", and the script with which pip starts itself in another environment.
_PIP = re.compile(r"(pip[\d.]*(\.exe)?|__pip-runner__\.py)\Z")
_WORDS = 4  # of a command: "python -I -m pip"


def may_run(environ: Mapping[str, str]) -> bool:
    """Return whether a pip may be running with the cache of this call, whose variables are *environ*.

    True if the system does not tell, as outside of Linux. Pips in other containers, and on other machines, are not seen.
    """
    try:
        processes = [name for name in os.listdir(_PROC) if name.isdecimal() and int(name) != os.getpid()]
    except OSError:
        return True
    return not processes or any(_is_pip(name) and _shares_cache(name, environ) for name in processes)


def _is_pip(process: str) -> bool:
    words = _read(process, "cmdline")[:_WORDS]
    return any(_PIP.match(os.path.basename(word)) for word in words)


def _shares_cache(process: str, environ: Mapping[str, str]) -> bool:
    """Return whether a pip may use the same cache: both have the same variable, or that is not known."""
    if any(word.startswith("--cache") for word in _read(process, "cmdline")):
        return True
    found = _read(process, "environ")
    own = [word for word in found if word.startswith(f"{_VARIABLE}=")]
    return not found or own == ([f"{_VARIABLE}={environ[_VARIABLE]}"] if _VARIABLE in environ else [])


def _read(process: str, name: str) -> list[str]:
    """Return the words in a file of a *process*; none if it has ended, or belongs to somebody else."""
    try:
        with open(os.path.join(_PROC, process, name), "rb") as file:
            return os.fsdecode(file.read()).split("\0")
    except OSError:
        return []
