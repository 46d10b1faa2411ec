"""Model cards: ``README.md`` of a published model, with the header the Hugging Face Hub reads.

Header fields: https://huggingface.co/docs/hub/model-cards. Every number comes from the results that
are passed in, as ``build/<source>/evaluation/results/*.json`` holds them; what is not there is not
written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from phenolip_lib.core.storage import read_json, read_parquet
from phenolip_lib.evaluation.results import load_results
from phenolip_lib.models.towers import CONFIGS, named_configs
from phenolip_lib.reporting.tables import summarise

LIMITS = """\
For research on representations of medical images and phenotypes: embedding, search, zero-shot and linear-probe
experiments. **Not a medical device.** It must not be used for diagnosis, treatment or triage, nor to identify people.

- The texts are English, and the phenotypes are those of the Human Phenotype Ontology.
- What the training data does not hold (devices, populations, rare phenotypes) was not tested."""

IMAGE_LIMITS = """\
- Probabilities are relative to the phenotypes one asks about, and are not calibrated: a picture that shows none of
  them still gets a most likely one.
- Pictures that are no medical images are embedded as well, without a warning."""

FROM_HUB = """\
model, preprocess = open_clip.create_model_from_pretrained("{where}")
tokenizer = open_clip.get_tokenizer("{where}")"""

FROM_FOLDER = """\
folder = "path/to/this/folder"
text = json.load(open(f"{folder}/open_clip_config.json"))["model_cfg"]["text_cfg"] | {"hf_model_name": folder}
model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}", text_cfg=text)
tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")"""

OPEN_CLIP_USE = """\
```python
import json
import open_clip, torch
from PIL import Image

LOADING
model.eval()
with torch.no_grad():
    image, text, scale = model(preprocess(Image.open("image.png")).unsqueeze(0), tokenizer(["Splenomegaly"]))[:3]
print(scale * image @ text.T)
```"""

MOVED = f"""\
open_clip reads the text tower's `config.json` from where `hf_model_name` in `open_clip_config.json` says. Without a
network, wherever this folder lies, name the folder itself:

```python
import json

{FROM_FOLDER}
```"""

SENTENCE_TRANSFORMERS_USE = """\
```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{where}")
print(model.similarity(model.encode(["Splenomegaly"]), model.encode(["a large spleen"])))
```"""


@dataclass(frozen=True)
class Card:
    """What a model card says beside the standing texts.

    Attributes:
        name: title.
        library: ``open_clip`` or ``sentence-transformers``.
        where: the name one loads it by.
        licence: SPDX id of the weights; empty if none is stated.
        base_models: Hub names of what it was trained from.
        summary: one paragraph.
        training: settings, as a flat or nested mapping.
        data: one row a data set or step, with counts.
        licences: licences of the data, licence -> number of pairs or a remark.
        results: of this model, in the long form of `results.load_results`.
        provenance: versions and fingerprints.
    """

    name: str
    library: str
    where: str
    licence: str
    summary: str
    base_models: Sequence[str] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    data: pd.DataFrame | None = None
    licences: Mapping[str, Any] = field(default_factory=dict)
    results: pd.DataFrame | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


def model_card(card: Card) -> str:
    """The text of ``README.md``: header, summary, use, limits, data, training, results, licences, provenance."""
    parts = [f"---\n{_header(card)}---\n\n# {card.name}", card.summary, "## Use", *_use(card)]
    limits = f"{LIMITS}\n{IMAGE_LIMITS}" if card.library == "open_clip" else LIMITS
    parts += ["## Intended use and limits", limits]
    if card.data is not None and len(card.data):
        parts += ["## Training data", card.data.to_markdown(index=False)]
    if card.training:
        parts += ["## Training", _listing(card.training)]
    if card.results is not None and len(card.results):
        table = results_table(card.results)
        parts += ["## Results", _tested_on(card.results)]
        parts += [_printed(first)] if len(first := _headlines(table)) else []
        parts += [f"<details><summary>All {len(table)} numbers</summary>", _printed(table), "</details>"]
    licences = [f"Weights: {card.licence or 'no licence is stated'}."]
    if card.licences:
        licences += ["Data the weights were trained on:", _listing(card.licences)]
    parts += ["## Licences", *licences]
    if card.provenance:
        parts += ["## Provenance", _listing(card.provenance)]
    return "\n\n".join(parts) + "\n"


def results_table(results: pd.DataFrame) -> pd.DataFrame:
    """Every number of the results as it is printed: counts whole, shares with four digits.

    Args:
        results: long form of `results.load_results`, of one method.

    Returns:
        table (task, dataset, metric, value), sorted; of several seeds the mean, with sd (n - 1) and seeds.
    """
    table = summarise(results)
    count = table["metric"].str.startswith("n_")
    for column in ("mean", "sd"):
        table[column] = [f"{v:.0f}" if c else f"{v:.4f}" for v, c in zip(table[column], count, strict=True)]
    columns = ["task", "dataset", "metric", "mean"] + (["sd", "seeds"] if (table["seeds"] > 1).any() else [])
    return table[columns].rename(columns={"mean": "value"})


def _printed(table: pd.DataFrame) -> str:
    return table.to_markdown(index=False, disable_numparse=True)


def _headlines(table: pd.DataFrame) -> pd.DataFrame:
    """The rows most people ask for."""
    retrieval = (table["task"] == "retrieval") & table["metric"].str.match(r"(i2t|t2i|i2p|p2i)_recall@10$")
    return table[retrieval | ((table["task"] == "zero_shot") & (table["metric"] == "mean_per_class_recall"))]


