"""Both stages on small data: they learn, they are repeatable, and they refuse what they must."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.linking import tfidf_ranks
from phenolip_lib.graph.exports import shards
from phenolip_lib.models.features import image_features
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder
from phenolip_lib.models.student import build_student, load_student, save_student
from phenolip_lib.models.towers import load_towers
from phenolip_lib.training import inputs, stage1, stage2
from phenolip_lib.training.attribute_texts import attribute_texts, related_terms
from tests.test_encoders import make_pairs, tiny_checkpoint
from tests.test_linking import held_out_ranks

SMALL = {
    "stage1.batch_size": 4,
    "stage1.epochs": 6,
    "encoders.image_size": 64,
    "stage2.batch_size": 8,
    "stage2.epochs": 4,
}


def student_config(p) -> dict:
    return {"stage2": p.stage2.model_dump(), **p.encoders.model_dump()}


@pytest.fixture(scope="module")
def small(params):
    return params.with_overrides(SMALL)


@pytest.fixture(scope="module")
def trained(small, toy):
    return stage1.train(small, toy, None)


@pytest.fixture(scope="module")
def data(small, trained, tmp_path_factory):
    """Twenty-four pairs of random pictures and captions that name one of two phenotypes."""
    folder = tmp_path_factory.mktemp("pictures")
    pairs = make_pairs(folder, n=24)
    names = ["an enlarged heart", "a large spleen"]
    pairs["caption"] = [f"Picture {i} shows {names[i % 2]}." for i in range(24)]
    pairs["phenotypes"] = [[("HP:0001640", "HP:0001744")[i % 2]] for i in range(24)]
    pairs["split"] = ["train"] * 16 + ["val"] * 4 + ["test"] * 4
    encoder, texts, _ = trained
    towers = load_towers("phenolip-tiny", 64, 256)
    return inputs.prepare(small, pairs, folder, towers, encoder, texts, None)


# --- stage 1 ------------------------------------------------------------------------------------


def test_held_out_synonyms_are_never_trained_on_and_never_another_terms_name(full):
    texts = attribute_texts(full, ["name", "synonym"], 0.2, seed=0)
    held = texts[texts["held_out"]]
    assert 1000 < len(held) < 3000
    assert set(held["kind"]) == {"synonym"}
    trained_forms = set(texts[~texts["held_out"]]["text"].str.lower())
    assert not trained_forms & set(held["text"].str.lower())


def test_holding_out_does_not_depend_on_other_terms(full, toy):
    """The same term holds out the same synonym whatever else the release has."""
    big = attribute_texts(full, ["name", "synonym"], 0.5, seed=3)
    again = attribute_texts(full, ["name", "synonym", "definition", "relation"], 0.5, seed=3)
    assert set(big[big["held_out"]]["text"]) == set(again[again["held_out"]]["text"])


def test_related_terms_are_parents_children_and_siblings(toy):
    ids = ["HP:0001626", "HP:0001627", "HP:0001640", "HP:0001651", "HP:0001903"]
    related = related_terms(toy, ids).toarray()
    index = {hpo_id: i for i, hpo_id in enumerate(ids)}
    assert related[index["HP:0001640"], index["HP:0001651"]]  # siblings
    assert related[index["HP:0001640"], index["HP:0001627"]]  # child and parent
    assert not related[index["HP:0001640"], index["HP:0001626"]]  # grandparent
    assert not related[index["HP:0001640"], index["HP:0001903"]]
    assert (related == related.T).all()


def test_loss_falls_and_repeats_bit_by_bit(small, toy, trained):
    _, _, history = trained
    assert history["loss"].iat[-1] < history["loss"].iat[0]
    encoder, _, again = stage1.train(small, toy, None)
    pd.testing.assert_frame_equal(history, again)
    for a, b in zip(trained[0].projection.parameters(), encoder.projection.parameters(), strict=True):
        assert torch.equal(a, b)


def test_training_the_tower_itself_works_and_saves_it(small, toy, tmp_path):
    p = small.with_overrides({"stage1.tower": "finetune", "stage1.epochs": 1})
    encoder, texts, _ = stage1.train(p, toy, None)
    encoder.save(tmp_path, stage1.teacher_config(p))
    again = KnowledgeEncoder.load(tmp_path)
    strings = texts["text"].tolist()[:4]
    np.testing.assert_allclose(again.embed(strings), encoder.embed(strings), atol=1e-6)


def test_saved_encoder_gives_the_same_embeddings(small, trained, tmp_path):
    encoder = trained[0]
    encoder.save(tmp_path, stage1.teacher_config(small))
    texts = ["Splenomegaly", "a big heart"]
    np.testing.assert_array_equal(KnowledgeEncoder.load(tmp_path).embed(texts), encoder.embed(texts))


def test_a_teacher_cuts_captions_where_the_parameters_of_its_use_say(small, trained, tmp_path):
    """A longer `encoders.context_length` reaches a teacher that was trained before it was raised."""
    trained[0].save(tmp_path, stage1.teacher_config(small))
    teacher, words = KnowledgeEncoder.load(tmp_path), "heart " * 300
    longer = [teacher.embed([words + end], max_tokens=400) for end in ("heart", "liver")]
    assert not np.array_equal(*longer)
    np.testing.assert_array_equal(*(teacher.embed([words + end], max_tokens=256) for end in ("heart", "liver")))


def test_encoder_of_another_shape_is_refused_in_one_line(small, trained, tmp_path):
    trained[0].save(tmp_path, stage1.teacher_config(small) | {"projection": "linear"})
    with pytest.raises(PhenoLIPError, match="checkpoint of another architecture") as error:
        KnowledgeEncoder.load(tmp_path)
    assert "\n" not in str(error.value)


def test_perfect_embeddings_link_everything(toy):
    texts = attribute_texts(toy, ["name", "synonym"], 1.0, seed=0)
    ids = {h: i for i, h in enumerate(texts["hpo_id"].unique())}
    one_hot = np.eye(len(ids), dtype=np.float32)[[ids[h] for h in texts["hpo_id"]]]
    assert texts["held_out"].sum() >= 3
    assert (held_out_ranks(texts, one_hot) == 1).all()
    assert (held_out_ranks(texts, np.ones_like(one_hot)) == len(ids)).all()  # ties count against
    assert len(tfidf_ranks(texts)) == texts["held_out"].sum()


# --- stage 2 ------------------------------------------------------------------------------------


def test_students_learn_and_repeat_bit_by_bit(small, data, trained):
    model, history = stage2.train(small, data, trained[0], seed=0)
    again, _ = stage2.train(small, data, trained[0], seed=0)
    other, _ = stage2.train(small, data, trained[0], seed=1)
    assert history["loss"].iat[-1] < history["loss"].iat[0]
    a, b, c = (m.embed_images(data.images) for m in (model, again, other))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, atol=1e-5)


def test_without_lambda_the_teacher_changes_nothing(small, data, trained):
    plain = small.with_overrides({"stage2.lambda_kd": 0.0})
    model, history = stage2.train(plain, data, trained[0], seed=0)
    scrambled = inputs.TrainingData(**{**vars(data), "teacher": data.teacher[::-1].copy()})
    again, _ = stage2.train(plain, scrambled, trained[0], seed=0)
    np.testing.assert_array_equal(model.embed_texts(data.texts), again.embed_texts(data.texts))
    assert "loss_kd" not in history


def test_distillation_brings_the_student_to_the_teacher(small, data, trained):
    long = small.with_overrides({"stage2.epochs": 15, "stage2.kd_texts": "captions"})
    pulled, _ = stage2.train(long, data, trained[0], seed=0)
    free, _ = stage2.train(long.with_overrides({"stage2.lambda_kd": 0.0}), data, trained[0], seed=0)
    train = (data.pairs["split"] == "train").to_numpy()

    def closeness(model):
        return float((model.embed_texts(data.texts[train]) * data.teacher[train]).sum(axis=1).mean())

    assert closeness(pulled) > closeness(free) + 0.1


def test_two_temperatures_are_learned_apart(small, data, trained):
    _, history = stage2.train(small, data, trained[0], seed=0)
    assert history["logit_scale"].iat[-1] != history["logit_scale_kd"].iat[-1]
    assert history["logit_scale"].max() <= 100 + 1e-3


def test_frozen_features_and_running_the_tower_agree_before_training(small, data, trained):
    """One code path: a tower that is run gives what the cache holds, up to bf16 batches."""
    p = small.with_overrides({"stage2.image_tower": "finetune", "stage2.text_tower": "finetune", "stage2.epochs": 0})
    model, _ = stage2.train(p, data, trained[0], seed=0)
    images, texts = inputs.student_features(p, model, data)
    np.testing.assert_allclose(images, data.images, atol=0.05)
    np.testing.assert_allclose(texts, data.texts, atol=0.05)


def test_fine_tuning_moves_the_towers_only_after_the_frozen_epochs(small, data, trained):
    over = {"stage2.image_tower": "finetune", "stage2.text_tower": "finetune", "stage2.tower_learning_rate": 1e-3}
    before = {k: v.clone() for k, v in load_towers("phenolip-tiny", 64, 256).model.state_dict().items()}
    keys = ("visual.trunk.conv_stem.weight", "text.transformer.encoder.layer.0.output.dense.weight")
    for frozen, moved in ((1, False), (0, True)):
        p = small.with_overrides(over | {"stage2.epochs": 1, "stage2.frozen_epochs": frozen})
        model, _ = stage2.train(p, data, trained[0], seed=0)
        state = model.towers.model.state_dict()
        assert [not torch.equal(before[k], state[k]) for k in keys] == [moved, moved]


@pytest.mark.parametrize("frozen", [0, 1])
def test_training_on_shards_needs_no_image_file(small, trained, tmp_path, frozen):
    """Features, training, and validation on pictures of the shards alone; the same weights as with the files."""
    encoder, texts, _ = trained
    root = tmp_path / "root"
    root.mkdir()
    pairs = make_pairs(root, n=14).assign(
        caption="a large spleen", modality="radiology", split=["train"] * 12 + ["val"] * 2
    )
    pairs["pair_id"] = [f"set/{i}" for i in range(14)]
    pairs["phenotypes"] = [["HP:0001744"]] * 14
    pairs[["dataset", "group", "licence", "url"]] = ["set", "g", "CC0-1.0", ""]
    pairs["asserted"], pairs["templated"] = True, False
    shards.write(pairs, root, tmp_path / "shards", per_shard=5)
    p = small.with_overrides(
        {
            "stage2.image_tower": "finetune",
            "stage2.shards": str(tmp_path / "shards"),
            "stage2.epochs": 2,
            "stage2.frozen_epochs": frozen,
            "stage2.batch_size": 6,
            "training.loader_workers": 0,
            "methods": dict.fromkeys(small.methods, {}),
        }
    )

    def train():
        data = inputs.prepare(p, pairs, root, load_towers("phenolip-tiny", 64, 256), encoder, texts, None)
        seen = []

        def validate(model):
            seen.append(inputs.student_features(p, model, data, np.array([12, 13]))[0][12:])
            return {}

        model, _ = stage2.train(p, data, encoder, 0, validate)
        return model, seen, data

    model, seen, data = train()
    files = image_features(model.towers, pairs.iloc[12:], root)
    np.testing.assert_array_equal(seen[-1], files)
    assert np.abs(seen[0] - seen[-1]).max() > 0
    shutil.rmtree(root)
    again, _, other = train()
    assert data.pictures == other.pictures != ""
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_saved_student_gives_the_same_embeddings(small, data, trained, tmp_path):
    model, _ = stage2.train(small, data, trained[0], seed=0)
    save_student(tmp_path, "m", model, student_config(small))
    again = load_student(tmp_path, "m", small)
    np.testing.assert_array_equal(again.embed_images(data.images), model.embed_images(data.images))
    np.testing.assert_array_equal(again.embed_texts(data.texts), model.embed_texts(data.texts))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda state: state.pop("image_head.mlp.fc1.weight"), "image_head.mlp.fc1.weight has no counterpart"),
        (lambda state: state.clear(), "image_head.mlp.fc1.bias has no counterpart"),
        (lambda state: state.pop("logit_scale"), "logit_scale has no counterpart"),
        (lambda state: state.update(more=torch.zeros(1)), "more has no counterpart"),
        (lambda state: state.update({"text_head.0.weight": torch.zeros(2, 2)}), "size mismatch for text_head.0.weight"),
    ],
)
def test_a_students_file_without_its_tensors_is_refused_in_one_line(small, tmp_path, damage, said):
    save_student(tmp_path, "m", build_student(small, 0), student_config(small))
    state = load_file(tmp_path / "m.safetensors")
    damage(state)
    save_file(state, tmp_path / "m.safetensors")
    with pytest.raises(PhenoLIPError, match=said) as error:
        load_student(tmp_path, "m", small)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["student", "image_size", "context_length"])
def test_a_student_of_other_towers_is_refused(small, tmp_path, key):
    save_student(tmp_path, "m", build_student(small, 0), student_config(small))
    other = {"student": "phenolip-tiny-random-text", "image_size": 96, "context_length": 32}[key]
    with pytest.raises(PhenoLIPError, match=f"trained with encoders.{key} .*, params say {other}"):
        load_student(tmp_path, "m", small.with_overrides({f"encoders.{key}": other}))


def test_biomedclips_kind_of_checkpoint_trains_through_the_same_code(params, toy, tmp_path):
    """The hf-hub and local-dir path, with a teacher of the checkpoint's dimension."""
    tiny_checkpoint(tmp_path)
    p = params.with_overrides(
        SMALL | {"encoders.student": f"local-dir:{tmp_path}", "stage1.projection": "mlp", "stage1.embed_dim": 16}
    )
    encoder, texts, _ = stage1.train(p, toy, None)
    towers = load_towers(p.encoders.student, 64, 256)
    pairs = make_pairs(tmp_path, n=8).assign(caption="large spleen", split="train")
    pairs["phenotypes"] = [["HP:0001744"]] * 8
    found = inputs.prepare(p, pairs, tmp_path, towers, encoder, texts, None)
    model, history = stage2.train(p, found, encoder, seed=0)
    assert model.embed_images(found.images).shape == (8, 16)
    assert np.isfinite(history["loss"]).all()
    with pytest.raises(PhenoLIPError, match="stage1.embed_dim is 384 and local-dir:.* embeds in 16"):
        build_student(p.with_overrides({"stage1.embed_dim": 384}), 0, encoder)


def test_one_pair_is_too_few(small, data, trained):
    lonely = inputs.TrainingData(**{**vars(data), "pairs": data.pairs.assign(split=["train"] + ["test"] * 23)})
    with pytest.raises(PhenoLIPError, match="1 training pairs; contrast needs at least 2"):
        stage2.train(small, lonely, trained[0], seed=0)


def test_a_loss_that_is_not_a_number_stops_with_advice(small, data, trained):
    bad = inputs.TrainingData(**{**vars(data), "images": np.full_like(data.images, np.nan)})
    with pytest.raises(PhenoLIPError, match="the loss is nan at step 1; lower stage2.learning_rate"):
        stage2.train(small, bad, trained[0], seed=0)


def test_an_absent_gpu_is_said_so(small, toy):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(PhenoLIPError, match="no GPU is visible"):
        stage1.train(small.with_overrides({"runtime.device": "cuda"}), toy, None)
