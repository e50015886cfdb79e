"""After a failure, pip runs once more without the entries that nothing vouches for, if the cache may be to blame."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests.index import JSON
from tests.lab import VERSIONS, flip
from tests.packages import extension, sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Lab, Result

_PIPS = [VERSIONS[0], VERSIONS[-1]]


@pytest.fixture
def index(lab: Lab) -> Index:
    """An index where demo needs part, which needs more."""
    made = lab.index()
    wheel(made.root, "demo", "1.0", requires=["part", "absent; python_version < '3'"])
    wheel(made.root, "part", "1.0", padding=20_000, requires=["more>=1"])
    wheel(made.root, "more", "1.0", padding=20_000)
    lab.environ["PIP_INDEX_URL"] = made.url
    return made


def _body(lab: Lab, file: Path) -> Path:
    (found,) = [body for body in lab.bodies() if body.stat().st_size == file.stat().st_size and body.read_bytes()[:2] == b"PK"]
    return found


def _runs(done: Result) -> int:
    return 1 + done.err.count("pip runs once more")


def _blamed(done: Result) -> str:
    """Return the wrong entries that pinstall lists after a second run that succeeded."""
    assert (done.status, _runs(done)) == (0, 2), done
    (line,) = [line for line in done.said if line.startswith("the cache was to blame, and is repaired now: ")]
    return line.partition("repaired now: ")[2]


# Failures that the second run repairs.


@pytest.mark.parametrize(
    ("word", "hashes", "pip"),
    [*(("demo", (), pip) for pip in VERSIONS), *(("demo[extra]>=1", ("sha256",), pip) for pip in _PIPS)],
)
def test_a_damaged_download_of_an_unpinned_dependency(
    lab: Lab, index: Index, word: str, hashes: tuple[str, ...], pip: str
) -> None:
    index.hashes = hashes
    lab.pip(lab.environment(pip), word)
    flip(_body_of(lab, index, "more", pip))
    environment = lab.environment(pip)
    done = lab.pinstall(environment, word)
    assert environment.installed("more") == "1.0 1.0", done
    assert "more-1.0-py3-none-any.whl" in _blamed(done)
    assert _runs(lab.pinstall(lab.environment(pip), word)) == 1, "the cache is right afterwards"


def test_a_page_that_came_in_place_of_a_file_is_to_blame(lab: Lab, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """A portal answered with its page, and status 200."""
    index.hashes, respond = (), index.respond
    portal = 200, b"<html>log in</html>", {"Content-Type": "text/html", "Cache-Control": "max-age=31536000"}
    with monkeypatch.context() as patch:
        patch.setattr(index, "respond", lambda path, accept: portal if "/more-1.0" in path else respond(path, accept))
        assert lab.bare(lab.environment(), "install", "demo").status == 1
    environment = lab.environment()
    done = lab.pinstall(environment, "demo")
    assert environment.installed("more") == "1.0 1.0", done
    assert _blamed(done) == "more-1.0-py3-none-any.whl (it differs from the file on the server)"


def _body_of(lab: Lab, index: Index, project: str, pip: str) -> Path:
    """Return the file with the cached body of a wheel; pip before 23.3 keeps head and body in one file."""
    content = (index.root / f"{project}-1.0-py3-none-any.whl").read_bytes()
    folder = "http-v2" if pip >= "23.3" else "http"
    (found,) = [path for path in (lab.cache / folder).rglob("*") if path.is_file() and content in path.read_bytes()]
    return found


def test_no_page_of_pips_own_check_for_a_newer_pip_causes_a_second_run(lab: Lab, index: Index) -> None:
    wheel(index.root, "pip", "99.0")
    environment = lab.environment()
    lab.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "0"
    lab.pip(environment, "demo")
    assert list(lab.cache.glob("selfcheck/*"))
    for _ in range(2):
        assert _runs(lab.pinstall(lab.environment(), "nosuch")) == 1
        for path in lab.cache.glob("selfcheck/*"):
            path.unlink()  # then pip reads its page again


@pytest.mark.parametrize("way", ["missing", "constraint", "extra", "half-installed"])
def test_a_damaged_download_of_a_dependency_of_what_is_installed(lab: Lab, index: Index, way: str) -> None:
    """The pin is installed, so that pinstall looks at the cache only after pip has failed."""
    index.hashes = () if way == "half-installed" else ("sha256",)
    wheel(index.root, "demo", "2.0", requires=["part", "more; extra == 'x'"], extras=["x"])
    wheel(index.root, "part", "2.0")
    environment, server = lab.environment(), lab.environment()
    lab.pip(lab.environment(), "part==1.0")
    lab.pip(environment, "demo==2.0")
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    if way in ("missing", "half-installed"):
        lab.pip(environment, "--no-deps", "demo==1.0")
        assert lab.bare(environment, "uninstall", "-y", "part").status == 0
    (lab.root / "c.txt").write_text("part<2\n")
    words = ["demo[x]==2.0"] if way == "extra" else ["demo==1.0" if way != "constraint" else "demo==2.0", "-c", "c.txt"]
    installer = server if way == "half-installed" else environment
    done = lab.pinstall(installer, *(["--python", environment.python] if installer is server else []), *words)
    assert environment.installed("more") == "1.0 1.0", done
    assert "more-1.0-py3-none-any.whl" in _blamed(done)
    assert lab.pinstall(environment, *words).said == []


@pytest.mark.parametrize("pip", _PIPS)
def test_a_pip_that_serves_another_python_is_watched(lab: Lab, index: Index, pip: str) -> None:
    """It starts another pip there, as pinstall does for an environment that has none (uv venv)."""
    lab.pip(lab.environment(pip), "demo")
    flip(_body_of(lab, index, "more", pip))
    server, environment = lab.environment(pip), lab.environment(pip)
    done = lab.pinstall(server, "--python", environment.python, "demo")
    assert environment.installed("more") == "1.0 1.0", done
    assert _blamed(done) == "more-1.0-py3-none-any.whl (it differs from the file on the server)"
    assert server.installed("more") == ""
    index.forget()
    assert lab.pinstall(server, "--python", lab.environment(pip).python, "demo").said == []
    assert index.fetched == []


@pytest.mark.parametrize(("which", "served", "skew"), [("more", False, 2), ("demo", False, -60), ("demo", True, 0)])
def test_a_half_installed_distribution_is_installed_again(
    lab: Lab, index: Index, which: str, skew: int, *, served: bool
) -> None:
    """pip hits a bad CRC in the middle of an install: neither a retry nor --force-reinstall repairs that.

    The machine's clock may not be the file system's (NFS, virtual machines).
    """
    index.hashes = ()
    lab.pip(lab.environment(), "demo")
    body = _body(lab, index.root / "more-1.0-py3-none-any.whl")
    data = bytearray(body.read_bytes())
    data[data.index(b"more_padding.bin") + 1000] ^= 1  # in the content, which is stored as it is
    body.write_bytes(data)
    environment = lab.environment()
    clock = "lambda now=time.{0}: now() + {1}"
    code = f"import time; time.time = {clock.format('time', skew)}; time.time_ns = {clock.format('time_ns', skew * 10**9)}"
    (environment.site / "skew.pth").write_text(f"{code}\n")
    way = ["--python", environment.python] if served else []
    done = lab.pinstall(lab.environment() if served else environment, *way, which, "demo")
    for project in ("demo", "part", "more"):
        assert environment.installed(project) == "1.0 1.0", done
    (info,) = environment.folder.glob("lib/python*/site-packages/more-1.0.dist-info")
    assert (info / "RECORD").exists()
    assert (info / "REQUESTED").exists() == (which == "more")
    assert lab.bare(environment, "uninstall", "-y", "more").status == 0


def test_an_upgrade_that_breaks_in_the_middle_leaves_one_distribution(lab: Lab, index: Index) -> None:
    index.hashes = ()
    wheel(index.root, "part", "1.0", requires=["more>=2"])
    wheel(index.root, "more", "2.0", padding=30_000)
    lab.pip(lab.environment(), "demo")
    body = _body(lab, index.root / "more-2.0-py3-none-any.whl")
    data = bytearray(body.read_bytes())
    data[data.index(b"more_padding.bin") + 1000] ^= 1
    body.write_bytes(data)
    environment = lab.environment()
    lab.pip(environment, "more==1.0")
    done = lab.pinstall(environment, "demo")
    assert environment.installed("more") == "2.0 2.0", done
    (info,) = environment.folder.glob("lib/python*/site-packages/more-*.dist-info")
    assert info.name == "more-2.0.dist-info"


def test_a_damaged_download_of_a_build_requirement(lab: Lab, index: Index) -> None:
    """Another pip, which pip starts, installs the build requirements of an sdist."""
    sdist(index.root, "built", "1.0", build_requires=["more"])
    lab.pip(lab.environment(), "built==1.0")
    for built in lab.wheels():
        built.unlink()
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    environment = lab.environment()
    done = lab.pinstall(environment, "built==1.0")
    assert environment.installed("built") == "1.0 1.0", done
    assert "more-1.0-py3-none-any.whl" in _blamed(done)


def test_a_damaged_built_wheel_of_a_dependency(lab: Lab, index: Index) -> None:
    sdist(index.root, "source", "1.0")
    wheel(index.root, "user", "1.0", requires=["source"])
    lab.pip(lab.environment(), "user")
    (built,) = lab.wheels()
    built.write_bytes(built.read_bytes()[:200])
    environment = lab.environment()
    done = lab.pinstall(environment, "user==1.0")
    assert environment.installed("source") == "1.0 1.0", done
    assert (_runs(done), _blamed(done).startswith(f"{built.name} (it is not a readable wheel: ")) == (2, True), done
    again = lab.pinstall(lab.environment(), "user==1.0")
    assert (again.status, _runs(again), again.said, "Building" in again.out) == (0, 1, [], False), again
    assert "Building" not in lab.pip(lab.environment(), "user==1.0").out


def test_the_second_run_sees_what_the_first_one_received_and_built_instead_of_hidden_files(lab: Lab, index: Index) -> None:
    """Nothing can be removed, so pip gets a view without the changed wheel of demo and the damaged build of source."""
    index.hashes = ()
    sdist(index.root, "source", "1.0")
    lab.pip(lab.environment(), "demo", "source")
    changed = _body(lab, index.root / "demo-1.0-py3-none-any.whl")
    with zipfile.ZipFile(changed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(changed, "w") as archive:
        for name, data in {**files, "demo.py": b"CONTENT = 'changed'\n"}.items():
            archive.writestr(name, data)
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    (built,) = lab.wheels()
    built.write_bytes(built.read_bytes()[:200])
    index.forget()
    environment = lab.environment()
    (lab.cache / "pinstall").mkdir()
    with FileLock(lab.cache / "pinstall" / "lock"):
        done = lab.pinstall(environment, "demo==1.0", "source==1.0", PINSTALL_LOCK_TIMEOUT="0")
    assert (done.status, _runs(done)) == (0, 2), done
    assert [environment.installed(name) for name in ("demo", "source", "more")] == ["1.0 1.0"] * 3, done
    assert (index.fetched.count("demo-1.0-py3-none-any.whl"), done.out.count("Created wheel for")) == (1, 1), done


def test_a_damaged_download_whose_page_is_not_cached(lab: Lab, index: Index) -> None:
    """pinstall cannot find it before pip has fetched the page."""
    lab.pip(lab.environment(), "more==1.0")
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    for page in lab.pages():
        page.unlink()
        page.with_suffix("").unlink()
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 1.0", done
    assert _blamed(done).startswith("more-1.0-py3-none-any.whl")


def test_a_republished_file(lab: Lab, index: Index) -> None:
    """pip fetches the page each time, so pinstall learns the new hash too late."""
    index.page_age = 0
    lab.pip(lab.environment(), "more==1.0")
    wheel(index.root, "more", "1.0", "new", padding=20_000)
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 new", done


def test_a_page_that_states_a_damaged_hash(lab: Lab, index: Index) -> None:
    """As if a bad disk had changed a digit of it."""
    lab.pip(lab.environment(), "more==1.0")
    (page,) = lab.pages()
    text = page.read_text()
    at = text.index('"sha256": "') + len('"sha256": "')
    page.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 1.0", done
    assert _blamed(done).startswith("index page of more")


@pytest.mark.parametrize("word", ["demo>=1", "demo==1.0"])
def test_a_page_from_before_the_release_of_an_unpinned_version(lab: Lab, index: Index, word: str) -> None:
    """The page is still fresh, so pip does not ask the server for a newer one."""
    lab.pip(lab.environment(), "more==1.0")
    wheel(index.root, "more", "2.0")
    wheel(index.root, "part", "1.0", requires=["more>=2"])
    environment = lab.environment()
    done = lab.pinstall(environment, word)
    assert environment.installed("more") == "2.0 2.0", done
    assert _blamed(done) == "index page of more (it was outdated)"


def test_a_page_that_another_process_replaces_meanwhile_is_to_blame(lab: Lab, index: Index) -> None:
    """The one that replaced it may have failed on it, too."""
    lab.pip(lab.environment(), "more==1.0")
    ((page,), changed) = ([path for path in lab.pages() if b"more-1.0" in path.read_bytes()], [])
    wheel(index.root, "more", "2.0")
    wheel(index.root, "part", "1.0", requires=["more>=2"])

    def replace() -> None:
        page.write_bytes(page.read_bytes() + b" ")
        changed.append(page)

    index.meanwhile["/simple/more/"] = replace
    assert _blamed(lab.pinstall(lab.environment(), "demo")) == "index page of more (another process has replaced it meanwhile)"
    assert changed == [page]


def test_a_page_from_before_a_wheel_was_added(lab: Lab, index: Index) -> None:
    sdist(index.root, "source", "1.0")
    lab.pip(lab.environment(), "source==1.0")
    wheel(index.root, "source", "1.0", "wheel")
    environment = lab.environment()
    done = lab.pinstall(environment, "source==1.0", "--only-binary", ":all:")
    assert environment.installed("source") == "1.0 wheel", done


def test_a_page_from_before_a_file_was_republished(lab: Lab, index: Index) -> None:
    lab.pip(lab.environment(), "more==1.0")
    for body in lab.bodies():
        body.unlink()
        body.with_suffix("").unlink()
    wheel(index.root, "more", "1.0", "new", padding=20_000)
    environment = lab.environment()
    index.forget()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 new", done
    assert index.fetched.count("more-1.0-py3-none-any.whl") == 1, "the second run uses the download of the first"


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_damaged_build_requirement_of_a_local_project(lab: Lab, index: Index, form: str) -> None:
    lab.pip(lab.environment(), "more==1.0")
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    archive = sdist(lab.root / "here", "local", "1.0", build_requires=["more"])
    if form == "folder":
        lab.run(["tar", "xzf", archive, "-C", archive.parent])
    environment = lab.environment()
    done = lab.pinstall(environment, f"{archive.parent}/local-1.0" if form == "folder" else archive)
    assert environment.installed("local") == "1.0 1.0", done
    assert _runs(done) == 2


def test_the_second_run_omits_bad_entries_that_hide_one_another(lab: Lab, index: Index) -> None:
    """A wheel that cannot be read does not tell its dependencies."""
    lab.pip(lab.environment(), "demo")
    for body in lab.bodies():
        body.write_bytes(b"PK\x03\x04" + bytes(body.stat().st_size - 4))
    environment = lab.environment()
    done = lab.pinstall(environment, "demo")
    assert [environment.installed(name) for name in ("demo", "part", "more")] == ["1.0 1.0"] * 3, done
    assert _runs(done) == 2


def _unlisted(lab: Lab) -> Index:
    """Let pip cache demo 1.0 from an index that forbids caching its pages."""
    index = lab.index("unlisted")
    index.page_age = None
    wheel(index.root, "demo", "1.0", "good", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    assert lab.pages() == []
    return index


def test_a_damaged_download_that_no_cached_page_lists(lab: Lab) -> None:
    index = _unlisted(lab)
    (body,) = lab.bodies()
    flip(body)
    wheel(index.root, "bystander", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "bystander==1.0")
    other = next(path for path in lab.bodies() if path != body)
    flip(other)
    before = other.read_bytes()
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 good", done
    assert other.read_bytes() == before, "an entry that this call did not use is left alone"


def test_a_republished_file_that_no_cached_page_lists(lab: Lab) -> None:
    """The pin's hash identifies the new file."""
    index = _unlisted(lab)
    new = wheel(index.root, "demo", "1.0", "new", padding=20_000)
    (lab.root / "requirements.txt").write_text(f"demo==1.0 --hash=sha256:{hashlib.sha256(new.read_bytes()).hexdigest()}\n")
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "-r", "requirements.txt")
    assert environment.installed("demo") == "1.0 new", done


