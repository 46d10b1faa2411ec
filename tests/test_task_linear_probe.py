"""Linear probes against scikit-learn used the slow way; images that are in no pairs table."""

import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.data.probe_sets import cell_crops, rsna
from phenolip_lib.evaluation.tasks.linear_probe import GRID, TooSmall, linear_probe, probe_arrays, stratified_subset
from tests.task_case import bench_of, embedded_of, pairs_of, settings_of

CLASSES = ["bcc", "mel", "nv"]


@pytest.fixture(scope="module")
def case(full):
    pairs = pairs_of(300, seed=1)
    return bench_of(pairs, full), embedded_of(pairs, full, noise=2.0)


def slow(x, y, split, share, seed):
    """Fresh, fully converged regressions in all dimensions; the best C on validation images."""
    x = x.astype(float) / np.linalg.norm(x, axis=1, keepdims=True) * np.sqrt(x.shape[1])
    train = np.flatnonzero(split == "train")
    rows = train[stratified_subset(y[train], share, np.random.default_rng(seed))]
    probes = [LogisticRegression(C=c / len(rows), tol=1e-8, max_iter=10_000).fit(x[rows], y[rows]) for c in GRID]
    return max(probes, key=lambda p: p.score(x[split == "val"], y[split == "val"])).predict(x[split == "test"])


def test_equals_scikit_learn(case):
    bench, embedded = case
    table, y = bench.pairs, np.searchsorted(CLASSES, bench.pairs["class_name"])
    split = table["split"].to_numpy()
    result = linear_probe(bench, embedded)
    numbers = result.metrics()["ham10000"]
    for share in bench.settings.probe_shares:
        predicted = [slow(embedded.images, y, split, share, seed) for seed in bench.settings.probe_seeds]
        hits = np.array([p == y[split == "test"] for p in predicted])
        own = result.outcomes[result.outcomes["metric"] == f"acc@{share:g}"]
        np.testing.assert_allclose(own["value"], hits.mean(axis=0))
        assert own["query"].tolist() == table["pair_id"][split == "test"].tolist()
        recalls = [balanced_accuracy_score(y[split == "test"], p) for p in predicted]
        assert numbers[f"acc@{share:g}"] == pytest.approx(hits.mean())
        assert numbers[f"mean_per_class_recall@{share:g}"] == pytest.approx(np.mean(recalls))
        if share < 1:
            assert numbers[f"acc@{share:g}_probe_sd"] == pytest.approx(hits.mean(axis=1).std(ddof=1))
    assert "acc@1_probe_sd" not in numbers, "the whole training set is one subset"
    assert numbers["acc@0.01"] < numbers["acc@1"]
    assert numbers["n_labels@0.01"] == 3
    assert numbers["majority"] == pytest.approx(
        np.mean(y[split == "test"] == np.bincount(y[split == "train"]).argmax())
    )


def test_fewer_images_than_dimensions_is_the_same_problem():
    rng = np.random.default_rng(0)
    n, dim = 90, 200
    y = rng.integers(0, 3, n)
    x = rng.standard_normal((n, dim)) + 1.5 * rng.standard_normal((3, dim))[y]
    split = np.repeat(["train", "val", "test"], 30)
    ids = [f"p{i}" for i in range(n)]
    labels = pd.DataFrame({"pair_id": ids, "group": ids, "split": split, "class_name": np.array(CLASSES)[y]})
    result = probe_arrays(x, labels, "t", settings_of(probe_shares=[0.5], probe_seeds=[3], probe_min_per_class=1))
    predicted = slow(x, y, split, 0.5, 3)
    np.testing.assert_array_equal(result.outcomes["value"], predicted == y[split == "test"])


def test_names_of_classes_do_not_matter(case):
    bench, embedded = case
    names = {"bcc": "z", "mel": "a", "nv": "m"}
    turned = bench_of(bench.pairs.assign(class_name=bench.pairs["class_name"].map(names)), bench.onto, probe_shares=[1])
    own = bench_of(bench.pairs, bench.onto, probe_shares=[1])
    (first, second) = (linear_probe(b, embedded).metrics()["ham10000"] for b in (own, turned))
    # Two classes are the most frequent ones here, and the name decides which is called the majority.
    assert second | {"majority": 0} == pytest.approx(first | {"majority": 0})


def test_subset_is_stratified_and_has_every_class():
    y = np.repeat([0, 1, 2], [100, 40, 2])
    rows = stratified_subset(y, 0.1, np.random.default_rng(0))
    assert np.bincount(y[rows]).tolist() == [10, 4, 1]
    assert len(stratified_subset(y, 1.0, np.random.default_rng(0))) == len(y)
    assert not np.array_equal(rows, stratified_subset(y, 0.1, np.random.default_rng(1)))


