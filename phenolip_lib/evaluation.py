"""The tasks of PhenoBench on embeddings: zero-shot classification, retrieval, linear probes.

Everything reads embeddings and the pairs table only. The rules, since the paper publishes none:

* *I2T, T2I*: over test images that have a caption of their own (not templated). An item is correct
  if its caption equals the query's word for word, so duplicate captions never count as misses.
* *I2P, P2I*: over the same images; an item is correct if it is one of the image's phenotypes.
  Candidates are the phenotypes of the benchmark and distractors: HPO leaf terms unrelated to
  them, up to the number of the paper's 1,187. P2I asks for each phenotype that has a test image.
* *Zero-shot*: within a modality, over its phenotypes with enough images; top-1 is a hit if it is one
  of the image's phenotypes. Phenotypes are embedded as the mean of a prompt ensemble.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import LabelEncoder

from phenolip_lib.metrics import mean_per_class_recall
from phenolip_lib.ontology import Ontology
from phenolip_lib.params import Evaluation as Settings
from phenolip_lib.records import MODALITIES
from phenolip_lib.storage import read_json

PROMPTS = read_json(Path(__file__).parent / "prompts.json")
TOP_K = (10, 50)
PROBE_C = (0.1, 1.0, 10.0)
MIN_RETRIEVAL = 10


def normalise(x: np.ndarray) -> np.ndarray:
    """Rows scaled to unit length."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


@dataclass
class Benchmark:
    """The test side of a source: which images, which phenotypes, which texts they are compared with.

    Args:
        pairs: all curated pairs of the source.
        onto: the ontology.
        settings: the `evaluation` section of params.
        split: ``test``, or ``val`` for choices made during training.
    """

    pairs: pd.DataFrame
    onto: Ontology
    settings: Settings
    split: str = "test"

    @cached_property
    def rows(self) -> np.ndarray:
        """Positions of the captioned images of the split."""
        table = self.pairs
        return np.flatnonzero((table["split"] == self.split) & ~table["templated"])

    @cached_property
    def candidates(self) -> list[str]:
        """Phenotypes of the benchmark, then distractors in a fixed pseudo-random order."""
        known = {hpo_id for i in self.rows for hpo_id in self.pairs["phenotypes"].iat[i]}
        near = {a for hpo_id in known for a in self.onto.ancestors(hpo_id) | self.onto.descendants(hpo_id)}
        far = [hpo_id for hpo_id in self.onto.leaves if hpo_id not in near]
        far.sort(key=lambda hpo_id: hashlib.sha256(hpo_id.encode()).digest())
        return sorted(known) + far[: max(self.settings.candidates - len(known), 0)]

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        """For each modality its zero-shot classes: phenotypes with enough images in the source."""
        found = {}
        for modality in MODALITIES:
            table = self.pairs[self.pairs["modality"] == modality]
            counts = pd.Series([h for own in table["phenotypes"] for h in own], dtype=str).value_counts()
            found[modality] = sorted(counts[counts >= self.settings.probe_min_per_class].index)
        return found

    @cached_property
    def texts(self) -> list[str]:
        """Every text the tasks need, so that a text tower runs over them once."""
        texts = {self.onto[hpo_id].name for hpo_id in self.candidates}
        for modality, classes in self.classes.items():
            texts |= {prompt.format(name=self.onto[c].name) for c in classes for prompt in self.prompts(modality)}
        return sorted(texts)

    @staticmethod
    def prompts(modality: str) -> list[str]:
        return PROMPTS["default"] + PROMPTS[modality]


