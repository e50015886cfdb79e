"""Compare how pip and pinstall read one call, in a sandbox of files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from hypothesis import settings

from pinstall.invocation import invocation, options, pip_config
from pinstall.invocation.options import UnreadableCallError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pinstall.invocation.invocation import Invocation
    from pinstall.invocation.requirements_files import RequirementLine
    from tests.beliefs.conftest import Judge

EXAMPLES = int(os.environ.get("PINSTALL_TEST_EXAMPLES", "30"))
SETTINGS = settings(max_examples=EXAMPLES, deadline=None)

# Values that pip checks and pinstall does not: pip refuses such a call, so that nothing is lost.
_VALUE_CHECKS = (
    "Allowed hash algorithms for --hash",
    "Arguments to --hash must be",
    "Arguments to --config-settings must be",
    "Arguments to -C must be",
    "SystemExit: 3",  # a value in the configuration is of the wrong type
    "invalid choice",
    "invalid integer value",
    "invalid float value",
    "--no-binary / --only-binary option requires 1 argument",
    "--refresh-package option requires 1 argument",
    "--require-hashes and --no-require-hashes are mutually exclusive",
    "Editable requirements are not allowed as constraints",
    "It is not possible to use --no-use-pep517",  # without setuptools and wheel
    "A value was passed for --no-use-pep517",
    "Cannot resolve '--group' option",  # the file is missing
)
# Options whose values pip converts while it reads them; pinstall keeps the text.
_TAKEN_APART = {
    "format_control",
    "all_releases",
    "only_final",
    "config_settings",
    "python_version",
    "refresh_package",
} | {
    "dependency_groups",
    "uploaded_prior_to",
    "cache_dir",
    "hashes",
}
_PATHS = {"src_dir", "log", "cert", "client_cert"}
_NUMBERS = {"retries", "timeout", "resume_retries"}


class Sandbox:
    """A home, a prefix and a working folder below *root*, and the environment variables that point to them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.home, self.prefix, self.folder = (str(root / name) for name in ("home", "prefix", "folder"))
        for folder in (self.home, self.prefix, self.folder):
            Path(folder).mkdir(parents=True, exist_ok=True)

    @property
    def environ(self) -> dict[str, str]:
        return {"HOME": self.home, "XDG_CONFIG_DIRS": str(self._root / "etc")}

    def write(self, name: str, content: str | bytes) -> str:
        """Write a file below the folder and return its path."""
        path = Path(self.folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def configure(self, place: str, content: str) -> dict[str, str]:
        """Write one of pip's configuration files; return the environment variables that make pip read it."""
        path = {
            "site": Path(self.prefix) / "pip.conf",
            "user": Path(self.home) / ".config" / "pip" / "pip.conf",
            "legacy": Path(self.home) / ".pip" / "pip.conf",
            "global": self._root / "etc" / "pip" / "pip.conf",
            "own": self._root / "own.conf",
        }[place]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("latin-1"))
        return {"PIP_CONFIG_FILE": str(path)} if place == "own" else {}

    @contextlib.contextmanager
    def entered(self, environ: dict[str, str]) -> Iterator[dict[str, str]]:
        with mock.patch.dict(os.environ, environ, clear=True), contextlib.chdir(self.folder):
            yield environ

    def places(self, environ: dict[str, str], *, isolated: bool) -> tuple[list[str], str]:
        """Return the configuration files and the default cache folder that pinstall expects pip to use."""
        with self.entered(environ):
            return pip_config.files(environ, self.prefix, isolated=isolated), pip_config.cache_folder(environ)

    def read(
        self, argv: list[str], environ: dict[str, str], pip: options.Version, command: str = "install"
    ) -> Invocation | UnreadableCallError:
        """Read a call as pinstall does; return the error if pinstall cannot read it."""
        try:
            with self.entered(environ):
                return invocation.unlocked(invocation.read(argv, environ, self.prefix, pip, command), {}, None)
        except UnreadableCallError as error:
            return error


def compare(
    judges: Iterable[Judge], sandbox: Sandbox, argv: list[str], environ: dict[str, str] | None = None, command: str = "install"
) -> None:
    """Assert that pinstall reads the call of a *command* as each pip in *judges* does."""
    for judge in judges:
        if command != "lock" or judge.version >= (25, 1):
            _compare(judge, sandbox, argv, environ, command)


def _compare(judge: Judge, sandbox: Sandbox, argv: list[str], environ: dict[str, str] | None, command: str) -> None:
    variables = {**sandbox.environ, **(environ or {})}
    theirs = judge.ask("call", argv=argv, environ=variables, prefix=sandbox.prefix, folder=sandbox.folder, name=command)
    ours = sandbox.read(argv, variables, judge.version, command)
    if isinstance(ours, UnreadableCallError):
        assert theirs is None, f"pip {judge.name} reads what we refuse: {ours}"
        return
    if theirs is None:
        assert any(check in judge.reason for check in _VALUE_CHECKS), f"pip {judge.name}: {judge.reason}"
        return
    assert ours.unread == ()
    # pip before 26 accepts a blank argument at first, and fails on it later.
    lines = [line for line in theirs["lines"] if line["text"].strip() or line["file"] or line["editable"]]
    # pip reads the requirements of a local project only later.
    stated = [line for line in ours.lines if not line.place.endswith("pyproject.toml")]
    if judge.version < (23, 1):  # pip before 23.1 keeps only the last value of a key
        lines, stated = [{**line, "settings": []} for line in lines], [line._replace(settings=()) for line in stated]
    assert [_line(line, sandbox.folder) for line in stated] == lines, f"pip {judge.name}"
    assert list(ours.index_urls) == theirs["index_urls"]
    assert list(ours.find_links) == theirs["find_links"]
    assert ours.cache_dir == theirs["cache_dir"]
    assert ours.verbosity == theirs["verbosity"]
    with sandbox.entered(variables):
        _compare_values(ours, theirs)


def _compare_values(ours: Invocation, theirs: dict[str, Any]) -> None:
    assert {name: sorted(names) for name, names in ours.formats._asdict().items()} == theirs["formats"]
    assert sorted(ours.refreshed) == theirs["values"].get("refresh_package", [])
    written = [text.partition("=") for text in ours.values.get("config_settings") or ()]
    for key, held in (theirs["values"].get("config_settings") or {}).items():  # pip 23.0 keeps only the last value of a key
        expected = [value for name, _, value in written if name == key]
        assert (expected if isinstance(held, list) else expected[-1:]) == (held if isinstance(held, list) else [held])
    assert {key for key, _, _ in written} == set(theirs["values"].get("config_settings") or {})
    for dest, value in ours.values.items():
        if dest in _TAKEN_APART or (dest == "version" and dest not in theirs["values"]):
            continue
        expected = theirs["values"][dest]
        if value is None:
            assert expected == theirs["defaults"][dest], dest
        elif dest in _PATHS:
            assert os.path.expanduser(value) == expected, dest
        elif dest in _NUMBERS:
            assert float(value) == float(expected), dest
        else:
            assert value == expected, dest


def _line(line: RequirementLine, folder: str) -> dict[str, Any]:
    file, _, number = line.place.rpartition(", line ")
    return {
        "text": line.text,
        "file": os.path.abspath(os.path.join(folder, file)) if file else "",
        "number": int(number) if file else 0,
        "constraint": line.constraint,
        "editable": line.editable,
        "hashes": [] if line.editable else list(line.hashes),
        "settings": [] if line.editable else sorted(line.settings),
        **({"locked": line.locked} if line.locked else {}),
    }
