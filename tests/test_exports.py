"""Exports read back with other readers: csv, networkx, rdflib, tarfile, pyarrow, huggingface_hub, mlcroissant."""

import ast
import csv
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.data.images import read_image
from phenolip_lib.graph.exports import croissant, huggingface, kgx, phenobench, rdf, shards
from phenolip_lib.graph.graph import Graph, build_graph

SPAN = ["pair_id", "field", "start", "end", "hpo_id", "surface", "negated", "uncertain", "family"]


def pair(name: str, image: str, phenotypes: list[str], split: str, **changes) -> dict:
    facts = {
        "pair_id": f"set-1.0/{name}",
        "dataset": "set-1.0",
        "image": image,
        "left": 0.0,
        "top": 0.0,
        "right": 1.0,
        "bottom": 1.0,
        "caption": f'A "large"\theart, {name} | é.',
        "templated": False,
        "modality": "radiology",
        "group": f"case {name}",
        "split": split,
        "phenotypes": phenotypes,
        "asserted": True,
        "class_name": "",
        "licence": "CC-BY-4.0",
        "url": f"https://example.org/{name}",
        "article": "",
        "patient": "",
        "record_id": name,
    }
    return facts | changes


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8))
    picture = coarse.resize((60, 40), Image.Resampling.BICUBIC)
    for name in ("a.png", "b.jpg", "c.bmp"):
        picture.save(folder / name)
    return folder


@pytest.fixture
def pairs() -> pd.DataFrame:
    return pd.DataFrame(
        [
            pair("a", "a.png", ["HP:0001640"], "train"),
            pair("b", "b.jpg", ["HP:0001640", "HP:0001744"], "train", asserted=False, article="PMC1"),
            pair("c", "c.bmp", ["HP:0001744"], "test", licence="none stated"),
            pair("d", "a.png", ["HP:0001651"], "test", left=0.5, licence="CC0-1.0"),
            pair("e", "a.png", [], "test"),
        ]
    )


@pytest.fixture
def graph(pairs, toy) -> Graph:
    rows = [("set-1.0/b", "caption", 2, 15, "HP:0001640", '"large"\theart', False, True, False)]
    return build_graph(pairs, pd.DataFrame(rows, columns=SPAN), toy)


def is_free(licence: str) -> bool:
    return licence.startswith("CC")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_equal_input_gives_equal_bytes(graph, pairs, root, toy, tmp_path):
    writers = {
        "kgx": lambda folder: kgx.write(graph, folder),
        "rdf": lambda folder: rdf.write(graph, folder),
        "shards": lambda folder: shards.write(pairs, root, folder),
        "hub": lambda folder: (huggingface.write(pairs, root, folder), croissant.write(folder)),
        "phenobench": lambda folder: phenobench.write(pairs, root, toy, folder),
    }
    for name, write in writers.items():
        for attempt in ("one", "two"):
            write(tmp_path / attempt / name)
        write(tmp_path / "two" / name)  # over an older export
    first = digests(tmp_path / "one")
    assert len(first) > 10
    assert first == digests(tmp_path / "two")


# --- KGX ----------------------------------------------------------------------------------------


@pytest.fixture
def tables(graph, tmp_path) -> tuple[list[dict], list[dict]]:
    kgx.write(graph, tmp_path / "kgx")
    read = []
    for name in ("nodes", "edges"):
        with open(tmp_path / "kgx" / f"{name}.tsv", encoding="utf-8", newline="\n") as file:
            read.append(list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)))
    return tuple(read)


def test_kgx_holds_the_whole_graph(tables, graph):
    nodes, edges = tables
    assert {node["id"] for node in nodes} == {i for table in graph.nodes.values() for i in table["node_id"]}
    expected = {
        (s, f"phenolip:{name}", o)
        for name, table in graph.edges.items()
        for s, o in zip(table["subject"], table["object"], strict=True)
    }
    assert {(e["subject"], e["original_predicate"], e["object"]) for e in edges} == expected
    assert len({e["id"] for e in edges}) == len(edges)
    assert None not in {key for row in (*nodes, *edges) for key in row}  # a cell too many in a line


def test_kgx_says_who_knows_what(tables):
    """Ranges of the Biolink model; labels are asserted by a person, recognised terms mined from text."""
    nodes, edges = tables
    ends = {node["id"] for node in nodes}
    for edge in edges:
        assert {edge["subject"], edge["object"]} <= ends
        assert edge["predicate"].startswith("biolink:")
        assert re.fullmatch(r"infores:[a-z0-9]+(-[a-z0-9]+)*", edge["primary_knowledge_source"])
    shows = {e["subject"][-1] + e["object"]: e for e in edges if e["original_predicate"] == "phenolip:shows"}
    assert shows["aHP:0001640"]["agent_type"] == "manual_agent"
    assert shows["aHP:0001640"]["knowledge_level"] == "knowledge_assertion"
    assert shows["bHP:0001640"]["agent_type"] == "text_mining_agent"
    assert shows["bHP:0001640"]["primary_knowledge_source"] == "infores:set-1-0"
    mention = next(e for e in edges if e["original_predicate"] == "phenolip:mentions")
    assert (mention["supporting_text"], mention["start"], mention["end"]) == ('"large" heart', "2", "15")
    assert (mention["negated"], mention["uncertain"]) == ("false", "true")


