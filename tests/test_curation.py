"""Reading, duplicates, splits: nothing leaks and nothing disappears without a reason."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.sections import Splits
from phenolip_lib.core.union_find import UnionFind
from phenolip_lib.curation import image_step, phenokg
from phenolip_lib.curation.duplicates import fingerprint, similar_pairs
from phenolip_lib.data.images import read_image
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.data.sources import pmc_oa
from phenolip_lib.data.splits import assign_splits, leakage
from tests.test_sources_articles import article, package

SHARES = Splits(train=0.7, val=0.1, test=0.2)


def picture(seed: int, size: int = 64) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((size, size), Image.Resampling.BICUBIC)


def record(name: str, **changes) -> Record:
    facts = {
        "record_id": name,
        "dataset": "d",
        "image": f"{name}.png",
        "modality": "radiology",
        "group": name,
        "licence": "CC0-1.0",
        "url": "",
        "caption": f"Radiograph {name} with enlarged heart.",
    }
    return Record(**(facts | changes))


# --- images -------------------------------------------------------------------------------------


def test_a_box_crops_fractions(tmp_path):
    picture(0, 100).save(tmp_path / "a.png")
    assert read_image(tmp_path, "a.png", (0.1, 0.2, 0.6, 1.0)).size == (50, 80)


def test_bad_images_give_a_reason(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    picture(0).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:200])
    Image.new("RGB", (3, 3)).save(tmp_path / "dot.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    for name, reason in [
        ("none.png", "absent"),
        ("text.png", "unreadable"),
        ("cut.png", "unreadable"),
        ("dot.png", "too small"),
        ("bomb.png", "too large"),
        ("../x.png", "leads out"),
    ]:
        with pytest.raises(PhenoLIPError, match=reason):
            read_image(tmp_path, name)


# --- duplicates ---------------------------------------------------------------------------------


def test_near_copies_are_found_and_others_are_not():
    originals = [picture(seed, 128) for seed in range(12)]
    brighter = originals[3].point(lambda v: int(v * 0.9) + 5)
    smaller = originals[7].resize((90, 90)).resize((128, 128))
    bits, small = (np.stack(x) for x in zip(*map(fingerprint, [*originals, brighter, smaller]), strict=True))
    assert {(i, j) for i, j, _ in similar_pairs(bits, small, 24, 0.95, block=5)} == {(3, 12), (7, 13)}


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30))
def test_union_find_equals_a_graph_search(edges):
    sets = UnionFind()
    for a, b in edges:
        sets.union(a, b)
    neighbours = {i: {i} for i in range(21)}
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    for start in range(21):
        seen, stack = {start}, [start]
        while stack:
            stack += neighbours[stack.pop()] - seen
            seen |= set(stack)
        assert sets.find(start) == min(seen)


# --- splits -------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 40), min_size=1, max_size=200), st.integers(0, 3))
def test_no_group_is_ever_in_two_splits(groups, seed):
    table = pd.DataFrame({"group": [f"g{g}" for g in groups]})
    table["split"] = assign_splits(table["group"], pd.Series(["d"] * len(table)), SHARES, seed)
    assert leakage(table, "group") == []
    assert set(table["split"]) <= {"train", "val", "test"}


def test_shares_are_kept_in_every_data_set():
    groups = pd.Series([f"g{i}" for i in range(1000)])
    strata = pd.Series(["a"] * 800 + ["b"] * 200)
    split = assign_splits(groups, strata, SHARES, 0)
    for name in "ab":
        assert (split[strata == name] == "test").mean() == pytest.approx(0.2, abs=0.01)


def test_leakage_is_noticed():
    table = pd.DataFrame({"group": ["a", "a", "b"], "split": ["train", "test", "val"]})
    assert leakage(table, "group") == ["a"]


# --- the whole build ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(params):
    """In this process, and without the figure-type filter: the test pictures are coloured noise."""
    return params.with_overrides({"phenokg.engine": "serial", "phenokg.min_medical": 0.0}).phenokg


@pytest.fixture
def source(tmp_path):
    for i in range(40):
        picture(i).save(tmp_path / f"r{i}.png")
    picture(5).point(lambda v: min(v + 6, 255)).save(tmp_path / "copy.png")
    (tmp_path / "broken.png").write_text("x")
    records = [record(f"r{i}") for i in range(40)]
    records[1] = record("r1", caption="", labels=("HP:0001744",))
    records[2] = record("r2", caption="")
    return tmp_path, [*records, record("copy", group="another article"), record("broken"), record("gone"), record("r0")]


def test_every_record_is_kept_or_has_a_reason(source, toy, settings):
    root, records = source
    graph = phenokg.build(records, root, toy, settings)
    reasons = dict(zip(graph.quarantine["record_id"], graph.quarantine["reason"], strict=True))
    assert reasons == {
        "r0": "record id occurs twice",
        "r2": "neither caption nor label",
        "broken": "image is unreadable: UnidentifiedImageError",
        "gone": "image file is absent",
        "r5": "duplicate of copy",
    }
    assert len(graph.pairs) + len(reasons) == len(records)
    assert list(graph.steps["out"])[-1] == len(graph.pairs)


def test_copies_and_their_labels_go_to_one_group(source, toy, settings):
    """A copy in a third article ties that article's other pictures to the same split."""
    root, records = source
    extra = [
        record("r5b", image="r5.png", group="third", labels=("HP:0001744",)),
        record("other", image="r39.png", group="third"),
    ]
    pairs = phenokg.build([*records[:39], records[40], *extra], root, toy, settings).pairs.set_index("pair_id")
    assert pairs.loc["copy", "group"] == pairs.loc["other", "group"]
    assert pairs.loc["copy", "phenotypes"] == ["HP:0001744"]


