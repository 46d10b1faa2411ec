"""A gold set of the status of findings in chest film reports: texts rebuilt from the reports, marks, scores.

The marks are offsets and a status without any wording; README beside says how they were made. The texts
are the Open-i reports (https://openi.nlm.nih.gov), one XML file a report, from which `read_report` makes

    COMPARISON: …⏎⏎INDICATION: …⏎⏎FINDINGS: …⏎⏎IMPRESSION: …

that is each section that is not empty, in the order of the file: its label in capitals, a colon, a
blank, and its text with every run of white space as one blank; sections are apart by an empty line.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from defusedxml.ElementTree import parse
from sklearn.metrics import cohen_kappa_score

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.evaluation.resampling import group_bootstrap
from phenolip_lib.recognition.assertion import Status

HERE = Path(__file__).parent
FOLDER = Path("iu-xray") / "ecgen-radiology"
"""Where the reports lie in the data folder."""
SEED, PER_HALF = 20, 50
HALVES = ("development", "test")
STATUSES = ("affirmed", "negated", "uncertain")


@dataclass(frozen=True)
class Report:
    """A report put together; a section is (label, start, end) in its text, its label's letters included."""

    name: str
    text: str
    sections: tuple[tuple[str, int, int], ...]

    @property
    def digest(self) -> str:
        """First 16 hex digits of the text's SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def section(self, offset: int) -> str:
        """Label of the section in which `offset` lies."""
        return next(label for label, start, end in self.sections if start <= offset < end)


def read_report(path: Path) -> Report:
    """The report in an Open-i XML file.

    Raises:
        PhenoLIPError: the file has no id, or no section that holds text.
    """
    root = parse(path).getroot()
    found = root.find("uId")
    if found is None or not found.get("id"):
        raise PhenoLIPError(f"{path}: no uId; it is no report of Open-i")
    text, sections = "", []
    for part in root.iter("AbstractText"):
        body = " ".join("".join(part.itertext()).split())
        if body:
            label = part.get("Label", "").upper()
            start = len(text) + 2 * bool(text)
            text += "\n\n" * bool(text) + f"{label}: {body}"
            sections.append((label, start, len(text)))
    if not sections:
        raise PhenoLIPError(f"{path}: none of its sections holds text")
    return Report(found.get("id"), text, tuple(sections))


def half(name: str) -> str:
    """The half a report is in: ``CXR<n>`` is for development if n // 2 is odd, else for test.

    Every n of the public copy at hand is even, so that the last digit cannot divide it.
    """
    return HALVES[1 - int(name.removeprefix("CXR")) // 2 % 2]


def draw(names: Sequence[str]) -> list[str]:
    """The sample: `PER_HALF` names of each half, drawn from those that have findings or an impression."""
    rng = random.Random(SEED)
    order = sorted(names, key=lambda name: int(name.removeprefix("CXR")))
    return [n for h in HALVES for n in rng.sample([name for name in order if half(name) == h], PER_HALF)]


def read_marks() -> pd.DataFrame:
    """All marks: report, start, end, first, second (what each pass read), status (after the third reading)."""
    return pd.read_csv(HERE / "iu_status.tsv", sep="\t")


def read_reports(data: Path) -> dict[str, Report]:
    """The reports of the gold set by name.

    Args:
        data: the folder that holds `FOLDER`.

    Raises:
        PhenoLIPError: a report is not the one that was marked, so that offsets would slip.
    """
    reports = {}
    for name, digest in pd.read_csv(HERE / "iu_status_reports.tsv", sep="\t").itertuples(index=False):
        report = read_report(Path(data) / FOLDER / f"{name.removeprefix('CXR')}.xml")
        if (report.name, report.digest) != (name, digest):
            raise PhenoLIPError(f"{name}: this text is not the one that was marked; offsets would not fit")
        reports[name] = report
    return reports


def said(status: Status) -> str:
    """A status as one word: a relative's finding is none of the patient's, and a negation outweighs a doubt."""
    return (
        "family" if status.family else "negated" if status.negated else "uncertain" if status.uncertain else "affirmed"
    )


def outcomes(engine: Callable[[str, list[tuple[int, int]]], Sequence[Status]], data: Path) -> pd.DataFrame:
    """What `engine` reads at each mark, the span given: report, half, section, start, end, status, read."""
    rows = []
    marks = read_marks()
    for name, report in read_reports(data).items():
        own = marks[marks["report"] == name]
        spans = [(int(start), int(end)) for start, end in zip(own["start"], own["end"], strict=True)]
        for (start, end), gold, read in zip(spans, own["status"], engine(report.text, spans), strict=True):
            rows.append((name, half(name), report.section(start), start, end, gold, said(read)))
    return pd.DataFrame(rows, columns=["report", "half", "section", "start", "end", "status", "read"])


def score(found: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of `outcomes` in each half: of all marks, by section, and by status.

    Returns:
        table (half, marks, of, n, accuracy, low, high, and how often each status was read); rows of
        ``marks == "status"`` are the confusion. The interval is BCa by bootstrap over reports.
    """
    rows = []
    for name in HALVES:
        own = found[found["half"] == name]
        parts = [("all", "all", own)]
        parts += [("section", label, part) for label, part in own.groupby("section")]
        parts += [("status", label, part) for label, part in own.groupby("status")]
        for kind, label, part in parts:
            right = (part["status"] == part["read"]).groupby(part["report"]).agg(["sum", "count"])
            mean, low, high = group_bootstrap(*(right[[c]].to_numpy(float) for c in ("sum", "count")))
            counts = [int((part["read"] == status).sum()) for status in (*STATUSES, "family")]
            rows.append((name, kind, label, len(part), float(mean[0]), float(low[0]), float(high[0]), *counts))
    return pd.DataFrame(rows, columns=["half", "marks", "of", "n", "accuracy", "low", "high", *STATUSES, "family"])


def agreement(marks: pd.DataFrame) -> dict[str, float]:
    """How far the two passes agree: share of marks, and Cohen's kappa (Cohen 1960)."""
    return {
        "marks": len(marks),
        "raw": float(np.mean(marks["first"] == marks["second"])),
        "kappa": float(cohen_kappa_score(marks["first"], marks["second"])),
    }
