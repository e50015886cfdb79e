"""Index pages: pip >= 26.2 uses them for their max-age without asking, whatever was published since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab import NEWEST, VERSIONS, flip
from tests.packages import extension, wheel

if TYPE_CHECKING:
    from tests.lab import Lab


def test_a_release_of_a_minute_ago_is_found(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    wheel(index.root, "demo", "2.0")
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==2.0")
    assert environment.installed("demo") == "2.0 2.0"
    assert len(done.said) == 2
    assert done.said[0].startswith("removed the index page of demo from pip's cache: it is ")
    assert done.said[0].endswith(" s old and does not list the pinned version (stale-page); demo==2.0 (argument)")


def test_waiting_for_a_release(lab: Lab) -> None:
    """A call that failed has left a page without the release; the next call must not believe it."""
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==2.0").status == 1
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==2.0").status == 1
    wheel(index.root, "demo", "2.0")
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==2.0").status == 0


def test_the_page_of_an_index_that_has_it_elsewhere_goes_once(lab: Lab) -> None:
    """The version is on a second index that forbids caching: the first index's page is as the world gives it."""
    first, second = lab.index("first"), lab.index("second")
    second.page_age = second.file_age = None
    wheel(first.root, "demo", "1.0")
    wheel(second.root, "demo", "2.0")
    words = ("-i", first.url, "--extra-index-url", second.url, "demo==2.0", "--force-reinstall")
    lab.pip(lab.environment(), *words)
    assert len(lab.pinstall(lab.environment(), *words).said) == 1
    assert lab.pinstall(lab.environment(), *words).said == []


def test_one_index_of_two_is_enough(lab: Lab) -> None:
    first, second = lab.index("first"), lab.index("second")
    wheel(first.root, "demo", "1.0")
    wheel(second.root, "demo", "2.0")
    words = ("-i", first.url, "--extra-index-url", second.url)
    lab.pip(lab.environment(), *words, "demo==2.0")
    first.forget()
    assert lab.pinstall(lab.environment(), *words, "demo==2.0").said == []
    assert first.pages("demo") == 0


def test_a_hash_that_the_page_does_not_know_yet(lab: Lab) -> None:
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


@pytest.mark.parametrize("json", [True, False])
def test_a_damaged_page_goes(lab: Lab, json: bool) -> None:
    index = lab.index()
    index.json = json
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    (page,) = lab.pages()
    page.write_bytes(page.read_bytes()[:100])
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 1.0", done
    assert done.said[0].startswith("removed the index page of demo from pip's cache: it has 100 of ")


def test_a_pip_that_always_asks_needs_no_eviction(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment("25.3"), "-i", index.url, "demo==1.0")
    wheel(index.root, "demo", "2.0")
    done = lab.pinstall(lab.environment("25.3"), "-i", index.url, "demo==2.0")
    assert done.status == 0
    assert [line for line in done.said if "page" in line] == []


@pytest.mark.parametrize("value", ["demo", ":all:", "other,demo"])
def test_nor_does_a_call_that_refreshes(lab: Lab, value: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    wheel(index.root, "demo", "2.0")
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==2.0", "--refresh-package", value)
    assert done.status == 0
    assert [line for line in done.said if "page" in line] == []


# As they are on the pages of real projects: names that some pips ignore, and others take; that no installer takes any more; and
# of other things than wheels and sdists.
_ODD = (
    *("demo-0.18-py36+-none-any.whl", "demo-0.18-py3..py2-none-any.whl", "demo-0.18--none-any.whl", "demo-0.18-py3-none.whl"),
    *("demo-0.18_1-py3-none-any.whl", "demo-0.18-x1-py3-none-any.whl", "demo-0.18-py2.py3-none-any.WHL", "demo.whl"),
    *("demo-1.0.linux-x86_64.exe", "demo-1.0-1.noarch.rpm", "demo-1.0-py2.7.egg", "demo-1.0.dmg", "demo-1.0.tar.gz.asc"),
    *("demo-0.1dev-r1716.tar.gz", "demo-2004d.zip", "demo-0.18!.tar.gz", "demo-.tar.gz", "demo-0.18.macosx10.zip"),
)


@pytest.mark.parametrize(("pip", "json"), [*((version, True) for version in VERSIONS), (NEWEST, False)])
def test_odd_names_on_a_page_cost_nothing(lab: Lab, pip: str, json: bool) -> None:
    index = lab.index()
    index.json = json
    wheel(index.root, "demo", "1.0")
    for name in _ODD:
        (index.root / name).write_bytes(b"odd")
    words = ("-i", index.url, "demo==1.0")
    lab.pip(lab.environment(pip), *words)
    index.forget()
    lab.pip(lab.environment(pip), *words)
    bare = list(index.requests)
    index.forget()
    environment = lab.environment(pip)
    done = lab.pinstall(environment, *words)
    assert (done.status, done.said, index.requests) == (0, [], bare)
    assert environment.installed("demo") == "1.0 1.0"


@pytest.mark.parametrize("tag", ["py3..py2-none-any", "py36+.py3-none-any"])
@pytest.mark.parametrize(("pip", "takes_it"), [("25.3", True), ("26.3", False)])
def test_a_wheel_that_this_pip_ignores_is_none_that_spares_a_build(lab: Lab, pip: str, takes_it: bool, tag: str) -> None:
    """pip 26.3 builds where older ones take the wheel: what it built with other flags must not be what it uses."""
    index = lab.index()
    extension(index.root, "demo", "1.0")
    wheel(index.root, "demo", "1.0", "wheel").rename(index.root / f"demo-1.0-{tag}.whl")
    for content in ("one", "two"):
        environment = lab.environment(pip)
        done = lab.pinstall(environment, "-i", index.url, "demo==1.0", DEMO_CONTENT=content)
        assert done.status == 0, done
        assert environment.installed("demo") == f"1.0 {'wheel' if takes_it else content}"


@pytest.mark.parametrize("tag", ["py3..py2-none-any", "py36+.py3-none-any"])
def test_a_wheel_that_only_older_pips_take_is_proven_for_them(lab: Lab, tag: str) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0", padding=20_000).rename(index.root / f"demo-1.0-{tag}.whl")
    words = ("-i", index.url, "demo==1.0")
    lab.pip(lab.environment("25.3"), *words)
    flip(lab.bodies()[0])
    environment = lab.environment("25.3")
    done = lab.pinstall(environment, *words)
    assert environment.installed("demo") == "1.0 1.0", done
    assert len(done.said) == 1


def test_a_page_on_which_the_parser_of_html_gives_up(lab: Lab) -> None:
    index = lab.index()
    index.json = False
    wheel(index.root, "demo", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    (page,) = lab.pages()
    page.write_bytes(page.read_bytes().replace(b"<!DOCTYPE", b"<![OCTYPE"))
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 1.0", done
    assert done.said == ["removed the index page of demo from pip's cache: it cannot be parsed (damaged); demo==1.0 (argument)"]
