"""Clusters of pictures by image features, and the decision which of them are no medical images.

The clean-up step of PhenoLIP's data construction: features are standardised and clustered by k-means
on two levels (20 x 20 there, over DINO features), someone looks at the clusters, and whole clusters are
dropped. A cluster is named ``c07.13``: 13th part of the 7th cluster, both by falling size. The names mean
nothing for another clustering, so a decision is kept under the fingerprint of the one it was made on.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.sections import PhenoKG as Settings
from phenolip_lib.core.storage import digest
from phenolip_lib.curation.steps import Ledger, Picture

N_INIT = 4
"""Starts of each k-means; the best is kept."""

# --- clustering ---------------------------------------------------------------------------------


def two_level(features: np.ndarray, ids: Sequence[str], counts: Sequence[int], seed: int) -> pd.DataFrame:
    """Two-level k-means over standardised features.

    The order of the rows does not matter. A cluster with fewer members than parts to be cut into
    falls apart into single members.

    Args:
        features: ``(n, width)``, a row a picture.
        ids: unique id of each row.
        counts: clusters of the first level, and parts each of them is cut into.

    Returns:
        table (cluster, distance), a row for each of `features`; the distance is Euclidean, to the
        cluster's centre, over standardised features.
    """
    order = np.argsort(np.asarray(ids, dtype=str))
    rows = StandardScaler().fit_transform(np.asarray(features, dtype=np.float32)[order])
    names, distances = np.empty(len(rows), dtype=object), np.empty(len(rows))
    for first, members in enumerate(_k_means(rows, counts[0], seed)[0], start=1):
        parts, distances[members] = _k_means(rows[members], counts[1], seed)
        for second, part in enumerate(parts, start=1):
            names[members[part]] = f"c{first:02d}.{second:02d}"
    back = np.argsort(order)
    return pd.DataFrame({"cluster": names[back].astype(str), "distance": distances[back]})


def _k_means(rows: np.ndarray, k: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Members of each cluster, large ones first and then by their first member; each row's distance to its centre."""
    model = KMeans(min(k, len(rows)), random_state=seed, n_init=N_INIT)
    # Threads add up centres in the order they finish, so that the last bits would differ from run to run.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal pictures: fewer clusters than asked for
        labels = model.fit_predict(rows)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    distances = np.linalg.norm(rows - model.cluster_centers_[labels], axis=1)
    return sorted(members, key=lambda own: (-len(own), own[0])), distances


def fingerprint(table: pd.DataFrame) -> str:
    """What a decision is tied to: ``k`` and 8 hex digits made from ``pair_id`` and ``cluster`` of all pictures.

    The letter keeps YAML from reading it as a number, as it does in the names of clusters.
    """
    return "k" + digest(sorted(zip(table["pair_id"], table["cluster"], strict=True)))[:8]


# --- decision -----------------------------------------------------------------------------------


def decided(decisions: Mapping[str, Collection[str]], key: str, names: Collection[str]) -> list[str]:
    """The clusters to drop from the clustering `key` with clusters `names`; none as long as nothing is decided.

    Args:
        decisions: ``phenokg.drop_clusters``, clusters to drop by the fingerprint of a clustering.

    Raises:
        PhenoLIPError: there are decisions, but none for this clustering; or a cluster it does not have.
    """
    if not decisions:
        return []
    if key not in decisions:
        raise PhenoLIPError(
            f"phenokg.drop_clusters was decided for {', '.join(sorted(decisions))}, but the clustering is now {key}: "
            f"build with drop_clusters: {{}}, look at the clusters in notebook 2, "
            f"then add {key}: [...] ([] drops none)"
        )
    for name in decisions[key]:
        if name not in names:
            near = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.0)
            raise PhenoLIPError(f"phenokg.drop_clusters.{key}: no cluster {name!r}; did you mean {near[0]!r}?")
    return sorted(set(decisions[key]))


def drop_clusters(found: list[Picture], settings: Settings, ledger: Ledger) -> tuple[list[Picture], pd.DataFrame]:
    """Cluster the pictures and leave out the clusters that params name.

    Args:
        found: pictures (at least one) with features, see `curation.add_features`.

    Returns:
        the pictures kept, and all in a table (pair_id, dataset, modality, licence, image, left, top,
        right, bottom, cluster, distance, dropped).

    Raises:
        PhenoLIPError: see `decided`.
    """
    records = [picture.record for picture in found]
    facts = [(r.record_id, r.dataset, r.modality, r.licence, r.image, *map(float, r.box)) for r in records]
    columns = ["pair_id", "dataset", "modality", "licence", "image", "left", "top", "right", "bottom"]
    table = pd.DataFrame(facts, columns=columns)
    features = np.array([picture.features for picture in found])
    table = table.join(two_level(features, table["pair_id"].tolist(), settings.clusters, settings.seed))
    key = fingerprint(table)
    table["dropped"] = table["cluster"].isin(decided(settings.drop_clusters, key, set(table["cluster"])))
    for row in table[table["dropped"]].itertuples(index=False):
        ledger.reject(row.pair_id, "clusters", f"in cluster {row.cluster} of {key}, which params drop")
    kept = [picture for picture, dropped in zip(found, table["dropped"], strict=True) if not dropped]
    ledger.count("drop clusters", len(found), len(kept))
    return kept, table