@pytest.mark.parametrize("kind", ["group", "article", "patient"])
@pytest.mark.parametrize("refused", [{}, {"licence": "CC-BY-NC-4.0"}, {"image": "broken.png"}])
def test_records_that_share_an_id_share_a_split_also_through_a_refused_one(
    source, toy, settings, kind, refused, caplog
):
    """Two groups of which a third record knows that they are one patient's."""
    root, records = source
    link = record("link", **({"image": "r38.png", "group": "g2", "patient": "p", "article": "a"} | refused))
    first = record("first", image="r36.png", group="g1", patient="p")
    own = {"group": {"group": "g2"}, "article": {"article": "a"}, "patient": {"patient": "p"}}[kind]
    last = record("last", **({"image": "r37.png", "group": "g3"} | own))
    wanted = settings.model_copy(update={"use": "commercial"})
    with caplog.at_level("INFO", logger="phenolip"):
        kg = phenokg.build([*records[:30], last, link, first], root, toy, wanted)
    pairs = kg.pairs.set_index("pair_id")
    assert ("link" in pairs.index) == (not refused)
    assert pairs.loc["first", "group"] == pairs.loc["last", "group"] == "g1"
    assert pairs["group"].drop(["first", "last", "link"], errors="ignore").tolist() == [
        name for name in pairs.index if name.startswith("r")
    ]
    assert len(phenokg.build(records[:30], root, toy, wanted).pairs) == 29


def test_of_copies_one_with_a_caption_is_kept(source, toy, settings):
    """Else the copy without words would go for want of a caption, and the picture with it."""
    root, records = source
    mute = record("a-copy", image="copy.png", caption="")
    pairs = phenokg.build([mute, *records[:39]], root, toy, settings).pairs.set_index("pair_id")
    assert pairs.loc["r5", "caption"] == "Radiograph r5 with enlarged heart."
    assert "a-copy" not in pairs.index


def test_labels_become_a_templated_caption_and_captions_are_linked(source, toy, settings):
    root, records = source
    pairs = phenokg.build(records, root, toy, settings).pairs.set_index("pair_id")
    assert pairs.loc["r1", "templated"]
    assert "spleen" in pairs.loc["r1", "caption"].lower()
    assert pairs.loc["r1", "phenotypes"] == ["HP:0001744"]
    assert pairs.loc["r3", "phenotypes"] == ["HP:0001640"]
    assert not pairs.loc["r3", "asserted"]


def test_the_graph_answers_for_the_pairs(source, toy, settings):
    root, records = source
    kg = phenokg.build(records, root, toy, settings)
    shown = kg.pairs.explode("phenotypes").groupby("phenotypes")["pair_id"].apply(sorted).to_dict()
    assert {h: kg.graph.images_of(h, descendants=False) for h in shown} == shown
    captions = kg.pairs.set_index("pair_id")["caption"]
    spans = kg.mentions[kg.mentions["field"] == "caption"]
    assert len(spans)
    assert all(captions[m.pair_id][m.start : m.end] == m.surface for m in spans.itertuples())


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_every_engine_builds_the_same(source, toy, settings, engine, request):
    if engine == "ray":
        request.getfixturevalue("ray_started")
    root, records = source
    plain = phenokg.build(records, root, toy, settings)
    other = phenokg.build(records, root, toy, settings.model_copy(update={"engine": engine, "batch_size": 7}))
    for name in ("pairs", "mentions", "quarantine", "steps"):
        pd.testing.assert_frame_equal(getattr(plain, name), getattr(other, name))


