"""A watched build declares what shaped it: what it asks for counts, and what it never asks for does not. Real pips build."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinstall.inspection import build_questions
from pinstall.storage import lock
from tests.lab import NEWEST, VERSIONS, flip, watched
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.index import Index
    from tests.lab import Environment, Lab

# The test environment may have a meson.
_TOOLS = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
# The answer is the content of the wheel.
_SCRIPT = """
import ctypes, os, pathlib, shutil, subprocess
def answer():
{code}
pathlib.Path("content.txt").write_text(str(answer()))
"""


def _serve(lab: Lab, code: str) -> Index:
    index = lab.index()
    lines = "\n".join(f"    {line}" for line in textwrap.dedent(code).strip().splitlines())
    sdist(index.root, "demo", "1.0", script=_SCRIPT.format(code=lines))
    lab.environ["PIP_INDEX_URL"] = index.url
    return index


def _call(lab: Lab, pip: str = NEWEST, word: str = "demo==1.0", **variables: str) -> tuple[str, bool, list[str]]:
    """Return the answer that is installed, whether pip built, and what pinstall said."""
    environment = lab.environment(pip)
    done = lab.pinstall(environment, word, **variables)
    assert done.status == 0, done
    assert "internal error" not in done.err
    return environment.installed("demo").partition(" ")[2], "Building wheel" in done.out, done.said


def _program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


_COMPUTED = 'return os.environ.get("_".join(["WITH", "gpu".upper()]), "no")'


@watched()
@pytest.mark.parametrize("pip", VERSIONS)
def test_a_variable_whose_name_is_computed(lab: Lab, pip: str) -> None:
    _serve(lab, _COMPUTED)
    assert _call(lab, pip)[:2] == ("no", True)
    content, built, said = _call(lab, pip, WITH_GPU="yes")
    assert (content, built) == ("yes", True)
    assert [line.partition(": ")[2].partition(";")[0] for line in said] == [
        "it was built with different WITH_GPU (other-build)"
    ]
    assert _call(lab, pip, WITH_GPU="yes")[:2] == ("yes", False)
    assert _call(lab, pip)[:2] == ("no", False)


def _contents(lab: Lab, *gpus: str, **variables: str) -> list[tuple[str, bool]]:
    """Call with each value of WITH_GPU in turn; return what is installed, and whether pip built."""
    return [_call(lab, WITH_GPU=gpu, **variables)[:2] for gpu in gpus]


@watched()
@pytest.mark.parametrize(
    ("why", "variables"),
    [("yanked", {}), ("requires_python", {"CFLAGS": "-O2"}), ("yanked", {"PINSTALL_WATCH_BUILDS": "0"})],
    ids=["in place", "in a view", "not watched"],
)
def test_a_build_although_a_wheel_is_listed(lab: Lab, why: str, variables: dict[str, str]) -> None:
    """pip passes over that wheel, so that it asks for the built one; nothing else tells."""
    index = _serve(lab, 'return os.environ["WITH_GPU"]')
    unused = wheel(index.root, "demo", "1.0", "a wheel")
    getattr(index, why)[unused.name] = ">=3.99"
    assert _contents(lab, "a", "b", "a", "b", **variables) == [("a", True), ("b", True), ("a", False), ("b", False)]


@watched()
def test_a_wheel_that_cannot_be_kept_from_pip_is_named(lab: Lab) -> None:
    index = _serve(lab, 'return os.environ["WITH_GPU"]')
    index.yanked[wheel(index.root, "demo", "1.0", "a wheel").name] = "x"
    assert _contents(lab, "a") == [("a", True)]
    with lock.held(str(lab.cache), 5, print):
        content, built, said = _call(lab, WITH_GPU="b")
    assert (content, built, len(said)) == ("a", False, 1), said
    assert (
        "pip may use demo-1.0-py3-none-any.whl (built wheel): it was built with different WITH_GPU (other-build), but "
        in said[0]
    )
    assert " held the lock of pip's cache for more than 2 s" in said[0]


@watched()
def test_the_second_run_asks_about_built_wheels_too(lab: Lab) -> None:
    """The first one ends before it looks for them."""
    index = _serve(lab, 'return os.environ["WITH_GPU"]')
    index.yanked[wheel(index.root, "demo", "1.0", "a wheel").name] = "x"
    wheel(index.root, "bad", "1.0", padding=20_000)
    assert _contents(lab, "a") == [("a", True)]
    lab.pip(lab.environment(), "bad")
    (body,) = (body for body in lab.bodies() if b"bad.py" in body.read_bytes())
    flip(body)
    environment = lab.environment()
    done = lab.pinstall(environment, "bad", "demo==1.0", WITH_GPU="b")
    assert (done.status, environment.installed("demo"), "pip runs once more" in done.err) == (0, "1.0 b", True), done


@watched()
@pytest.mark.parametrize("variables", [{}, {"CFLAGS": "-O2"}], ids=["in place", "in a view"])
def test_a_build_to_which_no_cached_page_leads(lab: Lab, variables: dict[str, str]) -> None:
    """The page that pip fetches states another hash than the cached one, so pip looks under another key."""
    index = _serve(lab, _COMPUTED)
    index.page_age = 0
    found = []
    for hashes, gpu in (("sha256", "a"), ("sha512", "b"), ("sha256", "b"), ("sha512", "b"), ("sha256", "a")):
        index.hashes = (hashes,)
        found += _contents(lab, gpu, **variables)
    assert found == [("a", True), ("b", True), ("b", True), ("b", False), ("a", False)]
    index.hashes = ("sha512",)
    for path in lab.wheels():
        flip(path)
    assert _contents(lab, "b", **variables) == [("b", False)], "the stored one is intact"


@watched()
def test_an_unpinned_requirement_asks_its_questions_again(lab: Lab) -> None:
    _serve(lab, _COMPUTED)
    assert _call(lab, word="demo")[:2] == ("no", True)
    assert _call(lab, word="demo", WITH_GPU="yes")[:2] == ("yes", True)
    assert _call(lab, word="demo")[:2] == ("no", False)


_ASKS = """
found = [os.environ.copy().get("COPIED", "-"), shutil.which("demo-tool") and "tool" or "-"]
if found[1] == "tool":
    found.append(subprocess.check_output(["demo-tool", "--version"], text=True).strip())
