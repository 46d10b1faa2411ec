"""A checkpoint of BiomedCLIP's shape, and open_clip folders wherever they come from: one loader, the same features."""

import json
import logging
import os
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models import adapters
from phenolip_lib.models.phenolip import PhenoLIP
from phenolip_lib.models.student import Student
from phenolip_lib.models.towers import load_text_tower, load_towers
from tests.test_encoders import tiny_checkpoint

TEXTS = ["large spleen", "heart", "a large heart and a large spleen " * 9]
BIOMEDBERT = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
PREPROCESS = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
PUBLISHED = {
    "logit_scale",
    "visual.trunk.cls_token",
    "visual.trunk.pos_embed",
    "visual.trunk.patch_embed.proj.weight",
    "visual.trunk.blocks.0.attn.qkv.weight",
    "visual.trunk.norm.weight",
    "visual.head.proj.weight",
    "text.transformer.embeddings.position_ids",
    "text.transformer.embeddings.word_embeddings.weight",
    "text.transformer.encoder.layer.0.attention.self.query.weight",
    "text.proj.0.weight",
    "text.proj.2.weight",
}
"""Of the tensors of microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224."""


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def biomedclip(tmp_path_factory):
    """(folder, model): what the repository holds, small and random: no config.json of the text tower, a ``.bin``."""
    from transformers import BertConfig, BertTokenizerFast

    folder = tmp_path_factory.mktemp("biomedclip")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "spleen", "large", "heart", "a", "and"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    text = folder / "text"
    tower = BertConfig(vocab_size=10, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96)
    tower.save_pretrained(text)
    config = {
        "embed_dim": 24,
        "vision_cfg": {
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 64,
        },
        "text_cfg": {
            "hf_model_name": BIOMEDBERT,
            "hf_tokenizer_name": BIOMEDBERT,
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "context_length": 16,
        },
    }
    torch.manual_seed(5)
    own = config | {"text_cfg": config["text_cfg"] | {"hf_model_name": str(text), "hf_model_pretrained": False}}
    model = open_clip.model.CustomTextCLIP(**own).eval()
    shutil.rmtree(text)
    state = model.state_dict() | {"text.transformer.embeddings.position_ids": torch.arange(512)[None]}
    assert state.keys() >= PUBLISHED
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}))
    return folder, model, tower


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (70 + 9 * i, 90, 3), dtype=np.uint8)) for i in range(3)]


@torch.no_grad()
def expected(model, folder, pictures, size=64):
    """open_clip's own features: shortest side to the size, the middle cut out, BiomedCLIP's mean and std."""
    preprocess = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(size=size, **PREPROCESS), is_train=False
    )
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    images = model.encode_image(torch.stack([preprocess(picture) for picture in pictures]))
    return F.normalize(images, dim=-1).numpy(), F.normalize(model.encode_text(tokens), dim=-1).numpy()


def config_beside(folder, tower):
    tower.save_pretrained(folder)


def in_a_folder_below(folder, tower):
    tower.save_pretrained(folder / "pubmedbert")
    change(folder, lambda config: config["model_cfg"]["text_cfg"].update(hf_model_name="pubmedbert"))


def tokenizer_with_the_tower(folder, tower):
    in_a_folder_below(folder, tower)
    for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        if (folder / file).exists():
            (folder / file).rename(folder / "pubmedbert" / file)


def safetensors(folder, tower):
    state = torch.load(folder / "open_clip_pytorch_model.bin", weights_only=True)
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_pytorch_model.bin").unlink()


def a_dead_path(folder, tower):
    tower.save_pretrained(folder)
    gone = {"hf_model_name": "/home/someone/model", "hf_tokenizer_name": "/home/someone/model"}
    change(folder, lambda config: config["model_cfg"]["text_cfg"].update(gone))


def another_layout_beside(folder, tower):
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "projection_dim": 24}))


