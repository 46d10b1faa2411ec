"""The paper's tables with our rows below: nothing published is lost or changed, nothing measured passes for it."""

import pandas as pd
import pytest

from phenolip_lib.evaluation.results import Result, load_results, write_result
from phenolip_lib.reporting import tables
from phenolip_lib.reporting.paper import paper_tables, published

BUILDERS = {
    "zero-shot": paper_tables.zero_shot,
    "retrieval": paper_tables.retrieval,
    "matching": paper_tables.matching,
    "linear probe": paper_tables.linear_probe,
    "ablation": paper_tables.ablations,
}
COLUMN_OF = {
    "zero-shot": lambda row: row.dataset,
    "retrieval": lambda row: tables.metric_name(row.metric),
    "matching": lambda row: row.metric.replace("recall@", "R@").replace("f1", "F1"),
    "linear probe": lambda row: f"{row.dataset} {100 * float(row.metric.removeprefix('acc@')):g}%",
    "ablation": lambda row: tables.metric_name(row.metric),
}


@pytest.fixture(scope="module")
def facts():
    return published.load()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two methods and two seeds of a source; one of its zero-shot problems and probe targets is the paper's."""
    folder = tmp_path_factory.mktemp("results")
    for method, base in (("clip", 0.3), ("phenolip", 0.4), ("weak_teacher", 0.35)):
        for seed in range(2):
            value = base + 0.02 * seed
            scores = dict.fromkeys(tables.RETRIEVAL, value) | {"n_images": 60, "n_candidates": 1187}
            zero = {"acc1": value, "majority_acc1": 0.2, "chance_acc1": 0.05}
            probe = {f"acc@{share:g}": value for share in (0.01, 0.1, 1.0)} | {"majority": 0.25}
            match = dict.fromkeys(("recall@5", "recall@10", "recall@50", "precision", "recall", "f1"), value)
            match |= {"chance_recall@5": 0.01, "n_images": 30, "n_candidates": 993}
            n_train = 50 if method == "weak_teacher" else 1200
            facts = {"source": "open", "method": method, "seed": seed, "n_train": n_train, "provenance": {}}
            write_result(folder, "retrieval", Result(numbers={"": scores}), facts)
            if method == "weak_teacher":  # ablations have retrieval alone
                continue
            both = {"radiology": zero, "phenobench": zero, "face": zero}
            write_result(folder, "zero_shot", Result(numbers=both), facts)
            write_result(folder, "linear_probe", Result(numbers={"ham10000": probe, "chula-cells": probe}), facts)
            write_result(folder, "matching", Result(numbers={"face": match}), facts)
    return load_results(folder)


def measured(table):
    return table[table["origin"].str.startswith("measured here: ")]


@pytest.mark.parametrize("name", list(BUILDERS))
def test_every_published_number_is_there_with_its_value(name, facts, results):
    own = facts[(facts["table"] == name) & (facts["unit"] == "percent")]
    table = BUILDERS[name](facts, results)
    table = table[table["origin"] == f"published: Liang et al. 2026, {name} table"]
    assert len(own) > 30
    for row in own.itertuples():
        same = table["model"] == row.model
        for column in ("vision", "text", "setting"):
            if column in table:
                same &= table[column] == getattr(row, column)
        assert table.loc[same, COLUMN_OF[name](row)].tolist() == [f"{row.value:.2f}"]


@pytest.mark.parametrize("name", list(BUILDERS))
def test_published_rows_stand_first_and_do_not_depend_on_ours(name, facts, results):
    table, alone = BUILDERS[name](facts, results), BUILDERS[name](facts, results.iloc[:0])
    assert alone["origin"].str.startswith("published: ").all()
    pd.testing.assert_frame_equal(table.iloc[: len(alone)], alone)
    assert table["origin"].iloc[len(alone) :].str.startswith("measured here: ").all()
    assert len(measured(table)) >= 2
    assert table.columns[:2].tolist() == ["origin", "model"]


