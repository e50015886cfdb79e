"""The scan of an sdist's build files, the environment variables that shape a build, and malicious sdists."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinstall.inspection import archives, sdist_scan
from pinstall.inspection.sdist_scan import SourceScan

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar": bytes,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
    ".tar.lzma": partial(lzma.compress, format=lzma.FORMAT_ALONE),
}
_ENDINGS = [*_PACKERS, ".zip"]


def _sdist(files: dict[str, str], ending: str = ".tar.gz") -> bytes:
    """Pack *files* below the top-level folder of an sdist."""
    packed = io.BytesIO()
    if ending == ".zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("demo-1.0")
            for name, text in files.items():
                archive.writestr(f"demo-1.0/{name}", text)
        return packed.getvalue()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"demo-1.0/{name}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return _PACKERS[ending](packed.getvalue())


def _read_bytes(data: bytes, filename: str = "demo-1.0.tar.gz", packages: tuple[str, ...] = ("demo",)) -> SourceScan | None:
    return sdist_scan.read(io.BytesIO(data), filename, packages)


def _read(files: dict[str, str], packages: tuple[str, ...] = ("demo",)) -> SourceScan:
    found = _read_bytes(_sdist(files), packages=packages)
    assert found is not None
    return found


def _shaping(found: SourceScan | None, *names: str, project: str = "foreign") -> set[str]:
    return set(sdist_scan.shaping(found, project, dict.fromkeys(names, "1"), ()))


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("setup.py", "if os.environ.get('WITH_FROBS') == '1': ...", "WITH_FROBS"),
        ("setup.py", 'if "WITH_FROBS" in os.environ: ...', "WITH_FROBS"),
        ("setup.py", "flag = os.environ['FROB_FORCE_%s' % feature.upper()]", "FROB_FORCE_LIBYAML"),
        ("setup.py", "flag = os.environ['FROB_FORCE_{0}'.format(feature)]", "FROB_FORCE_LIBYAML"),
        ("setup.py", 'flag = os.getenv(f"FROB_FORCE_{feature}")', "FROB_FORCE_LIBYAML"),
        ("setup.py", "for name, library in dict(JPEG_ROOT='libjpeg').items(): roots[name] = os.environ.get(name)", "JPEG_ROOT"),
        ("setup.py", "def option(n): return os.getenv(n.upper().replace('-', '_'))\noption('static-deps')", "STATIC_DEPS"),
        ("setup_configure.py", "directory = os.environ.get('FROB_DIR')", "FROB_DIR"),
        ("frobconfig.py", "profile = os.environ.get('FROB_PROFILE', 'default')", "FROB_PROFILE"),
        ("setupinfo.py", "FROB2_CONFIG = os.getenv('FROB2_CONFIG', 'frob2-config')", "FROB2_CONFIG"),
        ("conf/frobdistutils.py", "for name in ('FROBCC', 'FROBCFG'): use(os.environ.get(name))", "FROBCFG"),
        ("src/python/frob/commands.py", "suffix = os.getenv('FROB_EXT')", "FROB_EXT"),
        ("demo/core/setup.py", "blas = os.environ.get('FROB_ORDER')", "FROB_ORDER"),
        ("setup.cfg", "[frob]\ninclude = ${FROB_INCLUDE}\n", "FROB_INCLUDE"),
        ("pyproject.toml", "[tool.scikit-build.cmake.define]\nWITH_FROBS = {env = 'FROB_FROBS'}\n", "FROB_FROBS"),
        ("CMakeLists.txt", "if(DEFINED ENV{FROB_PREFIX})\n", "FROB_PREFIX"),
        ("CMakeLists.txt", "set(prefix $ENV{FrobPrefix})\n", "FrobPrefix"),
        ("CMakeLists.txt", "find_package(Frob REQUIRED)\n", "Frob_ROOT"),
        ("CMakeLists.txt", "find_package(Frob)\nfind_package(Other)\nset(prefix $ENV{Other})\n", "FROB_ROOT"),
        ("cmake/frobs.cmake", "FIND_PACKAGE (Frob)\n", "FROB_ROOT"),
        ("demo/meson.build", "run_command('env', 'FROB_ABI')\n", "FROB_ABI"),
        ("Makefile.am", "frobs: $(FROB_TOOLS)\n", "FROB_TOOLS"),
        ("configure", "test -n $FROB_LIBS\n", "FROB_LIBS"),
        ("build.rs", 'fn main() { std::env::var("FROB_KEEP"); }\n', "FROB_KEEP"),
        ("Cargo.lock", '[[package]]\nname = "frob-sys"\nversion = "1.0"\n', "FROB_LIB_DIR"),
        ("Cargo.toml", '[dependencies]\n"libfrob3-sys" = "1"\n', "FROB3_STATIC"),
    ],
)
def test_names_of_variables_are_found_in_all_forms(file: str, text: str, name: str) -> None:
    assert _shaping(_read({file: text}), name, "UNHEARD_OF") == {name}


@pytest.mark.parametrize(
    "file",
    [
        "demo.py",
        "demo/core.py",
        "src/demo/core.py",
        "tests/conf.py",
        "test_frobs.py",
        "conftest.py",
        "docs/conf.py",
        "examples/setup.py",
        "benchmarks/run.py",
        ".github/setup.py",
        "third_party/zlib/CMakeLists.txt",
        "demo/_vendor/meson.build",
        "README.md",
        "include/demo.h",
    ],
)
def test_files_that_do_not_belong_to_the_build_are_not_scanned(file: str) -> None:
    assert _read({file: "os.environ['WITH_FROBS']", "setup.py": ""}).words == frozenset()


def test_only_whole_upper_case_words_count() -> None:
    words = _read({"setup.py": "A = bCC = Dd = FOO_bar = _X = __FLAGS = C3 = 'x-y_z'"}).words
    assert words == {"__FLAGS", "C3"}


def test_a_prefix_has_at_least_three_letters() -> None:
    found = _read({"setup.py": "environ['PY_' + x], environ['_PY_' + x], environ['LXM_' + x], environ['ABC']"})
    assert _shaping(found, "PY_X", "_PY_X", "LXM_X", "ABC", "ABCD", "ABC_D") == {"LXM_X", "ABC"}


def test_without_an_sdist_the_projects_and_the_toolchains_variables_count() -> None:
    names = ("PY_FOO_DEBUG", "PYFOO", "PY_FOO", "CFLAGS", "CMAKE_ARGS", "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_DEMO", "OTHER")
    assert _shaping(None, *names, project="py-foo") == {
        "PY_FOO_DEBUG",
        "CFLAGS",
        "CMAKE_ARGS",
        "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_DEMO",
    }


def test_an_empty_variable_counts_as_unset_only_for_the_toolchain() -> None:
    found = _read({"setup.py": '"CFLAGS" in os.environ or "WITH_FROBS" in os.environ'})
    found = found and found._replace(compiles=True)
    assert sdist_scan.shaping(found, "demo", {"CFLAGS": "", "WITH_FROBS": "", "LDFLAGS": ""}, ()) == {"WITH_FROBS": ""}
    assert sdist_scan.shaping(found, "demo", {"CFLAGS": "-O2"}, ()) == {"CFLAGS": "-O2"}


_TOOLCHAIN = """
    CC CXX LDFLAGS MACOSX_DEPLOYMENT_TARGET PKG_CONFIG_PATH CMAKE_GENERATOR CMAKE_PREFIX_PATH SKBUILD_BUILD_DIR
    MATURIN_PEP517_ARGS CARGO_BUILD_TARGET CARGO_PROFILE_RELEASE_LTO CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER RUSTFLAGS
    PYO3_CONFIG_FILE HATCH_BUILD_HOOKS_ENABLE PDM_BUILD_SCM_VERSION POETRY_DYNAMIC_VERSIONING_BYPASS TORCH_CUDA_ARCH_LIST
    CUDA_HOME CUDACXX NPY_BLAS_ORDER CYTHON_FORCE_REGEN MYPYC_OPT_LEVEL INCLUDE LIB VSCMD_ARG_TGT_ARCH MPICC CC_LD
    CC_x86_64_unknown_linux_gnu SETUPTOOLS_SCM_PRETEND_VERSION PBR_VERSION DISTUTILS_USE_SDK _PYTHON_HOST_PLATFORM
