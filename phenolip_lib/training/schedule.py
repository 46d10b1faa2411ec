"""What changes over a run: the learning rate, the seed of a step, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch


def cosine_schedule(step: int, total: int, warmup: int) -> float:
    """Multiplier of the learning rate: linear warm-up, then a half cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


class EarlyStopping:
    """Keeps the weights of the best validation and says when to stop.

    Args:
        patience: validations without a better score before the end; None never stops and keeps
            the last weights.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience, self.best, self.since = patience, -math.inf, 0
        self.weights: dict[str, torch.Tensor] = {}

    def see(self, score: float | None, weights: Callable[[], dict[str, torch.Tensor]]) -> bool:
        """Take note of a validation score; True to stop."""
        if self.patience is None or score is None:
            return False
        if score > self.best:
            self.best, self.since = score, 0
            self.weights = {key: value.detach().cpu().clone() for key, value in weights().items()}
        else:
            self.since += 1
        return self.since >= self.patience


def seed_of(*parts: int) -> int:
    """A 63-bit seed from integers, e.g. run seed, step, rank."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
