"""Image-text checkpoints in open_clip's layout, from a folder or the Hub, by one loader for all that reads them.

``local-dir:FOLDER`` is a folder with ``open_clip_config.json``, weights and the tokenizer, wherever it was moved;
``hf-hub:OWNER/NAME`` the same on the Hub. A Hugging Face text tower also needs the ``config.json`` of its architecture.
It is looked for in the folder, then where ``hf_model_name`` says (a folder below it, a path, the Hub and its cache).
A checkpoint that names a BERT of the Hub and brings no such file, as BiomedCLIP's repository does, still loads
without a network: the shapes of its tensors tell all of the architecture but the number of heads, which is standard.

Weights are safetensors, or what torch's tensors-only loader reads; nothing in them is ever run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from torch import nn

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError, brief
from phenolip_lib.core.runtime import log
from phenolip_lib.core.storage import read_json, write_json

LOCAL, HUB = "local-dir:", "hf-hub:"
CONFIG = "open_clip_config.json"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
HEAD_WIDTH = {384: 32}
"""Of BERTs whose heads are not 64 wide: MiniLM, and what was trained from it."""


@dataclass
class Pretrained:
    """An open_clip model with its own tokenizer and preprocessing.

    `model_cfg` and `preprocess_cfg` are those of its ``open_clip_config.json``, the second one complete.
    """

    model: nn.Module
    tokenizer: Any
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]


def local_folder(name: str | Path) -> Path:
    """The folder of ``local-dir:FOLDER`` or of a plain path; ``~`` is the home folder.

    Raises:
        PhenoLIPError: there is no such folder.
    """
    folder = Path(str(name).removeprefix(LOCAL)).expanduser()
    if not folder.is_dir():
        raise PhenoLIPError(f"{folder}: there is no such folder")
    return folder


def load_pretrained(name: str) -> Pretrained:
    """Load a checkpoint.

    Args:
        name: ``local-dir:FOLDER`` or ``hf-hub:OWNER/NAME``.

    Raises:
        PhenoLIPError: it is absent, damaged or of another layout, or lacks its weights, tokenizer or text tower.
    """
    try:
        return _load(name)
    except PhenoLIPError:
        raise
    except Exception as error:  # of pickles, npz and safetensors that are cut off alone there are a dozen kinds
        raise PhenoLIPError(f"{name}: cannot be loaded ({cause(error)})") from None


def cause(error: BaseException) -> str:
    """What a library's error comes down to, in one line."""
    text = " ".join(f"{error}".split()) or type(error).__name__
    if any(word in text for word in ("Hub", "huggingface.co", "download", "resolve", "urlopen", "connect")):
        return "its weights are not in the local cache and the hub does not answer"
    return text[:200]


def _load(name: str) -> Pretrained:
    folder = weights = None
    if name.startswith(LOCAL):
        folder = local_folder(name)
        config = _config(folder)
        if (weights := open_clip.factory._find_checkpoint_in_dir(folder)) is None:
            raise PhenoLIPError(f"{folder}: there are no weights (open_clip_model.safetensors)")
    else:
        config = open_clip.factory._get_hf_config(name.removeprefix(HUB))
    model_cfg, text_cfg = config["model_cfg"], config["model_cfg"]["text_cfg"]
    preprocess = _preprocess(name, config.get("preprocess_cfg"))
    place = None
    with ExitStack() as stack:
        if text_cfg.get("hf_model_name"):
            place = _text_tower(text_cfg["hf_model_name"], folder)
            if place is None:
                state = open_clip.factory.load_state_dict(weights or _hub_weights(name))
                place = stack.enter_context(tempfile.TemporaryDirectory(prefix="phenolip-"))
                write_json(Path(place) / "config.json", _bert(name, text_cfg["hf_model_name"], state))
            text_cfg = text_cfg | {"hf_model_name": str(place), "hf_model_pretrained": False}
        where = name if folder is None else f"{LOCAL}{folder}"
        model = open_clip.create_model_from_pretrained(where, text_cfg=text_cfg, return_transform=False)
    size = open_clip.model.get_model_preprocess_cfg(model)["size"]
    tokenizer = _tokenizer(where, folder, place, model_cfg["text_cfg"])
    positions = getattr(getattr(getattr(model, "text", None), "config", None), "max_position_embeddings", None)
    length = tokenizer.context_length
    if type(length) is not int or not 1 <= length <= (positions or length):
        most = f" up to {positions}" if positions else ""
        raise PhenoLIPError(f"{name}: context_length of text_cfg is {length!r}; its text tower takes a number{most}")
    return Pretrained(model, tokenizer, model_cfg, preprocess | {"size": size})


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        other = (folder / "config.json").is_file()
        hint = f"; for a transformers model say transformers:{folder}" if other else ""
        raise PhenoLIPError(f"{folder}: the folder has no {CONFIG}{hint}")
    config = read_json(path, ("model_cfg",))
    model = config["model_cfg"]
    parts = [model.get(key) for key in ("vision_cfg", "text_cfg")] if isinstance(model, dict) else [None]
    if not all(isinstance(part, dict) for part in parts) or "embed_dim" not in model:
        raise PhenoLIPError(f"{path}: model_cfg is no object with embed_dim, vision_cfg and text_cfg")
    return config


