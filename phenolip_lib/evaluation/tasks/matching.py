"""Phenotype matching on faces, laid out like Face2Gene: images against a long list of candidate phenotypes.

The paper has 321 images and 993 candidates and publishes no rule; ours:

* The images are those of a modality that show a phenotype. Candidates are the phenotypes of its validation and
  test images and distractors up to `settings.face_candidates`: leaves unrelated to them in a fixed
  pseudo-random order, those of the head and neck first. A phenotype's text is its name.
* ``recall@k``: share of an image's phenotypes among its first k candidates, averaged by image (outcomes).
  A wrong candidate that scores like a right one comes before it.
* ``precision``, ``recall``, ``f1``: of the candidates whose cosine reaches a threshold, by image, then
  averaged (outcomes); 0 if there are none. One threshold for all images, that of highest mean F1 on
  the validation images, so mean F1 is not the harmonic mean of mean precision and mean recall.

A folder of one's own is read by `load_folder`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.data.images import read_image
from phenolip_lib.data.labels import read_labels, split_labels, stated
from phenolip_lib.data.records import MODALITIES
from phenolip_lib.data.sources.files import read_table
from phenolip_lib.data.splits import check_no_leakage, whole_groups
from phenolip_lib.evaluation.benchmark import Benchmark, names_of
from phenolip_lib.evaluation.metrics import incidence
from phenolip_lib.evaluation.results import Result, outcomes
from phenolip_lib.evaluation.tasks.unseen import ranks_alone
from phenolip_lib.models.embedded import Embedded
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.wordings import by_name

TOP_K = (5, 10, 50)
NEAR = "HP:0000152"
"""Abnormality of head or neck: distractors from here are taken before others."""


def matching(bench: Benchmark, embedded: Embedded, modality: str = "face") -> Result:
    """Outcomes by image, and threshold and sizes as numbers, task ``matching``.

    Left out, says the log, where validation or test has no image with a phenotype.

    Raises:
        PhenoLIPError: an embedding that is not finite or has no length; a phenotype that the release
            does not have.
    """
    val, test = (_rows(bench, modality, split) for split in ("val", bench.split))
    if not (len(val) and len(test)):
        if (bench.pairs["modality"] == modality).any():
            log.info("matching on %s is left out: %d validation and %d test images", modality, len(val), len(test))
        return Result()
    ids = candidates(bench, modality)
    texts = bench.names(embedded, ids)
    scores, truth = {}, {}
    for split, rows in (("val", val), ("test", test)):
        scores[split] = bench.images(embedded, rows) @ texts.T
        truth[split] = incidence([_resolved(bench, i) for i in rows], ids)
    threshold = best_threshold(scores["val"], truth["val"])
    values = {f"recall@{k}": v for k, v in zip(TOP_K, shares_found(scores["test"], truth["test"], TOP_K), strict=True)}
    values |= dict(
        zip(("precision", "recall", "f1"), at_threshold(scores["test"], truth["test"], threshold), strict=True)
    )
    table = bench.pairs.iloc[test]
    parts = [outcomes(m, table["pair_id"], table["group"], v, "matching", modality) for m, v in values.items()]
    size = np.diff(truth["test"].indptr)
    numbers = {
        "threshold": threshold,
        "n_images": len(test),
        "n_val": len(val),
        "n_candidates": len(ids),
        "phenotypes_per_image": float(size.mean()),
        **{f"chance_recall@{k}": min(k / len(ids), 1.0) for k in TOP_K},
    }
    return Result(pd.concat(parts, ignore_index=True), {modality: numbers})


def _rows(bench: Benchmark, modality: str, split: str) -> np.ndarray:
    table = bench.pairs
    own = (table["modality"] == modality) & (table["split"] == split) & (table["phenotypes"].map(len) > 0)
    return np.flatnonzero(own)


def _resolved(bench: Benchmark, row: int) -> list[str]:
    own = list(bench.pairs["phenotypes"].iat[row])
    names_of(bench.onto, own)
    return [bench.onto.resolve(hpo_id) for hpo_id in own]


def candidates(bench: Benchmark, modality: str = "face") -> list[str]:
    """Phenotypes of the modality's validation and test images, sorted, then the distractors.

    Raises:
        PhenoLIPError: a phenotype that the release does not have.
    """
    onto = bench.onto
    rows = [i for split in dict.fromkeys(("val", bench.split)) for i in _rows(bench, modality, split)]
    known = {hpo_id for i in rows for hpo_id in _resolved(bench, i)}
    near = {a for hpo_id in known for a in onto.ancestors(hpo_id) | onto.descendants(hpo_id)} | known
    local = onto.descendants(NEAR) if NEAR in onto else set()
    far = [hpo_id for hpo_id in onto.leaves if hpo_id not in near]
    far.sort(key=lambda hpo_id: (hpo_id not in local, hashlib.sha256(hpo_id.encode()).digest()))
    return sorted(known) + far[: max(bench.settings.face_candidates - len(known), 0)]


# --- the scores -----------------------------------------------------------------------------------


def shares_found(scores: np.ndarray, truth: csr_matrix, top_k: tuple[int, ...]) -> list[np.ndarray]:
    """Share of each image's right candidates among its first k, ``(n,)`` for each k.

    Args:
        scores: ``(n, n_candidates)``.
        truth: boolean, same shape, at least one a row.
    """
    rows = np.repeat(np.arange(len(scores)), np.diff(truth.indptr))
    alone = ranks_alone(scores, truth)
    order = np.lexsort((alone, rows))
    # Right candidates of better rank stand before it in the list, beside the wrong ones counted already.
    place = alone[order] + np.arange(len(rows)) - truth.indptr[rows]
    size = np.diff(truth.indptr)
    return [np.bincount(rows, place <= k, minlength=len(scores)) / size for k in top_k]


def at_threshold(scores: np.ndarray, truth: csr_matrix, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each image ``(n,)`` for the candidates whose score is at least `threshold`."""
    chosen = scores >= threshold
    right = np.asarray(truth.multiply(chosen).sum(axis=1)).ravel().astype(float)
    n_chosen, n_right = chosen.sum(axis=1), np.diff(truth.indptr)
    precision = np.divide(right, n_chosen, out=np.zeros_like(right), where=n_chosen > 0)
    return precision, right / n_right, 2 * right / (n_chosen + n_right)


