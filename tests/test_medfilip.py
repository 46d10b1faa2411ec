"""MedFILIP's matrix and losses against loops, and a training run on a made source."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from phenolip_lib.core import systems
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models.features import text_features
from phenolip_lib.models.towers import load_towers
from phenolip_lib.recognition.findings.book import Book, Page, hpo_book
from phenolip_lib.recognition.findings.extract import Extraction, Finding, Location, Rules
from phenolip_lib.training.checkpoints import Checkpoints
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Engine
from phenolip_lib.training.medfilip import entries as made
from phenolip_lib.training.medfilip import losses, task
from phenolip_lib.training.medfilip.entries import NONE
from tests import training_case as case_of


def finding(category, polarity="present", severity="", hpo_id=None, family=False, place=""):
    location = Location(place)
    return Finding(category, hpo_id, location, severity, (), polarity, 0, 4, category, "", family)


def case(seed=0, n_entries=9, n_images=7, n_categories=3):
    rng = np.random.default_rng(seed)
    category = torch.from_numpy(rng.integers(n_categories, size=n_entries))
    denied = torch.from_numpy(rng.random(n_entries) < 0.5)
    labels = F.normalize(torch.from_numpy(rng.normal(size=(n_entries, 5))).float(), dim=1)
    weight = torch.from_numpy(rng.random((n_categories, n_categories))).float()
    weight = (weight + weight.T) / 2
    weight.fill_diagonal_(1.0)
    members = torch.full((n_images, 3), NONE)
    for row in range(n_images - 1):  # the last image has none
        own = rng.choice(n_entries, size=rng.integers(1, 4), replace=False)
        members[row, : len(own)] = torch.from_numpy(np.sort(own))
    columns = members[members != NONE]
    return members, columns, category, denied, weight, labels


def by_loop(members, columns, category, denied, weight, labels):
    found = torch.zeros(len(members), len(columns))
    for i, j in itertools.product(range(len(members)), range(len(columns))):
        column, forth, back = columns[j], 0.0, 0.0
        for a in members[i].tolist():
            if a == NONE:
                continue
            cosine = max(float(labels[a] @ labels[column]), 0.0)
            if denied[a] == denied[column]:
                forth = max(forth, float(weight[category[a], category[column]]) * cosine)
            elif category[a] == category[column]:
                back = max(back, cosine)
        found[i, j] = forth if forth > 0 else -back
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_matrix_is_that_of_the_formula_in_loops(seed):
    args = case(seed)
    matrix = losses.similarity_matrix(*args)
    torch.testing.assert_close(matrix, by_loop(*args))
    assert (matrix < 0).any()  # every draw denies what another image shows
    assert matrix.abs().max() <= 1 + 1e-6
    assert (matrix[-1] == 0).all()


def test_the_papers_matrix_is_the_one_without_denials_and_with_equal_categories():
    members, columns, category, _, _, labels = case()
    none = torch.zeros(len(category), dtype=torch.bool)
    matrix = losses.similarity_matrix(members, columns, category, none, torch.eye(3), labels)
    for i, j in itertools.product(range(len(members)), range(len(columns))):
        own = [a for a in members[i].tolist() if a != NONE and category[a] == category[columns[j]]]
        expected = max([0.0, *(float(labels[a] @ labels[columns[j]]) for a in own)])
        assert float(matrix[i, j]) == pytest.approx(expected, abs=1e-6)


def test_an_image_is_wholly_like_its_own_entries_and_hard_labels_are_those():
    members, columns, category, denied, weight, labels = case()
    hard = losses.own_entries(members, columns)
    for i, j in itertools.product(range(len(members)), range(len(columns))):
        assert hard[i, j] == (columns[j] in members[i])
    matrix = losses.similarity_matrix(members, columns, category, denied, weight, labels)
    torch.testing.assert_close(matrix[hard > 0], torch.ones(int(hard.sum())))


def test_a_report_that_says_both_is_taken_for_its_affirmation():
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    category, denied = torch.tensor([0, 0]), torch.tensor([False, True])
    members, columns = torch.tensor([[0, 1], [1, NONE], [0, NONE]]), torch.tensor([0, 1])
    matrix = losses.similarity_matrix(members, columns, category, denied, torch.eye(1), labels)
    assert matrix.tolist() == [[1, 1], [-1, 1], [1, -1]]


@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_loss_does_not_depend_on_the_order_of_the_batch(name):
    members, columns, category, denied, weight, labels = case()
    rng = np.random.default_rng(1)
    images = F.normalize(torch.from_numpy(rng.normal(size=(len(members), 5))).float(), dim=1)
    texts = F.normalize(torch.from_numpy(rng.normal(size=(len(category), 5))).float(), dim=1)
    scale, bias = torch.tensor(10.0), torch.tensor(-2.0)

    def loss(rows, order):
        target = losses.similarity_matrix(members[rows], columns[order], category, denied, weight, labels)
        return losses.LOSSES[name](images[rows] @ texts[columns[order]].T, target, scale, bias)

    plain = loss(torch.arange(len(members)), torch.arange(len(columns)))
    mixed = loss(torch.randperm(len(members)), torch.randperm(len(columns)))
    torch.testing.assert_close(plain, mixed)
    assert torch.isfinite(plain)


def test_the_losses_are_what_their_formulas_say():
    cosine = torch.tensor([[0.5, -0.2], [0.1, 0.9]], requires_grad=True)
    target = torch.tensor([[1.0, -0.4], [0.0, 0.8]])
    scale, bias = torch.tensor(4.0), torch.tensor(-1.0)
    z, soft = 4 * cosine, target.clamp(min=0)

    def entropy(logits):
        p = torch.sigmoid(logits)
        return -(soft * p.log() + (1 - soft) * (1 - p).log()).mean()

    torch.testing.assert_close(losses.released(cosine, target, scale, bias), ((z - soft) ** 2).mean() + entropy(z))
    torch.testing.assert_close(
        losses.cosine(cosine, target, scale, bias), ((cosine - target) ** 2).mean() + entropy(z - 1)
    )
    forth = -(z.log_softmax(1)[0, 0] + z.log_softmax(1)[1, 1]) / 2
    back = -(z.log_softmax(0)[0, 0] + z.log_softmax(0)[1, 1]) / 2
    torch.testing.assert_close(losses.soft_infonce(cosine, target, scale, bias), (forth + back) / 2)
    nothing = losses.soft_infonce(cosine, torch.zeros(2, 2), scale, bias)
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert torch.isfinite(cosine.grad).all()


def test_the_released_loss_fights_its_own_scale():
    """The fault named in the chapter: perfect cosines cost the more, the larger the scale."""
    perfect = torch.eye(4)
    costs = [float(losses.released(perfect, perfect, torch.tensor(s), torch.tensor(0.0))) for s in (1.0, 10.0, 50.0)]
    ours = [float(losses.cosine(perfect, perfect, torch.tensor(s), torch.tensor(-s / 2))) for s in (1.0, 10.0, 50.0)]
    assert costs == sorted(costs)
    assert ours == sorted(ours, reverse=True)


def test_entries_are_told_apart_by_text_and_polarity_and_all_findings_are_counted(params, full):
    book = Book({"cardiomegaly": Page("The heart is large.", "a file"), "nodule": Page("A round spot.", "a file")})
    p = params.medfilip.model_copy(update={"book": True, "book_in_labels": False, "denied": "opposed"})
    said = [
        Extraction((finding("cardiomegaly", severity="mild"), finding("cardiomegaly", severity="mild"))),
        Extraction((finding("cardiomegaly", "absent"), finding("nodule", "uncertain"), finding("nodule", family=True))),
        Extraction(),
        Extraction((finding("other", hpo_id=None), finding("cardiomegaly", severity="mild"))),
    ]
    found = made.build(said, full, book, p)
    assert found.strings.tolist() == [
        "mild cardiomegaly. The heart is large.",
        "no cardiomegaly. The heart is large.",
        "other",
    ]
    assert found.labels.tolist() == ["mild cardiomegaly", "cardiomegaly", "other"]
    assert found.denied.tolist() == [False, True, False]
    assert found.category[0] == found.category[1] != found.category[2]
    assert found.members.tolist() == [[0, NONE], [1, NONE], [NONE, NONE], [0, 2]]
    assert found.counts == {"denied": 1, "doubted": 1, "of a relative": 1, "pairs without an entry": 1, "present": 4}
    dropped = made.build(said, full, book, p.model_copy(update={"denied": "dropped", "book": False}))
    assert dropped.strings.tolist() == ["mild cardiomegaly", "other"]
    assert dropped.counts["denied and dropped"] == 1


def test_near_categories_are_alike_by_lin_and_equal_ones_wholly(params, full):
    ids = ["HP:0001640", "HP:0001638", "HP:0000505"]
    said = [Extraction(tuple(finding(full[i].name.lower(), hpo_id=i) for i in ids) + (finding("scar"),))]
    lin = made.build(said, full, Book({}), params.medfilip.model_copy(update={"likeness": "lin"}))
    heart, muscle, sight, scar = lin.category
    assert lin.weight.diagonal().tolist() == [1.0] * 4
    assert 0 < lin.weight[heart, muscle] < 1
    assert lin.weight[heart, sight] < lin.weight[heart, muscle]
    assert lin.weight[scar].sum() == 1
    plain = made.build(said, full, Book({}), params.medfilip.model_copy(update={"likeness": "category"}))
    assert (plain.weight == np.eye(4)).all()


def test_an_extraction_comes_back_from_its_row(full):
    text = "Mild cardiomegaly. No left pleural effusion. Possible nodule in the right upper lobe."
    found = Rules(full).extract(text)
    assert len(found.findings) >= 3
    assert Extraction.of_row(found.row("a")) == found


def test_categories_of_several_words_keep_their_sentence(params, full):
    """The released code takes an entry's last word for its category and finds no sentence for 'pleural effusion'."""
    book = hpo_book(full)
    said = Rules(full)(["Mild left pleural effusion."])
    found = made.build(said, full, book, params.medfilip.model_copy(update={"book": True}))
    assert found.strings[0].endswith(
        "pleural effusion. The presence of an excessive amount of fluid in the pleural cavity."
    )


