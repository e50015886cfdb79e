"""Run the demo of the README on the configured registry, and draw what a terminal shows as docs/demo.svg (with rich).

Arguments NAME=VALUE are variables of the demo alone, such as PIP_INDEX_URL: some mirrors forbid pip to keep what they send.
"""

# ruff: noqa: INP001

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

_ROOT = Path(__file__).parent.parent
_WIDTH = 118
# Other sources than an index would spare pip its cache; the index and how to reach it stay the caller's.
_DROPPED = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR", "PINSTALL_", "VIRTUAL_ENV")


def main() -> int:
    """Record the demo; return 1 if pip did not fail where it should, or pinstall did not heal."""
    with tempfile.TemporaryDirectory() as folder:
        environ = _environ(folder)
        console = Console(record=True, width=_WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
        statuses = [_step(line, folder, environ, console) for line in _commands()]
    svg = console.export_svg(title="pinstall", theme=MONOKAI)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # a picture fetches nothing
    (_ROOT / "docs" / "demo.svg").write_text(re.sub(r"terminal-\d+-", "terminal-", svg), encoding="utf-8")
    print(statuses)
    return 0 if statuses == [0, 0, 0, 1, 0, 0] else 1


def _commands() -> list[str]:
    section = (_ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Try it\n")[2].partition("\n## ")[0]
    return re.findall(r"^\$ (.*)$", section, re.MULTILINE)


def _environ(folder: str) -> dict[str, str]:
    """Make an environment with the newest pip and this pinstall in *folder*, and return the variables of the demo."""
    subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], check=True)
    python = f"{folder}/venv/bin/python"
    made = {**os.environ, "HOME": folder, "PIP_CACHE_DIR": f"{folder}/other-cache"}
    configured = {**made, "PIP_CONFIG_FILE": _configuration()}
    subprocess.run([python, "-m", "pip", "install", "-q", "-U", "pip", str(_ROOT)], env=configured, check=True)
    kept = {name: value for name, value in made.items() if not name.startswith(_DROPPED)}
    index = subprocess.run(
        [python, "-m", "pip", "config", "get", "global.index-url"], env=configured, capture_output=True, text=True, check=False
    )
    url = {"PIP_INDEX_URL": index.stdout.strip()} if index.returncode == 0 else {}
    path = f"{folder}/venv/bin:{os.environ['PATH']}"
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    return {**url, **kept, **given, "PATH": path, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _configuration() -> str:
    """Return the path of the user's configuration file of pip, which the temporary home does not have."""
    return os.environ.get("PIP_CONFIG_FILE", os.path.expanduser("~/.config/pip/pip.conf"))


def _step(line: str, folder: str, environ: dict[str, str], console: Console) -> int:
    """Run one command in the shell, print it with its output to *console*, and return its status.

    An ``export`` changes *environ*, for the commands after it.
    """
    began = time.monotonic()
    found = re.match(r"export (\w+)=(\S+)", line)
    if found:
        environ[found[1]] = found[2].replace("$PWD", folder)
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    console.print(Text(f"$ {line}", style="bold green"))
    for text in done.stdout.decode(errors="replace").replace(folder, "~").splitlines():
        style = "yellow" if text.startswith("pinstall: ") else "red" if text.startswith("ERROR: ") else ""
        console.print(Text(text, style=style))
    print(f"{time.monotonic() - began:4.1f} s  {line}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
