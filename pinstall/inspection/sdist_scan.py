"""Scan an sdist for the inputs of its build: environment variables, tools, build requirements, and whether it compiles code."""

from __future__ import annotations

import fnmatch
import re
import sys
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

from pinstall.inspection import archives
from pinstall.model.links import SDIST_ENDINGS
from pinstall.model.names import normalized

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

# Far above every sdist that was tried (docs/builds.md). Walking a compressed tar unpacks all that lies between its members.
_MOST_UNPACKED = 256 << 20
_MOST_TEXT = 8 << 20
_MOST_MEMBERS = 20_000
_LARGEST_PYPROJECT = 1 << 16  # tomllib takes quadratic time for a dotted key


_Member = TypeVar("_Member")


class _Globs(NamedTuple):
    """A set of patterns for names: whole names, prefixes, and suffixes."""

    whole: frozenset[str]
    starts: tuple[str, ...]
    ends: tuple[str, ...]

    def cover(self, name: str) -> bool:
        """Return whether a pattern matches the whole *name*, case-sensitively."""
        return name in self.whole or name.startswith(self.starts) or name.endswith(self.ends)


def _globs(text: str) -> _Globs:
    """Read the patterns ``NAME``, ``PREFIX*`` and ``*SUFFIX`` in *text*. Matching them is faster than fnmatch for hundreds."""
    globs = text.split()
    return _Globs(
        frozenset(glob for glob in globs if "*" not in glob),
        tuple(glob[:-1] for glob in globs if glob.endswith("*")),
        tuple(glob[1:] for glob in globs if glob.startswith("*")),
    )


# Variables that build backends read for a wheel of any kind; flit and poetry-core read none.
_OF_BACKENDS = _globs("""
    SETUPTOOLS_* DIST_EXTRA_CONFIG _PYTHON_HOST_PLATFORM VCS_VERSIONING_* PBR_* HATCH_BUILD_* PDM_BUILD_*
    POETRY_DYNAMIC_VERSIONING_* SKBUILD_* MESON_ARGS MESONPY_* MATURIN_*
""")
# Variables that compilers, and the tools that call them, read.
_OF_COMPILERS = _globs("""
    CC CXX CPP LD AR AS NM RANLIB STRIP CFLAGS CPPFLAGS CXXFLAGS LDFLAGS ARFLAGS OBJC OBJCXX OBJCFLAGS OBJCXXFLAGS ASM ASMFLAGS
    CC_* CXX_* AR_* CFLAGS_* CXXFLAGS_* HOST_CC HOST_CXX HOST_CFLAGS TARGET_CC TARGET_CXX TARGET_CFLAGS CRATE_CC_NO_DEFAULTS
    FC F77 F90 FFLAGS FCFLAGS F77FLAGS F90FLAGS
    CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH OBJC_INCLUDE_PATH LIBRARY_PATH LD_RUN_PATH COMPILER_PATH GCC_EXEC_PREFIX
    ARCHFLAGS MACOSX_DEPLOYMENT_TARGET IPHONEOS_DEPLOYMENT_TARGET SDKROOT _PYTHON_SYSCONFIGDATA_NAME
    INCLUDE LIB LIBPATH CL _CL_ LINK _LINK_ MSSDK WINDOWSSDKDIR WINDOWSSDKVERSION UNIVERSALCRTSDKDIR UCRTVERSION
    VCINSTALLDIR VCTOOLSINSTALLDIR VCTOOLSVERSION VSINSTALLDIR VISUALSTUDIOVERSION VSCMD_ARG_*
    LDSHARED LDCXXSHARED CCSHARED DISTUTILS_*
    PKG_CONFIG PKG_CONFIG_* LLVM_CONFIG SWIG SWIG_* SWIGFLAGS CYTHON CYTHON_* MYPYC_*
    CMAKE_* CUDAARCHS CUDACXX CUDAFLAGS CUDAHOSTCXX HIPCXX HIPFLAGS HIPHOSTCXX ISPC ISPCFLAGS RC RCFLAGS SWIFTC CSFLAGS
    MESON CC_LD CXX_LD FC_LD OBJC_LD RUSTC_LD NASM VALAFLAGS DFLAGS
    CARGO CARGO_BUILD_* CARGO_PROFILE_* CARGO_TARGET_* CARGO_UNSTABLE_* CARGO_ENCODED_RUSTFLAGS RUSTC RUSTFLAGS RUSTUP_TOOLCHAIN
    PYO3_*
    GOFLAGS GOOS GOARCH CGO_*
    CUDA_HOME CUDA_PATH CUDA_ROOT CUDNN_HOME NVCC_* TORCH_CUDA_ARCH_LIST TORCH_XPU_ARCH_LIST TORCH_NVCC_FLAGS
    ROCM_HOME ROCM_PATH HIP_PATH PYTORCH_ROCM_ARCH
    NPY_* ATLAS BLAS LAPACK OPENBLAS MKLROOT
    MPICC MPICXX MPIFC MPIF77 MPIF90 MPILD MPICFG OMPI_CC OMPI_CXX OMPI_FC OMPI_CFLAGS OMPI_LDFLAGS MPICH_CC MPICH_CXX I_MPI_CC
    I_MPI_CXX
""")

