"""Linear probes: logistic regression on frozen image embeddings, by share of training labels.

A target is a data set with classes of its own (`zero_shot.targets`; in the phantom atlas each modality is
one), over its classes with enough training images. Embeddings are scaled to length ``sqrt(dim)``, so that a
coordinate has unit mean square. The weights minimise mean cross-entropy plus ``|w|^2 / 2c`` by
L-BFGS (scikit-learn's ``LogisticRegression`` with ``C = c / n``), each c of `GRID` started from the one
before it, and the c of highest validation accuracy is taken, the smaller one of equals.

A subset of the training labels is stratified, with at least one image a class, and drawn anew for each of
`settings.probe_seeds`. Outcomes are of single test images: ``acc@<share>``, the share of probe seeds that are
right. Numbers: ``mean_per_class_recall@<share>`` (balanced accuracy), the mean over probe seeds; the standard
deviation (n - 1) of both over probe seeds where subsets differ; ``n_labels@<share>``, the labels used; the
``majority`` class's accuracy, and sizes.

Where a target's training images are among those of pretraining, their embeddings lie closer to their labels
than those of test images; more labels then help less than they would on unseen images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.core.sections import Evaluation as Settings
from phenolip_lib.evaluation.benchmark import Benchmark, targets
from phenolip_lib.evaluation.metrics import mean_per_class_recall
from phenolip_lib.evaluation.results import Result, outcomes
from phenolip_lib.models.embedded import Embedded, check_embeddings

GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse strength of the penalty against the mean loss, so that it means the same for every subset."""
TOLERANCE, MAX_ITERATIONS = 1e-5, 5000
"""Of the gradient. On 3,500 real images 0.1% of the outcomes differ from those at 1e-8, and 5% at 1e-3."""


def linear_probe(bench: Benchmark, embedded: Embedded, further: Mapping[str, pd.DataFrame] | None = None) -> Result:
    """Outcomes and numbers of every target, task ``linear_probe``; one too small is left out, says the log.

    Args:
        further: images that are no pairs by name, such as `probe_sets.present` gives them.

    Raises:
        PhenoLIPError: an embedding that is not finite or has no length.
    """
    target = targets(bench.pairs)
    sets = {name: (embedded.images[target == name], bench.pairs[target == name]) for name in set(target) - {""}}
    sets |= {name: (embedded.pictures(table), table) for name, table in (further or {}).items()}
    parts = []
    for name, (images, table) in sorted(sets.items()):
        try:
            parts.append(probe_arrays(images, table, name, bench.settings, bench.split))
        except TooSmall as error:
            log.info("linear probe left out: %s", error)
    return Result.of([part.outcomes for part in parts], {k: v for part in parts for k, v in part.numbers.items()})


class TooSmall(PhenoLIPError):
    """A target without two classes or without images of a split."""


def probe_arrays(
    features: np.ndarray, labels: pd.DataFrame, name: str, settings: Settings, test: str = "test"
) -> Result:
    """Probe any embedded images, also such as are in no pairs table.

    Args:
        features: ``(n, dim)``.
        labels: their pair_id, group, split (``train``, ``val`` and `test`) and class_name, same order.
        name: data set of the results.
        settings: probe_seeds, probe_shares and probe_min_per_class are read.

    Raises:
        TooSmall: fewer than two classes with enough training images, no image in a split, or a test set
            of one class.
        PhenoLIPError: a feature vector that is not finite or has no length.
    """
    data = _prepare(features, labels, name, settings, test)
    table = labels.iloc[data.rows["test"]]
    truth = data.y["test"]
    numbers: dict[str, float] = {
        "majority": float(np.mean(truth == np.bincount(data.y["train"]).argmax())),
        "n_train": len(data.y["train"]),
        "n_val": len(data.y["val"]),
        "n_test": len(truth),
        "n_classes": data.n_classes,
    }
    parts = []
    for share in settings.probe_shares:
        fitted: dict[bytes, np.ndarray] = {}
        predicted = []
        for seed in settings.probe_seeds:
            rows = stratified_subset(data.y["train"], share, np.random.default_rng(seed))
            key = rows.tobytes()  # the whole training set is one subset for all seeds
            if key not in fitted:
                fitted[key] = _predict(data, rows)
            predicted.append(fitted[key])
        hits = np.array([own == truth for own in predicted], dtype=float)
        recalls = [mean_per_class_recall(own, truth) for own in predicted]
        parts.append(
            outcomes(f"acc@{share:g}", table["pair_id"], table["group"], hits.mean(axis=0), "linear_probe", name)
        )
        numbers[f"mean_per_class_recall@{share:g}"] = float(np.mean(recalls))
        numbers[f"n_labels@{share:g}"] = len(rows)
        if len(fitted) > 1:
            numbers[f"acc@{share:g}_probe_sd"] = float(hits.mean(axis=1).std(ddof=1))
            numbers[f"mean_per_class_recall@{share:g}_probe_sd"] = float(np.std(recalls, ddof=1))
    return Result(pd.concat(parts, ignore_index=True), {name: numbers})


