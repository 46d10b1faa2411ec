"""Towers: packaged weights, caching, and checkpoints from a local folder."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import autocast, precision
from phenolip_lib.core.storage import read_arrays
from phenolip_lib.models import adapters
from phenolip_lib.models.features import Known, image_features, text_features
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder, make_projection
from phenolip_lib.models.towers import load_efficientnet_lite0, load_text_tower, load_towers


@pytest.fixture(scope="module")
def towers():
    return load_towers("phenolip-tiny", 64, 256)


def make_pairs(folder, n=6, size=48):
    rng = np.random.default_rng(0)
    for i in range(n):
        Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return pd.DataFrame({"image": [f"{i}.png" for i in range(n)], "left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0})


def tiny_checkpoint(folder, seed=1):
    """A real open_clip checkpoint folder of BiomedCLIP's kind, small enough for a test."""
    from transformers import BertConfig, BertTokenizerFast

    text = folder / "text"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "spleen", "large", "heart"]
    text.mkdir(parents=True)
    (text / "vocab.txt").write_text("\n".join(words))
    for place in (text, folder):  # open_clip reads the tokenizer from the checkpoint's own folder
        BertTokenizerFast(vocab_file=str(text / "vocab.txt")).save_pretrained(place)
    BertConfig(
        vocab_size=8, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    ).save_pretrained(text)
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "timm_model_name": "resnet10t",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 32,
        },
        "text_cfg": {
            "hf_model_name": str(text),
            "hf_tokenizer_name": str(text),
            "hf_model_pretrained": False,
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "mlp",
            "context_length": 12,
        },
    }
    torch.manual_seed(seed)
    model = open_clip.model.CustomTextCLIP(**config)
    preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return model.eval()


def test_packaged_image_weights_know_the_world(towers):
    """Pretrained features tell two kinds of pictures apart better than random weights do."""
    trunk = towers.model.visual.trunk
    assert float(trunk.bn1.running_var.std()) > 0.01  # fresh batch norms hold ones
    assert towers.mean == (0.5, 0.5, 0.5)
    assert towers.image_trunk(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 1280)


def test_input_scaling_is_that_of_the_weights(towers):
    """The packaged weights expect x / 127.5 - 1."""
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = towers.model.visual.trunk(pixels.float() / 127.5 - 1)
    torch.testing.assert_close(towers.image_trunk(pixels), expected, rtol=1e-4, atol=1e-4)


