"""MedICaT in the layout of its public sample."""

import json

import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import Record
from phenolip_lib.data.sources import medicat

FIGURE = {
    "pdf_hash": "26491ab7",
    "fig_key": "Figure4",
    "fig_uri": "3-Figure4-1.png",
    "s2_caption": "Figure 4. A lesion  with irregular borders.",
    "s2orc_caption": None,
    "s2orc_references": ["A lesion was shown (Figure 4) ."],
    "radiology": True,
    "oa_info": {
        "doi": "10.1000/1",
        "doi_url": "https://doi.org/10.1000/1",
        "oa": {"is_oa": True, "license": "cc-by-nc-nd"},
    },
}


def test_figures_keep_article_licence_and_context(tmp_path):
    path = tmp_path / "medicat" / medicat.FILE
    path.parent.mkdir(parents=True)
    panels = {"fig_uri": "5-Figure5-1.png", "s2_caption": "(A) Barium enema and (B) endoscopy.", "radiology": False}
    bare = {"oa_info": None, "s2orc_references": None, "s2_caption": "", "s2orc_caption": "A chest film."}
    lines = [FIGURE, FIGURE | panels, FIGURE | bare, {"pdf_hash": "x"}, [], {**FIGURE, "s2_caption": 3}]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n{broken\n\n", encoding="utf-8")
    found = list(medicat.records(tmp_path))
    first, second, third = (one for one in found if isinstance(one, Record))
    assert first.image == "medicat/release/figures/26491ab7_3-Figure4-1.png"
    assert (first.modality, first.group, first.article) == ("radiology", "medicat/26491ab7", "10.1000/1")
    assert (first.licence, first.figure) == ("CC-BY-NC-ND", "Figure4")
    assert first.caption == "Figure 4. A lesion with irregular borders."
    assert first.context == "A lesion was shown (Figure 4) ."
    assert (second.compound, second.modality, first.compound) == (True, "other", False)
    assert (third.licence, third.caption, third.context) == ("NOASSERTION", "A chest film.", "")
    assert [one.record_id.rpartition(":")[2] for one in found[3:]] == ["4", "5", "6", "7"]


def test_an_absent_folder_is_said(tmp_path):
    with pytest.raises(PhenoLIPError, match="medicat is missing; put a copy of MedICaT"):
        list(medicat.records(tmp_path))
