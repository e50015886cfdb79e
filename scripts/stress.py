"""Try to break pinstall: many at once on one cache, killed at any moment, refused by the system at every call it makes.

It has its own indexes, homes, caches and environments, on loopback only. After every call, what is installed is what was
pinned, built as that call would build it; what is cached of other projects is there, to the byte; and what killed calls leave
is gone after the next that opens the cache.
"""

# scripts/ holds programs and is no package. Chance here is to be repeatable, and no secret.
# ruff: noqa: INP001, S311

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trustme

from tests import packages
from tests.faults import ERRORS, KILL, Fault
from tests.lab import Environment, Lab, flip, install_pips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
# An extension (its content tells its flags), an sdist of Python alone, a wheel: of each two versions.
NATIVE, PURE, WHEEL = "native", "pure", "ready"
VERSIONS = ("1.0", "2.0")
BYSTANDERS = ("bystander", "onlooker")
FLAGS = ("plain", "one", "two", "three")
SHOW = """
import importlib, importlib.metadata, sys
for name in sys.argv[1:]:
    print(importlib.metadata.version(name), importlib.import_module(name).CONTENT)
"""
# Of the calls of the first part, this many in a hundred are plain pips.
PLAIN = 25


class Wanted(NamedTuple):
    """The versions of the three projects that a call pins, and the flags that it builds with."""

    native: str
    pure: str
    ready: str
    flags: str

    @property
    def words(self) -> list[str]:
        """The arguments of the call."""
        return [f"{NATIVE}=={self.native}", f"{PURE}=={self.pure}", f"{WHEEL}=={self.ready}"]

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the call; none for the flags "plain", as most people have none."""
        return {} if self.flags == "plain" else {"CFLAGS": f"""-UCONTENT -DCONTENT='"{self.flags}"'"""}

    @property
    def result(self) -> list[str]:
        """The lines that `_installed` must return after the call: "version CONTENT" of each project."""
        return [f"{self.native} {self.flags}", f"{self.pure} {self.pure}", f"{self.ready} {self.ready}"]


@dataclass
class Tally:
    """The counts and the complaints of all parts. Many threads may use it at once."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, number: int = 1) -> None:
        """Add to the number of *what*."""
        with self._lock:
            self.counts[what] += number

    def blame(self, where: list[str], what: str) -> None:
        """Add *what* is wrong to the list *where* (``wrong``, ``lost`` or ``leaked``), and print it at once."""
        with self._lock:
            where.append(what)
            print(what, file=sys.stderr, flush=True)


