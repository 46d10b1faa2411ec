"""PhenoKG as WebDataset shards: ``<split>/%06d.tar`` with picture, caption and facts of each pair.

Format: https://github.com/webdataset/webdataset; files that share a key (the name up to the first dot)
are one sample. Keys are running numbers, as pair ids hold dots and slashes; the id is in the JSON.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from phenolip_lib.core.storage import atomic_folder, sha256_file, write_json
from phenolip_lib.data.splits import SPLITS
from phenolip_lib.graph.exports import encoded_image, redistributable

FACTS = ["pair_id", "dataset", "modality", "group", "phenotypes", "asserted", "templated", "licence", "url"]


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)  # time, user and group stay 0: equal pairs give equal bytes
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def write(
    pairs: pd.DataFrame, root: Path, folder: Path, per_shard: int = 1000, allowed: Callable[[str], bool] | None = None
) -> pd.DataFrame:
    """Write the shards, and ``index.json`` with the samples and sha256 of each.

    Args:
        root: the source's folder, which images are relative to.
        per_shard: samples of a shard (the last one of a split may be smaller).
        allowed: which licences may be redistributed; None takes every pair.

    Returns:
        the index (shard, samples, sha256).

    Raises:
        PhenoLIPError: no pair may be redistributed, or a picture cannot be read.
    """
    pairs = redistributable(pairs, allowed)
    index = []
    with atomic_folder(folder) as temporary:
        for split in SPLITS:
            own = pairs[pairs["split"] == split]
            for number, start in enumerate(range(0, len(own), per_shard)):
                part = own.iloc[start : start + per_shard]
                name = f"{split}/{number:06d}.tar"
                (temporary / split).mkdir(exist_ok=True)
                with tarfile.open(temporary / name, "w", format=tarfile.USTAR_FORMAT) as archive:
                    for key, row in enumerate(part.itertuples(index=False), start):
                        picture, suffix = encoded_image(root, row)
                        facts = {fact: getattr(row, fact) for fact in FACTS}
                        facts["phenotypes"] = list(row.phenotypes)
                        _add(archive, f"{key:09d}{suffix}", picture)
                        _add(archive, f"{key:09d}.json", json.dumps(facts, sort_keys=True).encode())
                        _add(archive, f"{key:09d}.txt", row.caption.encode())
                index.append({"shard": name, "samples": len(part), "sha256": sha256_file(temporary / name)})
        write_json(temporary / "index.json", index)
    return pd.DataFrame(index)
