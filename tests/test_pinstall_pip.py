"""pinstall-pip is pip: the commands that read the cache are checked, and all others are pip's own."""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.lab import VERSIONS, flip
from tests.packages import FLAGS_ONE, FLAGS_TWO, sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Environment, Lab, Result

_PADDING = 20_000


def _run(lab: Lab, environment: Environment, *words: str, **variables: str) -> Result:
    done = lab.script(environment, "pinstall-pip", *words, **variables)
    _ = done.said
    return done


def _index(lab: Lab) -> Index:
    index = lab.index()
    wheel(index.root, "demo", "1.0", "good", padding=_PADDING)
    sdist(index.root, "built", "1.0", "good")
    lab.environ["PIP_INDEX_URL"] = index.url
    return index


def _content(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(name for name in archive.namelist() if "/" not in name)).decode()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("command", ["download", "wheel"])
def test_a_wheelhouse_is_made_of_sound_files(lab: Lab, version: str, command: str) -> None:
    """pip's ``download`` saves the source of what it would build."""
    index, environment = _index(lab), lab.environment(version)
    lab.pip(environment, "demo==1.0", "built==1.0")
    for path in lab.bodies():
        flip(path)
    lab.wheels()[0].write_bytes(lab.wheels()[0].read_bytes()[:300])
    folder = {"download": "-d", "wheel": "-w"}[command]
    done = _run(lab, environment, command, folder, "house", "demo==1.0", "built==1.0")
    assert done.status == 0, done
    names = ["built-1.0.tar.gz" if command == "download" else "built-1.0-py3-none-any.whl", "demo-1.0-py3-none-any.whl"]
    house = sorted((lab.root / "house").iterdir())
    assert [path.name for path in house] == names
    assert house[1].read_bytes() == (index.root / names[1]).read_bytes()
    assert command == "download" or _content(house[0]) == "CONTENT = 'good'\n"


def test_wheels_of_other_flags_are_built_anew_and_kept(lab: Lab) -> None:
    lab.compiled_index()
    environment = lab.environment()
    for flags, content in ((FLAGS_ONE, "one"), (FLAGS_TWO, "two"), (FLAGS_ONE, "one")):
        shutil.rmtree(lab.root / "house", ignore_errors=True)
        done = _run(lab, environment, "wheel", "-w", "house", "demo==1.0", **flags)
        (made,) = (lab.root / "house").iterdir()
        lab.pip(environment, "--force-reinstall", "--no-deps", str(made))
        assert (done.status, environment.installed("demo")) == (0, f"1.0 {content}"), done
    assert (lab.root / "built").read_text().count("demo") == 2


def test_a_lock_file_is_made_from_sound_files(lab: Lab) -> None:
    index, environment = _index(lab), lab.environment()
    lab.pip(environment, "demo==1.0")
    sound = lab.bare(environment, "lock", "-qq", "demo==1.0", "-o", "-")
    flip(lab.bodies()[0])
    done = _run(lab, environment, "lock", "-qq", "demo==1.0", "-o", "-")
    assert (done.status, done.out) == (0, sound.out), done
    assert lab.bodies()[0].read_bytes() == (index.root / "demo-1.0-py3-none-any.whl").read_bytes()


@pytest.mark.parametrize("command", ["download", "wheel"])
def test_a_damaged_file_that_lies_in_the_folder_is_told(lab: Lab, command: str) -> None:
    """pip takes a file that is there already, if no hash is stated."""
    index, environment = _index(lab), lab.environment()
    index.hashes = ()
    house = lab.root / "house"
    house.mkdir()
    made = wheel(house, "demo", "1.0", "good", padding=_PADDING)
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("more.py", "")
    done = _run(lab, environment, command, {"download": "-d", "wheel": "-w"}[command], "house", "demo==1.0")
    assert done.status == 0, done
    (line,) = done.said
    assert line.startswith(f"pip succeeded, but {made} is damaged (")


def test_a_folder_without_the_pinned_file_is_told(lab: Lab) -> None:
    from pinstall.aftermath import confirm_folder
    from pinstall.invocation import invocation
    from pinstall.model.pins import collect

    wheel(lab.root / "house", "demo", "1.0")
    for words, lines in (
        (["demo==1.0"], []),
        (["demo==2.0"], ["no file of the pinned version"]),
        (["-r", "r.txt"], ["no file with a pinned hash"]),
    ):
        (lab.root / "r.txt").write_text(f"demo==1.0 --hash=sha256:{'0' * 64}\n")
        argv = ["-d", str(lab.root / "house"), *(str(lab.root / word) if word == "r.txt" else word for word in words)]
        call = invocation.read(argv, lab.environ, str(lab.root), (26, 3), "download")
        found = confirm_folder.confirm(collect(call.lines, {}).pins, call)
        assert [line in one.line for line, one in zip(lines, found, strict=True)] == [True] * len(lines)


