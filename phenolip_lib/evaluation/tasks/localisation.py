"""Localisation: does the map of image and text point at the finding that the text names?

A query is a picture and a phenotype of which there is a mask. The map of the phenotype's prompt ensemble over
the picture (`heatmaps`) is compared with the mask. Data sets are those of the masks, by modality if there are
several. Maps:

* ``similarity``, ``contrast``, ``gradient``: see `heatmaps`; contrast is against the data set's phenotypes;
* ``salience``: the mean of the similarity maps over those phenotypes, which does not know the text;
* ``centre``: nearness to the picture's centre, which does not know the picture either.

Outcomes are ``<metric>_<map>``:

* ``pointing``: whether the centre of the highest cell is in the mask, the pointing game of Zhang et al. (2018);
  if cells tie, all must be. ``pointing_tolerant``: or within 3% of the longest side from it, which is their
  margin of 15 pixels at the size they used.
* ``pixel_ap``: average precision of the pixels by the map's value; a map without knowledge has the mask's share.
* ``iou``: intersection over union of the mask and the highest pixels. What share of the picture counts as highest
  is chosen on validation pictures of the data set, for each map and model; without such pictures it is 10%.

Numbers: ``mask_share``, the mean share of the picture that a mask covers, which is what a random point hits;
``area_<map>``, the chosen share; ``cells``, how many the map has.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
import torch

from phenolip_lib.data.masks import Masked
from phenolip_lib.evaluation.benchmark import Benchmark, names_of
from phenolip_lib.evaluation.results import Result, outcomes
from phenolip_lib.models import heatmaps
from phenolip_lib.models.embedded import Embedded
from phenolip_lib.models.prompts import ensemble, prompts
from phenolip_lib.models.student import Student

AREAS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
DEFAULT_AREA = 0.1
TOLERANCE = 0.03
METRICS = ("pointing", "pointing_tolerant", "pixel_ap", "iou")


def localisation(
    bench: Benchmark, embedded: Embedded, student: Student, masked: Masked, features: torch.Tensor
) -> Result:
    """Outcomes and numbers of every data set with masks of test pictures, task ``localisation``.

    Args:
        masked: test pictures and validation pictures.
        features: their `heatmaps.feature_maps`.
    """
    parts, numbers = [], {}
    for dataset, own in datasets(masked.rows).items():
        rows = masked.rows.iloc[own]
        test, val = ((rows["split"] == split).to_numpy() for split in (bench.split, "val"))
        if not test.any():
            continue
        maps = Maps(bench, embedded, student, masked, features, own)
        masks = [masked.masks[i] for i in own]
        asked = [(i, hpo_id) for i in np.flatnonzero(test) for hpo_id in masks[i]]
        query = pd.Series([f"{rows['pair_id'].iat[i]} {hpo_id}" for i, hpo_id in asked])
        group = rows["group"].iloc[[i for i, _ in asked]]
        numbers[dataset] = {
            "mask_share": float(np.mean([masks[i][hpo_id].mean() for i, hpo_id in asked])),
            "cells": int(np.prod(features.shape[2:])),
            "n_images": int(test.sum()),
            "n_queries": len(asked),
            "n_phenotypes": len({hpo_id for _, hpo_id in asked}),
            "n_val": int(val.sum()),
        }
        for name in maps.names:
            area = _best_area(maps, name, masks, np.flatnonzero(val))
            numbers[dataset][f"area_{name}"] = area
            found = [scores(maps.picture(name, i, h), maps.peaks(name, i, h), masks[i][h], area) for i, h in asked]
            for metric, values in zip(METRICS, np.array(found, dtype=float).T, strict=True):
                parts.append(outcomes(f"{metric}_{name}", query, group, values, "localisation", dataset))
    return Result.of(parts, numbers)


def datasets(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Positions of the rows of each data set, by modality if it has several."""
    several = rows.groupby("dataset")["modality"].transform("nunique") > 1
    names = rows["dataset"].where(~several, rows["dataset"] + "-" + rows["modality"])
    return {name: np.flatnonzero(names == name) for name in sorted(set(names))}


