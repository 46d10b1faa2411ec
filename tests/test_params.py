"""params.yaml: typed, closed, and clear about mistakes."""

import pytest

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
    from ruamel.yaml import YAML

    tree = params.model_dump()
    tree["ablations"]["overrides"]["typo"] = {"stage2.epoch": 3}
    file = tmp_path / "params.yaml"
    with file.open("w") as handle:
        YAML().dump(tree, handle)
    with pytest.raises(
        PhenoLIPError, match=r"ablation 'typo': unknown parameter 'stage2.epoch'; did you mean 'epochs'"
    ):
        load_params(file, check_ablations=True)


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
