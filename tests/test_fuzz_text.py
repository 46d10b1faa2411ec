"""Damaged ontologies, annotations and articles: a result, rows of the quarantine, or an error of one line."""

import pytest

from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources import pmc_oa
from phenolip_lib.ontology import hpo
from phenolip_lib.ontology.annotations import read_annotations
from tests.conftest import DATA
from tests.fuzzing import LONG, SHORT, Format, check
from tests.test_sources_articles import FILES, article

OBO = (DATA / "toy.obo").read_bytes()
HPOA = (DATA / "toy.hpoa").read_bytes()


def _obo(content, folder):
    (folder / "hp.obo").write_bytes(content)
    return hpo.parse_release(folder / "hp.obo")


def _hpoa(content, folder):
    (folder / "phenotype.hpoa").write_bytes(content)
    return read_annotations(folder / "phenotype.hpoa", {"HP:0009999": "HP:0001640"}, {"HP:0001640", "HP:0001744"})


def _article(content, folder):
    place = folder / "pmc-oa" / "PMC123"
    if not place.is_dir():
        place.mkdir(parents=True)
        for name, picture in FILES.items():
            (place / name).write_bytes(picture)
    (place / "a.nxml").write_bytes(content)
    found = list(pmc_oa.records(folder))
    assert found, "neither a record nor a reject"
    assert all(isinstance(item, Record) or (isinstance(item, Reject) and item.reason) for item in found)
    return found


OBO_WORDS = (
    b"[Term]",
    b"[Typedef]",
    b"id: ",
    b"name: ",
    b"is_a: ",
    b"alt_id: ",
    b"replaced_by: ",
    b"def: ",
    b"synonym: ",
)
OBO_WORDS += (b"xref: ", b"is_obsolete: true", b"HP:0000118", b"HP:0001640", b"EXACT", b"date: ", b"! x", b"comment: ")
JATS_WORDS = (b"<fig", b"</fig>", b"<caption>", b"</caption>", b"<p>", b"</p>", b"<graphic", b"xlink:href=", b"article")
JATS_WORDS += (
    b"<xref",
    b"rid=",
    b"id=",
    b"<sub-article>",
    b"&nbsp;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"<!DOCTYPE",
    b"[<!",
)
FORMATS = [
    Format("obo", (OBO,), _obo, OBO_WORDS),
    Format("hpoa", (HPOA,), _hpoa, (b"database_id", b"hpo_id", b"HP:0001640", b"#", b"NOT", b"\tP\t")),
    Format("jats", (article(),), _article, JATS_WORDS),
]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("numbers", [range(SHORT), pytest.param(range(LONG), marks=pytest.mark.long)], ids=len)
def test_damage_is_met_in_an_allowed_way(tmp_path, form, numbers):
    outcomes = check(form, tmp_path, numbers)
    assert min(outcomes["result"], outcomes["refused"]) >= (form.name != "jats") * len(numbers) // 20
