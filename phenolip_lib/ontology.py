"""The ontology as a graph in memory: look terms up, walk it, weigh it.

>>> onto = Ontology.load(folder)                       # doctest: +SKIP
>>> onto["HP:0001744"].name                            # doctest: +SKIP
'Splenomegaly'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from phenolip_lib.errors import PhenoLIPError
from phenolip_lib.storage import read_json, write_json, write_parquet

ROOT = "HP:0000001"
PHENOTYPIC_ABNORMALITY = "HP:0000118"
TABLES = ("terms", "synonyms", "edges", "replaced", "annotations")


@dataclass(frozen=True, slots=True)
class Term:
    """A live term of the ontology."""

    hpo_id: str
    name: str
    definition: str
    comment: str
    synonyms: tuple[str, ...]


class Ontology:
    """Live HPO terms with their ``is_a`` graph; a mapping from CURIE to `Term`.

    Old ids (alternative or obsolete with a successor) resolve to the live term.
    """

    def __init__(self, tables: dict[str, pd.DataFrame], release: str = "unknown", n_obsolete: int = 0) -> None:
        self.tables = tables
        self.release = release
        self.n_obsolete = n_obsolete
        self.ids: list[str] = tables["terms"]["hpo_id"].tolist()
        self.index = {hpo_id: i for i, hpo_id in enumerate(self.ids)}
        self.replaced = dict(zip(tables["replaced"]["old_id"], tables["replaced"]["hpo_id"], strict=True))

    @classmethod
    def load(cls, folder: Path) -> Ontology:
        """Read the tables that notebook 01 wrote."""
        folder = Path(folder)
        if not (folder / "release.json").is_file():
            raise PhenoLIPError(f"{folder}: the ontology is not parsed yet; run `dvc repro hpo`")
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
        return cls(tables, **read_json(folder / "release.json"))

    def save(self, folder: Path) -> None:
        for name in TABLES:
            table = self.tables[name].copy()
            table.attrs = {}
            write_parquet(Path(folder) / f"{name}.parquet", table)
        write_json(Path(folder) / "release.json", {"release": self.release, "n_obsolete": self.n_obsolete})

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
        synonyms: dict[str, list[str]] = {}
        for hpo_id, synonym in zip(self.tables["synonyms"]["hpo_id"], self.tables["synonyms"]["synonym"], strict=True):
            synonyms.setdefault(hpo_id, []).append(synonym)
        return {
            row.hpo_id: Term(row.hpo_id, row.name, row.definition, row.comment, tuple(synonyms.get(row.hpo_id, ())))
            for row in self.tables["terms"].itertuples(index=False)
        }

    # --- graph ----------------------------------------------------------------------------------

    @cached_property
    def parents(self) -> dict[str, list[str]]:
        return self.tables["edges"].groupby("child")["parent"].apply(list).to_dict()

    @cached_property
    def children(self) -> dict[str, list[str]]:
        return self.tables["edges"].groupby("parent")["child"].apply(list).to_dict()

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
        tops = sorted(self.children[PHENOTYPIC_ABNORMALITY])
        found: dict[str, list[str]] = {}
        for top in tops:
            for hpo_id in self.descendants(top):
                found.setdefault(hpo_id, []).append(self[top].name)
        return {hpo_id: tuple(names) for hpo_id, names in found.items()}

    # --- information content --------------------------------------------------------------------

    @cached_property
    def information_content(self) -> np.ndarray:
        """IC of each term in nats, shape ``(n_terms,)``: ``-ln`` of its share of annotated diseases.

        A disease counts for a term if it is annotated with the term or a descendant (Resnik 1995).
        A term no disease is annotated with gets the IC of one seen once, the largest observable.
        """
        annotations = self.tables["annotations"]
        diseases, names = pd.factorize(annotations["disease_id"], sort=True)
        terms = annotations["hpo_id"].map(self.index).to_numpy(dtype=int)
        incidence = csr_matrix((np.ones(len(terms), np.float32), (diseases, terms)), shape=(len(names), len(self)))
        counts = np.asarray((incidence @ self.closure > 0).sum(axis=0)).ravel()
        return np.log(max(len(names), 1)) - np.log(np.maximum(counts, 1))

    def lin(self, rows: Iterable[str], columns: Iterable[str]) -> np.ndarray:
        """Lin similarity ``2 IC(mica) / (IC(a) + IC(b))``, shape ``(len(rows), len(columns))``, in [0, 1].

        The most informative common ancestor is found by visiting ancestors in order of rising
        information content and letting each overwrite the pairs it subsumes.
        """
        rows = [self.index[self.resolve(r)] for r in rows]
        columns = [self.index[self.resolve(c)] for c in columns]
        ic = self.information_content
        above_rows, above_columns = self.closure[rows].tocsc(), self.closure[columns].tocsc()
        best = np.zeros((len(rows), len(columns)))
        shared = np.flatnonzero((np.diff(above_rows.indptr) > 0) & (np.diff(above_columns.indptr) > 0))
        for term in shared[np.argsort(ic[shared], kind="stable")]:
            r = above_rows.indices[above_rows.indptr[term] : above_rows.indptr[term + 1]]
            c = above_columns.indices[above_columns.indptr[term] : above_columns.indptr[term + 1]]
            best[np.ix_(r, c)] = ic[term]
        total = ic[rows][:, None] + ic[columns][None, :]
        return np.divide(2 * best, total, out=np.zeros_like(best), where=total > 0)

    def lin_table(self, ids: Iterable[str]) -> pd.DataFrame:
        """Lin similarity of some terms among each other, with their names."""
        ids = list(ids)
        names = [self[hpo_id].name for hpo_id in ids]
        return pd.DataFrame(self.lin(ids, ids), index=names, columns=names)
