"""The second tier of recognition: phrases that no dictionary holds, linked by the knowledge encoder.

A phrase the dictionary left alone is linked to the term with the nearest name or synonym, if it is
near enough. Phrases are short runs of content words, at least one of them a word of the ontology.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.wordings import by_name
from phenolip_lib.recognition.assertion import statuses
from phenolip_lib.recognition.recognizer import Mention, Recognizer
from phenolip_lib.recognition.vocabulary import FUNCTION_WORDS, MODIFIERS, lemma, words

MIN_WORDS, MAX_WORDS = 2, 5
_token = re.compile(r"[A-Za-z0-9]+|[^\sA-Za-z0-9-]|\n\s*\n")


class EmbeddingLinker:
    """Dictionary first, then embeddings for what is left.

    Args:
        recognizer: the dictionary tier.
        onto: the ontology.
        embed: texts -> ``(n, dim)`` L2-normalised embeddings, e.g. `KnowledgeEncoder.embed`.
        threshold: least cosine of a phrase and a name or synonym.
    """

    def __init__(
        self, recognizer: Recognizer, onto: Ontology, embed: Callable[[Sequence[str]], np.ndarray], threshold: float
    ) -> None:
        self.recognizer, self.onto, self.embed, self.threshold = recognizer, onto, embed, threshold
        texts = by_name(onto)
        self._texts, self._ids = list(texts), list(texts.values())
        self._index = embed(self._texts).astype(np.float32)

    def phrases(self, text: str, mentions: Sequence[Mention]) -> list[tuple[int, int]]:
        """Spans of the phrases that could be findings, outside the given mentions."""
        taken = np.zeros(len(text) + 1, dtype=bool)
        for mention in mentions:
            taken[mention.start : mention.end] = True
        family = self.recognizer.lexicon.families.family
        runs: list[list[tuple[int, int, bool, bool]]] = [[]]
        for match in _token.finditer(text):
            word = match.group().lower()
            if not word[0].isalnum() or word in ("and", "or", "nor", "with", "who", "but") or taken[match.start()]:
                runs.append([])
                continue
            light = word in FUNCTION_WORDS or word in MODIFIERS
            runs[-1].append((match.start(), match.end(), light, not light and family(lemma(word)) is not None))
        found = []
        for run in runs:
            content = [i for i, (_, _, light, _) in enumerate(run) if not light]
            for a in range(len(content)):
                for b in range(a + MIN_WORDS - 1, min(a + MAX_WORDS, len(content))):
                    window = run[content[a] : content[b] + 1]
                    known = sum(in_ontology for *_, in_ontology in window)
                    if len(window) <= MAX_WORDS + 2 and 2 * known >= b - a + 1:
                        found.append((window[0][0], window[-1][1]))
        return found

    def _says_less(self, phrase: str, name: str) -> bool:
        """Whether a phrase only names what the term is about ("visual acuity"), or that it is normal."""
        family = self.recognizer.lexicon.families.family
        said, meant = ({family(word) or word for word in words(text)} for text in (phrase, name))
        return "normal" in said or said < meant

    def __call__(self, text: str) -> list[Mention]:
        """Mentions of both tiers, in order."""
        mentions = self.recognizer(text)
        spans = self.phrases(text, mentions)
        if not spans:
            return mentions
        embedded = self.embed([" ".join(text[start:end].lower().split()) for start, end in spans])
        scores = embedded.astype(np.float32) @ self._index.T
        best = scores.argmax(axis=1)
        ranked = sorted(range(len(spans)), key=lambda i: (-scores[i, best[i]], spans[i]))
        chosen: list[tuple[int, int, str]] = []
        for i in ranked:
            if scores[i, best[i]] < self.threshold:
                break
            start, end = spans[i]
            if self._says_less(text[start:end], self._texts[best[i]]):
                continue
            if all(end <= s or e <= start for s, e, _ in chosen):
                chosen.append((start, end, self._ids[best[i]]))
        chosen.sort()
        states = statuses(text, [(start, end) for start, end, _ in chosen])
        added = [
            Mention(start, end, hpo_id, text[start:end], *state)
            for (start, end, hpo_id), state in zip(chosen, states, strict=True)
        ]
        return sorted([*mentions, *added])
