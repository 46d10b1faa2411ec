"""Read one picture safely: decoded whole, of bearable size, cropped to its box, as upright RGB."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import (
    DAMAGED,
    MAX_PIXELS,
    array_picture,
    inside,
    read_member,
    split_container,
    too_large,
)

# Pillow's own limit is lower, and its warning is an error of ours, told before anything is decoded.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

MIN_SIDE = 16
STRIP = 1024
"""Rows of a picture of more than 8 bits that are scaled at once."""
WHOLE = (0.0, 0.0, 1.0, 1.0)
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000", "PPM")
"""What Pillow may decode: its PostScript reader, for one, would start another program."""
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".jp2")


def read_image(
    root: Path, relative: str, box: tuple[float, float, float, float] = WHOLE, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The picture as RGB, turned as its EXIF tag says, what is transparent white.

    More than 8 bits a pixel are scaled by the picture's own range.

    Args:
        relative: a file, or ``archive::member``, below `root`.
        box: left, top, right, bottom as fractions of the upright picture's width and height.
        max_pixels: of a file; no more than `MAX_PIXELS`.

    Raises:
        PhenoLIPError: absent, unreadable, too large or too small; the message is a reason for the
            quarantine table.
    """
    container, member = split_container(relative)
    path = inside(root, container)
    try:
        present = path.is_file()
    except OSError:  # a name that is too long
        present = False
    if not present:
        raise PhenoLIPError(f"{'archive' if member else 'image file'} is absent")
    try:
        if container.lower().endswith(".npz") and member:
            image = as_rgb(Image.fromarray(array_picture(path, member)))
        else:
            with Image.open(io.BytesIO(read_member(path, member)) if member else path, formats=FORMATS) as file:
                if file.width * file.height > max_pixels:
                    raise PhenoLIPError(too_large(file.width, file.height, max_pixels))
                image = as_rgb(file)
    except Image.DecompressionBombError:  # twice Pillow's limit, of which it tells the area alone
        raise PhenoLIPError(
            too_large(0, 0, max_pixels).replace("0 x 0", f"over {2 * MAX_PIXELS / 1e6:.0f} million")
        ) from None
    except DAMAGED as error:
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


def as_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Values ``(height, width)`` scaled from their own finite range to 0..255; strip by strip, as doubles are large."""
    strips = [slice(start, start + STRIP) for start in range(0, len(values), STRIP)]
    known = []
    for strip in strips:
        part = values[strip].astype(np.float64)
        if (finite := part[np.isfinite(part)]).size:
            known.append((finite.min(), finite.max()))
    low, high = (min(a for a, _ in known), max(b for _, b in known)) if known else (0.0, 0.0)
    found = np.empty(values.shape, np.uint8)
    for strip in strips:
        part = values[strip].astype(np.float64)
        scaled = np.where(np.isfinite(part), part - low, 0.0) / (high - low if high > low else 1.0) * 255.0
        found[strip] = np.rint(scaled)
    return found
