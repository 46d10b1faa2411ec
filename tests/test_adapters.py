"""Any image-text model: the same features as its own library gives, and one line where it cannot be had."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models import adapters
from phenolip_lib.models.adapters import Unavailable, load, load_or_reason
from phenolip_lib.models.towers import load_towers

WORDS = ["large spleen", "small heart", "a much longer text about the shape of the fingers"]


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (40 + 9 * i, 64, 3), dtype=np.uint8)) for i in range(4)]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model in open_clip's layout, with preprocessing of its own."""
    from safetensors.torch import save_file

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    torch.manual_seed(1)
    model = open_clip.CLIP(**{k: dict(v) if isinstance(v, dict) else v for k, v in config.items()})
    target = tmp_path_factory.mktemp("open_clip")
    preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7], "interpolation": "bilinear", "resize_mode": "squash"}
    (target / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, target / "open_clip_model.safetensors")
    return target


@pytest.fixture(scope="module")
def transformers_folder(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

    target = tmp_path_factory.mktemp("transformers")
    words = sorted({w for text in WORDS for w in text.split()})
    vocabulary = {"<unk>": 0, "<pad>": 1, "<eos>": 2} | {w: i + 3 for i, w in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>").save_pretrained(target)
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": 40, "max_position_embeddings": 6, "eos_token_id": 2, **tower}
    config = CLIPConfig(text_config=text, vision_config={"image_size": 24, "patch_size": 8, **tower}, projection_dim=8)
    torch.manual_seed(2)
    CLIPModel(config).save_pretrained(target)
    size = {"shortest_edge": 24}
    CLIPImageProcessor(size=size, crop_size={"height": 24, "width": 24}).save_pretrained(target)
    return target


def unit(x):
    return torch.nn.functional.normalize(x, dim=-1).numpy()


def test_open_clips_own_features_and_preprocessing(folder, pictures):
    ours = load(f"local-dir:{folder}")
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    assert "0.1" in str(preprocess)
    with torch.no_grad():
        images = unit(model.encode_image(torch.stack([preprocess(p) for p in pictures])))
        texts = unit(model.encode_text(tokenizer(WORDS)))
    np.testing.assert_allclose(ours.encode_image(pictures), images, atol=1e-6)
    np.testing.assert_allclose(ours.encode_text(WORDS), texts, atol=1e-6)
    assert ours.scale == pytest.approx(float(model.logit_scale.exp()))


def test_transformers_own_features(transformers_folder, pictures):
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    ours = load(f"transformers:{transformers_folder}")
    model = CLIPModel.from_pretrained(transformers_folder).eval()
    pixels = CLIPImageProcessor.from_pretrained(transformers_folder)(images=pictures, return_tensors="pt")
    tokenizer = AutoTokenizer.from_pretrained(transformers_folder)
    with torch.no_grad():
        vision = model.vision_model(pixels["pixel_values"]).pooler_output
        images = unit(model.visual_projection(vision))
        rows = []
        for text in WORDS:  # one by one: padding must not change what a text means
            tokens = tokenizer([text], truncation=True, max_length=6, return_tensors="pt")
            pooled = model.text_model(tokens["input_ids"], tokens["attention_mask"]).pooler_output
            rows.append(model.text_projection(pooled))
    np.testing.assert_allclose(ours.encode_image(pictures), images, atol=1e-5)
    assert ours.encode_text(WORDS).shape == (3, 8)
    np.testing.assert_allclose(ours.encode_text(WORDS[2:]), unit(torch.cat(rows))[2:], atol=1e-5)


@pytest.mark.parametrize("kept", [0, 5, 3000])
@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors"])
def test_weights_that_are_cut_off_are_one_line(folder, transformers_folder, tmp_path, name, kept):
    source, prefix = (transformers_folder, "transformers") if name.startswith("model") else (folder, "local-dir")
    shutil.copytree(source, tmp_path / "m")
    if name.endswith(".bin"):
        (whole,) = (tmp_path / "m").glob("*.safetensors")
        torch.save(load_file(whole), tmp_path / "m" / name, _use_new_zipfile_serialization=False)
        whole.unlink()
    file = tmp_path / "m" / name
    file.write_bytes(file.read_bytes()[:kept])
    found = load_or_reason(f"{prefix}:{tmp_path / 'm'}")
    assert isinstance(found, Unavailable)
    assert "\n" not in found.reason
    if prefix == "local-dir":
        with pytest.raises(PhenoLIPError, match="cannot be loaded"):
            load_towers(f"local-dir:{tmp_path / 'm'}", 32, 12)


def test_random_weights_of_an_architecture_are_the_same_each_time(pictures):
    first, second = load("RN50/random"), load("RN50/random")
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(first.encode_text(WORDS), second.encode_text(WORDS))
    assert np.allclose(np.linalg.norm(first.encode_image(pictures[:1]), axis=1), 1, atol=1e-5)


def test_other_weights_are_another_fingerprint(folder, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    other = shutil.copytree(folder, tmp_path / "other")
    state = load_file(other / "open_clip_model.safetensors")
    state["visual.proj"][0, 0] += 1
    save_file(state, other / "open_clip_model.safetensors")
    assert load(f"local-dir:{other}").fingerprint != load(f"local-dir:{folder}").fingerprint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("BiomedCLIP", "hub does not answer"),
        ("OpenCLIP", "hub does not answer"),
        ("transformers:openai/clip-vit-base-patch32", "hub does not answer"),
        ("PMC-CLIP", "layout"),
        ("ViT-B-32", "ViT-B-32/random"),
        ("ViT-B-33", "did you mean"),
        ("local-dir:/nowhere", "there is no such folder"),
    ],
)
def test_what_cannot_be_had_is_a_reason_of_one_line(name, words):
    found = load_or_reason(name)
    assert isinstance(found, Unavailable)
    assert words in found.reason
    assert "\n" not in found.reason


def test_a_model_without_texts_is_refused(tmp_path):
    from transformers import ViTConfig, ViTModel

    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ViTModel(ViTConfig(image_size=24, patch_size=8, **tower)).save_pretrained(tmp_path)
    with pytest.raises(PhenoLIPError, match="no text tower"):
        load(f"transformers:{tmp_path}")


def test_every_row_of_the_paper_is_known():
    assert set(adapters.PEERS) == {"OpenCLIP", "SigLIP2", "CoCa", "PMC-CLIP", "BiomedCLIP", "BIOMEDICA", "PhenoLIP"}
    for peer in adapters.PEERS.values():
        if "model" in peer and not peer["model"].startswith("hf-hub:"):
            architecture, _, tag = peer["model"].partition("/")
            assert tag in open_clip.list_pretrained_tags_by_model(architecture)