def test_a_target_too_small_is_left_out_and_logged(case, full, caplog, monkeypatch):
    bench, embedded = case
    monkeypatch.setattr(log, "propagate", True)
    pairs = bench.pairs.copy()
    pairs.loc[pairs["split"] == "val", "class_name"] = ""
    with caplog.at_level(logging.INFO, logger="phenolip"):
        assert linear_probe(bench_of(pairs, full), embedded).metrics() == {}
    assert "ham10000 has no labelled image in the val split" in caplog.text


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda t, x: (t.assign(class_name="nv"), x), TooSmall, "fewer than two classes"),
        (
            lambda t, x: (t.assign(class_name=t["class_name"].mask(t["split"] == "test", "nv")), x),
            TooSmall,
            "one class",
        ),
        (lambda t, x: (t, x[:-1]), PhenoLIPError, "299 feature vectors and 300 labels"),
        (lambda t, x: (t, x * np.nan), PhenoLIPError, "image of ham10000/p000 .*not finite"),
        (lambda t, x: (t, x * 0), PhenoLIPError, "all zeros"),
    ],
)
def test_what_cannot_be_probed_is_said(case, change, error, words):
    bench, embedded = case
    labels, x = change(bench.pairs, embedded.images)
    with pytest.raises(error, match=words):
        probe_arrays(x, labels, "t", bench.settings)


# --- images without pairs -------------------------------------------------------------------------


@pytest.fixture
def smears(tmp_path):
    folder = tmp_path / "chula-rbc-12"
    for part in ("Dataset", "Label"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 255, (200, 240, 3), dtype=np.uint8)).save(folder / f"Dataset/{i}.png")
        (folder / f"Label/{i}.txt").write_text("5 5 0\n120 100 4\n235 195 4\n60 60 10\n")
    return tmp_path


def test_cells_are_squares_within_the_smear_and_keep_its_split(smears):
    splits = {f"chula-rbc-12/smear/{i}": ("test" if i < 2 else "train") for i in range(5)}
    table = cell_crops(smears, splits)
    assert table["class_name"].value_counts().to_dict() == {"target cell": 10, "normal": 5}, "of five smears"
    np.testing.assert_allclose((table["right"] - table["left"]) * 240, 80)
    np.testing.assert_allclose((table["bottom"] - table["top"]) * 200, 80)
    assert table[["left", "top"]].min().min() >= 0
    assert table[["right", "bottom"]].max().max() <= 1
    middle = table[table["pair_id"] == "chula-rbc-12/cell/3/120-100"].iloc[0]
    assert (middle["left"] * 240, middle["top"] * 200) == pytest.approx((80, 60))
    assert table["split"].tolist() == table["group"].map(splits).tolist()
    assert set(cell_crops(smears, splits, per_class=4)["class_name"].value_counts()) == {4}
    assert cell_crops(smears, splits, per_class=4).equals(cell_crops(smears, splits, per_class=4))


@pytest.fixture
def radiographs(tmp_path):
    folder = tmp_path / "rsna"
    (folder / "stage_2_train_images").mkdir(parents=True)
    labels, classes = ["patientId,x,y,width,height,Target"], ["patientId,class"]
    for i in range(20):
        name = ("Normal", "Lung Opacity", "No Lung Opacity / Not Normal")[i % 3]
        box = "1.0,2.0,3.0,4.0,1" if i % 3 == 1 else ",,,,0"
        for _ in range(2 if i % 3 == 1 else 1):  # a row a box
            labels.append(f"p{i},{box}")
            classes.append(f"p{i},{name}")
        Image.new("L", (32, 32), i).save(folder / f"stage_2_train_images/p{i}.png")
    (folder / "stage_2_train_labels.csv").write_text("\n".join(labels))
    (folder / "stage_2_detailed_class_info.csv").write_text("\n".join(classes))
    return tmp_path


def test_radiographs_of_rsna(radiographs):
    table = rsna(radiographs)
    assert len(table) == 20
    assert table["class_name"].value_counts().to_dict() == {
        "Normal": 7,
        "Lung Opacity": 7,
        "No Lung Opacity / Not Normal": 6,
    }
    assert set(table["split"]) == {"train", "val", "test"}
    (radiographs / "rsna/stage_2_train_images/p3.png").unlink()
    assert len(rsna(radiographs)) == 19


def test_radiographs_whose_tables_disagree_are_refused(radiographs):
    path = radiographs / "rsna/stage_2_train_labels.csv"
    path.write_text(path.read_text().replace("p0,,,,,0", "p0,,,,,1"))
    with pytest.raises(PhenoLIPError, match="patient p0 disagree"):
        rsna(radiographs)
