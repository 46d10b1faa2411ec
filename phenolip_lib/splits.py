"""Train, validation and test without leakage: whole groups move together, per data set."""

from __future__ import annotations

import hashlib

import pandas as pd

from phenolip_lib.params import Splits

SPLITS = ("train", "val", "test")


def assign_splits(groups: pd.Series, strata: pd.Series, shares: Splits, seed: int) -> pd.Series:
    """Give every record a split so that no group is in two of them.

    Within a stratum (a data set) groups are taken in the order of a keyed hash, test first, until
    each split has its share of records; adding records later moves few of the others.

    Args:
        groups: group of each record, already merged over duplicates.
        strata: data set of each record; a group belongs to the stratum of its first record.
        shares: shares of records, summing to 1.
        seed: keys the hash.

    Returns:
        ``train``, ``val`` or ``test`` for each record, same index.
    """
    table = pd.DataFrame({"group": groups, "stratum": strata})
    sizes = table.groupby("group", sort=True).agg(stratum=("stratum", "first"), n=("stratum", "size"))
    sizes["key"] = [hashlib.sha256(f"{seed}:{group}".encode()).hexdigest() for group in sizes.index]
    chosen: dict[str, str] = {}
    for _, members in sizes.sort_values("key").groupby("stratum", sort=True):
        total, done = members["n"].sum(), 0
        for group, n in members["n"].items():
            # The middle of the group decides, so a large group does not overshoot its split.
            position = (done + n / 2) / total
            chosen[group] = (
                "test" if position < shares.test else "val" if position < shares.test + shares.val else "train"
            )
            done += n
    return groups.map(chosen).rename("split")


def leakage(table: pd.DataFrame, column: str) -> list[str]:
    """Values of `column` that occur in more than one split, sorted; empty when nothing leaks."""
    spread = table.groupby(column)["split"].nunique()
    return sorted(spread[spread > 1].index)
