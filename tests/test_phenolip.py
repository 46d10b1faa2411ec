"""The model in use: preprocessing of the checkpoint, embeddings, phenotypes, search, and bad input."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models.export import save_open_clip
from phenolip_lib.models.features import load_pixels
from phenolip_lib.models.knowledge_encoder import make_projection
from phenolip_lib.models.phenolip import PhenoLIP
from phenolip_lib.models.student import Student, save_student
from phenolip_lib.models.towers import load_towers
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.training.image_loader import ImageBatches
from tests.test_encoders import make_pairs, tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def model(checkpoint, toy):
    return PhenoLIP.load(checkpoint, toy, "cpu")


@pytest.fixture(scope="module")
def picture():
    """Wider than high, so that the resize modes differ."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 90, 3), dtype=np.uint8))


def save_run(checkpoint, folder, name="m", text_head=None, trained_towers=False, **stage2):
    """A trained student as experiments save it, with weights that no seed gives."""
    torch.manual_seed(5)
    towers = load_towers(f"local-dir:{checkpoint}", 32, 12)
    if text_head is not None:
        towers.model.text.proj = text_head
    student = Student(towers, 0.05, 0.1).eval().requires_grad_(False)
    trunks = (student.image_trunk, student.text_trunk) if trained_towers else ()
    for parameter in (p for part in (student.image_head, student.text_head, *trunks) for p in part.parameters()):
        torch.nn.init.normal_(parameter, std=0.3)
    stage2 = {
        "image_tower": "frozen",
        "text_tower": "frozen",
        "student_text_init": "pretrained",
        "init_temperature": 0.05,
        "head_dropout": 0.1,
    } | stage2
    config = {"student": f"local-dir:{checkpoint}", "image_size": 32, "context_length": 12, "stage2": stage2}
    save_student(folder, name, student, config)
    return student


