"""Trained models as folders that other libraries load, without this package.

``save_open_clip`` writes for open_clip 3.3.0 (``local-dir:`` and ``hf-hub:``)::

    open_clip_config.json         model_cfg, preprocess_cfg
    open_clip_model.safetensors   both towers, heads, logit_scale (a logarithm), logit_bias for SigLIP
    config.json                   of the transformers text tower
    tokenizer.json, tokenizer_config.json

open_clip takes the tokenizer from the folder itself, but the text tower's ``config.json`` from where
``hf_model_name`` says, and a relative name there is relative to the working directory. So that name
is the Hub repository the folder will be uploaded to, or, without one, ``.``: no place on this machine, so that
the folder can be moved. The model card has the lines that load it from anywhere with open_clip alone.

``save_sentence_transformers`` writes ``modules.json`` with the stock modules Transformer, Pooling,
Dense and Normalize, under the names that releases 2 to 6 read; its trunk is a transformers model.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import atomic_folder, atomic_path, read_json, write_json, write_text
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder, Residual
from phenolip_lib.models.student import Student
from phenolip_lib.models.towers import TextTower

GELU, IDENTITY = "torch.nn.modules.activation.GELU", "torch.nn.modules.linear.Identity"
MODULES = "sentence_transformers.models"


def student_preprocess(student: Student) -> dict[str, Any]:
    """open_clip's ``preprocess_cfg`` of what the student saw."""
    towers = student.towers
    return {
        "size": [towers.image_size] * 2,
        "mode": "RGB",
        "mean": list(towers.mean),
        "std": list(towers.std),
        **towers.fit._asdict(),
    }


def save_open_clip(student: Student, folder: Path, repo_id: str | None = None, card: str = "") -> None:
    """Write the student as an open_clip model.

    Args:
        folder: replaced as a whole.
        repo_id: ``OWNER/NAME`` on the Hub. With it open_clip loads ``hf-hub:OWNER/NAME``, later also
            offline from the Hub's cache, and ``local-dir:OWNER/NAME`` beside ``OWNER``. Without it open_clip
            loads ``local-dir:.`` inside the folder.
        card: text of ``README.md``.

    Raises:
        PhenoLIPError: open_clip has no text head, or no pooling, like this student's.
    """
    towers, folder = student.towers, Path(folder)
    if towers.image_cells > 1:
        raise PhenoLIPError(
            f"open_clip has no image tower that pools {towers.image_cells} x {towers.image_cells} cells; publish a "
            "student of encoders.student phenolip-tiny"
        )
    source, text = towers.config["model_cfg"], towers.text
    name = repo_id or "."
    text_cfg = {
        "hf_model_name": name,
        "hf_tokenizer_name": name,
        "hf_model_pretrained": False,
        "hf_pooler_type": source["text_cfg"].get("hf_pooler_type", "mean_pooler"),
        "hf_proj_type": _head_type(student.text_head, text.width, towers.embed_dim),
        "context_length": text.context_length,
    }
    vision_cfg = source["vision_cfg"] | {"timm_model_pretrained": False, "image_size": towers.image_size}
    model_cfg = {"embed_dim": towers.embed_dim, "vision_cfg": vision_cfg, "text_cfg": text_cfg}

    state = towers.model.state_dict() | {"logit_scale": student.logit_scale}
    bias = student.logit_bias.item()
    if bias:  # only SigLIP moves it from zero
        model_cfg["init_logit_bias"] = bias
        state["logit_bias"] = student.logit_bias
    preprocess = student_preprocess(student)
    with atomic_folder(folder) as temporary:
        write_json(temporary / "open_clip_config.json", {"model_cfg": model_cfg, "preprocess_cfg": preprocess})
        _write_tensors(temporary / "open_clip_model.safetensors", state)
        _write_text_tower(temporary, text, text.context_length)
        if card:
            write_text(temporary / "README.md", card)


