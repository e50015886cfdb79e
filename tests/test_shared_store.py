"""Machines share the builds of pip through a bucket or a folder: real pips build, and real servers keep."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from moto.server import ThreadedMotoServer

from pinstall import settings
from pinstall.inspection import build_questions
from pinstall.inspection.build_questions import Question
from pinstall.shared_store import documents, layout
from pinstall.shared_store.remote import Remote, RemoteError, RemoteObject
from tests import messages
from tests.consoles import Console, sections
from tests.lab import VERSIONS, watched
from tests.packages import FLAGS_ONE, sdist, wheel
from tests.shared_stores import Answer, Machine, Proxy, azurite, environment_with_extra, webdav
from tests.test_terminal import CTRL_C, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab import Lab

_ROUNDS = int(os.environ.get("PINSTALL_TEST_ROUNDS", "2"))
_AZURITE = os.environ.get("PINSTALL_TEST_AZURITE") or shutil.which("azurite-blob")
_ADVICE = "to find it, run 'pinstall-cache shared verify'"
_KEY, _OTHER_KEY = "a key for nobody", "another key for nobody"
# The name of the variable is computed, so that only a watched build tells it.
_ASKS = """
import os, pathlib
pathlib.Path("content.txt").write_text(os.environ.get("_".join(["WITH", "gpu".upper()]), "no"))
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


_buckets = iter(range(1_000))


@pytest.fixture
def bucket(s3: str, lab: Lab) -> str:
    """The URL of an empty bucket; pinstall has the variables to use it."""
    name = f"bucket{next(_buckets)}"
    urllib.request.urlopen(urllib.request.Request(f"{s3}/{name}", method="PUT")).close()
    lab.environ |= {
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
        "PINSTALL_SHARED_STORE": f"s3://{name}/wheels",
    }
    return f"s3://{name}"


@pytest.fixture
def proxy(bucket: str, s3: str, lab: Lab) -> Iterator[Proxy]:
    """A server in front of the bucket, which a test makes fail."""
    made = Proxy(urlsplit(s3))
    lab.environ["AWS_ENDPOINT_URL"] = made.url
    yield made
    made.close()


@pytest.fixture
def folder(lab: Lab) -> Path:
    """The folder of a shared store that is a folder."""
    lab.environ["PINSTALL_SHARED_STORE"] = f"file://{lab.root / 'share'}"
    return lab.root / "share"


@pytest.fixture
def demo(lab: Lab) -> Path:
    """The sdist of a project on an index; what its build asks for is in its wheel."""
    index = lab.index()
    lab.environ["PIP_INDEX_URL"] = index.url
    return sdist(index.root, "demo", "1.0", script=_ASKS)


@watched()  # nothing else is shared
def test_a_build_is_fetched_by_another_machine_and_another_flag_is_built(lab: Lab, bucket: str, demo: Path) -> None:
    one, two = Machine(lab, "one"), Machine(lab, "two")
    assert one.install() == ("no", "built", [f"put demo-1.0-py3-none-any.whl into the shared store {bucket}"])
    # Every pip looks for a build before it fetches the source.
    for pip in VERSIONS[:-1]:
        machine = Machine(lab, pip, PINSTALL_SHARED_STORE_MODE="read")
        assert machine.install(environment=environment_with_extra(lab, pip))[:2] == ("no", "fetched"), pip
    served, machine = lab.environment(), Machine(lab, "serving")
    done = lab.pinstall(environment_with_extra(lab), "--python", served.python, "demo==1.0", **machine.variables)
    assert ("pinstall: fetched " in done.err, served.installed("demo")) == (True, "1.0 no"), done
    fetched = f"fetched demo-1.0-py3-none-any.whl from the shared store {bucket}, so pip need not build it"
    assert two.install() == ("no", "fetched", [fetched])
    assert two.install()[:2] == ("no", "")
    assert two.install(WITH_GPU="yes")[:2] == ("yes", "built")
    assert one.install(WITH_GPU="yes")[:2] == ("yes", "fetched")
    assert one.install("demo")[:2] == ("no", "")
    # The first call of a machine that pins nothing.
    assert Machine(lab, "three").install("demo", WITH_GPU="yes")[:2] == ("yes", "fetched")


@watched()  # nothing else is shared
def test_a_compiled_build_is_asked_for_until_there_is_one(lab: Lab, proxy: Proxy) -> None:
    lab.compiled_index()
    del lab.environ["build_log"]  # a local path
    one, two = Machine(lab, "one"), Machine(lab, "two")
    assert one.install()[:2] == ("plain", "built")
    assert [method for method, _ in proxy.asked] == ["GET", "PUT", "PUT"]
    assert two.install(CC="cc")[:2] == ("plain", "fetched")
    assert [method for method, _ in proxy.asked[3:]] == ["GET", "GET", "GET"]
    assert one.install()[1] + two.install("demo")[1] == ""
    assert len(proxy.asked) == 6
    assert two.install(CFLAGS=FLAGS_ONE["CFLAGS"])[:2] == ("one", "built")
    assert one.install("demo", CFLAGS=FLAGS_ONE["CFLAGS"])[:2] == ("one", "fetched")


