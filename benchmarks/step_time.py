"""Step time of PhenoLIP beside open_clip's plain CLIP, same towers, same batch, same run.

    python -m benchmarks.step_time --batches 256 512 1024 2048 4096          # one GPU
    torchrun --nproc-per-node 8 -m benchmarks.step_time --batches 4096       # batch over all GPUs
    python -m benchmarks.step_time --tiny --batches 16 32                    # a try on a CPU

Towers are a ViT-B/16 at 224 px and a BERT of 12 layers (random weights; speed does not know them),
both trained. The two kinds of step alternate, so both meet the same machine. MFU counts the
floating-point operations of forward and backward by torch's own counter on a few pairs, without recomputation,
and carries them on to the batch. With ``captions+ontology``, the default of params.yaml, a thousand ontology texts
a step go through the student's text tower as well, which is dear where that tower trains.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from phenolip_lib import affinity, runtime
from phenolip_lib.compat import open_clip
from phenolip_lib.distributed import Group, local_device, process_group
from phenolip_lib.encoders import TextTower, TwoTowers
from phenolip_lib.engine import Engine
from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.fitting import Fit
from phenolip_lib.params import Params, load_params
from phenolip_lib.paths import find_root
from phenolip_lib.stage2 import Pretraining
from phenolip_lib.student import Student
from phenolip_lib.training_data import TrainingData

PEAKS = {"H200 NVL": 835e12, "H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "A100": 312e12}
"""Dense bf16 operations a second by part of the device's name, the first that fits; from the maker's data sheets."""
KD_TEXTS = ("captions", "captions+ontology")
COUNTED = 8
"""Pairs that the operations are counted on."""


@dataclasses.dataclass(frozen=True)
class Size:
    vision: str
    layers: int
    width: int
    heads: int
    embed_dim: int
    image: int
    tokens: int


FULL = Size("vit_base_patch16_224", 12, 768, 12, 512, 224, 256)
TINY = Size("vit_tiny_patch16_224", 2, 128, 2, 64, 224, 32)


def towers(size: Size) -> TwoTowers:
    """An image-text model of random weights."""
    from transformers import BertConfig

    with tempfile.TemporaryDirectory() as folder:
        BertConfig(
            hidden_size=size.width, num_hidden_layers=size.layers, num_attention_heads=size.heads,
            intermediate_size=4 * size.width,
        ).save_pretrained(folder)  # fmt: skip
        model = open_clip.model.CustomTextCLIP(
            size.embed_dim,
            {"timm_model_name": size.vision, "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear",
             "image_size": size.image},
            {"hf_model_name": folder, "hf_model_pretrained": False, "hf_pooler_type": "mean_pooler",
             "hf_proj_type": "mlp", "context_length": size.tokens},
        )  # fmt: skip
    text = TextTower(model.text, None, size.tokens, "random")
    return TwoTowers(
        model,
        text,
        (0.5,) * 3,
        (0.5,) * 3,
        size.image,
        "random",
        size.embed_dim,
        {"preprocess_cfg": dict(Fit()._asdict())},
    )


class Fixed(Pretraining):
    """The task of stage 2 on one batch that lies in memory, so that only the step is timed."""

    def __init__(self, size: Size, pixels: torch.Tensor, tokens: torch.Tensor, *rest) -> None:
        super().__init__(*rest)
        self.pixels, self.ids = pixels, tokens

    def _pictures(self, batches, epoch):
        for _ in batches:
            yield self.pixels

    def _text(self, rows):
        return self.ids

    def _onto_text(self, rows):
        return self.ids[np.arange(len(rows)) % len(self.ids), :48]


def setting(params: Params, batch: int, kd_texts: str, options: argparse.Namespace) -> Params:
    return params.with_overrides(
        {
            "stage2.batch_size": batch, "stage2.image_tower": "finetune", "stage2.text_tower": "finetune",
            "stage2.frozen_epochs": 0, "stage2.kd_texts": kd_texts, "stage2.lambda_kd": 1.0,
            "stage2.epochs": 1, "training.accumulation": options.accumulation,
            "training.gradient_checkpointing": options.gradient_checkpointing, "training.compile": options.compile,
        }
    )  # fmt: skip


def steps(
    params: Params, size: Size, batch: int, group: Group, device: torch.device
) -> tuple[Callable[[], None], Callable[[], None], float]:
    """A step of PhenoLIP, a step of plain CLIP on the same towers, and their floating-point operations."""
    own, rng = batch // group.size, np.random.default_rng(group.rank)
    model = towers(size)
    student = Student(model, 0.07, 0.0).to(device)
    pixels = torch.from_numpy(rng.integers(0, 256, (own, 3, size.image, size.image), dtype=np.uint8)).to(device)
    tokens = torch.from_numpy(rng.integers(1, 30000, (own, size.tokens))).to(device)
    pairs = pd.DataFrame(
        {
            "split": "train",
            "caption": "x",
            "image": "",
            "left": 0.0,
            "top": 0.0,
            "right": 1.0,
            "bottom": 1.0,
            "phenotypes": [[f"HP:{i % 97:07d}"] for i in range(batch)],
        }
    )
    teacher = rng.normal(size=(batch, size.embed_dim)).astype(np.float32)
    teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
    nothing = np.zeros((batch, 1), np.float32)
    relations = affinity.build(pairs["phenotypes"].tolist(), teacher, None)
    strings = np.array([f"finding number {i} of the ontology" for i in range(4096)])
    known = teacher[np.arange(len(strings)) % batch]
    data = TrainingData(
        pairs, Path(), nothing, nothing, teacher, strings, np.zeros((len(strings), 1), np.float32), known, relations
    )

    task = Fixed(size, pixels, tokens, params, data, student, 0, group, device)
    engine = Engine(task, 1, 1, params.training, group, device)
    task.start_epoch(0)
    engine._wrap()
    student.train()
    step = next(task.steps(0, 0))

    peer = towers(size).model.requires_grad_(True).to(device).train()
    mean, deviation = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (model.mean, model.std))
    few = slice(min(COUNTED, own))
    with FlopCounterMode(display=False) as counter:
        image, text, _ = peer((pixels[few].float() / 255 - mean) / deviation, tokens[few])
        (image.sum() + text.sum()).backward()
    operations = counter.get_total_flops() / few.stop * batch
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
            image, text, scale = wrapped((pixels.float() / 255 - mean) / deviation, tokens)
        loss(image.float(), text.float(), scale.float()).backward()
        optimizer.step()

    return phenolip, clip, operations


def measure(run: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def benchmark(batch: int, kd_texts: str, options: argparse.Namespace, group: Group, device: torch.device) -> dict:
    """One row: medians over the alternating steps."""
    size = TINY if options.tiny else FULL
    params = setting(load_params(find_root() / "params.yaml"), batch, kd_texts, options)
    phenolip, clip, operations = steps(params, size, batch, group, device)
    for _ in range(options.warmup):
        phenolip(), clip()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = {"phenolip": [], "clip": []}
    for _ in range(options.steps):
        times["phenolip"].append(measure(phenolip, device))
        times["clip"].append(measure(clip, device))
    ours, theirs = (float(np.median(times[name])) for name in ("phenolip", "clip"))
    row = {
        "batch": batch, "processes": group.size, "clip_ms": 1000 * theirs, "phenolip_ms": 1000 * ours,
        "ratio": ours / theirs, "images_per_s": batch / ours, "tflops": operations / ours / 1e12,
        "kd_texts": kd_texts, "vision": size.vision, "text_layers": size.layers, "tokens": size.tokens,
        "device": f"{torch.get_num_threads()} CPU threads", "torch": torch.__version__,
    }  # fmt: skip
    if device.type == "cuda":
        name = row["device"] = torch.cuda.get_device_name(device)
        peak = options.peak or next((value for key, value in PEAKS.items() if key in name), None)
        row["memory_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
        row["mfu"] = operations / ours / (peak * group.size) if peak else float("nan")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--accumulation", type=int, default=1, help="of PhenoLIP's step; the peer has none")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--kd-texts", nargs="+", choices=KD_TEXTS, default=list(KD_TEXTS))
    parser.add_argument("--tiny", action="store_true", help="small towers, to try it on a CPU")
    parser.add_argument("--peak", type=float, help="bf16 operations a second of one device, for MFU")
    parser.add_argument("--out", type=Path, help="also write the table as CSV")
    options = parser.parse_args()
    runtime.configure(load_params(find_root() / "params.yaml").runtime.threads)
    torch.use_deterministic_algorithms(False)  # as one trains for speed
    device = local_device("auto")
    with process_group(device) as group:
        rows = []
        for batch, kd_texts in product(options.batches, options.kd_texts):
            try:
                rows.append(benchmark(batch, kd_texts, options, group, device))
            except (torch.OutOfMemoryError, PhenoLIPError) as error:
                rows.append({"batch": batch, "kd_texts": kd_texts, "note": f"out of memory: {str(error)[:60]}"})
                torch.cuda.empty_cache()
        if group.main:
            table = pd.DataFrame(rows).round(3)
            print(table.to_markdown(index=False))
            if options.out:
                table.to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