class Lane:
    """A lab with one cache, and ``bystanders``: the digest of each file in it that no call may change.

    *mounts* are folders in which several hosts see one file system: then the cache is there, and ``caches`` are its paths.
    """

    def __init__(self, root: Path, authority: trustme.CA, tally: Tally, mounts: Sequence[str] = ()) -> None:
        root.mkdir()
        self.tally = tally
        self.lab = Lab(root, ROOT / ".venv-test" / "pips", authority)
        # The same cache by the mounts of several hosts, each of which has its own view of files, and asks for locks by itself.
        self.caches = [Path(mount, f"cache-{os.getpid()}-{root.parent.name}") for mount in mounts]
        if self.caches:
            self.caches[0].mkdir()
            self.lab.cache = self.caches[0]
            self.lab.environ["PIP_CACHE_DIR"] = str(self.caches[0])
        self.index = self.lab.index()
        (root / "tmp").mkdir()
        self.lab.environ |= {"PIP_INDEX_URL": self.index.url, "TMPDIR": str(root / "tmp")}
        for version in VERSIONS:
            packages.extension(self.index.root, NATIVE, version)
            packages.sdist(self.index.root, PURE, version)
            packages.wheel(self.index.root, WHEEL, version, padding=50_000)
        packages.sdist(self.index.root, BYSTANDERS[0], "1.0")
        packages.wheel(self.index.root, BYSTANDERS[1], "1.0", padding=50_000)
        self.lab.pip(self.environment(), *BYSTANDERS)
        self.bystanders = {path: _digest(path) for path in self.lab.cache.rglob("*") if path.is_file()}

    def environment(self, *, armed: bool = False) -> Environment:
        """Make an environment; *armed*, its pinstall answers to `tests.faults`."""
        made = self.lab.environment()
        if armed:
            with (_site(made) / "lab.pth").open("a") as file:
                file.write("import tests.faults; tests.faults.arm()\n")
        return made

    def judge(self, story: str, environment: Environment, wanted: Wanted, done: tuple[int, str]) -> None:
        """Blame a call, whose status and output are *done*, if it failed or did not install what is *wanted*.

        Also blames it for each bystander that is not as it was.
        """
        status, err = done
        found = _installed(environment)
        if status or found != wanted.result or "Traceback" in err or "internal error" in err:
            self.tally.blame(self.tally.wrong, f"wrong: {story}: status {status}, {found}, not {wanted.result}: {err[-2000:]}")
        for path, digest in self.bystanders.items():
            if not path.is_file() or _digest(path) != digest:
                self.tally.blame(self.tally.lost, f"lost: {story}: {path}")

    def look_for_leaks(self, story: str) -> None:
        """Blame each file that killed calls have left in the cache. No call may be running."""
        ours = self.lab.cache / "pinstall"
        left = [path for part in ("calls", "views", "unfinished") for path in (ours / part).glob("*")]
        left += [path for path in (ours / "store" / "builds").glob("*/*") if not _has_wheel(path) and not self._in_pips(path)]
        downloads = {path.name for path in (ours / "store" / "http").glob("*") if path.suffix != ".json"}
        left += [Path(name) for name in downloads if f"{name}.body" not in downloads and not name.endswith(".body")]
        for path in left:
            self.tally.blame(self.tally.leaked, f"leaked: {story}: {path}")

    def _in_pips(self, kept: Path) -> bool:
        """Return whether pip's own folder has a wheel of the same key as the build folder *kept*: then the record stays."""
        key = kept.parent.name
        return _has_wheel(self.lab.cache / "wheels" / key[:2] / key[2:4] / key[4:6] / key[6:])

    def again(self, environment: Environment, wanted: Wanted) -> None:
        """Empty the environment if all is installed as it is *wanted*: else the next call would not open the cache."""
        if _installed(environment) == wanted.result:
            _empty(environment)

    def pinstall(self, environment: Environment, wanted: Wanted, **variables: str) -> tuple[int, str]:
        """Make one call; return its status (-1 if it does not end) and its standard error."""
        self.tally.count("calls")
        try:
            done = self.lab.pinstall(environment, *wanted.words, **wanted.variables, **variables)
        except subprocess.TimeoutExpired as error:
            return -1, f"no end after {error.timeout} s: {error.stderr!r}"
        return done.status, done.err


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _has_wheel(folder: Path) -> bool:
    return any(folder.glob("*.whl"))


def _site(environment: Environment) -> Path:
    return next(environment.folder.glob("lib/python*/site-packages"))


