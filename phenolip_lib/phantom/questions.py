"""Questions about figures of the atlas, whose answers the drawing knows.

Each picture is asked a few questions of different kinds, each in one of several wordings, by the name of a finding or
one of its synonyms. Every choice is made by a digest of the figure's id, so that a picture's questions do not depend on
the others' but for one thing: a finding that is denied is one of another picture of the modality, so that each finding
is denied about as often as it is shown and its name does not tell the answer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from phenolip_lib.phantom.atlas import DOMAINS
from phenolip_lib.phantom.captions import in_sentence
from phenolip_lib.phantom.facts import Facts

T = TypeVar("T")


class Asked(NamedTuple):
    """A question about a figure."""

    figure_id: str
    key: str
    """Tells the questions of a figure apart."""
    question: str
    answer: str
    closed: bool
    kind: str


WORDINGS = {
    "modality": (
        "What kind of image is this?",
        "How was this image taken?",
        "Which imaging modality is shown?",
        "What type of picture is it?",
    ),
    "organ": (
        "Which part of the body is shown?",
        "What tissue or organ is depicted?",
        "What does the image show a part of?",
        "Which organ is seen here?",
    ),
    "presence": (
        "Does the image show {name}?",
        "Can {name} be seen in this image?",
        "Is there evidence of {name}?",
        "Are there signs of {name}?",
        "Would you report {name} here?",
    ),
    "finding": (
        "What is abnormal in this image?",
        "Which finding is seen?",
        "What abnormality does the image show?",
        "What is the main finding?",
    ),
    "second finding": (
        "What is seen besides {name}?",
        "Which finding is there beside {name}?",
        "Apart from {name}, what is abnormal?",
    ),
    "severity": (
        "What is the degree of {name}: mild, moderate or marked?",
        "Is it a mild, a moderate or a marked form of {name}?",
        "How would you grade {name}: mild, moderate or marked?",
    ),
    "side": (
        "Which half of the image shows {name}: left, right or both?",
        "Where in the image can {name} be seen: left, right or both sides?",
        "Left, right or both: in which half of the image is there {name}?",
    ),
    "number": (
        "How many different findings are there?",
        "How many kinds of abnormality can be seen?",
        "What is the number of different abnormal findings?",
    ),
}
NO_FINDING = "no abnormality"
DEGREES = ((0.4, "mild"), (0.7, "moderate"), (float("inf"), "marked"))
"""Below which severity a finding is called so, as in the captions."""
ONE_SIDED = 0.2
"""Share of its pictures in which a finding must lie on one side to be asked for it: what is all over tells nothing."""
# Present or absent, or of a count: no reader would grade them.
_UNGRADED = re.compile(
    r"\d|\b(absent|absence|aplasia|situs|extra|supernumerary|multiple|increased|decreased|reduced|type|predominance)\b",
    re.IGNORECASE,
)


def ask(figures: Sequence[Facts], names: Mapping[str, Sequence[str]]) -> Iterator[Asked]:
    """The questions about each figure, in the order of `figures`.

    Args:
        figures: all that questions are made for; a finding is denied of one only if another shows it.
        names: HPO id -> its label, which is the answer, then the synonyms by which a question may call it.
    """
    shown: dict[str, list[str]] = {}
    sides: dict[str, list[str]] = {}
    for one in figures:
        shown.setdefault(one.modality, []).extend(one.severities)
        for hpo_id, where in one.sides.items():
            sides.setdefault(hpo_id, []).append(where)
    sided = {hpo_id for hpo_id, found in sides.items() if found.count("both") <= (1 - ONE_SIDED) * len(found)}
    for one in figures:
        yield from _ask(one, names, shown[one.modality], sided)


def _ask(one: Facts, names: Mapping[str, Sequence[str]], shown: Sequence[str], sided: set[str]) -> Iterator[Asked]:
    def asked(kind: str, answer: str, closed: bool = False, hpo_id: str = "", number: int = 0) -> Asked:
        key = f"{kind.replace(' ', '-')}-{number}"
        wording = _pick(WORDINGS[kind], one.figure_id, key, "wording")
        name = in_sentence(_pick(names[hpo_id], one.figure_id, key, "name")) if hpo_id else ""
        return Asked(one.figure_id, key, wording.format(name=name), answer, closed, kind.removeprefix("second "))

    domain, findings = DOMAINS[one.modality], sorted(one.severities)
    if one.organ and _draw(one.figure_id, "what") < 0.5:
        yield asked("organ", one.organ)
    else:
        yield asked("modality", domain.views[0])
    if len(findings) <= 1:
        yield asked("finding", names[findings[0]][0] if findings else NO_FINDING)
    else:
        first, second = _shuffled(findings, one.figure_id, "second")[:2]
        yield asked("second finding", names[second][0], hpo_id=first)
    yield asked("number", str(len(findings)))
    for number, hpo_id in enumerate(findings):
        yield asked("presence", "yes", True, hpo_id, 2 * number)
        absent = [f for f in shown if all(domain.compatible(f, own) for own in findings)]
        if absent:
            yield asked("presence", "no", True, _pick(absent, one.figure_id, "absent", str(number)), 2 * number + 1)
        if not _UNGRADED.search(names[hpo_id][0]):
            degree = next(word for limit, word in DEGREES if one.severities[hpo_id] < limit)
            yield asked("severity", degree, True, hpo_id, number)
        if hpo_id in one.sides and hpo_id in sided:
            yield asked("side", one.sides[hpo_id], True, hpo_id, number)


def _draw(*key: str) -> float:
    """A number in [0, 1) that the key alone decides."""
    return int.from_bytes(hashlib.sha256("\0".join(key).encode()).digest()[:8]) / 2**64


def _pick(options: Sequence[T], *key: str) -> T:
    return options[int(_draw(*key) * len(options))]


def _shuffled(items: Iterable[str], *key: str) -> list[str]:
    return sorted(items, key=lambda item: _draw(item, *key))
