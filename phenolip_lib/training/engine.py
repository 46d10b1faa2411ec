"""The training loop of both stages: one process or many, CPU or GPU, whole batch or parts, resumable.

A `Task` says what is trained on what; the engine takes the steps. All randomness of a step comes
from the seed and the step's number, so a run that was killed goes on from its last checkpoint and
ends with the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.progress import LINES, Watch
from phenolip_lib.core.sections import Training
from phenolip_lib.training.accumulation import Output, accumulate
from phenolip_lib.training.checkpoints import Checkpoints, flat_optimizer, restore_optimizer
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.schedule import EarlyStopping, cosine_schedule, seed_of


@dataclass
class Step:
    """One batch of this process.

    Attributes:
        parts: inputs of ``module.forward``, one a part of the batch; several parts are accumulated.
        facts: what the loss needs beside the embeddings, e.g. rows of the pairs.
    """

    parts: list[dict[str, Any]]
    facts: dict[str, Any]


class Task(Protocol):
    """What is trained. `module` maps a part to normalised embeddings ``(n, dim)`` and scalars by name."""

    name: str
    module: nn.Module
    steps_per_epoch: int
    seed: int
    advice: str
    """Said when the loss is not a number: which parameter to change."""

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups of AdamW; all parameters that are ever trained."""

    def start_epoch(self, epoch: int) -> bool:
        """Freeze or thaw; True if the set of trained parameters changed."""

    def steps(self, epoch: int, first: int) -> Iterator[Step]:
        """The batches of an epoch from step `first` on."""

    def loss(self, output: Output, facts: dict[str, Any]) -> Output:
        """``loss`` and its terms by name, of this process's rows."""

    def after_step(self) -> Output:
        """Clamp what must be clamped; scalars worth a curve, e.g. temperatures, which are read now and then only."""


