"""The picture's way out: small enough for a page, with a heat map over it, as an address without a file."""

from __future__ import annotations

import base64
import io

import matplotlib as mpl
import numpy as np
from PIL import Image

LONGEST = 640
THUMBNAIL = 240
COLORS = "viridis"
"""Perceptually uniform, and safe for the common colour-vision deficiencies."""
OPACITY = 0.7
QUALITY = 88


def shrink(image: Image.Image, longest: int = LONGEST) -> Image.Image:
    """The picture with sides of at most `longest` pixels, never enlarged."""
    image = image.copy()
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return image


def unit_range(heat: np.ndarray) -> np.ndarray:
    """A map brought to 0..1 by its own range; a map that is the same everywhere is 0."""
    low, high = float(heat.min()), float(heat.max())
    return np.zeros_like(heat) if high <= low else (heat - low) / (high - low)


def overlay(image: Image.Image, heat: np.ndarray) -> Image.Image:
    """The map over the picture, the more opaque the higher: the lowest value leaves the picture as it is.

    Args:
        heat: ``(height, width)`` of the picture, any range.
    """
    value = unit_range(heat)
    color = mpl.colormaps[COLORS](value)[..., :3] * 255
    alpha = OPACITY * value[..., None]
    mixed = (1 - alpha) * np.asarray(image.convert("RGB"), dtype=np.float64) + alpha * color
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def color_stops(n: int = 6) -> list[str]:
    """Colours from the least value to the largest, for a legend."""
    return [mpl.colors.to_hex(mpl.colormaps[COLORS](x)) for x in np.linspace(0, 1, n)]


def data_uri(image: Image.Image) -> str:
    """The picture within its address, as JPEG: nothing is written to disk, and nothing of the file's metadata stays."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image.convert("RGB"))).save(buffer, format="JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
