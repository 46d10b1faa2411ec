"""Image features of a frozen tower as a training step sees them: of a random view, with noise, mixed with another's.

A frozen tower gives each image the same features in every epoch, which heads soon know by heart.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from phenolip_lib.core.sections import Stage2

VIEW_SHARE = 0.8
"""Side of a view beside that of its image; the first view is the whole image, the next are its corners and middle."""
CORNERS = ((0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.5, 0.5))


def view(pairs: pd.DataFrame, number: int) -> pd.DataFrame:
    """The pairs with their crop cut down to a view; number 0 is the whole crop."""
    if number == 0:
        return pairs
    across, down = CORNERS[number - 1]
    width, height = pairs["right"] - pairs["left"], pairs["bottom"] - pairs["top"]
    left, top = pairs["left"] + across * (1 - VIEW_SHARE) * width, pairs["top"] + down * (1 - VIEW_SHARE) * height
    return pairs.assign(left=left, top=top, right=left + VIEW_SHARE * width, bottom=top + VIEW_SHARE * height)


class PerturbedFeatures:
    """Features of a run's images.

    Args:
        views: ``(n_pairs, n_views, width)``, the first view the whole image.
        rows: of the training pairs, whose spread sizes the noise.
        p: ``feature_noise`` is the standard deviation of Gaussian noise in units of each feature's own;
            ``feature_mixup`` the parameter a of Beta(a, a), from which a share is drawn, that of the image itself
            being the larger part; the rest is of another image of the batch (Zhang et al. 2018, inputs only).
        seed: of the run.
    """

    def __init__(self, views: torch.Tensor, rows: np.ndarray, p: Stage2, seed: int) -> None:
        self.views, self.p, self.seed = views, p, seed
        self.spread = views[rows, 0].std(dim=0) if p.feature_noise > 0 else None

    def take(self, rows: np.ndarray, epoch: int, step: int, rank: int) -> torch.Tensor:
        """Features of a step ``(n, width)``."""
        rng = np.random.default_rng((self.seed, epoch, step, rank, 2))
        n_views = self.views.shape[1]
        taken = self.views[rows, rng.integers(n_views, size=len(rows))] if n_views > 1 else self.views[rows, 0]
        if self.p.feature_mixup > 0:
            share = rng.beta(self.p.feature_mixup, self.p.feature_mixup, size=(len(rows), 1))
            share = torch.from_numpy(np.maximum(share, 1 - share).astype(np.float32))
            taken = share * taken + (1 - share) * taken[torch.from_numpy(rng.permutation(len(rows)))]
        if self.spread is not None:
            noise = torch.from_numpy(rng.standard_normal(taken.shape, dtype=np.float32))
            taken = taken + self.p.feature_noise * self.spread * noise
        return taken
