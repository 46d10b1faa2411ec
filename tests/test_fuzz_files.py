"""Damaged tables, archives, pictures, weights, params, results: a result, a quarantine row, or an error of one line."""

import io
import json
import tarfile
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from phenolip_lib.core.params import load_params
from phenolip_lib.core.storage import read_arrays
from phenolip_lib.data.archives import array_shape, members
from phenolip_lib.data.images import read_image
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources import folder as own_folder
from phenolip_lib.data.sources import webdataset
from phenolip_lib.data.sources.files import read_table
from phenolip_lib.evaluation.results import Result, load_results, write_result
from phenolip_lib.models import pretrained
from phenolip_lib.models.weights import read_weights
from phenolip_lib.pipeline.inputs import lines
from phenolip_lib.training.checkpoints import Checkpoints
from tests.conftest import ROOT
from tests.fuzzing import LONG, SHORT, Format, check


def saved(write) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def picture(kind: str, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 20, 3), dtype=np.uint8)
    return saved(lambda file: Image.fromarray(pixels).convert(mode).save(file, kind))


def packed(kind: str) -> bytes:
    entries = {"1.png": picture("PNG"), "1.txt": b"Large heart.", "1.json": b'{"labels": ["HP:0001640"], "patient": 3}'}

    def write(file):
        if kind == "zip":
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in entries.items():
                    archive.writestr(name, content)
            return
        with tarfile.open(fileobj=file, mode=f"w{kind}") as archive:
            for name, content in entries.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))

    return saved(write)


def items(found) -> None:
    found = list(found)
    assert found, "neither a record nor a reject"
    assert all(isinstance(item, Record) or (isinstance(item, Reject) and item.reason) for item in found)


def _table(name, content, folder):
    base = folder / "folder"
    base.mkdir(exist_ok=True)
    (base / "a.png").write_bytes(PNG)
    (base / name).write_bytes(content)
    items(own_folder.records(folder))


def _caption(content, folder):
    (folder / "folder").mkdir(exist_ok=True)
    (folder / "folder" / "a.png").write_bytes(PNG)
    (folder / "folder" / "a.txt").write_bytes(content)
    items(own_folder.records(folder))
    lines([str(folder / "folder" / "a.txt")])


def _workbook(content, folder):
    (folder / "t.xlsx").write_bytes(content)
    read_table(folder / "t.xlsx", ["image"], [])


def _shard(content, folder):
    (folder / "webdataset").mkdir(exist_ok=True)
    (folder / "webdataset" / "0.tar").write_bytes(content)
    items(webdataset.records(folder))


def _archive(suffix, content, folder):
    file = folder / f"a{suffix}"
    file.write_bytes(content)
    for name in members(file):
        if name.endswith(".png"):
            read_image(folder, f"{file.name}::{name}")


def _image(name, content, folder):
    (folder / name).write_bytes(content)
    read_image(folder, name)


def _arrays(content, folder):
    (folder / "a.npz").write_bytes(content)
    read_arrays(folder / "a.npz")


def _pictures(content, folder):
    (folder / "p.npz").write_bytes(content)
    for i in range(min(array_shape(folder / "p.npz", "images")[0], 3)):
        read_image(folder, f"p.npz::images/{i}")


def _weights(content, folder):
    (folder / "w.safetensors").write_bytes(content)
    read_weights(folder / "w.safetensors")


def _checkpoint(kind, content, folder):
    kept = Checkpoints(folder / kind)
    kept.save(1, {"w": torch.ones(2)}, {"note": 1})
    kept.save(2, {"w": torch.ones(2)}, {"note": 2})
    (folder / kind / f"000000002.{kind}").write_bytes(content)
    tensors, state = kept.latest()
    assert tensors["w"].tolist() == [1.0, 1.0]
    assert state["note"] in (1, 2)


def _params(content, folder):
    (folder / "params.yaml").write_bytes(content)
    load_params(folder / "params.yaml", check_ablations=True)


def _results(content, folder):
    place = folder / "m-seed0"
    place.mkdir(exist_ok=True)
    (place / "retrieval.json").write_bytes(content)
    load_results(folder)


def _model_config(content, folder):
    (folder / pretrained.CONFIG).write_bytes(content)
    config = pretrained._config(folder)
    pretrained._preprocess("m", config.get("preprocess_cfg"))


def results(folder) -> bytes:
    facts = {"source": "phantom", "method": "m", "seed": 0, "n_train": 3, "provenance": {"git": "x"}}
    write_result(folder, "retrieval", Result(numbers={"": {"i2t_recall@10": 0.25}}), facts)
    return next(folder.rglob("*.json")).read_bytes()


def checkpoint(folder) -> bytes:
    Checkpoints(folder).save(2, {"w": torch.ones(2)}, {"note": 2})
    return (folder / "000000002.json").read_bytes()


