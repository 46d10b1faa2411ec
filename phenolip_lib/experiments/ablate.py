"""One named ablation: the full model with some parameters changed, trained and evaluated with every seed.

A change of stage 1 trains its own teacher, a change of PhenoKG builds its own training pairs. Every
ablation is tested on the same images, candidates and classes as the full model, ``evaluation.headline``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.kept import kept
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.runtime import log
from phenolip_lib.core.storage import digest, read_parquet, sha256_file, write_parquet
from phenolip_lib.curation import phenokg
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.data.records import DUPLICATE
from phenolip_lib.data.sources import source_records
from phenolip_lib.data.splits import identities
from phenolip_lib.experiments.evaluate import evaluate
from phenolip_lib.experiments.experiment import Experiment
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.training import stage1

TASKS = ("retrieval", "zero_shot")


def run_ablation(params: Params, source: str, name: str, paths: Paths) -> None:
    """Train and evaluate one named override of params with every seed, under ``build/<source>/ablations/<name>``.

    Raises:
        PhenoLIPError: no such ablation, or what its stages refuse.
    """
    ablated, onto = params.ablated(name), Ontology.load(paths.hpo)
    teacher = None
    if stage1.teacher_key(params, onto) != stage1.teacher_key(ablated, onto):
        log.info("ablation %s changes stage 1: its own teacher", name)
        teacher = _teacher(ablated, onto, paths)
    pairs = reference = load_pairs(paths.phenokg(source))
    if params.phenokg != ablated.phenokg:
        log.info("ablation %s changes PhenoKG: its own training pairs", name)
        quarantine = read_parquet(paths.phenokg(source) / "quarantine.parquet")
        pairs = same_test(reference, _rebuilt(ablated, source, onto, paths), quarantine)
    experiment = Experiment(ablated, source, paths, teacher, pairs=pairs, reference=reference)
    out = paths.ablation(source, name)
    out.mkdir(parents=True, exist_ok=True)
    for _ in experiment.side_by_side(
        _train_and_evaluate, [(name, seed, out) for seed in ablated.seeds], "ablated runs"
    ):
        pass


def _train_and_evaluate(experiment: Experiment, job: tuple[str, int, Path]) -> None:
    """One seed of `run_ablation`."""
    name, seed, out = job
    evaluate(experiment, experiment.trained(name, seed), name, seed, out, TASKS)


def same_test(reference: pd.DataFrame, rebuilt: pd.DataFrame, quarantine: pd.DataFrame) -> pd.DataFrame:
    """Validation and test of the reference with the training pairs of another build.

    Of the other build every pair goes whose picture, article or patient, or that of a pair of its group, is held out in
    the reference, or was set aside there as a copy of one.
    """
    held = reference[reference["split"].isin(["val", "test"])]
    copies = quarantine[quarantine["reason"].str.startswith(DUPLICATE)]
    copies = copies["record_id"][_figure(copies["reason"].str.removeprefix(DUPLICATE)).isin(_figure(held["record_id"]))]
    out = rebuilt["image"].isin(set(held["image"])) | _figure(rebuilt["record_id"]).isin(_figure(copies))
    kept = identities(held)
    for kind, ids in identities(rebuilt).items():
        out |= ids.isin(set(kept[kind].dropna()))
    train = rebuilt[~rebuilt["group"].isin(set(rebuilt["group"][out]))].assign(split="train")
    return pd.concat([held, train], ignore_index=True)[list(reference.columns)]


def _figure(record_ids: pd.Series) -> pd.Series:
    """Record ids of whole figures, for those of panels."""
    return record_ids.str.split("#", n=1).str[0]


def _teacher(params: Params, onto: Ontology, paths: Paths) -> KnowledgeEncoder:
    """The knowledge encoder of these parameters, trained once."""
    return kept(
        paths.cache / "teachers" / stage1.teacher_key(params, onto),
        lambda: stage1.train(params, onto, paths.cache)[0],
        lambda folder, encoder: encoder.save(folder, stage1.teacher_config(params)),
        KnowledgeEncoder.load,
    )


def _rebuilt(params: Params, source: str, onto: Ontology, paths: Paths) -> pd.DataFrame:
    """The pairs of these parameters, built once."""
    folder = (
        paths.cache
        / "ablated-pairs"
        / digest(
            source,
            onto.content,
            params.fingerprint("phenokg", "open"),
            code_digest(phenokg.__name__),
            *(sha256_file(paths.phenokg(source) / f"{name}.parquet") for name in ("pairs", "quarantine")),
        )
    )

    def build() -> pd.DataFrame:
        root = paths.data(source)
        records = list(source_records(source, root, params))
        return phenokg.build(records, root, onto, params.phenokg, paths.cache / "phenokg" / source).pairs

    return kept(folder, build, lambda target, pairs: write_parquet(target / "pairs.parquet", pairs), load_pairs)
