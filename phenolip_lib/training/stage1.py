"""Stage 1: the knowledge encoder, trained so that texts of one phenotype lie together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.core.progress import Watch
from phenolip_lib.core.runtime import autocast, pick_device, provenance, seed_everything
from phenolip_lib.core.storage import digest
from phenolip_lib.models.features import text_features
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder, make_projection, weights_hash
from phenolip_lib.models.towers import TextTower, load_text_tower
from phenolip_lib.ontology import similarity
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.training.attribute_texts import attribute_texts, related_terms
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Engine, Output, Step
from phenolip_lib.training.metric_losses import METRIC_LOSSES
from phenolip_lib.training.samplers import ConceptSampler


class ConceptModule(nn.Module):
    """Trunk, projection and temperature, as the engine trains them."""

    def __init__(self, tower: TextTower, projection: nn.Module, temperature: float) -> None:
        super().__init__()
        self.tower, self.projection = tower, projection
        self.trunk = tower.encoder
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    def train(self, mode: bool = True) -> ConceptModule:
        super().train(mode)
        self.trunk.train(mode and next(self.trunk.parameters()).requires_grad)
        return self

    def forward(self, text: torch.Tensor, bf16: bool = False) -> dict[str, torch.Tensor]:
        """Embeddings of trunk features, or of token ids, which the trunk runs on."""
        with autocast(text.device, "bf16" if bf16 else "float32"):
            h = text if text.is_floating_point() else self.tower.trunk(text)
        return {"text": F.normalize(self.projection(h.float()), dim=-1), "scale": self.logit_scale.exp()}


class ConceptTask:
    """The task of stage 1 for the engine (`engine.Task`)."""

    name = "stage 1"
    advice = "lower stage1.learning_rate"

    def __init__(
        self,
        params: Params,
        onto: Ontology,
        texts: pd.DataFrame,
        features: np.ndarray | None,
        module: ConceptModule,
        group: Group,
        device: torch.device,
    ) -> None:
        self.params, self.p, self.onto, self.module = params, params.stage1, onto, module
        self.seed, self.group, self.device = params.stage1.seed, group, device
        self.strings = texts["text"].to_numpy()
        self.features = None if features is None else torch.from_numpy(features)
        self.ids = texts["hpo_id"].unique()
        usable = texts[~texts["held_out"] & texts["kind"].isin(self.p.texts)]
        rows_of, positions = usable.groupby("hpo_id").indices, usable.index.to_numpy()
        rows = [positions[rows_of.get(hpo_id, np.empty(0, int))] for hpo_id in self.ids]
        self.related = related_terms(onto, self.ids.tolist())
        self.sampler = ConceptSampler(
            rows, self.p.batch_size, self.p.texts_per_concept, self.seed, self.p.hard_share, self.related
        )
        if self.sampler.concepts < 2:
            raise PhenoLIPError(
                f"stage 1: {self.sampler.concepts} phenotypes have two texts to learn from; contrast needs at least "
                "2, so widen stage1.texts or the ontology"
            )
        group.share(self.sampler.concepts, "stage1.batch_size")
        self.steps_per_epoch = self.sampler.steps_per_epoch
        module.trunk.requires_grad_(self.p.tower == "finetune")
        module.projection.requires_grad_(True)
        module.logit_scale.requires_grad_(self.p.learn_temperature)
        if self.p.tower == "finetune" and params.training.gradient_checkpointing:
            module.trunk.transformer.gradient_checkpointing_enable({"use_reentrant": False})

    def groups(self) -> list[dict[str, Any]]:
        p, module = self.p, self.module
        trunk = [parameter for parameter in module.trunk.parameters() if parameter.requires_grad]
        return [
            {"params": list(module.projection.parameters()), "lr": p.learning_rate, "weight_decay": p.weight_decay},
            {"params": trunk, "lr": p.tower_learning_rate, "weight_decay": p.weight_decay},
            {"params": [module.logit_scale] * p.learn_temperature, "lr": p.learning_rate, "weight_decay": 0.0},
        ]

    def start_epoch(self, epoch: int) -> bool:
        return False

    def steps(self, epoch: int, first: int) -> Iterator[Step]:
        bf16 = self.params.training.precision == "bf16"
        for step in range(first, self.steps_per_epoch):
            concepts, rows = self.sampler.batch(epoch, step)
            own = rows[self.group.share(len(concepts))].reshape(-1)
            parts = np.array_split(own, min(self.params.training.accumulation, len(own)))
            inputs = [self._input(part).to(self.device) for part in parts]
            yield Step([{"text": text, "bf16": bf16} for text in inputs], {"weight": self._weight(concepts)})

    def _input(self, rows: np.ndarray) -> torch.Tensor:
        if self.features is not None:
            return self.features[rows]
        return self.module.tower.tokens(self.strings[rows].tolist(), self.p.max_tokens)

    def _weight(self, concepts: np.ndarray) -> torch.Tensor | None:
        """Weights of negatives between the concepts of a batch, ``(P, P)``."""
        if self.p.near_terms == "negatives":
            return None
        if self.p.near_terms == "masked":
            weight = 1.0 - self.related[concepts][:, concepts].toarray()
        else:
            names = self.ids[concepts]
            weight = 1.0 - similarity.lin(self.onto, names, names)
        return torch.from_numpy(weight.clip(0, 1).astype(np.float32)).to(self.device)

    def loss(self, output: Output, facts: dict[str, Any]) -> Output:
        z, _ = self.group.gather(output["text"], output["text"])
        return {"loss": METRIC_LOSSES[self.p.loss](z, self.p.texts_per_concept, output["scale"], facts["weight"])}

    @torch.no_grad()
    def after_step(self) -> Output:
        self.module.logit_scale.clamp_(max=math.log(100))
        return {"temperature": (-self.module.logit_scale).exp()} if self.p.learn_temperature else {}


def train(
    params: Params,
    onto: Ontology,
    cache: Path | None,
    *,
    group: Group | None = None,
    device: torch.device | None = None,
    checkpoints: Checkpoints | None = None,
    curves: Path | None = None,
) -> tuple[KnowledgeEncoder, pd.DataFrame, pd.DataFrame]:
    """Train the knowledge encoder.

    Args:
        cache: for the features of a frozen trunk.
        group: the processes that train together; one by default.
        checkpoints: where the run's state is kept; an interrupted run goes on from there.
        curves: folder for dvclive.

    Returns:
        the encoder, the attribute texts with their ``held_out`` flag, and the loss by epoch.

    Raises:
        PhenoLIPError: too few phenotypes, or a loss that is not a number.
    """
    p, group = params.stage1, group or Group()
    device = device or pick_device(params.runtime.device)
    seed_everything(p.seed)
    tower = load_text_tower(params.encoders.teacher)
    projection = make_projection(p.projection, tower.width, p.embed_dim)
    texts = attribute_texts(onto, list(p.texts), p.held_out_share, p.seed, p.held_out_definitions)
    features = None
    if p.tower == "frozen":
        with group.main_first():
            features = text_features(
                tower,
                texts["text"].tolist(),
                max_tokens=p.max_tokens,
                cache=cache,
                device=device,
                workers=params.runtime.workers,
            )
    module = ConceptModule(tower, projection, p.temperature).to(device)
    task = ConceptTask(params, onto, texts, features, module, group, device)
    total = p.epochs * task.steps_per_epoch
    engine = Engine(task, p.epochs, round(total * p.warmup_share), params.training, group, device, checkpoints)
    watch = Watch("stage 1", total, curves, engine.resume(), group.main)
    history = pd.DataFrame(engine.fit(watch), columns=None if p.epochs else ["epoch", "loss"])
    module.to("cpu").eval().requires_grad_(False)
    if p.tower == "finetune":
        tower.fingerprint = weights_hash(tower)
    return KnowledgeEncoder(tower, projection, p.max_tokens), texts, history


def teacher_key(params: Params, onto: Ontology) -> str:
    """A hash of all that a teacher's weights depend on, for cache keys."""
    sections = params.fingerprint("stage1", "training"), params.encoders.teacher
    runtime = params.runtime.model_dump(exclude={"workers"})
    return digest(*sections, runtime, onto.content, code_digest(__name__))


def teacher_config(params: Params) -> dict:
    """What is needed to build the encoder again, and where it comes from."""
    p, teacher = params.stage1, params.encoders.teacher
    return {
        "teacher": teacher,
        "projection": p.projection,
        "embed_dim": p.embed_dim,
        "max_tokens": p.max_tokens,
        "tower": p.tower,
        "provenance": provenance(params=params.fingerprint("hpo", "stage1"), seed=p.seed),
    }
