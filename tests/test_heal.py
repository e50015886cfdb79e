"""A pip that failed over its cache gets another try; one that failed for another reason does not."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab import flip
from tests.packages import extension, sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Lab, Result

_AGAIN = "the cache was to blame: pip runs once more"


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


def _acts(done: Result) -> list[str]:
    return [line.partition(" from the cache")[0] for line in done.said]


@pytest.mark.parametrize(("word", "hashes"), [("demo", ()), ("demo==1.0", ("sha256",)), ("demo[extra]>=1", ("sha256",))])
def test_a_dependency_that_nobody_pinned(lab: Lab, index: Index, word: str, hashes: tuple[str, ...]) -> None:
    index.hashes = hashes
    lab.pip(lab.environment(), word)
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    environment = lab.environment()
    done = lab.pinstall(environment, word)
    assert environment.installed("more") == "1.0 1.0", done
    assert _acts(done) == ["deleted more-1.0-py3-none-any.whl (download)", _AGAIN]
    assert done.said[0].endswith("; more>=1 (needed by part)")


@pytest.mark.parametrize("which", ["more", "demo"])
def test_what_was_left_half_installed_is_mended(lab: Lab, index: Index, which: str) -> None:
    """A bad CRC in the middle of an install: neither a retry nor --force-reinstall repairs that."""
    index.hashes = ()
    lab.pip(lab.environment(), "demo")
    body = _body(lab, index.root / "more-1.0-py3-none-any.whl")
    data = bytearray(body.read_bytes())
    data[data.index(b"more_padding.bin") + 1000] ^= 1  # in the content, which is stored as it is
    body.write_bytes(data)
    environment = lab.environment()
    done = lab.pinstall(environment, "demo")
    assert done.status == 0, done
    for project in ("demo", "part", "more"):
        assert environment.installed(project) == "1.0 1.0"
    (info,) = environment.folder.glob("lib/python*/site-packages/more-1.0.dist-info")
    assert (info / "RECORD").exists()
    assert lab.run([environment.pip, "uninstall", "-y", "more"]).status == 0


def test_a_build_requirement(lab: Lab, index: Index) -> None:
    """What the sdist needs to be built is met by a pip that pip starts."""
    sdist(index.root, "built", "1.0", build_requires=["more"])
    lab.pip(lab.environment(), "built==1.0")
    for built in lab.wheels():
        built.unlink()
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    environment = lab.environment()
    done = lab.pinstall(environment, "built==1.0")
    assert environment.installed("built") == "1.0 1.0", done
    assert _acts(done) == ["deleted more-1.0-py3-none-any.whl (download)", _AGAIN]


def test_a_built_wheel_of_a_dependency(lab: Lab, index: Index) -> None:
    sdist(index.root, "source", "1.0")
    wheel(index.root, "user", "1.0", requires=["source"])
    lab.pip(lab.environment(), "user")
    (built,) = lab.wheels()
    built.write_bytes(built.read_bytes()[:200])
    environment = lab.environment()
    done = lab.pinstall(environment, "user==1.0")
    assert environment.installed("source") == "1.0 1.0", done
    assert _acts(done) == ["deleted source-1.0-py3-none-any.whl (built wheel)", _AGAIN]


def test_a_download_whose_page_was_not_there(lab: Lab, index: Index) -> None:
    """It cannot be found before pip has asked for the page."""
    lab.pip(lab.environment(), "more==1.0")
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    for page in lab.pages():
        page.unlink()
        page.with_suffix("").unlink()
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 1.0", done
    assert _acts(done) == ["deleted more-1.0-py3-none-any.whl (download)", _AGAIN]


def test_a_file_that_was_published_anew(lab: Lab, index: Index) -> None:
    """The page is asked for each time, so that its new hash is known too late."""
    index.page_age = 0
    lab.pip(lab.environment(), "more==1.0")
    wheel(index.root, "more", "1.0", "new", padding=20_000)
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 new", done


def _lie(lab: Lab) -> None:
    """Change a digit of the hash in the cached page, as a bad disk may."""
    (page,) = lab.pages()
    text = page.read_text()
    at = text.index('"sha256": "') + len('"sha256": "')
    page.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])


def test_a_page_that_states_a_damaged_hash(lab: Lab, index: Index) -> None:
    lab.pip(lab.environment(), "more==1.0")
    _lie(lab)
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 1.0", done
    assert [line.partition(":")[0] for line in done.said] == [
        "deleted more-1.0-py3-none-any.whl (download) from the cache",
        "deleted index page of more from the cache",
        "the cache was to blame",
    ]


def test_an_index_that_lies_gets_one_try(lab: Lab, index: Index) -> None:
    lab.pip(lab.environment(), "more==1.0")
    name = "more-1.0-py3-none-any.whl"
    index.lies[name] = "0" * 64
    for page in lab.pages():
        page.unlink()
        page.with_suffix("").unlink()
    index.forget()
    tries = []
    for _ in range(2):
        before = len(index.fetched)
        assert lab.pinstall(lab.environment(), "more==1.0").status == 1
        tries.append(len(index.fetched) - before)
    assert tries[-1] == 0, "what the index gives is left alone"


def test_a_sound_cache_is_not_to_blame(lab: Lab, index: Index) -> None:
    lab.environ["build_log"] = str(lab.root / "built")
    extension(index.root, "broken", "1.0", "#error")
    lab.pip(lab.environment(), "demo")
    done = lab.pinstall(lab.environment(), "demo==1.0", "broken==1.0")
    assert done.status == 1
    assert done.said == ["the cache is not to blame: all 4 entries of it that this call could have used proved sound"]
    assert (lab.root / "built").read_text().split() == ["broken"], "it was not built twice"
    assert lab.pinstall(lab.environment(), "demo==1.0", "broken==1.0", "-q").said == []


@pytest.mark.parametrize(
    ("words", "status"),
    [(["no-such-project==1.0"], 1), (["--no-such-option"], 2), (["-r", "no-such-file"], 1), ([], 1)],
    ids=str,
)
def test_a_failure_over_which_the_cache_has_nothing(lab: Lab, index: Index, words: list[str], status: int) -> None:
    bare = lab.run([lab.environment().pip, "install", *words])
    done = lab.pinstall(lab.environment(), *words)
    assert (done.status, done.said) == (status, [])
    assert done.err == bare.err


def test_other_projects_are_left_alone(lab: Lab, index: Index) -> None:
    wheel(index.root, "other", "1.0", padding=30_000)
    lab.pip(lab.environment(), "demo", "other")
    other = _body(lab, index.root / "other-1.0-py3-none-any.whl")
    flip(other)
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    before = other.read_bytes()
    assert lab.pinstall(lab.environment(), "demo==1.0").status == 0
    assert other.read_bytes() == before


@pytest.mark.parametrize(
    "variables", [{"PINSTALL_POLICY": "report"}, {"PINSTALL_POLICY": "off"}, {"PIP_NO_CACHE_DIR": "1"}], ids=str
)
def test_where_nothing_is_to_be_changed(lab: Lab, index: Index, variables: dict[str, str]) -> None:
    lab.pip(lab.environment(), "demo")
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    before = sorted((path, path.read_bytes()) for path in lab.bodies())
    lab.pinstall(lab.environment(), "demo==1.0", **variables)
    assert sorted((path, path.read_bytes()) for path in lab.bodies()) == before


def _bad_dependency(lab: Lab, index: Index) -> None:
    """Let the cache have demo and what it needs, a part of which is bad: a failure would be healed."""
    lab.pip(lab.environment(), "demo")
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupted_pip_is_not_healed(lab: Lab, index: Index, number: signal.Signals) -> None:
    """pip's own status for Ctrl-C is 1, as for any failure."""
    _bad_dependency(lab, index)
    mark = lab.root / "waiting"
    lab.environ["waiting"] = str(mark)
    sdist(
        index.root,
        "slow",
        "1.0",
        script="import os, pathlib, time; pathlib.Path(os.environ['waiting']).touch(); time.sleep(60)",
    )
    command = [lab.environment().pinstall, "slow==1.0", "demo==1.0"]
    with subprocess.Popen(command, env=lab.environ, cwd=lab.root, stderr=subprocess.PIPE, start_new_session=True) as child:
        while not mark.exists():
            time.sleep(0.02)
            assert child.poll() is None
        child.send_signal(number)
        _, err = child.communicate(timeout=30)
    assert child.returncode == (1 if number == signal.SIGINT else 128 + number)
    assert b"pinstall: " not in err


