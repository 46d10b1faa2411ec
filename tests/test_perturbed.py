"""What a step sees of frozen features: views inside the crop, noise of the asked size, mixtures that keep the image."""

import numpy as np
import pandas as pd
import pytest
import torch

from phenolip_lib.training.perturbed import CORNERS, VIEW_SHARE, PerturbedFeatures, view

PAIRS = pd.DataFrame({"left": [0.0, 0.2], "top": [0.0, 0.1], "right": [1.0, 0.6], "bottom": [1.0, 0.9]})


def features(n=200, views=3, width=8):
    return torch.randn(n, views, width, generator=torch.Generator().manual_seed(0)) * torch.arange(1, width + 1)


def taken(params, x, step=0, seed=0, rank=0, **over):
    p = params.with_overrides({f"stage2.{key}": value for key, value in over.items()}).stage2
    return PerturbedFeatures(x, np.arange(len(x)), p, seed).take(np.arange(len(x)), 0, step, rank)


def test_views_lie_inside_the_crop_and_have_one_size():
    assert view(PAIRS, 0) is PAIRS
    boxes = [view(PAIRS, n) for n in range(1, 1 + len(CORNERS))]
    for box in boxes:
        assert (box["left"] >= PAIRS["left"] - 1e-12).all()
        assert (box["right"] <= PAIRS["right"] + 1e-12).all()
        assert (box["top"] >= PAIRS["top"] - 1e-12).all()
        assert (box["bottom"] <= PAIRS["bottom"] + 1e-12).all()
        np.testing.assert_allclose(box["right"] - box["left"], VIEW_SHARE * (PAIRS["right"] - PAIRS["left"]))
        np.testing.assert_allclose(box["bottom"] - box["top"], VIEW_SHARE * (PAIRS["bottom"] - PAIRS["top"]))
    assert len({tuple(box.iloc[1]) for box in boxes}) == len(CORNERS)


def test_without_a_change_features_are_those_of_the_whole_image(params):
    x = features(views=1)
    assert torch.equal(taken(params, x), x[:, 0])


def test_a_step_draws_one_view_of_each_image(params):
    x = features()
    found = taken(params, x)
    which = (found[:, None] == x).all(dim=-1)
    assert (which.sum(dim=1) == 1).all()
    assert (which.sum(dim=0) > 30).all()
    assert torch.equal(found, taken(params, x))
    for other in ({"step": 1}, {"seed": 1}, {"rank": 1}):
        assert not torch.equal(found, taken(params, x, **other))


def test_noise_has_the_asked_share_of_each_features_spread(params):
    x = features(n=5000, views=1)
    noise = taken(params, x, feature_noise=0.3) - x[:, 0]
    assert (noise.std(dim=0) / x[:, 0].std(dim=0)).numpy() == pytest.approx(0.3, abs=0.02)
    assert (noise.mean(dim=0) / x[:, 0].std(dim=0)).numpy() == pytest.approx(0, abs=0.03)


def test_a_mixture_is_for_the_larger_part_the_image_itself(params):
    x = torch.eye(50)[:, None]
    found = taken(params, x, feature_mixup=1.0)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(50))
    assert (found.diagonal() >= 0.5).all()
    assert (found.diagonal() < 1).sum() > 40
    assert ((found > 0).sum(dim=1) <= 2).all()
