"""Figures of the graph: coverage by organ system, the long tail, the neighbourhood of one phenotype."""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import LogLocator, NullLocator

from phenolip_lib.graph.graph import Graph
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY
from phenolip_lib.reporting.figures import COLORS, WIDTH, picture, short_name

BUCKET_COLORS = {"1-4": COLORS[3], "5-19": COLORS[1], "20+": COLORS[0]}
MIN_HEIGHT = 0.016
"""Height of an icicle cell that holds a line of text, as a share of the figure."""
ACROSS = 3
"""Boxes of relatives in a row."""


# --- coverage -----------------------------------------------------------------------------------


def coverage_cells(graph: Graph) -> pd.DataFrame:
    """The cells of `coverage_icicle`.

    Returns:
        table (level, hpo_id, parent, name, images, covered, top, height): organ systems with images (level 1), most
        images first, and their children (level 2). A system's height is its share of the images,
        but never below a line of text; its children share it by their images, so that cells nest though
        an image may show several of them. Children too small for a line become one cell without id. `covered` is
        the share of a cell's phenotypes that an image shows or implies.
    """
    onto, counts = graph.onto, graph.image_counts["images"]

    def covered(*ids: str) -> float:
        return float((counts.loc[sorted(set().union(*map(onto.descendants, ids)))] > 0).mean())

    systems = graph.coverage().query("images > 0")
    heights = np.maximum(systems["images"] / max(systems["images"].sum(), 1), MIN_HEIGHT)
    heights /= max(heights.sum(), 1)
    rows, top = [], 0.0
    for system, height in zip(systems.itertuples(index=False), heights, strict=True):
        own = (system.hpo_id, PHENOTYPIC_ABNORMALITY, short_name(system.system), system.images, covered(system.hpo_id))
        rows.append((1, *own, top, height))
        children = sorted((h for h in onto.children.get(system.hpo_id, ()) if counts[h]), key=lambda h: (-counts[h], h))
        share = height / max(sum(counts[h] for h in children), 1)
        own = [(h, short_name(onto[h].name), int(counts[h]), covered(h)) for h in children]
        small = [cell for cell in own if cell[2] * share < MIN_HEIGHT]
        sizes = [cell[2] for cell in own]
        if len(small) > 1:
            sizes[-len(small) :] = [sum(cell[2] for cell in small)]
            share_below = covered(*(cell[0] for cell in small))
            own[-len(small) :] = [("", f"{len(small)} more terms, each up to", small[0][2], share_below)]
        inner = top
        for (hpo_id, *cell), size in zip(own, sizes, strict=True):
            rows.append((2, hpo_id, system.hpo_id, *cell, inner, size * share))
            inner += size * share
        top += height
    return pd.DataFrame(rows, columns=["level", "hpo_id", "parent", "name", "images", "covered", "top", "height"])


def coverage_icicle(graph: Graph) -> Figure:
    """Icicle of the organ systems (left) and the terms right below them (right): height images, colour how much of HPO.

    An image that shows several systems counts in each; systems without any image are named below.
    """
    cells = coverage_cells(graph)
    figure, axis = plt.subplots(figsize=(WIDTH, 8.5))
    norm = LogNorm(100 * cells["covered"].min(), 100 * cells["covered"].max()) if len(cells) else LogNorm(1, 100)
    for cell in cells.itertuples(index=False):
        left, width = ((0, 1), (1.01, 1.2))[cell.level - 1]
        color = plt.get_cmap("cividis_r")(norm(100 * cell.covered))
        _cell(axis, (left, cell.top, width, cell.height), cell.name, cell.images, color)
    axis.set(xlim=(0, 2.21), ylim=(1, 0), yticks=[])
    axis.set_ylabel("height: images, an image of several organ systems in each")
    axis.set_xticks([0.5, 1.61], ["organ system: images", "term below it: images"])
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    coverage = graph.coverage()
    empty = [short_name(name) for name in coverage["system"][coverage["images"] == 0]]
    axis.set_xlabel(textwrap.fill(f"no image: {', '.join(empty) or 'every organ system has one'}", 95), fontsize=8)
    colors = plt.cm.ScalarMappable(norm=norm, cmap="cividis_r")
    label = "colour: phenotypes of HPO below the term that an image shows or implies (%)"
    bar = figure.colorbar(colors, ax=axis, label=label, shrink=0.7, aspect=30)
    bar.locator, bar.formatter = LogLocator(subs=(1, 2, 5)), "{x:g}"
    bar.minorticks_off()
    return figure


def _cell(axis: Axes, box: tuple[float, float, float, float], name: str, images: int, color: tuple) -> None:
    x, y, width, height = box
    axis.add_patch(Rectangle((x, y), width, height, facecolor=color, edgecolor="white", linewidth=0.6))
    if height >= 0.7 * MIN_HEIGHT:
        text = f"{textwrap.shorten(name, 40, placeholder=' …')}  {images:,}"
        dark = np.dot(color[:3], (0.299, 0.587, 0.114)) < 0.55
        axis.text(x + 0.015, y + height / 2, text, va="center", fontsize=7, color="white" if dark else "black")


# --- long tail ----------------------------------------------------------------------------------


