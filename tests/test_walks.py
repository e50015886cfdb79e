"""The console examples of README.md and docs/, run as they stand, over stand-ins for the packages that they name."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.consoles import ROOT, Console, Section, sections
from tests.lab import flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.index import Index
    from tests.lab import Lab

_GPU_INDEX = "https://download.pytorch.org/whl/cu113"
_REFUSAL = "raise RuntimeError('Cannot install on this Python version; only versions >=3.6,<3.10 are supported.')"


def _largest_download(lab: Lab) -> None:
    flip(max(lab.bodies(), key=lambda body: body.stat().st_size))


def _psycopg2(lab: Lab, index: Index, blocks: tuple[str, ...]) -> None:
    versions, new, copied = blocks
    for version in ("2.4.1", "2.4.4"):
        sdist(index.root, "psycopg2", version)
    console = Console(lab)
    console.run(versions)
    sdist(index.root, "psycopg2", "2.4.5")
    console.run(new)
    (built,) = (lab.cache / "wheels").rglob("psycopg2-2.4.5-*.whl")
    (lab.root / "other").mkdir()
    other = wheel(lab.root / "other", "psycopg2", "2.4.5", "2.4.4")
    shutil.copyfile(other, built)
    console.run(copied)


def _torch(lab: Lab, index: Index, blocks: tuple[str, ...]) -> None:
    wheel(index.root, "torch", "1.12.1")
    gpu = lab.index("gpu")
    wheel(gpu.root, "torch", "1.12.1+cu113")
    console = Console(lab, {_GPU_INDEX: gpu.url})
    (lab.root / "requirements.txt").write_text(f"--extra-index-url {gpu.url}\ntorch==1.12.1+cu113\n")
    for block in blocks:
        console.run(block)


def _numba(lab: Lab, index: Index, blocks: tuple[str, ...]) -> None:
    *others, healed = blocks
    for version, numba in (("2.0", "0.53.1"), ("2.1", "0.55.1"), ("2.2", "0.59.0")):
        wheel(index.root, "umep-reqs", version, requires=[f"numba=={numba}"])
    sdist(index.root, "numba", "0.53.1", script=_REFUSAL)
    index.requires_python[sdist(index.root, "numba", "0.55.1").name] = ">=3.7,<3.11"
    wheel(index.root, "numba", "0.59.0", requires=["llvmlite==0.42.0"])
    wheel(index.root, "llvmlite", "0.42.0", padding=20_000)
    console = Console(lab)
    for block in others:
        console.run(block)
    lab.pip(lab.environment(), "umep-reqs==2.2")
    _largest_download(lab)
    console.run(healed)


def _readme(lab: Lab, index: Index, blocks: tuple[str, ...]) -> None:
    wheel(index.root, "six", "1.17.0", tag="py2.py3-none-any", padding=20_000)
    lab.environ["PIP_CACHE_DIR"] = str(lab.root / "demo-cache")  # each command has a shell of its own
    (block,) = blocks
    Console(lab).run(block)


def _flask(lab: Lab, index: Index, blocks: tuple[str, ...]) -> None:
    wheel(index.root, "flask", "3.0.0", requires=["jinja2>=3.1.2"])
    wheel(index.root, "jinja2", "3.1.6", padding=20_000)
    lab.pip(lab.environment(), "flask")
    _largest_download(lab)
    (block,) = blocks
    Console(lab).run(block)


# By document and heading; each has its packages on an index, runs the blocks, and breaks something between them.
_EXAMPLES: dict[tuple[str, str], Callable[[Lab, Index, tuple[str, ...]], None]] = {
    ("README.md", "Try it"): _readme,
    ("docs/how.md", "After a failure"): _flask,
    ("docs/walks.md", "The wrong version from the cache"): _psycopg2,
    ("docs/walks.md", "The GPU build that a CPU build hides"): _torch,
    ("docs/walks.md", "The sdist that does not fit this Python"): _numba,
}
# tests/test_walk.py and tests/test_shared_store.py run these as a whole.
_ELSEWHERE = ("walk-cache.md", "sharing.md")
_FOUND = [
    section
    for document in (
        "README.md",
        *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in _ELSEWHERE),
    )
    for section in sections(document)
]


@pytest.mark.parametrize("section", _FOUND, ids=lambda section: section.heading)
def test_the_console_prints_what_the_document_shows(lab: Lab, section: Section) -> None:
    index = lab.index()
    lab.environ["PIP_INDEX_URL"] = index.url
    _EXAMPLES[section.document, section.heading](lab, index, section.blocks)


def test_each_document_has_its_examples() -> None:
    assert _EXAMPLES.keys() <= {(section.document, section.heading) for section in _FOUND}


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a\n", "b\n"),
        ("a\n", "a\nb\n"),
        ("", "a\n"),
        ("a\n", ""),
        ("...\nb\n", "a\n"),
        ("a...c\n", "a\nc\n"),
        ("it is sha256:0123456789ab...; x\n", "it is sha256:0123; x\n"),
    ],
)
def test_what_is_printed_otherwise_is_seen(lab: Lab, shown: str, printed: str) -> None:
    (lab.root / "printed").write_text(printed)
    with pytest.raises(AssertionError, match="The document shows"):
        Console(lab).run(f"$ cat printed\n{shown}")