def test_a_folder_in_the_home_is_found(lab: Lab) -> None:
    _index(lab)
    done = _run(lab, lab.environment(), "download", "--no-deps", "--dest=~/house", "demo==1.0")
    assert (done.status, done.said) == (0, [])


def test_a_python_in_a_configuration_file_is_not_checked(lab: Lab) -> None:
    _index(lab)
    environment, other = lab.environment(), lab.environment()
    (lab.root / "pip.conf").write_text(f"[global]\npython = {other.folder}\n")
    done = _run(lab, environment, "install", "demo==1.0", PIP_CONFIG_FILE=str(lab.root / "pip.conf"))
    assert (done.status, environment.installed("demo"), other.installed("demo")) == (0, "", "1.0 good"), done
    assert [
        line.startswith("this install was not checked: the option python in pip's configuration") for line in done.said
    ] == [True]


def test_the_option_for_a_python_replaces_that_of_a_configuration_file(lab: Lab) -> None:
    _index(lab)
    environment, other, named = lab.environment(), lab.environment(), lab.environment()
    (lab.root / "pip.conf").write_text(f"[global]\npython = {other.folder}\n")
    words = ["--python", str(named.folder), "install", "demo==1.0"]
    done = _run(lab, environment, *words, PIP_CONFIG_FILE=str(lab.root / "pip.conf"))
    assert (done.status, done.said, other.installed("demo"), named.installed("demo")) == (0, [], "", "1.0 good"), done


def test_options_may_stand_before_the_command(lab: Lab) -> None:
    _index(lab)
    environment = lab.environment()
    done = _run(lab, environment, "-v", "--cache-dir", str(lab.root / "other"), "install", "demo==1.0")
    assert (done.status, environment.installed("demo")) == (0, "1.0 good"), done
    assert (lab.root / "other").is_dir()
    assert not lab.cache.exists()


_OTHERS = [["--version"], ["-V"], ["list"], ["freeze", "--all"], ["help"], ["help", "install"], ["-h"], ["--help", "install"]]
_OTHERS += [["nosuch"], [], ["-v"], ["--nosuch", "install", "x"], ["show", "pip"], ["--python", "nowhere", "list"]]


@pytest.mark.parametrize("words", _OTHERS, ids=" ".join)
def test_other_commands_are_pips_own(lab: Lab, words: list[str]) -> None:
    environment = lab.environment()
    bare, done = (lab.run([environment.folder / "bin" / name, *words]) for name in ("pip", "pinstall-pip"))
    assert (done.status, done.out, done.err) == (bare.status, bare.out, bare.err)


def test_completion_is_pips_own(lab: Lab) -> None:
    environment = lab.environment()
    variables = {"PIP_AUTO_COMPLETE": "1", "COMP_WORDS": "pip install --no-b", "COMP_CWORD": "2"}
    bare, done = (
        lab.run([environment.folder / "bin" / name, *words], **variables)
        for name, *words in (["pip"], ["pinstall-pip", "install"])
    )
    assert (done.status, done.out, done.err) == (bare.status, bare.out, bare.err)
    assert "--no-build-isolation" in done.out


_SHELLS = {"bash": ["bash", "--norc", "-O", "expand_aliases"], "zsh": ["zsh", "-f"], "fish": ["fish", "--no-config"]}
_DAY = """alias pip=pinstall-pip
pip --version
pip install -q demo==1.0
pip download -q -d house demo==1.0
pip wheel -q -w wheels built==1.0
pip freeze
pip uninstall -qy demo
pip install -q nosuch==1 2>/dev/null || echo failed
pip install -q "demo == 1.0" --target there
"""


@pytest.mark.parametrize("shell", _SHELLS)
def test_an_alias_serves_for_a_day(lab: Lab, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    _index(lab)
    environment = lab.environment()
    (lab.root / "day").write_text(_DAY)
    done = lab.run([*_SHELLS[shell], "day"], PATH=f"{environment.folder / 'bin'}:{lab.environ['PATH']}")
    assert done.status == 0, done
    lines = done.out.splitlines()
    assert lines[0].startswith("pip 26.3 from ")
    assert "demo==1.0" in lines
    assert lines[-1] == "failed"
    assert environment.installed("demo") == ""
    assert [path.name for folder in ("house", "wheels") for path in (lab.root / folder).iterdir()] == [
        "demo-1.0-py3-none-any.whl",
        "built-1.0-py3-none-any.whl",
    ]
    assert (lab.root / "there" / "demo.py").exists()
