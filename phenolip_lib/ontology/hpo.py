"""Read an HPO release into tables, once.

The files are those of `release_files`; their formats are read by `standard_obo` and
`obo`, `obographs` and `annotations`.
"""

from __future__ import annotations

import graphlib
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pandas as pd

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import DamagedError, PhenoLIPError
from phenolip_lib.core.kept import kept
from phenolip_lib.core.runtime import log
from phenolip_lib.core.sections import Hpo
from phenolip_lib.core.storage import digest
from phenolip_lib.ontology.annotations import read_annotations
from phenolip_lib.ontology.entries import SCOPES, Entries, Entry, Report, is_hpo, shown
from phenolip_lib.ontology.obo import read_obo
from phenolip_lib.ontology.obographs import read_obographs
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, ROOT, Ontology
from phenolip_lib.ontology.release_files import fingerprints, locate, read_text
from phenolip_lib.ontology.standard_obo import read_standard_obo

COLUMNS = {
    "terms": ["hpo_id", "name", "definition", "comment"],
    "synonyms": ["hpo_id", "synonym", "scope", "kind"],
    "xrefs": ["hpo_id", "xref"],
    "edges": ["child", "parent"],
    "replaced": ["old_id", "hpo_id", "merged"],
    "obsolete": ["hpo_id", "name", "hints"],
}


def parse_release(path: Path) -> dict[str, pd.DataFrame]:
    """The tables of a release in OBO or in OBO Graphs JSON; both formats of one release give the same.

    Returns:
        tables, each sorted: ``terms`` (hpo_id, name, definition, comment), ``synonyms`` (hpo_id,
        synonym, scope, kind), ``xrefs`` (hpo_id, xref) and ``edges`` (child, parent; ``is_a`` only,
        as HPO has no other relation between its terms) of the live terms; ``replaced`` (old_id,
        hpo_id, merged: see `_successors`); ``obsolete`` (hpo_id, name, hints: all ids the term
        names as replacement or as worth considering, joined by spaces); ``reports`` (where, text, reason:
        what was not taken as it stands, in the order of the file). ``terms.attrs`` holds ``release``.

    Raises:
        PhenoLIPError: the file is truncated or not HPO, or its graph would be wrong; one line that says where.
    """
    path = Path(path)
    text = read_text(path)
    start = text.lstrip()
    if re.match(r"<[?!\w]", start):
        raise DamagedError(f"{path}: not a valid OBO file, it is XML or HTML; take hp.obo or hp.json of a release")
    if re.match(r"\{|\[\s*\{", start):
        found = read_obographs(text, path.name)
    else:
        found = read_standard_obo(text, path.name) or read_obo(text, path.name)
    if found.cut:
        raise DamagedError(f"{path}: the file ends in the middle of a term; it is truncated, fetch it again")
    _drop_repeats(found)
    rows: dict[str, list[tuple]] = {name: [] for name in COLUMNS}
    replaced_by: dict[str, set[str]] = {}
    alternative: dict[str, set[str]] = defaultdict(set)
    for term in found.terms:
        for old in term.alternative_ids:
            alternative[old].add(term.hpo_id)
        if term.obsolete:
            # `replaced_by` names a successor; `consider` is only a hint and is not followed.
            replaced_by[term.hpo_id] = set(term.replaced_by)
            rows["obsolete"].append((term.hpo_id, term.name, " ".join(sorted({*term.consider, *term.replaced_by}))))
            continue
        rows["terms"].append((term.hpo_id, term.name, term.definition, term.comment))
        rows["synonyms"] += [(term.hpo_id, *said) for said in term.synonyms if said[2] != "obsolete_synonym"]
        rows["xrefs"] += [(term.hpo_id, xref) for xref in term.xrefs]
        rows["edges"] += [(term.hpo_id, parent) for parent in term.parents if is_hpo(parent)]
    _check_graph(path, found, rows["edges"])
    rows["replaced"] = _successors(replaced_by, alternative, {row[0] for row in rows["terms"]})
    tables = {
        name: pd.DataFrame(rows[name], columns=columns).drop_duplicates().sort_values(columns).reset_index(drop=True)
        for name, columns in COLUMNS.items()
    }
    tables["terms"].attrs = {"release": found.release}
    tables["reports"] = pd.DataFrame(found.reports + _loose(found), columns=Report._fields, dtype=str)
    return tables


