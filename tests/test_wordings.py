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


@pytest.mark.skipif(not REAL.is_file(), reason="the wordings are not at hand")
def test_wordings_of_public_reports(full):
    recognize, kept, told = Recognizer(full), 0, 0
    for line in REAL.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found = {}
        for m in recognize(row["text"]):
            found.setdefault(m.hpo_id, set()).add(name(m.negated, m.uncertain, m.family))
        for expected in row["expect"]:
            status, have = expected["status"], found.get(expected["hpo_id"])
            if have and status not in ("wish", "absent"):
                told += 1
                kept += "n" not in have if status == "not negated" else status[0] in have
    assert told >= 110
    assert kept / told >= 0.97
