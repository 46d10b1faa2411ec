"""Whose finding it is: when a relative in a sentence is the one who has it.

A relative may be the subject ("the mother has myopia"), the place ("ataxia in his brother"), the one who tells ("the
mother reports seizures"), or somebody beside ("lives with his mother"). Brothers and sisters may be the patients of a
report ("we describe two sisters with").
"""

from __future__ import annotations

import re

from phenolip_lib.recognition.behind import listed
from phenolip_lib.recognition.cues import Row
from phenolip_lib.recognition.events import Event

AHEAD = 60
_IN = re.compile(r"\b(?:in|of|affecting|involving|among)\s+(?:[\w'’-]+\s+){0,4}$", re.IGNORECASE)
_BESIDE = re.compile(
    r"\b(?:by|like|unlike|per|as|than|to|from|with|lives? with|for)\s+(?:(?!whose|and|or)[\w'’-]+\s+){0,3}$",
    re.IGNORECASE,
)
_TO = re.compile(r"\b(?:to|from|of)\s+(?:[\w'’-]+\s+){0,4}$", re.IGNORECASE)
_OWNED = re.compile(
    r"\b(?:his|her|their|whose|my|our|s|maternal|paternal|older|elder|eldest|younger|half|another|an?|one|no|only|deceased"
    r"|late)\s+(?:[\w'’-]+\s+){0,3}$",
    re.IGNORECASE,
)
_ONE = re.compile(r"(?:\b(?:his|her|their|whose|my|maternal|paternal)|[’']s)\s", re.IGNORECASE)
_PRESENTED = re.compile(
    r"\b(?:we|here|who|authors?)\s(?:\w+\s){0,2}(?:report|describe|present|stud|examine|identif|evaluat|investigat)"
    r"|\b(?:is|are|was|were)\s(?:reported|described|presented|studied)\b|\breports? (?:of|on)\b",
    re.IGNORECASE,
)
_PAIR = re.compile(
    r"\s+and\s+(?:(?:her|his|their|an?|\d|two|three)\s+){0,2}(?:affected\s+)?(?:daughter|son|child)", re.IGNORECASE
)
_HAVE = re.compile(r"\b(?:have|had|has|lost)\s+(?:[\w-]+\s+){0,4}$", re.IGNORECASE)
_LED = re.compile(r"\b(?:that|following|by|via|after|during|through|before)\b", re.IGNORECASE)
_BORN = re.compile(r"\bborn\b", re.IGNORECASE)
_THE = re.compile(r"\bthe\s+(?:[\w-]+\s+){0,2}$", re.IGNORECASE)
_COUNTED = re.compile(r"\b(?:two|three|four|five|both|several|affected|these|the)\s+(?:\w+\s+){0,2}$", re.IGNORECASE)
_LABELS = re.compile(r"\s*[:–—-]\s*|\s*\(\s*")
_KEY = re.compile(r"\s*[:–—(=|\t-]\s*(?:[\w-]+\s+){0,3}")
_KEYED = re.compile(r"\s*(?:$|[.,;)|/]|\n|and\b|\()")
"""Around a relative that is the value of a finding: "Asthma: older sister"."""
_FETAL = re.compile(
    r"hydramnios|fo?etal|fo?etus|placent|gestation|intrauterine|nuchal|amnio|prenatal|preterm|premature|breech|birth",
    re.IGNORECASE,
)
_SIBLINGS = ("brother", "sister", "sib", "cousin", "twin", "famil", "relative", "co twin", "cotwin", "child", "son")


def of_the_pregnancy(surface: str) -> bool:
    """Whether a finding of a mother is the child's all the same: "the mother had polyhydramnios"."""
    return bool(_FETAL.search(surface))


def meet_relative(walk, i: int, row: Row) -> None:
    """A relative: the findings before it or behind it may be hers."""
    event = walk.events[i]
    walk.adjective = -1
    if row.reach == "owner":
        walk.adjective = event.end + 24
        return
    part = role(walk, i)
    if part in ("place", "both"):
        for number in listed(walk, walk.mentions[-1]):
            walk.states[number].family = True
    if part in ("subject", "both"):
        walk.family, walk.maternal = True, row.reach
        walk.end_found()


def meet_patient(walk, event: Event, row: Row) -> None:
    """The patient as a subject: what follows is his, unless the pronoun is a relative's."""
    before = walk.text[max(walk.low, event.start - 8) : event.start].lower().split()
    if before and before[-1] in ("of", "to", "for", "from", "than", "with", "by", "on"):
        return
    if row.reach == "pronoun":
        if walk.base and walk.section == "family" and not walk.beside:
            return
        if walk.family and walk.maternal and walk.maternal == event.cue.phrase and _is_hers(walk, event):
            return
    walk.family = False
    walk.end_found()


def _is_hers(walk, event: Event) -> bool:
    """Whether the pronoun is the relative's rather than the patient's: "his mother has myopia and she ..."."""
    own = {"he": "his", "she": "her"}[event.cue.phrase]
    return not re.search(rf"\b{own}\b", walk.text[max(walk.low, event.start - 120) : event.start].lower())