# Variables that differ between machines, users or runs without changing the wheel, and those of pip and pinstall.
_NEVER = _globs("""
    PATH HOME PWD OLDPWD USER USERNAME LOGNAME SHELL SHLVL _ HOST HOSTNAME MAIL EDITOR PAGER VISUAL DISPLAY
    LANG LANGUAGE LC_* TZ TMPDIR TEMP TMP XDG_* DBUS_* SSH_* WAYLAND_DISPLAY
    TERM TERM_* COLORTERM COLUMNS LINES NO_COLOR FORCE_COLOR CLICOLOR CLICOLOR_FORCE CMAKE_COLOR_DIAGNOSTICS PS1 PS2
    USERPROFILE USERDOMAIN COMPUTERNAME APPDATA LOCALAPPDATA PROGRAMDATA PUBLIC HOMEDRIVE HOMEPATH COMSPEC PATHEXT SYSTEMROOT
    WINDIR SYSTEMDRIVE
    VIRTUAL_ENV VIRTUAL_ENV_* CONDA_PROMPT_* CONDA_SHLVL CONDA_DEFAULT_ENV CONDA_EXE CONDA_PYTHON_EXE _CONDA_*
    CI CI_* CONTINUOUS_INTEGRATION GITHUB_* GITLAB_* RUNNER_* JENKINS_* CIRCLECI CIRCLE_* TRAVIS TRAVIS_* TF_BUILD AGENT_*
    SYSTEM_ACCESSTOKEN SYSTEM_COLLECTION* SYSTEM_DEFINITION* SYSTEM_JOB* SYSTEM_PHASE* SYSTEM_PLAN* SYSTEM_STAGE* SYSTEM_TEAM*
    SYSTEM_TIMELINE*
    APPVEYOR APPVEYOR_* BUILDKITE BUILDKITE_* TEAMCITY_* DRONE DRONE_* CIRRUS_* BITBUCKET_* CODEBUILD_* SEMAPHORE SEMAPHORE_*
    BUILD_ID BUILD_NUMBER BUILD_TAG BUILD_URL BUILD_BUILDID BUILD_BUILDNUMBER JOB_NAME JOB_URL RUN_ID WORKSPACE EXECUTOR_NUMBER
    SOURCE_DATE_EPOCH
    MAX_JOBS *_JOBS MAKEFLAGS MFLAGS MAKELEVEL NINJAFLAGS NINJA_STATUS *_PARALLEL_LEVEL *_NUM_THREADS *_NPROC *_NPROCS NPROC
    MAX_CONCURRENCY NUMBER_OF_PROCESSORS CPUCOUNT CPU_COUNT VERBOSE V
    PYTHON PYTHON_VERSION PYTHON_SHA256 PYTHON_PIP_VERSION PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONOPTIMIZE PYTHONDEBUG
    PYTHONINSPECT PYTHONUNBUFFERED PYTHONVERBOSE PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX PYTHONHASHSEED PYTHONIOENCODING
    PYTHONNOUSERSITE PYTHONUSERBASE PYTHONWARNINGS PYTHONFAULTHANDLER PYTHONTRACEMALLOC PYTHONASYNCIODEBUG PYTHONMALLOC
    PYTHONUTF8 PYTHONCOERCECLOCALE PYTHONSAFEPATH PYTHONDEVMODE PYTHONPLATLIBDIR PYTHONPROFILEIMPORTTIME PYTHONBREAKPOINT
    PYTHONINTMAXSTRDIGITS PYTHONEXECUTABLE PYTHONNODEBUGRANGES PYTHONWARNDEFAULTENCODING PYTHONLEGACYWINDOWSSTDIO
    PIP_* PINSTALL_* HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    DESTDIR CCACHE_* SCCACHE_* CMAKE_C_COMPILER_LAUNCHER CMAKE_CXX_COMPILER_LAUNCHER CMAKE_EXPORT_COMPILE_COMMANDS
    CMAKE_NO_VERBOSE CARGO_HOME RUSTUP_HOME CARGO_BUILD_TARGET_DIR CARGO_BUILD_BUILD_DIR CARGO_TARGET_DIR
    CARGO_BUILD_RUSTC_WRAPPER MESONPY_EDITABLE_VERBOSE HATCH_BUILD_LOCATION HATCH_BUILD_CLEAN HATCH_BUILD_CLEAN_HOOKS_AFTER
    SETUPTOOLS_SCM_DEBUG DISTUTILS_DEBUG
""")
_SECRET = re.compile(
    r"(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|(API|PRIVATE|ACCESS|SIGNING|ENCRYPTION|GPG|SSH)_?KEY)S?(?=_|$)"
    r"|(^|_)(AUTH|PASS|PAT|COOKIES?)(?=_|$)",
    re.IGNORECASE,
)
# Variables that no build file can mean: pip, the machine or the user sets them for everybody, or other questions cover them.
_MEANINGLESS = _globs("""
    PATH HOME PWD OLDPWD SHELL SHLVL _ HOST HOSTNAME MAIL EDITOR PAGER VISUAL DISPLAY TMPDIR TEMP TMP XDG_* DBUS_* SSH_*
    TERM TERM_* COLORTERM COLUMNS LINES NO_COLOR FORCE_COLOR CLICOLOR CLICOLOR_FORCE USERPROFILE SYSTEMROOT WINDIR SYSTEMDRIVE
    VIRTUAL_ENV VIRTUAL_ENV_* MAX_JOBS *_JOBS MAKEFLAGS MFLAGS MAKELEVEL *_PARALLEL_LEVEL *_NUM_THREADS NPROC
    NUMBER_OF_PROCESSORS VERBOSE V SOURCE_DATE_EPOCH
    PYTHONPATH PYTHONHOME PYTHONOPTIMIZE PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONHASHSEED PYTHONIOENCODING
    PYTHONNOUSERSITE PYTHONUSERBASE PYTHONWARNINGS PYTHONUTF8 PYTHONSAFEPATH PIP_* PINSTALL_* _PYPROJECT_HOOKS_* PEP517_*
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    CCACHE_* SCCACHE_* LD_LIBRARY_PATH SETUPTOOLS_USE_DISTUTILS _PYTHON_PROJECT_BASE ENSUREPIP_OPTIONS
""")
# Variables of sessions and machines: these do not count even where all others do, because nobody can read the source.
_OF_SESSIONS = _globs("""
    UV_* PYENV_* NVM_* RBENV_* SDKMAN_* JAVA_HOME* ANDROID_* GOPATH GOROOT DOTNET_* HOMEBREW_* CHOCOLATEY* LS_COLORS LESS*
    WINDOWID INVOCATION_ID JOURNAL_STREAM KUBERNETES_* GPG_* GNOME_* KDE_* DESKTOP_* SESSION_* VTE_VERSION TMUX* STY ITERM_*
    VSCODE_* NVIM* EMACS* INSIDE_EMACS HIST* PROMPT* ZSH* BASH* FISH* SUDO_* MANPATH INFOPATH CONDA_* MAMBA_* IMAGEOS ImageOS
    ImageVersion DEBIAN_FRONTEND KRB5CCNAME XAUTHORITY COVERAGE_* PYTEST_* TOX_* NOX_* VIRTUALENV* WSL* container OLDPWD
""")
# Variables that compilers, linkers and the programs that they start read for themselves: no build asks for them.
_OF_PROGRAMS = _globs("""
    CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH OBJC_INCLUDE_PATH LIBRARY_PATH LD_RUN_PATH COMPILER_PATH GCC_EXEC_PREFIX
    SDKROOT MACOSX_DEPLOYMENT_TARGET IPHONEOS_DEPLOYMENT_TARGET INCLUDE LIB LIBPATH CL _CL_ LINK _LINK_
    NVCC_* CUDAARCHS CUDAHOSTCXX CGO_* GOFLAGS GOOS GOARCH RUSTFLAGS RUSTUP_TOOLCHAIN PKG_CONFIG_* SWIG_*
    OMPI_CC OMPI_CXX OMPI_FC OMPI_CFLAGS OMPI_LDFLAGS MPICH_CC MPICH_CXX I_MPI_CC I_MPI_CXX
""")
_SHORTEST_PREFIX = 3  # letters: "PY_" would match too many variables

