"""What a source's pictures add to a model: candidates, calibration, and pictures to compare with.

* Candidates are the phenotypes that its training pictures show.
* The scale of the probabilities is fitted on its *validation* pictures with exactly one phenotype, a candidate
  (`tasks.calibration.fit_scale`); test pictures are never read. The reported calibration error is measured on pictures
  that the scale was not fitted on: for each fifth of the groups it is fitted on the other four.
* Similar pictures are training pictures. Those whose licence does not allow redistribution are counted, not shown.
* A picture is unlike the training data if its nearest training picture is farther away than those of 95 in 100
  validation pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from phenolip_lib.apps.demo.candidates import Candidates
from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import digest
from phenolip_lib.data.images import read_image
from phenolip_lib.data.licences import use_allowed
from phenolip_lib.evaluation.tasks.calibration import MIN_IMAGES, ece, fit_scale, per_image
from phenolip_lib.graph.exports import box_of
from phenolip_lib.models import phenolip, vectors
from phenolip_lib.models.phenolip import PhenoLIP

FOLDS = 5
UNLIKE = 0.05
"""Share of the validation pictures that would be called unlike the training pictures."""


@dataclass(frozen=True)
class Calibration:
    """A fitted scale and how well it does, on `n_images` validation pictures."""

    scale: float
    n_images: int
    n_candidates: int
    ece: float
    accuracy: float
    """Share of the pictures whose phenotype comes first."""


@dataclass(frozen=True)
class Neighbour:
    """A training picture near to a query; `position` is its row in the gallery."""

    position: int
    cosine: float
    caption: str
    dataset: str
    licence: str
    url: str


class Gallery:
    """Training pictures that can be searched.

    Args:
        pairs: their rows of ``pairs.parquet``.
        embeddings: L2-normalised ``(n_pairs, embed_dim)``.
        root: the source's data folder.
    """

    def __init__(self, pairs: pd.DataFrame, embeddings: np.ndarray, root: Path) -> None:
        self.pairs, self.embeddings, self.root = pairs.reset_index(drop=True), embeddings, root
        allowed = {licence: use_allowed(licence, "redistribution") for licence in self.pairs["licence"].unique()}
        self.shown = self.pairs["licence"].map(allowed).to_numpy(dtype=bool)

    def nearest(self, embedding: np.ndarray, k: int) -> tuple[list[Neighbour], int]:
        """The `k` nearest pictures that may be shown, and how many nearer ones may not.

        Args:
            embedding: of a picture or of a text ``(embed_dim,)``.
        """
        cosine = self.embeddings @ embedding
        order = np.argsort(-cosine, kind="stable")
        last = np.flatnonzero(self.shown[order])[:k]
        if not len(last):
            return [], len(order)
        found = [self._neighbour(position, cosine[position]) for position in order[last]]
        return found, int(last[-1] + 1 - len(last))

    def _neighbour(self, position: int, cosine: float) -> Neighbour:
        row = self.pairs.iloc[position]
        return Neighbour(int(position), float(cosine), row["caption"], row["dataset"], row["licence"], row["url"])

    def picture(self, position: int) -> Image.Image:
        """A picture that may be shown.

        Raises:
            PhenoLIPError: its licence does not allow it, or its file cannot be read.
        """
        row = self.pairs.iloc[position]
        if not self.shown[position]:
            raise PhenoLIPError(f"{row['pair_id']}: its licence {row['licence']} does not allow redistribution")
        return read_image(self.root, row["image"], box_of(row))

    def share_below(self, texts: np.ndarray, cosines: np.ndarray) -> np.ndarray:
        """Share of the pictures with a lower cosine to each text than the one given, ``(n_texts,)``."""
        return (self.embeddings @ texts.T < cosines).mean(axis=0)


@dataclass(frozen=True)
class Source:
    """A source prepared for one model."""

    name: str
    gallery: Gallery
    calibration: Calibration | None
    """None where fewer than `MIN_IMAGES` validation pictures can be used."""
    least_cosine: float
    """To the nearest training picture; below it a picture is unlike the training data."""


def shown_phenotypes(pairs: pd.DataFrame) -> list[str]:
    """The phenotypes of the training pictures, sorted."""
    return sorted({hpo_id for own in pairs.loc[pairs["split"] == "train", "phenotypes"] for hpo_id in own})


def prepare(
    name: str, pairs: pd.DataFrame, root: Path, model: PhenoLIP, candidates: Candidates, cache: Path | None = None
) -> Source:
    """Embed training and validation pictures, and fit the scale.

    Args:
        pairs: all of the source's pairs; those of the test split are left alone.
        cache: where embeddings are kept, by the pictures' contents and the model.

    Raises:
        PhenoLIPError: a picture cannot be read, or there are no training pictures.
    """
    train, val = (pairs[pairs["split"] == split] for split in ("train", "val"))
    if train.empty:
        raise PhenoLIPError(f"{name}: no training pictures; build its pairs with `dvc repro`")
    gallery = Gallery(train, embed_pairs(model, train, root, cache), root)
    held = embed_pairs(model, val, root, cache) if len(val) else np.zeros((0, model.embed_dim), np.float32)
    nearest = (held @ gallery.embeddings.T).max(axis=1)  # of each validation picture
    least = float(np.quantile(nearest, UNLIKE)) if len(val) else -1.0
    return Source(name, gallery, calibrate(val, held, candidates), least)


def calibrate(val: pd.DataFrame, embeddings: np.ndarray, candidates: Candidates) -> Calibration | None:
    """The scale of least negative log-likelihood on validation pictures with one phenotype.

    Args:
        embeddings: of the validation pictures ``(len(val), embed_dim)``.

    Returns:
        None if fewer than `MIN_IMAGES` pictures have exactly one phenotype, a candidate.
    """
    place = candidates.position
    usable = np.array([len(own) == 1 and own[0] in place for own in val["phenotypes"]], dtype=bool)
    if usable.sum() < MIN_IMAGES:
        return None
    truth = np.array([place[own[0]] for own in val["phenotypes"][usable]])
    cosines = (embeddings[usable] @ candidates.vectors.T).astype(np.float64)
    confidence, correct = _held_out(cosines, truth, val["group"][usable].to_numpy())
    return Calibration(
        fit_scale(cosines, truth), len(truth), len(candidates), ece(confidence, correct), float(correct.mean())
    )


def _held_out(cosines: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and correctness of each picture at the scale fitted on the other folds of groups."""
    fold = np.unique(groups, return_inverse=True)[1] % FOLDS
    confidence, correct = np.zeros(len(truth)), np.zeros(len(truth))
    for own in (fold == i for i in np.unique(fold)):
        rest = ~own if (~own).any() else own  # one group alone has no others to fit on
        values = per_image(cosines[own], truth[own], fit_scale(cosines[rest], truth[rest]))
        confidence[own], correct[own] = values["confidence"], values["correct"]
    return confidence, correct


def embed_pairs(model: PhenoLIP, pairs: pd.DataFrame, root: Path, cache: Path | None = None) -> np.ndarray:
    """L2-normalised embeddings of pairs' pictures, each cut to its box, float32 ``(n_pairs, embed_dim)``."""
    key = digest("demo", model.fingerprint, code_digest(vectors.__name__, phenolip.__name__))
    return vectors.pair_vectors(model.embed_images, pairs, root, cache, key, "demo pictures")
