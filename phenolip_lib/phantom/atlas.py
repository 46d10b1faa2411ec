"""The phantom atlas: a synthetic data set of the shape and with the troubles of a real one.

Layout::

    images/<figure_id>.png
    masks/<figure_id>.png   bit k: pixels that show finding k of the figure's sorted findings; absent for healthy ones
    figures.csv             figure_id, article_id, image, modality, caption, compound, duplicate_of, licence, url
    panels.csv              figure_id, panel, x0, y0, x1, y1, findings, severities, chunk (a single figure is one panel)
    mentions.csv            figure_id, start, end, hpo_id, negated, surface: phenotypes named in the caption
    atlas.json              format version, parameters, counts

A subject has one or two findings, or none, and is drawn in one figure; a few figures hold several
subjects, several figures make an article, and some figures come back as near duplicates, partly in
another article, to trap careless splits. Every figure has random numbers of its own, so the bytes do
not depend on the number of workers.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.progress import track
from phenolip_lib.core.storage import atomic_folder, write_json
from phenolip_lib.phantom import dermatology, face, hematology, histology, ophthalmology, pathology, radiology
from phenolip_lib.phantom.captions import Mention, Names, reworded, write_caption
from phenolip_lib.phantom.compound import Panel, bitfield, draw_compound, jpeg
from phenolip_lib.phantom.domain import Domain
from phenolip_lib.phantom.plan import Plan, plan_figures

FORMAT = 1
LICENCE = "CC0-1.0"
DOMAINS: dict[str, Domain] = {
    module.domain.modality: module.domain
    for module in (dermatology, pathology, radiology, hematology, histology, ophthalmology, face)
}


@dataclass(frozen=True)
class Counts:
    """What an atlas holds."""

    figures: int
    articles: int
    panels: int
    compound: int
    healthy: int
    duplicates: int
    phenotypes: int
    mentions: int
    negated: int


@dataclass(frozen=True)
class Drawn:
    """A figure's rows of the tables."""

    plan: Plan
    caption: str
    panels: list[Panel]
    mentions: list[Mention]


def phenotypes() -> pd.DataFrame:
    """The atlas's phenotypes: ``hpo_id``, ``modality``, sorted."""
    rows = sorted((hpo_id, modality) for modality, domain in DOMAINS.items() for hpo_id in domain.findings)
    return pd.DataFrame(rows, columns=["hpo_id", "modality"])


def build(
    out: Path,
    names: Names,
    *,
    subjects_per_finding: int,
    size: int,
    compound_share: float,
    duplicate_share: float,
    normal_share: float,
    second_finding_share: float,
    seed: int,
    workers: int,
) -> Counts:
    """Draw the atlas into the folder `out`, which is replaced as a whole at the end.

    Args:
        names: HPO id -> label, then synonyms that captions may use, for every phenotype of the atlas.
        subjects_per_finding: mean number of subjects; single numbers fall off from twice to a quarter of it.
        size: side of a picture in pixels.
        compound_share: share of figures with several panels, before duplicates are added.
        duplicate_share: near duplicates as a share of all figures.
        normal_share: healthy ones as a share of all subjects.
        second_finding_share: share of the other subjects that show a second finding.
        seed: equal arguments and seeds give equal bytes, whatever the number of `workers` (processes).

    Raises:
        PhenoLIPError: `names` lacks a phenotype, or a share leaves no room for the rest.
    """
    if max(duplicate_share, normal_share) >= 1:
        raise PhenoLIPError("atlas.duplicate_share and atlas.normal_share must be below 1")
    if missing := sorted(set(phenotypes()["hpo_id"]) - set(names)):
        raise PhenoLIPError(f"the atlas draws {missing[0]}, which the ontology does not name; use the packaged release")
    mix = {
        "subjects_per_finding": subjects_per_finding,
        "compound_share": compound_share,
        "duplicate_share": duplicate_share,
        "normal_share": normal_share,
        "second_finding_share": second_finding_share,
    }
    plans = plan_figures(DOMAINS, np.random.default_rng([seed, 0]), **mix)
    with atomic_folder(Path(out)) as folder:
        (folder / "images").mkdir()
        (folder / "masks").mkdir()
        by_id = {plan.figure_id: plan for plan in plans}
        jobs = [(plan, by_id.get(plan.duplicate_of)) for plan in plans]
        draw = partial(_write_figure, folder=folder, names=dict(names), size=size, seed=seed)
        if workers == 1:
            drawn = [draw(job) for job in track(jobs, "atlas", len(jobs), "figures")]
        else:
            # Processes are started afresh everywhere, so that every platform behaves the same.
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(workers, mp_context=context) as pool:
                drawn = list(track(pool.map(draw, jobs, chunksize=16), "atlas", len(jobs), "figures"))
        counts = _write_tables(folder, drawn)
        write_json(
            folder / "atlas.json", {"format": FORMAT, "seed": seed, "size": size, "mix": mix, "counts": asdict(counts)}
        )
    return counts


