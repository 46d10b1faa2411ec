"""Everything the demo computes, without a user interface.

>>> assistant = Assistant.load("build/phantom/stage2/phenolip-seed0", "phantom", Paths())   # doctest: +SKIP
>>> view = assistant.look(picture)                                                        # doctest: +SKIP
>>> assistant.rank(view, system="HP:0000478", words=["cherry red spot"]).head()             # doctest: +SKIP

A phenotype stands for the normalised mean of its prompts' embeddings, as in zero-shot classification; words are
treated alike. Probabilities are ``softmax(scale * cosine)`` over the phenotypes listed. Words that are no listed
phenotype have none: they take their place by cosine, and what a cosine is worth is told by the share of training
pictures that have a lower one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.special import softmax

from phenolip_lib.apps.demo.candidates import Candidates, embed_phenotypes
from phenolip_lib.apps.demo.overlay import shrink
from phenolip_lib.apps.demo.source import Neighbour, Source, prepare, shown_phenotypes
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.runtime import log
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.models import heatmaps
from phenolip_lib.models.phenolip import PhenoLIP
from phenolip_lib.models.student import Student
from phenolip_lib.ontology.ontology import Ontology

CHOICES = ("shown", "leaves")
"""Candidates: what the source's training pictures show, or every most special phenotype of HPO."""
COLUMNS = ["hpo_id", "name", "path", "cosine", "probability", "share_below"]


@dataclass(frozen=True)
class View:
    """A picture as the model sees it: embedded once, asked often."""

    picture: Image.Image
    """As it is displayed, no larger than a page needs."""
    embedding: np.ndarray
    features: torch.Tensor | None
    """Its feature map, or None where the tower has none."""


