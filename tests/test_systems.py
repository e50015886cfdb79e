"""Windows and macOS, simulated on Linux: their paths, links, consoles, and the functions that they lack."""

from __future__ import annotations

import json
import ntpath
import os
import platform
import subprocess
import sys
import sysconfig
import urllib.request  # else `links` would import it as on Windows, for all other tests
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pinstall import interpreter, pip_child, pip_process, repair_advice, settings
from pinstall.inspection import build_record
from pinstall.invocation import invocation, pip_config, requirements_files
from pinstall.model import links
from pinstall.pip_cache import built_wheels, entries, keys, scan
from pinstall.pip_cache.entries import BuiltWheel
from pinstall.storage import cleanup, files, ledger, view
from pinstall.storage.view import ViewPlan
from tests.lab import flip
from tests.packages import wheel

if TYPE_CHECKING:
    from tests.lab import Lab

_ = urllib.request
_KEY = "aabb" + "0" * 52
_NAME = "1-00000000"


def _make_junction(monkeypatch: pytest.MonkeyPatch, target: Path, place: Path) -> None:
    """Make what Python takes for a folder at *place*, with the content of *target*: `lstat` alone knows better."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    real, tag = os.lstat, 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT

    def lstat(path: Any, **more: Any) -> Any:
        found = real(path, **more)
        if os.fspath(path) != str(place):
            return found
        folder = os.stat(target)
        fields = {name: getattr(folder, name) for name in dir(folder) if name.startswith("st_")}
        return SimpleNamespace(**fields, st_reparse_tag=tag)

    monkeypatch.setattr(os, "lstat", lstat)
    monkeypatch.setattr(os.path, "islink", lambda path: os.fspath(path) != str(place) and entries.is_link(path))


def test_nothing_behind_a_junction_is_deleted_or_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, elsewhere = tmp_path.resolve() / "cache", tmp_path.resolve() / "elsewhere"
    (elsewhere / "bb" / "00").mkdir(parents=True)
    (elsewhere / "bb" / "mine.txt").write_text("mine")
    _make_junction(monkeypatch, elsewhere, root / "wheels" / "aa")
    inside = str(root / "wheels" / "aa" / "bb")
    assert not entries.is_direct(str(root), inside)
    assert cleanup.delete_tree(str(root), os.path.join(inside, "mine.txt")) == cleanup.Removed()
    assert list(built_wheels.walk_built(str(root))) == []
    assert scan.walk(str(root)).links == [str(root / "wheels" / "aa")]
    cleanup.clear_empty(str(root), str(root / "wheels"))
    cleanup.delete_tree(str(root), str(root / "wheels"))
    assert (elsewhere / "bb" / "00").is_dir()
    assert (elsewhere / "bb" / "mine.txt").read_text() == "mine"
    assert not os.path.lexists(root / "wheels" / "aa"), "the junction itself was in the cache"


@pytest.mark.parametrize(
    ("path", "is_inside"),
    [
        ("C:\\Users\\Me\\pip\\cache\\http-v2\\a", True),
        ("C:\\Users\\Me\\pip\\cache/http-v2/a", True),
        ("C:\\Users\\Me\\pip\\cache", True),
        ("C:\\Users\\Me\\pip\\cache2\\a", False),
        ("C:\\Users\\Me\\pip\\cache\\..\\a", False),
        ("D:\\Users\\Me\\pip\\cache\\a", False),
    ],
)
def test_windows_paths_are_compared_part_by_part(monkeypatch: pytest.MonkeyPatch, path: str, *, is_inside: bool) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "path", ntpath)
        found = entries.is_direct("C:\\Users\\Me\\pip\\cache", path)
        places = [keys.wheel_path(_KEY), *keys.http_paths(_KEY, keys.TWO_FILES)]
    assert found == is_inside
    assert [place for place in places if "/" in place] == [], "they are compared with what the system tells"


@pytest.fixture
def linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """Make a view as on Windows, of hard links and junctions; return the cache, its wheel and the view's link to it."""
    monkeypatch.setattr(view, "_HAS_HARD_LINKS", True)
    monkeypatch.setattr(view, "_join", os.symlink)
    root = tmp_path.resolve() / "cache"
    content = wheel(root / keys.wheel_path(_KEY), "demo", "1.0")
    (root / "http-v2").mkdir()
    plan = ViewPlan({_KEY: [BuiltWheel(_KEY, str(content))]})
    folder = view.make(str(root), _NAME, plan, ["http-v2"])
    return str(root), str(content), os.path.join(folder, keys.wheel_path(_KEY), content.name)


