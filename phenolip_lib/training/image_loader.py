"""Pictures for towers that train: read by worker processes ahead of the step that needs them.

What comes out depends on the rows and the epoch alone, never on the number of workers: `augment`
draws from (seed, epoch, row), and batches come in the order they were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.images import WHOLE, read_image
from phenolip_lib.models.preprocess import SQUASH, Fit
from phenolip_lib.training.augment import Augment, image_seed

AHEAD = 2
"""Batches each worker reads ahead."""


def read_pixels(
    root: Path,
    relative: str,
    side: int,
    box: tuple[float, float, float, float] = WHOLE,
    *,
    fit: Fit = SQUASH,
    augment: Augment | None = None,
    modality: str = "other",
    caption: str = "",
    seed: int = 0,
) -> torch.Tensor:
    """One picture as uint8 ``(3, side, side)``; without `augment` the same as `features.load_pixels`.

    Raises:
        PhenoLIPError: it cannot be read; the message names it.
    """
    reading = augment.reading_side(modality, side) if augment else side
    try:
        image = fit(read_image(root, relative, box), reading)
    except PhenoLIPError as error:
        raise PhenoLIPError(f"{Path(root) / relative}: {error}") from None
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return augment(pixels, modality, caption, seed, side) if augment else pixels


@dataclass(frozen=True)
class _Refused:
    """A user's error on its way from a worker; raised there, torch would wrap its line in a traceback."""

    message: str


class _Tasks(Dataset):
    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.read = read

    def __getitem__(self, task: Any) -> Any:
        try:
            return self.read(task)
        except PhenoLIPError as error:
            return _Refused(str(error))


class _Order:
    """The sampler of a loader that lives longer than one epoch."""

    def __init__(self) -> None:
        self.tasks: Sequence[Any] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tasks)


def _as_it_is(result: Any) -> Any:
    return result


