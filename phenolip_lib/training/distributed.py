"""Several processes as one: the process group of torchrun, and open_clip's gathering of embeddings.

Without torchrun there is one process, every gathering is the identity, and nothing here costs a
thing. A loss is written for the rows of one process against the rows of all; `DistributedDataParallel`
averages its gradients over the processes, which gives the gradient of the whole batch.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError

PATIENCE = timedelta(hours=6)
"""The others wait while the main process computes features or validates."""


class Gathered(NamedTuple):
    """Rows of this process, rows of all processes in order of rank, and where the own ones start."""

    own: torch.Tensor
    everyone: torch.Tensor
    start: int


@dataclass(frozen=True)
class Group:
    """The processes that train one model.

    Attributes:
        rank, size: this process and how many there are.
        local_loss: each process computes the loss of its own rows only, against all; without it
            each computes the loss of the whole batch. The gradient is the same, the memory is not.
        gather_with_grad: gradients flow back to the rows of other processes. Without it the
            gradient is an approximation, as in open_clip.
    """

    rank: int = 0
    size: int = 1
    local_loss: bool = True
    gather_with_grad: bool = True

    @property
    def main(self) -> bool:
        """The one process that writes files and speaks."""
        return self.rank == 0

    def share(self, n: int, what: str = "batch_size") -> slice:
        """This process's part of `n` rows.

        Raises:
            PhenoLIPError: `n` does not divide.
        """
        if n % self.size:
            raise PhenoLIPError(f"{what} {n} does not divide by {self.size} processes")
        own = n // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def gather(self, a: torch.Tensor, b: torch.Tensor) -> tuple[Gathered, Gathered]:
        """Embeddings of two kinds ``(n_own, dim)`` from all processes, ``(n_own * size, dim)``."""
        if self.size == 1:
            return Gathered(a, a, 0), Gathered(b, b, 0)
        all_a, all_b = open_clip.loss.gather_features(
            a.contiguous(), b.contiguous(), self.local_loss, self.gather_with_grad, self.rank, self.size
        )
        if not self.local_loss:
            return Gathered(all_a, all_a, 0), Gathered(all_b, all_b, 0)
        return Gathered(a, all_a, self.rank * len(a)), Gathered(b, all_b, self.rank * len(b))

    def gather_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Integers of all processes, without gradient."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over the processes, for what is logged."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.size
        return values

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process runs the block before the others, which then find in the cache what it computed."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()


def local_device(name: str) -> torch.device:
    """The device of this process: with several GPUs each takes its own.

    Raises:
        PhenoLIPError: a GPU is asked for and absent, or there are fewer GPUs than processes.
    """
    from phenolip_lib.core.runtime import pick_device

    device = pick_device(name)
    local = int(os.environ.get("LOCAL_RANK", 0))
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        if local >= torch.cuda.device_count():
            raise PhenoLIPError(
                f"runtime.processes asks for GPU {local + 1}, torch sees {torch.cuda.device_count()}; lower it"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    return device


@contextmanager
def process_group(device: torch.device, *, local_loss: bool = True, gather_with_grad: bool = True) -> Iterator[Group]:
    """The group that torchrun started, or a group of one."""
    options = {"local_loss": local_loss, "gather_with_grad": gather_with_grad}
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Group(**options)
        return
    own = device if device.type == "cuda" else None
    dist.init_process_group("nccl" if own else "gloo", timeout=PATIENCE, device_id=own)
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), **options)
    finally:
        dist.destroy_process_group()


def launch(processes: int, module: str, arguments: Sequence[str]) -> None:
    """Run ``python -m module arguments`` under torchrun and wait for it.

    A subprocess, because a process that has used a GPU cannot be forked into several.

    Raises:
        PhenoLIPError: with the last line the processes printed.
    """
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        "-m",
        module,
        *arguments,
    ]
    said = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        for line in child.stdout:
            if line.startswith("phenolip: "):
                said = line.strip()
            if not said:  # after it only torchrun speaks, of the processes it ends
                print(line, end="", flush=True)
    if child.returncode:
        raise PhenoLIPError(
            said.removeprefix("phenolip: ") or f"torchrun -m {module} ended with status {child.returncode}"
        )
