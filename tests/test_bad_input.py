"""Bad input: never a traceback, never a refusal to install, never a change outside the cache."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from tests.lab import flip
from tests.packages import extension, sdist, wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.index import Index
    from tests.lab import Environment, Lab, Result


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "within").touch()


def _link(path: Path) -> None:
    elsewhere = path.parents[8] / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    path.rename(elsewhere / path.name)
    flip(elsewhere / path.name)
    path.symlink_to(elsewhere / path.name)


def _victim(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parents[len(path.parts) - 1 - path.parts.index("cache")] / "victim")


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as bound, contextlib.chdir(path.parent):  # its address may have 108 bytes
        bound.bind(path.name)


def _endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00garbage" * 9)


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _install(lab: Lab, index: Index, *words: str) -> Result:
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", "built==1.0", *words)
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 1.0"
    assert environment.installed("built") == "1.0 1.0"
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    return done


def _fill(lab: Lab, index: Index) -> None:
    wheel(index.root, "demo", "1.0", padding=20_000)
    sdist(index.root, "built", "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0", "built==1.0")


def _fill_by_both(lab: Lab, index: Index) -> None:
    _fill(lab, index)
    _install(lab, index)


def _seed(lab: Lab, fill: Callable[[Lab, Index], None] = _fill) -> Index:
    (lab.root / "victim").write_text("precious")
    return lab.seeded(fill)


@pytest.mark.parametrize("harm", [_folder, _link, _dangling, _fifo, _endless, _garbage, _nothing], ids=lambda f: f.__name__[1:])
@pytest.mark.parametrize("which", [("body", "wheel"), ("head", "origin"), ("page",)], ids=" and ".join)
def test_things_that_should_not_be_in_a_cache(lab: Lab, which: tuple[str, ...], harm: Callable[[Path], None]) -> None:
    index = _seed(lab)
    body = next(p for p in lab.bodies() if p.read_bytes()[:2] == b"PK")
    (built,) = lab.wheels()
    page = next(p for p in lab.pages() if b"demo" in p.read_bytes())
    parts = {
        "body": body,
        "head": body.with_name(body.stem),
        "page": page,
        "wheel": built,
        "origin": built.with_name("origin.json"),
    }
    for part in which:
        harm(parts[part])
    elsewhere = _tree(lab.root / "elsewhere")
    _install(lab, index)
    assert _tree(lab.root / "elsewhere") == elsewhere


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_thing_that_cannot_go_is_hidden_for_its_own_reason_and_costs_itself(lab: Lab) -> None:
    index = lab.index()
    for number, name in enumerate(("linked", "fifo", "flipped", "sound")):
        wheel(index.root, name, "1.0", padding=20_000 + number)
    pins = [f"{name}==1.0" for name in ("linked", "fifo", "flipped", "sound")]
    lab.pip(lab.environment(), "-i", index.url, *pins)
    bodies = {len(body.read_bytes()): body for body in lab.bodies()}
    linked, fifo, flipped, sound = (bodies[(index.root / f"{pin[:-5]}-1.0-py3-none-any.whl").stat().st_size] for pin in pins)
    before = sound.read_bytes()
    _fifo(fifo)
    for body in (linked, flipped):
        flip(body)
    linked.parent.rename(lab.root / "elsewhere")
    linked.parent.symlink_to(lab.root / "elsewhere")
    index.forget()
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, *pins)
    assert [environment.installed(pin[:-5]) for pin in pins] == ["1.0 1.0"] * 4, done
    said = {line.removeprefix("hiding ").split("-1.0")[0]: line for line in done.said}
    assert said["removed flipped"].startswith("removed flipped-1.0-py3-none-any.whl from pip's cache: its hash is sha256:")
    assert said["fifo"].endswith(f": its file {fifo} could not be checked (it is not a regular file); for fifo==1.0 (argument)")
    assert said["linked"].endswith(
        f"its file {linked} is reached through a symbolic link, which pinstall does not follow; replace that link with a "
        "folder; for linked==1.0 (argument)"
    )
    assert sorted(index.fetched) == [f"{name}-1.0-py3-none-any.whl" for name in ("fifo", "flipped", "linked")]
    assert sound.read_bytes() == before


@pytest.mark.parametrize("part", ["http-v2", "wheels", "pinstall", "."])
def test_a_part_of_the_cache_that_is_a_link(lab: Lab, part: str) -> None:
    index = _seed(lab, _fill_by_both)
    for body in lab.bodies():
        flip(body)
    real = lab.root / "moved"
    (lab.cache / part).rename(real)
    (lab.cache / part if part != "." else lab.cache).symlink_to(real)
    before = _tree(real)
    _install(lab, index)
    if part in ("http-v2", "pinstall"):
        assert _tree(real) == before


def test_odd_names_in_the_wheel_cache(lab: Lab) -> None:
    index = _seed(lab)
    (built,) = lab.wheels()
    folder = os.fsencode(built.parent)
    for name in (
        b"\xff\xfe.whl",
        b"built-\n-py3-none-any.whl",
        b"built-1.0-py3-none-any.whl.tmp",
        b"built.whl",
        b"-.whl",
        b"tmpx",
    ):
        with open(os.path.join(folder, name), "wb"):
            pass
    assert _install(lab, index).said == []


_NO_WHEELS = ("x.whl", "six.whl", "six-1.0.whl", "demo-0.18-py36+-none-any.whl", "built-1.0--none-any.whl", ".whl")


def test_odd_names_in_the_wheel_cache_of_a_call_that_may_build(lab: Lab) -> None:
    """Where the call sets what shapes builds, pip is kept from building under keys that hold nothing that it could use."""
    index = _seed(lab)
    (built,) = lab.wheels()
    alone = lab.cache / "wheels" / "12" / "34" / "56" / ("7" * 50)
    alone.mkdir(parents=True)
    for name in _NO_WHEELS:
        for folder in (built.parent, alone):
            (folder / name).write_bytes(b"")
    for page in lab.pages():
        page.unlink()  # the keys of built wheels are not known then, and all are walked
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", "built==1.0", CFLAGS="-O3")
    assert (done.status, environment.installed("built")) == (0, "1.0 1.0"), done
    assert done.said == []
    assert all((alone / name).exists() for name in _NO_WHEELS)


# A library that raises what nobody foresaw, in pinstall alone: pip has not been imported there.
_RAISING = """
import sys
class OnPurpose(Exception):
    pass
