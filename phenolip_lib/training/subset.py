"""What may be done to the training split before training: fewer cases, wrong captions, shorter captions, balance.

Test and validation rows are never touched.
"""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pandas as pd

from phenolip_lib.core.sections import Stage2

UNUSED = "unused"
"""The split of rows that are left out of training."""


def prepared(pairs: pd.DataFrame, p: Stage2, seed: int = 0) -> pd.DataFrame:
    """The pairs as `stage2.train_share`, `caption_noise` and `caption_words` ask for.

    Args:
        pairs: all pairs of a source.
        seed: which groups go and whose captions are exchanged.
    """
    if p.train_share == 1 and p.caption_noise == 0 and p.caption_words is None:
        return pairs
    pairs = pairs.copy()
    train = pairs["split"] == "train"
    if p.train_share < 1:
        # A smaller share is a part of every larger one, so a scaling curve has one order of cases.
        gone = train & (pairs["group"].map(lambda group: _draw(seed, group)) >= p.train_share)
        pairs.loc[gone, "split"] = UNUSED
        train &= ~gone
    if p.caption_words is not None:
        cut = pairs.loc[train, "caption"].str.split().str[: p.caption_words].str.join(" ")
        pairs.loc[train, "caption"] = cut
    if p.caption_noise > 0:
        rng = np.random.default_rng(seed)
        rows = np.flatnonzero(train)
        wrong = rng.permutation(rows)[: round(p.caption_noise * len(rows))]
        # One step around a random ring: nobody keeps the own caption.
        pairs.loc[pairs.index[wrong], "caption"] = pairs["caption"].to_numpy()[np.roll(wrong, 1)]
    return pairs


def _draw(seed: int, group: str) -> float:
    return int(hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()[:12], 16) / 16**12


class Order:
    """The order of training rows of each epoch.

    Args:
        rows: positions of the training pairs.
        phenotypes: of each of them.
        sampling: ``uniform`` is a permutation; ``balanced`` draws with replacement, a pair as often as the
            square root of how rare its rarest phenotype is (Mahajan et al. 2018), as many as there are rows.
        seed: of the run.
    """

    def __init__(self, rows: np.ndarray, phenotypes: list[list[str]], sampling: str, seed: int) -> None:
        self.rows, self.seed, self.weights = rows, seed, None
        if sampling == "balanced":
            counts = Counter(h for own in phenotypes for h in own)
            none = sum(not own for own in phenotypes) or 1
            rarest = np.array([min((counts[h] for h in own), default=none) for own in phenotypes], dtype=float)
            self.weights = rarest**-0.5 / (rarest**-0.5).sum()

    def epoch(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng((self.seed, epoch))
        if self.weights is None:
            return rng.permutation(self.rows)
        return rng.choice(self.rows, size=len(self.rows), p=self.weights)
