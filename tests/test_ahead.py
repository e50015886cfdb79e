"""Large files are read on all cores; what comes of it is as if they were read one by one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pinstall.ahead import begun
from tests.lab import flip
from tests.packages import wheel

if TYPE_CHECKING:
    from tests.lab import Lab


def test_each_job_is_done_once_and_what_it_raises_is_raised_where_it_is_asked_for() -> None:
    done: list[int] = []

    def work(job: int) -> int:
        done.append(job)
        if job == 3:
            raise OSError(5, "no")
        return -job

    futures = begun(work, range(9))
    assert [futures[job].result(60) for job in range(9) if job != 3] == [0, -1, -2, -4, -5, -6, -7, -8]
    with pytest.raises(OSError, match="no"):
        futures[3].result(60)
    assert sorted(done) == list(range(9))


def test_nobody_waits_for_what_is_not_asked_for() -> None:
    never = threading.Event()
    begun(never.wait, [60.0])
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    never.set()


def test_several_large_downloads_of_which_one_is_bad(lab: Lab) -> None:
    index = lab.index()
    names = ("one", "two", "three")
    for number, name in enumerate(names):
        wheel(index.root, name, f"{number}.0", padding=9_000_000)
    pins = [f"{name}=={number}.0" for number, name in enumerate(names)]
    lab.pip(lab.environment(), "-i", index.url, *pins)
    bad = next(body for body in lab.bodies() if b"two.py" in body.read_bytes())
    flip(bad)
    index.forget()
    environment = lab.environment()
    done = lab.pinstall(environment, "-i", index.url, *pins)
    assert done.status == 0, done
    assert [line.partition(" from ")[0] for line in done.said] == ["removed two-1.0-py3-none-any.whl"]
    assert index.fetched == ["two-1.0-py3-none-any.whl"]
    assert environment.installed("two") == "1.0 1.0"
