"""Stage 1: the knowledge encoder, trained so that texts of one phenotype lie together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from phenolip_lib.encoders import TextTower, load_text_tower
from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.features import text_features
from phenolip_lib.knowledge import attribute_texts, related_terms
from phenolip_lib.losses import two_view_loss
from phenolip_lib.ontology import Ontology
from phenolip_lib.params import Params
from phenolip_lib.runtime import log, pick_device, provenance, seed_everything
from phenolip_lib.storage import atomic_path, digest, read_json, write_json


class Residual(nn.Module):
    """``x + MLP(x)`` with the last layer at zero: training starts from the pretrained geometry."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width, bias=False))
        nn.init.zeros_(self.mlp[2].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(x)


def make_projection(kind: str, width: int, embed_dim: int) -> nn.Module:
    """Projection from trunk features ``(n, width)`` to the shared space ``(n, embed_dim)``."""
    if kind == "linear":
        return nn.Linear(width, embed_dim, bias=False)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(width, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim))
    if width != embed_dim:
        raise PhenoLIPError(
            f"stage1.projection 'residual' keeps the width of the text tower: "
            f"set stage1.embed_dim to {width}, not {embed_dim}"
        )
    return Residual(width, 4 * width)


@dataclass
class KnowledgeEncoder:
    """The stage-1 teacher Phi_k: a text trunk and the projection trained over the ontology."""

    tower: TextTower
    projection: nn.Module
    max_tokens: int

    @torch.no_grad()
    def embed(self, texts, *, cache: Path | None = None, device="cpu", batch_size: int = 128) -> np.ndarray:
        """L2-normalised embeddings, float32 ``(n_texts, embed_dim)``."""
        features = text_features(
            self.tower, list(texts), max_tokens=self.max_tokens, cache=cache, device=device, batch_size=batch_size
        )
        return self.project(features)

    @torch.no_grad()
    def project(self, features: np.ndarray) -> np.ndarray:
        """Embeddings of trunk features ``(n, width)``."""
        self.projection.eval()
        return F.normalize(self.projection(torch.from_numpy(features)), dim=-1).numpy()

    def save(self, folder: Path, config: dict) -> None:
        """``model.safetensors`` and ``config.json``; a frozen trunk is named, not copied."""
        state = {f"projection.{k}": v.contiguous() for k, v in self.projection.state_dict().items()}
        if config["tower"] == "finetune":
            state |= {f"trunk.{k}": v.contiguous() for k, v in self.tower.encoder.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / "model.safetensors") as temporary:
            save_file(state, temporary)
        write_json(folder / "config.json", config)

    @classmethod
    def load(cls, folder: Path) -> KnowledgeEncoder:
        """Read what `save` wrote.

        Raises:
            PhenoLIPError: absent, or the tensors do not fit the configuration.
        """
        if not (folder / "config.json").is_file():
            raise PhenoLIPError(f"{folder}: there is no knowledge encoder; run `dvc repro stage1`")
        config = read_json(folder / "config.json")
        tower = load_text_tower(config["teacher"], config["max_tokens"])
        projection = make_projection(config["projection"], tower.width, config["embed_dim"])
        state = load_file(folder / "model.safetensors")
        try:
            projection.load_state_dict(
                {k.removeprefix("projection."): v for k, v in state.items() if k.startswith("projection.")}
            )
            trunk = {k.removeprefix("trunk."): v for k, v in state.items() if k.startswith("trunk.")}
            if trunk:
                tower.encoder.load_state_dict(trunk)
                tower.fingerprint = config["fingerprint"]
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise PhenoLIPError(f"{folder}: a checkpoint of another architecture: {first}") from None
        return cls(tower, projection.requires_grad_(False), config["max_tokens"])


