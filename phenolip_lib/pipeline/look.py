"""Commands that look something up and change nothing: `show`, `ablations` and `ask`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.names import SOURCES, check_source
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import atomic_path
from phenolip_lib.pipeline.headline import TABLES
from phenolip_lib.reporting.tables import read_table

LOOK = "Look something up"
"""Panel of ``phenolip --help``."""
SHOWN = dict(zip(TABLES, ("cross-validation by case", "the test split"), strict=True))
"""Headline tables, the first that a source has, and what they are of."""
COSTS = {
    "stage1": "a teacher of its own",
    "phenokg": "training pairs of its own",
    "encoders": "features of other towers",
}
"""What an ablation makes anew beside its runs, by the section that it changes."""

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command(rich_help_panel=LOOK)
def show(source: Annotated[str, typer.Argument(help="phantom or open.")] = "phantom") -> None:
    """Show the headline table of a source: recall with 95% intervals, percent."""
    check_source(source)
    paths = Paths()
    folds = load_params(paths.params).evaluation.folds.get(source)
    for name in list(SHOWN)[0 if folds else 1 :]:
        path = paths.report(source) / "tables" / f"{name}.csv"
        if path.is_file():
            typer.echo(f"{SOURCES[source]}, {SHOWN[name]}, recall in percent with 95% intervals")
            typer.echo(read_table(path).to_string(index=False))
            return
    raise PhenoLIPError(f"{source}: there is no report yet; `make repro` makes it")


@app.command(rich_help_panel=LOOK)
def ablations() -> None:
    """List the ablations of params.yaml: which are run, what each changes, and what it costs."""
    params = load_params(Paths().params, check_ablations=True)
    rows = [("run", "name", "costs", "changes")] + [
        ("yes" if name in params.ablations.run else "no", name, cost(changed, len(params.seeds)), _written(changed))
        for name, changed in params.ablations.overrides.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command(rich_help_panel=LOOK)
def ask(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    question: Annotated[str, typer.Argument(help="A question about it, in quotes.")],
    source: Annotated[str, typer.Option(help="phantom or open: where the model learned to answer.")] = "phantom",
    name: Annotated[str, typer.Option("--set", help="The set of questions; the first one by default.")] = "",
    most: Annotated[int, typer.Option(help="Answers to print.", min=1)] = 3,
    map_: Annotated[Path | None, typer.Option("--map", help="PNG to write: where in the image it read.")] = None,
) -> None:
    """Answer a question about an image, with the entities of the question and where the model read."""
    from phenolip_lib.apps import ask as asking

    check_source(source)
    asking.check_question(question)
    paths = Paths()
    own, model, words = asking.trained(load_params(paths.params), source, paths, name)
    found = asking.ask(own, model, words, image, question)
    for word, probability in found.answers[:most]:
        typer.echo(f"{probability:.2f}  {word}")
    typer.echo(f"entities: {', '.join(found.entities) or 'none'}")
    if map_ is not None:
        with atomic_path(map_) as temporary:
            asking.overlay(image, found.read).save(temporary, format="PNG")
        typer.echo(f"map: {map_}")


def cost(changed: dict[str, Any], seeds: int) -> str:
    """What an ablation trains and makes anew."""
    parts = [f"{seeds} runs"] + [made for section, made in COSTS.items() if any(_in(key, section) for key in changed)]
    if "finetune" in changed.values():
        parts.append("a tower that trains, many times as long")
    return ", ".join(parts)


def _in(key: str, section: str) -> bool:
    return key.split(".")[0] == section


def _written(changed: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in changed.items())
