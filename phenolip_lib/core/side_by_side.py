"""Independent runs side by side, each in a process of its own: methods, seeds and folds know nothing of each other.

A head on frozen features trains as fast on one thread as on two, so two runs side by side take half the time. Every
run computes on ``runtime.threads`` threads wherever it runs, so results do not depend on the number of workers.
"""

from __future__ import annotations

import logging
import multiprocessing.connection
import multiprocessing.forkserver
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.progress import track
from phenolip_lib.core.runtime import log, setup_logging

Job = TypeVar("Job")
Result = TypeVar("Result")


def run(
    work: Callable[[Any, Job], Result], jobs: Sequence[Job], setup: Callable[[], Any], workers: int, what: str = "runs"
) -> Iterator[Result]:
    """``work(state, job)`` of all jobs, in their order.

    The first job runs before the others start, since it leaves in the cache what all of them need.

    Args:
        work: function of module level; what it logs is logged here when it is done.
        setup: makes the state, once in each process: a function of module level, or a `functools.partial` of one.
        workers: processes; one runs everything here.

    Raises:
        PhenoLIPError: what a job raises, or that its process died.
    """
    if not jobs:
        return
    if workers == 1 or len(jobs) == 1:
        state = setup()
        yield from (work(state, job) for job in jobs)
        return
    try:
        with ProcessPoolExecutor(min(workers, len(jobs)), _context(), _start, (setup,)) as pool:
            first = pool.submit(_work, work, jobs[0])
            first.exception()  # waits
            others = [pool.submit(_work, work, job) for job in jobs[1:]]
            try:
                for future in track([first, *others], what, len(jobs), what):
                    lines, result = future.result()
                    for line in lines:
                        log.info(line)
                    yield result
            finally:
                for future in others:
                    future.cancel()
    except BrokenProcessPool:
        raise PhenoLIPError(
            f"{what}: a process died (killed, or out of memory); start again to go on with what is left, "
            "with runtime.workers at 1 if memory is short"
        ) from None


def _context() -> multiprocessing.context.BaseContext:
    """Processes that share one import of torch; where there is no fork, each imports it."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["phenolip_lib.experiments.experiment", "phenolip_lib.experiments.evaluate"])
    return context


def warm(workers: int) -> None:
    """Start the process that workers come from, so that it imports while this one does; for one worker nothing."""
    context = _context()
    if workers > 1 and context.get_start_method() == "forkserver":
        multiprocessing.forkserver.ensure_running()


class _Lines(logging.Handler):
    """Keeps messages, to be said by the process that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


_setup: Callable[[], Any] | None = None
_state: list[Any] = []


def _start(setup: Callable[[], Any]) -> None:
    global _setup
    _setup = setup
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A notebook's kernel may be killed at any time; nobody would stop what it started."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(work: Callable[[Any, Job], Result], job: Job) -> tuple[list[str], Result]:
    setup_logging()
    said = _Lines()
    log.handlers[:] = [said]
    if not _state:  # not in the initializer: an error there would only break the pool
        _state.append(_setup())
    return said.lines, work(_state[0], job)
