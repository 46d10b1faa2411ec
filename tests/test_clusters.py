"""Clusters of pictures: as scikit-learn makes them, stable, and dropped only by a decision made on them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import parse_params
from phenolip_lib.curation import clusters, phenokg
from phenolip_lib.curation.steps import Ledger, Picture
from phenolip_lib.reporting import cluster_view
from tests.test_curation import picture, record


def blobs(sizes, seed: int = 0, width: int = 12, apart: float = 40.0) -> tuple[np.ndarray, np.ndarray]:
    """Well separated normal blobs of the given sizes, and which row is of which."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    centres = apart * np.eye(len(sizes), width)
    return (centres[truth] + rng.normal(size=(len(truth), width))).astype(np.float32), truth


def ids_of(n: int) -> list[str]:
    return [f"p{i:04d}" for i in range(n)]


def found(features: np.ndarray) -> list[Picture]:
    """Pictures with nothing but a record and features, as the step takes them."""
    empty = np.zeros(0)
    return [
        Picture(record(name), name, empty, empty, name, features=row)
        for name, row in zip(ids_of(len(features)), features, strict=True)
    ]


# --- clustering ---------------------------------------------------------------------------------


def test_labels_are_those_of_scikit_learn():
    features, _ = blobs([30, 22, 17, 9])
    features[:, 3] *= 100  # without standardisation this column would decide alone
    table = clusters.two_level(features, ids_of(len(features)), (4, 3), seed=7)
    scaled = StandardScaler().fit_transform(features)
    first = table["cluster"].str[:3]
    assert adjusted_rand_score(first, KMeans(4, random_state=7, n_init=4).fit_predict(scaled)) == 1
    for name in first.unique():
        own = scaled[first == name]
        model = KMeans(3, random_state=7, n_init=4).fit(own)
        assert adjusted_rand_score(table["cluster"][first == name], model.labels_) == 1
        away = np.linalg.norm(own - model.cluster_centers_[model.labels_], axis=1)
        np.testing.assert_allclose(table["distance"][first == name], away, rtol=1e-4)


def test_names_go_by_size_and_then_by_the_smallest_id():
    features, truth = blobs([5, 9, 9], width=3)
    table = clusters.two_level(features, ids_of(len(features)), (3, 1), seed=0)
    assert [table["cluster"][truth == blob].unique().tolist() for blob in range(3)] == [
        ["c03.01"],
        ["c01.01"],
        ["c02.01"],
    ]


@hypothesis_settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_every_clustering_is_whole_and_free_of_the_order_of_rows(n, first, second, seed):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 4, (n, 3)).astype(np.float32)  # with equal rows
    table = clusters.two_level(features, ids_of(n), (first, second), seed)
    order = rng.permutation(n)
    other = clusters.two_level(features[order], [ids_of(n)[i] for i in order], (first, second), seed)
    pd.testing.assert_frame_equal(table.iloc[order].reset_index(drop=True), other)
    sizes = table["cluster"].str.split(".", expand=True).value_counts().sort_index()
    outer = sizes.groupby(level=0).sum()
    assert len(outer) <= first
    assert outer.index.tolist() == [f"c{i + 1:02d}" for i in range(len(outer))]
    assert outer.is_monotonic_decreasing
    for name in outer.index:
        parts = sizes.loc[name]
        assert len(parts) <= min(second, outer[name])
        assert parts.index.tolist() == [f"{i + 1:02d}" for i in range(len(parts))]
        assert parts.is_monotonic_decreasing


def test_a_cluster_smaller_than_its_parts_falls_apart():
    features, truth = blobs([20, 3])
    table = clusters.two_level(features, ids_of(23), (2, 5), seed=0)
    assert sorted(table["cluster"][truth == 1]) == ["c02.01", "c02.02", "c02.03"]
    assert table["distance"][truth == 1].tolist() == pytest.approx([0, 0, 0], abs=1e-5)


# --- decision -----------------------------------------------------------------------------------


@pytest.fixture
def settings(params):
    return params.phenokg.model_copy(update={"clusters": [4, 2]})


