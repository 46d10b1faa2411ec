"""Models of others: embedded once, evaluated as ours are, and passed over with the reason where they cannot be had."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import read_json
from phenolip_lib.evaluation.benchmark import Benchmark
from phenolip_lib.evaluation.results import load_results
from phenolip_lib.experiments import evaluate, peers
from phenolip_lib.models.adapters import Adapter
from phenolip_lib.models.vectors import PART, item_vectors
from tests.task_case import pairs_of, settings_of


class Counting:
    """An embedder that remembers what it was asked."""

    def __init__(self, fail_after=None):
        self.asked, self.fail_after = [], fail_after

    def __call__(self, items):
        if self.fail_after is not None and len(self.asked) >= self.fail_after:
            raise KeyboardInterrupt
        self.asked += items
        return np.array([[len(item), 1.0] for item in items], dtype=np.float32)


MODEL = Adapter("m", "fingerprint", None, None, 1.0)


def test_each_text_is_embedded_once_and_never_again(tmp_path):
    texts = [f"text {i % 700}" for i in range(1500)]
    embed = Counting()
    first = item_vectors(embed, texts, tmp_path, MODEL.fingerprint, "m")
    assert sorted(embed.asked) == sorted(set(texts))
    assert first[:, 0].tolist() == [len(text) for text in texts]
    again = Counting()
    np.testing.assert_array_equal(item_vectors(again, texts, tmp_path, MODEL.fingerprint, "m"), first)
    assert again.asked == []
    other = Counting()
    item_vectors(other, texts, tmp_path, "other", "m")
    assert len(other.asked) == 700


def test_an_interrupted_run_goes_on(tmp_path):
    texts = [f"text {i:04d}" for i in range(3 * PART)]
    with pytest.raises(KeyboardInterrupt):
        item_vectors(Counting(fail_after=PART + 10), texts, tmp_path, MODEL.fingerprint, "m")
    rest = Counting()
    item_vectors(rest, texts, tmp_path, MODEL.fingerprint, "m")
    assert len(rest.asked) == 2 * PART


def test_a_name_that_can_stand_in_a_path():
    assert peers.method_of("hf-hub:owner/model-b") == "hf_hub_owner_model_b"


# --- a whole evaluation ----------------------------------------------------------------------------


@pytest.fixture
def experiment(tmp_path, full, params):
    """Forty pictures, the upper half of each of its own colour."""
    pairs = pairs_of(40).assign(image=[f"{i}.png" for i in range(40)], left=0.0, top=0.0, right=1.0, bottom=0.5)
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    paths = Paths(tmp_path)
    root = paths.data("phantom")
    root.mkdir(parents=True)
    for i in range(40):
        picture = Image.new("RGB", (64, 64), (6 * i, 255 - 6 * i, 40))
        picture.paste((0, 0, 0), (0, 32, 64, 64))
        picture.save(root / f"{i}.png")
    bench = Benchmark(pairs, full, settings_of(candidates=60, candidate_sets=[30], face_candidates=20))
    return SimpleNamespace(
        params=params,
        source="phantom",
        paths=paths,
        onto=full,
        pairs=pairs,
        bench=bench,
        content="content",
        n_train=12,
        probe_sets={},
        beside=lambda task: "",
    )


def colour_model(broken=False):
    """Pictures by their mean colour, texts by their letters."""

    def images(pictures):
        x = torch.tensor(np.array([np.asarray(picture).mean(axis=(0, 1)) for picture in pictures]))
        return x * float("nan") if broken else F.pad(x, (0, 5)) + 1

    def texts(strings):
        return torch.tensor([[1.0 + string.count(letter) for letter in "aeioustr"] for string in strings])

    return Adapter("colours", f"colours{broken}", images, texts, 10.0)


def test_the_part_of_the_picture_that_the_row_names_is_embedded(experiment):
    embedded = peers.embed_source(colour_model(), experiment)
    colours = np.array([(6 * i, 255 - 6 * i, 40, 0, 0, 0, 0, 0) for i in range(40)]) + 1.0
    np.testing.assert_allclose(
        embedded.images, colours / np.linalg.norm(colours, axis=1, keepdims=True), atol=1e-6, err_msg="the black half"
    )
    rows = experiment.pairs.iloc[[7, 3, 7]]
    np.testing.assert_array_equal(embedded.pictures(rows), embedded.images[[7, 3, 7]])


def test_models_are_evaluated_and_absent_ones_do_not_stop_them(experiment, monkeypatch, tmp_path):
    known = {"colours": colour_model(), "absent": peers.Unavailable("absent", "no hub")}
    monkeypatch.setattr(peers, "load_or_reason", lambda name, device: known[name])
    absent = peers.evaluate_peers(experiment, ["absent", "colours"], tmp_path / "out")
    assert absent == {"absent": "no hub"}
    results = load_results(tmp_path / "out")
    assert set(results["method"]) == {"colours"}
    assert {"retrieval", "candidates", "zero_shot"} <= set(results["task"])
    assert results["value"].notna().all()
    said = peers.status(["absent", "colours"], absent).set_index("model")["here"]
    assert said["absent"] == "not available here: no hub"
    assert said["colours"] == "evaluated"
    assert said["BiomedCLIP"] == "not asked for"
    assert said["PMC-CLIP"].startswith("not available: its weights are a pickled")


def test_results_tell_of_the_run_that_made_them(experiment, monkeypatch, tmp_path):
    """The same embeddings under other parameters: what an earlier run kept is not given out as this one's."""
    monkeypatch.setattr(peers, "load_or_reason", lambda name, device: colour_model())
    told = []
    for candidates in (10, 11):
        experiment.params = experiment.params.with_overrides({"evaluation.candidates": candidates})
        out = tmp_path / str(candidates)
        peers.evaluate_peers(experiment, ["colours"], out)
        told.append({read_json(path)["provenance"]["params"] for path in out.rglob("*.json")})
        assert told[-1] == {evaluate.params_read(evaluate.Case(experiment, None, 1.0))}
    assert told[0] != told[1]


