"""Models that are not ours, evaluated on a source's tasks: embeddings once, then as any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.core.runtime import log, pick_device
from phenolip_lib.core.storage import digest
from phenolip_lib.evaluation import statistics
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.tasks.matching import load_folder, matching
from phenolip_lib.experiments import evaluate
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models import adapters
from phenolip_lib.models.adapters import PEERS, Adapter, Unavailable, load_or_reason
from phenolip_lib.models.embedded import Embedded, check_embeddings
from phenolip_lib.models.vectors import item_vectors, pair_vectors
from phenolip_lib.ontology.ontology import Ontology

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

    key = digest(model.fingerprint, code_digest(adapters.__name__))

    def pictures(table: pd.DataFrame) -> np.ndarray:
        return pair_vectors(model.encode_image, table, root, cache, key, model.name)

    def text(texts: list[str]) -> np.ndarray:
        return item_vectors(model.encode_text, texts, cache, key, model.name)

    images, captions = pictures(pairs), text(pairs["caption"].tolist())
    for what, vectors in (("image", images), ("caption", captions)):
        try:
            check_embeddings(vectors, [f"{what} of {pair_id}" for pair_id in pairs["pair_id"]])
        except PhenoLIPError as error:
            raise PhenoLIPError(f"{model.name}: {error}") from None
    return Embedded(images, captions, text, pictures)
