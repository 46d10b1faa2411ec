"""Embeddings of a source, which is all that evaluation knows of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError


@dataclass
class Embedded:
    """Embeddings of a source under one model; of any text, and of any rows with image and box, when asked."""

    images: np.ndarray
    captions: np.ndarray
    text: Callable[[list[str]], np.ndarray]
    pictures: Callable[[pd.DataFrame], np.ndarray]


def check_embeddings(vectors: np.ndarray, names: list[str]) -> None:
    """Raise `PhenoLIPError` that names the first row which is not finite or has no length."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    for wrong, what in ((~np.isfinite(length), "holds values that are not finite"), (length == 0, "is all zeros")):
        if wrong.any():
            first = names[int(np.flatnonzero(wrong)[0])]
            raise PhenoLIPError(f"the embedding of the {first} {what}: check the model before evaluating it")
