"""MedICaT: figures of medical articles with captions and the sentences that refer to them (Subramanian et al. 2020).

Layout (https://github.com/allenai/medicat)::

    medicat/release/s2_full_figures_oa_nonroco_combined_medical_top4_public.jsonl    one figure a line
    medicat/release/figures/<pdf_hash>_<fig_uri>

Each line tells the licence of its article (`oa_info`), or that none is known. Figures that ROCO has are not among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from phenolip_lib.data.licences import spdx
from phenolip_lib.data.panel_captions import split_caption
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources.files import place

NAME = "medicat"
FILE = "release/s2_full_figures_oa_nonroco_combined_medical_top4_public.jsonl"


def records(root: Path) -> Iterator[Record | Reject]:
    """One record a figure, in the order of the file; figures of one article are one group.

    The sentences of the article that refer to a figure are its context. A figure counts as compound if its caption
    marks panels, for the release tells panels of 2,069 figures only.

    Raises:
        PhenoLIPError: the layout is not there.
    """
    path = place(root, NAME, f"a copy of MedICaT with {FILE}") / FILE
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield _record(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError):
                    yield Reject(f"{NAME}/{path.name}:{number}", "source", "no figure with pdf_hash, fig_uri and texts")


def _record(item: dict) -> Record:
    about = item.get("oa_info") or {}
    caption = " ".join((item.get("s2_caption") or item.get("s2orc_caption") or "").split())
    return Record(
        record_id=f"{NAME}/{item['pdf_hash']}_{item['fig_uri']}",
        dataset=NAME,
        image=f"{NAME}/release/figures/{item['pdf_hash']}_{item['fig_uri']}",
        modality="radiology" if item.get("radiology") else "other",
        group=f"{NAME}/{item['pdf_hash']}",
        licence=spdx((about.get("oa") or {}).get("license")),
        url=about.get("doi_url") or "",
        caption=caption,
        context="\n".join(" ".join(text.split()) for text in item.get("s2orc_references") or ()),
        compound=bool(split_caption(caption)),
        article=about.get("doi") or "",
        figure=item.get("fig_key") or "",
    )
