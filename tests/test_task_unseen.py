"""Scores by number of training images and by system; phenotypes held out of training."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.sections import Evaluation
from phenolip_lib.data.splits import leakage
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.tasks.retrieval import retrieval
from phenolip_lib.evaluation.tasks.unseen import (
    BUCKETS,
    by_system,
    by_training_images,
    check_held_out,
    hold_out_leaves,
    phenotype_outcomes,
    ranks_alone,
    training_images,
)

LEAVES = ["HP:0001640", "HP:0001651", "HP:0001744", "HP:0001903"]
INNER = "HP:0001627"


def pairs_of(rows):
    """Pairs from (group, split, phenotypes)."""
    return pd.DataFrame(
        {
            "pair_id": [f"p{i:03d}" for i in range(len(rows))],
            "caption": [f"caption {i}" for i in range(len(rows))],
            "templated": False,
            "modality": "radiology",
            "dataset": "d",
            "class_name": "",
            "group": [f"g{g}" for g, _, _ in rows],
            "split": [s for _, s, _ in rows],
            "phenotypes": [list(p) for _, _, p in rows],
        }
    )


def settings_of(candidates):
    own = load_params(Path(__file__).parent.parent / "params.yaml").evaluation
    return Evaluation(**{**own.model_dump(), "candidates": candidates, "candidate_sets": []})


def unit(rng, n, dim=16):
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def case(full):
    """60 test images over 30 phenotypes of which training has 0 to 29 images, random embeddings."""
    rng = np.random.default_rng(0)
    known = [full.leaves[i] for i in rng.choice(len(full.leaves), 30, replace=False)]
    rows = [(f"train{i}", "train", [h]) for i, h in enumerate(known) for _ in range(i)]
    rows += [(i // 2, "test", sorted(rng.choice(known, rng.integers(1, 4), replace=False))) for i in range(60)]
    pairs = pairs_of(rows)
    bench = Benchmark(pairs, full, settings_of(80))
    names = [full[hpo_id].name for hpo_id in bench.candidates]
    texts = dict(zip(names, unit(rng, len(names)), strict=True))
    embedded = SimpleNamespace(
        images=unit(rng, len(pairs)), captions=unit(rng, len(pairs)), text=lambda s: np.stack([texts[t] for t in s])
    )
    return bench, embedded


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 12))
def test_a_phenotype_competes_with_wrong_ones_only(seed, n, m):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (n, m)).astype(np.float32) / 4  # many ties
    correct = csr_matrix(rng.random((n, m)) < 0.4)
    expected = []
    for i in range(n):
        own = set(correct[i].indices)
        expected += [
            1 + sum(scores[i, j] >= scores[i, c] for j in range(m) if j not in own) for c in correct[i].indices
        ]
    np.testing.assert_array_equal(ranks_alone(scores, correct), expected)


def test_outcomes_by_phenotype_equal_a_plain_loop(case):
    bench, embedded = case
    found = phenotype_outcomes(bench, embedded).set_index(["metric", "query"])
    names = embedded.text([bench.onto[c].name for c in bench.candidates])
    seen = 0
    for i in bench.rows:
        pair = bench.pairs.iloc[i]
        for hpo_id in pair["phenotypes"]:
            rivals = [j for j, c in enumerate(bench.candidates) if c == hpo_id or c not in pair["phenotypes"]]
            best = sorted(rivals, key=lambda j: -(names[j] @ embedded.images[i]))[:10]
            row = found.loc["i2p_recall@10", f"{pair['pair_id']}|{hpo_id}"]
            assert row["value"] == (hpo_id in [bench.candidates[j] for j in best])
            assert (row["group"], row["hpo_id"]) == (pair["group"], hpo_id)
            seen += 1
    assert seen == (found.index.get_level_values(0) == "i2p_recall@10").sum()


def test_p2i_is_that_of_retrieval(case):
    bench, embedded = case
    whole = retrieval(bench, embedded).query("metric == 'p2i_recall@10'").set_index("query")["value"]
    own = phenotype_outcomes(bench, embedded).query("metric == 'p2i_recall@10'").set_index("query")["value"]
    pd.testing.assert_series_equal(own.sort_index(), whole.sort_index())


def test_buckets_part_the_outcomes_by_training_images(case):
    bench, embedded = case
    found = phenotype_outcomes(bench, embedded)
    parts = by_training_images(found, bench.pairs)
    assert set(parts["dataset"]) == set(BUCKETS)
    assert len(parts) == len(found)
    train = bench.pairs[bench.pairs["split"] == "train"]
    for query, bucket in zip(parts["query"], parts["dataset"], strict=True):
        n = sum(query.rpartition("|")[2] in own for own in train["phenotypes"])
        assert bucket == ("0" if n == 0 else "1-4" if n < 5 else "5-19" if n < 20 else "20+")


def test_training_images_count_pairs_once_and_train_only():
    pairs = pairs_of([(0, "train", ["a", "a", "b"]), (1, "train", ["a"]), (2, "val", ["c"]), (3, "train", [])])
    assert training_images(pairs).to_dict() == {"a": 2, "b": 1}


def test_a_phenotype_of_two_systems_counts_in_both(toy):
    rows = [(i, "test", [LEAVES[i % 4]]) for i in range(12)]
    bench = Benchmark(pairs_of(rows), toy, settings_of(4))
    rng = np.random.default_rng(1)
    embedded = SimpleNamespace(images=unit(rng, 12), captions=unit(rng, 12), text=lambda s: unit(rng, len(s)))
    found = by_system(phenotype_outcomes(bench, embedded), toy)
    blood, heart = "Abnormality of blood and blood-forming tissues", "Abnormality of the cardiovascular system"
    p2i = found[found["metric"] == "p2i_recall@10"].groupby("dataset")["query"].apply(list)
    assert p2i.to_dict() == {blood: ["HP:0001744", "HP:0001903"], heart: LEAVES[:3]}
    assert (found["task"] == "systems").all()


# --- held out -----------------------------------------------------------------------------------

rows_of = st.lists(
    st.tuples(
        st.integers(0, 8),
        st.sampled_from(["train", "val", "test"]),
        st.lists(st.sampled_from([*LEAVES, INNER]), max_size=3, unique=True),
    ),
    min_size=1,
    max_size=40,
)


@given(rows_of, st.integers(1, 3), st.integers(0, 3), st.sets(st.integers(0, 39)))
def test_nothing_in_training_tells_of_a_held_out_phenotype(toy, rows, count, seed, mentioned):
    home = {}
    rows = [(g, home.setdefault(g, s), p) for g, s, p in rows]  # groups are whole at the start
    rows.append((9, "train", []))  # something always stays
    pairs = pairs_of(rows)
    mentions = pd.DataFrame(
        [(f"p{i:03d}", "caption", LEAVES[i % 4], i % 2 == 0) for i in sorted(mentioned) if i < len(rows) - 1],
        columns=["pair_id", "field", "hpo_id", "negated"],
    )
    if len({h for _, _, own in rows for h in own} - {INNER}) < count:
        with pytest.raises(PhenoLIPError, match="cannot hold out"):
            hold_out_leaves(pairs, toy, count=count, seed=seed, mentions=mentions)
        return
    split, chosen = hold_out_leaves(pairs, toy, count=count, seed=seed, mentions=mentions)
    after = pairs.assign(split=split)
    check_held_out(after, toy, chosen, mentions)
    said = mentions.groupby("pair_id")["hpo_id"].apply(set).to_dict()
    for pair_id, now, own in zip(after["pair_id"], split, after["phenotypes"], strict=True):
        assert now == "test" or not (set(own) | said.get(pair_id, set())) & set(chosen)
    assert len(chosen) == count
    assert set(chosen) <= set(LEAVES)
    assert set(chosen) <= {h for own in after.loc[split == "test", "phenotypes"] for h in own}
    assert leakage(after, "group") == []
    moved = split != pairs["split"]
    assert (split[moved] == "test").all()
    telling = {
        g
        for g, pair_id, own in zip(pairs["group"], pairs["pair_id"], pairs["phenotypes"], strict=True)
        if (set(own) | said.get(pair_id, set())) & set(chosen)
    }
    assert set(pairs.loc[moved, "group"]) <= telling  # no group moves without a reason
    again = hold_out_leaves(pairs.iloc[::-1], toy, count=count, seed=seed, mentions=mentions)
    assert again.phenotypes == chosen
    pd.testing.assert_series_equal(again.split.sort_index(), split)


def test_held_out_phenotypes_fall_in_the_bucket_of_none(full, case):
    bench, embedded = case
    split, chosen = hold_out_leaves(bench.pairs, full, share=0.3, seed=1)
    assert len(chosen) == 9
    assert chosen != hold_out_leaves(bench.pairs, full, share=0.3, seed=2).phenotypes
    pairs = bench.pairs.assign(split=split)
    found = by_training_images(phenotype_outcomes(bench, embedded), pairs)
    unseen = set(found.loc[found["dataset"] == "0", "query"].str.rpartition("|")[2])
    assert unseen >= set(chosen) & {h for i in bench.rows for h in bench.pairs["phenotypes"].iat[i]}


def test_context_mentions_do_not_count_and_old_ids_do(toy):
    pairs = pairs_of([(0, "train", [INNER]), (1, "train", ["HP:0009999"]), (2, "train", [])])
    context = pd.DataFrame({"pair_id": ["p002"], "field": ["context"], "hpo_id": ["HP:0001640"]})
    split, chosen = hold_out_leaves(pairs, toy, count=1, mentions=context)
    assert chosen == ["HP:0001640"]  # the successor of HP:0009999
    assert split.tolist() == ["train", "test", "train"]


def test_the_checker_and_the_errors_name_the_way_out(toy):
    pairs = pairs_of([(0, "train", [LEAVES[0]]), (1, "test", [LEAVES[0]]), (2, "train", [])])
    with pytest.raises(PhenoLIPError, match=r"1 pairs outside test .* p000 \(train\)"):
        check_held_out(pairs, toy, [LEAVES[0]])
    caption = pd.DataFrame({"pair_id": ["p002"], "field": ["caption"], "hpo_id": [LEAVES[0]]})
    with pytest.raises(PhenoLIPError, match="2 pairs outside test"):
        check_held_out(pairs, toy, [LEAVES[0]], caption)
    with pytest.raises(PhenoLIPError, match="leaves nothing to train on"):
        hold_out_leaves(pairs, toy, count=1, mentions=caption)
    with pytest.raises(PhenoLIPError, match="cannot hold out 2 leaf phenotypes: the pairs show 1"):
        hold_out_leaves(pairs, toy, count=2)
    for both in ({}, {"share": 0.5, "count": 1}):
        with pytest.raises(PhenoLIPError, match="either share or count"):
            hold_out_leaves(pairs, toy, **both)


def test_a_split_without_phenotypes_gives_empty_tables(toy):
    rows = [(i, "test", []) for i in range(12)]
    bench = Benchmark(pairs_of(rows), toy, settings_of(4))
    found = phenotype_outcomes(bench, SimpleNamespace(images=np.ones((12, 4)), captions=np.ones((12, 4)), text=None))
    assert by_training_images(found, bench.pairs).empty
    assert by_system(found, toy).empty
