"""Retrieval between images, captions and phenotypes, with scores that know the ontology.

The queries are the captioned images of the split. *I2T, T2I*: an item is correct if its caption is
the query's word for word. *I2P, P2I*: an item is correct if it is one of the image's phenotypes; candidates
are `Benchmark.candidates`, and P2I asks for each phenotype that has an image. A query is a hit at k
if a correct item is among the first k, and ties count against the model.

What I2P gains over many candidates may be a prior: a model that has learned which names never occur ranks the
rest well without a look at the image. I2P is therefore told in two further ways:

* ``i2p_known_recall@k``: candidates are the phenotypes that the split's images show, so all of them occur.
* ``i2p_calibrated_recall@k``: from each score the candidate's mean score over the training images is subtracted,
  so that a candidate which suits every image gains nothing from it.

R@k takes a sibling of the true phenotype for as wrong as a finding of another organ. For I2P there
are therefore scores of how near the ranking is to the truth; equal image-phenotype scores are ranked
by falling distance, so ties count against the model there too:

* ``i2p_ndcg@k``: normalised discounted cumulative gain (Järvelin and Kekäläinen 2002), linear gain, a
  candidate's gain being its largest Lin similarity to one of the image's phenotypes.
* ``i2p_lin@1``: that gain of the first candidate.
* ``i2p_hierarchical_precision@1``, ``i2p_hierarchical_recall@1``: share of the first candidate's ancestors
  (itself included, the top left out) that are ancestors of a true phenotype, and the reverse
  (Kiritchenko et al. 2006; here averaged by query).
* ``i2p_steps@1``: ``is_a`` steps up and down again from the first candidate to the nearest true phenotype.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.metrics import TIE, blocks, in_threads, mutual_ranks
from phenolip_lib.evaluation.relations import Relations
from phenolip_lib.evaluation.results import TOP_K, no_outcomes, outcomes
from phenolip_lib.models.embedded import Embedded

MIN_IMAGES = 10
BLOCK = 1024


def retrieval(bench: Benchmark, embedded: Embedded) -> pd.DataFrame:
    """Outcomes of all retrieval tasks.

    Args:
        bench: images and candidates.
        embedded: embeddings of all pairs and of the benchmark's texts.

    Returns:
        outcomes (task, dataset, metric, query, group, value), task ``retrieval``; a query is a pair_id
        with the pair's group, or an HPO id with itself. No rows if the split has fewer than 10
        captioned images.

    Raises:
        PhenoLIPError: an embedding that is not finite or has no length; a phenotype that the release
            does not have.
    """
    rows = bench.rows
    if len(rows) < MIN_IMAGES:
        return no_outcomes()
    table, truth = bench.pairs.iloc[rows], bench.truth
    names = bench.names(embedded, bench.candidates)
    images, captions = bench.images(embedded, rows), bench.captions(embedded, rows)
    i2t, t2i = mutual_ranks(images, captions, equal_texts(table["caption"]))
    parts = [_recalls("i2t", i2t, table["pair_id"], table["group"])]
    parts.append(_recalls("t2i", t2i, table["pair_id"], table["group"]))
    if truth.nnz:
        judge = Judge(bench.relations, truth)
        i2p, p2i = mutual_ranks(images, names, truth, judge)
        ids = pd.Series(bench.candidates)
        parts.append(_recalls("i2p", i2p, table["pair_id"], table["group"]))
        parts.append(_recalls("p2i", p2i, ids, ids))
        known = len(bench.known)
        ways = {"known": (images, names[:known], truth[:, :known])}
        ways["calibrated"] = *bench.calibrated(embedded, images, names), truth
        for way, case in ways.items():
            parts.append(_recalls(f"i2p_{way}", mutual_ranks(*case)[0], table["pair_id"], table["group"]))
        linked = table.iloc[judge.linked]
        parts += [
            outcomes(f"i2p_{metric}", linked["pair_id"], linked["group"], values)
            for metric, values in judge.scores().items()
        ]
    return pd.concat(parts, ignore_index=True)


def _recalls(task: str, ranks: np.ndarray, query: pd.Series, group: pd.Series) -> pd.DataFrame:
    asked = ranks > 0
    parts = [outcomes(f"{task}_recall@{k}", query[asked], group[asked], ranks[asked] <= k) for k in TOP_K]
    return pd.concat(parts, ignore_index=True)


def equal_texts(texts: pd.Series) -> csr_matrix:
    """Boolean ``(n, n)``: which texts are the same word for word."""
    codes = pd.factorize(texts, sort=True)[0]
    member = csr_matrix((np.ones(len(codes), bool), (np.arange(len(codes)), codes)))
    return csr_matrix(member @ member.T, dtype=bool)


# --- nearness in the ontology ---------------------------------------------------------------------


class Judge:
    """Scores each image's first candidates, block by block of `mutual_ranks`; blocks may come from several threads.

    Args:
        truth: boolean ``(n_images, n_candidates)``; images without a phenotype are passed over.
    """

    def __init__(self, relations: Relations, truth: csr_matrix) -> None:
        self.relations, self.truth = relations, truth
        self.gain = relations.gain  # computed here and not by several threads at once
        self.linked = np.flatnonzero(np.diff(truth.indptr))
        self.k = min(max(TOP_K), truth.shape[1])
        rank = np.arange(self.k)[:, None]
        self.discount = (rank < np.array(TOP_K)) / np.log2(2 + rank)
        self.first = np.zeros(truth.shape[0], dtype=np.int32)
        self.discounted = np.zeros((truth.shape[0], len(TOP_K)))

    def __call__(self, rows: slice, scores: np.ndarray) -> None:
        """Judge a block of images by their scores ``(n_block, n_candidates)``."""
        places, cut = np.arange(rows.start, rows.stop), scores.shape[1] - self.k
        bar = np.partition(scores, cut, axis=1)[:, cut] - scores.dtype.type(TIE)
        within = scores >= bar[:, None]
        sizes = np.count_nonzero(within, axis=1)
        top, gains = np.empty((len(scores), self.k), np.int64), np.empty((len(scores), self.k), np.float32)
        plain = np.flatnonzero(sizes == self.k)
        found = (np.flatnonzero(within[plain]) % scores.shape[1]).reshape(-1, self.k)
        top[plain], gains[plain] = self._ordered(places[plain], found, scores[plain[:, None], found])
        # Where a tie goes beyond the first k, the whole row decides which of the equals are in.
        for i in np.flatnonzero(sizes > self.k)[:, None]:
            own = self._ordered(places[i], np.arange(scores.shape[1])[None], scores[i])
            top[i], gains[i] = (values[:, : self.k] for values in own)
        self.first[rows] = top[:, 0]
        self.discounted[rows] = gains @ self.discount

    def _ordered(self, rows: np.ndarray, found: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Candidates by falling score, those of (chains of) equal scores by rising gain; and their gains."""
        order = np.argsort(-scores, axis=1)
        found, scores = np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)
        gains = self._gains(rows, found)
        apart = -np.diff(scores, axis=1, prepend=scores[:, :1]) > TIE
        tied = np.flatnonzero(~apart[:, 1:].all(axis=1))
        order = np.lexsort((found[tied], gains[tied], np.cumsum(apart[tied], axis=1)), axis=1)
        for values in (found, gains):
            values[tied] = np.take_along_axis(values[tied], order, axis=1)
        return found, gains

    def _over_truth(self, rows: np.ndarray, found: np.ndarray, matrix: np.ndarray, best: np.ufunc) -> np.ndarray:
        """The best of `matrix` between each found candidate and the image's phenotypes; 0 if it has none."""
        starts = self.truth.indptr[rows]
        sizes = self.truth.indptr[rows + 1] - starts
        result = np.zeros(found.shape, dtype=matrix.dtype)
        for i in range(sizes.max(initial=0)):
            some = slice(None) if (sizes > i).all() else np.flatnonzero(sizes > i)
            values = matrix[self.truth.indices[starts[some] + i, None], found[some]]
            result[some] = best(result[some], values) if i else values
        return result

    def _gains(self, rows: np.ndarray, found: np.ndarray) -> np.ndarray:
        return self._over_truth(rows, found, self.gain, np.maximum)

    def scores(self) -> dict[str, np.ndarray]:
        """Values of the linked images by metric, each ``(n_linked,)``."""
        rows, first = self.linked, self.first[self.linked, None]
        share, above = self.discounted[rows] / self._ideal(), self.relations.above
        common, (own, true) = np.empty(len(rows), np.float32), np.empty((2, len(rows)), np.int64)

        def compare(part: slice) -> None:
            predicted, truth = above[first[part, 0]], self.truth[rows[part]].astype(np.float32) @ above > 0
            common[part] = np.asarray(predicted.multiply(truth).sum(axis=1)).ravel()
            own[part], true[part] = np.diff(predicted.indptr), np.diff(truth.indptr)

        in_threads(compare, blocks(len(rows), BLOCK), len(rows) < BLOCK)
        return {
            **{f"ndcg@{k}": share[:, i] for i, k in enumerate(TOP_K)},
            "lin@1": self._gains(rows, first)[:, 0],
            "hierarchical_precision@1": common / own,
            "hierarchical_recall@1": common / true,
            "steps@1": self._over_truth(rows, first, self.relations.steps, np.minimum)[:, 0],
        }

    def _ideal(self) -> np.ndarray:
        """Discounted gain of the best ranking of each linked image ``(n_linked, len(TOP_K))``.

        The candidates of largest gain are among those nearest to one of the phenotypes.
        """
        sizes, ideal = np.diff(self.truth.indptr), np.empty((self.truth.shape[0], len(TOP_K)))
        nearest = self.relations.nearest.astype(np.int32)  # sorted much faster than int64

        def best(rows: np.ndarray) -> None:
            members = self.truth.indices[self.truth.indptr[rows, None] + np.arange(sizes[rows[0]])]
            found = np.sort(nearest[members].reshape(len(rows), -1), axis=1)
            gains = self._gains(rows, found)
            gains[:, 1:][found[:, 1:] == found[:, :-1]] = 0  # nearest to two phenotypes and still one candidate
            ideal[rows] = -np.sort(-gains, axis=1)[:, : self.k] @ self.discount

        own = [np.flatnonzero(sizes == size) for size in np.unique(sizes[self.linked])]
        in_threads(best, [rows[part] for rows in own for part in blocks(len(rows), BLOCK)], len(self.linked) < BLOCK)
        return ideal[self.linked]
