"""Calls for which pip has nothing to do: forwarded without a look into the cache, and confirmed all the same."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pinstall.checks import satisfied
from pinstall.invocation.format_control import FormatControl
from pinstall.invocation.invocation import PYPI, Invocation
from pinstall.invocation.requirements_files import RequirementLine, UnreadSource
from pinstall.model.pins import collect
from tests.lab import VERSIONS
from tests.packages import wheel

if TYPE_CHECKING:
    from tests.lab import Lab

_INSTALLED = {"demo": "1.0", "other": "2.0+cpu"}


class _Environment:
    def installed_version(self, project: str) -> str | None:
        return _INSTALLED.get(project)


def _call(*lines: RequirementLine, **changes: Any) -> Invocation:
    return Invocation("install", lines, (), (PYPI,), (), "/cache", 0, {}, FormatControl(), ())._replace(**changes)


_SATISFIED = [
    [RequirementLine("demo==1.0", "argument")],
    [
        RequirementLine("Demo[x]== 1.0 ; python_version < '3'", "r.txt, line 1"),
        RequirementLine("other==2.0+cpu", "r.txt, line 2"),
    ],
    [RequirementLine("demo==1.0", "argument"), RequirementLine("demo==1.0", "c.txt, line 1", constraint=True)],
]
_NOT = [
    [],
    [RequirementLine("demo", "argument")],
    [RequirementLine("demo==1", "argument")],  # it is, but packaging is to say so
    [RequirementLine("demo==1.0", "argument"), RequirementLine("demo==2.0", "argument")],
    [RequirementLine("other==2.0", "argument")],  # another local version may be offered
    [RequirementLine("third==1.0", "argument")],
    [RequirementLine("demo==1.0", "argument", hashes=("sha256:00",))],
    [RequirementLine("demo==1.0", "lock", locked="https://h/demo-1.0.tar.gz")],
    [RequirementLine("demo==1.0", "argument", editable=True)],
    [RequirementLine("demo @ https://h/demo-1.0.tar.gz", "argument")],
]


@pytest.mark.parametrize("lines", _SATISFIED, ids=lambda lines: "  ".join(line.text for line in lines))
def test_satisfied_calls(lines: list[RequirementLine]) -> None:
    call = _call(*lines)
    environment: Any = _Environment()
    assert satisfied.is_satisfied(call, environment)
    # What is said without packaging is what is said with it.
    assert satisfied.unsatisfied(call, collect(lines, {}).pins, environment) == []


@pytest.mark.parametrize("lines", _NOT, ids=lambda lines: "  ".join(line.text for line in lines) or "nothing")
def test_other_calls(lines: list[RequirementLine]) -> None:
    environment: Any = _Environment()
    assert not satisfied.is_satisfied(_call(*lines), environment)


@pytest.mark.parametrize(
    "changes",
    [
        {"index_urls": (PYPI, "https://h/simple")},
        {"find_links": ("/links",)},
        {"unread": (UnreadSource("/dev/fd/63", "a pipe"),)},
        {"values": {"force_reinstall": True}},
        {"values": {"target_dir": "x"}},
        {"values": {"upgrade": True}},
    ],
    ids=str,
)
def test_calls_that_may_do_more(changes: dict[str, Any]) -> None:
    environment: Any = _Environment()
    assert not satisfied.is_satisfied(_call(*_SATISFIED[0], **changes), environment)


@pytest.mark.parametrize("pip", VERSIONS)
def test_pip_opens_no_cache_for_what_is_satisfied(lab: Lab, pip: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    environment = lab.environment(pip)
    (lab.root / "requirements.txt").write_text("demo==1.0\n")
    words = ("-i", index.url, "-r", "requirements.txt")
    lab.pip(environment, *words)
    (lab.cache).rename(lab.root / "elsewhere")
    index.forget()
    done = lab.pinstall(environment, *words)
    assert (done.status, done.said) == (0, [])
    assert "already satisfied" in done.out
    assert (index.requests, lab.cache.exists()) == ([], False)


def test_what_pip_changes_nevertheless_is_confirmed(lab: Lab) -> None:
    """A stand-in for a pip that says "satisfied" and removes what was."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    environment = lab.environment()
    lab.pip(environment, "-i", index.url, "demo==1.0")
    site = next(environment.folder.glob("lib/python*/site-packages"))
    package = lab.root / "stand-in" / "pip"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"import shutil\nshutil.rmtree({str(site / 'demo-1.0.dist-info')!r})\n")
    (site / "a.pth").write_text(f"import sys; sys.path.insert(0, {str(package.parent)!r})\n")
    done = lab.pinstall(environment, "demo==1.0")
    assert done.status == 90
    assert len(done.said) == 1
    assert done.said[0].startswith("pip succeeded, but ")


def test_a_satisfied_call_loads_neither_packaging_nor_filelock(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    environment = lab.environment()
    (lab.root / "requirements.txt").write_text("demo==1.0\n")
    words = ["-i", index.url, "-r", "requirements.txt"]
    lab.pip(environment, *words)
    command = [environment.python, "-X", "importtime", environment.pinstall, *words]
    done = subprocess.run(command, cwd=lab.root, env=lab.environ, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "pinstall.checks.satisfied" in loaded
    assert {name for name in loaded if name.partition(".")[0] in ("packaging", "filelock", "msgpack", "elftools")} == set()
