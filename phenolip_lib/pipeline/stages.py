"""The pipeline's stages by name: what `phenolip run STAGE` does and dvc.yaml chains."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from phenolip_lib.core import runtime, side_by_side
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.names import ONTOLOGY, check_source
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import atomic_folder, write_json, write_text

NOTEBOOK_STAGES = {
    "hpo": "01_hpo_parsing",
    "phenokg": "02_phenokg_build",
    "stage1": "03_stage1_knowledge_encoder",
    "stage2": "04_stage2_pretraining",
    "evaluation": "05_evaluation",
    "ablations": "06_ablations",
    "medfilip": "07_medfilip",
    "arl": "08_arl",
    "tasks": "09_other_tasks",
    "published": "10_published_tables",
    "tour": "00_tour",
}
OF_ONTOLOGY = ("hpo", "stage1")
"""Notebooks that no source changes."""
ALONE = {"grid": "ablations", "questions": "arl"}
"""Names of reports of one chapter alone."""


def _folder(stage: str, source: str, paths: Paths) -> Path:
    place = getattr(paths, stage, paths.build / source / stage)
    return place(source) if callable(place) else place


def run_notebook(stage: str, source: str, paths: Paths) -> None:
    """Execute the stage's notebook into its folder under ``build/``."""
    from phenolip_lib.pipeline import notebooks

    name = NOTEBOOK_STAGES[stage]
    folder = _folder(stage, source, paths)
    stripped = paths.build / "notebooks" / f"{name}.ipynb"
    if not stripped.is_file():
        notebooks.strip_folder(paths.notebooks, paths.build / "notebooks")
    parameters = {} if stage in OF_ONTOLOGY else {"source": source}
    notebooks.execute(stripped, folder / f"{name}.ipynb", parameters, paths.root)


def run_notebooks(source: str, name: str, paths: Paths) -> None:
    """Write the stripped copies that the other stages depend on."""
    from phenolip_lib.pipeline import notebooks

    notebooks.strip_folder(paths.notebooks, paths.build / "notebooks")


def run_release(source: str, name: str, paths: Paths) -> None:
    """Write the checksums of what params name, which DVC cannot follow: any path, or a package."""
    from phenolip_lib.core.named_files import contents
    from phenolip_lib.ontology.release_files import fingerprints

    params = load_params(paths.params)
    write_json(paths.build / "release.json", fingerprints(params.hpo, paths.cache))
    for section, found in contents(params).items():
        write_json(paths.build / "named" / f"{section}.json", found)


def run_atlas(source: str, name: str, paths: Paths) -> None:
    """Draw the phantom atlas into ``data/phantom``."""
    from phenolip_lib.ontology.ontology import Ontology
    from phenolip_lib.phantom.atlas import build, phenotypes
    from phenolip_lib.phantom.names import caption_names

    params = load_params(paths.params).atlas
    onto = Ontology.load(paths.hpo)
    names = caption_names(onto, phenotypes()["hpo_id"].tolist())
    settings = params.model_dump()
    settings["size"] = settings.pop("image_size")
    counts = build(paths.data("phantom"), names, **settings)
    runtime.log.info("phantom atlas: %s", counts)


def run_ablate(source: str, name: str, paths: Paths) -> None:
    """Train and evaluate one named ablation."""
    params = load_params(paths.params)
    side_by_side.warm(params.runtime.workers)
    from phenolip_lib.experiments.ablate import run_ablation

    runtime.configure(params.runtime.threads)
    run_ablation(params, source, name, paths)


def run_crossval(source: str, name: str, paths: Paths) -> None:
    """Train and evaluate on the other splits of a source."""
    params = load_params(paths.params)
    side_by_side.warm(params.runtime.workers)
    from phenolip_lib.experiments import crossval

    runtime.configure(params.runtime.threads)
    crossval.run(params, source, paths, paths.crossval(source))


