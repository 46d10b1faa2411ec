"""Similarity measures against slow, obvious code, pyhpo and hpo-toolkit."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.ontology import oracles, similarity
from phenolip_lib.ontology.obographs import write_obographs
from phenolip_lib.ontology.ontology import ROOT, Ontology

MEASURES = [similarity.resnik, similarity.lin, similarity.jiang_conrath]


def part(onto: Ontology, top: str) -> Ontology:
    """The terms below `top` and their ancestors, with the annotations among them."""
    kept = set().union(*(onto.ancestors(hpo_id) for hpo_id in onto.descendants(top)))
    tables = dict(onto.tables)
    for name, column in (("terms", "hpo_id"), ("edges", "child"), ("replaced", "hpo_id"), ("annotations", "hpo_id")):
        tables[name] = tables[name][tables[name][column].isin(kept)].reset_index(drop=True)
    return Ontology(tables, onto.release)


@pytest.fixture(scope="module")
def heart(full) -> Ontology:
    """About a thousand terms around Abnormality of the cardiovascular system."""
    return part(full, "HP:0001626")


@pytest.fixture(scope="module")
def sample(heart) -> list[str]:
    return [str(i) for i in np.random.default_rng(0).choice(heart.ids, size=40, replace=False)]


def mica(onto, ic, a, b):
    return max(ic[onto.index[i]] for i in onto.ancestors(a) & onto.ancestors(b))


def slow(name, onto, ic, a, b):
    """The definition of each measure, for one pair."""
    ic_a, ic_b, best = ic[onto.index[a]], ic[onto.index[b]], mica(onto, ic, a, b)
    if name == "lin":
        return 2 * best / (ic_a + ic_b) if ic_a + ic_b > 0 else 0.0
    return {"resnik": best, "jiang_conrath": 1 / (1 + ic_a + ic_b - 2 * best)}[name]


def slow_best_match(onto, ic, a, b):
    if not a or not b:
        return 0.0
    there = sum(max(slow("lin", onto, ic, x, y) for y in b) for x in a) / len(a)
    back = sum(max(slow("lin", onto, ic, x, y) for x in a) for y in b) / len(b)
    return (there + back) / 2


def slow_sim_gic(onto, ic, a, b):
    above_a, above_b = (set().union(*(onto.ancestors(i) for i in ids)) for ids in (a, b))
    common, union = (sum(ic[onto.index[i]] for i in ids) for ids in (above_a & above_b, above_a | above_b))
    return common / union if union else 0.0


# --- information content ------------------------------------------------------------------------


def test_disease_information_content_of_one_database_by_counting(heart):
    for database in ("OMIM", "ORPHA"):
        table = heart.tables["annotations"]
        table = table[table["disease_id"].str.startswith(database + ":")]
        above = {}
        for disease, hpo_id in zip(table["disease_id"], table["hpo_id"], strict=True):
            above.setdefault(disease, set()).update(heart.ancestors(hpo_id))
        ic = heart.disease_information_content(database)
        for hpo_id in heart.ids[::25]:
            count = sum(hpo_id in found for found in above.values())
            assert ic[heart.index[hpo_id]] == pytest.approx(-math.log(max(count, 1) / len(above)))


def test_databases_differ_and_all_is_the_default(heart):
    default = heart.disease_information_content()
    np.testing.assert_array_equal(default, heart.information_content)
    assert not np.allclose(default, heart.disease_information_content("OMIM"))


def test_unknown_database_lists_the_known(toy):
    with pytest.raises(PhenoLIPError, match="no annotated disease of 'ORPHA' .* there are: OMIM"):
        toy.disease_information_content("ORPHA")


def test_intrinsic_information_content_by_hand(toy):
    ic = dict(zip(toy.ids, similarity.intrinsic_information_content(toy), strict=True))
    assert ic[ROOT] == pytest.approx(0)
    assert ic["HP:0001627"] == pytest.approx(1 - math.log(3) / math.log(9))
    assert {ic[leaf] for leaf in toy.leaves} == {1.0}


def test_information_content_never_falls_downwards(heart):
    for ic in (heart.information_content, similarity.intrinsic_information_content(heart)):
        child = heart.tables["edges"]["child"].map(heart.index)
        parent = heart.tables["edges"]["parent"].map(heart.index)
        assert (ic[child] >= ic[parent]).all()


# --- measures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("kind", ["disease", "intrinsic", "ancestors"])
def test_measures_against_their_definition(heart, sample, measure, kind):
    ic = {
        "disease": heart.information_content,
        "intrinsic": similarity.intrinsic_information_content(heart),
        "ancestors": np.array([len(heart.ancestors(i)) * 0.37 for i in heart.ids]),
    }[kind]
    rows, columns = sample[:25], sample[10:]
    expected = [[slow(measure.__name__, heart, ic, a, b) for b in columns] for a in rows]
    np.testing.assert_allclose(measure(heart, rows, columns, ic=ic), expected, atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_measures_are_symmetric_and_take_old_ids(toy, measure):
    scores = measure(toy, toy.ids, toy.ids)
    np.testing.assert_allclose(scores, scores.T)
    np.testing.assert_array_equal(measure(toy, ["HP:0009999"], toy.ids), measure(toy, ["HP:0001640"], toy.ids))
    assert measure(toy, [], toy.ids).shape == (0, 9)


def test_jiang_conrath_distance_by_hand(toy):
    distance = similarity.jiang_conrath_distance(toy, ["HP:0001640"], ["HP:0001651"])
    assert distance[0, 0] == pytest.approx(math.log(4 / 2) + math.log(4 / 1) - 2 * math.log(4 / 3))
    np.testing.assert_allclose(np.diag(similarity.jiang_conrath_distance(toy, toy.ids, toy.ids)), 0)


def test_terms_without_information_have_lin_similarity_0(toy):
    """Also where the information content does not rise downwards, as in tables of others."""
    ic = np.zeros(len(toy))
    ic[toy.index["HP:0001627"]] = 1
    assert similarity.lin(toy, ["HP:0001640"], ["HP:0001651"], ic=ic)[0, 0] == 0


sets = st.lists(st.lists(st.integers(0, 8), max_size=4), min_size=1, max_size=4)


@settings(max_examples=60)
@given(rows=sets, columns=sets)
def test_set_measures_against_their_definition(toy, rows, columns):
    rows, columns = ([[toy.ids[i] for i in ids] for ids in side] for side in (rows, columns))
    ic = toy.information_content
    for function, oracle in ((similarity.sim_gic, slow_sim_gic), (similarity.best_match_average, slow_best_match)):
        expected = [[oracle(toy, ic, set(a), set(b)) for b in columns] for a in rows]
        np.testing.assert_allclose(function(toy, rows, columns), expected, atol=1e-12)


def test_a_set_is_like_itself(heart, sample):
    named = [[a, b] for a, b in zip(sample[::2], sample[1::2], strict=True)]
    assert np.diag(similarity.sim_gic(heart, named, named)) == pytest.approx(1)
    assert np.diag(similarity.best_match_average(heart, named, named)) == pytest.approx(1)
    resnik = similarity.best_match_average(heart, named, named, similarity.resnik)
    own = [np.mean([heart.information_content[heart.index[i]] for i in ids]) for ids in named]
    np.testing.assert_allclose(np.diag(resnik), own)


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", [*MEASURES, similarity.jiang_conrath_distance])
def test_unknown_ids_are_named(toy, measure):
    wrong = [f"HP:777777{i}" for i in range(5)]
    message = "not in HPO hp/releases/toy: HP:7777770, HP:7777771, HP:7777772 and 2 more"
    with pytest.raises(PhenoLIPError, match=message):
        measure(toy, toy.ids, wrong)


@pytest.mark.parametrize("measure", [similarity.sim_gic, similarity.best_match_average])
def test_unknown_ids_and_bare_texts_in_sets_are_refused(toy, measure):
    with pytest.raises(PhenoLIPError, match="not in HPO hp/releases/toy: HP:7777777"):
        measure(toy, [toy.leaves], [["HP:7777777"]])
    with pytest.raises(PhenoLIPError, match="single text 'HP:0001640'; put it in a list"):
        measure(toy, ["HP:0001640"], [toy.leaves])


@pytest.mark.parametrize(
    ("ic", "message"),
    [(np.ones(3), r"ic has shape \(3,\)"), (-np.ones(9), "negative"), (np.full(9, np.nan), "not finite")],
)
def test_information_content_that_cannot_be_is_refused(toy, ic, message):
    with pytest.raises(PhenoLIPError, match=message):
        similarity.lin(toy, toy.ids, toy.ids, ic=ic)


# --- other libraries ----------------------------------------------------------------------------


def test_against_pyhpo(heart):
    table = oracles.similarity_against_pyhpo(heart, n_pairs=500).set_index("measure")
    assert (table["max_abs_difference"] < 1e-9).all()
    assert table["pairs"].to_dict() == {
        "information content": table["pairs"]["information content"],
        "resnik": 500,
        "lin": 500,
        "jiang_conrath": table["pairs"]["jiang_conrath"],
        "sim_gic": 50,
        "best_match_average of resnik": 50,
        "best_match_average of lin": 50,
    }
    assert table["pairs"][["information content", "jiang_conrath"]].min() > 50


def test_the_comparison_with_pyhpo_finds_a_wrong_measure(heart, monkeypatch):
    wrong = dict(oracles.MEASURES, lin=lambda *args, **options: similarity.resnik(*args, **options))
    wrong["lin"].__name__ = "lin"
    monkeypatch.setattr(oracles, "MEASURES", wrong)
    table = oracles.similarity_against_pyhpo(heart, n_pairs=100).set_index("measure")
    assert table["max_abs_difference"]["lin"] > 0.1


def test_the_comparison_with_pyhpo_needs_no_annotations(toy):
    tables = dict(toy.tables, annotations=toy.tables["annotations"].head(0))
    table = oracles.similarity_against_pyhpo(Ontology(tables, "toy"), n_pairs=20)
    assert len(table) == 7
    assert (table["max_abs_difference"] == 0).all()


@pytest.fixture(scope="module")
def spleen(full, tmp_path_factory):
    """Terms around Abnormality of the spleen, as ours and as hpo-toolkit's."""
    hpotk = pytest.importorskip("hpotk", reason="hpo-toolkit is not installed")
    onto = part(full, "HP:0001743")
    file = write_obographs(onto, tmp_path_factory.mktemp("obographs") / "hp.json")
    return onto, hpotk.load_minimal_ontology(str(file))