class Assistant:
    """A model, the candidates it chooses from, and what a source tells about its answers.

    Args:
        model: with an ontology.
        source: None for a model without data; its answers are then uncalibrated.
        map_side: pixels at which a tower that takes any size maps a picture.
        name: of the model, for people.
    """

    def __init__(
        self,
        model: PhenoLIP,
        candidates: Candidates,
        source: Source | None = None,
        map_side: int = 192,
        name: str = "model",
    ) -> None:
        self.model, self.candidates, self.source, self.name = model, candidates, source, name
        # Heat maps ask a student, on the CPU; any open_clip model taken apart makes one.
        towers = model.towers
        if model.device.type != "cpu":
            towers = replace(towers, model=copy.deepcopy(towers.model).cpu())
        self._student = Student(towers, 1 / model.logit_scale, 0.0).eval()
        self._map_side = heatmaps.side_of(towers, map_side)

    @classmethod
    def load(
        cls, model: str | Path, source: str | None, paths: Paths, device: str = "auto", candidates: str = "shown"
    ) -> Assistant:
        """Load a model and prepare a source for it; embeddings are kept in the cache, so a second start is quick.

        Args:
            model: as `PhenoLIP.load` takes it.
            source: ``phantom`` or ``open``; without one, or where it is not built, answers are uncalibrated and
                candidates are all leaves.
            candidates: one of `CHOICES`.

        Raises:
            PhenoLIPError: no such model, no ontology, or a picture of the source that cannot be read.
        """
        if candidates not in CHOICES:
            raise PhenoLIPError(f"no candidates {candidates!r}; there are {', '.join(CHOICES)}")
        onto, cache = Ontology.load(paths.hpo), paths.cache / "demo"
        loaded = PhenoLIP.load(model, onto, device)
        side = load_params(paths.params).evaluation.localisation_side
        pairs = None
        if source is not None and paths.data(source).is_dir() and (paths.phenokg(source) / "pairs.parquet").is_file():
            pairs = load_pairs(paths.phenokg(source))
        elif source is not None:
            log.info("demo: %s is not built here, so answers are uncalibrated and no similar pictures shown", source)
        ids = onto.leaves if pairs is None or candidates == "leaves" else shown_phenotypes(pairs)
        log.info("demo: %d candidates; what the cache does not hold is embedded now, all leaves in minutes", len(ids))
        chosen = Candidates(onto, ids, embed_phenotypes(loaded, [onto[hpo_id].name for hpo_id in ids], cache))
        prepared = None if pairs is None else prepare(source, pairs, paths.data(source), loaded, chosen, cache)
        return cls(loaded, chosen, prepared, side, Path(str(model)).name)

    # --- one picture ----------------------------------------------------------------------------

    def look(self, picture: Image.Image) -> View:
        """Embed an RGB picture and map its features."""
        towers, features = self._student.towers, None
        pixels = torch.from_numpy(np.array(towers.fit(picture, self._map_side))).permute(2, 0, 1)[None]
        try:
            features = heatmaps.feature_maps(towers, pixels)
        except PhenoLIPError as error:
            log.info("demo: no heat maps: %s", error)
        return View(shrink(picture), self.model.embed_images(picture)[0], features)

    @property
    def scale(self) -> float:
        """Factor of the cosines: the fitted one, else the model's own."""
        calibration = self.source and self.source.calibration
        return calibration.scale if calibration else self.model.logit_scale

    def rank(self, view: View, system: str = "", words: Sequence[str] = ()) -> pd.DataFrame:
        """The candidates for a picture, and any words beside them.

        Args:
            system: HPO id of an organ system; only phenotypes below it are listed.
            words: ids, names or any texts; each has one row, its phenotype's if it is a listed one.

        Returns:
            table, highest cosine first: hpo_id (empty for free texts), name, path (names from the organ system to
            the term), cosine, probability (sums to 1; missing for words that are no listed candidate) and
            share_below (of words only: the share of training pictures with a lower cosine; missing without a source).

        Raises:
            PhenoLIPError: no candidate below the system, an unknown id.
        """
        listed = self.candidates.listed(system)
        table = self._table([self.candidates.ids[i] for i in listed], system)
        table["cosine"] = (self.candidates.vectors[listed] @ view.embedding).astype(np.float64)
        table["probability"] = softmax(self.scale * table["cosine"].to_numpy())
        table["share_below"] = np.nan
        if words:
            asked = self._asked(view, words, system)
            shares = asked.loc[asked["hpo_id"] != ""].set_index("hpo_id")["share_below"]
            table["share_below"] = table["hpo_id"].map(shares)
            table = pd.concat([table, asked[~asked["hpo_id"].isin(table["hpo_id"])]])
        return table.sort_values("cosine", ascending=False, kind="stable", ignore_index=True)[COLUMNS]

    def _table(self, ids: Sequence[str], system: str) -> pd.DataFrame:
        names = [self.candidates.onto[hpo_id].name for hpo_id in ids]
        paths = [self.candidates.path(hpo_id, system) for hpo_id in ids]
        return pd.DataFrame({"hpo_id": ids, "name": names, "path": pd.Series(paths, dtype=object)})

    def _asked(self, view: View, words: Sequence[str], system: str) -> pd.DataFrame:
        found = self.model.resolve(words)
        vectors = np.stack([self.vector(hpo_id or name) for hpo_id, name in found])
        cosine = vectors @ view.embedding
        table = pd.DataFrame(found, columns=["hpo_id", "name"])
        table["path"] = [self.candidates.path(hpo_id, system) if hpo_id else () for hpo_id in table["hpo_id"]]
        share = self.source.gallery.share_below(vectors, cosine) if self.source else np.nan
        return table.assign(cosine=cosine.astype(np.float64), probability=np.nan, share_below=share)

    def vector(self, text: str) -> np.ndarray:
        """Text embedding ``(embed_dim,)`` of an HPO id, a name or any words.

        Raises:
            PhenoLIPError: an unknown id, or an empty text.
        """
        ((hpo_id, name),) = self.model.resolve([text])
        position = self.candidates.position.get(hpo_id)
        return embed_phenotypes(self.model, [name])[0] if position is None else self.candidates.vectors[position]

    # --- heat maps ------------------------------------------------------------------------------

    @property
    def map_names(self) -> list[str]:
        """The maps this tower has; contrast needs several candidates."""
        found = ["contrast"] if len(self.candidates) > 1 else []
        found += ["gradient"] if heatmaps.pools_by_mean(self.model.towers) else []
        return [*found, "similarity"]

    def heat(self, view: View, text: str, name: str) -> np.ndarray:
        """A map of a phenotype or of words over the displayed picture, float32 ``(height, width)``.

        Args:
            text: see `vector`.
            name: one of `map_names`, see `heatmaps`; contrast is against all candidates.

        Raises:
            PhenoLIPError: a tower without maps, or another name.
        """
        if view.features is None:
            raise PhenoLIPError("This model's image tower has no feature map, so there are no heat maps")
        if name not in self.map_names:
            raise PhenoLIPError(f"no map {name!r}; there are {', '.join(self.map_names)}")
        vector = self.vector(text)[None]
        if name == "gradient":
            heat = heatmaps.gradient(self._student, view.features, vector)[0, 0]
        else:
            heat = heatmaps.similarity(self._student, view.features, vector)[0, 0]
        if name == "contrast":
            heat = heat - heatmaps.similarity(self._student, view.features, self.candidates.vectors)[0].mean(axis=0)
        return heatmaps.to_picture(heat, view.picture.size[::-1], self._student.towers.fit)

    # --- other pictures -------------------------------------------------------------------------

    def similar(self, view: View, k: int = 6) -> tuple[list[Neighbour], int]:
        """The nearest training pictures that may be shown, and how many nearer ones may not; none without a source."""
        return self.source.gallery.nearest(view.embedding, k) if self.source else ([], 0)

    def search(self, text: str, k: int = 6) -> tuple[list[Neighbour], int]:
        """Like `similar`, for a phenotype or any words."""
        return self.source.gallery.nearest(self.vector(text), k) if self.source else ([], 0)

    def unlike(self, view: View) -> bool:
        """Whether a picture is farther from all training pictures than nearly all validation pictures are."""
        if self.source is None:
            return False
        return float((self.source.gallery.embeddings @ view.embedding).max()) < self.source.least_cosine
