"""Relations of pairs against naive double loops."""

import numpy as np
import pytest
import torch

from phenolip_lib.ontology import similarity
from phenolip_lib.training import affinity

SETS = [["HP:0001640"], ["HP:0001651", "HP:0001640"], [], ["HP:0001903"], ["HP:0001627", "HP:0001903"]]


@pytest.fixture(scope="module")
def sentences():
    rows = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def relations(toy, sentences):
    return affinity.build(SETS, 3 * sentences, toy)


def test_shared_phenotypes(relations):
    rows = torch.arange(5)
    expected = [[bool(set(a) & set(b)) for b in SETS] for a in SETS]
    assert relations.shared(rows, rows).tolist() == expected
    assert relations.shared(torch.tensor([1]), torch.tensor([4, 0])).tolist() == [[False, True]]


@pytest.mark.parametrize("near", [False, True])
def test_semantic_similarity_equals_the_formula(relations, sentences, toy, near):
    expected = np.zeros((5, 5))
    for i, own in enumerate(SETS):
        for j, other in enumerate(SETS):
            weights = [
                (1.0 if a == b else float(similarity.lin(toy, [a], [b])[0, 0]) if near else 0.0)
                for a in own
                for b in other
            ]
            expected[i, j] = max([0.0, *weights]) * max(0.0, float(sentences[i] @ sentences[j]))
        expected[i, i] = 1.0
    rows = torch.arange(5)
    found = relations.semantic(rows, rows, near)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert near == bool((found > relations.semantic(rows, rows, False) + 1e-6).any())


def test_no_phenotype_at_all_leaves_the_diagonal(sentences):
    relations = affinity.build([[], [], []], sentences[:3], None)
    rows = torch.arange(3)
    assert not relations.shared(rows, rows).any()
    assert torch.equal(relations.semantic(rows, rows, True), torch.eye(3))
