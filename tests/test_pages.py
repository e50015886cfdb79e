"""Cached index pages: pip 26.2 and later use them for their max-age without asking, even if a newer release exists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests import index as indexes
from tests.lab import NEWEST, VERSIONS, flip
from tests.packages import extension, sdist, wheel

if TYPE_CHECKING:
    from tests.lab import Lab


def test_a_new_release_is_found_in_spite_of_a_cached_page(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    wheel(index.root, "demo", "2.0")
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==2.0")
    assert environment.installed("demo") == "2.0 2.0"
    assert len(done.said) == 2
    assert done.said[0].startswith("pip asks the server again for the index page of demo: the cached one is ")
    assert re.search(
        r" seconds? old and does not list the pinned version \(stale-page\); for demo==2.0 \(argument\)$", done.said[0]
    )
    index.forget()
    lab.pip(lab.environment(), "-i", index.url, "demo==2.0")
    assert index.requests == [], "what pip has received is in its cache"


def test_a_page_that_lists_the_pinned_version_with_other_hashes_is_not_said_to_lack_it(lab: Lab) -> None:
    """And the file for this environment is named before the many for others."""
    index = lab.index()
    for tag in ("cp38-cp38-win32", "cp39-cp39-win32", "cp310-cp310-win32", "cp311-cp311-win32", "cp312-cp312-win32"):
        wheel(index.root, "demo", "1.0", tag=tag)
    right = wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    (lab.root / "r.txt").write_text(f"-i {index.url}\ndemo==1.0 --hash=sha256:{'0' * 64}\n")
    done = lab.pinstall(lab.environment(), "-r", "r.txt")
    assert done.status == 1
    assert " old and lists the pinned version with other hashes only (stale-page); " in done.said[1]
    assert done.said[-1].startswith(f"demo cannot be installed: {right.name}, ")


@pytest.mark.parametrize("page_age", [0, 600, None], ids=["stale pages", "fresh pages", "no pages kept"])
@pytest.mark.parametrize("requirements", [["demo==1.0", "built==1.0", "part==1.0"], ["demo"]], ids=["pinned", "unpinned"])
def test_over_a_sound_cache_pip_asks_what_it_asks_without_pinstall(
    lab: Lab, page_age: int | None, requirements: list[str]
) -> None:
    index = lab.index()
    index.page_age = page_age
    wheel(index.root, "demo", "1.0", requires=["part", "built"])
    wheel(index.root, "part", "1.0")
    sdist(index.root, "built", "1.0")
    words = ["-i", index.url, *requirements]
    lab.pip(lab.environment(), *words)
    asked = []
    for install in (lab.pip, lab.pinstall, lab.pinstall, lab.pip):
        index.forget()
        environment = lab.environment()
        done = install(environment, *words)
        assert (environment.installed("built"), done.said) == ("1.0 1.0", [])
        asked.append(sorted(index.requests))
    assert asked[1:] == [asked[0]] * 3


def test_a_release_is_found_after_calls_that_failed_without_it(lab: Lab) -> None:
    """A failed call leaves a page without the release in the cache; the next call must not use it."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==2.0").status == 1
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==2.0").status == 1
    wheel(index.root, "demo", "2.0")
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==2.0").status == 0


def test_a_wrong_pin_costs_no_page_while_the_index_is_down(lab: Lab) -> None:
    """A page without the version need not be wrong, so it stays until pip has received another one."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    words = ("-i", index.url, "--retries", "0")
    lab.pip(lab.environment(), *words, "demo==1.0")
    indexes.stop(index)
    assert lab.pinstall(lab.environment(), *words, "demo==9.9").status == 1
    environment = lab.environment()
    done = lab.pinstall(environment, *words, "demo==1.0")
    assert (environment.installed("demo"), done.said) == ("1.0 1.0", []), done
    lab.pip(lab.environment(), *words, "demo==1.0")


def test_a_plain_pip_finds_the_old_page_while_another_call_asks_for_a_new_one(lab: Lab) -> None:
    """So would a pip that follows a killed pinstall."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    index.forget()
    index.meanwhile["/simple/demo/"] = lambda: lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==9.9").status == 1
    assert (index.meanwhile, index.requests) == ({}, ["/simple/demo/"])


def test_a_page_is_used_if_an_index_whose_page_is_not_cached_may_list_the_pin(lab: Lab) -> None:
    """The second index forbids caching. If neither lists the pin, the second run of pip asks the first for its page."""
    first, second = lab.index("first"), lab.index("second")
    second.page_age = second.file_age = None
    wheel(first.root, "demo", "1.0")
    wheel(second.root, "demo", "2.0")
    words = ("-i", first.url, "--extra-index-url", second.url)
    lab.pip(lab.environment(), *words, "demo==2.0")
    first.forget()
    assert lab.pinstall(lab.environment(), *words, "demo==2.0").said == []
    assert first.pages("demo") == 0
    wheel(first.root, "demo", "3.0")
    environment = lab.environment()
    done = lab.pinstall(environment, *words, "demo==3.0")
    assert environment.installed("demo") == "3.0 3.0", done


