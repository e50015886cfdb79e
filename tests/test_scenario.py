"""The scenario it all began with: an unpinned install cached the newest, and a pin asks for an older one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.packages import sdist
from tests.test_tidy import WHY

if TYPE_CHECKING:
    from tests.lab import Lab


def test_psycopg2(lab: Lab) -> None:
    index = lab.index()
    for version in ("2.4.1", "2.4.4"):
        sdist(index.root, "psycopg2", version)
    lab.pip(lab.environment(), "-i", index.url, "psycopg2")
    assert [wheel.name for wheel in lab.wheels()] == ["psycopg2-2.4.4-py3-none-any.whl"]

    older = lab.environment()
    done = lab.pinstall(older, "-i", index.url, "psycopg2==2.4.1")
    assert done.status == 0
    assert older.installed("psycopg2") == "2.4.1 2.4.1"
    lab.time_passes()
    assert [wheel.name for wheel in lab.wheels()] == ["psycopg2-2.4.1-py3-none-any.whl"]
    assert [body.read_bytes() for body in lab.bodies()] == [(index.root / "psycopg2-2.4.1.tar.gz").read_bytes()]
    names = "psycopg2-2.4.4.tar.gz, psycopg2-2.4.4-py3-none-any.whl"
    assert done.said == [f"set aside {names} from pip's cache in pinstall's store until needed: {WHY}"]

    index.forget()
    newer = lab.environment()
    done = lab.pinstall(newer, "-i", index.url, "psycopg2==2.4.4")
    assert newer.installed("psycopg2") == "2.4.4 2.4.4"
    assert index.fetched == []
    assert "Building wheel" not in done.out
