"""Published folders: plain open_clip, sentence-transformers and transformers give our embeddings."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models.export import dense_layers, save_open_clip, save_sentence_transformers
from phenolip_lib.models.features import load_pixels
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder, make_projection
from phenolip_lib.models.student import Student
from phenolip_lib.models.towers import load_text_tower, load_towers
from phenolip_lib.reporting.model_card import FROM_FOLDER, MOVED
from tests.test_encoders import make_pairs, tiny_checkpoint

TEXTS = [
    "Splenomegaly",
    "",
    "An enlarged heart, with “curly” quotes, an en dash – and AT&amp;T",
    "a large spleen and a large heart " * 60,
]

# torchvision of the package index does not import beside a CPU build of torch (see phenolip_lib.core.compat),
# and this process must not import phenolip_lib: the same two declarations stand here.
TORCHVISION = """
import torch
try:
    import torchvision
except RuntimeError:
    import sys
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    keep = torch.library.Library("torchvision", "FRAGMENT")
    keep.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    keep.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
PLAIN = (
    TORCHVISION
    + """
import json, os, sys
import numpy as np
import open_clip
from PIL import Image
torch.set_num_threads(1)
for job in json.loads(sys.argv[1]):
    os.chdir(job["cwd"])
    if "code" in job:
        exec(job["code"])
    else:
        model, preprocess = open_clip.create_model_from_pretrained(job["name"])
    model.eval()  # open_clip leaves that to its users
    pixels = torch.stack([preprocess(Image.open(p)) for p in job["pictures"]])
    tokens = open_clip.get_tokenizer(job["name"])(job["texts"])
    with torch.no_grad():
        image, text, scale = model(pixels, tokens)[:3]
    bias = model.logit_bias.item() if model.logit_bias is not None else 0.0
    np.savez(job["out"], pixels=pixels, tokens=tokens, image=image, text=text, scale=scale, bias=bias)
assert not [m for m in sys.modules if m.startswith("phenolip")]
"""
)
JOBS = {
    "absolute": TEXTS,
    "hub": ["large spleen", "heart " * 30],
    "beside": ["large spleen"],
    "moved": ["large spleen"],
    "checkpoint": ["large spleen", "heart " * 30],
    "vit": ["large spleen", "heart " * 300],
}


@torch.no_grad()
def ours(student, folder, pairs, texts):
    """Our embeddings, in float32: the pixels of training, trunk, head, L2 norm."""
    pixels = load_pixels(pairs, folder, student.towers.image_size)
    image = student.image(student.towers.image_trunk(pixels))
    text = torch.cat([student.text(student.towers.text.trunk(student.towers.text.tokens([t]))) for t in texts])
    return image.numpy(), text.numpy()


def make_student(name, seed=3, **options):
    torch.manual_seed(seed)
    student = Student(load_towers(name, 64, 256, seed), 0.05, 0.1, **options)
    return student.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def student():
    return make_student("phenolip-tiny")


def make_encoder(kind, teacher="minilm-l6-v2", embed_dim=384):
    torch.manual_seed(1)
    tower = load_text_tower(teacher)
    projection = make_projection(kind, tower.width, embed_dim)
    for p in projection.parameters():  # a residual starts at zero, a trained one does not stay there
        torch.nn.init.normal_(p, std=0.1)
    return KnowledgeEncoder(tower, projection.requires_grad_(False), 48)


def tiny_teacher(folder):
    """A transformers folder with weights, by the name that loads it; `tiny_checkpoint` writes none there."""
    from transformers import AutoConfig, AutoModel

    tiny_checkpoint(folder)
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.from_pretrained(folder / "text"), add_pooling_layer=False).save_pretrained(
        folder / "text"
    )
    return f"local-dir:{folder / 'text'}"


