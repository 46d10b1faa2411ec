"""Frozen trunk features, computed once and kept in a cache keyed by what they were made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import DamagedError
from phenolip_lib.core.kept import spared
from phenolip_lib.core.progress import track
from phenolip_lib.core.runtime import autocast, log, precision
from phenolip_lib.core.storage import digest, read_arrays, write_arrays
from phenolip_lib.data.archives import digests
from phenolip_lib.data.images import read_image
from phenolip_lib.models.preprocess import SQUASH, Fit
from phenolip_lib.models.towers import TextTower, TwoTowers

TOKENS = 2048
"""Of a batch of texts; on a CPU larger ones leave the caches and gain nothing."""


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
    device: torch.device | str = "cpu",
    workers: int = 1,
    cache: Path | None = None,
    known: Known | None = None,
) -> np.ndarray:
    """Trunk features of texts, float32 ``(n_texts, width)``; equal texts are computed once.

    A batch holds texts of one length in tokens, so nothing is spent on padding, and the result depends neither on
    the order of the texts nor on the number of workers.

    Args:
        workers: batches computed side by side, on a CPU.
        known: texts whose features are at hand, used where they are of the same trunk and limit.
    """
    limit = tower.limit(max_tokens)
    texts = [tower.clean(text) for text in texts]
    kept = known.rows if known is not None and known.key == (tower.fingerprint, limit) else {}
    unique = sorted(set(texts) - kept.keys())

    def compute() -> np.ndarray:
        ids = tower.tokenizer(unique, truncation=True, max_length=limit)["input_ids"] if unique else []
        found = np.empty((len(unique), tower.width), dtype=np.float32)

        def one(rows: np.ndarray) -> None:
            tokens = torch.tensor([ids[row] for row in rows], device=device)
            with torch.no_grad(), autocast(device):
                found[rows] = tower.trunk(tokens).float().cpu().numpy()

        with on_device(tower.encoder, device):
            in_threads(one, _equal_lengths([len(own) for own in ids]), workers, device, f"{len(unique)} texts")
        return found

    key = digest("text", tower.fingerprint, limit, precision(device), code_digest(__name__), unique)
    features = cached(cache, key, len(unique), compute) if unique else np.empty((0, tower.width), dtype=np.float32)
    position = {text: i for i, text in enumerate(unique)}
    new = np.array([position.get(text, -1) for text in texts], dtype=np.int64)
    found = np.empty((len(texts), tower.width), dtype=np.float32)
    found[new >= 0] = features[new[new >= 0]]
    if kept:
        found[new < 0] = known.features[[kept[text] for text, row in zip(texts, new, strict=True) if row < 0]]
    return found


@dataclass(frozen=True)
class Known:
    """Features of raw texts that one trunk gave; another tower with the same trunk need not compute them again."""

    key: tuple[str, int]
    rows: dict[str, int]
    features: np.ndarray

    @classmethod
    def of(cls, tower: TextTower, texts: Sequence[str], features: np.ndarray, max_tokens: int | None = None) -> Known:
        """Features of `text_features` with the texts and options that it was given."""
        key = (tower.fingerprint, tower.limit(max_tokens))
        return cls(key, {tower.clean(text): i for i, text in enumerate(texts)}, features)


def _equal_lengths(lengths: Sequence[int]) -> list[np.ndarray]:
    """Rows of texts of one length, in batches of some `TOKENS`, the dearest first."""
    batches = []
    for length in sorted(set(lengths), reverse=True):
        rows = np.flatnonzero(np.asarray(lengths) == length)
        batches += np.array_split(rows, range(max(TOKENS // length, 1), len(rows), max(TOKENS // length, 1)))
    return batches


def in_threads(one: Callable, batches: Sequence, workers: int, device: torch.device | str, what: str) -> list:
    """``one(batch)`` of all batches in order: on a CPU on so many threads, since torch lets go of Python's lock."""
    workers = workers if torch.device(device).type == "cpu" else 1
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        return list(track(pool.map(one, batches), what, len(batches), "batches"))


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
    workers: int = 1,
    cache: Path | None = None,
) -> np.ndarray:
    """Trunk features of the pairs' pictures, float32 ``(n_pairs, width)``.

    The cache key holds the files' contents, so an exchanged image is never served from it.
    """

    def one(start: int) -> np.ndarray:
        part = pairs.iloc[start : start + batch_size]
        pixels = load_pixels(part, root, towers.image_size, 1, towers.fit).to(device)
        with torch.no_grad(), autocast(device):
            return towers.image_trunk(pixels).float().cpu().numpy()

    def compute() -> np.ndarray:
        # Of the trunk alone: a student on a GPU leaves other parts of open_clip's model where they were.
        with on_device(towers.model.visual.trunk, device):
            starts = range(0, len(pairs), batch_size)
            return np.concatenate(in_threads(one, starts, workers, device, f"{len(pairs)} pictures"))

    if cache is None:
        return compute()
    own = (towers.fingerprint, towers.image_size, precision(device), code_digest(__name__))
    return cached(cache, digest("image", *own, *contents_of(pairs, root, workers)), len(pairs), compute)


def contents_of(pairs: pd.DataFrame, root: Path, workers: int = 1) -> tuple[list[str], list[list[float]]]:
    """What the pairs' pictures are, for keys of what is made of them: the digest and the box of each."""
    contents = pairs["image"].map(digests(root, pairs["image"], workers)).tolist()
    return contents, pairs[["left", "top", "right", "bottom"]].round(6).values.tolist()


@contextmanager
def on_device(module: torch.nn.Module, device: torch.device | str) -> Iterator[None]:
    """The module in evaluation mode on a device for a while, and back where it was."""
    home = next(module.parameters()).device
    module.eval().to(device)
    try:
        yield
    finally:
        module.to(home)