@pytest.mark.parametrize("name", list(BUILDERS))
def test_ours_do_not_depend_on_what_is_published(name, facts, results):
    changed = facts.assign(value=facts["value"].where(facts["unit"] != "percent", 1.0))
    ours, again = (measured(BUILDERS[name](own, results)) for own in (facts, changed))
    pd.testing.assert_frame_equal(ours, again)


def row(table, model):
    own = measured(table).set_index("model").loc[model]
    assert isinstance(own, pd.Series)
    return own


def test_origin_tells_source_scale_and_seeds(facts, results):
    table = paper_tables.retrieval(facts, results)
    assert row(table, "PhenoLIP")["origin"] == "measured here: open, 1,200 training pairs, 2 seeds"
    one = paper_tables.retrieval(facts, results[results["seed"] == 0].assign(n_train=0))
    assert row(one, "PhenoLIP")["origin"] == "measured here: open, not trained here, 1 seed"
    assert row(one, "PhenoLIP")["I2P R@10"] == "40.0"


def test_ours_have_mean_and_spread_in_the_paper_columns(facts, results):
    zero = row(paper_tables.zero_shot(facts, results), "PhenoLIP")
    assert zero[["Radiology", "PhenoBench", "Dermatology", "vision"]].tolist() == ["41.0 ± 1.4"] * 2 + ["-", "-"]
    assert "Face" not in zero
    assert row(paper_tables.zero_shot(facts, results), "Chance")["origin"] == "measured here: open"
    retrieval = row(paper_tables.retrieval(facts, results), "Plain contrastive")
    assert retrieval[["P2I R@50", "images", "candidates"]].tolist() == ["31.0 ± 1.4", "60", "1187"]
    match = row(paper_tables.matching(facts, results), "PhenoLIP")
    assert match[["R@5", "F1", "images", "candidates"]].tolist() == ["41.0 ± 1.4", "41.0 ± 1.4", "30", "993"]
    probe = measured(paper_tables.linear_probe(facts, results))
    assert probe["model"].tolist() == ["Plain contrastive", "PhenoLIP"]
    assert probe["HAM10000 1%"].tolist() == ["31.0 ± 1.4", "41.0 ± 1.4"]
    assert (probe["RSNA 100%"] == "-").all()


def test_published_sizes_are_those_of_the_text(facts, results):
    for builder, sizes in ((paper_tables.retrieval, ("7819", "1187")), (paper_tables.matching, ("321", "993"))):
        assert tuple(builder(facts, results).loc[0, ["images", "candidates"]]) == sizes


def test_each_ablation_has_its_own_scale_and_setting(facts, results):
    settings = {"phenolip": {}, "weak_teacher": {"stage2.lambda_kd": 0.3}}
    table = paper_tables.ablations(facts, results, settings)
    weak, full = row(table, "weak_teacher"), row(table, "PhenoLIP")
    assert weak["origin"] == "measured here: open, 50 training pairs, 2 seeds"
    assert (weak["setting"], full["setting"]) == ("stage2.lambda_kd=0.3", "full model")
    assert (weak["acc1"], full["acc1"]) == ("-", "41.0 ± 1.4")
    assert row(table, "Plain contrastive")["setting"] == "-"


def test_sources_are_told_apart(facts, results):
    both = pd.concat([results, results.assign(source="phantom", value=results["value"] / 2)])
    ours = measured(paper_tables.retrieval(facts, both))
    cells = ours[ours["model"] == "PhenoLIP"].set_index("origin")["I2P R@10"]
    assert cells.to_dict() == {
        "measured here: open, 1,200 training pairs, 2 seeds": "41.0 ± 1.4",
        "measured here: phantom, 1,200 training pairs, 2 seeds": "20.5 ± 0.7",
    }


def test_what_a_source_lacks_adds_no_row(facts, results):
    probes = results[(results["task"] == "linear_probe") & (results["dataset"] == "chula-cells")]
    faces = results[(results["task"] == "zero_shot") & (results["dataset"] == "face")]
    assert not len(measured(paper_tables.linear_probe(facts, probes)))
    assert not len(measured(paper_tables.zero_shot(facts, faces)))
