"""Make the coefficients that tell medical images from charts anew: `python -m benchmarks.refit_figure_type`.

Charts, diagrams, tables and pages of text are drawn in many styles, each from random numbers of a seed; the
medical images are the phantom's. `phenolip_lib.curation.figure_type` reads what is written here.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image, ImageDraw, ImageFont

from phenolip_lib.core.storage import write_json
from phenolip_lib.curation.figure_type import COEFFICIENTS, MEASURES, measures
from phenolip_lib.phantom.atlas import DOMAINS
from phenolip_lib.phantom.compound import jpeg

PENALTY = 0.1
"""Inverse strength of the regression's penalty: weak trust in any one measure carries over to unseen images."""
WORDS = "patients control score ratio age time level months group dose survival cells mean gene response rate".split()


def _word(rng: np.random.Generator) -> str:
    return WORDS[int(rng.integers(len(WORDS)))]


def _bar(rng, ax):
    n, m = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    for k in range(m):
        ax.bar(np.arange(n) + k / (m + 1), rng.uniform(1, 9, n), 1 / (m + 1), yerr=rng.uniform(0, 1, n), capsize=2)


def _line(rng, ax):
    for _ in range(int(rng.integers(1, 6))):
        marker, style = rng.choice(["", "o", "s", "^"]), rng.choice(["-", "--", ":"])
        ax.plot(rng.normal(0, 1, int(rng.integers(8, 60))).cumsum(), marker=marker, linestyle=style, label=_word(rng))


def _scatter(rng, ax):
    for _ in range(int(rng.integers(1, 4))):
        n = int(rng.integers(20, 200))
        x = rng.normal(0, 1, n)
        ax.scatter(x, rng.uniform(-1, 1) * x + rng.normal(0, 0.7, n), s=float(rng.uniform(4, 30)), label=_word(rng))


def _box(rng, ax):
    ax.boxplot([rng.normal(rng.uniform(0, 3), 1, 30) for _ in range(int(rng.integers(2, 8)))])


def _heat_map(rng, ax):
    shape = (int(rng.integers(4, 20)), int(rng.integers(4, 20)))
    ax.imshow(rng.normal(0, 1, shape), cmap=str(rng.choice(["viridis", "RdBu", "Reds"])), aspect="auto")


def _pie(rng, ax):
    n = int(rng.integers(2, 8))
    ax.pie(rng.uniform(1, 5, n), labels=[_word(rng) for _ in range(n)], autopct="%d%%")


def _survival(rng, ax):
    for _ in range(int(rng.integers(2, 4))):
        steps = int(rng.integers(8, 40))
        ax.step(np.sort(rng.uniform(0, 60, steps)), np.linspace(1, rng.uniform(0.1, 0.8), steps), label=_word(rng))
    ax.set_ylim(0, 1.05)


def _flow_chart(rng, ax):
    ax.axis("off")
    rows = int(rng.integers(3, 6))
    for row in range(rows):
        for column in range(int(rng.integers(1, 4))):
            x, y = column * 1.4, -row * 1.2
            colour = rng.uniform(0.7, 1, 3)
            ax.add_patch(FancyBboxPatch((x, y), 1, 0.6, boxstyle="round,pad=0.05", facecolor=colour, edgecolor="k"))
            ax.text(x + 0.5, y + 0.3, f"{_word(rng)}\n(n = {int(rng.integers(5, 500))})", ha="center", va="center")
            if row:
                ax.annotate("", (x + 0.5, y + 0.65), (x + 0.5, y + 1.15), arrowprops={"arrowstyle": "->"})
    ax.autoscale()


def _table(rng, ax):
    ax.axis("off")
    rows, columns = int(rng.integers(4, 12)), int(rng.integers(2, 6))
    cells = [[f"{rng.uniform(0, 99):.1f}" for _ in range(columns)] for _ in range(rows)]
    ax.table(cells, colLabels=[_word(rng) for _ in range(columns)], loc="center")


def _histogram(rng, ax):
    ax.hist(rng.gamma(2, 1, 400), bins=int(rng.integers(8, 40)), edgecolor=str(rng.choice(["k", "w"])))


def _violin(rng, ax):
    ax.violinplot([rng.normal(rng.uniform(0, 3), 1, 50) for _ in range(int(rng.integers(2, 6)))])


