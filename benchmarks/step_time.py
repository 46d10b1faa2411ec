"""Step time of PhenoLIP beside open_clip's plain CLIP, same towers, same batch, same run.

    python -m benchmarks.step_time --batches 256 512 1024 2048 4096          # one GPU
    torchrun --nproc-per-node 8 -m benchmarks.step_time --batches 4096       # batch over all GPUs
    python -m benchmarks.step_time --tiny --batches 16 32                    # a try on a CPU

Towers are a ViT-B/16 at 224 px and a BERT of 12 layers (random weights; speed does not know them),
both trained. The two kinds of step alternate, so both meet the same machine. Where the memory does not suffice
both take gradient checkpointing, and where that does not help either the larger batches are left out. MFU counts the
floating-point operations of forward and backward by torch's own counter on a few pairs, without recomputation,
and carries them on to the batch. With ``captions+ontology``, the default of params.yaml, a thousand ontology texts
a step go through the student's text tower as well, which is dear where that tower trains.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.random_case import FULL, ONTO_TOKENS, TINY, Size, case, setting, towers
from phenolip_lib.core import runtime
from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.paths import find_root
from phenolip_lib.training.distributed import Group, local_device, process_group
from phenolip_lib.training.engine import Engine

PEAKS = {"H200 NVL": 835e12, "H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "A100": 312e12}
"""Dense bf16 operations a second by part of the device's name, the first that fits; from the maker's data sheets."""
KD_TEXTS = ("captions", "captions+ontology")
COUNTED = 8
"""Pairs that the operations are counted on."""
LEAST_STEPS = 3


@dataclass(frozen=True)
class Options:
    """How a row is measured: after `warmup` steps `steps` more, or fewer, but three, once `seconds` have gone."""

    steps: int = 10
    warmup: int = 3
    seconds: float = 60.0
    accumulation: int = 1
    compile: bool = False
    gradient_checkpointing: bool = False
    peak: float | None = None


class Pair(NamedTuple):
    """A step of PhenoLIP and one of plain CLIP: what runs them, what state they hold, operations of each."""

    steps: dict[str, Callable[[], None]]
    held: dict[str, Callable[[], int]]
    operations: dict[str, float]


def _held(weights, optimizer) -> int:
    """Bytes of weights, gradients and the optimizer's state."""
    tensors = [t for w in weights for t in (w, w.grad, *optimizer.state.get(w, {}).values()) if torch.is_tensor(t)]
    return sum(t.nbytes for t in tensors)


def _operations(run: Callable[[], torch.Tensor], n: int) -> float:
    """Floating-point operations of forward and backward, of one of the `n` that `run` takes."""
    with FlopCounterMode(display=False) as counter:
        run().backward()
    return counter.get_total_flops() / n


def steps(params: Params, size: Size, group: Group, device: torch.device) -> Pair:
    """A step of PhenoLIP and a step of plain CLIP on the same towers."""
    task = case(params, size, group, device)
    engine = Engine(task, 1, 1, params.training, group, device)
    task.start_epoch(0)
    engine._wrap()
    task.module.train()
    step = next(task.steps(0, 0))

    peer = towers(size).model.requires_grad_(True).to(device).train()
    pixels, ids, batch = task.pixels, task.ids, params.stage2.batch_size
    mean, deviation = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in ((0.5,) * 3, (0.5,) * 3))
    few = slice(min(COUNTED, len(ids)))
    pair = _operations(
        lambda: sum(v.sum() for v in peer((pixels[few].float() / 255 - mean) / deviation, ids[few])[:2]), few.stop
    )
    further = sum(len(part["further"]) for part in step.parts if "further" in part) * group.size
    text = _operations(lambda: peer.encode_text(ids[few, :ONTO_TOKENS]).sum(), few.stop) if further else 0.0
    peer.zero_grad(set_to_none=True)
    if params.training.gradient_checkpointing:
        peer.set_grad_checkpointing(True)
    if params.training.compile:
        peer.compile()
    wrapped = peer
    if group.size > 1:
        wrapped = DistributedDataParallel(peer, device_ids=[device.index] if device.type == "cuda" else None)
    loss = open_clip.loss.ClipLoss(local_loss=True, gather_with_grad=True, rank=group.rank, world_size=group.size)
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-5, fused=device.type == "cuda")

    def phenolip() -> None:
        engine._step(step)
        engine._update()

    def clip() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            image, text, scale = wrapped((pixels.float() / 255 - mean) / deviation, ids)
        loss(image.float(), text.float(), scale.float()).backward()
        optimizer.step()

    held = {
        "phenolip": lambda: _held(engine.trained, engine.optimizer),
        "clip": lambda: _held(peer.parameters(), optimizer),
    }
    operations = {"phenolip": pair * batch + text * further, "clip": pair * batch}
    return Pair({"phenolip": phenolip, "clip": clip}, held, operations)


