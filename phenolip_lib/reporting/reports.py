"""Small tables the notebooks show: counts, statistics and comparisons, each one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.names import SOURCES
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.sections import PhenoKG as Settings
from phenolip_lib.curation.panels import classical
from phenolip_lib.curation.phenokg import KnowledgeGraph
from phenolip_lib.data.images import read_image
from phenolip_lib.data.licences import use_allowed
from phenolip_lib.data.panel_captions import caption_scores, split_caption
from phenolip_lib.data.records import DUPLICATE, Record, Reject
from phenolip_lib.data.splits import SPLITS, assign_splits, check_no_leakage, phenotype_balance
from phenolip_lib.evaluation.results import load_outcomes, load_results
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.phantom import truth
from phenolip_lib.recognition import gold
from phenolip_lib.recognition.recognizer import Recognizer
from phenolip_lib.reporting import tables

# --- notebook 2 ---------------------------------------------------------------------------------


def record_counts(found: Sequence[Record | Reject]) -> pd.DataFrame:
    """Records, captions, labels and groups of each data set, and items a source could not use."""
    records = [r for r in found if isinstance(r, Record)]
    table = pd.DataFrame(
        {
            "dataset": r.dataset,
            "records": 1,
            "captioned": bool(r.caption),
            "labelled": bool(r.labels or r.label_names),
            "compound": r.compound,
            "groups": r.group,
            "licence": r.licence,
        }
        for r in records
    )
    unusable = pd.Series([r.record_id.partition("/")[0] for r in found if isinstance(r, Reject)], dtype=str)
    how = {"records": "sum", "captioned": "sum", "labelled": "sum", "compound": "sum", "groups": "nunique"}
    table = table.groupby("dataset").agg({**how, "licence": lambda s: ", ".join(sorted(set(s))[:3])}).reset_index()
    table.insert(2, "unusable", table["dataset"].map(unusable.value_counts()).fillna(0).astype(int))
    return table


def quarantine_reasons(quarantine: pd.DataFrame) -> pd.DataFrame:
    """How many records each step set aside, and why."""
    reason = quarantine["reason"].str.replace(f"{DUPLICATE}.*", f"{DUPLICATE}another picture", regex=True)
    reason = reason.str.replace(r".* cannot be seen in", "a phenotype that cannot be seen in", regex=True)
    reason = reason.str.replace(r"image is too (small|large): .*", r"image is too \1", regex=True)
    return quarantine.assign(reason=reason).groupby(["step", "reason"]).size().rename("records").reset_index()


def graph_statistics(kg: KnowledgeGraph, source: str) -> pd.DataFrame:
    """Size of the graph beside the published PhenoKG."""
    table = kg.graph.statistics().rename(columns={"this graph": source})
    own = {
        "templated captions": int(kg.pairs["templated"].sum()),
        "median caption words": int(kg.pairs["caption"].str.split().map(len).median()),
    }
    more = pd.DataFrame([(key, f"{value:,}", "-") for key, value in own.items()], columns=table.columns)
    return pd.concat([table, more], ignore_index=True)


def shareable(pairs: pd.DataFrame) -> bool:
    """Whether every picture of the source may be shown in a committed notebook."""
    return all(use_allowed(licence, "redistribution") for licence in pairs["licence"].unique())


def panel_scores(root: Path) -> pd.DataFrame:
    """Cutting of compound figures and of their captions, where the truth is known (a phantom atlas)."""
    if not truth.is_atlas(root):
        return pd.DataFrame()
    figures = truth.compounds(root)
    cut = [classical.split_panels(np.asarray(read_image(root, figure.image))) for figure in figures]
    chunks = [split_caption(figure.caption) for figure in figures]
    boxes = classical.score(cut, [list(figure.boxes.values()) for figure in figures])
    texts = caption_scores(chunks, [figure.chunks for figure in figures])
    rows = [("picture", name, value) for name, value in boxes.items()]
    rows += [("caption", name, value) for name, value in texts.items()]
    table = pd.DataFrame(rows, columns=["cut", "measure", "value"])
    return table.assign(figures=len(figures)).round(4)


def gold_counts(root: Path, onto: Ontology) -> pd.DataFrame:
    """Sizes of the gold sets, and what became of ids that this release no longer has, or that are no phenotypes."""
    rows = []
    for name, documents in gold_documents(root, onto).items():
        folder = root / "recognition" / name
        counts = gold.read_gold(folder, onto)[1] if folder.is_dir() else {}
        found = sum(len(document.annotations) for document in documents)
        fates = [counts.get(fate, 0) for fate in ("remapped", "lost", "outside")]
        rows.append((name, len(documents), counts.get("annotations", found), *fates))
    columns = ["texts", "documents", "annotations", "old ids followed", "ids lost", "no phenotypes"]
    return pd.DataFrame(rows, columns=columns)


def gold_documents(root: Path, onto: Ontology) -> dict[str, list[gold.Document]]:
    """What recognition can be scored on: gold sets beside the data, or the captions of a phantom atlas."""
    folders = sorted(path for path in (root / "recognition").glob("*") if path.is_dir())
    found = {folder.name: gold.read_gold(folder, onto)[0] for folder in folders}
    return found | ({"phantom captions": gold.planted(root)} if truth.is_atlas(root) else {})


def recognition_scores(
    documents: dict[str, list[gold.Document]], recognizer: Recognizer, peers: dict[str, Callable]
) -> pd.DataFrame:
    """Document-level scores of the dictionary and its peers, one row a text set and recogniser."""
    rows = [
        {"texts": name, "documents": len(texts), "recogniser": recogniser, **scores}
        for name, texts in documents.items()
        for recogniser, scores in gold.compare(texts, recognizer, peers).items()
    ]
    columns = ["texts", "documents", "recogniser", "precision", "recall", "f1"]
    return pd.DataFrame(rows, columns=columns).round(4)


def split_balance(pairs: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """How far each phenotype's train share is from the target, for the split used and a plain one by hash."""
    plain = pairs.assign(split=assign_splits(pairs["group"], pairs["dataset"], settings.splits, settings.seed))
    found = {"used": pairs, "by hash alone": plain}
    return pd.concat(
        [phenotype_balance(table, settings.splits.train).assign(split=name) for name, table in found.items()],
        ignore_index=True,
    )