@pytest.mark.parametrize(("status", "tagged"), [(301, False), (302, False), (307, True), (308, True)])
def test_a_damaged_download_behind_a_redirect(lab: Lab, index: Index, status: int, *, tagged: bool) -> None:
    """pip caches permanent redirects; of one with an ETag it may store only the head."""
    index.tagged = tagged
    name = "more-1.0-py3-none-any.whl"
    index.redirects[f"/files/{name}"] = (status, f"/files/moved/{name}")
    lab.pip(lab.environment(), "more==1.0")
    flip(_body(lab, index.root / name))
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 1.0", done


def test_a_cached_redirect_to_a_missing_file(lab: Lab, index: Index) -> None:
    name = "more-1.0-py3-none-any.whl"
    index.redirects[f"/files/{name}"] = (301, f"/gone/{name}")
    assert lab.bare(lab.environment(), "install", "more==1.0").status == 1
    index.redirects.clear()
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 1.0", done
    assert _runs(lab.pinstall(lab.environment(), "more==1.0")) == 1


def test_a_redirect_that_comes_again_unchanged_is_not_to_blame(lab: Lab, index: Index) -> None:
    name = "more-1.0-py3-none-any.whl"
    index.redirects[f"/files/{name}"] = (301, f"/files/moved/{name}")
    _bad_dependency(lab, index)
    done = lab.pinstall(lab.environment(), "demo")
    assert (done.status, _runs(done), "redirect (" in _blamed(done)) == (0, 2, False), done


