"""PhenoKG as a Hugging Face dataset folder: ``data/<split>-*.parquet`` and ``README.md``.

Layout and card header: https://huggingface.co/docs/hub/datasets-cards; pictures are structs of bytes and
path, which the library `datasets` decodes as images because the Parquet metadata declares the features.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from phenolip_lib.core.storage import atomic_folder
from phenolip_lib.data.splits import SPLITS
from phenolip_lib.graph.exports import encoded_image, redistributable

SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
TEXTS = ("pair_id", "dataset", "caption", "modality", "group", "licence", "url")
FLAGS = ("templated", "asserted")
BATCH = 100
"""Pairs of a Parquet row group: pictures make rows large, and a reader holds one group."""

FEATURES = {
    "image": {"_type": "Image"},
    **{name: {"dtype": "string", "_type": "Value"} for name in TEXTS},
    "phenotypes": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    **{name: {"dtype": "bool", "_type": "Value"} for name in FLAGS},
}
SCHEMA = pa.schema(
    [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *(pa.field(name, pa.string()) for name in TEXTS),
        pa.field("phenotypes", pa.list_(pa.string())),
        *(pa.field(name, pa.bool_()) for name in FLAGS),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LICENCES = {
    "CC0-1.0": "cc0-1.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
}
"""The hub's names of licences; any other is ``other``."""


def _batches(own: pd.DataFrame, root: Path):
    for start in range(0, len(own), BATCH):
        part = own.iloc[start : start + BATCH]
        pictures = []
        for row in part.itertuples(index=False):
            content, suffix = encoded_image(root, row)
            pictures.append({"bytes": content, "path": row.pair_id.replace("/", "_") + suffix})
        columns = [
            pictures,
            *(part[name].tolist() for name in TEXTS),
            part["phenotypes"].map(list).tolist(),
            *(part[name].tolist() for name in FLAGS),
        ]
        yield pa.table([pa.array(c, type=f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


MADE = """\
## How it was made

Pictures of the data sets above, read in their upstream layout. Figures that are charts, unreadable or near copies of
others were set aside, compound figures cut into panels with their part of the caption. Links are the data set's own
labels, mapped to HPO; where it has none, HPO terms that a dictionary found in the text, affirmed there and visible in a
picture of that modality. Nobody looked at the links one by one. `url` leads to each record's origin; credit is due to
its authors."""

LIMITS = """\
## Limits

- A finding the text does not mention is not linked: a missing link says nothing.
- Recognised links hold the recogniser's errors, and text may tell of more than its picture shows.
- Class labels mapped to a broader HPO term say less than the class; captions made of labels say nothing else.
- Groups keep a patient, case or article in one split as far as its source names them.
- Nobody measured how places, devices, ages and skin tones are represented.

Not for clinical use. Each picture keeps the licence of its row."""


def card(pairs: pd.DataFrame, title: str, sizes: dict[str, dict[str, int]]) -> str:
    """The dataset card: YAML header and a description with the sources and their licences.

    Args:
        sizes: by split of the hub, `num_examples` and `num_bytes`.
    """
    licences = sorted({LICENCES.get(licence, "other") for licence in pairs["licence"]})
    header = {
        "pretty_name": title,
        "language": ["en"],
        "license": licences[0] if len(licences) == 1 else licences,
        "task_categories": ["zero-shot-image-classification", "image-to-text", "feature-extraction"],
        "size_categories": [next((name for limit, name in SIZES if len(pairs) < limit), "n>1M")],
        "tags": ["medical", "phenotype", "human-phenotype-ontology"],
        "dataset_info": {"splits": [{"name": name, **size} for name, size in sizes.items()]},
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"data/{name}-*.parquet"} for name in sizes],
            }
        ],
    }
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(header, stream)
    sources = pairs.groupby(["dataset", "licence"], sort=True)
    rows = "\n".join(
        f"| {name} | {licence} | {len(own)} | {own['asserted'].mean():.0%} | {own['templated'].mean():.0%} |"
        for (name, licence), own in sources
    )
    shown = pairs["phenotypes"].explode().nunique()
    return (
        f"---\n{stream.getvalue()}---\n\n# {title}\n\n"
        f"{len(pairs)} image-text pairs linked to {shown} phenotypes of the Human Phenotype Ontology. "
        "`phenotypes` holds HPO ids; `asserted` tells whether they are the data set's own labels or were recognised "
        "in the caption; `templated` marks captions written from HPO text. Pairs of one `group` (patient, case or "
        "article) are in one split.\n\n"
        "| data set | licence | pairs | links asserted | captions templated |\n| --- | --- | --- | --- | --- |\n"
        f"{rows}\n\n{MADE}\n\n{LIMITS}\n"
    )


def write(
    pairs: pd.DataFrame,
    root: Path,
    folder: Path,
    title: str = "PhenoKG",
    per_file: int = 5000,
    allowed: Callable[[str], bool] | None = None,
) -> None:
    """Write the folder; see `shards.write` for `root`, `allowed` and what is raised."""
    pairs = redistributable(pairs, allowed)
    sizes = {}
    with atomic_folder(folder) as temporary:
        (temporary / "data").mkdir()
        for split in SPLITS:
            own, name = pairs[pairs["split"] == split], SPLIT_NAMES[split]
            if own.empty:
                continue
            n_files, n_bytes = -(-len(own) // per_file), 0
            for number in range(n_files):
                path = temporary / "data" / f"{name}-{number:05d}-of-{n_files:05d}.parquet"
                with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
                    for table in _batches(own.iloc[number * per_file : (number + 1) * per_file], root):
                        n_bytes += table.nbytes
                        writer.write_table(table)
            sizes[name] = {"num_bytes": n_bytes, "num_examples": len(own)}
        (temporary / "README.md").write_text(card(pairs, title, sizes), encoding="utf-8")
