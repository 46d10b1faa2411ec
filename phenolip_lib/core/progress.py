"""How far a long step or a run is: a bar on a terminal, plain lines with rate and time left elsewhere, curves on disk.

Under papermill a bar would fill the notebook with its frames, so there it is a line now and then; a step that is
over within seconds says nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pandas as pd
from tqdm import tqdm

from phenolip_lib.core.errors import DamagedError
from phenolip_lib.core.runtime import log
from phenolip_lib.core.storage import read_json, write_text

T = TypeVar("T")
SECONDS = 20
"""Between two lines of a step, and before the first."""
LINES = 4
"""Lines of a whole run."""


class Progress:
    """Follows a step of `total` items, of which `done` were finished before; one that is not `shown` stays silent."""

    def __init__(self, name: str, total: int, done: int = 0, unit: str = "items", shown: bool = True) -> None:
        self.name, self.total, self.done, self.first, self.unit = name, total, done, done, unit
        self.started = self.last = time.monotonic()
        self.lines, self.bar = shown, None
        if shown and sys.stderr.isatty():
            self.lines, self.bar = False, tqdm(total=total, initial=done, desc=name, unit=f" {unit}", leave=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, n: int = 1) -> None:
        """`n` more items are done."""
        self.done += n
        if self.bar is not None:
            self.bar.update(n)
        elif self.lines and time.monotonic() - self.last > SECONDS:
            self.last = time.monotonic()
            self.say("  ")

    def say(self, indent: str = "", facts: str = "") -> None:
        """A line with the rate and what is left."""
        rate = (self.done - self.first) / max(time.monotonic() - self.started, 1e-9)
        left = (self.total - self.done) / rate if rate else float("nan")
        values = (indent, self.name, self.done, self.total, rate, self.unit, left, facts and f": {facts}")
        log.info("%s%s: %d/%d, %.3g %s/s, %.0f s left%s", *values)


def track(items: Iterable[T], name: str, total: int, unit: str = "items") -> Iterator[T]:
    """The items one by one, each counted when the next one is asked for."""
    with Progress(name, total, unit=unit) as progress:
        for item in items:
            yield item
            progress.update()


class Watch(Progress):
    """Follows a training run.

    Args:
        title: what the run is called in the log.
        total: steps of the whole run.
        folder: for the curves, one ``plots/metrics/<name>.tsv`` a number (`dvc plots`); None keeps none.
        start: steps done already, when the run goes on from a checkpoint.
        main: False for the further processes of a group, which stay silent.
    """

    def __init__(self, title: str, total: int, folder: Path | None = None, start: int = 0, main: bool = True) -> None:
        super().__init__(title, total, start, "steps", main)
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
        """A line about an epoch."""
        self.done = step
        if self.lines:
            self.say(facts="  ".join(f"{key} {value:.3g}" for key, value in row.items()))

    def close(self) -> None:
        super().close()
        if self.live is not None:
            self.live.end()


def forget(folder: Path, step: int) -> None:
    """Drop what curves hold beyond `step`: a killed run wrote it after its last checkpoint.

    A curve that it left half written begins anew, and so does dvclive's summary, which it could not read.
    """
    summary = Path(folder) / "metrics.json"
    for path in [*sorted(Path(folder).glob("plots/metrics/**/*.tsv")), *[summary] * summary.exists()]:
        try:
            if path == summary:
                read_json(path, ["step"])
                continue
            table = pd.read_csv(path, sep="\t", dtype=str)
            write_text(path, table[table["step"].astype(int) <= step].to_csv(sep="\t", index=False))
        except (DamagedError, ValueError, KeyError):
            log.info("%s is damaged and begins anew", path)
            path.unlink()