def _successors(
    replaced_by: dict[str, set[str]], alternative: dict[str, set[str]], live: set[str]
) -> list[tuple[str, str, bool]]:
    """Rows (old id, live id, merged) of the old ids that have exactly one live successor.

    An obsolete term's own ``replaced_by`` goes first: the terms that list the id as an alternative one count only
    where it names none that the file knows. A successor that is itself old is followed on. An id that leads to
    several live terms (a term that was split) has no row. `merged` tells whether the live term lists the id.
    """
    old_ids = (set(replaced_by) | set(alternative)) - live
    known, leads_here = live | old_ids, defaultdict(list)
    for old in sorted(old_ids):
        for new in replaced_by.get(old, set()) & known or alternative.get(old, set()):
            leads_here[new].append(old)
    reached: dict[str, set[str]] = defaultdict(set)
    open_ends = [(old, new) for new in sorted(live & set(leads_here)) for old in leads_here[new]]
    while open_ends:
        old, new = open_ends.pop()
        if new not in reached[old] and len(reached[old]) < 2:  # a third successor would tell nothing more
            reached[old].add(new)
            open_ends += [(older, new) for older in leads_here[old]]
    single = [(old, *reached[old]) for old in sorted(old_ids) if len(reached[old]) == 1]
    return [(old, new, new in alternative.get(old, ())) for old, new in single]


def _drop_repeats(found: Entries) -> None:
    """Leave one of several stanzas that state the same, as files that were joined have them."""
    first: dict[str, Entry] = {}
    kept_terms = []
    for term in found.terms:
        before = first.setdefault(term.hpo_id, term)
        if before is not term and term == replace(before, where=term.where):
            found.reports.append(Report(term.where, term.name, f"{term.hpo_id} is stated a second time"))
        else:
            kept_terms.append(term)
    found.terms = kept_terms


def _check_graph(path: Path, found: Entries, edges: list[tuple[str, str]]) -> None:
    """Terms are there once, parents are live, nothing is its own ancestor, what everything hangs on is there."""
    terms: dict[str, Entry] = {}
    for term in found.terms:
        if term.hpo_id in terms:
            raise DamagedError(f"{path}: {shown(term.hpo_id)} is defined more than once; keep one stanza")
        terms[term.hpo_id] = term
    if not edges:
        raise PhenoLIPError(f"{path}: holds no HPO terms with is_a relations; is it the whole hp.obo?")
    for needed in (ROOT, PHENOTYPIC_ABNORMALITY):
        if needed not in terms or terms[needed].obsolete:
            raise PhenoLIPError(f"{path}: lacks {needed}, which every HPO release has; is it the whole hp.obo?")
    if unnamed := sorted(term.hpo_id for term in found.terms if not term.obsolete and not term.name):
        raise PhenoLIPError(f"{path}: {shown(unnamed[0])} has no name")
    for child, parent in sorted(edges):
        if parent not in terms:
            told = f"{shown(child)} refers to {shown(parent)}, which the file does not define; a part of it is missing"
            raise DamagedError(f"{path}: {told}")
        if terms[parent].obsolete:
            raise PhenoLIPError(f"{path}: is_a of {shown(child)} points to {shown(parent)}, which is not a live term")
    above = defaultdict(list)
    for child, parent in sorted(edges):
        above[child].append(parent)
    try:
        graphlib.TopologicalSorter(above).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1]
        told = " -> ".join(reversed(circle)) if len(circle) <= 6 else f"{circle[-1]} -> ... ({len(circle) - 1} terms)"
        raise PhenoLIPError(f"{path}: is_a runs in a circle: {shown(told)}") from None


