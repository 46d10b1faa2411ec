"""Any image-text model behind four things: embed pictures, embed texts, its scale, and what it is.

Names that `load` takes:

    ViT-B-16/laion2b_s34b_b88k        an open_clip architecture and its weights; ``/random`` for none
    hf-hub:OWNER/NAME, local-dir:PATH open_clip's layout
    transformers:OWNER/NAME or PATH   a transformers model with image and text features (CLIP, SigLIP, ...)
    PATH                              a folder in open_clip's layout, or a trained student
    BiomedCLIP                        a row of the paper, by `peers.json`

Preprocessing, tokenizer and text length are always those of the checkpoint, and pickled weights are never read but
through torch's tensors-only loader.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import digest, digest_arrays, read_json
from phenolip_lib.models.phenolip import PhenoLIP
from phenolip_lib.models.pretrained import HUB, LOCAL, cause, load_pretrained
from phenolip_lib.models.towers import own_random_numbers

PEERS: dict[str, dict[str, str]] = read_json(Path(__file__).parent / "peers.json")
TRANSFORMERS = "transformers:"
RANDOM = "random"
TIMEOUT = "5"
"""Seconds to wait for a hub that does not answer."""


@dataclass
class Adapter:
    """A model that the evaluation can use.

    Attributes:
        name: as it was asked for.
        fingerprint: of weights, preprocessing and tokenizer; equal for models that embed alike.
        images: PIL pictures -> embeddings ``(n, dim)``, not normalised.
        texts: texts -> embeddings ``(n, dim)``, not normalised.
        scale: the model's factor of cosines.
    """

    name: str
    fingerprint: str
    images: Callable[[list[Image.Image]], torch.Tensor]
    texts: Callable[[list[str]], torch.Tensor]
    scale: float

    def encode_image(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """L2-normalised embeddings, float32 ``(n, dim)``."""
        return _finished(self.images([picture.convert("RGB") for picture in pictures]))

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """L2-normalised embeddings, float32 ``(n, dim)``."""
        return _finished(self.texts(list(texts)))


@dataclass
class Unavailable:
    """A model that cannot be had here, and why."""

    name: str
    reason: str


def _finished(features: torch.Tensor) -> np.ndarray:
    return F.normalize(features.float(), dim=-1).cpu().numpy()


def load(name: str, device: torch.device | str = "cpu") -> Adapter:
    """Load a model by any of the names above.

    Raises:
        PhenoLIPError: unknown name, weights that cannot be had or read, or no text tower.
    """
    known = PEERS.get(name, {})
    if "absent" in known:
        raise PhenoLIPError(f"{name}: {known['absent']}")
    where = known.get("model", name)
    try:
        with _short_waits(), torch.no_grad():
            return _loader(where)(where, name, torch.device(device))
    except PhenoLIPError:
        raise
    except Exception as error:  # of weights that are cut off alone there are a dozen kinds
        raise PhenoLIPError(f"{name}: cannot be had here ({cause(error)})") from None


def load_or_reason(name: str, device: torch.device | str = "cpu") -> Adapter | Unavailable:
    """`load`, with the reason in place of an error, so that a table goes on without this row."""
    try:
        return load(name, device)
    except PhenoLIPError as error:
        return Unavailable(name, str(error).removeprefix(f"{name}: "))


@contextmanager
def _short_waits() -> Iterator[None]:
    """No minutes of retries where there is no network."""
    import huggingface_hub.constants as hub

    names = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")
    before = {name: getattr(hub, name) for name in names}
    try:
        for name in names:
            setattr(hub, name, int(os.environ.get(name, TIMEOUT)))
        yield
    finally:
        for name, value in before.items():
            setattr(hub, name, value)


def _loader(where: str) -> Callable[[str, str, torch.device], Adapter]:
    if where.startswith(TRANSFORMERS):
        return _transformers
    if where.startswith((HUB, LOCAL)):
        return _open_clip
    architecture, _, tag = where.partition("/")
    if architecture in open_clip.list_models():
        if tag:
            return _open_clip
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        raise PhenoLIPError(f"{where}: which weights? One of {', '.join(f'{where}/{t}' for t in [*tags[:3], RANDOM])}")
    if Path(where).expanduser().is_dir():
        return _open_clip
    if Path(where).expanduser().exists() or Path(f"{where}.safetensors").expanduser().is_file():
        return _ours
    near = difflib.get_close_matches(architecture, [*PEERS, *open_clip.list_models()], n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the paper's are {', '.join(PEERS)}"
    ways = "a folder, hf-hub:NAME, local-dir:PATH, transformers:NAME"
    raise PhenoLIPError(f"{where}: no such model; {hint} (or {ways})")


def _open_clip(where: str, name: str, device: torch.device) -> Adapter:
    architecture, _, tag = where.partition("/")
    if architecture not in open_clip.list_models():
        found = load_pretrained(where if where.startswith((HUB, LOCAL)) else f"{LOCAL}{where}")
        model, tokenizer, preprocess_cfg = found.model, found.tokenizer, found.preprocess_cfg
    else:
        if tag == RANDOM:
            with own_random_numbers(0):
                model = open_clip.create_model(architecture, pretrained=None)
        else:
            model = open_clip.create_model_from_pretrained(architecture, pretrained=tag, return_transform=False)
        tokenizer = open_clip.get_tokenizer(architecture)
        preprocess_cfg = open_clip.model.get_model_preprocess_cfg(model)
    if not hasattr(model, "encode_text"):
        raise PhenoLIPError(f"{name}: no text tower")
    model.to(device).eval()
    preprocess = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**preprocess_cfg), is_train=False
    )

    @torch.no_grad()
    def images(pictures: list[Image.Image]) -> torch.Tensor:
        return model.encode_image(torch.stack([preprocess(picture) for picture in pictures]).to(device))

    @torch.no_grad()
    def texts(strings: list[str]) -> torch.Tensor:
        return model.encode_text(tokenizer(strings).to(device))

    facts = (str(preprocess_cfg), tokenizer.context_length)
    return Adapter(name, _fingerprint(model, facts), images, texts, float(model.logit_scale.exp()))


def _transformers(where: str, name: str, device: torch.device) -> Adapter:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    place = where.removeprefix(TRANSFORMERS)
    if Path(place).expanduser().is_dir():
        place = str(Path(place).expanduser())
    model = AutoModel.from_pretrained(place, use_safetensors=True)
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise PhenoLIPError(f"{name}: no text tower; {type(model).__name__} has no image and text features to compare")
    processor, tokenizer = AutoImageProcessor.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    model.to(device).eval()
    length = model.config.text_config.max_position_embeddings
    # SigLIP was trained on texts padded to the full length and without a mask (its model card).
    padding = "max_length" if "siglip" in model.config.model_type else True

    @torch.no_grad()
    def images(pictures: list[Image.Image]) -> torch.Tensor:
        pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
        return _features(model.get_image_features(pixel_values=pixels.to(device)))

    @torch.no_grad()
    def texts(strings: list[str]) -> torch.Tensor:
        tokens = tokenizer(strings, padding=padding, truncation=True, max_length=length, return_tensors="pt")
        known = {key: tokens[key].to(device) for key in ("input_ids", "attention_mask") if key in tokens}
        return _features(model.get_text_features(**known))

    scale = float(model.logit_scale.exp())
    return Adapter(name, _fingerprint(model, (processor.to_json_string(), length)), images, texts, scale)


def _features(output: torch.Tensor) -> torch.Tensor:
    """Newer releases of transformers wrap the features."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def _ours(where: str, name: str, device: torch.device) -> Adapter:
    model = PhenoLIP.load(where, device=device.type)

    def images(pictures: list[Image.Image]) -> torch.Tensor:
        return torch.from_numpy(model.embed_images(pictures))

    def texts(strings: list[str]) -> torch.Tensor:
        return torch.from_numpy(model.embed_texts(strings))

    facts = (str(model.preprocess_cfg), model.towers.text.context_length)
    return Adapter(name, _fingerprint(model.towers.model, facts), images, texts, model.logit_scale)


def _fingerprint(model: torch.nn.Module, facts: tuple) -> str:
    state = model.state_dict()
    return digest(digest_arrays(*(state[key].float().cpu().numpy() for key in sorted(state))), facts)
