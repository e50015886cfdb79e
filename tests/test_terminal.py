"""pip has the same terminal as pinstall, and keys end pinstall as they end pip."""

from __future__ import annotations

import os
import pty
import select
import socket
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests.lab import flip
from tests.packages import wheel
from tests.test_forward import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.lab import Environment, Lab

CTRL_C, CTRL_BACKSLASH = b"\x03", b"\x1c"
# A stand-in for the shell. It leads the session, because the end of the session's leader hangs up the terminal; it survives the
# keys, and prints the command's status. Its read of the pipe ends when no process is left that inherited the other end.
_SHELL = r"""
import os, resource, signal, subprocess, sys, termios
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for number in (signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, lambda *_: None)
before = termios.tcgetattr(0)
alive, inherited = os.pipe()
status = subprocess.Popen(sys.argv[1:], pass_fds=[inherited]).wait()
os.close(inherited)
os.read(alive, 1)
restored = termios.tcgetattr(0) == before
print(f"status {128 - status if status < 0 else status}, terminal {'restored' if restored else 'changed'}\x04", flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """The output of a command at a terminal, and its ``end``: the status and state that the shell prints."""

    out: str
    end: str


class Terminal:
    """A pseudo terminal of 33 lines and 77 columns, and a command that runs at it."""

    def __init__(self, lab: Lab, command: Iterable[str | Path], **variables: str) -> None:
        self._seen = b""
        child, self._terminal = pty.fork()
        if child == 0:  # pragma: no cover
            termios.tcsetwinsize(0, (33, 77))
            os.chdir(lab.root)
            words = [sys.executable, "-c", _SHELL, *map(str, command)]
            os.execve(sys.executable, words, {**lab.environ, "TERM": "xterm-256color", **variables})
        self._child = child

    def wait_for(self, wanted: str) -> None:
        """Read until *wanted* has been written."""
        end = time.monotonic() + 60
        while wanted.encode() not in self._seen:
            assert b"\x04" not in self._seen, self._seen
            assert select.select([self._terminal], [], [], max(0, end - time.monotonic()))[0], self._seen
            self._seen += os.read(self._terminal, 4096)

    def press(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def ended(self) -> Ended:
        """Wait until no process of the command is left; return its output and end."""
        self.wait_for("\x04")
        os.close(self._terminal)
        os.waitpid(self._child, 0)
        out, status, end = self._seen.decode().replace("\r\n", "\n").partition("\x04")[0].rpartition("status ")
        return Ended(out, status + end)


def _both(environment: Environment) -> list[list[str]]:
    """Return the commands of bare pip and of pinstall; bare pip as a module, because a stand-in has no script."""
    return [[environment.python, "-m", "pip", "install", "demo"], [environment.pinstall, "demo"]]


def test_pip_sees_the_terminal(lab: Lab) -> None:
    environment = lab.environment()
    stand_in(
        environment, "print([(os.isatty(fd), *os.get_terminal_size(fd)) for fd in (0, 1, 2)], os.ttyname(0) == os.ttyname(2))"
    )
    bare, ours = (Terminal(lab, command).ended() for command in _both(environment))
    assert ours == bare
    assert ours.out == f"{[(True, 77, 33)] * 3} True\n"


_FAILING = ["--no-index", "nothing==1"]


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (_FAILING, {}),
        (_FAILING, {"NO_COLOR": "1"}),
        (_FAILING, {"TERM": "dumb"}),
        (["--help"], {"COLUMNS": "100"}),
        (["--no-such-option"], {}),
    ],
    ids=str,
)
def test_colours_and_width_are_those_of_bare_pip(lab: Lab, words: list[str], variables: dict[str, str]) -> None:
    environment = lab.environment()
    bare = Terminal(lab, [environment.pip, "install", *words], **variables).ended()
    ours = Terminal(lab, [environment.pinstall, *words], **variables).ended()
    assert ours.out.endswith(bare.out)
    assert ours.end == bare.end
    assert ours.out == bare.out or words == ["--help"]  # pinstall's help comes before pip's
    assert variables or "\x1b[" in bare.out


@pytest.mark.parametrize(("keys", "name"), [(CTRL_C, "SIGINT"), (CTRL_BACKSLASH, "SIGQUIT")])
def test_a_key_reaches_pip_once(lab: Lab, keys: bytes, name: str) -> None:
    environment = lab.environment()
    stand_in(
        environment,
        f"got = []\nsignal.signal(signal.{name}, lambda *_: got.append(1))\nprint('ready', flush=True)\n"
        "end = time.monotonic() + 60\nwhile not got and time.monotonic() < end: time.sleep(0.01)\n"
        "time.sleep(0.5)\nprint(len(got), 'times', flush=True)",
    )
    terminal = Terminal(lab, [environment.pinstall, "demo"])
    terminal.wait_for("ready")
    terminal.press(keys)
    ended = terminal.ended()
    assert "1 times" in ended.out
    assert ended.end == "status 0, terminal restored"


def test_ctrl_c_while_pip_waits_for_the_index(lab: Lab) -> None:
    environment = lab.environment()
    ends = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = ["-i", f"http://127.0.0.1:{server.getsockname()[1]}/simple/", "demo==1.0"]
        server.settimeout(60)
        for command in ([environment.pip, "install"], [environment.pinstall]):
            terminal = Terminal(lab, [*command, *words])
            with server.accept()[0] as connection:
                assert connection.recv(1)
                terminal.press(CTRL_C)
                ends.append(terminal.ended())
    bare, ours = ends
    assert ours == bare
    assert "Operation cancelled by user" in ours.out
    assert ours.end == "status 1, terminal restored"


@pytest.mark.parametrize("keys", [CTRL_C, CTRL_BACKSLASH], ids=["Ctrl-C", "Ctrl-Backslash"])
def test_keys_at_pips_password_prompt(lab: Lab, keys: bytes) -> None:
    """The prompt switches the echo off; after Ctrl-Backslash pip leaves it off."""
    environment = lab.environment()
    index = lab.index()
    index.user = "somebody:secret"
    ends = []
    for command in ([environment.pip, "install"], [environment.pinstall]):
        terminal = Terminal(lab, [*command, "-i", index.url, "demo==1.0"], PIP_NO_INPUT="")
        terminal.wait_for("User for ")
        terminal.press(b"somebody\n")
        terminal.wait_for("Password: ")
        terminal.press(keys)
        ends.append(terminal.ended())
    bare, ours = ends
    assert ours == bare
    assert ours.end == {CTRL_C: "status 1, terminal restored", CTRL_BACKSLASH: "status 131, terminal changed"}[keys]


def test_a_typed_password(lab: Lab) -> None:
    environment = lab.environment()
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    index.user = "somebody:secret"
    terminal = Terminal(lab, [environment.pinstall, "-i", index.url, "demo==1.0"], PIP_NO_INPUT="")
    terminal.wait_for("User for ")
    terminal.press(b"somebody\n")
    terminal.wait_for("Password: ")
    terminal.press(b"secret\n")
    assert terminal.ended().end == "status 0, terminal restored"
    assert environment.installed("demo") == "1.0 1.0"


_CLEANS_UP = """
try:
    say("ready")
