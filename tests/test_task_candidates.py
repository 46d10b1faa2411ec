"""Larger and smaller sets of candidates, against the plain definition."""

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.tasks.candidates import by_candidates
from phenolip_lib.evaluation.tasks.retrieval import retrieval
from phenolip_lib.experiments.experiment import Embedded
from tests.test_task_retrieval import pairs_of, settings_of, unit


@pytest.fixture(scope="module")
def found(full):
    rng = np.random.default_rng(3)
    known = [full.leaves[i] for i in rng.choice(len(full.leaves), 12, replace=False)]
    pairs = pairs_of([[known[i % 12], known[i * 5 % 12]] if i % 3 else [known[i % 12]] for i in range(60)])
    settings = settings_of(50).model_copy(update={"candidate_sets": [400, 5, 50, 10**6]})
    bench = Benchmark(pairs, full, settings)
    names = [full[hpo_id].name for hpo_id in bench.ranked_candidates]
    table = dict(zip(names, unit(rng, len(names)), strict=True))
    embedded = Embedded(unit(rng, 60), unit(rng, 60), lambda texts: np.stack([table[text] for text in texts]), None)
    return bench, embedded, by_candidates(bench, embedded)


def test_sets_are_bounded_by_truth_and_by_the_ontology(found):
    bench, _, outcomes = found
    sizes = set(outcomes["dataset"].astype(int))
    assert sizes == {12, 50, 400, len(bench.ranked_candidates)}
    assert len(bench.ranked_candidates) > 10_000


@pytest.mark.parametrize("sizes", [[5], [1, 11]])
def test_sets_smaller_than_the_truth_keep_all_of_it(found, sizes):
    bench, embedded, outcomes = found
    settings = bench.settings.model_copy(update={"candidate_sets": sizes})
    own = by_candidates(Benchmark(bench.pairs, bench.onto, settings), embedded)
    pd.testing.assert_frame_equal(own, outcomes[outcomes["dataset"] == "12"].reset_index(drop=True))


def test_the_benchmarks_own_size_gives_the_headline(found):
    bench, embedded, outcomes = found
    headline = retrieval(bench, embedded)
    for metric in ("i2p_recall@10", "i2p_recall@50"):
        own = outcomes[(outcomes["dataset"] == "50") & (outcomes["metric"] == metric)].set_index("query")["value"]
        there = headline[headline["metric"] == metric].set_index("query")["value"]
        assert own.to_dict() == there.to_dict()


def test_ranks_by_the_plain_definition_and_only_falling(found):
    bench, embedded, outcomes = found
    vectors = embedded.text([bench.onto[h].name for h in bench.ranked_candidates])
    for n in (12, 400):
        own = outcomes[(outcomes["dataset"] == str(n)) & (outcomes["metric"] == "i2p_recall@10")].set_index("query")
        for i, pair in bench.pairs.iterrows():
            scores = dict(zip(bench.ranked_candidates[:n], vectors[:n] @ embedded.images[i], strict=True))
            best = max(scores[h] for h in pair["phenotypes"])
            wrong = [s for h, s in scores.items() if h not in pair["phenotypes"]]
            rank = 1 + sum(s >= best - 1e-6 for s in wrong)
            assert own.loc[pair["pair_id"], "value"] == (rank <= 10)
    means = outcomes[outcomes["metric"] == "i2p_recall@10"].groupby(outcomes["dataset"].astype(int))["value"].mean()
    assert means.is_monotonic_decreasing
