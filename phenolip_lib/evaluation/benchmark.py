"""The test side of a source, which all tasks share: which images, which phenotypes to choose from, which classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.sections import Evaluation as Settings
from phenolip_lib.data.records import MODALITIES
from phenolip_lib.evaluation.metrics import incidence
from phenolip_lib.evaluation.relations import Relations
from phenolip_lib.models.embedded import Embedded, check_embeddings
from phenolip_lib.ontology.ontology import Ontology


@dataclass
class Benchmark:
    """Images of a split with the phenotypes they are compared with.

    Args:
        pairs: all curated pairs of the source.
        onto: the ontology.
        settings: the `evaluation` section of params.
        split: ``test``, or ``val`` for choices made during training.
        reference: pairs that say which zero-shot classes there are; `pairs` by default. An ablation that trains on
            other pairs is scored over the classes of the full model's.
    """

    pairs: pd.DataFrame
    onto: Ontology
    settings: Settings
    split: str = "test"
    reference: pd.DataFrame | None = None

    @cached_property
    def rows(self) -> np.ndarray:
        """Positions of the captioned images of the split."""
        table = self.pairs
        return np.flatnonzero((table["split"] == self.split) & ~table["templated"])

    @cached_property
    def known(self) -> list[str]:
        """Phenotypes of the benchmark's images, sorted; these come first among the candidates.

        Raises:
            PhenoLIPError: the release does not have one of them.
        """
        found = sorted({hpo_id for i in self.rows for hpo_id in self.pairs["phenotypes"].iat[i]})
        names_of(self.onto, found)
        return found

    @cached_property
    def candidates(self) -> list[str]:
        """Phenotypes of the benchmark, then distractors in a fixed pseudo-random order."""
        return self.ranked_candidates[: max(self.settings.candidates, len(self.known))]

    @cached_property
    def ranked_candidates(self) -> list[str]:
        """All candidates there are; `candidates` are the first of them."""
        known = set(self.known)
        near = {a for hpo_id in known for a in self.onto.ancestors(hpo_id) | self.onto.descendants(hpo_id)}
        far = [hpo_id for hpo_id in self.onto.leaves if hpo_id not in near]
        far.sort(key=lambda hpo_id: hashlib.sha256(hpo_id.encode()).digest())
        return self.known + far

    @cached_property
    def relations(self) -> Relations:
        """How the candidates relate to each other."""
        return Relations(self.onto, self.candidates)

    @cached_property
    def truth(self) -> csr_matrix:
        """Boolean ``(n_rows, n_candidates)``: the phenotypes of the images."""
        return incidence([self.pairs["phenotypes"].iat[i] for i in self.rows], self.candidates)

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        """For each modality its zero-shot classes: phenotypes with enough images in the source."""
        table = self.pairs if self.reference is None else self.reference
        return {
            modality: self._frequent(table.loc[table["modality"] == modality, "phenotypes"].explode().dropna())
            for modality in MODALITIES
        }

    @cached_property
    def class_names(self) -> dict[str, list[str]]:
        """The same for each data set with classes of its own, see `targets`: labels with enough images."""
        table = self.pairs if self.reference is None else self.reference
        target = targets(table)
        return {name: self._frequent(table["class_name"][target == name]) for name in sorted(set(target) - {""})}

    def _frequent(self, labels: pd.Series) -> list[str]:
        counts = labels.value_counts()
        return sorted(counts[counts >= self.settings.probe_min_per_class].index)

    def images(self, embedded: Embedded, rows: np.ndarray) -> np.ndarray:
        """Embeddings of the images of some rows of the pairs ``(n, dim)``, checked."""
        return _checked(embedded.images[rows], "image of ", self.pairs["pair_id"].iloc[rows])

    def captions(self, embedded: Embedded, rows: np.ndarray) -> np.ndarray:
        """The same of their captions."""
        return _checked(embedded.captions[rows], "caption of ", self.pairs["pair_id"].iloc[rows])

    def names(self, embedded: Embedded, hpo_ids: Sequence[str]) -> np.ndarray:
        """Embeddings of the names of phenotypes ``(n, dim)``, checked."""
        names = names_of(self.onto, hpo_ids)
        return _checked(embedded.text(names), "phenotype name ", map(repr, names))

    def calibrated(self, embedded: Embedded, images: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images and names whose product is the score less the name's mean score over the training images.

        One further dimension carries the mean, ``[v, 1] . [t, -mean_i v_i . t]``; without training images it is 0.
        """
        train = embedded.images[(self.pairs["split"] == "train").to_numpy()]
        mean = names @ train.mean(axis=0) if len(train) else np.zeros(len(names), names.dtype)
        return np.pad(images, ((0, 0), (0, 1)), constant_values=1), np.column_stack([names, -mean])


def _checked(vectors: np.ndarray, what: str, names) -> np.ndarray:
    """Raise `PhenoLIPError` for an embedding that is not finite or has no length."""
    check_embeddings(vectors, [f"{what}{name}" for name in names])
    return vectors


def names_of(onto: Ontology, hpo_ids: Sequence[str]) -> list[str]:
    """Names of phenotypes.

    Raises:
        PhenoLIPError: the release does not have one of them.
    """
    for hpo_id in hpo_ids:
        if hpo_id not in onto:
            raise PhenoLIPError(
                f"{hpo_id} is a phenotype of the pairs and not in HPO {onto.release}: "
                "build the pairs again with this release"
            )
    return [onto[hpo_id].name for hpo_id in hpo_ids]


def targets(pairs: pd.DataFrame) -> pd.Series:
    """The data set whose class each image has, empty where it has none.

    The sets of MedMNIST are told apart, and the phantom atlas by modality.
    """
    target = pairs["dataset"].astype(str)
    parts = target.isin(["medmnist"])
    if parts.any():
        target = target.mask(parts, pairs["pair_id"].str.split("/").str[1])
    target = target.mask(target == "phantom", "phantom-" + pairs["modality"])
    return target.where(pairs["class_name"] != "", "")
