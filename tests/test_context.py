"""Negation, uncertainty and family history around a mention."""

import pytest

from phenolip_lib.context import CUES, cues, expand, sentence_ends, statuses


def status(text: str, *surfaces: str):
    spans = sorted((text.index(s), text.index(s) + len(s)) for s in surfaces)
    return statuses(text, spans)


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("No effusion or pneumothorax.", [True, True]),
        ("No effusion, but a pneumothorax is seen.", [True, False]),
        ("There was no effusion and he had a pneumothorax.", [True, False]),
        ("Without effusion or fracture, and with pneumothorax.", [True, False]),
        ("effusion is not seen; pneumothorax persists", [True, False]),
        ("effusion was noted, pneumothorax was excluded.", [False, True]),
        ("absent effusion, pneumothorax", [True, True]),
        ("absent left kidney, effusion and pneumothorax", [False, False]),
        ("No increase of the effusion. Pneumothorax: none", [False, True]),
        ("neither effusion nor pneumothorax was found", [True, True]),
        ("Not only effusion, also pneumothorax", [False, False]),
    ],
)
def test_negation(text, negated):
    low = text.lower()
    assert [s.negated for s in status(low, "effusion", "pneumothorax")] == negated


def test_a_cue_inside_a_mention_is_none():
    first, second = status("motor delay, absent speech and dysmorphism", "absent speech", "dysmorphism")
    assert not first.negated
    assert not second.negated


def test_uncertainty_reaches_over_a_list_and_ends_with_the_sentence():
    text = "Possible effusion or fracture. Pneumothorax is seen. Scoliosis?"
    assert [s.uncertain for s in status(text, "effusion", "fracture", "Pneumothorax", "Scoliosis")] == [
        True, True, False, True,
    ]  # fmt: skip


def test_family_history_ends_where_the_patient_comes_back():
    first, second = status("His mother has ataxia. He has seizures.", "ataxia", "seizures")
    assert first.family
    assert not second.family
    first, second = status("The family history is notable for ataxia; the patient had seizures", "ataxia", "seizures")
    assert first.family
    assert not second.family


def test_a_scope_is_bounded():
    text = "no " + "word " * 60 + "effusion"
    assert not status(text, "effusion")[0].negated


def test_sentences_end_at_stops_and_list_items_not_at_abbreviations_or_wrapped_lines():
    text = "Seen by Smith et al. in 1990. Then\nmore text.\n- item one\n- item two"
    pieces, low = [], 0
    for end in [*sentence_ends(text), len(text)]:
        pieces.append(text[low:end].strip())
        low = end
    assert pieces == ["Seen by Smith et al. in 1990.", "Then\nmore text.", "", "- item one", "- item two"]


def test_every_phrase_is_found_by_itself_with_true_offsets():
    for phrases in CUES.values():
        for phrase in expand(phrases):
            assert (3, 3 + len(phrase)) in {(start, end) for start, end, _ in cues(f"xx {phrase} yy")}, phrase


def test_letters_that_grow_when_lowered_keep_offsets():
    text = "İİİ no effusion"
    assert status(text, "effusion")[0].negated
    assert cues(text) == [(4, 6, "negated")]
