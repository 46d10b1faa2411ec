"""The test split in the file format of PhenoBench: ``testdata.csv`` and its pictures.

Columns: image_path (relative to the file), caption, full_matches (a Python list literal; the first item
of each match is the phenotype's name, the second its HPO id).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import atomic_folder
from phenolip_lib.graph.exports import encoded_image
from phenolip_lib.ontology.ontology import Ontology


def write(pairs: pd.DataFrame, root: Path, onto: Ontology, folder: Path) -> pd.DataFrame:
    """Write the test pairs that show a phenotype; returns the table of ``testdata.csv``.

    Raises:
        PhenoLIPError: the test split shows no phenotype, or a picture cannot be read.
    """
    test = pairs[(pairs["split"] == "test") & (pairs["phenotypes"].map(len) > 0)].sort_values("pair_id")
    if test.empty:
        raise PhenoLIPError("no test pair shows a phenotype; there is nothing to write for PhenoBench")
    rows = []
    with atomic_folder(folder) as temporary:
        (temporary / "images").mkdir()
        for number, row in enumerate(test.itertuples(index=False)):
            picture, suffix = encoded_image(root, row)
            name = f"images/{number:06d}{suffix}"
            (temporary / name).write_bytes(picture)
            rows.append((name, row.caption, repr([(onto[hpo_id].name, hpo_id) for hpo_id in row.phenotypes])))
        table = pd.DataFrame(rows, columns=["image_path", "caption", "full_matches"])
        table.to_csv(temporary / "testdata.csv", index=False, lineterminator="\n")
    return table
