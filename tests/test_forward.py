"""pip receives the same input from pinstall, and returns the same results, as if it were called directly."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pinstall import pip_process
from tests.lab import NEWEST, SPAWNS, VERSIONS, flip
from tests.packages import extension, sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab import Environment, Lab


def stand_in(environment: Environment, code: str) -> None:
    """Replace the pip of an environment by a program."""
    package = environment.folder / "stand-in" / "pip"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"import os, signal, sys, time\n{code}\n")
    site = next(environment.folder.glob("lib/python*/site-packages"))
    (site / "a.pth").write_text(f"import sys; sys.path.insert(0, {str(package.parent)!r})\n")


# Programs in place of pip, and what they are sent to: the interpreter has more to do at their end than to return a status.
_ENDS = {
    "functions of atexit": "from atexit import register; register(print, 'late'); register(int, 'x'); sys.exit(3)",
    "a thread that is no daemon": "import threading; threading.Timer(0.3, print, ['late']).start(); sys.exit(4)",
    "a daemon": "import threading; threading.Thread(target=time.sleep, args=[99], daemon=True).start(); sys.exit(5)",
    "a text": "sys.exit('text')",
    "True": "sys.exit(True)",
    "an exception": "print('first'); 1 / 0",
    "a large status": "sys.exit(-1)",
    "the end of the program": "print('no status')",
    "a closed stream": "print('first', flush=True); sys.stdout.close(); sys.exit(6)",
    "no stream": "sys.stderr = None; print('first'); sys.exit(7)",
    "another stream": "print('first'); sys.stdout = open(os.devnull, 'w'); print('second'); sys.exit(8)",
    "a full disk": "sys.stdout = open('/dev/full', 'w'); print('lost'); sys.exit(9)",
}


@pytest.mark.parametrize("code", _ENDS.values(), ids=_ENDS)
def test_the_end_is_that_of_the_interpreter(lab: Lab, code: str) -> None:
    """pinstall leaves pip's process without the clean-up of its memory."""
    environment = lab.environment()
    stand_in(environment, code)
    bare = lab.run([environment.python, "-m", "pip", "install", "six"])
    ours = lab.pinstall(environment, "six")
    assert (ours.status, ours.out) == (bare.status, bare.out)
    err, expected = (re.sub(r"  File .<(frozen runpy|string)>.*\n", "", text) for text in (ours.err, bare.err))
    assert err == expected


def test_what_the_interpreter_reports_at_its_end_is_reported(lab: Lab) -> None:
    environment = lab.environment()
    stand_in(environment, "kept = open(__file__)")
    for command in ([environment.python, "-m", "pip", "install", "six"], [environment.pinstall, "six"]):
        assert "unclosed file" in lab.run(command, PYTHONWARNINGS="always::ResourceWarning").err


@pytest.mark.parametrize("status", [0, 1, 2, 3, 4, 23, 120])
def test_the_exit_status_of_pip_is_returned(lab: Lab, status: int) -> None:
    environment = lab.environment()
    stand_in(environment, f"sys.exit({status})")
    assert lab.pinstall(environment, "demo").status == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_signal_that_kills_pip_gives_128_plus_its_number(lab: Lab, number: signal.Signals) -> None:
    environment = lab.environment()
    stand_in(environment, f"os.kill(os.getpid(), {int(number)})")
    assert lab.pinstall(environment, "demo").status == 128 + number


def test_arguments_reach_pip_unchanged(lab: Lab) -> None:
    environment = lab.environment()
    stand_in(environment, "print(sys.argv)")
    arguments = ["-qq", "a b", "--", "", "é", "--no-such", "*"]
    assert lab.pinstall(environment, *arguments).out == f"{['pip', 'install', *arguments]}\n"


def test_pip_itself_reports_usage_errors(lab: Lab) -> None:
    environment = lab.environment()
    for arguments in (["--no-such-option", "demo"], ["-r"], ["--index", "x"], []):
        bare = lab.run([environment.pip, "install", *arguments])
        done = lab.pinstall(environment, *arguments)
        assert (done.status, done.out, done.err) == (bare.status, bare.out, bare.err)
        assert bare.status != 0


