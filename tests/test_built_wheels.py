"""pip installs any wheel in the folder of a built one; pinstall admits only an intact one of the sdist's name and version."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.packages import sdist, wheel, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Lab


def _fill(lab: Lab, index: Index) -> None:
    sdist(index.root, "demo", "1.0", "good")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")


def _built(lab: Lab, index: Index, *words: str) -> Path:
    sdist(index.root, "demo", "1.0", "good")
    lab.pip(lab.environment(), *(words or ("-i", index.url, "demo==1.0")))
    (path,) = lab.wheels()
    return path


def _tamper(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["demo.py"] = b"CONTENT = 'bad!'\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _add(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("demo_more.py", "")


def _relabel(path: Path) -> None:
    wheel(path.parent, "demo", "1.0", "bad", inside="2.0")


def _replace_by_other_version(path: Path) -> None:
    wheel(path.parent, "demo", "2.0", "bad")
    path.unlink()


def _rename_project(path: Path) -> None:
    files = {
        "demo.py": b"CONTENT = 'bad'\n",
        "other-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: other\nVersion: 1.0\n",
    }
    write_wheel(path, {**files, "other-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n"}, "other-1.0.dist-info")


_DAMAGES = {
    _tamper: "its file demo.py does not match its RECORD (damaged)",
    _truncate: "it is not a readable wheel: it is cut off or damaged (damaged)",
    _empty: "it is not a readable wheel: it is cut off or damaged (damaged)",
    _add: "its RECORD does not list demo_more.py (damaged)",
    _relabel: "it contains demo 2.0 (mislabelled)",
    _replace_by_other_version: "it is another version, but in the cache folder of the pinned one (mislabelled)",
    _rename_project: "it contains other 1.0 (mislabelled)",
}


@pytest.mark.parametrize("damage", _DAMAGES, ids=lambda f: f.__name__[1:])
def test_a_damaged_or_mislabelled_built_wheel_is_removed(lab: Lab, damage: object) -> None:
    index = lab.seeded(_fill)
    assert callable(damage)
    damage(lab.wheels()[0])
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 good", done
    assert len(done.said) == 1
    assert done.said[0].endswith(f"(built wheel) from pip's cache: {_DAMAGES[damage]}; for demo==1.0 (argument)")


def test_repeated_damage_is_found_each_time(lab: Lab) -> None:
    index = lab.seeded(_fill)
    (path,) = lab.wheels()
    for _ in range(3):
        _tamper(path)
        environment = lab.environment()
        lab.pinstall(environment, "-i", index.url, "demo==1.0")
        assert environment.installed("demo") == "1.0 good"


@pytest.mark.parametrize(("hashes", "page_age"), [((), 600), ((), None), (("md5",), 600), (("sha256", "md5"), None)], ids=str)
def test_damage_is_found_with_any_hashes_and_without_a_page(lab: Lab, hashes: tuple[str, ...], page_age: int | None) -> None:
    index = lab.index()
    index.hashes, index.page_age, index.file_age = hashes, page_age, page_age
    _tamper(_built(lab, index))
    environment = lab.environment()
    lab.pinstall(environment, "-i", index.url, "demo==1.0")
    assert environment.installed("demo") == "1.0 good"


def test_damage_is_found_for_direct_references_and_local_archives(lab: Lab) -> None:
    index = lab.index()
    archive = sdist(index.root, "demo", "1.0", "good")
    for requirement in (f"demo @ {index.base}/files/{archive.name}", f"demo @ {archive.as_uri()}"):
        path = _built(lab, index, requirement)
        _tamper(path)
        environment = lab.environment()
        done = lab.pinstall(environment, requirement)
        assert environment.installed("demo") == "1.0 good", done
        path.unlink()


def test_damage_is_found_for_find_links_folders_and_pages(lab: Lab) -> None:
    index = lab.index()
    for words in (["-f", str(index.root)], ["-f", f"{index.url}demo/"]):
        path = _built(lab, index, "--no-index", *words, "demo==1.0")
        _tamper(path)
        environment = lab.environment()
        done = lab.pinstall(environment, "--no-index", *words, "demo==1.0")
        assert environment.installed("demo") == "1.0 good", done
        path.unlink()


def test_wheels_of_other_interpreters_and_projects_in_the_same_folder_stay(lab: Lab) -> None:
    index = lab.index()
    folder = _built(lab, index).parent
    foreign = wheel(folder, "demo", "1.0", tag="cp27-cp27mu-linux_x86_64")
    other = wheel(folder, "unrelated", "1.0", inside="7")
    foreign.write_bytes(b"")
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    assert (done.status, done.said) == (0, [])
    assert foreign.exists()
    assert other.exists()


def test_a_wheel_without_the_extension_module_of_its_source_is_built_once_more(lab: Lab) -> None:
    """MarkupSafe, for one, is built without it where there is no compiler."""
    index = lab.index()
    sdist(index.root, "demo", "1.0", "good", extra={"_speedups.c": "int x;"})
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0")
    for expected in (True, False):
        environment = lab.environment()
        done = lab.pinstall(environment, "-i", index.url, "demo==1.0")
        assert (done.status, environment.installed("demo")) == (0, "1.0 good")
        assert any("built without an extension module" in line for line in done.said) == expected, done
