"""Finding terms in text: offsets, variation of wording, coordination, abbreviations, known traps."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenolip_lib.recognition import recognizer, tokens
from phenolip_lib.recognition.morphology import lemma
from phenolip_lib.recognition.plain import plain
from phenolip_lib.recognition.recognizer import Recognizer, asserted
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def recognize(full):
    return Recognizer(full)


def found(recognize, text):
    return {(m.surface, m.hpo_id, m.negated) for m in recognize(text)}


def test_names_synonyms_plurals_and_spelling(recognize):
    assert asserted(recognize("Enlarged heart and pleural effusions; severe anaemia.")) == [
        "HP:0001640",
        "HP:0001903",
        "HP:0002202",
    ]


def test_offsets_point_at_the_surface(recognize):
    text = "Skin: many café-au-lait spots, petechiae and low set ears (left side)."
    mentions = recognize(text)
    assert mentions
    assert all(text[m.start : m.end] == m.surface for m in mentions)
    assert any(m.surface == "low set ears" for m in mentions)


def test_negation_covers_a_coordination(recognize):
    assert found(recognize, "No pleural effusion or pneumothorax.") == {
        ("pleural effusion", "HP:0002202", True),
        ("pneumothorax", "HP:0002107", True),
    }


def test_negation_ends_with_its_clause(recognize):
    assert asserted(recognize("There is no pneumothorax, but cardiomegaly is seen.")) == ["HP:0001640"]
    assert asserted(recognize("Scoliosis. Petechiae were not seen.")) == ["HP:0002650"]


def test_uncertain_mentions_do_not_count(recognize):
    assert asserted(recognize("Possible scoliosis")) == []


@pytest.mark.parametrize("text", ["A fluid collection is seen.", "All images were read.", "Edema", "neoplasm"])
def test_everyday_words_are_no_phenotypes(recognize, text):
    assert recognize(text) == []


def test_longest_match_wins(recognize):
    assert [m.surface for m in recognize("postaxial hand polydactyly")] == ["postaxial hand polydactyly"]


def test_broad_synonyms_are_left_out(toy):
    assert Recognizer(toy)("a big organ") == []


def test_acronyms_count_only_as_written(toy):
    recognize = Recognizer(toy)
    assert [m.hpo_id for m in recognize("CMG is present")] == ["HP:0001640"]
    assert recognize("cmg is present") == []


@given(st.text(max_size=160))
def test_any_text_gives_true_offsets(recognize, text):
    text = f"{text} enlarged spleen {text}"
    mentions = recognize(text)
    assert all(text[m.start : m.end] == m.surface for m in mentions)
    assert mentions == sorted(mentions)


PIECES = ["ﬁ", "\u0301", "\u00ad", "-\n", "\n", "&amp;", "<b>", "²", "enlarged", "spleen", " ", "ataxia"]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_made_plain_every_span_leads_back(text):
    read = plain(text, {"ataxia", "spleen"}.__contains__)
    spans = [read.given(i, i + 1) for i in range(len(read.text))]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert spans == sorted(spans)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hypo- and hyperpigmentation", "Hypopigmentation and hyperpigmentation"),
        ("no brady-/tachycardia", "no bradycardia/tachycardia"),
        ("syn-, poly-, or brachydactyly", "syndactyly, polydactyly, or brachydactyly"),
        ("micro\u2013 as well as macrocephaly", "microcephaly as well as macrocephaly"),
        ("hypo- & areflexia", "hyporeflexia & areflexia"),
        ("pre- and post-natal", "prenatal and post-natal"),
        ("hypo-\nand hyperpigmentation", "hypopigmentation\nand hyperpigmentation"),
        ("hypertelorism and -tropia", "hypertelorism and hypertropia"),
        ("upper- and lower-limb", "upper- and lower-limb"),
        ("micro- and telangiectasia, -ataxia", "micro- and telangiectasia, -ataxia"),
    ],
)
def test_a_part_left_to_the_neighbour_is_said_in_full(text, expected):
    known = """hypopigmentation hyperpigmentation bradycardia tachycardia syndactyly polydactyly brachydactyly prenatal
    postnatal microcephaly macrocephaly hyporeflexia areflexia hypertelorism hypertropia telangiectasia ataxia"""
    read = plain(text, known.split().__contains__)
    assert read.text == expected
    assert text[slice(*read.given(0, len(read.text)))] == text


WORDS = "short fingers and toes , no enlarged spleen heart of the left . possible ataxia hearing loss ( ) was".split()


@settings(max_examples=200)
@given(st.lists(st.sampled_from(WORDS), max_size=25))
def test_windows_agree_with_a_slow_search(recognize, chosen):
    """Every window of words that a naive search finds in the dictionary lies under some mention."""
    text = " ".join(chosen)
    covered = [(m.start, m.end) for m in recognize(text)]
    lexicon = recognize.lexicon
    families, symbols = lexicon.families, lexicon.symbol
    for i in range(len(chosen)):
        for j in range(i + 2, min(i + 5, len(chosen)) + 1):
            window = chosen[i:j]
            if any(w in {",", ".", "(", ")", "and", "no", "possible", "was", "left", "of", "the"} for w in window):
                continue
            if window[-1] in ("short", "enlarged") and j < len(chosen):
                continue  # an adjective at the end may belong to the next word
            known = [families.family(lemma(w)) for w in window]
            if None in known or "".join(sorted({symbols[f] for f in known})) not in lexicon.entries:
                continue
            start = len(" ".join(chosen[:i])) + (i > 0)
            end = start + len(" ".join(window))
            assert any(s < end and e > start for s, e in covered), (text, window)


@pytest.mark.parametrize(
    ("text", "hpo_id"),
    [
        ("an enlarged spleen", "HP:0001744"),
        ("The spleen was markedly enlarged", "HP:0001744"),
        ("thinning of the corpus callosum", "HP:0033725"),
        ("oesophageal varices", "HP:0002040"),
        ("bowed tibiae", "HP:0002982"),
        ("low IgG2 levels", "HP:0008348"),
        ("bowing of the lower extremities", "HP:0002979"),
        ("the boy was microcephalic", "HP:0000252"),
        ("a 5th finger that is short", "HP:0009237"),
        ("swallowing problems", "HP:0002015"),
        ("dilatation of both lateral ventricles", "HP:0006956"),
        ("ULNA: bowed", None),
    ],
)
def test_lexical_variation(recognize, full, text, hpo_id):
    assert [m.hpo_id for m in recognize(text)] == ([hpo_id] if hpo_id else []), [
        full[m.hpo_id] for m in recognize(text)
    ]


def cases() -> list[list[str]]:
    """Kind, text and the names found in it; escapes stand for what cannot be seen."""
    rows = (ROOT / "tests" / "data" / "wordings.tsv").read_text(encoding="utf-8").splitlines()
    seen = re.compile(r"\\(?:n|u[0-9a-f]{4})")
    return [seen.sub(lambda m: m[0].encode().decode("unicode_escape"), row).split("\t") for row in rows]


@pytest.mark.parametrize(("kind", "text", "names"), cases(), ids=lambda value: value[:24])
def test_kinds_of_wordings(recognize, full, kind, text, names):
    mentions = recognize(text)
    assert {full[m.hpo_id].name for m in mentions} == {name for name in names.split("; ") if name}
    assert all(text[m.start : m.end] == m.surface for m in mentions)


@pytest.mark.parametrize(
    "piece", ["and short fingers ", "no ataxia, ", "ataxia (AT) ", "edema\n", "short, ", "a-\nb&<b "]
)
def test_time_grows_no_faster_than_the_text(recognize, monkeypatch, piece):
    monkeypatch.setattr(recognizer, "statuses", lambda text, spans: [(False, False, False)] * len(spans))

    def seconds(n: int) -> float:
        begin = time.process_time()
        recognize(piece * n)
        return time.process_time() - begin

    recognize(piece * 10)
    assert min(seconds(16_000) / seconds(2_000) for _ in range(3)) < 24


def test_coordination_shares_words_over_an_and(recognize):
    assert asserted(recognize("short fingers and toes")) == ["HP:0001831", "HP:0009381"]
    assert asserted(recognize("hearing and visual impairment")) == ["HP:0000365", "HP:0000505"]
    assert asserted(recognize("cleft lip and palate")) == ["HP:0000175", "HP:0410030"]
    # A finding and a mere part of the body share nothing.
    assert asserted(recognize("splenomegaly and toes")) == ["HP:0001744"]


@pytest.mark.parametrize(
    "text",
    [
        "small bowel loops",
        "the renal pelvis",
        "Achilles tendon",
        "nasal bones",
        "collecting system",
        "PICA territory",
        "micrograph",
        "vasculature appears widely",
        "aplasia of the ulnar nerve sheath",
        "left shift",
        "OCD lesion",
        "respiratory status - loss of",
        "bronchioles",
    ],
)
def test_parts_and_phrases_that_only_look_like_findings(recognize, full, text):
    assert recognize(text) == []


def test_abbreviations_mean_what_the_text_says(recognize):
    text = "osteochondritis dissecans (OCD) of the knee. The OCD is stable."
    assert [(m.surface, m.hpo_id) for m in recognize(text)] == [
        ("osteochondritis dissecans", "HP:0010886"),
        ("OCD", "HP:0010886"),
        ("OCD", "HP:0010886"),
    ]
    # Defined as something the dictionary does not hold, a short form is no phenotype any more.
    assert recognize("patent duct anomaly group (PDAG)") == recognize("x")
    assert [m.surface for m in recognize("PDA was closed")] == ["PDA"]
    assert recognize("primary data analysis (PDA); PDA was done") == []


@pytest.mark.parametrize(
    "text",
    [
        "Pleural effusion (CT). Follow-up CT of the abdomen was normal.",
        "Scoliosis (AP) and a normal AP view.",
        "Pneumothorax (Arrow). Arrow on the film.",
        "MRI (hydrocephalus), then another MRI",
    ],
)
def test_what_brackets_hold_beside_a_finding_is_not_always_its_abbreviation(recognize, text):
    assert len(recognize(text)) == 1


def test_headings_are_no_findings(recognize):
    assert recognize("EDEMA:\nNeoplasm\n") == []
    assert [m.surface for m in recognize("There was some edema.")] == ["edema"]


def test_batches_of_any_size_remember_nothing_wrong(recognize, monkeypatch):
    """The memory of chunks may be emptied at any time without changing what is found."""
    texts = [f"case {i}: enlarged spleen, no ataxia, short fingers and toes {i}" for i in range(40)]
    expected = [recognize(text) for text in texts]
    monkeypatch.setattr(tokens, "MAX_CHUNKS", 3)
    assert [recognize(text) for text in texts] == expected


def test_every_name_of_the_ontology_is_found_as_itself(recognize, full):
    """Names are the surest surface forms: nearly all must lead to their own term, however they are punctuated."""
    wrong = [
        hpo_id
        for hpo_id in full.phenotypes[::7]
        if hpo_id not in {m.hpo_id for m in recognize(f"x {full[hpo_id].name} x")}
    ]
    assert len(wrong) <= 0.01 * len(full.phenotypes[::7]), [full[h].name for h in wrong[:20]]
