"""Questions for Python interpreters: ours answers them in this process, others in a child process.

The code of the questions imports nothing of pinstall's: it must run on every Python that pip 23.0 and later support. Only
packaging computes tags, and our own copy may not run on that Python. The copy that counts is the one that pip brings and that
runs there in a moment: whatever Python that pip supports, its copy does, and both say the same.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

# What shapes its builds. EXT_SUFFIX is implementation, version, flags and platform in one; pre-releases change their ABI.
_BUILD = r"""
import os, sys, sysconfig
def build_facts():
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (AttributeError, OSError, ValueError):
        libc = [str(sysconfig.get_config_var("HOST_GNU_TYPE")).rpartition("-")[2], ""]
    version = "" if sys.version_info.releaselevel == "final" else sys.version
    return {
        "abi": " ".join([str(sysconfig.get_config_var("EXT_SUFFIX")), sysconfig.get_platform(), version]).strip(),
        "libc": libc,
        "compilers": {name: str(sysconfig.get_config_var(name) or "") for name in ("CC", "CXX")},
        "site_packages": sysconfig.get_path("platlib"),
    }
"""

# As pip composes them (``utils/compatibility_tags.get_supported``): sys_tags() has others for PyPy.
_TAGS = r"""
def tags():
    from packaging.tags import compatible_tags, cpython_tags, generic_tags, interpreter_name, interpreter_version
    own = cpython_tags() if interpreter_name() == "cp" else generic_tags()
    return [str(tag) for tag in [*own, *compatible_tags(interpreter=interpreter_name() + interpreter_version())]]
"""

# The markers are those of the dependency specifiers specification. In argv are the folder of the pip that serves it ("": the
# one on its own path) and that of our packaging, for pips that bring none. A sitecustomize may print: the last line counts.
_ASK = r"""
import sys
sys.path[:] = [p for p in sys.path if p]
import json, os, platform
def version(info):
    kind = info.releaselevel
    return "%d.%d.%d" % info[:3] + (kind[0] + str(info.serial) if kind != "final" else "")
facts = {"prefix": sys.prefix, "path": list(sys.path), "executable": sys.executable, "markers": {
    "implementation_name": sys.implementation.name, "implementation_version": version(sys.implementation.version),
    "os_name": os.name, "platform_machine": platform.machine(), "platform_release": platform.release(),
    "platform_system": platform.system(), "platform_version": platform.version(),
    "python_full_version": platform.python_version(), "platform_python_implementation": platform.python_implementation(),
    "python_version": ".".join(platform.python_version_tuple()[:2]), "sys_platform": sys.platform}}
exec(sys.argv[3] + sys.argv[4])
facts["build"] = build_facts()
try:
    pips = [sys.argv[1]] if sys.argv[1] else [os.path.join(folder, "pip") for folder in sys.path]
    brought = [os.path.join(pip, "_vendor") for pip in pips]
    brought = [folder for folder in brought if os.path.isfile(os.path.join(folder, "packaging", "tags.py"))]
    sys.path.insert(0, (brought + [sys.argv[2]])[0])
    from packaging.tags import interpreter_name, interpreter_version
    facts.update(interpreter=[interpreter_name(), interpreter_version()], tags=tags())
except Exception as error:
    facts["untagged"] = type(error).__name__
print()
print(json.dumps(facts))
"""

# Versions of what it finds, by normalized name. The first folder that has a project counts; there may be several in one folder
# (--ignore-installed leaves the old .dist-info), and then nothing tells which of them is imported. Python 3.7 cannot answer.
_INSTALLED = r"""
import json, re, sys
sys.path[:] = [p for p in sys.path if p]
from importlib.metadata import distributions
found = {}
for distribution in distributions():
    head = distribution.metadata
    if head and head.get("Name") and head.get("Version"):
        folder = str(distribution.locate_file(""))
        first, versions = found.setdefault(re.sub(r"[-_.]+", "-", head["Name"]).lower(), (folder, []))
        if first == folder:
            versions.append(head["Version"])
print()
print(json.dumps({name: versions for name, (_, versions) in found.items()}))
"""


class SilentPythonError(Exception):
    """An interpreter does not tell what has to be known of it; the message says which, and what was asked."""


def facts(python: str, pip: str) -> dict[str, Any]:
    """Ask *python* what `Environment` tells of it; *pip* is the folder of the pip that serves it, "" for its own.

    There are no ``tags`` in the answer, but ``untagged`` (an exception's name), if that pip's packaging does not run there.
    Raises `SilentPythonError`.
    """
    from importlib.util import find_spec

    ours = find_spec("packaging")
    folder = os.path.dirname(os.path.dirname(ours.origin)) if ours and ours.origin else ""
    return _answer(python, _ASK, pip, folder, _BUILD, _TAGS)


def installed(python: str) -> dict[str, list[str]]:
    """Ask *python* which versions it finds, by normalized project name. Raises `SilentPythonError`."""
    return _answer(python, _INSTALLED)


def _answer(python: str, code: str, *words: str) -> dict[str, Any]:
    try:
        command = [python, "-c", code, *words]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=True)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, LookupError, ValueError, subprocess.SubprocessError) as error:
        raise SilentPythonError(f"{python} does not answer; check that this Python runs") from error
    return answer


def own_build() -> dict[str, Any]:
    """Return what shapes the builds of our own interpreter."""
    return dict(_run(_BUILD)["build_facts"]())


def own_tags() -> list[str]:
    """Return the tags of our own interpreter."""
    return list(_run(_TAGS)["tags"]())


def _run(code: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 (the same words for our interpreter and for others)
    return scope