# --- drawing -------------------------------------------------------------------------------------


def _generator(seed: int, figure_id: str) -> np.random.Generator:
    key = int.from_bytes(hashlib.sha256(figure_id.encode()).digest()[:8])
    return np.random.default_rng([seed, 1, key])


def _write_figure(job: tuple[Plan, Plan | None], folder: Path, names: Names, size: int, seed: int) -> Drawn:
    """Draw a figure, or its original again if it is a copy, and write picture and mask."""
    plan, original = job
    rng = _generator(seed, (original or plan).figure_id)
    domain = DOMAINS[plan.modality]
    subjects = [{f: round(float(rng.uniform(0.1, 1.0)), 3) for f in subject} for subject in plan.subjects]
    if plan.compound:
        figure = draw_compound(rng, domain, subjects, plan.repeats, names, size)
        rgb, mask, panels, caption, mentions = figure.rgb, figure.mask, figure.panels, figure.caption, figure.mentions
    else:
        canvas = domain.render(subjects[0], rng, size)
        rgb = canvas.to_uint8()
        mask = bitfield(canvas.masks, sorted(subjects[0])) if subjects[0] else np.zeros((size, size), np.uint8)
        caption, mentions = write_caption(rng, domain, subjects[0], names)
        if original:
            rng = _generator(seed, plan.figure_id)
            rgb, mask = _printed_again(rng, rgb, mask)
            caption, mentions = reworded(rng, caption, mentions)
        panels = [Panel("a", (0, 0, rgb.shape[1], rgb.shape[0]), caption, subjects[0])]
    _save(folder / "images" / f"{plan.figure_id}.png", rgb)
    if any(subjects):
        _save(folder / "masks" / f"{plan.figure_id}.png", mask)
    return Drawn(plan, caption, panels, mentions)


def _printed_again(rng: np.random.Generator, rgb: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A near duplicate: brighter or darker, resized, stored with loss; every second one also loses its rim."""
    height, width = mask.shape
    rim = 0.01 if rng.random() < 0.5 else 0.0
    left, top, right, bottom = rng.uniform(0, rim, 4)
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    side = int(round(width * rng.uniform(0.75, 1.1)))
    copy = Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC, box=box)
    bits = Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST, box=box)
    light = np.asarray(copy, dtype=np.float32) * rng.uniform(0.9, 1.1) + rng.uniform(-8, 8)
    return jpeg(np.clip(light, 0, 255).astype(np.uint8), int(rng.integers(70, 95))), np.asarray(bits)


def _save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path, "PNG", compress_level=4)


# --- tables --------------------------------------------------------------------------------------


def _write_tables(folder: Path, drawn: list[Drawn]) -> Counts:
    tables = {
        "figures": pd.DataFrame(_figure_rows(drawn)),
        "panels": pd.DataFrame(_panel_rows(drawn)),
        "mentions": pd.DataFrame(_mention_rows(drawn)),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    figures = tables["figures"]
    return Counts(
        figures=len(figures),
        articles=figures["article_id"].nunique(),
        panels=len(tables["panels"]),
        compound=int(figures["compound"].sum()),
        healthy=sum(not any(d.plan.subjects) for d in drawn),
        duplicates=int((figures["duplicate_of"] != "").sum()),
        phenotypes=len({f for d in drawn for subject in d.plan.subjects for f in subject}),
        mentions=len(tables["mentions"]),
        negated=int(tables["mentions"]["negated"].sum()),
    )


def _figure_rows(drawn: list[Drawn]) -> Iterator[dict]:
    for d in drawn:
        yield {
            "figure_id": d.plan.figure_id,
            "article_id": d.plan.article_id,
            "image": f"images/{d.plan.figure_id}.png",
            "modality": d.plan.modality,
            "caption": d.caption,
            "compound": int(d.plan.compound),
            "duplicate_of": d.plan.duplicate_of,
            "licence": LICENCE,
            "url": "",
        }


def _panel_rows(drawn: list[Drawn]) -> Iterator[dict]:
    for d in drawn:
        for panel in d.panels:
            findings = sorted(panel.findings)
            yield {
                "figure_id": d.plan.figure_id,
                "panel": panel.label,
                **dict(zip(("x0", "y0", "x1", "y1"), panel.box, strict=True)),
                "findings": ";".join(findings),
                "severities": ";".join(str(panel.findings[f]) for f in findings),
                "chunk": panel.chunk,
            }


def _mention_rows(drawn: list[Drawn]) -> Iterator[dict]:
    for d in drawn:
        for m in d.mentions:
            yield {
                "figure_id": d.plan.figure_id,
                "start": m.start,
                "end": m.end,
                "hpo_id": m.hpo_id,
                "negated": int(m.negated),
                "surface": d.caption[m.start : m.end],
            }
