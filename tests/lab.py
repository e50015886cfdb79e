"""Give one test a home, a cache that a real pip fills, environments to install into, and indexes of its own."""

from __future__ import annotations

import copy
import gzip
import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.version import Version

from pinstall.pip_cache import entries, http_entries
from pinstall.storage import cleanup, lock
from tests import index as indexes
from tests import messages, warm
from tests.packages import extension

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pytest
    import trustme

    from tests.index import Index

    Fill = Callable[["Lab", Index], None]

HERE = Path(__file__).parent
NEWEST = (HERE / "pips.txt").read_text().split()[-1]
# The pips of the tests over versions of pip: a few by default; PINSTALL_TEST_PIPS is "all", or versions separated by blanks.
_WANTED = os.environ.get("PINSTALL_TEST_PIPS") or "a few"
_LISTS = {"a few": "pips.txt", "all": "all-pips.txt"}
_GIVEN = ((HERE / _LISTS[_WANTED]).read_text() if _WANTED in _LISTS else _WANTED).split()

# With this set, no pinstall watches builds, unless a test says so.
UNWATCHED = "PINSTALL_TEST_UNWATCHED" in os.environ


def runs_here(pip: str) -> bool:
    """Return whether *pip*, a version or its folder, starts on this Python: those before 23.2 do not on Python 3.12."""
    return sys.version_info < (3, 12) or tuple(map(int, os.path.basename(pip).split(".")[:2])) >= (23, 2)