def _preprocess(name: str, given: Any) -> dict[str, Any]:
    """open_clip's ``preprocess_cfg`` made whole; what is taken for a missing mean or std is said."""
    given = given or {}
    if not isinstance(given, dict):
        raise PhenoLIPError(f"{name}: preprocess_cfg of {CONFIG} is no object")
    whole = open_clip.transform.merge_preprocess_dict(open_clip.transform.PreprocessCfg(), given)
    if missing := [key for key in ("mean", "std") if given.get(key) is None]:
        values = ", ".join(f"{key} {tuple(whole[key])}" for key in missing)
        log.warning(
            "%s: preprocess_cfg of %s names no %s; OpenAI's is taken: %s. Name the one it was trained with there",
            name,
            CONFIG,
            " and ".join(missing),
            values,
        )
    for key in ("mean", "std"):
        value = whole[key]
        if not (isinstance(value, (list, tuple)) and len(value) == 3 and all(_number(v, key) for v in value)):
            raise PhenoLIPError(f"{name}: {key} of preprocess_cfg is {value!r}; three numbers are needed")
    try:
        if not isinstance(whole["fill_color"], int):
            raise TypeError
        open_clip.transform.image_transform_v2(
            open_clip.transform.PreprocessCfg(**whole | {"size": 32}), is_train=False
        )
    except (AssertionError, TypeError, ValueError, KeyError):
        said = ", ".join(f"{key} {whole[key]!r}" for key in ("mode", "resize_mode", "interpolation", "fill_color"))
        raise PhenoLIPError(
            f"{name}: preprocess_cfg of {CONFIG} is not one that open_clip takes ({brief(said, 200)})"
        ) from None
    return whole


def _number(value: Any, key: str) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
    return known and (key == "mean" or value > 0)


# --- the text tower --------------------------------------------------------------------------------


def _text_tower(name: str, folder: Path | None) -> str | None:
    """Where the text tower's ``config.json`` is found, as transformers takes it."""
    from transformers import AutoConfig

    places = [folder, folder / name] if folder else []
    for place in [*places, Path(name).expanduser()]:
        file = place / "config.json"
        # A repository may also hold its model in another layout, whose config.json is of the whole.
        if file.is_file() and read_json(file, ("model_type",))["model_type"] in open_clip.hf_configs.arch_dict:
            return str(place)
    if Path(name).is_absolute() or name.startswith((".", "~")):
        return None
    try:
        AutoConfig.from_pretrained(name)
    except (OSError, ValueError):
        return None
    return name


def _hub_weights(name: str) -> str:
    return open_clip.factory.download_pretrained_from_hf(name.removeprefix(HUB))


def _bert(name: str, tower: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of a BERT by its tensors under ``text.transformer.``.

    Raises:
        PhenoLIPError: another architecture.
    """
    shapes = {key.removeprefix("text.transformer."): tuple(v.shape) for key, v in state.items()}
    words, positions, kinds = (
        shapes.get(f"embeddings.{part}_embeddings.weight", ()) for part in ("word", "position", "token_type")
    )
    inner = shapes.get("encoder.layer.0.intermediate.dense.weight", ())
    layers = len({key.split(".")[2] for key in shapes if key.startswith("encoder.layer.")})
    width = words[1] if len(words) == 2 else 0
    head = HEAD_WIDTH.get(width, 64)
    # RoBERTa's tensors have the same names and one kind of token; ALBERT, DistilBERT and others have other names.
    if not (layers and len(positions) == len(inner) == 2 and kinds == (2, width) and width and width % head == 0):
        raise PhenoLIPError(
            f"{name}: its text tower is {tower}, whose config.json is neither in the folder nor in the cache of the "
            "Hub; put that file into the folder"
        )
    log.warning(
        "%s: its text tower %s is taken for a BERT of %d layers, width %d and %d heads by its weights; its config.json "
        "in the folder would say for certain",
        name,
        tower,
        layers,
        width,
        width // head,
    )
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": words[0],
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // head,
        "intermediate_size": inner[0],
        "max_position_embeddings": positions[0],
        "type_vocab_size": kinds[0],
    }


def _tokenizer(where: str, folder: Path | None, place: str | None, text_cfg: Mapping[str, Any]) -> Any:
    """The checkpoint's own tokenizer, else that of its text tower."""
    if folder is None or not place:
        return open_clip.get_tokenizer(where)
    found = [source for source in (folder, Path(place)) if any((source / file).is_file() for file in TOKENIZER)]
    source = found[0] if found else text_cfg.get("hf_tokenizer_name") or text_cfg["hf_model_name"]
    try:
        return open_clip.tokenizer.HFTokenizer(
            str(source),
            context_length=text_cfg.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
            tokenizer_mode=text_cfg.get("tokenizer_mode"),
            **(text_cfg.get("tokenizer_kwargs") or {}),
        )
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise PhenoLIPError(f"{folder}: no tokenizer there ({', '.join(TOKENIZER[:3])}); {reason}") from None
