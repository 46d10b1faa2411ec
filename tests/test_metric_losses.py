"""The losses of stage 1 against double loops over their formulas, split between processes, and at their limits."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from phenolip_lib.training.distributed import Gathered
from phenolip_lib.training.metric_losses import METRIC_LOSSES, adasp, kad, two_view

SCALE = 1 / 0.04


def unit(concepts, k, dim=8, seed=0, spread=0.7):
    """Texts of each concept around a direction of its own, ``(concepts * k, dim)``, float64."""
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(concepts, 1, dim, generator=g, dtype=torch.float64)
    texts = centre + spread * torch.randn(concepts, k, dim, generator=g, dtype=torch.float64)
    return F.normalize(texts.reshape(concepts * k, dim), dim=-1)


def weights(concepts, seed=1):
    """Symmetric, with masked, softened and plain negatives and 0 on the diagonal, as 1 - Lin has it."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.choice([0.0, 0.3, 0.8, 1.0], size=(concepts, concepts)), 1)
    return torch.from_numpy(upper + upper.T)


def alone(x):
    return Gathered(x, x, 0)


def share(x, rank, size):
    own = len(x) // size
    return Gathered(x[rank * own : (rank + 1) * own], x, rank * own)


# --- the formulas as plain sums ---------------------------------------------------------------------