# --- a run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("filip")
    case_of.make(place)
    return place


def entry_data(folder, settings, data, without=()):
    """Two categories, of which each picture shows the one that its caption names; some deny the other."""
    n, texts = len(data.pairs), ["spleen", "large heart", "no large heart"]
    spleen = data.pairs["caption"].str.contains("spleen").to_numpy()
    members = np.full((n, 2), NONE)
    members[:, 0] = np.where(spleen, 0, 1)
    members[spleen & (np.arange(n) % 2 == 0), 1] = 2
    members[list(without)] = NONE
    found = made.Entries(
        np.array(texts, dtype=object),
        np.array(["spleen", "large heart", "large heart"], dtype=object),
        np.array([0, 1, 1]),
        np.array([False, False, True]),
        np.eye(2, dtype=np.float32),
        members,
        {},
    )
    towers = load_towers(settings.encoders.student, settings.encoders.image_size, settings.encoders.context_length)
    return task.prepare(found, lambda own: text_features(towers.text, own))


def trained(folder, over=None, state=None, without=(), stop=None):
    settings = case_of.params(folder, {"stage2.lambda_kd": 0.0} | (over or {}))
    data = case_of.data(folder, settings)
    found = entry_data(folder, settings, data, without)
    model, history = task.train(
        settings, data, found, 0, group=Group(), device=torch.device("cpu"), checkpoints=Checkpoints(state)
    )
    return model, history, data


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_student_learns_which_entries_its_images_have(folder, loss):
    model, history, data = trained(folder, {"medfilip.loss": loss, "stage2.epochs": 40, "stage2.learning_rate": 0.01})
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    texts = text_features(
        model.towers.text, ["spleen", "large heart"]
    )  # the toy tower tells texts apart by their length
    scores = model.embed_images(data.images) @ model.embed_texts(texts).T
    spleen = data.pairs["caption"].str.contains("spleen").to_numpy()
    gap = scores[:, 0] - scores[:, 1]
    assert gap[spleen].mean() > gap[~spleen].mean()


