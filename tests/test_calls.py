"""docs/calls.md, row by row: a damaged download is found wherever its pin comes from."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from tests import test_environment as environments
from tests.lab import HERE, flip, needs
from tests.packages import project, wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from _pytest.mark import ParameterSet

    from tests.index import Index
    from tests.lab import Lab, Result

_DOCUMENT = (HERE.parent / "docs" / "calls.md").read_text()


def _rows(heading: str) -> list[str]:
    section = _DOCUMENT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [row[1] for row in re.finditer(r"^\| (.*?) \|", section, re.MULTILINE)][1:]


class _World:
    """A cache whose demo 1.0 is damaged: an install succeeds only if the pin was found and checked."""

    def __init__(self, lab: Lab, index_url: str, file: Path) -> None:
        self.lab, self.file = lab, file
        self.hash = f"--hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        self.url = f"{index_url.removesuffix('simple/')}files/{file.name}"
        self.environment = lab.environment()
        lab.environ["PIP_INDEX_URL"] = index_url

    def write(self, name: str, text: str) -> Path:
        path = self.lab.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *words: str | Path, **variables: str) -> Result:
        return self.lab.pinstall(self.environment, *words, **variables)


def _fill(lab: Lab, index: Index) -> None:
    file = wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    lab.pip(lab.environment(), f"{index.base}/files/{file.name}")
    for body in lab.bodies():
        flip(body)


@pytest.fixture
def world(lab: Lab) -> _World:
    index = lab.seeded(_fill)
    (file,) = index.root.iterdir()
    return _World(lab, index.url, file)


def _file(world: _World) -> Result:
    world.write("sub/more.txt", "demo == ${VERSION}\n")
    return world.run("-r", world.write("r.txt", "-r sub/more.txt\n"), VERSION="1.0")


def _group(world: _World) -> Result:
    world.write("pyproject.toml", '[dependency-groups]\ntest = [{include-group = "base"}]\nbase = ["demo==1.0"]\n')
    return world.run("--group", "test")


def _group_of(world: _World) -> Result:
    world.write("sub/pyproject.toml", '[dependency-groups]\ntest = ["demo==1.0"]\n')
    return world.run("--group", "sub/pyproject.toml:test")


def _script(world: _World) -> Result:
    return world.run("--requirements-from-script", world.write("s.py", "# /// script\n# dependencies = ['demo==1.0']\n# ///\n"))


def _lock(world: _World) -> Result:
    digest = world.hash.partition(":")[2]
    file = f'url = "{world.url}"\nhashes = {{sha256 = "{digest}"}}\n'
    package = f'[[packages]]\nname = "demo"\nversion = "1.0"\n[[packages.wheels]]\n{file}'
    return world.run("-r", world.write("pylock.toml", f'lock-version = "1.0"\ncreated-by = "tests"\n{package}'))


def _project(world: _World) -> Result:
    project(world.lab.root / "here", "local", dependencies=["demo==1.0"])
    return world.lab.run(["sh", "-c", f"cd here && {world.environment.pinstall} ."])


def _extra(world: _World) -> Result:
    project(world.lab.root / "here", "local", extras={"one": ["local[two]"], "two": ["demo==1.0"]})
    return world.lab.run(["sh", "-c", f"cd here && {world.environment.pinstall} -e '.[one]'"])


_CHECKED: dict[str, Callable[[_World], Result]] = {
    "`name==1.0`": lambda world: world.run("demo==1.0"),
    "`name>=1 --hash=…` in a file": lambda world: world.run("-r", world.write("r.txt", f"demo>=1 {world.hash}\n")),
    "`name @ URL`": lambda world: world.run(f"demo @ {world.url}#{world.hash.removeprefix('--hash=').replace(':', '=')}"),
    "`-r FILE`": _file,
    "`-r file:///FILE`": lambda world: world.run("-r", world.write("r.txt", "demo==1.0\n").as_uri()),
    "`-c FILE`": lambda world: world.run("demo", "-c", world.write("c.txt", "demo==1.0\n")),
    "`PIP_REQUIREMENT=FILE`": lambda world: world.run(PIP_REQUIREMENT=str(world.write("r.txt", "demo==1.0\n"))),
    "`PIP_CONSTRAINT=FILE`": lambda world: world.run("demo", PIP_CONSTRAINT=str(world.write("c.txt", "demo==1.0\n"))),
    "`pip.conf`": lambda world: world.run(
        "demo", PIP_CONFIG_FILE=str(world.write("own.conf", f"[install]\nconstraint = {world.write('c.txt', 'demo==1.0')}\n"))
    ),
    "`--group NAME`": _group,
    "`--group PATH/pyproject.toml:NAME`": _group_of,
    "`--requirements-from-script FILE`": _script,
    "`-r pylock.toml`": _lock,
    "`.`": _project,
    "`-e .[extra]`": _extra,
}


# Where these rows need a newer library than pinstall itself.
_NEEDED = {
    "`--group NAME`": needs("packaging", "26.1"),
    "`--group PATH/pyproject.toml:NAME`": needs("packaging", "26.1"),
    "`-r pylock.toml`": needs("packaging", "26.3"),
    "`git+URL@commit`": needs("packaging", "23.2"),  # the repository is a folder here, whose URL has no host
}


def _marked(rows: Iterable[str]) -> list[ParameterSet]:
    return [pytest.param(row, marks=_NEEDED.get(row, ())) for row in rows]


@pytest.mark.parametrize("row", _marked(_CHECKED))
def test_a_pin_is_found(world: _World, row: str) -> None:
    done = _CHECKED[row](world)
    assert done.status == 0, done
    assert [line.startswith("removed demo-1.0-py3-none-any.whl ") for line in done.said] == [True], done
    assert world.environment.installed("demo") == "1.0 1.0"


def _url(world: _World) -> None:
    """Nothing states a digest of it; the wheel's own RECORD does."""
    done = world.run(world.url)
    assert (done.status, len(done.said)) == (0, 1), done


