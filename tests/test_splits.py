"""Splits: groups stay whole, shares are kept, phenotypes are shared out better than by chance."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.sections import Splits
from phenolip_lib.data.folds import group_folds
from phenolip_lib.data.splits import assign_splits, check_no_leakage, leakage, phenotype_balance, whole_groups

SHARES = Splits(train=0.7, val=0.1, test=0.2)


def long_tailed(n: int, seed: int, n_phenotypes: int = 300) -> pd.DataFrame:
    """Pairs of about three a group whose phenotypes follow Zipf's law, in two data sets."""
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, n_phenotypes + 1)
    group = rng.integers(0, n // 3, n)
    phenotypes = [
        sorted({f"HP:{h:07d}" for h in rng.choice(n_phenotypes, rng.integers(0, 4), p=weight / weight.sum())})
        for _ in range(n)
    ]
    return pd.DataFrame(
        {"group": [f"g{g}" for g in group], "dataset": np.where(group % 4, "a", "b"), "phenotypes": phenotypes}
    )


def split(table: pd.DataFrame, seed: int = 0, balanced: bool = True, shares: Splits = SHARES) -> pd.DataFrame:
    phenotypes = table["phenotypes"] if balanced else None
    return table.assign(split=assign_splits(table["group"], table["dataset"], shares, seed, phenotypes))


pairs_of = st.lists(
    st.tuples(st.integers(0, 15), st.sampled_from("ab"), st.lists(st.sampled_from("pqrstu"), max_size=3)),
    min_size=1,
    max_size=60,
)


@given(pairs_of, st.integers(0, 3))
def test_no_group_is_ever_in_two_splits(rows, seed):
    table = pd.DataFrame(rows, columns=["group", "dataset", "phenotypes"]).astype({"group": str})
    found = split(table, seed)
    assert leakage(found, "group") == []
    assert set(found["split"]) <= {"train", "val", "test"}
    assert list(found.index) == list(table.index)


@given(pairs_of)
def test_a_phenotype_of_three_groups_is_in_train(rows):
    table = pd.DataFrame(rows, columns=["group", "dataset", "phenotypes"]).astype({"group": str})
    own = split(table).explode("phenotypes").dropna()
    for _, part in own.groupby("phenotypes"):
        assert part["group"].nunique() < 3 or "train" in set(part["split"])


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_kept_in_every_data_set(seed):
    found = split(long_tailed(3000, seed), seed)
    for _, part in found.groupby("dataset"):
        shares = part["split"].value_counts(normalize=True)
        assert shares["train"] == pytest.approx(0.7, abs=0.03)
        assert shares["val"] == pytest.approx(0.1, abs=0.03)
        assert shares["test"] == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_phenotypes_are_shared_out_better_than_by_hash(seed):
    """Mean deviation of a phenotype's train share is at most half the hash split's, at every frequency."""
    table = long_tailed(3000, seed)
    by_hash = phenotype_balance(split(table, seed, balanced=False), 0.7).set_index("groups")
    balanced = phenotype_balance(split(table, seed), 0.7).set_index("groups")
    assert (balanced["mean_deviation"] <= by_hash["mean_deviation"] / 2).all()
    assert balanced.loc["all", "in_train"] == balanced.loc["all", "in_test"] == balanced.loc["all", "phenotypes"]
    assert by_hash.loc["all", "in_test"] < by_hash.loc["all", "phenotypes"]


# --- ids of several kinds -------------------------------------------------------------------------

KINDS = ["dataset", "group", "article", "patient"]
some_ids = st.lists(
    st.tuples(
        st.sampled_from("de"),
        st.sampled_from("ghijklmn"),
        st.sampled_from(["", "", *"ghij"]),
        st.sampled_from(["", "", *"ghij"]),
    ),
    min_size=1,
    max_size=25,
)


@given(some_ids)
def test_records_that_share_any_id_are_one_group_and_no_others(rows):
    table = pd.DataFrame(rows, columns=KINDS)
    found = whole_groups(table)
    graph = nx.Graph()
    for i, (dataset, group, article, patient) in enumerate(rows):
        graph.add_edge(i, ("group", group))
        graph.add_edges_from([(i, ("article", article))] * bool(article))
        graph.add_edges_from([(i, ("patient", dataset, patient))] * bool(patient))
    for part in nx.connected_components(graph):
        own = sorted(i for i in part if isinstance(i, int))
        assert set(found.iloc[own]) == {min(rows[i][1] for i in own)}  # the smallest name, no new one
    assert found.nunique() == nx.number_connected_components(graph)


@given(some_ids, st.integers(0, 3))
def test_no_id_of_any_kind_is_in_two_splits_or_folds(rows, seed):
    table = pd.DataFrame(rows, columns=KINDS)
    table["group"] = whole_groups(table)
    split = assign_splits(table["group"], table["dataset"], SHARES, seed)
    assert check_no_leakage(table.assign(split=split))["group"] == table["group"].nunique()
    if table["group"].nunique() > 1:
        check_no_leakage(table.assign(split=group_folds(table["group"], 2, seed)))


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12))
def test_groups_that_no_other_id_joins_keep_their_names(groups):
    alone = pd.DataFrame({"dataset": "d", "group": groups, "article": groups, "patient": ""})
    assert whole_groups(alone).tolist() == groups


@pytest.mark.parametrize("kind", ["group", "article", "patient"])
def test_the_check_looks_at_each_id_and_names_the_one_that_crosses(kind):
    table = pd.DataFrame({"dataset": "d", "group": list("abc"), "article": "", "patient": "", "split": "train"})
    table.loc[:1, kind], table.loc[1, "split"] = "x", "val"
    with pytest.raises(PhenoLIPError, match=rf"^{kind} (d/)?x is in train and in val \(1 such in all\)"):
        check_no_leakage(table)
    if kind == "patient":  # x of another data set is another person
        assert check_no_leakage(table.assign(dataset=list("def")))["patient"] == 2


def test_the_seed_decides_and_the_order_does_not():
    table = long_tailed(600, 0)
    first = split(table)["split"]
    assert first.equals(split(table)["split"])
    shuffled = table.sample(frac=1, random_state=1)
    group_of_first = table.groupby("group")["dataset"].nunique().max()
    assert group_of_first == 1
    assert split(shuffled)["split"].sort_index().equals(first)
    assert not split(table, seed=1)["split"].equals(first)


def test_a_split_without_share_stays_empty():
    found = split(long_tailed(600, 0), shares=Splits(train=0.8, val=0.0, test=0.2))
    assert set(found["split"]) == {"train", "test"}


def test_balance_counts_by_hand():
    table = pd.DataFrame(
        {
            "group": list("abcd"),
            "split": ["train", "train", "test", "val"],
            "phenotypes": [["x"], ["x"], ["x", "y"], ["y"]],
        }
    )
    found = phenotype_balance(table, 0.7)
    assert found.to_dict("records") == [
        {"groups": name, "phenotypes": 1, "mean_deviation": 0.0333, "in_train": 1, "in_test": 1}
        for name in ("3-4", "all")
    ]
