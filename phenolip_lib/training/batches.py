"""Which pairs each step of stage 2 takes, and their pixels where the image tower runs: from files or from shards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.models.towers import TwoTowers
from phenolip_lib.training import augment
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.image_loader import ImageBatches
from phenolip_lib.training.inputs import TrainingData
from phenolip_lib.training.streaming import ShardStream, rows_of
from phenolip_lib.training.subset import Order


class PairBatches:
    """The batches of one process.

    Attributes:
        rows: of the training pairs.
        size: pairs of a step over all processes.
        steps: of an epoch.

    Raises:
        PhenoLIPError: too few training pairs; a batch that does not divide; shards that are sampled.
    """

    def __init__(self, params: Params, data: TrainingData, towers: TwoTowers, seed: int, group: Group) -> None:
        p, workers = params.stage2, params.training.loader_workers
        self.pairs, self.group = data.pairs, group
        self.rows = np.flatnonzero(data.pairs["split"].to_numpy() == "train")
        if len(self.rows) < 2:
            raise PhenoLIPError(f"stage 2: {len(self.rows)} training pairs; contrast needs at least 2")
        if len(self.rows) < group.size:
            raise PhenoLIPError(f"stage 2: {len(self.rows)} training pairs for {group.size} processes")
        self.size = min(p.batch_size, len(self.rows) // group.size * group.size)
        group.share(self.size, "stage2.batch_size")
        self.steps = len(self.rows) // self.size
        changes = None if p.augment == "none" else augment.build(p.augment, p.augment_strength)
        self.loading = ImageBatches(
            data.pairs,
            data.root,
            towers.image_size,
            workers=workers,
            threads=1 if workers else params.runtime.workers,
            fit=towers.fit,
            augment=changes,
            seed=seed,
        )
        self.stream = None
        if p.shards is not None and p.image_tower == "finetune":
            if p.sampling != "uniform":
                raise PhenoLIPError(f"stage2.sampling {p.sampling!r} needs files: shards are read in their order")
            self.stream = ShardStream(
                p.shards,
                "train",
                towers.image_size,
                self.size // group.size,
                seed=seed,
                rank=group.rank,
                world=group.size,
                workers=workers,
                shuffle_buffer=p.shuffle_buffer,
                fit=towers.fit,
                augment=changes,
                pairs=data.pairs.iloc[self.rows],  # of another split or share, shards would leak: refused
            )
            self.steps = min(self.steps, self.stream.steps)
        own = [data.pairs["phenotypes"].iat[row] for row in self.rows]
        self.order = Order(self.rows, own, p.sampling, seed)

    def epoch(self, epoch: int, first: int, pixels: bool) -> Iterator[tuple[np.ndarray, torch.Tensor | None]]:
        """This process's rows of each step from step `first` on, with their pixels if asked for."""
        if pixels and self.stream is not None:
            stream = self.stream.epoch(epoch, first)
            for _, (ids, images) in zip(range(first, self.steps), stream, strict=False):
                yield rows_of(self.pairs, ids), images
            return
        order, own = self.order.epoch(epoch), self.group.share(self.size)
        batches = [order[step * self.size :][: self.size][own] for step in range(first, self.steps)]
        if not pixels:
            yield from ((rows, None) for rows in batches)
        else:
            yield from zip(batches, self.loading.batches(batches, epoch), strict=True)

    def close(self) -> None:
        """End the processes that read images."""
        self.loading.close()
        if self.stream is not None:
            self.stream.close()