@watched()  # nothing else is shared
def test_the_documented_walk(lab: Lab, s3: str, bucket: str) -> None:
    index = lab.index()
    sdist(index.root, "mpi4py", "4.0.3", script=_ASKS.replace('"_".join(["WITH", "gpu".upper()])', '"MPI4PY_BUILD_MPIABI"'))
    lab.environ["PIP_INDEX_URL"] = index.url
    console = Console(lab, {"our-bucket": bucket.removeprefix("s3://")}, environment_with_extra)
    for section in sections("docs/sharing.md"):
        for block in section.blocks:
            console.run(block)


@watched()  # nothing else is shared
def test_a_pinned_hash_is_that_of_the_source(lab: Lab, folder: Path, demo: Path) -> None:
    digest = hashlib.sha256(demo.read_bytes()).hexdigest()
    (lab.root / "r.txt").write_text(f"demo==1.0 --hash=sha256:{digest}\n")
    assert Machine(lab, "one").install()[:2] == ("no", "built")
    two = Machine(lab, "two")
    assert two.install("-r", "r.txt")[:2] == ("no", "fetched")
    # A record that somebody else's source has got.
    (path,) = folder.rglob("*.json")
    envelope = json.loads(path.read_text())
    path.write_text(json.dumps({**envelope, "record": envelope["record"].replace(digest, "0" * 64)}))
    assert Machine(lab, "three").install("-r", "r.txt")[:2] == ("no", "built")


@watched()  # nothing else is shared
def test_a_reader_with_a_key_takes_what_is_signed_with_it(lab: Lab, folder: Path, demo: Path) -> None:
    unsigned = Machine(lab, "unsigned")
    unsigned.install()
    (lab.root / "key").write_text(f"{_KEY}\n")
    signed = Machine(lab, "signed", PINSTALL_SHARED_STORE_KEY_FILE=str(lab.root / "key"))
    why = "its record is not signed with the key of this machine; to find it, run 'pinstall-cache shared verify'"
    content, way, said = signed.install()
    assert (content, way, said[0].partition(": ")[2]) == ("no", "built", why)
    assert len(list(folder.rglob("*.json"))) == 2
    assert Machine(lab, "same", PINSTALL_SHARED_STORE_KEY=_KEY).install()[1] == "fetched"
    assert Machine(lab, "other", PINSTALL_SHARED_STORE_KEY=_OTHER_KEY, PINSTALL_SHARED_STORE_MODE="").install()[1] == "built"
    for variables in ({"PINSTALL_SHARED_STORE_KEY": "short"}, {"PINSTALL_SHARED_STORE_KEY_FILE": "/nowhere"}):
        _, way, said = Machine(lab, f"none{next(_buckets)}", **variables).install()
        assert way == "built"
        assert " is not used: " in said[0]


def test_no_build_sees_the_key(lab: Lab) -> None:
    index = lab.index()
    script = "import os, pathlib; pathlib.Path('content.txt').write_text(os.environ.get('PINSTALL_SHARED_STORE_KEY', 'no key'))"
    sdist(index.root, "demo", "1.0", script=script)
    assert Machine(lab, "one", PIP_INDEX_URL=index.url, PINSTALL_SHARED_STORE_KEY=_KEY).install().content == "no key"


