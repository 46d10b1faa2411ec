"""Clusters of pictures as someone looks at them who decides which are no medical images: a table and a sheet."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import ImageOps

from phenolip_lib.curation.figure_type import figure_type
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.reporting.figures import WIDTH, picture

PER_ROW = 8
"""Members of a cluster that are looked at: those closest to its centre."""


def closest(table: pd.DataFrame, cluster: str, n: int = PER_ROW) -> pd.DataFrame:
    """The `n` members closest to a cluster's centre."""
    return table[table["cluster"] == cluster].sort_values(["distance", "pair_id"]).head(n)


def overview(table: pd.DataFrame, pairs: pd.DataFrame, root: Path, onto: Ontology) -> pd.DataFrame:
    """A row a cluster, those most worth looking at first: unlikely to be medical, then of mixed origin.

    Args:
        table: of `drop_clusters`.
        pairs: the curated pairs, which phenotypes are taken from.
        root: the source's folder, which images are relative to.

    Returns:
        table (cluster, pictures, medical, mixed, data sets, modalities, phenotypes, dropped); ``medical``
        is the mean probability of `figure_type` over the members closest to the centre, ``mixed`` the
        share of members that are not of the most frequent data set and modality.
    """
    linked = pairs.set_index("pair_id")["phenotypes"]
    rows = []
    for name, own in table.groupby("cluster"):
        near = closest(table, name).itertuples(index=False)
        medical = np.mean([figure_type(picture(root, m))[1] for m in near])
        shown = linked.reindex(own["pair_id"]).dropna().explode().dropna()
        rows.append(
            {
                "cluster": name,
                "pictures": len(own),
                "medical": medical,
                "mixed": 1 - own.groupby(["dataset", "modality"]).size().max() / len(own),
                "data sets": _most_frequent(own["dataset"]),
                "modalities": _most_frequent(own["modality"]),
                "phenotypes": _most_frequent(shown.map(lambda hpo_id: onto[hpo_id].name)),
                "dropped": bool(own["dropped"].iat[0]),
            }
        )
    found = pd.DataFrame(rows)
    # By tenths: a probability hardly ever ties, and the mix would never count.
    found["tenth"] = found["medical"].round(1)
    found = found.sort_values(["tenth", "mixed", "cluster"], ascending=[True, False, True]).drop(columns="tenth")
    return found.round({"medical": 3, "mixed": 3}).reset_index(drop=True)


def _most_frequent(values: pd.Series, n: int = 3) -> str:
    """The most frequent values with their counts, ``"radiology 120, other 3"``."""
    counts = values.value_counts().rename_axis("value").reset_index(name="n")
    counts = counts.sort_values(["n", "value"], ascending=[False, True]).head(n)
    return ", ".join(f"{row.value} {row.n}" for row in counts.itertuples(index=False))


def contact_sheet(table: pd.DataFrame, clusters: pd.DataFrame, root: Path) -> Figure:
    """A row of pictures a cluster, closest to the centre first, under a line that describes it.

    Args:
        table: of `drop_clusters`.
        clusters: the rows of `overview` to draw.
    """
    size = (WIDTH * 1.25, 1.55 * len(clusters))
    figure, axes = plt.subplots(len(clusters), PER_ROW, figsize=size, squeeze=False, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.16)
    for row, cluster in zip(axes, clusters.to_dict("records"), strict=True):
        for axis in row:
            axis.axis("off")
        for axis, member in zip(row, closest(table, cluster["cluster"]).itertuples(index=False), strict=False):
            axis.imshow(ImageOps.pad(picture(root, member), (160, 160), color="white"))
        facts = [
            f"{cluster['cluster']}{' (dropped)' if cluster['dropped'] else ''}: pictures {cluster['pictures']}",
            f"medical {cluster['medical']:.2f}",
            cluster["data sets"],
            cluster["modalities"],
            cluster["phenotypes"] or "no phenotype",
        ]
        text = textwrap.shorten(" · ".join(facts), 160, placeholder=" …")
        # Not part of the layout, or its length would push the columns apart.
        row[0].text(0, 1.04, text, transform=row[0].transAxes, fontsize=8).set_in_layout(False)
    return figure
