"""The student of stage 2: two towers, two heads, and the temperatures that are learned with them."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.core.runtime import autocast
from phenolip_lib.core.storage import atomic_path, read_json, write_json
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder, make_projection
from phenolip_lib.models.towers import TwoTowers, load_towers, own_random_numbers
from phenolip_lib.models.weights import read_weights

MAX_SCALE = math.log(100)
START_BIAS = -10.0
"""Of SigLIP's logits and of soft labels: nearly all pairs of a batch are unlike (Zhai et al. 2023)."""


class Student(nn.Module):
    """Towers and heads with their temperatures.

    Args:
        towers: an open_clip model taken apart.
        init_temperature: of all contrastive terms.
        dropout: on the trunks' features, before the heads.
        bias: start of the logits' bias, for SigLIP.
    """

    def __init__(self, towers: TwoTowers, init_temperature: float, dropout: float, bias: float = 0.0) -> None:
        super().__init__()
        self.towers = towers
        self.image_head = towers.image_head
        self.text_head = towers.text_head
        self.image_trunk = towers.model.visual.trunk
        self.text_trunk = towers.model.text.transformer
        self.dropout = nn.Dropout(dropout)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / init_temperature)))
        self.logit_scale_kd = nn.Parameter(torch.tensor(math.log(1 / init_temperature)))
        self.logit_scale_names = nn.Parameter(torch.tensor(math.log(1 / init_temperature)))
        self.logit_bias = nn.Parameter(torch.tensor(bias))
        self.label_bias = nn.Parameter(torch.tensor(START_BIAS))
        self.live: tuple[nn.Module, ...] = ()

    @property
    def scales(self) -> list[nn.Parameter]:
        """Logarithms of the inverse temperatures, one a contrastive term."""
        return [self.logit_scale, self.logit_scale_kd, self.logit_scale_names]

    def train(self, mode: bool = True) -> Student:
        """Heads train; so do the towers in `live`, whose batch norms keep their pretrained statistics."""
        super().train(mode)
        for trunk in (self.image_trunk, self.text_trunk):
            trunk.train(mode and trunk in self.live)
            for module in trunk.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def image(self, features: torch.Tensor) -> torch.Tensor:
        """L2-normalised embeddings of image trunk features ``(n, width)``."""
        return F.normalize(self.image_head(self.dropout(features)), dim=-1)

    def text(self, features: torch.Tensor) -> torch.Tensor:
        """L2-normalised embeddings of text trunk features ``(n, width)``."""
        return F.normalize(self.text_head(self.dropout(features)), dim=-1)

    def forward(
        self,
        image: torch.Tensor,
        text: torch.Tensor,
        further: torch.Tensor | None = None,
        names: torch.Tensor | None = None,
        bf16: bool = False,
    ) -> dict[str, torch.Tensor]:
        """Embeddings of one part of a batch, and the temperatures.

        Args:
            image: trunk features, or pixels (uint8) to run the image tower on.
            text, further, names: trunk features, or token ids (integers) to run the text tower on.
            bf16: autocast of the towers, where the processor has it; heads and losses stay in float32.
        """
        with autocast(image.device, "bf16" if bf16 else "float32"):
            h_image = self.towers.image_trunk(image) if image.dtype == torch.uint8 else image
            texts = {
                key: h if h.is_floating_point() else self.towers.text.trunk(h)
                for key, h in (("text", text), ("further", further), ("names", names))
                if h is not None
            }
        output = {"image": self.image(h_image.float())} | {key: self.text(h.float()) for key, h in texts.items()}
        return output | {
            "scale": self.logit_scale.exp(),
            "scale_kd": self.logit_scale_kd.exp(),
            "scale_names": self.logit_scale_names.exp(),
            "bias": self.logit_bias + 0.0,
            "label_bias": self.label_bias + 0.0,
        }

    @torch.no_grad()
    def embed_images(self, features: np.ndarray) -> np.ndarray:
        """Embeddings of image trunk features, float32 ``(n, embed_dim)``."""
        self.eval()
        return self.image(torch.from_numpy(features).to(self.logit_scale.device)).cpu().numpy()

    @torch.no_grad()
    def embed_texts(self, features: np.ndarray) -> np.ndarray:
        """Embeddings of text trunk features, float32 ``(n, embed_dim)``."""
        self.eval()
        return self.text(torch.from_numpy(features).to(self.logit_scale.device)).cpu().numpy()


