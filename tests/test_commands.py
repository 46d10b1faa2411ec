"""The commands on a tiny model, and the model card they write."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.runtime import precision
from phenolip_lib.core.storage import write_json, write_parquet
from phenolip_lib.evaluation.results import Result, load_results, write_result
from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder, make_projection
from phenolip_lib.models.phenolip import PhenoLIP
from phenolip_lib.models.towers import load_text_tower
from phenolip_lib.pipeline import commands
from phenolip_lib.reporting.model_card import Card, model_card, results_table
from tests.test_encoders import make_pairs, tiny_checkpoint
from tests.test_phenolip import save_run
from tests.test_publish import tiny_teacher

FACTS = {"source": "phantom", "method": "phenolip", "n_train": 12, "provenance": {"torch": "2.13.0", "params": "ab"}}


def write_results(folder):
    """Two seeds of retrieval and one of zero-shot classification."""
    for seed, value in ((0, 0.625), (1, 0.875)):
        numbers = {"": {"i2t_recall@10": value} | ({"n_images": 16} if seed == 0 else {})}
        write_result(folder, "retrieval", Result(numbers=numbers), FACTS | {"seed": seed})
    zero_shot = Result(numbers={"radiology": {"acc1": 0.375, "n_classes": 4}})
    write_result(folder, "zero_shot", zero_shot, FACTS | {"seed": 0})


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """build/<source> as the pipeline leaves it, with one tiny student, and a folder of four pictures."""
    root = tmp_path_factory.mktemp("project")
    tiny_checkpoint(root / "base")
    run = root / "build" / "phantom" / "stage2"
    save_run(root / "base", run, "phenolip-seed0")
    config = json.loads((run / "phenolip-seed0.json").read_text())
    write_json(run / "phenolip-seed0.json", config | {"method": "phenolip", "seed": 0})
    write_results(root / "build" / "phantom" / "evaluation" / "results")
    pairs = pd.DataFrame({"dataset": ["a", "a", "b"], "split": ["train", "test", "train"], "licence": ["MIT"] * 3})
    write_parquet(root / "build" / "phantom" / "phenokg" / "pairs.parquet", pairs)
    (root / "pictures").mkdir()
    make_pairs(root / "pictures", n=4)
    return root


@pytest.fixture(scope="module")
def run(project):
    return str(project / "build" / "phantom" / "stage2" / "phenolip-seed0")


def call(*arguments, **options):
    result = CliRunner().invoke(commands.app, [str(a) for a in arguments], **options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def table(output):
    return pd.read_csv(io.StringIO(output), sep="\t", keep_default_na=False)


def test_images_are_embedded_in_order_to_npy_and_parquet(project, run, tmp_path):
    pictures = project / "pictures"
    call("embed", pictures, pictures / "2.png", "--model", run, "--to", tmp_path / "e.npy", "--device", "cpu")
    found = np.load(tmp_path / "e.npy", allow_pickle=False)
    expected = PhenoLIP.load(run, device="cpu").embed_images([pictures / f"{i}.png" for i in (0, 1, 2, 3, 2)])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    call("embed", pictures, "--model", run, "--to", tmp_path / "e.parquet", "--device", "cpu")
    parquet = pd.read_parquet(tmp_path / "e.parquet")
    assert parquet["name"].tolist() == [str(pictures / f"{i}.png") for i in range(4)]
    np.testing.assert_allclose(np.stack(parquet["embedding"]), expected[:4], atol=1e-6)


def test_lines_of_text_files_are_embedded(run, tmp_path):
    (tmp_path / "texts.txt").write_text("large spleen\n\nheart\n")
    out = tmp_path / "e.npy"
    assert "2 embeddings of 16 dimensions" in call(
        "embed", tmp_path / "texts.txt", "--texts", "--model", run, "--to", out, "--device", "cpu"
    )
    expected = PhenoLIP.load(run, device="cpu").embed_texts(["large spleen", "heart"])
    np.testing.assert_allclose(np.load(out), expected, atol=1e-6)
    call("embed", "-", "--texts", "--model", run, "--to", out, "--device", "cpu", input="heart\n")
    np.testing.assert_allclose(np.load(out), expected[1:], atol=1e-6)


def test_classify_prints_the_best_phenotypes_of_each_image(project, run, toy, tmp_path):
    toy.save(tmp_path / "hpo")
    (tmp_path / "more.txt").write_text("HP:0001640\nheart\n")
    output = call(
        "classify",
        project / "pictures" / "0.png",
        project / "pictures" / "1.png",
        "-p",
        "HP:0001744",
        "-p",
        tmp_path / "more.txt",
        "--model",
        run,
        "--top",
        2,
        "--ontology",
        tmp_path / "hpo",
        "--device",
        "cpu",
    )
    found = table(output)
    assert found.columns.tolist() == ["image", "hpo_id", "name", "probability", "cosine"]
    assert found["image"].str[-5:].tolist() == ["0.png"] * 2 + ["1.png"] * 2
    model = PhenoLIP.load(run, toy, "cpu")
    expected = model.classify(project / "pictures" / "0.png", ["HP:0001744", "HP:0001640", "heart"])
    bound = 1e-4 if precision("cpu") == "float32" else 1e-2  # the command embeds both images in one batch
    expected = expected.set_index("name")["probability"].loc[found["name"][:2]]
    np.testing.assert_allclose(found["probability"][:2], expected, atol=bound)
    assert found["probability"][0] >= found["probability"][1]


def test_search_embeds_only_what_is_new(project, run, tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    make_pairs(pictures, n=3)
    embedded = []
    original = PhenoLIP.embed_images
    monkeypatch.setattr(
        PhenoLIP, "embed_images", lambda self, images, *a: embedded.append(len(images)) or original(self, images, *a)
    )
    arguments = ("--images", pictures, "--model", run, "--cache", tmp_path / "cache", "--device", "cpu")
    first = call("search", "large spleen", *arguments)
    call("search", "a text longer than a file name may be " * 20, *arguments)
    assert table(first)["cosine"].is_monotonic_decreasing
    assert call("search", "large spleen", *arguments) == first
    assert embedded == [3]
    (pictures / "0.png").rename(pictures / "z.png")  # the same content under another name
    make_pairs(project / "pictures", n=4)
    (pictures / "new.png").write_bytes((project / "pictures" / "3.png").read_bytes())
    call("search", "large spleen", *arguments)
    assert embedded == [3, 1]
    by_image = table(call("search", pictures / "z.png", *arguments, "-k", 1))
    assert by_image["image"].tolist() == [str(pictures / "z.png")]
    assert by_image["cosine"][0] == pytest.approx(1, abs=1e-3)
    next((tmp_path / "cache").glob("*.npz")).write_bytes(b"cut off")
    assert table(call("search", "large spleen", *arguments))["image"].nunique() == 4


def test_a_student_is_published_with_its_card(project, run, tmp_path):
    output = call("publish", run, "--to", tmp_path / "m", "--repo-id", "someone/phenolip", "--licence", "MIT")
    assert "load it as hf-hub:someone/phenolip" in output
    published, trained = PhenoLIP.load(tmp_path / "m", device="cpu"), PhenoLIP.load(run, device="cpu")
    files = [project / "pictures" / f"{i}.png" for i in range(4)]
    np.testing.assert_allclose(published.embed_images(files), trained.embed_images(files), atol=1e-6)
    card = (tmp_path / "m" / "README.md").read_text()
    header = YAML(typ="safe").load(card.split("---")[1])
    assert header["license"] == "mit"
    assert (header["library_name"], header["pipeline_tag"]) == ("open_clip", "zero-shot-image-classification")
    assert re.search(r"\| retrieval \| +\| i2t_recall@10 \| 0.6250 ", card)
    assert re.search(r"\| zero_shot \| radiology +\| n_classes +\| 4 ", card)
    assert "0.8750" not in card  # another seed's
    assert "MIT: 2 training pairs" in card
    assert "Not a medical device" in card
    assert "torch: 2.13.0" in card
    output = call("publish", run, "--to", tmp_path / "m")
    assert f"load it as local-dir:{tmp_path / 'm'}" in output
    card = (tmp_path / "m" / "README.md").read_text()
    assert "no licence is stated" in card
    assert not [file for file in (tmp_path / "m").iterdir() if str(tmp_path).encode() in file.read_bytes()]


def test_the_knowledge_encoder_is_published(tmp_path):
    teacher = tiny_teacher(tmp_path / "base")
    config = {"teacher": teacher, "projection": "residual", "embed_dim": 32, "max_tokens": 12, "tower": "frozen"}
    encoder = KnowledgeEncoder(load_text_tower(teacher), make_projection("residual", 32, 32), 12)
    encoder.save(tmp_path / "stage1", config)
    call("publish", tmp_path / "stage1", "--to", tmp_path / "m")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(str(tmp_path / "m"), device="cpu", local_files_only=True)
    texts = ["large spleen", "heart"]
    assert ((model.encode(texts) * encoder.embed(texts)).sum(axis=1) > 0.999).all()
    card = (tmp_path / "m" / "README.md").read_text()
    assert YAML(typ="safe").load(card.split("---")[1])["pipeline_tag"] == "sentence-similarity"
    assert "projection: residual" in card
    assert "## Results" not in card


def test_a_card_holds_the_given_numbers_and_no_others(tmp_path):
    write_results(tmp_path)
    found = results_table(load_results(tmp_path)).set_index("metric")
    assert found.loc["i2t_recall@10", ["value", "sd", "seeds"]].tolist() == ["0.7500", "0.1768", 2]
    assert found.loc["n_images", "value"] == "16"
    bare = Card("m", "open_clip", "local-dir:m", "", "A model.")
    text = model_card(bare)
    for heading in ("Results", "Training", "Training data", "Provenance"):
        assert f"## {heading}\n" not in text
    assert not re.search(r"\d\.\d{2,}", text)
    assert YAML(typ="safe").load(text.split("---")[1])["license"] == "other"


def test_mistakes_are_one_line(project, run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("irreplaceable")
    picture = project / "pictures" / "0.png"
    cases = [
        (("embed", picture, "--model", run, "--to", tmp_path / "e.csv"), r"e.csv: give a name that ends in .npy"),
        (("embed", tmp_path / "empty", "--model", run, "--to", tmp_path / "e.npy"), r"holds no picture"),
        (("embed", tmp_path / "empty.txt", "--texts", "--model", run, "--to", tmp_path / "e.npy"), r"no texts"),
        (("embed", picture, "--texts", "--model", run, "--to", tmp_path / "e.npy"), r"cannot be read as text"),
        (("search", "x", "--images", tmp_path / "gone.png", "--model", run, "--cache", tmp_path), r"file is absent"),
        (("publish", run, "--to", tmp_path / "full"), r"is there and is no published model"),
        (("publish", run, "--to", tmp_path / "m", "--repo-id", "phenolip"), r"give OWNER/NAME"),
        (("publish", tmp_path / "nothing", "--to", tmp_path / "m"), r"neither a folder"),
        (("publish", tmp_path / "empty", "--to", tmp_path / "m"), r"there is no knowledge encoder"),
    ]
    for arguments, match in cases:
        with pytest.raises(PhenoLIPError, match=match) as error:
            call(*arguments)
        assert "\n" not in str(error.value)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "irreplaceable"


def test_any_model_is_evaluated_and_what_cannot_be_had_is_said(monkeypatch, tmp_path):
    def evaluate_peers(experiment, names, folder):
        assert (experiment, names) == ("phantom", ["known", "absent"])
        numbers = {"": {"i2t_recall@10": 0.25, "i2p_recall@10": 0.5}}
        write_result(folder, "retrieval", Result(numbers=numbers), FACTS | {"method": "known", "seed": 0})
        return {"absent": "the hub cannot be reached"}

    monkeypatch.setattr("phenolip_lib.experiments.experiment.Experiment", lambda params, source, paths: source)
    monkeypatch.setattr("phenolip_lib.experiments.peers.evaluate_peers", evaluate_peers)
    printed = call("evaluate", "known", "absent", "--source", "phantom", "--to", tmp_path)
    assert "absent: not available here: the hub cannot be reached" in printed
    line = next(line for line in printed.splitlines() if line.startswith("known"))
    assert line.split("\t")[1:6:4] == ["25.0", "50.0"], printed
    assert load_results(tmp_path)["value"].tolist() == [0.5, 0.25]
