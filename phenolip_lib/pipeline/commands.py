"""Commands that use a trained model: `embed`, `classify`, `search`, `evaluate`, `demo` and `publish` of `phenolip`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import typer

from phenolip_lib.core.errors import DamagedError, PhenoLIPError
from phenolip_lib.core.kept import spared
from phenolip_lib.core.names import check_source
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.runtime import configure, setup_logging
from phenolip_lib.core.storage import atomic_path, read_arrays, write_arrays, write_parquet
from phenolip_lib.pipeline.inputs import lines, pictures, print_lines

if TYPE_CHECKING:
    from phenolip_lib.models.phenolip import PhenoLIP
    from phenolip_lib.ontology.ontology import Ontology

app = typer.Typer(no_args_is_help=True, add_completion=False)
MODELS = "Use a model"
"""Panel of ``phenolip --help``."""

MODEL_HELP = "A published folder, hf-hub:OWNER/NAME, or a trained student such as build/phantom/stage2/phenolip-seed0."
EVALUATED_HELP = (
    "A published folder or trained student, ARCHITECTURE/WEIGHTS of open_clip, hf-hub:NAME, local-dir:PATH, "
    "transformers:NAME, or a row of the paper such as BiomedCLIP."
)
Model = Annotated[str, typer.Option("--model", "-m", help=MODEL_HELP)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Source = Annotated[str, typer.Option(help="phantom or open.")]


@app.command(rich_help_panel=MODELS)
def embed(
    inputs: Annotated[
        list[str], typer.Argument(help="Images and folders of images; with --texts text files, - is standard input.")
    ],
    model: Model,
    to: Annotated[Path, typer.Option(help="File to write: .npy (the embeddings) or .parquet (with their names).")],
    texts: Annotated[bool, typer.Option("--texts", help="Embed the lines of text files.")] = False,
    device: Device = "auto",
) -> None:
    """Embed images, or the lines of text files; L2-normalised, float32, in the order of the inputs."""
    if to.suffix not in (".npy", ".parquet"):
        raise PhenoLIPError(f"{to}: give a name that ends in .npy or .parquet")
    names = lines(inputs) if texts else pictures(inputs)
    loaded = _load(model, device)
    embeddings = loaded.embed_texts(names) if texts else loaded.embed_images(names)
    if to.suffix == ".parquet":
        write_parquet(to, pd.DataFrame({"name": names, "embedding": list(embeddings)}))
    else:
        with atomic_path(to) as temporary, open(temporary, "wb") as file:
            np.save(file, embeddings, allow_pickle=False)
    typer.echo(f"{to}: {embeddings.shape[0]} embeddings of {embeddings.shape[1]} dimensions")


@app.command(rich_help_panel=MODELS)
def classify(
    images: Annotated[list[str], typer.Argument(help="Images and folders of images.")],
    phenotypes: Annotated[
        list[str], typer.Option("--phenotypes", "-p", help="HPO id, name or words, or a file with one a line; repeat.")
    ],
    model: Model,
    prompts: Annotated[str, typer.Option(help="Prompt ensemble: default, or a modality, e.g. radiology.")] = "default",
    top: Annotated[int, typer.Option(help="Phenotypes to print an image.", min=1)] = 5,
    ontology: Annotated[Path | None, typer.Option(help="Parsed ontology; build/hpo of the project by default.")] = None,
    device: Device = "auto",
) -> None:
    """Say which of the phenotypes an image shows: image, hpo_id, name, probability and cosine as TSV.

    Probabilities are relative to the phenotypes that are given: they add up to 1 over these, whatever else there is.
    """
    files = pictures(images)
    asked = [line for item in phenotypes for line in (lines([item]) if os.path.isfile(item) else [item])]
    tables = _load(model, device, _ontology(ontology)).classify_all(files, asked, prompts)
    rows = (
        "\t".join((file, row.hpo_id, row.name, f"{row.probability:.4f}", f"{row.cosine:.4f}"))
        for file, table in zip(files, tables, strict=True)
        for row in table.head(top).itertuples(index=False)
    )
    print_lines("image\thpo_id\tname\tprobability\tcosine", *rows)


@app.command(rich_help_panel=MODELS)
def search(
    query: Annotated[str, typer.Argument(help="A text, or an image file.")],
    images: Annotated[list[str], typer.Option("--images", "-i", help="Image, or folder of images, to search; repeat.")],
    model: Model,
    k: Annotated[int, typer.Option("-k", help="Images to print.", min=1)] = 10,
    cache: Annotated[Path | None, typer.Option(help="Where embeddings are kept; the user's cache by default.")] = None,
    device: Device = "auto",
) -> None:
    """Find the images nearest to a text or an image: image and cosine as TSV.

    Embeddings are kept by an image's content and the model, so only new images are embedded.
    """
    from phenolip_lib.models.phenolip import ImageIndex

    files, loaded = pictures(images), _load(model, device)
    kept = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "phenolip"
    index = ImageIndex(files, _embed_cached(loaded, files, kept))
    found = loaded.retrieve(Path(query) if os.path.isfile(query) else query, index, k)
    print_lines("image\tcosine", *(f"{row.image}\t{row.cosine:.4f}" for row in found.itertuples(index=False)))


@app.command(rich_help_panel=MODELS)
def evaluate(
    models: Annotated[list[str], typer.Argument(help=EVALUATED_HELP)],
    source: Source = "phantom",
    to: Annotated[Path | None, typer.Option(help="Folder of the results; runs/evaluation/<source> by default.")] = None,
) -> None:
    """Run every task of the benchmark on any image-text model; one that cannot be had is said and passed over."""
    from phenolip_lib.evaluation.results import load_results
    from phenolip_lib.experiments.experiment import Experiment
    from phenolip_lib.experiments.peers import evaluate_peers
    from phenolip_lib.reporting import tables

    check_source(source)
    params, paths = _project()
    folder = to or paths.root / "runs" / "evaluation" / source
    absent = evaluate_peers(Experiment(params, source, paths), models, folder)
    _say_absent(absent)
    if len(absent) < len(models):
        typer.echo(tables.retrieval_table(load_results(folder)).to_csv(index=False, sep="\t"), nl=False)
        typer.echo(f"all results: {folder}", err=True)


@app.command(rich_help_panel=MODELS)
def match(
    table: Annotated[Path, typer.Argument(help="CSV with image and hpo_ids, and patient and split if known.")],
    models: Annotated[list[str], typer.Argument(help=EVALUATED_HELP)],
    images: Annotated[Path | None, typer.Option(help="Folder of the images; that of the table by default.")] = None,
    modality: Annotated[str, typer.Option(help="Of the images; rules the distractors' order and prompts.")] = "face",
) -> None:
    """Match the images of a folder with phenotypes, as in Face2Gene: recall@k, precision, recall and F1 as TSV."""
    from phenolip_lib.experiments.peers import match_folder
    from phenolip_lib.ontology.ontology import Ontology

    params, paths = _project()
    onto, folder = Ontology.load(paths.hpo), images or table.parent
    found, absent = match_folder(models, folder, table, onto, params, paths.cache / "peers", modality)
    _say_absent(absent)
    typer.echo(found.to_csv(index=False, sep="\t", float_format="%.4f"), nl=False)


@app.command(rich_help_panel=MODELS)
def publish(
    run: Annotated[Path, typer.Argument(help="build/<source>/stage2/<name>, or the stage-1 encoder's folder.")],
    to: Annotated[Path, typer.Option(help="Folder to write; replaced as a whole.")],
    repo_id: Annotated[str, typer.Option(help="OWNER/NAME on the Hugging Face Hub, if it goes there.")] = "",
    licence: Annotated[str, typer.Option(help="SPDX id of the weights' licence, for the model card.")] = "",
) -> None:
    """Write a trained model as a folder that open_clip or sentence-transformers loads, with its model card."""
    from phenolip_lib.models import export as writer
    from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder
    from phenolip_lib.models.student import read_student
    from phenolip_lib.reporting.model_card import encoder_card, model_card, student_card

    if repo_id.count("/") != (1 if repo_id else 0):
        raise PhenoLIPError(f"--repo-id {repo_id}: give OWNER/NAME")
    ours = any((to / name).is_file() for name in ("open_clip_config.json", "modules.json"))
    if to.exists() and not ours and (not to.is_dir() or any(to.iterdir())):
        raise PhenoLIPError(f"{to}: is there and is no published model; choose another folder")
    if run.is_dir():
        encoder = KnowledgeEncoder.load(run)
        card = encoder_card(run, repo_id, licence)
        writer.save_sentence_transformers(encoder, to, model_card(card))
    else:
        student, config = read_student(run)
        card = student_card(run, config, f"hf-hub:{repo_id}" if repo_id else f"local-dir:{to}", licence)
        writer.save_open_clip(student, to, repo_id or None, model_card(card))
    typer.echo(f"{to}: {card.library}, load it as {card.where or to}")


@app.command(rich_help_panel=MODELS)
def demo(
    model: Annotated[
        str, typer.Option("--model", "-m", help=f"{MODEL_HELP} By default the last of tour.methods.")
    ] = "",
    source: Source = "phantom",
    candidates: Annotated[str, typer.Option(help="shown (what training pictures show) or leaves (all).")] = "shown",
    host: Annotated[str, typer.Option(help="Where to listen; anything but loopback opens it to others.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 7860,
    device: Device = "auto",
) -> None:
    """Try a model in the browser: ranked phenotypes, heat maps, similar pictures. Not a medical device.

    The source calibrates, and has the pictures to compare with.
    """
    check_source(source)
    try:
        from phenolip_lib.apps.demo.app import launch
    except ModuleNotFoundError as error:
        raise PhenoLIPError(f"the demo needs {error.name}; `make demo` installs it and starts the demo") from None
    setup_logging()
    paths = Paths()
    params = load_params(paths.params)
    launch(
        model or str(paths.stage2(source) / f"{params.tour.methods[-1]}-seed{params.seeds[0]}"),
        source,
        host,
        port,
        paths=paths,
        device=device,
        candidates=candidates,
    )


# --- helpers -------------------------------------------------------------------------------------


def _project() -> tuple[Params, Paths]:
    """Settings and paths of the project one stands in, with its threads set."""
    paths = Paths()
    params = load_params(paths.params)
    configure(params.runtime.threads)
    return params, paths


def _say_absent(absent: dict[str, str]) -> None:
    for name, reason in absent.items():
        typer.echo(f"{name}: not available here: {reason}", err=True)


def _load(model: str, device: str, ontology: Ontology | None = None) -> PhenoLIP:
    from phenolip_lib.models.phenolip import PhenoLIP

    return PhenoLIP.load(model, ontology, device)


def _ontology(folder: Path | None) -> Ontology | None:
    """The ontology of `folder`, else of the project one stands in, else none."""
    from phenolip_lib.ontology.ontology import Ontology

    if folder is None:
        with suppress(PhenoLIPError):
            folder = Paths().hpo
        if folder is None or not (folder / "release.json").is_file():
            return None
    return Ontology.load(folder)


def _embed_cached(model: PhenoLIP, files: list[str], cache: Path) -> np.ndarray:
    """Embeddings ``(n_files, embed_dim)``; those of pictures seen before come from the cache."""
    from phenolip_lib.data.archives import digests

    contents = digests(None, files)
    keys = [contents[file] for file in files]
    path = cache / f"search-{model.fingerprint}.npz"
    known: dict[str, np.ndarray] = {}
    with suppress(DamagedError, KeyError):  # absent or damaged: embedded anew
        arrays = read_arrays(path)
        if arrays["embeddings"].shape == (len(arrays["keys"]), model.embed_dim):
            known = dict(zip(arrays["keys"].tolist(), arrays["embeddings"], strict=True))
    new = {key: file for key, file in zip(keys, files, strict=True) if key not in known}
    if new:
        known |= dict(zip(new, model.embed_images(list(new.values())), strict=True))
        ordered = sorted(known)
        with spared(cache):
            write_arrays(path, keys=np.array(ordered), embeddings=np.stack([known[key] for key in ordered]))
    return np.stack([known[key] for key in keys])