def change(folder, how):
    config = json.loads((folder / "open_clip_config.json").read_text())
    how(config)
    (folder / "open_clip_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "kind",
    [
        lambda folder, tower: None,
        config_beside,
        in_a_folder_below,
        tokenizer_with_the_tower,
        safetensors,
        a_dead_path,
        another_layout_beside,
    ],
    ids=["as published", "config", "below", "tokenizer below", "safetensors", "moved", "two layouts"],
)
def test_biomedclip_loads_from_a_folder_without_a_network(kind, biomedclip, pictures, tmp_path):
    """In `encoders.student`, `evaluate` and `classify`."""
    source, model, tower = biomedclip
    folder = shutil.copytree(source, tmp_path / "elsewhere" / "biomedclip")
    images, texts = expected(model, source, pictures)
    kind(folder, tower)
    ours, theirs = PhenoLIP.load(folder, device="cpu"), adapters.load(f"local-dir:{folder}")
    for found in (
        ours.embed_images(pictures),
        theirs.encode_image(pictures),
        adapters.load(str(folder)).encode_image(pictures),
    ):
        np.testing.assert_allclose(found, images, atol=1e-5)
    for found in (ours.embed_texts(TEXTS), theirs.encode_text(TEXTS)):
        np.testing.assert_allclose(found, texts, atol=1e-5)
    towers = load_towers(f"local-dir:{folder}", 224, 256)
    assert (towers.image_size, towers.embed_dim, towers.text.context_length) == (64, 24, 16)
    assert (towers.mean, towers.std) == (tuple(PREPROCESS["mean"]), tuple(PREPROCESS["std"]))
    student = Student(towers, 0.07, 0.0).eval()
    with torch.no_grad():
        fitted = torch.stack([torch.from_numpy(np.array(towers.fit(p, 64))).permute(2, 0, 1) for p in pictures])
        np.testing.assert_allclose(student(fitted, towers.text.tokens(TEXTS))["image"].numpy(), images, atol=1e-5)


def test_it_classifies_and_the_demo_takes_it(biomedclip, pictures, toy):
    from phenolip_lib.apps.demo.assistant import Assistant
    from phenolip_lib.apps.demo.candidates import Candidates, embed_phenotypes

    model = PhenoLIP.load(f"local-dir:{biomedclip[0]}", toy, "cpu")
    table = model.classify(pictures[0], ["HP:0001744", "HP:0001640"])
    assert sorted(table["hpo_id"]) == ["HP:0001640", "HP:0001744"]
    ids = ["HP:0001640", "HP:0001744"]
    assistant = Assistant(model, Candidates(toy, ids, embed_phenotypes(model, [toy[i].name for i in ids])), None, 64)
    view = assistant.look(pictures[0])
    np.testing.assert_allclose(view.embedding, expected(*biomedclip[1::-1], pictures)[0][0], atol=1e-5)
    ranked = assistant.rank(view).set_index("hpo_id")["cosine"]
    np.testing.assert_allclose(ranked[table["hpo_id"]], table["cosine"], atol=1e-5)
    assert assistant.heat(view, "HP:0001640", "similarity").shape == view.picture.size[::-1]


def test_a_home_folder_and_a_published_folder_that_was_moved(tmp_path, monkeypatch, pictures):
    from phenolip_lib.models.export import save_open_clip

    tiny_checkpoint(tmp_path / "base")
    torch.manual_seed(0)
    student = Student(load_towers(f"local-dir:{tmp_path / 'base'}", 32, 12), 0.07, 0.0).eval().requires_grad_(False)
    save_open_clip(student, tmp_path / "made" / "model")
    want = PhenoLIP.load(tmp_path / "made" / "model", device="cpu").embed_texts(["large spleen"])
    for file in (tmp_path / "made" / "model").glob("*.json"):
        assert str(tmp_path) not in file.read_text()
    shutil.move(tmp_path / "made", tmp_path / "home")
    shutil.rmtree(tmp_path / "base")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("local-dir:~/model", str(tmp_path / "home" / "model"), "~/model"):
        np.testing.assert_allclose(adapters.load(name).encode_text(["large spleen"]), want, atol=1e-6)
        np.testing.assert_allclose(PhenoLIP.load(name, device="cpu").embed_texts(["large spleen"]), want, atol=1e-6)
    assert load_towers("local-dir:~/model", 32, 12).embed_dim == 16
    monkeypatch.chdir(tmp_path / "home" / "model")  # open_clip alone
    model = open_clip.create_model_from_pretrained("local-dir:.", return_transform=False).eval()
    with torch.no_grad():
        text = F.normalize(model.encode_text(open_clip.get_tokenizer("local-dir:.")(["large spleen"])), dim=-1)
    np.testing.assert_allclose(text, want, atol=1e-5)


