"""Tests of other versions: they are moved to the store, and restored when they are pinned. Also tests of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import example, given
from hypothesis import strategies as st

from pinstall import messages, settings
from tests.lab import flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from tests.index import Index
    from tests.lab import Lab


WHY = "other versions of these projects are pinned (other-version); PINSTALL_KEEP_VERSIONS=1 prevents this"


def _cached(lab: Lab, index: Index, *versions: str) -> None:
    for version in versions:
        sdist(index.root, "demo", version)
    for version in versions:
        lab.pip(lab.environment(), "-i", index.url, f"demo=={version}")


def _two(lab: Lab, index: Index) -> None:
    _cached(lab, index, "1.0", "2.0")


def _versions(lab: Lab) -> list[str]:
    """Return the versions of the built wheels in pip's folder after the period for which `actions.retire` leaves them there."""
    lab.time_passes()
    return sorted(wheel.name.split("-")[1] for wheel in lab.wheels())


@pytest.mark.parametrize(("age", "hashes"), [(600, ("sha256",)), (None, ())])
def test_switching_between_cached_versions_fetches_and_builds_nothing(
    lab: Lab, age: int | None, hashes: tuple[str, ...]
) -> None:
    index = lab.index()
    index.page_age, index.hashes = age, hashes
    _cached(lab, index, "1.0", "2.0", "3.0")
    index.forget()
    for version, there in (("2.0", ["2.0"]), ("1.0", ["1.0", "2.0"]), ("3.0", ["1.0", "2.0", "3.0"])):
        environment = lab.environment()
        done = lab.pinstall(environment, "-i", index.url, f"demo=={version}")
        assert environment.installed("demo") == f"{version} {version}", done
        assert _versions(lab) == there, "what a call has pinned lately stays"
        assert "Building wheel" not in done.out
    assert index.fetched == []


def test_an_older_stored_version_stays_there_if_the_cache_has_the_newest_one(lab: Lab) -> None:
    """No page is cached, so that only the names of what is stored tell the versions."""
    index = lab.index()
    files = {version: wheel(index.root, "demo", version) for version in ("1.0", "2.0", "3.0")}
    for version in files:
        lab.pip(lab.environment(), "-i", index.url, f"demo=={version}")
    lab.pinstall(lab.environment(), "-i", index.url, "demo==3.0")
    files["3.0"].unlink()
    lab.pip(lab.environment(), "-i", index.url, "demo==2.0")
    for page in lab.pages():
        page.unlink()
        page.with_suffix("").unlink()
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo")
    assert (environment.installed("demo"), done.said) == ("2.0 2.0", []), done


def test_a_wheel_is_moved_with_its_metadata_file(lab: Lab) -> None:
    index = lab.index()
    index.metadata = True
    for version in ("1.0", "2.0"):
        wheel(index.root, "demo", version)
    for version in ("1.0", "2.0"):
        lab.pip(lab.environment(), "-i", index.url, f"demo=={version}")
    index.forget()
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    names = "demo-2.0-py3-none-any.whl, demo-2.0-py3-none-any.whl.metadata"
    assert done.said == [f"set aside {names} from pip's cache in pinstall's store until needed: {WHY}"]
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==2.0")
    assert done.said == [
        f"restored {names} from pinstall's store to pip's cache: this install may need them; for demo==2.0 (argument)"
    ]
    assert index.fetched == []


