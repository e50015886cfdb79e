"""Measure what pinstall costs: wall time beside bare pip, taken in turn (A B A B) in one run, on loopback only.

It has its own index (another process), home, caches and environments. pinstall is installed from a wheel, compiled, as users
have it.
The packages are tiny, so that pip has little to do: with real ones (--served) the ratios are better.
"""

# scripts/ holds programs and is no package.
# ruff: noqa: INP001

from __future__ import annotations

import argparse
import contextlib
import functools
import gzip
import hashlib
import json
import multiprocessing
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trustme

from scripts.build_steps import STEPS, Steps
from scripts.popular import WHEELS
from scripts.served import Index
from tests import index as indexes
from tests import packages
from tests.lab import NEWEST, SPAWN, Environment, Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    # Runs a command over a cache; returns what it cost, its exit status and its standard error.
    Measure = Callable[[Sequence[str], Path], tuple[float, int, str]]

ROOT = Path(__file__).resolve().parent.parent
HEADINGS = ("job", "pip ms", "pinstall ms", "extra ms", "ratio", "quartiles", "limit", "")
FORMAT = "{:<74} {:>8} {:>11} {:>8} {:>6} {:>13} {:>6}  {}"
# A parent that does nothing: what is left of any wrapper's cost.
FLOOR = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
# Runs a script of Python until it forks.
UNTIL_FORK = "import os, sys; del sys.argv[0]; os.fork = lambda: os._exit(0); exec(open(sys.argv[0]).read())"
# pip 26.2 and later keep pages for as long as the index says: here, for the whole run, which is when pip is fastest.
PAGE_AGE = 86_400
# The ledger trusts no file younger than 2 s.
YOUNG = 2.5
MEGABYTE = 1_000_000
# No file system that we know allows fewer hard links to one file (ext4: 65,000).
LINKS = 30_000
PAGE_PROJECT, PAGE_VERSION, PAGE_FILES = "bigpage", "1.50.0", 4_000
PINS = tuple(f"bench-project-{number:03}==1.{number}.0" for number in range(200))
# Where they take a while (`pip cache remove` of each starts pip twenty times), fewer repetitions must do.
SLOW = 3
# Milliseconds that the runner may add to a step of a build.
MOST_WATCHING = 30


class BenchError(Exception):
    """A run that did not do its job: its time means nothing."""


class Row(NamedTuple):
    """One line of the table: the median milliseconds of both sides and of the difference, and the ratio of each pair.

    ``limit`` is the highest median ratio that is allowed, or None. A few lines have other figures in these columns.
    """

    job: str
    pip: float
    pinstall: float
    extra: float
    ratios: tuple[float, ...]
    limit: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    def __str__(self) -> str:
        quartiles = statistics.quantiles(self.ratios, n=4) if len(self.ratios) > 1 else []
        verdict = "" if self.limit is None else ("ok" if self.ratio <= self.limit else "MISSED")
        spread = f"{quartiles[0]:.3f}-{quartiles[2]:.3f}" if quartiles else ""
        limit = "" if self.limit is None else f"{self.limit:.2f}"
        figures = (f"{self.pip:.0f}", f"{self.pinstall:.0f}", f"{self.extra:+.0f}", f"{self.ratio:.3f}", spread, limit)
        return FORMAT.format(self.job, *figures, f"{verdict} {self.note}".strip()).rstrip()


@dataclass(frozen=True)
class Side:
    """One side of a comparison: the commands, timed together, their cache, and a function that is called before them."""

    commands: tuple[tuple[str, ...], ...]
    cache: Path
    before: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Comparison:
    """Two sides, the exit ``status`` that each must have, and the files that each must install.

    ``installs`` are paths in site-packages, which must be missing before each run; they are removed after it, untimed.
    """

    pip: Side
    pinstall: Side
    installs: tuple[str, ...] = ()
    status: int = 0
    limit: float | None = None
    cores: int = 2


class Job(NamedTuple):
    """A line to be measured: ``measure`` returns its row, and takes its name. ``--quick`` measures only ``quick`` ones."""

    name: str
    measure: Callable[[str], Row]
    quick: bool = False


# Packages, index, environments, caches


def serve(pipe: Connection, folder: Path, certificate: bytes, key: bytes) -> None:
    """Serve the indexes below *folder*, in a process of their own: send their URLs, and end when the other end closes."""
    authority = trustme.CA.from_pem(certificate, key)
    urls = {}
    for name, root, as_json in (
        ("small", "small", True),
        ("json", "page", True),
        ("html", "page", False),
        ("big", "big", True),
    ):
        index = indexes.start(folder / root, authority)
        index.json, index.encoding, index.metadata, index.page_age = as_json, "gzip", True, PAGE_AGE
        index.respond = _remembered(index.respond)  # type: ignore[method-assign,assignment]
        urls[name] = index.url
    pipe.send(urls)
    with contextlib.suppress(EOFError):
        pipe.recv()


