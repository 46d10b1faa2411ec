"""Ablations are tested on the images of the full model, and train on nothing of them."""

import pandas as pd
import pytest

from phenolip_lib.core.params import load_params
from phenolip_lib.experiments.ablate import same_test
from tests.conftest import ROOT


def table(rows):
    columns = ["pair_id", "image", "group", "split", "caption"]
    return pd.DataFrame([(*row, f"caption {row[0]}") for row in rows], columns=columns).assign(
        record_id=lambda t: t["pair_id"]
    )


def test_training_pairs_are_of_the_other_build_and_the_rest_of_the_reference():
    reference = table([("a", "1.png", "g1", "train"), ("b", "2.png", "g2", "test"), ("c", "3.png", "g3", "val")])
    rebuilt = table(
        [
            ("a", "1.png", "h1", "test"),  # trains, whatever its own split says
            ("a2", "1.png", "h1", "train"),
            ("b2", "2.png", "h2", "train"),  # a held-out picture
            ("x", "9.png", "h2", "train"),  # of the group of a held-out picture
            ("y", "8.png", "g3", "train"),  # of a held-out group
            ("new", "7.png", "h7", "val"),
            ("copy", "6.png", "h6", "train"),  # set aside in the reference as a copy of a held-out picture
            ("twin#a", "5.png", "h5", "train"),  # of one that trains
        ]
    )
    quarantine = pd.DataFrame(
        [("copy#a", "duplicate", "duplicate of b#c"), ("twin", "duplicate", "duplicate of a"), ("z", "link", "none")],
        columns=["record_id", "step", "reason"],
    )
    reference.loc[1, "record_id"] = "b#c"
    found = same_test(reference, rebuilt, quarantine)
    assert found.columns.tolist() == reference.columns.tolist()
    assert found[found["split"] != "train"].to_dict("records") == reference.iloc[1:].to_dict("records")
    assert found[found["split"] == "train"]["pair_id"].tolist() == ["a", "a2", "new", "twin#a"]


@pytest.mark.parametrize("kind", ["group", "article", "patient"])
def test_no_id_of_a_held_out_pair_trains_whatever_the_groups_are_called(kind):
    facts = {"dataset": "d", "article": "", "patient": ""}
    reference = table([("a", "1.png", "g1", "train"), ("b", "2.png", "g2", "test")]).assign(**facts)
    rebuilt = table([("c", "3.png", "h3", "test"), ("d", "4.png", "h3", "val"), ("e", "5.png", "h5", "val")])
    rebuilt = rebuilt.assign(**facts)
    reference.loc[1, kind] = rebuilt.loc[0, kind] = "x"
    if kind == "group":
        rebuilt.loc[1, kind] = "x"
    found = same_test(reference, rebuilt, pd.DataFrame(columns=["record_id", "step", "reason"], dtype=str))
    assert found["pair_id"].tolist() == ["b", "e"]


def test_every_ablation_of_the_project_changes_something():
    params = load_params(ROOT / "params.yaml", check_ablations=True)
    for name in params.ablations.overrides:
        assert params.ablated(name) != params, name
