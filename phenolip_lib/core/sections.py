"""The sections of params.yaml: which keys there are and what values they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from phenolip_lib.core.names import name_fault

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
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


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Runtime(Section):
    threads: Count
    workers: Count
    processes: Count
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]


class Hpo(Section):
    """Which ontology release, from where."""

    obo: str
    sha256: str | None
    annotations: str | None


class Atlas(Section):
    """Size and mix of the synthetic data set."""

    seed: int
    image_size: Annotated[int, Field(ge=64, le=1024)]
    subjects_per_finding: Count
    normal_share: Share
    second_finding_share: Share
    compound_share: Share
    duplicate_share: Share
    workers: Count


class Open(Section):
    """Which public data sets of the folder ``data/open`` are used."""

    datasets: Annotated[list[str], Field(min_length=1)]
    caption_language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] = "en"


class Splits(Section):
    train: Share
    val: Share
    test: Share

    @model_validator(mode="after")
    def _whole(self):
        if abs(self.train + self.val + self.test - 1.0) > 1e-6:
            raise ValueError("train + val + test must be 1")
        return self


class PhenoKG(Section):
    """Curation of records into image-text pairs."""

    seed: int
    use: Literal["any", "redistribution", "commercial"]
    link: Literal["caption", "caption+context"]
    visible_only: bool
    min_medical: Share
    split_compound: bool
    panel_detector: str | None
    clusters: Annotated[list[Count], Field(min_length=2, max_length=2)] | None
    drop_clusters: dict[str, list[str]]
    image_encoder: str
    refine: Annotated[str, Field(pattern=r"^(none|rules|local:.+|openai:https?://.+#.+)$")]
    duplicate_distance: Annotated[int, Field(ge=0, le=32)]
    duplicate_correlation: Share
    mask_banners: bool
    balance_phenotypes: bool
    splits: Splits
    exports: list[Literal["kgx", "rdf", "webdataset", "huggingface", "phenobench"]]
    engine: Literal["serial", "processes", "ray"]
    workers: Count
    batch_size: Count

    @model_validator(mode="after")
    def _clusters_to_drop(self):
        if self.drop_clusters and self.clusters is None:
            raise ValueError("drop_clusters names clusters, but clusters is null: give the counts it was decided with")
        return self


class Encoders(Section):
    """The towers: named configurations, or open_clip checkpoints."""

    student: str
    teacher: str
    image_size: Annotated[int, Field(ge=32)]
    context_length: Annotated[int, Field(ge=8)]


class Stage1(Section):
    """The knowledge encoder."""

    texts: Annotated[
        list[Literal["name", "synonym", "definition", "comment", "relation", "annotation"]], Field(min_length=1)
    ]
    max_tokens: Annotated[int, Field(ge=8)]
    held_out_share: Share
    held_out_definitions: Share
    tower: Literal["frozen", "finetune"]
    projection: Literal["linear", "mlp", "residual"]
    embed_dim: Count
    loss: Literal["two_view", "adasp", "kad"]
    texts_per_concept: Annotated[int, Field(ge=2, multiple_of=2)]
    hard_share: Annotated[float, Field(ge=0, lt=1)]
    temperature: Positive
    learn_temperature: bool
    near_terms: Literal["negatives", "masked", "softened"]
    batch_size: Annotated[int, Field(ge=2)]
    epochs: Annotated[int, Field(ge=0)]
    learning_rate: Positive
    tower_learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_share: Share
    seed: int


class Training(Section):
    """The engine of both stages."""

    precision: Literal["bf16", "float32"]
    accumulation: Count
    gradient_checkpointing: bool
    compile: bool
    local_loss: bool
    gather_with_grad: bool
    max_gradient_norm: Positive | None
    checkpoint_steps: Count
    log_steps: Count
    loader_workers: Annotated[int, Field(ge=0)]


class Stage2(Section):
    """Distilled image-text pretraining."""

    objective: Literal["clip", "siglip", "ssm", "ssm_ontology"]
    ontology_weight: Annotated[float, Field(ge=0)]
    lambda_kd: Annotated[float, Field(ge=0)]
    kd_texts: Literal["captions", "captions+ontology"]
    kd_ontology_batch: Count
    student_text_init: Literal["pretrained", "teacher"]
    shared_phenotypes: Literal["negatives", "masked"]
    image_tower: Literal["frozen", "finetune"]
    text_tower: Literal["frozen", "finetune"]
    frozen_epochs: Annotated[int, Field(ge=0)]
    init_temperature: Positive
    batch_size: Annotated[int, Field(ge=2)]
    epochs: Annotated[int, Field(ge=0)]
    learning_rate: Positive
    tower_learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_share: Share
    head_dropout: Annotated[float, Field(ge=0, lt=1)]
    sampling: Literal["uniform", "balanced"]
    train_share: Annotated[float, Field(gt=0, le=1)]
    caption_noise: Share
    caption_words: Count | None
    augment: Literal["none", "anatomy"] | dict[str, list[str]]
    augment_strength: Annotated[float, Field(ge=0, le=2)]
    shards: str | None
    shuffle_buffer: Count
    validations: Count
    early_stopping: Count | None


class Evaluation(Section):
    candidates: Count
    candidate_sets: list[Count]
    face_candidates: Count
    localisation_side: Annotated[int, Field(ge=32)]
    folds: dict[Literal["phantom", "open"], Annotated[int, Field(ge=0)]]
    unseen_share: dict[Literal["phantom", "open"], Share]
    baseline: str
    headline: str
    cross_validated: Annotated[list[str], Field(min_length=1), Names]
    split_seed: int
    resamples: Count
    probe_seeds: Annotated[list[int], Field(min_length=1)]
    probe_shares: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]
    probe_min_per_class: Count
    cells_per_class: Count
    peers: list[str]


class Tour(Section):
    """The methods that notebook 0 shows, and the phenotype that it follows, for each source."""

    methods: Annotated[list[str], Field(min_length=1), Names]
    phantom: HpoId
    open: HpoId


class Ablations(Section):
    """Named overrides of other sections; `run` lists those of the default pipeline."""

    run: Annotated[list[str], Names]
    overrides: Annotated[dict[str, dict[str, Any]], Names]