def test_kgx_joins_lists_with_a_bar(tables, toy):
    node = next(node for node in tables[0] if node["id"] == "HP:0001640")
    assert node["category"] == "biolink:PhenotypicFeature"
    assert node["synonym"].split("|") == list(toy["HP:0001640"].synonyms)
    group = next(node for node in tables[0] if node["id"] == "phenolip:group/case%20b")
    assert (group["category"], group["xref"]) == ("biolink:Article", "PMC1")


# --- RDF and GraphML ----------------------------------------------------------------------------


def test_turtle_is_the_ontology_part(graph, toy, tmp_path):
    rdflib = pytest.importorskip("rdflib")
    rdf.write(graph, tmp_path / "rdf")
    triples = rdflib.Graph().parse(tmp_path / "rdf" / "ontology.ttl")
    obo = rdflib.Namespace("http://purl.obolibrary.org/obo/")
    found = {(str(s), str(o)) for s, o in triples.subject_objects(rdflib.RDFS.subClassOf)}
    edges = graph.edges["is_a"]
    assert found == {(rdf.purl(s), rdf.purl(o)) for s, o in zip(edges["subject"], edges["object"], strict=True)}
    assert str(triples.value(obo.HP_0001640, rdflib.RDFS.label)) == "Cardiomegaly"
    assert str(triples.value(obo.HP_0001640, obo.IAO_0000115)) == toy["HP:0001640"].definition
    in_owl = rdflib.Namespace("http://www.geneontology.org/formats/oboInOwl#")
    exact = {str(o) for o in triples.objects(obo.HP_0001640, in_owl.hasExactSynonym)}
    related = {str(o) for o in triples.objects(obo.HP_0001640, in_owl.hasRelatedSynonym)}
    assert exact == {"Enlarged heart", "Increased heart size"}
    assert related == {"CMG"}


def test_turtle_is_read_by_an_ontology_library(graph, tmp_path):
    """pronto reads OWL as RDF/XML: converted by rdflib, the classes and parents are those of the graph."""
    rdflib, pronto = pytest.importorskip("rdflib"), pytest.importorskip("pronto")
    rdf.write(graph, tmp_path / "rdf")
    rdflib.Graph().parse(tmp_path / "rdf" / "ontology.ttl").serialize(tmp_path / "hp.owl", format="pretty-xml")
    onto = pronto.Ontology(str(tmp_path / "hp.owl"), import_depth=0, encoding="utf-8")
    assert {term.id for term in onto.terms()} == set(graph.nodes["phenotype"]["node_id"])
    parents = {parent.id for parent in onto["HP:0001744"].superclasses(distance=1, with_self=False)}
    assert parents == {"HP:0001871", "HP:0001626"}


def test_graphml_comes_back_with_counts(graph, tmp_path):
    rdf.write(graph, tmp_path / "rdf")
    net = nx.read_graphml(tmp_path / "rdf" / "ontology.graphml")
    assert set(net.nodes) == set(graph.nodes["phenotype"]["node_id"])
    assert net.nodes["HP:0001640"] == {"name": "Cardiomegaly", "own_images": 2, "images": 2}
    assert net.nodes["HP:0001627"] == {"name": "Abnormal heart morphology", "own_images": 0, "images": 3}
    assert set(net.edges) == set(graph.edges["is_a"].itertuples(index=False, name=None))


# --- pictures -----------------------------------------------------------------------------------


def test_shards_hold_every_pair_of_a_split_once(pairs, root, tmp_path):
    index = shards.write(pairs, root, tmp_path / "shards", per_shard=2)
    assert index["shard"].tolist() == ["train/000000.tar", "test/000000.tar", "test/000001.tar"]
    assert index.to_dict("records") == json.loads((tmp_path / "shards" / "index.json").read_text())
    samples: dict[tuple[str, str], dict[str, bytes]] = {}
    for shard in index["shard"]:
        with tarfile.open(tmp_path / "shards" / shard) as archive:
            for member in archive:
                assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
                key, suffix = member.name.split(".", 1)
                samples.setdefault((shard.split("/")[0], key), {})[suffix] = archive.extractfile(member).read()
    found = {json.loads(files["json"])["pair_id"]: (split, files) for (split, _), files in samples.items()}
    assert len(found) == len(samples) == len(pairs)
    for row in pairs.itertuples(index=False):
        split, files = found[row.pair_id]
        assert split == row.split
        assert files["txt"].decode() == row.caption
        assert json.loads(files["json"])["phenotypes"] == row.phenotypes
    assert found["set-1.0/a"][1]["png"] == (root / "a.png").read_bytes()
    assert found["set-1.0/b"][1]["jpg"] == (root / "b.jpg").read_bytes()
    assert Image.open(io.BytesIO(found["set-1.0/c"][1]["jpg"])).format == "JPEG"
    cut = np.asarray(Image.open(io.BytesIO(found["set-1.0/d"][1]["jpg"])), dtype=float)
    assert cut.shape == (40, 30, 3)
    right = np.asarray(read_image(root, "a.png", (0.5, 0.0, 1.0, 1.0)), dtype=float)
    left = np.asarray(read_image(root, "a.png", (0.0, 0.0, 0.5, 1.0)), dtype=float)
    assert np.abs(cut - right).mean() < np.abs(cut - left).mean() / 2


