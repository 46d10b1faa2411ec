"""Retrieval by the matching head against slow loops: scores of pairs, ranks, re-ranking, and what they cost."""

import dataclasses

import numpy as np
import pytest
import torch

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.metrics import TIE
from phenolip_lib.evaluation.reranking import first, reranked, score_ranks
from phenolip_lib.experiments.matching_head import (
    DUAL,
    HEAD,
    I2T,
    RERANKED,
    ROUNDING,
    T2I,
    pair_scores,
    ranked,
    recalls,
)
from phenolip_lib.models.fusion.model import NONE, Fusion
from phenolip_lib.models.fusion.pretext import Pretext
from phenolip_lib.training.arl.inputs import Examples, Texts
from tests.test_fusion import IMAGE, SMALL, TEXT, model

N_IMAGES, N_TEXTS = 9, 8


def pretext(knows=True):
    torch.manual_seed(1)
    return Pretext(model(seed=3, knows=knows), 8, IMAGE, align=False)


def examples(seed=0, pairs=((0, 0), (1, 1), (2, 1), (3, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 4))):
    """Texts of several lengths, with and without entities; texts 1 and 4 are of two images, image 3 has two texts."""
    random = np.random.default_rng(seed)
    lengths = np.array([4, 6, 3, 5, 6, 3, 4, 5])
    entities = np.full((N_TEXTS, SMALL.entities), NONE)
    entities[::2, 0], entities[4, 1] = random.integers(0, 9, 4), 8
    spans = np.zeros((N_TEXTS, SMALL.entities, 2), dtype=np.int64)
    spans[::2, 0], spans[4, 1] = (1, 3), (3, 5)
    states = random.normal(size=(N_TEXTS, 7, TEXT)).astype(np.float16)
    texts = Texts(states, random.integers(5, 20, (N_TEXTS, 7)), lengths, entities, spans)
    images = random.normal(size=(N_IMAGES, 1 + SMALL.cells**2, IMAGE)).astype(np.float16)
    image_rows, text_rows = np.array(pairs).T
    return Examples(images, texts, image_rows, text_rows)


def one(own, ex, image, text):
    """Log odds of one pair, read alone."""
    alone = dataclasses.replace(ex, image_rows=np.array([image]), text_rows=np.array([text])).inputs(np.array([0]))
    with torch.no_grad():
        no, yes = own.matching(own.fusion.eval()(**alone))[0].double().softmax(0).tolist()
    return np.log(yes / no)


def slow_rank(scores, correct, tie):
    best = max((s for s, true in zip(scores, correct, strict=True) if true), default=None)
    if best is None:
        return 0
    return 1 + sum(s >= best - tie for s, true in zip(scores, correct, strict=True) if not true)


def slow_reranked(dual, scores, correct, k):
    """Take the first k of a list, the wrong ones of equals first, and put them into a new order."""
    listed = sorted(range(len(dual)), key=lambda j: (-(dual[j] - TIE * correct[j]), correct[j]))
    head = listed[:k]
    if any(correct[j] for j in head):
        return slow_rank([scores[j] for j in head], [correct[j] for j in head], TIE)
    return slow_rank(dual, correct, TIE)


