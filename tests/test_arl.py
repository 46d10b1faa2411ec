"""ARL's graph, masks, inputs and training: entities in texts, TransE, whole-entity masking, resume, and its splits."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from phenolip_lib.apps.ask import ask, overlay
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.data.questions import vocabulary
from phenolip_lib.evaluation.answers import CLOSED, KIND, OPEN, OVERALL, score
from phenolip_lib.experiments import arl
from phenolip_lib.experiments.arl import others, splits_of
from phenolip_lib.experiments.questions import without_asked
from phenolip_lib.models.fusion.config import load_config
from phenolip_lib.models.fusion.graph import EntityEncoder
from phenolip_lib.models.fusion.model import NONE, Answering, Fusion
from phenolip_lib.models.fusion.plain import Plain
from phenolip_lib.models.fusion.pretext import IGNORED, Pretext
from phenolip_lib.models.fusion.tokens import TokenIds, tokenise
from phenolip_lib.models.towers import load_towers
from phenolip_lib.training.arl import knowledge, transe
from phenolip_lib.training.arl.answering import NO_ANSWER, AnswerTraining, predict
from phenolip_lib.training.arl.inputs import Examples, Reader, Texts
from phenolip_lib.training.arl.knowledge import IS_A, SHOWS, KnowledgeGraph, Linker, Span
from phenolip_lib.training.arl.masks import mask
from phenolip_lib.training.arl.pretraining import FusionPretraining, Masked, words_of
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Engine
from tests.conftest import ROOT
from tests.test_fusion import IMAGE, N_ENTITIES, SMALL, TEXT

CPU = torch.device("cpu")


# --- entities and their graph ------------------------------------------------------------------------


HEART, SPLENOMEGALY = "HP:0001627", "HP:0001744"


def test_entities_of_a_text_with_their_places(toy):
    text = "Is the large spleen seen below the heart and the lung, or the Duodenal Bulb?"
    found = Linker(toy, ["duodenal bulb"])(text)
    assert [(text[s.start : s.end], s.entity) for s in found] == [
        ("large spleen", SPLENOMEGALY),
        ("heart", HEART),
        ("lung", "place:lung"),
        ("Duodenal Bulb", "name:duodenal bulb"),
    ]


def test_a_name_that_is_a_phenotype_an_organ_or_a_place_is_that_entity(toy):
    linker = Linker(toy)
    assert linker.key("Splenomegaly") == SPLENOMEGALY
    assert linker.key("Heart") == HEART
    assert linker.key("Lung") == "place:lung"
    assert linker.key("Duodenal  Bulb") == "name:duodenal bulb"


def test_names_are_found_where_words_repeat(toy):
    text = "bulb of the duodenal bulb"
    assert Linker(toy, ["Duodenal Bulb"])(text) == [Span(12, 25, "name:duodenal bulb")]


def test_the_graph_holds_what_is_named_and_what_is_above_it(toy):
    linker = Linker(toy, ["Lung", "Hepatitis"])
    texts = [linker(text) for text in ("splenomegaly", "splenomegaly of the ventricle", "a heart once")]
    triples = pd.DataFrame([("Hepatitis", "location", "Lung")], columns=["head", "relation", "tail"])
    graph = knowledge.build(toy, texts, linker, triples, min_count=2)
    assert HEART not in graph.entities
    assert not any(entity.startswith("place:ventricle") for entity in graph.entities)
    said = {(graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in graph.triples}
    for child, parents in toy.parents.items():
        for parent in parents:
            both = {child, parent} <= set(graph.entities)
            assert ((child, IS_A, parent) in said) == (both and child in toy.ancestors(SPLENOMEGALY))
    assert ("name:hepatitis", "location", "place:lung") in said
    assert {tail for _, relation, tail in said if relation == SHOWS} == {SPLENOMEGALY}
    above = {graph.entities[i] for i in np.flatnonzero(knowledge.related(graph)[graph.index[SPLENOMEGALY]])}
    assert above == toy.ancestors(SPLENOMEGALY)


def test_a_rewired_graph_keeps_what_is_counted(toy):
    linker = Linker(toy)
    graph = knowledge.build(toy, [linker("splenomegaly and dextrocardia")], linker)
    other = graph.rewired(0)
    assert np.array_equal(graph.triples[:, :2], other.triples[:, :2])
    assert sorted(graph.triples[:, 2]) == sorted(other.triples[:, 2])
    assert np.array_equal(other.triples, graph.rewired(0).triples)
    assert not np.array_equal(other.triples, graph.triples)


def chain(n=30):
    """``0 next 1 next 2 ...``, and every entity in one group."""
    triples = [(i, 0, i + 1) for i in range(n - 1)] + [(i, 1, n) for i in range(n)]
    return KnowledgeGraph([f"name:{i:02d}" for i in range(n + 1)], ["next", "of"], np.array(sorted(triples)))


def test_negatives_change_the_side_with_fewer_answers_more_often():
    share = transe.corrupt_heads(chain(30))
    assert share[0] == 0.5
    assert share[1] == pytest.approx(1 / (1 + 30))  # one tail a head, thirty heads a tail: a random head is true


def test_transe_ranks_true_tails_before_others():
    graph = chain()
    vectors = transe.embed(graph, 16, seed=0, epochs=200)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(31), atol=1e-5)
    assert torch.equal(vectors, transe.embed(graph, 16, seed=0, epochs=200))
    near = [float((vectors[i] - vectors[i + 1]).abs().sum()) for i in range(29)]
    far = [float((vectors[i] - vectors[(i + 15) % 30]).abs().sum()) for i in range(29)]
    assert np.mean(near) < np.mean(far)


def test_a_graph_without_a_triple_has_vectors():
    graph = KnowledgeGraph(["place:lung"], [], np.zeros((0, 3), dtype=np.int64))
    assert transe.embed(graph, 4, seed=0).shape == (1, 4)


# --- tokens and masks --------------------------------------------------------------------------------


def test_spans_in_tokens_are_those_of_the_tokenizer():
    tower = load_towers("phenolip-tiny", 64, 32).text
    text = "Does the image show hepatosplenomegaly and a left-sided pleural effusion?"
    cut = tokenise(tower, [text, "x"], 32)
    for word in ("hepatosplenomegaly", "pleural effusion", "left-sided"):
        start = text.index(word)
        first, last = cut.tokens_of(0, start, start + len(word))
        assert tower.tokenizer.decode(cut.ids[0, first:last]).replace(" - ", "-") == word
    assert cut.tokens_of(1, 40, 50) == (0, 0)
    assert cut.lengths[1] == 3


def test_a_text_of_ten_thousand_words_is_cut():
    tower = load_towers("phenolip-tiny", 64, 32).text
    cut = tokenise(tower, ["heart " * 10_000 + "spleen", ""], 32)
    assert cut.ids.shape == (2, 32)
    assert cut.tokens_of(0, 60_000, 60_006) == (0, 0)


def masked(whole, seed, share=0.3, of=20, spans=((2, 5), (5, 6), (9, 12))):
    ids = np.arange(100, 124)
    options = {"share": share, "whole": whole, "of": of, "mask_id": 1, "others": np.array([7])}
    return ids, mask(ids, 20, list(spans), **options, random=np.random.default_rng(seed))


def test_entities_are_hidden_whole_and_told_by_nothing():
    hidden = 0
    for seed in range(200):
        ids, found = masked(True, seed)
        for (start, end), gone in zip(((2, 5), (5, 6), (9, 12)), found.hidden, strict=True):
            assert (found.labels[start:end] != IGNORED).all() == gone
            assert (found.labels[start:end] != IGNORED).any() == gone
            hidden += gone
        assert found.labels[0] == found.labels[19] == IGNORED
        assert (found.labels[20:] == IGNORED).all()
        where = found.labels != IGNORED
        assert np.array_equal(found.labels[where], ids[where])
        assert np.array_equal(found.ids[~where], ids[~where])
        assert 6 <= where.sum() <= 6 + 2  # the last unit may go beyond the budget
    assert hidden > 100


def test_single_tokens_are_hidden_where_nothing_is_learned_with_knowledge():
    cut = 0
    for seed in range(100):
        _, found = masked(False, seed)
        assert not found.hidden.any()
        assert (found.labels != IGNORED).sum() == 6
        cut += 0 < (found.labels[2:5] != IGNORED).sum() < 3
    assert cut > 20


def test_the_budget_is_of_the_texts_own_length_or_of_the_padded_one():
    sums = [sum((masked(False, s, 0.15, of)[1].labels != IGNORED).sum() for s in range(20)) for of in (20, 64)]
    assert sums == [20 * 3, 20 * 10]


def test_hidden_tokens_are_masked_exchanged_or_kept_as_in_bert():
    kinds = np.zeros(3)
    for seed in range(600):
        ids, found = masked(False, seed)
        where = found.labels != IGNORED
        kinds += [(found.ids[where] == 1).sum(), (found.ids[where] == 7).sum(), (found.ids[where] == ids[where]).sum()]
    assert np.allclose(kinds / kinds.sum(), [0.8, 0.1, 0.1], atol=0.02)


def examples(n_images=6, n=12, t=6, seed=0):
    """Images that show a number, and texts that name its entity: text ``k`` names entity ``k``."""
    random = np.random.default_rng(seed)
    images = random.normal(size=(n_images, 1 + SMALL.cells**2, IMAGE)).astype(np.float16)
    entities = np.full((n_images, SMALL.entities), NONE)
    entities[:, 0] = np.arange(n_images)
    entities[-1] = NONE  # a text without entities
    spans = np.zeros((n_images, SMALL.entities, 2), dtype=np.int64)
    spans[:-1, 0] = (1, 3)
    texts = Texts(
        random.normal(size=(n_images, t, TEXT)).astype(np.float16),
        random.integers(5, 20, size=(n_images, t)),
        np.array([4, 5, 6, 4, 5, 3])[:n_images],
        entities,
        spans,
    )
    return Examples(images, texts, np.arange(n) % n_images, np.arange(n) % n_images)


def test_words_are_of_no_token_that_stands_for_a_text():
    made = examples().texts
    made.ids[:, 0] = 101
    made.ids[np.arange(6), made.lengths - 1] = 102
    wanted = {int(token) for row, length in zip(made.ids, made.lengths, strict=True) for token in row[1 : length - 1]}
    assert words_of(made).tolist() == sorted(wanted)
    assert not wanted & {101, 102}


def test_inputs_are_padded_to_the_longest_and_mark_spans():
    made = examples().inputs(np.array([0, 3, 5]))
    assert made["text"].shape == (3, 4, TEXT)
    assert made["text_mask"].sum(1).tolist() == [4, 4, 3]
    assert made["spans"][0, 0].tolist() == [0, 1, 1, 0]
    assert made["spans"][2].sum() == 0
    gone = examples().texts.without(np.ones((6, SMALL.entities), dtype=bool)).inputs(np.array([0, 3]))
    assert (gone["entities"] == NONE).all()
    assert gone["spans"].sum() == 0


# --- training ----------------------------------------------------------------------------------------

OVER = {
    "arl.batch_size": 4, "arl.answer_batch_size": 4, "arl.learning_rate": 1e-2, "arl.answer_learning_rate": 1e-2,
    "training.checkpoint_steps": 2,
}  # fmt: skip


@pytest.fixture
def settings():
    return load_params(ROOT / "params.yaml").with_overrides(OVER)


def graph():
    triples = np.array([(i, 0, i + 1) for i in range(N_ENTITIES - 1)])
    return KnowledgeGraph([f"HP:{i}" for i in range(N_ENTITIES)], [IS_A], triples)


def fusion(seed=0):
    torch.manual_seed(seed)
    entities = EntityEncoder(SMALL, torch.randn(N_ENTITIES, SMALL.embedding), torch.from_numpy(graph().edges))
    return Fusion(SMALL, IMAGE, TEXT, entities)


def pretraining(settings, seed=0):
    own = examples()
    labels = np.full(own.texts.ids.shape, IGNORED)
    labels[:, 1] = np.arange(6)
    variants = [Masked(own.texts.without(own.texts.entities == i), labels) for i in range(2)]
    model = Pretext(fusion(), 8, IMAGE, align=True)
    return FusionPretraining(settings, own, variants, model, graph(), seed, Group(), CPU)


def answering(settings, seed=0):
    own = examples()
    torch.manual_seed(seed)
    model = Answering(fusion(), 6)
    return AnswerTraining(settings, own, np.arange(12) % 6, np.arange(12), model, seed, Group(), CPU)


class Quiet:
    def step(self, *_):
        pass

    line = close = step


class Killed(Exception):
    pass


@pytest.mark.parametrize("make", [pretraining, answering])
def test_a_run_that_was_killed_ends_with_the_same_bits(make, settings, tmp_path):
    def engine(folder):
        return Engine(make(settings), 3, 2, settings.training, Group(), CPU, Checkpoints(folder))

    whole = engine(tmp_path / "whole")
    history = whole.fit(Quiet())
    first = engine(tmp_path / "killed")
    take, taken = first._take, []

    def dies(step):
        if len(taken) == 5:
            raise Killed
        taken.append(step)
        return take(step)

    first._take = dies
    with pytest.raises(Killed):
        first.fit(Quiet())
    second = engine(tmp_path / "killed")
    assert second.resume() == 4
    assert second.fit(Quiet()) == history
    for name, value in whole.task.module.state_dict().items():
        assert torch.equal(value, second.task.module.state_dict()[name]), name


@pytest.mark.parametrize("make", [pretraining, answering])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(make, settings):
    found = []
    for parts in (1, 2):
        own = make(settings.with_overrides({"training.accumulation": parts}))
        for module in own.module.modules():  # dropout differs between parts
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0
        own.module.eval()
        engine = Engine(own, 1, 1, settings.training, Group(), CPU)
        terms = engine._step(next(own.steps(0, 0)))
        found.append((terms["loss"], {n: p.grad for n, p in own.module.named_parameters() if p.grad is not None}))
    (loss, whole), (same, parted) = found
    assert torch.allclose(loss, same, atol=1e-5)
    assert whole.keys() == parted.keys()
    for name in whole:
        assert torch.allclose(whole[name], parted[name], atol=1e-4), name


def test_a_model_without_a_graph_is_pretrained_on_texts_that_name_entities(settings):
    own = examples()
    labels = np.full(own.texts.ids.shape, IGNORED)
    model = Pretext(Fusion(SMALL, IMAGE, TEXT), 8, IMAGE, align=True)
    task = FusionPretraining(settings, own, [Masked(own.texts, labels)], model, None, 0, Group(), CPU)
    history = Engine(task, 1, 1, settings.training, Group(), CPU).fit(Quiet())
    assert {"mlm", "mim", "itm"} <= history[0].keys()
    assert "align" not in history[0]


def test_half_of_a_batch_gets_another_image_and_near_ones_share_phenotypes(settings):
    own = pretraining(settings)
    rows = np.array([0, 1, 2, 3])
    other, is_match = own._mismatch(rows, np.random.default_rng(0))
    assert is_match.sum() == 2
    changed = is_match == 0
    assert (own.examples.image_rows[other[changed]] != own.examples.image_rows[rows[changed]]).all()
    near = pretraining(settings.with_overrides({"arl.mismatches": "near"}))
    for seed in range(20):
        other, is_match = near._mismatch(np.array([0, 3, 4]), np.random.default_rng(seed))
        wrong = int(np.flatnonzero(is_match == 0)[0])
        # Above entity i are i + 1 and so on: 3 and 4 share most; the nearest to 0 is 3.
        assert (wrong, int(other[wrong])) in {(0, 3), (1, 4), (2, 3)}


def test_a_head_starts_at_the_frequencies_of_answers(settings):
    own = examples()
    answers = np.array([0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 5])
    torch.manual_seed(0)
    for model in (Answering(fusion(), 6), Plain("linear", IMAGE, TEXT, 6)):
        AnswerTraining(settings, own, answers, np.arange(12), model, 0, Group(), CPU)
        last = model.head if isinstance(model.head, torch.nn.Linear) else model.head[-1]
        counts = np.array([8, 2, 1, 0, 0, 1]) + 1
        assert torch.allclose(last.bias.sigmoid(), torch.tensor(counts / (counts.sum() + 1)).float(), atol=1e-6)


def test_answers_are_learned_and_unknown_ones_are_not_trained_on(settings):
    answers = np.arange(12) % 6
    own = answering(settings)
    Engine(own, 40, 2, settings.training, Group(), CPU).fit(Quiet())
    assert (predict(own.module, own.examples, np.arange(12)).argmax(1) == answers).all()
    answers[:2] = NO_ANSWER
    less = AnswerTraining(settings, own.examples, answers, np.arange(12), own.module, 0, Group(), CPU)
    assert less.rows.tolist() == list(range(2, 12))
    with pytest.raises(PhenoLIPError, match="1 training questions with a known answer"):
        AnswerTraining(settings, own.examples, answers, np.array([0, 5]), own.module, 0, Group(), CPU)


# --- questions ---------------------------------------------------------------------------------------


def table():
    return pd.DataFrame(
        {
            "question_id": ["vqa-rad/1", "vqa-rad/1/frame", "vqa-rad/2", "vqa-rad/3"],
            "image_id": ["a", "a", "b", "c"],
            "split": ["test", "train", "train", "train"],
            "answer": ["Yes", "yes", "The liver", "2 masses"],
            "closed": [True, True, False, False],
            "kind": ["pres", "pres", "organ", "count"],
            "fold": [0, 0, 1, 1],
        }
    )


def test_folds_keep_images_apart_and_ask_no_reworded_question():
    found = splits_of(table(), "vqa-rad")
    assert list(found) == ["vqa-rad", "vqa-rad-fold0", "vqa-rad-fold1"]
    train, test = found["vqa-rad-fold0"]
    assert test.tolist() == [True, False, False, False]
    assert train.tolist() == [False, False, True, True]
    for train, test in list(found.values())[1:]:
        assert not set(table()["image_id"][train]) & set(table()["image_id"][test])


def test_the_vocabulary_is_of_training_answers_alone():
    own = table().assign(split=["test", "test", "train", "train"])
    assert vocabulary(own) == ["2 masses", "liver"]


def test_scores_are_of_all_closed_open_and_each_kind():
    own = table()
    found = score(own, ["yes", "no", "liver", "unknown"], ["yes", "yes", "liver", "2 masses"], "set").metrics()
    assert found["set"] == {OVERALL: 0.5, CLOSED: 0.5, OPEN: 0.5}
    assert {name: own[KIND] for name, own in found.items() if name != "set"} == {
        "set: count": 0.0, "set: organ": 1.0, "set: pres": 0.5,
    }  # fmt: skip


def test_cases_that_are_asked_about_leave_the_pretraining():
    records = [f"medpix-2.0/MPX{case}_synpic{n}" for case, n in ((1, 11), (1, 12), (2, 13), (3, 14), (4, 15), (5, 16))]
    groups = [name.split("_")[0] for name in records]
    pairs = pd.DataFrame({"pair_id": records, "image": [f"{name}.jpg" for name in records], "group": groups})
    left_out = pd.DataFrame(
        {
            "record_id": ["medpix-2.0/MPX4_synpic99", "medpix-2.0/MPX6_synpic98", "chula/x"],
            "reason": ["a chart", "duplicate of medpix-2.0/MPX3_synpic14", "neither caption nor label"],
        }
    )
    ids = ["vqa-rad/synpic12", "own/synpic13", "vqa-rad/synpic99", "vqa-med-2019/synpic98"]
    asked = pd.DataFrame({"image_id": ids, "dataset": [name.split("/")[0] for name in ids]})
    assert without_asked(pairs, left_out, asked)["pair_id"].tolist() == [records[2], records[5]]


def test_each_question_is_shown_another_image():
    images = np.array([3, 3, 5, 7, 7, 7])
    for seed in range(20):
        found = others(images, np.random.default_rng(seed))
        assert (found != images).all()
        assert len(set(zip(images, found, strict=True))) == 3
    assert others(np.array([4, 4]), np.random.default_rng(0)).tolist() == [4, 4]


def test_folds_judge_the_methods_that_are_named_and_the_majority(params, tmp_path, monkeypatch):
    table = pd.DataFrame({"split": ["train", "test"], "fold": [0, 1], "question_id": ["a", "b"]})
    stub = SimpleNamespace(sets={"slake": table.drop(columns="fold"), "vqa-rad": table}, device=CPU)
    monkeypatch.setattr(arl, "Arl", lambda *_: stub)
    monkeypatch.setattr(arl, "facts", lambda own: {})
    asked = []
    monkeypatch.setattr(arl.side_by_side, "run", lambda work, jobs, *_: asked.extend(jobs) or ())
    run = {"arl.run.open": ["arl", "m3ae", "answers_plain"], "arl.cross_validated": ["arl", "answers_linear"]}
    arl.run(params.with_overrides(run | {"seeds": [0]}), "open", Paths(ROOT), tmp_path / "results")
    by_split = {}
    for _, _, split, method, _ in (job for job in asked if len(job) == 5):
        by_split.setdefault(split, []).append(method)
    every, folds = ["arl", "m3ae", "answers_plain", "majority"], ["arl", "majority"]
    assert by_split == {"slake": every, "vqa-rad": every, "vqa-rad-fold0": folds, "vqa-rad-fold1": folds}


class Asked:
    """What `ask` needs of a source, with the packaged towers and a model that learned nothing."""

    def __init__(self, onto):
        self.onto, self.config = onto, load_config("arl-tiny")
        self.reader = Reader(self.config, CPU, 1, None)
        self.linker = Linker(onto)
        self.graph = knowledge.build(onto, [self.linker("splenomegaly")], self.linker)
        vectors = torch.randn(len(self.graph.entities), self.config.embedding)
        entities = EntityEncoder(self.config, vectors, torch.from_numpy(self.graph.edges))
        self.model = Answering(Fusion(self.config, *self.reader.widths, entities), 3)


def test_a_question_of_ones_own_is_answered(toy, tmp_path):
    own, words = Asked(toy), ["yes", "no", "spleen"]
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)).save(tmp_path / "a.png")
    found = ask(own, own.model, words, tmp_path / "a.png", "Is there a large spleen?")
    assert sorted(word for word, _ in found.answers) == sorted(words)
    assert [p for _, p in found.answers] == sorted((p for _, p in found.answers), reverse=True)
    assert found.entities == ["Splenomegaly"]
    assert found.read.shape == (own.config.cells, own.config.cells)
    assert overlay(tmp_path / "a.png", found.read).size == (80, 60)
    again = ask(own, own.model, words, tmp_path / "a.png", "large spleen " * 10_000)
    assert set(again.entities) == {"Splenomegaly"}
    assert ask(own, own.model, words, tmp_path / "a.png", "Why?").entities == []


def test_what_cannot_be_asked_is_one_line(toy, tmp_path):
    own = Asked(toy)
    (tmp_path / "text.png").write_text("no image")
    for image, question, said in (
        ("text.png", "Why?", r"text\.png: "),
        ("none.png", "Why?", r"none\.png: image file is absent"),
        ("text.png", "?!", "the question has no words"),
    ):
        with pytest.raises(PhenoLIPError, match=said):
            ask(own, own.model, ["yes"], tmp_path / image, question)


def test_a_token_table_finds_nothing_in_an_empty_text():
    cut = TokenIds([""], np.zeros((1, 4), dtype=int), np.array([2]), np.zeros((1, 4, 2), dtype=int))
    assert cut.tokens_of(0, 0, 0) == (0, 0)
