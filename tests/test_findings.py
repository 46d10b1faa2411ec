"""Findings of reports by rules: category, place, severity, polarity, exact spans, bad input, and the command."""

import json
import time

import pytest
from typer.testing import CliRunner

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.pipeline.cli import app
from phenolip_lib.recognition import annotate
from phenolip_lib.recognition.findings.documents import lines, read_openi, read_reports
from phenolip_lib.recognition.findings.extract import Rules
from phenolip_lib.recognition.findings.vocabulary import OTHER, by_hpo, categories, phrases, within

XML = """<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR2"/><Abstract>
<AbstractText Label="COMPARISON"/><AbstractText Label="FINDINGS">Small  left
effusion.</AbstractText></Abstract><MeSH><major>Pleural Effusion/left/small</major></MeSH></eCitation>"""


@pytest.fixture(scope="module")
def rules(toy):
    return Rules(toy)


def told(rules, text):
    return [
        (f.category, *sorted(f.location.names), *([f.severity] if f.severity else []), f.polarity)
        for f in rules.extract(text).findings
    ]


@pytest.mark.parametrize(
    "text, found",
    [
        ("The heart is mildly enlarged.", [("cardiomegaly", "heart", "mild", "present")]),
        ("The heart is not enlarged.", [("cardiomegaly", "heart", "absent")]),
        ("Left base without opacity.", [("opacity", "base", "left", "absent")]),
        ("Normal heart. Enlarged hilum.", [("prominent hilum", "hilum", "present")]),
        ("Heart size normal, the aorta is tortuous.", [("tortuous aorta", "aorta", "present")]),
        ("Calcified left hilar lymph nodes.", [("calcification", "hilum", "left", "lymph nodes", "present")]),
        ("Calcified lingular granuloma.", [("calcified granuloma", "lingula", "present")]),
        (
            "Granulomas in the right upper lobe and left lower lobe.",
            [("granuloma", "right", "upper lobe", "present"), ("granuloma", "left", "lower lobe", "present")],
        ),
        ("Left and right pleural effusions.", [("pleural effusion", "bilateral", "pleura", "present")]),
        (
            "Consolidation in the right middle and lower lobes.",
            [("consolidation", "middle lobe", "right", "present"), ("consolidation", "lower lobe", "right", "present")],
        ),
        (
            "Opacities in the right upper, middle and lower lobes.",
            [("opacity", "right", "upper lobe", "present"), ("opacity", "middle lobe", "right", "present")]
            + [("opacity", "lower lobe", "right", "present")],
        ),
        (
            "Infiltrate in the upper or lower lung zones.",
            [("infiltrate", "upper lobe", "present"), ("infiltrate", "lower lobe", "present")],
        ),
        (
            "Left basilar opacities may represent scarring.",
            [("opacity", "base", "left", "present"), ("scar", "base", "left", "uncertain")],
        ),
        ("Interstitial edema.", [("pulmonary edema", "interstitial", "present")]),
        (
            "Cardiomegaly with low lung volumes.",
            [("cardiomegaly", "heart", "present"), ("hypoinflation", "lung", "present")],
        ),
        (
            "Mild scoliosis and degenerative changes.",
            [("scoliosis", "mild", "spine", "present"), ("degenerative change", "spine", "present")],
        ),
        (
            "No pneumothorax or effusion.",
            [("pneumothorax", "pleura", "absent"), ("pleural effusion", "pleura", "absent")],
        ),
        (
            "Opacity in the left base, no effusion.",
            [("opacity", "base", "left", "present"), ("pleural effusion", "pleura", "absent")],
        ),
        (
            "Consolidation in the left upper and lower lobes.",
            [("consolidation", "left", "upper lobe", "present"), ("consolidation", "left", "lower lobe", "present")],
        ),
        (
            "Right upper lobe collapse. Pneumothorax in the interval.",
            [("atelectasis", "right", "upper lobe", "present"), ("pneumothorax", "pleura", "present")],
        ),
        ("Small  left   pleural  effusion.", [("pleural effusion", "left", "pleura", "present")]),
        ("Dextroscoliosis.", [("scoliosis", "right", "spine", "present")]),
    ],
)
def test_what_a_sentence_says(rules, text, found):
    assert [tuple(sorted(one)) for one in told(rules, text)] == [tuple(sorted(one)) for one in found]


def test_spans_are_those_of_the_text_as_given(rules):
    text = "FINDINGS: Small&nbsp;left pleural\neffusion.\r\n\nIMPRESSION: Café; <b>no</b> pneumo\u00adthorax."
    found = rules.extract(text).findings
    assert [(f.category, f.polarity, f.section) for f in found] == [
        ("pleural effusion", "present", "findings"),
        ("pneumothorax", "absent", "impression"),
    ]
    assert all(text[f.start : f.end] == f.text for f in found)
    assert found[0].descriptors == ("small",)


def test_what_the_tables_do_not_name_is_kept(rules):
    """A term of the ontology without a category, a place without a row."""
    spleen, nodule = rules.extract("Splenomegaly. A nodule in the pancreas.").findings
    assert (spleen.category, spleen.hpo_id) == ("splenomegaly", "HP:0001744")
    assert (nodule.category, nodule.hpo_id) == ("nodule", None)  # HPO's is a pulmonary one
    assert (nodule.location.organ, nodule.location.text) == (OTHER, "pancreas")
    (other,) = rules.extract("No acute abnormality.").findings
    assert (other.category, other.polarity) == (OTHER, "absent")