def cosine_schedule(step: int, total: int, warmup: int) -> float:
    """Multiplier of the learning rate: linear warm-up, then a half cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


def train(params: Params, onto: Ontology, cache: Path | None) -> tuple[KnowledgeEncoder, pd.DataFrame, pd.DataFrame]:
    """Train the knowledge encoder.

    Returns:
        the encoder, the attribute texts with their ``held_out`` flag, and the loss by epoch.

    Raises:
        PhenoLIPError: the loss is not a number.
    """
    p, device = params.stage1, pick_device(params.runtime.device)
    seed_everything(p.seed)
    tower = load_text_tower(params.encoders.teacher, p.max_tokens)
    projection = make_projection(p.projection, tower.width, p.embed_dim).to(device)
    texts = attribute_texts(onto, list(p.texts), p.held_out_share, p.seed)

    finetune = p.tower == "finetune"
    if finetune:
        tower.encoder.to(device).requires_grad_(True)
        features = None
    else:
        features = torch.from_numpy(
            text_features(
                tower, texts["text"].tolist(), max_tokens=p.max_tokens, cache=cache, device=device,
                batch_size=params.encoders.batch_size,
            )
        ).to(device)  # fmt: skip

    ids = texts["hpo_id"].unique().tolist()
    usable = texts[~texts["held_out"] & texts["kind"].isin(p.texts)]
    rows_of = usable.groupby("hpo_id").indices
    positions = usable.index.to_numpy()
    rows = [positions[rows_of[hpo_id]] if hpo_id in rows_of else np.empty(0, int) for hpo_id in ids]
    trainable = np.array([i for i, own in enumerate(rows) if len(own) >= 2])
    related = related_terms(onto, ids) if p.near_terms == "masked" else None
    strings = texts["text"].to_numpy()

    groups = [{"params": projection.parameters(), "lr": p.learning_rate}]
    if finetune:
        groups.append({"params": tower.encoder.parameters(), "lr": p.learning_rate / 10})
    optimizer = torch.optim.AdamW(groups, weight_decay=p.weight_decay)
    steps_per_epoch = max(len(trainable) // p.batch_size, 1)
    total = steps_per_epoch * p.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: cosine_schedule(s, total, max(total // 20, 1)))
    rng = np.random.default_rng(p.seed)

    def embed(index: np.ndarray) -> torch.Tensor:
        if finetune:
            h = tower.trunk(tower.tokens(strings[index].tolist(), p.max_tokens).to(device))
        else:
            h = features[torch.from_numpy(index).to(device)]
        return F.normalize(projection(h), dim=-1)

    history = []
    for epoch in range(p.epochs):
        projection.train()
        tower.encoder.train(finetune)
        order, losses = rng.permutation(trainable), []
        for step in range(steps_per_epoch):
            batch = np.sort(order[step * p.batch_size : (step + 1) * p.batch_size])
            views = np.array([rng.choice(rows[i], size=2, replace=False) for i in batch])
            ignore = None
            if related is not None:
                ignore = torch.from_numpy(related[batch][:, batch].toarray()).to(device)
            loss = two_view_loss(embed(views[:, 0]), embed(views[:, 1]), p.temperature, ignore)
            if not torch.isfinite(loss):
                raise PhenoLIPError(f"stage 1: the loss is {loss.item()} at epoch {epoch}; lower stage1.learning_rate")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        history.append((epoch + 1, float(np.mean(losses))))
        if (epoch + 1) % max(p.epochs // 10, 1) == 0:
            log.info("stage 1 epoch %d/%d loss %.4f", *history[-1][:1], p.epochs, history[-1][1])

    tower.encoder.eval().requires_grad_(False).to("cpu")
    projection.eval().requires_grad_(False).to("cpu")
    encoder = KnowledgeEncoder(tower, projection, p.max_tokens)
    return encoder, texts, pd.DataFrame(history, columns=["epoch", "loss"])


def teacher_config(params: Params) -> dict:
    """What is needed to build the encoder again, and where it comes from."""
    p, teacher = params.stage1, params.encoders.teacher
    return {
        "teacher": teacher,
        "projection": p.projection,
        "embed_dim": p.embed_dim,
        "max_tokens": p.max_tokens,
        "tower": p.tower,
        "fingerprint": digest(params.fingerprint("hpo", "stage1"), teacher),
        "provenance": provenance(params=params.fingerprint("hpo", "stage1"), seed=p.seed),
    }
