"""Linking of texts and the geometry of the space, against plain loops and other libraries."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from phenolip_lib.evaluation import geometry, linking
from phenolip_lib.ontology import similarity
from phenolip_lib.recognition import gold
from phenolip_lib.recognition.recognizer import Recognizer
from phenolip_lib.training.attribute_texts import attribute_texts


@pytest.fixture(scope="module")
def texts(full):
    """The attribute texts of one organ system."""
    table = attribute_texts(full, ["name", "synonym", "definition"], 0.3, seed=0, held_out_definitions=0.2)
    some = set(full.descendants("HP:0001626")) | {"HP:0001626"}
    return table[table["hpo_id"].isin(some)].reset_index(drop=True)


def unit(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def slow_rank(scores: dict[str, float], right: set[str]) -> int:
    """Place of the best right term, counted one by one; a tie is lost."""
    best = max(scores[h] for h in right)
    return 1 + sum(scores[h] >= best for h in scores if h not in right)


# --- finding the term ------------------------------------------------------------------------------


def held_out_ranks(texts, embeddings, kind="synonym"):
    held = np.flatnonzero(texts["held_out"] & (texts["kind"] == kind))
    return linking.embedding_ranks(linking.held_out_task(texts, kind), embeddings[held], embeddings)


@pytest.mark.parametrize("kind", ["synonym", "definition"])
def test_ranks_of_held_out_texts_are_those_of_a_plain_loop(texts, kind):
    e = np.round(4 * unit(len(texts)))  # whole numbers, so that there are ties
    held = texts[texts["held_out"] & (texts["kind"] == kind)]
    names = texts[texts["kind"] == "name"]
    expected = [
        slow_rank({h: float(e[i] @ e[j]) for j, h in zip(names.index, names["hpo_id"], strict=True)}, {own})
        for i, own in zip(held.index, held["hpo_id"], strict=True)
    ]
    assert len(expected) > 20
    assert held_out_ranks(texts, e, kind).tolist() == expected


def test_a_mention_counts_as_found_by_any_name_of_any_of_its_terms(texts):
    mentions = pd.DataFrame(
        {"surface": ["a", "b"], "hpo_ids": [["HP:0001640"], ["HP:0001640", "HP:0001627"]], "covered": [False, True]}
    )
    task, e = linking.mention_task(texts, mentions), unit(len(texts))
    queries = unit(2, seed=1)
    own = texts[texts["kind"].isin(["name", "synonym"])]
    for query, right, rank in zip(queries, mentions["hpo_ids"], linking.embedding_ranks(task, queries, e), strict=True):
        scores = (e[own.index] @ query).tolist()
        best = pd.Series(scores, index=own["hpo_id"]).groupby(level=0).max().to_dict()
        assert rank == slow_rank(best, set(right))


def test_words_in_common_win_for_the_lexical_peers(texts):
    rows = texts[texts["kind"] == "name"]
    task = linking.mention_task(
        texts, pd.DataFrame({"surface": rows["text"], "hpo_ids": [[h] for h in rows["hpo_id"]]})
    )
    for ranks in (linking.tfidf_ranks(texts, task), linking.bm25_ranks(texts, task)):
        assert (ranks == 1).mean() > 0.9
    task = linking.mention_task(texts, pd.DataFrame({"surface": ["qqqq zzzz"], "hpo_ids": [["HP:0001640"]]}))
    worst = rows["hpo_id"].nunique()
    assert linking.bm25_ranks(texts, task).tolist() == linking.tfidf_ranks(texts, task).tolist() == [worst]


def test_numbers_that_are_not_finite_are_refused(texts):
    e = unit(len(texts))
    e[0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        held_out_ranks(texts, e)


def test_wordings_of_annotations_are_merged_and_read_by_the_dictionary(full):
    text = "Enlarged spleen and a heart too big. ENLARGED  SPLEEN again."
    notes = [(0, 15, "HP:0001744"), (22, 35, "HP:0001640"), (37, 53, "HP:0001744")]
    document = gold.Document("d", text, tuple(gold.Annotation(a, b, h, False) for a, b, h in notes))
    table = linking.gold_mentions([document], full, gold.terms_of(Recognizer(full)))
    assert table["surface"].tolist() == ["enlarged spleen", "heart too big"]
    assert table["hpo_ids"].tolist() == [["HP:0001744"], ["HP:0001640"]]
    assert table["covered"].tolist() == [True, False]


# --- geometry --------------------------------------------------------------------------------------


def test_correlation_is_spearmans_over_the_sampled_pairs(full, texts):
    e = unit(len(texts))
    branches = geometry.branch_samples(full, texts, terms=12, seed=0)
    system = full["HP:0001626"].name
    sample = branches[system]
    first, second, lin = sample
    ids = texts["hpo_id"].to_numpy()
    assert len(first) == 12 * 11 // 2
    assert all(system in full.systems[ids[i]] for i in {*first, *second})
    one = [similarity.lin(full, [ids[i]], [ids[j]])[0, 0] for i, j in zip(first, second, strict=True)]
    np.testing.assert_allclose(lin, one, atol=1e-6)
    row = geometry.similarity_row("x", e, sample, branches)
    expected = spearmanr([float(e[i] @ e[j]) for i, j in zip(first, second, strict=True)], one).statistic
    assert row["rho"] == pytest.approx(expected, abs=1e-6)
    assert row["worst branch"] <= row["rho within a branch"]


def test_distances_are_shortest_paths_and_neighbours_lie_between_the_limits(full, texts):
    around = geometry.surroundings(full, texts, 40, seed=0)
    graph = nx.Graph(full.tables["edges"][["child", "parent"]].itertuples(index=False))
    ids = texts["hpo_id"].to_numpy()[around.names]
    for row, term in list(zip(around.path, around.terms, strict=True))[:4]:
        for j in range(0, len(ids), 37):
            assert row[j] == nx.shortest_path_length(graph, ids[term], ids[j])
    random, best = geometry.neighbour_limits(around)
    noise = geometry.neighbour_row("noise", unit(len(texts)), around)
    assert noise["path"] == pytest.approx(random["path"], rel=0.1)
    assert best["path"] < random["path"]
    assert best["lin"] > random["lin"]
    # A space in which a term lies at its ancestors' common place: neighbours are relatives.
    index = {h: i for i, h in enumerate(ids)}
    above = np.zeros((len(texts), len(ids)), dtype=np.float32)
    for i, h in enumerate(texts["hpo_id"]):
        above[i, [index[a] for a in full.ancestors(h) if a in index]] = 1
    above /= np.linalg.norm(above, axis=1, keepdims=True)
    near = geometry.neighbour_row("ancestors", above, around)
    assert best["path"] <= near["path"] < 0.6 * random["path"]


def test_an_encoder_that_puts_all_in_one_place_gets_the_farthest(full, texts):
    around = geometry.surroundings(full, texts, 20, seed=0)
    flat = geometry.neighbour_row("flat", np.ones((len(texts), 2), np.float32), around, k=5)
    worst = [np.sort(np.delete(row, term))[-5:].mean() for row, term in zip(around.path, around.terms, strict=True)]
    assert flat["path"] == pytest.approx(np.mean(worst))