class Engine:
    """Trains a task.

    Args:
        task: what to train.
        epochs: of the whole run; the learning rate ends at zero.
        warmup: steps of linear warm-up.
        training: the section `training` of params.
        group: this process among all.
        device: where the module lies.
        checkpoints: where the state of the run is kept.
    """

    def __init__(
        self,
        task: Task,
        epochs: int,
        warmup: int,
        training: Training,
        group: Group,
        device: torch.device,
        checkpoints: Checkpoints | None = None,
        patience: int | None = None,
    ) -> None:
        self.task, self.epochs, self.training, self.group, self.device = task, epochs, training, group, device
        self.checkpoints = checkpoints or Checkpoints(None)
        self.total = epochs * task.steps_per_epoch
        groups = [group for group in task.groups() if group["params"]]
        self.trained = [parameter for group in groups for parameter in group["params"]]
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.warmup = max(warmup, 1)
        self.stopping = EarlyStopping(patience)
        self.step_number = 0
        self.history: list[dict[str, float]] = []
        self.sums: dict[str, float] = {}
        self.stopped = False
        self.ddp: nn.Module = task.module

    def weights(self) -> Output:
        """Trained parameters by name."""
        trained = set(map(id, self.trained))
        return {name: value for name, value in self.task.module.named_parameters() if id(value) in trained}

    def fit(
        self, watch: Watch, validate: Callable[[], dict[str, float]] | None = None, validations: int = 10
    ) -> list[dict[str, float]]:
        """Take all steps that are left.

        Args:
            validate: numbers of the validation split, ``val_score`` among them if it can stop the
                run early; called on the main process about `validations` times a run.

        Returns:
            the history, a row an epoch.

        Raises:
            PhenoLIPError: a loss that is not a number, or memory that does not suffice.
        """
        every = max(self.epochs // validations, 1)
        try:
            for epoch in range(self.step_number // max(self.task.steps_per_epoch, 1), self.epochs):
                if self.stopped:
                    break
                self._epoch(epoch, watch)
                row = {
                    "epoch": epoch + 1,
                    **{key: value / self.task.steps_per_epoch for key, value in self.sums.items()},
                }
                row |= _floats(self.task.after_step())
                self.sums = {}
                if (epoch + 1) % every == 0 or epoch + 1 == self.epochs:
                    row |= self._validate(validate)
                    watch.step(self.step_number, {key: value for key, value in row.items() if key.startswith("val_")})
                self.history.append(row)
                if self._save_due() or self.stopped or epoch + 1 == self.epochs:
                    self.save()
                if (epoch + 1) % max(self.epochs // LINES, 1) == 0:
                    watch.line(self.step_number, row)
        finally:
            watch.close()
        if self.stopping.weights:  # after the last save: the kept state is of the last step, not of the best
            for name, value in self.weights().items():
                value.data.copy_(self.stopping.weights[name])
        return self.history

    def _epoch(self, epoch: int, watch: Watch) -> None:
        task = self.task
        if task.start_epoch(epoch) or self.ddp is task.module:
            self._wrap()
        task.module.train()
        first = self.step_number - epoch * task.steps_per_epoch
        pending: list[Output] = []
        for step in task.steps(epoch, first):
            pending.append(self._take(step))
            numbers = task.after_step()
            self.step_number += 1
            last = self.step_number % task.steps_per_epoch == 0
            save = self._save_due()
            if last or save or len(pending) == self.training.log_steps:
                means = self._read(pending)
                pending = []
                now = {"learning_rate": self.optimizer.param_groups[0]["lr"]}
                watch.step(self.step_number, means | _floats(numbers) | now)
            if save and not last:
                self.save()

    def _save_due(self) -> bool:
        return self.step_number % self.training.checkpoint_steps == 0

    def _wrap(self) -> None:
        """Wrap anew: the reducer of `DistributedDataParallel` knows what was trainable when it was made."""
        self.ddp = self.task.module
        if self.group.size > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            self.ddp = DistributedDataParallel(self.task.module, device_ids=ids)

    def _take(self, step: Step) -> Output:
        """One step; returns the detached terms of the loss, and the norm of the gradient."""
        try:
            return self._step(step) | {"gradient_norm": self._update()}
        except torch.OutOfMemoryError:
            pairs = sum(len(next(iter(part.values()))) for part in step.parts)
            raise PhenoLIPError(
                f"{self.task.name}: out of GPU memory with {pairs} pairs a process in {len(step.parts)} parts; "
                f"set training.accumulation to {2 * len(step.parts)} (same loss, less memory), or "
                "training.gradient_checkpointing to true"
            ) from None

    def _step(self, step: Step) -> Output:
        """Gradients of one batch; returns the detached terms of the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        seed = seed_of(self.task.seed, self.step_number, self.group.rank)
        if len(step.parts) == 1:
            torch.manual_seed(seed)
            terms = self.task.loss(self.ddp(**step.parts[0]), step.facts)
            terms["loss"].backward()
        else:
            terms = accumulate(self.task, self.ddp, self.group, step.parts, step.facts, seed)
        return {key: value.detach() for key, value in terms.items()}

    def _update(self) -> torch.Tensor:
        limit = self.training.max_gradient_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_([p for p in self.trained if p.grad is not None], limit)
        now = cosine_schedule(self.step_number, self.total, self.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * now
        self.optimizer.step()
        return norm

    def _read(self, pending: list[Output]) -> dict[str, float]:
        """Means of the terms since the last reading, over all processes; a loss that is no number ends the run."""
        keys = list(pending[0])
        values = torch.stack([torch.stack([terms[key].float() for key in keys]) for terms in pending]).double()
        values = self.group.mean(values)
        for key, total in zip(keys, values.sum(dim=0).tolist(), strict=True):
            self.sums[key] = self.sums.get(key, 0.0) + total
        numbers = {"loss": "loss", "gradient's norm": "gradient_norm"}
        for said, key in numbers.items():
            self._refuse(said, values[:, keys.index(key)], len(pending))
        return dict(zip(keys, values.mean(dim=0).tolist(), strict=True))

    def _refuse(self, said: str, values: torch.Tensor, n: int) -> None:
        """End the run if one of the last `n` values is no number."""
        if not torch.isfinite(values).all():
            bad = int((~torch.isfinite(values)).nonzero()[0])
            step = self.step_number - n + bad + 1
            kept = self.checkpoints.steps()
            after = f"; the last good checkpoint is of step {kept[-1]}" if kept else ""
            raise PhenoLIPError(
                f"{self.task.name}: the {said} is {values[bad].item()} at step {step}; {self.task.advice}{after}"
            )

    def _validate(self, validate: Callable[[], dict[str, float]] | None) -> dict[str, float]:
        numbers = {}
        if validate is not None and self.group.main:
            numbers = validate()
            self.task.module.train()
        stop = torch.tensor(float(self.stopping.see(numbers.get("val_score"), self.weights)), device=self.device)
        # Only the main process validates; the others learn here whether it stops.
        self.stopped = bool(self.group.mean(stop) > 0)
        return numbers

    def save(self) -> None:
        """Write a checkpoint of everything that the next step depends on, if there is one."""
        done = self.stopped or self.step_number == self.total
        if self.group.main:
            state = {
                "history": [list(row.items()) for row in self.history],  # the order of columns is kept
                "sums": list(self.sums.items()),
                "best": None,
                "since": self.stopping.since,
                "stopped": self.stopped,
            }
            tensors = {f"module.{key}": value for key, value in self.weights().items()}
            tensors |= {} if done else flat_optimizer(self.optimizer)
            if self.stopping.weights:
                state["best"] = self.stopping.best
                tensors |= {f"best.{key}": value for key, value in self.stopping.weights.items()}
            self.checkpoints.save(self.step_number, tensors, state, last=done)
        self.group.wait()

    def resume(self) -> int:
        """Go back to the newest checkpoint, if there is one; returns the steps done.

        Raises:
            PhenoLIPError: it is of another model.
        """
        found = self.checkpoints.latest()
        if found is None:
            return 0
        tensors, state = found
        own = self.weights()
        for name, value in own.items():
            kept = tensors.get(f"module.{name}")
            if kept is None or kept.shape != value.shape:
                raise PhenoLIPError(
                    f"{self.checkpoints.folder}: a checkpoint of another model ({name} differs); remove the folder"
                )
            value.data.copy_(kept)
        restore_optimizer(self.optimizer, tensors)
        self.step_number = state["step"]
        self.history, self.sums = [dict(row) for row in state["history"]], dict(state["sums"])
        if state["best"] is not None:
            self.stopping.best = state["best"]
            self.stopping.weights = {
                key.removeprefix("best."): value for key, value in tensors.items() if key.startswith("best.")
            }
        self.stopping.since, self.stopped = state["since"], state["stopped"]
        return self.step_number


def _floats(scalars: Output) -> dict[str, float]:
    return {key: float(value) for key, value in scalars.items()}
