"""pinstall installs into the environment that ``pip``, typed in its place, would install into."""

from __future__ import annotations

import json
import sys
import venv
from typing import TYPE_CHECKING

import pytest
from packaging.markers import default_environment
from packaging.tags import interpreter_name, interpreter_version, sys_tags

from pinstall.environment import Environment, NoEnvironmentError, target
from pinstall.interpreter import SilentPythonError
from tests.lab import flip
from tests.packages import wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Environment as Made
    from tests.lab import Lab


def _fill(lab: Lab, index: Index) -> None:
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    flip(lab.bodies()[0])


@pytest.fixture
def index(lab: Lab) -> str:
    """Return the URL of an index whose demo 1.0 is damaged in the cache: it installs only if pinstall checks the cache."""
    made = lab.seeded(_fill)
    lab.environ["PIP_INDEX_URL"] = made.url
    return made.url


def _bare(lab: Lab, name: str = "bare") -> Path:
    """Make an environment without pip, as ``uv venv`` does."""
    venv.create(lab.root / name, symlinks=True)
    return lab.root / name


def _has(folder: Path) -> bool:
    return any(folder.glob("lib/python*/site-packages/demo.py"))


def _make_standalone(environment: Made, receipt: str) -> None:
    (environment.folder / receipt).write_text("{}")


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_pinstall_installs_into_its_own_environment_even_if_another_is_active(lab: Lab, index: str, variable: str) -> None:
    ours, active = lab.environment(), lab.environment()
    done = lab.pinstall(ours, "demo==1.0", **{variable: str(active.folder)})
    assert (done.status, len(done.said)) == (0, 1)
    assert (_has(ours.folder), _has(active.folder)) == (True, False)


def test_run_as_a_module_it_installs_for_the_running_python(lab: Lab, index: str) -> None:
    ours, active = lab.environment(), lab.environment()
    _make_standalone(ours, "pipx_metadata.json")
    done = lab.run([ours.python, "-P", "-m", "pinstall", "demo==1.0"], VIRTUAL_ENV=str(active.folder))
    assert (done.status, len(done.said)) == (0, 1)
    assert (_has(ours.folder), _has(active.folder)) == (True, False)


@pytest.mark.parametrize(
    ("receipt", "variable"), [("pipx_metadata.json", "VIRTUAL_ENV"), ("uv-receipt.toml", "CONDA_PREFIX")], ids=["pipx", "uv"]
)
@pytest.mark.parametrize("with_pip", [True, False])
def test_a_standalone_tool_uses_the_active_environment(
    lab: Lab, index: str, receipt: str, variable: str, with_pip: bool
) -> None:
    ours = lab.environment()
    active = lab.environment().folder if with_pip else _bare(lab)
    _make_standalone(ours, receipt)
    done = lab.pinstall(ours, "demo==1.0", **{variable: str(active)})
    assert (done.status, len(done.said)) == (0, 1), done
    assert (_has(ours.folder), _has(active)) == (False, True)


def test_a_standalone_tool_without_an_active_environment_stops(lab: Lab, index: str) -> None:
    ours = lab.environment()
    _make_standalone(ours, "pipx_metadata.json")
    done = lab.pinstall(ours, "demo==1.0")
    assert (done.status, done.out) == (91, "")
    assert done.said == [
        (
            "there is no environment to install into: pinstall runs as a standalone tool (pipx, uv tool), neither "
            "VIRTUAL_ENV nor CONDA_PREFIX is set, and there is no Python in ./.venv; activate an environment, or name "
            "one with --python"
        )
    ]
    assert not _has(ours.folder)
    done = lab.cache_tool(ours, "dir")
    assert (done.status, done.out, done.err) == (0, f"{lab.cache}\n", ""), "it needs none"
    done = lab.cache_tool(ours, "doctor")
    assert "no  environment: there is no environment to install into: " in done.out
    assert "      what to do: activate an environment, or name one with --python\n" in done.out
    assert f"ok  pip: 26.3, run by {ours.python}; its cache is examined\n" in done.out
    assert done.status == 1