def _forest(rng, ax):
    n = int(rng.integers(5, 14))
    ax.errorbar(rng.normal(1, 0.4, n), np.arange(n), xerr=rng.uniform(0.1, 0.6, n), fmt="s", color="k", capsize=3)
    ax.axvline(1, linestyle="--")
    ax.set_yticks(range(n), [f"{_word(rng)} {k}" for k in range(n)])


def _network(rng, ax):
    ax.axis("off")
    n = int(rng.integers(6, 24))
    places = rng.uniform(0, 1, (n, 2))
    for _ in range(2 * n):
        i, j = rng.integers(n, size=2)
        ax.plot(*places[[i, j]].T, color="grey", linewidth=1)
    ax.scatter(*places.T, s=200, zorder=3)
    for place in places:
        ax.text(*place, _word(rng)[:4], ha="center", va="center", fontsize=7, zorder=4)


CHARTS: dict[str, Callable] = {
    "bar": _bar,
    "line": _line,
    "scatter": _scatter,
    "box": _box,
    "heat map": _heat_map,
    "pie": _pie,
    "survival": _survival,
    "flow chart": _flow_chart,
    "table": _table,
    "histogram": _histogram,
    "violin": _violin,
    "forest": _forest,
    "network": _network,
}


@style.context("default")  # whatever style the caller's own figures have
def _chart(kind: str, rng: np.random.Generator, dark: bool) -> Image.Image:
    figure = Figure(figsize=tuple(rng.uniform(3, 7, 2)), dpi=float(rng.uniform(60, 130)))
    canvas = FigureCanvasAgg(figure)
    n = int(rng.choice((1, 1, 1, 2, 4))) if kind not in ("flow chart", "table", "network") else 1
    axes = figure.subplots(1 if n < 4 else 2, 1 if n == 1 else 2, squeeze=False).ravel()
    ground, ink = ((0.05,) * 3, "w") if dark else ((1.0,) * 3, "k")
    figure.set_facecolor(ground)
    for ax in axes:
        ax.set_facecolor(ground if rng.random() < 0.8 else (0.92, 0.92, 0.95))
        CHARTS[kind](rng, ax)
        if rng.random() < 0.6:
            ax.set_title(f"{_word(rng)} {_word(rng)}", color=ink)
        ax.set_xlabel(_word(rng), color=ink)
        ax.set_ylabel(_word(rng), color=ink)
        ax.tick_params(colors=ink)
        ax.grid(bool(rng.random() < 0.3))
        if ax.get_legend_handles_labels()[1] and rng.random() < 0.5:
            ax.legend()
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return Image.open(buffer).convert("RGB")