def test_an_entry_damaged_in_the_store_is_deleted_instead_of_restored(lab: Lab) -> None:
    index = lab.index()
    index.hashes = ()
    _cached(lab, index, "1.0", "2.0")
    lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    store = lab.cache / "pinstall" / "store"
    kept = [p for p in store.rglob("*2.0*") if p.suffix == ".whl"] + list((store / "http").glob("*.body"))
    assert len(kept) == 2
    for path in kept:
        flip(path)
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==2.0")
    assert environment.installed("demo") == "2.0 2.0", done
    assert [line.split()[0] for line in done.said[:2]] == ["removed", "removed"]


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (["demo>=1,<2"], {}),
        (["demo"], {}),
        (["demo==1.0"], {"PINSTALL_KEEP_VERSIONS": "1"}),
        (["demo==1.0", "no-such-project"], {}),
    ],
    ids=str,
)
def test_without_a_pin_or_after_a_failure_or_with_keep_versions_nothing_is_moved(
    lab: Lab, words: list[str], variables: dict[str, str]
) -> None:
    index = lab.seeded(_two)
    lab.pinstall(lab.environment(), "-i", index.url, *words, **variables)
    assert sorted(_versions(lab)) == ["1.0", "2.0"]
    assert len(lab.bodies()) == 2


def test_a_dry_run_sets_no_other_version_aside(lab: Lab) -> None:
    index = lab.seeded(_two)
    assert lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0", "--dry-run").said == []
    assert sorted(_versions(lab)) == ["1.0", "2.0"]


@pytest.mark.parametrize("policy", ["report", "reprot"])
def test_report_names_the_versions_that_would_be_moved(lab: Lab, policy: str) -> None:
    index = lab.seeded(_two)
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0", PINSTALL_POLICY=policy)
    assert done.said[-1] == (
        "with PINSTALL_POLICY=evict, pinstall would set aside demo-2.0.tar.gz, demo-2.0-py3-none-any.whl from pip's cache "
        f"in pinstall's store until needed: {WHY}"
    )
    assert done.said[:-1] == (
        ["ignoring invalid PINSTALL_POLICY='reprot' (expected evict, report or off); using report, which changes nothing"]
        * (policy == "reprot")
    )
    assert sorted(_versions(lab)) == ["1.0", "2.0"]
    assert len(lab.bodies()) == 2


def test_invalid_settings_produce_warnings_and_mean_the_default(lab: Lab) -> None:
    index = lab.seeded(_two)
    nonsense = {"PINSTALL_STORE_SIZE": "much", "PINSTALL_LOCK_TIMEOUT": "-1", "PINSTALL_WATCH_BUILDS": "maybe"}
    nonsense["PINSTALL_KEEP_VERSIONS"] = "0"
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0", **nonsense)
    assert done.said[:3] == [
        "ignoring invalid PINSTALL_WATCH_BUILDS='maybe' (expected 1 or 0); using 1",
        "ignoring invalid PINSTALL_STORE_SIZE='much' (expected e.g. 500M); using 5G",
        "ignoring invalid PINSTALL_LOCK_TIMEOUT='-1' (expected seconds, e.g. 60); using 30",
    ]
    assert _versions(lab) == ["1.0"], "PINSTALL_KEEP_VERSIONS=0 counts as unset"
    environment = lab.environment()
    lab.pip(environment, "-i", index.url, "demo==1.0")
    assert len(lab.pinstall(environment, "demo==1.0", **nonsense).said) == 3, "also if the call is satisfied"
    assert len(lab.pinstall(environment, "--no-such-option", **nonsense).said) == 3, "and if pip refuses it"


_NUMBERS = ["9" * 400, "9" * 400 + "T", "1e999", "inf", "nan", "-0.5", " ", "\udcff", "1\udc80", "\u0661G", "9" * 5_000]


@pytest.mark.parametrize("value", _NUMBERS, ids=ascii)
@pytest.mark.parametrize("setting", ["PINSTALL_STORE_SIZE", "PINSTALL_LOCK_TIMEOUT"])
def test_numbers_out_of_bounds_produce_a_warning(lab: Lab, setting: str, value: str) -> None:
    index = lab.seeded(_two)
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0", **{setting: value})
    assert done.status == 0, done
    assert done.said[0].startswith(f"ignoring invalid {setting}={ascii(value[:20])[:-1]}")
    assert (len(done.said), _versions(lab)) == (2, ["1.0"])


