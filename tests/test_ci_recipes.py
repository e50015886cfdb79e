"""The shell parts of the recipes in docs/ci.md, run as the runners run them: over no cache, and over one with a flipped bit."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from tests.lab import Lab, flip
from tests.packages import wheel

_DOCUMENT = (Path(__file__).parent.parent / "docs" / "ci.md").read_text(encoding="utf-8")
_PARTS = {
    "GitHub Actions": r"- run: \|\n((?: {10}.*\n)+)",
    "GitLab CI": r"  script:\n((?:    - .*\n)+)",
    "Dockerfile": r"RUN --mount\S* \\\n((?:    .*\n)+)",
}


def _script(recipe: str) -> str:
    section = _DOCUMENT.partition(f"## {recipe}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(_PARTS[recipe], section)
    return re.sub("^- ", "", textwrap.dedent(found), flags=re.MULTILINE)


@pytest.mark.parametrize("recipe", _PARTS)
def test_recipe(lab: Lab, recipe: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    (lab.root / "requirements.txt").write_text("demo==1.0\n")
    lab.environ["PIP_INDEX_URL"] = index.url
    for spoilt in (False, True):
        if spoilt:
            flip(lab.bodies()[0])
        environment = lab.environment()
        path = f"{environment.folder / 'bin'}:/usr/bin:/bin"
        done = lab.run(["sh", "-ec", _script(recipe)], PATH=path)
        assert done.status == 0, done
        assert environment.installed("demo") == "1.0 1.0"
        assert ("wrong-hash: 1" in done.out) == spoilt
        assert done.err == ""


# What the services themselves define.
_DEFINED = {"runner.os", "hashFiles('requirements.txt')", "CI_PROJECT_DIR"}


def test_nothing_in_the_files_is_undefined() -> None:
    """Neither variables and expressions, nor files that the document does not tell how to make."""
    blocks = "".join(re.findall(r"^```(?:yaml|dockerfile)\n(.*?)^```$", _DOCUMENT, re.MULTILINE | re.DOTALL))
    found = {*re.findall(r"\$\{\{ (.*?) \}\}", blocks), *re.findall(r"\$(\w+)", blocks)}
    assert found == _DEFINED
    assert set(re.findall(r"tools/\S+", blocks)) == {"tools/pip_pinstall-*.whl"}
    assert "--wheel-dir tools" in _DOCUMENT
