"""The sections of params.yaml: which keys there are and what values they take. What they mean stands there.

Those of MedFILIP, ARL and the searches for settings are in `systems`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.names import name_fault

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Rate = Annotated[float, Field(gt=0.0, le=10.0)]
"""Of learning: AdamW moves each weight by about that much a step."""
Temperature = Annotated[float, Field(ge=1e-3, le=10.0)]
"""Divides cosines; beyond these bounds all pairs are alike, or exponents overflow."""
Weight = Annotated[float, Field(ge=0.0, le=1e6)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Workers = Annotated[int, Field(ge=1, le=1024)]
"""Threads or processes side by side; some are all started at once."""
Model = Annotated[str, Field(pattern=r"[^:\s]\s*$")]
"""A name or address of weights, such as ``local-dir:FOLDER``, which is not empty behind its colon."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[str, Field(pattern=r"\S")]
HpoId = Annotated[str, Field(pattern=r"^HP:\d{7}$")]
BAD_NAME = "bad_name"


def _check_names(value: Any) -> Any:
    """The keys of a mapping or the entries of a list, each a name; anything else is left to pydantic."""
    for name in value if isinstance(value, (Mapping, list)) else ():
        if fault := name_fault(name):
            raise PydanticCustomError(BAD_NAME, "{fault}", {"fault": fault})
    return value


Names = BeforeValidator(_check_names)
"""Marks the fields whose keys or entries become folders or words of a command."""


def _check_unique(value: list) -> list:
    if again := [item for i, item in enumerate(value) if item in value[:i]]:
        raise ValueError(f"names {again[0]!r} twice")
    return value


Unique = AfterValidator(_check_unique)
"""Marks lists whose entries make one result each."""


def _check_folds(value: int) -> int:
    if value == 1:
        raise ValueError("one fold leaves nothing to train on; give 2 or more, or 0 for none")
    return value


def check_keys(tree: Any, where: str, path: str = "") -> None:
    """Raise `PhenoLIPError` for a key that is no text: YAML reads 1, true and null as something else."""
    for key, value in tree.items() if isinstance(tree, Mapping) else ():
        if not isinstance(key, str):
            word = json.dumps(key, default=str).strip('"')
            place = f" under {path!r}" if path else ""
            raise PhenoLIPError(f"{where}: the key {word}{place} is no text; write it in quotes, '{word}'")
        check_keys(value, where, f"{path}.{key}" if path else key)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Runtime(Section):
    threads: Workers
    workers: Workers
    processes: Workers
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]


class Hpo(Section):
    obo: Text
    sha256: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$")] | None
    annotations: Text | None

    @model_validator(mode="after")
    def _pinned(self):
        if self.obo.startswith(("http://", "https://")) and self.sha256 is None:
            raise ValueError("obo is a URL and needs its sha256: an unpinned ontology is not reproducible")
        if (self.annotations or "").startswith(("http://", "https://")):
            raise ValueError("annotations cannot be a URL; download phenotype.hpoa and give its path")
        return self


class Atlas(Section):
    seed: Seed
    image_size: Annotated[int, Field(ge=64, le=1024)]
    subjects_per_finding: Count
    normal_share: Annotated[float, Field(ge=0, lt=1)]
    second_finding_share: Share
    compound_share: Share
    duplicate_share: Share
    workers: Workers


class Open(Section):
    datasets: Annotated[list[Text], Field(min_length=1), Unique]
    caption_language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class Splits(Section):
    train: Annotated[float, Field(gt=0, le=1)]
    val: Share
    test: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _whole(self):
        if abs(self.train + self.val + self.test - 1.0) > 1e-6:
            raise ValueError("train + val + test must be 1")
        return self


class PhenoKG(Section):
    """Curation of records into image-text pairs."""

    seed: Seed
    use: Literal["any", "redistribution", "commercial"]
    link: Literal["caption", "caption+context"]
    visible_only: bool
    min_medical: Share
    split_compound: bool
    panel_detector: Text | None
    clusters: Annotated[list[Count], Field(min_length=2, max_length=2)] | None
    drop_clusters: dict[str, list[str]]
    image_encoder: Text
    refine: Annotated[str, Field(pattern=r"^(none|rules|local:.+|openai:https?://.+#.+)$")]
    duplicate_distance: Annotated[int, Field(ge=0, le=32)]
    duplicate_correlation: Share
    mask_banners: bool
    balance_phenotypes: bool
    splits: Splits
    exports: Annotated[list[Literal["kgx", "rdf", "webdataset", "huggingface", "phenobench"]], Unique]
    engine: Literal["serial", "processes", "ray"]
    workers: Workers
    batch_size: Count

    @model_validator(mode="after")
    def _clusters_to_drop(self):
        if self.drop_clusters and self.clusters is None:
            raise ValueError("drop_clusters names clusters, but clusters is null: give the counts it was decided with")
        return self


