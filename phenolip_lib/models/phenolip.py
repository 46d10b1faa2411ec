"""A trained model in use: embed pictures and texts, name phenotypes, search.

>>> model = PhenoLIP.load("build/phantom/stage2/phenolip-seed0")     # doctest: +SKIP
>>> model.embed_images(["a.png"]) @ model.embed_texts(["large spleen"]).T  # doctest: +SKIP
>>> model.classify("a.png", ["Splenomegaly", "Cardiomegaly"])        # doctest: +SKIP

Everything runs in float32, so that a published folder gives the same numbers under plain open_clip.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image

from phenolip_lib.core.compat import open_clip
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import pick_device
from phenolip_lib.core.storage import digest, digest_arrays
from phenolip_lib.models.export import student_preprocess
from phenolip_lib.models.image_input import ImageLike, read
from phenolip_lib.models.pretrained import HUB, LOCAL
from phenolip_lib.models.prompts import PROMPTS, ensemble
from phenolip_lib.models.prompts import prompts as modality_prompts
from phenolip_lib.models.student import read_student
from phenolip_lib.models.towers import TwoTowers, load_towers
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.wordings import RANKS

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_HPO_ID = re.compile(r"HP:\d{7}", re.IGNORECASE)


@dataclass
class ImageIndex:
    """Embedded pictures to search in: their names and embeddings ``(n, embed_dim)``."""

    names: list[str]
    embeddings: np.ndarray


class PhenoLIP:
    """An image-text model with its own preprocessing; `load` makes one.

    Args:
        towers: the model taken apart.
        preprocess: open_clip's ``preprocess_cfg``, complete.
        logit_scale: a factor, not its logarithm.
        logit_bias: of a SigLIP model, else None.
        ontology: resolves HPO ids and names.
        device: where the towers run.
    """

    def __init__(
        self,
        towers: TwoTowers,
        preprocess: dict[str, Any],
        logit_scale: float,
        logit_bias: float | None,
        ontology: Ontology | None,
        device: torch.device,
    ) -> None:
        self.towers, self.preprocess_cfg = towers, preprocess
        self.logit_scale, self.logit_bias = logit_scale, logit_bias
        self.ontology, self.device = ontology, device
        towers.model.to(device)
        self.transform = open_clip.transform.image_transform_v2(
            open_clip.transform.PreprocessCfg(**preprocess), is_train=False
        )

    @classmethod
    def load(cls, where: str | Path, ontology: Ontology | None = None, device: str = "auto") -> PhenoLIP:
        """Load a model.

        Args:
            where: a published folder, ``local-dir:PATH``, ``hf-hub:OWNER/NAME``, or a trained student
                ``<folder>/<name>`` such as ``build/phantom/stage2/phenolip-seed0``.
            ontology: lets `classify` take HPO ids and gives names their ids.
            device: ``auto``, ``cpu`` or ``cuda``.

        Raises:
            PhenoLIPError: absent, a pickle, damaged, or of another shape or architecture.
        """
        torch_device, name = pick_device(device), str(where)
        path = Path(name.removeprefix(LOCAL)).expanduser()
        if path.suffix in PICKLES and not path.is_dir():
            raise PhenoLIPError(f"{path}: pickled weights can run any code and are not read; use safetensors")
        if name.startswith((LOCAL, HUB)) or path.is_dir():
            towers = load_towers(name if name.startswith(HUB) else f"{LOCAL}{path}", 224, 1 << 20)
            scale, bias = towers.model.logit_scale, towers.model.logit_bias
            bias, preprocess = None if bias is None else bias.item(), towers.config["preprocess_cfg"]
        else:
            student, _ = read_student(path)
            towers, scale, preprocess = student.towers, student.logit_scale, student_preprocess(student)
            bias = student.logit_bias.item() or None
        return cls(towers, preprocess, scale.exp().item(), bias, ontology, torch_device)

    @property
    def embed_dim(self) -> int:
        return self.towers.embed_dim

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights and of the preprocessing: equal for models that embed pictures alike."""
        state = self.towers.model.visual.state_dict()
        return digest(digest_arrays(*(state[key].cpu().numpy() for key in sorted(state))), self.preprocess_cfg)

    # --- embeddings -----------------------------------------------------------------------------

    def pixels(self, image: ImageLike) -> torch.Tensor:
        """What the image tower sees of a picture, float32 ``(3, size, size)``.

        Raises:
            PhenoLIPError: not a picture.
        """
        return self.transform(read(image))

    @torch.no_grad()
    def embed_images(self, images: Sequence[ImageLike] | ImageLike, batch_size: int = 32) -> np.ndarray:
        """L2-normalised embeddings of pictures, float32 ``(n_images, embed_dim)``.

        Args:
            images: paths (also ``archive.zip::member``), PIL images or uint8 arrays ``(height, width[, 3])``.

        Raises:
            PhenoLIPError: none given, or one is not a picture.
        """
        images = _listed(images, "images")
        rows = []
        for start in range(0, len(images), batch_size):
            pixels = torch.stack([self.pixels(image) for image in images[start : start + batch_size]])
            rows.append(F.normalize(self.towers.model.encode_image(pixels.to(self.device)), dim=-1).cpu())
        return torch.cat(rows).numpy()

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str] | str, batch_size: int = 128) -> np.ndarray:
        """L2-normalised embeddings of texts, float32 ``(n_texts, embed_dim)``.

        Raises:
            PhenoLIPError: none given, or one is not a text.
        """
        texts = _listed(texts, "texts")
        if odd := [text for text in texts if not isinstance(text, str)]:
            raise PhenoLIPError(f"{odd[0]!r} is not a text")
        rows = []
        for start in range(0, len(texts), batch_size):
            tokens = self.towers.text.tokens(texts[start : start + batch_size]).to(self.device)
            rows.append(F.normalize(self.towers.model.encode_text(tokens), dim=-1).cpu())
        return torch.cat(rows).numpy()

    # --- phenotypes -----------------------------------------------------------------------------

    def classify(
        self, image: ImageLike, phenotypes: Sequence[str], prompts: str | Sequence[str] = "default"
    ) -> pd.DataFrame:
        """Which of some phenotypes a picture shows.

        Args:
            image: see `embed_images`.
            phenotypes: HPO ids (with an ontology), names, synonyms or free texts.
            prompts: templates with ``{name}``, or a modality of ``prompts.json``, or ``default``.

        Returns:
            table (hpo_id, name, probability, cosine), most likely first; hpo_id is empty for free texts.
            Probabilities sum to 1 over the candidates; those of a SigLIP model are one by one.

        Raises:
            PhenoLIPError: not a picture, no phenotypes, an unknown id, or a template without ``{name}``.
        """
        return self.classify_all([image], phenotypes, prompts)[0]

    def classify_all(
        self, images: Sequence[ImageLike], phenotypes: Sequence[str], prompts: str | Sequence[str] = "default"
    ) -> list[pd.DataFrame]:
        """`classify` of several pictures, whose phenotypes are embedded once."""
        candidates = self.resolve(phenotypes)
        ensembles = self.embed_names([name for _, name in candidates], prompts)
        tables = []
        for cosine in self.embed_images(images) @ ensembles.T:
            logits = torch.from_numpy(cosine.astype(np.float64)) * self.logit_scale
            probability = logits.softmax(0) if self.logit_bias is None else (logits + self.logit_bias).sigmoid()
            table = pd.DataFrame(candidates, columns=["hpo_id", "name"])
            table["probability"], table["cosine"] = probability.numpy(), cosine
            tables.append(table.sort_values("cosine", ascending=False, kind="stable", ignore_index=True))
        return tables

    def embed_names(self, names: Sequence[str], prompts: str | Sequence[str] = "default") -> np.ndarray:
        """The normalised mean of each name's prompt embeddings, float32 ``(n_names, embed_dim)``.

        Args:
            prompts: see `classify`.
        """

        def embed(texts: list[str]) -> np.ndarray:
            order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little is spent on padding
            found = np.empty((len(texts), self.embed_dim), np.float32)
            found[order] = self.embed_texts([texts[i] for i in order])
            return found

        return ensemble(embed, names, _templates(prompts))

    def resolve(self, phenotypes: Sequence[str]) -> list[tuple[str, str]]:
        """(HPO id, name) of each phenotype, each once; ("", text) for what the ontology has no name for.

        Raises:
            PhenoLIPError: none given, an id that is unknown, or an id without an ontology.
        """
        found = []
        for text in (" ".join(str(p).split()) for p in _listed(phenotypes, "phenotypes")):
            if not text:
                raise PhenoLIPError("a phenotype is an empty text")
            if _HPO_ID.fullmatch(text):
                if self.ontology is None:
                    raise PhenoLIPError(f"{text}: HPO ids need the ontology; load it with Ontology.load('build/hpo')")
                if text.upper() not in self.ontology:
                    raise PhenoLIPError(f"{text} is not in HPO {self.ontology.release}")
                found.append(self.ontology.resolve(text.upper()))
            else:
                found.append(self._names.get(text.casefold(), text))
        names = {hpo_id: self.ontology[hpo_id].name for hpo_id in found if self.ontology and hpo_id in self.ontology}
        return [(item, names[item]) if item in names else ("", item) for item in dict.fromkeys(found)]

    @cached_property
    def _names(self) -> dict[str, str]:
        """HPO id by folded name, or by a synonym that only one term has."""
        if self.ontology is None:
            return {}
        terms, synonyms = self.ontology.tables["terms"], self.ontology.tables["synonyms"]
        synonyms = synonyms[synonyms["scope"].isin(RANKS)]
        own = synonyms.assign(key=synonyms["synonym"].str.casefold())[["key", "hpo_id"]].drop_duplicates()
        own = own.drop_duplicates("key", keep=False).set_index("key")["hpo_id"]
        return own.to_dict() | dict(zip(terms["name"].str.casefold(), terms["hpo_id"], strict=True))

    # --- search ---------------------------------------------------------------------------------

    def index(self, images: Sequence[str | Path]) -> ImageIndex:
        """Image files to search in."""
        return ImageIndex([str(image) for image in images], self.embed_images(images))

    def retrieve(self, query: ImageLike, index: ImageIndex, k: int = 10) -> pd.DataFrame:
        """The pictures of an index that are nearest to a query.

        Args:
            query: a text (``str``), or a picture (``Path``, PIL image or array).

        Returns:
            table (image, cosine) of at most `k` rows, nearest first.

        Raises:
            PhenoLIPError: `k` below 1, or an index of another model.
        """
        if k < 1:
            raise PhenoLIPError(f"k is {k}; at least 1 is needed")
        if index.embeddings.ndim != 2 or index.embeddings.shape[1] != self.embed_dim:
            raise PhenoLIPError(f"the index holds {index.embeddings.shape}, this model embeds in {self.embed_dim}")
        embedding = (self.embed_texts if isinstance(query, str) else self.embed_images)([query])[0]
        cosine = index.embeddings @ embedding
        best = np.argsort(-cosine, kind="stable")[:k]
        return pd.DataFrame({"image": [index.names[i] for i in best], "cosine": cosine[best]})


def _templates(prompts: str | Sequence[str]) -> list[str]:
    if isinstance(prompts, str):
        if prompts not in PROMPTS:
            raise PhenoLIPError(f"no prompts for {prompts!r}; there are {', '.join(PROMPTS)}")
        return modality_prompts(prompts)
    templates = _listed(prompts, "prompts")
    if bad := [template for template in templates if "{name}" not in template]:
        raise PhenoLIPError(f"the prompt {bad[0]!r} has no {{name}}")
    return templates


def _listed(items: Any, what: str) -> list:
    """One item or several, as a list that is not empty."""
    single = isinstance(items, (str, Path, Image.Image)) or (isinstance(items, np.ndarray) and what == "images")
    if listed := [items] if single else list(items):
        return listed
    raise PhenoLIPError(f"no {what} given")
