"""What kept results depend on, and that the parameters of a method decide everything about it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params, parse_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import write_parquet
from phenolip_lib.evaluation.results import load_results
from phenolip_lib.experiments import evaluate, train
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models.features import image_features, text_features
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder, make_projection
from phenolip_lib.models.student import load_student
from phenolip_lib.models.towers import load_text_tower
from phenolip_lib.models.weights import read_weights
from phenolip_lib.training import inputs, subset
from tests.conftest import ROOT
from tests.test_encoders import make_pairs, tiny_checkpoint
from tests.training_case import BASE


def content(ontology: str = "a", pictures: str = "", **changes) -> str:
    pairs = pd.DataFrame(
        {
            "pair_id": ["a", "b"],
            "split": ["train", "test"],
            "group": ["g", "h"],
            "caption": ["x", "y"],
            "phenotypes": [["HP:0000001"], np.array(["HP:0000002"])],
            "templated": [False, True],
            "url": ["", ""],
        }
    )
    features, onto = np.zeros((2, 3), np.float32), SimpleNamespace(content=ontology)
    data = inputs.TrainingData(pairs, None, *[features] * 3, np.array(["x"] * 2), *[features] * 2, None, pictures)
    return Experiment.content.func(
        SimpleNamespace(pairs=pairs.assign(**changes), data=data, onto=onto, _same_features=False)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"phenotypes": [["HP:0000003"], ["HP:0000002"]]},  # labels rule masks, soft labels and sampling
        {"split": ["train", "train"]},
        {"templated": [False, False]},
        {"group": ["g", "g"]},
    ],
)
def test_what_is_said_of_the_pairs_is_part_of_the_key(changes):
    assert content() == content()
    assert content(**changes) != content()


def test_images_that_no_features_tell_are_part_of_the_key():
    assert content(pictures="b") != content()


def test_the_ontology_is_part_of_the_key_by_its_content():
    """Soft labels, ancestors and nDCG come from it; two builds of one release differ without annotations."""
    assert content(ontology="b") != content()


# --- a method is an experiment of its own ------------------------------------------------------------

METHODS = {
    "clip": {"stage2.lambda_kd": 0.0},
    "phenolip": {},
    "text": {"stage2.text_tower": "finetune"},
    "image": {"stage2.image_tower": "finetune"},
    "share": {"stage2.train_share": 0.5},
    "noise": {"stage2.caption_noise": 0.5},
    "towers": {"encoders.student": "local-dir:other"},
}
N = 48


@pytest.fixture(scope="module")
def project(toy, tmp_path_factory):
    """Forty-eight pictures with captions on two tiny pairs of towers, a teacher that was not trained, every method."""
    root = tmp_path_factory.mktemp("project")
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).touch()
    paths = Paths(root)
    toy.save(paths.hpo)
    for seed, name in enumerate(("student", "other")):
        tiny_checkpoint(root / name, seed)
    data = paths.data("phantom")
    data.mkdir(parents=True)
    words = (("spleen", "HP:0001744"), ("heart", "HP:0001640"), ("large", "HP:0001903"))
    pairs = make_pairs(data, n=N)
    pairs["pair_id"] = pairs["record_id"] = [f"p{i:02d}" for i in range(N)]
    pairs["caption"] = [f"{words[i % 3][0]} {words[i % 2][0]}" for i in range(N)]
    pairs["phenotypes"] = [[words[i % 3][1]] for i in range(N)]
    pairs["group"] = [f"g{i:02d}" for i in range(N)]
    pairs["split"] = [("train", "train", "val", "test")[i // 3 % 4] for i in range(N)]
    pairs = pairs.assign(templated=False, modality="radiology", dataset="other", class_name="", url="")
    write_parquet(paths.phenokg("phantom") / "pairs.parquet", pairs)
    write_parquet(
        paths.phenokg("phantom") / "quarantine.parquet", pd.DataFrame(columns=["record_id", "step", "reason"])
    )
    methods = METHODS | {"towers": {"encoders.student": f"local-dir:{root / 'other'}"}}
    tree = load_params(ROOT / "params.yaml").model_dump() | {"methods": methods, "seeds": [0]}
    tree["evaluation"] |= {"cross_validated": ["clip", "phenolip"], "probe_min_per_class": 2, "candidates": 10}
    tree["tour"] |= {"methods": ["clip"]}
    tree["medfilip"] |= {"beside": ["clip"]}
    towers = {"encoders.student": f"local-dir:{root / 'student'}"}
    small = {"stage1.projection": "linear", "encoders.image_size": 32, "runtime.workers": 1, "stage2.epochs": 2}
    params = parse_params(tree).with_overrides(BASE | towers | small)
    torch.manual_seed(0)
    tower = load_text_tower(params.encoders.teacher)
    encoder = KnowledgeEncoder(tower, make_projection("linear", tower.width, 16), 12)
    encoder.save(
        paths.stage1,
        {
            "teacher": params.encoders.teacher,
            "projection": "linear",
            "embed_dim": 16,
            "max_tokens": 12,
            "tower": "frozen",
        },
    )
    write_parquet(
        paths.stage1 / "texts.parquet",
        pd.DataFrame(
            {"hpo_id": [h for _, h in words], "text": [w for w, _ in words], "kind": "name", "held_out": False}
        ),
    )
    train.start(params, "phantom", paths.stage2("phantom"), paths)
    return params, paths


@pytest.fixture(scope="module")
def scored(project):
    """What the tasks of each method were given, and the folder of the results."""
    params, paths = project
    cases, out = {}, paths.evaluation("phantom")
    with pytest.MonkeyPatch.context() as patch:
        given = evaluate.evaluate_embedded
        patch.setattr(
            evaluate,
            "evaluate_embedded",
            lambda case, method, *rest: (cases.update({method: case}), given(case, method, *rest)),
        )
        evaluate.evaluate_all(Experiment(params, "phantom", paths), paths.stage2("phantom"), out)
    return cases, out


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_scored_on_the_features_of_its_own_towers(project, scored, method):
    params, paths = project
    own, table = params.method(method), pd.read_parquet(paths.phenokg("phantom") / "pairs.parquet")
    student = load_student(paths.stage2("phantom"), f"{method}-seed0", own)
    tests = np.flatnonzero(table["split"] == "test")
    texts = text_features(student.towers.text, table["caption"].iloc[tests].tolist())
    images = image_features(student.towers, table.iloc[tests], paths.data("phantom"))
    embedded = scored[0][method].embedded
    np.testing.assert_allclose(embedded.captions[tests], student.embed_texts(texts), atol=1e-5)
    np.testing.assert_allclose(embedded.images[tests], student.embed_images(images), atol=1e-5)
    asked = ["heart", "spleen"]
    expected = student.embed_texts(text_features(student.towers.text, asked))
    np.testing.assert_allclose(embedded.text(asked), expected, atol=1e-5)


def test_a_method_trains_on_its_own_pairs(project, scored):
    params, paths = project
    found = load_results(scored[1]).groupby("method")["n_train"].first()
    assert found["phenolip"] == N // 2
    assert (
        found["share"]
        == len(
            subset.prepared(scored[0]["share"].experiment.whole, params.method("share").stage2).query(
                "split == 'train'"
            )
        )
        < N // 2
    )
    weights = {m: read_weights(paths.stage2("phantom") / f"{m}-seed0.safetensors") for m in METHODS}
    for method in set(METHODS) - {"phenolip", "towers"}:
        same = [torch.equal(v, weights[method][k]) for k, v in weights["phenolip"].items() if k in weights[method]]
        assert not all(same), method


def test_a_run_is_kept_with_its_history_and_trains_once(project, tmp_path, monkeypatch):
    params, paths = project
    experiment = Experiment(params, "phantom", paths)
    first = train.train_all(experiment, tmp_path / "first", ["clip"])

    def again(*_, **__):
        raise AssertionError("trained twice")

    monkeypatch.setattr(Experiment, "train", again)
    second = train.train_all(Experiment(params, "phantom", paths), tmp_path / "second", ["clip"])
    pd.testing.assert_frame_equal(first, second)
    for name in ("clip-seed0.json", "clip-seed0.safetensors", "history.parquet"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "first" / "curves").rglob("*.tsv")) == sorted(
        p.name for p in (tmp_path / "second" / "curves").rglob("*.tsv")
    )
    assert not list((tmp_path / "second").glob("phenolip*"))
    with pytest.raises(PhenoLIPError, match="did you mean 'clip'"):
        train.start(params, "phantom", tmp_path / "third", paths, ["clp"])


def test_what_a_method_leaves_as_it_is_is_computed_once(project):
    experiment = Experiment(project[0], "phantom", project[1])
    for method, shares in (("clip", True), ("share", True), ("noise", False), ("towers", False)):
        own = experiment.of(method)
        assert (own.data.texts is experiment.data.texts) == shares
        assert (own.content == experiment.content) == (method == "clip")
        assert own.bench is experiment.bench
        assert own.bench.relations is experiment.bench.relations


# --- keys ---------------------------------------------------------------------------------------------

MODEL = [
    "runtime.threads",
    "runtime.device",
    "encoders.context_length",
    "encoders.image_size",
    "stage2.text_tower",
    "stage2.image_tower",
    "stage2.train_share",
    "stage2.caption_words",
]
RUN = [
    "runtime.processes",
    "training.accumulation",
    "training.precision",
    "stage1.max_tokens",
    "stage1.embed_dim",
    "stage2.lambda_kd",
    "stage2.early_stopping",
    "stage2.validations",
    "evaluation.candidates",
]
OTHER = {
    "runtime.device": "auto",
    "training.precision": "bf16",
    "stage2.text_tower": "finetune",
    "stage2.epochs": 7,
    "stage2.image_tower": "finetune",
    "stage2.early_stopping": 3,
    "stage2.train_share": 0.5,
    "stage2.caption_words": 3,
    "evaluation.probe_shares": [0.3],
    "evaluation.probe_seeds": [9],
    "evaluation.candidate_sets": [4],
    "evaluation.peers": ["x"],
    "evaluation.baseline": "share",
}


def changed(experiment, key):
    section, name = key.split(".")
    value = OTHER.get(key) or getattr(getattr(experiment.params, section), name) + 1
    more = {"evaluation.cross_validated": ["clip", "share"]} if key == "evaluation.baseline" else {}
    own = experiment.again(experiment.params.with_overrides({key: value} | more))
    own.__dict__["data"] = experiment.data  # what features depend on has keys of its own
    return own


@pytest.mark.parametrize("key", [*MODEL, *evaluate.TASK_PARAMS])
def test_kept_results_are_under_everything_that_tasks_read(scored, key):
    case = scored[0]["phenolip"]
    other = replace(case, experiment=changed(case.experiment, key))
    assert evaluate.results_key(other, ["retrieval"]) != evaluate.results_key(case, ["retrieval"])


@pytest.mark.parametrize("key", ["runtime.workers", "evaluation.peers", "evaluation.baseline", "evaluation.resamples"])
def test_what_no_task_reads_makes_no_result_stale(scored, key):
    case = scored[0]["phenolip"]
    other = replace(case, experiment=changed(case.experiment, key))
    assert evaluate.results_key(other, ["retrieval"]) == evaluate.results_key(case, ["retrieval"])


@pytest.mark.parametrize("key", [*MODEL, *RUN])
def test_kept_runs_are_under_everything_that_training_reads(scored, key):
    experiment = scored[0]["phenolip"].experiment
    assert changed(experiment, key).run_folder("m", 0) != experiment.run_folder("m", 0)