def save_sentence_transformers(encoder: KnowledgeEncoder, folder: Path, card: str = "") -> None:
    """Write the knowledge encoder as a sentence-transformers model, and its trunk as a transformers model.

    Args:
        folder: replaced as a whole.
        card: text of ``README.md``.

    Raises:
        PhenoLIPError: sentence-transformers has no pooling or projection like this encoder's.
    """
    tower = encoder.tower
    if type(tower.encoder.pooler).__name__ != "MeanPooler":
        raise PhenoLIPError(f"the knowledge encoder pools by {type(tower.encoder.pooler).__name__}, not by the mean")
    layers = dense_layers(encoder.projection)
    length = min(encoder.max_tokens, tower.context_length)
    with atomic_folder(Path(folder)) as temporary:
        modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
        modules += [(f"{i}_Dense", "Dense") for i in range(2, 2 + len(layers))]
        modules.append((f"{2 + len(layers)}_Normalize", "Normalize"))
        write_json(
            temporary / "modules.json",
            [
                {"idx": i, "name": str(i), "path": path, "type": f"{MODULES}.{kind}"}
                for i, (path, kind) in enumerate(modules)
            ],
        )
        write_json(temporary / "config_sentence_transformers.json", {"prompts": {}, "similarity_fn_name": "cosine"})
        write_json(
            temporary / "sentence_bert_config.json",
            # The tower has no pooler of BERT's own; without this transformers would make a random one.
            {"max_seq_length": length, "do_lower_case": False, "model_args": {"add_pooling_layer": False}},
        )
        _write_tensors(temporary / "model.safetensors", tower.encoder.transformer.state_dict())
        _write_text_tower(temporary, tower, length)
        pooling = {"word_embedding_dimension": tower.width, "pooling_mode_mean_tokens": True}
        write_json(temporary / "1_Pooling" / "config.json", pooling)
        for (path, _), (weight, bias, activation) in zip(modules[2:-1], layers, strict=True):
            config = {
                "in_features": weight.shape[1],
                "out_features": weight.shape[0],
                "bias": bias is not None,
                "activation_function": activation,
            }
            write_json(temporary / path / "config.json", config)
            tensors = {"linear.weight": weight} | ({} if bias is None else {"linear.bias": bias})
            _write_tensors(temporary / path / "model.safetensors", tensors)
        (temporary / modules[-1][0]).mkdir()
        write_json(temporary / modules[-1][0] / "config.json", {})
        if card:
            write_text(temporary / "README.md", card)


def dense_layers(projection: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor | None, str]]:
    """A projection as dense layers (weight ``(out, in)``, bias, class of the activation).

    ``x + MLP(x)`` becomes two layers as well: ``GELU(x) - GELU(-x) = x``, so that x itself passes
    through ``2 * width`` further hidden units whose weights are the identity and its negative.

    Raises:
        PhenoLIPError: another kind of projection.
    """
    if isinstance(projection, nn.Linear):
        return [(projection.weight, projection.bias, IDENTITY)]
    inner = projection.mlp if isinstance(projection, Residual) else projection
    if not isinstance(inner, nn.Sequential) or [type(m) for m in inner] != [nn.Linear, nn.GELU, nn.Linear]:
        raise PhenoLIPError(f"the projection {type(projection).__name__} cannot be written as dense layers")
    first, _, second = inner
    if not isinstance(projection, Residual):
        return [(first.weight, first.bias, GELU), (second.weight, second.bias, IDENTITY)]
    eye = torch.eye(first.in_features)
    up = torch.cat([first.weight, eye, -eye])
    bias = torch.cat([first.bias, torch.zeros(2 * first.in_features)])
    return [(up, bias, GELU), (torch.cat([second.weight, eye, -eye], dim=1), second.bias, IDENTITY)]


def _head_type(head: nn.Module, width: int, embed_dim: int) -> str | None:
    """open_clip's ``hf_proj_type`` of a text head (open_clip.hf_model.HFTextEncoder)."""
    if isinstance(head, nn.Identity):
        return None
    if isinstance(head, nn.Linear) and head.bias is None:
        return "linear"
    if isinstance(head, nn.Sequential) and [type(m) for m in head] == [nn.Linear, nn.GELU, nn.Linear]:
        first, _, second = head
        if first.bias is None and second.bias is None and first.out_features == (width + embed_dim) // 2:
            return "mlp"
    raise PhenoLIPError(
        "open_clip has no text head like this student's (stage2.student_text_init 'teacher'); "
        "train with 'pretrained', or with stage1.projection 'linear'"
    )


def _write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    own = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with atomic_path(path) as temporary:  # which others may read; safetensors' own files are private
        save_file(own, temporary, metadata={"format": "pt"})


def _write_text_tower(folder: Path, tower: TextTower, length: int) -> None:
    """``config.json`` and the tokenizer, without traces of where they came from and of the last call."""
    transformer = tower.encoder.transformer
    config = transformer.config.to_diff_dict() | {"architectures": [type(transformer).__name__]}
    write_json(folder / "config.json", {k: v for k, v in config.items() if k != "_name_or_path"})
    tokenizer = copy.deepcopy(tower.tokenizer)
    tokenizer.model_max_length = length
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    settings = read_json(folder / "tokenizer_config.json")
    loading = ("is_local", "local_files_only", "max_length")
    write_json(folder / "tokenizer_config.json", {k: v for k, v in settings.items() if k not in loading})