def zero_shot(bench: Benchmark, images: np.ndarray, text: Callable) -> dict[str, dict[str, float]]:
    """Zero-shot classification by modality: ``acc1``, ``mean_per_class_recall``, majority and chance.

    Balanced accuracy takes as an image's class the first of its phenotypes unless the prediction is
    another one of them.
    """
    result = {}
    for modality, classes in bench.classes.items():
        table = bench.pairs
        rows = np.flatnonzero((table["split"] == bench.split) & (table["modality"] == modality))
        truth = [[h for h in table["phenotypes"].iat[i] if h in classes] for i in rows]
        keep = [i for i, own in enumerate(truth) if own]
        if len(classes) < 2 or not keep:
            continue
        rows, truth = rows[keep], [truth[i] for i in keep]
        prompts = bench.prompts(modality)
        prompted = normalise(text([p.format(name=bench.onto[c].name) for c in classes for p in prompts]))
        weights = normalise(prompted.reshape(len(classes), len(prompts), -1).mean(axis=1))
        predicted = np.array(classes)[(images[rows] @ weights.T).argmax(axis=1)]
        hit = np.array([p in own for p, own in zip(predicted, truth, strict=True)])
        first = np.array([p if p in own else own[0] for p, own in zip(predicted, truth, strict=True)])
        train = table[(table["split"] == "train") & (table["modality"] == modality)]["phenotypes"]
        counts = pd.Series([h for own in train for h in own if h in classes], dtype=str).value_counts()
        majority = sorted(counts.index, key=lambda h: (-counts[h], h))[0] if len(counts) else classes[0]
        result[modality] = {
            "acc1": float(hit.mean()),
            "mean_per_class_recall": mean_per_class_recall(predicted, first),
            "majority_acc1": float(np.mean([majority in own for own in truth])),
            "chance_acc1": float(np.mean([len(own) / len(classes) for own in truth])),
            "n_images": len(rows),
            "n_classes": len(classes),
        }
    return result


def _subset(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A stratified subset with at least one example a class."""
    chosen = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(round(share * len(members)), 1)])
    return np.sort(np.concatenate(chosen))


def linear_probe(bench: Benchmark, images: np.ndarray, seed: int) -> dict[str, dict[str, float]]:
    """Logistic regression on frozen image embeddings, by probe target and share of training labels.

    A probe target is a data set with classes of its own; in the phantom atlas each modality is
    one. C is chosen on the validation split.

    Returns:
        ``{target: {"acc@0.01": ..., "mean_per_class_recall@0.01": ..., "majority": ...}}``
    """
    table = bench.pairs
    target = table["dataset"].where(table["dataset"] != "phantom", "phantom-" + table["modality"])
    x = normalise(images) * np.sqrt(images.shape[1])  # unit variance a coordinate, for one grid of C
    result = {}
    for name in sorted(set(target[table["class_name"] != ""])):
        own = (target == name) & (table["class_name"] != "")
        counts = table["class_name"][own & (table["split"] == "train")].value_counts()
        own &= table["class_name"].isin(counts[counts >= bench.settings.probe_min_per_class].index)
        parts = {s: np.flatnonzero(own & (table["split"] == s)) for s in ("train", "val", "test")}
        if counts.size < 2 or min(map(len, parts.values())) == 0:
            continue
        encoder = LabelEncoder().fit(table["class_name"].to_numpy()[parts["train"]])
        y = {s: encoder.transform(table["class_name"].to_numpy()[rows]) for s, rows in parts.items()}
        if len(encoder.classes_) < 2:
            continue
        scores: dict[str, float] = {
            "majority": float(np.mean(y["test"] == np.bincount(y["train"]).argmax())),
            "n_train": len(parts["train"]), "n_test": len(parts["test"]), "n_classes": len(encoder.classes_),
        }  # fmt: skip
        for share in bench.settings.probe_shares:
            rows = _subset(y["train"], share, np.random.default_rng(seed))
            best = None
            for c in PROBE_C:
                probe = LogisticRegression(C=c / len(rows), max_iter=200, tol=1e-3)
                probe.fit(x[parts["train"][rows]], y["train"][rows])
                accuracy = probe.score(x[parts["val"]], y["val"])
                if best is None or accuracy > best[0]:
                    best = (accuracy, probe)
            predicted = best[1].predict(x[parts["test"]])
            scores[f"acc@{share:g}"] = float(np.mean(predicted == y["test"]))
            scores[f"mean_per_class_recall@{share:g}"] = mean_per_class_recall(predicted, y["test"])
        result[name] = scores
    return result