def test_an_unknown_option_is_forwarded_and_reported(lab: Lab) -> None:
    environment = lab.environment()
    stand_in(environment, "print(sys.argv)")
    done = lab.pinstall(environment, "--option-of-2030", "demo==1")
    assert done.out == "['pip', 'install', '--option-of-2030', 'demo==1']\n"
    assert done.said == [
        "this install was not checked: pip accepts the option --option-of-2030, which pinstall does not know; upgrade pinstall"
    ]


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">&- 2>&- <&-"])
def test_the_cache_is_checked_even_if_standard_streams_are_closed(lab: Lab, redirection: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    flip(lab.bodies()[0])
    environment = lab.environment()
    lab.run(["sh", "-c", f"exec {environment.pinstall} -i {index.url} demo==1.0 {redirection}"])
    assert environment.installed("demo") == "1.0 1.0"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_signals_are_passed_on_to_pip(lab: Lab, number: signal.Signals) -> None:
    environment = lab.environment()
    stand_in(
        environment,
        f"signal.signal({int(number)}, lambda *_: (os.write(1, b'pip got it\\n'), os._exit(7)))\n"
        # Short sleeps: a signal that comes just before one begins is handled when it ends.
        "os.write(1, b'ready\\n')\nfor _ in range(600): time.sleep(0.1)",
    )
    process = subprocess.Popen(
        [environment.pinstall, "demo"], env=lab.environ, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == "pip got it\n"
    assert process.returncode == 7


_GONE = ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh"]


_ABSENT = ["--no-index", "demo==1.0"]


@pytest.mark.parametrize(
    ("arguments", "pip"),
    [(_ABSENT, VERSIONS[0]), (_ABSENT, NEWEST), (["--help"], NEWEST), (["--no-such-option"], NEWEST), ([], NEWEST)],
    ids=str,
)
def test_in_a_deleted_folder_the_result_is_that_of_pip(lab: Lab, arguments: list[str], pip: str) -> None:
    environment = lab.environment(pip)
    bare = lab.run([*_GONE, environment.pip, "install", *arguments])
    for command in ([environment.pinstall], [environment.python, "-m", "pinstall"]):
        done = lab.run([*_GONE, *command, *arguments])
        assert (done.status, done.err) == (bare.status, bare.err)
        assert done.out == bare.out or (arguments == ["--help"] and done.out.endswith(bare.out))


def test_in_a_deleted_folder_pythonpath_comes_first(lab: Lab) -> None:
    """The first folder of Python's path is that of PYTHONPATH then, not the current folder."""
    if SPAWNS:
        pytest.skip("the code by which the tests prevent forks imports json itself")
    (lab.root / "json.py").write_text("raise SystemExit('found')\n")
    done = lab.run([*_GONE, lab.environment().python, "-m", "pinstall", "demo"], PYTHONPATH=str(lab.root))
    assert done.err == "found\n"


@pytest.mark.parametrize(
    "options",
    [
        ["-m", "pinstall"],
        ["-mpinstall"],
        ["-I", "-m", "pinstall"],
        ["-X", "utf8", "-W", "error", "-m", "pinstall"],
        ["-u", "-Xdev", "-Wd", "-OBm", "pinstall"],
        ["-Impinstall"],
        ["-W", "", "-m", "pinstall"],
        ["--check-hash-based-pycs", "never", "-P", "-m", "pinstall"],
    ],
    ids=" ".join,
)
def test_interpreter_options_also_apply_to_pip(lab: Lab, options: list[str]) -> None:
    environment = lab.environment()
    seen = "sys.flags, sys.warnoptions, sys._xoptions, sys.stdout.write_through, _imp.check_hash_based_pycs"
    stand_in(environment, f"import _imp\nprint({seen})")
    bare = lab.run([environment.python, *(word.replace("pinstall", "pip") for word in options), "install", "demo"])
    done = lab.run([environment.python, *options, "demo"])
    assert (done.status, done.out, done.err) == (bare.status, bare.out, bare.err)
    assert bare.status == 0


def test_options_of_a_program_that_runs_pinstall_do_not_apply_to_pip(lab: Lab) -> None:
    environment = lab.environment()
    stand_in(environment, "print(sys.argv)")
    code = "import runpy, sys; runpy.run_module('pinstall', run_name='__main__')"
    (lab.root / "runner.py").write_text(f"{code}\n")
    for arguments in (["-m", "runner"], ["-m", "runner", "-m", "pinstall"], ["-Bc", code], ["-m", "runner", "--no-such"]):
        done = lab.run([environment.python, *arguments, "demo"])
        assert done.out == f"{['pip', 'install', *arguments[2:], 'demo']}\n"


def test_pip_inherits_descriptors_and_standard_input(lab: Lab) -> None:
    environment = lab.environment()
    stand_in(environment, "print(open(sys.argv[-1]).read() + sys.stdin.read())")
    reading, writing = os.pipe()
    os.write(writing, b"from the pipe, ")
    os.close(writing)
    done = subprocess.run(
        [environment.pinstall, "-r", f"/dev/fd/{reading}"],
        env=lab.environ,
        pass_fds=[reading],
        input=b"from standard input",
        stdout=subprocess.PIPE,
        check=True,
    )
    os.close(reading)
    assert done.stdout == b"from the pipe, from standard input\n"


def test_a_pipe_of_requirements_is_left_to_pip_and_reported_once(lab: Lab) -> None:
    environment = lab.environment()
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    command = f"exec {environment.pinstall} -i {index.url} -r <(echo demo==1.0)"
    done = lab.run(["bash", "-c", command])
    assert environment.installed("demo") == "1.0 1.0"
    assert len(done.said) == 1
    assert done.said[0].startswith("pins in /dev/fd/")


def test_modules_in_the_current_folder_are_not_imported(lab: Lab) -> None:
    environment = lab.environment()
    for name in ("pip", "optparse", "packaging", "filelock", "subprocess", "signal", "json", "msgpack", "runpy", "pinstall"):
        (lab.root / f"{name}.py").write_text("raise SystemExit('hijacked')\n")
    for command in ([environment.pinstall], [environment.python, "-m", "pinstall"]):
        if "-m" in command:  # Python imports these for -m itself, as for "python -m pip"
            (lab.root / "runpy.py").unlink()
            (lab.root / "pinstall.py").unlink()
        done = lab.run([*command, "--no-index", "nothing==1"])
        assert "hijacked" not in done.out + done.err
        assert "No matching distribution found for nothing==1" in done.err


def test_pythonpath_also_applies_to_pip(lab: Lab) -> None:
    """PYTHONPATH may name the current folder, which "python -m pip" removes from the path, and the script "pip" does not."""
    environment = lab.environment()
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(environment, "-i", index.url, "demo", "--target", lab.root)
    for command in ([environment.pip, "install"], [environment.pinstall]):
        done = lab.run([*command, "--no-index", "demo"], PYTHONPATH=str(lab.root))
        assert "Requirement already satisfied: demo" in done.out


def test_a_missing_interpreter_is_reported_with_status_92(tmp_path: Path) -> None:
    said: list[str] = []
    python = str(tmp_path / "python")
    assert pip_process.Pip(python, said.append).run(pip_process.PipCommand([]), lambda: None) == 92
    assert said == [f"pip could not be started: {python} cannot be run (No such file or directory); recreate the environment"]


_NO_PROCESS = """
import errno, os, _posixsubprocess
def refuse(*_):
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
os.fork = _posixsubprocess.fork_exec = refuse
"""


@pytest.mark.parametrize("is_damaged", [False, True])
def test_where_no_process_can_be_started_pinstall_becomes_pip(lab: Lab, *, is_damaged: bool) -> None:
    index = lab.index()
    archive = wheel(index.root, "demo", "1.0", "good")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    if is_damaged:
        flip(lab.bodies()[0])
    environment = lab.environment()
    (site,) = environment.folder.glob("lib/python*/site-packages")
    (site / "limit.py").write_text(_NO_PROCESS)
    (site / "limit.pth").write_text("import limit\n")
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", "--report", "report.json")
    assert (done.status, environment.installed("demo")) == (0, "1.0 good"), (done, archive)
    assert any(line.startswith("no further process can be started (") for line in done.said)
    assert (lab.root / "report.json").exists()
    done = lab.pinstall(environment, "-i", index.url, "demo==9")
    assert done.status == 1, "pip's own status"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a"], ["a", "--no-cache-dir"]),
        (["--cache-dir", "x", "a"], ["--cache-dir", "x", "a", "--no-cache-dir"]),
        (["-q", "--", "a", "--"], ["-q", "--no-cache-dir", "--", "a", "--"]),
        (["a", "--"], ["a", "--no-cache-dir", "--"]),
        (["--report", "--", "a"], ["--report", "--", "a", "--no-cache-dir"]),
        (["a", "--rep", "--"], ["a", "--rep", "--", "--no-cache-dir"]),
        (["--report", "--", "--", "--"], ["--report", "--", "--no-cache-dir", "--", "--"]),
        (["--report=--", "--", "a"], ["--report=--", "--no-cache-dir", "--", "a"]),
        (["-qi", "--", "a"], ["-qi", "--", "a", "--no-cache-dir"]),
        (["-i--", "--", "a"], ["-i--", "--no-cache-dir", "--", "a"]),
    ],
    ids=str,
)
def test_the_option_against_the_cache_follows_all_other_options(arguments: list[str], expected: list[str]) -> None:
    command = pip_process.PipCommand(arguments).without_cache()
    assert (command.arguments, command.variables) == (expected, {"PIP_NO_CACHE_DIR": "1"})


