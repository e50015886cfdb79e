"""pinstall removes downloads that do not match their pin, with one line that states the reason; all others stay."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import NEWEST, VERSIONS, flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Lab

_PADDING = 20_000


def _cached(lab: Lab, index: Index, *words: str) -> Path:
    """Let pip cache demo 1.0 from *index*; return the path of the cached body."""
    wheel(index.root, "demo", "1.0", "good", padding=_PADDING)
    lab.pip(lab.environment(), *(words or ("-i", index.url, "demo==1.0")))
    (body,) = lab.bodies()
    return body


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_PAGES: dict[str, dict[str, Any]] = {
    "json": {},
    "html": {"json": False},
    "gzip": {"encoding": "gzip"},
    "gzip-members": {"encoding": "gzip in two members"},
    "deflate": {"encoding": "deflate"},
    "raw-deflate": {"encoding": "deflate without a header"},
    "relative-links": {"relative": True, "json": False},
    "md5-alone": {"hashes": ("md5",)},
    "md5-first": {"hashes": ("md5", "sha256")},
    "blake2b-alone": {"hashes": ("blake2b",)},
    "no-hash": {"hashes": ()},
    "html-no-hash": {"hashes": (), "json": False},
    "with-metadata-files": {"metadata": True},
    "permanently-moved": {"redirects": {"/files/demo-1.0-py3-none-any.whl": (308, "/files/moved/demo-1.0-py3-none-any.whl")}},
}


@pytest.mark.parametrize("page", _PAGES.values(), ids=_PAGES)
def test_a_flipped_bit_is_found_with_every_kind_of_page(lab: Lab, page: dict[str, Any]) -> None:
    index = lab.index()
    for name, value in page.items():
        setattr(index, name, value)
    flip(_cached(lab, index))
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 good"
    assert len(done.said) == 1
    assert done.said[0].startswith("removed demo-1.0-py3-none-any.whl from pip's cache: ")
    assert done.said[0].endswith("; for demo==1.0 (argument)")


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("user", ["", "somebody:s3cr%40t"])
def test_the_page_is_found_with_every_spelling_of_the_index_url(lab: Lab, slash: str, user: str) -> None:
    index = lab.index()
    index.user = "somebody:s3cr@t" if user else ""
    url = index.url.rstrip("/").replace("://", f"://{user}@" if user else "://") + slash
    flip(_cached(lab, index, "-i", url, "demo==1.0"))
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", url, "demo==1.0")
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 good"
    assert "wrong-hash" in done.err
    assert "s3cr" not in done.err
    written = [path.read_bytes() for path in (lab.cache / "pinstall").rglob("*") if path.is_file()]
    assert written
    assert not any(b"s3cr" in data or b"somebody" in data for data in written)


def test_pins_are_found_in_arguments_files_variables_and_configuration(lab: Lab) -> None:
    index = lab.index()
    body = _cached(lab, index)
    (lab.root / "reqs").mkdir()
    (lab.root / "reqs" / "base.txt").write_text(f"-i {index.url}\n-r more.txt\n")
    (lab.root / "reqs" / "more.txt").write_text("# pins\nDemo[fast] \\\n  ==1.0 ; python_version > '3'  # why\n")
    (lab.root / "constraints.txt").write_text("\ndemo == 1.0\n")
    (lab.root / "pip.conf").write_text(f"[global]\nindex-url = {index.url}\n[install]\nconstraint = constraints.txt\n")
    calls: list[tuple[list[str], dict[str, str], str]] = [
        (["-qrreqs/base.txt"], {}, "reqs/more.txt, line 2"),
        (["-i", index.url, "demo", "-c", "constraints.txt"], {}, "constraints.txt, line 2"),
        (["demo"], {"PIP_INDEX_URL": index.url, "PIP_CONSTRAINT": "constraints.txt"}, "constraints.txt, line 2"),
        (["demo"], {"PIP_CONFIG_FILE": str(lab.root / "pip.conf")}, "constraints.txt, line 2"),
        (["--index", index.url, "--", "demo===1.0"], {}, "argument"),
    ]
    for words, variables, place in calls:
        flip(body)
        environment = lab.environment()
        done = lab.pinstall(environment, *words, **variables)
        assert environment.installed("demo") == "1.0 good", done
        assert done.said[0].endswith(f"({place})"), words


def test_a_republished_file_is_fetched_for_a_pin_with_its_hash(lab: Lab) -> None:
    """Plain pip fails each time with THESE PACKAGES DO NOT MATCH."""
    index = lab.index()
    index.hashes = ()
    _cached(lab, index)
    new = wheel(index.root, "demo", "1.0", "new")
    (lab.root / "requirements.txt").write_text(f"-i {index.url}\ndemo==1.0 --hash=sha256:{_sha256(new)}\n")
    environment = lab.environment()
    done = lab.pinstall(environment, "-r", "requirements.txt")
    assert environment.installed("demo") == "1.0 new", done
    assert done.said == [
        (
            "moved demo-1.0-py3-none-any.whl from pip's cache to pinstall's store: its hash is not one of the pinned hashes "
            "(other-file); pinstall moves it back when its hash is pinned; for demo==1.0 (requirements.txt, line 2)"
        )
    ]


def test_digests_on_a_page_older_than_the_pin_do_not_count(lab: Lab) -> None:
    index = lab.index()
    _cached(lab, index)
    new = wheel(index.root, "demo", "1.0", "new")
    (lab.root / "requirements.txt").write_text(f"-i {index.url}\ndemo==1.0 --hash=sha256:{_sha256(new)}\n")
    environment = lab.environment()
    done = lab.pinstall(environment, "-r", "requirements.txt")
    assert environment.installed("demo") == "1.0 new", done


def test_the_other_files_of_a_hash_pinned_version_stay(lab: Lab) -> None:
    index = lab.index()
    archive = sdist(index.root, "demo", "1.0", "built")
    body = _cached(lab, index)
    (lab.root / "requirements.txt").write_text(f"-i {index.url}\ndemo==1.0 --hash=sha256:{_sha256(archive)}\n")
    environment = lab.environment()
    done = lab.pinstall(environment, "-r", "requirements.txt")
    assert environment.installed("demo") == "1.0 built", done
    assert done.said == []
    assert body.exists()


@pytest.mark.parametrize("folder", [True, False])
def test_a_local_page_of_links_states_hashes(lab: Lab, folder: bool) -> None:
    """pip reads the pages in a folder of --find-links, too."""
    index = lab.index()
    path = wheel(index.root, "demo", "1.0", "good", padding=_PADDING)
    (lab.root / "links").mkdir()
    page = lab.root / "links" / "links.html"
    page.write_text(f'<a href="{index.base}/files/{path.name}#sha256={_sha256(path)}">{path.name}</a>')
    words = ("--no-index", "-f", str(page.parent if folder else page), "demo==1.0")
    flip(_cached(lab, index, *words))
    environment = lab.environment()
    done = lab.pinstall(environment, *words)
    assert environment.installed("demo") == "1.0 good", done
    assert " (wrong-hash)" in done.said[0]


@pytest.mark.parametrize("fragment", [True, False])
def test_direct_urls(lab: Lab, fragment: bool) -> None:
    index = lab.index()
    path = wheel(index.root, "demo", "1.0", "good", padding=_PADDING)
    url = f"{index.base}/files/{path.name}" + (f"#sha256={_sha256(path)}" if fragment else "")
    for requirement in (f"demo @ {url}", url):
        flip(_cached(lab, index, requirement))
        environment = lab.environment()
        done = lab.pinstall(environment, requirement)
        assert environment.installed("demo") == "1.0 good", done
        assert done.said[0].endswith("; for demo @ URL (argument)")
        assert index.base not in done.err


def test_a_metadata_file_must_have_the_hash_on_the_page(lab: Lab) -> None:
    index = lab.index()
    index.metadata = True
    _cached(lab, index)
    (metadata,) = [p for p in (lab.cache / "http-v2").rglob("*.body") if p.read_bytes().startswith(b"Metadata-Version")]
    flip(metadata)
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 good", done
    assert done.said[0].startswith("removed demo-1.0-py3-none-any.whl.metadata from pip's cache: its hash is ")


def test_downloads_that_are_unpinned_or_for_another_python_are_left_alone(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "other", "1.0", padding=_PADDING)
    wheel(index.root, "demo", "1.0", padding=_PADDING)
    wheel(index.root, "demo", "1.0", "foreign", tag="cp27-none-any", padding=_PADDING)
    lab.pip(lab.environment(), "-i", index.url, "demo", "other")
    target = ("--target", lab.root / "t", "--no-deps", "--implementation", "cp", "--python-version", "2.7")
    lab.pip(lab.environment(), "-i", index.url, "demo", *target, "--only-binary", ":all:")
    bodies = lab.bodies()
    assert len(bodies) == 3
    for body in bodies:
        flip(body)
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    assert [line.partition(" from ")[0] for line in done.said] == ["removed demo-1.0-py3-none-any.whl"]
    # One is new; the two others lie there as they were.
    assert len([body for body in bodies if body.exists()]) == 3


def test_a_download_for_another_platform_is_checked_if_requested(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0", tag="cp39-cp39-win_amd64", padding=_PADDING)
    words = ("-i", index.url, "demo==1.0", "--target", lab.root / "t", "--platform", "win_amd64", "--python-version", "3.9")
    lab.pip(lab.environment(), *words, "--only-binary", ":all:")
    flip(lab.bodies()[0])
    done = lab.pinstall(lab.environment(), *words, "--only-binary", ":all:", "--upgrade")
    assert (done.status, len(done.said)) == (0, 1), done
    assert "wrong-hash" in done.said[0]


def test_a_page_that_lists_the_version_only_for_other_platforms(lab: Lab) -> None:
    """It does not count as stale before pip fails. Then a wheel for this platform may have been published since."""
    index = lab.index()
    wheel(index.root, "demo", "1.0", tag="cp39-cp39-win_amd64")
    wheel(index.root, "demo", "2.0")
    lab.pip(lab.environment(), "-i", index.url, "demo")
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    assert done.status == 1
    assert [line.partition(":")[0] for line in done.said] == [
        "pip runs once more without cached files that may be outdated or damaged",
        "pip failed again without the cached files that were in doubt, so the cache is probably not to blame",
        "demo cannot be installed",
    ]
    wheel(index.root, "demo", "1.0")
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0").status == 0


def test_a_file_that_pip_refuses_costs_one_download_a_call_and_does_not_stay(lab: Lab) -> None:
    """The URL states a wrong hash. If its server was only wrong for a minute, the next call must ask it again."""
    index = lab.index()
    path = wheel(index.root, "demo", "1.0", "good", padding=_PADDING)
    url = f"demo @ {index.base}/files/{path.name}"
    lab.pip(lab.environment(), url)
    for _ in range(2):
        index.forget()
        assert lab.pinstall(lab.environment(), f"{url}#sha256={'0' * 64}").status == 1
        assert index.fetched == [path.name]
    index.forget()
    lab.pip(lab.environment(), url)
    assert index.fetched == [path.name]


def test_a_sound_cache_is_used_without_a_message(lab: Lab) -> None:
    index = lab.index()
    sdist(index.root, "built", "1.0")
    wheel(index.root, "demo", "1.0")
    words = ("-i", index.url, "demo==1.0", "built==1.0")
    lab.pip(lab.environment(), *words)
    index.forget()
    for _ in range(2):
        bare, ours = lab.environment(), lab.environment()
        expected = lab.pip(bare, *words)
        done = lab.pinstall(ours, *words)
        assert index.fetched == []
        assert (done.status, done.err) == (0, expected.err)
        assert done.out == expected.out.replace(str(bare.folder), str(ours.folder))


def test_a_satisfied_call_leaves_the_cache_alone(lab: Lab) -> None:
    index = lab.index()
    flip(_cached(lab, index))
    environment = lab.environment()
    lab.pip(environment, "--no-cache-dir", "-i", index.url, "demo==1.0")
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert (done.status, done.err) == (0, "")
    assert not (lab.cache / "pinstall").exists()


@pytest.mark.parametrize("requirement", ["demo==1.0", "demo"])
def test_a_dry_run_succeeds_over_a_damaged_download(lab: Lab, requirement: str) -> None:
    index = lab.index()
    flip(_cached(lab, index))
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, requirement, "--dry-run", "--report", "r.json")
    assert (done.status, environment.installed("demo")) == (0, ""), done
    (reported,) = json.loads((lab.root / "r.json").read_text())["install"]
    assert reported["download_info"]["archive_info"]["hashes"]["sha256"] == _sha256(index.root / "demo-1.0-py3-none-any.whl")


def test_the_report_policy_changes_nothing(lab: Lab) -> None:
    index = lab.index()
    body = _cached(lab, index)
    flip(body)
    before = body.read_bytes()
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0", PINSTALL_POLICY="report")
    assert done.said[0].startswith(
        "with PINSTALL_POLICY=evict, pinstall would remove demo-1.0-py3-none-any.whl from pip's cache: its hash is "
    )
    assert body.read_bytes() == before


def test_policy_off_runs_plain_pip(lab: Lab) -> None:
    index = lab.index()
    flip(_cached(lab, index))
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0", PINSTALL_POLICY="off")
    assert done.status == 1
    assert done.said == []


def test_hashes_in_upper_case(lab: Lab) -> None:
    index = lab.index()
    _cached(lab, index)
    digest = _sha256(index.root / "demo-1.0-py3-none-any.whl").upper()
    (lab.root / "r.txt").write_text(f"demo==1.0 --hash=sha256:{digest}\n")
    assert lab.pinstall(lab.environment(), "-i", index.url, "-r", "r.txt").said == []


def test_a_download_replaced_by_another_version_if_no_hash_is_stated(lab: Lab) -> None:
    index = lab.index()
    index.hashes = ()
    body = _cached(lab, index)
    body.write_bytes(wheel(lab.root / "other", "demo", "2.0").read_bytes())
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 good", done
    assert "it contains demo 2.0 (mislabelled)" in done.said[0]


def test_a_password_in_the_url_of_requirements_is_not_printed(lab: Lab) -> None:
    done = lab.pinstall(lab.environment(), "-r", "https://joe:hunter2@localhost:1/r.txt?token=hunter2", PIP_RETRIES="0")
    why = "pinstall does not read files from URLs; to have it checked, download it and use the copy"
    assert done.said == [f"pins in https://localhost:1/r.txt were not checked: {why}"]


@pytest.mark.parametrize(
    ("words", "version"),
    [
        (["--prefix", "there"], VERSIONS[0]),
        pytest.param(["--root", "there"], VERSIONS[0], marks=pytest.mark.slow),
        pytest.param(["--target", "there"], NEWEST, marks=pytest.mark.slow),
        (["--use-feature=fast-deps"], NEWEST),
    ],
    ids=str,
)
def test_damage_is_found_wherever_and_however_pip_installs(lab: Lab, words: list[str], version: str) -> None:
    """The pinned download is checked before pip; that of its dependency makes pip fail first."""
    index = lab.index()
    index.ranges = True
    wheel(index.root, "demo", "1.0", padding=20_000, requires=["other"])
    wheel(index.root, "other", "1.0", padding=20_000)
    lab.pip(lab.environment(version), "-i", index.url, "demo==1.0")
    downloads = [p for p in lab.cache.glob("http*/**/*") if p.is_file() and p.stat().st_size > 15_000]
    assert len(downloads) == 2
    for path in downloads:
        flip(path)
    environment = lab.environment(version)
    done = lab.pinstall(environment, "-i", index.url, *words, "demo==1.0")
    assert (done.status, "once more" in done.err) == (0, True), done
    place = environment.site if "fast" in words[0] else lab.root / "there"
    installed = {path.name: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    for name in ("demo", "other"):
        with zipfile.ZipFile(index.root / f"{name}-1.0-py3-none-any.whl") as archive:
            files = [member for member in archive.namelist() if "/" not in member]
            assert files
            assert all(installed[member] == archive.read(member) for member in files)
