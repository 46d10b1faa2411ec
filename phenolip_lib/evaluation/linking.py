"""Does a text find its phenotype?

Texts of the ontology that were held out before training (`attribute_texts.attribute_texts`) and wordings
that annotators marked in free text are ranked against all terms, by an encoder or by a lexical
baseline. Ties count against it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.evaluation.metrics import incidence
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.morphology import normal_form

if TYPE_CHECKING:
    from phenolip_lib.recognition.gold import Document

BLOCK = 256
"""Queries scored at a time; with 41,000 names and synonyms 40 MB of scores."""


# --- finding the term of a text ------------------------------------------------------------------


class Task(NamedTuple):
    """Texts that are to find their terms.

    A term scores as the best of its items, and is found at the rank of that score among all terms.
    """

    queries: list[str]
    items: np.ndarray
    """Rows of the attribute texts that stand for the terms, term by term, ``(n_items,)``."""
    owner: np.ndarray
    """Number of each item's term, rising from 0, ``(n_items,)``."""
    correct: csr_matrix
    """Which terms are right for each query, ``(n_queries, n_terms)``, at least one."""


def _task(texts: pd.DataFrame, kinds: Sequence[str], queries: Iterable[str], right: Sequence[Sequence[str]]) -> Task:
    items = np.flatnonzero(texts["kind"].isin(kinds))
    owner, ids = pd.factorize(texts["hpo_id"].to_numpy()[items], sort=True)
    order = np.argsort(owner, kind="stable")
    correct = incidence(right, ids.tolist())
    if (np.diff(correct.indptr) == 0).any():
        raise ValueError("a query means a term that no attribute text stands for")
    return Task(list(queries), items[order], owner[order], correct)


def held_out_task(texts: pd.DataFrame, kind: str = "synonym") -> Task:
    """Each held-out text of a kind is to find its term among the names of all phenotypes."""
    held = texts[texts["held_out"] & (texts["kind"] == kind)]
    return _task(texts, ["name"], held["text"], [[hpo_id] for hpo_id in held["hpo_id"]])


def gold_mentions(documents: Sequence[Document], onto: Ontology, dictionary: Callable[[str], set[str]]) -> pd.DataFrame:
    """The wordings that annotators marked in free text as phenotypes.

    Each wording counts once, up to case and white space, with all terms it was ever given; one that
    was also marked as negated still names its term.

    Args:
        documents: of `gold.read_gold`.
        dictionary: text -> terms, such as ``gold.terms_of(Recognizer(onto))``.

    Returns:
        table (surface, hpo_ids, covered), sorted by surface. `covered`: the dictionary reads one of
        the terms from the surface alone. Those it does not cover are what embeddings are there for.
    """
    found: dict[str, set[str]] = defaultdict(set)
    phenotypes = set(onto.phenotypes)
    for document in documents:
        for note in document.annotations:
            surface = " ".join(document.text[note.start : note.end].casefold().split())
            if surface and note.hpo_id in phenotypes:
                found[surface].add(note.hpo_id)
    rows = [(surface, sorted(ids), bool(ids & dictionary(surface))) for surface, ids in sorted(found.items())]
    return pd.DataFrame(rows, columns=["surface", "hpo_ids", "covered"])


def mention_task(texts: pd.DataFrame, mentions: pd.DataFrame) -> Task:
    """Each wording of `gold_mentions` is to find one of its terms by their names and synonyms."""
    return _task(texts, ["name", "synonym"], mentions["surface"], mentions["hpo_ids"].tolist())


def _ranks(task: Task, score: Callable[[slice], np.ndarray]) -> np.ndarray:
    """Rank (1 is best) of each query's best right term; `score` gives some queries against all items."""
    ranks = np.empty(len(task.queries), dtype=np.int64)
    first = np.flatnonzero(np.diff(task.owner, prepend=-1))
    for start in range(0, len(ranks), BLOCK):
        block = slice(start, min(start + BLOCK, len(ranks)))
        scores = np.maximum.reduceat(score(block), first, axis=1)
        right = task.correct[block].toarray()
        best = np.where(right, scores, -np.inf).max(axis=1)
        ranks[block] = ((scores >= best[:, None]) & ~right).sum(axis=1) + 1
    return ranks


def embedding_ranks(task: Task, queries: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Ranks of an encoder.

    Args:
        queries: embeddings of ``task.queries``, ``(n_queries, dim)``.
        embeddings: of the attribute texts, ``(len(texts), dim)``.

    Returns:
        int64 ``(n_queries,)``.

    Raises:
        ValueError: embeddings that are not finite.
    """
    items = embeddings[task.items]
    if not (np.isfinite(queries).all() and np.isfinite(items).all()):
        raise ValueError("embeddings hold values that are not finite")
    return _ranks(task, lambda block: queries[block] @ items.T)


def tfidf_ranks(texts: pd.DataFrame, task: Task | None = None) -> np.ndarray:
    """A lexical baseline: character 3-5-grams within words, TF-IDF, cosine; by default on held-out synonyms."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    task = task or held_out_task(texts)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32)
    items = vectorizer.fit_transform(texts["text"].to_numpy()[task.items])
    return _ranks(task, lambda block: (vectorizer.transform(task.queries[block]) @ items.T).toarray())


def bm25_ranks(texts: pd.DataFrame, task: Task | None = None) -> np.ndarray:
    """A lexical baseline: Lucene's BM25 over the words' base forms (bm25s); by default on held-out synonyms."""
    import bm25s

    task = task or held_out_task(texts)
    index = bm25s.BM25()
    index.index([normal_form(text).split() for text in texts["text"].to_numpy()[task.items]], show_progress=False)
    nothing = np.zeros(len(task.items), dtype=np.float32)

    def score(block: slice) -> np.ndarray:
        said = [[word for word in normal_form(q).split() if word in index.vocab_dict] for q in task.queries[block]]
        return np.stack([index.get_scores(words) if words else nothing for words in said])

    return _ranks(task, score)


def linking_row(encoder: str, ranks: np.ndarray) -> dict:
    """acc@1, acc@10 and mean reciprocal rank of one encoder."""
    return {
        "encoder": encoder,
        "acc@1": float((ranks == 1).mean()),
        "acc@10": float((ranks <= 10).mean()),
        "mrr": float((1 / ranks).mean()),
        "queries": len(ranks),
    }
