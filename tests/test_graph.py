"""The graph: what is in it, that its edges end somewhere, and its questions against plain loops."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.graph.graph import Graph, build_graph
from phenolip_lib.graph.schema import EDGES, ENDS, NODES, node_id
from phenolip_lib.reporting import graph_figures

SPAN = ["pair_id", "field", "start", "end", "hpo_id", "surface", "negated", "uncertain", "family"]


def pair(name: str, phenotypes: list[str], **changes) -> dict:
    facts = {
        "pair_id": f"d/{name}",
        "dataset": "d",
        "image": f"{name}.png",
        "left": 0.0,
        "top": 0.0,
        "right": 1.0,
        "bottom": 1.0,
        "caption": f"A picture {name}.",
        "templated": False,
        "modality": "radiology",
        "group": name[0],
        "split": "train",
        "phenotypes": phenotypes,
        "asserted": True,
        "class_name": "",
        "licence": "CC0-1.0",
        "url": "",
        "article": "",
        "patient": "",
        "record_id": f"d/{name}",
    }
    return facts | changes


def no_mentions() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=object) for name in SPAN}).astype(
        {"start": int, "end": int, "negated": bool, "uncertain": bool, "family": bool}
    )


@pytest.fixture
def pairs() -> pd.DataFrame:
    return pd.DataFrame(
        [
            pair("a1", ["HP:0001640"], article="PMC1"),
            pair("a2", ["HP:0001640", "HP:0001744"], split="test", article="PMC2"),
            pair("b1", ["HP:0001627"], asserted=False),
            pair("c#A", []),
        ]
    )


@pytest.fixture
def mentions() -> pd.DataFrame:
    rows = [
        ("d/b1", "caption", 2, 9, "HP:0001627", "picture", False, False, False),
        ("d/b1", "context", 0, 6, "HP:0001651", "heart", True, False, True),
    ]
    return pd.DataFrame(rows, columns=SPAN)


@pytest.fixture
def graph(pairs, mentions, toy) -> Graph:
    return build_graph(pairs, mentions, toy)


# --- what is in it ------------------------------------------------------------------------------


def test_nodes_and_edges_of_a_small_graph(graph):
    ids = {name: set(table["node_id"]) for name, table in graph.nodes.items()}
    assert ids["phenotype"] == {
        "HP:0000001",
        "HP:0000118",
        "HP:0001626",
        "HP:0001627",
        "HP:0001640",
        "HP:0001651",
        "HP:0001744",
        "HP:0001871",
    }
    assert ids["image"] == {
        "phenolip:image/d/a1",
        "phenolip:image/d/a2",
        "phenolip:image/d/b1",
        "phenolip:image/d/c%23A",
    }
    # OMIM:4 is annotated with anemia only (its other lines are negated or about inheritance).
    assert ids["disease"] == {"OMIM:1", "OMIM:2", "OMIM:3"}
    assert ids["source"] == {"phenolip:dataset/d"}
    shows = set(graph.edges["shows"].itertuples(index=False, name=None))
    assert shows == {
        ("phenolip:image/d/a1", "HP:0001640", "asserted"),
        ("phenolip:image/d/a2", "HP:0001640", "asserted"),
        ("phenolip:image/d/a2", "HP:0001744", "asserted"),
        ("phenolip:image/d/b1", "HP:0001627", "recognised"),
    }
    negated = graph.edges["mentions"].set_index("object")["negated"].to_dict()
    assert negated == {"HP:0001627": False, "HP:0001651": True}
    family = graph.edges["mentions"].set_index("object")["family"].to_dict()
    assert family == {"HP:0001627": False, "HP:0001651": True}


def test_a_group_knows_its_articles(graph):
    groups = graph.nodes["group"].set_index("name")
    assert groups["articles"].to_dict() == {"a": ["PMC1", "PMC2"], "b": [], "c": []}
    assert groups["kind"].to_dict() == {"a": "article", "b": "case", "c": "case"}


def test_every_edge_ends_at_a_node(graph):
    for predicate, ends in ENDS.items():
        for side, category in zip(("subject", "object"), ends, strict=True):
            assert set(graph.edges[predicate][side]) <= set(graph.nodes[category]["node_id"])


def test_ids_are_unique_over_all_categories(graph):
    every = pd.concat([table["node_id"] for table in graph.nodes.values()])
    assert every.is_unique


def test_the_order_of_the_input_does_not_matter(pairs, mentions, toy, graph):
    again = build_graph(pairs.iloc[::-1], mentions.iloc[::-1], toy)
    for kind, schemas in (("nodes", NODES), ("edges", EDGES)):
        for name in schemas:
            pd.testing.assert_frame_equal(getattr(graph, kind)[name], getattr(again, kind)[name])


def test_pairs_without_phenotypes_and_mentions_make_a_graph(toy):
    graph = build_graph(pd.DataFrame([pair("a", [])]), no_mentions(), toy)
    assert len(graph.nodes["phenotype"]) == 0
    assert graph.coverage()["images"].sum() == 0
    assert graph.long_tail().empty


# --- what is wrong is said ----------------------------------------------------------------------


def test_a_mention_of_an_absent_pair_is_named(pairs, mentions, toy):
    mentions.loc[0, "pair_id"] = "d/zzz"
    with pytest.raises(PhenoLIPError, match=r"'mentions': subject 'phenolip:caption/d/zzz' is not a node"):
        build_graph(pairs, mentions, toy)


def test_an_unknown_phenotype_is_named(pairs, mentions, toy):
    pairs.at[0, "phenotypes"] = ["HP:7777777"]
    with pytest.raises(PhenoLIPError, match="HP:7777777 is not a live term"):
        build_graph(pairs, mentions, toy)


def test_a_wrong_column_is_named(pairs, mentions, toy):
    pairs.loc[0, "modality"] = "palmistry"
    with pytest.raises(PhenoLIPError, match=r"node table 'image' is not valid: .*modality.*palmistry"):
        build_graph(pairs, mentions, toy)


def test_files_come_back_equal_and_their_absence_is_named(graph, toy, tmp_path):
    graph.save(tmp_path)
    again = Graph.load(tmp_path, toy)
    for kind, schemas in (("nodes", NODES), ("edges", EDGES)):
        for name in schemas:
            pd.testing.assert_frame_equal(getattr(graph, kind)[name], getattr(again, kind)[name])
    pd.read_parquet(tmp_path / "nodes" / "image.parquet").iloc[1:].to_parquet(tmp_path / "nodes" / "image.parquet")
    with pytest.raises(PhenoLIPError, match="subject 'phenolip:image/d/a1' is not a node of category 'image'"):
        Graph.load(tmp_path, toy)
    (tmp_path / "edges" / "is_a.parquet").unlink()
    with pytest.raises(PhenoLIPError, match=r"is_a\.parquet: the graph is not whole"):
        Graph.load(tmp_path, toy)


# --- questions ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(data=st.data())
def test_questions_equal_plain_loops(toy, data):
    terms = toy.phenotypes
    shown = data.draw(st.lists(st.lists(st.sampled_from(terms), max_size=3), min_size=1, max_size=12))
    splits = data.draw(st.lists(st.sampled_from(["train", "test"]), min_size=len(shown), max_size=len(shown)))
    rows = [pair(f"{i:02d}", own, split=s) for i, (own, s) in enumerate(zip(shown, splits, strict=True))]
    graph = build_graph(pd.DataFrame(rows), no_mentions(), toy)
    for term in terms:
        below = toy.descendants(term)
        exact = [r["pair_id"] for r in rows if term in r["phenotypes"]]
        implied = [r["pair_id"] for r in rows if below & set(r["phenotypes"])]
        assert graph.images_of(term, descendants=False) == exact
        assert graph.images_of(term) == implied
        assert graph.image_counts.loc[term].tolist() == [len(exact), len(implied)]
        test = [r["pair_id"] for r in rows if r["split"] == "test" and below & set(r["phenotypes"])]
        assert graph.images_of(term, split="test") == test
    for row in rows:
        assert graph.phenotypes_of(row["pair_id"]) == sorted(set(row["phenotypes"]))
        above = set().union(*(toy.ancestors(h) for h in row["phenotypes"])) if row["phenotypes"] else set()
        assert graph.phenotypes_of(row["pair_id"], ancestors=True) == sorted(above)
    coverage = graph.coverage().set_index("hpo_id")
    for top in toy.children["HP:0000118"]:
        below = toy.descendants(top)
        occurring = {h for r in rows for h in r["phenotypes"]} & below
        implied = {a for h in occurring for a in toy.ancestors(h)} & below
        expected = [len(below), len(occurring), len(implied)]
        assert coverage.loc[top, ["phenotypes", "covered", "covered_below"]].tolist() == expected


def test_neighbours_equal_networkx(graph):
    import networkx as nx

    net = nx.MultiDiGraph()
    for predicate, table in graph.edges.items():
        net.add_edges_from((s, o, predicate) for s, o in zip(table["subject"], table["object"], strict=True))
    for table in graph.nodes.values():
        for node in table["node_id"]:
            found = graph.neighbours(node)
            out = {(p, n) for _, n, p in net.out_edges(node, keys=True)} if node in net else set()
            into = {(p, n) for n, _, p in net.in_edges(node, keys=True)} if node in net else set()
            for direction, expected in (("out", out), ("in", into)):
                rows = found[found["direction"] == direction]
                assert set(zip(rows["predicate"], rows["node_id"], strict=True)) == expected


def test_diseases_of_follows_descendants(graph, toy):
    annotations = toy.tables["annotations"]
    direct = set(annotations["disease_id"][annotations["hpo_id"] == "HP:0001627"])
    below = set(annotations["disease_id"][annotations["hpo_id"].isin(toy.descendants("HP:0001627"))])
    assert set(graph.diseases_of("HP:0001627", descendants=False)["disease_id"]) == direct
    assert set(graph.diseases_of("HP:0001627")["disease_id"]) == below
    assert direct < below


def test_the_long_tail_is_sorted_and_put_in_buckets(toy):
    rows = [pair(f"a{i}", ["HP:0001640"]) for i in range(20)]
    rows += [pair(f"b{i}", ["HP:0001744"]) for i in range(19)] + [pair(f"c{i}", ["HP:0001903"]) for i in range(4)]
    tail = build_graph(pd.DataFrame(rows), no_mentions(), toy).long_tail()
    found = list(tail[["rank", "hpo_id", "images", "bucket"]].itertuples(index=False, name=None))
    assert found == [(1, "HP:0001640", 20, "20+"), (2, "HP:0001744", 19, "5-19"), (3, "HP:0001903", 4, "1-4")]


def test_statistics_count_and_compare(graph):
    table = graph.statistics().set_index("quantity")
    assert table.loc["image-text pairs"].tolist() == ["4", "524,000"]
    assert table.loc["pairs with a phenotype", "this graph"] == "3"
    assert table.loc["phenotypes shown", "this graph"] == "3"


def test_ids_hold_no_blank():
    assert node_id("group", "an article: 1|2") == "phenolip:group/an%20article:%201%7C2"


# --- figures ------------------------------------------------------------------------------------


def test_cells_of_the_icicle_nest(graph):
    cells = graph_figures.coverage_cells(graph)
    systems = cells[cells["level"] == 1].set_index("hpo_id")
    assert systems["height"].sum() == pytest.approx(1)
    assert dict(systems["images"]) == {"HP:0001626": 3, "HP:0001871": 1}
    shown = graph.image_counts["images"] > 0
    for cell in cells[cells["hpo_id"] != ""].itertuples():
        below = graph.onto.descendants(cell.hpo_id)
        assert cell.covered == pytest.approx(sum(shown[h] for h in below) / len(below))
    for hpo_id, own in cells[cells["level"] == 2].groupby("parent"):
        assert own["height"].sum() == pytest.approx(systems.loc[hpo_id, "height"])
        assert own["top"].min() == pytest.approx(systems.loc[hpo_id, "top"])


def test_figures_say_what_they_show(graph, tmp_path):
    for name in ("a1", "a2", "b1"):
        noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    figure = graph_figures.neighbourhood(graph, "HP:0001627", tmp_path)
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert {
        "parents (1)",
        "children (2)",
        "Abnormal heart morphology\n3 images",
        "Cardiomegaly\n2 images",
        "Dextrocardia\n0 images",
        "Splenomegaly\n1 image",
    } <= set(texts)
    assert sum(len(axis.images) for axis in figure.axes) == 3
    icicle = graph_figures.coverage_icicle(graph)
    assert "cardiovascular system  3" in [text.get_text() for text in icicle.axes[0].texts]
    tail = graph_figures.long_tail(graph)
    assert [axis.get_xscale() for axis in tail.axes] == ["log", "linear"]
    assert sum(len(line.get_xdata()) for line in tail.axes[0].lines) == 3
