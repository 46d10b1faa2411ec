"""What may be given as an image: a path, also into an archive, a PIL image or an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.archives import split_container
from phenolip_lib.data.images import as_rgb, read_image

ImageLike = str | Path | Image.Image | np.ndarray


def read(image: ImageLike) -> Image.Image:
    """An RGB image: upright, what is transparent white, as in training.

    Raises:
        PhenoLIPError: not an image, or one that cannot be read.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,), (4,)):
            raise PhenoLIPError(f"an array {image.dtype} {image.shape} is no picture; give uint8 (height, width, 3)")
        image = Image.fromarray(image)
    if isinstance(image, Image.Image):
        try:
            if min(image.size):
                return as_rgb(image)
        except OSError as error:
            raise PhenoLIPError(f"a picture that cannot be decoded ({error})") from None
        raise PhenoLIPError("a picture of no pixels")
    if not isinstance(image, (str, Path)):
        raise PhenoLIPError(f"{type(image).__name__} is no picture; give a path, a PIL image or a uint8 array")
    container, member = split_container(str(image))
    file = Path(container).resolve()
    try:
        return read_image(file.parent, f"{file.name}::{member}" if member else file.name)
    except PhenoLIPError as error:
        raise PhenoLIPError(f"{image}: {error}") from None
