"""Scores of findings against the codes of Open-i, on made reports; polarity on the marks where reports are at hand."""

import pytest

from phenolip_lib.evaluation import findings as module
from phenolip_lib.evaluation.findings import Entry, complexity, counts, entry, gold, half, readers, scores, whole
from phenolip_lib.recognition.findings.documents import Report
from phenolip_lib.recognition.findings.extract import Rules
from phenolip_lib.recognition.findings.vocabulary import categories
from tests.gold import iu_status
from tests.test_iu_status import DATA, needs_reports

REPORTS = [
    Report(
        "CXR2",
        (("INDICATION", "Scoliosis"), ("FINDINGS", "Mild left basilar opacity. No effusion.")),
        ("Opacity/lung/base/left/mild",),
    ),
    Report(
        "CXR4", (("IMPRESSION", "Cardiomegaly. Tortuous aorta."),), ("Cardiomegaly/mild", "Aorta, Thoracic/tortuous")
    ),
    Report("CXR6", (("IMPRESSION", "Normal chest."),), ("normal",)),
    Report("CXR8", (("IMPRESSION", "Pneumonia."),), ("No Indexing",)),
    Report("CXR10", (("IMPRESSION", "Nodule."),), ()),
]


@pytest.fixture(scope="module")
def rules(toy):
    return Rules(toy)


@pytest.mark.parametrize(
    "code, expected",
    [
        ("Calcified Granuloma/lung/upper lobe/right", Entry("calcified granuloma", frozenset({"upper lobe", "right"}))),
        (
            "Thoracic Vertebrae/degenerative/mild",
            Entry("degenerative change", frozenset({"thoracic vertebrae"}), "mild"),
        ),
        ("Lung/hypoinflation", Entry("hypoinflation", frozenset({"lung"}))),
        ("Pulmonary Atelectasis/left", Entry("atelectasis", frozenset({"lung", "left"}))),
        ("Technical Quality of Image Unsatisfactory ", None),
        ("normal", None),
        ("Unheard Of/lung", Entry("Unheard Of/lung")),
    ],
)
def test_codes_become_entries(code, expected):
    assert entry(code) == expected


def test_the_mapping_names_categories_that_the_extractor_has():
    """All but three that occur once or twice and have no page of ours stay misses."""
    assert module.standard() - categories().keys() == {"cystic fibrosis", "hypovolemia", "colonic interposition"}


def test_sides_are_joined_and_what_is_said_more_fully_remains():
    base, lung = frozenset({"base"}), frozenset({"lung"})
    found = [
        Entry("a", base | {"left"}),
        Entry("a", base | {"right"}),
        Entry("a", lung),
        Entry("b"),
        Entry("b", severity="mild"),
    ]
    assert whole(found) == {Entry("a", base | {"bilateral"}), Entry("b", severity="mild")}


def test_halves_go_by_the_number_halved():
    assert [half(f"CXR{n}") for n in (2, 4, 6, 8)] == ["development", "test"] * 2
    assert [half(f"CXR{n}") for n in (2, 4)] == [iu_status.half(f"CXR{n}") for n in (2, 4)]


def test_scores_are_counted_by_hand(rules):
    reads = {"findings": readers(rules)["findings"], "all": lambda text: [Entry("opacity"), Entry("mass"), Entry("x")]}
    table = scores(REPORTS, reads, resamples=200).set_index(["reader", "level"])
    own = table.loc["findings"]
    assert own["reports"].tolist() == [3, 3, 3]
    assert own["codes"].tolist() == [3, 3, 3]
    assert own["f1"].round(1).tolist() == [100.0, 66.7, 33.3]  # the aorta is not told to be thoracic, no grade is told
    row = table.loc[("all", "category")]
    assert (row["found"], row["outside"]) == (6, 3)
    assert (row["precision"], row["recall"]) == pytest.approx((100 / 6, 100 / 3))
    assert row["f1"] == pytest.approx(100 * 2 * 1 / 9)
    assert row["low"] <= row["f1"] <= row["high"]


def test_polarity_is_what_parts_the_two_dictionaries(rules):
    reads = readers(rules)
    text = "No pleural effusion. Mild cardiomegaly. Bone fractures. Hypoinflation of the lung. Clear lung."
    said = {name: sorted({e.category for e in read(text)}) for name, read in reads.items()}
    assert said["MeSH heads, polarity"] == ["cardiomegaly", "fracture", "hypoinflation"]
    assert said["MeSH heads"] == ["cardiomegaly", "fracture", "hypoinflation", "pleural effusion"]
    assert said["recogniser alone"] == ["cardiomegaly"]


def test_a_report_without_codes_or_index_is_not_scored(rules):
    assert gold(REPORTS).keys() == {"CXR2", "CXR4", "CXR6"}
    assert counts(REPORTS, readers(rules)["findings"])["category"]["coded"].tolist() == [1, 2, 0]


def test_complexity_counts_words_of_reports_and_entries(rules):
    table = complexity(REPORTS[:1], rules).set_index("text")
    assert table.loc["report"].tolist() == [1, 7, 7]  # FINDINGS: Mild left basilar opacity. No effusion.
    assert table.loc["entries"].tolist() == [1, 4, 4]  # mild left base opacity


@needs_reports
def test_polarity_of_the_extractor_on_the_read_set(full):
    """Of the marks that a finding overlaps, in reports that no rule was written on."""
    rules, marks = Rules(full), iu_status.read_marks()
    words = {"present": "affirmed", "absent": "negated", "uncertain": "uncertain"}
    sample, right, total = iu_status.read_sample().set_index("report")["sample"], 0, 0
    for name, report in iu_status.read_reports(DATA).items():
        if sample[name] != "random" or iu_status.half(name) != "test":
            continue
        found = rules.extract(report.text).findings
        for row in marks[marks["report"] == name].itertuples():
            own = next((f for f in found if f.start < row.end and row.start < f.end), None)
            total, right = total + (own is not None), right + (own is not None and words[own.polarity] == row.status)
    assert total > 250
    assert right / total >= 0.95
