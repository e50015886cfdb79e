"""The commands and outputs of docs/walk-cache.md, run on an old cache with three damaged entries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.consoles import ROOT, Console, sections
from tests.lab import flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab import Lab

_WHEELS = {"click": "8.1.7", "flask": "3.1.0", "jinja2": "3.1.6"}
_DAYS = 400


def test_the_documented_walk_through_a_cache(lab: Lab) -> None:
    index = lab.index()
    files = {name: wheel(index.root, name, version, padding=20_000) for name, version in _WHEELS.items()}
    wheel(index.root, "flask", "3.0.0", padding=20_000)
    sdist(index.root, "psycopg2", "2.4.4", extra={"padding": os.urandom(20_000).hex()})
    lab.environ["PIP_INDEX_URL"] = index.url
    pins = [*(f"{name}=={version}" for name, version in _WHEELS.items()), "psycopg2==2.4.4"]
    lab.pip(lab.environment(), "flask==3.0.0")
    lab.pip(lab.environment(), *pins)
    (lab.root / "requirements.txt").write_text("".join(f"{pin}\n" for pin in pins))
    recipe = (
        (ROOT / "docs" / "shells.md").read_text().partition("## bash and zsh")[2].partition("```sh\n")[2].partition("```")[0]
    )
    (lab.root / "home" / ".pinstall.sh").write_text(recipe)
    _damage(lab, files)
    for path in lab.cache.rglob("*"):
        then = os.stat(path).st_mtime - _DAYS * 86_400
        os.utime(path, (then, then))
    console = Console(lab)
    for section in sections("docs/walk-cache.md"):
        if section.heading == "When the disk loses another bit":
            lab.time_passes()
            flip(_body(lab, files["jinja2"]))
        for block in section.blocks:
            console.run(block)


def _body(lab: Lab, file: Path) -> Path:
    (found,) = [body for body in lab.bodies() if body.read_bytes() == file.read_bytes()]
    return found


def _damage(lab: Lab, files: dict[str, Path]) -> None:
    flip(_body(lab, files["jinja2"]))
    (page,) = [page for page in lab.pages() if b'"name": "click"' in page.read_bytes()]
    for path in (page, *lab.wheels()):
        path.write_bytes(path.read_bytes()[:-40])
