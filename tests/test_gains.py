"""Sentences about differences are what the tables say, whichever way these point."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenolip_lib.reporting import gains

METRICS = ["i2t_recall@10", "i2p_recall@10", "i2p_known_recall@10", "p2i_recall@10"]


def rows(*cells, **more):
    """Differences from (method, metric, difference, beyond chance), each a point wide to both sides."""
    table = pd.DataFrame(cells, columns=["method", "metric", "difference", "beyond_chance"])
    return table.assign(low=table["difference"] - 1, high=table["difference"] + 1, **more)


TABLE = rows(
    ("clip_named", METRICS[1], 23.94, True),
    ("clip_named", METRICS[2], 3.0, True),
    ("clip_named", METRICS[0], -2.5, True),
    ("phenolip", METRICS[1], 9.0, False),
    ("clip_soft", METRICS[1], -4.0, True),
    ("clip_soft", METRICS[3], -7.25, True),
)


def test_each_method_is_told_with_its_largest_gain_and_loss_and_what_is_within_chance_at_the_end():
    head, _, *lines = gains.over_baseline(TABLE, "open", "clip").splitlines()
    assert head == (
        "On the real images (open), 5 of 6 differences to plain contrastive are beyond chance: 2 gains and 3 losses."
    )
    assert lines == [
        "- **Plain + names**: 2 gains, the largest I2P R@10 +23.9 [22.9, 24.9]; "
        "1 loss, the largest I2T R@10 -2.5 [-3.5, -1.5] (of 3 differences).",
        "- **Plain + soft labels**: 2 losses, the largest P2I R@10 -7.2 [-8.2, -6.2] (of 2 differences).",
        "- No difference that these images can tell: PhenoLIP.",
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["clip_named", "phenolip", "mine"]),
            st.sampled_from(METRICS),
            st.floats(-50, 50).map(lambda x: round(x, 2)),
            st.booleans(),
        ),
        min_size=1,
        max_size=15,
    )
)
def test_counts_are_those_of_a_loop(cells):
    said = gains.over_baseline(rows(*cells), "phantom", "clip")
    sure = [cell[2] for cell in cells if cell[3]]
    counts = [int(n) for n in re.findall(r"(\d+) (?:gain|loss)", said.splitlines()[0])]
    assert counts == [sum(x > 0 for x in sure), sum(x < 0 for x in sure)]
    assert f"{len(sure)} of {len(cells)} differences" in said
    told = [float(x) for x in re.findall(r"gains?, the largest .*? R@10 (\S+)", said)]
    best = [max(c[2] for c in cells if c[0] == m and c[3]) for m in {c[0] for c in cells if c[3] and c[2] > 0}]
    assert sorted(told) == pytest.approx(sorted(best), abs=0.051)


def test_tasks_and_data_sets_stand_beside_the_metric():
    table = rows(("phenolip", "10% labels", 4.0, True), task="linear_probe", dataset="ham10000")
    assert "linear probe, ham10000, 10% labels +4.0" in gains.over_baseline(table, "open", "clip")
    table = rows(("phenolip", "R@10", 4.0, True), task="matching", dataset="")
    assert "the largest matching, R@10 +4.0" in gains.over_baseline(table, "phantom", "clip")


def test_the_teacher_is_told_pair_by_pair_and_by_what_was_asked():
    worth = pd.concat(
        [
            rows(("phenolip", METRICS[1], 3.0, True)).assign(without="clip", **{"queries of": "all"}),
            rows(("phenolip", METRICS[1], -2.0, False)).assign(without="clip", **{"queries of": "held out"}),
        ]
    )
    worth = pd.concat([worth, worth.iloc[:0].astype(object)])  # as beside a pair that was not evaluated
    said = gains.of_the_teacher(worth, "phantom")
    assert "- **PhenoLIP over plain contrastive, all**: 1 gain, the largest I2P R@10 +3.0" in said
    assert said.endswith("- No difference that these images can tell: PhenoLIP over plain contrastive, held out.")


def test_without_anything_to_compare_it_says_so():
    assert gains.over_baseline(TABLE.iloc[:0], "open", "clip").startswith("Nothing was compared with plain contrastive")
    none = pd.DataFrame(columns=["method", "without", "queries of", "metric", "difference"])
    assert gains.of_the_teacher(none, "phantom").startswith("No method was evaluated both with the teacher and without")


def test_widths_are_medians_in_points():
    intervals = pd.DataFrame({"low": [0.1, 0.2, 0.0], "high": [0.2, 0.5, 0.5]})
    said = gains.widths(intervals, TABLE.assign(high=TABLE["low"] + np.arange(6)))
    assert "score is 30.0 points wide, that of a difference paired by query 2.5 (" in said
    assert gains.widths(intervals, TABLE.iloc[:0]) == (
        "The 95% interval of a score is 30.0 points wide (medians over methods and metrics)."
    )
