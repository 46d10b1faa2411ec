"""What the notebooks say about differences is what the differences say."""

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.reporting import evaluation_reports, gains, tables
from phenolip_lib.reporting.tables import difference_table


@pytest.fixture
def outcomes():
    """Sixty images in twenty groups; "worse" misses what the baseline hits, "same" has other images right as often."""
    rng = np.random.default_rng(0)
    base = rng.random(60) < 0.6
    methods = {
        "clip": base,
        "worse": base & (rng.random(60) < 0.3),
        "same": base,
        "better": base | (rng.random(60) < 0.7),
    }
    rows = [
        (method, 0, "retrieval", "", metric, f"q{i}", f"g{i // 3}", float(hit))
        for method, hits in methods.items()
        for metric in ("i2p_recall@10", "p2i_recall@10")
        for i, hit in enumerate(hits if metric[0] == "i" or method == "worse" else base)
    ]
    columns = ["method", "seed", "task", "dataset", "metric", "query", "group", "value"]
    return pd.DataFrame(rows, columns=columns)


METRICS = ["i2p_recall@10", "p2i_recall@10"]


def test_a_reading_names_what_is_beyond_chance_on_either_side(outcomes, params):
    params = params.with_overrides({"evaluation.resamples": 500})
    table = difference_table(evaluation_reports.compared(outcomes, METRICS, params), METRICS)
    found = evaluation_reports.reading(table).set_index("method")
    assert found.loc["worse", "reading"] == "what it changes carries the result"
    assert found.loc["worse", "better"] == ""
    worse = table[(table["method"] == "worse") & (table["metric"] == "i2p_recall@10")]["difference"].item()
    assert f"I2P R@10 {worse:+.1f}" in found.loc["worse", "worse"]
    assert found.loc["better", ["worse", "reading"]].tolist() == ["", "better than the full model"]
    assert "P2I" not in found.loc["better", "better"]
    assert found.loc["same", "reading"] == "changes nothing on this source"


def test_scores_by_data_set_are_those_of_each_alone(outcomes, params):
    params = params.with_overrides({"evaluation.resamples": 500})
    both = pd.concat([outcomes.assign(dataset="90"), outcomes.assign(dataset="1000", value=1 - outcomes["value"])])
    found = evaluation_reports.by_dataset(both, "i2p_recall@10", "candidates", params)
    alone = evaluation_reports.scores(both[both["dataset"] == "90"], METRICS, params)
    assert found["candidates: 90"].tolist() == alone["I2P R@10"].tolist()
    means = [float(cell.split()[0]) for cell in found["candidates: 1000"]]
    np.testing.assert_allclose(means, [100 - float(c.split()[0]) for c in found["candidates: 90"]], atol=0.11)


def test_a_larger_drift_takes_verdicts_back_everywhere(outcomes, params):
    params = params.with_overrides({"evaluation.resamples": 500, "evaluation.drift": 40})
    compared = evaluation_reports.compared(outcomes, METRICS, params)
    table = difference_table(compared, METRICS)
    assert "0 of 6 differences to plain contrastive are beyond chance" in gains.over_baseline(table, "phantom", "clip")
    readings = evaluation_reports.reading(table).set_index("method")["reading"]
    assert readings["worse"] == "no difference that these images can tell"
    between = evaluation_reports.between({"all": outcomes}, "worse", "clip", METRICS, params)
    assert not between["beyond_chance"].any()


def test_two_methods_are_compared_on_several_sets_of_queries(outcomes, params):
    params = params.with_overrides({"evaluation.resamples": 200})
    half = outcomes[outcomes["query"] < "q5"]
    found = evaluation_reports.between(
        {"all": outcomes, "half": half, "none": outcomes.iloc[:0]}, "worse", "better", METRICS, params
    )
    assert found["queries of"].unique().tolist() == ["all", "half"]
    one = evaluation_reports.compared(outcomes[outcomes["method"].isin(["worse", "better"])], METRICS, params, "better")
    expected = difference_table(one, METRICS)["difference"].tolist()
    assert found[found["queries of"] == "all"]["difference"].tolist() == expected
    assert len(evaluation_reports.between({"all": outcomes}, "worse", "absent", METRICS, params)) == 0


def test_the_teachers_worth_is_told_of_methods_that_differ_in_the_teacher_alone(outcomes, params):
    methods = {
        "clip": {"stage2.lambda_kd": 0.0},
        "phenolip": {},
        "better": {"stage2.ontology_weight": 3.0, "stage2.lambda_kd": 0.0},
        "worse": {"stage2.ontology_weight": 3.0},
        "same": {"stage2.ontology_weight": 3.0, "stage2.epochs": 7},
    }
    known = {"evaluation.cross_validated": ["clip"], "tour.methods": ["clip"], "medfilip.beside": ["clip"]}
    known |= {"evaluation.resamples": 200}
    params = params.with_overrides({"methods": methods} | known)
    found = evaluation_reports.teachers_worth({"all": outcomes}, METRICS, params)
    assert set(found[["method", "without"]].itertuples(index=False, name=None)) == {("worse", "better")}
    expected = evaluation_reports.between({"all": outcomes}, "worse", "better", METRICS, params)
    pd.testing.assert_frame_equal(found[list(expected.columns)], expected, check_dtype=False)
    alone = params.with_overrides(
        {"methods": {"clip": {"stage2.objective": "siglip", "stage2.lambda_kd": 0.0}, "phenolip": {}}}
    )
    none = evaluation_reports.teachers_worth({"all": outcomes}, METRICS, alone)
    assert list(none.columns) == list(found.columns)
    assert gains.of_the_teacher(none, "phantom").startswith("No method was evaluated both")


