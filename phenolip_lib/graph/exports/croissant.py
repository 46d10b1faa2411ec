"""Croissant 1.1 metadata (JSON-LD) of an exported dataset folder: ``croissant.json``.

Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. The context is written
out, so reading it needs no network. Each split is a file set and a record set, each Parquet file a file
object with its checksum.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import sha256_file, write_json
from phenolip_lib.graph.exports.huggingface import FLAGS, LICENCES, TEXTS

PARQUET = "application/x-parquet"
OWN_TERMS = (
    "arrayShape",
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "extract",
    "field",
    "fileProperty",
    "fileObject",
    "fileSet",
    "format",
    "includes",
    "isArray",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
)
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in OWN_TERMS},
}
DESCRIPTIONS = {
    "image": "the picture",
    "pair_id": "id of the pair",
    "dataset": "data set the pair comes from",
    "caption": "text about the picture",
    "modality": "kind of picture",
    "group": "patient, case or article; groups do not cross splits",
    "licence": "licence of the picture and its text",
    "url": "where the pair comes from",
    "phenotypes": "ids of Human Phenotype Ontology terms the picture shows",
    "templated": "whether the caption was written from HPO text",
    "asserted": "whether the phenotypes are the data set's own labels",
}


def _field(split: str, name: str) -> dict:
    kind = "sc:ImageObject" if name == "image" else "sc:Boolean" if name in FLAGS else "sc:Text"
    source = {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": name}}
    if name == "image":
        source["transform"] = {"jsonPath": "bytes"}
    field = {
        "@type": "cr:Field",
        "@id": f"{split}/{name}",
        "name": name,
        "description": DESCRIPTIONS[name],
        "dataType": kind,
        "source": source,
    }
    return field | ({"isArray": True, "arrayShape": "-1"} if name == "phenotypes" else {})


def write(
    folder: Path, title: str = "PhenoKG", url: str = "", version: str = "1.0.0", cite_as: str = "", published: str = ""
) -> dict:
    """Describe what `huggingface.write` put into `folder`; returns what ``croissant.json`` holds.

    Args:
        url: where the folder is published.
        cite_as: how to cite it, as BibTeX or text.
        published: ISO date of publication. Croissant recommends all three; what is empty is left out.

    Raises:
        PhenoLIPError: the folder holds no Parquet file.
    """
    files = sorted((Path(folder) / "data").glob("*.parquet"))
    if not files:
        raise PhenoLIPError(f"{folder}: no data/*.parquet to describe; export the dataset folder first")
    licences = sorted({v for file in files for v in pq.read_table(file, columns=["licence"])["licence"].to_pylist()})
    splits = list(dict.fromkeys(file.name.split("-")[0] for file in files))
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": file.name,
            "name": file.name,
            "contentUrl": f"data/{file.name}",
            "contentSize": f"{file.stat().st_size} B",
            "encodingFormat": PARQUET,
            "sha256": sha256_file(file),
        }
        for file in files
    ]
    sets = [
        {
            "@type": "cr:FileSet",
            "@id": f"{split}-files",
            "name": f"{split}-files",
            "encodingFormat": PARQUET,
            "includes": f"data/{split}-*.parquet",
        }
        for split in splits
    ]
    records = [
        {
            "@type": "cr:RecordSet",
            "@id": split,
            "name": split,
            "key": {"@id": f"{split}/pair_id"},
            "field": [_field(split, name) for name in ("image", *TEXTS, "phenotypes", *FLAGS)],
        }
        for split in splits
    ]
    value = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": title,
        "description": "Medical images with captions, linked to phenotypes of the Human Phenotype Ontology.",
        "version": version,
        "license": [f"https://spdx.org/licenses/{name}.html" if name in LICENCES else name for name in licences],
        **{key: own for key, own in (("url", url), ("citeAs", cite_as), ("datePublished", published)) if own},
        "isLiveDataset": False,
        "distribution": objects + sets,
        "recordSet": records,
    }
    write_json(Path(folder) / "croissant.json", value)
    return value
