"""Zero-shot classification against CLIP_benchmark, scikit-learn and slow loops."""

import importlib

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import MODALITIES
from phenolip_lib.evaluation.tasks import zero_shot as task
from phenolip_lib.evaluation.tasks.zero_shot import (
    COLUMNS,
    PHENOBENCH,
    class_mean,
    class_ranks,
    macro_auc,
    problems,
    zero_shot,
)
from tests.task_case import HPO, bench_of, embedded_of, pairs_of, unit


@pytest.fixture(scope="module")
def case(full):
    pairs = pairs_of()
    return bench_of(pairs, full), embedded_of(pairs, full)


def found(result, dataset, metric):
    own = result.outcomes
    return own[(own["dataset"] == dataset) & (own["metric"] == metric)].set_index("query")["value"]


def test_problems_are_modality_benchmark_and_own_classes(case):
    assert [p.dataset for p in problems(case[0])] == ["radiology", PHENOBENCH, "ham10000"]
    assert set(COLUMNS) <= {*MODALITIES, PHENOBENCH}
    assert [p.names for p in problems(case[0])][2] == ["basal cell carcinoma", "melanoma", "melanocytic nevus"]


def test_validation_has_the_same_classes(case):
    for own, val in zip(problems(case[0]), problems(case[0], "val"), strict=True):
        assert own.classes == val.classes
        assert not set(own.rows) & set(val.rows)


def test_scores_equal_a_slow_loop(case):
    bench, embedded = case
    result = zero_shot(bench, embedded)
    table = bench.pairs
    classes = sorted(HPO)
    weights = {}
    for h in classes:
        own = embedded.text([p.format(name=bench.onto[h].name) for p in task.prompts("radiology")])
        mean = np.mean([v / np.linalg.norm(v) for v in own], axis=0)
        weights[h] = mean / np.linalg.norm(mean)
    hit1, hit5, by_class = {}, {}, {h: [] for h in classes}
    for i in np.flatnonzero(table["split"] == "test"):
        order = sorted(classes, key=lambda h, i=i: -float(embedded.images[i] @ weights[h]))
        own = set(table["phenotypes"].iat[i])
        hit1[table["pair_id"].iat[i]] = float(order[0] in own)
        hit5[table["pair_id"].iat[i]] = float(bool(own & set(order[:5])))
        for h in own:
            by_class[h].append(order[0] in own)
    assert found(result, "radiology", "acc1").to_dict() == hit1
    assert found(result, "radiology", "acc5").to_dict() == hit5
    numbers = result.metrics()["radiology"]
    assert numbers["mean_per_class_recall"] == pytest.approx(np.mean([np.mean(v) for v in by_class.values()]))
    assert 0.3 < numbers["acc1"] < 1
    train = table[table["split"] == "train"]["phenotypes"].explode().value_counts()
    most = sorted(train.index, key=lambda h: (-train[h], h))[0]
    own = table[table["split"] == "test"]["phenotypes"]
    assert numbers["majority_acc1"] == pytest.approx(np.mean([most in p for p in own]))
    assert numbers["chance_acc1"] == pytest.approx(np.mean([len(p) / 7 for p in own]))


@pytest.fixture
def theirs(monkeypatch):
    """CLIP_benchmark's functions."""
    try:
        found = importlib.import_module("clip_benchmark.metrics.zeroshot_classification")
    except ImportError as error:
        pytest.skip(f"CLIP_benchmark's metrics cannot be imported: {error}")
    # It takes float() of an array of one element, which NumPy 2.4 no longer allows.
    monkeypatch.setattr(found, "float", lambda x: np.asarray(x).item(), raising=False)
    return found


def test_equals_clip_benchmark(case, theirs):
    """Its functions on the same embeddings, on the problem with one class an image."""
    bench, embedded = case
    problem = problems(bench)[2]
    model = type("Model", (), {"encode_text": lambda self, x: torch.from_numpy(embedded.text(x.texts))})()
    tokens = type("Tokens", (), {"to": lambda self, device: self})

    def tokenize(texts):
        made = tokens()
        made.texts = texts
        return made

    templates = [p.replace("{name}", "{c}") for p in problem.prompts]
    classifier = theirs.zero_shot_classifier(model, tokenize, problem.names, templates, "cpu", amp=False)
    logits = 100 * torch.from_numpy(embedded.images[problem.rows]) @ classifier
    target = torch.from_numpy(problem.truth.indices.astype(np.int64))
    numbers = zero_shot(bench, embedded).metrics()["ham10000"]
    assert numbers["acc1"] == pytest.approx(theirs.accuracy(logits, target)[0])
    assert numbers["mean_per_class_recall"] == pytest.approx(balanced_accuracy_score(target, logits.argmax(axis=1)))
    scores = unit(np.random.default_rng(1), 50, 9)
    truth = np.random.default_rng(2).integers(0, 9, 50)
    ranks = class_ranks(scores, csr_matrix(np.eye(9, dtype=bool)[truth]))
    expected = theirs.accuracy(torch.from_numpy(scores), torch.from_numpy(truth), topk=(1, 5))
    assert [np.mean(ranks <= 1), np.mean(ranks <= 5)] == pytest.approx(expected)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(4, 30), st.integers(2, 6))
