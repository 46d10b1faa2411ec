"""Findings of chest film reports against the manual codes of Open-i, beside two peers: F1 by field, with intervals.

`python -m benchmarks.findings FOLDER [--half test] [--csv benchmarks/findings.csv]`, where FOLDER holds Open-i's
reports (`ecgen-radiology`). The other half, `development`, is what the rules and tables were made on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from phenolip_lib.core.params import load_params
from phenolip_lib.core.storage import write_text
from phenolip_lib.evaluation import findings
from phenolip_lib.ontology import hpo
from phenolip_lib.recognition.findings.documents import read_openi_folder
from phenolip_lib.recognition.findings.extract import Rules

ROOT = Path(__file__).parent.parent


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("test", "development"), default="test")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    rules = Rules(hpo.read_release(load_params(ROOT / "params.yaml").hpo, ROOT))
    reports = [own for own in read_openi_folder(options.folder) if findings.half(own.name) == options.half]
    table = findings.scores(reports, findings.readers(rules)).round(1)
    print(table.to_string(index=False))
    print(findings.complexity(reports, rules).round(2).to_string(index=False))
    if options.csv:
        write_text(options.csv, table.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
