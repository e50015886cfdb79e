"""A pip of the future, which keeps its cache in another way: nothing goes wrongly, and that it was not checked is said once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pinstall.pip_cache import keys
from tests.lab import NEWEST
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab import Lab


def _changed(lab: Lab, pips: Path, version: str, change: tuple[str, str, str]) -> str:
    """Make a pip of another *version*, in a file of which one text is replaced by another."""
    name, old, new = change
    folder = lab.root / version
    shutil.copytree(pips / NEWEST, folder, symlinks=True)
    (info,) = folder.glob("pip-*.dist-info")
    for path, before, after in (
        (folder / "pip" / "_internal" / name, old, new),
        (folder / "pip" / "__init__.py", f'"{NEWEST}"', f'"{version}"'),
        (info / "METADATA", f"\nVersion: {NEWEST}\n", f"\nVersion: {version}\n"),
    ):
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
    info.rename(folder / f"pip-{version}.dist-info")
    return str(folder)


_CHANGES = {
    "another folder": ("cli/index_command.py", '"http-v2"', '"http-v3"', "http-v3"),
    "another key": ("cache.py", 'key_parts["interpreter_name"] = ', 'key_parts["abi"] = ', "built wheels in unknown folders"),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_another_layout_is_not_checked_and_that_is_said_once(lab: Lab, pips: Path, change: str) -> None:
    *changed, found = _CHANGES[change]
    pip = _changed(lab, pips, "99.1", (changed[0], changed[1], changed[2]))
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    sdist(index.root, "built", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0", "built==1.0")
    said = []
    for _ in range(2):
        environment = lab.environment(pip)
        done = lab.pinstall(environment, "-i", index.url, "demo==1.0", "built==1.0")
        assert done.status == 0, done
        assert (environment.installed("demo"), environment.installed("built")) == ("1.0 1.0", "1.0 1.0")
        said += done.said
    why = "pip 99.1 is newer than this pinstall, and seems to use its cache in a new way; upgrade pinstall"
    assert said == [f"parts of pip's cache were not checked ({found}): {why}"]


def test_a_newer_pip_that_does_as_we_know_is_nothing_to_tell_of(lab: Lab, pips: Path) -> None:
    pip = _changed(lab, pips, "99.2", ("cache.py", "import", "import"))
    index = lab.index()
    sdist(index.root, "built", "1.0")
    done = lab.pinstall(lab.environment(pip), "-i", index.url, "built==1.0")
    assert (done.status, done.said) == (0, [])


def test_all_that_is_known_was_tested() -> None:
    assert ".".join(map(str, keys.NEWEST_PIP)) == NEWEST
