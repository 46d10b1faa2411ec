"""The term that names phenotypes: its loss against a loop, its names against the ontology, its parts and processes."""

import itertools
import math

import numpy as np
import pytest
import torch

from phenolip_lib.ontology import similarity
from phenolip_lib.training.distributed import Gathered
from phenolip_lib.training.names import NEVER, Names, NamesTerm, names_loss, positions
from tests.test_losses import share, unit

HEART, BIG, TURNED, BLOOD, ANEMIA, SPLEEN = (f"HP:000{n}" for n in (1627, 1640, 1651, 1871, 1903, 1744))
SHOWN = [[BIG], [TURNED, ANEMIA], [SPLEEN], [], [HEART], [BIG, SPLEEN]]


@pytest.fixture
def names(toy):
    ids = toy.phenotypes
    counts = 1 + np.arange(len(ids)) % 3
    strings = np.array([f"{hpo_id} {i}" for hpo_id, n in zip(ids, counts, strict=True) for i in range(n)])
    vectors = unit(len(strings), 8, 0).numpy()
    return Names(toy, ids, np.append(0, np.cumsum(counts)), strings, vectors, vectors, positions(ids, SHOWN, toy))


def term(names, params, rows=(0, 1, 2, 3), **over):
    p = params.with_overrides({f"stage2.names_{key}": value for key, value in over.items()}).stage2
    return NamesTerm(names, p, np.array(rows), 0, torch.device("cpu"))


def by_hand(names, toy, images, vectors, drawn, near):
    """Both directions by loops over pairs of an image and a name."""
    ids, similar = [names.ids[i] for i in drawn], {}
    scores = 5.0 * images @ vectors.T

    def weight(i, q):
        """Of a name among an image's negatives."""
        lowest = 1.0
        for own in SHOWN[i]:
            related = ids[q] in toy.ancestors(own) | toy.descendants(own)
            if ids[q] == own or (near != "negatives" and related):
                return 0.0
            if near == "softened":
                if own not in similar:
                    similar[own] = dict(zip(names.ids, similarity.lin(toy, [own], names.ids)[0], strict=True))
                lowest = min(lowest, max(1 - float(similar[own][ids[q]]), 1e-6))
        return lowest

    def nats(own, negatives):
        return -math.log(math.exp(own) / (math.exp(own) + sum(w * math.exp(s) for w, s in negatives)))

    n, m = range(len(SHOWN)), range(len(ids))
    forth, back = {}, {}
    for i, q in itertools.product(n, m):
        if ids[q] in SHOWN[i]:
            own = float(scores[i, q])
            forth.setdefault(i, []).append(nats(own, [(weight(i, r), float(scores[i, r])) for r in m]))
            back.setdefault(q, []).append(nats(own, [(weight(j, q), float(scores[j, q])) for j in n]))
    return sum(np.mean([np.mean(values) for values in side.values()]) for side in (forth, back)) / 2


@pytest.mark.parametrize("near", ["negatives", "masked", "softened"])
def test_the_loss_equals_a_loop(names, params, toy, near):
    images, vectors = unit(6, 8, 1), unit(len(names.ids), 8, 2)
    drawn = np.random.default_rng(0).permutation(len(names.ids))
    own = term(names, params, near=near)
    loss = own.loss(Gathered(images, images, 0), vectors[: len(drawn)], 5.0, np.arange(6), drawn)
    assert loss.item() == pytest.approx(by_hand(names, toy, images, vectors, drawn, near), rel=1e-5)


def test_relatives_count_only_as_negatives(names, params, toy):
    """An image of a large heart: the heart's anomaly is no negative, another anomaly of it is."""
    own = term(names, params, near="masked")
    row = own.discount[list(names.used).index(names.ids.index(BIG))]
    value = dict(zip(names.ids, row.tolist(), strict=True))
    assert value[BIG] == value[HEART] == NEVER
    assert value[TURNED] == value[ANEMIA] == 0


def test_shares_of_processes_give_the_loss_and_gradient_of_the_whole(names, params):
    drawn, found = np.arange(len(names.ids)), []
    own = term(names, params)
    for size in (1, 3):
        images, vectors = unit(6, 8, 1).requires_grad_(), unit(len(drawn), 8, 2).requires_grad_()
        parts = [
            own.loss(share(images, rank, size), vectors, torch.tensor(5.0), np.arange(6), drawn) for rank in range(size)
        ]
        loss = sum(parts) / size
        loss.backward()
        found.append((loss.detach(), images.grad, vectors.grad))
    for whole, shared in zip(*found, strict=True):
        torch.testing.assert_close(whole, shared)


@pytest.mark.parametrize("negatives", ["batch", "seen", "all"])
def test_names_of_a_step_are_the_batchs_and_then_those_of_the_pool(names, params, negatives):
    own, rows = term(names, params, negatives=negatives), np.array([1, 2])
    drawn, wording = own.draw(rows, 3, 4)
    ids = {names.ids[i] for i in drawn}
    pool = {"batch": set(), "seen": {BIG, TURNED, ANEMIA, SPLEEN}, "all": set(names.ids)}[negatives]
    assert ids == {TURNED, ANEMIA, SPLEEN} | pool
    assert len(ids) == len(drawn)
    assert [text.split()[0] for text in names.strings[wording]] == [names.ids[i] for i in drawn]
    again = own.draw(rows, 3, 4)
    assert all(np.array_equal(a, b) for a, b in zip((drawn, wording), again, strict=True))


def test_few_names_of_a_large_pool_change_from_step_to_step(names, params):
    own, rows = term(names, params, batch=4), np.array([1, 2])
    seen = {tuple(own.draw(rows, 0, step)[0]) for step in range(20)}
    assert {len(drawn) for drawn in seen} == {4}
    assert len(seen) > 1
    assert len(own.draw(rows, 0, 0)[0][:3]) == 3, "the batch's own names stay, however few are asked for"
    assert len(term(names, params, batch=1).draw(rows, 0, 0)[0]) == 3


def test_every_wording_is_drawn_at_times(names, params):
    own = term(names, params)
    seen = {text for step in range(60) for text in names.strings[own.draw(np.array([0]), 0, step)[1]]}
    assert seen == set(names.strings)


def test_images_without_a_phenotype_alone_have_no_loss_and_a_finite_gradient(names, params):
    images, vectors = unit(2, 8, 1).requires_grad_(), unit(3, 8, 2).requires_grad_()
    loss = term(names, params).loss(Gathered(images, images, 0), vectors, 5.0, np.array([3, 3]), np.arange(3))
    loss.backward()
    assert loss == 0
    assert torch.isfinite(images.grad).all()


def test_an_image_whose_every_name_is_a_relative_has_no_loss():
    images, vectors = unit(1, 8, 1).requires_grad_(), unit(1, 8, 2)
    shows, discount = torch.ones(1, 1, dtype=torch.bool), torch.full((1, 1), NEVER)
    loss = names_loss(Gathered(images, images, 0), vectors, 5.0, shows, discount)
    loss.backward()
    assert loss == 0
    assert torch.isfinite(images.grad).all()


def test_old_ids_are_those_of_the_live_terms(names, toy):
    assert [names.ids[i] for i in positions(names.ids, [["HP:0009999"]], toy)[0]] == [toy.resolve("HP:0009999")]
