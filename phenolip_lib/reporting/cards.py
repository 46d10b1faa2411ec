"""The cards a report keeps beside its tables: of the data set a source became, and of the model trained on it."""

from __future__ import annotations

from pathlib import Path

from phenolip_lib.core.names import SOURCES
from phenolip_lib.core.params import Params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import read_json, write_text
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.graph.exports import huggingface
from phenolip_lib.reporting.model_card import model_card, student_card


def write_cards(source: str, params: Params, paths: Paths, target: Path) -> None:
    """Write ``DATASET_CARD.md`` and ``MODEL_CARD.md`` of the headline method's first seed into `target`.

    The model's licence stays open: it follows from the data's, which the card lists.
    """
    pairs = load_pairs(paths.phenokg(source))
    counts = pairs["split"].value_counts().sort_index()
    sizes = {huggingface.SPLIT_NAMES[split]: {"num_examples": int(n)} for split, n in counts.items()}
    write_text(target / "DATASET_CARD.md", huggingface.card(pairs, f"PhenoKG of {SOURCES[source]}", sizes))
    run = paths.stage2(source) / f"{params.evaluation.headline}-seed{params.seeds[0]}"
    config = read_json(run.with_suffix(".json"))
    write_text(target / "MODEL_CARD.md", model_card(student_card(run, config, "local-dir:my-model", "")))
