"""How a score falls with the number of phenotypes to choose from.

Published tables rank among about a thousand phenotypes; whoever annotates a picture chooses from all of HPO.
The candidates of a smaller set are the first of a larger one, so that a query only meets more distractors.
"""

from __future__ import annotations

import pandas as pd

from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.metrics import mutual_ranks
from phenolip_lib.evaluation.results import TOP_K, no_outcomes, outcomes
from phenolip_lib.models.embedded import Embedded


def by_candidates(bench: Benchmark, embedded: Embedded) -> pd.DataFrame:
    """I2P among each number of candidates in ``evaluation.candidate_sets``.

    Returns:
        outcomes as of `retrieval`, task ``candidates``, dataset the number of candidates as text. A set is
        never smaller than the test images' own phenotypes, nor larger than what HPO has.
    """
    rows, table, known = bench.rows, bench.pairs.iloc[bench.rows], len(bench.known)
    there = len(bench.ranked_candidates)
    sizes = sorted({min(max(size, known), there) for size in bench.settings.candidate_sets})
    if not known or not sizes:
        return no_outcomes()
    vectors, parts = bench.names(embedded, bench.ranked_candidates[: sizes[-1]]), []
    for n in sizes:
        correct = bench.truth[:, :known].copy()
        correct.resize(len(rows), n)
        i2p, _ = mutual_ranks(embedded.images[rows], vectors[:n], correct)
        asked = i2p > 0
        for k in TOP_K:
            query, group = table["pair_id"][asked], table["group"][asked]
            parts.append(outcomes(f"i2p_recall@{k}", query, group, i2p[asked] <= k, "candidates", f"{n}"))
    return pd.concat(parts, ignore_index=True)
