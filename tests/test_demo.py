"""The demo's answers: ranking, calibration, heat maps, similar pictures, and what it refuses."""

import asyncio
import base64
import math
import os

import gradio as gr
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phenolip_lib.apps.demo import page
from phenolip_lib.apps.demo import source as sources
from phenolip_lib.apps.demo.app import Session, uploads_only
from phenolip_lib.apps.demo.assistant import Assistant, View
from phenolip_lib.apps.demo.candidates import Candidates, system_paths
from phenolip_lib.apps.demo.guard import Headers, OneLine, telling
from phenolip_lib.apps.demo.overlay import data_uri, overlay
from phenolip_lib.apps.demo.uploads import read_upload, split_words, sweep
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import write_parquet
from phenolip_lib.models import heatmaps
from phenolip_lib.models.phenolip import PhenoLIP
from phenolip_lib.ontology.ontology import PHENOTYPIC_ABNORMALITY
from phenolip_lib.ontology.wordings import RANKS
from tests.conftest import ROOT
from tests.test_encoders import tiny_checkpoint

IDS = ["HP:0001640", "HP:0001651", "HP:0001744", "HP:0001903"]
HEART, BLOOD = "HP:0001626", "HP:0001871"
COLORS = {
    "HP:0001640": (200, 40, 40),
    "HP:0001651": (40, 200, 40),
    "HP:0001744": (40, 40, 200),
    "HP:0001903": (200, 200, 40),
}
WITHHELD = "CC-BY-NC-ND-4.0"


def refused(match, function, *args, **options):
    with pytest.raises(PhenoLIPError, match=match) as error:
        function(*args, **options)
    assert "\n" not in str(error.value)


