"""pip uses a built wheel only if its source is unchanged and this call would build it the same way: C extensions, by gcc."""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.lab import NEWEST, VERSIONS
from tests.packages import FLAGS_ONE, FLAGS_TWO, extension, project, sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Environment, Lab, Result

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="it compiles")

_ROUNDS = int(os.environ.get("PINSTALL_TEST_ROUNDS", "2"))
_UNPROVEN = "no record shows that the cached wheel was built from the pinned file (unproven-build)"


@pytest.fixture
def index(lab: Lab) -> Index:
    """An index with the sdist of a C extension."""
    return lab.compiled_index()


def _builds(lab: Lab) -> int:
    log = lab.root / "built"
    return len(log.read_text().split()) if log.exists() else 0


def _installed(lab: Lab, done: Result, environment: Environment) -> str:
    assert done.status == 0, done
    assert "internal error" not in done.err
    return environment.installed("demo").partition(" ")[2]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pinstall(lab: Lab, *words: str | Path, **variables: str) -> tuple[str, Result]:
    """Install into a fresh environment; return the content that the build gave to the module, and the result."""
    environment = lab.environment()
    done = lab.pinstall(environment, *(words or ("demo==1.0",)), **variables)
    return _installed(lab, done, environment), done


def _wrapper(lab: Lab, name: str, says: str, flags: str = "") -> str:
    """Write a compiler whose ``--version`` prints *says*, and which adds *flags*; return its path."""
    path = lab.root / name
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && printf "{says}" && exit\nexec gcc "$@" {flags}\n')
    path.chmod(0o755)
    return str(path)


_GCC = "gcc (Wrapped) 12.1\\nFree Software Foundation\\n"
_WAYS = ["flags", "project variable", "compiler", "setting", "setting of a requirement", "named by the user", "link flags"]


def _way(lab: Lab, way: str, content: str) -> tuple[list[str | Path], dict[str, str]]:
    """Return the arguments and variables by which the module's content becomes *content*; those of "plain" set nothing."""
    requirements = lab.root / "r.txt"
    flags = f"""-UCONTENT -DCONTENT='"{content}"'"""
    if way == "setting of a requirement":
        requirements.write_text("demo==1.0" + (f" --config-settings content={content}\n" if content != "plain" else "\n"))
        return ["-r", requirements], {}
    if content == "plain":
        return ["demo==1.0"], {}
    compiler = _wrapper(lab, f"cc-{content}", f"{content} compiler 1.0", flags)
    variables = {
        "flags": {"CFLAGS": flags},
        "link flags": {"LDFLAGS": flags},
        "project variable": {"DEMO_CONTENT": content},
        "compiler": {"CC": compiler},
        "named by the user": {"shape": content, "PINSTALL_BUILD_VARIABLES": "other sh*"},
    }
    return (
        (["demo==1.0", "--config-settings", f"content={content}"], {}) if way == "setting" else (["demo==1.0"], variables[way])
    )


@pytest.mark.parametrize("way", _WAYS)
def test_each_build_setting_gets_its_own_wheel(lab: Lab, index: Index, way: str) -> None:
    for content in ("one", "plain"):
        words, variables = _way(lab, way, content)
        assert _pinstall(lab, *words, **variables)[0] == content
    index.forget()
    for content in ("one", "plain"):
        words, variables = _way(lab, way, content)
        assert _pinstall(lab, *words, **variables)[0] == content
    assert (_builds(lab), index.fetched) == (2, [])


