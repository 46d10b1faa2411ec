"""The demo's tab of questions: what `phenolip ask` gives, and what it says where nothing can be asked."""

import io
import re

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from phenolip_lib.apps import ask as asking
from phenolip_lib.apps.ask import Answer
from phenolip_lib.apps.demo import page
from phenolip_lib.apps.demo.app import Session, build
from phenolip_lib.apps.demo.overlay import data_uri, overlay
from phenolip_lib.apps.demo.questions import EXAMPLES, MAX_LENGTH, Questions
from phenolip_lib.apps.demo.uploads import take_upload
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.models import heatmaps
from phenolip_lib.phantom.questions import WORDINGS
from tests.conftest import ROOT
from tests.test_arl import Asked
from tests.test_demo import make_assistant

WORDS = ["yes", "no", "<b>spleen</b>"]
QUESTION = "Is there a large spleen?"


def project_at(root):
    """A project in which nothing has run."""
    root.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    return Paths(root)


@pytest.fixture
def project(tmp_path):
    return project_at(tmp_path / "project")


def learn(project):
    """What is there once a model has learned, as far as can be seen before anything is loaded."""
    facts = project.build / "phantom" / "arl" / "results" / "facts.json"
    facts.parent.mkdir(parents=True)
    facts.write_text("{}")
    return project


@pytest.fixture
def own(toy, tmp_path):
    found = Asked(toy)
    found.reader.options["cache"] = tmp_path / "cache"
    return found


@pytest.fixture
def questions(own, project, tmp_path, monkeypatch):
    """With packaged towers and a model that learned nothing; the list tells how often it was loaded."""
    loads = []
    monkeypatch.setattr(asking, "trained", lambda *given: loads.append(given) or (own, own.model, WORDS))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    return Questions("phantom", learn(project)), loads


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(path)
    return path


def kept(folder):
    return list(folder.rglob("*"))


def test_it_says_what_the_command_says(questions, own, picture, tmp_path):
    tab, loads = questions
    wanted = asking.ask(own, own.model, WORDS, picture, QUESTION)
    shown = Image.open(picture)
    upload, status, image, answers = tab.take(picture, QUESTION)
    assert status == ""
    assert [float(p) for p in re.findall(r'class="number">([\d.]+) %', answers)] == [
        round(100 * p, 1) for _, p in wanted.answers
    ]
    assert re.findall(r'class="name">([^<]+)<', answers) == [
        word.replace("<", "&lt;").replace(">", "&gt;") for word, _ in wanted.answers
    ]
    assert "Entities that the question names: Splenomegaly." in answers
    heat = heatmaps.to_picture(wanted.read, (60, 80), own.reader.images.fit)
    assert data_uri(overlay(shown, heat)) in image
    assert f"Where the model read to answer “{QUESTION}”: least" in image
    again = tab.answer(upload, "Why?")
    assert "The question names no entity of the graph." in again[2]
    assert len(loads) == 1


def test_a_turned_picture_is_answered_as_its_file_is(questions, own, tmp_path):
    tab, _ = questions
    pixels = np.random.default_rng(1).integers(0, 255, (40, 90, 3), dtype=np.uint8)
    image, paths = Image.fromarray(pixels), [tmp_path / "one.jpg", tmp_path / "two.jpg"]
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    for path in paths:
        image.save(path, exif=exif)
    wanted = asking.ask(own, own.model, WORDS, paths[0], QUESTION)
    upload, _, _, answers = tab.take(paths[1], QUESTION)
    assert upload.picture.size == (40, 90)
    assert page.answers(wanted) == answers


def test_nothing_of_what_is_asked_is_kept(questions, own, picture, tmp_path):
    tab, _ = questions
    upload, *_ = tab.take(picture, QUESTION)
    assert not picture.exists()
    tab.answer(upload, "Is the heart large?")
    assert kept(tmp_path / "uploads") == []
    assert kept(tmp_path / "cache") == []


def test_the_model_is_loaded_with_the_first_question_and_not_before(questions, picture):
    tab, loads = questions
    assert "learned from the questions of phantom" in tab.ready()
    upload, status, image, answers = tab.take(picture, "  ")
    assert (status, answers) == ("", "")
    assert 'alt="The uploaded picture"' in image
    assert loads == []
    tab.answer(upload, QUESTION)
    assert [given[1] for given in loads] == ["phantom"]


def test_where_no_model_has_learned_the_tab_says_so_until_one_has(project, picture, monkeypatch, own):
    tab = Questions("phantom", project)
    said = "no model has learned to answer questions on phantom yet; run `dvc repro arl@phantom`, then ask again"
    assert f'role="alert">{said}<' in tab.ready()
    upload, status, image, answers = tab.take(picture, QUESTION)
    assert said in status
    assert 'alt="The uploaded picture"' in image
    assert answers == ""
    learn(project)
    monkeypatch.setattr(asking, "trained", lambda *_: (own, own.model, WORDS))
    assert 'role="status"' in tab.ready()
    assert 'class="answer"' in tab.answer(upload, QUESTION)[2]