found.append("lib" if os.path.exists(os.path.expanduser("~/sdk/include.h")) else "-")
try:
    found.append(open(os.path.expanduser("~/.demo.cfg")).read().strip())
except OSError:
    found.append("-")
if "b" in "a":
    found.append(os.environ["DEMO_NEVER_READ"])
return " ".join(found)
"""


@watched()
def test_each_question_whose_answer_changes_causes_one_build(lab: Lab) -> None:
    _serve(lab, _ASKS)
    lab.environ["HOME"] += "/"  # as some systems set it
    tools, home = lab.root / "tools", lab.root / "home"
    path = {"PATH": f"{tools}:{lab.environ['PATH']}"}
    assert _call(lab, **path)[:2] == ("- - - -", True)
    assert _call(lab, **path, DEMO_NEVER_READ="1", UNRELATED="1")[:2] == ("- - - -", False)
    _program(tools, "demo-tool", "echo 1.0")
    content, built, said = _call(lab, **path)
    assert (content, built, any("when demo-tool was not there" in line for line in said)) == ("- tool 1.0 - -", True, True)
    _program(tools, "demo-tool", "# the same answer\necho 1.0")
    assert _call(lab, **path)[:2] == ("- tool 1.0 - -", False)
    _program(tools, "demo-tool", "echo 2.0")
    assert _call(lab, **path)[:2] == ("- tool 2.0 - -", True)
    (home / ".demo.cfg").write_text("set")
    assert _call(lab, **path)[:2] == ("- tool 2.0 - set", True)
    (home / "sdk").mkdir()
    (home / "sdk" / "include.h").write_text("")
    assert _call(lab, **path)[:2] == ("- tool 2.0 lib set", True)
    assert _call(lab, **path)[:2] == ("- tool 2.0 lib set", False)


@pytest.mark.parametrize(
    ("askers", "said"),
    [
        (["@setuptools", "setup.py"], "with different CI"),
        (["setup.py", "@setuptools"], "with different CI"),
        (["@setuptools"], ""),
    ],
)
def test_a_question_of_the_source_counts_whoever_else_asks_it(askers: list[str], said: str) -> None:
    """What backends ask on their own behalf, as whether this is a CI, shapes no build."""
    known = build_questions.learn([("variable", "CI", by) for by in askers], build_questions.Machine({"CI": "1"}))
    assert build_questions.first_change(known, build_questions.Machine({})) == said


def test_a_program_that_is_missing_counts_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder may be in the environment, whose programs do not count."""
    for name in ("bin", "project"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "project")
    environment = {"PATH": str(tmp_path / "bin")}
    asked = build_questions.Machine(environment, [str(tmp_path)]).answered("program", "demo-tool", "setup.py", [("--version",)])
    assert asked is not None
    _program(tmp_path / "bin", "demo-tool", "echo 1.0")
    assert build_questions.Machine(environment).differs(asked)