_Answer = tuple[int, bytes, dict[str, str]]


def _remembered(respond: Callable[[str, str], _Answer]) -> Callable[[str, str], _Answer]:
    """Return *respond* with a memory: it makes each page once, and adds the fields that PyPI's JSON pages have."""

    @functools.cache
    def page(path: str, accept: str) -> _Answer:
        status, body, headers = respond(path, accept)
        if headers.get("Content-Type") == indexes.JSON:
            document = json.loads(gzip.decompress(body))
            for file in document["files"]:
                file |= {"requires-python": ">=3.8", "size": 12_345_678, "upload-time": "2026-01-02T03:04:05.678901Z"}
                file |= {
                    "yanked": False,
                    "provenance": f"{file['url']}/provenance",
                    "data-dist-info-metadata": file.get("core-metadata"),
                }
            body = gzip.compress(json.dumps(document).encode(), mtime=0)
        return status, body, headers

    return lambda path, accept: page(path, accept) if path.startswith("/simple/") else respond(path, accept)


class Site:
    """The site-packages of an environment, which can be put back as it was."""

    def __init__(self, environment: Environment) -> None:
        base = str(environment.folder)
        self.folder = Path(sysconfig.get_path("purelib", "venv", {"base": base, "platbase": base}))
        self._before = frozenset(os.listdir(self.folder))

    def lacks(self, files: Sequence[str]) -> list[str]:
        """Return which of *files* are not there."""
        return [name for name in files if not (self.folder / name).is_file()]

    def records(self) -> tuple[str, ...]:
        """Return the path of the RECORD of each project that was installed since this object was made."""
        new = frozenset(os.listdir(self.folder)) - self._before
        return tuple(sorted(f"{name}/RECORD" for name in new if name.endswith(".dist-info")))

    def restore(self) -> None:
        """Remove all that was installed since this object was made."""
        for name in frozenset(os.listdir(self.folder)) - self._before:
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def files_of(pins: Sequence[str]) -> tuple[str, ...]:
    """Return the paths in site-packages of the RECORD and the module of each of *pins*."""
    found = ((name.replace("-", "_"), version) for name, version in (pin.split("==") for pin in pins))
    return tuple(file for name, version in found for file in (f"{name}-{version}.dist-info/RECORD", f"{name}.py"))


def small_packages(folder: Path) -> None:
    """Write the projects of `PINS`; every fifth is an sdist, the others are wheels."""
    for number, pin in enumerate(PINS):
        name, version = pin.split("==")
        if number % 5 == 0:
            packages.sdist(folder, name, version)
        else:
            packages.wheel(folder, name, version, padding=50_000)


def page_packages(folder: Path) -> None:
    """Write a project with as many files as numpy has: all are links to one wheel or one sdist."""
    donors = {".whl": packages.wheel(folder / "donors", PAGE_PROJECT, PAGE_VERSION, padding=50_000)}
    donors[".tar.gz"] = packages.sdist(folder / "donors", PAGE_PROJECT, PAGE_VERSION)
    (folder / "page").mkdir()
    for name in list(_page_names())[:PAGE_FILES]:
        os.link(donors[".whl" if name.endswith(".whl") else ".tar.gz"], folder / "page" / name)


def _page_names() -> Iterator[str]:
    linux = (
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
        "manylinux_2_17_aarch64.manylinux2014_aarch64",
        "musllinux_1_2_x86_64",
    )
    platforms = (*linux, "musllinux_1_2_aarch64", "macosx_10_9_x86_64", "macosx_11_0_arm64", "win32", "win_amd64", "win_arm64")
    for minor in range(60):
        stem = f"{PAGE_PROJECT}-1.{minor}.0"
        yield from (f"{stem}.tar.gz", f"{stem}-py3-none-any.whl")
        yield from (f"{stem}-cp3{python}-cp3{python}-{tag}.whl" for python in range(8, 15) for tag in platforms)