"""
_NEVER = """
    PATH HOME PWD OLDPWD USER LOGNAME SHELL TERM LANG LANGUAGE LC_ALL TMPDIR TEMP TMP TZ VIRTUAL_ENV VIRTUAL_ENV_PROMPT CI
    CI_JOB_ID CONDA_PROMPT_MODIFIER GITHUB_RUN_ID GITLAB_CI BUILD_ID BUILD_NUMBER RUNNER_TEMP JENKINS_URL CIRCLE_BUILD_NUM
    TRAVIS TF_BUILD AGENT_ID SOURCE_DATE_EPOCH MAX_JOBS MAKEFLAGS NPY_NUM_BUILD_JOBS CMAKE_BUILD_PARALLEL_LEVEL
    CARGO_BUILD_JOBS OMP_NUM_THREADS GRPC_PYTHON_BUILD_EXT_COMPILER_JOBS MAX_CONCURRENCY CPUCOUNT PYTHONDONTWRITEBYTECODE
    PYTHONUNBUFFERED PYTHONPATH PIP_INDEX_URL PINSTALL_POLICY SSH_AUTH_SOCK DISPLAY CARGO_HOME CARGO_REGISTRY_TOKEN
    MATURIN_PASSWORD MATURIN_PYPI_TOKEN AWS_SECRET_ACCESS_KEY DBPASSWORD GITHUB_API_TOKEN HF_TOKENS SOME_PRIVATE_KEY API_KEY
    NPM_AUTH SKBUILD_CREDENTIALS DB_PASSWD GH_PAT COLUMNS NO_COLOR