def _text(rng: np.random.Generator, dark: bool) -> Image.Image:
    width, height, size = int(rng.integers(250, 700)), int(rng.integers(200, 700)), int(rng.integers(9, 20))
    image = Image.new("RGB", (width, height), (12,) * 3 if dark else (int(rng.integers(235, 256)),) * 3)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=size)
    for y in range(size, height - size, int(size * 1.5)):
        line = " ".join(_word(rng) for _ in range(width // (size * 4)))
        draw.text((size, y), line, fill=(230,) * 3 if dark else (int(rng.integers(0, 60)),) * 3, font=font)
    return image


def _gel(rng: np.random.Generator, dark: bool) -> Image.Image:
    """A blot: labelled lanes with blurred bands."""
    lanes, height = int(rng.integers(4, 12)), int(rng.integers(150, 320))
    width = lanes * 34
    y = np.arange(height)[:, None]
    ink = np.zeros((height, width))
    for lane in range(lanes):
        across = np.exp(-(((np.arange(width) - lane * 34 - 17) / 12.0) ** 6))
        for place in rng.uniform(0.1, 0.9, int(rng.integers(1, 4))):
            ink += rng.uniform(0.3, 1) * np.exp(-(((y - place * height) / rng.uniform(2, 6)) ** 2)) * across
    grey = 235 - 210 * np.clip(ink, 0, 1) + rng.normal(0, 3, ink.shape)
    pixels = np.clip(255 - grey if dark else grey, 0, 255).astype(np.uint8)
    image = Image.new("RGB", (width + 60, height + 30), "white")
    image.paste(Image.fromarray(pixels).convert("RGB"), (60, 30))
    draw = ImageDraw.Draw(image)
    for lane in range(lanes):
        draw.text((64 + lane * 34, 8), _word(rng)[:4], fill="black")
    for place in range(40, height, 40):
        draw.text((8, place), f"{int(rng.integers(10, 250))} kDa", fill="black")
    return image


KINDS = (*CHARTS, "text", "gel")
"""Kinds of figures that can be drawn."""


def draw_chart(kind: str, seed: int) -> Image.Image:
    """A figure of a kind (one of `KINDS`), RGB; every fifth has a dark ground, every other was stored with loss."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    dark = bool(rng.random() < 0.2)
    image = {"text": _text, "gel": _gel}[kind](rng, dark) if kind in ("text", "gel") else _chart(kind, rng, dark)
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(50, 95)))
        image = Image.open(buffer).convert("RGB")
    return image


def fit(
    medical: Iterable[Image.Image], charts: Iterable[Image.Image], provenance: dict, max_refused: float = 0.002
) -> dict:
    """Coefficients that tell the two apart.

    Args:
        medical: medical images.
        charts: pictures that are none.
        provenance: what the pictures are, kept beside the coefficients.
        max_refused: share of the medical images below a probability of 0.5 when each is predicted by a
            model that did not see it; the intercept is raised until it holds.

    Returns:
        what ``figure_type.json`` holds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows = [[measures(image) for image in group] for group in (charts, medical)]
    x, y = np.array(rows[0] + rows[1]), np.repeat([0, 1], [len(rows[0]), len(rows[1])])
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    z = (x - mean) / scale
    model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=5000)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    held_out = cross_val_predict(model, z, y, cv=folds, method="decision_function")
    model.fit(z, y)
    shift = max(0.0, -float(np.quantile(held_out[y == 1], max_refused)))
    return {
        "measures": list(MEASURES),
        "mean": mean.round(6).tolist(),
        "scale": scale.round(6).tolist(),
        "weights": model.coef_[0].round(6).tolist(),
        "intercept": round(float(model.intercept_[0]) + shift, 6),
        "made_from": {**provenance, "medical": len(rows[1]), "charts": len(rows[0]), "max_refused": max_refused},
    }


def phantom_pictures(per_finding: int, seed: int) -> Iterator[Image.Image]:
    """Pictures of every finding of the phantom, sides of 96 to 320 pixels, every other stored with loss."""
    for m, (_, domain) in enumerate(sorted(DOMAINS.items())):
        for f, hpo_id in enumerate(sorted(domain.findings)):
            for k in range(per_finding):
                rng = np.random.default_rng([seed, m, f, k])
                rgb = domain.render({hpo_id: float(rng.uniform(0.1, 1))}, rng, int(rng.integers(96, 320))).to_uint8()
                if k % 3 == 0:
                    rgb = _like_a_scan(rgb, rng)
                yield Image.fromarray(jpeg(rgb, int(rng.integers(60, 95))) if k % 2 else rgb)


def _like_a_scan(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey, of high contrast, in a black frame: the phantom has no cross-sectional images."""
    grey = np.asarray(Image.fromarray(rgb).convert("L"), dtype=np.float64)
    low, high = np.quantile(grey, [rng.uniform(0.1, 0.5), rng.uniform(0.9, 0.999)])
    grey = np.clip((grey - low) / max(high - low, 1.0), 0, 1) ** rng.uniform(0.7, 1.4) * 255
    height, width = grey.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    grey[(np.abs(x) ** 3 + np.abs(y) ** 3) > rng.uniform(0.5, 1.5)] = 0
    frame = np.pad(grey, [tuple(rng.integers(0, 1 + side // 3, 2)) for side in grey.shape])
    return np.repeat(frame.astype(np.uint8)[:, :, None], 3, axis=2)


def refit(path: Path = COEFFICIENTS, per_finding: int = 6, per_kind: int = 60, seed: int = 0) -> dict:
    """Make the coefficients anew from drawn charts and phantom pictures, and write them.

    Args:
        per_finding: phantom pictures of each finding, some of them stored with loss.
        per_kind: charts of each kind.
    """
    model = fit(
        phantom_pictures(per_finding, seed),
        (draw_chart(kind, seed + k) for kind in KINDS for k in range(per_kind)),
        {"drawn": "benchmarks.refit_figure_type, phenolip_lib.phantom", "kinds": list(KINDS), "seed": seed},
    )
    write_json(path, model)
    return model


if __name__ == "__main__":
    refit()