def test_a_model_that_gives_no_numbers_is_named(experiment):
    with pytest.raises(PhenoLIPError, match="colours: .*image of ham10000/p000.*not finite"):
        peers.embed_source(colour_model(broken=True), experiment)


def test_a_model_that_breaks_does_not_stop_the_others(experiment, monkeypatch, tmp_path):
    known = {"broken": colour_model(broken=True), "colours": colour_model()}
    monkeypatch.setattr(peers, "load_or_reason", lambda name, device: known[name])
    absent = peers.evaluate_peers(experiment, ["broken", "colours"], tmp_path / "out")
    assert list(absent) == ["broken"]
    assert "not finite" in absent["broken"]
    assert set(load_results(tmp_path / "out")["method"]) == {"colours"}


def test_a_folder_of_faces_is_matched(full, params, monkeypatch, tmp_path):
    rows = ["image,hpo_ids,patient,split"]
    for i in range(8):
        Image.new("RGB", (32, 32), (30 * i, 0, 0)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,HP:0000316;HP:0000343,p{i},{'val' if i < 3 else 'test'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    known = {"colours": colour_model(), "absent": peers.Unavailable("absent", "no hub")}
    monkeypatch.setattr(peers, "load_or_reason", lambda name, device: known[name])
    params = params.with_overrides({"evaluation.resamples": 200})
    found, absent = peers.match_folder(list(known), tmp_path, tmp_path / "labels.csv", full, params, tmp_path / "kept")
    assert absent == {"absent": "no hub"}
    assert set(found["model"]) == {"colours"}
    assert set(found["metric"]) == {"recall@5", "recall@10", "recall@50", "precision", "recall", "f1"}
    assert found["images"].eq(5).all()
    assert (found["low"].le(found["mean"]) & found["mean"].le(found["high"])).all()
