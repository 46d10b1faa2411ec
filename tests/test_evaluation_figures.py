"""Figures from small tables made by hand: what is drawn is what was given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from phenolip_lib.evaluation.results import KEYS
from phenolip_lib.evaluation.tasks.calibration import reliability
from phenolip_lib.reporting import evaluation_figures, figures, panels, share_figures, training_figures
from phenolip_lib.reporting.figures import METHOD_COLORS

SHARES = (0.01, 0.1, 1.0)
BOTH = ["clip", "phenolip"]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def long(rows):
    """Results in long form: (method, task, dataset, metric, seed, value)."""
    table = pd.DataFrame(rows, columns=["method", "task", "dataset", "metric", "seed", "value"])
    return table.assign(source="open", n_train=100)[[*KEYS, "seed", "n_train", "value"]]


@pytest.fixture
def bins():
    """Three bins of two methods in two problems, before and after scaling; the last bin has few answers."""
    rows = []
    for method, right in (("clip", 0.25), ("phenolip", 0.5)):
        for dataset in ("radiology", "ham10000"):
            for scaled in (False, True):
                for i, n in ((3, 30), (9, 20), (13, 2)):
                    rows.append((method, dataset, scaled, i, i / 15, (i + 0.5) / 15, right + i / 100, n))
    return pd.DataFrame(rows, columns=["method", "dataset", "scaled", "bin", "low", "confidence", "accuracy", "count"])


@pytest.fixture
def prompts():
    values = {
        "acc1": 0.5,
        "acc1_prompt_min": 0.2,
        "acc1_prompt_q1": 0.3,
        "acc1_prompt_median": 0.4,
        "acc1_prompt_q3": 0.45,
        "acc1_prompt_max": 0.6,
        "majority_acc1": 0.35,
        "chance_acc1": 0.1,
    }
    return long(
        (method, "zero_shot", dataset, metric, seed, value + shift + seed / 50)
        for method, shift in (("clip", 0.0), ("phenolip", 0.1))
        for dataset in ("radiology", "phenobench", "ham10000")
        for metric, value in values.items()
        for seed in range(2)
    )


@pytest.fixture
def probes():
    rows = []
    for i, share in enumerate(SHARES):
        for seed, spread in enumerate((-0.05, 0.05)):
            for dataset in ("ham10000", "idrid"):
                rows += [
                    ("clip", "linear_probe", dataset, f"acc@{share:g}", seed, 0.5 + i / 10 + spread),
                    ("clip", "linear_probe", dataset, f"n_labels@{share:g}", seed, 1000 * share),
                    ("clip", "linear_probe", dataset, "majority", seed, 0.4),
                ]
    return long(rows)


def intervals_of(rows):
    table = pd.DataFrame(rows, columns=["method", "dataset", "metric", "mean"])
    return table.assign(task="candidates", low=table["mean"] - 0.02, high=table["mean"] + 0.03)


@pytest.fixture
def among():
    rows = [
        (m, n, "i2p_recall@10", v / d)
        for m, v in (("clip", 0.5), ("phenolip", 0.52))
        for n, d in (("100", 1), ("1187", 2), ("12650", 8))
    ]
    return intervals_of([*rows, ("clip", "100", "i2p_recall@50", 0.9)])


@pytest.fixture
def audit():
    rows = [
        ("a sum", "x", "1", "1", True),
        ("a sum", "y", "1", "2", False),
        ("a sum", "z", "1", "1", True),
        ("an average", "x", "1", "1", True),
    ]
    return pd.DataFrame(rows, columns=["check", "where", "stated", "recomputed", "holds"])


def points(axis):
    return [collection.get_offsets() for collection in axis.collections if len(collection.get_offsets())]


def legend(figure):
    return [text.get_text() for own in figure.legends for text in own.get_texts()]


# --- what is drawn --------------------------------------------------------------------------------


def test_reliability_draws_the_bins_with_answers_enough_of_the_methods_asked_for(bins):
    figure = evaluation_figures.reliability(pd.concat([bins, bins.assign(method="siglip")]), BOTH)
    assert len(figure.axes) == 4
    assert [axis.get_title() for axis in figure.axes[:2]] == ["Radiology", "ham10000"]
    axis = figure.axes[0]
    diagonal, clip, phenolip = axis.lines
    assert diagonal.get_linestyle() == "--"
    assert (to_hex(clip.get_color()), to_hex(phenolip.get_color())) == (
        METHOD_COLORS["clip"].lower(),
        METHOD_COLORS["phenolip"].lower(),
    )
    np.testing.assert_allclose(clip.get_ydata(), [28, 34])
    np.testing.assert_allclose(points(axis)[0][:, 1], [28, 34])
    np.testing.assert_allclose(points(axis)[1][:, 0], [350 / 15, 950 / 15])
    assert axis.get_ylabel() == "as trained\nright answers (%)"
    assert figure.get_supxlabel().startswith("confidence of the answer (%)")
    assert legend(figure) == ["Plain contrastive", "PhenoLIP"]


def test_bins_of_a_fifth_are_means_over_their_answers(bins):
    more = bins.assign(bin=4, low=4 / 15, confidence=4.5 / 15, accuracy=0.9, count=10)
    figure = evaluation_figures.reliability(pd.concat([bins, more]).drop_duplicates(), ["clip"], ["radiology"])
    np.testing.assert_allclose(points(figure.axes[0])[0][0], [(30 * 350 / 15 + 10 * 30) / 40, (30 * 28 + 10 * 90) / 40])


def test_reliability_takes_the_problems_with_most_answers_or_those_asked_for(bins):
    more = [bins.assign(dataset=f"set{i}", count=bins["count"] + i) for i in range(1, 6)]
    own = evaluation_figures.reliability(pd.concat([bins, *more]), BOTH)
    assert [axis.get_title() for axis in own.axes[:4]] == ["set2", "set3", "set4", "set5"]
    asked = evaluation_figures.reliability(bins, BOTH, ["ham10000"])
    assert [axis.get_title() for axis in asked.axes] == ["ham10000", ""]


def test_reliability_takes_what_the_task_gives():
    values = {"confidence": 0.9, "correct": 1.0, "confidence_scaled": 0.7, "correct_scaled": 1.0}
    found = pd.DataFrame(
        [("clip", 0, "radiology", f"q{i}", metric, value) for i in range(12) for metric, value in values.items()],
        columns=["method", "seed", "dataset", "query", "metric", "value"],
    )
    above, below = evaluation_figures.reliability(reliability(found), BOTH).axes
    np.testing.assert_allclose(points(above)[0], [[90, 100]])
    np.testing.assert_allclose(points(below)[0], [[70, 100]])


def test_prompts_are_drawn_as_mean_over_seeds(prompts):
    figure = evaluation_figures.prompt_sensitivity(prompts)
    assert [axis.get_title() for axis in figure.axes] == ["Radiology", "PhenoBench"]
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["PhenoLIP", "Plain contrastive"]
    assert [text.get_text() for text in axis.texts] == ["61%", "51%"]
    np.testing.assert_allclose([bar.get_x() for bar in axis.patches], [-20, -20])
    np.testing.assert_allclose([bar.get_width() for bar in axis.patches], [15, 15])
    ranges = [segment[:, 0].tolist() for segment in axis.collections[0].get_segments()]
    np.testing.assert_allclose(ranges, [[-30, 10], [-30, 10]])
    assert figure.get_supxlabel().startswith("accuracy of a single prompt less that of the ensemble")


def test_prompts_of_own_classes_are_a_figure_of_their_own(prompts):
    figure = evaluation_figures.prompt_sensitivity(prompts, own_classes=True)
    assert [axis.get_title() for axis in figure.axes] == ["ham10000"]


def test_recall_by_candidates_has_a_line_a_method_with_its_intervals(among):
    figure = evaluation_figures.recall_by_candidates(among)
    (axis,) = figure.axes
    assert (axis.get_xscale(), axis.get_xlabel(), axis.get_ylabel()) == (
        "log",
        "phenotypes to choose from",
        "I2P R@10 (%)",
    )
    assert [label.get_text() for label in axis.get_xticklabels()] == ["100", "1,187", "12,650"]
    lines = [container.lines for container in axis.containers]
    assert len(lines) == 2
    np.testing.assert_allclose(lines[0][0].get_ydata().astype(float), [50, 25, 6.25])
    np.testing.assert_allclose(lines[0][0].get_xdata().astype(float), [100, 1187, 12650], rtol=0.05)
    bars = lines[1][2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], [[50, 55], [24, 29], [4.5, 9.5]])


def test_names_at_line_ends_keep_apart_and_their_order(among):
    figure = evaluation_figures.recall_by_candidates(among)
    (axis,) = figure.axes
    heights = {text.get_text(): text.get_position()[1] for text in axis.texts}
    low, high = axis.get_ylim()
    assert heights["PhenoLIP"] - heights["Plain contrastive"] == pytest.approx(0.065 * (high - low))
    assert np.mean(list(heights.values())) == pytest.approx((6.25 + 6.5) / 2)


def test_probes_have_a_dot_a_share_with_its_spread_and_numbers_of_labels(probes):
    figure = share_figures.probes(probes, SHARES)
    assert [axis.get_title() for axis in figure.axes] == ["ham10000", "idrid"]
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["Plain contrastive"]
    assert [text.get_text() for text in axis.texts] == ["10 / 100 / 1,000 labels; majority class 40%"]
    np.testing.assert_allclose(
        [drawn.lines[0].get_xdata().astype(float) for drawn in axis.containers], [[50], [60], [70]]
    )
    whisker = axis.containers[0].lines[2][0].get_segments()[0][:, 0]
    np.testing.assert_allclose(whisker, [50 - 50**0.5, 50 + 50**0.5])
    assert figure.get_supxlabel() == "accuracy (%)"
    assert legend(figure) == ["1% of the labels", "10% of the labels", "100% of the labels"]


def test_a_share_of_as_many_labels_is_drawn_once(probes):
    same = probes["metric"].eq("n_labels@0.1")
    figure = share_figures.probes(probes.assign(value=probes["value"].mask(same, 10)), SHARES)
    assert [text.get_text() for text in figure.axes[0].texts] == ["10 / 1,000 labels; majority class 40%"]
    assert legend(figure) == ["1% of the labels", "100% of the labels"]


def test_probes_of_balanced_accuracy_have_no_majority_class(probes):
    own = probes.assign(metric=probes["metric"].str.replace("acc@", "mean_per_class_recall@"))
    figure = share_figures.probes(own, SHARES, "mean_per_class_recall")
    assert [text.get_text() for text in figure.axes[0].texts] == ["10 / 100 / 1,000 labels"]
    assert figure.get_supxlabel() == "mean recall by class (%)"


def test_effects_have_a_point_a_method_and_data_set_hollow_within_chance():
    rows = [
        ("zero_shot", "radiology", "accuracy", "phenolip", 2.0, True),
        ("zero_shot", "radiology", "accuracy", "clip_soft", -1.0, False),
        ("matching", "face", "F1", "phenolip", 0.5, False),
    ]
    table = pd.DataFrame(rows, columns=["task", "dataset", "metric", "method", "difference", "beyond_chance"])
    figure = evaluation_figures.effects(table.assign(low=table["difference"] - 1, high=table["difference"] + 2), "clip")
    assert [axis.get_title() for axis in figure.axes] == ["Zero shot, accuracy", "Matching, F1"]
    drawn = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    assert sorted(float(c.get_offsets()[0][0]) for c in drawn) == [-1.0, 2.0]
    faces = {float(c.get_offsets()[0][0]): to_hex(c.get_facecolor()[0]) for c in drawn}
    assert faces == {2.0: METHOD_COLORS["phenolip"].lower(), -1.0: "#ffffff"}
    assert legend(figure) == ["Plain + soft labels", "PhenoLIP"]
    for axis in figure.axes:  # every point lies within its panel
        low, high = axis.get_ylim()
        assert all(low < y < high for own in points(axis) for y in own[:, 1])
    assert "Nothing to draw" in evaluation_figures.effects(table.iloc[:0], "clip").texts[0].get_text()


def test_scaling_has_a_row_a_metric_over_the_shares_there_are():
    values = {"share_10": 0.1, "share_50": 0.2, "phenolip": 0.3, "clip": 0.9}
    table = intervals_of(
        [(m, "", r, v + s) for m, v in values.items() for r, s in (("i2p_recall@10", 0), ("i2t_recall@10", 0.4))]
    )
    shares = {"share_10": 0.1, "share_25": 0.25, "share_50": 0.5, "phenolip": 1.0}
    figure = share_figures.scaling(table, shares)
    (axis,) = figure.axes
    assert axis.get_xlabel().startswith("score (%), 95% interval")
    assert [label.get_text() for label in axis.get_yticklabels()] == ["I2T R@10", "I2P R@10"]
    drawn = [drawn.lines[0].get_xdata().astype(float).tolist() for drawn in axis.containers]
    np.testing.assert_allclose(drawn, [[50, 10], [60, 20], [70, 30]])
    assert [text.get_text() for text in axis.texts] == ["+20.0", "+20.0"]
    assert legend(figure) == [f"{share}% of the training cases" for share in (10, 50, 100)]


def test_training_shares_are_those_of_params(params):
    found = share_figures.training_shares(params)
    assert found == {"share_10": 0.1, "share_25": 0.25, "share_50": 0.5, "phenolip": 1.0}
    assert list(found.values()) == sorted(found.values())


def test_audit_has_a_dot_a_statement(audit):
    (axis,) = evaluation_figures.audit_checks(audit).axes
    drawn = np.concatenate(points(axis))
    assert len(drawn) == len(audit)
    hollow = [c for c in axis.collections if len(c.get_offsets()) and to_hex(c.get_facecolor()[0]) == "#ffffff"]
    assert [c.get_offsets().tolist() for c in hollow] == [[[2.0, 0.0]]]
    assert [text.get_text() for text in axis.texts] == ["a sum: 2 of 3 hold", "an average: 1 of 1 hold"]


def test_a_forest_leaves_what_lies_far_off_to_an_arrow():
    rows = [("clip_soft", 1.0), ("siglip", -2.0), ("ssm", -60.0), ("phenolip", 1.5)]
    table = pd.DataFrame(rows, columns=["method", "difference"]).assign(metric="i2p_recall@10", beyond_chance=True)
    table = table.assign(low=table["difference"] - 1, high=table["difference"] + 1)
    (axis,) = figures.forest(table, ["i2p_recall@10"], "clip").axes
    assert -5 < axis.get_xlim()[0] < axis.get_xlim()[1] < 5
    assert [text.get_text() for text in axis.texts] == ["−60 [−61, −59]"]
    (all_near,) = figures.forest(table[table["method"] != "ssm"], ["i2p_recall@10"], "clip").axes
    assert len(all_near.texts) == 0
    drawn = [c for c in axis.collections if isinstance(c, PathCollection)]
    assert sum(len(c.get_offsets()) for c in drawn) == len(table)


def test_training_curves_name_each_line_and_note_what_lies_far_off():
    rows = [
        (method, epoch, seed, loss / epoch, end + seed / 100)
        for method, loss, end in (("clip", 4, 0.6), ("siglip", 90, 0.62), ("phenolip", 3, 0.7), ("ssm", 9, 0.05))
        for epoch in (1, 2)
        for seed in (0, 1)
    ]
    history = pd.DataFrame(rows, columns=["method", "epoch", "seed", "loss_m", "val_i2p_recall@10"])
    loss, distilled, recall, _ = training_figures.training_curves(history, ["clip", "phenolip"]).axes
    assert {text.get_text() for text in loss.texts} == {"Plain contrastive", "PhenoLIP"}
    assert [text.get_text() for text in distilled.texts] == ["no method has it"]
    assert "MedFILIP's soft labels ends at 5.5" in [text.get_text() for text in recall.texts]
    ends = sorted(line.get_ydata()[-1] for line in recall.lines)
    np.testing.assert_allclose(ends, [60.5, 62.5, 70.5])


def test_panels_are_packed_in_their_order():
    assert panels.packed([8, 8, 8, 8, 1, 1, 8, 8], 3) == [[0, 1], [2, 3, 4], [5, 6, 7]]
    assert panels.packed([1], 3) == [[0]]
    assert panels.packed([5, 1, 1, 1], 2) == [[0], [1, 2, 3]]


def test_a_source_without_what_a_task_asks_for_is_said(among, prompts, bins):
    none = prompts.iloc[:0]
    drawn = [
        evaluation_figures.reliability(bins.iloc[:0], BOTH),
        evaluation_figures.prompt_sensitivity(none),
        evaluation_figures.recall_by_candidates(among.iloc[:0]),
        share_figures.probes(none, SHARES),
        share_figures.scaling(among, {"phenolip": 1.0}),
    ]
    said = [figure.texts[0].get_text() for figure in drawn]
    assert all(text.startswith("Nothing to draw: no ") for text in said)


# --- files ----------------------------------------------------------------------------------------


def test_files_have_the_same_bytes_every_time(tmp_path, bins, prompts, among, probes, audit):
    figures.use_style()
    draw = {
        "reliability": lambda: evaluation_figures.reliability(bins, BOTH),
        "prompts": lambda: evaluation_figures.prompt_sensitivity(prompts),
        "candidates": lambda: evaluation_figures.recall_by_candidates(among),
        "probes": lambda: share_figures.probes(probes, SHARES),
        "audit": lambda: evaluation_figures.audit_checks(audit),
    }
    for name, function in draw.items():
        files = [tmp_path / f"{name}{i}.png" for i in range(2)]
        for path in files:
            figures.save(function(), path)
        assert files[0].read_bytes() == files[1].read_bytes(), name
