"""The gradient of a whole contrastive batch with the activations of one part (GradCache, Gao et al. 2021)."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

import torch
from torch import nn

from phenolip_lib.training.distributed import Group

Output = dict[str, torch.Tensor]


class Lossy(Protocol):
    """What has a module and a loss of its output, as `engine.Task`."""

    module: nn.Module

    def loss(self, output: Output, facts: dict[str, Any]) -> Output: ...


def accumulate(
    task: Lossy, ddp: nn.Module, group: Group, parts: list[dict[str, Any]], facts: dict[str, Any], seed: int
) -> Output:
    """Embeddings of all parts without graph, the loss of the whole batch and its gradient at the embeddings; then each
    part again, with the same dropout, and that gradient pushed through.

    Args:
        ddp: the task's module, wrapped where several processes train.
        seed: of the dropout of the first part; the next have the next.

    Returns:
        the terms of the loss by name; the gradients lie at the parameters.
    """
    outputs = []
    with torch.no_grad():
        for number, part in enumerate(parts):
            torch.manual_seed(seed + number)
            outputs.append(task.module(**part))
    whole = {
        key: torch.cat([output[key] for output in outputs]) if value.ndim else value.clone()
        for key, value in outputs[0].items()
    }
    for value in whole.values():
        value.requires_grad_(True)
    terms = task.loss(whole, facts)
    terms["loss"].backward()
    starts = dict.fromkeys(whole, 0)
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        torch.manual_seed(seed + number)
        with contextlib.nullcontext() if last or group.size == 1 else ddp.no_sync():
            pushed = []
            for key, value in ddp(**part).items():
                gradient = whole[key].grad
                if value.ndim:
                    own = slice(starts[key], starts[key] + len(value))
                    starts[key] = own.stop
                    gradient = gradient[own] if gradient is not None else None
                elif not last:
                    gradient = None  # a scalar of the whole batch counts once
                if gradient is not None and value.requires_grad:
                    pushed.append((value * gradient).sum())
            torch.stack(pushed).sum().backward()
    return terms
