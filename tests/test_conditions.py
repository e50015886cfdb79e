"""What shapes a build: when two builds are the same, and what is remembered of them."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinstall.proof import build
from pinstall.proof.build import Conditions, Record, difference
from pinstall.proof.source import Source

if TYPE_CHECKING:
    from pathlib import Path

_SAYS = Source(frozenset({"A_B", "C_"}), ("pg_config",), ("numpy",), compiles=True, whole=True)
_THEN = Conditions(
    abi=".cpython-311-x86_64-linux-gnu.so linux-x86_64",
    libc=("glibc", "2.36"),
    compilers={"CC": "gcc", "CXX": "gcc"},
    settings="",
    variables={"CFLAGS": "1"},
    tools={"pg_config": "/usr/bin/pg_config"},
    peers={"numpy": "2.0"},
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"libc": ("glibc", "2.41")}, ""),
        ({"libc": ("glibc", "2.4")}, "for glibc 2.36, here is 2.4"),
        ({"libc": ("glibc", "2.9")}, "for glibc 2.36, here is 2.9"),
        ({"libc": ("musl", "1.2")}, "for glibc"),
        ({"abi": ".cpython-311t-x86_64-linux-gnu.so linux-x86_64"}, "for another interpreter"),
        ({"compilers": {"CC": "clang", "CXX": "gcc"}}, "with CC set otherwise"),
        ({"settings": "f" * 32}, "with other config settings or build options"),
        ({"variables": {}}, "with CFLAGS set otherwise"),
        ({"variables": {"CFLAGS": "1", "LDFLAGS": "2"}}, "with LDFLAGS set otherwise"),
        ({"tools": {"pg_config": "/opt/pg/bin/pg_config"}}, "with another pg_config"),
        ({"tools": {}}, "with another pg_config"),
        ({"peers": {"numpy": "1.26"}}, "with another version of numpy"),
        ({"cpu": "0" * 32}, "for another processor"),
    ],
    ids=str,
)
def test_differences(change: dict[str, Any], said: str) -> None:
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
        ("false (GNU coreutils) 9.1\nCopyright (C) 2022 Free Software Foundation, Inc.\n", ""),
        ("ccache version 4.8\n", ""),
        ("", ""),
    ],
)
def test_names_of_compilers(says: str, name: str | None) -> None:
    assert name is None or build.compiler_name(says) == name


def test_a_compiler_that_is_not_set_is_the_interpreters(tmp_path: Path) -> None:
    fake = tmp_path / "fake-12"
    fake.write_text("#!/bin/sh\necho 'gcc (Fake) 12\nFree Software Foundation'\n")
    fake.chmod(0o755)
    (tmp_path / "cc").symlink_to(fake)
    environ = {"PATH": str(tmp_path)}
    unset = build.compilers(environ, {"CC": "cc -pthread", "CXX": ""})
    assert unset == {"CC": f"gcc with {build.hashed('-pthread')}", "CXX": ""}
    assert build.compilers({**environ, "CC": f"{fake} -pthread"}, {}) == unset
    assert build.compilers({**environ, "CC": "cc -m32"}, {})["CC"] == f"gcc with {build.hashed('-m32')}"
    assert build.compilers({**environ, "CC": "no-such-compiler"}, {})["CC"] == ""
    assert build.compilers({**environ, "CC": "'"}, {})["CC"] == build.hashed("'")


def test_a_processor_counts_where_flags_ask_for_it() -> None:
    assert build.cpu({"CFLAGS": "-O3"}) == ""
    assert build.cpu({"CFLAGS": "-O3 -march=native"}) == build.cpu({"RUSTFLAGS": "-C target-cpu=native"}) != ""


def test_settings_have_no_order() -> None:
    assert build.settings(["a=b", "c=d"]) == build.settings(["c=d", "a=b"]) != build.settings(["a=b"])
    assert build.settings(["a=b", "a=c"]) != build.settings(["a=c", "a=b"]), "but values of one key do"
    assert build.settings([]) == ""


def test_no_value_is_remembered() -> None:
    record = Record(
        "0" * 64, {}, _SAYS, _THEN._replace(variables={"A_B": build.hashed("hush")}, settings=build.settings(["k=hush"]))
    )
    assert "hush" not in json.dumps(build.to_json(record))


_RECORD = Record("0" * 64, {"sha256": "1" * 64}, _SAYS, _THEN, {"libz.so.1": "/lib/libz.so.1"}, seen=False)


def test_a_record_is_read_as_it_was_written() -> None:
    assert build.from_json(json.loads(json.dumps(build.to_json(_RECORD)))) == _RECORD


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(st.sampled_from(["wheel", "source", "says", "conditions", "libraries", "seen", "format"]), min_size=1), _JSON)
def test_a_record_of_any_shape(names: list[str], value: Any) -> None:
    document = json.loads(json.dumps(build.to_json(_RECORD)))
    for name in names[:-1]:
        if isinstance(document.get(name), dict) and document[name]:
            document[name][min(document[name])] = value
    document[names[-1]] = value
    found = build.from_json(document)
    assert found is None or isinstance(difference(found.conditions, _THEN), str)
    assert build.from_json(value) is None
