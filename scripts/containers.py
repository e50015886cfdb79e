"""Build the Dockerfile of docs/ci.md with buildah: images with other flags that share one cache mount.

The base is a Debian that debootstrap makes. The images have no network: their packages are in the base, among them the sdist of
a C extension whose content depends on CFLAGS. Prints what each build did, and exits 1 if an image has another content.
"""

# ruff: noqa: INP001, S607

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.packages import FLAGS_ONE, FLAGS_TWO, extension

_ROOT = Path(__file__).parent.parent
_INCLUDED = "python3-venv,python3-dev,gcc,libc6-dev,ca-certificates"
_SHOW = "import demo; print(demo.CONTENT)"


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


def main() -> int:
    """Build four images; return 1 if one has another content than its flags ask for."""
    with tempfile.TemporaryDirectory(prefix="containers-") as name:
        folder = Path(name)
        base = Path(os.environ.get("BASE") or _bootstrap(folder / "base"))
        context = _context(folder / "context")
        buildah = Buildah(folder)
        print(buildah.run("--version"))
        right = []
        for flags, made in ((FLAGS_ONE, "base-one"), (FLAGS_TWO, "base-two")):
            _base(buildah, base, context, made, flags)
        for number, (made, content) in enumerate(
            [("base-one", "one"), ("base-two", "two"), ("base-one", "one"), ("base-two", "two")]
        ):
            right.append(_build(buildah, context, made, content, number))
    return 0 if all(right) else 1


def _bootstrap(folder: Path) -> str:
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={_INCLUDED}", "bookworm", str(folder)], check=True, stdout=sys.stderr
    )
    return str(folder)


def _context(folder: Path) -> Path:
    """Make the build context: pinstall's wheel, requirements, and a folder of packages for the base."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q"]
    subprocess.run([*wheel, "--no-deps", "-w", str(folder / "tools"), str(_ROOT)], check=True)
    # The base has Debian's Python 3.11, so wheels for another Python would not do.
    subprocess.run([*wheel, "-w", str(packages), "pip", str(_ROOT)], check=True)
    extension(packages, "demo", "1.0")
    (folder / "requirements.txt").write_text("demo==1.0\n")
    return folder


def _base(buildah: Buildah, base: Path, context: Path, name: str, flags: dict[str, str]) -> None:
    """Commit a base image *name*: the Debian with an environment on its PATH, the packages, and *flags* for every build."""
    container = buildah.run("from", "scratch")
    buildah.run("add", "-q", container, str(base), "/")
    buildah.run("add", "-q", container, str(context / "packages"), "/packages")
    buildah.run("run", "--isolation", "chroot", container, "--", "python3", "-m", "venv", "/env")
    settings = {"PATH": "/env/bin:/usr/bin:/bin", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/packages", "HOME": "/root", **flags}
    for variable, value in settings.items():
        buildah.run("config", "--env", f"{variable}={value}", container)
    buildah.run("run", "--isolation", "chroot", container, "--", "/env/bin/python", "-m", "pip", "install", "-q", "-U", "pip")
    buildah.run("commit", "-q", "--rm", container, name)


def _recipe(base: str) -> str:
    """Return the Dockerfile of the document, with *base* in place of the image that only a registry has."""
    text = (_ROOT / "docs" / "ci.md").read_text(encoding="utf-8").partition("```dockerfile\n")[2].partition("```")[0]
    recipe, count = re.subn(r"^FROM \S+$", f"FROM localhost/{base}", text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError("the recipe must have one line FROM")
    return recipe


def _build(buildah: Buildah, context: Path, base: str, content: str, number: int) -> bool:
    (context / "Dockerfile").write_text(_recipe(base))
    began = time.monotonic()
    said = buildah.run("build", "--isolation", "chroot", "--no-cache", "-t", f"image-{number}", str(context))
    seconds = time.monotonic() - began
    container = buildah.run("from", "--pull-never", f"localhost/image-{number}")
    found = buildah.run("run", "--isolation", "chroot", container, "--", "/env/bin/python", "-c", _SHOW)
    act = "pip built the wheel" if "Building wheel for demo" in said else "the wheel came from the cache mount"
    print(f"image {number}, CONTENT {content!r}: found {found!r}; {act}; {seconds:.0f} s")
    for line in said.splitlines():
        if line.startswith(("pinstall: ", "Entries", "bad: ")):
            print(f"    {line}")
    return found == content


if __name__ == "__main__":
    sys.exit(main())
