"""The conditions that shape a build: when two builds count as the same, and what a build record contains."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinstall.inspection import build_record
from pinstall.inspection.build_record import BuildRecord, Conditions, difference
from pinstall.inspection.sdist_scan import SourceScan
from pinstall.model.digest import hashed

if TYPE_CHECKING:
    from pathlib import Path

_SAYS = SourceScan(frozenset({"A_B", "C_"}), ("pg_config",), ("numpy",), compiles=True, whole=True)
_THEN = Conditions(
    abi=".cpython-311-x86_64-linux-gnu.so linux-x86_64",
    libc=("glibc", "2.36"),
    compilers={"CC": "gcc", "CXX": "gcc"},
    settings="",
    variables={"CFLAGS": "1"},
    tools={"pg_config": "/usr/bin/pg_config"},
    cpu="sse2 avx",
    build_dependencies={"numpy": "2.0"},
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"libc": ("glibc", "2.41")}, ""),
        ({"libc": ("glibc", "2.4")}, "for glibc 2.36, and this system has 2.4"),
        ({"libc": ("glibc", "2.9")}, "for glibc 2.36, and this system has 2.9"),
        ({"libc": ("musl", "1.2")}, "for another C library, glibc"),
        ({"libc": ("", "")}, "for another C library, glibc"),
        ({"abi": ".cpython-311t-x86_64-linux-gnu.so linux-x86_64"}, "for another Python interpreter"),
        ({"compilers": {"CC": "clang", "CXX": "gcc"}}, "with different CC"),
        ({"compilers": {}}, "with different CC, CXX"),
        ({"settings": "f" * 32}, "with different config settings or build options"),
        ({"variables": {}}, "with different CFLAGS"),
        ({"variables": {"CFLAGS": "1", "LDFLAGS": "2"}}, "with different LDFLAGS"),
        ({"tools": {"pg_config": "/opt/pg/bin/pg_config"}}, "with another pg_config"),
        ({"tools": {}}, "with another pg_config"),
        ({"build_dependencies": {"numpy": "1.26"}}, "with another version of numpy"),
        ({"cpu": "sse2 avx avx2"}, ""),
        ({"cpu": "sse2 avx2"}, "for another processor"),
    ],
    ids=str,
)
def test_differences_between_two_builds(change: dict[str, Any], said: str) -> None:
    assert difference(_THEN, _THEN._replace(**change)) == said


@pytest.mark.parametrize(
    ("says", "name"),
    [
        ("gcc (Debian 12.2.0-14) 12.2.0\nCopyright (C) 2022 Free Software Foundation, Inc.\n", "gcc"),
        (
            "x86_64-linux-gnu-gcc-13 (Ubuntu) 13.2\nFree Software Foundation\n",
            "gcc" if platform.machine() == "x86_64" else None,
        ),
        ("c++ (GCC) 15.1.1 20250425\nCopyright (C) 2025 Free Software Foundation, Inc.\n", "gcc"),
        ("riscv64-linux-gnu-gcc (Debian 14.2.0) 14.2.0\nFree Software Foundation\n", "gcc for riscv64"),
        ("Debian clang version 14.0.6\nTarget: x86_64-pc-linux-gnu\n", "clang"),
        ("Apple clang version 17.0.0 (clang-1700.0.13.3)\n", "clang"),
        ("HIP version: 5.3.22061\nAMD clang version 15.0.0\n", ""),
        ("false (GNU coreutils) 9.1\nCopyright (C) 2022 Free Software Foundation, Inc.\n", ""),
        ("ccache version 4.8\n", ""),
        ("", ""),
    ],
)
def test_names_of_compilers(says: str, name: str | None) -> None:
    assert name is None or build_record.compiler_name(says) == name


def test_the_interpreters_compiler_is_used_if_no_variable_is_set(tmp_path: Path) -> None:
    fake = tmp_path / "fake-12"
    fake.write_text("#!/bin/sh\necho 'gcc (Fake) 12\nFree Software Foundation'\n")
    fake.chmod(0o755)
    (tmp_path / "cc").symlink_to(fake)
    environ = {"PATH": str(tmp_path)}
    unset = build_record.compilers(environ, {"CC": "cc -pthread", "CXX": ""})
    name = f"gcc by {hashlib.sha256(fake.read_bytes()[2:]).hexdigest()}"
    assert unset == {"CC": f"{name} with {hashed('-pthread')}", "CXX": ""}
    assert build_record.compilers({**environ, "CC": f"{fake} -pthread"}, {}) == unset
    assert build_record.compilers({**environ, "CC": "cc -m32"}, {})["CC"] == f"{name} with {hashed('-m32')}"
    assert build_record.compilers({**environ, "CC": "no-such-compiler"}, {})["CC"] == ""
    assert build_record.compilers({**environ, "CC": "'"}, {})["CC"] == hashed("'")


def _compiler(command: str, *folders: Path) -> str:
    path = os.pathsep.join(map(str, folders))
    return build_record.compilers({"PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "CC": command}, {})["CC"]


def test_launchers_of_compilers_make_no_difference(tmp_path: Path) -> None:
    ccache = tmp_path / "ccache"
    ccache.write_text('#!/bin/sh\nexec "$@"\n')
    ccache.chmod(0o755)
    (tmp_path / "masquerade").mkdir()
    (tmp_path / "masquerade" / "gcc").symlink_to(ccache)
    plain = _compiler("gcc")
    assert plain == _compiler("ccache gcc", tmp_path) == _compiler("gcc", tmp_path / "masquerade") == "gcc"
    assert _compiler("ccache gcc -m32", tmp_path) == _compiler("gcc -m32") != plain


def test_a_script_that_runs_a_compiler_counts_by_its_content(tmp_path: Path) -> None:
    found = set()
    for number, flags in enumerate(("-O1", "-O2", "-O1")):
        (tmp_path / f"{number}").mkdir()
        script = tmp_path / f"{number}" / "gcc"
        script.write_text(f'#!/bin/sh\nexec /usr/bin/env gcc {flags} "$@"\n')
        script.chmod(0o755)
        found.add(_compiler(str(script)))
        (tmp_path / f"{number}" / "cc").symlink_to(script)
        assert _compiler("cc", script.parent) == _compiler(str(script))
    assert len({*found, _compiler("gcc")}) == 3


def test_programs_are_searched_on_the_path_of_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, says in (("ours", "gcc 12\nFree Software Foundation"), ("theirs", "clang version 14")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cc").write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / folder / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "ours"))
    theirs = {"PATH": str(tmp_path / "theirs")}
    assert build_record.compilers(theirs, {"CC": "cc"})["CC"].startswith("clang by ")
    assert build_record.tools(["nvcc", "cc"], theirs) == {"cc": str(tmp_path / "theirs" / "cc")}
    assert build_record.compilers({}, {"CC": "cc"})["CC"] == ""
    assert build_record.tools(["cc"], {}) == {}


_NATIVE = {"CFLAGS": "-O3 -march=native"}
_INTEL = "processor\t: 0\nmodel name\t: \xae i7\ncpu MHz\t\t: {}\nflags\t\t: fpu sse avx{}\n\nprocessor\t: 1\nflags\t\t: fpu\n"
_ARM = "processor\t: 0\nBogoMIPS\t: {}\nFeatures\t: fp asimd{}\n"


@pytest.mark.parametrize("says", [_INTEL, _ARM])
def test_the_processor_counts_only_if_flags_ask_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """Its features count, not its current speed."""

    def seen(*numbers: str) -> str:
        (tmp_path / "cpuinfo").write_bytes(says.format(*numbers).encode("latin-1"))
        return build_record.cpu(_NATIVE)

    here = build_record.cpu(_NATIVE)
    monkeypatch.setattr(build_record, "_CPU", str(tmp_path / "cpuinfo"))
    unknown = build_record.cpu(_NATIVE)
    assert here != unknown or platform.machine() not in ("x86_64", "aarch64")
    assert unknown == build_record.cpu({"RUSTFLAGS": "-C target-cpu=native", "CC": "gcc"}) != ""
    assert len({unknown, seen("800", ""), seen("800", " vnni")}) == 3
    (tmp_path / "cpuinfo").unlink()
    monkeypatch.setattr(platform, "node", lambda: "another-host")
    assert unknown != build_record.cpu(_NATIVE), "two that are not known are not the same"
    assert seen("800", "") == seen("3600", "")
    assert build_record.cpu({"CFLAGS": "-O3"}) == ""


def test_values_that_are_not_utf8_have_digests() -> None:
    assert hashed(os.fsdecode(b"\xff")) != hashed(os.fsdecode(b"\xfe"))


def test_the_order_of_settings_matters_only_within_one_key() -> None:
    assert build_record.settings(["a=b", "c=d"]) == build_record.settings(["c=d", "a=b"]) != build_record.settings(["a=b"])
    assert build_record.settings(["a=b", "a=c"]) != build_record.settings(["a=c", "a=b"]), "but values of one key do"
    assert build_record.settings(["a=x=1", "a=b=2"]) != build_record.settings(["a=b=2", "a=x=1"]), "whatever is in them"
    assert build_record.settings([]) == ""


def test_a_record_contains_no_values_of_variables_or_settings() -> None:
    record = BuildRecord(
        "0" * 64,
        {},
        _SAYS,
        _THEN._replace(variables={"A_B": hashed("hush")}, settings=build_record.settings(["k=hush"])),
    )
    assert "hush" not in json.dumps(build_record.to_json(record))


# `Libraries` has a read-only mapping of places by default, which has to be written as JSON, too.
_LIBRARIES = MappingProxyType({"libz.so.1": "/lib/libz.so.1"})
_RECORD = BuildRecord("0" * 64, {"sha256": "1" * 64}, _SAYS, _THEN, _LIBRARIES, observed=False)


def test_a_record_survives_writing_and_reading() -> None:
    assert build_record.from_json(json.loads(json.dumps(build_record.to_json(_RECORD)))) == _RECORD


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("", "format", 0),
        ("", "wheel", None),
        ("", "source", {"sha256": 1}),
        ("", "libraries", {"libz.so.1": None}),
        ("says", "words", [1]),
        ("says", "requires", [["numpy"]]),
        ("says", "more", ""),
        ("conditions", "abi", 311),
        ("conditions", "libc", ["glibc", 2.36]),
        ("conditions", "libc", ["glibc", "2.36", ""]),
        ("conditions", "libc", ["glibc"]),
        ("conditions", "cpu", 1),
        ("conditions", "settings", {}),
        ("conditions", "variables", {"CFLAGS": 1}),
        ("conditions", "peers", ["numpy"]),
    ],
)
def test_an_invalid_record_is_rejected(part: str, name: str, value: Any) -> None:
    document = json.loads(json.dumps(build_record.to_json(_RECORD)))
    (document[part] if part else document)[name] = value
    assert build_record.from_json(document) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(st.sampled_from(["wheel", "source", "says", "conditions", "libraries", "seen", "format"]), min_size=1), _JSON)
def test_arbitrary_json_raises_no_error(names: list[str], value: Any) -> None:
    document = json.loads(json.dumps(build_record.to_json(_RECORD)))
    for name in names[:-1]:
        if isinstance(document.get(name), dict) and document[name]:
            document[name][min(document[name])] = value
    document[names[-1]] = value
    found = build_record.from_json(document)
    assert found is None or isinstance(difference(found.conditions, _THEN), str)
    assert build_record.from_json(value) is None