def test_only_what_may_be_shared_is_written(pairs, root, tmp_path):
    index = shards.write(pairs, root, tmp_path / "shards", allowed=is_free)
    assert index["samples"].sum() == 4
    huggingface.write(pairs, root, tmp_path / "hub", allowed=is_free)
    assert "none stated" not in (tmp_path / "hub" / "README.md").read_text()
    with pytest.raises(PhenoLIPError, match="the licences are: CC-BY-4.0, CC0-1.0, none stated"):
        shards.write(pairs, root, tmp_path / "none", allowed=lambda licence: False)
    assert not (tmp_path / "none").exists()


def test_a_missing_picture_is_named_and_nothing_is_left(pairs, root, tmp_path):
    (root / "c.bmp").unlink()
    with pytest.raises(PhenoLIPError, match="set-1.0/c: image file is absent"):
        huggingface.write(pairs, root, tmp_path / "hub")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_the_hub_folder_declares_what_it_holds(pairs, root, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    huggingface.write(pairs, root, tmp_path / "hub", per_file=2)
    header = hub.DatasetCard.load(tmp_path / "hub" / "README.md").data.to_dict()
    assert header["license"] == ["cc-by-4.0", "cc0-1.0", "other"]
    assert header["size_categories"] == ["n<1K"]
    for item in header["configs"][0]["data_files"]:
        files = sorted((tmp_path / "hub").glob(item["path"]))
        table = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
        own = pairs[pairs["split"] == item["split"]].reset_index(drop=True)
        assert table["pair_id"].tolist() == own["pair_id"].tolist()
        assert table["caption"].tolist() == own["caption"].tolist()
        assert table["phenotypes"].map(list).tolist() == own["phenotypes"].tolist()
        for picture in table["image"]:
            assert Image.open(io.BytesIO(picture["bytes"])).size[1] == 40
    examples = {item["name"]: item["num_examples"] for item in header["dataset_info"]["splits"]}
    assert examples == {"train": 2, "test": 3}
    schema = pq.read_schema(files[0])
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["image"] == {"_type": "Image"}


def test_croissant_is_valid_and_reads_the_records(pairs, root, tmp_path):
    mlc = pytest.importorskip("mlcroissant")
    huggingface.write(pairs, root, tmp_path / "hub")
    croissant.write(tmp_path / "hub", url="https://example.org", cite_as="@misc{phenokg}", published="2026-01-31")
    dataset = mlc.Dataset(jsonld=str(tmp_path / "hub" / "croissant.json"))
    assert dataset.metadata.ctx.issues.errors == set()
    assert dataset.metadata.ctx.issues.warnings == set()
    assert str(dataset.metadata.ctx.conforms_to.value).endswith("croissant/1.1")
    records = {record["test/pair_id"].decode(): record for record in dataset.records("test")}
    assert set(records) == set(pairs["pair_id"][pairs["split"] == "test"])
    assert records["set-1.0/d"]["test/image"].size == (30, 40)
    assert [h.decode() if isinstance(h, bytes) else h for h in records["set-1.0/c"]["test/phenotypes"]] == [
        "HP:0001744"
    ]
    declared = {file.name: file.sha256 for file in dataset.metadata.file_objects}
    data = sorted((tmp_path / "hub" / "data").iterdir())
    assert declared == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in data}


def test_croissant_needs_a_dataset(tmp_path):
    with pytest.raises(PhenoLIPError, match="export the dataset folder first"):
        croissant.write(tmp_path)


def test_phenobench_rows_are_literals(pairs, root, toy, tmp_path):
    phenobench.write(pairs, root, toy, tmp_path / "bench")
    with open(tmp_path / "bench" / "testdata.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image_path", "caption", "full_matches"]
    test = pairs[pairs["pair_id"].isin(["set-1.0/c", "set-1.0/d"])]
    assert [row["caption"] for row in rows] == test["caption"].tolist()
    names = [[match[0] for match in ast.literal_eval(row["full_matches"])] for row in rows]
    assert names == [["Splenomegaly"], ["Dextrocardia"]]
    for row in rows:
        assert Image.open(tmp_path / "bench" / row["image_path"]).size[1] == 40
    with pytest.raises(PhenoLIPError, match="no test pair shows a phenotype"):
        phenobench.write(pairs[pairs["split"] == "train"], root, toy, tmp_path / "none")
