"""What methods, ablations and the systems beside PhenoLIP may change; the sections of those systems and of searches."""

from __future__ import annotations

import itertools
from math import prod
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from phenolip_lib.core.sections import Count, Names, Rate, Section, Seed, Share, Stage2, Text, Unique, Weight

Methods = Annotated[dict[str, dict[str, Any]], Field(min_length=1), Names]
BySource = dict[Literal["phantom", "open"], Annotated[list[str], Field(min_length=1), Names, Unique]]
ALONE = {
    "stage2.objective": "clip",
    "stage2.ontology_weight": 0.0,
    "stage2.names_weight": 0.0,
    "stage2.lambda_kd": 0.0,
    "stage2.student_text_init": "pretrained",
    "stage2.early_stopping": None,
}
"""Stage 2 without all that MedFILIP has in place of: its loss takes findings, has no teacher and no validation."""
UNREAD = {
    f"stage2.{key}"
    for key in Stage2.model_fields
    if f"stage2.{key}" in ALONE or key in ("shared_phenotypes", "validations") or key.startswith(("names_", "kd_"))
}
"""Keys of stage 2 that change nothing in MedFILIP."""
NO_METHOD = ("probe", "majority")
"""Rows of tables beside methods: the supervised probe of chest films, the commonest answer to a question."""
OF_A_METHOD = ("stage2", "encoders.student", "encoders.image_size", "encoders.context_length")
"""Sections and keys that a compared method may change; all else is made once for all methods, by other stages."""
OF_AN_ABLATION = ("phenokg", "encoders", "training", "stage1", "stage2")
"""The same of an ablation, which has training pairs and a teacher of its own where it changes them."""
OF_FILIP = ("stage2", *(f"medfilip.{key}" for key in "likeness loss book book_in_labels denied".split()))
OF_ARL = tuple(f"arl.{key}" for key in "graph align reason learn budget mismatches epochs model answer_epochs".split())
"""The same of a method of MedFILIP and of ARL."""


class System(Section):
    """A system beside PhenoLIP: its methods, by what they change, and those that run by default."""

    methods: Methods
    run: BySource

    @model_validator(mode="after")
    def _methods_that_run_exist(self):
        for source, names in self.run.items():
            for name in names:
                if name not in self.methods:
                    known = ", ".join(self.methods)
                    raise ValueError(f"{type(self).__name__.lower()}.run.{source} names {name!r}; name some of {known}")
        return self


class MedFILIP(System):
    likeness: Literal["own", "category", "lin"]
    loss: Literal["released", "cosine", "soft_infonce"]
    book: bool
    book_in_labels: bool
    denied: Literal["dropped", "opposed"]
    book_file: Text | None
    beside: Annotated[list[str], Field(min_length=1), Names, Unique]


class Arl(System):
    """The fusion model, its pretraining and its answers."""

    config: Text
    graph: Literal["none", "ontology", "random"]
    align: bool
    reason: bool
    learn: bool
    captions: Annotated[list[Text], Unique]
    min_count: Count
    masked_words: Share
    masked_cells: Annotated[float, Field(gt=0, lt=1)]
    budget: Literal["real", "released"]
    mismatches: Literal["random", "near"]
    variants: Count
    epochs: dict[Literal["phantom", "open"], Annotated[int, Field(ge=0, lt=2**31)]]
    batch_size: Annotated[int, Field(ge=2, lt=2**31)]
    learning_rate: Rate
    weight_decay: Weight
    warmup_share: Share
    model: Literal["fusion", "plain", "linear", "question"]
    answer_epochs: dict[Literal["phantom", "open"], Count]
    answer_batch_size: Annotated[int, Field(ge=2, lt=2**31)]
    answer_learning_rate: Rate
    folds: dict[str, Annotated[int, Field(ge=2, le=100)]]
    cross_validated: Annotated[list[str], Unique]
    baseline: str

    @model_validator(mode="after")
    def _fits_together(self):
        for name in ("epochs", "answer_epochs"):
            if missing := [source for source in self.run if source not in getattr(self, name)]:
                raise ValueError(f"arl.{name} has no value for the source {missing[0]!r}, which arl.run names")
        for source, names in self.run.items():
            if self.baseline not in names[1:] or self.methods[names[0]].get("arl.model", "fusion") != "fusion":
                raise ValueError(
                    f"arl.run.{source} must begin with a fusion model and name arl.baseline ({self.baseline}) after it"
                )
        if unknown := [name for name in self.cross_validated if name not in self.methods]:
            raise ValueError(f"arl.cross_validated names {unknown[0]!r}; name some of {', '.join(self.methods)}")
        if self.graph == "none" and (self.align or self.reason):
            raise ValueError("arl.graph is none, so arl.align and arl.reason must be false")
        return self


class Choice(Section):
    """Settings of stage 2 that `phenolip choose` judges inside the training folds."""

    seeds: Annotated[list[Seed], Field(min_length=1), Unique]
    inner_folds: Annotated[int, Field(ge=2)]
    settings: Methods


class Factors(Section):
    """Changes of stage 2 that `phenolip factors` crosses: each axis has levels, and a level what it changes."""

    seeds: Annotated[list[Seed], Field(min_length=1), Unique]
    folds: Annotated[int, Field(ge=0)]
    axes: Annotated[dict[str, Annotated[dict[str, dict[str, Any]], Names]], Names]

    @property
    def combinations(self) -> dict[str, dict[str, Any]]:
        """What each combination of levels changes; its name is that of its levels, in the order of the axes."""
        parts = [own.items() for own in self.axes.values()]
        return {
            "-".join(level for level, _ in levels): {key: value for _, own in levels for key, value in own.items()}
            for levels in itertools.product(*parts)
        }

    @model_validator(mode="after")
    def _axes_do_not_meet(self):
        if len(next(iter(self.axes.values()), {})) != 2:
            raise ValueError("the first axis is asked for its worth; give it two levels, without and with it")
        changed = [{key for own in levels.values() for key in own} for levels in self.axes.values()]
        if twice := [key for key in sorted(set().union(*changed)) if sum(key in own for own in changed) > 1]:
            raise ValueError(f"two axes change {twice[0]!r}, so they cannot be crossed")
        if len(self.combinations) < prod(map(len, self.axes.values())):
            raise ValueError("two combinations of levels have one name; name the levels otherwise")
        return self