PNG = picture("PNG")
CSV = b'image,caption,labels,patient,modality\na.png,"Big, pale",HP:0001640;Splenomegaly,p1,radiology\nb.png,x,,NA,\n'
WORDS = (b"image", b"a.png", b"labels", b"HP:0001640", b'"', b",", b"patient", b"../a.png", b"a.tar::x", b"/etc/passwd")
ARRAYS = {"images": np.zeros((3, 20, 20), np.uint8), "x": np.ones(4, np.float32)}
CONFIG = {
    "model_cfg": {"embed_dim": 4, "vision_cfg": {}, "text_cfg": {}},
    "preprocess_cfg": {"mean": [0.5] * 3, "std": None},
}
YAML_WORDS = (
    b"stage1:",
    b"seeds:",
    b"methods:",
    b"{",
    b"- ",
    b"null",
    b"1e-3",
    b"phantom",
    b"!!python/object:x",
    b"&a",
    b"*a",
)
FORMATS = [
    Format("csv", (CSV,), partial(_table, "t.csv"), WORDS),
    Format("tsv", (CSV.replace(b",", b"\t"),), partial(_table, "t.tsv"), (*WORDS, b"\t")),
    Format("text", (b"Large spleen.\nNo cardiomegaly.\n",), _caption),
    Format("shard", (packed(""),), _shard, (b"ustar", b"1.png", b"1.json", b"labels"), text=False),
    Format("tar.gz", (packed(":gz"),), partial(_archive, ".tar.gz"), text=False),
    Format("zip", (packed("zip"),), partial(_archive, ".zip"), (b"PK\x03\x04", b"PK\x01\x02", b"1.png"), text=False),
    Format(
        "png", (PNG, picture("PNG", "L"), picture("PNG", "P")), partial(_image, "a.png"), (b"IHDR", b"IDAT"), text=False
    ),
    Format(
        "jpeg",
        (picture("JPEG"), picture("JPEG", "L")),
        partial(_image, "a.jpg"),
        (b"\xff\xd8", b"\xff\xc0"),
        text=False,
    ),
    Format("tiff", (picture("TIFF"), picture("TIFF", "F")), partial(_image, "a.tif"), (b"II*\0", b"MM\0*"), text=False),
    Format("other pictures", tuple(map(picture, ("GIF", "BMP", "WEBP", "PPM"))), partial(_image, "a.gif"), text=False),
    Format("npz", (saved(lambda f: np.savez(f, **ARRAYS)),), _arrays, (b"NUMPY", b"descr", b"|u1", b"|O"), text=False),
    Format(
        "npz of pictures", (saved(lambda f: np.savez(f, **ARRAYS)),), _pictures, (b"NUMPY", b"(3,", b"|O"), text=False
    ),
    Format("safetensors", (save({"w": torch.ones(3, 2)}),), _weights, (b"F32", b"data_offsets", b"shape"), text=False),
    Format("weights of a checkpoint", (save({"w": torch.ones(2)}),), partial(_checkpoint, "safetensors"), text=False),
    Format("params", ((ROOT / "params.yaml").read_bytes(),), _params, YAML_WORDS),
    Format("model config", (json.dumps(CONFIG).encode(),), _model_config, (b"mean", b"std", b"null", b"model_cfg")),
]
SLOW = {"params": 40, "weights of a checkpoint": 60}
"""Mutations in the suite of formats that take long to read."""


def run(form, folder, numbers):
    numbers = numbers if len(numbers) > SHORT else range(SLOW.get(form.name, SHORT))
    outcomes = check(form, folder, numbers)
    assert sum(outcomes.values()) == len(numbers)


SIZES = pytest.mark.parametrize("numbers", [range(SHORT), pytest.param(range(LONG), marks=pytest.mark.long)], ids=len)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@SIZES
def test_damage_is_met_in_an_allowed_way(tmp_path, form, numbers):
    run(form, tmp_path, numbers)


@SIZES
def test_damaged_results_and_states(tmp_path, numbers):
    run(Format("result", (results(tmp_path / "r"),), _results, (b"numbers", b"seed", b"provenance")), tmp_path, numbers)
    state = checkpoint(tmp_path / "c")
    run(
        Format("state", (state,), partial(_checkpoint, "json"), (b"sha256", b"state")),
        tmp_path,
        range(len(numbers) // 5),
    )


@SIZES
def test_damaged_workbooks(tmp_path, numbers):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["image", "caption"])
    book.active.append(["a.png", 3.5])
    form = Format("xlsx", (saved(book.save),), _workbook, (b"PK\x03\x04", b"xl/workbook.xml"), text=False)
    run(form, tmp_path, numbers)
