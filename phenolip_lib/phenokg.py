"""PhenoKG: from a source's records to a curated, linked, split table of image-text pairs and a graph.

Order of the steps: read every image (unreadable ones go to quarantine), cut compound figures into
panels, write captions for label-only records, link phenotypes, remove duplicates, split by group.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from phenolip_lib import panels
from phenolip_lib.dedup import UnionFind, duplicate_pairs, fingerprint
from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.images import WHOLE, read_image
from phenolip_lib.ontology import Ontology
from phenolip_lib.params import PhenoKG as Settings
from phenolip_lib.recognition import Recognizer, asserted
from phenolip_lib.records import MODALITIES, Record
from phenolip_lib.runtime import log
from phenolip_lib.splits import SPLITS, assign_splits
from phenolip_lib.storage import write_parquet

VIEWS = {
    "dermatology": "Skin photograph",
    "pathology": "Tissue section",
    "radiology": "Radiological image",
    "hematology": "Peripheral blood smear",
    "histology": "Biopsy section",
    "ophthalmology": "Fundus photograph",
    "face": "Facial photograph",
}
FRAMES = ("{view} showing {name}.", "{view} with {name}.", "{name} on a {lower_view}.", "{view}: {name}.")

PAIRS = pa.DataFrameSchema(
    {
        "pair_id": pa.Column(str, unique=True),
        "dataset": pa.Column(str),
        "image": pa.Column(str),
        "left": pa.Column(float, pa.Check.in_range(0, 1)),
        "top": pa.Column(float, pa.Check.in_range(0, 1)),
        "right": pa.Column(float, pa.Check.in_range(0, 1)),
        "bottom": pa.Column(float, pa.Check.in_range(0, 1)),
        "caption": pa.Column(str, pa.Check.str_length(min_value=1)),
        "templated": pa.Column(bool),
        "modality": pa.Column(str, pa.Check.isin(MODALITIES)),
        "group": pa.Column(str),
        "split": pa.Column(str, pa.Check.isin(SPLITS)),
        "phenotypes": pa.Column(object),
        "asserted": pa.Column(bool),
        "class_name": pa.Column(str),
        "licence": pa.Column(str),
        "url": pa.Column(str),
    },
    strict=True,
    ordered=True,
)
"""Schema of ``pairs.parquet``: one image (or panel) and one caption a row. `asserted` tells whether
`phenotypes` are the data set's own labels (True) or were recognised in the caption (False)."""


@dataclass
class KnowledgeGraph:
    """The tables notebook 02 writes."""

    pairs: pd.DataFrame
    quarantine: pd.DataFrame
    steps: pd.DataFrame
    nodes: pd.DataFrame
    edges: pd.DataFrame

    def save(self, folder: Path) -> None:
        for name in ("pairs", "quarantine", "steps", "nodes", "edges"):
            write_parquet(folder / f"{name}.parquet", getattr(self, name))


def load_pairs(folder: Path) -> pd.DataFrame:
    """The curated pairs; raises `PhenoLIPError` if notebook 02 has not run."""
    path = Path(folder) / "pairs.parquet"
    if not path.is_file():
        raise PhenoLIPError(f"{path}: PhenoKG is not built yet; run `dvc repro`")
    table = pd.read_parquet(path)
    table["phenotypes"] = table["phenotypes"].map(list)
    return table


