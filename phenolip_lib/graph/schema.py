"""Tables of the PhenoKG graph: columns of each node and edge type, and which types an edge joins.

Node ids are CURIEs: ``HP:`` and the disease databases' own, ``phenolip:image/…``, ``phenolip:caption/…``,
``phenolip:group/…`` and ``phenolip:dataset/…`` for what the pairs bring.
"""

from __future__ import annotations

from urllib.parse import quote

import pandas as pd
import pandera.pandas as pa

from phenolip_lib.data.records import MODALITIES
from phenolip_lib.data.splits import SPLITS

Fraction = pa.Column(float, pa.Check.in_range(0, 1))


def _table(**columns: pa.Column) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(columns, strict=True, ordered=True)


def _node(prefix: str, **columns: pa.Column) -> pa.DataFrameSchema:
    return _table(node_id=pa.Column(str, pa.Check.str_startswith(prefix), unique=True), **columns)


def _edge(**columns: pa.Column) -> pa.DataFrameSchema:
    return _table(subject=pa.Column(str), object=pa.Column(str), **columns)


NODES = {
    "phenotype": _node("HP:", name=pa.Column(str), definition=pa.Column(str), synonyms=pa.Column(object)),
    "image": _node(
        "phenolip:image/",
        name=pa.Column(str),
        file=pa.Column(str),
        left=Fraction,
        top=Fraction,
        right=Fraction,
        bottom=Fraction,
        modality=pa.Column(str, pa.Check.isin(MODALITIES)),
        split=pa.Column(str, pa.Check.isin(SPLITS)),
        licence=pa.Column(str),
        url=pa.Column(str),
    ),
    "caption": _node("phenolip:caption/", name=pa.Column(str), text=pa.Column(str), templated=pa.Column(bool)),
    "group": _node(
        "phenolip:group/",
        name=pa.Column(str),
        kind=pa.Column(str, pa.Check.isin(("article", "case"))),
        articles=pa.Column(object),
    ),
    "disease": _table(node_id=pa.Column(str, pa.Check.str_matches(r"^[A-Z]+:\S+$"), unique=True), name=pa.Column(str)),
    "source": _node("phenolip:dataset/", name=pa.Column(str)),
}
"""Node tables by category. `name` is the pair id of an image or caption; a group is an ``article`` if
any of its records names one, else a ``case``."""

EDGES = {
    "is_a": _edge(),
    "shows": _edge(evidence=pa.Column(str, pa.Check.isin(("asserted", "recognised")))),
    "has_caption": _edge(),
    "mentions": _edge(
        field=pa.Column(str, pa.Check.isin(("caption", "context"))),
        start=pa.Column(int, pa.Check.ge(0)),
        end=pa.Column(int, pa.Check.gt(0)),
        surface=pa.Column(str),
        negated=pa.Column(bool),
        uncertain=pa.Column(bool),
        family=pa.Column(bool),
    ),
    "part_of": _edge(),
    "from_source": _edge(),
    "has_phenotype": _edge(),
}
"""Edge tables by predicate. `evidence` of ``shows``: a label the data set asserts, or a term recognised
in the text; ``mentions`` has a row a span, `start` and `end` in characters of the field's text."""

ENDS = {
    "is_a": ("phenotype", "phenotype"),
    "shows": ("image", "phenotype"),
    "has_caption": ("image", "caption"),
    "mentions": ("caption", "phenotype"),
    "part_of": ("image", "group"),
    "from_source": ("image", "source"),
    "has_phenotype": ("disease", "phenotype"),
}
"""Categories of the subject and the object of each predicate."""

LISTS = {"synonyms", "articles"}
"""Columns that hold a list of texts in each row."""


def node_id(category: str, name: str) -> str:
    """The CURIE of an image, caption, group or dataset; characters a CURIE cannot hold are percent-encoded."""
    return f"phenolip:{category}/{quote(name, safe='/:@!$,;=~.-_+')}"


def node_ids(category: str, names: pd.Series) -> pd.Series:
    """`node_id` of a column."""
    unique = pd.Series(names.unique())
    return names.map(dict(zip(unique, [node_id(category, n) for n in unique], strict=True))).astype(str)
