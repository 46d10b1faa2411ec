"""Tables of chapter 8: answers of ARL, of its parts and of what it has to beat."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image

from phenolip_lib.core.params import Params
from phenolip_lib.data.images import read_image
from phenolip_lib.data.questions import coverage, vocabulary
from phenolip_lib.evaluation.answers import CLOSED, KIND, OPEN, OVERALL, TASK
from phenolip_lib.evaluation.results import load_outcomes
from phenolip_lib.experiments.arl import FOLD, Arl
from phenolip_lib.reporting import evaluation_reports, tables
from phenolip_lib.reporting.figures import WIDTH
from phenolip_lib.training.arl.answering import predict

METRICS = [OVERALL, CLOSED, OPEN]
SAID = {tables.metric_name(metric): name for metric, name in ((OVERALL, "all"), (CLOSED, "closed"), (OPEN, "open"))}


def counts(sets: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a set: images, questions by split, answers that training knows, how many of the test's they hold."""
    rows = []
    for name, table in sets.items():
        known, by_split = vocabulary(table), table["split"].value_counts()
        rows.append(
            {
                "set": name,
                "images": table["image_id"].nunique(),
                **{split: int(by_split.get(split, 0)) for split in ("train", "val", "test")},
                "closed": f"{100 * table['closed'].mean():.1f}%",
                "answers in training": len(known),
                "test answers among them": f"{100 * coverage(table, known).mean():.1f}%",
            }
        )
    return pd.DataFrame(rows)


