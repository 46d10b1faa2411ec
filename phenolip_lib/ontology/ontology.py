"""The ontology as a graph in memory: look terms up, walk it, weigh it.

`phenolip_lib.ontology.hpo` makes one from a release, `phenolip_lib.ontology.similarity` holds the measures.

>>> onto = Ontology.load(folder)                       # doctest: +SKIP
>>> onto["HP:0001744"].name                            # doctest: +SKIP
'Splenomegaly'
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import (
    digest,
    digest_arrays,
    read_json,
    read_parquet,
    sha256_file,
    write_json,
    write_parquet,
)

ROOT = "HP:0000001"
PHENOTYPIC_ABNORMALITY = "HP:0000118"
TABLES = ("terms", "synonyms", "xrefs", "edges", "replaced", "obsolete", "annotations", "reports")


class Synonym(NamedTuple):
    """Another name of a term."""

    text: str
    scope: str
    """EXACT, NARROW, BROAD or RELATED."""
    kind: str
    """The release's synonym type, such as ``layperson`` or ``abbreviation``; empty for most."""


@dataclass(frozen=True, slots=True)
class Term:
    """A live term of the ontology; what the release does not give is empty."""

    hpo_id: str
    name: str
    definition: str
    comment: str
    scoped_synonyms: tuple[Synonym, ...]
    xrefs: tuple[str, ...]
    """The same concept elsewhere, as CURIEs such as ``UMLS:C0038002``."""
    alternative_ids: tuple[str, ...]
    """Ids of terms merged into this one."""

    @property
    def synonyms(self) -> tuple[str, ...]:
        """The synonyms' texts."""
        return tuple(synonym.text for synonym in self.scoped_synonyms)

    def _repr_html_(self) -> str:
        """A table for notebooks; what is empty is left out."""
        rows = {"id": self.hpo_id, "name": self.name, "definition": self.definition, "comment": self.comment}
        lists = {"synonyms": self.synonyms, "elsewhere": self.xrefs, "old ids": self.alternative_ids}
        rows |= {key: ("; " if key == "synonyms" else ", ").join(texts) for key, texts in lists.items()}
        cells = "".join(f"<tr><th>{key}</th><td>{escape(text)}</td></tr>" for key, text in rows.items() if text)
        return f"<table>{cells}</table>"