# These tools tell where a library is, or generate code: another one on PATH may produce another wheel.
TOOLS = tuple(
    sorted(
        _globs("""
    apr-1-config cups-config curl-config freetype-config gdal-config geos-config gpgme-config gsl-config h5cc h5pcc hipcc
    icu-config krb5-config libpng-config llvm-config mariadb_config mpicc mpicxx mpif90 mpifort mysql_config nc-config
    net-snmp-config nf-config nvcc pcap-config pcre-config pcre2-config pg_config pkg-config sdl2-config swig wx-config
    xml2-config xmlsec1-config xslt-config
""").whole
    )
)
_PKG_CONFIG = (b"pkgconfig", b"PkgConfig", b"pkg_check_modules", b"dependency(")  # how CMake and meson files name pkg-config

_BUILD_FILES = _globs("""
    *.py *.toml *.cfg *.cmake *.gyp *.gypi *.bzl *.mk *.ac *.am CMakeLists.txt meson.build meson.options meson_options.txt
    build.rs Cargo.lock configure SConstruct SConscript wscript Makefile* makefile GNUmakefile BUILD BUILD.bazel WORKSPACE
    MODULE.bazel
""")
_COMPILED = _globs("""
    *.c *.cc *.cpp *.cxx *.c++ *.cu *.m *.mm *.s *.asm *.f *.for *.f77 *.f90 *.f95 *.f03 *.f08 *.rs *.go *.zig *.d *.swift *.pyx
    *.i *.swg cmakelists.txt meson.build cargo.toml configure sconstruct wscript go.mod
""")
_COMPILED_WORDS = (b"ext_modules", b"ext-modules", b"cffi_modules", b"mypyc", b"cythonize")  # these may generate C code
_NO_BUILD = _globs("test* unittest* t doc docs docs_* documentation example* sample* demo demos benchmark* bench perf .*")
_VENDORED = _globs("vendor* third_party* third-party* thirdparty* extern* bundled* node_modules subprojects")