def run_report(source: str, name: str, paths: Paths) -> None:
    """Collect tables, figures and executed notebooks of a source (or of the ontology) for git.

    With a name of `ALONE` one chapter of it under ``reports/<name>/<source>``: what git keeps of a run of that chapter
    with more settings than the default run has, or on a source whose default run takes much longer.
    """
    from phenolip_lib.reporting.sources import HEADINGS

    of_source = [stage for stage in sorted(NOTEBOOK_STAGES, key=NOTEBOOK_STAGES.get) if stage not in OF_ONTOLOGY]
    stages = [ALONE[name]] if name else OF_ONTOLOGY if source == ONTOLOGY else of_source
    with atomic_folder(paths.reports / name / source) as target:
        sections = []
        for stage in stages:
            folder = _folder(stage, source, paths)
            for kind in ("tables", "figures"):
                if (folder / kind).is_dir():
                    shutil.copytree(folder / kind, target / kind, dirs_exist_ok=True)
            executed = folder / f"{NOTEBOOK_STAGES[stage]}.ipynb"
            if not executed.is_file():
                raise PhenoLIPError(f"{executed} is not there: a stage of {source} was not run; run `dvc repro`")
            (target / "notebooks").mkdir(exist_ok=True)
            shutil.copy(executed, target / "notebooks" / executed.name)
            sections.append(_section(stage, folder))
        cards = ""
        if "stage2" in stages:
            from phenolip_lib.pipeline.headline import numbers
            from phenolip_lib.reporting.cards import write_cards

            params = load_params(paths.params)
            write_cards(source, params, paths, target)
            methods = [params.evaluation.baseline, params.tour.methods[-1]]
            write_json(target / "metrics.json", numbers(target / "tables", methods))
            cards = " Cards: [the data](DATASET_CARD.md), [the model](MODEL_CARD.md)."
        write_text(
            target / "README.md",
            f"# {HEADINGS[source]}\n\nWritten by `dvc repro`; do not edit.{cards}\n\n" + "\n".join(sections),
        )


def _section(stage: str, folder: Path) -> str:
    """Markdown of one stage: a link to its notebook, its tables, its figures."""
    name = NOTEBOOK_STAGES[stage]
    lines = [f"## {name.replace('_', ' ')}\n", f"Notebook: [{name}.ipynb](notebooks/{name}.ipynb)\n"]
    lines += [path.read_text(encoding="utf-8") for path in sorted((folder / "tables").glob("*.md"))]
    lines += [f"![{path.stem}](figures/{path.name})\n" for path in sorted((folder / "figures").glob("*.png"))]
    return "\n".join(lines)


def run_book(source: str, name: str, paths: Paths) -> None:
    """Build the site of a source from its report, and say what there is to read."""
    from phenolip_lib.apps import book, explorer
    from phenolip_lib.reporting.summary import summary

    with tempfile.TemporaryDirectory() as folder:
        page = explorer.build(source, paths, Path(folder) / "explorer.html", book="index.html")
        book.build(source, paths, extra={"PhenoKG explorer": page})
    for line in summary(paths, source):
        runtime.log.info(line)


SPECIAL: dict[str, Callable[[str, str, Paths], None]] = {
    "notebooks": run_notebooks,
    "release": run_release,
    "atlas": run_atlas,
    "ablate": run_ablate,
    "crossval": run_crossval,
    "report": run_report,
    "book": run_book,
}
NAMES = (*NOTEBOOK_STAGES, *SPECIAL)


def run(stage: str, source: str = "phantom", name: str = "", root: Path | None = None) -> None:
    """Run one stage.

    Raises:
        PhenoLIPError: unknown stage, source or name, before any folder is made; bad parameters, or what the
            stage itself reports.
    """
    paths = Paths(root)
    runtime.setup_logging()
    if stage not in NAMES:
        raise PhenoLIPError(f"unknown stage {stage!r}; there are {', '.join(NAMES)}")
    check_source(source, *[ONTOLOGY] * (stage == "report"))
    if stage == "ablate" and not name:
        raise PhenoLIPError("`phenolip run ablate` needs --name, one of ablations.overrides in params.yaml")
    if name and stage != "ablate" and not (stage == "report" and source != ONTOLOGY and name in ALONE):
        known = " or ".join(ALONE)
        raise PhenoLIPError(
            f"`phenolip run {stage}` takes no --name {name!r}: ablate takes an ablation, report {known}"
        )
    params = load_params(paths.params, check_ablations=True)
    if stage == "ablate":
        params.ablated(name)
    if stage in SPECIAL:
        SPECIAL[stage](source, name, paths)
    else:
        run_notebook(stage, source, paths)
