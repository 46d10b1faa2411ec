"""Watching a run: a progress bar on a terminal, plain lines elsewhere, and dvclive curves on disk."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from phenolip_lib.core.runtime import log

LINES = 4
"""Log lines of a whole run where there is no terminal."""


class Watch:
    """Follows one run.

    Args:
        title: what the run is called in the log.
        total: steps of the whole run.
        folder: for the curves, one ``plots/metrics/<name>.tsv`` a number (`dvc plots`); None keeps none.
        start: steps done already, when the run goes on from a checkpoint.
        main: False for the further processes of a group, which stay silent.
    """

    def __init__(self, title: str, total: int, folder: Path | None = None, start: int = 0, main: bool = True) -> None:
        self.title, self.total, self.main = title, total, main
        self.started, self.first = time.monotonic(), start
        self.bar = tqdm(total=total, initial=start, desc=title) if main and sys.stdout.isatty() else None
        self.live = None
        if main and folder is not None:
            from dvclive import Live

            forget(folder, start)
            self.live = Live(str(folder), resume=start > 0, dvcyaml=None, report=None, save_dvc_exp=False)

    def step(self, step: int, metrics: dict[str, float]) -> None:
        """Numbers after `step` steps, e.g. loss, learning rate, temperatures, gradient norm."""
        if self.bar is not None:
            self.bar.update(step - self.bar.n)
            self.bar.set_postfix({key: f"{metrics[key]:.3g}" for key in ("loss",) if key in metrics})
        if self.live is not None:
            self.live.step = step
            for key, value in metrics.items():
                self.live.log_metric(key, value)
            self.live.make_summary()

    def line(self, step: int, row: dict[str, float]) -> None:
        """A line about an epoch, with the rate and what is left."""
        if not self.main or self.bar is not None:
            return
        rate = (step - self.first) / max(time.monotonic() - self.started, 1e-9)
        left = (self.total - step) / rate if rate else float("nan")
        facts = "  ".join(f"{key} {value:.3g}" for key, value in row.items())
        log.info("%s: step %d/%d, %.1f steps/s, %.0f s left: %s", self.title, step, self.total, rate, left, facts)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.live is not None:
            self.live.end()


def forget(folder: Path, step: int) -> None:
    """Drop what curves hold beyond `step`: a killed run wrote it after its last checkpoint."""
    for path in sorted(Path(folder).glob("plots/metrics/**/*.tsv")):
        table = pd.read_csv(path, sep="\t", dtype=str)
        table[table["step"].astype(int) <= step].to_csv(path, sep="\t", index=False)