def test_without_an_environment_the_pip_on_path_serves_other_commands(lab: Lab) -> None:
    """It gets the arguments unchanged, and its status counts; a link to this command does not lead to itself."""
    ours, tools = lab.environment(), lab.root / "tools"
    _make_standalone(ours, "pipx_metadata.json")
    tools.mkdir()
    command, path = ours.folder / "bin" / "pinstall-pip", {"PATH": str(tools)}
    (tools / "pip").symlink_to(command)
    done = lab.run([command, "--version"], **path)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("pip 26.3 from "), "the pip beside pinstall"
    (tools / "pip").unlink()
    (tools / "pip").write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 7\n")
    (tools / "pip").chmod(0o755)
    done = lab.run([command, "-v", "list", "", "a b"], **path)
    assert (done.status, done.out, done.err) == (7, "<-v><list><><a b>", "")


@pytest.mark.parametrize("with_pip", [True, False])
def test_a_standalone_tool_without_an_active_environment_uses_that_of_the_folder(lab: Lab, index: str, with_pip: bool) -> None:
    ours = lab.environment()
    _make_standalone(ours, "pipx_metadata.json")
    (lab.environment().folder if with_pip else _bare(lab)).rename(lab.root / ".venv")
    done = lab.pinstall(ours, "demo==1.0")
    assert (done.status, done.said[0]) == (0, "no environment is active: using ./.venv"), done
    assert (_has(ours.folder), _has(lab.root / ".venv")) == (False, True)
    assert lab.pinstall(ours, "-q", "demo==1.0").said == []
    note = "no environment is active: using ./.venv"
    assert lab.pinstall(ours, "demo==1.0", PINSTALL_POLICY="off").said == [note]
    if with_pip:
        removed = lab.run([ours.folder / "bin" / "pinstall-pip", "--no-input", "uninstall", "-y", "demo"])
        assert (removed.status, removed.said, _has(lab.root / ".venv")) == (0, [note], False)
        assert lab.run([ours.folder / "bin" / "pinstall-pip", "list"]).err == ""


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_version_and_help_need_no_environment(lab: Lab, word: str) -> None:
    ours = lab.environment()
    _make_standalone(ours, "pipx_metadata.json")
    done = lab.pinstall(ours, word)
    assert (done.status, done.out.startswith("pinstall"), done.err) == (0, True, "")
    assert ("pip install [options]" in done.out) == (word == "--help"), "pip's help is that of the pip beside pinstall"


@pytest.mark.parametrize("code", ["#!/bin/false\n", "#!/no/such/python\n"])
def test_a_broken_python_in_the_active_environment_is_reported(lab: Lab, code: str) -> None:
    ours, broken = lab.environment(), lab.root / "broken"
    _make_standalone(ours, "pipx_metadata.json")
    (broken / "bin").mkdir(parents=True)
    (broken / "bin" / "python").write_text(code)
    (broken / "bin" / "python").chmod(0o755)
    done = lab.pinstall(ours, "demo==1.0", VIRTUAL_ENV=str(broken))
    assert (done.status, done.out) == (91, "")
    cure = "recreate it, or name another with --python"
    assert done.said == [f"the Python of the environment {broken} does not run; {cure}"]


def _counted(made: Made, starts: Path) -> None:
    """Have each start of an environment's Python add a byte to the file *starts*."""
    python = made.folder / "bin" / "python"
    python.rename(python.with_name("python-itself"))
    python.write_text(f'#!/bin/sh\necho >> {starts}\nexec "$0-itself" "$@"\n')
    python.chmod(0o755)


def test_a_standalone_tool_starts_the_python_no_more_often_than_it_must(lab: Lab, index: str) -> None:
    ours, made, starts = lab.environment(), lab.environment(), lab.root / "starts"
    _make_standalone(ours, "pipx_metadata.json")
    _counted(made, starts)
    (lab.root / "r.txt").write_text("demo==1.0\n")
    for number in (3, 2):  # to ask for its paths, to be pip, and once more about wheels if demo is not there yet
        starts.write_text("")
        assert lab.pinstall(ours, "-r", "r.txt", VIRTUAL_ENV=str(made.folder)).status == 0
        assert len(starts.read_text()) == number


