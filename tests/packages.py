"""Write packages: wheels, and sdists whose in-tree build backend needs nothing from the network."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# PEP 517: the wheel's only module says what it was built from. Each step of a build imports the backend, but only one needs
# these modules, so that function imports them.
_BACKEND = """
def build_wheel(directory, config_settings=None, metadata_directory=None):
    import base64, hashlib, os, zipfile

    def read(path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    fields = dict(line.split(": ", 1) for line in read("PKG-INFO").splitlines() if line)
    name, version = fields["Name"].replace("-", "_"), fields["Version"]
    info, filename = f"{name}-{version}.dist-info", f"{name}-{version}-py3-none-any.whl"
    content = read("content.txt")
    extra = os.listdir("extra") if os.path.isdir("extra") else ()
    files = {
        f"{name}.py": f"CONTENT = {content!r}\\n",
        **{file: read(os.path.join("extra", file)) for file in extra},
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {fields['Name']}\\nVersion: {version}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "".join(
        f"{n},sha256={base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).rstrip(b'=').decode()},{len(t.encode())}\\n"
        for n, t in files.items()
    )
    with zipfile.ZipFile(os.path.join(directory, filename), "w") as wheel:
        for n, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\\n"}.items():
            wheel.writestr(n, text)
    return filename
"""
_PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


# CONTENT is "plain", or what a config setting, its own variable or ``shape`` says, or flags that redefine it; and with a
# module ``peer``, also the CONTENT of that.
_COMPILING_BACKEND = """
import os

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    name = "{name}-{version}.dist-info"
    os.mkdir(os.path.join(directory, name))
    with open("PKG-INFO") as source, open(os.path.join(directory, name, "METADATA"), "w") as target:
        target.write(source.read())
    return name

def build_wheel(directory, config_settings=None, metadata_directory=None):
    import base64, hashlib, pathlib, shlex, subprocess, sys, sysconfig, zipfile

    content = (config_settings or {{}}).get("content") or os.environ.get("{NAME}_CONTENT") or os.environ.get("shape") or "plain"
    try:
        import peer
    except ImportError:
        pass
    else:
        content += peer.CONTENT
    log = os.environ.get("build_log")
    if log:
        with open(log, "a") as file:
            file.write("{name}\\n")
    module = "{name}" + sysconfig.get_config_var("EXT_SUFFIX")
    compiler = shlex.split(os.environ.get("CC") or "gcc")
    flags = [*shlex.split(os.environ.get("CFLAGS", "")), *shlex.split(os.environ.get("LDFLAGS", ""))]
    include = "-I" + sysconfig.get_path("include")
    source = ["-shared", "-fPIC", include, '-DCONTENT="%s"' % content, "source.c", "-o", module]
    subprocess.run([*compiler, *source, *flags], check=True)
    fields = dict(line.split(": ", 1) for line in pathlib.Path("PKG-INFO").read_text().splitlines() if line)
    tag = "cp%d%d-" % sys.version_info[:2] * 2 + sysconfig.get_platform().replace("-", "_").replace(".", "_")
    info = "{name}-%s.dist-info" % fields["Version"]
    files = {{
        module: pathlib.Path(module).read_bytes(),
        info + "/METADATA": ("Metadata-Version: 2.1\\nName: {name}\\nVersion: %s\\n" % fields["Version"]).encode(),
        info + "/WHEEL": ("Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: false\\nTag: %s\\n" % tag).encode(),
    }}
    record = "".join(
        "%s,sha256=%s,%d\\n" % (n, base64.urlsafe_b64encode(hashlib.sha256(d).digest()).rstrip(b"=").decode(), len(d))
        for n, d in files.items()
    )
    filename = "{name}-%s-%s.whl" % (fields["Version"], tag)
    with zipfile.ZipFile(os.path.join(directory, filename), "w") as wheel:
        for n, data in {{**files, info + "/RECORD": (record + info + "/RECORD,,\\n").encode()}}.items():
            wheel.writestr(n, data)
    return filename
"""
_SOURCE = """
#include <Python.h>
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "{name}", 0, -1, 0}};
PyMODINIT_FUNC PyInit_{name}(void) {{
    PyObject *made = PyModule_Create(&module);
    PyModule_AddStringConstant(made, "CONTENT", CONTENT);
    return made;
}}
"""
# Flags with which the CONTENT of an `extension` is "one" or "two".
FLAGS_ONE, FLAGS_TWO = ({"CFLAGS": f"""-UCONTENT -DCONTENT='"{content}"'"""} for content in ("one", "two"))


def extension(
    folder: Path, name: str, version: str, source: str = "", *, scripts: str = "", build_requires: Sequence[str] = ()
) -> Path:
    """Write an sdist whose module is compiled, and return its path; the module's CONTENT tells how it was built.

    `_COMPILING_BACKEND` has what CONTENT depends on. *source* is appended to the C source, and *scripts* is the text of
    ``setup.cfg``, which no build reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": _PYPROJECT.replace("[]", str(list(build_requires))),
        "backend.py": _COMPILING_BACKEND.format(name=name, NAME=name.upper(), version=version),
        "source.c": _SOURCE.format(name=name) + source,
        "setup.cfg": scripts,
    }
    path = folder / f"{name}-{version}.tar.gz"
    _tar(path, f"{name}-{version}", files)
    return path


