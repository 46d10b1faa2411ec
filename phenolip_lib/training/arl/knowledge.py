"""The graph that ARL reasons with, and the entities of it that a text names.

An entity is an HPO term (``HP:0001640``), a place of the body (``place:upper lobe``) or a name of a set's own triples
(``name:duodenal bulb``). An organ is the term for its abnormality, so that "kidney" stands above all that kidneys can
have. A name that is a phenotype, an organ or a place is that one, so graphs meet there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenolip_lib.core.storage import digest, digest_arrays
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.cues import folded
from phenolip_lib.recognition.findings.vocabulary import hits
from phenolip_lib.recognition.recognizer import Recognizer

IS_A, SHOWS, AT = "is a", "shows", "at"
_ORGAN = re.compile(r"Abnormality of (?:the )?(.+)|Abnormal (.+) morphology")
MOST_WORDS = 6
"""Of a name that triples give."""


@dataclass(frozen=True)
class Span:
    """An entity in a text, ``text[start:end]``."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True)
class KnowledgeGraph:
    """Entities with their triples.

    Attributes:
        entities: their keys, sorted.
        relations: sorted.
        triples: rows of head, relation and tail ``(n_triples, 3)``.
    """

    entities: list[str]
    relations: list[str]
    triples: np.ndarray

    @property
    def index(self) -> dict[str, int]:
        return {entity: i for i, entity in enumerate(self.entities)}

    @property
    def edges(self) -> np.ndarray:
        """One a triple, from head to tail ``(2, n_triples)``."""
        return self.triples[:, [0, 2]].T.copy()

    @property
    def content(self) -> str:
        """A hash, for cache keys."""
        return digest(self.entities, self.relations, digest_arrays(self.triples))

    def rewired(self, seed: int) -> KnowledgeGraph:
        """The same entities, relations and heads with tails exchanged at random: what a graph says, taken out of it."""
        triples = self.triples.copy()
        triples[:, 2] = np.random.default_rng(seed).permutation(triples[:, 2])
        return KnowledgeGraph(self.entities, self.relations, triples)


class Linker:
    """Finds entities in texts: phenotypes by the recogniser, organs by HPO's names of their abnormality, places by the
    vocabulary of findings, and further names.

    Args:
        onto: the ontology.
        names: further names, such as heads and tails of a set's triples.
    """

    def __init__(self, onto: Ontology, names: Iterable[str] = ()) -> None:
        self.recognise = Recognizer(onto)
        self.names = {words: organ for name, organ in _organs(onto) for words in (_words(name), _words(f"{name}s"))}
        for name in sorted(set(names)):
            if 0 < len(_words(name)) <= MOST_WORDS:
                self.names.setdefault(_words(name), self.key(name))

    def key(self, name: str) -> str:
        """The entity that a name is."""
        words = " ".join(_words(name))
        found = [self.names.get(_words(name)), *(s.entity for s in self._known(words) if s.end - s.start == len(words))]
        return next(filter(None, found), f"name:{words}")

    def __call__(self, text: str) -> list[Span]:
        """Entities in order, the longest where they overlap; denied ones too, since a question names what it asks."""
        found = self._named(text) + self._known(text)
        taken, kept = np.zeros(len(text) + 1, dtype=bool), []
        for span in sorted(found, key=lambda s: (s.start - s.end, s.start)):
            if not taken[span.start : span.end].any():
                taken[span.start : span.end] = True
                kept.append(span)
        return sorted(kept, key=lambda s: s.start)

    def _known(self, text: str) -> list[Span]:
        phenotypes = [Span(m.start, m.end, m.hpo_id) for m in self.recognise(text)]
        places = [(hit, hit.of("place")) for hit in hits(folded(text))]
        return phenotypes + [Span(hit.start, hit.end, f"place:{term.value}") for hit, term in places if term]

    def _named(self, text: str) -> list[Span]:
        plain, words, at = folded(text), [], 0
        for word in plain.split():
            at = plain.index(word, at)
            words.append((at, word))
            at += len(word)
        found = []
        for i in range(len(words)):
            for n in range(min(MOST_WORDS, len(words) - i), 0, -1):
                entity = self.names.get(tuple(word for _, word in words[i : i + n]))
                if entity:
                    start, word = words[i + n - 1]
                    found.append(Span(words[i][0], start + len(word), entity))
                    break
        return found


