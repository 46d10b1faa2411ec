"""Seeds, threads, device, log lines and provenance: what makes two runs the same and one explainable.

torch is imported where it is used: it takes seconds, and most commands do without.
"""

from __future__ import annotations

import logging
import os
import platform
import random
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, TextIO

import phenolip_lib
from phenolip_lib.core.errors import PhenoLIPError

if TYPE_CHECKING:
    import torch

log = logging.getLogger("phenolip")


def setup_logging(stream: TextIO | None = None) -> None:
    """Plain lines on `stream`, standard output by default; safe to call twice."""
    if not log.handlers:
        handler = logging.StreamHandler(stream or sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False


def configure(threads: int) -> None:
    """Fix what must be fixed for equal results: thread count and deterministic kernels.

    A different thread count sums in another order, so it is a parameter and not the machine's: of torch, and of the
    linear algebra below numpy and scipy.
    """
    import torch
    from threadpoolctl import threadpool_limits

    setup_logging()
    threadpool_limits(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, numpy and torch; returns a torch generator of its own for shuffling."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def pick_device(name: str) -> torch.device:
    """``auto`` takes a GPU if there is one.

    Raises:
        PhenoLIPError: a GPU is asked for by name and absent.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise PhenoLIPError(f"runtime.device is {name!r} but no GPU is visible to torch; use 'cpu' or 'auto'")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise PhenoLIPError(
            f"runtime.device is {name!r} but torch sees {torch.cuda.device_count()} GPUs, from cuda:0 on"
        )
    return device


def precision(device: torch.device | str, name: str = "bf16") -> str:
    """What `autocast` computes in there: ``bf16`` where the processor has it, else ``float32``.

    A processor that lacks bf16 imitates it at an eighth of the speed of float32 (measured on AVX2).
    """
    import torch

    if torch.device(device).type == "cuda" or name == "float32":
        return name
    has = getattr(torch.cpu, "get_capabilities", dict)()
    return name if has.get("avx512_bf16") or has.get("amx_bf16") or has.get("bf16") else "float32"


def autocast(device: torch.device | str, name: str = "bf16") -> torch.autocast:
    """Automatic mixed precision of frozen and trained towers; heads and losses stay in float32."""
    import torch

    bf16 = precision(device, name) == "bf16"
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bf16)


def provenance(**facts) -> dict:
    """What a result was made with, without anything that differs between two equal runs."""
    return {
        "phenolip": phenolip_lib.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "open_clip_torch", "transformers", "timm")},
        **facts,
    }
