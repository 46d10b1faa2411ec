"""Embeddings of pairs' pictures, and of texts, by whatever model encodes them.

They are kept in parts, each under the model and the content of what is embedded, so an interrupted run goes on and a
second data set with the same pictures computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.progress import track
from phenolip_lib.core.storage import digest
from phenolip_lib.data.archives import digests
from phenolip_lib.data.images import read_image
from phenolip_lib.models.features import cached

PART, BATCH = 512, 32
"""Rows that are kept together, and that the model sees at once."""


def item_vectors(
    encode: Callable[[list], np.ndarray], items: list, cache: Path | None, key: str, title: str
) -> np.ndarray:
    """An embedding for each item, ``(n_items, embed_dim)``; equal items are embedded once, in a fixed order.

    Args:
        key: a hash of the model.
        title: what the log calls it.
    """
    unique = sorted(set(items))
    parts = []
    starts = range(0, len(unique), PART)
    for start in track(starts, title, len(starts), "parts"):
        part = unique[start : start + PART]

        def compute(part: list = part) -> np.ndarray:
            return np.concatenate([encode(part[i : i + BATCH]) for i in range(0, len(part), BATCH)])

        parts.append(cached(cache, digest(key, part), len(part), compute))
    place = {item: i for i, item in enumerate(unique)}
    return np.concatenate(parts)[[place[item] for item in items]]


def pair_vectors(
    encode: Callable[[list], np.ndarray], pairs: pd.DataFrame, root: Path, cache: Path | None, key: str, title: str
) -> np.ndarray:
    """`item_vectors` of pairs' pictures, each cut to its box.

    Args:
        encode: embeddings of a list of PIL images.
        root: the folder that the pictures are relative to.

    Raises:
        PhenoLIPError: a picture that cannot be read.
    """
    contents = pairs["image"].map(digests(root, pairs["image"]))
    files = dict(zip(contents, pairs["image"], strict=True))
    boxes = pairs[["left", "top", "right", "bottom"]].round(6).itertuples(index=False, name=None)
    items = [(content, *box) for content, box in zip(contents, boxes, strict=True)]

    def read(part: list[tuple]) -> np.ndarray:
        return encode([read_image(root, files[content], box) for content, *box in part])

    return item_vectors(read, items, cache, key, title)