def _without_venv(environment: Environment) -> None:
    """Make an installation of its own out of a virtual environment, as conda's are: it has the standard library itself."""
    python = environment.folder / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (environment.folder / "bin").glob("python*"):
        path.unlink()
    shutil.copy(os.path.realpath(sys.executable), python)
    (environment.folder / "bin" / "python").symlink_to(python)
    (environment.folder / "pyvenv.cfg").unlink()
    library = Path(sysconfig.get_path("stdlib"))
    for path in library.iterdir():
        if not path.name.endswith("-packages"):
            (environment.site.parent / path.name).symlink_to(path)


@watched()
@pytest.mark.parametrize(("is_conda", "answers"), [(True, ["one", "two"]), (False, ["one", "one"])], ids=["conda", "venv"])
def test_a_program_in_the_environment(lab: Lab, *, is_conda: bool, answers: list[str]) -> None:
    """A conda environment has what builds are made with, as a system has; a virtual environment has what projects brought."""
    _serve(lab, 'return subprocess.check_output(["maker"], text=True).strip()')
    environment = lab.environment()
    if is_conda:
        _without_venv(environment)
    programs = environment.folder / "bin"
    path = {"PATH": f"{programs}:{lab.environ['PATH']}"}
    found = []
    for answer in ("one", "two"):
        _program(programs, "maker", f"echo {answer}")
        done = lab.run([environment.pinstall, "--force-reinstall", "demo==1.0"], **path)
        assert done.status == 0, done
        found.append(lab.run([environment.python, "-c", "import demo; print(demo.CONTENT)"]).out.strip())
    prefix = lab.run([environment.python, "-c", "import sys; print(sys.prefix == sys.base_prefix)"])
    assert (prefix.out.strip(), found) == (str(is_conda), answers)


_LOOKS = """
import filecmp
here, root, found = os.getcwd(), os.path.expanduser("~/sdk"), []
found.append(os.path.lexists(root + "/flag"))
found.append(os.path.basename(os.readlink(root + "/cuda")))
found.append(os.path.basename(os.path.realpath(root + "/toolkit")))
found.append(os.path.getsize(root + "/size"))
os.chdir(root)
found.append(open("relative").read())
os.chdir(here)
found.append(filecmp.cmp(root + "/compared", root + "/with", shallow=False))
found.append(subprocess.check_output(["cat", root + "/printed"], text=True))
found.append(os.popen("test -e ~/sdk/tested && echo yes || echo no").read().strip())
found.append(len(list(pathlib.Path.home().glob("matched*"))))
found.append(len(subprocess.check_output(["ls", root + "/listed"], text=True).split()))
found.append(subprocess.run(["pkg-config", "--modversion", "demolib"], capture_output=True, text=True).stdout.strip() or "none")
return " ".join(map(str, found))
"""


@watched()
def test_each_way_to_look_at_a_path_is_a_question(lab: Lab) -> None:
    """With a stand-in for pkg-config that prints the version in the package's file."""
    _serve(lab, _LOOKS)
    sdk, tools = lab.root / "home" / "sdk", lab.root / "tools"
    (sdk / "listed").mkdir(parents=True)
    for name in ("cuda-1", "cuda-2"):
        (sdk / name).mkdir()
    for name in ("cuda", "toolkit"):
        (sdk / name).symlink_to("cuda-1")
    for name, text in {"size": "x", "relative": "a", "compared": "a", "with": "a", "printed": "a"}.items():
        (sdk / name).write_text(text)
    _program(tools, "pkg-config", f"sed -n 's/Version: //p' {sdk}/demolib.pc 2>/dev/null")
    variables = {"PATH": f"{tools}:{lab.environ['PATH']}", "PKG_CONFIG_PATH": str(sdk)}
    answers = ["False", "cuda-1", "cuda-1", "1", "a", "True", "a", "no", "0", "0", "none"]
    assert _call(lab, **variables)[:2] == (" ".join(answers), True)
    assert _call(lab, **variables)[:2] == (" ".join(answers), False)

    def point(name: str) -> None:
        (sdk / name).unlink()
        (sdk / name).symlink_to("cuda-2")

    changes: list[tuple[Callable[[], object], str]] = [
        (lambda: (sdk / "flag").write_text(""), "True"),
        (lambda: point("cuda"), "cuda-2"),
        (lambda: point("toolkit"), "cuda-2"),
        (lambda: (sdk / "size").write_text("xx"), "2"),
        (lambda: (sdk / "relative").write_text("b"), "b"),
        (lambda: (sdk / "compared").write_text("b"), "False"),
        (lambda: (sdk / "printed").write_text("b"), "b"),
        (lambda: (sdk / "tested").write_text(""), "yes"),
        (lambda: (sdk.parent / "matched").write_text(""), "1"),
        (lambda: (sdk / "listed" / "one").write_text(""), "1"),
        (lambda: (sdk / "demolib.pc").write_text("Version: 2.0\n"), "2.0"),
    ]
    for at, (change, answer) in enumerate(changes):
        change()
        answers[at] = answer
        assert _call(lab, **variables)[:2] == (" ".join(answers), True), answers
    assert _call(lab, **variables)[:2] == (" ".join(answers), False)


