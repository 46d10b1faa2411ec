"""Images of WebDataset shards (`shards`) in a random order that reads each shard nearly front to back.

For data too large to lie about as single files.

The order of an epoch is computed before anything is read, from the number of samples of each shard:
shards are shuffled and laid end to end, the ring is turned by a random amount, every process takes
an equally long stretch of it, and a shuffle buffer mixes each stretch. So processes never read the same
sample, all have the same number of full batches (a process that ran out earlier would leave the
others waiting for ever), at most ``batch_size x processes - 1`` samples are left out of an epoch,
other ones each time, and an interrupted epoch goes on at any step without reading what came before.
There may be fewer shards than processes or workers. The library ``webdataset`` does not serve here: its streams cannot
start within an epoch but by reading what comes before, and its processes may end up with unequal numbers of batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import digest
from phenolip_lib.models.preprocess import SQUASH, Fit
from phenolip_lib.training.augment import Augment, image_seed
from phenolip_lib.training.image_loader import Reader, read_pixels
from phenolip_lib.training.shards import THREADS, Sample, caption_of, facts_of, find_shards, samples, verify_shards


class _Samples:
    """Reads the pictures of samples, by number in the order of shards and samples."""

    def __init__(
        self,
        folder: Path,
        names: list[str],
        counts: np.ndarray,
        side: int,
        fit: Fit,
        augment: Augment | None,
        seed: int,
        pairs: pd.DataFrame | None,
    ) -> None:
        self.folder, self.names, self.starts = folder, names, np.cumsum(counts) - counts
        self.counts, self.side, self.fit, self.augment, self.seed = counts, side, fit, augment, seed
        self.table = None if pairs is None else pairs[["modality", "caption"]].reset_index(drop=True)
        self.ids = None if pairs is None else pd.Index(pairs["pair_id"])

    def __call__(self, task: tuple[int, np.ndarray]) -> tuple[list[str], torch.Tensor]:
        epoch, numbers = task
        places = [self._place(number) for number in numbers.tolist()]
        ids, captions, modalities, keys = [], [], [], []
        for path, name, sample in places:
            facts = facts_of(path, sample)
            ids.append(str(facts.get("pair_id") or f"webdataset/{name.removesuffix('.tar')}/{sample.key}"))
            if self.augment and self.table is None:
                captions.append(caption_of(path, sample, facts))
                modalities.append(str(facts.get("modality") or "other"))
                keys.append(int(digest(ids[-1]), 16))
        if self.table is not None:
            keys = rows_of(self.ids, ids).tolist()
            captions, modalities = (self.table[column].iloc[keys].tolist() for column in ("caption", "modality"))
        pictures = []
        for i, (path, _, sample) in enumerate(places):
            changes = {"fit": self.fit}
            if self.augment:
                changes |= {"augment": self.augment, "modality": modalities[i], "caption": captions[i]}
                changes["seed"] = image_seed(self.seed, epoch, keys[i])
            # Its own folder for root, as a shard may well be a link.
            own = path.resolve()
            pictures.append(read_pixels(own.parent, f"{own.name}::{sample.picture}", self.side, **changes))
        return ids, torch.stack(pictures)

    def _place(self, number: int) -> tuple[Path, str, Sample]:
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        path = self.folder / self.names[shard]
        own = samples(path)
        if len(own) != self.counts[shard]:
            raise PhenoLIPError(f"{path}: {len(own)} samples, {self.counts[shard]} are listed; copy or export it anew")
        return path, self.names[shard], own[number - self.starts[shard]]


def rows_of(pairs: pd.DataFrame | pd.Index, ids: list[str]) -> np.ndarray:
    """Rows of the pairs table (or of the index of its `pair_id`) with these ids, int64 ``(n,)``.

    Raises:
        PhenoLIPError: an id is not in the table.
    """
    index = pairs if isinstance(pairs, pd.Index) else pd.Index(pairs["pair_id"])
    rows = index.get_indexer(ids)
    if (rows < 0).any():
        absent = ids[int(np.argmin(rows))]
        raise PhenoLIPError(
            f"{absent}: a sample of the shards that the table of pairs does not have; "
            "export them from the same table with `phenolip export webdataset`"
        )
    return rows


def buffer_shuffle(numbers: np.ndarray, buffer: int, rng: np.random.Generator) -> np.ndarray:
    """The order in which a shuffle buffer lets go of a stream.

    The buffer is filled; then each number that comes in pushes a random one out, and in the end the
    rest leaves in random order. So a number leaves at most `buffer` places before its turn.
    """
    held, rest = numbers[:buffer].copy(), numbers[buffer:]
    places = rng.integers(len(held), size=len(rest)) if len(rest) else np.empty(0, dtype=np.int64)
    result = np.empty_like(numbers)
    for i, (number, place) in enumerate(zip(rest.tolist(), places.tolist(), strict=True)):
        result[i], held[place] = held[place], number
    result[len(rest) :] = rng.permutation(held)
    return result


class ShardStream:
    """One process's share of the samples of shards, epoch by epoch.

    Args:
        where: a folder of shards, or a pattern as ``DATA/cc-train-*.tar``.
        split: the subfolder of a folder; None for the folder itself.
        side: pixels of the result.
        batch_size: pictures of a batch of this process.
        seed: of order and changes.
        rank, world: this process and how many there are.
        workers: processes that read ahead; 0 reads in this one. The result does not depend on it.
        shuffle_buffer: samples that a stretch is mixed over; one to a few shards' worth, as beyond ten
            shards' worth (`samples` keeps 64) shards are looked through again and again.
        fit: how a picture is brought to `side`.
        augment: random changes, or None.
        pairs: table of pairs that every sample must be in; its captions and modalities then rule
            the changes, which are those of `image_loader.ImageBatches` for the row, not those of the shard.
        verify: compare the shards with the sha256 of ``index.json``, once; each process checks its part.

    Attributes:
        steps: batches of an epoch, the same in every process.

    Raises:
        PhenoLIPError: no shards, damaged ones, or fewer samples than one batch of all processes.
    """

    def __init__(
        self,
        where: str | Path,
        split: str | None,
        side: int,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        workers: int = 2,
        shuffle_buffer: int = 2000,
        fit: Fit = SQUASH,
        augment: Augment | None = None,
        pairs: pd.DataFrame | None = None,
        verify: bool = True,
    ) -> None:
        folder, names, entries = find_shards(where, split)
        if entries is None:
            with ThreadPoolExecutor(THREADS) as pool:
                counts = list(pool.map(lambda name: len(samples(folder / name)), names))
        else:
            listed = {entry["shard"]: entry for entry in entries}
            counts = [listed[name]["samples"] for name in names]
            if verify:
                verify_shards(folder, [listed[name] for name in names[rank::world]])
        self.counts = np.array(counts, dtype=np.int64)
        self.batch_size, self.seed, self.rank, self.world = batch_size, seed, rank, world
        self.buffer = max(1, shuffle_buffer)
        self.steps = int(self.counts.sum()) // (batch_size * world)
        if not self.steps:
            raise PhenoLIPError(
                f"{where}: {self.counts.sum()} samples; a batch of {batch_size} in each of {world} processes "
                f"needs {batch_size * world}"
            )
        self._reader = Reader(_Samples(folder, names, self.counts, side, fit, augment, seed, pairs), workers)

    def order(self, epoch: int) -> np.ndarray:
        """Numbers of this process's samples in an epoch, ``(steps, batch_size)``, counted over shards by name."""
        rng = np.random.default_rng((self.seed, epoch))
        starts = np.cumsum(self.counts) - self.counts
        shards = rng.permutation(len(self.counts))
        ring = np.concatenate([np.arange(starts[s], starts[s] + self.counts[s]) for s in shards])
        length = self.steps * self.batch_size
        # Turned by a random amount, so that what is left over at its end is not always of the same shard.
        first = rng.integers(len(ring)) + self.rank * length
        stretch = ring[np.arange(first, first + length) % len(ring)]
        mixed = buffer_shuffle(stretch, self.buffer, np.random.default_rng((self.seed, epoch, self.rank)))
        return mixed.reshape(self.steps, self.batch_size)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[list[str], torch.Tensor]]:
        """Pair ids and pictures, uint8 ``(batch_size, 3, side, side)``, of each batch from `start_step` on.

        The id is ``pair_id`` of the sample's JSON, or ``webdataset/<shard>/<key>`` as its record is called.

        Raises:
            PhenoLIPError: a shard or a picture cannot be read, or a sample is not in the table of pairs.
        """
        return self._reader.run([(epoch, numbers) for numbers in self.order(epoch)[start_step:]])

    def close(self) -> None:
        """End the processes."""
        self._reader.close()

    def __enter__(self) -> ShardStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