def make_source(root, n=90):
    """Pictures of one colour a phenotype with noise; one in five with two phenotypes, one in three not to be shown."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    rows = []
    for i in range(n):
        own = sorted(rng.choice(IDS, 2 if i % 5 == 0 else 1, replace=False))
        color = np.mean([COLORS[hpo_id] for hpo_id in own], axis=0) + rng.normal(0, 70, 3)
        pixels = np.clip(rng.normal(color, 60, (40, 40, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{i}.png")
        rows.append(
            {
                "pair_id": f"toy/{i}",
                "dataset": "toy",
                "image": f"images/{i}.png",
                "left": 0.0,
                "top": 0.0,
                "right": 1.0,
                "bottom": 1.0,
                "caption": f"caption {i} <b>",
                "templated": False,
                "group": f"g{i // 2}",
                "split": ("train", "val", "test")[i // 2 % 3],
                "phenotypes": own,
                "licence": WITHHELD if i % 3 == 0 else "CC0-1.0",
                "url": "",
            }
        )
    return pd.DataFrame(rows)


def make_assistant(folder, toy):
    """A tiny model whose candidates have directions of their own, and a prepared source."""
    tiny_checkpoint(folder / "model")
    model = PhenoLIP.load(folder / "model", toy, "cpu")
    pairs = make_source(folder / "data")
    train = pairs[pairs["split"] == "train"]
    images = sources.embed_pairs(model, train, folder / "data")
    alone = [own[0] if len(own) == 1 else "" for own in train["phenotypes"]]
    vectors = np.stack([images[np.array(alone) == hpo_id].mean(axis=0) for hpo_id in IDS]) - images.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    candidates = Candidates(toy, IDS, vectors.astype(np.float32))
    prepared = sources.prepare("toy", pairs, folder / "data", model, candidates)
    return Assistant(model, candidates, prepared, 64, "tiny"), pairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def made(folder, toy):
    return make_assistant(folder, toy)


@pytest.fixture(scope="module")
def assistant(made):
    return made[0]


@pytest.fixture(scope="module")
def pairs(made):
    return made[1]


@pytest.fixture(scope="module")
def picture():
    """Wider than high."""
    return Image.fromarray(np.random.default_rng(3).integers(0, 255, (50, 90, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def view(assistant, picture):
    return assistant.look(picture)


# --- ranking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["", HEART, BLOOD])
def test_probabilities_are_the_softmax_of_scale_times_cosine_over_what_is_listed(assistant, view, picture, system):
    table = assistant.rank(view, system)
    image = assistant.model.embed_images(picture)[0]
    own = [hpo_id for hpo_id in IDS if not system or system in assistant.candidates.onto.ancestors(hpo_id)]
    assert sorted(table["hpo_id"]) == own
    vectors = dict(zip(IDS, assistant.candidates.vectors, strict=True))
    cosine = {h: sum(float(a) * float(b) for a, b in zip(vectors[h], image, strict=True)) for h in own}
    total = sum(math.exp(assistant.source.calibration.scale * c) for c in cosine.values())
    expected = [math.exp(assistant.source.calibration.scale * cosine[h]) / total for h in table["hpo_id"]]
    np.testing.assert_allclose(table["probability"], expected, rtol=1e-4)
    assert table["probability"].sum() == pytest.approx(1)
    assert table["cosine"].is_monotonic_decreasing


def test_systems_have_the_candidates_below_them(assistant):
    assert assistant.candidates.systems() == [
        (BLOOD, "Abnormality of blood and blood-forming tissues", 2),
        (HEART, "Abnormality of the cardiovascular system", 3),
    ]
    refused("HP:0001744 is no organ system with candidates", assistant.candidates.listed, "HP:0001744")


def test_a_term_of_two_systems_has_the_path_of_the_chosen_one(assistant, view):
    for system, first in (
        (HEART, "Abnormality of the cardiovascular system"),
        (BLOOD, "Abnormality of blood and blood-forming tissues"),
    ):
        row = assistant.rank(view, system).set_index("hpo_id").loc["HP:0001744"]
        assert row["path"] == (first, "Splenomegaly")


def test_paths_are_shortest_ones_of_the_whole_ontology(full):
    edges = nx.DiGraph(list(zip(full.tables["edges"]["parent"], full.tables["edges"]["child"], strict=True)))
    systems = full.children[PHENOTYPIC_ABNORMALITY]
    for hpo_id in full.phenotypes[::97]:
        paths = system_paths(full, hpo_id)
        assert {path[0] for path in paths} == {s for s in systems if nx.has_path(edges, s, hpo_id)}
        for path in paths:
            assert path[-1] == hpo_id
            assert all(edges.has_edge(*step) for step in zip(path, path[1:], strict=False))
            assert len(path) - 1 == nx.shortest_path_length(edges, path[0], hpo_id)


def test_words_take_their_place_by_cosine_and_change_no_probability(assistant, view, toy):
    plain = assistant.rank(view).set_index("hpo_id")["probability"]
    synonym = next(s.text for s in toy["HP:0001744"].scoped_synonyms if s.scope in RANKS)
    table = assistant.rank(view, words=["large heart", synonym, "HP:0001640"])
    assert table["cosine"].is_monotonic_decreasing
    assert len(table) == len(IDS) + 1  # the synonym and the id are candidates already
    named = table[table["hpo_id"] != ""].set_index("hpo_id")
    pd.testing.assert_series_equal(named["probability"].loc[plain.index], plain)
    (free,) = table[table["hpo_id"] == ""].itertuples(index=False)
    assert free.name == "large heart"
    assert free.path == ()
    assert math.isnan(free.probability)
    assert set(table.loc[table["share_below"].notna(), "hpo_id"]) == {"", "HP:0001744", "HP:0001640"}


def test_the_share_of_a_text_counts_training_pictures_with_a_lower_cosine(assistant, view, pairs, folder):
    (free,) = assistant.rank(view, words=["large"]).query("hpo_id == ''").itertuples(index=False)
    text = assistant.vector("large")
    train = pairs[pairs["split"] == "train"]
    cosines = [assistant.model.embed_images(folder / "data" / file)[0] @ text for file in train["image"]]
    assert free.share_below == pytest.approx(np.mean([cosine < free.cosine for cosine in cosines]))
    assert 0 < free.share_below < 1


def test_words_outside_of_the_chosen_system_are_listed_without_probability(assistant, view):
    table = assistant.rank(view, HEART, ["HP:0001903"]).set_index("hpo_id")
    assert math.isnan(table["probability"]["HP:0001903"])
    assert table["probability"].sum() == pytest.approx(1)
    refused("HP:9999999 is not in HPO", assistant.rank, view, words=["HP:9999999"])


def test_a_text_is_embedded_with_the_prompts_of_phenotypes(assistant):
    prompts = ["{}", "a medical image showing {}", "{} is present", "findings: {}"]
    mean = assistant.model.embed_texts([prompt.format("large heart") for prompt in prompts]).mean(axis=0)
    np.testing.assert_allclose(assistant.vector("large heart"), mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_array_equal(assistant.vector("cardiomegaly"), assistant.candidates.vectors[0])


# --- calibration ----------------------------------------------------------------------------------


def by_hand(assistant, pairs, root):
    """Cosines, classes and groups of the validation pictures with one phenotype, one by one."""
    val = pairs[(pairs["split"] == "val") & (pairs["phenotypes"].map(len) == 1)]
    images = np.stack([assistant.model.embed_images(root / file)[0] for file in val["image"]])
    truth = np.array([IDS.index(own[0]) for own in val["phenotypes"]])
    return (images @ assistant.candidates.vectors.T).astype(float), truth, val["group"].to_numpy()


def nll(scale, cosines, truth):
    return -np.mean(
        [
            row[t] * scale - math.log(sum(math.exp(scale * c) for c in row))
            for row, t in zip(cosines, truth, strict=True)
        ]
    )


def test_the_scale_is_the_best_one_on_validation_pictures_with_one_phenotype(assistant, pairs, folder):
    cosines, truth, _ = by_hand(assistant, pairs, folder / "data")
    found = assistant.source.calibration
    grid = np.geomspace(0.1, 100, 300)
    best = grid[np.argmin([nll(scale, cosines, truth) for scale in grid])]
    assert found.scale == pytest.approx(best, rel=0.03)
    assert 0.2 < found.scale < 90  # within its bounds, so that the comparison says something
    assert (found.n_images, found.n_candidates) == (len(truth), 4)
    assert assistant.scale == found.scale


def test_the_calibration_error_is_of_groups_the_scale_was_not_fitted_on(assistant, pairs, folder):
    cosines, truth, groups = by_hand(assistant, pairs, folder / "data")
    names = sorted(set(groups))
    total, hits = np.zeros(15), 0
    for i, (row, t) in enumerate(zip(cosines, truth, strict=True)):
        fold = names.index(groups[i]) % 5
        others = [j for j in range(len(truth)) if names.index(groups[j]) % 5 != fold]
        scale = sources.fit_scale(cosines[others], truth[others])
        p = np.exp(scale * row) / np.exp(scale * row).sum()
        hits += p.argmax() == t
        total[min(14, max(0, math.ceil(p.max() * 15) - 1))] += (p.argmax() == t) - p.max()
    assert assistant.source.calibration.ece == pytest.approx(np.abs(total).sum() / len(truth), abs=1e-4)
    assert assistant.source.calibration.accuracy == pytest.approx(hits / len(truth))


def test_no_test_picture_is_read(assistant, pairs, folder, tmp_path):
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    kept = pairs[pairs["split"] != "test"]
    for file in kept["image"]:
        (root / file).write_bytes((folder / "data" / file).read_bytes())
    changed = pairs.copy()
    changed.loc[changed["split"] == "test", "phenotypes"] = pd.Series([["HP:0001640"]] * len(pairs))
    found = sources.prepare("toy", changed, root, assistant.model, assistant.candidates)
    assert found.calibration == assistant.source.calibration
    (root / kept["image"].iat[0]).unlink()
    first = kept["image"].iat[0]
    refused(
        f"{first}: image file is absent; the pairs and the folder",
        sources.prepare,
        "toy",
        pairs,
        root,
        assistant.model,
        assistant.candidates,
    )


def test_too_few_validation_pictures_leave_the_models_own_scale(assistant, pairs, folder):
    few = pairs[(pairs["split"] != "val") | (np.arange(len(pairs)) < 14)]
    found = sources.prepare("toy", few, folder / "data", assistant.model, assistant.candidates)
    assert found.calibration is None
    alone = Assistant(assistant.model, assistant.candidates, found)
    assert alone.scale == assistant.model.logit_scale
    assert "Uncalibrated" in page.probability_note(alone, 4)


def test_the_page_says_what_was_calibrated(assistant):
    found = assistant.source.calibration
    note = page.probability_note(assistant, 4)
    assert f"Calibrated on {found.n_images} validation pictures" in note
    assert f"error {found.ece:.3f}" in note
    assert "not calibrated" not in note
    assert "within one organ system it is not calibrated" in page.probability_note(assistant, 3)


def test_embeddings_are_kept_until_a_picture_changes(assistant, pairs, folder, tmp_path, monkeypatch):
    train = pairs[pairs["split"] == "train"].head(4).reset_index(drop=True)
    (tmp_path / "images").mkdir()
    for file in train["image"]:
        (tmp_path / file).write_bytes((folder / "data" / file).read_bytes())
    first = sources.embed_pairs(assistant.model, train, tmp_path, tmp_path / "cache")
    counted = []
    embed = assistant.model.embed_images
    monkeypatch.setattr(assistant.model, "embed_images", lambda images: counted.append(len(images)) or embed(images))
    np.testing.assert_array_equal(sources.embed_pairs(assistant.model, train, tmp_path, tmp_path / "cache"), first)
    assert counted == []
    Image.new("RGB", (40, 40), "red").save(tmp_path / train["image"].iat[0])
    again = sources.embed_pairs(assistant.model, train, tmp_path, tmp_path / "cache")
    assert counted == [4]
    assert not np.allclose(again[0], first[0])
    np.testing.assert_allclose(again[1:], first[1:], atol=1e-6)
    half = train.assign(right=0.5)
    assert not np.allclose(sources.embed_pairs(assistant.model, half, tmp_path, tmp_path / "cache")[1], first[1])


# --- similar pictures -----------------------------------------------------------------------------


def test_pictures_that_may_not_be_passed_on_are_counted_and_never_returned(assistant, view, pairs, folder):
    train = pairs[pairs["split"] == "train"].reset_index(drop=True)
    files = [folder / "data" / file for file in train["image"]]
    cosine = [float(assistant.model.embed_images(file)[0] @ view.embedding) for file in files]
    order = sorted(range(len(train)), key=lambda i: -cosine[i])
    for k in (1, 4, 1000):
        expected, passed, nearer = [], 0, 0
        for i in order:
            if train["licence"].iat[i] == WITHHELD:
                passed += 1
            elif len(expected) < k:
                expected.append(train["caption"].iat[i])
                nearer = passed
        found, withheld = assistant.similar(view, k)
        assert [item.caption for item in found] == expected
        assert withheld == nearer
    assert passed > 0
    withheld = np.flatnonzero(train["licence"] == WITHHELD)[0]
    refused("its licence CC-BY-NC-ND-4.0 does not allow", assistant.source.gallery.picture, withheld)


def test_a_source_without_a_picture_to_show_shows_none(assistant, view, pairs, folder):
    train = pairs[pairs["split"] == "train"].assign(licence="NOASSERTION")
    gallery = sources.Gallery(train, assistant.source.gallery.embeddings, folder / "data")
    assert gallery.nearest(view.embedding, 3) == ([], len(train))


def test_a_text_finds_pictures_by_cosine(assistant):
    found, _ = assistant.search("Cardiomegaly", 3)
    cosines = assistant.source.gallery.embeddings @ assistant.candidates.vectors[0]
    shown = sorted(cosines[assistant.source.gallery.shown], reverse=True)
    np.testing.assert_allclose([item.cosine for item in found], shown[:3])


def test_a_picture_far_from_all_training_pictures_is_called_unlike(assistant, pairs, folder):
    known = folder / "data" / pairs.loc[pairs["split"] == "train", "image"].iat[0]
    assert not assistant.unlike(assistant.look(Image.open(known)))
    gallery = assistant.source.gallery.embeddings
    away = -gallery.mean(axis=0)
    assert assistant.unlike(View(Image.new("RGB", (20, 20)), away / np.linalg.norm(away), None))
    val = [assistant.look(Image.open(folder / "data" / file)) for file in pairs.loc[pairs["split"] == "val", "image"]]
    assert np.mean([assistant.unlike(view) for view in val]) <= 0.1


# --- heat maps ------------------------------------------------------------------------------------


def test_heat_maps_are_those_of_the_evaluation_at_the_pictures_size(assistant, view, picture):
    assert assistant.map_names == ["contrast", "gradient", "similarity"]
    cells = heatmaps.all_maps(assistant._student, view.features, assistant.candidates.vectors)
    for name in assistant.map_names:
        heat = assistant.heat(view, "HP:0001744", name)
        assert heat.shape == (50, 90)
        expected = heatmaps.to_picture(cells[name][0, 2], (50, 90), assistant.model.towers.fit)
        np.testing.assert_allclose(heat, expected, atol=1e-5)
        assert heat.std() > 0
    assert not np.allclose(assistant.heat(view, "large heart", "similarity"), heat)


def test_a_large_picture_is_displayed_smaller_and_mapped_at_that_size(assistant):
    view = assistant.look(Image.new("RGB", (2000, 1000), "gray"))
    assert view.picture.size == (640, 320)
    assert assistant.heat(view, "HP:0001744", "contrast").shape == (320, 640)


def test_a_tower_without_maps_is_said(assistant, view, picture, monkeypatch):
    def no_map(*args):
        raise PhenoLIPError("features of shape (1, 3) are no map")

    monkeypatch.setattr(heatmaps, "feature_maps", no_map)
    blind = assistant.look(picture)
    np.testing.assert_array_equal(blind.embedding, view.embedding)
    refused("has no feature map, so there are no heat maps", assistant.heat, blind, "HP:0001744", "contrast")
    refused(
        "no map 'attention'; there are contrast, gradient, similarity", assistant.heat, view, "HP:0001744", "attention"
    )


def test_the_overlay_leaves_the_lowest_places_as_they_are(picture):
    heat = np.zeros((50, 90), np.float32)
    np.testing.assert_array_equal(np.asarray(overlay(picture, heat + 3)), np.asarray(picture))
    heat[10:20, 10:20] = 5
    found = np.asarray(overlay(picture, heat)).astype(float)
    own = np.asarray(picture).astype(float)
    np.testing.assert_array_equal(found[heat == 0], own[heat == 0])
    yellow = np.array([253, 231, 37])  # the end of viridis
    np.testing.assert_allclose(found[heat == 5], 0.3 * own[heat == 5] + 0.7 * yellow, atol=1)


# --- uploads --------------------------------------------------------------------------------------


def test_a_picture_is_read_upright_and_its_file_is_gone(tmp_path):
    image = Image.new("RGB", (30, 20), "red")
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_upload(tmp_path / "a.jpg").size == (20, 30)
    assert list(tmp_path.iterdir()) == []
    refused("The upload is gone", read_upload, tmp_path / "a.jpg")


def test_what_is_no_bearable_picture_is_refused_in_one_line_and_gone(tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "tiny.png")
    (tmp_path / "long.png").write_bytes(bytes(2000))
    (tmp_path / "page.ps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n")
    refused("notes.png was not read: image is unreadable", read_upload, tmp_path / "notes.png")
    refused("huge.png was not read: image is too large", read_upload, tmp_path / "huge.png")
    refused("tiny.png was not read: image is too small: 4 x 4", read_upload, tmp_path / "tiny.png")
    refused("long.png was not read: it has .* MB, and at most", read_upload, tmp_path / "long.png", 1000)
    refused("page.ps was not read: image is unreadable", read_upload, tmp_path / "page.ps")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_an_upload_goes_with_it_and_what_nobody_read_is_swept(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    for name in ("read", "refused", "old", "new", "empty"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "read" / "a.png")
    (tmp_path / "refused" / "a.png").write_text("no picture")
    read_upload(tmp_path / "read" / "a.png")
    refused("unreadable", read_upload, tmp_path / "refused" / "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new", "old"]
    for name in ("old", "new"):
        (tmp_path / name / "b.png").write_bytes(b"x")
    for path in (tmp_path / "old" / "b.png", tmp_path / "old", tmp_path / "empty"):
        os.utime(path, (0, 0))
    sweep(tmp_path, 60)
    assert not (tmp_path / "old" / "b.png").exists()
    assert (tmp_path / "new" / "b.png").exists()
    assert not (tmp_path / "empty").exists()
    sweep(tmp_path, -60)
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_fails_is_one_line(caplog, capsys):
    with caplog.at_level("INFO", "phenolip"):
        try:
            raise ValueError("value\nof another kind " * 50)
        except ValueError:
            OneLine().print_exc()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("demo: a request failed (ValueError: value of another kind")
    assert len(said) < 250
    assert "\n" not in said
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("started", [False, True])
def test_a_failure_below_is_one_line_and_an_answer(started, caplog):
    sent = []

    async def app(scope, receive, send):
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError(999)

    async def send(message):
        sent.append(message)

    with caplog.at_level("INFO", "phenolip"):
        asyncio.run(Headers(app)({"type": "http"}, None, send))
    assert [record.getMessage() for record in caplog.records] == ["demo: a request failed (KeyError: 999)"]
    assert sent[0]["status"] == (200 if started else 400)
    assert b"x-content-type-options" in dict(sent[0]["headers"])
    assert len(sent) == (1 if started else 2)


def test_a_full_queue_says_when_to_come_back():
    async def push(state):
        return state == "success", "Queue is full.", state

    told = telling(push, "Please try again in 60 seconds.")
    assert asyncio.run(told("queue_full")) == (False, "Please try again in 60 seconds.", "queue_full")
    assert asyncio.run(told("success")) == (True, "Queue is full.", "success")


def test_words_are_separated_and_limited():
    assert split_words(" large  heart, broken bone;x\n large heart,,") == ["large heart", "broken bone", "x"]
    assert split_words(" \n") == []
    refused("9 texts; at most 8", split_words, ",".join("abcdefghi"))
    refused("a text may have 200 characters", split_words, "x" * 201)


def test_addresses_are_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    fetched = []
    file = gr.File(render=False)

    async def fetch(name):
        fetched.append(name)
        return name

    file.async_move_resource_to_block_cache = fetch
    guarded = uploads_only(file).async_move_resource_to_block_cache
    for address in ("http://example.org/a.png", "HTTPS://example.org/a.png", "ftp://example.org/a.png"):
        with pytest.raises(gr.Error, match="Addresses are not fetched"):
            asyncio.run(guarded(address))
    assert asyncio.run(guarded("/uploads/a.png")) == "/uploads/a.png"
    assert fetched == ["/uploads/a.png"]


# --- the page -------------------------------------------------------------------------------------


def uploaded(picture, folder, name="mine.png"):
    picture.save(folder / name)
    return str(folder / name)


def test_words_that_cannot_be_asked_do_not_lose_the_picture(assistant, picture, tmp_path):
    session = Session(assistant)
    field, view, chosen, status, shown, ranking, similar = session.take(
        uploaded(picture, tmp_path), "", "HP:9999999", "contrast"
    )
    assert (field, chosen, ranking) == (None, "", "")
    assert 'role="alert">HP:9999999 is not in HPO' in status
    assert 'alt="The uploaded picture"' in shown
    assert 'class="pictures"' in similar
    chosen, status, shown, ranking = session.rerank(view, "", "", "contrast", chosen)
    assert chosen == assistant.rank(view)["hpo_id"][0]
    assert f"Heat map of {assistant.candidates.onto[chosen].name}" in shown
    # The chosen row stays chosen while it is listed, and gives way where it is not.
    assert session.rerank(view, "", "large", "off", "HP:0001903")[0] == "HP:0001903"
    assert session.rerank(view, HEART, "large", "off", "HP:0001903")[0] != "HP:0001903"
    assert session.rerank(view, "", "large", "off", "large")[0] == "large"


def test_a_picture_that_was_forgotten_is_asked_for_again(assistant):
    session = Session(assistant)
    assert session.rerank(None, "", "", "contrast", "")[1] == ""
    assert "No picture is in memory" in session.rerank(None, "", "", "contrast", "HP:0001640")[1]


def test_an_unlike_picture_and_a_tower_without_maps_are_said_every_time(assistant, picture, tmp_path, monkeypatch):
    session = Session(assistant)
    monkeypatch.setattr(Assistant, "unlike", lambda *_: True)
    _, view, chosen, status, *_ = session.take(uploaded(picture, tmp_path), "", "", "contrast")
    assert "unlike the training pictures" in status
    blind = View(view.picture, view.embedding, None)
    _, status, shown, ranking = session.rerank(blind, HEART, "", "contrast", chosen)
    assert "unlike the training pictures" in status
    assert "there are no heat maps" in shown
    assert "<li>" in ranking


def test_texts_of_others_are_escaped(assistant, view):
    words = "<script>alert(1)</script>"
    html = page.ranking(assistant.rank(view, words=[words]), assistant, words)
    assert "<script" not in html
    assert 'data-key="&lt;script&gt;alert(1)&lt;/script&gt;" aria-pressed="true"' in html
    found, withheld = assistant.similar(view, 2)
    html = page.pictures(assistant, found, withheld, "Similar")
    assert "<b>" not in html
    assert "caption" in html


LINKS = [("https://example.org/a?b=1", True), ("javascript:alert(1)", False), ("", False)]


@pytest.mark.parametrize("url, linked", LINKS)
def test_only_web_addresses_become_links(assistant, view, url, linked):
    found, _ = assistant.similar(view, 1)
    item = sources.Neighbour(found[0].position, 0.5, "x", "toy", "CC0-1.0", url)
    html = page.pictures(assistant, [item], 0, "Similar")
    assert ("<a href=" in html) == linked
    assert "javascript" not in html


def test_the_picture_in_the_page_has_no_metadata():
    image = Image.new("RGB", (30, 20), "red")
    image.info["comment"] = b"name of a patient"
    content = base64.b64decode(data_uri(image).partition(",")[2])
    assert content.startswith(b"\xff\xd8")
    assert b"patient" not in content


# --- from a project -------------------------------------------------------------------------------


@pytest.fixture
def project(toy, folder, pairs, tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    toy.save(tmp_path / "build" / "hpo")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "phantom").symlink_to(folder / "data")
    write_parquet(tmp_path / "build" / "phantom" / "phenokg" / "pairs.parquet", pairs)
    return Paths(tmp_path)


def test_a_project_gives_candidates_calibration_and_a_second_start_without_work(folder, project, pairs, monkeypatch):
    found = Assistant.load(folder / "model", "phantom", project, "cpu")
    assert found.candidates.ids == IDS
    assert found.source.calibration.n_images == sum((pairs["split"] == "val") & (pairs["phenotypes"].map(len) == 1))
    files = {path: path.read_bytes() for path in project.cache.rglob("*.npz")}
    assert len(files) == 3  # phenotypes, training pictures, validation pictures

    def not_again(*args):
        raise AssertionError("embedded again")

    monkeypatch.setattr(PhenoLIP, "embed_images", not_again)
    monkeypatch.setattr(PhenoLIP, "embed_texts", not_again)
    again = Assistant.load(folder / "model", "phantom", project, "cpu")
    assert again.source.calibration == found.source.calibration
    np.testing.assert_array_equal(again.candidates.vectors, found.candidates.vectors)


def test_without_a_source_answers_are_uncalibrated_and_the_page_says_so(folder, project, toy, picture):
    for source in (None, "open"):
        found = Assistant.load(f"local-dir:{folder / 'model'}", source, project, "cpu")
        assert found.source is None
        assert found.candidates.ids == toy.leaves
        assert found.scale == found.model.logit_scale
        view = found.look(picture)
        table = found.rank(view, words=["large heart"])
        assert table["probability"].sum() == pytest.approx(1)
        assert "Uncalibrated" in page.ranking(table, found, "")
        assert not found.unlike(view)
        assert "without a source" in page.pictures(found, *found.similar(view), "Similar")
    refused(
        "no candidates 'all'; there are shown, leaves",
        Assistant.load,
        folder / "model",
        None,
        project,
        candidates="all",
    )
