"""Speed of the per-record curation steps: `python benchmarks/curation.py [source] [records]`."""

import sys

from phenolip_lib import throughput
from phenolip_lib.ontology import Ontology
from phenolip_lib.records import Record
from phenolip_lib.session import start
from phenolip_lib.sources import source_records

if __name__ == "__main__":
    source = sys.argv[1] if len(sys.argv) > 1 else "phantom"
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    params, paths = start()
    onto, root = Ontology.load(paths.hpo), paths.data(source)
    records = [r for r in source_records(source, root, params) if isinstance(r, Record)][:n]
    work = throughput.curation_work(records, root, onto, params.phenokg)
    print(throughput.measure(work, params.phenokg.workers, params.phenokg.batch_size).to_markdown(index=False))