@pytest.mark.parametrize(
    "code",
    [
        'return [v for k, v in os.environ.copy().items() if k.startswith("ZZQUUX_")][0]',
        'return dict(os.environ.copy())["ZZQUUX_X"]',
        'return {**os.environ.copy()}["ZZQUUX_X"]',
        'return (os.environ.copy() | {"a": "b"})["ZZQUUX_X"]',
        'return "{ZZQUUX_X}".format(**os.environ.copy())',
        'return os.popen("echo ${ZZQUUX_X}").read().strip()',
        pytest.param('return subprocess.check_output(["printenv", "ZZ" + "QUUX_X"], text=True).strip()', marks=watched()),
        pytest.param(
            r'return os.popen("cat <<it\nit\'s\nit\nprintenv \\\n  ZZ" + "QUUX_X").read()[5:].strip()', marks=watched()
        ),
    ],
)
def test_a_variable_that_is_read_in_a_roundabout_way(lab: Lab, code: str) -> None:
    _serve(lab, code)
    assert [_call(lab, ZZQUUX_X=value)[:2] for value in ("1", "2", "1")] == [("1", True), ("2", True), ("1", False)]


def test_the_environment_of_a_process_is_no_question(lab: Lab) -> None:
    _serve(lab, 'subprocess.run(["true"], env=os.environ.copy()); return "made"')
    assert [_call(lab, OTHER=value)[:2] for value in ("1", "2")] == [("made", True), ("made", False)]


@watched()
def test_a_loop_over_all_variables_asks_for_none_of_them(lab: Lab) -> None:
    """As scikit-build-core logs the environment; it asks for its own variables on other lines."""
    _serve(
        lab,
        """
        env = os.environ.copy()
        logged = [name for name in sorted(env.keys()) if env.get(name) is None]
        return os.environ.get("_".join(["WITH", "gpu".upper()]), "no")
        """,
    )
    calls = [{"OTHER": "1"}, {"OTHER": "2"}, {"OTHER": "2", "WITH_GPU": "yes"}]
    assert [_call(lab, **variables)[:2] for variables in calls] == [("no", True), ("no", False), ("yes", True)]


@watched()
def test_a_record_has_neither_values_nor_digests_of_secrets(lab: Lab) -> None:
    _serve(lab, 'os.environ.get("DEMO_TOKEN"); os.environ.get("DEMO_PLACE"); return "made"')
    assert _call(lab, DEMO_TOKEN="hunter2", DEMO_PLACE="nowhere-special")[0] == "made"
    (record,) = lab.cache.glob("pinstall/store/builds/*/*/record.json")
    questions = {row[1]: row[3] for row in json.loads(record.read_text())["watched"]["questions"] if row[0] == "variable"}
    assert questions["DEMO_TOKEN"] == "secret"
    assert len(questions["DEMO_PLACE"]) == 32
    assert "nowhere-special" not in record.read_text()
    assert not list((lab.cache / "pinstall").glob("watch/*"))
    assert _call(lab, DEMO_TOKEN="another", DEMO_PLACE="nowhere-special")[1] is False


