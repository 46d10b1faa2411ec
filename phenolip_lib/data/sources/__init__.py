"""Sources of images and texts. Adding a data set is one module and one line in `DATASETS`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.names import check_source
from phenolip_lib.core.params import Params
from phenolip_lib.data.records import Record, Reject, storable
from phenolip_lib.data.sources import (
    chula,
    covid,
    folder,
    ham10000,
    idrid,
    medicat,
    medmnist,
    medpix,
    phantom,
    phenobench,
    pmc_oa,
    roco,
    webdataset,
)

DATASETS: dict[str, Callable[..., Iterator[Record | Reject]]] = {
    "medpix-2.0": medpix.records,
    "ham10000": ham10000.records,
    "idrid": idrid.records,
    "chula-rbc-12": chula.records,
    "covid-chestxray": covid.records,
    "roco": roco.records,
    "medicat": medicat.records,
    "medmnist": medmnist.records,
    "pmc-oa": pmc_oa.records,
    "phenobench": phenobench.records,
    "webdataset": webdataset.records,
    "folder": folder.records,
}


def open_records(root: Path, datasets: Sequence[str], language: str = "en") -> Iterator[Record | Reject]:
    """Records of the named data sets, in the given order, and what of them cannot be one.

    `language` is that of captions, where a source has several.

    Raises:
        PhenoLIPError: no such folder, or a name that is not in `DATASETS`.
    """
    if not Path(root).is_dir():
        raise PhenoLIPError(
            f"{root} is missing; link your data there (`make repro SOURCE=open DATA=folder`) or `phenolip download`"
        )
    for name in datasets:
        if name not in DATASETS:
            near = difflib.get_close_matches(name, DATASETS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(DATASETS)}"
            raise PhenoLIPError(f"open.datasets: no data set {name!r}; {hint}")
    for name in datasets:
        options = {"language": language} if name == pmc_oa.NAME else {}
        for item in DATASETS[name](Path(root), **options):
            if isinstance(item, Record) and item.image != storable(item.image):
                yield Reject(item.record_id, "source", "the image's path cannot be written as UTF-8")
            else:
                yield item


def source_records(source: str, root: Path, params: Params) -> Iterator[Record | Reject]:
    """Records of a source of the pipeline, ``phantom`` or ``open``."""
    check_source(source)
    if source == "phantom":
        return phantom.records(root)
    return open_records(root, params.open.datasets, params.open.caption_language)
