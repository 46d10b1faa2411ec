"""Attribute texts: what is said of a term, what is held out, and that nothing held out leaks."""

import re

import pandas as pd
import pytest

from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, Ontology
from phenolip_lib.recognition.morphology import normal_form
from phenolip_lib.training.attribute_texts import ANNOTATIONS_PER_TERM, attribute_texts, related_terms

KINDS = ["name", "synonym", "definition", "comment", "relation", "annotation"]


@pytest.fixture(scope="module")
def texts(full):
    return attribute_texts(full, KINDS, 0.2, seed=0, held_out_definitions=0.1)


def of(table, hpo_id, kind):
    return table[(table["hpo_id"] == hpo_id) & (table["kind"] == kind)]["text"].tolist()


def changed(onto, **tables):
    """A copy of an ontology with rows added to some tables, or terms' fields set."""
    copy = {name: table.copy() for name, table in onto.tables.items()}
    for name, rows in tables.items():
        copy[name] = pd.concat([copy[name], pd.DataFrame(rows, columns=copy[name].columns)], ignore_index=True)
    return Ontology(copy, "changed")


# --- kinds ---------------------------------------------------------------------------------------


def test_each_kind_says_what_the_ontology_says(toy):
    table = attribute_texts(toy, KINDS, 0.0, seed=0)
    assert of(table, "HP:0001640", "name") == ["Cardiomegaly"]
    assert of(table, "HP:0001640", "synonym") == list(toy["HP:0001640"].synonyms)
    assert of(table, "HP:0001640", "definition") == ["Increased size of the heart."]
    assert of(table, "HP:0001640", "relation") == ["Cardiomegaly is a child phenotype of Abnormal heart morphology."]
    # Two is annotated with an old id of the term.
    assert of(table, "HP:0001640", "annotation") == ["Cardiomegaly is seen in Two.", "Cardiomegaly is seen in One."]
    assert of(table, "HP:0001627", "annotation") == []
    assert not table["held_out"].any()


def test_only_the_kinds_asked_for_are_given_and_always_the_name(toy):
    assert set(attribute_texts(toy, ["definition"], 0.5, seed=0, held_out_definitions=0.5)["kind"]) == {
        "name",
        "definition",
    }


def test_every_phenotype_has_its_name_and_no_text_twice(full, texts):
    names = texts[texts["kind"] == "name"]
    assert names["hpo_id"].tolist() == [PHENOTYPIC_ABNORMALITY, *full.phenotypes]
    assert not texts.duplicated(["hpo_id", "text"]).any()
    assert texts.index.tolist() == list(range(len(texts)))


def test_annotations_are_few_and_of_the_most_specific_diseases(toy):
    rows = [("X:1", "Largest disease", "HP:0001640")] + [("X:1", "Largest disease", h) for h in toy.phenotypes[:5]]
    rows += [("X:2", "Small disease 2", "HP:0001640"), ("X:3", "Disease, small, type I", "HP:0001640")]
    rows += [("X:4", "Middle disease", h) for h in ("HP:0001640", "HP:0001651", "HP:0001903")]
    onto = changed(toy, annotations=rows)
    table = attribute_texts(onto, ["name", "annotation"], 0.0, seed=0)
    assert ANNOTATIONS_PER_TERM == 2
    # "Disease, small, type I" is the small disease again.
    assert of(table, "HP:0001640", "annotation") == [
        "Cardiomegaly is seen in Two.",
        "Cardiomegaly is seen in Small disease 2.",
    ]


def test_annotations_never_give_a_name_or_a_held_out_synonym_away(texts):
    held = texts[texts["held_out"] & (texts["kind"] == "synonym")].groupby("hpo_id")["text"].first()
    name = texts[texts["kind"] == "name"].set_index("hpo_id")["text"]
    annotations = texts[texts["kind"] == "annotation"]
    assert len(annotations) > 10_000
    for hpo_id, text in zip(annotations["hpo_id"], annotations["text"], strict=True):
        disease = normal_form(text.removeprefix(name[hpo_id]))
        assert normal_form(name[hpo_id]) not in disease
        assert hpo_id not in held or normal_form(held[hpo_id]) not in disease


def test_annotations_are_of_the_annotated_term(full, texts):
    known = set(zip(full.tables["annotations"]["hpo_id"], full.tables["annotations"]["disease"], strict=True))
    for row in texts[texts["kind"] == "annotation"].iloc[::50].itertuples():
        disease = re.fullmatch(re.escape(full[row.hpo_id].name) + " is seen in (.+)[.]", row.text)[1]
        assert (row.hpo_id, disease) in known