@pytest.mark.parametrize("is_gone", [False, True])
def test_hard_links_of_a_view_are_not_taken_for_builds(linked: tuple[str, str, str], *, is_gone: bool) -> None:
    root, content, shown = linked
    folder = os.path.join(root, "pinstall", "views", _NAME)
    assert list(view.unclaimed(root, folder)) == []
    if is_gone:
        os.unlink(content)
    assert list(view.built(folder)) == []
    view.forget_gone(folder)
    assert os.path.exists(shown) != is_gone
    kept = None if is_gone else Path(content).read_bytes()
    made = wheel(Path(shown).parent, "demo", "1.0", "built by pip")  # pip replaces what it found
    assert list(view.built(folder)) == [(_KEY, str(made))]
    assert is_gone or Path(content).read_bytes() == kept, "pip writes into the file that it replaces"


def test_a_hard_link_is_hidden_and_its_file_stays(linked: tuple[str, str, str]) -> None:
    root, content, shown = linked
    view.hide(os.path.join(root, "pinstall", "views", _NAME), BuiltWheel(_KEY, content))
    assert (os.path.exists(shown), os.path.exists(content)) == (False, True)


# Windows has no such functions, waits for pipes by reading them alone, and passes handles instead of descriptors.
_BARE = """
import errno, filelock, os, shutil, subprocess, sys, types, pinstall.pip_process as p
p.sys = types.SimpleNamespace(**{**vars(sys), 'platform': 'win32'})
p._as_inherited = lambda descriptor: descriptor
def refuse(source, target, **more): raise OSError(errno.EPERM, 'not permitted', target)
symlink = os.symlink
os.symlink = lambda source, target, **more: (refuse if '/cache/' in str(target) else symlink)(source, target)
os.link = refuse
for name in ('geteuid', 'fork', 'statvfs', 'O_NOFOLLOW', 'O_NOATIME'): vars(os).pop(name, None)
shutil.disk_usage = lambda folder: types.SimpleNamespace(free=1 << 40)
sys.modules['fcntl'] = None
"""


def test_a_call_works_without_the_functions_that_windows_lacks(lab: Lab) -> None:
    """The cache's disk has no links: the view is a temporary folder, through which downloads still reach the cache."""
    index = lab.compiled_index()
    lab.pip(lab.environment(), "demo==1.0")
    wheel(index.root, "other", "1.0")
    environment = lab.environment()
    (environment.site / "zzz.pth").write_text(f"import pathlib; exec({_BARE!r}, {{}})\n")
    flags = """-UCONTENT -DCONTENT='"flags"'"""
    done = lab.pinstall(environment, "demo==1.0", "other==1.0", CFLAGS=flags)
    assert (done.status, done.err.count("\n")) == (0, len(done.said)), done.err
    assert (environment.installed("demo"), environment.installed("other")) == ("1.0 flags", "1.0 1.0")
    assert ["other-build" in line for line in done.said] == [True], done.said
    assert len(lab.bodies()) == 2, "both downloads are in the cache"
    assert lab.pinstall(environment, "--force-reinstall", "demo==1.0", CFLAGS=flags).said == []
    assert environment.installed("demo") == "1.0 flags"
    assert (lab.root / "built").read_text().count("\n") == 2, "bare pip's, and the first call's, which is kept"
    flip(next(path for path in lab.bodies() if path.read_bytes()[:2] == b"PK"))
    again = lab.environment()
    (again.site / "zzz.pth").write_text(f"import pathlib; exec({_BARE!r}, {{}})\n")
    done = lab.pinstall(again, "other==1.0")
    assert (done.status, again.installed("other")) == (0, "1.0 1.0")
    assert ["wrong-hash" in line for line in done.said] == [True]


def test_a_line_is_written_in_the_encoding_of_its_stream(lab: Lab) -> None:
    environment = lab.environment()
    for script in ("pinstall", "pinstall-cache"):
        words: list[str | Path] = [
            environment.folder / "bin" / script,
            *(["list"] if script == "pinstall-cache" else []),
            "--python",
            "é☃",
        ]
        done = subprocess.run(
            words, env={**lab.environ, "PYTHONIOENCODING": "cp1252"}, cwd=lab.root, capture_output=True, check=False
        )
        assert done.returncode
        assert b"\xe9\\u2603" in done.stderr, done


