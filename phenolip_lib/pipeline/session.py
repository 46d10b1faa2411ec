"""The first line of every notebook: parameters, paths, threads and figure style in one call."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

import pandas as pd
from IPython.display import Markdown

from phenolip_lib.core import runtime
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.reporting import figures


def start() -> tuple[Params, Paths]:
    """Read and check params.yaml, fix threads and determinism, set the figure style.

    Log lines say how far a run is and how fast, so they go to standard error, which no executed notebook keeps.
    """
    paths = Paths()
    params = load_params(paths.params)
    runtime.setup_logging(sys.stderr)
    runtime.configure(params.runtime.threads)
    figures.use_style()
    pd.set_option("display.max_colwidth", 100, "display.width", 160)
    return params, paths


def code(function: Callable) -> Markdown:
    """The source of a function of the library, to be read beside its formula."""
    return Markdown(f"```python\n{inspect.getsource(function).rstrip()}\n```")


def plan(**facts) -> pd.DataFrame:
    """The table printed before anything expensive: what is about to be done, at which scale."""
    return pd.DataFrame({"value": {key.replace("_", " "): str(value) for key, value in facts.items()}})
