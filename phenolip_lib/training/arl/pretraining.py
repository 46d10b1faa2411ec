"""Pretraining of a fusion model on images with captions, as a task of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params
from phenolip_lib.core.systems import Arl
from phenolip_lib.models.fusion.model import NONE
from phenolip_lib.models.fusion.pretext import IGNORED, Pretext
from phenolip_lib.models.fusion.towers import normalised
from phenolip_lib.training.arl.inputs import Examples, Reader, Texts
from phenolip_lib.training.arl.knowledge import KnowledgeGraph, related
from phenolip_lib.training.arl.masks import mask
from phenolip_lib.training.distributed import Group
from phenolip_lib.training.engine import Output, Step
from phenolip_lib.training.schedule import seed_of

WEIGHTS = {"mlm": 1.0, "mim": 1.0, "itm": 0.1, "align": 1.0}
"""Of the objectives, as in ARL."""


@dataclass(frozen=True)
class Masked:
    """One way to hide tokens of all texts.

    Attributes:
        texts: with hidden tokens and without hidden entities.
        labels: words of hidden tokens ``(n, t)``, else `IGNORED`.
    """

    texts: Texts
    labels: np.ndarray


def words_of(texts: Texts) -> np.ndarray:
    """Token ids that occur, sorted: the vocabulary that hidden tokens are told from.

    The first and the last token of a text stand for it and are never hidden.
    """
    place = np.arange(texts.ids.shape[1])
    return np.unique(texts.ids[(place > 0) & (place < texts.lengths[:, None] - 1)])


def hide(texts: Texts, settings: Arl, reader: Reader, variants: int) -> list[Masked]:
    """Ways to hide tokens, drawn once for all seeds of training, since a frozen tower has to read each of them."""
    words, limit, found = words_of(texts), texts.ids.shape[1], []
    for variant in range(variants):
        random = np.random.default_rng(variant)
        made = []
        for row in range(len(texts.ids)):
            own, length = texts.entities[row] != NONE, int(texts.lengths[row])
            made.append(
                mask(
                    texts.ids[row], length, [tuple(map(int, span)) for span in texts.spans[row][own]],
                    share=settings.masked_words, whole=settings.learn,
                    of=length if settings.budget == "real" else limit,
                    mask_id=reader.texts.tokenizer.mask_token_id, others=words, random=random,
                )
            )  # fmt: skip
        ids, labels = np.stack([m.ids for m in made]), np.stack([m.labels for m in made])
        hidden = np.zeros(texts.entities.shape, dtype=bool)
        for row, m in enumerate(made):
            hidden[row, np.flatnonzero(texts.entities[row] != NONE)] = m.hidden
        known = np.where(labels == IGNORED, IGNORED, np.searchsorted(words, labels))
        changed = Texts(reader.states(ids, texts.lengths), ids, texts.lengths, texts.entities, texts.spans)
        found.append(Masked(changed.without(hidden), known))
    return found


class FusionPretraining:
    """Images against their captions (`engine.Task`).

    Args:
        params: with the sections arl and training.
        examples: of training alone.
        masked: of `hide`.
        model: what is trained.
        graph: for mismatches that are near; None where there is no graph.
    """

    name = "ARL"
    advice = "lower arl.learning_rate"

    def __init__(
        self,
        params: Params,
        examples: Examples,
        masked: list[Masked],
        model: Pretext,
        graph: KnowledgeGraph | None,
        seed: int,
        group: Group,
        device: torch.device,
    ) -> None:
        p = params.arl
        if len(examples) < 2:
            raise PhenoLIPError(f"ARL: {len(examples)} training pairs; matching needs at least 2")
        self.params, self.examples, self.masked, self.module = params, examples, masked, model
        self.seed, self.group, self.device = seed, group, device
        self.size = min(p.batch_size, len(examples) // group.size * group.size)
        group.share(self.size, "arl.batch_size")
        self.steps_per_epoch = len(examples) // self.size
        n_entities = len(graph.entities) if graph else 0
        self.said = _said(examples, n_entities)
        self.near = self.said @ related(graph).astype(np.float32) > 0 if graph and p.mismatches == "near" else None

    def groups(self) -> list[dict[str, Any]]:
        return parameter_groups(self.module, self.params.arl.learning_rate, self.params.arl.weight_decay)

    def start_epoch(self, epoch: int) -> bool:
        return False

    def steps(self, epoch: int, first: int) -> Iterator[Step]:
        order = np.random.default_rng(seed_of(self.seed, epoch)).permutation(len(self.examples))
        for step in range(first, self.steps_per_epoch):
            random = np.random.default_rng(seed_of(self.seed, epoch, step))
            rows = order[step * self.size : (step + 1) * self.size]
            other, is_match = self._mismatch(rows, random)
            n_cells = self.examples.images.shape[1] - 1
            n_kept = max(round((1 - self.params.arl.masked_cells) * n_cells), 1)
            kept = np.sort(np.argsort(random.random((len(rows), n_cells)), axis=1)[:, :n_kept], axis=1)
            own = np.arange(self.size)[self.group.share(self.size)]
            parts = np.array_split(own, min(self.params.training.accumulation, len(own)))
            yield Step([self._part(rows[i], other[i], is_match[i], kept[i], epoch) for i in parts], {})

    def _part(
        self, rows: np.ndarray, other: np.ndarray, is_match: np.ndarray, kept: np.ndarray, epoch: int
    ) -> dict[str, Any]:
        """Arguments of `Pretext` for some examples."""
        masked, ex = self.masked[epoch % len(self.masked)], self.examples
        pair = ex.inputs(rows, self.device)
        texts = ex.text_rows[rows]
        told = masked.texts.inputs(texts, self.device)
        images = torch.from_numpy(ex.images[ex.image_rows[other]].astype(np.float32)).to(self.device)
        facts = {
            "kept": torch.from_numpy(kept),
            "is_match": torch.from_numpy(is_match),
            "labels": torch.from_numpy(masked.labels[texts][:, : told["text"].shape[1]]),
            "image_entities": torch.from_numpy(self.said[rows]),
        }
        return {
            "pair": pair,
            "masked": {"image": pair["image"], **told},
            "matched": pair | {"image": images},
            "target": normalised(pair["image"][:, 1:]),
            **{key: value.to(self.device) for key, value in facts.items()},
        }

    def _mismatch(self, rows: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The example whose image each text gets, half of them another's; and 1 where it is its own."""
        other, is_match = rows.copy(), np.ones(len(rows), dtype=np.int64)
        images, texts = self.examples.image_rows[rows], self.examples.text_rows[rows]
        for i in random.permutation(len(rows))[: len(rows) // 2]:
            free = np.flatnonzero((images != images[i]) & (texts != texts[i]))  # one caption suits both images
            if not len(free):
                continue
            pick = random.choice(free)
            if self.near is not None:
                shared = (self.near[rows[free]] & self.near[rows[i]]).sum(1)
                likeness = shared / np.maximum((self.near[rows[free]] | self.near[rows[i]]).sum(1), 1)
                likeness[(self.said[rows[free]] == self.said[rows[i]]).all(axis=1)] = -1  # may well be true of it
                if likeness.max() > 0:
                    pick = free[likeness.argmax()]
            other[i], is_match[i] = rows[pick], 0
        return other, is_match

    def loss(self, output: Output, facts: dict[str, Any]) -> Output:
        means = {key: value.mean() for key, value in output.items()}
        return {"loss": sum(WEIGHTS[key] * value for key, value in means.items()), **means}

    def after_step(self) -> Output:
        return {}


def _said(examples: Examples, n_entities: int) -> np.ndarray:
    """1 for the entities of all texts of an example's image, float32 ``(n, n_entities)``."""
    by_image = np.zeros((len(examples.images), n_entities), dtype=np.float32)
    for image, text in zip(examples.image_rows, examples.text_rows, strict=True) if n_entities else ():
        own = examples.texts.entities[text]
        by_image[image, own[own != NONE]] = 1
    return by_image[examples.image_rows]


def parameter_groups(
    module: torch.nn.Module, rate: float, weight_decay: float, fast: tuple[str, ...] = (), times: float = 1.0
) -> list[dict[str, Any]]:
    """Parameters of AdamW, those of one dimension without decay, those whose name begins with one of `fast` faster."""
    groups: dict[tuple[float, float], list] = {}
    for name, value in module.named_parameters():
        own = rate * times if fast and name.startswith(fast) else rate
        groups.setdefault((own, weight_decay * (value.ndim > 1)), []).append(value)
    return [{"params": own, "lr": lr, "weight_decay": decay} for (lr, decay), own in sorted(groups.items())]