# Files are searched for words instead of being parsed: names are also built (PYYAML_FORCE_%s), or are keys and keywords.
# These are compiled when a source is first read, because most calls read none.
_WORD = rb"(?<![A-Za-z0-9_])_*+[A-Z][A-Z0-9_]++(?![A-Za-z0-9_])"
_NATIVE = rb"(?:-m(?:arch|cpu|tune)|target-cpu|CUDA_ARCHITECTURES\"?)[= ]\"?native|-xHost\b"
_QUOTED = rb"""["'](?:--)?([a-z0-9]++(?:[-_][a-z0-9]++)++)["']"""
_CMAKE = rb"(?i:find_package\s*+\(\s*+(\w++))|\$ENV\{(\w++)\}"
_CRATE = rb'"(?:lib)?([a-z0-9_-]+?)[-_]sys"'
_OF_CRATE = ("DIR", "LIB_DIR", "INCLUDE_DIR", "LIBS", "STATIC", "NO_VENDOR", "NO_PKG_CONFIG")
_IMPORT = rb"(?m)^[ \t]*+(?:from[ \t]++([\w.]++)[ \t]++import[ \t]*+\(?([\w., \t]*+)|import[ \t]++([\w., \t]++))"
# Calls that look up a distribution (importlib.metadata, pkg_resources) or a module by its name.
_ASKED = (
    rb"\b(?:version|metadata|distribution|requires|files|get_distribution|require|import_module|find_spec|__import__)"
    rb"\(\s*+[\"']([A-Za-z][\w.-]*+)"
)
# The modules that backends run, and modules whose project has another name.
_SCRIPTS = ("setup", "hatch_build", "pdm_build", "build")
_PROJECTS = {
    "distutils": "setuptools",
    "pkg_resources": "setuptools",
    "skbuild": "scikit-build",
    "mypyc": "mypy",
    "mesonpy": "meson-python",
}