def sdist(
    folder: Path,
    name: str,
    version: str,
    content: str = "",
    *,
    build_requires: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
    script: str = "",
) -> Path:
    """Write an sdist of *name* whose module's CONTENT will be *content* (the version, if empty); return its path.

    *extra* are further files of its wheel: their text, by name. *script* is Python code that runs in each step of a build.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": _PYPROJECT.replace("[]", str(list(build_requires))),
        "backend.py": f"{script}\n{_BACKEND}",
        "content.txt": content or version,
        **{f"extra/{path}": text for path, text in (extra or {}).items()},
    }
    path = folder / f"{stem}.tar.gz"
    _tar(path, stem, files)
    return path


def _tar(path: Path, stem: str, files: Mapping[str, str]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for member, text in files.items():
            info = tarfile.TarInfo(f"{stem}/{member}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


_PROJECT_BACKEND = """
import pathlib, sys
sys.path.insert(0, {tests!r})
from tests.packages import wheel

def build_wheel(directory, config_settings=None, metadata_directory=None):
    return wheel(pathlib.Path(directory), {name!r}, "1.0", requires={requires!r}, extras={extras!r}).name

build_editable = build_wheel
"""


def project(
    folder: Path,
    name: str,
    *,
    dependencies: Sequence[str] = (),
    extras: Mapping[str, Sequence[str]] | None = None,
    dynamic: bool = False,
) -> None:
    """Write the source tree of *name* 1.0 into *folder*. If *dynamic*, only its build tells the dependencies."""
    folder.mkdir(parents=True, exist_ok=True)
    optional = {extra: list(texts) for extra, texts in (extras or {}).items()}
    stated = 'dynamic = ["dependencies"]' if dynamic else f"dependencies = {list(dependencies)}"
    tables = f'[project]\nname = "{name}"\nversion = "1.0"\n{stated}\n[project.optional-dependencies]\n'
    tables += "".join(f"{extra} = {texts}\n" for extra, texts in optional.items())
    (folder / "pyproject.toml").write_text(_PYPROJECT + tables)
    requires = [*dependencies, *(f"{text}; extra == '{extra}'" for extra, texts in optional.items() for text in texts)]
    tests = str(Path(__file__).parent.parent)
    (folder / "backend.py").write_text(
        _PROJECT_BACKEND.format(tests=tests, name=name, requires=requires, extras=list(optional))
    )


def wheel(
    folder: Path,
    name: str,
    version: str,
    content: str = "",
    *,
    tag: str = "py3-none-any",
    padding: int = 0,
    inside: str = "",
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
) -> Path:
    """Write a wheel of *name*, whose module's CONTENT is *content* (the version, if empty); return its path.

    *padding* is the size of a further file, to damage. *inside* is the version in its metadata, if that is to contradict the
    file name. *requires* are its dependencies, *extras* the names of extras that it states.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    info = f"{module}-{inside or version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {inside or version}\n"
    metadata += "".join(f"Requires-Dist: {text}\n" for text in requires)
    metadata += "".join(f"Provides-Extra: {extra}\n" for extra in extras)
    files = {
        f"{module}.py": f"CONTENT = {content or version!r}\n".encode(),
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    if padding:
        files[f"{module}_padding.bin"] = hashlib.shake_128(version.encode()).digest(padding)
    path = folder / f"{module}-{version}-{tag}.whl"
    write_wheel(path, files, info)
    return path


def write_wheel(path: Path, files: dict[str, bytes], info: str) -> None:
    """Write *files* and their RECORD as a wheel; *info* is the name of its ``.dist-info`` folder."""
    record = "".join(f"{name},sha256={_hash(data)},{len(data)}\n" for name, data in files.items())
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # no date: the same files make the same wheel


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
