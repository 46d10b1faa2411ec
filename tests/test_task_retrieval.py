"""Retrieval outcomes against CLIP_benchmark, scikit-learn, networkx and plain loops."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.sections import Evaluation
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.metrics import incidence, mutual_ranks
from phenolip_lib.evaluation.relations import Relations
from phenolip_lib.evaluation.results import CLIP_BENCHMARK_NAMES
from phenolip_lib.evaluation.tasks import retrieval as task
from phenolip_lib.evaluation.tasks.retrieval import Judge, retrieval
from phenolip_lib.ontology import similarity
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, ROOT
from tests.test_metrics import naive_rank


def settings_of(candidates):
    own = load_params(Path(__file__).parent.parent / "params.yaml").evaluation
    return Evaluation(**{**own.model_dump(), "candidates": candidates, "candidate_sets": []})


def unit(rng, n, dim=16):
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def pairs_of(phenotypes, captions=None, split="test"):
    n = len(phenotypes)
    return pd.DataFrame(
        {
            "pair_id": [f"p{i:03d}" for i in range(n)],
            "caption": captions or [f"caption {i}" for i in range(n)],
            "templated": False,
            "modality": "radiology",
            "dataset": "d",
            "group": [f"g{i // 2:03d}" for i in range(n)],
            "phenotypes": phenotypes,
            "class_name": "",
            "split": split,
        }
    )


def case(onto, rng, n=80, candidates=60, n_phenotypes=25, captions=None, single=False, split="test"):
    """A benchmark with random embeddings and one or more phenotypes an image."""
    known = [onto.leaves[i] for i in rng.choice(len(onto.leaves), min(n_phenotypes, len(onto.leaves)), replace=False)]
    drawn = [sorted(set(rng.choice(known, 1 if single else rng.integers(1, 4)))) for _ in range(n)]
    bench = Benchmark(pairs_of([list(map(str, own)) for own in drawn], captions, split), onto, settings_of(candidates))
    names = [onto[hpo_id].name for hpo_id in bench.candidates]
    texts = dict(zip(names, unit(rng, len(names)), strict=True))
    embedded = SimpleNamespace(
        images=unit(rng, n), captions=unit(rng, n), text=lambda strings: np.stack([texts[s] for s in strings])
    )
    return bench, embedded


def means(found):
    return found.groupby("metric")["value"].mean()


def name_vectors(bench, embedded):
    return embedded.text([bench.onto[c].name for c in bench.candidates])


# --- recall -------------------------------------------------------------------------------------


def test_calibration_takes_a_names_mean_over_training_images_away(full):
    bench, embedded = case(full, np.random.default_rng(3), n=80, split=["test"] * 40 + ["train"] * 40)
    names = name_vectors(bench, embedded)
    # A name that suits every image ranks high for all of them, and gains nothing from it once calibrated.
    embedded.images[:] += 3 * names[0]
    embedded.images /= np.linalg.norm(embedded.images, axis=1, keepdims=True)
    found = retrieval(bench, embedded).set_index(["metric", "query"])["value"]
    mean = (embedded.images[40:] @ names.T).mean(axis=0)
    firsts = []
    for i, (pair_id, own) in enumerate(zip(bench.pairs["pair_id"][:40], bench.pairs["phenotypes"], strict=False)):
        plain, calibrated = (np.argsort(-(names @ embedded.images[i] - less))[:10] for less in (0, mean))
        assert found["i2p_recall@10", pair_id] == any(bench.candidates[j] in own for j in plain)
        assert found["i2p_calibrated_recall@10", pair_id] == any(bench.candidates[j] in own for j in calibrated)
        firsts.append((0 in plain, 0 in calibrated))
    assert np.mean(firsts, axis=0)[0] == 1
    assert np.mean(firsts, axis=0)[1] < 0.6


def test_recalls_equal_clip_benchmark(full):
    spec = importlib.util.find_spec("clip_benchmark")
    if spec is None:
        pytest.skip("clip-benchmark is not installed (pip install --no-deps clip-benchmark==1.6.2)")
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("clip_benchmark.metrics.zeroshot_retrieval")
    bench, embedded = case(full, np.random.default_rng(0), n=120)
    images, captions = torch.tensor(embedded.images), torch.tensor(embedded.captions)
    model = SimpleNamespace(encode_image=lambda rows: images[rows], encode_text=lambda rows: captions[rows])
    loader = [(torch.arange(i, i + 40), [[j] for j in range(i, i + 40)]) for i in range(0, 120, 40)]
    expected = theirs.evaluate(model, loader, torch.tensor, "cpu", amp=False, recall_k_list=[10, 50])
    found = means(retrieval(bench, embedded))
    assert {CLIP_BENCHMARK_NAMES[k]: found[k] for k in CLIP_BENCHMARK_NAMES} == pytest.approx(expected)

    names = torch.tensor(name_vectors(bench, embedded))
    truth = torch.tensor(incidence(bench.pairs["phenotypes"], bench.candidates).toarray())
    for k in (10, 50):
        hit = theirs.recall_at_k(images @ names.T, truth, k) > 0
        assert found[f"i2p_recall@{k}"] == pytest.approx(hit.float().mean().item())
        asked = truth.any(dim=0)
        hit = theirs.recall_at_k(names[asked] @ images.T, truth.T[asked], k) > 0
        assert found[f"p2i_recall@{k}"] == pytest.approx(hit.float().mean().item())


def test_outcomes_equal_a_plain_loop(full):
    rng = np.random.default_rng(1)
    captions = [f"caption {i % 55}" for i in range(80)]
    bench, embedded = case(full, rng, captions=captions)
    found = retrieval(bench, embedded).set_index(["metric", "query"])["value"]
    names = name_vectors(bench, embedded)
    own, known = bench.pairs["phenotypes"], len(bench.known)
    for i, pair_id in enumerate(bench.pairs["pair_id"]):
        for metric, query, items, right in (
            ("i2t", embedded.images[i], embedded.captions, [c == captions[i] for c in captions]),
            ("t2i", embedded.captions[i], embedded.images, [c == captions[i] for c in captions]),
            ("i2p", embedded.images[i], names, [c in own[i] for c in bench.candidates]),
            ("i2p_known", embedded.images[i], names[:known], [c in own[i] for c in bench.known]),
        ):
            best = np.argsort(-(items @ query))[:10]
            assert found[f"{metric}_recall@10", pair_id] == any(right[j] for j in best)
    for c, hpo_id in enumerate(bench.candidates):
        right = [hpo_id in phenotypes for phenotypes in own]
        if any(right):
            best = np.argsort(-(embedded.images @ names[c]))[:10]
            assert found["p2i_recall@10", hpo_id] == any(right[j] for j in best)
        else:
            assert ("p2i_recall@10", hpo_id) not in found.index


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 15), st.integers(1, 5))
def test_mutual_ranks_equal_the_naive_oracle_each_way(seed, n_queries, n_items, block):
    rng = np.random.default_rng(seed)
    queries = rng.integers(-1, 2, (n_queries, 3)).astype(np.float32)  # many ties
    items = rng.integers(-1, 2, (n_items, 3)).astype(np.float32)
    correct = rng.random((n_queries, n_items)) < 0.3
    forward, backward = mutual_ranks(queries, items, correct, block=block)
    for found, a, b, right in ((forward, queries, items, correct), (backward, items, queries, correct.T)):
        some = right.any(axis=1)
        expected = [naive_rank(b @ own, known) for own, known in zip(a[some], right[some], strict=True)]
        np.testing.assert_array_equal(found[some], expected)
        assert (found[~some] == 0).all()


def test_a_collapsed_model_gets_the_worst_rank_in_float32():
    # A matrix product gives equal columns different last digits.
    rng = np.random.default_rng(2)
    queries, items = unit(rng, 300, 384), np.repeat(unit(rng, 1, 384), 993, axis=0)
    correct = incidence([[i] for i in range(300)], range(993))
    forward, backward = mutual_ranks(queries, items, correct)
    assert (forward == 993).all()
    own = queries @ items[0]
    assert backward[:300].tolist() == [int((own >= score - 1e-6).sum()) for score in own]


def test_groups_queries_and_splits(full):
    bench, embedded = case(full, np.random.default_rng(3), split=["test"] * 40 + ["train"] * 40)
    found = retrieval(bench, embedded)
    assert list(found.columns) == ["task", "dataset", "metric", "query", "group", "value"]
    group = dict(zip(bench.pairs["pair_id"], bench.pairs["group"], strict=True))
    by_image = found[~found["metric"].str.startswith("p2i")]
    assert set(by_image["query"]) == set(bench.pairs["pair_id"][:40])
    assert (by_image["group"] == by_image["query"].map(group)).all()
    by_phenotype = found[found["metric"] == "p2i_recall@10"]
    assert (by_phenotype["query"] == by_phenotype["group"]).all()
    assert set(by_phenotype["query"]) == {h for own in bench.pairs["phenotypes"][:40] for h in own}
    assert not found.duplicated(["metric", "query"]).any()


def test_captions_without_phenotypes_and_small_splits(full):
    bench, embedded = case(full, np.random.default_rng(4))
    bench.pairs["phenotypes"] = [[] for _ in range(80)]
    fresh = Benchmark(bench.pairs, full, bench.settings)
    embedded.text = lambda strings: unit(np.random.default_rng(0), len(strings))
    assert set(retrieval(fresh, embedded)["metric"]) == {f"{t}_recall@{k}" for t in ("i2t", "t2i") for k in (10, 50)}
    bench.pairs["split"] = ["test"] * 9 + ["train"] * 71
    assert retrieval(Benchmark(bench.pairs, full, bench.settings), embedded).empty


def test_errors_name_the_image_and_the_phenotype(full):
    bench, embedded = case(full, np.random.default_rng(5))
    embedded.images[7] = 0
    with pytest.raises(PhenoLIPError, match="image of p007 is all zeros"):
        retrieval(bench, embedded)
    embedded.images[7] = np.nan
    with pytest.raises(PhenoLIPError, match="image of p007 holds values that are not finite"):
        retrieval(bench, embedded)
    bench.pairs.at[3, "phenotypes"] = ["HP:9999999"]
    with pytest.raises(PhenoLIPError, match="HP:9999999 is a phenotype of the pairs and not in HPO"):
        retrieval(Benchmark(bench.pairs, full, bench.settings), embedded)


# --- nearness in the ontology -------------------------------------------------------------------


def test_ndcg_equals_scikit_learn_where_nothing_ties(full):
    bench, embedded = case(full, np.random.default_rng(6))
    found = retrieval(bench, embedded)
    scores = embedded.images @ name_vectors(bench, embedded).T
    for k in (10, 50):
        values = found[found["metric"] == f"i2p_ndcg@{k}"].set_index("query")["value"]
        for i, pair_id in enumerate(bench.pairs["pair_id"]):
            gain = similarity.lin(full, bench.pairs["phenotypes"][i], bench.candidates).max(axis=0)
            assert values[pair_id] == pytest.approx(ndcg_score(gain[None], scores[i : i + 1], k=k), abs=1e-6)


def test_the_first_candidate_is_judged_as_in_networkx(full):
    bench, embedded = case(full, np.random.default_rng(7), n=40)
    found = retrieval(bench, embedded).set_index(["metric", "query"])["value"]
    edges = full.tables["edges"]
    graph = nx.DiGraph(zip(edges["child"], edges["parent"], strict=True))
    heights = {c: nx.single_source_shortest_path_length(graph, c) for c in bench.candidates}
    tops = {ROOT, PHENOTYPIC_ABNORMALITY}
    scores = embedded.images @ name_vectors(bench, embedded).T
    for i, pair_id in enumerate(bench.pairs["pair_id"]):
        own, first = bench.pairs["phenotypes"][i], bench.candidates[scores[i].argmax()]
        steps = min(min(heights[first][a] + heights[h][a] for a in heights[first] if a in heights[h]) for h in own)
        predicted = ({first} | nx.descendants(graph, first)) - tops
        true = set().union(*({h} | nx.descendants(graph, h) for h in own)) - tops
        assert found["i2p_steps@1", pair_id] == steps
        common = len(predicted & true)
        assert found["i2p_hierarchical_precision@1", pair_id] == pytest.approx(common / len(predicted))
        assert found["i2p_hierarchical_recall@1", pair_id] == pytest.approx(common / len(true))
        assert found["i2p_lin@1", pair_id] == pytest.approx(similarity.lin(full, [first], own).max(), abs=1e-6)


def naive_top(scores, gains, k):
    """Sort by score, the less alike first where scores are equal."""
    return sorted(range(len(scores)), key=lambda j: (-scores[j], gains[j], j))[:k]


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_ties_count_against_the_model(full, seed, n_candidates):
    rng = np.random.default_rng(seed)
    candidates = [full.leaves[i] for i in rng.choice(500, n_candidates, replace=False)]
    truth = incidence([list(rng.choice(candidates, rng.integers(1, 4))) for _ in range(6)], candidates)
    relations = Relations(full, candidates)
    scores = rng.integers(0, 6, (6, n_candidates)).astype(np.float32) / 8
    judge = Judge(relations, truth)
    judge(slice(0, 3), scores[:3])
    judge(slice(3, 6), scores[3:])
    found = judge.scores()
    for i in range(6):
        gains = relations.gain[truth[i].indices].max(axis=0)
        top = naive_top(scores[i], gains, n_candidates)
        for k in (10, 50):
            dcg = [
                sum(gains[j] / np.log2(2 + rank) for rank, j in enumerate(order[:k]))
                for order in (top, sorted(range(n_candidates), key=lambda j: -gains[j]))
            ]
            assert found[f"ndcg@{k}"][i] == pytest.approx(dcg[0] / dcg[1], abs=1e-6)
        assert found["lin@1"][i] == pytest.approx(gains[top[0]])


def test_a_collapsed_model_earns_the_worst_ranking(full):
    bench, embedded = case(full, np.random.default_rng(8), n=20, candidates=300)
    same = unit(np.random.default_rng(0), 1, 384)
    embedded.images, embedded.captions = np.repeat(same, 20, axis=0), np.repeat(same, 20, axis=0)
    embedded.text = lambda strings: np.repeat(same, len(strings), axis=0)
    found = means(retrieval(bench, embedded))
    assert found["i2p_recall@50"] == 0
    assert found["i2p_ndcg@50"] == pytest.approx(0, abs=1e-6)
    assert found["i2p_lin@1"] == pytest.approx(0, abs=1e-6)


def test_a_perfect_model_has_no_distance(full):
    bench, embedded = case(full, np.random.default_rng(9), n=30, single=True)
    axes = np.eye(len(bench.candidates), dtype=np.float32)
    position = {full[c].name: i for i, c in enumerate(bench.candidates)}
    embedded.text = lambda strings: axes[[position[s] for s in strings]]
    embedded.images = axes[[bench.candidates.index(own[0]) for own in bench.pairs["phenotypes"]]]
    embedded.captions = embedded.images
    found = means(retrieval(bench, embedded))
    assert found["i2p_steps@1"] == 0
    for metric in ("lin@1", "hierarchical_precision@1", "hierarchical_recall@1", "recall@10"):
        assert found[f"i2p_{metric}"] == pytest.approx(1)
    near, far = Relations(full, bench.candidates).steps, Relations(full, bench.candidates).gain
    assert (near.diagonal() == 0).all()
    assert (near == near.T).all()
    assert (far.diagonal() == 1).all()


def test_equal_texts_are_found_once_each():
    found = task.equal_texts(pd.Series(["a", "b", "a"]))
    np.testing.assert_array_equal(found.toarray(), [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
