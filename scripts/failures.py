"""Print a table: what calls cost that fail for their own reasons, for bare pip and for pinstall.

Each failure is tried with an empty cache, with a healthy warm one, and with pages in it that are stale. Runs of pip, requests
and bytes are counted, not time. It runs on loopback only.
"""

# scripts/ holds programs and is no package.
# ruff: noqa: INP001

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import trustme

from tests.lab import NEWEST, Lab, install_pips
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.index import Index

_SECOND = "pip runs once more"
_CACHES = ("empty", "warm", "stale page")
_FAILURES: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "no such project": (["nosuchproject==1"], {}),
    "no such version": (["demo==9"], {}),
    "resolver conflict": (["app==1.0", "demo==2.0"], {}),
    "wrong `--hash`": (["-r", "wrong.txt"], {}),
    "compiler error": (["broken==1.0"], {}),
}


class _Cost(NamedTuple):
    runs: int
    requests: int
    bytes: int


def main() -> int:
    """Print the table; return 1 if pinstall runs pip more than twice, or if with an empty cache its traffic is not pip's.

    The traffic is the numbers of requests and of bytes.
    """
    pips = Path(".venv-test") / "pips"
    install_pips(pips.resolve())
    bad = False
    print("| failure | cache | pip: requests, bytes | pinstall: runs of pip, requests, bytes |\n|---|---|---|---|")
    for name, (words, variables) in _FAILURES.items():
        for cache in _CACHES:
            bare, ours = (_cost(pips.resolve(), tool, cache, words, variables) for tool in ("pip", "pinstall"))
            print(
                f"| {name} | {cache} | {bare.requests}, {bare.bytes} | {ours.runs}, {ours.requests}, {ours.bytes} |", flush=True
            )
            bad = bad or ours.runs > 2 or (cache == "empty" and ours[1:] != bare[1:])
    return int(bad)


def _cost(pips: Path, tool: str, cache: str, words: Sequence[str], variables: Mapping[str, str]) -> _Cost:
    with tempfile.TemporaryDirectory(prefix="failures-") as folder:
        lab = Lab(Path(folder).resolve(), pips, trustme.CA())
        try:
            return _counted(lab, tool, cache, words, variables)
        finally:
            lab.close()


def _counted(lab: Lab, tool: str, cache: str, words: Sequence[str], variables: Mapping[str, str]) -> _Cost:
    index = lab.index()
    _fill(index.root)
    index.page_age, index.file_age = (0 if cache == "stale page" else 600), 86400
    (lab.root / "wrong.txt").write_text(f"demo==1.0 --hash=sha256:{'0' * 64}\n")
    lab.environ["PIP_INDEX_URL"] = index.url
    if cache != "empty":
        lab.pip(lab.environment(), "demo==1.0", "app==1.0")
        lab.run([lab.environment().pip, "download", "-d", "there", "--no-deps", "demo==2.0"])
        shutil.rmtree(lab.root / "there", ignore_errors=True)
    sent = _counting(index)
    index.forget()
    environment = lab.environment(NEWEST)
    command = [environment.pip, "install"] if tool == "pip" else [environment.pinstall]
    done = lab.run([*command, *words], **variables)
    if not done.status:
        sys.exit(f"{tool} {words} did not fail: {done}")
    return _Cost(1 + done.err.count(_SECOND), len(index.requests), sum(sent))


def _fill(root: Path) -> None:
    wheel(root, "demo", "1.0", padding=20_000)
    wheel(root, "demo", "2.0", padding=20_000)
    wheel(root, "app", "1.0", requires=["demo<2"])
    sdist(root, "broken", "1.0", script="raise SystemExit('error: it does not compile')")


def _counting(index: Index) -> list[int]:
    """Have *index* note the length of each body that it sends, and return the list to which it adds them."""
    sent: list[int] = []
    respond: Callable[[str, str], tuple[int, bytes, dict[str, str]]] = index.respond

    def responding(path: str, accept: str) -> Any:
        found = respond(path, accept)
        sent.append(len(found[1]))
        return found

    index.respond = responding  # type: ignore[method-assign]
    return sent


if __name__ == "__main__":
    sys.exit(main())
