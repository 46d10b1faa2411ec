"""Training of answers: a question about an image is a class of a closed vocabulary, as a task of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.training.arl.inputs import Examples
from phenolip_lib.training.arl.pretraining import parameter_groups
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Output, Step
from phenolip_lib.training.schedule import seed_of

NO_ANSWER = -1
"""In place of an answer that the vocabulary lacks; such a question is not trained on, and counts as missed."""
HEAD = 3.0
"""Times the rate of the rest; ARL has 50, with a rate for pretrained towers that is a two-hundredth of ours."""


class AnswerTraining:
    """Binary cross-entropy over all answers, times their number, as in ARL and M3AE (`engine.Task`).

    Args:
        params: with the sections arl and training.
        examples: questions with their images.
        answers: row of the vocabulary for each example ``(n,)``, or `NO_ANSWER`.
        rows: of the training examples.
        model: gives ``logits``.
    """

    name = "answers"
    advice = "lower arl.answer_learning_rate"

    def __init__(
        self,
        params: Params,
        examples: Examples,
        answers: np.ndarray,
        rows: np.ndarray,
        model: nn.Module,
        seed: int,
        group: Group,
        device: torch.device,
    ) -> None:
        p = params.arl
        self.rows = rows[answers[rows] != NO_ANSWER]
        if len(self.rows) < 2:
            raise PhenoLIPError(f"answers: {len(self.rows)} training questions with a known answer; 2 are needed")
        self.params, self.examples, self.answers, self.module = params, examples, answers, model
        self.seed, self.group, self.device = seed, group, device
        self.size = min(p.answer_batch_size, len(self.rows) // group.size * group.size)
        group.share(self.size, "arl.answer_batch_size")
        self.steps_per_epoch = len(self.rows) // self.size
        start_at_frequencies(model.head, answers[self.rows])

    def groups(self) -> list[dict[str, Any]]:
        p = self.params.arl
        return parameter_groups(self.module, p.answer_learning_rate, p.weight_decay, ("head.",), HEAD)

    def start_epoch(self, epoch: int) -> bool:
        return False

    def steps(self, epoch: int, first: int) -> Iterator[Step]:
        order = np.random.default_rng(seed_of(self.seed, epoch)).permutation(self.rows)
        for step in range(first, self.steps_per_epoch):
            rows = order[step * self.size : (step + 1) * self.size][self.group.share(self.size)]
            truth = torch.from_numpy(self.answers[rows]).to(self.device)
            parts = np.array_split(rows, min(self.params.training.accumulation, len(rows)))
            yield Step([self.examples.inputs(part, self.device) for part in parts], {"answer": truth})

    def loss(self, output: Output, facts: dict[str, Any]) -> Output:
        logits = output["logits"]
        truth = F.one_hot(facts["answer"], logits.shape[1]).to(logits.dtype)
        return {"loss": F.binary_cross_entropy_with_logits(logits, truth) * logits.shape[1]}

    def after_step(self) -> Output:
        return {}


@torch.no_grad()
def start_at_frequencies(head: nn.Module, answers: np.ndarray) -> None:
    """Let a head that has learned nothing give each answer the probability with which training gives it.

    Its last layer starts from the log odds of the answers' frequencies, as in focal loss (Lin et al. 2017). From zero,
    a sum over all answers is so large that the first steps push every answer down and nothing else is learned: a fusion
    model then says the same of all images for good.

    Args:
        head: its last layer is linear, with an output an answer.
        answers: of the training questions ``(n,)``.
    """
    last = head if isinstance(head, nn.Linear) else head[-1]
    counts = torch.bincount(torch.from_numpy(answers), minlength=last.out_features).double() + 1
    share = counts / (counts.sum() + 1)
    last.bias.copy_(torch.log(share / (1 - share)))


@torch.no_grad()
def predict(
    model: nn.Module, examples: Examples, rows: np.ndarray, device: torch.device | str = "cpu", batch: int = 256
) -> np.ndarray:
    """Logits of some examples, float32 ``(n, n_answers)``."""
    model.eval().to(device)
    parts = np.array_split(rows, range(batch, len(rows), batch))
    return np.concatenate([model(**examples.inputs(part, device))["logits"].float().cpu().numpy() for part in parts])
