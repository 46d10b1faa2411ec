"""PhenoLIP: phenotype-ontology-informed vision-language pretraining in medicine."""

import os

# Idle OpenMP threads spin by default: beside one other busy program, training fell to a twentieth of its speed.
# Read when torch is loaded, so it must stand before any import; kernels and workers inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