# What a server answered for a minute, and pip keeps: the beginning of a path, and the answer.
_YEAR = {"Cache-Control": "max-age=31536000, public"}
_PAGE = {"Content-Type": JSON, **_YEAR}
_OTHERS = b'{"meta": {"api-version": "1.1"}, "name": "x", "files": []}'
_OF_A_MINUTE: dict[str, tuple[str, int, bytes, dict[str, str]]] = {
    "nothing": ("/simple/", 200, _OTHERS, _PAGE),
    "proxy": ("/simple/", 203, _OTHERS, _PAGE),
    "login": ("/simple/", 200, b"<html>log in", {"Content-Type": "text/html", **_YEAR}),
    "error": ("/simple/", 200, b'{"message": "try again"}', _PAGE),
    "version": ("/simple/", 200, _OTHERS.replace(b"1.1", b"2.0"), _PAGE),
    "cut": ("/simple/", 200, gzip.compress(_OTHERS)[:-9], {**_PAGE, "Content-Encoding": "gzip"}),
    "brotli": ("/simple/", 200, b"\x8b\x02\x80x\x03", {**_PAGE, "Content-Encoding": "br"}),
    "future": ("/simple/", 200, _OTHERS, {**_PAGE, "Date": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    "loop": ("/simple/", 301, b"", {**_YEAR, "Location": "/simple/loop/"}),
    "circle": ("/simple/", 308, b"", {**_YEAR, "Location": "/simple/circle/?"}),
    "tag": ("/simple/", 200, _OTHERS, {"Content-Type": JSON, "Cache-Control": "max-age=0"}),
    "empty": ("/files/", 200, b"", _YEAR),
    "advert": ("/files/", 203, b"<html>our Wi-Fi" + bytes(999), _YEAR),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["needs-{}", "{}==1.0"])
def test_answers_of_a_minute(lab: Lab, index: Index, form: str) -> None:
    """The servers are well again, and one second run does without all of the answers that pip has kept."""
    respond = index.respond
    bad: dict[str, tuple[int, bytes, dict[str, str]]] = {}
    index.respond = lambda path, accept: bad.get(path) or respond(path, accept)  # type: ignore[method-assign]
    for project, (start, status, body, headers) in _OF_A_MINUTE.items():
        file = wheel(index.root, project, "1.0", padding=2_000)
        wheel(index.root, f"needs-{project}", "1.0", requires=[project])
        bad[f"{start}{project}/" if start == "/simple/" else f"{start}{file.name}"] = status, body, headers
    index.tags["/simple/tag/"] = '"unchanged"'
    index.hashes = ("sha256",) if form == "{}==1.0" else ()
    for project in _OF_A_MINUTE:
        assert lab.bare(lab.environment(), "install", form.format(project)).status
    bad.clear()
    words = [form.format(project) for project in _OF_A_MINUTE]
    environment = lab.environment()
    done = lab.pinstall(environment, *words)
    for project in _OF_A_MINUTE:
        assert environment.installed(project) == "1.0 1.0", done
    assert _runs(done) == 2
    index.forget()
    assert lab.pinstall(lab.environment(), *words).said == []
    assert index.fetched == []


def test_constraints_from_a_url_that_have_changed(lab: Lab, index: Index) -> None:
    """pip keeps them as long as their server allows."""
    respond = index.respond
    lines = {b"more": "0.5", b"part": "1.0"}
    url = f"{index.base}/constraints.txt"

    def answer(path: str, accept: str) -> tuple[int, bytes, dict[str, str]]:
        text = b"".join(b"%s==%s\n" % (name, version.encode()) for name, version in lines.items())
        return (200, text, {**_YEAR}) if path.endswith(".txt") else respond(path, accept)

    index.respond = answer  # type: ignore[method-assign]
    assert lab.bare(lab.environment(), "install", "demo", "-c", url).status == 1
    lines[b"more"] = "1.0"
    environment = lab.environment()
    done = lab.pinstall(environment, "demo", "-c", url)
    assert environment.installed("more") == "1.0 1.0", done


def test_a_damaged_metadata_file_whose_hash_no_page_states(lab: Lab, index: Index) -> None:
    """Its page states only that it exists (PEP 714), so that pip resolves by what is cached."""
    index.metadata, index.metadata_hash = True, False
    lab.pip(lab.environment(), "demo")
    for body in (path for path in (lab.cache / "http-v2").rglob("*.body") if path.read_bytes()[:8] == b"Metadata"):
        body.write_bytes(body.read_bytes().replace(b"Requires-Dist: more>=1", b"Requires-Dist: mope>=1"))
    environment = lab.environment()
    done = lab.pinstall(environment, "demo==1.0")
    assert environment.installed("more") == "1.0 1.0", done
    assert _blamed(done) == "part-1.0-py3-none-any.whl.metadata (it differs from the file on the server)"


def test_an_entry_that_another_program_removes_while_pip_asks(lab: Lab, index: Index) -> None:
    """The server says that it has not changed, and pip reads what is no longer there."""
    index.file_age = 0
    lab.pip(lab.environment(), "demo")
    body = _body(lab, index.root / "more-1.0-py3-none-any.whl")
    index.meanwhile["/files/more-1.0-py3-none-any.whl"] = body.unlink
    environment = lab.environment()
    done = lab.pinstall(environment, "demo")
    assert not index.meanwhile
    assert environment.installed("more") == "1.0 1.0", done


def test_damaged_entries_of_other_projects_are_left_alone(lab: Lab, index: Index) -> None:
    wheel(index.root, "other", "1.0", padding=30_000)
    lab.pip(lab.environment(), "demo", "other")
    other = _body(lab, index.root / "other-1.0-py3-none-any.whl")
    flip(other)
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    before = other.read_bytes()
    assert lab.pinstall(lab.environment(), "demo==1.0").status == 0
    assert other.read_bytes() == before


def test_a_find_links_url_whose_name_tells_no_project_is_judged_by_what_it_sends(lab: Lab, index: Index) -> None:
    index.page_age = None
    (index.root / "latest").write_bytes((index.root / "more-1.0-py3-none-any.whl").read_bytes())
    words = ("-f", f"{index.base}/files/latest", "more==1.0")
    lab.pip(lab.environment(), *words)
    assert _runs(lab.pinstall(lab.environment(), *words, "nosuch")) == 1, "it is a sound wheel"


def test_a_find_links_page_that_comes_again_with_the_same_files_is_not_to_blame(lab: Lab, index: Index) -> None:
    index.file_type = "text/html"
    page = index.root / "links"
    page.write_text("<a href='other-1.0-py3-none-any.whl'>other</a>")
    lab.environ["PIP_FIND_LINKS"] = f"{index.base}/files/{page.name}"
    _bad_dependency(lab, index)
    page.write_text(f"{page.read_text()} of today")
    done = lab.pinstall(lab.environment(), "demo")
    assert _blamed(done) == "more-1.0-py3-none-any.whl (it differs from the file on the server)"


def test_corruption_in_the_store_that_changed_no_file_times(lab: Lab, index: Index) -> None:
    """The ledger takes the stored wheel for unchanged, and pip crashes on it."""
    sdist(index.root, "source", "1.0")
    flags = {"CFLAGS": "-O1"}
    lab.pinstall(lab.environment(), "source==1.0")
    lab.pinstall(lab.environment(), "source==1.0", **flags)
    copies = [*(lab.cache / "pinstall" / "store").rglob("*.whl"), *lab.wheels()]
    assert len(copies) >= 2
    for copy in copies:
        before = copy.stat()
        data = bytearray(copy.read_bytes())
        data[-10] ^= 0x40  # in the directory at the end
        copy.write_bytes(data)
        os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        environment = lab.environment()
        done = lab.pinstall(environment, "source==1.0", **flags)
        assert environment.installed("source") == "1.0 1.0", done
    assert _runs(done) == 1, "and not again"


# Failures that are not the cache's.


@pytest.mark.parametrize("direct", [False, True])
def test_a_hash_that_no_file_has_costs_one_download(lab: Lab, index: Index, *, direct: bool) -> None:
    index.hashes = ()
    name = "more-1.0-py3-none-any.whl"
    what = f"more @ {index.base}/files/{name}" if direct else "more==1.0"
    (lab.root / "r.txt").write_text(f"{what} --hash=sha256:{'0' * 64}\n")
    index.forget()
    done = lab.pinstall(lab.environment(), "-r", "r.txt")
    assert (done.status, _runs(done)) == (1, 1)
    assert index.fetched.count(name) == 1
    assert not any("to blame" in line or "removed" in line for line in done.said)
    environment = lab.environment()
    lab.pinstall(environment, what)
    assert (environment.installed("more"), index.fetched.count(name)) == ("1.0 1.0", 1), "it is the index's file, so it stays"


def test_an_index_that_states_a_wrong_hash_is_asked_once_a_call(lab: Lab, index: Index) -> None:
    """A file that pip refuses does not stay in the cache: by the next call the server may be repaired."""
    name = "more-1.0-py3-none-any.whl"
    index.lies[name] = "0" * 64
    for _ in range(2):
        index.forget()
        assert lab.pinstall(lab.environment(), "more==1.0").status == 1
        assert index.fetched.count(name) <= 1
    index.lies.clear()
    environment = lab.environment()
    lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 1.0"


@pytest.mark.parametrize(
    ("words", "status"),
    [(["no-such-project==1.0"], 1), (["--no-such-option"], 2), (["-r", "no-such-file"], 1), ([], 1)],
    ids=str,
)
def test_a_failure_with_an_empty_cache(lab: Lab, index: Index, words: list[str], status: int) -> None:
    bare = lab.bare(lab.environment(), "install", *words)
    done = lab.pinstall(lab.environment(), *words)
    assert (done.status, done.said) == (status, [])
    assert done.err == bare.err


@pytest.mark.parametrize("words", [["--no-such-option"], ["--retries", "many"], ["-r", "no-such-file"], ["--hash=x"]], ids=str)
def test_a_pip_that_fails_over_its_arguments(lab: Lab, index: Index, words: list[str]) -> None:
    _bad_dependency(lab, index)
    bare = lab.bare(lab.environment(), "install", *words, "demo==1.0")
    done = lab.pinstall(lab.environment(), *words, "demo==1.0")
    assert (done.status, done.said) == (bare.status, [])
    assert done.err == bare.err


def _builds(lab: Lab) -> list[str]:
    path = lab.root / "built"
    return path.read_text().split() if path.exists() else []


def test_a_failed_build_with_an_empty_cache_is_not_repeated(lab: Lab, index: Index) -> None:
    lab.environ["build_log"] = str(lab.root / "built")
    extension(index.root, "broken", "1.0", "#error")
    done = lab.pinstall(lab.environment(), "broken==1.0")
    assert (done.status, done.said) == (1, [])
    assert _builds(lab) == ["broken"]


def test_a_short_failed_build_is_repeated_once_at_most(lab: Lab, index: Index) -> None:
    """A common cause is a page that was cached between the uploads of an sdist and of its wheels."""
    lab.environ["build_log"] = str(lab.root / "built")
    extension(index.root, "broken", "1.0", "#error")
    _bad_dependency(lab, index)
    done = lab.pinstall(lab.environment(), "broken==1.0", "demo==1.0")
    assert done.status == 1
    assert 1 <= len(_builds(lab)) <= 2
    why = "the cache is probably not to blame: see pip's messages"
    assert done.said[-1] == f"pip failed again without the cached files that were in doubt, so {why}"


# Conditions that forbid a second run.


def _bad_dependency(lab: Lab, index: Index) -> None:
    """Fill the cache with demo and its dependencies, and damage one of them: a second run would succeed."""
    lab.pip(lab.environment(), "demo")
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))


