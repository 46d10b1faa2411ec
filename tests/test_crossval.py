"""Other splits: every image a test image once, groups whole, held-out phenotypes nowhere in training."""

import pandas as pd
import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import read_json, write_json
from phenolip_lib.evaluation.results import Result, write_result
from phenolip_lib.experiments import choose, crossval, factors


@pytest.fixture
def pairs(full):
    leaves = full.leaves[:6]
    rows = [(f"p{i:03d}", f"g{i // 2:03d}", "train", [leaves[i // 7 % 6]]) for i in range(84)]
    return pd.DataFrame(rows, columns=["pair_id", "group", "split", "phenotypes"])


@pytest.fixture
def mentions():
    return pd.DataFrame(columns=["pair_id", "field", "hpo_id"], dtype=str)


def test_folds_test_every_image_once_and_keep_groups_whole(params, pairs, mentions, full):
    wanted = params.with_overrides({"evaluation.folds": {"phantom": 4}, "evaluation.unseen_share": {"phantom": 0}})
    found, held = crossval.splits_of(pairs, mentions, full, wanted, "phantom")
    assert held == []
    assert list(found) == ["fold0", "fold1", "fold2", "fold3"]
    tested = pd.concat([own[own["split"] == "test"] for own in found.values()])
    assert sorted(tested["pair_id"]) == pairs["pair_id"].tolist()
    for own in found.values():
        assert own.groupby("group")["split"].nunique().max() == 1
        assert set(own["split"]) == {"train", "test"}


@pytest.mark.parametrize("kind", ["article", "patient"])
@pytest.mark.parametrize("other", [{"evaluation.unseen_share": {"phantom": 0}}, {"evaluation.folds": {"phantom": 0}}])
def test_a_patient_whose_groups_were_not_joined_is_refused(params, pairs, mentions, full, kind, other):
    folds = {"evaluation.folds": {"phantom": 4}, "evaluation.unseen_share": {"phantom": 0.4}}
    apart = pairs.assign(dataset="d", **{kind: [f"p{i % 3}" for i in range(len(pairs))]})
    with pytest.raises(PhenoLIPError, match=rf"{kind} (d/)?p0 is in"):
        crossval.splits_of(apart, mentions, full, params.with_overrides(folds | other), "phantom")


@pytest.fixture
def ran(monkeypatch, params, pairs, mentions, full, tmp_path):
    """Runs that are noted and train nothing; a note is (split, name, seed, training pairs)."""
    found = []

    class Stand:
        def __init__(self, params, source, paths, pairs=None):
            self.params, self.pairs = params, pairs

        def again(self, params=None, pairs=None):
            return Stand(params or self.params, "", None, self.pairs if pairs is None else pairs)

        def of(self, method):
            return self.again(self.params.method(method))

        def trained(self, name, seed):
            return self

    def note(own, student, name, seed, folder, tasks):
        found.append((folder.name, name, seed, own.params.stage2.lambda_kd, (own.pairs["split"] == "train").sum()))

    (tmp_path / "build" / "phantom" / "phenokg").mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text("")
    mentions.to_parquet(tmp_path / "build/phantom/phenokg/mentions.parquet")
    for module in (crossval, choose):
        monkeypatch.setattr(module, "load_pairs", lambda folder: pairs.assign(patient="", article=""))
    monkeypatch.setattr(crossval, "Experiment", Stand)
    monkeypatch.setattr(crossval, "evaluate", note)
    monkeypatch.setattr(crossval.Ontology, "load", lambda folder: full)
    monkeypatch.setattr(choose, "judged", lambda *own: own)
    own = params.with_overrides(
        {
            "runtime.workers": 1,
            "seeds": [3, 4],
            "evaluation.folds": {"phantom": 3},
            "evaluation.unseen_share": {"phantom": 0.4},
            "evaluation.cross_validated": ["clip", "phenolip"],
        }
    )
    return own, Paths(tmp_path), found


FOLDS = ("fold0", "fold1", "fold2")


def test_every_method_runs_once_on_every_split_with_every_seed(ran, tmp_path):
    params, paths, found = ran
    crossval.run(params, "phantom", paths, tmp_path / "out")
    own = [(split, name, seed) for split in (*FOLDS, "unseen") for name in ("clip", "phenolip") for seed in (3, 4)]
    assert [note[:3] for note in found] == own
    assert {note[1]: note[3] for note in found} == {"clip": 0.0, "phenolip": 1.0}
    assert all(note[4] < 84 for note in found)
    assert read_json(tmp_path / "out" / "held_out.json")["phenotypes"]


def test_every_combination_runs_on_the_first_folds_and_what_was_there_goes(ran, tmp_path):
    params, paths, found = ran
    axes = {"teacher": {"a": {"stage2.lambda_kd": 0.0}, "b": {}}, "drop": {"c": {"stage2.head_dropout": 0.5}}}
    own = params.with_overrides({"factors.axes": axes, "factors.seeds": [1], "factors.folds": 2})
    write_json(tmp_path / "out" / "fold0" / "old-seed0" / "old.json", {})
    factors.run(own, "phantom", paths, tmp_path / "out")
    assert [note[:4] for note in found] == [
        (split, name, 1, kd) for split in (*FOLDS[:2], "unseen") for name, kd in (("a-c", 0.0), ("b-c", 1.0))
    ]
    assert not (tmp_path / "out" / "fold0" / "old-seed0").exists()


def test_without_folds_methods_are_compared_on_the_test_split(ran, tmp_path):
    params, paths, found = ran
    none = params.with_overrides({"evaluation.folds": {"phantom": 0}, "evaluation.unseen_share": {"phantom": 0}})
    crossval.compare(
        crossval.evaluated(crossval.Experiment.of, ()), ["clip"], [0], none, "phantom", paths, tmp_path / "o"
    )
    assert [note[:3] for note in found] == [("test", "clip", 0)]


def test_every_setting_is_judged_in_every_fold_and_older_results_of_it_go(ran, tmp_path):
    params, paths, found = ran
    own = params.with_overrides({"choice.seeds": [1, 2], "choice.inner_folds": 2})
    old = [tmp_path / "out" / "fold1" / name / "zero_shot" / "old.json" for name in ("plain-seed1", "named-seed1")]
    for path in old:
        write_json(path, {})
    choose.run(own, "phantom", paths, tmp_path / "out", ["plain", "distilled"], 2)
    assert [note[:4] for note in found] == [
        (split, name, seed, kd)
        for split in FOLDS[:2]
        for name, kd in (("plain", 0.0), ("distilled", 1.0))
        for seed in (1, 2)
    ]
    assert [path.exists() for path in old] == [False, True]


def test_held_out_phenotypes_are_in_test_only(params, pairs, mentions, full):
    wanted = params.with_overrides({"evaluation.folds": {"phantom": 0}, "evaluation.unseen_share": {"phantom": 0.4}})
    splits, held = crossval.splits_of(pairs, mentions, full, wanted, "phantom")
    (found,) = splits.values()
    shown = {split: {h for own in part["phenotypes"] for h in own} for split, part in found.groupby("split")}
    assert shown["test"] - shown["train"]
    assert len(shown["test"] - shown["train"]) == round(0.4 * 6)
    assert held == sorted(shown["test"] - shown["train"])


def test_unseen_are_the_held_out_alone_and_not_all_that_training_lacks(tmp_path):
    rows = [
        ("training_images", "0", "i2p_recall@10", "p1|HP:0000001", "g", 1.0),
        ("training_images", "0", "i2p_recall@10", "p1|HP:0000002", "g", 0.0),
        ("training_images", "0", "p2i_recall@10", "HP:0000001", "HP:0000001", 1.0),
        ("training_images", "1-4", "p2i_recall@10", "HP:0000003", "HP:0000003", 1.0),
    ]
    outcomes = pd.DataFrame(rows, columns=["task", "dataset", "metric", "query", "group", "value"])
    facts = {"source": "phantom", "method": "clip", "seed": 3, "n_train": 1, "provenance": {}}
    write_result(tmp_path / "unseen", "training_images", Result(outcomes), facts)
    write_json(tmp_path / crossval.HELD_OUT, {"phenotypes": ["HP:0000001"]})
    found = crossval.unseen_outcomes(tmp_path)
    assert sorted(found["metric"]) == ["i2p_recall@10", "p2i_recall@10"]
    assert found["query"].str.contains("HP:0000001").all()
    assert set(found["dataset"]) == {""}


def test_outcomes_of_folds_are_one_table_in_which_a_query_is_asked_once(tmp_path):
    for fold in range(2):
        rows = [
            ("retrieval", "", "i2p_recall@10", f"p{fold}", "g", 1.0),
            ("retrieval", "", "p2i_recall@10", "HP:1", "HP:1", 0.0),
        ]
        outcomes = pd.DataFrame(rows, columns=["task", "dataset", "metric", "query", "group", "value"])
        facts = {"source": "phantom", "method": "clip", "seed": 3, "n_train": 1, "provenance": {}}
        write_result(tmp_path / f"fold{fold}", "retrieval", Result(outcomes), facts)
    found = crossval.outcomes(tmp_path, "retrieval")
    assert not found.duplicated(["method", "seed", "metric", "query"]).any()
    assert found["seed"].eq(3).all()
    asked = found[found["metric"] == "p2i_recall@10"]
    assert asked["query"].tolist() == ["HP:1|fold0", "HP:1|fold1"]
    assert asked["group"].unique().tolist() == ["HP:1"]
    assert len(crossval.outcomes(tmp_path, "retrieval", "unseen")) == 0
