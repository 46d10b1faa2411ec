"""All benchmarks into one table: `make bench`, or `python -m benchmarks.run [--only training retrieval] [--pipeline]`.

Writes `benchmarks/table.csv`. Each part runs in a process of its own, one after the other, so the machine should have
nothing else to do. `--pipeline` also installs into a fresh clone and runs the whole pipeline there, which takes as long
as that takes; stages go to `benchmarks/stages.csv`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.stages import follow
from benchmarks.table import Row, write

ROOT = Path(__file__).parent.parent
PARTS = {"training": [], "retrieval": ["--images", "500000", "--candidates", "3000"], "recognition": [], "curation": []}


def pipeline(csv: Path, stages: Path) -> None:
    """`make install`, `make repro` and a second `dvc repro` in a fresh clone of what is committed."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "phenolip"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        rows = []
        for what, command in (
            ("install", ["make", "install"]),
            ("make repro", ["make", "repro"]),
            ("dvc repro with nothing to do", [".venv/bin/dvc", "repro", "book@phantom"]),
        ):
            environment = os.environ | {"PATH": f"{clone / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
            os.environ["PATH"] = environment["PATH"]
            start = time.perf_counter()
            table, status = follow(command, clone)
            if status:
                raise SystemExit(f"{what}: exit status {status}")
            rows.append(Row("pipeline", what, time.perf_counter() - start, "s"))
            if what == "make repro":
                whole = table.iloc[-1]
                rows += [
                    Row("pipeline", f"{what}, CPU", whole["cpu s"], "s"),
                    Row("pipeline", f"{what}, peak memory", whole["peak GB"], "GB"),
                ]
                table.round(1).to_csv(stages, index=False)
        write(rows, csv)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=sorted(PARTS))
    parser.add_argument("--pipeline", action="store_true")
    options = parser.parse_args(arguments)
    csv = ROOT / "benchmarks" / "table.csv"
    failed = []
    for part in options.only:
        command = [sys.executable, "-m", f"benchmarks.{part}", *PARTS[part], "--csv", str(csv)]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(part)
    if options.pipeline:
        pipeline(csv, ROOT / "benchmarks" / "stages.csv")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
