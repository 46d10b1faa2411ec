"""Scores and speed of phenotype recognition on gold sets.

`python -m benchmarks.recognition FOLDER...`: the dictionary beside fenominal and FastHPOCR if they are installed, on
the same ontology in the same run. FastHPOCR's index of HPO takes minutes to make and is kept in `--index`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.table import Row, write
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.ontology.release_files import locate
from phenolip_lib.recognition import gold
from phenolip_lib.recognition.annotate import ontology
from phenolip_lib.recognition.recognizer import Recognizer
from phenolip_lib.reporting import reports


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument(
        "--index", type=Path, default=Path(".cache/fasthpocr"), help="folder that keeps FastHPOCR's index"
    )
    parser.add_argument("--csv", type=Path, help="add rows of the common table to this file")
    arguments = parser.parse_args(argv)
    onto, paths = ontology(), Paths()
    settings = load_params(paths.params).hpo
    recognizer = Recognizer(onto)
    documents = {folder.name: gold.read_gold(folder, onto)[0] for folder in arguments.folders}
    with tempfile.TemporaryDirectory() as folder:
        peers = {}
        for name, load in (
            ("fenominal", lambda: gold.fenominal(onto, Path(folder))),
            (
                "FastHPOCR",
                lambda: gold.fasthpocr(locate(settings.obo, "hp.obo", settings.sha256, paths.cache), arguments.index),
            ),
        ):
            try:
                peers[name] = load()
            except PhenoLIPError as error:
                print(error)
        print(reports.recognition_scores(documents, recognizer, peers).to_markdown(index=False))
        speed = recognition_speed(documents, recognizer, peers)
        print(speed.to_markdown(index=False))
    own, *others = speed.itertuples(index=False, name=None)
    what = "dictionary, one core, " + ", ".join(documents)
    write([Row("recognition", what, own[1], "words/s", name, value) for name, value, *_ in others], arguments.csv)


def recognition_speed(
    documents: dict[str, list[gold.Document]], recognizer: Recognizer, peers: dict[str, Callable]
) -> pd.DataFrame:
    """Words a second on one core, all in this run."""
    engines = {"dictionary": gold.terms_of(recognizer), **peers}
    texts = [document for own in documents.values() for document in own[:500]]
    table = pd.DataFrame([(name, words_per_second(texts, run)) for name, run in engines.items()])
    table.columns = ["recogniser", "words/s"]
    return table.assign(**{"dictionary is x": table["words/s"].iloc[0] / table["words/s"]}).round(2)


def words_per_second(documents: Sequence[gold.Document], terms: Callable[[str], set[str]], repeats: int = 5) -> float:
    """Throughput over the documents after a first pass, best of `repeats`."""
    words = sum(len(d.text.split()) for d in documents)
    best = float("inf")
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        for document in documents:
            terms(document.text)
        best = min(best, time.perf_counter() - begin)
    return words / best


if __name__ == "__main__":
    main()
