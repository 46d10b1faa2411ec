"""The gold set of the status of findings: its marks by themselves, and against the reports where they are at hand."""

import os
import re
from pathlib import Path

import pytest

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.recognition.assertion import Status, statuses
from tests.conftest import ROOT
from tests.gold import iu_status

DATA = Path(os.environ.get("PHENOLIP_DATA", ROOT.parent / "shared" / "data"))
needs_reports = pytest.mark.skipif(not (DATA / iu_status.FOLDER).is_dir(), reason="the reports are not at hand")

_INSIDE = re.compile(r"\w\w")

REPORT = """<?xml version="1.0"?><eCitation><uId id="CXR8"/><Abstract>
<AbstractText Label="COMPARISON"/><AbstractText Label="Findings">Clear
   lungs.  No effusion &lt; 1 cm.</AbstractText><AbstractText Label="IMPRESSION">Normal.</AbstractText>
</Abstract></eCitation>"""


def test_a_text_is_put_together_as_documented(tmp_path):
    path = tmp_path / "8.xml"
    path.write_text(REPORT)
    report = iu_status.read_report(path)
    assert report.text == "FINDINGS: Clear lungs. No effusion < 1 cm.\n\nIMPRESSION: Normal."
    assert [report.section(i) for i in (0, 41, 44)] == ["FINDINGS", "FINDINGS", "IMPRESSION"]
    path.write_text(REPORT.replace("Clear", "").replace("lungs.  No effusion &lt; 1 cm.", " ").replace("Normal.", ""))
    with pytest.raises(PhenoLIPError, match="none of its sections holds text"):
        iu_status.read_report(path)


def test_marks_are_sorted_and_apart_and_settled_where_the_passes_agree():
    marks = iu_status.read_marks()
    assert set(marks[["first", "second", "status"]].stack()) == set(iu_status.STATUSES)
    assert (marks["start"] < marks["end"]).all()
    for _, own in marks.groupby("report"):
        assert (own["end"].to_numpy()[:-1] < own["start"].to_numpy()[1:]).all()
    agreed = marks[marks["first"] == marks["second"]]
    assert (agreed["status"] == agreed["first"]).all()


def test_readme_gives_the_agreement_of_the_passes():
    found = iu_status.agreement(iu_status.read_marks())
    readme = (iu_status.HERE / "README.md").read_text()
    assert f"{found['raw'] * found['marks']:.0f} of {found['marks']} marks" in readme
    assert f"kappa {found['kappa']:.3f}".replace("0.", ".") in readme


@needs_reports
def test_the_sample_is_drawn_as_said_from_all_reports_that_hold_text():
    reports, errors = [], []
    for path in (DATA / iu_status.FOLDER).glob("*.xml"):
        try:
            reports.append(iu_status.read_report(path))
        except PhenoLIPError as error:
            errors.append(str(error))
    assert all("none of its sections holds text" in error for error in errors)
    assert len(errors) < len(reports) / 100
    sample = iu_status.read_sample()
    assert {name: set(own["report"]) for name, own in sample.groupby("sample")} == {
        name: set(names) for name, names in iu_status.draw(reports).items()
    }


@needs_reports
def test_marks_lie_on_whole_words_of_the_reports_that_were_drawn():
    reports = iu_status.read_reports(DATA)
    for name, start, end in iu_status.read_marks()[["report", "start", "end"]].itertuples(index=False):
        text = reports[name].text
        assert text[start:end].strip() == text[start:end]
        assert not _INSIDE.match(text, start - 1)
        assert not _INSIDE.match(text, end - 1)
        assert reports[name].section(start) == reports[name].section(end - 1)


@needs_reports
def test_a_perfect_engine_scores_one_and_a_blind_one_the_share_of_what_is_affirmed():
    marks = iu_status.read_marks()
    known = {name: iter(own["status"]) for name, own in marks.groupby("report")}
    texts = {report.text: name for name, report in iu_status.read_reports(DATA).items()}

    def perfect(text, spans):
        said = [next(known[texts[text]]) for _ in spans]
        return [Status(status == "negated", status == "uncertain", False) for status in said]

    table = iu_status.score(iu_status.outcomes(perfect, DATA))
    assert (table["accuracy"] == 1).all()
    blind = iu_status.score(iu_status.outcomes(lambda _, spans: [Status(False, False, False)] * len(spans), DATA))
    for row in blind[blind["marks"] == "all"].itertuples():
        reports = iu_status.read_sample().query("sample == @row.sample")["report"]
        own = marks[marks["report"].isin(reports) & (marks["report"].map(iu_status.half) == row.half)]
        assert row.accuracy == pytest.approx((own["status"] == "affirmed").mean())
        assert row.low < row.accuracy < row.high


@needs_reports
def test_another_text_under_the_same_number_is_refused(tmp_path):
    folder = tmp_path / iu_status.FOLDER
    folder.mkdir(parents=True)
    first = next(iter(iu_status.read_reports(DATA)))
    (folder / f"{first.removeprefix('CXR')}.xml").write_text(REPORT.replace("CXR8", first))
    with pytest.raises(PhenoLIPError, match="not the one that was marked"):
        iu_status.read_reports(tmp_path)


@needs_reports
def test_status_in_reports_that_no_rule_was_written_on():
    table = iu_status.score(iu_status.outcomes(statuses, DATA)).set_index(["sample", "half", "marks"])
    assert table.loc[("random", "test", "all"), "accuracy"] >= 0.95
