"""pinstall reads dependency groups, scripts and lock files as pip does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.beliefs.calls import compare
from tests.lab import needs

if TYPE_CHECKING:
    from tests.beliefs.calls import Sandbox
    from tests.beliefs.conftest import Judge

_GROUPS = """
[dependency-groups]
Test = ["a==1.0", {include-group = "more"}, 'b[x]>=2; python_version > "3"']
more = ["c==3", "d @ https://host/d-1.tar.gz"]
empty = []
loop = [{include-group = "pool"}]
pool = [{include-group = "loop"}]
lost = [{include-group = "nowhere"}]
bad = ["=="]
text = "a"
number = [3]
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--group", "test"],
        ["--group", "TEST", "a==1.0"],
        ["--group=more", "--group", "empty"],
        ["--group", "sub/pyproject.toml:test", "--group", "more"],
        ["--group", "loop"],
        ["--group", "lost"],
        ["--group", "bad"],
        ["--group", "text"],
        ["--group", "number"],
        ["--group", "nowhere"],
        ["--group", "other.toml:test"],
        ["--group", "no/pyproject.toml:test"],
        ["--group", ":test"],
        ["--group", "bare/pyproject.toml:test"],
        ["--group", "broken/pyproject.toml:test"],
    ],
    ids=" ".join,
)
@needs("packaging", "26.1")
def test_dependency_groups(judges: list[Judge], sandbox: Sandbox, arguments: list[str]) -> None:
    for place in ("pyproject.toml", "sub/pyproject.toml", "other.toml"):
        sandbox.write(place, _GROUPS)
    sandbox.write("bare/pyproject.toml", "[project]\nname = 'a'\n")
    sandbox.write("broken/pyproject.toml", "[dependency-groups\n")
    compare([judge for judge in judges if judge.version >= (25, 1)], sandbox, arguments)


@pytest.mark.parametrize(
    "content",
    [
        "# /// script\n# dependencies = ['a==1', 'b>2; sys_platform == \"linux\"']\n# ///\nprint()\n",
        "#!/bin/python\n\n# /// script\n#\n# requires-python = '>=3.8'\n# dependencies = [\n#   'a==1',\n# ]\n# ///\n",
        "# /// script\r\n# dependencies = ['a==1']\r\n# ///\r\n",
        "# /// other\n# dependencies = ['a==1']\n# ///\n",
        "# /// script\n# dependencies = ['a==1']\n# ///\n\n# /// script\n# dependencies = ['b==1']\n# ///\n",
        "# /// script\n# dependencies = [\n# ///\n",
        "# /// script\n# requires-python = '>=3'\n# ///\n",
        "print()\n",
        "",
    ],
)
def test_requirements_from_scripts(judges: list[Judge], sandbox: Sandbox, content: str) -> None:
    path = sandbox.write("script.py", content)
    compare([judge for judge in judges if judge.version >= (26, 0)], sandbox, ["--requirements-from-script", path])


_LOCK = """
lock-version = "1.0"
created-by = "tests"
default-groups = ["main"]
extras = ["plus"]
dependency-groups = ["main", "dev"]

[[packages]]
name = "wheel-and-sdist"
version = "1.0"
sdist = {url = "https://host/wheel_and_sdist-1.0.tar.gz", hashes = {sha256 = "aa"}}
wheels = [
  {url = "https://host/a/wheel_and_sdist-1.0-cp27-none-any.whl", hashes = {md5 = "bb"}},
  {url = "https://host/wheel_and_sdist-1.0-py3-none-any.whl", hashes = {sha256 = "cc", md5 = "dd"}},
]

[[packages]]
name = "no-version"
wheels = [{name = "no_version-2.0-py3-none-any.whl", path = "files/no_version-2.0-py3-none-any.whl", hashes = {sha256 = "ee"}}]

[[packages]]
name = "archived"
archive = {url = "https://host/archived.zip", subdirectory = "src", hashes = {sha256 = "ff"}}

[[packages]]
name = "versioned"
vcs = {type = "git", url = "https://host/x.git", commit-id = "0123456789012345678901234567890123456789", subdirectory = "src"}

[[packages]]
name = "dev-only"
version = "1"
marker = "'dev' in dependency_groups"
sdist = {url = "https://host/dev_only-1.tar.gz", hashes = {sha256 = "00"}}

[[packages]]
name = "main-only"
version = "1"
marker = "'main' in dependency_groups"
sdist = {url = "https://host/main_only-1.tar.gz", hashes = {sha256 = "00"}}

[[packages]]
name = "plus-only"
version = "1"
marker = "'plus' in extras"
sdist = {url = "https://host/plus_only-1.tar.gz", hashes = {sha256 = "00"}}
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["-r", "pylock.toml"],
        ["-r", "pylock.toml[plus]"],
        ["--group", "pylock.toml:dev"],
        ["--group", "pylock.toml[plus]:dev", "-r", "pylock.toml"],
        ["-r", "sub/pylock.some.toml"],
        ["-r", "sub/pylock.some.toml", "--no-binary", ":all:"],
        ["-r", "pylock.toml", "--no-binary", "wheel_and.sdist,b", "--only-binary", "b"],
        ["-r", "pylock.toml", "--no-binary", ":all:", "--no-binary", ":none:"],
        ["-r", "pylock.no-wheel.toml"],
        ["-r", "pylock.twice.toml"],
        ["-r", "pylock.broken.toml"],
        ["-r", "pylock.missing.toml"],
        ["-r", "pylock.a.b.toml"],
    ],
    ids=" ".join,
)
@needs("packaging", "26.3")
def test_lock_files(judges: list[Judge], sandbox: Sandbox, arguments: list[str]) -> None:
    for place in ("pylock.toml", "sub/pylock.some.toml", "pylock.a.b.toml"):
        sandbox.write(place, _LOCK)
    wheel = '{url = "https://h/only-1-cp27-none-any.whl", hashes = {md5 = "0"}}'
    sandbox.write("pylock.no-wheel.toml", f'{_LOCK}\n[[packages]]\nname = "only"\nversion = "1"\nwheels = [{wheel}]\n')
    sandbox.write("pylock.twice.toml", _LOCK + _LOCK[_LOCK.index("[[packages]]") :])
    sandbox.write("pylock.broken.toml", _LOCK.replace('lock-version = "1.0"', 'lock-version = "7.0"'))
    compare([judge for judge in judges if judge.version >= (26, 3)], sandbox, arguments)