@pytest.mark.parametrize("arguments", [["a", "--report"], ["--no-such", "--", "a"], ["a", "-r"], ["a", "--no"]], ids=str)
def test_arguments_that_are_not_understood_stay_unchanged(arguments: list[str]) -> None:
    """An inserted option could become the value of another one, or a requirement."""
    command = pip_process.PipCommand(arguments).without_cache()
    assert (command.arguments, command.variables) == (arguments, {"PIP_NO_CACHE_DIR": "1"})
    command = pip_process.PipCommand(arguments).with_cache("folder")
    assert (command.arguments, command.variables) == (arguments, {"PIP_CACHE_DIR": "folder"})


@pytest.mark.parametrize("pip", VERSIONS)
@pytest.mark.parametrize(
    "arguments", [["--report", "--"], ["--report=--", "--"], ["--log", "--", "--report", "--", "--"]], ids=str
)
def test_two_dashes_can_be_the_value_of_an_option(lab: Lab, pip: str, arguments: list[str]) -> None:
    """pip takes them as a file name. The call has a view, so pinstall has to insert --cache-dir in the right place."""
    index = lab.index()
    sdist(index.root, "demo", "1.0")
    environment = lab.environment(pip)
    done = lab.pinstall(environment, "-i", index.url, *arguments, "demo==1.0", CFLAGS="-O1")
    assert (done.status, environment.installed("demo")) == (0, "1.0 1.0"), done
    assert (lab.root / "--").is_file()