def needs(library: str, version: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test if *library* is older than *version*, as under scripts/test-oldest."""
    import pytest

    found = metadata.version(library)
    return pytest.mark.skipif(Version(found) < Version(version), reason=f"it takes {library} {version}, and this is {found}")


def watched() -> pytest.MarkDecorator:
    """Return a mark that skips a test of watched builds where no build is watched (`UNWATCHED`)."""
    import pytest

    return pytest.mark.skipif(UNWATCHED, reason="it needs watched builds")


VERSIONS = [version for version in _GIVEN if runs_here(version)]
OLDEST = _GIVEN[0]  # its tests are skipped where it does not start
# The scripts as installers write them (entry points specification).
_SCRIPT = (
    "#!{python}\n{first}import sys\nfrom {module} import {function}\nif __name__ == '__main__':\n    sys.exit({function}())\n"
)
# coverage needs a current folder, and a test may have none. pip, in a copy of the process, is not measured.
_MEASURE = """
try:
    import coverage, os
    os.register_at_fork(after_in_child=coverage.process_startup().stop)
except OSError:
    pass
"""
# With this set, pip is started as on systems where a process cannot go on as pip in a copy of itself.
SPAWNS = "PINSTALL_TEST_SPAWN" in os.environ
SPAWN = "import pinstall.pip_process; pinstall.pip_process._can_fork = lambda runner: False"
_SCRIPTS = {
    "pinstall": "pinstall.cli",
    "pinstall-cache": "pinstall.cache_tool.__main__",
    "pinstall-pip": "pinstall.pinstall_pip",
    "pip": "pip._internal.cli.main",
}


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """The lines of pinstall on standard error, without "pinstall: "; fails if docs/messages.md lacks one."""
        said = [line.removeprefix("pinstall: ") for line in self.err.splitlines() if line.startswith("pinstall: ")]
        for line in said:
            messages.hold(line, messages.OURS)
        return said


@dataclass(frozen=True)
class Environment:
    """A virtual environment that has pinstall, and the pip of this ``version``."""

    folder: Path
    version: str = NEWEST

    @property
    def site(self) -> Path:
        return Path(sysconfig.get_path("purelib", "venv", {"base": str(self.folder), "platbase": str(self.folder)}))

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def pip(self) -> str:
        return str(self.folder / "bin" / "pip")

    @property
    def pinstall(self) -> str:
        return str(self.folder / "bin" / "pinstall")

    def installed(self, project: str) -> str:
        """Return the version and the CONTENT of a package of `tests.packages`, as "1.0 plain"; "" if it is not installed."""
        module = project.replace("-", "_")
        with suppress(Exception):  # the environment's Python decides
            return self._seen(project, module)
        code = f"import importlib.metadata as m, {module} as p; print(m.version({project!r}), p.CONTENT)"
        done = subprocess.run([self.python, "-P", "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def _seen(self, project: str, module: str) -> str:
        """Return the same as `installed` without starting the environment's Python; raise if it is not one plain module."""
        importlib.invalidate_caches()
        loader = SourceFileLoader(module, str(self.site / f"{module}.py"))
        values: dict[str, str] = {}
        exec(loader.get_code(module), values)  # type: ignore[arg-type]  # noqa: S102 (tests.packages wrote it)
        (found,) = metadata.distributions(name=project, path=[str(self.site)])
        return f"{found.version} {values['CONTENT']}"


class Lab:
    """A home, a cache, environments and indexes below *root*; commands run there, with none of the caller's settings.

    ``environ`` are the variables of all commands, which a test may change. *pips* has a folder for each version of pip.
    """

    def __init__(self, root: Path, pips: Path, authority: trustme.CA, seeds: Seeds | None = None, *, cold: bool = True) -> None:
        """Make the folders. If *cold*, pinstall starts as users start it, else as `tests.warm` says, which pip always does."""
        self.cold = cold or "COVERAGE_PROCESS_START" in os.environ
        self.root, self.pips, self._authority, self._seeds = root, pips, authority, seeds
        self.cache = root / "cache"
        self._indexes: list[Index] = []
        self._environments = 0
        certificates = root / "authority.pem"
        authority.cert_pem.write_to_path(str(certificates))
        (root / "home").mkdir()
        (root / "needs").mkdir()
        for path in _needs():
            (root / "needs" / path.name).symlink_to(path)
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "LANG", "SYSTEMROOT", "COVERAGE_PROCESS_START", "COVERAGE_FILE")
        }
        self.environ = {
            **kept,
            "HOME": str(root / "home"),
            "PIP_CACHE_DIR": str(self.cache),
            "PIP_CERT": str(certificates),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            **({"PINSTALL_WATCH_BUILDS": "0"} if UNWATCHED else {}),
        }

    def index(self, name: str = "index") -> Index:
        """Start an index over the folder *name* of the root. No variable tells pip of it."""
        self._indexes.append(indexes.start(self.root / name, self._authority))
        return self._indexes[-1]

    def compiled_index(self) -> Index:
        """Start an index with the sdist of a C extension, and let pip use it; each build adds a line to the file "built"."""
        made = self.index()
        extension(made.root, "demo", "1.0")
        self.environ |= {"PIP_INDEX_URL": made.url, "build_log": str(self.root / "built")}
        return made

    def seeded(self, fill: Fill) -> Index:
        """Copy the cache and the index that *fill* makes to this lab, which has neither yet; return the index. See `Seeds`."""
        assert self._seeds is not None
        return self._seeds.sow(self, fill)

    def close(self) -> None:
        """Stop the indexes."""
        for index in self._indexes:
            indexes.stop(index)

    def environment(self, pip: str = NEWEST) -> Environment:
        """Make a fresh environment with this version of pip; skip the test if that does not start on this Python."""
        if not runs_here(pip):
            import pytest

            pytest.skip(f"pip {pip} does not start on Python {sys.version_info.major}.{sys.version_info.minor}")
        self._environments += 1
        folder = self.root / f"environment{self._environments}"
        venv.create(folder, symlinks=True)
        made = Environment(folder, pip)
        # pip of the wanted version first, then what pinstall needs, and pinstall.
        lines = [str(self.pips / pip), str(self.root / "needs"), str(HERE.parent), *([SPAWN] if SPAWNS else [])]
        (made.site / "lab.pth").write_text("\n".join(lines) + "\n")
        for name, module in _SCRIPTS.items():
            script = folder / "bin" / name
            measured = name != "pip" and "COVERAGE_PROCESS_START" in self.environ
            # What is measured must end as Python does.
            function = "script" if name == "pinstall-pip" or (name == "pinstall" and not measured) else "main"
            first = _MEASURE if measured else ""
            script.write_text(_SCRIPT.format(python=made.python, module=module, function=function, first=first))
            script.chmod(0o755)
        return made

    def run(self, command: Sequence[str | Path], **variables: str) -> Result:
        """Run a command in the root, with *variables* besides ``environ``; return its result, also if it fails.

        Raises `subprocess.TimeoutExpired` after two minutes.
        """
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.root,
            env={**self.environ, **variables},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        return _result(done)

    def mounted(self, mount: str, command: str, **variables: str) -> Result:
        """Run a shell *command* after the shell command *mount*, whose mounts nobody else sees; skip the test if that fails."""
        script = self.root / "mounted.sh"
        script.write_text(f"{mount} || exit 77\n{command}\n")
        done = self.run(["unshare", "--mount", "sh", script], **variables) if shutil.which("unshare") else None
        if done is None or done.status == 77 or "unshare failed" in done.err:
            import pytest

            said = done.err.partition("\n")[0].rpartition(": ")[2] if done else "there is no unshare"
            pytest.skip(f"the system refuses the mount: {said.rstrip('.')}")
        return done

    def on_read_only_cache(self, command: str, **variables: str) -> Result:
        """Run a shell *command* where the cache is mounted read-only."""
        mount = f"mount --bind {self.cache} {self.cache} && mount -o remount,ro,bind {self.cache}"
        return self.mounted(mount, command, **variables)

    def on_full_disk(self, command: str, room: int = 0) -> Result:
        """Run a shell *command* with a copy of the cache, on a small disk of its own on which *room* KiB are free."""
        small = self.root / "small"
        small.mkdir(exist_ok=True)
        fill = (
            f"cp -r {self.cache}/. {small}/ && head -c {room}k /dev/zero > {small}/room\n"
            f"head -c 8m /dev/zero > {small}/filler 2>/dev/null\n"
            f"rm {small}/room\n"
        )
        return self.mounted(f"mount -t tmpfs -o size=4m tmpfs {small}", fill + command, PIP_CACHE_DIR=str(small))

    def bare(self, environment: Environment, *words: str | Path, **variables: str) -> Result:
        """Run bare pip with the arguments *words*."""
        return self._run_warm(environment, environment.pip, [*map(str, words)], variables)

    def pip(self, environment: Environment, *words: str | Path, **variables: str) -> Result:
        """Run bare ``pip install``; it must succeed: tests fill caches with it."""
        done = self.bare(environment, "install", *words, **variables)
        assert done.status == 0, done
        return done

    def pinstall(self, environment: Environment, *words: str | Path, **variables: str) -> Result:
        """Run pinstall as installed in *environment*; fail if it prints a line that docs/messages.md lacks."""
        done = self.script(environment, "pinstall", *words, **variables)
        _ = done.said  # whatever the test looks at
        return done

    def script(self, environment: Environment, name: str, *words: str | Path, **variables: str) -> Result:
        """Run the script *name* of pinstall as installed in *environment*."""
        script = environment.folder / "bin" / name
        if self.cold:
            return self.run([script, *words], **variables)
        return self._run_warm(environment, str(script), [*map(str, words)], variables)

    def _run_warm(self, environment: Environment, script: str, words: list[str], variables: Mapping[str, str]) -> Result:
        """Run a script as `run` does, if possible in a copy of a process that has loaded what it imports (`tests.warm`)."""
        environ = {**self.environ, **variables}
        found = warm.run(self.pips / environment.version, script, words, self.root, environ)
        return _result(found) if found else self.run([script, *words], **variables)

    def cache_tool(self, environment: Environment, *words: str | Path, **variables: str) -> Result:
        """Run pinstall-cache as installed in *environment*; fail for a warning or error that docs/messages.md lacks."""
        done = self.script(environment, "pinstall-cache", *words, **variables)
        for line in done.err.splitlines():
            if line.startswith(("WARNING: ", "ERROR: ")):
                messages.hold(line, messages.TOOLS)
        return done

    def time_passes(self) -> None:
        """Delete what the next call deletes fifteen minutes later: spent entries, and leftovers of killed calls."""
        for note in (self.cache / "pinstall" / "spent").glob("*"):
            os.utime(note, (0, 0))
        with lock.call_marker(str(self.cache)):
            pass
        with lock.held(str(self.cache), 5, print):
            cleanup.sweep(str(self.cache))

    def bodies(self) -> list[Path]:
        """Return the bodies of artifacts in ``http-v2/``, without those that are spent, sorted."""
        found = [p for p in (self.cache / "http-v2").rglob("*.body") if p not in self.pages()]
        return sorted(p for p in found if not _is_spent(p))

    def pages(self) -> list[Path]:
        """Return the bodies of index pages and of ``.metadata`` files in ``http-v2/``, sorted."""
        heads = {p: p.read_bytes()[:2] for p in (self.cache / "http-v2").rglob("*.body")}
        return sorted(
            p for p, head in heads.items() if head not in (b"PK", b"\x1f\x8b") or (head == b"\x1f\x8b" and _is_page(p))
        )

    def wheels(self) -> list[Path]:
        """Return the built wheels in pip's own folders, sorted."""
        return sorted((self.cache / "wheels").rglob("*.whl"))