@pytest.mark.parametrize(
    "variables",
    [
        {"TMPDIR": ".", "CI": "1", "GITHUB_RUN_ID": "7", "TERM": "dumb", "LANG": "C", "DEMO_TOKEN": "secret"},
        {"CC": "gcc", "CXX": "g++", "CFLAGS": ""},
        {"MAX_JOBS": "3", "MAKEFLAGS": "-j3", "OTHER_PROJECT": "1", "SOURCE_DATE_EPOCH": "1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("first", ["pip", "pinstall"])
def test_variables_that_shape_no_build_cause_no_rebuild(lab: Lab, index: Index, variables: dict[str, str], first: str) -> None:
    (lab.pip if first == "pip" else lab.pinstall)(lab.environment(), "demo==1.0")
    index.forget()
    content, done = _pinstall(lab, **variables)
    assert (content, done.said) == ("plain", [])
    assert (_builds(lab), index.fetched) == (1, [])


def test_a_wheel_of_plain_pip_is_rebuilt_once_if_flags_are_set(lab: Lab, index: Index) -> None:
    lab.pip(lab.environment(), "demo==1.0")
    content, done = _pinstall(lab, **FLAGS_ONE)
    assert content == "one"
    why = "it was built by plain pip, perhaps with different CFLAGS (other-build)"
    assert [line.partition(";")[0] for line in done.said] == [f"ignoring {lab.wheels()[0].name} in pip's cache: {why}"]
    assert _pinstall(lab, **FLAGS_ONE)[0] == "one"
    assert _pinstall(lab)[0] == "plain"
    assert _builds(lab) == 2


def test_a_recorded_build_takes_precedence_over_an_unrecorded_one(lab: Lab, index: Index) -> None:
    """Plain pip does not record its flags, so its wheel would be adopted; but the store has one that is known to fit."""
    assert _pinstall(lab)[0] == "plain"
    shutil.rmtree(lab.cache / "wheels")
    lab.pip(lab.environment(), "demo==1.0", **FLAGS_TWO)
    assert _pinstall(lab)[0] == "plain"
    assert _builds(lab) == 2


def test_a_file_that_replaced_a_stored_wheel_is_not_used(lab: Lab, index: Index) -> None:
    """Its RECORD is right, but its digest is not that of the stored wheel."""
    assert _pinstall(lab)[0] == "plain"
    shutil.rmtree(lab.cache / "wheels")
    (kept,) = (lab.cache / "pinstall" / "store").rglob("*.whl")
    tag = kept.name.split("-", 2)[2].removesuffix(".whl")
    shutil.copyfile(wheel(lab.root / "other", "demo", "1.0", "forged", tag=tag), kept)
    content, done = _pinstall(lab)
    assert content == "plain"
    assert "from pinstall's store: it is not the file that pinstall stored (damaged)" in done.said[0]
    assert _builds(lab) == 2


def test_plain_pip_uses_the_wheel_of_a_pinstall_call(lab: Lab, index: Index) -> None:
    """pinstall copies the wheel to pip's own folder if that is empty."""
    assert _pinstall(lab)[0] == "plain"
    lab.pip(lab.environment(), "demo==1.0")
    assert _builds(lab) == 1


def test_a_call_leaves_no_view_behind(lab: Lab, index: Index) -> None:
    _pinstall(lab)
    _pinstall(lab, **FLAGS_ONE)
    assert list((lab.cache / "pinstall" / "views").iterdir()) == []
    assert list((lab.cache / "pinstall" / "calls").iterdir()) == []
    assert [path for path in lab.cache.rglob("*") if path.is_symlink()] == []
    assert {path.name for path in lab.cache.iterdir()} <= {"http-v2", "wheels", "selfcheck", "pinstall"}


def test_the_next_call_removes_the_view_of_a_killed_call(lab: Lab, index: Index) -> None:
    dead = lab.cache / "pinstall" / "views" / "12-0123abcd"
    dead.mkdir(parents=True)
    precious = lab.root / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (dead / "http-v2").symlink_to(precious)
    _pinstall(lab)
    assert not dead.exists()
    assert (precious / "file").exists()


def test_a_wheel_that_was_built_before_pip_failed_is_kept(lab: Lab, index: Index) -> None:
    extension(index.root, "broken", "1.0", "#error")
    done = lab.pinstall(lab.environment(), "demo==1.0", "broken==1.0")
    assert done.status == 1
    assert _builds(lab) == 2
    assert _pinstall(lab)[0] == "plain"
    assert _builds(lab) == 2


def test_builds_in_another_cache_folder(lab: Lab, index: Index) -> None:
    own = ["demo==1.0", "--cache-dir", str(lab.root / "own")]
    assert _pinstall(lab, *own)[0] == "plain"
    assert _pinstall(lab, *own, **FLAGS_ONE)[0] == "one"
    assert _pinstall(lab, *own)[0] == "plain"
    assert _builds(lab) == 2
    assert not lab.cache.exists()


def test_an_index_that_forbids_caching(lab: Lab, index: Index) -> None:
    """No page is cached, so no key is known before pip asks the index."""
    index.page_age = index.file_age = None
    for variables, content in ((FLAGS_ONE, "one"), ({}, "plain"), (FLAGS_ONE, "one"), ({}, "plain")):
        assert _pinstall(lab, **variables)[0] == content
    assert _builds(lab) == 2


@pytest.mark.parametrize("pip", [VERSIONS[0], NEWEST])
def test_a_cached_page_from_before_the_release(lab: Lab, index: Index, pip: str) -> None:
    """It leads to no key. pinstall stores the new wheel all the same, and prefers it to a file that replaced it."""
    lab.pip(lab.environment(pip), "demo")
    sdist(index.root, "demo", "2.0")
    assert lab.pinstall(lab.environment(pip), "demo==2.0").status == 0
    (built,) = (path for path in lab.wheels() if "2.0" in path.name)
    shutil.copyfile(wheel(lab.root / "other", "demo", "2.0", "forged"), built)
    content, _ = _pinstall(lab, "demo==2.0")
    assert content == "2.0"


def test_another_tool_on_the_path_causes_another_build(lab: Lab, index: Index) -> None:
    """The sdist names the tool, as psycopg2 names pg_config; nobody watches whether the build asks for it."""
    extension(index.root, "demo", "1.0", scripts="tool = pg_config")
    folders = []
    for name in ("one", "two"):
        folder = lab.root / name
        folder.mkdir()
        _wrapper(lab, f"{name}/pg_config", "")
        folders.append(f"{folder}:{lab.environ['PATH']}")
    for path in (folders[0], folders[1], folders[0], f"{lab.root}:{folders[0]}", folders[1]):
        assert _pinstall(lab, PATH=path, PINSTALL_WATCH_BUILDS="0")[0] == "plain"
    assert _builds(lab) == 2


def test_builds_under_two_conditions_that_give_the_same_bytes(lab: Lab, index: Index) -> None:
    """The wheel is right under both; the record of one build must not replace that of the other."""
    script = "import time; time.localtime = lambda *_: (2026, 1, 1, 0, 0, 0, 0, 1, 0)\nimport shutil; shutil.which('pg_config')"
    for archive in index.root.iterdir():
        archive.unlink()
    sdist(index.root, "demo", "1.0", script=script)
    folders, built = [], 0
    for name in ("one", "two"):
        (lab.root / name).mkdir()
        _wrapper(lab, f"{name}/pg_config", "")
        folders.append(f"{lab.root / name}:{lab.environ['PATH']}")
    for path in (folders[0], folders[1], folders[0], folders[1]):
        done = lab.pinstall(lab.environment(), "demo==1.0", PATH=path)
        built += done.out.count("Building wheels for collected packages")
    assert built == 2
    assert len({wheel.read_bytes() for wheel in (lab.cache / "pinstall" / "store").rglob("*.whl")}) == 1


@pytest.mark.parametrize("left", [None, "demo-1.0-cp311-cp311-linux_s390x.whl"])
def test_a_wheel_folder_without_a_usable_wheel(lab: Lab, index: Index, left: str | None) -> None:
    """ "pip cache remove" or another machine that shares the cache leaves it so. No key is known, and pip builds into it."""
    index.page_age = index.file_age = None
    lab.pip(lab.environment(), "demo==1.0")
    (built,) = lab.wheels()
    if left:
        built.rename(built.with_name(left))
    else:
        built.unlink()
    for variables, content in ((FLAGS_ONE, "one"), ({}, "plain"), (FLAGS_ONE, "one")):
        assert _pinstall(lab, **variables)[0] == content
    assert _builds(lab) == 3


@pytest.mark.parametrize("pip", ["25.3", "26.3"])
def test_pip_constraint_shapes_builds_before_pip_26_2(lab: Lab, index: Index, pip: str) -> None:
    """pip before 26.2 applies PIP_CONSTRAINT to build requirements, too."""
    for version in ("1.0", "2.0"):
        wheel(index.root, "peer", version, version)
    extension(index.root, "demo", "1.0", build_requires=["peer"])
    found = []
    for version in ("1.0", "2.0", "1.0"):
        constraints = lab.root / f"{version}.txt"
        constraints.write_text(f"peer=={version}\nbystander=={version}\n")
        environment = lab.environment(pip)
        done = lab.pinstall(environment, "demo==1.0", PIP_CONSTRAINT=str(constraints))
        found.append(_installed(lab, done, environment))
    assert found == (["plain1.0", "plain2.0", "plain1.0"] if pip == "25.3" else ["plain2.0"] * 3)
    assert _builds(lab) == (2 if pip == "25.3" else 1)


def _peer(lab: Lab, environment: Environment, content: str, version: str) -> None:
    made = wheel(lab.root / "peers", "peer", version, content)
    lab.pip(environment, "--no-index", "--force-reinstall", made)


def test_without_isolation_the_versions_of_build_requirements_count(lab: Lab, index: Index) -> None:
    bare, *environments = [lab.environment() for _ in range(4)]
    _peer(lab, bare, "1.0", "1.0")
    lab.pip(bare, "--no-build-isolation", "demo==1.0")
    said = []
    for environment, version in zip(environments, ("1.0", "2.0", "1.0"), strict=True):
        _peer(lab, environment, version, version)
        done = lab.pinstall(environment, "--no-build-isolation", "demo==1.0")
        assert _installed(lab, done, environment) == f"plain{version}"
        said.append(done.err)
    # In the second call, the plain pip's wheel has a record if the first build gave the same bytes.
    assert "with unknown versions of peer" in said[0]
    assert "of peer (other-build)" in said[1]
    assert said[2] == ""
    assert _builds(lab) == 3
    other = lab.environment()
    _peer(lab, other, "1.0", "1.0")
    lab.pip(other, "--no-index", wheel(lab.root / "peers", "bystander", "1.0"))
    done = lab.pinstall(other, "--no-build-isolation", "demo==1.0")
    assert _installed(lab, done, other) == "plain1.0"
    assert _builds(lab) == 3, "an unrelated package does not count"


@pytest.mark.parametrize("hashes", [("sha256",), (), ("md5",)])
def test_a_hash_pin_accepts_only_a_recorded_build(lab: Lab, index: Index, hashes: tuple[str, ...]) -> None:
    """Another sound wheel that replaced the built one is never installed."""
    index.hashes = hashes
    (lab.root / "r.txt").write_text(f"demo==1.0 --hash=sha256:{_sha256(index.root / 'demo-1.0.tar.gz')}\n")
    lab.pip(lab.environment(), "demo==1.0")
    content, done = _pinstall(lab, "-r", "r.txt")
    assert content == "plain"
    assert done.said == [f"ignoring {lab.wheels()[0].name} in pip's cache: {_UNPROVEN}"]
    content, done = _pinstall(lab, "-r", "r.txt")
    assert (content, done.said) == ("plain", [])
    assert _builds(lab) == (3 if hashes == ("md5",) else 2), "pip does not know that the source has the pinned hash"
    for built in lab.cache.rglob("*.whl"):
        other = wheel(lab.root / "other", "demo", "1.0", "bad", tag=built.name.split("-", 2)[2].removesuffix(".whl"))
        built.unlink()
        shutil.copy(other, built)
    assert _pinstall(lab, "-r", "r.txt")[0] == "plain"


def test_unproven_builds_share_one_message(lab: Lab) -> None:
    index = lab.index()
    lines = []
    for number in range(6):
        made = sdist(index.root, f"demo{number}", "1.0")
        lines.append(f"demo{number}==1.0 --hash=sha256:{_sha256(made)}\n")
    lab.pip(lab.environment(), "-i", index.url, *(f"demo{number}==1.0" for number in range(6)))
    (lab.root / "r.txt").write_text("".join(lines))
    done = lab.pinstall(lab.environment(), "-i", index.url, "-r", "r.txt")
    names = ", ".join(f"demo{number}-1.0-py3-none-any.whl" for number in range(4))
    assert done.said == [f"ignoring {names} and 2 more in pip's cache: {_UNPROVEN}"]


def _sources(lab: Lab, index: Index, content: str) -> dict[str, str]:
    """Write sdists of this *content*; return a requirement for each, by project: from an index, folder, path and URL."""
    for name in ("onindex", "byurl"):
        sdist(index.root, name, "1.0", content)
    sdist(lab.root / "files", "infolder", "1.0", content)
    by_path = sdist(lab.root / "elsewhere", "bypath", "1.0", content)
    return {
        "onindex": "onindex==1.0",
        "infolder": "infolder==1.0",
        "bypath": f"bypath @ {by_path.as_uri()}",
        "byurl": f"byurl @ {index.base}/files/byurl-1.0.tar.gz",
    }


@pytest.mark.parametrize(("hashes", "first"), [((), "pip"), ((), "pinstall"), (("sha256",), "pinstall"), (("md5",), "pip")])
def test_a_changed_source_causes_a_rebuild(lab: Lab, hashes: tuple[str, ...], first: str) -> None:
    index = lab.index()
    index.hashes, index.page_age, index.file_age = hashes, 0, 0
    words = ["-i", index.url, "-f", str(lab.root / "files"), *_sources(lab, index, "old").values()]
    (lab.pip if first == "pip" else lab.pinstall)(lab.environment(), *words)
    wanted, environment = _sources(lab, index, "new"), lab.environment()
    done = lab.pinstall(environment, *words)
    assert [environment.installed(project) for project in wanted] == ["1.0 new"] * len(wanted), done


@pytest.mark.parametrize("first", ["pip", "pinstall"])
def test_an_unchanged_source_causes_no_rebuild(lab: Lab, first: str) -> None:
    index = lab.index()
    wanted = _sources(lab, index, "same")
    del wanted["byurl"]  # see below
    words = ["-i", index.url, "-f", str(lab.root / "files"), *wanted.values()]
    (lab.pip if first == "pip" else lab.pinstall)(lab.environment(), *words)
    environment = lab.environment()
    done = lab.pinstall(environment, *words)
    assert [environment.installed(project) for project in wanted] == ["1.0 same"] * len(wanted), done
    assert (done.said, "Building wheel" in done.out) == ([], False)


def test_the_message_for_a_url_without_a_hash_advises_one(lab: Lab) -> None:
    index = lab.index()
    index.file_age = 0
    sdist(index.root, "demo", "1.0", "same")
    url = f"demo @ {index.base}/files/demo-1.0.tar.gz"
    _pinstall(lab, url)
    content, done = _pinstall(lab, url)
    assert content == "same"
    assert [line for line in done.said if "name @ URL#sha256=" in line] != []


def test_a_commit_identifies_its_source(lab: Lab) -> None:
    repository = lab.root / "repository"
    project(repository, "demo")
    for words in ("init -q", "add .", "-c user.name=t -c user.email=t@localhost commit -q -m first"):
        lab.run(["git", "-C", repository, *words.split()])
    commit = lab.run(["git", "-C", repository, "rev-parse", "HEAD"]).out.strip()
    pin = f"demo @ git+{repository.as_uri()}@{commit}"
    assert _pinstall(lab, pin)[0] == "1.0"
    content, done = _pinstall(lab, pin)
    assert (content, done.said) == ("1.0", [])
    assert "Building wheel" not in done.out
    assert _pinstall(lab, pin, **FLAGS_ONE)[0] == "1.0"


def _library(lab: Lab, soname: str) -> Path:
    folder = lab.root / "lib"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (lab.root / "answer.c").write_text("int answer(void) { return 42; }")
    lab.run(["gcc", "-shared", "-fPIC", "answer.c", "-o", folder / soname, f"-Wl,-soname,{soname}"])
    (folder / "libanswer.so").symlink_to(soname)
    return folder


def _linked_with(lab: Lab, folder: Path) -> dict[str, str]:
    """Return variables with which each build links the library in *folder*: flags or CC would shape it."""
    (lab.root / "tools").mkdir()
    compiler = lab.root / _wrapper(lab, "tools/gcc", _GCC, f"-L{folder} -lanswer -Wl,-rpath,{folder}")
    compiler.write_text(compiler.read_text().replace("exec gcc", f"exec {shutil.which('gcc')}"))
    return {"PATH": f"{compiler.parent}:{lab.environ['PATH']}"}


@pytest.mark.parametrize("first", ["pip", "pinstall"])
def test_a_missing_library_causes_a_rebuild(lab: Lab, first: str) -> None:
    index = lab.index()
    lab.environ["PIP_INDEX_URL"] = index.url
    extension(index.root, "demo", "1.0", "extern int answer(void); int ask(void) { return answer(); }")
    folder = _library(lab, "libanswer.so.1")
    variables = _linked_with(lab, folder)
    (lab.pip if first == "pip" else lab.pinstall)(lab.environment(), "demo==1.0", **variables)
    content, done = _pinstall(lab, **variables)
    assert (content, done.said) == ("plain", [])
    _library(lab, "libanswer.so.2")
    content, done = _pinstall(lab, **variables)
    assert content == "plain", "it imports"
    assert ["missing-library" in line for line in done.said] == [True], done
    content, done = _pinstall(lab, **variables)
    assert (content, done.said) == ("plain", [])


@pytest.mark.parametrize("served", [False, True])
@pytest.mark.parametrize("others", [[], ["other==1.0"]], ids=["in place", "in a view"])
def test_a_missing_library_of_a_dependency_causes_one_rebuild(lab: Lab, others: list[str], *, served: bool) -> None:
    """Nobody has pinned it: pip, or the pip that pip starts for --python, asks when it finds the wheel."""
    index = lab.index()
    lab.environ.update(PIP_INDEX_URL=index.url, build_log=str(lab.root / "built"))
    wheel(index.root, "app", "1.0", requires=["demo"])
    extension(index.root, "demo", "1.0", "extern int answer(void); int ask(void) { return answer(); }")
    folder = _library(lab, "libanswer.so.1")
    variables = _linked_with(lab, folder)
    sdist(index.root, "other", "1.0")
    lab.pip(lab.environment(), "app==1.0", **variables)
    assert lab.pinstall(lab.environment(), "app==1.0", **variables).said == []
    assert _builds(lab) == 1
    _library(lab, "libanswer.so.2")
    environment = lab.environment()
    way = ["--python", environment.python] if served else []
    done = lab.pinstall(lab.environment() if served else environment, *way, "app==1.0", *others, **variables)
    assert (done.status, environment.installed("demo")) == (0, "1.0 plain"), "it imports"
    assert ["missing-library" in line for line in done.said] == [True], done
    for _ in range(2):
        environment = lab.environment()
        assert lab.pinstall(environment, "app==1.0", *others, **variables).said == []
        assert (environment.installed("demo"), _builds(lab)) == ("1.0 plain", 2)


def test_a_missing_library_of_another_package_causes_no_rebuild(lab: Lab) -> None:
    """As libc10.so for torch's extensions: it is found once torch has been loaded, and not in an empty environment."""
    index = lab.index()
    lab.environ.update(PIP_INDEX_URL=index.url, build_log=str(lab.root / "built"))
    extension(index.root, "demo", "1.0", "extern int answer(void); int ask(void) { return answer(); }")
    folder = _library(lab, "libbrought.so.1")
    flags = {"CC": _wrapper(lab, "cc", _GCC, f"-L{folder} -l:libbrought.so.1")}
    for _ in range(3):
        lab.pinstall(lab.environment(), "demo==1.0", **flags)
    assert _builds(lab) == 1


def test_simultaneous_calls_with_different_flags(lab: Lab, index: Index) -> None:
    """Two pinstalls and a plain pip with three flags, started at once on an empty cache."""
    for _ in range(_ROUNDS):
        shutil.rmtree(lab.cache, ignore_errors=True)
        environments = [lab.environment() for _ in range(3)]
        with ThreadPoolExecutor() as pool:
            one = pool.submit(lab.pinstall, environments[0], "demo==1.0", **FLAGS_ONE)
            two = pool.submit(lab.pinstall, environments[1], "demo==1.0", **FLAGS_TWO)
            pool.submit(lab.run, [environments[2].pip, "install", "demo==1.0"])
        assert _installed(lab, one.result(), environments[0]) == "one"
        assert _installed(lab, two.result(), environments[1]) == "two"


def test_simultaneous_calls_in_two_containers(lab: Lab, index: Index) -> None:
    """Two containers that share the cache, in each of which pinstall has the same process number."""
    container = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if lab.run([*container, "true"]).status:
        pytest.skip("this system allows no namespaces")
    environments = [lab.environment() for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        words = ([*container, made.pinstall, "demo==1.0"] for made in environments)
        one, two = (
            pool.submit(lab.run, command, **flags) for command, flags in zip(words, (FLAGS_ONE, FLAGS_TWO), strict=True)
        )
    assert _installed(lab, one.result(), environments[0]) == "one"
    assert _installed(lab, two.result(), environments[1]) == "two"
    assert [*(lab.cache / "pinstall" / "views").iterdir(), *(lab.cache / "pinstall" / "calls").iterdir()] == []


def test_the_report_policy_only_announces_a_rebuild(lab: Lab, index: Index) -> None:
    _pinstall(lab)
    before = sorted(path for path in lab.cache.rglob("*") if path.is_file())
    environment = lab.environment()
    done = lab.pinstall(environment, "demo==1.0", **FLAGS_ONE, PINSTALL_POLICY="report")
    assert [line.partition(": ")[0] for line in done.said] == [
        f"with PINSTALL_POLICY=evict, pinstall would ignore {lab.wheels()[0].name} in pip's cache"
    ]
    assert sorted(path for path in lab.cache.rglob("*") if path.is_file()) == before


def test_builds_of_unpinned_projects_are_recorded_if_flags_are_set(lab: Lab, index: Index) -> None:
    wheel(index.root, "user", "1.0", requires=["demo"])
    for word in ("demo", "user"):
        shutil.rmtree(lab.cache, ignore_errors=True)
        assert _pinstall(lab, word, **FLAGS_ONE)[0] == "one"
        assert _pinstall(lab)[0] == "plain"
    shutil.rmtree(lab.cache)
    assert _pinstall(lab, "-C", "content=one", "demo")[0] == "one"
    assert _pinstall(lab)[0] == "plain"


def test_the_first_requirement_of_a_project_decides_its_config_settings(lab: Lab, index: Index) -> None:
    (lab.root / "r.txt").write_text("demo==1.0 --config-settings content=one\n")
    assert _pinstall(lab, "demo==1.0", "-r", "r.txt")[0] == "plain"
    assert _pinstall(lab, "-r", "r.txt")[0] == "one"
    line = "demo==1.0; python_version < '3' --config-settings content=two\n"  # does not apply
    (lab.root / "r.txt").write_text(line + (lab.root / "r.txt").read_text())
    built = _builds(lab)
    assert _pinstall(lab, "-r", "r.txt")[0] == "one"
    assert _builds(lab) == built


@pytest.mark.parametrize("form", ["URL", "path", "URL with #egg="])
def test_the_config_settings_of_a_bare_url_or_path_count(lab: Lab, index: Index, form: str) -> None:
    archive = index.root / "demo-1.0.tar.gz"
    url = archive.as_uri() if form == "path" else f"{index.base}/files/{archive.name}"
    bare = {"path": str(archive), "URL": url, "URL with #egg=": f"{url}#egg=demo"}[form]
    assert _pinstall(lab, "-C", "content=one", bare)[0] == "one"
    assert _pinstall(lab, f"demo @ {url}")[0] == "plain"
    assert _pinstall(lab, "-C", "content=two", f"demo @ {url}")[0] == "two"
    built = _builds(lab)
    assert _pinstall(lab, "-C", "content=one", bare)[0] == "one"
    is_named = "egg" in form  # else pip does not look for a built wheel
    assert _builds(lab) == built + (not is_named)


_FILE = "app-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    "words",
    [
        *(["app[native]==1.0"], ["app[native]"], ["app", "other"], [f"./{_FILE}[native]"], ["-f", ".", "app[native]==1.0"]),
        *(["./project"], ["-e", "./project"]),
    ],
    ids=" ".join,
)
def test_flags_count_for_what_an_extra_needs(lab: Lab, index: Index, words: list[str]) -> None:
    needs = ["demo; extra == 'native'"]
    made = wheel(index.root, "app", "1.0", requires=needs, extras=["native"])
    assert made.name == _FILE
    shutil.copy(made, lab.root)
    project(lab.root / "project", "project", dependencies=["app[native]"])
    wheel(index.root, "other", "1.0", requires=["app", "app[native]"])
    lab.pip(lab.environment(), *words)
    assert _pinstall(lab, *words, **FLAGS_ONE)[0] == "one"


def test_a_wheels_folder_behind_a_symbolic_link(lab: Lab, index: Index) -> None:
    """pinstall puts no wheel behind the link, and takes from there only wheels that fit."""
    elsewhere = lab.root / "elsewhere"
    elsewhere.mkdir()
    lab.cache.mkdir()
    (lab.cache / "wheels").symlink_to(elsewhere)
    for variables, content in ((FLAGS_ONE, "one"), ({}, "plain"), (FLAGS_ONE, "one")):
        assert _pinstall(lab, **variables)[0] == content
    assert _builds(lab) == 2


def test_an_extension_that_is_not_an_elf_file(lab: Lab, index: Index) -> None:
    """Its libraries are unknown, as those of all extensions on macOS and Windows."""
    for _ in range(2):
        environment = lab.environment()
        made = sdist(index.root, "odd", "1.0", extra={"odd_native.so": "no ELF"})
        assert made.exists()
        done = lab.pinstall(environment, "odd==1.0")
        assert (environment.installed("odd"), done.said) == ("1.0 1.0", []), done
    assert "Building wheel" not in done.out


def test_the_store_stays_below_its_maximum_size(lab: Lab, index: Index) -> None:
    for variables in (FLAGS_ONE, FLAGS_TWO, {}):
        _pinstall(lab, **variables)
    kept = list((lab.cache / "pinstall" / "store" / "builds").glob("*/*"))
    assert len(kept) == 3
    size = sum(path.stat().st_size for path in kept[0].iterdir())
    _pinstall(lab, **FLAGS_TWO)  # the most recently used one, except for the next build
    _pinstall(lab, CFLAGS="-O1", PINSTALL_STORE_SIZE=f"{size * 2.5 / 1024:.1f}K")
    assert len(list((lab.cache / "pinstall" / "store" / "builds").rglob("*.whl"))) == 2
    built = _builds(lab)
    assert _pinstall(lab, **FLAGS_TWO)[0] == "two"
    assert _builds(lab) == built
    _pinstall(lab, CFLAGS="-O2", PINSTALL_STORE_SIZE="0")
    assert list((lab.cache / "pinstall").rglob("*.whl")) == []
    assert _pinstall(lab, **FLAGS_ONE)[0] == "one"
    assert _pinstall(lab)[0] == "plain", "the build record stays after the wheel is gone"


def test_a_build_that_starts_another_pinstall(lab: Lab, index: Index) -> None:
    """The inner pinstall gets the view as its cache folder, and finds the real cache behind it."""
    environment = lab.environment()
    here = lab.root / "nesting"
    project(here, "nesting")
    target = lab.root / "target"
    command = [environment.pinstall, "-q", "--target", str(target), "demo==1.0"]
    with (here / "backend.py").open("a") as file:
        # PYTHONPATH isolates the build, and would hide the environment's distributions.
        file.write("import os, subprocess\nos.environ.pop('PYTHONPATH', None)\n")
        file.write(f"subprocess.run({command!r}, check=True)\n")
    lab.run(["tar", "czf", index.root / "nesting-1.0.tar.gz", "-C", lab.root, "nesting"])
    done = lab.pinstall(environment, "nesting==1.0")
    assert done.status == 0, done.out + done.err
    assert list(target.glob("demo*.so")) != []
    assert list((lab.cache / "pinstall" / "views").iterdir()) == []
    built = _builds(lab)
    assert _pinstall(lab)[0] == "plain"
    assert _builds(lab) == built


_NOBODY_KNOWS = "it was built with unknown settings, because its build record is damaged"


def _damage(path: Path, how: str) -> None:
    text = path.read_text()
    path.unlink()
    if how == "folder":
        path.mkdir()
    else:
        path.write_text({"cut": text[:100], "format": text.replace('"format": 2', '"format": 99'), "empty": ""}[how])


@pytest.mark.parametrize("how", ["cut", "format", "empty", "folder"])
def test_a_damaged_record_is_not_taken_for_a_missing_one(lab: Lab, index: Index, how: str) -> None:
    """A wheel that was built with flags must not pass for one that plain pip built."""
    assert _pinstall(lab, **FLAGS_ONE)[0] == "one"
    (record,) = lab.cache.glob("pinstall/store/builds/*/*/record.json")
    _damage(record, how)
    content, done = _pinstall(lab)
    assert (content, _builds(lab)) == ("plain", 2)
    assert [line.partition(";")[0] for line in done.said] == [
        f"ignoring {lab.wheels()[0].name} in pip's cache: {_NOBODY_KNOWS} (other-build)"
    ]
    content, done = _pinstall(lab)
    assert (content, _builds(lab), done.said) == ("plain", 2, [])


def _breaking(lab: Lab, code: str) -> Environment:
    """Make an environment in which *code* runs before pinstall does, and breaks it."""
    made = lab.environment()
    (site,) = made.folder.glob("lib/python*/site-packages")
    (site / "broken.py").write_text(f"import os, sys; 'pinstall' in os.path.basename(sys.argv[0]) and exec({code!r})")
    (site / "zz.pth").write_text("import broken\n")
    return made


_UNREADABLE = """
from pinstall.pip_cache import entries
whole = entries.open_content
def open_content(entry):
    if entry.filename.endswith(".tar.gz"):
        raise OSError(5, "Input/output error")
    return whole(entry)
entries.open_content = open_content
"""


def test_a_source_that_cannot_be_read(lab: Lab, index: Index) -> None:
    """The variables that shape its build are unknown then, so the wheel must not be reused."""
    place = index.root / "demo-1.0.tar.gz"
    words = ("--no-index", "--find-links", index.root, "demo==1.0")
    assert _pinstall(lab, *words)[0] == "plain"
    made = _breaking(lab, _UNREADABLE)
    done = lab.pinstall(made, *words, shape="round")
    (said,) = done.said
    (built,) = lab.wheels()
    assert said.startswith(f"hiding {built.name} (built wheel) from pip for this run: its file {built} could not be checked (")
    assert "(its source cannot be read: Input/output error)" in said
    assert (_installed(lab, done, made), _builds(lab)) == ("round", 2)
    assert place.exists()


def test_an_error_in_the_search_for_libraries(lab: Lab, index: Index) -> None:
    _pinstall(lab)
    made = _breaking(lab, "import pinstall.checks.builds as b; b.Builds.missing_libraries = lambda *_: os.listdir('/no/such')")
    done = lab.cache_tool(made, "verify")
    assert "No such file or directory" in done.out
    assert "internal error" not in done.err


# Requirements that nobody pinned.


@pytest.mark.parametrize("word", ["demo", "demo>=0.5"])
def test_a_build_with_other_flags_is_not_reused_for_a_requirement_without_a_pin(lab: Lab, index: Index, word: str) -> None:
    """As people type it: CMAKE_ARGS=... pip install llama-cpp-python."""
    lab.pip(lab.environment(), word)
    for variables, content in ((FLAGS_ONE, "one"), ({}, "plain"), (FLAGS_ONE, "one")):
        environment = lab.environment()
        done = lab.pinstall(environment, word, **variables)
        assert environment.installed("demo") == f"1.0 {content}", done
    assert _builds(lab) == 2, "plain pip's, and one with the flags"


def test_a_build_with_other_flags_is_not_reused_for_a_dependency(lab: Lab, index: Index) -> None:
    wheel(index.root, "app", "1.0", requires=["demo"])
    lab.pip(lab.environment(), "app==1.0")
    environment = lab.environment()
    done = lab.pinstall(environment, "app==1.0", **FLAGS_ONE)
    assert environment.installed("demo") == "1.0 one", done


def test_a_call_without_flags_and_pins_has_no_view(lab: Lab, index: Index) -> None:
    """It must not pay for what it does not ask."""
    lab.pip(lab.environment(), "demo")
    done = lab.pinstall(lab.environment(), "demo")
    assert "views" not in done.out
    assert done.said == []
    assert _builds(lab) == 1