def test_the_view_overrides_the_cache_folder_of_the_call(lab: Lab) -> None:
    """Even if the value of a later option is "--", pip has to use the view instead of the named cache folder."""
    index = lab.index()
    extension(index.root, "demo", "1.0")
    arguments = ("-i", index.url, "demo==1.0", "--cache-dir", lab.root / "own", "--report", "--")
    for content in ("one", "two"):
        environment = lab.environment()
        done = lab.pinstall(environment, *arguments, DEMO_CONTENT=content)
        assert (done.status, environment.installed("demo")) == (0, f"1.0 {content}"), done


@pytest.mark.parametrize("error", ["OSError(5, 'no')", "BrokenPipeError()", "ValueError('no')"])
def test_an_exception_of_pip_is_shown_without_pinstall(lab: Lab, error: str) -> None:
    environment = lab.environment()
    stand_in(environment, f"raise {error}")
    bare = lab.run([environment.python, "-m", "pip", "install", "demo"])
    done = lab.run([environment.pinstall, "demo"])
    assert done.status == bare.status == 1
    assert done.err.splitlines()[-1] == bare.err.splitlines()[-1]
    assert "pinstall: " not in done.err


def test_help_into_a_closed_pipe_ends_as_with_pip(lab: Lab) -> None:
    """The last line on standard error is then pip's."""
    environment = lab.environment()
    bare, done = (
        lab.run(["bash", "-c", f"set -o pipefail; (sleep 0.2; {command}) | true"])
        for command in (f"{environment.pip} install --help", f"{environment.pinstall} --help")
    )
    assert (done.status, done.err.splitlines()[-1:]) == (bare.status, bare.err.splitlines()[-1:])


@pytest.mark.parametrize("command", ["pinstall --help", "pinstall-pip install --help"])
def test_a_reader_of_help_may_stop_after_a_line(lab: Lab, command: str) -> None:
    done = lab.run(["bash", "-c", f"set -o pipefail; {lab.environment().folder}/bin/{command} | head -1"])
    assert (done.status, done.err, done.out) == (0, "", "pinstall: 'pip install' that checks pip's cache before pip uses it.\n")