except KeyboardInterrupt:
    try:
        say("cleaning")
    except {}:
        {}
"""
# The reaction of pip to the second key, and its status then.
_TWICE = {
    "killed": (_CLEANS_UP.format("KeyboardInterrupt", "os.kill(os.getpid(), signal.SIGKILL)"), 137),
    "gives up": (_CLEANS_UP.format("KeyboardInterrupt", "sys.exit(1)"), 1),
    "uncaught": (_CLEANS_UP.format("ValueError", "pass"), 130),
}


@pytest.mark.parametrize("kind", _TWICE)
def test_ctrl_c_twice(lab: Lab, kind: str) -> None:
    environment = lab.environment()
    code, status = _TWICE[kind]
    stand_in(environment, f"def say(word):\n    print(word, flush=True)\n    for _ in range(1200): time.sleep(0.1)\n\n{code}")
    ends = []
    for command in _both(environment):
        terminal = Terminal(lab, command)
        for wanted in ("ready", "cleaning"):
            terminal.wait_for(wanted)
            terminal.press(CTRL_C)
        ends.append(terminal.ended())
    bare, ours = ends
    assert ours.end == bare.end == f"status {status}, terminal restored"
    assert ours.out.count("Traceback") == bare.out.count("Traceback")
    assert "pinstall" not in ours.out


_YELLOW, _RED, _END = "\033[33m", "\033[31m", "\033[0m"


def _said(lab: Lab, environment: Environment, *words: str | Path, **variables: str) -> list[str]:
    """Return the lines that pinstall prints at a terminal, with their colours."""
    ended = Terminal(lab, [environment.pinstall, *words], **variables).ended()
    return [line for line in ended.out.splitlines() if "pinstall: " in line]


def test_warnings_are_yellow_and_errors_red(lab: Lab) -> None:
    """As pip's. Notes have no colour."""
    environment, index = lab.environment(), lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    wheel(index.root, "demo", "2.0", requires=["nothing-like-it"])
    lab.pip(environment, "-i", index.url, "--target", lab.root / "there", "demo==1.0")
    flip(lab.bodies()[0])
    note, warning = "pinstall: pip failed again without ", "pinstall: removed demo-1.0-py3-none-any.whl "
    (said,) = _said(lab, environment, "-i", index.url, "demo==1.0")
    assert said.startswith(_YELLOW + warning)
    assert said.endswith(_END)
    (said,) = _said(lab, environment, "-i", f"{index.base}/nothing", "demo==1.0", PINSTALL_REPORT="no/such/folder")
    assert (
        said
        == f"{_RED}pinstall: the report no/such/folder (PINSTALL_REPORT) could not be written (No such file or directory){_END}"
    )
    lab.pip(environment, "-i", index.url, "--target", lab.root / "other", "--no-deps", "demo==2.0")
    (said,) = [line for line in _said(lab, environment, "-i", index.url, "demo==2.0") if "failed again" in line]
    assert said.startswith(note)


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        ([], {"NO_COLOR": "1"}),
        ([], {"PIP_NO_COLOR": "1"}),
        ([], {"TERM": "dumb"}),
        ([], {"PIP_CONFIG_FILE": "pip.conf"}),
        (["--no-color"], {}),
        (["2>", "err"], {}),
    ],
    ids=str,
)
def test_no_colours_if_they_are_disabled_or_unsupported(lab: Lab, words: list[str], variables: dict[str, str]) -> None:
    environment = lab.environment()
    (lab.root / "pip.conf").write_text("[global]\nno-color = true\n")
    command = " ".join([environment.pinstall, "--no-index", "-r", "/dev/null", *words])
    shell = ["/bin/sh", "-c", f"{command}; cat err 2>&-"]
    ended = Terminal(lab, shell, PINSTALL_REPORT="no/such/folder", **variables).ended()
    assert (
        "\npinstall: the report no/such/folder (PINSTALL_REPORT) could not be written (No such file or directory)\n"
        in ended.out
    )


