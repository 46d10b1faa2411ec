"""What changed from one HPO release to another, and how to carry ids over.

>>> changes = diff(Ontology.load(old_folder), Ontology.load(new_folder))     # doctest: +SKIP
>>> pairs, lost = carry_table(pairs, "phenotypes", old, new)                # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from phenolip_lib.ontology.ontology import Ontology

TABLES = ("added", "merged", "obsolete", "renamed", "moved", "redefined")


@dataclass(frozen=True)
class ReleaseDiff:
    """The changes between two releases, one table per kind, each sorted by hpo_id.

    A term in `renamed`, `moved` or `redefined` is live in both releases; it can be in several.
    """

    old: str
    new: str
    added: pd.DataFrame
    """hpo_id, name: live now, not live before."""
    merged: pd.DataFrame
    """hpo_id, name, successor, successor_name: live before, now an alternative id of the successor."""
    obsolete: pd.DataFrame
    """hpo_id, name, successor, successor_name, reason: no longer live and not merged; without a
    (single) successor both are empty."""
    renamed: pd.DataFrame
    """hpo_id, old_name, new_name."""
    moved: pd.DataFrame
    """hpo_id, name, old_parents, new_parents (ids joined by spaces); a parent that was only merged
    or replaced is no move."""
    redefined: pd.DataFrame
    """hpo_id, old_definition, new_definition."""

    def summary(self) -> pd.DataFrame:
        """Table (change, terms): how many terms each kind of change concerns."""
        rows = [(name, len(getattr(self, name))) for name in TABLES]
        with_successor = int((self.obsolete["successor"] != "").sum())
        at = TABLES.index("obsolete") + 1
        rows[at:at] = [
            ("obsolete, with a successor", with_successor),
            ("obsolete, without", len(self.obsolete) - with_successor),
        ]
        return pd.DataFrame(rows, columns=["change", "terms"])


def diff(old: Ontology, new: Ontology) -> ReleaseDiff:
    """All changes of live terms from `old` to `new`."""
    merged_ids = set(new.tables["replaced"].query("merged")["old_id"])
    merged, obsolete, renamed, moved, redefined = [], [], [], [], []
    for hpo_id in sorted(old.ids):
        was = old[hpo_id]
        if hpo_id not in new.index:
            successor = new.replaced.get(hpo_id, "")
            row = (hpo_id, was.name, successor, new[successor].name if successor else "")
            if hpo_id in merged_ids:
                merged.append(row)
            else:
                obsolete.append((*row, "" if successor else _why_lost(hpo_id, new)))
            continue
        now = new[hpo_id]
        if was.name != now.name:
            renamed.append((hpo_id, was.name, now.name))
        if was.definition != now.definition:
            redefined.append((hpo_id, was.definition, now.definition))
        old_parents, new_parents = old.parents.get(hpo_id, []), new.parents.get(hpo_id, [])
        if {new.replaced.get(parent, parent) for parent in old_parents} - {hpo_id} != set(new_parents):
            moved.append((hpo_id, now.name, " ".join(old_parents), " ".join(new_parents)))
    successor = ["successor", "successor_name"]
    return ReleaseDiff(
        old.release,
        new.release,
        added=_table([(i, new[i].name) for i in sorted(new.ids) if i not in old.index], "name"),
        merged=_table(merged, "name", *successor),
        obsolete=_table(obsolete, "name", *successor, "reason"),
        renamed=_table(renamed, "old_name", "new_name"),
        moved=_table(moved, "name", "old_parents", "new_parents"),
        redefined=_table(redefined, "old_definition", "new_definition"),
    )


def _table(rows: list[tuple], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["hpo_id", *columns], dtype=str)


def _why_lost(hpo_id: str, new: Ontology) -> str:
    obsolete = new.tables["obsolete"].set_index("hpo_id")["hints"]
    if hpo_id not in obsolete.index:
        return f"not in HPO {new.release}"
    hints = f"; consider {obsolete[hpo_id]}" if obsolete[hpo_id] else ""
    return f"obsolete in HPO {new.release} without a single successor{hints}"


def carry(ids: Iterable[str], old: Ontology, new: Ontology) -> pd.DataFrame:
    """Where each id of one release is in another.

    An id is read as `old` reads it (an old id means its successor there) and then looked up in `new`.

    Returns:
        a row for each distinct id, sorted: hpo_id, new_id, change and reason. `change` is ``kept``
        (the same id), ``merged``, ``replaced`` or ``lost``; a lost id has no new_id but a reason.
    """
    merged_before, merged_after = (set(onto.tables["replaced"].query("merged")["old_id"]) for onto in (old, new))
    rows = []
    for hpo_id in sorted(set(ids)):
        meant = old.replaced.get(hpo_id, hpo_id)
        if meant not in new:
            rows.append((hpo_id, "", "lost", _why_lost(meant, new)))
            continue
        new_id = new.resolve(meant)
        merged = hpo_id in merged_before or meant in merged_after
        rows.append((hpo_id, new_id, "kept" if new_id == hpo_id else "merged" if merged else "replaced", ""))
    return pd.DataFrame(rows, columns=["hpo_id", "new_id", "change", "reason"], dtype=str)


def carry_table(table: pd.DataFrame, column: str, old: Ontology, new: Ontology) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table with the HPO ids of one column carried to another release.

    A cell holds one id or a list of ids. A list keeps what has a place in `new`, sorted and without
    repeats (it may end up empty); a row whose single id is lost is left out. Cells that hold no HPO
    id (such as images in an edge table) stay. Carry ``pairs`` in this way and let
    `graph.build_graph` make its graph: ``is_a`` edges belong to a release.

    Returns:
        the carried table with its index, and the lost: row (label in the index), hpo_id, reason.
    """
    cells = [[cell] if isinstance(cell, str) else list(cell) for cell in table[column]]
    mapping = carry((i for cell in cells for i in cell if i.startswith("HP:")), old, new).set_index("hpo_id")
    lost = mapping.loc[mapping["change"] == "lost", "reason"].to_dict()
    place = mapping["new_id"].to_dict()
    carried, kept, reports = [], [], []
    for label, cell, before in zip(table.index, cells, table[column], strict=True):
        reports += [(label, i, lost[i]) for i in cell if i in lost]
        after = [place.get(i, i) for i in cell if i not in lost]
        kept.append(not isinstance(before, str) or bool(after))
        carried.append("".join(after) if isinstance(before, str) else sorted(set(after)))
    result = table.assign(**{column: pd.Series(carried, index=table.index, dtype=table[column].dtype)})
    return result[kept], pd.DataFrame(reports, columns=["row", "hpo_id", "reason"])
