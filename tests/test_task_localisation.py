"""Localisation against scikit-learn and slow loops, and on maps that are known to be right or wrong."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, jaccard_score

from phenolip_lib.data.masks import Masked
from phenolip_lib.evaluation.tasks import localisation as task
from phenolip_lib.evaluation.tasks.localisation import METRICS, centre, distance, ious, localisation, pixel_ap, scores

SEEDS = st.integers(0, 10_000)


def drawn(seed, shape=(9, 13), levels=None):
    rng = np.random.default_rng(seed)
    heat = rng.random(shape) if levels is None else rng.integers(0, levels, shape) / levels
    mask = rng.random(shape) < 0.2
    mask[tuple(rng.integers(0, shape))] = True
    return heat.astype(np.float32), mask


@settings(max_examples=60)
@given(SEEDS, st.sampled_from([None, 1, 2, 5]))
def test_pixel_ap_is_scikit_learns(seed, levels):
    heat, mask = drawn(seed, levels=levels)
    assert pixel_ap(heat, mask) == pytest.approx(average_precision_score(mask.ravel(), heat.ravel()))


@settings(max_examples=60)
@given(SEEDS, st.sampled_from([0.05, 0.1, 0.4]))
def test_iou_is_scikit_learns_at_the_same_area(seed, area):
    heat, mask = drawn(seed)
    n = int(np.floor(area * (heat.size - 1))) + 1
    highest = np.zeros(heat.size, bool)
    highest[np.argsort(-heat.ravel(), kind="stable")[:n]] = True
    assert ious(heat, mask, [0.5, area])[1] == pytest.approx(jaccard_score(mask.ravel(), highest))


@settings(max_examples=60)
@given(SEEDS)
def test_distance_is_that_to_the_nearest_square(seed):
    _, mask = drawn(seed)
    rng = np.random.default_rng(seed + 1)
    y, x = rng.uniform(-3, 12, 2)
    grid = np.linspace(-0.5, 0.5, 41)
    slow = min(
        np.hypot(r + dy - y, c + dx - x)
        for r, c in np.argwhere(mask)
        for dy in grid
        for dx in grid[[0, 10, 20, 30, 40]]
    )
    assert distance(mask, y, x) <= slow + 1e-9
    assert distance(mask, y, x) >= slow - 0.3
    assert distance(np.zeros((3, 3), bool), 1, 1) == np.inf


def test_a_perfect_map_and_its_opposite():
    _, mask = drawn(3)
    point = [tuple(map(float, np.argwhere(mask)[0]))]
    assert scores(mask.astype(float), point, mask, mask.mean()) == (1, 1, 1, pytest.approx(1, abs=0.1))
    worst = scores(-mask.astype(float), [(-40.0, -40.0)], mask, 0.05)
    assert worst[:2] == (0, 0)
    assert worst[2] < mask.mean() + 0.05


def test_pointing_needs_every_tied_cell_and_tolerance_is_three_hundredths():
    mask = np.zeros((100, 100), bool)
    mask[50, 50] = True
    assert scores(centre((100, 100)), [(50.0, 50.0), (10.0, 10.0)], mask, 0.1)[:2] == (0, 0)
    assert scores(centre((100, 100)), [(50.0, 53.4)], mask, 0.1)[:2] == (0, 1)
    assert scores(centre((100, 100)), [(50.0, 53.6)], mask, 0.1)[:2] == (0, 0)


def test_centre_falls_off_evenly():
    found = centre((5, 9))
    assert found[2, 4] == 0
    assert np.allclose(found, found[::-1, ::-1])
    assert found[0, 0] == found.min()


# --- the whole task, on cells that know their phenotype --------------------------------------------

NAMES = ("HP:0001744", "HP:0001640")


class _Head:
    """A student whose cells are their features."""

    logit_scale = torch.zeros(())  # says where it lies

    def __init__(self, fit):
        self.towers = SimpleNamespace(
            fit=fit, image_cells=1, model=SimpleNamespace(visual=SimpleNamespace(trunk=SimpleNamespace(global_pool="")))
        )

    def eval(self):
        return self

    def image(self, x):
        return torch.nn.functional.normalize(x, dim=-1)


@pytest.fixture
def case(full):
    from phenolip_lib.models.preprocess import Fit

    rng = np.random.default_rng(0)
    directions = np.eye(8, dtype=np.float32)
    masks, features = [], rng.normal(0, 0.05, (12, 8, 4, 4)).astype(np.float32)
    features[:, 7] += 1
    for i in range(12):
        own = {}
        for k, hpo_id in enumerate(NAMES):
            r, c = (i + 2 * k) % 4, (i // 4 + k) % 4
            mask = np.zeros((40, 40), bool)
            mask[10 * r : 10 * r + 10, 10 * c : 10 * c + 10] = True
            own[hpo_id] = mask
            features[i, k, r, c] += 3
        masks.append(own)
    rows = pd.DataFrame(
        {
            "pair_id": [f"set/{i:02d}" for i in range(12)],
            "dataset": "set",
            "modality": "radiology",
            "group": [f"set/g{i // 2}" for i in range(12)],
            "split": ["val"] * 4 + ["test"] * 8,
        }
    )
    known = {full[h].name: k for k, h in enumerate(NAMES)}

    def text(texts):
        return np.stack([directions[next(k for name, k in known.items() if name in t)] for t in texts])

    bench = SimpleNamespace(onto=full, split="test")
    return bench, SimpleNamespace(text=text), _Head(Fit()), Masked(rows, masks), torch.from_numpy(features)


def means(result):
    return result.outcomes.groupby("metric")["value"].mean()


def test_cells_that_know_their_phenotype_are_found(case):
    result = localisation(*case)
    found = means(result)
    assert found["pointing_similarity"] == found["pointing_contrast"] == 1
    assert found["pixel_ap_contrast"] > 0.8
    assert found["iou_contrast"] > 0.5
    numbers = result.numbers["set"]
    assert numbers["mask_share"] == pytest.approx(1 / 16)
    assert (numbers["n_images"], numbers["n_queries"], numbers["n_phenotypes"], numbers["cells"]) == (8, 16, 2, 16)
    assert numbers["n_val"] == 4
    assert numbers["area_contrast"] in (0.05, 0.1)
    assert set(result.outcomes["metric"]) == {
        f"{metric}_{name}" for metric in METRICS for name in ("similarity", "contrast", "salience", "centre")
    }
    assert result.outcomes["group"].nunique() == 4


def test_what_does_not_know_the_text_cannot_tell_two_findings_apart(case):
    found = means(localisation(*case))
    assert found["pointing_salience"] <= 0.5
    assert found["pixel_ap_salience"] < found["pixel_ap_contrast"] - 0.2
    assert found["pixel_ap_centre"] < 0.3


def test_the_area_is_chosen_on_validation_pictures_only(case):
    bench, embedded, student, masked, features = case
    before = localisation(*case)
    test = (masked.rows["split"] == "test").to_numpy()
    other = [
        {h: np.roll(m, 17, axis=1) for h, m in own.items()} if is_test else own
        for own, is_test in zip(masked.masks, test, strict=True)
    ]
    after = localisation(bench, embedded, student, Masked(masked.rows, other), features)
    assert after.numbers["set"]["area_contrast"] == before.numbers["set"]["area_contrast"]
    assert means(after)["iou_contrast"] < means(before)["iou_contrast"]
    none = Masked(masked.rows[test].reset_index(drop=True), [m for m, t in zip(masked.masks, test, strict=True) if t])
    alone = localisation(bench, embedded, student, none, features[np.flatnonzero(test)])
    assert alone.numbers["set"]["area_contrast"] == task.DEFAULT_AREA


def test_several_modalities_are_data_sets_of_their_own(case):
    masked = case[3]
    rows = masked.rows.assign(modality=["radiology", "face"] * 6)
    assert list(task.datasets(rows)) == ["set-face", "set-radiology"]
    np.testing.assert_array_equal(task.datasets(rows)["set-face"], np.arange(1, 12, 2))


def test_no_test_picture_no_result(case):
    bench, embedded, student, masked, features = case
    rows = masked.rows.assign(split="val")
    assert not len(localisation(bench, embedded, student, Masked(rows, masked.masks), features).outcomes)
