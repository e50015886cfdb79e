"""Where pip builds in spite of ``--only-binary``, what it built with other flags is not what it builds now."""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.lab import NEWEST, VERSIONS
from tests.packages import FLAGS_ONE, FLAGS_TWO, wheel

if TYPE_CHECKING:
    from tests.index import Index
    from tests.lab import Lab

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="it compiles")


@pytest.fixture
def index(lab: Lab) -> Index:
    """An index with the sdist of a C extension."""
    return lab.compiled_index()


def _url(index: Index) -> str:
    return f"demo @ {index.base}/files/demo-1.0.tar.gz"


def _installed(lab: Lab, words: list[str], variables: dict[str, str], pip: str) -> str:
    environment = lab.environment(pip)
    done = lab.pinstall(environment, *words, **variables)
    assert done.status == 0, done
    return environment.installed("demo").partition(" ")[2]


def _is_built_for_each(lab: Lab, *words: str, pip: str = NEWEST, **more: str) -> None:
    """Hold a call to this: it builds for other flags, and uses that build again for the same."""
    for flags, content in ((FLAGS_ONE, "one"), (FLAGS_TWO, "two"), (FLAGS_ONE, "one")):
        assert _installed(lab, list(words), {**flags, **more}, pip) == content
    # pip 23.0 keeps nothing that was built under --no-binary.
    assert len((lab.root / "built").read_text().split()) == (3 if pip.startswith("23.0") and "--no-binary" in words else 2)


@pytest.mark.parametrize("pip", VERSIONS)
def test_the_later_option_decides(lab: Lab, index: Index, pip: str) -> None:
    assert index.url
    _is_built_for_each(lab, "demo==1.0", "--only-binary", "demo", "--no-binary", ":all:", pip=pip)


@pytest.mark.parametrize("pip", VERSIONS)
def test_a_url_is_built_whatever_the_options_say(lab: Lab, index: Index, pip: str) -> None:
    _is_built_for_each(lab, _url(index), "--only-binary", ":all:", pip=pip)


@pytest.mark.parametrize(
    ("words", "variables", "lines"),
    [
        (["--no-binary", "demo"], {"PIP_ONLY_BINARY": ":all:"}, ""),
        (["--only-binary=demo,:none:"], {}, ""),
        ([], {"PIP_ONLY_BINARY": "demo"}, "--no-binary :all:\n"),
        ([], {"PIP_ONLY_BINARY": "demo"}, "--only-binary :none:\n"),
        (["--only-binary", ":all:"], {}, "other==1.0 --no-binary demo\n"),
    ],
    ids=str,
)
def test_options_in_several_places(lab: Lab, index: Index, words: list[str], variables: dict[str, str], lines: str) -> None:
    wheel(index.root, "other", "1.0")
    (lab.root / "r.txt").write_text(f"{lines}demo==1.0\n")
    _is_built_for_each(lab, "-r", "r.txt", *words, **variables)


def test_options_of_a_configuration_file(lab: Lab, index: Index) -> None:
    assert index.url
    (lab.root / "pip.conf").write_text("[global]\nonly-binary = :all:\n[install]\nno-binary = demo\n")
    _is_built_for_each(lab, "demo==1.0", PIP_CONFIG_FILE=str(lab.root / "pip.conf"))


def test_a_commit(lab: Lab, index: Index) -> None:
    repository = lab.root / "demo-1.0"
    with tarfile.open(index.root / "demo-1.0.tar.gz") as archive:
        archive.extractall(lab.root, filter="data")
    for words in ("init -q", "add .", "-c user.name=t -c user.email=t@localhost commit -q -m first"):
        lab.run(["git", "-C", repository, *words.split()])
    commit = lab.run(["git", "-C", repository, "rev-parse", "HEAD"]).out.strip()
    _is_built_for_each(lab, f"demo @ git+{repository.as_uri()}@{commit}", PIP_ONLY_BINARY=":all:")


def test_a_file(lab: Lab, index: Index) -> None:
    _is_built_for_each(lab, f"demo @ {(index.root / 'demo-1.0.tar.gz').as_uri()}", "--only-binary", "demo")


@pytest.mark.parametrize("words", [["--only-binary", ":all:", "URL"], ["--no-deps", "demo==1.0"]], ids=str)
@pytest.mark.parametrize("pip", [VERSIONS[0], NEWEST])
def test_a_call_for_another_platform(lab: Lab, index: Index, words: list[str], pip: str) -> None:
    """What pip builds for it, it builds with this interpreter; and it finds it again."""
    wheel(index.root, "demo", "1.0", "other", tag="cp27-cp27m-win32")
    words = [word.replace("URL", _url(index)) for word in words]
    for flags, content in ((FLAGS_ONE, b"one"), (FLAGS_TWO, b"two"), (FLAGS_ONE, b"one")):
        target = lab.root / "target"
        shutil.rmtree(target, ignore_errors=True)
        done = lab.pinstall(lab.environment(pip), *words, "--target", target, "--platform", "manylinux2014_x86_64", **flags)
        assert done.status == 0, done
        assert [content in path.read_bytes() for path in target.glob("demo*.so")] == [True]
    assert len((lab.root / "built").read_text().split()) == 2


def test_a_dependency_that_is_a_url_is_built_and_recorded(lab: Lab, index: Index) -> None:
    wheel(index.root, "app", "1.0", requires=[_url(index)])
    assert _installed(lab, ["app==1.0", "--only-binary", ":all:"], FLAGS_ONE, NEWEST) == "one"
    assert _installed(lab, [_url(index)], {}, NEWEST) == "plain"


def test_a_wheel_of_the_index_is_taken_where_the_later_option_says_so(lab: Lab, index: Index) -> None:
    assert _installed(lab, ["demo==1.0"], {}, NEWEST) == "plain"
    wheel(index.root, "demo", "1.0", "wheel")
    lab.environ["PIP_REFRESH_PACKAGE"] = ":all:"
    environment = lab.environment()
    done = lab.pinstall(environment, "demo==1.0", "--no-binary", ":all:", "--only-binary", "demo", PIP_NO_BINARY="demo")
    assert (environment.installed("demo"), done.said) == ("1.0 wheel", [])
