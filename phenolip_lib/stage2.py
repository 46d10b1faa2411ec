"""Stage 2: image-text contrast with distillation from the frozen knowledge encoder.

``L = L_m + lambda_kd * L_kd`` with ``L_m = InfoNCE(v, t)`` and ``L_kd = InfoNCE(t, k)``, each with
a learned temperature of its own: v image, t student text, k teacher text embedding of the same
caption. Frozen towers are read from cached features and towers that train are run; all else is
the same code.
"""

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

from phenolip_lib.encoders import TwoTowers, load_towers
from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.features import image_features, load_pixels, text_features
from phenolip_lib.losses import clip_loss
from phenolip_lib.params import Params
from phenolip_lib.runtime import log, pick_device, seed_everything
from phenolip_lib.stage1 import KnowledgeEncoder, cosine_schedule
from phenolip_lib.storage import atomic_path, read_json, write_json

METHODS: dict[str, dict] = {
    "untrained": {"stage2.epochs": 0},
    "clip": {"stage2.lambda_kd": 0.0},
    "phenolip": {},
}
"""The compared methods as overrides of params: untrained heads are the chance line, plain
contrastive pretraining differs from PhenoLIP in the distillation term alone."""
KD_KINDS = ("name", "synonym", "definition")
MAX_SCALE = math.log(100)


@dataclass
class TrainingData:
    """The pairs of a source with everything that is computed once.

    Attributes:
        pairs: curated pairs, all splits.
        images: image trunk features ``(n, width)``.
        texts: student text trunk features of the captions ``(n, width)``.
        teacher: stage-1 embeddings of the captions ``(n, embed_dim)``, L2-normalised.
        onto_strings: ontology texts for distillation beyond captions.
        onto_texts, onto_teacher: `texts` and `teacher` of these.
    """

    pairs: pd.DataFrame
    root: Path
    images: np.ndarray
    texts: np.ndarray
    teacher: np.ndarray
    onto_strings: np.ndarray
    onto_texts: np.ndarray
    onto_teacher: np.ndarray


def prepare(
    params: Params, pairs: pd.DataFrame, root: Path, towers: TwoTowers, teacher: KnowledgeEncoder,
    attributes: pd.DataFrame, cache: Path | None,
) -> TrainingData:  # fmt: skip
    """Compute (or read from the cache) all frozen features of a source.

    Args:
        attributes: the attribute texts of stage 1; those not held out serve distillation.
    """
    device = pick_device(params.runtime.device)
    options = {"device": device, "cache": cache, "batch_size": params.encoders.batch_size}
    captions, strings = pairs["caption"].tolist(), attributes["text"].tolist()
    chosen = np.flatnonzero(attributes["kind"].isin(KD_KINDS) & ~attributes["held_out"])
    return TrainingData(
        pairs,
        root,
        image_features(towers, pairs, root, device=device, threads=params.runtime.threads, cache=cache),
        text_features(towers.text, captions, **options),
        teacher.embed(captions, **options),
        attributes["text"].to_numpy()[chosen],
        text_features(towers.text, strings, max_tokens=params.stage1.max_tokens, **options)[chosen],
        teacher.embed(strings, **options)[chosen],
    )


class Model(nn.Module):
    """The trained part: two heads (and the towers behind them, if they train) and two temperatures."""

    def __init__(self, towers: TwoTowers, init_temperature: float, dropout: float) -> None:
        super().__init__()
        self.towers = towers
        self.image_head = towers.image_head
        self.text_head = towers.text_head
        self.dropout = nn.Dropout(dropout)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / init_temperature)))
        self.logit_scale_kd = nn.Parameter(torch.tensor(math.log(1 / init_temperature)))

    def image(self, features: torch.Tensor) -> torch.Tensor:
        """L2-normalised embeddings of image trunk features."""
        return F.normalize(self.image_head(self.dropout(features)), dim=-1)

    def text(self, features: torch.Tensor) -> torch.Tensor:
        """L2-normalised embeddings of text trunk features."""
        return F.normalize(self.text_head(self.dropout(features)), dim=-1)

    @torch.no_grad()
    def embed_images(self, features: np.ndarray) -> np.ndarray:
        self.eval()
        return self.image(torch.from_numpy(features)).numpy()

    @torch.no_grad()
    def embed_texts(self, features: np.ndarray) -> np.ndarray:
        self.eval()
        return self.text(torch.from_numpy(features)).numpy()


