"""PhenoKG as a typed graph: pictures, captions, groups, sources, phenotypes and diseases, with checked ends.

`build_graph` turns the curated pairs into node and edge tables, one table a type and one schema a
table (`phenolip_lib.graph.schema`); `Graph` answers the usual questions in one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from scipy.sparse import csr_matrix

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.storage import read_parquet, write_parquet
from phenolip_lib.graph.schema import EDGES, ENDS, LISTS, NODES, node_ids
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY, Ontology

PUBLISHED = {
    "image-text pairs": "524,000",
    "phenotypes shown": "> 3,000",
    "HPO terms": "19,651",
    "HPO is_a edges": "23,528",
    "HPO depth": "13",
}
"""Sizes of the published PhenoKG, under the names of `Graph.statistics`."""

BUCKETS = {"1-4": (1, 4), "5-19": (5, 19), "20+": (20, np.inf)}
"""Rare, middle and frequent phenotypes by their number of images."""


@dataclass
class Graph:
    """Node and edge tables by type, over the ontology they were built with."""

    nodes: dict[str, pd.DataFrame]
    edges: dict[str, pd.DataFrame]
    onto: Ontology

    # --- files ----------------------------------------------------------------------------------

    def validate(self) -> Graph:
        """Check every table's schema and that every edge ends at a node.

        Raises:
            PhenoLIPError: names the table and the first row that is wrong.
        """
        for tables, schemas, kind in ((self.nodes, NODES, "node"), (self.edges, EDGES, "edge")):
            for name, schema in schemas.items():
                try:
                    tables[name] = schema.validate(tables[name])
                except pa.errors.SchemaError as error:
                    reason = " ".join(str(error).split())[:200]
                    raise PhenoLIPError(f"{kind} table {name!r} is not valid: {reason}") from None
        for name, ends in ENDS.items():
            for side, category in zip(("subject", "object"), ends, strict=True):
                column = self.edges[name][side]
                absent = column[~column.isin(self.nodes[category]["node_id"])]
                if len(absent):
                    raise PhenoLIPError(
                        f"edge table {name!r}: {side} {absent.iloc[0]!r} is not a node of category {category!r} "
                        f"({len(absent)} such edges); build the graph from the same pairs, mentions and HPO release"
                    )
        return self

    def save(self, folder: Path) -> None:
        """Write ``nodes/<category>.parquet`` and ``edges/<predicate>.parquet``."""
        for kind in ("nodes", "edges"):
            for name, table in getattr(self, kind).items():
                write_parquet(Path(folder) / kind / f"{name}.parquet", table)

    @classmethod
    def load(cls, folder: Path, onto: Ontology) -> Graph:
        """Read what `save` wrote and check it.

        Raises:
            PhenoLIPError: a table is absent or not valid.
        """
        tables: dict[str, dict[str, pd.DataFrame]] = {}
        for kind, schemas in (("nodes", NODES), ("edges", EDGES)):
            tables[kind] = {}
            for name in schemas:
                path = Path(folder) / kind / f"{name}.parquet"
                if not path.is_file():
                    raise PhenoLIPError(f"{path}: the graph is not whole; build it again with `dvc repro`")
                table = read_parquet(path)
                for column in LISTS & set(table.columns):
                    table[column] = table[column].map(list).astype(object)
                tables[kind][name] = table
        return cls(**tables, onto=onto).validate()

    # --- questions ------------------------------------------------------------------------------

    @cached_property
    def _shows(self) -> pd.DataFrame:
        """(pair_id, hpo_id, split) of every image and phenotype it shows."""
        images = self.nodes["image"].set_index("node_id")[["name", "split"]]
        own = self.edges["shows"].join(images, on="subject")
        return pd.DataFrame({"pair_id": own["name"], "hpo_id": own["object"], "split": own["split"]})

    def images_of(self, hpo_id: str, descendants: bool = True, split: str | None = None) -> list[str]:
        """Pair ids of the images that show a phenotype (or a more special one), sorted."""
        wanted = self.onto.descendants(hpo_id) if descendants else {self.onto.resolve(hpo_id)}
        rows = self._shows["hpo_id"].isin(wanted) & (True if split is None else self._shows["split"] == split)
        return sorted(self._shows["pair_id"][rows].unique())

    def phenotypes_of(self, pair_id: str, ancestors: bool = False) -> list[str]:
        """HPO ids an image shows, sorted; with `ancestors` everything these imply."""
        own = set(self._shows["hpo_id"][self._shows["pair_id"] == pair_id])
        return sorted(set().union(*map(self.onto.ancestors, own))) if ancestors else sorted(own)

    def neighbours(self, node: str) -> pd.DataFrame:
        """Everything one edge away.

        Returns:
            table (predicate, direction, node_id, category, name), sorted; `direction` is ``out`` when
            `node` is the subject.
        """
        parts = []
        for predicate, ends in ENDS.items():
            edges = self.edges[predicate]
            ways = ("out", "subject", "object", ends[1]), ("in", "object", "subject", ends[0])
            for direction, here, there, category in ways:
                if found := sorted(edges[there][edges[here] == node].unique()):
                    names = self.nodes[category].set_index("node_id")["name"]
                    parts += [(predicate, direction, other, category, names[other]) for other in found]
        return pd.DataFrame(parts, columns=["predicate", "direction", "node_id", "category", "name"])

    @cached_property
    def image_counts(self) -> pd.DataFrame:
        """Images of each HPO term of the release.

        Returns:
            table indexed by HPO id: `own` images that show exactly the term, `images` that show it
            or a descendant (each image once).
        """
        rows, names = pd.factorize(self._shows["pair_id"])
        columns = self._shows["hpo_id"].map(self.onto.index).to_numpy(dtype=int)
        shows = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(names), len(self.onto)))
        own = np.asarray((shows > 0).sum(axis=0)).ravel()
        implied = (shows @ self.onto.closure).tocsc()
        return pd.DataFrame({"own": own.astype(int), "images": np.diff(implied.indptr)}, index=self.onto.ids)

    def coverage(self) -> pd.DataFrame:
        """How much of each organ system (child of HP:0000118) has images.

        Returns:
            table (hpo_id, system, phenotypes, covered, covered_below, own_images, images), most images
            first: HPO phenotypes of the branch, those an image shows, those an image shows or
            implies, images that show the branch term itself, and images of the whole branch.
        """
        counts = self.image_counts
        rows = []
        for top in sorted(self.onto.children.get(PHENOTYPIC_ABNORMALITY, ())):
            branch = counts.loc[sorted(self.onto.descendants(top))]
            rows.append(
                (
                    top,
                    self.onto[top].name,
                    len(branch),
                    int((branch["own"] > 0).sum()),
                    int((branch["images"] > 0).sum()),
                    *counts.loc[top],
                )
            )
        columns = ["hpo_id", "system", "phenotypes", "covered", "covered_below", "own_images", "images"]
        table = pd.DataFrame(rows, columns=columns)
        return table.sort_values(["images", "hpo_id"], ascending=[False, True]).reset_index(drop=True)

    def long_tail(self) -> pd.DataFrame:
        """Phenotypes that images show, most frequent first: (rank, hpo_id, name, images, bucket)."""
        own = self.image_counts["own"]
        own = own[own > 0].rename_axis("hpo_id").reset_index(name="images")
        own = own.sort_values(["images", "hpo_id"], ascending=[False, True]).reset_index(drop=True)
        own.insert(0, "rank", own.index + 1)
        own.insert(2, "name", [self.onto[h].name for h in own["hpo_id"]])
        own["bucket"] = ""
        for bucket, (low, high) in BUCKETS.items():
            own.loc[own["images"].between(low, high), "bucket"] = bucket
        return own

    def diseases_of(self, hpo_id: str, descendants: bool = True) -> pd.DataFrame:
        """Diseases annotated with a phenotype (or a more special one): (disease_id, disease), sorted."""
        wanted = self.onto.descendants(hpo_id) if descendants else {self.onto.resolve(hpo_id)}
        edges = self.edges["has_phenotype"]
        found = set(edges["subject"][edges["object"].isin(wanted)])
        table = self.nodes["disease"].rename(columns={"node_id": "disease_id", "name": "disease"})
        return table[table["disease_id"].isin(found)].reset_index(drop=True)

    def statistics(self) -> pd.DataFrame:
        """Sizes beside the published PhenoKG's: (quantity, this graph, published PhenoKG)."""
        shown = self._shows["hpo_id"].unique()
        sizes = {
            "image-text pairs": len(self.nodes["image"]),
            "pairs with a phenotype": self._shows["pair_id"].nunique(),
            "phenotypes shown": len(shown),
            "organ systems shown": len({s for h in shown for s in self.onto.systems.get(h, ())}),
            "HPO terms": len(self.onto),
            "HPO is_a edges": len(self.onto.tables["edges"]),
            "HPO depth": max(self.onto.depth.values()),
        }
        sizes |= {f"{name} nodes": len(table) for name, table in self.nodes.items() if name != "image"}
        sizes |= {f"{name} edges": len(table) for name, table in self.edges.items()}
        rows = [(key, f"{value:,}", PUBLISHED.get(key, "-")) for key, value in sizes.items()]
        return pd.DataFrame(rows, columns=["quantity", "this graph", "published PhenoKG"])


