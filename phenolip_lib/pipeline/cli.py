"""The console command ``phenolip``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.names import ONTOLOGY, SOURCES, check_source
from phenolip_lib.core.params import load_params, read_yaml
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import is_full, writing
from phenolip_lib.pipeline import commands, look, profiles, text
from phenolip_lib.pipeline.edit import append
from phenolip_lib.pipeline.text import TEXT

app = typer.Typer(
    help="PhenoLIP: phenotype-ontology-informed vision-language pretraining.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(commands.app)
app.add_typer(text.app)
app.add_typer(look.app)
PIPELINE = "Pipeline"
"""Panel of ``phenolip --help``; the others are `text.TEXT`, `commands.MODELS` and `look.LOOK`."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"phenolip {version('phenolip')}")
        raise typer.Exit


@app.callback()
def _options(
    told: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")] = False,
) -> None: ...


@app.command(rich_help_panel=PIPELINE)
def run(
    stage: Annotated[str, typer.Argument(help="A stage of dvc.yaml, e.g. hpo, phenokg, stage2, evaluation.")],
    source: Annotated[str, typer.Option(help="phantom or open (ontology for `report`).")] = "phantom",
    name: Annotated[str, typer.Option(help="The ablation, for `ablate`.")] = "",
) -> None:
    """Run one stage, as `dvc repro` does."""
    from phenolip_lib.pipeline import stages

    stages.run(stage, source, name)


@app.command(rich_help_panel=PIPELINE)
def check() -> None:
    """Check params.yaml with every ablation, and that the data of each source can be read."""
    from phenolip_lib.data.archives import split_container
    from phenolip_lib.data.records import Record
    from phenolip_lib.data.sources import source_records

    paths = Paths()
    params = load_params(paths.params, check_ablations=True)
    typer.echo(f"params.yaml: ok, {len(params.ablations.overrides)} ablations")
    for source in params.sources:
        root = paths.data(source)
        if source == "phantom" and not root.is_dir():
            typer.echo("phantom: not drawn yet; `dvc repro` draws it")
            continue
        found = list(source_records(source, root, params))
        records = [item for item in found if isinstance(item, Record)]
        if not records:
            raise PhenoLIPError(f"{source}: {root} holds no records")
        absent = sum(not (root / split_container(record.image)[0]).is_file() for record in records)
        unusable = f", {len(found) - len(records)} unusable" if len(found) > len(records) else ""
        typer.echo(f"{source}: {len(records)} records, {absent} without their image file{unusable}")


@app.command(rich_help_panel=PIPELINE)
def use(
    source: Annotated[
        str, typer.Argument(help="A source to add to `sources`; or classroom, and full as the way back.")
    ],
    data: Annotated[Path | None, typer.Option(help="Folder that holds its data; linked as data/<source>.")] = None,
) -> None:
    """Add a source to params.yaml and link its data folder, or make the pipeline small enough for a lesson."""
    paths = Paths()
    check_source(source, *profiles.NAMES)
    if source in profiles.NAMES:
        typer.echo(profiles.use(source, paths.params))
        return
    if data is not None:
        link_data(paths.data(source), data.expanduser())
    if source not in load_params(paths.params).sources:
        append(paths.params, "sources", [source])
        typer.echo(f"params.yaml: sources now names {source}")


@app.command(rich_help_panel=PIPELINE)
def verify(
    source: Annotated[str, typer.Option(help="phantom or open.")] = "phantom",
    every: Annotated[bool, typer.Option("--all", help="Name every table and place, not the first few.")] = False,
) -> None:
    """Compare the tables under reports/ with those git has committed, number by number beside its interval.

    Also says which reports are of older code. The last line is the verdict.
    Exit status: 0 if the tables are reproduced, exactly or within intervals,
    1 if they are not, 2 if there is nothing to compare with.
    `make repro` ends with it and does not fail by it.
    """
    from phenolip_lib.pipeline import stale
    from phenolip_lib.pipeline.verify import verify

    check_source(source)
    paths = Paths()
    params = load_params(paths.params)
    (*told, verdict), reproduced = verify(paths.root, source, params.evaluation.drift, every)
    if (paths.root / "dvc.lock").is_file():
        told += stale.lines(paths.root, source, params.ablations.run)
    typer.echo("\n".join([*told, verdict]))
    raise typer.Exit(0 if reproduced else 1)


@app.command(rich_help_panel=PIPELINE)
def grid(
    names: Annotated[list[str] | None, typer.Argument(help="Ablations of params.yaml to add; all by default.")] = None,
) -> None:
    """Add ablations to `ablations.run` in params.yaml; the next `dvc repro` trains those that are new."""
    paths = Paths()
    known = load_params(paths.params).ablations
    for name in names or []:
        if name not in known.overrides:
            raise PhenoLIPError(f"no ablation {name!r} in params.yaml; there are {', '.join(known.overrides)}")
    added = [name for name in names or known.overrides if name not in known.run]
    append(paths.params, "ablations.run", added)
    typer.echo(f"params.yaml: ablations.run names {len(known.run) + len(added)}, {len(added)} of them new")


@app.command(rich_help_panel=PIPELINE)
def choose(
    source: Annotated[str, typer.Argument(help="phantom or open.")],
    settings: Annotated[list[str] | None, typer.Argument(help="Settings of params.yaml; all by default.")] = None,
    folds: Annotated[int | None, typer.Option(min=1, help="Only the first so many folds.")] = None,
    to: Annotated[Path | None, typer.Option(help="Folder to write; build/<source>/choice by default.")] = None,
) -> None:
    """Judge the settings of `choice` in params.yaml by nested validation; started again, it goes on."""
    from phenolip_lib.core.runtime import configure
    from phenolip_lib.experiments import choose
    from phenolip_lib.reporting import tables

    check_source(source)
    paths = Paths()
    params = load_params(paths.params)
    configure(params.runtime.threads)
    out = to or paths.build / source / "choice"
    table = choose.run(params, source, paths, paths.build / source / "choice" / "results", settings or (), folds)
    n, seeds = table["fold"].nunique(), len(params.choice.seeds)
    caption = (
        f"Settings of stage 2 judged inside the training data of {source}, percent; "
        f"folds: {n}, training seeds: {seeds}."
    )
    typer.echo(tables.write_table(choose.summary(table), out, "choice", caption).to_string(index=False))


