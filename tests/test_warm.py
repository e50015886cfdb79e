"""Scripts in copies of a process that has loaded pip and pinstall (`tests/warm.py`) find the same as those that are started."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests import warm
from tests.lab import VERSIONS

if TYPE_CHECKING:
    from tests.lab import Environment, Lab

pytestmark = pytest.mark.skipif(warm.COLD, reason="every script is started")

# Prints the constants of all modules that are imported for an install, and the defaults of functions and options.
_PROGRAM = """
import functools, importlib, inspect, json, os, sys

PLAIN = (bool, int, float, str, bytes, type(None), os.PathLike)
LOADED = ("pip._internal", "pinstall", "packaging", "filelock", "msgpack", "tqdm", "elftools")

def told(value, depth=5):
    if not depth:
        return "..."
    if hasattr(value, "cache_info"):
        return value.cache_info().currsize
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return [told(one, depth - 1) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(told(one, depth - 1)) for one in value)
    if isinstance(value, dict):
        return {str(told(key, 1)): told(one, depth - 1) for key, one in list(value.items())}
    if isinstance(value, functools.partial):
        return [told(value.args), told(value.keywords)]
    if inspect.isfunction(value):
        return [told(value.__defaults__, depth - 1), told(value.__kwdefaults__, depth - 1)]
    if inspect.isclass(value):
        return {name: told(one, depth - 1) for name, one in list(vars(value).items()) if not name.startswith("__")}
    return [type(value).__name__, told(getattr(value, "__dict__", {}), depth - 1)]

for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
found = {}
for name, module in list(sys.modules.items()):
    if name.startswith(LOADED):
        for key, value in list(vars(module).items()):
            if not key.startswith("__") and not inspect.ismodule(value):
                found[f"{name}.{key}"] = told(value)
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""


def _constants(lab: Lab, environment: Environment, *, is_warm: bool) -> dict[str, Any]:
    script, found = environment.folder / "bin" / "constants", lab.root / "constants.json"
    script.write_text(f"#!{environment.python}\n{_PROGRAM}")
    script.chmod(0o755)
    words = [str(found), *warm.OF_PIP, *warm.of_pinstall()]
    # What modules may keep of an environment: folders of its user, and settings.
    variables = {
        "HOME": str(lab.root / "home" / "of" / "another"),
        "XDG_CACHE_HOME": str(lab.root / "caches"),
        "XDG_CONFIG_HOME": str(lab.root / "settings"),
        "XDG_DATA_HOME": str(lab.root / "data"),
        "PIP_NO_BINARY": "demo",
        "PINSTALL_STORE_SIZE": "7",
        "NO_COLOR": "1",
        "TMPDIR": str(lab.root / "needs"),
    }
    done = lab._run_warm(environment, str(script), words, variables) if is_warm else lab.run([script, *words], **variables)
    assert (done.status, done.out, done.err) == (0, "", "")
    return dict(json.loads(found.read_bytes()))


@pytest.mark.parametrize("pip", VERSIONS)
def test_modules_keep_nothing_of_another_environment(lab: Lab, pip: str) -> None:
    lab.environ.pop("PIP_CACHE_DIR")
    environment = lab.environment(pip)
    cold, found = (_constants(lab, environment, is_warm=is_warm) for is_warm in (False, True))
    found.pop("pip._internal.network.session.user_agent")  # see warm._spare
    assert {name: (value, cold[name]) for name, value in found.items() if name in cold and value != cold[name]} == {}
    assert set(cold) - set(found) <= {"pip._internal.network.session.user_agent"}
    assert any(os.fspath(lab.root) in json.dumps(value) for value in cold.values())


@pytest.mark.parametrize("change", ["other.pth", "sitecustomize.py", "packaging/__init__.py"])
def test_what_an_environment_may_change_is_imported_anew(lab: Lab, change: str) -> None:
    environment = lab.environment()
    assert _loaded(lab, environment) == "True True True\n"
    path = environment.site / change
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    assert _loaded(lab, environment) == "False False False\n"


def _loaded(lab: Lab, environment: Environment) -> str:
    script = environment.folder / "bin" / "loaded"
    names = ("pip._internal.cli.main", "pinstall.cli", "packaging.version")
    script.write_text(f"#!{environment.python}\nimport sys\nprint(*(name in sys.modules for name in {names}))\n")
    script.chmod(0o755)
    return lab._run_warm(environment, str(script), [], {}).out
