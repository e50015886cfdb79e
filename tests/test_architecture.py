"""Imports point down a list of modules only, and each library is known to one module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import pinstall

_ROOT = Path(pinstall.__file__).parent
_DOWN = [
    "__main__",
    "pinstall_pip",
    "cli cache_tool.__main__",
    "cache_tool.cli explanation",
    "cache_tool.arguments cache_tool.counters cache_tool.doctor cache_tool.map_page cache_tool.shared",
    "install cache_tool.verify cache_tool.removal cache_tool.copies cache_tool.show cache_tool.restore",
    "cache_tool.display cache_tool.patterns",
    "cache_tool.tables",
    "aftermath.finish aftermath.confirm_folder checks.consultation",
    "shared_store.writing",
    "shared_store.reading",
    "aftermath.second_run cache_tool.inventory",
    "aftermath.record_builds aftermath.outcome aftermath.locked",
    "checks.prepare",
    "shared_store.session",
    "checks.unpinned_builds checks.restorable checks.reachable",
    "checks.execute aftermath.other_versions aftermath.rescue aftermath.install_report journal",
    "aftermath.confirm aftermath.causes aftermath.survey checks.plan",
    "checks.dependencies messages aftermath.unknown_layout",
    "checks.checker",
    "storage.cleanup",
    "checks.builds checks.candidates storage.actions",
    "inspection.inspector storage.probe storage.statistics",
    "shared_store.documents",
    "shared_store.listing",
    "shared_store.layout",
    "storage.store storage.ledger storage.view storage.build_notes storage.wanted",
    "storage.files",
    "storage.lock",
    "storage.folder",
    "model.decision",
    "inspection.build_record",
    "inspection.build_questions",
    "inspection.identify inspection.pip_checks",
    "inspection.sdist_scan inspection.integrity inspection.shared_libraries",
    "pip_cache.scan pip_cache.catalogue",
    "inspection.archives",
    "pip_cache.locator",
    "pip_cache.http_entries pip_cache.index_pages pip_cache.built_wheels",
    "pip_cache.entries",
    "pip_cache.keys pip_cache.anchors",
    "shared_store.remote",
    "checks.satisfied",
    "model.pins environment pip_process",
    "pip_child build_watch settings",
    "invocation.invocation",
    "invocation.pip_config invocation.toml_sources",
    "invocation.requirements_files invocation.format_control",
    "invocation.options",
    "model.requirement",
    "model.links",
    "exit_status model.digest model.foreign_data model.names model.verdict",
    "interpreter repair_advice terminal storage.disk_space storage.other_pips",
    "__init__ cache_tool.__init__ invocation.__init__ pip_cache.__init__ inspection.__init__",
    "aftermath.__init__ checks.__init__ model.__init__ storage.__init__ shared_store.__init__",
]
_RANK = {name: rank for rank, names in enumerate(_DOWN) for name in names.split()}
_MODULES = sorted(".".join(path.relative_to(_ROOT).with_suffix("").parts) for path in _ROOT.rglob("*.py"))


def _imports(module: str) -> set[str]:
    """Return all that *module* imports, for types alone or not."""
    found = set()
    for node in ast.walk(ast.parse((_ROOT / module.replace(".", "/")).with_suffix(".py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return found


def _ours(module: str) -> set[str]:
    return {name for found in _imports(module) if (name := found.removeprefix("pinstall.")) in _RANK and name != found}


@pytest.mark.parametrize("module", _MODULES)
def test_imports_point_down(module: str) -> None:
    assert module in _RANK, "a new module needs a place in the list"
    assert {name for name in _ours(module) if _RANK[name] <= _RANK[module]} == set()


def _importers(library: str) -> set[str]:
    return {module for module in _MODULES if any(name.split(".")[0] == library for name in _imports(module))}


def test_each_library_is_known_where_it_belongs() -> None:
    assert _importers("filelock") == {"storage.lock"}
    assert _importers("elftools") == {"inspection.shared_libraries"}
    assert _importers("tqdm") == {"terminal"}
    assert _importers("rich") == {"cache_tool.tables"}
    assert _importers("msgpack") == {"pip_cache.http_entries"}
    assert _importers("platformdirs") == {"invocation.pip_config"}
    assert _importers("obstore") == {"shared_store.remote"}
    assert _importers("pip") == {"pip_child"}, "the program that goes on as pip, and nothing else"


def test_only_the_front_door_prints() -> None:
    calls = {
        module
        for module in _MODULES
        for node in ast.walk(ast.parse((_ROOT / module.replace(".", "/")).with_suffix(".py").read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("print", "os.write", "sys.stdout.write", "sys.stderr.write")
    }
    assert calls == {"cli", "cache_tool.cli", "cache_tool.__main__", "pip_child", "build_watch"}, (
        "the last ones tell pinstall what happened, through a pipe and through a file"
    )


_CHANGING = re.compile(r"os\.(unlink|remove|rmdir|removedirs|rename|renames|replace|truncate)|shutil\.(rmtree|move)")
# `actions` and `cleanup` move and delete the files of the cache; the others do so with their own links, marks and new files.
_CHANGERS = {"storage.actions", "storage.cleanup", "storage.view", "storage.lock", "storage.files", "storage.probe"}
_CHANGERS |= {"storage.build_notes", "build_watch"}
_CHANGERS |= {"shared_store.remote"}  # the objects of a shared folder


def test_only_the_storage_package_moves_and_deletes() -> None:
    changers = {
        module
        for module in _MODULES
        for node in ast.walk(ast.parse((_ROOT / module.replace(".", "/")).with_suffix(".py").read_text()))
        if isinstance(node, ast.Call) and _CHANGING.fullmatch(ast.unparse(node.func))
    }
    assert changers == _CHANGERS


def test_one_module_reads_the_settings() -> None:
    """Others get what it has read, so that each variable has one default and one meaning."""
    readers = {
        module
        for module in _MODULES
        for node in ast.walk(ast.parse((_ROOT / module.replace(".", "/")).with_suffix(".py").read_text()))
        if isinstance(node, ast.Call | ast.Subscript) and re.search(r"environ\b.*'PINSTALL_[A-Z]+", ast.unparse(node))
    }
    assert readers == {"settings"}


def test_the_front_door_needs_the_standard_library_alone() -> None:
    """If our own packages are broken, pip still runs."""
    import subprocess
    import sys

    shown = "print(sorted(m for m in sys.modules if '.' not in m))"
    code = f"import sys; sys.path.insert(0, {str(_ROOT.parent)!r}); import pinstall.cli; {shown}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    foreign = set(ast.literal_eval(done.stdout)) - sys.stdlib_module_names - {"__main__", "pinstall"}
    assert foreign == set()


def test_each_module_stands_in_the_map() -> None:
    text = (_ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = [name.removesuffix(".py").replace("/", ".") for row in rows for name in re.findall(r"`([\w/]+\.py)`", row)]
    assert sorted(named) == [module for module in _MODULES if not module.endswith("__init__")]
