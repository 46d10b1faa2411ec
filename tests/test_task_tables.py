"""Tables of the classification tasks, from results written and read back."""

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.evaluation.results import load_results, write_result
from phenolip_lib.evaluation.tasks.calibration import calibration
from phenolip_lib.evaluation.tasks.linear_probe import linear_probe
from phenolip_lib.evaluation.tasks.matching import matching
from phenolip_lib.evaluation.tasks.zero_shot import zero_shot
from phenolip_lib.reporting import task_tables
from tests.task_case import FACE, bench_of, embedded_of, pairs_of


@pytest.fixture(scope="module")
def results(full, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    pairs = pairs_of(300)
    faces = pairs_of(100, dataset="phantom", modality="face", phenotypes=FACE, classes=("x",))
    bench, face = bench_of(pairs, full), bench_of(faces, full, face_candidates=50)
    for method, noise in (("clip", 2.0), ("phenolip", 0.5)):
        for seed in range(2):
            own = embedded_of(pairs, full, seed, noise)
            facts = {"source": "open", "method": method, "seed": seed, "n_train": 120, "provenance": {}}
            write_result(folder, "zero_shot", zero_shot(bench, own), facts)
            write_result(folder, "calibration", calibration(bench, own, 15.0), facts)
            write_result(folder, "linear_probe", linear_probe(bench, own), facts)
            write_result(folder, "matching", matching(face, embedded_of(faces, full, seed, noise)), facts)
    return load_results(folder)


def test_localisation_stands_beside_the_centre_and_the_masks_share():
    values = {
        "pixel_ap_similarity": 0.2,
        "pixel_ap_contrast": 0.3,
        "pixel_ap_salience": 0.1,
        "pixel_ap_centre": 0.25,
        "mask_share": 0.05,
        "n_images": 16,
        "n_queries": 56,
    }
    rows = [
        (
            "open",
            method,
            "localisation",
            "idrid",
            metric,
            seed,
            10,
            value + (0.02 if seed and "contrast" in metric else 0),
        )
        for method in ("clip", "phenolip")
        for seed in range(2)
        for metric, value in values.items()
    ]
    columns = ["source", "method", "task", "dataset", "metric", "seed", "n_train", "value"]
    row = task_tables.localisation_table(pd.DataFrame(rows, columns=columns)).set_index("method").loc["PhenoLIP"]
    assert row[["masks", "similarity", "contrast", "gradient"]].tolist() == ["idrid", "20.0 ± 0.0", "31.0 ± 1.4", "-"]
    assert row[["centre", "mask's share", "images", "queries"]].tolist() == ["25.0", "5.0", 16, 56]


def number(results, method, dataset, metric):
    rows = results[(results["method"] == method) & (results["dataset"] == dataset) & (results["metric"] == metric)]
    return 100 * rows["value"].mean()


def test_zero_shot_has_the_paper_columns_guesses_and_an_average(results):
    table = task_tables.zero_shot_table(results).set_index("method")
    assert list(table.index) == ["Chance", "Majority class", "Plain contrastive", "PhenoLIP"]
    assert list(table.columns) == ["Radiology", "PhenoBench", "average", "source", "train_pairs", "seeds"]
    cells = [float(table.loc["PhenoLIP", column].split(" ")[0]) for column in ("Radiology", "PhenoBench", "average")]
    assert cells[0] == pytest.approx(number(results, "phenolip", "radiology", "acc1"), abs=0.06)
    assert cells[2] == pytest.approx(np.mean(cells[:2]), abs=0.11)
    assert table.loc["Chance", "Radiology"] == f"{number(results, 'clip', 'radiology', 'chance_acc1'):.1f}"
    assert table["seeds"].unique().tolist() == [2]


def test_own_classes_and_other_metrics_are_tables_of_their_own(results):
    table = task_tables.zero_shot_table(results, "macro_auc", own_classes=True)
    assert list(table.columns[:3]) == ["method", "ham10000", "average"]
    assert list(table["method"]) == ["Plain contrastive", "PhenoLIP"]
    assert (table["ham10000"] == table["average"]).all()


def test_prompts_are_told_by_quartiles(results):
    table = task_tables.prompt_table(results)
    assert set(table["problem"]) == {"Radiology", "PhenoBench", "ham10000"}
    assert list(table.columns[1:8]) == ["method", "ensemble", "min", "q1", "median", "q3", "max"]
    row = table[(table["problem"] == "Radiology") & (table["method"] == "PhenoLIP")].iloc[0]
    values = [float(row[name].split(" ")[0]) for name in ("min", "q1", "median", "q3", "max")]
    assert values == sorted(values)


def test_calibration_errors_are_percent_and_scores_are_not(results):
    row = task_tables.calibration_table(results).set_index(["problem", "method"]).loc[("ham10000", "PhenoLIP")]
    assert float(row["ECE"].split(" ")[0]) == pytest.approx(number(results, "phenolip", "ham10000", "ece"), abs=0.06)
    assert float(row["NLL, scaled"].split(" ")[0]) == pytest.approx(
        number(results, "phenolip", "ham10000", "nll_scaled") / 100, abs=6e-4
    )
    assert row["scale"] == "15.000 ± 0.000"


def test_probes_stand_beside_the_majority_class(results):
    table = task_tables.probe_table(results, [0.01, 1.0])
    assert list(table.columns[:5]) == ["target", "method", "majority", "1% labels", "100% labels"]
    assert (table["majority"].astype(float) > 20).all()
    assert "majority" not in task_tables.probe_table(results, [1.0], "mean_per_class_recall")


def test_matching_has_chance_and_sizes(results):
    table = task_tables.matching_table(results).set_index("method")
    assert list(table.columns[:6]) == ["R@5", "R@10", "R@50", "precision", "recall", "F1"]
    assert table.loc["Chance", "R@5"] == "10.0"
    assert table.loc["Chance", "F1"] == "-"
    assert table["candidates"].unique().tolist() == [50]


def test_a_source_without_what_a_task_asks_for_is_said():
    empty = pd.DataFrame(columns=["source", "method", "task", "dataset", "metric", "seed", "n_train", "value"])
    tables = [
        task_tables.zero_shot_table(empty),
        task_tables.zero_shot_table(empty, own_classes=True),
        task_tables.prompt_table(empty),
        task_tables.calibration_table(empty),
        task_tables.probe_table(empty, [1.0]),
        task_tables.matching_table(empty),
    ]
    said = [table["method"].tolist() for table in tables]
    assert all(len(own) == 1 and own[0].startswith("this source has no ") for own in said)