class SourceScan(NamedTuple):
    """The result of scanning an sdist's build files.

    ``words`` are possible names of environment variables; a word that ends in ``_`` is a possible prefix of names. ``tools``
    are those of `TOOLS` that the files name. ``requires`` are the projects (normalized) in ``build-system.requires``, or
    setuptools without it, and those whose modules the build scripts import. ``compiles`` says whether the build compiles code.
    ``native`` says whether a build file asks for the features of this machine's processor.

    ``whole`` is False if a limit ended the scan early, or pyproject.toml is too large: then ``compiles`` is True, and the other
    fields may be incomplete.
    """

    words: frozenset[str]
    tools: tuple[str, ...]
    requires: tuple[str, ...]
    compiles: bool
    whole: bool
    native: bool = False


def shaping(source: SourceScan | None, project: str, environ: Mapping[str, str], more: Sequence[str]) -> dict[str, str]:
    """Return the variables in *environ* that shape a build of *project* (normalized; "" if it does not matter), by name.

    Variables of build backends count unless they are empty, because backends treat an empty one as unset. If the build compiles
    code, the same holds for those of compilers. Others count, even if empty, if the source names them or a prefix of them, or
    if they begin with the name of the project: a build script may test whether a name is set. A prefix of fewer than three
    letters does not count.

    Variables of pip, users and machines, and those named like a secret, do not count. *more* are names or globs that the user
    adds: a variable that one of them matches always counts.

    *source* is None if the sdist is not available: then its names are unknown, and its build counts as one that compiles code.
    """
    words, compiles = (source.words, source.compiles) if source else (frozenset(), True)
    prefixes = {word for word in (*words, _upper(project) + "_") if word.endswith("_")}
    starts = tuple(prefix for prefix in prefixes if len(prefix.strip("_")) >= _SHORTEST_PREFIX)

    def shapes(name: str, value: str) -> bool:
        if _is_added(name, more):
            return True
        if _NEVER.cover(name) or _SECRET.search(name):
            return False
        if _OF_BACKENDS.cover(name) or (compiles and _OF_COMPILERS.cover(name)):
            return bool(value)
        return name in words or name.startswith(starts)

    return {name: value for name, value in environ.items() if shapes(name, value)}