def _empty(environment: Environment) -> None:
    """Remove all that was installed, whole or in part; pip could not uninstall the latter."""
    for path in _site(environment).iterdir():
        if path.name == "lab.pth":
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _installed(environment: Environment) -> list[str]:
    command = [environment.python, "-P", "-c", SHOW, NATIVE, PURE, WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def _choose(chance: random.Random) -> Wanted:
    return Wanted(*(chance.choice(VERSIONS) for _ in range(3)), chance.choice(FLAGS))


@dataclass(frozen=True)
class Work:
    """How much the first part does: each worker makes ``rounds`` calls, or calls for so many ``minutes`` unless these are 0.

    The clocks of all hosts but the first are ``ahead`` by so many seconds.
    """

    workers: int
    rounds: int
    minutes: float = 0
    ahead: float = 0

    def turns(self) -> Iterator[int]:
        """Yield numbers, as long as a worker is to make calls."""
        end = time.monotonic() + self.minutes * 60
        for turn in itertools.count() if self.minutes else range(self.rounds):
            if self.minutes and time.monotonic() > end:
                return
            yield turn

    def host(self, lane: Lane, number: int) -> dict[str, str]:
        """Return the variables that make a call one of the host that worker *number* has; none without mounts."""
        if not lane.caches:
            return {}
        clock = _clock(self.ahead) if number % len(lane.caches) else {}
        return {"PIP_CACHE_DIR": str(lane.caches[number % len(lane.caches)]), **clock}


@cache
def _clock(ahead: float) -> dict[str, str]:
    """Return the variables by which a process sees a clock that is so many seconds ahead."""
    if not ahead:
        return {}
    command = [shutil.which("faketime") or "faketime", "-m", "-f", f"{ahead:+}s", "env"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith(("LD_PRELOAD=", "FAKETIME=")))
    return {**found, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def together(lane: Lane, seed: str, work: Work, *, plain: int = PLAIN) -> None:
    """Let workers with an environment each make calls at the same time, about *plain* in a hundred of them by bare pip.

    Judges each call of pinstall, and a last one after all; of bare pip it only counts the failures and other builds.
    """
    # Before any thread starts a process: a script that is being written cannot be run.
    environments = [lane.environment() for _ in range(work.workers)]

    def calls(number: int) -> None:
        chance = random.Random(f"{seed} together {number}")
        environment, host = environments[number], work.host(lane, number)
        for turn in work.turns():
            _empty(environment)
            wanted = _choose(chance)
            story = f"together {number}.{turn} {wanted}"
            if chance.randrange(100) >= plain:
                lane.judge(story, environment, wanted, lane.pinstall(environment, wanted, **host))
                continue
            # Without flags: whose flags a wheel was built with, it does not tell.
            wanted = wanted._replace(flags="plain")
            done = lane.lab.run([environment.pip, "install", *wanted.words], **host)
            lane.tally.count("plain pips")
            if done.status:
                lane.tally.count("plain pips that failed")
                print(f"a plain pip failed: {story}: {done.err[-1500:]}", file=sys.stderr, flush=True)
            lane.tally.count(
                "plain pips with a build of other flags", not done.status and _installed(environment) != wanted.result
            )

    with ThreadPoolExecutor(work.workers) as pool:
        list(pool.map(calls, range(work.workers)))
    environment = lane.environment()
    wanted = Wanted("1.0", "1.0", "1.0", "plain")
    lane.judge("after all", environment, wanted, lane.pinstall(environment, wanted))
    lane.look_for_leaks("together")


def killed(lane: Lane, seed: str, kills: int) -> None:
    """Kill calls at random moments, some with all that they started; the next call into the same environment must be right."""
    chance = random.Random(f"{seed} killed")
    environment = lane.environment()
    began = time.monotonic()
    lane.pinstall(environment, _choose(chance))
    longest = time.monotonic() - began
    for number in range(kills):
        _empty(environment)
        # Every other one has to build.
        wanted = _choose(chance)._replace(**({"flags": f"k{number}"} if number % 2 else {}))
        whole, delay = bool(chance.randrange(2)), chance.uniform(0, longest)
        _kill(lane, environment, wanted, delay, whole=whole)
        story = f"killed {number} after {delay:.3f} s {'with all' if whole else 'alone'} {wanted}"
        lane.again(environment, wanted)
        began = time.monotonic()
        lane.judge(story, environment, wanted, lane.pinstall(environment, wanted))
        longest = time.monotonic() - began
        lane.look_for_leaks(story)
        lane.tally.count("kills")


def _kill(lane: Lane, environment: Environment, wanted: Wanted, delay: float, *, whole: bool) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [environment.pinstall, *wanted.words],
        cwd=lane.lab.root,
        env=lane.lab.environ | wanted.variables,
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        start_new_session=True,
    )
    os.close(writing)
    # Reading empties the pipe; it ends when all that was started is gone.
    reader = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reading, 65536), b"")])
    reader.start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    lane.tally.count("calls")
    lane.tally.count("kills that came too late", process.returncode is not None)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if whole else os.kill)(process.pid, signal.SIGKILL)
    process.wait()
    reader.join()
    os.close(reading)


