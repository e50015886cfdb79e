"""Start slow work on all cores, before its results are needed one by one."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

_Job = TypeVar("_Job", bound="Hashable")
_Result = TypeVar("_Result")


def begun(work: Callable[[_Job], _Result], jobs: Iterable[_Job]) -> dict[_Job, Future[_Result]]:
    """Start *work* on *jobs*, at most one per core at a time, and return the future of each job.

    The threads are daemons, which end with the process. An executor would make a user who interrupts pinstall wait for them.
    """
    futures: dict[_Job, Future[_Result]] = {job: Future() for job in jobs}
    waiting = deque(futures.items())

    def go_on() -> None:
        while waiting:
            try:
                job, future = waiting.popleft()
            except IndexError:
                return
            try:
                future.set_result(work(job))
            except Exception as error:  # noqa: BLE001 (raised where the result is requested)
                future.set_exception(error)

    for _ in range(min(len(futures), os.cpu_count() or 1)):
        threading.Thread(target=go_on, daemon=True).start()
    return futures
