"""Losses against open_clip's, against naive sums, and their properties."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from phenolip_lib.compat import open_clip
from phenolip_lib.losses import clip_loss, two_view_loss


def unit(n, dim, seed):
    return F.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("n", [2, 7, 64])
def test_clip_loss_equals_open_clip(n):
    a, b, scale = unit(n, 16, 0), unit(n, 16, 1), torch.tensor(14.3)
    torch.testing.assert_close(clip_loss(a, b, scale), open_clip.ClipLoss()(a, b, scale))


def naive_two_view(first, second, temperature, related=None):
    """The formula of the paper, written as a double loop."""
    n = len(first)
    z = [*first.tolist(), *second.tolist()]
    total = 0.0
    for i in range(2 * n):
        positive = (i + n) % (2 * n)
        terms = []
        for k in range(2 * n):
            other = k % n != i % n
            if k == i or (other and related is not None and related[i % n][k % n]):
                continue
            terms.append(math.exp(np.dot(z[i], z[k]) / temperature))
        total -= math.log(math.exp(np.dot(z[i], z[positive]) / temperature) / sum(terms))
    return total / (2 * n)


def test_two_view_loss_equals_the_formula():
    a, b = unit(6, 8, 2), unit(6, 8, 3)
    assert two_view_loss(a, b, 0.1).item() == pytest.approx(naive_two_view(a, b, 0.1), rel=1e-5)


def test_masked_two_view_loss_equals_the_formula():
    a, b = unit(6, 8, 4), unit(6, 8, 5)
    related = torch.zeros(6, 6, dtype=torch.bool)
    related[0, 1] = related[1, 0] = related[4, 2] = related[2, 4] = True
    related.fill_diagonal_(True)  # a phenotype is related to itself and stays its own positive
    expected = naive_two_view(a, b, 0.1, related.tolist())
    assert two_view_loss(a, b, 0.1, related).item() == pytest.approx(expected, rel=1e-5)


def test_masking_negatives_never_raises_the_loss():
    a, b = unit(8, 8, 6), unit(8, 8, 7)
    ignore = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < 0.4
    ignore = ignore | ignore.T
    assert clip_loss(a, b, 10.0, ignore) <= clip_loss(a, b, 10.0)
    assert two_view_loss(a, b, 0.1, ignore) <= two_view_loss(a, b, 0.1)


def test_everything_masked_leaves_no_loss():
    a, b = unit(5, 8, 8), unit(5, 8, 9)
    assert clip_loss(a, b, 10.0, torch.ones(5, 5, dtype=torch.bool)).item() == pytest.approx(0.0, abs=1e-6)


def test_chance_loss_is_log_n():
    same = F.normalize(torch.ones(32, 4), dim=-1)
    assert clip_loss(same, same, 5.0).item() == pytest.approx(math.log(32), rel=1e-5)
