"""How fast the per-record steps run, by engine, and what that means for a data set of the published size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from phenolip_lib import curation, pictures
from phenolip_lib.ontology import Ontology
from phenolip_lib.parallel import Pool, Step, map_batches
from phenolip_lib.params import PhenoKG as Settings
from phenolip_lib.recognition import Recognizer
from phenolip_lib.records import Record

PUBLISHED_PAIRS = 524_000


@dataclass(frozen=True)
class Work:
    """A step with items to try it on."""

    step: Step
    items: Sequence
    setup: Callable


def curation_work(records: Sequence[Record], root: Path, onto: Ontology, settings: Settings) -> dict[str, Work]:
    """The per-record steps of PhenoKG on the given records."""
    step = pictures.PictureStep(str(root), settings.split_compound, settings.min_medical, settings.panel_detector or "")
    texts = [{"caption": record.caption, "context": record.context} for record in records]
    return {
        "pictures": Work(pictures.examine, [pictures.item(r, root) for r in records], partial(pictures.start, step)),
        "links": Work(curation.recognise, texts, partial(Recognizer, onto)),
    }


MIN_FOR_WORKERS = 500
"""Fewer items than this say nothing about workers, whose start takes seconds."""


def engines(n_items: int) -> list[str]:
    """Engines that can be tried here on so many items."""
    workers = ["processes", *(["ray"] if find_spec("ray") else [])]
    return ["serial", *(workers if n_items >= MIN_FOR_WORKERS else [])]


def measure(work: dict[str, Work], workers: int = 2, batch_size: int = 64) -> pd.DataFrame:
    """Records a second of each step and engine, start-up of workers included, all in this run.

    Returns:
        table (step, engine, records, records/s, x serial, hours for 524K pairs); hours are the rate
        carried on, workers' start included, so a large run does better.
    """
    rows = []
    for name, job in work.items():
        serial = 0.0
        for engine in engines(len(job.items)):
            begin = time.perf_counter()
            map_batches(job.step, job.items, Pool(engine, workers, batch_size), name=name, setup=job.setup)
            rate = len(job.items) / (time.perf_counter() - begin)
            serial = serial or rate
            rows.append((name, engine, len(job.items), rate, rate / serial, PUBLISHED_PAIRS / rate / 3600))
    columns = ["step", "engine", "records", "records/s", "x serial", "hours for 524K pairs"]
    return pd.DataFrame(rows, columns=columns).round(2)
