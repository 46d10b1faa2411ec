"""Phenotype matching against slow loops; a folder of one's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse import csr_matrix

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.tasks import matching as task
from phenolip_lib.evaluation.tasks.matching import (
    at_threshold,
    best_threshold,
    candidates,
    load_folder,
    matching,
    shares_found,
)
from tests.task_case import FACE, bench_of, embedded_of, pairs_of


@pytest.fixture(scope="module")
def case(full):
    pairs = pairs_of(160, dataset="phantom", modality="face", phenotypes=FACE)
    return bench_of(pairs, full, face_candidates=60), embedded_of(pairs, full)


def random_case(seed, n, m, levels=6):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (n, m)).astype(np.float32) / levels  # many ties
    truth = rng.random((n, m)) < 0.3
    truth[np.arange(n), rng.integers(0, m, n)] = True
    return scores, truth


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 12), st.integers(1, 12))
def test_share_found_equals_a_sorted_list(seed, n, m, k):
    scores, truth = random_case(seed, n, m)
    expected = []
    for s, t in zip(scores, truth, strict=True):
        first = sorted(range(m), key=lambda j: (-s[j], t[j]))[:k]  # of equals the wrong ones come first
        expected.append(sum(t[j] for j in first) / t.sum())
    np.testing.assert_allclose(shares_found(scores, csr_matrix(truth), (k,))[0], expected)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 12))
def test_threshold_is_the_best_of_all(seed, n, m):
    scores, truth = random_case(seed, n, m)

    def mean_f1(threshold):
        values = []
        for s, t in zip(scores, truth, strict=True):
            chosen, right = {j for j in range(m) if s[j] >= threshold}, set(np.flatnonzero(t))
            p = len(chosen & right) / len(chosen) if chosen else 0
            r = len(chosen & right) / len(right)
            values.append(2 * p * r / (p + r) if p + r else 0)
        return np.mean(values)

    found = best_threshold(scores, csr_matrix(truth))
    options = np.unique(scores)
    best = max(mean_f1(t) for t in options)
    assert mean_f1(found) == pytest.approx(best)
    assert not [t for t in options if t > found and mean_f1(t) > best - 1e-12]
    precision, recall, f1 = at_threshold(scores, csr_matrix(truth), found)
    assert f1.mean() == pytest.approx(mean_f1(found))
    both = precision + recall > 0
    np.testing.assert_allclose(f1[both], (2 * precision * recall)[both] / (precision + recall)[both])


def test_equal_scores_find_nothing_and_nothing_chosen_is_zero():
    truth = csr_matrix(np.eye(3, 100, dtype=bool))
    assert [v.mean() for v in shares_found(np.zeros((3, 100), np.float32), truth, (5, 99, 100))] == [0, 0, 1]
    precision, recall, f1 = at_threshold(np.zeros((3, 100)), truth, 0.5)
    assert precision.sum() == recall.sum() == f1.sum() == 0


def test_result_uses_the_threshold_of_validation_images(case):
    bench, embedded = case
    result = matching(bench, embedded)
    numbers = result.metrics()["face"]
    table, ids = bench.pairs, candidates(bench)
    names = embedded.text([bench.onto[h].name for h in ids])
    per_image = {}
    for i in np.flatnonzero(table["split"] == "test"):
        scores, own = embedded.images[i] @ names.T, set(table["phenotypes"].iat[i])
        chosen = {h for h, s in zip(ids, scores, strict=True) if s >= numbers["threshold"]}
        top = {ids[j] for j in np.argsort(-scores)[:5]}
        per_image[table["pair_id"].iat[i]] = (
            len(top & own) / len(own),
            len(chosen & own) / len(chosen) if chosen else 0.0,
            len(chosen & own) / len(own),
        )
    for place, metric in enumerate(("recall@5", "precision", "recall")):
        own = result.outcomes[result.outcomes["metric"] == metric].set_index("query")["value"]
        assert own.to_dict() == pytest.approx({q: v[place] for q, v in per_image.items()})
    assert 0.2 < numbers["f1"] <= 1
    assert numbers["n_candidates"] == 60
    assert numbers["phenotypes_per_image"] > 1
    assert numbers["chance_recall@10"] == pytest.approx(1 / 6)
    test = table["split"] == "test"
    changed = embedded.images.copy()
    changed[test] = changed[test][::-1]
    other = matching(bench, type(embedded)(images=changed, text=embedded.text))
    assert other.numbers["face"]["threshold"] == numbers["threshold"], "test images do not move it"


def test_candidates_are_of_the_images_then_unrelated_leaves_of_the_head(case):
    bench, _ = case
    onto, ids = bench.onto, candidates(bench)
    assert ids[: len(FACE)] == sorted(FACE)
    assert len(set(ids)) == len(ids) == 60
    for h in ids[len(FACE) :]:
        assert h in onto.descendants(task.NEAR)
        assert not (onto.ancestors(h) | onto.descendants(h)) & set(FACE)
    more = candidates(bench_of(bench.pairs, onto, face_candidates=993))
    assert more[:60] == ids
    assert len(more) == 993
    assert len(candidates(bench_of(bench.pairs, onto, face_candidates=1))) == len(FACE)


def test_no_faces_no_result(full):
    pairs = pairs_of(60)
    bench = bench_of(pairs, full)
    assert matching(bench, embedded_of(pairs, full)).metrics() == {}


def test_a_bad_embedding_is_named(case):
    bench, embedded = case
    images = np.zeros_like(embedded.images)
    with pytest.raises(PhenoLIPError, match="image of phantom/p.* all zeros"):
        matching(bench, type(embedded)(images=images, text=embedded.text))


# --- a folder of one's own ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for i in range(40):
        Image.new("RGB", (32, 32), (i, 0, 0)).save(tmp_path / f"{i}.png")
    return tmp_path


def write(folder, *rows, header="image,hpo_ids,patient,split"):
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *rows]))
    return path


def test_folder_is_read_as_pairs(folder, full):
    table = write(
        folder, "0.png,HP:0000316; HP:0000343,a,val", "1.png,hp_0000369|HP:0000316,b,test", "2.png,HP:0000316,,test"
    )
    pairs = load_folder(folder, table, full)
    assert pairs["phenotypes"].tolist() == [["HP:0000316", "HP:0000343"], ["HP:0000316", "HP:0000369"], ["HP:0000316"]]
    assert pairs["group"].tolist() == ["a", "b", "2.png"]
    assert pairs["split"].tolist() == ["val", "test", "test"]
    assert len(candidates(bench_of(pairs, full))) == 993
    numbers = matching(bench_of(pairs, full), embedded_of(pairs, full)).metrics()["face"]
    assert (numbers["n_val"], numbers["n_images"]) == (1, 2)


def test_old_ids_become_live_ones(folder, full):
    old, live = next((o, n) for o, n in sorted(full.replaced.items()) if n in full.leaves)
    assert load_folder(folder, write(folder, f"0.png,{old},a,test"), full)["phenotypes"].iat[0] == [live]


def test_without_splits_a_fifth_of_the_patients_is_for_validation(folder, full):
    rows = [f"{i}.png,HP:0000316,p{i // 2}" for i in range(40)]
    pairs = load_folder(folder, write(folder, *rows, header="image,hpo_ids,patient"), full)
    assert 0 < (pairs["split"] == "val").sum() < 20
    assert (pairs.groupby("group")["split"].nunique() == 1).all()


def test_images_that_share_a_group_or_a_patient_stay_together(folder, full):
    table = folder / "both.csv"
    rows = [("", "p"), ("g", "p"), ("g", "q"), ("", "q")]
    lines = [f"{i}.png,HP:0000316,{group},{patient}" for i, (group, patient) in enumerate(rows)]
    table.write_text("\n".join(["image,hpo_ids,group,patient", *lines]))
    found = load_folder(folder, table, full)
    assert found["group"].tolist() == ["g"] * 4
    assert found["split"].nunique() == 1
    for kind, apart in (("patient p", "val test test test"), ("group g", "val val test test")):
        told = [f"{line},{split}" for line, split in zip(lines, apart.split(), strict=True)]
        table.write_text("\n".join(["image,hpo_ids,group,patient,split", *told]))
        with pytest.raises(PhenoLIPError, match=f"both.csv: {kind} is in val and in test"):
            load_folder(folder, table, full)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "has no rows"),
        (["9x.png,HP:0000316,a,test"], "9x.png: image file is absent"),
        (["../0.png,HP:0000316,a,test"], "leads out"),
        (["0.png,HP:9999999,a,test"], "0.png: HP:9999999 is not in HPO"),
        (["0.png, ; ,a,test"], "0.png: has no HPO id"),
        (["0.png,HP:0000316,a,test", "0.png,HP:0000343,a,test"], "0.png is in two rows"),
        (["0.png,HP:0000316,a,train"], "'train' is neither val nor test"),
        (["0.png,HP:0000316,a,test", "1.png,HP:0000343,a,val"], "patient a is in val and in test"),
    ],
)
def test_errors_are_one_line_that_names_the_thing(folder, full, rows, words):
    with pytest.raises(PhenoLIPError, match=words) as error:
        load_folder(folder, write(folder, *rows), full)
    assert "\n" not in str(error.value)


def test_other_mistakes_are_named(folder, full):
    with pytest.raises(PhenoLIPError, match="modality 'faces'"):
        load_folder(folder, write(folder, "0.png,HP:0000316,a,test"), full, "faces")
    with pytest.raises(PhenoLIPError, match="hpo_ids"):
        load_folder(folder, write(folder, "0.png,HP:0000316", header="image,hpo"), full)
    with pytest.raises(PhenoLIPError, match="missing"):
        load_folder(folder, folder / "absent.csv", full)