def long_tail(graph: Graph) -> Figure:
    """Images per phenotype by rank, both axes logarithmic, and phenotypes and images of each bucket."""
    table = graph.long_tail()
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.4), width_ratios=(1.5, 1))
    for bucket, color in BUCKET_COLORS.items():
        own = table[table["bucket"] == bucket]
        left.plot(own["rank"], own["images"], "o", markersize=3.5, color=color, label=f"{bucket} images")
    left.set(xscale="log", yscale="log", xlabel="phenotype, by rank", ylabel="images", title="Images per phenotype")
    for axis, longest in ((left.xaxis, len(table)), (left.yaxis, table["images"].max())):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if longest < 500 else (1,)))
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_locator(NullLocator())
    left.legend(title="phenotype has")
    x, width = np.arange(len(BUCKET_COLORS)), 0.38
    parts = [table[table["bucket"] == bucket]["images"] for bucket in BUCKET_COLORS]
    total = max(len(table), 1), max(int(table["images"].sum()), 1)
    series = (
        ("phenotypes", [len(p) for p in parts], total[0], -0.5, ""),
        ("images", [p.sum() for p in parts], total[1], 0.5, "//"),
    )
    for name, values, whole, side, hatch in series:
        heights = [100 * v / whole for v in values]
        bars = right.bar(
            x + side * width,
            heights,
            width,
            color="white" if hatch else "#999999",
            edgecolor="#555555",
            hatch=hatch,
            label=name,
        )
        right.bar_label(bars, [f"{int(v):,}" for v in values], fontsize=8)
    right.set_xticks(x, list(BUCKET_COLORS))
    right.grid(axis="x", visible=False)
    right.margins(y=0.12)
    right.set(xlabel="images a phenotype has", ylabel="share (%)", title="Share of the tail")
    right.legend(fontsize=8)
    return figure


# --- neighbourhood ------------------------------------------------------------------------------


def neighbourhood(graph: Graph, hpo_id: str, root: Path, most: int = 6, n_images: int = 6) -> Figure:
    """A phenotype below its parents, above its siblings and children, as far as it has some, and a strip of its images.

    Each box gives the images that show the term or a descendant. Of more than `most` relatives of a kind those with
    most images are drawn.

    Args:
        root: the source's folder, which images are relative to.
    """
    onto = graph.onto
    hpo_id = onto.resolve(hpo_id)
    parents = onto.parents.get(hpo_id, [])
    siblings = {c for p in parents for c in onto.children[p]} - {hpo_id}
    rows = _relatives(graph, "parents", parents, COLORS[5], most)
    rows += [("", [hpo_id], "white")]
    rows += _relatives(graph, "siblings", siblings, "#DDDDDD", most)
    rows += _relatives(graph, "children", onto.children.get(hpo_id, []), COLORS[1], most)
    pictures = graph.nodes["image"].set_index("name").loc[graph.images_of(hpo_id)[:n_images]]
    heights = 0.4 * len(rows), 1.7 if len(pictures) else 0.01
    figure = plt.figure(figsize=(WIDTH, sum(heights)))
    grid = figure.add_gridspec(2, n_images, height_ratios=heights)
    axis = figure.add_subplot(grid[0, :])
    axis.set(xlim=(0, ACROSS), ylim=(len(rows) - 0.5, -0.5))
    axis.axis("off")
    for y, (heading, terms, fill) in enumerate(rows):
        axis.text(ACROSS / 2, y + 0.15, heading, ha="center", va="center", fontsize=9, fontweight="bold")
        for i, term in enumerate(terms):
            at = (ACROSS - len(terms) + 1) / 2 + i, y
            _box(axis, at, onto[term].name, graph.image_counts["images"][term], fill, bold=term == hpo_id)
    for column, row in enumerate(pictures.itertuples()):
        place = figure.add_subplot(grid[1, column])
        place.axis("off")
        place.imshow(picture(root, row, row.file))
        own = [onto[h].name for h in graph.phenotypes_of(row.Index) if hpo_id in onto.ancestors(h)]
        place.set_title(
            textwrap.fill(textwrap.shorten(own[0], 44, placeholder=" …"), 22), fontsize=7, fontweight="normal"
        )
    return figure


def _relatives(
    graph: Graph, kind: str, terms: Collection[str], fill: str, most: int
) -> list[tuple[str, list[str], str]]:
    """Rows of the figure: a heading, then boxes, those with most images first; nothing without terms."""
    counts = graph.image_counts["images"]
    drawn = sorted(terms, key=lambda h: (-counts[h], h))[:most]
    heading = f"{kind} ({len(terms)})" + (f", {most} of them drawn" if len(terms) > most else "")
    boxes = [("", drawn[i : i + ACROSS], fill) for i in range(0, len(drawn), ACROSS)]
    return [(heading, [], fill), *boxes] if drawn else []


def _box(axis: Axes, at: tuple[float, float], name: str, images: int, fill: str, bold: bool = False) -> None:
    x, y = at
    axis.add_patch(
        FancyBboxPatch(
            (x - 0.46, y - 0.38),
            0.92,
            0.76,
            boxstyle="round,pad=0.01,rounding_size=0.03",
            facecolor=fill,
            edgecolor="black" if bold else "#888888",
            linewidth=1.8 if bold else 0.6,
            mutation_aspect=4,
            alpha=1 if images or bold else 0.45,
        )
    )
    text = f"{textwrap.shorten(name, 40, placeholder=' …')}\n{images:,} image{'' if images == 1 else 's'}"
    axis.text(
        x, y, text, ha="center", va="center", fontsize=7, fontweight="bold" if bold else "normal", linespacing=1.15
    )