def big_wheel(folder: Path, name: str, size: int) -> None:
    """Write a wheel of about *size* bytes that do not compress."""
    folder.mkdir(parents=True, exist_ok=True)
    info, files = f"{name}-1.0.dist-info", {f"{name}.py": b"CONTENT = '1.0'\n"}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    for number in range(10):
        files[f"{name}_data/{number}.bin"] = os.urandom(size // 10)
    packages.write_wheel(folder / f"{name}-1.0-py3-none-any.whl", files, info)


class Setup:
    """The indexes, environments and caches of all measurements, in *folder*; most are made when they are first needed.

    ``worked`` are the seconds of processor time that the last command took.
    """

    def __init__(self, folder: Path, *, spawns: bool = False, standalone: bool = False, served: Index | None = None) -> None:
        self.folder, self.authority, self.served = folder, trustme.CA(), served
        self._spawns, self._standalone = spawns, standalone
        self.worked = 0.0  # the seconds of processor time that the last command took
        self.lab = Lab(folder, ROOT / ".venv-test" / "pips", self.authority)
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        pem = self.authority.cert_pem.bytes(), self.authority.private_key_pem.bytes()
        self._server = context.Process(target=serve, args=(other, folder / "files", *pem), daemon=True)
        small_packages(folder / "files" / "small")
        page_packages(folder / "files")
        self._server.start()
        self.urls: dict[str, str] = self._pipe.recv()
        self.empty = self._environment()
        self.site = Site(self.empty)

    def close(self) -> None:
        """Stop the indexes, and remove the folder."""
        self._pipe.close()
        self._server.join(1)
        self._server.terminate()
        subprocess.run(["rm", "-rf", str(self.folder)], check=False)  # noqa: S607 (twice as fast as shutil over 100,000 entries)

    def timed(self, command: Sequence[str], cache: Path) -> tuple[float, int, str]:
        """Run a command with *cache* as pip's; return its milliseconds, exit status and standard error; set ``worked``."""
        environ = {**self.lab.environ, "PIP_CACHE_DIR": str(cache)}
        if self.served is not None:
            environ |= self.served.environ
        with tempfile.TemporaryFile("w+") as err:
            worked, begin = _processor_time(), time.perf_counter()
            status = subprocess.call(
                command, cwd=self.folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err
            )
            elapsed = time.perf_counter() - begin
            self.worked = _processor_time() - worked
            err.seek(0)
            return 1000 * elapsed, status, err.read()

    def counted(self, command: Sequence[str], cache: Path) -> tuple[float, int, str]:
        """Run a command as `timed` does, but under valgrind; return the millions of instructions in place of milliseconds.

        They are those of all its processes.
        """
        count, status, err = self._counted(command, cache)
        script = Path(command[0])
        if script.name == "pinstall":  # the copy of the process that becomes pip has counted what the process did before
            count -= self._counted((str(script.with_name("python")), "-c", UNTIL_FORK, *command), cache)[0]
        return count, status, err

    def _counted(self, command: Sequence[str], cache: Path) -> tuple[float, int, str]:
        with tempfile.TemporaryDirectory(dir=self.folder) as logs:
            counter = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
            _, status, err = self.timed((*counter, "--trace-children=yes", f"--log-file={logs}/%p", *command), cache)
            found = (re.search(r"I\s+refs:\s+([\d,]+)", log.read_text()) for log in Path(logs).iterdir())
            return sum(int(refs[1].replace(",", "")) for refs in found if refs) / 1_000_000, status, err

    def must(self, command: Sequence[str], cache: Path) -> None:
        """Run a command that prepares something; raises `BenchError` if it fails or pinstall has something to say."""
        _, status, err = self.timed(command, cache)
        if status or "pinstall: " in err:
            raise BenchError(f"{' '.join(command)}: status {status}\n{err}")

    def _wheel(self) -> Path:
        source, folder = self.folder / "source", self.folder / "wheel"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE", "pinstall"):  # built beside the checkout, which others edit
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
        _prepare([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)])
        return next(folder.glob("*.whl"))

    def _environment(self) -> Environment:
        """Make an environment to install into, with pinstall from a wheel, compiled; in one of its own if it is standalone."""
        made, wheel = Environment(self.folder / "empty"), str(self._wheel())
        home = Environment(self.folder / "tool") if self._standalone else made
        for environment, distributions in ((made, [f"pip=={NEWEST}"]), (home, [wheel])):
            if not environment.folder.exists():
                subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment.folder)], check=True)
            _prepare([sys.executable, "-m", "pip", "--python", environment.python, "install", "--quiet", *distributions])
        if self._standalone:
            (home.folder / "pipx_metadata.json").touch()
            active = f"import os; os.environ['VIRTUAL_ENV'] = {str(made.folder)!r}"
            for name in ("pinstall", "pinstall-cache"):
                _begin_with(active, home.folder / "bin" / name, made.folder / "bin" / name)
        if self._spawns:
            _begin_with(SPAWN, Path(made.pinstall), Path(made.pinstall))
        return made

    @cached_property
    def steps(self) -> Steps:
        """The steps of builds to be measured."""
        return Steps(self.folder)

    @cached_property
    def full(self) -> Environment:
        """A copy of the empty environment in which every pin is satisfied."""
        made = Environment(self.folder / "full")
        shutil.copytree(self.empty.folder, made.folder, symlinks=True)
        for script in (made.pip, made.pinstall):
            path = Path(script)
            path.write_text(path.read_text().replace(str(self.empty.folder), str(made.folder)))
        site = Site(made).folder
        for pin in PINS:
            project, version = pin.split("==")
            with zipfile.ZipFile(packages.wheel(self.folder / "installed", project, version)) as wheel:
                wheel.extractall(site)
            (site / f"{project.replace('-', '_')}-{version}.dist-info" / "INSTALLER").write_text("pip\n")
        return made

    def requirements(self, count: int) -> tuple[str, ...]:
        """Return the arguments that ask the small index for the first *count* pins."""
        path = self.folder / f"requirements-{count}.txt"
        path.write_text("".join(f"{pin}\n" for pin in PINS[:count]))
        return ("--index-url", self.urls["small"], "-r", str(path))

    def cache(self, name: str, words: Sequence[str]) -> Path:
        """Make the cache *name*, which pip and then pinstall fill by installing *words*; return its folder."""
        cache = self.folder / name
        self.must([self.empty.pip, "install", *words], cache)
        self.site.restore()
        time.sleep(YOUNG)
        self.must([self.empty.pinstall, *words], cache)
        self.site.restore()
        return cache

    @cached_property
    def warm(self) -> Path:
        """A cache with what twenty pins need."""
        return self.cache("warm", self.requirements(20))

    @cached_property
    def remedies(self) -> Path:
        """A copy of `warm` without pinstall's folder, for the remedies to spoil."""
        return self._copied("remedies")

    def _copied(self, name: str) -> Path:
        return Path(shutil.copytree(self.warm, self.folder / name, ignore=shutil.ignore_patterns("pinstall")))

    @cached_property
    def popular(self) -> tuple[str, tuple[str, ...]]:
        """The path of a file that pins popular projects and all that they need, and the paths of their RECORDs."""
        names = [name for name in WHEELS.split() if not any(self.site.folder.glob(f"{name.replace('-', '_')}-*.dist-info"))]
        path = self.folder / "popular.txt"
        cache = self.folder / "popular"
        self.must([self.empty.pip, "install", "--only-binary=:all:", *names], cache)
        files = self.site.records()
        self.site.restore()
        path.write_text("".join(f"{file.partition('.dist-info')[0].replace('-', '==')}\n" for file in files))
        self.cache("popular", ("-r", str(path)))
        return str(path), files

    def crowded(self, count: int) -> Path:
        """Return a cache with what twenty pins need beside 2,000 unrelated built wheels and *count* unrelated HTTP entries."""
        if not (self.folder / f"crowded-{count}").exists():
            crowd = Crowd(self._copied(f"crowded-{count}"))
            crowd.build(2_000)
            for begin in range(0, count, LINKS):
                crowd.fetch(range(begin, min(begin + LINKS, count)))
            time.sleep(YOUNG)
        return self.folder / f"crowded-{count}"