def test_weights_of_another_shape_are_refused(towers, tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(PhenoLIPError, match=r"w.pth: its 1 tensors do not fit the 294|do not fit"):
        load_efficientnet_lite0(towers.model.visual.trunk, tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["phenolip-tiny-random-image", "phenolip-tiny-random-text"])
def test_random_trunks_are_the_same_for_every_seed(name):
    """Features of frozen trunks are shared between seeds, and a student's file names its frozen trunk only."""
    first, other = (load_towers(name, 64, 32, seed=seed) for seed in (0, 3))
    for a, b in ((first.model.visual.trunk, other.model.visual.trunk), (first.text.encoder, other.text.encoder)):
        own, theirs = a.state_dict(), b.state_dict()
        assert all(torch.equal(own[key], theirs[key]) for key in own if not key.startswith("proj"))


@pytest.mark.parametrize(
    "load",
    [
        lambda folder: load_towers("phenolip-tiny", 64, 32, seed=4),
        lambda folder: load_towers("phenolip-tiny-random-text", 64, 32, seed=4),
        lambda folder: load_text_tower("minilm-l6-v2"),
        lambda folder: adapters.load("RN50/random"),
        lambda folder: KnowledgeEncoder.load(folder),
    ],
)
def test_loading_leaves_the_random_numbers_of_its_caller(load, tmp_path):
    tower = load_text_tower("minilm-l6-v2")
    config = {"teacher": "minilm-l6-v2", "projection": "mlp", "embed_dim": 8, "max_tokens": 8, "tower": "frozen"}
    KnowledgeEncoder(tower, make_projection("mlp", tower.width, 8), 8).save(tmp_path, config)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_heads_follow_the_seed_and_trunks_do_not(towers):
    same, other = load_towers("phenolip-tiny", 64, 256), load_towers("phenolip-tiny", 64, 256, seed=1)
    key = "visual.head.mlp.fc1.weight"
    state, a, b = (t.model.state_dict() for t in (towers, same, other))
    assert torch.equal(state[key], a[key])
    assert not torch.equal(state[key], b[key])
    trunk = "visual.trunk.conv_stem.weight"
    assert torch.equal(state[trunk], b[trunk])


def test_text_features_do_not_depend_on_order_or_repetition(towers):
    texts = ["Splenomegaly", "a large spleen", "Hypertelorism, widely spaced eyes", "Splenomegaly"]
    first = text_features(towers.text, texts)
    again = text_features(towers.text, texts[::-1])
    np.testing.assert_array_equal(first, again[::-1])
    np.testing.assert_array_equal(first[0], first[3])


def test_text_features_do_not_depend_on_workers_or_on_what_else_is_embedded(towers):
    texts = [" ".join(["large spleen"] * n) + f" {i}" for i in range(40) for n in (1, 2, 5)]
    alone = text_features(towers.text, texts)
    np.testing.assert_array_equal(text_features(towers.text, texts, workers=3), alone)
    bound = 1e-5 if precision("cpu") == "float32" else 1e-2  # kernels of bf16 sum in the order of the batch
    np.testing.assert_allclose(text_features(towers.text, texts[:7]), alone[:7], atol=bound)


def test_text_features_are_those_of_padded_batches_in_float32(towers):
    """The obvious way: one padded batch with its mask."""
    texts = ["Splenomegaly", "a large spleen", "Hypertelorism, widely spaced eyes, since birth, in both parents"]
    with torch.no_grad():
        expected = towers.text.trunk(towers.text.tokens(texts, 9)).numpy()
    bound = 1e-5 if precision("cpu") == "float32" else 1e-2
    np.testing.assert_allclose(text_features(towers.text, texts, max_tokens=9), expected, atol=bound)


def test_features_of_one_trunk_serve_another_tower_with_the_same(towers, monkeypatch):
    """A teacher and a student on one trunk differ in cleaning alone: only texts that cleaning changes are computed."""
    teacher = load_text_tower("minilm-l6-v2")
    texts = ["Splenomegaly", "a  large &amp; firm spleen", "fingers"]
    raw = text_features(teacher, texts, max_tokens=16)
    known = Known.of(teacher, texts, raw, 16)
    assert known.key == (towers.text.fingerprint, 16)
    expected = text_features(towers.text, texts, max_tokens=16)
    asked = []
    tokenizer = towers.text.tokenizer
    monkeypatch.setattr(
        towers.text, "tokenizer", lambda texts, **options: asked.append(texts) or tokenizer(texts, **options)
    )
    found = text_features(towers.text, texts, max_tokens=16, known=known)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert asked == [["a large & firm spleen"]]
    assert text_features(towers.text, texts, max_tokens=8, known=known).shape == (3, 384)  # another limit: no use
    assert len(asked[1]) == 3


def test_bf16_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert (precision("cpu"), precision("cuda"), precision("cuda", "float32")) == ("float32", "bf16", "float32")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert precision("cpu") == "bf16"
    with autocast("cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_text_trunk_equals_open_clip_forward(towers):
    """Trunk, then head, is the model's own text tower."""
    tokens = towers.text.tokens(["an enlarged heart", "no finding at all in this picture"])
    with torch.no_grad():
        torch.testing.assert_close(towers.text_head(towers.text.trunk(tokens)), towers.model.text(tokens))


def test_features_are_cached_and_a_damaged_file_is_replaced(towers, tmp_path):
    pairs = make_pairs(tmp_path)
    first = image_features(towers, pairs, tmp_path, cache=tmp_path / "cache")
    files = list((tmp_path / "cache").glob("*.npz"))
    assert len(files) == 1
    np.testing.assert_array_equal(read_arrays(files[0])["features"], first)
    files[0].write_bytes(b"cut off")
    np.testing.assert_array_equal(image_features(towers, pairs, tmp_path, cache=tmp_path / "cache"), first)
    Image.new("RGB", (48, 48), "red").save(tmp_path / "0.png")
    changed = image_features(towers, pairs, tmp_path, cache=tmp_path / "cache")
    assert not np.array_equal(changed[0], first[0])
    np.testing.assert_allclose(changed[1:], first[1:], atol=0.05)


def test_local_checkpoint_gives_open_clips_own_features_and_preprocessing(tmp_path):
    model = tiny_checkpoint(tmp_path)
    towers = load_towers(f"local-dir:{tmp_path}", 999, 256)
    assert (towers.image_size, towers.embed_dim, towers.text.context_length) == (32, 16, 12)
    assert towers.mean == (0.1, 0.2, 0.3)
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    normal = (pixels / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(towers.image_head(towers.image_trunk(pixels)), model.encode_image(normal))
        tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["large spleen"])
        ours = towers.text_head(towers.text.trunk(towers.text.tokens(["large spleen"])))
        torch.testing.assert_close(ours, model.encode_text(tokens))


def test_unknown_and_absent_models_say_what_there_is(tmp_path):
    with pytest.raises(PhenoLIPError, match="did you mean 'phenolip-tiny'"):
        load_towers("phenolip-tny", 64, 256)
    with pytest.raises(PhenoLIPError, match="has no open_clip_config.json"):
        load_towers(f"local-dir:{tmp_path}", 64, 256)
    with pytest.raises(PhenoLIPError, match="no packaged weights 'bert'; there are minilm-l6-v2"):
        load_text_tower("bert")
    with pytest.raises(PhenoLIPError, match="has no config.json"):
        load_text_tower(f"local-dir:{tmp_path}")


def test_a_checkpoint_without_trunk_and_head_is_refused(tmp_path):
    vision = {"layers": 1, "width": 32, "patch_size": 16, "image_size": 32, "head_width": 16}
    config = {
        "embed_dim": 16,
        "vision_cfg": vision,
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
    }
    model = open_clip.model.CLIP(**config)
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(PhenoLIPError, match="not made of a timm image tower"):
        load_towers(f"local-dir:{tmp_path}", 64, 256)


def test_random_towers_differ_from_the_packaged_ones_in_one_tower():
    packaged = load_towers("phenolip-tiny", 64, 32)
    pixels = torch.full((1, 3, 64, 64), 90, dtype=torch.uint8)
    tokens = packaged.text.tokens(["large spleen"])
    for name, same in (("phenolip-tiny-random-image", "text"), ("phenolip-tiny-random-text", "image")):
        towers, again = (load_towers(name, 64, 32) for _ in range(2))
        with torch.no_grad():
            images = [own.image_trunk(pixels) for own in (packaged, towers, again)]
            texts = [own.text.trunk(tokens) for own in (packaged, towers, again)]
        assert torch.equal(images[1], images[2])
        assert torch.equal(texts[1], texts[2])
        assert torch.equal(images[0], images[1]) == (same == "image")
        assert torch.equal(texts[0], texts[1]) == (same == "text")
