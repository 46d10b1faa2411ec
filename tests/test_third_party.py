"""THIRD_PARTY.md names what is used, with the licence the records carry."""

import re

from phenolip_lib.core.params import load_params
from phenolip_lib.data.licences import use_allowed
from phenolip_lib.data.sources import chula, ham10000, idrid, medpix
from tests.conftest import ROOT

TEXT = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
MODULES = {"MedPix 2.0": medpix, "HAM10000": ham10000, "IDRiD": idrid, "Chula RBC-12": chula}


def test_images_of_the_default_are_there_with_their_licence():
    assert len(load_params(ROOT / "params.yaml").open.datasets) == len(MODULES)
    for title, module in MODULES.items():
        (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| [{title}]")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        allowed = use_allowed(module.LICENCE, "redistribution")
        assert cells[2].startswith("yes" if allowed else "no"), title
        if allowed:
            assert cells[1] == module.LICENCE


def test_packages_that_carry_weights_or_the_ontology_are_pinned():
    lock = (ROOT / "requirements.lock").read_text().lower()
    for name in re.findall(r"packag\w* (?:with \[|`)([\w-]+)", TEXT):
        assert f"{name.lower()}==" in lock, name