class _Data(NamedTuple):
    rows: dict[str, np.ndarray]
    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    n_classes: int


def _prepare(features: np.ndarray, labels: pd.DataFrame, name: str, settings: Settings, test: str) -> _Data:
    if len(features) != len(labels):
        raise PhenoLIPError(f"{name}: {len(features)} feature vectors and {len(labels)} labels")
    check_embeddings(features, [f"image of {pair_id}" for pair_id in labels["pair_id"]])
    split, class_name = labels["split"].to_numpy(), labels["class_name"].to_numpy()
    counts = labels["class_name"][(split == "train") & (class_name != "")].value_counts()
    classes = np.array(sorted(counts[counts >= settings.probe_min_per_class].index))
    if len(classes) < 2:
        least = settings.probe_min_per_class
        raise TooSmall(f"{name} has fewer than two classes with {least} training images (probe_min_per_class)")
    known = np.isin(class_name, classes)
    rows = {
        s: np.flatnonzero(known & (split == own)) for s, own in (("train", "train"), ("val", "val"), ("test", test))
    }
    if empty := [s for s, own in rows.items() if not len(own)]:
        raise TooSmall(f"{name} has no labelled image in the {empty[0]} split")
    y = {s: np.searchsorted(classes, class_name[own]) for s, own in rows.items()}
    if len(np.unique(y["test"])) < 2:
        raise TooSmall(f"{name} has test images of one class only ({classes[y['test'][0]]})")
    x = features.astype(np.float64)
    x *= np.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True)
    return _Data(rows, {s: x[own] for s, own in rows.items()}, y, len(classes))


def stratified_subset(y: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Sorted positions of a share of the images of each class, at least one of each.

    Args:
        y: class of each image ``(n,)``.
    """
    chosen = []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        chosen.append(members[: max(round(share * len(members)), 1)])
    return np.sort(np.concatenate(chosen))


def _predict(data: _Data, rows: np.ndarray) -> np.ndarray:
    """Classes of the test images by the probe that is best on validation images."""
    x, y = data.x["train"][rows], data.y["train"][rows]
    val, test = data.x["val"], data.x["test"]
    if len(x) < x.shape[1]:
        # The optimal weights lie in the span of the training rows: the same problem in fewer dimensions.
        axes = np.linalg.svd(x, full_matrices=False)[2].T
        x, val, test = x @ axes, val @ axes, test @ axes
    # Thousands of small products: threads that wait for each other cost a hundred times what they gain.
    with threadpool_limits(1):
        return _best(x, y, val, data.y["val"], test)


def _best(x: np.ndarray, y: np.ndarray, val: np.ndarray, y_val: np.ndarray, test: np.ndarray) -> np.ndarray:
    probe = LogisticRegression(tol=TOLERANCE, max_iter=MAX_ITERATIONS, warm_start=True)
    best, predicted = -1.0, np.empty(0, dtype=int)
    for c in GRID:
        accuracy = probe.set_params(C=c / len(x)).fit(x, y).score(val, y_val)
        if accuracy > best:
            best, predicted = accuracy, probe.predict(test)
    return predicted
