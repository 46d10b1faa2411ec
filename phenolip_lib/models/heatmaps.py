"""Which part of a picture a text is about: similarity maps of region and text.

The image tower's last feature map before pooling has a vector ``f`` for every cell. Three maps of a text
with embedding ``t``:

* ``similarity``: ``cos(head(f), t)``, each cell as if it were a picture of its own. Where the tower pools by
  the mean and the head is linear, the mean of ``head(f) . t`` over the cells is the picture's own score
  before normalisation, so the map takes the score apart; a head with a hidden layer makes this approximate.
* ``contrast``: the same less its mean over several texts, for what is salient to any text.
* ``gradient``: Grad-CAM (Selvaraju et al. 2017) of the picture's cosine, ``sum_c g_c f_c`` with g the
  gradient at the pooled features; without the rectifier, which would only make ties.

A vision transformer's patch tokens take the place of cells. If it pools a class token, its patch tokens were never
trained to be compared with texts, and the gradient map does not exist.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import digest, digest_arrays
from phenolip_lib.models.features import cached
from phenolip_lib.models.preprocess import Fit
from phenolip_lib.models.student import Student
from phenolip_lib.models.towers import TwoTowers

BATCH = 32


def side_of(towers: TwoTowers, wanted: int) -> int:
    """The side at which pictures are mapped: the wanted one, unless the tower has patches and takes its own only."""
    return towers.image_size if hasattr(towers.model.visual.trunk, "patch_embed") else wanted


@torch.no_grad()
def feature_maps(
    towers: TwoTowers, pixels: torch.Tensor, device: torch.device | str = "cpu", batch_size: int = BATCH
) -> torch.Tensor:
    """Features before pooling, float32 ``(n, width, rows, columns)``.

    Args:
        pixels: uint8 ``(n, 3, side, side)``, see `side_of`.

    Raises:
        PhenoLIPError: a tower whose features are no map.
    """
    trunk, parts = towers.model.visual.trunk.eval(), []
    home = next(trunk.parameters()).device
    trunk.to(device)
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (towers.mean, towers.std))
    for start in range(0, len(pixels), batch_size):
        x = (pixels[start : start + batch_size].to(device).float() / 255 - mean) / std
        f = trunk.forward_features(x.contiguous(memory_format=torch.channels_last)).contiguous().float().cpu()
        if f.ndim == 3:  # tokens of a vision transformer
            f = f[:, getattr(trunk, "num_prefix_tokens", 0) :]
            side = round(f.shape[1] ** 0.5)
            if side * side != f.shape[1]:
                raise PhenoLIPError(f"{type(trunk).__name__}: {f.shape[1]} patch tokens make no square map")
            f = f.transpose(1, 2).unflatten(2, (side, side))
        if f.ndim != 4:
            raise PhenoLIPError(f"{type(trunk).__name__}: features of shape {tuple(f.shape)} are no map")
        parts.append(f)
    trunk.to(home)
    return torch.cat(parts)


def pools_by_mean(towers: TwoTowers) -> bool:
    """Whether the pooled features are the mean of the cells, with nothing after."""
    trunk = towers.model.visual.trunk
    pool = trunk.global_pool if isinstance(trunk.global_pool, str) else getattr(trunk.global_pool, "pool_type", "")
    whole = pool == "avg" and isinstance(getattr(trunk, "fc_norm", None), nn.Identity | None)
    return whole and towers.image_cells == 1


@torch.no_grad()
def similarity(student: Student, maps: torch.Tensor, texts: np.ndarray) -> np.ndarray:
    """Cosine of each cell with each text, float32 ``(n, n_texts, rows, columns)``.

    Args:
        maps: of `feature_maps`.
        texts: L2-normalised embeddings ``(n_texts, embed_dim)``.
    """
    device = student.logit_scale.device
    # Of a tower that pools several cells, each cell fills them all.
    cells = maps.to(device).permute(0, 2, 3, 1).repeat_interleave(student.towers.image_cells**2, dim=3)
    cells = student.eval().image(cells)
    return torch.einsum("nrcd,td->ntrc", cells, torch.from_numpy(texts).to(device)).cpu().numpy()


def contrast(similarities: np.ndarray) -> np.ndarray:
    """`similarity` less its mean over the texts, same shape."""
    return similarities - similarities.mean(axis=1, keepdims=True)


def gradient(student: Student, maps: torch.Tensor, texts: np.ndarray) -> np.ndarray:
    """Grad-CAM of each picture's cosine with each text, float32 ``(n, n_texts, rows, columns)``.

    Raises:
        PhenoLIPError: the tower does not pool by the mean.
    """
    if not pools_by_mean(student.towers):
        raise PhenoLIPError("a gradient map needs a tower that pools by the mean of its cells")
    device = student.logit_scale.device
    maps = maps.to(device)
    pooled = maps.mean(dim=(2, 3)).requires_grad_()
    scores = student.eval().image(pooled) @ torch.from_numpy(texts).to(device).T
    found = []
    for text in range(len(texts)):
        (g,) = torch.autograd.grad(scores[:, text].sum(), pooled, retain_graph=True)
        found.append(torch.einsum("nd,ndrc->nrc", g, maps))
    return torch.stack(found, dim=1).detach().cpu().numpy()


def all_maps(student: Student, maps: torch.Tensor, texts: np.ndarray) -> dict[str, np.ndarray]:
    """The maps that this tower can have, by name."""
    cells = similarity(student, maps, texts)
    found = {"similarity": cells, "contrast": contrast(cells)}
    return found | ({"gradient": gradient(student, maps, texts)} if pools_by_mean(student.towers) else {})


# --- from the tower's square back to the picture --------------------------------------------------


def to_picture(heat: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """A map in the picture's own pixels, bilinear; what the tower never saw has the map's least value.

    Args:
        heat: ``(rows, columns)`` over the tower's square.
        size: (height, width) of the picture, in any unit that keeps its shape.
        fit: how the picture came into the square.

    Returns:
        float32 ``size``.
    """
    grid, outside = _grid(size, fit)
    square = torch.from_numpy(np.array(heat, dtype=np.float32))[None, None]
    found = F.grid_sample(square, grid, mode="bilinear", padding_mode="border", align_corners=False)[0, 0].numpy()
    found[outside] = heat.min()
    return found


@lru_cache(maxsize=256)
def _grid(size: tuple[int, int], fit: Fit) -> tuple[torch.Tensor, np.ndarray]:
    """Where each pixel lies in the square ``(1, height, width, 2)``, and which lie out of it."""
    half_x, half_y = _half_widths(size, fit)
    y, x = ((2 * np.arange(n) + 1) / n - 1 for n in size)
    grid = torch.from_numpy(np.stack(np.meshgrid(x * half_x, y * half_y), axis=2)).float()
    return grid[None], (grid.abs() > 1 + 1e-6).any(dim=2).numpy()


def peaks(heat: np.ndarray, size: tuple[int, int], fit: Fit) -> list[tuple[float, float]]:
    """Centres of the cells of the largest value, (y, x) in the picture's pixels; several if they tie."""
    rows, columns = heat.shape
    half_x, half_y = _half_widths(size, fit)
    points = []
    for row, column in np.argwhere(heat == heat.max()):
        y, x = (2 * row + 1) / rows - 1, (2 * column + 1) / columns - 1
        points.append(
            tuple(float((u / half + 1) / 2 * n - 0.5) for u, half, n in ((y, half_y, size[0]), (x, half_x, size[1])))
        )
    return points


def _half_widths(size: tuple[int, int], fit: Fit) -> tuple[float, float]:
    """Half width and height of the picture in a square of half width 1: over 1 is cut, under 1 is filled around."""
    height, width = size
    if fit.resize_mode == "squash":
        return 1.0, 1.0
    reference = min(size) if fit.resize_mode == "shortest" else max(size)
    return width / reference, height / reference


def frozen_maps(towers: TwoTowers, pixels: torch.Tensor, device: torch.device, cache: Path) -> torch.Tensor:
    """`feature_maps` of a tower that does not train, from the cache."""
    key = digest("maps", towers.fingerprint, digest_arrays(pixels.numpy()), device.type, code_digest(__name__))
    flat = cached(cache, key, len(pixels), lambda: feature_maps(towers, pixels, device).flatten(1).numpy())
    side = round((flat.shape[1] / towers.model.visual.trunk.num_features) ** 0.5)  # cells of a square picture
    return torch.from_numpy(flat).unflatten(1, (-1, side, side))