# --- building -----------------------------------------------------------------------------------


def build_graph(pairs: pd.DataFrame, mentions: pd.DataFrame, onto: Ontology) -> Graph:
    """The graph around curated pairs.

    Args:
        pairs: `phenokg.PAIRS`, with `article` ("" where a record names none).
        mentions: (pair_id, field, start, end, hpo_id, surface, negated, uncertain, family) of recognised terms.
        onto: the release the pairs are linked to.

    Returns:
        the checked graph: every phenotype that is shown or mentioned with its whole ``is_a`` ancestry, and
        every disease annotated with one of them (annotations within the graph's phenotypes only).

    Raises:
        PhenoLIPError: an id is not a live term of `onto`, or a mention names a pair that is not there.
    """
    pairs = pairs.sort_values("pair_id").reset_index(drop=True)
    image, caption = node_ids("image", pairs["pair_id"]), node_ids("caption", pairs["pair_id"])
    group, source = node_ids("group", pairs["group"]), node_ids("dataset", pairs["dataset"])
    evidence = pd.Series(np.where(pairs["asserted"], "asserted", "recognised"), dtype=str)
    shows = pd.DataFrame({"subject": image, "object": pairs["phenotypes"], "evidence": evidence}).explode("object")
    shows = shows.dropna(subset=["object"]).drop_duplicates(["subject", "object"]).astype({"object": str})
    spans = mentions.assign(subject=node_ids("caption", mentions["pair_id"]), object=mentions["hpo_id"])
    # An empty table has columns of no particular type.
    spans = spans[list(EDGES["mentions"].columns)].astype({"object": str, "field": str, "surface": str})
    spans = spans.drop_duplicates()
    occurring = sorted({*shows["object"], *spans["object"]})
    unknown = [hpo_id for hpo_id in occurring if hpo_id not in onto.index]
    if unknown:
        raise PhenoLIPError(f"{unknown[0]} is not a live term of HPO {onto.release}; build PhenoKG and HPO again")

    isa = onto.tables["edges"].rename(columns={"child": "subject", "parent": "object"})
    ancestry = set().union(*map(onto.ancestors, occurring)) if occurring else set()
    annotations = onto.tables["annotations"]
    ill = set(annotations["disease_id"][annotations["hpo_id"].isin(occurring)])
    annotated = annotations[annotations["disease_id"].isin(ill) & annotations["hpo_id"].isin(ancestry)]
    terms = onto.tables["terms"]
    terms = terms[terms["hpo_id"].isin(ancestry)]

    nodes = {
        "phenotype": pd.DataFrame(
            {
                "node_id": terms["hpo_id"],
                "name": terms["name"],
                "definition": terms["definition"],
                "synonyms": pd.Series([list(onto[h].synonyms) for h in terms["hpo_id"]], terms.index, object),
            }
        ),
        "image": pd.DataFrame({"node_id": image, "name": pairs["pair_id"], "file": pairs["image"]}).join(
            pairs[["left", "top", "right", "bottom", "modality", "split", "licence", "url"]]
        ),
        "caption": pd.DataFrame(
            {"node_id": caption, "name": pairs["pair_id"], "text": pairs["caption"], "templated": pairs["templated"]}
        ),
        "group": _groups(group, pairs),
        "disease": annotated[["disease_id", "disease"]]
        .set_axis(["node_id", "name"], axis=1)
        .drop_duplicates("node_id"),
        "source": pd.DataFrame({"node_id": source, "name": pairs["dataset"]}).drop_duplicates(),
    }
    edges = {
        "is_a": isa[isa["subject"].isin(ancestry)],
        "shows": shows,
        "has_caption": pd.DataFrame({"subject": image, "object": caption}),
        "mentions": spans,
        "part_of": pd.DataFrame({"subject": image, "object": group}),
        "from_source": pd.DataFrame({"subject": image, "object": source}),
        "has_phenotype": annotated[["disease_id", "hpo_id"]].set_axis(["subject", "object"], axis=1).drop_duplicates(),
    }
    keys = {name: ["subject", "object", *(("field", "start", "end") if name == "mentions" else ())] for name in edges}
    return Graph(
        {name: table.sort_values("node_id").reset_index(drop=True) for name, table in nodes.items()},
        {name: table.sort_values(keys[name]).reset_index(drop=True) for name, table in edges.items()},
        onto,
    ).validate()


def _groups(ids: pd.Series, pairs: pd.DataFrame) -> pd.DataFrame:
    """Group nodes with the articles their records come from."""
    table = pd.DataFrame({"node_id": ids, "name": pairs["group"], "article": pairs["article"]}).drop_duplicates()
    nodes = table.drop_duplicates("node_id")[["node_id", "name"]]
    named = table[table["article"] != ""].sort_values("article").groupby("node_id")["article"].agg(list)
    articles = [named.get(n, []) for n in nodes["node_id"]] if len(named) else [[] for _ in range(len(nodes))]
    kind = np.where([len(a) > 0 for a in articles], "article", "case")
    return nodes.assign(kind=kind, articles=pd.Series(articles, index=nodes.index, dtype=object))
