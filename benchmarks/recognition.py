"""Scores and speed of phenotype recognition on gold sets.

`python benchmarks/recognition.py FOLDER... [--encoder build/stage1]`: the dictionary beside fenominal, and
with a knowledge encoder also the second tier at several thresholds.
"""

import argparse
import tempfile
from pathlib import Path

from phenolip_lib import gold, reports
from phenolip_lib.annotate import ontology, with_encoder
from phenolip_lib.recognition import Recognizer

THRESHOLDS = (0.84, 0.88, 0.9, 0.92, 0.96)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--encoder", type=Path)
    arguments = parser.parse_args()
    onto = ontology()
    recognizer = Recognizer(onto)
    documents = {folder.name: gold.read_gold(folder, onto)[0] for folder in arguments.folders}
    with tempfile.TemporaryDirectory() as folder:
        peers = {"fenominal": gold.fenominal(onto, Path(folder))}
        print(reports.recognition_scores(documents, recognizer, peers).to_markdown(index=False))
        print(reports.recognition_speed(documents, recognizer, peers).to_markdown(index=False))
    if arguments.encoder:
        linker = with_encoder(recognizer, onto, arguments.encoder, THRESHOLDS[0])
        for threshold in THRESHOLDS:
            linker.threshold = threshold
            for name, texts in documents.items():
                scores = gold.score(texts, gold.terms_of(linker))
                print(f"second tier at {threshold}: {name}", {k: round(v, 4) for k, v in scores.items()})
