"""Statuses of findings in texts as people write them, by kind of wording."""

import json
import os
import re
from pathlib import Path

import pytest

from phenolip_lib.recognition.assertion import statuses
from phenolip_lib.recognition.recognizer import Recognizer
from tests.conftest import ROOT

CASES = ROOT / "tests" / "data" / "statuses.txt"
REAL = Path(os.environ.get("PHENOLIP_DATA", ROOT.parent / "shared" / "data")) / "recognition" / "wordings.jsonl"
_FINDING = re.compile(r"\{([^{}|]+)\|([anuf])\}")


def cases():
    kind = ""
    for line in CASES.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line[3:]
        elif line and not line.startswith("#"):
            yield pytest.param(
                line.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t"), id=f"{kind}: {line}"
            )


def name(negated: bool, uncertain: bool, family: bool) -> str:
    return "f" if family else "n" if negated else "u" if uncertain else "a"


@pytest.mark.parametrize("marked", cases())
def test_status_of_each_finding(marked):
    text, spans, expected, at = "", [], "", 0
    for finding in _FINDING.finditer(marked):
        text += marked[at : finding.start()]
        spans.append((len(text), len(text) + len(finding[1])))
        text, expected, at = text + finding[1], expected + finding[2], finding.end()
    assert "".join(name(*status) for status in statuses(text + marked[at:], spans)) == expected


def test_the_recogniser_hands_the_structure_on(full):
    """Lines that a page's width broke are joined before words are looked up; answers and lists keep theirs."""
    recognize = Recognizer(full)
    for text, expected in (
        ("seizures: no\nptosis: yes", "na"),
        ("Seizures\tNo\nAtaxia\tYes", "na"),
        ("On examination there was no\nataxia, and the boy had seizures", "na"),
    ):
        assert "".join(name(m.negated, m.uncertain, m.family) for m in recognize(text)) == expected, text


def holds(expected: str, found: set[str]) -> bool:
    """A relative's finding is told apart if it is not the patient's; what is absent is not affirmed."""
    if expected in ("absent", "family"):
        return "a" not in found and bool(found or expected == "absent")
    return "n" not in found if expected == "not negated" else expected[0] in found


@pytest.mark.skipif(not REAL.is_file(), reason="the wordings are not at hand")
def test_wordings_of_public_reports(full):
    recognize, outcomes = Recognizer(full), []
    for line in REAL.read_text(encoding="utf-8").splitlines():
        row, found = json.loads(line), {}
        for m in recognize(row["text"]):
            found.setdefault(m.hpo_id, set()).add(name(m.negated, m.uncertain, m.family))
        expected = [own for own in row["expect"] if own["status"] != "wish"]
        outcomes += [holds(own["status"], found.get(own["hpo_id"], set())) for own in expected]
    assert len(outcomes) >= 134
    assert sum(outcomes) / len(outcomes) >= 0.97
