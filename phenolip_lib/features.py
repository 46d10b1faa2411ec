"""Frozen trunk features, computed once and kept in a cache keyed by what they were made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from phenolip_lib.encoders import TextTower, TwoTowers
from phenolip_lib.errors import DamagedError
from phenolip_lib.fitting import SQUASH, Fit
from phenolip_lib.images import inside, read_image
from phenolip_lib.kept import spared
from phenolip_lib.progress import track
from phenolip_lib.runtime import log
from phenolip_lib.storage import digest, read_arrays, sha256_file, write_arrays


def cached(cache: Path | None, key: str, rows: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array ``(rows, width)`` under `key`, computed and stored if absent; a damaged file is computed anew."""
    path = cache / f"{key}.npz" if cache else None
    if path and path.exists():
        with suppress(DamagedError, KeyError):
            features = read_arrays(path)["features"]
            if features.ndim == 2 and len(features) == rows and features.dtype.kind == "f":
                return features
        log.info("%s is damaged and is computed anew", path.name)
    features = compute()
    if path:
        with spared(cache):
            write_arrays(path, features=features)
    return features


@torch.no_grad()
def text_features(
    tower: TextTower,
    texts: Sequence[str],
    *,
    max_tokens: int | None = None,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
) -> np.ndarray:
    """Trunk features of texts, float32 ``(n_texts, width)``; equal texts are computed once.

    Texts are batched by length, in a fixed order, so that little is spent on padding and the
    result does not depend on the order they come in.
    """
    texts = [tower.clean(text) for text in texts]
    unique = sorted(set(texts), key=lambda text: (len(text), text))

    def compute() -> np.ndarray:
        encoder, home = tower.encoder.eval(), next(tower.encoder.parameters()).device
        encoder.to(device)
        rows = []
        starts = range(0, len(unique), batch_size)
        for start in track(starts, f"{len(unique)} texts", len(starts), "batches"):
            tokens = tower.token_ids(unique[start : start + batch_size], max_tokens).to(device)
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                rows.append(tower.trunk(tokens).float().cpu())
        encoder.to(home)
        return torch.cat(rows).numpy()

    key = digest("text", tower.fingerprint, max_tokens or tower.context_length, unique)
    features = cached(cache, key, len(unique), compute)
    position = {text: i for i, text in enumerate(unique)}
    return features[[position[text] for text in texts]]


def load_pixels(pairs: pd.DataFrame, root: Path, side: int, threads: int = 2, fit: Fit = SQUASH) -> torch.Tensor:
    """Pictures of the pairs brought to `side`, uint8 ``(n, 3, side, side)``."""

    def one(row) -> np.ndarray:
        image = read_image(root, row.image, (row.left, row.top, row.right, row.bottom))
        return np.asarray(fit(image, side))

    with ThreadPoolExecutor(threads) as pool:
        arrays = list(pool.map(one, pairs.itertuples(index=False)))
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


@torch.no_grad()
def image_features(
    towers: TwoTowers,
    pairs: pd.DataFrame,
    root: Path,
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    threads: int = 2,
    cache: Path | None = None,
) -> np.ndarray:
    """Trunk features of the pairs' pictures, float32 ``(n_pairs, width)``.

    The cache key holds the files' contents, so an exchanged image is never served from it.
    """

    def compute() -> np.ndarray:
        model, home = towers.model.eval(), next(towers.model.parameters()).device
        model.to(device)
        rows = []
        starts = range(0, len(pairs), batch_size)
        for start in track(starts, f"{len(pairs)} pictures", len(starts), "batches"):
            part = pairs.iloc[start : start + batch_size]
            pixels = load_pixels(part, root, towers.image_size, threads, towers.fit).to(device)
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                rows.append(towers.image_trunk(pixels).float().cpu())
        model.to(home)
        return torch.cat(rows).numpy()

    with ThreadPoolExecutor(threads) as pool:
        contents = dict(
            zip(
                files := sorted(set(pairs["image"])),
                pool.map(lambda f: sha256_file(inside(root, f)), files),
                strict=True,
            )
        )
    boxes = pairs[["left", "top", "right", "bottom"]].round(6).values.tolist()
    key = digest("image", towers.fingerprint, towers.image_size, [contents[f] for f in pairs["image"]], boxes)
    return cached(cache, key, len(pairs), compute)
