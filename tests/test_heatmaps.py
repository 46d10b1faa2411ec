"""Maps of image and text: parts of the picture's own score, gradients by torch, and places in the picture."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models import heatmaps
from phenolip_lib.models.preprocess import Fit
from phenolip_lib.models.student import Student
from phenolip_lib.models.towers import load_towers
from tests.test_encoders import tiny_checkpoint

SIDE = 64


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_checkpoint(folder)
    return Student(load_towers(f"local-dir:{folder}", 32, 12), 0.07, 0.0)


@pytest.fixture(scope="module")
def pixels():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, SIDE, SIDE), dtype=np.uint8))


@pytest.fixture(scope="module")
def maps(student, pixels):
    return heatmaps.feature_maps(student.towers, pixels, batch_size=2)


@pytest.fixture(scope="module")
def texts():
    x = np.random.default_rng(1).standard_normal((3, 16)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_mean_of_the_cells_is_what_the_tower_pools(student, pixels, maps):
    assert maps.shape[2:] == (2, 2)
    with torch.no_grad():
        pooled = student.towers.image_trunk(pixels)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), pooled, rtol=1e-4, atol=1e-5)


def test_a_linear_head_takes_the_pictures_score_apart(student, maps, texts):
    with torch.no_grad():
        cells = student.image_head(maps.permute(0, 2, 3, 1))  # the head without its normalisation
    parts = torch.einsum("nrcd,td->ntrc", cells, torch.from_numpy(texts))
    cosines = heatmaps.similarity(student, maps, texts)
    lengths = cells.norm(dim=-1)[:, None].numpy()
    np.testing.assert_allclose(cosines * lengths, parts.numpy(), rtol=1e-4, atol=1e-5)
    pooled = maps.mean(dim=(2, 3))
    with torch.no_grad():
        whole = student.image(pooled) @ torch.from_numpy(texts).T * student.image_head(pooled).norm(dim=1)[:, None]
    np.testing.assert_allclose(parts.mean(dim=(2, 3)).numpy(), whole.numpy(), rtol=1e-4, atol=1e-5)


def test_a_tower_that_pools_cells_lays_their_means_side_by_side_and_maps_a_cell_as_a_picture_of_its_own(pixels):
    student = Student(load_towers("phenolip-tiny-cells", SIDE, 32), 0.07, 0.0)
    towers, maps = student.towers, heatmaps.feature_maps(student.towers, pixels[:2].repeat(1, 1, 2, 2))
    pooled = towers.image_trunk(pixels[:2].repeat(1, 1, 2, 2))
    parts = [maps[:, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(dim=(2, 3)) for y in (0, 1) for x in (0, 1)]
    torch.testing.assert_close(pooled, torch.stack(parts, dim=2).flatten(1), rtol=1e-4, atol=1e-5)
    assert pooled.shape[1] == towers.image_width == 4 * 1280
    text = F.normalize(torch.randn(1, towers.embed_dim), dim=1)
    cell = maps[:1, :, 1, 2]
    with torch.no_grad():
        whole = student.image(torch.stack([cell] * 4, dim=2).flatten(1)) @ text.T
    found = heatmaps.all_maps(student, maps, text.numpy())
    assert found["similarity"][0, 0, 1, 2] == pytest.approx(whole.item(), abs=1e-6)
    assert "gradient" not in found


def test_contrast_sums_to_nothing_over_the_texts(student, maps, texts):
    found = heatmaps.contrast(heatmaps.similarity(student, maps, texts))
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-5)


def test_gradient_is_what_scaling_a_cell_would_change(student, maps, texts):
    found = heatmaps.gradient(student, maps, texts)
    n, t, (row, column), step = 2, 1, (0, 1), 1e-2

    def score(factor):
        changed = maps[n].clone()
        changed[:, row, column] *= factor
        return float(student.image(changed.mean(dim=(1, 2)).double().float()[None]) @ torch.from_numpy(texts[t]))

    slope = (score(1 + step) - score(1 - step)) / (2 * step) * maps[0, 0].numel()
    assert found[n, t, row, column] == pytest.approx(slope, rel=0.02, abs=1e-4)


def test_all_maps_of_a_tower_that_pools_by_the_mean(student, maps, texts):
    assert set(heatmaps.all_maps(student, maps, texts)) == {"similarity", "contrast", "gradient"}


class _Transformer(torch.nn.Module):
    """As timm's: a class token before the patches."""

    num_prefix_tokens, global_pool, patch_embed = 1, "token", None

    def __init__(self, tokens):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.tokens = tokens

    def forward_features(self, x):
        grid = F.adaptive_avg_pool2d(x, 4).flatten(2).transpose(1, 2)[:, : self.tokens]
        return torch.cat([grid.new_full((len(x), 1, 3), 9.0), grid], dim=1)


