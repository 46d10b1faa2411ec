"""What kept results depend on: a change of anything said of a pair is another experiment."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.experiments.experiment import Experiment


def content(ontology: str = "a", pictures: str = "", **changes) -> str:
    pairs = pd.DataFrame(
        {"pair_id": ["a", "b"], "split": ["train", "test"], "group": ["g", "h"], "caption": ["x", "y"],
         "phenotypes": [["HP:0000001"], np.array(["HP:0000002"])], "templated": [False, True], "url": ["", ""]}
    )  # fmt: skip
    features = np.zeros((2, 3), np.float32)
    names = ("images", "texts", "teacher", "onto_texts", "onto_teacher")
    data = SimpleNamespace(**dict.fromkeys(names, features), pictures=pictures)
    return Experiment.content.func(
        SimpleNamespace(pairs=pairs.assign(**changes), data=data, onto=SimpleNamespace(content=ontology))
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