def test_the_python_is_not_started_after_pip(lab: Lab) -> None:
    """It would run code that pip has just installed: here a dependency of a satisfied pin, of which pages list other files."""
    ours, made, starts, index = lab.environment(), lab.environment(), lab.root / "starts", lab.index()
    _make_standalone(ours, "pipx_metadata.json")
    wheel(index.root, "demo", "1.0+l", requires=["helper"])
    wheel(index.root, "demo", "1.0+l", tag="cp39-cp39-linux_x86_64")
    wheel(index.root, "helper", "1.0")
    lab.pip(made, "-i", index.url, "--no-deps", "demo==1.0+l")
    _counted(made, starts)
    (lab.root / "r.txt").write_text(f"-i {index.url}\ndemo==1.0+l\n")
    done = lab.pinstall(ours, "-r", "r.txt", VIRTUAL_ENV=str(made.folder))
    assert (done.status, made.installed("helper")) == (0, "1.0 1.0"), done
    assert len(starts.read_text()) == 2


def test_a_python_that_breaks_after_its_pip_was_found_is_reported(lab: Lab) -> None:
    ours, broken = lab.environment(), lab.environment()
    _make_standalone(ours, "pipx_metadata.json")
    pip = broken.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages" / "pip"
    pip.mkdir(exist_ok=True)
    (pip / "__init__.py").touch()
    python = broken.folder / "bin" / "python"
    python.unlink()
    python.write_text("#!/bin/false\n")
    python.chmod(0o755)
    done = lab.pinstall(ours, "demo==1.0", VIRTUAL_ENV=str(broken.folder))
    assert done.status == 1
    assert done.said == [f"{python} does not answer: running pip with --no-cache-dir; check that this Python runs"]


def test_an_active_environment_without_a_python_is_reported(lab: Lab) -> None:
    ours = lab.environment()
    _make_standalone(ours, "uv-receipt.toml")
    done = lab.pinstall(ours, "demo==1.0", VIRTUAL_ENV=str(lab.root / "gone"))
    assert done.status == 91
    assert done.said[0].endswith("gone, contains no Python; activate another, or name one with --python")


@pytest.mark.parametrize("form", ["after", "before", "joined", "folder", "variable"])
def test_the_python_option_names_the_environment(lab: Lab, index: str, form: str) -> None:
    ours = lab.environment()
    other = lab.environment().folder if form in ("before", "variable") else _bare(lab)
    python = str(other / "bin" / "python")
    arguments = {
        "after": ["demo==1.0", "--python", python],
        "before": ["--python", python, "demo==1.0"],
        "joined": [f"--python={python}", "demo==1.0"],
        "folder": ["--python", str(other), "demo==1.0"],
        "variable": ["demo==1.0"],
    }[form]
    done = lab.pinstall(ours, *arguments, **({"PIP_PYTHON": python} if form == "variable" else {}))
    assert (done.status, len(done.said)) == (0, 1), done
    assert (_has(ours.folder), _has(other)) == (False, True)


def test_pip_reports_a_python_that_does_not_exist(lab: Lab) -> None:
    done = lab.pinstall(lab.environment(), "--python", "/no/such/python", "demo==1.0")
    assert done.status == 1
    assert "Could not locate Python interpreter /no/such/python" in done.err
    assert "internal error" not in done.err


@pytest.mark.parametrize("pip", ["23.3.2", "24.3.1", "25.3"])
def test_an_environment_with_an_older_pip_is_checked(lab: Lab, index: str, pip: str) -> None:
    environment = lab.environment(pip)
    done = lab.pinstall(environment, "demo==1.0")
    assert (done.status, len(done.said)) == (0, 1), done
    assert environment.installed("demo") == "1.0 1.0"


def test_a_child_process_reports_the_same_facts_as_packaging(lab: Lab) -> None:
    """It is the running interpreter, but in another environment, so that its facts come from a child process."""
    bare = _bare(lab)
    asked = Environment(str(bare / "bin" / "python"))
    assert asked.markers == dict(default_environment())
    assert asked.tags == tuple(str(tag) for tag in sys_tags())
    assert asked.interpreter == (interpreter_name(), interpreter_version())
    assert asked.prefix == str(bare)
    assert asked.pip_version is None


def test_installed_versions_are_those_of_pip_list(lab: Lab) -> None:
    index = lab.index()
    environment = lab.environment()
    for name in ("Demo.One", "demo_two", "three"):
        wheel(index.root, name.replace(".", "_"), "1.0+local")
    lab.pip(environment, "-i", index.url, "demo-one", "demo-two", "three")
    listed = lab.run([environment.pip, "list", "--format", "json"]).out
    seen = Environment(environment.python)
    for row in json.loads(listed):
        project = row["name"].lower().replace("_", "-").replace(".", "-")
        assert seen.installed_version(project) == row["version"]
    assert seen.installed_version("four") is None


