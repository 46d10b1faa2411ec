"""How fast the per-record curation steps run, by engine: `python -m benchmarks.curation [--source phantom]`.

To start, workers import the libraries and each builds its own dictionary; the rate is of what comes after that.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from benchmarks.table import Row, write
from phenolip_lib.core.parallel import Pool, Step, map_batches
from phenolip_lib.core.sections import PhenoKG as Settings
from phenolip_lib.curation import image_step, steps
from phenolip_lib.data.records import Record
from phenolip_lib.data.sources import source_records
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.pipeline.session import start
from phenolip_lib.recognition.recognizer import Recognizer

PUBLISHED_PAIRS = 524_000


@dataclass(frozen=True)
class Work:
    """A step with items to try it on."""

    step: Step
    items: Sequence
    setup: Callable


def curation_work(records: Sequence[Record], root: Path, onto: Ontology, settings: Settings) -> dict[str, Work]:
    """The per-record steps of PhenoKG on the given records."""
    step = image_step.PictureStep(
        str(root), settings.split_compound, settings.min_medical, settings.panel_detector or ""
    )
    texts = [{"caption": record.caption, "context": record.context} for record in records]
    return {
        "pictures": Work(
            image_step.examine, [image_step.item(r, root) for r in records], partial(image_step.start, step)
        ),
        "links": Work(steps.recognise, texts, partial(Recognizer, onto)),
    }


MIN_FOR_WORKERS = 500
"""Fewer items than this say nothing about workers, whose start takes seconds."""


def engines(n_items: int) -> list[str]:
    """Engines that can be tried here on so many items."""
    workers = ["processes", *(["ray"] if find_spec("ray") else [])]
    return ["serial", *(workers if n_items >= MIN_FOR_WORKERS else [])]


def measure(work: dict[str, Work], workers: int = 2, batch_size: int = 64) -> pd.DataFrame:
    """Seconds until the first record and records a second after it, of each step and engine, all in this run.

    Returns:
        table (step, engine, records, start s, records/s, x serial, hours for 524K pairs).
    """
    rows = []
    for name, job in work.items():
        serial = 0.0
        for engine in engines(len(job.items)):
            start, each = _timed(job, Pool(engine, workers, batch_size), name)
            serial = serial or 1 / each
            hours = (start + PUBLISHED_PAIRS * each) / 3600
            rows.append((name, engine, len(job.items), start, 1 / each, 1 / each / serial, hours))
    columns = ["step", "engine", "records", "start s", "records/s", "x serial", "hours for 524K pairs"]
    return pd.DataFrame(rows, columns=columns).round(2)


def _timed(job: Work, pool: Pool, name: str) -> tuple[float, float]:
    """Seconds before the work begins and seconds a record, from when each batch was done."""
    done: list[tuple[float, int]] = []
    begin = time.perf_counter()
    map_batches(
        job.step,
        job.items,
        pool,
        name=name,
        setup=job.setup,
        seen=lambda n: done.append((time.perf_counter() - begin, n)),
    )
    (first, n_first), whole = done[0], done[-1][0]
    rest = len(job.items) - n_first
    each = (whole - first) / rest if rest and whole > first else whole / len(job.items)
    return max(first - n_first * each, 0.0), each


def main(arguments: list[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="phantom")
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    params, paths = start()
    onto, root = Ontology.load(paths.hpo), paths.data(options.source)
    found = source_records(options.source, root, params)
    records = [record for record in found if isinstance(record, Record)][: options.records]
    work = curation_work(records, root, onto, params.phenokg)
    table = measure(work, params.phenokg.workers, params.phenokg.batch_size)
    serial = table[table["engine"] == "serial"].set_index("step")["records/s"]
    print(table.to_markdown(index=False))
    rows = [
        Row("curation", f"{row['step']}, {row['engine']}", row["records/s"], "records/s", "serial", serial[row["step"]])
        for row in table.to_dict("records")
    ]
    write(rows, options.csv)
    return rows


if __name__ == "__main__":
    main()
