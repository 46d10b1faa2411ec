"""Does a GPU compute what a CPU computes? Losses, gradients, bf16, and a run that was interrupted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.random_case import Size, case, setting
from phenolip_lib.core.params import Params
from phenolip_lib.core.progress import Watch
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Engine
from phenolip_lib.training.objectives import OBJECTIVES

PLAIN = {"stage2__lambda_kd": 0.0, "stage2__ontology_weight": 0.0}
DISTILLED = PLAIN | {"stage2__objective": "clip", "stage2__lambda_kd": 1.0, "stage2__kd_texts": "captions+ontology"}
CASES = {name: PLAIN | {"stage2__objective": name} for name in OBJECTIVES} | {
    "distillation": DISTILLED,
    "distillation and soft labels": DISTILLED | {"stage2__ontology_weight": 3.0},
}
"""What differs from `setting`, by name: every objective alone, the distillation term, and all terms together."""
LIMITS = {"device": (1e-4, 1e-3), "bf16": (2e-2, 0.2)}
"""Largest relative difference of the loss, and of the gradient (norm of the difference by the norm), that passes."""
STEPS = 4


def gradient(params: Params, size: Size, device: torch.device) -> tuple[float, torch.Tensor]:
    """Loss and whole gradient, float64 ``(n_parameters,)`` on the CPU, of one step without dropout."""
    task = case(params, size, Group(), device, dropout=False)
    engine = Engine(task, 1, 1, params.training, Group(), device)
    task.start_epoch(0)
    task.module.train()
    terms = engine._step(next(task.steps(0, 0)))
    found = [(weight.grad if weight.grad is not None else torch.zeros_like(weight)) for weight in engine.trained]
    return float(terms["loss"]), torch.cat([value.detach().double().cpu().flatten() for value in found])


def compared(kind: str, name: str, one: tuple[float, torch.Tensor], other: tuple[float, torch.Tensor]) -> dict:
    """A row: relative differences of `other` from `one`, and whether they are within `LIMITS`."""
    of_loss, of_gradient = LIMITS[kind]
    loss = abs(other[0] - one[0]) / abs(one[0])
    grad = float((other[1] - one[1]).norm() / one[1].norm())
    passed = bool(loss <= of_loss and grad <= of_gradient and one[1].norm() > 0)
    return {
        "check": {"device": "GPU against CPU, float32", "bf16": "bf16 against float32"}[kind],
        "case": name,
        "loss": one[0],
        "loss_difference": loss,
        "gradient_difference": grad,
        "loss_limit": of_loss,
        "gradient_limit": of_gradient,
        "passed": passed,
    }


class Interrupted(Exception):
    """Raised in the place of a kill."""


def trained(params: Params, size: Size, device: torch.device, folder: Path, stop: int | None = None) -> dict:
    """Weights after `STEPS` steps, from the last checkpoint in `folder` on; with `stop`, it ends before that step."""
    torch.manual_seed(1)
    task = case(params, size, Group(), device)
    engine = Engine(task, STEPS, 1, params.training, Group(), device, Checkpoints(folder))
    engine.resume()
    take = engine._step

    def step(batch):
        if engine.step_number == stop:
            raise Interrupted
        return take(batch)

    engine._step = step
    engine.fit(Watch("check", STEPS, None, engine.step_number, False))
    return {name: value.detach().cpu().clone() for name, value in engine.weights().items()}


def resumed(params: Params, size: Size, device: torch.device) -> dict:
    """A row: a run that was interrupted twice against one that was not, with dropout, in bf16."""
    with tempfile.TemporaryDirectory() as folder:
        whole = trained(params, size, device, Path(folder) / "whole")
        for stop in (1, 3):
            try:
                trained(params, size, device, Path(folder) / "cut", stop)
            except Interrupted:
                continue
        cut = trained(params, size, device, Path(folder) / "cut")
    same = all(torch.equal(whole[name], cut[name]) for name in whole)
    apart = max(float((whole[name].double() - cut[name].double()).abs().max()) for name in whole)
    return {
        "check": "resumed run against a whole one",
        "case": "largest difference of a weight",
        "gradient_difference": apart,
        "gradient_limit": 0.0,
        "passed": same,
    }


def checks(params: Params, size: Size, batch: int, device: torch.device) -> Iterator[dict]:
    """All rows, each as soon as it is known; a check that breaks is a row that says why."""
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False  # float32 is to be float32
    try:
        for name, overrides in CASES.items():
            plain = setting(params, batch, training__precision="float32", **overrides)
            mixed = setting(params, batch, training__precision="bf16", **overrides)
            try:
                here = gradient(plain, size, device)
                yield compared("device", name, gradient(plain, size, torch.device("cpu")), here)
                yield compared("bf16", name, here, gradient(mixed, size, device))
            except RuntimeError as error:
                yield {"check": "GPU against CPU", "case": name, "passed": False, "note": first_line(error)}
        saved = setting(params, batch, training__precision="bf16", training__checkpoint_steps=1, **DISTILLED)
        try:
            yield resumed(saved, size, device)
        except RuntimeError as error:
            yield {"check": "resumed run against a whole one", "passed": False, "note": first_line(error)}
    finally:
        torch.backends.cudnn.allow_tf32 = tf32


def first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
