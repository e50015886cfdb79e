"""Real indexes: devpi-server and pypiserver, with credentials in their URL, over plain HTTP from a trusted host."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests import real_indexes
from tests.lab import flip
from tests.packages import sdist, wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab import Lab, Result
    from tests.real_indexes import RealIndex


@pytest.fixture(scope="module", params=["pypiserver", "devpi"])
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, registry: dict[str, str]
) -> Iterator[RealIndex]:
    try:
        scripts = real_indexes.installed(registry)
    except subprocess.CalledProcessError:
        pytest.skip("the registry does not give the indexes")
    made: RealIndex = getattr(real_indexes, request.param)(scripts, tmp_path_factory.mktemp("indexes") / request.param)
    yield made
    made.stop()


def _hash(file: Path) -> str:
    return f"--hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def _install(lab: Lab, real: RealIndex, *pins: str, requirements: str = "", status: int = 0) -> tuple[str, Result]:
    """Install into a new environment, and see that no password is left anywhere."""
    (lab.root / "requirements.txt").write_text(requirements)
    environment = lab.environment()
    done = lab.pinstall(environment, *real.words, *pins, *(["-r", "requirements.txt"] if requirements else []))
    assert done.status == status, done
    assert real_indexes.PASSWORD not in done.out + done.err
    ours = [path for path in (lab.cache / "pinstall").rglob("*") if path.is_file()]
    assert not any(real_indexes.PASSWORD.encode() in path.read_bytes() for path in ours)
    return environment.installed((pins or (requirements,))[0].partition("==")[0]), done


def test_a_damaged_download(lab: Lab, real: RealIndex) -> None:
    """Both serve pages that pip does not keep. pypiserver's files are not kept either; devpi's are, and are found."""
    real.publish(wheel(lab.root / "made", "damaged", "1.0", padding=20_000), "damaged")
    lab.pip(lab.environment(), *real.words, "damaged==1.0")
    for body in lab.bodies():
        flip(body)
    assert lab.pages() == []
    is_kept = bool(lab.bodies())
    found, done = _install(lab, real, "damaged==1.0")
    assert found == "1.0 1.0", done
    assert ["pip runs once more" in line for line in done.said[:1]] == [True] * is_kept


def test_a_file_that_is_published_again(lab: Lab, real: RealIndex) -> None:
    for content in ("old", "new"):
        file = wheel(lab.root / content, "again", "1.0", content, padding=20_000)
        real.publish(file, "again")
        found, done = _install(lab, real, "again==1.0")
        assert (found, done.said) == (f"1.0 {content}", [])
    found, done = _install(lab, real, requirements=f"again==1.0 {_hash(file)}")
    assert (found, done.said) == ("1.0 new", [])


def test_an_sdist_that_is_published_again(lab: Lab, real: RealIndex) -> None:
    for content in ("old", "new"):
        real.publish(sdist(lab.root / content, "source", "1.0", content), "source")
        for is_known in (False, True):
            found, done = _install(lab, real, "source==1.0")
            assert found == f"1.0 {content}", done
            assert ("Building wheel" in done.out) != is_known
            assert done.said == []
