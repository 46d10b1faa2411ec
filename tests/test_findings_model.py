"""Findings by a language model: garbage is refused and counted, answers are kept. The book of appearances."""

import json

import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.models.answers import ATTEMPTS
from phenolip_lib.models.language_models import LocalModel, Unanswered
from phenolip_lib.recognition.findings.book import Book, Page, entry_text, hpo_book
from phenolip_lib.recognition.findings.extract import Rules
from phenolip_lib.recognition.findings.model import BATCH, MAX_REPORT, ModelExtractor
from phenolip_lib.recognition.findings.vocabulary import OTHER
from tests.test_refine import Scripted

REPORT = "Mildly enlarged heart.  No pleural\neffusion. A strange thing behind the ear."


@pytest.fixture(scope="module")
def rules(toy):
    return Rules(toy)


def said(finding="enlarged heart", quote="enlarged heart", polarity="present", **more):
    return {"finding": finding, "quote": quote, "polarity": polarity, **more}


def answer(*findings):
    return json.dumps({"findings": findings})


def test_names_come_to_the_tables_and_what_they_do_not_know_is_other(rules):
    text = answer(
        said(severity="mildly", location="heart"),
        said("fluid", "no pleural effusion", "absent", side="left", location="pleural space"),
        said(
            "strange thing",
            "strange thing",
            location="behind the ear",
            severity="enormous",
            descriptors=["odd", "tiny"],
        ),
    )
    (read,) = ModelExtractor(Scripted(f"Sure! {text}"), rules)([REPORT])
    heart, fluid, strange = read.findings
    assert (heart.category, heart.hpo_id, heart.severity) == ("cardiomegaly", "HP:0001640", "mild")
    assert (fluid.polarity, fluid.location.organ, fluid.location.side) == ("absent", "pleura", "left")
    assert (strange.category, strange.location.organ, strange.location.text) == (OTHER, OTHER, "behind the ear")
    assert (strange.severity, strange.descriptors, strange.text) == (OTHER, ("small", "odd"), "strange thing")
    assert all(REPORT[f.start : f.end] == f.text for f in read.findings)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("I see a heart.", "invalid answer: no JSON object"),
        ('{"findings": [{"finding"', "invalid answer: broken JSON"),
        (answer(said(polarity="maybe")), "invalid answer: findings.0.polarity"),
        (answer(said(note="x")), "invalid answer: findings.0.note"),
        (answer(said(quote="")), "invalid answer: findings.0.quote"),
        (Unanswered("no answer: HTTP 500"), "no answer: HTTP 500"),
    ],
)
def test_garbage_fails_the_report_with_its_reason_and_is_asked_for_again(rules, tmp_path, text, reason):
    model = Scripted(text)
    extract = ModelExtractor(model, rules, tmp_path)
    (read,) = extract([REPORT])
    assert (read.status, read.findings) == ("failed", ())
    assert read.reasons[0].startswith(reason)
    assert len(model.prompts) == ATTEMPTS
    (again,) = ModelExtractor(Scripted(answer(said())), rules, tmp_path)([REPORT])
    assert again.status == "read"


def test_a_finding_that_the_report_does_not_say_is_refused_and_counted(rules):
    extract = ModelExtractor(Scripted(answer(said(), said("mass", "a large mass"))), rules)
    found = extract([REPORT, " ", "x" * (MAX_REPORT + 1)])
    assert [len(read.findings) for read in found] == [1, 0, 0]
    assert [read.status for read in found] == ["read", "empty", "failed"]
    assert found[0].reasons[0].startswith("refused")
    assert found[0].reasons[0].endswith("its words are not in the report")
    assert found[2].reasons == (f"too long for a model: over {MAX_REPORT} characters",)


def test_a_killed_run_goes_on_where_it_stopped(rules, tmp_path):
    class Killed(Scripted):
        def complete(self, prompts):
            if self.prompts:
                raise KeyboardInterrupt
            return super().complete(prompts)

    reports = [f"Enlarged heart, film {k}." for k in range(BATCH + 3)]
    with pytest.raises(KeyboardInterrupt):
        ModelExtractor(Killed(answer(said())), rules, tmp_path)(reports)
    model = Scripted(answer(said()))
    found = ModelExtractor(model, rules, tmp_path)(reports)
    assert len(model.prompts) == 3
    assert {read.findings[0].category for read in found} == {"cardiomegaly"}


def test_a_small_local_model_survives_its_own_garbage(rules, tiny_model):
    (read,) = ModelExtractor(LocalModel(str(tiny_model), max_new_tokens=8), rules)([REPORT])
    assert read.status == "failed"
    assert read.reasons[0].startswith("invalid answer")


# --- the book ------------------------------------------------------------------------------------


def finding(rules, text):
    return rules.extract(text).findings[0]


def test_a_category_of_several_words_keeps_its_sentence(rules):
    """The released code takes the last word of an entry for its category, and finds no page for "effusion"."""
    book = Book({"pleural effusion": Page("Blunts the angle.", "test"), "opacity": Page("White.", "test")})
    found = finding(rules, "Moderate left pleural effusion.")
    assert entry_text(found, book) == "moderate left pleural effusion. Blunts the angle."
    assert entry_text(found) == "moderate left pleural effusion"
    assert entry_text(finding(rules, "No opacity in the left base."), book) == "no left base opacity. White."
    assert entry_text(finding(rules, "Scoliosis."), book) == "spine scoliosis"


def test_hpo_says_what_it_is_and_a_file_goes_first(full, tmp_path):
    book = hpo_book(full)
    page = book.page("Pleural  effusion")
    assert page.text.startswith(full["HP:0002202"].definition)
    assert page.source.startswith("HP:0002202, HPO ")
    assert book.page("splenomegaly").source.startswith("HP:0001744")
    assert book.page("surgical clips") is None
    (tmp_path / "own.yaml").write_text("Pleural effusion: Fluid, white at the base.\nsurgical clips: Bright.\n")
    (tmp_path / "own.csv").write_text("category,text\nsurgical clips,Metal.\n")
    own = book.with_file(tmp_path / "own.yaml")
    assert own.page("pleural effusion") == Page("Fluid, white at the base.", str(tmp_path / "own.yaml"))
    assert own.page("cardiomegaly") == book.page("cardiomegaly")
    assert own.with_file(tmp_path / "own.csv").page("surgical clips").text == "Metal."
    assert len({book.version, own.version, hpo_book(full).version}) == 2


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("b.txt", "", "ends in .yaml or .csv"),
        ("b.csv", "a,b\n", "category and text"),
        ("b.csv", "category,text\na,x\nA,y\n", "twice"),
        ("b.csv", "category,text\na,\n", "no text"),
        ("b.yaml", "- a\n", "no book"),
        ("b.yaml", "a: [1]\n", "no text"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_a_book_that_is_none_is_told(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(PhenoLIPError, match=message):
        Book({}).with_file(tmp_path / name)
