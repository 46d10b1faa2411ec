"""The second tier: links what the dictionary left, and only that."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

from phenolip_lib.ontology.wordings import by_name
from phenolip_lib.recognition.embedding_linker import EmbeddingLinker
from phenolip_lib.recognition.recognizer import Recognizer


def letters(texts) -> np.ndarray:
    """A stand-in encoder: hashed character trigrams, L2-normalised."""
    return HashingVectorizer(analyzer="char_wb", ngram_range=(3, 3), n_features=2048).transform(texts).toarray()


@pytest.fixture(scope="module")
def recognizer(full):
    return Recognizer(full)


@pytest.fixture(scope="module")
def linker(full, recognizer):
    return EmbeddingLinker(recognizer, full, letters, threshold=0.78)


def test_a_misspelt_finding_is_linked_where_the_dictionary_fails(linker, recognizer, full):
    text = "No reduced visual acuityy, but marked reduced visual acuityy on the left; ataxia."
    assert [m.surface for m in recognizer(text)] == ["ataxia"]
    found = [(full[m.hpo_id].name, m.surface, m.negated) for m in linker(text)]
    assert found == [
        ("Reduced visual acuity", "reduced visual acuityy", True),
        ("Reduced visual acuity", "reduced visual acuityy", False),
        ("Ataxia", "ataxia", False),
    ]


def test_what_the_dictionary_found_stays(linker, recognizer):
    text = "Enlarged spleen, short fingers and toes; hearing loss was denied."
    assert [m for m in linker(text) if m in recognizer(text)] == recognizer(text)


def test_phrases_never_overlap_mentions_or_each_other(linker, recognizer):
    text = "Marked thickening of calvarial diploe and abnormal thickened corneal stroma with hearing loss of high tones"
    spans = [(m.start, m.end) for m in linker(text)]
    assert all(text[a:b] for a, b in spans)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("text", ["visual acuity was measured", "the long bones of the hand", "normal corneal stroma"])
def test_parts_and_normal_findings_are_no_phenotypes(linker, text):
    assert linker(text) == []


def test_a_broad_synonym_names_no_phenotype_for_anyone(toy):
    """HPO calls "big organ" a BROAD synonym of splenomegaly: labels and the linker go by the rule of the dictionary."""
    names = by_name(toy)
    assert names["large spleen"] == names["splenomegaly"] == "HP:0001744"
    assert "big organ" not in names
    assert "big organ" not in EmbeddingLinker(Recognizer(toy), toy, letters, threshold=0.99)._texts


def test_nothing_is_linked_above_the_greatest_cosine(full, recognizer):
    strict = EmbeddingLinker(recognizer, full, letters, threshold=1.01)
    text = "marked reduced visual acuityy, no ataxia."
    assert strict(text) == recognizer(text)