def _not_again(done: Result) -> str:
    """Return the reason why pip does not run again."""
    assert done.status in (1, 2), done
    assert _runs(done) == 1
    start = "pip failed and does not run again: "
    (line,) = [line for line in done.said if line.startswith(start)]
    why, _, files = line.removeprefix(start).partition("; these cached files may be outdated or damaged: ")
    assert files
    return why


@pytest.mark.parametrize(
    "variables", [{"PINSTALL_POLICY": "report"}, {"PINSTALL_POLICY": "off"}, {"PIP_NO_CACHE_DIR": "1"}], ids=str
)
def test_settings_that_forbid_changes_of_the_cache(lab: Lab, index: Index, variables: dict[str, str]) -> None:
    _bad_dependency(lab, index)
    before = sorted((path, path.read_bytes()) for path in lab.bodies())
    assert _runs(lab.pinstall(lab.environment(), "demo==1.0", **variables)) == 1
    assert sorted((path, path.read_bytes()) for path in lab.bodies()) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_pip_that_was_interrupted(lab: Lab, index: Index, number: signal.Signals) -> None:
    """pip exits with 1 after Ctrl-C, as after any failure."""
    _bad_dependency(lab, index)
    mark = lab.root / "waiting"
    lab.environ["waiting"] = str(mark)
    script = "import os, pathlib, time; pathlib.Path(os.environ['waiting']).touch(); time.sleep(60)"
    sdist(index.root, "slow", "1.0", script=script)
    command = [lab.environment().pinstall, "slow==1.0", "demo==1.0"]
    with subprocess.Popen(command, env=lab.environ, cwd=lab.root, stderr=subprocess.PIPE, start_new_session=True) as child:
        while not mark.exists():
            assert child.poll() is None
            threading.Event().wait(0.02)
        child.send_signal(number)
        _, err = child.communicate(timeout=30)
    assert child.returncode == (1 if number == signal.SIGINT else 128 + number)
    assert b"pinstall: " not in err