def raising(module, name, is_meant):
    exec(f"import {module}")
    module = sys.modules[module]
    real = getattr(module, name)
    def wrapper(first, *rest, **named):
        data = first.getvalue() if hasattr(first, "getvalue") else first
        data = data.encode() if isinstance(data, str) else data
        if is_meant(data) and "pip" not in sys.modules:
            raise OnPurpose
        return real(first, *rest, **named)
    setattr(module, name, wrapper)
"""


def _raise_in(environment: Environment, module: str, function: str, condition: str) -> None:
    """Have *function* of *module* raise for data that meet a *condition*."""
    site = next(environment.folder.glob("lib/python*/site-packages"))
    (site / "raising.py").write_text(_RAISING)
    (site / "raising.pth").write_text(f"import raising; raising.raising({module!r}, {function!r}, lambda data: {condition})\n")


@pytest.mark.parametrize(
    ("module", "function", "condition", "what"),
    [
        ("csv", "reader", "b'odd.py' in data", "odd-1.0-py3-none-any.whl"),
        ("json", "loads", "b'odd-1.0' in data", "the index page of odd"),
        ("msgpack", "unpackb", "b'x-odd' in data", "odd-1.0-py3-none-any.whl"),
    ],
)
def test_whatever_a_library_raises_costs_the_one_entry(lab: Lab, module: str, function: str, condition: str, what: str) -> None:
    index = lab.index()
    index.hashes = ()
    wheel(index.root, "demo", "1.0", padding=20_000)
    wheel(index.root, "odd", "1.0")
    words = ("-i", index.url, "odd==1.0", "demo==1.0")
    lab.pip(lab.environment(), *words)
    (odd,) = (body for body in lab.bodies() if b"odd.py" in body.read_bytes())
    head = odd.with_name(odd.stem)
    head.write_bytes(
        head.read_bytes().replace(b"\xacContent-Type", b"\xa5x-odd\xa0\xacContent-Type").replace(b"headers\x85", b"headers\x86")
    )
    before = head.read_bytes()
    for body in set(lab.bodies()) - {odd}:
        flip(body)
    index.forget()
    environment = lab.environment()
    lab.cold = True  # a warm process would have loaded the function already
    _raise_in(environment, module, function, condition)
    done = lab.pinstall(environment, *words)
    assert done.status == 0, done
    assert [environment.installed(name) for name in ("odd", "demo")] == ["1.0 1.0"] * 2
    (hidden,) = [line for line in done.said if "demo" not in line]
    assert hidden.startswith(f"hiding {what} from pip for this run: its file {lab.cache}/"), hidden
    assert hidden.endswith(" could not be checked (OnPurpose); for odd==1.0 (argument)"), hidden
    assert odd.exists()
    head.write_bytes(before)  # pip has fetched the file again, and has replaced what it did not see
    done = lab.cache_tool(environment, "verify")
    assert "unreadable" in done.out, done


@pytest.mark.skipif(not shutil.which("gcc"), reason="it compiles")
def test_whatever_a_library_raises_costs_the_one_built_wheel(lab: Lab) -> None:
    index = lab.index()
    extension(index.root, "odd", "1.0")
    sdist(index.root, "demo", "1.0")
    words = ("-i", index.url, "odd==1.0", "demo==1.0")
    lab.pip(lab.environment(), *words)
    index.forget()
    lab.cold = True
    for _ in range(2):
        environment = lab.environment()
        _raise_in(environment, "elftools.elf.elffile", "ELFFile", "b'PyInit_odd' in data")
        done = lab.pinstall(environment, *words)
        assert (done.status, index.fetched) == (0, []), done
        assert [environment.installed(name) for name in ("odd", "demo")] == ["1.0 plain", "1.0 1.0"]
        (line,) = done.said
        assert line.startswith("hiding odd-1.0-"), line
        assert line.endswith(".whl could not be checked (OnPurpose); for odd==1.0 (argument)"), line
    assert sorted(path.name.partition("-")[0] for path in lab.wheels()) == ["demo", "odd"]


def test_a_cache_that_is_a_file(lab: Lab) -> None:
    index = _seed(lab)
    shutil.rmtree(lab.cache)
    lab.cache.touch()
    _install(lab, index)


def test_a_cache_that_is_not_there(lab: Lab) -> None:
    index = _seed(lab)
    shutil.rmtree(lab.cache)
    assert _install(lab, index).said == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "proofs": [], "given": {}}', "\x00", "[" * 100_000]
)
def test_a_damaged_ledger_is_only_a_lost_memory(lab: Lab, text: str) -> None:
    index = _seed(lab, _fill_by_both)
    for ledger in (lab.cache / "pinstall" / "ledger").iterdir():
        ledger.write_text(text)
    for body in lab.bodies():
        flip(body)
    assert [line.split()[0] for line in _install(lab, index).said] == ["removed", "removed"]


def test_a_foreign_cache_under_sudo_is_left_alone(lab: Lab) -> None:
    """pip disables a cache that root does not own (``utils/filesystem.check_path_owner``)."""
    if os.geteuid() != 0:
        pytest.skip("needs to give files away")
    index = _seed(lab)
    for body in lab.bodies():
        flip(body)
    os.chown(lab.cache, 65534, -1)
    before = _tree(lab.cache)
    done = _install(lab, index)
    assert done.said == []
    assert _tree(lab.cache) == before


def test_a_password_is_nowhere(lab: Lab) -> None:
    index = lab.index()
    index.user = "user:s3cret"
    wheel(index.root, "demo", "1.0", padding=20_000)
    url = f"{index.base}/files/demo-1.0-py3-none-any.whl".replace("://", "://user:s3cret@")
    lab.pip(lab.environment(), f"demo @ {url}")
    (body,) = lab.bodies()
    flip(body)
    done = lab.pinstall(lab.environment(), f"demo @ {url}")
    assert done.status == 0, done
    assert len(done.said) == 1
    assert "s3cret" not in done.err
    assert not any(b"s3cret" in data for data in _tree(lab.cache / "pinstall").values())


@pytest.mark.parametrize("package", ["packaging", "filelock", "msgpack"])
def test_our_own_failure_does_not_stand_between(lab: Lab, package: str) -> None:
    index = _seed(lab)
    for body in lab.bodies():
        flip(body)
    environment = lab.environment()
    broken = environment.folder / "broken"
    broken.mkdir()
    (broken / f"{package}.py").write_text("raise RuntimeError('https://user:s3cret@host')\n")
    site = next(environment.folder.glob("lib/python*/site-packages"))
    (site / "a.pth").write_text(f"import sys; sys.path.insert(0, {str(broken)!r})\n")
    done = lab.pinstall(environment, "-i", index.url, "demo==1.0", "built==1.0")
    assert done.status == 0, done
    assert environment.installed("demo") == "1.0 1.0"
    assert done.said == [
        "internal error (RuntimeError): running pip with --no-cache-dir; to bypass pinstall, set PINSTALL_POLICY=off",
    ]


_HEADS = [(b"reason", b"reasmn"), (b"body", b"bodx"), (b"response", b"responce"), (b"vary\x80", b"vary\x90")]


@pytest.mark.parametrize(("old", "new"), _HEADS)
@pytest.mark.parametrize("which", ["download", "page"])
def test_a_head_on_which_pip_would_fail(lab: Lab, which: str, old: bytes, new: bytes) -> None:
    index = _seed(lab)
    body = next(p for p in (lab.bodies() if which == "download" else lab.pages()) if b"demo" in p.read_bytes())
    head = body.with_name(body.stem)
    for _ in range(2):  # what pip received in its place, the same bytes under a sound head, does not excuse the next fault
        assert old in head.read_bytes()
        head.write_bytes(head.read_bytes().replace(old, new))
        done = _install(lab, index)
        assert "its stored HTTP headers are invalid (damaged)" in done.said[0]


@pytest.mark.parametrize("part", ["pinstall", "pinstall/calls", "pinstall/store", "pinstall/ledger"])
def test_a_folder_of_ours_that_is_a_link_is_not_followed(lab: Lab, part: str) -> None:
    index = lab.index()
    for version in ("1.0", "2.0"):
        wheel(index.root, "demo", version)
    for version in ("1.0", "2.0"):
        lab.pip(lab.environment(), "-i", index.url, f"demo=={version}")
    victim = lab.root / "victim"
    victim.mkdir()
    for name in ("thesis.txt", "1-0123abcd"):
        (victim / name).write_text("precious")
    (lab.cache / part).parent.mkdir(exist_ok=True)
    (lab.cache / part).symlink_to(victim)
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    assert done.status == 0
    assert sorted(p.name for p in victim.iterdir()) == ["1-0123abcd", "thesis.txt"]


@pytest.mark.parametrize("harm", [_folder, _victim, _fifo, _socket, _endless], ids=lambda f: f.__name__[1:])
@pytest.mark.parametrize("whats", [("lock",), ("ledger/*.json", "store/builds/*/*/*.json")], ids=["lock", "rest"])
def test_things_that_should_not_be_in_our_own_folder(lab: Lab, whats: tuple[str, ...], harm: Callable[[Path], None]) -> None:
    index = _seed(lab, _fill_by_both)
    for body in lab.bodies():
        flip(body)
    for what in whats:
        for path in (lab.cache / "pinstall").glob(what):
            harm(path)
    _install(lab, index)
    assert (lab.root / "victim").read_text() == "precious"
