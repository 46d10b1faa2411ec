"""Stage 2 on random weights and one random batch that lies in memory: what checks and step times are taken of."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.params import Params
from phenolip_lib.models.preprocess import Fit
from phenolip_lib.models.student import Student
from phenolip_lib.models.towers import TextTower, TwoTowers
from phenolip_lib.training import affinity
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.inputs import TrainingData
from phenolip_lib.training.stage2 import Pretraining

ONTO_TOKENS, CAPTION = 48, "x"
"""Length of an ontology text, as `stage1.max_tokens`."""


@dataclasses.dataclass(frozen=True)
class Size:
    vision: str
    layers: int
    width: int
    heads: int
    embed_dim: int
    image: int
    tokens: int


FULL = Size("vit_base_patch16_224", 12, 768, 12, 512, 224, 256)
TINY = Size("vit_tiny_patch16_224", 2, 128, 2, 64, 224, 32)
MINI = Size("test_vit", 1, 32, 2, 16, 160, 8)
"""For tests on a CPU, where bfloat16 is slow."""


@lru_cache(maxsize=1)
def _model(size: Size) -> torch.nn.Module:
    from transformers import BertConfig

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        BertConfig(
            hidden_size=size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            intermediate_size=4 * size.width,
        ).save_pretrained(folder)
        return open_clip.model.CustomTextCLIP(
            size.embed_dim,
            {
                "timm_model_name": size.vision,
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
                "image_size": size.image,
            },
            {
                "hf_model_name": folder,
                "hf_model_pretrained": False,
                "hf_pooler_type": "mean_pooler",
                "hf_proj_type": "mlp",
                "context_length": size.tokens,
            },
        )


def towers(size: Size) -> TwoTowers:
    """An image-text model of random weights, the same at every call; drawn once, since that takes seconds."""
    model = copy.deepcopy(_model(size))
    text = TextTower(model.text, None, size.tokens, "random")
    return TwoTowers(
        model,
        text,
        (0.5,) * 3,
        (0.5,) * 3,
        size.image,
        "random",
        size.embed_dim,
        {"preprocess_cfg": dict(Fit()._asdict())},
    )


class Fixed(Pretraining):
    """The task of stage 2 on one batch that lies in memory; `pixels` and `ids` are this process's part of it."""

    def __init__(self, pixels: torch.Tensor, ids: torch.Tensor, *rest) -> None:
        super().__init__(*rest)
        self.pixels, self.ids = pixels, ids
        # Instead of files: the same pixels at every step.
        same = SimpleNamespace(batches=lambda batches, epoch: (pixels for _ in batches), close=lambda: None)
        self.batches.loading = same

    def _text(self, strings, features):
        tokens = self.ids.shape[1] if strings[0] == CAPTION else ONTO_TOKENS
        return self.ids[np.arange(len(strings)) % len(self.ids), :tokens]


def setting(params: Params, batch: int, **further) -> Params:
    """Both towers train from the first step; `further` are overrides with ``__`` for the dot."""
    overrides = {
        "stage2.batch_size": batch,
        "stage2.image_tower": "finetune",
        "stage2.text_tower": "finetune",
        "stage2.frozen_epochs": 0,
        "stage2.epochs": 1,
        "training.accumulation": 1,
        "training.gradient_checkpointing": False,
        "training.compile": False,
    }
    return params.with_overrides(overrides | {key.replace("__", "."): value for key, value in further.items()})


def case(params: Params, size: Size, group: Group, device: torch.device, *, dropout: bool = True) -> Fixed:
    """The task of `setting`, its student on `device`; without `dropout`, steps on other devices can be compared."""
    batch = params.stage2.batch_size
    own, rng = batch // group.size, np.random.default_rng(group.rank)
    bias = -10.0 if params.stage2.objective == "siglip" else 0.0
    student = Student(towers(size), 0.07, params.stage2.head_dropout, bias)
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout) and not dropout:
            module.p = 0.0
    pixels = torch.from_numpy(rng.integers(0, 256, (own, 3, size.image, size.image), dtype=np.uint8)).to(device)
    ids = torch.from_numpy(rng.integers(1, 30000, (own, size.tokens))).to(device)
    pairs = pd.DataFrame(
        {
            "split": "train",
            "caption": CAPTION,
            "image": "",
            "left": 0.0,
            "top": 0.0,
            "right": 1.0,
            "bottom": 1.0,
            "phenotypes": [[f"HP:{i % 97:07d}"] for i in range(batch)],
        }
    )
    teacher = np.random.default_rng(0).normal(size=(batch, size.embed_dim)).astype(np.float32)
    teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
    nothing, strings = np.zeros((batch, 1), np.float32), np.array([f"finding {i} of the ontology" for i in range(4096)])
    data = TrainingData(
        pairs,
        Path(),
        nothing,
        nothing,
        teacher,
        strings,
        np.zeros((len(strings), 1), np.float32),
        teacher[np.arange(len(strings)) % batch],
        affinity.build(pairs["phenotypes"].tolist(), teacher, None),
    )
    return Fixed(pixels, ids, params, data, student.to(device), 0, group, device)
