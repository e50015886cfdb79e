"""Install popular projects of a real registry over a healthy cache and over one with a damage to each. Not run in CI.

COMMAND starts an index on 127.0.0.1 that serves a registry's pages and files as PyPI does (as for scripts/real-pages). A real
pip fills a cache with wheels, and with builds of light sdists. Over the healthy cache pinstall must be silent and send as many
requests as pip. Then one cache entry of each project is damaged, and each project is installed into an environment of its own.
Whether that holds the right files is judged by the members of the wheels that pip installed at first. Then the wheel or the
metadata of each is damaged again, and all are installed at once without pins. At last pip alone installs
everything over the same cache.
"""

# scripts/ holds programs and is no package.
# ruff: noqa: INP001

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from pinstall.pip_cache import http_entries
from scripts.served import Index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WHEELS = """
    aiosignal annotated-types anyio attrs beautifulsoup4 blinker cachetools certifi charset-normalizer click colorama
    distlib filelock flask frozenlist h11 httpcore httpx idna importlib-metadata iniconfig itsdangerous jinja2
    jsonschema jsonschema-specifications markdown-it-py markupsafe mdurl more-itertools multidict packaging platformdirs
    pluggy propcache psutil pyasn1 pyasn1-modules pydantic pydantic-core pygments pytest python-dateutil pytz pyyaml
    referencing requests rich rpds-py rsa six sniffio soupsieve tomli tqdm typing-extensions urllib3 virtualenv werkzeug
    wrapt yarl zipp
"""
# Light sources: they need setuptools, flit-core, hatchling or poetry-core, and no compiler.
SDISTS = """
    exceptiongroup toolz termcolor tomlkit defusedxml jmespath isodate humanize
"""
_HEAD = b"cc=4,"


