"""The test side of a source, which all tasks share: which images, which phenotypes to choose from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from phenolip_lib.core.params import Evaluation as Settings
from phenolip_lib.data.records import MODALITIES
from phenolip_lib.ontology.ontology import Ontology


@dataclass
class Benchmark:
    """Images of a split with the phenotypes they are compared with.

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
        return self.ranked_candidates[: max(self.settings.candidates, self.n_known)]

    @property
    def n_known(self) -> int:
        """Number of phenotypes of the benchmark's images; these come first among the candidates."""
        return len({hpo_id for i in self.rows for hpo_id in self.pairs["phenotypes"].iat[i]})

    @cached_property
    def ranked_candidates(self) -> list[str]:
        """All candidates there are; `candidates` are the first of them."""
        known = {hpo_id for i in self.rows for hpo_id in self.pairs["phenotypes"].iat[i]}
        near = {a for hpo_id in known for a in self.onto.ancestors(hpo_id) | self.onto.descendants(hpo_id)}
        far = [hpo_id for hpo_id in self.onto.leaves if hpo_id not in near]
        far.sort(key=lambda hpo_id: hashlib.sha256(hpo_id.encode()).digest())
        return sorted(known) + far

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        """For each modality its zero-shot classes: phenotypes with enough images in the source."""
        found = {}
        for modality in MODALITIES:
            table = self.pairs[self.pairs["modality"] == modality]
            counts = pd.Series([h for own in table["phenotypes"] for h in own], dtype=str).value_counts()
            found[modality] = sorted(counts[counts >= self.settings.probe_min_per_class].index)
        return found
