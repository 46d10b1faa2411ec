"""Images and texts as a fusion model takes them: tokens of frozen towers, and the entities of each text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import digest_arrays
from phenolip_lib.models.fusion.config import FusionConfig
from phenolip_lib.models.fusion.model import NONE
from phenolip_lib.models.fusion.tokens import image_cells, text_states, tokenise
from phenolip_lib.models.towers import TwoTowers, load_towers, named_configs
from phenolip_lib.training.arl.knowledge import KnowledgeGraph, Span

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Texts:
    """Texts with their entities.

    Attributes:
        states: of a frozen text tower, float16 ``(n, t, width)``.
        ids: of their tokens ``(n, t)``.
        lengths: in tokens ``(n,)``.
        entities: rows of the graph ``(n, e)``, else `NONE`.
        spans: first token of each and the one after its last ``(n, e, 2)``.
    """

    states: np.ndarray
    ids: np.ndarray
    lengths: np.ndarray
    entities: np.ndarray
    spans: np.ndarray

    def without(self, hidden: np.ndarray) -> Texts:
        """The same without the entities that `hidden` marks ``(n, e)``."""
        return replace(
            self, entities=np.where(hidden, NONE, self.entities), spans=np.where(hidden[..., None], 0, self.spans)
        )

    def inputs(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Inputs:
        """What `Fusion` takes of some texts, padded to the longest of them."""
        longest = int(self.lengths[rows].max())
        places = np.arange(longest)
        starts, ends = self.spans[rows, :, :1], self.spans[rows, :, 1:]
        found = {
            "text": self.states[rows, :longest].astype(np.float32),
            "text_mask": places < self.lengths[rows, None],
            "entities": self.entities[rows],
            "spans": ((places >= starts) & (places < ends)).astype(np.float32),
        }
        return {key: torch.from_numpy(value).to(device) for key, value in found.items()}


@dataclass(frozen=True)
class Examples:
    """Images, texts, and which belong together.

    Attributes:
        images: cells of a frozen image tower, float16 ``(n_images, 1 + cells², width)``.
        texts: each once.
        image_rows, text_rows: of each example ``(n,)``.
    """

    images: np.ndarray
    texts: Texts
    image_rows: np.ndarray
    text_rows: np.ndarray

    def __len__(self) -> int:
        return len(self.image_rows)

    @property
    def content(self) -> str:
        """A hash of all of it, for cache keys."""
        t = self.texts
        arrays = (self.images, t.states, t.ids, t.lengths, t.entities, t.spans, self.image_rows, self.text_rows)
        return digest_arrays(*arrays)

    def inputs(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Inputs:
        """Arguments of `Fusion` for some examples."""
        image = torch.from_numpy(self.images[self.image_rows[rows]].astype(np.float32)).to(device)
        return {"image": image, **self.texts.inputs(self.text_rows[rows], device)}


class Reader:
    """The frozen towers of a fusion model, which make examples of images and texts.

    Args:
        config: of the model.
        device, workers, cache: as in `models.features`.
    """

    def __init__(self, config: FusionConfig, device: torch.device | str, workers: int, cache: Path | None) -> None:
        if config.image not in named_configs():
            raise PhenoLIPError(
                f"arl.config: the towers of this model ({config.image}, {config.text}) would have to train, which "
                "chapter 8 does not do; take arl-tiny, or build it with models.fusion.towers"
            )
        self.config = config
        self.options = {"device": device, "workers": workers, "cache": cache}
        self.images: TwoTowers = load_towers(config.image, config.image_size, config.text_tokens)
        self.texts = (
            self.images
            if config.text == config.image
            else load_towers(config.text, config.image_size, config.text_tokens)
        ).text

    @property
    def widths(self) -> tuple[int, int]:
        """Of an image token and of a text token."""
        return self.images.model.visual.trunk.num_features, self.texts.width

    def cells(self, images: pd.DataFrame, root: Path) -> np.ndarray:
        return image_cells(self.images, images, root, self.config.cells, **self.options)

    def states(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return text_states(self.texts, ids, lengths, **self.options)

    def read(self, texts: Sequence[str], spans: Sequence[Sequence[Span]], graph: KnowledgeGraph | None) -> Texts:
        """Texts with those of their entities that the graph has, the first `FusionConfig.entities` of each.

        Args:
            spans: entities of each text, places in the text as it is given.
        """
        c, index = self.config, graph.index if graph else {}
        cut = tokenise(self.texts, texts, c.text_tokens)
        entities = np.full((len(texts), c.entities), NONE, dtype=np.int64)
        places = np.zeros((len(texts), c.entities, 2), dtype=np.int64)
        for row, (text, own) in enumerate(zip(texts, spans, strict=True)):
            kept = []
            for span in own if text == cut.texts[row] else ():
                start, end = cut.tokens_of(row, span.start, span.end)
                if span.entity in index and end > start:
                    kept.append((index[span.entity], start, end))
            for slot, (entity, start, end) in enumerate(kept[: c.entities]):
                entities[row, slot], places[row, slot] = entity, (start, end)
        return Texts(self.states(cut.ids, cut.lengths), cut.ids, cut.lengths, entities, places)


def clean(reader: Reader, texts: Sequence[str]) -> list[str]:
    """Texts as the tower reads them, in which entities are to be looked for."""
    return [reader.texts.clean(text) for text in texts]


def unique(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Each value once, sorted, and the row of each of the given ones."""
    names, rows = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    return names.tolist(), rows
