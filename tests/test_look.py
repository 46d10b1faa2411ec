"""Commands that look something up: a term by words, the headline table, the ablations with what they cost."""

import numpy as np
import pytest
from PIL import Image

from phenolip_lib.apps import ask
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.pipeline import look, text
from phenolip_lib.pipeline.cli import PIPELINE
from phenolip_lib.pipeline.commands import MODELS
from phenolip_lib.recognition.recognizer import Recognizer
from tests.conftest import ROOT, call


@pytest.fixture(scope="module")
def recognizer(full):
    return Recognizer(full)


@pytest.mark.parametrize(
    ("asked", "hpo_id", "how"),
    [
        ("big spleen", "HP:0001744", "reads: big spleen"),
        ("large heart", "HP:0001640", "reads: large heart"),
        ("cardiomegly", "HP:0001640", "did you mean: Cardiomegaly"),
        ("cardiomegaly", "HP:0001640", "name: Cardiomegaly"),
        ("HP:0001640", "HP:0001640", "id: HP:0001640"),
        ("enlarged heart", "HP:0001640", "synonym: Enlarged heart"),
    ],
)
def test_words_lead_to_their_term(full, recognizer, asked, hpo_id, how):
    first = text.terms(asked, full, recognizer, 5).iloc[0]
    assert (first["hpo_id"], first["name"], first["found"]) == (hpo_id, full[hpo_id].name, how)


def test_several_findings_are_told_once_each_and_nonsense_is_nothing(full, recognizer):
    found = text.terms("big spleen and large heart, a large heart", full, recognizer, 10)
    assert sorted(found["hpo_id"]) == ["HP:0001640", "HP:0001744"]
    assert len(text.terms("xyzzyq", full, recognizer, 10)) == 0
    assert len(text.terms("big spleen and large heart", full, recognizer, 1)) == 1


def test_a_broad_synonym_is_told_as_such_and_only_where_nothing_else_is(full, recognizer):
    synonyms = full.tables["synonyms"]
    for row in synonyms[synonyms["scope"] == "BROAD"].iloc[::25].itertuples():
        found = text.terms(row.synonym, full, recognizer, 5)
        assert not ((found["hpo_id"] == row.hpo_id) & (found["found"] == f"synonym: {row.synonym}")).any()
    assert text.terms("Kidney damage", full, recognizer, 1).iloc[0]["found"] == "broad synonym: Kidney damage"


def test_the_headline_table_is_that_of_the_folds_where_there_are_some(project):
    with pytest.raises(PhenoLIPError, match="there is no report yet"):
        call("show")
    with pytest.raises(PhenoLIPError, match="did you mean 'phantom'"):
        call("show", "phantm")
    for source, names in (("phantom", ["crossval", "retrieval_intervals"]), ("open", ["retrieval_intervals"])):
        for name in names:
            path = project / "reports" / source / "tables" / f"{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"method,I2P R@10\n{name},1.0\n")
    assert "retrieval_intervals" in call("show")  # no folds by default
    assert "retrieval_intervals" in call("show", "open")  # folds, but no table of them
    (project / "reports/open/tables/crossval.csv").write_text("method,I2P R@10\ncrossval,1.0\n")
    assert "crossval" in call("show", "open")


@pytest.mark.parametrize("content", [b"", b"\xff\x00a,b\n1,2", b"a,b\n1,2\n1,2,3\n"])
def test_a_damaged_table_is_named_in_one_line(project, content):
    path = project / "reports/phantom/tables/retrieval_intervals.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(PhenoLIPError, match="retrieval_intervals.csv: absent or damaged") as error:
        call("show")
    assert "\n" not in str(error.value)


def test_a_map_is_written_whole_and_into_a_folder_that_is_made(project, tmp_path, monkeypatch):
    found = ask.Answer([("yes", 0.9)], [], np.ones((1, 1)))
    monkeypatch.setattr(ask, "trained", lambda *own: (None, None, None))
    monkeypatch.setattr(ask, "ask", lambda *own: found)
    monkeypatch.setattr(ask, "overlay", lambda *own: Image.new("RGB", (2, 2)))
    words = ("ask", "a.png", "is it?", "--map")
    assert "map.png" in call(*words, str(tmp_path / "new" / "map.png"))
    assert Image.open(tmp_path / "new" / "map.png").size == (2, 2)
    (tmp_path / "file").write_text("")
    with pytest.raises(PhenoLIPError, match="cannot be written"):
        call(*words, str(tmp_path / "file" / "map.png"))


def test_every_ablation_is_listed_with_what_it_makes_anew(project):
    params = load_params(ROOT / "params.yaml")
    lines = call("ablations").splitlines()
    assert len(lines) == 1 + len(params.ablations.overrides)
    told = {line.split()[1]: line for line in lines[1:]}
    assert told["captions_only"].startswith("yes")
    assert told["weak_teacher"].startswith("no ")
    assert "3 runs  " in told["weak_teacher"]
    assert "a teacher of its own" in told["teacher_kad"]
    assert "training pairs of its own" in told["whole_figures"]
    assert "features of other towers" in told["random_text"]
    assert "a tower that trains" in told["tuned_text"]


def test_help_groups_the_commands_and_the_version_is_said():
    shown = call("--help")
    for panel in (PIPELINE, text.TEXT, MODELS, look.LOOK):
        assert panel in shown
    from importlib.metadata import version

    assert version("phenolip") in call("--version")