def _commit(world: _World) -> None:
    here = world.lab.root / "repository"
    project(here, "local")
    for words in ("init -q", "add .", "-c user.name=t -c user.email=t@localhost commit -q -m first"):
        assert world.lab.run(["git", "-C", here, *words.split()]).status == 0
    commit = world.lab.run(["git", "-C", here, "rev-parse", "HEAD"]).out.strip()
    pinned = f"local @ git+{here.as_uri()}@{commit}"
    world.lab.pip(world.lab.environment(), pinned)
    (built,) = world.lab.wheels()
    built.write_bytes(built.read_bytes()[:100])
    done = world.run(pinned)
    assert (done.status, len(done.said)) == (0, 1), done


def _computed(world: _World) -> None:
    """Whatever pip does with the damaged download, we say nothing of it."""
    project(world.lab.root / "here", "local", dependencies=["demo==1.0"], dynamic=True)
    done = world.lab.run(["sh", "-c", f"cd here && {world.environment.pinstall} ."])
    assert "THESE PACKAGES DO NOT MATCH" in done.err
    assert [line for line in done.said if line.startswith("removed")] == []


def _pipe(world: _World) -> None:
    done = world.lab.run(["bash", "-c", f"{world.environment.pinstall} -r <(echo demo==1.0)"])
    (said,) = [line for line in done.said if "not checked: " in line]
    assert "a pipe or device" in said
    assert "THESE PACKAGES DO NOT MATCH" in done.err  # pip has read it


def _remote(world: _World) -> None:
    done = world.run("-r", f"{world.url.rpartition('/')[0]}/r.txt")
    assert "404" in done.err
    assert any(line.startswith("pins in https://") for line in done.said), done


_OTHERWISE: dict[str, Callable[[_World], None]] = {
    "`URL` or `./archive.whl`": _url,
    "`git+URL@commit`": _commit,
    "dependencies that a project computes": _computed,
    "`-r <(command)`, `-r /dev/stdin`": _pipe,
    "`-r https://…`": _remote,
}


@pytest.mark.parametrize("row", _marked(_OTHERWISE))
def test_a_source(world: _World, row: str) -> None:
    _OTHERWISE[row](world)


def test_each_source_has_its_row() -> None:
    assert sorted(_rows("Where pins are looked for")) == sorted([*_CHECKED, *_OTHERWISE])


_ENVIRONMENTS = {
    "`ENV/bin/pinstall`": environments.test_pinstall_installs_into_its_own_environment_even_if_another_is_active,
    "`python -m pinstall`": environments.test_run_as_a_module_it_installs_for_the_running_python,
    "`pinstall --python PYTHON …`, before or after the requirements": environments.test_the_python_option_names_the_environment,
    "`PIP_PYTHON=PYTHON`": environments.test_the_python_option_names_the_environment,
    "`pinstall` of pipx or `uv tool`, with `VIRTUAL_ENV`": environments.test_a_standalone_tool_uses_the_active_environment,
    "`pinstall` of pipx or `uv tool`, with `CONDA_PREFIX`": environments.test_a_standalone_tool_uses_the_active_environment,
    "`pinstall` of pipx or `uv tool`, with neither": environments.test_a_standalone_tool_without_an_active_environment_stops,
    "an environment without pip (`uv venv`)": environments.test_the_python_option_names_the_environment,
    "an externally managed Python (Debian's)": environments.test_pip_refuses_an_externally_managed_python_as_usual,
}


def test_each_environment_has_its_row_and_its_test() -> None:
    assert sorted(_rows("Which environment is served")) == sorted(_ENVIRONMENTS)