def test_a_file_in_use_is_replaced_a_moment_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a virus scanner or another pip that has a file open for a moment forbids to replace it."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    target.write_text("old")
    refusals, real = [1, 2], os.replace

    def refuse(*paths: Any) -> None:
        if refusals:
            refusals.pop()
            raise PermissionError(13, "used by another process")
        real(*paths)

    monkeypatch.setattr(os, "replace", refuse)
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", "nt")
        files.replace(str(source), str(target))
    assert target.read_text() == "new"


@pytest.mark.parametrize(
    ("given", "taken"), [(0, 0), (90, 90), (0xC0000005, 0xC0000005 - (1 << 32)), (0xFFFFFFFF, -1), (0x7FFFFFFF, 0x7FFFFFFF)]
)
def test_the_status_of_a_crash_on_windows_fits_its_type(monkeypatch: pytest.MonkeyPatch, given: int, taken: int) -> None:
    def end(status: int) -> NoReturn:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit) as ended:
        pip_process.leave(given)
    assert ended.value.code == taken


def test_windows_commands_and_paths_keep_their_backslashes(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", "nt")
        words = build_record._words('"C:\\Program Files\\LLVM\\bin\\clang-cl.exe" /O2')
        advice = repair_advice.quoted(["C:\\Program Files\\python.exe", "-m", "pip"])
        shared = links.to_path("file://server/share/demo-1.0.zip")
        patched.setattr(os, "path", ntpath)
        patched.setattr(os, "getcwd", lambda: "C:\\project")
        elsewhere = requirements_files.shown("D:\\requirements.txt")
    assert words == ["C:\\Program Files\\LLVM\\bin\\clang-cl.exe", "/O2"]
    assert advice == '"C:\\Program Files\\python.exe" -m pip'
    assert shared == "//server/share/demo-1.0.zip"
    assert elsewhere == "D:\\requirements.txt"


def test_no_ledger_has_the_name_of_a_device(tmp_path: Path) -> None:
    found = [os.path.basename(ledger.Ledger(str(tmp_path), name).path) for name in ("con", "com1", "nul", "console", "con-x")]
    assert found == ["con_.json", "com1_.json", "nul_.json", "console.json", "con-x.json"]


def test_a_watched_build_is_for_posix_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", "nt")
        found = settings.read({})
    assert (found.watches_builds, settings.read({}).watches_builds) == (False, True)


def test_pip_reports_paths_that_windows_compares_without_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip makes its cache folder's path small there (``normalize_path``)."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "path", ntpath)
        witness = pip_child.Witness("C:\\Users\\Me\\Cache", None, None)
    assert (witness.below, witness.wheels) == ("c:\\users\\me\\cache\\", "c:\\users\\me\\cache\\wheels\\")


# The judge is the library that the newest pip vendors.
_JUDGE = """
import os, sys; sys.path.insert(0, sys.argv[1])
from pip._vendor.platformdirs.macos import MacOS
made = MacOS("pip", False, multipath=True)
print(made.user_cache_dir, made.site_data_dir, made.user_data_dir, sep="\\n")
"""


@pytest.mark.parametrize("pip", [(26, 2), (25, 3)])
@pytest.mark.parametrize(
    "variables",
    [{}, {"XDG_CACHE_HOME": "/x/c", "XDG_DATA_DIRS": "/x/a:/x/b", "XDG_DATA_HOME": "/x/d"}, {"XDG_CACHE_HOME": "relative"}],
)
def test_the_folders_of_macos_are_those_of_this_pip(
    pips: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], pip: tuple[int, ...]
) -> None:
    environ = {"HOME": "/home/me", **variables}
    version = "26.3" if pip == (26, 2) else "25.3"
    command = [sys.executable, "-c", _JUDGE, str(pips / version)]
    judged = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.splitlines()
    with monkeypatch.context() as patched:
        patched.setenv("HOME", "/home/me")
        patched.setattr(sys, "platform", "darwin")
        patched.setattr(os.path, "isdir", lambda path: path == judged[2])
        heeded = pip_config.heeded(environ, pip)
        found = pip_config.files(heeded, "/env", isolated=False)
        cache = pip_config.cache_folder(heeded)
    shared = judged[1].split(":")
    assert cache == judged[0]
    assert found == [f"{folder}/pip.conf" for folder in (*shared, "/home/me/.pip", judged[2], "/env")]


