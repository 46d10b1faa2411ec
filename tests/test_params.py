"""params.yaml: typed, closed, and clear about mistakes."""

from functools import reduce

import pytest
from ruamel.yaml import YAML

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params, parse_params


def test_unknown_key_names_the_nearest_valid_one(params):
    tree = params.model_dump()
    tree["stage2"]["lamda_kd"] = 0.5
    with pytest.raises(PhenoLIPError, match=r"unknown parameter 'stage2.lamda_kd'; did you mean 'lambda_kd'\?"):
        parse_params(tree)


def test_unknown_section_is_refused(params):
    with pytest.raises(PhenoLIPError, match="unknown parameter 'stage3'; did you mean"):
        parse_params(params.model_dump() | {"stage3": {}})


def test_wrong_value_says_what_is_allowed(params):
    with pytest.raises(PhenoLIPError, match=r"stage2.kd_texts: .*'captions' or 'captions\+ontology'.*got 'all'"):
        params.with_overrides({"stage2.kd_texts": "all"})


def test_missing_key_is_named(params):
    tree = params.model_dump()
    del tree["stage1"]["epochs"]
    with pytest.raises(PhenoLIPError, match=r"missing parameter 'stage1.epochs'"):
        parse_params(tree)


def test_shares_must_sum_to_one(params):
    with pytest.raises(PhenoLIPError, match=r"phenokg.splits: .*must be 1"):
        params.with_overrides({"phenokg.splits": {"train": 0.5, "val": 0.1, "test": 0.1}})


def test_scientific_notation_is_a_number(tmp_path, params):
    assert params.stage2.tower_learning_rate == 1e-5


def test_broken_yaml_names_the_line(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("sources: [phantom]\nseeds: [0, 1\nstage1: {}\n")
    with pytest.raises(PhenoLIPError, match=r"params.yaml: not valid YAML in line 3"):
        load_params(file)


def test_ablation_with_a_wrong_key_is_found_before_anything_runs(tmp_path, params):
    tree = params.model_dump()
    tree["ablations"]["overrides"]["typo"] = {"stage2.epoch": 3}
    file = tmp_path / "params.yaml"
    with file.open("w") as handle:
        YAML().dump(tree, handle)
    with pytest.raises(
        PhenoLIPError, match=r"ablation 'typo': unknown parameter 'stage2.epoch'; did you mean 'epochs'"
    ):
        load_params(file, check_ablations=True)


OVERRIDES = {"ablations": "overrides", "choice": "settings"}


@pytest.mark.parametrize(
    ("kind", "overrides", "told"),
    [
        ("methods", {"stage1.epochs": 1}, "method 'x': methods.x may not change 'stage1.epochs'.*make it an ablation"),
        ("methods", {"phenokg.refine": "none"}, "'phenokg.refine'.*make it an ablation"),
        ("methods", {"encoders.teacher": "local-dir:x"}, "'encoders.teacher'.*make it an ablation"),
        ("methods", {"seeds": [7]}, "'seeds'.*make it an ablation"),
        ("methods", {"runtime.threads": 3}, "'runtime.threads'.*make it an ablation"),
        ("medfilip", {"stage1.epochs": 1}, "MedFILIP's method 'x': .*'stage1.epochs'.*make it an ablation"),
        ("medfilip", {"medfilip.likeness": "owner"}, "MedFILIP's method 'x': .*medfilip.likeness.*got 'owner'"),
        ("medfilip", {"medfilip.liken": "own"}, "MedFILIP's method 'x': unknown parameter 'medfilip.liken'"),
        ("medfilip", {"stage2.lambda_kd": 1.0}, "MedFILIP has no use for 'stage2.lambda_kd'; take it out"),
        ("medfilip", {"stage2.names_near": "masked"}, "MedFILIP has no use for 'stage2.names_near'"),
        ("arl", {"arl.graph": "none"}, "fusion model 'x': .*arl.graph is none, so arl.align"),
        ("choice", {"stage1.epochs": 1}, "setting 'x': .*'stage1.epochs'.*make it an ablation"),
        ("ablations", {"hpo.obo": "x.obo"}, "ablation 'x': .*'hpo.obo'.*change it for all in its own section"),
        ("ablations", {"evaluation.candidates": 9}, "'evaluation.candidates'.*change it for all"),
    ],
)
def test_what_is_made_once_for_all_is_refused_in_one_line(tmp_path, params, kind, overrides, told):
    tree = params.model_dump()
    place = tree["methods"] if kind == "methods" else tree[kind][OVERRIDES.get(kind, "methods")]
    place["x"] = overrides
    file = tmp_path / "params.yaml"
    with file.open("w") as handle:
        YAML().dump(tree, handle)
    with pytest.raises(PhenoLIPError, match=told) as error:
        load_params(file, check_ablations=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"evaluation.baseline": "none"}, "evaluation.baseline names 'none', which is not under methods; name one of"),
        ({"evaluation.headline": "none"}, "evaluation.headline names 'none'"),
        ({"evaluation.cross_validated": ["clip", "none"]}, "evaluation.cross_validated names 'none'"),
        ({"tour.methods": ["none"]}, "tour.methods names 'none'"),
        ({"evaluation.headline": "clip"}, "evaluation.baseline 'clip' must be .* not the headline"),
        ({"evaluation.cross_validated": ["phenolip"]}, "evaluation.baseline 'clip' must be one of"),
    ],
)
def test_methods_that_others_name_must_be_there(params, change, told):
    with pytest.raises(PhenoLIPError, match=told):
        params.with_overrides(change)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("medfilip.methods", "clip"),
        ("ablations.overrides", "clip"),
        ("methods", "probe"),
        ("medfilip.methods", "probe"),
        ("arl.methods", "majority"),
    ],
)
def test_no_two_rows_of_a_table_have_one_name(params, place, name):
    """A MedFILIP method called `clip` would have taken the place of the baseline, without a word."""
    found = reduce(getattr, place.split("."), params)
    with pytest.raises(PhenoLIPError, match=f"{place} names '{name}', as another row of its tables is named"):
        params.with_overrides({place: found | {name: {}}})