def _words(name: str) -> tuple[str, ...]:
    return tuple(folded(name).split())


def _organs(onto: Ontology) -> list[tuple[str, str]]:
    """Organs with the term for their abnormality, the more general one last, so that it is kept."""
    found = []
    for hpo_id in sorted(onto.phenotypes, key=lambda term: (-onto.depth[term], term)):
        named = _ORGAN.fullmatch(onto[hpo_id].name)
        if named:
            found.append((named[1] or named[2], hpo_id))
    return found


def build(
    onto: Ontology,
    texts: Sequence[Sequence[Span]],
    linker: Linker,
    triples: pd.DataFrame | None = None,
    min_count: int = 1,
) -> KnowledgeGraph:
    """The graph over what texts name.

    HPO terms and places that texts name at least `min_count` times; all terms above these; ``is a`` between terms,
    ``at`` from a term to the places in its name, ``shows`` from diseases to terms. As many diseases as there are terms
    that texts name, those that share most of them. Triples of a data set are taken whole.

    Args:
        texts: entities of the training texts.
        triples: head, relation, tail as names.
    """
    counts = Counter(span.entity for spans in texts for span in spans)
    own = sorted(entity for entity, n in counts.items() if n >= min_count and not entity.startswith("name:"))
    terms = [entity for entity in own if entity.startswith("HP:")]
    known = sorted(set().union(*(onto.ancestors(term) for term in terms)))
    places = {entity for entity in own if entity.startswith("place:")}
    found = {(term, IS_A, parent) for term in known for parent in onto.parents.get(term, ())}
    for term in known:
        name = onto[term].name
        for hit in hits(folded(name)):
            place = hit.of("place")
            if place and f"place:{place.value}" in places:
                found.add((term, AT, f"place:{place.value}"))
    notes = onto.tables["annotations"]
    notes = notes[notes["hpo_id"].isin(set(terms))]
    shared = notes.groupby("disease_id")["hpo_id"].nunique()
    shared = shared.reset_index().sort_values(["hpo_id", "disease_id"], ascending=[False, True])
    chosen = set(shared["disease_id"].head(len(terms)))
    rows = notes[notes["disease_id"].isin(chosen)]
    found |= {(disease, SHOWS, term) for disease, term in zip(rows["disease_id"], rows["hpo_id"], strict=True)}
    if triples is not None:
        keys = {name: linker.key(name) for name in sorted({*triples["head"], *triples["tail"]})}
        found |= {(keys[h], r, keys[t]) for h, r, t in triples[["head", "relation", "tail"]].itertuples(index=False)}
    entities = sorted({*own, *known, *(head for head, _, _ in found), *(tail for _, _, tail in found)})
    relations = sorted({relation for _, relation, _ in found})
    row, kind = ({name: i for i, name in enumerate(names)} for names in (entities, relations))
    table = [(row[head], kind[relation], row[tail]) for head, relation, tail in sorted(found)]
    return KnowledgeGraph(entities, relations, np.array(table, dtype=np.int64).reshape(-1, 3))


def label(onto: Ontology, entity: str) -> str:
    """An entity as people read it."""
    return onto[entity].name if entity in onto else entity.partition(":")[2]


def related(graph: KnowledgeGraph) -> np.ndarray:
    """Boolean ``(n_entities, n_entities)``: row i marks i and what ``is a`` leads to from it."""
    n = len(graph.entities)
    reach = np.eye(n, dtype=bool)
    if IS_A in graph.relations:
        kind = graph.relations.index(IS_A)
        up = np.zeros((n, n), dtype=bool)
        own = graph.triples[graph.triples[:, 1] == kind]
        up[own[:, 0], own[:, 2]] = True
        step = up.copy()
        while step.any():
            reach |= step
            step = (step.astype(np.float32) @ up.astype(np.float32) > 0) & ~reach
    return reach