def _is_added(name: str, more: Sequence[str]) -> bool:
    """Return whether the names or globs *more*, which the user adds, cover the variable *name*."""
    return any(fnmatch.fnmatchcase(name, glob) for glob in more)


def read_by_programs(environ: Mapping[str, str], more: Sequence[str], *, compiles: bool) -> dict[str, str]:
    """Return the variables in *environ* that shape a watched build though nothing has asked for them, by name.

    If the build *compiles* code, these are the variables that compilers, and the programs that they start, read for themselves,
    unless they are empty or named like a secret. Variables that *more* (names or globs that the user adds) covers always count.
    """
    return {
        name: value
        for name, value in environ.items()
        if _is_added(name, more) or (compiles and value and _OF_PROGRAMS.cover(name) and not _SECRET.search(name))
    }


def never_counts(name: str, *, of_source: bool) -> bool:
    """Return whether the variable *name*, for which a build has asked, is ignored as a condition of the build.

    *of_source* says that the files of the source ask, not a tool: then fewer variables are ignored. ``LANG``, for example, is
    ignored only if a tool asks.
    """
    return _MEANINGLESS.cover(name) if of_source else _NEVER.cover(name) or _MEANINGLESS.cover(name)


def is_secret(name: str) -> bool:
    """Return whether a variable or file is named like a secret, such as ``API_TOKEN``."""
    return bool(_SECRET.search(name))


def is_of_tools(name: str) -> bool:
    """Return whether backends or compilers read the variable *name*: an empty one counts as unset for them."""
    return _OF_BACKENDS.cover(name) or _OF_COMPILERS.cover(name)


def shaping_unknown(environ: Mapping[str, str], more: Sequence[str]) -> dict[str, str]:
    """Return the variables in *environ*, also empty ones, that may shape a build whose source nobody can read, by name.

    These are all but those of pip, users, sessions and machines, and those named like a secret. Variables that *more* (names or
    globs that the user adds) covers always count.
    """
    return {
        name: value
        for name, value in environ.items()
        if _is_added(name, more) or not (never_counts(name, of_source=False) or _OF_SESSIONS.cover(name) or is_secret(name))
    }


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def read(sdist: BinaryIO, filename: str, packages: Collection[str]) -> SourceScan | None:
    """Scan the build files of *sdist*, which is at its start.

    Return None if it is not a readable sdist; one that exceeds a limit gives a result that is not ``whole``. *filename* tells
    its archive format. *packages* are the top-level names of the wheel that is built from it: their Python code, except each
    ``setup.py``, is not scanned. Nothing is written to disk. Raises `OSError` if the file itself cannot be read.
    """
    reading = _SdistScan(frozenset(packages))
    whole = _walked(sdist, filename, reading.take)
    return None if whole is None else reading.source(whole=whole)


def metadata(sdist: BinaryIO, filename: str) -> str:
    """Return the PKG-INFO in the top-level folder of an sdist (source distribution format specification).

    Reads the archive only as far as this file. Returns "" if the file is missing, or if the archive is damaged or exceeds a
    limit before its end. Raises `OSError` if the archive itself cannot be read.
    """
    found = [b""]

    def take(path: str, content: Callable[[int], bytes]) -> bool:
        if path.removeprefix("./").count("/") == 1 and path.endswith("/PKG-INFO"):
            found.append(content(_MOST_TEXT))
        return len(found) == 1

    _walked(sdist, filename, take)
    return found[-1].decode(errors="replace")


