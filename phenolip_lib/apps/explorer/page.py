"""The page from its parts: template, style, scripts, data.

The data are gzipped JSON in base64, the thumbnails one long run of base64 texts, which the page cuts where a
picture is shown. A content security policy names the two scripts by their hash: nothing else can run, and
nothing can be fetched.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phenolip_lib.apps.explorer import images as pictures
from phenolip_lib.apps.explorer import payload
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import Params, load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.core.storage import read_parquet, write_text
from phenolip_lib.data.pairs import load_pairs
from phenolip_lib.graph.graph import Graph
from phenolip_lib.ontology import hpo
from phenolip_lib.ontology.ontology import Ontology

ASSETS = Path(__file__).parent / "assets"
FEW, LARGE, SMALL = 4_000, 192, 112
"""Up to how many pictures their thumbnails are large, and sides of both kinds in pixels."""
SCRIPTS = ("dom", "model", "words", "search", "tree", "gallery", "term", "overview", "main")
"""Files of the script in the order they are joined in, each one idea."""


def write(
    path: Path,
    onto: Ontology,
    graph: Graph | None,
    pairs: pd.DataFrame | None,
    root: Path | None,
    names: tuple[list[str], np.ndarray] | None,
    title: str,
    thumbnail: int | None = None,
    max_images: int = 10_000,
    book: str = "",
) -> Path:
    """Write the explorer of an ontology and, as far as they are there, of its images and its encoder.

    Args:
        path: the HTML file; it is whole or absent.
        graph: for image counts; None leaves them out.
        pairs: `phenokg.PAIRS`, for pictures and captions; None leaves them out.
        root: the folder the pairs' pictures are relative to; None shows captions without pictures.
        names: HPO ids and the L2-normalised embeddings ``(n, dim)`` of their names; None leaves the encoder's
            neighbours out.
        thumbnail: longest side of a picture, in pixels; by default smaller the more there are.
        max_images: pictures the page holds at most.
        book: address of the book this page belongs to, for a link; none by default.

    Raises:
        PhenoLIPError: the parts belong to different builds, or a picture cannot be read.
    """
    data: dict[str, Any] = {"title": title, **payload.ontology(onto), "near": payload.neighbourhoods(onto, names)}
    data["counts"] = None if graph is None else payload.graph_counts(graph)
    data["images"], texts = None, []
    if pairs is not None:
        if graph is not None and set(graph.nodes["image"]["name"]) != set(pairs["pair_id"]):
            raise PhenoLIPError("the graph and the pairs are of different builds; run `dvc repro phenokg`")
        chosen = pictures.choose(pairs, max_images)
        if root is not None:
            thumbnail = thumbnail or (LARGE if len(chosen.shown) <= FEW else SMALL)
            texts = [base64.b64encode(b).decode() for b in pictures.thumbnails(chosen.shown, root, thumbnail)]
        data["images"] = payload.images(onto, chosen, None if root is None else [len(text) for text in texts])
    write_text(path, _page(title, data, "".join(texts), book))
    return Path(path)


def build(source: str, paths: Paths, path: Path, book: str = "") -> Path:
    """Write the explorer of a source from what the pipeline has made so far.

    Without ``build/hpo`` the release that params name is parsed; what else is absent leaves its part of the
    page with a line that says how to fill it.

    Raises:
        PhenoLIPError: a part is there but damaged, or belongs to another build.
    """
    params = load_params(paths.params)
    parsed = (paths.hpo / "release.json").is_file()
    onto = Ontology.load(paths.hpo) if parsed else hpo.kept_release(params.hpo, paths.cache)
    folder, root = paths.phenokg(source), paths.data(source)
    graph = pairs = None
    if (folder / "pairs.parquet").is_file():
        pairs, graph = load_pairs(folder), Graph.load(folder / "graph", onto)
    names = _embedded_names(paths, params) if (paths.stage1 / "config.json").is_file() else None
    return write(
        path, onto, graph, pairs, root if root.is_dir() else None, names, f"PhenoKG explorer: {source}", book=book
    )


def _embedded_names(paths: Paths, params: Params) -> tuple[list[str], np.ndarray]:
    """Names of the terms in the knowledge encoder.

    All attribute texts go through the trunk, since their features are what notebook 3 left in the cache.
    """
    from phenolip_lib.models.features import text_features
    from phenolip_lib.models.knowledge_encoder import KnowledgeEncoder

    encoder = KnowledgeEncoder.load(paths.stage1)
    texts = read_parquet(paths.stage1 / "texts.parquet")
    features = text_features(
        encoder.tower,
        texts["text"].tolist(),
        max_tokens=encoder.max_tokens,
        cache=paths.cache,
        workers=params.runtime.workers,
    )
    rows = np.flatnonzero(texts["kind"] == "name")
    return texts["hpo_id"].iloc[rows].tolist(), encoder.project(features[rows])


def _page(title: str, data: dict[str, Any], thumbnails: str, book: str) -> str:
    style, theme = _asset("style.css"), _asset("theme.js")
    parts = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{parts}}})();\n'
    compact = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    values = {
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(theme)} {_hash(script)}; base-uri 'none'; form-action 'none'",
        "title": html.escape(title),
        "book": f'<a id="book" href="{html.escape(book)}">← Book</a>' if book else "",
        "style": style,
        "theme": theme,
        "data": base64.b64encode(gzip.compress(compact, mtime=0)).decode(),
        "script": script,
        "thumbnails": thumbnails,
    }
    page = _asset("page.html")
    head, *rest = page.split("{{")
    out = [head]
    for piece in rest:
        name, _, text = piece.partition("}}")
        out += [values[name.strip()], text]
    return "".join(out)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _hash(inline: str) -> str:
    """The source expression of an inline script or style in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
