"""Losses against open_clip's, against naive sums, and their properties."""

import math

import pytest
import torch
import torch.nn.functional as F

from phenolip_lib.core.compat import open_clip
from phenolip_lib.training.distributed import Gathered
from phenolip_lib.training.losses import clip_loss, siglip_loss, ssm_loss


def unit(n, dim, seed):
    return F.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=-1)


def alone(x):
    """One process: its rows are all rows."""
    return Gathered(x, x, 0)


def share(x, rank, size):
    """What a process of several sees."""
    own = len(x) // size
    return Gathered(x[rank * own : (rank + 1) * own], x, rank * own)


@pytest.mark.parametrize("n", [2, 7, 64])
def test_clip_loss_equals_open_clip(n):
    a, b, scale = unit(n, 16, 0), unit(n, 16, 1), torch.tensor(14.3)
    torch.testing.assert_close(clip_loss(alone(a), alone(b), scale), open_clip.ClipLoss()(a, b, scale))


def test_one_matrix_for_both_directions_has_the_gradients_of_two():
    """A whole batch is scored once; a process that has a part of it scores both ways."""
    ignore = torch.rand(9, 9, generator=torch.Generator().manual_seed(1)) < 0.2
    for mask in (None, ignore | ignore.T):
        found = []
        for whole in (True, False):
            a, b, scale = unit(9, 8, 2).requires_grad_(), unit(9, 8, 3), torch.tensor(7.0, requires_grad=True)
            if whole:
                loss = clip_loss(alone(a), alone(b), scale, mask)
            else:
                positive = torch.eye(9, dtype=torch.bool)
                forth, back = scale * a @ b.T, scale * b @ a.T
                if mask is not None:
                    forth, back = (x.masked_fill(mask & ~positive, float("-inf")) for x in (forth, back))
                loss = sum(F.cross_entropy(x, torch.arange(9)) for x in (forth, back)) / 2
            loss.backward()
            found.append((loss.detach(), a.grad, scale.grad))
        for ours, plain in zip(*found, strict=True):
            torch.testing.assert_close(ours, plain)


def test_masking_negatives_never_raises_the_loss():
    a, b = unit(8, 8, 6), unit(8, 8, 7)
    ignore = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < 0.4
    ignore = ignore | ignore.T
    assert clip_loss(alone(a), alone(b), 10.0, ignore) <= clip_loss(alone(a), alone(b), 10.0)


def test_everything_masked_leaves_no_loss():
    a, b = unit(5, 8, 8), unit(5, 8, 9)
    assert clip_loss(alone(a), alone(b), 10.0, torch.ones(5, 5, dtype=torch.bool)).item() == pytest.approx(
        0.0, abs=1e-6
    )


def test_chance_loss_is_log_n():
    same = F.normalize(torch.ones(32, 4), dim=-1)
    assert clip_loss(alone(same), alone(same), 5.0).item() == pytest.approx(math.log(32), rel=1e-5)


@pytest.mark.parametrize("n", [2, 7, 64])
def test_siglip_loss_equals_open_clip(n):
    a, b, scale, bias = unit(n, 16, 0), unit(n, 16, 1), torch.tensor(10.0), torch.tensor(-10.0)
    theirs = open_clip.loss.SigLipLoss()(a, b, scale, bias)
    torch.testing.assert_close(siglip_loss(alone(a), alone(b), scale, bias), theirs)


def test_siglip_ignores_what_it_is_told_to_and_nothing_else():
    a, b = unit(6, 8, 2), unit(6, 8, 3)
    ignore = torch.zeros(6, 6, dtype=torch.bool)
    ignore[0, 1] = ignore[1, 0] = ignore[2, 2] = True
    total = 0.0
    for i in range(6):
        for j in range(6):
            if i == j or not ignore[i, j]:
                z = 10.0 * float(a[i] @ b[j]) - 3.0
                total += math.log(1 + math.exp(-z if i == j else z))
    assert siglip_loss(alone(a), alone(b), 10.0, -3.0, ignore).item() == pytest.approx(total / 6, rel=1e-5)


@pytest.mark.parametrize("bias", [0.0, -4.0])
def test_ssm_loss_equals_the_formula(bias):
    a, b, scale = unit(5, 8, 4), unit(5, 8, 5), 7.0
    labels = torch.rand(5, 5, generator=torch.Generator().manual_seed(1))
    squared = entropy = 0.0
    for i in range(5):
        for j in range(5):
            z, s = float(a[i] @ b[j]), float(labels[i, j])
            p = 1 / (1 + math.exp(-scale * z - bias))
            squared += (z - s) ** 2 / 25
            entropy -= (s * math.log(p) + (1 - s) * math.log(1 - p)) / 25
    found = ssm_loss(alone(a), alone(b), scale, labels, bias).item()
    assert found == pytest.approx(squared + entropy, rel=1e-5)


@pytest.mark.parametrize("size", [2, 4])
def test_the_mean_over_processes_is_the_loss_of_the_whole_batch(size):
    a, b = unit(8, 16, 6), unit(8, 16, 7)
    ignore = torch.rand(8, 8, generator=torch.Generator().manual_seed(2)) < 0.3
    ignore = ignore | ignore.T
    labels = torch.rand(8, 8, generator=torch.Generator().manual_seed(3))
    own = [slice(rank * 8 // size, (rank + 1) * 8 // size) for rank in range(size)]
    for loss, extra in (
        (lambda x, y, m: clip_loss(x, y, 9.0, m), ignore),
        (lambda x, y, m: siglip_loss(x, y, 9.0, -2.0, m), ignore),
        (lambda x, y, m: ssm_loss(x, y, 9.0, m), labels),
    ):
        parts = [loss(share(a, rank, size), share(b, rank, size), extra[own[rank]]) for rank in range(size)]
        torch.testing.assert_close(torch.stack(parts).mean(), loss(alone(a), alone(b), extra))