# --- held out ------------------------------------------------------------------------------------


def test_held_out_shares_are_as_asked(full, texts):
    held = texts[texts["held_out"]]
    with_synonym = texts[texts["kind"] == "synonym"]["hpo_id"].nunique()
    definitions = (texts["kind"] == "definition").sum()
    # A synonym that is the name up to case and number, or that two terms share, stays in training.
    assert 0.15 < held[held["kind"] == "synonym"]["hpo_id"].nunique() / with_synonym < 0.2
    assert (held["kind"] == "definition").sum() / definitions == pytest.approx(0.1, abs=0.01)


def test_nothing_held_out_is_trained_on(texts):
    form = texts["text"].map(normal_form)
    queries = texts["held_out"] & texts["kind"].isin(["synonym", "definition"])
    assert queries.sum() > 2000
    assert not set(form[queries]) & set(form[~texts["held_out"]])


def test_a_held_out_definition_takes_the_comment_with_it(texts):
    unseen = set(texts[texts["held_out"] & (texts["kind"] == "definition")]["hpo_id"])
    comments = texts[texts["kind"] == "comment"]
    assert set(comments[comments["held_out"]]["hpo_id"]) == unseen & set(comments["hpo_id"])


def test_the_two_coins_are_independent_and_blind_to_the_rest(full, texts):
    """The same synonyms are held out with and without definitions, comments and annotations, and the other way."""

    def held(table, kind):
        table = table[table["held_out"] & (table["kind"] == kind)]
        return set(zip(table["hpo_id"], table["text"], strict=True))

    bare = attribute_texts(full, ["name", "synonym"], 0.2, seed=0)
    other = attribute_texts(full, ["name", "definition"], 0.0, seed=0, held_out_definitions=0.1)
    assert held(bare, "synonym") == held(texts, "synonym")
    # A definition that repeats a synonym is a query only where synonyms are not asked for.
    assert held(texts, "definition") <= held(other, "definition")
    assert len(held(other, "definition") - held(texts, "definition")) < 10
    both = {h for h, _ in held(bare, "synonym")} & {h for h, _ in held(other, "definition")}
    with_both = set(texts[texts["kind"] == "synonym"]["hpo_id"]) & set(texts[texts["kind"] == "definition"]["hpo_id"])
    assert len(both) / len(with_both) == pytest.approx(0.2 * 0.1, abs=0.006)


def test_more_are_held_out_on_top_of_those_of_a_smaller_share(full, texts):
    more = attribute_texts(full, KINDS, 0.4, seed=0, held_out_definitions=0.3)
    assert (more["kind"] != "annotation").sum() == (texts["kind"] != "annotation").sum()
    few = texts[texts["held_out"]]
    assert set(few["text"]) <= set(more[more["held_out"]]["text"])


def test_a_definition_that_repeats_the_name_or_another_terms_is_never_held_out(toy):
    tables = {name: table.copy() for name, table in toy.tables.items()}
    terms = tables["terms"].set_index("hpo_id")
    terms.loc["HP:0001640", ["definition", "comment"]] = ["An enlarged heart.", "Seen on X-rays."]
    terms.loc["HP:0001651", "definition"] = terms.loc["HP:0001744", "definition"]
    terms.loc["HP:0001627", ["definition", "comment"]] = ["Abnormal heart morphology.", "Of any kind."]
    tables["terms"] = terms.reset_index()
    table = attribute_texts(Ontology(tables, "changed"), KINDS, 0.0, seed=0, held_out_definitions=1.0)
    held = table[table["held_out"]].groupby("hpo_id")["kind"].apply(list).to_dict()
    assert held["HP:0001640"] == ["definition", "comment"]
    assert not held.keys() & {"HP:0001651", "HP:0001744", "HP:0001627"}


# --- relatives -----------------------------------------------------------------------------------


def test_related_terms_are_parents_children_and_siblings_of_the_full_release(full):
    ids = full.phenotypes[:400]
    related = related_terms(full, ids).toarray()
    position = {hpo_id: i for i, hpo_id in enumerate(ids)}
    assert (related == related.T).all()
    for a in ids[::40]:
        for b in ids:
            parents = [{p for p in full.parents.get(x, ()) if p in position} for x in (a, b)]
            near = b in parents[0] or a in parents[1] or bool(parents[0] & parents[1])
            assert related[position[a], position[b]] == near
