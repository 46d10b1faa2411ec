"""The prompt ensemble: a phenotype's name in several sentences, whose mean embedding stands for it.

The sentences are in ``prompts.json``: those of all images under ``default``, and those of a modality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from phenolip_lib.core.storage import read_json
from phenolip_lib.models.embedded import check_embeddings

PROMPTS: dict[str, list[str]] = read_json(Path(__file__).with_name("prompts.json"))
Embed = Callable[[list[str]], np.ndarray]
"""Embeds texts, ``(n_texts, embed_dim)``."""


def prompts(modality: str) -> list[str]:
    """The prompts of all images, then those of a modality."""
    return list(dict.fromkeys(PROMPTS["default"] + PROMPTS[modality]))


def prompted(embed: Embed, names: Sequence[str], templates: Sequence[str]) -> np.ndarray:
    """L2-normalised embeddings of every prompt of every name, ``(n_names, n_prompts, embed_dim)``.

    Raises:
        PhenoLIPError: an embedding that is not finite or has no length.
    """
    texts = [template.replace("{name}", name) for name in names for template in templates]
    found = embed(texts)
    check_embeddings(found, [f"text {text!r}" for text in texts])
    return _unit(found).reshape(len(names), len(templates), -1)


def ensemble(embed: Embed, names: Sequence[str], templates: Sequence[str]) -> np.ndarray:
    """One L2-normalised embedding a name, the mean over its prompts, ``(n_names, embed_dim)``."""
    return _unit(prompted(embed, names, templates).mean(axis=1))


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