def outcomes(folder: Path, name: str, folds: bool = False) -> pd.DataFrame:
    """Outcomes on a set by its own split, or over its folds, where each image is a test image once; empty without."""
    places = sorted(folder.glob(f"{name}{FOLD}*")) if folds else [folder / name]
    parts = [load_outcomes(place, [TASK]) for place in places if place.is_dir()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def scores(found: pd.DataFrame, name: str, params: Params) -> pd.DataFrame:
    """A row a method: accuracy in percent of all, closed and open questions, with intervals by image."""
    own = found[found["dataset"] == name]
    return evaluation_reports.scores(own, METRICS, params).rename(columns=SAID)


def kinds(found: pd.DataFrame, name: str, params: Params) -> pd.DataFrame:
    """A row a kind of question, a column a method: accuracy in percent with intervals, and how many were asked."""
    own = found[found["metric"] == KIND].assign(dataset=found["dataset"].str.removeprefix(f"{name}: "))
    table = evaluation_reports.by_dataset(own, KIND, "asked for", params, transposed=True)
    asked = own.drop_duplicates(["dataset", "query"])["dataset"].value_counts()
    return table.assign(questions=[int(asked[kind]) for kind in table["asked for"]])


def compared(found: pd.DataFrame, name: str, params: Params, baseline: str | None = None) -> pd.DataFrame:
    """Each method minus the baseline, of all, closed and open questions, as `tables.difference_table`.

    Controls that are no method of ``arl.methods`` are left out: one family of comparisons on every set.
    """
    own = found[(found["dataset"] == name) & found["method"].isin(list(params.arl.methods))]
    differences = evaluation_reports.compared(own, METRICS, params, baseline or params.arl.baseline)
    return tables.difference_table(differences, METRICS).drop(columns="dataset", errors="ignore")


def parts(found: pd.DataFrame, name: str, params: Params, full: str) -> pd.DataFrame:
    """What each part is worth: the full model minus the one without it, paired by question; empty without another."""
    fused = [m for m in params.arl.methods if m in set(found["method"]) and params.fusion(m).arl.model == "fusion"]
    if fused == [full]:
        return pd.DataFrame()
    own = found[(found["dataset"] == name) & found["method"].isin(fused)]
    # The differences to the full model, turned round: one family of comparisons, corrected together.
    turned = evaluation_reports.compared(own, METRICS, params, full)
    turned = turned.assign(difference=0.0 - turned["difference"], low=0.0 - turned["high"], high=0.0 - turned["low"])
    table = tables.difference_table(turned, METRICS).drop(columns="dataset", errors="ignore")
    table["method"] = table["method"].map(lambda method: tables.METHOD_NAMES.get(method, method))
    return table.rename(columns={"method": "beside"})


def published(name: str) -> pd.DataFrame:
    """What others printed for a set, with the source and its faults; empty if nothing is known."""
    path = Path(__file__).parent / "paper" / "published_answers.csv"
    table = pd.read_csv(path, keep_default_na=False)
    return table[table["dataset"] == name].drop(columns="dataset").reset_index(drop=True)


def reading(difference: pd.DataFrame, full: str) -> str:
    """A sentence that says what the comparison of the full model with the baseline says, whichever way it points."""
    row = difference[(difference["method"] == full) & (difference["metric"] == OVERALL)].iloc[0]
    side = "more" if row.difference > 0 else "fewer"
    word = "beyond chance" if row.beyond_chance else "within chance"
    return (
        f"Of 100 questions {tables.METHOD_NAMES.get(full, full)} answers {abs(row.difference):.1f} {side} "
        f"[{row.low:.1f}, {row.high:.1f}] than the plain baseline, which is {word}."
    )


def examples(own: Arl, name: str, method: str, seed: int, most: int = 3) -> Figure:
    """Test questions with their image, what the text's first token read of it, and the most probable answers.

    The first question of each of `most` images, of different kinds where there are so many; what was not read is dark.

    Args:
        own: of `experiments.arl`.
        method: of ``arl.methods``, a fusion model.
    """
    table = own.sets[name]
    train, test = (table["split"] == split for split in ("train", "test"))
    net, words = own.answerer(method, seed, name, train.to_numpy())
    asked = _varied(table[test], most)
    data = own.questions(name)
    logits = predict(net, data, asked.index.to_numpy())
    with torch.no_grad():
        maps = net.fusion.attention(**data.inputs(asked.index.to_numpy()))[:, 1:].numpy()
    figure, axes = plt.subplots(1, len(asked), figsize=(WIDTH * 1.25, 3.6), squeeze=False)
    for axis, row, scores, seen in zip(axes[0], asked.itertuples(), logits, maps, strict=True):
        axis.imshow(darkened(read_image(own.data, row.image_path), seen.reshape(own.config.cells, -1)))
        axis.set_title("\n".join(textwrap.wrap(row.question, 34)), fontsize=9)
        said = tried(words, scores), f"right: {row.answer}"
        axis.set_xlabel("\n".join(line for text in said for line in textwrap.wrap(text, 42)), fontsize=8)
        axis.set(xticks=[], yticks=[])
    return figure


def darkened(picture: Image.Image, read: np.ndarray) -> Image.Image:
    """A picture, darker where it was not read.

    Args:
        read: how much of each cell was read ``(cells, cells)``.
    """
    weight = Image.fromarray((255 * read / read.max()).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    return Image.composite(picture, Image.blend(picture, Image.new("RGB", picture.size), 0.65), weight)


def _varied(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """The first question of each image, kinds that were not taken first."""
    first = table.drop_duplicates(["image_id", "kind"])
    rows, images, kinds = [], set(), set()
    for again in (False, True):
        for row in first.itertuples():
            if len(rows) < most and row.image_id not in images and (again or row.kind not in kinds):
                rows.append(row.Index)
                images.add(row.image_id)
                kinds.add(row.kind)
    return table.loc[rows]


def tried(words: list[str], logits: np.ndarray, most: int = 3) -> str:
    """The most probable answers of one question with their probabilities."""
    probability = 1 / (1 + np.exp(-logits.astype(float)))
    best = np.argsort(-logits, kind="stable")[:most]
    return ", ".join(f"{words[i]} {probability[i]:.2f}" for i in best)
