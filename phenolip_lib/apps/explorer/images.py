"""Which pictures the page holds, what it only counts, and their thumbnails.

A picture is embedded, with its caption, if its licence allows redistribution. Every other one appears in a
number alone: by licence, at the terms it shows and above them. Pictures that show no phenotype hang on no
term and are left out, and so are those beyond the page's size, the most frequent phenotypes' first.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import csr_matrix

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.images import read_image
from phenolip_lib.data.licences import use_allowed
from phenolip_lib.evaluation import metrics
from phenolip_lib.graph.exports import box_of
from phenolip_lib.ontology.ontology import Ontology

QUALITY = 72
"""Of JPEG thumbnails."""


@dataclass(frozen=True)
class Chosen:
    """The pairs that are embedded, sorted by id, and the others, which are only counted.

    Attributes:
        shown: pairs to embed.
        withheld: licence -> pairs it keeps out.
        beyond: pairs that may be passed on but exceed the page's size.
        plain: number of pairs without a phenotype.
    """

    shown: pd.DataFrame
    withheld: dict[str, pd.DataFrame]
    beyond: pd.DataFrame
    plain: int


def choose(pairs: pd.DataFrame, max_images: int) -> Chosen:
    """Sort pairs by what may be done with them.

    Of more than `max_images` those are kept that come first, by pair id, among the pictures of one of their
    phenotypes: so every phenotype keeps some as long as there is room for one each.
    """
    pairs = pairs.sort_values("pair_id").reset_index(drop=True)
    linked = pairs[pairs["phenotypes"].map(len) > 0]
    free = {licence: use_allowed(licence, "redistribution") for licence in sorted(linked["licence"].unique())}
    may = linked[linked["licence"].map(free).astype(bool)]
    withheld = {licence: linked[linked["licence"] == licence] for licence, allowed in free.items() if not allowed}
    place = may["phenotypes"].explode().to_frame().groupby("phenotypes").cumcount()
    first = place.groupby(level=0).min().sort_values(kind="stable").index[:max_images]
    inside = may.index.isin(first)
    return Chosen(may[inside], withheld, may[~inside], len(pairs) - len(linked))


def counts(onto: Ontology, phenotypes: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of each term, in the order of ``onto.ids``: those that show it, those that show it or a descendant.

    Args:
        phenotypes: a list of HPO ids for each picture.

    Raises:
        PhenoLIPError: an id is not a live term.
    """
    shows = incidence(onto, phenotypes)
    implied = (shows @ onto.closure).tocsc()
    return np.diff(shows.tocsc().indptr), np.diff(implied.indptr)


def incidence(onto: Ontology, phenotypes: pd.Series) -> csr_matrix:
    """Boolean matrix ``(n_pictures, n_terms)`` of what each picture shows."""
    rows = [sorted(ids) for ids in phenotypes]
    if unknown := sorted({hpo_id for ids in rows for hpo_id in ids if hpo_id not in onto.index}):
        raise PhenoLIPError(f"{unknown[0]} is not a live term of HPO {onto.release}; build PhenoKG and HPO again")
    return metrics.incidence(rows, onto.ids)


def thumbnails(pairs: pd.DataFrame, root: Path, side: int, threads: int = 2) -> list[bytes]:
    """JPEG thumbnails, at most `side` pixels wide and high, of the part of each file that is the pair's picture.

    Raises:
        PhenoLIPError: a picture cannot be read; the message names the pair.
    """

    def one(row) -> bytes:
        try:
            image = read_image(root, row.image, box_of(row))
        except PhenoLIPError as error:
            raise PhenoLIPError(
                f"{row.pair_id}: {error}; the pairs and the folder {root} do not belong together"
            ) from None
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.info.clear()  # comments of the file are no part of the picture
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
        return buffer.getvalue()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, pairs.itertuples(index=False)))
