"""What the sources a user fills must survive: damage anywhere, large tables, odd spellings; and exports read back."""

import io
import json
import random
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.curation.steps import Ledger, Picture, admit, resolve_labels
from phenolip_lib.data.images import read_image
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources import DATASETS, folder, open_records
from phenolip_lib.graph.exports import phenobench as phenobench_export
from phenolip_lib.graph.exports import shards

ENTRY = {
    "pmc_id": "PMC9",
    "figure_id": "F2",
    "bbox_id": 1,
    "image_path": "9.jpg",
    "modality": "X-ray",
    "enhanced_description": "Large heart.",
    "phenotypes": ["Cardiomegaly"],
}


def encoded(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (90, 60, 60)).save(buffer, kind)
    return buffer.getvalue()


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def tar(path: Path, entries: dict[str, bytes], mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def read(root: Path, name: str) -> tuple[dict[str, Record], list[tuple[str, str]]]:
    """Records by what follows the data set's name in their id, and id and reason of every reject."""
    found = list(open_records(root, [name]))
    records = {r.record_id.removeprefix(f"{name}/"): r for r in found if isinstance(r, Record)}
    rejects = [(r.record_id.removeprefix(f"{name}/"), r.reason) for r in found if isinstance(r, Reject)]
    assert len(records) + len(rejects) == len(found)
    return records, rejects


# --- the user's own folder


def test_folder_paths_have_one_spelling(tmp_path):
    base = tmp_path / "folder"
    write(base / "b" / "a.png", encoded())
    tar(base / "x.tar", {"./in.png": encoded()})
    write(base / "records.csv", "image\n./b/a.png\nb//a.png\nb/c/../a.png\n./x.tar::./in.png\n..\n/etc/passwd\n.\n")
    write(tmp_path / "secret.png", encoded())
    records, rejects = read(tmp_path, "folder")
    assert list(records) == ["b/a.png", "x.tar::./in.png"]
    assert all(read_image(tmp_path, record.image).size == (32, 32) for record in records.values())
    assert [(key, reason.removeprefix("records.csv, ")) for key, reason in rejects] == [
        ("b/a.png", "row 3: picture is listed before"),
        ("b/a.png", "row 4: picture is listed before"),
        ("..", "row 6: ..: leads out of the data folder"),
        ("/etc/passwd", "row 7: /etc/passwd: leads out of the data folder"),
        (".", "row 8: image '.' is not there"),
    ]


def test_folder_keeps_patients_and_addresses(tmp_path):
    for name in "abcd":
        write(tmp_path / "folder" / f"{name}.png", encoded())
    rows = ["a.png,7,,https://x.org/a", "b.png,7,,", "c.png,7,other,", "d.png,,,"]
    write(tmp_path / "folder" / "records.csv", "image,patient,group,url\n" + "\n".join(rows))
    records, rejects = read(tmp_path, "folder")
    assert [r.patient for r in records.values()] == ["7", "7", "7", ""]
    assert [r.group for r in records.values()] == ["folder/7", "folder/7", "folder/other", "folder/d.png"]
    assert [r.url for r in records.values()] == ["https://x.org/a", "", "", ""]
    assert rejects == []


@pytest.mark.parametrize("kind", ["x.tar", "x.tar.gz", "x.zip"])
def test_folder_walks_an_archive_once(tmp_path, monkeypatch, kind):
    base, names = tmp_path / "folder", [f"{i}.png" for i in range(30)]
    write(base / "bad.tar.gz", "no archive")
    if kind == "x.zip":
        with zipfile.ZipFile(base / kind, "w") as archive:
            for name in names:
                archive.writestr(name, encoded())
    else:
        tar(base / kind, dict.fromkeys(names, encoded()), "w:gz" if kind.endswith("gz") else "w")
    rows = [f"{kind}::{name}" for name in [*names, "none.png"]] + ["bad.tar.gz::1.png", "bad.tar.gz::2.png"]
    write(base / "records.csv", "image\n" + "\n".join(rows))
    walked = []
    members = folder.members
    monkeypatch.setattr(folder, "members", lambda path: walked.append(path.name) or members(path))
    records, rejects = read(tmp_path, "folder")
    assert walked == [kind, "bad.tar.gz"]
    assert len(records) == 30
    assert [key for key, _ in rejects] == [f"{kind}::none.png", "bad.tar.gz::1.png", "bad.tar.gz::2.png"]
    bad = [reason.removeprefix("records.csv, ") for _, reason in rejects[1:]]
    assert bad == [f"row {row}: bad.tar.gz: not an archive that can be read (ReadError)" for row in (33, 34)]


def test_folder_suggests_names_for_the_first_absent_pictures_only(tmp_path):
    n = folder.MAX_HINTS + 5
    for i in range(n):
        write(tmp_path / "folder" / "scan" / f"{i:03d}.png", b"")
    rows = [f"scans/{i:03d}.png" for i in range(n)] + ["x" * 5000]
    write(tmp_path / "folder" / "records.csv", "image\n" + "\n".join(rows))
    records, rejects = read(tmp_path, "folder")
    absent = [reason for _, reason in rejects if "is not there" in reason]
    assert (len(records), len(absent)) == (0, n + 1)
    assert [reason for reason in absent if "did you mean" in reason] == absent[: folder.MAX_HINTS]
    assert absent[3].endswith("image 'scans/003.png' is not there; did you mean 'scan/003.png'?")


# --- WebDataset


def test_shards_of_other_makers(tmp_path):
    facts = [
        {"phenotypes": ["HP:0001744", "Cardiomegaly"], "license": "CC BY 4.0", "class_name": "pale", "group": 0},
        {"patient": 12, "class": 0, "class_name": "not this"},
        {"labels": ["Ascites"], "phenotypes": ["HP:0000001"], "asserted": True, "figure": 3, "article": "PMC1"},
        {"group": True},
        {"patient": 1.5},
    ]
    entries = {
        f"{i}.{suffix}": content
        for i, one in enumerate(facts)
        for suffix, content in (("png", encoded()), ("json", json.dumps(one).encode()))
    }
    tar(tmp_path / "webdataset" / "s.tar", entries)
    records, rejects = read(tmp_path, "webdataset")
    one, two, three = records.values()
    assert (one.labels, one.label_names, one.licence) == (("HP:0001744",), ("Cardiomegaly",), "CC-BY-4.0")
    assert (one.group, one.class_name) == ("0", "pale")
    assert (two.group, two.patient, two.class_name) == ("webdataset/12", "12", "0")
    assert (three.labels, three.label_names, three.figure, three.group) == ((), ("Ascites",), "3", "PMC1")
    assert rejects == [("s/3", "facts are not an object of texts"), ("s/4", "facts are not an object of texts")]


def test_a_shard_that_is_cut_off(tmp_path):
    tar(tmp_path / "webdataset" / "s.tar", {f"{i}.png": encoded() for i in range(4)})
    path = tmp_path / "webdataset" / "s.tar"
    whole = path.read_bytes()
    for cut in range(0, len(whole), 300):
        path.write_bytes(whole[:cut])
        records, rejects = read(tmp_path, "webdataset")
        assert records or rejects or not cut
        for record in records.values():
            try:
                read_image(tmp_path, record.image)
            except PhenoLIPError:
                assert cut < len(whole)
    path.write_bytes(whole)
    assert len(read(tmp_path, "webdataset")[0]) == 4


# --- exports read back


@pytest.fixture
def pairs(tmp_path) -> pd.DataFrame:
    """A few pairs as `phenokg.build` makes them, with their pictures below ``tmp_path/source``."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    (tmp_path / "source").mkdir()
    Image.fromarray(noise).save(tmp_path / "source" / "a.png")
    Image.fromarray(noise[::-1].copy()).save(tmp_path / "source" / "b.jpg")
    row = {
        "dataset": "set",
        "left": 0.0,
        "top": 0.0,
        "right": 1.0,
        "bottom": 1.0,
        "templated": False,
        "modality": "radiology",
        "licence": "CC-BY-4.0",
        "url": "https://x.org/1",
    }
    rows = [
        {
            "pair_id": "set/1.5/a",
            "image": "a.png",
            "caption": 'A "large" heart,\u2028 é.',
            "group": "case 1",
            "split": "train",
            "phenotypes": ["HP:0001640", "HP:0001744"],
            "asserted": True,
        },
        {
            "pair_id": "set/b",
            "image": "b.jpg",
            "caption": "Recognised in the text.",
            "group": "case 2",
            "split": "test",
            "phenotypes": ["HP:0001640"],
            "asserted": False,
        },
        {
            "pair_id": "set/c",
            "image": "a.png",
            "caption": "Half, a panel.",
            "group": "case 2",
            "split": "test",
            "phenotypes": ["HP:0001744"],
            "asserted": True,
            "right": 0.5,
            "licence": "NOASSERTION",
        },
    ]
    return pd.DataFrame([row | one for one in rows])


def test_shards_come_back(pairs, tmp_path):
    shards.write(pairs, tmp_path / "source", tmp_path / "open" / "webdataset", per_shard=1)
    records, rejects = read(tmp_path / "open", "webdataset")
    assert rejects == []
    found = {record.group + record.caption: record for record in records.values()}
    assert len(found) == len(pairs)
    for row in pairs.itertuples(index=False):
        record = found[row.group + " ".join(row.caption.split())]
        assert (record.modality, record.licence, record.url) == (row.modality, row.licence, row.url)
        assert record.labels == (tuple(row.phenotypes) if row.asserted else ())
        old = read_image(tmp_path / "source", row.image, (row.left, row.top, row.right, row.bottom))
        new = read_image(tmp_path / "open", record.image)
        assert new.size == old.size
        if row.right == 1.0:
            assert np.array_equal(np.asarray(new), np.asarray(old))


def test_phenobench_comes_back_as_ids(pairs, toy, params, tmp_path):
    test = pairs[pairs["split"] == "test"].reset_index(drop=True)
    phenobench_export.write(pairs, tmp_path / "source", toy, tmp_path / "open" / "phenobench")
    records, rejects = read(tmp_path / "open", "phenobench")
    assert rejects == []
    assert [record.caption for record in records.values()] == test["caption"].tolist()
    assert all(read_image(tmp_path / "open", record.image).height == 40 for record in records.values())
    ledger = Ledger()
    pictures = [Picture(r, r.record_id, np.zeros(1), np.zeros(1), r.group) for r in records.values()]
    resolved = resolve_labels(pictures, toy, ledger)
    assert [list(p.record.labels) for p in resolved] == test["phenotypes"].tolist()
    assert ledger.rejects == []


# --- PhenoBench and PhenoKG


def test_lists_of_phenotypes_are_lists(tmp_path):
    literals = [
        "'Ascites'",
        "\"{'Ascites': 1}\"",
        "\"{'Ascites'}\"",
        "b'Ascites'",
        "\"('Ascites',)\"",
        "\"['Ascites']\"",
    ]
    rows = [f"{i}.jpg,text,{literal}" for i, literal in enumerate(literals)]
    write(tmp_path / "phenobench" / "testdata.csv", "image_path,caption,full_matches\n" + "\n".join(rows))
    records, rejects = read(tmp_path, "phenobench")
    assert {key: record.label_names for key, record in records.items()} == dict.fromkeys(
        ["4.jpg", "5.jpg"], ("Ascites",)
    )
    assert [key for key, _ in rejects] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_json_lines_end_at_newlines_alone(tmp_path):
    entries = [ENTRY | {"bbox_id": i, "enhanced_description": f"A{mark}B"} for i, mark in enumerate("\u2028\x85\x0c\v")]
    lines = "\r\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    write(tmp_path / "phenobench" / "kg.jsonl", lines + "\n")
    records, rejects = read(tmp_path, "phenobench")
    assert [record.caption for record in records.values()] == [e["enhanced_description"] for e in entries]
    assert rejects == []


def test_what_is_null_is_empty(tmp_path):
    entry = ENTRY | dict.fromkeys(["pmc_id", "figure_id", "bbox_id", "modality", "enhanced_description"])
    write(tmp_path / "phenobench" / "kg.json", json.dumps(entry | {"image_path": " a.jpg "}))
    (record,) = read(tmp_path, "phenobench")[0].values()
    assert (record.record_id, record.image) == ("phenobench/kg.json:1", "phenobench/a.jpg")
    assert (record.figure, record.caption, record.article, record.modality) == ("", "", "", "other")


# --- tables


@pytest.mark.parametrize(
    "name, table",
    [
        ("covid-chestxray", "metadata.csv"),
        ("roco", "train_captions.csv"),
        ("phenobench", "testdata.csv"),
        ("folder", "records.csv"),
    ],
)
def test_tables_that_are_not_utf8_are_named(tmp_path, name, table):
    path = write(tmp_path / name / table, b"image,caption\na.png,caf\xe9\n")
    with pytest.raises(PhenoLIPError, match=f"{path}: not a table") as error:
        list(DATASETS[name](tmp_path))
    assert "\n" not in str(error.value)


def test_roco_facts_with_stray_quotes(tmp_path):
    base = tmp_path / "roco" / "train" / "radiology"
    for name in "ab":
        write(base / "images" / f"{name}.jpg", encoded("JPEG"))
    write(base / "captions.txt", 'a\t "One\nb\tTwo\n')
    write(base / "licences.txt", 'ROCO_ID,PMC_ID,CC\na,"PMC1_x.jpg,CC BY\nb,PMC2_x.jpg,CC BY-NC\n')
    records, _ = read(tmp_path, "roco")
    assert [(r.group, r.licence) for r in records.values()] == [("PMC1", "CC-BY"), ("PMC2", "CC-BY-NC")]
    write(base / "licences.txt", "ROCO_ID,PMC_ID,CC\nb,PMC2_x.jpg,CC BY-NC\na," + "x" * 140_000)
    assert [r.licence for r in read(tmp_path, "roco")[0].values()][1] == "CC-BY-NC", "one long field refuses nothing"


def test_labels_unknown_to_the_ontology_are_told(tmp_path, toy, params):
    write(tmp_path / "folder" / "a.png", encoded())
    labels = "HP:0001744;HP:9999999;No such thing|Cardiomegaly;big organ"
    write(tmp_path / "folder" / "records.csv", f"image,labels\na.png,{labels}\n")
    ledger = Ledger()
    (record,) = admit(open_records(tmp_path, ["folder"]), params.phenokg, ledger)
    (picture,) = resolve_labels([Picture(record, record.record_id, np.zeros(1), np.zeros(1), "")], toy, ledger)
    assert picture.record.labels == ("HP:0001640", "HP:0001744")
    assert [(r.step, r.reason) for r in ledger.rejects] == [
        ("label", f"HP:9999999 is not in HPO {toy.release}"),
        ("label", f"'No such thing' names no phenotype of HPO {toy.release}"),
        ("label", f"'big organ' names no phenotype of HPO {toy.release}"),  # a BROAD synonym of splenomegaly
    ]


# --- MedMNIST


def test_medmnist_is_listed_without_its_pictures(tmp_path):
    """The bytes of the pictures are not looked at: broken, they are found when they are read."""
    arrays = {}
    for split in ("train", "val", "test"):
        arrays |= {
            f"{split}_images": np.full((30, 28, 28), 9, np.uint8),
            f"{split}_labels": np.zeros((30, 1), np.uint8),
        }
    (tmp_path / "medmnist").mkdir()
    path = tmp_path / "medmnist" / "breastmnist.npz"
    np.savez(path, **arrays)
    content = path.read_bytes()
    pictures = bytes([9]) * 28 * 28 * 30
    assert content.count(pictures) == 3
    path.write_bytes(content.replace(pictures, bytes([8]) * len(pictures)))
    records, rejects = read(tmp_path, "medmnist")
    assert (len(records), rejects) == (90, [])
    with pytest.raises(PhenoLIPError, match="image is unreadable: BadZipFile"):
        read_image(tmp_path, records["breastmnist/val/000001"].image)


def test_medmnist_file_that_is_a_bare_array(tmp_path):
    (tmp_path / "medmnist").mkdir()
    with open(tmp_path / "medmnist" / "pathmnist.npz", "wb") as file:
        np.save(file, np.zeros(3))
    records, rejects = read(tmp_path, "medmnist")
    assert not records
    assert rejects == [(f"pathmnist/{s}", "labels cannot be read: TypeError") for s in ("train", "val", "test")]


# --- damage anywhere

JUNK = [b'"', b"\0", b"\xff", b"\xed\xa0\x80", b",", b"\t", b"\n", b"\r", b"[", b"{", b'"' + b"x" * 140_000, b"../"]


def layout(root: Path) -> None:
    """A small data set of each kind."""
    picture = encoded()
    write(root / "covid-chestxray" / "images" / "a.jpg", picture)
    header = "patientid,finding,folder,filename,url,license,clinical_notes,other_notes,"
    row = '2,Pneumonia/Viral,images,a.jpg,u,CC BY,"Fever, ""x""",o,'
    write(root / "covid-chestxray" / "metadata.csv", f"{header}\n{row}\n")
    base = root / "roco" / "train" / "radiology"
    write(base / "images" / "R1.jpg", picture)
    write(base / "captions.txt", "R1\t one\n")
    write(base / "licences.txt", "ROCO_ID,PMC_ID,CC\nR1,PMC1_a,CC BY\n")
    write(root / "roco" / "valid" / "V1.jpg", picture)
    write(root / "roco" / "valid_captions.csv", 'ID,Caption\nV1,"big, x"\n')
    write(root / "roco" / "license_information.csv", 'ID,PMCID,Attribution,Link\nV1,PMC3,"CC BY, x",h\n')
    arrays = {}
    for split in ("train", "val", "test"):
        arrays |= {f"{split}_images": np.zeros((1, 8, 8, 3), np.uint8), f"{split}_labels": np.array([[2]], np.uint8)}
    (root / "medmnist").mkdir()
    np.savez_compressed(root / "medmnist" / "pathmnist.npz", **arrays)
    np.savez(root / "medmnist" / "bloodmnist_64.npz", **arrays)
    tar(root / "folder" / "y.tar.gz", {"in.png": picture}, "w:gz")
    with zipfile.ZipFile(root / "folder" / "x.zip", "w") as archive:
        archive.writestr("in.png", picture)
    write(root / "folder" / "a.png", picture)
    table = 'image,caption,labels\na.png,"x, y",HP:0000001;Foo|Bar\nx.zip::in.png\ny.tar.gz::in.png\n'
    write(root / "folder" / "records.csv", table)
    facts = json.dumps({"caption": "c", "labels": ["HP:0000001"], "group": "g"}).encode()
    tar(root / "webdataset" / "0.tar", {"1.png": picture, "1.txt": b"caption", "1.json": facts})
    matches = "\"[('Ascites', 1), ['X']]\""
    write(root / "phenobench" / "testdata.csv", f"image_path,caption,full_matches\nPMC1_a.jpg,big,{matches}\n")
    write(root / "phenobench" / "kg.json", json.dumps([ENTRY, ENTRY]))
    write(root / "phenobench" / "kg.jsonl", json.dumps(ENTRY) + "\n" + json.dumps(ENTRY))


def damaged(content: bytes, rng: random.Random) -> bytes:
    at, how = rng.randrange(len(content)), rng.random()
    if how < 0.5:
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if how < 0.7:
        return content[:at] + content[at + rng.randrange(1, 9) :]
    return content[:at] + (rng.choice(JUNK) + content[at:] if how < 0.9 else b"")


def outcome(root: Path, name: str) -> list[Record | Reject] | str:
    """What a source yields, or its message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(open_records(root, [name]))
    except PhenoLIPError as error:
        return str(error)


@pytest.mark.parametrize("name", ["covid-chestxray", "roco", "medmnist", "folder", "webdataset", "phenobench"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_damage_is_a_reject_or_one_line(tmp_path, name):
    layout(tmp_path)
    whole = list(open_records(tmp_path, [name]))
    assert any(isinstance(item, Record) for item in whole)
    rng = random.Random(name)
    files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file() and p.suffix not in (".jpg", ".png"))
    for i in range(150):
        path = files[i % len(files)]
        content = path.read_bytes()
        path.write_bytes(damaged(content, rng))
        found = outcome(tmp_path, name)
        if isinstance(found, str):
            assert str(path.parent) in found
            assert "\n" not in found
        else:
            assert all(isinstance(item, Record) or item.step == "source" for item in found)
        path.write_bytes(content)
    assert list(open_records(tmp_path, [name])) == whole
