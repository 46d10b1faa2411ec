"""Scores and speed of phenotype recognition on gold sets.

`python -m benchmarks.recognition FOLDER... [--encoder build/stage1]`: the dictionary beside fenominal and FastHPOCR if
they are installed, on the same ontology in the same run, and with a knowledge encoder also the second tier at
several thresholds. FastHPOCR's index of HPO takes minutes to make and is kept in `--index`.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Row, write
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.core.params import load_params
from phenolip_lib.core.paths import Paths
from phenolip_lib.ontology.hpo import locate
from phenolip_lib.recognition import gold
from phenolip_lib.recognition.annotate import ontology, with_encoder
from phenolip_lib.recognition.recognizer import Recognizer
from phenolip_lib.reporting import reports

THRESHOLDS = (0.84, 0.88, 0.9, 0.92, 0.96)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--encoder", type=Path)
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
        speed = reports.recognition_speed(documents, recognizer, peers)
        print(speed.to_markdown(index=False))
    own, *others = speed.itertuples(index=False, name=None)
    what = "dictionary, one core, " + ", ".join(documents)
    write([Row("recognition", what, own[1], "words/s", name, value) for name, value, *_ in others], arguments.csv)
    if arguments.encoder:
        linker = with_encoder(recognizer, onto, arguments.encoder, THRESHOLDS[0])
        for threshold in THRESHOLDS:
            linker.threshold = threshold
            for name, texts in documents.items():
                scores = gold.score(texts, gold.terms_of(linker))
                print(f"second tier at {threshold}: {name}", {k: round(v, 4) for k, v in scores.items()})


if __name__ == "__main__":
    main()
