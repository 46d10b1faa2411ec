"""How far tables move on another processor: the same runs on this one with other arithmetic.

`python -m benchmarks.drift [--source phantom] [--seeds 3]`, after `make repro`. Every method of
`evaluation.cross_validated` is trained and retrieves anew

* with the kernels of a processor without AVX (`kernels`), and on two threads (`threads`): sums in another order;
* on frozen features rounded to bf16 (`bf16`), the least that a processor which computes them in bf16 would change.

A row a metric and kind: the largest move of a score, of a difference to the baseline, and beside it half the narrowest
95% interval of the differences, in percentage points.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.runtime import configure
from phenolip_lib.core.storage import write_text
from phenolip_lib.evaluation.statistics import differences
from phenolip_lib.evaluation.tasks.retrieval import retrieval
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.reporting.evaluation_reports import HEADLINE

ROOT = Path(__file__).parent.parent
BASE = "base"
PLAIN = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"}
KINDS = {BASE: {}, "kernels": PLAIN, "threads": {}, "bf16": {}}
"""Environment of each kind."""


def outcomes(kind: str, source: str, seeds: int, scratch: Path) -> pd.DataFrame:
    """Outcomes of retrieval of all methods and seeds, trained here.

    Args:
        scratch: an empty folder for what is computed: what was made under other arithmetic is no answer.
    """
    paths = Paths(ROOT)
    params = load_params(paths.params)
    configure(2 if kind == "threads" else params.runtime.threads)
    experiment, parts = Experiment(params, source, paths), []
    for method in params.evaluation.cross_validated:
        paths.cache = Paths(ROOT).cache
        own = experiment.of(method)
        data = own.data  # the frozen features are read where they are kept
        if kind == "bf16":
            rounded = {
                name: torch.from_numpy(getattr(data, name)).bfloat16().float().numpy()
                for name in ("images", "texts", "onto_texts")
            }
            own.__dict__["data"] = replace(data, **rounded)
        paths.cache = scratch
        for seed in params.seeds[:seeds]:
            student, _ = own.train(method, seed)
            student.eval().requires_grad_(False)
            parts.append(retrieval(own.bench, own.embed(student)).assign(method=method, seed=seed))
    return pd.concat(parts, ignore_index=True)


def moves(base: pd.DataFrame, other: pd.DataFrame, baseline: str, resamples: int) -> pd.DataFrame:
    """The largest moves from one table of outcomes to another, a row a metric, in percentage points."""
    rows = []
    for metric in HEADLINE:
        scores, tables = [], []
        for found in (base, other):
            own = found[found["metric"] == metric]
            scores.append(own.groupby("method")["value"].mean())
            tables.append(differences(own, baseline, resamples).set_index("method"))
        half = (tables[0]["high"] - tables[0]["low"]).min() / 2
        moved = [(a - b).abs().max() for a, b in (scores, [table["difference"] for table in tables])]
        rows.append((metric, *(round(100 * value, 2) for value in (*moved, half))))
    return pd.DataFrame(rows, columns=["metric", "score", "difference", "half of the narrowest interval"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="phantom")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--csv", type=Path, default=ROOT / "benchmarks" / "drift.csv")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.kind:
        with tempfile.TemporaryDirectory() as scratch:
            outcomes(options.kind, options.source, options.seeds, Path(scratch)).to_parquet(options.csv)
        return
    params, found = load_params(ROOT / "params.yaml"), {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, environment in KINDS.items():
            command = [sys.executable, "-m", "benchmarks.drift", "--kind", kind, "--csv", f"{folder}/{kind}.parquet"]
            command += ["--source", options.source, "--seeds", str(options.seeds)]
            subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True)
            found[kind] = pd.read_parquet(f"{folder}/{kind}.parquet")
    baseline, resamples = params.evaluation.baseline, params.evaluation.resamples
    others = [kind for kind in KINDS if kind != BASE]
    parts = [moves(found[BASE], found[kind], baseline, resamples).assign(kind=kind) for kind in others]
    table = pd.concat(parts).assign(source=options.source)
    print(table.to_string(index=False))
    write_text(options.csv, table.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