"""


@pytest.mark.parametrize("name", _TOOLCHAIN.split())
def test_the_toolchains_variables_shape_every_build(name: str) -> None:
    assert _shaping(None, name) == {name}


@pytest.mark.parametrize("name", _NEVER.split())
def test_variables_that_differ_between_runs_count_only_if_the_user_adds_them(name: str) -> None:
    found = _read({"setup.py": f"os.environ['{name}']"})
    assert _shaping(found, name) == set()
    assert _shaping(found, name, project=name.partition("_")[0].lower()) == set()
    assert sdist_scan.shaping(found, "demo", {name: ""}, [name]) == {name: ""}
    assert sdist_scan.shaping(found, "demo", {name: "1"}, [f"{name[:2]}*"]) == {name: "1"}


@pytest.mark.parametrize(
    "name", ["FROBJOBS", "TOKENIZERS_PARALLEL", "KEYBOARD_LAYOUT", "AUTHOR_NAME", "COMPASS_DIR", "HDF5_PARALLEL"]
)
def test_names_similar_to_ignored_variables_count(name: str) -> None:
    assert _shaping(_read({"setup.py": name}), name) == {name}


def test_tools_are_found_in_build_files() -> None:
    found = _read({"setup.py": "run('curl-config'); run('pg_config')", "meson.build": "dependency('foo')", "README": "nvcc"})
    assert found.tools == ("curl-config", "pg_config", "pkg-config")
    assert set(found.tools) < set(sdist_scan.TOOLS)


_BACKEND = '[build-system]\nrequires = ["Cython>=3", "setup.tools_scm[toml]", 7, "?"]\n'


@pytest.mark.parametrize(
    ("files", "requires"),
    [
        ({}, ("setuptools",)),
        ({"pyproject.toml": "[project]\nname = 'demo'\n"}, ("setuptools",)),
        ({"pyproject.toml": "[[[broken"}, ("setuptools",)),
        ({"pyproject.toml": "build-system = 7\n"}, ("setuptools",)),
        *(
            ({"pyproject.toml": f"[build-system]\nrequires = {value}\nbuild-backend = 5\nbackend-path = 5\n"}, ("setuptools",))
            for value in ("5", "true", "1.5", "1979-05-27", "'cython'", "{cython = 1}")
        ),
        ({"pyproject.toml": "a = " + "[" * 5_000}, ("setuptools",)),
        (
            {"pyproject.toml": _BACKEND, "sub/pyproject.toml": "[build-system]\nrequires = ['other']"},
            ("cython", "setup-tools-scm"),
        ),
        (
            {"setup.py": "import os, numpy as np, pkg_resources\nfrom torch.utils import cpp_extension"},
            ("numpy", "setuptools", "torch"),
        ),
        (
            {
                "setup.py": "version('a-b'); find_spec( \"c.d\"); require('e>=1'); Version('1.0'); version(x)\n"
                "importlib.metadata.version('f')"
            },
            ("a-b", "c", "e", "f", "setuptools"),
        ),
        ({"setup.py": "from conf import help\n", "conf/help.py": "  import mpi4py.x\n"}, ("mpi4py", "setuptools")),
        (
            {"setup.py": "import help\n", "help.py": "from . import more\nimport setup, _winreg\n", "more.py": "import a"},
            ("a", "setuptools"),
        ),
        (
            {"setup.py": "import numpy, help, more\n", "help.py": "import torch\n", "more.py": "import a, b\n"},
            ("a", "b", "numpy", "setuptools", "torch"),
        ),
        # A folder without modules is not a package: the import is that of another project.
        ({"setup.py": "import torch\n", "torch/lib/make.py": ""}, ("setuptools", "torch")),
        ({"setup.py": "import demo, distutils.core\n", "noxfile.py": "import nox\n"}, ("setuptools",)),
        ({"setup.py": "import extra\n", "extra/__init__.py": ""}, ("setuptools",)),
        ({"__init__.py": "import a\n"}, ("setuptools",)),
        (
            {
                "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'inner.back'\nbackend-path = ['.']",
                "inner/back.py": "from numpy import *\nimport\n",
            },
            ("numpy",),
        ),
        ({"pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'back'\n", "back.py": "import numpy\n"}, ()),
    ],
)
def test_requires_are_the_build_requirements_and_the_imports_of_build_scripts(
    files: dict[str, str], requires: tuple[str, ...]
) -> None:
    found = _read(files)
    assert (found.requires, found.whole) == (requires, True)


@pytest.mark.parametrize("top", ["demo-1.0/", "./demo-1.0/", "demo-1.0//", "demo-1.0/./", "/demo-1.0/"])
@pytest.mark.parametrize("ending", [".tar", ".zip"])
def test_the_top_level_is_recognized_in_all_spellings_of_paths(top: str, ending: str) -> None:
    packed = io.BytesIO()
    text = b"[build-system]\nrequires = ['numpy']\n"
    if ending == ".zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(f"{top}pyproject.toml", text)
    else:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            info = tarfile.TarInfo(f"{top}pyproject.toml")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    found = _read_bytes(packed.getvalue(), f"demo-1.0{ending}")
    assert found is not None
    assert found.requires == ("numpy",)


@pytest.mark.parametrize("ending", [".tar", ".zip"])
def test_folders_are_not_taken_for_files(ending: str) -> None:
    """A file named ``configure`` would mean that the build compiles code; a folder with that name does not."""
    packed = io.BytesIO()
    if ending == ".zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.mkdir("demo-1.0/configure")
    else:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            info = tarfile.TarInfo("demo-1.0/configure")
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
    found = _read_bytes(packed.getvalue(), f"demo-1.0{ending}")
    assert found is not None
    assert not found.compiles


@pytest.mark.parametrize("ending", _ENDINGS)
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.py": "", "PKG-INFO": "Name: demo", "demo.egg-info/PKG-INFO": "Name: other"}, "Name: demo"),
        ({"demo.egg-info/PKG-INFO": "Name: other", "PKG-INFO": "Name: demo\xe9"}, "Name: demo\xe9"),
        ({"demo.egg-info/PKG-INFO": "Name: other", "MY-PKG-INFO": "Name: demo"}, ""),
    ],
)
def test_metadata_is_the_pkg_info_at_the_top_of_an_sdist(ending: str, files: dict[str, str], said: str) -> None:
    data = _sdist(files, ending)
    assert sdist_scan.metadata(io.BytesIO(data), f"demo-1.0{ending}") == said
    assert sdist_scan.metadata(io.BytesIO(data[:50]), f"demo-1.0{ending}") == ""


def test_metadata_may_be_invalid_utf8_and_its_path_may_begin_with_a_dot() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("./demo-1.0/PKG-INFO")
        info.size = 7
        tar.addfile(info, io.BytesIO(b"Name: \xe9"))
    packed.seek(0)
    assert sdist_scan.metadata(packed, "demo-1.0.tar") == "Name: \ufffd"


@pytest.mark.parametrize(
    ("files", "compiles"),
    [
        ({"setup.py": "setup(name='demo')", "demo.py": "", "tests/data.c": "", "demo.h": ""}, False),
        ({"src/fast.C": ""}, True),
        ({"third_party/zlib/adler.c": ""}, True),
        ({"demo/_fast.pyx": ""}, True),
        ({"meson.build": ""}, True),
        ({"rust/Cargo.toml": ""}, True),
        ({"setup.py": "setup(cffi_modules=['x.py:ffi'])"}, True),
        ({"setup.py": "setup(ext_modules=mypycify(['demo.py']))"}, True),
    ],
)
def test_compiled_code_is_detected(files: dict[str, str], compiles: bool) -> None:
    assert _read(files).compiles == compiles


_FILES = {
    "setup.py": "import numpy\nos.environ['WITH_FROBS']\n" * 50,
    "demo/__init__.py": "os.environ['OTHER']",
    "a.c": "int x;",
}


@pytest.mark.parametrize("ending", _ENDINGS)
def test_every_kind_of_archive_is_read(ending: str) -> None:
    found = _read_bytes(_sdist(_FILES, ending), f"demo-1.0{ending}")
    assert found == SourceScan(frozenset({"WITH_FROBS"}), (), ("numpy", "setuptools"), compiles=True, whole=True)


@pytest.mark.parametrize("filename", ["demo-1.0.whl", "demo-1.0.exe", "demo"])
def test_files_other_than_sdists_are_not_read(filename: str) -> None:
    assert _read_bytes(_sdist(_FILES), filename) is None


_BOUNDS = ["_MOST_TEXT", "_MOST_MEMBERS", "_MOST_UNPACKED", "LARGEST_READ"]


# A zip's members are read one by one, so that none has to be unpacked to reach the next.
@pytest.mark.parametrize(
    ("ending", "bound"), [(e, b) for e in _ENDINGS for b in _BOUNDS if (e, b) != (".zip", "_MOST_UNPACKED")]
)
def test_a_scan_ends_at_each_limit_and_reports_it(monkeypatch: pytest.MonkeyPatch, bound: str, ending: str) -> None:
    module = archives if bound == "LARGEST_READ" else sdist_scan
    monkeypatch.setattr(module, bound, 1 if bound == "_MOST_MEMBERS" else 600 if ending != ".zip" else 90)
    found = _read_bytes(_sdist({"README": "", "setup.py": "os.environ['WITH_FROBS']\n" * 100}, ending), f"demo-1.0{ending}")
    assert found is not None
    assert (found.whole, found.compiles) == (False, True)


def test_a_pyproject_that_would_take_hours_is_not_parsed() -> None:
    found = _read({"pyproject.toml": "a." * 1_000_000})
    assert (found.requires, found.whole) == (("setuptools",), False)


@pytest.mark.parametrize("folder", ["", "tests/"])
def test_a_decompression_bomb_is_not_scanned_to_its_end(folder: str) -> None:
    """The archive is a bomb: a gigabyte of zeros in a megabyte."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="w", compresslevel=1) as file:
        info = tarfile.TarInfo(f"demo-1.0/{folder}setup.py")
        info.size = 1 << 30
        file.write(info.tobuf())
        for _ in range(300):
            file.write(bytes(1 << 20))
    found = _read_bytes(packed.getvalue())
    assert found is not None
    assert (found.words, found.whole) == (frozenset(), False)