def test_ids_and_places_of_the_tables_are_there(full):
    ids = [hpo_id for hpo_id in by_hpo() if hpo_id not in full.index]
    assert ids == []
    places = {c.place for c in categories().values()} - {""}
    needs = {need for terms in phrases().values() for term in terms for need in term.needs}
    assert places | {need for need in needs if need[0] != "+"} <= within().keys()
    assert {need[1:] for need in needs if need[0] == "+"} <= categories().keys()


@pytest.mark.parametrize(
    "text, category, said",
    [
        ("Small left effusion. No pleural effusion.", "pleural effusion", "contradictory"),
        ("Small left effusion. No right effusion.", "pleural effusion", "present"),
        ("Small left effusion. No large effusion.", "pleural effusion", "present"),
        ("No acute fracture. Healed rib fracture.", "fracture", "present"),
        ("No pneumonia. Possible pneumonia.", "pneumonia", "uncertain"),
        ("No pneumonia.", "pneumonia", "absent"),
        ("Family history of scoliosis.", "scoliosis", None),
    ],
)
def test_the_view_of_the_whole_report(rules, text, category, said):
    row = rules.extract(text).row("a")
    assert row["report"].get(category) == said
    assert category in {f["category"] for f in row["findings"]}  # every statement stays with its span


def test_empty_and_foreign_reports_say_so(rules):
    assert rules.extract(" \n ").status == "empty"
    german = (
        "Herz nicht vergrößert, keine Infiltrate, kein Erguss, kein Pneumothorax, Zwerchfell beidseits glatt begrenzt."
    )
    assert rules.extract(german).reasons == ("may not be English",)
    assert (
        rules.extract("Lungs clear. Heart size normal. No effusion, pneumothorax, or consolidation seen.").reasons == ()
    )
    assert rules.extract("Normal.").reasons == ()


@pytest.mark.parametrize(
    "piece", ["Small left effusion. No nodule. ", "left base and right apex opacity and enlarged heart "]
)
def test_time_is_linear_in_the_report_also_without_an_end_of_a_sentence(rules, piece):
    def took(times):
        text, best = piece * times, float("inf")
        for _ in range(3):
            start = time.process_time()
            rules.extract(text)
            best = min(best, time.process_time() - start)
        return best

    assert took(4000) < 20 * took(500)  # 8 if linear, 64 if quadratic


# --- documents and the command -------------------------------------------------------------------


def test_a_report_of_open_i_is_read():
    report = read_openi("2.xml", XML)
    assert (report.name, report.text(), report.codes) == (
        "CXR2",
        "FINDINGS: Small left effusion.",
        ("Pleural Effusion/left/small",),
    )
    for text in ("no xml", "<eCitation/>", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'):
        with pytest.raises(PhenoLIPError, match=r"^2\.xml: no"):
            read_openi("2.xml", text)


def test_tables_and_texts_are_read_and_what_cannot_be_is_told_at_the_end(tmp_path, rules):
    (tmp_path / "a.txt").write_text("Cardiomegaly.")
    (tmp_path / "b.csv").write_text('id,Report\n7,"No nodule,\nno mass."\n8,\n')
    (tmp_path / "c.tsv").write_text("note\nScoliosis.\n")
    (tmp_path / "d.xml").write_text(XML)
    (tmp_path / "e.xml").write_text("<a>")
    files = [str(tmp_path / f"{name}") for name in ("a.txt", "b.csv", "c.tsv", "d.xml", "e.xml", "none.txt")]
    problems = []
    found = dict(read_reports(files, problems))
    assert list(found.values()) == ["Cardiomegaly.", "No nodule,\nno mass.", "", "FINDINGS: Small left effusion."]
    assert [name.rpartition("/")[2] for name in found] == ["a.txt", "b.csv#7", "b.csv#8", "d.xml"]
    assert [p.rpartition("/")[2].split(":")[0] for p in problems[:2]] == ["c.tsv", "e.xml"]
    assert dict(read_reports([files[2]], [], "note")) == {f"{files[2]}#1": "Scoliosis."}
    told, lined = [], lines(files, lambda: rules)
    with pytest.raises(PhenoLIPError, match=r"none\.txt: No such file"):
        told.extend(json.loads(line) for line in lined)
    (told,) = [list(map(json.loads, lines([files[1]], lambda: rules)))]
    assert [row["status"] for row in told] == ["read", "empty"]
    assert told[0]["report"] == {"mass": "absent", "nodule": "absent"}
    assert told[0]["findings"][0]["span"] == [3, 9]


def test_the_command_writes_a_line_a_report(monkeypatch, toy):
    monkeypatch.setattr(annotate, "ontology", lambda: toy)
    done = CliRunner().invoke(app, ["findings", "-"], input="Mild cardiomegaly.\n")
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["document"], row["report"]) == ("-", {"cardiomegaly": "present"})
    assert row["findings"][0]["severity"] == "mild"
    wrong = CliRunner().invoke(app, ["findings", "--model", "gpt"])
    assert "local:NAME" in str(wrong.exception)