class Reader:
    """``read(task)`` of many tasks, in their order, ahead of time by worker processes.

    The processes stay from one run to the next. A run that is left early or fails ends them, and so
    does `close`; the next run starts new ones.

    Args:
        read: a function or object that can be pickled; the result must not depend on global random numbers.
        workers: processes; 0 reads in this one, when a result is asked for.
    """

    def __init__(self, read: Callable[[Any], Any], workers: int) -> None:
        self._order, self._started = _Order(), 0
        self._loader = DataLoader(
            _Tasks(read),
            batch_size=None,
            sampler=self._order,
            num_workers=workers,
            collate_fn=_as_it_is,
            persistent_workers=workers > 0,
            prefetch_factor=AHEAD if workers else None,
            pin_memory=torch.cuda.is_available(),
            # Its own, or every start would draw from the random numbers of the training.
            generator=torch.Generator(),
        )

    def run(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """The results of the tasks.

        Raises:
            PhenoLIPError: what `read` raised, or a process was killed.
            RuntimeError: a later run has started on the same processes.
        """
        self._started += 1
        own, self._order.tasks, left = self._started, tasks, len(tasks)
        if not tasks:
            return
        try:
            results = self._watched(lambda: iter(self._loader))
            while left:
                result = self._watched(lambda: next(results))
                if isinstance(result, _Refused):
                    raise PhenoLIPError(result.message)
                left -= 1
                yield result
                if self._started != own:
                    raise RuntimeError("a later run took over these processes")
        finally:
            if left and self._started == own:
                self.close()

    def close(self) -> None:
        """End the processes."""
        iterator, self._loader._iterator = self._loader._iterator, None
        if iterator is not None:
            _unwatch(iterator)
            iterator._shutdown_workers()

    def _watched(self, step: Callable[[], Any]) -> Any:
        """``step()``; a process that has died, before or during it, is one line.

        torch says so by a signal handler, which raises wherever the main thread is: in the step of an optimiser,
        in `close`. Here alone it may; it is needed here, as a process can die with half a message written, and
        reading that would never end.
        """
        reason = None
        try:
            try:
                if self._loader._iterator is not None:
                    _watch(self._loader._iterator)
                    reason = self._dead()  # since the last step, when nobody was told
                if reason is None:
                    return step()
            finally:
                if self._loader._iterator is not None:
                    _unwatch(self._loader._iterator)
        except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
            # Of a process that is about to die only its closed connections may be seen yet.
            told = str(error).splitlines()[0] if str(error).startswith("DataLoader worker (pid") else None
            reason = told or self._dead(wait=1.0)
            if reason is None:
                raise
        raise PhenoLIPError(
            f"a process that reads pictures was ended ({reason}); it may be short of memory or "
            "of /dev/shm: use fewer loading workers, or none"
        )

    def _dead(self, wait: float = 0.0) -> str | None:
        """What is known of processes that have died, or None; up to `wait` seconds for one that is dying."""
        workers = getattr(self._loader._iterator, "_workers", [])
        ending = connection.wait([worker.sentinel for worker in workers], wait) if workers else []
        for worker in workers:
            if worker.sentinel in ending:
                worker.join(wait)
        dead = [f"pid {worker.pid}, exit code {worker.exitcode}" for worker in workers if not worker.is_alive()]
        return "; ".join(dead) or None


def _watch(iterator: Any) -> None:
    """Let torch's handler raise when a process of `iterator` dies; it does so once, however many die."""
    _unwatch(iterator)
    signal_handling._set_worker_pids(id(iterator), tuple(worker.pid for worker in iterator._workers))
    iterator._worker_pids_set = True


def _unwatch(iterator: Any) -> None:
    if iterator._worker_pids_set:
        with suppress(ValueError):  # removed, and then the handler raised before the next line
            signal_handling._remove_worker_pids(id(iterator))
        iterator._worker_pids_set = False


class _Rows:
    """Reads the pictures of rows of a table of pairs."""

    def __init__(
        self, pairs: pd.DataFrame, root: Path, side: int, threads: int, fit: Fit, augment: Augment | None, seed: int
    ) -> None:
        columns = ["image", "left", "top", "right", "bottom"] + (["modality", "caption"] if augment else [])
        self.pairs, self.root, self.side, self.threads = pairs[columns], Path(root), side, threads
        self.fit, self.augment, self.seed = fit, augment, seed

    def __call__(self, task: tuple[int, np.ndarray]) -> torch.Tensor:
        epoch, rows = task

        def one(row: int, pair) -> torch.Tensor:
            changes = {"fit": self.fit}
            if self.augment:
                changes |= {"modality": pair.modality, "caption": pair.caption}
                changes |= {"augment": self.augment, "seed": image_seed(self.seed, epoch, row)}
            box = (pair.left, pair.top, pair.right, pair.bottom)
            return read_pixels(self.root, pair.image, self.side, box, **changes)

        own = list(self.pairs.iloc[rows].itertuples(index=False))
        if self.threads == 1:
            return torch.stack([one(row, pair) for row, pair in zip(rows.tolist(), own, strict=True)])
        with ThreadPoolExecutor(self.threads) as pool:
            return torch.stack(list(pool.map(one, rows.tolist(), own)))


class ImageBatches:
    """Batches of pictures of a table of pairs, by row number.

    Use it in a ``with`` block, or call `close` at the end; a loop that is left early ends the processes itself.

    Args:
        pairs: table with `image`, `left`, `top`, `right`, `bottom`, and for `augment` `modality` and `caption`.
        root: folder the images are relative to.
        side: pixels.
        workers: processes that read ahead; 0 reads in this one.
        threads: threads of each of them.
        fit: how a picture is brought to `side`.
        augment: random changes of the training pictures, or None.
        seed: of the changes.
    """

    def __init__(
        self,
        pairs: pd.DataFrame,
        root: Path,
        side: int,
        *,
        workers: int = 2,
        threads: int = 1,
        fit: Fit = SQUASH,
        augment: Augment | None = None,
        seed: int = 0,
    ) -> None:
        self._reader = Reader(_Rows(pairs, root, side, threads, fit, augment, seed), workers)

    def batches(self, row_batches: Sequence[np.ndarray], epoch: int) -> Iterator[torch.Tensor]:
        """Pictures of each batch of rows, uint8 ``(n, 3, side, side)``; in pinned memory where there is a GPU.

        Raises:
            PhenoLIPError: a picture cannot be read; the message names it.
        """
        return self._reader.run([(epoch, np.asarray(rows)) for rows in row_batches])

    def close(self) -> None:
        """End the processes."""
        self._reader.close()

    def __enter__(self) -> ImageBatches:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