@pytest.mark.parametrize("setting", ["PINSTALL_STORE_SIZE", "PINSTALL_LOCK_TIMEOUT"])
def test_an_empty_setting_counts_as_unset(lab: Lab, setting: str) -> None:
    index = lab.seeded(_two)
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0", **{setting: ""})
    assert [line.partition(" ")[0] for line in done.said] == ["set"]


@given(st.one_of(st.text(), st.from_regex(r"\A[0-9]*\.?[0-9]*(e[0-9]+)?[ ]?[KMGTkmgt]?\Z"), st.integers().map(str)))
@example("8388608T")
@example("\U00010000" * 20)  # each is escaped by ten characters
def test_any_text_gives_a_number_within_bounds(text: str) -> None:
    found = settings.read({"PINSTALL_STORE_SIZE": text, "PINSTALL_LOCK_TIMEOUT": text})
    assert 0 <= found.store_size < 1 << 63
    assert 0 <= found.lock_timeout <= 1e9
    assert all(len(line) < 500 and line.isprintable() for line in map(messages.ignored_setting, found.invalid))


def test_a_constraint_on_a_project_that_is_not_installed_moves_nothing(lab: Lab) -> None:
    index = lab.seeded(_two)
    wheel(index.root, "wanted", "1.0")
    (lab.root / "c.txt").write_text("demo==1.0\n")
    done = lab.pinstall(lab.environment(), "-i", index.url, "-c", "c.txt", "wanted")
    assert (done.status, done.said) == (0, [])
    assert len(_versions(lab)) == 2


def test_other_versions_are_moved_with_the_target_option_too(lab: Lab) -> None:
    index = lab.seeded(_two)
    lab.pinstall(lab.environment(), "-i", index.url, "--target", lab.root / "target", "demo==1.0")
    assert _versions(lab) == ["1.0"]


def test_nothing_is_moved_while_another_call_is_running(lab: Lab) -> None:
    """The other call's pip may be about to install a built wheel."""
    index = lab.seeded(_two)
    calls = lab.cache / "pinstall" / "calls"
    calls.mkdir(parents=True)
    with FileLock(calls / "4711-0123abcd"):
        lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
        assert len(lab.wheels()) == 2
        assert not (lab.cache / "pinstall" / "spent").exists()
    (calls / "4712-0123abcd").touch()
    lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    assert _versions(lab) == ["1.0"]
    assert list(calls.iterdir()) == []


def test_other_spellings_and_local_versions_of_the_pinned_version_are_not_moved(lab: Lab) -> None:
    index = lab.index()
    wheel(index.root, "demo", "1.0+local")
    _cached(lab, index, "1.0")
    lab.pip(lab.environment(), "-i", index.url, "demo==1.0+local")
    done = lab.pinstall(lab.environment(), "-i", index.url, "Demo==1")
    assert (done.status, done.said) == (0, [])


def test_a_download_whose_head_was_damaged_in_the_store_is_not_restored(lab: Lab) -> None:
    index = lab.seeded(_two)
    lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0")
    (head,) = [p for p in (lab.cache / "pinstall" / "store" / "http").iterdir() if not p.suffix]
    head.write_bytes(head.read_bytes().replace(b"reason", b"reasmn"))
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, "demo==2.0")
    assert environment.installed("demo") == "2.0 2.0", done
    assert "from pinstall's store: its stored HTTP headers are invalid (damaged)" in done.said[0]


@pytest.mark.parametrize("value", ["\udcff", "", " ", "9" * 400], ids=ascii)
@pytest.mark.parametrize("setting", ["POLICY", "KEEP_VERSIONS", "BUILD_VARIABLES", "REPORT"])
def test_invalid_values_of_other_settings_cause_no_error(lab: Lab, setting: str, value: str) -> None:
    index = lab.seeded(_two)
    done = lab.pinstall(lab.environment(), "-i", index.url, "demo==1.0", **{f"PINSTALL_{setting}": value})
    assert done.status == 0, done
    assert [line for line in done.said if "internal error" in line] == []
