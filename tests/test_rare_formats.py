"""Valid formats and folders that few people have: RECORD in other algorithms, unnamed archives, links, careless backends."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from pinstall.inspection import integrity
from tests.lab import VERSIONS, flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Lab


@pytest.fixture
def index(lab: Lab) -> Index:
    made = lab.index()
    made.hashes = ()
    lab.environ["PIP_INDEX_URL"] = made.url
    return made


def _rewritten(path: Path, algorithm: str, old: bytes = b"", new: bytes = b"") -> None:
    """Give a wheel a RECORD in another algorithm; then change its members."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    record = next(name for name in members if name.endswith("/RECORD"))
    if not old:
        rows = []
        for name, data in members.items():
            value = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()
            rows.append(f"{name},," if name == record else f"{name},{algorithm}={value},{len(data)}")
        members[record] = "\n".join(rows).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data.replace(old, new) if old and name != record else data)


@pytest.mark.parametrize("algorithm", ["sha3_256", "blake2s", "sha512"])
def test_a_changed_download_whose_record_uses_another_algorithm(lab: Lab, index: Index, algorithm: str) -> None:
    _rewritten(wheel(index.root, "demo", "1.0", "good"), algorithm)
    lab.pip(lab.environment(), "demo==1.0")
    (body,) = lab.bodies()
    _rewritten(body, algorithm, b"'good'", b"'evil'")
    environment = lab.environment()
    done = lab.pinstall(environment, "demo==1.0")
    assert environment.installed("demo") == "1.0 good", done


def test_a_damaged_member_without_a_hash_in_record(lab: Lab, index: Index) -> None:
    """Only its CRC tells, and pip fails on it."""
    path = wheel(index.root, "demo", "1.0", padding=40_000)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive, zipfile.ZipFile(path, "w") as out:
        for info in archive.infolist():
            data = archive.read(info)
            if info.filename.endswith("/RECORD"):
                rows = [row.split(b",")[0] + b",," if b"padding" in row else row for row in data.splitlines()]
                data = b"\n".join(rows)
            out.writestr(info.filename, data)
    lab.pip(lab.environment(), "demo==1.0")
    flip(lab.bodies()[0])
    environment = lab.environment()
    done = lab.pinstall(environment, "demo==1.0")
    assert environment.installed("demo") == "1.0 1.0", done
    assert "once more" not in done.err, "it was found before pip ran"


def test_a_damaged_archive_whose_url_does_not_name_it(lab: Lab, index: Index) -> None:
    """gzip's own checksum is the only thing that tells, and pip builds the damaged file."""
    archive = sdist(index.root, "demo", "1.0", "good", extra={"data.txt": "x" * 30_000})
    content = archive.read_bytes()
    (index.root / "v1").write_bytes(content)
    archive.unlink()
    index.file_age = 0
    headers = {"Content-Type": "application/x-gzip", "Content-Disposition": "attachment; filename=demo-1.0.tar.gz"}
    respond = index.respond

    def named(path: str, accept: str) -> tuple[int, bytes, dict[str, str]]:
        status, body, found = respond(path, accept)
        return status, body, {**found, **headers}

    index.respond = named  # type: ignore[method-assign]
    pin = f"demo @ {index.base}/files/v1"
    lab.pip(lab.environment(), pin)
    bad = bytearray(gzip.decompress(content))
    at = bad.index(b"xxxx")
    bad[at] = ord("y")
    for body in lab.bodies():
        body.write_bytes(gzip.compress(bytes(bad), mtime=0)[:-8] + content[-8:])
    for built in lab.wheels():
        built.unlink()
    environment = lab.environment()
    done = lab.pinstall(environment, pin)
    assert environment.installed("demo") == "1.0 good", done
    assert any("demo" in line or "v1" in line for line in done.said)


def test_a_damaged_file_does_not_replace_a_sound_one_in_the_store(lab: Lab, index: Index) -> None:
    old = wheel(index.root, "demo", "1.0", "old", padding=30_000).read_bytes()
    lab.pip(lab.environment(), "demo==1.0")
    new = wheel(index.root, "demo", "1.0", "new", padding=30_000).read_bytes()
    (lab.root / "r.txt").write_text(f"demo==1.0 --hash=sha256:{hashlib.sha256(new).hexdigest()}\n")
    assert lab.pinstall(lab.environment(), "-r", "r.txt").status == 0
    flip(lab.bodies()[0])
    environment = lab.environment()
    done = lab.pinstall(environment, "-r", "r.txt")
    assert environment.installed("demo") == "1.0 new", done
    kept = [path.read_bytes() for path in (lab.cache / "pinstall" / "store").rglob("*.body")]
    assert old in kept


