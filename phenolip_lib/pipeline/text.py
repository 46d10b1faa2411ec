"""Commands that read texts: `annotate`, `findings` and `find`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import typer

from phenolip_lib.core.errors import PhenoLIPError

if TYPE_CHECKING:
    from phenolip_lib.ontology.ontology import Ontology
    from phenolip_lib.recognition.recognizer import Recognizer

app = typer.Typer(add_completion=False)
TEXT = "Text and data"
"""Panel of ``phenolip --help``."""
FILES_HELP = "Texts, Open-i's XML, CSV or TSV with a column of texts; - and nothing are standard input."


@app.command(rich_help_panel=TEXT)
def findings(
    files: Annotated[list[str] | None, typer.Argument(help=FILES_HELP)] = None,
    column: Annotated[str, typer.Option(help="Column of texts in tables; report, text, caption or findings.")] = "",
    model: Annotated[str, typer.Option(help="local:NAME or openai:URL#MODEL reads in place of the rules.")] = "",
    cache: Annotated[Path | None, typer.Option(help="Where a model's answers are kept; the user's by default.")] = None,
) -> None:
    """Find what reports say is there, denied or open: category, place, severity, span; a JSON line a report."""
    from phenolip_lib.models.language_models import model_named
    from phenolip_lib.recognition.annotate import ontology
    from phenolip_lib.recognition.findings.documents import lines
    from phenolip_lib.recognition.findings.extract import Extractor, Rules
    from phenolip_lib.recognition.findings.model import ModelExtractor

    reader = model_named(model)
    if model and reader is None:
        raise PhenoLIPError(f"--model {model}: write local:NAME or openai:URL#MODEL")

    def extractor() -> Extractor:
        rules = Rules(ontology())
        kept = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "phenolip"
        return ModelExtractor(reader, rules, kept) if reader else rules

    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=False)
    for line in lines(files or [], extractor, column):
        sys.stdout.write(line + "\n")


@app.command(rich_help_panel=TEXT)
def annotate(
    files: Annotated[list[str] | None, typer.Argument(help="Text files; standard input if there are none.")] = None,
    output_format: Annotated[str, typer.Option("--format", help="tsv, jsonl or phenopacket.")] = "tsv",
    branches: Annotated[
        list[str] | None, typer.Option(help="Also find terms of inheritance, onset or modifier; repeat.")
    ] = None,
) -> None:
    """Find HPO terms in texts, with offsets, and whether they are negated, uncertain or of a relative."""
    from phenolip_lib.recognition.annotate import annotate as lines

    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=False)
    for line in lines(files or [], output_format, branches or []):
        sys.stdout.write(line + "\n")


@app.command(rich_help_panel=TEXT)
def find(
    words: Annotated[list[str], typer.Argument(help="An HPO id, a name, or words such as: big spleen.")],
    limit: Annotated[int, typer.Option("-n", help="Terms to print.", min=1)] = 10,
) -> None:
    """Find the HPO term that words mean: hpo_id, name and how it was found as TSV."""
    from phenolip_lib.recognition.annotate import ontology
    from phenolip_lib.recognition.recognizer import Recognizer

    onto = ontology()
    text = " ".join(words)
    found = terms(text, onto, Recognizer(onto), limit)
    if not len(found):
        raise PhenoLIPError(f"{text!r}: no term of HPO {onto.release} has such a name; try other words, or fewer")
    typer.echo(found.to_csv(index=False, sep="\t", lineterminator="\n"), nl=False)


def terms(text: str, onto: Ontology, recognizer: Recognizer, limit: int) -> pd.DataFrame:
    """Terms that a text may mean, best first: by id or name, as the recogniser reads it, and else by spelling.

    What a term has as a BROAD synonym names something wider, so it is told as such, and only where nothing else is.

    Returns:
        table (hpo_id, name, found), a row a term; empty if nothing is near.
    """
    from phenolip_lib.ontology.wordings import RANKS

    near = onto.find(text, limit)
    synonyms = onto.tables["synonyms"]
    names = set(zip(synonyms["hpo_id"], synonyms["synonym"].where(synonyms["scope"].isin(RANKS)), strict=True))
    told = zip(near["hpo_id"], near["matched"], strict=True)
    wide = (near["field"] == "synonym").to_numpy() & np.array([pair not in names for pair in told], dtype=bool)
    exact = (near["score"] == 1) & ~wide
    rows = [(row.hpo_id, f"{row.field}: {row.matched}") for row in near[exact].itertuples(index=False)]
    read = sorted(recognizer(text), key=lambda mention: (mention.start - mention.end, mention.start))
    rows += [(mention.hpo_id, f"reads: {text[mention.start : mention.end]}") for mention in read]
    if not rows:
        said = np.where(wide & (near["score"] == 1), "broad synonym: ", "did you mean: ")
        rows = list(zip(near["hpo_id"], said + near["matched"], strict=True))
    table = pd.DataFrame(rows, columns=["hpo_id", "found"]).drop_duplicates("hpo_id").head(limit)
    table.insert(1, "name", [onto[hpo_id].name for hpo_id in table["hpo_id"]])
    return table