def hashes(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


# --- open_clip ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two pictures; the second is not square."""
    root = tmp_path_factory.mktemp("published")
    make_pairs(root, n=1)
    pixels = np.random.default_rng(7).integers(0, 255, (90, 133, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "1.png")
    return root


@pytest.fixture(scope="module")
def students(student, root):
    """One of each kind; what the last two were made from is gone when they are read again."""
    from phenolip_lib.models import towers as encoders

    tiny_checkpoint(root / "base")
    checkpoint = make_student(f"local-dir:{root / 'base'}", bias=-10.0)
    config = json.loads((encoders.CONFIGS / "phenolip-vit-b-16.json").read_text())
    assert config["vision_cfg"]["timm_model_name"] == "vit_base_patch16_224"
    config["vision_cfg"] |= {"timm_model_name": "test_vit", "timm_model_pretrained": False, "image_size": 160}
    config["text_cfg"] |= {"hf_model_name": str(root / "base" / "text"), "hf_model_pretrained": False}
    (root / "configs").mkdir()
    (root / "configs" / "phenolip-vit-b-16.json").write_text(json.dumps(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders, "CONFIGS", root / "configs")
        vit = make_student("phenolip-vit-b-16")
    shutil.rmtree(root / "base")
    return {"absolute": student, "checkpoint": checkpoint, "vit": vit}


@pytest.fixture(scope="module")
def plain(students, root):
    """What open_clip alone makes of the folders, in a fresh process without network, cache or this package.

    ``hub`` is a folder in the layout of the Hub's cache: models--OWNER--NAME/{refs/main, snapshots/REVISION}.
    """
    for name, student in students.items():
        save_open_clip(student, root / name)
    save_open_clip(students["checkpoint"], root / "any" / "someone" / "phenolip", "someone/phenolip", card="# Card\n")
    cached = root / "home" / "hub" / "models--someone--phenolip"
    shutil.copytree(root / "any" / "someone" / "phenolip", cached / "snapshots" / ("0" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    names = {name: f"local-dir:{root / name}" for name in students}
    shutil.copytree(root / "any" / "someone" / "phenolip", root / "moved")
    names |= {"hub": "hf-hub:someone/phenolip", "beside": "local-dir:someone/phenolip"}
    names |= {"moved": f"local-dir:{root / 'moved'}", "checkpoint": "local-dir:."}
    jobs = [
        {
            "name": names[key],
            "cwd": {"beside": str(root / "any"), "checkpoint": str(root / "checkpoint")}.get(key, "/"),
            "texts": texts,
            "pictures": [str(root / "0.png"), str(root / "1.png")],
            "out": str(root / f"{key}.npz"),
        }
        for key, texts in JOBS.items()
    ]
    for job in jobs:  # what the model card says, word for word
        key = Path(job["out"]).stem
        code = MOVED.split("```python")[1].split("```")[0] if key == "moved" else f"import json\n{FROM_FOLDER}"
        if key in ("moved", "absolute", "vit"):
            job["code"] = code.replace("path/to/this/folder", str(root / key))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "PYTHONPATH"))}
    env |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(root / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", PLAIN, json.dumps(jobs)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return {key: dict(np.load(root / f"{key}.npz")) for key in JOBS}


@pytest.mark.parametrize("name", ["absolute", "checkpoint", "vit"])
def test_plain_open_clip_gives_our_embeddings_offline(name, plain, students, root):
    found, student = plain[name], students[name]
    pairs = pd.DataFrame({"image": ["0.png", "1.png"], "left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0})
    towers = student.towers
    image, text = ours(student, root, pairs, JOBS[name])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (towers.mean, towers.std))
    pixels = (load_pixels(pairs, root, towers.image_size) / 255 - mean) / std
    np.testing.assert_allclose(found["pixels"], pixels, atol=1e-6)
    assert found["tokens"].shape == (len(JOBS[name]), towers.text.context_length)
    assert (found["tokens"][-1] != 0).all()  # the last text is too long: cut, not padded
    np.testing.assert_allclose(found["image"], image, atol=1e-5)
    np.testing.assert_allclose(found["text"], text, atol=1e-5)


def test_the_scale_is_stored_as_a_logarithm_and_siglips_bias_goes_along(plain):
    """open_clip exponentiates logit_scale: a temperature of 0.05 is a scale of 20 in use."""
    assert plain["absolute"]["scale"] == pytest.approx(1 / 0.05, rel=1e-5)
    assert [plain[name]["bias"] for name in ("absolute", "checkpoint")] == [0.0, -10.0]


def test_a_folder_for_the_hub_loads_from_its_cache_beside_its_owner_and_moved(plain, root):
    """`moved` is loaded by the very code of the model card."""
    for key in ("image", "text"):
        np.testing.assert_array_equal(plain["hub"][key], plain["checkpoint"][key])
        np.testing.assert_allclose(plain["beside"][key], plain["hub"][key][: len(plain["beside"][key])], atol=1e-6)
        np.testing.assert_array_equal(plain["moved"][key], plain["beside"][key])
    towers = load_towers(f"local-dir:{root / 'moved'}", 999, 256)  # ours reads config.json in the folder itself
    with torch.no_grad():
        text = F.normalize(towers.model.encode_text(towers.text.tokens(["large spleen"])), dim=-1)
    np.testing.assert_allclose(text, plain["moved"]["text"], atol=1e-5)


def test_equal_students_give_equal_bytes_whatever_was_tokenised_before(students, tmp_path):
    student = students["checkpoint"]
    save_open_clip(student, tmp_path / "a", "someone/phenolip")
    student.towers.text.tokens(["large spleen", "heart and large heart"], 3)
    save_open_clip(make_student(f"local-dir:{tmp_path / 'a'}", bias=-10.0), tmp_path / "b", "someone/phenolip")
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.suffix in (".json", ".safetensors")
        assert path.stat().st_mode & 0o777 == 0o644
        if path.suffix == ".json":
            assert str(tmp_path.parent) not in path.read_text()  # no place on this machine
    save_open_clip(student, tmp_path / "c")
    assert not [path for path in (tmp_path / "c").glob("*.json") if str(tmp_path.parent) in path.read_text()]


@pytest.fixture
def other(tmp_path):
    """A student whose text head a test may change."""
    tiny_checkpoint(tmp_path / "base")
    return make_student(f"local-dir:{tmp_path / 'base'}")


@pytest.mark.parametrize("kind", ["residual", "mlp"])
def test_a_text_head_open_clip_does_not_have_is_refused(kind, other, tmp_path):
    other.text_head = other.towers.model.text.proj = make_projection(kind, 32, 32)
    with pytest.raises(PhenoLIPError, match="open_clip has no text head like this student's") as error:
        save_open_clip(other, tmp_path / "model")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model").exists()


def test_a_pooling_open_clip_does_not_have_is_refused(tmp_path):
    with pytest.raises(PhenoLIPError, match="open_clip has no image tower that pools 2 x 2 cells"):
        save_open_clip(make_student("phenolip-tiny-cells"), tmp_path / "model")


def test_a_linear_text_head_is_published(other, tmp_path):
    other.text_head = other.towers.model.text.proj = make_projection("linear", 32, 16)
    save_open_clip(other, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "open_clip_config.json").read_text())
    assert config["model_cfg"]["text_cfg"]["hf_proj_type"] == "linear"
    state = load_file(tmp_path / "model" / "open_clip_model.safetensors")
    assert torch.equal(state["text.proj.weight"], other.text_head.weight)


# --- sentence-transformers ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return tiny_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.mark.parametrize("kind, embed_dim", [("residual", 32), ("mlp", 20), ("linear", 20)])
def test_dense_layers_are_the_projection(kind, embed_dim, teacher):
    encoder = make_encoder(kind, teacher, embed_dim)
    x = torch.randn(50, 32, generator=torch.Generator().manual_seed(0)) * 3
    y = x
    for weight, bias, activation in dense_layers(encoder.projection):
        y = F.linear(y, weight, bias)
        y = F.gelu(y) if activation.endswith("GELU") else y
    torch.testing.assert_close(y, encoder.projection(x), rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("kind", ["residual", "mlp", "linear"])
def test_sentence_transformers_gives_our_embeddings(kind, teacher, tmp_path):
    """The packaged tower with the projection of the pipeline, and a small tower with the others."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder = make_encoder(kind) if kind == "residual" else make_encoder(kind, teacher, 20)
    save_sentence_transformers(encoder, tmp_path / "model")
    model = sentence_transformers.SentenceTransformer(str(tmp_path / "model"), device="cpu", local_files_only=True)
    assert model.max_seq_length == 48
    texts = [*TEXTS, "Large, “curly” spleen"]
    with torch.no_grad():
        features = torch.cat([encoder.tower.trunk(encoder.tower.tokens([t], 48)) for t in texts])
    found = model.encode(texts)
    np.testing.assert_allclose(found, encoder.project(features.numpy()), atol=2e-6)
    # `embed` runs the trunk in bfloat16.
    assert ((found * encoder.embed(texts)).sum(axis=1) > 0.999).all()


def test_the_trunk_is_a_transformers_model(teacher, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    encoder = make_encoder("residual", teacher, 32)
    save_sentence_transformers(encoder, tmp_path / "model")
    model = AutoModel.from_pretrained(tmp_path / "model").eval()
    tokens = AutoTokenizer.from_pretrained(tmp_path / "model")("large spleen", return_tensors="pt")
    with torch.no_grad():
        states = model(**tokens).last_hidden_state
        torch.testing.assert_close(states.mean(dim=1), encoder.tower.trunk(tokens["input_ids"]), rtol=1e-5, atol=1e-5)


def test_equal_encoders_give_equal_bytes_and_no_pickle(teacher, tmp_path):
    encoder = make_encoder("residual", teacher, 32)
    save_sentence_transformers(encoder, tmp_path / "a")
    encoder.tower.tokens(["heart", "large spleen"], 3)
    save_sentence_transformers(encoder, tmp_path / "b")
    save_sentence_transformers(make_encoder("residual", teacher, 32), tmp_path / "c")
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") == hashes(tmp_path / "c")
    assert {Path(name).suffix for name in hashes(tmp_path / "a")} == {".json", ".safetensors"}
    dense = load_file(tmp_path / "a" / "2_Dense" / "model.safetensors")
    assert dense["linear.weight"].shape == (4 * 32 + 2 * 32, 32)


def test_a_failed_publication_leaves_the_older_folder_alone(teacher, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    odd = KnowledgeEncoder(load_text_tower(teacher), torch.nn.Sequential(torch.nn.Tanh()), 48)
    with pytest.raises(PhenoLIPError, match="the projection Sequential cannot be written as dense layers"):
        save_sentence_transformers(odd, tmp_path / "model")
    assert hashes(tmp_path).keys() == {"model/old"}