@pytest.mark.parametrize("code", ["exit 3", "echo nonsense", "kill -9 $$"])
def test_a_python_that_does_not_answer_raises(tmp_path: Path, code: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{code}\n")
    python.chmod(0o755)
    with pytest.raises(SilentPythonError):
        _ = Environment(str(python)).prefix


@pytest.mark.parametrize(
    ("arguments", "rest", "named"),
    [
        (["a"], ["a"], ""),
        (["--python", "X", "a"], ["a"], "X"),
        (["a", "--python=X", "-q"], ["a", "-q"], "X"),
        (["a", "--python"], ["a", "--python"], ""),
        (["--", "--python", "X"], ["--", "--python", "X"], ""),
        (["--report", "--", "--python", "X", "a"], ["--report", "--", "a"], "X"),
        (["--report=--", "--", "--python", "X"], ["--report=--", "--", "--python", "X"], ""),
        (["--report", "--python", "a"], ["--report", "--python", "a"], ""),
        (["-qi", "--python=X", "--python=Y"], ["-qi", "--python=X"], "Y"),
        (["--retries", "--python", "X"], ["--retries", "--python", "X"], ""),
        (["--no-such", "--python", "X"], ["--no-such"], "X"),
        (["-q", "--", "--python", "X"], ["-q", "--", "--python", "X"], ""),
        (["--python-version", "3.11"], ["--python-version", "3.11"], ""),
    ],
)
def test_the_python_option_is_removed_from_the_arguments(arguments: list[str], rest: list[str], named: str) -> None:
    found = target(arguments, {}, as_module=False)
    assert list(found.arguments) == rest
    assert found.options == (("--python", named) if named else ())
    assert found.python == (named or sys.executable)


def test_a_standalone_pinstall_finds_a_target_only_if_run_as_a_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "uv-receipt.toml").touch()
    with pytest.raises(NoEnvironmentError, match="standalone tool"):
        target(["a"], {}, as_module=False)
    assert target(["a"], {}, as_module=True).python == sys.executable


def test_pip_refuses_an_externally_managed_python_as_usual(lab: Lab) -> None:
    """As on Debian, a file beside the standard library says so (externally managed environments specification)."""
    environment = lab.environment()
    code = (
        "import sysconfig, os, sys\nold = sysconfig.get_path\n"
        f"sysconfig.get_path = lambda n, *a, **k: {str(lab.root)!r} if n == 'stdlib' else old(n, *a, **k)\n"
        "sys.base_prefix = sys.prefix\n"
    )
    (lab.root / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=use apt\n")
    site = next(environment.folder.glob("lib/python*/site-packages"))
    (site / "sitecustomize.py").write_text(code)
    done = lab.pinstall(environment, "--no-index", "demo==1.0")
    bare = lab.run([environment.pip, "install", "--no-index", "demo==1.0"])
    assert (done.status, done.out, done.err) == (bare.status, bare.out, bare.err)
    assert "externally-managed-environment" in done.err


@pytest.mark.parametrize(
    ("tags", "supported"),
    [
        ("", True),
        ("py3-none-any", True),
        ("PY3-NONE-ANY", True),
        ("py2.py3-none-any", True),
        ("py2-none-any", False),
        ("py3..py2-none-any", True),
        ("py36+-none-any", False),
        ("-none-any", False),
        ("py3-none", False),
        ("x", False),
        (f"py2.{interpreter_name()}{interpreter_version()}-none-any", True),
        (".".join(["py2", "py3"] * 10_000) + "-none.abi3-any.x", True),
        ("-".join(".".join(f"x{i}" for i in range(10_000)) for _ in range(3)), False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_malformed_and_very_long_tags_are_handled(tags: str, supported: bool) -> None:
    """Only those parts of compressed tags that the environment has are combined."""
    assert Environment(sys.executable).supports(tags) is supported


@pytest.mark.parametrize("tags", [[], ["x"], ["py3-none-any-x"]])
def test_malformed_tags_of_an_interpreter_support_no_platform_wheel(tags: list[str]) -> None:
    environment = Environment("python")
    environment.__dict__["_facts_of_wheels"] = {"tags": tags}
    assert not environment.supports("cp311-cp311-linux_x86_64")
