"""Films: the layouts of four data sets on made files, and scores against scikit-learn and loops."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.paths import Paths
from phenolip_lib.data import films as sets
from phenolip_lib.evaluation import films
from phenolip_lib.experiments import medfilip


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), 90).save(path)


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_chestxray14_in_upstreams_layout(tmp_path, caplog):
    base = tmp_path / "nih-chestxray14"
    write(
        base / "Data_Entry_2017_v2020.csv",
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position",
        "00000002_000.png,No Finding,0,2,80,M,PA",
        "00000001_000.png,Effusion|Pleural_Thickening,0,1,58,M,PA",
        "00000001_001.png,Hernia,1,1,58,M,AP",
        "00000003_000.png,Mass,0,3,80,F,PA",
    )
    picture(base / "images_001/images/00000001_000.png")
    picture(base / "images_002/images/00000001_001.png")
    picture(base / "images/00000002_000.png")
    table = sets.nih(tmp_path)
    assert table["pair_id"].tolist() == [f"nih-chestxray14/0000000{n}" for n in ("1_000", "1_001", "2_000")]
    assert table["labels"].tolist() == [("pleural effusion", "pleural thickening"), ("hiatal hernia",), ()]
    assert table["group"].tolist() == ["nih-chestxray14/1"] * 2 + ["nih-chestxray14/2"]
    assert table["image"][0] == "nih-chestxray14/images_001/images/00000001_000.png"
    assert "1 of 4 films are absent" in caplog.text
    assert list(sets.present(tmp_path)) == ["nih-chestxray14"]


def test_a_label_that_no_release_has_and_a_folder_without_films_are_said(tmp_path):
    base = tmp_path / "nih-chestxray14"
    header = "Image Index,Finding Labels,Patient ID,View Position"
    write(base / "Data_Entry_2017_v2020.csv", header, "a.png,Efusion,1,PA")
    with pytest.raises(PhenoLIPError, match="unknown label 'Efusion'"):
        sets.nih(tmp_path)
    write(base / "Data_Entry_2017_v2020.csv", header, "a.png,Effusion,1,PA")
    with pytest.raises(PhenoLIPError, match="none of the 1 films is there"):
        sets.nih(tmp_path)
    (base / "Data_Entry_2017_v2020.csv").unlink()
    with pytest.raises(PhenoLIPError, match="Data_Entry_2017"):
        sets.nih(tmp_path)


def test_vindr_takes_what_two_of_three_readers_name(tmp_path):
    base = tmp_path / "vinbigdata"
    rows = [
        ("a", "Pleural effusion", "R1"),
        ("a", "Pleural effusion", "R1"),
        ("a", "Pleural effusion", "R2"),
        ("a", "Nodule/Mass", "R3"),
        ("a", "Aortic enlargement", "R1"),
        ("a", "Aortic enlargement", "R2"),
        ("b", "No finding", "R1"),
        ("b", "No finding", "R2"),
        ("b", "ILD", "R3"),
    ]
    write(base / "train.csv", "image_id,class_name,rad_id", *(",".join(row) for row in rows))
    for name in "ab":
        picture(base / f"train/{name}.png")
    table = sets.vindr(tmp_path)
    assert dict(zip(table["pair_id"], table["labels"], strict=True)) == {
        "vinbigdata/a": ("pleural effusion",),
        "vinbigdata/b": (),
    }


def test_rsna_and_covid_are_told_as_pneumonia_or_none(tmp_path):
    base = tmp_path / "rsna"
    write(
        base / "stage_2_train_labels.csv",
        "patientId,x,y,width,height,Target",
        *(f"p{n},1,1,2,2,1" if n % 2 else f"p{n},,,,,0" for n in range(6)),
    )
    write(
        base / "stage_2_detailed_class_info.csv",
        "patientId,class",
        *(f"p{n},{'Lung Opacity' if n % 2 else 'Normal'}" for n in range(6)),
    )
    for n in range(6):
        picture(base / f"stage_2_train_images/p{n}.png")
    assert sets.rsna(tmp_path)["labels"].tolist() == [(), ("pneumonia",)] * 3
    write(
        tmp_path / "covid-chestxray/metadata.csv",
        "patientid,finding,view,modality,folder,filename,url,license",
        "1,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.png,,CC BY",
        "2,No Finding,AP,X-ray,images,b.png,,CC BY",
        "3,No Finding,L,X-ray,images,c.png,,CC BY",
        "4,Tuberculosis,PA,X-ray,images,d.png,,CC BY",
    )
    for name in "abcd":
        picture(tmp_path / f"covid-chestxray/images/{name}.png")
    table = sets.covid_films(tmp_path)
    assert table[["pair_id", "labels", "view"]].values.tolist() == [
        ["covid-chestxray/a.png", ("pneumonia",), "PA"],
        ["covid-chestxray/b.png", (), "AP"],
    ]
    assert list(sets.present(tmp_path)) == ["rsna", "covid-chestxray"]


def draws(rng, n=60, n_draws=5):
    scores = np.round(rng.normal(size=n), 1)  # with ties
    truth = rng.random(n) < 0.3
    return scores, truth, rng.integers(0, 4, (n_draws, n))


@pytest.mark.parametrize("seed", range(4))
def test_weighted_scores_are_scikit_learns(seed):
    scores, truth, weights = draws(np.random.default_rng(seed))
    for ours, theirs in ((films.weighted_auroc, roc_auc_score), (films.weighted_precision, average_precision_score)):
        expected = [theirs(truth, scores, sample_weight=own) for own in weights]
        np.testing.assert_allclose(ours(scores, truth, weights), expected, rtol=1e-12)


def test_a_draw_without_one_side_is_undefined():
    scores, truth = np.array([0.1, 0.9, 0.5]), np.array([True, False, False])
    weights = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 1]])
    assert np.isnan(films.weighted_auroc(scores, truth, weights)).tolist() == [True, True, False]
    assert np.isnan(films.weighted_precision(scores, truth, weights)).tolist() == [True, False, False]


def made(rng, n_patients=50):
    patients = rng.integers(n_patients, size=150).astype(str)
    labels = [tuple(name for name in ("a", "b") if rng.random() < 0.4) for _ in patients]
    return pd.DataFrame({"group": patients, "labels": labels})


def test_the_table_has_means_over_seeds_and_paired_differences():
    rng = np.random.default_rng(0)
    table = made(rng)
    truth = np.array([["a" in own, "b" in own] for own in table["labels"]])
    good = [truth + rng.normal(size=truth.shape) * 0.5 for _ in range(2)]
    poor = [rng.normal(size=truth.shape)]
    found = films.table({"poor": poor, "good": good}, table, ["a", "b"], "poor", resamples=300)
    own = found.set_index(["method", "finding", "metric"])
    expected = [np.mean([roc_auc_score(truth[:, i], scores[:, i]) for scores in good]) for i in range(2)]
    assert own.loc[("good", "a", "auroc"), "mean"] == pytest.approx(expected[0])
    assert own.loc[("good", films.MACRO, "auroc"), "mean"] == pytest.approx(np.mean(expected))
    row = own.loc[("good", films.MACRO, "auroc")]
    assert row["low"] < row["mean"] < row["high"]
    assert row["difference"] == pytest.approx(row["mean"] - own.loc[("poor", films.MACRO, "auroc"), "mean"])
    assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]
    assert np.isnan(own.loc[("poor", "a", "auroc"), "difference"])
    assert own.loc[("poor", films.MACRO, "auroc"), "low"] < 0.5 < own.loc[("poor", films.MACRO, "auroc"), "high"]


def test_films_of_one_patient_are_no_independent_witnesses():
    rng = np.random.default_rng(1)
    single = made(rng, 10**9)
    scores = {"m": [np.array([["a" in own] for own in single["labels"]]) + rng.normal(size=(150, 1))]}
    again = {"m": [np.repeat(scores["m"][0], 4, axis=0)]}
    repeated = single.loc[single.index.repeat(4)].reset_index(drop=True)
    one, four = (films.table(s, t, ["a"], resamples=500).iloc[0] for s, t in ((scores, single), (again, repeated)))
    assert four["mean"] == pytest.approx(one["mean"])
    assert four["high"] - four["low"] == pytest.approx(one["high"] - one["low"], rel=1e-6)


def test_findings_that_are_too_rare_or_nearly_everywhere_are_not_scored():
    labels = pd.Series([("a", "c")] * 20 + [("c",)] * 25 + [("b", "c")] * 5)
    assert films.scored(labels) == ["a"]
    assert films.scored(labels, 5) == ["a", "b"]


def test_categories_of_labels_are_those_of_the_extractor():
    from phenolip_lib.recognition.findings.vocabulary import categories

    assert {*sets.NIH.values(), *sets.VINDR.values()} <= {*categories()}


def test_no_film_is_judged_whose_patient_a_pair_shows(tmp_path, monkeypatch, caplog):
    """The COVID collection is a source of pairs and a set of films."""
    rows = pd.DataFrame(
        {
            "image": [f"covid-chestxray/images/{n}.png" for n in range(100)],
            "labels": [("pneumonia",) if n % 4 < 2 else () for n in range(100)],
            "group": [f"covid-chestxray/{n // 2}" for n in range(100)],
        }
    )
    pairs = pd.DataFrame(
        {
            "dataset": "covid-chestxray",
            "image": ["covid-chestxray/images/0.png", "other.png", "other.png", "other.png"],
            "group": ["an article", "covid-chestxray/5", "g", "g"],
            "patient": ["", "", "7", ""],
        }
    )
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(medfilip, "film_sets", lambda root: {"covid-chestxray": rows})
    monkeypatch.setattr(medfilip, "load_pairs", lambda folder: pairs)
    with caplog.at_level("INFO", "phenolip"):
        (found,) = medfilip.films_of(Paths(tmp_path), "open").values()
    assert set(rows["group"]) - set(found["group"]) == {f"covid-chestxray/{n}" for n in (0, 5, 7)}
    assert found.index.tolist() == list(range(94))
    assert "6 of 100 films are of patients whom the pairs show" in caplog.text
    monkeypatch.setattr(medfilip, "load_pairs", lambda folder: rows.assign(patient="", dataset="covid-chestxray"))
    assert medfilip.films_of(Paths(tmp_path), "open") == {}


def test_the_real_films_are_read(shared_data):
    table = sets.present(shared_data.root)["nih-chestxray14"]
    assert len(table) > 600
    assert table["group"].nunique() > 400
    assert {"pneumonia", "infiltrate", "pulmonary edema"} <= {*films.scored(table["labels"])}


@pytest.fixture
def shared_data():
    import os
    from pathlib import Path

    root = Path(os.environ.get("PHENOLIP_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (root / "nih-chestxray14").is_dir():
        pytest.skip("no real films beside the repository")
    return SimpleNamespace(root=root)
