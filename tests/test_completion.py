"""What pinstall-cache prints for shells completes pip's options and file names, in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from pinstall.cache_tool.cli import _COMMANDS

if TYPE_CHECKING:
    from tests.lab import Environment, Lab

# A line is completed as its last word; the shell prints what it would offer, a line each.
_ASK = {
    "bash": """
        source <(pinstall-cache completion bash)
        COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        {function} "${{COMP_WORDS[0]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
        complete -p {command} >/dev/null
    """,
    # The builtins that zsh has for completion work within its line editor alone.
    "zsh": """
        compdef() {{ typeset -g "done_$1"=1 }}
        compadd() {{ print -rl -- "${{@[2,-1]}}" }}
        _files() {{ print -rl -- * }}
        source <(pinstall-cache completion zsh)
        words=({words}) CURRENT=$#words
        {function}
    """,
    "fish": """
        pinstall-cache completion fish | source
        complete --do-complete "{line}" | string replace --regex '\\t.*' ''
    """,
}
_SHELLS = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"], "fish": ["fish", "--no-config", "-c"]}


@pytest.fixture(params=_SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not shutil.which(name):
        pytest.skip(f"there is no {name} here")
    return name


@pytest.fixture
def environment(lab: Lab) -> Environment:
    (lab.root / "requirements.txt").write_text("")
    return lab.environment()


def _offered(lab: Lab, environment: Environment, shell: str, line: str) -> set[str]:
    """Return what is offered for the last word of *line* (fish and zsh leave the choice among them to their editors)."""
    words = " ".join(f"'{word}'" for word in line.split(" "))
    command = line.partition(" ")[0]
    script = _ASK[shell].format(words=words, line=line, command=command, function=f"_{command.replace('-', '_')}")
    done = subprocess.run(
        [*_SHELLS[shell], script],
        cwd=lab.root,
        env={**lab.environ, "PATH": f"{environment.folder / 'bin'}:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == "", done
    return {word for word in done.stdout.split() if word.startswith(line.rpartition(" ")[2])}


# Several lines a test: each test has an environment of its own.


def test_pips_options(lab: Lab, environment: Environment, shell: str) -> None:
    for before in ("pinstall ", "pinstall six==1.17.0 -q "):
        found = {word.removesuffix("=") for word in _offered(lab, environment, shell, f"{before}--requirement")}
        assert {"--requirement", "--requirements-from-script"} <= found
    assert "--explain" in _offered(lab, environment, shell, "pinstall six==1.17.0 --exp")


def test_files_behind_r_and_c(lab: Lab, environment: Environment, shell: str) -> None:
    for option in ("-r", "-c", "--requirement", "-q -r"):
        assert "requirements.txt" in _offered(lab, environment, shell, f"pinstall {option} requ")


_COMMAND_LINES = {
    "pinstall-cache ": set(_COMMANDS),
    "pinstall-cache ver": {"verify"},
    "pinstall-cache verify --f": {"--fix"},
    "pinstall-cache list --f": {"--format"},
    "pinstall-cache list --c": {"--columns", "--cache-dir"},
    "pinstall-cache prune --d": {"--dry-run"},
    "pinstall-cache stats --z": {"--zero"},
    "pinstall-cache map --h": {"--html", "--help"},
    "pinstall-cache list --format ": {"human", "abspath", "json"},
    "pinstall-cache prune --older": {"--older-than"},
    "pinstall-cache completion ": {"bash", "fish", "zsh"},
}


def test_commands(lab: Lab, environment: Environment, shell: str) -> None:
    for line, expected in _COMMAND_LINES.items():
        found = _offered(lab, environment, shell, line)
        assert expected <= found if line.endswith(" ") else expected == found