def templated_caption(onto: Ontology, record: Record) -> str:
    """A caption for a record that has labels only, written from HPO text.

    One of the term's names (so that the label is not the only word for it) in one of a few frames,
    then its definition; chosen by a hash of the record id, so it never changes.
    """
    key = int(hashlib.sha256(record.record_id.encode()).hexdigest(), 16)
    names = []
    for hpo_id in record.labels:
        term = onto[hpo_id]
        forms = (term.name, *(s for s in term.synonyms if len(s.split()) <= 5))
        names.append(forms[key % len(forms)])
    name = " and ".join(n if n[1:2].isupper() else n[0].lower() + n[1:] for n in names)
    view = VIEWS[record.modality]
    text = FRAMES[key // 97 % len(FRAMES)].format(view=view, lower_view=view.lower(), name=name)
    definition = onto[record.labels[key // 9973 % len(record.labels)]].definition
    text = text[0].upper() + text[1:]
    return f"{text} {definition}".strip()


def _prepare(root: Path, record: Record) -> tuple[Record, np.ndarray, np.ndarray, np.ndarray | None] | str:
    """Fingerprint of a record's picture (and its pixels if it may be cut), or why it is rejected."""
    try:
        image = read_image(root, record.image, record.box)
    except PhenoLIPError as error:
        return str(error)
    return (record, *fingerprint(image), np.asarray(image) if record.compound else None)


def _cut(record: Record, pixels: np.ndarray) -> list[Record]:
    """One record a panel if picture and caption agree on the panels, else the whole figure."""
    boxes = panels.split_panels(pixels)
    chunks = panels.split_caption(record.caption)
    if len(boxes) < 2 or len(boxes) != len(chunks):
        return [record]
    height, width = pixels.shape[:2]
    return [
        replace(
            record,
            record_id=f"{record.record_id}#{letter}",
            caption=chunk,
            box=(x0 / width, y0 / height, x1 / width, y1 / height),
            labels=(),
            class_name="",
            compound=False,
        )
        for (x0, y0, x1, y1), (letter, chunk) in zip(boxes, sorted(chunks.items()), strict=True)
    ]


def build(
    records: Iterable[Record], root: Path, onto: Ontology, settings: Settings, threads: int = 2
) -> KnowledgeGraph:
    """Curate a source's records.

    Args:
        records: what the source yields.
        root: the source's folder, which record images are relative to.
        onto: the ontology the phenotypes are linked to.

    Returns:
        pairs and graph; every record that is left out has a row in ``quarantine`` with the reason.

    Raises:
        PhenoLIPError: nothing is left to train on.
    """
    quarantine: list[tuple[str, str, str]] = []
    steps: list[tuple[str, int, int]] = []

    def reject(record: Record, step: str, reason: str) -> None:
        quarantine.append((record.record_id, step, reason))

    unique: dict[str, Record] = {}
    n_records = 0
    for record in records:
        n_records += 1
        if record.record_id in unique:
            reject(record, "read", "record id occurs twice")
            continue
        unique[record.record_id] = record if settings.mask_banners else replace(record, box=WHOLE)

    kept: list[tuple[Record, np.ndarray, np.ndarray]] = []
    n_compound = n_cut = 0
    ordered = sorted(unique.values(), key=lambda r: r.record_id)
    with ThreadPoolExecutor(threads) as pool:
        for record, found in zip(ordered, pool.map(lambda r: _prepare(root, r), ordered), strict=True):
            if isinstance(found, str):
                reject(record, "read", found)
                continue
            _, bits, small, pixels = found
            parts = [record]
            if record.compound and settings.split_compound:
                n_compound += 1
                parts = _cut(record, pixels)
                n_cut += len(parts) > 1
            if len(parts) == 1:
                kept.append((record, bits, small))
                continue
            for part in parts:
                try:
                    kept.append((part, *fingerprint(read_image(root, part.image, part.box))))
                except PhenoLIPError as error:
                    reject(part, "panels", str(error))
    steps.append(("read images", n_records, len(ordered) - sum(q[1] == "read" for q in quarantine)))
    steps.append(("cut compound figures", steps[-1][2], len(kept)))
    log.info("read %d records, %d of %d compound figures cut", n_records, n_cut, n_compound)

    rows, fingerprints = [], []
    recognizer = Recognizer(onto)
    for record, bits, small in kept:
        templated = not record.caption.strip()
        if templated and not record.labels:
            reject(record, "caption", "neither caption nor label")
            continue
        caption = templated_caption(onto, record) if templated else " ".join(record.caption.split())
        labels = sorted({onto.resolve(hpo_id) for hpo_id in record.labels if hpo_id in onto})
        phenotypes = labels or asserted(recognizer(caption))
        rows.append(
            (record.record_id, record.dataset, record.image, *map(float, record.box), caption, templated,
             record.modality, record.group, "", phenotypes, bool(labels), record.class_name, record.licence, record.url)
        )  # fmt: skip
        fingerprints.append((bits, small))
    steps.append(("caption or label", len(kept), len(rows)))
    if not rows:
        raise PhenoLIPError(f"{root}: no usable record is left; see the quarantine reasons: {_reasons(quarantine)}")
    pairs = pd.DataFrame(rows, columns=list(PAIRS.columns))

    # Duplicates stay in one group even across articles, and only the first of them is kept.
    groups, copies = UnionFind(), UnionFind()
    hashes, thumbnails = (np.stack(column) for column in zip(*fingerprints, strict=True))
    for first, second in duplicate_pairs(hashes, thumbnails, settings.duplicate_distance):
        copies.union(first, second)
        groups.union(pairs["group"].iat[first], pairs["group"].iat[second])
    original = np.array([copies.find(i) for i in range(len(pairs))])
    extra = original != np.arange(len(pairs))
    pairs["group"] = pairs["group"].map(groups.find)
    for i in np.flatnonzero(extra):
        quarantine.append((pairs["pair_id"].iat[i], "duplicate", f"duplicate of {pairs['pair_id'].iat[original[i]]}"))
    pairs = pairs[~extra].reset_index(drop=True)
    steps.append(("remove duplicates", len(rows), len(pairs)))

    pairs["split"] = assign_splits(pairs["group"], pairs["dataset"], settings.splits, settings.seed)
    pairs = PAIRS.validate(pairs)
    nodes, edges = graph_tables(pairs, onto)
    return KnowledgeGraph(
        pairs,
        pd.DataFrame(sorted(quarantine), columns=["record_id", "step", "reason"]),
        pd.DataFrame(steps, columns=["step", "in", "out"]),
        nodes,
        edges,
    )


def _reasons(quarantine: list[tuple[str, str, str]]) -> str:
    counts = pd.Series([reason for _, _, reason in quarantine], dtype=str).value_counts().head(3)
    return ", ".join(f"{reason} ({n})" for reason, n in counts.items()) or "the source is empty"


def graph_tables(pairs: pd.DataFrame, onto: Ontology) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The multimodal graph around the pairs.

    Returns:
        nodes (id, category, name) and edges (subject, predicate, object), sorted: images show
        phenotypes, images belong to groups, phenotypes have their whole ``is_a`` ancestry.
    """
    phenotypes = sorted({hpo_id for found in pairs["phenotypes"] for hpo_id in found})
    closure = sorted(set().union(*(onto.ancestors(hpo_id) for hpo_id in phenotypes)) if phenotypes else set())
    nodes = (
        [(hpo_id, "phenotype", onto[hpo_id].name) for hpo_id in closure]
        + [(pair_id, "image", "") for pair_id in pairs["pair_id"]]
        + [(group, "group", "") for group in sorted(set(pairs["group"]))]
    )
    inside = set(closure)
    edges = [(child, "is_a", parent) for child in closure for parent in onto.parents.get(child, ()) if parent in inside]
    for row in pairs.itertuples(index=False):
        edges.append((row.pair_id, "part_of", row.group))
        edges += [(row.pair_id, "shows", hpo_id) for hpo_id in row.phenotypes]
    return (
        pd.DataFrame(nodes, columns=["id", "category", "name"]).sort_values(["category", "id"]).reset_index(drop=True),
        pd.DataFrame(sorted(edges), columns=["subject", "predicate", "object"]),
    )
