"""Fine-grained retrieval against a loop over images and texts."""

import numpy as np
import pandas as pd
import pytest

from phenolip_lib.evaluation.tasks.entries import LEVELS, entries
from phenolip_lib.recognition.findings.book import entry_text
from phenolip_lib.recognition.findings.extract import Extraction, Finding, Location


def finding(category, place="", severity="", polarity="present", family=False):
    return Finding(category, None, Location(place), severity, (), polarity, 0, 1, category, "", family)


FOUND = [
    Extraction((finding("opacity", "base", "mild"), finding("nodule", "apex"))),
    Extraction((finding("opacity", "apex", "severe"), finding("scar", polarity="absent"))),
    Extraction((finding("opacity", "base", "severe"), finding("mass", polarity="uncertain"))),
    Extraction((finding("nodule", "base"), finding("cyst", family=True))),
    Extraction(),
]
TABLE = pd.DataFrame({"pair_id": list("abcde"), "group": ["p", "p", "q", "r", "s"]})


def unit(texts, seed=0):
    """An embedding for each text, the same whenever it is asked for."""
    rows = np.stack([np.random.default_rng([seed, *map(ord, text)]).normal(size=6) for text in texts])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_ranks_are_those_of_a_loop(monkeypatch):
    monkeypatch.setattr("phenolip_lib.evaluation.tasks.entries.TOP_K", (1, 2))
    images = unit(TABLE["pair_id"], 1)
    found = entries(images, TABLE, FOUND, entry_text, unit).outcomes
    for level, told in LEVELS.items():
        own = [
            {entry_text(told(f)) for f in extraction.findings if f.polarity == "present" and not f.family}
            for extraction in FOUND
        ]
        texts = sorted(set().union(*own))
        scores = images @ unit(texts).T
        rows = found[found["dataset"] == level].set_index(["metric", "query"])["value"]
        for k in (1, 2):
            best = {}
            for i, mine in enumerate(own):
                for text in mine:
                    j = texts.index(text)
                    rivals = [scores[i, m] for m in range(len(texts)) if texts[m] not in mine]
                    rank = 1 + sum(rival >= scores[i, j] for rival in rivals)
                    assert rows[f"i2e_recall@{k}", f"{TABLE['pair_id'][i]}|{text}"] == (rank <= k)
                    others = [scores[m, j] for m in range(len(own)) if text not in own[m]]
                    back = 1 + sum(other >= scores[i, j] for other in others)
                    best[text] = min(best.get(text, 99), back)
            for text, rank in best.items():
                assert rows[f"e2i_recall@{k}", text] == (rank <= k)
    assert not found["query"].str.contains("scar|mass|cyst").any()  # denied, doubted, of a relative


def test_a_finer_level_has_more_candidates_and_no_finding_gives_nothing():
    images = unit(TABLE["pair_id"], 1)
    found = entries(images, TABLE, FOUND, entry_text, unit).outcomes
    queries = found[found["metric"] == "e2i_recall@10"].groupby("dataset")["query"].nunique()
    assert queries["category"] == 2
    assert queries["category + location"] == 4
    assert queries["category + location + severity"] == 5
    assert len(entries(images, TABLE, [Extraction()] * 5, entry_text, unit).outcomes) == 0


@pytest.mark.parametrize("block", [1, 2, 5])
def test_blocks_change_nothing(monkeypatch, block):
    images = unit(TABLE["pair_id"], 1)
    whole = entries(images, TABLE, FOUND, entry_text, unit).outcomes
    monkeypatch.setattr("phenolip_lib.evaluation.tasks.entries.BLOCK", block)
    pd.testing.assert_frame_equal(entries(images, TABLE, FOUND, entry_text, unit).outcomes, whole)