@pytest.mark.parametrize("words", [["--no-such-option"], ["--retries", "many"], ["-r", "no-such-file"], ["--hash=x"]], ids=str)
def test_a_pip_that_never_began_is_not_healed(lab: Lab, index: Index, words: list[str]) -> None:
    _bad_dependency(lab, index)
    bare = lab.run([lab.environment().pip, "install", *words, "demo==1.0"])
    done = lab.pinstall(lab.environment(), *words, "demo==1.0")
    assert (done.status, done.said) == (bare.status, [])
    assert done.err == bare.err


def _builds(lab: Lab) -> list[str]:
    path = lab.root / "built"
    return path.read_text().split() if path.exists() else []


def test_a_failing_build_is_not_tried_again_for_an_entry_that_the_call_could_not_use(lab: Lab, index: Index) -> None:
    """Bad are: another project, and another version and another interpreter's wheel of what is needed."""
    lab.environ["build_log"] = str(lab.root / "built")
    extension(index.root, "broken", "1.0", "#error")
    wheel(index.root, "more", "0.1", padding=30_000)
    wheel(index.root, "other", "1.0", padding=40_000)
    lab.pip(lab.environment(), "demo", "other")
    lab.pip(lab.environment(), "more==0.1")
    for name in ("other-1.0", "more-0.1"):
        flip(_body(lab, index.root / f"{name}-py3-none-any.whl"))
    done = lab.pinstall(lab.environment(), "demo==1.0", "broken==1.0")
    assert done.status == 1
    assert _builds(lab) == ["broken"]
    assert [line.partition(":")[0] for line in done.said] == ["the cache is not to blame"]