# --- scores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("knows", [True, False])
def test_scores_are_those_of_each_pair_read_alone(knows, batch):
    own, ex = pretext(knows), examples()
    images, texts = (rows.ravel() for rows in np.meshgrid(np.arange(N_IMAGES), np.arange(N_TEXTS)))
    found = pair_scores(own, ex, images, texts, batch=batch)
    wanted = [one(own, ex, i, j) for i, j in zip(images, texts, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.std(found) > 0.01


def test_scores_have_the_order_of_the_pairs():
    own, ex = pretext(), examples()
    images, texts = np.array([5, 0, 5, 2]), np.array([1, 7, 1, 2])
    found = pair_scores(own, ex, images, texts)
    np.testing.assert_allclose(found, pair_scores(own, ex, images[::-1].copy(), texts[::-1].copy())[::-1], atol=1e-5)
    assert found[0] == found[2]


def test_each_image_and_each_text_goes_in_once_and_the_model_is_left_as_it_was():
    own, ex = pretext(), examples()
    before, counts = own.fusion.tokens, {}

    def count(name):
        return lambda module, args, out: counts.__setitem__(name, counts.get(name, 0) + len(out))

    hooks = [
        own.fusion.image_in.register_forward_hook(count("images")),
        own.fusion.text_in.register_forward_hook(count("texts")),
        own.matching.register_forward_hook(count("pairs")),
    ]
    ranked(own, ex)
    for hook in hooks:
        hook.remove()
    assert counts == {"images": N_IMAGES, "texts": N_TEXTS, "pairs": N_IMAGES * N_TEXTS}
    assert own.fusion.tokens == before
    assert type(own.fusion) is Fusion


def test_a_model_that_diverged_is_named():
    own = pretext()
    with torch.no_grad():
        own.matching.bias.fill_(torch.nan)
    with pytest.raises(PhenoLIPError, match="the matching head gives numbers that are not finite; train it"):
        ranked(own, examples())


# --- ranks -------------------------------------------------------------------------------------------


def drawn(seed, levels):
    """Scores with many ties, a second list with others, and what is correct: some rows have nothing."""
    random = np.random.default_rng(seed)
    shape = random.integers(1, 9, 2)
    dual, scores = (random.integers(0, levels, shape) / levels for _ in range(2))
    return dual, scores, random.random(shape) < 0.3


@pytest.mark.parametrize("seed", range(40))
def test_ranks_and_re_ranked_ranks_are_those_of_loops(seed):
    dual, scores, correct = drawn(seed, 2 + seed % 5)
    before = score_ranks(dual, correct)
    assert before.tolist() == [slow_rank(*rows, TIE) for rows in zip(dual, correct, strict=True)]
    for k in (1, 2, 3, 5, 100):
        chosen = first(dual, correct, k)
        assert (chosen.sum(axis=1) == min(k, dual.shape[1])).all()
        found = reranked(scores, chosen, correct, before)
        assert found.tolist() == [slow_reranked(*rows, k) for rows in zip(dual, scores, correct, strict=True)]


@pytest.mark.parametrize("seed", range(10))
def test_a_correct_item_is_among_the_first_k_where_the_rank_says_so(seed):
    dual, _, correct = drawn(seed, 3)
    rank = score_ranks(dual, correct)
    for k in range(1, 9):
        assert ((first(dual, correct, k) & correct).any(axis=1) == ((rank > 0) & (rank <= k))).all()


def test_equal_scores_are_no_hit():
    correct = np.eye(5, dtype=bool)
    assert score_ranks(np.zeros((5, 5)), correct).tolist() == [5] * 5
    assert not (first(np.zeros((5, 5)), correct, 4) & correct).any()
    nearly = np.eye(5) * TIE / 2
    assert score_ranks(nearly, correct).tolist() == [5] * 5
    assert not (first(nearly, correct, 4) & correct).any()


# --- retrieval ---------------------------------------------------------------------------------------


def similarity(n):
    """With ties."""
    return np.random.default_rng(0).normal(size=(n, n)).round(1) / 10


def truth(ex):
    pairs = list(zip(ex.image_rows.tolist(), ex.text_rows.tolist(), strict=True))
    return np.array([[(i, j) in pairs for _, j in pairs] for i, _ in pairs])


@pytest.mark.parametrize("k", [1, 3, 100])
def test_the_table_is_that_of_loops_over_pairs_and_duplicates_are_correct(k):
    own, ex = pretext(), examples()
    n, dual = len(ex), similarity(len(ex))
    scores = np.array([[one(own, ex, i, j) for j in ex.text_rows] for i in ex.image_rows]) / 10
    correct = truth(ex)
    assert correct.sum() == n + 2 + 2 + 2  # two captions of two images each, and an image with two captions
    lists = {
        I2T: [(dual[i], scores[i], correct[i]) for i in range(n)],
        T2I: [(dual[:, j], scores[:, j], correct[:, j]) for j in range(n)],
    }
    table = recalls(ranked(own, ex, dual, k)).set_index(["ranking", "direction"])
    assert list(table.index) == [(way, d) for way in (DUAL, RERANKED, HEAD) for d in (I2T, T2I)]
    for direction, rows in lists.items():
        ranks = {
            DUAL: [slow_rank(d, c, TIE) for d, _, c in rows],
            RERANKED: [slow_reranked(d, s, c, k) for d, s, c in rows],
            HEAD: [slow_rank(s, c, TIE) for _, s, c in rows],
        }
        for way, own_ranks in ranks.items():
            for top in (1, 5, 10):
                wanted = np.mean([rank <= top for rank in own_ranks])
                assert table.loc[(way, direction), f"recall@{top}"] == pytest.approx(wanted), (way, direction, top)
    assert (table["queries"] == n).all()


def test_passes_are_the_distinct_pairs_that_are_read():
    own, ex = pretext(), examples()
    dual, counted = np.random.default_rng(0).normal(size=(len(ex), len(ex))), []
    hook = own.matching.register_forward_hook(lambda module, args, out: counted.append(len(out)))
    table = recalls(ranked(own, ex, dual, 2, all_pairs=False)).set_index(["ranking", "direction"])["passes"]
    hook.remove()
    assert {way for way, _ in table.index} == {DUAL, RERANKED}
    order = {I2T: np.argsort(-dual, axis=1), T2I: np.argsort(-dual.T, axis=1)}
    read = {
        I2T: {(ex.image_rows[i], ex.text_rows[j]) for i in range(len(ex)) for j in order[I2T][i, :2]},
        T2I: {(ex.image_rows[i], ex.text_rows[j]) for j in range(len(ex)) for i in order[T2I][j, :2]},
    }
    assert table[DUAL].tolist() == [0, 0]
    assert table[RERANKED].to_dict() == {direction: len(own) for direction, own in read.items()}
    assert sum(counted) == len(read[I2T] | read[T2I])


def test_what_the_head_tells_of_all_pairs_and_of_a_list_of_all_is_the_same():
    own, ex = pretext(), examples()
    table = recalls(ranked(own, ex, similarity(len(ex)), k=len(ex))).set_index("ranking")
    assert table.loc[RERANKED].reset_index(drop=True).equals(table.loc[HEAD].reset_index(drop=True))
    alone = recalls(ranked(own, ex, all_pairs=False))
    assert alone.set_index("ranking").equals(table.loc[[HEAD]])
    few = recalls(ranked(own, ex, similarity(len(ex)), 3, all_pairs=False))
    assert few.equals(recalls(ranked(own, ex, similarity(len(ex)), 3))[:4])


def test_a_head_that_says_the_same_of_all_pairs_finds_nothing():
    own, ex = pretext(), examples()
    torch.nn.init.zeros_(own.matching.weight)
    for one_way, correct in zip(ranked(own, ex), (truth(ex), truth(ex).T), strict=True):
        assert one_way.ranks.tolist() == (1 + (~correct).sum(axis=1)).tolist()


def test_the_same_image_under_two_names_is_a_tie_and_no_hit():
    own, ex = pretext(), examples()
    ex.images[1] = ex.images[0]
    ranks = {one_way.direction: one_way.ranks for one_way in ranked(own, ex)}
    assert ranks[T2I][0] > 1  # text 0 is of image 0 alone
    scores = pair_scores(own, ex, np.array([0, 1]), np.array([0, 0]), batch=1)
    assert scores[0] == pytest.approx(scores[1], abs=ROUNDING)


def test_two_images_with_one_caption_are_both_its_own():
    own, ex = pretext(), examples(pairs=[(0, 0), (1, 0)])
    assert recalls(ranked(own, ex))["recall@1"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"k": 0}, "k is 0; re-rank at least the first item"),
        ({"similarity": np.zeros((3, 10))}, r"similarity is \(3, 10\) or not finite, for 10 examples; give a row"),
        ({"similarity": np.full((10, 10), np.nan)}, r"similarity is \(10, 10\) or not finite, for 10 examples"),
    ],
)
def test_what_cannot_be_ranked_is_one_line(options, said):
    with pytest.raises(PhenoLIPError, match=said) as error:
        ranked(pretext(), examples(), **options)
    assert "\n" not in str(error.value)


def test_no_pairs_are_one_line():
    empty = dataclasses.replace(examples(), image_rows=np.zeros(0, dtype=int), text_rows=np.zeros(0, dtype=int))
    with pytest.raises(PhenoLIPError, match="there are no pairs of image and text"):
        ranked(pretext(), empty)
