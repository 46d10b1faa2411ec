"""Stage 2: image-text pretraining of the student, with the frozen knowledge encoder as teacher.

``L = L_m + lambda L_kd (+ mu L_ssm + nu L_names)``: an image-text objective, and the contrastive
distillation between the student's and the teacher's embedding of the same text; beside the paper, soft
labels by ontology and the names of phenotypes (`names`). The teacher sees texts only, so its embeddings
are computed once and the distillation costs one product of matrices a step. A tower that stays frozen is
computed once as well; one that trains reads images or tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.params import Params
from phenolip_lib.core.progress import Watch
from phenolip_lib.core.runtime import pick_device, seed_everything
from phenolip_lib.core.storage import digest
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder
from phenolip_lib.models.student import MAX_SCALE, Student, build_student
from phenolip_lib.training.batches import PairBatches
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Engine, Output, Step
from phenolip_lib.training.inputs import TrainingData
from phenolip_lib.training.losses import clip_loss
from phenolip_lib.training.names import NamesTerm
from phenolip_lib.training.objectives import OBJECTIVES, ImageTextBatch, ssm_ontology
from phenolip_lib.training.perturbed import PerturbedFeatures


class Pretraining:
    """The task of stage 2 for the engine (`engine.Task`)."""

    name = "stage 2"
    advice = "lower stage2.learning_rate"

    def __init__(
        self, params: Params, data: TrainingData, student: Student, seed: int, group: Group, device: torch.device
    ) -> None:
        self.params, self.p, self.data = params, params.stage2, data
        self.module, self.seed, self.group, self.device = student, seed, group, device
        self.batches = PairBatches(params, data, student.towers, seed, group)
        self.steps_per_epoch = self.batches.steps
        self.relations = data.relations.to(device)
        self.captions = data.pairs["caption"].to_numpy()
        self.cleaned: dict[str, str] = {}
        self.names = None
        if self.p.names_weight > 0:
            self.names = NamesTerm(data.names, self.p, self.batches.rows, seed, device)
        self.texts, self.known, self.onto_texts, self.onto_known = (
            torch.from_numpy(array) for array in (data.texts, data.teacher, data.onto_texts, data.onto_teacher)
        )
        views = data.views if self.p.image_views > 1 else data.images[:, None]
        self.images = PerturbedFeatures(torch.from_numpy(views), self.batches.rows, self.p, seed)
        self.run_image = self.run_text = False
        student.requires_grad_(False)
        for head in (student.image_head, student.text_head):
            head.requires_grad_(True)
        student.logit_scale.requires_grad_(True)
        student.logit_scale_kd.requires_grad_(self.p.lambda_kd > 0)
        student.logit_scale_names.requires_grad_(self.p.names_weight > 0)
        student.logit_bias.requires_grad_(self.p.objective == "siglip")
        student.label_bias.requires_grad_(self.p.objective == "ssm_ontology" or self.p.ontology_weight > 0)
        if params.training.gradient_checkpointing:
            student.image_trunk.set_grad_checkpointing(True)
            student.text_trunk.gradient_checkpointing_enable({"use_reentrant": False})
        if params.training.compile:
            for trunk in self.trunks:
                trunk.compile()  # in place: the names of the weights stay

    @property
    def trunks(self) -> list[torch.nn.Module]:
        """The towers that train once the frozen epochs are over."""
        student = self.module
        return [student.image_trunk] * (self.p.image_tower == "finetune") + [student.text_trunk] * (
            self.p.text_tower == "finetune"
        )

    def groups(self) -> list[dict[str, Any]]:
        p, student = self.p, self.module
        scalars = [*student.scales, student.logit_bias, student.label_bias]
        towers = [parameter for trunk in self.trunks for parameter in trunk.parameters()]
        heads = [*student.image_head.parameters(), *student.text_head.parameters()]
        kinds = ((heads, p.learning_rate), (towers, p.tower_learning_rate))
        return [
            # Gains and biases do not decay, as in open_clip.
            {"params": [w for w in own if (w.ndim > 1) == decays], "lr": rate, "weight_decay": p.weight_decay * decays}
            for own, rate in kinds
            for decays in (True, False)
        ] + [{"params": [s for s in scalars if s.requires_grad], "lr": p.learning_rate, "weight_decay": 0.0}]

    def start_epoch(self, epoch: int) -> bool:
        live = epoch >= self.p.frozen_epochs
        before = self.module.live
        self.module.live = tuple(self.trunks) if live else ()
        for trunk in self.trunks:
            trunk.requires_grad_(live)
        # No features are computed beforehand where pictures come in a stream.
        self.run_image = self.p.image_tower == "finetune" and (live or self.batches.stream is not None)
        self.run_text = live and self.p.text_tower == "finetune"
        return before != self.module.live

    def steps(self, epoch: int, first: int) -> Iterator[Step]:
        for step, (rows, pixels) in enumerate(self.batches.epoch(epoch, first, self.run_image), first):
            inputs = {
                "image": self.images.take(rows, epoch, step, self.group.rank) if pixels is None else pixels,
                "text": self._text(self.captions[rows], self.texts[rows]),
            }
            facts = {"rows": torch.from_numpy(rows).to(self.device), "known": self.known[rows]}
            if self.p.lambda_kd > 0 and self.p.kd_texts == "captions+ontology" and len(self.onto_texts):
                further = self._further(epoch, step)
                inputs["further"] = self._text(self.data.onto_strings[further], self.onto_texts[further])
                facts["known"] = torch.cat([facts["known"], self.onto_known[further]])
            facts["known"] = facts["known"].to(self.device)
            facts["columns"] = self.group.gather_rows(facts["rows"])
            if self.names is not None:
                self._add_names(inputs, facts, epoch, step)
            yield Step(self._parts(inputs), facts)

    def _add_names(self, inputs: dict[str, torch.Tensor], facts: dict[str, Any], epoch: int, step: int) -> None:
        """The names of this step: for the student's text head, or embedded by the teacher."""
        names = self.data.names
        facts["drawn"], chosen = self.names.draw(facts["columns"].cpu().numpy(), epoch, step)
        if self.p.names_embedder == "student":
            inputs["names"] = self._text(names.strings[chosen], torch.from_numpy(names.texts[chosen]))
        else:
            facts["names"] = torch.from_numpy(names.teacher[chosen]).to(self.device)

    def close(self) -> None:
        """End the processes that read images."""
        self.batches.close()

    def _further(self, epoch: int, step: int) -> np.ndarray:
        """Ontology texts of this step: they keep the geometry of the ontology where captions never go."""
        size = min(self.p.kd_ontology_batch, len(self.onto_texts)) // self.group.size * self.group.size
        rng = np.random.default_rng((self.seed, epoch, step))
        return rng.choice(len(self.onto_texts), size=size, replace=False)[self.group.share(size)]

    def _text(self, strings: np.ndarray, features: torch.Tensor) -> torch.Tensor:
        return self._tokens(strings) if self.run_text else features

    def _tokens(self, strings: np.ndarray) -> torch.Tensor:
        tower = self.module.towers.text
        for text in set(strings.tolist()) - self.cleaned.keys():  # slower than the tokenizer: once a text
            self.cleaned[text] = tower.clean(text)
        return tower.token_ids([self.cleaned[text] for text in strings.tolist()])

    def _parts(self, inputs: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
        parts = min(self.params.training.accumulation, len(inputs["image"]))
        bf16 = self.params.training.precision == "bf16"
        pieces = {key: value.to(self.device, non_blocking=True).tensor_split(parts) for key, value in inputs.items()}
        return [{key: pieces[key][i] for key in pieces} | {"bf16": bf16} for i in range(parts)]

    def loss(self, output: Output, facts: dict[str, Any]) -> Output:
        p = self.p
        image, text = self.group.gather(output["image"], output["text"])
        columns = facts["columns"]
        rows = facts["rows"] if self.group.local_loss else columns
        batch = ImageTextBatch(
            image,
            text,
            output["scale"],
            output["bias"],
            output["label_bias"],
            rows,
            columns,
            self.relations,
            p.shared_phenotypes == "masked",
        )
        terms = {"loss_m": OBJECTIVES[p.objective](batch)}
        total = terms["loss_m"]
        if p.lambda_kd > 0:
            own = torch.cat([output["text"], output["further"]]) if "further" in output else output["text"]
            terms["loss_kd"] = clip_loss(*self.group.gather(own, facts["known"]), output["scale_kd"])
            total = total + p.lambda_kd * terms["loss_kd"]
        if p.ontology_weight > 0:
            terms["loss_ssm"] = ssm_ontology(batch)
            total = total + p.ontology_weight * terms["loss_ssm"]
        if self.names is not None:
            names = output["names"] if "names" in output else facts["names"]
            drawn = columns.cpu().numpy(), facts["drawn"]
            terms["loss_names"] = self.names.loss(image, names, output["scale_names"], *drawn)
            total = total + p.names_weight * terms["loss_names"]
        return {"loss": total} | terms

    @torch.no_grad()
    def after_step(self) -> Output:
        student = self.module
        for scale in student.scales:
            scale.clamp_(max=MAX_SCALE)
        numbers = {"logit_scale": student.logit_scale.exp()}
        if self.p.lambda_kd > 0:
            numbers["logit_scale_kd"] = student.logit_scale_kd.exp()
        if self.names is not None:
            numbers["logit_scale_names"] = student.logit_scale_names.exp()
        return numbers


def run_key(params: Params, seed: int, content: str) -> str:
    """A hash of all that a student's weights and history depend on, for cache keys.

    Args:
        content: a hash of the data.
    """
    sections = params.fingerprint("encoders", "training", "stage1", "stage2")
    runtime = params.runtime.model_dump(exclude={"workers"})
    # Validation retrieves among so many candidates, and may end the run early.
    return digest(sections, runtime, params.evaluation.candidates, seed, content, code_digest(__name__))


def train(
    params: Params,
    data: TrainingData,
    teacher: KnowledgeEncoder,
    seed: int,
    validate: Callable[[Student], dict[str, float]] | None = None,
    *,
    group: Group | None = None,
    device: torch.device | None = None,
    title: str = "stage 2",
    checkpoints: Checkpoints | None = None,
    curves: Path | None = None,
) -> tuple[Student, pd.DataFrame]:
    """Train one student on the train split.

    Args:
        validate: ``f(student) -> dict`` of numbers to record about ``stage2.validations`` times,
            e.g. validation retrieval; it must not look at the test split.
        group: the processes that train together; one by default.
        checkpoints: where the run's state is kept; an interrupted run goes on from there.
        curves: folder for dvclive.

    Returns:
        the student in evaluation mode on the CPU and its history by epoch.

    Raises:
        PhenoLIPError: fewer than two training pairs, or a loss that is not a number.
    """
    device = device or pick_device(params.runtime.device)
    student = build_student(params, seed, teacher)
    seed_everything(seed)
    task = Pretraining(params, data, student.to(device), seed, group or Group(), device)
    return fit(task, title, checkpoints, curves, validate)


def fit(
    task: Pretraining,
    title: str,
    checkpoints: Checkpoints | None,
    curves: Path | None,
    validate: Callable[[Student], dict[str, float]] | None = None,
) -> tuple[Student, pd.DataFrame]:
    """Train the student of a task on the engine; arguments and results are those of `train`."""
    p, student = task.p, task.module
    total = task.steps_per_epoch * p.epochs
    warm, settings = round(total * p.warmup_share), task.params.training
    engine = Engine(task, p.epochs, warm, settings, task.group, task.device, checkpoints, p.early_stopping)
    watch = Watch(title, total, curves, engine.resume(), task.group.main)
    try:
        history = engine.fit(watch, None if validate is None else lambda: validate(student), p.validations)
    finally:
        task.close()
    student.live = ()
    return student.to("cpu").eval().requires_grad_(False), pd.DataFrame(history)