def test_a_second_run_reads_no_picture_again(source, toy, settings, tmp_path, monkeypatch):
    root, records = source
    cache = tmp_path / "cache"
    first = phenokg.build(records, root, toy, settings, cache)
    monkeypatch.setattr(image_step, "read_image", lambda *_: pytest.fail("read again"))
    second = phenokg.build(records, root, toy, settings, cache)
    pd.testing.assert_frame_equal(first.pairs, second.pairs)
    monkeypatch.undo()
    picture(99).save(root / "r9.png")  # a changed file is read anew
    third = phenokg.build(records, root, toy, settings, cache)
    assert third.pairs["pair_id"].tolist() == first.pairs["pair_id"].tolist()
    assert not (third.pairs.loc[third.pairs["pair_id"] == "r9", "image"]).empty


def test_licences_decide_what_is_admitted(source, toy, settings):
    root, records = source
    records = [*records[:30], record("nc", image="r31.png", licence="CC-BY-NC-4.0")]
    kg = phenokg.build(records, root, toy, settings.model_copy(update={"use": "commercial"}))
    assert "nc" not in set(kg.pairs["pair_id"])
    assert "CC-BY-NC-4.0 does not allow commercial" in set(kg.quarantine["reason"])
    assert "nc" in set(phenokg.build(records, root, toy, settings).pairs["pair_id"])


def test_label_names_are_resolved_and_unknown_ones_told(source, toy, settings):
    root, records = source
    names = record("n", image="r35.png", label_names=("Splenomegaly", "Big nonsense"), labels=("HP:9999999",))
    kg = phenokg.build([*records[:30], names], root, toy, settings)
    assert kg.pairs.set_index("pair_id").loc["n", "phenotypes"] == ["HP:0001744"]
    told = kg.quarantine[kg.quarantine["record_id"] == "n"]["reason"].tolist()
    release = toy.release
    assert told == [f"'Big nonsense' names no phenotype of HPO {release}", f"HP:9999999 is not in HPO {release}"]


def test_what_a_source_could_not_use_is_in_the_quarantine(source, toy, settings):
    root, records = source
    kg = phenokg.build([*records[:30], Reject("x", "source", "row 7 has no image")], root, toy, settings)
    assert ("x", "source", "row 7 has no image") in set(kg.quarantine.itertuples(index=False, name=None))


def test_negated_uncertain_and_family_findings_are_mentions_but_no_links(source, toy, settings):
    root, records = source
    records[4] = record("r4", caption="No splenomegaly. Possible cardiomegaly. His mother had splenomegaly.")
    kg = phenokg.build(records, root, toy, settings)
    assert kg.pairs.set_index("pair_id").loc["r4", "phenotypes"] == []
    own = kg.mentions[kg.mentions["pair_id"] == "r4"]
    assert own[["negated", "uncertain", "family"]].values.tolist() == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_nothing_usable_says_why(tmp_path, toy, settings):
    with pytest.raises(PhenoLIPError, match=r"no usable record is left; the reasons are: image file is absent \(2\)"):
        phenokg.build([record("a"), record("b")], tmp_path, toy, settings)


def test_an_article_becomes_linked_panels(tmp_path, toy, settings):
    """From a package of PMC Open Access to pairs: figure, panels, chunks, links, licence, group."""
    figure = Image.new("RGB", (420, 200), "white")
    figure.paste(picture(1, 200), (0, 0))
    figure.paste(picture(2, 200), (220, 0))
    buffer = io.BytesIO()
    figure.save(buffer, "PNG")
    body = (
        '<body><p>As <xref ref-type="fig" rid="f1">Figure 1</xref> shows, with anemia.</p><fig id="f1"><label>1</label>'
        "<caption><p>(a) Large spleen. (b) No cardiomegaly; large spleen.</p></caption>"
        '<graphic xlink:href="x.g001"/></fig></body>'
    )
    package(tmp_path / "pmc-oa" / "PMC123.tar.gz", {"a.nxml": article(body), "x.g001.png": buffer.getvalue()})
    kg = phenokg.build(pmc_oa.records(tmp_path), tmp_path, toy, settings.model_copy(update={"link": "caption"}))
    assert kg.pairs["pair_id"].tolist() == ["pmc-oa/PMC123/f1#a", "pmc-oa/PMC123/f1#b"]
    assert kg.pairs["phenotypes"].tolist() == [["HP:0001744"], ["HP:0001744"]]
    assert set(kg.pairs["group"]) == set(kg.pairs["article"]) == {"PMC123"}
    assert set(kg.pairs["licence"]) == {"CC-BY-4.0"}
    assert kg.pairs["right"].iloc[0] < 0.5 < kg.pairs["left"].iloc[1]
    assert kg.graph.images_of("HP:0001744") == kg.pairs["pair_id"].tolist()