def test_ancestors_and_resnik_against_hpo_toolkit(spleen):
    """It goes through all pairs of each organ system; other pairs it leaves at 0."""
    from hpotk import TermId
    from hpotk.algorithm import similarity as toolkit

    onto, theirs = spleen
    for hpo_id in onto.ids:
        assert {term.value for term in theirs.graph.get_ancestors(hpo_id, include_source=True)} == onto.ancestors(
            hpo_id
        )
    weights = {TermId.from_curie(i): ic for i, ic in zip(onto.ids, onto.information_content, strict=True)}
    container = toolkit.AnnotationIcContainer.from_mapping(weights)
    found = toolkit.precalculate_ic_mica_for_hpo_concept_pairs(container, theirs)
    ours = similarity.resnik(onto, onto.phenotypes, onto.phenotypes)
    compared = 0
    for i, a in enumerate(onto.phenotypes):
        for j, b in enumerate(onto.phenotypes):
            if set(onto.systems[a]) & set(onto.systems[b]):
                assert ours[i, j] == pytest.approx(found.get_similarity(a, b))
                compared += 1
    assert compared > 500


def test_information_content_against_hpo_toolkit(spleen):
    """It counts annotations, not diseases: the same where every disease has one."""
    from hpotk import TermId
    from hpotk.algorithm.similarity import calculate_ic_for_annotated_items

    class Items(list):
        version = None

    onto, theirs = spleen
    table = onto.tables["annotations"].assign(disease_id=lambda t: [f"OMIM:{i}" for i in range(len(t))])
    ours = Ontology(dict(onto.tables, annotations=table), "single").disease_information_content()
    items = Items(
        SimpleNamespace(annotations=[SimpleNamespace(is_present=True, identifier=TermId.from_curie(hpo_id))])
        for hpo_id in table["hpo_id"]
    )
    expected = calculate_ic_for_annotated_items(items, theirs, use_pseudocount=True)
    for hpo_id, ic in zip(onto.ids, ours, strict=True):
        assert ic == pytest.approx(expected[TermId.from_curie(hpo_id)])
