"""Every path of the project, from one root, so that notebooks and stages agree wherever they run."""

from __future__ import annotations

import os
from pathlib import Path

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.names import ONTOLOGY, check_source, name_fault


def find_root(start: Path | None = None) -> Path:
    """The project folder: the nearest one at or above `start` that holds params.yaml and dvc.yaml.

    `start` defaults to the environment variable PHENOLIP_ROOT, else to the working directory,
    which is the root under papermill and ``notebooks/`` in JupyterLab.

    Raises:
        PhenoLIPError: if there is none.
    """
    start = Path(start or os.environ.get("PHENOLIP_ROOT") or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            return folder
    raise PhenoLIPError(f"no project at or above {start}: params.yaml and dvc.yaml are not there; cd into the clone")


class Paths:
    """Where things lie under a project root.

    ``data/`` is raw and never written by a stage except the atlas; ``build/`` holds what stages
    make (DVC outputs); ``.cache/`` holds features that may be thrown away at any time;
    ``reports/`` is what git keeps. An unknown source, or an ablation's name that could lead elsewhere, is a
    `PhenoLIPError`: whatever asks for a folder of either gets none.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = find_root(root)
        self.params = self.root / "params.yaml"
        self.notebooks = self.root / "notebooks"
        self.cache = self.root / ".cache" / "phenolip"
        self.build = self.root / "build"
        self.reports = self.root / "reports"
        self.hpo = self.build / "hpo"
        self.stage1 = self.build / "stage1"

    def data(self, source: str) -> Path:
        """Raw files of a source."""
        check_source(source)
        return self.root / "data" / source

    def phenokg(self, source: str) -> Path:
        return self._built(source, "phenokg")

    def stage2(self, source: str) -> Path:
        return self._built(source, "stage2")

    def evaluation(self, source: str) -> Path:
        return self._built(source, "evaluation")

    def crossval(self, source: str) -> Path:
        return self._built(source, "crossval")

    def tour(self, source: str) -> Path:
        return self._built(source, "tour")

    def ablation(self, source: str, name: str) -> Path:
        if fault := name_fault(name):
            raise PhenoLIPError(f"ablation: {fault}")
        return self._built(source, "ablations") / name

    def ablations(self, source: str) -> Path:
        return self._built(source, "ablations-table")

    def report(self, source: str) -> Path:
        check_source(source, ONTOLOGY)
        return self.reports / source

    def _built(self, source: str, stage: str) -> Path:
        check_source(source)
        return self.build / source / stage