def test_what_the_tab_takes_for_learned_is_what_the_command_does(project, monkeypatch):
    class Reached(Exception):
        pass

    def reached(*_):
        raise Reached

    monkeypatch.setattr(asking, "Arl", reached)
    with pytest.raises(PhenoLIPError, match="no model has learned to answer questions on phantom; run"):
        asking.trained(load_params(ROOT / "params.yaml"), "phantom", project)
    with pytest.raises(Reached):
        asking.trained(load_params(ROOT / "params.yaml"), "phantom", learn(project))


def test_a_demo_without_a_source_says_how_to_have_one(picture):
    tab = Questions()
    assert "start it with --source phantom" in tab.ready()
    assert "start it with --source phantom" in tab.take(picture, QUESTION)[1]


def test_what_cannot_be_asked_is_one_line_and_the_picture_stays(questions, picture):
    tab, _ = questions
    upload, *_ = tab.take(picture, "")
    for question, said in (
        ("?!", "the question has no words; ask for example"),
        ("", "the question has no words"),
        ("spleen " * 10_000, f"the question has 70000 characters; at most {MAX_LENGTH} are read"),
    ):
        status, image, answers = tab.answer(upload, question)
        assert f'class="status refused" role="alert">{said}' in status
        assert 'alt="The uploaded picture"' in image
        assert answers == ""
    assert tab.answer(None, QUESTION) == (page.status(page.FORGOTTEN), "", "")


def test_uploads_are_held_to_the_rules_of_the_other_tab(questions, tmp_path):
    tab, loads = questions
    (tmp_path / "notes.png").write_text("no picture")
    Image.new("RGB", (4, 4)).save(tmp_path / "tiny.png")
    (tmp_path / "long.png").write_bytes(bytes(2000))
    for name, said in (
        ("notes.png", "notes.png was not read: image is unreadable"),
        ("tiny.png", "tiny.png was not read: image is too small: 4 x 4"),
        ("long.png", "long.png was not read: it has"),
        ("gone.png", "The upload is gone"),
    ):
        upload, status, image, answers = tab.take(tmp_path / name, QUESTION, 1000)
        assert (upload, image, answers) == (None, "", "")
        assert f'role="alert">{said}' in status
        assert not (tmp_path / name).exists()
    assert loads == []


def test_an_upload_keeps_the_bytes_of_its_file(tmp_path):
    buffer = io.BytesIO()
    Image.new("L", (30, 20), 7).save(buffer, format="TIFF")
    (tmp_path / "a.tif").write_bytes(buffer.getvalue())
    upload = take_upload(tmp_path / "a.tif")
    assert (upload.content, upload.suffix) == (buffer.getvalue(), ".tif")
    assert upload.picture.mode == "RGB"


def test_texts_of_others_are_escaped():
    found = Answer([("<script>", 0.5)], ["<i>"], np.zeros((2, 2)))
    assert "<script" not in page.answers(found)
    assert "<i>" not in page.answers(found)
    assert "<script" not in page.attention(Image.new("RGB", (20, 20)), "<script>alert(1)</script>")
    assert "<b>" not in page.examples(["<b>"])


def test_at_most_five_answers_are_listed_and_all_are_counted():
    found = Answer([(f"answer {i}", 0.9 - i / 10) for i in range(8)], [], np.zeros((2, 2)))
    html = page.answers(found)
    assert html.count("<li>") == 5
    assert "the 8 answers of its training questions" in html


def test_examples_are_questions_of_the_set():
    patterns = [re.escape(text).replace(re.escape("{name}"), ".+") for own in WORDINGS.values() for text in own]
    for text in EXAMPLES["phantom"]:
        assert any(re.fullmatch(pattern, text) for pattern in patterns), text


def test_the_page_opens_and_ranks_without_a_model_of_questions(toy, project, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("loaded")

    monkeypatch.setattr(asking, "trained", never)
    assistant, _ = make_assistant(tmp_path, toy)
    blocks = build(assistant, questions=Questions("phantom", project))
    labels = [block.label for block in blocks.blocks.values() if isinstance(block, gr.Tab)]
    assert labels == ["A picture", "Pictures for a text", "A question"]
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    session = Session(assistant, questions=Questions("phantom", learn(project)))
    assert '<ol class="ranking">' in session.take(str(tmp_path / "a.png"), "", "", "off")[5]
    event = gr.EventData(None, {"key": QUESTION})
    assert session.example(None, event) == (QUESTION, page.status(page.FORGOTTEN), "", "")