def test_planted_blobs_are_dropped_with_their_count(settings):
    """Two kinds of pictures that are no medical images, 31 and 12 of them, among 140 that are."""
    features, truth = blobs([90, 31, 50, 12])
    planted = found(features)
    everything, table = clusters.drop_clusters(planted, settings, Ledger())
    assert everything == planted
    assert not table["dropped"].any()
    names = sorted(table["cluster"][np.isin(truth, (1, 3))].unique())
    assert not set(names) & set(table["cluster"][np.isin(truth, (0, 2))])
    decision = {"drop_clusters": {clusters.fingerprint(table): names}}
    ledger = Ledger()
    kept, table = clusters.drop_clusters(planted, settings.model_copy(update=decision), ledger)
    assert [p.record.record_id for p in kept] == [n for n, t in zip(ids_of(183), truth, strict=True) if t in (0, 2)]
    assert ledger.steps == [("drop clusters", 183, 140)]
    reasons = ledger.quarantine()
    assert set(reasons["step"]) == {"clusters"}
    assert len(reasons) == 43 == table["dropped"].sum()
    told = dict(zip(reasons["record_id"], reasons["reason"], strict=True))
    for row in table[table["dropped"]].itertuples():
        assert f"in cluster {row.cluster} of " in told[row.pair_id]


def test_a_decision_holds_for_its_clustering_only(settings):
    features, _ = blobs([20, 12])
    table = clusters.drop_clusters(found(features), settings, Ledger())[1]
    key = clusters.fingerprint(table)
    decision = settings.model_copy(update={"drop_clusters": {key: ["c02.01"]}})
    clusters.drop_clusters(found(features), decision, Ledger())
    with pytest.raises(
        PhenoLIPError, match=rf"was decided for {key}, but the clustering is now k\w+: .*notebook 2"
    ) as e:
        clusters.drop_clusters(found(features[:-1]), decision, Ledger())
    assert "\n" not in str(e.value)
    moved = table.assign(cluster=["c01.02", *table["cluster"][1:]])
    assert table["cluster"][0] != "c01.02"
    assert clusters.fingerprint(moved) != key
    assert clusters.fingerprint(table.sample(frac=1, random_state=0)) == key


def test_decisions_of_several_sources_live_side_by_side():
    decisions = {"kaaaaaaaa": ["c01.02", "c01.01", "c01.02"], "kbbbbbbbb": []}
    assert clusters.decided(decisions, "kaaaaaaaa", {"c01.01", "c01.02"}) == ["c01.01", "c01.02"]
    assert clusters.decided(decisions, "kbbbbbbbb", {"c01.01"}) == []
    assert clusters.decided({}, "kcccccccc", {"c01.01"}) == []


def test_an_unknown_cluster_is_refused_with_the_nearest():
    with pytest.raises(PhenoLIPError, match=r"no cluster 'c7.13'; did you mean 'c07.13'\?"):
        clusters.decided({"k0": ["c7.13"]}, "k0", ["c01.02", "c07.12", "c07.13"])


def test_params_want_two_counts_and_no_decision_without_them(params):
    tree = params.model_dump()
    for changes, message in [
        ({"clusters": [20]}, r"phenokg.clusters: .*at least 2 items"),
        ({"clusters": [20, 0]}, r"phenokg.clusters.1: .*greater than or equal to 1"),
        ({"drop_clusters": {"k0": ["c01.01"]}}, r"phenokg: .*clusters is null"),
    ]:
        with pytest.raises(PhenoLIPError, match=message):
            parse_params(tree | {"phenokg": tree["phenokg"] | changes})


# --- the whole build ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve pictures of coarse colours, six of black letters on white, and one blurred copy."""
    root = tmp_path_factory.mktemp("source")
    for i in range(12):
        picture(i).save(root / f"r{i}.png")
    for i in range(6):
        page = np.full((64, 64, 3), 255, np.uint8)
        page[8:56:6, 6 : 40 + 3 * i] = 0
        Image.fromarray(page).save(root / f"t{i}.png")
    picture(5).resize((60, 60)).resize((64, 64)).save(root / "s5.png")
    return root, [*(record(f"r{i}") for i in range(12)), *(record(f"t{i}") for i in range(6)), record("s5")]


@pytest.fixture(scope="module")
def plain(params):
    return params.with_overrides({"phenokg.engine": "serial", "phenokg.min_medical": 0.0}).phenokg


@pytest.fixture(scope="module")
def clustered(folder, toy, plain, tmp_path_factory):
    """A build with clusters and nothing decided yet, and its cache."""
    cache = tmp_path_factory.mktemp("cache")
    settings = plain.model_copy(update={"clusters": [2, 2], "duplicate_distance": 12})
    return phenokg.build(folder[1], folder[0], toy, settings, cache), settings, cache


