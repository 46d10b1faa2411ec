"""The published numbers as facts, and the audit that recomputes what is said about them."""

import pandas as pd
import pandera.errors
import pytest

from phenolip_lib.reporting.paper import audit, published


@pytest.fixture(scope="module")
def facts():
    return published.load()


def cell(facts, table, model, **own):
    rows = facts[(facts["table"] == table) & (facts["model"] == model)]
    for column, value in own.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows["value"].iloc[0]


def test_the_tables_are_whole(facts):
    models = 7
    sizes = facts.groupby("table").size()
    assert sizes["zero-shot"] == models * 8
    assert sizes["retrieval"] == models * 8
    assert sizes["matching"] == models * 6
    assert sizes["linear probe"] == models * 7 * 3
    assert sizes["ablation"] == 8 * 5


def test_anchors(facts):
    assert cell(facts, "zero-shot", "PhenoLIP", dataset="average") == 36.56
    assert cell(facts, "zero-shot", "BiomedCLIP", dataset="PhenoBench") == 8.15
    assert cell(facts, "retrieval", "PhenoLIP", metric="i2p_recall@10") == 13.84
    assert cell(facts, "retrieval", "BIOMEDICA", metric="t2i_recall@50") == 67.38
    assert cell(facts, "linear probe", "PMC-CLIP", dataset="BreastMNIST", metric="acc@0.01") == 26.92
    assert cell(facts, "linear probe", "PhenoLIP", dataset="HAM10000", metric="acc@1") == 77.89
    assert cell(facts, "ablation", "PhenoLIP", vision="Scratch", metric="acc1") == 2.13


def test_a_number_twice_or_out_of_range_is_refused(facts, tmp_path):
    for bad in (
        pd.concat([facts, facts.head(1)]),
        facts.assign(value=facts["value"].where(facts.index != 3, 101)),
        facts.assign(unit=facts["unit"].where(facts.index != 3, "parts")),
    ):
        bad.to_csv(tmp_path / "bad.csv", index=False)
        with pytest.raises(pandera.errors.SchemaError):
            published.load(tmp_path / "bad.csv")


def test_what_holds_and_what_does_not(facts):
    found = audit.run(facts).set_index(["check", "where"])
    holds = audit.run(facts).groupby("check", sort=False)["holds"]
    assert holds.all()["average of the zero-shot columns"]
    assert holds.all()["the full model of the ablation is the model of the tables"]
    assert holds.all()["claimed gain in retrieval over BIOMEDICA, mean of all columns"]
    gain = found.loc[("claimed gain in zero-shot accuracy over BiomedCLIP", "abstract")]
    assert not gain["holds"]
    assert gain["recomputed"] == "9.15 (8.85 is the gap to PMC-CLIP)"
    assert holds.sum()["F1 is the harmonic mean of precision and recall"] == 2
    assert list(audit.run(facts).query("check == 'one image tower a model' and not holds")["where"]) == ["PMC-CLIP"]


def test_coca_has_the_hits_of_one_data_set_under_the_name_of_the_other(facts):
    own = facts[(facts["table"] == "linear probe") & (facts["model"] == "CoCa")].set_index(["dataset", "metric"])[
        "value"
    ]
    for metric in ("acc@0.01", "acc@0.1", "acc@1"):
        assert (own["OCTMNIST", metric] * 4) % 1 == 0  # a share of 400 images, as RetinaMNIST has
    failed = audit.run(facts).query("not holds")
    assert failed["where"].str.startswith("CoCa OCTMNIST").sum() == 2
    assert failed["where"].str.startswith("CoCa RetinaMNIST").sum() == 3


@pytest.mark.parametrize(
    ("table", "row", "value", "check"),
    [
        ("zero-shot", ("average", "OpenCLIP", "acc1"), 19.0, "average of the zero-shot columns"),
        ("retrieval", ("PhenoBench", "CoCa", "i2t_recall@10"), 90.0, "recall grows with k"),
        (
            "ablation",
            ("PhenoBench", "PhenoLIP", "acc1"),
            1.0,
            "the full model of the ablation is the model of the tables",
        ),
        ("linear probe", ("RSNA", "CoCa", "acc@1"), 1.0, "more labels are no worse"),
    ],
)
def test_a_planted_contradiction_is_found(facts, table, row, value, check):
    at = (facts["table"] == table) & (facts[["dataset", "model", "metric"]].apply(tuple, axis=1) == row)
    before = audit.run(facts).groupby("check")["holds"].sum()[check]
    after = audit.run(facts.assign(value=facts["value"].where(~at, value))).groupby("check")["holds"].sum()[check]
    assert after == before - 1


def test_the_summary_counts(facts):
    full = audit.run(facts)
    table = audit.summary(full).set_index("check")
    assert list(table.index) == list(audit.CHECKS)
    assert table["statements"].sum() == len(full)
    assert table["hold"].sum() == full["holds"].sum()