def test_nothing_is_watched_if_the_user_says_so(lab: Lab) -> None:
    _serve(lab, _COMPUTED)
    assert _call(lab, PINSTALL_WATCH_BUILDS="0")[:2] == ("no", True)
    assert _call(lab, PINSTALL_WATCH_BUILDS="0", WITH_GPU="yes")[:2] == ("no", False)


@watched()
@pytest.mark.skipif(not shutil.which("gcc"), reason="it compiles")
def test_a_library_that_appears_is_loaded_by_a_new_build(lab: Lab) -> None:
    _serve(lab, 'try:\n    ctypes.CDLL("libdemo_rt.so.12")\nexcept OSError:\n    return "none"\nreturn "12"')
    folder = lab.root / "lib"
    folder.mkdir()
    variables = {"LD_LIBRARY_PATH": str(folder)}
    assert _call(lab, **variables)[:2] == ("none", True)
    lab.run(["gcc", "-shared", "-o", folder / "libdemo_rt.so.12", "-x", "c", "/dev/null"])
    content, built, said = _call(lab, **variables)
    assert (content, built, "when libdemo_rt.so.12 was not there" in said[0]) == ("12", True, True)
    assert _call(lab, **variables)[:2] == ("12", False)


# Other programs decide. Their files are written by the script, so the text of the sdist does not name what they look for.
_CMAKE = """
pathlib.Path("CMakeLists.txt").write_text('''
cmake_minimum_required(VERSION 3.5)
project(demo NONE)
find_library(DEMO_SDK libsdk.so PATHS ~/sdk NO_DEFAULT_PATH)
''')
subprocess.run(["cmake", "-S", ".", "-B", "build"], check=True, stdout=subprocess.DEVNULL)
return "sdk" if "DEMO_SDK:FILEPATH=/" in pathlib.Path("build/CMakeCache.txt").read_text() else "-"
"""
_MESON = """
pathlib.Path("meson.build").write_text('''
project('demo', 'c')
dependency('sdk', required: false, method: 'pkg-config')
''')
subprocess.run(["meson", "setup", "build"], check=True, stdout=subprocess.DEVNULL)
return "sdk" if "libsdk.so" in pathlib.Path("build/meson-info/intro-dependencies.json").read_text() else "-"
"""


@watched()
@pytest.mark.parametrize(("program", "code"), [("cmake", _CMAKE), ("meson", _MESON)])
def test_a_library_that_another_build_system_has_found_is_gone(lab: Lab, program: str, code: str) -> None:
    if not shutil.which(program, path=_TOOLS):
        pytest.skip(f"{program} is not installed")
    _serve(lab, code)
    sdk = lab.root / "home" / "sdk"
    sdk.mkdir(parents=True)
    (sdk / "libsdk.so").touch()
    (sdk / "sdk.pc").write_text(f"Name: sdk\nDescription: sdk\nVersion: 1\nLibs: -L{sdk} -lsdk\n")
    tools = {"PATH": _TOOLS, "PKG_CONFIG_PATH": str(sdk)}
    assert _call(lab, **tools)[:2] == ("sdk", True)
    assert _call(lab, **tools)[:2] == ("sdk", False)
    sdk.rename(sdk.with_name("elsewhere"))
    assert _call(lab, **tools)[:2] == ("-", True)


_CARGO = """
files = {
    "Cargo.toml": "[package]\\nname = 'demo'\\nversion = '1.0.0'\\nedition = '2021'\\n[workspace]\\n",
    "src/lib.rs": 'pub const KIND: Option<&str> = option_env!("{}_KIND");'.format("WITH"),
    "build.rs": '''
        fn main() {
            let name = ["WITH", "GPU"].join("_");
            println!("cargo:rerun-if-env-changed={name}");
            let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
            std::fs::write(out.join("answer"), std::env::var(name).unwrap_or("no".to_string())).unwrap();
        }
    ''',
}
os.makedirs("src", exist_ok=True)
for name, text in files.items():
    pathlib.Path(name).write_text(text)
subprocess.run(["cargo", "build", "--offline", "--quiet"], check=True)
return next(pathlib.Path("target/debug/build").glob("*/out/answer")).read_text()
"""