def measure(run: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def benchmark(
    params: Params, size: Size, batch: int, kd_texts: str, options: Options, group: Group, device: torch.device
) -> dict:
    """One row: medians over the alternating steps; memory is each kind's own peak, without the other's state.

    Raises:
        torch.OutOfMemoryError: the GPU's memory does not suffice.
    """
    settings = setting(
        params,
        batch,
        stage2__kd_texts=kd_texts,
        stage2__lambda_kd=1.0,
        training__accumulation=options.accumulation,
        training__gradient_checkpointing=options.gradient_checkpointing,
        training__compile=options.compile,
    )
    pair = steps(settings, size, group, device)
    for _ in range(options.warmup):
        for run in pair.steps.values():
            run()
    times, memory, start = {name: [] for name in pair.steps}, dict.fromkeys(pair.steps, 0), time.perf_counter()
    for number in range(options.steps):
        # Processes must agree on the number of steps, so only one alone may cut it short.
        if group.size == 1 and number >= LEAST_STEPS and time.perf_counter() - start > options.seconds:
            break
        for name, run in pair.steps.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            times[name].append(measure(run, device))
            if device.type == "cuda":
                other = next(held for key, held in pair.held.items() if key != name)
                memory[name] = max(memory[name], torch.cuda.max_memory_allocated(device) - other())
    ours, theirs = (float(np.median(times[name])) for name in ("phenolip", "clip"))
    row = {
        "batch": batch,
        "processes": group.size,
        "clip_ms": 1000 * theirs,
        "phenolip_ms": 1000 * ours,
        "ratio": ours / theirs,
        "images_per_s": batch / ours,
        "tflops": pair.operations["phenolip"] / ours / 1e12,
        "kd_texts": kd_texts,
        "vision": size.vision,
        "text_layers": size.layers,
        "tokens": size.tokens,
        "device": f"{torch.get_num_threads()} CPU threads",
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        name = row["device"] = torch.cuda.get_device_name(device)
        peak = options.peak or next((value for key, value in PEAKS.items() if key in name), None)
        row |= {"checkpointing": options.gradient_checkpointing, "steps": len(times["clip"])}
        row |= {"clip_images_per_s": batch / theirs}
        for key, seconds in (("phenolip", ours), ("clip", theirs)):
            row[f"{key}_memory_gib"] = memory[key] / 2**30
            row[f"{key}_mfu"] = pair.operations[key] / seconds / (peak * group.size) if peak else float("nan")
    return row


def rows(
    params: Params,
    size: Size,
    batches: list[int],
    kd_texts: list[str],
    options: Options,
    group: Group,
    device: torch.device,
) -> Iterator[dict]:
    """A row a batch and kind of texts, ascending; see above for what happens where the memory does not suffice."""
    checkpointing = dict.fromkeys(kd_texts, options.gradient_checkpointing)
    full: set[str] = set()
    for batch, kind in product(sorted(batches), kd_texts):
        while kind not in full:
            now = Options(**vars(options) | {"gradient_checkpointing": checkpointing[kind]})
            try:
                row = benchmark(params, size, batch, kind, now, group, device)
            except torch.OutOfMemoryError:
                row = None  # what the error holds goes with this block
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
            if row is not None:
                yield row
                break
            yield {"batch": batch, "kd_texts": kind, "checkpointing": checkpointing[kind], "note": "out of memory"}
            if checkpointing[kind]:
                full.add(kind)
            checkpointing[kind] = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--accumulation", type=int, default=1, help="of PhenoLIP's step; the peer has none")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="from the smallest batch on")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--kd-texts", nargs="+", choices=KD_TEXTS, default=list(KD_TEXTS))
    parser.add_argument("--tiny", action="store_true", help="small towers, to try it on a CPU")
    parser.add_argument("--peak", type=float, help="bf16 operations a second of one device, for MFU")
    parser.add_argument("--out", type=Path, help="also write the table as CSV")
    given = parser.parse_args()
    options = Options(
        given.steps,
        given.warmup,
        accumulation=given.accumulation,
        compile=given.compile,
        gradient_checkpointing=given.gradient_checkpointing,
        peak=given.peak,
    )
    params = load_params(find_root() / "params.yaml")
    runtime.configure(params.runtime.threads)
    torch.use_deterministic_algorithms(False)  # as one trains for speed
    device = local_device("auto")
    with process_group(device) as group:
        size = TINY if given.tiny else FULL
        found = list(rows(params, size, given.batches, given.kd_texts, options, group, device))
        if group.main:
            table = pd.DataFrame(found).round(3)
            print(table.to_markdown(index=False))
            if given.out:
                table.to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
