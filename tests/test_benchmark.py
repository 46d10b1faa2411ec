"""Which images and which phenotypes a benchmark has."""

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.tasks.zero_shot import problems
from tests.task_case import pairs_of, settings_of

TERMS = ["HP:0001640", "HP:0001651", "HP:0001744", "HP:0001903"]


@pytest.fixture
def pairs():
    n = 60
    return pd.DataFrame(
        {
            "caption": [f"caption {i}" for i in range(n)],
            "templated": False,
            "modality": "radiology",
            "phenotypes": [[TERMS[i % 4]] for i in range(n)],
            "split": [("train", "train", "val", "test")[(i // 4) % 4] for i in range(n)],
        }
    )


def test_only_the_asked_split_and_own_captions_count(pairs, toy):
    pairs.loc[pairs.index[-1], "templated"] = True
    bench = Benchmark(pairs, toy, settings_of(candidates=4))
    assert (pairs["split"].to_numpy()[bench.rows] == "test").all()
    assert len(pairs) - 1 not in bench.rows
    assert len(bench.rows) == (pairs["split"] == "test").sum() - (pairs["split"].iloc[-1] == "test")


def test_distractors_are_leaves_unrelated_to_the_benchmark(pairs, full):
    wide = Benchmark(pairs, full, settings_of(candidates=300))
    assert len(wide.candidates) == 300
    assert wide.candidates[:4] == TERMS
    known = set(TERMS)
    for hpo_id in wide.candidates[4:]:
        assert hpo_id in set(full.leaves)
        assert not known & (full.ancestors(hpo_id) | full.descendants(hpo_id))
    again = Benchmark(pairs, full, settings_of(candidates=200))
    assert wide.candidates[:200] == again.candidates
    assert Benchmark(pairs, full, settings_of(candidates=1)).candidates == TERMS


def test_classes_need_enough_images(pairs, toy):
    pairs["phenotypes"] = [[TERMS[0]] if i else [TERMS[1]] for i in range(len(pairs))]
    assert Benchmark(pairs, toy, settings_of(probe_min_per_class=2)).classes["radiology"] == [TERMS[0]]
    assert Benchmark(pairs, toy, settings_of(probe_min_per_class=1)).classes["radiology"] == TERMS[:2]
    assert Benchmark(pairs, toy, settings_of(probe_min_per_class=1)).classes["face"] == []


def test_classes_are_those_of_the_reference_whoever_trains(full):
    """An ablation that trains on fewer pairs is scored over the classes of the full model."""
    reference = pairs_of(240)
    own = reference[(reference["split"] != "train") | (np.arange(240) % 12 == 0)].reset_index(drop=True)
    for least, kind in ((30, "classes"), (60, "class_names")):
        settings = settings_of(probe_min_per_class=least)
        bench, whole = Benchmark(own, full, settings, reference=reference), Benchmark(reference, full, settings)
        assert getattr(bench, kind) == getattr(whole, kind) != getattr(Benchmark(own, full, settings), kind)
        assert [p.classes for p in problems(bench)][:-1] == [p.classes for p in problems(whole)][:-1]