# --- preprocessing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "preprocess",
    [
        {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bicubic", "resize_mode": "squash"},
        {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "shortest"},
        {"mean": [0.5] * 3, "std": [0.2] * 3, "interpolation": "bicubic", "resize_mode": "longest"},
        {"mean": [0.5] * 3, "std": [0.5] * 3},  # BiomedCLIP's says no more
    ],
)
def test_pixels_are_those_of_open_clips_transform_for_the_checkpoint(preprocess, checkpoint, model, picture, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "m")
    path = tmp_path / "m" / "open_clip_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"preprocess_cfg": preprocess}))
    found = PhenoLIP.load(tmp_path / "m", device="cpu").pixels(picture)
    _, transform = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path / 'm'}")
    torch.testing.assert_close(found, transform(picture), rtol=0, atol=0)
    assert found.shape == (3, 32, 32)
    same = preprocess.get("resize_mode") == "squash"
    assert torch.equal(found, model.pixels(picture)) == same
    # Training and cached features see the same.
    picture.save(tmp_path / "wide.png")
    pairs = make_pairs(tmp_path, n=1).assign(image="wide.png", left=0.0, top=0.0, right=1.0, bottom=1.0)
    towers = load_towers(f"local-dir:{tmp_path / 'm'}", 224, 77)
    pixels = load_pixels(pairs, tmp_path, 32, fit=towers.fit)
    with ImageBatches(pairs, tmp_path, 32, workers=0, fit=towers.fit) as loading:
        assert torch.equal(next(loading.batches([np.array([0])], 0)), pixels)
    mean, std = (torch.tensor(preprocess[key]).view(3, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close((pixels[0] / 255 - mean) / std, transform(picture), rtol=0, atol=1e-6)


def test_a_run_sees_the_pixels_of_training(checkpoint, tmp_path):
    pairs = make_pairs(tmp_path, n=2)
    student = save_run(checkpoint, tmp_path)
    model = PhenoLIP.load(tmp_path / "m", device="cpu")
    pixels = load_pixels(pairs, tmp_path, 32)
    with torch.no_grad():
        expected = student.image(student.towers.image_trunk(pixels))
        texts = student.text(student.towers.text.trunk(student.towers.text.tokens(["large spleen", "heart"])))
    files = [tmp_path / f"{i}.png" for i in range(2)]
    np.testing.assert_allclose(model.embed_images(files), expected, atol=1e-5)
    np.testing.assert_allclose(model.embed_texts(["large spleen", "heart"]), texts, atol=1e-5)
    assert model.logit_scale == pytest.approx(20, rel=1e-5)
    save_open_clip(student, tmp_path / "published", "someone/phenolip")
    published = PhenoLIP.load(tmp_path / "published", device="cpu")
    np.testing.assert_allclose(published.embed_images(files), expected, atol=1e-5)
    assert published.fingerprint == model.fingerprint


@pytest.mark.parametrize("kind", ["linear", "mlp", "residual"])
def test_a_run_with_the_teachers_head_loads(kind, checkpoint, tmp_path):
    width = 32
    shutil.copytree(checkpoint, tmp_path / "m32")
    path = tmp_path / "m32" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["embed_dim"] = width  # a residual keeps the width of the text tower
    path.write_text(json.dumps(config))
    state_path = tmp_path / "m32" / "open_clip_model.safetensors"
    fresh = open_clip.model.CustomTextCLIP(**config["model_cfg"]).state_dict()
    save_file({k: v.contiguous() for k, v in fresh.items()}, state_path)
    student = save_run(
        tmp_path / "m32", tmp_path, text_head=make_projection(kind, width, width), student_text_init="teacher"
    )
    model = PhenoLIP.load(tmp_path / "m", device="cpu")
    with torch.no_grad():
        expected = student.text(student.towers.text.trunk(student.towers.text.tokens(["heart"])))
    np.testing.assert_allclose(model.embed_texts("heart"), expected, atol=1e-6)


def test_a_run_whose_towers_were_trained_keeps_them(checkpoint, picture, tmp_path, monkeypatch):
    torch.manual_seed(5)
    student = save_run(checkpoint, tmp_path, image_tower="finetune", text_tower="finetune", trained_towers=True)
    found = PhenoLIP.load(tmp_path / "m", device="cpu")
    save_open_clip(student, tmp_path / "published")
    monkeypatch.chdir(tmp_path / "published")
    plain = open_clip.create_model_from_pretrained("local-dir:.")[0].state_dict()
    state = found.towers.model.state_dict()
    assert all(torch.equal(state[key], plain[key]) for key in state if key != "logit_scale")
    first = load_towers(f"local-dir:{checkpoint}", 32, 12).model.state_dict()
    for key in ("visual.trunk.conv1.0.weight", "text.transformer.encoder.layer.0.output.dense.weight"):
        assert not torch.equal(state[key], first[key])


# --- embeddings ---------------------------------------------------------------------------------


def test_paths_pictures_and_arrays_of_one_picture_are_the_same(model, picture, tmp_path):
    picture.save(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path, "a.png")
    inputs = [
        str(tmp_path / "a.png"),
        tmp_path / "a.png",
        picture,
        np.asarray(picture),
        tmp_path / "link.png",
        f"{tmp_path}/zipped.zip::a.png",
    ]
    found = model.embed_images(inputs, batch_size=4)
    assert found.shape == (6, 16)
    np.testing.assert_allclose(found, found[[0]].repeat(6, axis=0), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(model.embed_images(tmp_path / "a.png"), found[:1], atol=1e-6)


def test_texts_do_not_depend_on_their_batch(model):
    texts = ["heart", "large spleen large heart", "spleen " * 40]
    together = model.embed_texts(texts, batch_size=3)
    alone = np.concatenate([model.embed_texts(text) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)


# --- phenotypes ---------------------------------------------------------------------------------


def test_classification_is_open_clips_zero_shot_recipe(model, checkpoint, picture):
    """Mean of the normalised prompts, normalised again; softmax of scale times cosine."""
    prompts = ["{name}", "large {name}"]
    names = ["spleen", "heart"]
    table = model.classify(picture, names, prompts)
    plain, transform = open_clip.create_model_from_pretrained(f"local-dir:{checkpoint}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{checkpoint}")
    plain.eval()
    with torch.no_grad():
        image = F.normalize(plain.encode_image(transform(picture)[None]), dim=-1)
        weights = []
        for name in names:
            texts = F.normalize(plain.encode_text(tokenizer([p.format(name=name) for p in prompts])), dim=-1)
            weights.append(F.normalize(texts.mean(dim=0), dim=-1))
        cosine = (image @ torch.stack(weights).T)[0]
        expected = (plain.logit_scale.exp() * cosine).softmax(0)
    found = table.set_index("name").loc[names]
    np.testing.assert_allclose(found["cosine"], cosine, atol=1e-5)
    np.testing.assert_allclose(found["probability"], expected, atol=1e-4)
    assert table["probability"].is_monotonic_decreasing
    assert table["probability"].sum() == pytest.approx(1)
    assert (table["hpo_id"] == "").all()  # neither is a name of a phenotype


def test_phenotypes_are_ids_names_synonyms_or_words(model, toy):
    term = toy["HP:0001744"]
    given = ["hp:0001744", term.name.upper(), "large spleen", "Big organ", toy["HP:0001640"].name]
    assert model.resolve(given) == [  # a BROAD synonym names no phenotype
        ("HP:0001744", term.name),
        ("", "Big organ"),
        ("HP:0001640", toy["HP:0001640"].name),
    ]
    with pytest.raises(PhenoLIPError, match="HP:9999999 is not in HPO"):
        model.resolve(["HP:9999999"])


def test_a_synonym_of_two_terms_stands_for_neither(checkpoint, toy):
    """The text itself is embedded then; guessing one of the two would put a wrong id beside it."""
    row = toy.tables["synonyms"].iloc[[0]]
    both = pd.concat([row.assign(synonym="Doubtful", hpo_id=hpo_id) for hpo_id in ("HP:0001744", "HP:0001640")])
    tables = toy.tables | {"synonyms": pd.concat([toy.tables["synonyms"], both, both.iloc[[0]]])}
    model = PhenoLIP.load(checkpoint, Ontology(tables), "cpu")
    assert model.resolve(["doubtful"]) == [("", "doubtful")]


def test_ids_need_the_ontology(checkpoint, picture):
    model = PhenoLIP.load(f"local-dir:{checkpoint}", device="cpu")
    with pytest.raises(PhenoLIPError, match=r"HP:0001744: HPO ids need the ontology; load it with Ontology.load"):
        model.classify(picture, ["HP:0001744"])


def test_siglip_probabilities_are_one_by_one(checkpoint, picture, tmp_path):
    towers = load_towers(f"local-dir:{checkpoint}", 32, 12)
    save_open_clip(Student(towers, 0.1, 0.0, bias=-2.0), tmp_path / "m")
    model = PhenoLIP.load(tmp_path / "m", device="cpu")
    table = model.classify(picture, ["heart", "spleen"], ["{name}"])
    np.testing.assert_allclose(table["probability"], 1 / (1 + np.exp(2 - 10 * table["cosine"])), rtol=1e-4)


# --- search -------------------------------------------------------------------------------------


def test_search_finds_the_picture_itself_and_ranks_by_cosine(model, picture, tmp_path):
    make_pairs(tmp_path, n=5)
    picture.save(tmp_path / "5.png")
    files = [tmp_path / f"{i}.png" for i in range(6)]
    index = model.index(files)
    found = model.retrieve(picture, index, k=3)
    assert found["image"].iat[0] == str(tmp_path / "5.png")
    assert found["cosine"].iat[0] == pytest.approx(1, abs=1e-5)
    by_text = model.retrieve("large spleen", index, k=100)
    cosine = {str(f): float(model.embed_images(f)[0] @ model.embed_texts("large spleen")[0]) for f in files}
    assert by_text["image"].tolist() == sorted(cosine, key=lambda f: -cosine[f])
    np.testing.assert_allclose(by_text["cosine"], sorted(cosine.values(), reverse=True), atol=1e-5)


# --- bad input ----------------------------------------------------------------------------------


def refused(match, function, *args, **options):
    with pytest.raises(PhenoLIPError, match=match) as error:
        function(*args, **options)
    assert "\n" not in str(error.value)


def test_bad_pictures_and_texts_are_refused_in_one_line(model, picture, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    refused("notes.png: image is unreadable", model.embed_images, [tmp_path / "notes.png"])
    refused("gone.png: image file is absent", model.embed_images, [str(tmp_path / "gone.png")])
    refused(r"an array float64 \(4, 4\) is no picture", model.embed_images, [np.zeros((4, 4))])
    refused("int is no picture", model.embed_images, [3])
    refused("a picture of no pixels", model.embed_images, [Image.new("RGB", (0, 5))])
    refused("no images given", model.embed_images, [])
    refused("no texts given", model.embed_texts, [])
    refused("None is not a text", model.embed_texts, ["a", None])
    refused("no phenotypes given", model.classify, picture, [])
    refused("a phenotype is an empty text", model.classify, picture, [" "])
    refused(r"the prompt 'a picture' has no \{name\}", model.classify, picture, ["heart"], ["a picture"])
    refused(
        "no prompts for 'dermatologie'; there are default, dermatology", model.classify, picture, ["x"], "dermatologie"
    )
    make_pairs(tmp_path, n=2)
    index = model.index([tmp_path / "0.png", tmp_path / "1.png"])
    refused("k is 0", model.retrieve, "heart", index, 0)
    index.embeddings = index.embeddings[:, :3]
    refused(r"the index holds \(2, 3\), this model embeds in 16", model.retrieve, "heart", index)


def test_pickles_are_refused(checkpoint, tmp_path):
    torch.save({}, tmp_path / "weights.pt")
    refused("weights.pt: pickled weights can run any code", PhenoLIP.load, tmp_path / "weights.pt")
    folder = tmp_path / "m"
    shutil.copytree(checkpoint, folder)
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"damaged")
    assert PhenoLIP.load(folder, device="cpu").embed_dim == 16  # the safetensors file beside it is read
    for file in folder.glob("open_clip_*model.*"):
        file.unlink()
    refused("there are no weights", PhenoLIP.load, f"local-dir:{folder}")


def test_absent_damaged_and_unfit_models_are_refused_in_one_line(checkpoint, tmp_path):
    refused("nothing: neither a folder with open_clip_config.json nor", PhenoLIP.load, tmp_path / "nothing")
    refused("there is no such folder", PhenoLIP.load, f"local-dir:{tmp_path / 'nothing'}")
    folder = tmp_path / "m"
    shutil.copytree(checkpoint, folder)
    weights = folder / "open_clip_model.safetensors"
    state = load_file(weights)
    save_file(state | {"text.proj.0.weight": torch.zeros(3, 3)}, weights)
    refused("cannot be loaded .*size mismatch for text.proj.0.weight", PhenoLIP.load, folder)
    weights.write_bytes(b"cut off")
    refused("cannot be loaded", PhenoLIP.load, folder)
    (folder / "open_clip_config.json").write_text("{")
    refused("open_clip_config.json: absent or damaged", PhenoLIP.load, folder)


def test_runs_that_are_damaged_or_of_other_towers_are_refused(checkpoint, tmp_path):
    save_run(checkpoint, tmp_path)
    weights, state = tmp_path / "m.safetensors", load_file(tmp_path / "m.safetensors")
    save_file(state | {"image_head.proj.weight": torch.zeros(2, 2)}, weights)
    refused("damaged, or of another architecture: .*size mismatch for image_head", PhenoLIP.load, tmp_path / "m")
    save_file({k: v for k, v in state.items() if not k.startswith("text_head.2")}, weights)
    refused("of another architecture: text_head.2.weight has no counterpart", PhenoLIP.load, tmp_path / "m")
    weights.write_bytes(b"cut off")
    refused("not safetensors, or damaged", PhenoLIP.load, tmp_path / "m")
    save_file(state, weights)
    config = json.loads((tmp_path / "m.json").read_text())
    del config["image_size"]
    (tmp_path / "m.json").write_text(json.dumps(config))
    refused("'image_size' is not there, or of another kind; train again", PhenoLIP.load, tmp_path / "m.json")
