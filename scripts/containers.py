"""Build images with buildah that share a cache mount: the Dockerfile of docs/ci.md, and others that differ in one respect.

The bases are Debians that debootstrap makes. The images have no network: their packages are in the base, among them the sdist
of a C extension whose content depends on CFLAGS. Prints what each build did, and exits 1 if one did not do what it should.
"""

# ruff: noqa: INP001, S607

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.packages import FLAGS_ONE, FLAGS_TWO, extension

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROOT = Path(__file__).parent.parent
_INCLUDED = "python3-venv,python3-dev,gcc,libc6-dev,ca-certificates"
_SHOW = "import demo; print(demo.CONTENT)"
# libc 2.38 has another function behind this name for what is compiled with its headers, so the module needs it then.
_NEEDS_ITS_LIBC = "long number(const char *text) { return strtol(text, 0, 10); }\n"
# Debian 12's Python, for Debian 13: both look for built wheels in the same folder then.
_PYTHON = (
    "usr/bin/python3.11",
    "usr/lib/python3.11",
    "usr/include/python3.11",
    "usr/include/*-linux-gnu/python3.11",
    "usr/share/python-wheels",
)
_CHROOT = ("--isolation", "chroot")
_BUILDS, _TAKES = "pip built the wheel", "pip took the wheel from the cache"


