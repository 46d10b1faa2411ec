"""What notebook 3 shows of the knowledge encoder: the encoder before and after stage 1, beside lexical peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.core.params import Params
from phenolip_lib.evaluation import geometry, linking
from phenolip_lib.models.features import text_features
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder
from phenolip_lib.models.towers import load_text_tower
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition import gold
from phenolip_lib.recognition.recognizer import Recognizer

LABELS = {"untrained": "untrained encoder", "knowledge": "knowledge encoder"}
LEXICAL = {"char TF-IDF": linking.tfidf_ranks, "BM25": linking.bm25_ranks}
PAIRS = 20_000
BRANCH_TERMS = 200
NEIGHBOUR_TERMS = 2_000


@dataclass
class Compared:
    """The encoder before (``untrained``) and after stage 1 (``knowledge``).

    Attributes:
        texts: attribute texts of stage 1.
        embed: name -> texts to L2-normalised embeddings ``(n, dim)``.
        embeddings: name -> those of the attribute texts.
    """

    texts: pd.DataFrame
    embed: dict[str, Callable[[list[str]], np.ndarray]]
    embeddings: dict[str, np.ndarray]


def compared(encoder: KnowledgeEncoder, texts: pd.DataFrame, params: Params, cache: Path | None) -> Compared:
    """Embeddings of all attribute texts before and after training."""
    p, options = params.stage1, {"cache": cache, "workers": params.runtime.workers}
    raw = load_text_tower(params.encoders.teacher) if p.tower == "finetune" else encoder.tower

    def untrained(strings: list[str]) -> np.ndarray:
        features = text_features(raw, strings, max_tokens=p.max_tokens, **options)
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    embed = {"untrained": untrained, "knowledge": lambda strings: encoder.embed(strings, **options)}
    strings = texts["text"].tolist()
    return Compared(texts, embed, {name: own(strings) for name, own in embed.items()})


def linking_table(both: Compared, tasks: dict[str, linking.Task]) -> pd.DataFrame:
    """acc@1, acc@10 and MRR of lexical peers and the encoder before and after, a block a task with queries."""
    rows = []
    for name, task in tasks.items():
        if not task.queries:
            continue
        found = {label: ranks(both.texts, task) for label, ranks in LEXICAL.items()}
        for key, label in LABELS.items():
            found[label] = linking.embedding_ranks(task, both.embed[key](task.queries), both.embeddings[key])
        rows += [{"task": name} | linking.linking_row(label, ranks) for label, ranks in found.items()]
    return pd.DataFrame(rows)


def held_out(both: Compared) -> pd.DataFrame:
    """Synonyms and definitions that training never saw, each to find its term."""
    tasks = {f"{kind} → term": linking.held_out_task(both.texts, kind) for kind in ("synonym", "definition")}
    return linking_table(both, tasks)


def mentions(both: Compared, documents: dict[str, list[gold.Document]], onto: Ontology) -> pd.DataFrame:
    """Wordings that annotators marked in texts, all and those the dictionary does not read."""
    dictionary = gold.terms_of(Recognizer(onto))
    tasks = {}
    for name, own in documents.items():
        found = linking.gold_mentions(own, onto, dictionary)
        tasks[name] = linking.mention_task(both.texts, found)
        tasks[f"{name}, not in the dictionary"] = linking.mention_task(both.texts, found[~found["covered"]])
    return linking_table(both, tasks)


def similarity(both: Compared, onto: Ontology) -> pd.DataFrame:
    """Spearman's rho of cosine and Lin's similarity, over all pairs and within organ systems."""
    sample = geometry.similarity_sample(onto, both.texts, n=PAIRS, seed=0)
    branches = geometry.branch_samples(onto, both.texts, BRANCH_TERMS, seed=0)
    rows = [geometry.similarity_row(LABELS[name], own, sample, branches) for name, own in both.embeddings.items()]
    return pd.DataFrame(rows)


def neighbour_distance(both: Compared, onto: Ontology) -> pd.DataFrame:
    """Ontology distance of each name's ten nearest names, between chance and the best there is."""
    around = geometry.surroundings(onto, both.texts, NEIGHBOUR_TERMS, seed=0)
    random, best = geometry.neighbour_limits(around)
    rows = [geometry.neighbour_row(LABELS[name], own, around) for name, own in both.embeddings.items()]
    return pd.DataFrame([random, *rows, best])


def similarity_pairs(both: Compared, onto: Ontology) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lin's similarity, and the cosine before and after training, of sampled pairs of names."""
    first, second, lin = geometry.similarity_sample(onto, both.texts, n=PAIRS, seed=0)
    before, after = ((e[first] * e[second]).sum(axis=1) for e in both.embeddings.values())
    return lin, before, after


def of_names(both: Compared) -> tuple[list[str], dict[str, np.ndarray]]:
    """HPO ids of the terms, and the embeddings of their names before and after training."""
    rows = np.flatnonzero(both.texts["kind"] == "name")
    return both.texts["hpo_id"].iloc[rows].tolist(), {name: own[rows] for name, own in both.embeddings.items()}


def neighbours(hpo_ids: Sequence[str], both: Compared, k: int = 5) -> pd.DataFrame:
    """The `k` nearest phenotype names of each term before and after training."""
    names = both.texts["text"][both.texts["kind"] == "name"].to_numpy()
    ids, embeddings = of_names(both)
    table = {}
    for hpo_id in hpo_ids:
        at = ids.index(hpo_id)
        for label, own in embeddings.items():
            scores = own @ own[at]
            table[f"{names[at]} ({label})"] = names[np.argsort(-scores, kind="stable")[1 : k + 1]]
    return pd.DataFrame(table)
