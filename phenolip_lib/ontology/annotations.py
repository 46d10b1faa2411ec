"""Disease annotations: ``phenotype.hpoa`` of any year, and ``phenotype_annotation.tab`` that came before it."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.ontology.entries import Report, curie, is_hpo, shown
from phenolip_lib.ontology.release_files import read_text

COLUMNS = ["disease_id", "disease", "hpo_id"]
_NEEDED = {"databaseid": "database_id", "diseasename": "disease_name", "qualifier": "qualifier", "hpoid": "hpo_id"}
_NEEDED |= {"aspect": "aspect"}
_OLD = ["db", "db_object_id", "disease_name", "qualifier", "hpo_id", *"refs evidence onset frequency with".split()]
_OLD += ["aspect", "synonym", "date", "assigned_by"]
"""Columns of ``phenotype_annotation.tab`` (until 2018), which has no header and says O of what is now aspect P."""
_ASPECTS = {"P", "O", "I", "C", "M", "H"}
"""Phenotype (P, or O), and inheritance, course, modifier and history, which are not read."""
_USED = {*_NEEDED.values(), *_OLD[:2]}


def read_annotations(path: Path, replaced: dict[str, str], live: set[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Phenotypic annotations, negated ones dropped.

    Lines that begin with ``#`` are remarks, but for one that names the columns, as files before 2021 have it.

    Returns:
        sorted table (disease_id, disease, hpo_id), obsolete ids carried to their successor; and reports
        (where, text, reason) of the rows that could not be taken.

    Raises:
        PhenoLIPError: not a text, or the columns of the format are not there.
    """
    path = Path(path)
    header: list[str] = []
    places: dict[str, int] = {}
    rows, reports = [], []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        fields = line.split("\t")
        if not header and (header := _header(fields)) and header is not _OLD:
            continue
        if line.startswith("#") or not line.strip():
            continue
        if not header:
            missing = sorted(set(_NEEDED.values()) - set(_named(fields)))
            raise PhenoLIPError(f"{path}: not a phenotype.hpoa file, it lacks the columns {', '.join(missing)}")
        places = places or {name: at for at, name in enumerate(header) if name in _USED}
        row = {column: fields[at].strip() for column, at in places.items() if at < len(fields)}
        reason = _reason(row, replaced, live)
        if reason:
            reports.append(Report(f"{path.name}, line {number}", line, reason))
        elif row["aspect"].upper() in ("P", "O") and not row["qualifier"]:
            hpo_id = curie(row["hpo_id"])
            disease = row["database_id"] if "database_id" in row else f"{row['db']}:{row['db_object_id']}"
            rows.append((disease, row["disease_name"], replaced.get(hpo_id, hpo_id)))
    if not header:
        raise PhenoLIPError(f"{path}: not a phenotype.hpoa file, it holds no columns")
    table = pd.DataFrame(rows, columns=COLUMNS, dtype=str).drop_duplicates()
    table = table.sort_values(["disease_id", "hpo_id", "disease"]).reset_index(drop=True)
    return table, pd.DataFrame(reports, columns=Report._fields, dtype=str)


def _named(fields: list[str]) -> list[str]:
    plain = [re.sub(r"[\W_]", "", field).lower() for field in fields]
    return [_NEEDED.get(name, name) for name in plain]


def _header(fields: list[str]) -> list[str]:
    """The columns that a first line names, those of the old table if it is a row of it, or none."""
    if set(_NEEDED.values()) <= set(_named(fields)):
        return _named(fields)
    return _OLD if len(fields) >= 11 and is_hpo(curie(fields[4].strip())) else []


def _reason(row: dict[str, str], replaced: dict[str, str], live: set[str]) -> str:
    """Why a row cannot be taken, or nothing."""
    if "aspect" not in row:
        return "fewer columns than the header"
    hpo_id = curie(row["hpo_id"])
    if not is_hpo(hpo_id):
        return "no HPO id in its column"
    if replaced.get(hpo_id, hpo_id) not in live:
        return "its term is not live in this release and has no single successor"
    if not (row.get("database_id") or row.get("db_object_id")):
        return "no disease"
    if row["aspect"].upper() not in _ASPECTS:
        return f"{shown(row['aspect']) or 'nothing'} is no aspect"
    if row["qualifier"].upper() not in ("", "NOT"):
        return f"{shown(row['qualifier'])} is no qualifier, and it may deny the phenotype"
    return ""