def test_an_ablation_changes_the_headline_method(params):
    soft = params.with_overrides({"evaluation.headline": "phenolip_soft"})
    assert soft.ablated("weak_teacher").stage2.ontology_weight == 3.0
    assert soft.ablated("weak_teacher").stage2.lambda_kd == 0.3


def test_override_changes_one_value_and_leaves_the_original(params):
    changed = params.with_overrides({"stage2.lambda_kd": 0.25})
    assert changed.stage2.lambda_kd == 0.25
    assert params.stage2.lambda_kd != 0.25
    assert changed.stage1 == params.stage1
    assert changed.fingerprint("stage2") != params.fingerprint("stage2")
    assert changed.fingerprint("stage1") == params.fingerprint("stage1")


def test_run_must_name_an_override(params):
    with pytest.raises(PhenoLIPError, match=r"names 'nothing', which is not under ablations.overrides"):
        params.with_overrides({"ablations.run": ["nothing"]})


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("hpo.obo", "", "hpo.obo"),
        ("hpo.annotations", " ", "hpo.annotations"),
        ("hpo.sha256", "abc", "hpo.sha256"),
        ("hpo.obo", "https://example.org/hp.obo", "hpo: .*needs its sha256"),
        ("hpo.annotations", "https://example.org/phenotype.hpoa", "hpo: .*download phenotype.hpoa and give its path"),
        ("runtime.workers", 10**9, "runtime.workers: .*less than or equal to 1024"),
        ("training.loader_workers", 10**9, "training.loader_workers"),
        ("atlas.normal_share", 1.0, "atlas.normal_share"),
        ("phenokg.splits", {"train": 1.0, "val": 0.0, "test": 0.0}, "phenokg.splits.test: .*greater than 0"),
        ("stage1.texts", ["name", "name"], "stage1.texts: .*names 'name' twice"),
        ("encoders.teacher", "local-dir: ", "encoders.teacher"),
        ("encoders.student", "", "encoders.student"),
        ("stage1.temperature", 1e30, "stage1.temperature: .*less than or equal to 10"),
        ("stage1.temperature", 1e-30, "stage1.temperature"),
        ("stage2.init_temperature", float("inf"), "stage2.init_temperature: .*finite"),
        ("stage2.learning_rate", 1e9, "stage2.learning_rate"),
        ("stage2.weight_decay", float("nan"), "stage2.weight_decay"),
        ("stage2.lambda_kd", 1e30, "stage2.lambda_kd"),
        ("stage2.batch_size", 10**12, "stage2.batch_size"),
        ("stage2.shards", "", "stage2.shards"),
        ("seeds", [1, 1], "seeds: .*names 1 twice"),
        ("seeds", [-1], "seeds.0"),
        ("seeds", [10**30], "seeds.0"),
        ("open.datasets", ["folder", "folder"], "open.datasets: .*names 'folder' twice"),
        ("evaluation.cross_validated", ["clip", "clip"], "names 'clip' twice"),
        ("evaluation.cross_validated", [""], "evaluation.cross_validated"),
        ("evaluation.cross_validated", [], "evaluation.cross_validated"),
        ("evaluation.unseen_share", {}, "evaluation.unseen_share has no value for the source 'phantom'; give 0"),
        ("evaluation.folds", {"open": 5}, "evaluation.folds has no value for the source 'phantom'"),
        ("evaluation.folds", {"phantom": 1, "open": 0}, "evaluation.folds.phantom: .*one fold leaves nothing"),
        ("evaluation.peers", [""], "evaluation.peers.0"),
        ("arl.cross_validated", ["arl", "nosuch"], "arl.cross_validated names 'nosuch'; name some of arl, "),
        ("choice.settings", {}, "choice.settings: .*at least 1"),
    ],
)
def test_values_that_no_run_could_use_are_refused_at_once(params, key, value, told):
    with pytest.raises(PhenoLIPError, match=told) as error:
        params.with_overrides({key: value})
    assert "\n" not in str(error.value)
