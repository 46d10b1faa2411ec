"""Tokens of frozen towers, computed once and kept: cells of the image tower's map, and states of the text tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.runtime import autocast, precision
from phenolip_lib.core.storage import digest, digest_arrays
from phenolip_lib.models.features import cached, contents_of, in_threads, load_pixels, on_device
from phenolip_lib.models.towers import TextTower, TwoTowers

BATCH = 32


@dataclass(frozen=True)
class TokenIds:
    """Texts cut into tokens.

    Attributes:
        texts: as the tower cleans them; `offsets` are places in these.
        ids: padded ``(n, t)``.
        lengths: tokens of each, those that stand for the text among them ``(n,)``.
        offsets: start and end of each token ``(n, t, 2)``.
    """

    texts: list[str]
    ids: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray

    def tokens_of(self, row: int, start: int, end: int) -> tuple[int, int]:
        """First token and the one after the last of ``text[start:end]``; equal ones if it was cut off."""
        own = self.offsets[row, : self.lengths[row]]
        inside = np.flatnonzero((own[:, 0] < end) & (own[:, 1] > start))
        return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)


def tokenise(tower: TextTower, texts: Sequence[str], limit: int) -> TokenIds:
    """Tokens of texts, cut after `limit` of them."""
    cleaned = [tower.clean(text) for text in texts]
    found = tower.tokenizer(
        cleaned, truncation=True, max_length=limit, padding="max_length", return_offsets_mapping=True
    )
    ids, mask = np.array(found["input_ids"], dtype=np.int64), np.array(found["attention_mask"])
    return TokenIds(cleaned, ids, mask.sum(axis=1), np.array(found["offset_mapping"], dtype=np.int64))


def text_states(
    tower: TextTower,
    ids: np.ndarray,
    lengths: np.ndarray,
    *,
    device: torch.device | str = "cpu",
    workers: int = 1,
    cache: Path | None = None,
) -> np.ndarray:
    """The text tower's last states, float16 ``(n, t, width)``; zero beyond a text's length."""
    n, limit = ids.shape

    def compute() -> np.ndarray:
        found = np.zeros((n, limit, tower.width), dtype=np.float16)

        def one(rows: np.ndarray) -> None:
            own = torch.from_numpy(ids[rows, : lengths[rows[0]]]).to(device)
            with torch.no_grad(), autocast(device):
                states = tower.encoder.transformer(input_ids=own).last_hidden_state
            found[rows, : own.shape[1]] = states.half().cpu().numpy()

        batches = []
        for length in sorted(set(lengths.tolist()), reverse=True):
            rows = np.flatnonzero(lengths == length)
            batches += np.array_split(rows, range(BATCH, len(rows), BATCH))
        with on_device(tower.encoder, device):
            in_threads(one, batches, workers, device, f"{n} texts")
        return found.reshape(n, -1)

    key = digest(
        "text tokens", tower.fingerprint, precision(device), code_digest(__name__), digest_arrays(ids, lengths)
    )
    return cached(cache, key, n, compute).reshape(n, limit, tower.width)


def image_cells(
    towers: TwoTowers,
    images: pd.DataFrame,
    root: Path,
    cells: int,
    *,
    device: torch.device | str = "cpu",
    workers: int = 1,
    cache: Path | None = None,
) -> np.ndarray:
    """Means of the image tower's map over ``cells x cells`` parts after that over all, float16 ``(n, 1 + cells², w)``.

    Args:
        images: table of image, left, top, right and bottom, as `features.image_features` takes it.
    """
    trunk = towers.model.visual.trunk

    def one(start: int) -> np.ndarray:
        part = images.iloc[start : start + BATCH]
        pixels = load_pixels(part, root, towers.image_size, 1, towers.fit).to(device)
        with torch.no_grad(), autocast(device):
            maps = trunk.forward_features(towers.scaled(pixels)).float()
        parts = F.adaptive_avg_pool2d(maps, cells).flatten(2).transpose(1, 2)
        tokens = torch.cat([maps.mean(dim=(2, 3))[:, None], parts], dim=1)
        return tokens.half().cpu().numpy().reshape(len(part), -1)

    def compute() -> np.ndarray:
        with on_device(trunk, device):
            starts = range(0, len(images), BATCH)
            return np.concatenate(in_threads(one, starts, workers, device, f"{len(images)} pictures"))

    own = (towers.fingerprint, towers.image_size, cells, precision(device), code_digest(__name__))
    key = digest("image cells", *own, *contents_of(images, root, workers))
    return cached(cache, key, len(images), compute).reshape(len(images), 1 + cells**2, -1)