def _builds(lab: Lab, *words: str) -> int:
    """Return how often three calls in fresh environments build."""
    built = 0
    for _ in range(3):
        environment = lab.environment()
        done = lab.pinstall(environment, *words)
        assert environment.installed("demo") == "1.0 good", done
        built += done.out.count("Building wheels for collected packages")
    return built


def test_a_folder_of_symbolic_links_is_built_from_once(lab: Lab) -> None:
    """Nix, Bazel and git-annex make such folders; they are the user's, and no part of the cache."""
    archive = sdist(lab.root / "annex", "demo", "1.0", "good")
    (lab.root / "links").mkdir()
    (lab.root / "links" / archive.name).symlink_to(archive)
    assert _builds(lab, "--no-index", "-f", "links", "demo==1.0") == 1


_BACKEND_THAT_LINKS = """
import os
def _link(build, kept):
    def build_wheel(directory, *args):
        name = build(directory, *args)
        os.link(os.path.join(directory, name), os.path.join(kept, os.urandom(4).hex()))
        return name
    return build_wheel
"""


def test_a_backend_that_hard_links_its_wheel_builds_once(lab: Lab, index: Index) -> None:
    kept = lab.root / "kept"
    kept.mkdir()
    path = sdist(index.root, "demo", "1.0", "good", script=_BACKEND_THAT_LINKS)
    _append(path, f"build_wheel = _link(build_wheel, {str(kept)!r})\n")
    lab.environ["TMPDIR"] = str(lab.root)
    _builds(lab, "demo==1.0")
    assert len(list(kept.iterdir())) == 1


def test_a_backend_whose_record_lacks_a_file_builds_once(lab: Lab, index: Index) -> None:
    """Also where a later call uses the wheel and fails for a reason of its own."""
    path = sdist(index.root, "demo", "1.0", "good", script="import zipfile, os")
    code = """
_build = build_wheel
def build_wheel(directory, *args):
    name = _build(directory, *args)
    with zipfile.ZipFile(os.path.join(directory, name), "a") as archive:
        archive.writestr("unrecorded.py", "")
    return name
"""
    _append(path, code)
    assert _builds(lab, "demo==1.0") == 1
    done = lab.pinstall(lab.environment(), "demo==1.0", "no-such-project")
    assert (done.status, "demo-1.0-py3-none-any.whl" in done.err) == (1, False), done.err
    assert _builds(lab, "demo==1.0") == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("record", [None, b"x" * 200_000])
def test_a_wheel_without_a_readable_record_stops_pip(lab: Lab, version: str, record: bytes | None) -> None:
    """So pinstall keeps no build of that kind."""
    path = wheel(lab.root, "demo", "1.0")
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive, zipfile.ZipFile(path, "w") as out:
        for info in archive.infolist():
            data = record if info.filename.endswith("/RECORD") else archive.read(info)
            if data is not None:
                out.writestr(info.filename, data)
    assert lab.bare(lab.environment(version), "install", path).status != 0
    assert integrity.wheel(io.BytesIO(path.read_bytes())).stops_pip


@pytest.mark.parametrize("library", ["msgpack", "filelock", "packaging"])
def test_pinstall_runs_no_code_of_a_package_that_pip_has_just_installed(lab: Lab, index: Index, library: str) -> None:
    """The package brings a library of a name that pinstall imports, into pinstall's own environment."""
    ran = lab.root / "ran"
    path = wheel(index.root, "demo", "1.0", "good")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{library}/__init__.py", f"open({str(ran)!r}, 'w')\nraise ImportError\n")
    environment = lab.environment()
    done = lab.pinstall(environment, "demo==1.0")
    assert environment.installed("demo") == "1.0 good", done
    assert not ran.exists()


def _append(path: Path, code: str) -> None:
    """Append to the backend of an sdist."""
    import tarfile

    with tarfile.open(path) as tar:
        members = [(info, extracted.read()) for info in tar if (extracted := tar.extractfile(info))]
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            content = data + f"\n{code}".encode() if info.name.endswith("backend.py") else data
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
