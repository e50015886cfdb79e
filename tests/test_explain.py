"""``pinstall --explain`` says what a call then does, changes nothing, and shows no secret."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from tests.lab import flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Lab

_SECRETS = ("somebody", "hunter2", "t0ken")


def _seen(*folders: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
        for folder in folders
        for path in (folder, *folder.rglob("*"))
    }


def _fill(lab: Lab, index: Index) -> None:
    for version in ("1.0", "2.0"):
        wheel(index.root, "demo", version, padding=50_000)
    wheel(index.root, "sound", "1.0")
    sdist(index.root, "built", "1.0")
    for version in ("1.0", "2.0"):
        lab.pip(lab.environment(), "-i", index.url, f"demo=={version}", "sound==1.0", "built==1.0")


def _lines(text: str, beginning: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith(beginning)]


def test_what_is_explained_is_done_and_nothing_before(lab: Lab) -> None:
    index = lab.seeded(_fill)
    flip(next(body for body in lab.bodies() if b"demo-1.0.dist-info" in body.read_bytes()))
    (lab.root / "r.txt").write_text("demo==1.0\ndemo2\nbuilt==1.0\nsound==1.0\nabsent==1.0; python_version < '3'\n")
    environment = lab.environment()
    words = ("-i", index.url, "-r", "r.txt")
    before = _seen(lab.cache, environment.folder)
    index.requests.clear()
    done = lab.pinstall(environment, "--explain", *words, CFLAGS="-O1", PINSTALL_REPORT=str(lab.root / "report.json"))
    assert (done.status, done.err, index.requests) == (1, "", [])
    assert _seen(lab.cache, environment.folder) == before
    assert not (lab.root / "report.json").exists()
    assert _lines(done.out, "demo==1.0") == ["demo==1.0 (r.txt, line 1); not installed"]
    assert _lines(done.out, "download sound") == [
        "download sound-1.0-py3-none-any.whl: pip uses it: its sha256 is what the index or URL states"
    ]
    assert _lines(done.out, "builds") == ["builds       shaped by CFLAGS (values not shown)"]
    assert _lines(done.out, "not pinned") == [
        "not pinned, or not for this environment: demo2 (r.txt, line 2), absent (r.txt, line 5)"
    ]
    (damaged,) = [line for line in done.out.splitlines() if "pinstall removes it" in line]
    assert "demo-1.0-py3-none-any.whl" in damaged
    why = damaged.partition("removes it: ")[2]
    (lab.root / "r.txt").write_text("demo==1.0\nbuilt==1.0\nsound==1.0\n")
    real = lab.pinstall(environment, *words, CFLAGS="-O1")
    assert any(why in line for line in real.said), (damaged, real.said)


def test_wheels_that_are_built_anew_and_a_file_in_the_store(lab: Lab) -> None:
    index = lab.seeded(_fill)
    done = lab.pinstall(lab.environment(), "--explain", "-i", index.url, "demo==1.0")
    assert "other versions of demo, which would move to pinstall's store after pip: demo-2.0-py3-none-any.whl" in done.out
    lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")  # demo 2.0 moves to the store
    done = lab.pinstall(lab.environment(), "--explain", "-i", index.url, "demo==2.0", "built==1.0", "-C", "x=hunter2")
    assert done.status == 1
    assert "download demo-2.0-py3-none-any.whl in pinstall's store: pinstall restores it: its sha256" in done.out
    assert _lines(done.out, "built wheel built")[0].endswith("(other-build)")
    assert "pip would get a folder of links to its cache (a view)" in done.out
    assert "other versions" not in done.out, "a call has pinned demo 1.0 lately"
    assert "hunter2" not in done.out
    loose = lab.pinstall(lab.environment(), "--explain", "-i", index.url, "demo")
    assert "\ndemo\n    download demo-2.0-py3-none-any.whl in pinstall's store: pinstall restores it" in loose.out


def test_a_satisfied_call_and_calls_that_pip_refuses(lab: Lab) -> None:
    index = lab.seeded(_fill)
    environment = lab.environment()
    lab.pip(environment, "-i", index.url, "sound==1.0")
    done = lab.pinstall(environment, "-i", index.url, "sound==1.0", "--explain")
    assert (done.status, done.err) == (0, "")
    assert "sound==1.0 (argument); installed: 1.0\n    pip leaves it as it is" in done.out
    for words, said in {
        ("--no-such-option",): "no such option: --no-such-option",
        ("-r", "no-such-file"): "no-such-file cannot be read",
    }.items():
        refused = lab.pinstall(environment, "--explain", *words)
        assert (refused.status, refused.err) == (2, "")
        assert f"not checked: {said}; pip refuses that, or it is newer than this pinstall" in refused.out
    (lab.root / "c.txt").write_text("sound==1.0\n")
    (lab.root / "d.txt").write_text("demo<2\n")
    (lab.root / "h.txt").write_text(f"sound==1.0 --hash=sha256:{'0' * 64}\ndemo==2.0\n")
    (lab.root / "all.txt").write_text("--require-hashes\n")
    for words, said in {
        ("-c", "c.txt"): "pip refuses the call: it names no requirement",
        ("sound=1",): "pip refuses 'sound=1' (argument): it is neither a valid requirement nor a path that exists",
        ("--require-hashes", "demo==2.0"): "pip refuses demo==2.0 (argument): it has no hash, and the call requires hashes",
        ("demo==2.0", "-c", "d.txt"): "pip refuses demo<2 (d.txt, line 1) and demo==2.0 (argument): they contradict each other",
        ("demo==1.0", "demo==2.0"): "pip refuses demo==1.0 (argument) and demo==2.0 (argument): they contradict each other",
        ("sound==1.0; nonsense",): "pip refuses 'sound==1.0; nonsense' (argument)",
        ("-r", "h.txt"): "pip refuses demo==2.0 (h.txt, line 2): it has no hash, and the call requires hashes",
        ("-r", "h.txt", "PIP_REQUIRE_HASHES=0"): "pip refuses demo==2.0 (h.txt, line 2): it has no hash",
        ("demo==2.0", "PIP_REQUIRE_HASHES=1"): "pip refuses demo==2.0 (argument): it has no hash, and the call requires hashes",
        ("demo==2.0", "-r", "all.txt"): "pip refuses demo==2.0 (argument): it has no hash, and the call requires hashes",
        ("-rall.txt", "--no-require-hashes"): "pip refuses --require-hashes and --no-require-hashes in one call",
        ("./none", "sound==1.0"): "pip refuses './none' (argument): it is neither a valid requirement nor a path that exists",
    }.items():
        variables = dict(word.split("=") for word in words if word.startswith("PIP_"))
        given = [word for word in words if not word.startswith("PIP_")]
        refused = lab.pinstall(environment, "--explain", *given, **variables)
        assert (refused.status, refused.err) == (2, "")
        assert said in refused.out
        bare = lab.bare(environment, "install", "-i", index.url, *given, **variables)
        assert re.search(
            "Invalid requirement|at least one requirement|Hashes are required|ResolutionImpossible|mutually exclusive", bare.err
        ), "so does pip"
    behind = lab.pinstall(environment, "-q", "--dry-run", "--no-index", "--", "--explain")
    assert behind.status != 0, "behind -- it is a requirement, and pip refuses it"
    assert "pinstall" not in behind.out


@pytest.mark.parametrize("place", ["argument", "variable", "file"])
def test_hashes_that_a_call_does_not_require(lab: Lab, place: str) -> None:
    """pip 26.2 and later can be told not to require hashes of all requirements because one has them."""
    index = lab.seeded(_fill)
    environment = lab.environment()
    digest = hashlib.sha256((index.root / "sound-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    option = "--no-require-hashes\n" if place == "file" else ""
    (lab.root / "r.txt").write_text(f"{option}sound==1.0 --hash=sha256:{digest}\ndemo==2.0\n")
    words = ("-i", index.url, "-r", "r.txt", *(("--no-require-hashes",) if place == "argument" else ()))
    variables = {"PIP_NO_REQUIRE_HASHES": "1"} if place == "variable" else {}
    done = lab.pinstall(environment, "--explain", *words, **variables)
    assert (done.status, done.err) == (0, "")
    assert "pip refuses" not in done.out
    lab.pip(environment, *words, **variables)
    assert environment.installed("demo") == "2.0 2.0"


def test_a_call_without_a_cache(lab: Lab) -> None:
    shown = lab.pinstall(lab.environment(), "--explain", "--no-cache-dir", "demo==1.0").out
    assert "demo==1.0 (argument); not installed\n    not checked: pip uses no cache\n" in shown


def test_other_commands_are_explained(lab: Lab) -> None:
    index = lab.seeded(_fill)
    command = lab.environment().folder / "bin" / "pinstall-pip"
    for words in (["--explain", "download"], ["wheel", "--explain"]):
        done = lab.run([command, *words, "-i", index.url, "--no-binary", "sound", "--no-build-isolation", "demo==1.0"])
        assert (done.status, done.err) == (0, "")
        assert "download demo-1.0-py3-none-any.whl: pip uses it" in done.out
        options = ("--no-build-isolation", "--no-binary sound")
        assert [line for line in done.out.splitlines() if line.strip().endswith(options)] == [
            "options      --no-build-isolation",
            "             --no-binary sound",
        ]
    assert sorted(path.name for path in lab.root.glob("*.whl")) == []


def test_a_page_is_asked_for_again(lab: Lab) -> None:
    index = lab.seeded(_fill)
    wheel(index.root, "demo", "3.0")
    done = lab.pinstall(lab.environment(), "--explain", "-i", index.url, "demo==3.0")
    assert "pip asks the index for it again: the cached one is" in done.out, done.out


def test_secrets_are_not_shown(lab: Lab) -> None:
    """They may be in URLs, queries, options and variables."""
    url = "https://somebody:hunter2@localhost:1/simple?key=t0ken"
    words = ("-i", url, "--extra-index-url", url, "-f", url, "--proxy", "somebody:hunter2@p:1", f"demo @ {url}#egg=demo", url)
    more = ("--client-cert", "/t0ken", "-C", "token=hunter2", "-r", url, "--trusted-host", "localhost")
    variables = {"CFLAGS": "-Dx=hunter2", "PIP_EXTRA_INDEX_URL": url, "DEMO_TOKEN": "t0ken"}
    done = lab.pinstall(lab.environment(), "--explain", *words, *more, **variables)
    assert (done.status, done.err) == (1, "")
    assert "https://localhost:1/simple" in done.out
    assert [secret for secret in _SECRETS if secret in done.out] == []
    assert "not checked: https://localhost:1/simple: pinstall does not read files from URLs" in done.out


def test_the_policy_and_invalid_settings(lab: Lab) -> None:
    variables = {"PINSTALL_POLICY": "off", "PINSTALL_STORE_SIZE": "lots", "PIP_NO_CACHE_DIR": "1"}
    done = lab.pinstall(lab.environment(), "--explain", "demo==1.0", **variables)
    assert _lines(done.out, "policy") == [
        "policy       off: pinstall runs plain pip and checks nothing; below is what it would do otherwise"
    ]
    assert "ignoring invalid PINSTALL_STORE_SIZE='lots' (expected e.g. 500M); using 5G" in done.out
    assert "cache        none: pip's cache is disabled" in done.out