def test_macro_auc_equals_scikit_learn(seed, n, k):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (n, k)) / 4  # many ties
    truth = rng.random((n, k)) < 0.4
    some = truth.any(axis=0) & ~truth.all(axis=0)
    if some.any():
        expected = np.mean([roc_auc_score(truth[:, c], scores[:, c]) for c in np.flatnonzero(some)])
        assert macro_auc(scores, truth) == pytest.approx(expected)
    else:
        with pytest.raises(PhenoLIPError, match="two classes"):
            macro_auc(scores, truth)


def test_class_mean_is_balanced_accuracy_with_one_class_an_image():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 6, (2, 80))
    one_hot = csr_matrix(np.eye(9, dtype=bool)[truth])
    assert class_mean(truth == predicted, one_hot) == pytest.approx(balanced_accuracy_score(truth, predicted))
    with pytest.raises(PhenoLIPError, match="no class has an image"):
        class_mean(np.zeros(2), csr_matrix((2, 3), dtype=bool))


def test_equal_texts_give_no_hit(case):
    bench, embedded = case
    same = embedded.text(["x"])[0]
    result = zero_shot(bench, type(embedded)(images=embedded.images, text=lambda texts: np.stack([same] * len(texts))))
    metrics = result.metrics()["radiology"]
    assert metrics["acc1"] == metrics["acc5"] == 0
    assert metrics["macro_auc"] == pytest.approx(0.5, abs=0.2)


def test_order_of_the_pairs_does_not_matter(case):
    bench, embedded = case
    order = np.random.default_rng(5).permutation(len(bench.pairs))
    turned = bench_of(bench.pairs.iloc[order].reset_index(drop=True), bench.onto)
    other = zero_shot(turned, type(embedded)(images=embedded.images[order], text=embedded.text))
    first = zero_shot(bench, embedded)
    assert other.metrics() == {d: pytest.approx(m) for d, m in first.metrics().items()}
    keys = ["dataset", "metric", "query"]
    pd.testing.assert_frame_equal(
        *(r.outcomes.sort_values(keys, ignore_index=True) for r in (first, other)), check_exact=True
    )


def test_prompt_quartiles_are_of_single_prompts(case):
    bench, embedded = case
    problem = problems(bench)[0]
    accuracies = []
    for prompt in problem.prompts:
        weights = embedded.text([prompt.format(name=name) for name in problem.names])
        best = (embedded.images[problem.rows] @ weights.T).argmax(axis=1)
        accuracies.append(np.mean([problem.truth[i, c] for i, c in enumerate(best)]))
    numbers = zero_shot(bench, embedded).numbers["radiology"]
    assert numbers["acc1_prompt_median"] == pytest.approx(np.median(accuracies))
    assert numbers["acc1_prompt_min"] == pytest.approx(min(accuracies))
    assert numbers["acc1_prompt_q3"] == pytest.approx(np.quantile(accuracies, 0.75))
    assert numbers["acc1_prompt_min"] < numbers["acc1_prompt_max"]
    assert numbers["n_prompts"] == len(problem.prompts)


def test_medmnist_sets_are_targets_of_their_own():
    pairs = pairs_of(6, dataset="medmnist").assign(
        pair_id=["medmnist/pathmnist/a", "medmnist/bloodmnist_64/b", "medmnist/pathmnist/c", "d", "e", "f"],
        class_name=["x", "y", "", "x", "x", "x"],
    )
    pairs.loc[3:, "dataset"] = ["phantom", "idrid", "idrid"]
    expected = ["pathmnist", "bloodmnist_64", "", "phantom-radiology", "idrid", "idrid"]
    assert task.targets(pairs).tolist() == expected


def test_test_images_of_one_class_are_left_out(full):
    pairs = pairs_of(60)
    pairs.loc[pairs["split"] == "test", "class_name"] = "nv"
    pairs["phenotypes"] = [
        [HPO[0]] if s == "test" else p for s, p in zip(pairs["split"], pairs["phenotypes"], strict=True)
    ]
    bench = bench_of(pairs, full)
    assert problems(bench) == []
    assert zero_shot(bench, embedded_of(pairs, full)).metrics() == {}


@pytest.mark.parametrize(("value", "words"), [(np.nan, "not finite"), (0.0, "all zeros")])
def test_a_bad_embedding_is_named(case, value, words):
    bench, embedded = case
    images = embedded.images.copy()
    row = problems(bench)[0].rows[0]
    images[row] = value
    with pytest.raises(PhenoLIPError, match=f"image of {bench.pairs['pair_id'].iat[row]}.*{words}"):
        zero_shot(bench, type(embedded)(images=images, text=embedded.text))


def test_a_phenotype_of_another_release_is_named(toy):
    pairs = pairs_of(60, phenotypes=["HP:0001640", "HP:0099999"])
    with pytest.raises(PhenoLIPError, match=f"not in HPO {toy.release}"):
        problems(bench_of(pairs, toy))
