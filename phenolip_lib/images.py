"""Read one picture safely: decoded whole, of bearable size, cropped to its box, as RGB."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from phenolip_lib.errors import PhenoLIPError

MAX_PIXELS = 100_000_000
MIN_SIDE = 16
WHOLE = (0.0, 0.0, 1.0, 1.0)


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, refused if it leads out of `root`.

    Raises:
        PhenoLIPError: absolute path, ``..`` or a link that leaves the folder.
    """
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise PhenoLIPError(f"{relative}: leads out of the data folder")
    return path


def read_image(root: Path, relative: str, box: tuple[float, float, float, float] = WHOLE) -> Image.Image:
    """The picture as RGB.

    Args:
        box: left, top, right, bottom as fractions of the file's width and height.

    Raises:
        PhenoLIPError: absent, unreadable, too large or too small; the message is a reason for the
            quarantine table.
    """
    path = inside(root, relative)
    if not path.is_file():
        raise PhenoLIPError("image file is absent")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise PhenoLIPError(f"image is too large: {image.width} x {image.height} pixels")
                image = image.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PhenoLIPError("image is too large") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise PhenoLIPError(f"image is unreadable: {type(error).__name__}") from None
    if box != WHOLE:
        left, top, right, bottom = box
        width, height = image.size
        image = image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
    if min(image.size) < MIN_SIDE:
        raise PhenoLIPError(f"image is too small: {image.width} x {image.height} pixels")
    return image


def thumbnail(image: Image.Image, side: int = 32) -> np.ndarray:
    """Grey thumbnail of a picture, float32 ``(side, side)`` with zero mean and unit variance."""
    grey = np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX), dtype=np.float32)
    return (grey - grey.mean()) / max(float(grey.std()), 1.0)
