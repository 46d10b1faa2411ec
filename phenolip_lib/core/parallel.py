"""Run a per-record step over many items: on a process pool, on Ray Data, or in this process.

A step is a function ``step(batch, state) -> results`` of module level, one result an item. Items and
results are plain JSON values, so finished batches can be kept on disk and a killed run goes on where
it stopped; results are the same whatever the engine. ``state`` is made once a worker by ``setup``
(an ontology, a recogniser), never shipped with each batch.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.kept import read_value, write_value
from phenolip_lib.core.progress import Progress
from phenolip_lib.core.storage import digest

log = logging.getLogger("phenolip")
ENGINES = ("serial", "processes", "ray")
AHEAD = 4
"""Batches handed out a worker; more would have to be run again when one dies."""
FAILED = "__failed__"
"""Key of the result that stands for an item whose step failed; its value is the reason."""

Step = Callable[[list, Any], list]


@dataclass(frozen=True)
class Pool:
    """How steps are run.

    Attributes:
        engine: ``processes`` (default), ``ray`` (Ray Data, an optional extra; call ``ray.init`` with the
            address of a cluster before) or ``serial``.
        workers: processes, or Ray workers.
        batch_size: items a step sees at a time.
        cache: folder for finished batches, or None to keep nothing.
    """

    engine: str = "processes"
    workers: int = 2
    batch_size: int = 64
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise PhenoLIPError(f"engine {self.engine!r} is not one of {', '.join(ENGINES)}")


def failure(result: Any) -> str | None:
    """Why an item has no result, or None if it has one."""
    return result[FAILED] if isinstance(result, dict) and FAILED in result else None


def run_batch(step: Step, batch: list, state: Any) -> list:
    """The step on one batch. If it raises, item by item, so that one bad item costs only itself."""
    try:
        results = step(batch, state)
        if len(results) != len(batch):
            raise ValueError(f"{len(results)} results for {len(batch)} items")
        return results
    except Exception as error:
        if len(batch) == 1:
            return [{FAILED: f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}]
        return [result for item in batch for result in run_batch(step, [item], state)]


def map_batches(
    step: Step,
    items: Sequence,
    pool: Pool,
    *,
    name: str,
    key: str = "",
    setup: Callable[[], Any] | None = None,
    seen: Callable[[int], None] | None = None,
) -> list:
    """Results of a step for all items, in order; the result of a failed item tells why (`failure`).

    Args:
        step: module-level function; items and results are JSON values.
        name: what is logged, and the cache's folder.
        key: fingerprint of what else the results depend on (settings, data, version of the step).
        setup: module-level function, or a `functools.partial` of one, that makes the worker's state.
        seen: told the number of items of each batch as soon as it is done.

    Raises:
        PhenoLIPError: Ray is asked for and not installed, or no worker process can start.
    """
    batches = [list(items[i : i + pool.batch_size]) for i in range(0, len(items), pool.batch_size)]
    files = [_file(pool.cache, name, key, batch) for batch in batches]
    done = {i: kept for i, file in enumerate(files) if (kept := _read(file, len(batches[i]))) is not None}
    missing = [i for i in range(len(batches)) if i not in done]
    if done:
        log.info("%s: %d of %d batches were finished before", name, len(done), len(batches))
    run = {"serial": _serial, "processes": _processes, "ray": _ray}[pool.engine]
    with Progress(name, len(items), sum(map(len, done.values())), "records") as progress:
        for i, results in run(step, [(i, batches[i]) for i in missing], setup, pool.workers):
            if files[i] is not None:
                write_value(files[i], results)
            done[i] = results
            progress.update(len(results))
            if seen is not None:
                seen(len(results))
    return [result for i in range(len(batches)) for result in done[i]]


# --- engines: each yields (batch number, results) in any order ------------------------------------


def _serial(step: Step, jobs: list, setup: Callable | None, workers: int) -> Iterator[tuple[int, list]]:
    state = setup() if setup and jobs else None
    for i, batch in jobs:
        yield i, run_batch(step, batch, state)


_state: Any = None


def _start_worker(setup: Callable | None) -> None:
    global _state
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    _state = setup() if setup else None


def _work(step: Step, batch: list) -> list:
    return run_batch(step, batch, _state)


def _executor(setup: Callable | None, workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: a fork of a process with threads (torch, a notebook's kernel) can hang.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(setup,))


def _processes(step: Step, jobs: list, setup: Callable | None, workers: int) -> Iterator[tuple[int, list]]:
    """Batches in a pool of processes. If one dies, those that it may have had are cut down to the item that killed it.

    So few batches are handed out ahead that all others have not been touched; they go on in a new pool.
    """
    left = dict(jobs)
    while left:
        try:
            with _executor(setup, workers) as executor:
                ahead = iter(list(left.items()))
                running = {}
                while True:
                    for i, batch in islice(ahead, AHEAD * workers - len(running)):
                        running[executor.submit(_work, step, batch)] = i
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        results = future.result()
                        del left[i := running.pop(future)]
                        yield i, results
        except BrokenProcessPool:
            suspects = [(i, left.pop(i)) for i in sorted(running.values())]
        log.info("a worker died; the %d batches that were handed out are run again one by one", len(suspects))
        with closing(_Alone(step, setup)) as alone:
            for i, batch in suspects:
                yield i, alone(batch)


class _Alone:
    """Batches in one process, which they may take down: then another one halves them until an item is left."""

    def __init__(self, step: Step, setup: Callable | None) -> None:
        self.step, self.setup, self.executor = step, setup, None

    def __call__(self, batch: list) -> list:
        try:
            if self.executor is None:
                self.executor = _executor(self.setup, 1)
                self.executor.submit(int).result()
        except BrokenProcessPool:
            raise PhenoLIPError("a worker process dies as soon as it starts; it may be short of memory") from None
        try:
            return self.executor.submit(_work, self.step, batch).result()
        except BrokenProcessPool:
            self.close()
        if len(batch) == 1:
            return [{FAILED: "the worker process died (killed, or out of memory)"}]
        half = len(batch) // 2
        return self(batch[:half]) + self(batch[half:])

    def close(self) -> None:
        if self.executor is not None:
            self.executor.shutdown()
        self.executor = None


class _RayStep:
    """The step as Ray Data wants it: a class whose instances live as long as a worker."""

    def __init__(self, step: Step, setup: Callable | None) -> None:
        self.step, self.state = step, setup() if setup else None

    def __call__(self, row: dict) -> dict:
        results = run_batch(self.step, json.loads(row["batch"]), self.state)
        return {"number": row["number"], "results": json.dumps(results)}


def _import_ray():
    """Ray with its Python messages, which name folders of the machine, kept out of notebooks and logs."""
    _quiet()
    import ray
    import ray.data

    _quiet()  # the import sets levels of its own
    return ray


def _quiet() -> None:
    for name in ("ray", "ray.data", "ray.widgets.util"):
        logging.getLogger(name).setLevel(logging.ERROR)


def start_ray(workers: int) -> None:
    """A Ray of this machine; on a cluster call ``ray.init`` with its address instead, before any step."""
    ray = _import_ray()
    # Workers must find the step's module where this process found it.
    variables = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ray.init(
        num_cpus=max(workers, 1),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": variables},
    )


def _ray(step: Step, jobs: list, setup: Callable | None, workers: int) -> Iterator[tuple[int, list]]:
    if not jobs:
        return
    try:
        ray = _import_ray()
    except ImportError:
        raise PhenoLIPError("Ray is not installed; `pip install 'phenolip[ray]'`, or use engine: processes") from None
    ours = not ray.is_initialized()
    with _no_native_messages():
        yield from _run_ray(ray, step, jobs, setup, workers, ours)


@contextmanager
def _no_native_messages() -> Iterator[None]:
    """Ray's C++ core writes to the process's standard error itself; what fails is raised all the same."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _run_ray(
    ray, step: Step, jobs: list, setup: Callable | None, workers: int, ours: bool
) -> Iterator[tuple[int, list]]:
    if ours:
        start_ray(workers)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        rows = [{"number": i, "batch": json.dumps(batch)} for i, batch in jobs]
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _RayStep, fn_constructor_args=(step, setup), compute=ray.data.ActorPoolStrategy(size=workers)
        )
        for row in dataset.iter_rows():
            yield row["number"], json.loads(row["results"])
    finally:
        if ours:
            ray.shutdown()


# --- finished batches ------------------------------------------------------------------------------


def _file(cache: Path | None, name: str, key: str, batch: list) -> Path | None:
    return None if cache is None else Path(cache) / name / f"{digest(name, key, batch)}.json"


def _read(file: Path | None, n: int) -> list | None:
    """The results of a finished batch; None if there are none or the file is damaged."""
    results = None if file is None else read_value(file)
    return results if isinstance(results, list) and len(results) == n else None