def test_a_failing_build_gets_one_more_try_at_most(lab: Lab, index: Index) -> None:
    """A bad entry that the call could have used may have made it fail."""
    lab.environ["build_log"] = str(lab.root / "built")
    extension(index.root, "broken", "1.0", "#error")
    _bad_dependency(lab, index)
    done = lab.pinstall(lab.environment(), "broken==1.0", "demo==1.0")
    assert done.status == 1
    assert len(_builds(lab)) <= 2
    lab.root.joinpath("built").unlink(missing_ok=True)
    lab.pinstall(lab.environment(), "broken==1.0", "demo==1.0")
    assert _builds(lab) == ["broken"]


def _unlisted(lab: Lab) -> Index:
    """Let pip cache demo 1.0 from an index whose pages it does not keep."""
    index = lab.index("unlisted")
    index.page_age = None
    wheel(index.root, "demo", "1.0", "good", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    assert lab.pages() == []
    return index


def test_a_damaged_download_that_no_page_leads_to(lab: Lab) -> None:
    index = _unlisted(lab)
    (body,) = lab.bodies()
    flip(body)
    wheel(index.root, "bystander", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "bystander==1.0")
    flip(next(path for path in lab.bodies() if path != body))
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 good"
    assert [line.partition(" (")[0] for line in done.said] == [
        "deleted demo-1.0.whl",
        "the cache was to blame: pip runs once more",
    ]
    assert len(lab.bodies()) == 2, "what this call could not have used is left alone"


def test_a_file_published_anew_that_no_page_leads_to(lab: Lab) -> None:
    """The pin's hash tells which is meant."""
    index = _unlisted(lab)
    new = wheel(index.root, "demo", "1.0", "new", padding=20_000)
    (lab.root / "requirements.txt").write_text(f"demo==1.0 --hash=sha256:{hashlib.sha256(new.read_bytes()).hexdigest()}\n")
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "-r", "requirements.txt")
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 new"
    assert done.said[0].startswith("set aside demo-1.0.whl (download): other-file")


def test_the_cache_is_not_walked_where_an_index_lets_its_pages_be_kept(lab: Lab) -> None:
    index = lab.index()
    index.page_age = None
    wheel(index.root, "demo", "1.0", padding=20_000)
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    flip(lab.bodies()[0])
    index.page_age = 600
    wheel(index.root, "setuptools", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "setuptools==1.0", "--target", str(lab.root / "target"))
    index.page_age = None
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    assert done.status == 1
    assert done.said == []