def test_a_build_drops_clusters_and_close_copies(folder, toy, clustered):
    root, records = folder
    before, settings, cache = clustered
    pages = sorted(before.clusters["cluster"][before.clusters["pair_id"].str.startswith("t")].unique())
    decision = {"drop_clusters": {clusters.fingerprint(before.clusters): pages}}
    kg = phenokg.build(records, root, toy, settings.model_copy(update=decision), cache)
    reasons = dict(zip(kg.quarantine["record_id"], kg.quarantine["reason"], strict=True))
    assert sorted(reasons) == ["s5", *(f"t{i}" for i in range(6))]
    assert reasons["s5"] == "duplicate of r5"
    assert sorted(kg.pairs["pair_id"]) == sorted(f"r{i}" for i in range(12))
    steps = kg.steps.set_index("step")[["in", "out"]].values.tolist()
    names = kg.steps["step"].tolist()
    assert steps[names.index("drop clusters")] == [19, 13]
    assert steps[names.index("remove duplicates")] == [13, 12]


def test_features_are_computed_once(folder, toy, clustered, monkeypatch):
    before, settings, cache = clustered
    monkeypatch.setattr("phenolip_lib.models.features.load_pixels", lambda *_: pytest.fail("computed again"))
    again = phenokg.build(folder[1], folder[0], toy, settings, cache)
    pd.testing.assert_frame_equal(again.clusters, before.clusters)


def test_the_default_build_has_no_such_step(folder, toy, plain, tmp_path, monkeypatch):
    root, records = folder
    monkeypatch.setattr(
        "phenolip_lib.models.features.image_features", lambda *_, **__: pytest.fail("features computed")
    )
    kg = phenokg.build(records, root, toy, plain.model_copy(update={"duplicate_distance": 0}))
    assert plain.clusters is kg.clusters is None
    assert "drop clusters" not in set(kg.steps["step"])
    assert len(kg.pairs) == len(records)
    kg.save(tmp_path)
    assert not (tmp_path / "clusters.parquet").exists()


def test_the_clusters_are_saved(clustered, tmp_path):
    clustered[0].save(tmp_path)
    saved = pd.read_parquet(tmp_path / "clusters.parquet")
    pd.testing.assert_frame_equal(saved, clustered[0].clusters)
    assert clusters.fingerprint(saved) == clusters.fingerprint(clustered[0].clusters)


def test_nothing_usable_is_told_before_any_decision(tmp_path, toy, plain):
    settings = plain.model_copy(update={"clusters": [2, 2], "drop_clusters": {"k0": ["c01.01"]}})
    with pytest.raises(PhenoLIPError, match=r"no usable record is left; the reasons are: image file is absent \(1\)"):
        phenokg.build([record("a")], tmp_path, toy, settings)


def test_an_unknown_encoder_is_named(folder, toy, plain):
    settings = plain.model_copy(update={"clusters": [2, 2], "image_encoder": "phenolip-tiney"})
    with pytest.raises(PhenoLIPError, match=r"phenokg.image_encoder: no configuration .*did you mean 'phenolip-tiny'"):
        phenokg.build(folder[1], folder[0], toy, settings)


# --- what the decision is made on ---------------------------------------------------------------


def test_the_overview_counts_and_puts_pages_first(folder, toy, clustered):
    root, _ = folder
    kg = clustered[0]
    table = kg.clusters.assign(modality=["radiology", *["other"] * (len(kg.clusters) - 1)])
    view = cluster_view.overview(table, kg.pairs, root, toy).set_index("cluster")
    assert view["pictures"].to_dict() == table["cluster"].value_counts().to_dict()
    assert view["medical"].round(1).is_monotonic_increasing
    own = table[table["cluster"] == table["cluster"][0]]
    assert view.loc[own["cluster"].iat[0], "modalities"] == f"other {len(own) - 1}, radiology 1"
    assert view.loc[own["cluster"].iat[0], "mixed"] == round(1 / len(own), 3)
    n = len(set(own["pair_id"]) & set(kg.pairs["pair_id"]))
    assert view.loc[own["cluster"].iat[0], "phenotypes"] == f"Cardiomegaly {n}"


def test_the_sheet_shows_members_from_the_centre_outwards(folder, toy, clustered):
    root, _ = folder
    kg = clustered[0]
    view = cluster_view.overview(kg.clusters, kg.pairs, root, toy)
    figure = cluster_view.contact_sheet(kg.clusters, view, root)
    shown = [axis for axis in figure.axes if axis.images]
    assert len(shown) == view["pictures"].clip(upper=cluster_view.PER_ROW).sum()
    titles = [axis.texts[0].get_text().split(":")[0] for axis in figure.axes[:: cluster_view.PER_ROW]]
    assert titles == view["cluster"].tolist()
    near = cluster_view.closest(kg.clusters, view["cluster"][0])
    assert near["distance"].is_monotonic_increasing
    assert near["distance"].iat[0] == kg.clusters["distance"][kg.clusters["cluster"] == view["cluster"][0]].min()