@pytest.mark.parametrize("form", ["-r /dev/stdin", "-c /dev/stdin demo", "-r <(cat)", "-r nested.txt"])
def test_requirements_from_a_pipe(lab: Lab, index: Index, form: str) -> None:
    """A second pip would find the pipe empty, and end with status 0 without the pin."""
    _bad_dependency(lab, index)
    (lab.root / "nested.txt").write_text("-r /dev/stdin\n")
    done = lab.run(["bash", "-c", f"echo demo==1.0 | {lab.environment().pinstall} {form}"])
    assert "read a pipe" in _not_again(done)


def test_requirements_from_standard_input_that_is_a_file_can_be_read_twice(lab: Lab, index: Index) -> None:
    _bad_dependency(lab, index)
    (lab.root / "r.txt").write_text("demo==1.0\n")
    done = lab.run(["bash", "-c", f"{lab.environment().pinstall} -r /dev/stdin < r.txt"])
    assert (done.status, _runs(done)) == (0, 2)


def test_an_installation_report_on_standard_output(lab: Lab, index: Index) -> None:
    _bad_dependency(lab, index)
    done = lab.pinstall(lab.environment(), "-q", "--report", "-", "demo==1.0")
    assert "two reports" in _not_again(done)


def test_an_installation_report_in_a_file_covers_both_runs(lab: Lab, index: Index) -> None:
    """The second run finds the distributions that the first one installed, and does not report them."""
    index.hashes = ()
    wheel(index.root, "early", "1.0", requires=["more"])
    wheel(index.root, "more", "1.0", padding=20_000)
    lab.pip(lab.environment(), "early", "demo")
    body = _body(lab, index.root / "part-1.0-py3-none-any.whl")
    data = bytearray(body.read_bytes())
    data[data.index(b"part_padding.bin") + 1000] ^= 1
    body.write_bytes(data)
    done = lab.pinstall(lab.environment(), "--report", "report.json", "early", "demo")
    assert (done.status, _runs(done)) == (0, 2), done
    document = json.loads((lab.root / "report.json").read_text())
    assert sorted(item["metadata"]["name"] for item in document["install"]) == ["demo", "early", "more", "part"]


