"""Random changes of a training picture that leave its anatomy, its sides and its caption true.

Which operations a modality bears is a table, `ANATOMY` by default. Whatever it says, a picture whose
caption names a side or a direction is never mirrored or turned by a quarter. No operation shifts the
hue, as captions name colours. All randomness comes from one integer a picture, see `image_seed`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

from phenolip_lib.core import compat  # noqa: F401 - makes torchvision importable beside a CPU torch
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.records import MODALITIES

# isort: split
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

MARGIN = 8 / 7
"""How much larger than the result a picture is read for `crop`: 256 pixels for 224."""

ANATOMY = {
    # Skin has no preferred direction under a dermatoscope, and light and skin tones vary.
    "dermatology": ("rotate90", "crop", "color"),
    # A section lies on its slide as it fell; stain and scanner shift brightness and saturation.
    "pathology": ("rotate90", "crop", "color"),
    "histology": ("rotate90", "crop", "color"),
    # The same holds for smears.
    "hematology": ("rotate90", "crop", "color"),
    # Heart, liver and stomach have their sides, so chest films, CT, MRI and ultrasound are not mirrored;
    # patients lie a little askew, and exposure and window differ. Grey stays grey.
    "radiology": ("rotate", "crop", "intensity"),
    # Disc left or right of the fovea tells which eye it is.
    "ophthalmology": ("rotate", "crop", "color"),
    # A face may be mirrored, as an affected side counts only where the caption names it; never upside down.
    "face": ("hflip", "rotate", "crop", "color"),
    # May be a radiograph for all we know.
    "other": ("rotate", "crop", "intensity"),
}  # `blur` is in none: findings of a few pixels, as microaneurysms, would vanish.

_SIDE = re.compile(
    r"\b(?:(?:left|right)\w*|lt|rt|o[ds]|[rl](?:ul|ml|ll|uq|lq|cc|mlo)|dextr\w*|la?evo\w*|sinist\w*|situs|"
    r"upper|lower|top|bottom|(?:up|down)wards?|super(?:ior|o)\w*|infer(?:ior|o)\w*|o['’]?clock|(?:\w+-?)?clockwise)\b",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\b[LR]\b")


def names_side(caption: str) -> bool:
    """Whether a caption names a side, an eye, a quadrant or another direction within the picture.

    >>> names_side("Ptosis of the right eyelid"), names_side("Copyright reserved; bilateral ptosis")
    (True, False)
    """
    return bool(_SIDE.search(caption) or _LETTER.search(caption))


def image_seed(seed: int, epoch: int, row: int) -> int:
    """The seed of one picture in one epoch: 64 bits, well apart for neighbouring arguments."""
    return int(np.random.SeedSequence((seed, epoch, row)).generate_state(1, np.uint64)[0])


Draw = np.ndarray
"""Four uniform numbers of [0, 1) that belong to one operation."""


def _spread(u: float, width: float) -> float:
    return (2.0 * u - 1.0) * width


def _crop(pixels: torch.Tensor, draw: Draw, strength: float, side: int) -> torch.Tensor:
    """70 to 100% of the area at an aspect ratio of 0.9 to 1.1, resized to `side`."""
    area, ratio = 1.0 - 0.3 * strength * draw[0], np.exp(_spread(draw[1], 0.1 * strength))
    height, width = (
        min(round(size * np.sqrt(area * stretch)), size)
        for size, stretch in zip(pixels.shape[-2:], (1 / ratio, ratio), strict=True)
    )
    top, left = (
        int(u * (size - part + 1)) for u, size, part in zip(draw[2:], pixels.shape[-2:], (height, width), strict=True)
    )
    return F.resized_crop(pixels, top, left, height, width, [side, side], InterpolationMode.BICUBIC, antialias=True)


def _hflip(pixels: torch.Tensor, draw: Draw, strength: float, side: int) -> torch.Tensor:
    return F.horizontal_flip(pixels) if draw[0] < 0.5 else pixels


def _vflip(pixels: torch.Tensor, draw: Draw, strength: float, side: int) -> torch.Tensor:
    return F.vertical_flip(pixels) if draw[0] < 0.5 else pixels


def _rotate90(pixels: torch.Tensor, draw: Draw, strength: float, side: int) -> torch.Tensor:
    """One of the eight states of a square, equally often."""
    return torch.rot90(_hflip(pixels, draw[1:], strength, side), int(4 * draw[0]), (-2, -1))


def _rotate(pixels: torch.Tensor, draw: Draw, strength: float, side: int) -> torch.Tensor:
    """Up to 10 degrees; the corners continue the picture's edge."""
    height, width = pixels.shape[-2:]
    # A corner of a square turned by 20 degrees sticks out by 0.14 of its side.
    wide = F.pad(pixels, [width // 7 + 1, height // 7 + 1], padding_mode="edge")
    turned = F.rotate(wide, _spread(draw[0], 10.0 * strength), InterpolationMode.BILINEAR)
    return F.center_crop(turned, [height, width])


def _tone(pixels: torch.Tensor, brightness: float, contrast: float, gamma: float) -> torch.Tensor:
    """The three as one table of 256 values, the same for all channels; contrast keeps the mean.

    The mean is one of whole numbers: it does not depend on how many threads add them up.
    """
    mean = int(pixels.sum(dtype=torch.int64)) / pixels.numel()
    values = np.arange(256.0)
    values = np.clip((values - mean) * contrast + mean, 0.0, 255.0) * brightness
    values = 255.0 * np.clip(values / 255.0, 0.0, 1.0) ** gamma
    return torch.from_numpy(np.rint(values).astype(np.uint8)[pixels.numpy()])


def _color(pixels: torch.Tensor, draw: Draw, strength: float, side: int) -> torch.Tensor:
    """Brightness, contrast and saturation by up to 15%."""
    brightness, contrast, saturation = (1.0 + _spread(u, 0.15 * strength) for u in draw[:3])
    return F.adjust_saturation(_tone(pixels, brightness, contrast, 1.0), saturation)


def _intensity(pixels: torch.Tensor, draw: Draw, strength: float, side: int) -> torch.Tensor:
    """Brightness and contrast by up to 15%, gamma by up to a fifth."""
    brightness, contrast = (1.0 + _spread(u, 0.15 * strength) for u in draw[:2])
    return _tone(pixels, brightness, contrast, np.exp(_spread(draw[2], 0.2 * strength)))


def _blur(pixels: torch.Tensor, draw: Draw, strength: float, side: int) -> torch.Tensor:
    """Every other picture, by a Gaussian of up to 1 pixel in 224."""
    sigma = max(draw[1] * strength * side / 224, 0.05)
    return F.gaussian_blur(pixels, [2 * int(np.ceil(2 * sigma)) + 1] * 2, [sigma] * 2) if draw[0] < 0.5 else pixels


OPERATIONS: dict[str, Callable[[torch.Tensor, Draw, float, int], torch.Tensor]] = {
    "rotate90": _rotate90,
    "hflip": _hflip,
    "vflip": _vflip,
    "rotate": _rotate,
    "crop": _crop,
    "color": _color,
    "intensity": _intensity,
    "blur": _blur,
}
"""In the order they are applied."""
TURNING = ("rotate90", "hflip", "vflip")
"""What would make a caption's side wrong."""


def _known(name: str, names: Iterable[str], what: str) -> None:
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        raise PhenoLIPError(f"augmentation: unknown {what} {name!r}; {hint}")


class Augment:
    """The random changes of each modality; one that is not in `settings` stays as it is.

    Args:
        settings: modality -> names of `OPERATIONS`.
        strength: scales all ranges but those of flips and quarter turns; 1 is mild.

    Raises:
        PhenoLIPError: unknown modality or operation, or a strength outside 0 to 2.
    """

    def __init__(self, settings: Mapping[str, Iterable[str]] = ANATOMY, strength: float = 1.0) -> None:
        if not 0.0 <= strength <= 2.0:
            raise PhenoLIPError(f"augmentation: strength {strength} is not within 0 to 2")
        for modality, names in settings.items():
            _known(modality, MODALITIES, "modality")
            for name in names:
                _known(name, OPERATIONS, "operation")
        self.settings = {
            modality: tuple(name for name in OPERATIONS if name in names) for modality, names in settings.items()
        }
        self.strength = strength

    def operations(self, modality: str, caption: str = "") -> tuple[str, ...]:
        """What may be done to a picture with this caption, in order."""
        _known(modality, MODALITIES, "modality")
        own = self.settings.get(modality, ())
        return tuple(name for name in own if name not in TURNING) if names_side(caption) else own

    def reading_side(self, modality: str, side: int) -> int:
        """The side a picture should be read at: larger than the result where `crop` needs something to choose from."""
        return round(MARGIN * side) if "crop" in self.operations(modality) else side

    def __call__(self, pixels: torch.Tensor, modality: str, caption: str, seed: int, side: int) -> torch.Tensor:
        """A changed copy of one picture, uint8 ``(3, side, side)``, that depends on the arguments only.

        Args:
            pixels: uint8 ``(3, height, width)``.
            seed: of this picture in this epoch, see `image_seed`.
        """
        # Each operation has its own numbers: one more or less in the table does not change the others.
        draws = np.random.default_rng(seed).random((len(OPERATIONS), 4))
        allowed = self.operations(modality, caption)
        for (name, operation), draw in zip(OPERATIONS.items(), draws, strict=True):
            if name in allowed:
                pixels = operation(pixels, draw, self.strength, side)
        if pixels.shape[-2:] != (side, side):
            pixels = F.resize(pixels, [side, side], InterpolationMode.BICUBIC, antialias=True)
        return pixels.contiguous()


def build(setting: str | Mapping[str, Iterable[str]], strength: float = 1.0) -> Augment | None:
    """What the parameter asks for: ``anatomy`` is `ANATOMY`, an empty mapping is none.

    Raises:
        PhenoLIPError: unknown preset, modality or operation.
    """
    if isinstance(setting, str):
        _known(setting, ["anatomy"], "preset")
        setting = ANATOMY
    return Augment(setting, strength) if setting else None