def split_counts(pairs: pd.DataFrame) -> pd.DataFrame:
    """Images, groups and phenotypes of each split, and phenotypes only the test split has."""
    seen = {h for own in pairs["phenotypes"][pairs["split"] == "train"] for h in own}
    rows = []
    for split in SPLITS:
        part = pairs[pairs["split"] == split]
        phenotypes = {h for own in part["phenotypes"] for h in own}
        rows.append((split, len(part), part["group"].nunique(), len(phenotypes), len(phenotypes - seen)))
    return pd.DataFrame(rows, columns=["split", "images", "groups", "phenotypes", "unseen in training"])


def assert_no_leakage(pairs: pd.DataFrame) -> str:
    """Says that no group, article or patient is in two splits; raises `PhenoLIPError` if one is."""
    return f"no {' or '.join(f'{kind} of {n}' for kind, n in check_no_leakage(pairs).items())} is in two splits"


# --- notebooks 4 to 6 ---------------------------------------------------------------------------


def last_epoch(history: pd.DataFrame) -> pd.DataFrame:
    """Final losses and validation numbers, mean over seeds."""
    last = history[history["epoch"] == history.groupby("method")["epoch"].transform("max")]
    table = last.groupby("method").mean(numeric_only=True).round(3)
    shown = [name for name in table if name.startswith(("loss_", "val_"))]
    return table.loc[tables.method_order(table.index), shown].reset_index()


def scale_note(source: str, n_train: int, params: Params) -> str:
    """What a table of the main split says about its data, its scale and its seeds."""
    return (
        f"Data: {SOURCES[source]}, {n_train} training pairs; student {params.encoders.student}, "
        f"{params.stage2.epochs} epochs; mean ± sd over {len(params.seeds)} training seeds."
    )


def data_note(source: str, params: Params) -> str:
    """The same for tables over several splits or trainings, whose numbers of training pairs differ."""
    return (
        f"Data: {SOURCES[source]}; student {params.encoders.student}, {params.stage2.epochs} epochs; "
        f"{len(params.seeds)} training seeds."
    )


def ablation_results(paths: Paths, source: str, params: Params) -> pd.DataFrame:
    """Numbers of the compared methods and of the ablations that are asked for, see `results.load_results`."""
    folders = [paths.evaluation(source) / "results", *(paths.ablation(source, name) for name in params.ablations.run)]
    return pd.concat([load_results(folder) for folder in folders], ignore_index=True)


def ablation_outcomes(paths: Paths, source: str, params: Params) -> pd.DataFrame:
    """Retrieval outcomes of the full model, the baseline and the ablations that are asked for."""
    main = load_outcomes(paths.evaluation(source) / "results", ["retrieval"])
    parts = [main[main["method"].isin((params.evaluation.headline, params.evaluation.baseline))]]
    parts += [load_outcomes(paths.ablation(source, name), ["retrieval"]) for name in params.ablations.run]
    return pd.concat(parts, ignore_index=True)