def _walked(sdist: BinaryIO, filename: str, take: Callable[[str, Callable[[int], bytes]], bool]) -> bool | None:
    """Call *take* with the path and a reader of each file of an sdist, until it returns False.

    Return True if *take* was called for all files and always returned True, False if it or a limit ended the walk. Return None
    if *filename* is not that of an sdist, or if the archive cannot be read, perhaps only after some calls. Raises `OSError` if
    the file itself cannot be read.
    """
    members = _zipped if filename.endswith(".zip") else _packed if filename.endswith(SDIST_ENDINGS) else None
    if members is None:
        return None
    try:
        with archives.judged():
            return all(take(path, content) for path, content in members(sdist))
    except archives.TooLargeError:
        return False
    except (archives.BrokenError, archives.UnprovenError):
        return None


def _counted(members: Iterable[_Member]) -> Iterator[_Member]:
    """Yield *members*; raise `archives.TooLargeError` instead of yielding more than `_MOST_MEMBERS`."""
    for count, member in enumerate(members):
        if count == _MOST_MEMBERS:
            raise archives.TooLargeError
        yield member


def _packed(sdist: BinaryIO) -> Iterator[tuple[str, Callable[[int], bytes]]]:
    """Yield the path of each file of a tar, and a function that reads up to a number of bytes of it.

    The function is valid until the next file is requested.
    """
    import tarfile

    with tarfile.open(fileobj=archives.Stream(archives.unpacked(sdist), _MOST_UNPACKED), mode="r:") as tar:
        for member in _counted(tar):
            if member.isreg() and (content := tar.extractfile(member)):
                yield member.name, content.read


def _zipped(sdist: BinaryIO) -> Iterator[tuple[str, Callable[[int], bytes]]]:
    """Yield the path and the reading function of each file of a zip (see `_packed`)."""
    with archives.zipped(sdist) as archive:
        for info in _counted(archive.infolist()):
            if info.filename and not info.is_dir():
                yield info.filename, partial(archives.read, archive, info)


class _SdistScan:
    """The state of a scan that reads an sdist file by file."""

    def __init__(self, packages: frozenset[str]) -> None:
        self.packages = packages
        self.words: set[bytes] = set()
        self.made: set[str] = set()  # names that are derived from a file's content, and do not occur in it
        self.tools: set[str] = set()
        self.compiles = self.native = False
        self.pyproject, self.whole = b"", True
        self.imports: dict[str, set[str]] = {}  # by the name of the importing module
        self.modules: set[str] = set()
        self.left = _MOST_TEXT

    def take(self, path: str, content: Callable[[int], bytes]) -> bool:
        """Scan a file if it belongs to the build; return False if the files scanned so far exceed the limit of text, else True.

        A file that is not scanned may still tell by its name that the build compiles code. *path* is the one in the sdist;
        *content* returns up to a number of bytes.
        """
        parts = [part for part in path.split("/") if part not in ("", ".")]
        *folders, name = parts[1:] or parts or [""]
        if name.endswith(".py"):
            self.modules.update((name[:-3], *folders[-1:]))
        if any(_NO_BUILD.cover(folder.lower()) for folder in folders if folder not in self.packages):
            return True
        self.compiles = self.compiles or _COMPILED.cover(name.lower())
        if self._is_of_the_build(folders, name):
            text = content(self.left + 1)
            self._learn(name, text)
            if name == "pyproject.toml" and not folders:
                self.pyproject, self.whole = (text, True) if len(text) <= _LARGEST_PYPROJECT else (b"", False)
            self.left -= len(text)
        return self.left >= 0

    def _is_of_the_build(self, folders: list[str], name: str) -> bool:
        """Return whether to scan a file: build files and Python code, except vendored files, tests and the wheel's own code."""
        if any(_VENDORED.cover(folder.lower().lstrip("_")) for folder in folders):
            return False
        if name.endswith(".py") and name != "setup.py":
            own = not self.packages.isdisjoint((*folders, name[:-3]))
            return not (own or name == "conftest.py" or name.startswith("test_"))
        return _BUILD_FILES.cover(name)

    def _learn(self, name: str, text: bytes) -> None:
        """Note the variables, tools, imports and signs of compilation in the *text* of the file *name*."""
        self.words.update(re.findall(_WORD, text))
        self.native = self.native or bool(re.search(_NATIVE, text))
        self.tools.update(tool for tool in TOOLS if tool.encode() in text)
        self.tools.update("pkg-config" for spelling in _PKG_CONFIG if spelling in text)
        self.compiles = self.compiles or any(word in text for word in _COMPILED_WORDS)
        if name.endswith(".py"):
            self.imports.setdefault(name[:-3], set()).update(_imports(text))
            if b".upper(" in text:  # lxml's scripts make the name STATIC_DEPS of "static-deps"
                self.made.update(_upper(word.decode()) for word in re.findall(_QUOTED, text))
        elif name in ("Cargo.lock", "Cargo.toml"):  # crates outside the sdist read variables, as openssl-sys does OPENSSL_DIR
            self.made.update(f"{_upper(crate.decode())}_{end}" for crate in re.findall(_CRATE, text) for end in _OF_CRATE)
        elif name == "CMakeLists.txt" or name.endswith(".cmake"):
            for package, variable in ((found.decode(), name.decode()) for found, name in re.findall(_CMAKE, text)):
                self.made |= {variable} if variable else {f"{package}_ROOT", f"{package}_DIR", f"{package.upper()}_ROOT"}

    def source(self, *, whole: bool) -> SourceScan:
        """Return the result of the scan; *whole* says whether `take` got all files and always returned True."""
        whole = whole and self.whole
        requires, scripts = _build_system(self.pyproject)
        imported = _reached(self.imports, (*_SCRIPTS, *scripts)) - self.modules - self.packages
        standard = sys.stdlib_module_names - _PROJECTS.keys()
        foreign = {name for name in imported - standard if not name.startswith("_")}
        projects = {normalized(_PROJECTS.get(name, name)) for name in requires | foreign}
        return SourceScan(
            frozenset(word.decode() for word in self.words) | self.made,
            tuple(sorted(self.tools)),
            tuple(sorted(projects)),
            self.compiles or not whole,
            whole,
            self.native,
        )


