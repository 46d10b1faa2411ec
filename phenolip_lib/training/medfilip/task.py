"""The training of MedFILIP on the engine, towers and heads of stage 2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.core.runtime import seed_everything
from phenolip_lib.core.storage import digest, digest_arrays
from phenolip_lib.models.student import Student, build_student
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Output
from phenolip_lib.training.inputs import TrainingData
from phenolip_lib.training.medfilip.entries import NONE, Entries
from phenolip_lib.training.medfilip.losses import LOSSES, own_entries, similarity_matrix
from phenolip_lib.training.stage2 import Pretraining, fit


@dataclass(frozen=True)
class EntryData:
    """Entries with the features of their texts.

    Attributes:
        features: of `Entries.strings` by the student's text trunk, ``(n_entries, width)``.
        labels: of `Entries.labels` by the same, L2-normalised: the sentence embeddings e.
    """

    entries: Entries
    features: np.ndarray
    labels: np.ndarray

    @property
    def content(self) -> str:
        """A hash of all of it, for cache keys."""
        e = self.entries
        arrays = digest_arrays(self.features, self.labels, e.category, e.denied, e.weight, e.members)
        return digest(arrays, e.strings.tolist())


class Injection(Pretraining):
    """Images against the entries of the batch, in place of captions (`engine.Task`)."""

    name = "MedFILIP"

    def __init__(
        self,
        params: Params,
        data: TrainingData,
        found: EntryData,
        student: Student,
        seed: int,
        group: Group,
        device: torch.device,
    ) -> None:
        super().__init__(params, data, student, seed, group, device)
        self.own, self.found, self.loss_of = params.medfilip, found, LOSSES[params.medfilip.loss]
        self.names = found  # so that each step takes entries, see `_add_names`
        e = found.entries
        self.members, self.category, self.denied, self.weight, self.labels = (
            torch.from_numpy(array).to(device) for array in (e.members, e.category, e.denied, e.weight, found.labels)
        )
        has = (e.members[self.batches.rows] != NONE).any(axis=1)
        if has.sum() < 2:
            raise PhenoLIPError(
                f"MedFILIP: {has.sum()} training pairs whose caption tells a finding; contrast needs 2 or more"
            )
        for unused in (student.logit_scale_kd, student.logit_scale_names, student.logit_bias):
            unused.requires_grad_(False)
        student.label_bias.requires_grad_(self.own.loss == "cosine")

    def _add_names(self, inputs: dict[str, torch.Tensor], facts: dict[str, Any], epoch: int, step: int) -> None:
        """The columns of this step: all entries of its images, those of several as often as they are there."""
        members = self.found.entries.members[facts["columns"].cpu().numpy()]
        drawn = members[members != NONE]
        facts["drawn"] = torch.from_numpy(drawn).to(self.device)
        inputs["names"] = self._text(self.found.entries.strings[drawn], torch.from_numpy(self.found.features[drawn]))

    def loss(self, output: Output, facts: dict[str, Any]) -> Output:
        """Over the images that have an entry; what a report without findings shows is not known."""
        image, _ = self.group.gather(output["image"], output["text"])
        members, drawn = self.members[facts["columns"]], facts["drawn"]
        rows = (members != NONE).any(dim=1)
        if not rows.any():
            return {"loss": 0.0 * (output["image"].sum() + output["names"].sum())}
        if self.own.likeness == "own":
            target = own_entries(members[rows], drawn)
        else:
            target = similarity_matrix(members[rows], drawn, self.category, self.denied, self.weight, self.labels)
        # Every process has all entries and scores all images, so each computes the loss of the whole batch.
        cosines = image.everyone[rows] @ output["names"].T
        return {"loss": self.loss_of(cosines, target, output["scale"], output["label_bias"])}


def prepare(entries: Entries, embed: Callable[[list[str]], np.ndarray]) -> EntryData:
    """Features of all entries.

    Args:
        embed: features of texts by the student's text trunk.
    """
    labels = F.normalize(torch.from_numpy(embed(entries.labels.tolist())), dim=-1).numpy()
    return EntryData(entries, embed(entries.strings.tolist()), labels)


def run_key(params: Params, seed: int, content: str) -> str:
    """A hash of all that a student's weights depend on, for cache keys.

    Args:
        content: a hash of the data and of the entries.
    """
    sections = params.fingerprint("encoders", "training", "stage2", "medfilip")
    return digest(sections, params.runtime.model_dump(exclude={"workers"}), seed, content, code_digest(__name__))


def train(
    params: Params,
    data: TrainingData,
    found: EntryData,
    seed: int,
    *,
    group: Group,
    device: torch.device,
    title: str = "MedFILIP",
    checkpoints: Checkpoints | None = None,
    curves: Path | None = None,
) -> tuple[Student, pd.DataFrame]:
    """Train one student on the train split; arguments and results are those of `stage2.train`.

    Raises:
        PhenoLIPError: fewer than two training pairs with an entry, or a loss that is not a number.
    """
    student = build_student(params, seed)
    seed_everything(seed)
    return fit(Injection(params, data, found, student.to(device), seed, group, device), title, checkpoints, curves)
