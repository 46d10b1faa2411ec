"""The command `phenolip findings`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from phenolip_lib.core.errors import PhenoLIPError

app = typer.Typer(add_completion=False)
FILES_HELP = "Texts, Open-i's XML, CSV or TSV with a column of texts; - and nothing are standard input."


@app.command()
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
