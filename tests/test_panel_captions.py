"""Cutting captions: the conventions of real articles, look-alikes of markers, and the scores of the cut."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phenolip_lib.data.panel_captions import caption_scores, split_caption, token_f1
from phenolip_lib.data.panel_labels import LETTERS
from phenolip_lib.phantom.atlas import DOMAINS, phenotypes
from phenolip_lib.phantom.compound import draw_compound

NAMES = {hpo_id: [f"Label {hpo_id[3:]}", f"Synonym {hpo_id[3:]}"] for hpo_id in phenotypes()["hpo_id"]}


def test_captions_of_drawn_figures_are_cut():
    predicted, truth = [], []
    for modality in sorted(DOMAINS):
        for seed in range(15):
            rng = np.random.default_rng([6_000, seed])
            subjects = [{str(rng.choice(sorted(DOMAINS[modality].findings))): 0.7} for _ in range(2 + seed % 3)]
            figure = draw_compound(
                rng, DOMAINS[modality], subjects, [1, 2, *[1] * len(subjects)][: len(subjects)], NAMES, 32
            )
            predicted.append(split_caption(figure.caption))
            truth.append({p.label: p.chunk for p in figure.panels})
    assert caption_scores(predicted, truth) == {"letters": 1, "exact": 1, "token_f1": 1}


@pytest.mark.parametrize(
    "caption, chunks",
    [
        ("(a) Chest film. (b) Hand film.", {"a": "Chest film.", "b": "Hand film."}),
        ("Two films. (A) Chest; (B) hand.", {"a": "Two films. Chest", "b": "Two films. hand."}),
        ("(A, B) Smears; (C) marrow.", {"a": "Smears", "b": "Smears", "c": "marrow."}),
        ("(a-c) Fundus; (d) disc.", {"a": "Fundus", "b": "Fundus", "c": "Fundus", "d": "disc."}),
        ("(a and b) Fundus, and (c) disc.", {"a": "Fundus", "b": "Fundus", "c": "disc."}),
        ("A: chest. B: hand.", {"a": "chest.", "b": "hand."}),
        ("a, chest film. b–c, hand film.", {"a": "chest film.", "b": "hand film.", "c": "hand film."}),
        ("A. Chest film. B. Hand film, see (x).", {"a": "Chest film.", "b": "Hand film, see (x)."}),
        ("1) Chest film. 2) Hand film.", {"a": "Chest film.", "b": "Hand film."}),
        ("A, B: Smears. C: marrow.", {"a": "Smears.", "b": "Smears.", "c": "marrow."}),
        ("(i) Chest film. (ii-iv) Hand.", {"a": "Chest film.", "b": "Hand.", "c": "Hand.", "d": "Hand."}),
        (
            "(a, c) Left eye. (b, d) Right eye.",
            {"a": "Left eye.", "b": "Right eye.", "c": "Left eye.", "d": "Right eye."},
        ),
        ("(a), (b) and (c) Fundus; (d) disc.", {"a": "Fundus", "b": "Fundus", "c": "Fundus", "d": "disc."}),
        ("(a) (b) Nothing between.", {"a": "Nothing between.", "b": "Nothing between."}),
        ("Left panel: CT. Right panel: MR.", {"a": "CT.", "b": "MR."}),
        ("(left) CT. (right) MR.", {"a": "CT.", "b": "MR."}),
        ("Left, CT; right, MR.", {"a": "CT", "b": "MR."}),
        ("Upper left: CT. Upper right: MR. Bottom: PET.", {"a": "CT.", "b": "MR.", "c": "PET."}),
        ("Lower row shows a hand. Upper row shows a foot.", {"a": "shows a foot.", "b": "shows a hand."}),
        ("Panel A shows a heart. Panel B shows a hand.", {"a": "shows a heart.", "b": "shows a hand."}),
        ("a Chest film. b Hand film.", {"a": "Chest film.", "b": "Hand film."}),
        ("(A). Chest film. (B). Hand film.", {"a": "Chest film.", "b": "Hand film."}),
        ("Smears after (a) 5 mg, (b) 10 mg.", {"a": "Smears after 5 mg", "b": "Smears after 10 mg."}),
        ("(a) Film [1], i.e. axial. (b) Hand [2].", {"a": "Film [1], i.e. axial.", "b": "Hand [2]."}),
        ("(a) Heart, shown in (b) enlarged. (b) Detail.", {"a": "Heart, shown in (b) enlarged.", "b": "Detail."}),
        ("(a) Heart. (b) Detail of (a). (c) Hand.", {"a": "Heart.", "b": "Detail of (a).", "c": "Hand."}),
        ("CT in (a) arterial and (b) venous phase.", {"a": "CT in arterial", "b": "CT in venous phase."}),
        ("(a) CT. (b) MR. Scale bars, 50 µm.", {"a": "CT. Scale bars, 50 µm.", "b": "MR. Scale bars, 50 µm."}),
        ("Fundus with drusen (a) and a disc (b).", {"a": "Fundus with drusen", "b": "a disc"}),
        (
            "Two films. A heart (a), a hand (b). All lateral.",
            {"a": "Two films. A heart All lateral.", "b": "Two films. a hand All lateral."},
        ),
        ("CT (left) and MR (right) of the brain.", {"a": "CT of the brain.", "b": "MR of the brain."}),
    ],
)
def test_caption_conventions(caption, chunks):
    assert split_caption(caption) == chunks


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "Chest film with an enlarged heart (arrow).",
        "A chest film. B cells were normal.",
        "(a) Only one panel.",
        "(b) No first panel; (c) nor here.",
        "Hepatitis A, B and C were excluded.",
        "A man, a woman, a child.",
        "(a) (b)",
        "The left lung is clear. Right lung: effusion.",
        "As shown in (a), the heart is large.",
        "Chest film [a] [b].",
    ],
)
def test_captions_without_panels_are_left(caption):
    assert split_caption(caption) == {}


@pytest.mark.parametrize(
    "caption, chunks",
    [
        ("Axial CT (a) and MRI (b) show a mass.", {"a": "Axial CT show a mass.", "b": "MRI show a mass."}),
        (
            "Photographs showing hypertelorism (a), low-set ears (b), and clinodactyly (c).",
            {"a": "Photographs showing hypertelorism", "b": "low-set ears", "c": "clinodactyly"},
        ),
        (
            "Patients 1 (A), 2 (B) and 3 (C).",
            {"a": "Patients 1", "b": "Patients 1, 2 and 3.", "c": "Patients 1, 2 and 3."},
        ),
        ("CT at admission (A) [1] and discharge (B) [2].", {"a": "CT at admission [1]", "b": "discharge [2]"}),
        ("Fig. 1 A: face, B: hand, C: foot.", {"a": "face", "b": "hand", "c": "foot."}),
        ("Figure 2. (A) Face. (B) Hand.", {"a": "Face.", "b": "Hand."}),
        ("Right eye (A) and left eye (B). (C, D) OCT.", {"a": "Right eye", "b": "left eye", "c": "OCT.", "d": "OCT."}),
        (
            "Frontal (A) and lateral (B) films of the skull, (C) hand, (D) foot.",
            {"a": "Frontal films of the skull", "b": "lateral films of the skull", "c": "hand", "d": "foot."},
        ),
        (
            "Faces (A–C) at 1, 3 and 5 years and hands (D).",
            {
                "a": "Faces at 1, 3 and 5 years",
                "b": "Faces at 1, 3 and 5 years",
                "c": "Faces at 1, 3 and 5 years",
                "d": "hands",
            },
        ),
        (
            "(A-C) Patient 1. (A) Frontal view, (B) lateral view and (C) hands.",
            {"a": "Patient 1. Frontal view", "b": "Patient 1. lateral view", "c": "Patient 1. hands."},
        ),
        ("(a)-(c) Serial films; (d) CT.", {"a": "Serial films", "b": "Serial films", "c": "Serial films", "d": "CT."}),
        ("Drusen (a) and (b).", {"a": "Drusen.", "b": "Drusen."}),
        ("Arm (A, arrows) and leg (B, asterisk).", {"a": "Arm (arrows)", "b": "leg (asterisk)"}),
        (
            "The left kidney (a) is small. The right kidney (b) is normal.",
            {"a": "The left kidney is small.", "b": "The right kidney is normal."},
        ),
        ("Signs: A) frontal view, B) lateral view.", {"a": "Signs: frontal view", "b": "Signs: lateral view."}),
        ("A) 5 mg, B) 10 mg, C) 20 mg", {"a": "5 mg", "b": "10 mg", "c": "20 mg"}),
        ("a Axial CT, b coronal CT and c MRI.", {"a": "Axial CT", "b": "coronal CT", "c": "MRI."}),
        ("[A] Face. [B] Hand.", {"a": "Face.", "b": "Hand."}),
        ("A- Face. B- Hand.", {"a": "Face.", "b": "Hand."}),
        ("A = face; B = hand.", {"a": "face", "b": "hand."}),
        ("(A) Face.(B) Hand.", {"a": "Face.", "b": "Hand."}),
        ("I: Pedigree. II: Sequence.", {"a": "Pedigree.", "b": "Sequence."}),
        ("Upper panel: T1. Lower panel: T2.", {"a": "T1.", "b": "T2."}),
        (
            "The upper left panel shows a face. The upper right panel shows a hand.",
            {"a": "shows a face.", "b": "shows a hand."},
        ),
        ("The left panel shows a face and the right panel shows a hand.", {"a": "shows a face", "b": "shows a hand."}),
        ("Panel A shows a film, and panel B a scan.", {"a": "shows a film", "b": "a scan."}),
        (
            "(a) CT and (b) MRI. Arrows mark the cyst.",
            {"a": "CT Arrows mark the cyst.", "b": "MRI. Arrows mark the cyst."},
        ),
        ("A boy with (a) ptosis and (b) squint.", {"a": "A boy with ptosis", "b": "A boy with squint."}),
        ("(a) 5-year-old girl. (b) Her brother.", {"a": "5-year-old girl.", "b": "Her brother."}),
        (
            "(A, D) Wild-type, (B, E) carrier, (C, F) case.",
            {"a": "Wild-type", "b": "carrier", "c": "case.", "d": "Wild-type", "e": "carrier", "f": "case."},
        ),
        ("(a) Face. (b) Hand. (c) 2019 Elsevier.", {"a": "Face.", "b": "Hand. (c) 2019 Elsevier."}),
        ("(a) Genes: (i) FBN1, (ii) TGFBR2. (b) Hand.", {"a": "Genes: (i) FBN1, (ii) TGFBR2.", "b": "Hand."}),
        ("A. Face. B. Hand. C. difficile grew.", {"a": "Face.", "b": "Hand. C. difficile grew."}),
        ("(a) Face.\n(b) Hand.", {"a": "Face.", "b": "Hand."}),
    ],
)
def test_captions_as_articles_have_them(caption, chunks):
    assert split_caption(caption) == chunks


@pytest.mark.parametrize(
    "caption",
    [
        "(a) 5-year-old boy.",
        "Vitamin A. Deficiency of it blinds. Vitamin B. is no panel.",
        "Hepatitis A: the liver. Hepatitis B: a nodule.",
        "Drugs (e.g. aspirin), (i.e. none). T (n = 5).",
        "Influenza (a) and influenza (b).",
        "Blood group (A) and blood group (B) were typed.",
        "Ears (a), nose (b), hands (d).",
        "(a) Film. (b) CT. (d) MRI.",
        "(A, B) Face. (B, C) Hand.",
        "Group A: controls. Group B: cases.",
        "a man with b cells and c cells.",
        "Films as before [1], [2].",
        "Diluted 1:100, 2:500.",
    ],
)
def test_look_alikes_and_holes_are_left(caption):
    assert split_caption(caption) == {}


@given(
    st.lists(
        st.sampled_from(
            [
                "(a)",
                "(b)",
                "(c)",
                "(d)",
                "(a-c)",
                "(A, B)",
                "A:",
                "B:",
                "a",
                "b,",
                "(i)",
                "(ii)",
                "Left:",
                "Right:",
                "heart",
                "hand",
                "CT",
                "and",
                "or",
                "of",
                "in",
                "5",
                ",",
                ".",
                ";",
                "Arrows mark it.",
                "(arrow)",
                "[1]",
                "-",
            ]
        ),
        max_size=14,
    )
)
def test_chunks_are_never_empty_and_letters_have_no_hole(words):
    chunks = split_caption(" ".join(words))
    assert "".join(chunks) == LETTERS[: len(chunks)]
    assert len(chunks) != 1
    assert all(re.search(r"\w", chunk) for chunk in chunks.values())


@given(st.text(alphabet="(aAbB)iI1-,.:; xand", max_size=60))
def test_any_text_is_accepted(text):
    assert set(split_caption(text)) <= set(LETTERS)


# --- scores --------------------------------------------------------------------------------------


def test_token_f1_by_hand():
    assert token_f1("Chest film.", "chest FILM") == 1
    assert token_f1("a hand hand", "a hand") == pytest.approx(2 * 2 / (3 + 2))
    assert token_f1("", "a hand") == 0
    assert token_f1("", "") == 1


def test_caption_scores_by_hand():
    truth = [{"a": "Chest film", "b": "hand"}, {"a": "disc", "b": "disc"}]
    same = {"a": "Two films. Chest film.", "b": "Two films. hand."}
    assert caption_scores([same, truth[1]], truth) == {"letters": 1, "exact": 1, "token_f1": 1}
    greedy = {"a": "Chest film", "b": "Chest film (b) hand"}
    assert caption_scores([greedy, {}], truth) == {
        "letters": 0.5,
        "exact": 0,
        "token_f1": pytest.approx((1 + 2 / 5) / 4),
    }


@given(st.integers(2, 8), st.sampled_from(["({})", "({}).", "{}:", "{})", "Panel {}:"]), st.booleans(), st.booleans())
def test_no_letter_is_lost(n, marker, upper, preamble):
    words = ["chest", "hand", "foot", "skull", "spine", "wrist", "knee", "hip"][:n]
    letters = [chr((ord("A") if upper else ord("a")) + k) for k in range(n)]
    caption = " ".join(f"{marker.format(letter)} {word}." for letter, word in zip(letters, words, strict=True))
    before = "Films of one boy. " if preamble else ""
    expected = {"abcdefgh"[k]: f"{before}{word}." for k, word in enumerate(words)}
    assert split_caption(before + caption) == expected