@pytest.mark.parametrize(("status", "tagged"), [(301, False), (302, False), (307, True), (308, True)])
def test_a_damaged_download_to_which_links_are_redirected(lab: Lab, index: Index, status: int, *, tagged: bool) -> None:
    """pip keeps permanent redirects, those with an ETag by half."""
    index.tagged = tagged
    name = "more-1.0-py3-none-any.whl"
    index.redirects[f"/files/{name}"] = (status, f"/files/moved/{name}")
    lab.pip(lab.environment(), "more==1.0")
    flip(_body(lab, index.root / name))
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 1.0", done


def test_all_that_is_bad_goes_though_one_hides_the_next(lab: Lab, index: Index) -> None:
    """A wheel that cannot be read does not tell what it needs."""
    lab.pip(lab.environment(), "demo")
    for body in lab.bodies():
        body.write_bytes(b"PK\x03\x04" + bytes(body.stat().st_size - 4))
    environment = lab.environment()
    done = lab.pinstall(environment, "demo")
    assert [environment.installed(name) for name in ("demo", "part", "more")] == ["1.0 1.0"] * 3, done
    assert _acts(done).count(_AGAIN) == 3


@pytest.mark.parametrize("word", ["demo>=1", "demo==1.0"])
def test_a_page_from_before_a_release_that_nobody_pinned(lab: Lab, index: Index, word: str) -> None:
    """It is younger than its time, so pip does not ask for another."""
    lab.pip(lab.environment(), "more==1.0")
    wheel(index.root, "more", "2.0")
    wheel(index.root, "part", "1.0", requires=["more>=2"])
    environment = lab.environment()
    done = lab.pinstall(environment, word)
    assert environment.installed("more") == "2.0 2.0", done
    assert _acts(done)[0] == "deleted index page of more"
    assert lab.pinstall(lab.environment(), "more>=3").status == 1


def test_a_page_that_the_index_has_just_confirmed_is_not_stale(lab: Lab, index: Index) -> None:
    """Of a "not modified", pip writes the head anew."""
    lab.pip(lab.environment(), "more==1.0")
    (page,) = lab.pages()
    confirmed = time.time() + 3_600  # as if in the call to come
    os.utime(page.with_suffix(""), (confirmed, confirmed))
    done = lab.pinstall(lab.environment(), "more>=2")
    assert (done.status, page.exists()) == (1, True)
    assert _AGAIN not in done.said


def test_a_page_from_before_a_wheel_was_added(lab: Lab, index: Index) -> None:
    sdist(index.root, "source", "1.0")
    lab.pip(lab.environment(), "source==1.0")
    wheel(index.root, "source", "1.0", "wheel")
    environment = lab.environment()
    done = lab.pinstall(environment, "source==1.0", "--only-binary", ":all:")
    assert environment.installed("source") == "1.0 wheel", done


def test_a_page_from_before_a_file_was_published_anew(lab: Lab, index: Index) -> None:
    lab.pip(lab.environment(), "more==1.0")
    for body in lab.bodies():
        body.unlink()
        body.with_suffix("").unlink()
    wheel(index.root, "more", "1.0", "new", padding=20_000)
    environment = lab.environment()
    done = lab.pinstall(environment, "more==1.0")
    assert environment.installed("more") == "1.0 new", done
    assert _acts(done)[-1] == _AGAIN


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_what_a_local_project_needs_to_be_built(lab: Lab, index: Index, form: str) -> None:
    lab.pip(lab.environment(), "more==1.0")
    flip(_body(lab, index.root / "more-1.0-py3-none-any.whl"))
    archive = sdist(lab.root / "here", "local", "1.0", build_requires=["more"])
    if form == "folder":
        lab.run(["tar", "xzf", archive, "-C", archive.parent])
    environment = lab.environment()
    done = lab.pinstall(environment, f"{archive.parent}/local-1.0" if form == "folder" else archive)
    assert environment.installed("local") == "1.0 1.0", done
    assert _acts(done) == ["deleted more-1.0-py3-none-any.whl (download)", _AGAIN]