class Encoders(Section):
    student: Model
    teacher: Model
    image_size: Annotated[int, Field(ge=32, le=4096)]
    context_length: Annotated[int, Field(ge=8, le=2**20)]


class Stage1(Section):
    texts: Annotated[
        list[Literal["name", "synonym", "definition", "comment", "relation", "annotation"]], Field(min_length=1), Unique
    ]
    max_tokens: Annotated[int, Field(ge=8, le=2**20)]
    held_out_share: Share
    held_out_definitions: Share
    tower: Literal["frozen", "finetune"]
    projection: Literal["linear", "mlp", "residual"]
    embed_dim: Count
    loss: Literal["two_view", "adasp", "kad"]
    texts_per_concept: Annotated[int, Field(ge=2, le=64, multiple_of=2)]
    hard_share: Annotated[float, Field(ge=0, lt=1)]
    temperature: Temperature
    learn_temperature: bool
    near_terms: Literal["negatives", "masked", "softened"]
    batch_size: Annotated[int, Field(ge=2, lt=2**31)]
    epochs: Annotated[int, Field(ge=0, lt=2**31)]
    learning_rate: Rate
    tower_learning_rate: Rate
    weight_decay: Weight
    warmup_share: Share
    seed: Seed


class Training(Section):
    precision: Literal["bf16", "float32"]
    accumulation: Count
    gradient_checkpointing: bool
    compile: bool
    local_loss: bool
    gather_with_grad: bool
    max_gradient_norm: Positive | None
    checkpoint_steps: Count
    log_steps: Count
    loader_workers: Annotated[int, Field(ge=0, le=1024)]


class Stage2(Section):
    objective: Literal["clip", "siglip", "ssm", "ssm_ontology"]
    ontology_weight: Weight
    names_weight: Weight
    names_negatives: Literal["batch", "seen", "all"]
    names_batch: Count
    names_near: Literal["negatives", "masked", "softened"]
    names_embedder: Literal["student", "teacher"]
    names_wordings: Annotated[list[Literal["name", "synonym", "definition", "sentence"]], Field(min_length=1), Unique]
    lambda_kd: Weight
    kd_texts: Literal["captions", "captions+ontology"]
    kd_ontology_batch: Count
    student_text_init: Literal["pretrained", "teacher"]
    shared_phenotypes: Literal["negatives", "masked"]
    image_tower: Literal["frozen", "finetune"]
    text_tower: Literal["frozen", "finetune"]
    frozen_epochs: Annotated[int, Field(ge=0, lt=2**31)]
    init_temperature: Temperature
    batch_size: Annotated[int, Field(ge=2, lt=2**31)]
    epochs: Annotated[int, Field(ge=0, lt=2**31)]
    learning_rate: Rate
    tower_learning_rate: Rate
    weight_decay: Weight
    warmup_share: Share
    head_dropout: Annotated[float, Field(ge=0, lt=1)]
    image_views: Annotated[int, Field(ge=1, le=6)]
    feature_noise: Weight
    feature_mixup: Weight
    sampling: Literal["uniform", "balanced"]
    train_share: Annotated[float, Field(gt=0, le=1)]
    caption_noise: Share
    caption_words: Count | None
    augment: Literal["none", "anatomy"] | dict[str, list[str]]
    augment_strength: Annotated[float, Field(ge=0, le=2)]
    shards: Text | None
    shuffle_buffer: Count
    validations: Count
    early_stopping: Count | None


class Evaluation(Section):
    candidates: Count
    candidate_sets: Annotated[list[Count], Unique]
    face_candidates: Count
    localisation_side: Annotated[int, Field(ge=32, le=4096)]
    folds: dict[Literal["phantom", "open"], Annotated[int, Field(ge=0, le=100), AfterValidator(_check_folds)]]
    unseen_share: dict[Literal["phantom", "open"], Share]
    baseline: str
    headline: str
    cross_validated: Annotated[list[str], Field(min_length=1), Names, Unique]
    split_seed: Seed
    resamples: Count
    drift: Weight
    probe_seeds: Annotated[list[Seed], Field(min_length=1), Unique]
    probe_shares: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1), Unique]
    probe_min_per_class: Count
    cells_per_class: Count
    peers: Annotated[list[Text], Unique]


class Tour(Section):
    """The methods that notebook 0 shows, and the phenotype that it follows, for each source."""

    methods: Annotated[list[str], Field(min_length=1), Names, Unique]
    phantom: HpoId
    open: HpoId


class Ablations(Section):
    """Named overrides of other sections; `run` lists those of the default pipeline."""

    run: Annotated[list[str], Names, Unique]
    overrides: Annotated[dict[str, dict[str, Any]], Names]
