"""The tour's tables against what they are made of, and its pictures with and without a licence to show them."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.ontology import similarity
from phenolip_lib.reporting import tour
from tests.task_case import bench_of, embedded_of, pairs_of

HEART = "HP:0001640"


@pytest.fixture(scope="module")
def case(full, tmp_path_factory):
    """Radiographs whose embeddings lie near their phenotypes' names; every second one may not be shown."""
    root = tmp_path_factory.mktemp("data")
    for shade in range(3):
        Image.new("RGB", (40, 30), (80 * shade,) * 3).save(root / f"{shade}.png")
    pairs = pairs_of(n=60).assign(left=0.0, top=0.0, right=1.0, bottom=1.0)
    pairs["image"] = [f"{i % 3}.png" for i in range(len(pairs))]
    pairs["licence"] = np.where(np.arange(len(pairs)) % 2, "CC0-1.0", "LicenseRef-NLM-MedPix")
    bench = bench_of(pairs, full, candidates=40)
    paths = SimpleNamespace(data=lambda source: root)
    experiment = SimpleNamespace(onto=full, pairs=pairs, bench=bench, source="open", paths=paths)
    return experiment, embedded_of(pairs, full, noise=0.1)


def test_place_goes_from_the_root_to_the_term(full):
    table = tour.place(full, HEART)
    assert table["hpo_id"].iloc[[0, -1]].tolist() == ["HP:0000001", HEART]
    assert set(table["hpo_id"]) == full.ancestors(HEART)
    assert table["depth"].is_monotonic_increasing
    assert table["below"].iat[0] == len(full) - 1
    assert table["below"].iat[-1] == len(full.children.get(HEART, ()))


def test_neighbours_are_the_nearest_names_with_their_similarity(full, monkeypatch):
    ids = sorted(full.phenotypes)[:50]
    rng = np.random.default_rng(0)
    both = SimpleNamespace()
    spaces = {name: rng.standard_normal((50, 8)) for name in ("untrained", "knowledge")}
    monkeypatch.setattr(tour, "of_names", lambda _: (ids, spaces))
    table = tour.neighbours(full, ids[7], both, k=3)
    for name, own in spaces.items():
        order = sorted((i for i in range(50) if i != 7), key=lambda i: -(own[i] @ own[7]))[:3]
        assert table[name].tolist() == [full[ids[i]].name for i in order]
        lin = [similarity.lin(full, [ids[7]], [ids[i]])[0, 0] for i in order]
        assert table[f"Lin ({name})"].tolist() == pytest.approx(lin, abs=0.005)
    with pytest.raises(PhenoLIPError, match="is no phenotype of HPO"):
        tour.neighbours(full, "HP:0000001", both)


def test_shown_by_counts_more_special_terms_and_says_when_there_is_nothing(case):
    experiment, _ = case
    rows = tour.shown_by(experiment, HEART, "test")
    own = zip(experiment.pairs["phenotypes"], experiment.pairs["split"], strict=True)
    expected = [i for i, (shown, split) in enumerate(own) if HEART in shown and split == "test"]
    assert rows.tolist() == expected
    assert set(expected) <= set(tour.shown_by(experiment, "HP:0001626"))  # the cardiovascular system
    with pytest.raises(PhenoLIPError, match=r"no picture of source open shows HP:0000501 \(Glaucoma\).*tour.open"):
        tour.shown_by(experiment, "HP:0000501")


def test_ranked_puts_the_picture_s_phenotypes_first_where_embeddings_do(case, full):
    experiment, embedded = case
    row = tour.middle(tour.shown_by(experiment, HEART, "test"))
    table = tour.ranked(experiment, embedded, row, k=5)
    truth = experiment.pairs["phenotypes"].iat[row]
    assert set(table["name"][: len(truth)]) == {full[h].name for h in truth}
    assert table["right"].tolist() == [True] * len(truth) + [False] * (5 - len(truth))
    assert (table["lin"][: len(truth)] == 1).all()
    assert table["cosine"].is_monotonic_decreasing


def test_pictures_that_may_not_be_passed_on_are_not_drawn(case):
    experiment, embedded = case
    rows = tour.shown_by(experiment, HEART)[:5]
    figure = tour.gallery(experiment, HEART, n=5)
    drawn = [len(axis.images) for axis in figure.axes]
    assert drawn == [int(row % 2) for row in rows] + [0] * (5 - len(rows))
    figure = tour.retrieved(experiment, {"phenolip": (None, embedded)}, HEART, k=4)
    test = np.flatnonzero((experiment.pairs["split"] == "test").to_numpy())
    best = test[np.argsort(-(embedded.images[test] @ embedded.text(["Cardiomegaly"])[0]))[:4]]
    assert [len(axis.images) for axis in figure.axes] == [int(row % 2) for row in best]
    frames = [axis.spines["left"].get_edgecolor() for axis in figure.axes]
    shows = [HEART in experiment.pairs["phenotypes"].iat[row] for row in best]
    assert len(set(zip(frames, shows, strict=True))) == len(set(shows))
    plt.close("all")