def _imports(text: bytes) -> Iterator[str]:
    """Yield the dotted names that a Python file imports or looks up, as far as single lines show them."""
    yield from (name.decode() for name in re.findall(_ASKED, text))
    for origin, names, plain in re.findall(_IMPORT, text):
        for item in (names or b"*" if origin else plain).decode().split(","):
            word = item.split()[:1]
            yield ".".join([origin.decode(), *word] if origin else word)


def _reached(imports: Mapping[str, set[str]], first: Iterable[str]) -> set[str]:
    """Return the top-level names that the modules *first* import, directly or through other modules of the sdist."""
    waiting, seen, found = list(first), set(), set()
    while waiting:
        module = waiting.pop()
        if module in imports and module not in seen:
            seen.add(module)
            found |= {name.partition(".")[0] for name in imports[module]}
            waiting += [part for name in imports[module] for part in name.split(".")]
    return found - {""}


def _build_system(pyproject: bytes) -> tuple[set[str], tuple[str, ...]]:
    """Return the projects that a ``pyproject.toml`` requires for a build (PEP 518), and the parts of its in-tree backend.

    An invalid or empty file, and one without a list ``requires``, requires setuptools. The projects are as written. The parts
    are those of the backend's name, such as ``conf``, ``backend``; the tuple is empty for a backend that is installed.
    """
    import tomllib

    try:
        table = tomllib.loads(pyproject.decode()).get("build-system")
    except (ValueError, RecursionError):  # pip reports an invalid file itself
        table = None
    table = table if isinstance(table, dict) else {}
    requires = table.get("requires")
    texts = requires if isinstance(requires, list) else ["setuptools"]
    named = [re.match(r"\s*([A-Za-z0-9][\w.-]*)", text) for text in texts if isinstance(text, str)]
    backend = table.get("build-backend") if "backend-path" in table else None
    return {match[1] for match in named if match}, tuple(re.split(r"[.:]", backend)) if isinstance(backend, str) else ()