def test_a_header_that_claims_a_terabyte_ends_the_scan() -> None:
    info = tarfile.TarInfo("demo-1.0/x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    found = _read_bytes(info.tobuf(tarfile.GNU_FORMAT), "demo-1.0.tar")
    assert found is not None
    assert not found.whole


def test_deeply_nested_tar_headers_make_an_sdist_unreadable() -> None:
    info = tarfile.TarInfo("demo-1.0/x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    assert _read_bytes((info.tobuf() + b"x" + bytes(511)) * 5_000, "demo-1.0.tar") is None


def test_a_tar_is_read_forward_only() -> None:
    info = tarfile.TarInfo("demo-1.0/x")
    info.size = -1024
    assert _read_bytes(info.tobuf(tarfile.GNU_FORMAT) * 3, "demo-1.0.tar") is None
    with pytest.raises(ValueError, match="backwards"):
        archives.Stream(io.BytesIO(b"xy"), 2).seek(-1)


def test_links_and_odd_names_do_not_lead_to_other_files() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, kind in [
            ("demo/setup.py", tarfile.SYMTYPE),
            ("demo/conf.py", tarfile.LNKTYPE),
            ("demo/pipe.py", tarfile.FIFOTYPE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        for name in ("", "/", ".", "..", "../../setup.py", "/setup.py", "setup.py", "./demo//./Makefile"):
            info = tarfile.TarInfo(name)
            info.size = 10
            tar.addfile(info, io.BytesIO(b"WITH_FROBS"))
    found = _read_bytes(packed.getvalue(), "demo-1.0.tar")
    assert found is not None
    assert (found.words, found.whole) == (frozenset({"WITH_FROBS"}), True)


def test_an_encrypted_sdist_is_not_read() -> None:
    data = bytearray(_sdist({"setup.py": "x"}, ".zip"))
    for magic, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.rindex(magic) + flags] |= 1
    assert _read_bytes(bytes(data), "demo-1.0.zip") is None


@pytest.mark.parametrize("ending", _ENDINGS)
@given(data=st.binary(max_size=2_000))
@settings(max_examples=60, deadline=None)
def test_arbitrary_bytes_raise_no_error(ending: str, data: bytes) -> None:
    _read_bytes(data, f"demo-1.0{ending}")


@pytest.mark.parametrize("ending", _ENDINGS)
@given(data=st.binary(min_size=1, max_size=200), at=st.integers(0, 5_000))
@settings(max_examples=100, deadline=None)
def test_arbitrary_damage_raises_no_error(ending: str, data: bytes, at: int) -> None:
    whole = _sdist(_FILES, ending)
    at %= len(whole)
    _read_bytes(whole[:at] + data + whole[at + len(data) :], f"demo-1.0{ending}")
    _read_bytes(whole[:at], f"demo-1.0{ending}")


_NAME = st.sampled_from([*_NEVER.split(), *_TOOLCHAIN.split(), "DEMO_X", "FROB", "FROB_X", "OTHER"]) | st.text(
    "AB_", max_size=6
)
_ENVIRON = st.dictionaries(_NAME, st.sampled_from(["", "1"]), max_size=12)
_WORDS = st.frozensets(_NAME | st.text("AB_", max_size=5), max_size=8)


def _says(words: frozenset[str]) -> SourceScan:
    return SourceScan(words, (), (), compiles=True, whole=True)


@given(environ=_ENVIRON, fewer=_WORDS, more=_WORDS)
def test_more_words_find_more_variables_but_only_set_ones(
    environ: dict[str, str], fewer: frozenset[str], more: frozenset[str]
) -> None:
    found = sdist_scan.shaping(_says(fewer), "demo", environ, ())
    assert sdist_scan.shaping(None, "demo", environ, ()).items() <= found.items()
    assert found.items() <= sdist_scan.shaping(_says(fewer | more), "demo", environ, ()).items()
    assert found.items() <= environ.items()


@given(
    before=st.text("ABC_", max_size=4),
    secret=st.sampled_from(["TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS", "API_KEY", "PRIVATE_KEY", "AUTH"]),
    after=st.sampled_from(["", "_X", "_FILE"]),
)
def test_secrets_never_shape_a_build(before: str, secret: str, after: str) -> None:
    name = f"{before}_{secret}{after}"
    for found in (None, _says(frozenset({name, f"{before}_", "CMAKE_"}))):
        assert _shaping(found, name, f"CMAKE_{name}", project=before.lower()) == set()


class _Bad(io.BytesIO):
    """A file on a failing disk."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("ending", _ENDINGS)
def test_a_disk_error_is_raised(ending: str) -> None:
    data = _sdist({"PKG-INFO": "Name: demo"}, ending)
    for ask in (
        lambda file: sdist_scan.read(file, f"demo-1.0{ending}", ()),
        lambda file: sdist_scan.metadata(file, f"demo-1.0{ending}"),
    ):
        with pytest.raises(OSError, match="Input/output error"):
            ask(_Bad(data))
