"""The knowledge encoder Phi_k of stage 1: a text trunk and its projection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import atomic_path, digest, digest_arrays, read_json, write_json
from phenolip_lib.models.features import text_features
from phenolip_lib.models.towers import TextTower, load_text_tower, own_random_numbers
from phenolip_lib.models.weights import read_weights


class Residual(nn.Module):
    """``x + MLP(x)`` with the last layer at zero: training starts from the pretrained geometry."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width, bias=False))
        nn.init.zeros_(self.mlp[2].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(x)


def make_projection(kind: str, width: int, embed_dim: int) -> nn.Module:
    """Projection from trunk features ``(n, width)`` to the shared space ``(n, embed_dim)``."""
    if kind == "linear":
        return nn.Linear(width, embed_dim, bias=False)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(width, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim))
    if width != embed_dim:
        raise PhenoLIPError(
            f"stage1.projection 'residual' keeps the width of the text tower: "
            f"set stage1.embed_dim to {width}, not {embed_dim}"
        )
    return Residual(width, 4 * width)


@dataclass
class KnowledgeEncoder:
    """The stage-1 teacher Phi_k: a text trunk and the projection trained over the ontology."""

    tower: TextTower
    projection: nn.Module
    max_tokens: int
    """Of a text of the ontology; a caption may be as long as the tower takes."""

    @property
    def fingerprint(self) -> str:
        """A hash of what embeddings depend on: the trunk and the projection's weights."""
        return digest(
            self.tower.fingerprint, digest_arrays(*(v.numpy() for _, v in sorted(self.projection.state_dict().items())))
        )

    @torch.no_grad()
    def embed(
        self, texts, *, max_tokens: int | None = None, cache: Path | None = None, device="cpu", workers: int = 1
    ) -> np.ndarray:
        """L2-normalised embeddings, float32 ``(n_texts, embed_dim)``.

        Args:
            max_tokens: where texts are cut; as the ontology's by default.
        """
        limit = max_tokens or self.max_tokens
        return self.project(
            text_features(self.tower, list(texts), max_tokens=limit, cache=cache, device=device, workers=workers)
        )

    @torch.no_grad()
    def project(self, features: np.ndarray) -> np.ndarray:
        """Embeddings of trunk features ``(n, width)``, by parts: the hidden layer of all HPO texts takes 500 MB."""
        self.projection.eval()
        parts = torch.from_numpy(features).split(4096)
        return torch.cat([F.normalize(self.projection(part), dim=-1) for part in parts]).numpy()

    def save(self, folder: Path, config: dict) -> None:
        """``model.safetensors`` and ``config.json``; a frozen trunk is named, not copied."""
        state = {f"projection.{k}": v.contiguous() for k, v in self.projection.state_dict().items()}
        if config["tower"] == "finetune":
            state |= {f"trunk.{k}": v.contiguous() for k, v in self.tower.encoder.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / "model.safetensors") as temporary:
            save_file(state, temporary)
        write_json(folder / "config.json", config)

    @classmethod
    def load(cls, folder: Path) -> KnowledgeEncoder:
        """Read what `save` wrote.

        Raises:
            PhenoLIPError: absent, or the tensors do not fit the configuration.
        """
        if not (folder / "config.json").is_file():
            raise PhenoLIPError(f"{folder}: there is no knowledge encoder; run `dvc repro stage1`")
        config = read_json(folder / "config.json", ("teacher", "projection", "embed_dim", "max_tokens"))
        tower = load_text_tower(config["teacher"])
        with own_random_numbers(0):
            projection = make_projection(config["projection"], tower.width, config["embed_dim"])
        state = read_weights(folder / "model.safetensors")
        try:
            projection.load_state_dict(
                {k.removeprefix("projection."): v for k, v in state.items() if k.startswith("projection.")}
            )
            trunk = {k.removeprefix("trunk."): v for k, v in state.items() if k.startswith("trunk.")}
            if trunk:
                tower.encoder.load_state_dict(trunk)
                tower.fingerprint = weights_hash(tower)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise PhenoLIPError(f"{folder}: a checkpoint of another architecture: {first}") from None
        return cls(tower, projection.requires_grad_(False), config["max_tokens"])


def weights_hash(tower: TextTower) -> str:
    """A hash of a trained trunk, under which its features are kept."""
    return digest_arrays(*(v.numpy() for _, v in sorted(tower.encoder.state_dict().items())))
