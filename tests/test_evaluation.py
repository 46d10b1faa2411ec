"""The benchmark's rules, on embeddings whose right answers are known."""

import numpy as np
import pandas as pd
import pytest

from phenolip_lib import evaluation
from phenolip_lib.evaluation import Benchmark, linear_probe, zero_shot
from phenolip_lib.metrics import recall_at_k
from phenolip_lib.params import Evaluation

OTHERS = {"face_candidates": 9, "folds": {}, "unseen_share": 0.0, "cross_validated": ["clip"], "split_seed": 0,
          "resamples": 10, "probe_seeds": [0]}  # fmt: skip
TERMS = ["HP:0001640", "HP:0001651", "HP:0001744", "HP:0001903"]


@pytest.fixture
def bench(toy):
    n = 60
    pairs = pd.DataFrame(
        {
            "caption": [f"caption {i}" for i in range(n)],
            "templated": False,
            "modality": "radiology",
            "dataset": "d",
            "phenotypes": [[TERMS[i % 4]] for i in range(n)],
            "class_name": [TERMS[i % 4] for i in range(n)],
            "split": [("train", "train", "val", "test")[(i // 4) % 4] for i in range(n)],
        }
    )
    return Benchmark(pairs, toy, Evaluation(candidates=4, probe_shares=[0.5, 1.0], probe_min_per_class=2, **OTHERS))


def oracle_embeddings(bench):
    """One axis a phenotype, and one a caption: images lie on both, texts on theirs."""
    names = {bench.onto[t].name: t for t in TERMS}
    n = len(bench.pairs)
    phenotype = np.eye(4)[[TERMS.index(p[0]) for p in bench.pairs["phenotypes"]]]
    captions = np.concatenate([np.zeros((n, 4)), np.eye(n)], axis=1)
    images = evaluation.normalise(np.concatenate([phenotype, np.eye(n)], axis=1))

    def text(strings):
        rows = [next((t for name, t in names.items() if name in s), None) for s in strings]
        return np.stack([np.eye(4 + n)[TERMS.index(t)] if t else np.zeros(4 + n) for t in rows])

    return images.astype(np.float32), captions.astype(np.float32), text


def test_a_perfect_model_scores_one(bench):
    images, _, text = oracle_embeddings(bench)
    assert zero_shot(bench, images, text)["radiology"]["acc1"] == 1.0


def test_only_the_asked_split_and_own_captions_count(bench):
    bench.pairs.loc[bench.pairs.index[-1], "templated"] = True
    fresh = Benchmark(bench.pairs, bench.onto, bench.settings)
    assert (fresh.pairs["split"].to_numpy()[fresh.rows] == "test").all()
    assert len(fresh.pairs) - 1 not in fresh.rows


def test_distractors_are_leaves_unrelated_to_the_benchmark(full, bench):
    wide = Benchmark(bench.pairs, full, Evaluation(candidates=300, probe_shares=[1.0], probe_min_per_class=2, **OTHERS))
    assert len(wide.candidates) == 300
    assert wide.candidates[:4] == TERMS
    known = set(TERMS)
    for hpo_id in wide.candidates[4:]:
        assert hpo_id in set(full.leaves)
        assert not known & (full.ancestors(hpo_id) | full.descendants(hpo_id))
    again = Benchmark(
        bench.pairs, full, Evaluation(candidates=200, probe_shares=[1.0], probe_min_per_class=2, **OTHERS)
    )
    assert wide.candidates[:200] == again.candidates


def test_probe_on_separable_features_and_on_noise(bench):
    images, _, _ = oracle_embeddings(bench)
    scores = linear_probe(bench, images[:, :4], seed=0)["d"]
    assert scores["acc@1"] == 1.0
    assert scores["majority"] == pytest.approx(0.25)
    noise = np.random.default_rng(0).standard_normal((len(images), 16)).astype(np.float32)
    assert linear_probe(bench, noise, seed=0)["d"]["acc@1"] < 0.7


def test_chance_and_majority_lines(bench):
    images, _, text = oracle_embeddings(bench)
    scores = zero_shot(bench, images, text)["radiology"]
    assert scores["chance_acc1"] == pytest.approx(0.25)
    assert scores["majority_acc1"] == pytest.approx(0.25)
    assert scores["n_classes"] == 4


def test_recall_is_a_share():
    assert recall_at_k(np.array([1, 5, 11, 50]), 10) == 0.5