class Crowd:
    """Fill a cache with entries of unrelated projects, which are copies of its own entries under other names."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._body = min((cache / "http-v2").rglob("*.body"), key=lambda path: path.stat().st_size)
        self._wheel = next((cache / "wheels").rglob("*.whl"))

    def build(self, count: int) -> None:
        """Add built wheels."""
        for number in range(count):
            key = hashlib.sha224(f"built {number}".encode()).hexdigest()
            folder = self.cache / "wheels" / key[:2] / key[2:4] / key[4:6] / key[6:]
            folder.mkdir(parents=True)
            os.link(self._wheel, folder / f"unrelated_{number:04}-1.0-py3-none-any.whl")
            os.link(self._wheel.parent / "origin.json", folder / "origin.json")

    def fetch(self, numbers: range) -> None:
        """Add HTTP entries, a head and a body each: links to one donor, so at most `LINKS` a call."""
        body = f"{self.cache}/donor-{numbers.start}"
        head = f"{body}-head"
        shutil.copy2(self._body, body)
        shutil.copy2(self._body.with_suffix(""), head)
        for number in numbers:
            key = hashlib.sha224(f"https://unrelated.example/{number}".encode()).hexdigest()
            folder = f"{self.cache}/http-v2/{'/'.join(key[:5])}"
            os.makedirs(folder, exist_ok=True)
            os.link(body, f"{folder}/{key}.body")
            os.link(head, f"{folder}/{key}")


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _begin_with(statement: str, source: Path, script: Path) -> None:
    """Copy a script of Python, with a *statement* before all others."""
    first, rest = source.read_text().split("\n", 1)
    script.write_text(f"{first}\n{statement}\n{rest}")
    script.chmod(0o755)


def _prepare(command: Sequence[str]) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{' '.join(command)}:\n{done.stderr}")


# Measuring


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Run what is started within the ``with`` statement on at most *count* cores; only on Linux."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Bench:
    """The jobs of the table, and how each is measured in a `Setup`."""

    def __init__(self, setup: Setup, runs: int, *, quick: bool, instructions: bool = False, big: int = 0) -> None:
        self.setup, self.runs = setup, runs
        self._cost = setup.counted if instructions else setup.timed
        self.big = (big or (100 if quick else 1_000)) * MEGABYTE
        # To make 100,000 takes ten seconds, to remove them again half a minute.
        self.crowds = (100, 10_000) if quick else (100, 10_000, 100_000)

    def jobs(self) -> Iterator[Job]:
        """Yield the lines of the table."""
        for count in (1, 20, 200):
            yield Job(f"{count} satisfied pin{'s' * (count > 1)}", partial(self._satisfied, count), quick=True)
        yield Job("20 pins, warm cache, two cores", partial(self._warm, 2), quick=True)
        yield Job("20 pins, warm cache, one core", partial(self._warm, 1), quick=True)
        yield Job("20 pins, warm cache, the very first run over it", self._first)
        if self.setup.served is not None:
            yield Job("popular projects as wheels, all pinned, warm cache", partial(self._popular, pinned=True))
            yield Job("popular projects as wheels, nothing pinned, warm cache", partial(self._popular, pinned=False))
        for count in self.crowds:
            title = f"20 pins, beside {count:,} HTTP entries and 2,000 built wheels"
            yield Job(f"{title}, two cores", partial(self._crowded, count, 2), quick=True)
        yield Job(f"{title}, one core", partial(self._crowded, self.crowds[-1], 1))
        yield Job(f"extra ms at {self.crowds[-1]:,} entries, to those at 100", self._growth, quick=True)
        yield Job("1 pin of a page of 4,000 files, JSON", partial(self._page, "json"))
        yield Job("1 pin of a page of 4,000 files, HTML", partial(self._page, "html"))
        size = f"{self.big // MEGABYTE:,} MB"
        yield Job(f"first proof of a wheel of {size}, to hashlib.file_digest", partial(self._proof, 1, 1.3))
        yield Job(f"first proof of four wheels, {size} in all, to the same one by one", partial(self._proof, 4, None))
        yield Job("memory of the parent (MB, peak), 20 warm pins", self._memory)
        yield Job(f"memory of the parent (MB, peak), first proof of {size}", self._memory_of_proof)
        yield Job("pinstall-cache list to pip cache list, of 10,000 downloads and 2,000 built wheels", self._list)
        title = f"pinstall-cache verify of four wheels, {size} in all, to hashing them on all cores"
        yield Job(title, partial(self._verify, 1.2))
        yield Job(f"{title}; no page states their hashes", partial(self._verify, None))
        yield Job("failing: nosuchproject==1", self._failing)
        for step in STEPS:
            yield Job(f"watch: processor time of a {step} build step, to the same unwatched", partial(self._watch, step))
        yield Job("floor: a parent that only starts pip, 20 satisfied pins", partial(self._floor, satisfied=True))
        yield Job("floor: a parent that only starts pip, 20 pins, warm cache", partial(self._floor, satisfied=False))
        yield Job("remedy: pip cache remove of each of 20 pins, then pip install", self._remove)
        yield Job("remedy: pip cache purge, then pip install", self._purge)
        yield Job("remedy: pip install --no-cache-dir", self._no_cache)

    def compare(self, name: str, job: Comparison, runs: int = 0) -> Row:
        """Measure both sides in turn, *runs* times (0: ``self.runs``); each runs once before that, untimed."""
        with on_cores(job.cores):
            for side in (job.pip, job.pinstall):
                self._once(side, job, self.setup.timed)
            pairs = [(self._once(job.pip, job), self._once(job.pinstall, job)) for _ in range(runs or self.runs)]
        ratios = tuple(ours / theirs for theirs, ours in pairs)
        extra = statistics.median(ours - theirs for theirs, ours in pairs)
        theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        return Row(name, theirs, ours, extra, ratios, job.limit)

    def _once(self, side: Side, job: Comparison, measure: Measure | None = None) -> float:
        side.before()
        if self.setup.site.lacks(job.installs) != list(job.installs):
            raise BenchError("what is to be installed is there already")
        total = 0.0
        for command in side.commands:
            cost, status, err = (measure or self._cost)(command, side.cache)
            total += cost
            if "pinstall: " in err:
                raise BenchError(f"{' '.join(command)} said:\n{err}")
        if status != job.status:
            raise BenchError(f"{' '.join(command)}: status {status} instead of {job.status}\n{err}")
        if job.installs:
            if lacking := self.setup.site.lacks(job.installs):
                raise BenchError(f"{' '.join(command)} did not install {lacking}")
            self.setup.site.restore()
        return total

    def _both(self, environment: Environment, words: Sequence[str], cache: Path) -> tuple[Side, Side]:
        return Side(((environment.pip, "install", *words),), cache), Side(((environment.pinstall, *words),), cache)

    def _satisfied(self, count: int, name: str) -> Row:
        sides = self._both(self.setup.full, self.setup.requirements(count), self.setup.warm)
        return self.compare(name, Comparison(*sides, limit=1.05))

    def _twenty(self, cache: Path, limit: float | None = None, cores: int = 2) -> Comparison:
        sides = self._both(self.setup.empty, self.setup.requirements(20), cache)
        return Comparison(*sides, installs=files_of(PINS[:20]), limit=limit, cores=cores)

    def _warm(self, cores: int, name: str) -> Row:
        return self.compare(name, self._twenty(self.setup.warm, {1: 1.20, 2: 1.08}[cores], cores))

    def _first(self, name: str) -> Row:
        job = self._twenty(self.setup.warm)
        forget = partial(shutil.rmtree, self.setup.warm / "pinstall", ignore_errors=True)
        return self.compare(name, Comparison(job.pip, Side(job.pinstall.commands, job.pinstall.cache, forget), job.installs))

    def _popular(self, name: str, *, pinned: bool) -> Row:
        requirements, files = self.setup.popular
        lines = Path(requirements).read_text().split()
        words = ("--only-binary=:all:", *(("-r", requirements) if pinned else (line.partition("==")[0] for line in lines)))
        sides = self._both(self.setup.empty, words, self.setup.folder / "popular")
        row = self.compare(name, Comparison(*sides, installs=files, limit=0.95), min(self.runs, 2 * SLOW))
        return row._replace(note=f"({len(files)} projects)")

    def _crowded(self, count: int, cores: int, name: str) -> Row:
        return self.compare(name, self._twenty(self.setup.crowded(count), {1: 1.20, 2: 1.08}[cores], cores))

    def _growth(self, name: str) -> Row:
        """Compare what pinstall adds over the smallest and the largest cache, all four in turn.

        By the fastest runs: differences of medians, each with the noise of two, hide a tenth. The same by processor time, which
        other programs disturb less, is the note.
        """
        jobs = [self._twenty(self.setup.crowded(count)) for count in (self.crowds[0], self.crowds[-1])]
        sides = [(side, job) for job in jobs for side in (job.pip, job.pinstall)]
        with on_cores(2):
            turns = [[(self._once(side, job), self.setup.worked) for side, job in sides] for _ in range(self.runs + 1)][1:]
        fastest = [[min(run[kind] for run in runs) for runs in zip(*turns, strict=True)] for kind in (0, 1)]
        (few, many), (few_worked, many_worked) = ((f_ours - f_pip, m_ours - m_pip) for f_pip, f_ours, m_pip, m_ours in fastest)
        note = f"(by processor time: {many_worked / few_worked:.3f})"
        return Row(name, few, many, many - few, (many / few,), 1.10, note)

    def _list(self, name: str) -> Row:
        """Compare the lists. No page tells of the downloads: pinstall knows each by its content, which is the slowest way."""
        cache, (pip, pinstall) = self.setup.crowded(10_000), (self.setup.empty.pip, self.setup.empty.pinstall)
        sides = Side(((pip, "cache", "list"),), cache), Side(((f"{pinstall}-cache", "list"),), cache)
        return self.compare(name, Comparison(*sides))

    def _page(self, kind: str, name: str) -> Row:
        words = ("--index-url", self.setup.urls[kind], f"{PAGE_PROJECT}=={PAGE_VERSION}")
        sides = self._both(self.setup.empty, words, self.setup.cache(kind, words))
        return self.compare(name, Comparison(*sides, installs=files_of(words[-1:]), limit=1.08))

    def _big(self, count: int) -> tuple[Path, list[str]]:
        """Return a cache with *count* wheels of the big size in all, and the arguments that ask for them."""
        names = [f"big{count}_{number}" for number in range(count)]
        words = ["--index-url", self.setup.urls["big"], *(f"{name}==1.0" for name in names)]
        cache = self.setup.folder / f"big{count}"
        if not cache.exists():
            for name in names:
                big_wheel(self.setup.folder / "files" / "big", name, self.big // count)
            self.setup.cache(cache.name, words)
        return cache, words

    def _proof(self, count: int, limit: float | None, name: str) -> Row:
        """Compare hashing with what a first proof adds: the time of a dry run without the ledger less that of one with it."""
        cache, words = self._big(count)
        bodies = [path for path in (cache / "http-v2").rglob("*.body") if path.stat().st_size > self.big // 20]
        command = [self.setup.empty.pinstall, "--dry-run", "--no-deps", *words]
        triples = [(_hashing(bodies), *self._dry_runs(command, cache)) for _ in range(SLOW + 1)][1:]
        ratios = tuple((first - known) / hashing for hashing, known, first in triples)
        hashing, known, first = (statistics.median(times) for times in zip(*triples, strict=True))
        note = "(both cores: 0.5)" if count > 1 else ""
        return Row(name, hashing, first - known, first - known - hashing, ratios, limit, note)

    def _dry_runs(self, command: list[str], cache: Path) -> tuple[float, float]:
        """Return the milliseconds of a run with and of one without the ledger, which a dry run does not write."""
        known, first = self.setup.timed(command, cache), (0.0, 1, "")
        with _without_ledger(cache):
            first = self.setup.timed(command, cache)
        if known[1] or first[1]:
            raise BenchError(f"{' '.join(command)}:\n{known[2]}{first[2]}")
        return known[0], first[0]

    def _verify(self, limit: float | None, name: str) -> Row:
        """Compare hashing with `pinstall-cache verify`, less what it takes over an empty cache: its start.

        Without a *limit*, no page states a hash: then verify also unpacks each wheel and hashes its members.
        """
        cache, _ = self._big(4)
        if limit is None:
            cache = self._without_pages(cache)
        bodies = [path for path in (cache / "http-v2").rglob("*.body") if path.stat().st_size > self.big // 20]
        command, empty = (f"{self.setup.empty.pinstall}-cache", "verify"), self.setup.folder / "nothing"
        triples = [
            (_hashing(bodies, os.cpu_count()), self._checked(command, empty), self._checked(command, cache))
            for _ in range(SLOW + 1)
        ][1:]
        ratios = tuple((whole - start) / hashing for hashing, start, whole in triples)
        hashing, start, whole = (statistics.median(times) for times in zip(*triples, strict=True))
        return Row(name, hashing, whole - start, whole - start - hashing, ratios, limit, f"(and its start: {start:.0f} ms)")

    def _without_pages(self, cache: Path) -> Path:
        """Return a copy of *cache* with the wheels alone."""
        bare = cache.with_name(f"{cache.name}-bare")
        if not bare.exists():
            shutil.copytree(cache / "http-v2", bare / "http-v2", copy_function=os.link)
            for body in (bare / "http-v2").rglob("*.body"):
                if body.stat().st_size < self.big // 20:
                    body.unlink()
                    body.with_suffix("").unlink()
        return bare

    def _checked(self, command: tuple[str, ...], cache: Path) -> float:
        elapsed, status, err = self.setup.timed(command, cache)
        if status:
            raise BenchError(f"{' '.join(command)}: status {status}\n{err}")
        return elapsed

    def _memory(self, name: str) -> Row:
        words = self.setup.requirements(20)
        return self._peaks(name, [self.setup.empty.pinstall, *words], self.setup.warm)

    def _memory_of_proof(self, name: str) -> Row:
        cache, words = self._big(1)
        with _without_ledger(cache):
            return self._peaks(name, [self.setup.empty.pinstall, "--dry-run", "--no-deps", *words], cache)

    def _peaks(self, name: str, command: list[str], cache: Path) -> Row:
        floor = self._peak([self.setup.empty.python, "-c", FLOOR, self.setup.empty.pip, "--version"], cache)
        peak = self._peak(command, cache)
        self.setup.site.restore()
        note = f"{'ok' if peak < 30 else 'MISSED'}: at most 30 MB; a parent that only starts pip takes the first figure"
        return Row(name, floor, peak, peak - floor, (peak / floor,), note=note)

    def _peak(self, command: list[str], cache: Path) -> float:
        """Return the highest resident set of a command itself, without its children's, in MB."""
        environ, peak = {**self.setup.lab.environ, "PIP_CACHE_DIR": str(cache)}, 0.0
        silent = subprocess.DEVNULL
        with subprocess.Popen(command, cwd=self.setup.folder, env=environ, stdin=silent, stdout=silent, stderr=silent) as child:
            while child.poll() is None:
                with contextlib.suppress(OSError):
                    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{child.pid}/status").read_text())
                    peak = max(peak, int(found[1]) / 1024 if found else 0)
                time.sleep(0.002)
        return peak

    def _failing(self, name: str) -> Row:
        words = ("--index-url", self.setup.urls["small"], "nosuchproject==1")
        return self.compare(name, Comparison(*self._both(self.setup.empty, words, self.setup.warm), status=1, limit=1.15))

    def _watch(self, step: str, name: str) -> Row:
        """Compare a step of a build under the runner with the same step as pip starts it."""
        steps = self.setup.steps
        with on_cores(1):
            pairs = [(steps.cost(step, watched=False), steps.cost(step, watched=True)) for _ in range(3 * self.runs + 1)][1:]
        theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        extra = statistics.median(ours - theirs for theirs, ours in pairs)
        note = f"{'ok' if extra <= MOST_WATCHING else 'MISSED'}: at most {MOST_WATCHING} ms more"
        return Row(name, theirs, ours, extra, tuple(ours / theirs for theirs, ours in pairs), note=note)

    def _floor(self, name: str, *, satisfied: bool) -> Row:
        environment = self.setup.full if satisfied else self.setup.empty
        pip, _ = self._both(environment, self.setup.requirements(20), self.setup.warm)
        parent = Side(((environment.python, "-c", FLOOR, *pip.commands[0]),), pip.cache)
        return self.compare(name, Comparison(pip, parent, () if satisfied else files_of(PINS[:20])))

    def _remove(self, name: str) -> Row:
        projects = [pin.partition("==")[0] for pin in PINS[:20]]
        return self._remedy(name, [("cache", "remove", project) for project in projects])

    def _purge(self, name: str) -> Row:
        return self._remedy(name, [("cache", "purge")])

    def _no_cache(self, name: str) -> Row:
        return self._remedy(name, [], "--no-cache-dir")

    def _remedy(self, name: str, commands: list[tuple[str, ...]], *options: str) -> Row:
        job, pip = self._twenty(self.setup.warm), self.setup.empty.pip
        remedy = (*((pip, *words) for words in commands), (*job.pip.commands[0], *options))
        row = self.compare(
            name, Comparison(Side(remedy, self.setup.remedies), job.pinstall, job.installs), min(self.runs, SLOW)
        )
        return row._replace(note=f"pinstall is {1 / row.ratio:.1f} times faster")


