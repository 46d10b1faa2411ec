"""Zero-shot classification: an image gets the class whose text is nearest to it.

Problems, each a data set of its own in the results:

* a modality of `records.MODALITIES`: its test images over its phenotypes with enough images
  (`Benchmark.classes`); an image may have several and a hit is any of them;
* ``phenobench``: the captioned test images over all phenotypes they have, as many as there are;
* a data set with classes of its own (`targets`): over its class names, one an image. Class names
  that are HPO ids would repeat their modality and are passed over.

The paper publishes neither data sets nor prompts. `COLUMNS` maps our problems on the columns of its table;
radiology there is whatever radiology the source has, and ``phenobench`` stands for PhenoBench.

A class is the normalised mean of its normalised prompt embeddings (Radford et al. 2021, as in CLIP_benchmark).
The ensemble is the headline; what each single prompt would give is told by quartiles
and never by the best one. Prompts are in ``prompts.json``: those of all images and those of the modality;
texts for class names that are abbreviations are in ``class_names.py``.

Metrics:

* ``acc1``, ``acc5``: outcomes, an image is a hit at k if one of its classes is among the first k, ties against
  the model; ``acc5`` is left out where five or fewer classes make it certain.
* ``mean_per_class_recall``: ``acc1`` of the images of each class, averaged over the classes that have one. With
  one class an image it is balanced accuracy.
* ``macro_auc``: area under the ROC curve of each class against the rest by cosine, averaged over the
  classes that some images have and some do not.
* ``majority_acc1``: of always the most frequent training class; ``chance_acc1``: of a random class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.data.records import MODALITIES
from phenolip_lib.evaluation.benchmark import Benchmark, names_of, targets
from phenolip_lib.evaluation.metrics import incidence
from phenolip_lib.evaluation.results import Result, outcomes
from phenolip_lib.evaluation.tasks.class_names import CLASS_NAMES
from phenolip_lib.evaluation.tasks.unseen import ranks_alone
from phenolip_lib.models.embedded import Embedded
from phenolip_lib.models.prompts import PROMPTS, ensemble, prompted, prompts

PHENOBENCH = "phenobench"
COLUMNS = {
    "dermatology": "Dermatology",
    "pathology": "Pathology",
    "radiology": "Radiology",
    "hematology": "Hematology",
    "histology": "Histology",
    "ophthalmology": "Ophthalmology",
    PHENOBENCH: "PhenoBench",
}
"""Problem -> column of the paper's table. Faces and what has no modality are columns of our own."""
TOP_K = (1, 5)


@dataclass
class Problem:
    """Images of a split, the texts they are compared with, and which are right.

    Attributes:
        dataset: name in the results.
        rows: positions of the images in the pairs table ``(n,)``.
        classes: ids or class names ``(n_classes,)``, sorted.
        names: their texts.
        prompts: templates with ``{name}``.
        truth: boolean ``(n, n_classes)``, at least one a row.
        majority: position of the most frequent training class.
    """

    dataset: str
    rows: np.ndarray
    classes: list[str]
    names: list[str]
    prompts: list[str]
    truth: csr_matrix
    majority: int

    def scores(self, bench: Benchmark, embedded: Embedded, prompt: int | None = None) -> np.ndarray:
        """Cosines ``(n, n_classes)`` under the ensemble, or under one prompt.

        Raises:
            PhenoLIPError: an embedding that is not finite or has no length.
        """
        images = bench.images(embedded, self.rows)
        if prompt is None:
            return images @ ensemble(embedded.text, self.names, self.prompts).T
        return images @ prompted(embedded.text, self.names, self.prompts[prompt : prompt + 1])[:, 0].T


# --- the problems ---------------------------------------------------------------------------------


def problems(bench: Benchmark, split: str | None = None) -> list[Problem]:
    """All problems of a benchmark whose images differ in their classes.

    Args:
        split: which images, those of the benchmark's own split by default; the classes stay the same.

    Raises:
        PhenoLIPError: a phenotype that the release does not have.
    """
    table, own = bench.pairs, (bench.pairs["split"] == (split or bench.split)).to_numpy()
    found = []
    for modality in MODALITIES:
        mine = (table["modality"] == modality).to_numpy()
        found.append(_by_phenotype(bench, modality, mine, own, bench.classes[modality], prompts(modality)))
    captioned = ~table["templated"].to_numpy(dtype=bool)
    found.append(_by_phenotype(bench, PHENOBENCH, captioned, own, bench.known, PROMPTS["default"]))
    target = targets(table)
    for name, classes in bench.class_names.items():
        found.append(_by_class(bench, name, (target == name).to_numpy(), own, classes))
    return [problem for problem in found if problem]


def _by_phenotype(
    bench: Benchmark, name: str, mine: np.ndarray, own: np.ndarray, classes: list[str], templates: list[str]
) -> Problem | None:
    labels, names = bench.pairs["phenotypes"], names_of(bench.onto, classes)
    train = mine & (bench.pairs["split"] == "train").to_numpy()
    truth = incidence([list(found) for found in labels[mine & own]], classes)
    return _problem(name, np.flatnonzero(mine & own), classes, names, templates, truth, labels[train].explode())


