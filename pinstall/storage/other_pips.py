"""Tell whether another pip may be using the cache: it may be about to read what is set aside."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = "/proc"
_VARIABLE, _NONE = "PIP_CACHE_DIR=", "PIP_NO_CACHE_DIR="
# "pip", "pip3.11", programs that use pip, and the script with which pip starts itself in another environment.
_PIP = re.compile(r"(pip[\d.]*(\.exe|\.pyz)?|pip-compile|pip-sync|__pip-runner__\.py)\Z")
_WORDS = 12  # of a command: "python -I -X dev -m pip"


def may_run(cache: str) -> bool:
    """Return whether another pip may be running that uses the folder *cache*.

    True if the system does not tell, as outside of Linux. Pips in other containers, on other machines, or in processes that the
    system hides, are not seen.
    """
    try:
        processes = [name for name in os.listdir(_PROC) if name.isdecimal() and int(name) != os.getpid()]
    except OSError:
        return True
    return not processes or any(_is_pip(name) and _may_use(cache, name) for name in processes)


def _is_pip(process: str) -> bool:
    """Return whether one of the first words of a process's command names a pip; False if the system does not show it.

    *process* is its number in decimal.
    """
    try:
        words = _read(process, "cmdline")[:_WORDS]
    except PermissionError:
        return False
    return any(_PIP.match(os.path.basename(word)) for word in words)


def _may_use(cache: str, process: str) -> bool:
    """Return whether a pip, the *process* with this number, may use the folder *cache*.

    False if it has ended, or if each ``--cache-dir`` is another folder. Without ``--cache-dir``, also False if it has
    ``--no-cache-dir``, if PIP_NO_CACHE_DIR has a value, or if PIP_CACHE_DIR is another folder. Else True, also if the system
    does not tell, or a path is relative.
    """
    try:
        environ = _read(process, "environ")
    except PermissionError:  # somebody else's, of whose process only the command can be read
        return True
    words = _read(process, "cmdline")
    named = list(_cache_dirs(words))
    if words == [""] or ("--no-cache-dir" in words and not named):
        return False
    # pip uses no cache if this variable has a value, even 0.
    if not named and any(word.startswith(_NONE) and word != _NONE for word in environ):
        return False
    folders = named or [word[len(_VARIABLE) :] for word in environ if word.startswith(_VARIABLE)]
    is_elsewhere = all(os.path.isabs(path) and os.path.realpath(path) != os.path.realpath(cache) for path in folders)
    return not folders or not is_elsewhere


def _cache_dirs(words: list[str]) -> Iterator[str]:
    """Yield the values of the option ``--cache-dir``, which may be shortened, in the *words* of a command."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, has_value, value = word.partition("=")
        if len(name) >= len("--ca") and "--cache-dir".startswith(name):
            yield value if has_value else following


def _read(process: str, name: str) -> list[str]:
    """Return the words in a file of a *process*; one empty word if it has ended, or if the file cannot be read.

    Raises `PermissionError`.
    """
    try:
        with open(os.path.join(_PROC, process, name), "rb") as file:
            return os.fsdecode(file.read()).split("\0")
    except PermissionError:
        raise
    except OSError:
        return [""]