def test_a_patch_of_macos_rebuilds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    space: dict[str, Any] = {}
    exec(interpreter._BUILD, space)  # noqa: S102
    real = sysconfig.get_config_var
    monkeypatch.delattr(os, "confstr")
    found = []
    for kind in ("aarch64-apple-darwin23.4.0", "aarch64-apple-darwin24.0.0", "x86_64-pc-linux-musl"):
        monkeypatch.setattr(
            sysconfig, "get_config_var", lambda name, kind=kind: kind if name == "HOST_GNU_TYPE" else real(name)
        )
        found.append(space["build_facts"]()["libc"])
    assert found == [["darwin", ""], ["darwin", ""], ["musl", ""]]


def test_no_dialog_opens_on_macos_without_developer_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def run(command: list[str], **_: Any) -> Any:
        started.append(command[0])
        return subprocess.CompletedProcess(command, 2, b"", b"")

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(subprocess, "run", run)
    assert build_record._name_of("/usr/bin/cc") == "cc"
    assert started == ["/usr/bin/xcode-select"]


def test_a_refusal_of_the_cache_needs_no_user_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"PIP_CACHE_DIR": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    call = invocation.read(["demo"], environ, "/nowhere", (26, 3))
    monkeypatch.delattr(os, "geteuid")
    assert invocation.why_no_cache(call, environ, (26, 3)) == (
        f"you have no permission to write to {tmp_path.resolve()}; name another folder with --cache-dir"
    )


@pytest.mark.parametrize(("pip", "folder"), [((26, 2), "xdg"), ((25, 3), "Library/Caches")])
def test_a_refusal_on_macos_names_the_folder_of_this_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pip: tuple[int, ...], folder: str
) -> None:
    tmp_path = tmp_path.resolve()
    for name in ("xdg", "Library/Caches"):
        (tmp_path / name).mkdir(parents=True)
    environ = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "xdg"), "PIP_CONFIG_FILE": os.devnull}
    with monkeypatch.context() as patched:
        patched.setenv("HOME", str(tmp_path))
        patched.setattr(sys, "platform", "darwin")
        patched.setattr(os, "geteuid", lambda: 4_321)
        patched.setattr(os, "access", lambda path, _: path != str(tmp_path / folder))
        call = invocation.read(["demo"], environ, "/nowhere", pip)
        said = invocation.why_no_cache(call, environ, pip)
    assert call.cache_dir is None
    assert said.startswith(f"you have no permission to write to {tmp_path / folder}, which belongs to ")


def test_pip_can_replace_the_library_that_reads_its_heads(lab: Lab) -> None:
    """Windows replaces no extension module that a process has loaded; pip may be about to upgrade msgpack."""
    read = "from pinstall.pip_cache import http_entries; http_entries.read_head(sys.argv[1]); os.name = 'posix'"
    code = f"import os, sys; os.name = 'nt'; {read}; print(sorted(m for m in sys.modules if 'cmsgpack' in m), len(os.environ))"
    (lab.root / "head").write_bytes(b"cc=4,\x80")
    done = lab.run([lab.environment().python, "-c", code, lab.root / "head"])
    assert done.out == f"[] {len(lab.environ)}\n", done


_QUESTIONS = """
import os, sys
from pinstall import pip_child

answers, answering = os.pipe()
asked, asking = os.pipe()
parent = pip_child._Parent(answers, asking)
parent.patience = float(sys.argv[2])
witness = pip_child.Witness(sys.argv[1], None, parent.ask)
for number in range(2):
    folder = os.path.join(sys.argv[1], "wheels", str(number))
    os.makedirs(folder)
    open(os.path.join(folder, "demo-1.0-cp311-cp311-linux_x86_64.whl"), "w").close()
    if sys.argv[3] == "answered":
        os.write(answering, b"\\n")
    witness.see_search(folder)
    if sys.argv[3] == "late":
        os.write(answering, b"\\n")
os.close(asking)
os.write(1, os.read(asked, 1000))
os._exit(0)
"""


@pytest.mark.parametrize(("patience", "answer", "questions"), [("60", "answered", [0, 1]), ("0.1", "late", [0])])
def test_pip_does_not_wait_for_ever_for_pinstall(tmp_path: Path, patience: str, answer: str, questions: list[int]) -> None:
    """After a question without an answer it asks no more: a late answer would be taken for that to the next question."""
    command = [sys.executable, "-c", _QUESTIONS, str(tmp_path), patience, answer]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [f"{tmp_path}/wheels/{number}" for number in questions]
