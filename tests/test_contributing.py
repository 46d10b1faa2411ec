"""The worked examples of CONTRIBUTING.md run as they stand there; what people expect to find is there."""

import re
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from ruamel.yaml import YAML

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.sections import Stage2
from phenolip_lib.data import sources
from phenolip_lib.data.records import Record, Reject
from phenolip_lib.training import objectives
from phenolip_lib.training.distributed import Gathered
from tests.conftest import ROOT
from tests.test_pipeline import write_params

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(heading: str, language: str) -> str:
    section = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    (own,) = [part for part in section if part.startswith(heading)]
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", own, flags=re.MULTILINE | re.DOTALL)
    return code


def test_the_source(tmp_path, monkeypatch):
    module: dict = {}
    exec(compile(example("A new source", "python"), "skin_atlas.py", "exec"), module)
    monkeypatch.setitem(sources.DATASETS, "skin-atlas", module["records"])
    with pytest.raises(PhenoLIPError, match="skin-atlas is missing; put index.csv and the folder photos there"):
        list(sources.open_records(tmp_path, ["skin-atlas"]))
    photos = tmp_path / "skin-atlas" / "photos"
    photos.mkdir(parents=True)
    for name in ("b.png", "a.png"):
        Image.new("RGB", (32, 32)).save(photos / name)
    (tmp_path / "skin-atlas" / "index.csv").write_text(
        "file,text,patient\nb.png,Petechiae of both legs,p1\na.png,Café-au-lait spots,p1\nc.png,A mole,\n"
    )
    found = list(sources.open_records(tmp_path, ["skin-atlas"]))
    records = [item for item in found if isinstance(item, Record)]
    assert [(r.record_id, r.group, r.caption) for r in records] == [
        ("skin-atlas/a.png", "skin-atlas/p1", "Café-au-lait spots"),
        ("skin-atlas/b.png", "skin-atlas/p1", "Petechiae of both legs"),
    ]
    assert all((tmp_path / r.image).is_file() for r in records)
    assert [(r.record_id, r.step) for r in found if isinstance(r, Reject)] == [("skin-atlas/c.png", "source")]


def decoupled_by_loop(image, text, scale, shared):
    total = 0.0
    for a, b in ((image, text), (text, image)):
        for i in range(len(a)):
            others = [j for j in range(len(a)) if j != i and not shared[i][j]]
            total += torch.logsumexp(torch.stack([scale * a[i] @ b[j] for j in others]), dim=0) - scale * a[i] @ b[i]
    return total / (2 * len(image))


@pytest.mark.parametrize("start", [0, 4])
def test_the_objective(start):
    """A process with the four rows from `start` of eight; over both the mean is the loss of the batch."""
    namespace = dict(vars(objectives))
    exec(example("A new objective", "python"), namespace)
    generator = torch.Generator().manual_seed(0)
    image, text = (F.normalize(torch.randn(8, 6, generator=generator), dim=1) for _ in range(2))
    shared = torch.zeros(8, 8, dtype=torch.bool)
    shared[1, 5] = shared[5, 1] = True

    def of(first: int) -> torch.Tensor:
        own = slice(first, first + 4)
        affinity = SimpleNamespace(shared=lambda rows, columns: shared[rows][:, columns])
        batch = objectives.ImageTextBatch(
            Gathered(image[own], image, first),
            Gathered(text[own], text, first),
            torch.tensor(9.0),
            torch.tensor(0.0),
            torch.tensor(0.0),
            torch.arange(8)[own],
            torch.arange(8),
            affinity,
            mask_shared=True,
        )
        return namespace["decoupled"](batch)

    torch.testing.assert_close((of(0) + of(4)) / 2, decoupled_by_loop(image, text, 9.0, shared))
    image.requires_grad_()
    of(start).backward()
    assert image.grad.abs().sum() > 0


def test_names_of_objectives_are_the_same_in_both_places():
    assert set(get_args(Stage2.model_fields["objective"].annotation)) == set(objectives.OBJECTIVES)


def test_the_ablation(tmp_path):
    tree = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    new = YAML(typ="safe").load(example("A new ablation", "yaml"))["ablations"]
    tree["ablations"]["run"] += new["run"]
    tree["ablations"]["overrides"] |= new["overrides"]
    write_params(tmp_path, tree)
    params = load_params(tmp_path / "params.yaml", check_ablations=True)
    assert params.ablations.run[-1] == "half_kd"
    assert params.ablated("half_kd").stage2.lambda_kd == 0.5


ROWS = dict(re.findall(r"^\| ([\w ]+) \| (.+) \|$", TEXT, flags=re.MULTILINE))
"""The table of what one looks for and where it stands."""


@pytest.mark.parametrize(
    "asked", ["the loss", "where captions get linked", "how a source is added", "how a metric is added"]
)
def test_what_one_looks_for_stands_in_the_first_file_that_is_named(asked):
    """From README here and to a file: two files are opened. A name stands in the file that is named before it."""
    assert "[CONTRIBUTING](CONTRIBUTING.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    words = re.findall(r"`([^`]+)`", ROWS[asked])
    files = [word for word in words if word.endswith(".py")]
    assert files
    texts = {file: (ROOT / "phenolip_lib" / file).read_text(encoding="utf-8") for file in files}
    for number, name in enumerate(words):
        if name not in files:
            near = words[number + 1] if name == "TASKS" else words[number - 1]
            for part in name.split("."):
                assert re.search(rf"^ *(def |class )?{part}\b", texts[near], flags=re.MULTILINE), f"{name} in {near}"


def test_the_rooms_are_those_that_are_there():
    listed = re.findall(r"^  ([a-z]+)/  ", TEXT, flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.parent.name for path in (ROOT / "phenolip_lib").glob("*/__init__.py"))
    assert f"has {['thirteen', 'fourteen', 'fifteen'][len(listed) - 13]} rooms" in TEXT


def test_citation_names_paper_and_software():
    tree = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text())
    assert tree["cff-version"] == "1.2.0"
    assert tree["license"] == "Apache-2.0"
    assert tree["preferred-citation"]["year"] == 2026
    assert len(tree["preferred-citation"]["authors"]) == 6
