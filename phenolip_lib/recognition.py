"""Find HPO terms in free text: a dictionary of names and synonyms with word boundaries and negation.

One Aho-Corasick automaton over normalised text finds all surface forms in one pass; the longest
match wins where two overlap. Normalisation keeps a map back to the characters of the given text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import ahocorasick

from phenolip_lib.ontology import Ontology

NEGATION_BEFORE = (
    r"no|not|without|absence of|absent|negative for|denies|denied|rule out|ruled out|free of|"
    r"no evidence of|no signs? of|fails to show|never had|neither|nor"
)
NEGATION_AFTER = r"(?:is|are|was|were) (?:not|absent|ruled out|excluded|negative)|not (?:seen|present|found|identified)"
UNCERTAIN_BEFORE = (
    r"possible|possibly|probable|probably|suspected|suspicious for|may represent|cannot exclude|questionable"
)
SCOPE_END = (
    r"[.;:!?\n]|\bbut\b|\bhowever\b|\balthough\b|\bexcept\b|\bwith\b|\bshow(?:s|ing|ed)?\b|\breveal(?:s|ing|ed)?\b"
)
SCOPE_WORDS = 8

_before = re.compile(rf"\b(?:{NEGATION_BEFORE})\b", re.IGNORECASE)
_after = re.compile(rf"^\W{{0,3}}(?:{NEGATION_AFTER})\b", re.IGNORECASE)
_uncertain = re.compile(rf"\b(?:{UNCERTAIN_BEFORE})\b", re.IGNORECASE)
_scope_end = re.compile(SCOPE_END, re.IGNORECASE)

# HPO synonyms that are everyday words in reports and name no phenotype there.
_EVERYDAY = """
all can mass masses collection pain fever onset severe mild moderate acute chronic progressive stable recurrent
bilateral unilateral right left anterior posterior proximal distal localized generalized focal diffuse central
peripheral patchy irritability neoplasm tumor tumour cancer edema oedema lesion lesions inflammation infection
death stroke male female age size tears sweating abnormality abnormal
"""
STOP_FORMS = frozenset(_EVERYDAY.split())
_word = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Mention:
    """One phenotype in a text; ``text[start:end] == surface``."""

    start: int
    end: int
    hpo_id: str
    surface: str
    negated: bool
    uncertain: bool


def normalise(text: str) -> tuple[str, list[int]]:
    """Lower-case words joined by single blanks, British spelling and simple plurals folded.

    Returns:
        the normalised text, framed by blanks, and for each of its characters the offset in `text`.
    """
    characters, offsets = [" "], [0]
    # Lower-casing must not change the length, or offsets would drift (one German and one Turkish letter do).
    lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    for match in _word.finditer(lowered):
        word = _fold(match.group())
        characters.append(word)
        start, end = match.span()
        offsets.extend(min(start + i, end - 1) for i in range(len(word)))
        characters.append(" ")
        offsets.append(end)
    return "".join(characters), offsets


def _fold(word: str) -> str:
    """Fold spelling variants of one word; applied to the dictionary and the text alike."""
    if len(word) > 4:
        word = (
            word.replace("aemia", "emia").replace("oedema", "edema").replace("haem", "hem").replace("oesoph", "esoph")
        )
        word = word.replace("paed", "ped").replace("tumour", "tumor").replace("colour", "color")
    if len(word) > 3 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "as", "os")):
        return word[:-1]
    return word


class Recognizer:
    """Dictionary tier of phenotype recognition.

    Args:
        onto: the ontology; terms below Phenotypic abnormality are found, with their names and
            EXACT, NARROW and RELATED synonyms. BROAD synonyms name something wider and are left out.
    """

    def __init__(self, onto: Ontology) -> None:
        table = onto.tables["synonyms"]
        wanted = set(onto.phenotypes)
        forms: dict[str, tuple[int, str]] = {}
        for hpo_id in onto.phenotypes:
            self._add(forms, onto[hpo_id].name, hpo_id, 0)
        rank = {"EXACT": 1, "NARROW": 2, "RELATED": 3}
        for row in table.itertuples(index=False):
            if row.hpo_id in wanted and row.scope in rank:
                self._add(forms, row.synonym, row.hpo_id, rank[row.scope])
        self._automaton = ahocorasick.Automaton()
        self._acronyms: dict[str, str] = {}
        for form, (_, hpo_id, original) in forms.items():
            if original.isupper() and " " not in original:
                # Acronyms count only as written: "ALL" is a leukaemia and "all" is not.
                self._acronyms[form] = original
            self._automaton.add_word(f" {form} ", (len(form), hpo_id, form))
        self._automaton.make_automaton()
        self.n_forms = len(forms)

    @staticmethod
    def _add(forms: dict, name: str, hpo_id: str, rank: int) -> None:
        form = normalise(name)[0].strip()
        if len(form) < 3 or form in STOP_FORMS or (rank > 0 and len(form) < 4 and not name.isupper()):
            return
        # Equal forms go to the better scope, then to the smaller id, so the result is stable.
        if form not in forms or (rank, hpo_id) < forms[form][:2]:
            forms[form] = (rank, hpo_id, name)

    def __call__(self, text: str) -> list[Mention]:
        """Mentions in `text`, in order, longest match first where they overlap."""
        normal, offsets = normalise(text)
        found = []
        for last, (length, hpo_id, form) in self._automaton.iter(normal):
            start, end = offsets[last - length], offsets[last - 1] + 1
            # A folded plural is shorter than its word: extend to the end of the word in the text.
            while end < len(text) and text[end].isalnum() and text[end].isascii():
                end += 1
            surface = text[start:end]
            if form in self._acronyms and surface != self._acronyms[form]:
                continue
            found.append((start, end, hpo_id, surface))
        found.sort(key=lambda item: (item[0] - item[1], item[0]))
        taken, kept = set(), []
        for start, end, hpo_id, surface in found:
            if taken.isdisjoint(range(start, end)):
                taken.update(range(start, end))
                kept.append((start, end, hpo_id, surface))
        kept.sort()
        return [
            Mention(start, end, hpo_id, surface, *self._status(text, start, end))
            for start, end, hpo_id, surface in kept
        ]

    @staticmethod
    def _status(text: str, start: int, end: int) -> tuple[bool, bool]:
        """Whether the words around a mention negate it or make it uncertain."""
        before = text[max(start - 90, 0) : start]
        ends = [match.end() for match in _scope_end.finditer(before)]
        before = " ".join(before[ends[-1] if ends else 0 :].split()[-SCOPE_WORDS:])
        negated = bool(_before.search(before)) or bool(_after.match(text[end : end + 40]))
        return negated, bool(_uncertain.search(before))


def asserted(mentions: Iterable[Mention]) -> list[str]:
    """Ids of the phenotypes a text affirms, sorted; negated and uncertain mentions do not count."""
    return sorted({m.hpo_id for m in mentions if not m.negated and not m.uncertain})


def document_scores(predicted: list[set[str]], gold: list[set[str]]) -> dict[str, float]:
    """Micro precision, recall and F1 over documents, each a set of terms."""
    hits = sum(len(p & g) for p, g in zip(predicted, gold, strict=True))
    precision = hits / max(sum(map(len, predicted)), 1)
    recall = hits / max(sum(map(len, gold)), 1)
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-12)}
