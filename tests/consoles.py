"""Run the console examples of documents as they stand, and compare the output of a shell with what the document shows.

In a block marked ``console``, a line that begins with ``$ `` is a command, and what follows is what it prints, both streams
together. A line ``...`` stands for any lines or none, and ``...`` within a line for any characters; of a hash that is cut
(``sha256:0123456789ab...``) the digits do not matter. A command whose comment says "in another environment" begins one.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab import Environment

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_CUT_HASH = re.compile(r"(?<=:)[0-9a-f]{12}\.\.\.")
_ANOTHER = "in another environment"


class Section(NamedTuple):
    """A heading of a document (its path below the root), and the console blocks that stand under it."""

    document: str
    heading: str
    blocks: tuple[str, ...]


def sections(document: str) -> list[Section]:
    """Return the sections of a document that have console blocks."""
    text = (ROOT / document).read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in re.split(r"^#+ ", text, flags=re.MULTILINE)[1:])
    return [Section(document, heading, tuple(found)) for heading, _, rest in parts if (found := _BLOCK.findall(rest))]


class Console:
    """A shell in the root of a lab, and an environment that *make* makes.

    ``names`` map a text of the document, such as the URL of an index, to the one that the test has in its place.
    """

    def __init__(
        self, lab: Lab, names: dict[str, str] | None = None, make: Callable[[Lab], Environment] = Lab.environment
    ) -> None:
        self.lab, self.names, self._make = lab, names or {}, make
        self.environment = make(lab)

    def run(self, block: str) -> None:
        """Run each command of a block; fail at the first whose output is not as shown. The status does not count."""
        for line, shown in _COMMAND.findall(block):
            if _ANOTHER in line:
                self.environment = self._make(self.lab)
            printed = self._printed(line)
            assert _pattern(shown).fullmatch(_comparable(printed)), f"$ {line}\n{printed}\nThe document shows:\n{shown}"

    def _printed(self, line: str) -> str:
        for name, real in self.names.items():
            line = line.replace(name, real)
        environ = {**self.lab.environ, "PATH": f"{self.environment.folder / 'bin'}:/usr/bin:/bin", "COLUMNS": "200"}
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.lab.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        printed = done.stdout.decode(errors="replace")
        for name, real in self.names.items():
            printed = printed.replace(real, name)
        return printed


def _comparable(text: str) -> str:
    lines = (line.rstrip() for line in _CUT_HASH.sub("HASH", text).splitlines())
    return "".join(f"{line}\n" for line in lines)


def _pattern(shown: str) -> re.Pattern[str]:
    lines = (
        r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in _comparable(shown).splitlines()
    )
    return re.compile("".join(lines))
