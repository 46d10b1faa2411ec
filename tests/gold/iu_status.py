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
import re
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
SEED = 20
PER_HALF = {"random": 50, "doubtful": 20}
"""Reports drawn from each half for each sample."""
_DOUBT = re.compile(
    r"\?|\b(?:may|might|could|possib\w+|probab\w+|likely|unlikely|suspicious|suspect\w*|suspicion|questionable|versus|vs"
    r"|exclude\w*|rule\w* out|r/o|concern\w*|suggest\w*|evaluat\w+ for|differential|equivocal|presum\w+)\b",
    re.IGNORECASE,
)
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


def draw(reports: Sequence[Report]) -> dict[str, list[str]]:
    """The samples, half by half: of all reports with findings or an impression, and of the others that hold a doubt."""
    order = sorted(reports, key=lambda report: int(report.name.removeprefix("CXR")))
    order = [r for r in order if int(r.name.removeprefix("CXR")) % 2 == 0]  # the numbers of the copy drawn from
    order = [r for r in order if {"FINDINGS", "IMPRESSION"} & {label for label, _, _ in r.sections}]
    drawn: dict[str, list[str]] = {}
    for sample, per_half in PER_HALF.items():
        rng, taken = random.Random(SEED), {name for names in drawn.values() for name in names}
        pool = [r.name for r in order if r.name not in taken and (sample == "random" or _DOUBT.search(r.text))]
        drawn[sample] = [n for h in HALVES for n in rng.sample([name for name in pool if half(name) == h], per_half)]
    return drawn


def read_marks() -> pd.DataFrame:
    """All marks: report, start, end, first, second (what each pass read), status (after the third reading)."""
    return pd.read_csv(HERE / "iu_status.tsv", sep="\t")


def read_sample() -> pd.DataFrame:
    """The reports of the gold set: report, sample, sha256."""
    return pd.read_csv(HERE / "iu_status_reports.tsv", sep="\t")


def read_reports(data: Path) -> dict[str, Report]:
    """The reports of the gold set by name.

    Args:
        data: the folder that holds `FOLDER`.

    Raises:
        PhenoLIPError: a report is not the one that was marked, so that offsets would slip.
    """
    reports = {}
    for name, digest in read_sample()[["report", "sha256"]].itertuples(index=False):
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
    """What `engine` reads at each mark, the span given: report, sample, half, section, start, end, status, read."""
    rows, marks = [], read_marks()
    samples = read_sample().set_index("report")["sample"]
    for name, report in read_reports(data).items():
        own = marks[marks["report"] == name]
        spans = [(int(start), int(end)) for start, end in zip(own["start"], own["end"], strict=True)]
        for (start, end), gold, read in zip(spans, own["status"], engine(report.text, spans), strict=True):
            rows.append((name, samples[name], half(name), report.section(start), start, end, gold, said(read)))
    return pd.DataFrame(rows, columns=["report", "sample", "half", "section", "start", "end", "status", "read"])


def score(found: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of `outcomes` in each half of each sample: of all marks, by section, and by status.

    Returns:
        table (sample, half, marks, of, n, accuracy, low, high, and how often each status was read); rows of
        ``marks == "status"`` are the confusion. The interval is BCa by bootstrap over reports.
    """
    rows = []
    for (sample, name), own in found.groupby(["sample", "half"]):
        parts = [("all", "all", own)]
        parts += [(kind, label, part) for kind in ("section", "status") for label, part in own.groupby(kind)]
        for kind, label, part in parts:
            right = (part["status"] == part["read"]).groupby(part["report"]).agg(["sum", "count"])
            mean, low, high = group_bootstrap(*(right[[c]].to_numpy(float) for c in ("sum", "count")))
            counts = [int((part["read"] == status).sum()) for status in (*STATUSES, "family")]
            rows.append((sample, name, kind, label, len(part), float(mean[0]), float(low[0]), float(high[0]), *counts))
    columns = ["sample", "half", "marks", "of", "n", "accuracy", "low", "high", *STATUSES, "family"]
    return pd.DataFrame(rows, columns=columns)


def agreement(marks: pd.DataFrame) -> dict[str, float]:
    """How far the two passes agree: share of marks, and Cohen's kappa (Cohen 1960)."""
    return {
        "marks": len(marks),
        "raw": float(np.mean(marks["first"] == marks["second"])),
        "kappa": float(cohen_kappa_score(marks["first"], marks["second"])),
    }