class Project(NamedTuple):
    """A project of the template cache: the wheel that pip installed, and the URLs of its page and its wheel."""

    name: str
    version: str
    page: str
    url: str
    wheel: bytes

    @property
    def members(self) -> dict[str, str]:
        """The digest of each file of the wheel, by its path, but for ``.data`` folders and the RECORD, which pip changes."""
        with zipfile.ZipFile(io.BytesIO(self.wheel)) as archive:
            names = [n for n in archive.namelist() if ".data/" not in n and not n.endswith(("/", "/RECORD"))]
            return {name: _digest(archive.read(name)) for name in names}


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Cache:
    """A cache of pip 23.3 or later; its entries are found by their URLs, to be damaged."""

    def __init__(self, root: Path) -> None:
        self.root, self._http = root, http_entries.HttpCache(str(root), (26, 3))

    def paths(self, url: str) -> tuple[Path, Path]:
        """Return the paths of the head and the body of the stored response to *url*."""
        head, body = self._http.entry_at(url).paths
        return Path(head), Path(body)

    def head(self, url: str) -> dict[str, Any]:
        """Return the head of the stored response to *url*, decoded."""
        document: dict[str, Any] = msgpack.unpackb(self.paths(url)[0].read_bytes().removeprefix(_HEAD), raw=False)
        return document

    def answer(self, url: str, status: int, headers: dict[str, str], body: bytes | None = None) -> None:
        """Replace the status of the stored response to *url*, add *headers*, and replace its body unless *body* is None."""
        head, content = self.paths(url)
        document = self.head(url)
        document["response"]["status"] = status
        document["response"]["headers"] = {**document["response"]["headers"], **headers}
        head.write_bytes(_HEAD + msgpack.packb(document, use_bin_type=True))
        if body is not None:
            content.write_bytes(body)

    def page(self, project: Project, change: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrite the stored JSON page of *project*: *change* alters a file of it in place, and returns whether it stays."""
        _, body = self.paths(project.page)
        document = json.loads(gzip.decompress(body.read_bytes()))
        document["files"] = [file for file in document["files"] if change(file)]
        body.write_bytes(gzip.compress(json.dumps(document).encode()))

    def built(self, project: Project) -> Path:
        """Return the wheel that pip built of *project*."""
        stem = project.name.replace("-", "_")
        return next((self.root / "wheels").rglob(f"{stem}-{project.version}-*.whl"))


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _of(project: Project, file: dict[str, Any]) -> bool:
    return re.split(r"-", str(file["filename"]).removesuffix(".tar.gz"))[1:2] == [project.version]


def _lacking(cache: Cache, it: Project, _: Project) -> None:
    cache.page(it, lambda file: not _of(it, file))


def _lacking_confirmed(cache: Cache, it: Project, other: Project) -> None:
    _lacking(cache, it, other)
    cache.answer(it.page, 200, {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})


def _other_hashes(cache: Cache, it: Project, _: Project) -> None:
    def change(file: dict[str, Any]) -> bool:
        file["hashes"] = {"sha256": _digest(file["filename"].encode())} if _of(it, file) else file["hashes"]
        return True

    cache.page(it, change)


def _other_python(cache: Cache, it: Project, _: Project) -> None:
    def change(file: dict[str, Any]) -> bool:
        file["requires-python"] = "<3" if _of(it, file) else file.get("requires-python")
        return True

    cache.page(it, change)


def _moved(cache: Cache, it: Project, _: Project) -> None:
    def change(file: dict[str, Any]) -> bool:
        file["url"] = file["url"].replace("/packages/", "/packages/00/") if _of(it, file) else file["url"]
        return True

    cache.page(it, change)


def _metadata(cache: Cache, it: Project, other: Project) -> None:
    body = cache.paths(it.url + ".metadata")[1]
    with zipfile.ZipFile(io.BytesIO(other.wheel)) as archive:
        body.write_bytes(archive.read(next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))))


def _elsewhere(url: str) -> str:
    return url.replace("/packages/", "/packages/00/").replace("/simple/", "/nowhere/")


DAMAGES: dict[str, Callable[[Cache, Project, Project], None]] = {
    "a bit of the wheel": lambda c, it, _: _flipped(c.paths(it.url)[1]),
    "the wheel is cut": lambda c, it, _: _cut(c.paths(it.url)[1]),
    "the wheel is empty": lambda c, it, _: c.paths(it.url)[1].write_bytes(b"") and None,
    "the wheel is another's": lambda c, it, other: c.paths(it.url)[1].write_bytes(other.wheel) and None,
    "the wheel is zeros": lambda c, it, _: c.paths(it.url)[1].write_bytes(bytes(len(it.wheel))) and None,
    "the wheel is a page": lambda c, it, _: c.paths(it.url)[1].write_bytes(b"<html>Log in first</html>") and None,
    "the wheel is gone": lambda c, it, _: c.paths(it.url)[1].unlink(),
    "the wheel's head is gone": lambda c, it, _: c.paths(it.url)[0].unlink(),
    "a bit of the wheel's head": lambda c, it, _: _flipped(c.paths(it.url)[0]),
    "the wheel's head is cut": lambda c, it, _: _cut(c.paths(it.url)[0]),
    "the wheel's head is no head": lambda c, it, _: c.paths(it.url)[0].write_bytes(_HEAD + b"\x01") and None,
    "the wheel is redirected": lambda c, it, _: c.answer(it.url, 301, {"Location": _elsewhere(it.url)}, b""),
    "the wheel is redirected to itself": lambda c, it, _: c.answer(it.url, 308, {"Location": it.url}, b""),
    "the wheel is a stored 404": lambda c, it, _: c.answer(it.url, 404, {}, b"not found"),
    "the wheel is said to be gzip": lambda c, it, _: c.answer(it.url, 200, {"Content-Encoding": "gzip"}),
    "the metadata is another's": _metadata,
    "a bit of the metadata": lambda c, it, _: _flipped(c.paths(it.url + ".metadata")[1]),
    "the metadata is empty": lambda c, it, _: c.paths(it.url + ".metadata")[1].write_bytes(b"") and None,
    "the metadata is a stored 404": lambda c, it, _: c.answer(it.url + ".metadata", 404, {}, b""),
    "the page lacks the version": _lacking,
    "the page lacks the version, and is confirmed": _lacking_confirmed,
    "the page states other hashes": _other_hashes,
    "the page wants another Python": _other_python,
    "the page has moved files": _moved,
    "the page is cut": lambda c, it, _: _cut(c.paths(it.page)[1]),
    "the page is empty": lambda c, it, _: c.paths(it.page)[1].write_bytes(b"") and None,
    "the page is another's": lambda c, it, other: c.paths(it.page)[1].write_bytes(c.paths(other.page)[1].read_bytes()) and None,
    "the page is HTML of a login": lambda c, it, _: c.answer(
        it.page, 200, {"Content-Type": "text/html", "Content-Encoding": ""}, b"<html>Log in</html>"
    ),
    "the page is redirected": lambda c, it, _: c.answer(it.page, 301, {"Location": _elsewhere(it.page)}, b""),
    "the page's head is cut": lambda c, it, _: _cut(c.paths(it.page)[0]),
}
BUILDS: dict[str, Callable[[Cache, Project, Project], None]] = {
    "a bit of the built wheel": lambda c, it, _: _flipped(c.built(it)),
    "the built wheel is cut": lambda c, it, _: _cut(c.built(it)),
    "the built wheel is empty": lambda c, it, _: c.built(it).write_bytes(b"") and None,
    "the built wheel is another's": lambda c, it, other: c.built(it).write_bytes(other.wheel) and None,
}


class Run(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str
    site: Path

    @property
    def said(self) -> str:
        """The lines of pinstall."""
        return "".join(line for line in self.err.splitlines(keepends=True) if line.startswith("pinstall: "))

    @property
    def pips(self) -> int:
        """How often pip ran."""
        return 1 + ("pip runs once more" in self.err)


class Setup:
    """A *folder* for new environments, and the index."""

    def __init__(self, index: Index, folder: Path) -> None:
        self.index, self.folder, self._made = index, folder, 0

    def install(self, cache: Path, command: str, *words: str) -> Run:
        """Install with *command* (pip or pinstall), over *cache* and without dependencies, into a new environment."""
        self._made += 1
        target = self.folder / f"environment{self._made}"
        venv.create(target, symlinks=True)
        first = [sys.executable, "-m", command, "--python", str(target / "bin" / "python")]
        base = [*first, *(["install"] if command == "pip" else []), "--no-deps", *words]
        done = subprocess.run(base, env=self.index.settings(cache), capture_output=True, text=True, check=False)
        site = next((target / "lib").glob("python*")) / "site-packages"
        return Run(done.returncode, done.stdout, done.stderr, site)


def wrong(project: Project, site: Path) -> str:
    """Return the first way in which the installed files differ from the members of the wheel, "" if they do not.

    Only the bytes of WHEEL may differ. There must be exactly one ``.dist-info`` folder of the project.
    """
    for name, stated in project.members.items():
        file = site / name
        if not file.is_file():
            return f"{name} is not installed"
        if _digest(file.read_bytes()) != stated and not name.endswith("/WHEEL"):
            return f"{name} has other bytes"
    stem = re.sub(r"[-_.]+", "_", project.name).lower()
    infos = [i.name for i in site.glob("*.dist-info") if re.sub(r"[-_.]+", "_", i.name.partition("-")[0]).lower() == stem]
    return "" if len(infos) == 1 else f"it has {infos}"


def fill(setup: Setup, cache: Path) -> list[Project]:
    """Let pip install all projects over the empty *cache*; return them. Ends the program if pip fails."""
    report = setup.folder / "report.json"
    words = ["--no-binary", ",".join(SDISTS.split()), "--only-binary", ",".join(WHEELS.split()), "--report", str(report)]
    done = setup.install(cache, "pip", *words, *WHEELS.split(), *SDISTS.split())
    if done.status:
        sys.exit(done.err)
    found, store = [], Cache(cache)
    for item in json.loads(report.read_text(encoding="utf-8"))["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        it = Project(name, item["metadata"]["version"], setup.index.page_url(name), item["download_info"]["url"], b"")
        is_wheel = it.url.endswith(".whl")
        found.append(it._replace(wheel=(store.paths(it.url)[1] if is_wheel else store.built(it)).read_bytes()))
    return found


def healthy(setup: Setup, cache: Path, words: Iterable[str]) -> list[str]:
    """Install everything over the healthy cache with pip and twice with pinstall; return what is wrong.

    Wrong are a failure, a line of pinstall, and another number of requests than pip's.
    """
    counts, said = {}, ""
    for command in ("pip", "pinstall", "pinstall"):
        setup.index.asked()
        run = setup.install(cache, command, *words)
        counts[command] = setup.index.asked()
        said += run.said + (run.err[-500:] if run.status else "")
    print(f"healthy: {counts['pip']} requests by pip, {counts['pinstall']} by pinstall; it said {said or 'nothing'}")
    return ([said] if said else []) + (["other requests"] if len(set(counts.values())) > 1 else [])


def damaged(setup: Setup, cache: Path, projects: list[Project], turn: int) -> list[str]:
    """Damage one entry of each project, and install each on its own; return what is wrong.

    *turn* shifts which project gets which damage.
    """
    store, problems, pips, given = Cache(cache), [], Counter[int](), []
    kinds, builds = list(DAMAGES), list(BUILDS)
    for number, it in enumerate(projects):
        is_wheel, way = it.url.endswith(".whl"), number + turn
        kind = kinds[way % len(kinds)] if is_wheel else builds[way % len(builds)]
        (DAMAGES if is_wheel else BUILDS)[kind](store, it, projects[number - 1])
        given.append(kind)
    for kind, it in zip(given, projects, strict=True):
        form = [] if it.url.endswith(".whl") else ["--no-binary", it.name]
        run = setup.install(cache, "pinstall", *form, f"{it.name}=={it.version}")
        pips[run.pips] += 1
        problem = f"status {run.status}: {run.err[-800:]}" if run.status else wrong(it, run.site)
        print(f"{'FAILED' if problem else 'healed'} {it.name} {it.version}: {kind} ({run.pips} of pip)", problem)
        problems += [f"{it.name}: {kind}: {problem}"] if problem else []
    print(f"{len(projects) - len(problems)} of {len(projects)} healed; calls by runs of pip: {dict(pips)}")
    return problems


def unpinned(setup: Setup, cache: Path, projects: list[Project]) -> list[str]:
    """Damage the wheel or the metadata of each project that has a wheel, and install all these at once without pins.

    Returns what is wrong.
    """
    store, kinds = Cache(cache), [kind for kind in DAMAGES if "page" not in kind]
    wheels = [it for it in projects if it.url.endswith(".whl")]
    for number, it in enumerate(wheels):
        DAMAGES[kinds[number % len(kinds)]](store, it, wheels[number - 1])
    run = setup.install(cache, "pinstall", *(it.name for it in wheels))
    if run.status:
        return [f"all at once, unpinned: status {run.status}: {run.err[-800:]}"]
    problems = [f"all at once, unpinned: {it.name}: {how}" for it in wheels if (how := wrong(it, run.site))]
    print(f"all at once, unpinned: {len(wheels) - len(problems)} of {len(wheels)} healed ({run.pips} of pip)")
    return problems


def pip_alone(setup: Setup, cache: Path, projects: list[Project], words: Iterable[str]) -> list[str]:
    """Install everything with pip over the cache that was healed; return what is wrong."""
    run = setup.install(cache, "pip", *words)
    if run.status:
        return [f"pip over the healed cache: {run.err[-800:]}"]
    return [f"pip over the healed cache: {it.name}: {how}" for it in projects if (how := wrong(it, run.site))]


def main() -> int:
    """Do all parts, and print what each did; return 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/popular", description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--turn", type=int, default=0, metavar="N", help="gives each project the damage of the Nth after it (0)"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="the index's program and its arguments")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    options = parser.parse_args()
    index = Index(options.command or parser.error("which program serves the index?"))
    try:
        with tempfile.TemporaryDirectory() as folder:
            setup = Setup(index, Path(folder))
            fill(setup, Path(folder) / "first")  # the index learns which files have metadata
            cache = Path(folder) / "cache"
            projects = fill(setup, cache)
            sources = [it.name for it in projects if not it.url.endswith(".whl")]
            words = [f"--no-binary={','.join(sources)}", *(f"{it.name}=={it.version}" for it in projects)]
            problems = healthy(setup, cache, words)
            problems += damaged(setup, cache, projects, options.turn)
            problems += unpinned(setup, cache, projects)
            problems += pip_alone(setup, cache, projects, words)
    finally:
        index.stop()
    for line in problems:
        print(line)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
