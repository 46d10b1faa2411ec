"""How a picture is brought to the square an image tower takes: as its checkpoint says."""

from __future__ import annotations

from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

from PIL import Image

from phenolip_lib.core.compat import open_clip


class Fit(NamedTuple):
    """The geometric part of open_clip's ``preprocess_cfg``."""

    resize_mode: str = "squash"
    """``squash`` distorts; ``shortest`` cuts what is over; ``longest`` fills with `fill_color`."""
    interpolation: str = "bicubic"
    fill_color: int = 0

    @classmethod
    def of(cls, preprocess: dict[str, Any]) -> Fit:
        """That of a complete ``preprocess_cfg``."""
        return cls(*(preprocess[key] for key in cls._fields))

    def __call__(self, image: Image.Image, side: int) -> Image.Image:
        """The picture as `side` by `side` pixels, by open_clip's own transforms."""
        for step in _steps(self, side):
            image = step(image)
        return image


@lru_cache(maxsize=16)
def _steps(fit: Fit, side: int) -> list:
    config = open_clip.transform.PreprocessCfg(size=side, **fit._asdict())
    steps = open_clip.transform.image_transform_v2(config, is_train=False).transforms
    return list(takewhile(lambda step: not isinstance(step, open_clip.transform.ToTensor), steps))


SQUASH = Fit()