def test_a_release_is_found_beside_a_folder_or_an_index_whose_page_is_cached(lab: Lab) -> None:
    first, second = lab.index("first"), lab.index("second")
    wheel(first.root, "demo", "1.0")
    wheel(second.root, "demo", "1.1")
    (lab.root / "folder").mkdir()
    words = ("-i", first.url, "--extra-index-url", second.url, "-f", lab.root / "folder")
    lab.pip(lab.environment(), *words, "demo==1.0")
    wheel(first.root, "demo", "2.0")
    environment = lab.environment()
    done = lab.pinstall(environment, *words, "demo==2.0")
    assert (environment.installed("demo"), "pip runs once more" in done.err) == ("2.0 2.0", False), done


def test_a_page_is_kept_if_another_index_lists_the_pin(lab: Lab) -> None:
    first, second = lab.index("first"), lab.index("second")
    wheel(first.root, "demo", "1.0")
    wheel(second.root, "demo", "2.0")
    arguments = ("-i", first.url, "--extra-index-url", second.url)
    lab.pip(lab.environment(), *arguments, "demo==2.0")
    first.forget()
    assert lab.pinstall(lab.environment(), *arguments, "demo==2.0").said == []
    assert first.pages("demo") == 0


def test_a_new_file_with_the_pinned_hash_is_found_in_spite_of_a_cached_page(lab: Lab) -> None:
    import hashlib

    index = lab.index()
    wheel(index.root, "demo", "1.0", tag="py2-none-any")
    lab.run([lab.environment().python, "-m", "pip", "download", "-q", "-i", index.url, "demo"])
    assert lab.pages()
    new = wheel(index.root, "demo", "1.0")
    digest = hashlib.sha256(new.read_bytes()).hexdigest()
    (lab.root / "r.txt").write_text(f"demo==1.0 --hash=sha256:{digest}\n")
    done = lab.pinstall(lab.environment(), "-i", index.url, "-r", "r.txt")
    assert done.status == 0, done


@pytest.mark.parametrize(("json", "status"), [(True, 200), (False, 200), (True, 203)])
def test_a_damaged_page_is_deleted(lab: Lab, json: bool, status: int) -> None:
    """Proxies that change a response send status 203, and pip's cache keeps it."""
    index = lab.index()
    index.json, index.page_status = json, status
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    (page,) = lab.pages()
    page.write_bytes(page.read_bytes()[:100])
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 1.0", done
    assert done.said[0].startswith("removed the index page of demo from pip's cache: it has 100 of ")
    assert len(done.said) == 1, done


def test_a_stale_page_is_kept_if_pip_always_asks_the_server(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment("25.3"), "-i", index.url, "demo==1.0")
    wheel(index.root, "demo", "2.0")
    done = lab.pinstall(lab.environment("25.3"), "-i", index.url, "demo==2.0")
    assert done.status == 0
    assert [line for line in done.said if "page" in line] == []


@pytest.mark.parametrize("value", ["the-demo", ":all:", "other,The_Demo", ":all:,:none:,the.demo"])
def test_a_stale_page_is_kept_if_the_call_refreshes_it(lab: Lab, value: str) -> None:
    assert _lines_about_pages(lab, value) == []


@pytest.mark.parametrize("value", ["demo", ":all:,:none:", "the-demo,:none:,other"])
def test_a_stale_page_is_hidden_if_the_call_refreshes_others(lab: Lab, value: str) -> None:
    (line,) = _lines_about_pages(lab, value)
    assert line.startswith("pip asks the server again for the index page of the-demo: ")