def build_student(params: Params, seed: int, teacher: KnowledgeEncoder | None = None) -> Student:
    """A student with heads initialised by `seed`.

    Raises:
        PhenoLIPError: the student's text head cannot take the teacher's weights or dimension.
    """
    p, e = params.stage2, params.encoders
    towers = load_towers(e.student, e.image_size, e.context_length, seed)
    if teacher is not None and p.lambda_kd > 0 and params.stage1.embed_dim != towers.embed_dim:
        raise PhenoLIPError(
            f"stage1.embed_dim is {params.stage1.embed_dim} and {e.student} embeds in {towers.embed_dim} dimensions; "
            "distillation compares them, so they must be equal"
        )
    if p.student_text_init == "teacher":
        if teacher is None or teacher.tower.width != towers.text.width:
            raise PhenoLIPError("stage2.student_text_init 'teacher' needs the same text tower in both stages")
        if params.stage1.tower == "finetune":
            raise PhenoLIPError("stage2.student_text_init 'teacher' copies a projection; set stage1.tower to frozen")
        towers.model.text.proj = copy.deepcopy(teacher.projection).requires_grad_(True)
    bias = START_BIAS if p.objective == "siglip" else 0.0
    return Student(towers, p.init_temperature, p.head_dropout, bias)


def _saved(key: str, stage2: dict[str, Any]) -> bool:
    """Whether a tensor of the student lies in its file; frozen trunks are named there, not copied."""
    kept = ["image_head.", "text_head.", "logit_"]
    kept += ["image_trunk."] * (stage2["image_tower"] == "finetune")
    kept += ["text_trunk."] * (stage2["text_tower"] == "finetune")
    return key.startswith(tuple(kept))


def save_student(folder: Path, name: str, student: Student, config: dict[str, Any]) -> None:
    """``<name>.safetensors`` with what was trained, and ``<name>.json``."""
    state = {k: v.contiguous() for k, v in student.state_dict().items() if _saved(k, config["stage2"])}
    with atomic_path(folder / f"{name}.safetensors") as temporary:
        save_file(state, temporary)
    write_json(folder / f"{name}.json", config)


def read_student(path: Path) -> tuple[Student, dict[str, Any]]:
    """A trained student and its configuration, from ``<path>.safetensors`` and ``<path>.json``.

    Raises:
        PhenoLIPError: absent, damaged, made for other towers, or without one of the tensors that were trained.
    """
    path = Path(path)
    if path.suffix in (".json", ".safetensors"):
        path = path.with_suffix("")
    weights, settings = Path(f"{path}.safetensors"), Path(f"{path}.json")
    if not weights.is_file() or not settings.is_file():
        raise PhenoLIPError(f"{path}: neither a folder with open_clip_config.json nor a student that `dvc repro` made")
    config, state = read_json(settings), read_weights(weights)
    try:
        stage2 = config["stage2"]
        towers = load_towers(config["student"], config["image_size"], config["context_length"])
        if stage2["student_text_init"] == "teacher":
            # Of the kind that the tensors' names tell.
            kind = "linear" if "text_head.weight" in state else "mlp" if "text_head.0.weight" in state else "residual"
            with own_random_numbers(0):
                towers.model.text.proj = make_projection(kind, towers.text.width, towers.embed_dim)
        student = Student(towers, stage2["init_temperature"], stage2["head_dropout"])
        wanted = {key for key in student.state_dict() if _saved(key, stage2)}
        if other := sorted(wanted ^ state.keys()):
            raise PhenoLIPError(f"{weights}: of another architecture: {other[0]} has no counterpart; train it again")
        student.load_state_dict(state, strict=False)
    except (KeyError, TypeError) as error:
        raise PhenoLIPError(
            f"{settings}: {error} is not there, or of another kind; train again with `dvc repro`"
        ) from None
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise PhenoLIPError(f"{weights}: damaged, or of another architecture: {reason}") from None
    return student.eval().requires_grad_(False), config


def load_student(folder: Path, name: str, params: Params) -> Student:
    """`read_student` of a student that these parameters describe.

    Raises:
        PhenoLIPError: it was trained with other towers, or what `read_student` refuses.
    """
    student, config = read_student(folder / name)
    for key in ("student", "image_size", "context_length"):
        if config[key] != getattr(params.encoders, key):
            raise PhenoLIPError(
                f"{folder / name}: trained with encoders.{key} {config[key]}, params say "
                f"{getattr(params.encoders, key)}; run `dvc repro`"
            )
    return student