def test_the_installation_report_of_an_earlier_call_is_not_taken_for_the_first_runs(lab: Lab, index: Index) -> None:
    wheel(index.root, "solo", "1.0")
    _bad_dependency(lab, index)
    environment = lab.environment()
    assert lab.pinstall(environment, "--report", "report.json", "solo").status == 0
    done = lab.pinstall(environment, "--report", "report.json", "demo")
    assert (done.status, _runs(done)) == (0, 2), done
    document = json.loads((lab.root / "report.json").read_text())
    assert "solo" not in [item["metadata"]["name"] for item in document["install"]]


def test_a_long_build_is_not_repeated(lab: Lab, index: Index) -> None:
    """But the next call does not use the pages that may have been the cause."""
    lab.pip(lab.environment(), "more==1.0")
    wheel(index.root, "more", "2.0")
    script = "import time; time.sleep(11); raise SystemExit('fails')"
    sdist(index.root, "slow", "1.0", script=script)
    done = lab.pinstall(lab.environment(), "more", "slow")
    assert _not_again(done).startswith("its builds took 1")
    index.forget()
    lab.pip(lab.environment(), "more")
    assert index.pages("more") == 1, "its page is asked for anew"


def test_a_prompt_for_a_user_name(lab: Lab, index: Index) -> None:
    """pip prompts, gets no answer, and fails."""
    _bad_dependency(lab, index)
    lab.environ.pop("PIP_NO_INPUT")
    closed = lab.index("closed")
    closed.user = "somebody:secret"
    done = lab.pinstall(lab.environment(), "demo==1.0", "--extra-index-url", closed.url)
    assert "asked a question" in _not_again(done)


