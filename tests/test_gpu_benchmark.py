"""The GPU benchmarks at a tiny scale on the CPU, from the prepared folder to the report; no speed is asserted."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmarks import gpu, gpu_checks, gpu_folder, gpu_prepare, gpu_report, step_time
from benchmarks.random_case import MINI
from phenolip_lib.core import runtime
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import sha256_file, write_parquet
from phenolip_lib.models import towers
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder, make_projection
from phenolip_lib.training.attribute_texts import attribute_texts
from tests.conftest import ROOT
from tests.test_encoders import tiny_checkpoint
from tests.training_case import BASE

LEAVES = ["HP:0001640", "HP:0001651", "HP:0001903", "HP:0001744"]


@pytest.fixture(scope="module")
def project(tmp_path_factory, toy):
    """A project whose stages have run, on 48 noisy pictures and towers of a test's size."""
    root = tmp_path_factory.mktemp("project")
    for name in ("params.yaml", "dvc.yaml", "requirements.lock", "requirements-unbound.txt"):
        (root / name).write_text((ROOT / name).read_text())
    (root / "data" / "open").mkdir(parents=True)
    tiny_checkpoint(root / "tower")
    toy.save(root / "build" / "hpo")
    rng, n = np.random.default_rng(0), 48
    for i in range(n):
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels if i % 2 else pixels[..., :1].repeat(3, axis=2)).save(root / "data/open" / f"{i}.png")
    pairs = pd.DataFrame(
        {
            "pair_id": [f"p{i:02d}" for i in range(n)],
            "dataset": ["written" if i < 40 else "template" for i in range(n)],
            "image": [f"{i}.png" for i in range(n)],
            "left": 0.0,
            "top": 0.0,
            "right": 1.0,
            "bottom": 0.9,
            "caption": [f"{toy[LEAVES[i % 4]].name} large heart {i}" for i in range(n)],
            "templated": [i >= 40 for i in range(n)],
            "class_name": "",
            "modality": "radiology",
            "group": [f"g{i // 2}" for i in range(n)],
            "url": "",
            "split": ["test" if i % 24 >= 14 else "val" if i % 24 >= 12 else "train" for i in range(n)],
            "phenotypes": [[LEAVES[i // 2 % 4]] for i in range(n)],
        }
    )
    write_parquet(root / "build/open/phenokg/pairs.parquet", pairs)
    mentions = pd.DataFrame({"pair_id": pairs["pair_id"], "field": "caption", "hpo_id": pairs["phenotypes"].str[0]})
    write_parquet(root / "build/open/phenokg/mentions.parquet", mentions)
    name = f"local-dir:{root / 'tower' / 'text'}"
    model = towers.open_clip.model.CustomTextCLIP(
        **json.loads((root / "tower/open_clip_config.json").read_text())["model_cfg"]
    )
    model.text.transformer.save_pretrained(root / "tower" / "text")
    torch.manual_seed(0)
    teacher = KnowledgeEncoder(towers.load_text_tower(name), make_projection("linear", 32, 16), 12)
    teacher.save(
        root / "build/stage1",
        {
            "tower": "frozen",
            "teacher": name,
            "projection": "linear",
            "embed_dim": 16,
            "max_tokens": 12,
            "context_length": 12,
        },
    )
    write_parquet(root / "build/stage1/texts.parquet", attribute_texts(toy, ["name", "synonym", "definition"], 0.0, 0))
    return root


@pytest.fixture
def unpackaged(monkeypatch):
    """Without the packaged towers, which take half a minute to pack."""
    monkeypatch.setattr(towers, "PACKAGED_TEXT", {})
    monkeypatch.setattr(towers, "PACKAGED_VISION", {})


@pytest.fixture
def prepared(project, tmp_path, unpackaged):
    gpu_prepare.prepare(gpu.Paths(project), "open", tmp_path / "gpu", wheels=False)
    return tmp_path / "gpu"


def test_all_parts_on_a_cpu_leave_tables_with_provenance(project, prepared, tmp_path):
    tiny = BASE | {
        "encoders.student": f"local-dir:{project / 'tower'}",
        "stage2.epochs": 2,
        "stage2.frozen_epochs": 1,
        "evaluation.unseen_share": {"open": 0.25, "phantom": 0},
        "training.loader_workers": 0,
        "evaluation.folds": {"phantom": 0},
        "runtime.threads": 2,
    }
    out = tmp_path / "out"
    report = gpu.run(
        out, prepared, batches=(2, 4), size=MINI, check_size=MINI, check_batch=4, device="cpu", overrides=tiny
    )
    assert not any(part["note"] for part in report.parts.values())
    assert report.passed
    names = ["README.md", "checks.csv", "finetune.csv", "gpu.json", "steps.csv"]
    assert sorted(path.name for path in out.iterdir()) == names
    found = {name: pd.read_csv(out / f"{name}.csv") for name in gpu.PARTS}
    assert set(gpu_checks.CASES) < set(found["checks"]["case"])
    assert len(found["steps"]) == 4
    assert (found["steps"]["ratio"] > 0).all()
    runs = found["finetune"][["split", "method", "seed"]].drop_duplicates()
    assert len(runs) == 8
    assert set(runs["split"]) == {"test", "unseen"}
    assert {"retrieval", "unseen"} <= set(found["finetune"]["task"])
    kept = json.loads((out / "gpu.json").read_text())["parts"]
    for part in gpu.PARTS:
        assert {"commit", "code", "params", "device", "torch", "cuda", "prepared"} <= kept[part]["provenance"].keys()
    page = (out / "README.md").read_text()
    assert all(title in page for title in gpu_report.TITLES.values())
    assert "held-out phenotypes alone" in page


def test_a_part_that_breaks_off_is_said_and_the_rest_goes_on(tmp_path, monkeypatch):
    def broken(*_):
        yield {"check": "x", "passed": True}
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr(gpu.gpu_checks, "checks", broken)
    monkeypatch.setattr(gpu.step_time, "rows", lambda *_: iter([{"batch": 2, "ratio": 1.0}]))
    report = gpu.run(tmp_path, None, batches=(2,), device="cpu")
    assert report.parts["checks"]["note"] == "This part broke off: no kernel image is available"
    assert not report.passed
    assert set(report.parts) == {"checks", "steps"}


def test_parts_of_an_earlier_run_stay_with_what_they_were_made_with(tmp_path):
    first = gpu_report.Report(tmp_path, {"commit": "a"})
    first.add("checks", {"check": "x", "passed": True})
    first.add("steps", {"batch": 2, "ratio": 1.5})
    second = gpu_report.Report(tmp_path, {"commit": "b"})
    second.add("steps", {"batch": 4, "ratio": 1.0})
    kept = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert [(name, kept[name]["provenance"]["commit"], len(kept[name]["rows"])) for name in kept] == [
        ("checks", "a", 1),
        ("steps", "b", 1),
    ]
    page = (tmp_path / "README.md").read_text()
    assert page.index("Made with commit a.") < page.index("Made with commit b.")


def test_where_memory_does_not_suffice_checkpointing_is_tried_and_then_a_row_says_so(monkeypatch, params):
    def benchmark(params, size, batch, kind, options, *_):
        if batch > (16 if options.gradient_checkpointing else 8):
            raise torch.OutOfMemoryError
        return {"batch": batch, "kd_texts": kind, "checkpointing": options.gradient_checkpointing}

    monkeypatch.setattr(step_time, "benchmark", benchmark)
    rows = list(
        step_time.rows(params, MINI, [32, 8, 16, 64], ["captions"], step_time.Options(), None, torch.device("cpu"))
    )
    assert [(row["batch"], row["checkpointing"], row.get("note")) for row in rows] == [
        (8, False, None),
        (16, False, "out of memory"),
        (16, True, None),
        (32, True, "out of memory"),
    ]


def test_fine_tuning_stops_before_the_time_is_over(project, prepared, monkeypatch):
    monkeypatch.setattr(gpu.gpu_finetune, "Experiment", lambda *_, **__: SimpleNamespace(train=lambda *_: (None, None)))
    monkeypatch.setattr(gpu.gpu_finetune, "evaluate", lambda *_: None)
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(gpu.gpu_finetune.time, "perf_counter", lambda: next(clock))
    paths = gpu.Paths(gpu_folder.unpack(prepared))
    params = gpu.load_params(paths.params)
    rows = list(gpu.gpu_finetune.tried(params, "open", paths, paths.root / "r", (0, 1), 55.0))
    assert rows[-1]["note"].startswith("Not run, since 55 s were over: phenolip on test seed 0, phenolip_soft on test")


def test_a_prepared_folder_is_the_same_twice_and_within_its_limit(project, tmp_path, unpackaged):
    paths = gpu.Paths(project)
    whole = gpu_prepare.prepare(paths, "open", tmp_path / "whole", wheels=False)
    limit = (whole["bytes"] - whole["files"]["pictures.tar"]["bytes"] // 4) / gpu_folder.MIB
    small = gpu_prepare.prepare(paths, "open", tmp_path / "a", limit, wheels=False)
    gpu_prepare.prepare(paths, "open", tmp_path / "b", limit, wheels=False)
    assert sha256_file(tmp_path / "a" / "manifest.json") == sha256_file(tmp_path / "b" / "manifest.json")
    assert gpu_folder.size_of(tmp_path / "a") <= limit * gpu_folder.MIB
    assert 2 <= small["pairs"] < small["pairs_of"]
    assert not any(name.startswith("template") for name in small["by_dataset_and_split"]), "written captions come first"
    with pytest.raises(PhenoLIPError, match="MiB for pictures, which is not enough"):
        gpu_prepare.prepare(paths, "open", tmp_path / "c", limit=0.05, wheels=False)
    assert not (tmp_path / "c").exists()


def test_a_folder_over_its_limit_is_refused_by_its_largest_file(tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "big.whl").write_bytes(bytes(3 * gpu_folder.MIB))
    (tmp_path / "small").write_bytes(b"x")
    assert gpu_folder.write_manifest(tmp_path, {}, limit=4)["bytes"] == 3 * gpu_folder.MIB + 1
    with pytest.raises(PhenoLIPError, match=r"more than the 2 that may be carried; the largest file is wheels/big.whl"):
        gpu_folder.write_manifest(tmp_path, {}, limit=2)


def test_a_damaged_or_absent_folder_is_said_in_one_line(tmp_path):
    with pytest.raises(PhenoLIPError, match="nothing is prepared there; run `python -m benchmarks.gpu_prepare` first"):
        gpu_folder.read_manifest(tmp_path)
    (tmp_path / "pictures.tar").write_bytes(b"whole")
    gpu_folder.write_manifest(tmp_path, {})
    gpu_folder.read_manifest(tmp_path)
    (tmp_path / "pictures.tar").write_bytes(b"cut")
    with pytest.raises(PhenoLIPError, match="pictures.tar is absent or damaged"):
        gpu_folder.read_manifest(tmp_path)


def test_packed_weights_come_back_in_their_order_rounded(tmp_path):
    state = {"z": torch.randn(5, 7), "bias": torch.randn(5), "a": torch.arange(3), "conv": torch.randn(2, 3, 4, 4)}
    gpu_folder.pack(state, tmp_path / "w.safetensors")
    found = gpu_folder.unpacked(tmp_path / "w.safetensors")
    assert list(found) == list(state)
    for name, value in state.items():
        rounded = value.bfloat16().float() if value.is_floating_point() and value.ndim > 1 else value
        assert torch.equal(found[name], rounded), name


def test_only_rows_of_tokens_that_no_text_uses_change():
    table = torch.arange(12.0).reshape(6, 2)
    found = gpu_folder.rare_rows_alike(table, {0, 1, 3}, unknown=1)
    assert found[:, 0].tolist() == [0, 2, 2, 6, 2, 2]


def test_what_is_carried_is_pinned_and_an_unknown_one_refused():
    found = gpu_prepare.pins(ROOT, gpu_prepare.CARRIED)
    assert len(found) == len(gpu_prepare.CARRIED)
    assert all("==" in pin for pin in found)
    with pytest.raises(PhenoLIPError, match="requirements.lock has no no-such-thing"):
        gpu_prepare.pins(ROOT, ("no-such-thing",))


def test_the_run_imports_nothing_but_what_is_carried_or_expected():
    """No module of ours, nor open_clip's, imports a distribution beside these when the run starts."""
    code = """
import sys
from importlib.metadata import packages_distributions
allowed = {name.lower().replace("_", "-") for name in sys.argv[1:]}
hidden = {top for top, names in packages_distributions().items()
          if not {name.lower().replace("_", "-") for name in names} & allowed}

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            frame = sys._getframe(1)
            while "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            if any(own in frame.f_code.co_filename for own in ("phenolip_lib", "benchmarks", "/open_clip/")):
                print("imports", name, "in", frame.f_code.co_filename)

sys.meta_path.insert(0, Watch())
import benchmarks.gpu
"""
    names = ["phenolip", *gpu_prepare.CARRIED, *gpu_prepare.THERE]
    ended = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-1500:]
    assert "imports" not in ended.stdout


def test_without_a_prepared_folder_the_script_says_what_to_run(tmp_path):
    ended = subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh")],
        env={"PATH": "/usr/bin:/bin", "PREPARED": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "nothing is prepared there" in ended.stderr


@pytest.fixture(autouse=True)
def _as_before():
    path = list(sys.path)
    yield
    runtime.configure(2)
    sys.path[:] = path