@watched()
@pytest.mark.skipif(not (shutil.which("cargo") and shutil.which("rustc")), reason="Rust is not installed")
def test_a_variable_that_a_crate_or_its_build_script_reads(lab: Lab) -> None:
    _serve(lab, _CARGO)
    # rustup keeps the compilers in the real home, and starts them; they themselves read nothing there.
    sysroot = lab.run(["rustc", "--print", "sysroot"], PATH=_TOOLS, HOME=pwd.getpwuid(os.getuid()).pw_dir).out.strip()
    tools = {"PATH": f"{sysroot}/bin:{_TOOLS}", "CARGO_HOME": str(lab.root / "cargo")}
    assert _call(lab, **tools)[:2] == ("no", True)
    assert _call(lab, **tools, WITH_GPU="yes")[:2] == ("yes", True)
    assert _call(lab, **tools)[:2] == ("no", False)
    assert _call(lab, **tools, WITH_KIND="two")[:2] == ("no", True)


@watched()
def test_no_argument_of_a_program_that_may_be_a_secret_is_written_down(lab: Lab) -> None:
    _program(lab.root / "tools", "fetch", "exit 0")
    _serve(
        lab,
        f"""
        subprocess.run(["fetch", "--header=Token: hunter2", "-p", "hunter2"])
        notes = [path.read_text() for path in pathlib.Path({str(lab.cache)!r}, "pinstall", "watch").rglob("*.notes")]
        return [any(word in text for text in notes) for word in ("fetch", "hunter2")]
        """,
    )
    assert _call(lab, PATH=f"{lab.root / 'tools'}:{lab.environ['PATH']}")[0] == "[True, False]"


def test_show_names_each_build_of_a_url_by_its_own_file(lab: Lab) -> None:
    url = sdist(lab.root / "from", "demo", "1.0").as_uri()
    assert lab.pinstall(lab.environment(), f"demo @ {url}", CFLAGS="-O1").status == 0
    sdist(lab.root / "other", "demo", "2.0").rename(lab.root / "from" / "demo-1.0.tar.gz")
    done = lab.pinstall(lab.environment(), f"demo @ {url}", CFLAGS="-O1")
    shown = lab.cache_tool(lab.environment(), "show", "demo").out
    assert re.findall(r"^demo-(\S+?)-py3", shown, re.MULTILINE) == ["1.0", "2.0"], (done, shown)


_REPRODUCIBLE = """
import os, time
time.localtime = lambda *_: (1980, 1, 1, 0, 0, 0)
os.environ.get("DEMO_X")
"""


@watched()
def test_the_same_bytes_from_another_source_under_another_condition_are_built_once_each(lab: Lab) -> None:
    path, built = lab.root / "demo-1.0.tar.gz", []
    sources = {
        source: sdist(lab.root / source, "demo", "1.0", script=f"{_REPRODUCIBLE}# {source}").read_bytes() for source in "ab"
    }
    for value, source in (("1", "a"), ("1", "a"), ("2", "b"), ("2", "b"), ("1", "b"), ("2", "b"), ("1", "b")):
        path.write_bytes(sources[source])
        built.append(_call(lab, word=f"demo @ {path.as_uri()}", DEMO_X=value)[1])
    assert built == [True, False, True, False, True, False, False]


@watched()
def test_show_prints_the_questions_in_words(lab: Lab) -> None:
    _serve(lab, 'os.environ.get("DEMO_PLACE"); os.environ.get("DEMO_TOKEN"); shutil.which("demo-tool"); return "made"')
    assert _call(lab, DEMO_TOKEN="hunter2")[0] == "made"
    shown = lab.cache_tool(lab.environment(), "show", "demo").out
    assert "  backend.py asked for DEMO_PLACE: not set\n" in shown
    assert "  backend.py asked for DEMO_TOKEN: set, and named like a secret\n" in shown
    assert "  backend.py looked for demo-tool: not there\n" in shown
    assert lab.cache_tool(lab.environment(), "show", "other").err == 'WARNING: No matching packages for pattern "other"\n'


@pytest.mark.skipif(not shutil.which("gcc"), reason="it compiles")
def test_a_build_for_this_processor_serves_those_with_its_features(lab: Lab) -> None:
    """No variable says "native", only a command of the build."""
    command = 'subprocess.run(["gcc", "-march=native", "-c", "-x", "c", "/dev/null", "-o", "x.o"], check=True)'
    _serve(lab, f'{command}\nreturn "made"')
    assert _call(lab)[:2] == ("made", True)
    assert _call(lab)[:2] == ("made", False)
    (record,) = lab.cache.glob("pinstall/store/builds/*/*/record.json")
    text = json.loads(record.read_text())
    text["conditions"]["cpu"] += " a-feature-of-another"
    record.write_text(json.dumps(text))
    assert _call(lab)[1]
