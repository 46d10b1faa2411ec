"""Negation, uncertainty and family history around a mention."""

import re
import time

import pytest

from phenolip_lib.recognition import cues as cue_table
from phenolip_lib.recognition.assertion import statuses
from phenolip_lib.recognition.structure import segments


def cues(text: str):
    return cue_table.cues(text, cue_table.folded(text), 0, len(text))


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
        True,
        True,
        False,
        True,
    ]


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
    pieces = [text[s.start : s.end].strip() for s in segments(text)]
    assert pieces == ["Seen by Smith et al. in 1990.", "Then\nmore text.", "- item one", "- item two"]


def test_every_phrase_is_found_by_itself_with_true_offsets():
    for phrase in (phrase for phrase, cue in cue_table.table().items() if "adverb" not in cue.kinds):
        assert (3, 3 + len(phrase)) in {found[:2] for found in cues(f"xx {phrase} yy")}, phrase


def test_letters_that_grow_when_lowered_keep_offsets():
    text = "İİİ no effusion"
    assert status(text, "effusion")[0].negated
    assert [(start, end, cue.phrase) for start, end, cue in cues(text)] == [(4, 6, "no")]


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("Effusion and pneumothorax were not observed.", [True, True]),
        ("Effusion or pneumothorax was not seen.", [True, True]),
        ("Effusion, fracture, or frank pneumothorax is not seen.", [True, True]),
        ("Effusion has resolved. Pneumothorax had completely resolved.", [False, False]),
        ("He had effusion and pneumothorax was not seen.", [False, True]),
        ("He had effusion and tension pneumothoraces were not seen", [False, True]),
        ("Effusion, pneumothorax was excluded.", [False, True]),
        ("Effusion. Fracture or pneumothorax was not seen.", [False, True]),
        ("Effusion was seen and pneumothorax was not seen.", [False, True]),
    ],
)
def test_what_follows_a_list_is_said_of_all_of_it(text, negated):
    spans = [m.span() for m in re.finditer(r"effusion|fracture|pneumothora(?:x|ces)", text, re.IGNORECASE)]
    found = [s.negated for s in statuses(text, spans)]
    assert [found[0], found[-1]] == negated


def test_uncertainty_and_relatives_behind_a_list():
    assert [s.uncertain for s in status("effusion or fracture is suspected", "effusion", "fracture")] == [True, True]
    assert status("pneumothorax unlikely", "pneumothorax")[0].uncertain
    text = "history of ataxia and seizures in her maternal uncle; scoliosis in the patient"
    assert [s.family for s in status(text, "ataxia", "seizures", "scoliosis")] == [True, True, False]
    assert status("history of ataxia or seizures in the father", "ataxia", "seizures")[0].family
    assert not status("ataxia in the uncle's house", "ataxia")[0].negated


@pytest.mark.parametrize(
    "piece",
    [
        "He had ataxia and no seizures in 1990, his mother did not. ",
        "no ",
        "no ataxia ",
        "and ataxia ",
        "ataxia or ",
        "ataxia, ",
        "the mother has ataxia and ",
        "Family history: ataxia\n",
        "\n",
        "ataxia? no ",
    ],
)
def test_time_grows_with_the_length_of_the_text(piece):
    def seconds(n: int) -> float:
        text = piece * n + "ataxia"
        spans = [m.span() for m in re.finditer("ataxia|seizures", text)]
        taken = []
        for _ in range(3):
            start = time.process_time()
            statuses(text, spans)
            taken.append(time.process_time() - start)
        return min(taken)

    assert seconds(8000) < 20 * max(seconds(1000), 0.002)