def _hostile(folder: Path, name: str, content: bytes, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Add a build to a shared folder, like the one that is there, but with the wheel *content* and a changed record."""
    (model,) = (path for path in folder.rglob("*.json") if path.name.startswith("any"))
    document = json.loads(json.loads(model.read_text())["record"])
    document["record"]["wheel"] = hashlib.sha256(content).hexdigest()
    change(document)
    text = json.dumps({"record": json.dumps(document), "hmac": ""})
    (folder / "hostile").mkdir(exist_ok=True)
    (folder / "hostile" / f"{name}.whl").write_bytes(content)
    (folder / "hostile" / f"{name}.json").write_text(text)


def _zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return file.getvalue()


def _fill(folder: Path, lab: Lab) -> int:
    """Fill a shared folder that has one build with hostile ones in its place; return their number."""
    (good,) = folder.rglob("*.whl")
    right = good.read_bytes()
    other = wheel(lab.root / "other", "other", "1.0").read_bytes()
    newer = wheel(lab.root / "other", "demo", "2.0").read_bytes()
    bomb = _zipped(demo=b"\0" * (300 << 20))
    _hostile(folder, "bomb", bomb)
    _hostile(folder, "other", other)
    _hostile(folder, "newer", newer)
    _hostile(folder, "renamed", newer + b"\0", lambda document: document.update(filename="demo-2.0-py3-none-any.whl"))
    _hostile(folder, "path", right + b"1", lambda document: document.update(filename="../../demo-1.0-py3-none-any.whl"))
    _hostile(folder, "key", right + b"2", lambda document: document.update(key="0" * 56))
    _hostile(folder, "format", right + b"3", lambda document: document.update(format=99))
    _hostile(folder, "url", right + b"4", lambda document: document["origin"].update(url="https://example.org/demo-1.0.tar.gz"))
    _hostile(folder, "nothing", b"")
    _hostile(folder, "wrong", right[:-1] + b"\1")
    (folder / "hostile" / "wrong.whl").write_bytes(right[:-1] + b"\2")
    (record,) = (path for path in folder.rglob("*.json") if path.parent == good.parent)
    stem = record.name.partition("-")[0]
    shape = record.stem.partition("-")[2].partition("-")[2]
    hostile = sorted((folder / "hostile").glob("*.json"))
    for path in hostile:
        digest = json.loads(json.loads(path.read_text())["record"])["record"]["wheel"]
        for ending in (".json", ".whl"):
            path.with_suffix(ending).rename(good.parent / f"{stem}-{digest[:16]}-{shape}{ending}")
    garbage = (b"", b"{}", b"[" * 30_000, b"x" * 40_000, b'{"record": "{}", "hmac": 1}', b"\xff\xfe")
    for number, text in enumerate(garbage):
        name = good.parent / f"{stem}-{number:016x}-{shape}"
        name.with_suffix(".json").write_bytes(text)
        name.with_suffix(".whl").write_bytes(right)
    good.unlink()
    record.unlink()
    (good.parent / "README.json").write_text("somebody's")
    return len(hostile) + len(garbage)


@watched()  # nothing else is shared
def test_a_hostile_folder_costs_a_line_and_pip_builds(lab: Lab, folder: Path, demo: Path) -> None:
    Machine(lab, "one").install()
    number = _fill(folder, lab)
    two = Machine(lab, "two", PINSTALL_SHARED_STORE_MODE="read")
    content, way, said = two.install()
    assert (content, way) == ("no", "built")
    assert {line.rpartition(f"{lab.root}/share")[2] for line in said} >= {
        f": its record is damaged, or of another format; {_ADVICE}",
        f": its record belongs to another build; {_ADVICE}",
        ": its hash is not the one that its record states",
        ": it contains other 1.0",
        ": it contains demo 2.0",
        ": its contents cannot be checked within bounds",
    }
    assert [path.name for path in (two.cache / "pinstall" / "unfinished").iterdir()] == []
    assert two.install()[:2] == ("no", "")
    environment = environment_with_extra(lab)
    done = lab.cache_tool(environment, "shared", "verify", **two.variables)
    assert (done.status, done.out.splitlines()[-1]) == (1, f"Builds checked: {number}, {number - 2} bad"), done
    assert (
        lab.cache_tool(environment, "shared", "prune", "--older-than", "1d", **two.variables).out
        == "Builds removed: 0 (0 bytes)\n"
    )
    for path in folder.rglob("*.*"):
        os.utime(path, (0, 0))
    done = lab.cache_tool(environment, "shared", "prune", "--older-than", "1d", **two.variables)
    assert done.out.startswith(f"Builds removed: {number} "), done
    assert [path.name for path in folder.rglob("*.*")] == ["README.json"]


@watched()  # nothing else is shared
def test_what_is_wrong_with_one_build_costs_that_build_alone(lab: Lab, folder: Path, demo: Path) -> None:
    """A record is too large, a file or a link lies where a folder should be, and an object's name cannot be read."""
    sdist(demo.parent, "demo", "1.0", script=_ASKS, extra={"large.txt": "x" * 10_000})  # so that it comes last
    sdist(demo.parent, "blocked", "1.0")
    sdist(demo.parent, "odd", "1.0")
    sdist(demo.parent, "linked", "1.0")
    sdist(demo.parent, "long", "1.0", script="import os; [os.environ.get(str(n) + chr(34) * 400) for n in range(30)]")
    names = ("blocked", "odd", "linked")
    lab.pinstall(environment_with_extra(lab), *(f"{name}==1.0" for name in names), **Machine(lab, "zero").variables)
    texts = {path.parent: path.read_text() for path in folder.rglob("*.json")}
    blocked, odd, linked = (next(place for place in texts if f"{name}-1.0" in texts[place]) for name in names)
    shutil.rmtree(blocked)
    blocked.touch()
    shutil.rmtree(linked)
    (lab.root / "elsewhere").mkdir()
    linked.symlink_to(lab.root / "elsewhere")
    Path(os.fsdecode(bytes(odd) + b"/\xff.json")).touch()
    one = Machine(lab, "one")
    _, _, said = one.install("long==1.0", "blocked==1.0", "odd==1.0", "linked==1.0", "demo==1.0")
    lines = [line.replace(f" the shared store file://{folder}", "").replace("-1.0-py3-none-any.whl", "") for line in said]
    assert sorted(lines) == [
        "blocked could not be put into: a file or folder there cannot be read or written",
        f"ignoring a build of: an object there has an invalid name; {_ADVICE}",
        "linked could not be put into: a folder there is a symbolic link",
        "long could not be put into: the wheel or its record is too large",
        "put demo into",
        "put odd into",
    ]
    assert list((lab.root / "elsewhere").iterdir()) == []
    assert Machine(lab, "two").install()[1] == "fetched"


@watched()  # nothing else is shared
@pytest.mark.slow
def test_a_wheel_that_the_server_finds_too_large_costs_that_build_alone(lab: Lab, proxy: Proxy, demo: Path) -> None:
    sdist(demo.parent, "other", "1.0", extra={"large_other.txt": "x" * 10_000})
    proxy.hook = lambda method, path: Answer(413) if method == "PUT" and path.endswith(".whl") else None
    _, way, said = Machine(lab, "one").install("demo==1.0", "other==1.0")
    assert (way, [line.partition("://")[2].partition(": ")[2] for line in said]) == (
        "built",
        ["it is larger than the server accepts"] * 2,
    )


def _copied(model: Path, top: Path, key: str) -> Path:
    """Copy a build, of which *model* is the record, to another *key* below *top*; return the path of the new record."""
    envelope = json.loads(model.read_text())
    document = {**json.loads(envelope["record"]), "key": key}
    made = top / key[:2] / key[2:4] / key / model.name
    made.parent.mkdir(parents=True)
    made.write_text(json.dumps({**envelope, "record": json.dumps(document)}))
    shutil.copy(model.with_suffix(".whl"), made.with_suffix(".whl"))
    return made


_CANNOT = "a file or folder there cannot be read or written"


def _upkeep(lab: Lab, *words: str) -> tuple[int, list[str], list[str]]:
    """Run ``pinstall-cache shared`` without root's right to read everything; return status, output and warnings."""
    command = [str(environment_with_extra(lab).folder / "bin" / "pinstall-cache"), "shared", *words]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = lab.run(command)
    for line in done.err.splitlines():
        messages.hold(line, messages.TOOLS)
    return done.status, done.out.splitlines(), sorted(done.err.splitlines())


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root reads everything, and there is no setpriv")
def test_the_rest_of_a_folder_is_listed_verified_and_pruned(lab: Lab, folder: Path, demo: Path) -> None:
    """Beside good builds are a folder and a record that cannot be read, links, a folder as a record, and odd names."""
    Machine(lab, "one").install()
    (first,) = folder.rglob("*.json")
    top, elsewhere = folder / "builds-1", lab.root / "elsewhere"
    blocked, unreadable, good, in_the_way = (_copied(first, top, letter * 56) for letter in "abcd")
    linked = _copied(first, elsewhere, "e" * 56)
    killed = first.with_name(f"{first.stem}.whl#1")
    killed.touch()
    for path in lab.root.rglob("*-????????.*"):
        os.utime(path, (0, 0))
    being_written = killed.with_name(f"{first.stem}.whl#2")
    being_written.touch()
    in_the_way.unlink()
    in_the_way.mkdir()
    (top / "ee").symlink_to(elsewhere / "ee")
    (top / "loop").symlink_to(top)
    os.mkfifo(good.parent / "pipe.json")
    Path(os.fsdecode(bytes(good.parent) + b"/\xff.json")).touch()
    unreadable.chmod(0)
    (top / "aa").chmod(0)
    warnings = [
        f"WARNING: skipped {path} of the shared store: {why}"
        for path, why in (
            ("builds-1/aa", "Permission denied"),
            (f"builds-1/cc/cc/{'c' * 56}/pipe.json", "it is not a regular file"),
            (f"builds-1/dd/dd/{'d' * 56}/{in_the_way.name}", "it is a folder"),
            ("builds-1/ee", "it is a symbolic link"),
            ("builds-1/loop", "it is a symbolic link"),
        )
    ]
    try:
        status, out, err = _upkeep(lab, "list")
        assert (status, err) == (1, warnings)
        assert [line.split()[4] for line in out[:-1]].count("demo-1.0-py3-none-any.whl") == 2, out
        assert out[-1].startswith(f"Builds in file://{folder}: 4 ")
        status, out, err = _upkeep(lab, "verify")
        assert (status, err, out[-1]) == (1, warnings, "Builds checked: 4, 2 bad")
        assert sorted(line.rpartition(": ")[2] for line in out[:-1]) == [_CANNOT, "its upload was interrupted"]
        good.parent.chmod(0o500)
        status, out, err = _upkeep(lab, "prune", "--older-than", "1d")
        denied = f"WARNING: not removed: {good.relative_to(folder)} of the shared store: access was denied"
        assert (status, err) == (1, sorted([*warnings, denied]))
        assert out[0].startswith("Builds removed: 3 ")
    finally:
        good.parent.chmod(0o700)
        (top / "aa").chmod(0o700)
    assert blocked.exists()
    assert linked.exists()
    # Without its record a wheel is of no use, and not the other way round.
    assert good.exists()
    assert good.with_suffix(".whl").exists()
    assert not unreadable.exists()
    assert (killed.exists(), being_written.exists()) == (False, True)


def test_the_rest_of_a_bucket_is_listed_and_verified(lab: Lab, proxy: Proxy, s3: str, bucket: str, demo: Path) -> None:
    """Beside good builds are names that the library refuses, an object that cannot be read, and one that vanishes meanwhile."""
    lab.environ["PINSTALL_SHARED_STORE"] = f"file://{lab.root / 'share'}"
    Machine(lab, "one").install()
    (first,) = (lab.root / "share").rglob("*.json")
    top = lab.root / "copies" / "builds-1"
    copies = [_copied(first, top, letter * 56) for letter in "abcdef"]
    denied, broken, vanished = (path.relative_to(top.parent) for path in copies[1:4])
    odd = ("odd/builds-1//x", f"odd/builds-1/ff/ff/{'f' * 56}/./x")
    good = {str(path.relative_to(top.parent)): path.read_bytes() for path in top.rglob("*.*")}
    objects = {**{f"{prefix}/{path}": good[path] for path in good for prefix in ("odd", "plain")}, **dict.fromkeys(odd, b"")}
    for path, content in objects.items():
        kind, place = {"content-type": "application/octet-stream"}, f"{s3}/{bucket.removeprefix('s3://')}/{path}"
        urllib.request.urlopen(urllib.request.Request(place, content, kind, method="PUT")).close()
    failures = {str(denied): 403, str(broken): 500, str(vanished.with_suffix("")): 404}

    def hook(method: str, path: str) -> Answer | None:
        return next((Answer(status) for name, status in failures.items() if method == "GET" and name in path), None)

    proxy.hook = hook
    environment = environment_with_extra(lab)
    done = lab.cache_tool(environment, "shared", "verify", PINSTALL_SHARED_STORE=f"{bucket}/odd")
    assert (done.status, done.out.splitlines()[-1]) == (1, "Builds checked: 4, 2 bad"), done
    assert sorted(done.err.splitlines()) == [
        f"WARNING: skipped {path} of the shared store: an object there has an invalid name"
        for path in ("builds-1/", f"builds-1/ff/ff/{'f' * 56}/")
    ]
    proxy.hook = lambda _, path: Answer(500) if path.endswith(".json") else None
    done = lab.cache_tool(environment, "shared", "list", PINSTALL_SHARED_STORE=f"{bucket}/plain")
    assert (done.status, done.err.splitlines()[-1].partition(": ")[0]) == (1, "ERROR"), done
    assert len(done.out.splitlines()) == 2


_LISTING = """<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>{}</ListBucketResult>"""
_OBJECT = """<Contents><Key>wheels/builds-1/{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>
<ETag>"x"</ETag><Size>9</Size></Contents>"""


def _endless(method: str, path: str) -> Answer | None:
    """Answer with a page of a listing that never ends, of builds that nobody has."""
    if method != "GET":
        return None
    names = (f"{path.count('x')}{number:08}-{number:016x}-{number:016x}-{number:08x}.json" for number in range(1000))
    return Answer(200, _LISTING.format(time.monotonic_ns(), "".join(map(_OBJECT.format, names))).encode())


def _hanging(_method: str, _path: str) -> Answer:
    time.sleep(3)
    return Answer(500)


_FIRST = ("forbidden", "hanging", "cut")
_FAILURES: dict[str, Callable[[str, str], Answer | None]] = {
    "forbidden": lambda *_: Answer(403),
    "full": lambda method, _: Answer(507) if method == "PUT" else None,
    "broken": lambda *_: Answer(500),
    "garbage": lambda *_: Answer(200, b"\0<html>" * 1000),
    "redirects": lambda _, path: Answer(302, headers=(("location", path + "x"),)),
    "endless": _endless,
    "hanging": _hanging,
    "cut": lambda method, path: Answer(200, b"PK", cut=5000) if method == "GET" and path.endswith(".whl") else None,
}


# Its metadata needs no build, so that its build does not end before that of another project.
_LATER = """
import os, pathlib, sys, time
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    folder = pathlib.Path(directory, "later-1.0.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: later\\nVersion: 1.0\\n")
    return folder.name
if sys.argv[1:2] == ["build_wheel"]:
    open(os.environ["STARTED"], "w").close()
    time.sleep(100)
"""


@pytest.mark.parametrize("moment", ["GET", pytest.param("PUT", marks=watched()), "build"])
def test_ctrl_c_does_not_wait_for_the_store(lab: Lab, proxy: Proxy, demo: Path, moment: str) -> None:
    """During a fetch or a build pip is cancelled, and nothing is uploaded. During an upload pip's status is known."""
    asked, over = threading.Event(), threading.Event()

    def hang(method: str, _path: str) -> Answer | None:
        if method in (moment, "PUT"):
            asked.set()
            over.wait(100)
        return None

    proxy.hook = hang
    sdist(demo.parent, "later", "1.0", script=_LATER)
    words = ["demo==1.0", *(["later==1.0"] if moment == "build" else [])]
    environment, started = environment_with_extra(lab), lab.root / "started"
    machine = Machine(lab, "one", PINSTALL_SHARED_STORE_TIMEOUT="90", STARTED=str(started))
    terminal = Terminal(lab, [environment.pinstall, *words], **machine.variables)
    begun = time.monotonic()
    while not (asked.is_set() or started.exists()):
        assert time.monotonic() - begun < 100
        time.sleep(0.01)
    terminal.press(CTRL_C)
    try:
        ended = terminal.ended()
    finally:
        over.set()
    status, installed = (0, "1.0 no") if moment == "PUT" else (1, "")
    assert ended.end == f"status {status}, terminal restored"
    assert (asked.is_set(), environment.installed("demo")) == (moment != "build", installed)
    assert ("Operation cancelled by user" in ended.out, "Traceback" in ended.out) == (moment != "PUT", False)
    assert "pinstall: " not in ended.out


def test_a_signal_that_does_not_wake_the_wait_is_noticed(tmp_path: Path) -> None:
    """It is one that comes just before the wait begins, or to another thread: here to that of the question."""
    over = threading.Event()

    def question() -> bool:
        time.sleep(1)  # until the other thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return over.wait(100)

    remote = Remote(tmp_path.as_uri(), 200)
    with pytest.raises(KeyboardInterrupt):
        remote.within_timeout(question)
    over.set()


def _marks(failure: str) -> list[pytest.MarkDecorator]:
    uploads = [watched()] if failure in ("cut", "full") else []
    return uploads if failure in _FIRST else [*uploads, pytest.mark.slow]


@pytest.mark.parametrize("failure", [pytest.param(name, marks=_marks(name)) for name in _FAILURES])
def test_a_server_that_fails_costs_a_line_and_pip_builds(lab: Lab, proxy: Proxy, demo: Path, failure: str) -> None:
    if failure == "cut":
        Machine(lab, "before").install()
    proxy.hook = _FAILURES[failure]
    machine = Machine(lab, "one", PINSTALL_SHARED_STORE_TIMEOUT="1")
    begun = time.monotonic()
    content, way, said = machine.install()
    assert (content, way) == ("no", "built")
    lost = [line for line in said if "is not used: " in line]
    assert len(lost) == (failure != "endless"), said
    assert all("127.0.0.1" not in line for line in said)
    if failure in ("hanging", "endless"):
        assert time.monotonic() - begun < 30
        assert len(proxy.asked) < 10


def test_without_the_library_or_the_server_pip_builds(lab: Lab, bucket: str, demo: Path) -> None:
    environment = lab.environment()
    _, way, said = Machine(lab, "one").install(environment=environment)
    assert (way, f"install 'pip-pinstall[shared]' into {environment.folder};" in said[0]) == ("built", True), said
    for number, url in enumerate(["nothing", "https://127.0.0.1:9/x", "file:///proc/x"]):
        content, way, said = Machine(lab, f"bad{number}", PINSTALL_SHARED_STORE=url).install()
        assert (content, way) == ("no", "built")
        assert " is not used: " in said[0], (url, said)


# What happens before the upload, and why the store cannot be opened for it.
_UNOPENED = {
    "key": ("", "the signing key in PINSTALL_SHARED_STORE_KEY has fewer than 16 characters"),
    "time": ("prepared.shared.waited_in_vain = 99", "its answers took more than 10 s in all (PINSTALL_SHARED_STORE_TIMEOUT)"),
}


@watched()  # nothing else is shared
@pytest.mark.parametrize("case", _UNOPENED)
def test_a_store_that_cannot_be_opened_for_an_upload_costs_a_line(lab: Lab, folder: Path, demo: Path, case: str) -> None:
    """pip has not asked for a build, as on Windows, or the one that it was offered took all the time and did not fit."""
    before, why = _UNOPENED[case]
    environment = environment_with_extra(lab)
    code = f"def supply(prepared, *_): {before or 'pass'}\nimport pinstall.shared_store.reading as r; r.supply = supply"
    (environment.site / "supply.pth").write_text(f"import sys; exec({code!r})\n")
    machine = Machine(lab, "one", **({"PINSTALL_SHARED_STORE_KEY": "short"} if case == "key" else {}))
    content, way, said = machine.install(environment=environment)
    line = f"the shared store {folder.as_uri()} is not used: {why}; demo-1.0-py3-none-any.whl stays on this machine"
    assert (content, way, said) == ("no", "built", [line])
    assert list(machine.cache.glob("pinstall/statistics")), "the steps after the upload were taken"


@watched()  # nothing else is shared
def test_what_stays_on_its_machine(lab: Lab, folder: Path, demo: Path) -> None:
    """Builds with secrets or local paths, of local sources, or that nobody watched."""
    secret = "import os; os.environ.get('DEMO_TOKEN'); "
    home = "import os; os.path.exists(os.path.expanduser('~/.demo')); "
    sdist(demo.parent, "demo", "2.0", script=secret)
    sdist(demo.parent, "demo", "3.0", script=home)
    sdist(lab.root / "local", "demo", "4.0")
    cases: tuple[tuple[tuple[str], dict[str, str], str], ...] = (
        (("demo==2.0",), {}, "its build asked for a variable that is named like a secret"),
        (("demo==3.0",), {}, "it depends on local paths"),
        (("local/demo-4.0.tar.gz",), {}, "its source is local"),
        (("demo==1.0",), {"PINSTALL_WATCH_BUILDS": "0"}, "pinstall did not watch its build"),
        (("demo==1.0",), {"WITH_GPU": f"-L{lab.root}/lib"}, "it depends on local paths"),
    )
    for words, variables, why in cases:
        machine = Machine(lab, f"machine{next(_buckets)}", **variables)
        (Path(machine.variables["HOME"]) / ".demo").touch()
        _, way, said = machine.install("-v", *words)
        assert (way, [line.partition(".whl ")[2] for line in said]) == (
            "built",
            [f"is not put into the shared store file://{folder}: {why}"],
        ), words
    assert not list(folder.rglob("*.*"))
    # Reading is the default.
    assert Machine(lab, "two", PINSTALL_SHARED_STORE_MODE="").install()[2] == []


def test_nothing_is_loaded_before_something_would_be_built(lab: Lab, folder: Path, demo: Path) -> None:
    one = Machine(lab, "one")
    environment = environment_with_extra(lab)
    one.install(environment=environment)
    loads = [environment.python, "-X", "importtime", "-m", "pinstall", "demo==1.0"]
    assert "shared_store.session" not in lab.run(loads, **one.variables).err
    # Fetched and built wheels are in the store: another environment asks nobody.
    other = environment_with_extra(lab)
    done = lab.run([other.python, *loads[1:]], **one.variables)
    assert done.status == 0
    assert ("pinstall.shared_store.session" in done.err, "obstore" in done.err) == (True, False)
    del lab.environ["PINSTALL_SHARED_STORE"]
    assert "shared_store" not in lab.run([environment_with_extra(lab).python, *loads[1:]], **one.variables).err


@watched()  # nothing else is shared
def test_half_of_a_build_is_none(lab: Lab, folder: Path, demo: Path) -> None:
    one, two = Machine(lab, "one"), Machine(lab, "two", PINSTALL_SHARED_STORE_MODE="read")
    one.install()
    (record,) = folder.rglob("*.json")
    text = record.read_bytes()
    record.unlink()
    assert two.install()[1] == "built"
    record.write_bytes(text)
    (whl,) = folder.rglob("*.whl")
    whl.unlink()
    assert Machine(lab, "three").install()[1] == "built"


@watched()  # nothing else is shared
@pytest.mark.slow
@pytest.mark.parametrize("step", range(5))
def test_a_machine_that_dies_in_between_harms_nobody(lab: Lab, proxy: Proxy, demo: Path, step: int) -> None:
    """It is killed at a request: the listing, the record, the wheel; the wheel's and the record's upload."""
    writes = step > 2
    dying, other = Machine(lab, "dying"), Machine(lab, "other")
    if not writes:
        Machine(lab, "before").install()
    environment = environment_with_extra(lab)
    environ = {**lab.environ, **dying.variables}
    process = subprocess.Popen(
        [environment.pinstall, "demo==1.0"], cwd=lab.root, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    asked = iter(range(100))

    def kill(method: str, _path: str) -> None:
        if (method == "PUT") == writes and next(asked) == (step - 3 if writes else step):
            process.kill()
            process.wait()

    proxy.hook = kill
    process.wait(60)
    assert process.returncode == -9
    proxy.hook = lambda *_: None
    content, way, _ = other.install()
    # At the record's upload the wheel is there, and the server may have got the record before it noticed the death.
    assert (content, way in ({3: ("built",), 4: ("built", "fetched")}.get(step) or ("fetched",))) == ("no", True)
    assert dying.install()[0] == "no"
    lab.pinstall(lab.environment(), "demo==1.0", **dying.variables)
    assert list((dying.cache / "pinstall" / "unfinished").iterdir()) == []


@pytest.mark.slow
def test_writers_and_readers_at_once(lab: Lab, bucket: str, demo: Path) -> None:
    """Two writers and two readers, with three flags: each gets the build of its own flag."""
    environments = [environment_with_extra(lab) for _ in range(4)]
    wrong, ways = [], {"built": 0, "fetched": 0, "": 0}
    for round_ in range(_ROUNDS):
        running = []
        for number, environment in enumerate(environments):
            mode = "readwrite" if number < 2 else "read"
            flag = f"{round_ // 3}-{(round_ + number) % 3}"
            machine = Machine(lab, f"{round_}-{number}", PINSTALL_SHARED_STORE_MODE=mode, WITH_GPU=flag)
            command = [environment.pinstall, "--force-reinstall", "demo==1.0"]
            environ = {**lab.environ, **machine.variables}
            pipe = subprocess.PIPE
            running.append((flag, environment, subprocess.Popen(command, cwd=lab.root, env=environ, stdout=pipe, stderr=pipe)))
        for flag, environment, process in running:
            out, err = process.communicate(timeout=120)
            ways["fetched" if b"pinstall: fetched" in err else "built" if b"Building wheel" in out else ""] += 1
            if process.returncode or environment.installed("demo") != f"1.0 {flag}":
                wrong.append((round_, flag, environment.installed("demo"), err))
    assert wrong == []
    assert not ways[""]
    print(f"{_ROUNDS} rounds: {ways}")


@watched()  # nothing else is shared
def test_a_webdav_server_keeps_builds_as_well(lab: Lab, demo: Path) -> None:
    """Its URL has credentials, and a folder that is not there yet; another folder cannot be listed."""
    (lab.root / "dav").mkdir()
    with webdav(lab.root / "dav") as url:
        machines = [Machine(lab, name, PINSTALL_SHARED_STORE=f"{url}/team%20a/builds") for name in ("one", "two")]
        (one, two), place = machines, f"http://{url.rpartition('@')[2]}"
        assert one.install() == ("no", "built", [f"put demo-1.0-py3-none-any.whl into the shared store {place}"])
        assert two.install()[:2] == ("no", "fetched")
        assert two.install(WITH_GPU="yes")[:2] == ("yes", "built")
        assert one.install(WITH_GPU="yes")[:2] == ("yes", "fetched")
        top = lab.root / "dav" / "team a" / "builds" / "builds-1"
        half, remote = "builds-1/half.whl", Remote(f"{url}/team%20a/builds", 10, writes=True)
        (top / "half.whl").write_bytes(b"ha")  # a killed machine has sent this
        assert (remote.create(half, b"half"), remote.create(half, b"half"), remote.read(half, 9)) == (True, False, b"half")
        remote.delete([half])
        odd = _copied(next(top.rglob("*.json")), top, "0" * 56)
        Path(os.fsdecode(bytes(odd.parent) + b"/\xff")).touch()
        environment = environment_with_extra(lab)
        done = lab.cache_tool(environment, "shared", "verify", **one.variables)
        assert (done.status, done.out) == (1, "Builds checked: 2, 0 bad\n"), done
        assert f"WARNING: skipped builds-1/00/00/{'0' * 56}/ of the shared store: " in done.err
        for path in top.rglob("*.*"):
            os.utime(path, (0, 0))
        done = lab.cache_tool(environment, "shared", "prune", "--older-than", "1d", **one.variables)
        assert done.out.startswith("Builds removed: 2 "), done
        assert [path.parent for path in top.rglob("*.*")] == [odd.parent] * 2


@watched()  # nothing else is shared
@pytest.mark.slow
def test_azurite_keeps_builds_as_well(lab: Lab, demo: Path) -> None:
    """Not installed by scripts/environment, because it is a program of npm with 374 packages."""
    if not _AZURITE:
        pytest.skip(
            "there is no azurite-blob: npm install --prefix FOLDER azurite, and name its program in PINSTALL_TEST_AZURITE"
        )
    (lab.root / "azurite").mkdir()
    with azurite(_AZURITE, lab.root / "azurite") as variables:
        one, two = Machine(lab, "one", **variables), Machine(lab, "two", **variables)
        assert one.install()[:2] == ("no", "built")
        assert two.install()[:2] == ("no", "fetched")
        assert two.install(WITH_GPU="yes")[:2] == ("yes", "built")
        assert one.install(WITH_GPU="yes")[:2] == ("yes", "fetched")
        done = lab.cache_tool(environment_with_extra(lab), "shared", "verify", **one.variables)
        assert (done.status, done.out) == (0, "Builds checked: 2, 0 bad\n")


def test_a_record_from_elsewhere_starts_no_program(tmp_path: Path) -> None:
    """Its answer was the same; but the file differs, and nobody here has asked for it."""
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\nprintf x > {tmp_path}/started\necho 1.0\n")
    tool.chmod(0o755)
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    said = build_questions._said(str(tool), ("--version",), environ)
    (tmp_path / "started").unlink()
    for subject in ("tool", str(tool)):
        asked = Question("program", subject, ".", "0" * 32, str(tool), "", {"--version": said})
        assert build_questions.Machine(environ, starts_programs=False).differs(asked)
        assert not (tmp_path / "started").exists()
        assert not build_questions.Machine(environ).differs(asked)
        (tmp_path / "started").unlink()


def test_a_fetched_record_gets_the_stamps_of_this_machine(tmp_path: Path) -> None:
    header = tmp_path / "demo.h"
    header.write_text("one")
    machine = build_questions.Machine({"PATH": "", "HOME": "/nowhere"})
    asked = machine.answered("file", str(header), ".")
    assert asked
    elsewhere = asked._replace(stamp="", path="/elsewhere/demo.h")
    assert machine.stamped(elsewhere) == asked
    header.write_text("two")
    assert machine.stamped(elsewhere) == elsewhere
    assert machine.differs(elsewhere)


def test_a_question_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    remote = Remote(f"file://{tmp_path}", 30)
    remote.allow(0.2)
    never = threading.Event()
    with pytest.raises(RemoteError, match=r"no answer within 0\.2 s"):
        remote.within_timeout(never.wait)


def test_a_folder_is_made_only_by_who_may_write(lab: Lab, demo: Path) -> None:
    """It may be a mount that is not there yet."""
    folder = lab.root / "not-mounted"
    reader = Machine(lab, "reader", PINSTALL_SHARED_STORE=f"file://{folder}", PINSTALL_SHARED_STORE_MODE="read")
    content, way, said = reader.install()
    assert (content, way) == ("no", "built")
    assert ["there is no such bucket or object" in line for line in said] == [True]
    assert not folder.exists()
    Machine(lab, "writer", PINSTALL_SHARED_STORE=f"file://{folder}").install()
    assert folder.exists()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket/a/b?x=secret", "s3://bucket"),
        ("https://user:secret@example.org:8443/dav?sig=secret", "https://example.org:8443"),
        ("file:///mnt/share", "file:///mnt/share"),
        ("az://container/x#secret", "az://container"),
    ],
)
def test_a_place_has_no_secrets(url: str, place: str) -> None:
    assert settings.SharedStoreSettings(url).location == place


def test_the_settings() -> None:
    names = {
        "PINSTALL_SHARED_STORE": " s3://b/p ",
        "PINSTALL_SHARED_STORE_MODE": "write",
        "PINSTALL_SHARED_STORE_TIMEOUT": "-1",
    }
    found = settings.read(names)
    assert found.shared_store == ("s3://b/p", False, "", "", 10.0)
    assert [invalid.name for invalid in found.invalid] == list(names)[1:]
    assert settings.read({"PINSTALL_SHARED_STORE": " "}).shared_store is None
    assert documents.signing_key(settings.SharedStoreSettings("s3://b", key=f"{_KEY}\n")) == _KEY.encode()


def test_objects_that_are_not_ours_are_left_alone() -> None:
    names = [
        f"builds-1/aa/bb/{'a' * 56}/any00000-{'1' * 16}-{'2' * 16}-{'0' * 8}{end}" for end in (".json", ".whl", ".txt", "")
    ]
    objects = [RemoteObject(path, 1, 0.0) for path in (*names, "README", "builds-1/x.json", "../" + names[0])]
    (build,) = layout.paired(objects).values()
    assert (build.name, build.record, build.wheel) == (names[3], objects[0], objects[1])