@pytest.mark.parametrize(("handler", "status"), [("signal.SIG_DFL", 131), ("lambda *_: sys.exit(7)", 7), ("signal.SIG_IGN", 0)])
def test_ctrl_backslash(lab: Lab, handler: str, status: int) -> None:
    environment = lab.environment()
    stand_in(
        environment,
        f"signal.signal(signal.SIGQUIT, {handler})\nimport select\nprint('ready', flush=True)\n"
        "while not select.select([sys.stdin], [], [], 0.1)[0]: pass",
    )
    ends = []
    for command in _both(environment):
        terminal = Terminal(lab, command)
        terminal.wait_for("ready")
        terminal.press(CTRL_BACKSLASH)
        if status == 0:
            terminal.press(b"\n")
        ends.append(terminal.ended())
    bare, ours = ends
    assert ours == bare
    assert ours.end == f"status {status}, terminal restored"


@pytest.mark.parametrize(("keys", "status"), [(CTRL_C, 130), (CTRL_BACKSLASH, 131)])
def test_keys_while_pinstall_waits_for_the_lock(lab: Lab, keys: bytes, status: int) -> None:
    """A pip process has started already, and waits for its arguments."""
    environment = lab.environment()
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(environment, "-i", index.url, "--target", lab.root / "there", "demo==1.0")
    flip(lab.bodies()[0])
    (lab.cache / "pinstall").mkdir()
    with FileLock(lab.cache / "pinstall" / "lock"):
        command = [environment.pinstall, "--no-color", "-i", index.url, "demo==1.0"]
        terminal = Terminal(lab, command, PINSTALL_LOCK_TIMEOUT="100")
        terminal.wait_for("waiting for")
        terminal.wait_for("\n")
        terminal.press(keys)
        ended = terminal.ended()
    assert ended.end == f"status {status}, terminal restored"
    assert ended.out.startswith("pinstall: waiting for ")
    assert ended.out.count("\n") == 1  # the key's echo follows it
    assert environment.installed("demo") == ""


