"""How a score falls with the number of phenotypes to choose from.

Published tables rank among about a thousand phenotypes; whoever annotates a picture chooses from all of HPO.
The candidates of a smaller set are the first of a larger one, so that a query only meets more distractors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from phenolip_lib.evaluation.metrics import mutual_ranks
from phenolip_lib.evaluation.results import COLUMNS, TOP_K
from phenolip_lib.evaluation.tasks.retrieval import outcomes, phenotype_truth
from phenolip_lib.models.embedded import Embedded, check_embeddings

if TYPE_CHECKING:
    from phenolip_lib.evaluation.benchmark import Benchmark


def by_candidates(bench: Benchmark, embedded: Embedded) -> pd.DataFrame:
    """I2P among each number of candidates in ``evaluation.candidate_sets``.

    Returns:
        outcomes as of `retrieval`, task ``candidates``, dataset the number of candidates as text. A set is
        never smaller than the test images' own phenotypes, nor larger than what HPO has.
    """
    rows, table = bench.rows, bench.pairs.iloc[bench.rows]
    truth = phenotype_truth(bench)
    known = int(truth.indices.max(initial=-1)) + 1
    if not known:
        return pd.DataFrame(columns=COLUMNS).astype({"value": float})
    ordered = bench.ranked_candidates[: max(bench.settings.candidate_sets, default=0)]
    names = [bench.onto[hpo_id].name for hpo_id in ordered]
    vectors = embedded.text(names)
    check_embeddings(vectors, [f"phenotype name {name!r}" for name in names])
    parts = []
    for n in sorted({min(max(size, known), len(ordered)) for size in bench.settings.candidate_sets}):
        correct = truth[:, :known].copy()
        correct.resize(len(rows), n)
        i2p, _ = mutual_ranks(embedded.images[rows], vectors[:n], correct)
        asked = i2p > 0
        for k in TOP_K:
            query, group = table["pair_id"][asked], table["group"][asked]
            parts.append(outcomes(f"i2p_recall@{k}", query, group, i2p[asked] <= k, "candidates", f"{n}"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS).astype({"value": float})