def naive_two_view(x, k, scale, w):
    n, total = len(x), 0.0
    for i in range(n):
        below = 0.0
        for j in range(n):
            if j != i:
                below += (1.0 if i // k == j // k else w[i // k][j // k]) * math.exp(scale * float(x[i] @ x[j]))
        for j in range(n):
            if j != i and i // k == j // k:
                total -= math.log(math.exp(scale * float(x[i] @ x[j])) / below) / (k - 1)
    return total / n


def naive_adasp(x, k, scale, w):
    concepts, t, total = len(x) // k, 1 / scale, 0.0
    for i in range(concepts):
        own = x[i * k : (i + 1) * k]
        hh = 1 / sum(math.exp(-float(a @ b) / t) for a in own for b in own)
        he = sum(1 / sum(math.exp(-float(a @ b) / t) for b in own) for a in own)
        h, e = t * math.log(hh), t * math.log(he)
        alpha = 0.0 if h < 0 else 2 * h * e / (h + e)
        positive = hh**alpha * he ** (1 - alpha)
        negative = sum(
            w[i][j] * math.exp(float(a @ b) / t)
            for j in range(concepts)
            if j != i
            for a in own
            for b in x[j * k : (j + 1) * k]
        )
        total -= math.log(positive / (positive + negative))
    return total / concepts


def naive_kad(x, k, scale, w):
    n, half, total = len(x), k // 2, 0.0
    sides = ([i for i in range(n) if i % k < half], [i for i in range(n) if i % k >= half])
    for here, there in (sides, sides[::-1]):
        for i in here:
            mass = {j: (1.0 if i // k == j // k else w[i // k][j // k]) * math.exp(scale * x[i] @ x[j]) for j in there}
            own = [j for j in there if j // k == i // k]
            total -= sum(math.log(mass[j] / sum(mass.values())) for j in own) / len(own) / len(here) / 2
    return total


NAIVE = {"two_view": naive_two_view, "adasp": naive_adasp, "kad": naive_kad}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("name", METRIC_LOSSES)
def test_losses_equal_their_formulas(name, k, weighted):
    x, w = unit(6, k), weights(6) if weighted else None
    plain = (torch.ones(6, 6) if w is None else w).tolist()
    expected = NAIVE[name](x.numpy(), k, 9.0, plain)
    assert METRIC_LOSSES[name](alone(x), k, 9.0, w).item() == pytest.approx(expected, rel=1e-9)


def test_two_texts_give_the_papers_formula():
    """-(1/2B) sum_i log softmax over all but i, with the partner as target: a cross-entropy."""
    x = unit(7, 2)
    logits = (9.0 * x @ x.T).fill_diagonal_(float("-inf"))
    partner = torch.arange(14).view(7, 2).flip(1).reshape(-1)
    torch.testing.assert_close(two_view(alone(x), 2, 9.0), F.cross_entropy(logits, partner))


def test_adasp_without_a_positive_hardest_pair_takes_the_easier_one():
    """Opposite texts: h < 0, so alpha is 0 and only HE remains."""
    a = F.normalize(torch.tensor([[1.0, 0.2], [-1.0, 0.3]], dtype=torch.float64), dim=-1)
    x = torch.cat([a, a.flip(1)])
    assert adasp(alone(x), 2, 5.0).item() == pytest.approx(naive_adasp(x.numpy(), 2, 5.0, np.ones((2, 2))), rel=1e-9)


# --- several processes -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", METRIC_LOSSES)
def test_the_mean_over_processes_is_the_loss_of_the_whole_batch(name, size):
    x, w = unit(6, 4), weights(6)
    for weight in (None, w):
        parts = [METRIC_LOSSES[name](share(x, rank, size), 4, 9.0, weight) for rank in range(size)]
        torch.testing.assert_close(torch.stack(parts).mean(), METRIC_LOSSES[name](alone(x), 4, 9.0, weight))


# --- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRIC_LOSSES)
def test_masking_and_softening_never_raise_the_loss(name):
    x = unit(6, 2, spread=1.5)
    plain = METRIC_LOSSES[name](alone(x), 2, 9.0)
    soft = METRIC_LOSSES[name](alone(x), 2, 9.0, weights(6))
    masked = METRIC_LOSSES[name](alone(x), 2, 9.0, (weights(6) == 1).double())
    assert masked < soft < plain


def test_equal_embeddings_give_chance():
    same = F.normalize(torch.ones(12, 5, dtype=torch.float64), dim=-1)
    assert two_view(alone(same), 2, SCALE).item() == pytest.approx(math.log(11))
    assert kad(alone(same), 2, SCALE).item() == pytest.approx(math.log(6))
    # AdaSP's pairs add up: h = 1 - 2t ln K and e = 1 give the positive, (P - 1) K^2 pairs are against it.
    h = 1 - 2 * 0.04 * math.log(2)
    alpha = 2 * h / (h + 1)
    assert adasp(alone(same), 2, SCALE).item() == pytest.approx(math.log(1 + 5 * 4 * 4**alpha))


@pytest.mark.parametrize("name", METRIC_LOSSES)
def test_perfect_embeddings_leave_no_loss(name):
    assert METRIC_LOSSES[name](alone(torch.eye(6).repeat_interleave(2, dim=0)), 2, SCALE).item() < 1e-6


@pytest.mark.parametrize("weight", [None, "masked", "all masked"])
@pytest.mark.parametrize("name", METRIC_LOSSES)
def test_gradients_are_finite_at_the_smallest_temperature(name, weight):
    """Float32, with texts of a concept almost equal, exactly equal, and opposite."""
    x = unit(4, 4).float()
    x[1] = F.normalize(x[0] + 1e-7, dim=-1)
    x[4:8] = x[4]
    x[9], x[12:] = -x[8], -x[0]
    w = {None: None, "masked": weights(4).float(), "all masked": torch.zeros(4, 4)}[weight]
    x.requires_grad_(True)
    scale = torch.tensor(SCALE, requires_grad=True)
    loss = METRIC_LOSSES[name](alone(x), 4, scale, w)
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()
    assert scale.grad.isfinite()


@pytest.mark.parametrize("name", ["two_view", "kad"])
def test_gradients_are_those_of_the_loss(name):
    x = unit(3, 2, dim=4).requires_grad_(True)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, s: METRIC_LOSSES[name](alone(a), 2, s, weights(3)), (x, scale))


def test_adasps_gradient_leaves_alpha_out():
    """The gradient is that of the loss whose alpha is a constant, also towards a learned temperature."""
    x, scale = unit(3, 2, dim=4, spread=0.2), torch.tensor(6.0, dtype=torch.float64)

    def parts(x, scale):
        s = scale * torch.einsum("pad,pbd->pab", x.view(3, 2, 4), x.view(3, 2, 4))
        return (-s).exp().sum((1, 2)).pow(-1).log(), (-s).exp().sum(2).pow(-1).sum(1).log()

    hh, he = parts(x, scale)
    alpha = 2 * hh * he / (hh + he) / scale
    assert (alpha > 0).all()

    def frozen(x, scale):
        hh, he = parts(x, scale)
        pairs = (scale * x @ x.T).exp().view(3, 2, 3, 2).sum((1, 3)) * (1 - torch.eye(3))
        top = (alpha * hh + (1 - alpha) * he).exp()
        return -(top / (top + pairs.sum(1))).log().mean()

    inputs = (x.requires_grad_(True), scale.requires_grad_(True))
    assert torch.autograd.gradcheck(frozen, inputs)
    ours = torch.autograd.grad(adasp(alone(x), 2, scale), inputs)
    for a, b in zip(ours, torch.autograd.grad(frozen(*inputs), inputs), strict=True):
        torch.testing.assert_close(a, b)
