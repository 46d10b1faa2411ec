"""Train, validation and test without leakage: whole groups move together, per data set, balanced over phenotypes."""

from __future__ import annotations

import hashlib
import heapq

import numpy as np
import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.sections import Splits
from phenolip_lib.core.union_find import UnionFind

SPLITS = ("train", "val", "test")
MIN_GROUPS = 3
"""Phenotypes in fewer groups cannot be in every split and follow the others by chance."""


def assign_splits(
    groups: pd.Series, strata: pd.Series, shares: Splits, seed: int, phenotypes: pd.Series | None = None
) -> pd.Series:
    """Give every record a split so that no group is in two of them.

    Without `phenotypes`, groups of a stratum (a data set) are taken in the order of a keyed hash, test
    first, until each split has its share of records; adding records later moves few of the others.

    With `phenotypes`, also each phenotype's records are shared out: iterative stratification (Sechidis,
    Tsoumakas and Vlahavas 2011, algorithm 1) with groups for examples. The phenotype in fewest
    unassigned groups goes first; each of its groups goes, among the splits its stratum still has room in,
    to the one that lacks most records of that phenotype. Afterwards a phenotype in three or more
    groups that train lacks, then one that test lacks, gets its smallest movable group.

    Args:
        groups: group of each record, already merged over duplicates.
        strata: data set of each record; a group belongs to the stratum of its first record.
        shares: shares of records, summing to 1.
        seed: keys the hash.
        phenotypes: HPO ids of each record (lists), same index.

    Returns:
        ``train``, ``val`` or ``test`` for each record, same index.
    """
    table = pd.DataFrame({"group": groups, "stratum": strata})
    sizes = table.groupby("group", sort=True).agg(stratum=("stratum", "first"), n=("stratum", "size"))
    sizes["key"] = [hashlib.sha256(f"{seed}:{group}".encode()).hexdigest() for group in sizes.index]
    sizes = sizes.sort_values("key")
    chosen = _by_hash(sizes, shares) if phenotypes is None else _balanced(sizes, groups, phenotypes, shares)
    return groups.map(chosen).rename("split")


def _by_hash(sizes: pd.DataFrame, shares: Splits) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for _, members in sizes.groupby("stratum", sort=True):
        total, done = members["n"].sum(), 0
        for group, n in members["n"].items():
            # The middle of the group decides, so a large group does not overshoot its split.
            position = (done + n / 2) / total
            chosen[group] = (
                "test" if position < shares.test else "val" if position < shares.test + shares.val else "train"
            )
            done += n
    return chosen


def _balanced(sizes: pd.DataFrame, groups: pd.Series, phenotypes: pd.Series, shares: Splits) -> dict[str, str]:
    """Iterative stratification of the groups, which come in hash order."""
    share = np.array([shares.train, shares.val, shares.test])
    position = {group: i for i, group in enumerate(sizes.index)}
    counts = pd.DataFrame({"group": groups.map(position), "hpo_id": phenotypes}).explode("hpo_id").dropna()
    counts = counts.groupby(["hpo_id", "group"], sort=True).size()
    members: dict[str, dict[int, int]] = {}
    for (hpo_id, group), n in counts.items():
        members.setdefault(hpo_id, {})[group] = n
    members = {hpo_id: own for hpo_id, own in members.items() if len(own) >= MIN_GROUPS}
    of_group: list[list[str]] = [[] for _ in range(len(sizes))]
    for hpo_id, own in members.items():
        for group in own:
            of_group[group].append(hpo_id)

    n_records, stratum = sizes["n"].to_numpy(), pd.factorize(sizes["stratum"])[0]
    room = np.outer(np.bincount(stratum, n_records), share)
    lacking = {hpo_id: sum(own.values()) * share for hpo_id, own in members.items()}
    open_groups = {hpo_id: len(own) for hpo_id, own in members.items()}
    chosen = np.full(len(sizes), -1)

    def place(group: int, wish: np.ndarray) -> None:
        own_room = room[stratum[group]]
        # Half a group may stick out, as in the hash split: so shares stay right on the average.
        fits = (own_room >= n_records[group] / 2) & (share > 0)
        split = max(range(3), key=lambda s: (fits[s], wish[s] if fits[s] else own_room[s], own_room[s], -s))
        chosen[group] = split
        own_room[split] -= n_records[group]
        for hpo_id in of_group[group]:
            lacking[hpo_id][split] -= members[hpo_id][group]
            open_groups[hpo_id] -= 1
            if open_groups[hpo_id]:
                heapq.heappush(queue, (open_groups[hpo_id], hpo_id))

    waiting = {hpo_id: iter(own) for hpo_id, own in members.items()}
    queue = [(n, hpo_id) for hpo_id, n in open_groups.items()]
    heapq.heapify(queue)
    while queue:
        n, hpo_id = heapq.heappop(queue)
        if n == open_groups[hpo_id]:  # else a later entry of this phenotype holds its present count
            place(next(group for group in waiting[hpo_id] if chosen[group] < 0), lacking[hpo_id])
    for group in np.flatnonzero(chosen < 0):
        place(group, room[stratum[group]] / np.maximum(share, 1e-9))
    _complete(chosen, members, of_group, n_records, share)
    return {group: SPLITS[split] for group, split in zip(sizes.index, chosen, strict=True)}


