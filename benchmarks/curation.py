"""Records a second of the per-record curation steps: `python -m benchmarks.curation [--source phantom]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.table import Row, write
from phenolip_lib.data.records import Record
from phenolip_lib.data.sources import source_records
from phenolip_lib.ontology.ontology import Ontology
from phenolip_lib.pipeline.session import start
from phenolip_lib.reporting import throughput


def main(arguments: list[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="phantom")
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    params, paths = start()
    onto, root = Ontology.load(paths.hpo), paths.data(options.source)
    found = source_records(options.source, root, params)
    records = [record for record in found if isinstance(record, Record)][: options.records]
    work = throughput.curation_work(records, root, onto, params.phenokg)
    table = throughput.measure(work, params.phenokg.workers, params.phenokg.batch_size)
    serial = table[table["engine"] == "serial"].set_index("step")["records/s"]
    rows = [
        Row("curation", f"{row['step']}, {row['engine']}", row["records/s"], "records/s", "serial", serial[row["step"]])
        for row in table.to_dict("records")
    ]
    write(rows, options.csv)
    return rows


if __name__ == "__main__":
    main()