class Seeds:
    """Caches that real pips have filled, each once for all tests that begin with it; each test gets a copy.

    Its address is in the cache, so one index serves all these tests, one after the other: with the settings that it had at
    first, over a copy of its files.
    """

    def __init__(self, folder: Path, pips: Path, authority: trustme.CA) -> None:
        self._folder, self._pips, self._authority = folder, pips, authority
        self._made: dict[Any, tuple[Lab, Index, dict[str, Any]]] = {}

    def sow(self, lab: Lab, fill: Fill) -> Index:
        """Copy to *lab* the cache and the index's files that *fill* makes, and return the index, which serves the copy."""
        if fill not in self._made:
            root = self._folder / f"{len(self._made)}"
            root.mkdir()
            made = Lab(root, self._pips, self._authority)
            index = made.index()
            fill(made, index)
            index.forget()
            self._made[fill] = made, index, {**vars(index)}
        made, index, state = self._made[fill]
        shutil.copytree(made.cache, lab.cache, symlinks=True)
        shutil.copytree(made.root / "index", lab.root / "index")
        kept = ("server", "root")
        vars(index).update({name: value if name in kept else copy.deepcopy(value) for name, value in state.items()})
        index.root = lab.root / "index"
        return index

    def close(self) -> None:
        """Stop the indexes."""
        for made, _, _ in self._made.values():
            made.close()