def _tested_on(results: pd.DataFrame) -> str:
    seeds = ", ".join(map(str, sorted(results["seed"].unique())))
    return (
        f"Test split of {', '.join(sorted(results['source'].unique()))}, seed {seeds}. They hold for this data alone."
    )


def _header(card: Card) -> str:
    """The Hub's fields as YAML."""
    embeds_texts = card.library == "sentence-transformers"
    fields: dict[str, Any] = {
        "language": "en",
        "license": card.licence.lower() or "other",
        "library_name": card.library,
        "pipeline_tag": "sentence-similarity" if embeds_texts else "zero-shot-image-classification",
        "tags": ["medical", "human-phenotype-ontology", "sentence-transformers" if embeds_texts else "clip"],
    }
    if card.base_models:
        fields["base_model"] = list(card.base_models)
    yaml, stream = YAML(), StringIO()
    yaml.default_flow_style = False
    yaml.dump(fields, stream)
    return stream.getvalue()


def _listing(facts: Mapping[str, Any], depth: int = 0) -> str:
    """A mapping as a Markdown list; what is None is left out."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            lines += [f"{'  ' * depth}- {key}:", _listing(value, depth + 1)] if value else []
        elif value is not None:
            lines.append(f"{'  ' * depth}- {key}: {value}")
    return "\n".join(lines)


def _use(card: Card) -> list[str]:
    """How the model is loaded, with no place on the machine that wrote it."""
    if card.library != "open_clip":
        return [SENTENCE_TRANSFORMERS_USE.format(where=card.where or "path/to/this/folder")]
    if card.where.startswith("hf-hub:"):
        hub = OPEN_CLIP_USE.replace("import json\n", "").replace("LOADING", FROM_HUB.format(where=card.where))
        return [hub, MOVED]
    return [OPEN_CLIP_USE.replace("LOADING", FROM_FOLDER)]


def _shown(name: str) -> str:
    """The name of an encoder without its place on this machine."""
    prefix, mark, folder = name.partition("local-dir:")
    return f"{prefix}{mark}{Path(folder).name}" if mark else name


def student_card(run: Path, config: Mapping[str, Any], where: str, licence: str) -> Card:
    """The card of a trained student, from what lies beside it.

    Args:
        run: ``build/<source>/stage2/<name>``; its evaluation and its pairs are read if they are there.
        config: the run's ``<name>.json``.
        where: the name one loads it by.
        licence: SPDX id of the weights.
    """
    run = Path(run).resolve()
    name = run.with_suffix("").name if run.suffix in (".json", ".safetensors") else run.name
    build = run.parent.parent
    results, folder = None, build / "evaluation" / "results" / name
    provenance: dict[str, Any] = {}
    if files := sorted(folder.rglob("*.json")):
        results, provenance = load_results(folder), read_json(files[0], ("provenance",))["provenance"]
    data, licences, pairs = None, {}, build / "phenokg" / "pairs.parquet"
    if pairs.is_file():
        table = read_parquet(pairs, columns=["dataset", "split", "licence"])
        counts = table.groupby(["dataset", "split"]).size().unstack(fill_value=0)
        splits = [split for split in ("train", "val", "test") if split in counts.columns]
        data = counts[splits].reset_index().rename_axis(columns=None)
        licences = {k: f"{v} training pairs" for k, v in _counts(table[table["split"] == "train"]["licence"])}
    student = _shown(config["student"])
    drawn = " It was trained on **synthetic pictures alone**." if build.name == "phantom" else ""
    return Card(
        name=f"PhenoLIP {name}",
        library="open_clip",
        where=where,
        licence=licence,
        base_models=base_models(config["student"]),
        summary=f"An image-text model of medical images and phenotypes: the encoders of `{student}` with projection "
        f"heads, method `{config['method']}`, seed {config['seed']}.{drawn}",
        training={k: v for k, v in config.items() if k not in ("method", "seed")} | {"student": student},
        data=data,
        licences=licences,
        results=results,
        provenance=provenance,
    )


def encoder_card(folder: Path, where: str, licence: str) -> Card:
    """The card of a knowledge encoder, from its ``config.json``."""
    config = read_json(Path(folder) / "config.json", ("teacher",))
    training = {k: v for k, v in config.items() if k not in ("provenance", "fingerprint")}
    training["teacher"] = _shown(config["teacher"])
    return Card(
        name="PhenoLIP knowledge encoder",
        library="sentence-transformers",
        where=where,
        licence=licence,
        base_models=base_models(config["teacher"]),
        summary="A text encoder trained so that the names, synonyms, definitions and relations of one phenotype of "
        "the Human Phenotype Ontology lie together.",
        training=training,
        provenance=config.get("provenance", {}),
    )


def base_models(name: str) -> list[str]:
    """Hub names of what an encoder or a configuration starts from, as far as they are known."""
    if name.startswith("hf-hub:"):
        return [name.removeprefix("hf-hub:")]
    if name in named_configs():
        return [read_json(CONFIGS / f"{name}.json")["text_cfg"]["hf_model_name"]]
    return ["sentence-transformers/all-MiniLM-L6-v2"] if name == "minilm-l6-v2" else []


def _counts(column: pd.Series) -> list[tuple[str, int]]:
    return sorted(column.value_counts().items(), key=lambda item: (-item[1], item[0]))
