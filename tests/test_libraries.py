"""The search for the libraries of extension modules has the same results as the dynamic loader's, as ldd reports them."""

from __future__ import annotations

import io
import itertools
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from pinstall.inspection import shared_libraries as proof
from pinstall.inspection.shared_libraries import Libraries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not shutil.which("gcc") or not shutil.which("ldd") or sys.platform != "linux", reason="it compiles for Linux"
)
_LDD = shutil.which("ldd") or ""
_GCC = [shutil.which("gcc") or "", "-shared", "-fPIC", "-nostdlib", "-x", "c", "-"]


def libraries(wheel: io.BytesIO, site_packages: str, path: Sequence[str], environ: Mapping[str, str]) -> Libraries | None:
    """Return the libraries without their paths, which differ between systems."""
    said = proof.libraries(wheel, site_packages, path, environ)
    return said and said._replace(paths={})


def _library(folder: Path, soname: str, *flags: str, needs: Sequence[Path] = ()) -> Path:
    """Compile a shared library that needs the libraries *needs*, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / soname
    # The library has all kinds of segments that gcc writes, and enough bytes to flip.
    source = b"int value = 1; static __thread int own; int answer(void) { return value + own; }"
    names = ["-x", "none", "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *map(str, needs)]
    subprocess.run([*_GCC, "-o", str(path), f"-Wl,-soname,{soname}", *flags, *names], input=source, check=True)
    return path


def _zip(files: Mapping[str, Path | bytes]) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return made


def _judged(site: Path, files: Mapping[str, Path | bytes], **environ: str) -> Libraries:
    """Return the libraries that pinstall finds for a wheel, and assert that ldd finds the same after it is installed."""
    said = libraries(_zip(files), str(site), [str(site)], environ)
    assert said is not None
    found, missing = set(), set()
    for name, content in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    for name in files:
        done = subprocess.run(
            [_LDD, str(site / name)], env={**os.environ, **environ}, capture_output=True, text=True, check=True
        )
        found |= {match[1] for match in re.finditer(r"^\s*(\S+) (?:=> .*)?\(0x", done.stdout, re.MULTILINE)}
        missing |= {match[1] for match in re.finditer(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE)}
    assert set(said.missing) == missing - found
    assert set(said.found) <= found
    assert libraries(_zip(files), str(site), [str(site)], environ) == said, "installed or not, it is the same"
    return said


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site-packages folder whose path contains a symbolic link."""
    real = tmp_path / "environment" / "lib" / "site-packages"
    real.mkdir(parents=True)
    (tmp_path / "environment" / "lib64").symlink_to("lib")
    return tmp_path / "environment" / "lib64" / "site-packages"


def test_a_library_is_missing_after_another_version_replaces_it(tmp_path: Path, site: Path) -> None:
    folder = tmp_path / "opt"
    foo = _library(folder, "libfoo.so.1")
    module = _library(tmp_path, "_x.so", needs=[foo])
    variable = f"/nowhere:{folder}"
    assert _judged(site, {"demo/_x.so": module}, LD_LIBRARY_PATH=variable) == Libraries(("libfoo.so.1",))
    foo.unlink()
    _library(folder, "libfoo.so.2")
    said = Libraries((), ("libfoo.so.1",), renamed=("libfoo.so.1",))
    assert _judged(site, {"demo/_x.so": module}, LD_LIBRARY_PATH=variable) == said


def test_system_libraries_are_found_in_the_loaders_cache_and_folders(tmp_path: Path, site: Path) -> None:
    stubs = [_library(tmp_path / "stubs", name) for name in ("libc.so.6", "libm.so.6", "libstdc++.so.6", "libnope.so.6")]
    said = _judged(site, {"demo.so": _library(tmp_path, "demo.so", needs=stubs)})
    assert said.missing == ("libnope.so.6",)


