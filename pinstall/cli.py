"""The story of a call, and the only place that prints. Imports the standard library only until it must do more."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pinstall import __version__, forward

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130

_HELP = """pinstall: pip install whose cache cannot lie.

Usage: pinstall [whatever pip install takes]

Pinned requirements are checked against pip's cache; what does not match is evicted, and the call goes on to pip.

Variables:
  PINSTALL_POLICY         evict (default); report: say, and change nothing; off: straight to pip
  PINSTALL_KEEP_VERSIONS  set: leave other versions of a pinned project where they are
  PINSTALL_LOCK_TIMEOUT   seconds to wait for another pinstall that is changing the cache (default 30)

What follows is pip's own help.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one call and return its exit status: pip's whenever pip ran."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words == ["--version"]:
            print(f"pinstall {__version__} from {os.path.dirname(__file__)}", flush=True)
            return _pip(words)
        if words and words[0] in ("-h", "--help"):
            print(_HELP, flush=True)
        if os.environ.get("PINSTALL_POLICY") == "off":
            return _pip(["install", *words])
        return _serve(words)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _serve(words: list[str]) -> int:
    """Check, forward, tidy; whatever goes wrong with us, pip runs."""
    try:
        from pinstall.session import Session

        session = Session(words, os.environ, _say)
        session.prepare()
    except Exception as error:  # noqa: BLE001 (a bug of ours must not stand between a user and an install)
        _say_broken(error)
        return _pip(["install", *forward.without_cache(words)], PIP_NO_CACHE_DIR="1")
    with session.under_way():
        status = _pip(["install", *session.arguments], **session.variables)
    try:
        session.finish(status)
    except Exception as error:  # noqa: BLE001 (pip has done its work)
        _say_broken(error)
    return status


def _pip(words: Sequence[str], **variables: str) -> int:
    sys.stdout.flush()
    return forward.pip(sys.executable, words, {**os.environ, **variables})


def _say(line: str) -> None:
    print(f"pinstall: {line}", file=sys.stderr, flush=True)


def _say_broken(error: Exception) -> None:
    # The words of an exception may hold a URL with credentials: its kind must do.
    _say(f"internal error ({type(error).__name__}): pip runs without the cache; PINSTALL_POLICY=off turns pinstall off")