def role(walk, i: int) -> str:
    """What the relative at event `i` is in the sentence: ``subject``, ``place`` or nothing.

    A place may also be a subject ("in her uncle, who has ataxia"), which is ``both``.
    """
    event, text = walk.events[i], walk.text
    before = text[max(walk.low, event.start - AHEAD) : event.start]
    phrase = event.cue.phrase
    nearest = walk.mentions[-1] if walk.mentions else None
    place = bool(_IN.search(before)) and nearest is not None and event.start - walk.spans[nearest][1] <= AHEAD
    if place and any(e.of("end") for e in walk.events[max(0, i - 6) : i] if e.start > walk.spans[nearest][1]):
        place = False
    if place and "," in text[walk.spans[nearest][1] : event.start].rstrip(", "):
        place = text[walk.spans[nearest][1] : event.start].count(",") > 1
    subject = _subject(walk, i)
    if (
        nearest is not None
        and _KEY.fullmatch(text, walk.spans[nearest][1], event.start)
        and _KEYED.match(text[event.end : event.end + 8])
    ):
        return "place"
    if _shared(walk, i) or (_PAIR.match(text, event.end) and not _ONE.search(before[-30:])):
        return ""
    if (
        any(name in phrase for name in _SIBLINGS)
        and walk.section != "family"
        and not _ONE.search(before[-30:] + phrase)
    ):
        presented = _PRESENTED.search(text, walk.low, min(walk.high, walk.low + 400))
        child = phrase.startswith(("son", "daughter", "child", "kid"))
        owned = _HAVE.search(before) if child else _OWNED.search(before) and not _THE.search(before)
        alone = not before.strip(" -*•\t\n")
        told = not child and (
            (subject in ("is", "label") and (alone or _COUNTED.search(before)))
            or (subject == "with" and alone and not phrase.endswith("s"))
        )
        if presented or not (owned or told):
            return ""
    if place:
        return "both" if subject in ("with", "who") else "place"
    if subject == "who" and _BORN.search(before) and "," in text[event.end : event.end + 3]:
        return ""  # "born to healthy parents, who": the patients again
    if subject and _BESIDE.search(before) and not (_TO.search(before) and subject in ("with", "who")):
        return ""
    if not subject and nearest is None and _IN.search(before) and event.start - walk.low <= AHEAD:
        return "subject" if re.match(r"\s*,", text[event.end : event.end + 3]) else ""
    return "subject" if subject else ""


def _shared(walk, i: int) -> bool:
    """Whether a relative stands beside the patient: "this patient and his brother had"."""
    if i < 2 or not walk.events[i - 1].of("and") or walk.events[i].start - walk.events[i - 1].end > 24:
        return False
    before = walk.events[i - 2]
    return bool(before.of("patient")) or (bool(before.of("relative")) and not walk.family)


def _subject(walk, i: int) -> str:
    """How a relative is the subject of what follows: ``is`` (a verb now), ``was``, ``with``, ``who``, ``label``."""
    event, text, events = walk.events[i], walk.text, walk.events
    commas, joined, denied = 0, False, False
    for j in range(i + 1, min(i + 10, len(events))):
        following = events[j]
        if following.start - event.end > AHEAD:
            return ""
        if following.kind == "mention":
            between = text[event.end : following.start]
            if _LABELS.fullmatch(between) or denied:
                return "label"
            bare = not between.strip() and not text[walk.low : event.start].strip(" \n\t-*•,.")
            return "label" if bare or (walk.section == "family" and not commas and not joined) else ""
        if following.kind == ",":
            commas += 1
            if commas > 2:
                return ""
        elif following.kind in (":", "(", "|", "\t"):
            return "label" if not text[event.end : following.start].strip(" *") and following.kind != "(" else ""
        elif following.kind == "cue":
            if following.of("withheld") or following.cue.phrase in ("not", "never"):
                denied = True
                continue
            if following.of("informant") and not following.of("verb") and not joined:
                return ""
            if following.of("relative") and (joined or commas):
                joined, commas = False, 0
                event = following
                continue
            if following.of("patient"):
                return ""
            if following.of("and"):
                joined = True
            elif joined or (commas == 1 and not following.of("end")):
                return ""
            elif following.of("with"):
                return "with" if following.cue.phrase == "with" and not commas else ""
            elif following.of("end"):
                return "who" if following.cue.phrase in ("who", "which") else ""
            elif following.cue.phrase in ("has", "have", "had") and _tells_next(events[j + 1 : j + 2], following):
                return ""
            elif following.of("verb", "withheld") or _predicates(following):
                if _LED.search(text, event.end, following.start):
                    return ""
                return (
                    "is"
                    if following.cue.phrase.split()[0] in ("is", "are", "has", "have", "suffers", "suffer")
                    else "was"
                )
    return ""


def _tells_next(events, auxiliary: Event) -> bool:
    """Whether "has" begins a report: "mother has noticed"."""
    return any(event.of("informant") and event.start - auxiliary.end <= 1 for event in events)


def _predicates(event) -> bool:
    return any(row.direction in ("forward", "both", "backward") for row in event.cue.rows) and not event.of("family")