# Makes pinstall read cache entries as slowly as from a bad disk, and show the progress for small ones, too.
_SLOWLY = """
import io, sys, time
if sys.argv[0].endswith("pinstall"):
    from pinstall import terminal
    from pinstall.pip_cache import entries

    class Slow(io.BytesIO):
        def read(self, size=-1):
            time.sleep(0.1)
            return super().read(min(size, 500) if size > 0 else size)

    fast = entries.open_content

    def open_content(entry):
        with fast(entry) as file:
            return Slow(file.read())

    entries.open_content = open_content
    terminal._LARGE_FILE = 10_000
"""


@pytest.fixture
def slow(lab: Lab) -> Environment:
    """An environment whose pinstall reads the cache slowly. The cache has demo and part, which demo needs."""
    index = lab.index()
    wheel(index.root, "part", "1.0", padding=20_000)
    wheel(index.root, "demo", "1.0", requires=["part"])
    lab.environ["PIP_INDEX_URL"] = index.url
    lab.pip(lab.environment(), "demo==1.0")
    environment = lab.environment()
    (site,) = environment.folder.glob("lib/python*/site-packages")
    (site / "slowly.py").write_text(_SLOWLY)
    (site / "zz.pth").write_text("import slowly\n")
    return environment


def _left(lab: Lab) -> list[Path]:
    return [path for name in ("calls", "views") for path in (lab.cache / "pinstall" / name).glob("*")]


def test_ctrl_c_during_a_long_verification(lab: Lab, slow: Environment) -> None:
    before = sorted((path, path.read_bytes()) for path in lab.bodies())
    terminal = Terminal(lab, [slow.pinstall, "part==1.0"])
    terminal.wait_for("pinstall: checking part-1.0-py3-none-any.whl")
    terminal.press(CTRL_C)
    ended = terminal.ended()
    assert ended.end == "status 130, terminal restored"
    assert "Traceback" not in ended.out
    assert sorted((path, path.read_bytes()) for path in lab.bodies()) == before
    assert _left(lab) == []
    environment = lab.environment()
    assert lab.pinstall(environment, "part==1.0").said == []
    assert environment.installed("part") == "1.0 1.0"


def test_ctrl_c_during_a_long_verification_after_a_failure(lab: Lab, slow: Environment) -> None:
    """pip has failed, and its status counts; the next call repairs the cache."""
    flip(max(lab.bodies(), key=lambda body: body.stat().st_size))
    terminal = Terminal(lab, [slow.pinstall, "demo==1.0"])
    terminal.wait_for("DO NOT MATCH")
    terminal.wait_for("pinstall: checking part-1.0-py3-none-any.whl")
    terminal.press(CTRL_C)
    ended = terminal.ended()
    assert ended.end == "status 1, terminal restored"
    assert "Traceback" not in ended.out
    environment = lab.environment()
    assert lab.pinstall(environment, "demo==1.0").said[-1].startswith("the cache was to blame, and is repaired now: ")
    assert environment.installed("part") == "1.0 1.0"
    assert _left(lab) == []