class Buildah:
    """buildah with a storage of its own in *folder*, which also has its cache mounts."""

    def __init__(self, folder: Path) -> None:
        self._words = [
            "buildah",
            "--root",
            str(folder / "storage"),
            "--runroot",
            str(folder / "run"),
            "--storage-driver",
            "vfs",
        ]
        (folder / "tmp").mkdir()
        self._environ = {**os.environ, "TMPDIR": str(folder / "tmp"), "BUILDAH_ISOLATION": "chroot"}

    def run(self, *words: str) -> str:
        """Run a command of buildah; return its output. Prints it, and raises `CalledProcessError`, if the command fails."""
        done = subprocess.run(
            [*self._words, *words], env=self._environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            print(done.stdout)
        done.check_returncode()
        return done.stdout.strip()


class Images:
    """Images over bases with pinstall's environment, in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.buildah = Buildah(folder)
        self._folder, self._context = folder, _context(folder / "context")
        self._count = 0
        self.good = True

    def debian(self, suite: str) -> Path:
        """Return the root of the Debian *suite*, in the folder that BASES names, else in this one; make it if needed."""
        place = Path(os.environ.get("BASES", self._folder)) / suite
        if not place.exists():
            words = ["debootstrap", "--variant=minbase", f"--include={_INCLUDED}", suite, str(place)]
            subprocess.run(words, check=True, stdout=sys.stderr)
        return place

    def base(self, name: str, flags: Mapping[str, str], suite: str = "bookworm") -> None:
        """Commit a base image *name*: Debian with an environment on its PATH, the packages, and the variables *flags*."""
        container = self.buildah.run("from", "scratch")
        self.buildah.run("add", "-q", container, str(self.debian(suite)), "/")
        if suite != "bookworm":
            debian = self.debian("bookworm")
            for path in (path for pattern in _PYTHON for path in debian.glob(pattern)):
                self.buildah.run("add", "-q", container, str(path), f"/{path.relative_to(debian)}")
        self.buildah.run("add", "-q", container, str(self._context / "packages"), "/packages")
        self.inside(container, "python3.11", "-m", "venv", "/env")
        settings = {
            "PATH": "/env/bin:/usr/bin:/bin",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "/packages",
            "HOME": "/root",
            **flags,
        }
        for variable, value in settings.items():
            self.buildah.run("config", "--env", f"{variable}={value}", container)
        self.inside(container, "/env/bin/python", "-m", "pip", "install", "-q", "-U", "pip")
        self.buildah.run("commit", "-q", "--rm", container, name)

    def inside(self, container: str, *words: str) -> str:
        """Run a command in a container; return its output. Raises as `Buildah.run`."""
        return self.buildah.run("run", *_CHROOT, container, "--", *words)

    def build(self, dockerfile: str, label: str, content: str, act: str) -> str:
        """Build an image, and return its name; `judge` the *content* of its module, and the *act* of its build."""
        self._count += 1
        name = f"image-{self._count}"
        (self._context / "Dockerfile").write_text(dockerfile)
        began = time.monotonic()
        said = self.buildah.run("build", *_CHROOT, "--no-cache", "-t", name, str(self._context))
        seconds = time.monotonic() - began
        container = self.container(name)
        self.judge(label, said, self.content(container), (content, act))
        print(f"    {seconds:.0f} s")
        return name

    def container(self, image: str) -> str:
        """Make a container of an image; return its name."""
        return self.buildah.run("from", "--pull-never", f"localhost/{image}")

    def content(self, container: str) -> str:
        """Return the content of the module in a container, or the text of the error if it cannot be imported."""
        catching = f"try:\n    {_SHOW.replace('; ', chr(10) + '    ')}\nexcept ImportError as error:\n    print(error)"
        return self.inside(container, "/env/bin/python", "-c", catching)

    def judge(self, label: str, said: str, found: str, expected: tuple[str, str]) -> None:
        """Print what an install did, and set ``good`` to False if that is not *expected*.

        *said* is its output, *found* the content of the module; *expected* are a part of the content, and whether pip builds.
        """
        act = _BUILDS if "Building wheel for demo" in said else _TAKES
        good = expected[0] in found and act == expected[1]
        self.good = self.good and good
        print(f"{label}: {found!r}; {act}{'' if good else f', but expected was {expected}'}")
        for line in said.splitlines():
            if line.startswith(("pinstall: ", "Entries", "bad: ")):
                print(f"    {line}")


def main() -> int:
    """Do the parts that the arguments name, or all; return 1 if an image is not what it should be."""
    wanted = sys.argv[1:] or list(_PARTS)
    good = True
    for part in wanted:
        with tempfile.TemporaryDirectory(prefix="containers-") as folder:
            images = Images(Path(folder))
            suites = _PARTS[part](images)
            good = good and images.good
            used = [f"Debian {_release(images.debian(suite))}" for suite in suites]
            print(
                "with images:", ", ".join([images.buildah.run("--version").partition(" (")[0].replace(" version", ""), *used])
            )
    return 0 if good else 1


def _release(root: Path) -> str:
    version = (root / "etc" / "debian_version").read_text().strip()
    libc = subprocess.run(["chroot", str(root), "ldd", "--version"], capture_output=True, text=True, check=True).stdout
    return f"{version} (libc {libc.splitlines()[0].split()[-1]})"


def _context(folder: Path) -> Path:
    """Make the build context: pinstall's wheel, requirements, and a folder of packages for the base."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q"]
    subprocess.run([*wheel, "--no-deps", "-w", str(folder / "tools"), str(_ROOT)], check=True)
    # The base has Debian's Python 3.11, so wheels for another Python would not do.
    subprocess.run([*wheel, "-w", str(packages), "pip", str(_ROOT)], check=True)
    extension(packages, "demo", "1.0", _NEEDS_ITS_LIBC)
    (folder / "requirements.txt").write_text("demo==1.0\n")
    return folder


def _recipe(base: str) -> str:
    """Return the Dockerfile of docs/ci.md, with *base* in place of the image that only a registry has."""
    text = (_ROOT / "docs" / "ci.md").read_text(encoding="utf-8").partition("```dockerfile\n")[2].partition("```")[0]
    recipe, count = re.subn(r"^FROM \S+$", f"FROM localhost/{base}", text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError("the recipe must have one line FROM")
    return recipe


def _changed(base: str, mount: str, command: str, user: str = "") -> str:
    """Return the Dockerfile of docs/ci.md with another *mount* and another *command* for it; *user* are lines before them."""
    before, _, _ = _recipe(base).partition("RUN --mount")
    return f"{before}{user}RUN --mount=type=cache,{mount} \\\n    {command}\n"


def _flags(images: Images) -> Sequence[str]:
    for name, flags in (("one", FLAGS_ONE), ("two", FLAGS_TWO)):
        images.base(f"base-{name}", flags)
    for content, act in (("one", _BUILDS), ("two", _BUILDS), ("one", _TAKES), ("two", _TAKES)):
        images.build(_recipe(f"base-{content}"), f"CFLAGS ask for {content}", content, act)
    return ["bookworm"]


def _libc(images: Images) -> Sequence[str]:
    """Build where libc is newer first: what is compiled there does not load where it is older."""
    for suite in ("bookworm", "trixie"):
        images.base(suite, {}, suite)
    for suite, act in (("trixie", _BUILDS), ("bookworm", _BUILDS), ("trixie", _TAKES), ("bookworm", _TAKES)):
        images.build(_recipe(suite), suite, "plain", act)
    for suite, content, act in (("trixie", "plain", _BUILDS), ("bookworm", "GLIBC_2.38", _TAKES)):
        bare = _changed(suite, "target=/root/.cache/pip,id=bare", "pip install -r requirements.txt")
        images.build(bare, f"{suite}, plain pip", content, act)
    return ["bookworm", "trixie"]


def _read_only(images: Images) -> Sequence[str]:
    for name, flags in (("one", FLAGS_ONE), ("two", FLAGS_TWO)):
        images.base(f"base-{name}", flags)
    images.build(_recipe("base-one"), "a mount that can be written", "one", _BUILDS)
    for content, act in (("one", _TAKES), ("two", _BUILDS), ("two", _BUILDS)):
        mount = "target=/root/.cache/pip,readonly"
        command = "! touch /root/.cache/pip/new 2>/dev/null && pinstall -r requirements.txt"
        images.build(_changed(f"base-{content}", mount, command), f"read-only, CFLAGS ask for {content}", content, act)
    return ["bookworm"]


def _user(images: Images) -> Sequence[str]:
    """Install as user 1000: in a mount of its own, and in one of root's, which pip does not use."""
    images.base("base", {**FLAGS_ONE, "PIP_CACHE_DIR": "/cache"})
    user = "RUN chown -R 1000 /env\nUSER 1000\nENV HOME=/tmp\n"
    for label, mount, act in (
        ("a mount of the user's own", "uid=1000,id=own", _BUILDS),
        ("the same again", "uid=1000,id=own", _TAKES),
        ("a mount of root's", "id=root", _BUILDS),
        ("the same again", "id=root", _BUILDS),
    ):
        images.build(_changed("base", f"target=/cache,{mount}", "pinstall -r requirements.txt", user), label, "one", act)
    return ["bookworm"]


def _bare(images: Images) -> Sequence[str]:
    """Install as process 1, with neither locale nor HOME; once with /proc and once without."""
    images.base("base", {})
    name = images.build(_recipe("base"), "filled", "plain", _BUILDS)
    container = images.container(name)
    root = Path(images.buildah.run("mount", container))
    shutil.rmtree(root / "dev" / "shm", ignore_errors=True)
    settings = ["PATH=/env/bin:/usr/bin:/bin", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/packages", f"CFLAGS={FLAGS_ONE['CFLAGS']}"]
    call = shlex.join(["chroot", str(root), "env", "-i", *settings, "/env/bin/pinstall", "--force-reinstall", "demo==1.0"])
    proc = f"mount -t proc proc {shlex.quote(str(root / 'proc'))} && "
    for label, before, act in (("process 1", proc, _BUILDS), ("again", proc, _TAKES), ("without /proc", "", _TAKES)):
        words = ["unshare", "--pid", "--fork", "--mount", "sh", "-c", f"{before}exec {call}"]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            print(done.stdout)
        images.judge(label, done.stdout, images.content(container), ("one", act))
    return ["bookworm"]


_PARTS = {"flags": _flags, "libc": _libc, "read-only": _read_only, "user": _user, "bare": _bare}


if __name__ == "__main__":
    sys.exit(main())
