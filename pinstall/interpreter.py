"""Facts about Python interpreters. The running one answers in this process, another one in a child process.

The code for the child process imports nothing from pinstall: it must run on every Python that pip 23.0 and later support. Only
packaging can compute tags, and pinstall's copy of it may not run on that Python. So the child process uses the copy that the
environment's pip vendors. That copy supports every Python that the pip supports, and it computes the same tags as pinstall's.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

# The conditions of builds. EXT_SUFFIX combines implementation, version, flags and platform. Pre-releases may change the ABI, so
# their full version is included.
_BUILD = r"""
import os, re, sys, sysconfig
def build_facts():
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (AttributeError, OSError, ValueError):
        kind = str(sysconfig.get_config_var("HOST_GNU_TYPE")).rpartition("-")[2]
        libc = [re.sub(r"^(darwin)[\d.]+$", r"\1", kind), ""]  # each patch of macOS has a number of its own
    version = "" if sys.version_info.releaselevel == "final" else sys.version
    return {
        "abi": " ".join([str(sysconfig.get_config_var("EXT_SUFFIX")), sysconfig.get_platform(), version]).strip(),
        "libc": libc,
        "compilers": {name: str(sysconfig.get_config_var(name) or "") for name in ("CC", "CXX")},
        "site_packages": sysconfig.get_path("platlib"),
    }
"""

# The folders whose .pth files count, whether they exist yet or not, and the user's, which may not be one of them.
_SITES = r"""
def site_facts():
    import site
    user = getattr(site, "getusersitepackages", str)()
    folders = getattr(site, "getsitepackages", list)()
    return {"folders": folders + [user] * bool(getattr(site, "ENABLE_USER_SITE", None)), "user": user}
"""

# Composed as in pip (``utils/compatibility_tags.get_supported``): for PyPy, packaging's sys_tags() returns different tags.
_TAGS = r"""
def tags():
    from packaging.tags import compatible_tags, cpython_tags, generic_tags, interpreter_name, interpreter_version
    own = cpython_tags() if interpreter_name() == "cp" else generic_tags()
    return [str(tag) for tag in [*own, *compatible_tags(interpreter=interpreter_name() + interpreter_version())]]
"""

# What each question begins and ends with. A sitecustomize may print, so only the last line of the output counts.
_BEGIN = r"""
import sys
sys.path[:] = [p for p in sys.path if p]
import json, os
"""
_END = r"""
print()
print(json.dumps(facts))
"""

# The markers are those of the dependency specifiers specification. argv holds the code of _SITES.
_ASK = r"""
import platform
def version(info):
    kind = info.releaselevel
    return "%d.%d.%d" % info[:3] + (kind[0] + str(info.serial) if kind != "final" else "")
facts = {"prefix": sys.prefix, "path": list(sys.path), "executable": sys.executable, "markers": {
    "implementation_name": sys.implementation.name, "implementation_version": version(sys.implementation.version),
    "os_name": os.name, "platform_machine": platform.machine(), "platform_release": platform.release(),
    "platform_system": platform.system(), "platform_version": platform.version(),
    "python_full_version": platform.python_version(), "platform_python_implementation": platform.python_implementation(),
    "python_version": ".".join(platform.python_version_tuple()[:2]), "sys_platform": sys.platform}}
exec(sys.argv[1])
facts["sites"] = site_facts()
"""

# argv has the folder of the pip that installs ("": the one on its own path), the folder of pinstall's packaging (for a
# pip without a vendored copy), and the code of _BUILD and _TAGS.
_ASK_ABOUT_WHEELS = r"""
exec(sys.argv[3] + sys.argv[4])
facts = {"build": build_facts()}
try:
    pips = [sys.argv[1]] if sys.argv[1] else [os.path.join(folder, "pip") for folder in sys.path]
    brought = [os.path.join(pip, "_vendor") for pip in pips]
    brought = [folder for folder in brought if os.path.isfile(os.path.join(folder, "packaging", "tags.py"))]
    sys.path.insert(0, (brought + [sys.argv[2]])[0])
    from packaging.tags import interpreter_name, interpreter_version
    facts.update(interpreter=[interpreter_name(), interpreter_version()], tags=tags())
except Exception as error:
    facts["untagged"] = type(error).__name__
"""


class SilentPythonError(Exception):
    """An interpreter does not report a fact that pinstall needs; the message names the interpreter."""


def facts(python: str) -> dict[str, Any]:
    """Start *python*, and return the facts about it that each call needs: prefix, path, executable, markers and sites.

    Raises `SilentPythonError` as `_answer`.
    """
    return _answer(python, _ASK, _SITES)


def facts_of_wheels(python: str, pip: str) -> dict[str, Any]:
    """Start *python*, and return the facts by which pip chooses and builds wheels for it; they take twice as long as `facts`.

    The facts are ``build``, ``interpreter`` and ``tags``. *pip* is the package folder of the pip that installs, "" for that of
    *python* itself. If the packaging in it (or pinstall's, for a pip that has none) fails on *python*, the answer has
    ``untagged``, the name of the exception, in place of ``interpreter`` and ``tags``. Raises `SilentPythonError` as `_answer`.
    """
    from importlib.util import find_spec

    ours = find_spec("packaging")
    folder = os.path.dirname(os.path.dirname(ours.origin)) if ours and ours.origin else ""
    return _answer(python, _ASK_ABOUT_WHEELS, pip, folder, _BUILD, _TAGS)


def _answer(python: str, code: str, *arguments: str) -> dict[str, Any]:
    """Run *code* in *python* with the command line *arguments*, and return the ``facts`` that it collects.

    Raises `SilentPythonError` if *python* cannot be started, fails, takes longer than a minute, or if the last line that it
    prints is not JSON.
    """
    try:
        command = [python, "-c", _BEGIN + code + _END, *arguments]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=True)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, LookupError, ValueError, subprocess.SubprocessError) as error:
        raise SilentPythonError(f"{python} does not answer; check that this Python runs") from error
    return answer


def own_build() -> dict[str, Any]:
    """Return the build conditions of the running interpreter (see `Environment.build`)."""
    return dict(_run(_BUILD)["build_facts"]())


def own_sites() -> dict[str, Any]:
    """Return the running interpreter's ``folders`` of .pth files, and the ``user``'s site folder, whether they exist or not."""
    return dict(_run(_SITES)["site_facts"]())


def own_tags() -> list[str]:
    """Return the compatibility tags of the running interpreter, best first."""
    return list(_run(_TAGS)["tags"]())


def _run(code: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 (the same code runs in this interpreter and in others)
    return scope