def best_threshold(scores: np.ndarray, truth: csr_matrix) -> float:
    """The score at which mean F1 by image is highest, the largest of equals.

    Walks down all scores: one more candidate changes the F1 of its own image only.

    Args:
        scores: ``(n, n_candidates)``.
        truth: boolean, same shape, at least one a row.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    falling = np.take_along_axis(scores, order, axis=1)
    right = np.take_along_axis(truth.toarray(), order, axis=1).cumsum(axis=1)
    f1 = 2 * right / (np.arange(1, scores.shape[1] + 1) + np.diff(truth.indptr)[:, None])
    change = np.diff(f1, axis=1, prepend=0).ravel()
    walk = np.argsort(-falling.ravel(), kind="stable")
    values, total = falling.ravel()[walk], change[walk].cumsum()
    last = np.append(values[1:] != values[:-1], True)  # equal scores are chosen together
    values, total = values[last], total[last].round(9)
    return float(values[total.argmax()])


# --- a folder of one's own ------------------------------------------------------------------------


def load_folder(folder: Path, table: Path, onto: Ontology, modality: str = "face") -> pd.DataFrame:
    """Images of a folder with their phenotypes, as rows of a pairs table.

    Args:
        folder: holds the images.
        table: CSV, TSV or XLSX with columns ``image`` (path below `folder`) and ``hpo_ids`` (ids or names, see
            `data.labels`); optional are ``group`` and ``patient`` (images that share either stay together; an image
            with neither is its own) and ``split`` (``val`` or ``test``; else a fifth of the groups, by hash, is
            ``val``).
        onto: old ids are replaced by their live ones.

    Returns:
        table sorted as the CSV: pair_id, dataset, image, left, top, right, bottom, caption, templated,
        modality, group, split, phenotypes, class_name.

    Raises:
        PhenoLIPError: no row, an image that cannot be read or is given twice, an id that the release
            does not have, a row without ids, an unknown split or modality, a group or patient in two splits.
    """
    folder, table = Path(folder), Path(table)
    if modality not in MODALITIES:
        raise PhenoLIPError(f"modality {modality!r} is not one of {', '.join(MODALITIES)}")
    found = read_table(table, ["image", "hpo_ids"]).reset_index(drop=True)
    if not len(found):
        raise PhenoLIPError(f"{table}: has no rows")
    if (again := found["image"].duplicated()).any():
        raise PhenoLIPError(f"{table}: {found['image'][again].iat[0]} is in two rows; give all its ids in one")
    for image in found["image"]:
        try:
            read_image(folder, image)
        except PhenoLIPError as error:
            raise PhenoLIPError(f"{table}: {image}: {error}") from None
    own = found[[column for column in ("group", "patient") if column in found]].map(stated)
    named = own.assign(image=found["image"])
    group = named.where(named != "").bfill(axis=1).iloc[:, 0]
    group = whole_groups(own.assign(group=group))
    if "split" in found:
        split = found["split"]
        if (wrong := ~split.isin(["val", "test"])).any():
            raise PhenoLIPError(f"{table}: split {split[wrong].iat[0]!r} is neither val nor test")
    else:
        split = group.map(lambda name: "val" if hashlib.sha256(name.encode()).digest()[0] < 51 else "test")
    try:
        check_no_leakage(own.assign(split=split))
    except PhenoLIPError as error:
        raise PhenoLIPError(f"{table}: {error}") from None
    cells, named = zip(found["image"], found["hpo_ids"], strict=True), by_name(onto)
    ids = [_ids(text, onto, named, f"{table}: {image}") for image, text in cells]
    return pd.DataFrame(
        {
            "pair_id": folder.name + "/" + found["image"],
            "dataset": folder.name,
            "image": found["image"],
            "left": 0.0,
            "top": 0.0,
            "right": 1.0,
            "bottom": 1.0,
            "caption": "",
            "templated": True,
            "modality": modality,
            "group": group,
            "split": split,
            "phenotypes": ids,
            "class_name": "",
        }
    )


def _ids(text: str, onto: Ontology, named: dict[str, str], where: str) -> list[str]:
    labels, names = split_labels([text])
    found = [one for label in (*labels, *names) for one in read_labels(label, onto, named)]
    if wrong := [reason for _, reason in found if reason]:
        raise PhenoLIPError(f"{where}: {wrong[0]}")
    if not found:
        raise PhenoLIPError(f"{where}: has no HPO id")
    return sorted({hpo_id for hpo_id, _ in found})