def test_a_server_that_requires_a_login(lab: Lab, index: Index) -> None:
    _bad_dependency(lab, index)
    closed = lab.index("closed")
    closed.user = "somebody:secret"
    done = lab.pinstall(lab.environment(), "demo==1.0", "--extra-index-url", closed.url)
    assert _not_again(done) == "a server asks for a login"


def test_a_host_that_does_not_answer(lab: Lab, index: Index) -> None:
    _bad_dependency(lab, index)
    away = lab.index("away")
    url = away.url
    away.server.server_close()
    done = lab.pinstall(lab.environment(), "demo==1.0", "--extra-index-url", url, "--retries", "0")
    assert _not_again(done) == f"{url.split('/')[2]} did not answer"
    assert done.said[-1].endswith("; repeat the command when all servers answer")


@pytest.mark.parametrize("trouble", ["login", "silence"])
@pytest.mark.parametrize(("way", "word"), [("redirect", "part"), ("page", "more==1.0"), ("page", "part")])
def test_an_outdated_redirect_or_page_leads_to_a_host_that_does_not_serve(
    lab: Lab, index: Index, trouble: str, way: str, word: str
) -> None:
    """A file was on another host for a while, and the index knows that it is back."""
    there, name = lab.index("there"), "more-1.0-py3-none-any.whl"
    shutil.copy(index.root / name, there.root)
    base, respond = index.base, index.respond
    moved = (301, b"", {"Location": f"{there.base}/files/{name}", "Cache-Control": "max-age=31536000"})
    if way == "page":
        index.base = there.base
        shutil.copy(index.root / "part-1.0-py3-none-any.whl", there.root)
    else:
        index.respond = lambda path, accept: moved if path.endswith(name) else respond(path, accept)  # type: ignore[method-assign]
    lab.pip(lab.environment(), word)
    for body in lab.bodies():
        if body.read_bytes()[:2] == b"PK":
            body.unlink()
    index.base = base
    index.respond = respond  # type: ignore[method-assign]
    there.user = "somebody:secret"
    if trouble == "silence":
        there.server.shutdown()
        there.server.server_close()
        done = lab.run(["bash", "-c", f"echo {word} | {lab.environment().pinstall} --retries 0 -r /dev/stdin"])
        assert "read a pipe" in _not_again(done)
        assert any(line.endswith("; to find out, repeat the command with --no-cache-dir") for line in done.said), done
    environment = lab.environment()
    done = lab.pinstall(environment, "--retries", "0", word)
    assert environment.installed("more") == "1.0 1.0", done
    assert _runs(done) == 2