def build_model(params: Params, seed: int, teacher: KnowledgeEncoder | None = None) -> Model:
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
        towers.model.text.proj = _copy(teacher.projection)
    return Model(towers, p.init_temperature, p.head_dropout)


def _copy(module: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(module).requires_grad_(True)


def train(
    params: Params, data: TrainingData, teacher: KnowledgeEncoder, seed: int, validate=None
) -> tuple[Model, pd.DataFrame]:
    """Train one student on the train split.

    Args:
        validate: ``f(model) -> dict`` of numbers to record after each tenth of the epochs, e.g.
            validation retrieval; it must not look at the test split.

    Returns:
        the model in evaluation mode and its history by epoch.

    Raises:
        PhenoLIPError: fewer than two training pairs, or a loss that is not a number.
    """
    p, device = params.stage2, pick_device(params.runtime.device)
    model = build_model(params, seed, teacher)
    seed_everything(seed)
    model.image_head.requires_grad_(True)
    model.text_head.requires_grad_(True)
    train_rows = np.flatnonzero(data.pairs["split"].to_numpy() == "train")
    if len(train_rows) < 2:
        raise PhenoLIPError(f"stage 2: {len(train_rows)} training pairs; contrast needs at least 2")
    batch_size = min(p.batch_size, len(train_rows))
    steps_per_epoch = len(train_rows) // batch_size
    total = steps_per_epoch * p.epochs
    model.to(device)

    tower_parameters = []
    if "finetune" in (p.image_tower, p.text_tower):
        model.towers.model.to(device)
    if p.image_tower == "finetune":
        tower_parameters += list(model.towers.model.visual.trunk.parameters())
    if p.text_tower == "finetune":
        tower_parameters += list(model.towers.model.text.transformer.parameters())
    heads = [*model.image_head.parameters(), *model.text_head.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": heads, "lr": p.learning_rate, "weight_decay": p.weight_decay},
            {"params": [model.logit_scale, model.logit_scale_kd], "lr": p.learning_rate, "weight_decay": 0.0},
            {"params": tower_parameters, "lr": p.tower_learning_rate, "weight_decay": p.weight_decay},
        ]
    )
    warmup = max(round(total * p.warmup_share), 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: cosine_schedule(s, total, warmup))

    images, texts = torch.from_numpy(data.images), torch.from_numpy(data.texts)
    known, onto_texts, onto_known = map(torch.from_numpy, (data.teacher, data.onto_texts, data.onto_teacher))
    masked = p.shared_phenotypes == "masked"
    shared = torch.from_numpy(shared_phenotypes(data.pairs["phenotypes"].tolist())) if masked else None
    captions = data.pairs["caption"].to_numpy()
    rng = np.random.default_rng(seed)

    def text_input(strings: np.ndarray) -> torch.Tensor:
        return model.towers.text.trunk(model.towers.text.tokens(strings.tolist()).to(device)).float()

    history = []
    for epoch in range(p.epochs):
        model.train()  # the heads; a tower keeps its batch statistics and has no dropout of its own
        live = epoch >= p.frozen_epochs
        run_image, run_text = live and p.image_tower == "finetune", live and p.text_tower == "finetune"
        for parameter in tower_parameters:
            parameter.requires_grad_(live)
        order = rng.permutation(train_rows)
        sums = np.zeros(3)
        for step in range(steps_per_epoch):
            rows = order[step * batch_size : (step + 1) * batch_size]
            index = torch.from_numpy(rows)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=run_image or run_text):
                if run_image:
                    pixels = load_pixels(
                        data.pairs.iloc[rows], data.root, model.towers.image_size, params.runtime.threads
                    )
                    h_image = model.towers.image_trunk(pixels.to(device)).float()
                else:
                    h_image = images[index].to(device)
                h_text = text_input(captions[rows]) if run_text else texts[index].to(device)
            v, t = model.image(h_image), model.text(h_text)
            ignore = (shared[index] @ shared[index].T > 0).to(device) if masked else None
            loss_m = clip_loss(v, t, model.logit_scale.exp(), ignore)
            loss_kd = torch.zeros((), device=device)
            if p.lambda_kd > 0:
                k = known[index].to(device)
                if p.kd_texts == "captions+ontology" and len(onto_texts):
                    # Names, synonyms and definitions keep the geometry of the ontology where
                    # captions never go.
                    size = min(p.kd_ontology_batch, len(onto_texts))
                    extra = torch.from_numpy(rng.choice(len(onto_texts), size=size, replace=False))
                    h_extra = text_input(data.onto_strings[extra.numpy()]) if run_text else onto_texts[extra].to(device)
                    t = torch.cat([t, model.text(h_extra)])
                    k = torch.cat([k, onto_known[extra].to(device)])
                loss_kd = clip_loss(t, k, model.logit_scale_kd.exp())
            loss = loss_m + p.lambda_kd * loss_kd
            if not torch.isfinite(loss):
                raise PhenoLIPError(f"stage 2: the loss is {loss.item()} at epoch {epoch}; lower stage2.learning_rate")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=MAX_SCALE)
                model.logit_scale_kd.clamp_(max=MAX_SCALE)
            sums += [loss.item(), loss_m.item(), loss_kd.item()]
        row = {"epoch": epoch + 1, **dict(zip(("loss", "loss_m", "loss_kd"), sums / steps_per_epoch, strict=True))}
        row["logit_scale"] = model.logit_scale.exp().item()
        row["logit_scale_kd"] = model.logit_scale_kd.exp().item()
        if (epoch + 1) % max(p.epochs // 10, 1) == 0 or epoch + 1 == p.epochs:
            if validate is not None:
                row |= validate(model.to("cpu"))
                model.to(device)
            if (epoch + 1) % max(p.epochs // 2, 1) == 0:
                log.info("  " + "  ".join(f"{key} {value:.3g}" for key, value in row.items()))
        history.append(row)
    model.towers.model.to("cpu").requires_grad_(False)
    return model.to("cpu").eval().requires_grad_(False), pd.DataFrame(history)


def shared_phenotypes(phenotypes: list[list[str]]) -> np.ndarray:
    """Incidence matrix ``(n_pairs, n_phenotypes)``; its product tells which pairs share one."""
    columns = {hpo_id: i for i, hpo_id in enumerate(sorted({h for found in phenotypes for h in found}))}
    incidence = np.zeros((len(phenotypes), max(len(columns), 1)), dtype=np.float32)
    for row, found in enumerate(phenotypes):
        incidence[row, [columns[h] for h in found]] = 1
    return incidence


def model_features(params: Params, model: Model, data: TrainingData) -> tuple[np.ndarray, np.ndarray]:
    """Trunk features of all pairs as `model` sees them: the cached ones if its towers are frozen."""
    images, texts = data.images, data.texts
    device = pick_device(params.runtime.device)
    if params.stage2.image_tower == "finetune":
        images = image_features(model.towers, data.pairs, data.root, device=device, threads=params.runtime.threads)
    if params.stage2.text_tower == "finetune":
        texts = text_features(model.towers.text, data.pairs["caption"].tolist(), device=device)
    return images, texts


def save_model(folder: Path, name: str, model: Model, config: dict) -> None:
    """``<name>.safetensors`` and ``<name>.json``; frozen trunks are named, not copied."""
    trained = ("image_head", "text_head", "logit_scale")
    state = {k: v.contiguous() for k, v in model.state_dict().items() if k.startswith(trained)}
    if "finetune" in (config["stage2"]["image_tower"], config["stage2"]["text_tower"]):
        state |= {f"towers.{k}": v.contiguous() for k, v in _trunks(model.towers.model).items()}
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / f"{name}.safetensors") as temporary:
        save_file(state, temporary)
    write_json(folder / f"{name}.json", config)


def load_model(folder: Path, name: str, params: Params, teacher: KnowledgeEncoder, seed: int) -> Model:
    """Read what `save_model` wrote.

    Raises:
        PhenoLIPError: absent, or made for other towers.
    """
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        raise PhenoLIPError(f"{path}: not trained yet; run `dvc repro`")
    config = read_json(folder / f"{name}.json")
    if config["student"] != params.encoders.student:
        raise PhenoLIPError(f"{path}: trained with {config['student']}, params say {params.encoders.student}")
    model = build_model(params, seed, teacher)
    state = load_file(path)
    towers = {k.removeprefix("towers."): v for k, v in state.items() if k.startswith("towers.")}
    try:
        if towers:
            model.towers.model.load_state_dict(towers, strict=False)
        missing = model.load_state_dict({k: v for k, v in state.items() if not k.startswith("towers.")}, strict=False)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise PhenoLIPError(f"{path}: a checkpoint of another architecture: {first}") from None
    if missing.unexpected_keys:
        raise PhenoLIPError(f"{path}: a checkpoint of another architecture: it holds {missing.unexpected_keys[0]}")
    return model.eval().requires_grad_(False)


def _trunks(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v for k, v in model.state_dict().items() if k.startswith(("visual.trunk.", "text.transformer."))}