@app.command(rich_help_panel=PIPELINE)
def factors(
    source: Annotated[str, typer.Argument(help="phantom or open.")],
    to: Annotated[Path | None, typer.Option(help="Folder to write; build/<source>/factors by default.")] = None,
) -> None:
    """Cross the axes of `factors` in params.yaml and say what the first is worth; started again, it goes on."""
    from phenolip_lib.core.runtime import configure
    from phenolip_lib.experiments import crossval, factors
    from phenolip_lib.reporting import factors as report
    from phenolip_lib.reporting import figures, tables

    check_source(source)
    paths = Paths()
    params = load_params(paths.params)
    configure(params.runtime.threads)
    out = to or paths.build / source / "factors"
    results = paths.build / source / "factors" / "results"
    factors.run(params, source, paths, results)
    table = report.worth(crossval.by_asked(results), params)
    change, (without, with_it) = next((axis, list(levels)) for axis, levels in params.factors.axes.items())
    caption = f"{change}: {with_it} minus {without}, percentage points, on {SOURCES[source]}."
    figures.use_style()
    figures.save(report.figure(table, params), out / "factors.png")
    typer.echo(tables.write_table(table, out, "factors", caption).to_string(index=False))


def link_data(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to the folder `target`; a link may be changed, a folder never."""
    if not target.is_dir():
        raise PhenoLIPError(f"{target}: there is no such folder")
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise PhenoLIPError(f"{link} is a folder of its own; move it away to use {target}")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target.resolve(), target_is_directory=True)


@app.command(rich_help_panel=TEXT)
def download(
    dataset: Annotated[str, typer.Argument(help="medpix-2.0, ham10000, idrid or chula-rbc-12.")],
    to: Annotated[Path | None, typer.Option(help="Where to put it; data/open by default.")] = None,
) -> None:
    """Fetch a public data set into its upstream layout."""
    from phenolip_lib.core.runtime import setup_logging
    from phenolip_lib.data.sources.download import download as fetch

    setup_logging()
    fetch(dataset, to or Paths().data("open"))


@app.command(rich_help_panel=TEXT)
def export(
    output_format: Annotated[str, typer.Argument(help="kgx, rdf, webdataset, huggingface or phenobench.")],
    source: Annotated[str, typer.Option(help="phantom or open.")] = "phantom",
    to: Annotated[Path | None, typer.Option(help="Folder to write; exports/<source>/<format> by default.")] = None,
) -> None:
    """Write the built PhenoKG in a format other tools read."""
    from phenolip_lib.data.pairs import load_pairs
    from phenolip_lib.graph.exports.registry import Export
    from phenolip_lib.graph.exports.registry import export as write
    from phenolip_lib.graph.graph import Graph
    from phenolip_lib.ontology.ontology import Ontology

    paths = Paths()
    check_source(source)
    folder, onto = paths.phenokg(source), Ontology.load(paths.hpo)
    what = Export(load_pairs(folder), Graph.load(folder / "graph", onto), paths.data(source))
    target = to or paths.root / "exports" / source
    table = write(what, [output_format], target)
    typer.echo(f"{target / output_format}: {table['files'][0]} files, {table['megabytes'][0]} MB")


@app.command(rich_help_panel=PIPELINE)
def train(
    source: Annotated[str, typer.Argument(help="ontology (stage 1), phantom, open.")] = "phantom",
    method: Annotated[list[str] | None, typer.Option(help="A method of params.yaml; repeat; all by default.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="A seed; repeat; those of params.yaml by default.")] = None,
    processes: Annotated[int | None, typer.Option(help="Processes under torchrun, one a GPU.", min=1)] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", "-S", help="KEY=VALUE over params.yaml, e.g. stage2.epochs=2; repeat.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder to write; runs/<source> by default.")] = None,
) -> None:
    """Train outside the pipeline, with curves and checkpoints; started again, it goes on."""
    from phenolip_lib.core.runtime import configure
    from phenolip_lib.experiments.train import start

    check_source(source, ONTOLOGY)
    paths = Paths()
    overrides = dict(_setting(item) for item in set_ or [])
    if processes is not None:
        overrides["runtime.processes"] = processes
    params = load_params(paths.params, check_ablations=True).with_overrides(overrides)
    for name in method or ():
        params.method(name)  # before a folder is made
    if seed:
        params = params.with_overrides({"seeds": seed})
    configure(params.runtime.threads)
    out = to or paths.root / "runs" / source
    with writing(out, OSError):  # before hours of training, not after
        out.mkdir(parents=True, exist_ok=True)
    start(params, source, out, paths, method or ())


def _setting(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise PhenoLIPError(f"--set {text}: write KEY=VALUE, e.g. stage2.epochs=2")
    return key.strip(), read_yaml(value.encode(), f"--set {text}")


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit status 2."""
    try:
        app()
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has gone
        sys.stderr.close()
        sys.exit(0)
    except (PhenoLIPError, OSError) as error:
        if not isinstance(error, PhenoLIPError) and not is_full(error):
            raise
        where = "" if isinstance(error, PhenoLIPError) else "the disk is full, free space and start again: "
        print(f"phenolip: {where}{error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