@contextlib.contextmanager
def _without_ledger(cache: Path) -> Iterator[None]:
    """Take pinstall's folder away from *cache* within the ``with`` statement, and drop the one that is made meanwhile."""
    (cache / "pinstall").rename(cache.with_suffix(".ledger"))
    try:
        yield
    finally:
        shutil.rmtree(cache / "pinstall", ignore_errors=True)
        cache.with_suffix(".ledger").rename(cache / "pinstall")


def _hashing(paths: Sequence[Path], threads: int | None = 1) -> float:
    """Return the milliseconds of reading and hashing the files *paths* once, on so many *threads*."""

    def hashed(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(hashed, paths))
    return 1000 * (time.perf_counter() - begin)


# The command


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="The cost of pinstall beside bare pip.")
    parser.add_argument("--quick", action="store_true", help="the main lines, few repetitions, a 100 MB wheel for the big one")
    parser.add_argument("--only", type=re.compile, metavar="REGEX", help="lines whose job matches, quick ones or not")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="repetitions of a line (11; quick: 4; counting: 1)")
    parser.add_argument("--standalone", action="store_true", help="pinstall in an environment of its own, as pipx installs it")
    parser.add_argument("--spawn", action="store_true", help="start pip as on systems where a process cannot go on as pip")
    parser.add_argument(
        "--instructions", action="store_true", help="count millions of instructions (valgrind) instead of milliseconds"
    )
    parser.add_argument("--big", type=int, default=0, metavar="MB", help="the size of the big wheels (1000; quick: 100)")
    parser.add_argument(
        "--served", nargs=argparse.REMAINDER, metavar="COMMAND", help="adds real packages, from the index that COMMAND serves"
    )
    return parser.parse_args()


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    load = " ".join(f"{part:.1f}" for part in os.getloadavg())
    versions = f"Python {platform.python_version()}, pip {NEWEST}, {platform.system()} {platform.machine()}"
    return f"{time.strftime('%Y-%m-%d %H:%M')}: {cores} cores, load {load}; {versions}"


def main() -> int:
    """Print the table; return 1 if a limit was missed."""
    options = _options()
    print(_machine(), flush=True)
    missed = False
    served = Index(options.served) if options.served else None
    folder = Path(tempfile.mkdtemp(prefix="pinstall-bench-")).resolve()
    setup = Setup(folder, spawns=options.spawn, standalone=options.standalone, served=served)
    try:
        runs = options.runs or (1 if options.instructions else 4 if options.quick else 11)
        bench = Bench(setup, runs, quick=options.quick, instructions=options.instructions, big=options.big)
        print(FORMAT.format(*HEADINGS).rstrip(), flush=True)
        for job in bench.jobs():
            if options.only.search(job.name) if options.only else job.quick or not options.quick:
                row = str(job.measure(job.name))
                print(row, flush=True)
                missed = missed or "MISSED" in row
    finally:
        setup.close()
        if served is not None:
            served.stop()
    print(_machine())
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
