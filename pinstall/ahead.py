"""Ahead: what takes long is done on all cores, before it is asked for one by one."""

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
    """Begin to *work* on *jobs*, one a core, and return what each will come to.

    The threads end with the process: who interrupts it need not wait for them, as with an executor.
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
            except Exception as error:  # noqa: BLE001 (it is raised where the result is asked for)
                future.set_exception(error)

    for _ in range(min(len(futures), os.cpu_count() or 1)):
        threading.Thread(target=go_on, daemon=True).start()
    return futures