class Scene:
    """A cache before a call that deletes, sets aside, restores, hides, builds, keeps and remembers; `play` begins with it."""

    WANTED = Wanted("1.0", "2.0", "2.0", "one")

    def __init__(self, lane: Lane) -> None:
        self._lane, self._kept = lane, lane.lab.root / "scene"
        before = Wanted("1.0", "1.0", "2.0", "plain")
        for wanted in (self.WANTED._replace(flags="two"), before._replace(ready="1.0"), before):
            lane.judge("scene", environment := lane.environment(), wanted, lane.pinstall(environment, wanted))
        body = max(lane.lab.bodies(), key=lambda path: (path not in lane.bystanders, path.stat().st_size))
        flip(body)
        shutil.copytree(lane.lab.cache, self._kept, symlinks=True)
        self._environment = lane.environment(armed=True)
        self._log = lane.lab.root / "log"

    def play(self, fault: Fault | None) -> tuple[int, str]:
        """Make the call on a fresh copy of this cache, with the *fault* if there is one; return its status and its output."""
        shutil.rmtree(self._lane.lab.cache)
        shutil.copytree(self._kept, self._lane.lab.cache, symlinks=True)
        _empty(self._environment)
        self._log.unlink(missing_ok=True)
        asked = {"FAULT_FOLDER": str(self._lane.lab.cache), "FAULT": str(fault or ""), "FAULT_LOG": str(self._log)}
        return self._lane.pinstall(self._environment, self.WANTED, **asked)

    def points(self) -> list[tuple[str, int]]:
        """Make the call without a fault; return (function, n) for each call of the system that may fail, in their order."""
        self.judge("scene", self.play(None))
        counts: Counter[str] = Counter()
        found = []
        for line in self._log.read_text().splitlines():
            function = line.partition(" ")[0]
            counts[function] += 1
            found.append((function, counts[function]))
        return found

    def judge(self, story: str, done: tuple[int, str]) -> None:
        """Judge the call as `Lane.judge` does."""
        self._lane.judge(story, self._environment, self.WANTED, done)

    def next_call(self, story: str) -> None:
        """Make the same call again without a fault, judge it, and look for leaks."""
        self._lane.again(self._environment, self.WANTED)
        self.judge(story, self._lane.pinstall(self._environment, self.WANTED))
        self._lane.look_for_leaks(story)


