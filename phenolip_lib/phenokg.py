"""PhenoKG: from a source's records to a curated, linked, split table of image-text pairs and a graph.

Order of the steps: read every image (unreadable ones go to quarantine), cut compound figures into
panels, remove duplicates, write captions for label-only records, link phenotypes, split by group.
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
from phenolip_lib.dedup import UnionFind, fingerprint, similar_pairs
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
    "other": "Medical image",
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


@dataclass
class _Picture:
    """A record whose picture could be read, with the fingerprint duplicates are found by."""

    record: Record
    bits: np.ndarray
    small: np.ndarray
    group: str


class _Build:
    """The state of one curation run: what is kept so far, what is set aside and why."""

    def __init__(self, root: Path, settings: Settings, threads: int) -> None:
        self.root, self.settings, self.threads = root, settings, threads
        self.quarantine: list[tuple[str, str, str]] = []
        self.steps: list[tuple[str, int, int]] = []

    def reject(self, record_id: str, step: str, reason: str) -> None:
        self.quarantine.append((record_id, step, reason))

    def _load(self, record: Record) -> tuple[_Picture, np.ndarray | None] | str:
        """A record's picture (and its pixels if it may be cut), or why it is rejected."""
        try:
            image = read_image(self.root, record.image, record.box)
        except PhenoLIPError as error:
            return str(error)
        return _Picture(record, *fingerprint(image), record.group), np.asarray(image) if record.compound else None

    def read(self, records: Iterable[Record]) -> list[_Picture]:
        """Decode every picture once; cut compound figures into their panels."""
        unique: dict[str, Record] = {}
        n_records = n_compound = n_cut = 0
        for record in records:
            n_records += 1
            if record.record_id in unique:
                self.reject(record.record_id, "read", "record id occurs twice")
                continue
            unique[record.record_id] = record if self.settings.mask_banners else replace(record, box=WHOLE)
        ordered = sorted(unique.values(), key=lambda r: r.record_id)
        kept: list[_Picture] = []
        n_read = 0
        with ThreadPoolExecutor(self.threads) as pool:
            for record, found in zip(ordered, pool.map(self._load, ordered), strict=True):
                if isinstance(found, str):
                    self.reject(record.record_id, "read", found)
                    continue
                n_read += 1
                picture, pixels = found
                parts = _cut(record, pixels) if pixels is not None and self.settings.split_compound else [record]
                n_compound += record.compound
                n_cut += len(parts) > 1
                if len(parts) == 1:
                    kept.append(picture)
                    continue
                for part in parts:
                    panel = self._load(part)
                    if isinstance(panel, str):
                        self.reject(part.record_id, "panels", panel)
                    else:
                        kept.append(panel[0])
        self.steps += [("read images", n_records, n_read), ("cut compound figures", n_read, len(kept))]
        log.info("read %d of %d records, %d of %d compound figures cut", n_read, n_records, n_cut, n_compound)
        return kept

    def remove_duplicates(self, pictures: list[_Picture]) -> list[_Picture]:
        """Keep the first of each set of copies, with the labels asserted for any of them.

        Copies and look-alikes (up to half as far again: neighbouring slices, the same eye) share a
        group from here on, whatever article they came from.
        """
        if not pictures:
            return pictures
        groups, copies = UnionFind(), UnionFind()
        hashes, thumbnails = np.stack([p.bits for p in pictures]), np.stack([p.small for p in pictures])
        limit = self.settings.duplicate_distance
        for first, second, distance in similar_pairs(hashes, thumbnails, 3 * limit // 2):
            groups.union(pictures[first].group, pictures[second].group)
            if distance <= limit:
                copies.union(first, second)
        labels: dict[int, set[str]] = {}
        for i, picture in enumerate(pictures):
            labels.setdefault(copies.find(i), set()).update(picture.record.labels)
        kept = []
        for i, picture in enumerate(pictures):
            original = copies.find(i)
            if original != i:
                name = pictures[original].record.record_id
                self.reject(picture.record.record_id, "duplicate", f"duplicate of {name}")
                continue
            record = replace(picture.record, labels=tuple(sorted(labels[i])))
            kept.append(replace(picture, record=record, group=groups.find(picture.group)))
        self.steps.append(("remove duplicates", len(pictures), len(kept)))
        return kept

    def pairs(self, pictures: list[_Picture], onto: Ontology) -> pd.DataFrame:
        """Caption and phenotypes of each picture; one without caption and label is set aside."""
        recognizer = Recognizer(onto)
        rows = []
        for picture in pictures:
            record = picture.record
            unknown = [hpo_id for hpo_id in record.labels if hpo_id not in onto]
            for hpo_id in unknown:
                self.reject(record.record_id, "label", f"{hpo_id} is not in HPO {onto.release}")
            labels = sorted({onto.resolve(hpo_id) for hpo_id in record.labels if hpo_id in onto})
            templated = not record.caption.strip()
            if templated and not labels:
                self.reject(record.record_id, "caption", "neither caption nor label")
                continue
            caption = " ".join(record.caption.split())
            text = f"{caption}\n{record.context}" if self.settings.link == "caption+context" else caption
            if templated:
                caption = templated_caption(onto, replace(record, labels=tuple(labels)))
            phenotypes = labels or asserted(recognizer(text))
            rows.append(
                (record.record_id, record.dataset, record.image, *map(float, record.box), caption, templated,
                 record.modality, picture.group, "", phenotypes, bool(labels), record.class_name, record.licence,
                 record.url)
            )  # fmt: skip
        self.steps.append(("caption or label", len(pictures), len(rows)))
        return pd.DataFrame(rows, columns=list(PAIRS.columns))


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
    run = _Build(root, settings, threads)
    pairs = run.pairs(run.remove_duplicates(run.read(records)), onto)
    if pairs.empty:
        raise PhenoLIPError(f"{root}: no usable record is left; the reasons are: {_reasons(run.quarantine)}")
    pairs["split"] = assign_splits(pairs["group"], pairs["dataset"], settings.splits, settings.seed)
    pairs = PAIRS.validate(pairs)
    nodes, edges = graph_tables(pairs, onto)
    return KnowledgeGraph(
        pairs,
        pd.DataFrame(sorted(run.quarantine), columns=["record_id", "step", "reason"]),
        pd.DataFrame(run.steps, columns=["step", "in", "out"]),
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