def _by_class(bench: Benchmark, name: str, mine: np.ndarray, own: np.ndarray, classes: list[str]) -> Problem | None:
    table = bench.pairs
    if any(label in bench.onto for label in classes):
        return None
    modality = table["modality"][mine].unique()
    templates = prompts(modality[0]) if len(modality) == 1 else PROMPTS["default"]
    texts_of = CLASS_NAMES.get(name, {})
    names = [texts_of.get(label, label) for label in classes]
    truth = incidence([[label] for label in table["class_name"][mine & own]], classes)
    train = table["class_name"][mine & (table["split"] == "train").to_numpy()]
    return _problem(name, np.flatnonzero(mine & own), classes, names, templates, truth, train)


def _problem(name, rows, classes, names, templates, truth, train: pd.Series) -> Problem | None:
    keep = np.flatnonzero(np.diff(truth.indptr))
    truth = truth[keep]
    n_images = np.bincount(truth.indices, minlength=len(classes))
    if not ((n_images > 0) & (n_images < len(keep))).any():
        if len(rows):
            log.info("zero-shot on %s is left out: its test images do not differ in their classes", name)
        return None
    counts = train.value_counts().reindex(classes, fill_value=0).to_numpy()
    return Problem(name, rows[keep], classes, names, templates, truth, int(counts.argmax()))


# --- the scores -----------------------------------------------------------------------------------


def zero_shot(bench: Benchmark, embedded: Embedded) -> Result:
    """Outcomes (``acc1``, ``acc5``) and numbers of every problem, task ``zero_shot``.

    Raises:
        PhenoLIPError: an embedding that is not finite or has no length; a phenotype that the release
            does not have.
    """
    parts, numbers = [], {}
    for problem in problems(bench):
        table = bench.pairs.iloc[problem.rows]
        scores = problem.scores(bench, embedded)
        ranks = class_ranks(scores, problem.truth)
        for k in TOP_K:
            if k < len(problem.classes) or k == 1:
                hits = ranks <= k
                parts.append(outcomes(f"acc{k}", table["pair_id"], table["group"], hits, "zero_shot", problem.dataset))
        size = np.diff(problem.truth.indptr)
        numbers[problem.dataset] = {
            "mean_per_class_recall": class_mean(ranks == 1, problem.truth),
            "macro_auc": macro_auc(scores, problem.truth.toarray()),
            "majority_acc1": float(problem.truth[:, [problem.majority]].mean()),
            "chance_acc1": float((size / len(problem.classes)).mean()),
            "n_images": len(problem.rows),
            "n_classes": len(problem.classes),
            **_prompt_quartiles(prompt_accuracies(problem, bench, embedded)),
        }
    return Result.of(parts, numbers)


def prompt_accuracies(problem: Problem, bench: Benchmark, embedded: Embedded) -> np.ndarray:
    """``acc1`` of each single prompt ``(n_prompts,)``."""
    ranks = [class_ranks(problem.scores(bench, embedded, p), problem.truth) for p in range(len(problem.prompts))]
    return np.array([np.mean(own == 1) for own in ranks])


def _prompt_quartiles(accuracies: np.ndarray) -> dict[str, float]:
    names = ("min", "q1", "median", "q3", "max")
    values = np.quantile(accuracies, [0, 0.25, 0.5, 0.75, 1])
    return {f"acc1_prompt_{name}": float(v) for name, v in zip(names, values, strict=True)} | {
        "n_prompts": len(accuracies)
    }


def class_ranks(scores: np.ndarray, truth: csr_matrix) -> np.ndarray:
    """Rank (1 is best) of the best right class of each image ``(n,)``; ties count against the model.

    Args:
        scores: ``(n, n_classes)``.
        truth: boolean, same shape, at least one a row.
    """
    return np.minimum.reduceat(ranks_alone(scores, truth), truth.indptr[:-1])


def class_mean(values: np.ndarray, truth: csr_matrix) -> float:
    """Mean of the values of each class's images, averaged over the classes that have an image.

    Args:
        values: ``(n,)``.
        truth: boolean ``(n, n_classes)``.

    Raises:
        PhenoLIPError: no class has an image.
    """
    counts = np.bincount(truth.indices, minlength=truth.shape[1])
    if not counts.any():
        raise PhenoLIPError("no class has an image: there is nothing to average")
    sums = truth.astype(float).T @ np.asarray(values, dtype=float)
    return float((sums[counts > 0] / counts[counts > 0]).mean())


def macro_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve, one class against the rest, averaged over classes; a tie counts half.

    Args:
        scores: ``(n, n_classes)``.
        truth: boolean ``(n, n_classes)``, any number a row.

    Raises:
        PhenoLIPError: every class has all of the images or none of them.
    """
    truth = np.asarray(truth, dtype=bool)
    positive = truth.sum(axis=0)
    some = (positive > 0) & (positive < len(truth))
    if not some.any():
        raise PhenoLIPError("an AUC needs images of two classes; these are of one")
    ranks = rankdata(scores[:, some], axis=0)
    n = positive[some]
    above = (ranks * truth[:, some]).sum(axis=0) - n * (n + 1) / 2
    return float((above / (n * (len(truth) - n))).mean())
