"""Run steps of builds as pip starts them, with the runner of build steps and without: for scripts/bench."""

# scripts/ holds programs and is no package.
# ruff: noqa: INP001

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from pinstall.build_watch import under_watch

_RUNNER = Path(__file__).resolve().parent.parent / "pinstall" / "build_watch.py"
_BACKEND = "def get_requires_for_build_wheel(config_settings=None):\n    return []\n"
_SETUP = (
    'from setuptools import Extension, setup\nsetup(name="demo", version="1.0", ext_modules=[Extension("demo", ["demo.c"])])\n'
)
_SOURCE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "demo"};
PyMODINIT_FUNC PyInit_demo(void) { return PyModule_Create(&module); }
"""
# Name: the hook, its backend, and the files of the source.
STEPS = {
    "no-op": ("get_requires_for_build_wheel", "backend", {"backend.py": _BACKEND}),
    "real": ("build_wheel", "setuptools.build_meta", {"setup.py": _SETUP, "demo.c": _SOURCE}),
}


class StepError(Exception):
    """A step that failed, or was not watched: its time means nothing."""


class Steps:
    """The runs of the steps in *folder*, with the newest setuptools, by the Python of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._builder = folder, folder / "builder"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(self._builder), "pip", "setuptools"]
        subprocess.run(pip, check=True)
        self._script = self._builder / "pip/_vendor/pyproject_hooks/_in_process/_in_process.py"
        # Below what would be pip's cache, as pinstall puts it.
        self._notes = folder / "cache" / "pinstall" / "watch" / "call"
        self._notes.parent.parent.mkdir(parents=True)

    def cost(self, name: str, *, watched: bool) -> float:
        """Run the step *name* of `STEPS`; return the milliseconds of processor time that it takes, with all that it starts.

        Raises `StepError` if it fails, or is watched though it should not be, or not watched though it should be.
        """
        hook, backend, files = STEPS[name]
        source, control = self._folder / "source", self._folder / "control"
        for folder in (source, control):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for file, text in files.items():
            (source / file).write_text(text)
        arguments = {"wheel_directory": str(control), "metadata_directory": None} if hook == "build_wheel" else {}
        (control / "input.json").write_text(json.dumps({"kwargs": {"config_settings": None, **arguments}}))
        environ = {
            **os.environ,
            "_PYPROJECT_HOOKS_BUILD_BACKEND": backend,
            "PYTHONNOUSERSITE": "1",
            "PYTHONPATH": str(self._builder),
        }
        environ |= {"_PYPROJECT_HOOKS_BACKEND_PATH": str(source)} if backend == "backend" else {}
        before = _processor_time()
        command = [sys.executable, str(self._script), hook, str(control)]
        if watched:
            command = under_watch(command, str(self._notes), _RUNNER.read_text())
        done = subprocess.run(command, cwd=source, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        cost = 1000 * (_processor_time() - before)
        self._hold(done, control, watched=watched)
        return cost

    def _hold(self, done: subprocess.CompletedProcess[bytes], control: Path, *, watched: bool) -> None:
        """Raise `StepError` unless the step did its work, and was watched exactly if *watched*; delete its notes."""
        notes = list(self._notes.glob("*.notes"))
        if done.returncode or "return_val" not in json.loads((control / "output.json").read_text()):
            raise StepError(done.stderr.decode())
        if bool(notes) != watched:
            raise StepError(f"{len(notes)} processes were watched")
        for note in notes:
            note.unlink()


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