_INTERRUPTS = {
    "pinstall begins": "import pinstall.environment as e; e.target = lambda *_, **__: os.kill(os.getpid(), 2)",
    "pip begins": "'-c' in sys.orig_argv and os.kill(os.getpid(), 2)",
}


@pytest.mark.parametrize("moment", _INTERRUPTS)
def test_an_interrupt_before_pip_runs_ends_quietly(lab: Lab, moment: str) -> None:
    """pip's process is started here, and not a copy of pinstall's, as for a second run."""
    environment = lab.environment()
    (site,) = environment.folder.glob("lib/python*/site-packages")
    spawns = "import pinstall.pip_process as p; p._can_fork = lambda _: False"
    (site / "zzz.pth").write_text(f"import os, sys; {spawns}; {_INTERRUPTS[moment]}\n")
    done = lab.run([environment.pinstall, "demo"])
    assert (done.status, done.out, done.err) == (130, "", "")


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["install", "demo==1.0", "it's"], """pinstall demo==1.0 'it'"'"'s'"""),
        (["install", "-i", "https://me:secret@example.org/simple?key=secret"], "pinstall -i https://example.org/simple"),
        (["install"], "pinstall"),
        (["-v", "show", "demo"], "pip show -v demo"),
        (["--python", sys.executable, "list"], f"pip --python {sys.executable} list"),
        (["download", "demo"], "pinstall-pip download demo"),
        (["cache", "list"], "pinstall-cache list"),
    ],
)
def test_a_command_of_pip_is_refused(lab: Lab, words: list[str], typed: str) -> None:
    done = lab.pinstall(lab.environment(), *words)
    assert (done.status, done.out, len(done.said)) == (2, "", 1)
    assert done.said[0].endswith(f"of that name); type: {typed}")


def test_a_project_with_the_name_of_a_command_is_installed_if_it_is_meant(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "install", "1.0")
    wheel(index.root, "list", "1.0")
    environment = lab.environment()
    done = lab.pinstall(environment, "install==1.0", "list", "-i", index.url)
    assert (done.status, done.said) == (0, [])
    assert [environment.installed(name) for name in ("install", "list")] == ["1.0 1.0", "1.0 1.0"]
    done = lab.pinstall(environment, "./install")
    assert done.status == 1, "pip says that there is no such folder"
    assert "./install" in done.err


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_version_and_help_of_pinstall_precede_those_of_pip(lab: Lab, arguments: list[str]) -> None:
    done = lab.pinstall(lab.environment(), *arguments)
    assert done.status == 0
    assert done.out.startswith("pinstall")
    assert "\npip 26.3 from " in done.out or "\nUsage:" in done.out


def test_the_exit_status_is_returned_even_if_the_caller_ignores_sigchld(lab: Lab) -> None:
    environment = lab.environment()
    stand_in(environment, "sys.exit(7)")
    code = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    assert lab.run([environment.python, "-c", code, environment.pinstall, "demo"]).status == 7


def test_pip_ends_when_pinstall_is_killed(lab: Lab) -> None:
    environment = lab.environment()
    reading, writing = os.pipe()
    stand_in(environment, f"os.write({writing}, str(os.getpid()).encode()); time.sleep(600)")
    process = subprocess.Popen([environment.pinstall, "demo"], env=lab.environ, pass_fds=[writing])
    os.close(writing)
    assert os.read(reading, 20)
    process.kill()
    process.wait()
    assert os.read(reading, 20) == b"", "the pipe is open as long as pip lives"
    os.close(reading)


def test_messages_that_cannot_be_written_are_dropped(lab: Lab) -> None:
    environment = lab.environment()
    stand_in(environment, "sys.exit(0)")
    done = lab.run(["sh", "-c", f"exec {environment.pinstall} --option-of-2030 2>/dev/full"])
    assert done.status == 0


@pytest.mark.parametrize("data", [b"", b'"/folder"', b"[]", b"{", b'{"opened_files": []}'])
def test_whatever_a_pip_that_died_has_reported_is_read(data: bytes) -> None:
    found = pip_process._observation(data, [])
    assert (found is None) == (b"opened" not in data)