def test_a_run_goes_on_from_its_checkpoint_with_the_same_bits(folder, tmp_path, monkeypatch):
    over = {"training.checkpoint_steps": 1}
    whole, *_ = trained(folder, over)
    take, calls = Engine._step, []

    def step(self, batch):
        calls.append(self.step_number)
        if self.step_number == 3 and len(calls) == 4:
            raise KeyboardInterrupt
        return take(self, batch)

    monkeypatch.setattr(Engine, "_step", step)
    with pytest.raises(KeyboardInterrupt):
        trained(folder, over, tmp_path)
    again, *_ = trained(folder, over, tmp_path)
    assert calls.count(0) == 1
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_parts_of_a_batch_give_its_gradients(folder):
    one, *_ = trained(folder)
    parts, *_ = trained(folder, {"training.accumulation": 4})
    for key, value in one.state_dict().items():
        torch.testing.assert_close(value, parts.state_dict()[key], rtol=1e-4, atol=1e-5)


def test_images_without_entries_teach_nothing_and_too_few_with_one_are_refused(folder):
    model, history, _ = trained(folder, without=range(0, 16))
    assert np.isfinite(history["loss"]).all()
    with pytest.raises(PhenoLIPError, match="1 training pairs whose caption tells a finding"):
        trained(folder, without=range(1, 24))


def test_what_a_method_may_not_change_changes_nothing(folder):
    """`systems.UNREAD` is what the training does not read, so that no method is trained twice under two names."""
    other = {
        "stage2.shared_phenotypes": "negatives",
        "stage2.validations": 3,
        "stage2.kd_texts": "captions",
        "stage2.kd_ontology_batch": 7,
        "stage2.names_negatives": "batch",
        "stage2.names_batch": 7,
        "stage2.names_near": "negatives",
        "stage2.names_embedder": "teacher",
        "stage2.names_wordings": ["synonym"],
    }
    assert other.keys() | systems.ALONE.keys() == systems.UNREAD
    one, *_ = trained(folder)
    two, *_ = trained(folder, other)
    for key, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[key]), key


def test_methods_may_change_what_is_theirs_and_no_term_of_stage_2_is_left(params):
    assert params.filip("filip").stage2.lambda_kd == 0
    for key, value in (("stage1.epochs", 3), ("medfilip.beside", ["clip"]), ("evaluation.split_seed", 1)):
        methods = params.medfilip.methods | {"x": {key: value}}
        with pytest.raises(PhenoLIPError, match=f"may not change '{key}'"):
            params.with_overrides({"medfilip.methods": methods}).filip("x")
    with pytest.raises(PhenoLIPError, match="did you mean 'filip'"):
        params.filip("filp")
    with pytest.raises(PhenoLIPError, match="medfilip.beside names 'clp'"):
        params.with_overrides({"medfilip.beside": ["clp"]})
    for run in ({"phantom": ["filp"]}, {}):
        with pytest.raises(PhenoLIPError, match=r"medfilip\.run\.phantom names"):
            params.with_overrides({"medfilip.run": run})