def of_tasks(outcomes):
    """The same queries as accuracies of two data sets, a probe of two, and a metric that is not compared."""
    names = {"worse": "phenolip", "same": "clip_soft"}
    own = outcomes[outcomes["metric"] == "i2p_recall@10"].replace({"method": names})
    parts = [
        ("zero_shot", "acc1", "a"),
        ("zero_shot", "acc1", "b"),
        ("zero_shot", "acc5", "a"),
        ("linear_probe", "acc@0.1", "a"),
        ("linear_probe", "acc@0.1", "b"),
    ]
    parts = [own.assign(task=task, metric=metric, dataset=dataset) for task, metric, dataset in parts]
    parts[-1]["value"] = 1 - parts[-1]["value"]
    return pd.concat(parts, ignore_index=True)


def test_tasks_are_compared_data_set_by_data_set_and_probes_together(outcomes, params):
    params = params.with_overrides({"evaluation.resamples": 200})
    given = of_tasks(outcomes)
    found = evaluation_reports.across_tasks(given, params)
    assert list(dict.fromkeys(zip(found["task"], found["metric"], found["dataset"], strict=True))) == [
        ("zero_shot", "accuracy", "a"),
        ("zero_shot", "accuracy", "b"),
        ("linear_probe", "10% labels", "a"),
        ("linear_probe", "10% labels", "b"),
        ("linear_probe", "10% labels", "all"),
    ]
    assert set(found["method"]) == {"clip_soft", "phenolip"}  # "better" is not cross-validated
    means = given.groupby(["task", "dataset", "metric", "method"])["value"].mean() * 100
    rows = found.set_index(["task", "dataset", "method"])
    expected = means["zero_shot", "a", "acc1", "phenolip"] - means["zero_shot", "a", "acc1", "clip"]
    assert rows.loc[("zero_shot", "a", "phenolip"), "difference"] == pytest.approx(expected, abs=0.01)
    assert rows.loc[("linear_probe", "b", "phenolip"), "difference"] == pytest.approx(-expected, abs=0.01)
    pooled = rows.loc[("linear_probe", "all", "phenolip")]
    assert (pooled["difference"], pooled["queries"], pooled["groups"]) == (0, 120, 20)
    assert not pooled["beyond_chance"]
    assert rows.loc[("zero_shot", "a", "phenolip"), "beyond_chance"]

    table = tables.effect_table(found, "clip").set_index(["task", "dataset"])
    own = rows.loc[("zero_shot", "a", "phenolip")]
    assert table.loc[("zero_shot", "a"), "PhenoLIP"] == f"{own.difference:+.1f} [{own.low:.1f}, {own.high:.1f}] *"
    assert table.loc[("zero_shot", "a"), "Plain + soft labels"] == "+0.0 [0.0, 0.0]"
    base = table.loc[("zero_shot", "a"), "Plain contrastive"]
    assert float(base.split()[0]) == pytest.approx(means["zero_shot", "a", "acc1", "clip"], abs=0.051)


def test_a_source_with_retrieval_only_has_no_other_tasks(outcomes, params):
    found = evaluation_reports.across_tasks(outcomes, params)
    assert len(found) == 0
    assert tables.effect_table(found, "clip").columns[-1] == "Plain contrastive"


def test_distillation_is_read_under_the_same_towers(outcomes, params):
    params = params.with_overrides({"evaluation.resamples": 200})
    names = {"better": "phenolip", "worse": "random", "same": "random_plain"}
    found = evaluation_reports.distilled(outcomes.replace({"method": names}), METRICS, params)
    assert found[["towers", "without"]].drop_duplicates().to_numpy().tolist() == [
        ["phenolip", "clip"],
        ["random", "random_plain"],
    ]
    means = outcomes.groupby(["method", "metric"])["value"].mean() * 100
    expected = [means["better", m] - means["clip", m] for m in METRICS]
    expected += [means["worse", m] - means["same", m] for m in METRICS]
    np.testing.assert_allclose(found["difference"], expected, atol=0.01)


def test_a_source_that_holds_nothing_out_has_empty_tables(params, tmp_path):
    none = pd.DataFrame()
    scores = evaluation_reports.scores(none, ["p2i_recall@10"], params)
    differences = tables.difference_table(evaluation_reports.compared(none, ["p2i_recall@10"], params), [])
    assert (list(scores.columns), len(scores), len(differences)) == (["method", "P2I R@10"], 0, 0)
    tables.write_table(differences, tmp_path, "none", "Nothing.")
    assert (tmp_path / "none.csv").read_text().startswith("method,metric,difference,low,high")
