"""Sizes of a fusion model, one JSON a model in ``configs``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import read_json

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class FusionConfig:
    """Sizes of `model.Fusion`; those of the paper are in ``arl-base.json``.

    Attributes:
        image, text: names of the towers: of packaged frozen ones (`tokens`), or of timm's and transformers' (`towers`).
        image_size: pixels a side of the input.
        cells: a side, of the map that a frozen image tower is pooled to.
        text_tokens: after which a text is cut.
        width, heads, feed_forward, layers: of the image and the text stream.
        knowledge_width, knowledge_heads, knowledge_feed_forward: of the entities' stream.
        entities: most of one text.
        embedding: width of the entities' vectors before graph attention, by TransE.
        graph_heads: of its first layer; their widths together are that of its second one's input.
        graph_width: of a head.
        masked_after: layers after which masked image modelling reads the image stream.
        decoder_width, decoder_heads, decoder_layers: of masked image modelling.
        dropout: of the streams; that of graph attention is 0.2, as in the paper.
    """

    image: str
    text: str
    image_size: int
    cells: int
    text_tokens: int
    width: int
    heads: int
    feed_forward: int
    layers: int
    knowledge_width: int
    knowledge_heads: int
    knowledge_feed_forward: int
    entities: int
    embedding: int
    graph_heads: int
    graph_width: int
    masked_after: int
    decoder_width: int
    decoder_heads: int
    decoder_layers: int
    dropout: float


def load_config(name: str) -> FusionConfig:
    """A configuration by name.

    Raises:
        PhenoLIPError: there is none of that name.
    """
    known = sorted(path.stem for path in CONFIGS.glob("*.json"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise PhenoLIPError(f"arl.config: no fusion model {name!r}; {hint}")
    names = [field.name for field in fields(FusionConfig)]
    return FusionConfig(**read_json(CONFIGS / f"{name}.json", names))
