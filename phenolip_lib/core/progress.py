"""How far a long step is: a bar on a terminal, plain lines with rate and time left elsewhere.

Under papermill a bar would fill the notebook with its frames, so there it is a line now and then; a step that is
over within seconds says nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from phenolip_lib.core.runtime import log

T = TypeVar("T")
SECONDS = 20
"""Between two lines, and before the first."""


class Progress:
    """Follows a step of `total` items, of which `done` were finished before."""

    def __init__(self, name: str, total: int, done: int = 0, unit: str = "items") -> None:
        self.name, self.total, self.done, self.first, self.unit = name, total, done, done, unit
        self.started = self.last = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            self.bar = tqdm(total=total, initial=done, desc=name, unit=f" {unit}", leave=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, n: int = 1) -> None:
        """`n` more items are done."""
        self.done += n
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(n)
        elif now - self.last > SECONDS:
            self.last = now
            rate = (self.done - self.first) / (now - self.started)
            left = (self.total - self.done) / rate
            log.info("  %s: %d/%d, %.3g %s/s, %.0f s left", self.name, self.done, self.total, rate, self.unit, left)


def track(items: Iterable[T], name: str, total: int, unit: str = "items") -> Iterator[T]:
    """The items one by one, each counted when the next one is asked for."""
    with Progress(name, total, unit=unit) as progress:
        for item in items:
            yield item
            progress.update()