class Maps:
    """All maps of one model over the pictures of one data set.

    Args:
        own: positions of the data set's pictures in `masked` and `features`; pictures are counted within them.
    """

    def __init__(
        self,
        bench: Benchmark,
        embedded: Embedded,
        student: Student,
        masked: Masked,
        features: torch.Tensor,
        own: np.ndarray,
    ) -> None:
        self.masks = [masked.masks[i] for i in own]
        phenotypes = sorted({hpo_id for masks in self.masks for hpo_id in masks})
        self._text = {hpo_id: i for i, hpo_id in enumerate(phenotypes)}
        modality = masked.rows["modality"].iat[own[0]]
        texts = ensemble(embedded.text, names_of(bench.onto, phenotypes), prompts(modality))
        self._maps = heatmaps.all_maps(student, features[torch.from_numpy(own)], texts)
        mean = self._maps["similarity"].mean(axis=1, keepdims=True)
        self._maps["salience"] = np.broadcast_to(mean, self._maps["similarity"].shape)
        if len(phenotypes) == 1:
            del self._maps["contrast"]
        self.fit = student.towers.fit

    @property
    def names(self) -> list[str]:
        return [*self._maps, "centre"]

    def picture(self, name: str, i: int, hpo_id: str) -> np.ndarray:
        """A map at the size of its mask ``(height, width)``."""
        size = self.masks[i][hpo_id].shape
        if name == "centre":
            return centre(size)
        return heatmaps.to_picture(self._maps[name][i, self._text[hpo_id]], size, self.fit)

    def peaks(self, name: str, i: int, hpo_id: str) -> list[tuple[float, float]]:
        """(y, x) of the highest cells' centres in pixels of the mask."""
        size = self.masks[i][hpo_id].shape
        if name == "centre":
            return [((size[0] - 1) / 2, (size[1] - 1) / 2)]
        return heatmaps.peaks(self._maps[name][i, self._text[hpo_id]], size, self.fit)


@lru_cache(maxsize=256)
def centre(size: tuple[int, int]) -> np.ndarray:
    """Minus the distance of each pixel to the picture's centre, in half sides ``(height, width)``."""
    y, x = ((2 * np.arange(n) + 1) / n - 1 for n in size)
    return -np.hypot(y[:, None], x[None])


def _best_area(maps: Maps, name: str, masks: list[dict[str, np.ndarray]], held: np.ndarray) -> float:
    asked = [(i, hpo_id) for i in held for hpo_id in masks[i]]
    if not asked:
        return DEFAULT_AREA
    found = np.zeros(len(AREAS))
    for i, hpo_id in asked:
        found += ious(maps.picture(name, i, hpo_id), masks[i][hpo_id], AREAS)
    return AREAS[int(found.argmax())]


# --- the scores -----------------------------------------------------------------------------------


def scores(heat: np.ndarray, points: list[tuple[float, float]], mask: np.ndarray, area: float) -> tuple[float, ...]:
    """`METRICS` of one map and mask ``(height, width)``; `points` are (y, x) of its highest cells."""
    return (
        float(all(distance(mask, *point) == 0 for point in points)),
        float(all(distance(mask, *point) <= TOLERANCE * max(mask.shape) for point in points)),
        pixel_ap(heat, mask),
        ious(heat, mask, [area])[0],
    )


def distance(mask: np.ndarray, y: float, x: float) -> float:
    """From a point to the nearest pixel of the mask, in pixels; 0 inside of it, infinite for an empty mask."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return np.inf
    # A pixel is a square of side 1 around its centre.
    away = [np.maximum(np.abs(found - at) - 0.5, 0) for found, at in ((rows, y), (columns, x))]
    return float(np.hypot(*away).min())


def pixel_ap(heat: np.ndarray, mask: np.ndarray) -> float:
    """Average precision of the mask's pixels by the heat; pixels of equal heat count together."""
    order = np.argsort(-heat, axis=None)
    values, hits = heat.ravel()[order], np.cumsum(mask.ravel()[order])
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    gained = np.diff(hits[last], prepend=0)
    return float((gained * hits[last] / (last + 1)).sum() / hits[-1])


def ious(heat: np.ndarray, mask: np.ndarray, areas: Sequence[float]) -> list[float]:
    """Intersection over union of the mask and the pixels in the highest share of the heat, ties included, by share."""
    bars, size = np.quantile(heat, [1 - area for area in areas], method="higher"), np.count_nonzero(mask)
    inside = heat[mask]
    hits = [(np.count_nonzero(inside >= bar), np.count_nonzero(heat >= bar)) for bar in bars]
    return [hit / (size + chosen - hit) for hit, chosen in hits]