class Ontology:
    """Live HPO terms with their ``is_a`` graph; a mapping from CURIE to `Term`.

    Old ids (alternative or obsolete with a successor) resolve to the live term.
    """

    def __init__(self, tables: dict[str, pd.DataFrame], release: str = "unknown") -> None:
        self.tables = tables
        self.release = release
        self.n_obsolete = len(tables["obsolete"])
        self.ids: list[str] = tables["terms"]["hpo_id"].tolist()
        self.index = {hpo_id: i for i, hpo_id in enumerate(self.ids)}
        self.replaced = dict(zip(tables["replaced"]["old_id"], tables["replaced"]["hpo_id"], strict=True))

    @classmethod
    def load(cls, folder: Path) -> Ontology:
        """Read the tables that notebook 01 wrote."""
        folder = Path(folder)
        if not (folder / "release.json").is_file():
            raise PhenoLIPError(f"{folder}: the ontology is not parsed yet; run `dvc repro hpo`")
        if absent := [name for name in TABLES if not (folder / f"{name}.parquet").is_file()]:
            raise PhenoLIPError(f"{folder}: {absent[0]}.parquet is not there; parse it again: `dvc repro hpo`")
        tables = {name: read_parquet(folder / f"{name}.parquet") for name in TABLES}
        return cls(tables, read_json(folder / "release.json", ("release",))["release"])

    def save(self, folder: Path) -> None:
        """Write the tables, and ``release.json`` that changes when any of them does."""
        paths = {name: Path(folder) / f"{name}.parquet" for name in TABLES}
        for name, path in paths.items():
            table = self.tables[name].copy()
            table.attrs = {}
            write_parquet(path, table)
        content = digest({name: sha256_file(path) for name, path in paths.items()})
        write_json(Path(folder) / "release.json", {"content": content, "release": self.release})

    @cached_property
    def content(self) -> str:
        """A hash of what was taken of a release, for keys of what is made from it: two builds of one may differ."""
        rows = {n: pd.util.hash_pandas_object(self.tables[n].astype(str)) for n in TABLES if n != "reports"}
        return digest(self.release, {name: digest_arrays(hashes.to_numpy()) for name, hashes in rows.items()})

    # --- mapping --------------------------------------------------------------------------------

    def resolve(self, hpo_id: str) -> str:
        """The live id of a term, following alternative and replaced ids.

        Raises:
            KeyError: the release does not know the id.
        """
        hpo_id = self.replaced.get(hpo_id, hpo_id)
        if hpo_id not in self.index:
            raise KeyError(f"{hpo_id} is not in HPO {self.release}")
        return hpo_id

    def __getitem__(self, hpo_id: str) -> Term:
        return self._terms[self.resolve(hpo_id)]

    def __contains__(self, hpo_id: object) -> bool:
        return hpo_id in self.index or hpo_id in self.replaced

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _terms(self) -> dict[str, Term]:
        synonyms = defaultdict(list)
        for hpo_id, *parts in self.tables["synonyms"][["hpo_id", "synonym", "scope", "kind"]].itertuples(index=False):
            synonyms[hpo_id].append(Synonym(*parts))
        xrefs = _grouped(self.tables["xrefs"], "hpo_id", "xref")
        merged = _grouped(self.tables["replaced"].query("merged"), "hpo_id", "old_id")
        return {
            hpo_id: Term(hpo_id, *texts, *(tuple(found.get(hpo_id, ())) for found in (synonyms, xrefs, merged)))
            for hpo_id, *texts in self.tables["terms"].itertuples(index=False, name=None)
        }

    # --- search ---------------------------------------------------------------------------------

    @cached_property
    def _names(self) -> dict[str, list[tuple[str, str, str]]]:
        """Rows (hpo_id, text, field) under the folded text of every name and synonym."""
        found = defaultdict(list)
        for table, field in (("terms", "name"), ("synonyms", "synonym")):
            for hpo_id, text in zip(self.tables[table]["hpo_id"], self.tables[table][field], strict=True):
                found[text.casefold()].append((hpo_id, text, field))
        return dict(found)

    def find(self, text: str, limit: int = 10) -> pd.DataFrame:
        """The terms a text may mean: by id, else by name or synonym, else by the most similar of these.

        Returns:
            at most `limit` rows, best first: hpo_id, name, matched (the text that fits), field
            (``id``, ``name`` or ``synonym``) and score: 1 for the same text up to case, else
            difflib's ratio, from 0.6. A term has one row. Same case ranks before other case and
            names before synonyms. No rows if nothing is near.
        """
        wanted = " ".join(text.split())
        folded, rows = wanted.casefold(), []
        if wanted.upper() in self:
            rows.append((self.resolve(wanted.upper()), wanted.upper(), "id", 1.0))
        else:
            near = [folded] if folded in self._names else difflib.get_close_matches(folded, self._names, n=5 * limit)
            for key in near:
                score = difflib.SequenceMatcher(None, key, folded).ratio()
                rows += [(*row, score) for row in self._names[key]]
            rows.sort(key=lambda row: (-row[3], row[1] != wanted, row[2], row[0]))
        table = pd.DataFrame(rows, columns=["hpo_id", "matched", "field", "score"])
        table = table.drop_duplicates("hpo_id").head(limit)
        table.insert(1, "name", [self[hpo_id].name for hpo_id in table["hpo_id"]])
        return table.reset_index(drop=True)

    # --- graph ----------------------------------------------------------------------------------

    @cached_property
    def parents(self) -> dict[str, list[str]]:
        """Parents of each term that has any, sorted."""
        return _grouped(self.tables["edges"], "child", "parent")

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """Children of each term that has any, sorted."""
        return _grouped(self.tables["edges"], "parent", "child")

    def _reach(self, start: str, step: dict[str, list[str]]) -> set[str]:
        seen, stack = {start}, [start]
        while stack:
            for nearby in step.get(stack.pop(), ()):
                if nearby not in seen:
                    seen.add(nearby)
                    stack.append(nearby)
        return seen

    def ancestors(self, hpo_id: str) -> set[str]:
        """The term and everything above it."""
        return self._reach(self.resolve(hpo_id), self.parents)

    def descendants(self, hpo_id: str) -> set[str]:
        """The term and everything below it."""
        return self._reach(self.resolve(hpo_id), self.children)

    @cached_property
    def phenotypes(self) -> list[str]:
        """Ids below Phenotypic abnormality, without it, sorted."""
        return sorted(self.descendants(PHENOTYPIC_ABNORMALITY) - {PHENOTYPIC_ABNORMALITY})

    @cached_property
    def leaves(self) -> list[str]:
        """Phenotypes without a more special term, sorted."""
        return [hpo_id for hpo_id in self.phenotypes if hpo_id not in self.children]

    @cached_property
    def closure(self) -> csr_matrix:
        """Boolean ancestor matrix ``(n_terms, n_terms)``: row i marks i and its ancestors."""
        rows, columns = [], []
        for i, hpo_id in enumerate(self.ids):
            above = sorted(self.index[ancestor] for ancestor in self.ancestors(hpo_id))
            rows += [i] * len(above)
            columns += above
        return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(self), len(self)))

    @cached_property
    def depth(self) -> dict[str, int]:
        """Shortest number of ``is_a`` steps from the root."""
        depths, level = {ROOT: 0}, [ROOT]
        while level:
            below = dict.fromkeys(child for parent in level for child in self.children.get(parent, ()))
            step = depths[level[0]] + 1
            level = [child for child in below if child not in depths]
            depths.update(dict.fromkeys(level, step))
        return depths

    @cached_property
    def systems(self) -> dict[str, tuple[str, ...]]:
        """For each phenotype the names of the organ-system branches (children of HP:0000118) above it."""
        found = defaultdict(list)
        for top in sorted(self.children[PHENOTYPIC_ABNORMALITY]):
            for hpo_id in self.descendants(top):
                found[hpo_id].append(self[top].name)
        return {hpo_id: tuple(names) for hpo_id, names in found.items()}

    # --- information content --------------------------------------------------------------------

    @cached_property
    def information_content(self) -> np.ndarray:
        """`disease_information_content` over all annotated diseases, in nats, ``(n_terms,)``."""
        return self.disease_information_content()

    def disease_information_content(self, database: str | None = None) -> np.ndarray:
        """IC of each term in nats, shape ``(n_terms,)``: ``-ln`` of its share of annotated diseases.

        A disease counts for a term if it is annotated with the term or a descendant (Resnik 1995;
        per disease as in Robinson et al. 2008). A term no disease is annotated with gets the IC of one
        seen once, the largest observable.

        Args:
            database: count only diseases of this prefix, such as ``OMIM`` or ``ORPHA``.

        Raises:
            PhenoLIPError: no annotated disease has that prefix.
        """
        annotations = self.tables["annotations"]
        if database is not None:
            prefixes = annotations["disease_id"].str.partition(":")[0]
            if database not in set(prefixes):
                known = ", ".join(sorted(set(prefixes))) or "none at all"
                raise PhenoLIPError(f"no annotated disease of {database!r} in HPO {self.release}; there are: {known}")
            annotations = annotations[prefixes == database]
        diseases, names = pd.factorize(annotations["disease_id"], sort=True)
        terms = annotations["hpo_id"].map(self.index).to_numpy(dtype=int)
        incidence = csr_matrix((np.ones(len(terms), np.float32), (diseases, terms)), shape=(len(names), len(self)))
        counts = np.asarray((incidence @ self.closure > 0).sum(axis=0)).ravel()
        return np.log(max(len(names), 1)) - np.log(np.maximum(counts, 1))


def _grouped(table: pd.DataFrame, key: str, value: str) -> dict[str, list[str]]:
    """The values under each key, in the order of the table."""
    found: dict[str, list[str]] = defaultdict(list)
    for k, v in zip(table[key], table[value], strict=True):
        found[k].append(v)
    return dict(found)