def _complete(
    chosen: np.ndarray,
    members: dict[str, dict[int, int]],
    of_group: list[list[str]],
    n_records: np.ndarray,
    share: np.ndarray,
) -> None:
    """Move a group of each phenotype that train or test lacks, unless another would lose its last one."""
    train, val, test = range(3)
    present = {hpo_id: np.bincount(chosen[list(own)], minlength=3) for hpo_id, own in members.items()}
    for target, donors, kept in ((train, (val, test), ()), (test, (val, train), (train,))):
        if not share[target]:
            continue
        for hpo_id in sorted(members, key=lambda h: (len(members[h]), h)):
            if present[hpo_id][target]:
                continue
            movable = [
                group
                for group in members[hpo_id]
                if chosen[group] in donors
                and not any(chosen[group] == s and present[h][s] == 1 for h in of_group[group] for s in kept)
            ]
            if not movable:
                continue
            group = min(movable, key=lambda g: (donors.index(chosen[g]), n_records[g], g))
            for other in of_group[group]:
                present[other][chosen[group]] -= 1
                present[other][target] += 1
            chosen[group] = target


def phenotype_balance(table: pd.DataFrame, share: float) -> pd.DataFrame:
    """How evenly a split shares out the phenotypes that three or more groups have.

    Args:
        table: pairs with `group`, `split` and `phenotypes`.
        share: the share of records that train should have.

    Returns:
        table (groups, phenotypes, mean_deviation, in_train, in_test) by number of groups a phenotype
        has: the mean absolute difference of its train share of records from `share`, and how many of the
        phenotypes occur in train and in test.
    """
    own = table[["group", "split", "phenotypes"]].explode("phenotypes").dropna()
    found = own.groupby("phenotypes").agg(
        groups=("group", "nunique"),
        train=("split", lambda s: (s == "train").mean()),
        in_train=("split", lambda s: (s == "train").any()),
        in_test=("split", lambda s: (s == "test").any()),
    )
    found = found[found["groups"] >= MIN_GROUPS]
    found["bucket"] = pd.cut(found["groups"], [2, 4, 19, np.inf], labels=["3-4", "5-19", "20+"]).astype(str)
    found["deviation"] = (found["train"] - share).abs()
    parts = [(name, found[found["bucket"] == name]) for name in ("3-4", "5-19", "20+")] + [("all", found)]
    return pd.DataFrame(
        [
            (
                name,
                len(part),
                round(part["deviation"].mean(), 4),
                int(part["in_train"].sum()),
                int(part["in_test"].sum()),
            )
            for name, part in parts
            if len(part)
        ],
        columns=["groups", "phenotypes", "mean_deviation", "in_train", "in_test"],
    )


# --- what stays together --------------------------------------------------------------------------


def identities(table: pd.DataFrame) -> dict[str, pd.Series]:
    """The ids of each record by their kind, for the columns there are; NaN where a record has none of a kind.

    ``group`` and ``article`` (a PMCID) mean the same in every data set, ``patient`` within one (column `dataset`, if
    there are several).
    """
    found = {kind: table[kind].where(table[kind] != "") for kind in ("group", "article", "patient") if kind in table}
    if "patient" in found and "dataset" in table:
        found["patient"] = table["dataset"] + "/" + found["patient"]
    return found


def whole_groups(table: pd.DataFrame) -> pd.Series:
    """The group of each record once those that share any id are one: the first by name of the groups it is made of.

    Args:
        table: records, rejected ones too, since they may link others; `group` is never empty. See `identities`.

    Returns:
        group of each record, same index; as it was where no id joins two groups.
    """
    sets = UnionFind()
    for kind, ids in identities(table).items():
        for group, own in zip(table["group"], ids, strict=True):
            if kind != "group" and isinstance(own, str):
                sets.union(("", group), (kind, own))  # groups sort first, so that one of them names the set
    return table["group"].map(lambda group: sets.find(("", group))[1])


def check_no_leakage(table: pd.DataFrame) -> dict[str, int]:
    """How many ids of each kind there are, none in two splits (or folds, in the column `split`).

    Each id is looked at for itself, whatever `group` says.

    Raises:
        PhenoLIPError: names an id that is in two splits.
    """
    counts = {}
    for kind, ids in identities(table).items():
        own = table.assign(id=ids).dropna(subset="id")
        if spread := leakage(own, "id"):
            order = {split: i for i, split in enumerate(SPLITS)}
            where = sorted(set(own["split"][own["id"] == spread[0]]), key=lambda split: (order.get(split, 0), split))
            raise PhenoLIPError(
                f"{kind} {spread[0]} is in {' and in '.join(map(str, where))} ({len(spread)} such in all): "
                "build the pairs anew, or correct the split that was given"
            )
        counts[kind] = own["id"].nunique()
    return {kind: n for kind, n in counts.items() if n}


def leakage(table: pd.DataFrame, column: str) -> list[str]:
    """Values of `column` that occur in more than one split, sorted; empty when nothing leaks."""
    spread = table.groupby(column)["split"].nunique()
    return sorted(spread[spread > 1].index)