@cache
def _needs() -> set[Path]:
    """Return the files and folders of the tests' own environment that all others see: pinstall, its needs, and coverage.

    They see no more, because pip reads the metadata of all that it finds.
    """
    needed = map(Requirement, metadata.requires("pip-pinstall") or ())
    names = [need.name for need in needed if need.name != "pip" and (need.marker is None or need.marker.evaluate())]
    site = Path(sysconfig.get_path("purelib"))
    tops = {file.parts[0] for name in ("pip-pinstall", "coverage", *names) for file in metadata.files(name) or ()}
    return {site / top for top in tops if top != ".." and not top.endswith(".pth")}


def _result(done: subprocess.CompletedProcess[bytes]) -> Result:
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def _is_spent(body: Path) -> bool:
    head = body.with_suffix("")
    return http_entries.is_spent(entries.HttpEntry("download", head.name, (str(head), str(body)), ""))


def _is_page(path: Path) -> bool:
    try:
        return gzip.decompress(path.read_bytes())[:1] in (b"{", b"<")
    except (OSError, EOFError, zlib.error):
        return False


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file, as a bad disk does."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def install_pips(folder: Path) -> None:
    """Install each version of pip that the tests use into a folder of its own below *folder*, unless it is there."""
    for version in {*VERSIONS, *(HERE / "pips.txt").read_text().split()}:
        if not (folder / version / "pip" / "__init__.py").exists():
            target = folder / version
            command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), f"pip=={version}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