def test_an_empty_ld_library_path_is_ignored_and_an_empty_item_is_the_current_folder(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foo = _library(tmp_path, "libfoo.so.1")
    module = _library(tmp_path, "_x.so", needs=[foo])
    monkeypatch.chdir(tmp_path)
    assert _judged(site, {"_x.so": module}, LD_LIBRARY_PATH="").missing == ("libfoo.so.1",)
    assert _judged(site, {"_x.so": module}, LD_LIBRARY_PATH=";/nowhere").found == ("libfoo.so.1",)


@pytest.mark.parametrize("dtags", ["--enable-new-dtags", "--disable-new-dtags"], ids=["RUNPATH", "RPATH"])
@pytest.mark.parametrize(
    "rpath",
    [
        "$ORIGIN/../demo.libs",
        "${ORIGIN}/../demo.libs",
        "/nowhere:$ORIGIN/../demo.libs",
        "$ORIGIN/../../site-packages/./demo.libs/",
    ],
)
def test_folders_that_a_library_names_are_searched(tmp_path: Path, site: Path, dtags: str, rpath: str) -> None:
    """The library is bundled by the wheel, or was installed in that folder by another distribution."""
    foo = _library(tmp_path / "build", "libfoo.so.1")
    module = _library(tmp_path, "_x.so", f"-Wl,{dtags},-rpath,{rpath}", needs=[foo])
    assert _judged(site, {"demo/_x.so": module}).missing == ("libfoo.so.1",)
    assert _judged(site, {"demo/_x.so": module, "demo.libs/libfoo.so.1": foo}).found == ("libfoo.so.1",)
    assert _judged(site, {"demo/_x.so": module}).found == ("libfoo.so.1",)


@pytest.mark.parametrize("token", ["$LIB", "${LIB}", "$PLATFORM"])
def test_tokens_in_folders_are_replaced(tmp_path: Path, site: Path, token: str) -> None:
    foo = _library(tmp_path / "build", "libfoo.so.1")
    for name in ("lib", "lib64", f"lib/{sys.implementation._multiarch}", platform.machine(), *proof._PLATFORMS):
        (tmp_path / "opt" / name).mkdir(parents=True)
        shutil.copy(foo, tmp_path / "opt" / name)
    module = _library(tmp_path, "_x.so", f"-Wl,-rpath,{tmp_path}/opt/{token}", needs=[foo])
    assert _judged(site, {"_x.so": module}).found == ("libfoo.so.1",)
    shutil.rmtree(tmp_path / "opt")
    assert _judged(site, {"_x.so": module}).missing == ("libfoo.so.1",)


@pytest.mark.parametrize("lib", proof._LIB)
def test_the_token_lib_stands_for_all_possible_folders(tmp_path: Path, site: Path, lib: str) -> None:
    module = _library(
        tmp_path, "_x.so", f"-Wl,-rpath,{tmp_path}/opt/$LIB", needs=[_library(tmp_path / "opt" / lib, "libfoo.so.1")]
    )
    assert libraries(_zip({"_x.so": module}), str(site), [], {}) == Libraries(("libfoo.so.1",))


def test_origin_is_the_folder_where_the_library_will_be_installed(tmp_path: Path, site: Path) -> None:
    """The folder is outside all packages, as that of conda's libraries is."""
    foo = _library(tmp_path / "environment" / "share", "libfoo.so.1")
    module = _library(tmp_path, "_x.so", "-Wl,-rpath,$ORIGIN/../../../share", needs=[foo])
    for member in ("demo/_x.so", "demo-1.0.data/platlib/demo/_x.so"):
        said = proof.libraries(_zip({member: module}), str(site), [str(site)], {})
        assert said == Libraries(("libfoo.so.1",), (), {"libfoo.so.1": str(foo)})
    assert _judged(site, {"demo/_x.so": module}).missing == ()
    assert _judged(site, {"demo/deep/_x.so": module}).missing == ("libfoo.so.1",)


def _dynamic(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the offset and the tag of each entry of the dynamic section."""
    elf = ELFFile(io.BytesIO(data))
    for segment in elf.iter_segments("PT_DYNAMIC"):
        assert isinstance(segment, DynamicSegment)
        for number, tag in enumerate(segment.iter_tags()):
            yield segment["p_offset"] + 16 * number, tag.entry.d_tag


@pytest.mark.parametrize("also", [True, False])
def test_runpath_overrides_rpath(tmp_path: Path, site: Path, also: bool) -> None:
    foo = _library(tmp_path / "opt", "libfoo.so.1")
    data = bytearray(_library(tmp_path, "nowhere", f"-Wl,--disable-new-dtags,-rpath,{tmp_path}/opt", needs=[foo]).read_bytes())
    if also:  # no linker writes both: the test turns the soname into a RUNPATH
        at = next(at for at, tag in _dynamic(bytes(data)) if tag == "DT_SONAME")
        data[at : at + 8] = struct.pack("<Q", 29)
    said = _judged(site, {"_x.so": bytes(data)})
    assert said == (Libraries((), ("libfoo.so.1",)) if also else Libraries(("libfoo.so.1",)))


def test_runpath_applies_only_to_its_own_file(tmp_path: Path, site: Path) -> None:
    far = _library(tmp_path / "opt", "libfar.so.1")
    near = _library(tmp_path, "libnear.so.1", needs=[far])
    module = _library(tmp_path, "_x.so", f"-Wl,--enable-new-dtags,-rpath,$ORIGIN:{tmp_path}/opt", needs=[near])
    assert _judged(site, {"_x.so": module, "libnear.so.1": near}) == Libraries(("libnear.so.1",), ("libfar.so.1",))


@pytest.mark.parametrize(("at", "value"), [(4, b"\x01"), (18, b"\x28\x00"), (0, b"\x7fELG")], ids=["class", "machine", "none"])
def test_libraries_for_other_machines_are_skipped(tmp_path: Path, site: Path, at: int, value: bytes) -> None:
    foo = _library(tmp_path / "opt", "libfoo.so.1")
    module = _library(tmp_path, "_x.so", needs=[foo])
    data = foo.read_bytes()
    foo.write_bytes(data[:at] + value + data[at + len(value) :])
    shutil.copytree(tmp_path / "opt", site / "other")
    folder = str(tmp_path / "opt")
    said = libraries(_zip({"_x.so": module}), str(site), [str(site)], {"LD_LIBRARY_PATH": folder})
    assert said == Libraries((), ("libfoo.so.1",))
    if at:
        assert _judged(site, {"_x.so": module}, LD_LIBRARY_PATH=folder) == said


def test_fifos_folders_and_unreadable_files_are_skipped(tmp_path: Path, site: Path) -> None:
    foo = _library(tmp_path / "build", "libfoo.so.1")
    module = _library(tmp_path, "_x.so", needs=[foo])
    os.mkfifo(tmp_path / "libfoo.so.1")
    (site / "libfoo.so.1").mkdir()
    (site / "below").mkdir()
    (site / "below" / "libfoo.so.1").symlink_to("/proc/self/mem")  # opens, and cannot be read
    said = libraries(_zip({"_x.so": module}), str(site), [str(site)], {"LD_LIBRARY_PATH": str(tmp_path)})
    assert said == Libraries((), ("libfoo.so.1",))


def test_a_name_with_a_slash_is_a_path(tmp_path: Path, site: Path) -> None:
    foo = _library(tmp_path / "opt", "libfoo.so")
    named = _library(tmp_path / "opt", "named.so", f"-Wl,-soname,{foo}")
    relative = _library(tmp_path / "opt", "relative.so", "-Wl,-soname,opt/libfoo.so")
    module = _library(tmp_path, "_x.so", needs=[named, relative])
    variable = {"LD_LIBRARY_PATH": str(tmp_path)}
    assert libraries(_zip({"_x.so": module}), str(site), [], variable) == Libraries((str(foo),), ("opt/libfoo.so",))
    foo.unlink()
    assert libraries(_zip({"_x.so": module}), str(site), [], {}) == Libraries((), tuple(sorted([str(foo), "opt/libfoo.so"])))


def test_libraries_of_other_distributions_are_found(tmp_path: Path, site: Path) -> None:
    """Extensions of PyTorch need ``libc10.so``, for example, which ``import torch`` loads before them."""
    c10 = _library(tmp_path / "build", "libc10.so")
    module = _library(tmp_path, "_x.so", needs=[c10])
    elsewhere = tmp_path / "elsewhere"

    def said(*path: Path) -> Libraries | None:
        return libraries(_zip({"_x.so": module}), str(site), ["", "/no.zip", *map(str, path)], {})

    for ignored in ("a/b/c/d", "torch-1.0.dist-info"):
        _library(site / ignored, "libc10.so")
    (site / "linked").symlink_to(tmp_path / "build")
    assert said(site, elsewhere) == Libraries((), ("libc10.so",))
    _library(elsewhere / "nvidia" / "cublas" / "lib", "libc10.so")
    assert said(site) == Libraries((), ("libc10.so",))
    assert said(site, elsewhere) == Libraries(("libc10.so",))


def test_the_search_below_the_path_is_bounded(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _library(tmp_path, "_x.so", needs=[_library(site / "torch" / "lib", "libc10.so")])
    monkeypatch.setattr(proof, "_MOST_FOLDERS", 2)
    assert libraries(_zip({"_x.so": module}), str(site), [], {}) == Libraries((), ("libc10.so",))


def test_the_interpreters_libraries_are_found_beside_its_standard_library(tmp_path: Path, site: Path) -> None:
    python = _library(tmp_path / "lib", "libpython3.so.1.0")
    module = _library(tmp_path, "_x.so", needs=[python])
    for path, found in (("lib/python3.99", True), ("other/python3.99", False)):
        said = libraries(_zip({"_x.so": module}), str(site), [str(tmp_path / path)], {})
        assert said is not None
        assert bool(said.found) == found


def test_origin_of_a_library_in_a_data_folder_is_in_site_packages(tmp_path: Path, site: Path) -> None:
    foo = _library(site / "other.libs", "libfoo.so.1")
    module = _library(tmp_path, "_x.so", "-Wl,-rpath,$ORIGIN/../other.libs", needs=[foo])
    assert libraries(_zip({"demo-1.0.data/platlib/demo/_x.so": module}), str(site), [], {}) == Libraries(("libfoo.so.1",))


@pytest.mark.parametrize(
    ("member", "found"),
    [
        ("demo-1.0.data/scripts/tool", True),
        ("demo-1.0.data/data/bin/tool", True),
        ("demo-1.0.data/data/share/bin/tool", False),
        ("demo/bin/tool", False),
    ],
)
def test_programs_need_libraries_too(tmp_path: Path, member: str, *, found: bool) -> None:
    prefix = tmp_path / "prefix"
    site = prefix / "lib" / "python3.99" / "site-packages"
    site.mkdir(parents=True)
    foo = _library(prefix, "libfoo.so.1")
    tool = _library(tmp_path, "tool", "-Wl,-rpath,$ORIGIN/..", needs=[foo])
    said = libraries(_zip({member: tool}), str(site), [], {})
    assert said is not None
    assert (said.found, said.missing) == ((("libfoo.so.1",), ()) if found else ((), ("libfoo.so.1",)))


def test_a_wheel_without_libraries_needs_none_and_does_not_import_elftools(tmp_path: Path) -> None:
    made = tmp_path / "demo.whl"
    made.write_bytes(_zip({"demo.py": b"", "demo.so/x.py": b"", "demo_so": b"\x7fELF"}).getvalue())
    code = (
        "import sys; from pinstall.inspection.shared_libraries import libraries;"
        "print(*libraries(open(sys.argv[1], 'rb'), '', [], {})[:2], 'elftools' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(made)], capture_output=True, text=True, check=True)
    assert done.stdout == "() () False\n"


def test_a_library_without_needs(tmp_path: Path, site: Path) -> None:
    assert _judged(site, {"x.so": _library(tmp_path, "x.so")}) == Libraries()
    no_library = _library(tmp_path, "y.so", "-c")
    assert libraries(_zip({"y.so": no_library}), str(site), [], {}) == Libraries()


def _of_another_machine(data: bytes) -> bytes:
    return data[:18] + b"\x28\x00" + data[20:]


def _with_too_many_segments(data: bytes) -> bytes:
    return data[:56] + b"\xff\xff" + data[58:]


def _without_end(data: bytes) -> bytes:
    """Replace the end of the dynamic section with thousands of DT_DEBUG entries."""
    at = next(at for at, tag in _dynamic(data) if tag == "DT_NULL")
    return data[:at] + struct.pack("<QQ", 21, 0) * 5000


def _cut(data: bytes) -> bytes:
    return data[:100]


@pytest.mark.parametrize(
    "harm", [_of_another_machine, _with_too_many_segments, _without_end, _cut], ids=lambda f: f.__name__[1:]
)
def test_the_result_is_unknown_for_an_unreadable_elf_file(tmp_path: Path, site: Path, harm: object) -> None:
    assert callable(harm)
    data = _library(tmp_path, "_x.so").read_bytes()
    assert libraries(_zip({"_x.so": harm(data)}), str(site), [], {}) is None


def test_broken_sections_are_ignored(tmp_path: Path, site: Path) -> None:
    """The loader ignores sections, so that missing or broken ones do not matter."""
    module = _library(tmp_path, "_x.so", needs=[_library(tmp_path, "libfoo.so.1")]).read_bytes()
    for offset, count in ((bytes(8), bytes(2)), (b"\xff" * 7 + b"\x7f", b"\xff\xff"), (bytes([64, *bytes(7)]), b"\xff\xff")):
        harmed = module[:40] + offset + module[48:60] + count + module[62:]
        assert _judged(site, {"_x.so": harmed}) == Libraries((), ("libfoo.so.1",))


@pytest.mark.parametrize("name", ["x.so", "x.pyd", "x.dylib", "x.so.1"])
@pytest.mark.parametrize("head", [b"\xcf\xfa\xed\xfe", b"MZ\x90\x00", b""], ids=["Mach-O", "PE", "empty"])
def test_the_result_is_unknown_for_libraries_of_other_systems(tmp_path: Path, name: str, head: bytes) -> None:
    files: dict[str, Path | bytes] = {"y.so": _library(tmp_path, "y.so"), name: head.ljust(100) if head else b""}
    assert libraries(_zip(files), "", [], {}) is None


def test_the_result_is_unknown_for_too_large_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _library(tmp_path, "_x.so")
    monkeypatch.setattr(proof, "_LARGEST", 2 * module.stat().st_size)
    assert libraries(_zip({"x.so": module, "y.so": module}), "", [], {}) == Libraries()
    assert libraries(_zip({"x.so": module, "y.so": module, "z.so": module}), "", [], {}) is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An extension module with everything that pinstall reads."""
    folder = tmp_path_factory.mktemp("whole")
    foo = _library(folder, "libfoo.so.1")
    return _library(folder, "_x.so", "-Wl,-rpath,$ORIGIN/../$LIB:/nowhere", needs=[foo]).read_bytes()


# Most bytes of a library are padding, so that edits prefer the headers and the dynamic section.
_AT = st.one_of(st.integers(0, 1000), st.integers(0, 30_000))
_EDITS = st.lists(st.tuples(_AT, st.sampled_from([b"\0", b"\xff", b"\x7f" * 4, b"\xff" * 8, b"\0" * 16, b"$/:"])), max_size=6)


@given(edits=_EDITS, dynamic=_EDITS, end=st.one_of(st.none(), st.integers(0, 20_000)))
@settings(max_examples=300, deadline=10_000)
def test_arbitrarily_damaged_libraries_raise_no_error(
    whole: bytes, edits: list[tuple[int, bytes]], dynamic: list[tuple[int, bytes]], end: int | None
) -> None:
    data = bytearray(whole)
    start = next(_dynamic(whole))[0]
    for at, value in itertools.chain(edits, ((start + at % 400, value) for at, value in dynamic)):
        data[at : at + len(value)] = value
    said = libraries(_zip({"demo/_x.so": bytes(data[:end])}), "/nowhere", ["/nowhere"], {})
    assert said is None or isinstance(said, Libraries)


@given(at=st.integers(0, 20_000), value=st.binary(max_size=8), end=st.one_of(st.none(), st.integers(0, 20_000)))
@settings(max_examples=300, deadline=10_000)
def test_arbitrarily_damaged_wheels_raise_no_error(whole: bytes, at: int, value: bytes, end: int | None) -> None:
    data = bytearray(_zip({"demo/_x.so": whole, "demo/y.py": b"pass"}).getvalue())
    at %= len(data)
    data[-at : len(data) - at + len(value)] = value
    said = libraries(io.BytesIO(bytes(data[:end])), "/nowhere", ["/nowhere"], {})
    assert said is None or isinstance(said, Libraries)


@pytest.mark.skipif(not os.path.exists("/sbin/ldconfig") or not os.path.exists("/etc/ld.so.cache"), reason="glibc's tools")
def test_the_loaders_cache_is_read_as_ldconfig_reads_it() -> None:
    done = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    known = [match.groups() for match in re.finditer(r"^\t(\S+) \(.*\) => (.*)$", done.stdout, re.MULTILINE)]
    read = proof._cached("/etc/ld.so.cache")
    assert known
    assert sorted(known) == sorted((name, path) for name, paths in read.items() for path in paths)


def _cache(**entries: str) -> bytes:
    """Return a loader's cache in the format of glibc's ``dl-cache.h``."""
    strings, places = b"", []
    for text in itertools.chain.from_iterable(entries.items()):
        places.append(48 + 24 * len(entries) + len(strings))
        strings += text.encode() + b"\0"
    rows = b"".join(struct.pack("=iIIIQ", 0x303, *pair, 0, 0) for pair in zip(places[::2], places[1::2], strict=True))
    return b"glibc-ld.so.cache1.1" + struct.pack("=IIB3xI12x", len(entries), len(strings), 2, 0) + rows + strings


def test_old_and_broken_loader_caches(tmp_path: Path) -> None:
    path = tmp_path / "ld.so.cache"
    new = _cache(libfoo="/opt/libfoo.so", libbar="/opt/libbar.so")
    old = b"ld.so-1.7.0\0" + struct.pack("=I", 1) + bytes(12)
    for data in (new, old + bytes(4) + new):
        path.write_bytes(data)
        assert proof._cached(str(path)) == {"libfoo": ["/opt/libfoo.so"], "libbar": ["/opt/libbar.so"]}
    for data in (b"", old, new[:60], new[:-1], new[:20] + b"\xff" * 4 + new[24:], new[:52] + b"\xff" * 4 + new[56:]):
        path.write_bytes(data)
        assert proof._cached(str(path)) == {}
    assert proof._cached(str(tmp_path / "none")) == {}


def test_the_loaders_cache_is_searched_after_the_named_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached, named = (_library(tmp_path / folder, "libfoo.so.1") for folder in ("cached", "named"))
    module = _library(tmp_path, "_x.so", needs=[cached])
    (tmp_path / "ld.so.cache").write_bytes(_cache(**{"libfoo.so.1": str(cached), "libbar.so.1": "/opt/libbar.so.1"}))
    monkeypatch.setattr(os, "confstr", lambda _: "glibc 2.36")
    monkeypatch.setattr(proof, "_CACHE", str(tmp_path / "ld.so.cache"))
    proof._loader.cache_clear()
    for variable, place in ((str(tmp_path / "named"), named), ("", cached)):
        said = proof.libraries(_zip({"_x.so": module}), str(tmp_path / "site"), [], {"LD_LIBRARY_PATH": variable})
        assert said == Libraries(("libfoo.so.1",), (), {"libfoo.so.1": str(place)})
    proof._loader.cache_clear()


@pytest.mark.parametrize("listed", ["/nowhere:{}\n", "{}", "/nowhere\udcff\n{}\n"])
def test_musl_reads_its_folders_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    def confstr(name: str) -> str:
        raise ValueError(name)

    module = _library(tmp_path, "_x.so", needs=[_library(tmp_path / "opt", "libfoo.so.1")])
    monkeypatch.setattr(os, "confstr", confstr)
    monkeypatch.setattr(proof, "_MUSL_PATHS", str(tmp_path / "*.path"))
    (tmp_path / "unreadable.path").mkdir()
    for content, said in ((None, Libraries((), ("libfoo.so.1",))), (listed, Libraries(("libfoo.so.1",)))):
        if content is not None:
            (tmp_path / "ld-musl-x.path").write_bytes(os.fsencode(content.format(tmp_path / "opt")))
        proof._loader.cache_clear()
        assert libraries(_zip({"_x.so": module}), str(tmp_path / "site"), [], {}) == said
    proof._loader.cache_clear()


def test_only_system_libraries_have_places(tmp_path: Path, site: Path) -> None:
    """Libraries of the wheel or of other distributions have no place: they come and go with environments."""
    needs = [
        _library(tmp_path / "opt", name) for name in ("libsystem.so.1", "libbundled.so.1", "libbrought.so.1", "libhere.so.1")
    ]
    module = _library(tmp_path, "_x.so", f"-Wl,-rpath,{site}-not:$ORIGIN/near", needs=needs)
    system = _library(site.parent / "site-packages-not", "libsystem.so.1")
    _library(site / "torch" / "lib", "libbrought.so.1")
    _library(site / "near", "libhere.so.1")
    said = proof.libraries(_zip({"_x.so": module, "libbundled.so.1": needs[1]}), str(site), [str(site)], {})
    assert said is not None
    assert said.found == ("libbrought.so.1", "libbundled.so.1", "libhere.so.1", "libsystem.so.1")
    assert said.paths == {"libsystem.so.1": str(system)}


class _Bad(io.BytesIO):
    """A file on a failing disk."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_disk_error_is_raised() -> None:
    with pytest.raises(OSError, match="Input/output error"):
        libraries(_Bad(_zip({"demo.so": b""}).getvalue()), "/nowhere", [], {})
