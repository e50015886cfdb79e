"""Tests of the ledger: a proof is remembered as long as the file is unchanged."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinstall.pip_cache.entries import FileStamp
from pinstall.storage.files import write_file
from pinstall.storage.folder import clock
from pinstall.storage.ledger import Ledger, Proof, write_all

if TYPE_CHECKING:
    from pathlib import Path

_OLD = FileStamp(10, 1_000, 1_000, 7)


def _proof(stamp: FileStamp = _OLD, at: int | None = None) -> Proof:
    return Proof(stamp, clock() if at is None else at, {"sha256": "a" * 64}, checked=True, name="demo", version="1.0")


def test_a_written_proof_is_found_again(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), "demo")
    ledger.remember("key", _proof())
    assert ledger.has_changes
    ledger.write()
    again = Ledger(str(tmp_path), "demo")
    assert again.proof("key", _OLD) == _proof(at=again.proof("key", _OLD).at)  # type: ignore[union-attr]
    assert again.proof("other", _OLD) is None
    assert not again.has_changes


@pytest.mark.parametrize(
    "changed", [_OLD._replace(size=11), _OLD._replace(modified=2), _OLD._replace(changed=2), _OLD._replace(inode=8)]
)
def test_a_proof_is_invalid_for_another_stamp(tmp_path: Path, changed: FileStamp) -> None:
    ledger = Ledger(str(tmp_path), "demo")
    ledger.remember("key", _proof())
    assert ledger.proof("key", _OLD) is not None
    assert ledger.proof("key", changed) is None


@pytest.mark.parametrize("field", ["modified", "changed"])
def test_a_proof_made_right_after_the_files_change_is_not_used(tmp_path: Path, field: str) -> None:
    """The file may have changed again within one tick of its file system's clock (git calls such an entry racy)."""
    ledger = Ledger(str(tmp_path), "demo")
    now = clock()
    young = _OLD._replace(**{field: now - 1_000_000})
    ledger.remember("key", _proof(young, at=now))
    assert ledger.proof("key", young) is None


def test_a_returned_entry_is_recognised_by_reason_and_identity(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), "demo")
    ledger.tolerate("key", "wrong-hash", "sha256:1")
    ledger.write()
    again = Ledger(str(tmp_path), "demo")
    assert again.tolerated("key", "sha256:1") == {"wrong-hash"}
    assert again.tolerated("key", "sha256:2") == frozenset()
    again.stop_tolerating("key", "wrong-hash")
    assert again.tolerated("key", "sha256:1") == frozenset()
    again.write()
    assert Ledger(str(tmp_path), "demo").tolerated("key", "sha256:1") == frozenset()


def test_two_writers_keep_each_others_proofs(tmp_path: Path) -> None:
    first, second = Ledger(str(tmp_path), "demo"), Ledger(str(tmp_path), "demo")
    first.remember("one", _proof())
    second.remember("two", _proof())
    write_all([first, second])
    again = Ledger(str(tmp_path), "demo")
    assert again.proof("one", _OLD)
    assert again.proof("two", _OLD)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(proofs=_JSON, given_=_JSON)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_ledger_with_arbitrary_content_is_read_or_ignored(tmp_path: Path, proofs: object, given_: object) -> None:
    path = tmp_path / "pinstall" / "ledger" / "demo.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": 1, "proofs": proofs, "given": given_}))
    ledger = Ledger(str(tmp_path), "demo")
    ledger.proof("key", _OLD)
    ledger.remember("key", _proof())
    ledger.write()
    assert Ledger(str(tmp_path), "demo").proof("key", _OLD)


@given(value=_JSON)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_proof_with_arbitrary_values_is_read_or_ignored(tmp_path: Path, value: object) -> None:
    path = tmp_path / "pinstall" / "ledger" / "demo.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": 1, "proofs": {"key": [list(_OLD), 9, {}, value, None, "", ""]}, "given": {}}))
    assert isinstance(Ledger(str(tmp_path), "demo").proof("key", _OLD), Proof | None)
    path.write_text(json.dumps({"format": 1, "proofs": {"key": [value, 9, {}, True, None, "", ""]}, "given": {}}))
    assert isinstance(Ledger(str(tmp_path), "demo").proof("key", _OLD), Proof | None)


def test_a_failing_write_keeps_the_old_file_and_leaves_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    write_file(str(tmp_path), str(path), "old")

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OSError, match="No space"):
        write_file(str(tmp_path), str(path), "new")
    assert [(p.name, p.read_text()) for p in tmp_path.rglob("*") if p.is_file()] == [("x", "old")]
