"""Run pinstall's tests where its users are: on Pythons, pips, libraries, file systems and containers, one after the other.

scripts/matrix.toml has the cells. The result of each goes to docs/platforms.json with the date, the figures and the versions in
use; the tables of docs/platforms.md are made from that file.
"""

# ruff: noqa: INP001, S607

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = Path(__file__).parent.parent
DOCUMENT, RESULTS = _ROOT / "docs" / "platforms.md", _ROOT / "docs" / "platforms.json"
_BEGIN, _END = "<!-- scripts/matrix: begin -->\n", "<!-- scripts/matrix: end -->\n"
_FACT = re.compile(r"^with (\w+): (.*)$", re.MULTILINE)
_NOT_FOUND = 127  # the shell's status for a program that is not there


class Cell(NamedTuple):
    """A row of a table: a ``command`` that runs it, or the ``state`` of a row that cannot be run.

    ``simulated`` rows run on an imitation of what they name.
    """

    name: str
    command: str = ""
    state: str = ""
    simulated: bool = False


class Group(NamedTuple):
    """A table: its ``title``, the facts of each run that it ``shows``, and its rows."""

    title: str
    shows: list[str]
    cells: list[Cell]


def main() -> int:
    """Run the cells that are named, write their results, and return 1 if one has failed or was stopped.

    A cell that could not run here, for a reason that it states, has not failed.
    """
    options = _options()
    failed = []
    for command in commands(options.names) if not options.tables else []:
        print(command, flush=True)
        result = _run(command, options.minutes * 60, options.pytest)
        print(f"    {_figures(result)}", flush=True)
        failed.append(result["status"] != 0 and not result["reason"])
        _write({**load(), command: result})  # another scripts/matrix may have written meanwhile
    _write(load())
    return int(any(failed))


def load() -> dict[str, Any]:
    """Return the last result of each command that was run, by command, from docs/platforms.json."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def document(text: str, results: dict[str, Any]) -> str:
    """Return the *text* of docs/platforms.md with the tables of *results* between its markers.

    Raises `ValueError` if it has no markers.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} lacks the markers of scripts/matrix")
    return before + begin + "\n" + "\n".join(_table(group, results) for group in _groups().values()) + "\n" + end + after


def _table(group: Group, results: dict[str, Any]) -> str:
    lines = [f"## {group.title}", "", f"| | state | {', '.join(group.shows)} | date |", "|---|---|---|---|"]
    for cell in group.cells:
        result = results.get(cell.command)
        used = "; ".join(filter(None, (result["with"].get(name) for name in group.shows))) if result else ""
        lines.append(f"| {cell.name} | {_state(cell, result)} | {used} | {result['date'] if result else ''} |")
    return "\n".join([*lines, ""])


def _state(cell: Cell, result: dict[str, Any] | None) -> str:
    if not cell.command:
        return cell.state
    if result is None:
        return f"not run: `{cell.command}`"
    if result["reason"]:
        return f"not run: {result['reason']}; `{cell.command}`"
    kind = "not run whole" if result["stopped"] else "simulated" if cell.simulated else "run"
    return f"{kind}: {_figures(result)}; `{cell.command}`"


def _figures(result: dict[str, Any]) -> str:
    if result["reason"]:
        return str(result["reason"])
    figures = [f"{result[name]} {name}" for name in ("passed", "failed", "skipped") if result.get(name)]
    if result.get("note"):
        figures.append(result["note"])  # added by hand; the next run drops it
    return ", ".join(figures) or ("failed" if result["status"] else "passed")


def _groups() -> dict[str, Group]:
    found = tomllib.loads((_ROOT / "scripts" / "matrix.toml").read_text(encoding="utf-8"))
    return {
        key: Group(group["title"], group["shows"], [Cell(**cell) for cell in group["cells"]]) for key, group in found.items()
    }


def commands(names: list[str]) -> list[str]:
    """Return the commands of the groups and cells that *names* name, each once; all commands without names.

    A name is that of a group, a command, or a part of a cell's name. Ends the program if one names nothing.
    """
    cells = [(key, cell) for key, group in _groups().items() for cell in group.cells if cell.command]
    found = {name: [cell.command for key, cell in cells if name in {key, cell.command} or name in cell.name] for name in names}
    if unknown := [name for name, commands in found.items() if not commands]:
        sys.exit(f"no group and no part of a cell's name: {', '.join(unknown)}; the groups are {', '.join(_groups())}")
    return list(dict.fromkeys([cell.command for _, cell in cells] if not names else itertools.chain(*found.values())))


def _run(command: str, seconds: float, arguments: list[str]) -> dict[str, Any]:
    """Run a cell's *command*, for *seconds* at most; return its result, and print the end of its output if it fails.

    *arguments* are for pytest, and count only for scripts/test.
    """
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        output, junit = Path(folder, "output"), Path(folder, "junit.xml")
        words = [command, *([f"--junitxml={junit}", *arguments] if "scripts/test" in command else [])]
        began = time.monotonic()
        with output.open("wb") as file:
            status = _status(" ".join(words), seconds, file)
        text = output.read_text(encoding="utf-8", errors="replace")
        result: dict[str, Any] = {
            "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
            "minutes": round((time.monotonic() - began) / 60, 1),
            "status": status,
            "stopped": status is None,
            "with": dict(_FACT.findall(text)),
            "reason": "",
            **(_counted(junit) if junit.exists() else {}),
        }
    if status == _NOT_FOUND:
        result["reason"] = ": ".join(text.strip().splitlines()[-1].split(": ")[-2:])
    elif status != 0:
        print(text[-6000:], file=sys.stderr)
    return result


def _status(command: str, seconds: float, output: Any) -> int | None:
    """Return the status of a shell *command*; None if it took too long, and was interrupted."""
    child = subprocess.Popen(["sh", "-c", command], cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGINT)  # pytest then writes what it has; the tests that were running count as failed
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
        return None


def _counted(junit: Path) -> dict[str, Any]:
    """Return the figures of a run of pytest, which tests failed, and for which reasons others were skipped."""
    cases = list(ET.parse(junit).iter("testcase"))  # noqa: S314 (pytest wrote it)
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [found.get("message", "") for case in cases if (found := case.find("skipped")) is not None]
    passed = len(cases) - len(failed) - len(skipped)
    return {
        "passed": passed,
        "failed": len(failed),
        "skipped": len(skipped),
        "failures": [f"{case.get('classname')}::{case.get('name')}" for case in failed],
        "skips": dict(Counter(skipped)),
        "reason": skipped[0] if skipped and not passed and not failed else "",
    }


def _write(results: dict[str, Any]) -> None:
    """Write docs/platforms.json, without the results of former cells, and the tables of docs/platforms.md."""
    results = {command: results[command] for command in commands([]) if command in results}
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8"), results), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/matrix", description=__doc__)
    parser.add_argument("names", nargs="*", help="a group, or a part of a cell's name (default: every cell)")
    parser.add_argument("--minutes", type=float, default=30, help="stop a cell after this time (default 30)")
    parser.add_argument(
        "--pytest", action="append", default=[], metavar="ARGUMENT", help="an argument for pytest, as --pytest=-n2"
    )
    parser.add_argument("--tables", action="store_true", help="run nothing: only write the tables anew")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