@pytest.mark.parametrize("served", [False, True])
def test_the_second_run_takes_no_namesake_from_another_index(lab: Lab, index: Index, *, served: bool) -> None:
    """The first index does not answer the second run, which would then take the namesake: dependency confusion."""
    wheel(index.root, "part", "1.0", requires=["more"])
    public = lab.index("public")
    wheel(public.root, "more", "0.5", "namesake")
    lab.pip(lab.environment(), "demo", "--extra-index-url", public.url)
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    # Its pages are cached, and its server does not answer: pip itself fails on the damaged file.
    respond = index.respond
    asked = []

    def respond_no_more(path: str, accept: str) -> tuple[int, bytes, dict[str, str]]:
        asked.append(path)
        return (503, b"", {}) if path.startswith("/simple/") else respond(path, accept)

    index.respond = respond_no_more  # type: ignore[method-assign]
    environment = lab.environment()
    way = ["--python", environment.python] if served else []
    words = [*way, "demo==1.0", "--extra-index-url", public.url, "--retries", "0"]
    done = lab.pinstall(lab.environment() if served else environment, *words)
    assert environment.installed("more") == "", done
    assert _runs(done) == 2
    assert done.status == 1
    assert environment.installed("demo") == "", "nothing was installed"
    assert asked


# How pip is watched.


def test_a_parent_that_blocks_sigchld(lab: Lab, index: Index) -> None:
    """A program that reads a signalfd blocks the signal, and its children inherit that."""
    environment = lab.environment()
    code = f"import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD]); os.execv({environment.pinstall!r}, "
    done = lab.run([environment.python, "-c", f"{code}['pinstall', 'demo==1.0'])"])
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 1.0"


@pytest.mark.parametrize("pip", _PIPS)
def test_output_and_status_of_a_watched_pip_that_fails_are_pips_own(lab: Lab, index: Index, pip: str) -> None:
    wheel(index.root, "other", "1.0", requires=["more<1"])
    words = ["demo==1.0", "other==1.0"]
    bare = lab.bare(lab.environment(pip), "install", *words)
    lab.cache.rename(lab.root / "kept")
    done = lab.pinstall(lab.environment(pip), *words)
    plain = [line for line in done.err.splitlines() if not line.startswith("pinstall: ")]
    assert (done.status, plain) == (bare.status, bare.err.splitlines())
