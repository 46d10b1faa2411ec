"""The GPU benchmarks: checks, step times, fine-tuning. `benchmarks/gpu.sh` runs this.

python -m benchmarks.gpu --prepared build/gpu --out reports/gpu
python -m benchmarks.gpu --skip steps --seconds 300
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks import gpu_checks, gpu_finetune, gpu_folder, step_time
from benchmarks.gpu_report import Report, facts
from benchmarks.random_case import FULL, TINY, Size
from phenolip_lib.core import runtime
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.paths import Paths, find_root
from phenolip_lib.core.runtime import log
from phenolip_lib.core.storage import digest
from phenolip_lib.training.distributed import Group

PARTS = ("checks", "steps", "finetune")
STEPS_SHARE = 0.45
"""Of all the time, what checks and step times may take together."""


def run_checks(report: Report, params: Params, size: Size, device: torch.device, batch: int) -> None:
    for row in gpu_checks.checks(params, size, batch, device):
        report.add("checks", row)


def run_steps(
    report: Report, params: Params, size: Size, device: torch.device, batches: Sequence[int], seconds: float
) -> None:
    """Rows until the time is over; the next one is taken to need three times the last."""
    torch.use_deterministic_algorithms(False)  # as one trains for speed
    begin = last = time.perf_counter()
    options = step_time.Options(warmup=2, seconds=5.0)
    for row in step_time.rows(params, size, list(batches), list(step_time.KD_TEXTS), options, Group(), device):
        report.add("steps", row)
        now = time.perf_counter()
        if now - begin + 3 * (now - last) > seconds and row["batch"] != batches[-1]:
            report.note("steps", f"Stopped after batch {row['batch']}: {seconds:.0f} s were nearly over.")
            break
        last = now
    torch.use_deterministic_algorithms(True)


def run_finetune(
    report: Report, params: Params, source: str, paths: Paths, seeds: Sequence[int], seconds: float
) -> None:
    work = paths.root / "results"
    for row in gpu_finetune.tried(params, source, paths, work, seeds, seconds):
        report.note("finetune", row["note"]) if "note" in row else report.add("finetune", row)


def run(
    out: Path,
    prepared: Path | None,
    *,
    skip: Sequence[str] = (),
    seconds: float = 420.0,
    seeds: Sequence[int] = (0,),
    batches: Sequence[int] = (256, 512, 1024, 2048, 4096),
    size: Size = FULL,
    check_size: Size = TINY,
    check_batch: int = 16,
    device: str = "auto",
    overrides: dict | None = None,
) -> Report:
    """All parts one after the other; one that breaks is noted in the report, and the next one starts.

    Args:
        out: folder of the report.
        prepared: what `benchmarks.gpu_prepare` made; fine-tuning is left out without it.
        overrides: of the parameters of fine-tuning.

    Raises:
        PhenoLIPError: no prepared folder, or a damaged one.
    """
    begin, place = time.perf_counter(), runtime.pick_device(device)
    manifest = gpu_folder.read_manifest(prepared) if prepared else {}
    paths = Paths(gpu_folder.unpack(prepared)) if prepared else Paths()
    if prepared:  # the library finds the towers' weights as packages
        sys.path.insert(0, str(paths.root / "packages"))
    params = load_params(paths.params).with_overrides({"runtime.device": device})
    tuned = params.with_overrides(gpu_finetune.SETTINGS | gpu_finetune.machine() | (overrides or {}))
    runtime.configure(tuned.runtime.threads)
    report = Report(out, facts(place, manifest, digest(params.model_dump(), tuned.model_dump())))

    def left(share: float = 1.0) -> float:
        return share * seconds - (time.perf_counter() - begin)

    parts: dict[str, Callable[[], None]] = {
        "checks": lambda: run_checks(report, params, check_size, place, check_batch),
        "steps": lambda: run_steps(report, params, size, place, batches, left(STEPS_SHARE)),
        "finetune": lambda: run_finetune(report, tuned, manifest["source"], paths, seeds, left()),
    }
    for name in PARTS:
        if name in skip or (name == "finetune" and not prepared):
            continue
        log.info("%s, %.0f s left", name, left())
        try:
            parts[name]()
        except (PhenoLIPError, RuntimeError) as error:
            report.note(name, f"This part broke off: {gpu_checks.first_line(error)}")
    report.write()
    log.info("%s: %.0f s in all", report.folder, time.perf_counter() - begin)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prepared", type=Path, default=Path("build/gpu"), help="made by benchmarks.gpu_prepare")
    parser.add_argument("--out", type=Path, default=Path("reports/gpu"))
    parser.add_argument("--skip", nargs="+", choices=PARTS, default=[])
    parser.add_argument("--seconds", type=float, default=420.0, help="of all parts; no run starts that would go beyond")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of fine-tuning, in this order")
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096], help="of step times")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    try:
        prepared = None if "finetune" in given.skip else given.prepared
        report = run(
            find_root() / given.out,
            prepared,
            skip=given.skip,
            seconds=given.seconds,
            seeds=given.seeds,
            batches=sorted(given.batches),
            device=given.device,
        )
    except PhenoLIPError as error:
        sys.exit(f"phenolip: {error}")
    if not report.passed:
        sys.exit(f"phenolip: a check failed or a part broke off; see {report.folder / 'README.md'}")


if __name__ == "__main__":
    main()