@pytest.mark.parametrize("missing", [["mean", "std"], ["std"]])
def test_a_missing_mean_or_std_is_said_with_the_value_taken(missing, biomedclip, tmp_path, caplog):
    folder = shutil.copytree(biomedclip[0], tmp_path / "m")
    change(folder, lambda config: [config["preprocess_cfg"].pop(key) for key in missing])
    for load in (lambda: load_towers(f"local-dir:{folder}", 64, 16), lambda: adapters.load(f"local-dir:{folder}")):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "phenolip"):
            load()
        (said,) = [r.getMessage() for r in caplog.records if "OpenAI" in r.getMessage()]
        assert f"names no {' and '.join(missing)}; OpenAI's is taken" in said
        assert "0.26862954" in said
        assert ("0.48145466" in said) == ("mean" in missing)


def test_a_folder_that_is_no_checkpoint_is_one_line(biomedclip, tmp_path):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it ran"),)

    def weights(folder):
        torch.save({"state_dict": Runs()}, folder / "open_clip_pytorch_model.bin")

    def of(**text):
        return lambda folder: change(folder, lambda config: config["model_cfg"]["text_cfg"].update(text))

    def preprocess(**own):
        return lambda folder: change(folder, lambda config: config["preprocess_cfg"].update(own))

    def roberta(folder):
        state = torch.load(folder / "open_clip_pytorch_model.bin", weights_only=True)
        key = "text.transformer.embeddings.token_type_embeddings.weight"
        torch.save(state | {key: state[key][:1]}, folder / "open_clip_pytorch_model.bin")

    cases = [
        (weights, "cannot be loaded"),
        (roberta, "config.json is neither in the folder nor in the cache"),
        (lambda folder: (folder / "open_clip_pytorch_model.bin").unlink(), "there are no weights"),
        (
            lambda folder: (folder / "open_clip_config.json").write_text("[]"),
            "open_clip_config.json: absent or damaged",
        ),
        (lambda folder: (folder / "open_clip_config.json").write_text('{"model_cfg": {}}'), "model_cfg is no object"),
        (
            lambda folder: [
                (folder / f).unlink(missing_ok=True) for f in ("vocab.txt", "tokenizer.json", "tokenizer_config.json")
            ],
            "no tokenizer there",
        ),
        (of(hf_pooler_type="nosuch"), "cannot be loaded"),
        (of(surprise=3), "cannot be loaded"),
        (preprocess(mean=[0.5]), "mean of preprocess_cfg is .*three numbers are needed"),
        (preprocess(std=[0.5, 0, 0.5]), "std of preprocess_cfg"),
        (preprocess(interpolation="cubic"), "not one that open_clip takes .*interpolation 'cubic'"),
        (preprocess(resize_mode="crop"), "not one that open_clip takes .*resize_mode 'crop'"),
        (preprocess(mode="L"), "not one that open_clip takes .*mode 'L'"),
        (preprocess(resize_mode="longest", fill_color="red"), "not one that open_clip takes .*fill_color 'red'"),
        (of(context_length=4096), "context_length of text_cfg is 4096; its text tower takes a number up to 512"),
        (of(context_length="long"), "context_length of text_cfg is 'long'"),
    ]
    for number, (spoil, words) in enumerate(cases):
        folder = shutil.copytree(biomedclip[0], tmp_path / str(number))
        spoil(folder)
        for load, rest in ((load_towers, (64, 16)), (adapters.load, ()), (PhenoLIP.load, (None, "cpu"))):
            with pytest.raises(PhenoLIPError, match=words) as error:
                load(f"local-dir:{folder}", *rest)
            assert "\n" not in str(error.value)
    assert not (tmp_path / "it ran").exists()
    for load in (lambda: adapters.load("local-dir:~/nosuch"), lambda: load_text_tower("local-dir:~/nosuch")):
        with pytest.raises(PhenoLIPError, match="there is no such folder"):
            load()
