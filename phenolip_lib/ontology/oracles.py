"""Our measures against another library's, on the ontology in hand: the package pyhpo.

pyhpo keeps one ontology for the whole process; it is given a small copy of ours (ids, ``is_a`` and
annotations), so the numbers must agree for every release, not only for the one it ships.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from phenolip_lib.ontology import similarity
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, ROOT, Ontology

CHUNK = 100
"""Pairs scored at once: our functions make whole matrices, of which only the diagonal is compared."""
MEASURES = {"resnik": similarity.resnik, "lin": similarity.lin, "jc": similarity.jiang_conrath}
"""pyhpo's name of each measure between terms, and ours."""


def _load_pyhpo(onto: Ontology):
    """pyhpo's ontology, read from files written for it.

    pyhpo divides by the number of diseases of each database and of genes: each needs one, at the root.
    """
    from pyhpo import Ontology as PyHPO

    stanzas = [
        "\n".join([f"[Term]\nid: {i}\nname: {i}", *(f"is_a: {parent} ! -" for parent in onto.parents.get(i, ()))])
        for i in onto.ids
    ]
    diseases = list(_omim(onto).itertuples(index=False, name=None)) or [("OMIM:0", ROOT)]
    diseases += [("ORPHA:0", ROOT), ("DECIPHER:0", ROOT)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hp.obo").write_text("\n\n".join(["format-version: 1.2", *stanzas]) + "\n", encoding="utf-8")
        lines = [f"{disease}\t{disease}\t\t{hpo_id}\n" for disease, hpo_id in diseases]
        (folder / "phenotype.hpoa").write_text("".join(lines), encoding="utf-8")
        (folder / "genes_to_phenotype.txt").write_text(f"1\tgene\t{ROOT}\n", encoding="utf-8")
        return PyHPO(name)


def _omim(onto: Ontology) -> pd.DataFrame:
    table = onto.tables["annotations"][["disease_id", "hpo_id"]]
    return table[table["disease_id"].str.startswith("OMIM:")].drop_duplicates()


def _random_pairs(onto: Ontology, n: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Pairs of phenotypes, every other one within an organ system; else nearly all share only the top."""
    systems = set(onto.children[PHENOTYPIC_ABNORMALITY])
    pools = {top: sorted(onto.descendants(top)) for top in systems}
    pairs = []
    for i, first in enumerate(rng.choice(onto.phenotypes, size=n).tolist()):
        pool = pools[min(onto.ancestors(first) & systems)] if i % 2 else onto.phenotypes
        pairs.append((first, pool[rng.integers(len(pool))]))
    return pairs


def _ours(
    onto: Ontology, measure: Callable[..., np.ndarray], pairs: list[tuple], *options, ic: np.ndarray
) -> np.ndarray:
    """`measure` of the pairs, the diagonals of its matrices, as many values as there are pairs."""
    parts = [list(zip(*pairs[i : i + CHUNK], strict=True)) for i in range(0, len(pairs), CHUNK)]
    return np.concatenate([np.empty(0), *(np.diag(measure(onto, a, b, *options, ic=ic)) for a, b in parts)])


def similarity_against_pyhpo(onto: Ontology, n_pairs: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The largest difference between each of our measures and pyhpo's, on random phenotypes.

    Information content (IC) is of OMIM diseases and compared wherever a disease has the term. The
    measures get pyhpo's IC (0 for terms no disease has) on both sides; those of terms are compared
    on `n_pairs` pairs, those of sets on a tenth as many pairs of one to five terms. Jiang-Conrath
    leaves out pairs with a term of IC 0, which pyhpo sets to 0. simGIC is summed here over pyhpo's
    ancestors: pyhpo's own ``graphic`` leaves the terms themselves out of the union.

    Returns:
        table (measure, pairs, max_abs_difference, oracle), a row per measure; `pairs` is how many
        values were compared. Differences are rounded to 12 decimals: pyhpo adds up in no fixed order.
    """
    from pyhpo import HPOSet

    theirs = _load_pyhpo(onto)
    terms = {hpo_id: theirs[int(hpo_id.removeprefix("HP:"))] for hpo_id in onto.ids}
    ic = np.array([term.information_content.omim for term in terms.values()])
    rng = np.random.default_rng(seed)
    pairs = _random_pairs(onto, n_pairs, rng)
    draws = [rng.choice(onto.phenotypes, size=rng.integers(1, 6)).tolist() for _ in range(2 * max(n_pairs // 10, 1))]
    pairs_of_sets = list(zip(draws[::2], draws[1::2], strict=True))
    rows = []

    def compare(measure: str, oracle: str, ours: np.ndarray, expected: np.ndarray) -> None:
        rows.append((measure, len(ours), round(float(np.abs(ours - expected).max(initial=0)), 12), oracle))

    seen = np.array([bool(term.omim_diseases) for term in terms.values()])
    own = onto.disease_information_content("OMIM" if len(_omim(onto)) else None)
    compare("information content", "omim", own[seen], ic[seen])

    for method, measure in MEASURES.items():
        used = [(a, b) for a, b in pairs if method != "jc" or min(ic[onto.index[a]], ic[onto.index[b]]) > 0]
        expected = [terms[a].similarity_score(terms[b], kind="omim", method=method) for a, b in used]
        compare(measure.__name__, method, _ours(onto, measure, used, ic=ic), np.array(expected))

    above = [[set().union(*({terms[i]} | terms[i].all_parents for i in ids)) for ids in pair] for pair in pairs_of_sets]
    weight = [[sum(t.information_content.omim for t in part) for part in (a & b, a | b)] for a, b in above]
    expected = np.array([common / union if union else 0.0 for common, union in weight])
    compare("sim_gic", "all_parents", _ours(onto, similarity.sim_gic, pairs_of_sets, ic=ic), expected)

    for method in ("resnik", "lin"):
        ours = _ours(onto, similarity.best_match_average, pairs_of_sets, MEASURES[method], ic=ic)
        sets = [[HPOSet([terms[i] for i in sorted(set(ids))]) for ids in pair] for pair in pairs_of_sets]
        expected = [a.similarity(b, kind="omim", method=method, combine="funSimAvg") for a, b in sets]
        compare(f"best_match_average of {method}", f"{method}, funSimAvg", ours, np.array(expected))

    table = pd.DataFrame(rows, columns=["measure", "pairs", "max_abs_difference", "oracle"])
    table["oracle"] = f"pyhpo {version('pyhpo')}: " + table["oracle"]
    return table
