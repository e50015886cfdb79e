"""Tests of the check after a successful pip: contradictions, notices, and cases in which nothing is known."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from pinstall.aftermath.confirm import confirm
from pinstall.environment import Environment
from pinstall.invocation import invocation
from pinstall.model import pins
from pinstall.pip_cache.locator import Cache
from tests.packages import project, wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pinstall.aftermath.confirm import Discrepancy
    from tests.index import Index
    from tests.lab import Environment as Made
    from tests.lab import Lab

_PIP = (26, 3)
_CURE = "to install the pinned one, run 'pip uninstall demo', then repeat the command"


@pytest.fixture(autouse=True)
def _here(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab.root)


@pytest.fixture
def index(lab: Lab) -> Index:
    """An index with two versions of demo."""
    made = lab.index()
    for version in ("1.0", "2.0"):
        wheel(made.root, "demo", version)
    lab.environ["PIP_INDEX_URL"] = made.url
    return made


def _confirm(lab: Lab, made: Made, *words: str, before: Mapping[str, str]) -> list[Discrepancy]:
    """Check the environment *made* against the call *words*, without running pip."""
    environment = Environment(made.python)
    call = invocation.read(words, lab.environ, environment.prefix, _PIP)
    found = pins.collect(call.lines, environment.markers).pins
    doubts = confirm(found, before, environment, Cache(str(lab.cache), call, environment, _PIP), call)
    # The environment is neither active nor that of pinstall, so its own pip is named.
    return [doubt._replace(line=doubt.line.replace(f"'{made.python} -m pip ", "'pip ")) for doubt in doubts]


def _confirmed(lab: Lab, environment: Environment, before: Mapping[str, str]) -> list[Discrepancy]:
    """Check the *environment*, of which something is known already, for demo 1.0."""
    call = invocation.read(["demo==1.0"], lab.environ, environment.prefix, _PIP)
    found = pins.collect(call.lines, environment.markers).pins
    return confirm(found, before, environment, Cache(str(lab.cache), call, environment, _PIP), call)


def _after(lab: Lab, made: Made, *words: str) -> list[str]:
    """Run a real pip, check that there is no contradiction, and return the notices."""
    before = Environment(made.python).versions()
    lab.pip(made, *words)
    doubts = _confirm(lab, made, *words, before=before)
    assert not any(doubt.contradicts for doubt in doubts)
    return [doubt.line for doubt in doubts]


def _contradictions(lab: Lab, made: Made, *words: str, before: Mapping[str, str] | None = None) -> list[str]:
    """Return the lines about the environment *made*, all of which must be contradictions."""
    doubts = _confirm(lab, made, *words, before=before or {})
    assert all(doubt.contradicts for doubt in doubts)
    return [doubt.line for doubt in doubts]


def _site(made: Made) -> Path:
    (folder,) = made.folder.glob("lib/python*/site-packages")
    return folder


def _put(folder: Path, version: str, file: str = "demo-{}.dist-info/METADATA") -> None:
    """Make demo look installed in *folder*, as by another program."""
    path = folder / file.format(version)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"Metadata-Version: 2.1\nName: demo\nVersion: {version}\n")


def _file(index: Index, name: str) -> tuple[str, str]:
    """Return the URL and the SHA-256 of a file."""
    return f"{index.base}/files/{name}", hashlib.sha256((index.root / name).read_bytes()).hexdigest()


# Names and versions.


def test_a_correct_environment_produces_no_line(lab: Lab, index: Index) -> None:
    made = lab.environment()
    assert _after(lab, made, "demo==1.0") == []
    assert _after(lab, made, "demo==1.0") == []
    assert _after(lab, made, "demo==2.0") == []


@pytest.mark.parametrize(
    ("specifier", "version", "holds"),
    [
        ("==1.0", "1.0", True),
        ("==1.0", "1", True),
        ("==1.0", "1.0.0", True),
        ("==1.0", "v1.0", True),
        ("==1.0", "1.0+cpu", True),
        ("==1.0", "2.0", False),
        ("==1.0", "1.0.1", False),
        ("==1.0", "1.0rc1", False),
        ("==1.0", "1.0.post1", False),
        ("==1.0", "1!1.0", False),
        ("==1.0+cpu", "1.0+cpu", True),
        ("==1.0+cpu", "1.0+CPU", True),
        ("==1.0+cpu", "1.0", False),
        ("==1.0+cpu", "1.0+cu113", False),
        ("==1.0rc1", "1.0.rc1", True),
        ("==1.0rc1", "1.0", False),
        ("==1.0.post1", "1.0-1", True),
        ("==1!1.0", "1!1.0", True),
        ("==1!1.0", "1.0", False),
        ("===1.0", "1.0", True),
        ("===1.0", "1.0.0", False),
        ("===1.0", "1.0+cpu", False),
        ("==1.0,>=0.5", "1.0", True),
        ("==1.0", "no-version", True),  # an unparsable version proves nothing
    ],
)
def test_an_installed_version_satisfies_a_pin_by_the_specification(lab: Lab, specifier: str, version: str, holds: bool) -> None:
    made = lab.environment()
    _put(_site(made), version)
    where = f"{version} in {_site(made)}"
    said = [] if holds else [f"pip succeeded, but Python finds demo {where}: {_CURE}; for demo{specifier} (argument)"]
    assert _contradictions(lab, made, f"demo{specifier}") == said


def test_the_line_names_the_file_and_line_of_the_pin(lab: Lab) -> None:
    made = lab.environment()
    _put(_site(made), "2.0")
    (lab.root / "r.txt").write_text("\n\ndemo==1.0\n")
    assert _contradictions(lab, made, "-r", "r.txt") == [
        f"pip succeeded, but Python finds demo 2.0 in {_site(made)}: {_CURE}; for demo==1.0 (r.txt, line 3)"
    ]


@pytest.mark.parametrize("words", [["demo==1.0"], ["demo", "--hash=sha256:" + "a" * 64]])
def test_a_pinned_project_that_is_not_installed_is_a_contradiction(lab: Lab, words: list[str]) -> None:
    (lab.root / "r.txt").write_text(" ".join(words))
    said = f"pip succeeded, but demo is not installed: repeat the command to install it; for {words[0]} (r.txt, line 1)"
    assert _contradictions(lab, lab.environment(), "-r", "r.txt") == [said]


def test_a_pin_whose_marker_is_false_is_ignored(lab: Lab) -> None:
    assert _contradictions(lab, lab.environment(), "demo==1.0; python_version < '3'") == []


def test_the_name_in_a_url_is_not_checked(lab: Lab) -> None:
    """A file may declare another name than its file name says; pip installs it under the declared one."""
    assert _contradictions(lab, lab.environment(), "https://host/archive/demo-1.0.tar.gz") == []


def test_an_empty_dist_info_folder_is_a_contradiction(lab: Lab) -> None:
    made = lab.environment()
    (_site(made) / "demo-1.0.dist-info").mkdir()
    assert len(_contradictions(lab, made, "demo==1.0")) == 1


@pytest.mark.parametrize("file", ["demo-{}-py3.11.egg-info", "demo-{}-py3.11.egg-info/PKG-INFO"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_egg_info_files_and_folders_are_read(lab: Lab, file: str, version: str) -> None:
    made = lab.environment()
    _put(_site(made), version, file)
    assert len(_contradictions(lab, made, "demo==1.0")) == (version != "1.0")


@pytest.mark.parametrize("shadowed", [True, False])
def test_a_folder_that_is_new_on_the_path_is_found(lab: Lab, index: Index, shadowed: bool) -> None:
    """Examples are the user site, which pip creates when it first needs it, and the .pth file of an editable install."""
    made, other = lab.environment(), lab.root / "other"
    if shadowed:
        lab.pip(made, "demo==2.0")
    environment = Environment(made.python)
    before = environment.versions()
    _put(other, "1.0")
    (_site(made) / "other.pth").write_text(f"# a comment\n{other}\n")
    environment.forget()
    found = _confirmed(lab, environment, before)
    assert [line.line for line in found if f"finds demo 2.0 in {_site(made)}" not in line.line] == []
    assert bool(found) == shadowed


@pytest.mark.parametrize("enabled", [True, False])
def test_the_user_site_is_found_where_python_uses_it(
    lab: Lab, index: Index, monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    """pip creates it when it first needs it, so that it was not on the path when the call began."""
    made = lab.environment()
    monkeypatch.setenv("HOME", str(lab.root / "home"))
    if enabled:
        config = made.folder / "pyvenv.cfg"
        config.write_text(config.read_text().replace("packages = false", "packages = true"))
    environment = Environment(made.python)
    before = environment.versions()
    version = "python{}.{}".format(*sys.version_info[:2])
    _put(lab.root / "home" / ".local" / "lib" / version / "site-packages", "1.0")
    environment.forget()
    assert bool(_confirmed(lab, environment, before)) != enabled


def test_no_code_of_what_was_installed_runs_after_pip(lab: Lab, index: Index) -> None:
    """The start of an interpreter would run it: .pth files, sitecustomize, usercustomize."""
    made, first, ran = lab.environment(), lab.root / "first", lab.root / "ran"
    _put(first, "2.0")
    code = f"open({str(ran)!r}, 'a').write(__name__)\n"
    with zipfile.ZipFile(wheel(index.root, "demo", "3.0"), "a") as archive:
        for name, text in {"sitecustomize.py": code, "usercustomize.py": code, "demo.pth": f"import os; {code}"}.items():
            archive.writestr(name, text)
    done = lab.pinstall(made, "demo==3.0", PYTHONPATH=str(first))
    assert (done.status, len(done.said)) == (90, 1)
    assert (_site(made) / "demo.pth").exists()
    assert not ran.exists()


def test_a_folder_earlier_on_the_path_hides_the_pinned_version(lab: Lab, index: Index) -> None:
    made, first = lab.environment(), lab.root / "first"
    lab.pip(made, "demo==1.0")
    _put(first, "2.0")
    (_site(made) / "first.pth").write_text(f"import sys; sys.path.insert(0, {str(first)!r})\n")  # before the call
    (line,) = _contradictions(lab, made, "demo==1.0")
    assert (
        f" demo 2.0 in {first}: Python searches that folder before the environment; remove it from Python's path, or delete "
        in line
    )


def test_the_advice_for_a_version_on_pythonpath_leads_to_the_pinned_one(lab: Lab, index: Index) -> None:
    """pip uninstalls nothing there, so that to uninstall and to repeat the command would go on for ever."""
    made, first = lab.environment(), lab.root / "first"
    _put(first, "2.0")
    done = lab.pinstall(made, "demo==1.0", PYTHONPATH=str(first))
    advice = "remove that folder from PYTHONPATH: Python searches it before the environment"
    assert (done.status, done.said) == (
        90,
        [f"pip succeeded, but Python finds demo 2.0 in {first}: {advice}; for demo==1.0 (argument)"],
    )
    done = lab.pinstall(made, "demo==1.0")
    assert (done.status, done.said) == (0, [])


def test_a_second_dist_info_folder_is_no_contradiction(lab: Lab, index: Index) -> None:
    """--ignore-installed leaves the old .dist-info beside the new one, and either may be found."""
    made = lab.environment()
    lab.pip(made, "demo==2.0")
    assert _after(lab, made, "--ignore-installed", "demo==1.0") == []
    assert len(list(_site(made).glob("demo-*.dist-info"))) == 2
    assert _contradictions(lab, made, "demo==2.0") == []
    shutil.rmtree(_site(made) / "demo-1.0.dist-info")
    _put(_site(made), "3.0")
    (said,) = _contradictions(lab, made, "demo==1.0")
    assert "finds demo 2.0 and 3.0 in " in said or "finds demo 3.0 and 2.0 in " in said


# Pins that the call requests, and pins that it does not.


def test_a_constraint_counts_only_if_pip_changed_the_project(lab: Lab, index: Index) -> None:
    made = lab.environment()
    wheel(index.root, "other", "1.0")
    (lab.root / "c.txt").write_text("demo==1.0\n")
    assert _after(lab, made, "other", "-c", "c.txt") == []
    lab.pip(made, "demo==2.0")
    assert _after(lab, made, "other", "-c", "c.txt") == []
    for before in ({}, {"demo": "1.0"}):
        assert len(_contradictions(lab, made, "other", "-c", "c.txt", before=before)) == 1


@pytest.mark.parametrize("option", [["--dry-run"], ["--target", "there"], ["--prefix", "there"], ["--root", "there"]])
def test_options_that_install_nothing_here_turn_the_check_off(lab: Lab, index: Index, option: list[str]) -> None:
    made = lab.environment()
    lab.pip(made, "demo==2.0")
    assert _after(lab, made, *option, "demo==1.0") == []


def test_with_only_deps_the_requirement_itself_is_not_checked(lab: Lab, index: Index) -> None:
    made = lab.environment()
    wheel(index.root, "whole", "1.0", requires=["demo==1.0"])
    assert _after(lab, made, "--only-deps", "whole==1.0") == []
    assert made.installed("demo") == "1.0 1.0"


def test_with_no_deps_dependencies_are_not_checked(lab: Lab, index: Index) -> None:
    wheel(index.root, "whole", "1.0", requires=["demo==1.0"])
    assert _after(lab, lab.environment(), "--no-deps", "whole==1.0") == []


def test_dependencies_of_a_local_project_are_checked(lab: Lab, index: Index) -> None:
    made = lab.environment()
    project(lab.root / "local", "local", dependencies=["demo==1.0"])
    assert _after(lab, made, "./local") == []
    shutil.rmtree(_site(made) / "demo-1.0.dist-info")
    assert len(_contradictions(lab, made, "./local")) == 1


@pytest.mark.parametrize("stated", [[], ["demo==2.0"], ["demo>=1"]])
def test_a_backend_that_ignores_the_stated_dependencies_decides(lab: Lab, index: Index, stated: list[str]) -> None:
    made = lab.environment()
    wheel(index.root, "demo", "2.0")
    project(lab.root / "local", "local", dependencies=stated)
    table = lab.root / "local" / "pyproject.toml"
    table.write_text(re.sub("^dependencies = .*", 'dependencies = ["demo==1.0"]', table.read_text(), flags=re.MULTILINE))
    assert _after(lab, made, "./local") == []


# Origins.


def test_an_installed_file_with_another_hash_produces_a_notice(lab: Lab, index: Index) -> None:
    made, other = lab.environment(), lab.index("other")
    wheel(other.root, "demo", "1.0", "something else")
    _, pinned = _file(index, "demo-1.0-py3-none-any.whl")
    url, found = _file(other, "demo-1.0-py3-none-any.whl")
    lab.pip(made, f"demo @ {url}")
    (lab.root / "r.txt").write_text(f"demo==1.0 --hash=sha256:{pinned}\n")
    assert _after(lab, made, "-r", "r.txt") == [
        (
            f"pip kept the installed demo 1.0, which came from another file (sha256:{found[:12]}...): "
            f"{_CURE}; for demo==1.0 (r.txt, line 1)"
        )
    ]
    lab.bare(made, "uninstall", "-y", "demo")
    assert _after(lab, made, "-r", "r.txt") == []
    assert made.installed("demo") == "1.0 1.0"
    assert _after(lab, made, "-r", "r.txt") == []


@pytest.mark.parametrize("hashes", ["found", "both", "unknown"])
def test_an_installed_file_with_an_allowed_or_unknown_hash_produces_no_notice(lab: Lab, index: Index, hashes: str) -> None:
    made = lab.environment()
    url, found = _file(index, "demo-1.0-py3-none-any.whl")
    stated = {
        "found": [f"sha256:{found}"],
        "both": ["sha256:" + "a" * 64, f"sha256:{found}"],
        "unknown": ["sha512:" + "a" * 128],
    }
    lab.pip(made, f"demo @ {url}")
    (lab.root / "r.txt").write_text(f"demo==1.0 {' '.join(f'--hash={text}' for text in stated[hashes])}\n")
    assert _after(lab, made, "-r", "r.txt") == []


def test_an_installed_file_from_another_url_produces_a_notice(lab: Lab, index: Index) -> None:
    made, other = lab.environment(), lab.index("other")
    wheel(other.root, "demo", "1.0", "something else")
    (there, _), (here, pinned) = (_file(made, "demo-1.0-py3-none-any.whl") for made in (other, index))
    lab.pip(made, there)
    secret = here.replace("https://", "https://user:password@") + "?token=password"
    for form in (secret, f"demo @ {secret}"):
        assert _after(lab, made, form) == [
            f"pip kept the installed demo 1.0, which came from another URL: {_CURE}; for demo @ URL (argument)"
        ]
    (said,) = _after(lab, made, f"demo @ {secret}#sha256={pinned}")
    assert "which came from another file (sha256:" in said
    assert _after(lab, made, "--force-reinstall", f"demo @ {secret}") == []
    for form in (secret, f"demo @ {here}", f"{here}?other", f"demo @ {here}#sha256={pinned}"):
        assert _after(lab, made, form) == []


def test_the_same_file_from_another_url_produces_no_notice(lab: Lab, index: Index) -> None:
    made, other = lab.environment(), lab.index("other")
    wheel(other.root, "demo", "1.0")
    there, found = _file(other, "demo-1.0-py3-none-any.whl")
    here, pinned = _file(index, "demo-1.0-py3-none-any.whl")
    assert found == pinned
    lab.pip(made, there)
    assert _after(lab, made, f"demo @ {here}#sha256={pinned}") == []


def test_a_path_with_odd_characters_produces_no_notice(lab: Lab) -> None:
    made = lab.environment()
    wheel(lab.root / "a ~folder", "demo", "1.0")
    for _ in range(2):
        assert _after(lab, made, "./a ~folder/demo-1.0-py3-none-any.whl") == []


def test_a_distribution_from_an_index_has_no_recorded_origin(lab: Lab, index: Index) -> None:
    made = lab.environment()
    lab.pip(made, "demo==1.0")
    assert _after(lab, made, f"demo @ {_file(index, 'demo-1.0-py3-none-any.whl')[0]}") == []


def test_an_installed_other_commit_produces_a_notice(lab: Lab, index: Index) -> None:
    made, repository = lab.environment(), lab.root / "repository"
    project(repository, "demo")
    lab.run(["git", "-C", repository, "init", "-q"])
    urls, commits = [], []
    for content in ("first", "second"):
        (repository / "content.txt").write_text(content)
        for words in ("add .", f"-c user.name=t -c user.email=t@localhost commit -q -m {content}"):
            lab.run(["git", "-C", repository, *words.split()])
        commits.append(lab.run(["git", "-C", repository, "rev-parse", "HEAD"]).out.strip())
        urls.append(f"demo @ git+{repository.as_uri()}@{commits[-1]}")
    for _ in range(2):
        assert _after(lab, made, urls[0]) == []
    assert _after(lab, made, urls[1]) == [
        f"pip kept the installed demo 1.0, which came from commit {commits[0][:12]}: {_CURE}; for demo @ URL (argument)"
    ]
    (said,) = _after(lab, made, f"demo @ {_file(index, 'demo-1.0-py3-none-any.whl')[0]}")
    assert "which came from another URL" in said


@pytest.mark.parametrize(
    ("text", "notices"),
    [
        ("", 0),
        ("{", 0),
        ("[]", 0),
        ("[" * 100_000, 0),
        ("{}", 0),
        ('{"url": 1}', 0),
        ('{"url": "https://h/x", "archive_info": []}', 0),
        ('{"url": "https://h/x", "archive_info": {"hashes": {"sha256": 1}}}', 0),
        ('{"url": "https://h/x", "archive_info": {"hash": 1}}', 0),
        ('{"url": "https://h/x", "archive_info": {"hash": "sha256"}}', 1),
        ('{"url": "https://h/x", "archive_info": {"hash": "sha256=HERE"}}', 0),
        ('{"url": "https://h/x", "archive_info": {"hash": "sha256=THERE"}}', 1),
        ('{"url": "https://h/x", "archive_info": {"hash": "sha256=THERE", "hashes": {"sha256": "HERE"}}}', 0),
        ('{"url": "https://h/x", "archive_info": {"hashes": null}}', 1),
        ('{"url": "https://h/x", "dir_info": {}}', 1),
    ],
)
def test_damaged_and_foreign_origin_files_are_read_or_ignored(lab: Lab, text: str, notices: int) -> None:
    made = lab.environment()
    _put(_site(made), "1.0")
    text = text.replace("THERE", "b" * 64).replace("HERE", "a" * 64)
    (_site(made) / "demo-1.0.dist-info" / "direct_url.json").write_text(text)
    doubts = _confirm(lab, made, f"demo @ https://h/demo-1.0.zip#sha256={'a' * 64}", before={"demo": "1.0"})
    assert [doubt.contradicts for doubt in doubts] == [False] * notices


# Local versions.


@pytest.fixture
def gpu(lab: Lab) -> Index:
    """Make three indexes with demo 1.0, 1.0+cu113 and 1.0+cpu; pip has cached the pages of the first two."""
    made, plain, cpu = lab.index("cu113"), lab.index("plain"), lab.index("cpu")
    wheel(made.root, "demo", "1.0+cu113")
    wheel(plain.root, "demo", "1.0")
    wheel(cpu.root, "demo", "1.0+cpu")
    lab.environ["PIP_INDEX_URL"] = plain.url
    lab.environ["CPU"] = cpu.url
    lab.pip(lab.environment(), "demo==1.0", "--extra-index-url", made.url)
    return made


def _offered(version: str, place: str = "argument") -> list[str]:
    offer = "although 1.0+cu113 is available: to get that, pin 'demo==1.0+cu113'"
    return [f"pip kept the installed demo {version}, {offer}; for demo==1.0 ({place})"]


def test_another_offered_local_version_produces_a_notice(lab: Lab, gpu: Index) -> None:
    made = lab.environment()
    lab.pip(made, "demo==1.0", "-i", lab.environ["CPU"])
    (lab.root / "r.txt").write_text("demo==1.0\n")
    assert _after(lab, made, "demo==1.0", "--extra-index-url", gpu.url) == _offered("1.0+cpu")
    assert _after(lab, made, "-r", "r.txt", "--extra-index-url", gpu.url) == _offered("1.0+cpu", "r.txt, line 1")
    assert _after(lab, made, "demo==1.0") == []  # a file without a local version is not offered
    assert _after(lab, made, "demo==1.0+cpu", "--extra-index-url", gpu.url) == []
    assert _after(lab, made, "demo==1.0+cu113", "--extra-index-url", gpu.url) == []
    assert _after(lab, made, "demo==1.0", "--extra-index-url", gpu.url) == []


def test_an_offered_local_version_produces_a_notice_if_none_is_installed(lab: Lab, gpu: Index) -> None:
    """pinstall looks for one only if the requirement is an argument and the call has a source other than PyPI."""
    made = lab.environment()
    lab.pip(made, "demo==1.0")
    (lab.root / "r.txt").write_text("demo==1.0\n")
    assert _after(lab, made, "demo==1.0", "--extra-index-url", gpu.url) == _offered("1.0")
    assert _after(lab, made, "-r", "r.txt", "--extra-index-url", gpu.url) == []
    assert _after(lab, made, "demo==1.0", "-f", str(gpu.root)) == _offered("1.0")
    del lab.environ["PIP_INDEX_URL"]
    assert _after(lab, made, "demo==1.0") == []


@pytest.mark.parametrize("way", ["file", "variable", "pip.conf"])
def test_the_other_index_may_be_named_in_a_file_variable_or_configuration(lab: Lab, gpu: Index, way: str) -> None:
    made = lab.environment()
    lab.pip(made, "demo==1.0", "-i", lab.environ["CPU"])
    option = f"--extra-index-url {gpu.url}\n" if way == "file" else ""
    (lab.root / "r.txt").write_text(f"{option}demo==1.0\n")
    if way == "variable":
        lab.environ["PIP_EXTRA_INDEX_URL"] = gpu.url
    if way == "pip.conf":
        (lab.root / "pip.conf").write_text(f"[global]\nextra-index-url = {gpu.url}\n")
        lab.environ["PIP_CONFIG_FILE"] = str(lab.root / "pip.conf")
    assert _after(lab, made, "-r", "r.txt") == _offered("1.0+cpu", f"r.txt, line {2 if option else 1}")
    if not option:
        assert _after(lab, made, "demo==1.0") == _offered("1.0+cpu")


def test_an_index_without_a_cached_page_produces_no_notice(lab: Lab, gpu: Index) -> None:
    made, unasked = lab.environment(), lab.index("unasked")
    wheel(unasked.root, "demo", "1.0+cu999")
    lab.pip(made, "demo==1.0", "-i", lab.environ["CPU"])
    assert _after(lab, made, "demo==1.0", "--extra-index-url", unasked.url) == []


def test_files_that_hashes_or_tags_exclude_are_not_offered(lab: Lab, gpu: Index) -> None:
    made = lab.environment()
    lab.pip(made, "demo==1.0")
    (lab.root / "r.txt").write_text(f"demo==1.0 --hash=sha256:{'a' * 64}\n")
    assert _after(lab, made, "-r", "r.txt", "-f", str(gpu.root)) == []
    wheel(lab.root / "foreign", "demo", "1.0+zz", tag="cp27-cp27mu-win32")
    assert _after(lab, made, "demo==1.0", "-f", "foreign") == []


@pytest.mark.parametrize("option", ["--force-reinstall", "--ignore-installed"])
def test_options_that_reinstall_produce_no_notice(lab: Lab, gpu: Index, option: str) -> None:
    """With these options pip itself has chosen from the current pages."""
    made = lab.environment()
    lab.pip(made, "demo==1.0")
    assert _confirm(lab, made, option, "demo==1.0", "-f", str(gpu.root), before={"demo": "1.0"}) == []


@pytest.mark.parametrize("is_active", [False, True])
def test_the_advice_names_the_pip_of_the_environment(lab: Lab, index: Index, is_active: bool) -> None:
    ours, made, other = lab.environment(), lab.environment(), lab.index("other")
    wheel(other.root, "demo", "1.0", "something else")
    (there, _), (here, _) = (_file(made, "demo-1.0-py3-none-any.whl") for made in (other, index))
    lab.pip(made, there)
    active = str(made.folder) if is_active else ""
    done = lab.pinstall(ours, "--python", made.python, f"demo @ {here}", VIRTUAL_ENV=active)
    words = "pip" if is_active else f"{made.python} -m pip"
    assert f"run '{words} uninstall demo', then repeat the command" in done.err, done