def _loose(found: Entries) -> list[Report]:
    """Reports of parents outside of HPO, live terms without any other, and alternative ids that are live terms."""
    live = {term.hpo_id for term in found.terms if not term.obsolete}
    reports = []
    for term in found.terms:
        outside = [parent for parent in term.parents if not is_hpo(parent)]
        if claimed := sorted(live.intersection(term.alternative_ids) - {term.hpo_id}):
            reports.append(Report(term.where, claimed[0], f"alternative id of {term.hpo_id}, but a live term"))
        if term.obsolete:
            continue
        reports += [Report(term.where, parent, f"parent of {term.hpo_id} outside of HPO") for parent in outside]
        if len(outside) == len(term.parents) and term.hpo_id != ROOT:
            reports.append(Report(term.where, term.name, f"{term.hpo_id} has no parent in HPO"))
    return reports


def read_release(settings: Hpo, cache: Path) -> Ontology:
    """The release the `hpo` section of params names, parsed, with its annotations if there are any."""
    tables = parse_release(locate(settings.obo, "hp.obo", settings.sha256, cache))
    live = set(tables["terms"]["hpo_id"])
    replaced = dict(zip(tables["replaced"]["old_id"], tables["replaced"]["hpo_id"], strict=True))
    if settings.annotations is None:
        tables["annotations"] = pd.DataFrame(columns=["disease_id", "disease", "hpo_id"], dtype=str)
    else:
        file = locate(settings.annotations, "phenotype.hpoa", None, cache)
        tables["annotations"], reports = read_annotations(file, replaced, live)
        tables["reports"] = pd.concat([tables["reports"], reports], ignore_index=True)
    for reason, n in tables["reports"]["reason"].value_counts().head(5).items():
        log.warning("ontology: %d times %s", n, reason)
    return Ontology(tables, **tables["terms"].attrs)


def kept_release(settings: Hpo, cache: Path) -> Ontology:
    """`read_release`, parsed once and then loaded from `cache`, for use outside the pipeline."""
    folder = cache / "hpo" / digest(code_digest(__name__), fingerprints(settings, cache))
    return kept(folder, lambda: read_release(settings, cache), lambda target, onto: onto.save(target), Ontology.load)


def counts(onto: Ontology, obo: Path | None = None) -> pd.DataFrame:
    """The numbers people quote about a release; with `obo` beside a plain count of the file's lines."""
    scopes = onto.tables["synonyms"]["scope"].value_counts()
    terms = onto.tables["terms"]
    rows = [
        ("live terms", len(onto)),
        ("obsolete terms dropped", onto.n_obsolete),
        ("old ids that resolve", len(onto.replaced)),
        ("phenotypic abnormalities", len(onto.phenotypes)),
        ("leaf phenotypes", len(onto.leaves)),
        ("is_a edges", len(onto.tables["edges"])),
        ("cross-references", len(onto.tables["xrefs"])),
        ("depth", max(onto.depth.values())),
        ("definitions", int((terms["definition"] != "").sum())),
        ("comments", int((terms["comment"] != "").sum())),
        ("synonyms of any scope", len(onto.tables["synonyms"])),
        *((f"{scope.lower()} synonyms", int(scopes.get(scope, 0))) for scope in SCOPES),
        ("annotated diseases", onto.tables["annotations"]["disease_id"].nunique()),
        ("disease annotations", len(onto.tables["annotations"])),
        ("statements not taken as they stand", len(onto.tables["reports"])),
    ]
    table = pd.DataFrame(rows, columns=["quantity", "count"])
    if obo is not None:
        told = file_counts(obo)
        table["in the file"] = [str(told.get(quantity, "-")) for quantity in table["quantity"]]
    return table


def file_counts(path: Path) -> dict[str, int]:
    """The same numbers counted from the lines of an OBO file, without a parser: a check of `counts`. Of JSON none."""
    starts = {"is_a edges": "is_a: HP:", "definitions": "def: ", "comments": "comment: "}
    starts["synonyms of any scope"] = "synonym: "
    found = dict.fromkeys(("live terms", "obsolete terms dropped", *starts), 0)
    text = read_text(path)
    if text.lstrip().startswith("{"):
        return {}
    for stanza in text.split("\n[Term]\nid: HP:")[1:]:
        lines = stanza.partition("\n[")[0].split("\n")
        if "is_obsolete: true" in lines:
            found["obsolete terms dropped"] += 1
            continue
        found["live terms"] += 1
        for quantity, start in starts.items():
            found[quantity] += sum(line.startswith(start) for line in lines)
    return found
