"""Weights in files: safetensors alone, never a pickle."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from phenolip_lib.core.errors import PhenoLIPError


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a model's file.

    Raises:
        PhenoLIPError: it is absent, damaged, or of another kind, such as a pickle.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        raise PhenoLIPError(f"{path}: not safetensors, or damaged; train again") from None
