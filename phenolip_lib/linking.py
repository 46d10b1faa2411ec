"""How good is a text encoder on the ontology? Held-out synonyms, and similarity against Lin's."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, identity
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer

from phenolip_lib.metrics import best_ranks
from phenolip_lib.ontology import Ontology


def held_out_ranks(texts: pd.DataFrame, embeddings: np.ndarray) -> np.ndarray:
    """Rank of the right term for each held-out synonym, among the names of all phenotypes.

    Args:
        texts: attribute texts with ``kind`` and ``held_out``.
        embeddings: ``(len(texts), dim)``, L2-normalised.
    """
    names, held = np.flatnonzero(texts["kind"] == "name"), np.flatnonzero(texts["held_out"])
    return best_ranks(embeddings[held], embeddings[names], _truth(texts, names, held))


def _truth(texts: pd.DataFrame, names: np.ndarray, held: np.ndarray) -> csr_matrix:
    column = {hpo_id: j for j, hpo_id in enumerate(texts["hpo_id"].to_numpy()[names])}
    columns = [column[hpo_id] for hpo_id in texts["hpo_id"].to_numpy()[held]]
    return identity(len(names), dtype=bool, format="csr")[columns]


def tfidf_ranks(texts: pd.DataFrame) -> np.ndarray:
    """The lexical baseline: character 3-5-grams within words, TF-IDF, cosine."""
    names, held = np.flatnonzero(texts["kind"] == "name"), np.flatnonzero(texts["held_out"])
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32)
    items = vectorizer.fit_transform(texts["text"].to_numpy()[names])
    scores = (vectorizer.transform(texts["text"].to_numpy()[held]) @ items.T).toarray()
    own = scores[_truth(texts, names, held).nonzero()]
    # The same rule as `best_ranks`: ties count against the model.
    return (scores >= own[:, None]).sum(axis=1)


def linking_row(encoder: str, ranks: np.ndarray) -> dict:
    """acc@1, acc@10 and mean reciprocal rank of one encoder."""
    return {
        "encoder": encoder,
        "acc@1": float((ranks == 1).mean()),
        "acc@10": float((ranks <= 10).mean()),
        "mrr": float((1 / ranks).mean()),
        "queries": len(ranks),
    }


def similarity_sample(
    onto: Ontology, texts: pd.DataFrame, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of phenotype names for comparing cosine with Lin similarity.

    Half of the pairs are drawn at random, half among terms that share a parent or grandparent,
    since two random terms are hardly ever similar.

    Returns:
        positions of both names in `texts` and the Lin similarity, each ``(n_pairs,)``.
    """
    rng = np.random.default_rng(seed)
    names = np.flatnonzero(texts["kind"] == "name")
    ids = texts["hpo_id"].to_numpy()[names]
    place = {hpo_id: i for i, hpo_id in enumerate(ids)}
    chosen = rng.choice(len(ids), size=min(n // 20, len(ids)), replace=False)
    lin = onto.lin(ids[chosen], ids[chosen])
    i, j = np.triu_indices(len(chosen), k=1)
    some = rng.choice(len(i), size=min(n // 2, len(i)), replace=False)
    first, second, value = [chosen[i[some]]], [chosen[j[some]]], [lin[i[some], j[some]]]
    for a in chosen:
        near = [onto.parents.get(p, [p])[0] for p in onto.parents.get(ids[a], ())]
        family = sorted({place[d] for top in near for d in onto.descendants(top) if d in place} - {a})
        if family:
            members = rng.choice(family, size=min(10, len(family)), replace=False)
            first.append(np.full(len(members), a))
            second.append(members)
            value.append(onto.lin([ids[a]], ids[members])[0])
    return names[np.concatenate(first)], names[np.concatenate(second)], np.concatenate(value)


def similarity_correlation(embeddings: np.ndarray, sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    """Spearman's rho of cosine and Lin similarity over the sampled pairs."""
    first, second, lin = sample
    return float(spearmanr((embeddings[first] * embeddings[second]).sum(axis=1), lin).statistic)
