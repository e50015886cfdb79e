"""The recipes of docs/shells.md, run by the shells they are for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import flip
from tests.packages import wheel

if TYPE_CHECKING:
    from tests.lab import Lab

_DOCUMENT = (Path(__file__).parent.parent / "docs" / "shells.md").read_text(encoding="utf-8")
# Recipes by the headings that they stand under.
_RECIPES = {
    section.partition("\n")[0]: "".join(re.findall(r"^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    for section in _DOCUMENT.split("\n## ")[1:]
}
_SHELLS = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"], "fish": ["fish", "--no-config", "-c"]}
# Says how it was called, as a line of JSON.
_FAKE = """#!{python}
import json, os, sys
called = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
print(json.dumps({{"called": called, "stdin": sys.stdin.read(), "variable": os.environ.get("VARIABLE")}}))
sys.exit(int(os.environ["STATUS"]))
"""


@dataclass(frozen=True)
class Shell:
    """A shell with a recipe, in a folder of its own whose ``bin`` and ``elsewhere`` are all of its PATH."""

    name: str
    folder: Path

    def put(self, *names: str, where: str = "bin") -> None:
        """Put programs of these *names* there."""
        (self.folder / where).mkdir(exist_ok=True)
        for name in names:
            path = self.folder / where / name
            path.write_text(_FAKE.format(python=sys.executable))
            path.chmod(0o755)

    def run(self, line: str, recipe: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command *line*, behind the recipe."""
        lines = _RECIPES["fish" if self.name == "fish" else "bash and zsh"] + recipe
        program, *options = _SHELLS[self.name]
        places = f"{self.folder / 'bin'}:{self.folder / 'elsewhere'}"  # the recipes need no programs
        return subprocess.run(
            [str(shutil.which(program)), *options, f"{lines}\n{line}"],
            env={"PATH": places, "HOME": str(self.folder), "STATUS": "0", "LANG": "C.UTF-8", **variables},
            cwd=self.folder,
            input="words for pip",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def called(self, line: str, recipe: str = "", **variables: str) -> list[str]:
        """Return the name and the arguments of the only program that the *line* ran."""
        done = self.run(line, recipe, **variables)
        assert (done.returncode, done.stderr) == (0, ""), done
        said: dict[str, Any] = json.loads(done.stdout)
        assert said["stdin"] == "words for pip"
        return list(said["called"])


@pytest.fixture(params=_SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    if not shutil.which(request.param):
        pytest.skip(f"there is no {request.param} here")
    (tmp_path / "a folder").mkdir()
    made = Shell(request.param, tmp_path / "a folder")
    made.put("pip", "pip3", "pinstall")
    return made


@pytest.mark.parametrize("name", ["pip", "pip3"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("install six==1.17.0", ["six==1.17.0"]),
        ("install", []),
        ("install -q -r requirements.txt", ["-q", "-r", "requirements.txt"]),
        ("install six --help", ["six", "--help"]),
        (
            """install 'a b' '' '*' '~' '$HOME' "it's" 'say "x"' '\\back' 'é' '{a,b}' '[c]' 'six>=1; x' -- -e '' """,
            ["a b", "", "*", "~", "$HOME", "it's", 'say "x"', "\\back", "é", "{a,b}", "[c]", "six>=1; x", "--", "-e", ""],
        ),
        ("install ''", [""]),
        ("install 'two\nlines'", ["two\nlines"]),
    ],
    ids=str,
)
def test_pip_install_is_pinstalls(shell: Shell, name: str, words: str, expected: list[str]) -> None:
    assert shell.called(f"{name} {words}") == ["pinstall", *expected]


@pytest.mark.parametrize("name", ["pip", "pip3"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", []),
        ("list", ["list"]),
        ("freeze --all", ["freeze", "--all"]),
        ("--version", ["--version"]),
        ("download install", ["download", "install"]),
        ("install --help", ["install", "--help"]),
        ("install -h", ["install", "-h"]),
        ("install --version", ["install", "--version"]),
        ("-q install six", ["-q", "install", "six"]),
        ("'install six' x", ["install six", "x"]),
        ("'' install 'a b' ''", ["", "install", "a b", ""]),
    ],
    ids=str,
)
def test_all_else_is_pips(shell: Shell, name: str, words: str, expected: list[str]) -> None:
    assert shell.called(f"{name} {words}") == [name, *expected]


def test_command_goes_round_the_recipe(shell: Shell) -> None:
    assert shell.called("command pip install six") == ["pip", "install", "six"]


def test_without_a_pinstall_beside_that_pip(shell: Shell) -> None:
    """One that stands elsewhere on the PATH serves another environment."""
    (shell.folder / "bin" / "pinstall").unlink()
    shell.put("pinstall", where="elsewhere")
    assert shell.called("pip install 'a b' ''") == ["pip", "install", "a b", ""]
    assert shell.called("pip3 install") == ["pip3", "install"]


def test_each_pip_has_its_own_pinstall(shell: Shell) -> None:
    (shell.folder / "bin" / "pip3").unlink()
    shell.put("pip3", where="elsewhere")
    assert shell.called("pip3 install six") == ["pip3", "install", "six"]
    shell.put("pinstall", where="elsewhere")
    (shell.folder / "bin" / "pinstall").unlink()
    assert shell.called("pip3 install six") == ["pinstall", "six"]


def test_without_pip(shell: Shell) -> None:
    (shell.folder / "bin" / "pip").unlink()
    for line in ("pip install six", "pip list"):
        done = shell.run(line)
        assert (done.returncode, done.stdout) == (127, "")
        assert "pip" in done.stderr


@pytest.mark.parametrize("status", ["0", "1", "2", "23", "130"])
@pytest.mark.parametrize("line", ["pip install six", "pip list"])
def test_exit_status(shell: Shell, line: str, status: str) -> None:
    assert shell.run(line, STATUS=status).returncode == int(status)


def test_a_variable_for_one_call(shell: Shell) -> None:
    for line in ("VARIABLE=x pip install six", "VARIABLE=x pip list"):
        assert json.loads(shell.run(line).stdout)["variable"] == "x"


@pytest.mark.parametrize("line", ["pip install six", "pip list", "pip", "pip3 install"])
def test_in_a_strict_shell(shell: Shell, line: str) -> None:
    if shell.name == "fish":
        pytest.skip("fish is not stricter on demand")
    assert shell.called(f"set -eu\n{line}")
    (shell.folder / "bin" / "pinstall").unlink()
    assert shell.called(f"set -eu\n{line}")
    assert shell.run(f"set -e\n{line}\necho went on", STATUS="3").stdout.count("\n") == 1
    for name in ("pip", "pip3"):
        (shell.folder / "bin" / name).unlink()
    assert shell.run(f"set -eu\n{line}").returncode == 127


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_installed_apart(shell: Shell, variable: str) -> None:
    if shell.name == "fish":
        pytest.skip("a line for bash and zsh")
    (shell.folder / "bin" / "pinstall").unlink()
    (shell.folder / ".local").mkdir()
    apart = _RECIPES["Installed apart"]
    active = {variable: "/somewhere"}
    assert shell.called("pip install six", apart, **active) == ["pip", "install", "six"]
    shell.put("pinstall", where=".local/bin")
    assert shell.called("pip install 'a b' ''", apart, **active) == ["pinstall", "a b", ""]
    assert shell.called("pip list", apart, **active) == ["pip", "list"]
    assert shell.called("set -eu\npip install six", apart) == ["pip", "install", "six"]


def test_an_alias(shell: Shell) -> None:
    expand = "shopt -s expand_aliases\n" if shell.name == "bash" else ""
    assert shell.called(f"""{expand}{_RECIPES["An alias"]}\neval "pi 'a b' ''" """) == ["pinstall", "a b", ""]


def test_with_a_real_pip_and_pinstall(shell: Shell, lab: Lab) -> None:
    environment, index = lab.environment(), lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    flip(lab.bodies()[0])
    variables = {**lab.environ, "PATH": str(environment.folder / "bin")}
    done = shell.run(f"pip install -i {index.url} demo==1.0", **variables)
    assert done.returncode == 0, done
    assert "pinstall: removed demo-1.0" in done.stderr
    assert environment.installed("demo") == "1.0 1.0"
    assert shell.run("pip list", **variables).stdout == lab.run([environment.pip, "list"]).out


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
@pytest.mark.parametrize(
    ("has_pinstall", "words", "expected"),
    [
        (True, [], ["python", "-m", "pinstall"]),
        (False, [], ["python", "-m", "pip", "install"]),
        (True, ["PIP_INSTALL=python -m other"], ["python", "-m", "other"]),
    ],
)
def test_make(tmp_path: Path, has_pinstall: bool, words: list[str], expected: list[str]) -> None:
    fake = _FAKE.replace("import json", f"import sys\nif '-c' in sys.argv: sys.exit({int(not has_pinstall)})\nimport json")
    (tmp_path / "python").write_text(fake.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "Makefile").write_text(_RECIPES["make"])
    done = subprocess.run(
        [str(shutil.which("make")), "--silent", "PYTHON=python", *words],
        env={"PATH": str(tmp_path), "STATUS": "0"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["called"] == [*expected, "-r", "requirements.txt"]


def test_powershell_is_read_at_least() -> None:
    """No PowerShell is to be had here: its brackets close, and it leaves to pip what the others do."""
    recipe = _RECIPES["PowerShell"]
    open_brackets = ""
    for bracket in re.findall(r"[(){}\[\]]", recipe):
        if bracket in "({[":
            open_brackets += {"(": ")", "{": "}", "[": "]"}[bracket]
        else:
            assert open_brackets.endswith(bracket)
            open_brackets = open_brackets[:-1]
    assert open_brackets == ""
    assert recipe.count("'") % 2 == 0
    for word in ("'install'", "'-h'", "'--help'", "'--version'", "function pip {", "function pip3 {"):
        assert word in recipe
