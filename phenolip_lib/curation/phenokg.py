"""PhenoKG: from a source's records to a curated, linked, split table of image-text pairs and a graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.parallel import Pool
from phenolip_lib.core.sections import PhenoKG as Settings
from phenolip_lib.core.storage import write_parquet
from phenolip_lib.curation import clusters, links
from phenolip_lib.curation import steps as curation
from phenolip_lib.data.records import MODALITIES, Record, Reject
from phenolip_lib.data.splits import SPLITS, assign_splits
from phenolip_lib.graph.graph import Graph, build_graph
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.recognizer import Recognizer

Text, Flag, Share = pa.Column(str), pa.Column(bool), pa.Column(float, pa.Check.in_range(0, 1))
PAIRS = pa.DataFrameSchema(
    {
        "pair_id": pa.Column(str, unique=True),
        **dict.fromkeys(("record_id", "dataset", "image"), Text),
        **dict.fromkeys(("left", "top", "right", "bottom"), Share),
        "caption": pa.Column(str, pa.Check.str_length(min_value=1)),
        "templated": Flag,
        "modality": pa.Column(str, pa.Check.isin(MODALITIES)),
        **dict.fromkeys(("group", "article", "patient"), Text),
        "split": pa.Column(str, pa.Check.isin(SPLITS)),
        "phenotypes": pa.Column(object),
        "asserted": Flag,
        **dict.fromkeys(("class_name", "licence", "url"), Text),
    },
    strict=True,
    ordered=True,
)
"""Schema of ``pairs.parquet``: one image (or panel) and one caption a row. `asserted` tells whether
`phenotypes` are the data set's own labels (True) or were recognised in its text (False)."""
MENTIONS = pa.DataFrameSchema(
    {
        "pair_id": Text,
        "field": pa.Column(str, pa.Check.isin(["caption", "context"])),
        "start": pa.Column(int, pa.Check.ge(0)),
        "end": pa.Column(int, pa.Check.gt(0)),
        "hpo_id": pa.Column(str, pa.Check.str_matches(r"^HP:\d{7}$")),
        "surface": Text,
        **dict.fromkeys(("negated", "uncertain", "family"), Flag),
    },
    strict=True,
    ordered=True,
    coerce=True,
)
"""Schema of ``mentions.parquet``: one recognised phenotype a row, with its offsets in the field's text."""


@dataclass
class KnowledgeGraph:
    """What notebook 02 writes."""

    pairs: pd.DataFrame
    mentions: pd.DataFrame
    quarantine: pd.DataFrame
    steps: pd.DataFrame
    graph: Graph
    clusters: pd.DataFrame | None = None
    """Which cluster each picture is in, if params ask for clusters; see `clusters.drop_clusters`."""

    def save(self, folder: Path) -> None:
        for name in ("pairs", "mentions", "quarantine", "steps"):
            write_parquet(folder / f"{name}.parquet", getattr(self, name))
        if self.clusters is not None:
            write_parquet(folder / "clusters.parquet", self.clusters)
        self.graph.save(folder / "graph")


def build(
    records: Iterable[Record | Reject],
    root: Path,
    onto: Ontology,
    settings: Settings,
    cache: Path | None = None,
    device: str = "cpu",
) -> KnowledgeGraph:
    """Curate a source's records.

    Args:
        records: what the source yields.
        root: the source's folder, which record images are relative to.
        onto: the ontology the phenotypes are linked to.
        cache: folder for finished batches, from which a killed run goes on.
        device: ``runtime.device``, for image features if params ask for clusters.

    Returns:
        pairs and graph; whatever is left out has a row in ``quarantine`` with the reason.

    Raises:
        PhenoLIPError: nothing is left to train on; or clusters are to be dropped that are not there.
    """
    ledger = curation.Ledger()
    pool = Pool(settings.engine, settings.workers, settings.batch_size, cache)
    recognizer = Recognizer(onto)
    admitted = curation.admit(records, settings, ledger)
    found = curation.examine_pictures(admitted, root, settings, pool, ledger)
    found = curation.add_features(found, root, settings, cache and cache / "features", device)
    clustering = None
    if settings.clusters is not None and found:
        found, clustering = clusters.drop_clusters(found, settings, ledger)
    found = curation.remove_duplicates(found, settings, ledger)
    found = curation.resolve_labels(found, onto, ledger)
    found = curation.write_captions(found, onto, settings, recognizer, cache and cache / "refine", ledger)
    if not found:
        raise PhenoLIPError(f"{root}: no usable record is left; the reasons are: {_reasons(ledger)}")
    phenotypes, mentions = links.link(found, onto, settings, recognizer, pool, ledger)
    pairs = _pairs(found, phenotypes)
    balance = pairs["phenotypes"] if settings.balance_phenotypes else None
    pairs["split"] = assign_splits(pairs["group"], pairs["dataset"], settings.splits, settings.seed, balance)
    pairs, mentions = PAIRS.validate(pairs), MENTIONS.validate(mentions)
    return KnowledgeGraph(
        pairs,
        mentions,
        ledger.quarantine(),
        pd.DataFrame(ledger.steps, columns=["step", "in", "out"]),
        build_graph(pairs, mentions, onto),
        clustering,
    )


def _pairs(found: list[curation.Picture], phenotypes: list[list[str]]) -> pd.DataFrame:
    """One row a picture; what is named in both comes from the record as it is."""
    own = [column for column in PAIRS.columns if hasattr(Record, column)]
    rows = [
        {column: getattr(picture.record, column) for column in own}
        | dict(zip(("left", "top", "right", "bottom"), map(float, picture.record.box), strict=True))
        | {"pair_id": picture.record.record_id, "record_id": picture.origin, "templated": picture.templated}
        | {"group": picture.group, "split": "", "phenotypes": terms, "asserted": bool(picture.record.labels)}
        for picture, terms in zip(found, phenotypes, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(PAIRS.columns))


def _reasons(ledger: curation.Ledger) -> str:
    counts = pd.Series([reject.reason for reject in ledger.rejects], dtype=str).value_counts().head(3)
    return ", ".join(f"{reason} ({n})" for reason, n in counts.items()) or "the source is empty"