def _lines_about_pages(lab: Lab, value: str) -> list[str]:
    """Have pinstall install what the cached page does not list, with this *value* of --refresh-package, and without a retry."""
    index = lab.index()
    wheel(index.root, "the-demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "the-demo==1.0")
    wheel(index.root, "the-demo", "2.0")
    done = lab.pinstall(lab.environment(), "-i", index.url, "the-demo==2.0", "--refresh-package", value)
    assert (done.status, "pip runs once more" in done.err) == (0, False), done
    return [line for line in done.said if "page" in line]


# Names from the pages of real projects: some that only some pips ignore, some that no installer accepts any more, and some of
# files that are neither wheels nor sdists.
_ODD = (
    *("demo-0.18-py36+-none-any.whl", "demo-0.18-py3..py2-none-any.whl", "demo-0.18--none-any.whl", "demo-0.18-py3-none.whl"),
    *("demo-0.18_1-py3-none-any.whl", "demo-0.18-x1-py3-none-any.whl", "demo-0.18-py2.py3-none-any.WHL", "demo.whl"),
    *("demo-1.0.linux-x86_64.exe", "demo-1.0-1.noarch.rpm", "demo-1.0-py2.7.egg", "demo-1.0.dmg", "demo-1.0.tar.gz.asc"),
    *("demo-0.1dev-r1716.tar.gz", "demo-2004d.zip", "demo-0.18!.tar.gz", "demo-.tar.gz", "demo-0.18.macosx10.zip"),
)


@pytest.mark.parametrize(("pip", "json"), [*((version, True) for version in VERSIONS), (NEWEST, False)])
def test_odd_file_names_on_a_page_cause_no_request_and_no_message(lab: Lab, pip: str, json: bool) -> None:
    index = lab.index()
    index.json = json
    wheel(index.root, "demo", "1.0")
    for name in _ODD:
        (index.root / name).write_bytes(b"odd")
    arguments = ("-i", index.url, "demo==1.0")
    lab.pip(lab.environment(pip), *arguments)
    index.forget()
    lab.pip(lab.environment(pip), *arguments)
    bare = list(index.requests)
    index.forget()
    environment = lab.environment(pip)
    done = lab.pinstall(environment, *arguments)
    assert (done.status, done.said, index.requests) == (0, [], bare)
    assert environment.installed("demo") == "1.0 1.0"


@pytest.mark.parametrize("tag", ["py3..py2-none-any", "py36+.py3-none-any"])
@pytest.mark.parametrize(("pip", "takes_it"), [("25.3", True), ("26.3", False)])
def test_a_wheel_that_pip_ignores_does_not_replace_a_build(lab: Lab, pip: str, takes_it: bool, tag: str) -> None:
    """pip 26.3 builds the project where older pips use the wheel: it must not reuse a wheel built with other flags."""
    index = lab.index()
    extension(index.root, "demo", "1.0")
    wheel(index.root, "demo", "1.0", "wheel").rename(index.root / f"demo-1.0-{tag}.whl")
    for content in ("one", "two"):
        environment = lab.environment(pip)
        done = lab.pinstall(environment, "-i", index.url, "demo==1.0", DEMO_CONTENT=content)
        assert done.status == 0, done
        assert environment.installed("demo") == f"1.0 {'wheel' if takes_it else content}"


@pytest.mark.parametrize("tag", ["py3..py2-none-any", "py36+.py3-none-any"])
def test_a_wheel_that_only_older_pips_accept_is_checked_for_them(lab: Lab, tag: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000).rename(index.root / f"demo-1.0-{tag}.whl")
    arguments = ("-i", index.url, "demo==1.0")
    lab.pip(lab.environment("25.3"), *arguments)
    flip(lab.bodies()[0])
    environment = lab.environment("25.3")
    done = lab.pinstall(environment, *arguments)
    assert environment.installed("demo") == "1.0 1.0", done
    assert len(done.said) == 1


def test_a_page_that_html_parser_cannot_parse_is_deleted(lab: Lab) -> None:
    index = lab.index()
    index.json = False
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    (page,) = lab.pages()
    page.write_bytes(page.read_bytes().replace(b"<!DOCTYPE", b"<![OCTYPE"))
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 1.0", done
    assert done.said == [
        "removed the index page of demo from pip's cache: it cannot be parsed (damaged); for demo==1.0 (argument)"
    ]


@pytest.mark.parametrize("version", [VERSIONS[0], NEWEST])
@pytest.mark.parametrize("place", ["wheel", "sdist", "nameless", "redirect"])
def test_a_find_links_url_of_a_file_is_not_taken_for_a_damaged_page(lab: Lab, version: str, place: str) -> None:
    """Not even if it is the file of another project, or tells no project: pip goes by the content type."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    file = (sdist if place == "sdist" else wheel)(index.root, "other", "1.0")
    (index.root / "latest").write_bytes(file.read_bytes())
    index.redirects["/moved"] = (301, f"/files/{file.name}")
    path = {"nameless": "/files/latest", "redirect": "/moved"}.get(place, f"/files/{file.name}")
    words = ("-i", index.url, "-f", index.base + path, "demo==1.0", "other==1.0")
    lab.pip(lab.environment(version), *words)
    asked = []
    for install in (lab.pip, lab.pinstall, lab.pinstall, lab.pip):
        index.forget()
        environment = lab.environment(version)
        done = install(environment, *words)
        assert (done.said, environment.installed("demo"), environment.installed("other")) == ([], "1.0 1.0", "1.0 1.0"), done
        asked.append(sorted(index.requests))
    assert asked[1:] == [asked[0]] * 3


def test_an_archive_that_is_sent_as_a_page_is_not_taken_for_a_damaged_one(lab: Lab) -> None:
    index = lab.index()
    file = wheel(index.root, "demo", "1.0")
    url = f"{index.base}/files/{file.name}"
    index.redirects["/moved"] = (301, f"/files/{file.name}")
    index.file_type = "text/html"
    lab.pip(lab.environment(), url)
    words = ("-i", index.url, "-f", f"{index.base}/moved", "demo==1.0")
    assert "UnicodeDecodeError" in lab.bare(lab.environment(), "install", *words).err, "pip reads it as a page"
    done = lab.pinstall(lab.environment(), *words)
    assert [line for line in done.said if line.startswith("removed")] == [], done
    index.forget()
    lab.pip(lab.environment(), url)
    assert index.fetched == []