def refused(lane: Lane, number: int, lanes: int, errors: Callable[[int], tuple[str, ...]], most: int) -> None:
    """At calls of the system by which pinstall writes, kill pinstall, and let the call fail; then make an ordinary call.

    There are about *most* such points, evenly; every *lanes*-th is this lane's, from the one with its *number*. *errors* takes
    the index of a point and returns the names of its errors.
    """
    scene = Scene(lane)
    points = list(enumerate(scene.points()))
    points = points[:: -(-len(points) // most)]
    for at, (function, nth) in points[number::lanes]:
        for what in (KILL, *errors(at)):
            fault = Fault(function, nth, what)
            done = scene.play(fault)
            if what != KILL:
                scene.judge(f"refused {fault}", done)
            scene.next_call(f"after {fault}")
            lane.tally.count("faults")


def _in_turn(at: int) -> tuple[str, ...]:
    return (ERRORS[at % len(ERRORS)],)


@contextlib.contextmanager
def _lanes(number: int, tally: Tally, mounts: Sequence[str] = ()) -> Iterator[list[Lane]]:
    install_pips(ROOT / ".venv-test" / "pips")
    authority = trustme.CA()
    with tempfile.TemporaryDirectory(prefix="stress-") as folder:
        made = [Lane(Path(folder).resolve() / f"lane{n}", authority, tally, mounts) for n in range(number)]
        try:
            yield made
        finally:
            for lane in made:
                lane.lab.close()


def main() -> int:
    """Run the parts, and print the figures; return 1 if anything is wrong, lost or leaked."""
    options = _options()
    for name in list(os.environ):
        if name.startswith(("PIP_", "PINSTALL_", "PYTHON", "FAULT")):
            del os.environ[name]
    began = time.monotonic()
    tally = Tally()
    print(f"stress: seed {options.seed}", flush=True)
    cores = os.cpu_count() or 1
    parts = options.parts.split(",")
    if "together" in parts:
        _together(tally, options)
    with _lanes(cores, tally) as lanes, ThreadPoolExecutor(cores) as pool:
        if "killed" in parts:
            shares = [len(range(number, options.kills, cores)) for number in range(cores)]
            list(pool.map(lambda n: killed(lanes[n], f"{options.seed} {n}", shares[n]), range(cores)))
    with _lanes(cores, tally) as lanes, ThreadPoolExecutor(cores) as pool:
        if "faults" in parts:
            errors = (lambda _: ERRORS) if options.faults else _in_turn
            list(pool.map(lambda n: refused(lanes[n], n, cores, errors, options.points), range(cores)))
    for what, number in sorted(tally.counts.items()):
        print(f"{what}: {number}")
    print(f"wrong results: {len(tally.wrong)}\nlost bystanders: {len(tally.lost)}\nleaked files: {len(tally.leaked)}")
    print(f"seconds: {time.monotonic() - began:.0f}")
    return 1 if tally.wrong or tally.lost or tally.leaked else 0


def _together(tally: Tally, options: argparse.Namespace) -> None:
    work = Work(options.workers, options.rounds, options.minutes, options.ahead)
    with _lanes(1, tally, options.mounts) as (lane,):
        together(lane, options.seed, work)
    if not tally.counts["plain pips that failed"]:
        return
    alone = Tally()
    rounds = -(-tally.counts["plain pips"] // work.workers) if work.minutes else work.rounds
    with _lanes(1, alone, options.mounts) as (lane,):  # as often without us?
        together(lane, options.seed, Work(work.workers, rounds, ahead=work.ahead), plain=100)
    failed, of = alone.counts["plain pips that failed"], alone.counts["plain pips"]
    print(f"plain pips that failed with nobody else: {failed} of {of}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/stress", description=__doc__)
    parser.add_argument("--seed", default="1", help="what chance begins with (default 1)")
    parser.add_argument("--workers", type=int, default=8, help="calls at the same time (default 8)")
    parser.add_argument("--rounds", type=int, default=10, help="calls of each of them (default 10)")
    parser.add_argument("--minutes", type=float, default=0, help="the first part: go on for so long, instead of --rounds")
    parser.add_argument("--kills", type=int, default=200, help="calls that are killed at random (default 200)")
    parser.add_argument("--points", type=int, default=60, help="calls of the system that fail (default 60, evenly)")
    parser.add_argument("--faults", action="store_true", help="each with every error, and not with one in turn")
    parser.add_argument("--parts", default="together,killed,faults", help="which (default: together,killed,faults)")
    parser.add_argument(
        "--mounts", nargs="+", default=[], help="the first part: folders in which several hosts see one shared file system"
    )
    parser.add_argument(
        "--ahead", type=float, default=0, help="with --mounts: by how many seconds the clocks of all but the first are ahead"
    )
    parser.add_argument("--quick", action="store_true", help="a little of each: within a minute")
    options = parser.parse_args()
    if options.quick:
        options.workers, options.rounds, options.kills, options.points = 4, 2, 6, 4
    return options


if __name__ == "__main__":
    sys.exit(main())
