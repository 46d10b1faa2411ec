"""Loaders on small folders of each upstream layout, and on the real ones where they are at hand."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.sources import DATASETS, chula, ham10000, idrid, medpix, open_records
from tests.conftest import ROOT

REAL = Path(os.environ.get("PHENOLIP_DATA", ROOT.parent / "shared" / "data"))
MODULES = {"medpix-2.0": medpix, "ham10000": ham10000, "idrid": idrid, "chula-rbc-12": chula}


def picture(path: Path, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), (value, 60, 60)).save(path)


@pytest.fixture
def root(tmp_path):
    """A folder with all four data sets, a few records each, with the quirks of the real files."""
    med = tmp_path / "medpix-2.0" / "MedPix-2-0"
    picture(med / "images" / "MPX1_s1.png")
    items = [
        {
            "U_id": "MPX1",
            "image": "MPX1_s1",
            "Location Category": "Thorax",
            "Description": {"Caption": "Large\n  heart."},
        },
        {"U_id": "MPX1", "image": "MPX1_s2", "Location Category": "Thorax", "Description": {"Caption": None}},
    ]
    (med / "Descriptions.json").write_text(json.dumps(items))
    case = {"Title": "Case", "History": "n", "Findings": "Cardiomegaly", "Case Diagnosis": "N/A"}
    (med / "Case_topic.json").write_text(
        json.dumps([{"U_id": "MPX1", "Case": case, "Topic": {"Disease Discussion": "long"}}])
    )
    (med / "splitted_dataset").mkdir()
    (med / "splitted_dataset" / "descriptions_dev.jsonl").write_text(json.dumps({"image": "MPX1_s1"}) + "\n\n")

    ham = tmp_path / "ham10000"
    picture(ham / "HAM10000_images_part_1" / "ISIC_2.jpg")
    picture(ham / "HAM10000_images_part_2" / "ISIC_1.jpg")
    (ham / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx,dx_type,age,sex,localization\nL1,ISIC_2,mel,histo,50,male,back\nL2,ISIC_1,df,histo,,female,arm\n"
    )

    grading, parts = tmp_path / "idrid" / "B. Disease Grading", tmp_path / "idrid" / "A. Segmentation"
    for place in idrid.SETS.values():
        picture(grading / "1. Original Images" / place / "IDRiD_001.jpg")
        picture(parts / "1. Original Images" / place / "IDRiD_01.jpg")
    header = "Image name,Retinopathy grade,Risk of macular edema ,,,\n"
    (grading / "2. Groundtruths").mkdir()
    (grading / "2. Groundtruths" / "a. IDRiD_Disease Grading_Training Labels.csv").write_text(
        header + "IDRiD_001,3,2,,,\nIDRiD_002,0,0,,,\n,,,,,\n"
    )
    (grading / "2. Groundtruths" / "b. IDRiD_Disease Grading_Testing Labels.csv").write_text(
        header + "IDRiD_001,1,1,,,\n"
    )
    lesions = parts / "2. All Segmentation Groundtruths" / idrid.SETS["train"]
    for suffix, value in (("MA", 255), ("HE", 0)):
        mask = np.zeros((32, 32), np.uint8)
        mask[4, 4] = value
        (lesions / suffix).mkdir(parents=True)
        Image.fromarray(mask).save(lesions / suffix / f"IDRiD_01_{suffix}.tif")

    rbc = tmp_path / "chula-rbc-12"
    picture(rbc / "Dataset" / "1.jpg")
    picture(rbc / "Dataset" / "10.jpg")
    picture(rbc / "RBC Diseases" / "HS" / "a.jpg")
    picture(rbc / "RBC Diseases" / "Thalassemia" / "b.jpg")
    (rbc / "Label").mkdir()
    (rbc / "Label" / "1.txt").write_text("1 1 0\n" * 10 + "5 5 3\n" * 4 + "9 9 9\n" + "a b c\n7 7 99\n\n")
    return tmp_path


def by_id(records):
    return {record.record_id: record for record in records}


def test_medpix(root):
    found = by_id(medpix.records(root))
    one, two = found["medpix-2.0/MPX1_s1"], found["medpix-2.0/MPX1_s2"]
    assert (one.caption, one.context) == ("Large heart.", "Case\nCardiomegaly")
    assert (one.group, one.official_split, one.class_name) == ("medpix-2.0/MPX1", "dev", "Thorax")
    assert (root / one.image).is_file()
    assert one.box != (0, 0, 1, 1)
    assert (two.caption, (root / two.image).is_file()) == ("", False)


def test_ham10000(root):
    found = by_id(ham10000.records(root))
    assert list(found) == ["ham10000/ISIC_1", "ham10000/ISIC_2"]
    assert found["ham10000/ISIC_2"].labels == ("HP:0012056",)
    assert found["ham10000/ISIC_1"].labels == ()
    assert all((root / record.image).is_file() for record in found.values())
    assert found["ham10000/ISIC_2"].group == "ham10000/L1"


def test_idrid(root):
    found = by_id(idrid.records(root))
    assert found["idrid/grading/train/IDRiD_001"].labels == ("HP:0000488", "HP:0040049")
    assert found["idrid/grading/test/IDRiD_001"].labels == ("HP:0000488",)
    assert found["idrid/grading/train/IDRiD_002"].labels == ()
    assert found["idrid/segmentation/train/IDRiD_01"].labels == ("HP:0032416",)
    assert set(idrid.masks(root, "idrid/segmentation/train/IDRiD_01")) == {"HP:0032416"}
    assert idrid.masks(root, "idrid/grading/train/IDRiD_001") == {}


def test_chula(root):
    found = by_id(chula.records(root))
    assert found["chula-rbc-12/smear/1"].labels == ("HP:0004444",)  # one schistocyte among 15 does not count
    assert found["chula-rbc-12/smear/1"].class_name == "spherocyte"
    assert found["chula-rbc-12/smear/10"].labels == ()
    assert found["chula-rbc-12/disease/HS/a"].labels == ("HP:0004444",)
    assert found["chula-rbc-12/disease/Thalassemia/b"].labels == ()


def test_label_maps_name_live_terms(full):
    maps = {**ham10000.LABELS, **idrid.LABELS, **chula.LABELS, **chula.DISEASES}
    for hpo_id, name in maps.values():
        assert hpo_id in full.index, hpo_id
        assert full[hpo_id].name == name


@pytest.mark.parametrize("name", list(MODULES))
def test_a_missing_folder_says_what_to_do(name, tmp_path):
    with pytest.raises(PhenoLIPError, match=rf"is missing; run `phenolip download {name} --to .* out of open.datasets"):
        list(DATASETS[name](tmp_path))


def test_unknown_data_set_and_missing_root(tmp_path):
    with pytest.raises(PhenoLIPError, match="no data set 'ham1000'; did you mean 'ham10000'"):
        list(open_records(tmp_path, ["ham1000"]))
    with pytest.raises(PhenoLIPError, match="is missing; link your data there"):
        list(open_records(tmp_path / "none", ["ham10000"]))


def test_broken_metadata_is_one_line(root):
    (root / "medpix-2.0" / "MedPix-2-0" / "Descriptions.json").write_text("[{")
    with pytest.raises(PhenoLIPError, match="Descriptions.json: not valid JSON"):
        list(medpix.records(root))
    (root / "ham10000" / "HAM10000_metadata.csv").write_text("a,b\n1,2\n")
    with pytest.raises(PhenoLIPError, match="lacks the columns dx, image_id, lesion_id"):
        list(ham10000.records(root))


@pytest.mark.skipif(not (REAL / "ham10000").is_dir(), reason="the real data are not at hand")
def test_real_folders_are_read_whole():
    records = list(open_records(REAL, list(MODULES)))
    counts = Counter(record.dataset for record in records)
    assert counts == {"medpix-2.0": 1850, "ham10000": 2361, "idrid": 516 + 81, "chula-rbc-12": 738 + 121}
    assert len({record.record_id for record in records}) == len(records)
    assert all((REAL / record.image).is_file() for record in records)
    assert sum(bool(record.caption) for record in records) == 1850
    assert len({record.group for record in records if record.dataset == "medpix-2.0"}) == 602