def _with_trunk(student, trunk):
    from types import SimpleNamespace as Space

    towers = student.towers
    visual = Space(trunk=trunk)
    return Space(model=Space(visual=visual), mean=towers.mean, std=towers.std, image_size=32)


def test_patches_of_a_transformer_are_cells_and_its_class_token_is_none(student, pixels):
    towers = _with_trunk(student, _Transformer(16))
    maps = heatmaps.feature_maps(towers, pixels)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (towers.mean, towers.std))
    expected = F.adaptive_avg_pool2d((pixels[1].float() / 255 - mean) / std, 4)
    torch.testing.assert_close(maps[1], expected)
    assert heatmaps.side_of(towers, 512) == 32
    assert not heatmaps.pools_by_mean(towers)


def test_tokens_that_are_no_square_and_gradients_without_a_mean_are_refused(student, pixels, maps, texts, monkeypatch):
    with pytest.raises(PhenoLIPError, match="15 patch tokens make no square map"):
        heatmaps.feature_maps(_with_trunk(student, _Transformer(15)), pixels)
    monkeypatch.setattr(heatmaps, "pools_by_mean", lambda towers: False)
    assert set(heatmaps.all_maps(student, maps, texts)) == {"similarity", "contrast"}
    with pytest.raises(PhenoLIPError, match="pools by the mean"):
        heatmaps.gradient(student, maps, texts)


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [(90, 160), (160, 90), (96, 96)])
def test_a_spot_comes_back_to_where_it_was(mode, size):
    """Oracle: a picture with one bright spot goes through open_clip's own transforms and comes back as a map."""
    fit, (y, x) = Fit(mode, "bilinear", 0), (size[0] * 0.55, size[1] * 0.4)
    picture = np.zeros((*size, 3), np.uint8)
    picture[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5] = 255
    square = np.asarray(fit(Image.fromarray(picture), 96)).mean(axis=2)
    rows, columns = np.nonzero(square > 0.9 * square.max())
    # One cell of the map on the spot's middle; ties would make several peaks.
    heat = np.zeros((96, 96), np.float32)
    heat[round(rows.mean()), round(columns.mean())] = 1
    ((found_y, found_x),) = heatmaps.peaks(heat, size, fit)
    assert (found_y, found_x) == (pytest.approx(y, abs=2), pytest.approx(x, abs=2))
    back = heatmaps.to_picture(square, size, fit)
    assert back.shape == size
    highest = np.argwhere(back > 0.9 * back.max()).mean(axis=0)
    assert tuple(highest) == (pytest.approx(round(y), abs=1.5), pytest.approx(round(x), abs=1.5))


def test_what_was_cut_off_is_the_lowest():
    heat = np.arange(1, 17, dtype=np.float32).reshape(4, 4)
    back = heatmaps.to_picture(heat, (40, 80), Fit("shortest", "bilinear", 0))
    assert (back[:, :20] == 1).all()
    assert (back[:, -20:] == 1).all()
    assert (back[:, 22:58] > 1).any()


def test_ties_have_several_peaks():
    heat = np.zeros((2, 2), np.float32)
    assert len(heatmaps.peaks(heat, (10, 10), Fit())) == 4
