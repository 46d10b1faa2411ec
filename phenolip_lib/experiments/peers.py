"""Models that are not ours, evaluated on a source's tasks: embeddings once, then as any other.

Embeddings are kept in parts, each under the model's fingerprint and the content of what is embedded, so an
interrupted run goes on and a second data set with the same pictures computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.core.progress import track
from phenolip_lib.core.runtime import log, pick_device
from phenolip_lib.core.storage import digest
from phenolip_lib.data.archives import digests
from phenolip_lib.data.images import read_image
from phenolip_lib.evaluation import statistics
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.tasks.matching import load_folder, matching
from phenolip_lib.experiments import evaluate
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models import adapters
from phenolip_lib.models.adapters import PEERS, Adapter, Unavailable, load_or_reason
from phenolip_lib.models.embedded import Embedded, check_embeddings
from phenolip_lib.models.features import cached
from phenolip_lib.ontology.ontology import Ontology

PART, BATCH = 512, 32
"""Rows that are kept together, and that the model sees at once."""
TASKS = tuple(name for name in evaluate.TASKS if name not in evaluate.INSIDE)


def evaluate_peers(experiment: Experiment, names: Sequence[str], folder: Path) -> dict[str, str]:
    """Results of each model under ``<folder>/<name>-seed0``.

    Args:
        names: as `adapters.load` takes them.

    Returns:
        name -> reason, of those that cannot be had here.
    """
    absent = {}
    for name in names:
        model = load_or_reason(name, pick_device(experiment.params.runtime.device))
        reason = model.reason if isinstance(model, Unavailable) else ""
        if not reason:
            try:
                case = evaluate.Case(experiment, embed_source(model, experiment), model.scale)
                evaluate.evaluate_embedded(case, method_of(name), 0, folder, TASKS)
            except PhenoLIPError as error:  # such as embeddings that are no numbers: the others go on
                reason = str(error)
        if reason:
            log.info("%s is not evaluated: %s", name, reason)
            absent[name] = reason
    return absent


def match_folder(
    names: Sequence[str], images: Path, table: Path, onto: Ontology, params: Params, cache: Path, modality: str = "face"
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Phenotype matching on a folder of one's own, by the rules of `tasks.matching`.

    Args:
        names: of models, as `adapters.load` takes them.
        images, table: as `tasks.matching.load_folder` takes them.

    Returns:
        table (model, metric, mean, low, high, images), intervals 95% by bootstrap over patients; name -> reason
        of the models that cannot be had.

    Raises:
        PhenoLIPError: what `load_folder` refuses, or no validation or no test image.
    """
    pairs = load_folder(images, table, onto, modality)
    bench = Benchmark(pairs, onto, params.evaluation)
    parts, absent = [], {}
    for name in names:
        model = load_or_reason(name, pick_device(params.runtime.device))
        if isinstance(model, Unavailable):
            absent[name] = model.reason
            continue
        result = matching(bench, embed_pairs(model, pairs, Path(images), cache), modality)
        if not len(result.outcomes):
            raise PhenoLIPError(f"{table}: matching needs images in val, for the threshold, and in test")
        found = statistics.intervals(result.outcomes.assign(method=name, seed=0), params.evaluation.resamples)
        parts.append(found.rename(columns={"method": "model", "queries": "images"}))
    columns = ["model", "metric", "mean", "low", "high", "images"]
    return (pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)), absent


def status(names: Sequence[str], absent: Mapping[str, str]) -> pd.DataFrame:
    """What became of each model that was asked for, and the paper's rows that were not.

    Args:
        names: of ``evaluation.peers``.
        absent: name -> reason, as `evaluate_peers` gives it.

    Returns:
        table (model, weights, here).
    """
    rows = [(name, f"not available here: {absent[name]}" if name in absent else "evaluated") for name in names]
    for name, known in PEERS.items():
        if name not in names:
            rows.append((name, f"not available: {known['absent']}" if "absent" in known else "not asked for"))
    weights = [PEERS[name].get("model", "-") if name in PEERS else name for name, _ in rows]
    return pd.DataFrame(rows, columns=["model", "here"]).assign(weights=weights)[["model", "weights", "here"]]


def method_of(name: str) -> str:
    """The name as it can stand in a path."""
    return "".join(letter if letter.isalnum() or letter in "._" else "_" for letter in name).lstrip("_")


def embed_source(model: Adapter, experiment: Experiment) -> Embedded:
    """`embed_pairs` of a source."""
    paths = experiment.paths
    return embed_pairs(model, experiment.pairs, paths.data(experiment.source), paths.cache / "peers")


def embed_pairs(model: Adapter, pairs: pd.DataFrame, root: Path, cache: Path) -> Embedded:
    """Embeddings of all pairs, and of any text.

    Args:
        root: the folder the pairs' pictures are relative to.

    Raises:
        PhenoLIPError: a picture that cannot be read, or an embedding that is not finite or has no length.
    """

    def pictures(table: pd.DataFrame) -> np.ndarray:
        contents = table["image"].map(digests(root, table["image"]))
        files = dict(zip(contents, table["image"], strict=True))
        boxes = table[["left", "top", "right", "bottom"]].round(6).itertuples(index=False, name=None)

        def embed(items: list[tuple]) -> np.ndarray:
            return model.encode_image([read_image(root, files[content], box) for content, *box in items])

        return _embedded(model, [(own, *box) for own, box in zip(contents, boxes, strict=True)], embed, cache)

    def text(texts: list[str]) -> np.ndarray:
        return _embedded(model, texts, model.encode_text, cache)

    images, captions = pictures(pairs), text(pairs["caption"].tolist())
    for what, vectors in (("image", images), ("caption", captions)):
        try:
            check_embeddings(vectors, [f"{what} of {pair_id}" for pair_id in pairs["pair_id"]])
        except PhenoLIPError as error:
            raise PhenoLIPError(f"{model.name}: {error}") from None
    return Embedded(images, captions, text, pictures)


def _embedded(model: Adapter, items: list, embed: Callable[[list], np.ndarray], cache: Path) -> np.ndarray:
    """An embedding for each item; equal items are embedded once, in a fixed order."""
    unique = sorted(set(items))
    parts = []
    starts = range(0, len(unique), PART)
    for start in track(starts, model.name, len(starts), "parts"):
        part = unique[start : start + PART]

        def compute(part: list = part) -> np.ndarray:
            batches = [embed(part[i : i + BATCH]) for i in range(0, len(part), BATCH)]
            return np.concatenate(batches)

        parts.append(cached(cache, digest(model.fingerprint, code_digest(adapters.__name__), part), len(part), compute))
    place = {item: i for i, item in enumerate(unique)}
    return np.concatenate(parts)[[place[item] for item in items]]
